"""Loops of the decay fits, compiled with numba; import this module inside functions only.

Samples are (N, E) float32, one row for each voxel; sums run in double precision.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..artifacts import Array

_LOWEST_FACTOR = 0.05
_SERIES_BELOW = 1.0
_ASYMPTOTIC_FROM = 30.0
_SINGULAR = 1e-9
_STEP_PER_S, _CLOSE_PER_S, _ITERATIONS = 40.0, 2e-3, 25


@njit(cache=True, nogil=True)
def arlo(samples: Array, weights: Array, rate: Array) -> None:
    """R2* = Σ Z·d / Σ Z·S over triples; ``weights`` (E − 2, 3) integrate the parabola through each."""
    for v in range(samples.shape[0]):
        above = below = 0.0
        for n in range(samples.shape[1] - 2):
            drop = samples[v, n] - samples[v, n + 2]
            instrument = (weights[n, 0] + weights[n, 2]) * samples[v, n] + weights[n, 1] * samples[v, n + 1]
            above += instrument * drop
            below += instrument * (instrument - weights[n, 2] * drop)
        rate[v] = above / below if below > 0.0 else np.nan


@njit(cache=True, nogil=True)
def log_linear(samples: Array, times: Array, rate: Array) -> None:
    """Weighted line through the logarithms; the times are centred first, which keeps digits."""
    echoes = times.size
    logarithm = np.empty(echoes)
    for v in range(samples.shape[0]):
        largest = max(samples[v].max(), np.float32(0.0))
        total = moment = 0.0
        for e in range(echoes):
            size = max(samples[v, e], np.float32(0.0))
            logarithm[e] = np.log(size / largest) if size > 0.0 else 0.0
            total += size * size
            moment += size * size * times[e]
        above = below = 0.0
        for e in range(echoes):
            size = max(samples[v, e], np.float32(0.0))
            centred = times[e] - moment / total if total > 0.0 else 0.0
            above -= size * size * centred * logarithm[e]
            below += size * size * centred * centred
        rate[v] = above / below if below > 0.0 else np.nan


@njit(cache=True, nogil=True)
def _sinc(angle: float) -> float:
    """sin(x)/x, by its series where that is as good."""
    if angle < _SERIES_BELOW:
        y = angle * angle
        return 1.0 - y / 6.0 * (1.0 - y / 20.0 * (1.0 - y / 42.0 * (1.0 - y / 72.0)))
    return np.sin(angle) / angle


@njit(cache=True, nogil=True)
def _dephasing(spread_hz: Array, times: Array, factor: Array) -> None:
    """F(t) = Π |sinc(Δf t)| with Δf the field's difference across the voxel along each axis."""
    for e in range(times.size):
        angle = np.pi * times[e]
        factor[e] = abs(
            _sinc(angle * abs(spread_hz[0])) * _sinc(angle * abs(spread_hz[1])) * _sinc(angle * abs(spread_hz[2]))
        )


@njit(cache=True, nogil=True)
def bessel_ratio(x: float) -> float:
    """I₁(x)/I₀(x) to 1e-6: Abramowitz and Stegun 9.8.1 to 9.8.4, and three terms of the expansion beyond 30."""
    if x > _ASYMPTOTIC_FROM:
        y = 1.0 / x
        return 1.0 - y * (0.5 + y * (0.125 + y * 0.125))
    if x < 3.75:
        y = (x / 3.75) ** 2
        one = 0.5 + y * (
            0.87890594 + y * (0.51498869 + y * (0.15084934 + y * (0.02658733 + y * (0.00301532 + y * 0.00032411))))
        )
        zero = 1.0 + y * (
            3.5156229 + y * (3.0899424 + y * (1.2067492 + y * (0.2659732 + y * (0.0360768 + y * 0.0045813))))
        )
        return x * one / zero
    y = 3.75 / x
    one = 0.02282967 + y * (-0.02895312 + y * (0.01787654 - y * 0.00420059))
    one = 0.39894228 + y * (-0.03988024 + y * (-0.00362018 + y * (0.00163801 + y * (-0.01031555 + y * one))))
    zero = 0.00916281 + y * (-0.02057706 + y * (0.02635537 + y * (-0.01647633 + y * 0.00392377)))
    zero = 0.39894228 + y * (0.01328592 + y * (0.00225319 + y * (-0.00157565 + y * zero)))
    return one / zero


@njit(cache=True, nogil=True)
def _start(sample: Array, times: Array, factor: Array, doubt: Array, variance: float) -> tuple[float, float]:
    """Amplitude and rate of the weighted log-linear fit; an amplitude of 0 where there is none."""
    total = first = second = value = slope = 0.0
    for e in range(times.size):
        if sample[e] <= 0.0 or factor[e] <= _LOWEST_FACTOR:
            continue
        size = float(sample[e])
        weight = size * size / (variance + (doubt[e] / factor[e] * size) ** 2)
        logarithm = np.log(size / factor[e])
        total += weight
        first += weight * times[e]
        second += weight * times[e] * times[e]
        value += weight * logarithm
        slope += weight * logarithm * times[e]
    determinant = total * second - first * first
    if not determinant > _SINGULAR * total * second:
        return 0.0, 0.0
    rate = (first * value - total * slope) / determinant
    return np.exp((value + rate * first) / total), rate


