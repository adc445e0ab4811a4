"""Conjugate residuals, for least squares whose unknown is larger than the data, such as a padded spectrum."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ChiSepPreprocessLib.progress import Reporter

from .inner_product import dot, follow
from .outcome import Outcome, Status

if TYPE_CHECKING:
    from torch import Tensor

#: Writes what it makes of the first tensor into the second.
Into = Callable[["Tensor", "Tensor"], object]

#: How far rounding lets the residual of the recurrence be trusted.
_DEPTH = 1e-3

#: A fresh start that leaves more than this of the residual is the last.
_LEAST_GAIN = 0.5


def conjugate_residual(
    apply: Into,
    gram: Into,
    rhs: Tensor,
    *,
    tolerance: float,
    most_iterations: int,
    report: Reporter | None = None,
    step: str = "conjugate residuals",
) -> Outcome:
    """Solve ``Bᵀ L B X = Bᵀ g`` for ``X = Bᵀ y``, given ``L`` and ``B Bᵀ``; of several solutions, find the smallest.

    These are the normal equations of ``‖K B X − d‖²``, with ``L = Kᵀ K`` and ``g = Kᵀ d``. In exact arithmetic each
    iterate is that of LSMR, which is MINRES on the same equations: the residual that decides when to stop falls in
    every iteration, so that stopping early is safe. As ``X`` starts from 0, it and all residuals and directions stay
    images under ``Bᵀ``; here those of which they are images stand for them, which are as small as ``g``. To the system
    ``L z = g`` this is the method with ``B Bᵀ`` as preconditioner. Each iteration applies ``L`` and ``B Bᵀ`` once.

    Rounding parts the residual of the recurrence from the true one: each time it has fallen by a thousand, or can
    fall no more, what is left of ``g`` is computed afresh, and solved for likewise.

    Parameters
    ----------
    apply : callable
        ``L``, symmetric, positive semi-definite; writes ``L a`` into its second argument.
    gram : callable
        ``B Bᵀ``; likewise.
    rhs : Tensor
        ``g``.
    tolerance : float
        Ends where ``‖Bᵀ (g − L B X)‖ ≤ tolerance ‖Bᵀ g‖``.
    most_iterations : int
        Ends after so many.
    report : Reporter, optional
        Hears of every iteration; between them the loop can be cancelled.
    step : str
        Name of the step, for the report.

    Returns
    -------
    Outcome
        ``y``. Residuals are ``‖Bᵀ (g − L B X)‖ / ‖Bᵀ g‖``, of the recurrence.

    Raises
    ------
    CancelledError
        If the caller asked to stop.

    References
    ----------
    Stiefel, Comment Math Helv 29:157 (1955); Fong & Saunders, SIAM J Sci Comput 33:2950 (2011), LSMR.
    """
    report, residuals = report or Reporter(), list[float]()
    y, left, whole = rhs.new_zeros(rhs.shape), rhs, 0.0

    def tell(iterations: int) -> bool:
        done = len(residuals) + iterations
        report(step, done / most_iterations)
        return done < most_iterations

    while True:
        share = residuals[-1] if residuals else 1.0
        part = _descent(apply, gram, left, max(tolerance / share, _DEPTH), tell)
        if not part.residuals:
            return Outcome(y, Status.BREAKDOWN if part.first else Status.CONVERGED, tuple(residuals))
        whole = whole or part.first
        y.add_(part.y)
        residuals += [one * part.first / whole for one in part.residuals]
        if residuals[-1] <= tolerance:
            return Outcome(y, Status.CONVERGED, tuple(residuals))
        if len(residuals) >= most_iterations:
            return Outcome(y, Status.LIMIT, tuple(residuals))
        if residuals[-1] > _LEAST_GAIN * share:  # rounding is all that is left
            return Outcome(y, Status.BREAKDOWN, tuple(residuals))
        left = rhs - _applied(apply, _applied(gram, y))


class _Part(NamedTuple):
    """Solution, its right-hand side's norm, and the residuals relative to it."""

    y: Tensor
    first: float
    residuals: list[float]


def _applied(operator: Into, given: Tensor) -> Tensor:
    out = given.new_zeros(given.shape)
    operator(given, out)
    return out


def _descent(apply: Into, gram: Into, rhs: Tensor, tolerance: float, tell: Callable[[int], bool]) -> _Part:
    """The recurrence, until its residual is small enough, rounding lets it rise, or ``tell`` ends it."""
    y, residual, turned, residuals = rhs.new_zeros(rhs.shape), rhs.clone(), rhs.new_zeros(rhs.shape), list[float]()
    image = _applied(gram, residual)
    bent = _applied(apply, image)
    power, first = dot(image, bent), max(dot(residual, image), 0.0)
    direction, slope, going = residual.clone(), bent.clone(), first > 0
    while going:
        gram(slope, turned)
        length = power / dot(slope, turned) if power else 0.0
        if not 0 < length < float("inf"):
            break
        residual.sub_(slope, alpha=length)
        image.sub_(turned, alpha=length)
        square = dot(residual, image) / first
        if not 0 <= square < (residuals[-1] ** 2 if residuals else 1.0):
            break
        y.add_(direction, alpha=length)
        residuals.append(square**0.5)
        going = tell(len(residuals)) and residuals[-1] > tolerance
        if going:
            apply(image, bent)
            power, last = dot(image, bent), power
            follow(direction, residual, power / last)
            follow(slope, bent, power / last)
    return _Part(y, first**0.5, residuals)
