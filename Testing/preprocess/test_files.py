"""Maps on disk come back as they were, and nothing is ever half-written."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Grid, Map, ScanParameters
from ChiSepPreprocessLib.errors import InputError, OutputError
from ChiSepPreprocessLib.files import is_complete, read_map, read_mapset, read_mask, write_map, write_nifti, writing

SCAN = ScanParameters(
    echo_times_s=(0.0077, 0.01273),
    field_strength_t=2.89362,
    b0_direction_ijk=(0.0, 0.6, 0.8),
    imaging_frequency_hz=123.2e6,
)


def oblique_map(name: str = "r2star") -> Map:
    affine = np.array([[0.9, 0.1, 0, -20], [-0.1, 0.9, 0, 3], [0, 0, -2, 7], [0, 0, 0, 1.0]])
    data = np.random.default_rng(1).uniform(0, 50, (5, 6, 7)).astype(np.float32)
    return Map(name=name, data=data, grid=Grid((5, 6, 7), affine), method="arlo", options={"maximum_per_s": 500.0},
               warnings=("χ′ – look",))  # fmt: skip


def test_map_round_trip_keeps_voxels_geometry_and_record(tmp_path: Path) -> None:
    one = oblique_map()
    write_map(one, SCAN, tmp_path)
    back, note = read_map(tmp_path, "r2star")
    np.testing.assert_array_equal(back.data, one.data)
    assert back.grid.matches(one.grid, tolerance_mm=1e-4)
    assert (back.method, back.warnings, dict(back.options)) == (one.method, one.warnings, dict(one.options))
    assert (note["unit"], note["reference_frequency"]) == ("1/s", "imaging frequency")
    assert read_mapset(tmp_path).scan == SCAN


def test_masks_come_back_as_bool(tmp_path: Path) -> None:
    mask = np.zeros((3, 3, 3), bool)
    mask[1, 1, 1] = True
    write_map(Map(name="brain_mask", data=mask, grid=Grid((3, 3, 3), np.eye(4))), SCAN, tmp_path)
    back, _ = read_map(tmp_path, "brain_mask")
    assert back.data.dtype == np.bool_
    np.testing.assert_array_equal(back.data, mask)


def test_failure_while_writing_leaves_the_old_file_and_no_part(tmp_path: Path) -> None:
    target = tmp_path / "note.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="midway"), writing(target) as temporary:
        temporary.write_text("new, but")
        raise RuntimeError("midway")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_full_disk_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="disk is full"), writing(tmp_path / "map.nii.gz"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_output_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Cannot write"):
        write_map(oblique_map(), SCAN, tmp_path / "file" / "maps")


def test_map_without_its_sidecar_is_not_complete(tmp_path: Path) -> None:
    write_map(oblique_map(), SCAN, tmp_path)
    (tmp_path / "r2star.json").unlink()
    assert not is_complete(tmp_path, "r2star")
    with pytest.raises(InputError, match="without a complete map"):
        read_mapset(tmp_path)


def test_foreign_unit_is_refused(tmp_path: Path) -> None:
    write_map(oblique_map(), SCAN, tmp_path)
    note = json.loads((tmp_path / "r2star.json").read_text())
    (tmp_path / "r2star.json").write_text(json.dumps({**note, "unit": "1/ms"}))
    with pytest.raises(InputError, match="unit of r2star: got 1/ms"):
        read_map(tmp_path, "r2star")


def test_truncated_nifti_is_one_clear_error(tmp_path: Path) -> None:
    path = write_map(oblique_map(), SCAN, tmp_path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="cannot be read"):
        read_map(tmp_path, "r2star")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"echo_times_s": None}, "no echo_times_s"),
        ({"echo_times_s": "x"}, "echo_times_s 'x'; expected numbers"),
        ({"b0_direction_ijk": [0, 1]}, "a unit vector of three numbers"),
        ({"b0_direction_ijk": [0, 0, 0.9]}, "a unit vector of three numbers"),
        ({"b0_direction_ijk": [0, float("nan"), 1]}, "a unit vector of three numbers"),
        ({"imaging_frequency_hz": [1]}, "imaging_frequency_hz .*a number"),
        ({"field_strength_t": "3T"}, "field_strength_t '3T'"),
        ({"options": "x"}, "options 'x'; expected a JSON object"),
        ({"warnings": "x"}, "warnings 'x'; expected a JSON array"),
        ({"artifact": "r2"}, "artifact 'r2'; expected 'r2star'"),
    ],
)
def test_sidecar_edited_by_hand(tmp_path: Path, change: dict[str, object], match: str) -> None:
    write_map(oblique_map(), SCAN, tmp_path)
    note = json.loads((tmp_path / "r2star.json").read_text())
    (tmp_path / "r2star.json").write_text(json.dumps({**note, **change}))
    with pytest.raises(InputError, match=match):
        read_mapset(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]", ""])
def test_sidecar_that_is_no_json_object(tmp_path: Path, text: str) -> None:
    write_map(oblique_map(), SCAN, tmp_path)
    (tmp_path / "r2star.json").write_text(text)
    with pytest.raises(InputError, match=r"r2star\.json"):
        read_mapset(tmp_path)


def test_maps_of_different_scans_are_refused(tmp_path: Path) -> None:
    write_map(oblique_map(), SCAN, tmp_path)
    write_map(oblique_map("r2prime"), replace(SCAN, echo_times_s=(0.004, 0.01)), tmp_path)
    with pytest.raises(InputError, match=r"another echo_times_s in r2prime\.json than in r2star\.json"):
        read_mapset(tmp_path)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ([0, 1, np.nan], "NaN"),
        ([0, 3, 17], "3 different values from 0 to 17"),
        ([0, -1, 1], "from -1 to 1"),
        ([0, 0, 0.3], "no voxel inside"),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path: Path, values: list[float], match: str) -> None:
    grid = Grid((3, 3, 3), np.eye(4))
    write_nifti(tmp_path / "mask.nii.gz", np.resize(np.array(values), grid.shape), grid)
    with pytest.raises(InputError, match=match):
        read_mask(tmp_path / "mask.nii.gz")


def test_mask_may_have_any_one_value_inside(tmp_path: Path) -> None:
    grid = Grid((3, 3, 3), np.eye(4))
    inside = np.resize([False, True], grid.shape)
    write_nifti(tmp_path / "mask.nii.gz", inside * np.int16(255), grid)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.nii.gz")[0], inside)


def test_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which is a folder"):
        read_mask(tmp_path)
