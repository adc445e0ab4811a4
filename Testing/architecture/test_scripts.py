"""The two commands say in one line what a fresh machine lacks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def make_environment(root: Path, path: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Source the script and make an environment for a copy of the project."""
    (root / "Testing").mkdir(parents=True)
    for name in ("pyproject.toml", "Testing/constraints.txt", "Testing/environment.sh"):
        (root / name).write_bytes((ROOT / name).read_bytes())
    script = f'root="{root}"; . "$root/Testing/environment.sh"; make_environment demo'
    return subprocess.run(
        ["/bin/bash", "-c", script], env={"PATH": path, **variables}, capture_output=True, text=True, check=False
    )


def tool(folder: Path, name: str, body: str) -> None:
    """Write an executable shell script."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """The few system tools that the script needs, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("awk", "cat", "cksum", "tail", "mkdir"):
        found = next(Path(one, name) for one in ("/usr/bin", "/bin") if Path(one, name).exists())
        (folder / name).symlink_to(found)
    tool(folder, "df", 'printf "a b c d\\nx 1 1 99000000 1 /\\n"')
    return folder


def test_no_python_is_said(tmp_path: Path, tools: Path) -> None:
    done = make_environment(tmp_path / "copy", str(tools))
    assert done.returncode == 2
    assert "no Python 3.11 or later found" in done.stderr


def test_python_without_venv_is_said(tmp_path: Path, tools: Path) -> None:
    tool(tools, "python3", 'case "$2" in *venv*) exit 1;; esac; exit 0')
    done = make_environment(tmp_path / "copy", str(tools))
    assert done.returncode == 2
    assert "has no venv module" in done.stderr
    assert "python3-venv" in done.stderr


def test_full_disk_is_said(tmp_path: Path, tools: Path) -> None:
    tool(tools, "df", 'printf "a b c d\\nx 1 1 100000 1 /\\n"')
    done = make_environment(tmp_path / "copy", str(tools))
    assert done.returncode == 2
    assert "only 97 MiB free" in done.stderr


def test_no_network_is_said(tmp_path: Path, tools: Path) -> None:
    """Pip fails; its last lines and the log's place are shown, and the next run tries again."""
    copy = tmp_path / "copy"
    python = 'case "$*" in *"pip install"*) echo "Could not reach the index" >&2; exit 1;; '
    python += f'*"-m venv"*) mkdir -p {copy}/.venv/bin; cp "$0" {copy}/.venv/bin/python;; esac; exit 0'
    tool(tools, "python3", python)
    (tools / "cp").symlink_to("/bin/cp")
    done = make_environment(copy, str(tools))
    assert done.returncode == 2
    assert "Could not reach the index" in done.stderr
    assert "the packages could not be installed (network? disk?)" in done.stderr
    assert not list((copy / ".venv").glob(".chisep-*"))


def test_made_environment_is_not_made_again(tmp_path: Path, tools: Path) -> None:
    calls = tmp_path / "calls"
    python = f'echo "$*" >> {calls}; case "$*" in *"-m venv"*) mkdir -p {tmp_path}/copy/.venv/bin; '
    python += f'cp "$0" {tmp_path}/copy/.venv/bin/python;; esac; exit 0'
    tool(tools, "python3", python)
    (tools / "cp").symlink_to("/bin/cp")
    assert make_environment(tmp_path / "copy", str(tools)).returncode == 0
    made = calls.read_text()
    assert "pip install" in made
    again = f'root="{tmp_path}/copy"; . "$root/Testing/environment.sh"; make_environment demo'
    subprocess.run(["/bin/bash", "-c", again], env={"PATH": str(tools)}, check=True)
    assert calls.read_text() == made
