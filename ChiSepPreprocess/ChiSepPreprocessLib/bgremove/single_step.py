"""Single step: background removal by a model of the sources inside the brain.

Chatnuntawech I, McDaniel P, Cauley SF, et al. "Single-step quantitative susceptibility mapping with variational
penalties". NMR Biomed 30:e3570 (2017), for susceptibilities fitted to spherical means. Here they serve to tell the
local field, and the penalty is quadratic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..artifacts import Array, check_volume
from ..box import bounding_box
from ..errors import InputError
from ..progress import Reporter
from .checks import check_field
from .dipole import dipole_spectrum
from .fourier import Values, fast_shape, fourier
from .spheres import SphericalMeans, mask_depth_mm

#: Added to the preconditioner's denominator, so that frequencies which the data hardly tell are left to the penalty.
_FLOOR = 3e-4


@dataclass(frozen=True, kw_only=True)
class SingleStepOptions:
    """Options of :func:`single_step`.

    Parameters
    ----------
    maximum_radius_mm : float
        Radius of the largest sphere, mm. Each smaller one has half the radius, down to the longest voxel edge.
    smoothness_mm2 : float
        Weight λ of the squared gradient of susceptibility per mm against the squared field, mm².
    ridge : float
        Weight of the squared susceptibility itself; it decides what neither field nor gradient tells.
    iterations : int
        Conjugate-gradient steps. More change the local field by less than its error.
    """

    maximum_radius_mm: float = 12.0
    smoothness_mm2: float = 1e-3
    ridge: float = 1e-5
    iterations: int = 12

    def __post_init__(self) -> None:
        if not 0 < self.maximum_radius_mm < np.inf:
            raise InputError("single-step radius", f"{self.maximum_radius_mm:g} mm", "a positive radius")
        if not (self.smoothness_mm2 > 0 and self.ridge >= 0):
            got = f"{self.smoothness_mm2:g} mm² and {self.ridge:g}"
            raise InputError("single-step weights", got, "a positive smoothness and a ridge of 0 or more")
        if self.iterations < 1:
            raise InputError("single-step iterations", self.iterations, "1 or more")


def single_step(
    total_field: Array,
    mask: Array,
    voxel_size_mm: Sequence[float],
    b0_direction_ijk: Sequence[float],
    options: SingleStepOptions,
    report: Reporter,
    known: Array | None = None,
) -> tuple[Array, Array]:
    """Find the sources in the mask whose field explains what of the total field cannot come from outside.

    A background is harmonic in the mask, so that (δ − ρ) * f, with the mean ρ over the largest sphere that fits at
    each voxel, holds local sources only, whatever lies outside. V-SHARP inverts δ − ρ of the largest radius
    everywhere, which loses long waves of the local field where spheres are small. Here the susceptibilities χ in the
    mask are sought of which the same means would have come, ``min ‖(δ − ρ) * (f − D χ)‖² + λ ‖∇χ‖²``: long waves
    follow from the sources that short waves show. The local field is D χ and what of the means χ leaves unexplained.

    Parameters
    ----------
    total_field : ndarray, shape (I, J, K)
        Any unit; the result has the same.
    mask : ndarray of bool, shape (I, J, K)
        Where the local field and its sources are.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.
    b0_direction_ijk : sequence of float
        Unit vector of B0 in voxel axes.
    options : SingleStepOptions
        See there.
    report : Reporter
        Progress.
    known : ndarray of bool, shape (I, J, K), optional
        Where the total field was measured well; the mask by default. What lacks in the mask is filled; what lies
        around it helps at its border, and the field of sources there is left out.

    Returns
    -------
    local_field : ndarray of float32, shape (I, J, K)
        0 outside ``field_mask``.
    field_mask : ndarray of bool, shape (I, J, K)
        The mask, without what lies farther than a voxel from the smallest spheres.

    Raises
    ------
    InputError
        If shapes differ, an option is out of range or no voxel is left.
    """
    check_field(total_field, mask, voxel_size_mm)
    known = mask if known is None else known
    check_volume("known field", known, mask.shape)
    support = mask | known
    crop = bounding_box(support)
    depth_mm = mask_depth_mm(known[crop], voxel_size_mm)
    radii = [radius for radius in _radii_mm(options, max(voxel_size_mm)) if radius < depth_mm.max()]
    if not radii:
        raise InputError("mask", f"a largest depth of {depth_mm.max():.3g} mm", "room for the smallest sphere",
                         "Check the mask and its reliable part.")  # fmt: skip
    sources = _Sources(support[crop], SphericalMeans(depth_mm, radii, voxel_size_mm), b0_direction_ijk, options)
    field = np.where(known, total_field, 0)[crop].astype(np.float32)
    chi, unexplained = sources.fit(field, options.iterations, report)
    local, field_mask = np.zeros(mask.shape, np.float32), np.zeros(mask.shape, np.bool_)
    field_mask[crop] = _one_voxel_around(depth_mm > radii[-1]) & mask[crop]
    modelled = _dipole_field(chi * mask[crop], voxel_size_mm, b0_direction_ijk)
    local[crop] = np.where(field_mask[crop], modelled + unexplained, 0)
    report("single step", 1.0)
    return local, field_mask


class _Sources:
    """Susceptibilities in a mask, and the normal equations that the spherical means put on them."""

    def __init__(
        self, inside: Array, means: SphericalMeans, b0_direction_ijk: Sequence[float], options: SingleStepOptions
    ) -> None:
        self.transform = means.transform
        self.inside = self.transform.load(inside)
        self.shells = [shell for _, shell in means.shells()]
        self.filters = [means.high_pass(radius) for radius in means.radii_mm]
        size_mm = means.voxel_size_mm
        self.dipole = self.transform.load(dipole_spectrum(means.grid, size_mm, b0_direction_ijk))
        self.penalty = self.transform.load(
            np.float32(options.smoothness_mm2) * _gradient_power_per_mm2(means.grid, size_mm)
            + np.float32(options.ridge)
        )
        # The circulant operator nearest to the normal equations: each filter counts as its shell's share.
        counts = [float(shell.sum()) for shell in self.shells]
        power = sum(n / sum(counts) * high_pass**2 for n, high_pass in zip(counts, self.filters, strict=True))
        self.inverse = 1 / (power * self.dipole**2 + self.penalty + _FLOOR)

    def means_of(self, spectrum: Values) -> Values:
        """(δ − ρ) * field at every voxel, from the field's spectrum; 0 where no sphere fits."""
        parts = (self.transform.backward(spectrum * high_pass) * shell
                 for shell, high_pass in zip(self.shells, self.filters, strict=True))  # fmt: skip
        return sum(parts)

    def spectrum_of(self, difference: Values) -> Values:
        """Adjoint of :meth:`means_of`."""
        parts = (self.transform.forward(difference * shell) * high_pass
                 for shell, high_pass in zip(self.shells, self.filters, strict=True))  # fmt: skip
        return sum(parts)

    def pulled(self, spectrum: Values) -> Values:
        """Volume of a spectrum, inside the mask."""
        return self.transform.backward(spectrum) * self.inside

    def normal(self, chi: Values) -> Values:
        """Left side of the normal equations."""
        spectrum = self.transform.forward(chi)
        pull = self.spectrum_of(self.means_of(spectrum * self.dipole)) * self.dipole
        return self.pulled(pull + spectrum * self.penalty)

    def fit(self, field: Array, iterations: int, report: Reporter) -> tuple[Array, Array]:
        """Susceptibilities by preconditioned conjugate gradients, and what they leave of the means."""
        measured = self.means_of(self.transform.forward(self.transform.load(field)))
        residual = self.pulled(self.spectrum_of(measured) * self.dipole)
        chi, direction, previous = 0 * residual, 0 * residual, 1.0
        for done in range(iterations):
            report("single step", done / iterations, f"iteration {done + 1}")
            turned = self.pulled(self.transform.forward(residual) * self.inverse)
            square = float((residual * turned).sum())
            if square <= 0:
                break
            direction = turned + (square / previous) * direction
            pull = self.normal(direction)
            length = square / float((direction * pull).sum())
            chi = chi + length * direction
            residual = residual - length * pull
            previous = square
        left = measured - self.means_of(self.transform.forward(chi) * self.dipole)
        return self.transform.fetch(chi), self.transform.fetch(left)


