"""What goes wrong without an exception that a test would see: collected here, and the test fails at its end."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

#: Messages of Qt's off-screen platform that say nothing about a module.
_HARMLESS = ("This plugin does not support", "QFontDatabase", "propagateSizeHints")


@dataclass
class Problems:
    """Sentences about what went wrong."""

    found: list[str] = field(default_factory=list)

    def add(self, sentence: str) -> None:
        """Note one."""
        self.found.append(sentence)

    def add_exception(self, where: str, error: BaseException) -> None:
        """Note an exception that Qt or VTK would only print."""
        trace = "".join(traceback.format_exception(error))
        self.add(f"exception in {where}: {type(error).__name__}: {error}\n{trace}")

    def expect(self, part: str) -> str:
        """Take out the one problem that contains ``part``; it is an ``AssertionError`` if there is not just one."""
        matching = [one for one in self.found if part in one]
        assert len(matching) == 1, f"{len(matching)} problems contain {part!r}: {self.found}"
        self.found.remove(matching[0])
        return matching[0]


#: Of the host that runs; connections made by an earlier one report here too.
CURRENT = Problems()


def reset() -> None:
    """Forget what an earlier host found."""
    CURRENT.found.clear()


def guarded(where: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function whose exceptions are noted, for callers that cannot take any."""

    def run(*arguments: Any) -> Any:
        try:
            return call(*arguments)
        except Exception as error:  # noqa: BLE001 - noted, and fails the test
            CURRENT.add_exception(where, error)
            return None

    return run


@contextmanager
def collected() -> Iterator[Problems]:
    """Collect VTK's errors, Qt's warnings and exceptions that nobody caught, as long as the block lasts."""
    reset()
    with _vtk_errors(), _qt_warnings(), _uncaught_exceptions():
        yield CURRENT


@contextmanager
def _vtk_errors() -> Iterator[None]:
    from vtkmodules.vtkCommonCore import VTK_STRING, vtkOutputWindow

    def note(window: Any, event: str, message: str) -> None:
        CURRENT.add(f"VTK: {message.strip()}")

    note.CallDataType = VTK_STRING  # type: ignore[attr-defined]
    window: Any = vtkOutputWindow.GetInstance()
    tag = window.AddObserver("ErrorEvent", note)
    try:
        yield
    finally:
        window.RemoveObserver(tag)


@contextmanager
def _qt_warnings() -> Iterator[None]:
    from PySide6.QtCore import QtMsgType, qInstallMessageHandler

    def note(kind: QtMsgType, context: Any, message: str) -> None:
        serious = kind not in (QtMsgType.QtDebugMsg, QtMsgType.QtInfoMsg)
        if serious and not any(part in message for part in _HARMLESS):
            CURRENT.add(f"Qt: {message}")

    before = qInstallMessageHandler(note)
    try:
        yield
    finally:
        qInstallMessageHandler(before)


@contextmanager
def _uncaught_exceptions() -> Iterator[None]:
    def note(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        CURRENT.add_exception("a callback", error)

    before, sys.excepthook = sys.excepthook, note
    try:
        yield
    finally:
        sys.excepthook = before
