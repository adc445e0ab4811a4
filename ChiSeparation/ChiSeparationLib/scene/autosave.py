"""The reading on disk after each judgement, so that a crash loses none; found again and offered afterwards.

A file holds judgements and the lesions' positions, by which it fits its lesions again. Names, places and the patient's
pseudonym are left out. It lies in the folder of the user's own data (``CHISEP_DATA``), for this user alone. Every
session writes a file of its own, so that none writes over what an earlier one left.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ChiSepPreprocessLib.errors import ChiSepError
from ChiSepPreprocessLib.files import writing, writing_to

from ..lesions.reading import Judgement, Lesion, Reading
from ..lesions.reading_files import as_json, read_reading

_SUFFIX = ".reading.json"

#: A lesion is the same if its centre lies this near, mm, and its volume differs by at most this share.
_NEAR_MM, _VOLUME_SHARE = 1.0, 0.1


def autosave_folder() -> Path:
    """Folder of the files; it need not exist.

    Raises
    ------
    InputError
        If the user has no home folder.
    """
    from ChiSepReconstructLib.networks.weights.store import data_folder

    return data_folder() / "autosave"


def new_key() -> str:
    """Name of a reading's file, without meaning."""
    return secrets.token_hex(8)


@dataclass(frozen=True)
class Autosave:
    """The file of one reading.

    Parameters
    ----------
    key : str
        Of :func:`new_key`; the scene keeps it with the reading.
    session : str
        Of :func:`new_key`; tells the files of one reading apart.
    folder : Path, optional
        :func:`autosave_folder` by default.
    """

    key: str
    session: str
    folder: Path | None = None

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return (self.folder or autosave_folder()) / f"{self.key}-{self.session}{_SUFFIX}"

    def write(self, reading: Reading) -> None:
        """Write the reading, whole or not at all.

        Raises
        ------
        ChiSepError
            If it cannot be written.
        """
        path = self.path
        with writing_to(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # On one line: this is written at every judgement, and Python is ten times as fast without line breaks.
        with writing(path) as temporary:
            temporary.write_text(json.dumps(as_json(_without_names(reading))), encoding="ascii")

    def remove(self) -> None:
        """Take the file away, if there is one."""
        with writing_to(self.path):
            self.path.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """Judgements of a reading that was never saved.

    Parameters
    ----------
    file : Autosave
        Where they were found.
    judgements : tuple of Judgement
        Those that the scene lacks, on the lesions that the scene has.
    lost : int
        Judgements on lesions that the scene has not.
    time : str
        Of the last one.
    """

    file: Autosave
    judgements: tuple[Judgement, ...]
    lost: int = 0

    @property
    def time(self) -> str:
        """When the last of them was given, ISO 8601."""
        return max(one.time for one in self.judgements)


def recoverable(reading: Reading, own: Autosave) -> tuple[Recovered, ...]:
    """Find judgements on these lesions that were never saved, the latest first.

    Parameters
    ----------
    reading : Reading
        What the scene holds, with its lesions.
    own : Autosave
        Of the session that asks; it is left out itself. Files of the same reading count whatever became of the
        lesions, others only if they fit.

    Returns
    -------
    tuple of Recovered
        Files that cannot be read or bring nothing are left out.
    """
    found = (_recovered(file, reading, own) for file in _files(own))
    return tuple(sorted((one for one in found if one is not None), key=lambda one: one.time, reverse=True))


def remove_stale(reading: Reading, own: Autosave, *, is_saved: bool) -> None:
    """Take away the files of this reading of which nothing is missing in the scene.

    Parameters
    ----------
    reading : Reading
        What the scene holds.
    own : Autosave
        Of this session. Until the scene is saved it stays, and others do unless it is there.
    is_saved : bool
        Whether the scene was saved with this reading.

    Raises
    ------
    OutputError
        If one cannot be removed.
    """
    if not own.key or not (is_saved or own.path.exists()):
        return
    for file in _files(own):
        if file.key == own.key and _recovered(file, reading, own) is None:
            file.remove()
    if is_saved:
        own.remove()


def _files(own: Autosave) -> list[Autosave]:
    """Every file of the folder but the session's own."""
    try:
        folder = own.folder or autosave_folder()
        names = [path.name.removesuffix(_SUFFIX) for path in sorted(folder.glob(f"*{_SUFFIX}"))]
    except (OSError, ChiSepError):
        return []
    keys = [name.split("-") for name in names if re.fullmatch("[0-9a-f]{16}-[0-9a-f]{16}", name)]
    return [Autosave(key, session, folder) for key, session in keys if session != own.session]


def _recovered(file: Autosave, reading: Reading, own: Autosave) -> Recovered | None:
    try:
        saved = read_reading(file.path)
    except ChiSepError:
        return None
    same = _same_lesions(saved.lesions, reading.lesions)
    placed = [
        replace(one, question=one.question._replace(lesion_id=same[one.question.lesion_id]))
        for one in saved
        if one.question.lesion_id in same
    ]
    new, lost = tuple(one for one in placed if _is_newer(one, reading)), len(saved.judgements) - len(placed)
    # Another patient's lesions fit by chance now and then, but never most of them.
    fits = file.key == own.key or len(placed) > lost
    return Recovered(file=file, judgements=new, lost=lost) if new and fits else None


def _is_newer(one: Judgement, reading: Reading) -> bool:
    present = reading.judgements.get(one.question)
    return present is None or (present != one and one.time > present.time)


def _same_lesions(saved: Iterable[Lesion], lesions: tuple[Lesion, ...]) -> dict[str, str]:
    """Identity in the scene of each saved lesion that is there, whatever its number is now."""
    places = np.array([one.centroid_ras_mm for one in lesions]).reshape(-1, 3)
    same = {}
    for one in saved:
        distances = np.linalg.norm(places - one.centroid_ras_mm, axis=1)
        near = [int(at) for at in np.argsort(distances, kind="stable")[:3] if distances[at] <= _NEAR_MM]
        fitting = [
            lesions[at].lesion_id
            for at in near
            if abs(lesions[at].volume_mm3 - one.volume_mm3) <= _VOLUME_SHARE * one.volume_mm3
        ]
        if fitting:
            same[one.lesion_id] = one.lesion_id if one.lesion_id in fitting else fitting[0]
    return same


def _without_names(reading: Reading) -> Reading:
    return replace(reading, patient="", lesions=tuple(replace(one, name="", place="") for one in reading.lesions))
