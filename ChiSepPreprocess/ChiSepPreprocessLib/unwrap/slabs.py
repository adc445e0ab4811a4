"""Compiled loops on all processors, one slab of the volume for each.

Plain threads around kernels that release the interpreter: safe in any number of callers at once,
which numba's own default threading is not.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

_MOST_THREADS = 8


def in_slabs(kernel: Callable[..., None], n_planes: int, *arguments: Any) -> None:
    """Call ``kernel(first, last, *arguments)`` for slabs that together are planes 0 to ``n_planes``."""
    n_slabs = max(min(os.cpu_count() or 1, _MOST_THREADS, n_planes), 1)
    bounds = [n_planes * n // n_slabs for n in range(n_slabs + 1)]
    with ThreadPoolExecutor(n_slabs) as pool:
        slabs = [pool.submit(kernel, *ends, *arguments) for ends in pairwise(bounds)]
    for slab in slabs:
        slab.result()
