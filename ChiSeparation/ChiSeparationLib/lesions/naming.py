"""Where a lesion lies, in words, from its position alone: side, region as the McDonald criteria part the brain, lobe.

No atlas is registered. The brain mask's size and nod carry positions over from MNI space (:mod:`..display.places`),
within about 1 cm; a mask of fluid, if there is one, tells what touches a ventricle and what lies beneath cortex.
Every name says that it is approximate.

References
----------
A.J. Thompson et al., "Diagnosis of multiple sclerosis: 2017 revisions of the McDonald criteria", Lancet Neurol
17:162-173, 2018 (periventricular, cortical or juxtacortical, infratentorial). Positions of ventricles, sulci and the
tentorium are the usual ones of anatomical atlases in MNI space, rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Array, Grid, check_volume
from ChiSepPreprocessLib.distance import distance_mm
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.morphology import fill_holes

from ..display.places import brain_from_mni
from .components import whole_numbers

Points = NDArray[np.float64]

#: Course of the right lateral ventricle, MNI mm: frontal horn, body, trigone, then occipital and temporal horn.
_VENTRICLE = (
    np.array([[8.0, 32, 4], [11, 18, 12], [12, 0, 22], [16, -20, 24], [25, -42, 14], [25, -60, 10]]),
    np.array([[25.0, -42, 14], [32, -34, -2], [33, -12, -18]]),
)

#: Fluid nearer to that course belongs to the ventricle, mm.
_VENTRICLE_MM = 14.0
#: A lesion abuts what is nearer to one of its voxels than this, mm: next to it, with partial volume between.
_ABUTS_FLUID_MM, _ABUTS_COURSE_MM = 3.0, 9.0
#: Depth below outer fluid or the mask's surface that is still next to cortex (2 to 4 mm thick), mm.
_JUXTACORTICAL_MM = 5.0
#: Nearer to the middle than this a lesion has no side, mm.
_MIDLINE_MM = 4.0

APPROXIMATE = " (approximate)"


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A patient's brain, as far as names need it.

    Parameters
    ----------
    mni_from_ras : ndarray, shape (4, 4)
        Roughly, from the brain mask.
    to_ventricle_mm : ndarray, shape (I, J, K), or None
        Distance to a ventricle's fluid, where fluid is known.
    to_surface_mm : ndarray, shape (I, J, K)
        Distance to outer fluid or to the outside of the brain, infinite where deeper than cortex reaches.
    """

    mni_from_ras: Points
    to_ventricle_mm: Array | None
    to_surface_mm: Array


def anatomy_of(grid: Grid, brain_mask: Array, fluid: Array | None = None) -> Anatomy:
    """Take the measures of a brain, once for all its lesions.

    Parameters
    ----------
    grid : Grid
        Of the masks.
    brain_mask : ndarray of bool, shape (I, J, K)
        Whole brain with cerebellum.
    fluid : ndarray of bool, shape (I, J, K), optional
        Cerebrospinal fluid, ventricles and sulci.

    Raises
    ------
    InputError
        If a mask does not fit, or the brain mask covers no whole brain.
    """
    mni_from_ras = np.asarray(np.linalg.inv(brain_from_mni(brain_mask, grid)), dtype=np.float64)
    outer = ~fill_holes(brain_mask)
    to_ventricle = None
    if fluid is not None:
        check_volume("fluid", fluid, grid.shape)
        inner = np.zeros(grid.shape, dtype=np.bool_)
        indices = np.argwhere(fluid & ~outer)
        near = _to_course_mm(_mni(indices, grid, mni_from_ras)) < _VENTRICLE_MM
        inner[tuple(indices[near].T)] = True
        to_ventricle = distance_mm(~inner, _ABUTS_FLUID_MM, grid.voxel_size_mm)
        outer = outer | (fluid & ~inner)
    return Anatomy(mni_from_ras, to_ventricle, distance_mm(~outer, _JUXTACORTICAL_MM, grid.voxel_size_mm))


