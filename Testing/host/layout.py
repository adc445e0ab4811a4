"""``slicer.app.layoutManager()``: four views, or a row of slice views for every other layout."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import slicer

from .problems import guarded
from .pythonqt import emulated, qt
from .raw_qt import QtCore
from .views import SLICE_VIEWS, qMRMLSliceWidget, qMRMLThreeDWidget
from .widget_parts import Observers

_FOUR_UP = 3  # vtkMRMLLayoutNode::SlicerLayoutFourUpView


@emulated
class qSlicerLayoutManager(qt.QObject):  # type: ignore[misc]  # noqa: N801
    """Arranges the views."""

    layoutChanged = QtCore.Signal(int)  # noqa: N815

    def __init__(self, viewport: Any) -> None:
        qt.QObject.__init__(self, viewport)
        self._viewport, self._layout = viewport, _FOUR_UP
        self._grid = qt.QGridLayout(viewport)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._slices = {name: qMRMLSliceWidget(name) for name in SLICE_VIEWS}
        self._three_d = qMRMLThreeDWidget()
        self._node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLayoutNode")
        self._observers = Observers()
        self._arrange(["Red", "", "Green", "Yellow"], columns=2)

    def _arrange(self, names: list[str], columns: int) -> None:
        every: list[Any] = [*self._slices.values(), self._three_d]
        for one in every:
            self._grid.removeWidget(one)
            one.hide()
        for index, name in enumerate(names):
            widget = self._slices[name] if name else self._three_d
            self._grid.addWidget(widget, index // columns, index % columns)
            widget.show()

    def _get_layout(self) -> int:
        return int(self._layout)

    def setLayout(self, layout: int) -> None:  # noqa: N802
        """Choose a layout by its number; one that a module added brings its own slice views."""
        names = _slice_views(self._node.GetLayoutDescription(layout) if layout != _FOUR_UP else "")
        for name in names:
            if name not in self._slices:
                self._slices[name] = qMRMLSliceWidget(name)
        if layout == _FOUR_UP:
            self._arrange(["Red", "", "Green", "Yellow"], columns=2)
        else:
            self._arrange(names or list(SLICE_VIEWS), columns=max(len(names), 1))
        self._layout = layout
        self._node.SetViewArrangement(layout)
        self.layoutChanged.emit(layout)

    layout = QtCore.Property(int, _get_layout, setLayout)
    threeDViewCount = QtCore.Property(int, lambda self: 1)  # noqa: N815

    def layoutLogic(self) -> Any:  # noqa: N802
        """Give the logic that holds the layout node."""
        return _LayoutLogic(self._node)

    def sliceViewNames(self) -> tuple[str, ...]:  # noqa: N802
        """Give the names of the slice views."""
        return tuple(self._slices)

    def sliceWidget(self, name: str) -> Any:  # noqa: N802
        """Give a slice view, ``None`` if there is none of that name."""
        return self._slices.get(name)

    def threeDWidget(self, index: int) -> Any:  # noqa: N802
        """Give the 3D view."""
        return self._three_d if index == 0 else None

    def mrmlSliceLogics(self) -> Any:  # noqa: N802
        """Give the logics of the slice views."""
        return slicer.app.applicationLogic().GetSliceLogics()

    def resetSliceViews(self) -> None:  # noqa: N802
        """Show all of the volumes."""
        for one in self._slices.values():
            one.fitSliceToBackground()

    def resetThreeDViews(self) -> None:  # noqa: N802
        """Look at the middle of everything."""
        self._three_d.threeDView().resetFocalPoint()

    def _follow_node(self) -> None:
        """Show the layout that modules chose in the layout node, from now on; the views are drawn from here on."""
        if not self._observers:
            self._observers.add(self._node, "ModifiedEvent", guarded("the layout", self._take_arrangement))
        self._take_arrangement()

    def _take_arrangement(self, *_: Any) -> None:
        chosen = self._node.GetViewArrangement()
        if chosen != self._layout and self._node.IsLayoutDescription(chosen):
            self.setLayout(chosen)

    def _close(self) -> None:
        """Let go of the scene."""
        self._observers.remove_all()
        for one in self._slices.values():
            one.sliceView().close_view()
            one.sliceLogic().SetMRMLScene(None)
        self._three_d.threeDView().close_view()
        self._three_d.viewLogic().SetMRMLScene(None)


class _LayoutLogic:
    """The one method of ``vtkMRMLLayoutLogic`` that modules use."""

    def __init__(self, node: Any) -> None:
        self._node = node

    def GetLayoutNode(self) -> Any:  # noqa: N802
        return self._node


def _slice_views(description: str | None) -> list[str]:
    """Names of the slice views in a layout's description."""
    if not description:
        return []
    root = ElementTree.fromstring(description)
    return [str(one.get("singletontag")) for one in root.iter("view") if one.get("class") == "vtkMRMLSliceNode"]
