"""Compare maps with their truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import ARTIFACTS, Kind, MapSet
from ChiSepPreprocessLib.errors import InputError

from .metrics import METRICS

_VESSELS = {"chi_para": ("vessel_mask_para",), "chi_dia": ("vessel_mask_dia",)}
_BOTH_VESSELS = ("vessel_mask_para", "vessel_mask_dia")


def evaluate(estimate: MapSet, truth: MapSet) -> dict[str, Any]:
    """Every metric for every map of real values that both sets have.

    Compared are the voxels inside the truth's ``brain_mask`` and the estimate's ``field_mask``, without the truth's
    ``csf_mask`` and vessel masks (for ``chi_para`` and ``chi_dia`` their own, for other maps both), as far as these
    masks are there; so did Kim et al. 2025.

    Parameters
    ----------
    estimate, truth : MapSet
        On one grid.

    Returns
    -------
    dict
        By artifact: ``mask`` (what was in and out), ``voxels``, ``unit``, ``method`` and the metrics; JSON-ready.

    Raises
    ------
    InputError
        If the grids differ, the truth has no brain mask, or no map is common.
    """
    if not estimate.grid.matches(truth.grid):
        raise InputError("estimate", f"grid {estimate.grid.shape}", f"the truth's grid {truth.grid.shape}",
                         "Resample it to the truth first.")  # fmt: skip
    common = [name for name, spec in ARTIFACTS.items() if spec.kind is Kind.REAL and name in estimate and name in truth]
    if not common:
        raise InputError("maps to compare", ", ".join(estimate) or "none", f"some of {', '.join(truth) or 'the truth'}")
    return {name: _compare(name, estimate, truth) for name in common}


def _compare(name: str, estimate: MapSet, truth: MapSet) -> dict[str, Any]:
    mask, stated = evaluation_mask(name, estimate, truth)
    x, r = estimate.array(name), truth.array(name)
    return {
        "method": estimate[name].method,
        "unit": estimate[name].spec.unit,
        "mask": stated,
        "voxels": int(mask.sum()),
        **{key: _finite_or_none(metric(x, r, mask)) for key, metric in METRICS.items()},
    }


def _finite_or_none(value: float) -> float | None:
    """JSON has no infinity, which is the signal-to-noise ratio of equal images."""
    return value if np.isfinite(value) else None


def evaluation_mask(name: str, estimate: MapSet, truth: MapSet) -> tuple[NDArray[np.bool_], str]:
    """Voxels in which an artifact is compared, and which masks made them.

    Raises
    ------
    InputError
        If the truth has no brain mask.
    """
    mask, stated = truth.array("brain_mask").copy(), ["brain_mask"]
    if "field_mask" in estimate:
        mask &= estimate.array("field_mask")
        stated.append("and field_mask of the estimate")
    for left_out in ("csf_mask", *_VESSELS.get(name, _BOTH_VESSELS)):
        if left_out in truth:
            mask &= ~truth.array(left_out)
            stated.append(f"not {left_out}")
    return mask, ", ".join(stated)
