"""Parameters of the module ChiSepReconstruct, kept in the scene."""

from __future__ import annotations

from typing import Annotated

from slicer.parameterNodeWrapper import Choice, parameterNodeWrapper

from ..methods import METHODS

#: Names as ``chisep methods`` lists them.
METHOD_NAMES = tuple(METHODS)


@parameterNodeWrapper
class ReconstructParameterNode:
    """Folder of the maps, method and folder of the output."""

    mapsFolder: str
    method: Annotated[str, Choice(METHOD_NAMES)] = "closed-form"
    output: str
