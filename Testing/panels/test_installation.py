"""What Slicer's Python lacks, and its installation: by which door, what is left alone, what each failure says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import packaging.requirements  # noqa: F401 - before a test takes its folder away
import pytest

from ChiSepPreprocessLib.errors import CancelledError, InputError, MissingDependencyError
from ChiSepPreprocessLib.gui import installation
from ChiSepPreprocessLib.gui.installation import InstallationError, ensure, install
from ChiSepPreprocessLib.gui.requirements import OPTIONAL, REQUIRED, SLICERS_OWN, Missing, missing, missing_in_child
from ChiSepPreprocessLib.progress import Status
from host.stand_ins import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NUMBA, TORCH = Missing("numba", "numba>=0.60"), Missing("torch", "torch>=2.2")


class Pip:
    """Keeps what it was asked, writes lines and fails if it is to."""

    def __init__(self, *lines: str, code: int = 0) -> None:
        self.arguments: list[str] = []
        self.constraints = ""
        self._lines, self._code = lines, code

    def __call__(self, arguments: list[str], line: Callable[[str], None]) -> None:
        self.arguments = arguments
        self.constraints = Path(arguments[arguments.index("-c") + 1]).read_text(encoding="utf-8")
        for one in self._lines:
            line(one)
        if self._code:
            raise subprocess.CalledProcessError(self._code, "pip")


@pytest.fixture(autouse=True)
def child_sees_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "missing_in_child", lambda *parts: ())


def pretend_installed(folder: Path, name: str, version: str) -> None:
    """Metadata of a package, as pip writes it."""
    note = folder / f"{name}-{version}.dist-info" / "METADATA"
    note.parent.mkdir(parents=True)
    note.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (note.parent / "RECORD").write_text(f"{name}/__init__.py,,\n", encoding="utf-8")


def add_module(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    module = ModuleType(name)
    module.__dict__.update(content, __spec__=SimpleNamespace(name=name))
    monkeypatch.setitem(sys.modules, name, module)


# What is missing


def test_tables_are_those_of_the_project() -> None:
    assert list(REQUIRED) == PROJECT["dependencies"]
    extras = PROJECT["optional-dependencies"]
    assert list(OPTIONAL["denoise"]) == extras["denoise"]
    assert list(OPTIONAL["onnx"]) == extras["onnx"]
    assert list(OPTIONAL["dicom"]) == extras["dicom"]
    # Slicer is slicer-core already.
    assert list(OPTIONAL["sample-data"]) == [one for one in extras["demo"] if not one.startswith("slicer-core")]


def test_missing_and_old_packages_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend_installed(tmp_path, "nibabel", "5.1.9")
    pretend_installed(tmp_path, "torch", "2.2.0+cpu")
    (tmp_path / "rich-99.0.dist-info").mkdir()  # an installation that broke off
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    lacking = {one.name: one for one in missing("onnx")}
    assert lacking["nibabel"] == Missing("nibabel", "nibabel>=5.2", "5.1.9")
    assert str(lacking["nibabel"]) == "nibabel>=5.2 (5.1.9 is installed)"
    assert lacking["onnx"] == Missing("onnx", "onnx>=1.16")
    assert "torch" not in lacking
    assert "rich" in lacking


def test_what_slicer_built_without_metadata_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "SimpleITK").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *(one for one in sys.path if "site-packages" not in one)])
    for name in ("SimpleITK", "pydicom"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    names = {one.name for one in missing()}
    assert "SimpleITK" not in names
    assert "pydicom" in names


def test_unknown_part_is_refused() -> None:
    with pytest.raises(InputError, match="optional part: got sound; expected some of sample-data"):
        missing("sound")


def test_child_tells_what_it_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It looks in the same folders as this process."""
    assert missing_in_child() == tuple(one.requirement for one in missing())
    folder = tmp_path / "packages χ 1"
    pretend_installed(folder, "typer", "0.1")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    assert "typer>=0.12" in missing_in_child()


# Installation


def test_nothing_missing_asks_and_installs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*anything: Any, **more: Any) -> Any:
        raise AssertionError("asked")

    monkeypatch.setattr(installation, "missing", lambda *parts: ())
    assert ensure(ask=refuse) == ()
    assert install((), pip=refuse) == ()


def test_declined_installation_installs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "missing", lambda *parts: (NUMBA,))
    monkeypatch.setattr(installation, "install", None)
    with pytest.raises(MissingDependencyError, match=r"Not installed: numba>=0\.60\. Start again and agree"):
        ensure("onnx", ask=lambda lacking: lacking != (NUMBA,))


