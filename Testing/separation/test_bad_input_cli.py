"""What a careless user types: exit code 2 and one line that helps, or a result with a warning that names the doubt."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ChiSeparationLib import cli
from ChiSepPreprocessLib.artifacts import Acquisition, Array, Grid, ScanParameters, SpinEcho
from ChiSepPreprocessLib.files import read_nifti, write_json, write_nifti
from ChiSepPreprocessLib.loading import load_acquisition

#: Every second voxel of the small patient: seconds for a whole run.
STEP = 2


@dataclass(frozen=True)
class Head:
    """The coarse head: what was measured, and its true maps."""

    acquisition: Acquisition
    spin_echo: SpinEcho
    truth: Path

    @property
    def grid(self) -> Grid:
        return self.acquisition.grid

    def true(self, name: str) -> Array:
        data, _ = read_nifti(self.truth / f"{name}.nii.gz")
        return data[::STEP, ::STEP, ::STEP]


@pytest.fixture(scope="module")
def head(patient_folder: Path) -> Head:
    fine = load_acquisition([patient_folder / "dicom"])
    keep = (slice(None, None, STEP),) * 3
    magnitude, phase = np.ascontiguousarray(fine.gre_magnitude[keep]), np.ascontiguousarray(fine.gre_phase[keep])
    grid = Grid(magnitude.shape[:3], fine.grid.affine @ np.diag([STEP, STEP, STEP, 1.0]))
    scan = replace(fine.scan, b0_direction_ijk=grid.b0_direction_ijk)
    coarse = Acquisition(gre_magnitude=magnitude, gre_phase=phase, grid=grid, scan=scan)
    assert fine.spin_echo is not None
    return Head(coarse, fine.spin_echo, patient_folder / "truth")


def write_gre(
    folder: Path, head: Head, magnitude: Array | None = None, phase: Array | None = None,
    times_s: tuple[float, ...] | None = None,
) -> Path:  # fmt: skip
    """Write magnitude and phase, changed where that is asked for, as NIfTI with sidecars."""
    scan: ScanParameters = head.acquisition.scan
    for name, unit, data in (
        ("gre_magnitude", "a.u.", head.acquisition.gre_magnitude if magnitude is None else magnitude),
        ("gre_phase", "rad", head.acquisition.gre_phase if phase is None else phase),
    ):
        write_nifti(folder / f"{name}.nii.gz", data, head.grid)
        note = {"artifact": name, "unit": unit, "echo_times_s": list(times_s or scan.echo_times_s)[: data.shape[3]],
                "field_strength_t": scan.field_strength_t}  # fmt: skip
        write_json(folder / f"{name}.json", note)
    return folder


@pytest.fixture(scope="module")
def gre(head: Head, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gre(tmp_path_factory.mktemp("gre"), head)


Call = Callable[..., tuple[int, str]]


@pytest.fixture
def preprocess(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Run ``chisep preprocess -o <tmp>/out``; exit code and standard error."""

    def call(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as left:
            cli.main(["preprocess", *map(str, arguments), "-o", str(tmp_path / "out")])
        return int(left.value.code or 0), capsys.readouterr().err

    return call


def is_refused(answer: tuple[int, str], out: Path, words: str) -> None:
    """One line, exit code 2, the right words, and no folder left behind."""
    code, said = answer
    assert code == 2, said
    assert re.fullmatch(r"chisep: [^\n]+[.?]\n", said), said
    assert re.search(words, said), said
    assert not out.exists(), sorted(out.rglob("*"))


def test_echo_times_that_cannot_be(head: Head, preprocess: Call, tmp_path: Path) -> None:
    times = head.acquisition.scan.echo_times_s
    twice = write_gre(tmp_path / "twice", head, times_s=(times[0], times[1], times[1], *times[3:]))
    is_refused(preprocess("--gre", twice), tmp_path / "out", r"2 volumes for the echo time 12\.73 ms")
    milliseconds = write_gre(tmp_path / "ms", head, times_s=tuple(1e3 * time for time in times))
    is_refused(preprocess("--gre", milliseconds), tmp_path / "out", "must be divided by 1000")


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("magnitude", 0.0, r"gre_magnitude of echo 4 \(22\.79 ms\): got values from 0 to 0"),
        ("phase", 0.0, r"gre_phase of echo 4 \(22\.79 ms\): got the same value everywhere"),
        ("magnitude", 4095.0, "100% of its voxels at the largest value"),
        ("phase", np.nan, "voxels that are NaN or infinite"),
    ],
)
def test_one_corrupted_echo_is_named(
    head: Head, preprocess: Call, tmp_path: Path, part: str, value: float, words: str
) -> None:
    data = getattr(head.acquisition, f"gre_{part}").copy()
    data[..., 3] = value
    folder = write_gre(tmp_path / "gre", head, **{part: data})
    is_refused(preprocess("--gre", folder), tmp_path / "out", words)


