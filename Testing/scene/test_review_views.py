"""What the views of a review show: pipelines, flicker, outlines, the reference region, legends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ChiSeparationLib.scene.lesion_segments import add_lesion_segments, lesion_map, lesion_nodes
from ChiSeparationLib.scene.reference_shell import is_shell
from ChiSeparationLib.scene.review_session import ReviewSession
from ChiSeparationLib.scene.review_views import Outlines, ReviewViews
from ChiSepPreprocessLib.artifacts import Map
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.scene.layouts import COMPARISON, FOUR_GRID, FOUR_ROW, composite_node, current_layout
from ChiSepPreprocessLib.scene.mrb import read_mrb, write_mrb
from ChiSepPreprocessLib.scene.nodes import add_map
from ChiSepPreprocessLib.scene.session import close_session, open_session
from ChiSepPreprocessLib.scene.views import show_maps
from ChiSepPreprocessLib.scene.volume_display import choose_window, chosen_window, has_legend
from lesion_scene import BOXES, GRID, add_results, lesions, mask_of, paint


@pytest.fixture
def session(scene: Any, tmp_path: Path) -> ReviewSession:
    add_results(scene, "medi", "closed-form")
    return ReviewSession(scene, add_lesion_segments(scene, lesions()), autosave_folder=tmp_path)


@pytest.fixture
def views(session: ReviewSession) -> ReviewViews:
    return ReviewViews(session)


def shown(views: ReviewViews) -> dict[str, Any]:
    """Volume in the back of each view."""
    scene = views.scene
    ids = {view.key: composite_node(scene, view).GetBackgroundVolumeID() for view in FOUR_ROW.views}
    return {key: scene.GetNodeByID(one) if one else None for key, one in ids.items()}


def shells(scene: Any) -> list[Any]:
    return [one for one in scene.GetNodesByClass("vtkMRMLSegmentationNode") if is_shell(one)]


def visible(views: ReviewViews) -> list[str]:
    display = views.session.segmentation.GetDisplayNode()
    return [
        one for one in views.session.segmentation.GetSegmentation().GetSegmentIDs() if display.GetSegmentVisibility(one)
    ]


# Pipelines


def test_flair_and_maps_of_a_pipeline_linked(views: ReviewViews, session: ReviewSession) -> None:
    nodes = views.show()
    assert list(nodes) == ["flair", "chi_para", "chi_dia", "chi_total"]
    assert current_layout(session.scene) is FOUR_ROW
    assert views.pipeline == "medi"
    volumes = session.volumes("medi")
    assert shown(views) == {key: volumes[key] for key in nodes}
    views.show(FOUR_GRID, "closed-form")
    assert current_layout(session.scene) is FOUR_GRID
    assert shown(views)["chi_dia"] is session.volumes("closed-form")["chi_dia"]
    assert all(composite_node(session.scene, view).GetLinkedControl() for view in FOUR_ROW.views)


def test_show_stays_at_the_selected_lesion(views: ReviewViews, session: ReviewSession) -> None:
    session.select("Lesion_12")
    nodes = views.show()
    place = session.lesion("Lesion_12").centroid_ras_mm
    assert [nodes["chi_para"].GetSliceToRAS().GetElement(row, 3) for row in range(3)] == pytest.approx(place)


def test_flicker_changes_the_maps_and_nothing_else(views: ReviewViews, session: ReviewSession) -> None:
    nodes = views.show()
    session.select("Lesion_2")
    choose_window(session.volumes("medi")["chi_para"], "White matter")
    place = [[node.GetSliceToRAS().GetElement(row, 3) for row in range(3)] for node in nodes.values()]
    assert views.flicker("medi", "closed-form") == views.pipeline == "closed-form"
    volumes = session.volumes("closed-form")
    assert shown(views) == {"flair": volumes["flair"], **{key: volumes[key] for key in list(nodes)[1:]}}
    assert chosen_window(volumes["chi_para"]) == "White matter"
    assert [[node.GetSliceToRAS().GetElement(row, 3) for row in range(3)] for node in nodes.values()] == place
    volumes["chi_para"].GetDisplayNode().SetWindowLevelMinMax(0.0, 0.2)
    assert views.flicker("medi", "closed-form") == "medi"
    assert chosen_window(session.volumes("medi")["chi_para"]) == "Iron-rich nuclei"


def test_flicker_keeps_the_image_below_the_maps(views: ReviewViews, session: ReviewSession) -> None:
    views.show()
    volumes = session.volumes("medi")
    show_maps(session.scene, {key: volumes[key] for key in shown(views)}, layout=FOUR_ROW, underlay=volumes["flair"])
    views.flicker("medi", "closed-form")
    composite = composite_node(session.scene, FOUR_ROW.views[1])
    assert composite.GetBackgroundVolumeID() == volumes["flair"].GetID()
    assert composite.GetForegroundVolumeID() == session.volumes("closed-form")["chi_para"].GetID()


def test_a_pipeline_without_a_map_leaves_its_view_empty(views: ReviewViews, session: ReviewSession) -> None:
    session.add_pipeline("para alone", {"chi_para": session.volumes("medi")["chi_para"]})
    views.show()
    views.show_pipeline("para alone")
    assert [key for key, node in shown(views).items() if node is None] == ["chi_dia", "chi_total"]
    views.show_pipeline("medi")
    assert None not in shown(views).values()


def test_what_cannot_be_shown_is_refused(views: ReviewViews, session: ReviewSession) -> None:
    with pytest.raises(InputError, match="one of medi"):
        views.show(pipeline="unknown")
    with pytest.raises(InputError, match="side by side"):
        views.show(COMPARISON)
    with pytest.raises(InputError):
        views.show_pipeline("")


def test_without_results_there_is_nothing_to_show(scene: Any) -> None:
    views = ReviewViews(ReviewSession(scene, add_lesion_segments(scene, lesions())))
    with pytest.raises(InputError, match="no χ maps yet"):
        views.show()
    views.set_legend(True)
    views.set_reference(True)
    assert views.reference_problem == ""


# Outlines, reference, legend


def test_outlines_of_all_of_one_or_of_none(views: ReviewViews, session: ReviewSession) -> None:
    display = session.segmentation.GetDisplayNode()
    views.set_outlines(Outlines.SELECTED)
    assert visible(views) == []
    session.select("Lesion_2")
    assert visible(views) == ["Lesion_2"]
    session.select("Lesion_12")
    assert visible(views) == ["Lesion_12"]
    views.set_outlines(Outlines.NONE)
    assert not display.GetVisibility()
    views.set_outlines(Outlines.ALL)
    assert display.GetVisibility()
    assert len(visible(views)) == 3
    views.set_outlines(Outlines.SELECTED)
    views.close()
    assert len(visible(views)) == 3


def test_reference_region_lies_in_white_matter_two_to_five_mm_away(views: ReviewViews, session: ReviewSession) -> None:
    views.show()
    views.set_reference(True)
    assert shells(session.scene) == []
    session.select("Lesion_2")
    (node,) = shells(session.scene)
    mask = lesion_map_of_shell(node)
    where = np.argwhere(mask) * GRID.voxel_size_mm
    inside = np.argwhere(mask_of(BOXES[2])) * GRID.voxel_size_mm
    distances = np.array([np.linalg.norm(inside - one, axis=1).min() for one in where])
    assert distances.min() > 2.0
    assert distances.max() <= 5.001
    row = next(one for one in session.suggestions("medi").rows if one.label == 2)
    assert len(where) == row.measures["chi_para"].values["nawm_voxels"]
    session.select("Lesion_12")
    assert shells(session.scene) == [node]
    assert not (lesion_map_of_shell(node) & mask).any()
    views.set_reference(False)
    assert shells(session.scene) == []


def lesion_map_of_shell(node: Any) -> Any:
    """Mask of the reference region on the maps' grid."""
    from ChiSeparationLib.scene.segment_labels import read_labels

    return read_labels(node, GRID).labels > 0


