"""Zero padding to a size that pooling divides, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def pad_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Add zeros at the ends of the last three axes until ``multiple`` divides their lengths.

    Parameters
    ----------
    images : Tensor, shape (batch, channel, I, J, K)
        In normalised space, where 0 is what lies outside the brain.
    multiple : int
        2 to the power of the number of poolings.
    """
    from torch.nn.functional import pad

    i, j, k = (-n % multiple for n in images.shape[-3:])
    return pad(images, (0, k, 0, j, 0, i)) if i or j or k else images


def crop_to(images: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Undo :func:`pad_to_multiple` for images whose last three axes were ``shape``."""
    i, j, k = shape
    return images[..., :i, :j, :k]
