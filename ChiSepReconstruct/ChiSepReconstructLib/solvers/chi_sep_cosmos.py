r"""χ-separation from several head orientations: non-negative sources that explain all fields and R2′.

With ppm for both residuals, :math:`a_\pm = D_\pm/\bar D` and :math:`\bar D = (D_+ + D_-)/2`, it minimises over
:math:`p, n \ge 0`

.. math:: \tfrac12 \sum_i \|W_i (D_i (p - n) - f_i)\|^2 + \tfrac\lambda2 \sum_i \|W_i (a_+ p + a_- n - r_i)\|^2,
   \qquad r_i = R_{2,i}'/\bar D.

The second sum is, up to a constant, :math:`\tfrac12 \rho (a_+ p + a_- n - r)^2` in each voxel with
:math:`\rho = \lambda \sum W_i^2` and the weighted mean :math:`r`. For a given :math:`\chi = p - n` the best
non-negative pair has :math:`a_+ p + a_- n = \max(r, a_+ \chi, -a_- \chi)`, so that the problem is one of χ alone,
convex and without constraints:

.. math:: \min_\chi \tfrac12 \sum_i \|W_i (D_i \chi - f_i)\|^2
   + \tfrac12 \|\sqrt\rho \max(0, a_+ \chi - r, -a_- \chi - r)\|^2.

Where R2′ leaves room for χ everywhere, the solution is COSMOS, and the sources are the closed form.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter

from ..masks.reference import reference_in
from ..optim.conjugate_gradient import conjugate_gradient
from ..optim.outcome import Outcome
from ..optim.outer import repeat_until_still
from ..physics.operators import as_tensor
from ..physics.relaxivity import Relaxivity, RelaxivityOptions
from ..solution import Solution
from .cosmos import CosmosOptions, conditioning, solve
from .orientations import OrientedProblem, each_orientation, oriented_problem

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ChiSepCosmosOptions(RelaxivityOptions):
    """Options of χ-separation from several orientations, with those of every method that explains R2′.

    Parameters
    ----------
    relaxivity : str
        The default was measured against COSMOS.
    relaxation_weight : float
        ``λ``: what a squared residual of R2′ counts against one of the field, both in ppm.
    outer_iterations : int
        Of Newton's method, at most.
    cosmos : CosmosOptions
        Of the start; its tolerance, here of the objective's gradient relative to ``Σ Dᵢ Wᵢ² fᵢ``, and its iterations
        also hold for each step of Newton's method.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    relaxivity: str = "kim2025"
    relaxation_weight: float = 1.0
    outer_iterations: int = 10
    cosmos: CosmosOptions = field(default_factory=CosmosOptions)

    def __post_init__(self) -> None:
        if not 0.0 < self.relaxation_weight <= 1e6:
            raise InputError("weight of R2′", self.relaxation_weight, "a positive number")
        if not self.outer_iterations >= 1:
            raise InputError("iterations of χ-separation", self.outer_iterations, "1 or more")


