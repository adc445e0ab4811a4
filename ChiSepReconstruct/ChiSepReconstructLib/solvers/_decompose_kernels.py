"""Loops of the three-pool fit, compiled with numba; import this module inside functions only.

A voxel has six parameters ``x``: amplitudes ``c₊, c₋, c₀``, the rate ``R₀`` in 1/s, and ``p, n`` in ppm, all ≥ 0. With
``u = a + iω`` its signal is ``S(t) = e^{−R₀t} (c₊ e^{−upt} + c₋ e^{−u*nt} + c₀)``, ``u*`` the conjugate. Its phase
falls with time where ``p`` rules, which is a matter of sign only. ``constants`` are ``a`` and ``ω``, 1/s and rad/s for
1 ppm.
"""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]

_PARAMETERS = 6
_RATE, _PARA, _DIA = 3, 4, 5
_TINY = 1e-30
_MOST_STEPS = 20
_DAMPING, _EASE, _STIFFEN, _MOST_DAMPING = 1e-4, 0.1, 8.0, 1e8
_TWO_PI = 2.0 * math.pi


@njit(cache=True, nogil=True)
def model(x: Array, times: Array, constants: Array, signal: Array, jacobian: Array) -> None:
    """Signal (E), complex, and its derivatives by the parameters (6, E)."""
    for e in range(times.size):
        t = times[e]
        base = math.exp(-x[_RATE] * t)
        u = complex(constants[0], constants[1]) * t
        para, dia = base * cmath.exp(-u * x[_PARA]), base * cmath.exp(-u.conjugate() * x[_DIA])
        signal[e] = x[0] * para + x[1] * dia + x[2] * base
        jacobian[0, e], jacobian[1, e], jacobian[2, e] = para, dia, base
        jacobian[_RATE, e] = -t * signal[e]
        jacobian[_PARA, e] = -u * x[0] * para
        jacobian[_DIA, e] = -u.conjugate() * x[1] * dia


@njit(cache=True, nogil=True)
def _residual(data: Array, logarithmic: bool, signal: Array, jacobian: Array, residual: Array) -> float:
    """Model less data, or its logarithm less the data's, on the branch next to the data's; gives the sum of squares."""
    cost = 0.0
    for e in range(data.size):
        if logarithmic:
            whole = signal[e] if abs(signal[e]) > _TINY else complex(_TINY, 0.0)
            residual[e] = cmath.log(whole / data[e])
            for row in range(_PARAMETERS):
                jacobian[row, e] /= whole
        else:
            residual[e] = signal[e] - data[e]
        cost += residual[e].real ** 2 + residual[e].imag ** 2
    return cost


@njit(cache=True, nogil=True)
def _solve(matrix: Array, right: Array, free: Array) -> None:
    """Solve in place for the free rows of a symmetric positive matrix; the others of ``right`` become 0."""
    for row in range(_PARAMETERS):
        if not free[row]:
            matrix[row, :], matrix[:, row], right[row] = 0.0, 0.0, 0.0
            matrix[row, row] = 1.0
    for row in range(_PARAMETERS):
        pivot = max(matrix[row, row], _TINY)
        for below in range(row + 1, _PARAMETERS):
            share = matrix[below, row] / pivot
            if share != 0.0:
                for column in range(row, _PARAMETERS):
                    matrix[below, column] -= share * matrix[row, column]
                right[below] -= share * right[row]
    for row in range(_PARAMETERS - 1, -1, -1):
        for column in range(row + 1, _PARAMETERS):
            right[row] -= matrix[row, column] * right[column]
        right[row] /= max(matrix[row, row], _TINY)


@njit(cache=True, nogil=True)
def _normal_equations(jacobian: Array, residual: Array, matrix: Array, downhill: Array) -> None:
    """``Re JᴴJ`` and ``−Re Jᴴr``."""
    for row in range(_PARAMETERS):
        downhill[row] = 0.0
        for e in range(residual.size):
            downhill[row] -= (jacobian[row, e].conjugate() * residual[e]).real
        for column in range(row, _PARAMETERS):
            total = 0.0
            for e in range(residual.size):
                total += (jacobian[row, e].conjugate() * jacobian[column, e]).real
            matrix[row, column] = matrix[column, row] = total


