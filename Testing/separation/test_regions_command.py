"""``chisep regions``: tables, files and plots, and what it refuses; on small made-up maps."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ChiSeparationLib import cli
from ChiSepPreprocessLib.artifacts import Grid, Map, ScanParameters
from ChiSepPreprocessLib.files import write_json, write_map, write_nifti

_GRID = Grid((16, 12, 10), np.diag([1.0, 1.2, 2.0, 1.0]))
_SCAN = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))
_LABELS = np.broadcast_to(np.arange(16)[:, None, None] // 4, _GRID.shape).astype(np.int16)
_PARA = np.array([0.0, 0.020, 0.050, 0.090])[_LABELS]
_SLOPES = {"tkd": 0.7, "closed-form": 1.1}

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """``run/`` with two methods, ``labels.nii.gz``, ``names.csv`` and ``normal.csv`` beside it."""
    maps = {"brain_mask": np.ones(_GRID.shape, dtype=bool), "r2star": 17 + 100 * _PARA}
    for name, data in maps.items():
        write_map(Map(name=name, data=data, grid=_GRID), _SCAN, tmp_path / "run" / "maps")
    for method, slope in _SLOPES.items():
        one = Map(name="chi_para", data=slope * _PARA, grid=_GRID, method=method)
        write_map(one, _SCAN, tmp_path / "run" / method)
    write_json(tmp_path / "run" / "provenance.json", {"methods": {name: {} for name in _SLOPES}})
    write_nifti(tmp_path / "labels.nii.gz", _LABELS, _GRID)
    (tmp_path / "names.csv").write_text("label,name\n1,CN\n2,Put\n3,GP\n", encoding="utf-8")
    (tmp_path / "normal.csv").write_text("region,map,mean_ppb,sd_ppb\nPut,chi_para,50,2.5\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def regions(capsys: pytest.CaptureFixture[str], run: Path) -> Call:
    """``chisep regions RUN --labels … …``: exit code, standard output, standard error."""

    def call(*arguments: object, labels: str = "labels.nii.gz") -> tuple[int, str, str]:
        given = ["regions", run / "run", "--labels", run / labels, "--label-names", run / "names.csv", *arguments]
        with pytest.raises(SystemExit) as ended:
            cli.main([str(one) for one in given])
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return call


def test_json_and_files_hold_the_same(regions: Call, run: Path) -> None:
    code, out, _ = regions("--reference", "tkd", "--normative", run / "normal.csv", "-o", run / "out", "--json")
    assert code == 0
    found = json.loads(out)
    assert found == json.loads((run / "out" / "regions.json").read_text(encoding="utf-8"))
    line = found["lines"]["closed-form"]["chi_para"]
    assert (line["slope"], line["r_squared"]) == (pytest.approx(1.1 / 0.7), pytest.approx(1.0))
    rows = {(row["method"], row["map"], row["region"]): row for row in found["rows"]}
    putamen = rows["closed-form", "chi_para", "Put"]
    assert (putamen["mean"], putamen["reference_mean"]) == (pytest.approx(55.0), pytest.approx(35.0))
    assert putamen["z_score"] == pytest.approx((55.0 - 50.0) / 2.5)
    # A map of the preprocessing belongs to the run, and is listed once.
    assert [key for key in rows if key[1] == "r2star"] == [("tkd", "r2star", name) for name in ("CN", "Put", "GP")]
    with (run / "out" / "regions.csv").open(encoding="utf-8", newline="") as stream:
        written = list(csv.DictReader(stream))
    assert [float(row["mean"]) for row in written] == pytest.approx([row["mean"] for row in found["rows"]])
    for name in ("reference.png", "normative.png"):
        assert (run / "out" / name).read_bytes().startswith(b"\x89PNG")


def test_people_see_tables_and_the_slope(regions: Call) -> None:
    code, out, _ = regions("--reference", "tkd")
    assert code == 0
    assert "chi_para (ppb)" in out and "closed-form against tkd: slope 1.571, R² 1.000" in out
    assert any(line.split()[:4] == ["2", "Put", "closed-form", "480"] for line in out.splitlines())


def test_a_folder_is_a_reference_too(regions: Call, run: Path) -> None:
    other = run / "other"
    for name, data in (("chi_para", _PARA), ("brain_mask", np.ones(_GRID.shape, dtype=bool))):
        write_map(Map(name=name, data=data, grid=_GRID), _SCAN, other)
    _, out, _ = regions("--reference", other, "--method", "tkd", "--json")
    found = json.loads(out)
    assert found["reference"] == "other" and found["lines"]["tkd"]["chi_para"]["slope"] == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--reference", "medi"), "tkd, closed-form"),
        (("--method", "medi"), "medi"),
        (("--normative", "no.csv"), "no.csv"),
        (("--age", "40"), "no --normative"),
    ],
)
def test_what_it_refuses(regions: Call, arguments: tuple[str, ...], message: str) -> None:
    code, out, err = regions(*arguments)
    assert code == 2 and message in err and not out


def test_labels_that_miss_the_brain_are_refused(regions: Call, run: Path) -> None:
    write_nifti(run / "half.nii.gz", _LABELS + np.float32(0.5), _GRID)
    code, _, err = regions(labels="half.nii.gz")
    assert code == 2 and "whole numbers" in err


def test_a_region_outside_the_brain_is_named(regions: Call, run: Path) -> None:
    brain = _LABELS != 2
    write_map(Map(name="brain_mask", data=brain, grid=_GRID), _SCAN, run / "run" / "maps")
    code, out, _ = regions("--json")
    assert code == 0
    assert [text for text in json.loads(out)["warnings"] if text.endswith(": Put.")]
