"""The ordinary tests of the panels notice planted GUI bugs, and pass without them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from host.seeded_bugs import BUGS, Bug

#: A bug that goes unnoticed is a gap in the ordinary tests; at most one may.
UNNOTICED_LIMIT = 1


@pytest.fixture(scope="module")
def ordinary() -> Any:
    """Give the ordinary tests of the panels."""
    spec = importlib.util.spec_from_file_location("ordinary_tests", Path(__file__).with_name("test_module_widgets.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_planted_bugs_are_noticed(ordinary: Any) -> None:
    from host.seeded_bugs import what_is_noticed

    assert len(BUGS) == 13
    unnoticed = [bug.name for bug in BUGS if not what_is_noticed(ordinary, bug.test, bug)]
    assert len(unnoticed) <= UNNOTICED_LIMIT, unnoticed


@pytest.mark.parametrize("name", sorted({bug.test for bug in BUGS}))
def test_ordinary_tests_pass_without_a_bug(ordinary: Any, name: str) -> None:
    from host.seeded_bugs import what_is_noticed

    assert what_is_noticed(ordinary, name, None) == ""


def test_bug_without_a_place_is_reported() -> None:
    from host.seeded_bugs import planted

    with pytest.raises(ValueError, match="adapt the bug"):
        planted("other text", Bug("gone", "file.py", "right", "wrong", "test"))