def test_pip_gets_a_list_wheels_only_and_slicers_own_packages_pinned() -> None:
    from importlib.metadata import version

    pip, seen = Pip("Collecting numba", "Installing"), list[Status]()
    assert install([NUMBA, Missing("nilearn", "nilearn>=0.12")], pip=pip, progress=seen.append) == ()
    assert pip.arguments[:4] == ["--only-binary=:all:", "numba>=0.60", "nilearn>=0.12", "-c"]
    assert len(pip.arguments) == 5
    assert f"numpy=={version('numpy')}\n" in pip.constraints
    assert {line.split("==")[0] for line in pip.constraints.splitlines()} <= set(SLICERS_OWN)
    assert [one.detail for one in seen] == ["numba, nilearn", "Collecting numba", "Installing", "", ""]
    assert [one.fraction for one in seen] == sorted(one.fraction for one in seen)
    assert not Path(pip.arguments[-1]).exists()


@pytest.mark.parametrize(
    ("line", "next_step"),
    [
        ("WARNING: Retrying ... NewConnectionError('...: Failed to establish')", "Check the network"),
        ("ERROR: Could not fetch URL https://pypi.org/simple/: SSLError", "Check the network"),
        ("socket.gaierror: [Errno 11001] getaddrinfo failed", "Check the network"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "The disk is full"),
        ("OSError: [WinError 32] The process cannot access the file: being used by another process", "Restart Slicer"),
        ("ERROR: [Errno 13] Permission denied: '/opt/Slicer/lib'", "rights of an administrator"),
        ("ERROR: [WinError 5] Access is denied: 'C:\\\\Program Files\\\\Slicer'", "rights of an administrator"),
        ("ERROR: ResolutionImpossible: for help visit", "do not fit the versions that this Slicer brings"),
        ("ERROR: No matching distribution found for numba>=0.60", "no version for this computer"),
        ("something nobody thought of", "in the details or in Slicer's Python console"),
    ],
)
def test_failure_says_what_to_do_next(line: str, next_step: str) -> None:
    with pytest.raises(InstallationError, match=re.escape(next_step)) as caught:
        install([NUMBA], pip=Pip("Collecting numba", line, code=1))
    assert str(caught.value).startswith("numba could not be installed. ")
    assert line in caught.value.details


def test_network_comes_before_what_follows_from_it() -> None:
    lines = ("WARNING: Retrying: NameResolutionError", "ERROR: No matching distribution found for numba")
    with pytest.raises(InstallationError, match="Check the network"):
        install([NUMBA], pip=Pip(*lines, code=1))


def test_cancel_waits_for_pip_and_starts_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    add_module(monkeypatch, "PyTorchUtils")
    pip, lines = Pip("Collecting numba", "Installing"), list[str]()

    def progress(status: Status) -> bool:
        lines.append(status.detail)
        return status.detail != "Collecting numba"

    with pytest.raises(CancelledError):
        install([NUMBA, TORCH], pip=pip, progress=progress)
    assert lines == ["numba", "Collecting numba", "Installing"]


def test_slicers_own_package_is_never_changed() -> None:
    pip = Pip()
    with pytest.raises(InstallationError, match=r"numpy>=1\.26 \(1\.20 is installed\) comes with Slicer.*newer Slicer"):
        install([NUMBA, Missing("numpy", "numpy>=1.26", "1.20")], pip=pip)
    assert pip.arguments == []


def test_folder_that_cannot_be_written_is_said_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "no folder"
    file.touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(file))
    pip = Pip()
    with pytest.raises(InstallationError, match="rights of an administrator"):
        install([NUMBA], pip=pip)
    assert pip.arguments == []


def test_child_that_does_not_see_the_packages_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "missing_in_child", lambda *parts: ("numba>=0.60", "onnx>=1.16"))
    with pytest.raises(InstallationError, match=r"^numba>=0\.60 was installed, but .* Restart Slicer"):
        install([NUMBA], pip=Pip())


def test_package_loaded_in_its_old_version_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("loadedpackage", "otherpackage"):
        pretend_installed(tmp_path, name, "1.0")
    monkeypatch.syspath_prepend(tmp_path)
    add_module(monkeypatch, "loadedpackage")

    def upgrade(arguments: list[str], line: Callable[[str], None]) -> None:
        for name in ("loadedpackage", "otherpackage"):
            (tmp_path / f"{name}-1.0.dist-info" / "METADATA").unlink()
            (tmp_path / f"{name}-1.0.dist-info" / "RECORD").unlink()
            (tmp_path / f"{name}-1.0.dist-info").rmdir()
            pretend_installed(tmp_path, name, "2.0")

    assert install([Missing("loadedpackage", "loadedpackage>=2", "1.0")], pip=upgrade) == ("loadedpackage",)


