r"""Follow lesions from one time to another: which there are, and whether their susceptibility changed.

Each lesion is measured at each time in the voxels that it has then, its parts together; where it is absent, in the
voxels that it has at the other time. Both times are measured on the same ground (see :mod:`.common_ground`). With a
measure :math:`m` (mean, contrast to the white matter around it, mean of core and rim) and the noise :math:`s` of its
change

.. math:: c = m_2 - m_1, \qquad s^2 = s_0^2 + \left(C \frac{\sigma_V}{V}\right)^2, \qquad z = c / s

and a change is called one if :math:`|z|` reaches ``z_limit`` and :math:`|c|` ``least_change_ppb``. :math:`s_0` is what
changes in white matter or in repeat scans (see :mod:`.change_noise`). The second term is the contour's: voxels by which
it is drawn too far out bring white matter into the lesion, which takes their share of the volume from its contrast
:math:`C` (mean magnitude of both times; error of the volume's change :math:`\sigma_V`, mean volume :math:`V`). That is
most of the noise of small lesions. Of a lesion that has grown or shrunk, core and rim lie elsewhere, which is no noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ChiSepPreprocessLib.artifacts import Array, check_volume
from ChiSepPreprocessLib.progress import Reporter

from .change_noise import NONE, REPEATS, Key, Noise, RepeatNoise, SphereNoise
from .common_ground import Labels, Mask, Scan, Site, common_ground
from .comparability import compared_maps, differences
from .components import compact, whole_numbers
from .longitudinal_table import Called, Change, LongitudinalOptions, LongitudinalRow, LongitudinalTable
from .matching import Kind, LesionMatch, Matches, match_lesions
from .table import LesionRow
from .volume_error import counted

#: A lesion as it was measured at both times; ``None`` where that scan has no voxel of it.
_Rows = tuple[LesionRow | None, LesionRow | None]

_UNFOUND = "White matter could not be told from grey matter in these maps; lesions are compared with all tissue."


@dataclass(frozen=True, eq=False, kw_only=True)
class TwoTimes:
    """Scans and lesions of two times, each on its own grid.

    Parameters
    ----------
    first, second : Scan
        With maps of one method, with masks.
    first_lesions, second_lesions : ndarray of int, shape (I, J, K)
        One number for each lesion, small ones included, on each scan's own grid.
    repeats : tuple of Scan
        Repeats of the first scan without a change in between.
    statements, warnings : tuple of str
        How they were registered, and what speaks against it.
    """

    first: Scan
    second: Scan
    first_lesions: Array
    second_lesions: Array
    repeats: tuple[Scan, ...] = ()
    statements: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def second_on_first(self) -> Array:
        """Lesions of the second time on the first one's grid."""
        return self.second.onto(self.first, self.second_lesions)


@dataclass(frozen=True, eq=False)
class FollowUp:
    """What was found.

    Parameters
    ----------
    table : LongitudinalTable
        Lesion by lesion.
    matches : Matches
        With the label maps.
    """

    table: LongitudinalTable
    matches: Matches


def follow_lesions(
    times: TwoTimes, options: LongitudinalOptions | None = None, report: Reporter | None = None
) -> FollowUp:
    """Match the lesions of two times and say what changed in each, beside the noise.

    Parameters
    ----------
    times : TwoTimes
        Maps and lesions.
    options : LongitudinalOptions, optional
        Limits, distances and smallest counts.
    report : Reporter, optional
        Progress and cancellation.

    Raises
    ------
    InputError
        If the maps were made by different methods or share none, masks are missing, or grids or labels do not fit.
    CancelledError
        If the caller asked to stop.
    """
    options, report = options or LongitudinalOptions(), report or Reporter()
    first, second = times.first, times.second
    names, unlike = compared_maps(first.maps, second.maps), differences(first.maps, second.maps)
    check_volume("second lesions", times.second_lesions, second.grid.shape)
    report("match", 0.0)
    matches = match_lesions(
        times.first_lesions, times.second_on_first, first.grid, options.match, seen_second=second.seen_by(first)
    )
    report("white matter", 0.1)
    lesions = times.first_lesions > 0, times.second_lesions > 0
    ground = common_ground((first, second, *times.repeats), lesions, options.regions)
    keys = [(name, measure) for name in names for measure in options.measures]
    rows, noise_words = _rows(times, matches, ground, keys, options, report.span(0.3, 1.0))
    table = LongitudinalTable(
        rows=tuple(rows), compared_maps=names, method=first.maps[names[0]].method, options=options,
        statements=(*times.statements, *noise_words, _limits(options)),
        warnings=tuple(dict.fromkeys((*times.warnings, *unlike, *_doubts(times, ground[0])))),
    )  # fmt: skip
    report("done", 1.0)
    return FollowUp(table, matches)


