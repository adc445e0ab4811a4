"""The whole chain as one call: load → preprocess → reconstruct → show."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ChiSepPreprocessLib.artifacts import Acquisition, Image, Map, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.loading import LoadOptions, check_reconstructable, load_acquisition
from ChiSepPreprocessLib.pipeline import PreprocessOptions, combined_magnitude, preprocess
from ChiSepPreprocessLib.progress import Progress, Reporter
from ChiSepReconstructLib.methods import get
from ChiSepReconstructLib.pipeline import reconstruct

from .given import read_given_map
from .run_folder import RunFolder, busy, fingerprint, read_record, read_run


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the user hands in: files, folders or zip archives.

    Parameters
    ----------
    gre : tuple of Path
        Multi-echo gradient echo; a folder of a whole study is enough.
    gre_phase, se, flair : tuple of Path
        Where they are not found beside ``gre``.
    mask : Path, optional
        Brain mask as NIfTI on the GRE's grid.
    maps : mapping of str to Path
        Maps by artifact name as NIfTI, used instead of being computed.
    load : LoadOptions
        What the headers do not say.
    """

    gre: tuple[Path, ...]
    gre_phase: tuple[Path, ...] = ()
    se: tuple[Path, ...] = ()
    flair: tuple[Path, ...] = ()
    mask: Path | None = None
    maps: Mapping[str, Path] = field(default_factory=dict)
    load: LoadOptions = field(default_factory=LoadOptions)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every path that is read."""
        given = (self.mask,) if self.mask else ()
        return (*self.gre, *self.gre_phase, *self.se, *self.flair, *given, *self.maps.values())

    def given_maps(self) -> dict[str, Map]:
        """The maps that the user brings.

        Raises
        ------
        InputError
            If one cannot be read or breaks its row of the artifact table.
        """
        if self.mask is not None and "brain_mask" in self.maps:
            raise InputError("brain mask", "two (--mask and --map brain_mask=…)", "one", "Leave one of them out.")
        named = {**self.maps, **({"brain_mask": self.mask} if self.mask is not None else {})}
        return {name: read_given_map(name, path) for name, path in named.items()}


@dataclass(frozen=True, eq=False)
class Study:
    """A run's results in memory.

    Parameters
    ----------
    acquisition : Acquisition or None
        What was measured; ``None`` where only maps were read.
    maps : MapSet
        Preprocessed maps.
    results : mapping of str to MapSet
        χ maps by method, each with the preprocessed maps.
    folder : Path
        Where everything was written.
    """

    acquisition: Acquisition | None
    maps: MapSet
    results: Mapping[str, MapSet]
    folder: Path

    @property
    def images(self) -> dict[str, Image]:
        """Images to show the maps on: the combined GRE magnitude and FLAIR, each on its own grid."""
        if self.acquisition is None:
            return {}
        magnitude = Image(combined_magnitude(self.acquisition.gre_magnitude), self.acquisition.grid)
        flair = self.acquisition.flair
        return {"gre_magnitude": magnitude, **({"flair": flair} if flair is not None else {})}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Every warning once, in the order of the road."""
        spoken = [
            text for result in (self.maps, *self.results.values()) for one in result.values() for text in one.warnings
        ]
        first = self.acquisition.warnings if self.acquisition else ()
        return tuple(dict.fromkeys((*first, *spoken)))


def run_preprocess(
    inputs: Inputs,
    output: Path,
    *,
    options: PreprocessOptions | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
    on_loaded: Callable[[Acquisition], object] | None = None,
) -> Study:
    """Load the data and compute every map; an interrupted run goes on where it stopped.

    Raises
    ------
    InputError
        If the data cannot be used, or the folder holds another run.
    OutputError
        If the folder cannot be written.
    CancelledError
        If ``progress`` returned ``False``.
    """
    chosen = options or PreprocessOptions()
    mark = fingerprint(inputs.paths, {"load": asdict(inputs.load), "preprocess": asdict(chosen)})
    report = Reporter(progress)
    given = inputs.given_maps()
    acquisition = load_acquisition(
        inputs.gre, gre_phase=inputs.gre_phase, se=inputs.se, flair=inputs.flair,
        options=inputs.load, report=report.span(0.0, 0.15),
    )  # fmt: skip
    check_reconstructable(acquisition)
    MapSet(acquisition.grid, acquisition.scan, given)
    if on_loaded is not None:
        on_loaded(acquisition)
    with busy(output):
        folder = RunFolder.open(output, mark, overwrite=overwrite)
        study, seconds = _preprocessed(acquisition, given, folder, chosen, report.span(0.15, 1.0))
        _record(folder, study, inputs, {"preprocess": asdict(chosen)}, {"preprocess": seconds})
    return study


