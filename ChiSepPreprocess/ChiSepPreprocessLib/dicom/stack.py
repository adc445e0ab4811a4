"""A volume that is known but not yet read: one component of one echo."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..artifacts import Array, Grid
from .roles import Component, Role, SequenceFacts, Vendor

#: Form of a file that this project wrote itself, in its own convention of signs and units.
OWN_EXPORT = "this project"


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the header of a volume says; ``None`` or empty where it is silent.

    Parameters
    ----------
    role, component : Role, Component
        What the volume is.
    facts : SequenceFacts
        Why.
    echo_time_s, repetition_time_s : float or None
        Times, s.
    echo_number : int
        Order of the echo where its time is missing.
    field_strength_t : float or None
        Nominal B0, T.
    imaging_frequency_hz : float or None
        Centre frequency, Hz.
    vendor : Vendor
        Manufacturer.
    rescale_type : str
        Unit of the rescaled values, as the header calls it.
    rescale : tuple of float or None
        Slope and intercept from stored to rescaled values.
    is_real_world : bool
        Whether they are those of the real-world value mapping.
    precise_divisor : float or None
        Philips: rescaled values over this are in physical units (RS·SS).
    unsigned_bits : int or None
        Bits that an unsigned stored value has.
    coil : str
        Receive coil of an uncombined image.
    export : str
        Form of the file: classic, enhanced, interoperability (a classic copy of an enhanced image),
        NIfTI, or :data:`OWN_EXPORT`.
    software : str
        Version of the scanner's software.
    series, study, frame_of_reference : str
        UIDs, for grouping only.
    patient : str
        Digest that tells patients apart, for counting only.
    """

    role: Role
    component: Component
    facts: SequenceFacts = field(default_factory=SequenceFacts)
    echo_time_s: float | None = None
    repetition_time_s: float | None = None
    echo_number: int = 0
    field_strength_t: float | None = None
    imaging_frequency_hz: float | None = None
    vendor: Vendor = Vendor.UNKNOWN
    rescale_type: str = ""
    rescale: tuple[float, float] | None = None
    is_real_world: bool = False
    precise_divisor: float | None = None
    unsigned_bits: int | None = None
    coil: str = ""
    export: str = ""
    software: str = ""
    series: str = field(default="", repr=False)
    study: str = field(default="", repr=False)
    frame_of_reference: str = field(default="", repr=False)
    patient: str = field(default="", repr=False)


def plain_version(text: str) -> str:
    """Software version, kept to letters, digits and simple marks."""
    return "".join(re.findall(r"[\w. -]", text, re.ASCII))[:40]


@dataclass(frozen=True)
class Stack(ABC):
    """One volume, read on demand."""

    header: Header

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """Voxels along i, j, k."""

    @abstractmethod
    def grid(self) -> Grid:
        """Where its voxels lie.

        Raises
        ------
        InputError
            If a slice is missing or the geometry is broken.
        """

    @abstractmethod
    def read(self) -> Array:
        """Values scaled by the header, float32, shape (I, J, K).

        Raises
        ------
        InputError
            If the pixels cannot be read.
        """

    def read_all(self, stacks: Sequence[Stack]) -> Iterator[Array]:
        """Read volumes of the same kind as this one, in order; overridden where a file that holds many opens once."""
        return (stack.read() for stack in stacks)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user must confirm about this volume."""
        return ()

    def read_unscaled(self) -> Array | None:
        """Values as stored where the file's own scaling may be wrong, else ``None``."""
        return None

    @property
    def echo_order(self) -> tuple[float, int]:
        """Sorts echoes: by time, by number where times are missing."""
        time = self.header.echo_time_s
        return (-1.0 if time is None else round(time, 6), 0 if time is not None else self.header.echo_number)
