"""What a file of SAM 3 weights says about the network: its sizes, read from the shapes of the weights.

Only what no shape tells follows a rule that holds for the published model: attention heads are 64 wide in the two towers, the
picture is three times as large as in pretraining (1,008 pixels), a window is as large as in pretraining (24 patches), and every
fourth part of the picture tower ends in a layer that looks at the whole picture.
"""

from __future__ import annotations

import re
from typing import Any

from .keys import State, part

HEAD = 64  # width of an attention head in the picture tower (1,024 / 16) and the text tower (1,024 / 16)
ENLARGED = 3  # picture side / picture side in pretraining: 1,008 / 336
GLOBAL_LAYERS = 4
PROJECTION = 512  # of the text tower's last layer, which SAM 3 does not use and SAM 3.1 does not have
PYRAMID_SCALES = (4.0, 2.0, 1.0, 0.5)


def count(state: State, pattern: str) -> int:
    """How many numbered parts there are; `pattern` has one group for the number."""
    numbers = [int(found[1]) for name in state if (found := re.match(pattern, name))]
    return max(numbers, default=-1) + 1


def vision_config(state: State) -> dict[str, Any]:
    """Settings of `Sam3VisionConfig` from the weights of ``detector_model.vision_encoder.``."""
    projection = state["backbone.embeddings.patch_embeddings.projection.weight"]
    hidden, channels, patch, _ = projection.shape
    grid = round(state["backbone.embeddings.position_embeddings"].shape[1] ** 0.5)
    layers = count(state, r"backbone\.layers\.(\d+)\.")
    step = max(1, layers // GLOBAL_LAYERS)
    side = ENLARGED * grid
    backbone = {
        "model_type": "sam3_vit_model",
        "hidden_size": hidden,
        "intermediate_size": state["backbone.layers.0.mlp.fc1.weight"].shape[0],
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, hidden // HEAD),
        "num_channels": channels,
        "patch_size": patch,
        "image_size": side * patch,
        "pretrain_image_size": grid * patch,
        "window_size": grid,
        "global_attn_indexes": list(range(step - 1, layers, step)),
    }
    return {
        "model_type": "sam3_vision_model",
        "backbone_config": backbone,
        "fpn_hidden_size": state["neck.fpn_layers.0.proj1.weight"].shape[0],
        "scale_factors": list(PYRAMID_SCALES[: count(state, r"neck\.fpn_layers\.(\d+)\.")]),
        "backbone_feature_sizes": [[scale * side] * 2 for scale in (4, 2, 1)],
    }


def detector_config(state: State) -> dict[str, Any]:
    """Settings of `Sam3Config` from the weights of ``detector_model.``."""
    words = part(state, "text_encoder.")
    text_width = words["text_model.embeddings.token_embedding.weight"].shape
    hidden = state["detr_decoder.query_embed.weight"].shape[1]
    heads = state["detr_decoder.box_rpb_embed_x.layer2.weight"].shape[0]

    def blocks(name: str) -> dict[str, int]:
        return {
            "hidden_size": hidden,
            "num_attention_heads": heads,
            "num_layers": count(state, rf"{name}\.layers\.(\d+)\."),
            "intermediate_size": state[f"{name}.layers.0.mlp.fc1.weight"].shape[0],
        }

    return {
        "vision_config": vision_config(part(state, "vision_encoder.")),
        "text_config": {
            "model_type": "clip_text_model",
            "vocab_size": text_width[0],
            "bos_token_id": text_width[0] - 2,
            "eos_token_id": text_width[0] - 1,
            "hidden_size": text_width[1],
            "num_attention_heads": max(1, text_width[1] // HEAD),
            "num_hidden_layers": count(words, r"text_model\.encoder\.layers\.(\d+)\."),
            "intermediate_size": words["text_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
            "max_position_embeddings": words["text_model.embeddings.position_embedding.weight"].shape[0],
            "projection_dim": len(words.get("text_projection.weight", ())) or PROJECTION,
            "hidden_act": "gelu",
        },
        "geometry_encoder_config": blocks("geometry_encoder")
        | {"roi_size": state["geometry_encoder.boxes_pool_project.weight"].shape[-1]},
        "detr_encoder_config": blocks("detr_encoder"),
        "detr_decoder_config": blocks("detr_decoder")
        | {"num_queries": state["detr_decoder.query_embed.weight"].shape[0]},
        "mask_decoder_config": {
            "hidden_size": hidden,
            "num_attention_heads": heads,
            "num_upsampling_stages": count(state, r"mask_decoder\.pixel_decoder\.conv_layers\.(\d+)\."),
        },
    }


def tracker_config(state: State, vision: dict[str, Any], heads: int) -> dict[str, Any]:
    """Settings of `Sam3TrackerConfig` from the weights of ``tracker_model.``; its picture tower is the detector's."""
    hidden = state["prompt_encoder.not_a_point_embed.weight"].shape[1]
    backbone = vision["backbone_config"]
    return {
        "vision_config": vision,
        "prompt_encoder_config": {
            "hidden_size": hidden,
            "image_size": backbone["image_size"],
            "patch_size": backbone["patch_size"],
            "mask_input_channels": state["prompt_encoder.mask_embed.conv2.weight"].shape[0],
        },
        "mask_decoder_config": {
            "hidden_size": hidden,
            "num_attention_heads": heads,
            "num_hidden_layers": count(state, r"mask_decoder\.transformer\.layers\.(\d+)\."),
            "mlp_dim": state["mask_decoder.transformer.layers.0.mlp.proj_in.weight"].shape[0],
            "num_multimask_outputs": state["mask_decoder.mask_tokens.weight"].shape[0] - 1,
            "iou_head_hidden_dim": state["mask_decoder.iou_prediction_head.proj_in.weight"].shape[0],
        },
    }


def video_config(state: State, tracker: dict[str, Any]) -> dict[str, Any]:
    """Settings of `Sam3TrackerVideoConfig`: those of the tracker and of its memory."""
    hidden = tracker["prompt_encoder_config"]["hidden_size"]
    return {
        **tracker,
        "image_size": tracker["prompt_encoder_config"]["image_size"],
        "num_maskmem": state["memory_temporal_positional_encoding"].shape[0],
        "memory_attention_hidden_size": hidden,
        "memory_attention_num_layers": count(state, r"memory_attention\.layers\.(\d+)\."),
        "memory_attention_feed_forward_hidden_size": state["memory_attention.layers.0.linear1.weight"].shape[0],
        "memory_encoder_hidden_size": hidden,
        "memory_encoder_output_channels": state["memory_encoder.projection.weight"].shape[0],
        "mask_downsampler_embed_dim": hidden,
        "memory_fuser_embed_dim": hidden,
        "memory_fuser_num_layers": count(state, r"memory_encoder\.memory_fuser\.layers\.(\d+)\."),
        "memory_fuser_intermediate_dim": state["memory_encoder.memory_fuser.layers.0.pointwise_conv1.weight"].shape[0],
    }
