"""QSM by the rapid two-step method: solve where k-space is well conditioned, complete it by total variation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter

from ..optim.admm import TotalVariationSplit, inverse_spectrum
from ..optim.conjugate_residual import conjugate_residual
from ..optim.outcome import Outcome
from ..optim.outer import repeat_until_still
from ..physics.region import Box
from ..solution import Solution, referenced_qsm
from .field_problem import FieldProblem, field_problem

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class RtsOptions:
    """Options of the rapid two-step method.

    First few iterations on ``½‖W (Dχ₀ − f)‖²``, which determine χ₀ where ``|D|`` is large. Then the minimum of
    ``½‖C F (χ − χ₀)‖² + λ ‖∇χ‖₁ + ½ (λ/τ) ‖∇χ‖²_outside`` with ``C`` = 1 where ``|D| > δ``, else 0; ``outside`` are
    all differences that are not between two voxels of the mask.

    Parameters
    ----------
    threshold : float
        ``δ``, dimensionless, above 0 and below 2/3.
    inversion_iterations : int
        Of the first step. It is stopped early: more of them let noise in.
    inversion_tolerance : float
        Ends the first step where the relative gradient is smaller.
    regularisation_ppm_mm : float
        ``λ``, ppm·mm. Small, so that the second step hardly changes what the first determined.
    shrinkage_ppm_per_mm : float
        ``τ``: gradients shorter than this are shrunk to zero in each iteration. It sets ADMM's penalty, ``λ/τ``.
    iterations : int
        Of the second step, at most.
    tolerance : float
        Ends the second step where the relative change of χ is smaller.
    padding : float
        Zeros added to each axis as a share of its length.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    threshold: float = 0.08
    inversion_iterations: int = 12
    inversion_tolerance: float = 1e-2
    regularisation_ppm_mm: float = 1e-4
    shrinkage_ppm_per_mm: float = 0.01
    iterations: int = 12
    tolerance: float = 1e-2
    padding: float = 0.25

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 2 / 3:
            raise InputError("threshold of RTS", self.threshold, "a value above 0 and below 2/3")
        if not 0 < self.regularisation_ppm_mm <= 100:
            raise InputError("regularisation of RTS", f"{self.regularisation_ppm_mm} ppm·mm", "above 0, up to 100")
        if not 0 < self.shrinkage_ppm_per_mm <= 100:
            raise InputError("shrinkage of RTS", f"{self.shrinkage_ppm_per_mm} ppm/mm", "above 0, up to 100")
        if min(self.inversion_iterations, self.iterations) < 1:
            raise InputError("iterations of RTS", min(self.inversion_iterations, self.iterations), "1 or more")


def well_conditioned(problem: FieldProblem, options: RtsOptions, report: Reporter | None = None) -> Outcome:
    """First step: χ₀'s spectrum by conjugate residuals, stopped early; one FFT pair for each iteration.

    Parameters
    ----------
    problem : FieldProblem
        Field, weights and dipole.
    options : RtsOptions
        See there.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    Outcome
        ``F χ₀`` in ppm, in the layout of ``rfftn`` of the padded grid.
    """
    import torch

    fourier, kernel, region = problem.dipole.fourier, problem.dipole.kernel, problem.region
    squared, weights, field = kernel.square(), region.values(problem.weights).square_(), region.values(problem.field)
    outcome = conjugate_residual(lambda image, out: torch.mul(image, weights, out=out),
                                 lambda y, out: fourier.filtered(y, squared, out, region), weights * field,
                                 tolerance=options.inversion_tolerance, most_iterations=options.inversion_iterations,
                                 report=report, step="inversion")  # fmt: skip
    return Outcome(fourier.spectrum(outcome.x, region).mul_(kernel), outcome.status, outcome.residuals)


def complete(problem: FieldProblem, known: Tensor, options: RtsOptions, report: Reporter | None = None) -> Outcome:
    """Second step: total variation where the dipole is small, by ADMM; one FFT pair for each iteration.

    Parameters
    ----------
    problem : FieldProblem
        Mask and dipole.
    known : Tensor
        ``F χ₀`` in ppm, in the layout of ``rfftn`` of the padded grid.
    options : RtsOptions
        See there.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    Outcome
        χ in ppm, up to a constant; not masked.
    """
    import torch

    fourier, inside = problem.dipole.fourier, Box(problem.dipole.fourier.shape, problem.region.spans)
    penalty = options.regularisation_ppm_mm / options.shrinkage_ppm_per_mm
    split = TotalVariationSplit(problem.inside().to(torch.uint8), problem.differences, options.shrinkage_ppm_per_mm)
    trusted = (problem.dipole.kernel.abs() > options.threshold).float()
    inverse = inverse_spectrum(trusted, penalty, fourier, problem.differences.voxel_size_mm)
    share, constant = inverse * penalty, fourier.volume(known, trusted * inverse)

    def update(chi: Tensor, part: Reporter) -> Tensor:
        part("total variation", 0.0)
        return fourier.volume(fourier.spectrum(split(chi), inside), share).add_(constant)

    return repeat_until_still(update, problem.mask.new_zeros(problem.mask.shape), tolerance=options.tolerance,
                              most_iterations=options.iterations, report=report)  # fmt: skip


def rapid_two_step(
    problem: FieldProblem, options: RtsOptions, report: Reporter | None = None
) -> tuple[Outcome, Outcome]:
    """Both steps.

    Parameters
    ----------
    problem : FieldProblem
        Field, weights, mask and dipole.
    options : RtsOptions
        See there.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    first, second : Outcome
        Of :func:`well_conditioned` and :func:`complete`.

    References
    ----------
    Kames et al., NeuroImage 167:276 (2018).
    """
    report = report or Reporter()
    first = well_conditioned(problem, options, report.span(0.0, 0.3))
    return first, complete(problem, first.x, options, report.span(0.3, 1.0))


def run(maps: MapSet, mask: NDArray[np.bool_], options: RtsOptions, report: Reporter) -> Solution:
    """QSM by :func:`rapid_two_step`, referenced to CSF where it can be found."""
    problem = field_problem(maps, mask, padding=options.padding)
    first, second = rapid_two_step(problem, options, report)
    record = {"weighted_by": problem.weighted_by, "inversion": first.record(), "completion": second.record()}
    return referenced_qsm(maps, mask, (second.x * problem.mask).cpu().numpy(), record=record,
                          warnings=second.warnings("The completion of RTS"))  # fmt: skip
