"""Outer iterations: linearise, solve, and again until little changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ChiSepPreprocessLib.progress import Reporter

from .inner_product import norm
from .outcome import Outcome, Status

if TYPE_CHECKING:
    from torch import Tensor


def repeat_until_still(
    update: Callable[[Tensor, Reporter], Tensor],
    start: Tensor,
    *,
    tolerance: float,
    most_iterations: int,
    report: Reporter | None = None,
) -> Outcome:
    """Repeat ``x ← update(x)`` until ``‖Δx‖ ≤ tolerance ‖x‖``: Gauss-Newton, lagged diffusivity, ADMM.

    Parameters
    ----------
    update : callable
        Gives the next iterate, and reports within the span that it is handed; must not change its argument.
    start : Tensor
        First iterate.
    tolerance : float
        On the relative change.
    most_iterations : int
        Ends after so many.
    report : Reporter, optional
        Divided among the iterations.

    Returns
    -------
    Outcome
        Residuals are the relative changes. An iterate that is not finite ends the iteration at the one before.

    Raises
    ------
    CancelledError
        If the caller asked to stop.
    """
    import torch

    report, x = report or Reporter(), start
    changes: list[float] = []
    for number in range(most_iterations):
        part = report.span(number / most_iterations, (number + 1) / most_iterations)
        following = update(x, part)
        change = float(torch.dist(following, x)) / max(norm(following), 1e-30)
        if change != change:  # NaN
            return Outcome(x, Status.BREAKDOWN, tuple(changes))
        x = following
        changes.append(change)
        if change <= tolerance:
            return Outcome(x, Status.CONVERGED, tuple(changes))
    return Outcome(x, Status.LIMIT, tuple(changes))