def _doubts(times: TwoTimes, site: Site) -> Iterator[str]:
    if site.white is None:
        yield _UNFOUND
    hidden = times.second_lesions[~times.first.seen_by(times.second)]
    if labels := np.unique(hidden[hidden > 0]).tolist():
        yield (f"Lesions of the second time that lie, in part at least, outside the first scan and are followed as far "
               f"as it reaches: {', '.join(map(str, labels))}.")  # fmt: skip


def _rows(
    times: TwoTimes, matches: Matches, ground: Sequence[Site], keys: Sequence[Key], options: LongitudinalOptions,
    report: Reporter,
) -> tuple[list[LongitudinalRow], list[str]]:  # fmt: skip
    if not matches.matches:
        return [], ["There is no lesion to follow."]
    labels = _measured_voxels(times, matches)
    report("lesions", 0.0)
    tables = [{row.label: row for row in site.measured(one).rows} for site, one in zip(ground, labels, strict=False)]
    noise = _NoiseOf(ground, labels[0], keys, options)
    outside = [_outside(one, scan.valid()) for one, scan in zip(labels, (times.first, times.second), strict=True)]
    rows = []
    for done, match in enumerate(matches.matches):
        report("noise", done / len(matches.matches), f"lesion {match.label}")
        pair = tables[0].get(match.label), tables[1].get(match.label)
        shares = outside[0].get(match.label, 1.0), outside[1].get(match.label, 1.0)
        volumes_mm3 = [row.geometry["volume_mm3"] or 0.0 for row in pair if row]
        found = noise.of(round(min(volumes_mm3) / times.first.grid.voxel_volume_mm3))
        rows.append(_row(match, pair, found, shares, keys, options))
    return rows, noise.words()


def _measured_voxels(times: TwoTimes, matches: Matches) -> tuple[Labels, Labels]:
    """Voxels of each scan that each lesion is measured in; those of the other time where it is absent."""
    listed = [one.label for one in matches.matches]
    new = [one.label for one in matches.matches if not one.first]
    gone = [one.label for one in matches.matches if not one.second]
    first = _only(matches.first, listed)
    appeared = _only(matches.second, new)
    known = {label: one.label for one in matches.matches for label in one.second}
    own = whole_numbers(times.second_lesions)
    used, packed = np.unique(own, return_inverse=True)
    second = np.array([known.get(int(label), 0) for label in used], dtype=np.int64)[packed].reshape(own.shape)
    vanished = times.first.onto(times.second, _only(matches.first, gone))
    return np.where(first == 0, appeared, first), np.where(second == 0, vanished, second)


def _only(labels: Labels, wanted: Sequence[int]) -> Labels:
    return np.where(np.isin(labels, wanted), labels, 0)


def _outside(labels: Labels, valid: Mask) -> Mapping[int, float]:
    """Share of each lesion outside the valid field."""
    packed, used = compact(labels)
    share = counted(packed[~valid], used.size) / counted(packed, used.size)
    return dict(zip(used.tolist(), share.tolist(), strict=True))


class _NoiseOf:
    """Noise from repeat scans where they are enough, else from white matter."""

    def __init__(
        self, ground: Sequence[Site], labels: Labels, keys: Sequence[Key], options: LongitudinalOptions
    ) -> None:
        first, second, *repeats = ground
        self._spheres = SphereNoise(first, second, keys, options.noise)
        self._repeats = RepeatNoise(first, repeats, labels, keys, options.noise) if repeats else None
        self._used: set[str] = set()

    def of(self, voxels: int) -> Noise:
        found = self._repeats.of(voxels) if self._repeats else Noise(NONE)
        found = found if found.spreads else self._spheres.of(voxels)
        self._used.add(found.source)
        return found

    def words(self) -> list[str]:
        """How noise was measured."""
        sources = sorted(self._used - {NONE})
        texts = [f"Noise of a change: root mean square of the changes in {source}" for source in sources]
        texts = [f"{text}, with what the contour's error takes of the contrast." for text in texts]
        if self._repeats and REPEATS not in self._used:
            texts.append(f"The repeat scans give {self._repeats.samples} changes of lesions, too few for their noise.")
        if NONE in self._used:
            texts.append("Some lesions have no noise beside them, as there was no room for spheres of white matter.")
        return texts


