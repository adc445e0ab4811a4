"""LBV against analytic dipole fields of spheres and against a direct solution of its equations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.bgremove.lbv import LbvOptions, lbv
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from sphere_fields import DIRECTIONS, VOXELS_MM, Vector, background, ellipsoid, norm_ratio

SILENT = Reporter()


def test_correction_undoes_the_error_of_the_seven_point_laplacian() -> None:
    voxel_mm, b0 = VOXELS_MM[1], DIRECTIONS[1]
    field, mask = background(voxel_mm, b0), ellipsoid(voxel_mm)
    left = []
    for corrections in (0, 1, 2):
        local, field_mask = lbv(field, mask, voxel_mm, LbvOptions(corrections=corrections), SILENT)
        left.append(norm_ratio(local, field, field_mask))
    assert left == pytest.approx([9.17e-4, 7.6e-5, 6.3e-5], rel=0.1)


@pytest.mark.parametrize("shape", [(17, 12, 14), (11, 19, 13)])
def test_is_the_solution_of_the_seven_point_equations(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    voxel_mm = (1.0, 1.4, 2.2)
    mask = rng.random(shape) > 0.02
    field = rng.standard_normal(shape)
    local, field_mask = lbv(
        np.where(mask, field, 99.0), mask, voxel_mm, LbvOptions(tolerance=1e-5, corrections=0), SILENT
    )
    np.testing.assert_allclose(local, solved_directly(field, field_mask, voxel_mm), atol=2e-5)


def solved_directly(field: Array, inside: Array, voxel_mm: Vector) -> Array:
    """Local field by a sparse direct solution, one equation for each voxel inside."""
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import spsolve

    number = np.full(inside.shape, -1)
    number[inside] = np.arange(inside.sum())
    centre = number[inside]
    rows, columns, values = [centre], [centre], [np.full(len(centre), -2 * sum(size**-2 for size in voxel_mm))]
    right = np.zeros(len(centre))
    for axis, size in enumerate(voxel_mm):
        for step in (-1, 1):
            neighbour = np.roll(number, step, axis)[inside]
            free = neighbour >= 0
            rows, columns = [*rows, centre[free]], [*columns, neighbour[free]]
            values.append(np.full(free.sum(), size**-2))
            right -= np.where(free, 0, np.roll(field, step, axis)[inside]) * size**-2
    matrix = coo_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))).tocsc()
    local = np.zeros(inside.shape)
    local[inside] = field[inside] - spsolve(matrix, right)
    return local


def test_harmonic_polynomials_vanish() -> None:
    voxel_mm, shape = (0.8, 1.1, 1.7), (25, 22, 17)
    x, y, z = np.meshgrid(*(np.arange(n) * size for n, size in zip(shape, voxel_mm, strict=True)), indexing="ij")
    mask = np.ones(shape, np.bool_)
    # Beyond the second order the seven-point Laplacian errs; corrected, only from the sixth on.
    for polynomial in (3 + x - 2 * y + z, x * y - z * x, x**2 - y**2, x**4 - 6 * x**2 * z**2 + z**4):
        local = lbv(polynomial, mask, voxel_mm, LbvOptions(corrections=3), SILENT)[0]
        assert np.abs(local).max() < 2e-6 * np.abs(polynomial).max()


def test_the_field_mask_is_the_mask_without_its_outer_layers() -> None:
    mask = np.ones((9, 11, 8), np.bool_)
    for peel in (0, 1, 2):
        expected = np.zeros_like(mask)
        expected[1 + peel : -1 - peel, 1 + peel : -1 - peel, 1 + peel : -1 - peel] = True
        field_mask = lbv(np.zeros(mask.shape), mask, (1.0, 1.0, 2.0), LbvOptions(peel_voxels=peel), SILENT)[1]
        np.testing.assert_array_equal(field_mask, expected)


@pytest.mark.parametrize(
    ("mask", "options"),
    [(np.arange(729).reshape(9, 9, 9) == 364, LbvOptions()), (np.ones((9, 9, 9), np.bool_), LbvOptions(peel_voxels=4))],
)
def test_a_mask_without_an_inside_is_refused(mask: Array, options: LbvOptions) -> None:
    with pytest.raises(InputError) as caught:
        lbv(np.zeros((9, 9, 9)), mask, (1.0, 1.0, 1.0), options, SILENT)
    assert caught.value.quantity == "mask"


@pytest.mark.parametrize(
    ("values", "quantity"),
    [
        ({"peel_voxels": -1}, "LBV peel"),
        ({"peel_voxels": 101}, "LBV peel"),
        ({"tolerance": 0.0}, "LBV tolerance"),
        ({"tolerance": math.nan}, "LBV tolerance"),
        ({"corrections": -1}, "LBV corrections"),
        ({"corrections": 51}, "LBV corrections"),
        ({"maximum_sweeps": 0}, "LBV sweeps"),
        ({"maximum_sweeps": 10_001}, "LBV sweeps"),
    ],
)
def test_options_out_of_range_are_refused(values: dict[str, Any], quantity: str) -> None:
    with pytest.raises(InputError) as caught:
        LbvOptions(**values)
    assert caught.value.quantity == quantity


def test_can_be_cancelled() -> None:
    field = np.random.default_rng(1).standard_normal((20, 20, 20))
    with pytest.raises(CancelledError):
        lbv(field, field > -9, (1.0, 1.0, 1.0), LbvOptions(), Reporter(lambda status: status.fraction < 0.1))
