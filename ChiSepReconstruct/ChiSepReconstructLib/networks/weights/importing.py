"""The user's own copies of published weights, with the constants that belong to them, as a set."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import PAPER_FIELD_STRENGTH_T

from ..normalisation import Normalisation
from .state import architecture_of, build, to_safetensors
from .store import adding, check_free, weights_folder
from .weight_set import INPUTS, OUTPUTS, ROLES, NetworkFile, Role, WeightSet, read_set, write_manifest

if TYPE_CHECKING:
    from torch import Tensor

#: Name of each artifact in the file of constants that was published with the weights.
PUBLISHED_NAMES: Mapping[str, str] = {
    "chi_total": "cosmos_sus",
    "local_field": "field",
    "r2prime": "r2prime",
    "r2star": "r2star",
    "chi_para": "x_pos",
    "chi_dia": "x_neg",
}

#: Before the names of weights that were trained on several GPUs.
_PARALLEL = "module."

_LARGEST_CHECKPOINT_BYTES = 2**32
_LARGEST_CONSTANTS_BYTES = 2**24

_CHUNK_BYTES = 2**20

_TITLES: Mapping[Role, str] = {"qsmnet": "QSMnet_ME", "r2primenet": "R2PRIMEnet", "chisepnet": "χ-sepnet"}

#: What the files of each network are called, without hyphens.
_FILE_NAMES: Mapping[Role, str] = {"qsmnet": "qsmnet", "r2primenet": "r2primenet", "chisepnet": "sepnet"}


@dataclass(frozen=True, kw_only=True)
class Training:
    """What must be known of weights beside the numbers; by default, of the papers' authors' own.

    Parameters
    ----------
    relaxivity_hz_per_ppm, field_strength_t, voxel_size_mm, smallest_voxel_mm, largest_voxel_mm
        As in :class:`WeightSet`. The authors trained at 1 mm; with the resolution generalisation of Ji et al.
        (ISMRM 2023, 4168) the networks serve voxels down to about 0.6 mm; the χ-sepnet paper tests up to 3 mm.
    training_domain, licence, source : str
        As in :class:`WeightSet`.
    """

    relaxivity_hz_per_ppm: float = 114.0
    field_strength_t: float = PAPER_FIELD_STRENGTH_T
    voxel_size_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    smallest_voxel_mm: float = 0.6
    largest_voxel_mm: float = 3.0
    training_domain: str = "in vivo"
    licence: str = (
        "SNU-LIST academic licence: academic use alone; non-commercial, non-clinical; no redistribution outside your "
        "own laboratory without the authors' consent"
    )
    source: str = "the authors' checkpoints, imported by the user"


def import_weights(
    name: str, files: Mapping[Role, Path], normalisation: Path, *, chisepnet_inputs: tuple[str, ...] | None = None,
    training: Training | None = None, overwrite: bool = False, report: Reporter | None = None,
) -> WeightSet:  # fmt: skip
    """Make a set of the user's own files.

    Parameters
    ----------
    name : str
        Of the set.
    files : mapping of role to Path
        Checkpoints (``.pth``, ``.pth.tar``) or their ONNX twins with folded batch normalisation. QSMnet_ME and
        R2PRIMEnet have the same shapes: the caller says which is which.
    normalisation : Path
        MATLAB file with ``<name>_mean`` and ``<name>_std``, published with the weights; relaxation in ppm.
    chisepnet_inputs : tuple of str, optional
        Artifacts in the order of the channels, where χ-sepnet is an ablation with two.
    training : Training, optional
        Of other weights than the authors'.
    overwrite : bool
        Replace a set of that name.
    report : Reporter, optional
        Receives progress and may cancel.

    Raises
    ------
    InputError
        If a file is broken, would run code, belongs to another network or lacks constants, or the name is taken.
    OutputError
        If the set cannot be written. In both cases nothing is left behind.
    MissingDependencyError
        If a file is ONNX and that library is not installed.
    """
    report = report or Reporter()
    _check_files(files)
    check_free(name, overwrite=overwrite)
    constants = read_normalisation(normalisation)
    with adding(name, overwrite=overwrite) as folder:
        networks: dict[Role, NetworkFile] = {}
        for number, (role, path) in enumerate(files.items()):
            report("import weights", number / len(files), role)
            networks[role] = _convert(role, path, folder, chisepnet_inputs if role == "chisepnet" else None)
        _check_differ(networks)
        one = _described(name, networks, constants, training or Training())
        write_manifest(one, folder)
    report("import weights", 1.0)
    return read_set(weights_folder() / name)


def _described(
    name: str, networks: Mapping[Role, NetworkFile], constants: Mapping[str, Normalisation], training: Training
) -> WeightSet:
    title = ", ".join(_TITLES[role] for role in networks)
    return WeightSet(name=name, title=title, networks=networks, normalisation=constants, **vars(training))


def _check_files(files: Mapping[Role, Path]) -> None:
    if not files or set(files) - set(ROLES):
        raise InputError("weights to import", ", ".join(files) or "none", f"files of some of {', '.join(ROLES)}")
    for role, path in files.items():
        _check_file(f"weights of {role}", path)
        _check_name(role, path)


def _check_name(role: Role, path: Path) -> None:
    """Refuse a file that is called like another network; two of them have the same shapes."""
    called = {other for other, name in _FILE_NAMES.items() if name in path.name.casefold().replace("-", "")}
    if called and role not in called:
        raise InputError(f"weights of {role}", path.name, f"the file of {_TITLES[role]}",
                         "Give each file under its own network's name, or rename it.")  # fmt: skip


def _check_file(what: str, path: Path, largest: int = _LARGEST_CHECKPOINT_BYTES) -> None:
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(what, f"'{path}', which {found}", "a file", "Check the path.")
    try:
        with path.open("rb") as opened:
            size = opened.seek(0, os.SEEK_END)
    except OSError as error:
        raise InputError(what, f"'{path}', which cannot be opened ({error.strerror})", "a readable file",
                         "Check its permissions.") from error  # fmt: skip
    if size > largest:
        raise InputError(what, f"{path.name} with {size / 2**20:.0f} MiB", f"at most {largest / 2**20:.0f} MiB",
                         "Check that it is the right file.")  # fmt: skip


def _check_differ(networks: Mapping[Role, NetworkFile]) -> None:
    """Refuse the same weights for two networks: one of the files was named twice."""
    by_hash: dict[str, str] = {}
    for role, file in networks.items():
        if file.sha256 in by_hash:
            raise InputError("weights to import", f"the same weights for {by_hash[file.sha256]} and {role}",
                             "the file of each network")  # fmt: skip
        by_hash[file.sha256] = role


def _convert(role: Role, path: Path, folder: Path, chosen: tuple[str, ...] | None) -> NetworkFile:
    """Write a network's weights as safetensors into the folder."""
    where = f"weights of {role} ({path.name})"
    state = read_weights(path, where)
    architecture = architecture_of(state, where)
    inputs = _inputs(role, architecture.channels_in, chosen, where)
    if architecture.channels_out != len(OUTPUTS[role]):
        raise InputError(where, f"a network with {architecture}", f"{len(inputs)} → {len(OUTPUTS[role])} channels",
                         "Give each file under its own network's name.")  # fmt: skip
    build(state, architecture, where)
    written = folder / f"{role}.safetensors"
    written.write_bytes(to_safetensors(state))
    return NetworkFile.describing(written, architecture.base_width, inputs)


