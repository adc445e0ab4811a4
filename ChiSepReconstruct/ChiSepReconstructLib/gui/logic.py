"""Logic of the module ChiSepReconstruct. Needs no Qt."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.gui.computation import (
    ComputationLogic,
    Job,
    Loader,
    PathLike,
    Paths,
    load_maps,
    path_options,
    require_paths,
    value_options,
    wait,
)
from ChiSepPreprocessLib.gui.worker import ChildProcess, cli_command, python_executable
from ChiSepPreprocessLib.progress import Progress

from ..methods import METHODS, R2PRIMENET
from ..refined import SeparationNetworkOptions
from .volume_inputs import JobOnVolumes, check_volumes, scan_of

Command = Callable[[Sequence[str]], Sequence[str]]

#: In place of a method's name, device or set of weights: the program chooses.
AUTOMATIC = "auto"

#: Methods that run networks.
NETWORK_METHODS = tuple(name for name, method in METHODS.items() if method.networks)

#: Methods that can correct what their networks made.
REFINABLE = tuple(name for name, method in METHODS.items() if issubclass(method.options_type, SeparationNetworkOptions))


def expanded(names: Sequence[str]) -> tuple[str, ...]:
    """Names of methods with those that "auto" may become in its place."""
    several = [REFINABLE if name == AUTOMATIC else (name,) for name in names]
    return tuple(dict.fromkeys(name for group in several for name in group))


def refinement_options(method: str, refine: bool) -> dict[str, dict[str, bool]]:
    """What the options file says about refinement.

    Parameters
    ----------
    method : str
        Name, or several joined by commas.
    refine : bool
        Whether those that can shall refine; without it there is nothing to say.

    Raises
    ------
    InputError
        If none of them can. "auto" can, for it may become one that can.
    """
    names = [name.strip() for name in method.split(",")]
    refined = [name for name in expanded(names) if name in REFINABLE] if refine else []
    if refine and not refined:
        raise InputError("refine", f"it with {method}", f"a method of {', '.join(REFINABLE)}",
                         "Choose one of these, or leave the refinement off.")  # fmt: skip
    return {name: {"refine": True} for name in refined}


def with_refinement(options: Mapping[str, Any] | None, method: str, refine: bool) -> dict[str, Any]:
    """Content of the options file: what is given, and refinement beside the methods' other options.

    Raises
    ------
    InputError
        As :func:`refinement_options`.
    """
    content = dict(options or {})
    for name, added in refinement_options(method, refine).items():
        content[name] = {**content.get(name, {}), **added}
    return content


def with_networks(
    options: Mapping[str, Any] | None, method: str, *, weights: str = "", resolution: str = "fast",
    device: str = AUTOMATIC,
) -> dict[str, Any]:  # fmt: skip
    """Content of the options file: what is given, and how networks run for every method that runs some.

    Parameters
    ----------
    options : mapping, optional
        By method; what it says of weights, resolution or device stays.
    method : str
        Name, or several joined by commas.
    weights, resolution, device : str
        As in :class:`..networks.options.NetworkOptions`; what is the default is not written.
    """
    chosen: dict[str, Any] = {"weights": weights} if weights else {}
    if resolution != "fast":
        chosen["resolution"] = resolution
    if device != AUTOMATIC:
        chosen["engine"] = {"device": device}
    content = dict(options or {})
    names = [name for name in (*expanded(method.split(",")), R2PRIMENET) if name in NETWORK_METHODS]
    for name in names if chosen else ():
        own = dict(content.get(name, {}))
        engine = {**chosen.get("engine", {}), **own.get("engine", {})}
        content[name] = {**chosen, **own, **({"engine": engine} if engine else {})}
    return content


def task_command(arguments: Sequence[str]) -> list[str]:
    """Give the command that runs a side task of the panel in a child."""
    return [python_executable(), "-m", "ChiSepReconstructLib.gui.tasks", *arguments]


class ChiSepReconstructLogic(ComputationLogic):
    """From maps to susceptibility maps.

    Parameters
    ----------
    command, load
        As in :class:`ComputationLogic`.
    task_command : callable, optional
        Turns the arguments of a side task into a command to start.

    Examples
    --------
    ``ChiSepReconstructLogic().run("/data/maps")["chi_para"]``
    """

    moduleName = "ChiSepReconstruct"
    folderName = "χ maps"

    def __init__(
        self, command: Command = cli_command, load: Loader = load_maps, task_command: Command = task_command
    ) -> None:
        super().__init__(command, load)
        self._task_command = task_command

    def start(
        self,
        maps_folder: PathLike,
        *,
        method: str = "auto",
        r2prime_source: str = "maps",
        refine: bool = False,
        options: Mapping[str, Any] | None = None,
        output: PathLike | None = None,
        orientations: Paths = None,
        overwrite: bool = False,
    ) -> Job:
        """Start the computation and return at once; parameters as in :meth:`run`."""
        require_paths("folder of maps", maps_folder, "Make the maps with the module ChiSepPreprocess.")
        folder = str(Path(maps_folder).expanduser().absolute())
        chosen = value_options(method=method, r2prime_source=r2prime_source)
        chosen += path_options(orientation=orientations) + (["--overwrite"] if overwrite else [])
        return self.launch(["reconstruct", folder, *chosen], output, with_refinement(options, method, refine))

    def start_from_volumes(
        self,
        volumes: Mapping[str, Any],
        *,
        field_strength_t: str,
        echo_times_ms: str,
        imaging_frequency_mhz: str = "",
        in_scanner_space: bool = False,
        **chosen: Any,
    ) -> Job:
        """Start the computation on volumes of the scene and return at once.

        Parameters
        ----------
        volumes : mapping of str to vtkMRMLScalarVolumeNode
            By artifact, in the artifact's unit.
        field_strength_t, echo_times_ms, imaging_frequency_mhz : str
            Of the scan, which volumes do not keep; several echo times with commas. Fields in ppm refer to the imaging
            frequency, without it to the nominal field strength.
        in_scanner_space : bool
            State that the volumes lie as in the scanner, where they do not tell.
        **chosen
            As in :meth:`start`.

        Raises
        ------
        InputError
            If a volume or the scan cannot be used.
        """
        refinement_options(chosen.get("method", ""), chosen.get("refine", False))
        grid = check_volumes(volumes, in_scanner_space=in_scanner_space)
        scan = scan_of(grid, field_strength_t=field_strength_t, echo_times_ms=echo_times_ms,
                       imaging_frequency_mhz=imaging_frequency_mhz)  # fmt: skip
        return JobOnVolumes(
            volumes, scan, lambda folder: self.start_task("write_maps", folder=str(folder)),
            lambda folder: self.start(folder, **chosen),
        )  # fmt: skip

    def run_from_volumes(
        self, volumes: Mapping[str, Any], *, progress: Progress | None = None, **chosen: Any
    ) -> dict[str, Any]:
        """Compute the susceptibility maps of volumes of the scene and load them as volume nodes.

        Parameters
        ----------
        volumes : mapping of str to vtkMRMLScalarVolumeNode
            By artifact, in the artifact's unit.
        progress : callable, optional
            Receives each :class:`Status`; returning ``False`` cancels.
        **chosen
            As in :meth:`start_from_volumes`.

        Returns
        -------
        dict of str to vtkMRMLNode
            By artifact.

        Raises
        ------
        InputError
            If a volume or the scan cannot be used.
        CancelledError
            If ``progress`` returned ``False``.
        ComputationError
            If the computation failed.
        """
        return wait(self.start_from_volumes(volumes, **chosen), progress)

    def start_task(self, task: str, /, **content: Any) -> ChildProcess:
        """Start a side task of :mod:`.tasks` and return at once.

        Raises
        ------
        MissingDependencyError
            If the child cannot be started.
        """
        return ChildProcess(self._task_command([task, json.dumps(content)]))

    def run(
        self,
        maps_folder: PathLike,
        *,
        method: str = "auto",
        r2prime_source: str = "maps",
        refine: bool = False,
        options: Mapping[str, Any] | None = None,
        output: PathLike | None = None,
        orientations: Paths = None,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Compute the susceptibility maps in a child process and load them as volume nodes.

        Parameters
        ----------
        maps_folder : path
            Maps as NIfTI with sidecars.
        method : str
            Name as ``chisep methods`` lists it, several joined by commas, or "auto".
        r2prime_source : {"maps", "r2primenet"}
            Where R2′ comes from: the maps, or R2* by R2PRIMEnet.
        refine : bool
            Correct what χ-sepnet made where field and R2′ contradict it, beyond the range of its training.
        options : mapping, optional
            What an options file holds: ``{"closed-form": {"relaxivity": "kim2025"}}``.
        output : path, optional
            Folder for the maps; by default they are kept in the scene only.
        orientations : paths, optional
            Folders of maps of the head turned in the scanner, for COSMOS methods.
        overwrite : bool
            Replace another run's results in the output folder.
        progress : callable, optional
            Receives each :class:`Status`; returning ``False`` cancels.

        Returns
        -------
        dict of str to vtkMRMLNode
            By artifact.

        Raises
        ------
        InputError
            If no folder is given, or ``refine`` is set and the method cannot.
        CancelledError
            If ``progress`` returned ``False``.
        ComputationError
            If the computation failed.
        """
        job = self.start(
            maps_folder, method=method, r2prime_source=r2prime_source, refine=refine, options=options, output=output,
            orientations=orientations, overwrite=overwrite,
        )  # fmt: skip
        return wait(job, progress)
