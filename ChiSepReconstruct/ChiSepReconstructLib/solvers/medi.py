"""Morphology-enabled dipole inversion: χ may change steeply where the magnitude does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import TWO_PI

from ..masks.reference import reference_region
from ..optim.conjugate_gradient import conjugate_gradient
from ..optim.outcome import Outcome
from ..optim.outer import repeat_until_still
from ..solution import Solution, referenced_qsm
from .field_problem import FieldProblem, edge_weights, field_problem

if TYPE_CHECKING:
    from torch import Tensor

#: Differences of χ below this count as this, ppm/mm; it makes the absolute value smooth at 0.
FLOOR_PPM_PER_MM = 1e-3

#: Residuals beyond so many standard deviations are taken for artefacts (MERIT).
_OUTLIER_DEVIATIONS = 6.0

#: No regularisation is meant to be larger, ppm·mm.
_LARGEST = 100.0


@dataclass(frozen=True, kw_only=True)
class MediOptions:
    """Options of MEDI; it minimises ``½‖W (Dχ − f)‖² + λ ‖M∇χ‖₁ + ½ λ_CSF ‖χ − mean χ‖²_CSF``.

    Parameters
    ----------
    regularisation_ppm_mm : float
        ``λ``, ppm·mm; the weights ``W`` have a mean of 1.
    csf_weight : float
        ``λ_CSF``, which makes ventricular CSF uniform (MEDI+0); 0 leaves it out.
    edge_share : float
        Share of the magnitude's differences that count as edges, where χ may change freely.
    nonlinear : bool
        Compare ``exp(iφ)`` of the phases over one echo spacing in place of the fields, so that wraps left in the
        field do no harm.
    merit : bool
        After each outer iteration, take weight from voxels whose residual exceeds six standard deviations. It also
        takes it from small strong sources that the magnitude does not show.
    outer_iterations : int
        Of Gauss-Newton, at most.
    tolerance : float
        Ends where the relative change of χ is smaller.
    inner_iterations : int
        Of conjugate gradients in each, at most.
    inner_tolerance : float
        Ends them where the residual of the correction has fallen to this share.
    padding : float
        Zeros added to each axis as a share of its length.

    Raises
    ------
    InputError
        If an option is out of range.
    """

    regularisation_ppm_mm: float = 1.5e-4
    csf_weight: float = 0.1
    edge_share: float = 0.3
    nonlinear: bool = True
    merit: bool = False
    outer_iterations: int = 20
    tolerance: float = 0.03
    inner_iterations: int = 40
    inner_tolerance: float = 0.3
    padding: float = 0.25

    def __post_init__(self) -> None:
        check_regularisation("MEDI", self.regularisation_ppm_mm)
        if not 0 <= self.csf_weight <= _LARGEST:
            raise InputError("weight of CSF", self.csf_weight, f"0 to {_LARGEST:.0f}")
        check_edges_and_iterations(self.edge_share, self.outer_iterations, self.inner_iterations)


def check_regularisation(method: str, value: float) -> None:
    """Hold a weight in ppm·mm against its range.

    Raises
    ------
    InputError
        If it is not positive, not finite or absurd.
    """
    if not 0 < value <= _LARGEST:
        raise InputError(f"regularisation of {method}", f"{value} ppm·mm", f"above 0, at most {_LARGEST:.0f}")


def check_edges_and_iterations(edge_share: float, outer_iterations: int, inner_iterations: int) -> None:
    """Hold the options that MEDI and its relatives share against their ranges.

    Raises
    ------
    InputError
        If one is out of range.
    """
    if not 0 <= edge_share < 1:
        raise InputError("share of edges", edge_share, "a share from 0 to below 1")
    if min(outer_iterations, inner_iterations) < 1:
        raise InputError("iterations", f"{outer_iterations} outer, {inner_iterations} inner", "1 or more")


def medi(
    problem: FieldProblem, allowed: Tensor, csf: Tensor, options: MediOptions, *,
    radians_per_ppm: float, report: Reporter | None = None,
) -> Outcome:  # fmt: skip
    """χ by Gauss-Newton and lagged diffusivity: each outer iteration solves for the correction of the last χ.

    An iteration of conjugate gradients costs two convolutions (pairs of FFTs), an outer iteration two more.

    Parameters
    ----------
    problem : FieldProblem
        Field, weights, mask and dipole.
    allowed : Tensor, shape (3, I, J, K)
        ``M``: 0 for differences that are free.
    csf : Tensor, shape (I, J, K)
        1 in ventricular CSF.
    options : MediOptions
        See there.
    radians_per_ppm : float
        Phase over one echo spacing, for the nonlinear term; see :func:`phase_over_echo_spacing`.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    Outcome
        χ in ppm, up to a constant.

    References
    ----------
    Liu et al., NeuroImage 59:2560 (2012), MEDI; Liu et al., Magn Reson Med 69:467 (2013), nonlinear term and MERIT;
    Liu et al., Magn Reson Med 79:2795 (2018), MEDI+0.
    """
    dipole, differences, region = problem.dipole, problem.differences, problem.region
    mask, given = region.values(problem.mask), region.values(problem.field)
    weights, fluid = region.values(problem.weights).square_(), region.values(csf).nonzero().squeeze(1)

    def update(chi: Tensor, part: Reporter) -> Tensor:
        lagged = differences.lagged(region.volume(chi), allowed, FLOOR_PPM_PER_MM).mul_(options.regularisation_ppm_mm)
        residual = given - dipole(chi, region=region)
        if options.nonlinear:
            residual.mul_(radians_per_ppm).sin_().div_(radians_per_ppm)

        def prior(x: Tensor) -> Tensor:
            return add_deviation(differences.normal(x, lagged, region=region), x, fluid, options.csf_weight)

        def hessian(x: Tensor) -> Tensor:
            field = dipole(x, region=region).mul_(weights)
            return dipole(field, field, region).mul_(mask).add_(prior(x))

        downhill = dipole(weights * residual, region=region).mul_(mask).sub_(prior(chi))
        inner = conjugate_gradient(hessian, downhill, tolerance=options.inner_tolerance,
                                   most_iterations=options.inner_iterations, report=part, step="MEDI")  # fmt: skip
        if options.merit:
            take_weight_from_outliers(weights, residual, mask)
        return chi + inner.x

    outcome = repeat_until_still(update, mask.new_zeros(mask.shape), tolerance=options.tolerance,
                                 most_iterations=options.outer_iterations, report=report)  # fmt: skip
    return replace(outcome, x=region.volume(outcome.x).clone())


def add_deviation(total: Tensor, x: Tensor, region: Tensor, weight: float) -> Tensor:
    """Add, in place, ``weight`` times what ``x`` differs by from its mean over a region's voxels, given by index.

    What is added is a projection of ``x``, so symmetric and its own square.
    """
    values = x[region]
    return total.index_add_(0, region, values - values.mean(), alpha=weight)


def take_weight_from_outliers(weights: Tensor, residual: Tensor, mask: Tensor) -> None:
    """Divide squared weights, in place, by ``(|r| / 6σ)⁴`` where a weighted residual ``r`` exceeds ``6σ`` (MERIT)."""
    weighted = residual.square() * weights
    limit = _OUTLIER_DEVIATIONS * (weighted.sum() / mask.sum()).sqrt()
    excess = weighted.sqrt_().div_(limit.clamp_min(1e-30)).clamp_min_(1.0)
    weights.div_(excess.pow_(4))


def phase_over_echo_spacing(scan: ScanParameters) -> float:
    """Radians for each ppm of field over the mean echo spacing, or over the echo time if there is only one echo."""
    times_s = scan.echo_times_s
    spacing_s = (times_s[-1] - times_s[0]) / (len(times_s) - 1) if len(times_s) > 1 else times_s[0]
    return TWO_PI * scan.reference_frequency_hz * 1e-6 * spacing_s


def free_at_edges(maps: MapSet, image: str, problem: FieldProblem, edge_share: float) -> tuple[Tensor, tuple[str, ...]]:
    """Weight of each difference, 0 at an image's edges; without that image no difference is free, with a warning."""
    if image in maps:
        return edge_weights(problem.tensor(maps.array(image)), problem.inside(), problem.differences, edge_share), ()
    warning = f"There is no {image} image, so edges of tissue are unknown; all of them are smoothed alike."
    return problem.inside(), (warning,)


def run(maps: MapSet, mask: NDArray[np.bool_], options: MediOptions, report: Reporter) -> Solution:
    """QSM by :func:`medi`, referenced to ventricular CSF, which the maps' CSF mask or R2* tells."""
    problem = field_problem(maps, mask, padding=options.padding)
    allowed, warnings = free_at_edges(maps, "magnitude", problem, options.edge_share)
    csf = problem.tensor(reference_region(maps)[0] & mask)
    outcome = medi(problem, allowed, csf, options, radians_per_ppm=phase_over_echo_spacing(maps.scan), report=report)
    return referenced_qsm(maps, mask, outcome.x.cpu().numpy(), warnings=(*warnings, *outcome.warnings("MEDI")),
                          record={"weighted_by": problem.weighted_by, "solver": outcome.record()})  # fmt: skip
