"""Lesions from a FLAIR image by a child process, and their way into the scene. Needs no Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ChiSepPreprocessLib.files import read_map, write_nifti
from ChiSepPreprocessLib.geometry.resampling import resample
from ChiSepPreprocessLib.gui.computation import ComputationLogic, Job, Loader, path_options, value_options
from ChiSepPreprocessLib.gui.prepared import PreparedJob
from ChiSepPreprocessLib.gui.worker import Result, cli_command
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.scene.session import current_scene
from ChiSepPreprocessLib.scene.volumes import array_from_node, grid_from_node

from ...scene.lesion_segments import add_lesion_segments

#: Folder in the scene that receives lesions.
FOLDER = "Lesions"
_FLAIR, _BRAIN = "flair.nii.gz", "brain_mask.nii.gz"


def load_lesions(result: Result, folder_name: str) -> Mapping[str, Any]:
    """Load the label map of the search as a segmentation with one segment for each lesion."""
    lesions = read_map(result.output, "lesions")[0]
    return {"lesions": add_lesion_segments(current_scene(), lesions, folder_name=folder_name)}


class LesionSearchLogic(ComputationLogic):
    """Looks for lesions in a FLAIR image.

    Examples
    --------
    ``wait(LesionSearchLogic().start(flair_node, 20.0))["lesions"]``
    """

    moduleName = "ChiSeparation"
    folderName = FOLDER

    def __init__(
        self, command: Callable[[Sequence[str]], Sequence[str]] = cli_command, load: Loader = load_lesions
    ) -> None:
        super().__init__(command, load)

    def start(self, flair: Any, minimum_volume_mm3: float, brain_mask: Any = None) -> Job:
        """Write the images, then start the search; returns at once.

        Parameters
        ----------
        flair : vtkMRMLScalarVolumeNode
            Image as the scene has it; 0 outside the brain unless there is a mask.
        minimum_volume_mm3 : float
            Lesions must exceed this volume, mm³.
        brain_mask : vtkMRMLVolumeNode, optional
            On any grid.

        Raises
        ------
        InputError
            If an image has no voxels or stands under a transform.
        """
        data, grid = array_from_node(flair), grid_from_node(flair)
        brain = None if brain_mask is None else (array_from_node(brain_mask) > 0, grid_from_node(brain_mask))

        def write(folder: Path, report: Reporter) -> tuple[str, ...]:
            report("write images", 0.0)
            write_nifti(folder / _FLAIR, data, grid)
            if brain is not None:
                write_nifti(folder / _BRAIN, resample(*brain, grid), grid)
            return ()

        def launch(folder: Path) -> Job:
            files = path_options(flair=folder / _FLAIR, brain_mask=None if brain is None else folder / _BRAIN)
            limit = value_options(minimum_volume_mm3=minimum_volume_mm3)
            return self.launch(["lesions", "segment", *files, *limit], None)

        return PreparedJob(write, launch)
