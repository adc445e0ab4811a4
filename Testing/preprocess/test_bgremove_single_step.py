"""Single step against analytic dipole fields of spheres; its operator against its adjoint."""

from __future__ import annotations

import numpy as np
import pytest

from adjoint_check import adjoint_mismatch
from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.bgremove.single_step import SingleStepOptions, _Sources, single_step
from ChiSepPreprocessLib.bgremove.spheres import SphericalMeans, mask_depth_mm
from ChiSepPreprocessLib.bgremove.vsharp import VSharpOptions, vsharp
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from sphere_fields import (
    DIRECTIONS,
    VOXELS_MM,
    Vector,
    background,
    coordinates_mm,
    ellipsoid,
    norm_ratio,
    sources,
    sphere_field,
)

SILENT = Reporter()


@pytest.mark.parametrize("b0", DIRECTIONS)
@pytest.mark.parametrize(("voxel_mm", "limit"), [*zip(VOXELS_MM, (1.4e-4, 8e-4, 2.2e-3), strict=True)])
def test_background_vanishes(voxel_mm: Vector, limit: float, b0: Vector) -> None:
    field, mask = background(voxel_mm, b0), ellipsoid(voxel_mm)
    local, field_mask = single_step(field, mask, voxel_mm, b0, SingleStepOptions(), SILENT)
    assert norm_ratio(local, field, field_mask) < limit
    assert not local[~field_mask].any()


@pytest.mark.parametrize("b0", DIRECTIONS)
@pytest.mark.parametrize(("voxel_mm", "limit"), [*zip(VOXELS_MM[:2], (0.125, 0.2), strict=True)])
def test_sources_inside_stay(voxel_mm: Vector, limit: float, b0: Vector) -> None:
    truth, mask = sources(voxel_mm, b0), ellipsoid(voxel_mm)
    total = truth + background(voxel_mm, b0)
    local, field_mask = single_step(total, mask, voxel_mm, b0, SingleStepOptions(), SILENT)
    assert norm_ratio(total, truth, field_mask) > 20
    assert norm_ratio(local - truth, truth, field_mask) < limit


@pytest.mark.parametrize("b0", DIRECTIONS)
def test_shallow_sources_keep_more_of_their_field_than_with_vsharp(b0: Vector) -> None:
    voxel_mm = VOXELS_MM[0]
    mask = ellipsoid(voxel_mm)
    truth = sphere_field(voxel_mm, (30.0, 4.0, 3.0), 4.0, 0.1, b0) + sphere_field(
        voxel_mm, (3.0, 38.0, 5.0), 5.0, 0.1, b0
    )
    total = truth + background(voxel_mm, b0)
    lost = []
    for local, valid in (
        single_step(total, mask, voxel_mm, b0, SingleStepOptions(), SILENT),
        vsharp(total, mask, voxel_mm, VSharpOptions(), SILENT),
    ):
        lost.append(norm_ratio(local - truth, truth, valid))
    assert lost[0] < 0.2 < 0.4 < lost[1]


def model(shape: tuple[int, int, int], voxel_mm: Vector, b0: Vector) -> _Sources:
    mask = np.ones(shape, np.bool_)
    mask[0, :3], mask[-2:, -1] = False, False
    return _Sources(
        mask, SphericalMeans(mask_depth_mm(mask, voxel_mm), [5.0, 2.5, 2.0], voxel_mm), b0, SingleStepOptions()
    )


@pytest.mark.parametrize("b0", DIRECTIONS)
def test_operator_and_adjoint_belong_together(b0: Vector) -> None:
    shape = (17, 14, 19)
    one = model(shape, (1.0, 1.3, 0.9), b0)

    def forward(chi: Array) -> Array:
        return np.asarray(one.means_of(one.transform.forward(chi * one.inside) * one.dipole))

    def adjoint(means: Array) -> Array:
        return np.asarray(one.pulled(one.spectrum_of(means) * one.dipole))

    assert adjoint_mismatch(forward, adjoint, shape, shape) < 3e-6


