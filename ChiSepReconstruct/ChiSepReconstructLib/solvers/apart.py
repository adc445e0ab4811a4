"""APART-QSM: a magnitude decay kernel for each voxel, found together with the sources.

Re-implemented from what the paper and its demonstration publish: gradient echoes, R2 and a QSM go in; the kernel ``a``
of each voxel begins at that of static dephasing, and fit of the sources and fit of ``a`` take turns until ``a`` changes
by less than 0.3. Not to be known from public sources, whose core is compiled, and assumed here: the data terms are the
local field and R2′, both in ppm, which preprocessing has fitted to the echoes, in place of each echo's phase and
magnitude with weights (R2′ 0.1, χ 10, total variation 1) of unknown units; and a step of ``a`` is a proximal one, as
R2′ and the sources alone allow any ``a``.

The data tell ``a`` only where the field asks for more susceptibility than R2′ over ``a`` allows: ``a`` falls there, and
elsewhere keeps its start, by which the result scales. So the start here is the constant of tissue, not of theory.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter

from ..optim.outcome import Outcome
from ..optim.outer import repeat_until_still
from ..physics.relaxivity import RelaxivityOptions
from ..solution import Solution
from .emmerich import EmmerichOptions, separate_with_decay
from .field_problem import FieldProblem, field_problem
from .medi import FLOOR_PPM_PER_MM

if TYPE_CHECKING:
    from torch import Tensor

#: ``a`` stays within these shares of its start.
_LOWEST, _HIGHEST = 0.1, 2.0


@dataclass(frozen=True, kw_only=True)
class ApartOptions(RelaxivityOptions):
    """Options of APART-QSM, with those of :class:`~..physics.relaxivity.RelaxivityOptions`.

    For a given ``a`` it minimises, over ``χ₊, χ₋ ≥ 0``,
    ``½‖W (D(χ₊ − χ₋) − f)‖² + ½ α² ‖χ₊ + χ₋ − R2′/a‖² + λ (‖∇χ₊‖₁ + ‖∇χ₋‖₁)``, then moves ``a`` towards
    ``R2′/(χ₊ + χ₋)``. The preset of the relaxivity is the kernel at the start. The published one is ``"theory"``,
    static dephasing, 323.5 Hz/ppm at 3 T; tissue shows about 0.4 of it, and as much too small both sources come out.

    Parameters
    ----------
    decay_weight : float
        ``α``, weight of the residual of R2′, in ppm, relative to the field's.
    regularisation_ppm_mm : float
        ``λ``, ppm·mm; the weights ``W`` have a mean of 1.
    inertia_ppm : float
        A voxel with less susceptibility than this keeps most of its ``a``.
    rounds : int
        Of both fits, at most.
    tolerance : float
        Ends where the relative change of ``a`` is smaller.

    Raises
    ------
    InputError
        If an option is out of range.
    """

    decay_weight: float = 0.2
    regularisation_ppm_mm: float = 2e-4
    inertia_ppm: float = 0.01
    rounds: int = 10
    tolerance: float = 0.3

    def __post_init__(self) -> None:
        if not (0 < self.decay_weight <= 1e3 and 0 < self.regularisation_ppm_mm <= 1e2):
            raise InputError("weights of APART-QSM", f"{self.decay_weight} and {self.regularisation_ppm_mm} ppm·mm",
                             "above 0, at most 1000, and at most 100 ppm·mm")  # fmt: skip
        if not (0 < self.inertia_ppm <= 10 and 0 < self.tolerance <= 10 and self.rounds >= 1):
            raise InputError("iteration of APART-QSM", f"inertia {self.inertia_ppm} ppm, tolerance {self.tolerance}, "
                             f"{self.rounds} rounds", "values above 0, at most 10, and 1 round or more")  # fmt: skip


def apart(
    problem: FieldProblem, r2prime: Tensor, start_hz_per_ppm: float, options: ApartOptions,
    report: Reporter | None = None,
) -> tuple[Outcome, Tensor]:  # fmt: skip
    """Sources and kernel in turns.

    A round costs as many convolutions as :func:`~.emmerich.separate_with_decay`, which begins anew each time.

    Parameters
    ----------
    problem : FieldProblem
        Field, weights, mask and dipole.
    r2prime : Tensor, shape (I, J, K)
        1/s.
    start_hz_per_ppm : float
        ``a`` of every voxel to begin with.
    options : ApartOptions
        See there.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    outcome : Outcome
        ``a`` in Hz/ppm, (I, J, K), and how its changes went.
    sources : Tensor
        χ₊ and χ₋ in ppm, (2, I, J, K).

    References
    ----------
    Li et al., NeuroImage 274:120148 (2023).
    """
    inner = EmmerichOptions(decay_weight=options.decay_weight, smoothness_mm=0.0)
    inside = problem.inside() * options.regularisation_ppm_mm
    lowest, highest = _LOWEST * start_hz_per_ppm, _HIGHEST * start_hz_per_ppm
    sources = r2prime.new_zeros((2, *r2prime.shape))

    def update(kernel: Tensor, part: Reporter) -> Tensor:
        nonlocal sources
        decay = problem.mask * r2prime / kernel
        guess = sources if bool(sources.any()) else (0.5 * decay).expand_as(sources)
        lagged = problem.differences.lagged(guess, inside, FLOOR_PPM_PER_MM)
        sources = separate_with_decay(problem, decay, inner, part, lagged).x
        total = sources.sum(dim=0)
        following = (options.inertia_ppm**2 * kernel + r2prime * total) / (options.inertia_ppm**2 + total.square())
        return following.clamp(lowest, highest)

    start = r2prime.new_full(r2prime.shape, start_hz_per_ppm)
    outcome = repeat_until_still(update, start, tolerance=options.tolerance, most_iterations=options.rounds,
                                 report=report)  # fmt: skip
    return outcome, sources


def run(maps: MapSet, mask: NDArray[np.bool_], options: ApartOptions, report: Reporter) -> Solution:
    """Separate by APART-QSM. Zero is where R2′ is 0, so that the sum needs no reference region of its own."""
    constants = options.constants(maps.scan)
    problem = field_problem(maps, mask, padding=EmmerichOptions().padding)
    r2prime = problem.tensor(maps.array("r2prime") * mask)
    outcome, sources = apart(problem, r2prime, constants.para_hz_per_ppm, options, report)
    para, dia = sources.cpu().numpy()
    quartiles = np.quantile(outcome.x.cpu().numpy()[mask], (0.25, 0.5, 0.75))
    record = {"relaxivity": asdict(constants), "weighted_by": problem.weighted_by, "solver": outcome.record(),
              "kernel_hz_per_ppm_quartiles": [round(float(one), 1) for one in quartiles]}  # fmt: skip
    return Solution({"chi_total": para - dia, "chi_para": para, "chi_dia": dia}, record, outcome.warnings("APART-QSM"))
