"""NIfTI volumes with BIDS sidecars, or without, where the user states what they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .artifacts import Array, Grid
from .dicom.roles import (
    SHORTEST_FLUID_INVERSION_S,
    Component,
    Role,
    SequenceFacts,
    component_of,
    role_of,
    vendor_of,
)  # fmt: skip
from .dicom.stack import Header, Stack
from .errors import InputError
from .files import check_numbers, is_in_scanner_space, read_json, reading_nifti, scanner_affine
from .quantities import mhz_to_hz

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image


@dataclass(frozen=True)
class NiftiStack(Stack):
    """One volume of a 3D or 4D NIfTI file."""

    path: Path
    index: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along i, j, k."""
        i, j, k = _opened(self.path).shape[:3]
        return i, j, k

    def grid(self) -> Grid:
        """Grid of the header.

        Raises
        ------
        InputError
            If the header states no orientation, for then the direction of B0 is unknown.
        """
        image = _opened(self.path)
        if not image.header["sform_code"] and not image.header["qform_code"]:
            raise InputError("NIfTI orientation", "a header without orientation (sform and qform codes are 0)",
                             "the scanner's orientation, which tells the direction of B0",
                             "Convert the DICOM files again, or set the sform.")  # fmt: skip
        return Grid(image.shape[:3], scanner_affine(image))

    def read(self) -> Array:
        """Values scaled by the header, float32."""
        image = _opened(self.path)
        place = np.unravel_index(self.index, image.shape[3:])
        with reading_nifti(self.path):
            return np.array(image.dataobj[(..., *place)], dtype=np.float32)  # a copy: a view would keep the file open

    @property
    def notes(self) -> tuple[str, ...]:
        """A warning where the direction of B0 is a guess."""
        if is_in_scanner_space(_opened(self.path)):
            return ()
        return ("The NIfTI orientation is not marked as the scanner's (sform and qform codes differ from 1): B0 was "
                "taken along its superior axis. Confirm it.",)  # fmt: skip

    def read_unscaled(self) -> Array | None:
        """Values as stored, float32, if the header scales at all."""
        stored = _opened(self.path).dataobj
        if (stored.slope, stored.inter) == (1.0, 0.0):
            return None
        with reading_nifti(self.path):
            values = stored.get_unscaled()
        return np.asarray(values[(..., *np.unravel_index(self.index, values.shape[3:]))], dtype=np.float32)


def is_nifti(path: Path) -> bool:
    """Whether a file is called .nii or .nii.gz."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def nifti_stacks(path: Path, order: int, role: Role, component: Component) -> list[Stack]:
    """Volumes of a NIfTI file.

    Parameters
    ----------
    path : Path
        File; a JSON sidecar of the same name is read if there.
    order : int
        Its place among the files, which orders echoes of unknown time.
    role, component : Role, Component
        What it is where the sidecar is silent.

    Raises
    ------
    InputError
        If the file or its sidecar is broken, or it is not a 3D or 4D image.
    """
    shape = _opened(path).shape
    volumes = int(np.prod(shape[3:]))
    if len(shape) not in (3, 4, 5) or 0 in shape:
        raise InputError("NIfTI file", f"shape {shape}", "three axes, or four with the echoes last")
    sidecar = _sidecar(path)
    times = _listed(sidecar.get("EchoTime", []))
    if len(times) == 1:  # of a 4D file a single time says nothing about its echoes
        times = times if volumes == 1 else []
    if len(times) not in (0, volumes):
        raise InputError("JSON sidecar", f"{len(times)} echo times for the {volumes} volumes of {path.name}",
                         "one for each volume", "Correct the sidecar.")  # fmt: skip
    headers = (
        _header(sidecar, role, component, float(times[index]) if times else None, order * 1000 + index)
        for index in range(volumes)
    )
    return [NiftiStack(header, path, index) for index, header in enumerate(headers)]


def _opened(path: Path) -> Nifti1Image:
    import nibabel

    with reading_nifti(path):
        image = nibabel.load(path)
        check_numbers(path, image.dataobj.dtype)
        return image


#: Keys of a BIDS sidecar that are numbers, and that are texts.
_NUMBERS = ("ImagingFrequency", "MagneticFieldStrength", "RepetitionTime", "InversionTime", "EchoTrainLength")
_TEXTS = ("Manufacturer", "SequenceName", "PulseSequenceName", "Units")


def _sidecar(path: Path) -> dict[str, Any]:
    """BIDS keys of a file's sidecar, checked for their types; this project's own keys are translated."""
    file = path.with_name(re.sub(r"\.nii(\.gz)?$", ".json", path.name, flags=re.IGNORECASE))
    if not file.is_file():
        return {}
    content = _as_bids(read_json(file))
    for key, good, expected in (
        *((key, _is_number, "a number") for key in _NUMBERS),
        *((key, lambda value: isinstance(value, str), "a text") for key in _TEXTS),
        ("EchoTime", lambda value: all(map(_is_number, _listed(value))), "a number in seconds, or one for each echo"),
        ("ImageType", lambda value: isinstance(value, list), "a list of texts"),
        ("ScanningSequence", lambda value: isinstance(value, str | list), "a text"),
    ):
        value = content.get(key)
        if value is not None and not good(value):
            raise InputError("JSON sidecar", f"{key} {value!r} in {file.name}", expected, "Correct the sidecar.")
    return {key: value for key, value in content.items() if value is not None}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _as_bids(content: dict[str, Any]) -> dict[str, Any]:
    """Sidecar of this project's own acquisitions (``artifact``, ``echo_times_s``, …) in BIDS keys."""
    told = _OWN_ARTIFACTS.get(str(content.get("artifact")))
    if told is None:
        return content
    frequency_hz = content.get("imaging_frequency_hz")
    return {
        **told,
        "EchoTime": content.get("echo_times_s"),
        "MagneticFieldStrength": content.get("field_strength_t"),
        "ImagingFrequency": frequency_hz / 1e6 if isinstance(frequency_hz, int | float) else frequency_hz,
        "Units": content.get("unit") if content.get("unit") in ("rad", "mrad") else None,
    }


