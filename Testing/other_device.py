"""A device beside the processor, without a GPU: what a tensor there may do with others, and what may not be forgotten.

Its tensors hold their numbers on the processor, but say that they lie elsewhere. As on a GPU, an operation on
them and on the processor's own (but for single numbers) fails, and so does handing one over to NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

#: The one device type beside the processor that every build of torch lets tensors claim.
_NAME = "meta"


class Elsewhere(torch.Tensor):
    """A tensor of that device; ``held`` are its numbers."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls: type[Elsewhere], held: torch.Tensor) -> Elsewhere:
        """Hold a tensor of the processor."""
        made: Elsewhere = torch.Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=torch.device(_NAME),
        )  # fmt: skip
        made.held = held
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        """Numbers and device."""
        return f"{self.held!r} on {_NAME}"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do the same with the numbers held."""
        given = {id(one.held): one for one in tree_leaves((args, kwargs)) if isinstance(one, Elsewhere)}
        if function is not torch.ops.aten.copy_.default:  # which copies from one device to another
            _check_together(function, (args, kwargs))
        wanted = str((kwargs or {}).get("device", _NAME))
        held = _held((args, kwargs or {}))
        held[1].pop("device", None)
        result = function(*held[0], **held[1])
        if not wanted.startswith(_NAME):
            return result
        return tree_map_only(torch.Tensor, lambda one: given[id(one)] if id(one) in given else Elsewhere(one), result)


def _held(given: Any) -> Any:
    return tree_map_only(Elsewhere, lambda one: one.held, given)


def _check_together(function: Any, given: Any) -> None:
    """Raise RuntimeError where tensors of the processor are among the others, but for single numbers."""
    if any(isinstance(one, torch.Tensor) and not isinstance(one, Elsewhere) and one.ndim for one in tree_leaves(given)):
        raise RuntimeError(f"{function}: a tensor on the processor among those on {_NAME}")


class _MadeThere(TorchFunctionMode):
    """Tensors that are asked for on that device are made there."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        kwargs = dict(kwargs or {})
        if function is torch.Tensor.to and len(args) > 1 and not isinstance(args[0], Elsewhere):
            there = str(getattr(args[1], "device", args[1])).startswith(_NAME)
            kind = getattr(args[1], "dtype", args[0].dtype)
            return Elsewhere(args[0].to(kind)) if there else function(*args, **kwargs)
        if function is torch.Tensor.__setitem__ and isinstance(args[0], Elsewhere):
            _check_together(function, args)
            return function(*_held(args))
        if function is torch.Tensor.numpy and isinstance(args[0], Elsewhere):
            raise TypeError(f"A tensor on {_NAME} is no array.")
        there = str(kwargs.get("device", "")).startswith(_NAME)
        if there and not any(isinstance(one, Elsewhere) for one in tree_leaves(args)):
            return Elsewhere(function(*args, **{**kwargs, "device": "cpu"}))
        return function(*args, **kwargs)


@contextmanager
def other_device() -> Iterator[str]:
    """Name of the device, which is there as long as this lasts."""
    with _MadeThere():
        yield _NAME
