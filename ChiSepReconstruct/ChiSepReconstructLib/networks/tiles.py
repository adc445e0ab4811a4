"""Cuts a volume into overlapping tiles of one size and blends what comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.box import Box
from ChiSepPreprocessLib.errors import InputError

Shape = tuple[int, int, int]
#: 2 to the power of the network's poolings: tiles that begin at its multiples pool the voxels that the whole pools.
GRID = 16


@dataclass(frozen=True)
class TilePlan:
    """Tiles of one size that cover a volume.

    Parameters
    ----------
    shape, tile : tuple of int
        Of the volume and of each tile, multiples of :data:`GRID`.
    halo_voxels : int
        Neighbours share at least twice this. Where they do, each has weight 0 in its outer half halo and then rises
        linearly over one halo, so that errors near a tile's faces do not count.
    """

    shape: Shape
    tile: Shape
    halo_voxels: int

    def __post_init__(self) -> None:
        if any(n % GRID for n in (*self.shape, *self.tile)) or min(*self.shape, *self.tile) < GRID:
            raise InputError("tiles", f"{self.tile} in {self.shape}", f"positive multiples of {GRID} voxels")
        if self.halo_voxels < 0 or self.halo_voxels % (GRID // 2):
            raise InputError("halo", f"{self.halo_voxels} voxels", f"a multiple of {GRID // 2}, 0 or more")
        if any(size < n and size <= 2 * self.halo_voxels for n, size in zip(self.shape, self.tile, strict=True)):
            raise InputError("tiles", self.tile, f"more than twice the halo of {self.halo_voxels} voxels")

    @property
    def starts(self) -> tuple[list[int], list[int], list[int]]:
        """First voxels of the tiles along each axis, as evenly spaced as the grid lets them be."""
        i, j, k = (self._starts(n, min(size, n)) for n, size in zip(self.shape, self.tile, strict=True))
        return i, j, k

    def _starts(self, n: int, size: int) -> list[int]:
        if size == n:
            return [0]
        more = -(-(n - size) // (size - 2 * self.halo_voxels))
        return [GRID * (number * ((n - size) // GRID) // more) for number in range(more + 1)]

    def boxes(self) -> list[Box]:
        """All tiles, the last axis fastest."""
        size = [min(one, n) for one, n in zip(self.tile, self.shape, strict=True)]
        return [
            (slice(i, i + size[0]), slice(j, j + size[1]), slice(k, k + size[2]))
            for i in self.starts[0] for j in self.starts[1] for k in self.starts[2]
        ]  # fmt: skip

    def weights(self, box: Box) -> NDArray[np.float32]:
        """Share of a tile in each of its voxels; at each voxel of the volume the shares add up to 1."""
        i, j, k = (
            self._share(one.start, starts, one.stop - one.start, n)
            for one, starts, n in zip(box, self.starts, self.shape, strict=True)
        )
        return (i[:, None, None] * j[:, None] * k).astype(np.float32)

    def _share(self, start: int, starts: list[int], size: int, n: int) -> NDArray[np.float64]:
        own = self._ramp(start, size, n)
        total = np.sum([self._ramp(other, size, n) for other in starts], axis=0)
        return own[start : start + size] / total[start : start + size]

    def _ramp(self, start: int, size: int, n: int) -> NDArray[np.float64]:
        """Weight before sharing: 1 in the middle and towards the volume's border, falling towards other tiles."""
        at = np.arange(n) + 0.5
        inside = (at > start) & (at < start + size)
        rise, discarded = max(self.halo_voxels, 1), self.halo_voxels / 2
        left = np.ones(n) if start == 0 else (at - start - discarded) / rise
        right = np.ones(n) if start + size == n else (start + size - at - discarded) / rise
        return np.where(inside, np.clip(np.minimum(left, right), 0, 1), 0)


def padded_shape(shape: tuple[int, ...]) -> Shape:
    """The next multiples of :data:`GRID`."""
    i, j, k = (-(-n // GRID) * GRID for n in shape)
    return i, j, k


def smallest_tile(shape: Shape, halo_voxels: int) -> Shape:
    """Tile with 32 voxels between its halos, or the volume's own length; with 16, results differ twice as much."""
    i, j, k = (min(n, -(-2 * halo_voxels // GRID) * GRID + 2 * GRID) for n in shape)
    return i, j, k


def largest_tile(shape: Shape, halo_voxels: int, fits: Callable[[Shape], bool]) -> Shape | None:
    """Largest tile that fits: the volume, its longest axis cut by 16 voxels until it does.

    Returns
    -------
    tuple of int or None
        None if not even the :func:`smallest_tile` fits.
    """
    smallest = smallest_tile(shape, halo_voxels)
    tile = list(shape)
    while not fits((tile[0], tile[1], tile[2])):
        longest = max(range(3), key=lambda axis: tile[axis] - smallest[axis])
        if tile[longest] <= smallest[longest]:
            return None
        tile[longest] -= GRID
    return tile[0], tile[1], tile[2]
