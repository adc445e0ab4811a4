"""What is recorded about how a scan was read: JSON-ready, without patient data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .groups import COMBINED, Group
from .polarity import Alternation, SignRule
from .roles import Component
from .signal import Signal
from .stack import Header

#: Echo spacings that differ by less than this count as even, s.
EVEN_SPACING_S = 1e-5


def record(
    group: Group, signal: Signal, echo_times_s: Sequence[float], sign: SignRule, alternations: Sequence[Alternation]
) -> dict[str, Any]:
    """Facts for ``Acquisition.source``; the keys are stable.

    Parameters
    ----------
    group : Group
        Volumes that were read.
    signal : Signal
        Their values, before the coils were combined.
    echo_times_s : sequence of float
        As used, s.
    sign : SignRule
        What was done about the sign of the phase.
    alternations : sequence of Alternation
        As measured before they were undone; the first is recorded in full.
    """
    header = group.echoes[0].header
    tilt_deg = float(np.degrees(np.arccos(min(1.0, np.abs(signal.grid.b0_direction_ijk).max()))))
    return {
        "vendor": header.vendor.value,
        "software": header.software or None,
        "export": header.export or None,
        "series": len({stack.header.series for stack in group.stacks}),
        "components": sorted({stack.header.component.value for stack in group.stacks}),
        "magnitude_scaling": _magnitude_scaling(group),
        "phase_scaling": signal.phase.rule,
        "phase_formula": _formula(signal),
        "phase_sign": "negated" if sign.negated else "as stored",
        "phase_sign_rule": sign.words,
        "slice_alternation": _alternation_facts(alternations),
        "echoes": _echo_table(signal, echo_times_s),
        "echo_spacing": _spacing(echo_times_s),
        "b0_tilt_deg": tilt_deg,
        "coils": 1 if group.coils == (COMBINED,) else len(group.coils),
        "coil_combination": None if group.coils == (COMBINED,) else "MCPC-3D-S",
    }


def _alternation_facts(alternations: Sequence[Alternation]) -> dict[str, Any]:
    first = alternations[0]
    return {
        "axis": "ijk"[first.axis],
        "angle_rad": round(first.angle_rad, 4),
        "coherence": round(first.coherence, 4),
        "corrected": first.present,
        "axes": ["ijk"[one.axis] for one in alternations if one.present],
    }


def _magnitude_scaling(group: Group) -> str:
    if group.is_real_imaginary:
        header = group.of(Component.REAL)[0].header
        return f"√(real² + imaginary²); {_scaling_words(header)}"
    return _scaling_words(group.of(Component.MAGNITUDE)[0].header)


def _scaling_words(header: Header) -> str:
    if header.precise_divisor is not None:
        return "Philips precise values, (PV·RS + RI)/(RS·SS)"
    if header.is_real_world:
        return "real-world value mapping"
    return "as stored" if header.rescale in (None, (1.0, 0.0)) else "rescale slope and intercept"


def _formula(signal: Signal) -> str:
    scale = signal.phase.scale
    if scale is None:
        return "rad = atan2(imaginary, real)"
    return f"rad = {scale.slope:.6g} · value" + (f" {scale.intercept:+.6g}" if scale.intercept else "")


def _echo_table(signal: Signal, echo_times_s: Sequence[float]) -> list[dict[str, Any]]:
    """For each echo its time and what its values span: magnitude, phase before scaling, phase in rad."""
    scaled = signal.phase
    return [
        {
            "time_s": float(time),
            "magnitude_range": _range(signal.magnitude[:, :, :, echo]),
            "stored_phase_range": list(scaled.value_ranges[echo]) if scaled.value_ranges else None,
            "phase_scale_rad": scaled.scale.slope if scaled.scale else None,
            "phase_range_rad": _range(scaled.phase[:, :, :, echo]),
        }
        for echo, time in enumerate(echo_times_s)
    ]


def _range(values: Any) -> list[float]:
    return [float(values.min()), float(values.max())]


def _spacing(echo_times_s: Sequence[float]) -> dict[str, Any]:
    spacings = np.diff(echo_times_s)
    deviation_s = float(np.abs(spacings - spacings.mean()).max()) if spacings.size else 0.0
    return {
        "spacings_s": [round(float(one), 9) for one in spacings],
        "largest_deviation_s": round(deviation_s, 9),
        "even": deviation_s <= EVEN_SPACING_S,
    }
