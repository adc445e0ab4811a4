"""The script that runs the modules' tests in a real Slicer, with a stand-in for Slicer's executable."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import slicer.util

from architecture.list_scripts import MODULES, REPOSITORY
from in_slicer import run, run_all


class Slicer:
    """Takes the place of the process: writes a result, or none."""

    def __init__(self, result: dict[str, Any] | None, code: int = 0) -> None:
        self.command: list[str] = []
        self._result, self._code = result, code

    def __call__(self, command: list[str], *, env: dict[str, str], **_: Any) -> Any:
        self.command = command
        if self._result is not None:
            Path(env["CHISEP_TEST_RESULT"]).write_text(json.dumps(self._result), encoding="utf-8")
        return SimpleNamespace(returncode=self._code)


@pytest.fixture
def executable(tmp_path: Path) -> Path:
    path = tmp_path / "Slicer"
    path.touch()
    return path


def test_modules_of_the_source_are_tested(monkeypatch: pytest.MonkeyPatch, executable: Path) -> None:
    slicer = Slicer({"tests": 15, "problems": []})
    monkeypatch.setattr(subprocess, "run", slicer)
    assert run.main([str(executable)]) == 0
    at = slicer.command.index("--additional-module-paths")
    assert slicer.command[at + 1 : at + 4] == [str(REPOSITORY / name) for name in MODULES]
    assert slicer.command[at + 4] == "--python-script"
    assert Path(slicer.command[at + 5]).is_file()
    assert {str(executable), "--testing"} <= set(slicer.command[:at])


def test_installed_modules_are_tested(monkeypatch: pytest.MonkeyPatch, executable: Path, tmp_path: Path) -> None:
    slicer = Slicer({"tests": 15, "problems": []})
    monkeypatch.setattr(subprocess, "run", slicer)
    monkeypatch.setenv("SLICER_EXECUTABLE", str(executable))
    assert run.main(["--modules", str(tmp_path)]) == 0
    at = slicer.command.index("--additional-module-paths")
    assert slicer.command[at + 1 : at + 3] == [str(tmp_path), "--python-script"]


@pytest.mark.parametrize(
    ("slicer", "said"),
    [
        (Slicer({"tests": 15, "problems": ["a failed"]}, 1), "a failed"),
        (Slicer({"tests": 15, "problems": ["b: Slicer's Python lacks numba"]}), "lacks numba"),
        (Slicer({"tests": 0, "problems": []}), "no test"),
        (Slicer({"tests": 15, "problems": []}, 139), "exit code 139"),
        (Slicer(None, 1), "before all tests had run"),
    ],
)
def test_what_went_wrong_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], executable: Path, slicer: Slicer, said: str
) -> None:
    monkeypatch.setattr(subprocess, "run", slicer)
    assert run.main([str(executable)]) == 1
    assert said in capsys.readouterr().out


def test_endless_slicer_is_said(monkeypatch: pytest.MonkeyPatch, executable: Path) -> None:
    def hang(*_: Any, **__: Any) -> None:
        raise subprocess.TimeoutExpired("Slicer", 1)

    monkeypatch.setattr(subprocess, "run", hang)
    assert "minutes" in run.run(executable, [])[0]


def test_missing_slicer_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SLICER_EXECUTABLE", raising=False)
    with pytest.raises(SystemExit, match="SLICER_EXECUTABLE"):
        run.main([])
    with pytest.raises(SystemExit, match="is no file"):
        run.main([str(tmp_path / "Slicer")])


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("pass", []),
        ("self.fail()", ["OneTest.OneTest.test_it failed"]),
        ("raise ValueError", ["OneTest.OneTest.test_it failed"]),
        ("self.skipTest('lacks numba')", ["OneTest.OneTest.test_it: lacks numba"]),
    ],
)
def test_result_names_what_failed_and_what_could_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, problem: list[str]
) -> None:
    folder = tmp_path / "One" / "Testing" / "Python"
    folder.mkdir(parents=True)
    code = f"import unittest\nclass OneTest(unittest.TestCase):\n    def test_it(self):\n        {body}\n"
    (folder / "OneTest.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(run_all, "REPOSITORY", tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "OneTest", None)
    del sys.modules["OneTest"]
    assert run_all.run(["One"]) == {"tests": 1, "problems": problem}


@pytest.mark.parametrize("problems", [[], ["a failed"]])
def test_slicer_is_left_with_the_result_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, problems: list[str]
) -> None:
    left: list[int] = []
    monkeypatch.setattr(slicer.util, "exit", left.append, raising=False)
    monkeypatch.setattr(run_all, "run", lambda modules: {"tests": len(modules), "problems": problems})
    monkeypatch.setenv("CHISEP_TEST_RESULT", str(tmp_path / "result.json"))
    run_all.main()
    assert left == [len(problems)]
    written = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert written == {"tests": len(MODULES), "problems": problems}


def test_slicer_is_left_when_the_tests_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    monkeypatch.setattr(slicer.util, "exit", left.append, raising=False)
    monkeypatch.setattr(run_all, "run", lambda modules: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_all.main()
    assert left == [1]


def test_both_scripts_know_all_modules() -> None:
    assert run.MODULES == run_all.MODULES == MODULES
