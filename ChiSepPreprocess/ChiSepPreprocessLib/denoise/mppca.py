"""Noise removal by local principal components of the complex echoes (MP-PCA), through DIPY."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifacts import Array, check_volume
from ..box import bounding_box
from ..errors import InputError, MissingDependencyError
from ..progress import Reporter

Mask = NDArray[np.bool_]

#: Slices that one call of DIPY works on, between two looks at the progress.
_SLAB = 8


@dataclass(frozen=True, kw_only=True)
class DenoiseOptions:
    """How noise is removed.

    Parameters
    ----------
    enabled : bool
        Off by default: with few echoes the gain is small, and the time is not.
    patch_radius : int
        Patches are cubes of ``2 * patch_radius + 1`` voxels; DIPY's default.
    phase_smoothing_voxels : float
        Standard deviation of the Gaussian that gives the smooth phase taken out of each echo before, and put
        back after: patches without phase gradients need fewer components.
    """

    enabled: bool = False
    patch_radius: int = 2
    phase_smoothing_voxels: float = 2.0

    def __post_init__(self) -> None:
        if not 1 <= self.patch_radius <= 5 or not 0.5 <= self.phase_smoothing_voxels <= 20:
            raise InputError("denoising options", self, "patch radius 1 to 5, phase smoothing 0.5 to 20 voxels")


def denoise_complex(
    magnitude: Array, phase: Array, mask: Mask, options: DenoiseOptions | None = None, report: Reporter | None = None
) -> tuple[Array, Array, Array]:
    """Remove noise from complex echoes; must come before anything that interpolates or filters.

    The smooth phase of each echo is taken out, real and imaginary parts are stacked as channels
    (2 E of them), and components whose eigenvalues follow the Marchenko-Pastur law are dropped in
    overlapping patches (Veraart et al., NeuroImage 2016;142:394-406). Noise of a complex image is Gaussian;
    the noise floor of the magnitude falls with it.

    Parameters
    ----------
    magnitude, phase : ndarray, shape (I, J, K, E)
        a.u. and rad; at least 2 echoes.
    mask : ndarray of bool, shape (I, J, K)
        Voxels outside keep their values.
    options : DenoiseOptions, optional
        Patch and phase smoothing.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    magnitude, phase : ndarray, shape (I, J, K, E)
        a.u. and rad within ±π, float32.
    sigma : ndarray, shape (I, J, K)
        Standard deviation of the noise in each channel, a.u.; 0 where it is not known.

    Raises
    ------
    InputError
        If the shapes disagree, there is one echo, or the image is smaller than a patch.
    MissingDependencyError
        If DIPY is not installed.
    CancelledError
        If the caller asked to stop.
    """
    options, report = options or DenoiseOptions(), report or Reporter()
    mppca = _dipy_mppca()
    _check(magnitude, phase, mask, 2 * options.patch_radius + 1)
    box = bounding_box(mask, 2 * options.patch_radius)
    signal = magnitude[box] * np.exp(1j * phase[box]).astype(np.complex64)
    smooth = _smooth_phasor(signal, options.phase_smoothing_voxels)
    flat = signal * smooth.conj()
    clean, noise = _denoised(flat, mask[box], options.patch_radius, mppca, report)
    clean *= smooth
    new_magnitude, new_phase = magnitude.astype(np.float32), phase.astype(np.float32)
    new_magnitude[box][mask[box]] = np.abs(clean)[mask[box]]
    new_phase[box][mask[box]] = np.angle(clean)[mask[box]]
    sigma = np.zeros(mask.shape, dtype=np.float32)
    sigma[box] = noise
    return new_magnitude, new_phase, sigma


def _dipy_mppca() -> Callable[..., Any]:
    try:
        from dipy.denoise.localpca import mppca
    except ImportError as error:
        raise MissingDependencyError(
            'Denoising needs DIPY, which is not installed: pip install "chiseparation[denoise]".'
        ) from error
    found: Callable[..., Any] = mppca
    return found


def _check(magnitude: Array, phase: Array, mask: Mask, patch: int) -> None:
    check_volume("phase to denoise", phase, magnitude.shape)
    check_volume("magnitude to denoise", magnitude, (*mask.shape, *magnitude.shape[3:]))
    if magnitude.ndim != 4 or magnitude.shape[3] < 2:
        raise InputError("images to denoise", f"shape {magnitude.shape}", "(I, J, K, echo) with at least 2 echoes")
    if min(mask.shape) < patch or not mask.any():
        raise InputError("images to denoise", f"shape {mask.shape}, {np.count_nonzero(mask)} voxels in the mask",
                         f"at least {patch} voxels along each axis and a mask that is not empty")  # fmt: skip


def _smooth_phasor(signal: Array, sigma_voxels: float) -> Array:
    """Unit numbers with the phase of each echo's low-pass filtered image."""
    from scipy.ndimage import gaussian_filter

    smooth = np.empty_like(signal)
    for echo in range(signal.shape[3]):
        smooth[..., echo] = gaussian_filter(signal[..., echo], sigma_voxels, mode="nearest")
    size = np.abs(smooth)
    smooth /= np.where(size > 0, size, 1)
    smooth[size == 0] = 1
    return smooth


def _denoised(flat: Array, mask: Mask, radius: int, mppca: Callable[..., Any], report: Reporter) -> tuple[Array, Array]:
    """Slab after slab; two radii of neighbours on both sides make the slabs' results those of the whole."""
    clean, noise = flat.copy(), np.zeros(mask.shape, dtype=np.float32)
    n_slices, halo = mask.shape[2], 2 * radius
    for start in range(0, n_slices, _SLAB):
        report("denoising", start / n_slices)
        first, stop = max(start - halo, 0), min(start + _SLAB + halo, n_slices)
        first = max(min(first, stop - 2 * radius - 1), 0)
        part, deviation = _slab(flat[:, :, first:stop], mask[:, :, first:stop], radius, mppca)
        inner = slice(start - first, min(start + _SLAB, n_slices) - first)
        clean[:, :, start : start + _SLAB] = part[:, :, inner]
        noise[:, :, start : start + _SLAB] = deviation[:, :, inner]
    return clean, noise


def _slab(flat: Array, mask: Mask, radius: int, mppca: Callable[..., Any]) -> tuple[Array, Array]:
    """Denoise one slab; voxels that no patch reaches keep their values."""
    channels = np.concatenate([flat.real, flat.imag], axis=3)
    # DIPY clips negative values, and patches lose their mean anyway: an offset changes nothing else.
    offset = np.float32(2 * np.abs(channels).max())
    with np.errstate(invalid="ignore", divide="ignore"):
        found, sigma = mppca(channels + offset, mask=mask, patch_radius=radius, return_sigma=True)
    echoes = flat.shape[3]
    clean = (found[..., :echoes] - offset) + 1j * (found[..., echoes:] - offset)
    reached = mask[..., None] & np.isfinite(clean)
    return np.where(reached, clean, flat).astype(np.complex64), np.nan_to_num(sigma).astype(np.float32)
