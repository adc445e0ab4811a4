"""``chisep evaluate``: several estimates, regions, files, and what it refuses; on small made-up maps."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from ChiSeparationLib import cli
from ChiSepPreprocessLib.artifacts import Grid, Map, ScanParameters
from ChiSepPreprocessLib.files import write_json, write_map, write_nifti
from ChiSepReconstructLib.evaluation.metrics import METRICS, nrmse

_GRID = Grid((14, 12, 10), np.diag([1.0, 1.2, 2.0, 1.0]))
_SCAN = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))
_LABELS = np.broadcast_to(np.arange(14)[:, None, None] // 2, _GRID.shape).astype(np.int16)
_TRUTH = np.array([0.02, 0.045, 0.075, 0.13, 0.11, 0.115, 0.03])[_LABELS]
_NAMES = {1: "CN", 2: "Put", 3: "GP", 4: "RN", 5: "SN", 6: "Thal"}


def _write(folder: Path, method: str = "given", **maps: np.ndarray) -> None:
    for name, data in maps.items():
        write_map(Map(name=name, data=data, grid=_GRID, method=method), _SCAN, folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``truth/``; ``run/`` with two methods; ``plain/`` maps; ``labels.nii.gz`` and ``names.csv``."""
    rng = np.random.default_rng(2)
    brain = np.ones(_GRID.shape, dtype=bool)
    brain[:, 0] = False
    _write(tmp_path / "truth", chi_para=_TRUTH, chi_total=_TRUTH - 0.01, r2star=17 + 118 * _TRUTH, brain_mask=brain,
           csf_mask=_LABELS == 0)  # fmt: skip
    _write(tmp_path / "run" / "maps", r2star=17 + 119 * _TRUTH, r2prime=118 * _TRUTH + 2.0, brain_mask=brain)
    for method, slope in (("tkd", 0.8), ("closed-form", 1.1)):
        chi = slope * _TRUTH + 0.002 + rng.normal(0, 1e-4, _GRID.shape)
        _write(tmp_path / "run" / method, method, chi_total=chi, **({"chi_para": chi} if slope > 1 else {}))
    write_json(tmp_path / "run" / "provenance.json", {"methods": {"tkd": {}, "closed-form": {}}})
    _write(tmp_path / "plain", chi_para=_TRUTH * 0.9, brain_mask=brain)
    write_nifti(tmp_path / "labels.nii.gz", _LABELS, _GRID)
    (tmp_path / "names.csv").write_text("label,name\n" + "".join(f"{n},{name}\n" for n, name in _NAMES.items()))
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        cli.main(["evaluate", *(str(one) for one in arguments)])
    captured = capsys.readouterr()
    return int(left.value.code or 0), captured.out, captured.err


