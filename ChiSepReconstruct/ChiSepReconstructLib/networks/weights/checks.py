"""Checks of what a manifest says: it may come from anywhere."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from ChiSepPreprocessLib.errors import InputError

#: Names that are safe as files on every system: no separators, no leading dot, no spaces.
_PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?")

#: Devices of Windows, with whatever ending.
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)

_SHA256 = re.compile(r"[0-9a-f]{64}")

_LONGEST_TEXT = 2000


def is_plain_name(name: object) -> bool:
    """Whether a name can stand for a file or a folder and for nothing outside its own folder."""
    return isinstance(name, str) and bool(_PLAIN.fullmatch(name)) and not _RESERVED.fullmatch(name)


def check_set_name(name: object) -> None:
    """Refuse a name that could not be a folder everywhere.

    Raises
    ------
    InputError
        If it holds other characters than letters, digits, ``.``, ``_`` and ``-``, or is longer than 64.
    """
    if not is_plain_name(name):
        raise InputError("name of weights", repr(name)[:80],
                         "up to 64 letters, digits, '.', '_' or '-', the first a letter or digit")  # fmt: skip


def check_weights_name(name: object) -> None:
    """Refuse the name of a file that is not a plain ``….safetensors``.

    Raises
    ------
    InputError
        If it is none: a path, another type.
    """
    if not is_plain_name(name) or not str(name).endswith(".safetensors"):
        raise InputError("name of a weights file", repr(name)[:80], "a plain name such as 'qsmnet.safetensors'")


def check_sha256(where: str, value: object) -> None:
    """Refuse what is no SHA-256 in lower-case hexadecimal digits.

    Raises
    ------
    InputError
        If it is none.
    """
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise InputError(f"{where}, SHA-256", repr(value)[:80], "64 hexadecimal digits in lower case")


def check_text(where: str, value: object) -> None:
    """Refuse what is no short text, or could steer a terminal.

    Raises
    ------
    InputError
        If it is no text, empty, longer than 2000 characters or has unprintable ones.
    """
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST_TEXT or not value.isprintable():
        raise InputError(where, repr(value)[:80], f"a printable line of 1 to {_LONGEST_TEXT} characters")


def check_choice(where: str, value: object, choices: Collection[str]) -> None:
    """Refuse what is none of the words.

    Raises
    ------
    InputError
        If it is none.
    """
    if value not in choices:
        raise InputError(where, repr(value)[:80], f"one of {', '.join(choices)}")


def check_number(where: str, value: Any, smallest: float, largest: float, *, whole: bool = False) -> None:
    """Refuse what is no number in the range.

    Raises
    ------
    InputError
        If it is none, or not whole where that is asked for.
    """
    kind = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kind) or not smallest <= value <= largest:
        noun = "a whole number" if whole else "a number"
        raise InputError(where, repr(value)[:80], f"{noun} from {smallest:g} to {largest:g}")
