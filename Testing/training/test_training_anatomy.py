"""Simulated anatomy for training: linear maps, the table of tissues, structures where they belong."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSepPreprocessLib.errors import InputError
from ChiSepReconstructLib.training.anatomy.brain import random_head
from ChiSepReconstructLib.training.anatomy.head import PROPERTIES, Head, material
from ChiSepReconstructLib.training.anatomy.options import AnatomyOptions
from ChiSepReconstructLib.training.anatomy.pathology import add_lesions, add_shapes
from ChiSepReconstructLib.training.anatomy.separable import (
    SmoothNoise,
    along_axes,
    mean_weights,
    noise_on,
    scanner_weights,
)
from ChiSepReconstructLib.training.anatomy.tissues import BLOOD, BULK, NUCLEI, TRACTS, iron_at_age
from ChiSepReconstructLib.training.anatomy.vessels import SURFACE, grow
from ChiSepReconstructLib.training.anatomy.warp import random_warp

SMALL = AnatomyOptions(smallest_size=0.35, largest_size=0.35, fine_size_mm=0.8, abstract_share=0.0)


@pytest.fixture(scope="module")
def typical() -> Head:
    """Head of the atlas's age with the table's values, without differences between people."""
    options = AnatomyOptions(fine_size_mm=1.0, youngest_years=62.0, oldest_years=62.0, variation=0.0,
                             abstract_share=0.0, lesion_share=0.0, texture=0.0, orientation_effect=0.0)  # fmt: skip
    return random_head(np.random.default_rng(3), options)


def uniform_head(shape: tuple[int, int, int], size_mm: float = 1.0) -> Head:
    values = material(BULK["white_matter"], np.random.default_rng(0), variation=0.0)
    axes = tuple((np.arange(n) - (n - 1) / 2) * size_mm for n in shape)
    maps = {name: np.full(shape, values[name], np.float32) for name in PROPERTIES}
    return Head(axes, maps, np.ones(shape, np.bool_), np.zeros(shape, np.uint8))  # type: ignore[arg-type]


def test_means_over_covered_voxels() -> None:
    assert mean_weights(6, 3) @ np.arange(6.0) == pytest.approx([0.5, 2.5, 4.5])
    halves = mean_weights(3, 2)
    assert halves == pytest.approx(np.array([[2, 1, 0], [0, 1, 2]]) / 3)
    assert mean_weights(210, 140).sum(axis=0) == pytest.approx(np.full(210, 2 / 3), abs=1e-6)


@pytest.mark.parametrize("wave", [0, 3, 9])
def test_scanner_keeps_waves_that_it_samples(wave: int) -> None:
    fine, coarse = 30, 20
    at_fine = np.cos(2 * np.pi * wave * (np.arange(fine) + 0.5) / fine + 0.4)
    at_coarse = np.cos(2 * np.pi * wave * (np.arange(coarse) + 0.5) / coarse + 0.4)
    assert scanner_weights(fine, coarse, 0.0) @ at_fine == pytest.approx(at_coarse, abs=1e-5)


def test_scanner_loses_waves_that_it_does_not_sample() -> None:
    wave = np.cos(2 * np.pi * 12 * (np.arange(30) + 0.5) / 30)
    assert scanner_weights(30, 20, 0.0) @ wave == pytest.approx(np.zeros(20), abs=1e-5)


def test_taper_lowers_high_waves_alone() -> None:
    low, high = (np.cos(2 * np.pi * wave * (np.arange(60) + 0.5) / 60) for wave in (4, 18))
    plain, tapered = scanner_weights(60, 40, 0.0), scanner_weights(60, 40, 0.4)
    assert tapered @ low == pytest.approx(plain @ low, abs=1e-5)
    # Of 20 waves the Tukey window of 0.4 begins to fall at 12; at 18 it is ½ (1 + cos ¾π).
    expected = 0.5 * (1 + np.cos(0.75 * np.pi))
    assert np.abs(tapered @ high).max() / np.abs(plain @ high).max() == pytest.approx(expected, abs=1e-4)


def test_along_axes_is_the_product_on_each_axis() -> None:
    rng = np.random.default_rng(0)
    volume = rng.standard_normal((3, 4, 5)).astype(np.float32)
    a, b, c = (rng.standard_normal((n + 2, n)).astype(np.float32) for n in volume.shape)
    assert along_axes(volume, (a, b, c)) == pytest.approx(np.einsum("ai,bj,ck,ijk->abc", a, b, c, volume), abs=1e-4)


def test_noise_has_unit_deviation_and_no_fine_structure() -> None:
    axis = np.arange(80.0)
    noise = noise_on((axis, axis, axis), 5.0, np.random.default_rng(1))
    assert noise.std() == pytest.approx(1.0, abs=0.05)
    # A cubic B-spline's autocorrelation over a fifth of its spacing.
    assert np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1] == pytest.approx(0.97, abs=0.015)


def test_noise_is_one_field_on_every_grid() -> None:
    noise = SmoothNoise(40.0, 8.0, np.random.default_rng(2))
    coarse, fine = np.arange(-40.0, 41.0, 4.0), np.arange(-40.0, 41.0, 1.0)
    assert noise.at((fine, fine, fine))[::4, ::4, ::4] == pytest.approx(noise.at((coarse, coarse, coarse)), abs=1e-5)


def test_iron_follows_hallgren_and_sourander() -> None:
    assert iron_at_age("putamen", 62.0) == pytest.approx(1.0)
    # mg of iron per 100 g of putamen at 20 and 62 years, from their equation.
    at_20, at_62 = (14.62 * (1 - np.exp(-0.04 * age)) + 0.46 for age in (20, 62))
    assert iron_at_age("putamen", 20.0) == pytest.approx(at_20 / at_62)
    assert iron_at_age("pallidum", 20.0) > iron_at_age("putamen", 20.0)


def test_every_row_of_the_table_has_values_and_sources() -> None:
    rows = [*BULK.values(), BLOOD, *(row for table in (NUCLEI, TRACTS) for row, _ in table.values())]
    for row in rows:
        assert min(row.para_ppb, row.dia_ppb) > 0
        assert 1 <= row.r2_per_s <= 30
        assert len(row.source) > 5


def test_tissue_differs_between_subjects_by_its_spread() -> None:
    rng = np.random.default_rng(5)
    putamen = NUCLEI["putamen"][0]
    drawn = np.array([material(putamen, rng)["chi_para"] for _ in range(2000)])
    assert drawn.mean() == pytest.approx(0.0771, rel=0.03)
    assert drawn.std() / drawn.mean() == pytest.approx(putamen.para_spread, rel=0.07)


@pytest.mark.parametrize("name", sorted(set(NUCLEI) - {"accumbens"}))
def test_nuclei_have_the_values_of_the_table(typical: Head, name: str) -> None:
    inside = typical.regions == typical.region_names.index(name)
    tissue = NUCLEI[name][0]
    # The thin ones hold hardly a voxel that is theirs alone.
    assert 1e3 * np.percentile(typical.maps["chi_para"][inside], 75) == pytest.approx(tissue.para_ppb, rel=0.05)
    assert np.median(typical.maps["r2"][inside]) == pytest.approx(tissue.r2_per_s, rel=0.05)


def test_white_matter_and_cortex_differ_as_in_the_table(typical: Head) -> None:
    """R1 tells them apart, and is not textured."""
    free = typical.brain & (typical.regions == 0)
    white, cortex = (free & (np.abs(typical.maps["r1"] - BULK[n].r1_per_s) < 0.02) for n in ("white_matter", "cortex"))
    for name, mask in (("white_matter", white), ("cortex", cortex)):
        assert 1e3 * typical.maps["chi_para"][mask].mean() == pytest.approx(BULK[name].para_ppb, rel=0.05)
        assert 1e3 * typical.maps["chi_dia"][mask].mean() == pytest.approx(BULK[name].dia_ppb, rel=0.05)
    assert 0.35 < white.sum() / cortex.sum() < 1.6


@pytest.mark.parametrize(("name", "low_ml", "high_ml"), [("putamen", 3, 9), ("pallidum", 0.8, 3.5), ("caudate", 3, 9),
                                                         ("thalamus", 4, 14), ("red_nucleus", 0.1, 0.6)])  # fmt: skip
def test_nuclei_have_anatomical_volumes(typical: Head, name: str, low_ml: float, high_ml: float) -> None:
    inside = typical.regions == typical.region_names.index(name)
    assert low_ml < inside.sum() * typical.voxel_size_mm**3 / 1e3 < high_ml


def test_brain_has_the_size_of_one_and_lies_inside(typical: Head) -> None:
    assert 0.9 < typical.brain.sum() * typical.voxel_size_mm**3 / 1e6 < 1.9
    for axis in range(3):
        assert not np.take(typical.brain, [0, -1], axis).any()


def test_head_stands_upright_with_its_front_at_low_indices(typical: Head) -> None:
    """Tilted by 30° at most: the cerebellum's nuclei lie below and behind the caudate."""
    centre = {
        n: np.argwhere(typical.regions == typical.region_names.index(n)).mean(axis=0) for n in ("dentate", "caudate")
    }
    assert centre["dentate"][0] > centre["caudate"][0] + 20
    assert centre["dentate"][2] < centre["caudate"][2] - 10


