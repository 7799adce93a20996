"""Meta's package `sam3` as a backend.

The package itself needs triton and a GPU, so what stands here in its place is a stub of its published interface: the functions,
arguments and results of `sam3.model_builder`, `Sam3Processor`, `predict_inst` and `Sam3TrackerPredictor` at
github.com/facebookresearch/sam3, with answers that can be foreseen. It proves how we call, not what Meta's networks say.
"""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from visionsmith.imaging import clip_table, weights
from visionsmith.imaging.sam3 import Box, Point, segment, track
from visionsmith.imaging.sam3.meta import load_meta
from visionsmith.nn_layers import InputError

HEIGHT, WIDTH = 40, 60


class Processor:
    """As `sam3.model.sam3_image_processor.Sam3Processor`: finds two objects for each text and each positive box."""

    def __init__(self, model, resolution=1008, device="cuda", confidence_threshold=0.5):
        self.model, self.device, self.confidence_threshold = model, device, confidence_threshold

    def set_image(self, image, state=None):
        assert image.shape == (3, HEIGHT, WIDTH) and image.dtype == torch.float32
        return {"original_height": HEIGHT, "original_width": WIDTH, "backbone_out": {}}

    def set_confidence_threshold(self, threshold, state=None):
        self.confidence_threshold = threshold

    def reset_all_prompts(self, state):
        for key in ("geometric_prompt", "boxes", "masks", "masks_logits", "scores", "text"):
            state.pop(key, None)

    def set_text_prompt(self, prompt, state):
        state["text"] = prompt
        return self._answer(state)

    def add_geometric_prompt(self, box, label, state):
        assert len(box) == 4 and isinstance(label, bool)
        state.setdefault("geometric_prompt", []).append((box, label))
        return self._answer(state)

    def _answer(self, state):
        self.model.asked.append((state.get("text"), list(state.get("geometric_prompt", ()))))
        scores = torch.tensor([0.6, 0.9])
        keep = scores > self.confidence_threshold
        masks = torch.zeros(2, 1, HEIGHT, WIDTH, dtype=torch.bool)
        masks[0, :, :10, :10] = masks[1, :, 20:30, 20:40] = True
        boxes = torch.tensor([[0.0, 0, 10, 10], [20, 20, 40, 30]])
        state.update(masks=masks[keep], boxes=boxes[keep], scores=scores[keep], masks_logits=masks[keep].float())
        return state


class ImageModel:
    """As what `build_sam3_image_model(enable_inst_interactivity=True)` gives."""

    def __init__(self, interactive):
        self.asked = []
        encoder = SimpleNamespace(mask_input_size=(288, 288))
        inner = SimpleNamespace(sam_prompt_encoder=encoder)
        self.inst_interactive_predictor = SimpleNamespace(model=inner) if interactive else None

    def predict_inst(self, inference_state, *, point_coords=None, point_labels=None, box=None, mask_input=None, multimask_output=True):  # fmt: skip
        self.asked.append((point_coords, point_labels, box, mask_input, multimask_output))
        count = 3 if multimask_output else 1
        masks = np.zeros((count, HEIGHT, WIDTH), dtype=np.float32)
        masks[-1, 5:15, 5:25] = 1
        return masks, np.linspace(0.1, 0.8, count, dtype=np.float32), np.zeros((count, 288, 288), dtype=np.float32)


class Tracker:
    """As `Sam3TrackerPredictor`: objects move one pixel to the right with each frame."""

    def init_state(self, video_path=None, offload_video_to_cpu=False, offload_state_to_cpu=False):
        files = sorted(Path(video_path).iterdir(), key=lambda file: int(file.stem))
        assert self.backbone == "tower" and offload_state_to_cpu
        self.frames = [np.array(Image.open(file)) for file in files]
        return {"masks": {}}

    def add_new_mask(self, inference_state, frame_idx, obj_id, mask, add_mask_to_memory=False):
        assert frame_idx == 0 and mask.ndim == 2
        inference_state["masks"][obj_id] = mask

    def propagate_in_video(self, inference_state, start_frame_idx, max_frame_num_to_track, reverse, tqdm_disable=False, obj_ids=None, run_mem_encoder=True, propagate_preflight=False):  # fmt: skip
        assert propagate_preflight and not reverse
        masks = torch.stack(list(inference_state["masks"].values()))[:, None].float() * 20 - 10
        for index in range(start_frame_idx, max_frame_num_to_track):
            yield index, list(inference_state["masks"]), masks, masks.roll(index, -1), torch.ones(len(masks))


@pytest.fixture
def package(monkeypatch, tmp_path):
    """The stub, imported as `sam3`; and a file for it."""
    built = []

    def build_sam3_image_model(bpe_path=None, device="cuda", eval_mode=True, checkpoint_path=None, load_from_HF=True, enable_segmentation=True, enable_inst_interactivity=False, compile=False):  # fmt: skip  # noqa: N803
        assert not load_from_HF and checkpoint_path
        if Path(checkpoint_path).read_bytes() == b"cut":
            raise RuntimeError("PytorchStreamReader failed reading zip archive\nmore")
        built.append(ImageModel(enable_inst_interactivity))
        return built[-1]

    def build_sam3_video_model(checkpoint_path=None, load_from_HF=True, bpe_path=None, has_presence_token=True, geo_encoder_use_img_cross_attn=True, strict_state_dict_loading=True, apply_temporal_disambiguation=True, device="cuda", compile=False):  # fmt: skip  # noqa: N803
        assert not load_from_HF
        return SimpleNamespace(tracker=Tracker(), detector=SimpleNamespace(backbone="tower"))

    modules = {name: ModuleType(name) for name in ("sam3", "sam3.model", "sam3.model_builder", "sam3.model.sam3_image_processor")}  # fmt: skip
    modules["sam3.model_builder"].build_sam3_image_model = build_sam3_image_model
    modules["sam3.model_builder"].build_sam3_video_model = build_sam3_video_model
    modules["sam3.model.sam3_image_processor"].Sam3Processor = Processor
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    path = tmp_path / "sam3.pt"
    path.write_bytes(b"weights")
    yield SimpleNamespace(path=path, built=built)
    weights.forget("sam3-meta")


