"""``chisep weights``: the networks' weights on this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter

from .arguments import AsJson
from .console import Console

if TYPE_CHECKING:
    from ChiSepReconstructLib.networks.weights.download import Offer
    from ChiSepReconstructLib.networks.weights.store import Entry
    from ChiSepReconstructLib.networks.weights.weight_set import Role, WeightSet

app = typer.Typer(
    name="weights", help="List, import, verify, download and remove the networks' weights.", no_args_is_help=True
)

_Name = Annotated[str, typer.Argument(help="Of the set of weights.")]
_Replace = Annotated[bool, typer.Option("--overwrite", help="Replace an installed set of that name.")]


@app.command("list")
def list_sets(as_json: AsJson = False) -> None:
    """List the installed sets, broken ones too."""
    from ChiSepReconstructLib.networks.weights.store import entries, weights_folder

    every, folder = entries(), weights_folder()
    content = {"folder": str(folder), "weights": [_entry_json(one) for one in every]}
    Console.show(content, lambda: _entry_lines(every, folder), as_json=as_json)


@app.command("import")
def import_set(
    name: _Name,
    normalisation: Annotated[
        Path, typer.Option(help="MATLAB file of constants (<name>_mean, <name>_std), published with the weights.")
    ],
    qsmnet: Annotated[Path | None, typer.Option(help="Checkpoint (.pth.tar, .pth or .onnx) of QSMnet_ME.")] = None,
    r2primenet: Annotated[Path | None, typer.Option(help="Checkpoint of R2PRIMEnet.")] = None,
    chisepnet: Annotated[Path | None, typer.Option(help="Checkpoint of χ-sepnet.")] = None,
    chisepnet_inputs: Annotated[
        str | None, typer.Option(metavar="NAME,NAME", help="Of a χ-sepnet with two inputs, such as chi_total,r2prime.")
    ] = None,
    overwrite: _Replace = False,
) -> None:  # fmt: skip
    """Import your own copies of the published checkpoints; no code in them is run."""
    from ChiSepReconstructLib.networks.weights.importing import import_weights

    given: dict[Role, Path | None] = {"qsmnet": qsmnet, "r2primenet": r2primenet, "chisepnet": chisepnet}
    files = {role: path for role, path in given.items() if path is not None}
    if not files:
        raise InputError("weights to import", "none", "--qsmnet, --r2primenet, --chisepnet or several of them")
    inputs = None if chisepnet_inputs is None else tuple(part.strip() for part in chisepnet_inputs.split(","))
    with Console() as console:
        one = import_weights(name, files, normalisation, chisepnet_inputs=inputs, overwrite=overwrite,
                             report=Reporter(console.progress))  # fmt: skip
    _show_done("imported", one)


@app.command("verify")
def verify_sets(
    name: Annotated[str | None, typer.Argument(help="Of one set; all by default.")] = None, as_json: AsJson = False
) -> None:
    """Hold every file against its hash and the architecture."""
    from ChiSepReconstructLib.networks.weights.store import entries, verify

    names = [one.name for one in entries() if name in (None, one.name)]
    if name is not None and not names:
        verify(name)  # says which there are
    problems: dict[str, str] = {}
    with Console() as console:
        for one in names:
            try:
                verify(one, Reporter(console.progress))
            except InputError as error:
                problems[one] = str(error)
    content = {"weights": [{"name": one, "problem": problems.get(one)} for one in names]}
    Console.show(content, lambda: _verdicts(names, problems), as_json=as_json)
    if problems:
        raise InputError("weights", f"broken sets: {', '.join(problems)}", "whole ones",
                         "Remove them with 'chisep weights remove', and get them again.")  # fmt: skip


def _verdicts(names: Sequence[str], problems: Mapping[str, str]) -> list[str]:
    return [f"{one}: {problems.get(one, 'whole')}" for one in names] or ["No weights are installed."]


@app.command("download")
def download_set(
    url: Annotated[str, typer.Argument(help="Address (https) of the set's manifest.json.")],
    yes: Annotated[bool, typer.Option("--yes", help="Accept size and licence without being asked.")] = False,
    allow_http: Annotated[bool, typer.Option("--allow-http", help="Accept an address without encryption.")] = False,
    overwrite: _Replace = False,
) -> None:
    """Show size, hashes and licence of a set; fetch it if you agree. Goes on where an earlier call stopped."""
    from ChiSepReconstructLib.networks.weights.download import download

    console = Console()
    with ExitStack() as stack:

        def confirm(offer: Offer) -> bool:
            Console.show({}, lambda: _offer_lines(offer), as_json=False)
            agreed = yes or _asked("Fetch these weights under this licence?")
            if agreed:
                stack.enter_context(console)  # not before: a bar and a question do not share a terminal
            return agreed

        one = download(url, confirm, overwrite=overwrite, allow_http=allow_http, report=Reporter(console.progress))
    _show_done("installed", one)


@app.command("remove")
def remove_set(name: _Name) -> None:
    """Delete an installed set, broken ones too."""
    from ChiSepReconstructLib.networks.weights.store import remove

    sys.stdout.write(f"{remove(name)}: removed\n")


def _asked(question: str) -> bool:
    if not sys.stdin.isatty():
        raise InputError("consent", "nobody to ask", "--yes, once you have read the licence above")
    return typer.confirm(question, err=True)


def _show_done(verb: str, one: WeightSet) -> None:
    folder = next(iter(one.networks.values())).path.parent
    sys.stdout.write(f"{folder}: {verb}, {', '.join(one.networks)}\nLicence: {one.licence}\n")


def _entry_json(one: Entry) -> dict[str, Any]:
    manifest = {} if one.weights is None else one.weights.to_json()
    return {**manifest, "name": one.name, "folder": str(one.folder), "shipped": one.shipped,
            "problem": one.problem or None}  # fmt: skip


def _entry_lines(every: tuple[Entry, ...], folder: Path) -> Iterator[str]:
    for one in every:
        if one.weights is None:
            yield f"{one.name}: broken"
            yield f"  {one.problem}"
        else:
            yield f"{one.name}: {one.weights.title}"
            yield from _set_lines(one.weights)
        yield f"  folder: {one.folder}{' (came with the program)' if one.shipped else ''}"
    if not every:
        yield (f"No weights are installed in {folder}. Import yours with 'chisep weights import', "
               "or fetch a set with 'chisep weights download'.")  # fmt: skip


def _offer_lines(offer: Offer) -> Iterator[str]:
    one = offer.weights
    yield f"{one.name}: {one.title}"
    for file in one.networks.values():
        yield f"  {file.path.name}: {file.size_bytes / 1e6:.1f} MB, SHA-256 {file.sha256}"
    yield from _set_lines(one)
    present = f", of which {offer.present_bytes / 1e6:.1f} MB are here" if offer.present_bytes else ""
    yield f"  size: {offer.size_bytes / 1e6:.1f} MB{present}"


def _set_lines(one: WeightSet) -> Iterator[str]:
    networks = (
        f"{role} ({' + '.join(file.inputs)}; base width {file.base_width})" for role, file in one.networks.items()
    )
    voxel = "×".join(f"{edge:g}" for edge in one.voxel_size_mm)
    yield f"  networks: {', '.join(networks)}"
    yield f"  trained on: {one.training_domain} data, {one.field_strength_t:.4g} T, {voxel} mm"
    yield f"  licence: {one.licence}"
    yield f"  source: {one.source}"
