"""χ-separation voxel by voxel: two equations, two unknowns."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet, ScanParameters
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import GAMMA_HZ_PER_T

from ..masks.reference import reference_in
from ..physics.relaxivity import Relaxivity, relaxivity
from .solution import Solution
from .tkd import TkdOptions, tkd


@dataclass(frozen=True, kw_only=True)
class ClosedFormOptions:
    """Options of the closed form.

    Parameters
    ----------
    relaxivity : str
        Preset of the relaxometric constants, scaled to the scan's field strength. The default was measured, like the
        QSM here, from one head orientation.
    para_hz_per_ppm, dia_hz_per_ppm : float, optional
        Constants at the scan's field strength in place of the preset's, Hz/ppm.
    qsm : TkdOptions
        How the susceptibility is found from the local field.
    """

    relaxivity: str = "shin2021"
    para_hz_per_ppm: float | None = None
    dia_hz_per_ppm: float | None = None
    qsm: TkdOptions = field(default_factory=TkdOptions)

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


def separate(
    chi_total_ppm: NDArray[Any], r2prime_per_s: NDArray[Any], constants: Relaxivity
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Solve ``χ₊ − χ₋ = χ`` and ``D₊ χ₊ + D₋ χ₋ = R2′`` in each voxel; negative results become 0.

    Parameters
    ----------
    chi_total_ppm : ndarray
        QSM in ppm, referenced to CSF: an offset δ shifts χ₊ by ``δ D₋/(D₊ + D₋)`` and χ₋ by ``−δ D₊/(D₊ + D₋)``.
    r2prime_per_s : ndarray
        1/s.
    constants : Relaxivity
        ``D₊`` and ``D₋`` at the scan's field strength.

    Returns
    -------
    chi_para_ppm, chi_dia_ppm : ndarray, float32
        Both ≥ 0.

    References
    ----------
    Shin et al., NeuroImage 240:118371 (2021).
    """
    para, dia = constants.para_hz_per_ppm, constants.dia_hz_per_ppm
    chi_para = np.maximum((r2prime_per_s + dia * chi_total_ppm) / (para + dia), 0.0).astype(np.float32)
    chi_dia = np.maximum((r2prime_per_s - para * chi_total_ppm) / (para + dia), 0.0).astype(np.float32)
    return chi_para, chi_dia


def run(maps: MapSet, mask: NDArray[np.bool_], options: ClosedFormOptions, report: Reporter) -> Solution:
    """QSM by thresholded k-space division, referenced to CSF, then :func:`separate`."""
    constants = options.constants(maps.scan)
    chi = tkd(maps.array("local_field"), mask, maps.grid.voxel_size_mm, maps.scan.b0_direction_ijk,
              options.qsm, report.span(0.0, 0.8))  # fmt: skip
    chi, reference = reference_in(maps, mask, chi)
    report("closed form", 0.9)
    chi_para, chi_dia = (one * mask for one in separate(chi, maps.array("r2prime"), constants))
    record = {"reference": reference.record(), "relaxivity": asdict(constants)}
    return Solution({"chi_total": chi, "chi_para": chi_para, "chi_dia": chi_dia}, record, reference.warnings)
