"""Tikhonov's regularisation of the dipole inversion: QSM in one step, smooth instead of streaky."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.options import check_choice
from ChiSepPreprocessLib.progress import Reporter

from ..physics.fourier import DEFAULT_PADDING
from ..physics.operators import DipoleOperator, Vector, difference_power
from ..solution import Solution, referenced_qsm
from .one_step import divide

if TYPE_CHECKING:
    from torch import Tensor

Penalty = Literal["bounded", "gradient", "identity"]


@dataclass(frozen=True, kw_only=True)
class TikhonovOptions:
    """Options of Tikhonov's regularisation; it minimises ``½‖Dχ − f‖² + ½‖Pχ‖²``.

    Parameters
    ----------
    penalty : {"bounded", "gradient", "identity"}
        ``|P|²`` in k-space. Gradient: ``λ²|∇|²``, of differences per mm. Identity: ``ε²``. Bounded: the larger of both.
    gradient_length_mm : float
        ``λ``, mm.
    identity_share : float
        ``ε``, dimensionless: where ``|D|`` is smaller, χ is damped; no frequency is amplified more than ``1/2ε`` times.
    padding : float
        Zeros added to each axis before the Fourier transform, as a share of its length.

    Raises
    ------
    InputError
        If an option is out of range.

    Notes
    -----
    The gradient alone (Bilgic 2014) leaves the lowest frequencies near the cone free: there both ``D`` and ``∇`` go
    to 0, and where the padding happens to put them decides the map. The bound removes that. λ and ε were chosen on two
    simulated heads, 1.4 mm oblique and 2 mm, measured and true fields, paddings of 0.1 to 1. Of the two pairs with the
    smallest errors, which differ by 0.2 points (NRMSE as it is and after a linear fit), they are the one that padding
    changes less: 50.4 % on average, from 50.1 to 50.6 with the padding. The gradient alone has 60.7 % (56.2 to 70.9),
    the identity alone at its best ε of 0.08 52.1 %.
    """

    penalty: Penalty = "bounded"
    gradient_length_mm: float = 0.1
    identity_share: float = 0.06
    padding: float = DEFAULT_PADDING

    def __post_init__(self) -> None:
        check_choice("penalty", self.penalty, Penalty)
        if not 1e-6 <= self.gradient_length_mm <= 1e3:
            raise InputError("λ of the gradient", f"{self.gradient_length_mm} mm", "from 0.000001 to 1000 mm")
        if not 1e-6 <= self.identity_share <= 10.0:
            raise InputError("λ of the identity", self.identity_share, "from 0.000001 to 10")


def tikhonov(
    local_field_ppm: NDArray[Any],
    mask: NDArray[np.bool_],
    voxel_size_mm: Vector,
    b0_direction_ijk: Vector,
    options: TikhonovOptions | None = None,
    report: Reporter | None = None,
) -> NDArray[np.float32]:
    """Susceptibility from the local field, ``χ = F⁻¹[D F f / (D² + |P|²)]``: one pair of FFTs.

    Parameters
    ----------
    local_field_ppm : ndarray, shape (I, J, K)
        ppm.
    mask : ndarray of bool, shape (I, J, K)
        Where the field is valid; it counts the same in every voxel.
    voxel_size_mm, b0_direction_ijk : tuple of float
        Geometry, along i, j, k.
    options : TikhonovOptions
        Defaults if left out.
    report : Reporter
        Receives progress.

    Returns
    -------
    ndarray, float32, shape (I, J, K)
        ppm, up to a constant, 0 outside the mask.

    Raises
    ------
    InputError
        If shapes disagree or a voxel is not finite.

    References
    ----------
    Bilgic et al., J Magn Reson Imaging 40:181 (2014), section "ℓ2-regularized QSM"; the bound is ours.
    """
    chosen = options or TikhonovOptions()
    return divide(local_field_ppm, mask, voxel_size_mm, b0_direction_ijk, chosen.padding,
                  lambda dipole: inverse_response(dipole, voxel_size_mm, chosen), report)  # fmt: skip


def inverse_response(dipole: DipoleOperator, voxel_size_mm: Vector, options: TikhonovOptions) -> Tensor:
    """``D / (D² + |P|²)`` in the layout of the operator's spectra; 0 at ``k = 0``."""
    damping = difference_power(dipole.fourier, voxel_size_mm).mul_(options.gradient_length_mm**2)
    if options.penalty == "identity":
        damping.fill_(options.identity_share**2)
    elif options.penalty == "bounded":
        damping.clamp_(min=options.identity_share**2)
    damping[0, 0, 0] = 1.0  # the mean, where D and the gradient's spectrum are both 0
    return dipole.kernel / damping.add_(dipole.kernel.square())


def run(maps: MapSet, mask: NDArray[np.bool_], options: TikhonovOptions, report: Reporter) -> Solution:
    """QSM by :func:`tikhonov`, referenced to CSF where it can be found."""
    chi = tikhonov(
        maps.array("local_field"), mask, maps.grid.voxel_size_mm, maps.scan.b0_direction_ijk, options, report
    )
    return referenced_qsm(maps, mask, chi, record={})
