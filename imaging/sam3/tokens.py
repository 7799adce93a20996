"""Words to token numbers as SAM 3 reads them, by CLIP's byte-pair encoding."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..clip_table import END, START, WORD_END, find_table

LENGTH = 32  # tokens that SAM 3 reads, start and end included
PATTERN = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class Tokenizer:
    """Text to the numbers that SAM 3's text tower reads."""

    def __init__(self, vocabulary: dict[str, int], merges: list[tuple[str, str]]):
        from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

        self.start, self.end = vocabulary[START], vocabulary[END]
        model = models.BPE(
            vocab=vocabulary, merges=merges, continuing_subword_prefix="", end_of_word_suffix=WORD_END, unk_token=END
        )
        self._encoder = Tokenizer(model)
        self._encoder.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        self._encoder.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(PATTERN), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )

    def __call__(self, text: str) -> list[int]:
        """Start, the words, end: at most 32 numbers; what is beyond is cut off."""
        return [self.start, *self._encoder.encode(text).ids[: LENGTH - 2], self.end]


def tokenizer(folders: Iterable[Path] = ()) -> Tokenizer:
    """The tokenizer with CLIP's table from `folders` or wherever else one is; see `find_table`."""
    return Tokenizer(*find_table(folders))
