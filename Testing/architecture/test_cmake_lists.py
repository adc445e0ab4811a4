"""The CMake lists against the tree: a file that is not listed is missing from the installed extension."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from architecture.list_scripts import MODULES, REPOSITORY, files_of, listed

EXTENSION = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["scripts", "resources"])
@pytest.mark.parametrize("module", MODULES)
def test_lists_equal_the_tree(module: str, kind: str) -> None:
    hint = "run: python Testing/architecture/list_scripts.py"
    assert listed(module)[kind] == files_of(module)[kind], hint


@pytest.mark.parametrize("module", MODULES)
def test_lists_hold_the_module_its_panel_and_its_icon(module: str) -> None:
    found = listed(module)
    assert f"{module}.py" in found["scripts"]
    assert f"{module}Lib/__init__.py" in found["scripts"]
    assert {f"Resources/UI/{module}.ui", f"Resources/Icons/{module}.svg"} <= set(found["resources"])


def test_no_two_modules_install_the_same_path() -> None:
    paths = Counter(path for module in MODULES for names in listed(module).values() for path in names)
    assert [path for path, count in paths.items() if count > 1] == []


@pytest.mark.parametrize("module", MODULES)
def test_module_folder_holds_one_python_file(module: str) -> None:
    # Slicer takes every other one for a module.
    assert [one.name for one in (REPOSITORY / module).glob("*.py")] == [f"{module}.py"]


def test_generator_finds_new_files_and_leaves_out_caches() -> None:
    names = [name for module in MODULES for kind in files_of(module).values() for name in kind]
    assert not [name for name in names if "__pycache__" in name or "/." in name]
    assert "ChiSepPreprocessLib/gui/worker.py" in names


def test_extension_adds_every_module_in_the_order_of_the_road() -> None:
    assert re.findall(r"^add_subdirectory\((\w+)\)", EXTENSION, flags=re.MULTILINE) == list(MODULES)
    assert re.search(r"^project\(ChiSeparation\)", EXTENSION, flags=re.MULTILINE)


@pytest.mark.parametrize(
    "field", ["HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS", "CATEGORY"]
)
def test_extension_describes_itself_in_one_string_each(field: str) -> None:
    values = re.findall(rf'^set\(EXTENSION_{field} "([^"\n]+)"\)$', EXTENSION, flags=re.MULTILINE)
    assert len(values) == 1
    if field == "DEPENDS":
        assert values == ["PyTorch"]
    if field.endswith(("URL", "URLS", "PAGE")):
        assert values[0].startswith("https://")


def test_configuration_comes_before_packaging() -> None:
    order = ["find_package(Slicer", "include(${Slicer_USE_FILE})", "add_subdirectory(", "GENERATE_CONFIG", "CPACK}"]
    places = [EXTENSION.index(part) for part in order]
    assert places == sorted(places)
