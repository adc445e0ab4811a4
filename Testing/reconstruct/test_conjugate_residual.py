"""Conjugate residuals against SciPy's LSMR, against direct solutions, and at their ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import lsmr

from ChiSepPreprocessLib.errors import CancelledError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.optim.conjugate_residual import Into, conjugate_residual
from ChiSepReconstructLib.optim.outcome import Outcome, Status

Matrix = NDArray[np.float64]


def system(images: int, unknowns: int) -> tuple[Matrix, Matrix, Matrix]:
    """``B`` (images, unknowns) with singular values over two decades, ``K`` (30, images) and data."""
    rng = np.random.default_rng(11)
    left, _, right = np.linalg.svd(rng.standard_normal((images, unknowns)), full_matrices=False)
    model = left * np.geomspace(1.0, 100.0, min(images, unknowns)) @ right
    return model, rng.standard_normal((30, images)), rng.standard_normal(30)


def into(matrix: Matrix, dtype: torch.dtype = torch.float64) -> Into:
    operator = torch.from_numpy(matrix).to(dtype)
    return lambda given, out: torch.mv(operator, given, out=out)


def solve(model: Matrix, weighing: Matrix, data: Matrix, tolerance: float = 0.0, limit: int = 500,
          dtype: torch.dtype = torch.float64) -> tuple[Matrix, Outcome]:  # fmt: skip
    outcome = conjugate_residual(
        into(weighing.T @ weighing, dtype), into(model @ model.T, dtype),
        torch.from_numpy(weighing.T @ data).to(dtype), tolerance=tolerance, most_iterations=limit,
    )  # fmt: skip
    return model.T @ outcome.x.double().numpy(), outcome


@pytest.mark.parametrize("shape", [(25, 40), (25, 15)])
@pytest.mark.parametrize("iterations", [1, 2, 7])
def test_every_iterate_is_that_of_lsmr(shape: tuple[int, int], iterations: int) -> None:
    model, weighing, data = system(*shape)
    expected = lsmr(weighing @ model, data, atol=0, btol=0, conlim=0, maxiter=iterations)
    found, outcome = solve(model, weighing, data, limit=iterations)
    assert outcome.status is Status.LIMIT
    np.testing.assert_allclose(found, expected[0], atol=1e-8 * np.abs(expected[0]).max())
    first = np.linalg.norm(model.T @ weighing.T @ data)
    assert outcome.residuals[-1] == pytest.approx(expected[4] / first, rel=1e-6)


@pytest.mark.parametrize("shape", [(25, 40), (25, 15)])
def test_the_smallest_of_all_solutions_is_found(shape: tuple[int, int]) -> None:
    model, weighing, data = system(*shape)
    found, outcome = solve(model, weighing, data, tolerance=2e-6)
    assert outcome.status is Status.CONVERGED
    expected = np.linalg.lstsq(weighing @ model, data)[0]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_the_residual_that_stops_is_the_true_one_and_falls_in_every_iteration() -> None:
    model, weighing, data = system(25, 40)
    found, outcome = solve(model, weighing, data, tolerance=0.01)
    matrix = weighing @ model
    residual = np.linalg.norm(matrix.T @ (data - matrix @ found)) / np.linalg.norm(matrix.T @ data)
    assert outcome.residuals[-1] <= 0.01 < outcome.residuals[-2]
    assert outcome.residuals[-1] == pytest.approx(residual, rel=1e-6)
    assert np.all(np.diff(outcome.residuals) < 0)


def test_single_precision_follows_double_precision() -> None:
    model, weighing, data = system(25, 40)
    (single, _), (double, _) = (solve(model, weighing, data, limit=8, dtype=one)
                                for one in (torch.float32, torch.float64))  # fmt: skip
    np.testing.assert_allclose(single, double, atol=1e-4 * np.abs(double).max())


@pytest.mark.parametrize("tolerance", [1e-4, 1e-6])
def test_single_precision_reaches_small_residuals(tolerance: float) -> None:
    rng = np.random.default_rng(3)
    matrices = rng.standard_normal((2, 25, 25)) + 8 * np.eye(25)
    matrix, data = matrices[1] @ matrices[0], rng.standard_normal(25)
    found, outcome = solve(matrices[0], matrices[1], data, tolerance, dtype=torch.float32)
    residual = np.linalg.norm(matrix.T @ (data - matrix @ found)) / np.linalg.norm(matrix.T @ data)
    assert outcome.status is Status.CONVERGED
    assert residual < 2 * tolerance


def test_nothing_to_solve_and_a_breakdown() -> None:
    model, weighing, data = system(25, 40)
    nothing, outcome = solve(model, weighing, 0 * data)
    assert outcome.status is Status.CONVERGED
    assert not nothing.any()
    broken = conjugate_residual(lambda given, out: out.copy_(-given), lambda given, out: out.copy_(given),
                                torch.ones(4), tolerance=1e-6, most_iterations=5)  # fmt: skip
    assert broken.status is Status.BREAKDOWN
    assert torch.isfinite(broken.x).all()


def test_conjugate_residuals_can_be_cancelled() -> None:
    with pytest.raises(CancelledError):
        conjugate_residual(into(np.diag([1.0, 2.0])), into(np.eye(2)), torch.ones(2, dtype=torch.float64),
                           tolerance=0, most_iterations=9, report=Reporter(lambda status: False))  # fmt: skip