def _in_hz(head: Head) -> Array:
    field_hz = head.true("total_field") * np.float32(head.acquisition.scan.field_strength_t * 42.577)
    return np.repeat(field_hz[..., None], len(head.acquisition.scan.echo_times_s), axis=3)


@pytest.mark.parametrize(
    ("offered", "words"),
    [
        (_in_hz, "field map in Hz, cannot stand in for phase"),
        (lambda head: head.acquisition.gre_magnitude, "resembles the magnitude"),
        (lambda head: np.rad2deg(head.acquisition.gre_phase), "The range fits deg"),
        (lambda head: 1e3 * head.acquisition.gre_phase, "The range fits mrad"),
        (lambda head: np.diff(head.acquisition.gre_phase), "6 echoes of magnitude and 5 of phase.*differences"),
    ],
    ids=["hertz", "magnitude", "degrees", "milliradians", "differences"],
)
def test_what_is_no_phase_is_refused(
    head: Head, preprocess: Call, tmp_path: Path, offered: Callable[[Head], Array], words: str
) -> None:
    folder = write_gre(tmp_path / "gre", head, phase=offered(head))
    is_refused(preprocess("--gre", folder), tmp_path / "out", words)


def test_phase_differences_beside_as_many_magnitudes_are_doubted(head: Head, preprocess: Call, tmp_path: Path) -> None:
    turns = np.exp(1j * head.acquisition.gre_phase)
    steps = np.angle(turns[..., 1:] * turns[..., :-1].conj()).astype(np.float32)
    folder = write_gre(tmp_path / "gre", head, head.acquisition.gre_magnitude[..., 1:], steps,
                       head.acquisition.scan.echo_times_s[1:])  # fmt: skip
    known = _given(tmp_path, head, **{name: head.true(name) for name in ("local_field", "r2star", "r2prime")})
    brain = ("--mask", _mask(tmp_path, head, head.true("brain_mask") > 0))
    code, said = preprocess("--gre", folder, *brain, *known)
    assert code == 0, said
    assert re.search("warning: .*phase differences between echoes", said), said
    record = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert any("phase differences between echoes" in text for text in record["warnings"])


def test_given_field_of_the_opposite_sign_is_doubted(head: Head, gre: Path, preprocess: Call, tmp_path: Path) -> None:
    known = {name: head.true(name) for name in ("total_field", "local_field", "r2star", "r2prime")}
    known["local_field"] = -known["local_field"]
    brain = ("--mask", _mask(tmp_path, head, head.true("brain_mask") > 0))
    code, said = preprocess("--gre", gre, *brain, *_given(tmp_path, head, **known))
    assert code == 0, said
    assert re.findall("The given (.*) has the opposite sign of the measured phase", said) == ["local_field"]
    note = json.loads((tmp_path / "out" / "maps" / "local_field.json").read_text())
    assert any("opposite sign" in text for text in note["warnings"])


def test_phase_is_named_though_its_folder_is_given_too(head: Head, preprocess: Call, tmp_path: Path) -> None:
    folder = write_gre(tmp_path / "gre", head)
    for note in folder.glob("*.json"):
        note.unlink()
    times = ",".join(map(str, head.acquisition.scan.echo_times_s))
    brain = ("--mask", _mask(tmp_path, head, head.true("brain_mask") > 0))
    known = _given(tmp_path, head, **{name: head.true(name) for name in ("local_field", "r2star", "r2prime")})
    code, said = preprocess("--gre", folder, "--gre-phase", folder / "gre_phase.nii.gz", "--field-strength", 3,
                            "--phase-unit", "rad", "--echo-times", times, *brain, *known)  # fmt: skip
    assert code == 0, said


