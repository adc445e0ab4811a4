"""Emulated widgets for segments: the table, and the Segment Editor without its effects."""

from __future__ import annotations

from functools import partial
from typing import Any

from .mrml_widgets import qMRMLNodeComboBox, qMRMLWidget
from .problems import guarded
from .pythonqt import emulated, qt
from .raw_qt import QtCore
from .widget_parts import Observers, stored

_EFFECTS = ("Threshold", "Paint", "Draw", "Erase", "Islands", "Margin", "Smoothing", "Scissors", "Logical operators")


def segment_ids(node: Any) -> list[str]:
    """IDs of a segmentation node's segments, in order."""
    segmentation = node.GetSegmentation() if node is not None else None
    count = segmentation.GetNumberOfSegments() if segmentation is not None else 0
    return [segmentation.GetNthSegmentID(index) for index in range(count)] if segmentation is not None else []


@emulated
class qMRMLSegmentsTableView(qMRMLWidget):  # noqa: N801
    """Table of a segmentation's segments."""

    selectionChanged = QtCore.Signal(object, object)  # noqa: N815
    _signal_aliases = {  # noqa: RUF012
        **qMRMLWidget._signal_aliases,
        "selectionChanged(QItemSelection,QItemSelection)": "selectionChanged(PyObject,PyObject)",
    }

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._observers = Observers()
        self._table = qt.QTableWidget(0, 2)
        self._table.selectionBehavior = qt.QAbstractItemView.SelectRows
        layout = qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)
        self._table.connect("itemSelectionChanged()", lambda: self.selectionChanged.emit(None, None))
        self.connect("destroyed()", self._observers.remove_all)

    readOnly = stored(bool, False)  # noqa: N815
    headerVisible = stored(bool, True)  # noqa: N815
    visibilityColumnVisible = stored(bool, True)  # noqa: N815
    colorColumnVisible = stored(bool, True)  # noqa: N815
    opacityColumnVisible = stored(bool, True)  # noqa: N815
    statusColumnVisible = stored(bool, False)  # noqa: N815
    layerColumnVisible = stored(bool, False)  # noqa: N815
    filterBarVisible = stored(bool, False)  # noqa: N815
    jumpToSelectedSegmentEnabled = stored(bool, False)  # noqa: N815
    selectionMode = stored(int, 3)  # noqa: N815
    textFilter = stored(str, "", "_refresh")  # noqa: N815
    segmentCount = QtCore.Property(int, lambda self: len(segment_ids(self._node)))  # noqa: N815

    def segmentationNode(self) -> Any:  # noqa: N802
        """Give the node."""
        return self._node

    def setSegmentationNode(self, node: Any) -> None:  # noqa: N802
        """Show a node's segments."""
        self._observers.remove_all()
        self._node = node
        if node is not None:
            refresh = guarded("a segment table", self._refresh)
            self._observers.add(node, "ModifiedEvent", refresh)
            segmentation = node.GetSegmentation()
            for event in (segmentation.SegmentAdded, segmentation.SegmentRemoved, segmentation.SegmentModified):
                self._observers.add(segmentation, event, refresh)
        self._refresh()

    def _shown(self) -> list[str]:
        name = {one: self._node.GetSegmentation().GetSegment(one).GetName() for one in segment_ids(self._node)}
        return [one for one in name if self.textFilter.lower() in name[one].lower()]

    def _refresh(self, *_: Any) -> None:
        chosen, shown = self.selectedSegmentIDs(), self._shown()
        self._table.blockSignals(True)
        self._table.setRowCount(len(shown))
        for row, identifier in enumerate(shown):
            segment = self._node.GetSegmentation().GetSegment(identifier)
            color, name = qt.QTableWidgetItem(), qt.QTableWidgetItem(segment.GetName())
            color.setBackground(qt.QColor.fromRgbF(*segment.GetColor()))
            name.setData(qt.Qt.UserRole, identifier)
            self._table.setItem(row, 0, color)
            self._table.setItem(row, 1, name)
        self._table.blockSignals(False)
        self.setSelectedSegmentIDs(chosen)

    def displayedSegmentIDs(self) -> tuple[str, ...]:  # noqa: N802
        """Give the IDs in the order of the rows."""
        return tuple(self.segmentIDForRow(row) for row in range(self._table.rowCount))

    def segmentIDForRow(self, row: int) -> str:  # noqa: N802
        """Give the ID in a row."""
        return str(self._table.item(row, 1).data(qt.Qt.UserRole))

    def rowForSegmentID(self, identifier: str) -> int:  # noqa: N802
        """Give the row of an ID, -1 if it is not shown."""
        shown = self.displayedSegmentIDs()
        return shown.index(identifier) if identifier in shown else -1

    def selectedSegmentIDs(self) -> tuple[str, ...]:  # noqa: N802
        """Give the IDs of the chosen rows."""
        return tuple(self.segmentIDForRow(one) for one in sorted({one.row() for one in self._table.selectedIndexes()}))

    def setSelectedSegmentIDs(self, identifiers: Any) -> None:  # noqa: N802
        """Choose rows."""
        rows = [self.rowForSegmentID(one) for one in identifiers]
        if tuple(identifiers) != self.selectedSegmentIDs():
            self._table.clearSelection()
            for row in rows:
                self._table.selectRow(row)

    def clearSelection(self) -> None:  # noqa: N802
        """Choose nothing."""
        self._table.clearSelection()


