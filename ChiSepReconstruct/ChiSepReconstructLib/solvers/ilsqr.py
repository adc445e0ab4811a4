r"""iLSQR: weighted least squares, whose streaks are then estimated from where tissue should be smooth, and taken out.

With ``F`` the Fourier transform on the padded grid and ``C`` the crop to the maps' grid:

1. ``W_I``: 1 where ``|∇²f|`` is small, falling to 0 where it is large (eq. 7), as at veins and the brain's edge.
2. ``χ₁ = C F⁻¹ X``, with ``X`` from ``min ‖W_I^½ (C F⁻¹ D X − f)‖``: its normal equations, ``D F W_I F⁻¹ D X =
   D F W_I f`` (eq. 6), are what the paper hands to LSQR; conjugate residuals make their residual smallest, on which
   the paper stops too.
3. ``χ_fast`` (eqs. 8 to 14): ``sign(D) F f``, with the cone where ``D`` is small smoothed twice, scaled to fit TKD.
4. ``W_G`` (eq. 15): 1 where ``|∂χ_fast|`` is small, falling to 0 where it is large, for each axis.
5. Streaks ``S = C F⁻¹ M X`` with ``M = 1`` where ``|D|`` is small (eq. 4), from ``min ‖W_G ∇(χ₁ − S)‖`` (eq. 3);
   ``χ = χ₁ − S``.

With the spectrum ``X`` as the unknown in steps 2 and 5, an iteration takes one pair of FFTs; 7 pairs more come with
steps 2, 3 and 5.

References
----------
Li et al., NeuroImage 108:111 (2015).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter

from ..optim.conjugate_residual import conjugate_residual
from ..optim.outcome import Outcome
from ..physics.operators import DipoleOperator
from ..solution import Solution, referenced_qsm
from .field_problem import FieldProblem, field_problem, percentiles
from .tkd import TkdOptions, inverse_kernel

if TYPE_CHECKING:
    from torch import Tensor

#: Of fast QSM, as published: percentiles of ``|D|`` between which smoothing fades out, the sphere that smooths, the
#: threshold of the TKD that it is scaled to.
_CONE_PERCENTILES = (1.0, 30.0)
_SPHERE_RADIUS_MM = 3.0
_TKD = TkdOptions(threshold=1.0 / 8.0)


@dataclass(frozen=True, kw_only=True)
class StreakOptions:
    """Options of the estimation of streaks.

    Parameters
    ----------
    threshold : float
        Streaks lie where ``|D|`` is smaller; dimensionless, above 0, at most 2/3.
    gradient_percentiles : tuple of float
        Percentiles of ``|∂χ|`` up to which a difference counts fully, and from which on it does not count.
    tolerance : float
        On the residual of the normal equations.
    iterations : int
        At most.

    Raises
    ------
    InputError
        If one is out of range.
    """

    threshold: float = 0.1
    gradient_percentiles: tuple[float, float] = (50.0, 70.0)
    tolerance: float = 0.01
    iterations: int = 100

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold <= 2.0 / 3.0:
            raise InputError("threshold of streaks", self.threshold, "a value above 0 and at most 2/3")
        check_percentiles("percentiles of the gradient", self.gradient_percentiles)
        check_iteration("the estimation of streaks", self.tolerance, self.iterations)


@dataclass(frozen=True, kw_only=True)
class IlsqrOptions:
    """Options of iLSQR.

    Parameters
    ----------
    laplacian_percentiles : tuple of float
        Percentiles of ``|∇²f|`` up to which a voxel counts fully, and from which on it does not count.
    tolerance : float
        On the residual of the normal equations; a smaller one brings more noise.
    iterations : int
        At most.
    streaks : StreakOptions
        How streaks are estimated.
    padding : float
        Zeros added to each axis as a share of its length.

    Raises
    ------
    InputError
        If one is out of range.
    """

    laplacian_percentiles: tuple[float, float] = (60.0, 99.9)
    tolerance: float = 0.01
    iterations: int = 50
    streaks: StreakOptions = field(default_factory=StreakOptions)
    padding: float = 0.25

    def __post_init__(self) -> None:
        check_percentiles("percentiles of the Laplacian", self.laplacian_percentiles)
        check_iteration("iLSQR", self.tolerance, self.iterations)


def check_percentiles(quantity: str, given: tuple[float, float]) -> None:
    """Two percentiles, the first below the second.

    Raises
    ------
    InputError
        If they are not.
    """
    if not (len(given) == 2 and 0.0 <= given[0] < given[1] <= 100.0):
        raise InputError(quantity, given, "two values from 0 to 100, the first below the second")


def check_iteration(name: str, tolerance: float, iterations: int) -> None:
    """Raise InputError if a tolerance is not between 0 and 1, or not one iteration is allowed."""
    if not 0.0 < tolerance < 1.0:
        raise InputError(f"tolerance of {name}", tolerance, "a value above 0 and below 1")
    if iterations < 1:
        raise InputError(f"iterations of {name}", iterations, "1 or more")


def falling(values: Tensor, inside: Tensor, limits: tuple[float, float]) -> Tensor:
    """1 up to the lower of two percentiles of the values inside, falling linearly to 0 at the upper; 0 outside."""
    low, high = percentiles(values, inside, limits)
    return (high - values).div_(max(high - low, 1e-30)).clamp_(0.0, 1.0).mul_(inside)


def laplacian_weights(problem: FieldProblem, limits: tuple[float, float]) -> Tensor:
    """``W_I`` (eq. 7); the Laplacian takes only differences inside the mask, so that its rim is not steep by itself."""
    laplacian = problem.differences.normal(problem.field, problem.inside())
    return falling(laplacian.abs_(), problem.mask, limits)


def least_squares(
    problem: FieldProblem, weights: Tensor, tolerance: float, iterations: int, report: Reporter | None = None
) -> Outcome:
    """χ that explains the field best in the sense of eq. 6, with streaks; in ppm, up to a constant, 0 outside."""
    import torch

    fourier, region, squared = problem.dipole.fourier, problem.region, problem.dipole.kernel.square()
    inside, field = region.values(weights), region.values(problem.field)
    found = conjugate_residual(lambda image, out: torch.mul(image, inside, out=out),
                               lambda y, out: fourier.filtered(y, squared, out, region), inside * field,
                               tolerance=tolerance, most_iterations=iterations, report=report,
                               step="least squares")  # fmt: skip
    return Outcome(problem.mask * problem.dipole(region.volume(found.x)), found.status, found.residuals)


def fast_qsm(problem: FieldProblem) -> Tensor:
    """χ in three steps without iterations (eqs. 8 to 14), good for telling where tissue has borders; ppm."""
    dipole, mask = problem.dipole, problem.mask
    kept = _well_conditioned(dipole.kernel)
    smooth = kept + (1.0 - kept) * _sphere(dipole, problem.differences.voxel_size_mm)
    once = mask * dipole.filtered(problem.field, dipole.kernel.sign() * smooth)
    twice = mask * dipole.filtered(once, smooth)
    return mask * _fitted(twice, dipole.filtered(problem.field, inverse_kernel(dipole, _TKD)), mask)


def _well_conditioned(kernel: Tensor) -> Tensor:
    """``W_FS`` (eq. 10), 0 on the cone: a power of ``|D|`` as small as the paper's 0.001 is in effect its logarithm."""
    return 1.0 - falling(kernel.abs().clamp_min(1e-12).log(), kernel.new_ones(kernel.shape), _CONE_PERCENTILES)