def _mask(folder: Path, head: Head, data: Array, grid: Grid | None = None) -> Path:
    path = folder / "mask.nii.gz"
    write_nifti(path, data, grid or Grid(data.shape, head.grid.affine))
    return path


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda brain: brain & False, "no voxel inside"),
        (lambda brain: brain[:-2], r"expected the GRE's grid"),
        (lambda brain: np.where(brain, np.arange(brain.shape[2]) + 1, 0).astype(np.float32), "Make a mask of it first"),
    ],
    ids=["empty", "cropped", "labels"],
)
def test_mask_that_is_none(
    head: Head, gre: Path, preprocess: Call, tmp_path: Path, made: Callable[[Array], Array], words: str
) -> None:
    mask = _mask(tmp_path, head, made(head.true("brain_mask") > 0))
    is_refused(preprocess("--gre", gre, "--mask", mask), tmp_path / "out", words)


def test_mask_in_another_place_says_so(head: Head, gre: Path, preprocess: Call, tmp_path: Path) -> None:
    affine = head.grid.affine.copy()
    affine[0, 3] += 4.0
    brain = head.true("brain_mask") > 0
    mask = _mask(tmp_path, head, brain, Grid(brain.shape, affine))
    is_refused(preprocess("--gre", gre, "--mask", mask), tmp_path / "out", "First voxels lie 4.0 mm apart")


def _given(folder: Path, head: Head, **maps: Array) -> list[object]:
    """``--map`` for each map."""
    for name, data in maps.items():
        write_nifti(folder / f"given_{name}.nii.gz", np.ascontiguousarray(data, np.float32), head.grid)
    return [word for name in maps for word in ("--map", f"{name}={folder / f'given_{name}.nii.gz'}")]


def test_mask_larger_than_a_brain_is_doubted(head: Head, gre: Path, preprocess: Call, tmp_path: Path) -> None:
    known = _given(tmp_path, head, **{name: head.true(name) for name in ("local_field", "r2star", "r2prime")})
    whole_head = _mask(tmp_path, head, head.acquisition.gre_magnitude[..., 0] > 100)
    _, said = preprocess("--gre", gre, "--mask", whole_head, *known)
    assert re.search(r"brain mask holds \d{4} ml", said), said


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("r2star", lambda r2star: 1e-3 * r2star, "Is it in 1/ms"),
        ("r2star", lambda r2star: np.where(r2star > 0, 1 / np.maximum(r2star, 1.0), 0), "a relaxation time"),
        ("total_field", lambda field: 127.7 * field, "Is it in Hz"),
        ("local_field", lambda field: 127.7 * field, "Is it in Hz"),
    ],
    ids=["r2star per ms", "T2* in s", "total field in Hz", "local field in Hz"],
)
def test_given_map_in_another_unit(
    head: Head, gre: Path, preprocess: Call, tmp_path: Path, name: str, wrong: Callable[[Array], Array], words: str
) -> None:
    given = _given(tmp_path, head, **{name: wrong(head.true(name))})
    is_refused(preprocess("--gre", gre, *given), tmp_path / "out", words)


def test_swapped_maps_are_refused_before_anything_is_written(
    head: Head, gre: Path, preprocess: Call, tmp_path: Path
) -> None:
    swapped = _given(tmp_path, head, r2=head.true("r2star"), r2star=head.true("r2"))
    is_refused(preprocess("--gre", gre, *swapped), tmp_path / "out", "Are they swapped")


