"""How fast susceptibility dephases the signal: relaxometric constants with their sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from ChiSepPreprocessLib.artifacts import ScanParameters
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.quantities import GAMMA_HZ_PER_T, PAPER_FIELD_STRENGTH_T, TWO_PI

#: Static dephasing by randomly placed spheres: ``R2′ = 2π γ B0 χ / (9√3)``, γ in rad/(s·T), here for 1 ppm and 1 T.
_STATIC_DEPHASING_HZ_PER_PPM_T = TWO_PI * (TWO_PI * GAMMA_HZ_PER_T * 1e-6) / (9.0 * np.sqrt(3.0))


@dataclass(frozen=True)
class RelaxivityPreset:
    """A published relaxometric constant, the same for both kinds of sources.

    Parameters
    ----------
    name : str
        Key of :data:`PRESETS`.
    hz_per_ppm : float
        R2′ (1/s) for each ppm of susceptibility.
    reference_field_strength_t : float
        B0 at which it holds, T; it grows linearly with B0.
    citation : str
        Where it comes from and how it was found.
    """

    name: str
    hz_per_ppm: float
    reference_field_strength_t: float
    citation: str


#: Published constants by name.
PRESETS: Mapping[str, RelaxivityPreset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            RelaxivityPreset("kim2025", 114.0, PAPER_FIELD_STRENGTH_T,
                             "Kim et al. 2025 (χ-sepnet): R2′ against COSMOS in five deep grey matter regions"),
            RelaxivityPreset("shin2021", 137.0, PAPER_FIELD_STRENGTH_T,
                             "Shin et al., NeuroImage 240:118371 (2021): R2′ against QSM of one orientation"),
            RelaxivityPreset("theory", float(_STATIC_DEPHASING_HZ_PER_PPM_T), 1.0,
                             "Yablonskiy & Haacke, Magn Reson Med 32:749 (1994): static dephasing, random spheres"),
        )
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Relaxivity:
    """The constants that a calculation uses.

    Parameters
    ----------
    para_hz_per_ppm, dia_hz_per_ppm : float
        R2′ (1/s) for each ppm of paramagnetic and of diamagnetic susceptibility, at ``field_strength_t``.
    preset : str
        Name of the preset, or ``"given"``.
    field_strength_t : float
        B0 in T.

    Raises
    ------
    InputError
        If a constant is not positive.
    """

    para_hz_per_ppm: float
    dia_hz_per_ppm: float
    preset: str
    field_strength_t: float

    def __post_init__(self) -> None:
        for name, value in (("para", self.para_hz_per_ppm), ("dia", self.dia_hz_per_ppm)):
            if not (np.isfinite(value) and value > 0):
                raise InputError(f"{name} relaxivity", f"{value} Hz/ppm", "a positive number")


def relaxivity(preset: str, field_strength_t: float) -> Relaxivity:
    """Constants of a preset, scaled linearly from its reference field to ``field_strength_t``.

    Raises
    ------
    InputError
        If the preset is unknown.
    """
    if preset not in PRESETS:
        raise InputError("relaxivity preset", repr(preset), f"one of {', '.join(PRESETS)}")
    chosen = PRESETS[preset]
    value = chosen.hz_per_ppm * field_strength_t / chosen.reference_field_strength_t
    return Relaxivity(para_hz_per_ppm=value, dia_hz_per_ppm=value, preset=preset, field_strength_t=field_strength_t)


@dataclass(frozen=True, kw_only=True)
class RelaxivityOptions:
    """Options of every method that explains R2′ by susceptibility.

    Parameters
    ----------
    relaxivity : str
        Preset of the relaxometric constants, scaled to the scan's field strength. The default was measured, like most
        QSM here, from one head orientation.
    para_hz_per_ppm, dia_hz_per_ppm : float, optional
        Constants at the scan's field strength in place of the preset's, Hz/ppm.
    """

    relaxivity: str = "shin2021"
    para_hz_per_ppm: float | None = None
    dia_hz_per_ppm: float | None = None

    def constants(self, scan: ScanParameters) -> Relaxivity:
        """Constants at the field strength that the reference frequency tells.

        Raises
        ------
        InputError
            If the preset is unknown or a constant is not positive.
        """
        preset = relaxivity(self.relaxivity, scan.reference_frequency_hz / GAMMA_HZ_PER_T)
        given = {"para_hz_per_ppm": self.para_hz_per_ppm, "dia_hz_per_ppm": self.dia_hz_per_ppm}
        chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        return replace(preset, **chosen, preset=f"given, else {self.relaxivity}") if chosen else preset
