"""Refinement: a few steps from a separation that is right nearly everywhere towards what field and R2′ say.

Networks underestimate sources beyond the range of their training, such as haemorrhage and calcification (Kim et al.
2025, discussion); the field still has them. From any separation ``a₊, a₋``, the anchor, this minimises over
``χ₊, χ₋ ≥ 0``

``½‖W (D∗(χ₊ − χ₋) − f)‖² + ½ α² ‖W_r (r₊ χ₊ + r₋ χ₋ − s)‖² + Σ ρ(χ₊ − a₊) + Σ ρ(χ₋ − a₋)``,
``ρ(δ) = ½ μ c² log(1 + δ²/c²)``,

with the field ``f``, the decay ``s`` and the ratios ``r₊, r₋`` of :class:`~.solvers.chi_sep_medi.Decay`. The penalty
``ρ`` is that of errors with heavy tails (Student's t distribution). Where a correction ``δ`` is smaller than ``c`` it
costs ``½ μ δ²``, about as if it were noise of the anchor, so that corrections near the cone ``D = 0``, streaks, do not
pay; where it is larger the cost hardly grows, so that the few voxels of a source that the anchor missed are free. On
those few the field determines χ well.

Defaults come from simulated heads with spheres of 0.5 to 3 ppm, whose anchors were saturated at 0.25 ppm and off by 20
to 30 % elsewhere. Larger ``μ`` holds moderate sources back; smaller lets errors of background removal in. An anchor
that is right to a few percent loses by them either way. Where echoes leave no signal, at 3 ppm, the total of a source
comes back well, its spread over voxels less so.

Each step replaces ``ρ`` by the parabola ``½ μ δ² / (1 + δ₀²/c²)`` that touches it from above at the last correction
``δ₀`` (iteratively reweighted least squares), and goes on by conjugate gradients in the voxels that are not held at 0.
An iteration of those takes two convolutions (pairs of FFTs), and each step two more.

References
----------
Shin et al., NeuroImage 240:118371 (2021), for both data terms; Lange et al., J Am Stat Assoc 84:881 (1989), for least
squares under Student's t distribution.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet, check_volume
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import PAPER_FIELD_STRENGTH_T

from .optim.conjugate_gradient import conjugate_gradient
from .optim.inner_product import norm
from .optim.outcome import Outcome, Status
from .optim.outer import repeat_until_still
from .physics.relaxivity import Relaxivity, RelaxivityOptions
from .solvers.chi_sep_medi import Decay, decay_equation
from .solvers.field_problem import FieldProblem, field_problem

if TYPE_CHECKING:
    from torch import Tensor

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class RefinementOptions(RelaxivityOptions):
    """Options of :func:`refine`, with those of :class:`~.physics.relaxivity.RelaxivityOptions`.

    Parameters
    ----------
    relaxivity : str
        See the base; the default is the constant that the networks were trained with.
    anchor_weight : float
        ``μ``, weight of a small correction relative to the field's residual, both in ppm: the variance of the field's
        error over that of the anchor's.
    usual_error_ppm : float
        ``c``, ppm: corrections well above it are taken for sources that the anchor missed.
    decay_weight : float
        ``α``, weight of R2′'s residual relative to the field's, both in ppm; 0 leaves R2′ out.
    fast_per_s : float
        At 2.893 T, scaled with B0, 1/s: where R2′ is above, as in signal voids, it weighs a tenth.
    steps : int
        Reweightings, at most.
    tolerance : float
        Ends where the relative change of both maps is smaller.
    inner_iterations : int
        Of conjugate gradients in each step, at most.
    inner_tolerance : float
        Ends them where the residual of the correction has fallen to this share.
    padding : float
        Zeros added to each axis as a share of its length.

    Raises
    ------
    InputError
        If an option is out of range.
    """

    relaxivity: str = "kim2025"
    anchor_weight: float = 0.1
    usual_error_ppm: float = 0.03
    decay_weight: float = 0.1
    fast_per_s: float = 30.0
    steps: int = 8
    tolerance: float = 0.03
    inner_iterations: int = 10
    inner_tolerance: float = 0.1
    padding: float = 0.25

    def __post_init__(self) -> None:
        for name, value, least, most, unit in (
            ("weight of the anchor", self.anchor_weight, 1e-6, 1e6, ""),
            ("usual error of the anchor", self.usual_error_ppm, 1e-4, 1e3, " ppm"),
            ("weight of the decay", self.decay_weight, 0.0, 1e3, ""),
            ("fastest trusted R2′", self.fast_per_s, 1e-3, 1e6, " 1/s"),
            ("steps", self.steps, 1, 1000, ""),
            ("tolerance", self.tolerance, 0.0, 1.0, ""),
            ("inner iterations", self.inner_iterations, 1, 1000, ""),
            ("inner tolerance", self.inner_tolerance, 0.0, 1.0, ""),
        ):
            if not least <= value <= most:
                raise InputError(name, f"{value}{unit}", f"{least:g} to {most:g}{unit}")


@dataclass(frozen=True, eq=False)
class Refined:
    """What :func:`refine` gives.

    Parameters
    ----------
    chi_para, chi_dia : ndarray, float32, shape (I, J, K)
        ppm, both ≥ 0, 0 outside the mask.
    solver : Outcome
        Of the steps; its residuals are the relative changes of both maps.
    field_misfit, decay_misfit : tuple of float
        Weighted residual relative to the weighted data, before and after; the decay's is empty where it was left out.
    relaxivity : Relaxivity
        Constants used.
    weighted_by : str
        What the weights of the field were made of.
    """

    chi_para: Volume
    chi_dia: Volume
    solver: Outcome
    field_misfit: tuple[float, ...]
    decay_misfit: tuple[float, ...]
    relaxivity: Relaxivity
    weighted_by: str

    def record(self) -> dict[str, Any]:
        """JSON-ready, without the maps."""
        return {"solver": self.solver.record(), "field_misfit": list(self.field_misfit),
                "decay_misfit": list(self.decay_misfit), "relaxivity": asdict(self.relaxivity),
                "weighted_by": self.weighted_by}  # fmt: skip

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know; that a few steps do not converge is meant so."""
        return self.solver.warnings("Refinement") if self.solver.status is Status.BREAKDOWN else ()


