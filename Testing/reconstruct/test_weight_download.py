"""Download of weights from a server on this machine that behaves well, badly, and breaks off."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import Request

import pytest

from ChiSepPreprocessLib.errors import CancelledError, InputError, OutputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.networks.weights import store
from ChiSepReconstructLib.networks.weights.download import Offer, SafeRedirections, download, inspect
from ChiSepReconstructLib.networks.weights.importing import import_weights
from ChiSepReconstructLib.networks.weights.weight_set import ROLES, WeightSet
from weight_files import publish


@dataclass
class Server:
    """What it serves, how it behaves, and what it was asked."""

    folder: Path
    ranges: bool = True
    break_off_after: list[int] = field(default_factory=list)  # bytes of one answer each, of files that are weights
    redirects: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Serve one request."""
        asked = handler.headers["Range"]
        self.requests.append((handler.path, asked))
        name = handler.path.rsplit("/", 1)[-1]
        if handler.path in self.redirects:
            handler.send_response(302)
            handler.send_header("Location", self.redirects[handler.path])
            handler.end_headers()
        elif not (self.folder / name).is_file():
            handler.send_error(404)
        else:
            self._send(handler, (self.folder / name).read_bytes(), asked if self.ranges else None, name)

    def _send(self, handler: BaseHTTPRequestHandler, content: bytes, asked: str | None, name: str) -> None:
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if start and start >= len(content):
            handler.send_error(416)
            return
        handler.send_response(206 if asked else 200)
        if asked:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        breaks = name.endswith(".safetensors") and self.break_off_after
        handler.wfile.write(content[start:][: self.break_off_after.pop(0) if breaks else None])

    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [path for path, _ in self.requests]


