"""Logic of the module ChiSepPreprocess. Needs no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
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
) -> list[str]:
    """Command line options that describe what was measured.

    Raises
    ------
    InputError
        If no gradient echo is given.
    """
    require_paths("multi-echo GRE", gre, "Choose the folder of the multi-echo gradient echo series.")
    return [
        *path_options(gre=gre, gre_phase=gre_phase, se=se, flair=flair, mask=mask),
        *value_options(echo_times=echo_times_s, field_strength=field_strength_t, phase_unit=phase_unit),
        *(["--overwrite"] if overwrite else []),
    ]


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
        self, *, options: Mapping[str, Any] | None = None, output: PathLike | None = None, **acquisition: Any
    ) -> Job:
        """Start the computation and return at once; parameters as in :meth:`run`."""
        return self.launch(["preprocess", *acquisition_options(**acquisition)], output, options)

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
