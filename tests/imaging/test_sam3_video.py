"""Following objects through frames: the reference is transformers' own tracker with its own picture tower."""

import importlib.util
from pathlib import Path

import pytest
import torch
from visionsmith.imaging.sam3 import load, track, video
from visionsmith.imaging.sam3.features import prepared
from visionsmith.nn_layers import InputError

spec = importlib.util.spec_from_file_location("sam3_files", Path(__file__).with_name("sam3_files.py"))
files = importlib.util.module_from_spec(spec)
spec.loader.exec_module(files)


@pytest.fixture(scope="module")
def sam(tmp_path_factory):
    return load(files.write(tmp_path_factory.mktemp("sam3")))


@pytest.fixture(scope="module")
def frames():
    """A bright square that moves over noise: float32 [6, 48, 64, 3]."""
    frames = torch.rand(6, 48, 64, 3, generator=torch.Generator().manual_seed(2)) * 0.3
    for number in range(6):
        frames[number, 10:30, 5 + 5 * number : 25 + 5 * number] += 0.6
    return frames


@pytest.fixture
def square():
    mask = torch.zeros(1, 48, 64)
    mask[0, 10:30, 5:25] = 1
    return mask


def test_as_transformers_tracks(sam, frames, square):
    """The same weights in `Sam3TrackerVideoModel` with a whole video in its session."""
    from transformers import Sam3TrackerVideoConfig, Sam3TrackerVideoModel
    from transformers.models.sam3_tracker_video.modeling_sam3_tracker_video import Sam3TrackerVideoInferenceSession

    state = files.hugging_face()
    tower = {
        f"vision_encoder.{name}": tensor for name, tensor in _part(state, "detector_model.vision_encoder.").items()
    }
    tower |= {f"vision_encoder.neck.{name}": tensor for name, tensor in _part(state, "tracker_neck.").items()}
    model = Sam3TrackerVideoModel(Sam3TrackerVideoConfig(**files.configurations()[1])).eval()
    model.load_state_dict(tower | _part(state, "tracker_model."))
    film = torch.cat([prepared(frame, files.SIDE) for frame in frames])
    session = Sam3TrackerVideoInferenceSession(film, 48, 64, dtype=torch.float32)
    session.obj_id_to_idx(0)
    session.add_mask_inputs(0, 0, square[None])
    session.obj_with_new_inputs.append(0)
    model(session, frame_idx=0)
    expected = [
        video.enlarged(output.pred_masks[0, 0], 48, 64) for output in model.propagate_in_video_iterator(session)
    ]
    found = [frame.masks[0] for frame in track(sam, frames, masks=square)]
    assert torch.equal(found[0], square[0] > 0.5)
    for number in range(1, 6):
        assert (found[number] == expected[number]).float().mean() > 0.999, number


def _part(state, prefix):
    return {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}


def test_words_find_what_is_followed_and_more_later(sam, frames, monkeypatch):
    squares = torch.zeros(2, 48, 64, dtype=torch.bool)
    squares[0, 2:10, 2:10] = squares[1, 30:46, 30:60] = True

    def segment(_, picture, texts, threshold):
        now = 1 if torch.equal(picture[0], frames[0]) else 2
        return [video_found(squares[:now], texts[0])]

    monkeypatch.setattr(video, "segment", segment)
    found = list(track(sam, frames, texts=["cat"], detect_every=3))
    assert [len(frame.masks) for frame in found[:3]] == [1, 1, 1]
    assert torch.equal(found[0].masks[0], squares[0])
    assert len(found[3].masks) >= 2
    assert torch.equal(found[3].masks[-1], squares[1])
    assert found[5].labels[:2] == ("cat", "cat")
    assert all(len(frame.masks) == len(frame.labels) for frame in found)
    assert {len(frame.masks) for frame in track(sam, frames, texts=["cat"], detect_every=3, max_objects=1)} == {1}


def video_found(masks, label):
    from visionsmith.imaging.sam3 import Found

    return Found(masks, torch.zeros(len(masks), 4), torch.ones(len(masks)), (label,) * len(masks))


def test_memory_does_not_grow(sam, frames, square, monkeypatch):
    sizes = []
    forget = video._forget

    def counted(sam, session, index):
        forget(sam, session, index)
        outputs = session.output_dict_per_obj[0]
        told = [tensor for kind in outputs.values() for one in kind.values() for tensor in one.values()]
        told += [
            tensor for one in session.cache._vision_features.values() for level in one.values() for tensor in level
        ]
        sizes.append(sum(tensor.nbytes for tensor in told))
        assert not session.processed_frames
        assert sum(map(len, (session.frames_tracked_per_obj[0], session.mask_inputs_per_obj[0]))) < 20

    monkeypatch.setattr(video, "_forget", counted)
    pictures = sam.features
    list(track(sam, frames.repeat(5, 1, 1, 1), masks=square))
    assert sizes[29] == sizes[20]
    assert sam.features is pictures


def test_a_frame_that_shows_nothing(sam, frames):
    found = list(track(sam, frames[:2], texts=["cat"], threshold=1.0))
    assert [frame.masks.shape for frame in found] == [(0, 48, 64)] * 2


def test_frames_are_told_and_may_stop(sam, frames, square):
    told = []
    list(track(sam, frames[:3], masks=square, on_frame=lambda *one: told.append(one)))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]

    def stop(done, _):
        if done:
            raise KeyboardInterrupt

    pictures = sam.features
    with pytest.raises(KeyboardInterrupt):
        list(track(sam, frames, masks=square, on_frame=stop))
    assert sam.features is pictures


def test_nothing_to_follow(sam, frames, square):
    with pytest.raises(InputError, match="nothing to follow"):
        track(sam, frames)
    with pytest.raises(InputError, match="masks are 64 × 20 pixels, but the frames are 64 × 48"):
        track(sam, frames, masks=square[:, :20])
