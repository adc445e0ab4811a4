"""The whole chain as one call: load → preprocess → reconstruct → show."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ChiSepPreprocessLib.artifacts import Acquisition, Image, Map, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.given import read_given_map
from ChiSepPreprocessLib.loading import LoadOptions, check_reconstructable, load_acquisition
from ChiSepPreprocessLib.pipeline import PreprocessOptions, checked_maps, preprocess, steps_until
from ChiSepPreprocessLib.progress import Progress, Reporter
from ChiSepPreprocessLib.quality.record import quality_record
from ChiSepPreprocessLib.registration.rigid import RegistrationOptions
from ChiSepPreprocessLib.registration.to_gre import Registered, register_to_gre
from ChiSepReconstructLib.methods import R2PRIMENET, R2PrimeSource, get
from ChiSepReconstructLib.pipeline import reconstruct

from .earlier_run import untouched_maps
from .method_choice import check_weights, chosen_methods, has_measured_r2prime, resolved
from .orientations import read_orientations
from .quality_page import drawn_page
from .run_folder import (
    MAPS,
    RunFolder,
    check_apart,
    check_one_source,
    fingerprint,
    fingerprint_with,
    opened,
    read_record,
    read_run,
)
from .study import Study

OnLoaded = Callable[[Acquisition], object] | None


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
        Brain mask as NIfTI on the GRE's grid, or a segmentation as Slicer saves it.
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
    def roles(self) -> dict[str, tuple[Path, ...]]:
        """Every path that is read, by what it is used as."""
        images = {"gre": self.gre, "gre_phase": self.gre_phase, "se": self.se, "flair": self.flair}
        masks = {"mask": (self.mask,)} if self.mask else {}
        return {**images, **masks, **{f"map {name}": (path,) for name, path in self.maps.items()}}

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


def run_preprocess(
    inputs: Inputs,
    output: Path,
    *,
    options: PreprocessOptions | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
    on_loaded: OnLoaded = None,
    until: str | None = None,
) -> Study:
    """Load the data, compute every map or those up to ``until``, and keep what an earlier run left that still holds.

    Raises
    ------
    InputError
        If the data cannot be used, the folder holds another run, or ``until`` is no map that a step makes.
    OutputError
        If the folder cannot be written.
    CancelledError
        If ``progress`` returned ``False``.
    """
    chosen, report = options or PreprocessOptions(), Reporter(progress)
    steps_until(until)  # refuses what is no map before anything is read
    loaded = _loaded(inputs, output, chosen, report.span(0.0, 0.15), on_loaded)
    with opened(output, loaded.mark, overwrite=overwrite) as folder:
        study = _preprocessed(loaded, folder, chosen, report.span(0.15, 1.0), output, until)
    return replace(study, folder=output)


@dataclass(frozen=True, eq=False)
class _Loaded:
    """What was handed in, read and found usable."""

    acquisition: Acquisition
    given: MapSet
    inputs: Inputs
    mark: str

    @property
    def measures_r2prime(self) -> bool:
        """Whether R2′ will be more than a convention."""
        return self.acquisition.spin_echo is not None or bool({"r2", "r2prime"} & self.given.keys())


def _loaded(inputs: Inputs, output: Path, options: PreprocessOptions, report: Reporter, on_loaded: OnLoaded) -> _Loaded:
    """Read everything, and refuse what cannot be used before anything is written."""
    check_apart(output, (path for paths in inputs.roles.values() for path in paths))
    mark = fingerprint(inputs.roles, {"load": asdict(inputs.load), "preprocess": asdict(options)})
    brought = inputs.given_maps()
    acquisition = load_acquisition(
        inputs.gre, gre_phase=inputs.gre_phase, se=inputs.se, flair=inputs.flair, options=inputs.load, report=report
    )
    check_reconstructable(acquisition)
    given = checked_maps(acquisition, brought, options)
    if on_loaded is not None:
        on_loaded(acquisition)
    return _Loaded(acquisition, given, inputs, mark)


def _preprocessed(
    loaded: _Loaded, folder: RunFolder, options: PreprocessOptions, report: Reporter, output: Path, until: str | None
) -> Study:
    """Every map, computed or found complete, on disk with its record."""
    started, acquisition, given = time.perf_counter(), loaded.acquisition, loaded.given
    kept = {} if folder.path == output else untouched_maps(output, loaded.inputs, options, given.grid)
    there = {**kept, **folder.complete_maps(given.grid)}
    maps = preprocess(
        acquisition,
        options=options,
        given=given.including(*(one for name, one in there.items() if name not in given)),
        progress=report.span(0.0, 0.9).forward,
        on_map=lambda one: folder.keep(one, acquisition.scan),
        until=until,
    )
    for name in {**kept, **given.maps}:
        folder.keep(maps[name], acquisition.scan)
    if until is not None:
        return Study(acquisition, maps, {}, folder.path, folder.mark)
    report("quality", 0.9)
    quality = quality_record(acquisition, maps)
    notes = drawn_page(folder, quality, acquisition, maps)
    report("flair", 0.95)
    flair, doubts = place_flair(acquisition, maps, options.registration, report.span(0.95, 1.0))
    study = Study(acquisition, maps, {}, folder.path, folder.mark, quality, flair, (*notes, *doubts))
    for name, image in study.images.items():
        folder.keep_image(name, image)
    _record(
        folder,
        study,
        loaded.inputs.roles,
        {"preprocess": asdict(options)},
        {"preprocess": time.perf_counter() - started},
    )
    return study


def place_flair(
    acquisition: Acquisition, maps: MapSet, options: RegistrationOptions, report: Reporter
) -> tuple[Registered | None, tuple[str, ...]]:
    """Register the FLAIR to the GRE; where that fails it stays where the scanner says, with a warning."""
    if acquisition.flair is None:
        return None, ()
    gre = Image(maps.array("magnitude"), maps.grid)
    try:
        placed = register_to_gre(acquisition.flair, gre, maps.array("brain_mask"), options, report)
        placed.alignment.check_resemblance("FLAIR")
    except InputError as error:
        return None, (f"FLAIR is shown where the scanner says, not registered. {error}",)
    return placed, tuple(f"FLAIR: {text}" for text in placed.alignment.warnings)


def run_reconstruct(
    study: Study,
    methods: tuple[str, ...],
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    r2prime_source: R2PrimeSource = "maps",
    progress: Progress | None = None,
    overwrite: bool = False,
) -> Study:
    """Compute χ maps by one or several methods and write each into its own folder.

    Parameters
    ----------
    study : Study
        With the maps that the methods need.
    methods : tuple of str
        Names from ``chisep methods``, or "auto".
    options : mapping, optional
        By method, its options by name; also those of ``r2primenet``, which may make R2′.
    r2prime_source : {"maps", "r2primenet"}
        Where every method takes R2′ from: the maps, or R2* by R2PRIMEnet, whose map gets a folder of its own.
    progress : callable, optional
        Receives a status; returning ``False`` cancels.
    overwrite : bool
        Replace another run's results in the folder, which stay there until the new ones are complete.

    Raises
    ------
    InputError
        If a method is unknown, a map or weights are missing, or the folder holds another run or another R2′'s χ maps.
    """
    has_r2prime = r2prime_source == R2PRIMENET or has_measured_r2prime(study.maps)
    names, doubts = resolved(methods, options, study.maps.scan, has_r2prime=has_r2prime)
    study = replace(study, notes=(*study.notes, *doubts))
    chosen, mark = chosen_methods(names, options, r2prime_source), fingerprint_with(study.mark, r2prime_source)
    check_weights(chosen, study.maps.scan)
    check_one_source(study.folder, study.mark, mark)
    with opened(study.folder, mark, overwrite=overwrite) as folder:
        done = _reconstructed(replace(study, mark=mark), folder, chosen, r2prime_source, Reporter(progress))
    return replace(done, folder=study.folder)


def _reconstructed(
    study: Study, folder: RunFolder, chosen: Mapping[str, Any], r2prime_source: R2PrimeSource, report: Reporter
) -> Study:
    """χ maps by every method, on disk with their record; what R2PRIMEnet made of R2* serves those after it."""
    results, seconds, inputs = dict(study.results), {}, study
    for number, (name, options) in enumerate(chosen.items()):
        started, method = time.perf_counter(), get(name)
        turned = study.orientations if name == R2PRIMENET == r2prime_source else ()
        start, width = number / len(chosen), 1 / len(chosen) / (1 + len(turned))
        part, *parts = [report.span(start + one * width, start + (one + 1) * width) for one in range(1 + len(turned))]
        maps = inputs.maps_with_echoes if "gre_magnitude" in method.needs else inputs.maps
        found = reconstruct(maps, method=name, options=options, progress=part.forward,
                            orientations=inputs.orientations if method.orientations > 1 else ())  # fmt: skip
        results[name] = inputs.maps.including(*(found[made] for made in method.gives))
        if name == R2PRIMENET == r2prime_source:
            orientations = tuple(reconstruct(one, method=name, options=options, progress=each.forward)
                                 for one, each in zip(turned, parts, strict=True))  # fmt: skip
            inputs = replace(study, maps=results[name], orientations=orientations)
        folder.extend_record({"state": "started", "methods": {name: {"maps": []}}})  # if killed, no map is unlisted
        for made in method.gives:
            folder.keep(found[made], study.maps.scan, name)
        seconds[name] = time.perf_counter() - started
        _extend_record(folder, replace(study, results=results), seconds)
    folder.extend_record({"state": "done"})
    return replace(study, results=results)


def study_from_maps(
    maps_folder: Path, output: Path, orientations: Sequence[Path] = (), progress: Progress | None = None
) -> Study:
    """Study that starts from maps on disk instead of an acquisition.

    Parameters
    ----------
    maps_folder : Path
        A run's folder, its ``maps``, or any folder of maps with sidecars.
    output : Path
        Folder for the results; the run's own folder if they are to lie beside its others.
    orientations : sequence of Path
        Such folders of the head turned in the scanner; each is registered to the first.
    progress : callable, optional
        Receives a status; returning ``False`` cancels.

    Raises
    ------
    InputError
        If a folder holds no maps, or an orientation cannot be registered.
    """
    for folder in (maps_folder, *orientations):
        if not folder.is_dir():
            raise InputError("folder of maps", folder, "an existing folder", "Make it with 'chisep preprocess'.")
    maps, own = read_run(maps_folder), read_record(output).get("fingerprint")
    is_same_run = own is not None and maps_folder.resolve() in (output.resolve(), (output / MAPS).resolve())
    mark = str(own) if is_same_run else fingerprint({"maps": (maps_folder, *orientations)}, {})
    turned = read_orientations(orientations, maps, Reporter(progress))
    return Study(None, maps, {}, output, mark, orientations=turned)


def run(
    inputs: Inputs,
    output: Path,
    *,
    methods: tuple[str, ...] = ("auto",),
    options: PreprocessOptions | None = None,
    method_options: Mapping[str, Mapping[str, Any]] | None = None,
    r2prime_source: R2PrimeSource = "maps",
    progress: Progress | None = None,
    overwrite: bool = False,
    on_loaded: OnLoaded = None,
    on_maps: Callable[[Study], object] | None = None,
) -> Study:
    """Run the chain from files to χ maps on disk.

    Parameters
    ----------
    inputs : Inputs
        Data and given maps.
    output : Path
        Folder for everything that is written.
    methods : tuple of str
        Names from ``chisep methods``, or "auto".
    options : PreprocessOptions, optional
        Options of the preprocessing steps.
    method_options : mapping, optional
        By method, its options by name; also those of ``r2primenet``, which may make R2′.
    r2prime_source : {"maps", "r2primenet"}
        Where every method takes R2′ from: the maps, or R2* by R2PRIMEnet.
    progress : callable, optional
        Receives a status; returning ``False`` cancels.
    overwrite : bool
        Replace another run's results in ``output``, which stay there until the new ones are complete.
    on_loaded : callable, optional
        Gets the acquisition before anything is computed or written; it may refuse by raising an error.
    on_maps : callable, optional
        Gets the study once all maps are written, to add to its folder; that is a hidden one while another run's
        results are in ``output``.

    Returns
    -------
    Study
        Acquisition, maps and χ maps.

    Raises
    ------
    InputError, OutputError, CancelledError
        As :func:`run_preprocess` and :func:`run_reconstruct`.
    """
    check_weights(chosen_methods(methods, method_options, r2prime_source))
    steps, report = options or PreprocessOptions(), Reporter(progress)
    loaded = _loaded(inputs, output, steps, report.span(0.0, 0.13), on_loaded)
    names, doubts = resolved(methods, method_options, loaded.acquisition.scan,
                             has_r2prime=r2prime_source == R2PRIMENET or loaded.measures_r2prime)  # fmt: skip
    chosen = chosen_methods(names, method_options, r2prime_source)
    check_weights(chosen, loaded.acquisition.scan)
    with opened(output, fingerprint_with(loaded.mark, r2prime_source), overwrite=overwrite) as folder:
        study = _preprocessed(loaded, folder, steps, report.span(0.13, 0.85), output, None)
        study = replace(study, notes=(*study.notes, *doubts))
        study = _reconstructed(study, folder, chosen, r2prime_source, report.span(0.85, 1.0))
        if on_maps is not None:
            on_maps(study)
    return replace(study, folder=output)


def _record(
    folder: RunFolder, study: Study, roles: Mapping[str, tuple[Path, ...]], options: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> None:  # fmt: skip
    """Write what was done; χ maps of the same run that are there already stay listed."""
    folder.record({
        "state": "preprocessed",
        "inputs": [role for role, paths in roles.items() if paths],
        "source": dict(study.acquisition.source) if study.acquisition else {},
        "options": dict(options),
        "methods": read_record(folder.path).get("methods", {}),
        "warnings": list(study.warnings),
        "quality": asdict(study.quality) if study.quality else {},
        "flair": study.flair.alignment.summary() if study.flair else {},
        "maps": list(study.maps),
        "seconds": _rounded(seconds),
    })  # fmt: skip


def _extend_record(folder: RunFolder, study: Study, seconds: Mapping[str, float]) -> None:
    """Write which maps are complete."""
    added = {name: {"maps": list(get(name).gives), "options": dict(result[get(name).gives[0]].options)}
             for name, result in study.results.items()}  # fmt: skip
    folder.extend_record(
        {"methods": added, "warnings": list(study.warnings), "seconds": _rounded(seconds)},
        {"inputs": ["maps"], "maps": list(study.maps)},
    )


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in seconds.items()}
