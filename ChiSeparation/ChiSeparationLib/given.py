"""Maps that the user brings: read, named as artifacts, and held against the range of their unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ChiSepPreprocessLib.artifacts import ARTIFACTS, Kind, Map
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_mask, read_nifti


@dataclass(frozen=True)
class _Plausible:
    """Range of the median absolute value of a map's nonzero voxels, in its unit, and what else it may be in."""

    low: float
    high: float
    hint: str


_RATE = "Is it in 1/ms, or a relaxation time? Convert it to a rate in 1/s."
_FIELD = "Is it in Hz or rad/s? Convert it to ppm of the imaging frequency."

#: What may be handed in, with the range that tells wrong units; masks have none.
_GIVEABLE: Mapping[str, _Plausible | None] = {
    "brain_mask": None,
    "field_mask": None,
    "csf_mask": None,
    "total_field": _Plausible(1e-4, 2.0, _FIELD),
    "local_field": _Plausible(1e-5, 0.1, _FIELD),
    "r2star": _Plausible(1.0, 300.0, _RATE),
    "r2": _Plausible(1.0, 200.0, _RATE),
    "r2prime": _Plausible(0.05, 300.0, _RATE),
}


def read_given_map(name: str, path: Path) -> Map:
    """Read a map that is used instead of being computed.

    Parameters
    ----------
    name : str
        Artifact name; of the maps that preprocessing makes, or a mask.
    path : Path
        NIfTI file in the artifact's unit.

    Raises
    ------
    InputError
        If the name is none of them, the file cannot be read, or the values cannot be in the artifact's unit.
    """
    if name not in _GIVEABLE:
        raise InputError("--map", f"'{name}'", f"one of {', '.join(_GIVEABLE)}", "Only these can be handed in.")
    is_mask = ARTIFACTS[name].kind is Kind.MASK
    data, grid = read_mask(path) if is_mask else read_nifti(path)
    one = Map(name=name, data=data, grid=grid)
    plausible = _GIVEABLE[name]
    if plausible is not None:
        _check_plausible(one, path, plausible)
    return one


def _check_plausible(one: Map, path: Path, plausible: _Plausible) -> None:
    values = np.abs(one.data[one.data != 0])
    median, unit = float(np.median(values)) if values.size else 0.0, one.spec.unit
    if not plausible.low <= median <= plausible.high:
        raise InputError(one.name, f"{path.name} with a median of {median:.4g} in its nonzero voxels",
                         f"values in {unit}, with a median from {plausible.low:g} to {plausible.high:g} {unit}",
                         plausible.hint)  # fmt: skip
