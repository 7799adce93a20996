"""Every architecture by its name."""

from __future__ import annotations

from .ann import ann
from .apcnet import apcnet
from .bisenetv2 import bisenetv2
from .ccnet import ccnet
from .danet import danet
from .fastfcn import fastfcn
from .fastscnn import fast_scnn
from .from_smp import dpt, smp
from .from_torchvision import torchvision
from .from_transformers import BEIT, MOBILENETV2, MOBILEVIT, SEGFORMER, transformers
from .gcnet import gcnet
from .plan import Architecture
from .vit import vit

SMP, TV, HF, OURS = "segmentation_models_pytorch", "torchvision", "transformers", "visionsmith"

DILATABLE = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "efficientnet-b0",
    "tu-mobilenetv3_large_100",
    "tu-convnext_tiny",
)
ANY = ("resnet18", "mobilenet_v2", "efficientnet-b0", "resnet34", "resnet50", "mit_b0", "tu-convnext_tiny")
NO_MIT = tuple(name for name in ANY if name != "mit_b0")
MIT = ("mit_b0", "mit_b1", "mit_b2", "mit_b3", "mit_b4", "mit_b5", "resnet18", "resnet50")
CONVOLUTIONAL = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "mobilenetv3_large_100",
    "efficientnet_b0",
    "convnext_tiny",
)
TRANSFORMERS = (
    "vit_tiny_patch16_224",
    "vit_small_patch16_224",
    "vit_base_patch16_224",
    "deit_tiny_patch16_224",
    "vit_small_patch14_dinov2",
)
RESNETS = ("resnet50", "resnet101")

ARCHITECTURES: dict[str, Architecture] = {
    "unet": Architecture("U-Net", SMP, "arXiv:1505.04597", smp("Unet"), "smp", ANY),
    "unet++": Architecture("UNet++", SMP, "arXiv:1807.10165", smp("UnetPlusPlus"), "smp", NO_MIT),
    "manet": Architecture("MA-Net", SMP, "doi:10.1109/ACCESS.2020.3025372", smp("MAnet"), "smp", ANY),
    "linknet": Architecture("LinkNet", SMP, "arXiv:1707.03718", smp("Linknet"), "smp", NO_MIT),
    "fpn": Architecture("FPN", SMP, "arXiv:1612.03144", smp("FPN"), "smp", ANY),
    "pspnet": Architecture("PSPNet", SMP, "arXiv:1612.01105", smp("PSPNet"), "smp", ANY),
    "pan": Architecture("PAN", SMP, "arXiv:1805.10180", smp("PAN"), "smp", DILATABLE, smallest=128),
    "deeplabv3": Architecture("DeepLabV3", SMP, "arXiv:1706.05587", smp("DeepLabV3"), "smp", DILATABLE),
    "deeplabv3+": Architecture("DeepLabV3+", SMP, "arXiv:1802.02611", smp("DeepLabV3Plus"), "smp", DILATABLE),
    "upernet": Architecture("UPerNet", SMP, "arXiv:1807.10221", smp("UPerNet"), "smp", ANY),
    "segformer": Architecture("SegFormer", SMP, "arXiv:2105.15203", smp("Segformer"), "smp", MIT),
    "dpt": Architecture("DPT", SMP, "arXiv:2103.13413", dpt, "smp", tuple(f"tu-{name}" for name in TRANSFORMERS[:-1])),
    "lraspp-mobilenetv3": Architecture("LR-ASPP MobileNetV3", TV, "arXiv:1905.02244", torchvision("lraspp_mobilenet_v3_large", "mobilenet_v3_large"), "none"),
    "fcn": Architecture("FCN", TV, "arXiv:1411.4038", torchvision("fcn_{}"), "listed", RESNETS),
    "deeplabv3-torchvision": Architecture("DeepLabV3 (torchvision)", TV, "arXiv:1706.05587", torchvision("deeplabv3_{}"), "listed", ("mobilenet_v3_large", *RESNETS)),
    "beit": Architecture("BEiT + UPerNet", HF, "arXiv:2106.08254", transformers("Beit", BEIT), "listed", tuple(BEIT)),
    "segformer-transformers": Architecture("SegFormer (transformers)", HF, "arXiv:2105.15203", transformers("Segformer", SEGFORMER), "listed", tuple(SEGFORMER)),
    "mobilevit": Architecture("MobileViT + DeepLabV3", HF, "arXiv:2110.02178", transformers("MobileViT", MOBILEVIT), "listed", tuple(MOBILEVIT)),
    "mobilenetv2": Architecture("MobileNetV2 + DeepLabV3+", HF, "arXiv:1801.04381", transformers("MobileNetV2", MOBILENETV2), "listed", tuple(MOBILENETV2)),
    "gcnet": Architecture("GCNet", OURS, "arXiv:1904.11492", gcnet, "timm", CONVOLUTIONAL),
    "apcnet": Architecture("APCNet", OURS, "CVPR 2019, pages 7519–7528", apcnet, "timm", CONVOLUTIONAL),
    "ann": Architecture("ANN", OURS, "arXiv:1908.07678", ann, "timm", CONVOLUTIONAL),
    "ccnet": Architecture("CCNet", OURS, "arXiv:1811.11721", ccnet, "timm", CONVOLUTIONAL),
    "danet": Architecture("DANet", OURS, "arXiv:1809.02983", danet, "timm", CONVOLUTIONAL),
    "fastfcn": Architecture("FastFCN", OURS, "arXiv:1903.11816", fastfcn, "timm", CONVOLUTIONAL),
    "bisenetv2": Architecture("BiSeNetV2", OURS, "arXiv:2004.02147", bisenetv2, "none"),
    "fast-scnn": Architecture("Fast-SCNN", OURS, "arXiv:1902.04502", fast_scnn, "none"),
    "vit": Architecture("ViT + SETR-MLA", OURS, "arXiv:2012.15840", vit, "vit", TRANSFORMERS),
}  # fmt: skip
"""Names as one types them; the table is also in docs/architectures.md."""
