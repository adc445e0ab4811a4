"""Static checks of the panels: what a widget is asked for must exist, whether or not a test runs the line."""

from __future__ import annotations

import ast
import re
import struct
import xml.etree.ElementTree as ElementTree
from functools import cache
from pathlib import Path

import pytest

from architecture.list_scripts import MODULES, REPOSITORY
from host.pythonqt_names import CLASSES, names_of

#: Panels by the name of their file: those of the modules, and the tab that is loaded when it is first opened.
LESIONS = "ChiSeparationLesions"
PANELS = (*MODULES, LESIONS)
SHARED_WIDGET = REPOSITORY / "ChiSepPreprocess" / "ChiSepPreprocessLib" / "gui" / "computation_widget.py"


def module_of(panel: str) -> str:
    return "ChiSeparation" if panel == LESIONS else panel


def code_of(panel: str) -> Path:
    """Folder of a panel's code."""
    gui = REPOSITORY / module_of(panel) / f"{module_of(panel)}Lib" / "gui"
    return gui / "review" if panel == LESIONS else gui


@cache
def panel_of(panel: str) -> ElementTree.Element:
    return ElementTree.parse(REPOSITORY / module_of(panel) / "Resources" / "UI" / f"{panel}.ui").getroot()


def classes_of(panel: str) -> dict[str, str]:
    return {str(one.get("name")): str(one.get("class")) for one in panel_of(panel).iter("widget")}


def parameters_of(panel: str) -> dict[str, str]:
    """Widget class by parameter."""
    return {
        "".join(one.itertext()).strip(): str(widget.get("class"))
        for widget in panel_of(panel).iter("widget")
        for one in widget.findall("property")
        if one.get("name") == "SlicerParameterName"
    }


def fields_of(panel: str) -> dict[str, str]:
    """Annotation by field of the panel's parameter node."""
    tree = ast.parse((code_of(panel) / "parameters.py").read_text(encoding="utf-8"))
    (described,) = (one for one in tree.body if isinstance(one, ast.ClassDef))
    return {
        one.target.id: ast.unparse(one.annotation)
        for one in described.body
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
    }


def widget_files(panel: str) -> list[Path]:
    return sorted(code_of(panel).glob("*.py")) if panel == LESIONS else [SHARED_WIDGET, code_of(panel) / "widget.py"]


def uses_of_ui(path: Path) -> list[tuple[str, str, ast.Attribute]]:
    """Every ``self.ui.<widget>.<name>`` of a file."""
    return [
        (node.value.attr, node.attr, node)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and ast.unparse(node.value.value) == "self.ui"
    ]


@pytest.mark.parametrize("panel", PANELS)
def test_root_is_the_modules_mrml_widget(panel: str) -> None:
    root = panel_of(panel)
    assert root.findtext("class") == panel
    top = root.find("widget")
    assert top is not None
    assert (top.get("class"), top.get("name")) == ("qMRMLWidget", panel)


@pytest.mark.parametrize("panel", PANELS)
def test_every_class_is_known_and_every_name_unique(panel: str) -> None:
    widgets = [(one.get("name"), one.get("class")) for one in panel_of(panel).iter("widget")]
    assert {kind for _, kind in widgets} <= set(CLASSES)
    assert len({name for name, _ in widgets}) == len(widgets)


@pytest.mark.parametrize("panel", PANELS)
def test_custom_widgets_are_declared_with_their_header(panel: str) -> None:
    declared = {one.findtext("class"): one.findtext("header") for one in panel_of(panel).iter("customwidget")}
    used = {kind for kind in classes_of(panel).values() if not kind.startswith("Q")}
    assert declared == {kind: f"{kind}.h" for kind in used}


@pytest.mark.parametrize("panel", PANELS)
def test_every_property_exists(panel: str) -> None:
    unknown = [
        f"{widget.get('class')}.{one.get('name')}"
        for widget in panel_of(panel).iter("widget")
        for one in widget.findall("property")
        if one.get("stdset") != "0" and one.get("name") not in names_of(str(widget.get("class"))).properties
    ]
    assert unknown == []


