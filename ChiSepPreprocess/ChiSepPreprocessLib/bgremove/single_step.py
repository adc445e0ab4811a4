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
from ..dipole import dipole_kernel
from ..errors import InputError
from ..progress import Reporter
from .checks import check_field
from .fourier import Values, fast_shape, fourier
from .spheres import SphericalMeans, fitting_means, high_pass

#: Added to the preconditioner's denominator, so that frequencies which the data hardly tell are left to the penalty.
_FLOOR = 3e-3
#: Sources are sought on blocks of voxels with edges of about this, mm. Larger ones miss those beneath the surface.
_BLOCK_MM = 3.0
#: Share of a block that must lie inside.
_MOST = 0.5
#: No sphere in a head is larger.
_LARGEST_RADIUS_MM = 100.0
_LARGEST_WEIGHT = 100.0
_MOST_ITERATIONS = 1000


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
    iterations: int = 30

    def __post_init__(self) -> None:
        if not 0 < self.maximum_radius_mm <= _LARGEST_RADIUS_MM:
            raise InputError("single-step radius", f"{self.maximum_radius_mm:g} mm",
                             f"a positive radius up to {_LARGEST_RADIUS_MM:g} mm")  # fmt: skip
        if not (0 < self.smoothness_mm2 <= _LARGEST_WEIGHT and 0 <= self.ridge <= _LARGEST_WEIGHT):
            got = f"{self.smoothness_mm2:g} mm² and {self.ridge:g}"
            raise InputError("single-step weights", got, "a positive smoothness and a ridge of 0 or more, "
                             f"up to {_LARGEST_WEIGHT:g} each")  # fmt: skip
        if not 1 <= self.iterations <= _MOST_ITERATIONS:
            raise InputError("single-step iterations", self.iterations, f"1 to {_MOST_ITERATIONS}")


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
    follow from the sources that short waves show. The local field is D χ and what of the means χ leaves unexplained:
    only ρ * D χ comes from the model, so that χ is sought on blocks of voxels.

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
    means = fitting_means(known[crop], _radii_mm(options, max(voxel_size_mm)), voxel_size_mm)
    transform = means.transform
    field = transform.load(np.where(known[crop], total_field[crop], 0).astype(np.float32))
    measured = means.subtract(transform.forward(field), report.span(0, 0.1))
    model = _BlockModel(support[crop], means, b0_direction_ijk, options)
    chi = model.fit(transform.fetch(measured), options.iterations, report.span(0.1, 0.8)) * support[crop]
    # Periodic images need no room here: their fields are harmonic, so that the means leave nothing of them.
    spectrum = transform.forward(transform.load(chi))
    spectrum *= transform.load(dipole_kernel(means.grid, voxel_size_mm, b0_direction_ijk))
    unexplained = transform.fetch(measured - means.subtract(spectrum, report.span(0.8, 0.9)))
    modelled = _dipole_field(chi * mask[crop], voxel_size_mm, b0_direction_ijk)
    local, field_mask = np.zeros(mask.shape, np.float32), np.zeros(mask.shape, np.bool_)
    field_mask[crop] = _one_voxel_around(means.reached()) & mask[crop]
    local[crop] = np.where(field_mask[crop], modelled + unexplained, 0)
    report("single step", 1.0)
    return local, field_mask


