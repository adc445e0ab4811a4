"""Which part of each level of a network is computed, and in which slabs."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.box import Box, bounding_box

from .winograd import TILE

Shape = tuple[int, int, int]
Mask = NDArray[np.bool_]
#: Reach of two 3×3×3 convolutions, in voxels.
REACH = 2


@dataclass(frozen=True)
class Region:
    """What to compute on one level, the slabs to do it in, and the box in which the result is kept."""

    wanted: Mask
    slabs: list[Box]
    kept: Box

    @property
    def shape(self) -> Shape:
        """Of the level's whole volume."""
        i, j, k = self.wanted.shape
        return i, j, k


def dilated(mask: Mask, reach: int) -> Mask:
    """True where any voxel of the cube of ``2 × reach + 1`` voxels is."""
    for axis in range(mask.ndim):
        along = np.moveaxis(mask, axis, 0)
        wider = along.copy()
        for step in range(1, reach + 1):
            wider[step:] |= along[:-step]
            wider[:-step] |= along[step:]
        mask = np.moveaxis(wider, 0, axis)
    return mask


def halved(mask: Mask) -> Mask:
    """True where any of the 2×2×2 voxels is."""
    i, j, k = (n // 2 for n in mask.shape)
    return np.asarray(mask.reshape(i, 2, j, 2, k, 2).any(axis=(1, 3, 5)))


def in_tiles(mask: Mask) -> Mask:
    """True where any voxel of a tile is."""
    i, j, k = (-(-n // TILE) for n in mask.shape)
    whole = np.pad(mask, [(0, -n % TILE) for n in mask.shape])
    return np.asarray(whole.reshape(i, TILE, j, TILE, k, TILE).any(axis=(1, 3, 5)))


def even(box: Box, shape: tuple[int, ...]) -> Box:
    """The box with even corners, as far as the volume reaches."""
    i, j, k = (slice(one.start // 2 * 2, min((one.stop + 1) // 2 * 2, n)) for one, n in zip(box, shape, strict=True))
    return i, j, k


def slabs_of(region: Mask, rows: int) -> list[Box]:
    """Boxes of even corners, equally thick up to ``rows``, that together hold the region."""
    if not region.any():
        return []
    whole = even(bounding_box(region), region.shape)[0]
    length = whole.stop - whole.start
    rows = -(-length // (TILE * -(-length // rows))) * TILE
    boxes = []
    for first in range(whole.start, whole.stop, rows):
        part = region[first : first + rows]
        if part.any():
            i, j, k = bounding_box(part)
            boxes.append(even((slice(first + i.start, first + i.stop), j, k), region.shape))
    return boxes


def voxels(box: Box) -> int:
    """Number of voxels in a box."""
    return prod(one.stop - one.start for one in box)


def whole_box(shape: tuple[int, ...]) -> Box:
    """The box of a volume."""
    i, j, k = (slice(0, n) for n in shape)
    return i, j, k


def start_of(box: Box) -> Shape:
    """The voxel at which a box begins."""
    return box[0].start, box[1].start, box[2].start


def surroundings(box: Box, shape: tuple[int, ...]) -> tuple[Box, Box, Shape]:
    """Part of the volume within reach of a box, its place in the window, and the window's shape."""
    inside, place, outer = [], [], []
    for one, n in zip(box, shape, strict=True):
        start, stop = max(one.start - REACH, 0), min(one.stop + REACH, n)
        offset = start - (one.start - REACH)
        inside.append(slice(start, stop))
        place.append(slice(offset, offset + stop - start))
        outer.append(one.stop - one.start + 2 * REACH)
    return tuple(inside), tuple(place), tuple(outer)  # type: ignore[return-value]
