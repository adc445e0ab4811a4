"""``python -m ChiSeparationLib``: the command line, with a clear word where a library is missing."""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Run ``chisep``; exit code 2 and one line where a library that it needs is not installed."""
    try:
        from .cli import main as run
    except ModuleNotFoundError as error:
        message = f"The Python library '{error.name}' is not installed: {sys.executable} -m pip install {error.name}"
        if "--progress-json" in sys.argv:
            sys.stdout.write(json.dumps({"event": "error", "message": message, "exit_code": 2}) + "\n")
        sys.stderr.write(f"chisep: {message}\n")
        raise SystemExit(2) from None
    run()


if __name__ == "__main__":
    main()
