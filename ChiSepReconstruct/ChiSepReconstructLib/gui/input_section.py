"""Where the maps come from: a folder, or volumes of the scene; further head orientations; what was found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ChiSepPreprocessLib.artifacts import ARTIFACTS
from ChiSepPreprocessLib.files import is_complete
from ChiSepPreprocessLib.gui.computation import Job
from ChiSepPreprocessLib.scene.nodes import ARTIFACT

from .availability import TITLES
from .choice_box import ChoiceBox
from .section import Section
from .volume_inputs import VOLUMES

#: Where a run keeps its maps.
_MAPS = "maps"


def maps_in(folder: str) -> frozenset[str]:
    """Artifacts that a folder of maps, or a run's folder, holds complete."""
    if not folder:
        return frozenset()
    places = (Path(folder).expanduser(), Path(folder).expanduser() / _MAPS)
    return frozenset(name for name in ARTIFACTS for place in places if is_complete(place, name))


class InputSection(Section):
    """Asks for maps."""

    def build(self) -> None:
        """Fill and connect the widgets."""
        words = {"folder": _("A folder of maps"), "volumes": _("Volumes of this scene")}
        self._kind = ChoiceBox(self.ui.inputKindComboBox, lambda value: self.keep("inputKind", value), words)
        self.ui.takeVolumesButton.connect("clicked()", self.take_volumes)
        self.ui.addOrientationButton.connect("clicked()", self.add_orientation)
        self.ui.removeOrientationButton.connect("clicked()", self.remove_orientation)

    @property
    def orientations(self) -> list[str]:
        """Folders of further head orientations."""
        return [line for line in self.given.orientations.splitlines() if line]

    @property
    def is_ready(self) -> bool:
        """Whether maps are named."""
        return bool(self.volumes) if self.given.inputKind == "volumes" else bool(self.given.mapsFolder)

    @property
    def volumes(self) -> dict[str, Any]:
        """Chosen volumes by artifact."""
        chosen = {artifact: getattr(self.given, name) for name, artifact in VOLUMES.items()}
        return {artifact: node for artifact, node in chosen.items() if node is not None}

    @property
    def maps(self) -> frozenset[str]:
        """Artifacts that are there."""
        return frozenset(self.volumes) if self.given.inputKind == "volumes" else maps_in(self.given.mapsFolder)

    def start(self, start: Callable[..., Job], start_from_volumes: Callable[..., Job], **chosen: Any) -> Job:
        """Start the computation on what is chosen here."""
        given = self.given
        chosen["orientations"] = self.orientations
        if given.inputKind == "folder":
            return start(given.mapsFolder, **chosen)
        return start_from_volumes(
            self.volumes, field_strength_t=given.fieldStrength, echo_times_ms=given.echoTimes,
            imaging_frequency_mhz=given.imagingFrequency, in_scanner_space=given.inScannerSpace, **chosen,
        )  # fmt: skip

    def update(self) -> None:
        """Show the parameters."""
        from_volumes = self.given.inputKind == "volumes"
        self._kind.show(self.given.inputKind)
        self.ui.volumesWidget.visible = from_volumes
        self.ui.mapsFolderLabel.visible = not from_volumes
        self.ui.mapsFolderPathLineEdit.visible = not from_volumes
        self.ui.foundLabel.text = self._found()
        self._show_orientations()

    def _found(self) -> str:
        if not self.is_ready:
            return _("Choose the maps that ChiSepPreprocess or “chisep preprocess” made.")
        found = [TITLES[name] for name in ARTIFACTS if name in self.maps and name in TITLES]
        if not found:
            return _("There are no maps in this folder.")
        return _("Found: {maps}.").format(maps=", ".join(found))

    def _show_orientations(self) -> None:
        shown = self.ui.orientationsListWidget
        if [shown.item(row).text() for row in range(shown.count)] != self.orientations:
            shown.clear()
            shown.addItems(self.orientations)
        self.ui.removeOrientationButton.enabled = bool(self.orientations)

    def take_volumes(self) -> None:
        """Choose the scene's newest map of each kind where none is chosen yet."""
        if self.given is None:
            return
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")[::-1]:
            for name, artifact in VOLUMES.items():
                if node.GetAttribute(ARTIFACT) == artifact and getattr(self.given, name) is None:
                    self.keep(name, node)

    def add_orientation(self) -> None:
        """Ask for a folder of maps of the head turned in the scanner."""
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of maps"))
        if folder and self.given is not None:
            self.keep("orientations", "\n".join([*self.orientations, str(folder)]))

    def remove_orientation(self) -> None:
        """Take the chosen folder out, or the last one."""
        folders = self.orientations if self.given is not None else []
        if folders:
            folders.pop(max(self.ui.orientationsListWidget.currentRow, -1))
            self.keep("orientations", "\n".join(folders))
