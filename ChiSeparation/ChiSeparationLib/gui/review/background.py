"""One piece of work in a thread, looked at by a timer, so that the window never waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import qt

_POLL_MS = 100


class BackgroundTask:
    """Runs work that touches neither scene nor window.

    Parameters
    ----------
    ended : callable
        Receives the exception that ended the work, ``None`` if it ended well.
    """

    def __init__(self, ended: Callable[[Exception | None], None]) -> None:
        self._ended = ended
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._poll = qt.QTimer()
        self._poll.setInterval(_POLL_MS)
        self._poll.connect("timeout()", self._look)

    @property
    def running(self) -> bool:
        """Whether something is worked on."""
        return self._thread is not None

    def run(self, work: Callable[[], Any]) -> None:
        """Begin; does nothing while other work goes on."""
        if self._thread is not None:
            return

        def run() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - told where it can be shown
                self._error = error

        self._error = None
        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        self._poll.start()

    def _look(self) -> None:
        if self._thread is not None and not self._thread.is_alive():
            self.close()
            self._ended(self._error)

    def close(self) -> None:
        """Look no more; work that has begun ends by itself."""
        self._poll.stop()
        self._thread = None
