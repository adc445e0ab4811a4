"""χ-separation with field, R2′ and the edges of tissue in one objective."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import PAPER_FIELD_STRENGTH_T

from ..optim.conjugate_gradient import conjugate_gradient
from ..optim.outcome import Outcome
from ..optim.outer import repeat_until_still
from ..physics.relaxivity import Relaxivity, RelaxivityOptions
from ..solution import Solution
from .closed_form import separate_maps
from .field_problem import FieldProblem, field_problem
from .medi import FLOOR_PPM_PER_MM, check_edges_and_iterations, check_regularisation, free_at_edges
from .qsm import QsmOptions

if TYPE_CHECKING:
    from torch import Tensor

#: Decay outside the trusted range weighs so much less.
_DISTRUST = 0.1

#: χ₊ − χ₋ is smoothed so much more than χ₊ and χ₋.
_TOTAL_SHARE = 2.0


@dataclass(frozen=True, kw_only=True)
class JointOptions:
    """Options of every method that fits field and decay in one objective.

    It minimises, over ``χ₊, χ₋ ≥ 0``,
    ``½‖W (D(χ₊ − χ₋) − f)‖² + ½ α² ‖W_r (r₊ χ₊ + r₋ χ₋ − s)‖² + λ (2 ‖M∇(χ₊ − χ₋)‖₁ + ‖M_s∇χ₊‖₁ + ‖M_s∇χ₋‖₁)``,
    where ``s`` is the decay divided by the mean of both relaxivities, in ppm, and ``r₊, r₋`` are their ratios to it.

    Parameters
    ----------
    regularisation_ppm_mm : float
        ``λ``, ppm·mm; the weights ``W`` have a mean of 1.
    decay_weight : float
        ``α``, weight of the decay's residual relative to the field's, both in ppm. Residuals in rad/s, as published,
        have 0.18; less was better on simulated heads, where errors of R2′ are not noise alone.
    edge_share : float
        Share of the differences of magnitude and of decay that count as edges, where ``M`` and ``M_s`` are 0.
    outer_iterations : int
        Of Gauss-Newton, at most.
    tolerance : float
        Ends where the relative change of both maps is smaller.
    inner_iterations : int
        Of conjugate gradients in each, at most.
    inner_tolerance : float
        Ends them where the residual of the correction has fallen to this share.
    padding : float
        Zeros added to each axis as a share of its length.
    qsm : QsmOptions
        The QSM from which the closed form makes the start.

    Raises
    ------
    InputError
        If an option is out of range.
    """

    regularisation_ppm_mm: float = 1e-4
    decay_weight: float = 0.1
    edge_share: float = 0.3
    outer_iterations: int = 30
    tolerance: float = 0.03
    inner_iterations: int = 40
    inner_tolerance: float = 0.1
    padding: float = 0.25
    qsm: QsmOptions = field(default_factory=lambda: QsmOptions(method="tkd"))

    def __post_init__(self) -> None:
        check_regularisation("χ-separation", self.regularisation_ppm_mm)
        if not 1e-3 <= self.decay_weight <= 1e3:
            raise InputError("weight of the decay", self.decay_weight, "0.001 to 1000")
        check_edges_and_iterations(self.edge_share, self.outer_iterations, self.inner_iterations)


@dataclass(frozen=True, kw_only=True)
class ChiSepMediOptions(JointOptions, RelaxivityOptions):
    """Options of χ-separation in the manner of MEDI: those of both bases, and where R2′ is trusted.

    Parameters
    ----------
    slow_per_s, fast_per_s : float
        At 2.893 T, scaled with B0, 1/s: where R2′ is below or above, it weighs a tenth.
    """

    slow_per_s: float = 1.0
    fast_per_s: float = 30.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.slow_per_s < self.fast_per_s:
            raise InputError("trusted range of R2′", f"{self.slow_per_s} to {self.fast_per_s} 1/s", "0 ≤ slow < fast")


@dataclass(frozen=True, eq=False)
class Decay:
    """The second equation, ``r₊ χ₊ + r₋ χ₋ = s``, in ppm.

    Parameters
    ----------
    rate_ppm : Tensor, shape (I, J, K)
        ``s``.
    weights : Tensor, shape (I, J, K)
        ``α W_r``.
    para, dia : float
        ``r₊`` and ``r₋``, with a mean of 1.
    """

    rate_ppm: Tensor
    weights: Tensor
    para: float
    dia: float

    def of(self, chi: Tensor) -> Tensor:
        """Decay of (χ₊, χ₋), (2, I, J, K) → (I, J, K)."""
        return (self.para * chi[0]).add_(chi[1], alpha=self.dia)


def decay_equation(problem: FieldProblem, rate_per_s: NDArray[np.float32], trusted: NDArray[np.bool_],
                   constants: Relaxivity, weight: float) -> Decay:  # fmt: skip
    """Divide a decay rate by the mean relaxivity; rates that are not trusted weigh a tenth."""
    mean = 0.5 * (constants.para_hz_per_ppm + constants.dia_hz_per_ppm)
    return Decay(
        rate_ppm=problem.tensor(rate_per_s) * problem.mask / mean,
        weights=problem.weights * problem.tensor(np.where(trusted, weight, _DISTRUST * weight)),
        para=constants.para_hz_per_ppm / mean,
        dia=constants.dia_hz_per_ppm / mean,
    )


def chi_sep_medi(
    problem: FieldProblem, decay: Decay, allowed: tuple[Tensor, Tensor], start: Tensor, options: JointOptions,
    report: Reporter | None = None,
) -> Outcome:  # fmt: skip
    """χ₊ and χ₋ by Gauss-Newton and lagged diffusivity, with negative values set to 0 after each outer iteration.

    Values at 0 that would become negative take no part in an iteration. Both maps share the convolutions, so that an
    iteration of conjugate gradients costs two of them (pairs of FFTs), as in MEDI.

    Parameters
    ----------
    problem : FieldProblem
        Field, weights, mask and dipole.
    decay : Decay
        Second equation.
    allowed : tuple of Tensor, each of shape (3, I, J, K)
        ``M`` and ``M_s``: 0 for differences that are free.
    start : Tensor, shape (2, I, J, K)
        First χ₊ and χ₋, ppm.
    options : JointOptions
        See there.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    Outcome
        χ₊ and χ₋ in ppm, (2, I, J, K), both ≥ 0.

    References
    ----------
    Shin et al., NeuroImage 240:118371 (2021); the residual of its phase is in rad/s, where α is
    ``D / (2π γ B0)`` = 0.18.
    """
    strength, dipole, differences = options.regularisation_ppm_mm, problem.dipole, problem.differences
    region, objective = problem.region, _Objective(problem, decay)
    given, rate = region.values(problem.field), region.values(decay.rate_ppm)

    def update(chi: Tensor, part: Reporter) -> Tensor:
        total = chi[0] - chi[1]
        lagged = (
            differences.lagged(region.volume(total), allowed[0], FLOOR_PPM_PER_MM).mul_(_TOTAL_SHARE * strength),
            *(differences.lagged(region.volume(one), allowed[1], FLOOR_PPM_PER_MM).mul_(strength) for one in chi),
        )
        misfit, miss = dipole(total, region=region).sub_(given), decay.of(chi).sub_(rate)
        downhill = objective.gradient(chi, misfit, miss, lagged).neg_()
        free = ((chi > 0) | (downhill > 0)).float()

        def hessian(x: Tensor) -> Tensor:
            total = x[0] - x[1]
            return objective.gradient(x, dipole(total, total, region), decay.of(x), lagged).mul_(free)

        inner = conjugate_gradient(hessian, free * downhill, tolerance=options.inner_tolerance, report=part,
                                   most_iterations=options.inner_iterations, step="χ-separation")  # fmt: skip
        return (chi + inner.x).clamp_min_(0.0)

    outcome = repeat_until_still(update, region.values(start), tolerance=options.tolerance,
                                 most_iterations=options.outer_iterations, report=report)  # fmt: skip
    return replace(outcome, x=region.volume(outcome.x))


class _Objective:
    """The objective with lagged weights, which is quadratic; on vectors of the region."""

    def __init__(self, problem: FieldProblem, decay: Decay) -> None:
        self._problem, self._decay, values = problem, decay, problem.region.values
        self._mask, self._field_weights = values(problem.mask), values(problem.weights).square_()
        self._decay_weights = values(decay.weights).square_()

    def gradient(self, x: Tensor, misfit: Tensor, miss: Tensor, lagged: tuple[Tensor, ...]) -> Tensor:
        """At (χ₊, χ₋), from the residuals of field and decay, which are changed."""
        import torch

        problem, decay, region = self._problem, self._decay, self._problem.region
        smooth = problem.differences.normal
        along = problem.dipole(misfit.mul_(self._field_weights), misfit, region).mul_(self._mask)
        across, result = miss.mul_(self._decay_weights), torch.empty_like(x)
        along.add_(smooth(torch.sub(x[0], x[1], out=result[0]), lagged[0], result[1], region))
        smooth(x[0], lagged[1], result[0], region).add_(along).add_(across, alpha=decay.para)
        smooth(x[1], lagged[2], result[1], region).sub_(along).add_(across, alpha=decay.dia)
        return result


def separate_jointly(
    maps: MapSet, mask: NDArray[np.bool_], rate: str, trusted: NDArray[np.bool_], constants: Relaxivity,
    options: JointOptions, report: Reporter,
) -> Solution:  # fmt: skip
    """Closed form, then :func:`chi_sep_medi` from there.

    Parameters
    ----------
    rate : str
        Artifact that holds the decay rate, 1/s.
    trusted : ndarray of bool, shape (I, J, K)
        Elsewhere the rate weighs a tenth.
    constants : Relaxivity
        Of that rate.
    """
    start = separate_maps(maps, mask, rate, constants, options.qsm, report.span(0.0, 0.05))
    problem = field_problem(maps, mask, padding=options.padding)
    allowed, warnings = free_at_edges(maps, "magnitude", problem, options.edge_share)
    allowed_decay, _ = free_at_edges(maps, rate, problem, options.edge_share)
    decay = decay_equation(problem, maps.array(rate), trusted, constants, options.decay_weight)
    first = problem.tensor(np.stack([start.maps["chi_para"], start.maps["chi_dia"]]))
    outcome = chi_sep_medi(problem, decay, (allowed, allowed_decay), first, options, report.span(0.05, 1.0))
    para, dia = outcome.x.cpu().numpy()
    record = {"reference_of_start": start.record["reference"], "relaxivity": asdict(constants),
              "weighted_by": problem.weighted_by, "solver": outcome.record()}  # fmt: skip
    return Solution({"chi_total": para - dia, "chi_para": para, "chi_dia": dia}, record,
                    (*warnings, *outcome.warnings("χ-separation"), *start.warnings))  # fmt: skip


def run(maps: MapSet, mask: NDArray[np.bool_], options: ChiSepMediOptions, report: Reporter) -> Solution:
    """χ-separation from R2′. Zero is where R2′ is 0, so that χ₊ − χ₋ needs no reference region of its own."""
    constants = options.constants(maps.scan)
    rate, scale = maps.array("r2prime"), constants.field_strength_t / PAPER_FIELD_STRENGTH_T
    trusted = (rate >= options.slow_per_s * scale) & (rate <= options.fast_per_s * scale)
    return separate_jointly(maps, mask, "r2prime", trusted, constants, options, report)
