"""Separation from ΔR2* and the field together: constrained least squares, solved with conjugate gradients.

Re-implemented from the abstract, which says that much: ΔR2* and the field, a magnitude decay kernel ``D_m`` in the
regime of static dephasing, a constrained minimisation, conjugate gradients. Not to be known from public sources, and
assumed here: the constraint is that no source is negative, kept by projection between runs of conjugate gradients; ΔR2*
is R2′ where that was measured, else R2* above one rate for all tissue; the weight between both terms, and a quadratic
smoothness term. The ``D_m`` of the paper is that of a phantom; the default here is one of tissue.

In ``t = χ₊ + χ₋`` and ``χ = χ₊ − χ₋`` the terms decouple, and the constraint reads ``|χ| ≤ t``: decay bounds what the
field, where it says little, leaves open.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter

from ..optim.conjugate_gradient import conjugate_gradient
from ..optim.outcome import Outcome
from ..optim.outer import repeat_until_still
from ..physics.relaxivity import RelaxivityOptions
from ..solution import Solution
from .field_problem import FieldProblem, field_problem

if TYPE_CHECKING:
    from torch import Tensor

_LARGEST = 1e3

#: Conjugate gradients end where the residual has fallen to this share.
_INNER_TOLERANCE = 0.03


@dataclass(frozen=True, kw_only=True)
class EmmerichOptions(RelaxivityOptions):
    """Options of the separation by ΔR2* and field, with those of :class:`~..physics.relaxivity.RelaxivityOptions`.

    It minimises, over ``χ₊, χ₋ ≥ 0``,
    ``½‖W (D(χ₊ − χ₋) − f)‖² + ½ α² ‖χ₊ + χ₋ − ΔR2*/D_m‖² + ½ β² (‖∇χ₊‖² + ‖∇χ₋‖²)``.

    Parameters
    ----------
    decay_weight : float
        ``α``, weight of the residual of ΔR2*, in ppm, relative to the field's.
    smoothness_mm : float
        ``β`` in mm; 0 leaves the term out.
    baseline_per_s : float
        Rate that R2* has without sources, 1/s, taken where there is no R2′.
    outer_iterations : int
        Of projection, at most.
    tolerance : float
        Ends where the relative change of both maps is smaller.
    inner_iterations : int
        Of conjugate gradients between two projections, at most.
    padding : float
        Zeros added to each axis as a share of its length.

    Raises
    ------
    InputError
        If an option is out of range.
    """

    decay_weight: float = 0.2
    smoothness_mm: float = 0.1
    baseline_per_s: float = 13.0
    outer_iterations: int = 15
    tolerance: float = 0.01
    inner_iterations: int = 10
    padding: float = 0.25

    def __post_init__(self) -> None:
        if not (0 < self.decay_weight <= _LARGEST and 0 <= self.smoothness_mm <= _LARGEST):
            raise InputError("weights of decay and smoothness", f"{self.decay_weight} and {self.smoothness_mm} mm",
                             f"above 0, and 0 or more, at most {_LARGEST:.0f}")  # fmt: skip
        if not 0 <= self.baseline_per_s <= _LARGEST:
            raise InputError("baseline of R2*", f"{self.baseline_per_s} 1/s", f"0 to {_LARGEST:.0f} 1/s")
        if min(self.outer_iterations, self.inner_iterations) < 1:
            raise InputError("iterations", f"{self.outer_iterations} outer, {self.inner_iterations} inner", "1 or more")


def separate_with_decay(
    problem: FieldProblem, decay_ppm: Tensor, options: EmmerichOptions, report: Reporter | None = None,
    smoothing: Tensor | None = None,
) -> Outcome:  # fmt: skip
    """Both sources ≥ 0 from field and decay, by conjugate gradients over the voxels that are not held at 0.

    After each run the result is clipped; a voxel at 0 is held there while the gradient pushes it below. Where nothing
    changes any more, this is the minimum. An iteration of conjugate gradients costs two convolutions (pairs of FFTs),
    an outer iteration two more.

    Parameters
    ----------
    problem : FieldProblem
        Field, weights, mask and dipole.
    decay_ppm : Tensor, shape (I, J, K)
        ``ΔR2*/D_m``.
    options : EmmerichOptions
        See there.
    report : Reporter, optional
        For progress and cancelling.
    smoothing : Tensor, shape (3, I, J, K), optional
        Weight of each squared difference in place of ``β²``, mm².

    Returns
    -------
    Outcome
        χ₊ and χ₋ in ppm, (2, I, J, K).

    References
    ----------
    Emmerich et al., J Magn Reson 330:107033 (2021).
    """
    import torch

    dipole, differences, region = problem.dipole, problem.differences, problem.region
    mask, weights = region.values(problem.mask), region.values(problem.weights).square_()
    trust, decay = options.decay_weight**2 * mask, region.values(decay_ppm)
    rough = options.smoothness_mm**2 * problem.inside() if smoothing is None else smoothing

    def seen_by(field: Tensor) -> Tensor:
        return dipole(field.mul_(weights), field, region).mul_(mask)

    def hessian(x: Tensor) -> Tensor:
        result, total, difference = torch.empty_like(x), (x[0] + x[1]).mul_(trust), x[0] - x[1]
        seen = seen_by(dipole(difference, difference, region))
        differences.normal(x[0], rough, result[0], region).add_(total).add_(seen)
        differences.normal(x[1], rough, result[1], region).add_(total).sub_(seen)
        return result

    seen, total = seen_by(region.values(problem.field)), trust * decay
    rhs = torch.stack((seen + total, total - seen))

    def update(x: Tensor, part: Reporter) -> Tensor:
        downhill = rhs - hessian(x)
        free = mask * ((x > 0) | (downhill > 0))
        inner = conjugate_gradient(
            lambda y: hessian(y).mul_(free), free * downhill, tolerance=_INNER_TOLERANCE,
            most_iterations=options.inner_iterations, report=part, step="ΔR2* and field",
        )  # fmt: skip
        return (x + inner.x).clamp_min_(0.0)

    start = 0.5 * decay.clamp_min(0.0) * mask
    outcome = repeat_until_still(update, torch.stack((start, start)), tolerance=options.tolerance,
                                 most_iterations=options.outer_iterations, report=report)  # fmt: skip
    return replace(outcome, x=region.volume(outcome.x))


def run(maps: MapSet, mask: NDArray[np.bool_], options: EmmerichOptions, report: Reporter) -> Solution:
    """Separate by ΔR2* and field. Zero is where ΔR2* is 0, so that the sum needs no reference region of its own."""
    constants = options.constants(maps.scan)
    decay_per_s, source = _decay(maps, options.baseline_per_s)
    problem = field_problem(maps, mask, padding=options.padding)
    decay_ppm = problem.tensor(decay_per_s * mask / np.float32(constants.para_hz_per_ppm))
    outcome = separate_with_decay(problem, decay_ppm, options, report)
    para, dia = outcome.x.cpu().numpy()
    record = {"relaxivity": asdict(constants), "decay": source, "weighted_by": problem.weighted_by,
              "solver": outcome.record()}  # fmt: skip
    maps_ppm = {"chi_total": para - dia, "chi_para": para, "chi_dia": dia}
    return Solution(maps_ppm, record, (*_warnings(options, source), *outcome.warnings("The separation")))


def _decay(maps: MapSet, baseline_per_s: float) -> tuple[NDArray[np.float32], str]:
    if "r2prime" in maps:
        return maps.array("r2prime"), "r2prime"
    return np.maximum(maps.array("r2star") - np.float32(baseline_per_s), 0.0), "r2star above the baseline"


def _warnings(options: EmmerichOptions, source: str) -> tuple[str, ...]:
    if source == "r2prime":
        return ()
    return (f"R2′ is not there; every tissue is taken to have an R2 of {options.baseline_per_s:g} 1/s.",)
