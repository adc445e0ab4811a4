"""The main job on a simulated patient, whose truth is known."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ChiSepPreprocessLib.errors import InputError, MissingDependencyError
from ChiSepPreprocessLib.files import write_json
from ChiSepPreprocessLib.progress import Progress, Reporter
from ChiSepReconstructLib.evaluation.evaluate import evaluate

from .console import Console
from .presentation import Extras, present
from .run_folder import read_run
from .study import Study
from .workflow import Inputs, run

#: Tells that a folder was written by the simulation.
_MARK = "simulated.json"

#: Both pipelines of the χ-sepnet paper.
_METHODS = ("chi-sepnet-r2prime", "chi-sepnet-r2star")

#: Coarse enough for two minutes on two cores, fine enough to show nuclei and lesions.
DEMO_PATIENT: dict[str, Any] = {
    "voxel_size_mm": (1.4, 1.4, 1.6),
    "fine_mm": 0.8,
    "tilt_deg": (12.0, -5.0, 3.0),
    "se_voxel_size_mm": (1.4, 1.4, 2.8),
    "flair_voxel_size_mm": (1.4, 1.4, 1.6),
}


def write_patient(
    output: Path, *, dicom: bool, vendor: str = "siemens", progress: Progress | None = None, **options: Any
) -> None:
    """Simulate a patient and write the data as DICOM or NIfTI, with the truth beside them.

    Parameters
    ----------
    output : Path
        Gets ``dicom/`` or ``nifti/``, and ``truth/``.
    dicom : bool
        DICOM series instead of NIfTI.
    vendor : {"siemens", "philips"}
        Style of the DICOM.
    progress : callable, optional
        Receives a status; returning ``False`` cancels.
    **options
        Of :class:`ChiSepPhantoms.PhantomOptions`.

    Raises
    ------
    MissingDependencyError
        If the simulation's own requirements are not installed.
    InputError
        If an option cannot be simulated.
    OutputError
        If the folder cannot be written.
    """
    try:
        from ChiSepPhantoms import PhantomOptions, simulate, write_dicom_study, write_nifti_study, write_truth
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"The simulated patient needs {error.name}: pip install 'chiseparation[demo]'."
        ) from error
    report = Reporter(progress)
    patient = simulate(PhantomOptions(**options), report.span(0.0, 0.85))
    report("write", 0.85)
    if dicom:
        write_dicom_study(patient, output / "dicom", vendor=vendor)
    else:
        write_nifti_study(patient, output / "nifti")
    write_truth(patient, output / "truth")
    write_json(output / _MARK, {"simulated": True})
    report("done", 1.0)


def _make_room(patient: Path) -> None:
    """Remove an earlier demonstration's patient, and nothing that anyone else put there."""
    if (patient / _MARK).is_file():
        shutil.rmtree(patient)
    elif patient.exists():
        raise InputError("folder of the demonstration", f"{patient}, which no demonstration made", "a new folder",
                         "Choose another one with -o.")  # fmt: skip


def run_demo(output: Path, *, seed: int, console: Console) -> Study:
    """Simulate, reconstruct from DICOM, compare with the truth, show.

    Raises
    ------
    InputError, OutputError, MissingDependencyError, CancelledError
        As the steps do.
    """
    patient, report = output / "patient", Reporter(console.progress)
    _make_room(patient)
    write_patient(patient, dicom=True, seed=seed, progress=report.span(0.0, 0.35).forward, **DEMO_PATIENT)
    inputs = Inputs(gre=(patient / "dicom",))
    truth = read_run(patient / "truth")

    def show(study: Study) -> None:
        found = {name: evaluate(result, truth) for name, result in study.results.items()}
        extras = Extras(lesions=patient / "truth" / "lesions.nii.gz", evaluation=_rows(found), simulated=True)
        for problem in present(study, extras, progress=report.span(0.8, 1.0).forward):
            console.warning(problem)

    return run(inputs, output, methods=_METHODS, progress=report.span(0.35, 0.8).forward, overwrite=True, on_maps=show)


def _rows(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, float]]:
    """Metrics by row, as the report shows them."""
    return {
        f"{method}: {name}": {key: float(value) for key, value in one.items() if isinstance(value, float)}
        for method, maps in found.items()
        for name, one in maps.items()
    }
