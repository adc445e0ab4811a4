"""χ-separation by iLSQR: least squares of field and R2′ together, then streaks are taken out of each map.

The least squares are ``min ‖D∗ W (D∗(χ₊ − χ₋) − f)‖² + ‖D∗ W (D₊ χ₊ + D₋ χ₋ − R2′)‖²`` with weights ``W`` from the
field's Laplacian. Field and R2′ depend on two combinations of the unknowns that are free of each other, ``χ = χ₊ − χ₋``
and ``D₊ χ₊ + D₋ χ₋``, so that the sum is smallest where each term is:

1. ``χ₁`` from the field by the weighted least squares of iLSQR, referenced to CSF.
2. ``χ₊₁ = (R2′ + D₋ χ₁)/(D₊ + D₋)`` and ``χ₋₁ = (R2′ − D₊ χ₁)/(D₊ + D₋)``, negative ones kept for now.
3. Weights ``W_G`` for each map, from the differences of the same combinations of fast QSM and of smoothed R2′.
4. Streaks of each map, from ``min ‖W_G ∇(χ±₁ − S)‖`` over ``S`` on the cone ``|D| < threshold``;
   ``χ± = max(χ±₁ − S, 0)``.

One pair of FFTs for each iteration of the least squares and of either streak estimation, and 7 pairs beside.

References
----------
Shin et al., NeuroImage 240:118371 (2021); Li et al., NeuroImage 108:111 (2015).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.progress import Reporter

from ..masks.reference import reference_in
from ..optim.outcome import Outcome
from ..physics.operators import DipoleOperator
from ..physics.relaxivity import Relaxivity, RelaxivityOptions
from ..solution import Solution
from .closed_form import split
from .field_problem import FieldProblem, field_problem
from .ilsqr import (
    IlsqrOptions,
    StreakOptions,
    fast_qsm,
    gradient_weights,
    laplacian_weights,
    least_squares,
    streaks,
)

if TYPE_CHECKING:
    from torch import Tensor

#: Share of each half of k-space over which the window that smooths R2′ falls from 1 to 0, as published.
_TAPER = 0.5


@dataclass(frozen=True, kw_only=True)
class ChiSepIlsqrOptions(IlsqrOptions, RelaxivityOptions):
    """Options of χ-separation by iLSQR: those of both bases, with defaults of its own.

    Tolerance and threshold are those that the method's authors advise for quantification; theirs for looks, 0.02 and
    0.2, gave larger errors in simulated heads. Both maps have the same options of streaks.
    """

    laplacian_percentiles: tuple[float, float] = (60.0, 99.8)
    streaks: StreakOptions = field(default_factory=lambda: StreakOptions(threshold=0.07, tolerance=0.02))


def smoothed(volume: Tensor, dipole: DipoleOperator) -> Tensor:
    """Volume after a Tukey window on each axis of k-space, 1 in its inner half."""
    import torch

    padded = dipole.fourier.padded_shape
    responses = []
    for count, frequencies in zip(padded, (torch.fft.fftfreq, torch.fft.fftfreq, torch.fft.rfftfreq), strict=True):
        share = 2.0 * frequencies(count, device=dipole.device).abs()
        responses.append(0.5 + 0.5 * (torch.pi * ((share - 1.0 + _TAPER) / _TAPER).clamp(0.0, 1.0)).cos())
    i, j, k = responses
    return dipole.filtered(volume, i[:, None, None] * j[:, None] * k)


def without_streaks(
    problem: FieldProblem, chi: Tensor, r2prime: Tensor, constants: Relaxivity, options: StreakOptions,
    report: Reporter,
) -> tuple[tuple[Tensor, Tensor], tuple[Outcome, Outcome]]:  # fmt: skip
    """Steps 2 to 4: separated maps with their streaks taken out, not yet clipped; and the streaks.

    Parameters
    ----------
    problem : FieldProblem
        Field, mask and dipole.
    chi : Tensor, shape (I, J, K)
        Least-squares χ in ppm, referenced, 0 outside the mask.
    r2prime : Tensor, shape (I, J, K)
        1/s, 0 outside the mask.
    constants : Relaxivity
        ``D₊`` and ``D₋`` at the scan's field strength.
    options : StreakOptions
        See there.
    report : Reporter
        For progress and cancelling.

    Returns
    -------
    maps : tuple of Tensor
        ``χ₊`` and ``χ₋`` in ppm.
    streaks : tuple of Outcome
        Of each.
    """
    report("fast QSM", 0.0)
    guides = split(fast_qsm(problem), smoothed(r2prime, problem.dipole), constants)
    inside, found = problem.inside(), []
    for number, (one, guide) in enumerate(zip(split(chi, r2prime, constants), guides, strict=True)):
        weights = gradient_weights(problem.differences(guide), inside, options.gradient_percentiles)
        part = report.span(0.5 * number, 0.5 * number + 0.5)
        streak = streaks(problem, one, weights, options, part)
        found.append((one - streak.x, streak))
    (para, para_streak), (dia, dia_streak) = found
    return (para, dia), (para_streak, dia_streak)


def run(maps: MapSet, mask: NDArray[np.bool_], options: ChiSepIlsqrOptions, report: Reporter) -> Solution:
    """χ-separation by iLSQR; the total is the difference of both maps."""
    constants = options.constants(maps.scan)
    problem = field_problem(maps, mask, padding=options.padding)
    weights = laplacian_weights(problem, options.laplacian_percentiles)
    first = least_squares(problem, weights, options.tolerance, options.iterations, report.span(0.0, 0.3))
    chi, reference = reference_in(maps, mask, first.x.cpu().numpy())
    r2prime = problem.tensor(maps.array("r2prime") * mask)
    separated, found = without_streaks(problem, problem.tensor(chi), r2prime, constants, options.streaks,
                                       report.span(0.3, 1.0))  # fmt: skip
    chi_para, chi_dia = (one.clamp(min=0.0).cpu().numpy() for one in separated)
    record = {"reference": reference.record(), "relaxivity": asdict(constants), "least_squares": first.record(),
              "streaks_para": found[0].record(), "streaks_dia": found[1].record()}  # fmt: skip
    warnings = (*reference.warnings, *first.warnings("Least squares of χ-separation"),
                *found[0].warnings("Streaks of χ_para"), *found[1].warnings("Streaks of χ_dia"))  # fmt: skip
    return Solution({"chi_total": chi_para - chi_dia, "chi_para": chi_para, "chi_dia": chi_dia}, record, warnings)
