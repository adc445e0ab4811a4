"""χ-separation in one objective: against a bounded general minimiser, and on spheres of known field."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.dipole import dipole_kernel
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.physics.operators import Vector
from ChiSepReconstructLib.physics.relaxation import r2prime_from_chi
from ChiSepReconstructLib.physics.relaxivity import Relaxivity
from ChiSepReconstructLib.solvers import closed_form
from ChiSepReconstructLib.solvers.chi_sep_medi import (
    ChiSepMediOptions,
    JointOptions,
    chi_sep_medi,
    decay_equation,
    run,
)  # fmt: skip
from ChiSepReconstructLib.solvers.field_problem import edge_weights, field_problem
from ChiSepReconstructLib.solvers.medi import FLOOR_PPM_PER_MM
from ChiSepReconstructLib.solvers.qsm import QsmOptions
from sphere_fields import ellipsoid, norm_ratio, source_susceptibility, sources

Real = NDArray[np.float64]

_OBLIQUE: Vector = (0.36, -0.48, 0.8)
_VOXEL_MM: Vector = (1.0, 1.2, 1.7)
_SPLIT = Relaxivity(para_hz_per_ppm=150.0, dia_hz_per_ppm=90.0, preset="given", field_strength_t=3.0)


def maps_of(voxel_mm: Vector, **data: NDArray[Any]) -> MapSet:
    grid = Grid(data["local_field"].shape, np.diag([*voxel_mm, 1.0]))
    scan = ScanParameters(echo_times_s=(0.005, 0.01), field_strength_t=3.0, b0_direction_ijk=_OBLIQUE)
    return MapSet(grid, scan, {name: Map(name=name, data=value, grid=grid) for name, value in data.items()})


def field_of(chi: Real) -> Real:
    kernel = dipole_kernel(chi.shape, _VOXEL_MM, _OBLIQUE)
    field: Real = np.fft.irfftn(kernel * np.fft.rfftn(chi), s=chi.shape, axes=(0, 1, 2))
    return field


def smooth_l1(x: Real, free: Real) -> tuple[float, Real]:
    """``Σ m √((∇x)² + floor²)`` and its gradient, by slices."""
    value, gradient = 0.0, np.zeros_like(x)
    for axis, size in enumerate(_VOXEL_MM):
        step = np.diff(x, axis=axis) / size
        inside, root = np.take(free[axis], range(step.shape[axis]), axis=axis), np.sqrt(step**2 + FLOOR_PPM_PER_MM**2)
        value += float((inside * root).sum())
        gradient += np.diff(-inside * step / root / size, axis=axis, prepend=0, append=0)
    return value, gradient


def test_finds_the_bounded_minimum_that_a_general_minimiser_finds() -> None:
    rng = np.random.default_rng(8)
    mask = np.ones((5, 7, 4), dtype=bool)
    mask[:2, :2, :2] = False
    field, rate = 0.05 * rng.standard_normal(mask.shape) * mask, rng.uniform(0, 15, mask.shape) * mask
    magnitude = rng.uniform(0.5, 1.5, mask.shape)
    maps = maps_of(_VOXEL_MM, local_field=field.astype(np.float32), magnitude=magnitude.astype(np.float32))
    problem = field_problem(maps, mask, padding=0.0, device="cpu")
    options = JointOptions(regularisation_ppm_mm=1e-3, decay_weight=0.4, outer_iterations=60, tolerance=1e-5,
                           inner_iterations=100, inner_tolerance=1e-2)  # fmt: skip
    decay = decay_equation(problem, rate.astype(np.float32), rate > 3, _SPLIT, 0.4)
    edges = [edge_weights(problem.tensor(one), problem.inside(), problem.differences, 0.3) for one in (magnitude, rate)]
    start = torch.full((2, *mask.shape), 0.02) * problem.mask
    found = chi_sep_medi(problem, decay, (edges[0], edges[1]), start, options).x.numpy()
    weights, free = problem.weights.numpy().astype(float), [one.numpy().astype(float) for one in edges]
    decay_weights = weights * np.where(rate > 3, 0.4, 0.04)

    def objective(values: Real) -> tuple[float, Real]:
        both = np.zeros((2, *mask.shape))
        both[:, mask] = values.reshape(2, -1)
        misfit = weights * (field_of(both[0] - both[1]) - field)
        miss = decay_weights * (150 * both[0] + 90 * both[1] - rate) / 120
        total, para, dia = (smooth_l1(x, m) for x, m in ((both[0] - both[1], free[0]), (both[0], free[1]),
                                                           (both[1], free[1])))  # fmt: skip
        value = 0.5 * (misfit**2).sum() + 0.5 * (miss**2).sum() + 1e-3 * (2 * total[0] + para[0] + dia[0])
        along = field_of(weights * misfit) + 2e-3 * total[1]
        gradient = [along + 1.25 * decay_weights * miss + 1e-3 * para[1],
                    -along + 0.75 * decay_weights * miss + 1e-3 * dia[1]]  # fmt: skip
        return value, np.concatenate([one[mask] for one in gradient])

    count = 2 * int(mask.sum())
    best = minimize(objective, np.full(count, 0.02), jac=True, method="L-BFGS-B", bounds=[(0, None)] * count,
                    options={"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-9})  # fmt: skip
    ours = found[:, mask].ravel().astype(float)
    assert 0.1 < (best.x == 0).mean() < 0.6
    assert objective(ours)[0] == pytest.approx(best.fun, rel=1e-4)
    assert np.linalg.norm(ours - best.x) < 0.01 * np.linalg.norm(best.x)
    assert not found[:, ~mask].any()


def test_data_without_noise_are_explained_with_split_relaxivities() -> None:
    rng = np.random.default_rng(9)
    mask = np.ones((13, 15, 11), dtype=bool)
    mask[:4, :4] = False
    para, dia = rng.uniform(0.02, 0.2, (2, *mask.shape)) * mask
    rate = r2prime_from_chi(para, dia, _SPLIT).astype(np.float32)
    maps = maps_of(_VOXEL_MM, local_field=rate)
    problem = field_problem(maps, mask, padding=0.3, device="cpu")
    problem.field.copy_(problem.mask * problem.dipole(problem.tensor(para - dia)))
    options = JointOptions(regularisation_ppm_mm=1e-9, decay_weight=1.0, outer_iterations=10, tolerance=1e-6,
                           inner_iterations=100, inner_tolerance=1e-2)  # fmt: skip
    decay = decay_equation(problem, rate, mask, _SPLIT, 1.0)
    start = torch.full((2, *mask.shape), 0.1) * problem.mask
    chi = chi_sep_medi(problem, decay, (problem.inside(), problem.inside()), start, options).x
    misfit = problem.mask * problem.dipole(chi[0] - chi[1]) - problem.field
    assert float(misfit.norm() / problem.field.norm()) < 1e-3
    assert float((decay.of(chi) - decay.rate_ppm).norm() / decay.rate_ppm.norm()) < 1e-3


def test_distrusted_rates_weigh_a_tenth() -> None:
    maps = maps_of(_VOXEL_MM, local_field=np.ones((4, 4, 4)))
    problem = field_problem(maps, np.ones((4, 4, 4), dtype=bool), padding=0.0, device="cpu")
    trusted = np.arange(64).reshape(4, 4, 4) > 9
    decay = decay_equation(problem, np.full((4, 4, 4), 12.0, np.float32), trusted, _SPLIT, 0.5)
    np.testing.assert_allclose(decay.weights.numpy(), np.where(trusted, 0.5, 0.05), rtol=1e-6)
    np.testing.assert_allclose(decay.rate_ppm.numpy(), 0.1, rtol=1e-6)
    assert (decay.para, decay.dia) == (1.25, 0.75)


def test_spheres_of_known_field_are_separated_better_than_by_the_closed_form_on_tkd() -> None:
    voxel_mm = (2.0, 2.0, 2.0)
    mask, total = ellipsoid(voxel_mm), source_susceptibility(voxel_mm)
    truth = {"chi_para": (np.maximum(total, 0) + 0.02) * mask, "chi_dia": (np.maximum(-total, 0) + 0.02) * mask}
    rate = r2prime_from_chi(truth["chi_para"], truth["chi_dia"], _SPLIT)
    maps = maps_of(voxel_mm, local_field=sources(voxel_mm, _OBLIQUE) * mask, r2prime=rate, brain_mask=mask,
                   csf_mask=mask & (total == 0), magnitude=np.where(total != 0, 0.7, 1.0) * mask)  # fmt: skip
    given: dict[str, Any] = {"para_hz_per_ppm": 150.0, "dia_hz_per_ppm": 90.0}
    joint = run(maps, mask, ChiSepMediOptions(**given), Reporter())
    options = closed_form.ClosedFormOptions(**given, qsm=QsmOptions(method="tkd"))
    plain = closed_form.run(maps, mask, options, Reporter())
    again = run(maps, mask, ChiSepMediOptions(**given), Reporter())
    error = [[100 * norm_ratio(solution.maps[name] - truth[name], truth[name], mask) for name in truth]
             for solution in (joint, plain)]  # fmt: skip
    assert error[0] == pytest.approx([4.04, 7.54], abs=0.1)
    assert error[1] == pytest.approx([7.09, 12.18], abs=0.1)
    assert joint.record["solver"]["status"] == "converged"
    assert joint.record["relaxivity"]["dia_hz_per_ppm"] == 90.0
    for name, found in joint.maps.items():
        np.testing.assert_array_equal(found, again.maps[name])
        assert not found[~mask].any()


def test_bad_options_are_refused_and_cancel_works() -> None:
    bad: list[dict[str, Any]] = [
        {"regularisation_ppm_mm": 0.0}, {"decay_weight": float("nan")}, {"edge_share": 1.0}, {"inner_iterations": 0},
        {"slow_per_s": 40.0}, {"slow_per_s": -1.0},
    ]  # fmt: skip
    for options in bad:
        with pytest.raises(InputError):
            ChiSepMediOptions(**options)
    ones = np.ones((6, 6, 6))
    maps = maps_of(_VOXEL_MM, local_field=0.1 * ones, r2prime=5 * ones, brain_mask=ones > 0)
    with pytest.raises(CancelledError):
        run(maps, ones > 0, ChiSepMediOptions(), Reporter(lambda status: False))
    with pytest.raises(InputError, match="relaxivity preset"):
        run(maps, ones > 0, ChiSepMediOptions(relaxivity="kim"), Reporter())
