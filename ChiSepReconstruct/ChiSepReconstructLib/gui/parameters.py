"""Parameters of the module ChiSepReconstruct, kept in the scene."""

from __future__ import annotations

from typing import Annotated, get_args

from slicer import vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

from ..methods import R2PrimeSource
from ..networks.options import Resolution
from .logic import AUTOMATIC

#: Where the maps come from.
INPUT_KINDS = ("folder", "volumes")
#: Where R2′ may come from.
R2PRIME_SOURCES = get_args(R2PrimeSource)
RESOLUTIONS = get_args(Resolution)


@parameterNodeWrapper
class ReconstructParameterNode:
    """What the panel holds; names of methods are joined by commas, folders by line ends, options are JSON."""

    inputKind: Annotated[str, Choice(INPUT_KINDS)] = "folder"
    mapsFolder: str
    localField: vtkMRMLScalarVolumeNode
    brainMask: vtkMRMLScalarVolumeNode
    r2star: vtkMRMLScalarVolumeNode
    r2prime: vtkMRMLScalarVolumeNode
    magnitude: vtkMRMLScalarVolumeNode
    fieldMask: vtkMRMLScalarVolumeNode
    fieldSigma: vtkMRMLScalarVolumeNode
    csfMask: vtkMRMLScalarVolumeNode
    fieldStrength: str
    echoTimes: str
    imagingFrequency: str
    inScannerSpace: bool
    orientations: str

    method: str = AUTOMATIC
    r2primeSource: Annotated[str, Choice(R2PRIME_SOURCES)] = "maps"
    refine: bool
    weights: str
    resolution: Annotated[str, Choice(RESOLUTIONS)] = "fast"
    device: str = AUTOMATIC
    options: str

    output: str
    overwrite: bool

    shownMethod: str
    flair: vtkMRMLScalarVolumeNode
    underlay: vtkMRMLScalarVolumeNode
    blend: Annotated[float, WithinRange(0.0, 1.0)] = 0.7
    comparedArtifact: str = "chi_para"
    firstResult: vtkMRMLScalarVolumeNode
    secondResult: vtkMRMLScalarVolumeNode
