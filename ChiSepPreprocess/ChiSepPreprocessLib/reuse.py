"""Which maps stay valid when options change: those of steps that neither use the option nor follow one that does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .preprocess_options import PreprocessOptions


@dataclass(frozen=True)
class StepInputs:
    """What one step makes its maps of.

    Parameters
    ----------
    maps : tuple of str
        That it makes.
    options : frozenset of str
        Fields of :class:`PreprocessOptions` that it uses.
    follows : tuple of str
        Maps that it uses.
    """

    maps: tuple[str, ...]
    options: frozenset[str]
    follows: tuple[str, ...] = ()


#: In the order of the pipeline.
STEP_INPUTS: tuple[StepInputs, ...] = (
    StepInputs(("magnitude",), frozenset({"denoise"})),
    StepInputs(("brain_mask",), frozenset({"denoise", "mask"})),
    StepInputs(
        ("total_field", "field_sigma", "phase_residual"),
        frozenset({"denoise", "mask", "correct_bipolar", "bipolar", "offset", "unwrap", "field_map"}),
        ("brain_mask",),
    ),
    StepInputs(("r2star",), frozenset({"denoise", "r2star"}), ("brain_mask", "total_field")),
    StepInputs(("r2",), frozenset({"registration", "r2"}), ("magnitude", "brain_mask")),
    StepInputs(
        ("r2prime",),
        frozenset({"without_spin_echo", "pseudo_r2_per_s", "r2prime_share"}),
        ("brain_mask", "r2star", "r2"),
    ),
    StepInputs(
        ("local_field", "field_mask"),
        frozenset({"background", "field_map", "denoise"}),
        ("brain_mask", "total_field", "r2"),
    ),
)


def plain(options: PreprocessOptions) -> dict[str, Any]:
    """Options as JSON has them, so that recorded ones can be compared."""
    content: dict[str, Any] = json.loads(json.dumps(asdict(options)))
    return content


def unaffected_maps(before: Mapping[str, Any], after: Mapping[str, Any]) -> frozenset[str]:
    """Names of the maps that come out the same with both sets of options.

    Parameters
    ----------
    before, after : mapping
        Of :func:`plain`, or as ``provenance.json`` holds them.
    """
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    stale: set[str] = set()
    for step in STEP_INPUTS:
        if step.options & changed or stale.intersection(step.follows):
            stale.update(step.maps)
    return frozenset(name for step in STEP_INPUTS for name in step.maps) - stale
