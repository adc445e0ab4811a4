"""QSM by total variation: χ is piecewise smooth, and fits the field where the field is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.options import check_choice
from ChiSepPreprocessLib.progress import Reporter

from ..optim.admm import FREE, TotalVariationSplit, inverse_spectrum
from ..optim.outcome import Outcome
from ..optim.outer import repeat_until_still
from ..physics.fourier import blend
from ..physics.region import Box
from ..solution import Solution, referenced_qsm
from .field_problem import FieldProblem, edge_weights, field_problem

if TYPE_CHECKING:
    from torch import Tensor

Norm = Literal["isotropic", "componentwise"]


@dataclass(frozen=True, kw_only=True)
class TvOptions:
    """Options of total variation; it minimises ``½‖W (Dχ − f)‖² + λ ‖M∇χ‖₁ + ½ (λ/τ) ‖∇χ‖²_outside``.

    ``outside`` are all differences that are not between two voxels of the mask. χ is not held at zero there, only
    smooth: so it explains what sources outside the mask, or errors of background removal, left in the field.

    Parameters
    ----------
    regularisation_ppm_mm : float
        ``λ``, ppm·mm; the weights ``W`` have a mean of 1.
    weighted : bool
        Weigh the field by its expected error, 0 outside the mask. If not, ``W`` is 1 everywhere and the field counts
        as 0 outside the mask: quicker, one split less, and less accurate.
    norm : {"isotropic", "componentwise"}
        Length of the gradient, or the sum of its components' magnitudes.
    edge_share : float
        Share of the magnitude's differences that count as edges, where χ may change freely (``M = 0``); 0 for none.
    shrinkage_ppm_per_mm : float
        ``τ``: gradients shorter than this are shrunk to zero in each iteration. It sets ADMM's penalty, ``λ/τ``.
    field_penalty : float
        Penalty ``μ`` of the split ``z = Dχ``; it sets how quickly ADMM converges, not where. Dimensionless.
    iterations : int
        At most.
    tolerance : float
        Ends where the relative change of χ is smaller.
    padding : float
        Zeros added to each axis as a share of its length.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    regularisation_ppm_mm: float = 7e-5
    weighted: bool = True
    norm: Norm = "isotropic"
    edge_share: float = 0.0
    shrinkage_ppm_per_mm: float = 0.01
    field_penalty: float = 0.1
    iterations: int = 30
    tolerance: float = 5e-3
    padding: float = 0.25

    def __post_init__(self) -> None:
        check_choice("norm of total variation", self.norm, Norm)
        for name, value, unit in (
            ("regularisation", self.regularisation_ppm_mm, " ppm·mm"),
            ("shrinkage", self.shrinkage_ppm_per_mm, " ppm/mm"),
            ("field penalty", self.field_penalty, ""),
        ):
            if not 0 < value <= 100:
                raise InputError(f"{name} of total variation", f"{value}{unit}", "a number above 0 and up to 100")
        if not 0 <= self.edge_share < 1:
            raise InputError("share of edges", self.edge_share, "a share from 0 to below 1")
        if self.iterations < 1:
            raise InputError("iterations of total variation", self.iterations, "1 or more")


def total_variation(
    problem: FieldProblem, edges: Tensor | None, options: TvOptions, report: Reporter | None = None
) -> Outcome:
    """χ by ADMM with the splits ``y = ∇χ`` and, if weighted, ``z = Dχ``; two FFT pairs for each iteration, else one.

    With both splits the update of χ is a division in k-space. It takes place on the padded grid, where it is exact;
    the gradient's split stays on the mask's own.

    Parameters
    ----------
    problem : FieldProblem
        Field, weights, mask and dipole.
    edges : Tensor of bool, shape (3, I, J, K), optional
        Differences that are free.
    options : TvOptions
        See there.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    Outcome
        χ in ppm, up to a constant; not masked.

    References
    ----------
    Bilgic et al., Magn Reson Med 72:1444 (2014); Milovic et al., Magn Reson Med 80:814 (2018), weights and ``z``.
    """
    import torch

    penalty = options.regularisation_ppm_mm / options.shrinkage_ppm_per_mm
    kinds = problem.inside().to(torch.uint8)
    if edges is not None:
        kinds[edges & (kinds > 0)] = FREE
    split = TotalVariationSplit(kinds, problem.differences, options.shrinkage_ppm_per_mm, options.norm == "isotropic")
    next_chi = _weighted(problem, penalty, options.field_penalty) if options.weighted else _plain(problem, penalty)

    def update(chi: Tensor, part: Reporter) -> Tensor:
        part("total variation", 0.0)
        return next_chi(split(chi))

    return repeat_until_still(update, problem.mask.new_zeros(problem.mask.shape), tolerance=options.tolerance,
                              most_iterations=options.iterations, report=report)  # fmt: skip