@njit(cache=True, nogil=True)
def _normal_equations(
    sample: Array, times: Array, factor: Array, doubt: Array, amplitude: float, rate: float, variance: float,
    rician: bool,
) -> tuple[float, float, float, float, float, float, float, float]:  # fmt: skip
    """Matrix (aa, ab, bb) of amplitude and rate, right sides of the residual (g) and of the doubt (u), Σ w r²."""
    aa = ab = bb = ga = gb = ua = ub = squares = 0.0
    for e in range(times.size):
        decay = np.exp(-rate * times[e])
        unit = factor[e] * decay
        expected = amplitude * unit
        measured = float(sample[e])
        if rician:
            measured *= bessel_ratio(measured * expected / variance)
        slope, left, unsure = -expected * times[e], measured - expected, doubt[e] * amplitude * decay
        weight = 1.0 / (1.0 + unsure * unsure / variance)
        aa += weight * unit * unit
        ab += weight * unit * slope
        bb += weight * slope * slope
        ga += weight * unit * left
        gb += weight * slope * left
        ua += weight * unit * unsure
        ub += weight * slope * unsure
        squares += weight * left * left
    return aa, ab, bb, ga, gb, ua, ub, squares


@njit(cache=True, nogil=True)
def _gauss_newton(
    sample: Array, times: Array, factor: Array, doubt: Array, variance: float, rician: bool, highest: float
) -> tuple[float, float, float]:
    """Rate, its standard deviation and the squared residual of one voxel; NaN where there is no rate.

    Where the noise is Rician, each step fits m·I₁/I₀(m·a/σ²) in place of m, whose fixed point is the
    maximum of the likelihood (expectation maximisation over the unknown phase of the noise).
    """
    amplitude, rate = _start(sample, times, factor, doubt, variance)
    if amplitude <= 0.0:
        return np.nan, np.nan, np.nan
    rate = min(max(rate, -highest), highest)
    deviation = squares = np.nan
    for _ in range(_ITERATIONS):
        aa, ab, bb, ga, gb, ua, ub, squares = _normal_equations(
            sample, times, factor, doubt, amplitude, rate, variance, rician
        )
        determinant = aa * bb - ab * ab
        if not determinant > _SINGULAR * aa * bb:
            return np.nan, np.nan, squares
        shift = (aa * ub - ab * ua) / determinant
        deviation = np.sqrt(variance * aa / determinant + shift * shift)
        step = min(max((aa * gb - ab * ga) / determinant, -_STEP_PER_S), _STEP_PER_S)
        amplitude = max(amplitude + (bb * ga - ab * gb) / determinant, 1e-3 * amplitude)
        rate = min(max(rate + step, -highest), highest)
        if abs(step) < _CLOSE_PER_S:
            break
    return rate, deviation, squares


@njit(cache=True, nogil=True)
def nonlinear(
    samples: Array, spread_hz: Array, times: Array, noise: float, rician: bool, doubt_share: float,
    highest: float, rate: Array, deviation: Array, misfit: Array,
) -> None:  # fmt: skip
    """Fit A·F(t)·exp(−R t) to each voxel; ``spread_hz`` with no rows makes F = 1."""
    factor, doubt = np.ones(times.size), np.zeros(times.size)
    for v in range(samples.shape[0]):
        if spread_hz.shape[0] > 0:
            _dephasing(spread_hz[v], times, factor)
            doubt[:] = doubt_share * (1.0 - factor)
        rate[v], deviation[v], misfit[v] = _gauss_newton(
            samples[v], times, factor, doubt, noise * noise, rician, highest
        )


@njit(cache=True, nogil=True)
def smooth_colour(
    value: Array, data: Array, precision: Array, inside: Array, axis_weights: Array, edge: float,
    colour: int, start: int, stop: int,
) -> None:  # fmt: skip
    """Gauss-Seidel step of the Huber-regularised map on the voxels of one colour of the chess board.

    The volumes have a rim of one voxel outside the mask.
    """
    for i in range(start, stop):
        for j in range(1, value.shape[1] - 1):
            for k in range(1 + (i + j + colour) % 2, value.shape[2] - 1, 2):
                if not inside[i, j, k]:
                    continue
                here = value[i, j, k]
                above, below = precision[i, j, k] * data[i, j, k], precision[i, j, k]
                for axis in range(3):
                    for side in (-1, 1):
                        a = i + side if axis == 0 else i
                        b = j + side if axis == 1 else j
                        c = k + side if axis == 2 else k
                        if inside[a, b, c]:
                            there = value[a, b, c]
                            weight = axis_weights[axis] * edge / max(edge, abs(there - here))
                            above += weight * there
                            below += weight
                if below > 0.0:
                    value[i, j, k] = above / below
