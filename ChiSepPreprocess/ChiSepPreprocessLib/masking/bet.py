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
from ..morphology import fill_holes, largest_component
from ..progress import Reporter
from .surface import Surface, icosphere

_STEPS_PER_REPORT = 50
#: Voxel size (mm) that suffices for the head's and the brain's levels, centre and size.
_SURVEY_MM = 2.0
#: The image counts from 1 mm beneath the surface on, which therefore comes to rest outside the edge.
_OVERSHOOT_MM = 0.5
#: Way of the centre between passes (mm) below which it counts as found.
_SETTLED_MM = 2.0


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
        The surface grows at most so often, the last time with all vertices. Before, a coarser one looks for the
        brain's centre, which is a better start than the head's, until it settles.
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
        if self.iterations > 10_000 or self.subdivisions > 7 or max(self.attempts, self.passes) > 50:
            raise InputError("brain extraction", self,
                             "at most 10000 iterations, 7 subdivisions, 50 attempts and 50 passes")  # fmt: skip
        if not 0 < self.intersection_limit < np.inf:
            raise InputError("limit of self-intersection", self.intersection_limit, "a positive number")


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
    from ._kernels import sink

    options, report = options or BetOptions(), report or Reporter()
    size = np.asarray(voxel_size_mm, dtype=np.float64)
    if magnitude.ndim != 3 or min(magnitude.shape) < 2 or size.shape != (3,) or not np.all(size > 0):
        raise InputError("magnitude", f"shape {magnitude.shape}, voxels {voxel_size_mm} mm", "a volume and its voxels")
    check_volume("magnitude", magnitude, magnitude.shape)
    image = np.ascontiguousarray(np.maximum(magnitude, 0), dtype=np.float32)
    superior = np.asarray(superior_axis_ijk, dtype=np.float64)
    head = _surveyed(image, size, options, superior, report.span(0.0, 0.3))
    sphere = icosphere(options.subdivisions)
    points = _grow(image, size, head, sphere, options, superior, report.span(0.3, 1.0))
    points = sink(points, sphere.neighbours, _OVERSHOOT_MM)
    mask = fill_holes(largest_component(_inside(points / size, sphere, image.shape)))
    report("brain mask", 1.0)
    return mask


def _surveyed(
    image: Array, size: NDArray[np.float64], options: BetOptions, superior: NDArray[np.float64], report: Reporter
) -> HeadEstimate:
    """Head with the centre of the brain, as a coarse surface finds it; the head's own with a single pass."""
    steps = np.maximum(_SURVEY_MM / size, 1).astype(int)
    survey, survey_size = image[tuple(slice(None, None, step) for step in steps)], size * steps
    head = estimate_head(survey, survey_size)
    # A coarser surface has edges twice as long, and moves twice as far in a step.
    coarse = replace(options, subdivisions=max(options.subdivisions - 1, 1), iterations=max(options.iterations // 2, 1))
    sphere = icosphere(coarse.subdivisions)
    for one in range(1, options.passes):
        part = report.span((one - 1) / options.passes, one / options.passes)
        points = _grow(image, size, head, sphere, coarse, superior, part)
        mask = _inside(points / survey_size, sphere, survey.shape)
        centre = _centre_mm(mask, survey_size)
        way_mm = float(np.linalg.norm(centre - head.centre_mm))
        head = replace(head, centre_mm=centre, median=float(np.median(survey[mask])))
        if way_mm < _SETTLED_MM:
            break
    return head


def _inside(points: NDArray[np.float64], sphere: Surface, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    from ._kernels import voxelise

    mask: NDArray[np.bool_] = voxelise(points, sphere.faces, shape)
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
    centre = _centre_mm(np.where(inside, np.minimum(image, highest) - lowest, 0), voxel_size_mm)
    radius = np.cbrt(3 * np.count_nonzero(inside) * voxel_size_mm.prod() / (4 * np.pi))
    central = inside & (_squared_distance(image.shape, voxel_size_mm, centre) < radius**2) & (image < highest)
    if not central.any():
        raise InputError("magnitude", "no voxel of middle intensity", "an image with a head in it")
    return HeadEstimate(lowest, float(np.median(image[central])), threshold, centre, float(radius))


def _centre_mm(weights: Array, voxel_size_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre of gravity, mm."""
    profiles = (weights.sum(axis=others, dtype=np.float64) for others in ((1, 2), (0, 2), (0, 1)))
    return np.array([np.average(np.arange(p.size), weights=p) for p in profiles]) * voxel_size_mm


def _squared_distance(
    shape: tuple[int, ...], voxel_size_mm: NDArray[np.float64], centre_mm: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Squared distance of every voxel from a point, mm²."""
    offsets = [np.arange(n) * size - at for n, size, at in zip(shape, voxel_size_mm, centre_mm, strict=True)]
    x, y, z = np.meshgrid(*(offset.astype(np.float32) for offset in offsets), indexing="ij", sparse=True)
    return np.asarray(x**2 + y**2 + z**2)


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
