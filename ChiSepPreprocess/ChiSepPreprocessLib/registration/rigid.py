"""Rigid registration of two images of one head, whatever their contrast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..artifacts import Array, Grid, Image
from ..box import bounding_box
from ..errors import CancelledError, InputError
from ..geometry import resampling
from ..geometry.resampling import Mask, Matrix, flip_ras_lps, inside_fraction, shrunk, to_itk
from ..morphology import dilate_mm
from ..progress import Reporter
from .alignment import Alignment
from .similarity import local_similarity

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813

#: With less of the fixed mask in the moving image's field of view the two are taken for different places.
SMALLEST_OVERLAP = 0.2
#: More motion than this within one session is doubtful.
LARGEST_TRANSLATION_MM = 20.0
LARGEST_ROTATION_DEG = 20.0
#: And more than this is a failure: the scanner's geometry is the better guess.
FAILED_TRANSLATION_MM = 60.0
FAILED_ROTATION_DEG = 30.0
#: One head in two contrasts scored 0.65 to 0.86, two heads or a mirrored one 0.31 to 0.44.
SMALLEST_SCORE = 0.5
#: Voxel of the images that the score compares, mm.
_SCORE_SIZE_MM = 2.0
#: Kept around the compared region, mm.
_MARGIN_MM = 4.0

_CHECK_SESSION = "Check that both images are of one head and carry the scanner's geometry."


@dataclass(frozen=True, kw_only=True)
class RegistrationOptions:
    """How images are registered.

    Parameters
    ----------
    histogram_bins : int
        Of the joint histogram (Mattes et al., IEEE TMI 2003;22:120-128).
    samples : int
        About so many voxels of the mask enter the metric at each level.
    level_sizes_mm : tuple of float
        Both images are averaged to about this voxel size at each level, coarse to fine. Whole heads are
        found within 0.1 mm at 2 mm; a third level of 1 mm helps small fields of view.
    mask_margin_mm : float
        The mask is enlarged by so much. Inside the brain alone, smooth coil sensitivities outweigh
        the small contrast and shift the optimum by up to 1 mm; the edge of brain and skull holds it.
    turned_deg : float
        If the head was turned on purpose by up to about so much: the search also starts from this
        rotation about each axis, both ways, and takes such rotations for plausible. 0 within one session.
    iterations : int
        At most so many steps at each level.
    seed : int
        Of the random samples.
    """

    histogram_bins: int = 32
    samples: int = 30_000
    level_sizes_mm: tuple[float, ...] = (4.0, 2.0)
    mask_margin_mm: float = 8.0
    turned_deg: float = 0.0
    iterations: int = 100
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.level_sizes_mm or not all(0 < size <= 100 for size in self.level_sizes_mm):
            raise InputError("registration levels", f"{self.level_sizes_mm} mm",
                             "at least one voxel size, each above 0 and up to 100 mm")  # fmt: skip
        if self.histogram_bins < 8 or self.samples < 1000 or self.iterations < 1 or self.seed < 1:
            raise InputError("registration options", self, "at least 8 bins, 1000 samples, 1 iteration and seed 1")
        if self.histogram_bins > 1024 or self.samples > 10_000_000 or self.iterations > 10_000:
            raise InputError("registration options", self, "at most 1024 bins, 10000000 samples and 10000 iterations")
        if not 0 <= self.mask_margin_mm <= 50:
            raise InputError("mask margin", f"{self.mask_margin_mm} mm", "0 to 50 mm")
        if not 0 <= self.turned_deg <= 60:
            raise InputError("turn of the head", f"{self.turned_deg}°", "0 to 60°")


def align(
    fixed: Image, moving: Image, fixed_mask: Mask | None = None, options: RegistrationOptions | None = None,
    report: Reporter | None = None,
) -> Alignment:  # fmt: skip
    """Register rigidly by mutual information, starting from the scanner's geometry.

    Parameters
    ----------
    fixed, moving : Image
        Magnitudes, on their own grids.
    fixed_mask : ndarray of bool, shape (I, J, K), optional
        The images are compared there and a little around; everywhere if absent.
    options : RegistrationOptions, optional
        Levels and sampling.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    Alignment
        The scanner's geometry, with a warning, if nothing better or nothing plausible was found.

    Raises
    ------
    InputError
        If the mask does not fit or is empty, an image is constant, or the fields of view hardly overlap.
    CancelledError
        If the caller asked to stop.
    """
    options, report = options or RegistrationOptions(), report or Reporter()
    mask = np.ones(fixed.grid.shape, dtype=np.bool_) if fixed_mask is None else fixed_mask
    _check(fixed, moving, mask)
    margin_mm = options.mask_margin_mm
    fixed, mask = _cut(fixed, mask, margin_mm + _MARGIN_MM)
    centre = _centre_ras(mask, fixed.grid)
    starts = [_rotation_about(centre, *angles) for angles in _start_angles_deg(options.turned_deg)]
    for n, size_mm in enumerate(options.level_sizes_mm):
        level = _Level(_pair(fixed, mask, moving, size_mm, margin_mm), options, size_mm)
        count = len(options.level_sizes_mm)
        starts = [level.best(starts, report.span(n / count, (n + 1) / count))]
    before, after = level.mutual_information(_rotation_about(centre)), level.mutual_information(starts[0])
    pair = _pair(fixed, mask, moving, _SCORE_SIZE_MM, margin_mm)
    return _judged(_matrix_ras(starts[0]), pair, before, after, options.turned_deg)


def resample(
    data: Array, grid: Grid, target: Grid, alignment: Alignment | None = None, *, nearest: bool = False
) -> Array:
    """Interpolate a volume or a series once onto the fixed grid; see :func:`.resampling.resample`.

    Parameters
    ----------
    data : ndarray, shape (I, J, K) or (I, J, K, E)
        On ``grid``.
    grid, target : Grid
        Of the moving and of the fixed image.
    alignment : Alignment, optional
        The scanner's geometry alone if absent.
    nearest : bool
        Take the nearest voxel: for labels. Masks always do.

    Returns
    -------
    ndarray, shape (*target.shape,) or (*target.shape, E)
        0 where ``grid`` has no voxel.

    Raises
    ------
    InputError
        If the data do not fit the grid.
    """
    matrix = None if alignment is None else alignment.moving_from_fixed_ras
    return resampling.resample(data, grid, target, matrix, nearest=nearest)


@dataclass(frozen=True, eq=False)
class _Pair:
    """Both images at one resolution, the mask, and the region in which they are compared."""

    fixed: Image
    mask: Mask
    region: Mask
    moving: Image
    centre_ras: Matrix


def _pair(fixed: Image, mask: Mask, moving: Image, size_mm: float, margin_mm: float) -> _Pair:
    # Distances are as good on a coarse grid, and much faster.
    share, coarse = shrunk(mask, fixed.grid, max(size_mm, _SCORE_SIZE_MM))
    inside = np.asarray(share >= 0.5)
    near = dilate_mm(inside, margin_mm, coarse.voxel_size_mm)
    images = [Image(*shrunk(one.data, one.grid, size_mm)) for one in (fixed, moving)]
    grid = images[0].grid
    small, region = (resampling.resample(one, coarse, grid) for one in (inside, near))
    return _Pair(images[0], small, region, images[1], _centre_ras(mask, fixed.grid))


@dataclass(frozen=True, eq=False)
class _Level:
    """One resolution: the images as ITK has them, and the metric between them."""

    pair: _Pair
    options: RegistrationOptions
    size_mm: float
    images: tuple[sitk.Image, sitk.Image] = field(init=False)

    def __post_init__(self) -> None:
        images = (self.pair.fixed, self.pair.moving)
        object.__setattr__(self, "images", tuple(to_itk(one.data, one.grid) for one in images))

    def best(self, starts: Sequence[sitk.Transform], report: Reporter) -> sitk.Transform:
        """The best optimum that the starts lead to."""
        count = len(starts)
        found = [self.improved(one, report.span(n / count, (n + 1) / count)) for n, one in enumerate(starts)]
        return found[0] if count == 1 else max(found, key=self.mutual_information)

    def improved(self, start: sitk.Transform, report: Reporter) -> sitk.Transform:
        """Climb from ``start`` to the nearest optimum."""
        method = self._method(start)
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=self.size_mm / 2, minStep=0.01, numberOfIterations=self.options.iterations,
            relaxationFactor=0.8,
        )  # fmt: skip
        method.SetOptimizerScalesFromPhysicalShift()
        return _execute(method, self.images, self.options.iterations, report)

    def mutual_information(self, transform: sitk.Transform) -> float:
        """Nats, at a transform."""
        return -float(self._method(transform).MetricEvaluate(*self.images))

    def _method(self, start: sitk.Transform) -> sitk.ImageRegistrationMethod:
        import SimpleITK as sitk  # noqa: N813

        method = sitk.ImageRegistrationMethod()
        # The order in which threads add changes the sums.
        method.SetNumberOfThreads(1)
        method.SetMetricAsMattesMutualInformation(self.options.histogram_bins)
        method.SetMetricSamplingStrategy(method.RANDOM)
        share = min(self.options.samples / np.count_nonzero(self.pair.region), 1.0)
        method.SetMetricSamplingPercentage(share, self.options.seed)
        # Gradients where the samples lie; filtering whole volumes for them takes longer and is no more exact.
        method.SetMetricUseFixedImageGradientFilter(False)
        method.SetMetricUseMovingImageGradientFilter(False)
        method.SetMetricFixedMask(to_itk(self.pair.region, self.pair.fixed.grid))
        method.SetInterpolator(sitk.sitkLinear)
        method.SetInitialTransform(start, inPlace=False)
        return method


def _check(fixed: Image, moving: Image, mask: Mask) -> None:
    if mask.shape != fixed.grid.shape or mask.dtype != np.bool_ or not mask.any():
        raise InputError("registration mask", f"shape {mask.shape}, {np.count_nonzero(mask)} voxels inside",
                         f"bool of shape {fixed.grid.shape} with voxels inside")  # fmt: skip
    for name, data in (("fixed image", fixed.data[mask]), ("moving image", moving.data)):
        if not data.max() > data.min():
            raise InputError(name, f"the same value {data.max():g} everywhere", "an image with contrast")
    _check_overlap(inside_fraction(mask, fixed.grid, moving.grid, np.eye(4)))


def _check_overlap(overlap: float) -> None:
    if overlap < SMALLEST_OVERLAP:
        raise InputError("overlap of the images", f"{overlap:.0%} of the mask", f"at least {SMALLEST_OVERLAP:.0%}",
                         _CHECK_SESSION)  # fmt: skip


def _cut(fixed: Image, mask: Mask, margin_mm: float) -> tuple[Image, Mask]:
    """The surroundings of the mask alone: the metric looks nowhere else."""
    box = bounding_box(mask, int(np.ceil(margin_mm / min(fixed.grid.voxel_size_mm))))
    affine = fixed.grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [one.start for one in box]
    part = fixed.data[box]
    return Image(part, Grid(part.shape, affine)), mask[box]


def _start_angles_deg(turned_deg: float) -> list[tuple[float, float, float]]:
    if turned_deg == 0:
        return [(0.0, 0.0, 0.0)]
    turns = [tuple(map(float, sign * turned_deg * axis)) for axis in np.eye(3) for sign in (-0.8, 0.8)]
    return [(0.0, 0.0, 0.0), *turns]  # type: ignore[list-item]


def _rotation_about(
    centre_ras: Matrix, x_deg: float = 0.0, y_deg: float = 0.0, z_deg: float = 0.0
) -> sitk.Euler3DTransform:
    """Rotations about the mask's centre mix least with shifts."""
    import SimpleITK as sitk  # noqa: N813

    transform = sitk.Euler3DTransform()
    transform.SetCenter((-centre_ras[0], -centre_ras[1], centre_ras[2]))
    transform.SetRotation(*np.radians((x_deg, y_deg, z_deg)).tolist())
    return transform


