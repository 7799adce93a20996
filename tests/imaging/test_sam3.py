"""SAM 3 on tiny random models: every file format gives the same answers, prompts do what they say, pictures are seen once."""

import importlib.util
from pathlib import Path

import pytest
import torch
from visionsmith.imaging.sam3 import Box, Point, boxes_of, load, points_of, segment, track
from visionsmith.imaging.sam3.detect import concept
from visionsmith.imaging.sam3.features import Features, detector_view, prepared, seen
from visionsmith.nn_layers import InputError

spec = importlib.util.spec_from_file_location("sam3_files", Path(__file__).with_name("sam3_files.py"))
files = importlib.util.module_from_spec(spec)
spec.loader.exec_module(files)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sam3")


@pytest.fixture(scope="module")
def sam(folder):
    return load(files.write(folder / "hf"))


@pytest.fixture
def images():
    return torch.rand(2, 60, 90, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def square():
    mask = torch.zeros(1, 60, 90)
    mask[:, 20:40, 30:60] = 1
    return mask


def looks(sam, monkeypatch):
    """Counts how often the picture tower runs."""
    calls = []
    handle = sam.detector.vision_encoder.backbone.register_forward_hook(lambda *_: calls.append(1))
    monkeypatch.setattr(sam, "features", Features())
    return calls, handle


@torch.no_grad()
def test_the_dummy_box_restores_the_token_that_meta_always_adds(sam, images):
    """Against `Sam3Model` asked in one go with padded tokens and a mask, the way its own processor asks."""
    tokens = sam.tokens("red dent")
    padded = torch.tensor([tokens + [0] * (32 - len(tokens))])
    asked = {
        "pixel_values": prepared(images[0], sam.side),
        "input_ids": padded,
        "attention_mask": (torch.arange(32) < len(tokens)).long()[None],
    }
    ours = concept(sam, detector_view(sam, seen(sam, images[0])), "red dent", [], 60, 90)
    reference = sam.detector(**asked, input_boxes=torch.zeros(1, 1, 4), input_boxes_labels=torch.tensor([[-10]]))
    without = sam.detector(**asked)
    for name in ("pred_logits", "pred_masks", "pred_boxes", "presence_logits"):
        answer, expected = getattr(ours, name), getattr(reference, name)
        assert float((answer - expected).abs().max() / expected.abs().max()) < 1e-4, name
    assert not torch.allclose(ours.pred_logits, without.pred_logits, atol=1e-2)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["meta.pt", "meta.safetensors"])
def test_metas_files_give_identical_logits(sam, images, square, folder, kind):
    other = load(files.write(folder / kind, kind))
    boxes = [Box(5, 5, 20, 20), Box(50, 30, 20, 20, False)]
    answers = [concept(one, detector_view(one, seen(one, images[0])), "crack", boxes, 60, 90) for one in (sam, other)]
    assert torch.equal(answers[0].pred_logits, answers[1].pred_logits)
    assert torch.equal(answers[0].pred_masks, answers[1].pred_masks)
    clicks = [segment(one, images, points=[Point(40, 30)], mask_prompt=square) for one in (sam, other)]
    assert torch.equal(clicks[0][1].masks, clicks[1][1].masks)
    assert torch.equal(clicks[0][1].scores, clicks[1][1].scores)
    frames = [list(track(one, images, masks=square))[-1].masks for one in (sam, other)]
    assert torch.equal(frames[0], frames[1])


def test_words_in_every_picture(sam, images):
    found = segment(sam, images, texts=["scratch", " red dent ", ""], threshold=0.0)
    assert len(found) == 2
    for one in found:
        assert one.masks.shape == (24, 60, 90)
        assert one.masks.dtype == torch.bool
        assert one.labels == ("scratch",) * 12 + ("red dent",) * 12
        assert (one.boxes[:, 2:] >= one.boxes[:, :2]).all()
        assert (one.boxes <= torch.tensor([90, 60, 90, 60])).all()
        assert one.boxes.min() >= 0
        assert (one.scores[:11] >= one.scores[1:12]).all()
    assert not torch.equal(found[0].masks, found[1].masks)
    alone = segment(sam, images[1:], texts=["red dent"], threshold=0.0)[0]
    assert torch.allclose(alone.scores, found[1].scores[12:])


