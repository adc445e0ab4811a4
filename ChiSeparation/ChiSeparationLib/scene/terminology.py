"""What lesion segments are called in codes: Slicer's lists have no lesion, so the module brings a list of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ChiSepPreprocessLib.scene.session import logic

if TYPE_CHECKING:
    import slicer

#: A lesion in the brain in Slicer's notation: the module's list (``Resources/Terminologies``), category, type and
#: modifier, then Slicer's own list of places, region and modifier.
LESION_ENTRY = (
    "ChiSeparation lesions~SCT^49755003^Morphologically Abnormal Structure~SCT^52988006^Lesion~^^"
    "~Anatomic codes - DICOM master list~SCT^12738006^Brain~^^"
)


def set_entry(node: Any, entry: str = LESION_ENTRY) -> None:
    """Write a terminology entry on every segment of a segmentation; colours and names stay."""
    segmentation = node.GetSegmentation()
    for segment_id in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segment_id)
        segment.SetTag(segment.GetTerminologyEntryTagName(), entry)


def register_list(scene: slicer.vtkMRMLScene, file: Path) -> bool:
    """Make a terminology list known to Slicer at start-up; whether that worked, as without its module it cannot."""
    terminologies = logic(scene, "Terminologies")
    return terminologies is not None and bool(terminologies.LoadTerminologyFromFile(str(file)))
