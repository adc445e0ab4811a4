"""What users read goes through ``_()``, so that it can be translated, and ``_`` means nothing else there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from architecture.list_scripts import MODULES, REPOSITORY

FILES = sorted(
    path
    for module in MODULES
    for path in (REPOSITORY / module / f"{module}.py", *(REPOSITORY / module / f"{module}Lib" / "gui").rglob("*.py"))
)

#: Properties whose value is shown.
SHOWN = frozenset({
    "text", "toolTip", "title", "windowTitle", "labelText", "plainText", "html", "statusTip", "whatsThis",
    "placeholderText", "specialValueText", "suffix", "prefix", "helpText", "acknowledgementText", "detailedText",
    "informativeText", "accessibleName", "accessibleDescription", "sampleName",
})  # fmt: skip

#: Arguments by name whose value is shown; these two are parts of file names elsewhere.
_SHOWN_ARGUMENTS = SHOWN - {"prefix", "suffix"}

#: Functions and methods all of whose texts are shown.
SHOWING = frozenset({
    "errorDisplay", "warningDisplay", "infoDisplay", "messageBox", "delayDisplay", "showStatusMessage",
    "confirmOkCancelDisplay", "confirmYesNoDisplay", "confirmRetryCloseDisplay", "tryWithErrorDisplay",
    "createProgressDialog", "appendPlainText", "setText", "setToolTip", "setTitle", "setWindowTitle", "setLabelText",
    "setPlainText", "setHtml", "setStatusTip", "setWhatsThis", "setPlaceholderText", "setSuffix", "setPrefix",
    "setHorizontalHeaderLabels", "setVerticalHeaderLabels", "setAccessibleName", "addTab", "setTabText", "setItemText",
    "addAction", "addMenu", "QLabel", "QPushButton", "QToolButton", "QCheckBox", "QRadioButton", "QGroupBox", "QAction",
    "QTableWidgetItem", "showMessage",
})  # fmt: skip
#: Their arguments that are no text for people.
_NOT_SHOWN = frozenset({"objectName", "name", "mainWindow"})
_TRANSLATING = ("_", "translate")


def called(node: ast.Call) -> str:
    """Name of what is called, without what stands before the last point."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def shown_values(tree: ast.AST) -> Iterator[ast.expr]:
    """Every expression whose value users read."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if node.value and any(isinstance(one, ast.Attribute) and one.attr in SHOWN for one in targets):
                yield node.value
        elif isinstance(node, ast.Call):
            showing = called(node) in SHOWING
            yield from node.args if showing else ()
            for one in node.keywords:
                if one.arg in _SHOWN_ARGUMENTS or (showing and one.arg not in _NOT_SHOWN):
                    yield one.value


def words_in(value: ast.expr) -> Iterator[ast.expr]:
    """Texts with letters in an expression that no call of ``_`` or of another function surrounds."""
    if isinstance(value, ast.Constant):
        if isinstance(value.value, str) and any(sign.isalpha() for sign in value.value):
            yield value
    elif isinstance(value, ast.Call):
        if isinstance(value.func, ast.Attribute):  # "{} maps".format(…), ", ".join(…)
            yield from words_in(value.func.value)
    elif isinstance(value, ast.JoinedStr | ast.BinOp | ast.BoolOp | ast.IfExp | ast.List | ast.Tuple):
        parts = [one for one in ast.iter_child_nodes(value) if isinstance(one, ast.expr)]
        tested = value.test if isinstance(value, ast.IfExp) else None
        for part in parts:
            if part is not tested:
                yield from words_in(part)


def untranslated(tree: ast.AST) -> list[str]:
    """Texts that users read in one language only."""
    return [f"line {one.lineno}: {ast.unparse(one)}" for value in shown_values(tree) for one in words_in(value)]


def untranslatable(tree: ast.AST) -> list[str]:
    """Calls of ``_`` whose text is not there to be collected: f-strings, names, sums."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and called(node) in _TRANSLATING)
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in calls
        if not node.args or not all(isinstance(one, ast.Constant) and isinstance(one.value, str) for one in node.args)
    ]


def other_uses(tree: ast.AST) -> list[int]:
    """Lines that give ``_`` another meaning."""
    stored = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    arguments = [node for node in ast.walk(tree) if isinstance(node, ast.arg)]
    return [node.lineno for node in stored if node.id == "_"] + [one.lineno for one in arguments if one.arg == "_"]


def parsed(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_every_panel_is_looked_at() -> None:
    names = {path.name for path in FILES}
    assert {"computation_widget.py", "widget.py", "sample_data.py", *(f"{module}.py" for module in MODULES)} <= names
    assert sum(1 for path in FILES for _value in shown_values(parsed(path))) >= 20


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_what_users_read_can_be_translated(path: Path) -> None:
    tree = parsed(path)
    assert untranslated(tree) == []
    assert untranslatable(tree) == []
    assert other_uses(tree) == []


@pytest.mark.parametrize(
    "line",
    [
        'self.ui.label.text = "Done."',
        'self.ui.label.text = f"Done: {count}"',
        'self.ui.label.text = "Done: {}".format(count)',
        'self.ui.label.toolTip = _("Ready.") if ready else "Not ready."',
        'self.ui.label.text = "Done: " + name',
        'self.ui.label.text += ", and more"',
        'parent.title = "Chi-separation"',
        'slicer.util.errorDisplay("It failed.")',
        'slicer.util.errorDisplay(message, windowTitle="It failed")',
        'label = qt.QLabel("Echoes")',
        'table.setHorizontalHeaderLabels([_("Echo"), "Time"])',
        'register(sampleName="A patient")',
        'with slicer.util.tryWithErrorDisplay("It failed."): pass',
    ],
)
def test_text_in_one_language_is_found(line: str) -> None:
    assert len(untranslated(ast.parse(line))) == 1


@pytest.mark.parametrize(
    "line",
    [
        'self.ui.label.text = _("Done: {count}").format(count=count)',
        'self.ui.label.text = f"{step}: {100 * part:.0f} %"',
        'self.ui.label.text = message if kind == "error" else ""',
        'self.ui.label.text = error.details.get("message", "")',
        'self.ui.label.objectName = "echoes"',
        'slicer.util.errorDisplay(str(error), detailedText=getattr(error, "details", ""))',
    ],
)
def test_other_text_is_let_through(line: str) -> None:
    assert untranslated(ast.parse(line)) == []


@pytest.mark.parametrize("line", ['_(f"Done: {count}")', "_(message)", '_("Done: " + name)', "_()"])
def test_text_that_cannot_be_collected_is_found(line: str) -> None:
    assert len(untranslatable(ast.parse(line))) == 1


@pytest.mark.parametrize("line", ["first, _ = pair", "for _ in range(3): pass", "lambda _: 1", "_ = 1"])
def test_another_meaning_is_found(line: str) -> None:
    assert len(other_uses(ast.parse(line))) == 1
