"""QSM by nonlinear dipole inversion: fit the field's phase, and stop before noise is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter

from ..masks.reference import reference_in
from ..optim.outcome import Outcome, Status
from .field_problem import FieldProblem, field_problem
from .solution import Solution

if TYPE_CHECKING:
    from torch import Tensor


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
    """χ by nonlinear conjugate gradients (Polak-Ribière); one FFT pair per iteration, as the unknown is a spectrum.

    The published gradient descent comes to the same answers with about ten times the iterations and twice the
    transforms in each. The step along a direction is the minimum of a parabola that lies above the objective, as no
    curvature of the cosine is above 1: so no step overshoots, and no search is needed.

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
    report, misfit = report or Reporter(), _PhaseMisfit(problem, radians_per_ppm, options.tikhonov)
    spectrum, error = misfit.zero(), -problem.field
    gradient = misfit.gradient(error, spectrum)
    direction, power = -gradient, misfit.dot(gradient, gradient)
    goal, first = options.tolerance**2 * power, power
    norms: list[float] = []
    while power > goal and len(norms) < options.iterations:
        image = misfit.field(direction)
        step = -misfit.dot(gradient, direction) / misfit.curvature(image, direction)
        spectrum.add_(direction, alpha=step)
        error.add_(image, alpha=step)
        last, gradient = gradient, misfit.gradient(error, spectrum)
        power, power_before = misfit.dot(gradient, gradient), power
        direction.mul_(max(0.0, (power - misfit.dot(gradient, last)) / power_before)).sub_(gradient)
        norms.append((power / first) ** 0.5)
        report("nonlinear inversion", len(norms) / options.iterations)
    status = Status.LIMIT if power > goal else Status.CONVERGED
    return Outcome(misfit.volume(spectrum), status, tuple(norms))


class _PhaseMisfit:
    """``½‖W (exp iκf − exp iκDχ)‖² / κ² + ½ β ‖χ‖²``, of the spectrum of χ on the padded grid."""

    def __init__(self, problem: FieldProblem, radians_per_ppm: float, tikhonov: float) -> None:
        self._kappa, self._tikhonov = radians_per_ppm, tikhonov
        self._weights, self._kernel = problem.weights.square(), problem.dipole.kernel + 0j
        self._shape = problem.dipole.padded_shape

    def zero(self) -> Tensor:
        return self._kernel.new_zeros(self._kernel.shape)

    def volume(self, spectrum: Tensor) -> Tensor:
        """On the mask's grid."""
        import torch

        i, j, k = self._weights.shape
        return torch.fft.irfftn(spectrum, s=self._shape)[:i, :j, :k]

    def field(self, spectrum: Tensor) -> Tensor:
        """``Dχ`` on the mask's grid."""
        return self.volume(spectrum * self._kernel)

    def gradient(self, error: Tensor, spectrum: Tensor) -> Tensor:
        """Spectrum of ``D W² sin(κe)/κ + βχ``, where ``e`` = ``Dχ − f``."""
        import torch

        slope = (error * self._kappa).sin_().mul_(self._weights).div_(self._kappa)
        gradient = torch.fft.rfftn(slope, s=self._shape).mul_(self._kernel)
        return gradient.add_(spectrum, alpha=self._tikhonov) if self._tikhonov else gradient

    def curvature(self, image: Tensor, direction: Tensor) -> float:
        """Upper bound of the second derivative along a direction, whose field is ``image``."""
        bound = float((self._weights * image.square()).sum())
        return bound + (self._tikhonov * self.dot(direction, direction) if self._tikhonov else 0.0)

    def dot(self, one: Tensor, other: Tensor) -> float:
        """Inner product of the volumes; each column but the self-conjugate stands for two."""
        import torch

        def real(first: Tensor, second: Tensor) -> float:
            return float(torch.dot(torch.view_as_real(first).reshape(-1), torch.view_as_real(second).reshape(-1)))

        total = 2 * real(one, other) - real(one[..., 0], other[..., 0])
        if self._shape[2] % 2 == 0:
            total -= real(one[..., -1], other[..., -1])
        return total / float(np.prod(self._shape))


def run(maps: MapSet, mask: NDArray[np.bool_], options: NdiOptions, report: Reporter) -> Solution:
    """QSM by :func:`nonlinear_inversion`, referenced to CSF where it can be found."""
    problem = field_problem(maps, mask, padding=options.padding)
    radians_per_ppm = 2e-6 * pi * maps.scan.reference_frequency_hz * options.phase_time_s
    outcome = nonlinear_inversion(problem, radians_per_ppm, options, report)
    chi, reference = reference_in(maps, mask, (outcome.x * problem.mask).cpu().numpy())
    record = {"reference": reference.record(), "weighted_by": problem.weighted_by, **outcome.record()}
    # Without the Tikhonov term, the limit of iterations is where it is meant to stop.
    warnings = outcome.warnings("Nonlinear dipole inversion") if options.tikhonov else ()
    return Solution({"chi_total": chi}, record, (*reference.warnings, *warnings))
