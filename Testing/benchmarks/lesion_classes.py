"""Classes and contrasts of simulated lesions in estimated maps, against those in the true ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ChiSeparationLib.lesions.components import relabel
from ChiSeparationLib.lesions.grades import Grade
from ChiSeparationLib.lesions.grading import grade_lesions
from ChiSeparationLib.lesions.table import LesionRow
from ChiSepPhantoms.tissues import TISSUES
from ChiSepPreprocessLib.artifacts import Array, MapSet
from ChiSepPreprocessLib.files import read_json

GRADED = ("chi_para", "chi_dia")

_AS_DESIGNED = {
    "hypo": Grade.HYPO, "subtle hypo": Grade.SUBTLE_HYPO, "iso": Grade.ISO, "subtle hyper": Grade.SUBTLE_HYPER,
    "hyper": Grade.HYPER,
}  # fmt: skip


def designed_classes(truth: Path) -> dict[int, dict[str, str]]:
    """Classes that the lesions were made for, by number and map, as the phantom writes them beside its truth."""
    return {
        one["number"]: {f"chi_{kind}": _AS_DESIGNED[one[kind]].value for kind in ("para", "dia")}
        for one in read_json(truth / "lesions_truth.json")["lesions"]
    }


def classified_lesions(
    estimate: MapSet, truth: MapSet, labels: Array, designed: Mapping[int, Mapping[str, str]]
) -> list[dict[str, Any]]:
    """Contrast and class of every lesion larger than 20 mm³, in the estimate and in the true maps.

    Both are taken by one rule (``thresholds.json``) in one set of voxels: lesions and white matter are the true ones,
    in the estimate's ``field_mask``. So the true class is what the rule says of perfect maps; a lesion's design can
    differ from it, as where the iron fills its rim alone.

    Parameters
    ----------
    estimate, truth : MapSet
        On one grid.
    labels : ndarray of int, shape (I, J, K)
        The phantom's.
    designed : mapping
        As :func:`designed_classes` gives.

    Returns
    -------
    list of dict
        ``number``, ``volume_mm3`` and for each map ``contrast_ppb``, ``class``, ``true_contrast_ppb``, ``true_class``
        and ``designed_class``; a class is ``None`` where a lesion cannot be graded.
    """
    found = relabel(truth.array("lesions"), truth.grid)
    white = labels == TISSUES["white_matter"].label
    real = truth.including(*(estimate[name] for name in ("field_mask",) if name in estimate))
    judged = real.including(*(estimate[name] for name in GRADED))
    tables = [
        grade_lesions(maps, found.lesions, white_matter=white, excluded=found.dropped_mask) for maps in (judged, real)
    ]
    numbers = [found.source_labels[row.label - 1] for row in tables[0].rows]
    return [
        _compared(one, true, number, designed[number])
        for one, true, number in zip(*(table.rows for table in tables), numbers, strict=True)
    ]


def _compared(one: LesionRow, true: LesionRow, number: int, designed: Mapping[str, str]) -> dict[str, Any]:
    maps = {
        name: {
            "contrast_ppb": one.measures[name].values["contrast_ppb"], "class": _class(one, name),
            "true_contrast_ppb": true.measures[name].values["contrast_ppb"], "true_class": _class(true, name),
            "designed_class": designed[name],
        }
        for name in GRADED
    }  # fmt: skip
    return {"number": number, "volume_mm3": one.geometry["volume_mm3"], **maps}


def _class(row: LesionRow, name: str) -> str | None:
    grade = row.suggestions[name].grade
    return grade.value if grade else None
