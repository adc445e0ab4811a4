"""Combination of receive channels: MCPC-3D-S.

Eckstein K, Dymerska B, Bachrata B, et al. "Computationally efficient combination of multi-channel
phase data from multi-echo acquisitions (ASPIRE)". Magn Reson Med 79:2996 (2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..artifacts import Array
from ..box import bounding_box
from ..errors import InputError
from ..progress import Reporter
from ..threads import in_slabs
from ..unwrap.echoes import check_echoes
from .mcpc3ds import check_two_echoes, extrapolation, sigma_voxels, unwrap_products
from .smoothing import check_sigma_mm, smooth_phase

_MARGIN = 2
#: Where the combined signal is below this share of its 95 % quantile there is no head.
_BACKGROUND = 0.2


@dataclass(frozen=True, kw_only=True)
class CoilOptions:
    """Options of :func:`combine_coils`.

    Parameters
    ----------
    sigma_mm : tuple of float
        Standard deviation of the Gaussian that smooths each channel's offset along i, j, k, mm.
    """

    sigma_mm: tuple[float, float, float] = (7.0, 7.0, 7.0)

    def __post_init__(self) -> None:
        check_sigma_mm(self.sigma_mm)


def combine_coils(
    magnitude: Array,
    phase: Array,
    echo_times_s: Sequence[float],
    mask: Array | None,
    voxel_size_mm: Sequence[float],
    options: CoilOptions,
    report: Reporter,
) -> tuple[Array, Array]:
    """Combine channels after taking each one's phase at echo time zero away.

    The phase that has evolved between the first two echoes, the same in all channels, is the angle
    of h = Σ m₁ m₂ exp(i(φ₂ − φ₁)) over channels. Unwrapped and carried to the first echo it leaves
    each channel's offset, φ₁ − TE₁/(TE₂ − TE₁) arg h, which is smoothed with the magnitude as
    weight and subtracted. The phase of Σ m² exp(i(φ − offset)) is then the matched filter's.

    The published combination divides that sum by the root of its modulus. Nothing is divided
    here: the magnitude is the root of the sum of squares, which does not fall where channels
    disagree.

    The phase that is left is proportional to the echo time up to the multiple of 2π in arg h,
    which is a constant; :func:`.remove_phase_offset` finds it where echoes are unevenly spaced.
    Beside the input, which the caller holds for all channels, there is a copy of one channel at a
    time, and complex and squared sums of one channel's size. Memory laid out with the channel
    outermost is read fastest.

    Parameters
    ----------
    magnitude, phase : ndarray, shape (I, J, K, E, C)
        a.u. and rad, of C channels.
    echo_times_s : sequence of float
        At least two, s.
    mask : ndarray of bool, shape (I, J, K), or None
        Where the phase is reliable; ``None`` takes what is bright in the combined signal.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.
    options : CoilOptions
        See there.
    report : Reporter
        Progress.

    Returns
    -------
    magnitude, phase : ndarray of float32, shape (I, J, K, E)
        a.u. and rad, within ±π. The phase is of use in the mask's box only.

    Raises
    ------
    InputError
        If there is one echo only, or the arrays do not belong together.
    """
    _check(magnitude, phase, echo_times_s, mask)
    product = _products(magnitude, phase, report.span(0.0, 0.4))
    inside = _bright(product) if mask is None else mask
    evolution = unwrap_products(product, inside, echo_times_s[1] - echo_times_s[0], report.span(0.4, 0.5))
    evolution *= np.float32(extrapolation(echo_times_s))
    sigma = sigma_voxels(options.sigma_mm, voxel_size_mm)
    signal, power = _sums(magnitude, phase, evolution, inside, sigma, report.span(0.5, 1.0))
    return np.sqrt(power), np.angle(signal)


def _products(magnitude: Array, phase: Array, report: Reporter) -> Array:
    """Hermitian products of the first two echoes, summed over channels, complex (I, J, K)."""
    from ._kernels import add_echo_products

    product = np.zeros(phase.shape[:3], np.complex64)
    n_channels = phase.shape[4]
    for channel in range(n_channels):
        report("coils", channel / n_channels, f"channel {channel + 1} of {n_channels}")
        pair = (_channel(magnitude[:, :, :, :2], channel), _channel(phase[:, :, :, :2], channel))
        in_slabs(add_echo_products, len(product), *pair, 0, 1, product)
    return product


def _sums(
    magnitude: Array, phase: Array, evolution: Array, mask: Array, sigma: Sequence[float], report: Reporter
) -> tuple[Array, Array]:
    """Σ m² exp(i(φ − offset)) and Σ m² over channels, (I, J, K, E)."""
    from ._kernels import add_channel

    signal, power = np.zeros(phase.shape[:4], np.complex64), np.zeros(phase.shape[:4], np.float32)
    n_channels = phase.shape[4]
    for channel in range(n_channels):
        report("coils", channel / n_channels, f"channel {channel + 1} of {n_channels}")
        one, angle = _channel(magnitude, channel), _channel(phase, channel)
        offset = _offset(one[..., 0], angle[..., 0] - evolution, mask, sigma)
        in_slabs(add_channel, len(signal), one, angle, offset, signal, power)
    report("coils", 1.0)
    return signal, power


def _channel(data: Array, channel: int) -> Array:
    return np.ascontiguousarray(data[..., channel], np.float32)


def _offset(magnitude: Array, phase: Array, mask: Array, sigma: Sequence[float]) -> Array:
    """Smooth phase of one channel at echo time zero, in the mask's box."""
    box = bounding_box(mask, _MARGIN)
    offset = np.zeros(mask.shape, np.float32)
    offset[box] = smooth_phase(phase[box], mask[box], sigma, magnitude[box])
    return offset


def _bright(product: Array) -> Array:
    """Where two echoes' combined signal stands out; noise cancels in it over channels."""
    amplitude = np.sqrt(np.abs(product))
    present = amplitude[amplitude > 0]
    if not present.size:
        raise InputError("magnitude", "no signal in the first two echoes", "signal in at least one channel")
    return np.asarray(amplitude > _BACKGROUND * np.quantile(present, 0.95))


def _check(magnitude: Array, phase: Array, echo_times_s: Sequence[float], mask: Array | None) -> None:
    if phase.ndim != 5 or phase.shape[4] == 0:
        raise InputError("phase", f"shape {phase.shape}", "five axes, the last of channels")
    if magnitude.shape != phase.shape:
        raise InputError("magnitude", f"shape {magnitude.shape}", f"the phase's shape {phase.shape}")
    first = phase[..., 0]
    check_echoes(first, magnitude[..., 0], echo_times_s, np.ones(first.shape[:3], np.bool_) if mask is None else mask)
    check_two_echoes(echo_times_s)
