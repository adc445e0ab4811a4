"""Compiled loops over volumes, in threads where that is worth it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ChiSepPreprocessLib.threads import in_slabs

#: Starting threads takes as long as working on so many numbers.
_FEWEST = 100_000


def in_parts(kernel: Callable[..., object], count: int, size: int, *arguments: Any) -> None:
    """Call ``kernel(first, last, *arguments)`` over 0 to ``count``, in slabs on all cores if ``size`` numbers are many.

    Parameters
    ----------
    kernel, count, *arguments
        As of :func:`~ChiSepPreprocessLib.threads.in_slabs`.
    size : int
        Numbers that the whole loop works on.
    """
    if size < _FEWEST:
        kernel(0, count, *arguments)
    else:
        in_slabs(kernel, count, *arguments)
