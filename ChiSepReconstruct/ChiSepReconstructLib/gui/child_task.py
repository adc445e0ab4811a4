"""One side task at a time in a child process, looked at by a timer, so that the window never waits."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from ChiSepPreprocessLib.errors import CancelledError, ChiSepError
from ChiSepPreprocessLib.gui.worker import Caution, ChildProcess
from ChiSepPreprocessLib.progress import Status

_POLL_MS = 100


class ChildTask:
    """Runs side tasks, one after the other.

    Parameters
    ----------
    start : callable
        Starts a task by name and arguments, as the logic's ``start_task``.
    tell : callable
        Receives what to show: a sentence, and the share that is done, from 0 to 1.
    """

    def __init__(self, start: Callable[..., ChildProcess], tell: Callable[[str, float], None]) -> None:
        self._start, self._tell = start, tell
        self._child: ChildProcess | None = None
        self._done: Callable[[Any], None] | None = None
        self._answer = ""
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MS)
        self._timer.connect("timeout()", self._look)

    @property
    def running(self) -> bool:
        """Whether a task runs."""
        return self._child is not None

    def run(self, task: str, done: Callable[[Any], None], /, **content: Any) -> None:
        """Start a task; ``done`` receives its answer, errors are told."""
        if self._child is not None:
            return
        try:
            self._child = self._start(task, **content)
        except ChiSepError as error:
            self._tell(str(error), 0.0)
            return
        self._done, self._answer = done, ""
        self._tell(_("Starting…"), 0.0)
        self._timer.start()

    def cancel(self) -> None:
        """Stop the task; the timer then clears up."""
        if self._child is not None:
            self._child.cancel()

    def close(self) -> None:
        """Stop the task and forget it."""
        self.cancel()
        self._timer.stop()
        self._child = self._done = None

    def _look(self) -> None:
        child = self._child
        if child is None:
            return
        finished = child.finished  # before poll, so that no last event is missed
        for event in child.poll():
            if isinstance(event, Caution):
                self._answer = event.message
            elif isinstance(event, Status):
                self._tell(f"{event.step}: {event.detail}" if event.detail else event.step, event.fraction)
        if finished:
            self._finish(child)

    def _finish(self, child: ChildProcess) -> None:
        done = self._done
        self.close()
        try:
            child.result()
            answer = json.loads(self._answer)
        except CancelledError:
            self._tell(_("Cancelled."), 0.0)
        except (ChiSepError, ValueError) as error:
            self._tell(str(error), 0.0)
        else:
            self._tell("", 0.0)
            assert done is not None
            done(answer)
