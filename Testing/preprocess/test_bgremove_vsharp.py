"""V-SHARP against analytic dipole fields of spheres inside and outside the mask."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from ChiSepPreprocessLib.bgremove.spheres import sphere_kernel
from ChiSepPreprocessLib.bgremove.vsharp import VSharpOptions, vsharp
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from sphere_fields import DIRECTIONS, VOXELS_MM, Vector, background, ellipsoid, norm_ratio, sphere_field

SILENT = Reporter()


@pytest.mark.parametrize(
    ("voxel_mm", "radius_mm"),
    [((1.0, 1.0, 1.0), 2.0), ((1.0, 1.0, 1.0), 12.0), ((1.0, 1.0, 2.0), 4.0), ((1.0, 1.0, 2.0), 12.0),
     ((1.5, 1.0, 3.0), 12.0)],
)  # fmt: skip
def test_sphere_kernel_keeps_harmonic_polynomials(voxel_mm: Vector, radius_mm: float) -> None:
    kernel = sphere_kernel(radius_mm, voxel_mm).astype(np.float64)
    axes = [(np.arange(n) - n // 2) * size for n, size in zip(kernel.shape, voxel_mm, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    assert kernel.sum() == pytest.approx(1.0, abs=1e-6)
    for odd in (x, y * z, x * y, z**3 - 1.5 * z * (x**2 + y**2)):
        assert abs((kernel * odd).sum()) < 1e-5 * radius_mm**3
    # A solid sphere has ⟨x²⟩ = r²/5; lumped into voxels all axes must still agree.
    for even in (x**2 - y**2, x**2 - z**2):
        assert abs((kernel * even).sum()) < 0.02 * max(voxel_mm)
    quartic = x**4 + y**4 + z**4 - 3 * (x**2 * y**2 + y**2 * z**2 + z**2 * x**2)
    assert abs((kernel * quartic).sum()) < 0.05 * radius_mm**3 * max(voxel_mm)


def test_refinements_repair_the_field_of_superficial_sources() -> None:
    voxel_mm, b0 = VOXELS_MM[1], DIRECTIONS[1]
    truth = sphere_field(voxel_mm, (26.0, 20.0, 8.0), 5.0, 0.1, b0)
    total, mask = truth + background(voxel_mm, b0), ellipsoid(voxel_mm)
    errors = []
    for refinements in (0, 1, 3):
        local, field_mask = vsharp(total, mask, voxel_mm, VSharpOptions(refinements=refinements), SILENT)
        errors.append(norm_ratio(local - truth, truth, field_mask))
    assert errors == pytest.approx([0.456, 0.340, 0.262], abs=0.005)


def test_agrees_with_plain_fourier_transforms_of_whole_spheres() -> None:
    """The same in double precision: spheres put on the grid that holds the mask and one radius."""
    voxel_mm, shape, grid = (1.0, 1.2, 1.5), (27, 22, 19), (30, 24, 20)
    rng = np.random.default_rng(1)
    mask = np.zeros(shape, np.bool_)
    mask[1:-1, 2:-1, 1:-2] = rng.random((25, 19, 16)) > 1e-3
    field = np.where(mask, rng.standard_normal(shape), 0)
    depth = distance_transform_edt(np.pad(mask, 1), sampling=voxel_mm)[1:-1, 1:-1, 1:-1] - 0.75
    difference, passes = np.zeros(shape), {}
    for radius in (1.5, 2.0, 3.0, 4.0):
        kernel = np.zeros(grid)
        sphere = sphere_kernel(radius, voxel_mm)
        kernel[tuple(slice(n) for n in sphere.shape)] = sphere
        passes[radius] = 1 - np.fft.fftn(np.roll(kernel, [-(n // 2) for n in sphere.shape], (0, 1, 2))).real
        mean_free = np.fft.ifftn(np.fft.fftn(field, grid, (0, 1, 2)) * passes[radius]).real[:27, :22, :19]
        difference = np.where(depth > radius, mean_free, difference)
    kept = np.abs(passes[4.0]) >= 0.05
    inverse = np.divide(1, passes[4.0], out=np.zeros(grid), where=kept)
    local = np.fft.ifftn(np.fft.fftn(difference, grid, (0, 1, 2)) * inverse).real[:27, :22, :19] * (depth > 1.5)
    options = VSharpOptions(maximum_radius_mm=4.0)
    np.testing.assert_allclose(vsharp(field, mask, voxel_mm, options, SILENT)[0], local, atol=4e-6)


def test_isotropic_sphere_has_the_second_moment_of_a_solid() -> None:
    kernel = sphere_kernel(10.0, (1.0, 1.0, 1.0)).astype(np.float64)
    position = np.arange(21) - 10.0
    assert (kernel.sum(axis=(1, 2)) * position**2).sum() == pytest.approx(10.0**2 / 5 + 1 / 12, rel=2e-3)


def test_the_field_mask_is_the_eroded_mask() -> None:
    voxel_mm = (1.0, 1.0, 2.0)
    field_mask = vsharp(np.zeros((30, 31, 17)), np.ones((30, 31, 17), np.bool_), voxel_mm, VSharpOptions(), SILENT)[1]
    expected = np.zeros_like(field_mask)
    # Outside voxels must be farther than the smallest radius, 2 mm, and half the longest edge, 1 mm.
    expected[3:-3, 3:-3, 1:-1] = True
    np.testing.assert_array_equal(field_mask, expected)


def test_is_linear_and_indifferent_to_the_field_outside_the_mask() -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((31, 26, 23), np.bool_)
    mask[3:-4, 2:-2, 3:-2] = True
    one, other = rng.standard_normal((2, *mask.shape))
    options = VSharpOptions(maximum_radius_mm=6.0)
    voxel_mm = (1.0, 1.2, 1.0)
    first, second = (vsharp(field, mask, voxel_mm, options, SILENT)[0] for field in (one, other))
    both = vsharp(2 * one - 3 * np.where(mask, other, 99.0), mask, voxel_mm, options, SILENT)[0]
    np.testing.assert_allclose(both, 2 * first - 3 * second, atol=2e-4)


def test_a_mask_without_room_for_a_sphere_is_refused() -> None:
    one_voxel = np.arange(729).reshape(9, 9, 9) == 364
    with pytest.raises(InputError) as caught:
        vsharp(np.zeros((9, 9, 9)), one_voxel, (1.0, 1.0, 1.0), VSharpOptions(), SILENT)
    assert caught.value.quantity == "mask"


@pytest.mark.parametrize(
    ("values", "quantity"),
    [
        ({"minimum_radius_mm": 20.0}, "V-SHARP radii"),
        ({"maximum_radius_mm": -1.0}, "V-SHARP radii"),
        ({"maximum_radius_mm": 101.0}, "V-SHARP radii"),
        ({"minimum_radius_mm": math.nan}, "V-SHARP radii"),
        ({"step_mm": 0.0}, "V-SHARP radii"),
        ({"step_mm": math.nan}, "V-SHARP radii"),
        ({"step_mm": math.inf}, "V-SHARP radii"),
        ({"threshold": -0.1}, "V-SHARP threshold"),
        ({"refinements": -1}, "V-SHARP refinements"),
        ({"refinements": 51}, "V-SHARP refinements"),
    ],
)
def test_options_out_of_range_are_refused(values: dict[str, Any], quantity: str) -> None:
    with pytest.raises(InputError) as caught:
        VSharpOptions(**values)
    assert caught.value.quantity == quantity


def test_can_be_cancelled() -> None:
    ones = np.ones((20, 20, 20))
    with pytest.raises(CancelledError):
        vsharp(ones, ones > 0, (1.0, 1.0, 1.0), VSharpOptions(), Reporter(lambda status: status.fraction < 0.3))
