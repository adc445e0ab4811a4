"""``chisep lesions follow``: two runs of a head that moved, its lesions and their χ known."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ChiSeparationLib import cli
from ChiSeparationLib.lesions.longitudinal_table import Called
from ChiSeparationLib.run_folder import LESIONS, MAPS, read_run
from ChiSeparationLib.time_points import TimePointOptions, bring_together
from ChiSepPreprocessLib.artifacts import Array, Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_nifti, write_json, write_map, write_nifti

Call = Callable[..., tuple[int, str, str]]

#: Half axes of the brain, mm; tissue and noise of the χ maps, ppb.
AXES_MM, PARA, DIA, SIGMA = np.array((52.0, 62.0, 46.0)), 60.0, 70.0, 3.0

#: Lesions in the head's own axes: number at each time (0: absent), place (mm), radius at each time (mm), rise (ppb).
HEAD = (
    (1, 6, (-25.0, 5.0, 10.0), (7.0, 7.0), 0.0),
    (2, 3, (25.0, 8.0, 12.0), (7.0, 7.0), 16.0),
    (3, 5, (-20.0, -30.0, -5.0), (5.0, 8.0), 0.0),
    (4, 0, (22.0, -28.0, 0.0), (6.0, 6.0), 0.0),
    (0, 9, (0.0, 38.0, -6.0), (6.0, 6.0), 0.0),
)  # fmt: skip


def _turn(x_deg: float, y_deg: float, z_deg: float) -> Array:
    (a, b, c), (d, e, f) = (function(np.deg2rad((x_deg, y_deg, z_deg))) for function in (np.cos, np.sin))
    about_x = np.array([[1, 0, 0], [0, a, -d], [0, d, a]])
    about_y = np.array([[b, 0, e], [0, 1, 0], [-e, 0, b]])
    about_z = np.array([[c, -f, 0], [f, c, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


def _motion(rotation: Array, shift_mm: tuple[float, float, float]) -> Array:
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = rotation, shift_mm
    return motion


def _grid(shape: tuple[int, int, int], size_mm: tuple[float, float, float], tilt: Array) -> Grid:
    """Centred on the scanner's middle."""
    affine = np.eye(4)
    affine[:3, :3] = tilt @ np.diag(size_mm)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


#: Two oblique, anisotropic grids; the head lies 7° and 6 mm otherwise the second time.
FIRST = _grid((56, 66, 44), (2.1, 2.0, 2.4), _turn(10.0, 0.0, -4.0))
SECOND = _grid((58, 66, 46), (2.0, 2.1, 2.3), _turn(-6.0, 3.0, 0.0))
MOVED = _motion(_turn(5.0, -3.0, 4.0), (4.0, -3.0, 3.0))


def _in_head(grid: Grid, motion: Array) -> Array:
    """Voxels' places in the head's own axes, mm."""
    places = np.einsum("ab,bijk->ijka", grid.affine[:3, :3], np.indices(grid.shape)) + grid.affine[:3, 3]
    return np.asarray((places - motion[:3, 3]) @ motion[:3, :3])


