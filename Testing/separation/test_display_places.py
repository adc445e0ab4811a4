"""Places to jump to: near the true nuclei of the simulated patient, and inside regions that are given."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ChiSeparationLib.display.places import approximate_places, places_of_regions
from ChiSepPhantoms import Phantom
from ChiSepPhantoms.tissues import TISSUES
from ChiSepPreprocessLib.artifacts import Array, Grid
from ChiSepPreprocessLib.errors import InputError

#: Nucleus, its tissue in the phantom, and how far the approximate place may lie from its centroid and from its nearest
#: voxel, mm. Measured on five upright patients: at most 7.9 for the caudate, whose tail draws the centroid away from
#: its body, 7.2 for the others, and 4.5 to the nearest voxel.
NUCLEI = {
    "Caudate": ("caudate", 9.0, 5.0),
    "Putamen": ("putamen", 7.5, 5.0),
    "Pallidum": ("globus_pallidus", 7.5, 5.0),
    "Thalamus": ("thalamus", 7.5, 5.0),
    "Red nucleus": ("red_nucleus", 7.5, 5.0),
    "Substantia nigra": ("substantia_nigra", 7.5, 5.0),
    "Dentate": ("dentate", 7.5, 5.0),
}
SIDES = ("right", "left")


def turned(grid: Grid, degrees: tuple[float, float, float]) -> tuple[Grid, Array]:
    """The same voxels with the head turned about R, A and S through the origin, and the rotation."""
    rotation = np.eye(4)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        step = np.eye(4)
        step[[first, second], [first, second]] = np.cos(angle)
        step[second, first], step[first, second] = np.sin(angle), -np.sin(angle)
        rotation = step @ rotation
    return Grid(grid.shape, rotation @ grid.affine), rotation[:3, :3]


def voxels_ras(mask: Array, grid: Grid) -> Array:
    return np.asarray(np.argwhere(mask) @ grid.affine[:3, :3].T + grid.affine[:3, 3])


def true_voxels(patient: Phantom, nucleus: str) -> dict[str, Array]:
    """Voxels of a nucleus by side, RAS mm; the phantom's head is upright, its middle at R = 0 but for a few mm."""
    points = voxels_ras(patient.labels == TISSUES[NUCLEI[nucleus][0]].label, patient.truth.grid)
    middle = voxels_ras(patient.truth.array("brain_mask"), patient.truth.grid)[:, 0].mean()
    return {"right": points[points[:, 0] > middle], "left": points[points[:, 0] < middle]}


@pytest.mark.parametrize("nucleus", NUCLEI)
@pytest.mark.parametrize("nod_deg", [0.0, 12.0, -12.0])
def test_approximate_places_lie_near_the_nuclei(patient: Phantom, nucleus: str, nod_deg: float) -> None:
    grid, rotation = turned(patient.truth.grid, (nod_deg, 0.0, 0.0))
    places = {
        one.name: np.array(one.position_ras) for one in approximate_places(patient.truth.array("brain_mask"), grid)
    }
    _, to_centroid, to_voxel = NUCLEI[nucleus]
    for side in SIDES:
        voxels = true_voxels(patient, nucleus)[side] @ rotation.T
        assert np.linalg.norm(places[f"{nucleus}, {side}"] - voxels.mean(axis=0)) < to_centroid
        assert np.linalg.norm(voxels - places[f"{nucleus}, {side}"], axis=1).min() < to_voxel


def test_places_move_and_grow_with_the_head(patient: Phantom) -> None:
    mask, grid = patient.truth.array("brain_mask"), patient.truth.grid
    moved = np.diag([1.1, 1.1, 1.1, 1.0])
    moved[:3, 3] = [20.0, -30.0, 15.0]
    before, after = (
        approximate_places(mask, Grid(grid.shape, matrix)) for matrix in (grid.affine, moved @ grid.affine)
    )
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(other.position_ras, 1.1 * np.array(one.position_ras) + moved[:3, 3], atol=1e-6)


