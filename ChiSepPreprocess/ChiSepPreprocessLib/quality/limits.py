"""The one table of what is doubted: number, limits, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..masking.checks import BRAIN_VOLUME_ML
from ..steps import FULL_COVERAGE, LARGE_RESIDUAL_RAD, MANY_CLAMPED, MANY_NEGATIVE

if TYPE_CHECKING:
    from .record import QualityRecord

#: What the advice tells to do, with the option as it stands in the file of ``--options``.
_DENOISE = 'Denoise the echoes ({"preprocess": {"denoise": {"enabled": true}}})'
_BIPOLAR = 'correct a bipolar readout ({"preprocess": {"correct_bipolar": true}})'
_SINGLE_STEP = 'keep the rim, which V-SHARP loses ({"preprocess": {"background": {"method": "single-step"}}})'


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One number of the record and the range in which nothing is said.

    Parameters
    ----------
    name : str
        What is looked at, for the table.
    number : callable
        Takes it from the record; ``None`` is not judged.
    low, high : float
        Range without a warning.
    finding : str
        What is said outside it, with ``{value}`` where the number stands.
    advice : str
        What the user can do.
    said_by_step : bool
        The step that finds it says so itself, with the map: it is marked here, not repeated.
    """

    name: str
    number: Callable[[QualityRecord], float | None]
    low: float = float("-inf")
    high: float = float("inf")
    finding: str
    advice: str
    said_by_step: bool = False

    def is_broken(self, record: QualityRecord) -> bool:
        """Whether the number is there and out of range; NaN is."""
        value = self.number(record)
        return value is not None and not self.low <= value <= self.high

    def words(self, record: QualityRecord) -> str:
        """What is said about a record that breaks this limit."""
        return f"{self.finding.format(value=self.number(record))} {self.advice}"


def _uncorrected_alternation(record: QualityRecord) -> float | None:
    reading = record.reading
    return None if reading.slice_alternation_corrected else reading.slice_alternation_rad


def _where_phase_fits(record: QualityRecord, number: float | None) -> float | None:
    """A number that rests on the noise, which is taken for what the phase leaves unexplained; none if that is more."""
    return None if (record.field.phase_residual_rad or 0.0) > LARGE_RESIDUAL_RAD else number


#: Every limit, the gravest first. In simulated heads at 3 T, 6 echoes and an SNR of 70: residual 0.015 rad (about
#: 1/SNR), no jumps, field noise 0.0004 ppm, local field 0.002 ppm, negative R2′ in 3 %, 94 % of the mask valid.
LIMITS = (
    Limit(
        name="slice alternation",
        number=_uncorrected_alternation,
        high=1.26,  # 0.4 π; π where slices alternate, near 0 where they do not
        finding="Phase turns by {value:.1f} rad from slice to slice, which may be an alternating sign.",
        advice="Look at the phase in a plane across the slices; export real and imaginary parts.",
    ),
    Limit(
        name="brain volume",
        said_by_step=True,
        number=lambda record: record.mask.volume_ml,
        low=BRAIN_VOLUME_ML[0],
        high=BRAIN_VOLUME_ML[1],
        finding="The brain mask holds {value:.0f} ml; adult brains have 1100 to 1700 ml.",
        advice="Look at its outline and hand in a corrected mask (--mask).",
    ),
    Limit(
        name="valid share of the brain",
        number=lambda record: record.mask.valid_fraction,
        low=0.75,
        finding="The local field is valid in {value:.0%} of the brain mask only.",
        advice=f"Check the mask, the phase residual and the spin echo's coverage; {_SINGLE_STEP}.",
    ),
    Limit(
        name="SNR of the first echo",
        number=lambda record: _where_phase_fits(record, record.signal.first_echo_snr),
        low=20.0,
        finding="The first echo's signal is {value:.1f} times the noise; maps get noisy below 20.",
        advice=f"{_DENOISE}, or scan larger voxels.",
    ),
    Limit(
        name="SNR of the last echo",
        number=lambda record: _where_phase_fits(record, record.signal.last_echo_snr),
        low=3.0,
        finding="The last echo's signal is {value:.1f} times the noise; the noise floor lowers R2* below 3.",
        advice="Leave out the latest echoes.",
    ),
    Limit(
        name="phase residual",
        number=lambda record: record.field.phase_residual_rad,
        high=LARGE_RESIDUAL_RAD,
        finding="The phase of the worst echo misses the field's line by {value:.2f} rad (median).",
        advice=f"Check the echo times and their order; leave out echoes of mere noise; {_BIPOLAR}.",
    ),
    Limit(
        name="field jumps",
        number=lambda record: record.field.jump_fraction,
        high=2e-3,
        finding="The total field jumps by a wrap between {value:.2%} of neighbouring voxels.",
        advice="Look for sharp borders in it: unwrapping failed there, or the mask holds air.",
    ),
    Limit(
        name="field noise",
        number=lambda record: _where_phase_fits(record, record.field.noise_ppm),
        high=0.005,
        finding="The expected error of the total field is {value:.4f} ppm, as much as what it shall show.",
        advice=f"{_DENOISE}, or use a method that regularises.",
    ),
    Limit(
        name="local field",
        number=lambda record: record.field.local_field_ppm,
        high=0.015,
        finding="The local field has a median size of {value:.3f} ppm; a brain makes 0.002 to 0.008 ppm.",
        advice="It holds noise or background: check the mask's edge, the total field and the SNR.",
    ),
    Limit(
        name="clamped R2*",
        said_by_step=True,
        number=lambda record: record.relaxation.r2star_clamped_fraction,
        high=MANY_CLAMPED,
        finding="R2* was out of range and clamped in {value:.1%} of the brain.",
        advice="Check the echo times and that the mask holds no air.",
    ),
    Limit(
        name="clamped R2",
        number=lambda record: record.relaxation.r2_clamped_fraction,
        high=0.02,
        finding="R2 was out of range and clamped in {value:.1%} of the brain.",
        advice="Check the spin echo's times and its registration.",
    ),
    Limit(
        name="negative R2′",
        said_by_step=True,
        number=lambda record: record.relaxation.negative_r2prime_fraction,
        high=MANY_NEGATIVE,
        finding="R2* − R2 is negative in {value:.0%} of the brain.",
        advice="Check R2 (refocusing pulses off 180° bias it) and its registration.",
    ),
    Limit(
        name="overlap of the spin echo",
        said_by_step=True,
        number=lambda record: record.registration.overlap_fraction,
        low=FULL_COVERAGE,
        finding="The spin echo's field of view holds {value:.0%} of the brain.",
        advice="χ maps are left out elsewhere; check that both scans are of one session.",
    ),
    Limit(
        name="signal of the spin echo",
        said_by_step=True,
        number=lambda record: record.registration.spin_echo_coverage,
        low=FULL_COVERAGE,
        finding="R2 was measured in {value:.0%} of the brain.",
        advice="χ maps are left out elsewhere.",
    ),
    Limit(
        name="translation",
        number=lambda record: record.registration.translation_mm,
        high=10.0,
        finding="Registration moved the spin echo by {value:.1f} mm.",
        advice="Check that both scans show one head, and look at R2 and R2* side by side.",
    ),
    Limit(
        name="rotation",
        number=lambda record: record.registration.rotation_deg,
        high=10.0,
        finding="Registration turned the spin echo by {value:.1f}°.",
        advice="Check that both scans show one head, and look at R2 and R2* side by side.",
    ),
)


def broken(record: QualityRecord) -> tuple[Limit, ...]:
    """The limits that a record breaks, the gravest first."""
    return tuple(limit for limit in LIMITS if limit.is_broken(record))