@pytest.fixture
def images():
    return torch.rand(2, HEIGHT, WIDTH, 3)


def test_words_and_example_boxes(package, images):
    sam = load_meta(package.path)
    assert load_meta(package.path) is sam and len(package.built) == 1
    found = segment(sam, images, texts=["dent", "rust"], boxes=[Box(6, 4, 12, 8), Box(0, 0, 6, 4, positive=False)])
    assert [one.labels for one in found] == [("dent", "dent", "rust", "rust")] * 2
    assert found[0].scores.tolist() == pytest.approx([0.9, 0.6] * 2)
    assert found[0].masks[0, 25, 30] and found[0].masks.dtype == torch.bool
    assert found[0].boxes[0].tolist() == [20, 20, 40, 30]
    text, boxes = package.built[0].asked[2]
    assert text == "dent" and [label for _, label in boxes] == [True, False]
    assert boxes[0][0] == pytest.approx([0.2, 0.2, 0.2, 0.2])
    assert len(segment(sam, images, texts=["dent"], threshold=0.7)[0]) == 1
    alone = segment(sam, images[:1], boxes=[Box(6, 4, 12, 8)])[0]
    assert alone.labels == ("object", "object") and package.built[0].asked[-1][0] is None


def test_points_outlines_and_masks(package, images):
    sam, rough = load_meta(package.path), torch.zeros(1, HEIGHT, WIDTH)
    rough[:, 5:15, 5:25] = 1
    found = segment(sam, images[:1], points=[Point(10, 12)])[0]
    assert found.scores.tolist() == pytest.approx([0.8]) and found.boxes[0].tolist() == [5, 5, 25, 15]
    places, labels, box, mask, several = package.built[0].asked[-1]
    assert places.tolist() == [[10, 12]] and labels.tolist() == [1] and box is None and mask is None and several
    segment(sam, images[:1], boxes=[Box(6, 4, 12, 8)], outline=True, mask_prompt=rough)
    _, _, box, mask, several = package.built[0].asked[-1]
    assert box.tolist() == pytest.approx([6, 4, 18, 12]) and mask.shape == (1, 288, 288) and not several
    assert mask.min() < -9 and mask.max() > 9


def test_following(package, images):
    sam, done = load_meta(package.path), []
    frames = images[:1].expand(4, -1, -1, -1)
    masks = torch.zeros(1, HEIGHT, WIDTH)
    masks[:, 30:35, 5:10] = 1
    told = list(track(sam, frames, masks=masks, texts=["dent"], on_frame=lambda *steps: done.append(steps)))
    assert [frame.labels for frame in told] == [("object 1", "dent", "dent")] * 4
    assert torch.equal(told[0].masks[0], masks[0] > 0) and torch.equal(told[2].masks[0], (masks[0] > 0).roll(2, -1))
    assert done[-1] == (4, 4) and len(sam.tracker.frames) == 4
    assert np.abs(sam.tracker.frames[0] / 255 - images[0].numpy()).max() <= 0.5 / 255 + 1e-6
    nothing = list(track(sam, frames, texts=["dent"], threshold=0.95))
    assert len(nothing) == 4 and nothing[0].masks.shape == (0, HEIGHT, WIDTH)
    with pytest.raises(InputError, match="detect_every is not for the backend sam3"):
        track(sam, frames, texts=["dent"], detect_every=2)


def test_what_can_go_wrong(package, images, monkeypatch):
    sam = load_meta(package.path)
    sam.processor.model.inst_interactive_predictor = None
    with pytest.raises(InputError, match="without points"):
        segment(sam, images, points=[Point(1, 1)])
    package.path.write_bytes(b"cut")
    with pytest.raises(
        InputError, match=r"cannot read sam3.pt \(PytorchStreamReader failed reading zip archive\); choose"
    ):
        load_meta(package.path)
    monkeypatch.setitem(sys.modules, "sam3.model.sam3_image_processor", None)
    weights.forget("sam3-meta")
    with pytest.raises(InputError, match="Meta's package sam3 is not installed; choose the backend transformers"):
        load_meta(package.path)


def test_a_package_that_cannot_be_imported_breaks_nothing(tmp_path, monkeypatch):
    """Meta's needs triton and CUDA on import; its table of words is found all the same."""
    folder = tmp_path / "sam3" / "assets"
    folder.mkdir(parents=True)
    (tmp_path / "sam3" / "__init__.py").write_text("raise RuntimeError('no CUDA GPUs are available')")
    (folder / clip_table.PACKED).write_bytes(b"")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sam3", raising=False)
    assert clip_table._in_package("sam3") == folder / clip_table.PACKED
    (tmp_path / "sam3.pt").write_bytes(b"weights")
    with pytest.raises(InputError, match=r"does not work here \(no CUDA GPUs are available\); choose the backend"):
        load_meta(tmp_path / "sam3.pt")
