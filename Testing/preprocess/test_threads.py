"""Loops in threads: slabs, progress, cancelling and errors."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest

from ChiSepPreprocessLib import threads
from ChiSepPreprocessLib.errors import CancelledError
from ChiSepPreprocessLib.progress import Reporter, Status
from ChiSepPreprocessLib.threads import in_slabs, thread_count


@pytest.mark.parametrize(("count", "thickness"), [(0, None), (1, None), (17, None), (17, 1), (17, 5), (17, 40)])
def test_slabs_cover_everything_once_and_are_no_thicker_than_asked(count: int, thickness: int | None) -> None:
    seen, sizes = np.zeros(count, dtype=int), []

    def kernel(first: int, last: int, amount: int) -> None:
        seen[first:last] += amount
        sizes.append(last - first)

    in_slabs(kernel, count, 3, thickness=thickness)
    assert np.all(seen == 3)
    assert len(sizes) == (min(count, thread_count()) if thickness is None else -(-count // thickness))
    assert max(sizes, default=0) <= (thickness or count)
    assert min(sizes, default=1) >= 1


def test_slabs_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "thread_count", lambda: 3)
    meeting = threading.Barrier(3, timeout=10)
    in_slabs(lambda first, last: meeting.wait(), 3)


def test_progress_is_the_share_of_slabs_that_are_done() -> None:
    heard: list[Status] = []
    in_slabs(lambda first, last: None, 4, thickness=1, report=Reporter(heard.append, 0.2, 1.0), step="fit")
    assert [status.fraction for status in heard] == pytest.approx([0.4, 0.6, 0.8, 1.0])
    assert {status.step for status in heard} == {"fit"}


def test_a_wish_to_stop_leaves_out_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "thread_count", lambda: 1)
    begun, refused = [], threading.Event()

    def kernel(first: int, last: int) -> None:
        begun.append(first)
        assert first == 0 or refused.wait(10)

    def stop(status: Status) -> bool:
        refused.set()
        return False

    with pytest.raises(CancelledError, match="fit"):
        in_slabs(kernel, 100, thickness=1, report=Reporter(stop), step="fit")
    assert len(begun) <= 3


def test_an_error_is_raised_and_the_rest_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "thread_count", lambda: 2)
    begun = []

    def kernel(first: int, last: int) -> None:
        begun.append(first)
        if first == 3:
            raise ValueError("slab 3")
        time.sleep(0.01)

    with pytest.raises(ValueError, match="slab 3"):
        in_slabs(kernel, 1000, thickness=1)
    assert len(begun) < 500


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not bind processes to cores")
def test_threads_are_as_many_as_the_cores_that_the_process_may_use() -> None:
    cores = os.sched_getaffinity(0)
    assert thread_count() == min(len(cores), 16)
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert thread_count() == 1
    finally:
        os.sched_setaffinity(0, cores)
