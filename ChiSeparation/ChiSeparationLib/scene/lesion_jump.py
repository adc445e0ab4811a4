"""All slice views on one lesion: cut through its centre, centred, and zoomed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.scene.views import jump_to

if TYPE_CHECKING:
    import slicer

#: Views show so many times the lesion's extent, and at least this much, mm: a lesion is judged by what is around it.
_TIMES, _LEAST_MM = 4.0, 60.0


def jump_to_lesion(scene: slicer.vtkMRMLScene, centre_ras: Sequence[float], corners_ras: NDArray[np.float64]) -> None:
    """Cut every slice view through a lesion's centre and show it at one scale in all of them.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`ChiSepPreprocessLib.scene.session`.
    centre_ras : sequence of float, length 3
        RAS, mm.
    corners_ras : ndarray, shape (8, 3)
        Of the box around it, RAS mm.
    """
    jump_to(scene, centre_ras)
    nodes = scene.GetNodesByClass("vtkMRMLSliceNode")
    extent_mm = float(np.ptp(corners_ras, axis=0).max())
    shown_mm = max(_LEAST_MM, _TIMES * extent_mm)
    for node in nodes:
        _zoom(node, shown_mm)


def _zoom(node: Any, shown_mm: float) -> None:
    """Let a view show so many mm along its shorter side."""
    width, height, _ = node.GetDimensions()
    mm_per_px = shown_mm / max(min(width, height), 1)
    node.SetFieldOfView(mm_per_px * width, mm_per_px * height, node.GetFieldOfView()[2])
