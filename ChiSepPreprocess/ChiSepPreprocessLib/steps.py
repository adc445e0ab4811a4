"""The steps of preprocessing: each takes what is there and gives its maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .artifacts import Acquisition, Array, Image, Map
from .bgremove.removal import remove_background
from .coils.bipolar import bipolar_score, correct_bipolar, doubt_two_echoes
from .coils.mcpc3ds import remove_phase_offset
from .errors import InputError
from .fieldmap.combine import combine_fields
from .fieldmap.field import measure_field
from .fieldmap.reliability import estimate_noise_sigma, field_sigma_hz
from .masking.checks import check_mask
from .masking.mask import combined_magnitude, make_brain_mask
from .masking.quality import with_surroundings
from .preprocess_options import PreprocessOptions
from .progress import Reporter
from .quantities import TWO_PI, hz_to_ppm, ppm_to_hz
from .registration.rigid import align, resample
from .relaxometry.r2 import r2
from .relaxometry.r2prime import r2prime_measured, r2prime_pseudo, r2prime_scaled
from .relaxometry.r2star import r2star

#: Share of the brain that the spin echo must cover before a warning is due.
FULL_COVERAGE = 0.98
#: Negative R2* − R2 in more of the brain than this points to wrong R2 or misregistration.
MANY_NEGATIVE = 0.25
#: Noise below zero is clamped in a percent or two of a noisy brain.
MANY_CLAMPED = 0.05
#: Phase noise leaves a few hundredths; wrong echo times or alternating readouts leave more.
LARGE_RESIDUAL_RAD = 0.3
#: With less of the brain than this, leaving out what is not reliable does more harm than good.
_ENOUGH_RELIABLE = 0.8
#: Nothing decays slower than water, so that 0 in R2 can mean "not seen by the spin echo".
_WATER_R2_PER_S = 0.3


@dataclass
class Run:
    """What the steps share: measured data, options, and the maps there are already.

    Parameters
    ----------
    acquisition : Acquisition
        Measured data, already denoised if that was asked for.
    options : PreprocessOptions
        Of all steps.
    maps : dict
        By name; grows.
    unwrapped : ndarray, shape (I, J, K, E), optional
        rad, without offset; kept where each echo's background is removed.
    """

    acquisition: Acquisition
    options: PreprocessOptions
    maps: dict[str, Map] = field(default_factory=dict)
    unwrapped: Array | None = None

    @cached_property
    def magnitude(self) -> Array:
        """One image of all echoes, (I, J, K)."""
        return combined_magnitude(self.acquisition.gre_magnitude)

    @property
    def frequency_hz(self) -> float:
        """Of which fields are parts per million."""
        return self.acquisition.scan.reference_frequency_hz

    def array(self, name: str) -> Array:
        """Data of a map that is there."""
        return self.maps[name].data

    def make(self, name: str, data: Array, method: str, options: Any = None, *warnings: str) -> Map:
        """Map on the acquisition's grid."""
        chosen = options or {} if isinstance(options, Mapping | None) else asdict(options)
        kept = data if data.dtype == np.bool_ else data.astype(np.float32, copy=False)
        return Map(name=name, data=kept, grid=self.acquisition.grid, method=method, options=chosen, warnings=warnings)


Step = Callable[[Run, Reporter], "tuple[Map, ...]"]


def magnitude_step(run: Run, report: Reporter) -> tuple[Map, ...]:
    """One image of all echoes, on which the others are shown and whose edges some methods use."""
    return (run.make("magnitude", run.magnitude, "sum of squares"),)


def brain_mask_step(run: Run, report: Reporter) -> tuple[Map, ...]:
    """Brain, from magnitude and phase."""
    acquisition, options = run.acquisition, run.options.mask
    grid = acquisition.grid
    mask = make_brain_mask(
        acquisition.gre_magnitude, acquisition.gre_phase, acquisition.scan.echo_times_s, grid.voxel_size_mm, options,
        report, superior_axis_ijk=acquisition.scan.b0_direction_ijk, combined=run.magnitude,
    )  # fmt: skip
    return (run.make("brain_mask", mask, options.method, options, *check_mask(mask, run.magnitude,
                                                                              grid.voxel_volume_mm3)),)  # fmt: skip


