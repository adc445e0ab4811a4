"""The simulated patient in Slicer's module Sample Data: made on this computer, by a child process, when it is chosen.

Needs no Qt. The child process runs this file: ``python -m ChiSeparationLib.gui.sample_data -o FOLDER``.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ChiSepPreprocessLib import __version__
from ChiSepPreprocessLib.errors import CancelledError, ChiSepError, InputError
from ChiSepPreprocessLib.gui.computation import ComputationLogic, Job, Loader, PathLike, wait
from ChiSepPreprocessLib.gui.installation import ensure
from ChiSepPreprocessLib.gui.requirements import Missing, let_the_window_live
from ChiSepPreprocessLib.gui.worker import Result, python_executable, say
from ChiSepPreprocessLib.progress import Progress, Reporter, Status

CATEGORY = "ChiSeparation"
#: Part of the requirements that the simulation needs beyond a plain run.
PART = "sample-data"
#: Under Slicer's temporary folder; the patient of another version may differ.
_FOLDER = f"chisep-simulated-patient-{__version__}"
#: Appears last, so that a folder without it is not whole.
_IMAGES = "images"


def sample_command(arguments: Sequence[str]) -> list[str]:
    """Give the command that makes the patient in a child."""
    return [python_executable(), "-m", __name__, *arguments]


def load_patient(result: Result, folder_name: str) -> Mapping[str, Any]:
    """Load the patient's images and lesions, and fill them in as the input of the module ChiSeparation.

    Parameters
    ----------
    result : Result
        Of the child process.
    folder_name : str
        Of the folder in the scene.

    Returns
    -------
    mapping of str to vtkMRMLNode
        The first echoes, FLAIR, and ``lesions``, the truth as a segmentation.
    """
    from ChiSepPreprocessLib.artifacts import Image
    from ChiSepPreprocessLib.files import read_map, read_nifti
    from ChiSepPreprocessLib.scene.nodes import add_image, add_lesions, put_in_folder
    from ChiSepPreprocessLib.scene.session import current_scene

    from .logic import ChiSeparationLogic

    scene, nodes = current_scene(), {}
    for path in sorted((result.output / _IMAGES).glob("*.nii.gz")):
        name = path.name.removesuffix(".nii.gz")
        nodes[name] = add_image(scene, name, Image(*read_nifti(path)))
        put_in_folder(scene, nodes[name], folder_name)
    lesions = read_map(result.output / "truth", "lesions")[0]
    nodes["lesions"] = add_lesions(scene, lesions, folder_name=folder_name)
    ChiSeparationLogic().getParameterNode().SetParameter("gre", str(result.output / "dicom"))
    return nodes


class SimulatedPatientLogic(ComputationLogic):
    """Makes a simulated patient with lesions, whose truth is known.

    Examples
    --------
    ``SimulatedPatientLogic().run("/data/patient")["flair"]``
    """

    moduleName = "ChiSeparation"
    folderName = "Simulated patient"

    def __init__(
        self, command: Callable[[Sequence[str]], Sequence[str]] | None = None, load: Loader = load_patient
    ) -> None:
        super().__init__(command or sample_command, load)

    def start(self, output: PathLike) -> Job:
        """Start the simulation and return at once; parameters as in :meth:`run`."""
        return self.launch([], output)

    def start_afresh(self, folder: Path) -> Job:
        """Start the simulation in a folder of :func:`patient_folder`, without what a cancelled one left there."""
        shutil.rmtree(folder, ignore_errors=True)
        return self.start(folder)

    def run(self, output: PathLike, *, progress: Progress | None = None) -> dict[str, Any]:
        """Make the patient in a child process, as DICOM with its truth, and load it.

        Parameters
        ----------
        output : path
            New or empty folder for ``dicom``, ``truth`` and ``images``.
        progress : callable, optional
            Receives each :class:`Status`; returning ``False`` cancels.

        Returns
        -------
        dict of str to vtkMRMLNode
            As :func:`load_patient` gives them.

        Raises
        ------
        CancelledError
            If ``progress`` returned ``False``.
        ComputationError
            If the simulation failed, or the folder holds something.
        """
        return wait(self.start(output), progress)


# In Slicer


def patient_folder() -> Path:
    """Folder in which the application keeps the patient until it ends."""
    import slicer

    return Path(slicer.app.temporaryPath) / _FOLDER


def is_made(folder: Path) -> bool:
    """Whether a folder holds the whole patient."""
    return (folder / _IMAGES).is_dir()


def register(thumbnail: str = "") -> None:
    """Add the patient to the module Sample Data; to be called once the application has started. Makes nothing yet.

    Parameters
    ----------
    thumbnail : str, optional
        Picture for the button.
    """
    import SampleData
    from slicer.i18n import tr as _

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=_("Simulated patient with lesions (made on this computer)"),
        # Slicer asks for an address and a file; nothing is downloaded, as the patient is made by the last argument.
        uris="made-on-this-computer:simulated-patient",
        fileNames=_FOLDER,
        nodeNames="flair",
        thumbnailFileName=thumbnail or None,
        customDownloader=make_and_load,
    )


def make_and_load(source: Any = None, logic: SimulatedPatientLogic | None = None) -> list[Any]:
    """Make the patient with a progress dialog, if it was not made before, and load it; errors are shown.

    Parameters
    ----------
    source : SampleDataSource, optional
        Given by Slicer.
    logic : SimulatedPatientLogic, optional
        Makes the patient.

    Returns
    -------
    list of vtkMRMLNode
        What was loaded; empty after an error, or if the user cancelled.
    """
    import slicer
    from slicer.i18n import tr as _

    dialog = slicer.util.createProgressDialog(
        windowTitle=_("Simulated patient"), labelText=_("Making a simulated patient…"), autoClose=False
    )
    try:
        return list(_made(logic or SimulatedPatientLogic(), patient_folder(), dialog).values())
    except CancelledError:
        return []
    except ChiSepError as error:
        slicer.util.errorDisplay(str(error), detailedText=getattr(error, "details", ""))
        return []
    finally:
        dialog.close()


def _made(logic: SimulatedPatientLogic, folder: Path, dialog: Any) -> dict[str, Any]:
    def show(status: Status) -> bool:
        dialog.value = round(100 * status.fraction)
        dialog.labelText = status.detail or status.step
        return not dialog.wasCanceled

    if is_made(folder):
        return dict(load_patient(Result(folder, ()), logic.folderName))
    ensure(PART, ask=_agrees, progress=show)
    with logic.start_afresh(folder) as job:
        while not job.finished:
            let_the_window_live()
            for event in job.poll():
                if isinstance(event, Status):
                    show(event)
            if dialog.wasCanceled:
                job.cancel()
        return job.nodes()


def _agrees(lacking: Sequence[Missing]) -> bool:
    import slicer
    from slicer.i18n import tr as _

    question = _("These Python packages are missing: {names}. Install them into Slicer now?")
    return bool(slicer.util.confirmOkCancelDisplay(question.format(names=", ".join(map(str, lacking)))))


# In the child


def make(folder: Path, progress: Progress | None = None) -> None:
    """Simulate the patient of the demonstration and write it: ``dicom``, ``truth`` and, last, ``images``.

    Parameters
    ----------
    folder : Path
        New or empty.
    progress : callable, optional
        Receives each :class:`Status`; returning ``False`` cancels.

    Raises
    ------
    InputError
        If the folder holds something.
    MissingDependencyError
        If the simulation's own requirements are not installed.
    OutputError
        If the folder cannot be written.
    """
    from ..demo import DEMO_PATIENT, write_patient

    if folder.is_dir() and any(folder.iterdir()):
        raise InputError("folder of the simulated patient", str(folder), "a new or empty one")
    _find_phantoms()
    report = Reporter(progress)
    write_patient(folder, dicom=True, progress=report.span(0.0, 0.9).forward, **DEMO_PATIENT)
    report("images", 0.9)
    _write_images(folder)
    report("done", 1.0)


def _find_phantoms() -> None:
    """In a clone of the repository the simulation lies beside the tests; an installed extension holds it."""
    clone = Path(__file__).resolve().parents[3] / "Testing" / "phantoms"
    if importlib.util.find_spec("ChiSepPhantoms") is None and clone.is_dir():
        sys.path.append(str(clone))


def _write_images(folder: Path) -> None:
    """Write first echoes and FLAIR, read from the DICOM, so that Slicer loads them in a moment."""
    from ChiSepPreprocessLib.files import write_nifti
    from ChiSepPreprocessLib.loading import load_acquisition

    read = load_acquisition([folder / "dicom"])
    images = {
        "gre_magnitude": (read.gre_magnitude[..., 0], read.grid),
        "gre_phase": (read.gre_phase[..., 0], read.grid),
    }
    if read.spin_echo is not None:
        images["se_magnitude"] = (read.spin_echo.magnitude[..., 0], read.spin_echo.grid)
    if read.flair is not None:
        images["flair"] = (read.flair.data, read.flair.grid)
    part = folder / f".{_IMAGES}"
    for name, (data, grid) in images.items():
        write_nifti(part / f"{name}.nii.gz", data, grid)
    part.rename(folder / _IMAGES)


def main(arguments: Sequence[str]) -> int:
    """Make the patient in the folder after ``-o``, with JSON lines as the command line writes them."""
    folder = Path(arguments[list(arguments).index("-o") + 1])
    try:
        make(folder, lambda one: say("progress", step=one.step, fraction=one.fraction, detail=one.detail))
    except (ChiSepError, ModuleNotFoundError) as error:
        say("error", message=str(error), exit_code=2)
        return 2
    say("result", output=str(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
