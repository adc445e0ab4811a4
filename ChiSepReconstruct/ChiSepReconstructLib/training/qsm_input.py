"""The QSM that a network takes: by total variation, or by a trained QSMnet; computed once and kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_json, write_json, writing
from ChiSepPreprocessLib.progress import Reporter

from ..networks.engine import Engine, EngineOptions
from ..networks.inversion import inverted, tv_start
from .data import VOXEL_SIZE_MM
from .packing import Trained, read_trained

if TYPE_CHECKING:
    from ..networks.unet import UNet

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]

_NOTE = "qsm.json"
_SIZE_MM = (VOXEL_SIZE_MM,) * 3


class KeptQsm:
    """Makes QSM of local fields, or reads what was made before.

    Parameters
    ----------
    cache : Path
        Folder for the maps.
    make : callable
        QSM (ppm) of a local field (ppm) in a mask.
    record : mapping
        Which QSM it is, JSON-ready.

    Raises
    ------
    InputError
        If the cache holds other maps.
    OutputError
        If the cache cannot be written.
    """

    def __init__(self, cache: Path, make: Callable[[Volume, Mask], Volume], record: dict[str, Any]) -> None:
        self._cache, self._make, self.record = cache, make, record
        note = cache / _NOTE
        if note.is_file() and read_json(note) != record:
            raise InputError("QSM maps", f"maps of another method or QSMnet in {cache}", "those of the same",
                             "Train in another folder, or delete them.")  # fmt: skip
        write_json(note, record)

    def __call__(self, name: str, local_field_ppm: Volume, mask: Mask) -> Volume:
        """QSM (ppm) of a head's local field (ppm), 0 outside the mask."""
        path = self._cache / f"{name}.npy"
        if not path.is_file():
            found = self._make(local_field_ppm, mask)
            with writing(path) as temporary, temporary.open("wb") as opened:
                np.save(opened, found[mask].astype(np.float32))
        values, volume = np.load(path), np.zeros(mask.shape, np.float32)
        if values.shape != (int(mask.sum()),):
            raise InputError(f"QSM of {name}", f"{values.size} voxels in {path}", f"{int(mask.sum())}",
                             "The mask has changed: delete the file.")  # fmt: skip
        volume[mask] = values
        return volume


def qsm_by_total_variation(cache: Path) -> KeptQsm:
    """The QSM that QSMnet starts from."""

    def make(field_ppm: Volume, mask: Mask) -> Volume:
        return tv_start(field_ppm, mask, _SIZE_MM, Reporter())

    return KeptQsm(cache, make, {"source": "tv"})


def qsm_by_network(trained: Path, cache: Path, device: str) -> KeptQsm:
    """χ-sepnet's QSM: what a trained QSMnet makes of the local field.

    Parameters
    ----------
    trained : Path
        Folder of QSMnet's training.
    cache : Path
        Folder for the maps.
    device : str
        As :class:`~..networks.engine.EngineOptions` takes it.

    Raises
    ------
    InputError
        If it is no training of QSMnet, or the cache holds maps of another one.
    OutputError
        If the cache cannot be written.
    """
    qsmnet = read_trained(trained)
    if qsmnet.role != "qsmnet":
        raise InputError("QSMnet", f"a training of {qsmnet.role} in {trained}", "one of qsmnet")
    return KeptQsm(cache, _Network(qsmnet, device), {"source": "qsmnet", "sha256": qsmnet.sha256})


class _Network:
    """A trained QSMnet, loaded when it is first needed."""

    def __init__(self, trained: Trained, device: str) -> None:
        self._trained, self._engine = trained, Engine(EngineOptions(device=device))
        self._network: UNet | None = None

    def __call__(self, field_ppm: Volume, mask: Mask) -> Volume:
        inputs, scales = self._trained.inputs, self._trained.constants.normalisation
        self._network = self._network or self._trained.network()
        return inverted(self._engine, self._network, inputs, scales, field_ppm, mask, _SIZE_MM, Reporter())
