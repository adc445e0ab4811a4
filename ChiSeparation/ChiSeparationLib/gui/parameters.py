"""Parameters of the module ChiSeparation, kept in the scene."""

from __future__ import annotations

from typing import Annotated

from slicer.parameterNodeWrapper import Choice, parameterNodeWrapper

from ChiSepReconstructLib.gui.parameters import METHOD_NAMES


@parameterNodeWrapper
class SeparationParameterNode:
    """Paths of the images and of the output, empty where not given, and the method."""

    gre: str
    grePhase: str
    se: str
    flair: str
    mask: str
    method: Annotated[str, Choice(METHOD_NAMES)] = "closed-form"
    output: str
    overwrite: bool