def _preprocessed(
    acquisition: Acquisition, given: Mapping[str, Map], folder: RunFolder, options: PreprocessOptions, report: Reporter
) -> tuple[Study, float]:
    """Every map, computed or found complete, on disk; and the seconds that it took."""
    started = time.perf_counter()
    maps = preprocess(
        acquisition,
        options=options,
        given={**folder.complete_maps(acquisition.grid), **given},
        progress=report.forward,
        on_map=lambda one: folder.keep(one, acquisition.scan),
    )
    for name in given:
        folder.keep(maps[name], acquisition.scan)
    study = Study(acquisition, maps, {}, folder.path)
    for name, image in study.images.items():
        folder.keep_image(name, image)
    return study, time.perf_counter() - started


def run_reconstruct(study: Study, methods: tuple[str, ...], *, progress: Progress | None = None) -> Study:
    """Compute χ maps by one or several methods and write each into its own folder.

    Raises
    ------
    InputError
        If a method is unknown or a map that it needs is missing.
    """
    for name in methods:
        get(name)
    read_record(study.folder)
    report, results, seconds = Reporter(progress), dict(study.results), {}
    with busy(study.folder):
        for number, name in enumerate(methods):
            started = time.perf_counter()
            part = report.span(number / len(methods), (number + 1) / len(methods)).forward
            results[name] = reconstruct(study.maps, method=name, progress=part)
            for made in get(name).gives:
                RunFolder(study.folder, "").keep(results[name][made], study.maps.scan, name)
            seconds[name] = time.perf_counter() - started
        done = Study(study.acquisition, study.maps, results, study.folder)
        _extend_record(done, seconds)
    return done


def study_from_maps(maps_folder: Path, output: Path) -> Study:
    """Study that starts from maps on disk instead of an acquisition.

    Raises
    ------
    InputError
        If the folder holds no maps.
    """
    if not maps_folder.is_dir():
        raise InputError("folder of maps", maps_folder, "an existing folder", "Make it with 'chisep preprocess'.")
    return Study(None, read_run(maps_folder), {}, output)


def run(
    inputs: Inputs,
    output: Path,
    *,
    methods: tuple[str, ...] = ("closed-form",),
    options: PreprocessOptions | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
    on_loaded: Callable[[Acquisition], object] | None = None,
) -> Study:
    """Run the chain from files to χ maps on disk.

    Parameters
    ----------
    inputs : Inputs
        Data and given maps.
    output : Path
        Folder for everything that is written.
    methods : tuple of str
        Names from ``chisep methods``.
    options : PreprocessOptions, optional
        Options of the preprocessing steps.
    progress : callable, optional
        Receives a status; returning ``False`` cancels.
    overwrite : bool
        Replace another run's results in ``output``.
    on_loaded : callable, optional
        Gets the acquisition before anything is computed or written; it may refuse by raising an error.

    Returns
    -------
    Study
        Acquisition, maps and χ maps.

    Raises
    ------
    InputError, OutputError, CancelledError
        As :func:`run_preprocess` and :func:`run_reconstruct`.
    """
    for name in methods:
        get(name)
    report = Reporter(progress)
    study = run_preprocess(
        inputs, output, options=options, progress=report.span(0.0, 0.85).forward, overwrite=overwrite,
        on_loaded=on_loaded,
    )  # fmt: skip
    return run_reconstruct(study, methods, progress=report.span(0.85, 1.0).forward)


def _record(
    folder: RunFolder, study: Study, inputs: Inputs, options: Mapping[str, Any], seconds: Mapping[str, float]
) -> None:
    folder.record({
        "state": "preprocessed",
        "inputs": [path.name for path in inputs.paths],
        "source": dict(study.acquisition.source) if study.acquisition else {},
        "options": dict(options),
        "methods": {},
        "warnings": list(study.warnings),
        "maps": list(study.maps),
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
    })  # fmt: skip


def _extend_record(study: Study, seconds: Mapping[str, float]) -> None:
    record = read_record(study.folder)
    mark = record.pop("fingerprint", "")
    known = record.get("methods", {})
    added = {name: {"maps": list(get(name).gives), "options": dict(result[get(name).gives[0]].options)}
             for name, result in study.results.items()}  # fmt: skip
    record.update(
        state="done",
        methods={**known, **added},
        warnings=list(study.warnings),
        seconds={**record.get("seconds", {}), **{name: round(value, 2) for name, value in seconds.items()}},
    )
    RunFolder(study.folder, mark).record(record)
