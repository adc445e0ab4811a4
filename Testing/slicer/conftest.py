"""Fixtures of the tests of the modules' GUI half."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from ChiSepPreprocessLib.scene.session import close_session, open_session
from host.stand_ins import REPOSITORY, Record, slicer_with_stand_ins


@pytest.fixture
def scene() -> Iterator[Any]:
    """Give a fresh scene of slicer-core, with its logics."""
    session = open_session()
    yield session.scene
    close_session(session.scene)


@pytest.fixture
def record(scene: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Record]:
    """Give ``slicer`` with stand-ins for the application; what they were asked is recorded."""
    for module in ("ChiSepPreprocess", "ChiSepReconstruct", "ChiSeparation"):
        monkeypatch.syspath_prepend(REPOSITORY / module)
    with slicer_with_stand_ins(scene) as record:
        yield record


@pytest.fixture
def fake() -> Callable[[str], Callable[[Sequence[str]], list[str]]]:
    """Make a command that runs the fake child in a mode instead of the command line."""
    script = str(REPOSITORY / "Testing" / "host" / "fake_chisep.py")
    return lambda mode: lambda arguments: [sys.executable, script, mode, *arguments]
