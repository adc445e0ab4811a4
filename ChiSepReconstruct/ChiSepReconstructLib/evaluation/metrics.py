"""Image metrics inside a mask, each as published comparisons of QSM and χ-separation compute it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.box import bounding_box
from ChiSepPreprocessLib.errors import InputError

Volume = NDArray[Any]
Mask = NDArray[np.bool_]

#: Width of the Laplacian of Gaussian in :func:`hfen`, voxels; 4.5 widths make its support 15³ voxels.
_HFEN_SIGMA_VOXELS, _HFEN_TRUNCATE = 1.5, 4.5
#: Window of :func:`ssim`, voxels, and its constants.
_SSIM_WINDOW, _SSIM_K1, _SSIM_K2, _SSIM_RANGE = 7, 0.01, 0.03, 255.0


def nrmse(estimate: Volume, truth: Volume, mask: Mask) -> float:
    """Normalised root-mean-square error in percent: ``100 ‖x − r‖ / ‖r‖`` over the mask.

    Raises
    ------
    InputError
        If shapes differ, the mask is empty or the truth constant in it; so for all metrics here.
    """
    x, r = _inside(estimate, truth, mask)
    return 100.0 * float(np.linalg.norm(x - r) / np.linalg.norm(r))


def nrmse_detrended(estimate: Volume, truth: Volume, mask: Mask) -> float:
    """NRMSE in percent after the linear fit: ``min over a, b of 100 ‖a x + b − r‖ / ‖r − mean r‖``.

    It is blind to the reference region and to a constant factor, as in the 2016 and 2019 QSM challenges: the truth
    is taken without its mean.
    """
    x, r = _inside(estimate, truth, mask)
    x, r = x - x.mean(), r - r.mean()
    power = float(x @ x)
    residual = r - (float(x @ r) / power if power else 0.0) * x
    return 100.0 * float(np.linalg.norm(residual) / np.linalg.norm(r))


def psnr_db(estimate: Volume, truth: Volume, mask: Mask, peak: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB: ``20 log₁₀(peak / RMSE)`` over the mask.

    χ-sepnet takes the peak as 1 ppm; numbers with another peak, such as the largest label, cannot be compared.
    Infinite if both images are equal.
    """
    x, r = _inside(estimate, truth, mask)
    error = float(np.sqrt(np.mean(np.square(x - r))))
    return 20.0 * float(np.log10(peak / error)) if error else float("inf")


def hfen(estimate: Volume, truth: Volume, mask: Mask) -> float:
    """High-frequency error norm in percent: ``100 ‖L x − L r‖ / ‖L r‖`` over the mask.

    ``L`` is the Laplacian of a Gaussian of σ = 1.5 voxels, cut to 15³ voxels, applied to the images set to 0 outside
    the mask and extended by zeros.

    References
    ----------
    Ravishankar & Bresler, IEEE Trans Med Imaging 30:1028 (2011).
    """
    from scipy.ndimage import gaussian_laplace

    _inside(estimate, truth, mask)
    # Exact: what the box leaves out is 0.
    box = bounding_box(mask)
    estimate, truth, mask = estimate[box], truth[box], mask[box]

    def filtered(image: Volume) -> NDArray[np.float64]:
        masked = np.where(mask, image, 0.0)
        edges = gaussian_laplace(masked, _HFEN_SIGMA_VOXELS, mode="constant", truncate=_HFEN_TRUNCATE)
        inside: NDArray[np.float64] = edges[mask]
        return inside

    x, r = filtered(estimate), filtered(truth)
    return 100.0 * float(np.linalg.norm(x - r) / np.linalg.norm(r))


def ssim(estimate: Volume, truth: Volume, mask: Mask) -> float:
    """Structural similarity, the mean over the mask of a map from 7³ windows.

    Images are 0 outside the mask; inside, their joint minimum is subtracted and their joint maximum scaled to 255.
    Uniform windows, sample covariance, K₁ = 0.01, K₂ = 0.03, data range 255, mirrored at the border.

    References
    ----------
    Wang et al., IEEE Trans Image Process 13:600 (2004), eq. 13.
    """
    from scipy.ndimage import uniform_filter

    x_inside, r_inside = _inside(estimate, truth, mask)
    # Exact: no window of a voxel in the mask reaches out of the box, or only where the image ends.
    box = bounding_box(mask, margin=_SSIM_WINDOW // 2)
    estimate, truth, mask = estimate[box], truth[box], mask[box]
    lowest = min(x_inside.min(), r_inside.min())
    scale = _SSIM_RANGE / (max(x_inside.max(), r_inside.max()) - lowest)
    x, r = (np.where(mask, (image - lowest) * scale, 0.0) for image in (estimate.astype(float), truth.astype(float)))

    def mean(image: NDArray[np.float64]) -> NDArray[np.float64]:
        smooth: NDArray[np.float64] = uniform_filter(image, _SSIM_WINDOW)
        return smooth

    mean_x, mean_r = mean(x), mean(r)
    to_sample = _SSIM_WINDOW**3 / (_SSIM_WINDOW**3 - 1.0)
    variance_x, variance_r = to_sample * (mean(x * x) - mean_x**2), to_sample * (mean(r * r) - mean_r**2)
    covariance = to_sample * (mean(x * r) - mean_x * mean_r)
    c1, c2 = (_SSIM_K1 * _SSIM_RANGE) ** 2, (_SSIM_K2 * _SSIM_RANGE) ** 2
    similarity = (2 * mean_x * mean_r + c1) * (2 * covariance + c2)
    similarity /= (mean_x**2 + mean_r**2 + c1) * (variance_x + variance_r + c2)
    return float(similarity[mask].mean())


def _inside(estimate: Volume, truth: Volume, mask: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if not estimate.shape == truth.shape == mask.shape:
        raise InputError("images to compare", f"shapes {estimate.shape}, {truth.shape}, {mask.shape}", "equal shapes")
    x, r = estimate[mask].astype(np.float64), truth[mask].astype(np.float64)
    if not r.size or r.min() == r.max():
        raise InputError("truth", f"no contrast in the {r.size} voxels of the mask", "an image inside the mask")
    return x, r


#: Every metric by the key under which it is reported.
METRICS: dict[str, Callable[[Volume, Volume, Mask], float]] = {
    "nrmse_percent": nrmse,
    "nrmse_detrended_percent": nrmse_detrended,
    "psnr_db": psnr_db,
    "hfen_percent": hfen,
    "ssim": ssim,
}
