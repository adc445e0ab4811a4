"""Agreement: the paper's tables, statsmodels' numbers, and who is compared with whom."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ChiSeparationLib.lesions.agreement import Agreement, agree
from ChiSeparationLib.lesions.agreement_output import as_json, as_lines, figure_data, write_csv
from ChiSeparationLib.lesions.agreement_statistics import (
    NO_DISAGREEMENT,
    NO_PAIRS,
    ONE_CLASS,
    WEIGHTS,
    describe,
    kappa,
    symmetry,
    wilson,
)
from ChiSeparationLib.lesions.grades import Grade
from ChiSeparationLib.lesions.raters import Pair, Rater, Suggestions, read_suggestions
from ChiSeparationLib.lesions.reading import GRADED_MAPS, Lesion, Reading
from ChiSeparationLib.lesions.suggestion import Suggestion, read_thresholds
from ChiSeparationLib.lesions.table import LesionRow, LesionTable
from ChiSepPreprocessLib.errors import InputError
from lesion_readings import GRADES, PAPER, R2PRIME, R2STAR, judgement, paper_readings, reading_of

ISO, HYPO, HYPER = Grade.ISO, Grade.HYPO, Grade.HYPER
X, Y = Rater(pipeline="x"), Rater(pipeline="y")


def compare(readings: Iterable[Reading], first: Rater = X, second: Rater = Y, **options: Any) -> Agreement:
    return agree([*readings], first, second, options.pop("map_name", "chi_para"), **{"resamples": 200, **options})


def counts(seed: int, low: int = 1, high: int = 30, patients: int = 6) -> NDArray[np.int64]:
    """Tables of patients, with more on the diagonal."""
    rng = np.random.default_rng(seed)
    return rng.integers(low, high, (patients, 5, 5)) + 3 * high * np.eye(5, dtype=np.int64)


@pytest.fixture(scope="module")
def paper() -> list[Reading]:
    return paper_readings()


# The paper


@pytest.mark.parametrize(("map_name", "agreed", "per_cent"), [("chi_para", 249, "99.6"), ("chi_dia", 246, "98.4")])
def test_the_papers_tables_come_out(paper: list[Reading], map_name: str, agreed: int, per_cent: str) -> None:
    found = compare(paper, Rater(pipeline=R2PRIME), Rater(pipeline=R2STAR), map_name=map_name)
    assert found.table.tolist() == [list(row) for row in PAPER[map_name]]
    said = found.statistics
    assert (said.agreed, said.pairs, said.patients) == (agreed, 250, 12)
    assert said.share.value is not None
    assert f"{said.share.value * 100:.1f}" == per_cent
    assert len(found.discordant) == 250 - agreed
    assert len(found.unmatched) == 0
    assert any(f"Agreement: {per_cent} % ({agreed} of 250)" in line for line in as_lines(found))


def test_the_discordant_lesions_are_those_of_the_paper(paper: list[Reading]) -> None:
    """Figure 6: f is subtly hypointense against hypointense; j and k stand for the four in χ_dia."""
    para, dia = (compare(paper, Rater(pipeline=R2PRIME), Rater(pipeline=R2STAR), map_name=name) for name in GRADED_MAPS)
    assert [(one.first, one.second, one.steps) for one in para.discordant] == [(Grade.SUBTLE_HYPO, HYPO, 1)]
    assert sorted(one.second.code for one in dia.discordant) == ["hypo", "hypo", "hypo", "iso"]
    assert {one.first for one in dia.discordant} == {Grade.SUBTLE_HYPO}


# statsmodels


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("weights", WEIGHTS)
def test_kappa_is_that_of_statsmodels(seed: int, weights: str) -> None:
    from statsmodels.stats.inter_rater import cohens_kappa

    table = counts(seed, low=0 if seed % 2 else 1).sum(axis=0)
    ours = kappa(table, weights)
    theirs = cohens_kappa(table, wt=None if weights == "none" else weights)
    # Its 95 % interval takes 1.96 for the quantile.
    assert [ours.value, ours.standard_error] == pytest.approx([theirs.kappa, theirs.std_kappa], rel=1e-12)
    assert [ours.low, ours.high] == pytest.approx([theirs.kappa_low, theirs.kappa_upp], abs=2e-6)


@pytest.mark.parametrize("map_name", GRADED_MAPS)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_papers_kappa_is_that_of_statsmodels(map_name: str, weights: str) -> None:
    from statsmodels.stats.inter_rater import cohens_kappa

    table = np.array(PAPER[map_name])
    ours, theirs = kappa(table, weights), cohens_kappa(table, wt=None if weights == "none" else weights)
    assert [ours.value, ours.standard_error] == pytest.approx([theirs.kappa, theirs.std_kappa], rel=1e-9)
    assert ours.high == pytest.approx(min(theirs.kappa_upp, 1.0), abs=1e-6)


@pytest.mark.parametrize(("agreed", "total"), [(249, 250), (246, 250), (0, 7), (7, 7), (1, 2), (123, 400)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_the_interval_of_the_share_is_that_of_statsmodels(agreed: int, total: int, level: float) -> None:
    from statsmodels.stats.proportion import proportion_confint

    found = wilson(agreed, total, level)
    expected = proportion_confint(agreed, total, alpha=1 - level, method="wilson")
    assert found.value == agreed / total
    assert [found.low, found.high] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_symmetry_is_that_of_statsmodels(seed: int) -> None:
    from statsmodels.stats.contingency_tables import SquareTable

    table = counts(seed).sum(axis=0)
    ours, theirs = symmetry(table), SquareTable(table, shift_zeros=False).symmetry()
    assert [ours.statistic, ours.p_value] == pytest.approx([theirs.statistic, theirs.pvalue], rel=1e-9)
    assert ours.degrees_of_freedom == theirs.df == 10
    assert ours.note == ""


def test_classes_that_nobody_confused_are_no_degrees_of_freedom() -> None:
    """Where statsmodels counts ten; the statistic is the same."""
    from scipy.stats import chi2
    from statsmodels.stats.contingency_tables import SquareTable

    table = np.array(PAPER["chi_dia"])
    ours, theirs = symmetry(table), SquareTable(table, shift_zeros=False).symmetry()
    assert ours.statistic == pytest.approx(theirs.statistic) == 4.0  # (1 - 0)² / 1 + (3 - 0)² / 3
    assert ours.degrees_of_freedom == 2
    assert ours.p_value == pytest.approx(chi2.sf(4.0, 2))
    assert "p-value is rough" in ours.note


# Properties


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_lesions_patients_and_files_does_not_matter(paper: list[Reading], seed: int) -> None:
    rng = np.random.default_rng(seed)
    shuffled = [replace(one, judgements=_shuffled(one, rng), lesions=one.lesions[::-1]) for one in paper]
    rng.shuffle(shuffled)  # type: ignore[arg-type]
    raters = Rater(pipeline=R2PRIME), Rater(pipeline=R2STAR)
    for name in GRADED_MAPS:
        assert as_json(compare(paper, *raters, map_name=name)) == as_json(compare(shuffled, *raters, map_name=name))


def _shuffled(reading: Reading, rng: np.random.Generator) -> dict[Any, Any]:
    rows = list(reading.judgements.items())
    return {rows[n][0]: rows[n][1] for n in rng.permutation(len(rows))}


@pytest.mark.parametrize("seed", range(5))
def test_swapping_the_raters_changes_no_number(seed: int) -> None:
    tables = counts(seed, low=0)
    ours, theirs = describe(tables, resamples=200), describe(tables.transpose(0, 2, 1), resamples=200)
    for one, other in zip(_numbers(asdict(ours)), _numbers(asdict(theirs)), strict=True):
        assert one == pytest.approx(other, rel=1e-9)


def _numbers(content: Any) -> Iterator[float]:
    """All numbers in nested dictionaries."""
    if isinstance(content, dict):
        for value in content.values():
            yield from _numbers(value)
    elif isinstance(content, int | float):
        yield content


@pytest.mark.parametrize("weights", WEIGHTS)
def test_turning_the_scale_over_changes_no_kappa(weights: str) -> None:
    table = counts(4).sum(axis=0)
    assert kappa(table[::-1, ::-1], weights).value == pytest.approx(kappa(table, weights).value)


def test_farther_disagreements_cost_more_where_weights_say_so() -> None:
    near, far = 40 * np.eye(5, dtype=np.int64), 40 * np.eye(5, dtype=np.int64)
    near[0, 1], far[0, 4] = 5, 5
    for weights in ("linear", "quadratic"):
        assert _value(near, weights) > _value(far, weights) + 0.03
    assert _value(near, "none") == pytest.approx(_value(far, "none"), abs=1e-3)


def _value(table: NDArray[np.int64], weights: str) -> float:
    found = kappa(table, weights).value
    assert found is not None
    return found


def test_chance_gives_no_kappa() -> None:
    margins = np.array([1, 2, 3, 4, 5])
    for weights in WEIGHTS:
        assert kappa(np.outer(margins, margins), weights).value == pytest.approx(0.0, abs=1e-12)


# Bootstrap over patients


def test_the_bootstrap_is_the_same_for_the_same_seed_alone() -> None:
    tables = counts(1)
    assert describe(tables, seed=5) == describe(tables, seed=5)
    assert describe(tables, seed=5).share_by_patient != describe(tables, seed=6).share_by_patient


def test_alike_patients_give_an_interval_without_width() -> None:
    one = counts(2)[0]
    found = describe(np.stack([one] * 8), resamples=200)
    assert found.share_by_patient.low == found.share_by_patient.high == found.share.value
    assert found.share.low is not None
    assert found.share.value is not None
    assert found.share.low < found.share.value


def test_patients_that_differ_widen_the_interval() -> None:
    """Ten patients of whom five agree in all lesions, five in none: the usual interval is far too narrow."""
    agreed, not_agreed = np.zeros((2, 5, 5), dtype=np.int64)
    agreed[2, 2] = agreed[4, 4] = 20
    not_agreed[2, 4] = not_agreed[4, 2] = 20
    found = describe(np.stack([agreed] * 5 + [not_agreed] * 5), resamples=4000)
    low, high = found.share_by_patient.low, found.share_by_patient.high
    assert (low, high) == pytest.approx((0.2, 0.8))  # 2.5 and 97.5 % of 10 draws with p = 1/2: 2 and 8
    assert found.share_by_patient.standard_error == pytest.approx((0.25 / 10) ** 0.5, rel=0.05)
    assert found.share.low == pytest.approx(0.451, abs=1e-3)


# Nothing to compute


def test_no_pairs_are_said_to_be_none() -> None:
    found = describe(np.zeros((0, 5, 5), dtype=np.int64))
    assert found.pairs == 0
    for one in (found.share, found.share_by_patient, *found.kappa.values(), *found.kappa_by_patient.values()):
        assert (one.value, one.low, one.high, one.note) == (None, None, None, NO_PAIRS)
    assert found.symmetry.p_value is None


def test_one_class_alone_has_no_kappa() -> None:
    table = np.zeros((3, 5, 5), dtype=np.int64)
    table[:, 2, 2] = 10
    found = describe(table)
    assert found.share.value == 1.0
    for one in (*found.kappa.values(), *found.kappa_by_patient.values()):
        assert (one.value, one.low, one.note) == (None, None, ONE_CLASS)


def test_full_agreement_claims_no_certainty() -> None:
    found = describe(np.stack([20 * np.eye(5, dtype=np.int64)] * 4))
    for one in (*found.kappa.values(), *found.kappa_by_patient.values()):
        assert (one.value, one.low, one.high, one.note) == (1.0, None, None, NO_DISAGREEMENT)
    assert found.share.low is not None
    assert found.share.low < 1.0
    assert found.share_by_patient.low is None


def test_one_patient_cannot_be_drawn_anew() -> None:
    found = describe(counts(1, patients=1))
    assert found.share_by_patient.low is None
    assert "one patient alone" in found.share_by_patient.note
    assert found.kappa["linear"].low is not None


def test_draws_without_kappa_are_counted() -> None:
    tables = np.zeros((2, 5, 5), dtype=np.int64)
    tables[0, 2, 2] = 10
    tables[1] = counts(1)[0]
    found = describe(tables, resamples=400).kappa_by_patient["none"]
    assert found.note.startswith("Not defined in ")
    lost = int(found.note.split()[3])
    assert 70 <= lost <= 130  # a quarter of the draws are the first patient twice


@pytest.mark.parametrize(("options", "message"), [({"level": 95}, "confidence level"), ({"resamples": 5}, "resamples")])
def test_settings_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        describe(counts(1), **options)


# Who is compared with whom


def test_readers_are_compared_on_the_same_pipeline_and_repeat() -> None:
    reading = reading_of(
        judgement("L1", ISO, reader="AB"), judgement("L1", HYPO, reader="CD"),
        judgement("L1", HYPER, reader="AB", pipeline="y"), judgement("L1", HYPER, reader="CD", pipeline="y"),
        judgement("L2", ISO, reader="AB", repeat=2), judgement("L2", HYPO, reader="CD", repeat=1),
    )  # fmt: skip
    found = compare([reading], Rater(reader="AB"), Rater(reader="CD"))
    assert found.statistics.pairs == 2
    assert [(one.pair, one.first, one.second) for one in found.discordant] == [
        (Pair("P-01", "L1", pipeline="x", repeat=1), ISO, HYPO)
    ]
    assert found.unmatched.only_first == (Pair("P-01", "L2", pipeline="x", repeat=2),)
    assert found.unmatched.only_second == (Pair("P-01", "L2", pipeline="x", repeat=1),)
    assert found.pooled == {"pipeline": ("x", "y")}
    assert compare([reading], Rater(reader="AB", pipeline="y"), Rater(reader="CD")).statistics.agreed == 1


def test_what_one_side_leaves_out_is_as_on_the_other() -> None:
    reading = reading_of(judgement("L1", ISO, repeat=1), judgement("L1", HYPO, repeat=2))
    found = compare([reading], Rater(reader="AB", repeat=1), Rater(pipeline="x", repeat=2))
    assert found.first == Rater(reader="AB", pipeline="x", repeat=1)
    assert found.second == Rater(reader="AB", pipeline="x", repeat=2)
    assert found.statistics.pairs == 1
    assert str(found.second) == "reader AB, pipeline x, repeat 2"


def test_files_of_two_readers_of_one_patient_are_one_patient() -> None:
    first = reading_of(judgement("L1", ISO), lesions=("L1",))
    second = reading_of(judgement("L1", ISO, reader="CD"), lesions=("L1",))
    found = compare([first, second, first], Rater(reader="AB"), Rater(reader="CD"))
    assert (found.statistics.pairs, found.statistics.patients) == (1, 1)


def test_the_same_lesion_name_in_two_patients_is_no_pair() -> None:
    first = reading_of(judgement("L1", ISO), patient="P-01")
    second = reading_of(judgement("L1", ISO, reader="CD"), patient="P-02")
    found = compare([first, second], Rater(reader="AB"), Rater(reader="CD"))
    assert found.statistics.pairs == 0
    assert (len(found.unmatched.only_first), len(found.unmatched.only_second)) == (1, 1)


def test_what_is_in_no_table_is_counted_by_its_reason() -> None:
    reading = reading_of(
        judgement("L1", ISO), judgement("L1", ISO, pipeline="y"),
        judgement("L2", None), judgement("L2", ISO, pipeline="y"),
        judgement("L3", ISO),
        judgement("L4", ISO, pipeline="y"),
        judgement("L5", ISO, map_name="chi_dia"),
        judgement("L9", HYPO), judgement("L9", ISO, pipeline="y"),
        lesions=("L1", "L2", "L3", "L4", "L5", "L6"),
    )  # fmt: skip
    found = compare([reading])
    names = {key: [pair.lesion_id for pair in pairs] for key, pairs in vars(found.unmatched).items()}
    assert names == {
        "only_first": ["L3"], "only_second": ["L4"], "not_graded": ["L2"], "neither": ["L5", "L6"], "gone": ["L9"],
    }  # fmt: skip
    assert found.statistics.pairs == 1
    line = next(line for line in as_lines(found) if line.startswith("Not in the table"))
    assert line == ("Not in the table: 1 judged by the first rater alone, 1 judged by the second rater alone, "
                    "1 judged by both, but not graded by both, 2 judged by neither, 1 judged, but not among "
                    "the reading's lesions")  # fmt: skip


def test_discordant_lesions_are_listed_the_farthest_first() -> None:
    grades = {"L1": (ISO, HYPO), "L2": (HYPER, HYPO), "L3": (ISO, ISO), "L4": (ISO, Grade.SUBTLE_HYPO)}
    rows = [
        judgement(key, grade, pipeline=name)
        for key, both in grades.items()
        for name, grade in zip("xy", both, strict=True)
    ]
    reading = replace(reading_of(*rows), lesions=tuple(Lesion(lesion_id=key, name=f"{key}!") for key in grades))
    found = compare([reading])
    assert [(one.lesion.name, one.steps) for one in found.discordant] == [("L2!", 4), ("L1!", 2), ("L4!", 1)]


def test_a_reader_is_compared_with_the_suggestion() -> None:
    reading = reading_of(judgement("L1", ISO), judgement("L2", HYPO), judgement("L3", ISO), judgement("L4", ISO))
    suggested: Suggestions = {
        ("L1", "chi_para"): ISO, ("L1", "chi_dia"): HYPER, ("L2", "chi_para"): Grade.SUBTLE_HYPO,
        ("L3", "chi_para"): None, ("L5", "chi_para"): ISO,
    }  # fmt: skip
    for swap in (False, True):
        raters = (Rater(suggested=True), Rater(reader="AB"))[:: -1 if not swap else 1]
        found = compare([reading], *raters, suggestions={"P-01": suggested})
        assert (found.statistics.agreed, found.statistics.pairs) == (1, 2)
        assert [pair.lesion_id for pair in found.unmatched.not_graded] == ["L3"]
        only = [found.unmatched.only_first, found.unmatched.only_second][:: -1 if swap else 1]
        assert [[pair.lesion_id for pair in pairs] for pairs in only] == [["L4"], ["L5"]]
        (one,) = found.discordant
        assert (one.second, one.first)[:: -1 if swap else 1] == (Grade.SUBTLE_HYPO, HYPO)


def test_suggestions_come_from_the_lesion_table(tmp_path: Path) -> None:
    def row(label: int, **grades: Grade | None) -> LesionRow:
        suggestions = {name: Suggestion(grade=grade) for name, grade in grades.items()}
        return LesionRow(label=label, geometry={}, measures={}, suggestions=suggestions)

    rows = row(1, chi_para=ISO, chi_dia=HYPO), row(12, chi_para=None)
    table = LesionTable(rows=rows, measured_maps=GRADED_MAPS, graded_maps=GRADED_MAPS, thresholds=read_thresholds())
    table.to_json(tmp_path / "lesions.json")
    assert read_suggestions(tmp_path / "lesions.json") == {
        ("Lesion_1", "chi_para"): ISO, ("Lesion_1", "chi_dia"): HYPO, ("Lesion_12", "chi_para"): None,
    }  # fmt: skip


def test_the_suggestion_is_not_compared_across_pipelines() -> None:
    reading = reading_of(judgement("L1", ISO), judgement("L1", ISO, pipeline="y"))
    suggested: dict[str, Suggestions] = {"P-01": {("L1", "chi_para"): ISO}}
    with pytest.raises(InputError, match="on maps of x and y; expected one pipeline"):
        compare([reading], Rater(reader="AB"), Rater(suggested=True), suggestions=suggested)
    assert compare([reading], Y, Rater(suggested=True), suggestions=suggested).statistics.pairs == 1


# Bad input


def test_raters_that_cannot_be_compared_are_refused() -> None:
    reading = reading_of(judgement("L1", ISO), judgement("L1", ISO, pipeline="y"))
    for first, second in ((X, X), (Rater(), Rater()), (X, Rater()), (Rater(suggested=True),) * 2):
        with pytest.raises(InputError, match="two that differ in reader, pipeline or repeat"):
            compare([reading], first, second)
    with pytest.raises(
        InputError, match="reader EF, of whom there is no judgement; expected reader AB, pipeline x or y"
    ):
        compare([reading], Rater(reader="AB"), Rater(reader="EF"))
    with pytest.raises(InputError, match="suggestions: got none"):
        compare([reading], X, Rater(suggested=True))
    with pytest.raises(InputError, match="map to compare"):
        compare([reading], map_name="chi_total")


def test_a_map_that_one_did_not_read_gives_no_pairs() -> None:
    reading = reading_of(judgement("L1", ISO), judgement("L1", ISO, pipeline="y"))
    found = compare([reading], map_name="chi_dia")
    assert (found.statistics.pairs, found.table.sum(), len(found.unmatched)) == (0, 0, 0)
    lines = list(as_lines(found))
    assert "Agreement: – (0 of 0); no interval" in lines
    assert f"Note: {NO_PAIRS}" in lines


def test_readings_that_contradict_each_other_are_refused() -> None:
    first, second = reading_of(judgement("L1", ISO)), reading_of(judgement("L1", HYPO))
    with pytest.raises(InputError, match="two grades of L1 by the same reader"):
        compare([first, second])
    with pytest.raises(InputError, match="readings: got none"):
        compare([])
    with pytest.raises(InputError, match="does not name its patient"):
        compare([first, replace(first, patient="")])


def test_lesions_of_one_name_in_two_places_are_refused() -> None:
    base = reading_of(judgement("L1", ISO), judgement("L1", ISO, pipeline="y"))
    here, near, far = (
        replace(base, lesions=(Lesion(lesion_id="L1", centroid_ras_mm=(20.0, 5.0, right)),))
        for right in (1.0, 9.0, 41.0)
    )
    unknown = replace(base, lesions=(Lesion(lesion_id="L1"),))
    assert compare([here, near, unknown]).statistics.pairs == 1
    with pytest.raises(InputError, match="L1 of patient P-01: got places 40 mm apart"):
        compare([here, far])


# Outputs


def test_json_csv_and_figure_tell_the_same(paper: list[Reading], tmp_path: Path) -> None:
    raters = Rater(pipeline=R2PRIME), Rater(pipeline=R2STAR)
    found = [compare(paper, *raters, map_name=name) for name in GRADED_MAPS]
    content = json.loads(json.dumps(as_json(found[1]), allow_nan=False))
    assert content["table"] == [list(row) for row in PAPER["chi_dia"]]
    assert np.sum(list(content["patients"].values()), axis=0).tolist() == content["table"]
    assert content["statistics"]["kappa"]["none"]["value"] == found[1].statistics.kappa["none"].value
    assert content["first"] == {"reader": None, "pipeline": R2PRIME, "repeat": None, "suggested": False,
                                "name": f"pipeline {R2PRIME}"}  # fmt: skip
    assert len(content["discordant"]) == 4
    picture = figure_data(found[1])
    assert picture["titles"] == ["Hyper", "Subtle hyper", "Iso", "Subtle hypo", "Hypo"]
    assert picture["row_shares"][0] == [0.0] * 5
    assert picture["row_shares"][3] == pytest.approx([0, 0, 1 / 48, 44 / 48, 3 / 48])
    write_csv(tmp_path / "agreement.csv", found)
    with (tmp_path / "agreement.csv").open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["total"]) for row in rows] == [96, 1, 137, 6, 10, 0, 0, 43, 48, 159]
    assert [int(rows[8][grade.code]) for grade in GRADES] == [0, 0, 1, 44, 3]
