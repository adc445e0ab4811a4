"""Fixtures of tests that open panels; a missing Qt fails them, it does not skip them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .running import Host

Command = Callable[[Sequence[str]], Sequence[str]]
Fake = Callable[[str], Callable[[Sequence[str]], list[str]]]
Open = Callable[..., Any]

MISSING_QT = "Tests of panels need Qt. Install it with: pip install 'PySide6_Essentials>=6.8'."


@pytest.fixture
def scene() -> Iterator[Any]:
    """Give a fresh scene of slicer-core, with its logics."""
    from ChiSepPreprocessLib.scene.session import close_session, open_session

    session = open_session()
    yield session.scene
    close_session(session.scene)


@pytest.fixture
def host(scene: Any) -> Iterator[Host]:
    """Give the application around the scene; the test fails at its end if there were problems."""
    if find_spec("PySide6") is None:
        pytest.fail(MISSING_QT, pytrace=False)
    from .running import running_host

    with running_host(scene) as running:
        yield running
    found = [*running.problems, *(f"answer that nothing asked for: {one!r}" for one in running.answers)]
    running.problems.clear()
    if found:
        pytest.fail("\n".join(found), pytrace=False)


@pytest.fixture
def open_panel(host: Host) -> Open:
    """Open a module's panel; what still runs at the end is stopped."""

    def open_one(module: str, command: Command | None = None, *, logic: Any = None, **options: Any) -> Any:
        if logic is None and command is not None:
            logic = getattr(importlib.import_module(module), f"{module}Logic")(command, **options)
        return host.open(module, logic)

    return open_one


@pytest.fixture
def fake() -> Fake:
    """Make a command that runs the fake child in a mode instead of the command line."""
    script = str(Path(__file__).with_name("fake_chisep.py"))
    return lambda mode: lambda arguments: [sys.executable, script, mode, *arguments]
