"""χ-separation voxel by voxel: two equations, two unknowns."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.progress import Reporter

from ..physics.relaxivity import Relaxivity, RelaxivityOptions
from ..solution import Solution
from .qsm import QsmOptions, quantitative_susceptibility

#: numpy array or torch tensor.
Values = Any


@dataclass(frozen=True, kw_only=True)
class ClosedFormOptions(RelaxivityOptions):
    """Options of the closed form, with those of :class:`~..physics.relaxivity.RelaxivityOptions`.

    Parameters
    ----------
    qsm : QsmOptions
        How the susceptibility is found from the local field.
    """

    qsm: QsmOptions = field(default_factory=QsmOptions)


def split(chi_ppm: Values, r2prime_per_s: Values, constants: Relaxivity) -> tuple[Values, Values]:
    """``χ₊`` and ``χ₋`` that agree with χ and R2′ in each voxel, arrays or tensors; they may be negative."""
    para, dia = constants.para_hz_per_ppm, constants.dia_hz_per_ppm
    return (r2prime_per_s + dia * chi_ppm) / (para + dia), (r2prime_per_s - para * chi_ppm) / (para + dia)


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
    chi_para, chi_dia = split(chi_total_ppm, r2prime_per_s, constants)
    return np.maximum(chi_para, 0.0).astype(np.float32), np.maximum(chi_dia, 0.0).astype(np.float32)


def run(maps: MapSet, mask: NDArray[np.bool_], options: ClosedFormOptions, report: Reporter) -> Solution:
    """QSM, referenced to CSF, then :func:`separate` with R2′."""
    return separate_maps(maps, mask, "r2prime", options.constants(maps.scan), options.qsm, report)


def separate_maps(
    maps: MapSet, mask: NDArray[np.bool_], rate: str, constants: Relaxivity, qsm: QsmOptions, report: Reporter
) -> Solution:
    """QSM, referenced to CSF, then :func:`separate`.

    Parameters
    ----------
    rate : str
        Artifact that holds the decay rate, 1/s.
    constants : Relaxivity
        Of that rate.
    qsm : QsmOptions
        How the susceptibility is found from the local field.
    """
    found = quantitative_susceptibility(maps, mask, qsm, report.span(0.0, 0.9))
    report("closed form", 0.9)
    chi = found.maps["chi_total"]
    chi_para, chi_dia = (one * mask for one in separate(chi, maps.array(rate), constants))
    record = {**found.record, "relaxivity": asdict(constants)}
    return Solution({"chi_total": chi, "chi_para": chi_para, "chi_dia": chi_dia}, record, found.warnings)
