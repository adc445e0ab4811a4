"""Nonlinear dipole inversion: its minimum, its gradient, phase wraps, early stopping, options and cancelling."""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import check_grad, minimize

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.optim.outcome import Status
from ChiSepReconstructLib.solvers.field_problem import FieldProblem
from ChiSepReconstructLib.solvers.ndi import NdiOptions, nonlinear_inversion, run
from inversion_cases import data_misfit, small_problem, sphere_contrasts, sphere_maps

_KAPPA = 16.0


class Objective:
    """As stated, with complex exponentials, on a periodic grid, in double precision."""

    def __init__(self, problem: FieldProblem, tikhonov: float) -> None:
        self.kernel, self.tikhonov = problem.dipole.kernel.double().numpy(), tikhonov
        self.weights, self.field = problem.weights.double().numpy(), problem.field.double().numpy()

    def convolve(self, chi: Array) -> Array:
        return np.fft.irfftn(np.fft.rfftn(chi) * self.kernel, s=chi.shape, axes=(0, 1, 2))

    def value(self, flat: Array) -> float:
        misfit = np.exp(1j * _KAPPA * self.field) - np.exp(1j * _KAPPA * self.convolve(flat.reshape(self.field.shape)))
        return float(0.5 * (np.abs(self.weights * misfit) ** 2).sum() / _KAPPA**2 + 0.5 * self.tikhonov * flat @ flat)

    def gradient(self, flat: Array) -> Array:
        error = self.convolve(flat.reshape(self.field.shape)) - self.field
        pull: Array = self.convolve(self.weights**2 * np.sin(_KAPPA * error) / _KAPPA).ravel() + self.tikhonov * flat
        return pull


@pytest.mark.parametrize("shape", [(9, 8, 7), (8, 7, 6)])
def test_the_minimum_is_that_of_an_independent_minimiser(shape: tuple[int, int, int]) -> None:
    problem, _ = small_problem(shape, padding=0.0, noise=2e-3)
    problem.field.mul_(4)  # so that the phase comes near 1 and the objective is not quadratic
    objective = Objective(problem, 0.01)
    start = np.random.default_rng(3).normal(0.0, 0.05, problem.field.numel())
    assert check_grad(objective.value, objective.gradient, start, epsilon=1e-7) < 1e-5
    best = minimize(objective.value, 0 * start, jac=objective.gradient, method="L-BFGS-B",
                    options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 1000})  # fmt: skip
    outcome = nonlinear_inversion(problem, _KAPPA, NdiOptions(tikhonov=0.01, iterations=200, tolerance=1e-5))
    assert outcome.status is Status.CONVERGED
    chi = outcome.x.double().numpy().ravel()
    assert np.linalg.norm(chi - best.x) < 1e-3 * np.linalg.norm(best.x)


def test_every_iteration_makes_the_objective_smaller() -> None:
    problem, _ = small_problem(padding=0.0, noise=2e-3)
    problem.field.mul_(10)
    objective = Objective(problem, 0.0)
    iterates = [nonlinear_inversion(problem, _KAPPA, NdiOptions(iterations=n)).x for n in range(1, 12)]
    values = [objective.value(chi.double().numpy().ravel()) for chi in iterates]
    assert all(np.diff(values) < 0)


def test_exact_data_are_fitted() -> None:
    problem, _ = small_problem(padding=0.0)
    outcome = nonlinear_inversion(problem, _KAPPA, NdiOptions(iterations=300, tolerance=1e-6))
    assert data_misfit(problem, problem.dipole(outcome.x).numpy()) < 1e-3


def test_a_wrap_of_the_phase_changes_nothing() -> None:
    problem, _ = small_problem()
    options = NdiOptions(iterations=8)
    plain = nonlinear_inversion(problem, _KAPPA, options).x
    problem.field[7, 6, 5] += 2 * pi / _KAPPA
    torch.testing.assert_close(nonlinear_inversion(problem, _KAPPA, options).x, plain, atol=1e-5, rtol=0)


def test_early_stopping_equals_many_steps_of_gradient_descent() -> None:
    problem, _ = small_problem((21, 19, 17), padding=0.0, noise=3e-3)
    chi = torch.zeros_like(problem.field)
    weights = problem.weights.square()
    step = 1 / (float(weights.max()) * 4 / 9)
    for _ in range(100):
        error = problem.dipole(chi) - problem.field
        chi -= step * problem.dipole(weights * torch.sin(_KAPPA * error) / _KAPPA)
    quick = [nonlinear_inversion(problem, _KAPPA, NdiOptions(iterations=n)).x for n in range(5, 16)]
    assert min(float((one - chi).norm() / chi.norm()) for one in quick) < 0.1


def test_spheres() -> None:
    maps, truth = sphere_maps()
    mask = maps.array("brain_mask")
    chi, again = (run(maps, mask, NdiOptions(), Reporter()).maps["chi_total"] for _ in range(2))
    np.testing.assert_allclose(sphere_contrasts(chi, truth, mask), 0.85, atol=0.1)
    assert not chi[~mask].any()
    assert chi.dtype == np.float32
    np.testing.assert_array_equal(chi, again)


def test_only_with_tikhonov_is_the_limit_worth_a_warning() -> None:
    maps, _ = sphere_maps((6.0, 6.0, 6.0))
    mask = maps.array("brain_mask")
    stopped = run(maps, mask, NdiOptions(iterations=2), Reporter())
    warned = run(maps, mask, NdiOptions(iterations=2, tikhonov=1e-3), Reporter())
    assert len(warned.warnings) == len(stopped.warnings) + 1
    assert "Nonlinear dipole inversion stopped by iteration limit" in warned.warnings[-1]


@pytest.mark.parametrize("bad", [
    {"phase_time_s": 0.0}, {"phase_time_s": float("nan")}, {"tikhonov": -1.0}, {"tikhonov": 1e9}, {"iterations": 0},
])  # fmt: skip
def test_bad_options_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="NDI"):
        NdiOptions(**bad)


def test_cancel_works() -> None:
    problem, _ = small_problem()
    with pytest.raises(CancelledError):
        nonlinear_inversion(problem, _KAPPA, NdiOptions(), Reporter(lambda status: False))
