"""Options of the methods that run networks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.options import check_choice

from .engine import EngineOptions

Resolution = Literal["fast", "best"]


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """Options of QSMnet_ME and of both χ-sepnet pipelines.

    Parameters
    ----------
    weights : str, optional
        Name of the set of weights; the preferred one of the installed sets if absent.
    resolution : {"fast", "best"}
        What is done with voxels of another size than the training's. "fast" interpolates the inputs to that size and
        the results back. "best" keeps the voxels, as the χ-sepnet paper does: QSMnet_ME runs at the training's size
        under 27 shifts (Ji et al., ISMRM 2023, 4168), R2PRIMEnet and χ-sepnet on the voxels as they are. The shipped
        weights, trained at 1 mm alone, err less with "fast" at every size tried (``Testing/benchmarks/resolution.py``).
    shifts : int
        Along each axis, of "best": 3 as published; 2 took a third of the time and came out within 0.1 % (χ_para, χ_dia)
        and 0.3 % (QSM) of 3 with the shipped weights.
    other_field_strength : bool
        Run at another field strength than the training's all the same, with the relaxometric constant scaled linearly.
    engine : EngineOptions
        Device, precision, memory, tiles and margin.

    Raises
    ------
    InputError
        If the resolution is none of them, or there are no shifts.
    """

    weights: str | None = None
    resolution: Resolution = "fast"
    shifts: int = 3
    other_field_strength: bool = False
    engine: EngineOptions = field(default_factory=EngineOptions)

    def __post_init__(self) -> None:
        check_choice("resolution", self.resolution, Resolution)
        if not 1 <= self.shifts <= 5:
            raise InputError("shifts along each axis", self.shifts, "1 to 5")
