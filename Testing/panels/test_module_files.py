"""The files that Slicer loads: they declare the modules, stay small and carry the names that Slicer looks for."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from ChiSepPreprocessLib.gui.worker import child_environment
from host.stand_ins import REPOSITORY, Record

MODULES = ("ChiSepPreprocess", "ChiSepReconstruct", "ChiSeparation")


def declare(name: str) -> Any:
    parent = SimpleNamespace()
    getattr(importlib.import_module(name), name)(parent)
    return parent


@pytest.mark.parametrize("name", MODULES)
def test_module_declares_itself(record: Record, name: str) -> None:
    parent = declare(name)
    assert parent.title.startswith("Chi-separation")
    assert parent.categories == ["Neuroimaging.Chi-separation"]
    assert len(parent.helpText) > 100
    assert "NeuroImage 240:118371" in parent.acknowledgementText
    assert "χ-sepnet" in parent.acknowledgementText
    assert parent.contributors
    assert (REPOSITORY / name / "Resources" / "Icons" / f"{name}.svg").is_file()


def test_titles_differ(record: Record) -> None:
    assert len({declare(name).title for name in MODULES}) == 3


@pytest.mark.parametrize("name", MODULES)
def test_dependencies_run_upstream(record: Record, name: str) -> None:
    assert declare(name).dependencies == list(MODULES[: MODULES.index(name)])


@pytest.mark.parametrize("name", MODULES)
def test_module_file_has_the_names_that_slicer_looks_for(record: Record, name: str) -> None:
    module = importlib.import_module(name)
    assert module.__all__ == [name, f"{name}Logic", f"{name}Widget"]
    assert getattr(module, f"{name}Widget").logicClass is getattr(module, f"{name}Logic")
    assert getattr(module, f"{name}Logic").moduleName == name


@pytest.mark.parametrize("name", MODULES)
def test_module_file_is_short_and_uses_what_old_slicers_have(name: str) -> None:
    text = (REPOSITORY / name / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert not re.search(r"^\s*(from|import) slicer\.packaging", text, flags=re.MULTILINE)


def test_importing_the_modules_loads_nothing_heavy() -> None:
    folders = [str(REPOSITORY / name) for name in MODULES]
    code = (
        f"import sys; sys.path[:0] = {[*folders, str(REPOSITORY / 'Testing')]!r}\n"
        "from host.stand_ins import slicer_with_stand_ins\n"
        "with slicer_with_stand_ins(None):\n"
        f"    for name in {MODULES!r}: __import__(name)\n"
        "    heavy = {'torch', 'numba', 'scipy', 'SimpleITK', 'nibabel', 'typer'} & set(sys.modules)\n"
        "    assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=child_environment())
