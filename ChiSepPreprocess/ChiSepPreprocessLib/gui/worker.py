"""The child process that computes, so that the application stays responsive and the user can always stop it.

The child is the command line with ``--progress-json``: one JSON object a line on stdout, anything else is log.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import CancelledError, ChiSepError, MissingDependencyError
from ..progress import Status

_LIBRARIES = ("ChiSepPreprocessLib", "ChiSepReconstructLib", "ChiSeparationLib")

#: Variables that change how any Python starts or what it prints; a user's own must not reach the child.
_DROPPED_VARIABLES = frozenset({
    "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONDEBUG", "PYTHONVERBOSE", "PYTHONWARNINGS", "PYTHONOPTIMIZE",
    "PYTHONPROFILEIMPORTTIME", "PYTHONBREAKPOINT", "PYTHONTRACEMALLOC",
})  # fmt: skip

_LOG_LINES = 200
_LINE_BYTES = 65536
#: The child gets this long to tidy up before it is killed, s.
_GRACE_S = 0.4


class ComputationError(ChiSepError, RuntimeError):
    """The child process failed.

    Parameters
    ----------
    message : str
        One sentence for the user.
    exit_code : int
        Of the child; 2 for bad input.
    details : str, optional
        End of the child's log.
    """

    def __init__(self, message: str, exit_code: int, details: str = "") -> None:
        super().__init__(message)
        self.exit_code, self.details = exit_code, details


@dataclass(frozen=True)
class Caution:
    """Something the user should know about the result."""

    message: str


@dataclass(frozen=True)
class Result:
    """What the child made: a folder and the names of its maps."""

    output: Path
    maps: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """The child's own account of why it stops."""

    message: str
    exit_code: int


Event = Status | Caution | Result | Failure

_READERS: Mapping[str, Callable[[Mapping[str, Any]], Event]] = {
    "progress": lambda m: Status(str(m["step"]), min(max(float(m["fraction"]), 0.0), 1.0), str(m.get("detail", ""))),
    "warning": lambda m: Caution(str(m["message"])),
    "result": lambda m: Result(Path(m["output"]), tuple(str(name) for name in m.get("maps", ()))),
    "error": lambda m: Failure(str(m["message"]), int(m.get("exit_code", 1))),
}


def parse_event(line: str) -> Event | None:
    """Read one line of the child's stdout; ``None`` if it is not an event (a library's own output)."""
    try:
        message = json.loads(line)
        return _READERS[message["event"]](message)
    except (ValueError, KeyError, TypeError):
        return None


def python_executable() -> str:
    """Path of the interpreter for the child: Slicer's own inside Slicer, else the running one."""
    inside_slicer = hasattr(sys.modules.get("slicer"), "app")
    return (shutil.which("PythonSlicer") if inside_slicer else None) or sys.executable


def library_folders() -> list[str]:
    """Folders that hold the three Libs: one in an installed extension, three in a source tree.

    Raises
    ------
    MissingDependencyError
        If a Lib is not there.
    """
    folders: dict[str, None] = {}
    for name in _LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise MissingDependencyError(f"{name} was not found; install the whole ChiSeparation extension.")
        folders[str(Path(spec.origin).parents[1])] = None
    return list(folders)


def child_environment() -> dict[str, str]:
    """Environment of the child: the Libs on its path, UTF-8, no buffering, no screen, no user settings."""
    kept = {name: value for name, value in os.environ.items() if name not in _DROPPED_VARIABLES}
    inherited = [folder for folder in kept.get("PYTHONPATH", "").split(os.pathsep) if folder]
    return kept | {
        "PYTHONPATH": os.pathsep.join([*library_folders(), *inherited]),
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",  # a numpy.py in the current folder must not be imported
        "MPLBACKEND": "Agg",
    }


