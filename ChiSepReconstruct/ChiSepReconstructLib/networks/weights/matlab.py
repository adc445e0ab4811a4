"""Single numbers out of MATLAB files.

Files of constants come from anywhere, and scipy's reader can crash the whole process on a broken one, so the little
that is needed is read here: every length is held against what is there.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_HEADER_BYTES = 128
_COMPRESSED, _MATRIX = 15, 14

#: Types of stored numbers, as in :mod:`struct`.
_NUMBERS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}

#: Classes of arrays of numbers: double, single and whole ones.
_NUMERIC_CLASSES = range(6, 16)
_COMPLEX = 0x0800

#: Enough for a single number with its name.
_START_BYTES = 4096


def read_scalars(content: bytes) -> dict[str, float | None]:
    """Read a MATLAB file of level 5 (versions 5 to 7).

    Parameters
    ----------
    content : bytes
        Of the whole file.

    Returns
    -------
    dict of name to float or None
        ``None`` for arrays of numbers that are not one real number; other variables are left out.

    Raises
    ------
    ValueError
        If it is no such file, or broken.

    References
    ----------
    MathWorks, MAT-File Format (R2019b), chapter 1.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[126:_HEADER_BYTES])
    if order is None or struct.unpack(order + "H", content[124:126]) != (0x0100,):
        raise ValueError("no MATLAB file of level 5")
    try:
        return dict(_variables(content, order))
    except (struct.error, zlib.error, UnicodeDecodeError, KeyError) as error:
        raise ValueError("a broken MATLAB file") from error


def _variables(content: bytes, order: str) -> Iterator[tuple[str, float | None]]:
    """Name and number of each array of numbers."""
    position = _HEADER_BYTES
    while position < len(content):
        kind, data, following = _element(content, position, order)
        if kind == _COMPRESSED:
            following = position + 8 + len(data)  # these alone are not filled up to whole 8 bytes
            kind, data = _unpacked(data, order)
        if kind == _MATRIX:
            yield from _numeric(data, order)
        position = following


def _element(content: bytes, position: int, order: str) -> tuple[int, bytes, int]:
    """Type and data of an element, and where the next one begins."""
    kind, size = struct.unpack_from(order + "II", content, position)
    start, following = position + 8, position + 8 + size + -size % 8
    if kind >> 16:  # a small element has its length before its type, and its data in place of the length
        kind, size, start, following = kind & 0xFFFF, kind >> 16, position + 4, position + 8
    if start + size > len(content):
        raise ValueError("an element beyond the end of the MATLAB file")
    return kind, content[start : start + size], following


def _unpacked(data: bytes, order: str) -> tuple[int, bytes]:
    """Type and the start of the data of a compressed element."""
    stream = zlib.decompressobj()
    content = stream.decompress(data, _START_BYTES)
    if not stream.eof and len(content) < _START_BYTES:
        raise ValueError("a cut element in the MATLAB file")
    kind, _ = struct.unpack_from(order + "II", content)
    return kind, content[8:]


def _numeric(data: bytes, order: str) -> Iterator[tuple[str, float | None]]:
    """Name and number of one array, if it is one of numbers."""
    _, flags, position = _element(data, 0, order)
    (word,) = struct.unpack(order + "I", flags[:4])
    if word & 0xFF not in _NUMERIC_CLASSES:
        return
    _, lengths, position = _element(data, position, order)
    _, name, position = _element(data, position, order)
    is_single = all(one == 1 for (one,) in struct.iter_unpack(order + "i", lengths)) and not word & _COMPLEX
    yield name.decode("ascii"), _number(data, position, order) if is_single else None


def _number(data: bytes, position: int, order: str) -> float:
    kind, value, _ = _element(data, position, order)
    (number,) = struct.unpack(order + _NUMBERS[kind], value)
    return float(number)