@pytest.fixture(autouse=True)
def data(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return data_folder


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set as someone would put it on a server."""
    published, folder = publish(tmp_path_factory.mktemp("published")), tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHISEP_DATA", str(folder))
        import_weights("shared", published.files, published.normalisation)
    return folder / "weights" / "shared"


@pytest.fixture
def server(original: Path, tmp_path: Path) -> Iterator[Server]:
    served = Server(Path(shutil.copytree(original, tmp_path / "served")))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        served.url = f"http://127.0.0.1:{listening.server_port}/weights/manifest.json"
        thread = Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        listening.shutdown()
        thread.join()


def yes(offer: Offer) -> bool:
    return True


def rewrite(served: Server, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the manifest on the server."""
    path = served.folder / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def left(data: Path) -> list[str]:
    """Names in the folder of weights; those of transfers shortened."""
    folder = data / "weights"
    return sorted(one.name[:9] for one in folder.iterdir()) if folder.exists() else []


def same_files(one: WeightSet, original: Path) -> bool:
    return all(file.path.read_bytes() == (original / file.path.name).read_bytes() for file in one.networks.values())


def test_a_set_arrives_whole(server: Server, original: Path, data: Path) -> None:
    seen: list[float] = []
    one = download(server.url, yes, report=Reporter(lambda status: seen.append(status.fraction)))
    assert one == store.verify("shared")
    assert same_files(one, original)
    assert server.paths() == [
        f"/weights/{name}" for name in ("manifest.json", *(f"{role}.safetensors" for role in ROLES))
    ]
    assert left(data) == ["shared"]
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_nothing_is_fetched_before_consent(server: Server, original: Path, data: Path) -> None:
    offers: list[Offer] = []

    def refuse(offer: Offer) -> bool:
        offers.append(offer)
        return False

    with pytest.raises(CancelledError):
        download(server.url, refuse)
    assert server.paths() == ["/weights/manifest.json"]
    assert not data.exists()
    files = offers[0].weights.networks.values()
    assert offers[0].size_bytes == sum((original / file.path.name).stat().st_size for file in files)
    assert "no redistribution" in offers[0].weights.licence
    assert all(len(file.sha256) == 64 for file in files)


def test_an_installed_set_is_not_fetched_again(server: Server) -> None:
    first = download(server.url, yes)
    server.requests.clear()
    assert download(server.url, yes) == first
    assert server.paths() == ["/weights/manifest.json"]


def test_another_set_of_the_name_is_replaced_on_request_alone(server: Server, data: Path) -> None:
    download(server.url, yes)
    rewrite(server, lambda content: content.update(title="another"))
    server.requests.clear()
    with pytest.raises(InputError, match="which is installed"):
        download(server.url, yes)
    assert server.paths() == ["/weights/manifest.json"]
    assert download(server.url, yes, overwrite=True) == store.verify("shared")
    assert store.find("shared").title == "another"
    assert left(data) == ["shared"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_transfer_that_breaks_off_is_taken_up_again(ranges: bool, server: Server, original: Path) -> None:
    server.ranges, server.break_off_after = ranges, [100_000, 150_000]
    one = download(server.url, yes)
    assert same_files(one, original)
    asked = [position for path, position in server.requests if path.endswith("qsmnet.safetensors")]
    assert asked == [None, "bytes=100000-", "bytes=250000-" if ranges else "bytes=150000-"]


def test_a_later_call_goes_on(server: Server, original: Path, data: Path) -> None:
    server.break_off_after = [1000, 0]
    with pytest.raises(InputError, match=r"1000 of \d+ bytes.*goes on where this one stopped"):
        download(server.url, yes)
    assert left(data) == [".download"]
    assert store.installed() == ()
    assert inspect(server.url).present_bytes == 1000
    server.requests.clear()
    assert same_files(download(server.url, yes), original)
    assert server.requests[1] == ("/weights/qsmnet.safetensors", "bytes=1000-")
    assert left(data) == ["shared"]


def test_a_cancelled_call_goes_on_too(server: Server, original: Path) -> None:
    with pytest.raises(CancelledError):
        download(server.url, yes, report=Reporter(lambda status: status.fraction < 0.5))
    present = inspect(server.url).present_bytes
    assert present > 0
    server.requests.clear()
    assert same_files(download(server.url, yes), original)
    assert "/weights/qsmnet.safetensors" not in server.paths()


@pytest.mark.parametrize("change", ["content", "longer", "shorter"])
def test_a_file_that_is_not_the_promised_one_is_deleted(change: str, server: Server, data: Path) -> None:
    path = server.folder / "r2primenet.safetensors"
    whole = path.read_bytes()
    path.write_bytes({"content": whole[:-1] + b"\x01", "longer": whole + b"x", "shorter": whole[:-1]}[change])
    with pytest.raises(InputError, match="download of r2primenet"):
        download(server.url, yes)
    assert store.installed() == ()
    parts = [one.name for one in (data / "weights").rglob("*.safetensors")]
    assert parts == ["qsmnet.safetensors"]
    path.write_bytes(whole)
    assert download(server.url, yes) == store.verify("shared")


def test_whole_files_of_another_network_are_not_installed(server: Server, original: Path) -> None:
    def exchange(content: dict[str, Any]) -> None:
        networks = content["networks"]
        for key in ("file", "sha256", "size_bytes"):
            networks["qsmnet"][key], networks["chisepnet"][key] = networks["chisepnet"][key], networks["qsmnet"][key]

    rewrite(server, exchange)
    with pytest.raises(InputError, match="conv11"):
        download(server.url, yes)
    assert store.installed() == ()


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/x.safetensors", "..\\x.safetensors",
                                  "http://127.0.0.1/x.safetensors", "%2e%2e%2fx.safetensors"])  # fmt: skip
def test_names_that_leave_the_folder_are_refused(name: str, server: Server, data: Path) -> None:
    rewrite(server, lambda content: content["networks"]["qsmnet"].update(file=name))
    with pytest.raises(InputError, match="plain name"):
        download(server.url, yes)
    rewrite(server, lambda content: content.update(name=name))
    with pytest.raises(InputError, match="name of weights"):
        download(server.url, yes)
    assert server.paths() == ["/weights/manifest.json"] * 2
    assert not data.exists()