def _dipole_field(chi: Array, voxel_size_mm: Sequence[float], b0_direction_ijk: Sequence[float]) -> Array:
    """D χ in a box large enough that periodic images do not matter."""
    grid = fast_shape(chi.shape, [n // 2 for n in chi.shape])
    transform = fourier(chi.shape, grid)
    spectrum = transform.load(dipole_spectrum(grid, voxel_size_mm, b0_direction_ijk))
    return transform.fetch(transform.backward(transform.forward(transform.load(chi)) * spectrum))


def _gradient_power_per_mm2(grid: Sequence[int], voxel_size_mm: Sequence[float]) -> Array:
    """|∇|² of differences between neighbours, on the half spectrum, 1/mm²."""
    axes = [np.fft.fftfreq(grid[0]), np.fft.fftfreq(grid[1]), np.fft.rfftfreq(grid[2])]
    powers = [(2 * np.sin(np.pi * k) / size) ** 2 for k, size in zip(axes, voxel_size_mm, strict=True)]
    i, j, k = (power.astype(np.float32) for power in powers)
    return i[:, None, None] + j[:, None] + k


def _radii_mm(options: SingleStepOptions, longest_edge_mm: float) -> list[float]:
    """From the largest radius on, each half the one before, and the smallest that holds a neighbour."""
    radii = [max(options.maximum_radius_mm, longest_edge_mm)]
    while radii[-1] >= 4 * longest_edge_mm:
        radii.append(radii[-1] / 2)
    return [*radii, longest_edge_mm] if radii[-1] > longest_edge_mm else radii


def _one_voxel_around(mask: Array) -> Array:
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(mask, np.ones((3, 3, 3), np.bool_)))
