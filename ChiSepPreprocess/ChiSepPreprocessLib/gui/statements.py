"""What the user must state because the images do not. Needs no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InputError
from ..quantities import ms_to_s
from ..scene.acquisition_nodes import DICOM_UIDS, sequence_behind
from ..scene.nodes import ARTIFACT
from ..scene.sequences import FIELD_STRENGTH, FREQUENCY
from .survey import Study

#: Unit of the phase where nothing is stated.
AS_STORED = "as the images say"

#: Parameters that state something about the images.
STATEMENTS = ("fieldStrength", "echoTimes", "seEchoTimes", "phaseUnit", "flipPhase", "inScannerSpace", "seIsTurbo")

#: Words by which an error of the computation asks for a statement.
_ASKED_BY = {
    "fieldStrength": ("field strength",),
    "echoTimes": ("echo times", "--echo-times"),
    "seEchoTimes": ("spin echo times", "--se-echo-times"),
    "phaseUnit": ("--phase-unit",),
    "flipPhase": ("--flip-phase-sign",),
    "inScannerSpace": ("axes of node",),
}


def times_s(quantity: str, text: str) -> tuple[float, ...] | None:
    """Echo times in s from a text in ms; ``None`` for an empty one.

    Raises
    ------
    InputError
        If it holds anything but positive numbers.
    """
    words = text.replace(",", " ").replace(";", " ").split()
    try:
        times = tuple(round(ms_to_s(float(word)), 9) for word in words)
    except ValueError:
        times = (0.0,)
    if not all(time > 0 for time in times):
        raise InputError(quantity, f"'{text}'", "milliseconds, such as 4.5 9 13.5", "Correct the field.")
    return times or None


def needed_statements(given: Any, study: Study | None, nodes: Mapping[str, Any], refused: str) -> frozenset[str]:
    """Names of the parameters for which there must be a field.

    Parameters
    ----------
    given : PreprocessParameterNode
        What is stated already stays to be seen.
    study : Study or None
        What was found in the folder.
    nodes : mapping of str to vtkMRMLNode or None
        Loaded images; empty if there is a folder.
    refused : str
        Why the last run failed; empty if it did not.
    """
    needed = {name for name in ("echoTimes", "seEchoTimes", "flipPhase", "inScannerSpace", "seIsTurbo")
              if getattr(given, name)}  # fmt: skip
    needed |= {"fieldStrength"} if given.fieldStrength else set()
    needed |= {"phaseUnit"} if given.phaseUnit != AS_STORED else set()
    needed |= {name for name, words in _ASKED_BY.items() if any(word in refused for word in words)}
    if study is not None:
        needed |= _of_study(study)
    return frozenset(needed | _of_nodes(nodes))


def _of_study(study: Study) -> set[str]:
    gradient = ("gre_magnitude", "gre_phase", "gre_complex")
    asked = {
        "fieldStrength": study.needs("field strength", gradient),
        "echoTimes": study.needs("do not tell the echo times", gradient),
        "seEchoTimes": study.needs("do not tell the echo times", ("se_magnitude",)),
    }
    return {name for name, is_asked in asked.items() if is_asked}


def _of_nodes(nodes: Mapping[str, Any]) -> set[str]:
    needed = set()
    magnitude, phase, spin_echo = (_source(nodes.get(role)) for role in ("magnitude", "phase", "se"))
    if magnitude is not None and not (magnitude.GetAttribute(FIELD_STRENGTH) or magnitude.GetAttribute(FREQUENCY)):
        needed.add("fieldStrength")
    for one in (magnitude, phase):
        if one is not None and not (one.GetAttribute(ARTIFACT) or one.GetAttribute(DICOM_UIDS)):
            needed.add("inScannerSpace")
    if phase is not None and not phase.GetAttribute(ARTIFACT):
        needed.add("phaseUnit")
    if spin_echo is not None and not spin_echo.GetAttribute(ARTIFACT):
        needed.add("seIsTurbo")
    return needed | {name for name, one in (("echoTimes", magnitude), ("seEchoTimes", spin_echo)) if _lacks_times(one)}


def _source(node: Any) -> Any:
    return None if node is None else sequence_behind(node) or node


def _lacks_times(node: Any) -> bool:
    if node is None or not node.IsA("vtkMRMLSequenceNode"):
        return False
    is_time = "".join((node.GetIndexName() or "").lower().split()) in ("echotime", "te")
    return not (is_time and node.GetIndexUnit() in ("ms", "s"))
