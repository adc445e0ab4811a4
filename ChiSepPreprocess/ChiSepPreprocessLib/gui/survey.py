"""What a folder holds, found out by a child process: ``python -m ChiSepPreprocessLib.gui.survey -o FOLDER PATH…``.

Needs no Qt, and the parent none of the packages that read images.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ChiSepError
from .worker import ChildProcess, python_executable, say

_TABLE = "table.json"
NOTHING = ""
#: What a series can be used as: names of ``study_table.Use``.
USES = ("gre_magnitude", "gre_phase", "gre_complex", "se_magnitude", "flair")
_BY_COMPONENT = {
    "magnitude": "gre_magnitude", "phase": "gre_phase", "real": "gre_complex", "imaginary": "gre_complex",
    "spin echo magnitude": "se_magnitude", "FLAIR": "flair",
}  # fmt: skip
_SILENT = "does not tell what it is"


@dataclass(frozen=True)
class Row:
    """A series; fields as of ``study_table.StudyRow``."""

    scan: int
    description: str
    component: str
    echo_times_s: tuple[float | None, ...]
    shape: tuple[int, ...]
    voxel_size_mm: tuple[float, ...] | None
    use: str
    missing: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def key(self) -> str:
        """Name by which a choice for this row is kept."""
        return f"{self.scan} {self.component}"

    @property
    def choices(self) -> tuple[str, ...]:
        """What the row can be used as; what its headers tell cannot be overruled."""
        if not self.files:  # of an archive, in which no series can be named
            return (self.use,)
        if any(_SILENT in text for text in self.missing):
            return (NOTHING, *(use for use in USES if use != "gre_complex"))
        possible = self.use or _BY_COMPONENT.get(self.component, NOTHING)
        return (NOTHING, possible) if possible else (NOTHING,)


@dataclass(frozen=True)
class Study:
    """Every row, and what is missing altogether."""

    rows: tuple[Row, ...]
    missing: tuple[str, ...]

    def needs(self, what: str, uses: Iterable[str]) -> bool:
        """Whether a series of these uses lacks what a sentence of the table names, such as ``"echo times"``."""
        wanted = set(uses)
        return any(what in text for row in self.rows if wanted & {row.use, *row.choices} for text in row.missing)


def chosen_uses(study: Study, chosen: Mapping[str, str]) -> dict[str, str]:
    """What each row is used as, by its key: as the user chose, else as found."""
    return {row.key: chosen[row.key] if chosen.get(row.key) in row.choices else row.use for row in study.rows}


def paths_by_use(study: Study, uses: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Files to hand over, by the parameters ``gre``, ``gre_phase``, ``se`` and ``flair``."""
    names = {"gre_magnitude": "gre", "gre_complex": "gre", "gre_phase": "gre_phase", "se_magnitude": "se",
             "flair": "flair"}  # fmt: skip
    found: dict[str, list[str]] = {}
    for row in study.rows:
        name = names.get(uses[row.key])
        if name is not None:
            found.setdefault(name, []).extend(row.files)
    return {name: tuple(dict.fromkeys(files)) for name, files in found.items()}


def start_survey(paths: Sequence[str], output: Path) -> ChildProcess:
    """Start to read headers; :func:`read_survey` takes the result.

    Raises
    ------
    MissingDependencyError
        If the child cannot be started.
    """
    return ChildProcess([python_executable(), "-m", __name__, "-o", str(output), *paths])


def read_survey(output: Path) -> Study:
    """Read what a child has found."""
    content = json.loads((output / _TABLE).read_text(encoding="utf-8"))
    return Study(tuple(_row(one) for one in content["rows"]), tuple(content["missing"]))


def _row(one: Mapping[str, Any]) -> Row:
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in one.items()}
    return Row(**given)


def _survey(output: Path, paths: Sequence[Path]) -> None:
    """What the child does."""
    from ..study_table import study_table

    table = study_table(paths)
    rows = [
        {
            "scan": row.scan, "description": row.description, "component": row.component,
            "echo_times_s": row.echo_times_s, "shape": row.shape, "voxel_size_mm": row.voxel_size_mm,
            "use": str(row.use), "missing": row.missing, "files": [str(file) for file in row.files],
        }
        for row in table.rows
    ]  # fmt: skip
    text = json.dumps({"rows": rows, "missing": table.missing}, ensure_ascii=False)
    (output / _TABLE).write_text(text, encoding="utf-8")


def _main(arguments: Sequence[str]) -> int:
    output, paths = Path(arguments[1]), [Path(one) for one in arguments[2:]]
    try:
        _survey(output, paths)
    except ChiSepError as error:
        say("error", message=str(error), exit_code=2)
        return 2
    say("result", output=str(output))
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
