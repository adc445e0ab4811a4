"""Compare maps with their truth."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import ARTIFACTS, Array, Kind, MapSet
from ChiSepPreprocessLib.errors import InputError

from .metrics import IN_PPM, METRICS
from .regions import RegionComparison, compare_regions

_VESSELS = {"chi_para": ("vessel_mask_para",), "chi_dia": ("vessel_mask_dia",)}
_BOTH_VESSELS = ("vessel_mask_para", "vessel_mask_dia")


def evaluate(estimate: MapSet, truth: MapSet, only: Collection[str] | None = None) -> dict[str, Any]:
    """Every metric for every map of real values that both sets have.

    Compared are the voxels inside the truth's ``brain_mask`` and the estimate's ``field_mask``, without the truth's
    ``csf_mask`` and vessel masks (for ``chi_para`` and ``chi_dia`` their own, for other maps both), as far as these
    masks are there; so did Kim et al. 2025.

    Parameters
    ----------
    estimate, truth : MapSet
        On one grid.
    only : collection of str, optional
        Which of the estimate's maps; all if left out.

    Returns
    -------
    dict
        By artifact: ``mask`` (what was in and out), ``voxels``, ``unit``, ``method`` and the metrics; JSON-ready.

    Raises
    ------
    InputError
        If the grids differ, the truth has no brain mask, or no map is common.
    """
    return {name: _compare(name, estimate, truth) for name in _common(estimate, truth, only)}


def evaluate_regions(
    estimate: MapSet, truth: MapSet | None, labels: Array, names: Mapping[int, str], only: Collection[str] | None = None
) -> dict[str, RegionComparison]:
    """Means over the regions of a label map, in the voxels that :func:`evaluate` compares, and their regression.

    Parameters
    ----------
    estimate : MapSet
        With ``brain_mask`` where there is no truth.
    truth : MapSet or None
        On the same grid; without it the estimate's own masks count, and there is no regression.
    labels : ndarray of int, shape (I, J, K)
        0 is the background.
    names : mapping of int to str
        Names of the labels; the number itself for those without one.
    only : collection of str, optional
        Which of the estimate's maps; all if left out.

    Returns
    -------
    dict
        By artifact.

    Raises
    ------
    InputError
        As :func:`evaluate`; and if the label map has another shape or fewer than two regions in the mask.
    """
    found = {}
    for name in _common(estimate, truth or estimate, only):
        mask, _ = evaluation_mask(name, estimate, truth or estimate)
        true = None if truth is None else truth.array(name)
        found[name] = compare_regions(estimate.array(name), true, labels, mask, names)
    return found


def _common(estimate: MapSet, truth: MapSet, only: Collection[str] | None) -> list[str]:
    if not estimate.grid.matches(truth.grid):
        raise InputError("estimate", f"grid {estimate.grid.shape}", f"the truth's grid {truth.grid.shape}",
                         "Resample it to the truth first.")  # fmt: skip
    offered = [name for name in estimate if only is None or name in only]
    common = [name for name, spec in ARTIFACTS.items() if spec.kind is Kind.REAL and name in offered and name in truth]
    if not common:
        raise InputError("maps to compare", ", ".join(offered) or "none", f"some of {', '.join(truth) or 'the truth'}")
    return common


def _compare(name: str, estimate: MapSet, truth: MapSet) -> dict[str, Any]:
    mask, stated = evaluation_mask(name, estimate, truth)
    x, r, unit = estimate.array(name), truth.array(name), estimate[name].spec.unit
    return {
        "method": estimate[name].method,
        "unit": unit,
        "mask": stated,
        "voxels": int(mask.sum()),
        **{key: _finite_or_none(metric(x, r, mask)) if unit == "ppm" or key not in IN_PPM else None
           for key, metric in METRICS.items()},
    }  # fmt: skip


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
