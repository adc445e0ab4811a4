"""Readings on disk come back as they were; what strangers wrote is refused in one sentence."""

from __future__ import annotations

import csv
import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ChiSeparationLib.lesions import reading_files
from ChiSeparationLib.lesions.grades import Grade
from ChiSeparationLib.lesions.reading import GRADED_MAPS, Judgement, Lesion, Question, Reading
from ChiSeparationLib.lesions.reading_files import (
    as_json,
    from_json,
    read_grades_csv,
    read_reading,
    write_grades_csv,
    write_reading,
)
from ChiSepPreprocessLib.errors import InputError, OutputError

TIME = "2026-03-04T05:06:07+00:00"

#: Text that breaks segment tags, CSV, spreadsheets or encodings.
HARD_TEXTS = (
    "a|b|c", "x:y", 'said "so"', "two\nlines", "two\r\nlines", "a\rb", "tab\there", "뇌 병변, 病灶, поражение, إصابة",
    "🧠", "=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "\t=1", " =1", "＝1", "'=1", "'til", "''", "", " ",
    ",;", "\u2028new\x0bline\x85", "\ufeffmark", "null", "0012", "a\x00b", "𝒳\u200f", "\\n", "%s{0}",
)  # fmt: skip


def judgement(lesion_id: str = "Lesion_1", map_name: str = "chi_para", comment: str = "", **other: Any) -> Judgement:
    asked = Question(lesion_id, map_name, other.pop("pipeline", "closed-form"), other.pop("reader", "AB"),
                     other.pop("repeat", 1))  # fmt: skip
    return Judgement(question=asked, grade=other.pop("grade", Grade.ISO), comment=comment, time=TIME, **other)


def reading_of(*judgements: Judgement, patient: str = "P-01", lesions: tuple[Lesion, ...] = ()) -> Reading:
    return Reading(patient=patient, lesions=lesions, judgements={one.question: one for one in judgements})


@pytest.fixture
def reading() -> Reading:
    lesions = (
        Lesion(lesion_id="Lesion_2", name="=Läsion|2", place="left", volume_mm3=0.1 + 0.2,
               centroid_ras_mm=(-12.5, 1 / 3, 40.0), came_from=("Lesion_1", "Lesion_7")),
        Lesion(lesion_id="Lesion_3"),
    )  # fmt: skip
    return reading_of(
        judgement("Lesion_2", grade=Grade.SUBTLE_HYPO, confidence=3, comment="rim?"),
        judgement("Lesion_2", "chi_dia", grade=None, comment="outside"),
        judgement("Lesion_2", repeat=2, reader="金"),
        lesions=lesions,
    )


