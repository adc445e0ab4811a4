"""Scans of one head at different times: where each lies relative to the first, and whether it is the same head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ChiSepPreprocessLib.artifacts import Image, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.geometry.resampling import Matrix, inside_fraction, resample
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.registration.alignment import Alignment
from ChiSepPreprocessLib.registration.rigid import SMALLEST_OVERLAP, SMALLEST_SCORE, RegistrationOptions, align

from .lesions.common_ground import Scan

#: Brain masks of one head, registered, have a Dice coefficient of about 0.95.
LEAST_BRAIN_OVERLAP = 0.7


@dataclass(frozen=True, kw_only=True)
class TimePointOptions:
    """How the scans of several times are brought together.

    Parameters
    ----------
    registered : bool
        They lie in one space already; nothing is registered.
    least_score : float
        A scan that resembles the first less is refused as another head's (0 to 1; one head has more than 0.5).
    least_brain_overlap : float
        So is one whose brain mask overlaps less (Dice coefficient).
    registration : RegistrationOptions
        Levels and sampling.
    """

    registered: bool = False
    least_score: float = SMALLEST_SCORE
    least_brain_overlap: float = LEAST_BRAIN_OVERLAP
    registration: RegistrationOptions = field(default_factory=RegistrationOptions)


@dataclass(frozen=True, eq=False)
class TimePoints:
    """Scans of one head, each on its own grid.

    Parameters
    ----------
    first, second : Scan
        The two times.
    repeats : tuple of Scan
        Repeats of the first scan.
    statements : tuple of str
        What was done, in words.
    warnings : tuple of str
        What the registration doubts.
    """

    first: Scan
    second: Scan
    repeats: tuple[Scan, ...]
    statements: tuple[str, ...]
    warnings: tuple[str, ...]


def bring_together(
    first: MapSet, second: MapSet, options: TimePointOptions | None = None, report: Reporter | None = None,
    *, repeats: Sequence[MapSet] = (),
) -> TimePoints:  # fmt: skip
    """Register the second scan, and repeats of the first, rigidly to the first by their magnitudes.

    No map is interpolated: that would blur one time's lesions and fake a change.

    Parameters
    ----------
    first, second : MapSet
        With ``brain_mask`` and, unless registered already, ``magnitude``.
    options : TimePointOptions, optional
        Limits.
    report : Reporter, optional
        Progress and cancellation.
    repeats : sequence of MapSet
        Repeats of the first scan.

    Raises
    ------
    InputError
        If something is missing, or a scan shows another head or another part of it.
    CancelledError
        If the caller asked to stop.
    """
    options, report = options or TimePointOptions(), report or Reporter()
    others = {"second time": second, **{f"repeat scan {n}": one for n, one in enumerate(repeats, 1)}}
    _check_maps({"first time": first, **others}, options)
    scans, statements, doubts = [], [], []
    for n, (what, maps) in enumerate(others.items()):
        found = None
        if not options.registered:
            found = _aligned(first, maps, options, report.span(n / len(others), (n + 1) / len(others)), what)
            doubts += [f"{what}: {text}" for text in found.warnings]
        scans.append(Scan(maps, np.eye(4) if found is None else found.moving_from_fixed_ras))
        _check_brains(first, scans[-1], options.least_brain_overlap, what)
        statements.append(_statement(what, found))
    return TimePoints(Scan(first), scans[0], tuple(scans[1:]), tuple(statements), tuple(doubts))


def _check_maps(every: dict[str, MapSet], options: TimePointOptions) -> None:
    for what, maps in every.items():
        for name in ("brain_mask",) if options.registered else ("brain_mask", "magnitude"):
            if name not in maps:
                raise InputError(f"maps of the {what}", f"no {name}", "maps with it, by which scans are registered",
                                 "Make them with 'chisep run' or 'chisep preprocess'.")  # fmt: skip


def _aligned(first: MapSet, other: MapSet, options: TimePointOptions, report: Reporter, what: str) -> Alignment:
    images = [Image(one.array("magnitude"), one.grid) for one in (first, other)]
    found = align(images[0], images[1], first.array("brain_mask"), options.registration, report)
    if found.score < options.least_score:
        rises = found.mutual_information_after > found.mutual_information_before
        raise InputError(what, f"a scan that hardly resembles the first (score {found.score:.2f}"
                         f"{'' if rises else '; registration found nothing better than where they lie'})",
                         f"one of the same head, with a score above {options.least_score:g}",
                         "Check that both are of one patient.")  # fmt: skip
    return found


def _check_brains(first: MapSet, other: Scan, least: float, what: str) -> None:
    """Compare the brain masks where both scans have voxels."""
    brain, grid, maps = first.array("brain_mask"), first.grid, other.maps
    matrix: Matrix = other.own_from_first_ras
    overlap = inside_fraction(brain, grid, maps.grid, matrix) if brain.any() else 0.0
    seen = resample(np.ones(maps.grid.shape, dtype=np.bool_), maps.grid, grid, matrix)
    own = resample(maps.array("brain_mask"), maps.grid, grid, matrix)
    total = np.count_nonzero(brain & seen) + np.count_nonzero(own)
    dice = 2 * np.count_nonzero(brain & own) / total if total else 0.0
    if dice < least or overlap < SMALLEST_OVERLAP:
        raise InputError(f"brain of the {what}", f"a mask that overlaps the first by {dice:.2f} (Dice coefficient)",
                         f"{least:g} or more, as of one head",
                         "Check that both are of one patient, and both brain masks.")  # fmt: skip


def _statement(what: str, found: Alignment | None) -> str:
    if found is None:
        return f"The {what} lay in the first time's space already and was not registered."
    moved = f"{found.translation_mm:.1f} mm and {found.rotation_deg:.1f}°"
    return f"The {what} was registered to the first by its magnitude: {moved}, score {found.score:.2f}."