def test_reference_region_leaves_out_what_masks_say(session: ReviewSession) -> None:
    csf = np.zeros(GRID.shape, dtype=bool)
    csf[:, : BOXES[2][1].start] = True
    node = add_map(session.scene, Map(name="csf_mask", data=csf, grid=GRID))
    session.add_pipeline("with csf", {**session.volumes("medi"), "csf_mask": node})
    (mask, grid), (less, _) = (session.shell(name, "Lesion_2") for name in ("closed-form", "with csf"))
    assert 0 < less.sum() < mask.sum()
    assert grid.voxel_size_mm == pytest.approx(GRID.voxel_size_mm)


def test_reference_region_is_neither_listed_nor_saved(views: ReviewViews, tmp_path: Path) -> None:
    views.show()
    views.session.select("Lesion_2")
    views.set_reference(True)
    (node,) = shells(views.scene)
    assert node.GetHideFromEditors()
    assert lesion_nodes(views.scene) == (views.session.segmentation,)
    loaded = read_mrb(write_mrb(views.scene, tmp_path / "scene.mrb"), open_session().scene)
    assert shells(loaded) == []
    assert loaded.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1
    assert loaded.GetNumberOfNodesByClass("vtkMRMLSegmentationDisplayNode") == 1
    close_session(loaded)


