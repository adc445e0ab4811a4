"""Was the phase read with the right sign? A susceptibility map tells, without an atlas.

Deep grey nuclei and veins decay fastest in the brain, and both are paramagnetic: χ there lies above the brain's
median. With inverted phase the whole map is inverted, and it lies below.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import check_volume
from ChiSepPreprocessLib.box import bounding_box
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.morphology import erode_mm

#: Share of the core that is looked at, percent: the nuclei fill about this; white matter, which decays next fastest
#: and is diamagnetic, would come in above it.
_FASTEST_PERCENT = 1.0
#: Standard deviation of the Gaussian over both maps, mm: noise in R2* would pick voxels of any tissue. What it leaves
#: is told by blocks of voxels about as long.
_SMOOTHING_MM = 2.0
#: Beside air R2* is high and the field is wrong: that far from the mask's edge nothing is looked at, mm.
_MARGIN_MM = 15.0
#: Fewer blocks in the top share prove nothing.
_FEWEST_BLOCKS = 30
#: Below this score the phase is taken for inverted. Simulated heads score 0.79 to 1, inverted −0.71 to −1, even with
#: noise of 0.05 ppm in the field and 20 1/s in R2*; a calcification of 2 ml brings a right map down to −0.1.
INVERTED_BELOW = -0.5


def phase_sign_score(
    chi_total_ppm: NDArray[Any],
    r2star_per_s: NDArray[Any],
    mask: NDArray[np.bool_],
    voxel_size_mm: tuple[float, float, float],
) -> float | None:
    """How clearly the fastest decaying tissue is paramagnetic.

    The share of its voxels with χ above the median of the brain's core, minus the share below. Voxels are counted,
    not weighted by χ, so that a calcification, which also decays fast and is strongly diamagnetic, does not decide
    as long as it is smaller than the nuclei. Infants have no iron in the nuclei yet: there the score says nothing.

    Parameters
    ----------
    chi_total_ppm : ndarray, shape (I, J, K)
        QSM, ppm; its reference does not matter.
    r2star_per_s : ndarray, shape (I, J, K)
        1/s.
    mask : ndarray of bool, shape (I, J, K)
        Where both are valid.
    voxel_size_mm : tuple of float
        mm.

    Returns
    -------
    float or None
        From −1 (inverted) over 0 (undecided) to 1 (right); ``None`` where the core of the mask is too small to tell.

    Raises
    ------
    InputError
        If shapes disagree, voxels are not finite or the mask is empty.
    """
    check_volume("chi_total", chi_total_ppm, mask.shape)
    check_volume("r2star", r2star_per_s, mask.shape)
    if not mask.any():
        raise InputError("mask", "no voxel inside", "a brain")
    box, counts = bounding_box(mask), [max(round(_SMOOTHING_MM / length), 1) for length in voxel_size_mm]
    block_mm = [count * length for count, length in zip(counts, voxel_size_mm, strict=True)]
    core = erode_mm(_in_blocks(mask[box], counts, np.logical_and), _MARGIN_MM, block_mm)
    if core.sum() * _FASTEST_PERCENT / 100.0 < _FEWEST_BLOCKS:
        return None
    maps = (one[box].astype(np.float32, copy=False) for one in (chi_total_ppm, r2star_per_s))
    chi, rate = (_smoothed(_in_blocks(one, counts, np.add), block_mm)[core] for one in maps)
    fastest = rate > np.percentile(rate, 100.0 - _FASTEST_PERCENT)
    return float(np.sign(chi[fastest] - np.median(chi)).mean()) if fastest.any() else None


def phase_sign_warnings(score: float | None) -> tuple[str, ...]:
    """What the user should do about a score of :func:`phase_sign_score`; nothing where it is right or undecided."""
    if score is None or score >= INVERTED_BELOW:
        return ()
    return (
        "The phase may be inverted: deep grey nuclei and veins come out diamagnetic "
        f"(sign score {score:+.2f}, which is above 0 in right data). "
        "Load the data again with the phase sign flipped (--flip-phase-sign) and compare.",
    )


def _in_blocks(values: NDArray[Any], counts: list[int], combine: Callable[[Any, Any], Any]) -> NDArray[Any]:
    """Combine the voxels of each block of so many along i, j, k; blocks that the end of an axis cuts are left out."""
    for axis, count in enumerate(counts):
        planes = np.moveaxis(values, axis, 0)[: values.shape[axis] // count * count]
        values = np.moveaxis(reduce(combine, (planes[first::count] for first in range(count))), 0, axis)
    return values


def _smoothed(values: NDArray[Any], voxel_size_mm: list[float]) -> NDArray[np.float32]:
    """Gaussian mean; right in the core, which lies farther from the mask's edge than the Gaussian reaches."""
    from scipy.ndimage import gaussian_filter

    sigmas = [_SMOOTHING_MM / length for length in voxel_size_mm]
    smooth: NDArray[np.float32] = gaussian_filter(values, sigmas, output=np.float32)
    return smooth
