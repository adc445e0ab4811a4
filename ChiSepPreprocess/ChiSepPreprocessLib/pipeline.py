"""Acquisition to maps, in one typed call.

The road: brain mask → phase offset (MCPC-3D-S) → unwrapping (ROMEO) → echo combination
→ total field → gradient-echo decay → R2*; spin echo registered to the gradient echo → R2; R2′ = R2* − R2; background
removal (single step) → local field. Any map can be handed in instead of being computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from .artifacts import Acquisition, Map, MapSet
from .denoise.mppca import denoise_complex
from .errors import InputError
from .given import check_given_maps, eroded_mask, on_grid
from .loading import check_reconstructable
from .masking.checks import check_mask
from .masking.mask import combined_magnitude
from .preprocess_options import PRESETS, PreprocessOptions, preset
from .progress import Progress, Reporter
from .steps import (
    Run,
    Step,
    brain_mask_step,
    local_field_step,
    magnitude_step,
    r2_step,
    r2prime_step,
    r2star_step,
    total_field_step,
)

__all__ = ["PRESETS", "PreprocessOptions", "checked_maps", "combined_magnitude", "preprocess", "preset"]


def preprocess(
    acquisition: Acquisition,
    *,
    options: PreprocessOptions | None = None,
    given: Mapping[str, Map] | None = None,
    progress: Progress | None = None,
    on_map: Callable[[Map], None] | None = None,
    until: str | None = None,
) -> MapSet:
    """Compute every map that the acquisition allows.

    Parameters
    ----------
    acquisition : Acquisition
        Multi-echo GRE, with a spin echo if R2 is to be measured.
    options : PreprocessOptions, optional
        One dataclass for each step.
    given : mapping, optional
        Maps by name that are used instead of being computed, on the GRE's grid. Those of :func:`checked_maps`, which
        are a :class:`MapSet`, are not checked again.
    progress : callable, optional
        Receives a status; returning ``False`` cancels.
    on_map : callable, optional
        Called with each map as soon as it is complete.
    until : str, optional
        Stop once this map is there, such as ``"brain_mask"``.

    Returns
    -------
    MapSet
        ``magnitude``, ``brain_mask``, ``field_mask``, ``total_field`` with its ``field_sigma`` (ppm),
        ``phase_residual`` (rad), ``local_field`` (ppm), ``r2star``, ``r2prime`` and, with a spin echo, ``r2`` (1/s).

    Raises
    ------
    InputError
        If the acquisition or a given map cannot be used, or ``until`` is no map that a step makes.
    CancelledError
        If ``progress`` returned ``False``.
    """
    steps = steps_until(until)
    check_reconstructable(acquisition)
    chosen, report = options or PreprocessOptions(), Reporter(progress)
    checked = given if isinstance(given, MapSet) else checked_maps(acquisition, given or {}, chosen)
    run = Run(_denoised(acquisition, chosen, report.span(0.0, 0.02)), chosen, dict(checked.maps))
    start, whole = 0.02, sum(share for _, _, share, _ in steps) / 0.98
    for name, products, share, step in steps:
        part = report.span(start, start + share / whole)
        start += share / whole
        part(name, 0.0)
        if not run.maps.keys() >= set(products) or _needs_echoes(run, name):
            _keep(run, step(run, part), on_map)
    report("done", 1.0)
    return checked.including(*run.maps.values())


def steps_until(until: str | None) -> tuple[tuple[str, tuple[str, ...], float, Step], ...]:
    """Steps up to the one that makes a map; all of them for ``None``.

    Raises
    ------
    InputError
        If no step makes it.
    """
    if until is None:
        return _STEPS
    last = next((number for number, (_, products, _, _) in enumerate(_STEPS) if until in products), None)
    if last is None:
        made = ", ".join(name for _, products, _, _ in _STEPS for name in products)
        raise InputError("map to stop at", until, f"one of {made}")
    return _STEPS[: last + 1]


def _needs_echoes(run: Run, name: str) -> bool:
    """Whether a resumed run must unwrap again, since each echo's background is still to be removed."""
    return name == "total field" and run.options.background.each_echo and "local_field" not in run.maps


def _keep(run: Run, made: tuple[Map, ...], on_map: Callable[[Map], None] | None) -> None:
    for one in made:
        if one.name not in run.maps:
            run.maps[one.name] = one
            if on_map is not None:
                on_map(one)


def checked_maps(acquisition: Acquisition, given: Mapping[str, Map], options: PreprocessOptions) -> MapSet:
    """Maps that are there; those that the user brought are held against their unit and the measured data.

    Raises
    ------
    InputError
        If one of them cannot be what it is called.
    """
    placed = {name: on_grid(one, acquisition.grid) for name, one in given.items()}
    maps = MapSet(acquisition.grid, acquisition.scan, placed)
    brought = {name: one for name, one in placed.items() if one.method == "given"}
    checked = check_given_maps(brought, acquisition)
    if "brain_mask" in checked:
        mask, magnitude = checked["brain_mask"], combined_magnitude(acquisition.gre_magnitude)
        doubts = check_mask(mask.data, magnitude, acquisition.grid.voxel_volume_mm3)
        mask = replace(mask, warnings=(*mask.warnings, *doubts))
        checked["brain_mask"] = eroded_mask(mask, options.mask.erosion_mm)
    return maps.including(*checked.values())


def _denoised(acquisition: Acquisition, options: PreprocessOptions, report: Reporter) -> Acquisition:
    if not options.denoise.enabled:
        return acquisition
    everywhere = np.ones(acquisition.grid.shape, dtype=np.bool_)
    magnitude, phase, _ = denoise_complex(
        acquisition.gre_magnitude, acquisition.gre_phase, everywhere, options.denoise, report
    )
    return replace(acquisition, gre_magnitude=magnitude, gre_phase=phase)


#: Name for the progress report, products, share of the time, function.
_STEPS: tuple[tuple[str, tuple[str, ...], float, Step], ...] = (
    ("magnitude", ("magnitude",), 0.01, magnitude_step),
    ("brain mask", ("brain_mask",), 0.09, brain_mask_step),
    ("total field", ("total_field", "field_sigma", "phase_residual"), 0.25, total_field_step),
    ("r2star", ("r2star",), 0.1, r2star_step),
    ("r2", ("r2",), 0.18, r2_step),
    ("r2prime", ("r2prime",), 0.02, r2prime_step),
    ("local field", ("local_field", "field_mask"), 0.33, local_field_step),
)
