"""From a request to volume nodes: the part of the modules' logics that they share. Needs no Qt."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import InputError
from ..progress import Progress, Status
from .requirements import let_the_window_live
from .worker import Caution, ChildProcess, Event, Result, cli_command

PathLike = str | os.PathLike[str]
#: One path or several.
Paths = PathLike | Iterable[PathLike] | None
#: Windows takes 32767 characters for everything.
_LONGEST_COMMAND = 16_000
#: Turns a result and the name of its folder in the scene into nodes by artifact.
Loader = Callable[[Result, str], Mapping[str, Any]]


def path_options(**paths: Paths) -> list[str]:
    """Command line options for paths: ``gre_phase=("a", "b")`` gives ``--gre-phase a --gre-phase b``.

    Paths are made absolute; ``None`` and empty paths are left out.
    """
    options = []
    for name, given in paths.items():
        several = [given] if isinstance(given, str | os.PathLike) else list(given or ())
        for one in several:
            if os.fspath(one):
                options += [f"--{name.replace('_', '-')}", str(Path(one).expanduser().absolute())]
    return options


def value_options(**values: object) -> list[str]:
    """Command line options for values; sequences are joined by commas, ``None`` and ``""`` are left out."""
    options = []
    for name, value in values.items():
        joined = ",".join(map(str, value)) if isinstance(value, tuple | list) else value
        if joined is not None and joined != "":
            options += [f"--{name.replace('_', '-')}", str(joined)]
    return options


def load_maps(result: Result, folder_name: str) -> Mapping[str, Any]:
    """Load the maps of a result into the current scene.

    Parameters
    ----------
    result : Result
        Its folder holds maps, or one folder of maps for each step and method.
    folder_name : str
        Of the folder in the scene; a method's maps get their own.

    Returns
    -------
    mapping of str to vtkMRMLNode
        By artifact, of several methods that make the same artifact those of the first; and the images by name.

    Raises
    ------
    InputError
        If there are no maps.
    """
    from ..files import read_mapset
    from ..scene.nodes import add_maps
    from ..scene.session import current_scene

    nodes: dict[str, Any] = {}
    for folder in _folders_of_maps(result.output):
        is_plain = folder in (result.output, result.output / "maps")
        name = folder_name if is_plain else f"{folder_name}: {folder.name}"
        for artifact, node in add_maps(current_scene(), read_mapset(folder), folder_name=name).items():
            nodes.setdefault(artifact, node)
    return {**nodes, **_load_images(result.output / "images", folder_name)}


def _load_images(folder: Path, folder_name: str) -> dict[str, Any]:
    """Load the anatomical images that the maps are shown on."""
    from ..artifacts import Image
    from ..files import read_nifti
    from ..scene.nodes import add_image, put_in_folder
    from ..scene.session import current_scene

    nodes = {}
    for path in sorted(folder.glob("*.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        nodes[name] = add_image(current_scene(), name, Image(*read_nifti(path)))
        put_in_folder(current_scene(), nodes[name], folder_name)
    return nodes


def _folders_of_maps(output: Path) -> list[Path]:
    """Find the folders of maps: the one itself, or those that one step or method has written below it."""
    from ..artifacts import ARTIFACTS
    from ..files import is_complete

    below = sorted((one for one in output.iterdir() if one.is_dir()), key=lambda one: one.stat().st_mtime_ns)
    found = [one for one in (output, *below) if any(is_complete(one, name) for name in ARTIFACTS)]
    if not found:
        raise InputError("result", f"no map in {output}", "at least one", "See the log for what happened.")
    return found


class Job:
    """A running computation whose result becomes volume nodes.

    Parameters
    ----------
    child : ChildProcess
        What computes.
    load : callable
        Turns the result into nodes.
    temporary : Path
        Folder to remove when the job is closed.

    Examples
    --------
    ``with logic.start(gre=folder) as job:`` then poll until ``job.finished`` and take ``job.nodes()``.
    """

    def __init__(self, child: ChildProcess, load: Callable[[Result], Mapping[str, Any]], temporary: Path) -> None:
        self.child, self._load, self._temporary = child, load, temporary

    @property
    def output(self) -> Path:
        """Folder of the result of a finished job; errors as of :meth:`nodes`."""
        return self.child.result().output

    def poll(self) -> list[Event]:
        """Give the events since the last call, without waiting."""
        return self.child.poll()

    @property
    def finished(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.child.finished

    def cancel(self) -> None:
        """Stop the computation and everything it started; returns within a second."""
        self.child.cancel()

    def nodes(self) -> dict[str, Any]:
        """Load the result of a finished job.

        Raises
        ------
        CancelledError
            If it was cancelled.
        ComputationError
            If it failed.
        """
        return dict(self._load(self.child.result()))

    def close(self) -> None:
        """Stop what still runs and remove temporary files."""
        self.cancel()
        shutil.rmtree(self._temporary, ignore_errors=True)

    def __enter__(self) -> Job:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ComputationLogic:
    """Runs one command of the command line in a child process; base of the three modules' logics.

    Parameters
    ----------
    command : callable, optional
        Turns the command line's arguments into a command to start.
    load : callable, optional
        Turns a result into nodes.
    """

    #: Name of the module, and of the folder in the scene that receives the nodes.
    moduleName = ""
    folderName = ""

    def __init__(
        self, command: Callable[[Sequence[str]], Sequence[str]] = cli_command, load: Loader = load_maps
    ) -> None:
        self._command, self._load = command, load

    def getParameterNode(self) -> Any:
        """Give the scene's one node that keeps this module's parameters; it is made if need be."""
        from ..scene.session import current_scene

        scene = current_scene()
        node = scene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = scene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)  # the scene holds the only reference
            node.SetSingletonTag(self.moduleName)
            node.SetName(self.moduleName)
            node = scene.AddNode(node)
        node.SetAttribute("ModuleName", self.moduleName)
        return node

    def launch(
        self, arguments: Sequence[str], output: PathLike | None, options: Mapping[str, Any] | None = None
    ) -> Job:
        """Start the command with an output folder, by default a temporary one.

        Parameters
        ----------
        arguments : sequence of str
            Of the command line, without output and options file.
        output : path or None
            Folder for the maps.
        options : mapping, optional
            What the child's options file holds.

        Raises
        ------
        MissingDependencyError
            If the child cannot be started.
        """
        temporary = Path(tempfile.mkdtemp(prefix="chisep-"))
        target = Path(output).expanduser().absolute() if output and os.fspath(output) else temporary / "output"
        try:
            file = _options_file(options or {}, temporary / "options.json")
            listed = _listed_arguments(arguments, temporary / "arguments.txt")
            child = ChildProcess(self._command([*listed, *file, "-o", str(target)]))
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return Job(child, lambda result: self._load(result, self.folderName), temporary)


def _listed_arguments(arguments: Sequence[str], path: Path) -> list[str]:
    """Put arguments into a file if they are too long for a command line, such as the files of several series."""
    if sum(map(len, arguments)) <= _LONGEST_COMMAND:
        return list(arguments)
    path.write_text("\n".join(arguments[1:]), encoding="utf-8")
    return [arguments[0], f"@{path}"]


def _options_file(options: Mapping[str, Any], path: Path) -> list[str]:
    """Write an options file, if there is anything to say, and give the arguments that name it."""
    if not options:
        return []
    path.write_text(json.dumps(options), encoding="utf-8")
    return ["--options", str(path)]


def require_paths(quantity: str, paths: Paths, hint: str) -> None:
    """Check that at least one path is given.

    Raises
    ------
    InputError
        If none is.
    """
    if not path_options(path=paths):
        raise InputError(quantity, "nothing", "a folder or file", hint)


def wait(job: Job, progress: Progress | None = None) -> dict[str, Any]:
    """Wait for a job and load its result; for scripts and the Python console.

    Parameters
    ----------
    job : Job
        From a logic's ``start``.
    progress : callable, optional
        Receives each :class:`Status`; returning ``False`` cancels.

    Raises
    ------
    CancelledError
        If ``progress`` returned ``False``.
    ComputationError
        If the computation failed.
    """
    with job:
        while not job.finished:
            _report(job, progress)
            let_the_window_live()
        _report(job, progress)
        return job.nodes()


def _report(job: Job, progress: Progress | None) -> None:
    for event in job.poll():
        if isinstance(event, Caution):
            logging.getLogger(__name__).warning("%s", event.message)
        elif isinstance(event, Status) and progress is not None and progress(event) is False:
            job.cancel()
