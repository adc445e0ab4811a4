"""The user: what dialogs ask is answered from a list, what they say is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer.util

from . import problems
from .pythonqt import qt

_SHOWN = {"errorDisplay": "error", "warningDisplay": "warning", "infoDisplay": "info", "showStatusMessage": "status"}
_ASKED = ("confirmOkCancelDisplay", "confirmYesNoDisplay", "confirmRetryCloseDisplay")
_PATHS = {
    "getExistingDirectory": "", "getOpenFileName": "", "getSaveFileName": "", "getOpenFileNames": (),
}  # fmt: skip
_TEXTS = {"getText": "", "getItem": "", "getInt": 0, "getDouble": 0.0, "getMultiLineText": ""}


class Answers:
    """Stands for the user while a host runs."""

    _before: dict[str, Any] = {}  # noqa: RUF012 - of the process

    def __init__(self) -> None:
        self.messages: list[tuple[str, str, str]] = []
        self.answers: list[Any] = []

    def take_over(self) -> None:
        """Show and ask here from now on."""
        for name in (*_SHOWN, *_ASKED):
            Answers._before.setdefault(name, getattr(slicer.util, name))
        for name, kind in _SHOWN.items():
            setattr(slicer.util, name, self._shower(kind))
        for name in _ASKED:
            setattr(slicer.util, name, self._asker("question", False))
        for name, nothing in _PATHS.items():
            setattr(qt.QFileDialog, name, staticmethod(self._asker("file dialog", nothing)))
        for name, value in _TEXTS.items():
            setattr(qt.QInputDialog, name, staticmethod(self._asker("input dialog", value)))

    @staticmethod
    def give_back() -> None:
        """Let ``slicer.util`` show its own dialogs again."""
        for name, function in Answers._before.items():
            setattr(slicer.util, name, function)
        Answers._before.clear()

    def _shower(self, kind: str) -> Callable[..., None]:
        def show(text: str, *_: Any, detailedText: str = "", **__: Any) -> None:  # noqa: N803
            self.messages.append((kind, text, detailedText))

        return show

    def _asker(self, kind: str, nothing: Any) -> Callable[..., Any]:
        def ask(*arguments: Any, **_: Any) -> Any:
            texts = [one for one in arguments if isinstance(one, str)]
            text = texts[0] if texts else ""
            self.messages.append((kind, text, ""))
            if not self.answers:
                problems.CURRENT.add(f"{kind} '{text}' that the test did not answer")
                return nothing
            answer = self.answers.pop(0)
            return tuple(answer) if isinstance(answer, list) else answer

        return ask
