"""COSMOS: where one head orientation's dipole is blind, another's is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.options import check_choice
from ChiSepPreprocessLib.progress import Reporter

from ..optim.conjugate_gradient import conjugate_gradient
from ..optim.outcome import Outcome, Status
from ..physics.fourier import DEFAULT_PADDING
from ..solution import Solution, referenced_qsm
from .orientations import LEAST_ANGLE_DEG, OrientedProblem, oriented_problem

if TYPE_CHECKING:
    from torch import Tensor

#: How COSMOS is solved.
Way = Literal["weighted", "closed-form"]

#: Condition above which streaks must be expected; three turns of 15° have 9, two orientations hundreds.
_POOR_CONDITION = 20.0


@dataclass(frozen=True, kw_only=True)
class CosmosOptions:
    """Options of COSMOS, which minimises ``Σ ‖Wᵢ (Dᵢ χ − fᵢ)‖²`` over N orientations.

    Parameters
    ----------
    way : {"weighted", "closed-form"}
        Least squares with weights and masks of each field, or in one step in k-space, where each field counts the
        same and is taken for 0 outside its mask.
    least_mean_square : float
        Guard: where ``Σ Dᵢ² / N`` is smaller, this is divided by instead; dimensionless, below 4/9.
    least_angle_deg : float
        Two B0 directions closer than this in the head are refused, degrees.
    tolerance : float
        Relative residual of the normal equations at which conjugate gradients end.
    most_iterations : int
        Of conjugate gradients.
    padding : float
        Zeros added to each axis as a share of its length.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    way: str = "weighted"
    least_mean_square: float = 1e-3
    least_angle_deg: float = LEAST_ANGLE_DEG
    tolerance: float = 3e-4
    most_iterations: int = 50
    padding: float = DEFAULT_PADDING

    def __post_init__(self) -> None:
        check_choice("way of COSMOS", self.way, Way)
        if not 0.0 < self.least_mean_square < 4.0 / 9.0:
            raise InputError("guard of COSMOS", self.least_mean_square, "a value above 0 and below 4/9")
        if not 0.0 < self.tolerance < 1.0:
            raise InputError("tolerance of COSMOS", self.tolerance, "a value between 0 and 1")
        if not self.most_iterations >= 1:
            raise InputError("iterations of COSMOS", self.most_iterations, "1 or more")


def inverse_response(problem: OrientedProblem, least_mean_square: float) -> Tensor:
    """``1 / Σ Dᵢ²`` in k-space, with ``Σ Dᵢ²`` at least ``N`` times the guard; real and positive."""
    return (problem.mean_square_kernel().clamp_min(least_mean_square) * len(problem.kernels)).reciprocal_()


def cosmos_in_closed_form(problem: OrientedProblem, least_mean_square: float) -> Tensor:
    """``χ = F⁻¹[Σ Dᵢ F fᵢ / Σ Dᵢ²]``, by one FFT for each orientation and one more.

    Parameters
    ----------
    problem : OrientedProblem
        Its weights only tell where a field is valid; it is taken for 0 elsewhere.
    least_mean_square : float
        See :class:`CosmosOptions`.

    Returns
    -------
    Tensor, shape (I, J, K)
        ppm, up to a constant, 0 outside the mask.

    References
    ----------
    Liu et al., Magn Reson Med 61:196 (2009).
    """
    spectrum = problem.gathered(problem.fields).mul_(inverse_response(problem, least_mean_square))
    return problem.fourier.volume(spectrum) * problem.mask


def cosmos(problem: OrientedProblem, options: CosmosOptions, report: Reporter | None = None) -> Outcome:
    """Minimise ``Σ ‖Wᵢ (Dᵢ M χ − fᵢ)‖²`` by conjugate gradients from the closed form, which also preconditions.

    An iteration takes one FFT pair more than there are orientations, and one for the preconditioner.

    Parameters
    ----------
    problem : OrientedProblem
        Fields, weights and dipoles.
    options : CosmosOptions
        See there.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    Outcome
        χ in ppm, up to a constant, 0 outside the mask; residuals are those of the normal equations.

    References
    ----------
    Liu et al., Magn Reson Med 61:196 (2009).
    """
    inverse = inverse_response(problem, options.least_mean_square)

    def precondition(residual: Tensor) -> Tensor:
        return problem.fourier.volume(problem.fourier.spectrum(residual).mul_(inverse)) * problem.mask

    return conjugate_gradient(
        problem.normal, problem.weighted_fields(), cosmos_in_closed_form(problem, options.least_mean_square),
        tolerance=options.tolerance, most_iterations=options.most_iterations, precondition=precondition,
        report=report, step="COSMOS",
    )  # fmt: skip


def conditioning(problem: OrientedProblem, least_mean_square: float) -> tuple[dict[str, Any], tuple[str, ...]]:
    """How well the orientations determine χ in k-space, for the record, and what the user should know.

    ``condition`` is that of the stacked dipoles, ``√(max Σ Dᵢ² / min Σ Dᵢ²)``; ``guarded_share`` is the part of k-space
    below the guard. ``k = 0`` is left out, and so are the last frequencies of axes of even length, where the discrete
    dipole is not that of any direction.
    """
    import torch

    mean_square = problem.mean_square_kernel()
    for axis, (stored, length) in enumerate(zip(mean_square.shape, problem.fourier.padded_shape, strict=True)):
        kept = [index for index in range(stored) if 2 * index != length]
        mean_square = mean_square.index_select(axis, torch.tensor(kept, device=mean_square.device))
    values = mean_square.flatten()[1:]
    condition = float((values.max() / values.min().clamp_min(1e-12)).sqrt())
    guarded = float((values < least_mean_square).float().mean())
    record = {"condition": float(f"{condition:.4g}"), "guarded_share": float(f"{guarded:.2g}")}
    if condition <= _POOR_CONDITION:
        return record, ()
    return record, (f"The {len(problem.kernels)} head orientations leave parts of k-space nearly open (condition "
                    f"{condition:.3g}); expect streaks and noise. More or larger turns would help.",)  # fmt: skip


def solve(problem: OrientedProblem, options: CosmosOptions, report: Reporter) -> Outcome:
    """χ in the chosen way."""
    if options.way == "weighted":
        return cosmos(problem, options, report)
    report("COSMOS", 0.0)
    return Outcome(cosmos_in_closed_form(problem, options.least_mean_square), Status.CONVERGED, ())


def run(maps: MapSet, mask: NDArray[np.bool_], options: CosmosOptions, report: Reporter) -> Solution:
    """QSM by COSMOS from :class:`~.orientations.OrientedMaps`, referenced to CSF where it can be found."""
    problem = oriented_problem(maps, mask, padding=options.padding, least_angle_deg=options.least_angle_deg)
    outcome = solve(problem, options, report)
    conditions, doubts = conditioning(problem, options.least_mean_square)
    record = {"orientations": {**problem.record, **conditions}, "solver": outcome.record()}
    return referenced_qsm(maps, mask, outcome.x.cpu().numpy(), warnings=(*doubts, *outcome.warnings("COSMOS")),
                          record=record)  # fmt: skip
