"""Parameters of the module ChiSepReconstruct, kept in the scene."""

from __future__ import annotations

from typing import Annotated, get_args

from slicer.parameterNodeWrapper import Choice, parameterNodeWrapper

from ..methods import METHODS, R2PrimeSource

#: Names as ``chisep methods`` lists them.
METHOD_NAMES = tuple(METHODS)
#: Where R2′ may come from.
R2PRIME_SOURCES = get_args(R2PrimeSource)


@parameterNodeWrapper
class ReconstructParameterNode:
    """Folder of the maps, method, where its R2′ comes from, whether it refines, and folder of the output."""

    mapsFolder: str
    method: Annotated[str, Choice(METHOD_NAMES)] = "closed-form"
    r2primeSource: Annotated[str, Choice(R2PRIME_SOURCES)] = "maps"
    refine: bool
    output: str