def test_a_lesion_without_reference_says_why(views: ReviewViews, session: ReviewSession) -> None:
    views.show()
    session.select("Lesion_2")
    views.set_reference(True)
    session.add_pipeline("no maps", {"chi_para": session.volumes("medi")["chi_para"]})
    session.scene.RemoveNode(session.volumes("no maps")["chi_para"])
    views.show_pipeline("no maps")
    assert shells(session.scene) == []
    assert "chi_para" in views.reference_problem
    views.show_pipeline("closed-form")
    assert views.reference_problem == ""
    assert len(shells(session.scene)) == 1


def test_legends_of_all_pipelines(views: ReviewViews, session: ReviewSession) -> None:
    views.show()
    views.set_legend(True)
    every = [session.volumes(name)[key] for name in session.pipelines for key in ("chi_para", "chi_dia", "chi_total")]
    assert all(has_legend(node) for node in every)
    assert not has_legend(session.volumes("medi")["flair"])
    views.set_legend(False)
    assert not any(has_legend(node) for node in every)


# Life


def test_edits_are_followed(views: ReviewViews, session: ReviewSession) -> None:
    views.show()
    session.select("Lesion_2")
    views.set_outlines(Outlines.SELECTED)
    views.set_reference(True)
    before = lesion_map_of_shell(shells(session.scene)[0])
    i, j, k = BOXES[2]
    paint(session.segmentation, "Lesion_2", mask_of((slice(i.start, i.stop + 3), j, k)))
    session.synchronise()
    assert not np.array_equal(before, lesion_map_of_shell(shells(session.scene)[0]))
    session.segmentation.GetSegmentation().RemoveSegment("Lesion_2")
    session.synchronise()
    assert shells(session.scene) == []
    assert visible(views) == []


def test_nothing_stays_when_the_segmentation_goes(views: ReviewViews, session: ReviewSession) -> None:
    views.show()
    session.select("Lesion_2")
    views.set_reference(True)
    session.scene.RemoveNode(session.segmentation)
    assert session.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    views.close()


def test_two_scenes_in_a_row(views: ReviewViews, session: ReviewSession, tmp_path: Path) -> None:
    views.show()
    session.select("Lesion_2")
    views.set_reference(True)
    scene = session.scene
    scene.Clear(0)
    views.close()
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    add_results(scene, "medi")
    again = ReviewSession(scene, add_lesion_segments(scene, lesions()), autosave_folder=tmp_path)
    views = ReviewViews(again)
    views.show()
    again.select("Lesion_1")
    assert lesion_map(again.segmentation, GRID).data.max() == 12
    views.close()