def _centre_ras(mask: Mask, grid: Grid) -> Matrix:
    return np.asarray(grid.affine[:3, :3] @ np.argwhere(mask).mean(axis=0) + grid.affine[:3, 3])


def _execute(
    method: sitk.ImageRegistrationMethod, images: tuple[sitk.Image, sitk.Image], iterations: int, report: Reporter
) -> sitk.Transform:
    """Run; an exception must not cross ITK's callback, so a wish to stop waits until ITK returns."""
    import SimpleITK as sitk  # noqa: N813

    cancelled: list[CancelledError] = []

    def on_iteration() -> None:
        if not cancelled:
            try:
                report("registration", method.GetOptimizerIteration() / iterations)
            except CancelledError as error:
                cancelled.append(error)
        if cancelled:
            method.StopRegistration()

    method.AddCommand(sitk.sitkIterationEvent, on_iteration)
    found = method.Execute(*images)
    method.RemoveAllCommands()
    if cancelled:
        raise cancelled[0]
    return found


def _matrix_ras(transform: sitk.Transform) -> Matrix:
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    lps = np.eye(4)
    lps[:3, :3] = np.column_stack([np.array(transform.TransformPoint(axis)) - origin for axis in np.eye(3).tolist()])
    lps[:3, 3] = origin
    return flip_ras_lps(lps)


