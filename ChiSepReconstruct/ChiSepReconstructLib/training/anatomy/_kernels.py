"""Compiled loops of the simulated anatomy."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@njit(cache=True, nogil=True, fastmath=True)
def sample(volumes: Floats, place: Floats, values: Floats) -> None:
    """Read (C, X, Y, Z) volumes at ``place`` (3, N) in voxels, linearly; 0 beyond them; into ``values`` (C, N)."""
    channels, nx, ny, nz = volumes.shape
    for n in range(place.shape[1]):
        x, y, z = place[0, n], place[1, n], place[2, n]
        if not (0 <= x < nx - 1 and 0 <= y < ny - 1 and 0 <= z < nz - 1):
            values[:, n] = 0
            continue
        i, j, k = int(x), int(y), int(z)
        a, b, c = x - i, y - j, z - k
        for channel in range(channels):
            one = volumes[channel]
            low = (one[i, j, k] * (1 - c) + one[i, j, k + 1] * c) * (1 - b) + (
                one[i, j + 1, k] * (1 - c) + one[i, j + 1, k + 1] * c
            ) * b
            high = (one[i + 1, j, k] * (1 - c) + one[i + 1, j, k + 1] * c) * (1 - b) + (
                one[i + 1, j + 1, k] * (1 - c) + one[i + 1, j + 1, k + 1] * c
            ) * b
            values[channel, n] = low * (1 - a) + high * a


@njit(cache=True, nogil=True, fastmath=True)
def draw_tubes(share: Floats, starts: Floats, ends: Floats, radii: Floats) -> None:
    """Raise ``share`` (I, J, K) to the tubes' share of each voxel; points (N, 3) and radii (N,) in voxels."""
    ni, nj, nk = share.shape
    for n in range(starts.shape[0]):
        a, b, radius = starts[n], ends[n], radii[n]
        edge, along = radius + np.float32(1.0), b - a
        square = max(along[0] ** 2 + along[1] ** 2 + along[2] ** 2, np.float32(1e-6))
        for i in range(max(int(min(a[0], b[0]) - edge), 0), min(int(max(a[0], b[0]) + edge) + 2, ni)):
            for j in range(max(int(min(a[1], b[1]) - edge), 0), min(int(max(a[1], b[1]) + edge) + 2, nj)):
                for k in range(max(int(min(a[2], b[2]) - edge), 0), min(int(max(a[2], b[2]) + edge) + 2, nk)):
                    x, y, z = i - a[0], j - a[1], k - a[2]
                    t = min(max((x * along[0] + y * along[1] + z * along[2]) / square, 0.0), 1.0)
                    distance = np.sqrt((x - t * along[0]) ** 2 + (y - t * along[1]) ** 2 + (z - t * along[2]) ** 2)
                    inside = min(radius - distance + 0.5, 1.0)
                    if inside > share[i, j, k]:
                        share[i, j, k] = inside


@njit(cache=True, nogil=True, fastmath=True)
def add_sphere_fields(field: Floats, place: Floats, centres: Floats, moments: Floats) -> None:
    """Add to ``field`` (N,) at ``place`` (N, 3) what spheres outside give: Δχ r³/3 · (3 cos² − 1)/d³, B0 along axis 2.

    ``moments`` (M,) are Δχ r³/3, ppm mm³; ``centres`` (M, 3) and places in mm.
    """
    for n in range(place.shape[0]):
        total = np.float32(0)
        for m in range(centres.shape[0]):
            x, y, z = place[n, 0] - centres[m, 0], place[n, 1] - centres[m, 1], place[n, 2] - centres[m, 2]
            square = x * x + y * y + z * z
            total += moments[m] * (3 * z * z - square) / (square * square * np.sqrt(square))
        field[n] += total