def test_iterations_reach_the_solution_of_the_normal_equations() -> None:
    shape = (15, 13, 14)
    one = model(shape, (1.0, 1.0, 1.2), DIRECTIONS[1])
    field = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    chi, _ = one.fit(field, 150, SILENT)
    right = one.pulled(one.spectrum_of(one.means_of(one.transform.forward(field))) * one.dipole)
    assert np.linalg.norm(one.normal(chi) - right) < 2e-4 * np.linalg.norm(right)


def test_what_is_not_reliable_is_not_used_but_filled() -> None:
    voxel_mm, b0 = VOXELS_MM[0], DIRECTIONS[1]
    truth, mask = sources(voxel_mm, b0), ellipsoid(voxel_mm)
    total = truth + background(voxel_mm, b0)
    reliable = np.ones_like(mask)
    reliable[40:42, 70:72, 43:45] = False
    wrong = np.where(reliable, total, 50.0)
    found = [
        single_step(field, mask, voxel_mm, b0, SingleStepOptions(), SILENT, mask & reliable) for field in (total, wrong)
    ]
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1][~reliable].all()
    near = np.s_[36:46, 66:76, 39:49]
    assert np.abs(found[1][0] - truth)[near].max() < 0.1 * np.abs(truth).max()


def test_field_around_the_mask_helps_at_its_border_and_its_sources_are_left_out() -> None:
    """A brain within a larger known region, with a source in the brain's rim and one beyond it."""
    voxel_mm, b0 = VOXELS_MM[0], DIRECTIONS[1]
    x, y, z = (axis / length for axis, length in zip(coordinates_mm(voxel_mm), (34.0, 41.0, 32.0), strict=True))
    mask, known = np.asarray(x**2 + y**2 + z**2 < 1), ellipsoid(voxel_mm)
    truth = sphere_field(voxel_mm, (27.0, 4.0, 3.0), 4.0, 0.1, b0)
    total = truth + sphere_field(voxel_mm, (-3.0, -44.0, 2.0), 2.5, 0.1, b0) + background(voxel_mm, b0)
    errors = []
    for measured in (None, known):
        local, valid = single_step(total, mask, voxel_mm, b0, SingleStepOptions(), SILENT, measured)
        assert not local[~mask].any()
        errors.append(norm_ratio(local - truth, truth, valid))
    assert errors[1] < 0.12 < 0.2 < errors[0]


def test_field_in_other_units_gives_the_same_in_them() -> None:
    voxel_mm, b0 = VOXELS_MM[1], DIRECTIONS[0]
    total, mask = sources(voxel_mm, b0) + background(voxel_mm, b0), ellipsoid(voxel_mm)
    ppm, hz = (single_step(total * scale, mask, voxel_mm, b0, SingleStepOptions(), SILENT)[0] for scale in (1, 127.7))
    np.testing.assert_allclose(hz / 127.7, ppm, atol=2e-4 * np.abs(ppm).max())


def test_bad_input_is_refused() -> None:
    mask = np.ones((8, 8, 8), np.bool_)
    field = np.zeros(mask.shape)
    for options in ({"maximum_radius_mm": 0.0}, {"smoothness_mm2": 0.0}, {"ridge": -1.0}, {"iterations": 0}):
        with pytest.raises(InputError, match="single-step"):
            single_step(field, mask, (1, 1, 1), (0, 0, 1), SingleStepOptions(**options), SILENT)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="largest depth"):
        single_step(
            field, np.indices(mask.shape).sum(axis=0) % 2 == 0, (1, 1, 1), (0, 0, 1), SingleStepOptions(), SILENT
        )
    with pytest.raises(InputError, match="largest depth"):
        single_step(field, mask, (1, 1, 1), (0, 0, 1), SingleStepOptions(), SILENT, np.zeros(mask.shape, np.bool_))


def test_cancel_stops_it() -> None:
    voxel_mm, b0 = VOXELS_MM[2], DIRECTIONS[0]
    with pytest.raises(CancelledError):
        single_step(
            sources(voxel_mm, b0),
            ellipsoid(voxel_mm),
            voxel_mm,
            b0,
            SingleStepOptions(),
            Reporter(lambda status: False),
        )