def test_sets_that_are_too_large_are_refused(server: Server, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def enlarge(content: dict[str, Any]) -> None:
        for one in content["networks"].values():
            one["size_bytes"] = 2**31

    rewrite(server, enlarge)
    with pytest.raises(InputError, match=r"6\.0 GiB; expected at most 4"):
        download(server.url, yes)
    rewrite(server, lambda content: content["networks"].pop("chisepnet"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2**40, 2**40, 10**6))  # type: ignore[attr-defined]
    with pytest.raises(OutputError, match="4295 MB are needed, 1 free"):
        download(server.url, yes)
    assert not data.exists()


@pytest.mark.parametrize("content", ["", "[]", "no JSON", "[" * 100_000, " " * 2**20 + "{}", "{}"])
def test_what_is_no_manifest_is_refused(content: str, server: Server) -> None:
    (server.folder / "manifest.json").write_text(content)
    with pytest.raises(InputError, match="weights manifest"):
        inspect(server.url)


@pytest.mark.parametrize(
    "url",
    ["http://example.com/manifest.json", "ftp://127.0.0.1/manifest.json", "file:///etc/passwd", "manifest.json", "",
     "https://", "https://user:secret@example.com/manifest.json", "https://example.com:port/m.json",
     "https://example.com/a b", "https://example.com/ü", "http://localhost.example.com/m.json", "https://[::1/m.json"],
)  # fmt: skip
def test_addresses_that_are_not_safe_are_refused(url: str) -> None:
    with pytest.raises(InputError, match="address") as caught:
        inspect(url)
    assert "secret" not in str(caught.value)


def test_no_answer_is_said(server: Server) -> None:
    with pytest.raises(InputError, match="404 Not Found"):
        inspect(server.url.replace("manifest", "other"))
    with pytest.raises(InputError, match=r"no connection to 127\.0\.0\.1.*https_proxy"):
        inspect("http://127.0.0.1:9/manifest.json")
    (server.folder / "chisepnet.safetensors").unlink()
    with pytest.raises(InputError, match=r"404 Not Found.*chisepnet"):
        download(server.url, yes)
    assert store.installed() == ()


def test_redirections_are_followed_to_safe_addresses(server: Server, original: Path) -> None:
    short = server.url.replace("/weights/manifest.json", "/v1/manifest.json")
    server.redirects["/v1/manifest.json"] = "/elsewhere/x/manifest.json"
    server.redirects["/v1/qsmnet.safetensors"] = "/elsewhere/y/qsmnet.safetensors"
    assert same_files(download(short, yes), original)  # files lie beside the address that was given
    assert "/v1/chisepnet.safetensors" in server.paths()
    for target in ("http://example.com/manifest.json", "file:///etc/passwd", "ftp://127.0.0.1/x"):
        server.redirects["/v1/manifest.json"] = target
        with pytest.raises(InputError, match=r"address|https|connection"):
            inspect(short)


def test_a_redirection_never_leaves_encryption() -> None:
    handler, given = SafeRedirections(allow_http=True), Request("https://a.org/m.json")
    with pytest.raises(InputError, match="https throughout"):
        handler.redirect_request(given, None, 302, "", {}, "http://a.org/m.json")
    followed = handler.redirect_request(given, None, 302, "", {}, "https://b.org/m.json")
    assert followed is not None
    assert followed.full_url == "https://b.org/m.json"


def test_the_proxy_of_the_environment_is_used(server: Server, original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/weights/manifest.json"))
    one = download("http://weights.example.com/set/manifest.json", yes, allow_http=True)
    assert same_files(one, original)
    assert server.paths()[0] == "http://weights.example.com/set/manifest.json"
    assert len(server.paths()) == 4
