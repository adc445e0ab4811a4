"""Loops of phase offsets, compiled with numba; import this module inside functions only.

Functions that begin with ``first, last`` work on that slab and write nowhere else.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..artifacts import Array
from ..unwrap._kernels import wrap_angle


@njit(cache=True, nogil=True)
def add_echo_products(
    first: int, last: int, magnitude: Array, phase: Array, one: int, other: int, product: Array
) -> None:
    """Add m₁ m₂ exp(i(φ₂ − φ₁)) of two echoes to a complex volume; what is not finite adds nothing."""
    for i in range(first, last):
        for j in range(product.shape[1]):
            for k in range(product.shape[2]):
                weight = magnitude[i, j, k, one] * magnitude[i, j, k, other]
                step = phase[i, j, k, other] - phase[i, j, k, one]
                if np.isfinite(weight) and np.isfinite(step):
                    product[i, j, k] += weight * np.complex64(complex(np.cos(step), np.sin(step)))


@njit(cache=True, nogil=True)
def polar(first: int, last: int, product: Array, amplitude: Array, angle: Array) -> None:
    """Root of the modulus, and the angle, of a complex volume."""
    for i in range(first, last):
        for j in range(product.shape[1]):
            for k in range(product.shape[2]):
                z = product[i, j, k]
                amplitude[i, j, k] = np.sqrt(np.sqrt(z.real * z.real + z.imag * z.imag))
                angle[i, j, k] = np.arctan2(z.imag, z.real)


@njit(cache=True, nogil=True)
def phasors(first: int, last: int, phase: Array, weight: Array, mask: Array, out: Array) -> None:
    """Weight × exp(i φ) inside the mask where both are finite; an empty weight counts as 1."""
    for i in range(first, last):
        for j in range(mask.shape[1]):
            for k in range(mask.shape[2]):
                angle = phase[i, j, k]
                amplitude = weight[i, j, k] if weight.size else np.float32(1)
                if mask[i, j, k] and np.isfinite(angle) and np.isfinite(amplitude):
                    out[i, j, k] = amplitude * np.complex64(complex(np.cos(angle), np.sin(angle)))


@njit(cache=True, nogil=True)
def add_steps(first: int, last: int, signal: Array, sums: Array) -> None:
    """Sum of conj(z) z′ over neighbours along each axis, into the three sums of each plane, (I, 3)."""
    for i in range(first, last):
        for j in range(signal.shape[1]):
            for k in range(signal.shape[2]):
                z = np.conj(signal[i, j, k])
                if i + 1 < signal.shape[0]:
                    sums[i, 0] += z * signal[i + 1, j, k]
                if j + 1 < signal.shape[1]:
                    sums[i, 1] += z * signal[i, j + 1, k]
                if k + 1 < signal.shape[2]:
                    sums[i, 2] += z * signal[i, j, k + 1]


@njit(cache=True, nogil=True)
def smooth_across_rows(first: int, last: int, axis: int, volume: Array, taps: Array, out: Array) -> None:
    """Weighted sum along axis 0 or 1 of a float volume; the slab is of the other one of the two."""
    radius, length = taps.size // 2, volume.shape[axis]
    for fixed in range(first, last):
        for position in range(length):
            row = out[position, fixed] if axis == 0 else out[fixed, position]
            for t in range(max(radius - position, 0), min(taps.size, length + radius - position)):
                other = position + t - radius
                source = volume[other, fixed] if axis == 0 else volume[fixed, other]
                for k in range(row.size):
                    row[k] += taps[t] * source[k]


@njit(cache=True, nogil=True)
def smooth_along_rows(first: int, last: int, stride: int, volume: Array, taps: Array, out: Array) -> None:
    """Weighted sum along axis 2 of a float volume in which ``stride`` numbers make one voxel."""
    radius = taps.size // 2
    for i in range(first, last):
        for j in range(volume.shape[1]):
            for t in range(taps.size):
                shift = (t - radius) * stride
                row = out[i, j, max(-shift, 0) : max(volume.shape[2] - shift, 0)]
                source = volume[i, j, max(shift, 0) :]
                for k in range(min(row.size, source.size)):
                    row[k] += taps[t] * source[k]


@njit(cache=True, nogil=True)
def angle_with_ramp(first: int, last: int, smooth: Array, slopes: Array, angle: Array) -> None:
    """Angle of a complex volume plus a linear phase (rad per voxel), within ±π; 0 where the volume is 0."""
    for i in range(first, last):
        for j in range(angle.shape[1]):
            for k in range(angle.shape[2]):
                z = smooth[i, j, k]
                if z != 0:
                    ramp = np.float32(slopes[0] * i + slopes[1] * j + slopes[2] * k)
                    angle[i, j, k] = wrap_angle(np.arctan2(z.imag, z.real) + ramp)


@njit(cache=True, nogil=True)
def subtract_offset(first: int, last: int, phase: Array, offset: Array, scales: Array, out: Array) -> None:
    """Phase minus ``scales[echo]`` times the offset, within ±π."""
    for i in range(first, last):
        for j in range(phase.shape[1]):
            for k in range(phase.shape[2]):
                for echo in range(phase.shape[3]):
                    out[i, j, k, echo] = wrap_angle(phase[i, j, k, echo] - scales[echo] * offset[i, j, k])


@njit(cache=True, nogil=True)
def add_channel(
    first: int, last: int, magnitude: Array, phase: Array, offset: Array, signal: Array, power: Array
) -> None:
    """Add one channel's m² exp(i(φ − offset)) and m²; what is not finite adds nothing."""
    for i in range(first, last):
        for j in range(phase.shape[1]):
            for k in range(phase.shape[2]):
                for echo in range(phase.shape[3]):
                    square = magnitude[i, j, k, echo] * magnitude[i, j, k, echo]
                    angle = phase[i, j, k, echo] - offset[i, j, k]
                    if np.isfinite(square) and np.isfinite(angle):
                        signal[i, j, k, echo] += square * np.complex64(complex(np.cos(angle), np.sin(angle)))
                        power[i, j, k, echo] += square
