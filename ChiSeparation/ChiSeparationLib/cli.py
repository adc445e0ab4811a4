"""The ``chisep`` command.

Exit codes: 0 done, 2 bad input (one line on standard error), 1 a fault of ours, 130 cancelled.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ChiSepPreprocessLib import __version__
from ChiSepPreprocessLib.errors import CancelledError, ChiSepError, InputError

from . import lesions_cli, regions_cli, tables, train_cli, weights_cli
from .arguments import (
    AsJson,
    EchoTimes,
    Field,
    FlairPaths,
    FlipPhase,
    GivenMaps,
    GrePaths,
    JsonLines,
    MapsOnly,
    MaskFile,
    Methods,
    OptionsFile,
    Output,
    Overwrite,
    PhasePaths,
    PhaseUnit,
    Preset,
    R2PrimeFrom,
    Seed,
    SpinEchoPaths,
    SpinEchoTimes,
    gathered,
    load_options,
    method_names,
    named_source,
    read_options,
)
from .console import Console
from .study import Study

app = typer.Typer(
    name="chisep",
    help="Separate paramagnetic (iron) and diamagnetic (myelin) susceptibility sources in brain MRI.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(weights_cli.app, name="weights")
app.add_typer(train_cli.app, name="train")
app.add_typer(lesions_cli.app, name="lesions")
app.command("regions")(regions_cli.regions)

_CANCELLED = 130

#: Wrong words on the command line; typer names only a subclass of it.
_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]


@app.command()
def info(
    paths: Annotated[list[Path], typer.Argument(help="Files, folders, zip archives.")], as_json: AsJson = False
) -> None:
    """Say what is in there: series, echoes, and what is missing."""
    from ChiSepPreprocessLib.loading import inspect

    found = inspect(paths)
    Console.show(found.to_json(), lambda: tables.inventory(found), as_json=as_json)


@app.command()
def run(
    gre: GrePaths,
    output: Output,
    gre_phase: PhasePaths = None,
    se: SpinEchoPaths = None,
    flair: FlairPaths = None,
    lesions: Annotated[
        Path | None, typer.Option(help="Lesion mask or labels (NIfTI on the GRE's or FLAIR's grid).")
    ] = None,
    mask: MaskFile = None,
    given: GivenMaps = None,
    method: Methods = "auto",
    r2prime_source: R2PrimeFrom = "maps",
    echo_times: EchoTimes = None,
    se_echo_times: SpinEchoTimes = None,
    field_strength: Field = None,
    phase_unit: PhaseUnit = None,
    flip_phase_sign: FlipPhase = False,
    preset: Preset = "best",
    options: OptionsFile = None,
    overwrite: Overwrite = False,
    maps_only: MapsOnly = False,
    progress_json: JsonLines = False,
) -> None:
    """Run the main job: data to maps, χ maps, scene, pictures and report."""
    from .presentation import Extras, present, read_lesions
    from .workflow import run as run_all

    load = load_options(echo_times, se_echo_times, field_strength, phase_unit, flip_phase_sign)
    inputs = gathered(gre, gre_phase, se, flair, mask, given, load)
    steps, by_method = read_options(options, preset)
    with Console(progress_json) as console:

        def show(study: Study) -> None:
            for problem in present(study, Extras(lesions=lesions), progress=console.progress):
                console.warning(problem)

        study = run_all(
            inputs, output, methods=method_names(method), progress=console.progress, overwrite=overwrite,
            options=steps, method_options=by_method, r2prime_source=named_source(r2prime_source),
            on_loaded=lambda acquisition: lesions and read_lesions(lesions, acquisition.grid),
            on_maps=None if maps_only else show,
        )  # fmt: skip
        console.result(study)


@app.command()
def preprocess(
    gre: GrePaths,
    output: Output,
    gre_phase: PhasePaths = None,
    se: SpinEchoPaths = None,
    flair: FlairPaths = None,
    mask: MaskFile = None,
    given: GivenMaps = None,
    echo_times: EchoTimes = None,
    se_echo_times: SpinEchoTimes = None,
    field_strength: Field = None,
    phase_unit: PhaseUnit = None,
    flip_phase_sign: FlipPhase = False,
    preset: Preset = "best",
    options: OptionsFile = None,
    overwrite: Overwrite = False,
    until: Annotated[str | None, typer.Option(help="Stop once this map is there, such as brain_mask.")] = None,
    progress_json: JsonLines = False,
) -> None:
    """Compute the maps alone (mask, fields, R2*, R2, R2′)."""
    from .workflow import run_preprocess

    load = load_options(echo_times, se_echo_times, field_strength, phase_unit, flip_phase_sign)
    inputs = gathered(gre, gre_phase, se, flair, mask, given, load)
    steps, _ = read_options(options, preset)
    with Console(progress_json) as console:
        done = run_preprocess(
            inputs, output, options=steps, progress=console.progress, overwrite=overwrite, until=until
        )
        console.result(done)


@app.command()
def reconstruct(
    maps: Annotated[Path, typer.Argument(help="Folder of maps, such as 'chisep preprocess' writes.")],
    output: Output,
    method: Methods = "auto",
    r2prime_source: R2PrimeFrom = "maps",
    orientation: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of maps of the head turned in the scanner, for COSMOS methods; may be repeated."),
    ] = None,
    options: OptionsFile = None,
    overwrite: Overwrite = False,
    progress_json: JsonLines = False,
) -> None:
    """Compute χ maps from maps on disk."""
    from .workflow import run_reconstruct, study_from_maps

    _, by_method = read_options(options)
    with Console(progress_json) as console:
        study = study_from_maps(maps, output, orientation or (), console.progress)
        done = run_reconstruct(
            study, method_names(method), options=by_method, r2prime_source=named_source(r2prime_source),
            progress=console.progress, overwrite=overwrite,
        )  # fmt: skip
        console.result(done)


@app.command()
def methods(
    device: Annotated[
        bool, typer.Option("--device", help="Also test the devices that networks can run on, and tell their times.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List every method: what it needs, gives, its options and paper."""
    from ChiSepReconstructLib.methods import describe
    from ChiSepReconstructLib.networks.devices import describe as describe_devices

    content: dict[str, Any] = {"methods": describe(), **({"devices": describe_devices()} if device else {})}
    Console.show(content, lambda: tables.methods(content["methods"], content.get("devices", ())), as_json=as_json)


