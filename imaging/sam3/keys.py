"""The names of SAM 3's weights: as Meta publishes them, and as transformers knows them.

Everything is renamed to the layout of the file that Hugging Face publishes: ``detector_model.`` finds things by words and boxes,
``tracker_neck.`` and ``tracker_model.`` cut out what a point, a box or a mask shows and follow it through a video.
"""

from __future__ import annotations

import re

import torch

State = dict[str, torch.Tensor]

# The three linear layers of a small network: as Meta counts them, as the detector and as the tracker call them.
_THREE = {"0": "layer1", "1": "layer2", "2": "layer3"}
_PROJECTIONS = {"0": "proj_in", "1": "layers.0", "2": "proj_out"}
_CONVOLUTIONS = {"0": "conv1", "1": "layer_norm1", "3": "conv2", "4": "layer_norm2", "6": "conv3"}
_UPSCALING = {"0": "upscale_conv1", "1": "upscale_layer_norm", "3": "upscale_conv2"}
_DECODER_NORMS = {
    "norm1": "vision_cross_attn_layer_norm",
    "norm2": "self_attn_layer_norm",
    "norm3": "mlp_layer_norm",
    "catext_norm": "text_cross_attn_layer_norm",
}
_PYRAMID = {
    "dconv_2x2_0": "scale_layers.0",
    "dconv_2x2_1": "scale_layers.2",
    "dconv_2x2": "scale_layers.0",
    "conv_1x1": "proj1",
    "conv_3x3": "proj2",
}


def _numbered(start: str, table: dict[str, str], new: str) -> list[tuple[str, str]]:
    return [(rf"{start}\.{re.escape(old)}\.", f"{new}{name}.") for old, name in table.items()]


def _blocks(start: str, new: str) -> list[tuple[str, str]]:
    """The layers that the geometry encoder and the picture's transformer share."""
    return [
        (rf"{start}\.(\d+)\.self_attn\.out_proj\.", rf"{new}.\1.self_attn.o_proj."),
        (rf"{start}\.(\d+)\.self_attn\.", rf"{new}.\1.self_attn."),
        (rf"{start}\.(\d+)\.cross_attn(?:_image)?\.out_proj\.", rf"{new}.\1.cross_attn.o_proj."),
        (rf"{start}\.(\d+)\.cross_attn(?:_image)?\.", rf"{new}.\1.cross_attn."),
        (rf"{start}\.(\d+)\.linear(\d)\.", rf"{new}.\1.mlp.fc\2."),
        (rf"{start}\.(\d+)\.norm(\d)\.", rf"{new}.\1.layer_norm\2."),
    ]


_TRUNK, _WORDS = r"backbone\.vision_backbone\.trunk", r"backbone\.language_backbone\.encoder"
_BLOCK = r"transformer\.decoder\.layers\.(\d+)"
_VIT, _CLIP = "vision_encoder.backbone", "text_encoder.text_model"

