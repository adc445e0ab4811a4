"""Brain extraction by a deformable surface.

Method: Smith SM. Fast robust automated brain extraction. Human Brain Mapping 2002;17:143-155. A sphere
inside the head grows to the brain's outline, driven outward by bright and inward by dark image values
beneath it, and kept smooth and evenly spaced. All lengths are in mm, so voxels may be anisotropic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..artifacts import Array, check_volume
from ..errors import InputError
from ..progress import Reporter
from .morphology import fill_holes, largest_component
from .surface import Surface, icosphere

_STEPS_PER_REPORT = 50
#: Share of the volume below which a change between passes counts as settled.
_SETTLED = 0.01


@dataclass(frozen=True, kw_only=True)
class BetOptions:
    """How the brain is extracted; defaults are Smith's.

    Parameters
    ----------
    fractional_intensity : float
        0 to 1; smaller gives a larger brain.
    gradient : float
        −1 to 1; positive gives a larger brain at the bottom and a smaller one at the top.
    iterations : int
        Steps of the surface.
    subdivisions : int
        Of the icosahedron; 4 gives 2562 vertices, about 4 mm apart on a brain.
    intersection_limit : float
        Score of self-intersection from which the surface is grown anew, stiffer.
    attempts : int
        At most so many growths against self-intersection.
    passes : int
        At most so many repetitions from the brain found before, which is a better start than the head: its centre,
        size and median intensity. They end when the volume settles.
    """

    fractional_intensity: float = 0.5
    gradient: float = 0.0
    iterations: int = 1000
    subdivisions: int = 4
    intersection_limit: float = 4000.0
    attempts: int = 5
    passes: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.fractional_intensity < 1:
            raise InputError("fractional intensity", self.fractional_intensity, "a value between 0 and 1")
        if not -1 <= self.gradient <= 1:
            raise InputError("intensity gradient", self.gradient, "a value from -1 to 1")
        if min(self.iterations, self.subdivisions, self.attempts, self.passes) < 1:
            raise InputError("brain extraction", self, "at least one iteration, subdivision, attempt and pass")


@dataclass(frozen=True, eq=False)
class HeadEstimate:
    """What the histogram says about the head (Smith 2002, "Estimation of basic image and brain parameters").

    Parameters
    ----------
    lowest, median, threshold : float
        t2, tm and t: 2 % quantile, median inside the sphere, and what parts head from air.
    centre_mm : ndarray, shape (3,)
        Centre of gravity, mm along the voxel axes.
    radius_mm : float
        Of the sphere with the head's volume.
    """

    lowest: float
    median: float
    threshold: float
    centre_mm: NDArray[np.float64]
    radius_mm: float


def brain_mask(
    magnitude: Array, voxel_size_mm: Sequence[float], options: BetOptions | None = None,
    report: Reporter | None = None, *, superior_axis_ijk: Sequence[float] = (0.0, 0.0, 1.0),
) -> NDArray[np.bool_]:  # fmt: skip
    """Find the brain in a magnitude image.

    Parameters
    ----------
    magnitude : ndarray, shape (I, J, K)
        a.u.; with or without skull.
    voxel_size_mm : sequence of float
        Length of a voxel along i, j, k in mm.
    options : BetOptions, optional
        Thresholds and iterations.
    report : Reporter, optional
        For progress and cancelling.
    superior_axis_ijk : sequence of float
        Unit vector towards the top of the head in voxel axes; only the gradient option uses it.

    Returns
    -------
    ndarray of bool, shape (I, J, K)
        One connected part without holes.

    Raises
    ------
    InputError
        If the image is not a finite volume with a bright object in it.
    CancelledError
        If the caller asked to stop.
    """
    options, report = options or BetOptions(), report or Reporter()
    size = np.asarray(voxel_size_mm, dtype=np.float64)
    if magnitude.ndim != 3 or min(magnitude.shape) < 2 or size.shape != (3,) or not np.all(size > 0):
        raise InputError("magnitude", f"shape {magnitude.shape}, voxels {voxel_size_mm} mm", "a volume and its voxels")
    check_volume("magnitude", magnitude, magnitude.shape)
    image = np.ascontiguousarray(np.maximum(magnitude, 0), dtype=np.float32)
    superior = np.asarray(superior_axis_ijk, dtype=np.float64)
    sphere, head = icosphere(options.subdivisions), estimate_head(image, size)
    mask = np.zeros(image.shape, dtype=np.bool_)
    for one in range(options.passes):
        part = report.span(one / options.passes, (one + 1) / options.passes)
        points = _grow(image, size, head, sphere, options, superior, part)
        before, mask = np.count_nonzero(mask), _filled(points / size, sphere, image.shape)
        if abs(np.count_nonzero(mask) - before) < _SETTLED * before:
            break
        head = _refined(head, image, mask, size)
    report("brain mask", 1.0)
    return mask


def _filled(points: NDArray[np.float64], sphere: Surface, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    from ._kernels import voxelise

    mask = fill_holes(largest_component(voxelise(points, sphere.faces, shape)))
    if not mask.any():
        raise InputError("brain mask", "no voxel inside", "a magnitude image of a head", "Supply a mask.")
    return mask


def estimate_head(image: Array, voxel_size_mm: NDArray[np.float64]) -> HeadEstimate:
    """Intensity levels, centre and size of the head.

    Raises
    ------
    InputError
        If the image is constant.
    """
    lowest, highest = (float(q) for q in np.percentile(image, (2, 98)))
    if not highest > lowest:
        raise InputError("magnitude", f"values from {lowest:g} to {highest:g}", "an image with a head in it")
    threshold = lowest + 0.1 * (highest - lowest)
    inside = image > threshold
    centre, radius, positions = _sphere(inside, voxel_size_mm, np.minimum(image[inside], highest) - lowest)
    values = image[inside]
    central = (np.sum((positions - centre) ** 2, axis=1) < radius**2) & (values < highest)
    if not central.any():
        raise InputError("magnitude", "no voxel of middle intensity", "an image with a head in it")
    return HeadEstimate(lowest, float(np.median(values[central])), threshold, centre, radius)


def _refined(head: HeadEstimate, image: Array, mask: Array, voxel_size_mm: NDArray[np.float64]) -> HeadEstimate:
    centre, radius, _ = _sphere(mask, voxel_size_mm, None)
    return replace(head, median=float(np.median(image[mask])), centre_mm=centre, radius_mm=radius)


def _sphere(
    inside: Array, voxel_size_mm: NDArray[np.float64], weights: Array | None
) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """Centre (mm), radius (mm) of the sphere of the same volume, and positions (mm) of the voxels inside."""
    positions = np.argwhere(inside) * voxel_size_mm
    radius = float(np.cbrt(3 * len(positions) * voxel_size_mm.prod() / (4 * np.pi)))
    return np.average(positions, axis=0, weights=weights), radius, positions


def _grow(
    image: Array, voxel_size_mm: NDArray[np.float64], head: HeadEstimate, sphere: Surface, options: BetOptions,
    superior: NDArray[np.float64], report: Reporter,
) -> NDArray[np.float64]:  # fmt: skip
    """Grow the surface; where it ends folded, grow anew with a stiffer one."""
    from ._kernels import deform, self_intersection

    levels = np.array([head.lowest, head.median, head.threshold])
    threshold = options.fractional_intensity**0.275
    slope = options.gradient * superior / head.radius_mm
    points = sphere.vertices
    for attempt in range(options.attempts):
        points = head.centre_mm + 0.5 * head.radius_mm * sphere.vertices
        stiffness = _stiffness(attempt, options.iterations)
        for first in range(0, options.iterations, _STEPS_PER_REPORT):
            report("brain mask", first / options.iterations, f"attempt {attempt + 1}" if attempt else "")
            points = deform(points, sphere.neighbours, image, 1 / voxel_size_mm, levels, threshold, slope,
                            head.centre_mm, stiffness[first : first + _STEPS_PER_REPORT])  # fmt: skip
        if self_intersection(points, sphere.vertices, sphere.neighbours) < options.intersection_limit:
            break
    return points


def _stiffness(attempt: int, iterations: int) -> NDArray[np.float64]:
    """Factor of the outward smoothing: ten times more for each attempt, back to 1 in the last quarter."""
    start = 10.0 ** (attempt + 1) if attempt else 1.0
    return np.interp(np.arange(iterations), [0.75 * iterations, iterations], [start, 1.0])
