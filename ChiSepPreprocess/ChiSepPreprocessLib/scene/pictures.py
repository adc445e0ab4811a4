"""Slice views as PNG files, drawn off screen by Slicer's own displayable managers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..artifacts import Array, Grid
from ..errors import InputError
from ..files import writing
from .nodes import ARTIFACT, UNIT
from .renderer import check_renderer
from .slice_view import Region, slice_view
from .volumes import array_from_node, grid_from_node, volume_node
from .windows import presets

if TYPE_CHECKING:
    import slicer

ORIENTATIONS = ("Axial", "Coronal", "Sagittal")

#: Titles of the colour legend by artifact.
TITLES = {
    "chi_para": "χ para",
    "chi_dia": "|χ dia|",
    "chi_total": "χ total",
    "local_field": "local field",
    "total_field": "total field",
    "r2star": "R2*",
    "r2": "R2",
    "r2prime": "R2′",
    "gre_phase": "phase",
}

#: Value of voxels outside the mask; interpolation with any map value stays below half of it.
_OUTSIDE = -1e6


def slice_pictures(
    scene: slicer.vtkMRMLScene,
    background: Any,
    foreground: Any,
    target: Path,
    *,
    orientations: Sequence[str] = ORIENTATIONS,
    mask: Any = None,
    center_ras: tuple[float, float, float] | None = None,
    size_px: tuple[int, int] = (1000, 820),
    foreground_opacity: float = 1.0,
    title: str = "",
) -> list[Path]:
    """Draw a colour map over a grey image, with a legend, as Slicer's slice views show it.

    Parameters
    ----------
    scene : vtkMRMLScene
        Holds both nodes; what is drawn for the pictures is removed from it again.
    background : vtkMRMLScalarVolumeNode or None
        Grey image, such as the magnitude.
    foreground : vtkMRMLScalarVolumeNode
        Map with its colours and window; transparent outside the mask, and where interpolation would mix in voxels
        from outside, which is half a voxel. Visible segmentations lie over it.
    target : Path
        A folder for one ``<map>_<orientation>.png`` each, or a ``.png`` file for all side by side.
    orientations : sequence of str
        Some of :data:`ORIENTATIONS`.
    mask : vtkMRMLLabelMapVolumeNode, optional
        Where the map is shown, on the map's grid; without it, the smallest brain or field mask of the scene around
        the map's values, and without those, where the map is not zero.
    center_ras : tuple of float, optional
        Point that all slices cut, RAS mm; without it, the middle of the mask.
    size_px : tuple of int
        Width and height of each picture.
    foreground_opacity : float
        0 to 1; below 1 the colours mix with the grey image and no longer match the legend.
    title : str, optional
        Of the legend; without it, the artifact's.

    Returns
    -------
    list of Path
        The files, in the order of ``orientations``.

    Raises
    ------
    InputError
        If an orientation is unknown, or the mask is empty or on another grid.
    MissingDependencyError
        If off-screen OpenGL is missing.
    OutputError
        If a file cannot be written.
    """
    unknown = [one for one in orientations if one not in ORIENTATIONS]
    if unknown or not orientations:
        raise InputError("orientations", list(orientations), f"some of {', '.join(ORIENTATIONS)}")
    check_renderer()
    shown = _shown_voxels(scene, foreground, mask)
    region = _region(shown, grid_from_node(foreground), center_ras)
    with _masked_copy(scene, foreground, shown) as colored, slice_view(scene, size_px) as view:
        view.show(background, colored, foreground_opacity)
        view.add_legend(colored, title or _title(foreground), _number_format(foreground))
        pixels = [view.draw(orientation, region) for orientation in orientations]
    return _write(pixels, orientations, foreground.GetName(), target)


def _shown_voxels(scene: Any, foreground: Any, mask: Any) -> Array:
    """Voxels of the map that are drawn, bool (I, J, K)."""
    if mask is None:
        shown = _smallest_mask_around(scene, foreground)
    elif grid_from_node(mask).matches(grid_from_node(foreground)):
        shown = array_from_node(mask) != 0
    else:
        raise InputError(f"mask '{mask.GetName()}'", "another grid", f"the grid of '{foreground.GetName()}'")
    if not shown.any():
        raise InputError(f"mask of '{foreground.GetName()}'", "no voxel inside", "a mask with voxels inside")
    return shown


def _smallest_mask_around(scene: Any, foreground: Any) -> Array:
    """Smallest brain or field mask of the scene that holds all the map's voxels that are not zero, else those voxels.

    Zero inside the brain is a value: a map of one kind of source is zero where there is none of it.
    """
    grid, values = grid_from_node(foreground), array_from_node(foreground) != 0
    best = np.ones_like(values)
    for node in scene.GetNodesByClass("vtkMRMLLabelMapVolumeNode"):
        if node.GetAttribute(ARTIFACT) in ("brain_mask", "field_mask") and grid_from_node(node).matches(grid):
            mask = array_from_node(node) != 0
            if mask.sum() < best.sum() and np.all(mask[values]):
                best = mask
    return values if best.all() else best


def _region(shown: Array, grid: Grid, center_ras: tuple[float, float, float] | None) -> Region:
    inside = np.argwhere(shown)
    low, high = inside.min(axis=0) - 0.5, inside.max(axis=0) + 0.5
    corners = np.array([[(low, high)[side][axis] for axis, side in enumerate(sides)] for sides in np.ndindex(2, 2, 2)])
    to_ras = grid.affine[:3, :3]
    corners_ras = corners @ to_ras.T + grid.affine[:3, 3]
    center = corners_ras.mean(axis=0) if center_ras is None else np.asarray(center_ras, dtype=float)
    return Region(center, corners_ras)


def _title(node: Any) -> str:
    name, unit = node.GetAttribute(ARTIFACT), node.GetAttribute(UNIT)
    text = TITLES.get(name, node.GetName())
    return f"{text}\n({unit})" if unit else text


def _number_format(node: Any) -> str:
    """Number format of the legend."""
    name = node.GetAttribute(ARTIFACT)
    choices = presets(name) if name else ()
    return choices[0].number_format if choices else "%.3g"


@contextmanager
def _masked_copy(scene: Any, foreground: Any, shown: Array) -> Iterator[Any]:
    """Copy of the map that Slicer draws inside the mask only; gone after the block."""
    data = np.where(shown, array_from_node(foreground), np.float32(_OUTSIDE))
    node = volume_node(scene, f"{foreground.GetName()} in its mask", data, grid_from_node(foreground), "Scalar")
    node.SetSaveWithScene(False)
    source, display = foreground.GetDisplayNode(), node.GetDisplayNode()
    display.SetAndObserveColorNodeID(source.GetColorNodeID())
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(source.GetWindowLevelMin(), source.GetWindowLevelMax())
    display.AutoThresholdOff()
    display.SetThreshold(_OUTSIDE / 2**20, -_OUTSIDE)
    display.ApplyThresholdOn()
    try:
        yield node
    finally:
        scene.RemoveNode(node)
        scene.RemoveNode(display)


def _write(pixels: list[Array], orientations: Sequence[str], name: str, target: Path) -> list[Path]:
    if target.suffix.lower() == ".png":
        return [_write_png(np.concatenate(pixels, axis=1), target)]
    return [
        _write_png(one, target / f"{name}_{orientation.lower()}.png")
        for one, orientation in zip(pixels, orientations, strict=True)
    ]


def _write_png(pixels: Array, path: Path) -> Path:
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkIOImage import vtkPNGWriter

    height, width, _ = pixels.shape
    image, writer = vtkImageData(), vtkPNGWriter()
    image.SetDimensions(width, height, 1)
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(pixels[::-1]).reshape(-1, 3), deep=True))
    writer.SetInputData(image)
    writer.WriteToMemoryOn()
    writer.Write()
    with writing(path) as temporary:
        temporary.write_bytes(vtk_to_numpy(writer.GetResult()).tobytes())
    return path
