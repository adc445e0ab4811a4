"""Compiled loops of the background removal; import only inside functions, as numba takes long to load."""

from __future__ import annotations

from numba import njit

from ..artifacts import Array

Vector = tuple[float, float, float]


@njit(cache=True, nogil=True)
def relax(values: Array, inside: Array, fixed: Array, weights: Vector, factor: float, parity: int) -> float:
    """Over-relax ``u = Σ w_a (u_a− + u_a+) + fixed`` on the voxels of one parity of i + j + k.

    These do not touch each other. ``inside`` leaves out the outermost voxels of the volume; the weights along the
    three axes sum to 1/2. Returns the sum of the squared changes.
    """
    wi, wj, wk = weights
    changes = 0.0
    for i in range(1, values.shape[0] - 1):
        for j in range(1, values.shape[1] - 1):
            for k in range(1 + (i + j + 1 + parity) % 2, values.shape[2] - 1, 2):
                if inside[i, j, k]:
                    mean = (
                        wi * (values[i - 1, j, k] + values[i + 1, j, k])
                        + wj * (values[i, j - 1, k] + values[i, j + 1, k])
                        + wk * (values[i, j, k - 1] + values[i, j, k + 1])
                    )
                    change = mean + fixed[i, j, k] - values[i, j, k]
                    values[i, j, k] += factor * change
                    changes += change * change
    return changes


@njit(cache=True, nogil=True)
def _cross_difference(values: Array, known: Array, at: tuple[int, int, int], one: Array, other: Array) -> float:
    """Second difference along one axis of that along another; 0 where a corner is unknown."""
    i, j, k = at
    total = 4 * values[i, j, k]
    for sign in (-1, 1):
        total -= 2 * values[i + sign * one[0], j + sign * one[1], k + sign * one[2]]
        total -= 2 * values[i + sign * other[0], j + sign * other[1], k + sign * other[2]]
        for second in (-1, 1):
            corner = (
                i + sign * one[0] + second * other[0],
                j + sign * one[1] + second * other[1],
                k + sign * one[2] + second * other[2],
            )
            if not known[corner]:
                return 0.0
            total += values[corner]
    return total


@njit(cache=True, nogil=True)
def cross_terms(values: Array, known: Array, inside: Array, weights: Vector, axes: Array, result: Array) -> None:
    """Write what raises the seven-point Laplacian to fourth order where the true one is 0.

    Its error ``Σ_a h_a² ∂_a⁴u / 12`` is then ``−Σ_{a<b} (h_a² + h_b²) ∂_a²∂_b²u / 12``; ``axes`` is the unit matrix.
    """
    for i in range(1, values.shape[0] - 1):
        for j in range(1, values.shape[1] - 1):
            for k in range(1, values.shape[2] - 1):
                if inside[i, j, k]:
                    total = 0.0
                    for a in range(3):
                        b = (a + 1) % 3
                        cross = _cross_difference(values, known, (i, j, k), axes[a], axes[b])
                        total += (weights[a] + weights[b]) / 12 * cross
                    result[i, j, k] = total
