"""LSMR against SciPy's, against direct solutions, and at its ends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import lsmr as reference_lsmr

from ChiSepPreprocessLib.errors import CancelledError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.optim.lsmr import advance, advance_by_operators, lsmr
from ChiSepReconstructLib.optim.outcome import Outcome, Status

_TALL, _WIDE = (40, 25), (25, 40)


def system(shape: tuple[int, int], condition: float = 100.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(11)
    left, _, right = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
    return left * np.geomspace(1.0, condition, min(shape)) @ right, rng.standard_normal(shape[0])


def solve(matrix: NDArray[np.float64], rhs: NDArray[np.float64], tolerance: float = 0.0, limit: int = 200,
          damping: float = 0.0) -> Outcome:  # fmt: skip
    operator = torch.from_numpy(matrix)
    return lsmr(operator.mv, operator.T.mv, torch.from_numpy(rhs), tolerance=tolerance, most_iterations=limit,
                damping=damping)  # fmt: skip


@pytest.mark.parametrize("shape", [_TALL, _WIDE])
@pytest.mark.parametrize("damping", [0.0, 3.0])
@pytest.mark.parametrize("iterations", [1, 2, 7])
def test_every_iterate_is_that_of_scipy(shape: tuple[int, int], damping: float, iterations: int) -> None:
    matrix, rhs = system(shape)
    expected = reference_lsmr(matrix, rhs, damp=damping, atol=0, btol=0, conlim=0, maxiter=iterations)
    outcome = solve(matrix, rhs, limit=iterations, damping=damping)
    assert outcome.status is Status.LIMIT
    assert outcome.iterations == expected[2] == iterations
    np.testing.assert_allclose(outcome.x, expected[0], atol=1e-9 * np.abs(expected[0]).max())
    assert outcome.residuals[-1] == pytest.approx(expected[4] / np.linalg.norm(matrix.T @ rhs), rel=1e-6)


@pytest.mark.parametrize("shape", [_TALL, _WIDE])
def test_the_smallest_of_all_minimisers_is_found(shape: tuple[int, int]) -> None:
    matrix, rhs = system(shape)
    outcome = solve(matrix, rhs, tolerance=1e-10)
    assert outcome.status is Status.CONVERGED
    expected = np.linalg.lstsq(matrix, rhs)[0]
    np.testing.assert_allclose(outcome.x, expected, atol=1e-6 * np.abs(expected).max())


def test_damping_is_that_of_the_normal_equations() -> None:
    matrix, rhs = system(_TALL)
    expected = np.linalg.solve(matrix.T @ matrix + 4.0 * np.eye(25), matrix.T @ rhs)
    outcome = solve(matrix, rhs, tolerance=1e-10, damping=2.0)
    np.testing.assert_allclose(outcome.x, expected, atol=1e-7 * np.abs(expected).max())


def test_the_residual_that_stops_is_the_true_one_and_falls_in_every_iteration() -> None:
    matrix, rhs = system(_TALL)
    outcome = solve(matrix, rhs, tolerance=0.01, damping=1.0)
    x = outcome.x.numpy()
    residual = matrix.T @ (rhs - matrix @ x) - x
    assert outcome.residuals[-1] <= 0.01 < outcome.residuals[-2]
    assert outcome.residuals[-1] == pytest.approx(np.linalg.norm(residual) / np.linalg.norm(matrix.T @ rhs), rel=1e-8)
    assert np.all(np.diff(outcome.residuals) < 0)


def test_complex_unknowns_count_as_two_real_ones() -> None:
    rng = np.random.default_rng(12)
    matrix = torch.from_numpy(rng.standard_normal((30, 8)) + 1j * rng.standard_normal((30, 8)))
    rhs = torch.from_numpy(rng.standard_normal(30))
    outcome = lsmr(lambda x: (matrix @ x).real.clone(), lambda u: matrix.conj().T @ (u + 0j), rhs, tolerance=1e-12,
                   most_iterations=100)  # fmt: skip
    real = np.hstack([matrix.real.numpy(), -matrix.imag.numpy()])
    expected = np.linalg.lstsq(real, rhs.numpy())[0]
    np.testing.assert_allclose(outcome.x, expected[:8] + 1j * expected[8:], atol=1e-10)


def test_single_precision_reaches_what_single_precision_can() -> None:
    matrix, rhs = system(_TALL, condition=10.0)
    operator, single = torch.from_numpy(matrix).float(), torch.from_numpy(rhs).float()
    outcome = lsmr(operator.mv, operator.T.mv, single, tolerance=1e-5, most_iterations=100)
    assert outcome.status is Status.CONVERGED
    np.testing.assert_allclose(outcome.x, np.linalg.lstsq(matrix, rhs)[0], atol=1e-4)


def test_arguments_stay_as_they_were() -> None:
    matrix, rhs = system(_TALL)
    kept = rhs.copy()
    solve(matrix, rhs, limit=3)
    np.testing.assert_array_equal(rhs, kept)


def test_nothing_to_solve_an_exact_end_and_a_breakdown() -> None:
    matrix, rhs = system(_TALL)
    for given in (np.zeros(40), rhs - matrix @ np.linalg.lstsq(matrix, rhs)[0]):
        nothing = solve(matrix, given, tolerance=1e-6)
        assert float(nothing.x.abs().max()) < 1e-12
    assert solve(matrix, np.zeros(40)).status is Status.CONVERGED
    exact = solve(np.eye(5), np.arange(5.0), tolerance=1e-12)
    assert (exact.status, exact.iterations) == (Status.CONVERGED, 1)
    np.testing.assert_allclose(exact.x, np.arange(5.0), atol=1e-14)
    broken = lsmr(lambda x: x * float("nan"), lambda u: u.clone(), torch.ones(4), tolerance=1e-6, most_iterations=5)
    assert broken.status is Status.BREAKDOWN
    assert torch.isfinite(broken.x).all()


def test_lsmr_can_be_cancelled() -> None:
    operator = torch.eye(4)
    with pytest.raises(CancelledError):
        lsmr(operator.mv, operator.mv, torch.ones(4), tolerance=0, most_iterations=9,
             report=Reporter(lambda status: False))  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64, torch.float64])
def test_the_fused_step_is_that_of_the_operators(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(4)
    fused = tuple(torch.randn(5, 6, 7, dtype=dtype, generator=generator) for _ in range(4))
    plain = tuple(one.clone() for one in fused)
    advance(fused, 0.7, 0.3, -1.2, 0.9)
    advance_by_operators(plain, 0.7, 0.3, -1.2, 0.9)
    for one, other in zip(fused, plain, strict=True):
        torch.testing.assert_close(one, other)
