"""What the home page remembers in the scene beyond the computation's parameters."""

from __future__ import annotations

from typing import Annotated

import slicer
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from ChiSepPreprocessLib.scene.views import BLEND

from .steps import COUNT


@parameterNodeWrapper
class PageParameterNode:
    """Step that is open, from 1; image below the maps and the maps' opacity over it; legends; the user's regions."""

    step: Annotated[int, WithinRange(1, COUNT)] = 1
    underlay: slicer.vtkMRMLScalarVolumeNode
    opacity: Annotated[float, WithinRange(0.0, 1.0)] = BLEND
    legend: bool
    regions: slicer.vtkMRMLSegmentationNode
