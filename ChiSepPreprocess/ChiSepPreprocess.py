"""Slicer module ChiSepPreprocess: from images to maps. The work is in ChiSepPreprocessLib."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

from ChiSepPreprocessLib.gui.logic import ChiSepPreprocessLogic
from ChiSepPreprocessLib.gui.widget import ChiSepPreprocessWidget

__all__ = ["ChiSepPreprocess", "ChiSepPreprocessLogic", "ChiSepPreprocessWidget"]


class ChiSepPreprocess(ScriptedLoadableModule):  # type: ignore[misc]
    """What Slicer shows about the module."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Chi-separation: 1 Preprocess")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Neuroimaging") + ".Chi-separation"]
        parent.dependencies = []
        parent.contributors = ["ChiSeparation contributors"]
        parent.helpText = _(
            "Turns multi-echo gradient echo images, and a spin echo series if there is one, into maps: "
            "brain mask, total and local field (ppm), R2*, R2 and R2′ (1/s). "
            "The maps are the input of Chi-separation: 2 Reconstruct."
        )
        parent.acknowledgementText = _(
            "Methods: Shin et al., χ-separation, NeuroImage 240:118371 (2021), doi:10.1016/j.neuroimage.2021.118371; "
            "Kim et al., χ-sepnet: deep neural network for magnetic susceptibility source separation; "
            "Lee, Ji and Oh, magnetic susceptibility source separation for myelin imaging (review)."
        )
