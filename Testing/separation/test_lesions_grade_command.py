"""``chisep lesions grade``: a table for each method of a run, each word of it a suggestion."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ChiSeparationLib import cli
from ChiSeparationLib.lesions.suggestion import THRESHOLDS_FILE
from ChiSepPreprocessLib.artifacts import Grid, Map, ScanParameters
from ChiSepPreprocessLib.files import write_json, write_map, write_nifti

_GRID = Grid((30, 26, 18), np.diag([1.0, 1.2, 1.6, 1.0]))
_SCAN = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))
#: Contrast of both lesions by method, ppb: χ_dia.
_CONTRASTS = {"closed-form": (-14.0, 0.0), "tkd": (-6.0, 0.0)}
_NUMBERS = (12, 3)

Call = Callable[..., tuple[int, str, str]]


def lesion_labels() -> np.ndarray:
    labels = np.zeros(_GRID.shape, dtype=np.int16)
    labels[6:11, 10:15, 7:11] = _NUMBERS[0]
    labels[20:24, 10:14, 7:11] = _NUMBERS[1]
    return labels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``run/`` with two methods and lesions numbered 12 and 3."""
    labels = lesion_labels()
    write_map(Map(name="brain_mask", data=np.ones(_GRID.shape, dtype=bool), grid=_GRID), _SCAN,
              tmp_path / "run" / "maps")  # fmt: skip
    for method, contrasts in _CONTRASTS.items():
        dia = np.full(_GRID.shape, 28.0) + np.random.default_rng(1).normal(0, 1.0, _GRID.shape)
        for number, contrast in zip(_NUMBERS, contrasts, strict=True):
            dia[labels == number] += contrast
        for name, data in (("chi_para", np.full(_GRID.shape, 0.017)), ("chi_dia", dia / 1e3)):
            write_map(Map(name=name, data=data, grid=_GRID, method=method), _SCAN, tmp_path / "run" / method)
    write_map(Map(name="lesions", data=labels, grid=_GRID), _SCAN, tmp_path / "run" / "lesions")
    write_json(tmp_path / "run" / "provenance.json", {"methods": {name: {} for name in _CONTRASTS}})
    return tmp_path


