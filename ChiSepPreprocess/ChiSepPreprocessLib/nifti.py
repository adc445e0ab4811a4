"""NIfTI volumes with BIDS sidecars, or without, where the user states what they are."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .artifacts import Array, Grid
from .dicom.roles import Component, Role, SequenceFacts, component_of, role_of, vendor_of
from .dicom.stack import Header, Stack
from .errors import InputError
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
        return Grid(image.shape[:3], image.affine)

    def read(self) -> Array:
        """Values scaled by the header, float32."""
        image = _opened(self.path)
        place = np.unravel_index(self.index, image.shape[3:])
        with _reading_voxels():
            return np.asarray(image.dataobj[(..., *place)], dtype=np.float32)

    def read_unscaled(self) -> Array | None:
        """Values as stored, float32, if the header scales at all."""
        stored = _opened(self.path).dataobj
        if (stored.slope, stored.inter) == (1.0, 0.0):
            return None
        with _reading_voxels():
            values = stored.get_unscaled()
        return np.asarray(values[(..., *np.unravel_index(self.index, values.shape[3:]))], dtype=np.float32)


@contextmanager
def _reading_voxels() -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError("NIfTI file", "a file whose voxels cannot be read", "a whole NIfTI file",
                         "Copy or convert it again.") from error  # fmt: skip


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
    times = np.atleast_1d(np.asarray(sidecar.get("EchoTime", []), dtype=float))
    headers = (
        _header(sidecar, role, component, float(times[index]) if len(times) == volumes else None, order * 1000 + index)
        for index in range(volumes)
    )
    return [NiftiStack(header, path, index) for index, header in enumerate(headers)]


def _opened(path: Path) -> Nifti1Image:
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        return nibabel.load(path)
    except (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError("NIfTI file", f"{path.name}, which cannot be read", "a whole NIfTI file",
                         "Copy or convert it again.") from error  # fmt: skip


def _sidecar(path: Path) -> dict[str, Any]:
    file = path.with_name(re.sub(r"\.nii(\.gz)?$", ".json", path.name, flags=re.IGNORECASE))
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError("JSON sidecar", f"{file.name}, which is no JSON", "a BIDS sidecar") from error
    return content if isinstance(content, dict) else {}


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
    return float(value) if isinstance(value, int | float) and value else None


def _phase_unit(sidecar: Mapping[str, Any]) -> str:
    """Unit of phase: BIDS ``Units``, or the converter's note on Philips scaling."""
    philips = {0: "mrad", 1: "rad"}.get(sidecar.get("UsePhilipsFloatNotDisplayScaling", -1), "")
    units = sidecar.get("Units", "")
    return units if units in ("rad", "mrad") else philips


def _facts(sidecar: Mapping[str, Any]) -> SequenceFacts:
    image_type = sidecar.get("ImageType", [])
    return SequenceFacts(
        scanning=frozenset(re.split(r"[\\_,\s]+", str(sidecar.get("ScanningSequence", "")))) - {""},
        image_type=tuple(str(token) for token in image_type[2:]),
        name=f"{sidecar.get('SequenceName', '')} {sidecar.get('PulseSequenceName', '')}".strip(),
        inversion_time_s=_number(sidecar, "InversionTime"),
        echo_train_length=int(_number(sidecar, "EchoTrainLength") or 0),
    )