def place_of(voxels: Array, grid: Grid, anatomy: Anatomy) -> str:
    """Name the place of one lesion.

    Parameters
    ----------
    voxels : ndarray of int, shape (N, 3)
        Indices of the lesion's voxels.
    grid : Grid
        Of the lesion.
    anatomy : Anatomy
        Of the same grid.

    Returns
    -------
    str
        Such as "left periventricular white matter, parietal (approximate)".
    """
    mni = _mni(voxels, grid, anatomy.mni_from_ras)
    centre = mni.mean(axis=0)
    side = "midline" if abs(centre[0]) < _MIDLINE_MM else "right" if centre[0] > 0 else "left"
    below = _infratentorial(centre)
    if below:
        return f"{side} {below}, infratentorial{APPROXIMATE}"
    return f"{side} {_region(voxels, mni, anatomy)}, {_lobe(centre)}{APPROXIMATE}"


def name_places(labels: Array, grid: Grid, brain_mask: Array, fluid: Array | None = None) -> Mapping[int, str]:
    """Name the places of all lesions of a label map; nothing if the mask is no whole brain.

    Parameters
    ----------
    labels : ndarray of int, shape (I, J, K)
        0 outside lesions.
    grid, brain_mask, fluid
        As for :func:`anatomy_of`.

    Returns
    -------
    mapping of int to str
        By label.

    Raises
    ------
    InputError
        If a mask does not fit the grid.
    """
    numbers = whole_numbers(labels)
    check_volume("brain mask", brain_mask, grid.shape)
    if fluid is not None:
        check_volume("fluid", fluid, grid.shape)
    try:
        anatomy = anatomy_of(grid, brain_mask, fluid)
    except InputError:
        return {}  # a name is no reason to stop
    indices = np.argwhere(numbers)
    values = numbers[tuple(indices.T)]
    order = np.argsort(values, kind="stable")
    used, first = np.unique(values[order], return_index=True)
    parts = np.split(indices[order], first[1:]) if used.size else []
    return {int(label): place_of(part, grid, anatomy) for label, part in zip(used, parts, strict=True)}


def _region(voxels: Array, mni: Points, anatomy: Anatomy) -> str:
    index = tuple(voxels.T)
    if anatomy.to_ventricle_mm is None:
        abuts = _to_course_mm(mni).min() < _ABUTS_COURSE_MM
    else:
        abuts = np.isfinite(anatomy.to_ventricle_mm[index]).any()
    if abuts:
        return "periventricular white matter"
    if np.isfinite(anatomy.to_surface_mm[index]).any():
        return "juxtacortical white matter"
    return "deep white matter"


def _infratentorial(centre: Points) -> str:
    """Brainstem or cerebellum, or nothing above the tentorium, which falls off to the sides and to the back."""
    x, y, z = abs(centre[0]), centre[1], centre[2]
    if x < 18 and -46 < y < -10 and z < -8:
        return "brainstem"
    return "cerebellum" if y < -36 and z < -12 - 0.2 * x else ""


def _lobe(centre: Points) -> str:
    x, y, z = abs(centre[0]), centre[1], centre[2]
    central_sulcus = -5.0 - 0.45 * (z - 15.0)
    if x < 36 and -30 < y < 26 and -8 < z < 16:
        return "basal ganglia and capsules"
    if y < -66 - 0.3 * max(z - 10.0, 0.0):
        return "occipital"
    if z < 6 and x > 20 and y < 18 and not (y > 0 and z > -8):
        return "temporal"
    return "frontal" if y > central_sulcus else "parietal"


def _to_course_mm(mni: Points) -> Points:
    """Distance of points to the course of the lateral ventricles, either side."""
    folded = np.column_stack([np.abs(mni[:, 0]), mni[:, 1:]])
    nearest = np.full(len(folded), np.inf)
    for course in _VENTRICLE:
        for start, end in pairwise(course):
            along = np.clip((folded - start) @ (end - start) / np.sum((end - start) ** 2), 0.0, 1.0)
            nearest = np.minimum(nearest, np.linalg.norm(folded - start - along[:, None] * (end - start), axis=1))
    return nearest


def _mni(indices: Array, grid: Grid, mni_from_ras: Points) -> Points:
    matrix = mni_from_ras @ grid.affine
    return np.asarray(indices @ matrix[:3, :3].T + matrix[:3, 3])