def _scan(
    grid: Grid, motion: Array, time: int, seed: int = 0, head: int = 3, lesions: bool = True
) -> tuple[MapSet, Array]:
    """One scan of a head: a magnitude that tells it from others, χ maps, and its lesions."""
    place, anatomy, noise = _in_head(grid, motion), np.random.default_rng(head), np.random.default_rng(100 + seed)
    axes_mm = AXES_MM * np.roll((1.0, 1.0, 1.0) if head == 3 else (0.9, 1.1, 1.0), head)
    inside = np.square(place / axes_mm).sum(-1) < 1
    magnitude = inside + 0.3 * (np.square(place / (axes_mm + 8)).sum(-1) < 1)
    for _ in range(25):
        centre, width, height = (
            anatomy.uniform(-0.7, 0.7, 3) * AXES_MM,
            anatomy.uniform(4, 9),
            anatomy.uniform(-0.7, 0.7),
        )
        magnitude *= 1 + height * np.exp(-np.square((place - centre) / width).sum(-1) / 2)
    labels, para = np.zeros(grid.shape, np.int32), np.full(grid.shape, PARA)
    for *numbers, centre, radii, rise in HEAD if lesions else ():
        within = np.linalg.norm(place - centre, axis=-1) <= radii[time]
        if numbers[time]:
            labels[within] = numbers[time]
            para[within] += 10.0 + rise * time
    scan = ScanParameters(echo_times_s=(0.005, 0.01), field_strength_t=3.0, b0_direction_ijk=grid.b0_direction_ijk)
    arrays = {
        "magnitude": 100 * magnitude + noise.normal(0, 1, grid.shape), "brain_mask": inside, "field_mask": inside,
        "chi_para": (para + noise.normal(0, SIGMA, grid.shape)) / 1e3,
        "chi_dia": (DIA + noise.normal(0, SIGMA, grid.shape)) / 1e3,
    }  # fmt: skip
    made = {
        name: Map(name=name, data=np.abs(one).astype(one.dtype), grid=grid,
                  method="closed-form" if name.startswith("chi_") else "given")
        for name, one in arrays.items()
    }  # fmt: skip
    return MapSet(grid, scan, made), labels


def _write(folder: Path, maps: MapSet, labels: Array | None, method: str = "closed-form") -> Path:
    """As a run leaves it."""
    for name, one in maps.items():
        write_map(one, maps.scan, folder / (method if name.startswith("chi_") else MAPS))
    write_json(folder / "provenance.json", {"methods": {method: {}}})
    if labels is not None:
        write_nifti(folder / LESIONS / "lesions.nii.gz", labels, maps.grid)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``first``; ``second``, moved; ``still``, the same as if the head had not moved; and ``other``, another head."""
    folder = tmp_path_factory.mktemp("runs")
    _write(folder / "first", *_scan(FIRST, np.eye(4), 0))
    _write(folder / "second", *_scan(SECOND, MOVED, 1, seed=1))
    _write(folder / "still", *_scan(SECOND, np.eye(4), 1, seed=1))
    _write(folder / "other", *_scan(SECOND, np.eye(4), 1, seed=2, head=11))
    return folder


@pytest.fixture
def follow(capsys: pytest.CaptureFixture[str]) -> Call:
    """``chisep lesions follow …``: exit code, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["lesions", "follow", *(str(one) for one in arguments)])
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return call


@pytest.mark.parametrize(("second", "options"), [("second", ()), ("still", ("--registered",))])
def test_a_head_that_moved_and_its_lesions(
    follow: Call, runs: Path, tmp_path: Path, second: str, options: tuple[str, ...]
) -> None:
    code, out, err = follow(runs / "first", runs / second, "-o", tmp_path / "out", "--json", *options)
    assert (code, err) == (0, "")
    found = json.loads(out)
    lesions = {one["label"]: one for one in found["lesions"]}
    assert {label: (one["kind"], one["second_labels"]) for label, one in lesions.items()} == {
        1: ("stable", [6]), 2: ("stable", [3]), 3: ("grown", [5]), 4: ("gone", []), 5: ("new", [9]),
    }  # fmt: skip
    para = {label: one["maps"]["chi_para"]["contrast_ppb"] for label, one in lesions.items()}
    assert para[2]["change"] == pytest.approx(16.0, abs=3 * para[2]["noise"])
    assert para[1]["change"] == pytest.approx(0.0, abs=3 * para[1]["noise"])
    assert np.sqrt(para[1]["noise"] ** 2 - para[1]["contour_noise"] ** 2) < 1.0
    assert {label: one["called"] for label, one in para.items()} == {
        1: "no change", 2: "rise", 3: "no change", 4: "fall", 5: "rise",
    }  # fmt: skip
    for one in lesions.values():
        assert one["maps"]["chi_dia"]["contrast_ppb"]["called"] == Called.NONE.value
    assert lesions[3]["volume_second_mm3"] == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.06)
    registered = any("registered to the first by its magnitude" in text for text in found["statements"])
    assert registered is (second == "second")