def refine(
    maps: MapSet, mask: Mask, chi_para_ppm: NDArray[Any], chi_dia_ppm: NDArray[Any], options: RefinementOptions,
    report: Reporter | None = None,
) -> Refined:  # fmt: skip
    """Correct a separation where field and R2′ clearly contradict it; see the module for the objective.

    Parameters
    ----------
    maps : MapSet
        With ``local_field`` (ppm) and, unless it is left out, ``r2prime`` (1/s), measured or made by a network; the
        weights come from ``field_sigma``, else from ``magnitude``, as everywhere.
    mask : ndarray of bool, shape (I, J, K)
        The voxels to refine.
    chi_para_ppm, chi_dia_ppm : ndarray, shape (I, J, K)
        The anchor, ppm, both ≥ 0.
    options : RefinementOptions
        See there.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    Refined
        Maps and residuals.

    Raises
    ------
    InputError
        If a map is missing, or the mask or the anchor does not fit.
    CancelledError
        If the caller asked to stop.
    """
    anchors = _checked(maps, mask, chi_para_ppm, chi_dia_ppm)
    constants = options.constants(maps.scan)
    rate = maps.array("r2prime") if options.decay_weight else np.zeros(mask.shape, dtype=np.float32)
    trusted = rate <= options.fast_per_s * constants.field_strength_t / PAPER_FIELD_STRENGTH_T
    problem = field_problem(maps, mask, padding=options.padding)
    decay = decay_equation(problem, rate, trusted, constants, options.decay_weight)
    anchor = problem.tensor(anchors) * problem.mask
    outcome = refine_from(problem, decay, anchor, options, report)
    misfits = [_misfits(problem, decay, chi) for chi in (anchor, outcome.x)]
    chi_para, chi_dia = outcome.x.cpu().numpy()
    return Refined(chi_para, chi_dia, outcome, tuple(one[0] for one in misfits),
                   tuple(one[1] for one in misfits) if options.decay_weight else (), constants,
                   problem.weighted_by)  # fmt: skip


