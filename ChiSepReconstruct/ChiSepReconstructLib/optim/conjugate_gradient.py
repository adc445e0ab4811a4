"""Conjugate gradients for symmetric positive systems."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ChiSepPreprocessLib.progress import Reporter

from .inner_product import dot, follow, norm
from .outcome import Outcome, Status

if TYPE_CHECKING:
    from torch import Tensor

Linear = Callable[["Tensor"], "Tensor"]


def conjugate_gradient(
    apply: Linear,
    rhs: Tensor,
    start: Tensor | None = None,
    *,
    tolerance: float,
    most_iterations: int,
    precondition: Linear | None = None,
    report: Reporter | None = None,
    step: str = "conjugate gradients",
) -> Outcome:
    """Solve ``A x = b`` for a symmetric positive (semi-)definite ``A``.

    Parameters
    ----------
    apply : callable
        ``A``; must not change its argument.
    rhs : Tensor
        ``b``.
    start : Tensor, optional
        First iterate, zero if left out; not changed.
    tolerance : float
        Ends where ``‖A x − b‖ ≤ tolerance ‖b‖``.
    most_iterations : int
        Ends after so many.
    precondition : callable, optional
        Symmetric positive approximation of ``A⁻¹``.
    report : Reporter, optional
        Hears of every iteration; between them the loop can be cancelled.
    step : str
        Name of the step, for the report.

    Returns
    -------
    Outcome
        Residuals are ``‖A x − b‖ / ‖b‖``, of the recurrence. Each iterate is the best of all so far in the norm of
        ``A``, which the method makes smaller in every step.

    Raises
    ------
    CancelledError
        If the caller asked to stop.

    References
    ----------
    Hestenes & Stiefel, J Res Natl Bur Stand 49:409 (1952).
    """
    report, scale = report or Reporter(), norm(rhs)
    x = rhs.new_zeros(rhs.shape) if start is None else start.clone()
    if scale == 0:
        return Outcome(x.zero_(), Status.CONVERGED, ())
    residual = rhs.clone() if start is None else rhs - apply(x)
    improved = residual if precondition is None else precondition(residual)
    direction, power = improved.clone(), dot(residual, improved)
    residuals: list[float] = []
    if norm(residual) <= tolerance * scale:
        return Outcome(x, Status.CONVERGED, ())
    while len(residuals) < most_iterations:
        image = apply(direction)
        curvature = dot(direction, image)
        if not 0 < curvature < float("inf"):
            return Outcome(x, Status.BREAKDOWN, tuple(residuals))
        x.add_(direction, alpha=power / curvature)
        residual.sub_(image, alpha=power / curvature)
        residuals.append(norm(residual) / scale)
        report(step, len(residuals) / most_iterations)
        if residuals[-1] <= tolerance:
            return Outcome(x, Status.CONVERGED, tuple(residuals))
        improved = residual if precondition is None else precondition(residual)
        power, last = dot(residual, improved), power
        follow(direction, improved, power / last)
    return Outcome(x, Status.LIMIT, tuple(residuals))
