"""Plans: networks, datasets and losses described by plain settings (what YAML and JSON hold), and what is built from them.

A plan names its kind by one of its keys: a network by a key of `NETWORKS`, a dataset by a key of `DATASETS`; a loss has the key "type", or
"sum". `DATASETS` is where another kind of dataset is added: a function whose keyword arguments are the settings.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from ..nn_layers import (
    Input,
    InputError,
    Network,
    apply,
    build,
    build_network,
    input_tensor,
    load_network,
)
from ..nn_layers.storage import read_spec
from ..nn_layers.tensor import untrained
from . import sources
from .dataset import Dataset
from .losses import LOSSES, Loss, LossSum
from .segmentation.coco import coco_dataset
from .segmentation.folders import masked_folder
from .transforms import Transform

if TYPE_CHECKING:
    from ..nn_layers.segmentation import SegmentationModel

Plan = Mapping[str, Any]
NOT_SETTINGS = ("on_progress",)


def build_dataset(plan: Plan, name: str) -> Dataset:
    """Read the dataset that `plan` describes, such as ``{"image_folder": "parts", "transforms": ["Flip"]}``.

    The value of the kind's key is a mapping of settings, or the first setting alone.

    Raises:
        InputError: An unknown kind or setting, or what the reader refuses.
    """
    kind = check_dataset(plan, name)
    dataset = DATASETS[kind](**_settings_of(kind, plan[kind], name))
    return replace(dataset, name=name).with_transforms(*(read_transform(t, name) for t in plan.get("transforms", ())))


def check_dataset(plan: Plan, name: str) -> str:
    """The kind of a dataset's plan; refuses one with mistakes without reading any data."""
    kind = _kind(plan, DATASETS, f"dataset {name}", ("transforms",))
    _settings_of(kind, plan[kind], name)
    for transform in plan.get("transforms", ()):
        read_transform(transform, name)
    return kind


def _settings_of(kind: str, value: Any, name: str) -> dict[str, Any]:
    """The keyword arguments for a reader of `DATASETS`."""
    parameters = [p for p in inspect.signature(DATASETS[kind]).parameters.values() if p.name not in NOT_SETTINGS]
    if not isinstance(value, Mapping):
        value = {} if value is None else {parameters[0].name: value}
    known = [p.name for p in parameters]
    _check_keys(value, known, f"dataset {name}, kind {kind},")
    if missing := [p.name for p in parameters if p.default is p.empty and p.name not in value]:
        raise InputError(f"dataset {name}, kind {kind}, needs {missing[0]}; add it.")
    hints = get_type_hints(DATASETS[kind])
    return {key: fitting(entry, hints.get(key), f"{key} of dataset {name}") for key, entry in value.items()}


def absolute(plan: Plan, name: str, base: Path) -> Plan:
    """The same dataset plan, with its paths taken as relative to `base`."""
    kind = check_dataset(plan, name)
    hints = get_type_hints(DATASETS[kind])
    values = {
        key: str(base / Path(v).expanduser()) if hints.get(key) is Path else v
        for key, v in _settings_of(kind, plan[kind], name).items()
    }
    return {**plan, kind: values}


def read_transform(plan: Any, name: str) -> Transform:
    """A transform from its name (``"Flip"``) or its name and settings (``{"Flip": {"vertical": 0.5}}``)."""
    kinds = {kind.__name__: kind for kind in get_args(Transform)}
    if isinstance(plan, str):
        plan = {plan: {}}
    if not isinstance(plan, Mapping) or len(plan) != 1:
        raise InputError(f"transforms of dataset {name} has {plan!r}; write a name, or a name and its settings.")
    [(kind, settings)] = plan.items()
    found = next((cls for known, cls in kinds.items() if known.lower() == str(kind).lower()), None)
    if found is None:
        raise InputError(f"transform {kind!r} of dataset {name} is unknown; choose one of {', '.join(kinds)}.")
    return make(found, settings or {}, f"transform {kind}")


def build_model(plan: Plan, name: str, dataset: Dataset, seed: int) -> Network:
    """The network that `plan` describes, with weights drawn from `seed`.

    Raises:
        InputError: An unknown kind, setting, architecture or encoder, or a folder without a network.
    """
    kind = check_model(plan, name)
    network = NETWORKS[kind](plan, dataset, seed)
    return replace(network, spec=replace(network.spec, name=name))


