"""Compiled loops of the vessel masks; imported inside functions."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Triple = tuple[float, float, float]


@njit(cache=True, nogil=True, inline="always")
def _hessian(image: Image, i: int, j: int, k: int, size: Triple) -> tuple[float, float, float, float, float, float]:
    """Second differences ii, jj, kk, ij, ik, jk for each mm²; the image goes on beyond its border as at it."""
    ni, nj, nk = image.shape
    a, b = max(i - 1, 0), min(i + 1, ni - 1)
    c, d = max(j - 1, 0), min(j + 1, nj - 1)
    e, f = max(k - 1, 0), min(k + 1, nk - 1)
    centre = 2.0 * image[i, j, k]
    return (
        (image[b, j, k] + image[a, j, k] - centre) / size[0] ** 2,
        (image[i, d, k] + image[i, c, k] - centre) / size[1] ** 2,
        (image[i, j, f] + image[i, j, e] - centre) / size[2] ** 2,
        (image[b, d, k] - image[b, c, k] - image[a, d, k] + image[a, c, k]) / (4.0 * size[0] * size[1]),
        (image[b, j, f] - image[b, j, e] - image[a, j, f] + image[a, j, e]) / (4.0 * size[0] * size[2]),
        (image[i, d, f] - image[i, d, e] - image[i, c, f] + image[i, c, e]) / (4.0 * size[1] * size[2]),
    )


@njit(cache=True, nogil=True, inline="always")
def _eigenvalues(ii: float, jj: float, kk: float, ij: float, ik: float, jk: float) -> tuple[float, float, float]:
    """Eigenvalues of a symmetric matrix, smallest magnitude first (Smith, Commun ACM 4:168, 1961)."""
    mean = (ii + jj + kk) / 3.0
    a, b, c = ii - mean, jj - mean, kk - mean
    width = np.sqrt((a * a + b * b + c * c + 2.0 * (ij * ij + ik * ik + jk * jk)) / 6.0)
    if width == 0.0:
        return mean, mean, mean
    det = a * (b * c - jk * jk) - ij * (ij * c - jk * ik) + ik * (ij * jk - b * ik)
    angle = np.arccos(min(1.0, max(-1.0, 0.5 * det / width**3))) / 3.0
    x = mean + 2.0 * width * np.cos(angle)
    z = mean + 2.0 * width * np.cos(angle + 2.0 * np.pi / 3.0)
    y = 3.0 * mean - x - z
    if abs(x) > abs(y):
        x, y = y, x
    if abs(y) > abs(z):
        y, z = z, y
    if abs(x) > abs(y):
        x, y = y, x
    return x, y, z


@njit(cache=True, nogil=True)
def strengths(first: int, last: int, image: Image, mask: Mask, size: Triple, found: Image) -> None:
    """Norm of the Hessian in each voxel of the mask, in planes from ``first`` up to ``last``."""
    for i in range(first, last):
        for j in range(image.shape[1]):
            for k in range(image.shape[2]):
                if mask[i, j, k]:
                    ii, jj, kk, ij, ik, jk = _hessian(image, i, j, k, size)
                    found[i, j, k] = np.sqrt(ii * ii + jj * jj + kk * kk + 2.0 * (ij * ij + ik * ik + jk * jk))


@njit(cache=True, nogil=True, inline="always")
def _slope(image: Image, i: int, j: int, k: int, size: Triple) -> float:
    """Norm of the gradient for each mm."""
    ni, nj, nk = image.shape
    x = (image[min(i + 1, ni - 1), j, k] - image[max(i - 1, 0), j, k]) / (2.0 * size[0])
    y = (image[i, min(j + 1, nj - 1), k] - image[i, max(j - 1, 0), k]) / (2.0 * size[1])
    z = (image[i, j, min(k + 1, nk - 1)] - image[i, j, max(k - 1, 0)]) / (2.0 * size[2])
    return np.sqrt(x * x + y * y + z * z)


@njit(cache=True, nogil=True)
def add_vesselness(
    first: int, last: int, image: Image, mask: Mask, size: Triple, shape: Triple, scale: float, strength: float,
    best: Image,
) -> None:  # fmt: skip
    """Larger of ``best`` and the vesselness of an image smoothed by ``scale`` (mm), in each voxel of the mask."""
    for i in range(first, last):
        for j in range(image.shape[1]):
            for k in range(image.shape[2]):
                if not mask[i, j, k]:
                    continue
                ii, jj, kk, ij, ik, jk = _hessian(image, i, j, k, size)
                square = ii * ii + jj * jj + kk * kk + 2.0 * (ij * ij + ik * ik + jk * jk)
                value = 1.0 - np.exp(-0.5 * square / strength**2)
                # Eigenvalues take most of the time; neither a bright tube nor a new maximum is left out here.
                if ii + jj + kk >= 0.0 or value <= best[i, j, k]:
                    continue
                x, y, z = _eigenvalues(ii, jj, kk, ij, ik, jk)
                if y < 0.0 and z < 0.0:
                    sheet, blob, edge = y / z, abs(x / y), _slope(image, i, j, k, size) / (scale * y)
                    value *= 1.0 - np.exp(-0.5 * (sheet / shape[0]) ** 2)
                    value *= np.exp(-0.5 * ((blob / shape[1]) ** 2 + (edge / shape[2]) ** 2))
                    best[i, j, k] = max(best[i, j, k], value)