@njit(cache=True, nogil=True)
def minimise(
    x: Array, data: Array, times: Array, constants: Array, most: Array, chosen: Array, logarithmic: bool, steps: int,
    tolerance: float,
) -> bool:  # fmt: skip
    """Levenberg-Marquardt over the ``chosen`` parameters of ``x``, in place, within 0 to ``most``.

    A parameter on its bound stays there while the gradient pushes it out. Gives whether the last step that helped, or
    the one that was asked for, made the sum of squares smaller by no more than a share of ``tolerance``.
    """
    count = times.size
    signal, residual = np.empty(count, np.complex128), np.empty(count, np.complex128)
    jacobian = np.empty((_PARAMETERS, count), np.complex128)
    matrix, work = np.empty((_PARAMETERS, _PARAMETERS)), np.empty((_PARAMETERS, _PARAMETERS))
    downhill, step, trial = np.empty(_PARAMETERS), np.empty(_PARAMETERS), np.empty(_PARAMETERS)
    free = np.empty(_PARAMETERS, np.bool_)
    model(x, times, constants, signal, jacobian)
    cost, damping = _residual(data, logarithmic, signal, jacobian, residual), _DAMPING
    _normal_equations(jacobian, residual, matrix, downhill)
    for _ in range(steps):
        for row in range(_PARAMETERS):
            outward = (x[row] <= 0.0 and downhill[row] < 0.0) or (x[row] >= most[row] and downhill[row] > 0.0)
            free[row] = chosen[row] and not outward
        step[:], work[:] = downhill, matrix
        for row in range(_PARAMETERS):
            work[row, row] *= 1.0 + damping
        _solve(work, step, free)
        expected = 0.0
        for row in range(_PARAMETERS):
            trial[row] = min(max(x[row] + step[row], 0.0), most[row])
            expected += (trial[row] - x[row]) * downhill[row]
        if expected <= tolerance * cost:
            return True
        model(trial, times, constants, signal, jacobian)
        reached = _residual(data, logarithmic, signal, jacobian, residual)
        if reached < cost:
            done = cost - reached <= tolerance * cost
            x[:], cost, damping = trial, reached, damping * _EASE
            if done:
                return True
            _normal_equations(jacobian, residual, matrix, downhill)
        else:
            damping *= _STIFFEN
            if damping > _MOST_DAMPING:
                return True
    return False


@njit(cache=True, nogil=True)
def _fit_rate(x: Array, data: Array, times: Array, constants: Array, signal: Array, jacobian: Array) -> None:
    """``R₀ ≥ 0`` of the logarithms, in which it is linear: a line through the origin."""
    x[_RATE] = 0.0
    model(x, times, constants, signal, jacobian)
    above = below = 0.0
    for e in range(times.size):
        above += times[e] * math.log(max(abs(signal[e]), _TINY) / abs(data[e]))
        below += times[e] * times[e]
    x[_RATE] = max(above / below, 0.0)


@njit(cache=True, nogil=True)
def component(share: float, rest: float, chi: float, times: Array, constants: Array) -> float:
    """Apparent χ of a pool beside neutral ones: the phase of their sum over that of 1 ppm, both summed over echoes."""
    total = last = whole = 0.0
    for e in range(times.size):
        fall, turn = share * math.exp(-constants[0] * chi * times[e]), constants[1] * chi * times[e]
        angle = math.atan2(fall * math.sin(turn), fall * math.cos(turn) + rest)
        last = angle - _TWO_PI * round((angle - last) / _TWO_PI)
        total += last
        whole += constants[1] * times[e]
    return total / whole


@njit(cache=True, nogil=True)
def _sources(x: Array, times: Array, constants: Array) -> tuple[float, float]:
    para = component(x[0], x[1] + x[2], x[_PARA], times, constants)
    return para, component(x[1], x[0] + x[2], x[_DIA], times, constants)


@njit(cache=True, nogil=True)
def fit(
    first: int, last: int, signal: Array, times: Array, constants: Array, start: Array, most: Array,
    rounds: int, joint_steps: int, tolerance: float, still: float, sources: Array, converged: Array,
) -> None:  # fmt: skip
    """Fit the voxels from ``first`` up to ``last`` of ``signal`` (N, E), complex.

    Writes ``sources`` (N, 2) in ppm and ``converged`` (N): whether the last round of alternation moved both by less
    than ``still`` ppm, or the joint fit ended by itself. A voxel with an echo of no signal keeps the zeros that it has.
    """
    data, work = np.empty(times.size, np.complex128), np.empty(times.size, np.complex128)
    jacobian, x = np.empty((_PARAMETERS, times.size), np.complex128), np.empty(_PARAMETERS)
    amplitudes, sizes = np.zeros(_PARAMETERS, np.bool_), np.zeros(_PARAMETERS, np.bool_)
    everything = np.ones(_PARAMETERS, np.bool_)
    amplitudes[:_RATE], sizes[_PARA:] = True, True
    for v in range(first, last):
        scale = abs(signal[v, 0])
        if not (np.abs(signal[v]).min() > 0.0 and np.isfinite(signal[v].sum())):
            continue
        for e in range(times.size):
            data[e] = signal[v, e] / scale
        x[:] = start
        for n in range(rounds):
            if n == rounds - 1:
                before = _sources(x, times, constants)
            minimise(x, data, times, constants, most, amplitudes, False, _MOST_STEPS, tolerance)
            _fit_rate(x, data, times, constants, work, jacobian)
            minimise(x, data, times, constants, most, sizes, True, _MOST_STEPS, tolerance)
        para, dia = _sources(x, times, constants)
        if joint_steps > 0:
            converged[v] = minimise(x, data, times, constants, most, everything, False, joint_steps, tolerance)
            para, dia = _sources(x, times, constants)
        elif rounds > 0:
            converged[v] = abs(para - before[0]) < still and abs(dia - before[1]) < still
        sources[v, 0], sources[v, 1] = para, dia
