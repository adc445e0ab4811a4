"""The simulated examination as an object, and on disk as NIfTI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ChiSepPreprocessLib.artifacts import Acquisition, MapSet
from ChiSepPreprocessLib.files import write_json, write_map, write_nifti

from .geometry import Volume
from .options import PhantomOptions
from .tissues import TISSUES


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """Truth of one lesion; its number is its label in the truth's ``lesions``."""

    number: int
    para: str
    dia: str
    rim: bool
    para_contrast_ppb: float
    dia_contrast_ppb: float
    volume_mm3: float
    centre_mm: tuple[float, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Phantom:
    """A simulated examination.

    Parameters
    ----------
    acquisition : Acquisition
        What the scanner recorded.
    truth : MapSet
        Susceptibilities, rates, fields and masks on the GRE's grid; zero outside the brain but ``total_field``.
    labels : ndarray of int16, shape (I, J, K)
        Labels of :data:`ChiSepPhantoms.tissues.TISSUES`; lesions from 101 on.
    lesions : tuple of Lesion
        The lesions' truth.
    options : PhantomOptions
        What was asked for.
    iron : mapping
        This subject's factor on the iron of each nucleus.
    noise_sigma : float
        Standard deviation of the GRE's noise in each channel.
    """

    acquisition: Acquisition
    truth: MapSet
    labels: Volume
    lesions: tuple[Lesion, ...]
    options: PhantomOptions
    iron: Mapping[str, float]
    noise_sigma: float


def write_nifti_study(phantom: Phantom, folder: Path) -> None:
    """Write the acquisition as NIfTI with JSON sidecars: ``gre_magnitude``, ``gre_phase``, ``se_magnitude``, ``flair``.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    one = phantom.acquisition
    scan = {
        "echo_times_s": one.scan.echo_times_s,
        "field_strength_t": one.scan.field_strength_t,
        "imaging_frequency_hz": one.scan.imaging_frequency_hz,
        "b0_direction_ijk": one.scan.b0_direction_ijk,
    }
    for name, data, unit in (("gre_magnitude", one.gre_magnitude, "a.u."), ("gre_phase", one.gre_phase, "rad")):
        write_nifti(folder / f"{name}.nii.gz", data, one.grid)
        write_json(folder / f"{name}.json", {"artifact": name, "unit": unit, **scan})
    if one.spin_echo is not None:
        write_nifti(folder / "se_magnitude.nii.gz", one.spin_echo.magnitude, one.spin_echo.grid)
        note = {"artifact": "se_magnitude", "unit": "a.u.", "echo_times_s": one.spin_echo.echo_times_s}
        write_json(folder / "se_magnitude.json", note)
    if one.flair is not None:
        write_nifti(folder / "flair.nii.gz", one.flair.data, one.flair.grid)
        write_json(folder / "flair.json", {"artifact": "flair", "unit": "a.u."})


def write_truth(phantom: Phantom, folder: Path) -> None:
    """Write the truth's maps with sidecars, ``labels.nii.gz`` with ``labels.json``, and ``lesions_truth.json``.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    for one in phantom.truth.values():
        write_map(one, phantom.truth.scan, folder)
    write_nifti(folder / "labels.nii.gz", phantom.labels, phantom.acquisition.grid)
    names = {name: tissue.label for name, tissue in TISSUES.items()}
    write_json(folder / "labels.json", {"labels": names, "iron": dict(phantom.iron)})
    note = {"lesions": [asdict(lesion) for lesion in phantom.lesions], "options": asdict(phantom.options)}
    write_json(folder / "lesions_truth.json", note)
