"""The choice between the ways of removing the background, and the order of removal and averaging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..artifacts import Array
from ..errors import InputError
from ..options import check_choice
from ..progress import Reporter
from .lbv import LbvOptions, lbv
from .pdf import PdfOptions, pdf
from .single_step import SingleStepOptions, single_step
from .vsharp import VSharpOptions, vsharp

BackgroundMethod = Literal["single-step", "v-sharp", "pdf", "lbv"]


@dataclass(frozen=True, kw_only=True)
class BackgroundOptions:
    """Options of :func:`remove_background`.

    Parameters
    ----------
    method : {"single-step", "v-sharp", "pdf", "lbv"}
        ``"single-step"`` loses the least of the local field; the others are as published.
    single_step, vsharp, pdf, lbv
        Options of each method.
    largest_residual_rad : float
        The field of voxels whose echoes' phases miss their line by more than this is not used, rad: beside air it
        is wrong by more than the local field. 0 uses all.
    each_echo : bool
        Remove the background of each echo's field and average then, as Kim et al. (2025) did. By linearity both
        orders agree where the masks do; this one takes as many times longer as there are echoes.
    """

    method: BackgroundMethod = "single-step"
    single_step: SingleStepOptions = field(default_factory=SingleStepOptions)
    vsharp: VSharpOptions = field(default_factory=VSharpOptions)
    pdf: PdfOptions = field(default_factory=PdfOptions)
    lbv: LbvOptions = field(default_factory=LbvOptions)
    largest_residual_rad: float = 0.3
    each_echo: bool = False

    def __post_init__(self) -> None:
        check_choice("background method", self.method, BackgroundMethod)
        if not self.largest_residual_rad >= 0:
            raise InputError("largest residual", f"{self.largest_residual_rad} rad", "0 or more")


def remove_background(
    total_field: Array,
    mask: Array,
    voxel_size_mm: Sequence[float],
    b0_direction_ijk: Sequence[float],
    options: BackgroundOptions,
    report: Reporter,
    *,
    known: Array | None = None,
    sigma: Array | None = None,
) -> tuple[Array, Array]:
    """Remove the field of all sources outside the mask by the chosen method.

    Parameters
    ----------
    total_field : ndarray, shape (I, J, K)
        ppm.
    mask : ndarray of bool, shape (I, J, K)
        Brain.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.
    b0_direction_ijk : sequence of float
        Unit vector of B0 in voxel axes.
    options : BackgroundOptions
        See there.
    report : Reporter
        Progress.
    known : ndarray of bool, shape (I, J, K), optional
        Where the field was measured well, in the mask or around it; the mask by default. Single step uses all of it
        and fills what lacks in the mask; the others keep to the part in the mask.
    sigma : ndarray, shape (I, J, K), optional
        Expected error of the field, ppm; weights PDF.

    Returns
    -------
    local_field : ndarray of float32, shape (I, J, K)
        0 outside ``field_mask``.
    field_mask : ndarray of bool, shape (I, J, K)
        Where the local field is valid.

    Raises
    ------
    InputError
        If shapes differ, an option is out of range or no voxel is left.
    """
    if options.method == "single-step":
        return single_step(total_field, mask, voxel_size_mm, b0_direction_ijk, options.single_step, report, known)
    inside = mask if known is None else mask & known
    if options.method == "pdf":
        weights = None if sigma is None else 1 / np.where(sigma > 0, sigma, np.inf)
        return pdf(total_field, inside, voxel_size_mm, b0_direction_ijk, options.pdf, report, weights)
    if options.method == "lbv":
        return lbv(total_field, inside, voxel_size_mm, options.lbv, report)
    return vsharp(total_field, inside, voxel_size_mm, options.vsharp, report)