def total_field_step(run: Run, report: Reporter) -> tuple[Map, ...]:
    """Field of all sources, its expected error, and the phase that it leaves unexplained."""
    brought = "total_field" in run.maps and run.maps["total_field"].method == "given"
    if brought or {"local_field", "r2star"} <= run.maps.keys():
        return ()
    acquisition, options, mask = run.acquisition, run.options, run.array("brain_mask")
    magnitude, times, size = acquisition.gre_magnitude, acquisition.scan.echo_times_s, acquisition.grid.voxel_size_mm
    region = with_surroundings(acquisition.gre_phase, magnitude, times, mask, size, options.mask.surroundings_mm,
                               options.mask.quality)  # fmt: skip
    phase, doubts = _one_polarity(run, mask, report.span(0.05, 0.15))
    how = [] if options.field_map.method == "complex-fit" else ["mcpc-3d-s", options.unwrap.method]
    if how:
        phase, _ = remove_phase_offset(magnitude, phase, times, region, size, options.offset, report.span(0.15, 0.4))
    fit, unwrapped = measure_field(phase, magnitude, times, region, size, options.field_map, options.unwrap,
                                   report.span(0.4, 0.95))  # fmt: skip
    run.unwrapped = unwrapped if options.background.each_echo else None
    noise = estimate_noise_sigma(fit, mask)
    sigma_hz = field_sigma_hz(fit, region, noise, size)
    # A field that the phase does not tell at all is uniform over 1/ΔTE.
    sigma_hz = np.minimum(sigma_hz, 1 / (np.sqrt(12) * min(np.diff(times))))
    residual_rad = float(np.median(fit.residual_rad[mask]))
    if residual_rad >= LARGE_RESIDUAL_RAD:
        doubts += (f"The echoes' phases do not lie on a line (median misfit {residual_rad:.2f} rad): check the echo "
                   "times and whether the readout is bipolar.",)  # fmt: skip
    method = ", ".join([*how, options.field_map.method])
    used = ("denoise", "bipolar", "offset", "unwrap", "field_map")
    chosen = {"correct_bipolar": options.correct_bipolar, **{name: asdict(getattr(options, name)) for name in used}}
    return (
        run.make("total_field", hz_to_ppm(fit.field_hz, run.frequency_hz), method, chosen,
                 *acquisition.warnings, *doubts),
        run.make("field_sigma", hz_to_ppm(sigma_hz, run.frequency_hz), method, {"noise_sigma": noise}),
        run.make("phase_residual", fit.residual_rad, method),
    )  # fmt: skip


def _one_polarity(run: Run, mask: Array, report: Reporter) -> tuple[Array, tuple[str, ...]]:
    """Phase with echoes of one readout polarity; or a warning that they are not."""
    acquisition, options = run.acquisition, run.options
    times, size = acquisition.scan.echo_times_s, acquisition.grid.voxel_size_mm
    data = (acquisition.gre_magnitude, acquisition.gre_phase, times, mask, size, options.bipolar, report)
    if len(times) < 3:
        return acquisition.gre_phase, doubt_two_echoes(len(times), options.correct_bipolar)
    if options.correct_bipolar:
        phase, fit = correct_bipolar(*data)
        if fit.corrected:
            return phase, (f"Alternating readout polarity was corrected ({fit.score_rad:.2f} rad).",)
        return phase, (f"No alternating readout polarity was found ({fit.score_rad:.3f} rad).",)
    score = bipolar_score(*data)
    if score < options.bipolar.threshold_rad:
        return acquisition.gre_phase, ()
    return acquisition.gre_phase, (f"Even and odd echoes differ by a smooth phase of {score:.2f} rad: the readout "
                                   "seems bipolar. Switch correct_bipolar on.",)  # fmt: skip