def _judged(found: Matrix, pair: _Pair, before: float, after: float, turned_deg: float) -> Alignment:
    """The alignment, or the scanner's geometry if it is better, with what speaks for and against it."""
    fixed, moving = pair.fixed, pair.moving
    motion = size_of_motion(found, pair.centre_ras)
    failed = motion[0] > FAILED_TRANSLATION_MM or motion[1] > FAILED_ROTATION_DEG + turned_deg
    matrix = found if after > before and not failed else np.eye(4)
    overlap = inside_fraction(pair.mask, fixed.grid, moving.grid, matrix)
    _check_overlap(overlap)
    landed = resampling.resample(moving.data, moving.grid, fixed.grid, matrix)
    covered = resampling.resample(np.ones(moving.grid.shape, dtype=np.bool_), moving.grid, fixed.grid, matrix)
    score = local_similarity(fixed.data, landed, pair.region & covered, fixed.grid.voxel_size_mm)
    kept = size_of_motion(matrix, pair.centre_ras)
    large = kept[0] > LARGEST_TRANSLATION_MM + turned_deg or kept[1] > LARGEST_ROTATION_DEG + turned_deg
    doubts = _doubts(motion, score, failed=failed, large=large, improved=after > before)
    return Alignment(matrix, *kept, score, overlap, before, after, doubts)


