"""Names of places from positions, in a brain whose size and nod are known, and the terminology of lesions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ChiSeparationLib.display.places import brain_from_mni
from ChiSeparationLib.lesions.naming import APPROXIMATE, anatomy_of, name_places, place_of
from ChiSepPreprocessLib.artifacts import Array, Grid
from ChiSepPreprocessLib.errors import InputError

#: Ends and tilt of the MNI brain; see display/places.py.
_LOW, _HIGH, _NOD_DEG = np.array([-70.0, -104.0, -64.0]), np.array([70.0, 70.0, 78.0]), 10.2


def _brain(size_mm: tuple[float, float, float] = (2.0, 2.0, 2.0)) -> tuple[Array, Grid]:
    """An ellipsoid of the template's size and tilt, with indices that run against the axes of the patient."""
    shape = tuple(round(n / size) for n, size in zip((180, 220, 180), size_mm, strict=True))
    affine = np.diag([-size_mm[0], size_mm[1], size_mm[2], 1.0])
    affine[:3, 3] = 90.0, -128.0, -85.0
    grid = Grid(shape, affine)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    ras = index @ affine[:3, :3].T + affine[:3, 3] - (_LOW + _HIGH) / 2
    angle = np.deg2rad(_NOD_DEG)
    y, z = ras[..., 1] * np.cos(angle) + ras[..., 2] * np.sin(angle), ras[..., 2] * np.cos(angle) - ras[
        ..., 1] * np.sin(angle)  # fmt: skip
    half = (_HIGH - _LOW) / 2
    return (ras[..., 0] / half[0]) ** 2 + (y / (half[1] * 1.02)) ** 2 + (z / (half[2] * 0.98)) ** 2 <= 1, grid


def _ball(grid: Grid, mni: tuple[float, float, float], brain: Array, radius_mm: float = 3.0) -> Array:
    """Voxels around a point of MNI space, carried into the patient."""
    centre = (brain_from_mni(brain, grid) @ [*mni, 1.0])[:3]
    index = np.argwhere(np.ones(grid.shape, dtype=bool))
    ras = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return index[np.linalg.norm(ras - centre, axis=1) <= radius_mm]


@pytest.mark.parametrize(("mni", "name"), [
    ((-22.0, -42.0, 18.0), "left periventricular white matter, parietal"),
    ((18.0, 20.0, 14.0), "right periventricular white matter, basal ganglia and capsules"),
    ((-30.0, 5.0, 40.0), "left deep white matter, frontal"),
    ((24.0, -45.0, 46.0), "right deep white matter, parietal"),
    ((22.0, -80.0, 6.0), "right deep white matter, occipital"),
    ((-40.0, 0.0, -28.0), "left deep white matter, temporal"),
    ((20.0, -60.0, -40.0), "right cerebellum, infratentorial"),
    ((-1.0, -28.0, -30.0), "midline brainstem, infratentorial"),
])  # fmt: skip
def test_a_lesion_gets_side_region_and_lobe(mni: tuple[float, float, float], name: str) -> None:
    brain, grid = _brain()
    assert place_of(_ball(grid, mni, brain), grid, anatomy_of(grid, brain)) == name + APPROXIMATE


def test_next_to_outer_fluid_is_juxtacortical_and_next_to_a_ventricle_periventricular() -> None:
    """Both deep in the brain; fluid, not position, tells them apart."""
    brain, grid = _brain()
    fluid = np.zeros(grid.shape, dtype=np.bool_)
    for mni in ((-32.0, 5.0, 40.0), (12.0, 0.0, 22.0)):
        fluid[tuple(_ball(grid, mni, brain, 4.0).T)] = True
    anatomy = anatomy_of(grid, brain, fluid)
    beside = _ball(grid, (-32.0, 13.0, 40.0), brain)
    assert place_of(beside, grid, anatomy).startswith("left juxtacortical white matter, frontal")
    assert place_of(beside, grid, anatomy_of(grid, brain)).startswith("left deep white matter")
    assert place_of(_ball(grid, (12.0, 7.0, 24.0), brain), grid, anatomy).startswith("right periventricular")
    # Where fluid is known, the ventricle's usual course no longer counts.
    assert "periventricular" not in place_of(_ball(grid, (-12.0, 0.0, 22.0), brain), grid, anatomy)


def test_all_lesions_of_a_map_are_named_by_their_labels() -> None:
    brain, grid = _brain((2.0, 3.0, 2.0))
    labels = np.zeros(grid.shape, dtype=np.int32)
    labels[tuple(_ball(grid, (-30.0, 5.0, 40.0), brain).T)] = 7
    labels[tuple(_ball(grid, (20.0, -60.0, -40.0), brain).T)] = 3
    names = name_places(labels, grid, brain)
    assert set(names) == {3, 7}
    assert names[7].startswith("left deep white matter")
    assert not name_places(np.zeros_like(labels), grid, brain)


def test_without_a_whole_brain_there_are_no_names() -> None:
    brain, grid = _brain()
    slab = brain.copy()
    slab[..., :60] = False
    assert not name_places(brain.astype(np.int32), grid, slab)
    with pytest.raises(InputError, match="fluid"):
        name_places(brain.astype(np.int32), grid, brain, np.zeros((2, 2, 2), dtype=np.bool_))


def test_the_terminology_holds_what_slicers_schema_requires() -> None:
    """Fields that the schema of segment contexts requires, and the codes of a lesion."""
    folder = Path(__file__).resolve().parents[2] / "ChiSeparation" / "Resources" / "Terminologies"
    content = json.loads((folder / "ChiSeparationLesions.term.json").read_text(encoding="utf-8"))
    assert content["SegmentationCategoryTypeContextName"]
    assert content["@schema"].endswith("segment-context-schema.json#")
    (category,) = content["SegmentationCodes"]["Category"]
    (lesion,) = category["Type"]
    for one in (category, lesion):
        assert {"CodingSchemeDesignator", "CodeValue", "CodeMeaning"} <= set(one)
        assert one["CodingSchemeDesignator"] == "SCT"
    assert isinstance(category["showAnatomy"], bool)
    assert (category["CodeValue"], lesion["CodeValue"], lesion["CodeMeaning"]) == ("49755003", "52988006", "Lesion")
    assert all(0 <= value <= 255 for value in lesion["recommendedDisplayRGBValue"])
    assert len(lesion["recommendedDisplayRGBValue"]) == 3