def test_a_reading_comes_back_whole(reading: Reading, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "reading.json"
    write_reading(path, reading)
    again = read_reading(path)
    assert again == reading
    assert list(again) == list(reading)  # in order
    assert json.loads(path.read_text(encoding="utf-8"))["schema"] == reading_files.SCHEMA


def test_an_empty_reading_comes_back(tmp_path: Path) -> None:
    write_reading(tmp_path / "reading.json", Reading())
    assert read_reading(tmp_path / "reading.json") == Reading()
    write_grades_csv(tmp_path / "grades.csv", Reading())
    assert read_grades_csv(tmp_path / "grades.csv") == ()


@pytest.mark.parametrize("text", HARD_TEXTS)
def test_any_text_survives_in_json_and_csv(text: str, tmp_path: Path) -> None:
    named = text or "AB"
    lesion = Lesion(lesion_id=f"Lesion{text}", name=text, place=text)
    one = judgement(lesion.lesion_id, comment=text, reader=named, pipeline=named)
    written = reading_of(one, patient=text, lesions=(lesion,))
    write_reading(tmp_path / "reading.json", written)
    assert read_reading(tmp_path / "reading.json") == written
    write_grades_csv(tmp_path / "grades.csv", written)
    assert read_grades_csv(tmp_path / "grades.csv") == (written,)


@pytest.mark.parametrize("seed", range(5))
def test_random_readings_survive(seed: int, tmp_path: Path) -> None:
    """Comments drawn from the characters that make trouble, whole readings at a time."""
    draw = random.Random(seed)
    alphabet = "ab=+-@'\",;|:\t\r\n\\ \x00\x0b\x85\u2028\ufeffß病إ🧠＝"
    rows = [
        judgement(
            f"Lesion_{number}", draw.choice(GRADED_MAPS), "".join(draw.choices(alphabet, k=draw.randrange(12))),
            grade=draw.choice([*Grade, None]), confidence=draw.choice([1, 2, 3, None]), repeat=draw.randint(1, 4),
        )
        for number in range(60)
    ]  # fmt: skip
    written = reading_of(*rows)
    assert from_json(json.loads(json.dumps(as_json(written)))) == written
    write_grades_csv(tmp_path / "grades.csv", written)
    (found,) = read_grades_csv(tmp_path / "grades.csv")
    assert found.judgements == written.judgements


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    written = reading_of(*(judgement(f"Lesion_{n}", comment=text) for n, text in enumerate(HARD_TEXTS)))
    write_grades_csv(tmp_path / "grades.csv", written)
    with (tmp_path / "grades.csv").open(newline="", encoding="utf-8-sig") as stream:
        comments = [row["comment"] for row in csv.DictReader(stream)]
    assert len(comments) == len(HARD_TEXTS)
    assert not [text for text in comments if text.strip()[:1] in tuple("=+-@＝＋－＠")]


def test_a_table_of_several_patients_comes_back_patient_by_patient(reading: Reading, tmp_path: Path) -> None:
    other = reading_of(judgement("Lesion_9"), patient="P-02", lesions=(Lesion(lesion_id="Lesion_9", volume_mm3=21.5),))
    write_grades_csv(tmp_path / "grades.csv", reading, other)
    first, second = read_grades_csv(tmp_path / "grades.csv")
    assert second == other
    assert first.judgements == reading.judgements
    (lesion,) = first.lesions  # Lesion_3 was not judged
    assert (lesion.name, lesion.volume_mm3, lesion.centroid_ras_mm) == ("=Läsion|2", 0.1 + 0.2, (-12.5, 1 / 3, 40.0))
    assert lesion.came_from == ()


def test_columns_that_are_not_needed_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "grades.csv"
    path.write_text(f"reader,lesion_id,map_name,pipeline,grade,time,extra,comment\nAB,L1,chi_dia,x,hypo,{TIME},,'til\n")
    (found,) = read_grades_csv(path)
    assert found == reading_of(
        Judgement(question=Question("L1", "chi_dia", "x", "AB"), grade=Grade.HYPO, comment="'til", time=TIME),
        patient="", lesions=(Lesion(lesion_id="L1"),),
    )  # fmt: skip


def test_halves_of_characters_are_joined_or_replaced() -> None:
    found = from_json(as_json(reading_of(judgement(comment="\ud83e\udde0 \ud800"))))
    assert [one.comment for one in found] == ["🧠 \ufffd"]


def test_a_lesion_without_voxels_does_not_spoil_the_reading(tmp_path: Path) -> None:
    nowhere = Lesion(lesion_id="Lesion_1", volume_mm3=float("inf"), centroid_ras_mm=(float("nan"),) * 3)
    written = reading_of(judgement(), lesions=(nowhere,))
    write_reading(tmp_path / "reading.json", written)
    json.loads((tmp_path / "reading.json").read_text(), parse_constant=pytest.fail)
    assert read_reading(tmp_path / "reading.json").lesions == (Lesion(lesion_id="Lesion_1"),)
    write_grades_csv(tmp_path / "grades.csv", written)
    assert read_grades_csv(tmp_path / "grades.csv")[0].lesions == (Lesion(lesion_id="Lesion_1"),)


def test_the_oldest_form_is_migrated(tmp_path: Path) -> None:
    rows = [
        {"lesion": "Lesion_1", "map": "chi_para", "pipeline": "x", "reader": "AB", "grade": "hyper", "comment": "|",
         "time": TIME},
        {"lesion": "Lesion_1", "map": "chi_dia", "pipeline": "x", "reader": "AB", "grade": "", "comment": "",
         "time": TIME},
        {"lesion": "Lesion_2", "map": "chi_dia", "pipeline": "x", "reader": "AB", "grade": "subtle-hypo",
         "comment": "", "time": TIME},
    ]  # fmt: skip
    (tmp_path / "old.json").write_text(json.dumps(rows))
    found = read_reading(tmp_path / "old.json")
    assert [one.lesion_id for one in found.lesions] == ["Lesion_1", "Lesion_2"]
    assert [one.grade for one in found] == [Grade.HYPER, None, Grade.SUBTLE_HYPO]
    assert [one.comment for one in found] == ["|", "", ""]
    assert {one.question.repeat for one in found} == {1}
    assert from_json(as_json(found)) == found


def test_every_older_schema_has_its_step() -> None:
    steps = sorted(reading_files._MIGRATIONS)
    assert steps == list(range(reading_files.SCHEMA))
    assert all(second == first + 1 for first, second in pairwise(steps))


def test_a_newer_schema_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(InputError, match=r"got 99; expected 1 or older\. A newer version wrote it"):
        from_json({**as_json(Reading()), "schema": 99})


def _with(**changes: Any) -> dict[str, Any]:
    """A reading with one judgement changed."""
    content = as_json(reading_of(judgement()))
    content["judgements"][0].update(changes)
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "number of its schema"),
        ("text", "number of its schema"),
        ({}, "number of its schema"),
        ({"schema": True}, "number of its schema"),
        ({"schema": -1}, "number of its schema"),
        ({"schema": "1"}, "number of its schema"),
        ({"schema": 1, "lesions": {}, "judgements": []}, r"lesions \(reading\)"),
        ({"schema": 1, "lesions": []}, r"judgements \(reading\): got None"),
        ({"schema": 1, "patient": 7, "lesions": [], "judgements": []}, r"patient \(reading\): got 7"),
        ({"schema": 1, "lesions": [{}], "judgements": []}, r"lesion_id \(lesion 1\)"),
        ({"schema": 1, "lesions": [{"lesion_id": "a"}] * 2, "judgements": []}, "same identity twice"),
        ({"schema": 1, "lesions": [{"lesion_id": "a", "volume_mm3": float("nan")}], "judgements": []}, "volume_mm3"),
        ({"schema": 1, "lesions": [{"lesion_id": "a", "volume_mm3": 10**400}], "judgements": []}, "volume_mm3"),
        ({"schema": 1, "lesions": [{"lesion_id": "a", "centroid_ras_mm": [1, 2]}], "judgements": []}, "three numbers"),
        ({"schema": 1, "lesions": [{"lesion_id": "a", "came_from": [3]}], "judgements": []}, r"came_from \(lesion 1\)"),
        ([3], r"reading \(row 1\)"),
        ([{"lesion": 3}], r"lesion_id \(row 1\)"),
        ([{"lesion": "a"}], r"map_name \(judgement 1\)"),
        (_with(grade="bright"), r"grade \(judgement 1\): got 'bright'; expected one of hyper"),
        (_with(grade=2), r"grade \(judgement 1\): got 2"),
        (_with(map_name="chi_total"), r"map of a grade \(judgement 1\)"),
        (_with(confidence=4), r"confidence \(judgement 1\): got 4"),
        (_with(confidence=True), r"confidence \(judgement 1\): got True"),
        (_with(repeat=0), r"repeat of a reading \(judgement 1\)"),
        (_with(repeat=1.5), r"repeat \(judgement 1\)"),
        (_with(time="yesterday"), r"time of a grade \(judgement 1\)"),
        (_with(time=None), r"time \(judgement 1\)"),
        (_with(reader=""), r"grade \(judgement 1\)"),
        (_with(comment=["x"] * 10_000), r"comment \(judgement 1\)"),
    ],
)
def test_what_is_no_reading_is_refused(content: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        from_json(content)
    assert len(str(refused.value)) < 400


def test_a_question_answered_twice_is_refused(tmp_path: Path) -> None:
    content = as_json(reading_of(judgement()))
    content["judgements"] *= 2
    with pytest.raises(InputError, match="one answer to each question"):
        from_json(content)
    write_grades_csv(tmp_path / "grades.csv", reading_of(judgement()), reading_of(judgement(grade=Grade.HYPO)))
    with pytest.raises(InputError, match="one answer to each question"):
        read_grades_csv(tmp_path / "grades.csv")


@pytest.mark.parametrize("data", [b"", b"{", b"[1,", b"\xff\xfe{}", b"[" * 100_000, b"9" * 10_000])
def test_files_that_are_no_json_are_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "reading.json").write_bytes(data)
    with pytest.raises(InputError, match=r"reading: got reading\.json"):
        read_reading(tmp_path / "reading.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column lesion_id"),
        ("lesion_id,grade\nL1,iso\n", "no column map_name, pipeline, reader, time"),
        ("lesion_id,map_name,pipeline,reader,grade,time\nL1,chi_para,x,AB\n", "too many or too few cells"),
        ("lesion_id,map_name,pipeline,reader,grade,time\nL1,chi_para,x,AB,iso,2026-01-01,more\n", "too many or"),
        ("lesion_id,map_name,pipeline,reader,grade,time\n\"L1,chi_para,x,AB,iso,2026-01-01\n", "which is no CSV"),
        ("lesion_id,map_name,pipeline,reader,grade,time\nL1,chi_para,x,AB,white,2026-01-01\n", r"grade \(line 2\)"),
        ("lesion_id,map_name,pipeline,reader,grade,time,repeat\nL1,chi_para,x,AB,iso,2026-01-01,two\n", "repeat"),
        ("lesion_id,map_name,pipeline,reader,grade,time,volume_mm3\nL1,chi_para,x,AB,iso,2026-01-01,nan\n", "volume"),
        (f"lesion_id,map_name,pipeline,reader,grade,time\n{'L' * 200_000},chi_para,x,AB,iso,2026-01-01\n", "no CSV"),
    ],
)  # fmt: skip
def test_tables_of_another_form_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "grades.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_grades_csv(tmp_path / "grades.csv")


