"""Normal-appearing white matter (NAWM), found in the maps of a run: no T1 and no atlas are needed.

White matter decays faster than grey matter (at 3 T, R2 of 14 against 10 and R2* of 19 against 16 per second) and is
diamagnetic where grey matter is paramagnetic. The mask's edge lies in voxels of both tissues; those who compare lesions
with it leave the edge out (:attr:`.regions.RegionOptions.white_matter_margin_mm`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Array, MapSet
from ChiSepPreprocessLib.box import Box, bounding_box
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.morphology import dilate_mm

Mask = NDArray[np.bool_]
Volume = NDArray[np.float32]

#: Voxels that the two tissues are learnt from; more do not move their means.
_SAMPLES = 60_000
_ITERATIONS = 100


@dataclass(frozen=True, kw_only=True)
class WhiteMatterOptions:
    """Options of :func:`normal_appearing_white_matter`.

    Parameters
    ----------
    smoothing_mm : float
        Standard deviation of the Gaussian that evens out noise, mm; tissue alone enters it.
    fluid_below_per_s : float
        Slower R2* is cerebrospinal fluid, 1/s.
    fluid_margin_mm : float
        White matter is farther from fluid than this, mm.
    vessel_above_per_s : float
        Faster R2* is a vein or a nucleus full of iron, 1/s.
    iron_above_ppb : float
        Tissue whose susceptibility exceeds the white matter's mean by more is a nucleus or a vein, ppb.
    spreads : float
        A voxel farther from the white matter's mean than so many standard deviations is something else.
    least_volume_mm3 : float
        Smaller connected parts are left out, mm³.
    """

    smoothing_mm: float = 1.0
    fluid_below_per_s: float = 8.0
    fluid_margin_mm: float = 1.5
    vessel_above_per_s: float = 35.0
    iron_above_ppb: float = 25.0
    spreads: float = 3.0
    least_volume_mm3: float = 500.0


@dataclass(frozen=True, eq=False)
class WhiteMatter:
    """The mask and how it was found.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        Normal-appearing white matter.
    channels : tuple of str
        Maps that told grey and white matter apart.
    record : mapping
        Options, and by channel the means of both tissues, JSON-ready.
    """

    mask: Mask
    channels: tuple[str, ...]
    record: Mapping[str, Any]


def normal_appearing_white_matter(
    maps: MapSet, lesions: Array | None = None, options: WhiteMatterOptions | None = None
) -> WhiteMatter | None:
    """Find white matter in the maps of a run.

    Of two smoothed maps ``x`` (R2, or R2* where it was not measured; and the total susceptibility) two normal
    distributions are learnt in the tissue by expectation maximisation, independent between the maps. A voxel is white
    matter where the faster decaying, more diamagnetic one is the likelier,
    ``sum log p(x | white) > sum log p(x | grey)``, and no map lies more than ``spreads`` standard deviations from its
    mean. Lesions, fluid and its border, veins and nuclei full of iron are left out; so is what lies in small separate
    parts.

    Parameters
    ----------
    maps : MapSet
        ``brain_mask`` or ``field_mask`` or both, ``r2star`` and ``chi_total``; ``r2`` and ``csf_mask`` are used if they
        are there.
    lesions : ndarray, shape (I, J, K), optional
        Lesions of any number: neither learnt from, nor white matter.
    options : WhiteMatterOptions, optional
        Defaults if left out.

    Returns
    -------
    WhiteMatter or None
        ``None`` where there are no maps to find it in, or the two tissues cannot be told apart.

    Raises
    ------
    InputError
        If there is no mask or the lesions have another shape.
    """
    options = options or WhiteMatterOptions()
    valid = _valid(maps, lesions)
    channels = _channels(maps)
    if not channels or not valid.any():
        return None
    box = bounding_box(valid, margin=1)
    tissue = valid[box] & ~_fluid(maps, box, options) & (maps.array("r2star")[box] <= options.vessel_above_per_s)
    if lesions is not None:
        tissue &= lesions[box] == 0
    if not tissue.any():
        return None
    images = [_smoothed(_image(maps, name, box), tissue, maps.grid.voxel_size_mm, options) for name in channels]
    classes = _two_classes(np.stack([image[tissue] for image in images]))
    if classes is None:
        return None
    found = _is_white(images, tissue, classes, options)
    found &= ~_iron(images, found, options)
    mask = np.zeros(valid.shape, dtype=bool)
    mask[box] = _large_parts(found, maps.grid.voxel_volume_mm3, options.least_volume_mm3)
    grey, white = (dict(zip(channels, part.mean.tolist(), strict=True)) for part in classes)
    return WhiteMatter(mask, channels, {"options": asdict(options), "grey_mean": grey, "white_mean": white})


def _valid(maps: MapSet, lesions: Array | None) -> Mask:
    masks = [maps.array(name) for name in ("brain_mask", "field_mask") if name in maps]
    if not masks:
        raise InputError("masks", "neither brain_mask nor field_mask", "at least one of them")
    if lesions is not None and lesions.shape != maps.grid.shape:
        raise InputError("lesions", f"shape {lesions.shape}", f"the maps' shape {maps.grid.shape}")
    return np.asarray(np.logical_and.reduce(masks))


def _channels(maps: MapSet) -> tuple[str, ...]:
    if "r2star" not in maps or "chi_total" not in maps:
        return ()
    return ("r2" if "r2" in maps else "r2star", "chi_total")


def _image(maps: MapSet, name: str, box: Box) -> NDArray[np.float32]:
    """A map in which white matter is the brighter."""
    data = maps.array(name)[box].astype(np.float32)
    return -data if name == "chi_total" else data


def _fluid(maps: MapSet, box: Box, options: WhiteMatterOptions) -> Mask:
    fluid = maps.array("r2star")[box] < options.fluid_below_per_s
    if "csf_mask" in maps:
        fluid = fluid | maps.array("csf_mask")[box]
    return dilate_mm(fluid, options.fluid_margin_mm, maps.grid.voxel_size_mm)


def _smoothed(
    image: NDArray[np.float32], tissue: Mask, voxel_size_mm: tuple[float, ...], options: WhiteMatterOptions
) -> Volume:
    """Gaussian mean over the tissue alone; 0 outside."""
    from scipy.ndimage import gaussian_filter

    sigma = [options.smoothing_mm / length for length in voxel_size_mm]
    total = gaussian_filter(np.where(tissue, image, np.float32(0)), sigma)
    weight = gaussian_filter(tissue.astype(np.float32), sigma)
    return np.asarray(np.where(tissue, total / np.maximum(weight, np.float32(1e-3)), 0), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class _Class:
    """A tissue: independent normal distributions, one for each map, and its share."""

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    share: float

    def log_likelihood(self, number: int, values: NDArray[Any]) -> NDArray[Any]:
        """Of one map's values."""
        distance = (values - self.mean[number]) / self.sd[number]
        return np.asarray(-0.5 * distance**2 - np.log(self.sd[number]))


