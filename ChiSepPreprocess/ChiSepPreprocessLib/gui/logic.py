"""Logic of the module ChiSepPreprocess. Needs no Qt."""

from __future__ import annotations

from typing import Any

from ..progress import Progress
from .computation import ComputationLogic, Job, PathLike, Paths, path_options, require_paths, value_options, wait


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


class ChiSepPreprocessLogic(ComputationLogic):
    """From images to maps.

    Examples
    --------
    ``ChiSepPreprocessLogic().run(gre="/data/gre", se="/data/se")["r2star"]``
    """

    moduleName = "ChiSepPreprocess"
    folderName = "Maps"

    def start(self, *, output: PathLike | None = None, **acquisition: Any) -> Job:
        """Start the computation and return at once; parameters as in :meth:`run`."""
        return self.launch(["preprocess", *acquisition_options(**acquisition)], output)

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
            field_strength_t=field_strength_t, phase_unit=phase_unit, output=output,
            overwrite=overwrite,
        )  # fmt: skip
        return wait(job, progress)
