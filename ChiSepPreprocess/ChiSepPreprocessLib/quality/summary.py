"""The record as short lines of text for people."""

from __future__ import annotations

from dataclasses import dataclass

from .limits import broken
from .record import QualityRecord


@dataclass(frozen=True)
class Row:
    """Cells of a line of a table, whether it is the heading, and whether a limit is broken."""

    cells: tuple[str, ...]
    is_heading: bool = False
    is_broken: bool = False


def subtitle(record: QualityRecord) -> str:
    """Scan in one line."""
    geometry, echoes = record.geometry, record.echoes
    size = " × ".join(f"{length:.2f}" for length in geometry.voxel_size_mm)
    shape = " × ".join(str(length) for length in geometry.shape)
    parts = [f"{geometry.field_strength_t:.2f} T", f"{shape} voxels of {size} mm",
             f"{len(echoes)} echoes, {echoes[0].time_ms:.2f} to {echoes[-1].time_ms:.2f} ms",
             record.reading.vendor or ""]  # fmt: skip
    return "   ·   ".join(part for part in parts if part)


def echo_rows(record: QualityRecord) -> list[Row]:
    """Table of the echoes."""
    head = Row(("echo", "time (ms)", "magnitude up to", "phase (rad)", "brain", "residual (rad)"), is_heading=True)
    return [head, *(
        Row((f"{echo.number}", f"{echo.time_ms:.2f}", f"{echo.magnitude_range[1]:.3g}",
             f"{echo.phase_range_rad[0]:.2f} … {echo.phase_range_rad[1]:.2f}".replace("-", "−"), f"{echo.signal:.3g}",
             _text(echo.phase_residual_rad, "{:.3f}")))
        for echo in record.echoes
    )]  # fmt: skip


def summary_rows(record: QualityRecord) -> list[Row]:
    """Table of everything else; a row is marked where a limit of its name is broken."""
    names = {limit.name for limit in broken(record)}
    return [
        Row((title, value), is_broken=bool(names & set(limits)))
        for title, value, *limits in (
            *_acquisition_lines(record), *_field_lines(record), *_relaxation_lines(record),
        )
    ]  # fmt: skip


def _acquisition_lines(record: QualityRecord) -> list[tuple[str, ...]]:
    reading, geometry, signal = record.reading, record.geometry, record.signal
    direction = ", ".join(f"{part:.3f}" for part in geometry.b0_direction_ijk).replace("-", "−")
    snr = [_text(value, "{:.0f}") for value in (signal.first_echo_snr, signal.last_echo_snr)]
    return [
        ("Phase scaling", reading.phase_scaling or "–"),
        ("Phase sign", (reading.phase_sign or "–").split(";")[-1].strip()),
        ("Angle between slices, π if they alternate", _text(reading.slice_alternation_rad, "{:.2f} rad"),
         "slice alternation"),
        ("B0 in voxel axes; tilt", f"{direction};  {geometry.b0_tilt_deg:.1f}°"),
        ("Echo spacing; largest deviation", f"{_text(geometry.echo_spacing_ms, '{:.3f} ms')};  "
                                            f"{_text(geometry.echo_spacing_deviation_ms, '{:.3f} ms')}"),
        ("Signal over noise, first and last echo", ", ".join(snr), "SNR of the first echo",
         "SNR of the last echo"),
        ("Brain mask (adults 1100 to 1700 ml)", f"{record.mask.volume_ml:.0f} ml", "brain volume"),
    ]  # fmt: skip


def _field_lines(record: QualityRecord) -> list[tuple[str, ...]]:
    field = record.field
    return [
        ("Valid share of the mask", _text(record.mask.valid_fraction, "{:.0%}"), "valid share of the brain"),
        ("Phase residual, worst echo", _text(field.phase_residual_rad, "{:.3f} rad"), "phase residual"),
        ("Jumps of the total field", _text(field.jump_fraction, "{:.3%}"), "field jumps"),
        ("Expected error of the total field, median", _text(field.noise_ppm, "{:.4f} ppm"), "field noise"),
        ("Local field, median size", _text(field.local_field_ppm, "{:.4f} ppm"), "local field"),
    ]


def _relaxation_lines(record: QualityRecord) -> list[tuple[str, ...]]:
    rates, moved = record.relaxation, record.registration
    medians = [_text(rate, "{:.1f}") for rate in (rates.r2star_per_s, rates.r2_per_s, rates.r2prime_per_s)]
    made = f" ({rates.r2prime_method})" if rates.r2prime_method else ""
    clamped = [_text(share, "{:.1%}") for share in (rates.r2star_clamped_fraction, rates.r2_clamped_fraction)]
    return [
        ("Median R2*, R2, R2′", f"{', '.join(medians)} 1/s{made}"),
        ("Clamped R2*, R2", ", ".join(clamped), "clamped R2*", "clamped R2"),
        ("Negative R2* − R2", _text(rates.negative_r2prime_fraction, "{:.1%}"), "negative R2′"),
        ("Spin echo moved", f"{_text(moved.translation_mm, '{:.1f} mm')}, {_text(moved.rotation_deg, '{:.1f}°')}",
         "translation", "rotation"),
        ("Spin echo covers; signal there", f"{_text(moved.overlap_fraction, '{:.0%}')};  "
                                           f"{_text(moved.spin_echo_coverage, '{:.0%}')}",
         "overlap of the spin echo", "signal of the spin echo"),
    ]  # fmt: skip


def _text(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value).replace("-", "−")
