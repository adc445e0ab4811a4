"""Logic of the module ChiSeparation. Needs no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ChiSepPreprocessLib.gui.computation import ComputationLogic, Job, PathLike, Paths, value_options, wait
from ChiSepPreprocessLib.gui.logic import acquisition_options
from ChiSepPreprocessLib.progress import Progress
from ChiSepReconstructLib.gui.logic import with_refinement


class ChiSeparationLogic(ComputationLogic):
    """From images to susceptibility maps in one go.

    Examples
    --------
    ``ChiSeparationLogic().run(gre="/data/gre", se="/data/se")["chi_para"]``
    """

    moduleName = "ChiSeparation"
    folderName = "χ-separation"

    def start(
        self,
        *,
        method: str = "auto",
        r2prime_source: str = "maps",
        refine: bool = False,
        options: Mapping[str, Any] | None = None,
        output: PathLike | None = None,
        **acquisition: Any,
    ) -> Job:
        """Start the computation and return at once; parameters as in :meth:`run`."""
        chosen = [*acquisition_options(**acquisition), *value_options(method=method, r2prime_source=r2prime_source)]
        # Maps only, as Slicer itself is the scene and the pictures.
        return self.launch(["run", *chosen, "--maps-only"], output, with_refinement(options, method, refine))

    def run(
        self,
        gre: Paths,
        *,
        gre_phase: Paths = None,
        se: Paths = None,
        flair: Paths = None,
        mask: PathLike | None = None,
        echo_times_s: tuple[float, ...] | None = None,
        field_strength_t: float | None = None,
        phase_unit: str | None = None,
        method: str = "auto",
        r2prime_source: str = "maps",
        refine: bool = False,
        options: Mapping[str, Any] | None = None,
        output: PathLike | None = None,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Compute the whole chain in a child process and load its maps as volume nodes.

        Parameters
        ----------
        gre, gre_phase, se, flair : path or paths
            DICOM folders or NIfTI files.
        mask : path, optional
            Brain mask on the GRE's grid.
        echo_times_s : tuple of float, optional
            Where the files do not tell, s.
        field_strength_t : float, optional
            Where the files do not tell, T.
        phase_unit : str, optional
            Where the files do not tell.
        method : str
            Name as ``chisep methods`` lists it; several are joined by commas.
        r2prime_source : {"maps", "r2primenet"}
            Where the methods take R2′ from: the maps (measured, or a fallback), or R2* by R2PRIMEnet.
        refine : bool
            Correct what χ-sepnet made where field and R2′ contradict it, beyond the range of its training.
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
            If no gradient echo is given, or ``refine`` is set and no method can.
        CancelledError
            If ``progress`` returned ``False``.
        ComputationError
            If the computation failed.
        """
        job = self.start(
            gre=gre, gre_phase=gre_phase, se=se, flair=flair, mask=mask, echo_times_s=echo_times_s,
            field_strength_t=field_strength_t, phase_unit=phase_unit, method=method, r2prime_source=r2prime_source,
            refine=refine, options=options, output=output, overwrite=overwrite,
        )  # fmt: skip
        return wait(job, progress)
