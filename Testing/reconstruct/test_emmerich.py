"""Separation by ΔR2* and field: the constrained minimum, held against an independent solver and analytic sources."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.optim.outcome import Status
from ChiSepReconstructLib.physics.operators import Differences, DipoleOperator
from ChiSepReconstructLib.solvers.emmerich import EmmerichOptions, run, separate_with_decay
from ChiSepReconstructLib.solvers.field_problem import FieldProblem

_B0 = (0.36, -0.48, 0.8)
_VOXEL_MM = (1.0, 1.2, 1.7)

Real = NDArray[np.float64]


def _problem(shape: tuple[int, int, int], rng: np.random.Generator) -> FieldProblem:
    """Mask with a hole, uneven weights, no field yet."""
    mask = torch.zeros(shape)
    mask[1:-1, 1:-1, 1:-1] = 1.0
    mask[2, 2, 2] = 0.0
    weights = torch.from_numpy(rng.uniform(0.5, 1.5, shape).astype(np.float32)) * mask
    return FieldProblem(field=torch.zeros(shape), mask=mask, weights=weights, differences=Differences(_VOXEL_MM),
                        dipole=DipoleOperator(shape, _VOXEL_MM, _B0, padding=0.5), weighted_by="test")  # fmt: skip


def _with_field(problem: FieldProblem, field: torch.Tensor) -> FieldProblem:
    return FieldProblem(field=field, mask=problem.mask, weights=problem.weights, dipole=problem.dipole,
                        differences=problem.differences, weighted_by="test")  # fmt: skip


def test_consistent_data_come_back() -> None:
    rng, shape = np.random.default_rng(2), (13, 11, 9)
    problem = _problem(shape, rng)
    para, dia = (torch.from_numpy(rng.uniform(0, 0.1, shape).astype(np.float32)) * problem.mask for _ in range(2))
    problem = _with_field(problem, problem.dipole(para - dia))
    options = EmmerichOptions(smoothness_mm=0.0, outer_iterations=18, inner_iterations=20, tolerance=1e-4)
    found = separate_with_decay(problem, para + dia, options).x
    residual = problem.weights * (problem.dipole(found[0] - found[1]) - problem.field)
    assert float(residual.norm() / (problem.weights * problem.field).norm()) < 1e-3
    assert float((found.sum(dim=0) - (para + dia)).norm() / (para + dia).norm()) < 1e-3


def test_minimum_is_that_of_bounded_least_squares() -> None:
    from scipy.optimize import lsq_linear

    rng, shape = np.random.default_rng(7), (6, 5, 5)
    problem = _problem(shape, rng)
    problem = _with_field(
        problem, torch.from_numpy(0.05 * rng.standard_normal(shape).astype(np.float32)) * problem.mask
    )
    decay = torch.from_numpy(0.1 * rng.standard_normal(shape).astype(np.float32)).clamp_min(0) * problem.mask
    options = EmmerichOptions(decay_weight=0.4, smoothness_mm=0.3, outer_iterations=200, inner_iterations=50,
                              tolerance=1e-7)  # fmt: skip
    found = separate_with_decay(problem, decay, options)

    inside = problem.mask.numpy().astype(bool)
    count = int(inside.sum())

    def columns(apply: Any) -> Real:
        """Dense matrix of a linear map of the voxels in the mask."""
        rows = []
        for voxel in np.argwhere(inside):
            one = torch.zeros(shape)
            one[tuple(voxel)] = 1.0
            rows.append(apply(one).numpy().ravel())
        return np.array(rows, dtype=np.float64).T

    field = columns(lambda x: problem.weights * problem.dipole(x))
    rough = 0.3 * columns(lambda x: problem.differences(x) * problem.inside())
    total, nothing = 0.4 * np.eye(count), np.zeros_like(rough)
    matrix = np.block([[field, -field], [total, total], [rough, nothing], [nothing, rough]])
    right = np.concatenate([(problem.weights * problem.field).numpy().ravel(), 0.4 * decay.numpy()[inside],
                            np.zeros(2 * len(rough))])  # fmt: skip
    expected = lsq_linear(matrix, right, bounds=(0, np.inf), tol=1e-12).x.reshape(2, count)
    assert ((expected < 1e-6).mean(axis=1) > 0.1).all()  # the constraint holds for some
    assert found.status is Status.CONVERGED
    np.testing.assert_allclose(found.x.numpy()[:, inside], expected, atol=2e-5)


def _spheres() -> tuple[MapSet, NDArray[np.bool_], dict[str, NDArray[np.float32]]]:
    """Two spheres whose field is known in closed form, one of either kind, in a brain of little decay."""
    shape, voxel = (34, 30, 26), np.array([1.5, 1.6, 2.0])
    at = (np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) - (np.array(shape) - 1) / 2) * voxel
    para, dia, field = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for centre, radius, chi in (((-8.0, 2.0, 1.0), 7.0, 0.1), ((9.0, -3.0, -1.0), 8.0, -0.08)):
        offset = at - np.array(centre)
        r = np.linalg.norm(offset, axis=-1)
        cosine = np.divide(offset @ np.array(_B0), r, out=np.zeros(shape), where=r > 0)
        field += np.where(r > radius, chi / 3 * (radius / np.maximum(r, 1e-9)) ** 3 * (3 * cosine**2 - 1), 0.0)
        (para if chi > 0 else dia)[r <= radius] = abs(chi)
    brain = np.square(at / [24, 22, 24]).sum(axis=-1) <= 1
    grid = Grid(shape, np.diag([*voxel, 1.0]))
    scan = ScanParameters(echo_times_s=(0.01, 0.02), field_strength_t=3.0, b0_direction_ijk=_B0)
    rate = EmmerichOptions().constants(scan).para_hz_per_ppm * (para + dia)
    rng = np.random.default_rng(4)
    data = {"local_field": (field + 0.001 * rng.standard_normal(shape)) * brain,
            "r2prime": np.maximum(rate + 0.5 * rng.standard_normal(shape), 0) * brain,
            "r2star": (rate + 13.0) * brain, "brain_mask": brain}  # fmt: skip
    maps = {name: Map(name=name, data=one if one.dtype == bool else one.astype(np.float32), grid=grid)
            for name, one in data.items()}  # fmt: skip
    truth = {"chi_para": (para * brain).astype(np.float32), "chi_dia": (dia * brain).astype(np.float32)}
    return MapSet(grid, scan, maps), brain, truth


def test_spheres_of_both_kinds_are_told_apart() -> None:
    maps, brain, truth = _spheres()
    solution = run(maps, brain, EmmerichOptions(), Reporter())
    for name, true in truth.items():
        found = solution.maps[name]
        assert not found[~brain].any() and found.min() >= 0
        error = np.linalg.norm(found - true) / np.linalg.norm(true)
        assert error < 0.31  # measured 0.27
        assert found[true > 0].mean() == pytest.approx(0.945 * true.max(), rel=0.03)  # measured 0.937 and 0.955
    assert solution.record["decay"] == "r2prime" and not solution.warnings


def test_without_r2prime_r2star_counts_above_the_baseline() -> None:
    maps, brain, truth = _spheres()
    alone = MapSet(maps.grid, maps.scan, {name: one for name, one in maps.maps.items() if name != "r2prime"})
    solution = run(alone, brain, EmmerichOptions(), Reporter())
    assert "R2 of 13" in solution.warnings[0]
    found, true = solution.maps["chi_para"], truth["chi_para"]
    assert np.linalg.norm(found - true) / np.linalg.norm(true) < 0.29  # measured 0.26


def test_bad_options_are_refused_and_cancel_works() -> None:
    bad: list[dict[str, Any]] = [
        {"decay_weight": 0.0},
        {"decay_weight": float("nan")},
        {"smoothness_mm": -1.0},
        {"baseline_per_s": -1.0},
        {"outer_iterations": 0},
        {"inner_iterations": 0},
    ]
    for values in bad:
        with pytest.raises(InputError):
            EmmerichOptions(**values)
    maps, brain, _ = _spheres()
    with pytest.raises(CancelledError):
        run(maps, brain, EmmerichOptions(), Reporter(lambda status: False))
