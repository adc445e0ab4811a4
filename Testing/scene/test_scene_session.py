"""Headless scenes: complete, quiet, one for each process unless asked, and gone when closed."""

from __future__ import annotations

from typing import Any

import pytest

from ChiSepPreprocessLib.errors import MissingDependencyError
from ChiSepPreprocessLib.scene import session


def test_headless_scene_is_made_once() -> None:
    assert session.headless_scene() is session.headless_scene()
    assert session.current_scene() is session.headless_scene()


def test_headless_scene_is_nobody_elses_and_can_be_closed(scene: Any) -> None:
    session.close_session(session.headless_scene())
    fresh = session.headless_scene()
    assert fresh is not scene
    assert fresh.GetFirstNodeByName("chi_para") is None


def test_current_scene_is_slicers_inside_slicer(monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer

    theirs = slicer.vtkMRMLScene()
    monkeypatch.setattr(slicer, "mrmlScene", theirs, raising=False)
    assert session.current_scene() is theirs


def test_a_scene_knows_the_nodes_that_slicer_saves(scene: Any) -> None:
    for kind in ("ScalarVolume", "LabelMapVolume", "Segmentation", "Table", "Text", "Sequence", "MarkupsFiducial"):
        assert scene.AddNewNodeByClass(f"vtkMRML{kind}Node") is not None, kind


def test_label_maps_and_new_segments_have_colors(scene: Any) -> None:
    labels, segmentation = (
        scene.AddNewNodeByClass(f"vtkMRML{kind}Node") for kind in ("LabelMapVolume", "Segmentation")
    )
    for node in (labels, segmentation):
        node.CreateDefaultDisplayNodes()
    assert labels.GetDisplayNode().GetColorNode().GetNumberOfColors() > 100
    for _ in range(2):
        segmentation.GetSegmentation().AddEmptySegment()
    first, second = (segmentation.GetSegmentation().GetNthSegment(number).GetColor() for number in range(2))
    assert first != second


def test_logics_share_the_scene(scene: Any) -> None:
    for module in ("Colors", "Volumes", "Segmentations", "Markups", "SubjectHierarchy"):
        assert session.logic(scene, module).GetMRMLScene() is scene


def test_sessions_are_independent(scene: Any) -> None:
    other = session.open_session()
    other.scene.AddNewNodeByClass("vtkMRMLTextNode", "note")
    assert scene.GetFirstNode("note", "vtkMRMLTextNode") is None
    assert other.application_logic is not session.application_logic(scene)
    session.close_session(other.scene)
    with pytest.raises(MissingDependencyError, match="open_session"):
        session.application_logic(other.scene)


def test_vtk_errors_are_noticed(vtk_messages: Any) -> None:
    from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

    reader = vtkXMLPolyDataReader()
    reader.SetFileName("/nowhere.vtp")
    reader.Update()
    assert any("nowhere.vtp" in text for text in vtk_messages.found)
    vtk_messages.found.clear()
