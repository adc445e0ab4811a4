"""Logic of the module ChiSepPreprocess. Needs no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..loading import LoadOptions
from ..progress import Progress
from .computation import (
    ComputationLogic,
    Job,
    PathLike,
    Paths,
    load_maps,
    path_options,
    require_paths,
    value_options,
    wait,
)
from .node_images import check_given, files_of, writer_of
from .prepared import PreparedJob
from .worker import Result


def acquisition_options(
    *,
    gre: Paths,
    gre_phase: Paths = None,
    se: Paths = None,
    flair: Paths = None,
    mask: PathLike | None = None,
    echo_times_s: tuple[float, ...] | None = None,
    field_strength_t: float | None = None,
    phase_unit: str | None = None,
    overwrite: bool = False,
    se_echo_times_s: tuple[float, ...] | None = None,
    flip_phase_sign: bool = False,
) -> list[str]:
    """Command line options that describe what was measured.

    Raises
    ------
    InputError
        If no gradient echo is given.
    """
    require_paths("multi-echo GRE", gre, "Choose the folder of the multi-echo gradient echo series.")
    stated = value_options(
        echo_times=echo_times_s, se_echo_times=se_echo_times_s, field_strength=field_strength_t, phase_unit=phase_unit
    )
    flags = {"--flip-phase-sign": flip_phase_sign, "--overwrite": overwrite}
    images = path_options(gre=gre, gre_phase=gre_phase, se=se, flair=flair, mask=mask)
    return [*images, *stated, *(flag for flag, is_set in flags.items() if is_set)]


def load_results(folder: PathLike, *, folder_name: str = "Maps") -> dict[str, Any]:
    """Load the maps that an earlier run has written.

    Parameters
    ----------
    folder : path
        Output folder of a run, or a folder of maps.
    folder_name : str
        Folder in the scene; each method's maps get their own.

    Returns
    -------
    dict of str to vtkMRMLNode
        By artifact, of several methods that make the same artifact those of the first; and the images by name.

    Raises
    ------
    InputError
        If there are no maps.
    """
    path = Path(folder).expanduser().absolute()
    if not path.is_dir():
        raise InputError("results", f"{path}, which is not there", "a folder", "Choose the output folder of a run.")
    return dict(load_maps(Result(path, ()), folder_name))


class ChiSepPreprocessLogic(ComputationLogic):
    """From images to maps.

    Examples
    --------
    ``ChiSepPreprocessLogic().run(gre="/data/gre", se="/data/se")["r2star"]``
    """

    moduleName = "ChiSepPreprocess"
    folderName = "Maps"

    def start(
        self,
        *,
        options: Mapping[str, Any] | None = None,
        output: PathLike | None = None,
        preset: str | None = None,
        until: str | None = None,
        **acquisition: Any,
    ) -> Job:
        """Start the computation and return at once.

        Parameters
        ----------
        options, output, **acquisition
            As in :meth:`run`.
        preset : str, optional
            Named set of options from which ``options`` start.
        until : str, optional
            Stop once this map is there, such as ``"brain_mask"``.
        """
        chosen = [*acquisition_options(**acquisition), *value_options(preset=preset, until=until)]
        return self.launch(["preprocess", *chosen], output, options)

    def start_from_nodes(
        self,
        nodes: Mapping[str, Any],
        *,
        database: Any = None,
        in_scanner_space: bool = False,
        se_is_turbo: bool = False,
        echo_times_s: tuple[float, ...] | None = None,
        se_echo_times_s: tuple[float, ...] | None = None,
        field_strength_t: float | None = None,
        phase_unit: str | None = None,
        flip_phase_sign: bool = False,
        **others: Any,
    ) -> Job:
        """Start the computation on images that are loaded in the scene, and return at once.

        Parameters
        ----------
        nodes : mapping of str to vtkMRMLNode
            Sequences of echoes, or the volumes that a browser shows of them, under ``magnitude``, ``phase`` and, where
            they are there, ``se``; the volume under ``flair``.
        database : ctkDICOMDatabase, optional
            Where there are files behind all of the nodes, these are read.
        in_scanner_space : bool
            State that nodes which do not tell where they come from were never turned.
        se_is_turbo : bool
            State that the spin echo is a turbo spin echo, where the node does not tell.
        echo_times_s, se_echo_times_s, field_strength_t, phase_unit, flip_phase_sign
            What the nodes do not tell.
        **others
            As of :meth:`start`.

        Raises
        ------
        InputError
            If magnitude or phase is missing, or a node stands under a transform.
        """
        check_given(nodes)
        files = files_of(nodes, database)
        if files:
            return self.start(
                gre=files["magnitude"], gre_phase=files["phase"], se=files.get("se"), flair=files.get("flair"),
                echo_times_s=echo_times_s, se_echo_times_s=se_echo_times_s, field_strength_t=field_strength_t,
                phase_unit=phase_unit, flip_phase_sign=flip_phase_sign, **others,
            )  # fmt: skip
        stated = LoadOptions(echo_times_s=echo_times_s, se_echo_times_s=se_echo_times_s, phase_unit=phase_unit,
                             field_strength_t=field_strength_t, flip_phase=flip_phase_sign)  # fmt: skip
        write = writer_of(nodes, stated, in_scanner_space=in_scanner_space, se_is_turbo=se_is_turbo)
        return PreparedJob(write, lambda folder: self.start(gre=folder, **others))

    def run(
        self,
        gre: Paths,
        *,
        gre_phase: Paths = None,
        se: Paths = None,
        mask: PathLike | None = None,
        echo_times_s: tuple[float, ...] | None = None,
        field_strength_t: float | None = None,
        phase_unit: str | None = None,
        options: Mapping[str, Any] | None = None,
        output: PathLike | None = None,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Compute the maps in a child process and load them as volume nodes.

        Parameters
        ----------
        gre, gre_phase, se : path or paths
            DICOM folders or NIfTI files.
        mask : path, optional
            Brain mask on the GRE's grid.
        echo_times_s : tuple of float, optional
            Where the files do not tell, s.
        field_strength_t : float, optional
            Where the files do not tell, T.
        phase_unit : str, optional
            Where the files do not tell.
        options : mapping, optional
            What an options file holds: ``{"preprocess": {"background": {"method": "pdf"}}}``.
        output : path, optional
            Folder for the maps; by default they are kept in the scene only.
        overwrite : bool
            Replace another run's results in that folder.
        progress : callable, optional
            Receives each :class:`Status`; returning ``False`` cancels.

        Returns
        -------
        dict of str to vtkMRMLNode
            By artifact.

        Raises
        ------
        InputError
            If no gradient echo is given.
        CancelledError
            If ``progress`` returned ``False``.
        ComputationError
            If the computation failed.
        """
        job = self.start(
            gre=gre, gre_phase=gre_phase, se=se, mask=mask, echo_times_s=echo_times_s,
            field_strength_t=field_strength_t, phase_unit=phase_unit, options=options, output=output,
            overwrite=overwrite,
        )  # fmt: skip
        return wait(job, progress)
