"""Linear maps along the three axes of a volume: smooth fields from lattices, and fine grids made coarse."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Volume = NDArray[np.float32]
Axes = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]

#: Mean square of the weights of a cubic B-spline, averaged over positions between its nodes.
_SPLINE_POWER = 151 / 315


def along_axes(volume: Volume, matrices: Sequence[Volume]) -> Volume:
    """Apply a matrix along each axis.

    Parameters
    ----------
    volume : ndarray, shape (I, J, K)
        Any unit.
    matrices : sequence of ndarray, shapes (A, I), (B, J), (C, K)
        One for each axis.

    Returns
    -------
    ndarray of float32, shape (A, B, C)
    """
    first, second, third = matrices
    length = volume.shape[0]
    reduced = (first @ volume.reshape(length, -1)).reshape(len(first), *volume.shape[1:])
    return np.matmul(np.matmul(second, reduced), third.T)


def spline_weights(positions: NDArray[np.float64], first: float, spacing: float, nodes: int) -> Volume:
    """Weights of a lattice's nodes in a cubic B-spline.

    Parameters
    ----------
    positions : ndarray, shape (N,)
        Where to evaluate, mm; at least ``spacing`` inside the lattice's ends.
    first, spacing : float
        Place of the first node and distance between nodes, mm.
    nodes : int
        Of the lattice.

    Returns
    -------
    ndarray of float32, shape (N, nodes)
    """
    distance = np.abs((positions[:, None] - first) / spacing - np.arange(nodes))
    near = 2 / 3 - distance**2 * (1 - distance / 2)
    return np.where(distance < 1, near, np.maximum(2 - distance, 0) ** 3 / 6).astype(np.float32)


def mean_weights(fine: int, coarse: int) -> Volume:
    """Weights by which ``coarse`` voxels are the means of the ``fine`` ones that they cover, shape (coarse, fine)."""
    edges = np.arange(coarse + 1) * (fine / coarse)
    upper = np.minimum(edges[1:, None], np.arange(1, fine + 1))
    lower = np.maximum(edges[:-1, None], np.arange(fine))
    return (np.maximum(upper - lower, 0) * (coarse / fine)).astype(np.float32)


def scanner_weights(fine: int, coarse: int, taper: float) -> Volume:
    """Weights by which a scanner that samples ``coarse`` points of k-space sees ``fine`` voxels.

    Parameters
    ----------
    fine, coarse : int
        Voxels over the same length; ``coarse`` is even.
    taper : float
        Share of k-space that a Tukey window lowers towards its edge; 0 cuts it off, with Gibbs ringing.

    Returns
    -------
    ndarray of float32, shape (coarse, fine)
    """
    wave = np.arange(coarse // 2 + 1)
    into_taper = np.clip((2 * wave / coarse - (1 - taper)) / max(taper, 1e-9), 0, 1)
    gain = np.where(into_taper > 0, 0.5 * (1 + np.cos(np.pi * into_taper)), 1.0) if taper > 0 else np.ones(len(wave))
    gain[1:-1] *= 2  # each of these waves stands for its mirror image too
    centres = (np.arange(coarse) + 0.5) * (fine / coarse) - 0.5
    shift = centres[:, None] - np.arange(fine)
    table = np.cos(2 * np.pi / fine * shift[..., None] * wave) @ gain
    return (table / fine).astype(np.float32)


class SmoothNoise:
    """Random field without structure below ``spacing_mm``, of mean 0 and standard deviation 1.

    Parameters
    ----------
    extent_mm : float
        The field is defined from minus to plus this on each axis.
    spacing_mm : float
        Between the nodes of its lattice.
    rng : numpy.random.Generator
        Source of randomness.
    """

    def __init__(self, extent_mm: float, spacing_mm: float, rng: np.random.Generator) -> None:
        self.spacing_mm = spacing_mm
        self.first_mm = -extent_mm - spacing_mm
        nodes = int(np.ceil(2 * extent_mm / spacing_mm)) + 3
        self.lattice = (rng.standard_normal((nodes,) * 3) / _SPLINE_POWER**1.5).astype(np.float32)

    def at(self, axes_mm: Axes) -> Volume:
        """Sample on the grid with these positions along its axes, mm."""
        nodes = self.lattice.shape[0]
        return along_axes(
            self.lattice, [spline_weights(axis, self.first_mm, self.spacing_mm, nodes) for axis in axes_mm]
        )


def noise_on(axes_mm: Axes, spacing_mm: float, rng: np.random.Generator) -> Volume:
    """Smooth noise of standard deviation 1 on a grid; its lattice covers that grid alone."""
    firsts = [float(axis[0]) - spacing_mm for axis in axes_mm]
    nodes = [int(np.ceil((axis[-1] - axis[0]) / spacing_mm)) + 4 for axis in axes_mm]
    lattice = (rng.standard_normal(nodes) / _SPLINE_POWER**1.5).astype(np.float32)
    weights = [spline_weights(a, f, spacing_mm, n) for a, f, n in zip(axes_mm, firsts, nodes, strict=True)]
    return along_axes(lattice, weights)
