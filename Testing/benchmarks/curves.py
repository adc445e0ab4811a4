"""Learning curves of trainings, as one small picture and one table.

    .venv/bin/python Testing/benchmarks/curves.py -o PICTURE.png FOLDER [FOLDER ...]

Each folder is that of a ``chisep train NETWORK``; its ``log.csv`` has a row for each epoch. Drawn are the mean loss of
the steps and the NRMSE in validation; printed are the first, best and last epoch, and how much the last third of the
training still gained, so that a curve that has flattened can be told from one that was cut off.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from ChiSepPreprocessLib.errors import ChiSepError, InputError

Rows = Sequence[dict[str, float]]


def read_rows(folder: Path) -> Rows:
    """Rows of a training's table.

    Raises
    ------
    InputError
        If there is none.
    """
    path = folder / "log.csv"
    if not path.is_file():
        raise InputError("training", f"no log.csv in {folder}", "the folder of a training with at least one epoch")
    with path.open(newline="", encoding="utf-8") as opened:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(opened)]


def line_of(name: str, rows: Rows) -> str:
    """One row of the printed table."""
    errors = [row["nrmse"] for row in rows]
    best = min(range(len(rows)), key=errors.__getitem__)
    before = min(errors[: max(len(rows) * 2 // 3, 1)])
    return (f"| {name} | {len(rows)} | {rows[-1]['steps']:.0f} | {errors[0]:.1f} | {errors[best]:.1f} ({best + 1}) | "
            f"{errors[-1]:.1f} | {before - min(errors):.2f} | {rows[-1]['seconds'] / 60:.0f} |")  # fmt: skip


def draw(trainings: dict[str, Rows], output: Path) -> None:
    """Loss and NRMSE of every training, one column each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(trainings), 2.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(trainings), squeeze=False)[0]
    for panel, (name, rows) in zip(panels, trainings.items(), strict=True):
        epochs = [row["epoch"] for row in rows]
        panel.plot(epochs, [row["loss"] for row in rows], color="#888888", label="loss of the steps")
        panel.set(title=name, xlabel="epoch", ylim=(0, None))
        other = panel.twinx()
        other.plot(epochs, [row["nrmse"] for row in rows], color="#b03020", label="NRMSE in validation, %")
        panel.tick_params(axis="y", colors="#666666")
        other.tick_params(axis="y", colors="#b03020")
    lines = [panel.lines[0], other.lines[0]]
    figure.legend(lines, [one.get_label() for one in lines], loc="outside lower center", ncols=2, fontsize=7)
    figure.savefig(output, dpi=80)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True, help="PNG to write")
    chosen = parser.parse_args()
    try:
        trainings = {one.name: read_rows(one) for one in chosen.folders}
    except ChiSepError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from None
    sys.stdout.write("| network | epochs | steps | NRMSE first | best (epoch) | last | gain of the last third | min |\n"
                     "|---|---|---|---|---|---|---|---|\n")  # fmt: skip
    sys.stdout.write("".join(f"{line_of(name, rows)}\n" for name, rows in trainings.items()))
    draw(trainings, chosen.output)


if __name__ == "__main__":
    main()
