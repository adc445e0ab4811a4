"""The reading in scenes, in ``.seg.nrrd`` files and in autosaves: nothing that a reader said is lost."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ChiSeparationLib.lesions.grades import Grade
from ChiSeparationLib.lesions.reading import Judgement, Reading
from ChiSeparationLib.lesions.reading_files import SCHEMA
from ChiSeparationLib.scene.autosave import Autosave, autosave_folder, recoverable
from ChiSeparationLib.scene.lesion_segments import add_lesion_segments, lesion_nodes
from ChiSeparationLib.scene.reading_store import LESIONS, ReadingStore, find_reading_node
from ChiSeparationLib.scene.review_session import ReviewSession
from ChiSeparationLib.scene.segment_tags import (
    COMPLETED,
    FLAGGED,
    IN_PROGRESS,
    NOT_STARTED,
    judgements,
    reading_from_tags,
    set_judgements,
    set_status,
)
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.scene.mrb import read_mrb, write_mrb
from ChiSepPreprocessLib.scene.session import close_session, logic, open_session
from lesion_scene import AWKWARD, add_results, lesions, question

Save = Callable[[Any, Path], Any]


@pytest.fixture
def session(scene: Any, tmp_path: Path) -> ReviewSession:
    add_results(scene, "medi", AWKWARD)
    return ReviewSession(scene, add_lesion_segments(scene, lesions()), autosave_folder=tmp_path / "autosave")


def fill(session: ReviewSession) -> Reading:
    """Judgements of two readers and repeats with every kind of text."""
    session.say(question(), Grade.SUBTLE_HYPO, 3, AWKWARD)
    session.say(question(reader=AWKWARD, pipeline=AWKWARD, map_name="chi_dia", repeat=2), Grade.HYPER)
    session.say(question("Lesion_12"), None, comment="no contrast: moved")
    return session.reading


def to_mrb(scene: Any, folder: Path) -> Any:
    return read_mrb(write_mrb(scene, folder / "scene.mrb"), open_session().scene)


def to_mrml(scene: Any, folder: Path) -> Any:
    """As Slicer does it: data of nodes with files first, then the scene's own file."""
    for node in scene.GetNodesByClass("vtkMRMLStorableNode"):
        if node.AddDefaultStorageNode() and node.GetStorageNode():
            extension = node.GetStorageNode().GetDefaultWriteFileExtension()
            node.GetStorageNode().SetFileName(str(folder / f"{node.GetID()}.{extension}"))
            assert node.GetStorageNode().WriteData(node)
    assert scene.Commit(str(folder / "scene.mrml"))
    fresh = open_session().scene
    fresh.SetURL(str(folder / "scene.mrml"))
    assert fresh.Connect()
    return fresh


def to_seg_nrrd(scene: Any, folder: Path) -> Any:
    (node,) = lesion_nodes(scene)
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName(str(folder / "lesions.seg.nrrd"))
    assert node.GetStorageNode().WriteData(node)
    fresh = open_session().scene
    assert logic(fresh, "Segmentations").LoadSegmentationFromFile(str(folder / "lesions.seg.nrrd"))
    return fresh


# Files


@pytest.mark.parametrize("save", [to_mrb, to_mrml])
def test_all_of_a_reading_survives_the_scene(session: ReviewSession, tmp_path: Path, save: Save) -> None:
    session.name_places({"Lesion_2": "left, near the ventricle: 左|側"})
    reading = fill(session)
    loaded = save(session.scene, tmp_path)
    (node,) = lesion_nodes(loaded)
    again = ReviewSession(loaded, node, autosave_folder=tmp_path / "autosave")
    assert again.reading == reading
    assert again.store.key == session.store.key
    again.say(question("Lesion_1"), Grade.ISO)
    third = save(loaded, tmp_path)
    assert len(ReviewSession(third, lesion_nodes(third)[0]).reading.judgements) == 4
    close_session(loaded)
    close_session(third)


