"""The training's diary: a CSV table always, TensorBoard if wanted."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.errors import MissingDependencyError
from ChiSepPreprocessLib.files import writing

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

#: Normalised values that are black and white in pictures.
_WINDOW = (-3.0, 3.0)


def write_table(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write one row for each epoch; the whole file anew, so that no half row is ever in it.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    table.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
    with writing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def picture(maps: NDArray[Any]) -> NDArray[np.float32]:
    """Middle slices across the third axis of normalised maps (C, I, J, K), side by side, in grey from 0 to 1."""
    slices = np.concatenate(list(maps[..., maps.shape[-1] // 2]), axis=1)
    low, high = _WINDOW
    return np.clip((slices.astype(np.float32) - low) / (high - low), 0, 1)


class Board:
    """TensorBoard's scalars and slices, or nothing.

    Parameters
    ----------
    folder : Path
        Of the event files.
    enabled : bool
        Otherwise every call does nothing.
    first_epoch : int
        Later entries of an earlier, interrupted call are void.

    Raises
    ------
    MissingDependencyError
        If TensorBoard is wanted and not installed.
    """

    def __init__(self, folder: Path, *, enabled: bool, first_epoch: int) -> None:
        self._writer: SummaryWriter | None = None
        if enabled:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ModuleNotFoundError as error:
                raise MissingDependencyError("TensorBoard is not installed: pip install tensorboard") from error
            self._writer = SummaryWriter(str(folder), purge_step=first_epoch)

    def add(self, epoch: int, row: Mapping[str, float], maps: NDArray[Any]) -> None:
        """Add an epoch's row, and slices of inputs, estimates and labels."""
        if self._writer is not None:
            for name, value in row.items():
                self._writer.add_scalar(name, value, epoch)
            self._writer.add_image("inputs, estimates, labels", picture(maps), epoch, dataformats="HW")
            self._writer.flush()

    def close(self) -> None:
        """Finish the files."""
        if self._writer is not None:
            self._writer.close()