# Slicer's doors


def slicer_with(monkeypatch: pytest.MonkeyPatch, **app: Any) -> None:
    import slicer

    testing = app.pop("testing", False)
    monkeypatch.setattr(slicer, "app", SimpleNamespace(testingEnabled=lambda: testing, **app), raising=False)


@pytest.mark.parametrize("code", [0, 1])
def test_slicer_5_12_installs_while_the_window_lives(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    calls: list[Any] = []

    def pip_install(arguments: list[str], **given: Any) -> None:
        assert given.pop("blocking") is given.pop("show_progress") is False
        calls.append(given)

    def process_events() -> None:  # Slicer calls back from here
        if len(calls) == 1:
            calls[0]["logCallback"]("Network is unreachable")
            calls[0]["completedCallback"](code)
        calls.append("events")

    add_module(monkeypatch, "slicer.packaging", pip_install=pip_install)
    slicer_with(monkeypatch, processEvents=process_events)
    if code:
        with pytest.raises(InstallationError, match="Check the network"):
            install([NUMBA])
    else:
        install([NUMBA])
    assert "events" in calls


def test_slicer_5_12_in_testing_mode_calls_nobody_back(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    add_module(
        monkeypatch, "slicer.packaging", pip_install=lambda arguments, **given: calls.append((arguments[1], given))
    )
    slicer_with(monkeypatch, testing=True)
    install([NUMBA])
    assert calls == [("numba>=0.60", {"show_progress": False})]


def test_slicer_5_10_installs_by_its_utility(monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer.util

    calls: list[list[str]] = []
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(slicer.util, "pip_install", calls.append)
    install([NUMBA])
    assert calls[0][1:3] == ["numba>=0.60", "-c"]


def test_another_python_says_how_to_install() -> None:
    """slicer-core has no installer."""
    with pytest.raises(InstallationError, match=r'not Slicer\'s.* -m pip install "numba>=0\.60"$'):
        install([NUMBA])


# PyTorch


def pytorch_extension(monkeypatch: pytest.MonkeyPatch, install_torch: Callable[..., Any]) -> None:
    logic = type("PyTorchUtilsLogic", (), {"installTorch": lambda self, **given: install_torch(**given)})
    add_module(monkeypatch, "PyTorchUtils", PyTorchUtilsLogic=logic)


def test_torch_comes_by_its_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def install_torch(**given: Any) -> object:
        asked.append(given)
        return object()

    pytorch_extension(monkeypatch, install_torch)
    pip = Pip()
    install([NUMBA, TORCH], pip=pip)
    assert pip.arguments[1:3] == ["numba>=0.60", "-c"]
    assert asked == [{"askConfirmation": False, "torchVersionRequirement": ">=2.2"}]


def test_torch_without_its_extension_says_where_to_get_it() -> None:
    pip = Pip()
    with pytest.raises(InstallationError, match=r"extension 'PyTorch', which is not there.*Extensions Manager"):
        install([NUMBA, TORCH], pip=pip)
    assert pip.arguments == []


def test_torch_by_pip_if_asked() -> None:
    pip = Pip()
    install([TORCH], pip=pip, torch_by_pip=True)
    assert pip.arguments[1] == "torch>=2.2"


def test_old_torch_is_uninstalled_by_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    pytorch_extension(monkeypatch, lambda **given: pytest.fail("installed over the old one"))
    with pytest.raises(InstallationError, match=r"PyTorch 1\.13 is installed, and torch>=2\.2 is needed.*Uninstall"):
        install([Missing("torch", "torch>=2.2", "1.13")])


def test_torch_that_fails_or_is_declined_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**given: Any) -> Any:
        raise RuntimeError("HTTPSConnectionPool: Max retries exceeded")

    pytorch_extension(monkeypatch, fail)
    with pytest.raises(InstallationError, match=r"^PyTorch could not be installed\. The package index"):
        install([TORCH])
    pytorch_extension(monkeypatch, lambda **given: None)
    with pytest.raises(InstallationError, match=r"PyTorch was not installed\. Open the module"):
        install([TORCH])


def test_importing_loads_neither_slicer_nor_a_package() -> None:
    code = (
        "import sys; import ChiSepPreprocessLib.gui.installation, ChiSeparationLib.gui.sample_data\n"
        "assert not {'slicer', 'qt', 'torch', 'numba', 'scipy', 'nibabel', 'packaging'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))
