"""Sets of weights: the networks of one training with the constants that belong to them; a set never changes.

A set is a folder with ``manifest.json`` and one safetensors file for each network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_json, write_json

from ..normalisation import Normalisation
from .checks import check_choice, check_number, check_set_name, check_sha256, check_text, check_weights_name

if TYPE_CHECKING:
    from ..unet import UNet

#: What a network is for.
Role = Literal["qsmnet", "r2primenet", "chisepnet"]

ROLES: tuple[Role, ...] = get_args(Role)

#: QSM by total variation, from which a QSMnet may start.
START = "chi_total_tv"

#: Both sources by the closed form of QSM and R2′, not clipped at 0, from which a χ-sepnet may start.
CLOSED_FORM = ("chi_para_closed_form", "chi_dia_closed_form")

#: Inputs that a network of each role may have, by artifact and in the order of its channels; the full ones first.
INPUTS: Mapping[Role, tuple[tuple[str, ...], ...]] = {
    "qsmnet": (("local_field",), ("local_field", START)),
    "r2primenet": (("r2star",),),
    "chisepnet": (
        ("chi_total", "local_field", "r2prime"),
        ("local_field", "r2prime"),
        ("chi_total", "r2prime"),
        (*CLOSED_FORM, "local_field"),
    ),
}

#: What a network of each role gives, by artifact and in the order of its channels.
OUTPUTS: Mapping[Role, tuple[str, ...]] = {
    "qsmnet": ("chi_total",),
    "r2primenet": ("r2prime",),
    "chisepnet": ("chi_para", "chi_dia"),
}

#: Artifacts whose scale a set may hold.
QUANTITIES = ("chi_total", START, "local_field", "r2prime", "r2star", "chi_para", "chi_dia", *CLOSED_FORM)

MANIFEST = "manifest.json"


def added_inputs(inputs: Sequence[str]) -> tuple[int, ...]:
    """Channels that are added to the network's outputs, as the network gives what these lack; none if empty."""
    return tuple(inputs.index(name) for name in (START, *CLOSED_FORM) if name in inputs)


def needs_qsm(inputs: Sequence[str]) -> bool:
    """Whether a χ-sepnet with these inputs takes a QSM, as it is or in the closed form."""
    return "chi_total" in inputs or CLOSED_FORM[0] in inputs


def closed_form(chi_total: Any, r2prime: Any) -> dict[str, Any]:
    """Both sources by QSM and R2′, all in ppm and on one grid: half of their sum, and of their difference.

    References
    ----------
    Shin et al., NeuroImage 240:118371 (2021), where both sources have one relaxometric constant.
    """
    return dict(zip(CLOSED_FORM, ((r2prime + chi_total) / 2, (r2prime - chi_total) / 2), strict=True))


#: Of the manifest; another one means other keys.
_FORMAT = 1

#: The published networks have 90 MB.
LARGEST_FILE_BYTES = 2**31

_NETWORK_KEYS = ("file", "sha256", "size_bytes", "base_width", "inputs")
_TEXTS = ("title", "training_domain", "licence", "source")
_NUMBERS = ("relaxivity_hz_per_ppm", "field_strength_t", "smallest_voxel_mm", "largest_voxel_mm")
_KEYS = ("format", "name", *_TEXTS, *_NUMBERS, "voxel_size_mm", "networks", "normalisation")

_AGAIN = "Remove the set of weights, then import or download it again."


@dataclass(frozen=True)
class NetworkFile:
    """One network's weights on disk.

    Parameters
    ----------
    path : Path
        A safetensors file.
    sha256 : str
        Of its content, 64 hexadecimal digits.
    base_width : int
        Channels of the U-Net's first level.
    inputs : tuple of str
        Artifacts in the order of the channels.
    size_bytes : int
        0 if not known; a manifest always has it.

    Raises
    ------
    InputError
        If a value cannot be right.
    """

    path: Path
    sha256: str
    base_width: int
    inputs: tuple[str, ...]
    size_bytes: int = 0

    def __post_init__(self) -> None:
        where = f"weights file {self.path.name!r}"
        check_weights_name(self.path.name)
        check_sha256(where, self.sha256)
        check_number(f"{where}, base width", self.base_width, 1, 256, whole=True)
        check_number(f"{where}, size in bytes", self.size_bytes, 0, LARGEST_FILE_BYTES, whole=True)

    @classmethod
    def describing(cls, path: Path, base_width: int, inputs: tuple[str, ...]) -> NetworkFile:
        """Describe a file that was just written."""
        content = path.read_bytes()
        return cls(path, hashlib.sha256(content).hexdigest(), base_width, inputs, len(content))

    def to_json(self) -> dict[str, Any]:
        """Entry of the manifest."""
        return {"file": self.path.name, "sha256": self.sha256, "size_bytes": self.size_bytes,
                "base_width": self.base_width, "inputs": list(self.inputs)}  # fmt: skip

    @classmethod
    def from_json(cls, role: str, content: Any, folder: Path) -> NetworkFile:
        """Read an entry of the manifest in ``folder``.

        Raises
        ------
        InputError
            If a key is missing, unknown or wrong.
        """
        where = f"weights manifest, {role}"
        _check_keys(where, content, _NETWORK_KEYS)
        check_weights_name(content["file"])
        check_number(f"{where}, size_bytes", content["size_bytes"], 1, LARGEST_FILE_BYTES, whole=True)
        inputs = tuple(_strings(f"{where}, inputs", content["inputs"]))
        return cls(folder / content["file"], content["sha256"], content["base_width"], inputs, content["size_bytes"])

    def read(self) -> bytes:
        """Content, once it is known to be what was recorded.

        Raises
        ------
        InputError
            If the file is missing, unreadable or has another size or SHA-256.
        """
        where = f"weights file {self.path.name}"
        try:
            size = self.path.stat().st_size
            right_size = size == self.size_bytes if self.size_bytes else size <= LARGEST_FILE_BYTES
            content = self.path.read_bytes() if right_size else b""
        except OSError as error:
            raise InputError(where, f"a file that cannot be read ({error.strerror or error})",
                             f"it in {self.path.parent}", _AGAIN) from error  # fmt: skip
        if not right_size:
            raise InputError(where, f"{size} bytes", f"{self.size_bytes or 'fewer'} bytes", _AGAIN)
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise InputError(where, f"SHA-256 {found}", f"{self.sha256}, as the manifest records", _AGAIN)
        return content


