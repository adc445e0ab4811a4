"""How well two registered images agree, whatever their contrast."""

from __future__ import annotations

import numpy as np

from ..artifacts import Array
from ..geometry.resampling import Mask

#: Side of the window in which contrasts are taken for proportional, mm.
_WINDOW_MM = 10.0


def local_similarity(first: Array, second: Array, region: Mask, voxel_size_mm: tuple[float, float, float]) -> float:
    r"""Mean squared local correlation, weighted by the local contrast of the first image.

    In a window of about 10 mm there are mostly two tissues, so that one head in two contrasts
    is nearly linear there, with either sign: :math:`r^2 = \mathrm{cov}^2 / (\mathrm{var}_1 \mathrm{var}_2)`
    is high. The folds of another head do not fit (Cachier et al., CVIU 2003;89:272-298).

    Parameters
    ----------
    first, second : ndarray, shape (I, J, K)
        On one grid.
    region : ndarray of bool, shape (I, J, K)
        Where they are compared.
    voxel_size_mm : tuple of float
        mm.

    Returns
    -------
    float
        0 (unrelated) to 1.
    """
    from scipy.ndimage import uniform_filter

    widths = [2 * round(_WINDOW_MM / size / 2) + 1 for size in voxel_size_mm]
    a, b = (one.astype(np.float64) - one[region].mean() for one in (first, second))

    def mean(values: Array) -> Array:
        return np.asarray(uniform_filter(values, widths))

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = (np.maximum(mean(x * x) - m * m, 0)[region] for x, m in ((a, mean_a), (b, mean_b)))
    covariance = (mean(a * b) - mean_a * mean_b)[region]
    weight = np.sqrt(var_a)
    flat = 1e-12 * max(float(var_a.max()) * float(var_b.max()), np.finfo(np.float64).tiny)
    squared = covariance**2 / np.maximum(var_a * var_b, flat)
    return float(np.sum(weight * squared) / max(float(weight.sum()), np.finfo(np.float64).tiny))
