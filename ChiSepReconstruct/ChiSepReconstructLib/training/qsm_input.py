"""χ-sepnet's QSM: what a trained QSMnet makes of each local field, computed once and kept beside the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_json, write_json, writing
from ChiSepPreprocessLib.progress import Reporter

from ..networks.engine import Engine, EngineOptions
from ..networks.field_of_view import through_network
from ..networks.normalisation import Normalisation
from .packing import Trained, read_trained

if TYPE_CHECKING:
    from ..networks.unet import UNet

Volume = NDArray[np.float32]

_NOTE = "qsmnet.json"


class TrainedQsm:
    """Makes QSM by a trained QSMnet, or reads what it made before.

    Parameters
    ----------
    trained : Path
        Folder of QSMnet's training.
    cache : Path
        Folder for the maps.
    device : str
        As :class:`~..networks.engine.EngineOptions` takes it.
    report : Reporter

    Raises
    ------
    InputError
        If it is no training of QSMnet, or the cache holds maps of another one.
    OutputError
        If the cache cannot be written.
    """

    def __init__(self, trained: Path, cache: Path, device: str, report: Reporter) -> None:
        self.trained: Trained = read_trained(trained)
        if self.trained.role != "qsmnet":
            raise InputError("QSMnet", f"a training of {self.trained.role} in {trained}", "one of qsmnet")
        self._cache, self._engine, self._report = cache, Engine(EngineOptions(device=device)), report
        self._network: UNet | None = None
        note = cache / _NOTE
        if note.is_file() and read_json(note) != self.record():
            raise InputError("QSM maps", f"maps of another QSMnet in {cache}", "those of the same weights",
                             "Train in another folder, or delete them.")  # fmt: skip
        write_json(note, self.record())

    def record(self) -> dict[str, Any]:
        """Which weights, JSON-ready."""
        return {"source": "qsmnet", "sha256": self.trained.sha256}

    def __call__(self, name: str, local_field_ppm: Volume, mask: NDArray[np.bool_]) -> Volume:
        """QSM (ppm) of a subject's local field (ppm), 0 outside the mask."""
        path = self._cache / f"{name}.npy"
        if not path.is_file():
            found = self._made(name, local_field_ppm, mask)
            with writing(path) as temporary, temporary.open("wb") as opened:
                np.save(opened, found[mask].astype(np.float32))
        values, volume = np.load(path), np.zeros(mask.shape, np.float32)
        if values.shape != (int(mask.sum()),):
            raise InputError(f"QSM of {name}", f"{values.size} voxels in {path}", f"{int(mask.sum())}",
                             "The mask has changed: delete the file.")  # fmt: skip
        volume[mask] = values
        return volume

    def _made(self, name: str, local_field_ppm: Volume, mask: NDArray[np.bool_]) -> Volume:
        scales: Mapping[str, Normalisation] = self.trained.constants.normalisation
        self._network = self._network or self.trained.network()
        image = scales["local_field"].normalise(local_field_ppm, mask)
        found = through_network(self._engine, self._network, image[None], mask, self._report, f"QSM of {name}", 1)[0]
        return scales["chi_total"].restore(found, mask)
