"""Installation of Python packages into Slicer, on request; each failure says what to do next. Needs no Qt.

Nothing is installed unless a caller asks for it. PyTorch is left to its own extension, which knows graphics cards.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import CancelledError, MissingDependencyError
from ..progress import Progress, Reporter
from .requirements import (
    OPTIONAL,
    SLICERS_OWN,
    Missing,
    application,
    installed_version,
    let_the_window_live,
    missing,
    missing_in_child,
)
from .worker import python_executable

_TORCH = "torch"
_LOG_LINES = 200

#: Installs packages: takes pip's arguments after ``install``, and what receives each line of its output.
Pip = Callable[[list[str], Callable[[str], None]], None]


class InstallationError(MissingDependencyError):
    """Packages could not be installed.

    Parameters
    ----------
    message : str
        What went wrong and what to do next.
    details : str, optional
        End of the installer's output.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


def ensure(*parts: str, ask: Callable[[Sequence[Missing]], bool], progress: Progress | None = None) -> tuple[str, ...]:
    """Install what is missing if the user agrees.

    Parameters
    ----------
    *parts : str
        Parts beyond a plain run, as in :func:`.requirements.missing`.
    ask : callable
        Receives what is missing and puts the question; ``True`` means yes. Not called where nothing is missing.
    progress : callable, optional
        As in :func:`install`.

    Returns
    -------
    tuple of str
        As in :func:`install`.

    Raises
    ------
    MissingDependencyError
        If the user declines, or the installation fails.
    CancelledError
        If ``progress`` returned ``False``.
    """
    lacking = missing(*parts)
    if lacking and not ask(lacking):
        names = ", ".join(map(str, lacking))
        raise MissingDependencyError(f"Not installed: {names}. Start again and agree to the installation.")
    return install(lacking, progress=progress)


def install(
    lacking: Sequence[Missing], *, progress: Progress | None = None, pip: Pip | None = None, torch_by_pip: bool = False
) -> tuple[str, ...]:
    """Install packages into Slicer's Python, and look whether the child process finds them.

    Parameters
    ----------
    lacking : sequence of Missing
        From :func:`.requirements.missing`.
    progress : callable, optional
        Receives each :class:`Status`; returning ``False`` cancels once an installer that is at work has ended, as
        stopping it would leave half a package.
    pip : callable, optional
        By default Slicer's own installer.
    torch_by_pip : bool
        PyTorch like any other package; it may then not fit the graphics card.

    Returns
    -------
    tuple of str
        Packages that are still loaded in their old version: Slicer itself uses the new one after a restart, the child
        process at once.

    Raises
    ------
    InstallationError
        If anything goes wrong; it says what to do next.
    CancelledError
        If ``progress`` returned ``False``; what was installed until then stays.
    """
    if not lacking:
        return ()
    report, before = Reporter(progress), _versions()
    by_pip = [one for one in lacking if torch_by_pip or one.name != _TORCH]
    torch = [one for one in lacking if one not in by_pip]
    _check_before(lacking, torch)
    if by_pip:
        _install_by_pip(by_pip, report.span(0.0, 0.5), pip or _slicers_pip())
    for one in torch:
        report("torch", 0.5, "PyTorch; this takes some minutes")
        _install_torch(one)
    report("check", 0.95)
    _check_child(lacking)
    report("done", 1.0)
    return _loaded_before(before)


# Before anything is changed


def _check_before(lacking: Sequence[Missing], torch: Sequence[Missing]) -> None:
    own = [str(one) for one in lacking if one.name in SLICERS_OWN]
    if own:
        raise InstallationError(f"{', '.join(own)} comes with Slicer and is not changed by this extension. {_NEWER}")
    for one in torch:
        _check_torch(one)
    _check_writable(Path(sysconfig.get_path("purelib")))


def _check_torch(one: Missing) -> None:
    if one.installed:
        raise InstallationError(
            f"PyTorch {one.installed} is installed, and {one.requirement} is needed. Open the module 'PyTorch Utils', "
            "press Uninstall, restart Slicer, then try again."
        )
    if importlib.util.find_spec("PyTorchUtils") is None:
        raise InstallationError(
            "PyTorch is installed by Slicer's extension 'PyTorch', which is not there. Install that extension in the "
            "Extensions Manager, restart Slicer, then try again."
        )


def _check_writable(folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):  # permissions alone tell too little on Windows
            pass
    except FileNotFoundError:
        return
    except OSError as error:
        raise InstallationError(_READ_ONLY, f"{folder}: {error.strerror}") from error


# Failures

_NEWER = "Install a newer Slicer (5.10 or later)."
_READ_ONLY = (
    "Packages cannot be written into Slicer's folder. Start Slicer once with the rights of an administrator, or "
    "install Slicer into a folder of your own, then try again."
)

#: What an installer's output tells, most telling first.
_CAUSES = tuple(
    (re.compile(pattern, re.IGNORECASE), sentence)
    for pattern, sentence in (
        (
            r"NewConnectionError|NameResolutionError|Max retries exceeded|name resolution|getaddrinfo failed|timed out"
            r"|ProxyError|SSLError|CERTIFICATE_VERIFY|Could not fetch URL|unreachable|Connection (refused|reset)",
            "The package index cannot be reached. Check the network and, if there is one, the proxy (HTTPS_PROXY), "
            "then try again.",
        ),
        (r"No space left|Errno 28|not enough space", "The disk is full. Free some gigabytes, then try again."),
        (r"used by another process|WinError 32", "A package is in use. Restart Slicer, then try again."),
        (r"Permission denied|Read-only file system|WinError 5\b|Access is denied|externally-managed", _READ_ONLY),
        (
            r"ResolutionImpossible|conflicting dependencies",
            f"The packages do not fit the versions that this Slicer brings. {_NEWER}",
        ),
        (
            r"No matching distribution|Could not find a version",
            f"A package has no version for this computer and the Python of this Slicer. {_NEWER}",
        ),
        (r"already in progress", "Another installation is under way. Wait until it is done, then try again."),
    )
)


