"""The emulated ctk and qMRML widgets offer only what the real ones do, and behave so."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from host.running import Host

#: Handlers that Qt calls; C++ classes have them too.
HANDLERS = {"childEvent", "event", "sizeHint", "minimumSizeHint", "hitButton", "paintEvent"}


def test_emulated_widgets_offer_only_real_names(host: Host) -> None:
    from host.pythonqt_names import names_of
    from host.ui_files import EMULATED

    assert len(EMULATED) >= 10
    for name, cls in EMULATED.items():
        offered = {
            one for base in cls.__mro__ if base.__module__.startswith("host.") for one in vars(base)
        }  # fmt: skip
        public = {one for one in offered if not one.startswith("_")} - HANDLERS - {"staticMetaObject"}
        assert public <= names_of(name).attributes, (name, public - names_of(name).attributes)


def test_views_offer_only_real_names(host: Host) -> None:
    from host import layout, views
    from host.pythonqt_names import names_of

    kinds = [views.qMRMLSliceWidget, views.qMRMLThreeDWidget, layout.qSlicerLayoutManager]
    for cls in kinds:
        public = {one for one in vars(cls) if not one.startswith("_")} - {"staticMetaObject"}
        assert public <= names_of(cls.__name__).attributes, (cls, public - names_of(cls.__name__).attributes)


def test_path_edit_tells_its_path(host: Host, tmp_path: Path) -> None:
    import ctk

    edit = ctk.ctkPathLineEdit()
    seen: list[Any] = []
    edit.connect("currentPathChanged(QString)", seen.append)
    edit.connect("validInputChanged(bool)", seen.append)
    edit.currentPath = str(tmp_path)
    assert seen == [str(tmp_path), True]
    host.answers.append("/chosen")
    edit.filters = ctk.ctkPathLineEdit.Dirs
    edit.browse()
    assert edit.currentPath == "/chosen"
    with pytest.raises(AttributeError):
        edit.setFilters(1)
    with pytest.raises(NotImplementedError):
        edit.retrieveHistory()


def test_collapsed_button_hides_its_contents(host: Host) -> None:
    import ctk
    import qt

    button = ctk.ctkCollapsibleButton("Title")
    label = qt.QLabel("inside")
    qt.QVBoxLayout(button).addWidget(label)
    button.show()
    host.process_events()
    assert (label.visible, button.collapsed) == (True, False)
    button.collapsed = True
    assert (label.visible, button.checked) == (False, False)
    button.collapsed = False
    assert label.visible


def test_slider_keeps_its_range(host: Host) -> None:
    import ctk

    slider = ctk.ctkSliderWidget()
    seen: list[Any] = []
    slider.maximum = 2.0
    slider.connect("valueChanged(double)", seen.append)
    slider.value = 1.5
    slider.value = 5.0
    assert seen == [1.5, 2.0]


def test_node_selector_follows_the_scene(host: Host) -> None:
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    seen: list[Any] = []
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.noneEnabled = True
    selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    assert not selector.enabled
    selector.setMRMLScene(host.scene)
    assert selector.enabled
    node = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "one")
    host.scene.AddNewNodeByClass("vtkMRMLTextNode")
    assert (selector.nodeCount(), selector.currentNode()) == (1, None)
    selector.setCurrentNode(node)
    assert selector.currentNodeID == node.GetID()
    host.scene.RemoveNode(node)
    assert selector.currentNode() is None
    assert seen == [node, None]


def test_node_selector_without_none_takes_the_first(host: Host) -> None:
    import slicer

    node = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "one")
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.setMRMLScene(host.scene)
    assert selector.currentNode() is node
    assert selector.addNode() is selector.currentNode()


def test_segments_table_shows_the_segments(host: Host) -> None:
    import slicer

    node = host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    table = slicer.qMRMLSegmentsTableView()
    table.setMRMLScene(host.scene)
    table.setSegmentationNode(node)
    first, second = (node.GetSegmentation().AddEmptySegment("", name) for name in ("first", "second"))
    assert table.displayedSegmentIDs() == (first, second)
    table.setSelectedSegmentIDs([second])
    node.GetSegmentation().RemoveSegment(first)
    assert table.selectedSegmentIDs() == (second,)
    assert table.segmentCount == 1


def test_segment_editor_wants_its_nodes_in_order(host: Host) -> None:
    import slicer

    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(host.scene)
    volume = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    segmentation = host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    with pytest.raises(RuntimeError):
        editor.setSegmentationNode(segmentation)
    editor.setMRMLSegmentEditorNode(host.scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    with pytest.raises(RuntimeError):
        editor.setSourceVolumeNode(volume)
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    assert (editor.segmentationNode(), editor.sourceVolumeNode()) == (segmentation, volume)
    editor.setActiveEffectByName("Threshold")
    editor.activeEffect().setParameter("MinimumThreshold", 3)
    assert editor.mrmlSegmentEditorNode().GetAttribute("Threshold.MinimumThreshold") == "3"


def test_parameter_node_keeps_each_type(host: Host) -> None:
    import ctk
    import qt
    import slicer
    from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

    described = type("Described", (), {"__annotations__": {
        "text": str, "count": Annotated[int, WithinRange(0, 5)], "part": float, "folder": Path,
        "volume": slicer.vtkMRMLScalarVolumeNode, "kind": Annotated[str, Choice(["a", "b"])], "on": bool,
    }})  # fmt: skip
    node = host.scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    parameters = parameterNodeWrapper(described)(node)
    widgets = {
        "text": qt.QLineEdit(), "count": qt.QSpinBox(), "part": ctk.ctkSliderWidget(),
        "folder": ctk.ctkPathLineEdit(), "volume": slicer.qMRMLNodeComboBox(), "kind": qt.QComboBox(),
        "on": qt.QCheckBox(),
    }  # fmt: skip
    widgets["volume"].noneEnabled = True
    tag = parameters.connectParametersToGui(widgets)
    assert (parameters.kind, parameters.folder, parameters.volume) == ("a", Path(), None)
    volume = slicer.util.addVolumeFromArray(np.zeros((2, 2, 2)))
    widgets["text"].text = "t"
    widgets["kind"].currentIndex = 1
    widgets["volume"].setCurrentNode(volume)
    parameters.folder, parameters.part, parameters.on = Path("/data"), 1.5, True
    assert (parameters.text, parameters.kind, parameters.volume) == ("t", "b", volume)
    assert (widgets["folder"].currentPath, widgets["part"].value, widgets["on"].checked) == ("/data", 1.5, True)
    assert widgets["count"].maximum == 5
    parameters.disconnectGui(tag)
    widgets["text"].text = "later"
    assert parameters.text == "t"
    assert not node.HasObserver("ModifiedEvent")
    for name, value, error in (("count", 9, ValueError), ("kind", "c", ValueError), ("on", "yes", TypeError)):
        with pytest.raises(error):
            setattr(parameters, name, value)
    assert parameterNodeWrapper(described)(node).part == 1.5


def test_views_show_a_volume(host: Host, tmp_path: Path) -> None:
    import slicer

    block = np.zeros((20, 30, 40), np.float32)
    block[:, :15] = 100.0
    volume = slicer.util.addVolumeFromArray(block)
    volume.CreateDefaultDisplayNodes()
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    host.grab(tmp_path / "window.png")
    manager = slicer.app.layoutManager()
    picture = manager.sliceWidget("Red").sliceView().grab().toImage()
    grey = [picture.pixelColor(picture.width() // 2, row * picture.height() // 8).red() for row in (3, 5)]
    assert max(grey) > 200
    assert min(grey) < 50
    assert (tmp_path / "window.png").stat().st_size > 5000


def test_layouts_of_a_module_bring_their_views(host: Host) -> None:
    import slicer

    manager = slicer.app.layoutManager()
    seen: list[Any] = []
    manager.connect("layoutChanged(int)", seen.append)
    view = '<view class="vtkMRMLSliceNode" singletontag="{name}"/>'
    items = "".join(f"<item>{view.format(name=name)}</item>" for name in ("Mine1", "Mine2"))
    text = f'<layout type="horizontal">{items}</layout>'
    manager.layoutLogic().GetLayoutNode().AddLayoutDescription(600, text)
    manager.setLayout(600)
    assert (manager.layout, seen) == (600, [600])
    assert {"Red", "Mine1", "Mine2"} <= set(manager.sliceViewNames())
    assert inspect.ismethod(manager.sliceWidget("Mine1").mrmlSliceNode) or manager.sliceWidget("Mine1")
