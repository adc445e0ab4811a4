"""``chisep lesions agree``: what people and programs see, and how it ends."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ChiSeparationLib import cli
from ChiSeparationLib.lesions.blinding import blind, blinding_key, write_keys
from ChiSeparationLib.lesions.grades import Grade
from ChiSeparationLib.lesions.reading_files import write_grades_csv, write_reading
from lesion_readings import PAPER, R2PRIME, R2STAR, judgement, paper_readings, reading_of

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def agree(capsys: pytest.CaptureFixture[str]) -> Call:
    """``chisep lesions agree …``: exit code, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["lesions", "agree", *(str(one) for one in arguments)])
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return call


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Readings of the paper's 12 patients on disk."""
    folder = tmp_path_factory.mktemp("paper")
    readings = paper_readings()
    for reading in readings:
        write_reading(folder / f"{reading.patient}.json", reading)
    return sorted(folder.glob("*.json"))


@pytest.fixture
def reading(tmp_path: Path) -> Path:
    """One patient, two readers, one of them on two pipelines."""
    path = tmp_path / "reading.json"
    write_reading(path, reading_of(
        judgement("Lesion_1", Grade.ISO), judgement("Lesion_1", Grade.HYPO, reader="C,D=E"),
        judgement("Lesion_2", Grade.HYPO), judgement("Lesion_2", Grade.HYPO, pipeline="y"),
        lesions=("Lesion_1", "Lesion_2", "Lesion_3"),
    ))  # fmt: skip
    return path


BETWEEN_PIPELINES = ("--between", f"pipeline={R2PRIME}", "--and", f"pipeline={R2STAR}")


def test_the_papers_tables_are_printed(agree: Call, paper: list[Path]) -> None:
    code, out, err = agree(*paper, *BETWEEN_PIPELINES)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    for table in PAPER.values():
        for title, row in zip(("Hyper", "hyper", "Iso", "hypo", "Hypo"), table, strict=True):
            cells = [str(one) for one in (*row, sum(row))]
            assert [row for row in rows if row[-7:] == [title, *cells]], (title, cells)
    assert "Agreement: 99.6 % (249 of 250); 97.8 % to 99.9 %" in out
    assert "Agreement: 98.4 % (246 of 250); 96.0 % to 99.4 %" in out
    assert out.count("Not in the table: none") == 2
    assert "McNemar-Bowker: χ² = 4.000, df = 2, p = 0.1353" in out
    assert out.count(": subtly hypointense / hypointense") == 4


def test_programs_get_one_line_and_files_the_same(agree: Call, paper: list[Path], tmp_path: Path) -> None:
    code, out, _ = agree(*paper, *BETWEEN_PIPELINES, "--json", "--map", "chi_dia", "-o", tmp_path / "found.json")
    assert (code, out.count("\n")) == (0, 1)
    (found,) = json.loads(out)["agreements"]
    assert found["table"] == [list(row) for row in PAPER["chi_dia"]]
    assert found["figure"]["counts"] == found["table"]
    assert json.loads((tmp_path / "found.json").read_text(encoding="utf-8")) == json.loads(out)
    code, out, _ = agree(*paper, *BETWEEN_PIPELINES, "-o", tmp_path / "found.csv")
    with (tmp_path / "found.csv").open(newline="", encoding="utf-8-sig") as stream:
        assert sum(int(row["total"]) for row in csv.DictReader(stream)) == 500
    code, again, _ = agree(*paper, *BETWEEN_PIPELINES, "-o", tmp_path / "found.txt")
    assert again == out
    assert (tmp_path / "found.txt").read_text(encoding="utf-8") == out


def test_a_table_of_grades_does_as_well_as_readings(agree: Call, paper: list[Path], tmp_path: Path) -> None:
    write_grades_csv(tmp_path / "grades.csv", *paper_readings())
    assert agree(tmp_path / "grades.csv", *BETWEEN_PIPELINES, "--json") == agree(*paper, *BETWEEN_PIPELINES, "--json")


def test_names_may_hold_commas_and_signs_of_equality(agree: Call, reading: Path) -> None:
    code, out, _ = agree(reading, "--between", "reader=AB,pipeline=x", "--and", "reader=C,D=E", "--json")
    assert code == 0
    para = json.loads(out)["agreements"][0]
    assert para["second"]["reader"] == "C,D=E"
    assert para["second"]["pipeline"] == "x"
    (one,) = para["discordant"]
    assert (one["lesion_id"], one["first"], one["second"], one["steps"]) == ("Lesion_1", "iso", "hypo", 2)
    assert [one["lesion_id"] for one in para["unmatched"]["only_first"]] == ["Lesion_2"]
    assert [one["lesion_id"] for one in para["unmatched"]["neither"]] == ["Lesion_3"]


