"""What a training leaves on disk: its record, the last checkpoint, the best weights; each whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ChiSepPreprocessLib import __version__
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_json, write_json, writing

from ..networks.weights.state import to_safetensors
from ..networks.weights.weight_set import Role
from .options import TrainingOptions

if TYPE_CHECKING:
    from ..networks.unet import UNet
    from .examples import TrainingSet

RECORD, LAST, BEST, TABLE = "training.json", "last.ckpt", "best.safetensors", "log.csv"

#: Options that may change on the way: they do not touch the result.
_FREE = ("device", "checkpoint_steps", "tensorboard")

#: More epochs may follow where the learning rate does not depend on their number.
_OPEN_SCHEDULES = ("step", "constant")


@dataclass(kw_only=True)
class Progress:
    """Where a training stands; with the states of network and optimiser it is all that the rest depends on.

    Parameters
    ----------
    epoch, step : int
        Epochs and, in the current one, steps that are done.
    seconds : float
        Time of all steps.
    sums : dict of str to float
        Of the losses in the current epoch.
    smoothed, lowest : float
        Smoothed loss, and its lowest value.
    best_nrmse, best_epoch
        Of the best weights, percent; epochs count from 1.
    rows : list of dict
        One for each epoch.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    smoothed: float = 0.0
    lowest: float = float("inf")
    best_nrmse: float = float("inf")
    best_epoch: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)


def settings(role: Role, options: TrainingOptions) -> dict[str, Any]:
    """What must be the same when a training goes on, as JSON gives it back."""
    content = {"role": role, "options": asdict(options), "version": __version__}
    plain: dict[str, Any] = json.loads(json.dumps(content))
    return plain


def data_record(data: TrainingSet, qsm: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is known of the data once they are read."""
    return {"training": sorted({one.name for one in data.training}),
            "validation": sorted({one.name for one in data.validation}), "content_sha256": _fingerprint(data),
            "inputs": list(data.inputs), "qsm": qsm, "constants": data.constants.to_json()}  # fmt: skip


def _fingerprint(data: TrainingSet) -> str:
    found = hashlib.sha256()
    for one in (*data.training, *data.validation):
        found.update(one.images.data if one.images.flags.c_contiguous else one.images.tobytes())
    return found.hexdigest()


def check_start(folder: Path, wanted: Mapping[str, Any], *, resume: bool) -> bool:
    """Decide whether a training begins or goes on.

    Returns
    -------
    bool
        Whether there is something to go on with.

    Raises
    ------
    InputError
        If the folder holds a training and none should go on, or one with other options.
    """
    if not (folder / RECORD).is_file():
        # QSM maps may be there before the record is.
        if resume and folder.exists() and any(not one.name.startswith("qsm") for one in folder.iterdir()):
            raise InputError("training to resume", f"no {RECORD} in {folder}", "the folder of a training")
        return False
    if not resume:
        raise InputError("folder of the training", f"{folder}, which holds one", "a new folder, or --resume",
                         "Go on with it with --resume, or choose another folder.")  # fmt: skip
    stored = read_json(folder / RECORD)
    _refuse_differences({key: stored.get(key) for key in ("role", "options")},
                        {key: wanted[key] for key in ("role", "options")}, _free_keys(wanted))  # fmt: skip
    return True


def check_same_data(folder: Path, found: Mapping[str, Any]) -> None:
    """Refuse to go on with other data.

    Raises
    ------
    InputError
        If subjects, constants or contents are others.
    """
    stored = read_json(folder / RECORD).get("data", {})
    _refuse_differences(stored, json.loads(json.dumps(found)), ())


def _free_keys(wanted: Mapping[str, Any]) -> tuple[str, ...]:
    is_open = wanted["options"]["optimiser"]["schedule"] in _OPEN_SCHEDULES
    return tuple(f"options.{key}" for key in (*_FREE, *(("epochs",) if is_open else ())))


def _refuse_differences(stored: Mapping[str, Any], wanted: Mapping[str, Any], free: tuple[str, ...]) -> None:
    before, now = dict(_flat(stored)), dict(_flat(wanted))
    differing = [key for key in {**before, **now} if before.get(key) != now.get(key) and key not in free]
    if differing:
        shown = "; ".join(f"{key}: {before.get(key)} → {now.get(key)}" for key in differing[:6])
        raise InputError("training to resume", f"a difference: {shown[:600]}", "the same options and data",
                         "Go on as it began, or begin in another folder.")  # fmt: skip


def _flat(content: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(content, Mapping) and content:
        for name, value in content.items():
            yield from _flat(value, f"{key}.{name}" if key else str(name))
    else:
        yield key, content


def write_record(folder: Path, wanted: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Write ``training.json``.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    write_json(folder / RECORD, {**wanted, "data": data})


def save(folder: Path, progress: Progress, network: UNet, optimiser: Any) -> None:
    """Write the last checkpoint; the one before stays until the new one is whole.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    import torch

    # Serialised in memory first: to a full disk torch raises what nobody can tell from a fault.
    content = io.BytesIO()
    torch.save({"progress": asdict(progress), "network": network.state_dict(), "optimiser": optimiser.state_dict()},
               content)  # fmt: skip
    with writing(folder / LAST) as temporary:
        temporary.write_bytes(content.getbuffer())


def restore(folder: Path, network: UNet, optimiser: Any, device: str) -> Progress:
    """Take network and optimiser back to the last checkpoint, if there is one.

    Raises
    ------
    InputError
        If it is broken.
    """
    import torch

    path = folder / LAST
    if not path.is_file():
        return Progress()
    try:
        content = torch.load(path, map_location=device, weights_only=True)
        network.load_state_dict(content["network"])
        optimiser.load_state_dict(content["optimiser"])
        return Progress(**content["progress"])
    except MemoryError:
        raise
    except Exception as error:  # a broken pickle raises whatever it likes
        raise InputError("checkpoint", f"{path}, which is broken", "a whole checkpoint of this training",
                         "Delete it to begin again.") from error  # fmt: skip


def save_best(folder: Path, network: UNet, epoch: int, nrmse_percent: float) -> None:
    """Write the best weights with their epoch and NRMSE.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    state = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    notes = {"epoch": str(epoch), "nrmse_percent": f"{nrmse_percent:.4f}"}
    with writing(folder / BEST) as temporary:
        temporary.write_bytes(to_safetensors(state, notes=notes))
