"""``chisep train``: the networks' training, and sets of weights of it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_json
from ChiSepPreprocessLib.options import from_mapping
from ChiSepPreprocessLib.progress import Reporter

from .arguments import JsonLines, Output
from .console import Console

if TYPE_CHECKING:
    from ChiSepReconstructLib.networks.weights.weight_set import Role
    from ChiSepReconstructLib.training.options import TrainingOptions

app = typer.Typer(
    name="train", help="Train the networks on labelled or simulated heads, and pack weights.", no_args_is_help=True
)

_Data = Annotated[Path, typer.Option(help="Folder with one folder of maps and labels for each head.")]
_Options = Annotated[Path | None, typer.Option("--options", help="JSON file; see 'chisep train options'.")]
_Resume = Annotated[bool, typer.Option("--resume", help="Go on with the interrupted training in the output folder.")]
_Constants = Annotated[
    Path | None, typer.Option(help="Folder of a training whose normalisation is used, so that both can be packed.")
]


@app.command("qsmnet")
def train_qsmnet(
    data: _Data, output: Output, options: _Options = None, resume: _Resume = False, constants: _Constants = None,
    progress_json: JsonLines = False,
) -> None:  # fmt: skip
    """Train QSMnet_ME: local field to QSM."""
    _train("qsmnet", data, output, options, resume=resume, constants=constants, json_lines=progress_json)


@app.command("r2primenet")
def train_r2primenet(
    data: _Data, output: Output, options: _Options = None, resume: _Resume = False, constants: _Constants = None,
    progress_json: JsonLines = False,
) -> None:  # fmt: skip
    """Train R2PRIMEnet: R2* to R2′."""
    _train("r2primenet", data, output, options, resume=resume, constants=constants, json_lines=progress_json)


@app.command("chisepnet")
def train_chisepnet(
    data: _Data, output: Output,
    qsmnet: Annotated[Path | None, typer.Option(help="Folder of QSMnet's training, which makes the QSM.")] = None,
    options: _Options = None, resume: _Resume = False, constants: _Constants = None, progress_json: JsonLines = False,
) -> None:  # fmt: skip
    """Train χ-sepnet: QSM, local field and R2′ to χ_para and χ_dia."""
    _train("chisepnet", data, output, options, resume=resume, constants=constants, qsmnet=qsmnet,
           json_lines=progress_json)  # fmt: skip


@app.command("simulate")
def simulate(
    output: Output,
    count: Annotated[int, typer.Option(min=1, help="Heads in the folder in the end; those that are there stay.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of the whole set.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Heads made at once, with 2 GB each.")] = 1,
    options: Annotated[Path | None, typer.Option("--options", help="JSON file.")] = None,
    progress_json: JsonLines = False,
) -> None:
    """Simulate heads to train on, as different as people and scanners are."""
    from ChiSepReconstructLib.training.simulation import TrainingSubjectOptions, simulate_subjects

    values: dict[str, Any] = {} if options is None else read_json(options)
    chosen = from_mapping(TrainingSubjectOptions, values, "options of simulated training data")
    with Console(progress_json) as console:
        simulate_subjects(output, count, seed, chosen, Reporter(console.progress), workers)
    line = {"event": "result", "output": str(output), "subjects": count}
    sys.stdout.write((json.dumps(line) if progress_json else f"{output}: {count} simulated heads") + "\n")


def _train(
    role: Role, data: Path, output: Path, options: Path | None, *, resume: bool, constants: Path | None,
    json_lines: bool, qsmnet: Path | None = None,
) -> None:  # fmt: skip
    from ChiSepReconstructLib.training.loop import train
    from ChiSepReconstructLib.training.packing import read_trained

    known = None if constants is None else read_trained(constants).constants
    with Console(json_lines) as console:
        done = train(role, data, output, read_training_options(role, options), resume=resume, qsmnet=qsmnet,
                     constants=known, report=Reporter(console.progress))  # fmt: skip
    text = (f"{done.folder}: {role}, {done.epochs} epochs, best in epoch {done.best_epoch} with an NRMSE of "
            f"{done.best_nrmse_percent:.1f} % in validation")  # fmt: skip
    line = {"event": "result", "output": str(done.folder), "epochs": done.epochs, "best_epoch": done.best_epoch,
            "nrmse_percent": done.best_nrmse_percent}  # fmt: skip
    if os.environ.get("RANK", "0") == "0":  # under torchrun, one process speaks for all
        sys.stdout.write((json.dumps(line, ensure_ascii=False) if json_lines else text) + "\n")


def read_training_options(role: Role, path: Path | None) -> TrainingOptions:
    """Options of a JSON file in place of the published ones."""
    from ChiSepReconstructLib.training.options import TrainingOptions, published

    values = {} if path is None else read_json(path)
    return from_mapping(TrainingOptions, values, f"options of training {role}", published(role))


@app.command("options")
def show_options(
    role: Annotated[str, typer.Argument(help="qsmnet, r2primenet or chisepnet.")], options: _Options = None
) -> None:
    """Print the options of a training as JSON: the published ones, with those of a file."""
    from dataclasses import asdict

    sys.stdout.write(json.dumps(asdict(read_training_options(_role(role), options)), indent=2) + "\n")


def _role(name: str) -> Role:
    from ChiSepReconstructLib.networks.weights.weight_set import ROLES

    for role in ROLES:
        if role == name:
            return role
    raise InputError("network", f"'{name}'", f"one of {', '.join(ROLES)}")


@app.command("pack")
def pack_set(
    name: Annotated[str, typer.Option(help="Of the set of weights.")],
    qsmnet: Annotated[Path | None, typer.Option(help="Folder of a training of QSMnet_ME.")] = None,
    r2primenet: Annotated[Path | None, typer.Option(help="Folder of a training of R2PRIMEnet.")] = None,
    chisepnet: Annotated[Path | None, typer.Option(help="Folder of a training of χ-sepnet.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where the set's folder is made; installed if absent.")
    ] = None,
    options: Annotated[
        Path | None, typer.Option("--options", help='JSON file, such as {"training_domain": "in vivo"}.')
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an installed set of that name.")] = False,
) -> None:  # fmt: skip
    """Make a set of weights of trainings, and install it."""
    from ChiSepReconstructLib.training.packing import PackOptions, pack

    given: dict[Role, Path | None] = {"qsmnet": qsmnet, "r2primenet": r2primenet, "chisepnet": chisepnet}
    values: dict[str, Any] = {} if options is None else read_json(options)
    one = pack(name, {role: path for role, path in given.items() if path is not None},
               from_mapping(PackOptions, values, "options of pack"), parent=output, overwrite=overwrite)  # fmt: skip
    size = sum(file.size_bytes for file in one.networks.values()) / 1e6
    folder = next(iter(one.networks.values())).path.parent
    sys.stdout.write(f"{folder}: packed, {', '.join(one.networks)}, {size:.1f} MB\nLicence: {one.licence}\n"
                     f"Source: {one.source}\n")  # fmt: skip