def _inputs(role: Role, channels: int, chosen: tuple[str, ...] | None, where: str) -> tuple[str, ...]:
    possible = [names for names in INPUTS[role] if len(names) == channels]
    if not possible:
        counts = " or ".join(sorted({str(len(names)) for names in INPUTS[role]}))
        raise InputError(where, f"a network with {channels} channels in", f"{counts}, as {role} has",
                         "Give each file under its own network's name.")  # fmt: skip
    if chosen is None and (len(possible) == 1 or possible[0] == INPUTS[role][0]):  # the published ones, if in doubt
        return possible[0]
    if chosen not in possible:
        got = "no names of them" if chosen is None else ", ".join(chosen)
        raise InputError(f"inputs of {role}", f"{channels} channels and {got}",
                         " or ".join(",".join(names) for names in possible),
                         "Name them in the order in which the network was trained.")  # fmt: skip
    return chosen


def read_weights(path: Path, where: str) -> dict[str, Tensor]:
    """Read weights by their published names from a checkpoint or its ONNX twin.

    Raises
    ------
    InputError
        If the file is no such thing, is broken or holds anything that would run code.
    MissingDependencyError
        If it is ONNX and that library is not installed.
    """
    if path.suffix.lower() == ".onnx":
        from .onnx_twin import read_onnx

        return read_onnx(path, where)
    return _plain_names(_load(path, where), where)


