"""Tiny SAM 3 models of the real architecture with random weights, and their files under Meta's and Hugging Face's names.

The way back from Hugging Face's names to Meta's is written here by hand, not derived from the loader.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path

import torch

GRID, PATCH, WIDTH, HIDDEN = 2, 14, 64, 128
SIDE = 3 * GRID * PATCH
WORDS = ["scratch", "dent", "red", "visual", "a", "the", "cat", "dog", "crack"]


def configurations() -> tuple[dict, dict]:
    """Settings for `Sam3Config` and `Sam3TrackerVideoConfig`."""
    vision = {
        "model_type": "sam3_vision_model",
        "backbone_config": {
            "model_type": "sam3_vit_model",
            "hidden_size": WIDTH,
            "intermediate_size": 96,
            "num_hidden_layers": 8,
            "num_attention_heads": 1,
            "image_size": SIDE,
            "patch_size": PATCH,
            "window_size": GRID,
            "pretrain_image_size": GRID * PATCH,
            "global_attn_indexes": [1, 3, 5, 7],
        },
        "fpn_hidden_size": HIDDEN,
        "backbone_feature_sizes": [[12 * GRID] * 2, [6 * GRID] * 2, [3 * GRID] * 2],
    }
    small = {"hidden_size": HIDDEN, "num_attention_heads": 4, "intermediate_size": 48, "num_layers": 2}
    detector = {
        "vision_config": vision,
        "text_config": {
            "model_type": "clip_text_model",
            "vocab_size": 600,
            "bos_token_id": 598,
            "eos_token_id": 599,
            "hidden_size": 64,
            "intermediate_size": 80,
            "num_hidden_layers": 2,
            "num_attention_heads": 1,
            "max_position_embeddings": 32,
            "projection_dim": 24,
            "hidden_act": "gelu",
        },
        "geometry_encoder_config": {**small, "roi_size": 7},
        "detr_encoder_config": dict(small),
        "detr_decoder_config": {**small, "num_queries": 12},
        "mask_decoder_config": {"hidden_size": HIDDEN, "num_attention_heads": 4},
    }
    tracker = {
        "vision_config": vision,
        "prompt_encoder_config": {"hidden_size": HIDDEN, "image_size": SIDE, "patch_size": PATCH},
        "mask_decoder_config": {
            "hidden_size": HIDDEN,
            "mlp_dim": 48,
            "num_attention_heads": 4,
            "iou_head_hidden_dim": HIDDEN,
        },
        "image_size": SIDE,
        "memory_attention_hidden_size": HIDDEN,
        "memory_attention_num_layers": 2,
        "memory_attention_feed_forward_hidden_size": 48,
        "memory_encoder_hidden_size": HIDDEN,
        "memory_encoder_output_channels": 64,
        "mask_downsampler_embed_dim": HIDDEN,
        "memory_fuser_embed_dim": HIDDEN,
        "memory_fuser_intermediate_dim": 96,
    }
    return detector, tracker


def models(seed: int = 0):
    """A detector and a video tracker with its neck; a quarter of all queries score above a half."""
    from transformers import Sam3Config, Sam3Model, Sam3TrackerVideoConfig, Sam3TrackerVideoModel

    detector, tracker = configurations()
    torch.manual_seed(seed)
    finder, follower = (
        Sam3Model(Sam3Config(**detector)).eval(),
        Sam3TrackerVideoModel(Sam3TrackerVideoConfig(**tracker)).eval(),
    )
    for module in (finder, follower):
        for name, weight in module.named_parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.15 if name.startswith(("detr_decoder", "dot_product")) else 0.08)
            elif name.endswith("bias"):
                torch.nn.init.normal_(weight, std=0.05)
    follower.prompt_encoder.shared_embedding.positional_embedding.data.copy_(
        follower.shared_image_embedding.positional_embedding
    )
    finder.detr_decoder.presence_head.layer3.bias.data.fill_(3.0)
    follower.mask_decoder.pred_obj_score_head.proj_out.bias.data.fill_(5.0)
    return finder, follower


@lru_cache(maxsize=1)
def hugging_face(seed: int = 0) -> dict[str, torch.Tensor]:
    """All weights as in Hugging Face's `model.safetensors`."""
    finder, follower = models(seed)
    state = {f"detector_model.{name}": tensor for name, tensor in finder.state_dict().items()}
    for name, tensor in follower.state_dict().items():
        if name.startswith("vision_encoder.neck."):
            state["tracker_neck." + name[len("vision_encoder.neck.") :]] = tensor
        elif not name.startswith("vision_encoder."):
            state[f"tracker_model.{name}"] = tensor
    return {name: tensor.clone().contiguous() for name, tensor in state.items()}


