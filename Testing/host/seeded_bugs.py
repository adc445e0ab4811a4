"""Plants GUI bugs in the modules' code, one at a time, and says whether the ordinary tests of the panels notice.

.venv/bin/python Testing/host/seeded_bugs.py
"""

from __future__ import annotations

import importlib
import inspect
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "slicer")]

REPOSITORY = Path(__file__).resolve().parents[2]
_SHARED = "ChiSepPreprocess/ChiSepPreprocessLib/gui/computation_widget.py"
_LOGIC = "ChiSepPreprocess/ChiSepPreprocessLib/gui/computation.py"
_PANEL = "ChiSeparation/Resources/UI/ChiSeparation.ui"
#: What the tests that are parametrized by module are called with.
_MODULE = {"module": "ChiSeparation", "field": "grePathLineEdit", "parameter": "gre"}


@dataclass(frozen=True)
class Bug:
    """One bug: a replacement in a file, and the ordinary test that should notice."""

    name: str
    file: str
    right: str
    wrong: str
    test: str


BUGS = (
    Bug("wrong name of a signal", _SHARED, 'runButton.connect("clicked()"', 'runButton.connect("cliked()"',
        "test_parameters_reach_the_panel_from_the_scene"),
    Bug("property called as a method", _SHARED, 'self.ui.statusLabel.text = _("Starting…")',
        'self.ui.statusLabel.text(_("Starting…"))', "test_child_that_cannot_start_is_an_error"),
    Bug("no disconnecting on exit", _SHARED, 'goes on."""\n        self.setParameterNode(None)', 'goes on."""',
        "test_exit_lets_go_of_the_scene"),
    Bug("wrong name of a widget", _SHARED, "self.ui.cancelButton.connect", "self.ui.cancelBotton.connect",
        "test_parameters_reach_the_panel_from_the_scene"),
    Bug("parameter that is not connected", _PANEL, '<string notr="true">se</string>', "<string></string>",
        "test_parameters_reach_the_panel_from_the_scene"),
    Bug("exception in a slot", _SHARED, "self.nodes = {}\n        self.ui", "self.nodes = {}[0]\n        self.ui",
        "test_child_that_cannot_start_is_an_error"),
    Bug("observers stay after cleanup", _SHARED, "self.removeObservers()", "pass",
        "test_cleanup_stops_the_computation_and_removes_observers"),
    Bug("Run enabled without input", _SHARED, "= ready and self._job is None", "= self._job is None",
        "test_click_run_loads_nodes"),
    Bug("Cancel that does nothing", _SHARED, "self._job.cancel()", "pass", "test_cancel_stops_and_says_so"),
    Bug("modal dialog from the logic", _LOGIC, '        temporary = Path(tempfile.mkdtemp(prefix="chisep-"))',
        '        import qt\n        qt.QMessageBox.warning(None, "", "Really?")\n'
        '        temporary = Path(tempfile.mkdtemp(prefix="chisep-"))', "test_child_that_cannot_start_is_an_error"),
    Bug("unknown property in the .ui file", _PANEL, 'name="wordWrap"', 'name="wordWarp"',
        "test_parameters_reach_the_panel_from_the_scene"),
    Bug("closing of the scene not handled", _SHARED,
        "        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)\n", "",
        "test_closing_the_scene_stops_the_computation"),
    Bug("node added whenever the module is entered", _SHARED, 'is opened."""\n',
        'is opened."""\n        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")\n',
        "test_entering_again_adds_nothing"),
)  # fmt: skip


class _Loader(SourceFileLoader):
    """Loads a file with a bug in it."""

    bug: Bug

    def get_code(self, fullname: str) -> Any:
        text = Path(self.path).read_text(encoding="utf-8")
        return compile(planted(text, self.bug), self.path, "exec")


class _Finder:
    """Finds the file that has the bug before Python does."""

    def __init__(self, bug: Bug) -> None:
        self._bug, self._file = bug, str(REPOSITORY / bug.file)

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.origin != self._file:
            return None
        loader = _Loader(fullname, self._file)
        loader.bug = self._bug
        spec.loader = loader
        return spec


def planted(text: str, bug: Bug) -> str:
    """Give a text with the bug in it.

    Raises
    ------
    ValueError
        If the text has changed so that the bug has no place in it any more.
    """
    if bug.right not in text:
        raise ValueError(f"'{bug.name}': {bug.file} has no {bug.right!r} any more; adapt the bug")
    return text.replace(bug.right, bug.wrong)


@contextmanager
def _fresh_modules() -> Iterator[None]:
    """Import the modules' files afresh in the block, and forget them after it."""
    from host.running import MODULES, forget_modules

    before = forget_modules(MODULES)
    try:
        yield
    finally:
        forget_modules(MODULES)
        sys.modules.update(before)


@contextmanager
def planted_bug(bug: Bug | None) -> Iterator[None]:
    """Let modules be imported, and panels be loaded, with a bug, as long as the block lasts."""
    from host import ui_files

    finder, read = (_Finder(bug) if bug else None), ui_files.read

    def read_with_bug(device: Any) -> bytes:
        content = read(device)
        return planted(content.decode(), bug).encode() if bug and bug.file.endswith(".ui") else content

    with _fresh_modules():
        ui_files.read = read_with_bug
        if finder:
            sys.meta_path.insert(0, finder)
        try:
            yield
        finally:
            ui_files.read = read
            if finder:
                sys.meta_path.remove(finder)


def _fixtures(host: Any, folder: Path) -> dict[str, Any]:
    script = str(Path(__file__).with_name("fake_chisep.py"))

    def open_panel(module: str, command: Callable[..., Any], **options: Any) -> Any:
        logic = getattr(importlib.import_module(module), f"{module}Logic")(command, **options)
        return host.open(module, logic)

    def fake(mode: str) -> Any:
        return lambda arguments: [sys.executable, script, mode, *arguments]

    return {"host": host, "scene": host.scene, "open_panel": open_panel, "fake": fake, "tmp_path": folder, **_MODULE}


def what_is_noticed(tests: Any, name: str, bug: Bug | None) -> str:
    """Run one ordinary test, with a bug or without, and say what it notices; empty if nothing.

    Parameters
    ----------
    tests : module
        The ordinary tests.
    name : str
        Of the test.
    bug : Bug, optional
        What to plant.
    """
    from host.running import running_host

    test = getattr(tests, name)
    with planted_bug(bug), tempfile.TemporaryDirectory() as folder, running_host() as host:
        available = _fixtures(host, Path(folder))
        try:
            test(**{one: available[one] for one in inspect.signature(test).parameters})
        except Exception as error:  # noqa: BLE001 - any exception of a test counts as noticing
            return f"{type(error).__name__}: {error}"[:200]
        host.shut_down()
        return host.problems[0][:200] if host.problems else ""


def main() -> None:
    """Print a table."""
    tests = importlib.import_module("test_module_widgets")
    found = {bug: what_is_noticed(tests, bug.test, bug) for bug in BUGS}
    for bug, sentence in found.items():
        sys.stdout.write(f"{'noticed' if sentence else 'MISSED '}  {bug.name}: {sentence.splitlines()[:1]}\n")
    sys.stdout.write(f"{sum(map(bool, found.values()))} of {len(found)} noticed\n")


if __name__ == "__main__":
    main()
