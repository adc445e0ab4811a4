"""Resampling against an independent interpolation, on oblique, anisotropic and left-handed grids."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from ChiSepPreprocessLib.artifacts import Array, Grid
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.geometry.resampling import flip_ras_lps, inside_fraction, resample, to_itk


def grid_about(
    centre_mm: tuple[float, float, float], shape: tuple[int, int, int], voxels_mm: tuple[float, float, float],
    angles_degrees: tuple[float, float, float],
) -> Grid:  # fmt: skip
    """Oblique grid around a point; a negative voxel length turns its axis round (left-handed)."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles_degrees, degrees=True).as_matrix() @ np.diag(voxels_mm)
    affine[:3, 3] = centre_mm - affine[:3, :3] @ (np.array(shape) - 1) / 2
    return Grid(shape, affine)


SOURCES = {
    "plain": grid_about((3, -8, 20), (31, 27, 22), (1.0, 1.0, 2.0), (0, 0, 0)),
    "oblique": grid_about((3, -8, 20), (31, 27, 22), (0.9, 1.1, 2.3), (14, -21, 33)),
    "left-handed": grid_about((3, -8, 20), (31, 27, 22), (-0.9, 1.1, 2.3), (-11, 7, 5)),
    "sagittal": grid_about((3, -8, 20), (31, 27, 22), (1.0, 1.2, 1.5), (90, 0, 90)),
}
TARGET = grid_about((1, -5, 18), (25, 33, 29), (1.1, -1.0, 1.3), (-9, 12, -4))
MOTION = np.eye(4)
MOTION[:3, :3] = Rotation.from_euler("xyz", (3, -5, 8), degrees=True).as_matrix()
MOTION[:3, 3] = (2.5, -1.5, 4.0)


def texture(shape: tuple[int, ...], seed: int = 2) -> Array:
    """Random field of unit size, correlated over about a voxel."""
    values = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.0)
    return np.asarray(values / np.abs(values).max(), dtype=np.float32)


def source_coordinates(source: Grid, target: Grid, motion: Array) -> Array:
    """Voxel coordinates in the source, (3, N), of every target voxel."""
    indices = np.indices(target.shape).reshape(3, -1)
    matrix = np.linalg.inv(source.affine) @ motion @ target.affine
    return np.asarray(matrix[:3, :3] @ indices + matrix[:3, 3:])


def reference(data: Array, source: Grid, target: Grid, motion: Array, order: int) -> tuple[Array, Array]:
    """Interpolated by scipy, 0 outside the voxels' own extent; and where a rounding cannot decide."""
    points = source_coordinates(source, target, motion)
    limits = np.array(source.shape)[:, None] - 0.5
    inside = np.all((points >= -0.5) & (points < limits), axis=0)
    edge = np.any((np.abs(points + 0.5) < 1e-6) | (np.abs(points - limits) < 1e-6), axis=0)
    values = np.where(inside, map_coordinates(data, points, order=order, mode="nearest"), 0)
    return values.reshape(target.shape), ~edge.reshape(target.shape)


@pytest.mark.parametrize("motion", [np.eye(4), MOTION], ids=["scanner", "moved"])
@pytest.mark.parametrize("name", SOURCES)
def test_linear_resampling_agrees_with_scipy(name: str, motion: Array) -> None:
    source = SOURCES[name]
    data = texture(source.shape)
    expected, decided = reference(data, source, TARGET, motion, order=1)
    found = resample(data, source, TARGET, motion)
    assert np.mean(expected != 0) > 0.5
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[decided], expected[decided], atol=2e-6)


def test_masks_take_the_nearest_voxel_and_labels_keep_their_type() -> None:
    source = SOURCES["oblique"]
    labels = (texture(source.shape) > 0.1).astype(np.int16) * 7
    points = source_coordinates(source, TARGET, MOTION)
    clear = np.all(np.abs(points - np.floor(points) - 0.5) > 1e-6, axis=0).reshape(TARGET.shape)
    expected, decided = reference(labels, source, TARGET, MOTION, order=0)
    found = resample(labels, source, TARGET, MOTION, nearest=True)
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found[clear & decided], expected[clear & decided])
    mask = resample(labels > 0, source, TARGET, MOTION)
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, found > 0)


def test_the_own_grid_gives_the_data_back() -> None:
    source = SOURCES["left-handed"]
    data = texture(source.shape)
    np.testing.assert_allclose(resample(data, source, source), data, atol=2e-6)


def test_echoes_are_resampled_one_by_one_and_stay_positive() -> None:
    source = SOURCES["oblique"]
    series = np.abs(texture((*source.shape, 3)))
    found = resample(series, source, TARGET, MOTION)
    assert found.shape == (*TARGET.shape, 3)
    assert found.min() >= 0
    for echo in range(3):
        np.testing.assert_array_equal(found[..., echo], resample(series[..., echo], source, TARGET, MOTION))


def test_itk_places_voxels_where_the_affine_does() -> None:
    grid = SOURCES["left-handed"]
    image = to_itk(texture(grid.shape), grid)
    right, anterior, superior, _ = grid.affine @ np.array([4, 7, 9, 1.0])
    lps = image.TransformIndexToPhysicalPoint((4, 7, 9))
    np.testing.assert_allclose(lps, (-right, -anterior, superior), atol=1e-9)
    assert image[4, 7, 9] == texture(grid.shape)[4, 7, 9]


def test_flipping_a_matrix_twice_gives_it_back_and_flips_points() -> None:
    point = np.array([5.0, -3.0, 2.0, 1.0])
    flipped = np.array([-5.0, 3.0, 2.0, 1.0])
    moved = MOTION @ point
    np.testing.assert_allclose(flip_ras_lps(MOTION) @ flipped, moved * [-1, -1, 1, 1])
    np.testing.assert_allclose(flip_ras_lps(flip_ras_lps(MOTION)), MOTION)


def test_overlap_is_the_covered_share_of_the_mask() -> None:
    grid = Grid((20, 10, 10), np.eye(4))
    other = Grid((20, 10, 10), np.eye(4))
    shift = np.eye(4)
    shift[0, 3] = 15.0
    assert inside_fraction(np.ones(grid.shape, dtype=bool), grid, other, shift) == pytest.approx(0.25)
    right_part = np.zeros(grid.shape, dtype=bool)
    right_part[:10] = True
    assert inside_fraction(right_part, grid, other, shift) == pytest.approx(0.5)


def test_data_that_do_not_fit_their_grid_are_refused() -> None:
    source = SOURCES["plain"]
    with pytest.raises(InputError, match="data to resample"):
        resample(np.zeros((3, 4, 5), dtype=np.float32), source, TARGET)
    with pytest.raises(InputError, match="axes"):
        resample(np.zeros((3, 4), dtype=np.float32), source, TARGET)
