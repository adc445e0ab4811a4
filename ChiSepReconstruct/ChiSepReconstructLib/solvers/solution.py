"""What every method returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