_OWN_ARTIFACTS: dict[str, dict[str, Any]] = {
    "gre_magnitude": {"ScanningSequence": "GR", "ImageType": ["DERIVED", "PRIMARY", "M"]},
    "gre_phase": {"ScanningSequence": "GR", "ImageType": ["DERIVED", "PRIMARY", "P"]},
    "se_magnitude": {"ScanningSequence": "SE", "ImageType": ["DERIVED", "PRIMARY", "M"]},
    # The role follows from the inversion time, which our own sidecar does not name.
    "flair": {"ScanningSequence": "SE_IR", "ImageType": ["DERIVED", "PRIMARY", "M"],
              "InversionTime": SHORTEST_FLUID_INVERSION_S},
}  # fmt: skip


def _header(
    sidecar: Mapping[str, Any], role: Role, component: Component, echo_time_s: float | None, order: int
) -> Header:
    facts = _facts(sidecar)
    told = role_of(facts)
    frequency_mhz, field = _number(sidecar, "ImagingFrequency"), _number(sidecar, "MagneticFieldStrength")
    return Header(
        role=role if told == Role.UNKNOWN else told,
        # The last ImageType value is the converter's own verdict.
        component=component_of(reversed(facts.image_type)) if "ImageType" in sidecar else component,
        facts=facts,
        echo_time_s=echo_time_s,
        repetition_time_s=_number(sidecar, "RepetitionTime"),
        echo_number=order,
        field_strength_t=field,
        imaging_frequency_hz=mhz_to_hz(frequency_mhz) if frequency_mhz else None,
        vendor=vendor_of(str(sidecar.get("Manufacturer", ""))),
        rescale_type=_phase_unit(sidecar),
        series="nifti",
    )


def _number(sidecar: Mapping[str, Any], key: str) -> float | None:
    value = sidecar.get(key)
    return float(value) if value else None


def _phase_unit(sidecar: Mapping[str, Any]) -> str:
    """Unit of phase: BIDS ``Units``, or the converter's note on Philips scaling."""
    philips = {0: "mrad", 1: "rad"}.get(sidecar.get("UsePhilipsFloatNotDisplayScaling", -1), "")
    units = sidecar.get("Units", "")
    return units if units in ("rad", "mrad") else philips


def _facts(sidecar: Mapping[str, Any]) -> SequenceFacts:
    image_type = sidecar.get("ImageType", [])
    return SequenceFacts(
        scanning=frozenset(re.split(r"[\\_,\s]+", "_".join(map(str, _listed(sidecar.get("ScanningSequence", ""))))))
        - {""},
        image_type=tuple(str(token) for token in image_type[2:]),
        name=f"{sidecar.get('SequenceName', '')} {sidecar.get('PulseSequenceName', '')}".strip(),
        inversion_time_s=_number(sidecar, "InversionTime"),
        echo_train_length=int(_number(sidecar, "EchoTrainLength") or 0),
    )
