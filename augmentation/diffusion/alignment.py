"""Which words of one prompt answer to which of another, in tokens."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ...nn_layers.errors import InputError

LENGTH = 77
MATCH, MISMATCH, GAP = 1, -1, 0
Tokens = Callable[[str], list[int]]  # a prompt to its tokens, start and end included


@dataclass(frozen=True)
class Alignment:
    """How the attention of a source's words becomes that of a target's.

    Attributes:
        mapper: [77, 77]; the source's map times it gives the target's columns.
        own: [77]; 1 for words of the target that the source has not, which keep their own attention.
        changed: Positions of the target's tokens that are new, without start and end.
        replaced: Positions of the source's tokens that they took the place of.
    """

    mapper: torch.Tensor
    own: torch.Tensor
    changed: tuple[int, ...]
    replaced: tuple[int, ...] = ()


def align(source: str, target: str, tokens: Tokens, mode: str = "auto") -> Alignment:
    """Align two prompts.

    Args:
        source: The prompt of the picture.
        target: The prompt of the edit.
        tokens: The tokenizer.
        mode: "replace" swaps words one for one, "refine" lets words be added or left out, "auto" takes replace where it can.

    Raises:
        InputError: Words cannot be swapped because there are not as many, or the mode is none.
    """
    first, second = source.split(), target.split()
    if mode not in ("auto", "replace", "refine"):
        raise InputError(f"mode is {mode!r}; choose auto, replace or refine.")
    if mode == "replace" and len(first) != len(second):
        raise InputError(
            f"the prompts do not align word by word: {source!r} has {len(first)} words and {target!r} has {len(second)}; "
            f"give as many, or set align to refine."
        )
    if mode == "refine" or len(first) != len(second):
        return refined(tokens(source), tokens(target))
    return replaced(source, target, tokens)


def replaced(source: str, target: str, tokens: Tokens) -> Alignment:
    """Prompts of as many words: a word's attention goes to the word in its place, shared out over its tokens."""
    old, new = spans(source, tokens), spans(target, tokens)
    mapper = torch.zeros(LENGTH, LENGTH)
    changed: list[int] = []
    swapped: list[int] = []
    mapper[0, 0] = 1
    for before, after, start, end in zip(source.split(), target.split(), old, new, strict=True):
        if len(start) == len(end):
            mapper[list(start), list(end)] = 1
        else:
            for position in end:
                mapper[list(start), position] = 1 / len(end)
        if before.lower() != after.lower():
            changed += end
            swapped += start
    last_old, last_new = 1 + sum(map(len, old)), 1 + sum(map(len, new))
    _pad(mapper, last_old, last_new)
    return Alignment(mapper, torch.zeros(LENGTH), tuple(changed), tuple(swapped))


def refined(source: Sequence[int], target: Sequence[int]) -> Alignment:
    """Prompts of any length, aligned token by token (Needleman and Wunsch 1970): match 1, mismatch −1, gap 0."""
    pairs = needleman_wunsch(source, target)
    mapper, own = torch.zeros(LENGTH, LENGTH), torch.zeros(LENGTH)
    answered = set()
    for position in range(len(target)):
        partner = pairs.get(position)
        if partner is None:
            own[position] = 1
        else:
            mapper[partner, position] = 1
            answered.add(partner)
    _pad(mapper, max(len(source), len(target)), len(target))  # by position, except behind a longer source
    changed = tuple(place for place in range(1, len(target) - 1) if pairs.get(place) is None or source[pairs[place]] != target[place])  # fmt: skip
    gone = tuple(place for place in range(1, len(source) - 1) if place not in answered)
    return Alignment(mapper, own, changed, gone)


def _pad(mapper: torch.Tensor, old: int, new: int) -> None:
    """What stands behind the words answers to what stands behind the words, counted from `old` in the source and from `new` in the target.

    By position alone, as the authors' code has it, the end token of a longer source would count twice, and its last words as padding.
    """
    for position in range(new, LENGTH):
        mapper[min(position - new + old, LENGTH - 1), position] = 1


def needleman_wunsch(source: Sequence[int], target: Sequence[int]) -> dict[int, int]:
    """Places in `target` and the places in `source` that they answer to; those that answer to none are left out."""
    score = [[0] * (len(target) + 1) for _ in range(len(source) + 1)]
    for row, old in enumerate(source, 1):
        for column, new in enumerate(target, 1):
            both = score[row - 1][column - 1] + (MATCH if old == new else MISMATCH)
            score[row][column] = max(both, score[row - 1][column] + GAP, score[row][column - 1] + GAP)
    pairs, row, column = {}, len(source), len(target)
    while row and column:
        same = source[row - 1] == target[column - 1]
        if same and score[row][column] == score[row - 1][column - 1] + MATCH:
            row, column = row - 1, column - 1
            pairs[column] = row
        elif score[row][column] == score[row][column - 1] + GAP:
            column -= 1
        else:
            row -= 1
    return pairs


def spans(prompt: str, tokens: Tokens) -> list[tuple[int, ...]]:
    """The positions of each word's tokens; the start token has position 0."""
    found, place = [], 1
    for word in prompt.split():
        count = len(tokens(word)) - 2
        found.append(tuple(range(place, place + count)))
        place += count
    return found


def positions(prompt: str, words: str, tokens: Tokens, name: str = "words") -> tuple[int, ...]:
    """Where a word, or several in a row, stand in a prompt; every time they do.

    Raises:
        InputError: They do not.
    """
    wanted = [_bare(word) for word in words.split()]
    there = [_bare(word) for word in prompt.split()]
    places = spans(prompt, tokens)
    hits = [start for start in range(len(there) - len(wanted) + 1) if there[start : start + len(wanted)] == wanted]
    if not hits or not wanted:
        raise InputError(f"{name}: {words!r} is not in the prompt {prompt!r}; choose from {', '.join(there)}.")
    return tuple(place for hit in hits for span in places[hit : hit + len(wanted)] for place in span)


def _bare(word: str) -> str:
    return word.strip(string.punctuation).lower() or word
