"""Progress and cancellation, the same for the GUI, the console and the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .errors import CancelledError


@dataclass(frozen=True)
class Status:
    """Where a long job stands.

    Parameters
    ----------
    step : str
        Name of the step, such as ``"unwrap"``.
    fraction : float
        Share of the whole job that is done, 0 to 1.
    detail : str, optional
        One short phrase for people.
    """

    step: str
    fraction: float
    detail: str = ""


#: Receives the status; returning ``False`` asks the job to stop.
Progress = Callable[[Status], "bool | None"]


@dataclass(frozen=True)
class Reporter:
    """Reports progress inside a span of the whole job and honours cancellation.

    Parameters
    ----------
    callback : callable or None
        Receives each :class:`Status`; ``None`` reports nothing.
    start, stop : float
        Share of the whole job in which this reporter's 0 and 1 lie.
    """

    callback: Progress | None = None
    start: float = 0.0
    stop: float = 1.0

    def __call__(self, step: str, fraction: float, detail: str = "") -> None:
        """Report ``fraction`` of this span.

        Raises
        ------
        CancelledError
            If the callback returned ``False``.
        """
        if self.callback is None:
            return
        whole = self.start + (self.stop - self.start) * min(max(fraction, 0.0), 1.0)
        if self.callback(Status(step, whole, detail)) is False:
            raise CancelledError(f"Cancelled during the step '{step}'.")

    def span(self, start: float, stop: float) -> Reporter:
        """Reporter for a part of this one's span, given as fractions of it."""
        width = self.stop - self.start
        return Reporter(self.callback, self.start + width * start, self.start + width * stop)

    def forward(self, status: Status) -> None:
        """Take the status of a job that fills this span, as a :data:`Progress` callback."""
        self(status.step, status.fraction, status.detail)
