"""DECOMPOSE-QSM: three pools of water in each voxel, one beside each kind of source, fitted to the gradient echoes.

Re-implemented from the equations that the paper publishes: three pools, alternating fits, composite susceptibilities
from the phase of one pool beside neutral ones. Not to be known from public sources, and assumed here: how the bounded
sub-problems are solved (Levenberg-Marquardt within the bounds), and what QSM the phase is simulated from (the paper's
STAR-QSM for each echo; here one map, as χ does not depend on the echo).

The decay of a voxel with one rate, under a phase that grows linearly by construction, says little about three pools;
the result depends on the start and on the number of rounds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import GAMMA_HZ_PER_T, TWO_PI
from ChiSepPreprocessLib.threads import in_slabs

from ..physics.relaxivity import relaxivity
from ..solution import Solution
from .qsm import QsmOptions, quantitative_susceptibility

#: Voxels between two reports of progress.
_SLAB = 20_000

#: A composite susceptibility that a round of the fit moves by less stands still, ppm.
_STILL_PPM = 1e-3

#: A larger share of voxels than this that do not stand still is worth a warning.
_MOST_RESTLESS = 0.05


@dataclass(frozen=True, kw_only=True)
class DecomposeOptions:
    """Options of DECOMPOSE-QSM.

    Parameters
    ----------
    rounds : int
        Of the alternation amplitudes, baseline rate, susceptibilities.
    joint_steps : int
        Afterwards, fit all six parameters together to the complex signal, in so many steps at most; 0, as published,
        leaves it out.
    limit_ppm : float
        No pool has a larger ``|χ|``.
    start_ppm : float
        ``|χ|`` of both pools to begin with.
    start_rate_per_s : float
        Baseline rate to begin with, 1/s.
    tolerance : float
        Ends a fit where a step makes its sum of squares smaller by no more than this share.
    qsm : QsmOptions
        How the susceptibility, which makes the phase, is found from the local field.

    Raises
    ------
    InputError
        If an option is out of range.
    """

    rounds: int = 10
    joint_steps: int = 0
    limit_ppm: float = 0.5
    start_ppm: float = 0.05
    start_rate_per_s: float = 25.0
    tolerance: float = 1e-6
    qsm: QsmOptions = field(default_factory=lambda: QsmOptions(method="tkd"))

    def __post_init__(self) -> None:
        if not (0 <= self.rounds <= 1000 and 0 <= self.joint_steps <= 1000 and self.rounds + self.joint_steps > 0):
            raise InputError("rounds and joint steps of DECOMPOSE", f"{self.rounds} and {self.joint_steps}",
                             "0 to 1000 each, and not both 0")  # fmt: skip
        if not 0 < self.start_ppm < self.limit_ppm <= 10:
            raise InputError("start and limit of DECOMPOSE", f"{self.start_ppm} and {self.limit_ppm} ppm",
                             "a start above 0 and below the limit, which is at most 10 ppm")  # fmt: skip
        if not (0 < self.start_rate_per_s <= 1e3 and 0 < self.tolerance < 1):
            raise InputError("start rate and tolerance of DECOMPOSE", f"{self.start_rate_per_s} 1/s, {self.tolerance}",
                             "a rate above 0 up to 1000 1/s and a share")  # fmt: skip


def pool_constants(scan: ScanParameters) -> tuple[float, float]:
    """Decay in 1/s and rotation in rad/s that 1 ppm of a pool's source gives its water.

    Static dephasing by random spheres, ``a = 2πγB0/(9√3)``, and ``ω = ⅔ γB0``, γ in rad/(s·T); Chen et al. 2021.
    """
    decay = relaxivity("theory", scan.reference_frequency_hz / GAMMA_HZ_PER_T).para_hz_per_ppm
    return decay, 2.0 / 3.0 * TWO_PI * scan.reference_frequency_hz * 1e-6


def simulated_signal(magnitude: NDArray[Any], chi_ppm: NDArray[Any], scan: ScanParameters) -> NDArray[np.complex64]:
    """Complex echoes (N, E) with the phase ``−ωχt`` of a susceptibility (N) in ppm."""
    times_s = np.array(scan.echo_times_s, dtype=np.float32)
    phase = np.float32(-pool_constants(scan)[1]) * chi_ppm.astype(np.float32)[:, None] * times_s
    signal: NDArray[np.complex64] = magnitude * np.exp(1j * phase)
    return signal


def decompose(
    signal: NDArray[np.complex64], scan: ScanParameters, options: DecomposeOptions | None = None,
    report: Reporter | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:  # fmt: skip
    """Fit three pools to each voxel: ``S = e^{−R₀t}(c₊ e^{−(a+iω)pt} + c₋ e^{−(a−iω)nt} + c₀)``, all six ≥ 0.

    In rounds: the amplitudes to the signal, then ``R₀``, then ``p`` and ``n``, both to the logarithm. Each source's
    susceptibility is that of the phase, summed over the echoes, which its pool alone gives the voxel.

    Parameters
    ----------
    signal : ndarray of complex64, shape (N, E)
        Echoes of the voxels; the phase falls with time where χ > 0.
    scan : ScanParameters
        Echo times and field strength.
    options : DecomposeOptions
        Defaults if left out.
    report : Reporter
        Receives progress.

    Returns
    -------
    sources_ppm : ndarray, float32, shape (N, 2)
        Paramagnetic and diamagnetic susceptibility (PCS and DCS), magnitudes in ppm.
    converged : ndarray of bool, shape (N,)
        Where the fit had come to rest.

    Raises
    ------
    InputError
        If there are fewer than three echoes, or as many numbers of them as of echo times.
    CancelledError
        If the caller asked to stop.

    References
    ----------
    Chen et al., NeuroImage 242:118477 (2021).
    """
    from ._decompose_kernels import fit

    options, count = options or DecomposeOptions(), len(scan.echo_times_s)
    if count < 3 or signal.ndim != 2 or signal.shape[1] != count:
        raise InputError("echoes for DECOMPOSE", f"shape {signal.shape} and {count} echo times", "three echoes or more")
    sources, converged = np.zeros((len(signal), 2), np.float32), np.zeros(len(signal), np.bool_)
    start = np.array([0.3, 0.3, 0.4, options.start_rate_per_s, options.start_ppm, options.start_ppm])
    most = np.array([np.inf, np.inf, np.inf, np.inf, options.limit_ppm, options.limit_ppm])
    in_slabs(fit, len(signal), signal, np.array(scan.echo_times_s), np.array(pool_constants(scan)), start, most,
             options.rounds, options.joint_steps, options.tolerance, _STILL_PPM, sources, converged,
             thickness=_SLAB, report=report, step="DECOMPOSE")  # fmt: skip
    return sources, converged


def run(maps: MapSet, mask: NDArray[np.bool_], options: DecomposeOptions, report: Reporter) -> Solution:
    """QSM, referenced to CSF, simulated phase, then :func:`decompose`."""
    qsm = quantitative_susceptibility(maps, mask, options.qsm, report.span(0.0, 0.02))
    chi = qsm.maps["chi_total"]
    signal = simulated_signal(maps.array("gre_magnitude")[mask], chi[mask], maps.scan)
    sources, converged = decompose(signal, maps.scan, options, report.span(0.02, 1.0))
    para, dia = (_volume(mask, sources[:, one]) for one in range(2))
    restless = 1.0 - float(converged.mean())
    record = {**qsm.record, "not_converged": round(restless, 4)}
    warnings = (*_warnings(restless), *qsm.warnings)
    return Solution({"chi_total": para - dia, "chi_para": para, "chi_dia": dia}, record, warnings)


def _volume(mask: NDArray[np.bool_], values: NDArray[np.float32]) -> NDArray[np.float32]:
    volume = np.zeros(mask.shape, np.float32)
    volume[mask] = values
    return volume


def _warnings(restless: float) -> tuple[str, ...]:
    if restless <= _MOST_RESTLESS:
        return ()
    return (f"DECOMPOSE had not come to rest in {restless:.0%} of the voxels; more rounds or joint steps would change "
            "them.",)  # fmt: skip