def local_field_step(run: Run, report: Reporter) -> tuple[Map, ...]:
    """Field of the sources in the brain, and where it is valid."""
    options, mask = run.options.background, run.array("brain_mask")
    if "local_field" in run.maps:
        seen = mask & (run.array("local_field") != 0)
        return (run.make("field_mask", seen & _seen_by_spin_echo(run), "nonzero local field"),)
    known, doubts = _known(run, mask)
    sigma = run.array("field_sigma") if "field_sigma" in run.maps else None

    def removed(field_ppm: Array, part: Reporter) -> tuple[Array, Array]:
        size, direction = run.acquisition.grid.voxel_size_mm, run.acquisition.scan.b0_direction_ijk
        return remove_background(field_ppm, mask, size, direction, options, part,
                                 known=known, sigma=sigma)  # fmt: skip

    if options.each_echo and run.unwrapped is None:
        doubts += ("The total field was given, not measured: its background was removed once, not echo by echo.",)
    if options.each_echo and run.unwrapped is not None:
        local, valid = _each_echo(run, run.unwrapped, removed, report)
    else:
        local, valid = removed(run.array("total_field"), report)
    valid = valid & _seen_by_spin_echo(run)
    if not valid.any():
        raise InputError("brain mask", f"{int(mask.sum())} voxels, none left after background removal",
                         "a mask of the brain, covered by the spin echo",
                         "Give a better mask (--mask), or leave the spin echo out.")  # fmt: skip
    method = f"{options.method}, each echo" if options.each_echo and run.unwrapped is not None else options.method
    return run.make("local_field", local, method, options, *doubts), run.make("field_mask", valid, method)


def _known(run: Run, mask: Array) -> tuple[Array, tuple[str, ...]]:
    """Where the total field was measured well; all of it, with a warning, if that would be too little."""
    if "phase_residual" not in run.maps:  # a field from elsewhere may hold anything around the brain
        return mask, ()
    region = mask | (run.array("total_field") != 0)
    limit_rad = run.options.background.largest_residual_rad
    if limit_rad == 0:
        return region, ()
    known = region & (run.array("phase_residual") <= limit_rad)
    share = float(known[mask].mean())
    if share >= _ENOUGH_RELIABLE:
        return known, ()
    return region, (f"Only {share:.0%} of the brain has echoes whose phases lie on a line within {limit_rad:g} rad; "
                    "the local field was made of all of it.",)  # fmt: skip


def _each_echo(
    run: Run, unwrapped: Array, removed: Callable[[Array, Reporter], tuple[Array, Array]], report: Reporter
) -> tuple[Array, Array]:
    """Remove the background of each echo's field, then average."""
    scan = run.acquisition.scan
    times, local, valid = scan.echo_times_s, np.zeros_like(unwrapped), run.array("brain_mask")
    for echo, time_s in enumerate(times):
        field_ppm = hz_to_ppm(unwrapped[..., echo] / np.float32(TWO_PI * time_s), run.frequency_hz)
        local[..., echo], known = removed(field_ppm, report.span(echo / len(times), (echo + 1) / len(times)))
        valid = valid & known
    average = run.options.field_map.average
    return combine_fields(local, run.acquisition.gre_magnitude, times, valid, average), valid


def _seen_by_spin_echo(run: Run) -> Array:
    """Where R2′ is known: everywhere, or where the spin echo had signal."""
    if "r2" not in run.maps or run.maps["r2"].method == "given":
        return np.ones(run.acquisition.grid.shape, dtype=bool)
    return run.array("r2") > 0


def r2star_step(run: Run, report: Reporter) -> tuple[Map, ...]:
    """Decay of the gradient echoes."""
    acquisition, options = run.acquisition, run.options.r2star
    field_hz = ppm_to_hz(run.array("total_field"), run.frequency_hz) if "total_field" in run.maps else None
    fit = r2star(acquisition.gre_magnitude, acquisition.scan.echo_times_s, run.array("brain_mask"), options,
                 field_hz=field_hz, voxel_size_mm=acquisition.grid.voxel_size_mm, report=report)  # fmt: skip
    doubts = () if fit.clamped_fraction < MANY_CLAMPED else (
        f"R2* was out of range in {fit.clamped_fraction:.1%} of the brain and was clamped.",
    )  # fmt: skip
    chosen = {**asdict(options), "denoise": asdict(run.options.denoise),
              "clamped_fraction": round(fit.clamped_fraction, 5)}  # fmt: skip
    return (run.make("r2star", fit.rate_per_s, fit.method, chosen, *doubts),)


