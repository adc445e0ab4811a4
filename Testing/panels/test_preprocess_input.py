"""What stands behind the panel of ChiSepPreprocess: files for the child, options, what a folder holds, time left."""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ChiSepPreprocessLib.acquisition_files import write_acquisition
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.gui.prepared import PreparedJob
from ChiSepPreprocessLib.gui.step_options import PLACES, choices, defaults, options_file
from ChiSepPreprocessLib.gui.survey import Row, Study, chosen_uses, paths_by_use
from ChiSepPreprocessLib.gui.time_left import TimeLeft, rounded_s
from ChiSepPreprocessLib.loading import load_acquisition
from ChiSepPreprocessLib.pipeline import PRESETS
from ChiSepPreprocessLib.preprocess_options import PreprocessOptions
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.reuse import STEP_INPUTS, plain, unaffected_maps
from ChiSepPreprocessLib.scene.sequences import add_acquisition
from host.fixtures import Fake
from small_acquisition import make_acquisition

# Files for the child


def test_a_written_acquisition_is_read_back(tmp_path: Path) -> None:
    study_folder = tmp_path / "study ü 1"
    write_acquisition(make_acquisition(), study_folder)
    one, back = make_acquisition(), load_acquisition([study_folder])
    np.testing.assert_array_equal(back.gre_magnitude, one.gre_magnitude)
    np.testing.assert_allclose(back.gre_phase, one.gre_phase, atol=1e-6)
    assert back.grid.matches(one.grid)
    assert back.scan.echo_times_s == pytest.approx(one.scan.echo_times_s, abs=1e-9)
    assert back.scan.field_strength_t == one.scan.field_strength_t
    assert back.scan.imaging_frequency_hz == pytest.approx(one.scan.imaging_frequency_hz)
    np.testing.assert_allclose(back.scan.b0_direction_ijk, one.scan.b0_direction_ijk, atol=1e-6)
    assert back.spin_echo is not None
    assert one.spin_echo is not None
    assert back.spin_echo.is_turbo
    assert back.spin_echo.grid.matches(one.spin_echo.grid)
    np.testing.assert_array_equal(back.spin_echo.magnitude, one.spin_echo.magnitude)
    assert back.spin_echo.echo_times_s == pytest.approx(one.spin_echo.echo_times_s)
    assert back.flair is not None
    assert one.flair is not None
    np.testing.assert_array_equal(back.flair.data, one.flair.data)
    assert back.flair.grid.matches(one.flair.grid)


# Options


def test_options_file_holds_what_differs_and_nothing_else() -> None:
    for name in PRESETS:
        values = defaults(name)
        assert options_file(values, name) == {}
        changed = options_file({**values, "backgroundMethod": "pdf", "denoise": True}, name)
        assert changed == {"preprocess": {"background": {"method": "pdf"}, "denoise": {"enabled": True}}}
    assert defaults("chi-sepnet")["maskMethod"] == "bet"
    assert set(choices("r2Method")) == {"auto", "epg", "dual-echo", "mono-exponential"}
    assert set(defaults()) == set(PLACES)


def test_every_option_makes_some_map_stale() -> None:
    used = frozenset[str]().union(*(step.options for step in STEP_INPUTS))
    assert used == set(plain(PreprocessOptions()))


@pytest.mark.parametrize(
    ("changed", "stale"),
    [
        ("background", {"local_field", "field_mask"}),
        ("r2prime_share", {"r2prime"}),
        ("r2", {"r2", "r2prime", "local_field", "field_mask"}),
        ("denoise", {name for step in STEP_INPUTS for name in step.maps}),
    ],
)
def test_a_changed_option_leaves_earlier_maps(changed: str, stale: set[str]) -> None:
    before = plain(PreprocessOptions())
    kept = unaffected_maps(before, {**before, changed: "other"})
    assert {name for step in STEP_INPUTS for name in step.maps} - kept == stale


# Time left


