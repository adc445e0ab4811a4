"""Slice and 3D views: VTK draws off screen, the pixels are painted as an image, so no screen is needed.

Each view makes its window when it is first looked at; until then it is only a node and a logic.
"""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from .problems import guarded
from .pythonqt import emulated, qt
from .raw_qt import QtGui
from .widget_parts import Observers

_SLICE_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager", "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D", "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLRulerDisplayableManager", "vtkMRMLColorLegendDisplayableManager",
)  # fmt: skip
_THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager", "vtkMRMLViewDisplayableManager", "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D", "vtkMRMLMarkupsDisplayableManager",
)  # fmt: skip
_BUTTONS = {1: "Left", 2: "Right", 4: "Middle"}
#: Orientation and colour by name of the view.
SLICE_VIEWS = {
    "Red": ("Axial", (0.95, 0.29, 0.20)), "Green": ("Coronal", (0.43, 0.69, 0.29)),
    "Yellow": ("Sagittal", (0.93, 0.84, 0.30)),
}  # fmt: skip


class _View(qt.QWidget):  # type: ignore[misc]
    """An off-screen window of VTK painted as an image, with the mouse handed on to VTK."""

    def __init__(self) -> None:
        qt.QWidget.__init__(self)
        self.setMinimumSize(80, 80)
        self._window: Any = None
        self._group: Any = None
        self._scheduled = False
        self._observers = Observers()

    # What modules see

    def renderWindow(self) -> Any:  # noqa: N802
        """Give the window."""
        self._ensure_window()
        return self._window

    def interactor(self) -> Any:
        """Give the window's interactor."""
        self._ensure_window()
        return self._interactor

    def scheduleRender(self) -> None:  # noqa: N802
        """Draw again soon."""
        if not self._scheduled:
            self._scheduled = True
            self.update()

    def forceRender(self) -> None:  # noqa: N802
        """Draw again now."""
        self._ensure_window()
        self._draw()

    # Window

    def _ensure_window(self) -> None:
        if self._window is not None:
            return
        from ChiSepPreprocessLib.scene.renderer import offscreen_window

        self._window = offscreen_window((max(self.width, 80), max(self.height, 80)))
        self._renderer = vtk.vtkRenderer()
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkGenericRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._interactor.Initialize()
        self._fill()

    def _fill(self) -> None:
        raise NotImplementedError

    def _resized(self) -> None:
        """Follow the window's size."""

    def _add_managers(self, factory_class: Any, names: tuple[str, ...], node: Any) -> None:
        factory = factory_class.GetInstance()
        factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        for name in names:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self._group = slicer.vtkMRMLDisplayableManagerGroup()
        self._group.Initialize(factory, self._renderer)
        self._group.SetMRMLDisplayableNode(node)
        self._observers.add(self._group, "UpdateEvent", lambda caller, event: self.scheduleRender())

    def _draw(self) -> None:
        self._scheduled = False
        self._window.SetSize(self.width, self.height)
        self._interactor.SetSize(self.width, self.height)
        self._resized()
        self._window.Render()
        pixels = vtk.vtkUnsignedCharArray()
        self._window.GetPixelData(0, 0, self.width - 1, self.height - 1, 0, pixels, 0)
        row = 3 * self.width
        image = qt.QImage(bytes(memoryview(pixels)), self.width, self.height, row, qt.QImage.Format_RGB888)
        self._image = image.transformed(QtGui.QTransform.fromScale(1.0, -1.0))

    def close_view(self) -> None:
        """Let go of the scene and the window."""
        self._observers.remove_all()
        if self._window is not None:
            self._group.SetMRMLDisplayableNode(None)
            self._window.Finalize()
            self._window = None

    # Qt

    def paintEvent(self, event: Any) -> None:  # noqa: N802
        """Draw with VTK, and paint that."""
        guarded("painting a view", self._paint)()

    def _paint(self) -> None:
        self.forceRender()
        painter = qt.QPainter(self)
        painter.drawImage(0, 0, self._image)
        painter.end()

    def _pass_on(self, event: Any, name: str) -> None:
        keys, at = event.modifiers(), event.position()
        control, shift = bool(keys & qt.Qt.ControlModifier), bool(keys & qt.Qt.ShiftModifier)
        self.interactor().SetEventInformationFlipY(int(at.x()), int(at.y()), control, shift, chr(0), 0, None)
        self.interactor().InvokeEvent(name)
        self.scheduleRender()

    def mousePressEvent(self, event: Any) -> None:  # noqa: N802
        """Hand on."""
        self._pass_on(event, f"{_BUTTONS.get(int(event.button()), 'Left')}ButtonPressEvent")

    def mouseReleaseEvent(self, event: Any) -> None:  # noqa: N802
        """Hand on."""
        self._pass_on(event, f"{_BUTTONS.get(int(event.button()), 'Left')}ButtonReleaseEvent")

    def mouseMoveEvent(self, event: Any) -> None:  # noqa: N802
        """Hand on."""
        self._pass_on(event, "MouseMoveEvent")

    def wheelEvent(self, event: Any) -> None:  # noqa: N802
        """Hand on."""
        direction = "Forward" if event.angleDelta().y() > 0 else "Backward"
        self._pass_on(event, f"MouseWheel{direction}Event")


