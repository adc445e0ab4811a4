"""Earlier names of the host, which a few tests still use. Importing it loads neither Slicer's library nor Qt."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
Record = Any


def slicer_with_stand_ins(scene: Any) -> AbstractContextManager[Any]:
    """Run the host around a scene, by default a fresh one."""
    from .running import running_host

    return running_host(scene)
