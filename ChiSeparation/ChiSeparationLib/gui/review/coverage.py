"""How much of each lesion lies where maps are not valid, so that nobody grades it unaware. Needs no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.scene.volumes import array_from_node, grid_from_node

from ...lesions.identities import lesion_id_of
from ...lesions.regions import RegionOptions

#: A lesion with a larger share outside is flagged.
MOST_OUTSIDE = RegionOptions().maximum_outside_fraction
#: Masks that say where maps are valid.
_MASKS = ("brain_mask", "field_mask")


def outside_fractions(segments: Any, volumes: Mapping[str, Any]) -> dict[str, float]:
    """Measure what share of each lesion's voxels lies outside brain or field, or beyond the maps' edge.

    Parameters
    ----------
    segments : LesionSegments
        Where the lesions lie.
    volumes : mapping of str to vtkMRMLVolumeNode
        Of one pipeline, by artifact; masks that are not there are not asked.

    Returns
    -------
    dict of str to float
        0 to 1, by identity.

    Raises
    ------
    InputError
        If a volume stands under a transform.
    """
    indices = np.argwhere(segments.labels > 0)
    labels = segments.labels[tuple(indices.T)]
    places = indices @ segments.grid.affine[:3, :3].T + segments.grid.affine[:3, 3]
    inside = np.ones(labels.size, dtype=bool)
    for name, node in volumes.items():
        if name in _MASKS or name.startswith("chi_"):
            inside &= _inside(node, places, is_mask=name in _MASKS)
    total, outside = np.bincount(labels), np.bincount(labels, ~inside)
    return {lesion_id_of(int(label)): float(outside[label] / total[label]) for label in np.flatnonzero(total)}


def _inside(node: Any, places: NDArray[np.float64], *, is_mask: bool) -> NDArray[np.bool_]:
    """Whether points, RAS mm, shape (points, 3), lie in a volume, and of a mask where it is set."""
    grid = grid_from_node(node)
    to_index = np.linalg.inv(grid.affine)
    found = np.rint(places @ to_index[:3, :3].T + to_index[:3, 3]).astype(np.int64)
    within = np.all((found >= 0) & (found < grid.shape), axis=1)
    if is_mask:
        within[within] = array_from_node(node)[tuple(found[within].T)] > 0
    return np.asarray(within)
