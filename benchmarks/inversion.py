"""Inverting a picture: null-text optimisation, direct inversion and negative-prompt inversion against the null-text notebook.

Usage: python benchmarks/inversion.py MODEL REFERENCE [--steps 50] [--guidance 7.5]

MODEL is a diffusers folder of a trained Stable Diffusion. REFERENCE is a folder with null_text_w_ptp.ipynb of
github.com/google/prompt-to-prompt, which is imported from there and not kept. The same model and settings, in one process, in turn;
seconds are of the processor, the median of the rounds. Memory is that of all tensors at the peak, the UNet's weights included.
"""

import argparse
import importlib.util
import json
import statistics
import tempfile
import time
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from visionsmith.augmentation.diffusion.attention import Residual
from visionsmith.augmentation.diffusion.inversion import Inversion, InversionSettings, invert
from visionsmith.augmentation.diffusion.load import load_model
from visionsmith.augmentation.diffusion.model import DiffusionModel, Text, joined

PROMPT = "photo of a crack"
NAMES = """
from typing import Callable, Dict, List, Optional, Tuple, Union
import numpy as np
import torch
import torch.nn.functional as nnf
from diffusers import DDIMScheduler
from PIL import Image
from torch.optim.adam import Adam
"""


def drawn(side: int) -> torch.Tensor:
    """A striped grey surface with a dark crack, [side, side, 3]."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    grain = torch.randn(side, side, generator=torch.Generator().manual_seed(0)) * 0.01
    image = (0.47 + 0.05 * torch.sin(columns * 0.7) + grain)[..., None].expand(-1, -1, 3).clone()
    across, along = (rows - columns * 0.4 - side * 0.3).abs(), (columns - side * 0.5).abs()
    image[(across < side * 0.045) & (along < side * 0.28)] = 0.08
    return image.clamp(0, 1)


def reference(
    folder: Path, model: DiffusionModel, steps: int, guidance: float
) -> Callable[[torch.Tensor], list[torch.Tensor]]:
    """The notebook's inversion as a function from a picture to its embeddings; what it hard-codes of SD 1.4 is set for this model."""
    cells = json.loads((folder / "null_text_w_ptp.ipynb").read_text("utf-8"))["cells"]
    code = next(text for cell in cells if "class NullInversion" in (text := "".join(cell["source"])))
    code = code.partition("\nnull_inversion = ")[0].replace("0.18215", repr(model.vae.config.scaling_factor))
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "reference.py"
        file.write_text(NAMES + code, "utf-8")
        spec = importlib.util.spec_from_file_location("reference", file)
        module = importlib.util.module_from_spec(spec)
        module.NUM_DDIM_STEPS, module.GUIDANCE_SCALE, module.device = steps, guidance, model.device
        module.tqdm = lambda **_: SimpleNamespace(update=lambda: None, close=lambda: None)
        module.ptp_utils = SimpleNamespace(
            register_attention_control=lambda *_: None
        )  # finds no layer in today's diffusers
        module.print = lambda *_: None
        spec.loader.exec_module(module)
    module.load_512 = lambda image, *_: (image.numpy() * 255).round().astype("uint8")
    notebook = module.NullInversion(model.stable.pipeline)
    return lambda image: notebook.invert(image, PROMPT)[2]


def rebuilt(
    model: DiffusionModel, start: torch.Tensor, nulls: list[torch.Tensor], steps: int, guidance: float
) -> torch.Tensor:
    """The picture that guided sampling makes from noise with an embedding for each step."""
    prompt, latents = model.encode_text([PROMPT]), start
    with torch.no_grad():
        for null, (time_, after) in zip(nulls, model.schedule.steps(steps), strict=True):
            both = model.noise(latents.expand(2, -1, -1, -1), time_, joined([Text(null), prompt]), (0, 0))
            noise = both[:1] + guidance * (both[1:] - both[:1])
            latents = model.schedule.move(latents, noise, time_, after)
    return model.decode(latents)[0]


def psnr(first: torch.Tensor, second: torch.Tensor) -> float:
    """In dB."""
    return float(-10 * torch.log10(((first - second) ** 2).mean().clamp(min=1e-12)))


class Peak(TorchDispatchMode):
    """Counts the bytes of all tensors that were made inside and still live."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given = {
            value.untyped_storage()._cdata for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)
        }
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor):
                storage = value.untyped_storage()
                if storage._cdata not in given | self.known:
                    self.known.add(storage._cdata)
                    self.now += storage.nbytes()
                    self.most = max(self.most, self.now)
                    weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return result

    def _gone(self, name: int, size: int) -> None:
        self.known.discard(name)
        self.now -= size


def measured(run: Callable[[], object], weights: int, rounds: int) -> tuple[float, float, object]:
    """Seconds (median), bytes at the peak, and what the last run gave."""
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        result = run()
        seconds.append(time.process_time() - start)
    with Peak() as peak:
        run()
    return statistics.median(seconds), peak.most + weights, result


def main() -> None:
    """Measure and print one line per ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", type=Path, default=Path("tiny-sd"))
    parser.add_argument("reference", nargs="?", type=Path, default=Path("prompt-to-prompt"))
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--guidance", type=float, default=7.5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    missing = next((place for place in (options.model, options.reference) if not place.is_dir()), None)
    if missing:
        print(f"inversion: skipped, because {missing} is not there; give the folders of a model and of the notebook.")
        return
    torch.set_num_threads(1)
    steps, guidance = options.steps, options.guidance
    model = load_model(options.model)
    image = drawn(model.stable.side)
    weights = sum(weight.nbytes for weight in model.unet.parameters())

    def ours(method: str) -> Inversion:
        return invert(model, image, PROMPT, InversionSettings(method, steps, guidance, residual=Residual(0)))

    def quality(inversion: Inversion) -> float:
        empty, prompt = model.encode_text([""]), model.encode_text([PROMPT])
        nulls = [inversion.null(step, empty, prompt).tokens for step in range(steps)]
        return psnr(rebuilt(model, inversion.latents[-1:], nulls, steps, guidance), target)

    target = model.decode(model.encode(image[None]))[0]
    ours("plain")  # warm up
    results = {
        method: measured(partial(ours, method), weights, options.rounds)
        for method in ("null-text", "direct", "negative-prompt")
    }
    for weight in model.unet.parameters():
        weight.requires_grad_(True)  # as diffusers loads them, and as the notebook leaves them
    slow, large, nulls = measured(
        partial(reference(options.reference, model, steps, guidance), image), weights, options.rounds
    )
    start = results["null-text"][2].latents[-1:]
    told = f"{steps} steps, guidance {guidance:g}"
    print(
        f"inversion, {told}: notebook's null-text {slow:.2f} s, {psnr(rebuilt(model, start, nulls, steps, guidance), target):.1f} dB"
    )
    for method, least in (("null-text", 2), ("direct", 5), ("negative-prompt", 20)):
        seconds, _, inversion = results[method]
        db = "the picture's own latents are kept" if method == "direct" else f"{quality(inversion):.1f} dB"
        print(f"inversion, {told}: {method} {slow / seconds:.1f} × as fast as the notebook (at least {least}), {db}")
    print(
        f"inversion, {told}: null-text at the peak {results['null-text'][1] / large:.2f} × the memory of the notebook (at most 0.7)"
    )


if __name__ == "__main__":
    main()
