"""Which token answers to which."""

import pytest
import torch
from visionsmith.augmentation.diffusion.alignment import align, needleman_wunsch, positions, refined, replaced, spans
from visionsmith.nn_layers import InputError

TABLE = {"a": [5], "photo": [1], "of": [2], "crack": [3], "rust": [4], "blistering": [7, 8], "with": [6], "scratch": [9], ",": [10]}  # fmt: skip


def tokens(prompt):
    numbers = [number for word in prompt.split() for number in TABLE.get(word, [20])]
    return [100, *numbers, 101]


def test_words_of_several_tokens_have_all_their_places():
    assert spans("a blistering crack", tokens) == [(1,), (2, 3), (4,)]
    assert positions("a blistering crack", "Blistering", tokens) == (2, 3)
    assert positions("a crack of a crack", "a crack", tokens) == (1, 2, 4, 5)


def test_a_word_that_is_not_there_is_named():
    with pytest.raises(InputError, match=r"words: 'dent' is not in the prompt 'a crack'; choose from a, crack\."):
        positions("a crack", "dent", tokens)


def test_swapped_words_hand_on_their_attention():
    found = replaced("photo of a crack", "photo of a rust", tokens)

    assert torch.equal(found.mapper, torch.eye(77))
    assert (found.changed, found.replaced) == ((4,), (4,))
    assert not found.own.any()


def test_a_word_shares_out_its_attention_over_more_tokens():
    found = replaced("a crack of rust", "a blistering of rust", tokens)

    assert found.mapper[2, 2] == found.mapper[2, 3] == 0.5
    assert found.mapper[3, 4] == 1 and found.mapper[4, 5] == 1
    assert found.mapper[5, 6] == 1  # the end token
    assert found.changed == (2, 3)


def test_added_words_keep_their_own_attention():
    found = refined(tokens("photo of a crack"), tokens("photo of a crack with scratch"))

    assert found.changed == (5, 6)
    assert found.own.nonzero().flatten().tolist() == [5, 6]
    assert found.mapper[4, 4] == 1 and found.mapper[5, 7] == 1  # crack, and the end token
    assert found.replaced == ()


def test_needleman_wunsch_is_the_best_alignment():
    assert needleman_wunsch([1, 2, 3, 4], [1, 3, 9, 4]) == {0: 0, 1: 2, 3: 3}
    assert needleman_wunsch([1, 2], [3, 4]) == {}


def test_identical_prompts_align_with_themselves():
    for mode in ("auto", "refine", "replace"):
        found = align("photo of a crack", "photo of a crack", tokens, mode)
        assert torch.equal(found.mapper, torch.eye(77)) and not found.changed


def test_auto_replaces_where_it_can():
    assert not align("a crack", "a rust", tokens).own.any()
    assert align("a crack", "a crack with rust", tokens).own.any()


def test_prompts_that_do_not_align_are_refused():
    with pytest.raises(
        InputError, match="do not align word by word: 'a crack' has 2 words and 'a crack with rust' has 4"
    ):
        align("a crack", "a crack with rust", tokens, "replace")
    with pytest.raises(InputError, match="mode is 'swap'"):
        align("a crack", "a rust", tokens, "swap")


@pytest.mark.parametrize("target", ["a crack", "photo of a crack with rust , scratch", "photo of a crack"])
def test_the_end_and_what_pads_a_prompt_answer_to_their_own_kind(target):
    source = tokens("photo of a crack with scratch")
    mapper = refined(source, tokens(target)).mapper
    end, length = len(source) - 1, len(tokens(target))

    assert mapper[end].nonzero().flatten().tolist() == [length - 1]
    assert not mapper[1:end, length:].any()  # no word's attention goes to the padding
    assert (
        mapper[:-1].sum(1) <= 1
    ).all()  # and none of it counts twice; the last place stands for those that are missing
