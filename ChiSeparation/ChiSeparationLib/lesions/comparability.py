"""Whether χ maps of two times were made alike, without which their difference means nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ChiSepPreprocessLib.artifacts import Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError

#: Maps that may be compared.
CHI_MAPS = ("chi_para", "chi_dia", "chi_total")

#: What a map's record says about how it was made, in words; the part is what of it counts.
_MADE_BY = {
    "relaxivity": ("relaxivity", ("para_hz_per_ppm", "dia_hz_per_ppm")),
    "network_weights": ("weights of the networks", ("sha256", "name")),
    "reference": ("reference region", ("region",)),
    "r2prime_source": ("source of R2′", ("method",)),
    "inputs": ("methods of the input maps", ()),
    "chisepnet_inputs": ("inputs of χ-sepnet", ()),
}
#: Networks and solvers blur with the voxel, so maps of other voxels differ by more than noise.
_SAME_VOXEL = 0.05
_SAME_FIELD_T = 0.05
_SAME_TIME_S = 2e-4


def compared_maps(first: MapSet, second: MapSet) -> tuple[str, ...]:
    """χ maps that are there at both times.

    Raises
    ------
    InputError
        If neither ``chi_para`` nor ``chi_dia`` is.
    """
    found = tuple(name for name in CHI_MAPS if name in first and name in second)
    if not {"chi_para", "chi_dia"} & set(found):
        raise InputError("maps to compare", ", ".join(found) or "none at both times", "chi_para or chi_dia at both",
                         "Make them with the same method for both times.")  # fmt: skip
    return found


def differences(first: MapSet, second: MapSet) -> tuple[str, ...]:
    """What was made otherwise at the second time, one sentence each.

    Parameters
    ----------
    first, second : MapSet
        On their own grids, with the records of how they were made.

    Raises
    ------
    InputError
        If there is no common χ map, or one was made by another method.
    """
    names = compared_maps(first, second)
    for name in names:
        if first[name].method != second[name].method:
            raise InputError(f"{name} of the second time", f"method {second[name].method}",
                             f"{first[name].method}, as at the first time",
                             "Name a method that both were made with, or make one anew.")  # fmt: skip
    missing = [name for name in CHI_MAPS if (name in first) != (name in second)]
    absent = [f"There at one time only, and not compared: {', '.join(missing)}."] if missing else []
    made = [text for name in names for text in _made_otherwise(first[name], second[name])]
    return tuple(dict.fromkeys((*absent, *made, *_scanned_otherwise(first, second))))


def _made_otherwise(first: Map, second: Map) -> Iterator[str]:
    for key, (words, parts) in _MADE_BY.items():
        before, after = (_what_counts(one.options.get(key), parts) for one in (first, second))
        if not _same(before, after):
            yield f"Maps are comparable only if made alike: {words} {_text(before)} at first, then {_text(after)}."


def _what_counts(value: Any, parts: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping) and parts:
        return {part: value[part] for part in parts if part in value}
    return value


def _same(before: Any, after: Any) -> bool:
    """Equal but for rounding, and between JSON and Python."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return before.keys() == after.keys() and all(_same(before[key], after[key]) for key in before)
    if isinstance(before, list | tuple) and isinstance(after, list | tuple):
        return list(before) == list(after)
    if isinstance(before, float) and isinstance(after, int | float):
        return bool(np.isclose(before, after, rtol=1e-3))
    return bool(before == after)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(one)}" for key, one in value.items()) or "not stated"
    return "not stated" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _scanned_otherwise(first: MapSet, second: MapSet) -> Iterator[str]:
    a, b = first.scan, second.scan
    if abs(a.field_strength_t - b.field_strength_t) > _SAME_FIELD_T:
        yield f"Another field strength: {a.field_strength_t:g} T at first, then {b.field_strength_t:g} T."
    if not _same_times(a, b):
        yield f"Other echo times: {_milliseconds(a)} ms at first, then {_milliseconds(b)} ms."
    sizes = np.array([sorted(one.grid.voxel_size_mm) for one in (first, second)])
    if not np.allclose(sizes[0], sizes[1], rtol=_SAME_VOXEL):
        before, after = (" × ".join(f"{size:.3g}" for size in one.grid.voxel_size_mm) for one in (first, second))
        yield f"Another voxel size: {before} mm at first, then {after} mm."


def _same_times(a: ScanParameters, b: ScanParameters) -> bool:
    before, after = a.echo_times_s, b.echo_times_s
    return len(before) == len(after) and bool(np.allclose(before, after, rtol=0, atol=_SAME_TIME_S))


def _milliseconds(scan: ScanParameters) -> str:
    return ", ".join(f"{time * 1e3:.3g}" for time in scan.echo_times_s)
