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
from ChiSepPreprocessLib.loading import LoadOptions
from ChiSepPreprocessLib.options import from_mapping
from ChiSepPreprocessLib.pipeline import PRESETS, PreprocessOptions
from ChiSepPreprocessLib.pipeline import preset as named_preset

from . import tables
from .console import Console
from .study import Study
from .workflow import Inputs

app = typer.Typer(
    name="chisep",
    help="Separate paramagnetic (iron) and diamagnetic (myelin) susceptibility sources in brain MRI.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_CANCELLED = 130

#: Wrong words on the command line; typer names only a subclass of it.
_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]

PhasePaths = Annotated[
    list[Path] | None, typer.Option(help="Phase of the GRE, where it lies apart from --gre; may be repeated.")
]
SpinEchoPaths = Annotated[
    list[Path] | None, typer.Option(help="Multi-echo spin echo or TSE, where it lies apart; may be repeated.")
]
FlairPaths = Annotated[list[Path] | None, typer.Option(help="FLAIR, where it lies apart; may be repeated.")]
GrePaths = Annotated[
    list[Path], typer.Option(help="Multi-echo GRE: file, folder or zip archive; a whole study folder is enough.")
]
Output = Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")]
Methods = Annotated[str, typer.Option(help="Method, or several separated by commas; see 'chisep methods'.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
JsonLines = Annotated[bool, typer.Option("--progress-json", help="Print progress as JSON lines on standard output.")]
MaskFile = Annotated[Path | None, typer.Option(help="Brain mask (NIfTI on the GRE's grid).")]
GivenMaps = Annotated[
    list[str] | None, typer.Option("--map", help="NAME=FILE: use this map instead of computing it; may be repeated.")
]
EchoTimes = Annotated[
    str | None, typer.Option(metavar="S,S,…", help="GRE echo times in seconds, if the headers do not say.")
]
SpinEchoTimes = Annotated[
    str | None, typer.Option(metavar="S,S,…", help="Spin echo times in seconds, if the headers do not say.")
]
Field = Annotated[float | None, typer.Option(help="Field strength in tesla, if the headers do not say.")]
PhaseUnit = Annotated[
    str | None,
    typer.Option(help="Unit of the stored phase, if the headers do not say: rad, mrad, deg, cycles or siemens."),
]
FlipPhase = Annotated[bool, typer.Option("--flip-phase-sign", help="Negate the phase.")]
Seed = Annotated[int, typer.Option(help="Another seed is another patient.")]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace another run's results in the folder once the new ones are complete."),
]
OptionsFile = Annotated[
    Path | None,
    typer.Option("--options", help='JSON file, such as {"preprocess": {"background": {"method": "pdf"}}}.'),
]
Preset = Annotated[
    str, typer.Option(help=f"Options that --options starts from: {' or '.join(PRESETS)} (that paper's chain).")
]
MapsOnly = Annotated[bool, typer.Option("--maps-only", help="Write the maps alone: no scene, pictures or report.")]


def _times(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError("echo times", text, "seconds separated by commas, such as 0.004,0.010") from None


def _named_files(pairs: Sequence[str] | None) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for pair in pairs or ():
        name, separator, path = pair.partition("=")
        if not separator or not name or not path:
            raise InputError("--map", f"'{pair}'", "NAME=FILE, such as r2star=my_r2star.nii.gz")
        if name in found:
            raise InputError("--map", f"'{name}' twice", "each map once", "Leave one of them out.")
        found[name] = Path(path)
    return found


def _methods(text: str) -> tuple[str, ...]:
    """Names of methods, each once; refuse what is none before any work is done."""
    from ChiSepReconstructLib.methods import METHODS, get

    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise InputError("--method", f"'{text}'", f"one or several of {', '.join(METHODS)}, separated by commas")
    for name in names:
        get(name)
    return names


def _load_options(
    echo_times: str | None, se_echo_times: str | None, field_strength: float | None, phase_unit: str | None, flip: bool
) -> LoadOptions:
    return LoadOptions(
        echo_times_s=_times(echo_times),
        se_echo_times_s=_times(se_echo_times),
        field_strength_t=field_strength,
        phase_unit=phase_unit,
        flip_phase=flip,
    )


def _read_options(path: Path | None, named: str = "best") -> tuple[PreprocessOptions, dict[str, dict[str, Any]]]:
    """Options of the steps, and of each method by name."""
    from ChiSepPreprocessLib.files import read_json
    from ChiSepReconstructLib.methods import METHODS, get

    content = {} if path is None else read_json(path)
    steps = from_mapping(PreprocessOptions, content.pop("preprocess", {}), "options of preprocess", named_preset(named))
    if unknown := sorted(set(content) - set(METHODS)):
        raise InputError("options", ", ".join(unknown), f"some of preprocess, {', '.join(METHODS)}")
    for name, values in content.items():
        get(name).options(values)
    return steps, content


def _inputs(
    gre: Sequence[Path], gre_phase: Sequence[Path] | None, se: Sequence[Path] | None, flair: Sequence[Path] | None,
    mask: Path | None, maps: Sequence[str] | None, load: LoadOptions,
) -> Inputs:  # fmt: skip
    return Inputs(gre=tuple(gre), gre_phase=tuple(gre_phase or ()), se=tuple(se or ()), flair=tuple(flair or ()),
                  mask=mask, maps=_named_files(maps), load=load)  # fmt: skip


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
    method: Methods = "closed-form",
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

    load = _load_options(echo_times, se_echo_times, field_strength, phase_unit, flip_phase_sign)
    inputs = _inputs(gre, gre_phase, se, flair, mask, given, load)
    steps, by_method = _read_options(options, preset)
    with Console(progress_json) as console:

        def show(study: Study) -> None:
            for problem in present(study, Extras(lesions=lesions), progress=console.progress):
                console.warning(problem)

        study = run_all(
            inputs, output, methods=_methods(method), progress=console.progress, overwrite=overwrite,
            options=steps, method_options=by_method,
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
    progress_json: JsonLines = False,
) -> None:
    """Compute the maps alone (mask, fields, R2*, R2, R2′)."""
    from .workflow import run_preprocess

    load = _load_options(echo_times, se_echo_times, field_strength, phase_unit, flip_phase_sign)
    inputs = _inputs(gre, gre_phase, se, None, mask, given, load)
    steps, _ = _read_options(options, preset)
    with Console(progress_json) as console:
        console.result(run_preprocess(inputs, output, options=steps, progress=console.progress, overwrite=overwrite))


@app.command()
def reconstruct(
    maps: Annotated[Path, typer.Argument(help="Folder of maps, such as 'chisep preprocess' writes.")],
    output: Output,
    method: Methods = "closed-form",
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

    _, by_method = _read_options(options)
    with Console(progress_json) as console:
        study = study_from_maps(maps, output, orientation or (), console.progress)
        console.result(
            run_reconstruct(study, _methods(method), options=by_method, progress=console.progress, overwrite=overwrite)
        )


@app.command()
def methods(as_json: AsJson = False) -> None:
    """List every method: what it needs, gives, its options and paper."""
    from ChiSepReconstructLib.methods import describe

    described = describe()
    Console.show({"methods": described}, lambda: tables.methods(described), as_json=as_json)


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
    from .evaluation import evaluate_all, read_estimates, read_regions, write_metrics_csv, write_regions_csv
    from .report.scatter import write_scatter
    from .run_folder import read_run

    estimates = read_estimates(estimate, None if method is None else _methods(method))
    grid = next(iter(estimates.values())).maps.grid
    regions = read_regions(labels, label_names, grid)
    found = evaluate_all(estimates, None if truth is None else read_run(truth), regions, find_vessels=vessels)
    if csv is not None:
        write_metrics_csv(csv, found)
        if found.regions:
            write_regions_csv(csv.with_name(f"{csv.stem}_regions.csv"), found)
    if plot is not None:
        write_scatter(plot, found.regions)
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
    raise SystemExit(_run(list(sys.argv[1:] if arguments is None else arguments)))


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
