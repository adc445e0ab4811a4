"""What the chosen folders hold, found out by a child process, so that the window lives while headers are read.

Needs no Qt. The child process runs this file: ``python -m ChiSeparationLib.gui.study_reading PATH… -o FOLDER``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ChiSepPreprocessLib.errors import ChiSepError
from ChiSepPreprocessLib.gui.computation import ComputationLogic, Job, Loader
from ChiSepPreprocessLib.gui.worker import Result, python_executable, say

_FILE = "study.json"
#: Key of the study in what a job gives.
STUDY = "study"


@dataclass(frozen=True, kw_only=True)
class SeriesLine:
    """One line of the table; times in s, voxels in mm."""

    description: str
    component: str
    echo_times_s: tuple[float, ...]
    echoes: int
    shape: tuple[int, ...]
    voxel_size_mm: tuple[float, ...]
    use: str
    missing: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FoundStudy:
    """What lies behind the chosen paths: the lines, what is missing altogether, and whether χ maps can be made."""

    lines: tuple[SeriesLine, ...]
    missing: tuple[str, ...]
    can_reconstruct: bool

    @property
    def gaps(self) -> tuple[str, ...]:
        """Everything that is missing, each once: what single series lack, then what no series is there for."""
        of_lines = [text for line in self.lines for text in line.missing]
        return tuple(dict.fromkeys([*of_lines, *self.missing]))


def reading_command(arguments: Sequence[str]) -> list[str]:
    """Give the command that reads the headers in a child."""
    return [python_executable(), "-m", __name__, *arguments]


def load_study(result: Result, folder_name: str) -> Mapping[str, Any]:
    """Read what the child has found."""
    content = json.loads((result.output / _FILE).read_text(encoding="utf-8"))
    return {
        STUDY: FoundStudy(
            lines=tuple(map(_line, content["lines"])),
            missing=tuple(content["missing"]),
            can_reconstruct=content["can_reconstruct"],
        )
    }


def _line(content: Mapping[str, Any]) -> SeriesLine:
    values: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in content.items()}
    return SeriesLine(**values)


class StudyReadingLogic(ComputationLogic):
    """Finds out what folders hold; ``job.nodes()[STUDY]`` is a :class:`FoundStudy`."""

    moduleName = "ChiSeparation"

    def __init__(
        self, command: Callable[[Sequence[str]], Sequence[str]] = reading_command, load: Loader = load_study
    ) -> None:
        super().__init__(command, load)

    def start(self, paths: Sequence[str]) -> Job:
        """Start the reading and return at once.

        Raises
        ------
        MissingDependencyError
            If the child cannot be started.
        """
        return self.launch([str(Path(path).expanduser().absolute()) for path in paths], None)


# In the child


def read(paths: Sequence[Path]) -> FoundStudy:
    """Read the headers behind paths; the pixels are left alone.

    Raises
    ------
    InputError
        If a path does not exist, or an archive or NIfTI file is broken.
    """
    from ChiSepPreprocessLib.study_table import study_table

    table = study_table(paths)
    lines = tuple(
        SeriesLine(
            description=row.description,
            component=row.component,
            echo_times_s=tuple(time for time in row.echo_times_s if time is not None),
            echoes=row.echoes,
            shape=row.shape,
            voxel_size_mm=row.voxel_size_mm or (),
            use=row.use.value,
            missing=row.missing,
        )
        for row in table.rows
    )
    return FoundStudy(lines=lines, missing=table.missing, can_reconstruct=table.can_reconstruct)


def main(arguments: Sequence[str]) -> int:
    """Write what the paths hold into the folder after ``-o``."""
    at = list(arguments).index("-o")
    output = Path(arguments[at + 1])
    try:
        study = read([Path(one) for one in arguments[:at]])
    except (ChiSepError, ModuleNotFoundError) as error:
        say("error", message=str(error), exit_code=2)
        return 2
    output.mkdir(parents=True, exist_ok=True)
    (output / _FILE).write_text(json.dumps(asdict(study), ensure_ascii=False), encoding="utf-8")
    say("result", output=str(output))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