@torch.no_grad()
def test_scores_threshold_and_most(sam, images):
    output = concept(sam, detector_view(sam, seen(sam, images[0])), "cat", [], 60, 90)
    expected = output.pred_logits[0].sigmoid() * output.presence_logits[0].sigmoid()
    found = segment(sam, images[:1], texts=["cat"], threshold=0.0)[0]
    assert torch.allclose(found.scores, expected.sort(descending=True).values)
    middle = float(found.scores[5])
    assert len(segment(sam, images[:1], texts=["cat"], threshold=middle)[0]) == int((found.scores > middle).sum())
    assert torch.equal(
        segment(sam, images[:1], texts=["cat", "dog"], threshold=0.0, max_per_class=3)[0].scores[:3], found.scores[:3]
    )


def test_nothing_found_is_empty(sam, images):
    found = segment(sam, images, texts=["cat"], threshold=1.0)
    assert [len(one) for one in found] == [0, 0]
    assert found[0].masks.shape == (0, 60, 90)
    assert found[0].merged.shape == (60, 90)
    assert not found[0].merged.any()


def test_example_boxes_change_what_is_found(sam, images):
    def scores(**asked):
        return segment(sam, images[:1], threshold=0.0, **asked)[0].scores

    box, other = Box(5, 5, 30, 30), Box(50, 20, 30, 30, False)
    words = scores(texts=["cat"])
    assert not torch.allclose(words, scores(texts=["cat"], boxes=[box]))
    assert not torch.allclose(scores(texts=["cat"], boxes=[box]), scores(texts=["cat"], boxes=[box, other]))
    assert segment(sam, images[:1], boxes=[box], threshold=0.0)[0].labels == ("object",) * 12
    each = segment(sam, images, texts=["cat"], boxes=[[box], []], threshold=0.0)
    assert torch.allclose(each[0].scores, scores(texts=["cat"], boxes=[box]))


def test_a_picture_is_seen_once(sam, images, monkeypatch):
    calls, handle = looks(sam, monkeypatch)
    try:
        segment(sam, images, texts=["cat"])
        segment(sam, images.clone(), texts=["dog", "crack"], boxes=[Box(1, 1, 9, 9)])
        segment(sam, images, points=[Point(40, 30)])
        assert len(calls) == 2
        segment(sam, 1 - images, texts=["cat"])
        assert len(calls) == 4
    finally:
        handle.remove()


def test_kept_pictures_are_bounded():
    kept = Features(room=2 * 4 * 100)
    for number in range(5):
        kept.put(str(number), torch.zeros(100))
        kept.get("0")
    assert list(kept.kept) == ["4", "0"]


def test_points_outlines_and_masks(sam, images, square):
    one = segment(sam, images, points=[Point(40, 30)])
    assert [found.labels for found in one] == [("object",), ("object",)]
    assert 0 <= float(one[0].scores[0]) <= 1
    without = segment(sam, images, points=[Point(40, 30), Point(10, 10, False)])
    assert not torch.equal(one[0].masks, without[0].masks)
    two = segment(sam, images, points=[Point(40, 30), Point(70, 10, True, 1)])
    assert two[0].labels == ("object 1", "object 2")
    assert torch.equal(two[0].masks[0], one[0].masks[0])
    drawn = segment(sam, images, boxes=[Box(10, 10, 40, 40), Box(50, 5, 20, 20)], outline=True)
    assert drawn[0].labels == ("object 1", "object 2")
    rough = segment(sam, images, mask_prompt=square)
    assert [len(found) for found in rough] == [1, 1]
    half = segment(sam, images, mask_prompt=torch.cat([square, torch.zeros_like(square)]))
    assert [len(found) for found in half] == [1, 0]
    both = segment(sam, images, texts=["cat"], threshold=0.0, points=[Point(40, 30)])
    assert both[0].labels == ("cat",) * 12 + ("object",)


def test_the_trackers_coarsest_map_has_its_no_memory_embedding(sam, images):
    """Meta adds it to the level that the mask decoder reads; without it, masks differ."""
    before = segment(sam, images[:1], points=[Point(40, 30), Point(3, 3, False)])[0]
    embedding = sam.tracker.no_memory_embedding
    kept = embedding.data.clone()
    embedding.data.add_(3.0)
    try:
        after = segment(sam, images[:1], points=[Point(40, 30), Point(3, 3, False)])[0]
    finally:
        embedding.data.copy_(kept)
    assert not torch.equal(before.scores, after.scores)