class _BlockModel:
    """Susceptibilities of blocks of voxels in a mask, and the normal equations that the spherical means put on them.

    Of their field only what the means take away is used, for which blocks suffice: the operators are those of the
    voxels at the frequencies that blocks tell, and a block counts to each shell by its share of voxels in it.
    """

    def __init__(
        self, inside: Array, means: SphericalMeans, b0_direction_ijk: Sequence[float], options: SingleStepOptions
    ) -> None:
        self.block = [max(round(_BLOCK_MM / size), 1) for size in means.voxel_size_mm]
        size_mm = [n * size for n, size in zip(self.block, means.voxel_size_mm, strict=True)]
        blocks = _block_means(inside, self.block) >= _MOST
        grid = fast_shape(blocks.shape, (0, 0, 0))
        self.transform = fourier(blocks.shape, grid)
        load = self.transform.load
        self.inside = load(blocks)
        shells = [_block_means(means.transform.fetch(shell), self.block) for _, shell in means.shells()]
        self.shells = [load(shell) for shell in shells]
        self.bands = [
            high_pass(radius, means.voxel_size_mm, grid, self.transform, self.block) for radius in means.radii_mm
        ]
        self.dipole = load(dipole_kernel(grid, size_mm, b0_direction_ijk))
        smoothness = np.float32(options.smoothness_mm2) * _gradient_power_per_mm2(grid, size_mm)
        self.penalty = load(smoothness + np.float32(options.ridge))
        # The circulant operator nearest to the normal equations: each band counts as its shell's share.
        counts = [float(shell.sum()) for shell in shells]
        power = sum(n / sum(counts) * band**2 for n, band in zip(counts, self.bands, strict=True))
        self.inverse = 1 / (power * self.dipole**2 + self.penalty + _FLOOR)

    def means_of(self, spectrum: Values) -> Values:
        """(δ − ρ) * field at every block, from the field's spectrum; 0 where no sphere fits."""
        means: Values = 0
        for shell, band in zip(self.shells, self.bands, strict=True):
            means += self.transform.backward(spectrum * band) * shell
        return means

    def spectrum_of(self, means: Values) -> Values:
        """Adjoint of :meth:`means_of`."""
        spectrum: Values = 0
        for shell, band in zip(self.shells, self.bands, strict=True):
            spectrum += self.transform.forward(means * shell) * band
        return spectrum

    def pulled(self, spectrum: Values) -> Values:
        """Volume of a spectrum, inside the mask."""
        return self.transform.backward(spectrum) * self.inside

    def normal(self, chi: Values) -> Values:
        """Left side of the normal equations."""
        spectrum = self.transform.forward(chi)
        pull = self.spectrum_of(self.means_of(spectrum * self.dipole)) * self.dipole
        return self.pulled(pull + spectrum * self.penalty)

    def solve(self, means: Values, iterations: int, report: Reporter) -> Values:
        """Susceptibilities of blocks from means at blocks, by preconditioned conjugate gradients."""
        residual = self.pulled(self.spectrum_of(means) * self.dipole)
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
            chi += length * direction
            residual -= length * pull
            previous = square
        return chi

    def fit(self, measured: Array, iterations: int, report: Reporter) -> Array:
        """Susceptibilities of voxels from means at voxels."""
        means = self.transform.load(_block_means(measured, self.block))
        chi = self.transform.fetch(self.solve(means, iterations, report))
        for axis, length in enumerate(measured.shape):
            chi = _between_blocks(chi, axis, self.block[axis], length)
        return chi


def _dipole_field(chi: Array, voxel_size_mm: Sequence[float], b0_direction_ijk: Sequence[float]) -> Array:
    """D χ in a box large enough that periodic images do not matter."""
    grid = fast_shape(chi.shape, [n // 2 for n in chi.shape])
    transform = fourier(chi.shape, grid)
    spectrum = transform.load(dipole_kernel(grid, voxel_size_mm, b0_direction_ijk))
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


def _block_means(volume: Array, block: Sequence[int]) -> Array:
    """Means over blocks of voxels; beyond the volume all is 0."""
    padded = np.pad(volume, [(0, -n % step) for n, step in zip(volume.shape, block, strict=True)])
    (ni, nj, nk), (bi, bj, bk) = padded.shape, block
    return padded.reshape(ni // bi, bi, nj // bj, bj, nk // bk, bk).mean(axis=(1, 3, 5), dtype=np.float32)


def _between_blocks(values: Array, axis: int, block: int, length: int) -> Array:
    """Values of voxels from those of blocks along an axis, by linear interpolation."""
    last = values.shape[axis] - 1
    place = np.clip((np.arange(length) + 0.5) / block - 0.5, 0, last)
    below = place.astype(np.intp)
    share = (place - below).astype(np.float32).reshape(-1, *[1] * (values.ndim - 1 - axis))
    lower, upper = values.take(below, axis), values.take(np.minimum(below + 1, last), axis)
    return lower + share * (upper - lower)


def _one_voxel_around(mask: Array) -> Array:
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(mask, np.ones((3, 3, 3), np.bool_)))