def test_every_method_of_every_estimate_is_a_row(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    paths = ("--estimate", folder / "run", "--estimate", folder / "plain", "--truth", folder / "truth")
    code, out, _ = call(capsys, *paths, "--json")
    assert code == 0
    found = {label: one["maps"] for label, one in json.loads(out)["estimates"].items()}
    assert {label: list(maps) for label, maps in found.items()} == {
        "tkd": ["r2star", "chi_total"], "closed-form": ["chi_total", "chi_para"], "plain": ["chi_para"],
    }  # fmt: skip
    inside = (_LABELS > 0) & (np.arange(12)[:, None] > 0)
    assert found["plain"]["chi_para"]["nrmse_percent"] == pytest.approx(10.0, rel=1e-5)
    assert found["plain"]["chi_para"]["voxels"] == int(inside.sum())
    code, out, _ = call(capsys, *paths)
    rows = [line.split() for line in out.splitlines() if line.strip().startswith(("chi_", "r2star"))]
    assert [row[:3] for row in rows] == [
        ["r2star", "tkd", "given"], ["chi_total", "tkd", "tkd"], ["chi_total", "closed-form", "closed-form"],
        ["chi_para", "closed-form", "closed-form"], ["chi_para", "plain", "given"],
    ]  # fmt: skip


def test_one_method_alone_keeps_its_maps_at_the_top(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    paths = ("--estimate", folder / "run", "--method", "closed-form", "--truth", folder / "truth", "--json")
    _, out, _ = call(capsys, *paths)
    found = json.loads(out)
    assert found["maps"] == found["estimates"]["closed-form"]["maps"]
    assert list(found["maps"]) == ["r2star", "chi_total", "chi_para"]


def test_regions_slope_and_constant(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    paths = ("--estimate", folder / "run", "--truth", folder / "truth", "--labels", folder / "labels.nii.gz",
             "--label-names", folder / "names.csv")  # fmt: skip
    _, out, _ = call(capsys, *paths, "--json")
    found = json.loads(out)["estimates"]
    line = found["closed-form"]["regions"]["chi_para"]["line"]
    assert (line["slope"], line["intercept"], line["points"]) == (
        pytest.approx(1.1, rel=1e-3), pytest.approx(0.002, abs=5e-5), 6,
    )  # fmt: skip
    assert [one["name"] for one in found["tkd"]["regions"]["chi_total"]["estimate"]] == list(_NAMES.values())
    assert found["tkd"]["relaxivity"]["line"]["slope"] == pytest.approx(118 / 0.8, rel=1e-3)
    _, out, _ = call(capsys, *paths)
    assert "R2′ against QSM in deep grey matter, 107 ± 0 Hz/ppm at 3 T" in out
    slopes = [[float(one) for one in line.split()[1:]] for line in out.splitlines() if line.split()[:1] == ["slope"]]
    assert slopes == [
        pytest.approx([119 / 118], rel=1e-3), pytest.approx([0.8, 1.1], rel=1e-3), pytest.approx([1.1], rel=1e-3),
    ]  # fmt: skip


def test_regions_without_a_truth(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, out, _ = call(capsys, "--estimate", folder / "plain", "--labels", folder / "labels.nii.gz")
    assert code == 0
    assert "slope" not in out
    means = {row[0]: row[3] for row in map(str.split, out.splitlines()) if len(row) > 4 and row[0] == row[1]}
    assert means["3"] == "0.117"


def test_csv_and_plot(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    from matplotlib.image import imread

    code, _, _ = call(
        capsys, "--estimate", folder / "run", "--truth", folder / "truth", "--labels", folder / "labels.nii.gz",
        "--csv", folder / "out" / "table.csv", "--plot", folder / "out" / "plot.png",
    )  # fmt: skip
    assert code == 0
    with (folder / "out" / "table.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["estimate"], row["map"]) for row in rows] == [
        ("tkd", "r2star"), ("tkd", "chi_total"), ("closed-form", "chi_total"), ("closed-form", "chi_para"),
    ]  # fmt: skip
    assert set(METRICS) < set(rows[0])
    assert float(rows[3]["regions_slope"]) == pytest.approx(1.1, rel=1e-3)
    assert float(rows[3]["nrmse_percent"]) == pytest.approx(
        nrmse(1.1 * _TRUTH + 0.002, _TRUTH, (_LABELS > 0) & (np.arange(12)[:, None] > 0)), rel=5e-3
    )
    with (folder / "out" / "table_regions.csv").open(encoding="utf-8", newline="") as stream:
        regions = list(csv.DictReader(stream))
    assert len(regions) == 4 * 6
    assert float(regions[-1]["truth_mean"]) == pytest.approx(0.03)
    picture = imread(folder / "out" / "plot.png")
    assert picture.shape[0] > 500 and picture.shape[1] > 500 and picture.min() < 0.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "neither --truth nor --labels"),
        (("--truth", "{0}/truth", "--label-names", "{0}/names.csv"), "Add --labels"),
        (("--truth", "{0}/truth", "--plot", "{0}/plot.png"), "Add --labels and --truth"),
        (("--truth", "{0}/truth", "--labels", "{0}/other.nii.gz"), "Bring the atlas onto these maps"),
        (("--truth", "{0}/truth", "--labels", "{0}/truth/chi_para.nii.gz"), "no whole numbers"),
        (("--truth", "{0}/truth", "--labels", "{0}/labels.nii.gz", "--label-names", "{0}/none.csv"), "cannot be read"),
        (("--truth", "{0}/truth", "--method", "magic"), "one of"),
        (("--truth", "{0}/truth", "--method", "tkd", "--vessels"), "'chi_dia' among them"),
    ],
)
def test_bad_input_of_evaluate_is_one_line(
    capsys: pytest.CaptureFixture[str], folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    write_nifti(folder / "other.nii.gz", _LABELS, Grid(_GRID.shape, np.eye(4)))
    code, out, err = call(capsys, "--estimate", folder / "run", *(one.format(folder) for one in arguments))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
