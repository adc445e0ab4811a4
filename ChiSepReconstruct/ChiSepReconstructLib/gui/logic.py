"""Logic of the module ChiSepReconstruct. Needs no Qt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ChiSepPreprocessLib.gui.computation import (
    ComputationLogic,
    Job,
    PathLike,
    require_paths,
    value_options,
    wait,
)
from ChiSepPreprocessLib.progress import Progress


class ChiSepReconstructLogic(ComputationLogic):
    """From maps to susceptibility maps.

    Examples
    --------
    ``ChiSepReconstructLogic().run("/data/maps")["chi_para"]``
    """

    moduleName = "ChiSepReconstruct"
    folderName = "χ maps"

    def start(
        self,
        maps_folder: PathLike,
        *,
        method: str = "closed-form",
        r2prime_source: str = "maps",
        output: PathLike | None = None,
    ) -> Job:
        """Start the computation and return at once; parameters as in :meth:`run`."""
        require_paths("folder of maps", maps_folder, "Make the maps with the module ChiSepPreprocess.")
        folder = str(Path(maps_folder).expanduser().absolute())
        options = value_options(method=method, r2prime_source=r2prime_source)
        return self.launch(["reconstruct", folder, *options], output)

    def run(
        self,
        maps_folder: PathLike,
        *,
        method: str = "closed-form",
        r2prime_source: str = "maps",
        output: PathLike | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Compute the susceptibility maps in a child process and load them as volume nodes.

        Parameters
        ----------
        maps_folder : path
            Maps as NIfTI with sidecars.
        method : str
            Name as ``chisep methods`` lists it.
        r2prime_source : {"maps", "r2primenet"}
            Where R2′ comes from: the maps, or R2* by R2PRIMEnet.
        output : path, optional
            Folder for the maps; by default they are kept in the scene only.
        progress : callable, optional
            Receives each :class:`Status`; returning ``False`` cancels.

        Returns
        -------
        dict of str to vtkMRMLNode
            By artifact.

        Raises
        ------
        InputError
            If no folder is given.
        CancelledError
            If ``progress`` returned ``False``.
        ComputationError
            If the computation failed.
        """
        return wait(self.start(maps_folder, method=method, r2prime_source=r2prime_source, output=output), progress)
