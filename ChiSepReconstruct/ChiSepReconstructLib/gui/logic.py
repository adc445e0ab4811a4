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

    def start(self, maps_folder: PathLike, *, method: str = "closed-form", output: PathLike | None = None) -> Job:
        """Start the computation and return at once; parameters as in :meth:`run`."""
        require_paths("folder of maps", maps_folder, "Make the maps with the module ChiSepPreprocess.")
        folder = str(Path(maps_folder).expanduser().absolute())
        return self.launch(["reconstruct", folder, *value_options(method=method)], output)

    def run(
        self,
        maps_folder: PathLike,
        *,
        method: str = "closed-form",
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
        return wait(self.start(maps_folder, method=method, output=output), progress)
