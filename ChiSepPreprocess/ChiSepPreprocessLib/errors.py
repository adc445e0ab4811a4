"""The errors that users see: one sentence each, and what to do next."""

from __future__ import annotations


class ChiSepError(Exception):
    """Base of every error that this project raises on purpose."""


class InputError(ChiSepError, ValueError):
    """Input that cannot be used.

    Parameters
    ----------
    quantity : str
        What was looked at, such as ``"echo times"``.
    got : object
        What was found.
    expected : str
        What is needed.
    hint : str, optional
        What the user can do next.
    """

    def __init__(self, quantity: str, got: object, expected: str, hint: str = "") -> None:
        self.quantity, self.got, self.expected, self.hint = quantity, got, expected, hint
        message = f"{quantity}: got {got}; expected {expected}."
        super().__init__(f"{message} {hint}".strip())

    def __reduce__(self) -> tuple[type[InputError], tuple[str, object, str, str]]:
        """Let the error travel between processes, which rebuild it from its arguments."""
        return type(self), (self.quantity, self.got, self.expected, self.hint)


class OutputError(ChiSepError, RuntimeError):
    """A result that cannot be written: disk full, folder read-only."""


class MissingDependencyError(ChiSepError, RuntimeError):
    """A library or a system package that this step needs is not installed."""


class CancelledError(ChiSepError, RuntimeError):
    """The caller asked to stop."""
