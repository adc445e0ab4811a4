"""Lesions of multiple sclerosis from FLAIR, without a network and without training images.

Three steps, after the lesion growth algorithm (Schmidt et al. 2012, as Egger et al. 2017 describe it): statistics of
normal tissue, conservative seeds, growth to a more liberal threshold.

1. FLAIR in standard deviations z of the brain's own tissue (:mod:`.tissue`).
2. Seeds: connected voxels of large prominence, the height above every way to the brain's surface
   (:mod:`.prominence`), that stand out from the tissue around them (:mod:`.growth`).
3. Growth of the seeds to a share of their own peak (:mod:`.growth`); connected parts above the smallest volume are
   the lesions.

Unlike there, tissue classes do not come from T1 and an atlas: prominence and shell take their place.

References
----------
P. Schmidt et al., "An automated tool for detection of FLAIR-hyperintense white-matter lesions in Multiple Sclerosis",
NeuroImage 59:3774-3783, 2012. C. Egger et al., "MRI FLAIR lesion segmentation in multiple sclerosis: Does automated
segmentation hold up with manual annotation?", NeuroImage Clin 13:264-270, 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from ChiSepPreprocessLib.artifacts import Array, Grid, Image
from ChiSepPreprocessLib.box import bounding_box
from ChiSepPreprocessLib.distance import distance_mm
from ChiSepPreprocessLib.morphology import fill_holes
from ChiSepPreprocessLib.progress import Reporter

from ..components import LabelledLesions, label_mask
from .brain import brain_of
from .growth import Grower
from .options import SegmentationOptions
from .prominence import prominence
from .smoothing import Mask, Volume, smoothed_inside
from .tissue import TissueMap, tissue_map

METHOD = "lesion growth on FLAIR"

#: Ways to the surface end at voxels whose centre is so near to it, mm.
_RIM_MM = 1.0
#: Deeper than this, tissue counts for the statistics, mm.
_INTERIOR_MM = 5.0

NONE_FOUND = "No lesion was found: nothing in the FLAIR stands out as the options ask."


@dataclass(frozen=True, eq=False, kw_only=True)
class LesionSegmentation:
    """What was found.

    Parameters
    ----------
    labelled : LabelledLesions
        The label map on the FLAIR's grid, and what was too small for it.
    z : ndarray of float32, shape (I, J, K)
        FLAIR in standard deviations above normal tissue, 0 outside the brain.
    brain, fluid : ndarray of bool, shape (I, J, K)
        Brain, and cerebrospinal fluid in it.
    statistics : mapping
        Of tissue and seeds, for the record.
    """

    labelled: LabelledLesions
    z: Array
    brain: Array
    fluid: Array
    statistics: Mapping[str, float]


def segment_lesions(
    flair: Image, brain_mask: Array | None = None, *, options: SegmentationOptions | None = None,
    report: Reporter | None = None,
) -> LesionSegmentation:  # fmt: skip
    """Find white-matter lesions that are bright in FLAIR.

    Parameters
    ----------
    flair : Image
        On any grid; brain-extracted (0 outside) unless a mask is given.
    brain_mask : ndarray of bool, shape (I, J, K), optional
        On the FLAIR's grid.
    options : SegmentationOptions, optional
        Thresholds.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    LesionSegmentation
        Without any lesion if there is none, which is a normal result and said in the warnings.

    Raises
    ------
    InputError
        If the brain cannot be told from the rest, or the image has no contrast.
    CancelledError
        If the caller asked to stop.
    """
    options, report = options or SegmentationOptions(), report or Reporter()
    brain = brain_of(flair, brain_mask)
    box = bounding_box(brain, 1)
    report("lesions", 0.0, "tissue")
    tissue, rim = _tissue(flair.data[box].astype(np.float32), brain[box], _cut_grid(flair.grid, box), options)
    report("lesions", 0.4, "seeds")
    high = prominence(tissue.z, brain[box], rim)
    found, seeds = Grower(tissue, brain[box], high, flair.grid.voxel_size_mm, options).lesions(report.span(0.4, 0.9))
    report("lesions", 0.9, "labels")
    mask, z, fluid = (_in_whole(part, brain.shape, box) for part in (found, tissue.z, tissue.fluid & brain[box]))
    statistics = {
        "tissue_median": tissue.median, "tissue_spread": tissue.spread, "field_minimum": tissue.field_range[0],
        "field_maximum": tissue.field_range[1], "brain_ml": brain.sum() * flair.grid.voxel_volume_mm3 / 1e3,
        "seeds": seeds,
    }  # fmt: skip
    rounded = {name: round(float(value), 4) for name, value in statistics.items()}
    return LesionSegmentation(labelled=_labelled(mask, flair.grid, options), z=z, brain=brain, fluid=fluid,
                              statistics=rounded)  # fmt: skip


def _tissue(data: Volume, brain: Mask, grid: Grid, options: SegmentationOptions) -> tuple[TissueMap, Mask]:
    smooth = smoothed_inside(data, brain, options.smoothing_mm, grid.voxel_size_mm)
    depth = distance_mm(np.pad(fill_holes(brain), 1), _INTERIOR_MM, grid.voxel_size_mm)[1:-1, 1:-1, 1:-1]
    rim = brain & (depth <= max(_RIM_MM, *grid.voxel_size_mm))
    return tissue_map(smooth, brain, brain & ~np.isfinite(depth), grid), rim


def _labelled(mask: Mask, grid: Grid, options: SegmentationOptions) -> LabelledLesions:
    labelled = label_mask(mask, grid, options.minimum_volume_mm3)
    note = () if labelled.lesions.data.any() else (NONE_FOUND,)
    lesions = replace(labelled.lesions, method=METHOD, options=asdict(options),
                      warnings=(*labelled.lesions.warnings, *note))  # fmt: skip
    return replace(labelled, lesions=lesions)


def _in_whole(part: Array, shape: tuple[int, ...], box: tuple[slice, slice, slice]) -> Array:
    """A part of the volume in its place, 0 around it."""
    whole = np.zeros(shape, dtype=part.dtype)
    whole[box] = part
    return whole


def _cut_grid(grid: Grid, box: tuple[slice, slice, slice]) -> Grid:
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    return Grid(tuple(part.stop - part.start for part in box), affine)