def _sphere(dipole: DipoleOperator, voxel_size_mm: tuple[float, float, float]) -> Tensor:
    """Response of the mean over a sphere, ``3 (sin q − q cos q)/q³`` with ``q = 2π |k| radius``."""
    import torch

    last = len(voxel_size_mm) - 1
    squares = []
    for axis, (count, size) in enumerate(zip(dipole.fourier.padded_shape, voxel_size_mm, strict=True)):
        frequencies = np.fft.rfftfreq(count, size) if axis == last else np.fft.fftfreq(count, size)
        squares.append(torch.from_numpy(frequencies**2).reshape([-1 if one == axis else 1 for one in range(3)]))
    q = 2.0 * np.pi * _SPHERE_RADIUS_MM * (squares[0] + squares[1] + squares[2]).sqrt_().clamp_min_(1e-3)
    return (3.0 * (q.sin() - q * q.cos()) / q**3).to(dipole.kernel)


def _fitted(image: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """``a · image + b``, nearest to the reference inside the mask (eqs. 13 and 14)."""
    x, y = image[mask > 0], reference[mask > 0]
    x_mean, y_mean = x.mean(), y.mean()
    slope = ((x - x_mean) * (y - y_mean)).sum() / (x - x_mean).square().sum().clamp_min(1e-30)
    return slope * (image - x_mean) + y_mean


def gradient_weights(gradient: Tensor, inside: Tensor, limits: tuple[float, float]) -> Tensor:
    """``W_G`` (eq. 15) from (3, I, J, K) differences, each axis with percentiles of its own."""
    import torch

    axes = zip(gradient.abs(), inside, strict=True)
    return torch.stack([falling(one, there, limits) for one, there in axes])


def streaks(
    problem: FieldProblem, chi: Tensor, weights: Tensor, options: StreakOptions, report: Reporter | None = None
) -> Outcome:
    """What the cone can add to χ to make it smooth where the weights say so (eqs. 3 and 4): its streaks, in ppm."""
    fourier, differences, region = problem.dipole.fourier, problem.differences, problem.region
    cone, squared = (problem.dipole.kernel.abs() < options.threshold).float(), weights.square()
    found = conjugate_residual(lambda image, out: differences.normal(image, squared, out, region),
                               lambda y, out: fourier.filtered(y, cone, out, region),
                               region.values(differences.normal(chi, squared)),
                               tolerance=options.tolerance, most_iterations=options.iterations, report=report,
                               step="streaks")  # fmt: skip
    return Outcome(problem.mask * fourier.filtered(region.volume(found.x), cone), found.status, found.residuals)


def ilsqr(problem: FieldProblem, options: IlsqrOptions, report: Reporter | None = None) -> tuple[Outcome, Outcome]:
    """Least squares and its streaks; χ is their difference.

    Parameters
    ----------
    problem : FieldProblem
        Field, mask and dipole; its weights are not used.
    options : IlsqrOptions
        See there.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    least_squares, streaks : Outcome
        In ppm, up to a constant, 0 outside the mask.

    Raises
    ------
    CancelledError
        If the caller asked to stop.

    References
    ----------
    Li et al., NeuroImage 108:111 (2015).
    """
    report = report or Reporter()
    weights = laplacian_weights(problem, options.laplacian_percentiles)
    first = least_squares(problem, weights, options.tolerance, options.iterations, report.span(0.0, 0.45))
    report("fast QSM", 0.45)
    gradient = problem.differences(fast_qsm(problem))
    smooth = gradient_weights(gradient, problem.inside(), options.streaks.gradient_percentiles)
    return first, streaks(problem, first.x, smooth, options.streaks, report.span(0.5, 1.0))


def run(maps: MapSet, mask: NDArray[np.bool_], options: IlsqrOptions, report: Reporter) -> Solution:
    """QSM by :func:`ilsqr`, referenced to CSF where it can be found."""
    problem = field_problem(maps, mask, padding=options.padding)
    first, streak = ilsqr(problem, options, report)
    return referenced_qsm(
        maps, mask, (first.x - streak.x).cpu().numpy(),
        record={"least_squares": first.record(), "streaks": streak.record()},
        warnings=(*first.warnings("Least squares of iLSQR"), *streak.warnings("Streaks of iLSQR")),
    )  # fmt: skip
