"""What panels' code asks of ``self.ui`` must exist in Slicer, whether or not a test runs the line."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from .pythonqt_names import CLASSES, names_of


def classes_of(ui_file: Path) -> dict[str, str]:
    """Class by name of a ``.ui`` file's widgets."""
    root = ElementTree.parse(ui_file).getroot()
    return {str(one.get("name")): str(one.get("class")) for one in root.iter("widget")}


def wrong_uses(code: str, classes: dict[str, str]) -> list[str]:
    """Say which ``self.ui.<widget>.<name>`` of a module's code do not exist in Slicer.

    Parameters
    ----------
    code : str
        Python source.
    classes : dict of str to str
        Class by name of the widgets, of every panel that runs the code.

    Returns
    -------
    list of str
        Sentences with the line's number: unknown widgets, names, signals; properties that are called or methods and
        signals that are set.
    """
    tree = ast.parse(code)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    return [
        f"line {node.lineno}: {sentence}"
        for node, widget in _uses(tree)
        for sentence in _wrong_use(node, widget, classes, parents)
    ]


def _uses(tree: ast.AST) -> Iterator[tuple[ast.Attribute, str]]:
    """Every ``self.ui.<widget>.<name>``, also through a local name of ``self.ui``."""
    aliases = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.value) == "self.ui"
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
            holder = ast.unparse(node.value.value)
            if holder == "self.ui" or holder in aliases:
                yield node, node.value.attr


def _wrong_use(node: ast.Attribute, widget: str, classes: dict[str, str], parents: dict[ast.AST, ast.AST]) -> list[str]:
    if widget not in classes:
        return [f"no panel has a widget '{widget}'"]
    kind, name = classes[widget], node.attr
    if kind not in CLASSES:
        return [f"class {kind} of '{widget}' is not listed"]
    known, parent = names_of(kind), parents[node]
    called = isinstance(parent, ast.Call) and parent.func is node
    if name not in known.attributes:
        return [f"{kind} '{widget}' has no '{name}'"]
    if called and name in known.properties:
        return [f"{kind}.{name} is a property, not a method"]
    if isinstance(node.ctx, ast.Store) and name not in known.properties:
        return [f"{kind}.{name} cannot be set"]
    if called and name in ("connect", "disconnect"):
        return _wrong_signal(parent, kind)
    return []


def _wrong_signal(call: ast.AST, kind: str) -> list[str]:
    assert isinstance(call, ast.Call)
    signal = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
    if isinstance(signal, str) and signal.replace(" ", "") not in names_of(kind).signals:
        return [f"{kind} has no signal '{signal}'"]
    return []
