"""Scale of the values that a network sees; its constants travel with the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.errors import InputError


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of one quantity over the training brains.

    Parameters
    ----------
    mean, std : float
        In the unit that the network was trained on: ppm for susceptibility and field; relaxation divided by the
        relaxometric constant, which makes it ppm too.

    Raises
    ------
    InputError
        If the standard deviation is not positive.
    """

    mean: float
    std: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.mean) and np.isfinite(self.std) and self.std > 0):
            raise InputError("normalisation", f"mean {self.mean}, std {self.std}", "finite values, std above 0")

    def normalise(self, values: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """``(values − mean) / std`` inside the mask, 0 outside."""
        return np.where(mask, (values - self.mean) / self.std, 0.0).astype(np.float32)

    def restore(self, normalised: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """``normalised × std + mean`` inside the mask, 0 outside."""
        return np.where(mask, normalised * self.std + self.mean, 0.0).astype(np.float32)