def test_a_reader_and_the_suggestion(agree: Call, reading: Path, tmp_path: Path) -> None:
    suggested = {"chi_para": {"code": "iso"}, "chi_dia": {"code": None}}
    rows = [{"label": 1, "suggestions": suggested}, {"label": 2, "suggestions": suggested}]
    (tmp_path / "lesions.json").write_text(json.dumps({"lesions": rows}))
    arguments = reading, "--between", "reader=AB,pipeline=x", "--and", "suggestion", "--map", "chi_para", "--json"
    code, out, _ = agree(*arguments, "--suggestions", tmp_path / "lesions.json")
    assert code == 0
    (para,) = json.loads(out)["agreements"]
    assert (para["statistics"]["agreed"], para["statistics"]["pairs"]) == (1, 2)
    assert para["second"]["name"] == "suggestion"
    code, out, err = agree(*arguments)
    assert (code, out) == (2, "")
    assert _one_line(err)
    assert "suggestions: got none; expected a lesion table for each patient" in err


def test_blinded_readings_are_compared_with_their_keys(agree: Call, paper: list[Path], tmp_path: Path) -> None:
    keys = [blinding_key((R2PRIME, R2STAR), "AB", reading.patient, 1) for reading in paper_readings()]
    assert len({key.pipelines["A"] for key in keys}) == 2  # A is not the same pipeline for all patients
    write_keys(tmp_path / "keys.json", keys)
    paths = [tmp_path / path.name for path in paper]
    for path, reading, key in zip(paths, paper_readings(), keys, strict=True):
        write_reading(path, blind(reading, key))
    found = agree(*paths, *BETWEEN_PIPELINES, "--json", "--keys", tmp_path / "keys.json")
    assert found == agree(*paper, *BETWEEN_PIPELINES, "--json")
    code, _, err = agree(*paths, *BETWEEN_PIPELINES)
    assert code == 2
    assert "expected reader AB, pipeline A or B, repeat 1" in err


def test_no_pair_is_a_result(agree: Call, reading: Path) -> None:
    code, out, _ = agree(reading, "--between", "reader=C,D=E,pipeline=x", "--and", "reader=AB,pipeline=y")
    assert code == 0
    assert "Agreement: – (0 of 0); no interval" in out
    assert "Note: There is no pair to compare." in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--between", "reader=AB", "--and", "reader=ZZ"), "reader ZZ, of whom there is no judgement"),
        (("--between", "reader=AB", "--and", "reader=AB"), "raters: got reader AB twice"),
        (("--between", "reader", "--and", "reader=AB"), "rater: got 'reader'; expected such as reader=AB"),
        (("--between", "reader=", "--and", "reader=AB"), "rater: got 'reader='"),
        (("--between", "colour=red", "--and", "reader=AB"), "rater: got 'colour=red'"),
        (("--between", "reader=A,reader=B", "--and", "reader=AB"), "rater: got 'reader=A,reader=B'"),
        (("--between", "repeat=two", "--and", "repeat=1"), "expected repeat=1 or another whole number"),
        (("--between", "reader=AB", "--and", "repeat=1", "--map", "qsm"), "map to compare: got 'qsm'"),
        (("--between", "pipeline=x", "--and", "pipeline=y", "--level", "95"), "confidence level: got 95"),
        (("--between", "pipeline=x", "--and", "pipeline=y", "-o", "found.docx"), "ends with .json, .csv or .txt"),
        (("--between", "pipeline=x", "--and", "pipeline=y", "-o", "reading.json"), "one of the readings"),
        (("--between", "pipeline=x"), "Missing option '--and'"),
        (("--between", "pipeline=x", "--and", "suggestion", "--suggestions", "reading.json"), "no lesion table"),
        (("--between", "pipeline=x", "--and", "suggestion", *("--suggestions", "reading.json") * 2), "2 for 1"),
    ],
)  # fmt: skip
def test_bad_input_ends_with_one_line(
    agree: Call, reading: Path, arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(reading.parent)
    before = reading.read_bytes()
    code, out, err = agree(reading, *arguments)
    assert (code, out) == (2, "")
    assert _one_line(err)
    assert message in err
    assert [one.name for one in reading.parent.iterdir()] == ["reading.json"]
    assert reading.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "data"), [("a.json", b"{}"), ("a.json", b"\x00\xff"), ("a.csv", b"x"), ("none.json", None)]
)
def test_files_that_are_no_readings_end_with_one_line(
    agree: Call, tmp_path: Path, name: str, data: bytes | None
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    code, out, err = agree(tmp_path / name, *BETWEEN_PIPELINES)
    assert (code, out) == (2, "")
    assert _one_line(err)


def _one_line(text: str) -> bool:
    return text.startswith("chisep: ") and text.count("\n") == 1 and "Traceback" not in text
