"""Vessels, whose flow spoils both susceptibility maps: found by their shape, to be left out of evaluation."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Map, MapSet
from ChiSepPreprocessLib.box import bounding_box
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.threads import in_slabs

Volume = NDArray[Any]
Mask = NDArray[np.bool_]

_VESSEL_MASKS = ("vessel_mask_para", "vessel_mask_dia")


@dataclass(frozen=True, kw_only=True)
class VesselOptions:
    """Options of :func:`vessel_masks`; the defaults come from simulated heads of 1.4 and 2 mm.

    Parameters
    ----------
    scales_mm : tuple of float
        Standard deviations of the Gaussians, mm: about the radii of the vessels.
    strength : float
        Curvature at which the vesselness saturates, in medians of the curvature over the brain.
    sheet, blob : float
        Ratios of curvatures beyond which a sheet and below which a blob is taken for a vessel (Frangi's α and β).
    seed_above : float
        Vesselness, 0 to 1, of R2* or of the product of both χ maps that starts a vessel.
    grown_above : float
        Vesselness of the χ map or of R2* into which a vessel is followed.
    least_brightness : float
        Of the map in which the vessel is followed: on a scale from 0, its median over the brain, to 1, its mean over
        the seeds.
    least_mean : float
        Connected parts of a lower mean vesselness of R2* are no vessels.
    least_volume_mm3 : float
        Smaller parts are dropped, mm³.
    """

    scales_mm: tuple[float, ...] = (1.0, 1.5, 2.0)
    strength: float = 10.0
    sheet: float = 0.5
    blob: float = 0.5
    seed_above: float = 0.2
    grown_above: float = 0.03
    least_brightness: float = 0.3
    least_mean: float = 0.1
    least_volume_mm3: float = 10.0

    def __post_init__(self) -> None:
        positive = (*self.scales_mm, self.strength, self.sheet, self.blob)
        if not self.scales_mm or not all(0 < one < np.inf for one in positive):
            raise InputError("vessel options", self, "scales, strength, sheet and blob above 0")
        if not (
            0 < self.grown_above <= self.seed_above < 1 and 0 <= self.least_mean < 1 and self.least_volume_mm3 >= 0
        ):
            raise InputError("vessel options", self, "0 < grown_above ≤ seed_above < 1, 0 ≤ least_mean < 1")
        if not 0 <= self.least_brightness < 1:
            raise InputError("vessel options", self, "0 ≤ least_brightness < 1")


def vessel_masks(maps: MapSet, options: VesselOptions | None = None) -> tuple[Map, Map]:
    """Vessels in ``chi_para`` and in ``chi_dia``.

    The three steps are those of Kim et al. Seeds are where R2* or the product of both χ maps looks like the axis of a
    vessel; from them the vessel is followed in each χ map; parts that look too little like vessels are dropped. The
    filter is Frangi's, which rejects sheets and balls, on several scales, in place of the paper's fractional
    anisotropy, which takes a ball for a tube and whose thresholds, in standard deviations over the brain, presume that
    vessels fill several per cent of it; they are followed by hysteresis in place of its region growing, and in R2* as
    well, as ``chi_dia`` is wrong in veins even where they are dark in it. CSF is left out. A bright ball no thicker
    than a vein is taken for a piece of one.

    Parameters
    ----------
    maps : MapSet
        With ``r2star``, ``chi_para``, ``chi_dia`` and ``brain_mask``; ``field_mask`` and ``csf_mask`` are heeded.
    options : VesselOptions, optional
        Defaults if left out.

    Returns
    -------
    tuple of Map
        ``vessel_mask_para`` and ``vessel_mask_dia``.

    Raises
    ------
    InputError
        If a map is missing or the mask is empty.

    References
    ----------
    Kim et al., Magn Reson Med (2025), doi:10.1002/mrm.70054; Frangi et al., MICCAI (1998), eq. 13.
    """
    options = options or VesselOptions()
    mask = maps.array("brain_mask") & ~maps.array("csf_mask") if "csf_mask" in maps else maps.array("brain_mask")
    if "field_mask" in maps:
        mask = mask & maps.array("field_mask")
    if not mask.any():
        raise InputError("brain_mask", "no voxel outside CSF", "a brain")
    box = bounding_box(mask, margin=2)
    size, inside = maps.grid.voxel_size_mm, mask[box]
    nearest = _nearest(inside)
    para, dia, rate = (maps.array(name)[box][nearest] for name in ("chi_para", "chi_dia", "r2star"))
    axes = [_vesselness(image, inside, size, options, on_axis=True) for image in (rate, para * dia)]
    seeds = np.maximum(*axes) > options.seed_above
    decay = _vesselness(rate, inside, size, options)

    def bright(image: Volume, look: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(image < _brightness(image, inside, seeds, options.least_brightness), np.float32(0.0), look)

    def follow(name: str, image: Volume) -> Map:
        own = bright(image, _vesselness(image, inside, size, options))
        found = np.zeros(mask.shape, dtype=bool)
        found[box] = _followed(seeds, np.maximum(own, bright(rate, decay)), decay, maps.grid.voxel_volume_mm3, options)
        return Map(name=name, data=found, grid=maps.grid, method="vesselness", options=asdict(options))

    return follow("vessel_mask_para", para), follow("vessel_mask_dia", dia)


def vesselness(
    image: Volume,
    mask: Mask,
    voxel_size_mm: tuple[float, float, float],
    options: VesselOptions | None = None,
    *,
    on_axis: bool = False,
) -> NDArray[np.float32]:
    """How much each voxel of a mask looks like part of a bright tube: 0, not at all, to 1.

    The eigenvalues |λ₁| ≤ |λ₂| ≤ |λ₃| of the Hessian of the smoothed image give, where λ₂ and λ₃ are negative,
    ``(1 − exp(−R²/2α²)) exp(−B²/2β²) (1 − exp(−S²/2c²))`` with ``R = λ₂/λ₃`` (0 in a sheet), ``B = λ₁/λ₂`` (±1 in a
    ball) and ``S² = Σλ²``; c is the strength times the median of S over the mask. The largest value of all scales
    counts. On the axis alone there is a factor ``exp(−G²/2)``, ``G = |∇|/(σ|λ₂|)`` with the scale σ: the rind of a ball
    has the curvatures of a tube, but the slope of an edge. Outside the mask the image goes on with the value of the
    nearest voxel inside.

    Parameters
    ----------
    image : ndarray, shape (I, J, K)
        Any unit.
    mask : ndarray of bool, shape (I, J, K)
        Not empty; the result is 0 outside.
    voxel_size_mm : tuple of float
        Along i, j, k.
    options : VesselOptions, optional
        Defaults if left out.
    on_axis : bool
        Near the tube's axis alone.

    Returns
    -------
    ndarray of float32, shape (I, J, K)

    References
    ----------
    Frangi et al., MICCAI (1998), eq. 13.
    """
    return _vesselness(image[_nearest(mask)], mask, voxel_size_mm, options or VesselOptions(), on_axis=on_axis)


def _vesselness(
    image: Volume, mask: Mask, voxel_size_mm: tuple[float, float, float], options: VesselOptions, on_axis: bool = False
) -> NDArray[np.float32]:
    """As :func:`vesselness`, of an image without an edge at the mask's border."""
    from scipy.ndimage import gaussian_filter

    from ._vessel_kernels import add_vesselness, strengths

    whole, best = image.astype(np.float32), np.zeros(image.shape, dtype=np.float32)
    shape = (options.sheet, options.blob, 1.0 if on_axis else np.inf)
    for scale_mm in options.scales_mm:
        smooth = gaussian_filter(whole, [scale_mm / length for length in voxel_size_mm], mode="nearest")
        norm = np.zeros_like(best)
        in_slabs(strengths, len(mask), smooth, mask, voxel_size_mm, norm)
        saturation = options.strength * float(np.median(norm[mask]))
        if saturation > 0:
            in_slabs(add_vesselness, len(mask), smooth, mask, voxel_size_mm, shape, scale_mm, saturation, best)
    return best


def _nearest(mask: Mask) -> tuple[NDArray[np.int32], ...]:
    """Indices of the nearest voxel inside, for every voxel."""
    from scipy.ndimage import distance_transform_edt

    return tuple(distance_transform_edt(~mask, return_distances=False, return_indices=True))


def _brightness(image: Volume, mask: Mask, seeds: Mask, share: float) -> float:
    typical = float(np.median(image[mask]))
    return typical + share * (float(image[seeds].mean()) - typical) if seeds.any() else typical


def _followed(
    seeds: Mask, look: NDArray[np.float32], decay: NDArray[np.float32], voxel_mm3: float, options: VesselOptions
) -> Mask:
    """Connected parts that look like vessels, hold a seed, are large enough and look like vessels in R2*."""
    from scipy.ndimage import label

    parts, count = label(seeds | (look > options.grown_above), np.ones((3, 3, 3), dtype=bool))
    voxels = np.bincount(parts.ravel(), minlength=count + 1)
    means = np.bincount(parts.ravel(), decay.ravel(), minlength=count + 1) / np.maximum(voxels, 1)
    seeded = np.zeros(count + 1, dtype=bool)
    seeded[parts[seeds]] = True
    kept = seeded & (voxels * voxel_mm3 >= options.least_volume_mm3) & (means >= options.least_mean)
    kept[0] = False
    followed: Mask = kept[parts]
    return followed


def with_vessel_masks(truth: MapSet, estimate: MapSet, options: VesselOptions | None = None) -> MapSet:
    """Truth with vessel masks: its own, else found in its χ maps and its R2*, or the estimate's R2* on the same grid.

    Raises
    ------
    InputError
        As :func:`vessel_masks`.
    """
    if all(name in truth for name in _VESSEL_MASKS):
        return truth
    used = truth if "r2star" in truth or "r2star" not in estimate else truth.including(estimate["r2star"])
    return truth.including(*vessel_masks(used, options))