_TO_META = [
    (r"^detector_model\.vision_encoder\.backbone\.embeddings\.position_embeddings$", "detector.backbone.vision_backbone.trunk.pos_embed"),
    (r"^detector_model\.vision_encoder\.backbone\.embeddings\.patch_embeddings\.projection", "detector.backbone.vision_backbone.trunk.patch_embed.proj"),
    (r"^detector_model\.vision_encoder\.backbone\.layer_norm\.", "detector.backbone.vision_backbone.trunk.ln_pre."),
    (r"^detector_model\.vision_encoder\.backbone\.layers\.", "detector.backbone.vision_backbone.trunk.blocks."),
    (r"(trunk\.blocks\.\d+)\.layer_norm", r"\1.norm"),
    (r"(trunk\.blocks\.\d+)\.attention\.o_proj", r"\1.attn.proj"),
    (r"(trunk\.blocks\.\d+)\.attention\.", r"\1.attn."),
    (r"^detector_model\.vision_encoder\.neck\.fpn_layers\.", "detector.backbone.vision_backbone.convs."),
    (r"^tracker_neck\.fpn_layers\.", "detector.backbone.vision_backbone.sam2_convs."),
    (r"(convs\.0)\.scale_layers\.0", r"\1.dconv_2x2_0"),
    (r"(convs\.0)\.scale_layers\.2", r"\1.dconv_2x2_1"),
    (r"(convs\.1)\.scale_layers\.0", r"\1.dconv_2x2"),
    (r"(convs\.\d)\.proj1", r"\1.conv_1x1"),
    (r"(convs\.\d)\.proj2", r"\1.conv_3x3"),
    (r"^detector_model\.text_encoder\.text_projection\.weight$", "detector.backbone.language_backbone.encoder.text_projection"),
    (r"^detector_model\.text_encoder\.text_model\.embeddings\.token_embedding", "detector.backbone.language_backbone.encoder.token_embedding"),
    (r"^detector_model\.text_encoder\.text_model\.embeddings\.position_embedding\.weight", "detector.backbone.language_backbone.encoder.positional_embedding"),
    (r"^detector_model\.text_encoder\.text_model\.final_layer_norm", "detector.backbone.language_backbone.encoder.ln_final"),
    (r"^detector_model\.text_encoder\.text_model\.encoder\.layers\.", "detector.backbone.language_backbone.encoder.transformer.resblocks."),
    (r"(resblocks\.\d+)\.self_attn", r"\1.attn"),
    (r"(resblocks\.\d+)\.layer_norm", r"\1.ln_"),
    (r"(resblocks\.\d+)\.mlp\.fc1", r"\1.mlp.c_fc"),
    (r"(resblocks\.\d+)\.mlp\.fc2", r"\1.mlp.c_proj"),
    (r"^detector_model\.text_projection\.", "detector.backbone.language_backbone.resizer."),
    (r"^detector_model\.geometry_encoder\.layers", "detector.geometry_encoder.encode"),
    (r"^detector_model\.geometry_encoder\.vision_layer_norm", "detector.geometry_encoder.img_pre_norm"),
    (r"^detector_model\.geometry_encoder\.prompt_layer_norm", "detector.geometry_encoder.norm"),
    (r"^detector_model\.geometry_encoder\.output_layer_norm", "detector.geometry_encoder.encode_norm"),
    (r"^detector_model\.detr_encoder", "detector.transformer.encoder"),
    (r"(encode|encoder\.layers)(\.\d+)\.cross_attn\.", r"\1\2.cross_attn_image."),
    (r"(encode|encoder\.layers)(\.\d+)\.layer_norm", r"\1\2.norm"),
    (r"^detector_model\.detr_decoder", "detector.transformer.decoder"),
    (r"\.vision_cross_attn_layer_norm", ".norm1"),
    (r"\.text_cross_attn_layer_norm", ".catext_norm"),
    (r"\.self_attn_layer_norm", ".norm2"),
    (r"\.mlp_layer_norm", ".norm3"),
    (r"\.vision_cross_attn\.", ".cross_attn."),
    (r"\.text_cross_attn\.", ".ca_text."),
    (r"^(detector\.(?:transformer|geometry).*)\.mlp\.fc", r"\1.linear"),
    (r"decoder\.presence_head\.layer", "decoder.presence_token_head.layers."),
    (r"decoder\.presence_layer_norm", "decoder.presence_token_out_norm"),
    (r"decoder\.box_head\.layer", "decoder.bbox_embed.layers."),
    (r"decoder\.ref_point_head\.layer", "decoder.ref_point_head.layers."),
    (r"decoder\.box_rpb_embed_([xy])\.layer", r"decoder.boxRPB_embed_\1.layers."),
    (r"decoder\.output_layer_norm", "decoder.norm"),
    (r"^detector_model\.dot_product_scoring\.text_mlp\.layer", "detector.dot_prod_scoring.prompt_mlp.layers."),
    (r"^detector_model\.dot_product_scoring\.text_mlp_out_norm", "detector.dot_prod_scoring.prompt_mlp.out_norm"),
    (r"^detector_model\.dot_product_scoring\.text_proj", "detector.dot_prod_scoring.prompt_proj"),
    (r"^detector_model\.dot_product_scoring\.query_proj", "detector.dot_prod_scoring.hs_proj"),
    (r"^detector_model\.mask_decoder\.pixel_decoder", "detector.segmentation_head.pixel_decoder"),
    (r"^detector_model\.mask_decoder\.mask_embedder", "detector.segmentation_head.mask_predictor.mask_embed"),
    (r"^detector_model\.mask_decoder\.instance_projection", "detector.segmentation_head.instance_seg_head"),
    (r"^detector_model\.mask_decoder\.semantic_projection", "detector.segmentation_head.semantic_seg_head"),
    (r"^detector_model\.mask_decoder\.prompt_cross_attn_norm", "detector.segmentation_head.cross_attn_norm"),
    (r"^detector_model\.mask_decoder\.prompt_cross_attn", "detector.segmentation_head.cross_attend_prompt"),
    (r"^detector_model\.", "detector."),
    (r"^tracker_model\.shared_image_embedding\.positional_embedding", "tracker.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    (r"^tracker_model\.prompt_encoder", "tracker.sam_prompt_encoder"),
    (r"mask_embed\.conv1", "mask_downscaling.0"),
    (r"mask_embed\.layer_norm1", "mask_downscaling.1"),
    (r"mask_embed\.conv2", "mask_downscaling.3"),
    (r"mask_embed\.layer_norm2", "mask_downscaling.4"),
    (r"mask_embed\.conv3", "mask_downscaling.6"),
    (r"^tracker_model\.mask_decoder", "tracker.sam_mask_decoder"),
    (r"(hypernetworks_mlps\.\d|iou_prediction_head|pred_obj_score_head)\.layers\.0", r"\1.layers.1"),
    (r"(hypernetworks_mlps\.\d|iou_prediction_head|pred_obj_score_head)\.proj_in", r"\1.layers.0"),
    (r"(hypernetworks_mlps\.\d|iou_prediction_head|pred_obj_score_head)\.proj_out", r"\1.layers.2"),
    (r"sam_mask_decoder\.upscale_conv1", "sam_mask_decoder.output_upscaling.0"),
    (r"sam_mask_decoder\.upscale_layer_norm", "sam_mask_decoder.output_upscaling.1"),
    (r"sam_mask_decoder\.upscale_conv2", "sam_mask_decoder.output_upscaling.3"),
    (r"(sam_mask_decoder.*)\.mlp\.proj_in", r"\1.mlp.lin1"),
    (r"(sam_mask_decoder.*)\.mlp\.proj_out", r"\1.mlp.lin2"),
    (r"transformer\.layer_norm_final_attn", "transformer.norm_final_attn"),
    (r"(sam_mask_decoder\.transformer\.layers\.\d)\.layer_norm", r"\1.norm"),
    (r"^tracker_model\.memory_attention", "tracker.transformer.encoder"),
    (r"(tracker\.transformer\.encoder.*)\.layer_norm", r"\1.norm"),
    (r"^tracker_model\.memory_encoder\.mask_downsampler\.final_conv", "tracker.maskmem_backbone.mask_downsampler.encoder.12"),
    (r"^tracker_model\.memory_encoder", "tracker.maskmem_backbone"),
    (r"maskmem_backbone\.feature_projection", "maskmem_backbone.pix_feat_proj"),
    (r"maskmem_backbone\.projection", "maskmem_backbone.out_proj"),
    (r"memory_fuser\.layers\.(\d)\.scale", r"fuser.layers.\1.gamma"),
    (r"memory_fuser\.layers\.(\d)\.depthwise_conv", r"fuser.layers.\1.dwconv"),
    (r"memory_fuser\.layers\.(\d)\.pointwise_conv", r"fuser.layers.\1.pwconv"),
    (r"memory_fuser\.layers\.(\d)\.layer_norm", r"fuser.layers.\1.norm"),
    (r"tracker_model\.memory_temporal_positional_encoding", "tracker.maskmem_tpos_enc"),
    (r"tracker_model\.no_memory_embedding", "tracker.no_mem_embed"),
    (r"tracker_model\.no_memory_positional_encoding", "tracker.no_mem_pos_enc"),
    (r"tracker_model\.no_object_pointer", "tracker.no_obj_ptr"),
    (r"tracker_model\.occlusion_spatial_embedding_parameter", "tracker.no_obj_embed_spatial"),
    (r"tracker_model\.object_pointer_proj\.layers\.0", "tracker.obj_ptr_proj.layers.1"),
    (r"tracker_model\.object_pointer_proj\.proj_in", "tracker.obj_ptr_proj.layers.0"),
    (r"tracker_model\.object_pointer_proj\.proj_out", "tracker.obj_ptr_proj.layers.2"),
    (r"tracker_model\.temporal_positional_encoding_projection_layer", "tracker.obj_ptr_tpos_proj"),
    (r"tracker_model\.mask_downsample", "tracker.mask_downsample"),
]  # fmt: skip


def meta_name(name: str) -> str:
    """Meta's name of one of Hugging Face's weights; fused ones are still divided."""
    for old, new in _TO_META:
        name = re.sub(old, new, name)
    down = re.match(r"(.*mask_downsampler)\.layers\.(\d)\.(conv|layer_norm)\.(.*)", name)
    if down:
        name = f"{down[1]}.encoder.{3 * int(down[2]) + (down[3] == 'layer_norm')}.{down[4]}"
    if re.search(r"(head|embed|mlp)\w*\.layers\.\d", name) and name.startswith(
        ("detector.transformer.decoder.", "detector.dot")
    ):
        name = re.sub(r"\.layers\.(\d)\.(weight|bias)$", lambda m: f".layers.{int(m[1]) - 1}.{m[2]}", name)
    if not name.startswith("detector.backbone"):
        name = name.replace(".o_proj.", ".out_proj.")
    return name


def meta(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights as in Meta's `sam3.pt`: fused, with a class entry, the projection transposed, and what nobody needs."""
    new: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if name.endswith("prompt_encoder.shared_embedding.positional_embedding"):
            continue
        if name.endswith("prompt_encoder.point_embed.weight"):
            for i in range(4):
                new[f"tracker.sam_prompt_encoder.point_embeddings.{i}.weight"] = tensor[i : i + 1].clone()
            continue
        name = meta_name(name)
        if name.endswith("text_projection"):
            tensor = tensor.T.contiguous()
        if name.endswith("pos_embed"):
            tensor = torch.cat([torch.full_like(tensor[:, :1], 9.0), tensor], dim=1)
        new[name] = tensor
    for name in [one for one in new if re.search(r"\.q_proj\.(weight|bias)$", one) and _is_fused(one)]:
        three = [new.pop(name.replace(".q_proj.", f".{letter}_proj.")) for letter in "qkv"]
        fused = ".qkv." if "trunk" in name else ".in_proj_"
        new[name.replace(".q_proj.", fused)] = torch.cat(three)
    for i in range(8):
        new[f"detector.backbone.vision_backbone.trunk.blocks.{i}.attn.freqs_cis"] = torch.zeros(
            16, 32, dtype=torch.complex64
        )
    for kind in ("direct", "pool", "pos_enc"):
        new[f"detector.geometry_encoder.points_{kind}_project.weight"] = torch.zeros(2, 2)
    return new


def _is_fused(name: str) -> bool:
    """The tracker's attention is divided in Meta's file too."""
    return name.startswith("detector.")


def write_vocabulary(folder: Path) -> None:
    """CLIP's two files for a handful of words: letters, letters that end a word, merges that make the words, two marks."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            pair = (pieces[0], pieces[1])
            if pair not in merges:
                merges.append(pair)
            pieces = ["".join(pair), *pieces[2:]]
    names = [*letters, *(one + "</w>" for one in letters), *dict.fromkeys("".join(pair) for pair in merges)]
    names += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(names)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges) + "\n")


def write(folder: Path, kind: str = "hf", seed: int = 0) -> Path:
    """A file of a tiny model with its vocabulary beside it: "hf", "meta.pt" or "meta.safetensors"."""
    from safetensors.torch import save_file

    write_vocabulary(folder)
    state = hugging_face(seed)
    if kind == "hf":
        save_file(state, folder / "model.safetensors")
        return folder / "model.safetensors"
    state = {name: tensor for name, tensor in meta(state).items() if kind == "meta.pt" or not tensor.is_complex()}
    if kind == "meta.pt":
        torch.save({"model": state}, folder / "sam3.pt")
        return folder / "sam3.pt"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "sam3.safetensors")
    return folder / "sam3.safetensors"
