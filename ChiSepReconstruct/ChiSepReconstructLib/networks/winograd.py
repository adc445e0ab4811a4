"""3×3×3 convolutions with an eighth of the multiplications: Winograd's minimal filtering along all three axes.

``F(4, 3)`` gives four outputs of a filter of three taps from six products, instead of twelve: with the matrices of Cook
and Toom, ``y = Aᵀ [(G g) ⊙ (Bᵀ d)]``. Along three axes that is 216 products instead of 1728 for 64 outputs. Summed
over the channels, the products are 216 matrix products, which a processor does near its peak. Interpolating at 0, ±3/4,
±3/2 and ∞ instead of the usual 0, ±1, ±2 and ∞ halves the rounding error; the network's result then has about three
times that of the plain convolution in float32.

References
----------
Lavin and Gray, CVPR 2016, section 4; Barabasz et al., ACM Trans. Math. Softw. 46:37 (2020), on points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.threads import in_slabs

if TYPE_CHECKING:
    from torch import Tensor

_Array = NDArray[Any]
#: Outputs of a tile along each axis, and products for each tile.
TILE, POINTS = 4, 6**3
_FINITE_POINTS = (0.0, 3 / 4, -3 / 4, 3 / 2, -3 / 2)
#: Values and products of the tiles that one thread works on at a time: the second-level cache.
_BLOCK_BYTES = 3 * 2**18
#: Of a line of the caches.
_LINE_BYTES = 64
#: Transformed weights that are held at a time.
_WEIGHT_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Part:
    """Maps on a part of the volume; 0 elsewhere.

    Parameters
    ----------
    values : Tensor, shape (batch, channels, I, J, K)
        Channels last in memory.
    origin : tuple of int
        The voxel of the volume at which they begin.
    """

    values: Tensor
    origin: tuple[int, int, int]


@cache
def filter_matrix() -> NDArray[np.float64]:
    """``G``, shape (6, 3), of F(4, 3) for the points of this module."""
    rows = []
    for point in _FINITE_POINTS:
        scale = np.prod([point - other for other in _FINITE_POINTS if other != point])
        rows.append(np.array([1.0, point, point**2]) / scale)
    return np.array([*rows, np.array([0.0, 0.0, 1.0])])


def _memory(count: int) -> Tensor:
    """So many uninitialised float32 values.

    NumPy's arrays of some MiB lie in huge pages where the system has them; touching pages of 4 KiB would take as long
    as a convolution of few channels. Matrix products may round otherwise where the alignment is another.
    """
    import torch

    memory = np.empty(count + _LINE_BYTES // 4, dtype=np.float32)
    start = -memory.ctypes.data % _LINE_BYTES // 4
    return torch.from_numpy(memory[start : start + count])


def fresh(shape: Sequence[int]) -> Tensor:
    """Uninitialised float32 maps of shape (batch, channels, I, J, K), channels last in memory."""
    batch, channels, *size = shape
    return _memory(prod(shape)).view(batch, *size, channels).permute(0, 4, 1, 2, 3)


class Workspace:
    """Memory that is used again, because touching fresh memory takes its time."""

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def take(self, name: str, shape: Sequence[int]) -> Tensor:
        """A contiguous float32 tensor with any values; the one taken before by that name is no longer valid."""
        size = prod(shape)
        if name not in self._kept or self._kept[name].numel() < size:
            self._kept.pop(name, None)  # before the larger one is made
            self._kept[name] = _memory(size)
        return self._kept[name][:size].view(*shape)

    def maps(self, name: str, shape: Sequence[int]) -> Tensor:
        """Such a tensor of shape (batch, channels, I, J, K), channels last in memory."""
        batch, channels, *size = shape
        return self.take(name, (batch, *size, channels)).permute(0, 4, 1, 2, 3)


def transformed(weight: Tensor, workspace: Workspace) -> Tensor:
    """Weights for the products, shape (216, channels in, out), from those of shape (channels out, in, 3, 3, 3)."""
    import torch

    matrix = filter_matrix()
    whole = torch.from_numpy(np.kron(np.kron(matrix, matrix), matrix)).to(weight.dtype)
    channels_out, channels_in = weight.shape[:2]
    result = workspace.take("weights", (POINTS, channels_in * channels_out))
    torch.mm(whole, weight.permute(2, 3, 4, 1, 0).reshape(27, -1), out=result)
    return result.view(POINTS, channels_in, channels_out)


def tile_corners(wanted: NDArray[np.bool_], start: Sequence[int]) -> _Array:
    """Voxels at which the wanted tiles of a grid begin, shape (n, 3), for a grid that begins at ``start``."""
    return (np.argwhere(wanted) * TILE + np.asarray(start)).astype(np.int64)


def convolve(
    parts: Sequence[Part], weight: Tensor, bias: Tensor, corners: _Array, target: Part, workspace: Workspace
) -> None:
    """Convolve with 3×3×3 weights, add a bias, set negatives to 0: float32 on a processor, in tiles, on all cores.

    Parameters
    ----------
    parts : sequence of Part
        Whose channels follow each other.
    weight : Tensor, shape (channels out, channels in, 3, 3, 3)
    bias : Tensor, shape (channels out,)
    corners : int array, shape (n, 3)
        The voxels of the volume at which the tiles of 4×4×4 outputs begin.
    target : Part
        Where the outputs go; those beyond its ends are dropped, and those of no tile are left as they are.
    workspace : Workspace
        For the transformed weights.
    """
    import torch

    threads = torch.get_num_threads()
    channels_out, channels_in = weight.shape[:2]
    together = max(_WEIGHT_BYTES // (POINTS * channels_in * weight.element_size()), 16)
    try:
        for first in range(0, channels_out, together):
            chosen = slice(first, first + together)
            weights, shift = transformed(weight[chosen], workspace), bias[chosen].contiguous().numpy()
            for number in range(len(target.values)):
                given = [(_channels_last(part, number), np.array(part.origin)) for part in parts]
                to = (_channels_last(target, number), np.array(target.origin))
                in_slabs(_in_tiles, len(corners), corners, given, weights, shift, to, first)
    finally:
        torch.set_num_threads(threads)  # the workers' setting counts for the matrix products of the whole process


def _channels_last(part: Part, number: int) -> _Array:
    """A view of one image, shape (I, J, K, channels)."""
    return np.asarray(part.values[number].permute(1, 2, 3, 0).numpy())


def _in_tiles(
    first: int, last: int, corners: _Array, given: list[tuple[_Array, _Array]], weights: Tensor, bias: _Array,
    target: tuple[_Array, _Array], channel: int,
) -> None:  # fmt: skip
    """The tiles from ``first`` up to ``last``, as many at a time as the cache holds, in this thread alone."""
    import torch

    from . import _winograd_kernels as kernels

    torch.set_num_threads(1)
    _, channels_in, channels_out = weights.shape
    rows = min(_rows(channels_in + channels_out), last - first)
    both = _memory(POINTS * rows * (channels_in + channels_out))
    values = both[: POINTS * rows * channels_in].view(POINTS, rows, channels_in)
    products = both[values.numel() :].view(POINTS, rows, channels_out)
    for begin in range(first, last, rows):
        tiles = corners[begin : min(begin + rows, last)]
        offset = 0
        for source, origin in given:
            kernels.analyse(source, origin, tiles, values.numpy(), offset)
            offset += source.shape[3]
        torch.bmm(values[:, : len(tiles)], weights, out=products[:, : len(tiles)])
        kernels.synthesise(products.numpy(), bias, tiles, *target, channel)


def _rows(channels: int) -> int:
    """Tiles of a block: what the cache holds, but enough for the matrix products to be worth reading the weights.

    Odd, or the values of a tile would compete for few places of the caches.
    """
    return max(_BLOCK_BYTES // (POINTS * channels * 4), min(channels // 4, 48)) // 2 * 2 + 1