def check_model(plan: Plan, name: str) -> str:
    """The kind of a network's plan; refuses one with mistakes without building anything."""
    kind = _kind(plan, NETWORKS, f"model {name}", None)
    if kind == "network":
        _check_keys(plan, ("network", "weights", "initialization"), f"model {name}")
        if plan.get("weights", "auto") not in ("auto", "fresh", "saved"):
            raise InputError(f"weights of model {name} is {plan['weights']!r}; choose fresh, saved or auto.")
        if not (Path(plan["network"]) / "network.json").is_file():
            raise InputError(
                f"model {name}: {plan['network']} has no network.json; give a folder that Save Network wrote."
            )
    else:
        _check_segmentation(plan, name)
    return kind


def _check_segmentation(plan: Plan, name: str) -> None:
    fitting(plan.get("size", 256), int | tuple[int, int], f"size of model {name}")
    fitting(plan.get("channels", 3), int, f"channels of model {name}")
    try:
        _ = _segmentation_layer(plan, name, 2).model  # looks up architecture and encoder
    except InputError as error:
        raise InputError(f"model {name}: {error}" if not str(error).startswith("model ") else str(error)) from None


def _saved(plan: Plan, dataset: Dataset, seed: int) -> Network:
    """A saved network. Its weights are drawn anew from the seed, unless they were trained.

    "weights" may be "saved" (as they are in the file), "fresh" (all that were not frozen or pretrained drawn anew), or "auto": saved for
    a network that was trained, otherwise fresh, so that seeds differ in their first weights too. "initialization" is how, if not as
    the network was built.
    """
    folder, weights = Path(plan["network"]), plan.get("weights", "auto")
    saved = load_network(
        folder, "weights.safetensors" if (folder / "weights.safetensors").is_file() else "best.safetensors"
    )
    if weights == "saved" or (weights == "auto" and saved.task):
        return saved
    keep = {node.name for node in saved.spec.nodes if node.frozen}
    keep |= {node.name for node in read_spec(folder).nodes if getattr(node.layer, "pretrained", False)}
    nodes = tuple(replace(node, layer=untrained(node.layer)) for node in saved.spec.nodes)
    fresh = build(replace(saved.spec, nodes=nodes), seed, plan.get("initialization", saved.initialization))
    for name, part in fresh.module.named_children():
        if name in keep:
            part.load_state_dict(saved.module.get_submodule(name).state_dict())
    return replace(saved, module=fresh.module)


def _segmentation(plan: Plan, dataset: Dataset, seed: int) -> Network:
    """A segmentation model for pictures of "size" (a number, or height and width) and "channels", with an output per class."""
    size = plan.get("size", 256)
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    picture = input_tensor(Input("image", (int(plan.get("channels", 3)), int(height), int(width))))
    output = apply(_segmentation_layer(plan, "model", len(dataset.classes)), picture)
    return build_network((output,), "model", seed, plan.get("initialization", "default"))


def _segmentation_layer(plan: Plan, name: str, classes: int) -> SegmentationModel:
    from ..nn_layers.segmentation import SegmentationModel

    own = ("size", "channels", "initialization")
    known = [field.name for field in fields(SegmentationModel) if field.name != "classes"]
    _check_keys(plan, (*known, *own), f"model {name}")
    settings = {"encoder": ""} | {key: value for key, value in plan.items() if key not in own}
    return make(SegmentationModel, {**settings, "classes": classes}, f"model {name}")


def build_loss(plan: Plan, name: str) -> Loss | LossSum:
    """The loss that `plan` describes: ``{"type": "focal", "gamma": 2}``, or ``{"sum": [...]}`` of such, each with a "weight" if not 1.

    Raises:
        InputError: An unknown type or setting.
    """
    if isinstance(plan, Mapping) and "sum" in plan:
        _check_keys(plan, ("sum",), f"loss {name}")
        if not isinstance(plan["sum"], (list, tuple)) or not plan["sum"]:
            raise InputError(f"sum of loss {name} is {plan['sum']!r}; write a list of losses.")
        return LossSum(tuple(_term(term, name) for term in plan["sum"]))
    if not isinstance(plan, Mapping) or "type" not in plan:
        raise InputError(f"loss {name} is {plan!r}, which has no type; give it one of {', '.join(LOSSES)}.")
    if plan["type"] not in LOSSES:
        raise InputError(f"type of loss {name} is {plan['type']!r}; choose one of {', '.join(LOSSES)}.")
    return make(Loss, plan, f"loss {name}")