def r2_step(run: Run, report: Reporter) -> tuple[Map, ...]:
    """Decay of the spin echoes, registered to the gradient echoes."""
    acquisition, options = run.acquisition, run.options
    spin_echo, mask, grid = acquisition.spin_echo, run.array("brain_mask"), acquisition.grid
    if spin_echo is None:
        return ()
    first = Image(spin_echo.magnitude[..., 0], spin_echo.grid)
    alignment = align(Image(run.magnitude, grid), first, mask, options.registration, report.span(0.0, 0.6))
    alignment.check_resemblance("spin echo")
    echoes = resample(spin_echo.magnitude, spin_echo.grid, grid, alignment)
    covered = np.asarray(echoes[..., 0] > 0) & mask
    if not covered.any():
        raise InputError("spin echo", "no signal anywhere in the brain mask", "a scan of the same head",
                         "Check that the spin echo belongs to this patient and session.")  # fmt: skip
    b1 = run.array("b1") if "b1" in run.maps else None
    fit = r2(echoes, spin_echo.echo_times_s, covered, options.r2, voxel_size_mm=grid.voxel_size_mm, b1=b1,
             is_turbo=spin_echo.is_turbo, report=report.span(0.7, 1.0))  # fmt: skip
    known = covered & (fit.rate_per_s > 0)  # 0: no rate could be fitted
    coverage = float(known.sum() / mask.sum())
    doubts = () if coverage >= FULL_COVERAGE else (
        f"R2 was measured in {coverage:.0%} of the brain mask; χ maps are left out elsewhere.",
    )  # fmt: skip
    rate = np.where(known, np.maximum(fit.rate_per_s, _WATER_R2_PER_S), 0.0)
    chosen = {**asdict(options.r2), "statement": fit.statement, "registration": alignment.summary(),
              "registration_options": asdict(options.registration),
              "clamped_fraction": round(fit.clamped_fraction, 5)}  # fmt: skip
    return (run.make("r2", rate, fit.method, chosen, *alignment.warnings, *doubts, *fit.warnings),)


def r2prime_step(run: Run, report: Reporter) -> tuple[Map, ...]:
    """Reversible part of the decay: measured, or by convention."""
    mask = run.array("brain_mask")
    if "r2" not in run.maps:
        return (_r2prime_by_convention(run, mask),)
    seen = mask & _seen_by_spin_echo(run)
    values, negative = r2prime_measured(run.array("r2star"), run.array("r2"), seen)
    doubts = () if negative < MANY_NEGATIVE else (
        f"R2* − R2 is negative in {negative:.0%} of the brain: check R2 and its registration.",
    )  # fmt: skip
    return (run.make("r2prime", values, "measured", {"negative_fraction": round(float(negative), 4)},
                     *run.maps["r2"].warnings, *doubts),)  # fmt: skip


def _r2prime_by_convention(run: Run, mask: Array) -> Map:
    rate, share = run.options.pseudo_r2_per_s, run.options.r2prime_share
    field_t = run.acquisition.scan.field_strength_t
    scaled = run.options.without_spin_echo == "scaled-r2star"
    what = f"{share:g} times R2*" if scaled else f"R2* minus a constant pseudo-R2 of {rate:g} 1/s"
    doubt = f"No spin echo: R2′ is {what}, not a measurement. χ_para and χ_dia depend on it."
    if abs(field_t - 3.0) > 0.2:
        doubt += f" The number holds at 3 T; this scan was made at {field_t:g} T."
    if scaled:
        values = r2prime_scaled(run.array("r2star"), mask, share)
        return run.make("r2prime", values, "scaled-r2star", {"r2prime_share": share}, doubt)
    values = r2prime_pseudo(run.array("r2star"), mask, rate)
    return run.make("r2prime", values, "pseudo-r2", {"pseudo_r2_per_s": rate}, doubt)
