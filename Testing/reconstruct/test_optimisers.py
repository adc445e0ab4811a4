"""The shared iterations against direct solutions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ChiSepPreprocessLib.errors import CancelledError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.optim.conjugate_gradient import conjugate_gradient
from ChiSepReconstructLib.optim.outcome import Status
from ChiSepReconstructLib.optim.outer import repeat_until_still


def system(size: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(7)
    basis, _ = np.linalg.qr(rng.standard_normal((size, size)))
    matrix = basis * np.geomspace(1.0, 100.0, size) @ basis.T
    return torch.from_numpy(matrix).float(), torch.from_numpy(rng.standard_normal(size)).float()


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("preconditioned", [False, True])
def test_conjugate_gradients_against_a_direct_solution(warm: bool, preconditioned: bool) -> None:
    matrix, rhs = system()
    expected = torch.linalg.solve(matrix, rhs)
    start = expected + 0.1 if warm else None
    diagonal = matrix.diagonal()
    outcome = conjugate_gradient(matrix.mv, rhs, start, tolerance=1e-6, most_iterations=100,
                                 precondition=(lambda r: r / diagonal) if preconditioned else None)  # fmt: skip
    assert outcome.status is Status.CONVERGED
    assert float((outcome.x - expected).norm() / expected.norm()) < 1e-5
    assert outcome.residuals[-1] <= 1e-6 < outcome.residuals[-2]
    assert outcome.warnings("CG") == ()


def test_the_best_preconditioner_needs_one_iteration() -> None:
    matrix, rhs = system()
    inverse = torch.linalg.inv(matrix)
    outcome = conjugate_gradient(matrix.mv, rhs, tolerance=1e-4, most_iterations=5, precondition=inverse.mv)
    assert outcome.iterations == 1


def test_the_limit_is_told_with_the_history() -> None:
    matrix, rhs = system()
    outcome = conjugate_gradient(matrix.mv, rhs, tolerance=1e-6, most_iterations=4)
    assert outcome.status is Status.LIMIT
    assert outcome.record()["iterations"] == len(outcome.residuals) == 4
    assert "4 iterations at a relative residual of" in outcome.warnings("CG")[0]


def test_nothing_to_solve_and_an_indefinite_matrix() -> None:
    matrix, rhs = system()
    nothing = conjugate_gradient(matrix.mv, torch.zeros(30), tolerance=1e-6, most_iterations=9)
    assert nothing.status is Status.CONVERGED
    assert not nothing.x.any()
    broken = conjugate_gradient(lambda x: -matrix.mv(x), rhs, tolerance=1e-6, most_iterations=9)
    assert broken.status is Status.BREAKDOWN
    assert torch.isfinite(broken.x).all()


def test_conjugate_gradients_can_be_cancelled() -> None:
    matrix, rhs = system()
    with pytest.raises(CancelledError):
        conjugate_gradient(matrix.mv, rhs, tolerance=0, most_iterations=9, report=Reporter(lambda status: False))


def test_outer_iteration_ends_where_little_changes() -> None:
    # Heron's road to the root of 2.
    outcome = repeat_until_still(lambda x, report: (x + 2 / x) / 2, torch.tensor([1.0]), tolerance=1e-3,
                                 most_iterations=9)  # fmt: skip
    assert outcome.status is Status.CONVERGED
    assert outcome.iterations == 4
    assert float(outcome.x) == pytest.approx(2**0.5, abs=1e-6)
    short = repeat_until_still(lambda x, report: x + 1, torch.tensor([1.0]), tolerance=1e-3, most_iterations=3)
    assert short.status is Status.LIMIT
    broken = repeat_until_still(lambda x, report: x * float("nan"), torch.tensor([1.0]), tolerance=1, most_iterations=3)
    assert broken.status is Status.BREAKDOWN
    assert float(broken.x) == 1.0