def test_all_that_was_said_survives_a_seg_nrrd_alone(session: ReviewSession, tmp_path: Path) -> None:
    reading = fill(session)
    loaded = to_seg_nrrd(session.scene, tmp_path)
    (node,) = lesion_nodes(loaded)
    assert find_reading_node(loaded, node) is None
    assert reading_from_tags(node).judgements == reading.judgements
    assert ReviewSession(loaded, node).reading == reading
    close_session(loaded)


def test_the_reading_has_no_file_of_its_own_beside_the_scene(session: ReviewSession) -> None:
    fill(session)
    node = session.store.node
    assert len(node.GetText()) > 256
    assert node.GetDefaultStorageNodeClassName() == ""
    assert node.GetNodeReference(LESIONS) is session.segmentation
    assert node.GetText().isascii()
    assert "\n" not in node.GetText()


def test_each_segmentation_has_its_own_reading(session: ReviewSession, tmp_path: Path) -> None:
    fill(session)
    other = ReviewSession(session.scene, add_lesion_segments(session.scene, lesions()), autosave_folder=tmp_path)
    assert not other.reading.judgements
    other.say(question(), Grade.ISO)
    assert session.store.read() == session.reading
    assert other.store.key != session.store.key


# Older, newer and damaged readings


def test_reading_of_an_older_schema_is_read_and_kept_in_the_new_one(scene: Any) -> None:
    add_results(scene, "medi")
    store = ReadingStore(scene, add_lesion_segments(scene, lesions()))
    store.write(Reading())
    row = {"lesion": "Lesion_2", "map": "chi_para", "pipeline": "medi", "reader": "A", "grade": "hypo",
           "comment": AWKWARD, "time": "2020-01-02T03:04:05+00:00"}  # fmt: skip
    store.node.SetText(json.dumps([row]))
    session = ReviewSession(scene, store.segmentation)
    said = session.reading.judgements[question()]
    assert (said.grade, said.comment, said.time) == (Grade.HYPO, AWKWARD, row["time"])
    assert [one.volume_mm3 for one in session.lesions] == [144.0, 96.0, 96.0]
    session.say(question("Lesion_1"), Grade.ISO)
    assert json.loads(store.node.GetText())["schema"] == SCHEMA
    assert store.read() == session.reading


@pytest.mark.parametrize("change", [{"schema": SCHEMA + 1}, {"judgements": 3}, {"lesions": [{"lesion_id": 4}]}])
def test_newer_or_damaged_readings_are_refused_and_left_alone(session: ReviewSession, change: dict[str, Any]) -> None:
    fill(session)
    node = session.store.node
    text = json.dumps({**json.loads(node.GetText()), **change})
    node.SetText(text)
    with pytest.raises(InputError):
        ReviewSession(session.scene, session.segmentation)
    assert node.GetText() == text


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_text_that_is_no_json_is_refused(session: ReviewSession, text: str) -> None:
    fill(session)
    session.store.node.SetText(text)
    with pytest.raises(InputError, match="Delete that node"):
        session.store.read()


# Tags


def test_tags_are_short_ascii_without_bars(session: ReviewSession) -> None:
    fill(session)
    segment = session.segmentation.GetSegmentation().GetSegment("Lesion_2")
    from ChiSeparationLib.scene.segment_tags import tag

    first = tag(segment, "ChiSep.Grade.0")
    assert first.startswith("1;chi_dia;hyper;;")
    assert first.isascii()
    assert not set("|\n ") & set(first)
    assert tag(segment, "ChiSep.Lesion") == "Lesion_2"


def test_tags_of_withdrawn_judgements_go(session: ReviewSession) -> None:
    fill(session)
    segment = session.segmentation.GetSegmentation().GetSegment("Lesion_2")
    assert len(judgements(segment, "Lesion_2")) == 2
    session.withdraw(question())
    assert [one.question.repeat for one in judgements(segment, "Lesion_2")] == [2]
    set_judgements(segment, [])
    assert judgements(segment, "Lesion_2") == ()


