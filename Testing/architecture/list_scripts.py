"""Write each module's files into its CMake lists: ``python Testing/architecture/list_scripts.py``."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = ("ChiSepPreprocess", "ChiSepReconstruct", "ChiSeparation")
#: Package that makes the sample data, the folder that it lies in, and the module whose list has its files.
PHANTOMS, PHANTOMS_FOLDER, PHANTOMS_MODULE = "ChiSepPhantoms", Path("Testing", "phantoms"), "ChiSeparation"
_LEFT_OUT = {"__pycache__"}


def files_of(module: str, repository: Path = REPOSITORY) -> dict[str, list[str]]:
    """Find the files of a module that must be installed, relative to its folder, sorted.

    Parameters
    ----------
    module : str
        One of :data:`MODULES`.
    repository : Path, optional
        Folder of the extension.

    Returns
    -------
    dict of str to list of str
        ``"scripts"``: Python; ``"resources"``: everything else (panels, icons, data, templates).
    """
    folder = repository / module
    candidates = [*folder.glob("*.py"), *(folder / f"{module}Lib").rglob("*"), *(folder / "Resources").rglob("*")]
    files = [one for one in candidates if one.is_file() and not _is_left_out(one.relative_to(folder))]
    names = sorted(one.relative_to(folder).as_posix() for one in files)
    return {
        "scripts": [name for name in names if name.endswith(".py")],
        "resources": [name for name in names if not name.endswith(".py")],
    }


def phantom_files(repository: Path = REPOSITORY) -> list[str]:
    """Find the files of the package that makes the sample data, relative to its parent folder, sorted."""
    folder = repository / PHANTOMS_FOLDER
    files = [one.relative_to(folder) for one in (folder / PHANTOMS).rglob("*") if one.is_file()]
    return sorted(one.as_posix() for one in files if not _is_left_out(one))


def _is_left_out(path: Path) -> bool:
    return (
        bool(_LEFT_OUT & set(path.parts)) or any(part.startswith(".") for part in path.parts) or path.suffix == ".pyc"
    )


def _between(text: str, kind: str) -> str:
    found = re.search(rf"# begin {kind}\n(.*?) *# end {kind}\n", text, flags=re.DOTALL)
    if found is None:
        raise ValueError(f"no marks '# begin {kind}' and '# end {kind}'")
    return found.group(1)


def write_lists(module: str) -> None:
    """Rewrite the lists between the marks."""
    path = REPOSITORY / module / "CMakeLists.txt"
    text = path.read_text(encoding="utf-8")
    phantoms = {"phantoms": phantom_files()} if module == PHANTOMS_MODULE else {}
    for kind, names in {**files_of(module), **phantoms}.items():
        lines = "".join(f"  {name}\n" for name in names)
        text = text.replace(f"# begin {kind}\n{_between(text, kind)}", f"# begin {kind}\n{lines}")
        text = re.sub(rf" *# end {kind}\n", f"  # end {kind}\n", text)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for one in MODULES:
        write_lists(one)
