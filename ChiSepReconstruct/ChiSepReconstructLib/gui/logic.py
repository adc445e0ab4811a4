"""Logic of the module ChiSepReconstruct. Needs no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.gui.computation import (
    ComputationLogic,
    Job,
    PathLike,
    require_paths,
    value_options,
    wait,
)
from ChiSepPreprocessLib.progress import Progress

from ..methods import METHODS
from ..refined import SeparationNetworkOptions

#: Methods that can correct what their networks made.
REFINABLE = tuple(name for name, method in METHODS.items() if issubclass(method.options_type, SeparationNetworkOptions))


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
        If none of them can.
    """
    refined = [name for name in map(str.strip, method.split(",")) if name in REFINABLE] if refine else []
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
        refine: bool = False,
        options: Mapping[str, Any] | None = None,
        output: PathLike | None = None,
    ) -> Job:
        """Start the computation and return at once; parameters as in :meth:`run`."""
        require_paths("folder of maps", maps_folder, "Make the maps with the module ChiSepPreprocess.")
        folder = str(Path(maps_folder).expanduser().absolute())
        chosen = value_options(method=method, r2prime_source=r2prime_source)
        return self.launch(["reconstruct", folder, *chosen], output, with_refinement(options, method, refine))

    def run(
        self,
        maps_folder: PathLike,
        *,
        method: str = "closed-form",
        r2prime_source: str = "maps",
        refine: bool = False,
        options: Mapping[str, Any] | None = None,
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
        refine : bool
            Correct what χ-sepnet made where field and R2′ contradict it, beyond the range of its training.
        options : mapping, optional
            What an options file holds: ``{"closed-form": {"relaxivity": "kim2025"}}``.
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
            If no folder is given, or ``refine`` is set and the method cannot.
        CancelledError
            If ``progress`` returned ``False``.
        ComputationError
            If the computation failed.
        """
        job = self.start(
            maps_folder, method=method, r2prime_source=r2prime_source, refine=refine, options=options, output=output
        )
        return wait(job, progress)
