"""Slicer reads our segmentation file: voxels, places, identities and any text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ChiSeparationLib.report.lesion_study import LesionStudy
from ChiSeparationLib.report.seg_nrrd import LABEL_TAG, write_seg_nrrd
from ChiSeparationLib.scene.segment_tags import LESION
from ChiSepPreprocessLib.artifacts import Grid
from ChiSepPreprocessLib.scene.labels import named_masks
from lesion_report_cases import GRIDS, graded, make_study, named

#: Signs that part values, lines or tags in the file, and letters of other scripts.
HARD_NAME = r"a|b:c:=d \n backslash \ 病変 = 'quote' ~^"


def read(scene: Any, path: Path) -> Any:
    import slicer

    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "lesions")
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    assert isinstance(node, slicer.vtkMRMLSegmentationNode)
    return node


def tag(segment: Any, key: str) -> str:
    from vtkmodules.vtkCommonCore import reference

    text = reference("")
    return str(text) if segment.GetTag(key, text) else ""


def placed(study: LesionStudy, masks: Mapping[str, tuple[np.ndarray, Grid]]) -> np.ndarray:
    """Masks by identity, put back on the study's grid by their places."""
    found = np.zeros(study.grid.shape, dtype=np.int32)
    for lesion_id, (mask, grid) in masks.items():
        ras = np.argwhere(mask) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
        inverse = np.linalg.inv(study.grid.affine)
        index = ras @ inverse[:3, :3].T + inverse[:3, 3]
        assert np.abs(index - np.rint(index)).max() < 1e-6
        found[tuple(np.rint(index).astype(int).T)] = int(lesion_id.split("_")[1])
    return found


@pytest.mark.parametrize("name", GRIDS)
def test_every_voxel_comes_back_at_its_place(scene: Any, name: str, tmp_path: Path) -> None:
    study = make_study(GRIDS[name]())
    write_seg_nrrd(tmp_path / "lesions.seg.nrrd", study)
    node = read(scene, tmp_path / "lesions.seg.nrrd")
    segmentation = node.GetSegmentation()
    ids = list(segmentation.GetSegmentIDs())
    assert ids == ["Lesion_2", "Lesion_5", "Lesion_300"]
    masks = {one: (mask, grid) for one, (_, mask, grid) in zip(ids, named_masks(node), strict=True)}
    np.testing.assert_array_equal(placed(study, masks), study.lesions.data)


def test_identities_and_terminology_come_back(scene: Any, tmp_path: Path) -> None:
    import slicer

    write_seg_nrrd(tmp_path / "lesions.seg.nrrd", make_study())
    segmentation = read(scene, tmp_path / "lesions.seg.nrrd").GetSegmentation()
    for segment_id, label in (("Lesion_2", 2), ("Lesion_5", 5), ("Lesion_300", 300)):
        segment = segmentation.GetSegment(segment_id)
        assert (tag(segment, LABEL_TAG), tag(segment, LESION)) == (str(label), segment_id)
        assert (segment.GetLabelValue(), segment.GetName()) == (label, f"Lesion {label}")
        entry, logic = slicer.vtkSlicerTerminologyEntry(), slicer.vtkSlicerTerminologiesModuleLogic()
        assert logic.DeserializeTerminologyEntry(tag(segment, segment.GetTerminologyEntryTagName()), entry)
        assert (entry.GetCategoryObject().GetCodeValue(), entry.GetTypeObject().GetCodeValue()) == (
            "49755003", "52988006",
        )  # fmt: skip


def test_any_name_comes_back(scene: Any, tmp_path: Path) -> None:
    study = named(make_study(), HARD_NAME + "\r\nline\u2028line")
    write_seg_nrrd(tmp_path / "lesions.seg.nrrd", study)
    segmentation = read(scene, tmp_path / "lesions.seg.nrrd").GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 3
    assert segmentation.GetSegment("Lesion_5").GetName() == HARD_NAME + "  line line"


def test_no_lesion_is_a_file_without_segments(scene: Any, tmp_path: Path) -> None:
    write_seg_nrrd(tmp_path / "lesions.seg.nrrd", make_study(lesions=False))
    assert read(scene, tmp_path / "lesions.seg.nrrd").GetSegmentation().GetNumberOfSegments() == 0


def test_the_review_finds_the_same_lesions(scene: Any, tmp_path: Path) -> None:
    from ChiSeparationLib.scene.lesion_segments import find_lesions

    study = make_study(GRIDS["left-handed"]())
    write_seg_nrrd(tmp_path / "lesions.seg.nrrd", study)
    found = find_lesions(read(scene, tmp_path / "lesions.seg.nrrd"))
    assert [one.lesion_id for one in found.lesions] == ["Lesion_2", "Lesion_5", "Lesion_300"]
    np.testing.assert_array_equal(found.on_grid(study.grid).data, study.lesions.data)


def test_grades_come_back_with_any_comment(scene: Any, tmp_path: Path) -> None:
    from ChiSeparationLib.scene.segment_tags import reading_from_tags

    study = graded(make_study(), "AB", "Δ|:", comment=HARD_NAME + "\nline")
    assert len(study.reading.judgements) > 4
    write_seg_nrrd(tmp_path / "lesions.seg.nrrd", study)
    found = reading_from_tags(read(scene, tmp_path / "lesions.seg.nrrd"))
    assert dict(found.judgements) == dict(study.reading.judgements)
