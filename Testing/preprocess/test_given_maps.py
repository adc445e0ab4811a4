"""Maps that the user brings: wrong units, wrong files and swapped files are refused or doubted by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ChiSepPhantoms import Phantom
from ChiSepPreprocessLib.artifacts import Array, Grid, Map
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import write_nifti
from ChiSepPreprocessLib.given import check_given, check_given_maps, eroded_mask, read_given_map

_GIVEABLE = ("brain_mask", "field_mask", "csf_mask", "total_field", "local_field", "r2star", "r2", "r2prime")


def changed(patient: Phantom, name: str, change: Callable[[Array], Array]) -> Map:
    """A true map, changed in its nonzero voxels."""
    data = patient.truth.array(name).astype(np.float32)
    inside = data != 0
    data[inside] = change(data[inside])
    return Map(name=name, data=data, grid=patient.truth.grid)


def test_true_maps_are_taken_without_a_word(patient: Phantom) -> None:
    maps = {name: patient.truth[name] for name in _GIVEABLE if name in patient.truth}
    assert {"brain_mask", "total_field", "local_field", "r2star", "r2", "r2prime"} <= set(maps)
    checked = check_given_maps(maps, patient.acquisition)
    assert list(checked) == list(maps)
    assert {name: one.warnings for name, one in checked.items()} == dict.fromkeys(maps, ())
    assert all(checked[name].data is maps[name].data for name in maps)


@pytest.mark.parametrize(
    ("name", "factor", "match"),
    [
        ("r2star", 1e-3, "Is it in 1/ms"),
        ("r2", 1e-3, "Is it in 1/ms"),
        ("r2prime", 1e-3, "Is it in 1/ms"),
        ("local_field", 127.7, "Is it in Hz"),
        ("total_field", 127.7, "Is it in Hz"),
        ("total_field", 0.0, "median of 0"),
    ],
)
def test_file_in_another_unit_is_refused(
    patient: Phantom, tmp_path: Path, name: str, factor: float, match: str
) -> None:
    write_nifti(tmp_path / "map.nii.gz", patient.truth.array(name), patient.truth.grid)
    read = read_given_map(name, tmp_path / "map.nii.gz")
    assert (read.method, read.warnings) == ("given", ())
    write_nifti(tmp_path / "map.nii.gz", patient.truth.array(name) * factor, patient.truth.grid)
    with pytest.raises(InputError, match=match):
        read_given_map(name, tmp_path / "map.nii.gz")


def test_name_that_cannot_be_given_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'chi_total'; expected one of brain_mask, field_mask"):
        read_given_map("chi_total", tmp_path / "map.nii.gz")


@pytest.mark.parametrize("name", ["r2star", "r2", "r2prime"])
def test_relaxation_time_in_seconds_is_refused_or_doubted(patient: Phantom, name: str) -> None:
    one = changed(patient, name, lambda rate: 1.0 / np.maximum(rate, 0.5))
    if name == "r2prime":  # of 0.2 s, which could be a rate at a very low field
        (text,) = check_given(one)
        assert "usual is 1 to 45 1/s" in text
        return
    with pytest.raises(InputError, match="or a relaxation time"):
        check_given(one)


def test_t2star_in_milliseconds_is_known_by_the_decay(patient: Phantom) -> None:
    """Its values could be rates in 1/s, and are doubted; against the echoes it is refused."""
    one = changed(patient, "r2star", lambda rate: 1e3 / np.maximum(rate, 0.5))
    assert "relaxation time" in check_given(one)[0]
    with pytest.raises(InputError, match=r"r2star: .*rank correlation -.*Is it T2\*"):
        check_given_maps({"r2star": one}, patient.acquisition)


@pytest.mark.parametrize("factor", [1.0, 0.3, 3.0])
def test_total_field_may_hold_any_constant(patient: Phantom, factor: float) -> None:
    """Offset removal leaves whole turns for each echo spacing, which are some ppm for short spacings."""
    assert check_given(changed(patient, "total_field", lambda field: factor * field + 3.1)) == ()


def test_background_in_the_local_field_is_doubted(patient: Phantom) -> None:
    total = replace(patient.truth["total_field"], name="local_field")
    (text,) = check_given(total)
    assert "usual is 0.0001 to 0.015 ppm" in text
    assert "Is the background still in it?" in text


def test_field_in_radians_is_doubted(patient: Phantom) -> None:
    """At an echo time of 20 ms and 3 T; a factor of 16 alone is not beyond belief."""
    (text,) = check_given(changed(patient, "local_field", lambda field: field * 127.7 * 2 * np.pi * 0.02))
    assert "Is it in Hz, rad or rad/s?" in text


def test_swapped_relaxation_maps_are_refused(patient: Phantom) -> None:
    truth = patient.truth
    swapped = {"r2": replace(truth["r2star"], name="r2"), "r2star": replace(truth["r2"], name="r2star")}
    with pytest.raises(InputError, match="Are they swapped"):
        check_given_maps(swapped)


def test_constant_map_is_refused_and_constant_r2_is_called_by_its_name(patient: Phantom) -> None:
    for name in ("r2star", "r2prime", "local_field", "total_field"):
        with pytest.raises(InputError, match=f"{name}: got the same value"):
            check_given(
                changed(patient, name, lambda values: np.full_like(values, 0.01 if values.mean() < 1 else 13.0))
            )
    (text,) = check_given(changed(patient, "r2", lambda rate: np.full_like(rate, 13.0)))
    assert "pseudo-R2" in text


@pytest.mark.parametrize("name", ["brain_mask", "field_mask", "csf_mask"])
def test_empty_mask_is_refused_and_full_mask_is_doubted(name: str) -> None:
    grid = Grid((4, 5, 6), np.eye(4))
    with pytest.raises(InputError, match=f"{name}: got no voxel inside"):
        check_given(Map(name=name, data=np.zeros(grid.shape, np.bool_), grid=grid))
    (text,) = check_given(Map(name=name, data=np.ones(grid.shape, np.bool_), grid=grid))
    assert f"The given {name} holds every voxel" in text


def test_nan_and_negative_rates_never_become_a_map(patient: Phantom) -> None:
    with pytest.raises(InputError, match="NaN"):
        changed(patient, "local_field", lambda field: np.where(field > field.max() * 0.9, np.nan, field))
    with pytest.raises(InputError, match="values ≥ 0"):
        changed(patient, "r2prime", lambda rate: rate - 5.0)


def test_warnings_that_were_there_stay_and_none_comes_twice(patient: Phantom) -> None:
    total = replace(patient.truth["total_field"], name="local_field", warnings=("known",))
    once = check_given_maps({"local_field": total})
    twice = check_given_maps(once)
    assert once["local_field"].warnings[0] == "known"
    assert len(once["local_field"].warnings) == 2
    assert twice["local_field"].warnings == once["local_field"].warnings


@pytest.mark.parametrize("name", ["total_field", "local_field"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda field: -field, "the opposite sign of the measured phase"),
        (lambda field: np.roll(field, 9, axis=1), "does not predict the measured phase"),
        (lambda field: 0.4 * field, "The measured phase is 2.5 times what the given"),
        (lambda field: np.where(field != 0, field + 0.1, 0), None),
    ],
    ids=["opposite", "displaced", "too small", "constant"],
)
def test_field_is_held_against_the_measured_phase(
    patient: Phantom, name: str, change: Callable[[Array], Array], words: str | None
) -> None:
    one = Map(name=name, data=change(patient.truth.array(name)).astype(np.float32), grid=patient.truth.grid)
    spoken = check_given_maps({name: one}, patient.acquisition)[name].warnings
    assert [text for text in spoken if "measured phase" in text] == [text for text in spoken if words and words in text]
    assert any("measured phase" in text for text in spoken) == (words is not None)


@pytest.mark.parametrize(("erosion_mm", "kept"), [(0.0, 9 * 9 * 9), (2.0, 5 * 7 * 9)])
def test_given_mask_is_eroded_on_request_and_its_holes_stay(erosion_mm: float, kept: int) -> None:
    grid = Grid((15, 15, 15), np.diag([1.0, 2.0, 2.5, 1.0]))
    brain = np.zeros(grid.shape, np.bool_)
    brain[3:12, 3:12, 3:12] = True
    assert int(eroded_mask(Map(name="brain_mask", data=brain, grid=grid), erosion_mm).data.sum()) == kept
    brain[7, 7, 7] = False
    left = eroded_mask(Map(name="brain_mask", data=brain, grid=grid, warnings=("known",)), erosion_mm)
    assert not left.data[7, 7, 7]
    assert left.warnings == ("known",)
    assert left.method == "given"


def test_erosion_that_leaves_nothing_is_refused() -> None:
    grid = Grid((5, 5, 5), np.eye(4))
    brain = np.zeros(grid.shape, np.bool_)
    brain[1:4, 1:4, 1:4] = True
    with pytest.raises(InputError, match="which leaves nothing"):
        eroded_mask(Map(name="brain_mask", data=brain, grid=grid), 3.0)
