"""Patches: where they lie, in which order they come, and their batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.errors import InputError

from .examples import Example
from .options import PatchOptions

#: Axis of the images (C, I, J, K) from left to right.
_LEFT_RIGHT = 2


@dataclass(frozen=True)
class Patch:
    """A cube in an example.

    Parameters
    ----------
    example : int
        Its place among the examples.
    corner : tuple of int
        First voxel.
    flipped : bool
        Left to right.
    """

    example: int
    corner: tuple[int, int, int]
    flipped: bool = False


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches of several examples, float32 and contiguous.

    Parameters
    ----------
    images : ndarray, shape (B, C, N, N, N)
        Normalised inputs, then labels.
    mask : ndarray, shape (B, 1, N, N, N)
        1 in the brain, else 0.
    """

    images: NDArray[np.float32]
    mask: NDArray[np.float32]


def corners(length: int, size: int, stride: int) -> list[int]:
    """First voxels of patches along an axis; the last patch ends with the axis, so that nothing is left out."""
    return [*range(0, length - size, stride), length - size]


def grid_patches(examples: Sequence[Example], options: PatchOptions, stride_voxels: int | None = None) -> list[Patch]:
    """Patches on the regular grid of every example that hold enough brain.

    Parameters
    ----------
    examples : sequence of Example
        At least as large as a patch.
    options : PatchOptions
    stride_voxels : int, optional
        In place of that of the options.

    Raises
    ------
    InputError
        If none is left.
    """
    size, stride = options.size_voxels, stride_voxels or options.stride_voxels
    found = []
    for number, one in enumerate(examples):
        along_i, along_j, along_k = (corners(n, size, stride) for n in one.mask.shape)
        for i, j, k in product(along_i, along_j, along_k):
            share = one.mask[i : i + size, j : j + size, k : k + size].mean()
            if share > 0 and share >= options.least_brain_share:
                found.append(Patch(number, (i, j, k)))
    if not found:
        raise InputError("patches", "none with enough brain", f"at least {options.least_brain_share:.0%} of brain",
                         "Lower least_brain_share.")  # fmt: skip
    return found


class Sampler:
    """Gives each epoch's patches in their order, which seed and epoch alone decide.

    Parameters
    ----------
    examples : sequence of Example
        To train on.
    options : PatchOptions
    flips : bool
        Mirror every patch left to right with probability ½.
    batch_size : int
        Patches of a step; the last batch of an epoch takes its missing ones from the epoch's beginning.
    seed : int
    """

    def __init__(
        self, examples: Sequence[Example], options: PatchOptions, *, flips: bool, batch_size: int, seed: int
    ) -> None:
        self.examples, self.options, self.flips = examples, options, flips
        self.batch_size, self.seed = batch_size, seed
        is_grid = options.sampling == "grid"
        self._grid = grid_patches(examples, options) if is_grid else []
        self._brain = [] if is_grid else [np.flatnonzero(one.mask).astype(np.int32) for one in examples]

    @property
    def patch_count(self) -> int:
        """Of an epoch."""
        return len(self._grid) or self.options.per_epoch

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return -(-self.patch_count // self.batch_size)

    def epoch(self, number: int) -> list[list[Patch]]:
        """Batches of an epoch."""
        random = np.random.default_rng((self.seed, number))
        patches = self._shuffled(random) if self._grid else self._drawn(random)
        if self.flips:
            flipped = random.random(len(patches)) < 0.5
            patches = [Patch(one.example, one.corner, bool(f)) for one, f in zip(patches, flipped, strict=True)]
        whole = [patches[n % len(patches)] for n in range(self.steps * self.batch_size)]
        return [whole[n : n + self.batch_size] for n in range(0, len(whole), self.batch_size)]

    def _shuffled(self, random: np.random.Generator) -> list[Patch]:
        return [self._grid[n] for n in random.permutation(len(self._grid))]

    def _drawn(self, random: np.random.Generator) -> list[Patch]:
        """Patches about random voxels of the brain, of every example equally many but for chance."""
        found: list[Patch] = []
        while len(found) < self.options.per_epoch:
            number = int(random.integers(len(self.examples)))
            mask = self.examples[number].mask
            centre = np.unravel_index(int(random.choice(self._brain[number])), mask.shape)
            i, j, k = (int(np.clip(at - self.options.size_voxels // 2, 0, n - self.options.size_voxels))
                       for at, n in zip(centre, mask.shape, strict=True))  # fmt: skip
            found.append(Patch(number, (i, j, k)))
        return found


def cut(examples: Sequence[Example], patches: Sequence[Patch], size: int) -> Batch:
    """Cut patches out of their examples."""
    channels = examples[0].images.shape[0]
    images = np.empty((len(patches), channels, size, size, size), np.float32)
    mask = np.empty((len(patches), 1, size, size, size), np.float32)
    for row, one in enumerate(patches):
        box: Any = (slice(None), *(slice(first, first + size) for first in one.corner))
        example = examples[one.example]
        images[row] = _flipped(example.images[box], one.flipped)
        mask[row] = _flipped(example.mask[None][box], one.flipped)
    return Batch(images, mask)


def _flipped(values: NDArray[Any], flipped: bool) -> NDArray[Any]:
    return np.flip(values, _LEFT_RIGHT) if flipped else values


def in_order(batches: Sequence[Sequence[Patch]], examples: Sequence[Example], size: int) -> Iterator[Batch]:
    """Cut batches one ahead of their use, in a thread of its own."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        ahead = None
        for patches in batches:
            following = pool.submit(cut, examples, patches, size)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()