def _plain(problem: FieldProblem, penalty: float) -> Callable[[Tensor], Tensor]:
    """χ from ``∇ᵀ(y − u)``, where the field counts the same everywhere and no split of it is needed."""
    fourier, kernel = problem.dipole.fourier, problem.dipole.kernel
    inverse = inverse_spectrum(kernel.square(), penalty, fourier, problem.differences.voxel_size_mm)
    constant = fourier.filtered(problem.field, inverse * kernel)
    inverse.mul_(penalty)
    return lambda smooth: fourier.filtered(smooth, inverse).add_(constant)


def _weighted(problem: FieldProblem, penalty: float, field_penalty: float) -> Callable[[Tensor], Tensor]:
    """χ from ``∇ᵀ(y − u)``, with the split ``z = Dχ`` and ``½‖W(z − f)‖²`` under ``μ/2 ‖Dχ − z + v‖²``.

    Outside the mask ``z = Dχ``. χ's spectrum stays from one iteration to the next, as its padding is not cropped.
    """
    import torch

    fourier, kernel, region = problem.dipole.fourier, problem.dipole.kernel, problem.region
    inside, wanted = Box(fourier.shape, region.spans), region.values(problem.field)
    weights = region.values(problem.weights).square_()
    trust = weights / (weights + field_penalty)
    inverse = inverse_spectrum(kernel.square() * field_penalty, penalty, fourier, problem.differences.voxel_size_mm)
    share, fit_share = inverse * penalty, inverse * kernel * field_penalty
    spectrum, dual, field = torch.zeros_like(kernel) + 0j, torch.zeros_like(trust), torch.zeros_like(trust)

    def following(smooth: Tensor) -> Tensor:
        nonlocal dual, field
        # With a = Dχ + v, z is a + s and the new v is −s, where s moves a towards the field by the weight's share.
        # z − v is then Dχ, to which v of before and 2s are added inside the mask only.
        last, dual = dual, field.add_(dual).sub_(wanted).mul_(trust)
        change = last.sub_(dual, alpha=2)
        blend(spectrum, share, fourier.spectrum(smooth, inside), fit_share, kernel, fourier.spectrum(change, region))
        field = fourier.volume(spectrum, kernel, change, region)
        return fourier.volume(spectrum, out=smooth)

    return following


def run(maps: MapSet, mask: NDArray[np.bool_], options: TvOptions, report: Reporter) -> Solution:
    """QSM by :func:`total_variation`, referenced to CSF where it can be found."""
    problem = field_problem(maps, mask, padding=options.padding)
    edges = _edges(problem, maps, options.edge_share)
    outcome = total_variation(problem, edges, options, report)
    record = {"weighted_by": problem.weighted_by if options.weighted else "nothing",
              "edges": "none" if edges is None else "magnitude", "solver": outcome.record()}  # fmt: skip
    return referenced_qsm(maps, mask, (outcome.x * problem.mask).cpu().numpy(), record=record,
                          warnings=outcome.warnings("Total variation"))  # fmt: skip


def _edges(problem: FieldProblem, maps: MapSet, share: float) -> Tensor | None:
    """Differences that are edges of the magnitude; None where none are asked for.

    Raises
    ------
    InputError
        If there is no magnitude to find them in.
    """
    if share == 0:
        return None
    if "magnitude" not in maps:
        raise InputError("magnitude", "none", "the magnitude, to find its edges", "Without it, set edge_share to 0.")
    inside = problem.inside()
    return edge_weights(problem.tensor(maps.array("magnitude")), inside, problem.differences, share) == 0
