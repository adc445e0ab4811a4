"""Suggested grades of simulated lesions of known class: on the true maps, and on those that methods make.

    .venv/bin/python Testing/benchmarks/lesion_suggestions.py [--patients 4] [--methods closed-form chi-sepnet-r2prime]
        [--white-matter found true none] [--purity] [--folder FOLDER]

Each patient has thirty lesions, every grade in one map with every grade in the other and iron rims, from 28 to
1200 mm³. The white matter that they are compared with is found in the maps (as a run does), the true one, or none.
With ``--folder`` patients and maps are kept there.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from lesion_classes import GRADED, designed_classes

from ChiSeparationLib.lesions.components import LabelledLesions, relabel
from ChiSeparationLib.lesions.grades import Grade
from ChiSeparationLib.lesions.grading import grade_lesions
from ChiSeparationLib.lesions.run_grading import grade_run, white_matter_of
from ChiSeparationLib.lesions.table import LesionTable
from ChiSepPhantoms import PhantomOptions, simulate, write_truth
from ChiSepPhantoms.tissues import TISSUES
from ChiSepPreprocessLib.artifacts import Array, MapSet
from ChiSepPreprocessLib.files import read_mapset, read_nifti, write_map
from ChiSepPreprocessLib.pipeline import preprocess
from ChiSepReconstructLib.pipeline import reconstruct

_TRUE_MAPS = "true maps"
_CLASSES = [grade.value for grade in Grade]
_NONE = "none"
_FIRST_SEED = 101


class Key(NamedTuple):
    """Whose maps, which white matter, which map."""

    maps: str
    white_matter: str
    name: str


Pairs = Counter[tuple[str, str]]


def main() -> None:
    """Simulate, make maps, suggest, print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=4)
    parser.add_argument("--methods", nargs="*", default=["closed-form", "chi-sepnet-r2prime"])
    parser.add_argument("--white-matter", nargs="+", default=["found", "true"], choices=("found", "true", "none"))
    parser.add_argument("--voxel-mm", nargs=3, type=float, default=(1.0, 1.0, 1.0))
    parser.add_argument(
        "--purity", action="store_true", help="also hold the white matter that is found to the true one"
    )
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    found: dict[Key, Pairs] = {}
    with tempfile.TemporaryDirectory() as temporary:
        base = chosen.folder or Path(temporary)
        for seed in range(_FIRST_SEED, _FIRST_SEED + chosen.patients):
            for key, pairs in patient(base / f"p{seed}", seed, chosen):
                found.setdefault(key, Counter()).update(pairs)
    sys.stdout.write(summary(found) + "\n\n")
    for key, pairs in found.items():
        if key.white_matter == chosen.white_matter[0]:
            sys.stdout.write(f"{key.name}, {key.maps}, white matter {key.white_matter}:\n\n{confusion(pairs)}\n\n")


def patient(folder: Path, seed: int, chosen: argparse.Namespace) -> Iterator[tuple[Key, Pairs]]:
    """Designed and suggested class of every lesion, of every kind of maps and of white matter."""
    if not folder.is_dir():
        voxel = tuple(chosen.voxel_mm)
        examine(folder, PhantomOptions(seed=seed, voxel_size_mm=voxel, lesion_kinds="every class", flair=False))
    truth, measured = read_mapset(folder / "truth"), read_mapset(folder / "measured")
    white = read_nifti(folder / "truth" / "labels.nii.gz")[0].astype(int) == TISSUES["white_matter"].label
    lesions, designed = relabel(truth.array("lesions"), truth.grid), designed_classes(folder / "truth")
    every = {_TRUE_MAPS: truth.including(measured["field_mask"])}
    every |= {method: made(folder, measured, method) for method in chosen.methods}
    for title, maps in every.items():
        for kind in chosen.white_matter:
            table = graded(maps, lesions, kind, white)
            for name in GRADED:
                yield Key(title, kind, name), Counter(pairs_of(table, lesions, designed, name))
        found = purity(maps, lesions, white) if chosen.purity else "done"
        sys.stderr.write(f"patient {seed}, {title}: {found}\n")


def examine(folder: Path, options: PhantomOptions) -> None:
    """Simulate a patient and preprocess; the folder appears when it is whole."""
    part = folder.with_name(f".part-{folder.name}")
    shutil.rmtree(part, ignore_errors=True)
    simulated = simulate(options)
    write_truth(simulated, part / "truth")
    measured = preprocess(simulated.acquisition)
    for one in measured.values():
        write_map(one, measured.scan, part / "measured")
    part.rename(folder)


def made(folder: Path, measured: MapSet, method: str) -> MapSet:
    """The method's maps, kept beside the measured ones."""
    if not (folder / method).is_dir():
        result = reconstruct(measured, method=method)
        for name in ("chi_total", "chi_para", "chi_dia"):
            write_map(result[name], measured.scan, folder / method)
    return measured.including(*read_mapset(folder / method).values())


def graded(maps: MapSet, lesions: LabelledLesions, kind: str, white: Array) -> LesionTable:
    """As a run grades them, or with the true white matter, or without any."""
    if kind == "found":
        return grade_run(maps, lesions)
    given = white if kind == "true" else None
    return grade_lesions(maps, lesions.lesions, white_matter=given, excluded=lesions.dropped_mask)


def pairs_of(
    table: LesionTable, lesions: LabelledLesions, designed: Mapping[int, Mapping[str, str]], name: str
) -> Iterator[tuple[str, str]]:
    """Designed and suggested class of each lesion."""
    for row in table.rows:
        grade = row.suggestions[name].grade
        yield designed[lesions.source_labels[row.label - 1]][name], grade.value if grade else _NONE


def purity(maps: MapSet, lesions: LabelledLesions, white: Array) -> str:
    """Precision and recall of the white matter that is found."""
    found = white_matter_of(maps, lesions)
    if found is None:
        return "no white matter found"
    both, valid = np.count_nonzero(found.mask & white), np.count_nonzero(white & maps.array("field_mask"))
    return (f"white matter by {' and '.join(found.channels)}: precision {both / np.count_nonzero(found.mask):.3f}, "
            f"recall {both / valid:.3f}")  # fmt: skip


def summary(found: Mapping[Key, Pairs]) -> str:
    """Markdown: share of right suggestions."""
    lines = ["| maps | white matter | χ_para | χ_dia | both |", "|---|---|---|---|---|"]
    for maps, kind in dict.fromkeys((key.maps, key.white_matter) for key in found):
        each = [found[Key(maps, kind, name)] for name in GRADED]
        lines.append(f"| {maps} | {kind} | {' | '.join(_right(one) for one in [[each[0]], [each[1]], each])} |")
    return "\n".join(lines)


def _right(parts: Sequence[Pairs]) -> str:
    right = sum(count for pairs in parts for (designed, given), count in pairs.items() if designed == given)
    total = sum(pairs.total() for pairs in parts)
    return f"{right}/{total} ({100 * right / total:.1f} %)"


def confusion(pairs: Pairs) -> str:
    """Markdown: a row for each designed class, a column for each suggested one."""
    lines = [f"| designed | {' | '.join(_CLASSES)} | {_NONE} |", "|---" * (len(_CLASSES) + 2) + "|"]
    for designed in _CLASSES:
        cells = [str(pairs[designed, given]) for given in (*_CLASSES, _NONE)]
        lines.append(f"| {designed} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