def test_overwrite_keeps_the_old_run_until_the_new_input_is_good(
    head: Head, gre: Path, preprocess: Call, tmp_path: Path
) -> None:
    brain = ("--mask", _mask(tmp_path, head, head.true("brain_mask") > 0))
    known = _given(tmp_path, head, **{name: head.true(name) for name in ("local_field", "r2star", "r2prime")})
    assert preprocess("--gre", gre, *brain, *known)[0] == 0
    done = sorted(path.name for path in (tmp_path / "out" / "maps").iterdir())
    swapped = _given(tmp_path, head, r2=head.true("r2star"), r2star=head.true("r2"))
    assert preprocess("--gre", gre, *brain, *swapped, "--overwrite")[0] == 2
    assert sorted(path.name for path in (tmp_path / "out" / "maps").iterdir()) == done


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        pytest.param(
            lambda echoes: echoes * (np.arange(echoes.shape[3]) != 2), "se_magnitude of echo 3", id="an echo of zeros"
        ),
        pytest.param(lambda echoes: np.random.default_rng(1).rayleigh(8.0, echoes.shape), "resemble", id="noise"),
    ],
)  # fmt: skip
def test_spin_echo_that_is_none_is_refused(
    head: Head, gre: Path, preprocess: Call, tmp_path: Path, broken: Callable[[Array], Array], words: str
) -> None:
    spin_echo = head.spin_echo
    keep = (slice(None, None, STEP),) * 3
    echoes = broken(spin_echo.magnitude[keep]).astype(np.float32)
    grid = Grid(echoes.shape[:3], spin_echo.grid.affine @ np.diag([STEP, STEP, STEP, 1.0]))
    write_nifti(tmp_path / "se" / "se_magnitude.nii.gz", echoes, grid)
    note = {"artifact": "se_magnitude", "unit": "a.u.", "echo_times_s": list(spin_echo.echo_times_s)}
    write_json(tmp_path / "se" / "se_magnitude.json", note)
    brain = ("--mask", _mask(tmp_path, head, head.true("brain_mask") > 0))
    known = _given(tmp_path, head, **{name: head.true(name) for name in ("local_field", "r2star")})
    answer = preprocess("--gre", gre, "--se", tmp_path / "se", *brain, *known)
    assert answer[0] == 2, answer[1]
    assert re.search(words, answer[1]), answer[1]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ({"bckground": {}}, "got bckground; expected some of denoise, mask"),
        ({"mask": None}, "a JSON object of option names"),
        ({"mask": {"bet": {"fractional_intensity": "half"}}}, "mask, bet, fractional_intensity: got 'half'"),
        ({"mask": {"erosion_mm": float("nan")}}, "erosion_mm: got nan"),
        ({"field_map": {"average": {"weighting": "snr"}}}, "got snr; expected one of"),
        ({"background": {"each_echo": 1}}, "each_echo: got 1"),
        ({"unwrap": {"method": "romea"}}, "romea"),
        ({"r2star": {"method": "arlow"}}, "arlow"),
        ({"background": {"vsharp": {"maximum_radius_mm": -1.0}}}, "-1"),
        ({"background": {"vsharp": {"step_mm": float("nan")}}}, "nan"),
        ({"offset": {"sigma_mm": [7.0, 7.0]}}, "sigma"),
        ({"offset": {"sigma_mm": ["a", "b", "c"]}}, "'a'"),
        ({"registration": {"level_sizes_mm": ["a", "b"]}}, "'a'"),
        ({"r2": {"echo_spacing_s": "15 ms"}}, "15 ms"),
        ({"r2": {"refocusing_angles_deg": ["a"]}}, "'a'"),
    ],
)
def test_options_are_refused_before_the_run(
    gre: Path, preprocess: Call, tmp_path: Path, steps: dict[str, Any], words: str
) -> None:
    file = tmp_path / "options.json"
    file.write_text(json.dumps({"preprocess": steps}))
    # The absent phase ends what an unchecked option lets through.
    is_refused(preprocess("--gre", gre / "gre_magnitude.nii.gz", "--options", file), tmp_path / "out", words)


def test_output_inside_the_input(gre: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "data"
    shutil.copytree(gre, folder)
    with pytest.raises(SystemExit) as left:
        cli.main(["preprocess", "--gre", str(folder), "-o", str(folder / "maps")])
    assert left.value.code == 2
    assert "lies inside the input" in capsys.readouterr().err
    assert not (folder / "maps").exists()
