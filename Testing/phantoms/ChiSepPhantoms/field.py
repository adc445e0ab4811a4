"""The field of magnetised matter, on the fine grid; this project's reconstruction has its own, separate dipole."""

from __future__ import annotations

import numpy as np

from .geometry import WORKERS, Matrix, Volume, slabs

#: Zeros added along each axis, as a share of its length; they keep periodic images away.
_PADDING = 0.25


def dipole_field_ppm(
    chi_ppm: Volume, cell_mm: tuple[float, float, float], b0_direction_ijk: tuple[float, float, float]
) -> Volume:
    """Field of a susceptibility distribution, with Lorentz's sphere correction.

    Multiplies the spectrum by D(k) = 1/3 − (k·b)²/|k|², with D(0) = 0, in a box padded with zeros; Salomir et al.,
    Concepts Magn Reson B 19 (2003), equation 13; Marques and Bowtell, ibid. 25 (2005).

    Parameters
    ----------
    chi_ppm : ndarray, shape (I, J, K)
        ppm.
    cell_mm : tuple of float
        Size of a cell, mm.
    b0_direction_ijk : tuple of float
        Unit vector of B0 in voxel axes.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        ppm of B0.
    """
    from scipy import fft

    shape = [fft.next_fast_len(int(np.ceil(n * (1 + _PADDING))), real=True) for n in chi_ppm.shape]
    spectrum = fft.rfftn(chi_ppm.astype(np.float32, copy=False), shape, workers=WORKERS)
    _multiply_dipole(spectrum, shape, cell_mm, b0_direction_ijk)
    field = fft.irfftn(spectrum, shape, workers=WORKERS, overwrite_x=True)
    return np.asarray(field[tuple(slice(n) for n in chi_ppm.shape)])


def _multiply_dipole(
    spectrum: Volume, shape: list[int], cell_mm: tuple[float, float, float], direction: tuple[float, float, float]
) -> None:
    """Multiply in place, a few planes at a time, so that the kernel never needs a whole volume."""
    k = np.ogrid[: shape[0], : shape[1], : shape[2] // 2 + 1]
    parts = []
    for index, count, cell, b in zip(k, shape, cell_mm, direction, strict=True):
        frequency = np.where(2 * index > count, index - count, index) / (count * cell)
        # At the Nyquist frequency both signs coincide, so that terms odd in it cancel.
        odd = np.where(2 * index == count, 0.0, frequency)
        parts.append([np.asarray(one, dtype=np.float32)
                      for one in (b * odd, frequency**2, b**2 * (frequency**2 - odd**2))])  # fmt: skip
    for slab in slabs(shape[0], 16):
        along, square, nyquist = (parts[0][n][slab] + parts[1][n] + parts[2][n] for n in range(3))
        square[square == 0] = np.inf
        spectrum[slab] *= np.float32(1 / 3) - (along**2 + nyquist) / square
    spectrum[0, 0, 0] = 0


def polynomial(rng: np.random.Generator, order: int = 2, size: float = 1.0) -> Matrix:
    """Random coefficients of a polynomial in x, y, z up to ``order``, without the constant, rows (px, py, pz, c)."""
    powers = [(a, b, c) for a in range(order + 1) for b in range(order + 1) for c in range(order + 1)]
    return np.array([(*p, rng.normal(0, size)) for p in powers if 0 < sum(p) <= order])


def shim_residual(rng: np.random.Generator, size: float) -> Matrix:
    """Random second-order field of sources outside the head; coefficients as of :func:`polynomial`.

    Such a field obeys Laplace's equation: the coefficients of x², y² and z² add up to zero.
    """
    coefficients = polynomial(rng, size=size)
    squares = coefficients[:, :3].max(axis=1) == 2
    coefficients[squares, 3] -= coefficients[squares, 3].mean()
    return coefficients


def smooth(coefficients: Matrix, affine: Matrix, shape: tuple[int, ...], start: int = 0) -> Volume:
    """Value of a polynomial of position / 90 mm on a grid, or on its planes from ``start`` on; float32."""
    axes = np.ogrid[start : start + shape[0], : shape[1], : shape[2]]
    rows = (affine / 90.0).astype(np.float32)
    x, y, z = (sum(np.float32(r) * a.astype(np.float32) for r, a in zip(row[:3], axes, strict=True)) + row[3]
               for row in rows[:3])  # fmt: skip
    total = np.zeros(shape, dtype=np.float32)
    for a, b, c, value in coefficients:
        total += np.float32(value) * x ** int(a) * y ** int(b) * z ** int(c)
    return total
