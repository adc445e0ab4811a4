"""Compiled loop of LSMR's vectors; import only inside functions, as numba takes long to load."""

from __future__ import annotations

from typing import Any

from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, nogil=True)
def advance_part(first: int, last: int, scale: float, back: float, step: float, turn: float,
                 v: Array, h: Array, hbar: Array, x: Array) -> None:  # fmt: skip
    """Do what :func:`.lsmr.advance` does, to the entries from ``first`` up to ``last``."""
    for n in range(first, last):
        hbar[n] = h[n] - back * hbar[n]
        x[n] += step * hbar[n]
        v[n] *= scale
        h[n] = v[n] - turn * h[n]
