"""Single step against analytic dipole fields of spheres; its operator against its adjoint."""

from __future__ import annotations

import numpy as np
import pytest

from adjoint_check import adjoint_mismatch
from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.bgremove.fourier import fourier
from ChiSepPreprocessLib.bgremove.single_step import (
    SingleStepOptions,
    _between_blocks,
    _block_means,
    _BlockModel,
    single_step,
)
from ChiSepPreprocessLib.bgremove.spheres import fitting_means, high_pass, sphere_kernel
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


def model(shape: tuple[int, int, int], voxel_mm: Vector, b0: Vector) -> _BlockModel:
    mask = np.ones(shape, np.bool_)
    mask[0, :3], mask[-2:, -1] = False, False
    return _BlockModel(mask, fitting_means(mask, [5.0, 2.5, 2.0], voxel_mm), b0, SingleStepOptions())


@pytest.mark.parametrize("b0", DIRECTIONS)
def test_operator_and_adjoint_belong_together(b0: Vector) -> None:
    one = model((33, 28, 37), (1.0, 1.3, 0.9), b0)
    shape = one.inside.shape

    def forward(chi: Array) -> Array:
        return np.asarray(one.means_of(one.transform.forward(chi * one.inside) * one.dipole))

    def adjoint(means: Array) -> Array:
        return np.asarray(one.pulled(one.spectrum_of(means) * one.dipole))

    assert shape == (11, 14, 13)
    assert adjoint_mismatch(forward, adjoint, shape, shape) < 3e-6


def test_iterations_reach_the_solution_of_the_normal_equations() -> None:
    one = model((33, 29, 30), (1.0, 1.0, 1.2), DIRECTIONS[1])
    means = np.random.default_rng(1).standard_normal(one.inside.shape).astype(np.float32)
    right = one.pulled(one.spectrum_of(means) * one.dipole)
    assert np.linalg.norm(one.normal(one.solve(means, 150, SILENT)) - right) < 2e-4 * np.linalg.norm(right)


def test_blocks_see_the_spheres_of_voxels() -> None:
    """On a grid of blocks, δ − ρ is that of the voxels at the lowest frequencies."""
    voxel_mm, block, grid = (1.0, 1.2, 0.8), (3, 2, 4), (9, 10, 6)
    blocks = high_pass(4.0, voxel_mm, grid, fourier(grid, grid), block)
    fine = np.asarray([n * step for n, step in zip(grid, block, strict=True)])
    kernel = np.zeros(fine)
    sphere = sphere_kernel(4.0, voxel_mm)
    kernel[tuple(slice(n) for n in sphere.shape)] = sphere
    spectrum = 1 - np.fft.fftn(np.roll(kernel, [-(n // 2) for n in sphere.shape], (0, 1, 2))).real
    low = [np.rint(np.fft.fftfreq(n) * n).astype(int) for n in grid]
    np.testing.assert_allclose(blocks, spectrum[np.ix_(low[0], low[1], low[2][:4])], atol=2e-6)


@pytest.mark.parametrize("voxel_mm", [(1.0, 1.0, 1.0), (0.7, 1.1, 2.4), (1.5, 6.0, 3.0)])
def test_values_between_blocks_keep_a_linear_function(voxel_mm: Vector) -> None:
    shape = (25, 18, 23)
    values = np.tensordot([0.3, -0.2, 0.5], np.indices(shape), 1)
    block = [max(round(3 / size), 1) for size in voxel_mm]
    found = _block_means(values, block)
    for axis, length in enumerate(shape):
        found = _between_blocks(found, axis, block[axis], length)
    inner = tuple(slice(n, -2 * n) for n in block)
    np.testing.assert_allclose(found[inner], values[inner], atol=2e-5)


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
    for name, values in {"maximum_radius_mm": (0.0, 101.0, np.nan), "smoothness_mm2": (0.0, 101.0, np.inf),
                         "ridge": (-1.0, np.nan), "iterations": (0, 1001)}.items():  # fmt: skip
        for value in values:
            with pytest.raises(InputError, match="single-step"):
                SingleStepOptions(**{name: value})  # type: ignore[arg-type]
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
