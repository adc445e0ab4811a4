"""One of Slicer's slice views, off screen: layers, segments, colour legend, and letters at the edges."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifacts import Array
from .renderer import offscreen_window
from .session import application_logic, load_slicer

#: Part of the picture's width, on its right, that belongs to the colour legend.
_LEGEND_STRIP = 0.20
#: Room around the brain, as a part of its extent.
_MARGIN = 0.10
_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
)


@dataclass(frozen=True)
class Region:
    """What the pictures show: a point, RAS mm, and the corners of the box around the mask, shape (8, 3)."""

    center_ras: NDArray[np.float64]
    corners_ras: NDArray[np.float64]


class SliceView:
    """One of Slicer's slice views, off screen."""

    def __init__(self, scene: Any, size_px: tuple[int, int]) -> None:
        from vtkmodules.vtkRenderingCore import vtkRenderer
        from vtkmodules.vtkRenderingUI import vtkGenericRenderWindowInteractor

        slicer_module = load_slicer()
        self.scene, self.size_px = scene, size_px
        self.application = application_logic(scene)
        self.window, self.renderer = offscreen_window(size_px), vtkRenderer()
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self.window.AddRenderer(self.renderer)
        self.interactor = vtkGenericRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.Initialize()
        # The image must be in the renderer before the managers, or segments blend with black instead of with it.
        self.image = _image_actor(self.renderer)
        _black_strip(self.renderer, size_px)
        self.logic = slicer_module.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(self.application)
        self.application.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(scene)
        self.node = self.logic.AddSliceNode("ChiSepPicture")
        self.node.SetMappedInLayout(1)
        self.node.SetSaveWithScene(False)
        self.group = slicer_module.vtkMRMLDisplayableManagerGroup()
        self.group.Initialize(_manager_factory(slicer_module, self.application), self.renderer)
        self.group.SetMRMLDisplayableNode(self.node)
        self.letters = _edge_letters(self.renderer)
        self.position = _text_actor(self.renderer, 0.015, 0.015, 0, 0)
        self.legend: Any = None

    def show(self, background: Any, foreground: Any, opacity: float) -> None:
        """Choose the layers."""
        composite = self.logic.GetSliceCompositeNode()
        composite.SetBackgroundVolumeID(background.GetID() if background is not None else None)
        composite.SetForegroundVolumeID(foreground.GetID())
        composite.SetForegroundOpacity(opacity)
        self.logic.ResizeSliceNode(*self.size_px)

    def add_legend(self, node: Any, title: str, number_format: str) -> None:
        """Add the colour legend; its manager sees only legends that come after it."""
        self.legend = load_slicer().vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(node)
        self.legend.SetSaveWithScene(False)
        self.legend.SetTitleText("\n".join(line.rjust(10) for line in title.splitlines()))
        # Text is scaled to the legend's width, so short text is padded lest it grows.
        self.legend.SetLabelFormat(number_format.replace("%", "%5", 1))
        low, high = node.GetDisplayNode().GetWindowLevelMin(), node.GetDisplayNode().GetWindowLevelMax()
        self.legend.SetNumberOfLabels(label_count(low, high, number_format))
        self.legend.SetPosition(0.94, 0.5)
        self.legend.SetSize(0.10, 0.60)
        for text in (self.legend.GetTitleTextProperty(), self.legend.GetLabelTextProperty()):
            _style(text)
        self.legend.SetVisibility(True)

    def draw(self, orientation: str, region: Region) -> Array:
        """Pixels of one orientation, uint8 (height, width, 3), the top row first."""
        self._aim(orientation, region)
        connection = self.logic.GetImageDataConnection()
        self.image.GetMapper().SetInputConnection(connection)
        self.window.Render()
        return _read_pixels(self.window)

    def _aim(self, orientation: str, region: Region) -> None:
        """Cut at the region's point; fit the mask's box beside the legend."""
        self.node.SetOrientation(orientation)
        matrix = self.node.GetSliceToRAS()
        axes = np.array([[matrix.GetElement(row, column) for column in range(3)] for row in range(3)])
        box = region.corners_ras @ axes
        extent, middle = np.ptp(box, axis=0) * (1.0 + _MARGIN), (box.max(axis=0) + box.min(axis=0)) / 2.0
        width, height = self.size_px
        mm_per_px = max(extent[0] / (width * (1.0 - _LEGEND_STRIP)), extent[1] / height)
        middle[0] += mm_per_px * width * _LEGEND_STRIP / 2.0
        middle[2] = (region.center_ras @ axes)[2]
        for row, value in enumerate(axes @ middle):
            matrix.SetElement(row, 3, value)
        self.node.UpdateMatrices()
        self.node.SetFieldOfView(mm_per_px * width, mm_per_px * height, self.node.GetFieldOfView()[2])
        self.position.SetInput(_position(axes[:, 2], region.center_ras))
        for actor, direction in zip(self.letters, (-axes[:, 0], axes[:, 0], axes[:, 1], -axes[:, 1]), strict=True):
            actor.SetInput(_letter(direction))

    def close(self) -> None:
        """Take everything that this view brought out of the scene."""
        logic, model = self.logic, self.logic.GetSliceModelNode()
        brought = [self.legend, logic.GetSliceCompositeNode(), self.node, logic.GetSliceModelTransformNode(), model]
        brought += [model.GetDisplayNode()] if model is not None else []
        self.group.SetMRMLDisplayableNode(None)
        self.application.GetSliceLogics().RemoveItem(logic)
        logic.SetMRMLScene(None)
        for node in brought:
            if node is not None:
                self.scene.RemoveNode(node)
        self.window.Finalize()


