"""A dipole inversion trained at one voxel size, on data of another (Ji et al., ISMRM 2023, abstract 4168).

The field is sampled at the trained voxel size ``Δ`` with ``S`` shifts of ``Δ/S`` along each axis; the network inverts
each of the ``S³`` samplings; together they are χ on a lattice of ``Δ/S``, and so on the input's voxels ``v``. Along
each axis, with the band ``B = min(1/v, S/Δ)``, voxels ``i`` and trained voxels ``j``::

    f_s(j) = Σ_i v B sinc(B (x_sj − i v)) f(i),          x_sj = (j + s/S) Δ,   s = 0 … S − 1        (1)
    χ_s    = network(f_s),  f_s = 0 outside the brain                                               (2)
    χ(i)   = Σ_s Σ_j (Δ/S) B sinc(B (i v − x_sj)) χ_s(j)                                            (3)

Sampling at ``Δ`` folds a frequency ``k`` to ``k′ = k − round(k Δ)/Δ`` in the trained band, so the network divides by
``D(k′)``. The shifts undo the folding but not this, hence, outside of the trained band, with ``D̃ = D``, but ``±0.2``
where it is smaller::

    X(k) ← X(k) D(k′) / D̃(k)                                                                        (4)

(3) is the abstract's shifting back and averaging: what is folded from elsewhere cancels as long as ``S > Δ/v``. A
linear inversion would need one shift for ``v ≥ Δ`` and two for ``Δ/2 < v < Δ``; averaging more evens out a network's
dependence on where the voxels lie. One shift keeps what ``Δ`` can show, without folding: plain sinc interpolation.

Sums of sincs, where the published code moves phases of a discrete spectrum: the matrix may be odd, nothing wraps
around, the field of view need not be a multiple of ``Δ``, there is no term at the Nyquist frequency, and where
``i v = x_sj`` the sums are exact. The Gaussian tapers of that code (1.5 voxels down, 5 up) change the NRMSE of linear
inversions of simulated heads by 0.1 % and are left out. Its way back keeps hardly more than the trained band, so that
(4) has little to correct; ours keeps the band up to ``S/Δ``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter

Vector = tuple[float, float, float]
Volume = NDArray[np.float32]
Infer = Callable[[Volume, Reporter], Volume]

#: Voxel sizes that this can be asked for, mm.
SMALLEST_MM, LARGEST_MM = 0.4, 4.0

#: Smallest size of the dipole that (4) divides by.
_GUARD = 0.2

#: Zeros that keep (4) from wrapping around.
_PADDING_VOXELS = 32

#: Share of the band, at both of its ends together, over which Tukey's window falls to 0.
_TUKEY_SHARE = 0.2

_STEP = "resolution"


def across_resolutions(
    field: NDArray[np.float32], voxel_size_mm: Vector, trained_voxel_size_mm: Vector, infer: Infer, *,
    shifts: int = 3, compensate: bool = True, report: Reporter | None = None,
) -> NDArray[np.float32]:  # fmt: skip
    """Susceptibility from a field whose voxels are not those of the training.

    Parameters
    ----------
    field : ndarray, shape (I, J, K)
        ppm, B0 along the third axis, exactly 0 outside the brain and only there.
    voxel_size_mm, trained_voxel_size_mm : tuple of float
        Of the field and of the training, along i, j, k, mm.
    infer : callable
        Maps a field (ppm) at the trained voxel size, of any shape, exactly 0 outside the brain, to χ (ppm) of that
        shape; with a reporter for its share of the work.
    shifts : int
        ``S``: samplings along each axis; ``infer`` is called ``S³`` times. 3 in the abstract; 1 is interpolation.
    compensate : bool
        Whether to apply (4) where voxels are smaller than the trained ones.
    report : Reporter, optional
        Progress; the work can be cancelled before each sampling.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        χ in ppm; also outside the brain, where it means nothing.

    Raises
    ------
    InputError
        If a voxel size is out of range, the field is no finite volume, or there is no shift.
    CancelledError
        If the caller asked to stop.
    """
    _check(field, shifts, voxel_size_mm, trained_voxel_size_mm)
    sizes = list(zip(field.shape, voxel_size_mm, trained_voxel_size_mm, strict=True))
    report = report or Reporter()
    samplings = _Samplings([_Axis.of(*size, shifts) for size in sizes], infer, _parts(report, shifts**3))
    # The last plane along each axis stands for everywhere outside.
    chi = samplings.chi(field.astype(np.float32, copy=False), np.pad(field != 0, (0, 1)), 0)
    if compensate and any(own < trained for _, own, trained in sizes):
        chi = _compensated(chi, voxel_size_mm, trained_voxel_size_mm)
    report(_STEP, 1.0)
    return chi


def resampled(
    volume: NDArray[Any], voxel_size_mm: Vector, target_voxel_size_mm: Vector
) -> tuple[NDArray[np.float32], Vector]:
    """The same field of view at another voxel size: k-space cropped or padded with zeros, under Tukey's window.

    How the χ-sepnet paper makes its data of 2×2×2, 1×1×3 and 0.7×0.7×0.7 mm (Kim et al. 2025, section 2.3).

    Parameters
    ----------
    volume : ndarray, shape (I, J, K)
        Periodic; its first voxel's centre stays where it is.
    voxel_size_mm, target_voxel_size_mm : tuple of float
        mm.

    Returns
    -------
    volume : ndarray of float32
        Resampled. The window, of 0.2, covers the smaller of both bands, along every axis.
    voxel_size_mm : tuple of float
        The one reached: the nearest that divides the field of view.

    Raises
    ------
    InputError
        If a voxel size is out of range.
    """
    _check_sizes(voxel_size_mm, target_voxel_size_mm)
    result = volume.astype(np.float32)
    for axis, (own, target) in enumerate(zip(voxel_size_mm, target_voxel_size_mm, strict=True)):
        result = _with_length(result, axis, max(round(volume.shape[axis] * own / target), 1))
    i, j, k = (s * n / m for s, n, m in zip(voxel_size_mm, volume.shape, result.shape, strict=True))
    return result, (i, j, k)


def _with_length(volume: Volume, axis: int, length: int) -> Volume:
    from scipy import fft

    old = volume.shape[axis]
    kept = min(old, length)
    lines = fft.rfft(np.moveaxis(volume, axis, -1), workers=-1)[..., : kept // 2 + 1]
    lines *= _tukey(np.arange(kept // 2 + 1) / (kept / 2)) * np.float32(length / old)
    return np.ascontiguousarray(np.moveaxis(fft.irfft(lines, length, workers=-1), -1, axis))


def _tukey(share: NDArray[np.float64]) -> NDArray[np.float32]:
    """Tukey's window at a share of the band's half width."""
    falling = np.clip((share - 1) / _TUKEY_SHARE + 1, 0, 1)
    return (0.5 + 0.5 * np.cos(np.pi * falling)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Axis:
    """(1) and (3) along one axis, for each shift; and the voxel next to each trained one, ``n`` outside the volume."""

    down: list[Volume]
    up: list[Volume]
    nearest: list[NDArray[np.intp]]

    @classmethod
    def of(cls, count: int, size_mm: float, trained_mm: float, shifts: int) -> _Axis:
        """All samplings together cover the ``count`` voxels whole; without a shift, one lies on voxel 0."""
        overhang = (size_mm / trained_mm - 1 / shifts) / 2 - 1e-6
        before = int(np.ceil(overhang))
        after = int(np.ceil((count - 1) * size_mm / trained_mm + overhang - (1 - 1 / shifts)))
        band = min(1 / size_mm, shifts / trained_mm)
        places = [(np.arange(-before, after + 1) + s / shifts) * trained_mm for s in range(shifts)]
        sincs = [np.sinc(band * (place[:, None] - np.arange(count) * size_mm)) for place in places]
        nearest = [np.floor(place / size_mm + 0.5).astype(np.intp) for place in places]
        return cls(
            down=[(size_mm * band * one).astype(np.float32) for one in sincs],
            up=[(trained_mm / shifts * band * one.T).astype(np.float32) for one in sincs],
            nearest=[np.where((near >= 0) & (near < count), near, count) for near in nearest],
        )


@dataclass(frozen=True, eq=False)
class _Samplings:
    """(1) to (3), axis by axis, so that samplings share what they have in common."""

    axes: Sequence[_Axis]
    infer: Infer
    parts: Iterator[Reporter]

    def chi(self, field: Volume, brain: NDArray[np.bool_], axis: int) -> Volume:
        """χ on the input's voxels along ``axis`` and later ones, from a field sampled along earlier ones."""
        if axis == len(self.axes):
            return self.infer(np.where(brain, field, np.float32(0)), next(self.parts))
        one = self.axes[axis]
        total: Volume | None = None
        for down, up, nearest in zip(one.down, one.up, one.nearest, strict=True):
            part = _along(up, self.chi(_along(down, field, axis), brain.take(nearest, axis), axis + 1), axis)
            total = part if total is None else np.add(total, part, out=total)
        assert total is not None
        return total