@dataclass(frozen=True, kw_only=True)
class WeightSet:
    """Networks that were trained together, with their constants.

    Parameters
    ----------
    name : str
        Of the set's folder: letters, digits, ``.``, ``_`` and ``-``.
    title : str
        One line for people.
    networks : mapping of role to NetworkFile
        At least one.
    normalisation : mapping of artifact to Normalisation
        Of every map that a network of the set takes or gives; in ppm, relaxation (1/s) once it is divided by
        ``relaxivity_hz_per_ppm``.
    relaxivity_hz_per_ppm : float
        Relaxometric constant of the training, (1/s)/ppm.
    field_strength_t : float
        Of the training data, T.
    voxel_size_mm : tuple of 3 floats
        Of the training data, mm.
    smallest_voxel_mm, largest_voxel_mm : float
        Edges of voxels between which the results were tested, mm.
    training_domain : {"in vivo", "simulated"}
        What the networks learnt from.
    licence, source : str
        Under which terms, and from whom.

    Raises
    ------
    InputError
        If a value cannot be right or a constant is missing.
    """

    name: str
    title: str
    networks: Mapping[Role, NetworkFile]
    normalisation: Mapping[str, Normalisation]
    relaxivity_hz_per_ppm: float
    field_strength_t: float
    voxel_size_mm: tuple[float, float, float]
    smallest_voxel_mm: float
    largest_voxel_mm: float
    training_domain: str
    licence: str
    source: str

    def __post_init__(self) -> None:
        check_set_name(self.name)
        for key in _TEXTS:
            check_text(f"weights '{self.name}', {key}", getattr(self, key))
        check_choice(f"weights '{self.name}', training domain", self.training_domain, ("in vivo", "simulated"))
        self._check_numbers()
        self._check_networks()
        self._check_normalisation()

    def _check_numbers(self) -> None:
        where = f"weights '{self.name}'"
        check_number(f"{where}, relaxivity", self.relaxivity_hz_per_ppm, 1, 1e4)
        check_number(f"{where}, field strength", self.field_strength_t, 0.01, 25)
        if len(self.voxel_size_mm) != 3:
            raise InputError(f"{where}, voxel size", f"{len(self.voxel_size_mm)} numbers", "3 edges in mm")
        for edge_mm in self.voxel_size_mm:
            check_number(f"{where}, voxel size", edge_mm, 0.1, 10)
        check_number(f"{where}, smallest voxel", self.smallest_voxel_mm, 0.1, min(self.voxel_size_mm))
        check_number(f"{where}, largest voxel", self.largest_voxel_mm, max(self.voxel_size_mm), 10)

    def _check_networks(self) -> None:
        where = f"networks of weights '{self.name}'"
        _check_some(where, self.networks, ROLES)
        for role, file in self.networks.items():
            if file.inputs not in INPUTS[role]:
                expected = " or ".join(" + ".join(names) for names in INPUTS[role])
                raise InputError(f"inputs of {role}", " + ".join(file.inputs) or "none", expected)
        if len({file.path.name.casefold() for file in self.networks.values()}) < len(self.networks):
            raise InputError(where, "the same file for two of them", "a file for each")

    def _check_normalisation(self) -> None:
        where = f"normalisation of weights '{self.name}'"
        _check_some(where, self.normalisation, QUANTITIES)
        needed = {name for role, file in self.networks.items() for name in (*file.inputs, *OUTPUTS[role])}
        if missing := sorted(needed - set(self.normalisation)):
            raise InputError(where, f"no constants of {', '.join(missing)}", "mean and std of every input and output",
                             "They stand in the file that was published with the weights.")  # fmt: skip

    def file(self, role: Role) -> NetworkFile:
        """File of one network.

        Raises
        ------
        InputError
            If the set has none of that role.
        """
        if role not in self.networks:
            raise InputError(f"weights '{self.name}'", f"no {role} among {', '.join(self.networks)}",
                             f"a set with {role}", "Choose another set; see 'chisep weights list'.")  # fmt: skip
        return self.networks[role]

    def network(self, role: Role) -> UNet:
        """Load one network for inference: float32, on the CPU.

        Raises
        ------
        InputError
            If the set has none of that role, or its file is not the recorded one or does not fit the architecture.
        """
        from .state import Architecture, build, from_safetensors

        file = self.file(role)
        architecture = Architecture(len(file.inputs), len(OUTPUTS[role]), file.base_width)
        return build(from_safetensors(file.read(), file.path.name), architecture, f"weights file {file.path.name}")

    def to_json(self) -> dict[str, Any]:
        """Content of the manifest."""
        values = {key: getattr(self, key) for key in ("name", *_TEXTS, *_NUMBERS)}
        return {
            "format": _FORMAT,
            **values,
            "voxel_size_mm": list(self.voxel_size_mm),
            "networks": {role: file.to_json() for role, file in self.networks.items()},
            "normalisation": {name: {"mean": one.mean, "std": one.std} for name, one in self.normalisation.items()},
        }

    @classmethod
    def from_json(cls, content: Any, folder: Path) -> WeightSet:
        """Read the content of the manifest in ``folder``.

        Raises
        ------
        InputError
            If a key is missing, unknown or wrong.
        """
        where = "weights manifest"
        _check_keys(where, content, _KEYS, format_key="format")
        check_set_name(content["name"])
        _check_some(f"{where}, networks", content["networks"], ROLES)
        voxel_size = content["voxel_size_mm"]
        if not isinstance(voxel_size, list):
            raise InputError(f"{where}, voxel_size_mm", repr(voxel_size)[:40], "a JSON array of 3 numbers")
        networks = {role: NetworkFile.from_json(role, one, folder) for role, one in content["networks"].items()}
        values = {key: content[key] for key in ("name", *_TEXTS, *_NUMBERS)}
        return cls(networks=cast("dict[Role, NetworkFile]", networks), voxel_size_mm=cast(Any, tuple(voxel_size)),
                   normalisation=_normalisation(content["normalisation"]), **values)  # fmt: skip


