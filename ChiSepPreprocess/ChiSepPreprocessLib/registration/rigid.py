"""Rigid registration of two images of one head, whatever their contrast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..artifacts import Array, Grid, Image
from ..errors import CancelledError, InputError
from ..progress import Reporter
from . import resampling
from .resampling import Mask, Matrix, flip_ras_lps, inside_fraction, to_itk

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813

#: With less of the fixed mask in the moving image's field of view the two are taken for different places.
SMALLEST_OVERLAP = 0.2
#: More motion than this within one session is doubtful.
LARGEST_TRANSLATION_MM = 20.0
LARGEST_ROTATION_DEGREES = 20.0
#: Kept around the mask so that smoothing does not see the cut, mm.
_MARGIN_MM = 12.0


@dataclass(frozen=True, kw_only=True)
class RegistrationOptions:
    """How images are registered.

    Parameters
    ----------
    histogram_bins : int
        Of the joint histogram (Mattes et al., IEEE TMI 2003;22:120-128).
    samples : int
        About so many voxels of the mask enter the metric at each level.
    shrink_factors : tuple of int
        Subsampling at each level, coarse to fine.
    smoothing_mm : tuple of float
        Standard deviation of the Gaussian at each level, mm.
    iterations : int
        At most so many steps at each level.
    seed : int
        Of the random samples.
    """

    histogram_bins: int = 32
    samples: int = 100_000
    shrink_factors: tuple[int, ...] = (4, 2, 1)
    smoothing_mm: tuple[float, ...] = (4.0, 2.0, 0.0)
    iterations: int = 100
    seed: int = 1

    def __post_init__(self) -> None:
        if len(self.shrink_factors) != len(self.smoothing_mm) or not self.shrink_factors:
            raise InputError("registration levels", f"{self.shrink_factors}, {self.smoothing_mm} mm",
                             "one shrink factor and one smoothing for each level")  # fmt: skip
        if self.histogram_bins < 8 or self.samples < 1000 or self.iterations < 1 or self.seed < 1:
            raise InputError("registration options", self, "at least 8 bins, 1000 samples, 1 iteration and seed 1")


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where the moving image lies relative to the fixed one.

    Parameters
    ----------
    moving_from_fixed_ras : ndarray, shape (4, 4)
        Takes a point of the fixed image to the same tissue in the moving image, RAS mm.
    mutual_information_before, mutual_information_after : float
        Nats; at the scanner's geometry and after registration.
    overlap_fraction : float
        Share of the fixed mask inside the moving image's field of view.
    warnings : tuple of str
        What the user should know.
    """

    moving_from_fixed_ras: NDArray[np.float64]
    mutual_information_before: float
    mutual_information_after: float
    overlap_fraction: float
    warnings: tuple[str, ...] = ()


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
        Where the images are compared; everywhere if absent.
    options : RegistrationOptions, optional
        Levels and sampling.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    Alignment
        The scanner's geometry, with a warning, if nothing better was found.

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
    fixed, mask = _cropped(fixed, mask)
    method = _method(mask, fixed.grid, options)
    images = to_itk(fixed.data.astype(np.float32), fixed.grid), to_itk(moving.data.astype(np.float32), moving.grid)
    start = _identity_about(mask, fixed.grid)
    method.SetInitialTransform(start, inPlace=False)
    before = -float(method.MetricEvaluate(*images))
    found = _execute(method, images, options, report)
    method.SetInitialTransform(found, inPlace=False)
    after = -float(method.MetricEvaluate(*images))
    matrix = _matrix_ras(found) if after > before else np.eye(4)
    overlap = inside_fraction(mask, fixed.grid, moving.grid, matrix)
    return Alignment(matrix, before, after, overlap, _doubts(matrix, mask, fixed.grid, improved=after > before))


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


def _check(fixed: Image, moving: Image, mask: Mask) -> None:
    if mask.shape != fixed.grid.shape or mask.dtype != np.bool_ or not mask.any():
        raise InputError("registration mask", f"shape {mask.shape}, {np.count_nonzero(mask)} voxels inside",
                         f"bool of shape {fixed.grid.shape} with voxels inside")  # fmt: skip
    for name, data in (("fixed image", fixed.data[mask]), ("moving image", moving.data)):
        if not data.max() > data.min():
            raise InputError(name, f"the same value {data.max():g} everywhere", "an image with contrast")
    overlap = inside_fraction(mask, fixed.grid, moving.grid, np.eye(4))
    if overlap < SMALLEST_OVERLAP:
        raise InputError("overlap of the images", f"{overlap:.0%} of the mask", f"at least {SMALLEST_OVERLAP:.0%}",
                         "Check that both images are of one session and carry the scanner's geometry.")  # fmt: skip