@contextmanager
def slice_view(scene: Any, size_px: tuple[int, int]) -> Iterator[SliceView]:
    """Give a slice view of width × height pixels for the block."""
    view = SliceView(scene, size_px)
    try:
        yield view
    finally:
        view.close()


def _manager_factory(slicer_module: Any, application: Any) -> Any:
    factory = slicer_module.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
    factory.SetMRMLApplicationLogic(application)
    for name in _MANAGERS:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    return factory


def _image_actor(renderer: Any) -> Any:
    from vtkmodules.vtkRenderingCore import vtkActor2D, vtkImageMapper

    mapper, actor = vtkImageMapper(), vtkActor2D()
    mapper.SetColorWindow(255.0)
    mapper.SetColorLevel(127.5)
    actor.SetMapper(mapper)
    actor.GetProperty().SetDisplayLocationToBackground()
    renderer.AddViewProp(actor)
    return actor


def _black_strip(renderer: Any, size_px: tuple[int, int]) -> None:
    """Cover the image where the legend stands."""
    from vtkmodules.vtkCommonCore import VTK_UNSIGNED_CHAR
    from vtkmodules.vtkCommonDataModel import vtkImageData

    strip = vtkImageData()
    strip.SetDimensions(round(size_px[0] * _LEGEND_STRIP), size_px[1], 1)
    strip.AllocateScalars(VTK_UNSIGNED_CHAR, 1)
    strip.GetPointData().GetScalars().Fill(0)
    actor = _image_actor(renderer)
    actor.GetMapper().SetInputData(strip)
    actor.SetPosition(size_px[0] - strip.GetDimensions()[0], 0)


def label_count(minimum: float, maximum: float, number_format: str) -> int:
    """Number of legend labels at which the printed numbers are exact, zero among them where signs change."""
    for count in (5, 3) if minimum < 0 < maximum else (6, 5, 4, 7, 3):
        values = np.linspace(minimum, maximum, count)
        if all(abs(float(number_format % value) - value) < 1e-6 * (maximum - minimum) for value in values):
            return count
    return 2


def font_file() -> str:
    """File of a font with Greek letters, from matplotlib, for VTK's own has none; empty if there is none."""
    found = find_spec("matplotlib")
    path = Path(found.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf" if found and found.origin else None
    return str(path) if path and path.is_file() else ""


def _style(text: Any) -> None:
    from vtkmodules.vtkCommonCore import VTK_FONT_FILE

    font = font_file()
    if font:
        text.SetFontFamily(VTK_FONT_FILE)
        text.SetFontFile(font)
    text.SetFontSize(22)
    text.BoldOff()
    text.ItalicOff()
    text.ShadowOff()
    text.SetColor(1.0, 1.0, 1.0)


def _edge_letters(renderer: Any) -> list[Any]:
    """Letters of the anatomical directions at the left, right, top and bottom edge of the image."""
    image = 1.0 - _LEGEND_STRIP
    places = [(0.015, 0.5, 0, 1), (image - 0.015, 0.5, 2, 1), (image / 2, 0.985, 1, 2), (image / 2, 0.015, 1, 0)]
    return [_text_actor(renderer, *place) for place in places]


def _text_actor(renderer: Any, x: float, y: float, horizontal: int, vertical: int) -> Any:
    """Text at a place given as parts of the picture; 0, 1, 2 justify it left/bottom, centred, right/top."""
    from vtkmodules.vtkRenderingCore import vtkTextActor

    actor = vtkTextActor()
    text = actor.GetTextProperty()
    _style(text)
    text.ShadowOn()
    text.SetJustification(horizontal)
    text.SetVerticalJustification(vertical)
    actor.GetPositionCoordinate().SetCoordinateSystemToNormalizedViewport()
    actor.SetPosition(x, y)
    renderer.AddViewProp(actor)
    return actor


def _position(normal_ras: NDArray[np.float64], center_ras: NDArray[np.float64]) -> str:
    """Where the slice lies, such as "S 12.0 mm", in the letter of its side."""
    along = np.eye(3)[int(np.argmax(np.abs(normal_ras)))]
    value = float(along @ center_ras)
    return f"{_letter(along if value >= 0 else -along)} {abs(value):.1f} mm"


def _letter(direction_ras: NDArray[np.float64]) -> str:
    axis = int(np.argmax(np.abs(direction_ras)))
    return ("LR", "PA", "IS")[axis][int(direction_ras[axis] > 0)]


def _read_pixels(window: Any) -> Array:
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkRenderingCore import vtkWindowToImageFilter

    reader = vtkWindowToImageFilter()
    reader.SetInput(window)
    reader.ReadFrontBufferOff()
    reader.ShouldRerenderOff()
    reader.Update()
    image = reader.GetOutput()
    width, height, _ = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)[::-1].copy()
