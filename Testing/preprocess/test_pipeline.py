"""Acquisition to maps: what is computed, what is taken as given, what is said (simulated patient)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from ChiSepPhantoms import Phantom
from ChiSepPreprocessLib.artifacts import Acquisition, Grid, Map, MapSet, SpinEcho
from ChiSepPreprocessLib.bgremove.removal import BackgroundOptions
from ChiSepPreprocessLib.bgremove.vsharp import VSharpOptions, vsharp
from ChiSepPreprocessLib.box import bounding_box
from ChiSepPreprocessLib.coils.mcpc3ds import PhaseOffsetOptions
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.fieldmap.combine import CombineOptions
from ChiSepPreprocessLib.fieldmap.field import FieldOptions
from ChiSepPreprocessLib.pipeline import PRESETS, PreprocessOptions, checked_maps, combined_magnitude, preprocess
from ChiSepPreprocessLib.progress import Reporter, Status
from ChiSepPreprocessLib.relaxometry.r2 import R2Options
from ChiSepPreprocessLib.relaxometry.r2star import R2StarOptions
from ChiSepPreprocessLib.unwrap.methods import UnwrapOptions
from ChiSepPreprocessLib.unwrap.romeo import RomeoOptions


def given(patient: Phantom, *names: str) -> dict[str, Map]:
    return {name: patient.truth[name] for name in names}


@pytest.fixture(scope="module")
def maps(patient: Phantom) -> MapSet:
    return preprocess(patient.acquisition, given=given(patient, "brain_mask"))


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32])
def test_combined_magnitude_is_the_root_of_the_sum_of_squares(kind: type) -> None:
    combined = combined_magnitude(np.array([3, 4], kind).reshape(1, 1, 1, 2))
    assert combined[0, 0, 0] == pytest.approx(5.0)
    assert combined.dtype == np.float32


def test_total_field_is_the_true_one_up_to_a_constant(maps: MapSet, patient: Phantom) -> None:
    """Offset removal leaves a constant of whole turns per echo spacing; the rest is noise."""
    mask = patient.truth.array("brain_mask")
    error = (maps.array("total_field") - patient.truth.array("total_field"))[mask]
    assert float(np.median(np.abs(error - np.median(error)))) < 4.5e-4  # ppm; measured 4.1e-4 at SNR 100
    assert float(np.std(error)) < 0.016  # ppm; measured 0.014, from voxels that lost their signal beside air


def test_a_segmentation_on_a_grid_of_its_own_is_the_mask(patient: Phantom) -> None:
    mask, grid = patient.truth.array("brain_mask"), patient.truth.grid
    box = bounding_box(mask)
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [one.start for one in box]
    drawn = Map(name="brain_mask", data=mask[box], grid=Grid(mask[box].shape, affine),
                options={"segmentation": "nearest voxel"})  # fmt: skip
    checked = checked_maps(patient.acquisition, {"brain_mask": drawn}, PreprocessOptions())
    np.testing.assert_array_equal(checked.array("brain_mask"), mask)


def test_maps_given_are_not_computed_again(patient: Phantom) -> None:
    made: list[str] = []
    names = ("brain_mask", "local_field", "r2star", "r2")
    result = preprocess(patient.acquisition, given=given(patient, *names), on_map=lambda one: made.append(one.name))
    assert made == ["magnitude", "r2prime", "field_mask"]
    np.testing.assert_array_equal(result.array("local_field"), patient.truth.array("local_field"))


def test_without_spin_echo_r2prime_is_a_named_fallback(patient: Phantom) -> None:
    alone = replace(patient.acquisition, spin_echo=None)
    result = preprocess(alone, given=given(patient, "brain_mask", "local_field"))
    expected = np.maximum(result.array("r2star") - 13.0, 0.0)[patient.truth.array("brain_mask")]
    np.testing.assert_allclose(result.array("r2prime")[patient.truth.array("brain_mask")], expected, atol=1e-4)
    assert result["r2prime"].method == "pseudo-r2"
    assert "pseudo-R2 of 13 1/s" in result["r2prime"].warnings[0]


@pytest.mark.parametrize("field", ["local_field", "total_field"])
def test_spin_echo_that_covers_a_part_leaves_the_rest_out(patient: Phantom, field: str) -> None:
    whole = patient.acquisition.spin_echo
    assert whole is not None
    half = whole.magnitude.shape[2] // 2
    lower = SpinEcho(whole.magnitude[:, :, :half], whole.echo_times_s,
                     Grid((*whole.grid.shape[:2], half), whole.grid.affine))  # fmt: skip
    partial = replace(patient.acquisition, spin_echo=lower)
    result = preprocess(partial, given=given(patient, "brain_mask", field))
    valid, seen = result.array("field_mask"), result.array("r2") > 0
    assert not np.any(valid & ~seen)
    assert not np.any(result.array("r2prime")[~seen])
    assert result.array("r2")[seen].min() >= np.float32(0.3)
    assert 0.2 < valid.sum() / patient.truth.array("brain_mask").sum() < 0.8
    for name in ("r2", "r2prime"):
        assert any("R2 was measured in" in text for text in result[name].warnings)


def test_spin_echo_in_the_wrong_place_is_registered(patient: Phantom, maps: MapSet) -> None:
    """The header misplaces the spin echo by 4 mm, as a patient who moved does; R2 must come back."""
    whole = patient.acquisition.spin_echo
    assert whole is not None
    moved = whole.grid.affine.copy()
    moved[:3, 3] += (4.0, -2.0, 1.0)
    shifted = SpinEcho(whole.magnitude, whole.echo_times_s, Grid(whole.grid.shape, moved))
    result = preprocess(
        replace(patient.acquisition, spin_echo=shifted), given=given(patient, "brain_mask", "local_field", "r2star")
    )
    inside = ndimage.binary_erosion(patient.truth.array("brain_mask"), iterations=3)
    expected = maps.array("r2")[inside]
    error = np.linalg.norm(result.array("r2")[inside] - expected) / np.linalg.norm(expected)
    assert error < 0.002  # 1e-5 measured; 0.20 without registration


def test_options_reach_their_steps(patient: Phantom, maps: MapSet) -> None:
    options = PreprocessOptions(
        r2star=R2StarOptions(maximum_per_s=20.0), r2=R2Options(maximum_per_s=9.0),
        background=BackgroundOptions(method="v-sharp", vsharp=VSharpOptions(maximum_radius_mm=6.0)),
        field_map=FieldOptions(average=CombineOptions(weighting="wu2012")),
        unwrap=UnwrapOptions(romeo=RomeoOptions(template_echo=1)), offset=PhaseOffsetOptions(sigma_mm=(3.0, 3.0, 3.0)),
    )  # fmt: skip
    result = preprocess(patient.acquisition, options=options, given=given(patient, "brain_mask"))
    assert 19.5 < result.array("r2star").max() <= 20.0  # smoothed after the limit
    assert result.array("r2").max() == 9.0
    assert result["local_field"].options["vsharp"]["maximum_radius_mm"] == 6.0
    grid, mask = result.grid, result.array("brain_mask")
    reliable = mask & (result.array("phase_residual") <= options.background.largest_residual_rad)
    chosen = options.background.vsharp
    expected, _ = vsharp(result.array("total_field"), reliable, grid.voxel_size_mm, chosen, Reporter())
    np.testing.assert_allclose(result.array("local_field"), expected * result.array("field_mask"), atol=1e-6)
    steps = result["total_field"].options
    assert (steps["field_map"]["average"]["weighting"], steps["unwrap"]["romeo"]["template_echo"]) == ("wu2012", 1)
    assert not np.array_equal(result.array("total_field"), maps.array("total_field"))
    assert any("clamped" in text for text in result["r2star"].warnings)
    assert (
        any("negative" in text for text in result["r2prime"].warnings)
        or result["r2prime"].options["negative_fraction"] < 0.25
    )


def test_pseudo_r2_away_from_3_tesla_is_said(patient: Phantom) -> None:
    scan = replace(patient.acquisition.scan, field_strength_t=7.0, imaging_frequency_hz=None)
    alone = replace(patient.acquisition, spin_echo=None, scan=scan)
    result = preprocess(alone, given=given(patient, "brain_mask", "local_field"))
    assert "The number holds at 3 T; this scan was made at 7 T." in result["r2prime"].warnings[0]


def test_echoes_that_lie_on_no_line_are_said(patient: Phantom) -> None:
    """Alternating readouts add a phase of alternating sign."""
    phase = patient.acquisition.gre_phase + 0.9 * np.array([1, -1, 1, -1, 1, -1], np.float32)
    bent = replace(patient.acquisition, gre_phase=np.angle(np.exp(1j * phase)).astype(np.float32), spin_echo=None)
    result = preprocess(bent, given=given(patient, "brain_mask"))
    assert any("bipolar" in text for text in result["total_field"].warnings)


def test_given_map_on_another_grid_is_refused(patient: Phantom) -> None:
    moved = patient.acquisition.grid.affine.copy()
    moved[0, 3] += 3.0
    mask = Map(
        name="brain_mask", data=patient.truth.array("brain_mask"), grid=Grid(patient.acquisition.grid.shape, moved)
    )
    with pytest.raises(InputError, match="brain_mask: got grid"):
        preprocess(patient.acquisition, given={"brain_mask": mask})


def test_single_echo_is_refused(patient: Phantom) -> None:
    whole = patient.acquisition
    single: Acquisition = replace(
        whole, gre_magnitude=whole.gre_magnitude[..., :1], gre_phase=whole.gre_phase[..., :1],
        scan=replace(whole.scan, echo_times_s=whole.scan.echo_times_s[:1]),
    )  # fmt: skip
    with pytest.raises(InputError, match="echo"):
        preprocess(single)


def test_progress_rises_to_one(patient: Phantom) -> None:
    seen: list[Status] = []
    preprocess(patient.acquisition, given=given(patient, "brain_mask", "local_field", "r2"), progress=seen.append)
    fractions = [status.fraction for status in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_paper_chain_removes_each_echos_background_and_averages_then(patient: Phantom) -> None:
    """By linearity the order does not matter where the weights are the same everywhere."""
    paper = PRESETS["chi-sepnet"]
    after = preprocess(patient.acquisition, options=paper, given=given(patient, "brain_mask", "r2star", "r2"))
    once = replace(paper, background=replace(paper.background, each_echo=False))
    before = preprocess(patient.acquisition, options=once, given=given(patient, "brain_mask", "r2star", "r2"))
    assert after["local_field"].method == "v-sharp, each echo"
    assert before["local_field"].method == "v-sharp"
    np.testing.assert_array_equal(after.array("field_mask"), before.array("field_mask"))
    valid = after.array("field_mask")
    np.testing.assert_allclose(after.array("local_field")[valid], before.array("local_field")[valid], atol=2e-5)


def test_field_that_is_mostly_unreliable_is_used_with_a_warning(patient: Phantom) -> None:
    options = PreprocessOptions(background=BackgroundOptions(largest_residual_rad=1e-4))
    result = preprocess(patient.acquisition, options=options, given=given(patient, "brain_mask", "r2star", "r2"))
    assert any("of the brain has echoes whose phases lie on a line" in text for text in result["local_field"].warnings)
    assert result.array("field_mask").any()


def test_residual_and_expected_error_go_with_the_field(patient: Phantom, maps: MapSet) -> None:
    """The expected error is that of the field, in the middle of the brain where noise alone makes it."""
    inside = ndimage.binary_erosion(patient.truth.array("brain_mask") & maps.array("brain_mask"), iterations=6)
    error = (maps.array("total_field") - patient.truth.array("total_field"))[inside]
    error -= np.median(error)
    predicted = maps.array("field_sigma")[inside]
    ratio = float(np.median(np.abs(error)) / 0.6745 / np.median(predicted))
    assert 0.7 < ratio < 1.6
    assert 0 < np.median(maps.array("phase_residual")[inside]) < 0.05


def test_alternating_readout_is_corrected_when_asked(patient: Phantom) -> None:
    """A bipolar readout of the same data gives the field of the monopolar one."""
    i = np.linspace(-1, 1, patient.acquisition.grid.shape[0], dtype=np.float32)[:, None, None, None]
    extra = (1.1 * i + 0.4) * np.array([0, 1, 0, 1, 0, 1], np.float32)
    phase = np.angle(np.exp(1j * (patient.acquisition.gre_phase + extra))).astype(np.float32)
    bipolar = replace(patient.acquisition, gre_phase=phase, spin_echo=None)
    plain = replace(patient.acquisition, spin_echo=None)
    known = given(patient, "brain_mask", "r2star")
    expected = preprocess(plain, given=known)
    found = preprocess(bipolar, options=PreprocessOptions(correct_bipolar=True), given=known)
    wrong = preprocess(bipolar, given=known)
    valid = expected.array("field_mask")

    def error(result: MapSet) -> float:
        difference = (result.array("local_field") - expected.array("local_field"))[valid]
        return float(np.linalg.norm(difference) / np.linalg.norm(expected.array("local_field")[valid]))

    assert any("was corrected" in text for text in found["total_field"].warnings)
    assert any("Switch correct_bipolar on" in text for text in wrong["total_field"].warnings)
    assert error(found) < 0.12 < error(wrong)
