"""How the simulated scans were made: a random protocol for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ChiSepPreprocessLib.errors import InputError

Background = Literal["single-step", "v-sharp"]
RateFit = Literal["ml", "arlo", "loglinear"]


@dataclass(frozen=True, kw_only=True)
class AcquisitionOptions:
    """Between which values protocols and their faults are drawn.

    Parameters
    ----------
    field_strength_t : float
        T.
    relaxivity_hz_per_ppm, relaxivity_field_t : float
        Mean relaxivity of both sources at a field strength, scaled in proportion to ``field_strength_t``: 114 Hz/ppm
        at 2.893 T (Kim et al. 2025).
    relaxivity_spread : float
        Relative standard deviation of the relaxivity between subjects; tissues differ besides.
    lowest_snr, highest_snr : float
        Of the first echo, mean over the brain.
    shortest_first_echo_s, longest_first_echo_s : float
        s.
    shortest_spacing_s, longest_spacing_s : float
        s.
    fewest_echoes, most_echoes : int
        Of the gradient echo.
    lowest_r2_noise_per_s, highest_r2_noise_per_s : float
        Standard deviation of the noise of measured R2, 1/s.
    largest_r2_bias : float
        Relative error of R2 by the transmit field, at most.
    vsharp_share : float
        Share of subjects of which V-SHARP instead of the single step removes the background.
    quick_r2star_share : float
        Share of subjects with a closed-form fit of R2* instead of the maximum-likelihood one.
    """

    field_strength_t: float = 3.0
    relaxivity_hz_per_ppm: float = 114.0
    relaxivity_field_t: float = 2.893
    relaxivity_spread: float = 0.05
    lowest_snr: float = 20.0
    highest_snr: float = 150.0
    shortest_first_echo_s: float = 0.003
    longest_first_echo_s: float = 0.008
    shortest_spacing_s: float = 0.003
    longest_spacing_s: float = 0.007
    fewest_echoes: int = 4
    most_echoes: int = 8
    lowest_r2_noise_per_s: float = 0.2
    highest_r2_noise_per_s: float = 1.2
    largest_r2_bias: float = 0.06
    vsharp_share: float = 0.35
    quick_r2star_share: float = 0.4

    def __post_init__(self) -> None:
        pairs = {"signal-to-noise ratio": (self.lowest_snr, self.highest_snr),
                 "first echo time, s": (self.shortest_first_echo_s, self.longest_first_echo_s),
                 "echo spacing, s": (self.shortest_spacing_s, self.longest_spacing_s)}  # fmt: skip
        for quantity, (low, high) in pairs.items():
            if not 0 < low <= high:
                raise InputError(quantity, f"{low} to {high}", "0 < lowest ≤ highest")
        if not 3 <= self.fewest_echoes <= self.most_echoes <= 32:
            raise InputError("echoes", f"{self.fewest_echoes} to {self.most_echoes}", "3 ≤ fewest ≤ most ≤ 32")
        if not 0 <= self.lowest_r2_noise_per_s <= self.highest_r2_noise_per_s:
            got = f"{self.lowest_r2_noise_per_s} to {self.highest_r2_noise_per_s} 1/s"
            raise InputError("noise of R2", got, "0 ≤ lowest ≤ highest")
        if not (0 <= self.vsharp_share <= 1 and 0 <= self.quick_r2star_share <= 1):
            raise InputError("shares of subjects", f"{self.vsharp_share} and {self.quick_r2star_share}", "0 to 1 each")
        if not (self.field_strength_t > 0 and self.relaxivity_hz_per_ppm > 0 and self.relaxivity_field_t > 0):
            raise InputError("field strength and relaxivity", (self.field_strength_t, self.relaxivity_hz_per_ppm),
                             "positive values")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One scan.

    Parameters
    ----------
    echo_times_s : tuple of float
        s.
    repetition_time_s : float
        s.
    flip_angle_deg : float
        deg.
    snr : float
        Of the first echo, mean over the brain.
    taper : float
        Share of k-space that a Tukey window lowers.
    relaxivity_hz_per_ppm : float
        Of both sources in this subject, before tissues differ.
    r2_noise_per_s, r2_bias, r2_blur
        Noise of R2, 1/s; its relative error; and whether thick slices blurred it.
    background : str
        Method that removes the background.
    vsharp_radius_mm : float
        Of V-SHARP's largest sphere, mm.
    rate_fit : str
        Method that fits R2*.
    """

    echo_times_s: tuple[float, ...]
    repetition_time_s: float
    flip_angle_deg: float
    snr: float
    taper: float
    relaxivity_hz_per_ppm: float
    r2_noise_per_s: float
    r2_bias: float
    r2_blur: bool
    background: Background
    vsharp_radius_mm: float
    rate_fit: RateFit


def random_protocol(rng: np.random.Generator, options: AcquisitionOptions) -> Protocol:
    """Draw a protocol."""
    first_s = rng.uniform(options.shortest_first_echo_s, options.longest_first_echo_s)
    spacing_s = rng.uniform(options.shortest_spacing_s, options.longest_spacing_s)
    echoes = int(rng.integers(options.fewest_echoes, options.most_echoes + 1))
    times_s = tuple(round(float(first_s + spacing_s * echo), 6) for echo in range(echoes))
    nominal = options.relaxivity_hz_per_ppm * options.field_strength_t / options.relaxivity_field_t
    quick: RateFit = "arlo" if rng.random() < 0.5 else "loglinear"
    return Protocol(
        echo_times_s=times_s,
        repetition_time_s=times_s[-1] + float(rng.uniform(0.004, 0.02)),
        flip_angle_deg=float(rng.uniform(9, 22)),
        snr=float(np.exp(rng.uniform(np.log(options.lowest_snr), np.log(options.highest_snr)))),
        taper=float(rng.choice([0.0, 0.2, 0.4])),
        relaxivity_hz_per_ppm=nominal * float(1 + options.relaxivity_spread * rng.standard_normal()),
        r2_noise_per_s=float(rng.uniform(options.lowest_r2_noise_per_s, options.highest_r2_noise_per_s)),
        r2_bias=float(rng.uniform(-1, 1) * options.largest_r2_bias),
        r2_blur=bool(rng.random() < 0.7),
        background="v-sharp" if rng.random() < options.vsharp_share else "single-step",
        vsharp_radius_mm=float(rng.uniform(8, 25)),
        rate_fit=quick if rng.random() < options.quick_r2star_share else "ml",
    )
