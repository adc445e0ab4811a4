"""LSMR: least squares with any linear operator, given with its adjoint."""

from __future__ import annotations

from collections.abc import Callable
from math import hypot
from typing import TYPE_CHECKING

from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.threads import in_slabs

from .inner_product import norm
from .outcome import Outcome, Status

if TYPE_CHECKING:
    from torch import Tensor

Linear = Callable[["Tensor"], "Tensor"]


def lsmr(
    apply: Linear,
    adjoint: Linear,
    rhs: Tensor,
    *,
    tolerance: float,
    most_iterations: int,
    damping: float = 0.0,
    report: Reporter | None = None,
    step: str = "LSMR",
) -> Outcome:
    """Minimise ``‖A x − b‖² + damping² ‖x‖²`` from ``x = 0``; of several minimisers, find the smallest.

    In exact arithmetic this is MINRES on ``(Aᵀ A + damping²) x = Aᵀ b``. It serves where papers use LSQR, which is
    conjugate gradients on the same system: both search the same spaces, but only here does the residual that decides
    when to stop fall in every iteration, so that stopping early is safe. Each iteration applies ``A`` and ``Aᵀ`` once.

    Parameters
    ----------
    apply : callable
        ``A``, linear; must give a new tensor and not change its argument.
    adjoint : callable
        ``Aᵀ``, for the real inner product. Where ``x`` is complex, real and imaginary parts count as two unknowns.
    rhs : Tensor
        ``b``.
    tolerance : float
        Ends where ``‖Aᵀ (b − A x) − damping² x‖ ≤ tolerance ‖Aᵀ b‖``.
    most_iterations : int
        Ends after so many.
    damping : float
        Weight of ``‖x‖``; 0 leaves it out.
    report : Reporter, optional
        Hears of every iteration; between them the loop can be cancelled.
    step : str
        Name of the step, for the report.

    Returns
    -------
    Outcome
        Residuals are ``‖Aᵀ (b − A x) − damping² x‖ / ‖Aᵀ b‖``, of the recurrence.

    Raises
    ------
    CancelledError
        If the caller asked to stop.

    References
    ----------
    Fong & Saunders, SIAM J Sci Comput 33:2950 (2011), section 2 and 5.1; the names are theirs.
    """
    report = report or Reporter()
    beta = norm(rhs)
    u = rhs / beta if beta else rhs.clone()
    v = adjoint(u)
    alpha = norm(v)
    x = v.new_zeros(v.shape)
    if alpha * beta == 0:
        return Outcome(x, Status.CONVERGED, ())
    v = v / alpha
    h, hbar = v.clone(), v.new_zeros(v.shape)
    alphabar, zetabar, scale = alpha, alpha * beta, alpha * beta
    rho, rhobar, cbar, sbar = 1.0, 1.0, 1.0, 0.0
    residuals: list[float] = []
    while len(residuals) < most_iterations:
        # Golub-Kahan bidiagonalisation: beta u = A v − alpha u, alpha v = Aᵀ u − beta v.
        u = apply(v).sub_(u, alpha=alpha)
        beta = _normalise(u)
        v = adjoint(u).sub_(v, alpha=beta)
        alpha = norm(v)
        # Two rotations turn the bidiagonal matrix into the triangular one of the normal equations.
        alphahat, rho_last, rhobar_last = hypot(alphabar, damping), rho, rhobar
        rho = hypot(alphahat, beta)
        c, s = alphahat / rho, beta / rho
        theta, alphabar = s * alpha, c * alpha
        thetabar, rhobar = sbar * rho, hypot(cbar * rho, theta)
        cbar, sbar = cbar * rho / rhobar, theta / rhobar
        zeta, zetabar = cbar * zetabar, -sbar * zetabar
        if not rhobar < float("inf"):
            return Outcome(x, Status.BREAKDOWN, tuple(residuals))
        advance((v, h, hbar, x), 1.0 / alpha if alpha else 1.0, thetabar * rho / (rho_last * rhobar_last),
                 zeta / (rho * rhobar), theta / rho)  # fmt: skip
        residuals.append(abs(zetabar) / scale)
        report(step, len(residuals) / most_iterations)
        if residuals[-1] <= tolerance:
            return Outcome(x, Status.CONVERGED, tuple(residuals))
    return Outcome(x, Status.LIMIT, tuple(residuals))


def _normalise(volume: Tensor) -> float:
    """Divide by the norm, in place, and return it; zero stays zero."""
    length = norm(volume)
    if length:
        volume.mul_(1.0 / length)
    return length


def advance(vectors: tuple[Tensor, ...], scale: float, back: float, step: float, turn: float) -> None:
    """``v ← scale v``, ``h̄ ← h − back h̄``, ``x ← x + step h̄``, ``h ← v − turn h`` for (v, h, h̄, x), in place."""
    if vectors[0].device.type != "cpu":
        advance_by_operators(vectors, scale, back, step, turn)
        return
    import torch

    from ._vector_kernels import advance_part

    flat = [(torch.view_as_real(one) if one.is_complex() else one).reshape(-1).numpy() for one in vectors]
    in_slabs(advance_part, flat[0].size, *flat[0].dtype.type((scale, back, step, turn)), *flat)


def advance_by_operators(vectors: tuple[Tensor, ...], scale: float, back: float, step: float, turn: float) -> None:
    """Do the same by operators on whole arrays, for devices without compiled loops."""
    v, h, hbar, x = vectors
    hbar.mul_(-back).add_(h)
    x.add_(hbar, alpha=step)
    h.mul_(-turn).add_(v.mul_(scale))
