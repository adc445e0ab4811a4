"""How long a computation still takes, from how far it has come; needs no Qt."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

#: Too early or too little to tell: elapsed time in s, share of the whole.
_FEWEST_SECONDS, _SMALLEST_SHARE = 2.0, 0.02
#: Time in which the estimate follows a change of pace, s.
_FOLLOWS_IN_S = 5.0
#: Estimates up to this are told in seconds, s.
_IN_SECONDS = 50.0


class TimeLeft:
    """Estimate of the remaining time that follows changes of pace without jumping.

    The pace is that of the second half of the time so far, so that a resumed run, which skips what is there already,
    does not promise too much. While a step reports nothing, the pace falls, and the estimate grows.

    Parameters
    ----------
    clock : callable, optional
        Gives s.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._start_s = clock, clock()
        self._reports: deque[tuple[float, float]] = deque([(0.0, 0.0)])
        self._end_s: float | None = None
        self._looked_s = 0.0

    def report(self, fraction: float) -> None:
        """Take note of the share that is done, 0 to 1; one that goes back counts as no progress."""
        self._reports.append((self._elapsed_s(), max(fraction, self._reports[-1][1])))

    def seconds(self) -> float | None:
        """Remaining time, s; ``None`` while it cannot be told."""
        now_s, done = self._elapsed_s(), self._reports[-1][1]
        pace = self._pace_per_s(now_s)
        if now_s < _FEWEST_SECONDS or done < _SMALLEST_SHARE or pace <= 0:
            return None
        end_s = now_s + (1 - done) / pace
        if self._end_s is not None:
            share = 1 - math.exp(-(now_s - self._looked_s) / _FOLLOWS_IN_S)
            end_s = self._end_s + share * (end_s - self._end_s)
        self._end_s, self._looked_s = end_s, now_s
        return max(end_s - now_s, 0.0)

    def _elapsed_s(self) -> float:
        return self._clock() - self._start_s

    def _pace_per_s(self, now_s: float) -> float:
        """Share that is done in a second, over the second half of the time so far."""
        half_s = now_s / 2
        while len(self._reports) > 1 and self._reports[1][0] <= half_s:
            self._reports.popleft()  # what lies further back will never be asked for
        return (self._reports[-1][1] - self._reports[0][1]) / (now_s - half_s) if now_s > 0 else 0.0


def rounded_s(seconds: float) -> int:
    """Round a time up to what can be foretold: to 10 s, then to minutes, s."""
    step = 10 if seconds <= _IN_SECONDS else 60
    return max(step, step * math.ceil(seconds / step))
