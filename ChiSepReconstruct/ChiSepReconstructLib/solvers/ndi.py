"""QSM by nonlinear dipole inversion: fit the field's phase, and stop before noise is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter

from ..optim.inner_product import dot, follow
from ..optim.outcome import Outcome, Status
from ..solution import Solution, referenced_qsm
from .field_problem import FieldProblem, field_problem


@dataclass(frozen=True, kw_only=True)
class NdiOptions:
    """Options of nonlinear dipole inversion; ``½‖W (exp iκf − exp iκDχ)‖² / κ² + ½ β ‖χ‖²`` is made smaller.

    Dividing by ``κ²`` gives all terms in ppm, and the linear data term where the misfit is small; where it is large,
    the phase has wrapped or is wrong, and counts less.

    Parameters
    ----------
    phase_time_s : float
        Echo time at which the field counts as phase, s: ``κ`` = 2π · imaging frequency · this, rad/ppm.
    iterations : int
        Of conjugate gradients. Without ``β`` stopping early is what regularises: more of them let noise and streaks in.
    tikhonov : float
        ``β``, dimensionless; the weights ``W`` have a mean of 1. If above 0, the iterations run to convergence.
    tolerance : float
        Ends where the gradient is smaller by this factor than at the start.
    padding : float
        Zeros added to each axis as a share of its length.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    phase_time_s: float = 0.02
    iterations: int = 10
    tikhonov: float = 0.0
    tolerance: float = 1e-3
    padding: float = 0.25

    def __post_init__(self) -> None:
        if not 0 < self.phase_time_s <= 1:
            raise InputError("phase time of NDI", f"{self.phase_time_s} s", "a time above 0 and up to 1 s")
        if not 0 <= self.tikhonov <= 100:
            raise InputError("Tikhonov weight of NDI", self.tikhonov, "a number from 0 to 100")
        if self.iterations < 1:
            raise InputError("iterations of NDI", self.iterations, "1 or more")


def nonlinear_inversion(
    problem: FieldProblem, radians_per_ppm: float, options: NdiOptions, report: Reporter | None = None
) -> Outcome:
    """χ by nonlinear conjugate gradients (Polak-Ribière); one FFT pair per iteration.

    The published gradient descent comes to the same answers with about ten times the iterations and twice the
    transforms in each. The step along a direction is the minimum of a parabola that lies above the objective, as no
    curvature of the cosine is above 1: so no step overshoots, and no search is needed.

    All directions in which χ moves are dipole fields of something inside the mask, as the gradient is. That, of which
    ``D²`` makes the change of χ's field, is what is iterated, in rad: ``χ = D y / κ``.

    Parameters
    ----------
    problem : FieldProblem
        Field, weights, mask and dipole.
    radians_per_ppm : float
        ``κ``.
    options : NdiOptions
        See there.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    Outcome
        χ in ppm, up to a constant; not masked. Residuals are norms of the gradient, relative to the first.

    References
    ----------
    Polak et al., NMR Biomed 33:e4271 (2020).
    """
    import torch

    report, kappa = report or Reporter(), radians_per_ppm
    fourier, region, power_of_dipole = problem.dipole.fourier, problem.region, problem.dipole.kernel.square()
    weights, misfit = region.values(problem.weights).square_(), region.values(problem.field).mul_(kappa)
    y, pull, field, last = (torch.zeros_like(misfit) for _ in range(4))

    def fall() -> float:
        """Renew ``W² sin(κf − Dχ) − βy``, of which ``D`` makes minus the gradient, and its field; give its power."""
        torch.sin(misfit, out=pull).mul_(weights)
        if options.tikhonov:
            pull.sub_(y, alpha=options.tikhonov)
        return dot(pull, fourier.filtered(pull, power_of_dipole, field, region))

    power = first = fall()
    direction, image, goal = pull.clone(), field.clone(), options.tolerance**2 * power
    norms: list[float] = []
    while power > goal and len(norms) < options.iterations:
        curvature = dot(torch.mul(weights, image, out=last), image) + options.tikhonov * dot(direction, image)
        step = dot(pull, image) / curvature
        y.add_(direction, alpha=step)
        misfit.sub_(image, alpha=step)
        field, last = last, field
        power, power_before = fall(), power
        turn = max(0.0, (power - dot(pull, last)) / power_before)
        follow(direction, pull, turn)
        follow(image, field, turn)
        norms.append((power / first) ** 0.5)
        report("nonlinear inversion", len(norms) / options.iterations)
    status = Status.LIMIT if power > goal else Status.CONVERGED
    return Outcome(problem.dipole(region.volume(y)).div_(kappa), status, tuple(norms))


def run(maps: MapSet, mask: NDArray[np.bool_], options: NdiOptions, report: Reporter) -> Solution:
    """QSM by :func:`nonlinear_inversion`, referenced to CSF where it can be found."""
    problem = field_problem(maps, mask, padding=options.padding)
    radians_per_ppm = 2e-6 * pi * maps.scan.reference_frequency_hz * options.phase_time_s
    outcome = nonlinear_inversion(problem, radians_per_ppm, options, report)
    # Without the Tikhonov term, the limit of iterations is where it is meant to stop.
    warnings = outcome.warnings("Nonlinear dipole inversion") if options.tikhonov else ()
    return referenced_qsm(maps, mask, (outcome.x * problem.mask).cpu().numpy(), warnings=warnings,
                          record={"weighted_by": problem.weighted_by, "solver": outcome.record()})  # fmt: skip
