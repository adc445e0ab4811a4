"""The complex multi-echo signal of a head on the scanner's grid."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.quantities import TWO_PI

from ..anatomy.head import Head
from ..anatomy.separable import Volume, along_axes, scanner_weights
from .protocol import Protocol

Complex = NDArray[np.complex64]


def spoiled_signal(head: Head, protocol: Protocol) -> Volume:
    """Signal of a spoiled gradient echo at echo time zero, a.u. (Ernst and Anderson 1966)."""
    flip_rad = np.deg2rad(protocol.flip_angle_deg)
    recovered = np.exp(np.float32(-protocol.repetition_time_s) * head.maps["r1"])
    signal = (1 - recovered) / (1 - np.float32(np.cos(flip_rad)) * recovered)
    return head.maps["proton_density"] * signal * np.float32(np.sin(flip_rad))


def echoes(
    start: Volume, rate_per_s: Volume, field_hz: Volume, protocol: Protocol, shape: tuple[int, int, int]
) -> Iterator[Complex]:
    """Echo after echo, with the dephasing in voxels and the ringing that sampling k-space gives, without noise.

    Parameters
    ----------
    start : ndarray, shape (I, J, K)
        Signal at echo time zero on the fine grid, a.u.
    rate_per_s : ndarray, shape (I, J, K)
        R2*, 1/s.
    field_hz : ndarray, shape (I, J, K)
        Hz.
    protocol : Protocol
        Echo times, evenly spaced, and the window on k-space.
    shape : tuple of int
        Of the scanner's grid, which covers the same volume; even lengths.

    Yields
    ------
    ndarray of complex64, of that shape
    """
    times_s = protocol.echo_times_s
    weights = [scanner_weights(fine, coarse, protocol.taper) for fine, coarse in zip(start.shape, shape, strict=True)]
    signal = start * _turn(rate_per_s, field_hz, times_s[0])
    step = _turn(rate_per_s, field_hz, times_s[1] - times_s[0])
    for echo in range(len(times_s)):
        if echo:
            signal *= step
        yield along_axes(signal.real, weights) + np.complex64(1j) * along_axes(signal.imag, weights)


def _turn(rate_per_s: Volume, field_hz: Volume, time_s: float) -> Complex:
    """exp((−R2* + 2πi f) t)."""
    angle = field_hz * np.float32(TWO_PI * time_s)
    turn = np.empty(angle.shape, np.complex64)
    np.cos(angle, out=turn.real)
    np.sin(angle, out=turn.imag)
    turn *= np.exp(rate_per_s * np.float32(-time_s))
    return turn
