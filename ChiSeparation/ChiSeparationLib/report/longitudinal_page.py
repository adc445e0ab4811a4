"""The page of a follow-up: one HTML table that opens without a network and runs no script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ChiSepPreprocessLib import __version__
from ChiSepPreprocessLib.files import writing

from ..lesions.longitudinal_table import Called, Change, LongitudinalRow, LongitudinalTable
from ..lesions.measures import MAP_MEASURES

_TEMPLATE = Path(__file__).with_name("longitudinal_page.html")


def write_longitudinal_page(path: Path, table: LongitudinalTable) -> None:
    """Write the page whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    page = render_longitudinal_page(table)
    with writing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def render_longitudinal_page(table: LongitudinalTable) -> str:
    """The page as HTML; it names no patient."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        table=table,
        version=__version__,
        summary=", ".join(f"{number} {kind}" for kind, number in table.counts.items()) or "no lesion at either time",
        measures=[(key, MAP_MEASURES[key].description) for key in table.options.measures],
        rows=[_row(row, table) for row in table.rows],
    )
    return page.rstrip() + "\n"


def _row(row: LongitudinalRow, table: LongitudinalTable) -> dict[str, Any]:
    one = row.match
    return {
        "label": one.label,
        "kind": one.kind.value,
        "parts": "" if one.parts == "one" else one.parts,
        "volumes": f"{one.volume_first_mm3:.0f} → {one.volume_second_mm3:.0f}",
        "volume_change": f"{_signed(one.volume_change_mm3, 0)} ± {one.volume_error_mm3:.0f}",
        "changes": {
            key: [_change(row.changes[name, key]) for name in table.compared_maps] for key in table.options.measures
        },
        "noise": f"{row.noise_source}{f' of {row.noise_voxels} voxels' if row.noise_voxels else ''}",
        "flags": row.flags,
    }


def _change(change: Change) -> dict[str, str]:
    if change.change is None:
        return {"text": "–", "called": ""}
    noise = "–" if change.noise is None else f"{change.noise:.1f}"
    called = change.called.value if change.called not in (None, Called.NONE) else ""
    return {"text": f"{_signed(change.change, 1)} ± {noise}", "called": called}


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")