def _two_classes(values: NDArray[np.float32]) -> tuple[_Class, _Class] | None:
    """Darker and brighter tissue (channel, voxel), by expectation maximisation; ``None`` if there are not two."""
    step = max(values.shape[1] // _SAMPLES, 1)
    x = values[:, ::step].astype(np.float64)
    low, high = np.percentile(x, (2, 98), axis=1)
    x = x[:, np.all((x >= low[:, None]) & (x <= high[:, None]), axis=0)]
    if x.shape[1] < 100 or np.any(high <= low):
        return None
    weight = (x > np.median(x, axis=1)[:, None]).mean(axis=0)
    for _ in range(_ITERATIONS):
        classes = _class_of(x, 1 - weight), _class_of(x, weight)
        logs = [np.log(one.share) + sum(one.log_likelihood(n, x[n]) for n in range(len(x))) for one in classes]
        weight = 1 / (1 + np.exp(np.clip(logs[0] - logs[1], -50, 50)))
        if not 0.02 < weight.mean() < 0.98:
            return None
    dark, bright = classes
    return (dark, bright) if np.all(bright.mean > dark.mean) else None


def _class_of(x: NDArray[np.float64], weight: NDArray[np.float64]) -> _Class:
    total = weight.sum()
    mean = x @ weight / total
    variance = ((x - mean[:, None]) ** 2) @ weight / total
    # Half a per cent of the range: the smallest spread that noise would leave.
    return _Class(mean, np.maximum(np.sqrt(variance), 5e-3 * np.ptp(x, axis=1)), float(weight.mean()))


def _is_white(images: list[Volume], tissue: Mask, classes: tuple[_Class, _Class], options: WhiteMatterOptions) -> Mask:
    grey, white = classes
    likelier = np.zeros(tissue.shape, dtype=np.float64)
    found = tissue.copy()
    for number, image in enumerate(images):
        above = image > white.mean[number]
        ratio = white.log_likelihood(number, image) - grey.log_likelihood(number, image)
        # Beyond the white matter's mean the wider distribution would win again.
        likelier += np.where(above, np.maximum(ratio, 0), ratio)
        found &= np.abs(image - white.mean[number]) < options.spreads * white.sd[number]
    return found & (likelier > 0)


def _iron(images: list[Volume], white: Mask, options: WhiteMatterOptions) -> Mask:
    """Nuclei and veins by their susceptibility, the last channel, which is negated."""
    chi_ppb = -1e3 * images[-1]
    typical = float(np.median(chi_ppb[white])) if white.any() else 0.0
    return np.asarray(chi_ppb > typical + options.iron_above_ppb)


def _large_parts(found: Mask, voxel_volume_mm3: float, least_mm3: float) -> Mask:
    from scipy.ndimage import label

    parts, _ = label(found)
    large = np.bincount(parts.ravel()) * voxel_volume_mm3 >= least_mm3
    large[0] = False
    return np.asarray(large[parts])
