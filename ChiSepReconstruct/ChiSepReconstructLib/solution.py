"""What every method returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet

from .masks.reference import reference_in


@dataclass(frozen=True, eq=False)
class Solution:
    """Maps that a method made, on the grid that it was handed.

    Parameters
    ----------
    maps : mapping of str to ndarray, float32
        By artifact name, in the artifact's unit, 0 outside the mask.
    record : mapping
        Choices and constants beyond the options, JSON-ready.
    warnings : tuple of str
        What the user should know.
    """

    maps: Mapping[str, NDArray[np.float32]]
    record: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def referenced_qsm(maps: MapSet, mask: NDArray[np.bool_], chi_ppm: NDArray[Any], *, record: Mapping[str, Any],
                   warnings: tuple[str, ...] = ()) -> Solution:  # fmt: skip
    """``chi_total`` alone, referenced to CSF where it can be found."""
    chi, reference = reference_in(maps, mask, chi_ppm)
    return Solution({"chi_total": chi}, {"reference": reference.record(), **record}, (*reference.warnings, *warnings))
