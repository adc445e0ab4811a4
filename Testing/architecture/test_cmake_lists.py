"""The extension's CMake files against the tree: a file that is not listed is missing from the installed extension."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from architecture.extension_package import INDEX_ENTRY, Package, cmake_executable, configure, faults, install
from architecture.list_scripts import MODULES, PHANTOMS, PHANTOMS_FOLDER, REPOSITORY, files_of, phantom_files


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("build")


@pytest.fixture(scope="module")
def package(build: Path) -> Package:
    return configure(REPOSITORY, build)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Give a copy of the extension to plant faults in."""
    for name in (*MODULES, "Resources", str(PHANTOMS_FOLDER)):
        shutil.copytree(REPOSITORY / name, tmp_path / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "CMakeLists.txt", tmp_path / "source")
    return tmp_path / "source"


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_nothing_is_wrong(package: Package) -> None:
    hint = "for the lists, run: python Testing/architecture/list_scripts.py"
    assert faults(REPOSITORY, package) == [], hint


def test_modules_come_in_the_order_of_the_road(package: Package) -> None:
    assert tuple(package.modules) == MODULES
    assert package.modules["ChiSepPreprocess"].folder == REPOSITORY / "ChiSepPreprocess"


@pytest.mark.parametrize("module", MODULES)
def test_lists_hold_the_module_its_panel_and_its_icon(package: Package, module: str) -> None:
    found = package.modules[module]
    assert {f"{module}.py", f"{module}Lib/__init__.py"} <= set(found.scripts)
    assert {f"Resources/UI/{module}.ui", f"Resources/Icons/{module}.svg"} <= set(found.resources)


def test_generator_finds_new_files_and_leaves_out_caches() -> None:
    names = [name for module in MODULES for kind in files_of(module).values() for name in kind]
    assert not [name for name in names if "__pycache__" in name or "/." in name]
    assert "ChiSepPreprocessLib/gui/worker.py" in names


def test_installed_extension_holds_what_is_listed_and_runs(package: Package, build: Path, tmp_path: Path) -> None:
    folder = install(build, tmp_path)
    listed = {path for one in package.modules.values() for path in one.scripts + one.resources}
    listed |= set(package.packages[PHANTOMS])
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == listed
    code = "import ChiSeparationLib.cli as cli; print(cli.__file__); cli.main(['methods', '--json'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(folder), "PYTHONUTF8": "1"},
    )  # fmt: skip
    place, methods = done.stdout.split("\n", 1)
    assert Path(place).is_relative_to(folder)
    assert "closed-form" in str(json.loads(methods))


def test_installed_extension_makes_sample_data_by_its_own_simulation(
    package: Package, build: Path, tmp_path: Path
) -> None:
    folder = install(build, tmp_path)
    code = (
        "from ChiSeparationLib.gui import sample_data; sample_data._find_phantoms()\n"
        f"import {PHANTOMS}.study as study; print(study.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(folder), "PYTHONUTF8": "1"},
    )  # fmt: skip
    assert Path(done.stdout.strip()) == folder / PHANTOMS / "study.py"


def test_simulation_holds_python_alone() -> None:
    assert {Path(name).suffix for name in phantom_files()} == {".py"}
    assert f"{PHANTOMS}/__init__.py" in phantom_files()


def list_a_missing_file(source: Path) -> None:
    change(
        source / "ChiSeparation" / "CMakeLists.txt", "  # end scripts", "  ChiSeparationLib/gone.py\n  # end scripts"
    )


def forget_a_test(source: Path) -> None:
    (source / "ChiSeparation" / "Testing" / "Python" / "ChiSeparationTest.py").unlink()


def lose_a_part_of_the_simulation(source: Path) -> None:
    (source / PHANTOMS_FOLDER / PHANTOMS / "epg.py").unlink()


def build_the_simulation_elsewhere(source: Path) -> None:
    path = source / "ChiSeparation" / "CMakeLists.txt"
    change(path, "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}", "${CMAKE_CURRENT_BINARY_DIR}/elsewhere")


