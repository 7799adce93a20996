"""A recipe: which class, with which arguments. It makes the module, and it writes the line of Python that makes the module."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from .errors import InputError

Shape = tuple[int, ...]
"""A tensor's shape without its batch dimension, such as (32, 14, 14)."""


@dataclass(frozen=True)
class Recipe:
    """`cls(*args, **kwargs)`, kept apart until somebody wants the module or its source."""

    cls: type[nn.Module]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """Make the module on the current default device."""
        return self.cls(*self.args, **self.kwargs)

    def source(self) -> str:
        """The expression that makes the module, such as ``nn.Linear(64, 10, bias=False)``."""
        name = f"nn.{self.cls.__name__}" if self.cls.__module__.startswith("torch.nn") else self.cls.__name__
        arguments = [repr(arg) for arg in self.args] + [f"{key}={value!r}" for key, value in self.kwargs.items()]
        return f"{name}({', '.join(arguments)})"


def show(shape: Shape) -> str:
    """A shape for people: ``32 × 14 × 14``."""
    return " × ".join(map(str, shape)) or "one number"


def read_sizes(text: str, name: str) -> Shape:
    """Whole numbers from a text field, divided by commas, spaces or ×: ``"1, 7"`` → (1, 7).

    Raises:
        InputError: Something else stands in the text; `name` says in which field.
    """
    words = text.replace("×", " ").replace("x", " ").replace(",", " ").split()
    try:
        return tuple(int(word) for word in words)
    except ValueError:
        raise InputError(f"{name} is {text!r}; write whole numbers divided by commas, such as 1, 7.") from None
