"""Slicer module ChiSeparation: from images to susceptibility maps in one go. The work is in ChiSeparationLib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

from ChiSeparationLib.gui.logic import ChiSeparationLogic
from ChiSeparationLib.gui.widget import ChiSeparationWidget

__all__ = ["ChiSeparation", "ChiSeparationLogic", "ChiSeparationWidget"]


class ChiSeparation(ScriptedLoadableModule):  # type: ignore[misc]
    """What Slicer shows about the module."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Chi-separation")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Neuroimaging") + ".Chi-separation"]
        parent.dependencies = ["ChiSepPreprocess", "ChiSepReconstruct"]
        parent.contributors = ["ChiSeparation contributors"]
        parent.helpText = _(
            "Separates paramagnetic (iron) and diamagnetic (myelin, calcium) susceptibility in brain MRI: "
            "from multi-echo gradient echo and spin echo images to maps in one go. "
            "For research; not a medical device."
        )
        parent.acknowledgementText = _(
            "Methods: Shin et al., χ-separation, NeuroImage 240:118371 (2021), doi:10.1016/j.neuroimage.2021.118371; "
            "Kim et al., χ-sepnet: deep neural network for magnetic susceptibility source separation; "
            "Lee, Ji and Oh, magnetic susceptibility source separation for myelin imaging (review)."
        )
        slicer.app.connect("startupCompleted()", offer_at_startup)


def offer_at_startup() -> None:
    """Make layouts, sample data, terms for lesions and segment statistics known; nothing is computed yet."""
    from ChiSeparationLib.gui import segment_statistics
    from ChiSeparationLib.gui.sample_data import register
    from ChiSeparationLib.scene.terminology import register_list
    from ChiSepPreprocessLib.scene.layouts import register_layouts

    resources = Path(__file__).with_name("Resources")
    register_layouts(slicer.mrmlScene)
    register(str(resources / "Icons" / "ChiSeparation.svg"))
    register_list(slicer.mrmlScene, resources / "Terminologies" / "ChiSeparationLesions.term.json")
    segment_statistics.register()