def _along(matrix: Volume, volume: Volume, axis: int) -> Volume:
    return np.moveaxis(np.tensordot(matrix, volume, (1, axis)), 0, axis)


def _parts(report: Reporter, count: int) -> Iterator[Reporter]:
    for n in range(count):
        part = report.span(n / count, (n + 1) / count)
        part(_STEP, 0.0, f"sampling {n + 1} of {count}")
        yield part


def _compensated(chi: Volume, voxel_size_mm: Vector, trained_mm: Vector) -> Volume:
    """Apply (4)."""
    from scipy import fft

    shape = [fft.next_fast_len(n + _PADDING_VOXELS, real=True) for n in chi.shape]
    spectrum = fft.rfftn(chi, shape, workers=-1)
    spectrum *= _compensation(shape, voxel_size_mm, trained_mm)
    i, j, k = chi.shape
    return np.ascontiguousarray(fft.irfftn(spectrum, shape, workers=-1, overwrite_x=True)[:i, :j, :k])


def _compensation(shape: Sequence[int], voxel_size_mm: Vector, trained_mm: Vector) -> Volume:
    """Factor of (4) in the layout of ``rfftn``."""
    axes = [np.fft.fftfreq(shape[0], voxel_size_mm[0]), np.fft.fftfreq(shape[1], voxel_size_mm[1]),
            np.fft.rfftfreq(shape[2], voxel_size_mm[2])]  # fmt: skip
    frequencies = np.meshgrid(*(k.astype(np.float32) for k in axes), indexing="ij", sparse=True)
    # How many widths of the trained band away; 0 in it.
    bands = [np.rint(k * np.float32(size)) for k, size in zip(frequencies, trained_mm, strict=True)]
    folded = [k - n / np.float32(size) for k, n, size in zip(frequencies, bands, trained_mm, strict=True)]
    own = _dipole(*frequencies)
    factor = _dipole(*folded) / np.copysign(np.maximum(np.abs(own), np.float32(_GUARD)), own)
    outside = (bands[0] != 0) | (bands[1] != 0) | (bands[2] != 0)
    return np.where(outside, factor, np.float32(1))


def _dipole(ki: Volume, kj: Volume, kk: Volume) -> Volume:
    """``1/3 − k₃²/|k|²``, 0 at ``k = 0``."""
    square = ki**2 + kj**2 + kk**2
    share = np.full_like(square, 1 / 3)
    return np.float32(1 / 3) - np.divide(kk**2, square, out=share, where=square > 0)


def _check(field: NDArray[Any], shifts: int, voxel_size_mm: Vector, trained_mm: Vector) -> None:
    _check_sizes(voxel_size_mm, trained_mm)
    if field.ndim != 3 or not np.isfinite(field).all():
        raise InputError("field", f"shape {field.shape}", "a volume of finite values")
    if shifts < 1:
        raise InputError("shifts", shifts, "a whole number, at least 1")


def _check_sizes(*sizes_mm: Vector) -> None:
    for size in sizes_mm:
        if len(size) != 3 or not all(SMALLEST_MM <= length <= LARGEST_MM for length in size):
            raise InputError("voxel size", f"{tuple(size)} mm", f"three lengths from {SMALLEST_MM} to {LARGEST_MM} mm",
                             "Resample the maps first, or use a classical method.")  # fmt: skip
