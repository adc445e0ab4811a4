"""The child process: events, failures, and that cancelling leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ChiSepPreprocessLib.errors import CancelledError, MissingDependencyError
from ChiSepPreprocessLib.gui.worker import (
    Caution,
    ChildProcess,
    ComputationError,
    Event,
    Failure,
    Result,
    child_environment,
    cli_command,
    parse_event,
)
from ChiSepPreprocessLib.progress import Status
from host.processes import is_running, wait_until_ended

Fake = Callable[[str], Callable[[Sequence[str]], list[str]]]


def start(fake: Fake, mode: str, output: Path) -> ChildProcess:
    return ChildProcess(fake(mode)(["run", "-o", str(output)]))


def finish(child: ChildProcess, limit_s: float = 20.0) -> list[Event]:
    events: list[Event] = []
    stop_at_s = time.monotonic() + limit_s
    while not child.finished:
        assert time.monotonic() < stop_at_s, "the child did not end"
        events += child.poll()
        time.sleep(0.02)
    return events + child.poll()


def test_events_arrive_in_order(fake: Fake, tmp_path: Path) -> None:
    child = start(fake, "succeed", tmp_path)
    assert finish(child) == [
        Status("unwrap", 0.25, "echo 1 of 2"),
        Caution("the phase unit was read from the range"),
        Status("separate", 1.0, ""),
        Result(tmp_path, ("r2star", "chi_para")),
    ]
    assert child.result() == Result(tmp_path, ("r2star", "chi_para"))


def test_poll_does_not_wait(fake: Fake, tmp_path: Path) -> None:
    child = start(fake, "hang", tmp_path)
    before_s = time.monotonic()
    child.poll()
    assert not child.finished
    assert time.monotonic() - before_s < 0.05
    with pytest.raises(ComputationError, match="still running"):
        child.result()
    child.cancel()


@pytest.mark.parametrize("mode", ["garbage", "noisy"])
def test_other_output_is_log(fake: Fake, tmp_path: Path, mode: str) -> None:
    child = start(fake, mode, tmp_path)
    events = finish(child)
    assert [type(event) for event in events] == [Status, Caution, Status, Result]
    assert child.log.count("\n") < 200
    assert ("talkative library" in child.log) == (mode == "noisy")


@pytest.mark.parametrize(
    "line",
    ["", "text", "[1]", "42", "null", '{"event": "other"}', '{"event": [1]}', '{"event": "progress", "step": "s"}',
     '{"event": "progress", "step": "s", "fraction": "x"}', '{"event": "error"}', '{"event": "result", "output": 3}'],
)  # fmt: skip
def test_malformed_events_are_ignored(line: str) -> None:
    assert parse_event(line) is None


def test_fraction_stays_within_its_range() -> None:
    assert parse_event('{"event": "progress", "step": "s", "fraction": 7}') == Status("s", 1.0)
    assert parse_event('{"event": "progress", "step": "s", "fraction": -1}') == Status("s", 0.0)


def test_refusal_is_one_sentence_with_details(fake: Fake, tmp_path: Path) -> None:
    child = start(fake, "bad_input", tmp_path)
    events = finish(child)
    message = "echo times: got nothing; expected seconds."
    assert events == [Failure(message, 2)]
    with pytest.raises(ComputationError) as caught:
        child.result()
    assert (str(caught.value), caught.value.exit_code) == (message, 2)
    assert caught.value.details == "chisep: echo times: got nothing"


def test_crash_says_what_happened(fake: Fake, tmp_path: Path) -> None:
    child = start(fake, "crash", tmp_path)
    finish(child)
    with pytest.raises(ComputationError, match=r"signal 9.*memory") as caught:
        child.result()
    assert caught.value.details == "Traceback: deep inside"


def test_end_without_result_is_an_error(fake: Fake, tmp_path: Path) -> None:
    child = start(fake, "silent", tmp_path)
    finish(child)
    with pytest.raises(ComputationError, match="without a result"):
        child.result()


def test_cancel_ends_the_whole_tree_within_a_second(fake: Fake, tmp_path: Path) -> None:
    child = start(fake, "hang", tmp_path)
    events: list[Event] = []
    while not events:
        events = child.poll()
        time.sleep(0.02)
    (status,) = events
    assert isinstance(status, Status)
    grandchild = int(status.detail)
    assert is_running(child.pid)
    assert is_running(grandchild)
    before_s = time.monotonic()
    child.cancel()
    wait_until_ended(grandchild, 1.0)
    assert not is_running(child.pid)
    assert time.monotonic() - before_s < 1.0
    finish(child)
    with pytest.raises(CancelledError):
        child.result()


def test_cancel_after_the_end_changes_nothing(fake: Fake, tmp_path: Path) -> None:
    child = start(fake, "succeed", tmp_path)
    finish(child)
    child.cancel()
    assert child.result().maps == ("r2star", "chi_para")


def test_grandchild_that_keeps_the_pipe_open_is_not_waited_for(fake: Fake, tmp_path: Path) -> None:
    child = start(fake, "leave_grandchild", tmp_path)
    finish(child, limit_s=4.0)
    assert child.result().maps == ("r2star", "chi_para")
    os.killpg(child.pid, signal.SIGKILL)


def test_child_gets_a_clean_environment(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.setenv("PYTHONSTARTUP", "startup.py")
    monkeypatch.setenv("PYTHONPATH", "/kept")
    child = start(fake, "echo", tmp_path / "Größe χ 1")
    (caution,) = [event for event in finish(child) if isinstance(event, Caution)][:1]
    received = json.loads(caution.message)
    assert received["arguments"] == ["run", "-o", str(tmp_path / "Größe χ 1")]
    environment = received["environment"]
    assert {"PYTHONWARNINGS", "PYTHONSTARTUP"}.isdisjoint(environment)
    folders = environment["PYTHONPATH"].split(os.pathsep)
    assert folders[-1] == "/kept"
    for name in ("ChiSepPreprocessLib", "ChiSepReconstructLib", "ChiSeparationLib"):
        assert any((Path(folder) / name / "__init__.py").is_file() for folder in folders)


def test_command_runs_the_command_line() -> None:
    python, *rest = cli_command(["run", "--gre", "a"])
    assert (python, rest) == (sys.executable, ["-m", "ChiSeparationLib", "run", "--gre", "a", "--progress-json"])


def test_command_line_is_found_from_another_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import ChiSeparationLib; print(ChiSeparationLib.__doc__)"]
    (tmp_path / "numpy.py").write_text("raise RuntimeError", encoding="utf-8")
    done = subprocess.run(command, cwd=tmp_path, env=child_environment(), capture_output=True, check=True)
    assert done.stdout.strip()


def test_missing_python_is_one_sentence() -> None:
    with pytest.raises(MissingDependencyError, match="could not be started"):
        ChildProcess(["/no/such/python"])


def test_importing_logic_and_worker_needs_neither_qt_nor_slicer() -> None:
    code = (
        "import sys; sys.modules['qt'] = sys.modules['ctk'] = sys.modules['slicer'] = sys.modules['vtk'] = None\n"
        "import ChiSepPreprocessLib.gui.worker, ChiSepPreprocessLib.gui.logic\n"
        "import ChiSepReconstructLib.gui.logic, ChiSeparationLib.gui.logic\n"
        "heavy = {'torch', 'numba', 'scipy', 'SimpleITK', 'nibabel'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=child_environment())
