"""Simulated acquisition for training: field, signal, maps, and the folder of subjects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.files import read_mapset
from ChiSepPreprocessLib.morphology import dilate_mm
from ChiSepPreprocessLib.progress import Reporter, Status
from ChiSepReconstructLib.training.acquisition.field import field_of, random_background
from ChiSepReconstructLib.training.acquisition.maps import (
    Subject,
    acquire,
    imperfect_mask,
    random_surroundings,
    true_r2prime,
)
from ChiSepReconstructLib.training.acquisition.protocol import AcquisitionOptions, Protocol, random_protocol
from ChiSepReconstructLib.training.acquisition.signal import echoes
from ChiSepReconstructLib.training.anatomy.brain import random_head
from ChiSepReconstructLib.training.anatomy.head import Head
from ChiSepReconstructLib.training.anatomy.options import AnatomyOptions
from ChiSepReconstructLib.training.simulation import TrainingSubjectOptions, simulate_subjects

TINY = TrainingSubjectOptions(
    anatomy=AnatomyOptions(smallest_size=0.25, largest_size=0.25, fine_size_mm=0.9, abstract_share=1.0),
    acquisition=AcquisitionOptions(most_echoes=4, quick_r2star_share=1.0, vsharp_share=1.0),
)


def protocol(**changes: object) -> Protocol:
    drawn = random_protocol(np.random.default_rng(0), AcquisitionOptions())
    return Protocol(**{**vars(drawn), "echo_times_s": (0.005, 0.010, 0.015), "taper": 0.0, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def head() -> Head:
    options = AnatomyOptions(smallest_size=0.35, largest_size=0.35, fine_size_mm=0.8, abstract_share=0.0)
    return random_head(np.random.default_rng(21), options)


@pytest.fixture(scope="module")
def subject(head: Head) -> Subject:
    scan = protocol(snr=100.0, background="single-step", rate_fit="arlo", r2_noise_per_s=0.3, r2_bias=0.0)
    return acquire(head, scan, 3.0, np.random.default_rng(22), Reporter())


def test_field_of_a_sphere_is_that_of_the_formula() -> None:
    """Outside χ/3 (a/r)³ (3 cos² θ − 1) with B0 along axis 2; inside 0."""
    shape, radius = (63, 64, 65), 7.0
    offset = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij")).astype(float)
    r = np.sqrt((offset**2).sum(axis=0))
    sphere = np.clip(radius - r + 0.5, 0, 1).astype(np.float32)
    field = field_of(sphere)
    field -= field[r < 4].mean()
    around = (r > 1.4 * radius) & (r < 2.6 * radius)
    exact = (radius / r[around]) ** 3 / 3 * (3 * offset[2][around] ** 2 / r[around] ** 2 - 1)
    assert np.sqrt(np.mean((field[around] - exact) ** 2)) / np.sqrt(np.mean(exact**2)) < 0.05
    assert field[31, 32, 32 + 14] == pytest.approx(2 / 3 / 8, rel=0.04)
    assert field[31 + 14, 32, 32] == pytest.approx(-1 / 3 / 8, rel=0.04)
    assert np.abs(field[r < 4]).max() < 0.01


def test_sphere_fields_are_the_formula() -> None:
    from ChiSepReconstructLib.training.anatomy._kernels import add_sphere_fields

    place = np.random.default_rng(1).uniform(-50, 50, (200, 3)).astype(np.float32)
    centres, moments = np.array([[0, 80, -90], [70, -70, 0]], np.float32), np.array([-900, 400], np.float32)
    field = np.zeros(200, np.float32)
    add_sphere_fields(field, place, centres, moments)
    exact = np.zeros(200)
    for centre, moment in zip(centres, moments, strict=True):
        offset = place.astype(float) - centre
        r = np.linalg.norm(offset, axis=1)
        exact += moment / r**3 * (3 * (offset[:, 2] / r) ** 2 - 1)
    assert field == pytest.approx(exact, rel=1e-3, abs=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_background_is_harmonic_in_and_around_the_brain(head: Head, seed: int) -> None:
    wide = dilate_mm(head.brain, 4.0, (head.voxel_size_mm,) * 3)
    background, wide = random_background(head.axes_mm, head.brain, wide, np.random.default_rng(seed))
    second = [np.diff(background, 2, axis)[tuple(slice(1, -1) if a != axis else slice(None) for a in range(3))]
              for axis in range(3)]  # fmt: skip
    inner = np.asarray(wide[1:-1, 1:-1, 1:-1])
    for axis in range(3):
        inner = inner & (np.roll(wide, 1, axis) & np.roll(wide, -1, axis))[1:-1, 1:-1, 1:-1]
    laplacian, curvature = sum(second)[inner], np.sqrt(sum(one**2 for one in second))[inner]  # type: ignore[index]
    # Second differences are no exact derivatives: 7 % beside the nearest sources, 2 % in the brain alone.
    assert np.sqrt(np.mean(laplacian**2)) < 0.08 * np.sqrt(np.mean(curvature**2))
    assert 0.005 < background[head.brain].std() < 3
    assert not background[~wide].any()


def test_surroundings_lie_within_4_mm_and_have_gaps() -> None:
    mask, axis = np.zeros((40, 41, 42), np.bool_), np.arange(42.0)
    mask[10:30, 10:30, 10:30] = True
    axes = (axis[:40], axis[:41], axis)
    shares = []
    for seed in range(6):
        around = random_surroundings(mask, axes, np.random.default_rng(seed))
        assert not (around & mask).any() and not (around & ~dilate_mm(mask, 4.0, (1, 1, 1))).any()
        shares.append(around.sum() / (dilate_mm(mask, 1.0, (1, 1, 1)) & ~mask).sum())
    assert min(shares) > 0.2 and np.ptp(shares) > 1.0


def test_uniform_signal_decays_and_turns_as_it_should() -> None:
    shape = (30, 33, 36)
    scan = protocol()
    ones = np.ones(shape, np.float32)
    for signal, time_s in zip(
        echoes(3 * ones, 20 * ones, 17 * ones, scan, (20, 22, 24)), scan.echo_times_s, strict=True
    ):
        exact = 3 * np.exp((-20 + 2j * np.pi * 17) * time_s)
        assert np.abs(signal - exact).max() < 1e-4


@pytest.mark.parametrize(("slope_hz", "kept"), [(60.0, True), (130.0, False)])
def test_slope_of_the_field_shifts_k_space(slope_hz: float, kept: bool) -> None:
    """A turn of more than half a cycle across a voxel moves the signal out of the sampled k-space."""
    fine, coarse = (6, 6, 120), (4, 4, 80)
    # Whole turns over the volume, so that its period is that of the Fourier transform.
    field = np.broadcast_to(np.arange(120, dtype=np.float32) * slope_hz / 1.5, fine).copy()
    scan = protocol(echo_times_s=(0.005, 0.010))
    first, _ = echoes(np.ones(fine, np.float32), np.zeros(fine, np.float32), field, scan, coarse)
    turns = slope_hz * 0.005
    assert turns < 0.5 if kept else turns > 0.5
    middle = np.abs(first)[2, 2, 20:60].mean()
    assert middle == pytest.approx(1.0, abs=0.02) if kept else middle < 0.05


def test_true_r2prime_follows_both_sources(head: Head) -> None:
    scan = protocol()
    sources = np.stack([head.maps["chi_para"][head.brain], head.maps["chi_dia"][head.brain]])
    slopes, *_ = np.linalg.lstsq(sources.T, true_r2prime(head, scan.relaxivity_hz_per_ppm)[head.brain], rcond=None)
    # Tissues differ by 7 % around the subject's relaxivity, and blood has 30 to 100 % of it.
    assert 0.4 * scan.relaxivity_hz_per_ppm < slopes[0] < 1.25 * scan.relaxivity_hz_per_ppm
    assert 0.75 * scan.relaxivity_hz_per_ppm < slopes[1] < 1.25 * scan.relaxivity_hz_per_ppm


def test_protocols_are_centred_on_the_relaxivity_and_keep_their_ranges() -> None:
    options, rng = AcquisitionOptions(), np.random.default_rng(3)
    drawn = [random_protocol(rng, options) for _ in range(500)]
    mean = np.mean([one.relaxivity_hz_per_ppm for one in drawn])
    assert mean == pytest.approx(114 * 3.0 / 2.893, rel=0.01)
    snr = [one.snr for one in drawn]
    assert 20 <= min(snr) < 23
    assert 140 < max(snr) <= 150
    for one in drawn:
        assert 4 <= len(one.echo_times_s) <= 8
        assert np.ptp(np.diff(one.echo_times_s)) < 3e-6
        assert one.repetition_time_s > one.echo_times_s[-1]


def test_subject_lies_on_the_grid_of_the_training(subject: Subject) -> None:
    assert subject.grid.voxel_size_mm == pytest.approx((1, 1, 1))
    assert subject.grid.b0_direction_ijk == pytest.approx((0, 0, 1))
    assert subject.grid.directions == pytest.approx(np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]]))
    mask = subject.measured["brain_mask"]
    box = np.argwhere(mask)
    assert (box.min(axis=0) <= 8).all()
    assert (np.array(mask.shape) - 1 - box.max(axis=0) <= 8).all()


def test_labels_are_what_they_should_be(subject: Subject) -> None:
    mask, truth = subject.measured["brain_mask"], subject.truth
    assert set(truth) == {"chi_total", "chi_para", "chi_dia", "local_field", "r2prime"}
    assert min(truth[name].min() for name in ("chi_para", "chi_dia", "r2prime")) >= 0
    assert truth["chi_total"] == pytest.approx(truth["chi_para"] - truth["chi_dia"], abs=1e-6)
    assert all(one.dtype == np.float32 and not one[~mask].any() for one in truth.values())


def test_measured_maps_follow_the_truth(subject: Subject) -> None:
    mask, measured, truth = subject.measured["brain_mask"], subject.measured, subject.truth
    assert set(measured) == {"brain_mask", "local_field", "r2star", "r2", "r2prime"}
    # Spheres hardly fit into a brain this small, so that background removal takes much of the local field with it.
    assert np.corrcoef(measured["local_field"][mask], truth["local_field"][mask])[0, 1] > 0.7
    assert np.corrcoef(measured["r2prime"][mask], truth["r2prime"][mask])[0, 1] > 0.6
    assert np.array_equal(measured["r2prime"], np.maximum(measured["r2star"] - measured["r2"], 0) * mask)
    assert np.median((measured["r2star"] - measured["r2"] - truth["r2prime"])[mask]) == pytest.approx(0, abs=0.6)
    assert all(not one[~mask].any() for one in measured.values())


def test_imperfect_mask_is_one_piece_of_the_brain() -> None:
    from scipy.ndimage import label

    brain = np.zeros((40, 40, 40), np.bool_)
    brain[6:34, 6:34, 6:34] = True
    magnitude = np.ones(brain.shape, np.float32)
    magnitude[18:22, 18:22, 6:12] = 0
    axis = np.arange(40.0)
    masks = [imperfect_mask(brain, magnitude, (axis, axis, axis), np.random.default_rng(seed)) for seed in range(8)]
    for mask in masks:
        assert not (mask & ~brain).any()
        assert label(mask)[1] == 1
        assert 0.4 < mask.sum() / brain.sum() < 1
    holes = [not mask[19:21, 19:21, 9:11].any() for mask in masks]
    assert any(holes)
    assert not all(holes)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*.nii.gz"))}


def test_folder_resumes_and_repeats(tmp_path: Path) -> None:
    simulate_subjects(tmp_path / "a", 2, 5, TINY, Reporter())
    made = contents(tmp_path / "a")
    assert len(made) == 2 * 10
    assert made["s0001/r2.nii.gz"] != made["s0002/r2.nii.gz"]
    maps = read_mapset(tmp_path / "a" / "s0001")
    assert maps.scan.field_strength_t == 3.0
    assert read_mapset(tmp_path / "a" / "s0001" / "truth").grid.matches(maps.grid)

    kept = (tmp_path / "a" / "s0001" / "r2.nii.gz").stat().st_mtime_ns
    # As a kill leaves it: the second subject is not whole.
    (tmp_path / "a" / "s0002").rename(tmp_path / "a" / ".part-s0002")
    (tmp_path / "a" / ".part-s0002" / "subject.json").unlink()
    simulate_subjects(tmp_path / "a", 2, 5, TINY, Reporter())
    assert contents(tmp_path / "a") == made
    assert (tmp_path / "a" / "s0001" / "r2.nii.gz").stat().st_mtime_ns == kept
    assert not (tmp_path / "a" / ".part-s0002").exists()


def test_processes_give_the_same_subjects(tmp_path: Path) -> None:
    simulate_subjects(tmp_path / "one", 2, 6, TINY, Reporter())
    simulate_subjects(tmp_path / "two", 2, 6, TINY, Reporter(), workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_other_options_are_refused(tmp_path: Path) -> None:
    simulate_subjects(tmp_path, 1, 5, TINY, Reporter())
    other = TrainingSubjectOptions(anatomy=AnatomyOptions(largest_tilt_deg=10.0), acquisition=TINY.acquisition)
    with pytest.raises(InputError, match=r"abstract_share 1\.0, now 0\.15"):
        simulate_subjects(tmp_path, 2, 5, other, Reporter())
    with pytest.raises(InputError, match="seed 5, now 6"):
        simulate_subjects(tmp_path, 2, 6, TINY, Reporter())


def test_cancelling_leaves_whole_subjects_alone(tmp_path: Path) -> None:
    def stop_in_the_second(status: Status) -> bool:
        return status.fraction < 0.6

    with pytest.raises(CancelledError):
        simulate_subjects(tmp_path, 2, 5, TINY, Reporter(stop_in_the_second))
    assert [one.name for one in sorted(tmp_path.glob("s*")) if one.is_dir()] == ["s0001"]


@pytest.mark.parametrize("wrong", [{"lowest_snr": 0.0}, {"fewest_echoes": 2}, {"vsharp_share": 2.0},
                                   {"shortest_spacing_s": 0.01}, {"field_strength_t": -3.0}])  # fmt: skip
def test_nonsense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        AcquisitionOptions(**wrong)  # type: ignore[arg-type]


def test_numbers_out_of_range_are_refused(tmp_path: Path) -> None:
    for count, seed, workers in ((0, 1, 1), (1, -1, 1), (1, 1, 0)):
        with pytest.raises(InputError):
            simulate_subjects(tmp_path, count, seed, TINY, Reporter(), workers)
