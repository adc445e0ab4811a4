"""Compiled loop of the distance to a mask's border; import only inside functions, as numba takes long to load."""

from __future__ import annotations

from numba import njit

from .artifacts import Array


@njit(cache=True, nogil=True)
def _lower(values: Array, others: Array, step: float) -> None:
    for x in range(len(values)):
        other = others[x] + step
        values[x] = other if other < values[x] else values[x]


@njit(cache=True, nogil=True)
def nearest(
    first: int, last: int, squares: Array, row: int, period: int, stride: int, steps: Array, found: Array
) -> None:
    """Write min over n of ``squares[x + n stride] + steps[|n|]``, in rows of ``row`` values.

    Neighbours along the axis lie ``stride`` apart and in the same run of ``period`` values.
    """
    for begin in range(first * row, last * row, row):
        end, run = begin + row, begin // period * period
        found[begin:end] = squares[begin:end]
        for n in range(1, len(steps)):
            shift = n * stride
            low, high = max(begin, run + shift), min(end, run + period - shift)
            if low < end:
                _lower(found[low:end], squares[low - shift : end - shift], steps[n])
            if begin < high:
                _lower(found[begin:high], squares[begin + shift : high + shift], steps[n])
