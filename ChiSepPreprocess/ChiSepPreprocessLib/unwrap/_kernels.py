"""Loops of phase unwrapping, compiled with numba; import this module inside functions only.

Volumes lie flat in C order where a loop jumps between voxels. Edge ``3 v + axis`` joins voxel ``v``
with its next neighbour along the axis. Its cost is 1 (best) to 255; 0 means that there is no edge.
Functions that begin with ``first, last`` work on that slab of planes only and write nowhere else.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..artifacts import Array

_ZERO, _HALF, _ONE, _TWO = (np.float32(value) for value in (0.0, 0.5, 1.0, 2.0))
_PI, _TWO_PI = np.float32(np.pi), np.float32(2.0 * np.pi)
_PER_TURN = np.float32(0.5 / np.pi)
_OUTSIDE = np.float32(0.9)
_N_COSTS = 256


@njit(cache=True, nogil=True)
def wrap_angle(angle: np.float32) -> np.float32:
    """Bring an angle to ±π."""
    return angle - _TWO_PI * np.rint(angle * _PER_TURN)


@njit(cache=True, nogil=True)
def whole_turns(angle: np.float32) -> np.float32:
    """Multiple of 2π nearest to an angle."""
    return _TWO_PI * np.rint(angle * _PER_TURN)


@njit(cache=True, nogil=True)
def keep_finite(first: int, last: int, phase: Array, mask: Array) -> None:
    """Take voxels in which the phase of any echo is not finite out of the mask, in place."""
    for i in range(first, last):
        for j in range(mask.shape[1]):
            for k in range(mask.shape[2]):
                for echo in range(phase.shape[3]):
                    mask[i, j, k] &= np.isfinite(phase[i, j, k, echo])


@njit(cache=True, nogil=True)
def separate_echoes(first: int, last: int, interleaved: Array, echoes: tuple[int, ...], volumes: Array) -> None:
    """Copy some echoes of (I, J, K, E) to (len(echoes), I, J, K) in one sweep over memory."""
    for i in range(first, last):
        for j in range(volumes.shape[2]):
            for k in range(volumes.shape[3]):
                for n in range(len(echoes)):
                    volumes[n, i, j, k] = interleaved[i, j, k, echoes[n]]


@njit(cache=True, nogil=True)
def _factor(quality: np.float32) -> np.float32:
    """Keep one bad quality from deciding alone."""
    return np.float32(0.1) + np.float32(0.9) * quality


@njit(cache=True, nogil=True)
def _straightness(before: np.float32, here: np.float32, after: np.float32) -> np.float32:
    """1 where phase is linear over three voxels in a row, 0.5 where that is unknown."""
    bend = abs(wrap_angle(before - _TWO * here + after))
    return _HALF if np.isnan(bend) else max(_ZERO, _ONE - _HALF * bend)


@njit(cache=True, nogil=True)
def _linearity(phase: Array, v: int, stride: int, position: int, length: int) -> np.float32:
    """Straightness around both ends of the edge; rows that leave the volume count as good."""
    if position == 0 or position + 2 >= length:
        return _OUTSIDE
    before, here, there, after = phase[v - stride], phase[v], phase[v + stride], phase[v + 2 * stride]
    return _straightness(before, here, there) * _straightness(here, there, after)


@njit(cache=True, nogil=True)
def _phase_step_weight(
    v: int, u: int, phase: Array, reference: Array, time_ratio: np.float32, use: tuple[bool, ...]
) -> np.float32:
    """Product of the qualities of the phase step itself and of its agreement with another echo."""
    step = wrap_angle(phase[u] - phase[v])
    weight = _ONE
    if use[0]:
        weight *= _factor(_ONE - abs(step) / _PI)
    if use[1]:
        expected = wrap_angle(reference[u] - reference[v]) * time_ratio
        weight *= _factor(max(_ZERO, _ONE - abs(step - expected)))
    return weight


@njit(cache=True, nogil=True)
def _magnitude_weight(one: np.float32, other: np.float32, typical: np.float32, use: tuple[bool, ...]) -> np.float32:
    """Product of the three magnitude qualities; 0 as quality where a magnitude is 0 or NaN."""
    known = one > _ZERO and other > _ZERO
    low, high = (min(one, other), max(one, other)) if known else (_ZERO, _ONE)
    weight = _ONE
    if use[3]:
        weight *= _factor((low / high) * (low / high))
    if use[4]:
        weight *= _factor(_HALF + _HALF * min(_ONE, low / typical)) if known else _factor(_ZERO)
    if use[5]:
        weight *= _factor(_HALF + _HALF * min(_ONE, typical / high)) if known else _factor(_ZERO)
    return weight


@njit(cache=True, nogil=True)
def edge_costs(
    first: int,
    last: int,
    mask: Array,
    phase: Array,
    reference: Array,
    time_ratio: np.float32,
    magnitude: Array,
    typical_magnitude: np.float32,
    use: tuple[bool, bool, bool, bool, bool, bool],
    costs: Array,
) -> None:
    """Cost of every edge between masked voxels, into ``costs``, shape (3 N,), uint8, zero before.

    ``reference`` is the phase of another echo and ``time_ratio`` this echo's time over the other's;
    ``typical_magnitude`` is half the 95 % quantile; ``use`` switches the six qualities. Volumes of
    unused qualities may be empty.
    """
    shape = mask.shape
    strides = (shape[1] * shape[2], shape[2], 1)
    inside = mask.ravel()
    for i in range(first, last):
        for j in range(shape[1]):
            for k in range(shape[2]):
                v = i * strides[0] + j * strides[1] + k
                if not inside[v]:
                    continue
                positions = (i, j, k)
                for axis in range(3):
                    u = v + strides[axis]
                    if positions[axis] + 1 == shape[axis] or not inside[u]:
                        continue
                    weight = _phase_step_weight(v, u, phase, reference, time_ratio, use)
                    if use[2]:
                        weight *= _factor(_linearity(phase, v, strides[axis], positions[axis], shape[axis]))
                    if use[3] or use[4] or use[5]:
                        weight *= _magnitude_weight(magnitude[v], magnitude[u], typical_magnitude, use)
                    costs[3 * v + axis] = max(np.rint(255 * (_ONE - weight)), 1)


@njit(cache=True, nogil=True)
def mean_edge_weight(first: int, last: int, costs: Array, mask: Array, quality: Array) -> None:
    """Mean weight of the six edges of each masked voxel; a missing edge counts as 0."""
    strides = (mask.shape[1] * mask.shape[2], mask.shape[2], 1)
    for i in range(first, last):
        for j in range(mask.shape[1]):
            for k in range(mask.shape[2]):
                if not mask[i, j, k]:
                    continue
                v = i * strides[0] + j * strides[1] + k
                total = 0
                for axis in range(3):
                    total += (255 - costs[3 * v + axis]) * (costs[3 * v + axis] > 0)
                    if v >= strides[axis]:
                        behind = costs[3 * (v - strides[axis]) + axis]
                        total += (255 - behind) * (behind > 0)
                quality[i, j, k] = total / np.float32(6 * 255)


@njit(cache=True, nogil=True)
def seed_scores(costs: Array, voxels: Array) -> Array:
    """Sum of the costs of a voxel's three forward edges, 255 for a missing one."""
    scores = np.empty(voxels.size, np.uint16)
    for n in range(voxels.size):
        score = 0
        for axis in range(3):
            cost = costs[3 * voxels[n] + axis]
            score += cost if cost > 0 else 255
        scores[n] = score
    return scores