def _explained(names: str, output: str) -> InstallationError:
    known = next((sentence for pattern, sentence in _CAUSES if pattern.search(output)), "")
    hint = known or "The end of the installer's output is in the details or in Slicer's Python console."
    return InstallationError(f"{names} could not be installed. {hint}", output)


# Packages


class _Output:
    """Receives pip's lines. A wish to cancel is kept until pip has ended, as raising here would reach pip's caller."""

    def __init__(self, report: Reporter) -> None:
        self.lines: deque[str] = deque(maxlen=_LOG_LINES)
        self.cancelled: CancelledError | None = None
        self._report, self._count = report, 0

    def __call__(self, line: str) -> None:
        self.lines.append(line.rstrip())
        self._count += 1
        try:
            # How many lines will come is not known.
            self._report("packages", self._count / (self._count + 50), line.strip())
        except CancelledError as error:
            self.cancelled = error


def _install_by_pip(lacking: Sequence[Missing], report: Reporter, pip: Pip) -> None:
    names = ", ".join(one.name for one in lacking)
    report("packages", 0.0, names)
    output = _Output(report)
    with _constraints() as file:
        # A list, so that neither a shell nor a parser takes a path with spaces apart.
        arguments = ["--only-binary=:all:", *(one.requirement for one in lacking), "-c", str(file)]
        try:
            pip(arguments, output)
        except InstallationError:
            raise
        except (subprocess.CalledProcessError, OSError, RuntimeError) as error:
            raise _explained(names, "\n".join(output.lines) or str(error)) from error
    if output.cancelled is not None:
        raise output.cancelled


@contextmanager
def _constraints() -> Iterator[Path]:
    """File that keeps pip from changing Slicer's own packages."""
    with tempfile.TemporaryDirectory(prefix="chisep-") as folder:
        file = Path(folder) / "constraints.txt"
        kept = [f"{name}=={found}" for name in SLICERS_OWN if (found := installed_version(name))]
        file.write_text("".join(f"{one}\n" for one in kept), encoding="utf-8")
        yield file


def _slicers_pip() -> Pip:
    """Slicer's installer: ``slicer.packaging`` from 5.12 on, else ``slicer.util.pip_install``."""
    try:
        packaging = importlib.import_module("slicer.packaging")
    except ModuleNotFoundError:
        return _pip_of_slicer_5_10
    return lambda arguments, line: _pip_of_slicer_5_12(packaging, arguments, line)


def _pip_of_slicer_5_12(packaging: Any, arguments: list[str], line: Callable[[str], None]) -> None:
    app = application()
    if app is None or app.testingEnabled():  # where it waits by itself and calls nobody back
        packaging.pip_install(arguments, show_progress=False)
        return
    codes: list[int] = []
    packaging.pip_install(
        arguments, blocking=False, show_progress=False, logCallback=line, completedCallback=codes.append
    )
    while not codes:
        let_the_window_live()
    if codes[0] != 0:
        raise subprocess.CalledProcessError(codes[0], "pip install")


def _pip_of_slicer_5_10(arguments: list[str], line: Callable[[str], None]) -> None:
    """Its output goes to the Python console alone."""
    try:
        importlib.import_module("slicer.util").pip_install(arguments)
    except (ModuleNotFoundError, AttributeError) as error:
        packages = " ".join(f'"{one}"' for one in arguments[1:-2])
        raise InstallationError(
            f"This Python is not Slicer's. Install the packages with: {sys.executable} -m pip install {packages}"
        ) from error


def _install_torch(one: Missing) -> None:
    logic = importlib.import_module("PyTorchUtils").PyTorchUtilsLogic()
    versions = one.requirement.removeprefix(_TORCH)
    try:
        torch = logic.installTorch(askConfirmation=False, torchVersionRequirement=versions)
    except Exception as error:
        raise _explained("PyTorch", f"{type(error).__name__}: {error}") from error
    if torch is None:
        raise InstallationError("PyTorch was not installed. Open the module 'PyTorch Utils' and install it there.")


# Afterwards


def _check_child(lacking: Sequence[Missing]) -> None:
    unseen = sorted({one.requirement for one in lacking} & set(missing_in_child(*OPTIONAL)))
    if unseen:
        raise InstallationError(
            f"{', '.join(unseen)} was installed, but the process that computes does not find it. Restart Slicer, then "
            f"try again. That process runs {python_executable()}."
        )


def _versions() -> dict[str, str]:
    importlib.invalidate_caches()
    found = {}
    for one in importlib.metadata.distributions():
        with suppress(TypeError, KeyError):  # an installation that broke off
            found[one.name] = one.version
    return found


def _loaded_before(before: dict[str, str]) -> tuple[str, ...]:
    """Packages whose version changed while one of their modules was loaded."""
    changed = sorted(name for name, version in _versions().items() if before.get(name, version) != version)
    return tuple(name for name in changed if _modules_of(name) & set(sys.modules))


def _modules_of(name: str) -> set[str]:
    files = importlib.metadata.files(name) or ()
    return {file.parts[0].removesuffix(".py") for file in files}