@pytest.mark.parametrize(
    ("plant", "name"),
    [
        (list_a_missing_file, "gone.py"),
        (forget_a_test, "ChiSeparationTest.py"),
        (lose_a_part_of_the_simulation, "epg.py"),
        (build_the_simulation_elsewhere, "not beside"),
    ],
)
def test_a_listed_file_that_is_missing_stops_cmake(
    copy: Path, tmp_path: Path, plant: Callable[[Path], None], name: str
) -> None:
    plant(copy)
    with pytest.raises(RuntimeError, match=name):
        configure(copy, tmp_path / "build")


def list_a_file_twice(source: Path) -> None:
    path = source / "ChiSepPreprocess" / "CMakeLists.txt"
    change(path, "  # end scripts", "  ChiSepPreprocessLib/errors.py\n  # end scripts")


def add_a_file(source: Path) -> None:
    (source / "ChiSepReconstruct" / "ChiSepReconstructLib" / "new.py").touch()


def add_a_file_that_is_no_module(source: Path) -> None:
    (source / "ChiSeparation" / "helpers.py").touch()
    change(source / "ChiSeparation" / "CMakeLists.txt", "  # end scripts", "  helpers.py\n  # end scripts")


def add_a_part_of_the_simulation(source: Path) -> None:
    (source / PHANTOMS_FOLDER / PHANTOMS / "another.py").touch()


def add_the_same_file_to_two_modules(source: Path) -> None:
    for module in MODULES[:2]:
        (source / module / "Resources" / "same.txt").touch()
        change(source / module / "CMakeLists.txt", "  # end resources", "  Resources/same.txt\n  # end resources")


def add_a_test(source: Path) -> None:
    (source / "ChiSeparation" / "Testing" / "Python" / "OtherTest.py").touch()


def leave_out_generic_tests(source: Path) -> None:
    change(source / "ChiSeparation" / "CMakeLists.txt", "  WITH_GENERIC_TESTS\n", "")


def change_dependencies(source: Path) -> None:
    change(source / INDEX_ENTRY, '"PyTorch"', '"PyTorch", "NNUNet"')


def change_category(source: Path) -> None:
    change(source / "CMakeLists.txt", '"Neuroimaging"', '"Diffusion"')


def change_homepage(source: Path) -> None:
    change(source / INDEX_ENTRY, "SlicerChiSeparation.git", "SlicerOther.git")


def empty_contributors(source: Path) -> None:
    change(source / "CMakeLists.txt", '"ChiSeparation contributors"', '" "')


def package_nothing(source: Path) -> None:
    change(source / "CMakeLists.txt", "include(${Slicer_EXTENSION_GENERATE_CONFIG})\n", "")


@pytest.mark.parametrize(
    ("plant", "sentence"),
    [
        (list_a_file_twice, "errors.py is listed twice"),
        (add_a_file, "new.py is not in the list of scripts"),
        (add_a_part_of_the_simulation, "another.py is not in its list"),
        (add_a_file_that_is_no_module, "helpers.py has no class helpers"),
        (add_the_same_file_to_two_modules, "same.txt is in ChiSepPreprocess and ChiSepReconstruct"),
        (add_a_test, "OtherTest.py"),
        (leave_out_generic_tests, "generic"),
        (change_dependencies, "NNUNet"),
        (change_category, "Diffusion"),
        (change_homepage, "SlicerOther"),
        (empty_contributors, "EXTENSION_CONTRIBUTORS is empty"),
        (package_nothing, "configured"),
    ],
)
def test_a_planted_fault_is_found(
    package: Package, copy: Path, tmp_path: Path, plant: Callable[[Path], None], sentence: str
) -> None:
    before = len(faults(REPOSITORY, package))
    plant(copy)
    found = faults(copy, configure(copy, tmp_path / "build"))
    assert len(found) == before + 1
    assert any(sentence in one for one in found)


def test_missing_cmake_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(FileNotFoundError, match="pip install cmake"):
        cmake_executable()
