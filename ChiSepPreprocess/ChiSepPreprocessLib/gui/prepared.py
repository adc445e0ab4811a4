"""A computation whose input is prepared first, by a thread, so that the window stays free. Needs no Qt."""

from __future__ import annotations

import queue
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import CancelledError
from ..progress import Reporter, Status
from .computation import Job
from .worker import Caution, Event

#: Share of the whole that preparing takes.
_SHARE = 0.1


class PreparedJob(Job):
    """A job that starts once its input is there.

    Parameters
    ----------
    prepare : callable
        Writes the input into a folder and gives cautions for the user. It runs in a thread of its own, so it must not
        touch the scene or the window.
    launch : callable
        Starts the job on that folder; called from :meth:`poll`.
    """

    def __init__(self, prepare: Callable[[Path, Reporter], tuple[str, ...]], launch: Callable[[Path], Job]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="chisep-input-"))
        self._launch, self._job, self._error = launch, None, None
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._prepare, args=(prepare,), daemon=True)
        self._thread.start()

    _job: Job | None
    _error: Exception | None

    def _prepare(self, prepare: Callable[[Path, Reporter], tuple[str, ...]]) -> None:
        def take(status: Status) -> bool:
            self._events.put(status)
            return not self._cancelled.is_set()

        try:
            for text in prepare(self._folder, Reporter(take, 0.0, _SHARE)):
                self._events.put(Caution(text))
        except Exception as error:  # noqa: BLE001 - raised again by nodes(), where the caller awaits it
            self._error = error

    @property
    def output(self) -> Path:
        """Folder of the result."""
        return self._begun().output

    def poll(self) -> list[Event]:
        """Give the events since the last call; start the computation once the input is there."""
        events: list[Event] = []
        prepared = not self._thread.is_alive()
        with suppress(queue.Empty):
            while True:
                events.append(self._events.get_nowait())
        if prepared and self._job is None and self._error is None and not self._cancelled.is_set():
            try:
                self._job = self._launch(self._folder)
            except Exception as error:  # noqa: BLE001 - as above
                self._error = error
        later = [] if self._job is None else self._job.poll()
        return events + [_shifted(one) for one in later]

    @property
    def finished(self) -> bool:
        """Whether there is nothing more to wait for."""
        if self._job is not None:
            return self._job.finished
        return not self._thread.is_alive() and (self._error is not None or self._cancelled.is_set())

    def cancel(self) -> None:
        """Stop; the thread ends with the file that it is writing."""
        self._cancelled.set()
        if self._job is not None:
            self._job.cancel()

    def nodes(self) -> dict[str, Any]:
        """Load the result of a finished job; errors as of :meth:`Job.nodes`, and those of the preparation."""
        return self._begun().nodes()

    def close(self) -> None:
        """Stop what still runs and remove temporary files."""
        self.cancel()
        self._thread.join()
        if self._job is not None:
            self._job.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _begun(self) -> Job:
        if self._error is not None:
            raise self._error
        if self._job is None:
            raise CancelledError("The computation was cancelled.")
        return self._job


def _shifted(event: Event) -> Event:
    if isinstance(event, Status):
        return Status(event.step, _SHARE + (1 - _SHARE) * event.fraction, event.detail)
    return event