def say(event: str, **content: Any) -> None:
    """Write one line of a child that is not the command line, as :class:`ChildProcess` reads it."""
    sys.stdout.write(json.dumps({"event": event, **content}, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def cli_command(arguments: Sequence[str]) -> list[str]:
    """Give the command that runs the command line in a child with progress as JSON lines."""
    return [python_executable(), "-m", "ChiSeparationLib", *arguments, "--progress-json"]


class ChildProcess:
    """A command that runs in its own process group and reports JSON lines.

    Parameters
    ----------
    command : sequence of str
        Executable and arguments.

    Raises
    ------
    MissingDependencyError
        If the executable cannot be started.

    Notes
    -----
    Reader threads fill a queue; :meth:`poll` never blocks, so a timer of the application can call it.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._result: Result | None = None
        self._failure: Failure | None = None
        self._cancelled = False
        self._ended_at_s: float | None = None
        self._process = _start(command)
        self._readers = [self._read(self._process.stdout, self._take), self._read(self._process.stderr, self._keep)]
        atexit.register(self.cancel)

    def _read(self, stream: IO[bytes] | None, take: Callable[[str], None]) -> threading.Thread:
        def read_lines() -> None:
            assert stream is not None
            with stream:
                # Bounded reads: output without line ends must not fill the memory.
                while piece := stream.readline(_LINE_BYTES):
                    take(piece.decode("utf-8", errors="replace").rstrip())

        thread = threading.Thread(target=read_lines, daemon=True)
        thread.start()
        return thread

    def _take(self, line: str) -> None:
        event = parse_event(line)
        if event is None:
            self._keep(line)
            return
        if isinstance(event, Result):
            self._result = event
        elif isinstance(event, Failure):
            self._failure = event
        self._events.put(event)

    def _keep(self, line: str) -> None:
        if line:
            self._log.append(line)

    @property
    def pid(self) -> int:
        """Process number, which is also the number of its group."""
        return self._process.pid

    @property
    def log(self) -> str:
        """End of what the child wrote besides events."""
        return "\n".join(self._log)

    def poll(self) -> list[Event]:
        """Give the events since the last call, without waiting."""
        events = []
        with suppress(queue.Empty):
            while True:
                events.append(self._events.get_nowait())
        return events

    @property
    def finished(self) -> bool:
        """Whether the child has ended and all of its output is read."""
        if self._process.poll() is None:
            return False
        self._ended_at_s = self._ended_at_s or time.monotonic()
        # A grandchild may hold the pipe open for ever: its output is not waited for.
        waited_s = time.monotonic() - self._ended_at_s
        done = waited_s > _GRACE_S or not any(reader.is_alive() for reader in self._readers)
        if done:
            atexit.unregister(self.cancel)
        return done

    def cancel(self) -> None:
        """Stop the child and everything it started; returns within a second."""
        if self._process.poll() is None:
            self._cancelled = True
            _end_tree(self._process)

    def result(self) -> Result:
        """Say what a finished child made.

        Raises
        ------
        CancelledError
            If it was cancelled.
        ComputationError
            If it failed.
        """
        code = self._process.poll()
        if self._cancelled:
            raise CancelledError("The computation was cancelled.")
        if self._failure is not None:
            raise ComputationError(self._failure.message, self._failure.exit_code, self.log)
        if code is None or code != 0 or self._result is None:
            raise ComputationError(_unexplained(code), -1 if code is None else code, self.log)
        return self._result


def _unexplained(code: int | None) -> str:
    if code is None:
        return "The computation is still running."
    if code == 0:
        return "The computation ended without a result; the details hold its log."
    if code < 0:
        hint = " Often the memory was full." if -code == 9 else ""
        return f"The computation was ended by the system (signal {-code}).{hint}"
    return f"The computation stopped unexpectedly (exit code {code}); the details hold its log."


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    options: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    try:
        return subprocess.Popen(
            list(command), env=child_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, **options,
        )  # fmt: skip
    except OSError as error:
        raise MissingDependencyError(f"Python could not be started ({command[0]}): {error.strerror}.") from error


def _end_tree(process: subprocess.Popen[bytes]) -> None:
    """End a process and its descendants: politely, then not."""
    if sys.platform == "win32":
        subprocess.run(
            ["taskkill", "/T", "/F", "/PID", str(process.pid)],
            check=False, capture_output=True, creationflags=subprocess.CREATE_NO_WINDOW,
        )  # fmt: skip
    else:
        _signal_group(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
        _signal_group(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_S)


def _signal_group(group: int, number: int) -> None:
    # An empty group raises ProcessLookupError, or PermissionError on macOS.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
