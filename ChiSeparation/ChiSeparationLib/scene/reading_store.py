"""The reading in the scene: a text node with the reading as JSON, beside its segmentation.

- ``ReadingStore(scene, segmentation)``: ``.read() -> Reading``, ``.write(reading)``,
  ``.write_tags(reading, segment_ids, asked)``, ``.key``.
- ``find_reading_node(scene, segmentation) -> vtkMRMLTextNode or None``.

The text is ASCII on one line and stays in the scene's own file, so ``.mrml`` and ``.mrb`` keep it without a file of its
own. Each segment carries its judgements too (:mod:`.segment_tags`), which is what a ``.seg.nrrd`` alone brings back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ChiSepPreprocessLib.errors import InputError

from ..lesions.identities import label_of, lesion_id_of
from ..lesions.reading import Reading
from ..lesions.reading_files import as_json, from_json
from .autosave import new_key
from .segment_tags import by_lesion, reading_from_tags, set_identity, set_judgements, set_status, status_of

if TYPE_CHECKING:
    import slicer

#: Attributes of the text node: that it is a reading, its autosave's key, and the highest number of a lesion ever used.
READING, KEY, HIGHEST = "ChiSeparation.Reading", "ChiSeparation.AutosaveKey", "ChiSeparation.HighestLesion"

#: Role of the reference from the text node to its segmentation.
LESIONS = "ChiSeparation.Lesions"


def find_reading_node(scene: slicer.vtkMRMLScene, segmentation: Any) -> Any:
    """Text node with the reading of a segmentation, ``None`` if there is none."""
    if segmentation.GetScene() is None:
        return None
    own = segmentation.GetID()
    nodes = (one for one in scene.GetNodesByClass("vtkMRMLTextNode") if one.GetAttribute(READING))
    return next((one for one in nodes if one.GetNodeReferenceID(LESIONS) == own), None)


class ReadingStore:
    """Where the reading of one segmentation is kept.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`ChiSepPreprocessLib.scene.session`.
    segmentation : vtkMRMLSegmentationNode
        Lesions.
    """

    def __init__(self, scene: slicer.vtkMRMLScene, segmentation: Any) -> None:
        self.scene, self.segmentation = scene, segmentation

    @property
    def node(self) -> Any:
        """Text node, ``None`` before the first :meth:`write`."""
        return find_reading_node(self.scene, self.segmentation)

    @property
    def key(self) -> str:
        """Key of the autosave, empty before the first :meth:`write`."""
        return (self.node.GetAttribute(KEY) or "") if self.node is not None else ""

    @property
    def highest(self) -> int:
        """Highest number of a lesion that was ever used here."""
        text = (self.node.GetAttribute(HIGHEST) or "0") if self.node is not None else "0"
        return int(text) if text.isdecimal() else 0

    @property
    def is_saved(self) -> bool:
        """Whether the scene was saved since the last :meth:`write`."""
        from vtkmodules.vtkCommonCore import vtkCollection

        # The scene has no event for it, but compares its nodes with the time of its last file.
        modified, node = vtkCollection(), self.node
        self.scene.GetModifiedSinceRead(modified)
        return node is not None and not modified.IsItemPresent(node)

    def used_ids(self, reading: Reading) -> set[str]:
        """Identities that are or were in use, as far as the next new one must know."""
        ids = {one.lesion_id for one in reading.lesions} | {one.lesion_id for one in reading.judgements}
        return {*ids, *([lesion_id_of(self.highest)] if self.highest else [])}

    def read(self) -> Reading:
        """Read the reading: of the text node, else of the segments' tags.

        Raises
        ------
        InputError
            If it is damaged or of a newer version; it is left as it is.
        """
        node = self.node
        if node is None:
            return reading_from_tags(self.segmentation)
        try:
            content = json.loads(node.GetText())
        except (ValueError, RecursionError) as error:
            raise InputError(f"reading in node '{node.GetName()}'", "text that is no JSON", "a reading as JSON",
                             "Delete that node to start anew.") from error  # fmt: skip
        return from_json(content)

    def write(self, reading: Reading, highest: int = 0) -> None:
        """Write the reading into the text node, made at the first call.

        Parameters
        ----------
        reading : Reading
            All of it.
        highest : int
            Highest number of a lesion, if it is not among the reading's lesions any more.
        """
        node = self.node or self._made()
        # In the scene's own file, always: a file beside it could be left out when the user saves.
        node.SetForceCreateStorageNode(node.CreateStorageNodeNever)
        numbers = [label_of(one.lesion_id) for one in reading.lesions]
        node.SetAttribute(HIGHEST, str(max([self.highest, highest, *numbers])))
        node.SetText(json.dumps(as_json(reading), separators=(",", ":")))

    def write_tags(self, reading: Reading, segment_ids: Mapping[str, str], asked: int) -> None:
        """Write identity, judgements and status on segments.

        Parameters
        ----------
        reading : Reading
            All of it.
        segment_ids : mapping of str to str
            Segments to write on, by identity.
        asked : int
            Questions about each lesion that make it complete.
        """
        said, segmentation = by_lesion(reading), self.segmentation.GetSegmentation()
        for lesion_id, segment_id in segment_ids.items():
            segment, own = segmentation.GetSegment(segment_id), said.get(lesion_id, [])
            set_identity(segment, lesion_id)
            set_judgements(segment, own)
            set_status(segment, status_of(len({(one.question.map_name, one.question.pipeline) for one in own}), asked))

    def _made(self) -> Any:
        node = self.scene.AddNewNodeByClass("vtkMRMLTextNode", f"{self.segmentation.GetName()} reading")
        node.SetAttribute(READING, "1")
        node.SetAttribute(KEY, new_key())
        node.SetNodeReferenceID(LESIONS, self.segmentation.GetID())
        return node