@pytest.fixture
def grade(capsys: pytest.CaptureFixture[str], folder: Path) -> Call:
    """``chisep lesions grade RUN …``: exit code, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["lesions", "grade", *(str(one) for one in arguments)])
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return call


def grades(path: Path) -> dict[int, str]:
    with path.open(encoding="utf-8", newline="") as stream:
        return {int(row["label"]): row["chi_dia_suggested_grade"] for row in csv.DictReader(stream)}


def test_every_method_gets_its_table_and_lesions_keep_their_numbers(grade: Call, folder: Path) -> None:
    code, out, _ = grade(folder / "run")
    assert code == 0
    assert grades(folder / "run" / "closed-form" / "lesions.csv") == {3: "isointense", 12: "hypointense"}
    assert grades(folder / "run" / "tkd" / "lesions.csv") == {3: "isointense", 12: "subtly hypointense"}
    note = json.loads((folder / "run" / "tkd" / "lesions.json").read_text(encoding="utf-8"))
    assert "not a reading" in note["notice"] and not note["lesions"][0]["suggestions"]["chi_dia"]["is_reading"]
    assert note["measures"]["mean_ppb"]["code"] == ["373098007", "SCT", "Mean"]
    assert "suggestion" in out and "not a reading" in out
    assert "White matter could not be told" in out  # there is no R2* in these maps


def test_json_alone_is_printed_for_programs(grade: Call, folder: Path) -> None:
    code, out, _ = grade(folder / "run", "--method", "tkd", "-o", folder / "out", "--json")
    assert code == 0
    found = json.loads(out)
    assert list(found["methods"]) == ["tkd"] and "not a reading" in found["notice"]
    assert found["methods"]["tkd"] == json.loads((folder / "out" / "lesions.json").read_text(encoding="utf-8"))


def test_the_users_own_limits_are_used(grade: Call, folder: Path) -> None:
    content = json.loads(THRESHOLDS_FILE.read_text(encoding="utf-8"))
    content["maps"]["chi_dia"]["clear_from"]["ppb"] = 20.0
    own = folder / "own.json"
    own.write_text(json.dumps(content), encoding="utf-8")
    grade(folder / "run", "--thresholds", own, "-o", folder / "out")
    assert grades(folder / "out" / "closed-form" / "lesions.csv") == {3: "isointense", 12: "subtly hypointense"}
    own.write_text("{}", encoding="utf-8")
    code, _, err = grade(folder / "run", "--thresholds", own)
    assert code == 2 and "own.json" in err


def test_lesions_of_a_mask_file(grade: Call, folder: Path) -> None:
    write_nifti(folder / "mask.nii.gz", (lesion_labels() > 0).astype(np.uint8), _GRID)
    code, out, _ = grade(folder / "run" / "tkd", "--lesions", folder / "mask.nii.gz", "--json")
    assert code == 2 and not out  # a method's folder alone has no mask of the brain
    code, out, _ = grade(folder / "run", "--lesions", folder / "mask.nii.gz", "--json")
    assert code == 0
    assert [one["label"] for one in json.loads(out)["methods"]["tkd"]["lesions"]] == [1, 2]


def _labels_of(out: str) -> list[int]:
    return sorted(one["label"] for one in json.loads(out)["methods"]["tkd"]["lesions"])


def test_a_label_map_file_keeps_its_numbers(grade: Call, folder: Path) -> None:
    labels = lesion_labels()
    write_nifti(folder / "labels.nii.gz", labels, _GRID)
    write_nifti(folder / "one.nii.gz", np.where(labels == _NUMBERS[0], labels, 0), _GRID)
    assert _labels_of(grade(folder / "run", "--lesions", folder / "labels.nii.gz", "--json")[1]) == [3, 12]
    assert _labels_of(grade(folder / "run", "--lesions", folder / "one.nii.gz", "--json")[1]) == [12]


def test_the_runs_lesions_bring_what_was_said_of_them(grade: Call, folder: Path) -> None:
    """Too small lesions are no longer in the label map, so that they count as white matter: the table must say so."""
    said = "Left out, since no larger than 20 mm³: 2 lesions of 9.6 mm³."
    one = Map(name="lesions", data=lesion_labels(), grid=_GRID, warnings=(said,))
    write_map(one, _SCAN, folder / "run" / "lesions")
    found = json.loads(grade(folder / "run", "--json")[1])["methods"]["tkd"]
    assert found["warnings"][0] == said


@pytest.mark.parametrize("is_flair", [True, False])
def test_lesions_drawn_on_the_flair_move_with_it(grade: Call, folder: Path, is_flair: bool) -> None:
    """The run keeps the FLAIR in place, and how far that was in its record; another grid lies where it says."""
    own = Grid((28, 28, 22), np.diag([1.1, 1.1, 1.3, 1.0]))
    moved = np.eye(4)
    moved[0, 3] = 4.4 if is_flair else 9.9  # of the GRE's tissue in the FLAIR
    write_nifti(folder / "run" / "images" / "flair.nii.gz", np.ones(own.shape, dtype=np.float32),
                Grid(own.shape, np.linalg.inv(moved) @ own.affine))  # fmt: skip
    record = {"methods": {name: {} for name in _CONTRASTS}, "flair": {"translation_mm": 4.4, "rotation_deg": 0.0}}
    write_json(folder / "run" / "provenance.json", record)
    drawn = np.zeros(own.shape, dtype=np.uint8)
    drawn[12:16, 10:14, 8:12] = 1
    write_nifti(folder / "drawn.nii.gz", drawn, own)
    found = json.loads(grade(folder / "run", "--lesions", folder / "drawn.nii.gz", "--json")[1])["methods"]["tkd"]
    there = found["lesions"][0]["centroid_r_mm"]
    assert there == pytest.approx(13.5 * 1.1 - (4.4 if is_flair else 0.0), abs=0.3)
    assert any("moved with it" in text for text in found["warnings"]) == is_flair


def test_limits_that_are_no_json_are_refused_in_words(grade: Call, folder: Path) -> None:
    (folder / "limits.json").write_text("isointense", encoding="utf-8")
    code, out, err = grade(folder / "run", "--thresholds", folder / "limits.json")
    assert code == 2 and not out and "limits.json, which is no JSON" in err


def test_no_lesion_is_an_empty_table_and_no_file_is_an_error(grade: Call, folder: Path) -> None:
    empty = Map(name="lesions", data=np.zeros(_GRID.shape, dtype=np.int16), grid=_GRID)
    write_map(empty, _SCAN, folder / "run" / "lesions")
    code, out, _ = grade(folder / "run", "--json")
    assert code == 0 and json.loads(out)["methods"]["tkd"]["lesions"] == []
    (folder / "run" / "lesions" / "lesions.nii.gz").unlink()
    code, _, err = grade(folder / "run")
    assert code == 2 and "--lesions" in err