def _limits(options: LongitudinalOptions) -> str:
    return (
        f"Called a change: from {options.z_limit:g} SD of the noise and {options.least_change_ppb:g} ppb on; "
        f"grown or shrunk: from {options.match.volume_limit:g} SD of the volume's error on."
    )


def _row(
    match: LesionMatch, rows: _Rows, noise: Noise, outside: tuple[float, float],
    keys: Sequence[Key], options: LongitudinalOptions,
) -> LongitudinalRow:  # fmt: skip
    judged = match.kind is not Kind.UNSEEN and max(outside) <= options.regions.maximum_outside_fraction
    changes = {key: _change(match, rows, key, noise, options) for key in keys}
    if not judged:
        changes = {key: replace(one, called=None) for key, one in changes.items()}
    return LongitudinalRow(
        match=match, centroid_ras_mm=_centre(rows[0]), changes=changes,
        noise_source=noise.source, noise_voxels=noise.voxels,
        flags=tuple(dict.fromkeys(_flags(match, rows, noise, outside, options))),
    )  # fmt: skip


def _centre(row: LesionRow | None) -> tuple[float, float, float] | None:
    if row is None:
        return None
    r, a, s = (float(row.geometry[f"centroid_{axis}_mm"] or 0.0) for axis in "ras")
    return r, a, s


def _change(match: LesionMatch, rows: _Rows, key: Key, noise: Noise, options: LongitudinalOptions) -> Change:
    first, second = (row.measures[key[0]].values[key[1]] if row else None for row in rows)
    spread = noise.spreads.get(key)
    if spread is None:
        return Change(first=first, second=second)
    contour_ppb = _contour_noise_ppb(match, rows, key[0])
    found = Change(
        first=first, second=second, noise=float(np.hypot(spread.ppb, contour_ppb)), contour_noise=contour_ppb,
        noise_samples=spread.samples,
    )  # fmt: skip
    return replace(found, called=_called(found, options))


def _contour_noise_ppb(match: LesionMatch, rows: _Rows, name: str) -> float:
    """What the contour's error changes in a map, by the contrast of both times."""
    contrasts = [row.measures[name].values["contrast_ppb"] for row in rows if row]
    known = [abs(one) for one in contrasts if one is not None]
    volumes = [one for one in (match.volume_first_mm3, match.volume_second_mm3) if one]
    return float(np.mean(known) * match.volume_error_mm3 / np.mean(volumes)) if known else 0.0


def _called(found: Change, options: LongitudinalOptions) -> Called | None:
    if found.change is None or found.z is None:
        return None
    if abs(found.z) < options.z_limit or abs(found.change) < options.least_change_ppb:
        return Called.NONE
    return Called.RISE if found.change > 0 else Called.FALL


def _flags(
    match: LesionMatch, rows: _Rows, noise: Noise, outside: tuple[float, float],
    options: LongitudinalOptions,
) -> Iterator[str]:  # fmt: skip
    for time, share in zip(("first", "second"), (match.unseen_first, match.unseen_second), strict=True):
        if share > 0:
            yield f"{share:.0%} of it lie outside the {time} scan."
    if match.kind is Kind.UNSEEN:
        yield "So whether it is new, gone or changed cannot be told."
    elif match.kind in (Kind.NEW, Kind.GONE):
        time = "first" if match.kind is Kind.NEW else "second"
        yield f"Absent at the {time} time, where the same voxels were measured."
    for time, share in zip(("first", "second"), outside, strict=True):
        if share > 0:
            yield f"{share:.0%} of its voxels lie outside the valid field of the {time} time."
    if max(outside) > options.regions.maximum_outside_fraction:
        yield "That is too much to call a change."
    for time, row in zip(("first", "second"), rows, strict=True):
        measures = row.measures if row else {}
        yield from (f"{name} at the {time} time: {one.missing}." for name, one in measures.items() if one.missing)
    if not noise.spreads:
        yield "No change is called, for want of white matter to measure the noise in."