def test_a_mask_without_the_brain_stem_moves_places_little(patient: Phantom) -> None:
    mask, grid = patient.truth.array("brain_mask"), patient.truth.grid
    height = np.moveaxis(np.indices(grid.shape), 0, -1) @ grid.affine[2, :3] + grid.affine[2, 3]
    cut = mask & (height > height[mask].min() + 20.0)
    assert 0.9 < cut.sum() / mask.sum() < 0.999
    for one, other in zip(approximate_places(mask, grid), approximate_places(cut, grid), strict=True):
        assert np.linalg.norm(np.subtract(one.position_ras, other.position_ras)) < 6.0


def test_places_say_that_they_are_approximate(patient: Phantom) -> None:
    places = approximate_places(patient.truth.array("brain_mask"), patient.truth.grid)
    assert [one.name for one in places[:2]] == ["Caudate, right", "Caudate, left"]
    assert len(places) == 2 * len(NUCLEI)
    assert all(one.approximate and one.title == f"{one.name} (approximate)" for one in places)
    assert "within about 1 cm" in places[0].tooltip


@pytest.mark.parametrize("part", ["empty", "one voxel", "upper half", "another unit"])
def test_masks_of_no_whole_brain_are_refused(patient: Phantom, part: str) -> None:
    mask, grid = patient.truth.array("brain_mask").copy(), patient.truth.grid
    height = np.moveaxis(np.indices(grid.shape), 0, -1) @ grid.affine[2, :3] + grid.affine[2, 3]
    if part == "empty":
        mask[:] = False
    elif part == "one voxel":
        mask[:] = False
        mask[10, 10, 10] = True
    elif part == "upper half":
        mask &= height > 20.0
    else:
        grid = Grid(grid.shape, np.diag([0.1, 0.1, 0.1, 1.0]) @ grid.affine)
    with pytest.raises(InputError, match="brain mask"):
        approximate_places(mask, grid)


def phantom_regions(patient: Phantom) -> Iterator[tuple[str, Array, Grid]]:
    for name, (tissue, _, _) in NUCLEI.items():
        yield name, patient.labels == TISSUES[tissue].label, patient.truth.grid


def test_regions_give_a_place_inside_each_half(patient: Phantom) -> None:
    places = {one.name: np.array(one.position_ras) for one in places_of_regions(phantom_regions(patient))}
    assert set(places) == {f"{name}, {side}" for name in NUCLEI for side in SIDES}
    for name in NUCLEI:
        for side, voxels in true_voxels(patient, name).items():
            distances = np.linalg.norm(voxels - places[f"{name}, {side}"], axis=1)
            assert distances.min() < 1e-6
            assert np.linalg.norm(voxels.mean(axis=0) - places[f"{name}, {side}"]) < 5.0


def test_one_part_keeps_its_name_and_specks_do_not_count() -> None:
    grid = Grid((12, 12, 12), np.diag([-2.0, 2.0, 2.0, 1.0]))
    mask = np.zeros(grid.shape, dtype=bool)
    mask[2:5, 2:5, 2:5] = True
    mask[10, 10, 10] = True
    (place,) = places_of_regions([("Pons", mask, grid)])
    assert (place.name, place.title, place.approximate) == ("Pons", "Pons", False)
    assert place.position_ras == (-6.0, 6.0, 6.0)
    assert "region" in place.tooltip


def test_a_hollow_region_gives_a_voxel_of_its_own() -> None:
    grid = Grid((9, 9, 9), np.eye(4))
    mask = np.zeros(grid.shape, dtype=bool)
    mask[1:8, 1:8, 4] = True
    mask[2:7, 2:7, 4] = False
    (place,) = places_of_regions([("Ring", mask, grid)])
    assert mask[tuple(int(value) for value in place.position_ras)]


def test_sides_follow_the_patient_and_not_the_voxels() -> None:
    for sign in (1.0, -1.0):
        grid = Grid((9, 3, 3), np.diag([sign, 1.0, 1.0, 1.0]))
        mask = np.zeros(grid.shape, dtype=bool)
        mask[1, 1, 1] = mask[7, 1, 1] = True
        places = {one.name: one.position_ras[0] for one in places_of_regions([("Nucleus", mask, grid)])}
        assert places["Nucleus, left"] < places["Nucleus, right"]


def test_an_empty_region_is_refused() -> None:
    with pytest.raises(InputError, match="Nothing"):
        places_of_regions([("Nothing", np.zeros((3, 3, 3), dtype=bool), Grid((3, 3, 3), np.eye(4)))])
