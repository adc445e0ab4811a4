"""An acquisition as NIfTI files with JSON sidecars, from which :func:`.loading.load_acquisition` reads it back."""

from __future__ import annotations

from pathlib import Path

from .artifacts import Acquisition, Array, Grid, SpinEcho
from .files import write_json, write_nifti
from .progress import Reporter


def write_acquisition(acquisition: Acquisition, folder: Path, report: Reporter = Reporter()) -> None:  # noqa: B008
    """Write everything that was measured, uncompressed, as the files serve one run.

    Parameters
    ----------
    acquisition : Acquisition
        What was measured; its warnings and source are not written.
    folder : Path
        Receives ``gre_magnitude``, ``gre_phase``, ``se_magnitude`` and ``flair``, each as ``.nii`` and ``.json``.
    report : Reporter
        Progress.

    Raises
    ------
    OutputError
        If it cannot be written.
    CancelledError
        If the user stops it.
    """
    report("write", 0.0)
    scan = {
        "echo_times_s": acquisition.scan.echo_times_s,
        "field_strength_t": acquisition.scan.field_strength_t,
        "imaging_frequency_hz": acquisition.scan.imaging_frequency_hz,
        "b0_direction_ijk": acquisition.scan.b0_direction_ijk,
    }
    _write(folder, "gre_magnitude", acquisition.gre_magnitude, acquisition.grid, {"unit": "a.u.", **scan})
    report("write", 0.4)
    _write(folder, "gre_phase", acquisition.gre_phase, acquisition.grid, {"unit": "rad", **scan})
    report("write", 0.8)
    if acquisition.spin_echo is not None:
        _write_spin_echo(folder, acquisition.spin_echo)
    if acquisition.flair is not None:
        _write(folder, "flair", acquisition.flair.data, acquisition.flair.grid, {"unit": "a.u."})
    report("write", 1.0)


def _write(folder: Path, name: str, data: Array, grid: Grid, note: dict[str, object]) -> None:
    write_nifti(folder / f"{name}.nii", data, grid)
    write_json(folder / f"{name}.json", {"artifact": name, **note})


def _write_spin_echo(folder: Path, spin_echo: SpinEcho) -> None:
    """In BIDS keys, as those of this project do not tell a turbo spin echo."""
    write_nifti(folder / "se_magnitude.nii", spin_echo.magnitude, spin_echo.grid)
    write_json(folder / "se_magnitude.json", {
        "ScanningSequence": "SE",
        "ImageType": ["DERIVED", "PRIMARY", "M"],
        "SequenceName": "tse" if spin_echo.is_turbo else "",
        "EchoTime": list(spin_echo.echo_times_s),
    })  # fmt: skip