def _term(plan: Any, name: str) -> tuple[float, Loss | LossSum]:
    weight = fitting(plan.get("weight", 1.0), float, f"weight in loss {name}") if isinstance(plan, Mapping) else 1.0
    rest = {key: value for key, value in plan.items() if key != "weight"} if isinstance(plan, Mapping) else plan
    return weight, build_loss(rest, name)


def loss_plan(loss: Loss | LossSum) -> Plan:
    """The plan of a loss: `build_loss` makes the same one of it."""
    if isinstance(loss, Loss):
        return asdict(loss)
    return {"sum": [{**loss_plan(term), "weight": weight} for weight, term in loss.terms]}


def make(cls: type, settings: Plan, what: str) -> Any:
    """The dataclass `cls` from settings; numbers that YAML took for text (1e-3) and lists are turned into what the fields want.

    Raises:
        InputError: A setting that `cls` does not know, or a value of the wrong kind.
    """
    _check_keys(settings, [field.name for field in fields(cls)], what)
    hints = get_type_hints(cls)
    return cls(**{key: fitting(value, hints[key], f"{key} of {what}") for key, value in settings.items()})


def fitting(value: Any, hint: Any, what: str) -> Any:
    """`value` as the annotated type `hint`, for the annotations that settings use.

    Raises:
        InputError: It cannot be one.
    """
    try:
        return _converted(value, hint)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{what} is {value!r}; it must be {_in_words(hint)}.") from None


def _converted(value: Any, hint: Any) -> Any:
    """`value` as `hint`; any exception says that it cannot be one."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        for option in inner:
            with suppress(TypeError, ValueError, OverflowError):
                return _converted(value, option)
        raise ValueError
    if hint in (int, float) and not isinstance(value, bool):
        number = float(value)
        if hint is int and number != int(number):
            raise ValueError
        return hint(number)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if origin in (tuple, Sequence) and isinstance(value, (list, tuple)):
        return tuple(_converted(item, inner[0]) for item in value)
    allowed = value in inner if origin is Literal else hint is Any or isinstance(value, origin or hint)
    if not allowed or origin is Sequence or (isinstance(value, bool) and hint is not bool):
        raise ValueError
    return value


def _in_words(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_in_words(option) for option in get_args(hint))
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
    words |= {tuple: "a list", Sequence: "a list", Mapping: "settings, name: value", type(None): "nothing"}
    return words.get(get_origin(hint) or hint, str(hint))


def _kind(plan: Plan, table: Mapping[str, Any], what: str, extra: tuple[str, ...] | None) -> str:
    """Which key of `table` the plan has; with `extra`, it may have no keys beside that one and these."""
    found = [key for key in plan if key in table] if isinstance(plan, Mapping) else []
    if len(found) != 1:
        raise InputError(
            f"{what} is {dict(plan) if isinstance(plan, Mapping) else plan!r}, which names {'no kind' if not found else 'several kinds'}; "
            f"give it exactly one of {', '.join(table)}."
        )
    if extra is not None:
        _check_keys(plan, (found[0], *extra), what)
    return found[0]


def _check_keys(settings: Any, known: Collection[str], what: str) -> None:
    if not isinstance(settings, Mapping):
        raise InputError(f"{what} is {settings!r}; write its settings as name: value.")
    if unknown := [key for key in settings if key not in known]:
        near = difflib.get_close_matches(str(unknown[0]), known, 1)
        hint = f"did you mean {near[0]}?" if near else f"it knows {', '.join(known) or 'none'}."
        raise InputError(f"{what} has the unknown setting {unknown[0]!r}; {hint}")


NETWORKS: dict[str, Callable[[Plan, Dataset, int], Network]] = {"network": _saved, "architecture": _segmentation}
DATASETS: dict[str, Callable[..., Dataset]] = {
    "digits": sources.digits,
    "image_folder": sources.image_folder,
    "table": sources.table,
    "masks": masked_folder,
    "coco": coco_dataset,
}
"""Kind → reader. Its annotated arguments are the settings; those of type Path are taken as relative to the file they are written in."""
