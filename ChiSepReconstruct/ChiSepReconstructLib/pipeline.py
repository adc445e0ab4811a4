"""One call from maps to susceptibility maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet
from ChiSepPreprocessLib.box import Box, bounding_box
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Progress, Reporter
from ChiSepPreprocessLib.threads import thread_count

from . import methods
from .evaluation.phase_sign import phase_sign_score, phase_sign_warnings
from .methods import R2PRIMENET, Method, R2PrimeSource
from .solution import Solution
from .solvers.orientations import oriented

#: What is typical of a map inside the mask lies above the first and up to the second number.
_PLAUSIBLE = {
    "local_field": (0.0, 1.0, "a local field in ppm, above 0 and up to 1",
                    "Is it in Hz? Then divide by the imaging frequency in MHz."),
    "r2prime": (0.05, 500.0, "R2′ in 1/s, between 0.05 and 500 in the brain",
                "Is it in 1/ms? Then multiply by 1000."),
    "r2star": (0.5, 1000.0, "R2* in 1/s, between 0.5 and 1000 in the brain",
               "Is it in 1/ms? Then multiply by 1000. T2*? Then 1 divided by it in s."),
    "magnitude": (0.0, np.inf, "a magnitude, above 0", "Is it another image?"),
    "field_sigma": (0.0, np.inf, "an expected error in ppm, above 0", "Is it another image?"),
}  # fmt: skip

#: So many voxels of a map, evenly spread, tell what is typical of it: its magnitude is in question, not its digits.
_SAMPLE = 100_000


def reconstruct(
    maps: MapSet, *, method: str, options: Any = None, r2prime_source: R2PrimeSource = "maps",
    r2primenet: Any = None, progress: Progress | None = None, orientations: Sequence[MapSet] = (),
) -> MapSet:  # fmt: skip
    """Make susceptibility maps from a local field and, to separate the sources, from R2′.

    Parameters
    ----------
    maps : MapSet
        With the artifacts that the method needs; the voxels inside ``brain_mask`` and, if it is there,
        ``field_mask`` are solved.
    method : str
        Name of one of :data:`methods.METHODS`.
    options : dataclass instance or mapping, optional
        The method's options; published defaults for what is left out.
    r2prime_source : {"maps", "r2primenet"}
        Where R2′ comes from: the one among ``maps``, measured or by convention, or R2PRIMEnet, which makes it of
        ``r2star`` for any method that uses R2′.
    r2primenet : NetworkOptions or mapping, optional
        Its options then.
    progress : callable, optional
        Receives the status; returning ``False`` cancels.
    orientations : sequence of MapSet
        The same head turned in the scanner, for methods that take several orientations: the same artifacts as
        ``maps``, registered to them and on their grid, where ``scan.b0_direction_ijk`` is each one's own B0.

    Returns
    -------
    MapSet
        ``maps`` with the artifacts that the method gives, and with the R2′ that R2PRIMEnet made. Each records the
        method, its options, the constants and the reference region used, where its inputs came from, and the
        warnings of its inputs and its own.

    Raises
    ------
    InputError
        If an artifact is missing, implausible or empty, the method or an option is unknown, weights are missing or do
        not suit the field strength, the method uses no R2′ that could be synthesised, or the orientations do not fit
        the method or each other.
    CancelledError
        If the caller asked to stop.
    """
    chosen, report = methods.get(method), Reporter(progress)
    settings = _settings(chosen, options)
    methods.check_r2prime_source(r2prime_source, (method,))
    synthesised = r2prime_source == R2PRIMENET
    report("check", 0.0)
    chosen.check_weights(settings, maps.scan)
    every = _every_orientation(maps, orientations, chosen, made=("r2prime",) if synthesised else ())
    if synthesised:
        every = _with_r2prime(every, r2primenet, report.span(0.0, 0.5))
    return _solved(every, chosen, settings, report.span(0.5 if synthesised else 0.0, 1.0))


def _with_r2prime(every: Sequence[MapSet], options: Any, report: Reporter) -> tuple[MapSet, ...]:
    """Maps of each orientation with R2′ that R2PRIMEnet makes of its R2*."""
    network = methods.get(R2PRIMENET)
    settings = _settings(network, options)
    network.check_weights(settings, every[0].scan)
    for number, one in enumerate(every, 1):
        _check_complete(one, network, number)
    parts = [report.span(number / len(every), (number + 1) / len(every)) for number in range(len(every))]
    return tuple(_solved((one,), network, settings, part) for one, part in zip(every, parts, strict=True))


def _solved(every: Sequence[MapSet], chosen: Method, settings: Any, report: Reporter) -> MapSet:
    """Maps of the first orientation with what the method makes."""
    from scipy.fft import set_workers

    maps, mask = every[0], _mask(every[0])
    for number, one in enumerate(every, 1):
        _check_plausible(one, chosen, mask, f" of orientation {number}" if len(every) > 1 else "")
    box = bounding_box(maps.array("brain_mask"))  # of the whole brain: the CSF reference is found by its depth in it
    with set_workers(thread_count()):
        cropped = oriented(*(_cropped(one, chosen, box) for one in every))
        solution = chosen.run(cropped, mask[box], settings, report.span(0.02, 0.98))
    report("done", 1.0)
    score = _sign_score(solution, maps, mask, box)
    return maps.including(*_as_maps(solution, every, chosen, settings, box, score))


def _settings(method: Method, options: Any) -> Any:
    if options is None or isinstance(options, Mapping):
        return method.options(options)
    if not isinstance(options, method.options_type):
        raise InputError(f"options of {method.name}", type(options).__name__, method.options_type.__name__)
    return options


def _mask(maps: MapSet) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = maps.array("brain_mask")
    if "field_mask" in maps:
        mask = mask & maps.array("field_mask")
    if not mask.any():
        raise InputError("mask", "no voxel inside brain_mask and field_mask", "a brain")
    return mask


def _check_complete(maps: MapSet, method: Method, number: int = 1, made: Sequence[str] = ()) -> None:
    """Refuse an orientation without what the method needs, but for what is ``made`` later."""
    missing = [name for name in method.needs if name not in maps and name not in made]
    if not missing:
        return
    others = [
        one.name for one in methods.METHODS.values()
        if one.orientations == 1 and "chi_total" in one.gives and not set(missing) & set(one.needs)
    ]  # fmt: skip
    hint = f"Methods that do without: {', '.join(others)}." if others else "Every method needs it."
    if missing == ["r2prime"] and "r2star" in maps:
        hint += f" Or set r2prime_source to {R2PRIMENET}."
    which = f"maps for {method.name}" if number == 1 else f"orientation {number}"
    raise InputError(which, f"no {', '.join(missing)}", ", ".join(method.needs), hint)


def _every_orientation(
    maps: MapSet, others: Sequence[MapSet], method: Method, made: Sequence[str]
) -> tuple[MapSet, ...]:
    """The first orientation and the others, in number and kind as the method needs them."""
    _check_complete(maps, method, made=made)
    least, count = method.orientations, len(others) + 1
    if count < least or count > least == 1:
        raise InputError("orientations", f"{count} for {method.name}", "one" if least == 1 else f"at least {least}",
                         "Each is a scan of the head turned in the scanner, registered to the first.")  # fmt: skip
    for number, one in enumerate(others, 2):
        _check_complete(one, method, number, made)
    oriented(maps, *others)  # checks that grids and scans agree
    return (maps, *others)


def _check_plausible(maps: MapSet, method: Method, mask: NDArray[np.bool_], orientation: str) -> None:
    """Catch empty maps and wrong units, which give maps that look right and are wrong by a factor."""
    order: Literal["C", "F"] = "F" if mask.flags.fnc else "C"  # in which the voxels are picked quickly
    inside = mask.ravel(order)
    for name in (*method.needs, *method.uses):
        if name in _PLAUSIBLE and name in maps:
            least, most, expected, hint = _PLAUSIBLE[name]
            values = maps.array(name).ravel(order)[inside]
            values = values[:: max(1, values.size // _SAMPLE)]
            typical = float(np.percentile(np.abs(values), 99.9) if name == "local_field" else np.median(values))
            if not least < typical <= most:
                which = "99.9th percentile of its magnitude" if name == "local_field" else "median"
                raise InputError(f"{name}{orientation}", f"a {which} of {typical:.4g} inside the mask", expected, hint)


def _cropped(maps: MapSet, method: Method, box: Box) -> MapSet:
    """Maps that the method knows, cut to the box and laid out alike; solvers add their own margin of zeros."""
    affine = maps.grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [one.start for one in box]
    grid = Grid(tuple(one.stop - one.start for one in box), affine)
    names = [name for name in (*method.needs, *method.uses) if name in maps]
    data = {name: np.ascontiguousarray(maps.array(name)[box]) for name in names}
    return MapSet(grid, maps.scan, {name: Map(name=name, data=one, grid=grid) for name, one in data.items()})


def _sign_score(solution: Solution, maps: MapSet, mask: NDArray[np.bool_], box: Box) -> float | None:
    """Whether iron-rich tissue comes out paramagnetic; None where there is no map that could tell."""
    if "chi_total" not in solution.maps or "r2star" not in maps:
        return None
    return phase_sign_score(solution.maps["chi_total"], maps.array("r2star")[box], mask[box], maps.grid.voxel_size_mm)


def _as_maps(
    solution: Solution, every: Sequence[MapSet], method: Method, settings: Any, box: Box, sign_score: float | None
) -> list[Map]:
    maps, names = every[0], (*method.needs, *method.uses)
    inputs = [one[name] for one in every for name in names if name in one]
    record = {**asdict(settings), **_r2prime_used(maps, method), **solution.record,
              **({"phase_sign_score": sign_score} if "chi_total" in solution.maps else {}),
              "inputs": {name: maps[name].method for name in names if name in maps}}  # fmt: skip
    inherited = [text for one in inputs for text in one.warnings]
    warnings = tuple(dict.fromkeys((*phase_sign_warnings(sign_score), *solution.warnings, *inherited)))
    made = []
    for name in method.gives:
        data = np.zeros(maps.grid.shape, dtype=np.float32)
        data[box] = solution.maps[name]
        made.append(Map(name=name, data=data, grid=maps.grid, method=method.name, options=record, warnings=warnings))
    return made


def _r2prime_used(maps: MapSet, method: Method) -> dict[str, Any]:
    """How R2′ came about, with the options and weights of what made it."""
    if not method.uses_r2prime or "r2prime" not in maps:
        return {}
    return {"r2prime_source": {"method": maps["r2prime"].method, **maps["r2prime"].options}}
