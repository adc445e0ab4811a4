"""An agreement as plain text, CSV and JSON, and as the numbers of a figure."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ChiSepPreprocessLib import __version__
from ChiSepPreprocessLib.files import writing

from .agreement import Agreement, Discordant
from .agreement_statistics import Estimate
from .grades import Grade

#: Titles of rows and columns, as in the paper's tables.
TITLES = tuple(grade.code.replace("-", " ").capitalize() for grade in Grade)

_KAPPAS = {"none": "Cohen's κ", "linear": "κ, linear weights", "quadratic": "κ, quadratic weights"}

_UNMATCHED = {
    "only_first": "judged by the first rater alone",
    "only_second": "judged by the second rater alone",
    "not_graded": "judged by both, but not graded by both",
    "neither": "judged by neither",
    "gone": "judged, but not among the reading's lesions",
}


def as_lines(found: Agreement) -> Iterator[str]:
    """Give the agreement in plain text: table, statistics, what is in no table, and the discordant lesions."""
    yield f"{found.map_name}: {found.first} (rows), {found.second} (columns)"
    yield ""
    yield from _table_lines(found)
    yield ""
    yield from _statistics_lines(found)
    yield from (f"Taken together: {name} {', '.join(values)}" for name, values in found.pooled.items())
    counts = {key: len(pairs) for key, pairs in vars(found.unmatched).items() if pairs}
    yield "Not in the table: " + (", ".join(f"{count} {_UNMATCHED[key]}" for key, count in counts.items()) or "none")
    yield f"Discordant: {len(found.discordant)}"
    yield from (f"  {_discordant_line(one)}" for one in found.discordant)


def as_json(found: Agreement) -> dict[str, Any]:
    """Give everything in the agreement, JSON-ready; numbers that are not defined are ``None``, and say why."""
    return {
        "version": __version__,
        "map_name": found.map_name,
        "first": {**asdict(found.first), "name": str(found.first)},
        "second": {**asdict(found.second), "name": str(found.second)},
        "grades": [grade.code for grade in Grade],
        "table": found.table.tolist(),
        "patients": {patient: table.tolist() for patient, table in found.tables.items()},
        "statistics": asdict(found.statistics),
        "pooled": {name: list(values) for name, values in found.pooled.items()},
        "unmatched": {key: [pair._asdict() for pair in pairs] for key, pairs in vars(found.unmatched).items()},
        "discordant": [_discordant(one) for one in found.discordant],
    }


def figure_data(found: Agreement) -> dict[str, Any]:
    """Give what a picture of the table needs.

    Returns
    -------
    dict
        ``titles`` of the classes, ``rows`` and ``columns`` (names of the raters), ``counts`` and ``row_shares`` (5 by
        5; a row without pairs has shares of 0).
    """
    counts = found.table
    totals = counts.sum(axis=1, keepdims=True).clip(min=1)
    return {
        "titles": list(TITLES),
        "rows": str(found.first),
        "columns": str(found.second),
        "counts": counts.tolist(),
        "row_shares": (counts / totals).tolist(),
    }


def write_csv(path: Path, every: Iterable[Agreement]) -> None:
    """Write the tables, one row for each grade of the first rater, UTF-8 with a mark that spreadsheets know.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    codes = [grade.code for grade in Grade]
    with writing(path) as temporary, temporary.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.writer(stream)
        writer.writerow(["map", "first", "second", "first_grade", *codes, "total"])
        for found in every:
            for code, row in zip(codes, found.table.tolist(), strict=True):
                # A rater's words begin with what was chosen, such as "reader", and never like a formula.
                writer.writerow([found.map_name, found.first, found.second, code, *row, sum(row)])


def _table_lines(found: Agreement) -> Iterator[str]:
    counts = found.table
    heads = (*TITLES, "Total")
    sides = (*counts.sum(axis=1).tolist(), int(counts.sum()))
    rows = [*counts.tolist(), counts.sum(axis=0).tolist()]
    yield _row("", heads)
    for head, row, total in zip(heads, rows, sides, strict=True):
        yield _row(head, (*row, total))


def _row(head: str, cells: Sequence[object]) -> str:
    return f"{head:<14}" + "".join(f"{cell:>14}" for cell in cells)


def _statistics_lines(found: Agreement) -> Iterator[str]:
    said, test = found.statistics, found.statistics.symmetry
    yield (f"Agreement: {_percent(said.share.value)} ({said.agreed} of {said.pairs})"
           f"{_intervals(said.share, said.share_by_patient, _percent)}")  # fmt: skip
    for weights, title in _KAPPAS.items():
        one, by_patient = said.kappa[weights], said.kappa_by_patient[weights]
        error = "" if one.standard_error is None else f" (standard error {one.standard_error:.4f})"
        yield f"{title}: {_number(one.value)}{error}{_intervals(one, by_patient, _number)}"
    p = "" if test.p_value is None else f", p = {test.p_value:.4g}"
    yield f"McNemar-Bowker: χ² = {test.statistic:.3f}, df = {test.degrees_of_freedom}{p}"
    yield (f"Intervals of {said.level * 100:g} %: as if lesions were independent; by patients, {said.patients} of whom "
           f"were drawn anew {said.resamples} times (seed {said.seed}).")  # fmt: skip
    estimates = (said.share, said.share_by_patient, *said.kappa.values(), *said.kappa_by_patient.values())
    notes = dict.fromkeys([*(one.note for one in estimates), test.note])
    yield from (f"Note: {note}" for note in notes if note)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share * 100:.1f} %"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _intervals(one: Estimate, by_patient: Estimate, write: Callable[[float | None], str]) -> str:
    parts = [
        f"{words}{write(each.low)} to {write(each.high)}"
        for words, each in (("", one), ("by patients ", by_patient)) if each.low is not None
    ]  # fmt: skip
    return f"; {'; '.join(parts) or 'no interval'}"


def _discordant_line(one: Discordant) -> str:
    name = f" ({one.lesion.name})" if one.lesion.name else ""
    who = ", ".join(f"{key} {value}" for key, value in one.pair._asdict().items() if value and key != "lesion_id")
    return f"{one.pair.lesion_id}{name}{', ' if who else ''}{who}: {one.first.value} / {one.second.value}"


def _discordant(one: Discordant) -> dict[str, Any]:
    return {**one.pair._asdict(), "name": one.lesion.name, "place": one.lesion.place, "first": one.first.code,
            "second": one.second.code, "steps": one.steps}  # fmt: skip
