"""What the scanner records: complex gradient echoes, spin echoes and FLAIR, each with noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ChiSepPreprocessLib.progress import Reporter

from .epg import spin_echo_train
from .field import polynomial, smooth
from .geometry import FineGrid, Matrix, Volume, block_mean, for_each_slab
from .options import PhantomOptions
from .render import Rendering

_SE_REPETITION_S = 7.8
_FLAIR_REPETITION_S, _FLAIR_ECHO_S = 9.0, 0.12
#: Nulls CSF with T1 = 1 / 0.23 s.
FLAIR_INVERSION_S = float(np.log(2 / (1 + np.exp(-_FLAIR_REPETITION_S * 0.23))) / 0.23)
_SLAB = 8

#: Mean magnitude of the brain in the first echo, a.u.
BRAIN_MEAN = 1000.0


@dataclass(frozen=True, eq=False)
class Coil:
    """Smooth imperfections: receive sensitivity, receive phase and transmit field as polynomials of position."""

    sensitivity: Matrix
    phase: Matrix
    transmit: Matrix | None

    @classmethod
    def drawn(cls, rng: np.random.Generator, b1: bool) -> Coil:
        """Sensitivity ±10 %, phase ±1 rad, transmit field 1.08 in the middle and about 0.8 at the rim."""
        transmit = np.array([(2, 0, 0, -0.22), (0, 2, 0, -0.16), (0, 0, 2, -0.18), (1, 0, 0, rng.normal(0, 0.02))])
        return cls(polynomial(rng, size=0.06), polynomial(rng, size=0.5), transmit if b1 else None)

    def receive(self, grid_affine: Matrix, shape: tuple[int, ...]) -> Volume:
        """Complex sensitivity on a grid."""
        size = np.clip(1 + smooth(self.sensitivity, grid_affine, shape), 0.5, 1.5)
        return np.asarray(size * np.exp(1j * smooth(self.phase, grid_affine, shape)), dtype=np.complex64)

    def b1(self, grid_affine: Matrix, shape: tuple[int, ...], start: int) -> Volume:
        """Actual over nominal flip angle on planes of a grid."""
        if self.transmit is None:
            return np.ones(shape, dtype=np.float32)
        return np.clip(1.08 + smooth(self.transmit, grid_affine, shape, start), 0.6, 1.25)


def gradient_echo(
    seen: Rendering,
    fine: FineGrid,
    field_hz: Volume,
    rate: Volume,
    options: PhantomOptions,
    report: Reporter,
) -> Volume:
    """Spoiled gradient echoes, each the mean over the cells of a voxel, without noise and coil.

    S = M·exp(−(R2 + R2′)·TE)·exp(i·2π·f·TE), with M the steady state of the spoiled sequence (Ernst).

    Parameters
    ----------
    seen : Rendering
        Matter on the fine grid.
    fine : FineGrid
        The grid and its cells.
    field_hz, rate : ndarray
        Field in Hz and R2* in 1/s on the fine grid.
    options : PhantomOptions
        Echo times, repetition time and flip angle.
    report : Reporter
        Progress.

    Returns
    -------
    ndarray of complex64, shape (I, J, K, echo)
        Signal.
    """
    signal = np.empty((*fine.coarse.shape, len(options.echo_times_s)), dtype=np.complex64)
    sine, cosine = (float(f(np.deg2rad(options.flip_angle_deg))) for f in (np.sin, np.cos))

    def record(slab: slice) -> None:
        cells = slice(slab.start * fine.division[0], slab.stop * fine.division[0])
        left = np.exp(-np.float32(options.repetition_time_s) * seen.r1[cells])
        start = seen.density[cells] * (sine * (1 - left) / (1 - cosine * left))
        for echo, time in enumerate(options.echo_times_s):
            size = start * np.exp(-np.float32(time) * rate[cells])
            angle = np.float32(2 * np.pi * time) * field_hz[cells]
            signal[slab, :, :, echo].real = block_mean(size * np.cos(angle), fine.division)
            signal[slab, :, :, echo].imag = block_mean(size * np.sin(angle), fine.division)

    for_each_slab(record, fine.coarse.shape[0], _SLAB, "gradient echo", report)
    return signal


def spin_echo(seen: Rendering, fine: FineGrid, coil: Coil, options: PhantomOptions, report: Reporter) -> Volume:
    """Multi-echo spin echo with stimulated echoes, without noise, (I, J, K, echo)."""
    from scipy import ndimage

    echoes = len(options.se_echo_times_s)
    signal = np.empty((*fine.coarse.shape, echoes), dtype=np.float32)
    rates, angles = np.arange(0, 100.01, 0.1), np.arange(0.6, 1.2501, 0.0125)
    spacing = options.se_echo_times_s[0]
    table = spin_echo_train(rates[:, None], angles, 1 / 1.2, spacing, echoes, options.refocusing_deg).astype(np.float32)

    def record(slab: slice) -> None:
        cells = slice(slab.start * fine.division[0], slab.stop * fine.division[0])
        start = seen.density[cells] * (1 - np.exp(-np.float32(_SE_REPETITION_S) * seen.r1[cells]))
        b1 = coil.b1(fine.grid.affine, start.shape, cells.start)
        index = np.stack([seen.r2[cells] / np.float32(0.1), (b1 - 0.6) / np.float32(0.0125)])
        for echo, row in enumerate(table):
            size = ndimage.map_coordinates(row, index, order=1, mode="nearest", output=np.float32)
            signal[slab, :, :, echo] = block_mean(start * size, fine.division)

    for_each_slab(record, fine.coarse.shape[0], _SLAB, "spin echo", report)
    return signal


def flair(seen: Rendering, fine: FineGrid) -> Volume:
    """Fluid-attenuated inversion recovery, without noise."""
    recovered = 1 - 2 * np.exp(-FLAIR_INVERSION_S * seen.r1) + np.exp(-_FLAIR_REPETITION_S * seen.r1)
    return fine.mean(seen.density * np.abs(recovered) * np.exp(-_FLAIR_ECHO_S * seen.r2))


def with_noise(signal: Volume, brain: Volume, snr: float, rng: np.random.Generator) -> Volume:
    """Scale to a brain of mean 1000 at the first echo and add complex Gaussian noise of 1000 / ``snr`` in each channel.

    Returns
    -------
    ndarray
        complex64, or float32 magnitude if ``signal`` is real.
    """
    first = signal[..., 0] if signal.ndim == 4 else signal
    noisy = np.empty(signal.shape, dtype=np.complex64)
    noisy.real = rng.standard_normal(signal.shape, dtype=np.float32)
    noisy.imag = rng.standard_normal(signal.shape, dtype=np.float32)
    noisy *= np.float32(BRAIN_MEAN / snr)
    noisy += signal * np.float32(BRAIN_MEAN / np.abs(first[brain]).mean())
    return noisy if np.iscomplexobj(signal) else np.abs(noisy)
