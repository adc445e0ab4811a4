"""What the slice views of :mod:`.layouts` show: layers, link, crosshair, field of view, and where they cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .layouts import (
    COMPARISON,
    FOUR_GRID,
    LAYOUTS,
    Layout,
    composite_node,
    crosshair,
    show_layout,
    slice_node,
)
from .pictures import ORIENTATIONS
from .volume_display import renew_legend

if TYPE_CHECKING:
    import slicer

#: Opacity of a map over a grey image: both are seen.
BLEND = 0.7

#: Room around the volumes, as a part of their extent.
_MARGIN = 0.02


def show_maps(
    scene: slicer.vtkMRMLScene,
    volumes: Mapping[str, Any],
    *,
    layout: Layout = FOUR_GRID,
    underlay: Any = None,
    opacity: float = BLEND,
    orientation: str = "Axial",
) -> dict[str, Any]:
    """Show FLAIR and the susceptibility maps in linked views with one crosshair and one field of view.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`.session`.
    volumes : mapping of str to vtkMRMLVolumeNode or None
        Some of ``flair``, ``chi_para``, ``chi_dia`` and ``chi_total``; the view of one that is missing stays empty.
    layout : Layout
        :data:`.layouts.FOUR_GRID` or :data:`.layouts.FOUR_ROW`.
    underlay : vtkMRMLScalarVolumeNode, optional
        Grey image below the maps, such as the magnitude.
    opacity : float
        Of the maps over the underlay, 0 to 1.
    orientation : str
        ``"Axial"``, ``"Coronal"`` or ``"Sagittal"``.

    Returns
    -------
    dict of str to vtkMRMLSliceNode
        Slice node by what its view shows.

    Raises
    ------
    InputError
        If no volume is given, or a name, the opacity or the orientation is unknown.
    """
    layers = {key: (node, None) for key, node in volumes.items() if node is not None}
    if underlay is not None:
        layers |= {key: (underlay, node) for key, (node, _) in layers.items() if key != "flair"}
    # The maps decide what is looked at: FLAIR usually shows the whole head.
    framed = [node for key, node in volumes.items() if node is not None and key != "flair"]
    return _show(scene, layout, layers, framed, opacity, orientation)


def show_comparison(
    scene: slicer.vtkMRMLScene, first: Any, second: Any, difference: Any, *, orientation: str = "Axial"
) -> dict[str, Any]:
    """Show two results and their difference in linked views; the second gets the window and colours of the first.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`.session`.
    first, second : vtkMRMLScalarVolumeNode
        Two results of one artifact.
    difference : vtkMRMLScalarVolumeNode or None
        Of :func:`.difference.add_difference`.
    orientation : str
        ``"Axial"``, ``"Coronal"`` or ``"Sagittal"``.

    Returns
    -------
    dict of str to vtkMRMLSliceNode
        Slice node by ``"first"``, ``"second"`` and ``"difference"``.

    Raises
    ------
    InputError
        If the orientation is unknown.
    """
    _share_display(first, second)
    given = {"first": first, "second": second, "difference": difference}
    layers = {key: (node, None) for key, node in given.items() if node is not None}
    return _show(scene, COMPARISON, layers, [first], 1.0, orientation)


def blend(scene: slicer.vtkMRMLScene, opacity: float) -> None:
    """Set the opacity, 0 to 1, of the maps over their underlay in every view of this module.

    Raises
    ------
    InputError
        If the opacity lies outside 0 to 1.
    """
    _check_opacity(opacity)
    for view in {view for layout in LAYOUTS for view in layout.views if slice_node(scene, view) is not None}:
        composite_node(scene, view).SetForegroundOpacity(opacity)


def jump_to(scene: slicer.vtkMRMLScene, position_ras: Sequence[float]) -> None:
    """Cut every slice view of the scene through a point, centre it there, and put the crosshair on it.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`.session`.
    position_ras : sequence of float, length 3
        Point in RAS, mm.

    Raises
    ------
    InputError
        If the position is not three finite numbers.
    """
    if len(position_ras) != 3 or not np.all(np.isfinite(position_ras)):
        raise InputError("position", list(position_ras), "three finite numbers, R, A and S in mm")
    for node in scene.GetNodesByClass("vtkMRMLSliceNode"):
        node.JumpSliceByCentering(*position_ras)
    crosshair(scene).SetCrosshairRAS(list(position_ras))


def fit_views(slice_nodes: Sequence[Any], volumes: Sequence[Any], orientation: str) -> None:
    """Cut through the middle of volumes and show all of them, at one scale and place in all views.

    Slicer fits each view to its own volume, so views of different volumes would show different places.

    Parameters
    ----------
    slice_nodes : sequence of vtkMRMLSliceNode
        The views.
    volumes : sequence of vtkMRMLVolumeNode
        At least one, with an image.
    orientation : str
        ``"Axial"``, ``"Coronal"`` or ``"Sagittal"``.
    """
    corners = np.concatenate([_corners_ras(volume) for volume in volumes])
    for node in slice_nodes:
        node.SetOrientation(orientation)
        axes = _axes(node)
        box = corners @ axes
        extent, middle = np.ptp(box, axis=0) * (1.0 + _MARGIN), axes @ ((box.max(axis=0) + box.min(axis=0)) / 2.0)
        width, height, _ = node.GetDimensions()
        mm_per_px = max(extent[0] / width, extent[1] / height)
        node.SetFieldOfView(mm_per_px * width, mm_per_px * height, node.GetFieldOfView()[2])
        node.SetSliceOrigin(0.0, 0.0, 0.0)
        node.JumpSliceByCentering(*middle)


def _show(
    scene: Any, layout: Layout, layers: Mapping[str, tuple[Any, Any]], framed: list[Any], opacity: float,
    orientation: str,
) -> dict[str, Any]:  # fmt: skip
    """Check everything, then fill, link and fit the views of a layout."""
    keys = [view.key for view in layout.views]
    if not layers or set(layers) - set(keys):
        raise InputError("volumes to show", ", ".join(layers) or "none", f"at least one of {', '.join(keys)}")
    if orientation not in ORIENTATIONS:
        raise InputError("orientation", orientation, f"one of {', '.join(ORIENTATIONS)}")
    _check_opacity(opacity)
    for background, foreground in layers.values():
        _check_image(background)
        _check_image(foreground)
    nodes = show_layout(scene, layout)
    composites = {view.key: composite_node(scene, view) for view in layout.views}
    for key, composite in composites.items():
        _fill(composite, *layers.get(key, (None, None)), opacity)
    for composite in composites.values():
        _link(composite)
    for node in {node for pair in layers.values() for node in pair if node is not None}:
        renew_legend(node)
    crosshair(scene).SetCrosshairMode(crosshair(scene).ShowSmallBasic)
    fit_views(list(nodes.values()), framed or [layers[key][0] for key in layers], orientation)
    return nodes


def _check_opacity(opacity: float) -> None:
    if not 0.0 <= opacity <= 1.0:
        raise InputError("opacity", opacity, "0 (only the image below) to 1 (only the map)")


def _check_image(node: Any) -> None:
    if node is not None and node.GetImageData() is None:
        raise InputError(f"node '{node.GetName()}'", "no voxels", "a volume with an image")


def _fill(composite: Any, background: Any, foreground: Any, opacity: float) -> None:
    """Choose the layers of one view, unlinked, lest each view hand its layers on to the others."""
    composite.SetLinkedControl(False)
    # Volumes that are loaded later shall not push these out.
    composite.SetDoPropagateVolumeSelection(False)
    composite.SetBackgroundVolumeID(background.GetID() if background is not None else None)
    composite.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
    composite.SetForegroundOpacity(opacity)


def _link(composite: Any) -> None:
    """Let moves in one view act in all of its group, while the mouse moves and not only at its release."""
    composite.SetHotLinkedControl(True)
    composite.SetLinkedControl(True)


def _share_display(first: Any, second: Any) -> None:
    """Give the second node the window and colours of the first, as nothing else can be compared by eye."""
    source, target = first.GetDisplayNode(), second.GetDisplayNode()
    target.SetAndObserveColorNodeID(source.GetColorNodeID())
    target.AutoWindowLevelOff()
    target.SetWindowLevelMinMax(source.GetWindowLevelMin(), source.GetWindowLevelMax())


def _corners_ras(volume: Any) -> NDArray[np.float64]:
    """Corners of the box around a volume, RAS mm, shape (8, 3)."""
    bounds = np.zeros(6)
    volume.GetRASBounds(bounds)
    low, high = bounds[::2], bounds[1::2]
    return np.array([np.where(sides, high, low) for sides in np.ndindex(2, 2, 2)])


def _axes(node: Any) -> NDArray[np.float64]:
    """Axes of a slice in RAS, as columns."""
    matrix = node.GetSliceToRAS()
    return np.array([[matrix.GetElement(row, column) for column in range(3)] for row in range(3)])