def test_files_hold_the_same_as_what_is_shown(follow: Call, runs: Path, tmp_path: Path) -> None:
    arguments = runs / "first", runs / "still", "-o", tmp_path / "out", "--json", "--registered"
    code, out, _ = follow(*arguments)
    assert code == 0
    content = json.loads((tmp_path / "out" / "changes.json").read_text(encoding="utf-8"))
    assert {key: value for key, value in json.loads(out).items() if key in content} == content
    with (tmp_path / "out" / "changes.csv").open(newline="", encoding="utf-8") as stream:
        assert [int(row["label"]) for row in csv.DictReader(stream)] == [1, 2, 3, 4, 5]
    first, grid = read_nifti(tmp_path / "out" / "lesions_first.nii.gz")
    second, own = read_nifti(tmp_path / "out" / "lesions_second.nii.gz")
    assert grid.matches(FIRST)
    assert own.matches(SECOND)
    assert np.array_equal(first, _scan(FIRST, np.eye(4), 0)[1])
    truth = _scan(SECOND, np.eye(4), 1)[1]
    for number, true in ((1, 6), (2, 3), (3, 5), (5, 9)):
        assert np.array_equal(second == number, truth == true)
    assert set(np.unique(second)) == {0, 1, 2, 3, 5}


def test_people_get_a_table(follow: Call, runs: Path, tmp_path: Path) -> None:
    code, out, err = follow(runs / "first", runs / "still", "-o", tmp_path / "out", "--registered")
    assert (code, err) == (0, "")
    assert "closed-form: 5 lesions (2 stable, 1 grown, 1 gone, 1 new)" in out
    assert "changes.csv" in out
    assert "<td>grown</td>" in (tmp_path / "out" / "changes.html").read_text(encoding="utf-8")


def test_repeats_of_the_first_scan_give_the_noise(follow: Call, runs: Path, tmp_path: Path) -> None:
    repeats = []
    for seed in (5, 6, 7):
        repeats += ["--repeat", _write(tmp_path / f"repeat{seed}", *_scan(FIRST, np.eye(4), 0, seed=seed))]
    arguments = runs / "first", runs / "still", *repeats, "-o", tmp_path / "out", "--json", "--registered"
    code, out, _ = follow(*arguments)
    assert code == 0
    found = json.loads(out)
    assert {one["noise_source"] for one in found["lesions"]} == {"repeat scans"}
    risen = {one["label"]: one["maps"]["chi_para"]["contrast_ppb"] for one in found["lesions"]}
    assert risen[2]["noise_samples"] == 15
    assert risen[2]["called"] == "rise"
    assert risen[1]["called"] == "no change"


def test_empty_lesions_are_a_normal_state(follow: Call, runs: Path, tmp_path: Path) -> None:
    write_nifti(tmp_path / "none.nii.gz", np.zeros(SECOND.shape, np.int32), SECOND)
    write_nifti(tmp_path / "none_first.nii.gz", np.zeros(FIRST.shape, np.int32), FIRST)
    arguments = (
        runs / "first",
        runs / "second",
        "-o",
        tmp_path / "out",
        "--json",
        "--lesions-second",
        tmp_path / "none.nii.gz",
    )
    code, out, _ = follow(*arguments)
    assert (code, json.loads(out)["counts"]) == (0, {"gone": 4})
    code, out, _ = follow(*arguments, "--lesions", tmp_path / "none_first.nii.gz")
    assert (code, json.loads(out)["lesions"]) == (0, [])