# The start of a Meta key, and what stands there instead; the first that fits is taken, the rest of the key stays.
DETECTOR: list[tuple[str, str]] = [
    (rf"{_TRUNK}\.pos_embed", f"{_VIT}.embeddings.position_embeddings"),
    (rf"{_TRUNK}\.patch_embed\.proj\.", f"{_VIT}.embeddings.patch_embeddings.projection."),
    (rf"{_TRUNK}\.ln_pre\.", f"{_VIT}.layer_norm."),
    (rf"{_TRUNK}\.blocks\.(\d+)\.norm(\d)\.", rf"{_VIT}.layers.\1.layer_norm\2."),
    (rf"{_TRUNK}\.blocks\.(\d+)\.attn\.proj\.", rf"{_VIT}.layers.\1.attention.o_proj."),
    (rf"{_TRUNK}\.blocks\.(\d+)\.attn\.", rf"{_VIT}.layers.\1.attention."),
    (rf"{_TRUNK}\.blocks\.(\d+)\.mlp\.", rf"{_VIT}.layers.\1.mlp."),
    *_numbered(r"backbone\.vision_backbone\.convs\.(\d+)", _PYRAMID, r"vision_encoder.neck.fpn_layers.\1."),
    (rf"{_WORDS}\.token_embedding\.", f"{_CLIP}.embeddings.token_embedding."),
    (rf"{_WORDS}\.positional_embedding", f"{_CLIP}.embeddings.position_embedding.weight"),
    (rf"{_WORDS}\.ln_final\.", f"{_CLIP}.final_layer_norm."),
    (rf"{_WORDS}\.text_projection", "text_encoder.text_projection.weight"),
    (rf"{_WORDS}\.transformer\.resblocks\.(\d+)\.attn\.", rf"{_CLIP}.encoder.layers.\1.self_attn."),
    (rf"{_WORDS}\.transformer\.resblocks\.(\d+)\.ln_(\d)\.", rf"{_CLIP}.encoder.layers.\1.layer_norm\2."),
    (rf"{_WORDS}\.transformer\.resblocks\.(\d+)\.mlp\.c_fc\.", rf"{_CLIP}.encoder.layers.\1.mlp.fc1."),
    (rf"{_WORDS}\.transformer\.resblocks\.(\d+)\.mlp\.c_proj\.", rf"{_CLIP}.encoder.layers.\1.mlp.fc2."),
    (r"backbone\.language_backbone\.resizer\.", "text_projection."),
    *_blocks(r"geometry_encoder\.encode", "geometry_encoder.layers"),
    (r"geometry_encoder\.img_pre_norm\.", "geometry_encoder.vision_layer_norm."),
    (r"geometry_encoder\.norm\.", "geometry_encoder.prompt_layer_norm."),
    (r"geometry_encoder\.encode_norm\.", "geometry_encoder.output_layer_norm."),
    (r"geometry_encoder\.", "geometry_encoder."),
    *_blocks(r"transformer\.encoder\.layers", "detr_encoder.layers"),
    (rf"{_BLOCK}\.self_attn\.out_proj\.", r"detr_decoder.layers.\1.self_attn.o_proj."),
    (rf"{_BLOCK}\.self_attn\.", r"detr_decoder.layers.\1.self_attn."),
    (rf"{_BLOCK}\.ca_text\.out_proj\.", r"detr_decoder.layers.\1.text_cross_attn.o_proj."),
    (rf"{_BLOCK}\.ca_text\.", r"detr_decoder.layers.\1.text_cross_attn."),
    (rf"{_BLOCK}\.cross_attn\.out_proj\.", r"detr_decoder.layers.\1.vision_cross_attn.o_proj."),
    (rf"{_BLOCK}\.cross_attn\.", r"detr_decoder.layers.\1.vision_cross_attn."),
    (rf"{_BLOCK}\.linear(\d)\.", r"detr_decoder.layers.\1.mlp.fc\2."),
    *_numbered(_BLOCK, _DECODER_NORMS, r"detr_decoder.layers.\1."),
    *_numbered(r"transformer\.decoder\.presence_token_head\.layers", _THREE, "detr_decoder.presence_head."),
    (r"transformer\.decoder\.presence_token_out_norm\.", "detr_decoder.presence_layer_norm."),
    *_numbered(r"transformer\.decoder\.bbox_embed\.layers", _THREE, "detr_decoder.box_head."),
    *_numbered(r"transformer\.decoder\.ref_point_head\.layers", _THREE, "detr_decoder.ref_point_head."),
    *_numbered(r"transformer\.decoder\.boxRPB_embed_([xy])\.layers", _THREE, r"detr_decoder.box_rpb_embed_\1."),
    (r"transformer\.decoder\.norm\.", "detr_decoder.output_layer_norm."),
    (r"transformer\.decoder\.(query_embed|reference_points|presence_token)\.", r"detr_decoder.\1."),
    *_numbered(r"dot_prod_scoring\.prompt_mlp\.layers", _THREE, "dot_product_scoring.text_mlp."),
    (r"dot_prod_scoring\.prompt_mlp\.out_norm\.", "dot_product_scoring.text_mlp_out_norm."),
    (r"dot_prod_scoring\.prompt_proj\.", "dot_product_scoring.text_proj."),
    (r"dot_prod_scoring\.hs_proj\.", "dot_product_scoring.query_proj."),
    (r"segmentation_head\.pixel_decoder\.", "mask_decoder.pixel_decoder."),
    (r"segmentation_head\.(?:mask_predictor\.)?mask_embed\.layers\.", "mask_decoder.mask_embedder.layers."),
    (r"segmentation_head\.instance_seg_head\.", "mask_decoder.instance_projection."),
    (r"segmentation_head\.semantic_seg_head\.", "mask_decoder.semantic_projection."),
    (r"segmentation_head\.cross_attend_prompt\.out_proj\.", "mask_decoder.prompt_cross_attn.o_proj."),
    (r"segmentation_head\.cross_attend_prompt\.", "mask_decoder.prompt_cross_attn."),
    (r"segmentation_head\.cross_attn_norm\.", "mask_decoder.prompt_cross_attn_norm."),
]

