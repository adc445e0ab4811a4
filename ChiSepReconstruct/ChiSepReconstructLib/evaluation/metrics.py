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
#: The same of :func:`xsim`, whose data range is 1 ppm.
_XSIM_WINDOW, _XSIM_K1, _XSIM_K2 = 5, 0.01, 0.001


def nrmse(estimate: Volume, truth: Volume, mask: Mask) -> float:
    """Normalised root-mean-square error in percent: ``100 ‖x − r‖ / ‖r‖`` over the mask, as in the code of χ-sepnet.

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

    The code of χ-sepnet takes the peak as 1 ppm; numbers with another peak, such as the largest label, cannot be
    compared.
    Infinite if both images are equal.
    """
    x, r = _inside(estimate, truth, mask)
    error = float(np.sqrt(np.mean(np.square(x - r))))
    return 20.0 * float(np.log10(peak / error)) if error else float("inf")


def hfen(estimate: Volume, truth: Volume, mask: Mask) -> float:
    """High-frequency error norm in percent: ``100 ‖L x − L r‖ / ‖L r‖`` over the mask.

    ``L`` is the Laplacian of a Gaussian of σ = 1.5 voxels, cut to 15³ voxels, applied to the images set to 0 outside
    the mask and extended by zeros. The code of χ-sepnet does not hold its HFEN; this is the usual one.

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

    So does the code of χ-sepnet: images are 0 outside the mask; inside, their joint minimum is subtracted and their
    joint maximum scaled to 255. Uniform windows, sample covariance, K₁ = 0.01, K₂ = 0.03, data range 255, mirrored at
    the border.

    References
    ----------
    Wang et al., IEEE Trans Image Process 13:600 (2004), eq. 13.
    """
    x, r = _inside(estimate, truth, mask)
    lowest = min(x.min(), r.min())
    scale = _SSIM_RANGE / (max(x.max(), r.max()) - lowest)
    scaled_x, scaled_r = ((image.astype(np.float64) - lowest) * scale for image in (estimate, truth))
    c1, c2 = (_SSIM_K1 * _SSIM_RANGE) ** 2, (_SSIM_K2 * _SSIM_RANGE) ** 2
    return _similarity(scaled_x, scaled_r, mask, _SSIM_WINDOW, c1, c2)


def xsim(estimate: Volume, truth: Volume, mask: Mask) -> float:
    """Structural similarity of susceptibility maps in ppm, the mean over the mask of a map from 5³ windows.

    As :func:`ssim`, but on the images themselves, in ppm and 0 outside the mask: neither an outlier nor the sign of χ
    changes the scale. Data range 1 ppm, K₁ = 0.01, K₂ = 0.001. It is made for ppm; in other units it says nothing.

    References
    ----------
    Milovic et al., Magn Reson Med (2024), doi:10.1002/mrm.30271; the uniform window is that of QSM-CI.
    """
    _inside(estimate, truth, mask)
    return _similarity(estimate, truth, mask, _XSIM_WINDOW, _XSIM_K1**2, _XSIM_K2**2)


def _similarity(estimate: Volume, truth: Volume, mask: Mask, window: int, c1: float, c2: float) -> float:
    """Mean over the mask of the structural similarity of two images, taken as 0 outside it, in uniform windows."""
    from scipy.ndimage import uniform_filter

    # Exact: no window of a voxel in the mask reaches out of the box, or only where the image ends.
    box = bounding_box(mask, margin=window // 2)
    mask = mask[box]
    x, r = (np.where(mask, image[box].astype(np.float64), 0.0) for image in (estimate, truth))

    def mean(image: NDArray[np.float64]) -> NDArray[np.float64]:
        smooth: NDArray[np.float64] = uniform_filter(image, window)
        return smooth

    mean_x, mean_r = mean(x), mean(r)
    to_sample = window**3 / (window**3 - 1.0)
    variances = to_sample * (mean(x * x) - mean_x**2 + mean(r * r) - mean_r**2)
    covariance = to_sample * (mean(x * r) - mean_x * mean_r)
    similarity = (2 * mean_x * mean_r + c1) * (2 * covariance + c2)
    similarity /= (mean_x**2 + mean_r**2 + c1) * (variances + c2)
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
    "xsim": xsim,
}

#: Metrics that mean something for maps in ppm alone.
IN_PPM = frozenset({"xsim"})
