"""Loops of the decay fits, compiled with numba; import this module inside functions only.

Samples are float32, (N, E) with a row for each voxel, or (I, J·K, E) with a mask beside them. Sums run in double
precision. Functions that begin with ``first, last`` work on those planes or rows only and write nowhere else.
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
def _is_finite(samples: Array, i: int, v: int) -> bool:
    """Whether no echo is NaN or infinite: then neither is the sum in double precision."""
    total = 0.0
    for e in range(samples.shape[2]):
        total += samples[i, v, e]
    return np.isfinite(total)


@njit(cache=True, nogil=True)
def gather(first: int, last: int, volume: Array, inside: Array, starts: Array, samples: Array, unusable: Array) -> None:
    """Copy the samples of the masked voxels of planes, and count those that are not finite."""
    for i in range(first, last):
        n = starts[i]
        for v in range(inside.shape[1]):
            if inside[i, v]:
                unusable[i] += not _is_finite(volume, i, v)
                for e in range(volume.shape[2]):
                    samples[n, e] = volume[i, v, e]
                n += 1


@njit(cache=True, nogil=True)
def _clamped(above: float, below: float, highest: float, counts: Array, i: int) -> float:
    """The quotient within 0 to ``highest``; counted where it is not, or where there is none."""
    rate = above / below if below > 0.0 else np.nan
    if rate >= 0.0 and rate <= highest:
        return rate
    counts[i, 0] += 1
    return highest if rate > highest else 0.0


@njit(cache=True, nogil=True)
def arlo(
    first: int, last: int, samples: Array, inside: Array, weights: Array, highest: float, rate: Array, counts: Array
) -> None:
    """R2* = Σ Z·d / Σ Z·S over triples; ``weights`` (E − 2, 3) integrate the parabola through each."""
    for i in range(first, last):
        for v in range(inside.shape[1]):
            if not inside[i, v]:
                continue
            above = below = 0.0
            for n in range(weights.shape[0]):
                drop = samples[i, v, n] - samples[i, v, n + 2]
                instrument = (weights[n, 0] + weights[n, 2]) * samples[i, v, n] + weights[n, 1] * samples[i, v, n + 1]
                above += instrument * drop
                below += instrument * (instrument - weights[n, 2] * drop)
            rate[i, v] = _clamped(above, below, highest, counts, i)
            counts[i, 1] += not _is_finite(samples, i, v)


@njit(cache=True, nogil=True)
def log_linear(
    first: int, last: int, samples: Array, inside: Array, times: Array, highest: float, rate: Array, counts: Array
) -> None:
    """Weighted line through the logarithms; the times are centred first, which keeps digits."""
    power, logarithm = np.empty(times.size), np.empty(times.size)
    for i in range(first, last):
        for v in range(inside.shape[1]):
            if not inside[i, v]:
                continue
            total = moment = 0.0
            for e in range(times.size):
                size = max(float(samples[i, v, e]), 0.0)
                power[e] = size * size
                logarithm[e] = np.log(size) if size > 0.0 else 0.0
                total += power[e]
                moment += power[e] * times[e]
            above = below = 0.0
            centre = moment / total if total > 0.0 else 0.0
            for e in range(times.size):
                centred = times[e] - centre
                above -= power[e] * centred * logarithm[e]
                below += power[e] * centred * centred
            rate[i, v] = _clamped(above, below, highest, counts, i)
            counts[i, 1] += not _is_finite(samples, i, v)


@njit(cache=True, nogil=True)
def _slope(steps: tuple[float, float, float, float], joined: tuple[bool, bool, bool, bool]) -> float:
    """Slope at the middle of five voxels in a row, from the four steps between those that are joined."""
    if joined[1] and joined[2]:
        return 0.5 * (steps[1] + steps[2])
    if joined[1]:
        return 1.5 * steps[1] - 0.5 * steps[0] if joined[0] else steps[1]
    if joined[2]:
        return 1.5 * steps[2] - 0.5 * steps[3] if joined[3] else steps[2]
    return 0.0


@njit(cache=True, nogil=True)
def field_spread(
    first: int, last: int, field: Array, inside: Array, strides: tuple[int, int, int], starts: Array, spread_hz: Array
) -> None:
    """Slopes (N, 3) at the masked voxels of planes; the volumes are flat and have a rim of two voxels outside."""
    for i in range(first, last):
        n = starts[i]
        for v in range(i * strides[0], (i + 1) * strides[0]):
            if not inside[v]:
                continue
            for axis in range(3):
                a, b, c, d = v - 2 * strides[axis], v - strides[axis], v + strides[axis], v + 2 * strides[axis]
                # Scalars: to hand over the arrays takes longer than the sums do.
                steps = (field[b] - field[a], field[v] - field[b], field[c] - field[v], field[d] - field[c])
                joined = (inside[a], inside[b], inside[c], inside[d])
                spread_hz[n, axis] = _slope(steps, joined)
            n += 1


@njit(cache=True, nogil=True)
def _sinc(angle: float) -> float:
    """sin(x)/x, by its series where that is as good."""
    if angle < _SERIES_BELOW:
        y = angle * angle
        return 1.0 - y * (1 / 6) * (1.0 - y * (1 / 20) * (1.0 - y * (1 / 42) * (1.0 - y * (1 / 72))))
    return np.sin(angle) / angle


@njit(cache=True, nogil=True)
def _dephasing(spread_hz: Array, v: int, times: Array, factor: Array) -> None:
    """F(t) = Π |sinc(Δf t)| with Δf the field's difference across the voxel along each axis."""
    x, y, z = np.pi * abs(spread_hz[v, 0]), np.pi * abs(spread_hz[v, 1]), np.pi * abs(spread_hz[v, 2])
    for e in range(times.size):
        factor[e] = abs(_sinc(times[e] * x) * _sinc(times[e] * y) * _sinc(times[e] * z))


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
        undone = sample[e] / factor[e]
        weight = sample[e] * sample[e] / (variance + (doubt[e] * undone) ** 2)
        logarithm = np.log(undone)
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
    per_variance = 1.0 / variance
    for e in range(times.size):
        decay = np.exp(-rate * times[e])
        unit = factor[e] * decay
        expected = amplitude * unit
        measured = sample[e]
        if rician:
            measured *= bessel_ratio(measured * expected * per_variance)
        slope, left, unsure = -expected * times[e], measured - expected, doubt[e] * amplitude * decay
        weight = 1.0 / (1.0 + unsure * unsure * per_variance)
        weighted_unit, weighted_slope = weight * unit, weight * slope
        aa += weighted_unit * unit
        ab += weighted_unit * slope
        bb += weighted_slope * slope
        ga += weighted_unit * left
        gb += weighted_slope * left
        ua += weighted_unit * unsure
        ub += weighted_slope * unsure
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
    first: int, last: int, samples: Array, spread_hz: Array, times: Array, noise: float, rician: bool,
    doubt_share: float, highest: float, rate: Array, deviation: Array, misfit: Array,
) -> None:  # fmt: skip
    """Fit A·F(t)·exp(−R t) to each voxel; ``spread_hz`` with no rows makes F = 1."""
    factor, doubt, sample = np.ones(times.size), np.zeros(times.size), np.empty(times.size)
    for v in range(first, last):
        if spread_hz.shape[0] > 0:
            _dephasing(spread_hz, v, times, factor)
        for e in range(times.size):
            sample[e], doubt[e] = samples[v, e], doubt_share * (1.0 - factor[e])
        rate[v], deviation[v], misfit[v] = _gauss_newton(sample, times, factor, doubt, noise * noise, rician, highest)


@njit(cache=True, nogil=True)
def smooth_colour(
    first: int, last: int, value: Array, data: Array, precision: Array, inside: Array, axis_weights: Array,
    edge: float, colour: int,
) -> None:  # fmt: skip
    """Gauss-Seidel step of the Huber-regularised map on the voxels of one colour of the chess board.

    The volumes have a rim of one voxel outside the mask; ``first`` and ``last`` count planes without it.
    """
    for i in range(first + 1, last + 1):
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