def _doubts(motion: tuple[float, float], score: float, *, failed: bool, large: bool, improved: bool) -> tuple[str, ...]:
    size = f"{motion[0]:.0f} mm and {motion[1]:.0f}°"
    unlike = score < SMALLEST_SCORE
    texts = {
        f"Registration failed: it found {size}, more than a head moves. The scanner's geometry is used.": failed,
        f"Registration moved the image by {size}: check that both show one head.": large,
        "Registration found nothing better than the scanner's geometry, which is used.":
            unlike and not improved and not failed,
        f"The images hardly resemble each other after registration (score {score:.2f}; one head has more than "
        f"{SMALLEST_SCORE:g}): check that both show one head.": unlike,
    }  # fmt: skip
    return tuple(text for text, holds in texts.items() if holds)


def size_of_motion(matrix: Matrix, centre_ras: Matrix) -> tuple[float, float]:
    """Translation of a centre (mm) and angle of rotation (degrees) of a rigid motion (4, 4), RAS mm."""
    shift = matrix[:3, :3] @ centre_ras + matrix[:3, 3] - centre_ras
    cosine = np.clip((np.trace(matrix[:3, :3]) - 1) / 2, -1, 1)
    return float(np.linalg.norm(shift)), float(np.degrees(np.arccos(cosine)))
