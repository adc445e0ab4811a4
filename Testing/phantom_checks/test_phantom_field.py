"""The phantom's own dipole and grids against closed formulas."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSepPhantoms.field import dipole_field_ppm, polynomial, shim_residual, smooth
from ChiSepPhantoms.geometry import FineGrid, block_mean, head_grid, rotation
from ChiSepPreprocessLib.artifacts import Grid


@pytest.mark.parametrize(
    ("direction", "cell_mm"),
    [
        ((0.0, 0.0, 1.0), (0.5, 0.5, 0.5)),
        ((0.48, -0.60, 0.64), (0.5, 0.5, 0.5)),
        ((0.36, 0.48, 0.80), (0.4, 0.5, 0.65)),
    ],
)
def test_sphere_has_no_field_inside_and_a_dipole_outside(
    direction: tuple[float, float, float], cell_mm: tuple[float, float, float]
) -> None:
    radius, chi = 5.0, 1.0
    axes = [(np.arange(n) - (n - 1) / 2) * size for n, size in zip((98, 90, 86), cell_mm, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    distance = np.sqrt(x**2 + y**2 + z**2)
    cosine = (x * direction[0] + y * direction[1] + z * direction[2]) / distance
    fine_truth = chi / 3 * (radius / distance) ** 3 * (3 * cosine**2 - 1)
    # A voxel of 2×2×2 cells: single cells ring at the highest frequency, which no voxel sees.
    field, truth, distance = (
        block_mean(one, (2, 2, 2)) for one in (dipole_field_ppm(chi * (distance < radius), cell_mm, direction),
                                               fine_truth, distance)
    )  # fmt: skip
    outside, inside = (distance > 1.25 * radius) & (distance < 2.5 * radius), distance < 0.75 * radius
    assert np.abs(truth[outside]).max() > 0.27 * chi
    assert np.abs(field[outside] - truth[outside]).max() < 0.009 * chi
    assert np.sqrt(np.mean((field[outside] - truth[outside]) ** 2)) < 0.0008 * chi
    assert np.abs(field[inside]).mean() < 0.0025 * chi


def test_field_does_not_depend_on_the_order_of_axes() -> None:
    rng = np.random.default_rng(3)
    chi = rng.standard_normal((21, 18, 15)).astype(np.float32)
    field = dipole_field_ppm(chi, (0.7, 0.5, 0.9), (0.6, 0.0, 0.8))
    turned = dipole_field_ppm(chi.transpose(2, 0, 1), (0.9, 0.7, 0.5), (0.8, 0.6, 0.0)).transpose(1, 2, 0)
    assert np.abs(field - turned).max() < 2e-6 * np.abs(field).max()


def test_cells_fill_their_voxel() -> None:
    affine = np.eye(4)
    affine[:3, :3] = rotation((20, -10, 5)) * [1.0, 1.2, 2.0]
    affine[:3, 3] = 3.0, -4.0, 5.0
    fine = FineGrid.of(Grid((4, 5, 6), affine), 0.5)
    assert fine.division == (2, 3, 4)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in fine.grid.shape], indexing="ij"), axis=-1)
    centres = index @ fine.grid.affine[:3, :3].T + fine.grid.affine[:3, 3]
    means = np.stack([block_mean(centres[..., n], fine.division) for n in range(3)], axis=-1)
    coarse = np.stack(np.meshgrid(*[np.arange(n) for n in (4, 5, 6)], indexing="ij"), axis=-1)
    np.testing.assert_allclose(means, coarse @ affine[:3, :3].T + affine[:3, 3], atol=1e-9)


@pytest.mark.parametrize("tilt_deg", [(0.0, 0.0, 0.0), (25.0, -10.0, 15.0)])
def test_head_grid_covers_the_points_and_tilts_b0(tilt_deg: tuple[float, float, float]) -> None:
    points = np.random.default_rng(0).uniform(-80, 90, (500, 3))
    grid = head_grid(points, (1.0, 1.5, 2.0), tilt_deg)
    index = (points - grid.affine[:3, 3]) @ np.linalg.inv(grid.affine[:3, :3]).T
    assert index.min() > 0
    assert np.all(index < np.array(grid.shape) - 1)
    # i, j, k run to L, P, S before the tilt, so B0 in voxel axes is the tilted axes' S component.
    expected = (rotation(tilt_deg) @ np.diag([-1.0, -1.0, 1.0]))[2]
    np.testing.assert_allclose(grid.b0_direction_ijk, expected, atol=1e-12)


def test_polynomial_on_planes_equals_the_whole() -> None:
    coefficients = polynomial(np.random.default_rng(1))
    assert len(coefficients) == 9
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    whole = smooth(coefficients, affine, (8, 7, 6))
    np.testing.assert_allclose(smooth(coefficients, affine, (3, 7, 6), 5), whole[5:], rtol=1e-5)
    x, y, z = 2 * 7 / 90, 3 * 6 / 90, 4 * 5 / 90
    by_hand = sum(v * x**a * y**b * z**c for a, b, c, v in coefficients)
    np.testing.assert_allclose(whole[7, 6, 5], by_hand, rtol=1e-5)


def test_shim_residual_obeys_laplaces_equation() -> None:
    """Sources outside the head make a harmonic field; anything else would count as a source inside."""
    affine = np.diag([2.0, 3.0, 2.5, 1.0])
    affine[:3, 3] = -40.0
    field = smooth(shim_residual(np.random.default_rng(4), 0.1), affine, (30, 24, 28)).astype(np.float64)
    second = [
        np.diff(field, 2, axis)[tuple(slice(1, -1) if n != axis else slice(None) for n in range(3))]
        for axis in range(3)
    ]
    laplacian = sum(one / step**2 for one, step in zip(second, (2.0, 3.0, 2.5), strict=True))
    assert np.abs(laplacian).max() < 2e-2 * max(np.abs(one).max() for one in second)
