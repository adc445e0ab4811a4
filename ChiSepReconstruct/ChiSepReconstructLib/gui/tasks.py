"""Side tasks of the panel, run as ``python -m ChiSepReconstructLib.gui.tasks NAME CONTENT``: the child's half.

``CONTENT`` is a JSON object, the arguments. Progress, errors and the end are JSON lines on stdout as those of the
command line; the answer is the message of a warning, JSON again. Needs neither Qt nor a scene.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ChiSepPreprocessLib.errors import ChiSepError, InputError
from ChiSepPreprocessLib.gui.worker import say
from ChiSepPreprocessLib.progress import Reporter, Status

if TYPE_CHECKING:
    from ..networks.weights.download import Offer

#: What is written of the scene's volumes for :func:`write_maps`.
SNAPSHOT = "volumes.json"


def devices() -> Any:
    """Test every device that networks can run on; with its free memory, GiB."""
    from ..networks.devices import GIB, available, describe, free_memory

    free = {one.name: round(free_memory(one) / GIB, 1) for one in available()}
    return [{**one, "free_gib": free[one["name"]]} for one in describe()]


def inspect(url: str) -> Any:
    """Look at what an address offers; fetches the manifest alone."""
    from ..networks.weights.download import inspect as look

    return _offer(look(url))


def _offer(offer: Offer) -> dict[str, Any]:
    return {"manifest": offer.weights.to_json(), "size_bytes": offer.size_bytes, "present_bytes": offer.present_bytes}


def download(url: str, manifest: Mapping[str, Any]) -> Any:
    """Fetch and install a set, if it still is the one that the user agreed to."""
    from ..networks.weights.download import download as fetch

    def is_the_same(offer: Offer) -> bool:
        if offer.weights.to_json() != manifest:
            raise InputError("offered weights", "others than were shown", "the same", "Look at the address again.")
        return True

    return fetch(url, is_the_same, report=_reporter()).name


def import_set(name: str, files: Mapping[Any, str], constants: str, inputs: Sequence[str]) -> Any:
    """Make a set of the user's own checkpoints."""
    from ..networks.weights.importing import import_weights

    paths = {role: Path(path) for role, path in files.items()}
    order = tuple(inputs) or None
    return import_weights(name, paths, Path(constants), chisepnet_inputs=order, report=_reporter()).name


def write_maps(folder: str) -> Any:
    """Write the volumes that lie in a folder as arrays as maps into the same folder."""
    import numpy as np

    from ChiSepPreprocessLib.artifacts import Grid, Map
    from ChiSepPreprocessLib.files import read_json, write_map
    from ChiSepPreprocessLib.sidecars import scan_from_sidecar

    place = Path(folder)
    content, report = read_json(place / SNAPSHOT), _reporter()
    for number, note in enumerate(content["maps"]):
        name = note["artifact"]
        report("write volumes", number / len(content["maps"]), name)
        data = np.load(place / f"{name}.npy", allow_pickle=False)
        one = Map(name=name, data=data, grid=Grid(data.shape, content["affine"]), method=note["method"],
                  options=note["options"], warnings=tuple(note["warnings"]))  # fmt: skip
        write_map(one, scan_from_sidecar(note), place)
        (place / f"{name}.npy").unlink()
    return [note["artifact"] for note in content["maps"]]


TASKS: Mapping[str, Callable[..., Any]] = {
    one.__name__: one for one in (devices, inspect, download, import_set, write_maps)
}


def _reporter() -> Reporter:
    def tell(status: Status) -> None:
        say("progress", step=status.step, fraction=status.fraction, detail=status.detail)

    return Reporter(tell)


def main(arguments: Sequence[str]) -> int:
    """Run one task and tell how it went."""
    name, content = arguments
    try:
        answer = TASKS[name](**json.loads(content))
    except ChiSepError as error:
        code = 2 if isinstance(error, InputError) else 1
        say("error", message=str(error), exit_code=code)
        return code
    say("warning", message=json.dumps(answer))
    say("result", output=".")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
