"""Python packages that the extension needs: which of them are missing, in Slicer and in the child process.

Needs no Qt, and imports none of the packages. :mod:`.installation` installs them.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from .worker import Caution, ChildProcess, python_executable, say

#: What a run needs: the dependencies of ``pyproject.toml``.
REQUIRED = (
    "numpy>=1.26", "scipy>=1.12", "torch>=2.2", "SimpleITK>=2.3", "numba>=0.60", "safetensors>=0.4", "nibabel>=5.2",
    "pydicom>=2.4.4", "dcm2niix>=1.0.20250506", "typer>=0.12", "rich>=13", "jinja2>=3.1", "matplotlib>=3.8",
)  # fmt: skip

#: What single parts need beyond that.
OPTIONAL: Mapping[str, tuple[str, ...]] = {
    "sample-data": ("nilearn>=0.12",),
    "denoise": ("dipy>=1.9",),
    "dicom": ("highdicom>=0.25",),
    "onnx": ("onnx>=1.16",),
}

#: Slicer's own, on which its modules and other extensions rely: they are never changed.
SLICERS_OWN = ("numpy", "scipy", "SimpleITK", "pydicom", "vtk")

_POLL_S = 0.02


@dataclass(frozen=True)
class Missing:
    """A package that is not there, or in a version that does not do.

    Parameters
    ----------
    name : str
        As the package index has it.
    requirement : str
        Name and versions that do, such as ``"numba>=0.60"``.
    installed : str, optional
        Version that is there.
    """

    name: str
    requirement: str
    installed: str = ""

    def __str__(self) -> str:
        return f"{self.requirement} ({self.installed} is installed)" if self.installed else self.requirement


def missing(*parts: str) -> tuple[Missing, ...]:
    """Give the packages that this Python lacks, by their metadata.

    Parameters
    ----------
    *parts : str
        Parts beyond a plain run, keys of :data:`OPTIONAL`.

    Raises
    ------
    InputError
        If there is no such part.
    """
    unknown = sorted(set(parts) - set(OPTIONAL))
    if unknown:
        raise InputError("optional part", ", ".join(unknown), f"some of {', '.join(OPTIONAL)}")
    importlib.invalidate_caches()  # pip has changed the folders behind this process's back
    wanted = (*REQUIRED, *(one for part in parts for one in OPTIONAL[part]))
    return tuple(lack for lack in map(_lack, wanted) if lack is not None)


def _lack(text: str) -> Missing | None:
    from packaging.requirements import Requirement

    requirement = Requirement(text)
    found = installed_version(requirement.name)
    if not found and requirement.name in SLICERS_OWN and importlib.util.find_spec(requirement.name):
        return None  # built with Slicer, without metadata
    if found and requirement.specifier.contains(found, prereleases=True):
        return None
    return Missing(requirement.name, text, found)


def installed_version(name: str) -> str:
    """Version of a package by its metadata; empty where there is none, or an installation broke off."""
    try:
        return importlib.metadata.version(name) or ""
    except (importlib.metadata.PackageNotFoundError, TypeError, KeyError):
        return ""


def missing_in_child(*parts: str) -> tuple[str, ...]:
    """Give the requirements that the child process lacks, which must be the same ones.

    Raises
    ------
    ComputationError
        If the child fails.
    MissingDependencyError
        If it cannot be started.
    """
    child = ChildProcess([python_executable(), "-m", __name__, *parts])
    while not child.finished:
        let_the_window_live()
    child.result()
    return tuple(event.message for event in child.poll() if isinstance(event, Caution))


def application() -> Any:
    """Slicer's application, or ``None`` outside it."""
    return getattr(sys.modules.get("slicer"), "app", None)


def let_the_window_live() -> None:
    """Wait for a moment in which Slicer's window answers."""
    app = application()
    if app is not None:
        app.processEvents()
    time.sleep(_POLL_S)


def _say_missing(parts: Sequence[str]) -> None:
    """What the child does: one warning for each requirement."""
    for one in missing(*parts):
        say("warning", message=one.requirement)
    say("result", output=".")


if __name__ == "__main__":
    _say_missing(sys.argv[1:])