def test_time_left_follows_the_pace_without_jumping() -> None:
    now = [0.0]
    left = TimeLeft(lambda: now[0])
    assert left.seconds() is None
    shown = []
    for second in range(1, 51):
        now[0] = float(second)
        left.report(second / 100)
        shown.append(left.seconds())
    assert shown[0] is None  # too early
    assert shown[-1] == pytest.approx(50.0, abs=3.0)
    now[0] = 60.0  # nothing is reported any more
    stalled = left.seconds()
    assert stalled is not None
    assert stalled > 40.0


def test_a_resumed_run_does_not_promise_too_much() -> None:
    now = [0.0]
    left = TimeLeft(lambda: now[0])
    now[0] = 0.5
    left.report(0.6)  # all that was there already
    for second in range(1, 21):
        now[0] = float(second)
        left.report(0.6 + second / 100)
    assert left.seconds() == pytest.approx(20.0, rel=0.5)


def test_times_are_rounded_up_to_what_can_be_foretold() -> None:
    assert [rounded_s(one) for one in (0.0, 11.0, 49.0, 61.0, 200.0)] == [10, 20, 50, 120, 240]


def row(**changed: Any) -> Row:
    given: dict[str, Any] = {
        "scan": 1, "description": "gre", "component": "magnitude", "echo_times_s": (0.004, 0.01), "shape": (9, 9, 9),
        "voxel_size_mm": (1.0, 1.0, 1.0), "use": "gre_magnitude", "missing": (), "files": ("/a/m.nii",), **changed,
    }  # fmt: skip
    return Row(**given)


def test_only_what_the_headers_leave_open_can_be_chosen() -> None:
    silent = row(scan=2, use="", missing=("The file does not tell what it is: choose it.",), files=("/a/x.nii",))
    assert row().choices == ("", "gre_magnitude")
    assert row(files=()).choices == ("gre_magnitude",)
    assert "flair" in silent.choices
    study = Study((row(), silent), ())
    uses = chosen_uses(study, {"1 magnitude": "flair", "2 magnitude": "gre_phase"})
    assert uses == {"1 magnitude": "gre_magnitude", "2 magnitude": "gre_phase"}
    assert paths_by_use(study, uses) == {"gre": ("/a/m.nii",), "gre_phase": ("/a/x.nii",)}


def test_logic_refuses_nodes_without_phase(scene: Any) -> None:
    logic = importlib.import_module("ChiSepPreprocessLib.gui.logic").ChiSepPreprocessLogic()
    nodes = add_acquisition(scene, make_acquisition())
    with pytest.raises(InputError, match="GRE phase"):
        logic.start_from_nodes({"magnitude": nodes["gre_magnitude"]})


def test_very_many_files_are_handed_over_in_a_list(fake: Fake, tmp_path: Path) -> None:
    files = [tmp_path / f"slice {number:05}.dcm" for number in range(900)]
    read: list[str] = []

    def command(arguments: Sequence[str]) -> list[str]:
        read.extend(expanded(arguments))
        assert sum(map(len, arguments)) < 2000
        return fake("silent")(arguments)

    expanded = importlib.import_module("ChiSeparationLib.cli")._expanded
    logic = importlib.import_module("ChiSepPreprocessLib.gui.logic").ChiSepPreprocessLogic(command)
    logic.start(gre=files, output=tmp_path / "out").close()
    assert read[:3] == ["preprocess", "--gre", str(files[0])]
    assert read[-4:] == ["--gre", str(files[-1]), "-o", str(tmp_path / "out")]


def test_preparing_the_input_can_be_cancelled() -> None:
    begun = threading.Event()

    def prepare(folder: Path, report: Reporter) -> tuple[str, ...]:
        begun.set()
        stop_at_s = time.monotonic() + 20
        while time.monotonic() < stop_at_s:
            report("write", 0.5)
            time.sleep(0.005)
        return ()

    job = PreparedJob(prepare, lambda folder: pytest.fail("started although it was cancelled"))
    assert begun.wait(20)
    job.cancel()
    started_s = time.monotonic()
    while not job.finished:
        job.poll()
        assert time.monotonic() - started_s < 10
    with pytest.raises(CancelledError):
        job.nodes()
    job.close()
    assert not job._folder.exists()
