"""Compiled loops over the voxels of a slab; import only inside functions, as numba takes long to load.

Every kernel takes the planes ``first`` to ``last`` of the first axis and writes into its last arguments.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ..artifacts import Array

#: Residuals of two starting values must differ by this share for the farther one to be taken.
_CLEARLY = 0.25


@njit(cache=True, nogil=True)
def average(
    first: int, last: int, values: Array, slopes: Array, magnitude: Array, mask: Array, fixed: Array,
    factors: Array, tiny: float, mean: Array, residual: Array, misfit: Array, noise_gain: Array, excess_gain: Array,
) -> None:  # fmt: skip
    """Slope of a line through zero, Σ W v / Σ W s, its misfits d, and its errors for each, in masked voxels.

    Misfits are √(Σ d²/E) and √(Σ |S|² d²/(E − 1)); the latter is 1 for a noise of 1, which moves the slope by
    √(Σ W²/|S|²)/Σ W s. An offset of v moves it by ΣW/ΣW s =: t and leaves Σ |S|² (1 − t s)².
    W is ``fixed`` where that has an entry for each echo, else ``factors`` × (|S|² + ``tiny``).
    """
    echoes = len(slopes)
    for i in range(first, last):
        for j in range(mask.shape[1]):
            for k in range(mask.shape[2]):
                if not mask[i, j, k]:
                    continue
                above, below, total, variance = 0.0, 0.0, 0.0, 0.0
                for echo in range(echoes):
                    power = magnitude[i, j, k, echo] ** 2 + tiny
                    weight = fixed[echo] if len(fixed) else factors[echo] * power
                    above += weight * values[i, j, k, echo]
                    below += weight * slopes[echo]
                    total += weight
                    variance += weight**2 / power
                slope, turn = above / below, total / below
                squares, weighted, left = 0.0, 0.0, 0.0
                for echo in range(echoes):
                    power = magnitude[i, j, k, echo] ** 2 + tiny
                    square = (values[i, j, k, echo] - slope * slopes[echo]) ** 2
                    squares += square
                    weighted += power * square
                    left += power * (1 - turn * slopes[echo]) ** 2
                mean[i, j, k] = slope
                residual[i, j, k] = math.sqrt(squares / echoes)
                misfit[i, j, k] = math.sqrt(weighted / max(echoes - 1, 1))
                noise_gain[i, j, k] = math.sqrt(variance) / below
                if echoes > 1 and left > 0:
                    excess_gain[i, j, k] = turn * math.sqrt((echoes - 1) / left)


@njit(cache=True, nogil=True)
def _wrapped(angle: float) -> float:
    return angle - 2 * math.pi * round(angle / (2 * math.pi))


@njit(cache=True, nogil=True)
def _start(phase: Array, power: Array, times: Array, turns: int) -> tuple[float, float, float, float]:
    """Line through phases that are unwrapped in time, echo by echo, and the spread of its weights.

    Returns
    -------
    offset, slope, total, spread : float
        rad, rad/s, Σ |S|², and Σ |S|² (TE − mean TE)².
    """
    slope = (_wrapped(phase[1] - phase[0]) + 2 * math.pi * turns) / (times[1] - times[0])
    total, time, value, spread, product = power[0], times[0], phase[0], 0.0, 0.0
    for echo in range(1, len(times)):
        # The next phase is the one nearest to the line so far, which is then updated by it.
        expected = value + slope * (times[echo] - time)
        unwrapped = expected + _wrapped(phase[echo] - expected)
        share = power[echo] / (total + power[echo])
        step, rise = times[echo] - time, unwrapped - value
        spread += total * share * step**2
        product += total * share * step * rise
        total += power[echo]
        time += share * step
        value += share * rise
        slope = product / spread
    return value - slope * time, slope, total, spread


@njit(cache=True, nogil=True)
def _refine(
    phase: Array, power: Array, times: Array, offset: float, slope: float, total: float, spread: float,
    iterations: int, tolerance: float,
) -> tuple[float, float, float]:  # fmt: skip
    """Gauss-Newton from a starting line; the last value is Σ |S − |S| exp(i line)|²."""
    middle = 0.0
    for echo in range(len(times)):
        middle += power[echo] * times[echo] / total
    span = times[-1] - times[0]
    for _ in range(iterations):
        pull, torque = 0.0, 0.0
        for echo in range(len(times)):
            force = power[echo] * math.sin(phase[echo] - offset - slope * times[echo])
            pull += force
            torque += force * (times[echo] - middle)
        turn = torque / spread
        slope += turn
        offset += pull / total - turn * middle
        if abs(turn) * span + abs(pull / total) < tolerance:
            break
    squares = 0.0
    for echo in range(len(times)):
        squares += 2 * power[echo] * (1 - math.cos(phase[echo] - offset - slope * times[echo]))
    return offset, slope, squares


@njit(cache=True, nogil=True)
def _fit(
    phase: Array, power: Array, times: Array, most_turns: int, iterations: int, tolerance: float
) -> tuple[float, float, float, float]:
    """Offset, slope, Σ |S|² (TE − mean TE)² and relative residual, from the best of several starting slopes."""
    best, lowest = (0.0, 0.0, 0.0, 0.0), np.inf
    for place in range(2 * most_turns + 1):
        turns = (place + 1) // 2 if place % 2 else -(place // 2)
        offset, slope, total, spread = _start(phase, power, times, turns)
        offset, slope, squares = _refine(phase, power, times, offset, slope, total, spread, iterations, tolerance)
        if squares < (1 - _CLEARLY) * lowest:
            lowest, best = squares, (offset, slope, spread, math.sqrt(squares / total))
    return best


@njit(cache=True, nogil=True)
def fit_complex(
    first: int, last: int, phase: Array, magnitude: Array, mask: Array, times: Array, tiny: float, most_turns: int,
    iterations: int, tolerance: float, offset: Array, slope: Array, spread: Array, residual: Array,
) -> None:  # fmt: skip
    """Phase offset (rad), slope (rad/s), √Σ |S|² (TE − mean TE)² and relative residual; |S|² grows by ``tiny``."""
    angle, power = np.empty(len(times)), np.empty(len(times))
    for i in range(first, last):
        for j in range(mask.shape[1]):
            for k in range(mask.shape[2]):
                if not mask[i, j, k]:
                    continue
                for echo in range(len(times)):
                    angle[echo] = phase[i, j, k, echo]
                    power[echo] = magnitude[i, j, k, echo] ** 2 + tiny
                p0, p1, width, misfit = _fit(angle, power, times, most_turns, iterations, tolerance)
                offset[i, j, k], slope[i, j, k] = _wrapped(p0), p1
                spread[i, j, k], residual[i, j, k] = math.sqrt(width), misfit


@njit(cache=True, nogil=True)
def intercepts(
    first: int, last: int, phase: Array, magnitude: Array, mask: Array, times: Array, offset: Array, precision: Array
) -> None:
    """Intercept (rad) of the line through each voxel's phases, weighted by |S|², and 1/variance for a noise of 1."""
    for i in range(first, last):
        for j in range(mask.shape[1]):
            for k in range(mask.shape[2]):
                if not mask[i, j, k]:
                    continue
                total, time, value = 0.0, 0.0, 0.0
                for echo in range(len(times)):
                    weight = magnitude[i, j, k, echo] ** 2
                    total += weight
                    time += weight * times[echo]
                    value += weight * phase[i, j, k, echo]
                if total <= 0.0:
                    continue
                time /= total
                value /= total
                spread, product = 0.0, 0.0
                for echo in range(len(times)):
                    step = magnitude[i, j, k, echo] ** 2 * (times[echo] - time)
                    spread += step * (times[echo] - time)
                    product += step * (phase[i, j, k, echo] - value)
                if spread <= 0.0:
                    continue
                offset[i, j, k] = value - product / spread * time
                precision[i, j, k] = 1.0 / (1.0 / total + time**2 / spread)


@njit(cache=True, nogil=True)
def subtract(first: int, last: int, offset: Array, mask: Array, phase: Array) -> None:
    """Subtract an offset from all echoes in masked voxels, in place."""
    for i in range(first, last):
        for j in range(mask.shape[1]):
            for k in range(mask.shape[2]):
                if mask[i, j, k]:
                    for echo in range(phase.shape[3]):
                        phase[i, j, k, echo] -= offset[i, j, k]
