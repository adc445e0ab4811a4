"""Compiled loops of the inverse Fourier transform; import only inside functions, as numba takes long to load.

Spectra are of real volumes, halves in the layout of ``rfftn``, with real and imaginary part as a last axis.
"""

from __future__ import annotations

from typing import Any

from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, nogil=True)
def hartley(first: int, last: int, spectrum: Array, response: Array, result: Array) -> None:
    """Write ``R (Re X − Im X)`` of the planes from ``first`` up to ``last``, and of those at ``−k``, into ``result``.

    ``result`` (I, J, K) is the whole Hartley spectrum, as ``X(−k)`` is the conjugate of ``X(k)``; ``response`` is even
    in ``k``.
    """
    length_i, length_j, half, _ = spectrum.shape
    length_k = result.shape[2]
    for i in range(first, last):
        for j in range(length_j):
            row, factor = spectrum[i, j], response[i, j]
            here, there = result[i, j], result[(length_i - i) % length_i, (length_j - j) % length_j]
            for k in range(half):
                here[k] = factor[k] * (row[k, 0] - row[k, 1])
            for k in range(1, length_k - half + 1):
                there[length_k - k] = factor[k] * (row[k, 0] + row[k, 1])


@njit(cache=True, nogil=True)
def crop_hartley(first: int, last: int, spectrum: Array, length_k: int, scale: float, spans: Array, starts: Array,
                 result: Array) -> None:  # fmt: skip
    """Write ``scale (Re X − Im X)`` of the whole spectrum, in a region's lines at its corner, into a vector.

    Planes as above; ``spans`` and ``starts`` as in ``_kernels``.
    """
    length_i, length_j, half, _ = spectrum.shape
    for i in range(first, last):
        for j in range(spans.shape[1]):
            here, there = spectrum[i, j], spectrum[(length_i - i) % length_i, (length_j - j) % length_j]
            low, high = spans[i, j]
            row = result[starts[i, j] : starts[i, j] + high - low]
            middle = min(max(half, low), high)
            for k in range(low, middle):
                row[k - low] = scale * (here[k, 0] - here[k, 1])
            for k in range(middle, high):
                row[k - low] = scale * (there[length_k - k, 0] + there[length_k - k, 1])


@njit(cache=True, nogil=True)
def blend(first: int, last: int, share: Array, one: Array, weight: Array, kernel: Array, other: Array,
          spectrum: Array) -> None:  # fmt: skip
    """``X ← a Y + b (D X + Z)`` for real ``a``, ``b``, ``D`` and complex ``Y``, ``Z``, ``X``, all flat."""
    for n in range(first, last):
        spectrum[n] = share[n] * one[n] + weight[n] * (kernel[n] * spectrum[n] + other[n])