_TWO_WAY = r"sam_mask_decoder\.transformer"
_MASK = "mask_decoder.transformer"
_MEMORY = r"transformer\.encoder\.layers\.(\d+)"
_DOWN = r"maskmem_backbone\.mask_downsampler\.encoder"
_FUSER = r"maskmem_backbone\.fuser\.layers\.(\d+)"

TRACKER: list[tuple[str, str]] = [
    *_numbered(r"sam_prompt_encoder\.mask_downscaling", _CONVOLUTIONS, "prompt_encoder.mask_embed."),
    (
        r"sam_prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix",
        "shared_image_embedding.positional_embedding",
    ),
    (r"sam_prompt_encoder\.point_embeddings\.", "prompt_encoder.point_embed."),
    (r"sam_prompt_encoder\.", "prompt_encoder."),
    (rf"{_TWO_WAY}\.layers\.(\d+)\.(\w*attn\w*)\.out_proj\.", rf"{_MASK}.layers.\1.\2.o_proj."),
    (rf"{_TWO_WAY}\.layers\.(\d+)\.norm(\d)\.", rf"{_MASK}.layers.\1.layer_norm\2."),
    (rf"{_TWO_WAY}\.layers\.(\d+)\.mlp\.(?:lin1|layers\.0)\.", rf"{_MASK}.layers.\1.mlp.proj_in."),
    (rf"{_TWO_WAY}\.layers\.(\d+)\.mlp\.(?:lin2|layers\.1)\.", rf"{_MASK}.layers.\1.mlp.proj_out."),
    (rf"{_TWO_WAY}\.final_attn_token_to_image\.out_proj\.", f"{_MASK}.final_attn_token_to_image.o_proj."),
    (rf"{_TWO_WAY}\.norm_final_attn\.", f"{_MASK}.layer_norm_final_attn."),
    *_numbered(r"sam_mask_decoder\.output_upscaling", _UPSCALING, "mask_decoder."),
    *_numbered(
        r"sam_mask_decoder\.(output_hypernetworks_mlps\.\d+|iou_prediction_head|pred_obj_score_head)\.layers",
        _PROJECTIONS,
        r"mask_decoder.\1.",
    ),
    (r"sam_mask_decoder\.", "mask_decoder."),
    (rf"{_MEMORY}\.(self_attn|cross_attn_image)\.out_proj\.", r"memory_attention.layers.\1.\2.o_proj."),
    (rf"{_MEMORY}\.norm(\d)\.", r"memory_attention.layers.\1.layer_norm\2."),
    (rf"{_MEMORY}\.", r"memory_attention.layers.\1."),
    (r"transformer\.encoder\.norm\.", "memory_attention.layer_norm."),
    *[(rf"{_DOWN}\.{3 * i}\.", f"memory_encoder.mask_downsampler.layers.{i}.conv.") for i in range(4)],
    *[(rf"{_DOWN}\.{3 * i + 1}\.", f"memory_encoder.mask_downsampler.layers.{i}.layer_norm.") for i in range(4)],
    (rf"{_DOWN}\.12\.", "memory_encoder.mask_downsampler.final_conv."),
    (rf"{_FUSER}\.gamma", r"memory_encoder.memory_fuser.layers.\1.scale"),
    (rf"{_FUSER}\.dwconv\.", r"memory_encoder.memory_fuser.layers.\1.depthwise_conv."),
    (rf"{_FUSER}\.norm\.", r"memory_encoder.memory_fuser.layers.\1.layer_norm."),
    (rf"{_FUSER}\.pwconv(\d)\.", r"memory_encoder.memory_fuser.layers.\1.pointwise_conv\2."),
    (r"maskmem_backbone\.pix_feat_proj\.", "memory_encoder.feature_projection."),
    (r"maskmem_backbone\.out_proj\.", "memory_encoder.projection."),
    (r"maskmem_tpos_enc", "memory_temporal_positional_encoding"),
    (r"no_mem_embed", "no_memory_embedding"),
    (r"no_mem_pos_enc", "no_memory_positional_encoding"),
    (r"no_obj_ptr", "no_object_pointer"),
    (r"no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"),
    *_numbered(r"obj_ptr_proj\.layers", _PROJECTIONS, "object_pointer_proj."),
    (r"obj_ptr_tpos_proj\.", "temporal_positional_encoding_projection_layer."),
    (r"mask_downsample\.", "mask_downsample."),
]

# Weights that Meta's files hold and that transformers has no use for: computed tables, points given to the detector,
# and a second set of queries for training.
UNUSED = re.compile(r"freqs_cis|geometry_encoder\.(points_|mask_encoder)|decoder\.instance_|attn_mask$|logit_scale$")

