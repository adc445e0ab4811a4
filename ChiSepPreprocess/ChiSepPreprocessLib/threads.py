"""Loops in threads, one slab of the work for each call.

Plain threads around kernels that release the interpreter: safe in any number of callers at once,
which numba's own default threading is not.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import pairwise
from typing import Any

from .progress import Reporter

#: Beyond, memory is the limit, and starting threads costs more than they give.
_MOST_THREADS = 16


def thread_count() -> int:
    """One thread for each core that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST_THREADS)


def in_slabs(
    kernel: Callable[..., object], count: int, *arguments: Any, thickness: int | None = None,
    report: Reporter | None = None, step: str = "",
) -> None:  # fmt: skip
    """Call ``kernel(first, last, *arguments)`` for slabs that together are 0 to ``count``, on all cores.

    Parameters
    ----------
    kernel : callable
        Works on the planes, rows or voxels from ``first`` up to ``last``, writes nowhere else, and releases the
        interpreter.
    count : int
        Planes, rows or voxels.
    *arguments
        For every call.
    thickness : int, optional
        Of a slab at most; by default there are as many slabs as threads.
    report : Reporter, optional
        Hears of every slab that is done; between slabs the loop can be cancelled.
    step : str
        Name of the step, for the report.

    Raises
    ------
    CancelledError
        If the caller asked to stop.
    Exception
        The first that a call raised; slabs that had not begun are left out.
    """
    threads, report = thread_count(), report or Reporter()
    slabs = max(threads if thickness is None else -(-count // thickness), 1)
    bounds = [count * n // slabs for n in range(slabs + 1)]
    with ThreadPoolExecutor(min(threads, slabs)) as pool:
        calls = [pool.submit(kernel, first, last, *arguments) for first, last in pairwise(bounds) if first < last]
        try:
            for done, call in enumerate(as_completed(calls), start=1):
                call.result()
                report(step, done / len(calls))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
