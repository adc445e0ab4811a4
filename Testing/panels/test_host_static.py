"""Every line of the panels that names a widget is checked against the real classes, and the check itself."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from host.static_check import classes_of, wrong_uses

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = ("ChiSepPreprocess", "ChiSepReconstruct", "ChiSeparation")
PANEL = {"button": "QPushButton", "path": "ctkPathLineEdit", "nodes": "qMRMLNodeComboBox"}


def code_of(module: str) -> list[Path]:
    return sorted((REPOSITORY / module / f"{module}Lib" / "gui").rglob("*.py"))


def panel_of(module: str) -> dict[str, str]:
    files = (REPOSITORY / module / "Resources" / "UI").glob("*.ui")
    return {name: kind for file in files for name, kind in classes_of(file).items()}


def shared_panel() -> dict[str, str]:
    """Widgets that any panel has; code that all share lies in the first module."""
    return {name: kind for module in MODULES for name, kind in panel_of(module).items()}


@pytest.mark.parametrize("module", MODULES)
def test_panels_code_asks_for_what_exists(module: str) -> None:
    panel = shared_panel() if module == MODULES[0] else panel_of(module) | panel_of(MODULES[0])
    wrong = {path.name: wrong_uses(path.read_text(encoding="utf-8"), panel) for path in code_of(module)}
    assert {name: found for name, found in wrong.items() if found} == {}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("self.ui.buton.enabled = True", "no panel has a widget 'buton'"),
        ("self.ui.button.enabld = True", "has no 'enabld'"),
        ("self.ui.button.text()", "is a property, not a method"),
        ("self.ui.button.setTextt('a')", "has no 'setTextt'"),
        ("self.ui.button.click = 1", "cannot be set"),
        ("self.ui.button.connect('cliked()', print)", "has no signal 'cliked()'"),
        ("self.ui.path.setFilters(1)", "has no 'setFilters'"),
        ("self.ui.nodes.currentNode.GetID()", ""),
        ("ui = self.ui\nui.button.cliked()", "has no 'cliked'"),
    ],
)
def test_check_finds_planted_mistakes(line: str, sentence: str) -> None:
    found = wrong_uses(line, PANEL)
    assert len(found) == (1 if sentence else 0)
    assert sentence in " ".join(found)


def test_check_accepts_what_slicer_has() -> None:
    code = (
        "self.ui.button.connect('clicked( bool )', print)\n"
        "self.ui.button.text = self.ui.path.currentPath\n"
        "self.ui.nodes.setCurrentNode(None)\n"
        "self.ui.button.clicked.connect(print)\n"
    )
    assert wrong_uses(code, PANEL) == []
    assert ast.parse(code).body


@pytest.mark.parametrize("module", MODULES)
def test_ui_files_name_what_exists(module: str) -> None:
    from host.ui_files import check

    files = sorted((REPOSITORY / module / "Resources" / "UI").glob("*.ui"))
    assert files
    for file in files:
        assert check(ElementTree.parse(file).getroot()) == []
