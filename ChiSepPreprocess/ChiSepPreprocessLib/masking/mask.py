"""The brain mask: by magnitude, by phase quality or by both; and refining of any mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..artifacts import Array
from ..errors import InputError
from ..morphology import Mask, erode_mm, fill_holes
from ..options import check_choice
from ..progress import Reporter
from .bet import BetOptions, brain_mask
from .quality import QualityOptions, quality_mask, reliable_part

#: Longer than any way out of a head.
_LONGEST_MM = 100.0

MaskMethod = Literal["bet", "phase-quality", "bet+phase-quality"]


@dataclass(frozen=True, kw_only=True)
class MaskOptions:
    """Options of :func:`make_brain_mask` and :func:`refine`.

    Parameters
    ----------
    method : {"bet+phase-quality", "bet", "phase-quality"}
        ``"bet"``: brain extraction on the magnitude; ``"phase-quality"``: where phase is reliable, for images in
        which extraction fails; both: the extracted brain without rim of unreliable phase.
    bet : BetOptions
        Of the brain extraction.
    quality : QualityOptions
        Of the phase quality.
    fill_holes : bool
        Fill closed cavities at the end.
    erosion_mm : float
        Taken from the rim at the end, mm.
    surroundings_mm : float
        The total field is measured this far around the brain too, where the phase is reliable, mm: background
        removal then knows more at the brain's border.
    """

    method: MaskMethod = "bet+phase-quality"
    bet: BetOptions = field(default_factory=BetOptions)
    quality: QualityOptions = field(default_factory=QualityOptions)
    fill_holes: bool = True
    erosion_mm: float = 0.0
    surroundings_mm: float = 4.0

    def __post_init__(self) -> None:
        check_choice("mask method", self.method, MaskMethod)
        if not (0 <= self.erosion_mm <= _LONGEST_MM and 0 <= self.surroundings_mm <= _LONGEST_MM):
            got = f"{self.erosion_mm} mm and {self.surroundings_mm} mm"
            raise InputError("mask erosion and surroundings", got, f"lengths from 0 to {_LONGEST_MM:g} mm")


def combined_magnitude(magnitude: Array) -> Array:
    """Root of the sum of squares over echoes, (I, J, K, E) → (I, J, K), float32."""
    return np.sqrt(np.einsum("ijke,ijke->ijk", magnitude, magnitude)).astype(np.float32, copy=False)


def make_brain_mask(
    magnitude: Array, phase: Array, echo_times_s: Sequence[float], voxel_size_mm: Sequence[float],
    options: MaskOptions | None = None, report: Reporter | None = None, *,
    superior_axis_ijk: Sequence[float] = (0.0, 0.0, 1.0), combined: Array | None = None,
) -> Mask:  # fmt: skip
    """Find the brain in a multi-echo gradient echo.

    Parameters
    ----------
    magnitude, phase : ndarray, shape (I, J, K, E)
        a.u. and rad.
    echo_times_s : sequence of float
        E times, s.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.
    options : MaskOptions, optional
        See there.
    report : Reporter, optional
        For progress and cancelling.
    superior_axis_ijk : sequence of float
        Unit vector towards the top of the head in voxel axes; for the gradient option of the extraction.
    combined : ndarray, shape (I, J, K), optional
        One image of all echoes for the extraction; the root of the sum of squares if not given.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Brain.

    Raises
    ------
    InputError
        If the arrays do not belong together or no brain is found.
    CancelledError
        If the caller asked to stop.
    """
    options, report = options or MaskOptions(), report or Reporter()
    if options.method == "phase-quality":
        mask = quality_mask(phase, magnitude, echo_times_s, voxel_size_mm, options.quality)
        return refine(mask, voxel_size_mm, options)
    if combined is None:
        combined = combined_magnitude(magnitude)
    mask = brain_mask(combined, voxel_size_mm, options.bet, report.span(0.0, 0.7), superior_axis_ijk=superior_axis_ijk)
    report("brain mask", 0.7)
    if options.method == "bet+phase-quality":
        mask = reliable_part(phase, magnitude, echo_times_s, mask, voxel_size_mm, options.quality)
    report("brain mask", 1.0)
    return refine(mask, voxel_size_mm, options)


def refine(mask: Mask, voxel_size_mm: Sequence[float], options: MaskOptions) -> Mask:
    """Fill and erode any mask, such as the user's own.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        Not changed.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.
    options : MaskOptions
        Of which ``fill_holes`` and ``erosion_mm`` are used.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        Refined mask.

    Raises
    ------
    InputError
        If the erosion leaves nothing.
    """
    refined = fill_holes(mask) if options.fill_holes else mask.copy()
    if options.erosion_mm > 0:
        refined = erode_mm(refined, options.erosion_mm, voxel_size_mm)
    if mask.any() and not refined.any():
        raise InputError("mask erosion", f"{options.erosion_mm:g} mm, which leaves nothing",
                         "less than half of the mask's thickness")  # fmt: skip
    return refined