@njit(cache=True, nogil=True)
def _room_for_edges(costs: Array) -> Array:
    """Where the stack of each cost begins when each holds all edges of that cost, (257,)."""
    start = np.zeros(_N_COSTS + 1, np.int64)
    for cost in costs:
        start[cost + 1] += cost > 0
    return np.cumsum(start)


@njit(cache=True, nogil=True)
def _push_edges(v: int, strides: tuple[int, int, int], costs: Array, pending: Array, stack: Array, top: Array) -> int:
    """Put the edges from ``v`` to pending neighbours on their stacks; the lowest cost among them."""
    lowest = _N_COSTS
    for axis in range(3):
        for first, other in ((v - strides[axis], v - strides[axis]), (v, v + strides[axis])):
            edge = 3 * first + axis
            if first < 0 or costs[edge] == 0 or not pending[other]:
                continue
            cost = costs[edge]
            stack[top[cost]] = edge
            top[cost] += 1
            lowest = min(lowest, cost)
    return lowest


@njit(cache=True, nogil=True)
def grow(
    phase: Array, costs: Array, strides: tuple[int, int, int], pending: Array, seeds: Array, region: Array, number: int
) -> int:
    """Unwrap ``phase`` in place along the cheapest edges, from each seed that is still pending.

    Edges wait on one stack for each cost. An edge is pushed once at most, so that all stacks have
    their room in one array. Voxels that are reached leave ``pending`` and get the ``number`` of
    their seed in ``region``.

    Returns
    -------
    int
        Number after the last one given.
    """
    bottom = _room_for_edges(costs)
    top = bottom[:_N_COSTS].copy()
    stack = np.empty(bottom[_N_COSTS], np.int32)
    for seed in seeds:
        if not pending[seed]:
            continue
        pending[seed] = False
        region[seed] = number
        cost = _push_edges(seed, strides, costs, pending, stack, top)
        while cost < _N_COSTS:
            if top[cost] == bottom[cost]:
                cost += 1
                continue
            top[cost] -= 1
            edge = stack[top[cost]]
            old = edge // 3
            new = old + strides[edge - 3 * old]
            if pending[old]:
                old, new = new, old
            elif not pending[new]:
                continue
            phase[new] -= whole_turns(phase[new] - phase[old])
            pending[new] = False
            region[new] = number
            cost = min(cost, _push_edges(new, strides, costs, pending, stack, top))
        number += 1
    return number