def _load(path: Path, where: str) -> Any:
    """Unpickle tensors and plain containers, nothing else."""
    import torch

    try:
        _check_archive(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # a broken or foreign pickle raises whatever it likes
        raise InputError(where, "a file that is broken or holds other objects than weights; none of its code was run",
                         "a PyTorch checkpoint with nothing but weights",
                         "Download or copy it again; of your own training save {'state_dict': network.state_dict()}."
                         ) from error  # fmt: skip


def _check_archive(path: Path) -> None:
    """Compare the check sums of an archive, which torch does not; it never compresses, which would hide any size."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for one in archive.infolist():
            if one.compress_type != zipfile.ZIP_STORED:
                raise zipfile.BadZipFile(f"{one.filename} is compressed")
            if one.CRC:  # 0 where the sums were left out
                with archive.open(one) as record:
                    while record.read(_CHUNK_BYTES):
                        pass


def _plain_names(content: Any, where: str) -> dict[str, Any]:
    """Take the weights out of a checkpoint, by their names without the prefix of parallel training."""
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not state or not all(isinstance(name, str) for name in state):
        raise InputError(where, f"a {type(content).__name__} without weights", "a checkpoint with a state_dict")
    prefix = _PARALLEL if all(name.startswith(_PARALLEL) for name in state) else ""
    return {name.removeprefix(prefix): value for name, value in state.items()}


def read_normalisation(path: Path) -> dict[str, Normalisation]:
    """Read the constants that were published with the weights.

    Parameters
    ----------
    path : Path
        MATLAB file with ``<name>_mean`` and ``<name>_std`` for the names of :data:`PUBLISHED_NAMES`, in ppm.

    Returns
    -------
    dict of artifact to Normalisation
        Of every quantity that has both constants.

    Raises
    ------
    InputError
        If the file is broken, has none of them, only one of a pair, or constants in another unit.
    """
    from .matlab import read_scalars

    _check_file("normalisation", path, _LARGEST_CONSTANTS_BYTES)
    where = f"normalisation ({path.name})"
    try:
        content = read_scalars(path.read_bytes())
    except ValueError as error:
        raise InputError(where, f"a file that cannot be read ({error})", "a whole MATLAB file of version 5 to 7",
                         "Download it again; one of version 7.3 save in MATLAB with '-v7'.") from error  # fmt: skip
    found = {one: _constants(content, name, where) for one, name in PUBLISHED_NAMES.items()
             if f"{name}_mean" in content or f"{name}_std" in content}  # fmt: skip
    if not found:
        raise InputError(where, "none of the constants", "cosmos_sus_mean, cosmos_sus_std, …",
                         "It is the file published beside the weights, such as xsepnet_norm_factor.mat.")  # fmt: skip
    return found


def _constants(content: Mapping[str, float | None], name: str, where: str) -> Normalisation:
    mean, std = (_constant(content, f"{name}_{kind}", where) for kind in ("mean", "std"))
    if abs(mean) > 1 or not 1e-4 < std < 1:
        raise InputError(f"{where}, {name}", f"mean {mean:g}, std {std:g}", "constants in ppm, std from 0.0001 to 1",
                         "Divide those of relaxation (1/s) by the relaxometric constant, those of the field (Hz) by "
                         "the imaging frequency in MHz.")  # fmt: skip
    return Normalisation(mean=mean, std=std)


def _constant(content: Mapping[str, float | None], name: str, where: str) -> float:
    value = content.get(name)
    if value is None or not math.isfinite(value):
        raise InputError(f"{where}, {name}", "nothing" if name not in content else "no single finite number",
                         "one number")  # fmt: skip
    return value
