"""The extension as CMake sees it: configured and installed with a stand-in for Slicer's CMake package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from architecture.list_scripts import PHANTOMS, REPOSITORY, files_of, phantom_files

INDEX_ENTRY = Path("Resources", "ExtensionsIndex", "ChiSeparation.json")
#: Of the folder that Slicer installs all modules into; the stand-in has the same name for it.
INSTALLED = "qt-scripted-modules"

_SLICER = REPOSITORY / "Testing" / "architecture" / "slicer_package"
#: The extension has nothing to compile, so that a machine without compilers will do.
_NO_COMPILERS = [
    "-G", "Unix Makefiles", f"-DCMAKE_MAKE_PROGRAM={sys.executable}",
    *(f"-DCMAKE_{language}_COMPILER={sys.executable}" for language in ("C", "CXX")),
    *(f"-DCMAKE_{language}_COMPILER_{known}=ON" for language in ("C", "CXX") for known in ("FORCED", "ID_RUN")),
]  # fmt: skip


@dataclass(frozen=True)
class Module:
    """What a module's ``CMakeLists.txt`` hands over."""

    folder: Path
    scripts: tuple[str, ...]
    resources: tuple[str, ...]
    #: ``generic``, and paths of scripts.
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Package:
    """What the extension hands over to Slicer."""

    modules: Mapping[str, Module]
    #: Files of each package that is no module, relative to its parent folder.
    packages: Mapping[str, tuple[str, ...]]
    metadata: Mapping[str, str]
    stages: tuple[str, ...]


def cmake_executable() -> str:
    """Find CMake: beside this Python, else the system's.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    beside = str(Path(sys.executable).parent)
    found = shutil.which("cmake", path=os.pathsep.join([beside, os.environ.get("PATH", os.defpath)]))
    if found is None:
        raise FileNotFoundError("CMake was not found; install it, for example: python -m pip install cmake")
    return found


def configure(source: Path, build: Path) -> Package:
    """Configure the extension against the stand-in.

    Parameters
    ----------
    source : Path
        Folder of the top ``CMakeLists.txt``.
    build : Path
        Folder for what CMake writes.

    Raises
    ------
    RuntimeError
        With CMake's own words, if it refuses.
    """
    _cmake("-S", str(source), "-B", str(build), f"-DSlicer_DIR={_SLICER}", *_NO_COMPILERS)
    lines = (build / "record.txt").read_text(encoding="utf-8").splitlines()
    return _package([(kind, owner, value) for kind, owner, value in (line.split("\t") for line in lines)])


def install(build: Path, target: Path) -> Path:
    """Install a configured extension and give the folder that holds its modules."""
    _cmake("--install", str(build), "--prefix", str(target))
    return target / INSTALLED


def _cmake(*arguments: str) -> None:
    done = subprocess.run([cmake_executable(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)


def _package(record: list[tuple[str, str, str]]) -> Package:
    def values(kind: str, owner: str) -> tuple[str, ...]:
        return tuple(value for one, of, value in record if (one, of) == (kind, owner))

    modules = {
        name: Module(Path(folder), values("scripts", name), values("resources", name), values("tests", name))
        for kind, name, folder in record
        if kind == "module"
    }
    packages = {name: values("package", name) for kind, name, _ in record if kind == "package"}
    metadata = {key: value for kind, key, value in record if kind == "metadata"}
    return Package(modules, packages, metadata, tuple(value for kind, _, value in record if kind == "stage"))


def faults(source: Path, package: Package) -> list[str]:
    """Say everything that would be wrong with the installed extension, one sentence each.

    Parameters
    ----------
    source : Path
        Folder of the extension.
    package : Package
        From :func:`configure`.
    """
    entry = json.loads((source / INDEX_ENTRY).read_text(encoding="utf-8"))
    return [
        *_faults_of_lists(source, package),
        *_faults_of_modules(package),
        *_faults_of_tests(package),
        *_faults_of_metadata(package, entry),
    ]


def _faults_of_lists(source: Path, package: Package) -> Iterator[str]:
    owners: dict[str, list[str]] = {}
    for name, module in package.modules.items():
        listed = {"scripts": module.scripts, "resources": module.resources}
        for kind, present in files_of(name, source).items():
            yield from (f"{name}: {path} is not in the list of {kind}" for path in present if path not in listed[kind])
        everything = Counter(module.scripts + module.resources)
        yield from (f"{name}: {path} is listed twice" for path, count in everything.items() if count > 1)
        for path in everything:
            owners.setdefault(path, []).append(name)
    for name, paths in package.packages.items():
        yield from (f"{name}: {path} is listed twice" for path, count in Counter(paths).items() if count > 1)
        for path in dict.fromkeys(paths):
            owners.setdefault(path, []).append(name)
    lacking = [path for path in phantom_files(source) if path not in package.packages.get(PHANTOMS, ())]
    yield from (f"{PHANTOMS}: {path} is not in its list" for path in lacking)
    yield from (f"{path} is in {' and '.join(names)}" for path, names in owners.items() if len(names) > 1)


def _faults_of_modules(package: Package) -> Iterator[str]:
    # Slicer takes every Python file beside a module for one more, and looks for a class of its name.
    for name, module in package.modules.items():
        for path in sorted(module.folder.glob("*.py")):
            if not re.search(rf"^class {path.stem}\b", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
                yield f"{name}: {path.name} has no class {path.stem}"


def _faults_of_tests(package: Package) -> Iterator[str]:
    for name, module in package.modules.items():
        expected = ["generic", *sorted(map(str, (module.folder / "Testing" / "Python").glob("*.py")))]
        if sorted(map(os.path.normpath, module.tests)) != sorted(map(os.path.normpath, expected)):
            yield f"{name}: the tests {module.tests} are registered, not {expected}"


def _faults_of_metadata(package: Package, entry: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"EXTENSION_{key} is empty" for key, value in package.metadata.items() if not value.strip())
    if package.stages != ("configured", "packaged"):
        yield f"the stages are {package.stages}, not configured and then packaged"
    if package.metadata["DEPENDS"].split() != entry["build_dependencies"]:
        yield f"the index has the dependencies {entry['build_dependencies']}, CMake has {package.metadata['DEPENDS']}"
    if package.metadata["CATEGORY"] != entry["category"]:
        yield f"the index has the category {entry['category']}, CMake has {package.metadata['CATEGORY']}"
    if package.metadata["HOMEPAGE"] != entry["scm_url"].removesuffix(".git"):
        yield f"the index has the repository {entry['scm_url']}, CMake has {package.metadata['HOMEPAGE']}"
