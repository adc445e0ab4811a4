"""Parameters of the module ChiSeparation, kept in the scene."""

from __future__ import annotations

from typing import Annotated, get_args

from slicer.parameterNodeWrapper import Choice, parameterNodeWrapper

from ChiSepReconstructLib.methods import METHODS, R2PrimeSource

from ..method_choice import AUTOMATIC

#: The word for the best that fits the data, then names as ``chisep methods`` lists them.
METHOD_NAMES = (AUTOMATIC, *METHODS)
#: Where R2′ may come from.
R2PRIME_SOURCES = get_args(R2PrimeSource)


@parameterNodeWrapper
class SeparationParameterNode:
    """Paths of the images and of the output, empty where not given; method, where its R2′ comes from, refinement."""

    gre: str
    grePhase: str
    se: str
    flair: str
    mask: str
    method: Annotated[str, Choice(METHOD_NAMES)] = AUTOMATIC
    r2primeSource: Annotated[str, Choice(R2PRIME_SOURCES)] = "maps"
    refine: bool
    output: str
    overwrite: bool
