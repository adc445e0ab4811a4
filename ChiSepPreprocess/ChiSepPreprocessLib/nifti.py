"""NIfTI volumes with BIDS sidecars, or without, where the user states what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
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
    not_plain_phase,
    role_of,
    vendor_of,
)  # fmt: skip
from .dicom.stack import OWN_EXPORT, Header, Stack, plain_version
from .errors import InputError
from .files import check_numbers, is_in_scanner_space, read_json, reading_nifti, scanner_affine
from .quantities import mhz_to_hz
from .sidecars import b0_direction

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image


@dataclass(frozen=True)
class NiftiStack(Stack):
    """One volume of a NIfTI file, at its indices beyond (i, j, k)."""

    path: Path
    place: tuple[int, ...]

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
        return self._values(_opened(self.path))

    def _values(self, image: Nifti1Image) -> Array:
        with reading_nifti(self.path):
            # A copy: a view would keep the file open.
            return np.array(image.dataobj[(..., *self.place)], dtype=np.float32)

    def read_all(self, stacks: Sequence[Stack]) -> Iterator[Array]:
        """Read volumes in order; a compressed file is unpacked once, not once for each volume."""
        for path, of_file in groupby(stacks, key=_path_of):
            image = _opened(path, keep_file_open=True) if path else None
            try:
                for stack in of_file:
                    yield stack._values(image) if isinstance(stack, NiftiStack) and image else stack.read()
            finally:
                del image

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
        return np.asarray(values[(..., *self.place)], dtype=np.float32)


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
        If the file or its sidecar is broken, or it has not three to five axes.
    """
    shape = _opened(path).shape
    if len(shape) not in (3, 4, 5) or 0 in shape:
        raise InputError("NIfTI file", f"shape {shape}", "three axes, four with the echoes last, or five with echoes "
                         "and receive coils")  # fmt: skip
    places = _places(shape)
    echoes = 1 + max(echo for echo, _, _ in places)
    sidecar = _sidecar(path)
    times = _listed(sidecar.get("EchoTime", []))
    if len(times) == 1:  # of a 4D file a single time says nothing about its echoes
        times = times if echoes == 1 else []
    if len(times) not in (0, echoes):
        raise InputError("JSON sidecar", f"{len(times)} echo times for the {echoes} volumes of {path.name}",
                         "one for each volume", "Correct the sidecar.")  # fmt: skip
    headers = (
        _header(sidecar, role, component, float(times[echo]) if times else None, order * 1000 + echo, coil)
        for echo, coil, _ in places
    )
    return [NiftiStack(header, path, place) for header, (_, _, place) in zip(headers, places, strict=True)]


def _places(shape: tuple[int, ...]) -> list[tuple[int, str, tuple[int, ...]]]:
    """Echo, coil and indices of each volume: of five axes echoes and coils are last, unless one of them is empty."""
    if len(shape) < 5 or 1 in shape[3:]:
        several = np.ndindex(*shape[3:])
        return [(echo, "", place) for echo, place in enumerate(several)]
    return [(e, str(c + 1), (e, c)) for c in range(shape[4]) for e in range(shape[3])]


def _opened(path: Path, keep_file_open: bool = False) -> Nifti1Image:
    import nibabel

    with reading_nifti(path):
        image = nibabel.load(path, keep_file_open=keep_file_open)
        check_numbers(path, image.dataobj.dtype)
        return image


def _path_of(stack: Stack) -> Path | None:
    return stack.path if isinstance(stack, NiftiStack) else None


#: Keys of a BIDS sidecar that are numbers, and that are texts.
_NUMBERS = ("ImagingFrequency", "MagneticFieldStrength", "RepetitionTime", "InversionTime", "EchoTrainLength")
_TEXTS = ("Manufacturer", "SoftwareVersions", "SequenceName", "PulseSequenceName", "Units")


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
    if content.get("b0_direction_ijk") is not None:  # it follows from the matrix, but nonsense shows a broken file
        b0_direction(content["b0_direction_ijk"])
    frequency_hz = content.get("imaging_frequency_hz")
    return {
        **told,
        _OWN: True,
        "EchoTime": content.get("echo_times_s"),
        "MagneticFieldStrength": content.get("field_strength_t"),
        "ImagingFrequency": frequency_hz / 1e6 if isinstance(frequency_hz, int | float) else frequency_hz,
        "Units": content.get("unit") if content.get("unit") in ("rad", "mrad") else None,
    }


#: Marks a sidecar of this project.
_OWN = "artifact"

_OWN_ARTIFACTS: dict[str, dict[str, Any]] = {
    "gre_magnitude": {"ScanningSequence": "GR", "ImageType": ["DERIVED", "PRIMARY", "M"]},
    "gre_phase": {"ScanningSequence": "GR", "ImageType": ["DERIVED", "PRIMARY", "P"]},
    "se_magnitude": {"ScanningSequence": "SE", "ImageType": ["DERIVED", "PRIMARY", "M"]},
    # The role follows from the inversion time, which our own sidecar does not name.
    "flair": {"ScanningSequence": "SE_IR", "ImageType": ["DERIVED", "PRIMARY", "M"],
              "InversionTime": SHORTEST_FLUID_INVERSION_S},
}  # fmt: skip


def _header(
    sidecar: Mapping[str, Any], role: Role, component: Component, echo_time_s: float | None, order: int, coil: str
) -> Header:
    facts = _facts(sidecar)
    told = role_of(facts)
    unit = _phase_unit(sidecar)
    frequency_mhz, field = _number(sidecar, "ImagingFrequency"), _number(sidecar, "MagneticFieldStrength")
    return Header(
        role=role if told == Role.UNKNOWN else told,
        component=_component(sidecar, facts, unit, component),
        facts=facts,
        echo_time_s=echo_time_s,
        repetition_time_s=_number(sidecar, "RepetitionTime"),
        echo_number=order,
        field_strength_t=field,
        imaging_frequency_hz=mhz_to_hz(frequency_mhz) if frequency_mhz else None,
        vendor=vendor_of(str(sidecar.get("Manufacturer", ""))),
        rescale_type=unit,
        coil=coil,
        export=OWN_EXPORT if _OWN in sidecar else "NIfTI",
        software=plain_version(str(sidecar.get("SoftwareVersions", ""))),
        series="nifti",
    )


def _component(sidecar: Mapping[str, Any], facts: SequenceFacts, unit: str, stated: Component) -> Component:
    # The last ImageType value is the converter's own verdict.
    told = component_of(reversed(facts.image_type)) if "ImageType" in sidecar else stated
    if told == Component.PHASE and "EchoTime1" in sidecar and "EchoTime2" in sidecar:  # BIDS: of two echoes
        return Component.PHASE_DIFFERENCE
    return not_plain_phase(told, facts.name, unit)


def _number(sidecar: Mapping[str, Any], key: str) -> float | None:
    value = sidecar.get(key)
    return float(value) if value else None


def _phase_unit(sidecar: Mapping[str, Any]) -> str:
    """Unit of phase: BIDS ``Units``, or the converter's note on Philips scaling."""
    philips = {0: "mrad", 1: "rad"}.get(sidecar.get("UsePhilipsFloatNotDisplayScaling", -1), "")
    units = str(sidecar.get("Units", "")).lower()
    return units if units in ("rad", "mrad", "hz") else philips


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
