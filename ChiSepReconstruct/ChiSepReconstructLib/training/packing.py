"""Trained networks as a set of weights: compact, with their constants."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_json, writing_to

from ..networks.normalisation import Normalisation
from ..networks.weights.checks import check_set_name
from ..networks.weights.state import (
    Architecture,
    Compression,
    build,
    from_safetensors,
    safetensors_notes,
    to_safetensors,
)
from ..networks.weights.store import adding, weights_folder
from ..networks.weights.weight_set import OUTPUTS, ROLES, NetworkFile, Role, WeightSet, read_set, write_manifest
from .checkpoints import BEST, RECORD
from .data import VOXEL_SIZE_MM
from .examples import Constants

if TYPE_CHECKING:
    from ..networks.unet import UNet

#: Constants of two trainings may differ by rounding.
_SAME = 1e-6


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The best weights of a training.

    Parameters
    ----------
    role : str
        Network.
    folder : Path
        Of the training.
    inputs : tuple of str
        Artifacts in the order of the channels.
    base_width : int
        Channels of the first level.
    constants : Constants
        That belong to the weights.
    sha256 : str
        Of the file of weights.
    qsm_sha256 : str or None
        Of the QSMnet whose maps χ-sepnet was trained with.
    epoch, nrmse_percent : str
        Of the best weights.
    """

    role: Role
    folder: Path
    inputs: tuple[str, ...]
    base_width: int
    constants: Constants
    sha256: str
    qsm_sha256: str | None
    epoch: str
    nrmse_percent: str

    def network(self) -> UNet:
        """Load the network for inference.

        Raises
        ------
        InputError
            If its file does not fit.
        """
        path = self.folder / BEST
        architecture = Architecture(len(self.inputs), len(OUTPUTS[self.role]), self.base_width)
        return build(from_safetensors(path.read_bytes(), path.name), architecture, str(path))


@dataclass(frozen=True, kw_only=True)
class PackOptions:
    """What a set says of itself.

    Parameters
    ----------
    title : str
        One line for people; never the name of somebody else's networks.
    training_domain : {"in vivo", "simulated"}
        What the networks learnt from.
    licence, source : str
        Terms, and from whom.
    compression : {"float32", "float16", "int8"}
        Of the convolutions' weights in the files; int8 has one scale for each output channel. All are float32 again
        once they are loaded.
    smallest_voxel_mm, largest_voxel_mm : float
        Edges of voxels between which the networks were tested, mm.
    """

    title: str = "χ-sepnet architecture, own simulated weights"
    training_domain: str = "simulated"
    licence: str = "Apache-2.0"
    source: str = "trained with 'chisep train'"
    compression: Compression = "float16"
    smallest_voxel_mm: float = 1.0
    largest_voxel_mm: float = 1.0