# SAM 3.1 has one neck and one decoder for clicks, and others that follow sixteen objects at once.
_CLICKS = {
    "detector.backbone.vision_backbone.interactive_convs.": "detector.backbone.vision_backbone.sam2_convs.",
    "tracker.interactive_sam_": "tracker.sam_",
    "tracker.interactivity_no_mem_embed": "tracker.no_mem_embed",
}


def is_meta(names: list[str]) -> bool:
    """Whether the names are Meta's."""
    return any(name.startswith(("detector.backbone.", "backbone.vision_backbone.")) for name in names)


def is_hugging_face(names: list[str]) -> bool:
    """Whether the names are those of Hugging Face's file, or of a detector saved alone."""
    return any(name.startswith(("detector_model.vision_encoder.", "vision_encoder.backbone.")) for name in names)


def is_multiplex(names: list[str]) -> bool:
    """Whether it is SAM 3.1, whose tracker follows many objects at once."""
    return any(".propagation_convs." in name for name in names)


def from_meta(state: State) -> tuple[State, list[str]]:
    """Meta's weights under Hugging Face's names, and the names that nothing is known about.

    Fused query-key-value weights are divided, the position table loses its first row (a class entry that is never used), the
    projection of the text tower is transposed and the four embeddings of points become one table.
    """
    if is_multiplex(list(state)):
        state = _single_clicks(state)
    new: State = {}
    unknown: list[str] = []
    for name, tensor in state.items():
        if UNUSED.search(name):
            continue
        renamed = _rename(name)
        if renamed is None:
            unknown.append(name)
        else:
            new.update(_converted(renamed, tensor))
    _join_points(new)
    return new, unknown


def from_hugging_face(state: State) -> State:
    """The same weights; a detector saved alone gets the prefix that it has in the file of all parts."""
    if any(name.startswith("detector_model.") for name in state):
        return dict(state)
    return {f"detector_model.{name}": tensor for name, tensor in state.items()}


def part(state: State, prefix: str) -> State:
    """The weights whose names begin with `prefix`, without it."""
    return {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}


def _rename(name: str) -> str | None:
    if name.startswith("tracker."):
        return _first(TRACKER, name[len("tracker.") :], "tracker_model.")
    name = name.removeprefix("detector.")
    neck = re.sub(r"^backbone\.vision_backbone\.sam2_convs\.", "backbone.vision_backbone.convs.", name)
    renamed = _first(DETECTOR, neck, "detector_model.")
    if renamed and neck != name:
        return renamed.replace("detector_model.vision_encoder.neck.", "tracker_neck.")
    return renamed


def _first(rules: list[tuple[str, str]], name: str, prefix: str) -> str | None:
    for old, new in rules:
        renamed, count = re.subn(rf"^{old}", new, name)
        if count:
            return prefix + renamed
    return None


def _converted(name: str, tensor: torch.Tensor) -> State:
    """One weight of Meta's: itself, changed, or divided into three."""
    fused = re.match(r"(.*\.)(?:qkv\.|in_proj_)(weight|bias)$", name)
    if fused:
        parts = zip("qkv", tensor.chunk(3), strict=True)
        return {f"{fused[1]}{letter}_proj.{fused[2]}": part for letter, part in parts}
    if name.endswith("backbone.embeddings.position_embeddings"):
        # 1 + a square of patches; a file that was cleaned already has the square alone
        return {name: tensor[:, 1:] if round((tensor.shape[1] - 1) ** 0.5) ** 2 == tensor.shape[1] - 1 else tensor}
    if name.endswith("text_encoder.text_projection.weight"):
        return {name: tensor.T.contiguous()}
    if name.endswith("shared_image_embedding.positional_embedding"):
        return {name: tensor, "tracker_model.prompt_encoder.shared_embedding.positional_embedding": tensor}
    return {name: tensor}


def _join_points(state: State) -> None:
    name = "tracker_model.prompt_encoder.point_embed"
    rows = [f"{name}.{i}.weight" for i in range(4)]
    if all(row in state for row in rows):
        state[f"{name}.weight"] = torch.cat([state.pop(row) for row in rows])


def _single_clicks(state: State) -> State:
    """SAM 3.1 without what follows many objects at once; what is left cuts out single pictures."""
    kept: State = {}
    for name, tensor in state.items():
        name = re.sub(r"^tracker\.model\.", "tracker.", name)
        for old, new in _CLICKS.items():
            if name.startswith(old):
                kept[new + name[len(old) :]] = tensor
        if name.startswith("detector.") and ".propagation_convs." not in name and ".interactive_convs." not in name:
            kept[name] = tensor
    return kept
