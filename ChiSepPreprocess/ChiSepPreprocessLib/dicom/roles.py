"""What an image is, told from sequence facts that DICOM headers and BIDS sidecars share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

#: An inversion time this long nulls fluid, not fat or brain: FLAIR.
SHORTEST_FLUID_INVERSION_S = 1.2


class Role(StrEnum):
    """Kind of sequence."""

    GRE = "gre"
    SPIN_ECHO = "spin echo"
    TURBO_SPIN_ECHO = "tse"
    FLAIR = "flair"
    OTHER = "other"
    UNKNOWN = "unknown"


class Component(StrEnum):
    """Part of the complex image."""

    MAGNITUDE = "magnitude"
    PHASE = "phase"
    REAL = "real"
    IMAGINARY = "imaginary"
    PHASE_DIFFERENCE = "phase difference"
    FIELD_MAP = "field map"
    OTHER = "other"
    UNKNOWN = "unknown"


class Vendor(StrEnum):
    """Manufacturers whose headers are understood."""

    SIEMENS = "Siemens"
    PHILIPS = "Philips"
    GE = "GE"
    CANON = "Canon"
    UNITED_IMAGING = "United Imaging"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class SequenceFacts:
    """Header values that tell the kind of sequence; empty where the header is silent.

    Parameters
    ----------
    scanning : frozenset of str
        ScanningSequence: GR, SE, IR, EP.
    image_type : tuple of str
        ImageType beyond its first two values.
    name : str
        Vendor's name of the sequence.
    inversion_time_s : float or None
        Inversion time, s.
    echo_train_length : int
        Echoes read after one excitation; 0 if not stated.
    """

    scanning: frozenset[str] = frozenset()
    image_type: tuple[str, ...] = ()
    name: str = ""
    inversion_time_s: float | None = None
    echo_train_length: int = 0


#: ImageType values of images made from others: projections, weighted products, reformats.
_DERIVED = {"MNIP", "MINIP", "MIP", "SWI", "ADC", "MPR", "PROJECTION IMAGE", "SCREEN SAVE", "SUBTRACTION"}

#: ImageType values of images with many slices tiled into one: Siemens, United Imaging.
TILED = frozenset({"MOSAIC", "VFRAME"})

_WORDS = {
    "M": Component.MAGNITUDE,
    "MAGNITUDE": Component.MAGNITUDE,
    "P": Component.PHASE,
    "PHASE": Component.PHASE,
    "PHASE MAP": Component.PHASE,
    "R": Component.REAL,
    "REAL": Component.REAL,
    "I": Component.IMAGINARY,
    "IMAGINARY": Component.IMAGINARY,
}

#: ImageType values, without spaces and the like, of what is made from phase and cannot stand in for it.
_MADE_FROM_PHASE = {
    "B0": Component.FIELD_MAP,
    "B0MAP": Component.FIELD_MAP,
    "FIELDMAP": Component.FIELD_MAP,
    "FIELDMAPHZ": Component.FIELD_MAP,
    "PHASEDIFF": Component.PHASE_DIFFERENCE,
    "PHASEDIFFERENCE": Component.PHASE_DIFFERENCE,
}

#: Siemens' name of the sequence that stores one phase difference of two echoes.
_SIEMENS_FIELD_MAPPING = "*fm"
_GE_NUMBERS = (Component.MAGNITUDE, Component.PHASE, Component.REAL, Component.IMAGINARY)


def role_of(facts: SequenceFacts) -> Role:
    """Kind of sequence; :attr:`Role.UNKNOWN` if the header says nothing about it."""
    if not facts.scanning:
        return Role.UNKNOWN
    if "EP" in facts.scanning or _DERIVED & set(facts.image_type):
        return Role.OTHER
    if "GR" in facts.scanning:
        return Role.OTHER if "IR" in facts.scanning else Role.GRE
    if (facts.inversion_time_s or 0.0) >= SHORTEST_FLUID_INVERSION_S:
        return Role.FLAIR
    if "IR" in facts.scanning or "SE" not in facts.scanning:
        return Role.OTHER
    return Role.SPIN_ECHO


def is_turbo(facts: SequenceFacts, echo_count: int) -> bool:
    """Whether a spin echo fills several lines of k-space after one excitation."""
    name = facts.name.lower()
    return "tse" in name or "fse" in name or facts.echo_train_length > echo_count


def component_of(
    image_type: Iterable[str], complex_component: str = "", philips: str = "", ge: int | None = None
) -> Component:
    """Part of the complex image.

    Parameters
    ----------
    image_type : iterable of str
        ImageType beyond its first two values; of enhanced images the frame's before the file's.
    complex_component : str, optional
        ComplexImageComponent (0008,9208); ``MIXED`` tells nothing.
    philips : str, optional
        Philips' private image type (2005,1011).
    ge : int, optional
        GE's private image type (0043,102F).

    Returns
    -------
    Component
        Magnitude if nothing says otherwise, as DICOM images are by default.
    """
    tokens = [token.upper() for token in image_type]
    for token in (*tokens, philips.upper()):
        if (made := _MADE_FROM_PHASE.get(token.translate(_NO_SEPARATORS))) is not None:
            return made
    if complex_component.upper() in _WORDS:
        return _WORDS[complex_component.upper()]
    if philips:
        return _WORDS.get(philips.upper(), Component.OTHER)
    if ge is not None and 0 <= ge < len(_GE_NUMBERS):
        return _GE_NUMBERS[ge]
    return next((_WORDS[token] for token in tokens if token in _WORDS), Component.MAGNITUDE)


_NO_SEPARATORS = str.maketrans("", "", " _-")


def not_plain_phase(component: Component, sequence_name: str, unit: str) -> Component:
    """Component, corrected where name or unit tell that it is no phase of an echo.

    Parameters
    ----------
    component : Component
        As :func:`component_of` has it.
    sequence_name : str
        Vendor's name of the sequence.
    unit : str
        Unit of the rescaled values, lower case.
    """
    if unit == "hz":
        return Component.FIELD_MAP
    if component == Component.PHASE and sequence_name.lower().startswith(_SIEMENS_FIELD_MAPPING):
        return Component.PHASE_DIFFERENCE
    return component


#: Beginnings of Manufacturer (0008,0070).
_VENDORS = {
    "SIEMENS": Vendor.SIEMENS,
    "PHILIPS": Vendor.PHILIPS,
    "GE ": Vendor.GE,
    "GENERAL ELEC": Vendor.GE,
    "CANON": Vendor.CANON,
    "TOSHIBA": Vendor.CANON,
    "UIH ": Vendor.UNITED_IMAGING,
    "UNITED IMAGING": Vendor.UNITED_IMAGING,
}


def vendor_of(manufacturer: str) -> Vendor:
    """Vendor from the free text of Manufacturer (0008,0070)."""
    text = manufacturer.upper() + " "
    return next((vendor for start, vendor in _VENDORS.items() if text.startswith(start)), Vendor.UNKNOWN)