@pytest.mark.parametrize("panel", PANELS)
def test_every_scene_widget_gets_the_scene(panel: str) -> None:
    connected = {
        one.findtext("receiver")
        for one in panel_of(panel).iter("connection")
        if (one.findtext("signal"), one.findtext("slot"))
        == ("mrmlSceneChanged(vtkMRMLScene*)", "setMRMLScene(vtkMRMLScene*)")
        and one.findtext("sender") == panel
    }
    needing = {name for name, kind in classes_of(panel).items() if kind.startswith("qMRML")} - {panel}
    assert connected == needing


#: Widgets that a parameter of a kind may be connected to.
FITTING = {
    r"str": {"ctkPathLineEdit", "QLineEdit"},
    r"bool": {"QCheckBox"},
    r"Annotated\[str, Choice\(.*": {"QComboBox"},
    r"Annotated\[int, WithinRange\(.*": {"QSpinBox"},
    r"Annotated\[float, WithinRange\(.*": {"QDoubleSpinBox", "ctkSliderWidget", "ctkDoubleSpinBox"},
    r"(slicer\.)?vtkMRML\w+Node": {"qMRMLNodeComboBox"},
}


@pytest.mark.parametrize("panel", PANELS)
def test_parameters_match_the_parameter_node(panel: str) -> None:
    """Each connected widget fits its parameter, and code takes care of the parameters that have no widget."""
    fields, connected = fields_of(panel), parameters_of(panel)
    for name, widget in connected.items():
        (fitting,) = [widgets for kind, widgets in FITTING.items() if re.fullmatch(kind, fields[name])]
        assert widget in fitting, f"{name}: {fields[name]} with a {widget}"
    code = "".join(path.read_text(encoding="utf-8") for path in code_of(panel).glob("*.py"))
    assert [
        name for name in fields if name not in connected and not re.search(rf"\.{name}\b|[\"']{name}[\"']", code)
    ] == []


@pytest.mark.parametrize("panel", PANELS)
def test_widget_code_uses_what_the_panel_has(panel: str) -> None:
    classes = classes_of(panel)
    uses = [use for path in widget_files(panel) for use in uses_of_ui(path)]
    assert len(uses) >= 15
    for name, attribute, node in uses:
        assert name in classes, f"line {node.lineno}: no widget '{name}'"
        known = names_of(classes[name])
        assert attribute in known.properties | known.methods, f"line {node.lineno}: {classes[name]}.{attribute}"


@pytest.mark.parametrize("panel", PANELS)
def test_properties_are_not_called_and_signals_exist(panel: str) -> None:
    classes = classes_of(panel)
    for path in widget_files(panel):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            parts = ast.unparse(node.func).split(".")
            if parts[:2] != ["self", "ui"] or len(parts) != 4:
                continue
            known = names_of(classes[parts[2]])
            assert parts[3] in known.methods, f"line {node.lineno}: {'.'.join(parts)} is a property, not a method"
            if parts[3] == "connect":
                assert ast.literal_eval(node.args[0]) in known.signals


@pytest.mark.parametrize("module", MODULES)
def test_required_parameters_exist(module: str) -> None:
    """A panel names what must be filled in, or decides itself when it is ready."""
    tree = ast.parse(widget_files(module)[1].read_text(encoding="utf-8"))
    required = [
        ast.literal_eval(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "required"
    ]
    decides = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "isReady"]
    assert len(required) + len(decides) >= 1
    assert {name for names in required for name in names} <= set(fields_of(module))


@pytest.mark.parametrize("panel", PANELS)
def test_every_text_field_explains_itself(panel: str) -> None:
    for widget in panel_of(panel).iter("widget"):
        if widget.get("class") in {"ctkPathLineEdit", "QComboBox", "QCheckBox"}:
            tips = [one for one in widget.findall("property") if one.get("name") == "toolTip"]
            assert tips, f"{widget.get('name')} has no tool tip"


def test_extension_icon_is_128_by_128() -> None:
    data = (REPOSITORY / "Resources" / "ChiSeparation.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (128, 128)


@pytest.mark.parametrize("module", MODULES)
def test_module_icon_is_a_square_drawing(module: str) -> None:
    root = ElementTree.parse(REPOSITORY / module / "Resources" / "Icons" / f"{module}.svg").getroot()
    assert root.get("viewBox") == "0 0 128 128"
    assert root.get("width") == root.get("height") == "128"
