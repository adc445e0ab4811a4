"""PDF: background removal by projection onto dipole fields.

Liu T, Khalidov I, de Rochefort L, Spincemaille P, Liu J, Tsiouris AJ, Wang Y. "A novel background field removal
method for MRI using projection onto dipole fields (PDF)". NMR Biomed 24:1129 (2011).
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

#: Wider is slower and changes nothing; no head is farther from air.
_LARGEST_MARGIN_MM = 100.0
_MOST_ITERATIONS = 10_000


@dataclass(frozen=True, kw_only=True)
class PdfOptions:
    """Options of :func:`pdf`.

    Parameters
    ----------
    margin_mm : float
        Sources may lie this far around the mask, mm. A thin layer stands for all that is farther away: 40 mm changes
        the local field by less than the iterations leave open, and doubles the time.
    padding_mm : float
        Empty space beyond the margin that keeps the periodic images of the sources away, mm. The fit takes them into
        account without it.
    local_field_ppm : float
        Size of the field of sources inside, ppm, which the fit leaves over too: an expected error well below it
        counts for nothing. About twice the standard deviation in a brain.
    tolerance : float
        Residual of the normal equations, as a share of their right-hand side, at which to stop. At 0.01 the
        background that is left is still about as large as the local field.
    maximum_iterations : int
        Conjugate-gradient steps after which to stop in any case.
    """

    margin_mm: float = 10.0
    padding_mm: float = 0.0
    local_field_ppm: float = 0.01
    tolerance: float = 1e-3
    maximum_iterations: int = 100

    def __post_init__(self) -> None:
        if not (0 < self.margin_mm <= _LARGEST_MARGIN_MM and 0 <= self.padding_mm <= _LARGEST_MARGIN_MM):
            got = f"{self.margin_mm:g} mm and {self.padding_mm:g} mm"
            raise InputError("PDF margin and padding", got, "a positive margin and a padding of 0 or more, "
                             f"up to {_LARGEST_MARGIN_MM:g} mm each")  # fmt: skip
        if not 0 < self.local_field_ppm <= 10:
            raise InputError("PDF local field", f"{self.local_field_ppm:g} ppm", "above 0, up to 10 ppm")
        if not 0 < self.tolerance < 1:
            raise InputError("PDF tolerance", self.tolerance, "a value between 0 and 1")
        if not 1 <= self.maximum_iterations <= _MOST_ITERATIONS:
            raise InputError("PDF iterations", self.maximum_iterations, f"1 to {_MOST_ITERATIONS}")


def pdf(
    total_field: Array,
    mask: Array,
    voxel_size_mm: Sequence[float],
    b0_direction_ijk: Sequence[float],
    options: PdfOptions,
    report: Reporter,
    weights: Array | None = None,
) -> tuple[Array, Array]:
    """Remove the field of all sources outside the mask.

    Susceptibilities x outside the mask are sought whose dipole field D x explains the most of the field inside,
    ``min ‖W (f − D x)‖``; what they leave is local. Of the local field they explain a part too, most near the border.
    A constant does not matter: the median of all with a weight is subtracted first.

    What x cannot explain is noise and the local field l, so that ``W² = 1 / (σ² + l²)``. With 1/σ alone, as published,
    voxels of equal use differ in weight, and those beside air, where σ is many times larger and most of the background
    lies, have so little that the iterations do not come to them.

    Parameters
    ----------
    total_field : ndarray, shape (I, J, K)
        ppm; without weights any unit. The result has the same.
    mask : ndarray of bool, shape (I, J, K)
        Where the field is known. Beyond the volume it is not.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.
    b0_direction_ijk : sequence of float
        Unit vector of B0 in voxel axes.
    options : PdfOptions
        See there.
    report : Reporter
        Progress.
    weights : ndarray, shape (I, J, K), optional
        1/σ: 1 over the standard deviation of the field's noise, 1/ppm; 0 where the field is not known at all. The
        same everywhere by default.

    Returns
    -------
    local_field : ndarray of float32, shape (I, J, K)
        0 outside ``field_mask``.
    field_mask : ndarray of bool, shape (I, J, K)
        The mask.

    Raises
    ------
    InputError
        If shapes differ or an option is out of range.
    """
    check_field(total_field, mask, voxel_size_mm)
    crop, margin = bounding_box(mask), [int(np.ceil(options.margin_mm / size)) for size in voxel_size_mm]
    width = [(n, n) for n in margin]
    inside = np.pad(mask[crop], width)
    certain = _residual_weights(weights, mask, options.local_field_ppm)
    # A constant, as from a wrong global turn, is no dipole field of anything nearby.
    centred = total_field[crop] - np.median(total_field[certain > 0])
    field = np.where(inside, np.pad(centred, width), 0).astype(np.float32)
    padding = [int(np.ceil(options.padding_mm / size)) for size in voxel_size_mm]
    dipoles = OutsideDipoles(inside, np.pad(certain[crop], width), voxel_size_mm, b0_direction_ijk, padding)
    background = dipoles.fit(field, options, report)
    middle = tuple(slice(n, size - n) for n, size in zip(margin, inside.shape, strict=True))
    local = np.zeros(mask.shape, np.float32)
    local[crop] = np.where(inside, field - background, 0)[middle]
    return local, mask.copy()


class OutsideDipoles:
    """The operator W D (1 − M): from susceptibilities outside a mask to their weighted field inside."""

    def __init__(
        self,
        inside: Array,
        weights: Array,
        voxel_size_mm: Sequence[float],
        b0_direction_ijk: Sequence[float],
        padding: Sequence[int] = (0, 0, 0),
    ) -> None:
        grid = fast_shape(inside.shape, padding)
        self.transform = fourier(inside.shape, grid)
        self.outside = self.transform.load(~inside)
        self.weights = self.transform.load(np.where(inside, weights, 0).astype(np.float32))
        self.spectrum = self.transform.load(dipole_kernel(grid, voxel_size_mm, b0_direction_ijk))

    def field(self, sources: Values) -> Values:
        """D x: convolution with the dipole, which is its own adjoint."""
        return self.transform.backward(self.transform.forward(sources) * self.spectrum)

    def forward(self, sources: Values) -> Values:
        """W D (1 − M) x."""
        return self.weights * self.field(self.outside * sources)

    def adjoint(self, residual: Values) -> Values:
        """(1 − M) D W y."""
        return self.outside * self.field(self.weights * residual)

    def fit(self, field: Array, options: PdfOptions, report: Reporter) -> Array:
        """Field D x of the sources that explain the given one best, by conjugate gradients (CGLS)."""
        residual = self.weights * self.transform.load(field)
        gradient = self.adjoint(residual)
        direction, sources = gradient, 0 * gradient
        square = target = float((gradient * gradient).sum())
        target *= options.tolerance**2
        for done in range(options.maximum_iterations):
            report("PDF", done / options.maximum_iterations, f"iteration {done + 1}")
            if square <= target:
                break
            step = self.forward(direction)
            length = square / float((step * step).sum())
            sources = sources + length * direction
            residual = residual - length * step
            gradient = self.adjoint(residual)
            previous, square = square, float((gradient * gradient).sum())
            direction = gradient + (square / previous) * direction
        return self.transform.fetch(self.field(sources))


def _residual_weights(weights: Array | None, mask: Array, local_field_ppm: float) -> Array:
    """W, in units of that for a field without noise: 0 to 1, and 0 outside the mask."""
    if weights is None:
        return mask.astype(np.float32)
    check_volume("weights", weights, mask.shape)
    local_to_noise = np.where(mask, weights, 0) * local_field_ppm
    relative = (local_to_noise / np.hypot(1, local_to_noise)).astype(np.float32)
    if relative.min() < 0 or not relative.any():
        got = f"{weights[mask].min():.3g} to {weights[mask].max():.3g}"
        raise InputError("weights", got, "values ≥ 0, not all of them 0")
    return relative
