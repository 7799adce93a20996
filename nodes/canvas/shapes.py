"""What each layer of a drawing gives, told before anything runs.

The layer nodes of a prompt are executed as in a run, because executing one only infers a shape on the meta device. What a node would ask of its
host is refused here, so that nothing is read, fetched or sent; nodes that need it answer that only a run can tell.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from comfy_api.latest import io

from ... import nn_layers as nn
from ...nn_layers.meta import TooSlowError, at_most
from ...nn_layers.tensor import walk
from .. import blocks, layers, network
from ..host import hosted_by
from ..support.prompt import arguments, flat_inputs, is_link, value_problems
from ..support.wires import NetworkWire, Tensor

MAX_NODES = 2_000
MAX_INPUTS = 100  # of one node
MAX_TEXT = 1_000  # letters of one value
BUDGET = 0.2
"""Seconds for one answer; layers that are not reached in it are told by the next one."""
NODE_SECONDS = 10
"""A layer that takes longer, such as a huge backbone on a busy machine, is told by a run only."""
VALUES = ("PrimitiveInt", "PrimitiveFloat", "PrimitiveString", "PrimitiveStringMultiline", "PrimitiveBoolean")
"""ComfyUI's nodes that give the value of their widget."""
DRAWN = {Tensor.io_type, NetworkWire.io_type}


class RefusedShapesError(nn.InputError):
    """The drawing asks for something that no widget lets a person set; `answer` is what can be said of its nodes all the same."""

    def __init__(self, sentence: str, answer: dict[str, Any]):
        super().__init__(sentence)
        self.answer = answer


class _NeedsRunError(Exception):
    """A node wants something of its host that it gets in a run only."""


class _NoHost:
    """Refuses whatever a node asks for, except to show text, which nobody sees."""

    def text(self, node_id: str, text: str) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        raise _NeedsRunError


@dataclass(frozen=True)
class Outcome:
    """What is known of a node: `gives` (a tensor, a network's specification, a value), or why that is not known.

    Attributes:
        error: What is wrong, in the words of a run.
        waits: Why nothing can be told yet, though nothing is wrong here.
        input: The input that `error` is about.
        parameters, macs: Weights, and multiply-adds for one sample.
    """

    gives: Any = None
    error: str = ""
    waits: str = ""
    input: str = ""
    parameters: int = 0
    macs: int = 0

    def told(self) -> dict[str, Any]:
        """As the canvas reads it."""
        if self.error:
            return {"error": self.error[:MAX_TEXT], "input": self.input}
        if self.waits:
            return {"waits": self.waits}
        shape = self.gives.output_shape if isinstance(self.gives, nn.NetworkSpec) else self.gives.shape
        return {"shape": list(shape), "parameters": self.parameters, "multiply_adds": self.macs}


def shapes(data: Any) -> dict[str, Any]:
    """{"prompt": layer nodes in API format} → {"nodes": {id: see `Outcome.told`}, "more": whether some were not reached in time}.

    Raises:
        RefusedShapesError: A widget holds a number far out of its range.
        InputError: No drawing, or too large a one.
    """
    prompt = _checked(data)
    if not _turn.acquire(timeout=BUDGET):
        return {"nodes": {}, "more": True}
    try:
        with hosted_by(_NoHost()), at_most(NODE_SECONDS):
            return _answer(prompt)
    finally:
        _turn.release()


_turn = threading.Lock()  # one drawing at a time: what strangers ask never takes more than one core


@dataclass(frozen=True)
class _Kind:
    """A type of node: how it is executed, and its inputs."""

    execute: Any
    inputs: list[io.Input]
    repeats: bool = False


@lru_cache(maxsize=1)
def _kinds() -> dict[str, _Kind]:
    """Every type of node that gives a tensor or a network."""
    found = {}
    for cls in (*layers.NODES, *blocks.NODES, *network.NODES):
        schema = cls.GET_SCHEMA()
        if any(output.get_io_type() in DRAWN for output in schema.outputs):
            clone = cls.PREPARE_CLASS_CLONE({"hidden_inputs": {io.Hidden.unique_id: "", io.Hidden.prompt: None}})
            execute = {network.BuildNetwork: _traced, network.LoadNetwork: _after_a_run}.get(cls, clone.execute)
            found[schema.node_id] = _Kind(execute, schema.inputs, cls is blocks.Repeat)
    return found


