"""Parameters of the module ChiSepPreprocess, kept in the scene."""

from __future__ import annotations

from typing import Annotated

from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

from .statements import AS_STORED
from .step_options import PRESET_NAMES, choices, defaults

#: Where the images are.
FOLDER, NODES = "folder", "loaded images"
PHASE_UNITS = (AS_STORED, "rad", "mrad", "deg", "cycles", "siemens")

_DEFAULTS = defaults()


@parameterNodeWrapper
class PreprocessParameterNode:
    """Images, statements about them, options of the steps, and output; texts are empty where not given.

    Loaded images and the mask are kept as references of the node. ``uses`` holds what series are used as, where the
    user chose: JSON with the folder and, by series, the use. Echo times are in ms, the field strength is in T; 0 means
    that nothing is stated.
    """

    source: Annotated[str, Choice((FOLDER, NODES))] = FOLDER
    gre: str
    grePhase: str
    se: str
    uses: str

    fieldStrength: Annotated[float, WithinRange(0.0, 15.0)] = 0.0
    echoTimes: str
    seEchoTimes: str
    phaseUnit: Annotated[str, Choice(PHASE_UNITS)] = AS_STORED
    flipPhase: bool
    inScannerSpace: bool
    seIsTurbo: bool

    preset: Annotated[str, Choice(PRESET_NAMES)] = "best"
    denoise: bool = _DEFAULTS["denoise"]
    maskMethod: Annotated[str, Choice(choices("maskMethod"))] = _DEFAULTS["maskMethod"]
    maskErosion: Annotated[float, WithinRange(0.0, 20.0)] = _DEFAULTS["maskErosion"]
    mask: str
    correctBipolar: bool = _DEFAULTS["correctBipolar"]
    unwrapMethod: Annotated[str, Choice(choices("unwrapMethod"))] = _DEFAULTS["unwrapMethod"]
    fieldMethod: Annotated[str, Choice(choices("fieldMethod"))] = _DEFAULTS["fieldMethod"]
    backgroundMethod: Annotated[str, Choice(choices("backgroundMethod"))] = _DEFAULTS["backgroundMethod"]
    vsharpRadius: Annotated[float, WithinRange(2.0, 40.0)] = _DEFAULTS["vsharpRadius"]
    eachEcho: bool = _DEFAULTS["eachEcho"]
    r2starMethod: Annotated[str, Choice(choices("r2starMethod"))] = _DEFAULTS["r2starMethod"]
    fieldSlope: bool = _DEFAULTS["fieldSlope"]
    r2Method: Annotated[str, Choice(choices("r2Method"))] = _DEFAULTS["r2Method"]
    skipFirstEcho: bool = _DEFAULTS["skipFirstEcho"]
    withoutSpinEcho: Annotated[str, Choice(choices("withoutSpinEcho"))] = _DEFAULTS["withoutSpinEcho"]
    pseudoR2: Annotated[float, WithinRange(0.0, 100.0)] = _DEFAULTS["pseudoR2"]
    r2primeShare: Annotated[float, WithinRange(0.0, 1.0)] = _DEFAULTS["r2primeShare"]

    output: str
    overwrite: bool
