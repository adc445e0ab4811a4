"""The name that a scanner's operator gave a series, for people to recognise it by; without the patient's."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: What may tell who the patient is.
_PERSONAL = ("PatientName", "PatientID", "PatientBirthDate", "OtherPatientIDs", "AccessionNumber")

#: Parts of a name shorter than this are looked for as whole words only.
_SHORTEST_FRAGMENT = 3

_LONGEST = 80

#: What text that is damaged, or in an unknown alphabet, makes the reader raise.
_RAISED_BY_DAMAGE = (OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, NotImplementedError)


def series_description(path: Path) -> str:
    """Series description (0008,103E) of a DICOM image.

    Parameters
    ----------
    path : Path
        One image of the series.

    Returns
    -------
    str
        One line; empty if there is none, if it names the patient, or if the file cannot be read.
    """
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            wanted: list[str | int] = ["SeriesDescription", *_PERSONAL]
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=wanted, force=True)
            text = " ".join(str(dataset.get("SeriesDescription", "")).split())[:_LONGEST]
            return "" if _names_someone(text, dataset) else text
    except _RAISED_BY_DAMAGE:
        return ""


def _names_someone(text: str, dataset: Dataset) -> bool:
    """Whether a text holds a part of what tells the patient."""
    told = " ".join(str(dataset.get(keyword) or "") for keyword in _PERSONAL).lower()
    parts = set(re.findall(r"[^\W_]+", told))
    words = set(re.findall(r"[^\W_]+", text.lower()))
    fragments = [part for part in parts if len(part) >= _SHORTEST_FRAGMENT]
    return bool(words & parts) or any(fragment in text.lower() for fragment in fragments)
