"""Physical constants and unit conversions; they stand here and nowhere else."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", float, NDArray[np.float32], NDArray[np.float64])

#: Gyromagnetic ratio of the proton over 2π (CODATA 2022).
GAMMA_HZ_PER_T = 42.577_478_461e6

#: Field of the scanner on which the papers' relaxivities were measured
#: (123.177385 MHz, Siemens Trio).
PAPER_FIELD_STRENGTH_T = 123_177_385.0 / GAMMA_HZ_PER_T

TWO_PI = 2.0 * np.pi


def larmor_frequency_hz(field_strength_t: float) -> float:
    """Proton resonance frequency in Hz at a field strength in T."""
    return GAMMA_HZ_PER_T * field_strength_t


def hz_to_ppm(field_hz: Number, reference_frequency_hz: float) -> Number:
    """Convert a field in Hz to ppm of the reference frequency (Hz)."""
    return field_hz * (1e6 / reference_frequency_hz)


def ppm_to_hz(field_ppm: Number, reference_frequency_hz: float) -> Number:
    """Convert a field in ppm of the reference frequency (Hz) to Hz."""
    return field_ppm * (reference_frequency_hz / 1e6)


def ms_to_s(time_ms: float) -> float:
    """Convert milliseconds, as DICOM stores times, to seconds."""
    return time_ms / 1e3


def mhz_to_hz(frequency_mhz: float) -> float:
    """Convert megahertz, as DICOM stores the imaging frequency, to hertz."""
    return frequency_mhz * 1e6


def ppm_to_ppb(chi_ppm: Number) -> Number:
    """Convert parts per million to parts per billion."""
    return chi_ppm * 1e3