def read_set(folder: Path) -> WeightSet:
    """Read the set in a folder; its files are read later, when a network is asked for.

    Raises
    ------
    InputError
        If the manifest is missing or wrong.
    """
    one = WeightSet.from_json(read_json(folder / MANIFEST), folder)
    if one.name != folder.name:
        raise InputError("weights manifest", f"name '{one.name}' in the folder '{folder.name}'", "the same name")
    return one


def write_manifest(one: WeightSet, folder: Path) -> None:
    """Write ``manifest.json`` into the folder that holds the set's files.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    write_json(folder / MANIFEST, one.to_json())


def _check_keys(where: str, content: Any, keys: Collection[str], format_key: str = "") -> None:
    if not isinstance(content, dict):
        raise InputError(where, repr(content)[:40], "a JSON object")
    if format_key and repr(content.get(format_key)) != str(_FORMAT):
        raise InputError(f"{where}, format", repr(content.get(format_key))[:40], str(_FORMAT),
                         "A newer version of this program may read it.")  # fmt: skip
    if missing := sorted(set(keys) - set(content)):
        raise InputError(where, f"no {', '.join(missing)}", f"the keys {', '.join(keys)}")
    if unknown := sorted(set(content) - set(keys)):
        raise InputError(where, f"unknown keys {', '.join(unknown)[:80]!r}", f"only {', '.join(keys)}")


def _check_some(where: str, content: Any, names: Collection[str]) -> None:
    """Refuse what maps no or other names."""
    if not isinstance(content, Mapping) or not content or set(content) - set(names):
        got = ", ".join(map(str, content))[:80] or "none" if isinstance(content, Mapping) else repr(content)[:40]
        raise InputError(where, got, f"some of {', '.join(names)}")


def _strings(where: str, content: Any) -> list[str]:
    if not isinstance(content, list) or not all(isinstance(one, str) for one in content):
        raise InputError(where, repr(content)[:40], "a JSON array of names")
    return content


def _normalisation(content: Any) -> dict[str, Normalisation]:
    where = "weights manifest, normalisation"
    _check_some(where, content, QUANTITIES)
    for name, one in content.items():
        _check_keys(f"{where} of {name}", one, ("mean", "std"))
        for key, value in one.items():
            check_number(f"{where} of {name}, {key}", value, -1e6, 1e6)
    return {name: Normalisation(mean=float(one["mean"]), std=float(one["std"])) for name, one in content.items()}
