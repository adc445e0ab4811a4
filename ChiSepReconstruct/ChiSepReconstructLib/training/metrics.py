"""The figure by which the best epoch is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..networks.normalisation import Normalisation

if TYPE_CHECKING:
    from torch import Tensor


class ErrorSums:
    """Sums for the NRMSE of each output over the brain voxels of many patches, in the maps' units.

    Parameters
    ----------
    scales : sequence of Normalisation
        Of the outputs.
    device : str
        Of the patches.
    """

    def __init__(self, scales: Sequence[Normalisation], device: str) -> None:
        import torch

        self._mean = torch.tensor([one.mean for one in scales], device=device)
        self._std = torch.tensor([one.std for one in scales], device=device)
        #: Of squared errors and of squared labels for each output, float64.
        self.sums = torch.zeros((2, len(scales)), dtype=torch.float64, device="cpu")

    def add(self, estimate: Tensor, label: Tensor, mask: Tensor) -> None:
        """Add patches, shape (B, C, N, N, N), normalised; mask of shape (B, 1, N, N, N)."""
        shape = (1, -1, 1, 1, 1)
        mean, std = self._mean.reshape(shape), self._std.reshape(shape)
        error, reference = (estimate - label) * std * mask, (label * std + mean) * mask
        for row, one in enumerate((error, reference)):
            self.sums[row] += one.double().square().sum(dim=(0, 2, 3, 4)).cpu()

    def percent(self) -> list[float]:
        """NRMSE of each output, ``100 ‖estimate − label‖ / ‖label‖``; negative values are not cut off."""
        errors, references = self.sums
        return [100 * float(one) for one in (errors / references).sqrt()]
