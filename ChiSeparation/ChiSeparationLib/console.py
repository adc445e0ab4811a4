"""What the command line shows: a progress bar for people, JSON lines for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ChiSepPreprocessLib.progress import Status
from ChiSepReconstructLib.networks.devices import TIME_STEP

from .study import Study

#: Width of tables where no terminal tells its own.
_WIDTH = 140


class Console:
    """Progress and results on standard output and standard error.

    Parameters
    ----------
    json_lines : bool
        JSON lines on standard output instead of a bar on standard error; a bar is drawn on a terminal alone.
    """

    #: The process was asked to end; a library's callback may have swallowed the exception that said so.
    stopping = False

    def __init__(self, json_lines: bool = False) -> None:
        self.json_lines = json_lines
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if not self.json_lines and sys.stderr.isatty():
            from rich.console import Console as RichConsole
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                TextColumn("{task.description:<14}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
                TimeElapsedColumn(), console=RichConsole(stderr=True), transient=True,
            )  # fmt: skip
            self._bar.start()
            self._task = self._bar.add_task("start", total=1.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def progress(self, status: Status) -> bool:
        """Show where the job stands, and in a line of its own how long networks will take.

        ``False`` once the process was asked to end.
        """
        if status.step == TIME_STEP and not self.json_lines:
            self._say(f"{TIME_STEP}: {status.detail}")
        if self.json_lines:
            self._line("progress", step=status.step, fraction=round(status.fraction, 4), detail=status.detail)
        elif self._bar is not None:
            self._bar.update(self._task, completed=status.fraction, description=status.step)
        return not self.stopping

    def warning(self, message: str) -> None:
        """Say something that the user must confirm or know."""
        if self.json_lines:
            self._line("warning", message=message)
        else:
            self._say(f"warning: {message}")

    def _say(self, text: str) -> None:
        """A line on standard error, above the bar if there is one."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            sys.stderr.write(f"{text}\n")

    def result(self, study: Study) -> None:
        """Say where the results are."""
        for text in study.warnings:
            self.warning(text)
        names = list(dict.fromkeys(name for maps in (study.maps, *study.results.values()) for name in maps))
        self.folder(study.folder, names)

    def folder(self, folder: Path, names: Iterable[str]) -> None:
        """Say where results are that are no study, and what they are called."""
        if self.json_lines:
            self._line("result", output=str(folder), maps=list(names))
        else:
            sys.stdout.write(f"{folder}: {', '.join(names)}\n")

    def _line(self, event: str, **content: Any) -> None:
        sys.stdout.write(json.dumps({"event": event, **content}, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    @staticmethod
    def show(content: Mapping[str, Any], parts: Callable[[], Iterable[Any]], *, as_json: bool) -> None:
        """Print a result as one line of JSON, or its parts for people."""
        if as_json:
            sys.stdout.write(json.dumps(content, ensure_ascii=False) + "\n")
            return
        from rich.console import Console as RichConsole

        console = RichConsole(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
        for part in parts():
            console.print(part, markup=False, soft_wrap=isinstance(part, str))
