"""Inner product, norm and the turn of a direction, of tensors of any shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def dot(one: Tensor, other: Tensor) -> float:
    """Real inner product; real and imaginary parts count as entries of their own."""
    import torch

    if one.is_complex():
        one, other = torch.view_as_real(one), torch.view_as_real(other)
    return float(torch.dot(one.reshape(-1), other.reshape(-1)))


def norm(volume: Tensor) -> float:
    """Root of the sum of squares."""
    return dot(volume, volume) ** 0.5


def follow(direction: Tensor, downhill: Tensor, share: float) -> None:
    """``direction ← downhill + share · direction``, in place and in one pass."""
    import torch

    torch.add(downhill, direction, alpha=share, out=direction)
