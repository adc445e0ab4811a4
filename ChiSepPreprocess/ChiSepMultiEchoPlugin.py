"""Plugin of Slicer's DICOM module for multi-echo scans. The work is in ChiSepPreprocessLib.scene.dicom_loadables."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import slicer
from DICOMLib import DICOMLoadable, DICOMPlugin
from slicer.i18n import tr as _

from ChiSepPreprocessLib.errors import ChiSepError
from ChiSepPreprocessLib.scene.acquisition_nodes import DICOM_UIDS
from ChiSepPreprocessLib.scene.dicom_loadables import Offer, load_offer, offers, put_beside

__all__ = ["ChiSepMultiEchoPlugin", "ChiSepMultiEchoPluginClass"]


class ChiSepMultiEchoPluginClass(DICOMPlugin):  # type: ignore[misc]
    """Offers magnitude and phase of all echoes as one thing to load."""

    def __init__(self) -> None:
        super().__init__()
        self.loadType = _("Multi-echo MR")

    def examineForImport(self, fileLists: Sequence[Sequence[str]]) -> list[DICOMLoadable]:
        """Loadables among the files of the chosen series."""
        return [_loadable(offer) for offer in offers(fileLists)]

    def load(self, loadable: DICOMLoadable) -> Any:
        """Load the scan as sequence nodes and show its first echo; ``None`` if it cannot be loaded."""
        scene = slicer.mrmlScene
        try:
            nodes = load_offer(scene, loadable.files, name=loadable.name.rpartition(": ")[0])
        except ChiSepError as error:
            logging.error("%s", error)
            return None
        volume = nodes.pop("volume")
        uids = " ".join(dict.fromkeys(slicer.dicomDatabase.instanceForFile(file) for file in loadable.files))
        for node in nodes.values():
            node.SetAttribute(DICOM_UIDS, uids)
        self.addSeriesInSubjectHierarchy(loadable, volume)
        put_beside(scene, nodes.values(), volume)
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        return volume


def _loadable(offer: Offer) -> DICOMLoadable:
    loadable = DICOMLoadable()
    loadable.files = list(offer.files)
    loadable.name = offer.name
    loadable.tooltip = offer.tooltip
    loadable.warning = offer.warning
    loadable.selected = offer.selected
    loadable.confidence = offer.confidence
    return loadable


class ChiSepMultiEchoPlugin:
    """Module without a panel, which only makes the plugin known to the DICOM module."""

    def __init__(self, parent: Any) -> None:
        parent.title = _("Multi-echo DICOM plugin of chi-separation")
        parent.categories = ["Developer Tools.DICOM Plugins"]
        parent.contributors = ["ChiSeparation contributors"]
        parent.helpText = _("Loads multi-echo gradient echo and spin echo series as sequences indexed by echo time.")
        parent.acknowledgementText = ""
        parent.hidden = True
        if not hasattr(slicer.modules, "dicomPlugins"):
            slicer.modules.dicomPlugins = {}
        slicer.modules.dicomPlugins["ChiSepMultiEchoPlugin"] = ChiSepMultiEchoPluginClass
