"""Imports run one way, and importing a Lib is light."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBS = {
    "ChiSepPreprocessLib": ROOT / "ChiSepPreprocess" / "ChiSepPreprocessLib",
    "ChiSepReconstructLib": ROOT / "ChiSepReconstruct" / "ChiSepReconstructLib",
    "ChiSeparationLib": ROOT / "ChiSeparation" / "ChiSeparationLib",
    "ChiSepPhantoms": ROOT / "Testing" / "phantoms" / "ChiSepPhantoms",
}
HEAVY = ("torch", "numba", "scipy", "SimpleITK", "nibabel", "pydicom", "slicer", "vtk", "matplotlib")
SOURCES = [path for folder in LIBS.values() for path in sorted(folder.rglob("*.py"))]


def imported(tree: ast.AST) -> Iterator[str]:
    """Top-level names of every absolute import in a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def test_import_contracts_hold() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_slicer_and_qt_stay_in_their_folders(path: Path) -> None:
    names = set(imported(ast.parse(path.read_text(encoding="utf-8"))))
    folders = set(path.relative_to(ROOT).parts)
    if "gui" not in folders:
        assert not names & {"qt", "ctk", "PythonQt"}
    if not folders & {"gui", "scene"}:
        assert not names & {"slicer", "vtk", "vtkmodules"}


def test_every_module_imports_without_heavy_libraries() -> None:
    """One fresh process imports every module of the Libs; none loads a heavy library."""
    skipped = ("/gui/", "_kernels.py", "/networks/unet.py", "/networks/lean.py")
    names = [
        ".".join(path.relative_to(folder.parent).with_suffix("").parts).removesuffix(".__init__")
        for folder in LIBS.values()
        for path in sorted(folder.rglob("*.py"))
        if not any(part in path.as_posix() for part in skipped) and folder.name != "ChiSepPhantoms"
    ]
    script = (
        "import importlib, json, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            lines = (node.end_lineno or 0) - body[0].lineno + 1
            assert lines <= 60, f"{node.name} has {lines} lines"
