"""Interpolation inside masks and onto coarser grids, against scipy, constants, waves and noise."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from scipy.ndimage import affine_transform, binary_dilation, binary_erosion
from scipy.spatial.transform import Rotation

from ChiSepPreprocessLib.artifacts import Array, Grid
from ChiSepPreprocessLib.geometry.interpolation import continued, cubic
from ChiSepPreprocessLib.geometry.renaming import nearest_axes
from ChiSepPreprocessLib.geometry.resampling import index_matrix, resample


def grid_about(shape: tuple[int, int, int], angles_deg: tuple[float, float, float], size_mm: float = 1.0) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix() * size_mm
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
    return Grid(shape, affine)


def ball(grid: Grid, radius_mm: float) -> Array:
    places = np.einsum("ab,bijk->aijk", grid.affine[:3, :3], np.indices(grid.shape))
    return np.asarray(np.linalg.norm(places + grid.affine[:3, 3, None, None, None], axis=0) < radius_mm)


def wave(grid: Grid, cycles_per_mm: float) -> Array:
    places = np.einsum("ab,bijk->aijk", grid.affine[:3, :3], np.indices(grid.shape))
    x, y, z = places + grid.affine[:3, 3, None, None, None]
    along = (2 * x + y - 2 * z) / 3
    return np.asarray(np.cos(2 * np.pi * cycles_per_mm * along) + 1.0, dtype=np.float32)


def test_splines_are_those_of_scipy() -> None:
    grid, target = grid_about((31, 28, 33), (0, 0, 0)), grid_about((11, 9, 10), (12, -20, 7))
    data = np.random.default_rng(1).normal(size=grid.shape).astype(np.float32)
    matrix = index_matrix(grid, target)
    expected = affine_transform(data, matrix[:3, :3], matrix[:3, 3], target.shape, order=3, mode="mirror")
    wanted = np.random.default_rng(2).random(target.shape) < 0.5
    found = cubic(data, grid, target, wanted, low_pass=False)
    np.testing.assert_allclose(found, expected * wanted, atol=1e-4)


def test_maps_are_continued_by_what_lies_next_to_them() -> None:
    mask = ball(grid_about((21, 22, 23), (0, 0, 0)), 6)
    data = np.where(mask, 3.0, 1e6)
    found = continued(data, mask, 3)
    reached = binary_dilation(mask, np.ones((3, 3, 3)), iterations=3)
    np.testing.assert_allclose(found, np.where(reached, 3, 0), rtol=1e-6)
    ramp = np.indices(mask.shape)[0].astype(np.float32)
    np.testing.assert_array_equal(continued(ramp, mask, 2)[mask], ramp[mask])
    mirrored = continued(np.flip(ramp), np.flip(mask), 4)
    np.testing.assert_allclose(np.flip(mirrored), continued(ramp, mask, 4), rtol=1e-6)


@pytest.mark.parametrize(("cycles_per_mm", "limit"), [(0.05, 0.035), (0.1, 0.09)])  # 0.028 and 0.077 measured
def test_nothing_bleeds_in_at_the_edge_of_a_mask(cycles_per_mm: float, limit: float) -> None:
    grid, target = grid_about((34, 34, 34), (0, 0, 0)), grid_about((34, 34, 34), (17, -11, 8))
    mask, truth = ball(grid, 13), wave(target, cycles_per_mm)
    wanted = resample(mask, grid, target)
    found = cubic(wave(grid, cycles_per_mm), grid, target, wanted, mask=mask)
    rim = wanted & ~binary_erosion(wanted, iterations=2)
    assert np.linalg.norm((found - truth)[rim]) / np.linalg.norm(truth[rim]) < limit
    cut_off = cubic(wave(grid, cycles_per_mm) * mask, grid, target, wanted)
    assert np.linalg.norm((cut_off - truth)[rim]) / np.linalg.norm(truth[rim]) > 2 * limit


def test_coarser_grids_hold_what_they_can_and_noise_does_not_fold_in() -> None:
    grid, target = grid_about((60, 60, 60), (0, 0, 0), 0.6), grid_about((30, 30, 30), (14, 9, -5), 1.2)
    mask = ball(grid, 15)
    wanted = resample(mask, grid, target)
    inner = binary_erosion(wanted, iterations=3)
    smooth = cubic(wave(grid, 0.1), grid, target, wanted, mask=mask)
    assert np.abs(smooth - wave(target, 0.1))[inner].max() < 0.02
    noise = np.random.default_rng(5).normal(size=grid.shape).astype(np.float32)
    kept = [cubic(noise, grid, target, wanted, mask=mask, low_pass=one)[inner].std() for one in (True, False)]
    assert kept[0] == pytest.approx(0.31, abs=0.03)  # √(0.6/1.2)³ = 0.35 by an ideal low-pass
    assert kept[1] > 0.7


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_axes_are_renamed_and_every_voxel_keeps_its_place(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    shape = (3, 4, 5)
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, order] * signs * [1.0, 2.0, 3.0]
    affine[:3, 3] = (7, -8, 9)
    grid = Grid(shape, affine)
    renaming = nearest_axes(grid, np.eye(3))
    plain = renaming.grid(grid)
    np.testing.assert_allclose(plain.directions, np.eye(3))
    data = np.arange(60).reshape(shape)
    turned = renaming.volume(data)
    indices = np.indices(plain.shape).reshape(3, -1)
    old = np.rint(index_matrix(grid, plain)[:3, :3] @ indices + index_matrix(grid, plain)[:3, 3:]).astype(int)
    np.testing.assert_array_equal(turned.ravel(), data[tuple(old)])
    np.testing.assert_array_equal(renaming.volume_back(turned), data)
    np.testing.assert_allclose(renaming.vector(grid.b0_direction_ijk), plain.b0_direction_ijk)
