"""Options of the steps that the panel offers: where each stands among :class:`PreprocessOptions`. Needs no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..preprocess_options import PRESETS, PreprocessOptions, preset
from ..reuse import plain

#: By step, its parameters and their places.
STEPS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "noise": {"denoise": ("denoise", "enabled")},
    "mask": {"maskMethod": ("mask", "method"), "maskErosion": ("mask", "erosion_mm")},
    "field": {
        "correctBipolar": ("correct_bipolar",),
        "unwrapMethod": ("unwrap", "method"),
        "fieldMethod": ("field_map", "method"),
    },
    "background": {
        "backgroundMethod": ("background", "method"),
        "vsharpRadius": ("background", "vsharp", "maximum_radius_mm"),
        "eachEcho": ("background", "each_echo"),
    },
    "r2star": {"r2starMethod": ("r2star", "method"), "fieldSlope": ("r2star", "correct_field_slope")},
    "r2": {"r2Method": ("r2", "method"), "skipFirstEcho": ("r2", "skip_first_echo")},
    "r2prime": {
        "withoutSpinEcho": ("without_spin_echo",),
        "pseudoR2": ("pseudo_r2_per_s",),
        "r2primeShare": ("r2prime_share",),
    },
}  # fmt: skip

PLACES: Mapping[str, tuple[str, ...]] = {name: place for step in STEPS.values() for name, place in step.items()}
PRESET_NAMES = tuple(PRESETS)


def defaults(name: str = "best") -> dict[str, Any]:
    """Values of the parameters in a named set of options.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    content = plain(preset(name))
    return {parameter: _at(content, place) for parameter, place in PLACES.items()}


def options_file(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Content of the options file: what differs from the named set.

    Parameters
    ----------
    values : mapping
        By parameter.
    name : str
        Of the set of options.
    """
    standard = defaults(name)
    content: dict[str, Any] = {}
    for parameter, place in PLACES.items():
        if values[parameter] != standard[parameter]:
            _put(content, place, values[parameter])
    return {"preprocess": content} if content else {}


def changed_steps(values: Mapping[str, Any], before: Mapping[str, Any]) -> frozenset[str]:
    """Steps of which an option is not what it was."""
    return frozenset(
        step for step, places in STEPS.items() if any(values.get(name) != before.get(name) for name in places)
    )


def choices(parameter: str) -> tuple[str, ...]:
    """Words that a parameter may be, in the order in which they are offered."""
    from typing import get_args, get_type_hints

    kind: Any = PreprocessOptions
    for name in PLACES[parameter]:
        kind = get_type_hints(kind)[name]
    return get_args(kind)


def _at(content: Mapping[str, Any], place: tuple[str, ...]) -> Any:
    value: Any = content
    for name in place:
        value = value[name]
    return value


def _put(content: dict[str, Any], place: tuple[str, ...], value: Any) -> None:
    for name in place[:-1]:
        content = content.setdefault(name, {})
    content[place[-1]] = value