def _checked(maps: MapSet, mask: Mask, chi_para_ppm: NDArray[Any], chi_dia_ppm: NDArray[Any]) -> Volume:
    """Both maps of the anchor, (2, I, J, K), 0 outside the mask."""
    check_volume("mask", mask, maps.grid.shape)
    if mask.dtype != np.bool_ or not mask.any():
        raise InputError("mask", f"{mask.dtype} with {np.count_nonzero(mask)} voxels", "bool, with voxels inside")
    for name, data in (("chi_para to refine", chi_para_ppm), ("chi_dia to refine", chi_dia_ppm)):
        check_volume(name, data, maps.grid.shape)
        if data[mask].min() < 0:
            raise InputError(name, f"a minimum of {data[mask].min():.4g} ppm", "values ≥ 0",
                             "chi_dia is the magnitude of the diamagnetic part.")  # fmt: skip
    return np.stack([chi_para_ppm, chi_dia_ppm]).astype(np.float32)


def refine_from(
    problem: FieldProblem, decay: Decay, anchor: Tensor, options: RefinementOptions, report: Reporter | None = None
) -> Outcome:
    """χ₊ and χ₋, (2, I, J, K) in ppm, refined from an anchor of that shape, 0 outside the mask.

    Voxels at 0 that would become negative take no part in a step; after it, negative ones are set to 0.
    """
    objective = _Objective(problem, decay)

    def update(chi: Tensor, part: Reporter) -> Tensor:
        correction = chi - anchor
        hold = options.anchor_weight / (1 + (correction / options.usual_error_ppm).square())
        misfit, miss = problem.dipole(chi[0] - chi[1]).sub_(problem.field), decay.of(chi).sub_(decay.rate_ppm)
        downhill = objective.gradient(correction.mul_(hold), misfit, miss).neg_()
        free = (chi > 0) | (downhill > 0)

        def hessian(x: Tensor) -> Tensor:
            return objective.gradient(x * hold, problem.dipole(x[0] - x[1]), decay.of(x)).mul_(free)

        inner = conjugate_gradient(hessian, downhill.mul_(free), tolerance=options.inner_tolerance, report=part,
                                   most_iterations=options.inner_iterations, step="refinement")  # fmt: skip
        return (chi + inner.x).clamp_min_(0.0)

    return repeat_until_still(update, anchor, tolerance=options.tolerance, most_iterations=options.steps,
                              report=report)  # fmt: skip


class _Objective:
    """The data terms, which are quadratic."""

    def __init__(self, problem: FieldProblem, decay: Decay) -> None:
        self._problem, self._decay = problem, decay
        self._field_weights, self._decay_weights = problem.weights.square(), decay.weights.square()

    def gradient(self, pull: Tensor, misfit: Tensor, miss: Tensor) -> Tensor:
        """Of the whole, from the anchor's gradient and the residuals of field and decay, all of which are changed."""
        problem, decay = self._problem, self._decay
        along = problem.dipole(misfit.mul_(self._field_weights)).mul_(problem.mask)
        across = miss.mul_(self._decay_weights)
        pull[0].add_(along).add_(across, alpha=decay.para)
        pull[1].sub_(along).add_(across, alpha=decay.dia)
        return pull


def _misfits(problem: FieldProblem, decay: Decay, chi: Tensor) -> tuple[float, float]:
    """Weighted residuals of field and decay, relative to the weighted data."""
    misfit, miss = problem.dipole(chi[0] - chi[1]).sub_(problem.field), decay.of(chi).sub_(decay.rate_ppm)
    pairs = ((problem.weights, misfit, problem.field), (decay.weights, miss, decay.rate_ppm))
    of_field, of_decay = (norm(w * residual) / max(norm(w * data), 1e-30) for w, residual, data in pairs)
    return of_field, of_decay
