"""The review without its panel: judgements and their undo, edits of segments, questions, suggestions, closing."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ChiSeparationLib.lesions.grades import Grade
from ChiSeparationLib.lesions.reading import Judgement, Question, Reading
from ChiSeparationLib.scene.judgement_history import MOST_STEPS, JudgementHistory
from ChiSeparationLib.scene.lesion_segments import add_lesion_segments
from ChiSeparationLib.scene.pipelines import find_pipelines, remember
from ChiSeparationLib.scene.review_session import Change, ReviewSession
from ChiSepPreprocessLib.artifacts import Grid, Map
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.scene.layouts import FOUR_ROW, crosshair, show_layout
from ChiSepPreprocessLib.scene.session import load_slicer
from home_scene import GRID as HEAD
from home_scene import add_everything
from lesion_scene import AWKWARD, BOXES, GRID, add_results, add_segment, lesions, mask_of, paint, question


@pytest.fixture
def session(scene: Any, tmp_path: Path) -> ReviewSession:
    add_results(scene, "medi", "closed-form")
    return ReviewSession(scene, add_lesion_segments(scene, lesions()), autosave_folder=tmp_path)


def ids(session: ReviewSession) -> list[str]:
    return [one.lesion_id for one in session.lesions]


# Judgements


def test_say_replace_withdraw_undo_and_redo(session: ReviewSession) -> None:
    session.say(question(), Grade.HYPER, 1, "first")
    session.say(question(), Grade.ISO, 2)
    assert session.reading.judgements[question()].comment == ""
    session.withdraw(question())
    assert not session.reading.judgements
    assert [session.undo(), session.undo()] == [question()] * 2
    assert session.reading.judgements[question()].comment == "first"
    assert session.redo() == question()
    assert session.reading.grade(question()) is Grade.ISO
    session.say(question("Lesion_1"), Grade.HYPO)
    assert not session.can_redo
    assert session.redo() is None
    while session.can_undo:
        session.undo()
    assert not session.reading.judgements
    assert session.undo() is None
    assert session.store.read() == session.reading


def test_saying_the_same_again_is_no_step(session: ReviewSession) -> None:
    session.say(question(), Grade.HYPER, 1, "x")
    session.say(question(), Grade.HYPER, 1, "x")
    session.withdraw(question("Lesion_1"))
    session.undo()
    assert not session.can_undo


def test_history_is_bounded() -> None:
    history, reading = JudgementHistory(), Reading()
    for step in range(MOST_STEPS + 10):
        history.add(question(), None, Judgement(question=question(), grade=None, comment=str(step)))
    steps = 0
    while history.can_undo:
        _, reading = history.undo(reading)
        steps += 1
    assert steps == MOST_STEPS


@pytest.mark.parametrize(
    "changes",
    [{"lesion_id": "Lesion_3"}, {"pipeline": "unknown"}, {"map_name": "chi_total"}, {"reader": ""}, {"repeat": 0}],
)
def test_what_cannot_be_right_is_refused_and_changes_nothing(session: ReviewSession, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        session.say(question(**changes), Grade.ISO)
    with pytest.raises(InputError):
        session.say(question(), Grade.ISO, confidence=4)
    assert not session.reading.judgements
    assert not session.can_undo
    assert session.store.node is None


def test_observers_are_told_and_can_leave(session: ReviewSession) -> None:
    told: list[Change] = []
    remove = session.observe(told.append)
    session.say(question(), Grade.ISO)
    session.undo()
    session.select("Lesion_1")
    session.name_places({"Lesion_1": "left"})
    assert told == [Change.READING, Change.READING, Change.SELECTION, Change.LESIONS]
    assert session.lesions[0].place == "left"
    remove()
    remove()
    session.redo()
    assert len(told) == 4


def test_judgements_from_elsewhere_fill_gaps_alone(session: ReviewSession) -> None:
    session.say(question(), Grade.ISO)
    given = [
        Judgement(question=one, grade=Grade.HYPER, time="2020-01-02T03:04:05+00:00")
        for one in (question(), question("Lesion_1"), question("Lesion_99"), question("Lesion_1", pipeline="unknown"))
    ]
    assert session.take_over(given) == 1
    assert session.take_over(given) == 0
    assert session.reading.grade(question()) is Grade.ISO
    assert session.reading.judgements[question("Lesion_1")] == given[1]
    assert session.store.read() == session.reading


# Edits of the segmentation


def say_all(session: ReviewSession) -> None:
    for lesion, grade in zip(ids(session), (Grade.HYPER, Grade.ISO, Grade.HYPO), strict=True):
        session.say(question(lesion), grade, comment=f"of {lesion}")


def grade_of(session: ReviewSession, lesion_id: str) -> Grade | None:
    return session.reading.grade(question(lesion_id))


def test_split_by_islands_keeps_identity_and_grades(session: ReviewSession) -> None:
    say_all(session)
    _, j, k = BOXES[1]
    paint(session.segmentation, "Lesion_1", mask_of((slice(4, 8), j, k)))
    new = add_segment(session.segmentation, mask_of((slice(9, 10), j, k)), "Lesion 1_2")
    assert session.is_stale
    edits = session.synchronise()
    assert edits is not None
    assert edits.inherits_from == {"Lesion_13": "Lesion_1"}
    assert ids(session) == ["Lesion_1", "Lesion_2", "Lesion_12", "Lesion_13"]
    assert (grade_of(session, "Lesion_1"), grade_of(session, "Lesion_13")) == (Grade.HYPER, Grade.HYPER)
    assert session.lesion("Lesion_13").came_from == ("Lesion_1",)
    assert session.segment_id("Lesion_13") == new
    assert session.store.read() == session.reading
    assert not session.is_stale
    assert session.synchronise() is None


def test_the_larger_part_keeps_the_identity_whichever_segment_it_is(session: ReviewSession) -> None:
    say_all(session)
    _, j, k = BOXES[1]
    paint(session.segmentation, "Lesion_1", mask_of((slice(9, 10), j, k)))
    new = add_segment(session.segmentation, mask_of((slice(4, 8), j, k)))
    session.synchronise()
    assert session.segment_id("Lesion_1") == new
    assert session.segment_id("Lesion_13") == "Lesion_1"
    again = ReviewSession(session.scene, session.segmentation)
    assert again.reading == session.reading


def test_merge_keeps_the_larger_lesions_words_and_fills_gaps_from_the_other(session: ReviewSession) -> None:
    say_all(session)
    session.say(question("Lesion_2", map_name="chi_dia"), Grade.SUBTLE_HYPER)
    paint(session.segmentation, "Lesion_1", mask_of(BOXES[1], BOXES[2]))
    session.segmentation.GetSegmentation().RemoveSegment("Lesion_2")
    edits = session.synchronise()
    assert edits is not None
    assert edits.merged == {"Lesion_2": "Lesion_1"}
    assert ids(session) == ["Lesion_1", "Lesion_12"]
    assert grade_of(session, "Lesion_1") is Grade.HYPER
    assert session.reading.grade(question("Lesion_1", map_name="chi_dia")) is Grade.SUBTLE_HYPER
    assert all(one.lesion_id != "Lesion_2" for one in session.reading.judgements)
    assert ReviewSession(session.scene, session.segmentation).reading == session.reading


def test_merge_that_is_undone_in_the_editor_gives_everything_back(session: ReviewSession) -> None:
    say_all(session)
    session.name_places({"Lesion_2": "left"})
    session.say(question("Lesion_2", map_name="chi_dia"), Grade.SUBTLE_HYPER)
    before, segmentation = session.reading, session.segmentation.GetSegmentation()
    history = load_slicer().vtkSegmentationHistory()
    history.SetSegmentation(segmentation)
    history.SaveState()
    paint(session.segmentation, "Lesion_1", mask_of(BOXES[1], BOXES[2]))
    segmentation.RemoveSegment("Lesion_2")
    session.synchronise()
    session.say(question("Lesion_12"), Grade.SUBTLE_HYPO)
    assert history.RestorePreviousState()
    assert session.is_stale
    session.synchronise()
    expected = before.said(session.reading.judgements[question("Lesion_12")])
    assert session.reading == expected
    assert grade_of(session, "Lesion_12") is Grade.SUBTLE_HYPO
    assert ReviewSession(session.scene, session.segmentation).reading == expected
    # What the editor brought back of older tags is written over.
    session.scene.RemoveNode(session.store.node)
    assert ReviewSession(session.scene, session.segmentation).reading.judgements == expected.judgements


def test_deleted_lesion_that_is_undone_comes_back_with_its_words(session: ReviewSession) -> None:
    say_all(session)
    before, segmentation = session.reading, session.segmentation.GetSegmentation()
    history = load_slicer().vtkSegmentationHistory()
    history.SetSegmentation(segmentation)
    history.SaveState()
    segmentation.RemoveSegment("Lesion_12")
    edits = session.synchronise()
    assert edits is not None
    assert edits.deleted == ("Lesion_12",)
    add_segment(session.segmentation, mask_of((slice(0, 3),) * 3))
    session.synchronise()
    assert ids(session) == ["Lesion_1", "Lesion_2", "Lesion_13"]
    history.RestorePreviousState()
    session.synchronise()
    assert session.reading == before


def test_words_of_a_lesion_that_is_gone_wait_in_the_scene_for_its_segment(session: ReviewSession) -> None:
    say_all(session)
    before, segmentation = session.reading.judgements, session.segmentation.GetSegmentation()
    segment = segmentation.GetSegment("Lesion_12")
    segmentation.RemoveSegment("Lesion_12")
    session.synchronise()
    session.say(question("Lesion_1", map_name="chi_dia"), Grade.ISO)
    session.undo()
    session.close()
    later = ReviewSession(session.scene, session.segmentation)
    assert len(later.reading.judgements) == 2
    segment.RemoveTag("ChiSep.Grade.0")
    segmentation.AddSegment(segment, "S_new")
    later.synchronise()
    assert later.reading.judgements == before


def test_number_of_a_lesion_that_is_gone_is_never_given_again(session: ReviewSession) -> None:
    session.segmentation.GetSegmentation().RemoveSegment("Lesion_12")
    session.synchronise()
    session.close()
    later = ReviewSession(session.scene, session.segmentation)
    add_segment(session.segmentation, mask_of((slice(0, 3),) * 3))
    later.synchronise()
    assert ids(later) == ["Lesion_1", "Lesion_2", "Lesion_13"]


def test_a_segment_of_another_patient_brings_no_words(session: ReviewSession) -> None:
    other = add_lesion_segments(session.scene, lesions({7: (slice(0, 3),) * 3}))
    elsewhere = ReviewSession(session.scene, other)
    elsewhere.say(question("Lesion_7"), Grade.HYPO)
    session.segmentation.GetSegmentation().CopySegmentFromSegmentation(other.GetSegmentation(), "Lesion_7")
    session.synchronise()
    assert ids(session) == ["Lesion_1", "Lesion_2", "Lesion_12", "Lesion_13"]
    assert not session.reading.judgements
    assert not ReviewSession(session.scene, session.segmentation).reading.judgements


def test_rename_reorder_and_colour_change_no_identity(session: ReviewSession) -> None:
    say_all(session)
    before, segmentation = dict(session.reading.judgements), session.segmentation.GetSegmentation()
    segmentation.GetSegment("Lesion_2").SetName(AWKWARD)
    segmentation.GetSegment("Lesion_2").SetColor(0.1, 0.2, 0.3)
    segmentation.SetSegmentIndex("Lesion_12", 0)
    told: list[Change] = []
    session.observe(told.append)
    assert session.synchronise() is None
    assert told == [Change.LESIONS]
    assert ids(session) == ["Lesion_12", "Lesion_1", "Lesion_2"]
    assert session.lesion("Lesion_2").name == AWKWARD
    assert session.reading.judgements == before


def test_many_events_of_one_stroke_are_one_message(session: ReviewSession) -> None:
    told: list[Change] = []
    session.observe(told.append)
    for _ in range(5):
        paint(session.segmentation, "Lesion_2", mask_of((slice(16, 19), *BOXES[2][1:])))
    assert told == [Change.SEGMENTS]
    session.say(question("Lesion_1"), Grade.ISO)
    assert session.is_stale
    session.synchronise()
    session.say(question("Lesion_1"), Grade.HYPER)
    assert not session.is_stale


def test_undo_of_words_on_a_lesion_that_is_gone_is_forgotten(session: ReviewSession) -> None:
    say_all(session)
    session.segmentation.GetSegmentation().RemoveSegment("Lesion_12")
    session.synchronise()
    assert session.undo() == question("Lesion_2")
    session.undo()
    assert not session.can_undo


def test_edits_that_cannot_be_read_leave_all_as_it_was(session: ReviewSession) -> None:
    say_all(session)
    before = session.reading
    session.segmentation.GetSegmentation().RemoveSegment("Lesion_12")
    transform = session.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    session.segmentation.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(InputError, match="Harden"):
        session.synchronise()
    assert session.reading is before
    assert session.is_stale
    session.segmentation.SetAndObserveTransformNodeID(None)
    session.synchronise()
    assert ids(session) == ["Lesion_1", "Lesion_2"]


def test_lesions_can_be_added_to_none(scene: Any, tmp_path: Path) -> None:
    session = ReviewSession(scene, add_lesion_segments(scene, lesions({})), autosave_folder=tmp_path)
    assert (session.lesions, session.pipelines, session.questions("A")) == ((), (), ())
    assert session.next_ungraded("A") is None
    add_segment(session.segmentation, mask_of(BOXES[1]))
    session.synchronise()
    assert ids(session) == ["Lesion_1"]
    session.segmentation.GetSegmentation().RemoveAllSegments()
    session.synchronise()
    assert session.lesions == ()


# Questions


def test_questions_in_plain_and_blinded_order(session: ReviewSession) -> None:
    plain = session.questions("A", 2)
    assert len(plain) == 3 * 2 * 2
    assert plain[:3] == (
        Question("Lesion_1", "chi_para", "medi", "A", 2), Question("Lesion_1", "chi_dia", "medi", "A", 2),
        Question("Lesion_2", "chi_para", "medi", "A", 2),
    )  # fmt: skip
    blinded = session.questions("A", 2, seed=3)
    assert set(blinded) == set(plain)
    assert blinded != plain
    assert blinded == session.questions("A", 2, seed=3)
    assert session.questions("A", pipelines=["closed-form"], maps=["chi_dia"])[-1].lesion_id == "Lesion_12"
    with pytest.raises(InputError, match="one of medi, closed-form"):
        session.questions("A", pipelines=["unknown"])


def test_next_ungraded_goes_round_until_all_are_answered(session: ReviewSession) -> None:
    asked = session.questions("A", pipelines=["medi"])
    session.say(asked[1], Grade.ISO)
    session.say(asked[-1], None, comment="cannot be graded")
    assert session.next_ungraded("A", pipelines=["medi"]) == asked[0]
    assert session.next_ungraded("A", pipelines=["medi"], after=asked[0]) == asked[2]
    assert session.next_ungraded("A", pipelines=["medi"], after=asked[-2]) == asked[0]
    assert session.progress("A", pipelines=["medi"]) == (2, 1, 6)
    for one in asked:
        session.say(one, Grade.ISO)
    assert session.next_ungraded("A", pipelines=["medi"], after=asked[3]) is None
    assert session.next_ungraded("A", 2, ["medi"]) == asked[0]._replace(repeat=2)
    assert session.next_ungraded("B", 1, ["medi"]) == asked[0]._replace(reader="B")


# Results and suggestions


def test_pipelines_are_found_by_method_folder_and_run(scene: Any) -> None:
    made = add_results(scene, "medi", "chi-sepnet-r2prime")
    for _ in range(2):
        add_results(scene, "medi")
    found = find_pipelines(scene)
    assert list(found) == ["medi", "chi-sepnet-r2prime", "medi (χ maps (medi))", "medi (χ maps (medi)) 2"]
    assert found["medi"]["chi_para"] is made["medi"]["chi_para"]
    assert set(found["medi"]) == {"chi_para", "chi_dia", "chi_total", "flair", "brain_mask", "field_mask"}


def test_names_of_pipelines_stay_when_others_go(scene: Any) -> None:
    add_results(scene, "medi", "medi")
    found = find_pipelines(scene)
    remember(found)
    for name in ("chi_para", "chi_dia", "chi_total"):
        scene.RemoveNode(found["medi"][name])
    assert list(find_pipelines(scene)) == ["medi (χ maps (medi))"]
    add_results(scene, "medi")
    assert list(find_pipelines(scene)) == ["medi (χ maps (medi))", "medi"]


def test_results_that_come_later(session: ReviewSession) -> None:
    told: list[Change] = []
    session.observe(told.append)
    assert session.find_pipelines() == ()
    add_results(session.scene, "arcs")
    assert session.find_pipelines() == ("arcs",)
    assert told == [Change.PIPELINES]
    session.add_pipeline("given", {"chi_para": session.volumes("arcs")["chi_para"]})
    assert len(session.questions("A", pipelines=["given"])) == 3
    with pytest.raises(InputError, match="at least one of"):
        session.add_pipeline("x", {"chi_total": session.volumes("arcs")["chi_total"]})
    session.scene.RemoveNode(session.volumes("arcs")["flair"])
    assert "flair" not in session.volumes("arcs")


def test_suggestions_are_kept_until_maps_or_lesions_change(session: ReviewSession) -> None:
    table = session.suggestions("medi")
    assert [row.label for row in table.rows] == [1, 2, 12]
    assert table.rows[1].suggestions["chi_para"].grade is Grade.HYPER
    assert session.suggestions("medi") is table
    session.say(question(), Grade.ISO)
    assert session.suggestions("medi") is table
    session.volumes("medi")["chi_para"].GetImageData().Modified()
    assert session.suggestions("medi") is not table
    paint(session.segmentation, "Lesion_12", np.zeros(GRID.shape, dtype=bool))
    session.synchronise()
    assert [row.label for row in session.suggestions("medi").rows] == [1, 2]


def test_lesion_outside_the_brain_is_flagged_and_not_graded(session: ReviewSession) -> None:
    add_segment(session.segmentation, mask_of((slice(20, 26), slice(0, 2), slice(10, 14))))
    session.synchronise()
    row = session.suggestions("medi").rows[-1]
    assert row.label == 13
    assert row.suggestions["chi_para"].grade is None
    assert row.flags


def test_suggestions_on_maps_with_other_voxels(session: ReviewSession, tmp_path: Path) -> None:
    grid = Grid((20, 16, 20), GRID.affine @ np.array([[2, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 1, 0], [0, 0, 0, 1]]))
    coarse = {"chi_para": np.full(grid.shape, 0.02, np.float32), "brain_mask": np.ones(grid.shape, bool)}
    from ChiSepPreprocessLib.scene.nodes import add_map

    nodes = {name: add_map(session.scene, Map(name=name, data=data, grid=grid)) for name, data in coarse.items()}
    session.add_pipeline("coarse", nodes)
    table = session.suggestions("coarse")
    assert [row.geometry["volume_mm3"] for row in table.rows] == pytest.approx([144.0, 96.0, 96.0])


def test_places_are_named_from_the_brain_mask(scene: Any, tmp_path: Path) -> None:
    add_everything(scene)
    boxes = {1: (slice(12, 14), slice(16, 18), slice(22, 24)), 2: (slice(22, 24), slice(16, 18), slice(22, 24))}
    node = add_lesion_segments(scene, lesions(boxes, HEAD))
    session = ReviewSession(scene, node, autosave_folder=tmp_path)
    session.name_places({"Lesion_1": "where I say"})
    assert session.find_places("closed-form") == 1
    assert session.lesions[0].place == "where I say"
    assert session.lesions[1].place.startswith("right ")
    assert session.lesions[1].place.endswith("(approximate)")
    assert session.find_places("closed-form") == 0


def test_a_mask_of_no_whole_brain_names_no_place(session: ReviewSession) -> None:
    assert session.find_places("medi") == 0
    assert session.lesions[0].place == ""


# Views, closing, scenes


def test_select_jumps_centres_and_zooms_every_view(session: ReviewSession) -> None:
    nodes = show_layout(session.scene, FOUR_ROW)
    session.select("Lesion_2")
    assert crosshair(session.scene).GetCrosshairRAS() == pytest.approx((-2.5, 5.5, 23.0))
    for node in nodes.values():
        assert [node.GetSliceToRAS().GetElement(row, 3) for row in range(3)] == pytest.approx((-2.5, 5.5, 23.0))
        width, height, _ = node.GetDimensions()
        assert min(node.GetFieldOfView()[:2]) == pytest.approx(60.0)
        assert node.GetFieldOfView()[0] / width == pytest.approx(node.GetFieldOfView()[1] / height)
    assert session.selected == "Lesion_2"
    with pytest.raises(InputError, match="one of the 3 lesions"):
        session.select("Lesion_5")
    session.segmentation.GetSegmentation().RemoveSegment("Lesion_2")
    session.synchronise()
    assert session.selected == ""


def test_a_large_lesion_is_seen_as_a_whole(scene: Any) -> None:
    node = add_lesion_segments(scene, lesions({1: (slice(0, 40), slice(3, 6), slice(3, 6))}))
    views = show_layout(scene, FOUR_ROW)
    ReviewSession(scene, node, pipelines={}).select("Lesion_1")
    assert min(views["flair"].GetFieldOfView()[:2]) == pytest.approx(160.0)


def test_closing_the_scene_ends_the_session_without_a_trace(scene: Any, tmp_path: Path) -> None:
    told: list[Change] = []
    for _ in range(2):
        add_results(scene, "medi")
        session = ReviewSession(scene, add_lesion_segments(scene, lesions()), autosave_folder=tmp_path)
        session.observe(told.append)
        session.say(question(), Grade.ISO)
        scene.Clear(0)
        assert session.is_closed
        with pytest.raises(InputError, match="ended"):
            session.undo()
        assert scene.GetNumberOfNodesByClass("vtkMRMLTextNode") == 0
        session.close()
    assert told == [Change.READING, Change.CLOSED] * 2
    gone = weakref.ref(session)
    del session
    gc.collect()
    assert gone() is None


def test_removing_the_segmentation_ends_the_session(session: ReviewSession) -> None:
    told: list[Change] = []
    session.observe(told.append)
    session.scene.RemoveNode(session.volumes("medi")["flair"])
    assert told == []
    session.scene.RemoveNode(session.segmentation)
    assert told == [Change.CLOSED]
    assert session.is_closed


def test_two_scenes_at_once_do_not_mix(session: ReviewSession, tmp_path: Path) -> None:
    from ChiSepPreprocessLib.scene.session import close_session, open_session

    other_scene = open_session().scene
    add_results(other_scene, "medi")
    other = ReviewSession(other_scene, add_lesion_segments(other_scene, lesions()), autosave_folder=tmp_path)
    session.say(question(), Grade.ISO)
    other.say(question(), Grade.HYPER)
    other_scene.Clear(0)
    assert not session.is_closed
    assert session.store.read().grade(question()) is Grade.ISO
    close_session(other_scene)
