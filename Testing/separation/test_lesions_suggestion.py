"""The rules of the suggestions, at and around their limits."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ChiSeparationLib.lesions.grades import Grade
from ChiSeparationLib.lesions.suggestion import THRESHOLDS_FILE, Limit, Thresholds, read_thresholds, suggest
from ChiSepPreprocessLib.errors import InputError

LIMITS = Thresholds(isointense_below=Limit(ppb=4.0, nawm_sd=0.75), clear_from=Limit(ppb=10.0, nawm_sd=1.5))

CASES = [
    (0.0, 0.0, Grade.ISO),
    (3.999, 5.0, Grade.ISO),
    (4.0, 5.0, Grade.SUBTLE_HYPER),
    (50.0, 0.7499, Grade.ISO),
    (50.0, 0.75, Grade.SUBTLE_HYPER),
    (50.0, 1.4999, Grade.SUBTLE_HYPER),
    (9.999, 5.0, Grade.SUBTLE_HYPER),
    (10.0, 1.5, Grade.HYPER),
    (3.999, None, Grade.ISO),
    (10.0, None, Grade.HYPER),
]


@pytest.mark.parametrize(("ppb", "spreads", "grade"), CASES)
def test_grade_at_the_limits(ppb: float, spreads: float | None, grade: Grade) -> None:
    assert suggest(ppb, spreads, LIMITS).grade is grade
    mirrored = suggest(-ppb, None if spreads is None else -spreads, LIMITS).grade
    assert mirrored is Grade.from_rank(-grade.rank)


def test_a_suggestion_states_what_it_rests_on() -> None:
    found = suggest(-12.5, -1.2, LIMITS)
    assert found.label == "subtly hypointense (suggestion)"
    assert found.measures == {"contrast_ppb": -12.5, "contrast_sd": -1.2}
    assert found.thresholds == LIMITS.numbers == {
        "isointense_below_ppb": 4.0, "isointense_below_nawm_sd": 0.75, "clear_from_ppb": 10.0, "clear_from_nawm_sd": 1.5
    }  # fmt: skip
    assert found.reason == (
        "Contrast -12.5 ppb and -1.20 SD reaches 4 ppb and 0.75 SD, but not both 10 ppb and 1.5 SD."
    )  # fmt: skip


@pytest.mark.parametrize("unknown", [None, math.nan, math.inf])
def test_no_contrast_gives_no_grade(unknown: float | None) -> None:
    found = suggest(unknown, None, LIMITS)
    assert found.grade is None and found.label == "no suggestion" and found.reason


def test_grades_are_ordered_and_have_codes() -> None:
    assert [grade.rank for grade in Grade] == [2, 1, 0, -1, -2]
    assert [grade.code for grade in Grade] == ["hyper", "subtle-hyper", "iso", "subtle-hypo", "hypo"]
    assert all(Grade.from_code(grade.code) is grade and Grade.from_rank(grade.rank) is grade for grade in Grade)
    with pytest.raises(InputError, match="rank"):
        Grade.from_rank(3)
    with pytest.raises(InputError, match="grade"):
        Grade.from_code("bright")


def test_shipped_limits_cover_both_graded_maps_with_reasons() -> None:
    shipped = read_thresholds()
    assert set(shipped.maps) == {"chi_para", "chi_dia"}
    assert "not a validated rule" in shipped.basis and "3.3" in shipped.citation
    assert all(limit.why for one in shipped.maps.values() for limit in (one.isointense_below, one.clear_from))
    assert shipped.as_json() == json.loads(THRESHOLDS_FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("spreads", "overlap"), [(0.75, 71), (1.5, 45)])
def test_overlap_of_distributions_in_the_shipped_reasons(spreads: float, overlap: int) -> None:
    # Two unit normal distributions d apart share erfc(d / (2 √2)) of their area.
    assert round(100 * math.erfc(spreads / (2 * math.sqrt(2)))) == overlap
    for one in read_thresholds().maps.values():
        limit = next(limit for limit in (one.isointense_below, one.clear_from) if limit.nawm_sd == spreads)
        assert f"{overlap} %" in limit.why


def changed(**change: Any) -> dict[str, Any]:
    content = json.loads(THRESHOLDS_FILE.read_text(encoding="utf-8"))
    content["maps"]["chi_dia"]["clear_from"].update(change)
    return dict(content)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"maps": {}}', json.dumps(changed(ppb=4.0)), json.dumps(changed(ppb=-1.0)),
     json.dumps(changed(ppb="10")), json.dumps(changed(ppb=math.nan)), json.dumps(changed(unknown=1))],
)  # fmt: skip
def test_unusable_limits_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="grade"):
        read_thresholds(path)


def test_edited_limits_are_used(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    path.write_text(json.dumps(changed(ppb=30.0)), encoding="utf-8")
    limits = read_thresholds(path).maps["chi_dia"]
    assert suggest(-20.0, -3.0, limits).grade is Grade.SUBTLE_HYPO


def test_missing_file_of_limits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.json"):
        read_thresholds(tmp_path / "absent.json")
