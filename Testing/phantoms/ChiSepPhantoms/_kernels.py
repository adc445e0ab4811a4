"""Compiled loops; imported inside functions, since numba is slow to load."""

from __future__ import annotations

import math
from typing import Any

from numba import njit


@njit(cache=True, nogil=True)
def sample_linear(volume: Any, matrix: Any, start: int, out: Any) -> None:
    """Sample all channels of ``volume`` (X, Y, Z, C) at ``matrix`` · (start + i, j, k, 1) into ``out`` (C, I, J, K).

    Trilinear; positions off the volume take the nearest voxel of its surface.
    """
    nx, ny, nz, channels = volume.shape
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            for k in range(out.shape[3]):
                x = matrix[0, 0] * (start + i) + matrix[0, 1] * j + matrix[0, 2] * k + matrix[0, 3]
                y = matrix[1, 0] * (start + i) + matrix[1, 1] * j + matrix[1, 2] * k + matrix[1, 3]
                z = matrix[2, 0] * (start + i) + matrix[2, 1] * j + matrix[2, 2] * k + matrix[2, 3]
                x = min(max(x, 0.0), nx - 1.001)
                y = min(max(y, 0.0), ny - 1.001)
                z = min(max(z, 0.0), nz - 1.001)
                a, b, c = int(x), int(y), int(z)
                u, v, w = x - a, y - b, z - c
                for n in range(channels):
                    low = (volume[a, b, c, n] * (1 - w) + volume[a, b, c + 1, n] * w) * (1 - v)
                    low += (volume[a, b + 1, c, n] * (1 - w) + volume[a, b + 1, c + 1, n] * w) * v
                    high = (volume[a + 1, b, c, n] * (1 - w) + volume[a + 1, b, c + 1, n] * w) * (1 - v)
                    high += (volume[a + 1, b + 1, c, n] * (1 - w) + volume[a + 1, b + 1, c + 1, n] * w) * v
                    out[n, i, j, k] = low * (1 - u) + high * u


@njit(cache=True, nogil=True)
def sample_nearest(volume: Any, matrix: Any, start: int, out: Any) -> None:
    """Value of the nearest voxel of ``volume`` (X, Y, Z) at ``matrix`` · (start + i, j, k, 1); 0 off the volume."""
    nx, ny, nz = volume.shape
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                x = math.floor(matrix[0, 0] * (start + i) + matrix[0, 1] * j + matrix[0, 2] * k + matrix[0, 3] + 0.5)
                y = math.floor(matrix[1, 0] * (start + i) + matrix[1, 1] * j + matrix[1, 2] * k + matrix[1, 3] + 0.5)
                z = math.floor(matrix[2, 0] * (start + i) + matrix[2, 1] * j + matrix[2, 2] * k + matrix[2, 3] + 0.5)
                inside = 0 <= x < nx and 0 <= y < ny and 0 <= z < nz
                out[i, j, k] = volume[int(x), int(y), int(z)] if inside else 0
