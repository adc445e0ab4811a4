"""Emulated ``qMRML`` widgets that every module may use: the root of a panel and the choice of a node."""

from __future__ import annotations

from typing import Any

from .problems import guarded
from .pythonqt import emulated, qt
from .raw_qt import QtCore
from .widget_parts import Observers, stored

_NODE = "(vtkMRMLNode*)"


@emulated
class qSlicerWidget(qt.QWidget):  # type: ignore[misc]  # noqa: N801
    """Widget that knows the scene."""

    mrmlSceneChanged = QtCore.Signal(object)  # noqa: N815
    _signal_aliases = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged(PyObject)"}  # noqa: RUF012
    _scene: Any = None

    def setMRMLScene(self, scene: Any) -> None:  # noqa: N802
        """Hand the scene over, also to what is connected."""
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


@emulated
class qMRMLWidget(qSlicerWidget):  # noqa: N801
    """The same, and it gives the scene, too."""

    def mrmlScene(self) -> Any:  # noqa: N802
        """Give the scene."""
        return self._scene


@emulated
class qMRMLNodeComboBox(qt.QWidget):  # type: ignore[misc]  # noqa: N801
    """Choice among the scene's nodes of some classes; disabled until it has a scene."""

    currentNodeChanged = QtCore.Signal(object)  # noqa: N815
    _currentNodeIsThere = QtCore.Signal(bool)  # noqa: N815
    currentNodeIDChanged = QtCore.Signal(str)  # noqa: N815
    nodeAdded = QtCore.Signal(object)  # noqa: N815
    nodeAddedByUser = QtCore.Signal(object)  # noqa: N815
    nodeActivated = QtCore.Signal(object)  # noqa: N815
    nodeAboutToBeRemoved = QtCore.Signal(object)  # noqa: N815
    nodeAboutToBeEdited = QtCore.Signal(object)  # noqa: N815
    _signal_aliases = {  # noqa: RUF012
        f"currentNodeChanged{_NODE}": "currentNodeChanged(PyObject)",
        "currentNodeChanged(bool)": "_currentNodeIsThere(bool)",
        **{
            f"{name}{_NODE}": f"{name}(PyObject)"
            for name in ("nodeAdded", "nodeAddedByUser", "nodeActivated", "nodeAboutToBeRemoved", "nodeAboutToBeEdited")
        },
    }

    def __init__(self, parent: Any = None) -> None:
        qt.QWidget.__init__(self, parent)
        self._scene: Any = None
        self._node: Any = None
        self._attributes: dict[tuple[str, str], Any] = {}
        self._scene_observers, self._node_observers = Observers(), Observers()
        self._box = qt.QComboBox()
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self.setFocusProxy(self._box)
        self._box.connect("activated(int)", self._activated)
        self.connect("destroyed()", self._let_go)
        self.enabled = False

    nodeTypes = stored("QStringList", [], "_refresh")  # noqa: N815
    hideChildNodeTypes = stored("QStringList", [], "_refresh")  # noqa: N815
    showHidden = stored(bool, False, "_refresh")  # noqa: N815
    showChildNodeTypes = stored(bool, True, "_refresh")  # noqa: N815
    noneEnabled = stored(bool, False, "_refresh")  # noqa: N815
    noneDisplay = stored(str, "None", "_refresh")  # noqa: N815
    addEnabled = stored(bool, True, "_refresh")  # noqa: N815
    removeEnabled = stored(bool, True, "_refresh")  # noqa: N815
    renameEnabled = stored(bool, False, "_refresh")  # noqa: N815
    editEnabled = stored(bool, False, "_refresh")  # noqa: N815
    selectNodeUponCreation = stored(bool, True)  # noqa: N815
    baseName = stored(str, "")  # noqa: N815

    # Scene

    def mrmlScene(self) -> Any:  # noqa: N802
        """Give the scene."""
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:  # noqa: N802
        """Show the nodes of a scene; without "none", the first node is chosen."""
        if scene is self._scene:
            return
        self._let_go()
        self._scene, self.enabled = scene, scene is not None
        if scene is not None:
            for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndBatchProcessEvent):
                self._scene_observers.add(scene, event, guarded("a node selector", self._scene_changed))
        self._choose(self._default())

    def _let_go(self) -> None:
        self._scene_observers.remove_all()
        self._node_observers.remove_all()

    def _scene_changed(self, caller: Any, event: str) -> None:
        if not self._scene.IsBatchProcessing():
            self._choose(self._node if self._node in self._nodes() else self._default())

    def _default(self) -> Any:
        nodes = self._nodes()
        return nodes[0] if nodes and not self.noneEnabled else None

    def addAttribute(self, node_type: str, name: str, value: Any = None) -> None:  # noqa: N802
        """Show only nodes of the class that have an attribute, with this value if one is given."""
        self._attributes[node_type, name] = value
        self._refresh()

    def _nodes(self) -> list[Any]:
        if self._scene is None:
            return []
        every = [self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes())]
        return [one for one in every if self._fits(one)]

    def _fits(self, node: Any) -> bool:
        if node.GetClassName() in self.hideChildNodeTypes or (node.GetHideFromEditors() and not self.showHidden):
            return False
        matching = [one for one in self.nodeTypes if node.IsA(one)]
        if not self.showChildNodeTypes:
            matching = [one for one in matching if node.GetClassName() == one]
        return any(self._has_attributes(node, one) for one in matching)

    def _has_attributes(self, node: Any, node_type: str) -> bool:
        wanted = {name: value for (kind, name), value in self._attributes.items() if kind == node_type}
        return all(
            node.GetAttribute(name) is not None and value in (None, node.GetAttribute(name))
            for name, value in wanted.items()
        )

    # Choice

    def _refresh(self, *_: Any) -> None:
        self._box.clear()
        if self.noneEnabled:
            self._box.addItem(self.noneDisplay, "")
        for node in self._nodes():
            self._box.addItem(node.GetName(), node.GetID())
        self._box.currentIndex = self._box.findData(self._node.GetID() if self._node is not None else "")

    def _choose(self, node: Any) -> None:
        changed, self._node = node is not self._node, node
        if changed:
            self._node_observers.remove_all()
            if node is not None:
                self._node_observers.add(node, "ModifiedEvent", guarded("a node selector", self._refresh))
        self._refresh()
        if changed:
            self.currentNodeChanged.emit(node)
            self._currentNodeIsThere.emit(node is not None)
            self.currentNodeIDChanged.emit(self._id())

    def _activated(self, index: int) -> None:
        identifier = self._box.itemData(index)
        self._choose(self._scene.GetNodeByID(identifier) if identifier else None)
        self.nodeActivated.emit(self._node)

    def currentNode(self) -> Any:  # noqa: N802
        """Give the chosen node."""
        return self._node

    def setCurrentNode(self, node: Any) -> None:  # noqa: N802
        """Choose a node; one that is not offered chooses none."""
        self._choose(node if node in self._nodes() else None)

    def _id(self) -> str:
        return str(self._node.GetID()) if self._node is not None else ""

    def setCurrentNodeID(self, identifier: str) -> None:  # noqa: N802
        """Choose a node by its ID."""
        self.setCurrentNode(self._scene.GetNodeByID(identifier) if identifier and self._scene else None)

    currentNodeID = QtCore.Property(str, _id, setCurrentNodeID)  # noqa: N815

    def setCurrentNodeIndex(self, index: int) -> None:  # noqa: N802
        """Choose a node by its place."""
        self._choose(self._nodes()[index])

    def nodeCount(self) -> int:  # noqa: N802
        """Count the nodes that are offered."""
        return len(self._nodes())

    def nodeFromIndex(self, index: int) -> Any:  # noqa: N802
        """Give a node by its place."""
        nodes = self._nodes()
        return nodes[index] if 0 <= index < len(nodes) else None

    def addNode(self, node_type: str = "") -> Any:  # noqa: N802
        """Add a node, as "Create new …" does."""
        node = self._scene.CreateNodeByClass(node_type or self.nodeTypes[0])
        node.UnRegister(None)  # the scene holds the only reference
        node.SetName(self._scene.GenerateUniqueName(self.baseName or node.GetNodeTagName()))
        for (kind, name), value in self._attributes.items():
            if kind == node.GetClassName() and value is not None:
                node.SetAttribute(name, str(value))
        self._scene.AddNode(node)
        if self.selectNodeUponCreation:
            self._choose(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:  # noqa: N802
        """Remove the chosen node from the scene."""
        if self._node is not None:
            self.nodeAboutToBeRemoved.emit(self._node)
            self._scene.RemoveNode(self._node)


WIDGETS: dict[str, Any] = {one.__name__: one for one in (qMRMLWidget, qSlicerWidget, qMRMLNodeComboBox)}