@njit(cache=True, nogil=True)
def misfit_of_turns(values: Array, reference: Array, ratio: np.float32, region: Array, most: int, n: int) -> Array:
    """Mean misfit (rad) of each region 1 to n−1 to another echo, for −most to ``most`` turns, (n, 2 most + 1)."""
    misfit = np.zeros((n, 2 * most + 1))
    count = np.zeros(n, np.int64)
    for v in range(region.size):
        if region[v] == 0:
            continue
        count[region[v]] += 1
        for turns in range(-most, most + 1):
            expected = ratio * (values[v] + _TWO_PI * np.float32(turns))
            misfit[region[v], turns + most] += abs(wrap_angle(reference[v] - expected))
    return misfit / np.maximum(count, 1).reshape(n, 1)


@njit(cache=True, nogil=True)
def unwrap_in_time(
    first: int, last: int, mask: Array, template_values: Array, ratios: Array, template: int, phase: Array, out: Array
) -> None:
    """Bring each echo next to what the one nearer the template predicts, voxel by voxel.

    ``ratios[e]`` is the time of echo e over that of its neighbour towards the template.
    """
    n_echoes = phase.shape[3]
    for i in range(first, last):
        for j in range(mask.shape[1]):
            for k in range(mask.shape[2]):
                if not mask[i, j, k]:
                    continue
                value = template_values[i, j, k]
                out[i, j, k, template] = value
                for echo in range(template + 1, n_echoes):
                    wrapped = phase[i, j, k, echo]
                    value = wrapped + whole_turns(value * ratios[echo] - wrapped)
                    out[i, j, k, echo] = value
                value = template_values[i, j, k]
                for echo in range(template - 1, -1, -1):
                    wrapped = phase[i, j, k, echo]
                    value = wrapped + whole_turns(value * ratios[echo] - wrapped)
                    out[i, j, k, echo] = value


@njit(cache=True, nogil=True)
def _add_steps(phase_here: Array, phase_there: Array, ratios: Array, per_square_mm: float, out: Array) -> None:
    """Step of every echo to one neighbour, wrapped in the first and nearest to the one before in the others."""
    step = np.float32(0)
    for echo in range(phase_here.size):
        wrapped = phase_there[echo] - phase_here[echo]
        step = wrapped + whole_turns(step * ratios[echo] - wrapped)
        out[echo] += step * per_square_mm


@njit(cache=True, nogil=True)
def phase_laplacians(
    first: int, last: int, phase: Array, ratios: Array, mask: Array, per_square_mm: Array, out: Array
) -> None:
    """Sum of the steps to masked neighbours, each over its squared length, rad/mm², (E, I, J, K).

    ``ratios[e]`` is the time of echo e over that of the echo before.
    """
    for i in range(first, last):
        for j in range(mask.shape[1]):
            for k in range(mask.shape[2]):
                if not mask[i, j, k]:
                    continue
                for axis in range(3):
                    for side in (-1, 1):
                        a, b, c = i + side * (axis == 0), j + side * (axis == 1), k + side * (axis == 2)
                        if min(a, b, c) < 0 or a == mask.shape[0] or b == mask.shape[1] or c == mask.shape[2]:
                            continue
                        if mask[a, b, c]:
                            _add_steps(phase[i, j, k], phase[a, b, c], ratios, per_square_mm[axis], out[:, i, j, k])