@app.command()
def evaluate(
    estimate: Annotated[list[Path], typer.Option(help="Folder of a run, or of maps; may be repeated.")],
    truth: Annotated[Path | None, typer.Option(help="Folder of true or reference maps.")] = None,
    method: Annotated[
        str | None, typer.Option(help="Which of the runs' methods, separated by commas; all by default.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Label map (NIfTI on the maps' grid): means in its regions, with or without --truth."),
    ] = None,
    label_names: Annotated[
        Path | None, typer.Option(help="Names of the labels: CSV, TSV, JSON, or ITK-SNAP label descriptions.")
    ] = None,
    vessels: Annotated[
        bool, typer.Option("--vessels", help="Find vessels by their shape and leave them out, if no masks are there.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="PNG file: means of the regions, estimates against truth.")] = None,
    csv: Annotated[
        Path | None, typer.Option(help="CSV file of the metrics; means of the regions beside it, as NAME_regions.csv.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare maps with the truth: pSNR, NRMSE, HFEN, SSIM, XSIM; and over regions."""
    from .evaluation import evaluate_folders, write_evaluation

    chosen = None if method is None else method_names(method)
    found = evaluate_folders(estimate, truth, chosen, labels, label_names, find_vessels=vessels)
    write_evaluation(found, csv, plot)
    Console.show(found.to_json(), lambda: tables.evaluation(found), as_json=as_json)


@app.command()
def phantom(
    output: Output,
    dicom: Annotated[bool, typer.Option("--dicom", help="Write DICOM series instead of NIfTI.")] = False,
    vendor: Annotated[str, typer.Option(help="Style of the DICOM: siemens or philips.")] = "siemens",
    seed: Seed = 0,
    voxel_size_mm: Annotated[str, typer.Option(help="Voxel size i,j,k in mm.")] = "1,1,1",
    fine_mm: Annotated[float, typer.Option(help="Resolution of the simulation in mm.")] = 0.5,
    field_strength: Annotated[float, typer.Option(help="Field strength in tesla.")] = 3.0,
    tilt_deg: Annotated[str, typer.Option(help="Rotation of the slab about x,y,z in degrees.")] = "0,0,0",
    snr: Annotated[float, typer.Option(help="Of the first echo in the brain.")] = 70.0,
    progress_json: JsonLines = False,
) -> None:
    """Simulate a patient with known truth (simulated data)."""
    from .demo import write_patient

    with Console(progress_json) as console:
        write_patient(
            output, dicom=dicom, vendor=vendor, progress=console.progress, seed=seed, fine_mm=fine_mm, snr=snr,
            voxel_size_mm=_three(voxel_size_mm), field_strength_t=field_strength, tilt_deg=_three(tilt_deg),
        )  # fmt: skip


def _three(text: str) -> tuple[float, float, float]:
    values = text.split(",")
    try:
        first, second, third = (float(value) for value in values)
    except ValueError:
        raise InputError("option", text, "three numbers separated by commas, such as 1,1,2") from None
    return first, second, third


@app.command()
def demo(output: Output = Path("demo_output"), seed: Seed = 0, progress_json: JsonLines = False) -> None:
    """Run the main job on a simulated patient written as DICOM, and compare with the truth."""
    from .demo import run_demo

    with Console(progress_json) as console:
        study: Study = run_demo(output, seed=seed, console=console)
        console.result(study)


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        sys.stdout.write(f"chisep {__version__}\n")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and leave with its exit code."""
    signal.signal(signal.SIGTERM, _interrupt)  # so that a part of a file is removed before the process ends
    raise SystemExit(_run(_expanded(sys.argv[1:] if arguments is None else arguments)))


def _expanded(arguments: Sequence[str]) -> list[str]:
    """Replace ``@FILE`` by the file's lines, as systems limit the length of a command line."""
    expanded: list[str] = []
    for one in arguments:
        file = Path(one[1:])
        is_list = one.startswith("@") and file.is_file()
        expanded += file.read_text(encoding="utf-8").split("\n") if is_list else [one]
    return expanded


def _interrupt(number: int, frame: object) -> None:
    Console.stopping = True  # a class attribute: there is one console
    raise KeyboardInterrupt


def _run(arguments: list[str]) -> int:
    json_lines = "--progress-json" in arguments
    try:
        if app(args=arguments, standalone_mode=False) == _CANCELLED:  # typer's own answer to an interrupt
            return _fail("Cancelled.", _CANCELLED, json_lines)
    except CancelledError as error:
        return _fail(error, _CANCELLED, json_lines)
    except KeyboardInterrupt:
        return _fail("Cancelled.", _CANCELLED, json_lines)
    except ChiSepError as error:
        return _fail(error, 2, json_lines)
    except ModuleNotFoundError as error:
        return _fail(f"The Python library '{error.name}' is not installed: pip install {error.name}", 2, json_lines)
    except MemoryError:
        return _fail("Out of memory. Close other programs, or use larger voxels.", 2, json_lines)
    except _USAGE_ERROR as error:
        return _fail(error.format_message(), 2, json_lines)
    except Exception as error:
        logging.getLogger(__name__).exception("Unexpected fault")
        return _fail(f"A fault of ChiSeparation, please report it: {type(error).__name__}: {error}", 1, json_lines)
    return 0


def _fail(message: Any, code: int, json_lines: bool) -> int:
    text = str(message)
    sys.stderr.write(f"chisep: {text}\n")
    if json_lines:
        line = json.dumps({"event": "error", "message": text, "exit_code": code}, ensure_ascii=False)
        sys.stdout.write(line + "\n")
    return code
