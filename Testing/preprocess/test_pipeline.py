"""Acquisition to maps: what is computed, what is taken as given, what is said (simulated patient)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ChiSepPhantoms import Phantom
from ChiSepPreprocessLib.artifacts import Acquisition, Grid, Map, MapSet, SpinEcho
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.pipeline import combined_magnitude, preprocess
from ChiSepPreprocessLib.progress import Status


def given(patient: Phantom, *names: str) -> dict[str, Map]:
    return {name: patient.truth[name] for name in names}


@pytest.fixture(scope="module")
def maps(patient: Phantom) -> MapSet:
    return preprocess(patient.acquisition, given=given(patient, "brain_mask"))


def test_combined_magnitude_is_the_root_of_the_sum_of_squares() -> None:
    echoes = np.array([3.0, 4.0], np.float32).reshape(1, 1, 1, 2)
    assert combined_magnitude(echoes)[0, 0, 0] == pytest.approx(5.0)


def test_total_field_is_the_true_one_up_to_a_constant(maps: MapSet, patient: Phantom) -> None:
    """Offset removal leaves a constant of whole turns per echo spacing; the rest is noise."""
    mask = patient.truth.array("brain_mask")
    error = (maps.array("total_field") - patient.truth.array("total_field"))[mask]
    assert float(np.median(np.abs(error - np.median(error)))) < 4.5e-4  # ppm; measured 4.1e-4 at SNR 100
    assert float(np.std(error)) < 0.016  # ppm; measured 0.014, from voxels that lost their signal beside air


def test_maps_given_are_not_computed_again(patient: Phantom) -> None:
    made: list[str] = []
    names = ("brain_mask", "local_field", "r2star", "r2")
    result = preprocess(patient.acquisition, given=given(patient, *names), on_map=lambda one: made.append(one.name))
    assert made == ["r2prime", "field_mask"]
    np.testing.assert_array_equal(result.array("local_field"), patient.truth.array("local_field"))


def test_without_spin_echo_r2prime_is_a_named_fallback(patient: Phantom) -> None:
    alone = replace(patient.acquisition, spin_echo=None)
    result = preprocess(alone, given=given(patient, "brain_mask", "local_field"))
    expected = np.maximum(result.array("r2star") - 13.0, 0.0)[patient.truth.array("brain_mask")]
    np.testing.assert_allclose(result.array("r2prime")[patient.truth.array("brain_mask")], expected, atol=1e-4)
    assert result["r2prime"].method == "pseudo-r2"
    assert "pseudo-R2 of 13 1/s" in result["r2prime"].warnings[0]


def test_spin_echo_that_covers_a_part_leaves_the_rest_out(patient: Phantom) -> None:
    whole = patient.acquisition.spin_echo
    assert whole is not None
    half = whole.magnitude.shape[2] // 2
    lower = SpinEcho(whole.magnitude[:, :, :half], whole.echo_times_s,
                     Grid((*whole.grid.shape[:2], half), whole.grid.affine))  # fmt: skip
    partial = replace(patient.acquisition, spin_echo=lower)
    result = preprocess(partial, given=given(patient, "brain_mask", "local_field"))
    valid, seen = result.array("field_mask"), result.array("r2") > 0
    assert not np.any(valid & ~seen)
    assert 0.2 < valid.sum() / patient.truth.array("brain_mask").sum() < 0.8
    assert any("covers" in text for text in result["r2"].warnings)


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