class _Effect(qt.QObject):  # type: ignore[misc]
    """A Segment Editor effect that only keeps its parameters, in the editor's node as Slicer does."""

    def __init__(self, editor: Any, name: str) -> None:
        qt.QObject.__init__(self, editor)
        self._editor, self.title = editor, name
        self.objectName = name

    def parameter(self, name: str) -> str:
        return str(self._editor.mrmlSegmentEditorNode().GetAttribute(f"{self.title}.{name}") or "")

    def setParameter(self, name: str, value: Any) -> None:  # noqa: N802
        self._editor.mrmlSegmentEditorNode().SetAttribute(f"{self.title}.{name}", str(value))


@emulated
class qMRMLSegmentEditorWidget(qMRMLWidget):  # noqa: N801
    """The Segment Editor: nodes, segments and names of effects are real, the effects are not there."""

    segmentationNodeChanged = QtCore.Signal(object)  # noqa: N815
    sourceVolumeNodeChanged = QtCore.Signal(object)  # noqa: N815
    currentSegmentIDChanged = QtCore.Signal(str)  # noqa: N815
    _signal_aliases = {  # noqa: RUF012
        **qMRMLWidget._signal_aliases,
        "segmentationNodeChanged(vtkMRMLSegmentationNode*)": "segmentationNodeChanged(PyObject)",
        "sourceVolumeNodeChanged(vtkMRMLVolumeNode*)": "sourceVolumeNodeChanged(PyObject)",
    }

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._editor_node: Any = None
        self._effect: Any = None
        self._order: list[str] = []
        self._shortcuts: list[Any] = []
        self._segmentations, self._volumes = qMRMLNodeComboBox(), qMRMLNodeComboBox()
        self._segmentations.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._volumes.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        self._segments = qMRMLSegmentsTableView()
        layout = qt.QVBoxLayout(self)
        for part in (self._segmentations, self._volumes, self._segments):
            layout.addWidget(part)
        for part in (self._segmentations, self._volumes):
            part.noneEnabled = True
        self._segmentations.connect("currentNodeChanged(vtkMRMLNode*)", self.setSegmentationNode)
        self._volumes.connect("currentNodeChanged(vtkMRMLNode*)", self.setSourceVolumeNode)

    undoEnabled = stored(bool, True)  # noqa: N815
    readOnly = stored(bool, False)  # noqa: N815
    maximumNumberOfUndoStates = stored(int, 10)  # noqa: N815
    unorderedEffectsVisible = stored(bool, True)  # noqa: N815
    effectColumnCount = stored(int, 5)  # noqa: N815
    autoShowSourceVolumeNode = stored(bool, True)  # noqa: N815
    maskingSectionVisible = stored(bool, True)  # noqa: N815
    specifyGeometryButtonVisible = stored(bool, True)  # noqa: N815
    addRemoveSegmentButtonsVisible = stored(bool, True)  # noqa: N815
    switchToSegmentationsButtonVisible = stored(bool, True)  # noqa: N815
    show3DButtonVisible = stored(bool, True)  # noqa: N815
    segmentationNodeSelectorVisible = stored(bool, True, "_show_parts")  # noqa: N815
    sourceVolumeNodeSelectorVisible = stored(bool, True, "_show_parts")  # noqa: N815

    def _show_parts(self) -> None:
        self._segmentations.visible = self.segmentationNodeSelectorVisible
        self._volumes.visible = self.sourceVolumeNodeSelectorVisible

    def setMRMLScene(self, scene: Any) -> None:  # noqa: N802
        """Hand the scene over."""
        qMRMLWidget.setMRMLScene(self, scene)
        self._segmentations.setMRMLScene(scene)
        self._volumes.setMRMLScene(scene)

    def mrmlSegmentEditorNode(self) -> Any:  # noqa: N802
        """Give the node with the editor's state."""
        return self._editor_node

    def setMRMLSegmentEditorNode(self, node: Any) -> None:  # noqa: N802
        """Keep the editor's state in a node."""
        self._editor_node = node

    def _require_editor_node(self) -> Any:
        if self._editor_node is None:
            raise RuntimeError("the Segment Editor has no vtkMRMLSegmentEditorNode; Slicer would only log this")
        return self._editor_node

    def segmentationNode(self) -> Any:  # noqa: N802
        """Give the edited node."""
        return self._segments.segmentationNode()

    def setSegmentationNode(self, node: Any) -> None:  # noqa: N802
        """Edit a node."""
        if node is self.segmentationNode():
            return
        if node is not None or self._editor_node is not None:
            self._require_editor_node().SetAndObserveSegmentationNode(node)
        self._segments.setSegmentationNode(node)
        self._segmentations.setCurrentNode(node)
        self.segmentationNodeChanged.emit(node)

    def sourceVolumeNode(self) -> Any:  # noqa: N802
        """Give the volume that is segmented."""
        return self._editor_node.GetSourceVolumeNode() if self._editor_node is not None else None

    def setSourceVolumeNode(self, node: Any) -> None:  # noqa: N802
        """Segment a volume."""
        if node is self.sourceVolumeNode():
            return
        if node is not None and self.segmentationNode() is None:
            raise RuntimeError("set the segmentation node before the source volume node")
        self._require_editor_node().SetAndObserveSourceVolumeNode(node)
        self._volumes.setCurrentNode(node)
        self.sourceVolumeNodeChanged.emit(node)

    def currentSegmentID(self) -> str:  # noqa: N802
        """Give the chosen segment."""
        return str(self._editor_node.GetSelectedSegmentID() or "") if self._editor_node is not None else ""

    def setCurrentSegmentID(self, identifier: str) -> None:  # noqa: N802
        """Choose a segment."""
        if identifier != self.currentSegmentID():
            self._require_editor_node().SetSelectedSegmentID(identifier)
            self._segments.setSelectedSegmentIDs([identifier] if identifier else [])
            self.currentSegmentIDChanged.emit(identifier)

    def availableEffectNames(self) -> tuple[str, ...]:  # noqa: N802
        """Give the names of Slicer's effects."""
        return _EFFECTS

    def effectNameOrder(self) -> tuple[str, ...]:  # noqa: N802
        """Give the order of the effects."""
        return tuple(self._order)

    def setEffectNameOrder(self, names: Any) -> None:  # noqa: N802
        """Set the order of the effects."""
        self._order = list(names)

    def effectByName(self, name: str) -> Any:  # noqa: N802
        """Give an effect, ``None`` if there is none of that name."""
        return _Effect(self, name) if name in _EFFECTS else None

    def activeEffect(self) -> Any:  # noqa: N802
        """Give the active effect."""
        return self._effect

    def setActiveEffect(self, effect: Any) -> None:  # noqa: N802
        """Activate an effect, or none."""
        self._effect = effect
        if self._editor_node is not None:
            self._editor_node.SetActiveEffectName(effect.title if effect is not None else "")

    def setActiveEffectByName(self, name: str) -> None:  # noqa: N802
        """Activate an effect by its name."""
        self.setActiveEffect(self.effectByName(name))

    def installKeyboardShortcuts(self, parent: Any = None) -> None:  # noqa: N802
        """Take the effects' keys: a digit for each of the ordered ones, 0 for none."""
        self.uninstallKeyboardShortcuts()
        for number, name in enumerate(["", *self._order[:9]]):
            shortcut = qt.QShortcut(qt.QKeySequence(str(number)), parent or self.window())
            shortcut.connect("activated()", partial(self.setActiveEffectByName, name))
            self._shortcuts.append(shortcut)

    def uninstallKeyboardShortcuts(self) -> None:  # noqa: N802
        """Leave the effects' keys."""
        for shortcut in self._shortcuts:
            shortcut.delete()
        self._shortcuts.clear()

    def setupViewObservations(self) -> None:  # noqa: N802
        """Watch the views; they are not watched here."""

    def removeViewObservations(self) -> None:  # noqa: N802
        """Leave the views alone."""

    def updateWidgetFromMRML(self) -> None:  # noqa: N802
        """Show the editor node's state."""
        node = self._editor_node
        self._segments.setSegmentationNode(node.GetSegmentationNode() if node is not None else None)


WIDGETS: dict[str, Any] = {one.__name__: one for one in (qMRMLSegmentsTableView, qMRMLSegmentEditorWidget)}
