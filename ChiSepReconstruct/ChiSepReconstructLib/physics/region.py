"""Vectors of the numbers inside a brain, which leave out what else its box holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .loops import in_parts

if TYPE_CHECKING:
    from torch import Tensor


def spans_of(inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """First voxel inside of each line along k, and the one after the last; 0 and 0 where there is none; (I, J, 2)."""
    ends = np.stack([inside.argmax(axis=2), inside.shape[2] - inside[:, :, ::-1].argmax(axis=2)], axis=2)
    return np.where(inside.any(axis=2, keepdims=True), ends, 0)


class Region:
    """The voxels of a box from the first to the last one of a mask in each line along k.

    Iterations on vectors (N,) of a number for each work on half of a brain's box. Lines are copied whole, which takes
    a fraction of what it takes to look up single voxels.

    Parameters
    ----------
    mask : Tensor, shape (I, J, K)
        Not 0 inside.
    """

    def __init__(self, mask: Tensor) -> None:
        import torch

        self.spans = spans_of((mask != 0).cpu().numpy())
        lengths = self.spans[..., 1] - self.spans[..., 0]
        #: Where each line begins in a vector.
        self.starts: NDArray[np.int64] = (np.cumsum(lengths) - lengths.ravel()).reshape(lengths.shape)
        self.shape = (int(lengths.sum()),)
        self._volume = torch.zeros(mask.shape, device=mask.device)
        if self._volume.device.type != "cpu":
            k = np.arange(mask.shape[2])
            kept = (k >= self.spans[..., :1]) & (k < self.spans[..., 1:])
            self._index = torch.from_numpy(np.flatnonzero(kept)).to(mask.device)

    def values(self, volume: Tensor, out: Tensor | None = None) -> Tensor:
        """Vector of a volume's numbers in the region; or a row of it for each of several volumes, (C, I, J, K)."""
        if volume.ndim > self._volume.ndim:
            import torch

            return torch.stack([self.values(one) for one in volume])
        out = volume.new_empty(self.shape) if out is None else out
        if volume.device.type != "cpu":
            return out.copy_(volume.reshape(-1)[self._index])
        from ._kernels import gather

        in_parts(gather, volume.shape[0], out.numel(), volume.contiguous().numpy(), self.spans, self.starts,
                 out.numpy())  # fmt: skip
        return out

    def volume(self, values: Tensor) -> Tensor:
        """Volume with these numbers, 0 elsewhere, which the next call changes; or one of its own for each row."""
        if values.ndim > 1:
            import torch

            return torch.stack([self.volume(one).clone() for one in values])
        if values.device.type != "cpu":
            self._volume.view(-1).index_copy_(0, self._index, values)
            return self._volume
        from ._kernels import scatter

        in_parts(scatter, self._volume.shape[0], values.numel(), values.contiguous().numpy(), self.spans, self.starts,
                 self._volume.numpy())  # fmt: skip
        return self._volume


class Box:
    """What a :class:`Region` is, but that its vectors are the volumes themselves.

    Parameters
    ----------
    shape : tuple of int
        (I, J, K).
    spans : ndarray, shape (I, J, 2), optional
        Those of a region outside of which the volumes are 0, and need not be looked at.
    """

    def __init__(self, shape: tuple[int, int, int], spans: NDArray[np.int64] | None = None) -> None:
        i, j, k = self.shape = shape
        self.spans = np.tile(np.array([0, k]), (i, j, 1)) if spans is None else spans
        self.starts: NDArray[np.int64] = (np.arange(i * j) * k).reshape(i, j) + self.spans[..., 0]

    def values(self, volume: Tensor, out: Tensor | None = None) -> Tensor:
        """The volume, or ``out`` with its numbers."""
        return volume if out is None else out.copy_(volume)

    def volume(self, values: Tensor) -> Tensor:
        """The volume."""
        return values