@pytest.mark.parametrize(
    "text",
    [
        "2;a",
        "1;chi_para;hyper",
        "",
        "1;chi_para;hyper;x;2026-01-01;1;p;r;",
        "1;chi_para;blue;;2026-01-01;1;p;r;",
        "1;chi_total;iso;;2026-01-01;1;p;r;",
    ],
)
def test_damaged_tags_are_refused(session: ReviewSession, text: str) -> None:
    segment = session.segmentation.GetSegmentation().GetSegment("Lesion_2")
    segment.SetTag("ChiSep.Grade.0", text)
    with pytest.raises(InputError):
        reading_from_tags(session.segmentation)


def test_status_in_slicers_table_of_segments(session: ReviewSession) -> None:
    segment = session.segmentation.GetSegmentation().GetSegment("Lesion_2")
    status = logic(session.scene, "Segmentations").GetSegmentStatus
    assert status(segment) == NOT_STARTED
    session.say(question(), Grade.ISO)
    assert status(segment) == IN_PROGRESS
    for pipeline in session.pipelines:
        for map_name in ("chi_para", "chi_dia"):
            session.say(question(map_name=map_name, pipeline=pipeline), Grade.ISO)
    assert status(segment) == COMPLETED
    set_status(segment, FLAGGED)
    session.withdraw(question())
    assert status(segment) == FLAGGED


# Autosave


def test_autosave_is_private_and_names_nobody(session: ReviewSession, tmp_path: Path) -> None:
    session.segmentation.SetName("Doe^John")
    session.segmentation.GetSegmentation().GetSegment("Lesion_1").SetName("Lesion of John Doe")
    session.synchronise()
    fill(session)
    session.name_places({"Lesion_2": "somewhere"})
    (path,) = (tmp_path / "autosave").iterdir()
    text = path.read_text(encoding="utf-8")
    assert "John" not in text
    assert "somewhere" not in text
    if os.name == "posix":
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_autosave_goes_when_the_scene_was_saved(session: ReviewSession, tmp_path: Path) -> None:
    fill(session)
    (path,) = (tmp_path / "autosave").iterdir()
    session.tidy_autosave()
    assert path.exists()
    write_mrb(session.scene, tmp_path / "scene.mrb")
    session.tidy_autosave()
    assert not path.exists()
    session.say(question("Lesion_1"), Grade.ISO)
    session.tidy_autosave()
    assert path.exists()
    write_mrb(session.scene, tmp_path / "scene.mrb")
    session.scene.Clear(0)
    assert not path.exists()


def test_autosave_stays_when_the_scene_closes_unsaved(session: ReviewSession, tmp_path: Path) -> None:
    reading = fill(session)
    session.scene.Clear(0)
    again = ReviewSession(session.scene, add_lesion_segments(session.scene, lesions()),
                          autosave_folder=tmp_path / "autosave")  # fmt: skip
    add_results(session.scene, "medi", AWKWARD)
    again.find_pipelines()
    (found,) = again.recoverable()
    assert (len(found.judgements), found.lost) == (3, 0)
    again.recover(found)
    assert again.reading.judgements == reading.judgements
    assert again.recoverable() == ()
    assert len(list((tmp_path / "autosave").iterdir())) == 1


