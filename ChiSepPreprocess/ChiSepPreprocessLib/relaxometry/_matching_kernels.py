"""Compiled search through a dictionary of decays; import only inside functions, as numba takes long to load.

``atoms`` has shape (B1, R2, echo) and unit norm along the echoes. At one B1 the correlation of a decay with the
atoms has a peak along R2, and at low B1 lesser ones beyond, where stimulated echoes are all that is
left: a coarse look finds the right one, smaller and smaller steps its top. The peak lies between
atoms; a parabola through three of them places it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..artifacts import Array

#: Atoms between the first looks along R2.
_COARSE = 12

# The two smallest functions are put in place of their calls: to hand over arrays takes longer than what they do.


@njit(cache=True, nogil=True, inline="always")
def _correlation(sample: Array, atoms: Array, b1: int, rate: int) -> float:
    total = 0.0
    for echo in range(sample.size):
        total += sample[echo] * atoms[b1, rate, echo]
    return total


@njit(cache=True, nogil=True, inline="always")
def _blended(sample: Array, atoms: Array, overlap: Array, place: float, rate: int) -> float:
    """Correlation with the atom at a fractional B1 index: two neighbours, mixed and normalised again.

    The mixture's norm is √(1 − 2y), and 1/√(1 − 2y) = 1 + y + 1.5 y² + 2.5 y³ …, where y is below 0.001.
    """
    b1 = min(int(place), atoms.shape[0] - 2)
    share = place - b1
    mixed = (1 - share) * _correlation(sample, atoms, b1, rate) + share * _correlation(sample, atoms, b1 + 1, rate)
    y = share * (1 - share) * (1 - overlap[b1, rate])
    return mixed * (1 + y * (1 + y * (1.5 + 2.5 * y)))


@njit(cache=True, nogil=True)
def _peak(before: float, middle: float, after: float) -> tuple[float, float]:
    """Offset and height of the parabola through three neighbours, of which the middle one is the largest."""
    bend = 2 * middle - before - after
    if bend <= 0:
        return 0.0, middle
    offset = min(max((after - before) / (2 * bend), -0.5), 0.5)
    return offset, middle + (after - before) * offset / 4


@njit(cache=True, nogil=True)
def _highest(sample: Array, atoms: Array, overlap: Array, place: float) -> tuple[int, float]:
    """Best R2 at a fractional B1 index: index and correlation."""
    count = atoms.shape[1]
    found, best = 0, -np.inf
    for rate in range(min(_COARSE, count) // 2, count, _COARSE):
        value = _blended(sample, atoms, overlap, place, rate)
        if value > best:
            found, best = rate, value
    step = _COARSE
    while step > 1:
        step = (step + 1) // 2
        middle = found
        for rate in (middle - step, middle + step):
            if 0 <= rate < count:
                value = _blended(sample, atoms, overlap, place, rate)
                if value > best:
                    found, best = rate, value
    return found, best


@njit(cache=True, nogil=True)
def _climbed(sample: Array, atoms: Array, b1: int, start: int) -> tuple[int, float]:
    """Best R2 at one B1, climbing from a start: index and the correlation at the peak."""
    last = atoms.shape[1] - 1
    rate, best = start, _correlation(sample, atoms, b1, start)
    before = _correlation(sample, atoms, b1, max(rate - 1, 0))
    after = _correlation(sample, atoms, b1, min(rate + 1, last))
    while after > best and rate < last:
        rate, before, best = rate + 1, best, after
        after = _correlation(sample, atoms, b1, min(rate + 1, last))
    while before > best and rate > 0:
        rate, after, best = rate - 1, best, before
        before = _correlation(sample, atoms, b1, max(rate - 1, 0))
    if 0 < rate < last:
        best = _peak(before, best, after)[1]
    return rate, best


@njit(cache=True, nogil=True)
def _take(samples: Array, n: int, sample: Array) -> float:
    """Copy a sample to a buffer (views into the array cost three times as much); return the sum of squares."""
    total = 0.0
    for echo in range(sample.size):
        sample[echo] = samples[n, echo]
        total += sample[echo] * sample[echo]
    return total


@njit(cache=True, nogil=True)
def add_misfit(first: int, last: int, samples: Array, atoms: Array, overlap: Array, rows: Array, misfit: Array) -> None:
    """Add each sample's squared misfit at every B1, with the best R2 and amplitude there, to its row of ``misfit``."""
    best_b1 = atoms.shape[0] - 1
    sample = np.empty(samples.shape[1])
    for n in range(first, last):
        energy = _take(samples, n, sample)
        # From the best refocusing down: there the peak is the only one, and it moves little from node to node.
        rate = _highest(sample, atoms, overlap, float(best_b1))[0]
        for b1 in range(best_b1, -1, -1):
            rate, best = _climbed(sample, atoms, b1, rate)
            misfit[rows[n], b1] += energy - best * best


@njit(cache=True, nogil=True)
def match(first: int, last: int, samples: Array, atoms: Array, overlap: Array, places: Array, found: Array) -> None:
    """Fractional R2 index of each sample at its fractional B1 index.

    NaN where a sample holds no signal; −1 and the number of atoms stand for peaks beyond the ends.
    """
    fastest = atoms.shape[1] - 1
    sample = np.empty(samples.shape[1])
    for n in range(first, last):
        _take(samples, n, sample)
        rate, best = _highest(sample, atoms, overlap, places[n])
        index = -1.0 if rate == 0 else fastest + 1.0
        if 0 < rate < fastest:
            before = _blended(sample, atoms, overlap, places[n], rate - 1)
            after = _blended(sample, atoms, overlap, places[n], rate + 1)
            index = rate + _peak(before, best, after)[0]
        found[n] = index if best > 0 else np.nan
