"""White matter found in the maps of a made-up head whose tissues are known, and what a run does with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from ChiSeparationLib.lesions.components import label_mask
from ChiSeparationLib.lesions.grades import Grade
from ChiSeparationLib.lesions.grading import grade_lesions
from ChiSeparationLib.lesions.run_grading import grade_run
from ChiSeparationLib.lesions.white_matter import WhiteMatterOptions, normal_appearing_white_matter
from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.morphology import erode_mm

#: R2*, R2 in 1/s and χ_para, χ_dia in ppb, as the simulated patient has them.
TISSUES = {
    "grey": (16.3, 10.1, 34.2, 19.5), "white": (19.5, 14.3, 16.8, 28.8), "fluid": (1.0, 0.6, 0.0, 0.0),
    "nucleus": (32.0, 15.7, 131.9, 12.6),
}  # fmt: skip
NOISE = (1.0, 0.8, 2.0, 2.0)


@dataclass(frozen=True, eq=False)
class Head:
    maps: MapSet
    white: NDArray[np.bool_]
    lesion: NDArray[np.bool_]


@cache
def head(size_mm: tuple[float, float, float] = (1.0, 1.3, 1.6)) -> Head:
    """White matter of 24 mm inside 8 mm of cortex; a ventricle, a nucleus, and a lesion near the cortex."""
    turn = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(size_mm)
    shape = tuple(int(72 / length) for length in size_mm)
    grid = Grid((shape[0], shape[1], shape[2]), affine)
    index = np.indices(shape) - (np.array(shape) // 2)[:, None, None, None]
    place = np.tensordot(affine[:3, :3], index, axes=1)

    def ball(x: float, y: float, z: float, radius: float) -> NDArray[np.bool_]:
        return np.asarray(np.linalg.norm(place - np.array([x, y, z])[:, None, None, None], axis=0) <= radius)

    brain, fluid, nucleus, lesion = ball(0, 0, 0, 32), ball(-6, 0, 0, 6), ball(10, 8, 0, 5), ball(0, -20, 0, 3.5)
    names = np.select([~brain, fluid, nucleus, ball(0, 0, 0, 24)], [0, 3, 4, 2], default=1)
    rng = np.random.default_rng(4)
    table = np.array([(0, 0, 0, 0), *TISSUES.values()], dtype=np.float64)
    values = [np.maximum(table[:, n][names] + rng.normal(0, NOISE[n], shape), 0) * brain for n in range(4)]
    values[3] = np.maximum(values[3] - 14.0 * lesion, 0)
    arrays = {"r2star": values[0], "r2": values[1], "chi_para": values[2] / 1e3, "chi_dia": values[3] / 1e3,
              "chi_total": (values[2] - values[3]) / 1e3, "brain_mask": brain}  # fmt: skip
    scan = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=grid.b0_direction_ijk)
    maps = {name: Map(name=name, data=data, grid=grid) for name, data in arrays.items()}
    return Head(MapSet(grid, scan, maps), np.asarray(names == 2), lesion)


def without(maps: MapSet, *names: str) -> MapSet:
    return MapSet(maps.grid, maps.scan, {name: one for name, one in maps.items() if name not in names})


@pytest.mark.parametrize("left_out", [(), ("r2",)])
@pytest.mark.parametrize("size_mm", [(1.0, 1.3, 1.6), (1.2, 1.2, 1.2)])
def test_it_is_white_matter_and_most_of_it(size_mm: tuple[float, float, float], left_out: tuple[str, ...]) -> None:
    one = head(size_mm)
    found = normal_appearing_white_matter(without(one.maps, *left_out), one.lesion)
    assert found is not None
    assert found.channels == (("r2" if not left_out else "r2star"), "chi_total")
    assert not np.any(found.mask & one.lesion)
    # Without its edge, as lesions are compared with it.
    inner, true = (
        erode_mm(mask | one.lesion, 2.0, size_mm) & binary_erosion(mask | one.lesion) & ~one.lesion
        for mask in (found.mask, one.white)
    )
    assert np.count_nonzero(inner & one.white) / np.count_nonzero(inner) > 0.99
    assert np.count_nonzero(inner & true) / np.count_nonzero(true) > 0.9


def test_the_record_holds_the_tissues_that_were_learnt() -> None:
    one = head()
    found = normal_appearing_white_matter(one.maps, one.lesion)
    assert found is not None
    grey, white = found.record["grey_mean"], found.record["white_mean"]
    assert grey["r2"] == pytest.approx(10.1, abs=0.3) and white["r2"] == pytest.approx(13.9, abs=0.5)
    # Negated; its edge, where the tissues mix, is part of what is learnt.
    assert white["chi_total"] == pytest.approx(0.010, abs=0.003)
    assert found.record["options"]["smoothing_mm"] == WhiteMatterOptions().smoothing_mm


def test_one_tissue_alone_cannot_be_told_from_another() -> None:
    one = head()
    data = np.full(one.maps.grid.shape, 20.0)
    flat = {"r2star": data, "chi_total": np.zeros(data.shape), "brain_mask": one.maps.array("brain_mask")}
    maps = {name: Map(name=name, data=value, grid=one.maps.grid) for name, value in flat.items()}
    assert normal_appearing_white_matter(MapSet(one.maps.grid, one.maps.scan, maps)) is None


@pytest.mark.parametrize("missing", ["r2star", "chi_total"])
def test_without_maps_there_is_none(missing: str) -> None:
    assert normal_appearing_white_matter(without(head().maps, missing)) is None


def test_no_mask_and_other_lesions_are_refused() -> None:
    with pytest.raises(InputError, match="brain_mask"):
        normal_appearing_white_matter(without(head().maps, "brain_mask"))
    with pytest.raises(InputError, match="shape"):
        normal_appearing_white_matter(head().maps, np.zeros((3, 3, 3), dtype=bool))


def test_a_run_compares_with_white_matter_and_not_with_the_cortex_nearby() -> None:
    one = head()
    lesions = label_mask(one.lesion, one.maps.grid)
    contrasts = []
    for table in (grade_run(one.maps, lesions), grade_lesions(one.maps, lesions.lesions)):
        contrasts.append({name: table.rows[0].measures[name].values["contrast_ppb"] for name in table.graded_maps})
    own, everything = contrasts
    # The lesion lacks 14 ppb of χ_dia and nothing of χ_para; cortex in the shell feigns iron loss.
    assert own == pytest.approx({"chi_para": 0.0, "chi_dia": -14.0}, abs=1.0)
    assert everything["chi_para"] is not None and everything["chi_para"] < -2.0
    (row,) = grade_run(one.maps, lesions).rows
    assert (row.suggestions["chi_para"].grade, row.suggestions["chi_dia"].grade) == (Grade.ISO, Grade.HYPO)


def test_a_lesion_far_from_white_matter_gets_no_suggestion_and_says_why() -> None:
    one = head()
    grid = one.maps.grid
    middle = np.array(grid.shape) // 2
    place = np.tensordot(grid.affine[:3, :3], np.indices(grid.shape) - middle[:, None, None, None], axes=1)
    cortical = np.linalg.norm(place - np.array([31.0, 0, 0])[:, None, None, None], axis=0) <= 2.5
    lesion = cortical & one.maps.array("brain_mask")
    (row,) = grade_run(one.maps, label_mask(lesion, grid)).rows
    assert all(one.grade is None for one in row.suggestions.values())
    assert "voxels of white matter around the lesion" in row.suggestions["chi_para"].reason


def test_maps_that_cannot_show_white_matter_are_graded_with_a_warning() -> None:
    one = head()
    table = grade_run(without(one.maps, "chi_total"), label_mask(one.lesion, one.maps.grid))
    assert any("White matter could not be told" in text for text in table.warnings)
    assert table.rows[0].suggestions["chi_dia"].grade is not None


def test_the_edge_of_a_given_white_matter_mask_is_left_out() -> None:
    one = head()
    lesions = label_mask(one.lesion, one.maps.grid).lesions
    clean = grade_lesions(one.maps, lesions, white_matter=one.white)
    values = clean.rows[0].measures["chi_para"].values
    count = values["nawm_voxels"]
    assert count is not None and count > 100
    assert values["nawm_mean_ppb"] == pytest.approx(16.8, abs=3 * 2.0 / np.sqrt(count))
