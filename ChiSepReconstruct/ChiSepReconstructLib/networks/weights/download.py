"""Fetching a set of weights by the address of its manifest: nothing large before consent, nothing installed unchecked.

The files lie beside the manifest under the names that it gives. Interrupted transfers go on where they stopped.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from ChiSepPreprocessLib import __version__
from ChiSepPreprocessLib.errors import CancelledError, InputError, OutputError
from ChiSepPreprocessLib.files import writing_to
from ChiSepPreprocessLib.progress import Reporter

from .store import adding, check_free, check_networks, entries, verify, weights_folder
from .weight_set import NetworkFile, WeightSet, read_set, write_manifest

_LARGEST_MANIFEST_BYTES = 2**20
_LARGEST_SET_BYTES = 2**32

_CHUNK_BYTES = 2**18

#: Without a byte for so long, a transfer counts as interrupted.
_TIMEOUT_S = 30.0

#: Transfers that end early are taken up again so often, as long as each brings something.
_ATTEMPTS = 5

#: Machines that need no encryption, as they are this one.
_LOCAL = ("localhost", "127.0.0.1", "::1")

_GOES_ON = "Check the network (a proxy is taken from https_proxy); the same command goes on where this one stopped."

_DELETED = "It was deleted. Try again; if it stays so, tell who published it."


@dataclass(frozen=True)
class Offer:
    """What an address offers, known before anything large is fetched.

    Parameters
    ----------
    url : str
        Of the manifest.
    weights : WeightSet
        As the manifest describes it; its files are not there yet.
    size_bytes : int
        Of all files.
    present_bytes : int
        Fetched by an earlier, interrupted call.
    """

    url: str
    weights: WeightSet
    size_bytes: int
    present_bytes: int = 0


def inspect(url: str, *, allow_http: bool = False) -> Offer:
    """Fetch the manifest alone.

    Parameters
    ----------
    url : str
        Of a ``manifest.json``; https, or http of this machine.
    allow_http : bool
        Accept http of other machines: the transfer can be read and changed by others on the way.

    Raises
    ------
    InputError
        If the address is none, cannot be reached, or its manifest is wrong or describes more than 4 GiB.
    """
    _check_url(url, allow_http)
    with _reaching(url), _opened(url, allow_http) as response:
        content = response.read(_LARGEST_MANIFEST_BYTES + 1)
    if len(content) > _LARGEST_MANIFEST_BYTES:
        raise InputError("weights manifest", "more than 1 MiB", "the JSON text of a manifest", "Check the address.")
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError("weights manifest", f"no JSON at {url}", "the address of a manifest.json") from error
    weights = WeightSet.from_json(manifest, weights_folder())
    size = sum(file.size_bytes for file in weights.networks.values())
    if size > _LARGEST_SET_BYTES:
        raise InputError(f"weights '{weights.name}'", f"{size / 2**30:.1f} GiB", "at most 4 GiB")
    return Offer(url, weights, size, sum(map(_size, _parts(weights))))


def download(
    url: str, confirm: Callable[[Offer], bool], *, overwrite: bool = False, allow_http: bool = False,
    report: Reporter | None = None,
) -> WeightSet:  # fmt: skip
    """Fetch, check and install a set.

    Parameters
    ----------
    url : str
        Of a ``manifest.json``; https, or http of this machine.
    confirm : callable
        Receives the :class:`Offer` with sizes, hashes and licence; nothing is fetched unless it returns ``True``.
    overwrite : bool
        Replace a set of that name, also the same one.
    allow_http : bool
        Accept http of other machines.
    report : Reporter, optional
        Receives progress and may cancel; what was fetched until then is kept for the next call.

    Returns
    -------
    WeightSet
        As installed; if exactly this set was, it is verified and nothing is fetched.

    Raises
    ------
    InputError
        If the address, the manifest or a file is wrong, the name is taken, or the transfer was interrupted.
    OutputError
        If the disk is full or not writable.
    CancelledError
        If ``confirm`` or the report says so.
    """
    offer, report = inspect(url, allow_http=allow_http), report or Reporter()
    name = offer.weights.name
    if _is_installed(offer.weights) and not overwrite:
        return verify(name, report)
    check_free(name, overwrite=overwrite)
    _check_space(offer)
    if not confirm(offer):
        raise CancelledError(f"Nothing of '{name}' was fetched.")
    folder = _part_folder(offer.weights)
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _fetch_all(offer, folder, allow_http, report.span(0.0, 0.95))
    check_networks(WeightSet.from_json(offer.weights.to_json(), folder), report.span(0.95, 1.0))
    with adding(name, overwrite=overwrite) as final:
        for file in offer.weights.networks.values():
            (folder / file.path.name).rename(final / file.path.name)
        write_manifest(offer.weights, final)
    shutil.rmtree(folder, ignore_errors=True)
    return read_set(weights_folder() / name)


def _is_installed(offered: WeightSet) -> bool:
    return any(one.weights is not None and one.weights.to_json() == offered.to_json() for one in entries())


def _part_folder(offered: WeightSet) -> Path:
    """Hidden folder of the transfer; another manifest has another one."""
    digest = hashlib.sha256(json.dumps(offered.to_json(), sort_keys=True).encode()).hexdigest()
    return weights_folder() / f".download-{digest[:16]}"


def _parts(offered: WeightSet) -> list[Path]:
    return [_part_folder(offered) / file.path.name for file in offered.networks.values()]


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _check_space(offer: Offer) -> None:
    parent = next(one for one in (weights_folder(), *weights_folder().parents) if one.exists())
    free, needed = shutil.disk_usage(parent).free, offer.size_bytes - offer.present_bytes
    if free < needed:
        raise OutputError(f"Cannot write {weights_folder()}: {needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} free.")


def _fetch_all(offer: Offer, folder: Path, allow_http: bool, report: Reporter) -> None:
    done = 0
    for file in offer.weights.networks.values():
        share = report.span(done / offer.size_bytes, (done + file.size_bytes) / offer.size_bytes)
        _fetch(urljoin(offer.url, file.path.name), file, folder / file.path.name, allow_http, share)
        done += file.size_bytes


def _fetch(url: str, file: NetworkFile, path: Path, allow_http: bool, report: Reporter) -> None:
    """Bring one file to its full size, then hold it against its hash; a wrong one is deleted."""
    for _ in range(_ATTEMPTS):
        before = _size(path)
        if before >= file.size_bytes:
            break
        try:
            with _reaching(url):
                _append(url, file, path, allow_http, report)
        except InputError:
            if _size(path) <= before:
                raise
        if _size(path) <= before:
            break
    if _size(path) < file.size_bytes:
        got = f"{_size(path)} of {file.size_bytes} bytes"
        raise InputError(f"download of {path.name}", got, "all of them", _GOES_ON)
    _check_content(file, path)


def _check_content(file: NetworkFile, path: Path) -> None:
    try:
        replace(file, path=path).read()
    except InputError as error:
        path.unlink()
        raise InputError(f"download of {path.name}", "another content than the manifest promises (SHA-256 or size)",
                         "the promised file", _DELETED) from error  # fmt: skip


def _append(url: str, file: NetworkFile, path: Path, allow_http: bool, report: Reporter) -> None:
    """Fetch what is missing; of a server that cannot send a part of a file, fetch it anew."""
    start = _size(path)
    try:
        with _opened(url, allow_http, start) as response:
            goes_on = start > 0 and response.status == 206 and _range_start(response) == start
            with writing_to(path):
                target = path.open("ab" if goes_on else "wb")
            with target:
                _copy(response, target, file, start if goes_on else 0, report)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # the file there is not longer than this part
            path.unlink()
            raise InputError(f"download of {path.name}", f"{start} bytes or fewer", f"{file.size_bytes}, as promised",
                             _DELETED) from error  # fmt: skip
        raise


def _copy(response: Any, target: Any, file: NetworkFile, done: int, report: Reporter) -> None:
    """Copy until the file has its size; one byte more is enough to know that it is wrong."""
    name = file.path.name
    while done <= file.size_bytes:
        report("download", done / file.size_bytes, f"{name}, {done / 1e6:.0f} of {file.size_bytes / 1e6:.0f} MB")
        chunk = response.read1(min(_CHUNK_BYTES, file.size_bytes + 1 - done))
        if not chunk:
            return
        with writing_to(file.path):
            target.write(chunk)
            target.flush()
        done += len(chunk)


def _range_start(response: Any) -> int | None:
    unit, _, place = (response.headers.get("Content-Range") or "").partition(" ")
    first = place.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdecimal() else None


def _check_url(url: str, allow_http: bool) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if host is None or not is_plain or parts.scheme not in ("https", "http"):
        raise InputError("address", repr(url)[:200], "https://… of a manifest.json")
    if parts.username is not None:
        raise InputError("address", f"one with a user's name at {host}", "an address without name and password")
    if parts.scheme == "http" and not allow_http and host not in _LOCAL:
        raise InputError("address", f"http at {host}", "https", "Of http, others on the way can read and change it.")


class SafeRedirections(urllib.request.HTTPRedirectHandler):
    """Follows redirections only to addresses that could have been given."""

    def __init__(self, allow_http: bool) -> None:
        self._allow_http = allow_http

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Check the new address, then follow."""
        _check_url(newurl, self._allow_http)
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise InputError("address", f"a redirection from https to {newurl[:200]}", "https throughout")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def _opened(url: str, allow_http: bool, start: int = 0) -> Iterator[Any]:
    """Open an address from the byte ``start`` on, through the proxy of the environment if there is one."""
    headers = {"User-Agent": f"ChiSeparation/{__version__}", **({"Range": f"bytes={start}-"} if start else {})}
    opener = urllib.request.build_opener(SafeRedirections(allow_http))
    with opener.open(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT_S) as response:
        yield response


@contextmanager
def _reaching(url: str) -> Iterator[None]:
    """Say in one sentence why an address gives nothing."""
    host = urlsplit(url).hostname
    try:
        yield
    except InputError:  # which is a ValueError too
        raise
    except urllib.error.HTTPError as error:
        raise InputError("download", f"the answer {error.code} {error.reason} to {url}", "the file",
                         "Check the address.") from error  # fmt: skip
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        raise InputError("download", f"no connection to {host} ({reason})", "an answer", _GOES_ON) from error