_CHILD = """
import os, signal, sys
from pathlib import Path
from ChiSepPreprocessLib.scene.session import open_session
from ChiSeparationLib.lesions.grades import Grade
from ChiSeparationLib.scene.lesion_segments import add_lesion_segments
from ChiSeparationLib.scene.review_session import ReviewSession
from lesion_scene import AWKWARD, add_results, lesions, question
scene = open_session().scene
add_results(scene, "medi")
session = ReviewSession(scene, add_lesion_segments(scene, lesions()))
session.say(question(), Grade.HYPO, 2, AWKWARD)
session.say(question("Lesion_12"), Grade.ISO)
print("said", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name != "posix", reason="a process is killed by a signal")
def test_a_crash_right_after_a_judgement_loses_none(
    scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHISEP_DATA", str(tmp_path))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    child = subprocess.run(
        [sys.executable, "-c", _CHILD], env=environment, capture_output=True, timeout=120, check=False
    )
    assert (child.returncode, child.stdout) == (-signal.SIGKILL, b"said\n"), child.stderr.decode()
    assert autosave_folder() == tmp_path / "autosave"
    add_results(scene, "medi")
    session = ReviewSession(scene, add_lesion_segments(scene, lesions()))
    (found,) = session.recoverable()
    session.recover(found)
    said = session.reading.judgements[question()]
    assert (said.grade, said.confidence, said.comment) == (Grade.HYPO, 2, AWKWARD)
    assert session.reading.grade(question("Lesion_12")) is Grade.ISO


def test_recovery_finds_lesions_by_place_and_never_replaces_later_words(session: ReviewSession, tmp_path: Path) -> None:
    fill(session)
    renumbered = lesions()
    renumbered.data[renumbered.data == 2] = 30
    session.scene.RemoveNode(session.segmentation)
    other = ReviewSession(session.scene, add_lesion_segments(session.scene, renumbered),
                          autosave_folder=tmp_path / "autosave")  # fmt: skip
    other.say(question("Lesion_30"), Grade.HYPER)
    (found,) = other.recoverable()
    assert {one.question.lesion_id for one in found.judgements} == {"Lesion_30", "Lesion_12"}
    other.recover(found)
    assert other.reading.grade(question("Lesion_30")) is Grade.HYPER


def test_an_earlier_sessions_file_is_not_written_over(session: ReviewSession, tmp_path: Path) -> None:
    write_mrb(session.scene, tmp_path / "scene.mrb")
    fill(session)
    write_mrb(session.scene, tmp_path / "scene.mrb")
    session.say(question("Lesion_1"), Grade.HYPER, comment="never saved")
    loaded = read_mrb(tmp_path / "scene.mrb", open_session().scene)
    again = ReviewSession(loaded, lesion_nodes(loaded)[0], autosave_folder=tmp_path / "autosave")
    again.tidy_autosave()
    again.say(question("Lesion_12"), Grade.HYPER)
    (found,) = again.recoverable()
    assert [one.comment for one in found.judgements] == ["never saved"]
    again.recover(found)
    assert len(list((tmp_path / "autosave").iterdir())) == 1
    assert again.reading.grade(question("Lesion_12")) is Grade.HYPER
    close_session(loaded)


def test_other_lesions_are_offered_nothing(session: ReviewSession, tmp_path: Path) -> None:
    fill(session)
    moved = lesions({1: (slice(20, 24),) * 2 + (slice(2, 4),)})
    other = ReviewSession(session.scene, add_lesion_segments(session.scene, moved),
                          autosave_folder=tmp_path / "autosave")  # fmt: skip
    assert other.recoverable() == ()


def test_files_that_are_no_autosaves_are_passed_over(tmp_path: Path) -> None:
    for name, text in {"0123456789abcdef-" * 2: "{", "x": "{}", f"{'f' * 16}-{'e' * 16}": '{"schema": 99}'}.items():
        (tmp_path / f"{name}.reading.json").write_text(text)
    assert recoverable(Reading(), Autosave("f" * 16, "0" * 16, tmp_path)) == ()
    assert recoverable(Reading(), Autosave("f" * 16, "0" * 16, tmp_path / "absent")) == ()
    assert len(list(tmp_path.iterdir())) == 3


def test_a_full_disk_stops_nobody(session: ReviewSession, tmp_path: Path) -> None:
    (tmp_path / "autosave").write_text("a file where the folder should be")
    session.say(question(), Grade.ISO)
    assert session.reading.grade(question()) is Grade.ISO
    assert session.store.read() == session.reading
    assert "Cannot write" in session.autosave_problem
    (tmp_path / "autosave").unlink()
    session.say(question(), Grade.HYPER)
    assert session.autosave_problem == ""


def test_highest_number_is_kept_with_the_scene(scene: Any) -> None:
    node = add_lesion_segments(scene, lesions())
    store = ReadingStore(scene, node)
    assert (store.highest, store.key, store.node) == (0, "", None)
    store.write(Reading(judgements={question(): Judgement(question=question(), grade=Grade.ISO)}), highest=40)
    store.write(Reading())
    assert ReadingStore(scene, node).highest == 40