def test_inputs_stay_as_they_are_and_inference_mode_works(sam, images, square):
    before = images.clone()
    with torch.inference_mode():
        segment(sam, images, texts=["cat"], points=[Point(1, 1)], mask_prompt=square)
    assert torch.equal(images, before)


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (1, 37, 501, 4), (1, 300, 8, 3)])
def test_odd_sizes(sam, shape):
    found = segment(sam, torch.rand(shape), texts=["cat"], threshold=0.0, max_per_class=2, points=[Point(0, 0)])[0]
    assert found.masks.shape == (3, *shape[1:3])


def test_bfloat16(folder, images, square):
    half = load(files.write(folder / "half"), dtype=torch.bfloat16)
    found = segment(half, images[:1], texts=["cat"], boxes=[Box(2, 2, 30, 30)], threshold=0.0, points=[Point(5, 5)])[0]
    assert len(found) == 13
    assert torch.isfinite(found.scores).all()
    assert len(list(track(half, images, masks=square))) == 2


def test_steps_are_told_and_may_stop(sam, images):
    steps = []
    segment(sam, images, texts=["cat", "dog"], on_step=lambda *step: steps.append(step))
    assert steps[0] == (0, 6)
    assert steps[-1] == (6, 6)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)

    def stop(done, _):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment(sam, images, texts=["cat"], on_step=stop)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "nothing to look for"),
        ({"texts": [" "]}, "nothing to look for"),
        ({"boxes": [Box(1, 1, 2, 2, False)]}, "only negative boxes"),
        ({"boxes": [Box(1, 1, 2, 2, False)], "outline": True}, "cannot be negative"),
        ({"texts": ["cat"], "boxes": [[], [], []]}, "lists for 3 pictures, but there are 2"),
        ({"mask_prompt": torch.zeros(3, 60, 90)}, "one mask, or one for each"),
    ],
)
def test_questions_that_make_no_sense(sam, images, asked, words):
    with pytest.raises(InputError, match=words):
        segment(sam, images, **asked)


def test_pictures_that_are_none(sam, images):
    with pytest.raises(InputError, match=r"images has the shape .* give pictures of the shape"):
        segment(sam, images[0], texts=["cat"])
    images[0, 0, 0] = float("nan")
    with pytest.raises(InputError, match="NaN"):
        segment(sam, images, texts=["cat"])


def test_boxes_and_points_as_people_write_them():
    assert boxes_of(None) == []
    assert boxes_of([]) == []
    plain = {"x": 1, "y": 2, "width": 3, "height": 4}
    assert boxes_of(plain) == boxes_of([plain]) == [[Box(1, 2, 3, 4)]]
    assert boxes_of([[{**plain, "label": "0"}], []]) == [[Box(1, 2, 3, 4)], []]
    assert boxes_of(plain, positive=False) == [[Box(1, 2, 3, 4, False)]]
    assert points_of("  ") == ([], [])
    assert points_of('[{"x": 1, "y": 2}, [3, 4, 0]]')[0] == [Point(1, 2), Point(3, 4, False)]
    assert points_of('{"positive": [[1, 2]], "negative": [{"x": 3, "y": 4}]}')[0] == [Point(1, 2), Point(3, 4, False)]
    text = (
        '{"points": [{"x": 1, "y": 2, "object": 1}], "boxes": [{"x": 1, "y": 2, "width": 3, "height": 4, "label": 0}]}'
    )
    assert points_of(text) == ([Point(1, 2, True, 1)], [Box(1, 2, 3, 4, False)])


@pytest.mark.parametrize("text", ["here", "3", '[{"x": 1}]', '{"a": 1}', "[[1]]", '{"boxes": [{"x": 1}]}'])
def test_points_that_are_none(text):
    with pytest.raises(InputError, match="points"):
        points_of(text)


@pytest.mark.parametrize("value", ["text", [3], [[{"x": 1, "y": 1, "width": 0, "height": 4}]]])
def test_boxes_that_are_none(value):
    with pytest.raises(InputError, match="boxes"):
        boxes_of(value)
