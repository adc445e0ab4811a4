"""From contrast to a suggested grade: pure rules on numbers, with every limit in ``thresholds.json``.

A suggestion is not a reading. The paper gives no numeric limits; the file states the reasons for ours.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ChiSepPreprocessLib.errors import InputError

from .grades import Grade

#: The limits that are used unless others are given.
THRESHOLDS_FILE = Path(__file__).with_name("thresholds.json")


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A limit that a contrast passes when it passes both numbers.

    Parameters
    ----------
    ppb : float
        Size of the contrast, ppb.
    nawm_sd : float
        Size of the contrast in standard deviations of the surrounding white matter.
    why : str
        Reason for the numbers.
    """

    ppb: float
    nawm_sd: float
    why: str = ""

    def __post_init__(self) -> None:
        numbers = (self.ppb, self.nawm_sd)
        if not all(isinstance(value, int | float) and math.isfinite(value) and value >= 0 for value in numbers):
            raise InputError("limit of a grade", numbers, "two finite numbers ≥ 0 (ppb, NAWM standard deviations)")

    def passed(self, contrast_ppb: float, contrast_sd: float | None) -> bool:
        """Whether a contrast reaches the limit; without a standard deviation, ppb alone decide."""
        return abs(contrast_ppb) >= self.ppb and (contrast_sd is None or abs(contrast_sd) >= self.nawm_sd)


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Limits for one map.

    Parameters
    ----------
    isointense_below : Limit
        A contrast that does not reach it is isointense.
    clear_from : Limit
        A contrast that reaches it is hyper- or hypointense; in between it is subtle.

    Raises
    ------
    InputError
        If the first limit is not below the second.
    """

    isointense_below: Limit
    clear_from: Limit

    def __post_init__(self) -> None:
        low, high = self.isointense_below, self.clear_from
        if low.ppb >= high.ppb or low.nawm_sd >= high.nawm_sd:
            raise InputError("limits of the grades", f"{low} and {high}", "isointense_below under clear_from")

    @property
    def numbers(self) -> dict[str, float]:
        """The four numbers by name."""
        return {
            "isointense_below_ppb": self.isointense_below.ppb,
            "isointense_below_nawm_sd": self.isointense_below.nawm_sd,
            "clear_from_ppb": self.clear_from.ppb,
            "clear_from_nawm_sd": self.clear_from.nawm_sd,
        }


@dataclass(frozen=True, kw_only=True)
class RimSign:
    """When a rim is pointed out to the reader.

    Parameters
    ----------
    share : float
        Least share of the rim that stands out, 0 to 1.
    rise_sd : float
        How far a voxel of the rim must stand out, in standard deviations of the white matter.
    why : str
        Reason for the numbers.
    """

    share: float = 2 / 3
    rise_sd: float = 1.0
    why: str = ""

    def __post_init__(self) -> None:
        numbers = (self.share, self.rise_sd)
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in numbers) or not (
            0 < self.share <= 1 and self.rise_sd >= 0
        ):
            raise InputError("limits of the rim sign", numbers, "0 < share ≤ 1 and rise_sd ≥ 0")


@dataclass(frozen=True, kw_only=True)
class ThresholdSet:
    """Limits for each graded map and for the rim sign, with what they rest on."""

    maps: Mapping[str, Thresholds]
    rim_sign: RimSign = field(default_factory=RimSign)
    basis: str = ""
    citation: str = ""

    def as_json(self) -> dict[str, Any]:
        """The content of the file that it came from."""
        maps = {name: asdict(limits) for name, limits in self.maps.items()}
        return {"basis": self.basis, "citation": self.citation, "maps": maps, "rim_sign": asdict(self.rim_sign)}


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A grade that no reader gave, with what it rests on.

    Parameters
    ----------
    grade : Grade or None
        ``None`` if nothing can be suggested.
    measures : mapping
        The measures that decided, by key.
    thresholds : mapping
        The limits that decided, by key.
    reason : str
        One sentence for people.
    """

    grade: Grade | None
    measures: Mapping[str, float | None] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""

    @property
    def label(self) -> str:
        """The grade marked as what it is."""
        return f"{self.grade.value} (suggestion)" if self.grade else "no suggestion"


def read_thresholds(path: Path = THRESHOLDS_FILE) -> ThresholdSet:
    """Read the limits of the grades.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a number or orders the limits wrongly.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        maps = {
            name: Thresholds(
                isointense_below=Limit(**limits["isointense_below"]), clear_from=Limit(**limits["clear_from"])
            )
            for name, limits in content["maps"].items()
        }
        rim_sign = RimSign(**content["rim_sign"])
        return ThresholdSet(maps=maps, rim_sign=rim_sign, basis=content["basis"], citation=content["citation"])
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        why = "which is no JSON" if isinstance(error, ValueError) else f"which cannot be used ({error})"
        raise InputError("limits of the grades", f"{path.name}, {why}",
                         "JSON with basis, citation, rim_sign and, for each map, isointense_below and clear_from",
                         "Compare it with the thresholds.json that comes with the project.") from error  # fmt: skip


def suggest(contrast_ppb: float | None, contrast_sd: float | None, thresholds: Thresholds) -> Suggestion:
    """Suggest a grade from the contrast to the surrounding normal-appearing white matter (NAWM).

    Parameters
    ----------
    contrast_ppb : float or None
        Lesion's mean minus NAWM's mean, ppb; positive where the lesion is brighter.
    contrast_sd : float or None
        The same in standard deviations of the NAWM; ``None`` where that is zero.
    thresholds : Thresholds
        Limits for this map.

    Returns
    -------
    Suggestion
        Without a grade if there is no contrast.
    """
    measures = {"contrast_ppb": contrast_ppb, "contrast_sd": contrast_sd}
    if contrast_ppb is None or not math.isfinite(contrast_ppb):
        return Suggestion(grade=None, measures=measures, thresholds=thresholds.numbers, reason="No contrast is known.")
    size = _size(contrast_ppb, contrast_sd, thresholds)
    grade = Grade.from_rank(size if contrast_ppb > 0 else -size)
    reason = _reason(contrast_ppb, contrast_sd, size, thresholds)
    return Suggestion(grade=grade, measures=measures, thresholds=thresholds.numbers, reason=reason)


def _size(contrast_ppb: float, contrast_sd: float | None, thresholds: Thresholds) -> int:
    """0 isointense, 1 subtle, 2 clear."""
    passed = (limit.passed(contrast_ppb, contrast_sd) for limit in (thresholds.isointense_below, thresholds.clear_from))
    return sum(passed)


def _reason(contrast_ppb: float, contrast_sd: float | None, size: int, thresholds: Thresholds) -> str:
    found = f"{contrast_ppb:+.1f} ppb"
    found += " (no spread in the NAWM, so ppb alone decide)" if contrast_sd is None else f" and {contrast_sd:+.2f} SD"
    limits = (thresholds.isointense_below, thresholds.clear_from)
    low, high = (f"{limit.ppb:g} ppb and {limit.nawm_sd:g} SD" for limit in limits)
    words = (f"does not reach both {low}", f"reaches {low}, but not both {high}", f"reaches {high}")
    return f"Contrast {found} {words[size]}."
