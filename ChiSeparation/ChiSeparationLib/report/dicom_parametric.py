"""χ maps as DICOM Parametric Maps: 32-bit floats whose values are ppm, with a mapping to ppb beside it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ChiSepPreprocessLib.artifacts import Map
from ChiSepPreprocessLib.errors import InputError

from .dicom_source import DicomSource, equipment, private_code, short_text, silent

if TYPE_CHECKING:
    from highdicom.pm import ParametricMap

#: Maps that are written, with their series number, in the archive's list after the scanner's own.
SERIES_NUMBERS = {"chi_para": 9711, "chi_dia": 9712, "chi_total": 9713}

#: Shown at first, ppm.
_WINDOWS_PPM = {"chi_para": (0.0, 0.1), "chi_dia": (0.0, 0.1), "chi_total": (-0.1, 0.1)}

#: Value that would stand for ppb where 1 stands for ppm.
_PPB = 1000.0


def parametric_map(source: DicomSource, one: Map, pipeline: str) -> ParametricMap:
    """Make the DICOM object of one χ map on its own grid, in the source's space.

    Parameters
    ----------
    source : DicomSource
        Whose patient, study and frame of reference it gets.
    one : Map
        ``chi_para``, ``chi_dia`` or ``chi_total``, ppm.
    pipeline : str
        Method that made it.

    Raises
    ------
    InputError
        If it is another map.
    """
    from highdicom import VOILUTTransformation
    from highdicom.pm import ParametricMap

    if one.name not in SERIES_NUMBERS:
        raise InputError("parametric map", one.name, f"one of {', '.join(SERIES_NUMBERS)}")
    low, high = _WINDOWS_PPM[one.name]
    data = one.data.astype(np.float32)
    digest = hashlib.sha256(data.tobytes() + one.grid.affine.tobytes()).hexdigest()
    with silent():
        made = ParametricMap(
            source.images,
            source.volume(data, one.grid),
            series_instance_uid=source.uid("map", pipeline, one.name),
            series_number=SERIES_NUMBERS[one.name],
            sop_instance_uid=source.uid("map", pipeline, one.name, digest),
            instance_number=1,
            **equipment(),
            contains_recognizable_visual_features=False,
            real_world_value_mappings=_mappings(one, data),
            voi_lut_transformations=[VOILUTTransformation(window_center=(low + high) / 2, window_width=high - low)],
            content_label=one.name.upper(),
            content_description=short_text(one.spec.meaning),
            series_description=short_text(f"{one.name} [ppm] {pipeline}"),
        )
    made.ContentCreatorName = ""  # type 2, which highdicom leaves out
    return made


def _mappings(one: Map, data: Any) -> list[Any]:
    """Stored values are ppm; a second mapping reads them as ppb."""
    from highdicom.pm import RealWorldValueMapping
    from highdicom.sr import CodedConcept

    span = (float(data.min()), float(data.max()))
    return [
        RealWorldValueMapping(
            lut_label=unit, lut_explanation=f"{one.name} in {unit}", unit=CodedConcept(f"[{unit}]", "UCUM", unit),
            value_range=span, slope=slope, intercept=0.0, quantity_definition=private_code(one.name, one.spec.meaning),
        )
        for unit, slope in (("ppm", 1.0), ("ppb", _PPB))
    ]  # fmt: skip