def test_files_that_are_missing_or_too_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(InputError, match="which is no file"):
            read_reading(path)
    write_reading(tmp_path / "reading.json", Reading())
    monkeypatch.setattr(reading_files, "LARGEST_FILE_BYTES", 10)
    with pytest.raises(InputError, match="expected a smaller file"):
        read_reading(tmp_path / "reading.json")


def test_a_mark_at_the_start_of_a_file_does_not_matter(reading: Reading, tmp_path: Path) -> None:
    (tmp_path / "reading.json").write_text(json.dumps(as_json(reading)), encoding="utf-8-sig")
    assert read_reading(tmp_path / "reading.json") == reading


def test_a_text_too_long_for_a_cell_is_refused_and_nothing_written(tmp_path: Path) -> None:
    long = reading_of(judgement(comment="x" * (reading_files.LONGEST_CELL + 1)))
    with pytest.raises(InputError, match="comment in a table of grades"):
        write_grades_csv(tmp_path / "grades.csv", long)
    assert list(tmp_path.iterdir()) == []
    write_reading(tmp_path / "reading.json", long)
    assert read_reading(tmp_path / "reading.json") == long


def test_a_file_that_cannot_be_written_leaves_the_old_one(reading: Reading, tmp_path: Path) -> None:
    path = tmp_path / "reading.json"
    write_reading(path, reading)
    before = path.read_bytes()
    with pytest.raises(OutputError):
        write_reading(path / "below a file.json", reading)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["reading.json"]
