"""Sequential loops of ROMEO, compiled with numba; import this module inside functions only.

Volumes are flat, in C order. Edge ``axis * n_voxels + v`` joins voxel ``v`` with its next
neighbour along the axis. Its cost is 1 (best) to 255; 0 means that there is no edge.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..artifacts import Array

_ZERO, _HALF, _ONE, _TWO = (np.float32(value) for value in (0.0, 0.5, 1.0, 2.0))
_PI, _TWO_PI = np.float32(np.pi), np.float32(2.0 * np.pi)
_OUTSIDE = np.float32(0.9)
_N_COSTS = 256


@njit(cache=True, nogil=True)
def _wrap(angle: np.float32) -> np.float32:
    return angle - _TWO_PI * np.floor(angle / _TWO_PI + _HALF)


@njit(cache=True, nogil=True)
def _factor(quality: np.float32) -> np.float32:
    """Keep one bad quality from deciding alone."""
    return np.float32(0.1) + np.float32(0.9) * quality


@njit(cache=True, nogil=True)
def _straightness(before: np.float32, here: np.float32, after: np.float32) -> np.float32:
    """1 where phase is linear over three voxels in a row, 0.5 where that is unknown."""
    bend = abs(_wrap(before - _TWO * here + after))
    return _HALF if np.isnan(bend) else max(_ZERO, _ONE - _HALF * bend)


@njit(cache=True, nogil=True)
def _linearity(phase: Array, v: int, stride: int, position: int, length: int) -> np.float32:
    """Straightness around both ends of the edge; rows that leave the volume count as good."""
    if position == 0 or position + 2 >= length:
        return _OUTSIDE
    before, here, there, after = phase[v - stride], phase[v], phase[v + stride], phase[v + 2 * stride]
    return _straightness(before, here, there) * _straightness(here, there, after)


@njit(cache=True, nogil=True)
def _similarity(one: np.float32, other: np.float32) -> np.float32:
    """(min/max)² of two magnitudes; 0 where one is 0 or NaN."""
    if not (one > _ZERO and other > _ZERO):
        return _ZERO
    ratio = min(one, other) / max(one, other)
    return ratio * ratio


@njit(cache=True, nogil=True)
def edge_costs(
    shape: tuple[int, int, int],
    mask: Array,
    phase: Array,
    reference: Array,
    time_ratio: np.float32,
    magnitude: Array,
    use: tuple[bool, bool, bool, bool],
) -> Array:
    """Cost of every edge between masked voxels, shape (3, N), uint8.

    ``reference`` is the phase of another echo and ``time_ratio`` this echo's time over the other's;
    ``use`` switches the four qualities. Arrays of unused qualities may be empty.
    """
    strides = (shape[1] * shape[2], shape[2], 1)
    costs = np.zeros((3, mask.size), np.uint8)
    for v in range(mask.size):
        if not mask[v]:
            continue
        positions = (v // strides[0], v // strides[1] % shape[1], v % shape[2])
        for axis in range(3):
            u = v + strides[axis]
            if positions[axis] + 1 == shape[axis] or not mask[u]:
                continue
            step = _wrap(phase[u] - phase[v])
            weight = _ONE
            if use[0]:
                weight *= _factor(_ONE - abs(step) / _PI)
            if use[1]:
                expected = _wrap(reference[u] - reference[v]) * time_ratio
                weight *= _factor(max(_ZERO, _ONE - abs(step - expected)))
            if use[2]:
                weight *= _factor(_linearity(phase, v, strides[axis], positions[axis], shape[axis]))
            if use[3]:
                weight *= _factor(_similarity(magnitude[v], magnitude[u]))
            costs[axis, v] = max(np.rint(255 * (_ONE - weight)), 1)
    return costs


@njit(cache=True, nogil=True)
def _push_edges(v: int, strides: tuple[int, int, int], costs: Array, region: Array, top: Array, below: Array) -> int:
    """Put the edges from ``v`` to unvisited neighbours on their stacks; the lowest cost among them."""
    n_voxels = region.size
    lowest = _N_COSTS
    for axis in range(3):
        for first, other in ((v - strides[axis], v - strides[axis]), (v, v + strides[axis])):
            if first < 0 or costs[axis, first] == 0 or region[other] != 0:
                continue
            cost = costs[axis, first]
            edge = axis * n_voxels + first
            below[edge] = top[cost]
            top[cost] = edge
            lowest = min(lowest, cost)
    return lowest


@njit(cache=True, nogil=True)
def grow(phase: Array, costs: Array, shape: tuple[int, int, int], seeds: Array) -> Array:
    """Unwrap ``phase`` in place along the cheapest edges, from each seed that no earlier one reached.

    Edges wait on one stack for each cost; the stacks are linked lists through ``below``.

    Returns
    -------
    ndarray of int32, shape (N,)
        Number of the region of each voxel, from 1; 0 outside the mask.
    """
    n_voxels = phase.size
    strides = (shape[1] * shape[2], shape[2], 1)
    region = np.zeros(n_voxels, np.int32)
    top = np.full(_N_COSTS, -1, np.int32)
    below = np.empty(3 * n_voxels, np.int32)
    n_regions = 0
    for seed in seeds:
        if region[seed] != 0:
            continue
        n_regions += 1
        region[seed] = n_regions
        cost = _push_edges(seed, strides, costs, region, top, below)
        while cost < _N_COSTS:
            edge = top[cost]
            if edge < 0:
                cost += 1
                continue
            top[cost] = below[edge]
            axis = edge // n_voxels
            old = edge - axis * n_voxels
            new = old + strides[axis]
            if region[old] == 0:
                old, new = new, old
            elif region[new] != 0:
                continue
            phase[new] -= _TWO_PI * np.rint((phase[new] - phase[old]) / _TWO_PI)
            region[new] = n_regions
            cost = min(cost, _push_edges(new, strides, costs, region, top, below))
    return region