def test_another_patient_is_refused(follow: Call, runs: Path, tmp_path: Path) -> None:
    code, out, err = follow(runs / "first", runs / "other", "-o", tmp_path / "out")
    assert (code, out) == (2, "")
    assert "second time: got a scan that hardly resembles the first" in err
    assert "Check that both are of one patient." in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_brain_elsewhere_is_refused(runs: Path) -> None:
    first = read_run(runs / "first")
    half = np.indices(FIRST.shape)[0] > FIRST.shape[0] / 2
    cut = [Map(name="brain_mask", data=first.array("brain_mask") & side, grid=FIRST) for side in (half, ~half)]
    with pytest.raises(InputError, match=r"brain of the second time: got a mask that overlaps the first by 0\.00"):
        bring_together(first.including(cut[0]), first.including(cut[1]), TimePointOptions(registered=True))


def test_where_the_second_scan_lies_is_found(runs: Path) -> None:
    points = bring_together(read_run(runs / "first"), read_run(runs / "second"))
    assert points.second.own_from_first_ras == pytest.approx(MOVED, abs=0.1)  # of 1, and of mm
    labels = points.second.onto(points.first, read_nifti(runs / "second" / LESIONS / "lesions.nii.gz")[0])
    truth = _scan(FIRST, np.eye(4), 1)[1]
    overlap = [2 * np.count_nonzero((labels == n) & (truth == n)) / np.count_nonzero(labels == n) for n in (6, 3, 5, 9)]
    sizes = [np.count_nonzero(truth == n) / np.count_nonzero(labels == n) for n in (6, 3, 5, 9)]
    assert min(one / (1 + size) for one, size in zip(overlap, sizes, strict=True)) > 0.8


def test_registered_scans_are_left_as_they_are(runs: Path) -> None:
    first = read_run(runs / "first")
    points = bring_together(first, first, TimePointOptions(registered=True))
    assert points.second.maps is first
    assert points.statements == ("The second time lay in the first time's space already and was not registered.",)
    assert points.first.seen_by(points.second).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("first", "second", "--lesions", "nowhere.nii.gz"), "no file 'nowhere.nii.gz'"),
        (("first", "second", "--method", "medi"), "method: got medi; expected one of those that were run: closed-form"),
        (("first", "second", "--method", "medi,tkd"), "--method: got medi, tkd; expected one method"),
        (("first", "second", "--method", "nothing"), "nothing"),
        (("first", "empty"), "folder of maps"),
        (("empty", "second"), "folder of maps"),
        (("first", "second", "--z-limit", "0"), "limits of a change"),
        (("first", "second", "--tolerance-mm", "-1"), "options of the matching"),
        (("first", "second", "--lesions", "chi.nii.gz"), "negative or fractional labels"),
    ],
)
def test_bad_input_ends_with_one_line(
    follow: Call, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(runs)
    (runs / "empty").mkdir(exist_ok=True)
    write_nifti(runs / "chi.nii.gz", np.full(FIRST.shape, 0.5, np.float32), FIRST)
    code, out, err = follow(*arguments, "-o", tmp_path / "out")
    assert (code, out) == (2, "")
    assert err.startswith("chisep: ") and err.count("\n") == 1
    assert message in err
    assert not (tmp_path / "out").exists()


def test_maps_of_another_method_are_refused(follow: Call, runs: Path, tmp_path: Path) -> None:
    maps, labels = _scan(FIRST, np.eye(4), 1)
    _write(tmp_path / "second", maps, labels, "chi-sep-medi")
    code, _, err = follow(runs / "first", tmp_path / "second", "-o", tmp_path / "out")
    assert (code, err.count("\n")) == (2, 1)
    assert "method: got closed-form; expected one of those that were run: chi-sep-medi" in err


def test_the_output_may_not_lie_in_an_input(follow: Call, runs: Path) -> None:
    code, _, err = follow(runs / "first", runs / "second", "-o", runs / "first" / "out")
    assert code == 2
    assert "lies inside the input" in err
