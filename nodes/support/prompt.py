"""A node's part of a prompt in API format: its inputs flat as they are sent, and as `execute` takes them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from comfy_api.latest import io


def is_link(value: Any) -> bool:
    """Whether an input's value is a link to another node's output."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def flat_inputs(
    inputs: list[io.Input], values: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, io.Input, bool]]:
    """Every input that a node has with these values: its flat key, its schema, and whether it must be there.

    A DynamicCombo brings the inputs of the option that is chosen (``type`` and ``type.alpha``), an Autogrow one for each of its names.
    """
    for entry in inputs:
        key = prefix + entry.id
        match entry:
            case io.Autogrow.Input():
                for number, name in enumerate(entry.template.names):
                    yield f"{key}.{name}", entry.template.input, number < entry.template.min
            case io.DynamicCombo.Input():
                yield key, entry, not entry.optional
                chosen = next((option for option in entry.options if option.key == values.get(key)), None)
                if chosen:
                    yield from flat_inputs(chosen.inputs, values, f"{key}.")
            case _:
                yield key, entry, not entry.optional


def arguments(inputs: list[io.Input], values: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """What `execute` is called with: dynamic inputs as dictionaries, absent ones left out or None inside them; `given` is what wires bring."""
    built: dict[str, Any] = {entry.id: {} for entry in inputs if isinstance(entry, io.Autogrow.Input)}
    for key, entry, _ in flat_inputs(inputs, values):
        if key not in values:
            continue
        value = values[key]
        if is_link(value):
            value = given[key]
        elif isinstance(entry, io.Float.Input):
            value = float(value)
        elif isinstance(entry, io.Int.Input):
            value = int(value)
        _put(built, key, value, isinstance(entry, io.DynamicCombo.Input))
    return built


def _put(arguments: dict[str, Any], key: str, value: Any, is_choice: bool) -> None:
    """Set ``type.alpha`` as arguments["type"]["alpha"], and a choice ``type`` as arguments["type"]["type"]."""
    *path, name = key.split(".")
    for part in [*path, name] if is_choice else path:
        arguments = arguments.setdefault(part, {})
    arguments[name] = value


def value_problems(key: str, entry: io.Input, value: Any) -> Iterator[str]:
    """What is wrong with a value that stands in the input `key`, in sentences."""
    match entry:
        case io.DynamicCombo.Input():
            choices = [option.key for option in entry.options]
            if value not in choices:
                yield f"{key} is {value!r}; choose one of {', '.join(choices)}."
        case io.Combo.Input():
            if value not in (entry.options or [value]):
                yield f"{key} is {value!r}; choose one of {', '.join(map(str, entry.options))}."
        case io.Boolean.Input():
            if not isinstance(value, bool):
                yield f"{key} is {value!r}; it must be true or false."
        case io.Int.Input() | io.Float.Input():
            whole = isinstance(entry, io.Int.Input)
            if not _is_number(value, whole):
                yield f"{key} is {value!r}; it must be a {'whole ' if whole else ''}number."
            elif not (entry.min is None or value >= entry.min) or not (entry.max is None or value <= entry.max):
                yield f"{key} is {value}; it must be from {entry.min} to {entry.max}."
        case io.String.Input():
            if not isinstance(value, str):
                yield f"{key} is {value!r}; it must be text."
        case _:
            if entry.get_io_type() != "*":
                yield f"{key} is {value!r}; it must be linked to an output of type {entry.get_io_type()}."


def _is_number(value: Any, whole: bool) -> bool:
    """Whether `value` is a finite number; an int may have any number of digits."""
    if isinstance(value, float):
        return math.isfinite(value) and (not whole or value.is_integer())
    return isinstance(value, int) and not isinstance(value, bool)
