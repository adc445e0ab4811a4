"""What users say on the command line: the options' types, and their words turned into values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.loading import LoadOptions
from ChiSepPreprocessLib.options import from_mapping
from ChiSepPreprocessLib.pipeline import PRESETS, PreprocessOptions
from ChiSepPreprocessLib.pipeline import preset as named_preset

from .method_choice import AUTOMATIC
from .workflow import Inputs

if TYPE_CHECKING:
    from ChiSepReconstructLib.methods import R2PrimeSource

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
Methods = Annotated[
    str,
    typer.Option(
        help="Method, or several separated by commas; see 'chisep methods'. 'auto' is χ-sepnet where weights fit the "
        "scan, else the closed form."
    ),
]
R2PrimeFrom = Annotated[
    str,
    typer.Option(
        metavar="maps|r2primenet",
        help="R2′ that the methods use: of the maps (measured, or a named fallback), or made of R2* by R2PRIMEnet.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
JsonLines = Annotated[bool, typer.Option("--progress-json", help="Print progress as JSON lines on standard output.")]
MaskFile = Annotated[Path | None, typer.Option(help="Brain mask: NIfTI on the GRE's grid, or a .seg.nrrd of Slicer.")]
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


def method_names(text: str) -> tuple[str, ...]:
    """Names of methods, each once; refuse what is none before any work is done."""
    from ChiSepReconstructLib.methods import METHODS, get

    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise InputError("--method", f"'{text}'", f"one or several of {', '.join(METHODS)}, separated by commas")
    for name in names:
        if name != AUTOMATIC:
            get(name)
    return names


def named_source(text: str) -> R2PrimeSource:
    """Where R2′ comes from; refuse what is no source."""
    from ChiSepReconstructLib.methods import check_r2prime_source

    check_r2prime_source(text, ())
    return cast("R2PrimeSource", text)


def load_options(
    echo_times: str | None, se_echo_times: str | None, field_strength: float | None, phase_unit: str | None, flip: bool
) -> LoadOptions:
    """What the headers do not say, as stated."""
    return LoadOptions(
        echo_times_s=_times(echo_times),
        se_echo_times_s=_times(se_echo_times),
        field_strength_t=field_strength,
        phase_unit=phase_unit,
        flip_phase=flip,
    )


def read_options(path: Path | None, named: str = "best") -> tuple[PreprocessOptions, dict[str, dict[str, Any]]]:
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


def gathered(
    gre: Sequence[Path], gre_phase: Sequence[Path] | None, se: Sequence[Path] | None, flair: Sequence[Path] | None,
    mask: Path | None, maps: Sequence[str] | None, load: LoadOptions,
) -> Inputs:  # fmt: skip
    """Everything that is handed in."""
    return Inputs(gre=tuple(gre), gre_phase=tuple(gre_phase or ()), se=tuple(se or ()), flair=tuple(flair or ()),
                  mask=mask, maps=_named_files(maps), load=load)  # fmt: skip
