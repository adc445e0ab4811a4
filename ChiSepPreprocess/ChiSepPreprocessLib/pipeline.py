"""Acquisition to maps, in one typed call.

The road: brain mask → phase offset (MCPC-3D-S) → unwrapping (ROMEO) → echo combination
→ total field → background removal (V-SHARP) → local field; gradient-echo decay → R2*;
spin echo registered to the gradient echo → R2; R2′ = R2* − R2. Any map can be handed in
instead of being computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .artifacts import Acquisition, Array, Image, Map, MapSet, SpinEcho
from .bgremove.vsharp import VSharpOptions, vsharp
from .coils.mcpc3ds import PhaseOffsetOptions, remove_phase_offset
from .errors import InputError
from .fieldmap.combine import CombineOptions, combine_echoes
from .loading import check_reconstructable
from .masking.bet import BetOptions, brain_mask
from .progress import Progress, Reporter
from .quantities import hz_to_ppm
from .registration.rigid import RegistrationOptions, align, resample
from .relaxometry.r2 import R2Options, r2
from .relaxometry.r2prime import PSEUDO_R2_3T_PER_S, r2prime_measured, r2prime_pseudo
from .relaxometry.r2star import R2StarOptions, r2star
from .unwrap.romeo import RomeoOptions, unwrap

#: Share of the brain that the spin echo must cover before a warning is due.
_FULL_COVERAGE = 0.98
#: Negative R2* − R2 in more of the brain than this points to wrong R2 or misregistration.
_MANY_NEGATIVE = 0.25
#: Phase noise leaves a few hundredths; wrong echo times or alternating readouts leave more.
_LARGE_RESIDUAL_RAD = 0.3
#: Nothing decays slower than water, so that 0 in R2 can mean "not seen by the spin echo".
_WATER_R2_PER_S = 0.3
#: Plausible volume of an adult brain mask, ml.
_BRAIN_VOLUME_ML = (800.0, 2200.0)


@dataclass(frozen=True, kw_only=True)
class PreprocessOptions:
    """Options of every step; the defaults are each step's own.

    Parameters
    ----------
    mask, offset, unwrap, combine, background, r2star, registration, r2
        One dataclass for each step.
    pseudo_r2_per_s : float
        Constant R2 (1/s) in place of a measured one where there is no spin echo; 13 1/s is
        the value of the χ-separation toolbox at 3 T.
    """

    mask: BetOptions = field(default_factory=BetOptions)
    offset: PhaseOffsetOptions = field(default_factory=PhaseOffsetOptions)
    unwrap: RomeoOptions = field(default_factory=RomeoOptions)
    combine: CombineOptions = field(default_factory=CombineOptions)
    background: VSharpOptions = field(default_factory=VSharpOptions)
    r2star: R2StarOptions = field(default_factory=R2StarOptions)
    registration: RegistrationOptions = field(default_factory=RegistrationOptions)
    r2: R2Options = field(default_factory=R2Options)
    pseudo_r2_per_s: float = PSEUDO_R2_3T_PER_S


@dataclass(frozen=True)
class _Run:
    """What the steps share: measured data, options, and the maps there are already."""

    acquisition: Acquisition
    options: PreprocessOptions
    maps: dict[str, Map]

    @cached_property
    def magnitude(self) -> Array:
        """One image of all echoes, (I, J, K)."""
        return combined_magnitude(self.acquisition.gre_magnitude)

    def array(self, name: str) -> Array:
        return self.maps[name].data

    def make(self, name: str, data: Array, method: str, options: Any = None, *warnings: str) -> Map:
        chosen = options or {} if isinstance(options, Mapping | None) else asdict(options)
        kept = data if data.dtype == np.bool_ else data.astype(np.float32, copy=False)
        return Map(name=name, data=kept, grid=self.acquisition.grid, method=method, options=chosen, warnings=warnings)


_Step = Callable[[_Run, Reporter], "tuple[Map, ...]"]


def preprocess(
    acquisition: Acquisition,
    *,
    options: PreprocessOptions | None = None,
    given: Mapping[str, Map] | None = None,
    progress: Progress | None = None,
    on_map: Callable[[Map], None] | None = None,
) -> MapSet:
    """Compute every map that the acquisition allows.

    Parameters
    ----------
    acquisition : Acquisition
        Multi-echo GRE, with a spin echo if R2 is to be measured.
    options : PreprocessOptions, optional
        One dataclass for each step.
    given : mapping, optional
        Maps by name that are used instead of being computed, on the GRE's grid.
    progress : callable, optional
        Receives a status; returning ``False`` cancels.
    on_map : callable, optional
        Called with each map as soon as it is complete.

    Returns
    -------
    MapSet
        ``brain_mask``, ``field_mask``, ``total_field`` (ppm), ``local_field`` (ppm),
        ``r2star``, ``r2prime`` and, with a spin echo, ``r2`` (1/s).

    Raises
    ------
    InputError
        If the acquisition or a given map cannot be used.
    CancelledError
        If ``progress`` returned ``False``.
    """
    check_reconstructable(acquisition)
    checked = MapSet(acquisition.grid, acquisition.scan, dict(given or {}))
    run = _Run(acquisition, options or PreprocessOptions(), dict(checked.maps))
    report = Reporter(progress)
    start = 0.0
    for name, products, share, step in _STEPS:
        part = report.span(start, start + share)
        start += share
        part(name, 0.0)
        if not run.maps.keys() >= set(products):
            _keep(run, step(run, part), on_map)
    report("done", 1.0)
    return checked.including(*run.maps.values())


def _keep(run: _Run, made: tuple[Map, ...], on_map: Callable[[Map], None] | None) -> None:
    for one in made:
        if one.name not in run.maps:
            run.maps[one.name] = one
            if on_map is not None:
                on_map(one)


def combined_magnitude(magnitude: Array) -> Array:
    """Root of the sum of squares over echoes, (I, J, K, E) → (I, J, K)."""
    squares = np.einsum("ijke,ijke->ijk", magnitude, magnitude, dtype=np.float64)
    return np.sqrt(squares).astype(np.float32)


def _mask_step(run: _Run, report: Reporter) -> tuple[Map, ...]:
    acquisition, options = run.acquisition, run.options.mask
    grid = acquisition.grid
    mask = brain_mask(
        run.magnitude, grid.voxel_size_mm, options, report,
        superior_axis_ijk=grid.b0_direction_ijk,
    )  # fmt: skip
    volume_ml = float(mask.sum()) * grid.voxel_volume_mm3 / 1e3
    low, high = _BRAIN_VOLUME_ML
    doubts = () if low <= volume_ml <= high else (
        f"The brain mask holds {volume_ml:.0f} ml; an adult brain has {low:.0f} to {high:.0f} ml. Check it.",
    )  # fmt: skip
    return (run.make("brain_mask", mask, "bet", options, *doubts),)


def _total_field_step(run: _Run, report: Reporter) -> tuple[Map, ...]:
    if "local_field" in run.maps:
        return ()
    acquisition, options, mask = run.acquisition, run.options, run.array("brain_mask")
    magnitude, times = acquisition.gre_magnitude, acquisition.scan.echo_times_s
    phase, _ = remove_phase_offset(
        magnitude, acquisition.gre_phase, times, mask, acquisition.grid.voxel_size_mm,
        options.offset, report.span(0.0, 0.3),
    )  # fmt: skip
    unwrapped = unwrap(phase, magnitude, times, mask, options.unwrap, report.span(0.3, 0.9))
    fit = combine_echoes(unwrapped, magnitude, times, mask, options.combine)
    field_ppm = hz_to_ppm(fit.field_hz, acquisition.scan.reference_frequency_hz)
    residual_rad = float(np.median(fit.residual_rad[mask]))
    doubts = () if residual_rad < _LARGE_RESIDUAL_RAD else (
        f"The echoes' phases do not lie on a line (median misfit {residual_rad:.2f} rad): check the echo times and "
        "whether the readout is bipolar.",
    )  # fmt: skip
    steps = {"offset": asdict(options.offset), "unwrap": asdict(options.unwrap), "combine": asdict(options.combine)}
    return (run.make("total_field", field_ppm, "mcpc-3d-s, romeo, weighted average", steps,
                     *acquisition.warnings, *doubts),)  # fmt: skip


def _local_field_step(run: _Run, report: Reporter) -> tuple[Map, ...]:
    options, mask = run.options.background, run.array("brain_mask")
    if "local_field" in run.maps:
        seen = mask & (run.array("local_field") != 0)
        return (run.make("field_mask", seen & _seen_by_spin_echo(run), "nonzero local field"),)
    local, valid = vsharp(run.array("total_field"), mask, run.acquisition.grid.voxel_size_mm, options, report)
    valid = valid & _seen_by_spin_echo(run)
    if not valid.any():
        raise InputError("brain mask", f"{int(mask.sum())} voxels, none left after erosion",
                         "a mask thicker than the smallest V-SHARP radius",
                         "Give a better mask (--mask) or a smaller minimum radius.")  # fmt: skip
    return run.make("local_field", local, "v-sharp", options), run.make("field_mask", valid, "v-sharp", options)


def _seen_by_spin_echo(run: _Run) -> Array:
    """Where R2′ is known: everywhere, or where the spin echo had signal."""
    if "r2" not in run.maps or run.maps["r2"].method == "given":
        return np.ones(run.acquisition.grid.shape, dtype=bool)
    return run.array("r2") > 0


def _r2star_step(run: _Run, report: Reporter) -> tuple[Map, ...]:
    acquisition, options = run.acquisition, run.options.r2star
    fit = r2star(acquisition.gre_magnitude, acquisition.scan.echo_times_s, run.array("brain_mask"), options)
    doubts = () if fit.clamped_fraction < 0.01 else (
        f"R2* was out of range in {fit.clamped_fraction:.1%} of the brain and was clamped.",
    )  # fmt: skip
    return (run.make("r2star", fit.rate_per_s, fit.method, options, *doubts),)


def _r2_step(run: _Run, report: Reporter) -> tuple[Map, ...]:
    acquisition, options = run.acquisition, run.options
    spin_echo, mask = acquisition.spin_echo, run.array("brain_mask")
    if spin_echo is None:
        return ()
    fixed = Image(run.magnitude, acquisition.grid)
    first = Image(spin_echo.magnitude[..., 0], spin_echo.grid)
    alignment = align(fixed, first, mask, options.registration, report.span(0.0, 0.7))
    echoes = resample(spin_echo.magnitude, spin_echo.grid, acquisition.grid, alignment)
    report("r2", 0.8)
    covered = np.asarray(echoes[..., 0] > 0) & mask
    fit = r2(echoes, spin_echo.echo_times_s, covered, options.r2)
    warnings = (*alignment.warnings, *_r2_doubts(spin_echo, float(covered.sum() / mask.sum())))
    rate = np.where(covered, np.maximum(fit.rate_per_s, _WATER_R2_PER_S), 0.0)
    return (run.make("r2", rate, fit.method, options.r2, *warnings),)


def _r2_doubts(spin_echo: SpinEcho, coverage: float) -> list[str]:
    doubts = []
    if coverage < _FULL_COVERAGE:
        doubts.append(f"The spin echo covers {coverage:.0%} of the brain mask; χ maps are left out elsewhere.")
    if spin_echo.is_turbo or len(spin_echo.echo_times_s) == 2:
        doubts.append("R2 comes from a turbo or two-echo spin echo without stimulated-echo correction.")
    return doubts


def _r2prime_step(run: _Run, report: Reporter) -> tuple[Map, ...]:
    mask = run.array("brain_mask")
    if "r2" not in run.maps:
        return (_pseudo_r2prime(run, mask),)
    seen = mask & _seen_by_spin_echo(run)
    values, negative = r2prime_measured(run.array("r2star"), run.array("r2"), seen)
    doubts = () if negative < _MANY_NEGATIVE else (
        f"R2* − R2 is negative in {negative:.0%} of the brain: check R2 and its registration.",
    )  # fmt: skip
    return (run.make("r2prime", values, "measured", {"negative_fraction": round(negative, 4)},
                     *run.maps["r2"].warnings, *doubts),)  # fmt: skip


def _pseudo_r2prime(run: _Run, mask: Array) -> Map:
    rate = run.options.pseudo_r2_per_s
    field_t = run.acquisition.scan.field_strength_t
    doubt = (
        f"No spin echo: R2′ is R2* minus a constant pseudo-R2 of {rate:g} 1/s, not a measurement. "
        "χ_para and χ_dia depend on it."
    )
    if abs(field_t - 3.0) > 0.2:
        doubt += f" The constant holds at 3 T; this scan was made at {field_t:g} T."
    values = r2prime_pseudo(run.array("r2star"), mask, rate)
    return run.make("r2prime", values, "pseudo-r2", {"pseudo_r2_per_s": rate}, doubt)


#: Name for the progress report, products, share of the time, function.
_STEPS: tuple[tuple[str, tuple[str, ...], float, _Step], ...] = (
    ("brain mask", ("brain_mask",), 0.1, _mask_step),
    ("r2star", ("r2star",), 0.05, _r2star_step),
    ("r2", ("r2",), 0.15, _r2_step),
    ("r2prime", ("r2prime",), 0.02, _r2prime_step),
    ("total field", ("total_field",), 0.38, _total_field_step),
    ("local field", ("local_field", "field_mask"), 0.3, _local_field_step),
)