def read_trained(folder: Path) -> Trained:
    """Read what a training left.

    Raises
    ------
    InputError
        If the folder holds none, or none whose first epoch is done.
    """
    if not (folder / RECORD).is_file() or not (folder / BEST).is_file():
        raise InputError("training", f"no {RECORD} and {BEST} in {folder}", "the folder of a training with at least "
                         "one epoch")  # fmt: skip
    record, content = read_json(folder / RECORD), (folder / BEST).read_bytes()
    notes = safetensors_notes(content, BEST)
    try:
        data = record["data"]
        return Trained(
            role=record["role"], folder=folder, inputs=tuple(data["inputs"]),
            constants=Constants.from_json(data["constants"]),
            base_width=record["options"]["base_width"], sha256=hashlib.sha256(content).hexdigest(),
            qsm_sha256=(data["qsm"] or {}).get("sha256"), epoch=notes["epoch"], nrmse_percent=notes["nrmse_percent"],
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("training", f"a broken {RECORD} in {folder}", "what 'chisep train' wrote") from error


def pack(
    name: str, folders: Mapping[Role, Path], options: PackOptions | None = None, *, parent: Path | None = None,
    overwrite: bool = False,
) -> WeightSet:  # fmt: skip
    """Make a set of weights of trainings.

    Parameters
    ----------
    name : str
        Of the set, and of its folder.
    folders : mapping of role to Path
        Of the trainings.
    options : PackOptions, optional
    parent : Path, optional
        Folder in which the set's folder is made; the user's own folder of weights if absent.
    overwrite : bool
        Replace an installed set of that name; not under ``parent``.

    Raises
    ------
    InputError
        If a training is incomplete or of another network, or constants that the networks share differ.
    OutputError
        If the set cannot be written.
    """
    options = options or PackOptions()
    trained = _checked({role: read_trained(folder) for role, folder in folders.items()})
    scales, first = _merged(trained), next(iter(trained.values())).constants
    with _folder(name, parent, overwrite=overwrite) as folder:
        networks = {role: _write(one, folder, options.compression) for role, one in trained.items()}
        write_manifest(
            WeightSet(
                name=name, title=options.title, networks=networks, normalisation=scales,
                relaxivity_hz_per_ppm=first.relaxivity_hz_per_ppm, field_strength_t=first.field_strength_t,
                voxel_size_mm=(VOXEL_SIZE_MM,) * 3, smallest_voxel_mm=options.smallest_voxel_mm,
                largest_voxel_mm=options.largest_voxel_mm, training_domain=options.training_domain,
                licence=options.licence, source="; ".join([options.source, *_notes(trained)]),
            ), folder,
        )  # fmt: skip
    return read_set((parent or weights_folder()) / name)


@contextmanager
def _folder(name: str, parent: Path | None, *, overwrite: bool) -> Iterator[Path]:
    """Folder that the set is written into."""
    if parent is None:
        with adding(name, overwrite=overwrite) as folder:
            yield folder
        return
    check_set_name(name)
    folder = parent / name
    if folder.exists():
        raise InputError("folder of the set", f"{folder}, which exists", "a new name, or another folder")
    try:
        with writing_to(folder):
            folder.mkdir(parents=True)
            yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # it is this call's own
        raise


def _checked(trained: Mapping[Role, Trained]) -> dict[Role, Trained]:
    if not trained or set(trained) - set(ROLES):
        raise InputError("trainings to pack", ", ".join(trained) or "none", f"some of {', '.join(ROLES)}")
    for role, one in trained.items():
        if one.role != role:
            raise InputError(f"training of {role}", f"one of {one.role} in {one.folder}", f"one of {role}")
    first, *others = trained.values()
    for one in others:
        for key in ("relaxivity_hz_per_ppm", "field_strength_t"):
            _check_same(key, first, getattr(first.constants, key), one, getattr(one.constants, key))
    return dict(trained)


def _check_same(what: str, first: Trained, value: float, other: Trained, another: float) -> None:
    if abs(value - another) > _SAME * abs(value) + 1e-12:
        raise InputError(what, f"{value:g} in {first.folder} and {another:g} in {other.folder}", "the same value, as "
                         "the networks work together", "Train with --constants of the first.")  # fmt: skip


def _merged(trained: Mapping[Role, Trained]) -> dict[str, Normalisation]:
    found: dict[str, tuple[Trained, Normalisation]] = {}
    for one in trained.values():
        for name, scale in one.constants.normalisation.items():
            first, known = found.setdefault(name, (one, scale))
            _check_same(f"mean of {name}", first, known.mean, one, scale.mean)
            _check_same(f"standard deviation of {name}", first, known.std, one, scale.std)
    return {name: scale for name, (_, scale) in found.items()}


def _write(one: Trained, folder: Path, compression: Compression) -> NetworkFile:
    path = folder / f"{one.role}.safetensors"
    path.write_bytes(to_safetensors(one.network().state_dict(), compression))
    return NetworkFile.describing(path, one.base_width, one.inputs)


def _notes(trained: Mapping[Role, Trained]) -> Iterator[str]:
    for role, one in trained.items():
        yield f"{role}: epoch {one.epoch}, NRMSE {float(one.nrmse_percent):.1f} % in validation"
    qsmnet, chisepnet = trained.get("qsmnet"), trained.get("chisepnet")
    if qsmnet and chisepnet and chisepnet.qsm_sha256 not in (None, qsmnet.sha256):
        yield "chisepnet was trained with the QSM of other weights of qsmnet than these"