def _traced(outputs: dict[str, Any], name: str, **_: Any) -> io.NodeOutput:
    """Build Network without its weights."""
    return io.NodeOutput(nn.trace(tuple(outputs.values()), name)[0])


def _after_a_run(**_: Any) -> io.NodeOutput:
    raise _NeedsRunError


def _checked(data: Any) -> dict[str, dict[str, Any]]:
    """The prompt, if it is one, of reasonable size, and of our nodes only."""
    prompt = data.get("prompt") if isinstance(data, dict) else None
    if not isinstance(prompt, dict):
        raise nn.InputError('the body has no prompt; send {"prompt": …}.')
    if len(prompt) > MAX_NODES:
        raise nn.InputError(f"the drawing has {len(prompt):,} nodes; at most {MAX_NODES:,} are answered.")
    for node in prompt.values():
        inputs = node.get("inputs") if isinstance(node, dict) else None
        if not isinstance(inputs, dict) or len(inputs) > MAX_INPUTS:
            raise nn.InputError("the prompt has a node without a table of inputs; send the API format.")
        kind = node.get("class_type")
        if not isinstance(kind, str) or (kind not in VALUES and kind not in _kinds()):
            raise nn.InputError(f"the prompt has a node {str(kind)[:60]!r}, which is no layer; leave it out.")
        for key, value in inputs.items():
            plain = value is None or isinstance(value, (bool, int, float, str))
            if (
                not (plain or is_link(value))
                or len(key) > MAX_TEXT
                or (isinstance(value, str) and len(value) > MAX_TEXT)
            ):
                raise nn.InputError(f"the prompt has a {kind} whose input {key[:60]!r} is no value and no link.")
    return prompt


def _answer(prompt: dict[str, dict[str, Any]]) -> dict[str, Any]:
    outcomes: dict[str, Outcome] = {}
    end = time.monotonic() + BUDGET
    refused = ""
    for node_id in _order(prompt):
        if time.monotonic() > end:
            break
        outcomes[node_id] = outcome = _outcome(prompt, node_id, outcomes)
        if not refused and outcome.error and _far_out(prompt[node_id]["inputs"].get(outcome.input)):
            refused = f"{_name(prompt, node_id)}: {outcome.error}"
    else:
        circle = Outcome(error="the wires lead round in a circle; remove one of them.")
        outcomes |= {node_id: circle for node_id in prompt if node_id not in outcomes}
    drawn = {node_id: one.told() for node_id, one in outcomes.items() if prompt[node_id]["class_type"] not in VALUES}
    answer = {"nodes": drawn, "more": len(outcomes) < len(prompt)}
    if refused:
        raise RefusedShapesError(refused, answer)
    return answer


def _far_out(value: Any) -> bool:
    """Whether a number is none that a person types by mistake."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) >= 1e8


def _order(prompt: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Makers before readers; nodes in a circle, and behind one, never come."""
    readers: dict[str, list[str]] = {}
    missing = {}
    for node_id, node in prompt.items():
        sources = {value[0] for value in node["inputs"].values() if is_link(value) and value[0] in prompt}
        missing[node_id] = len(sources)
        for source in sources:
            readers.setdefault(source, []).append(node_id)
    ready = [node_id for node_id, count in missing.items() if not count]
    for node_id in ready:  # grows meanwhile
        yield node_id
        for reader in readers.get(node_id, ()):
            missing[reader] -= 1
            if not missing[reader]:
                ready.append(reader)


def _outcome(prompt: dict[str, dict[str, Any]], node_id: str, outcomes: dict[str, Outcome]) -> Outcome:
    """What a node gives, when everything that it reads is known."""
    node = prompt[node_id]
    if node["class_type"] in VALUES:
        value = node["inputs"].get("value")
        return Outcome(waits="known after a run") if is_link(value) else Outcome(value)
    values: dict[str, Any] = {}
    wired: dict[str, Any] = {}
    for key, value in node["inputs"].items():
        if not is_link(value):
            values[key] = value
            continue
        source = outcomes.get(value[0])
        if source is None or value[1] != 0 or (source.waits and prompt[value[0]]["class_type"] in VALUES):
            return Outcome(waits="known after a run")
        if source.error or source.waits:
            return Outcome(
                waits=source.waits if source.waits == "known after a run" else f"waits for {_name(prompt, value[0])}"
            )
        if prompt[value[0]]["class_type"] in VALUES:
            values[key] = source.gives
        else:
            wired[key] = source.gives
    return _kept(node["class_type"], values, wired)


