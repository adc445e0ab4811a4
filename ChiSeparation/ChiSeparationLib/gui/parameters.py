"""Parameters of the module ChiSeparation, kept in the scene."""

from __future__ import annotations

from typing import Annotated

from slicer.parameterNodeWrapper import Choice, parameterNodeWrapper

from ChiSepReconstructLib.gui.parameters import METHOD_NAMES, R2PRIME_SOURCES


@parameterNodeWrapper
class SeparationParameterNode:
    """Paths of the images and of the output, empty where not given; method, where its R2′ comes from, refinement."""

    gre: str
    grePhase: str
    se: str
    flair: str
    mask: str
    method: Annotated[str, Choice(METHOD_NAMES)] = "closed-form"
    r2primeSource: Annotated[str, Choice(R2PRIME_SOURCES)] = "maps"
    refine: bool
    output: str
    overwrite: bool
