"""Thresholded k-space division: QSM in one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter

from ..physics.operators import DipoleOperator, Vector
from ..solution import Solution, referenced_qsm
from .one_step import divide

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class TkdOptions:
    """Options of thresholded k-space division.

    Parameters
    ----------
    threshold : float
        Where ``|D|`` is smaller, it is replaced by ``±threshold``; dimensionless, above 0, at most 2/3.
    correct_underestimation : bool
        Divide by the peak of the point spread function, which the threshold lowers (Schweser 2013). Mean values come
        closer to the truth, noise and streaks grow by the same factor.
    padding : float
        Zeros added to each axis before the Fourier transform, as a share of its length.

    Raises
    ------
    InputError
        If the threshold is out of range.
    """

    threshold: float = 0.2
    correct_underestimation: bool = False
    padding: float = 0.25

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold <= 2.0 / 3.0:
            raise InputError("TKD threshold", self.threshold, "a value above 0 and at most 2/3")


def tkd(
    local_field_ppm: NDArray[Any],
    mask: NDArray[np.bool_],
    voxel_size_mm: Vector,
    b0_direction_ijk: Vector,
    options: TkdOptions | None = None,
    report: Reporter | None = None,
) -> NDArray[np.float32]:
    """Susceptibility from the local field, ``χ = F⁻¹[F f / D̃]`` with ``D̃ = D`` or, where that is small, ``±threshold``.

    Parameters
    ----------
    local_field_ppm : ndarray, shape (I, J, K)
        ppm.
    mask : ndarray of bool, shape (I, J, K)
        Where the field is valid.
    voxel_size_mm, b0_direction_ijk : tuple of float
        Geometry, along i, j, k.
    options : TkdOptions
        Defaults if left out.
    report : Reporter
        Receives progress.

    Returns
    -------
    ndarray, float32, shape (I, J, K)
        ppm, without a reference: up to a constant, 0 outside the mask.

    Raises
    ------
    InputError
        If shapes disagree or a voxel is not finite.

    References
    ----------
    Shmueli et al., Magn Reson Med 62:1510 (2009); Schweser et al., Magn Reson Med 69:1582 (2013).
    """
    chosen = options or TkdOptions()
    return divide(local_field_ppm, mask, voxel_size_mm, b0_direction_ijk, chosen.padding,
                  lambda dipole: inverse_kernel(dipole, chosen), report)  # fmt: skip


def inverse_kernel(dipole: DipoleOperator, options: TkdOptions) -> Tensor:
    """``1 / D̃`` in the layout of the operator's spectra; 0 at ``k = 0``."""
    kernel = dipole.kernel
    inverse = kernel.abs().clamp_min_(options.threshold).copysign_(kernel).reciprocal_()
    inverse[0, 0, 0] = 0.0
    if options.correct_underestimation:
        inverse /= dipole.fourier.mean(kernel * inverse)
    return inverse


def run(maps: MapSet, mask: NDArray[np.bool_], options: TkdOptions, report: Reporter) -> Solution:
    """QSM by :func:`tkd`, referenced to CSF where it can be found."""
    chi = tkd(maps.array("local_field"), mask, maps.grid.voxel_size_mm, maps.scan.b0_direction_ijk, options, report)
    return referenced_qsm(maps, mask, chi, record={})
