"""Blinded reading: random but repeatable order, labels that hide the pipelines, and the way back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from ChiSeparationLib.lesions.blinding import (
    BlindingKey,
    Progress,
    blind,
    blinding_key,
    break_left,
    progress,
    read_keys,
    reading_order,
    unblind,
    write_keys,
)
from ChiSeparationLib.lesions.grades import Grade
from ChiSeparationLib.lesions.reading import GRADED_MAPS, Question
from ChiSeparationLib.lesions.reading_files import read_reading, write_reading
from ChiSepPreprocessLib.errors import InputError, OutputError
from lesion_readings import judgement, reading_of

PIPELINES = ("chi-sepnet-r2prime", "chi-sepnet-r2star")


def questions(lesions: int = 30, repeats: Sequence[int] = (1,), reader: str = "AB") -> list[Question]:
    return [
        Question(f"Lesion_{number}", map_name, pipeline, reader, repeat)
        for repeat in repeats for number in range(1, lesions + 1) for pipeline in PIPELINES for map_name in GRADED_MAPS
    ]  # fmt: skip


def neighbours(order: Sequence[Question]) -> int:
    """Questions that follow one on the same lesion."""
    return sum(one.lesion_id == other.lesion_id for one, other in pairwise(order))


# Order


def test_the_order_is_the_same_everywhere() -> None:
    """Pinned: a study that was begun on another machine, or with an older version, goes on in the same order."""
    order = reading_order(questions(3), "AB", 7, "P-01")
    assert [(one.lesion_id[-1], one.map_name[4:], one.pipeline[-4:]) for one in order] == [
        ("2", "para", "star"),
        ("3", "dia", "rime"),
        ("1", "dia", "star"),
        ("2", "dia", "rime"),
        ("3", "para", "rime"),
        ("1", "para", "rime"),
        ("2", "dia", "star"),
        ("3", "para", "star"),
        ("1", "para", "star"),
        ("3", "dia", "star"),
        ("1", "dia", "rime"),
        ("2", "para", "rime"),
    ]


def test_every_question_is_asked_once_whatever_order_they_come_in() -> None:
    asked = questions()
    order = reading_order(asked, "AB", 1)
    assert sorted(order) == sorted(asked)
    assert reading_order(reversed(asked), "AB", 1) == order
    assert reading_order([*asked, *asked], "AB", 1) == order
    assert reading_order([], "AB", 1) == ()


def test_seed_reader_patient_and_repeat_each_change_the_order() -> None:
    orders = [
        reading_order(questions(), "AB", 1),
        reading_order(questions(), "AB", 2),
        reading_order(questions(), "AB", 1, "P-02"),
        reading_order(questions(reader="CD"), "CD", 1),
        reading_order(questions(repeats=(2,)), "AB", 1),
    ]
    places = {tuple(one[:3] for one in order) for order in orders}
    assert len(places) == len(orders)


def test_a_repeat_begins_when_the_one_before_is_done() -> None:
    order = reading_order(questions(repeats=(1, 2)), "AB", 1)
    assert [one.repeat for one in order] == [1] * 120 + [2] * 120
    assert reading_order(questions(), "AB", 1) == order[:120]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("lesions", [2, 3, 5, 40])
def test_no_lesion_comes_twice_in_a_row(lesions: int, seed: int) -> None:
    assert neighbours(reading_order(questions(lesions, repeats=(1, 2)), "AB", seed)) == 0


@pytest.mark.parametrize("seed", range(20))
def test_a_lesion_with_most_of_the_questions_is_kept_apart_as_far_as_possible(seed: int) -> None:
    often = [Question("Lesion_1", "chi_para", f"p{number}", "AB") for number in range(6)]
    for others, least in ((5, 0), (4, 1), (1, 4), (0, 5)):
        rest = [Question(f"Lesion_{number + 2}", "chi_para", "p", "AB") for number in range(others)]
        assert neighbours(reading_order([*often, *rest], "AB", seed)) == least


def test_every_place_is_as_likely_for_every_lesion() -> None:
    """Of 400 seeds, the first of ten lesions; χ² with 9 degrees of freedom stays below its 99.9th percentile."""
    first = Counter(reading_order(questions(10), "AB", seed)[0].lesion_id for seed in range(400))
    assert len(first) == 10
    assert sum((count - 40) ** 2 / 40 for count in first.values()) < 27.9


def test_another_readers_question_is_refused() -> None:
    with pytest.raises(InputError, match="got those of CD; expected AB's alone"):
        reading_order([*questions(1), *questions(1, reader="CD")], "AB", 1)


# Labels


def test_labels_hide_the_pipelines_and_come_back() -> None:
    key = blinding_key(PIPELINES, "AB", "P-01", 1)
    assert sorted(key.pipelines) == ["A", "B"]
    assert sorted(key.pipelines.values()) == sorted(PIPELINES)
    assert blinding_key(PIPELINES[::-1], "AB", "P-01", 1) == key
    for asked in questions(2):
        hidden = key.blinded(asked)
        assert hidden.pipeline in ("A", "B")
        assert key.unblinded(hidden) == asked
        assert key.unblinded(asked) == asked


def test_labels_differ_between_readers_and_patients_and_seeds() -> None:
    """Of 400 keys with two pipelines, either is A in about half."""
    keys = [blinding_key(PIPELINES, reader, f"P-{patient}", seed)
            for reader in ("AB", "CD") for patient in range(20) for seed in range(10)]  # fmt: skip
    count = sum(key.pipelines["A"] == PIPELINES[0] for key in keys)
    assert 160 <= count <= 240  # four standard deviations
    assert [key.pipelines["A"] for key in keys[:10]] != [key.pipelines["A"] for key in keys[200:210]]


def test_a_blinded_reading_does_not_name_pipelines_and_comes_back(tmp_path: Path) -> None:
    every = [
        judgement("Lesion_1", grade, pipeline=pipeline, reader=reader, repeat=repeat)
        for pipeline, grade in zip(PIPELINES, (Grade.ISO, Grade.HYPO), strict=True)
        for reader in ("AB", "CD") for repeat in (1, 2)
    ]  # fmt: skip
    open_reading = reading_of(*every, lesions=("Lesion_1",))
    keys = [blinding_key(PIPELINES, reader, "P-01", 3) for reader in ("AB", "CD")]
    hidden = blind(blind(open_reading, keys[0]), keys[1])
    write_reading(tmp_path / "reading.json", hidden)
    text = (tmp_path / "reading.json").read_text(encoding="utf-8")
    assert not any(pipeline in text for pipeline in PIPELINES)
    write_keys(tmp_path / "keys.json", keys)
    assert unblind(read_reading(tmp_path / "reading.json"), *read_keys(tmp_path / "keys.json")) == open_reading


def test_a_key_that_does_not_fit_is_refused() -> None:
    hidden = reading_of(judgement("Lesion_1", Grade.ISO, pipeline="C"))
    key = blinding_key(PIPELINES, "AB", "P-01", 1)
    with pytest.raises(InputError, match="label of a blinded reading: got 'C'; expected one of A, B"):
        unblind(hidden, key)
    for other in (replace(key, patient="P-02"), replace(key, reader="CD")):
        with pytest.raises(InputError, match="none for reader AB"):
            unblind(hidden, other)
    both = reading_of(judgement("Lesion_1", Grade.ISO, pipeline="A"),
                      judgement("Lesion_1", Grade.HYPO, pipeline=key.pipelines["A"]))  # fmt: skip
    with pytest.raises(InputError, match="two answers on Lesion_1"):
        unblind(both, key)


def test_pipelines_that_cannot_be_labelled_are_refused() -> None:
    with pytest.raises(InputError, match="pipelines to blind: got 0"):
        blinding_key([], "AB", "P-01", 1)
    with pytest.raises(InputError, match="pipelines to blind: got 27"):
        blinding_key([f"p{number}" for number in range(27)], "AB", "P-01", 1)
    with pytest.raises(InputError, match="one called B, like a label"):
        blinding_key(["x", "B"], "AB", "P-01", 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "of schema None"),
        ({"schema": 2, "keys": []}, "of schema 2"),
        ({"schema": 1}, "which is none"),
        ({"schema": 1, "keys": [{"reader": "AB"}]}, "which is none"),
        ({"schema": 1, "keys": [{"reader": "AB", "patient": "", "pipelines": ["x"]}]}, "which is none"),
        ({"schema": 1, "keys": [{"reader": 7, "patient": "", "pipelines": {}}]}, "no text"),
        ({"schema": 1, "keys": [{"reader": "", "patient": "", "pipelines": {"A": 3}}]}, "no text"),
    ],
)
def test_files_without_keys_are_refused(content: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_keys(tmp_path / "keys.json")


def test_keys_that_cannot_be_written_say_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_keys(tmp_path / "file" / "keys.json", [BlindingKey(reader="AB", patient="", pipelines={"A": "x"})])


# Progress


def test_progress_counts_answers_and_grades() -> None:
    asked = questions(2)
    reading = reading_of(
        judgement("Lesion_1", Grade.ISO, pipeline=PIPELINES[0]),
        judgement("Lesion_2", None, pipeline=PIPELINES[0]),
        judgement("Lesion_9", Grade.ISO, pipeline=PIPELINES[0]),
        judgement("Lesion_1", Grade.ISO, pipeline=PIPELINES[0], repeat=2),
        judgement("Lesion_1", Grade.ISO, pipeline=PIPELINES[0], reader="CD"),
    )
    assert progress(reading, asked) == Progress(answered=2, graded=1, total=8)
    assert progress(reading, []) == Progress(0, 0, 0)


def test_the_second_reading_waits_for_the_break() -> None:
    reading = reading_of(
        judgement("Lesion_1", Grade.ISO, time="2026-03-01T10:00:00+00:00"),
        judgement("Lesion_2", Grade.ISO, time="2026-03-02T12:00:00+02:00"),
        judgement("Lesion_3", Grade.ISO, time="2026-03-02"),
        judgement("Lesion_1", Grade.ISO, time="2026-03-09T10:00:00+00:00", reader="CD"),
        judgement("Lesion_1", Grade.ISO, time="2026-03-09T10:00:00+00:00", repeat=2),
    )
    fortnight = timedelta(days=14)
    now = datetime(2026, 3, 10, 10, tzinfo=UTC)
    assert break_left(reading, "AB", 2, fortnight, now) == timedelta(days=6)
    assert break_left(reading, "AB", 2, fortnight, now + timedelta(days=7)) == timedelta()
    assert break_left(reading, "AB", 3, fortnight, now) == timedelta(days=13)
    assert break_left(reading, "AB", 1, fortnight, now) == timedelta()
    assert break_left(reading, "EF", 2, fortnight) == timedelta()
