"""Parameters of the module ChiSepPreprocess, kept in the scene."""

from __future__ import annotations

from slicer.parameterNodeWrapper import parameterNodeWrapper


@parameterNodeWrapper
class PreprocessParameterNode:
    """Paths of the images and of the output, empty where not given; whether to replace an earlier run."""

    gre: str
    grePhase: str
    se: str
    mask: str
    output: str
    overwrite: bool
