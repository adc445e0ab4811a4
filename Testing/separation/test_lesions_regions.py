"""Geometry of lesions: against spheres and against a slow reference that shares no code."""

from __future__ import annotations

import itertools
import math
import os
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ChiSeparationLib.lesions.components import label_mask, relabel
from ChiSeparationLib.lesions.regions import RegionOptions, find_regions
from ChiSepPreprocessLib.artifacts import Grid
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_mask

PATIENTS = Path(os.environ.get("CHISEP_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "ms"


def oblique_grid(shape: tuple[int, int, int], size_mm: tuple[float, float, float]) -> Grid:
    """Grid turned about two axes, with an origin that is not on a voxel of the scanner."""
    a, b = 0.4, -0.7
    about_z = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_z @ np.diag(size_mm)
    affine[:3, 3] = (-31.0, 12.5, 40.25)
    return Grid(shape, affine)


def positions_mm(grid: Grid) -> NDArray[np.float64]:
    """RAS of every voxel's centre, shape (I, J, K, 3)."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
    return index @ grid.affine[:3, :3].T + grid.affine[:3, 3]


def sphere(grid: Grid, centre_mm: NDArray[np.float64], radius_mm: float) -> NDArray[np.bool_]:
    return np.asarray(np.linalg.norm(positions_mm(grid) - centre_mm, axis=-1) <= radius_mm)


def to_ras(grid: Grid, index: tuple[float, ...]) -> NDArray[np.float64]:
    return np.asarray(grid.affine[:3, :3] @ np.array(index) + grid.affine[:3, 3])


def test_sphere_has_its_volume_and_centre_on_an_oblique_anisotropic_grid() -> None:
    grid = oblique_grid((41, 37, 25), (0.9, 1.1, 1.7))
    centre = to_ras(grid, (20.3, 18.6, 12.1))
    found = label_mask(sphere(grid, centre, 9.0), grid)
    region = next(find_regions(found.lesions.data.astype(np.int64), grid, RegionOptions()))
    volume = region.voxels * grid.voxel_volume_mm3
    assert volume == pytest.approx(4 / 3 * math.pi * 9.0**3, rel=0.01)
    assert np.linalg.norm(np.array(region.centroid_ras_mm) - centre) < 0.1


def test_core_of_a_sphere_is_the_sphere_less_the_rim() -> None:
    grid = oblique_grid((61, 61, 61), (0.4, 0.4, 0.4))
    centre = to_ras(grid, (30.2, 29.7, 30.1))
    labels = sphere(grid, centre, 9.0).astype(np.int64)
    region = next(find_regions(labels, grid, RegionOptions(rim_width_mm=2.0)))
    core = np.count_nonzero(region.core) * grid.voxel_volume_mm3
    # A voxel outside reaches at most half its diagonal (0.35 mm) into the sphere.
    assert 7.0 - 0.4 * math.sqrt(3) / 2 < (3 * core / (4 * math.pi)) ** (1 / 3) < 7.0


def slow_masks(
    labels: NDArray[np.int64], label: int, grid: Grid, options: RegionOptions
) -> dict[str, set[tuple[int, ...]]]:
    """Core and shell by comparing every voxel with every other, in RAS; the array's outside counts as outside."""
    padded = np.pad(labels, 3)
    lesion = {tuple(index) for index in np.argwhere(padded == label).tolist()}
    others = np.argwhere(padded != label)
    core, shell = set(), set()
    for voxel in lesion:
        gaps = np.maximum(np.abs(others - np.array(voxel)) - 0.5, 0.0) * grid.voxel_size_mm
        if np.linalg.norm(gaps, axis=1).min() > options.rim_width_mm:
            core.add(tuple(n - 3 for n in voxel))
    places = {tuple(index): to_ras(grid, tuple(index)) for index in itertools.product(*map(range, labels.shape))}
    own = np.array([places[i] for i in places if labels[i] == label])
    every = np.array([places[i] for i in places if labels[i] > 0])
    for index, place in places.items():
        from_every, from_own = (np.linalg.norm(lesions - place, axis=1).min() for lesions in (every, own))
        if from_every > options.shell_gap_mm and from_own <= options.shell_reach_mm:
            shell.add(index)
    return {"core": core, "shell": shell}


@pytest.mark.parametrize("size_mm", [(0.9, 1.15, 2.1), (1.3, 0.7, 0.8)])
def test_core_and_shell_agree_with_a_comparison_of_all_voxels(size_mm: tuple[float, float, float]) -> None:
    grid = oblique_grid((13, 12, 9), size_mm)
    labels = np.zeros(grid.shape, dtype=np.int64)
    labels[2:6, 3:8, 2:6] = 4
    labels[3, 3, 2] = 0
    labels[0:2, 0, 0] = 9
    labels[9:13, 6:10, 5:9] = 17  # Up to the end of two axes.
    options = RegionOptions()
    regions = {region.label: region for region in find_regions(labels, grid, options)}
    assert set(regions) == {4, 9, 17}
    for label, region in regions.items():
        start = np.array([part.start for part in region.box])
        slow = slow_masks(labels, label, grid, options)
        for name in ("core", "shell"):
            fast = {tuple(index) for index in (np.argwhere(getattr(region, name)) + start).tolist()}
            assert fast == slow[name], (label, name)
        assert not np.any(region.core & region.rim)
        assert np.array_equal(region.core | region.rim, region.lesion)
    assert regions[4].core.any() and regions[17].core.any()


def test_rounding_in_the_matrix_does_not_move_the_shell() -> None:
    straight = Grid((15, 15, 15), np.eye(4))
    turned = oblique_grid((15, 15, 15), (1.0, 1.0, 1.0))
    labels = np.zeros((15, 15, 15), dtype=np.int64)
    labels[7, 7, 7] = 1
    one, other = (next(find_regions(labels, grid, RegionOptions())) for grid in (straight, turned))
    assert np.array_equal(one.shell, other.shell)
    # 515 lattice points lie within 5 of the origin, 33 within 2.
    assert np.count_nonzero(one.shell) == 515 - 33


def test_another_lesion_beyond_the_box_still_keeps_its_distance() -> None:
    grid = Grid((20, 7, 7), np.eye(4))
    labels = np.zeros(grid.shape, dtype=np.int64)
    labels[3, 3, 3], labels[10, 3, 3] = 1, 2
    region = next(find_regions(labels, grid, RegionOptions()))
    assert region.box[0].stop == 9  # Voxel 3 and five more; the other lesion is at 10.
    assert not region.shell[8, 3, 3]
    assert region.shell[7, 3, 3]


def test_parts_that_touch_at_a_corner_are_one_lesion_and_numbers_fall_with_size() -> None:
    grid = Grid((20, 10, 10), np.diag((1.0, 2.0, 3.0, 1.0)))
    mask = np.zeros(grid.shape, dtype=bool)
    mask[0:2, 0:2, 0:2] = mask[2:4, 2:4, 2:4] = True
    mask[10:15, 2:8, 2:8] = True
    mask[18, 0, 0] = True
    found = label_mask(mask, grid)
    assert np.bincount(found.lesions.data.ravel()).tolist() == [2000 - 180 - 16, 180, 16]
    assert [one.volume_mm3 for one in found.dropped] == pytest.approx([6.0])
    assert found.dropped[0].index == (18, 0, 0)
    assert np.argwhere(found.dropped_mask).tolist() == [[18, 0, 0]]
    assert found.lesions.warnings == ("Left out, since no larger than 20 mm³: 1 lesions of 6.0 mm³.",)


@pytest.mark.parametrize(("voxels", "kept"), [(20, 0), (21, 1)])
def test_a_lesion_must_exceed_the_smallest_volume(voxels: int, kept: int) -> None:
    grid = oblique_grid((30, 3, 3), (1.0, 1.0, 1.0))
    mask = np.zeros(grid.shape, dtype=bool)
    mask[:voxels, 1, 1] = True
    found = label_mask(mask, grid)
    assert (len(found.source_labels), len(found.dropped)) == (kept, 1 - kept)


def test_given_labels_stay_whole_and_remember_their_numbers() -> None:
    grid = Grid((12, 6, 6), np.eye(4))
    labels = np.zeros(grid.shape, dtype=np.float32)
    labels[0:2], labels[10:12, :5] = 7, 7
    labels[5:9] = 300_000
    labels[3, 0, 0] = 2
    found = relabel(labels, grid)
    assert found.source_labels == (300_000, 7)
    assert np.bincount(found.lesions.data.ravel()).tolist() == [432 - 144 - 132, 144, 132]
    assert len(found.dropped) == 1


def test_no_lesion_gives_an_empty_label_map() -> None:
    grid = Grid((4, 4, 4), np.eye(4))
    found = label_mask(np.zeros(grid.shape, dtype=bool), grid)
    assert found.source_labels == () and found.dropped == () and not found.lesions.data.any()
    assert list(find_regions(found.lesions.data.astype(np.int64), grid, RegionOptions())) == []


@pytest.mark.parametrize("bad", [np.full((4, 4, 4), 0.5), np.full((4, 4, 4), -1), np.ones((4, 4, 4), dtype=bool)])
def test_labels_that_are_no_whole_numbers_are_refused(bad: NDArray[np.generic]) -> None:
    with pytest.raises(InputError, match="positive whole number"):
        relabel(bad, Grid((4, 4, 4), np.eye(4)))


def test_a_label_map_is_no_mask() -> None:
    with pytest.raises(InputError, match="a mask of bool"):
        label_mask(np.ones((4, 4, 4), dtype=np.int16), Grid((4, 4, 4), np.eye(4)))


@pytest.mark.parametrize("options", [{"shell_gap_mm": 5.0}, {"rim_width_mm": -1.0}, {"minimum_nawm_voxels": 1}])
def test_senseless_distances_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError):
        RegionOptions(**options)  # type: ignore[arg-type]


def test_a_thousand_small_lesions_take_seconds() -> None:
    grid = Grid((120, 120, 70), np.eye(4))
    labels = np.zeros(grid.shape, dtype=np.int64)
    places = list(itertools.product(range(5, 115, 11), range(5, 115, 11), range(3, 67, 7)))
    for label, (i, j, k) in enumerate(places, start=1):
        labels[i : i + 3, j : j + 3, k : k + 3] = label
    started = time.process_time()
    count = sum(region.voxels == 27 for region in find_regions(labels, grid, RegionOptions()))
    assert count == len(places) == 1000
    assert time.process_time() - started < 15.0


@pytest.mark.skipif(not PATIENTS.is_dir(), reason=f"no folder {PATIENTS}; set CHISEP_TEST_DATA")
@pytest.mark.parametrize(
    ("patient", "volume_mm3", "kept", "dropped"), [("patient07", 1300.0, 17, 20), ("patient19", 49769.0, 35, 63)]
)
def test_lesions_of_patients(patient: str, volume_mm3: float, kept: int, dropped: int) -> None:
    from skimage.measure import label

    mask, grid = read_mask(PATIENTS / patient / "lesions_consensus.nii.gz")
    found = label_mask(mask, grid)
    assert (len(found.source_labels), len(found.dropped)) == (kept, dropped)
    independent = np.sort(np.bincount(label(mask, connectivity=3).ravel())[1:])[::-1]
    regions = list(find_regions(found.lesions.data.astype(np.int64), grid, RegionOptions()))
    sizes = [region.voxels for region in regions] + [one.voxels for one in found.dropped]
    assert sizes == independent.tolist()
    assert sum(sizes) * grid.voxel_volume_mm3 == pytest.approx(volume_mm3)
    assert np.array_equal((found.lesions.data > 0) | found.dropped_mask, mask)
    assert all(region.shell.any() for region in regions)
