"""Fixtures of the tests of the modules' GUI half."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from host.fixtures import fake, host, open_panel, scene

if TYPE_CHECKING:
    from host.running import Host

__all__ = ["fake", "host", "open_panel", "scene"]


@pytest.fixture
def record(host: Host) -> Any:
    """Give the host, for tests that need the application but no panel."""
    return host
