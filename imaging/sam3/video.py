"""Follow objects through the frames of a video, with as much memory for a thousand frames as for twenty.

Ravi et al., "SAM 2: Segment Anything in Images and Videos" (2024), section 4: each frame is looked at with what is remembered of
the frame an object was shown on, of the last six frames, and of the object in the last sixteen. What is older is let go here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ...nn_layers.errors import InputError
from ..masks import checked_images, colours
from .engine import Engine, Follow, Frame, enlarged
from .features import Features, seen, tracker_view
from .segment import segment

if TYPE_CHECKING:
    from .model import Sam3

SAME = 0.5  # overlap (intersection / union) from which a newly found object is one that is followed already

New = list[tuple[torch.Tensor, str]]  # masks of objects, bool [height, width], and their classes


def track(
    sam: Engine,
    frames: torch.Tensor,
    *,
    masks: torch.Tensor | None = None,
    texts: Sequence[str] = (),
    threshold: float = 0.5,
    max_objects: int = 8,
    detect_every: int = 0,
    on_frame: Callable[[int, int], None] | None = None,
) -> Iterator[Frame]:
    """Follow objects from frame to frame; a later `Frame` may hold more objects than an earlier one.

    Args:
        sam: The model.
        frames: float32 [frame, height, width, 3] in 0..1
        masks: float32 [object, height, width]: the objects on the first frame.
        texts: Classes to look for on the first frame.
        threshold: Least score of an object that is found by words.
        max_objects: Most objects that are followed.
        detect_every: Look for further objects on every so many frames; 0: on the first only.
        on_frame: Called with frames done and frames in all; may raise to stop.

    Raises:
        InputError: Nothing to follow was named or masks are of another size.
    """
    frames = colours(checked_images(frames, "frames"))
    texts = [text.strip() for text in texts if text.strip()]
    if masks is None and not texts:
        raise InputError("nothing to follow: give masks of objects on the first frame, or a text.")
    if masks is not None and masks.shape[-2:] != frames.shape[1:3]:
        raise InputError(
            f"masks are {masks.shape[-1]} × {masks.shape[-2]} pixels, but the frames are {frames.shape[2]} × {frames.shape[1]}; "
            f"make them alike."
        )
    masks = masks[None] if masks is not None and masks.ndim == 2 else masks
    return sam.follow(frames, Follow(masks, texts, threshold, max_objects, detect_every, on_frame))


def candidates(sam: Engine, frames: torch.Tensor, how: Follow, index: int) -> New:
    """What may be followed from a frame on: the masks that were given, and what words find there."""
    new: New = []
    if index == 0 and how.masks is not None:
        given = enumerate(how.masks > 0.5, 1)
        new = [(mask.cpu(), f"object {number}") for number, mask in given if bool(mask.any())]
    if how.texts and (index == 0 or (how.detect_every and index % how.detect_every == 0)):
        found = segment(sam, frames[index : index + 1], texts=how.texts, threshold=how.threshold)[0]
        new += list(zip(found.masks, found.labels, strict=True))
    return new


def unknown(new: New, followed: torch.Tensor, room: int) -> New:
    """Those of the `new` ones that are none of the `followed` [object, height, width] nor of each other, `room` at most."""
    kept: New = []
    for mask, label in new:
        if len(kept) < room and bool(mask.any()) and not _known(mask, followed):
            kept.append((mask, label))
            followed = torch.cat([followed, mask[None]])
    return kept


def first_objects(sam: Engine, frames: torch.Tensor, how: Follow) -> New:
    """What is followed from the first frame on."""
    return unknown(candidates(sam, frames, how, 0), _nothing(frames[0]), how.max_objects)


def follow(sam: Sam3, frames: torch.Tensor, how: Follow) -> Iterator[Frame]:
    """Follow with the model of transformers."""
    kept, sam.features = sam.features, Features(room=0)  # frames are seen once: they must not push pictures out
    session = _session(sam, frames)
    labels: list[str] = []
    try:
        with torch.inference_mode():
            for index, picture in enumerate(frames):
                how.tell(index, len(frames))
                _show(sam, session, index, picture)
                now = _step(sam, session, index, picture) if labels else _nothing(picture)
                new = candidates(sam, frames, how, index)
                for mask, label in unknown(new, now, how.max_objects - len(labels)):
                    _add(session, index, len(labels), mask)
                    labels.append(label)
                    now = torch.cat([now, mask[None]])
                if session.obj_with_new_inputs:
                    _step(sam, session, index, picture)  # the memory of what was just shown
                _forget(sam, session, index)
                yield Frame(now, tuple(labels))
        how.tell(len(frames), len(frames))
    finally:
        sam.features = kept


def _session(sam: Sam3, frames: torch.Tensor) -> Any:
    from transformers.models.sam3_tracker_video.modeling_sam3_tracker_video import Sam3TrackerVideoInferenceSession

    return Sam3TrackerVideoInferenceSession(
        video_height=frames.shape[1],
        video_width=frames.shape[2],
        inference_device=sam.device,
        inference_state_device=sam.device,
        dtype=sam.dtype,
    )


def _show(sam: Sam3, session: Any, index: int, picture: torch.Tensor) -> None:
    """Put what the shared picture tower says where the video tracker looks for it, so that it needs no tower of its own."""
    maps, positions = tracker_view(sam, seen(sam, picture))
    flat = [[one.flatten(2).permute(2, 0, 1) for one in level] for level in (maps, positions)]
    session.cache.cache_vision_features(index, {"vision_feats": flat[0], "vision_pos_embeds": flat[1]})


def _step(sam: Sam3, session: Any, index: int, picture: torch.Tensor) -> torch.Tensor:
    """Masks of all objects on a frame, bool [object, height, width]."""
    nothing = torch.zeros(
        3, 1, 1, dtype=sam.dtype, device=sam.device
    )  # the frame itself is in the session's cache already
    output = sam.video(session, frame_idx=index, frame=nothing)
    session.processed_frames.pop(index, None)
    return torch.stack([enlarged(one[0], *picture.shape[:2]) for one in output.pred_masks])


def _add(session: Any, index: int, number: int, mask: torch.Tensor) -> None:
    where = session.obj_id_to_idx(number)
    session.add_mask_inputs(where, index, mask[None, None].float())
    session.obj_with_new_inputs.append(number)


def _known(mask: torch.Tensor, others: torch.Tensor) -> bool:
    both = (others & mask).flatten(1).sum(1)
    either = (others | mask).flatten(1).sum(1).clamp(min=1)
    return bool((both / either > SAME).any())


def _forget(sam: Sam3, session: Any, index: int) -> None:
    """Let go of everything that no later frame will ask for."""
    settings = sam.video.config
    oldest = index - max(settings.num_maskmem, settings.max_object_pointers_in_encoder)
    for number, outputs in session.output_dict_per_obj.items():
        for told in outputs.values():
            for output in told.values():
                output.pop("high_res_masks", None)
        recent = outputs["non_cond_frame_outputs"]
        for output in recent.values():
            output.pop("pred_masks", None)
        for frame in [one for one in recent if one < oldest]:
            del recent[frame]
        tracked = session.frames_tracked_per_obj[number]
        for frame in [one for one in tracked if one < oldest]:
            del tracked[frame]
        session.mask_inputs_per_obj[number].clear()


def _nothing(picture: torch.Tensor) -> torch.Tensor:
    return torch.zeros(0, *picture.shape[:2], dtype=torch.bool)
