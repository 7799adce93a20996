"""The widgets of settings that many nodes have."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io


def size(id: str, default: int, tooltip: str, min: int = 1, max: int = 65536, **kwargs: Any) -> io.Input:
    """A whole-number setting."""
    return io.Int.Input(id, default=default, min=min, max=max, tooltip=tooltip, **kwargs)


def number(
    id: str, default: float, tooltip: str, min: float = 0.0, max: float = 1.0, step: float = 0.01, **kwargs: Any
) -> io.Input:
    """A decimal setting."""
    return io.Float.Input(id, default=default, min=min, max=max, step=step, tooltip=tooltip, **kwargs)


def seed(tooltip: str) -> io.Input:
    """A random seed; it stays as it is after a run, so that the same workflow gives the same result."""
    return io.Int.Input(
        "seed", default=0, min=0, max=2**31, control_after_generate=io.ControlAfterGenerate.fixed, tooltip=tooltip
    )


def as_list(value: Any) -> list[Any]:
    """A value as a list, as ComfyUI hands it to a node that takes lists."""
    return value if isinstance(value, list) else [value]


def first(value: Any) -> Any:
    """The value of a widget, which such a node gets as a list of one."""
    return as_list(value)[0] if as_list(value) else None
