"""The tests that run inside Slicer: here they run on slicer-core, with the true command line and the test host."""

from __future__ import annotations

import importlib
import sys
import unittest
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import slicer.util

from architecture.list_scripts import MODULES, REPOSITORY
from in_slicer import module_test

if TYPE_CHECKING:
    from host.running import Host


@pytest.fixture
def module_manager(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the functions of ``slicer.util`` open and reload panels in the test host."""
    opened: dict[str, Any] = {}

    def select(name: str) -> None:
        opened[name] = opened.get(name) or host.open(name)

    def reload(name: str) -> None:
        opened[name] = host.reload(name)

    monkeypatch.setattr(slicer.util, "selectModule", select)
    monkeypatch.setattr(slicer.util, "getModuleWidget", opened.__getitem__)
    monkeypatch.setattr(slicer.util, "reloadScriptedModule", reload)


@pytest.fixture(params=MODULES)
def case_class(module_manager: None, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Give a module's test class, imported as Slicer's test runner does."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(REPOSITORY / request.param / "Testing" / "Python")])
    name = f"{request.param}Test"
    yield getattr(importlib.import_module(name), name)
    del sys.modules[name]


def problems_of(*tests: Any) -> list[Any]:
    result = unittest.TestResult()
    unittest.TestSuite(tests).run(result)
    assert result.testsRun == len(tests)
    return [*result.errors, *result.failures, *result.skipped]


def test_every_test_of_a_module_passes(case_class: Any) -> None:
    names = unittest.TestLoader().getTestCaseNames(case_class)
    assert len(names) == 5
    assert problems_of(*map(case_class, names)) == []


def test_slicers_test_runner_finds_the_module_and_nothing_else(case_class: Any) -> None:
    suite: Any = unittest.TestLoader().loadTestsFromName(case_class.__name__)
    assert {type(test).__name__ for group in suite for test in group} == {case_class.__name__}


def test_wrong_maps_are_noticed(case_class: Any) -> None:
    ones = np.ones(module_test.GRID.shape, np.float32)
    names = ("r2star", "local_field", "field_mask", "chi_para", "chi_dia", "chi_total")
    with pytest.raises(AssertionError):
        case_class().check(dict.fromkeys(names, ones))


@pytest.mark.parametrize(
    ("method", "test"),
    [
        ("onSceneStartClose", "test_closing_the_scene_ends_the_computation"),
        ("onCancel", "test_cancel_ends_the_computation"),
        ("cleanup", "test_panel_opens_and_reloads"),
    ],
)
def test_a_panel_that_forgets_is_noticed(
    host: Host, case_class: Any, monkeypatch: pytest.MonkeyPatch, method: str, test: str
) -> None:
    widgets = importlib.import_module("ChiSepPreprocessLib.gui.computation_widget")
    with monkeypatch.context() as fault:
        fault.setattr(widgets.ComputationWidget, method, lambda *_: None)
        fault.setattr(module_test, "PATIENCE_S", 0.3)
        assert len(problems_of(case_class(test))) == 1
    host.problems.clear()  # the planted fault's own
