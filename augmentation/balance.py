"""How many new defects each class gets."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from ..nn_layers.errors import InputError

EQUAL, AS_IN_DATA, WEIGHTS = "equal", "as in the data", "weights"
BALANCES = (EQUAL, AS_IN_DATA, WEIGHTS)


def allotted(
    total: int, present: Mapping[str, int], balance: str, weights: Mapping[str, float] | None = None
) -> dict[str, int]:
    """Divide `total` new defects among classes.

    Args:
        present: Class → the defects there are; those with none get none.
        balance: "equal" raises the class that has the fewest, again and again; "as in the data" keeps the proportions; "weights" gives
            each class its share of `weights`.

    Raises:
        InputError: Weights of classes that do not exist or have no defects, or none above 0.
    """
    there = {name: count for name, count in present.items() if count}
    if balance == EQUAL:
        return _levelled(total, there)
    if balance == AS_IN_DATA:
        return _proportional(total, there)
    if balance != WEIGHTS:
        raise InputError(f"balance is {balance!r}; choose one of {', '.join(BALANCES)}.")
    weights = dict(weights or {})
    for name, weight in weights.items():
        if name not in present:
            raise InputError(
                f"weights names the class {name!r}, but the dataset has {', '.join(present)}; correct the name."
            )
        if weight < 0:
            raise InputError(f"weights gives class {name} {weight:g}; a share is 0 or more.")
        if weight and name not in there:
            raise InputError(
                f"class {name} has no defect in the training split, so none can be made after it; label some, or give it the weight 0."
            )
    if not any(weights.values()):
        raise InputError(
            "weights has no class above 0; write a line for each class to be multiplied, such as crack: 2."
        )
    return _proportional(total, {name: weight for name, weight in weights.items() if weight})


def _levelled(total: int, there: Mapping[str, int]) -> dict[str, int]:
    heap = [(count, order, name) for order, (name, count) in enumerate(there.items())]
    heapq.heapify(heap)
    given = dict.fromkeys(there, 0)
    for _ in range(total if heap else 0):
        count, order, name = heap[0]
        given[name] += 1
        heapq.heapreplace(heap, (count + 1, order, name))
    return given


def _proportional(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Largest remainders: whole numbers that add up to `total`."""
    whole = sum(shares.values())
    exact = {name: total * share / whole for name, share in shares.items()}
    given = {name: int(value) for name, value in exact.items()}
    late = sorted(exact, key=lambda name: given[name] - exact[name])
    for name in late[: total - sum(given.values())]:
        given[name] += 1
    return given


def parse_weights(text: str, what: str) -> dict[str, float]:
    """Lines or comma-separated parts such as ``crack: 2``; a name alone has the weight 1.

    Raises:
        InputError: A part that is no name with a number.
    """
    weights: dict[str, float] = {}
    for part in (part.strip() for part in text.replace("\n", ",").split(",")):
        if not part:
            continue
        name, divider, value = (piece.strip() for piece in part.replace("=", ":").rpartition(":"))
        if not divider:
            name, value = value, "1"
        try:
            weights[name] = float(value)
        except ValueError:
            raise InputError(f"{what} has {part!r}; write a name and a number, such as {_example(what)}.") from None
        if not name or not 0 <= weights[name] < float("inf"):
            raise InputError(f"{what} has {part!r}; write a name and a number of at least 0, such as {_example(what)}.")
    return weights


def _example(what: str) -> str:
    return "copy-paste: 2" if what == "methods" else "crack: 2"


def spread(counts: Mapping[str, int]) -> Sequence[str]:
    """Every name as often as it counts, mixed evenly: any stretch has about the same proportions."""
    places = [((i + 0.5) / count, name) for name, count in counts.items() for i in range(count)]
    return [name for _, name in sorted(places)]
