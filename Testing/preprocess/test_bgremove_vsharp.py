"""V-SHARP against analytic dipole fields of spheres inside and outside the mask."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.bgremove.vsharp import VSharpOptions, sphere_kernel, vsharp
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter

FIELD_OF_VIEW_MM = (91.0, 105.0, 87.0)
SEMI_AXES_MM = np.asarray([40.0, 47.0, 38.0])
SILENT = Reporter()
VOXELS_MM = [(1.0, 1.0, 1.0), (1.0, 1.0, 2.0), (1.5, 1.0, 3.0)]
DIRECTIONS = [(0.0, 0.0, 1.0), (0.36, -0.48, 0.8)]
Vector = tuple[float, float, float]


def coordinates_mm(voxel_mm: Vector) -> list[Array]:
    counts = [int(length / size) for length, size in zip(FIELD_OF_VIEW_MM, voxel_mm, strict=True)]
    axes = [(np.arange(n) - (n - 1) / 2) * size for n, size in zip(counts, voxel_mm, strict=True)]
    return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def sphere_field(voxel_mm: Vector, centre_mm: Vector, radius_mm: float, chi_ppm: float, b0: Vector) -> Array:
    """χ/3 (a/r)³ (3 cos²θ − 1) outside the sphere, 0 inside (Lorentz-corrected)."""
    offsets = [x - c for x, c in zip(coordinates_mm(voxel_mm), centre_mm, strict=True)]
    square = offsets[0] ** 2 + offsets[1] ** 2 + offsets[2] ** 2
    along = offsets[0] * b0[0] + offsets[1] * b0[1] + offsets[2] * b0[2]
    outside = np.maximum(square, radius_mm**2)
    field = chi_ppm / 3 * radius_mm**3 / outside**1.5 * (3 * along**2 / outside - 1)
    return np.where(square > radius_mm**2, field, 0.0)


def ellipsoid(voxel_mm: Vector) -> Array:
    x, y, z = (x / a for x, a in zip(coordinates_mm(voxel_mm), SEMI_AXES_MM, strict=True))
    return np.asarray(x**2 + y**2 + z**2 < 1)


def background(voxel_mm: Vector, b0: Vector) -> Array:
    """Field of air-like spheres around the mask."""
    sinuses = [((0.0, 58.0, -25.0), 14.0), ((47.0, -10.0, -28.0), 12.0), ((0.0, -20.0, -75.0), 32.0)]
    fields = [sphere_field(voxel_mm, centre, radius, 9.4, b0) for centre, radius in sinuses]
    return np.sum(fields, axis=0)


def sources(voxel_mm: Vector, b0: Vector) -> Array:
    """Field of small spheres well inside the mask."""
    inside = [((-12.0, 5.0, 4.0), 5.0, 0.1), ((12.0, 5.0, 4.0), 4.0, 0.12), ((2.0, -22.0, 8.0), 3.0, -0.1),
              ((-8.0, 20.0, -9.0), 3.5, 0.08), ((15.0, -14.0, -10.0), 4.5, -0.06)]  # fmt: skip
    fields = [sphere_field(voxel_mm, centre, radius, chi, b0) for centre, radius, chi in inside]
    return np.sum(fields, axis=0)


def norm_ratio(one: Array, other: Array, mask: Array) -> float:
    return float(np.linalg.norm(one[mask]) / np.linalg.norm(other[mask]))


@pytest.mark.parametrize("b0", DIRECTIONS)
@pytest.mark.parametrize(("voxel_mm", "limit"), [*zip(VOXELS_MM, (1.0e-4, 1.7e-4, 1.0e-3), strict=True)])
def test_background_vanishes(voxel_mm: Vector, limit: float, b0: Vector) -> None:
    field, mask = background(voxel_mm, b0), ellipsoid(voxel_mm)
    local, field_mask = vsharp(field, mask, voxel_mm, VSharpOptions(), SILENT)
    assert norm_ratio(local, field, field_mask) < limit
    assert not local[~field_mask].any()


@pytest.mark.parametrize("b0", DIRECTIONS)
@pytest.mark.parametrize(("voxel_mm", "limit"), [*zip(VOXELS_MM, (0.05, 0.055, 0.13), strict=True)])
def test_sources_inside_stay(voxel_mm: Vector, limit: float, b0: Vector) -> None:
    truth, mask = sources(voxel_mm, b0), ellipsoid(voxel_mm)
    total = truth + background(voxel_mm, b0)
    local, field_mask = vsharp(total, mask, voxel_mm, VSharpOptions(), SILENT)
    assert norm_ratio(total, truth, field_mask) > 20
    assert norm_ratio(local - truth, truth, field_mask) < limit
    slope = float((local * truth)[field_mask].sum() / (truth[field_mask] ** 2).sum())
    assert slope == pytest.approx(1.0, abs=0.01)


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


@pytest.mark.parametrize(
    ("change", "quantity"),
    [
        ({"total_field": np.zeros((5, 5, 6))}, "total field"),
        ({"total_field": np.full((9, 9, 9), np.nan)}, "total field"),
        ({"mask": np.zeros((9, 9, 9), np.bool_)}, "mask"),
        ({"mask": np.ones((9, 9, 9), np.uint8)}, "mask"),
        ({"mask": np.arange(729).reshape(9, 9, 9) == 364}, "mask"),
        ({"voxel_size_mm": (1.0, 1.0)}, "voxel size"),
        ({"options": VSharpOptions(minimum_radius_mm=20.0)}, "V-SHARP radii"),
        ({"options": VSharpOptions(step_mm=0.0)}, "V-SHARP radii"),
        ({"options": VSharpOptions(threshold=-0.1)}, "V-SHARP threshold"),
        ({"options": VSharpOptions(refinements=-1)}, "V-SHARP refinements"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], quantity: str) -> None:
    given = {"total_field": np.zeros((9, 9, 9)), "mask": np.ones((9, 9, 9), np.bool_),
             "voxel_size_mm": (1.0, 1.0, 1.0), "options": VSharpOptions(), "report": SILENT}  # fmt: skip
    with pytest.raises(InputError) as caught:
        vsharp(**{**given, **change})  # type: ignore[arg-type]
    assert caught.value.quantity == quantity


def test_can_be_cancelled() -> None:
    ones = np.ones((20, 20, 20))
    with pytest.raises(CancelledError):
        vsharp(ones, ones > 0, (1.0, 1.0, 1.0), VSharpOptions(), Reporter(lambda status: status.fraction < 0.3))