def _cropped(fixed: Image, mask: Mask) -> tuple[Image, Mask]:
    """The mask's surroundings alone: the metric looks nowhere else, and smoothing the rest costs time."""
    margin = np.ceil(_MARGIN_MM / np.array(fixed.grid.voxel_size_mm)).astype(int)
    inside = np.argwhere(mask)
    first = np.maximum(inside.min(axis=0) - margin, 0)
    last = np.minimum(inside.max(axis=0) + margin + 1, mask.shape)
    box = tuple(slice(start, stop) for start, stop in zip(first, last, strict=True))
    affine = fixed.grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ first
    part = fixed.data[box]
    return Image(part, Grid(part.shape, affine)), mask[box]


def _method(mask: Mask, grid: Grid, options: RegistrationOptions) -> sitk.ImageRegistrationMethod:
    import SimpleITK as sitk  # noqa: N813

    method = sitk.ImageRegistrationMethod()
    # The order in which threads add changes the sums; with one, runs agree to about 1e-6 mm.
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(options.histogram_bins)
    method.SetMetricSamplingStrategy(method.RANDOM)
    shares = [min(options.samples * f**3 / np.count_nonzero(mask), 1.0) for f in options.shrink_factors]
    method.SetMetricSamplingPercentagePerLevel(shares, options.seed)
    # Gradients where the samples lie; filtering whole volumes for them takes longer and is no more exact.
    method.SetMetricUseFixedImageGradientFilter(False)
    method.SetMetricUseMovingImageGradientFilter(False)
    method.SetMetricFixedMask(to_itk(mask, grid))
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=1e-4, numberOfIterations=options.iterations, relaxationFactor=0.7
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(options.shrink_factors)
    method.SetSmoothingSigmasPerLevel(options.smoothing_mm)
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    return method


def _identity_about(mask: Mask, grid: Grid) -> sitk.Euler3DTransform:
    """No motion, with rotations about the mask's centre, where they mix least with shifts."""
    import SimpleITK as sitk  # noqa: N813

    transform = sitk.Euler3DTransform()
    centre = _centre_ras(mask, grid)
    transform.SetCenter((-centre[0], -centre[1], centre[2]))
    return transform


def _centre_ras(mask: Mask, grid: Grid) -> Matrix:
    return np.asarray(grid.affine[:3, :3] @ np.argwhere(mask).mean(axis=0) + grid.affine[:3, 3])


def _execute(
    method: sitk.ImageRegistrationMethod, images: tuple[sitk.Image, sitk.Image], options: RegistrationOptions,
    report: Reporter,
) -> sitk.Transform:  # fmt: skip
    """Run; an exception must not cross ITK's callback, so a wish to stop waits until ITK returns."""
    import SimpleITK as sitk  # noqa: N813

    cancelled: list[CancelledError] = []
    levels = len(options.shrink_factors)

    def on_iteration() -> None:
        if cancelled:
            method.StopRegistration()
            return
        share = min(method.GetOptimizerIteration() / options.iterations, 1.0)
        try:
            report("registration", (method.GetCurrentLevel() + share) / levels)
        except CancelledError as error:
            cancelled.append(error)
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


def _doubts(matrix: Matrix, mask: Mask, grid: Grid, *, improved: bool) -> tuple[str, ...]:
    if not improved:
        return ("Registration found nothing better than the scanner's geometry, which is used.",)
    centre = _centre_ras(mask, grid)
    shift = float(np.linalg.norm(matrix[:3, :3] @ centre + matrix[:3, 3] - centre))
    angle = float(np.degrees(np.arccos(np.clip((np.trace(matrix[:3, :3]) - 1) / 2, -1, 1))))
    if shift <= LARGEST_TRANSLATION_MM and angle <= LARGEST_ROTATION_DEGREES:
        return ()
    return (f"Registration moved the image by {shift:.0f} mm and {angle:.0f}°: check that both show one head.",)
