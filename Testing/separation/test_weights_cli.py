"""``chisep weights``: what people and programs see, and how it ends."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import typer

from ChiSeparationLib import cli
from ChiSepReconstructLib.networks.weights import store
from weight_files import Published, random_network, save_checkpoint

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def data(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return data_folder


@pytest.fixture
def chisep(capsys: pytest.CaptureFixture[str]) -> Call:
    """``chisep …``: exit code, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(one) for one in arguments])
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return call


@pytest.fixture
def weights(chisep: Call) -> Call:
    """``chisep weights …``."""
    return functools.partial(chisep, "weights")


def _import_arguments(published: Published) -> list[object]:
    named = [part for role, path in published.files.items() for part in (f"--{role}", path)]
    return [*named, "--normalisation", published.normalisation]


def _one_line(text: str) -> bool:
    return text.startswith("chisep: ") and text.count("\n") == 1 and "Traceback" not in text


def test_the_life_of_a_set(weights: Call, published: Published, data: Path) -> None:
    code, out, _ = weights("list")
    assert code == 0
    assert "No weights are installed" in out
    assert "chisep weights import" in out
    assert weights("list", "--json")[1] == json.dumps({"folder": str(data / "weights"), "weights": []}) + "\n"

    code, out, err = weights("import", "official", *_import_arguments(published))
    assert (code, err) == (0, "")
    folder = data / "weights" / "official"
    assert out.startswith(f"{folder}: imported, qsmnet, r2primenet, chisepnet\nLicence: SNU-LIST")

    code, out, _ = weights("list")
    assert code == 0
    for words in ("official: QSMnet_ME, R2PRIMEnet, χ-sepnet", "(chi_total + local_field + r2prime; base width 2)",
                  "in vivo data, 2.893 T, 1×1×1 mm", "no redistribution", "imported by the user"):  # fmt: skip
        assert words in out
    listed = json.loads(weights("list", "--json")[1])["weights"]
    assert [(one["name"], one["problem"], one["shipped"]) for one in listed] == [("official", None, False)]
    assert listed[0]["networks"]["qsmnet"]["sha256"] == store.find("official").networks["qsmnet"].sha256

    assert weights("verify")[:2] == (0, "official: whole\n")
    assert weights("verify", "official", "--json")[1] == '{"weights": [{"name": "official", "problem": null}]}\n'
    assert weights("remove", "official")[:2] == (0, f"{folder}: removed\n")
    assert store.installed() == ()
    assert weights("verify")[:2] == (0, "No weights are installed.\n")


def test_a_broken_set_is_listed_and_fails_to_verify(weights: Call, published: Published, data: Path) -> None:
    weights("import", "official", *_import_arguments(published))
    weights("import", "other", *_import_arguments(published))
    path = data / "weights" / "official" / "qsmnet.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    code, out, err = weights("verify")
    assert code == 2
    assert "official: weights file qsmnet.safetensors: got SHA-256" in out
    assert "other: whole\n" in out
    assert _one_line(err)
    assert "broken sets: official" in err
    (data / "weights" / "other" / "manifest.json").write_text("{")
    code, out, err = weights("list")
    assert (code, err) == (0, "")
    assert "other: broken\n" in out
    assert json.loads(weights("list", "--json")[1])["weights"][1]["problem"].startswith("JSON file")
    assert weights("remove", "other")[0] == 0


def test_bad_imports_end_with_one_line(weights: Call, published: Published, data: Path, tmp_path: Path) -> None:
    constants = ("--normalisation", published.normalisation)
    broken = tmp_path / "broken.pth.tar"
    broken.write_bytes(published.files["qsmnet"].read_bytes()[:1000])
    ablation = save_checkpoint(tmp_path / "ablation.pth", random_network(2, 2))
    for arguments, words in (
        (("x", *constants), "--qsmnet"),
        (("x", "--qsmnet", published.files["qsmnet"]), "--normalisation"),
        (("x", "--qsmnet", broken, *constants), "none of its code was run"),
        (("x", "--qsmnet", tmp_path / "none", *constants), "does not exist"),
        (("../x", "--qsmnet", published.files["qsmnet"], *constants), "name of weights"),
        (("x", "--chisepnet", ablation, *constants), "in the order in which the network was trained"),
    ):
        code, out, err = weights("import", *arguments)
        assert (code, out) == (2, "")
        assert _one_line(err)
        assert words in err
    assert store.installed() == ()
    code, _, _ = weights("import", "x", "--chisepnet", ablation, "--chisepnet-inputs", "chi_total, r2prime", *constants)
    assert code == 0
    assert store.find("x").networks["chisepnet"].inputs == ("chi_total", "r2prime")
    code, _, err = weights("import", "x", *_import_arguments(published))
    assert code == 2
    assert "--overwrite" in err
    assert weights("import", "x", "--overwrite", *_import_arguments(published))[0] == 0
    assert len(store.find("x").networks) == 3


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def url(weights: Call, published: Published, data: Path, tmp_path: Path) -> Iterator[str]:
    """Address of a set's manifest; the set is not installed."""
    weights("import", "shared", *_import_arguments(published))
    (data / "weights" / "shared").rename(tmp_path / "served")
    handler = functools.partial(_Quiet, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/manifest.json"
        server.shutdown()
        thread.join()


def test_download_shows_before_it_asks(weights: Call, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = weights("download", url)  # standard input is no terminal
    assert code == 2
    assert "nobody to ask" in err
    for words in ("shared: QSMnet_ME", "MB, SHA-256 ", "licence: SNU-LIST", "size: 1.1 MB"):
        assert words in out
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(typer, "confirm", lambda question, err: False)
    assert weights("download", url)[0] == 130
    assert store.installed() == ()
    monkeypatch.setattr(typer, "confirm", lambda question, err: True)
    code, out, err = weights("download", url)
    assert (code, err) == (0, "")
    assert out.endswith(f"installed, qsmnet, r2primenet, chisepnet\nLicence: {store.find().licence}\n")


def test_download_without_a_question(weights: Call, url: str) -> None:
    assert weights("download", url, "--yes")[0] == 0
    assert weights("verify", "shared")[0] == 0
    code, _, err = weights("download", url.replace("http:", "ftp:"), "--yes")
    assert code == 2
    assert _one_line(err)
    code, _, err = weights("download", "http://example.com/manifest.json", "--yes")
    assert code == 2
    assert "expected https" in err


def test_sets_that_are_not_there(weights: Call) -> None:
    for command in ("verify", "remove"):
        code, out, err = weights(command, "nothing")
        assert code == 2
        assert _one_line(err)
        assert "'nothing'" in err
        assert out == ""


def test_a_method_without_its_weights_fails_before_anything_is_made(chisep: Call, tmp_path: Path) -> None:
    methods, output = "closed-form,chi-sepnet-r2star", tmp_path / "out"
    code, _, error = chisep("run", "--gre", tmp_path, "--method", methods, "-o", output)
    assert code == 2
    assert _one_line(error)
    assert "a set with chisepnet, r2primenet. Import yours with 'chisep weights import'" in error
    assert not output.exists()
