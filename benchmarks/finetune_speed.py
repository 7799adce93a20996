"""Time of a LoRA's training step: ours against the steps of diffusers' example script, written out, with the same model and settings.

Both encode the picture and the caption at every step, as the script does; then ours with both kept, as it is by default. The model has the
classes of Stable Diffusion 1.x, made small, with random weights. Steps are taken in turn, so that whatever else runs slows both alike.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from visionsmith.training.finetune import LORA, Concepts, FinetuneSettings, Parts, finetune
from visionsmith.training.finetune.folders import Row, read_concepts
from visionsmith.training.finetune.lora import add_lora

STEPS, SIDE = 20, 128


def model() -> Parts:
    """A small Stable Diffusion."""
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    letters = [chr(number) for number in range(33, 123)]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    ends = {"vocab_size": len(words), "bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1}
    unet = UNet2DConditionModel(
        block_out_channels=(64, 128),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=64,
    )
    vae = AutoencoderKL(
        block_out_channels=(32, 32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
    )
    text = CLIPTextModel(CLIPTextConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=1, **ends))  # fmt: skip
    tokenizer = CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=77)
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    for part in (unet, vae, text):
        part.requires_grad_(False)
    return Parts("small", "small", unet, vae, [text], [tokenizer], scheduler)


def script(parts: Parts, settings: FinetuneSettings, file: Path, side: int = SIDE) -> Iterator[float]:
    """One step after another as examples/text_to_image/train_text_to_image_lora.py of diffusers takes them."""
    from torchvision import transforms

    weights = add_lora(parts, settings)
    optimizer = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    prepare = transforms.Compose(
        [
            transforms.Resize(side),
            transforms.CenterCrop(side),
            transforms.ToTensor(),
            transforms.Normalize([0.5], [0.5]),
        ]
    )
    parts.unet.train()
    while True:
        for _ in range(settings.accumulate):
            pixels = prepare(Image.open(file).convert("RGB"))[None]
            with torch.no_grad():
                latents = parts.vae.encode(pixels).latent_dist.sample() * parts.vae.config.scaling_factor
                tokens = parts.tokenizers[0](["q"], padding="max_length", max_length=77, return_tensors="pt").input_ids
                texts = parts.texts[0](tokens)[0]
            noise, times = torch.randn_like(latents), torch.randint(0, 1000, (1,))
            found = parts.unet(parts.scheduler.add_noise(latents, noise, times), times, texts).sample
            loss = F.mse_loss(found.float(), noise.float())
            (loss / settings.accumulate).backward()
        torch.nn.utils.clip_grad_norm_(weights, settings.clip)
        optimizer.step()
        optimizer.zero_grad()
        yield loss.item()


def one_picture(folder: Path, side: int = SIDE, steps: int = STEPS + 2) -> tuple[Path, Concepts, FinetuneSettings]:
    """A picture of noise, a concept of it, and the settings that both ways have."""
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)
    (folder / "pictures").mkdir()
    Image.fromarray(pixels).save(folder / "pictures" / "a.png")
    concepts = read_concepts("one", [Row("q", folder / "pictures")], resolution=side, dropout=0.0)
    settings = replace(LORA, steps=steps, device="cpu", precision="32-true", optimizer="AdamW", accumulate=1, save_every=10**6, cache=False)  # fmt: skip
    return folder / "pictures" / "a.png", concepts, settings


def measure(folder: Path) -> dict[str, float]:
    """Seconds of a step of each way, the median."""
    file, concepts, settings = one_picture(folder)
    ways = {
        "script": script(model(), settings, file),
        "ours": finetune(model(), concepts, settings, folder / "a", "a"),
        "kept": finetune(model(), concepts, replace(settings, cache=True), folder / "b", "b"),
    }
    for name, steps in ways.items():  # the first step of each, which sets up
        while name == "kept" and next(steps).stage != "train":
            pass
        next(steps)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(STEPS - 2):
        for name, steps in ways.items():
            began = time.process_time()
            next(steps)
            taken[name].append(time.process_time() - began)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        found = measure(Path(place))
    print(
        f"fine-tuning: a step takes {found['ours'] / found['script']:.2f} × that of diffusers' example (at most 1.05), "
        f"{found['kept'] / found['script']:.2f} × with pictures and captions kept"
    )
