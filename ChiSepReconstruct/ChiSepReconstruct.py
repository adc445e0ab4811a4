"""Slicer module ChiSepReconstruct: from maps to susceptibility maps. The work is in ChiSepReconstructLib."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

from ChiSepReconstructLib.gui.logic import ChiSepReconstructLogic
from ChiSepReconstructLib.gui.widget import ChiSepReconstructWidget

__all__ = ["ChiSepReconstruct", "ChiSepReconstructLogic", "ChiSepReconstructWidget"]


class ChiSepReconstruct(ScriptedLoadableModule):  # type: ignore[misc]
    """What Slicer shows about the module."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Chi-separation: 2 Reconstruct")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Neuroimaging") + ".Chi-separation"]
        parent.dependencies = ["ChiSepPreprocess"]
        parent.contributors = ["ChiSeparation contributors"]
        parent.helpText = _(
            "Turns maps into susceptibility maps (ppm): the paramagnetic part (iron), "
            "the magnitude of the diamagnetic part (myelin, calcium) and their sum. "
            "A map of your own, such as R2′, takes the place of a computed one."
        )
        parent.acknowledgementText = _(
            "Methods: Shin et al., χ-separation, NeuroImage 240:118371 (2021), doi:10.1016/j.neuroimage.2021.118371; "
            "Kim et al., χ-sepnet: deep neural network for magnetic susceptibility source separation; "
            "Lee, Ji and Oh, magnetic susceptibility source separation for myelin imaging (review)."
        )