@emulated
class qMRMLSliceView(_View):  # noqa: N801
    """The picture of a slice."""

    def __init__(self, logic: Any) -> None:
        _View.__init__(self)
        self._logic = logic
        for watched in (logic, logic.GetSliceNode(), logic.GetSliceCompositeNode()):
            self._observers.add(watched, "ModifiedEvent", lambda caller, event: self.scheduleRender())

    def _fill(self) -> None:
        # The image must be in the renderer before the managers, or segments blend with black instead of with it.
        self._renderer.GetActiveCamera().ParallelProjectionOn()
        self._actor, mapper = vtk.vtkActor2D(), vtk.vtkImageMapper()
        mapper.SetColorWindow(255.0)
        mapper.SetColorLevel(127.5)
        self._actor.SetMapper(mapper)
        self._actor.GetProperty().SetDisplayLocationToBackground()
        self._renderer.AddViewProp(self._actor)
        self._add_managers(slicer.vtkMRMLSliceViewDisplayableManagerFactory, _SLICE_MANAGERS, self.mrmlSliceNode())
        self._style = slicer.vtkMRMLSliceViewInteractorStyle()
        self._style.SetSliceLogic(self._logic)
        self._style.SetDisplayableManagers(self._group)
        self._interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self._style.SetInteractor(self._interactor)

    def _resized(self) -> None:
        self._logic.ResizeSliceNode(self.width, self.height)
        connection = self._logic.GetImageDataConnection()
        self._actor.GetMapper().SetInputConnection(connection)
        self._actor.SetVisibility(connection is not None)

    def mrmlSliceNode(self) -> Any:  # noqa: N802
        """Give the node."""
        return self._logic.GetSliceNode()


@emulated
class qMRMLSliceWidget(qt.QWidget):  # type: ignore[misc]  # noqa: N801
    """A slice view under its bar."""

    def __init__(self, name: str) -> None:
        qt.QWidget.__init__(self)
        self.objectName = f"qMRMLSliceWidget{name}"
        application = slicer.app.applicationLogic()
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(application)
        application.GetSliceLogics().AddItem(self._logic)
        self._logic.SetMRMLScene(slicer.mrmlScene)
        node = self._logic.AddSliceNode(name)
        orientation, color = SLICE_VIEWS.get(name, ("Axial", (0.5, 0.5, 0.5)))
        node.SetOrientation(orientation)
        node.SetMappedInLayout(1)
        node.SetLayoutLabel(name[0])
        node.SetLayoutColor(*color)
        self._view = qMRMLSliceView(self._logic)
        self._arrange(name, color)

    def _arrange(self, name: str, color: tuple[float, float, float]) -> None:
        bar = qt.QLabel(f" {name[0]}")
        bar.styleSheet = f"background: {qt.QColor.fromRgbF(*color).name()}"
        layout = qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(bar)
        layout.addWidget(self._view, 1)

    def sliceLogic(self) -> Any:  # noqa: N802
        """Give the logic."""
        return self._logic

    def sliceView(self) -> Any:  # noqa: N802
        """Give the picture."""
        return self._view

    def mrmlSliceNode(self) -> Any:  # noqa: N802
        """Give the slice node."""
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:  # noqa: N802
        """Give the node that names the layers."""
        return self._logic.GetSliceCompositeNode()

    def fitSliceToBackground(self) -> None:  # noqa: N802
        """Show all of the volume."""
        self._logic.FitSliceToBackground()


@emulated
class qMRMLThreeDView(_View):  # noqa: N801
    """The picture of the 3D view."""

    def __init__(self, node: Any) -> None:
        _View.__init__(self)
        self._node = node

    def _fill(self) -> None:
        self._renderer.SetBackground(0.757, 0.765, 0.91)
        self._renderer.SetBackground2(0.455, 0.47, 0.745)
        self._renderer.GradientBackgroundOn()
        self._add_managers(slicer.vtkMRMLThreeDViewDisplayableManagerFactory, _THREE_D_MANAGERS, self._node)
        self._style = slicer.vtkMRMLThreeDViewInteractorStyle()
        self._style.SetDisplayableManagers(self._group)
        self._interactor.SetInteractorStyle(vtk.vtkInteractorStyle3D())
        self._style.SetInteractor(self._interactor)

    def mrmlViewNode(self) -> Any:  # noqa: N802
        """Give the node."""
        return self._node

    def resetFocalPoint(self) -> None:  # noqa: N802
        """Look at the middle of everything."""
        self._ensure_window()
        self._renderer.ResetCamera()
        self.scheduleRender()


@emulated
class qMRMLThreeDWidget(qt.QWidget):  # type: ignore[misc]  # noqa: N801
    """The 3D view."""

    def __init__(self) -> None:
        qt.QWidget.__init__(self)
        self._logic = slicer.vtkMRMLViewLogic()
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        slicer.app.applicationLogic().GetViewLogics().AddItem(self._logic)
        self._logic.SetMRMLScene(slicer.mrmlScene)
        node = self._logic.AddViewNode("1")
        node.SetMappedInLayout(1)
        self._view = qMRMLThreeDView(node)
        layout = qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._view)

    def threeDView(self) -> Any:  # noqa: N802
        """Give the picture."""
        return self._view

    def mrmlViewNode(self) -> Any:  # noqa: N802
        """Give the node."""
        return self._logic.GetViewNode()

    def viewLogic(self) -> Any:  # noqa: N802
        """Give the logic."""
        return self._logic


__all__ = ["SLICE_VIEWS", "qMRMLSliceView", "qMRMLSliceWidget", "qMRMLThreeDView", "qMRMLThreeDWidget"]