def test_same_seed_same_head_and_another_seed_another() -> None:
    first, again, other = (random_head(np.random.default_rng(seed), SMALL) for seed in (7, 7, 8))
    for name in PROPERTIES:
        assert np.array_equal(first.maps[name], again.maps[name])
        assert first.maps[name].min() >= 0
        assert not first.maps[name][~first.brain].any()
    assert first.brain.shape != other.brain.shape or not np.array_equal(first.brain, other.brain)


def test_warp_turns_directions_as_it_turns_places() -> None:
    warp = random_warp(np.random.default_rng(4), AnatomyOptions(), 40.0)
    # The MNI direction that one step along B0 leads to, taken back, is the step.
    assert warp.direction_to_scanner(warp.matrix @ [0.0, 0.0, 1.0]) == pytest.approx([0, 0, 1], abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_tilt_to_b0_stays_within_its_limit(seed: int) -> None:
    upright = AnatomyOptions(largest_tilt_deg=0.0)
    up = np.array([0.0, 0.0, 1.0])
    straight = random_warp(np.random.default_rng(seed), upright, 40.0).direction_to_scanner(up)
    tilted = random_warp(np.random.default_rng(seed), AnatomyOptions(), 40.0).direction_to_scanner(up)
    assert np.rad2deg(np.arccos(np.clip(straight @ tilted, -1, 1))) <= 30 + 1e-6


def test_tubes_have_their_volume() -> None:
    from ChiSepReconstructLib.training.anatomy._kernels import draw_tubes

    share = np.zeros((40, 30, 30), np.float32)
    ends = np.array([[8.3, 14.6, 12.2], [31.1, 15.9, 17.7]], np.float32)
    draw_tubes(share, ends[:1], ends[1:], np.array([3.0], np.float32))
    length = np.linalg.norm(ends[1] - ends[0])
    assert share.sum() == pytest.approx(np.pi * 9 * length + 4 / 3 * np.pi * 27, rel=0.03)


def test_surface_veins_keep_their_depth() -> None:
    rng = np.random.default_rng(6)
    roots = 60.0 * (lambda v: v / np.linalg.norm(v, axis=1, keepdims=True))(rng.standard_normal((20, 3)))
    starts, ends, radii = grow(roots, np.zeros(3), SURFACE, rng)
    assert len(starts) == len(ends) == len(radii) > 20 * SURFACE.steps
    assert np.linalg.norm(ends - starts, axis=1) == pytest.approx(np.full(len(starts), SURFACE.step_mm))
    # A step along the tangent leads outwards by half its square over the radius.
    assert np.abs(np.linalg.norm(ends, axis=1) - 60).max() < SURFACE.steps * SURFACE.step_mm**2 / (2 * 60) + 1e-6


def test_lesions_reach_every_class_on_both_maps() -> None:
    factors: dict[str, list[float]] = {"chi_para": [], "chi_dia": []}
    before = uniform_head((60, 60, 60))
    for seed in range(12):
        head = uniform_head((60, 60, 60))
        add_lesions(head, np.ones((60, 60, 60), np.float32), np.random.default_rng(seed))
        assert head.maps["r2"].max() <= before.maps["r2"].max()
        for name, found in factors.items():
            found += list((head.maps[name] / before.maps[name])[head.regions > 0])
    for found in factors.values():
        shares, _ = np.histogram(found, bins=(0, 0.55, 0.88, 1.12, 1.6, 20))
        assert shares.min() / shares.sum() > 0.01


def test_shapes_stay_in_the_volume_and_are_never_negative() -> None:
    head = uniform_head((40, 31, 27), 0.8)
    add_shapes(head, 60, 12.0, np.random.default_rng(9))
    assert 0.2 < np.mean(head.regions > 0) < 0.99
    assert min(head.maps["chi_para"].min(), head.maps["chi_dia"].min()) >= 0
    assert head.maps["chi_para"].max() > 0.1


@pytest.mark.parametrize("wrong", [{"fine_size_mm": 2.0}, {"largest_tilt_deg": -1.0}, {"youngest_years": 90.0},
                                   {"abstract_share": 1.5}, {"variation": -1.0}, {"smallest_size": 1.1}])  # fmt: skip
def test_nonsense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        AnatomyOptions(**wrong)