def _name(prompt: dict[str, dict[str, Any]], node_id: str) -> str:
    title = (
        (prompt[node_id].get("_meta") or {}).get("title") if isinstance(prompt[node_id].get("_meta"), dict) else None
    )
    return f"{str(title or prompt[node_id]['class_type'].removeprefix('Visionsmith'))[:40]} (#{node_id[:40]})"


MAX_KEPT = 20_000  # layers; one with a thousand letters of settings counts as two
_kept_now: dict[Any, tuple[Outcome, Any]] = {}
_kept_before: dict[Any, tuple[Outcome, Any]] = {}
_kept_layers = 0


def _kept(kind: str, values: dict[str, Any], wired: dict[str, Any]) -> Outcome:
    """`_executed`, but once for the same settings behind the same tensors; what was not asked for in a long time is forgotten."""
    global _kept_now, _kept_before, _kept_layers
    settings = json.dumps(values, sort_keys=True)
    key = (kind, settings, tuple((name, id(one)) for name, one in wired.items()))
    found = _kept_now.get(key)
    if found:
        return found[0]
    found = _kept_before.get(key)
    if not found:
        outcome = _executed(_kinds()[kind], values, wired)
        found = outcome, wired  # as long as the tensors live, no other has their ids
        _kept_layers += 1 + len(settings) // MAX_TEXT
        if _kinds()[kind].repeats and outcome.gives is not None:
            _kept_layers += len(walk((outcome.gives,)))
    if _kept_layers > MAX_KEPT:
        _kept_now, _kept_before, _kept_layers = {}, _kept_now, 0
    _kept_now[key] = found
    return found[0]


def _executed(kind: _Kind, values: dict[str, Any], wired: dict[str, Any]) -> Outcome:
    inputs = dict(values) | {key: ["", 0] for key in wired}
    entries = {key: (entry, must) for key, entry, must in flat_inputs(kind.inputs, inputs)}
    for key, (entry, must) in entries.items():
        socket = entry.get_io_type() in DRAWN
        if key in wired:
            if not socket or not isinstance(wired[key], nn.SymbolicTensor):
                return Outcome(error=f"{key} wants {entry.get_io_type()}; connect another output.", input=key)
        elif key in values:
            if problem := next(value_problems(key, entry, values[key]), ""):
                return Outcome(error=problem, input=key)
        elif must:
            return Outcome(waits=f"nothing is wired into {key.rpartition('.')[2]}") if socket else Outcome(error=f"its input {key} is missing; connect it or give it a value.", input=key)  # fmt: skip
    known = {key: value for key, value in inputs.items() if key in entries}
    try:
        gives = kind.execute(**arguments(kind.inputs, known, wired)).result[0]
    except (_NeedsRunError, TooSlowError):
        return Outcome(waits="known after a run")
    except nn.InputError as error:
        return Outcome(error=str(error), input=_blamed(str(error), values, wired))
    except Exception as error:  # a setting that no check foresaw: a run would fail with the same words
        return Outcome(error=f"{error or type(error).__name__}", input=_blamed("", values, wired))
    if isinstance(gives, nn.NetworkSpec):
        return Outcome(gives, parameters=gives.parameters, macs=gives.macs)
    new = [gives]
    if kind.repeats:
        old = set(map(id, walk(tuple(wired.values()))))
        new = [tensor for tensor in walk((gives,)) if id(tensor) not in old]
    return Outcome(gives, parameters=sum(t.parameters for t in new), macs=sum(t.macs for t in new))


def _blamed(sentence: str, values: dict[str, Any], wired: dict[str, Any]) -> str:
    """The input that a sentence is about: the setting that it names, or else the wire that brings another shape than the first."""
    for key in values:
        if re.search(rf"\b{re.escape(key.rpartition('.')[2])} = ", sentence):
            return key
    tensors = list(wired.items())
    other = (key for key, tensor in tensors[1:] if tensor.shape != tensors[0][1].shape)
    return next(other, tensors[0][0] if tensors else "")