@dataclass(frozen=True, eq=False)
class Relaxation:
    """What R2′ of all orientations says about the sources.

    Parameters
    ----------
    para, dia : float
        ``a₊``, ``a₋``, with a mean of 1.
    mean : Tensor, shape (I, J, K)
        ``r``, R2′ in ppm.
    weight : Tensor, shape (I, J, K)
        ``ρ``.
    """

    para: float
    dia: float
    mean: Tensor
    weight: Tensor

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Least and largest χ that R2′ leaves room for, ppm."""
        return self.mean / -self.dia, self.mean / self.para

    def sources(self, chi: Tensor) -> tuple[Tensor, Tensor]:
        """Best ``p`` and ``n`` for a given ``χ = p − n``, both ≥ 0, ppm."""
        import torch

        total = torch.maximum(self.mean, torch.maximum(self.para * chi, -self.dia * chi))
        span = self.para + self.dia
        return ((total + self.dia * chi) / span).clamp_min(0.0), ((total - self.para * chi) / span).clamp_min(0.0)


def relaxation(maps: MapSet, problem: OrientedProblem, constants: Relaxivity, weight: float) -> Relaxation:
    """R2′ of all orientations in one volume, weighted as the fields are."""
    scale = 0.5 * (constants.para_hz_per_ppm + constants.dia_hz_per_ppm)
    total, mean = problem.mask * 0, problem.mask * 0
    for one, weights in zip(each_orientation(maps), problem.weights, strict=True):
        square = weights.square()
        total += square
        mean += square * as_tensor(one.array("r2prime") / scale, str(square.device))
    mean = mean.div_(total.clamp_min(1e-12))
    return Relaxation(constants.para_hz_per_ppm / scale, constants.dia_hz_per_ppm / scale, mean, total * weight)


def separate_jointly(
    problem: OrientedProblem, rates: Relaxation, start: Tensor, options: ChiSepCosmosOptions,
    report: Reporter | None = None, *, offset_ppm: float = 0.0,
) -> Outcome:  # fmt: skip
    """χ of the module's objective by Newton's method, which solves anew with the bounds that are overstepped.

    It ends at a χ whose gradient is small. An application of the Hessian takes one FFT pair more than there are
    orientations; with noise, Newton's method takes about 4 steps and 20 applications in all.

    Parameters
    ----------
    problem : OrientedProblem
        Fields, weights and dipoles.
    rates : Relaxation
        R2′.
    start : Tensor, shape (I, J, K)
        χ in ppm, such as that of COSMOS.
    options : ChiSepCosmosOptions
        See there.
    report : Reporter, optional
        For progress and cancelling.
    offset_ppm : float
        What was taken off χ inside the mask to reference it. The fields are not asked again for this: what they say
        of a uniform brain went with the background field.

    Returns
    -------
    Outcome
        χ in ppm; residuals are relative changes, of which the last is 0 where it converged.

    References
    ----------
    Shin et al., NeuroImage 240:118371 (2021), the objective; Kim et al. 2025 (χ-sepnet), several orientations.
    """
    (least, largest), fields = rates.bounds(), problem.weighted_fields()
    if offset_ppm:
        fields.sub_(problem.normal(problem.mask), alpha=offset_ppm)

    accuracy = options.cosmos.tolerance * float(fields.norm())

    def update(chi: Tensor, part: Reporter) -> Tensor:
        above = problem.mask * rates.weight * rates.para**2 * (chi > largest)
        below = problem.mask * rates.weight * rates.dia**2 * (chi < least)
        pull, pulled = above + below, fields + above * largest + below * least
        # At its first iterate the residual of this system is the objective's gradient.
        inner = conjugate_gradient(
            lambda x: problem.normal(x).addcmul_(pull, x), pulled, chi, step="χ-separation", report=part,
            tolerance=accuracy / max(float(pulled.norm()), 1e-30), most_iterations=options.cosmos.most_iterations,
        )  # fmt: skip
        return inner.x

    return repeat_until_still(update, start, tolerance=0.0, most_iterations=options.outer_iterations, report=report)


def run(maps: MapSet, mask: NDArray[np.bool_], options: ChiSepCosmosOptions, report: Reporter) -> Solution:
    """COSMOS of :class:`~.orientations.OrientedMaps`, referenced to CSF, then :func:`separate_jointly`.

    Where CSF is not found, R2′ and the fields alone set the zero.
    """
    constants, inner = options.constants(maps.scan), options.cosmos
    problem = oriented_problem(maps, mask, padding=inner.padding, least_angle_deg=inner.least_angle_deg)
    first = solve(problem, inner, report.span(0.0, 0.5))
    zero = _zero(maps, mask, first.x)
    rates = relaxation(maps, problem, constants, options.relaxation_weight)
    outcome = separate_jointly(problem, rates, first.x - zero["subtracted_ppm"] * problem.mask, options,
                               report.span(0.5, 1.0), offset_ppm=zero["subtracted_ppm"])  # fmt: skip
    para, dia = (one.mul_(problem.mask).cpu().numpy() for one in rates.sources(outcome.x))
    conditions, doubts = conditioning(problem, inner.least_mean_square)
    record = {"orientations": {**problem.record, **conditions}, "relaxivity": asdict(constants), "reference": zero,
              "cosmos": first.record(), "solver": outcome.record()}  # fmt: skip
    warnings = (*doubts, *first.warnings("COSMOS"), *outcome.warnings("χ-separation"))
    return Solution({"chi_total": para - dia, "chi_para": para, "chi_dia": dia}, record, warnings)


def _zero(maps: MapSet, mask: NDArray[np.bool_], chi: Tensor) -> dict[str, Any]:
    """Reference of COSMOS for the record; nothing is taken off where there is no CSF."""
    _, reference = reference_in(maps, mask, chi.cpu().numpy())
    if not reference.warnings:
        return reference.record()
    return {"region": "none; R2′ and the fields set the zero", "subtracted_ppm": 0.0}
