"""What the command line shows to people where ``--json`` gives the same to programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ChiSepPreprocessLib.loading import Inventory

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


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


def methods(described: Iterable[Mapping[str, Any]]) -> list[RenderableType]:
    """One row for each method, with its options below."""
    table = _table("method", "needs", "gives", "what it is")
    for one in described:
        uses = f"; uses {', '.join(one['uses'])} if there" if one["uses"] else ""
        options = ", ".join(f"{name} {_plain(value)}" for name, value in one["options"].items())
        text = f"{one['title']}. {one['paper']}.\nOptions: {options or 'none'}"
        table.add_row(one["name"], ", ".join(one["needs"]) + uses, ", ".join(one["gives"]), text)
    return [table]


def evaluation(maps: Mapping[str, Mapping[str, Any]]) -> list[RenderableType]:
    """One row for each map, one column for each metric."""
    told = ("method", "unit", "mask", "voxels")
    metrics = [key for key in next(iter(maps.values())) if key not in told]
    table = _table("map", "method", "voxels", *(key.replace("_", " ") for key in metrics))
    for name, one in maps.items():
        table.add_row(name, str(one["method"]), str(one["voxels"]), *(_number(one[key]) for key in metrics))
    return [table, *_notes(sorted({f"compared are the voxels in {one['mask']}" for one in maps.values()}))]


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
