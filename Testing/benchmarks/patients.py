"""Every method on eight simulated patients: half of all combinations of voxel size, B0, SNR and relaxivities.

    .venv/bin/python Testing/benchmarks/patients.py [--inputs measured] [--methods tkd tv ...] [--folder FOLDER]

Each patient has an anatomy of its own. Errors are NRMSE in per cent in the brain without CSF and vessels. Split: the
two relaxivities are 20 % above and below the one that the methods are told. With ``--folder``, patients that are
done are kept there as JSON, and not run again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from methods import one_patient

from ChiSepPhantoms import PhantomOptions
from ChiSepReconstructLib.methods import METHODS

_SIZES = {"1 mm": (1.0, 1.0, 1.0), "1×1×2 mm": (1.0, 1.0, 2.0)}
_TILTS = {"axial": (0.0, 0.0, 0.0), "oblique": (20.0, -8.0, 5.0)}
#: Each half of them is balanced too.
_PATIENTS = (
    ("1 mm", "axial", 50.0, "single"), ("1×1×2 mm", "oblique", 100.0, "split"),
    ("1 mm", "oblique", 50.0, "split"), ("1×1×2 mm", "axial", 100.0, "single"),
    ("1 mm", "axial", 100.0, "split"), ("1×1×2 mm", "oblique", 50.0, "single"),
    ("1 mm", "oblique", 100.0, "single"), ("1×1×2 mm", "axial", 50.0, "split"),
)  # fmt: skip
_FINE_MM = 0.5
_FIRST_SEED = 30
#: Left out unless asked for, as they take minutes.
_SLOW = ("apart", "emmerich", "decompose")


def main() -> None:
    """Simulate each patient, run every method, print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", nargs="+", default=["measured"], choices=("measured", "true"))
    quick = [name for name, one in METHODS.items()
             if one.orientations == 1 and not one.networks and name not in _SLOW]  # fmt: skip
    parser.add_argument("--methods", nargs="+", default=quick)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    found = {name: rows_of(name, options, chosen) for name, options in patients().items()}
    for kind in chosen.inputs:
        sys.stdout.write(f"{kind.capitalize()} inputs, QSM:\n\n{table(found, kind, ('chi_total',))}\n\n")
        sys.stdout.write(f"{kind.capitalize()} inputs, χ_para / χ_dia:\n\n"
                         f"{table(found, kind, ('chi_para', 'chi_dia'))}\n\n")  # fmt: skip


def patients() -> dict[str, PhantomOptions]:
    """Options by a title that says what they are."""
    return dict(one_of_them(number, _FIRST_SEED + number) for number in range(len(_PATIENTS)))


def one_of_them(number: int, seed: int) -> tuple[str, PhantomOptions]:
    """Title and options of one combination, by its number, and of any anatomy."""
    size, tilt, snr, relaxivity = _PATIENTS[number % len(_PATIENTS)]
    options = PhantomOptions(
        seed=seed, voxel_size_mm=_SIZES[size], fine_mm=_FINE_MM, snr=snr, flair=False, tilt_deg=_TILTS[tilt],
        relaxivity=relaxivity,
    )  # fmt: skip
    return f"{size}, {tilt}, SNR {snr:.0f}, {relaxivity}", options


def rows_of(name: str, options: PhantomOptions, chosen: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Rows of one patient by kind of inputs, from the folder if it is done."""
    file = chosen.folder / f"{options.seed}.json" if chosen.folder else None
    if file and file.exists():
        return dict(json.loads(file.read_text()))
    rows = one_patient(options, chosen.inputs, chosen.methods, again=False)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"patient": name, **rows}))
    return rows


def table(found: dict[str, Any], kind: str, maps: tuple[str, ...]) -> str:
    """Markdown: a row for each method that makes the maps, a column for each patient, and their mean."""
    first = next(iter(found.values()))[kind]
    lines = [f"| method | {' | '.join(found)} | mean |", "|---" * (len(found) + 2) + "|"]
    for method in (name for name, row in first.items() if set(maps) <= set(row["maps"])):
        errors = [[one[kind][method]["maps"][key]["nrmse_percent"] for key in maps] for one in found.values()]
        errors.append([sum(part) / len(errors) for part in zip(*errors, strict=True)])
        cells = [" / ".join(f"{value:.1f}" for value in one) for one in errors]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
