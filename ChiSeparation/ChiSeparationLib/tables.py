"""What the command line shows to people where ``--json`` gives the same to programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ChiSepPreprocessLib.artifacts import ARTIFACTS
from ChiSepPreprocessLib.loading import Inventory

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from ChiSepReconstructLib.evaluation.regions import RegionStatistics

    from .evaluation import Evaluation


_SERIES = ("scan", "role", "component", "echoes", "echo times (ms)", "matrix", "voxel (mm)", "vendor", "field (T)")


def inventory(found: Inventory) -> list[RenderableType]:
    """Series, one a row; then whether maps can be reconstructed, and why not."""
    table = _table(
        "scan", "role", "component", "echoes", "echo times (ms)", "matrix", "voxel (mm)", "vendor", "field (T)"
    )
    for row in found.series:
        times = [time for time in row.echo_times_s if time is not None]
        table.add_row(
            str(row.scan), row.role, row.component, str(row.echoes),
            ", ".join(f"{time * 1e3:.4g}" for time in times) or "?", _by(row.shape),
            _by(row.voxel_size_mm) if row.voxel_size_mm else "?", row.vendor,
            "?" if row.field_strength_t is None else f"{row.field_strength_t:g}",
        )  # fmt: skip
    remarks = [text for text in found.problems if text not in found.obstacles]
    answer = "Susceptibility maps can be reconstructed." if found.can_reconstruct else (
        "Susceptibility maps cannot be reconstructed:"
    )  # fmt: skip
    return [*([table] if found.series else []), answer, *_points(found.obstacles), *_notes(remarks)]


def methods(described: Iterable[Mapping[str, Any]], devices: Iterable[Mapping[str, Any]] = ()) -> list[RenderableType]:
    """One row for each method, with its options below; then the devices, the one that is taken first."""
    table = _table("method", "needs", "gives", "what it is")
    for one in described:
        uses = f"; uses {', '.join(one['uses'])} if there" if one["uses"] else ""
        options = ", ".join(f"{name} {_plain(value)}" for name, value in one["options"].items())
        text = f"{one['title']}. {one['paper']}.\nOptions: {options or 'none'}"
        weights = f"; weights of {', '.join(one['networks'])}" if one["networks"] else ""
        table.add_row(one["name"], ", ".join(one["needs"]) + weights + uses, ", ".join(one["gives"]), text)
    return [table, *(f"Networks on {one['words']}{_for_each(one)}" for one in devices)]


def _for_each(device: Mapping[str, Any]) -> str:
    return f": {device['problem']}" if device["problem"] else " for each network of a brain at 1 mm"


def evaluation(found: Evaluation) -> list[RenderableType]:
    """Metrics, a row for each map and estimate; means of the regions, a table for each map; what was compared."""
    shown: list[RenderableType] = [_metrics(found)] if found.maps else []
    names = dict.fromkeys(name for maps in found.regions.values() for name in maps)
    for name in names:
        shown += [f"{name} ({ARTIFACTS[name].unit}), mean ± SD of each region", _regions(name, found)]
    masks = sorted({one["mask"] for maps in found.maps.values() for one in maps.values()})
    constants = [
        f"{label}: R2′ against QSM in deep grey matter, {one.hz_per_ppm:.0f} ± {one.line.slope_error or 0:.0f} Hz/ppm "
        f"at {one.field_strength_t:g} T, R² {_number(one.line.r_squared)}"
        for label, one in found.relaxivity.items()
    ]
    return [*shown, *_notes([f"compared are the voxels in {mask}" for mask in masks]), *_notes(constants)]


def _metrics(found: Evaluation) -> Table:
    every = [(name, label, one) for label, maps in found.maps.items() for name, one in maps.items()]
    order = list(dict.fromkeys(name for name, _, _ in every))
    metrics = [key for key in every[0][2] if key not in ("method", "unit", "mask", "voxels")]
    table = _table("map", "estimate", "method", "voxels", *(key.replace("_", " ") for key in metrics))
    for name, label, one in sorted(every, key=lambda row: order.index(row[0])):
        table.add_row(name, label, str(one["method"]), str(one["voxels"]), *(_number(one[key]) for key in metrics))
    return table


def _regions(name: str, found: Evaluation) -> Table:
    """One row for each region, one column for the truth and each estimate; slope and R² at the end."""
    compared = {label: maps[name] for label, maps in found.regions.items() if name in maps}
    first = next(iter(compared.values()))
    columns = {
        **({"truth": first.truth} if first.truth else {}),
        **{key: one.estimate for key, one in compared.items()},
    }
    table = _table("label", "region", "voxels", *columns)
    rows = {one.label: one for column in columns.values() for one in column}
    for label, one in sorted(rows.items()):
        cells = [next((_spread(cell) for cell in column if cell.label == label), "–") for column in columns.values()]
        table.add_row(str(label), one.name, str(one.voxels), *cells)
    lines = [one.line for one in compared.values()]
    if first.truth:
        table.add_section()
        table.add_row("", "slope", "", "", *(_number(line.slope if line else None) for line in lines))
        table.add_row("", "intercept", "", "", *(_number(line.intercept if line else None) for line in lines))
        table.add_row("", "R²", "", "", *(_number(line.r_squared if line else None) for line in lines))
    return table


def _spread(one: RegionStatistics) -> str:
    return f"{_number(one.mean)} ± {one.sd:.2g}"


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _by(lengths: Sequence[float]) -> str:
    return "×".join(f"{one:.4g}" for one in lengths)


def _plain(value: Any) -> str:
    """Option value as text; of nested options only their own values."""
    if isinstance(value, Mapping):
        return f"({', '.join(f'{name} {_plain(one)}' for name, one in value.items())})"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _points(texts: Iterable[str]) -> list[str]:
    return [f"  – {text}" for text in texts]


def _notes(texts: Sequence[str]) -> list[str]:
    return [f"Note: {text}" for text in texts]
