"""Maps turned to B0 and back, against analytic functions, on oblique, anisotropic and odd grids."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ChiSepPreprocessLib.artifacts import Array, Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.geometry.b0_axis import OrientationOptions, Reoriented, covering_grid, to_b0_axis

CENTRE_MM = np.array([12.0, -7.0, 31.0])
SHAPE, SIZE_MM = (45, 52, 37), (1.1, 0.9, 1.4)


def oblique(angles_deg: tuple[float, float, float] = (24, -13, 8), sizes_mm: tuple[float, ...] = SIZE_MM) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix() @ np.diag(sizes_mm)
    affine[:3, 3] = CENTRE_MM - affine[:3, :3] @ (np.array(SHAPE) - 1) / 2
    return Grid(SHAPE, affine)


def places_mm(grid: Grid) -> Array:
    """Vectors from the centre to every voxel, RAS, (3, I, J, K)."""
    ras = np.einsum("ab,bijk->aijk", grid.affine[:3, :3], np.indices(grid.shape)) + grid.affine[:3, 3, None, None, None]
    return np.asarray(ras - CENTRE_MM[:, None, None, None])


def blob(grid: Grid) -> Array:
    """Smooth, of both signs, gone at the edge of the image."""
    x, y, z = places_mm(grid)
    return np.asarray(np.exp(-(x**2 + y**2 + z**2) / 98) * np.cos(x / 5 + y / 7) * np.cos(z / 6))


def sphere_field(grid: Grid, radius_mm: float = 6.0) -> Array:
    """Field in ppm of a sphere of 1 ppm: 0 inside, (R/r)³ (cos²θ − 1/3) outside, θ from scanner z."""
    x, y, z = places_mm(grid)
    r = np.maximum(np.sqrt(x**2 + y**2 + z**2), radius_mm)
    inside = x**2 + y**2 + z**2 < radius_mm**2
    return np.where(inside, 0, (radius_mm / r) ** 3 * (z**2 / r**2 - 1 / 3))


def ball(grid: Grid, radius_mm: float = 14.0) -> Array:
    return np.asarray(np.linalg.norm(places_mm(grid), axis=0) < radius_mm)


def maps(grid: Grid, **arrays: Array) -> MapSet:
    scan = ScanParameters(echo_times_s=(0.01, 0.02), field_strength_t=3.0, b0_direction_ijk=grid.b0_direction_ijk)
    made = {
        n: Map(name=n, data=a if a.dtype.kind in "bi" else a.astype(np.float32), grid=grid) for n, a in arrays.items()
    }
    return MapSet(grid, scan, made)


def error(found: Array, truth: Array) -> float:
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


@pytest.fixture(scope="module")
def turned() -> Reoriented:
    grid = oblique()
    given = maps(grid, local_field=blob(grid), r2prime=20 * np.abs(blob(grid)), brain_mask=ball(grid))
    return to_b0_axis(given, 1.0)


def test_the_third_axis_is_b0_and_voxels_keep_their_places(turned: Reoriented) -> None:
    grid = turned.maps.grid
    np.testing.assert_allclose(grid.directions, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(grid.voxel_size_mm, 1.0)
    assert turned.maps.scan.b0_direction_ijk == (0, 0, 1)
    np.testing.assert_allclose(turned.maps.scan.b0_direction_ijk, grid.b0_direction_ijk, atol=1e-12)
    assert error(turned.maps.array("local_field"), blob(grid)) < LIMITS["cubic"]


LIMITS = {"cubic": 0.002, "linear": 0.03}


@pytest.mark.parametrize("interpolation", LIMITS)
def test_there_and_back_is_the_smooth_function(interpolation: str) -> None:
    grid = oblique()
    given = maps(grid, local_field=blob(grid))
    found = to_b0_axis(given, 1.0, options=OrientationOptions(interpolation=interpolation)).back()
    assert found.grid.matches(grid, 1e-9)
    assert found.scan == given.scan
    assert error(found.array("local_field"), blob(grid)) < 2 * LIMITS[interpolation]


def test_a_dipole_field_is_axial_after_turning() -> None:
    grid = oblique()
    found = to_b0_axis(maps(grid, local_field=sphere_field(grid))).maps
    radius = np.linalg.norm(places_mm(found.grid), axis=0)
    shell = (radius > 9) & (radius < 20)
    assert error(found.array("local_field")[shell], sphere_field(found.grid)[shell]) < 0.012  # 0.0104 measured


def test_masks_keep_their_volume_and_stay_masks(turned: Reoriented) -> None:
    original, mask = turned.original.array("brain_mask"), turned.maps.array("brain_mask")
    assert mask.dtype == np.bool_
    before_mm3 = original.sum() * turned.original.grid.voxel_volume_mm3
    assert mask.sum() * turned.maps.grid.voxel_volume_mm3 == pytest.approx(before_mm3, rel=0.005)
    back = turned.back().array("brain_mask")
    assert 2 * np.sum(back & original) / (back.sum() + original.sum()) > 0.97


def test_rates_stay_positive_and_fields_keep_their_sign(turned: Reoriented) -> None:
    assert turned.maps.array("r2prime").min() == 0
    assert turned.back().array("r2prime").min() == 0
    assert turned.maps.array("local_field").min() < -0.01


def test_no_corner_is_cut() -> None:
    grid = oblique()
    ones = maps(grid, brain_mask=np.ones(grid.shape, dtype=bool))
    found = to_b0_axis(ones, 1.0)
    volume_mm3 = found.maps.array("brain_mask").sum()
    assert volume_mm3 == pytest.approx(np.prod(SHAPE) * grid.voxel_volume_mm3, rel=0.002)
    back = np.asarray(found.back().array("brain_mask"))
    assert back[1:-1, 1:-1, 1:-1].all()
    outer = [np.asarray(found.maps.array("brain_mask").any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    assert all(line[1:-1].all() for line in outer)


def test_an_axial_grid_is_only_renamed() -> None:
    affine = np.array([[0, 0, -1.4, 20], [-1.1, 0, 0, 30], [0, 0.9, 0, -25], [0, 0, 0, 1.0]])
    grid = Grid(SHAPE, affine)
    field = np.random.default_rng(3).normal(size=SHAPE)
    found = to_b0_axis(maps(grid, local_field=field), options=OrientationOptions(interpolation="linear")).maps
    assert found.grid.voxel_size_mm == pytest.approx((1.4, 1.1, 0.9))
    np.testing.assert_allclose(found.array("local_field"), np.transpose(field, (2, 0, 1))[::-1, ::-1], atol=1e-5)


def test_wanted_axes_are_kept_and_checked() -> None:
    grid = oblique()
    given = maps(grid, local_field=blob(grid))
    wanted = np.array([[0, -1.0, 0], [-1.0, 0, 0], [0, 0, -1.0]])
    found = to_b0_axis(given, (1.0, 1.2, 0.8), wanted).maps
    np.testing.assert_allclose(found.grid.directions, wanted, atol=1e-12)
    assert found.scan.b0_direction_ijk == (0, 0, -1)
    assert error(found.array("local_field"), blob(found.grid)) < LIMITS["cubic"]
    with pytest.raises(InputError, match="third target axis"):
        to_b0_axis(given, 1.0, grid.directions)
    with pytest.raises(InputError, match="target axes"):
        to_b0_axis(given, 1.0, np.ones((3, 3)))


def test_wrapped_phase_is_refused() -> None:
    grid = oblique()
    with pytest.raises(InputError, match="gre_phase"):
        to_b0_axis(maps(grid, gre_phase=np.zeros((*SHAPE, 2))))


def test_maps_of_another_grid_are_not_turned_back(turned: Reoriented) -> None:
    with pytest.raises(InputError, match="turned grid"):
        turned.back(turned.original)


def test_the_covering_grid_of_the_own_axes_is_the_grid() -> None:
    grid = oblique()
    assert covering_grid(grid, grid.directions, grid.voxel_size_mm).matches(grid, 1e-9)
