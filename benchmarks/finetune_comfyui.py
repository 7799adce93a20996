"""Train LoRA of Visionsmith against ComfyUI's own node of that name: the same pictures, checkpoint, rank, rate, steps and seed.

Usage: python benchmarks/finetune_comfyui.py [--steps 12] [--side 64] [--checkpoint FILE]

Both run in a real ComfyUI (COMFYUI_PATH, or ~/comfy/ComfyUI; skipped where there is none), on the CPU, by its own executor, each in a fresh process.
The checkpoint has Stable Diffusion 1.x's keys, widths and text encoder, a UNet of two levels and random weights; FILE takes its place. Seconds are of
the processor, between two steps of the optimizer, the median. Memory is the resident set at the peak, beyond that from before the workflow. The loss
is not the one that each prints, which measure different things: both LoRAs are loaded into ComfyUI's model, which then tells the noise in the same
noisy pictures. Its own node learns with an alpha of 1, which nobody can set, and trains biases and normalizations too; ours has its preset, an alpha
of the rank.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PICTURES, RANK, RATE, SEED, CAPTION = 4, 8, 1e-3, 7, "a scratch"
OURS, THEIRS, NONE = "ours", "theirs", "none"
SETTINGS = {"steps": 0, "learning_rate": RATE, "rank": RANK, "seed": SEED, "batch_size": 1}


def draw_pictures(folder: Path, side: int) -> None:
    """Grey plates with a scratch."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True)
    chance = np.random.default_rng(0)
    for number in range(PICTURES):
        pixels = np.full((side, side, 3), 120, np.uint8) + chance.integers(0, 20, (side, side, 1), np.uint8)
        row = side // 5 * (number + 1)
        pixels[row : row + side // 16, side // 8 : -side // 8] = 230
        Image.fromarray(pixels).save(folder / f"{number}.png")


def prompt_of(way: str, checkpoint: str, steps: int, side: int) -> dict:
    """The workflow of one way in API format."""
    given = {**SETTINGS, "steps": steps, "optimizer": "AdamW"}
    if way == OURS:
        source = {"source": "folder", "source.folder": "pictures", "source.trigger": CAPTION, "source.repeats": 1}
        source |= {f"source.{name}": "" for name in ("class_prompt", "class_folder", "masks")}
        given |= {"model": checkpoint, "concepts": ["1", 0], "name": OURS, "accumulate": 1, "alpha": RANK, "conv_rank": RANK, "conv_alpha": RANK}  # fmt: skip
        given |= {"precision": "32-true", "save_as": "float32", "weight_decay": 0.01, "timesteps": "balanced", "clip": 0.0, "save_every": steps}  # fmt: skip
        return {
            "1": node("VisionsmithConceptDataset", **source, resolution=side, buckets=False, caption_dropout=0.0),
            "2": node("VisionsmithTrainLora", **given, defaults=True),
            "3": node("LossGraphNode", loss=["2", 3], filename_prefix="loss"),
        }
    made = {f"1{number}": node("LoadImage", image=f"pictures/{number}.png") for number in range(PICTURES)}
    batch = "10"
    for number in range(1, PICTURES):
        made[f"2{number}"] = node("ImageBatch", image1=[batch, 0], image2=[f"1{number}", 0])
        batch = f"2{number}"
    given |= {"grad_accumulation_steps": 1, "loss_function": "MSE", "training_dtype": "fp32", "lora_dtype": "fp32"}
    given |= {"gradient_checkpointing": False, "existing_lora": "[None]", "model": ["1", 0], "latents": ["2", 0], "positive": ["3", 0]}  # fmt: skip
    return made | {
        "1": node("CheckpointLoaderSimple", ckpt_name=checkpoint),
        "2": node("VAEEncode", pixels=[batch, 0], vae=["1", 2]),
        "3": node("CLIPTextEncode", clip=["1", 1], text=CAPTION),
        "4": node("TrainLoraNode", **given, defaults=True),
        "5": node("SaveLoRA", lora=["4", 0], prefix=THEIRS),
    }


def node(kind: str, defaults: bool = False, **inputs: object) -> dict:
    """A node of a prompt; with `defaults`, what is not given is filled in where the node is known."""
    return {"class_type": kind, "inputs": inputs, "defaults": defaults}


async def execute(prompt: dict) -> None:
    """Run a prompt by ComfyUI's validator and executor, in this process."""
    import execution
    import server

    import nodes

    prompt_server = server.PromptServer(asyncio.get_running_loop())
    prompt_server.send_sync = lambda *_: None
    extras = str(Path(nodes.__file__).parent / "comfy_extras" / "nodes_train.py")
    assert await nodes.load_custom_node(extras, module_parent="comfy_extras")
    assert await nodes.load_custom_node(str(REPOSITORY)), "the package did not load"
    for one in prompt.values():
        if one.pop("defaults"):
            wanted = nodes.NODE_CLASS_MAPPINGS[one["class_type"]].INPUT_TYPES()
            known = {name: entry[1]["default"] for name, entry in wanted["required"].items() if len(entry) > 1 and "default" in entry[1]}  # fmt: skip
            one["inputs"] = known | one["inputs"]
    valid, error, outputs, node_errors = await execution.validate_prompt("benchmark", prompt, None)
    assert valid, node_errors or error
    before, most, done = resident(), [0], threading.Event()

    def watch() -> None:
        while not done.is_set():
            most[0] = max(most[0], resident())
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    times = timed_steps()
    executor = execution.PromptExecutor(prompt_server, cache_args={"lru": 0, "ram": 0.0, "ram_inactive": 0.0})
    await executor.execute_async(prompt, "benchmark", {}, outputs)
    done.set()
    watcher.join()
    assert executor.success, executor.status_messages[-1]
    between = [later - sooner for sooner, later in itertools.pairwise(times)]
    print("found", json.dumps({"seconds": statistics.median(between), "bytes": most[0] - before}))


def timed_steps() -> list[float]:
    """From now on, the processor's time at every step of AdamW, which both ways use."""
    import torch

    times: list[float] = []
    step = torch.optim.AdamW.step

    def timed(self, closure=None):
        times.append(time.process_time())
        return step(self, closure)

    torch.optim.AdamW.step = timed
    return times


def resident() -> int:
    """Bytes of this process that are in memory (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def judge(checkpoint: Path, pictures: Path, loras: dict[str, Path | None]) -> None:
    """How far from the truth the model's noise is, by its mean square: over all pictures and six levels of noise."""
    import comfy.sd
    import comfy.utils
    import numpy as np
    import torch
    from PIL import Image

    found = {}
    for name, file in loras.items():
        with torch.inference_mode():
            model, clip, vae, _ = comfy.sd.load_checkpoint_guess_config(str(checkpoint))
            if file:
                model, _ = comfy.sd.load_lora_for_models(model, None, comfy.utils.load_torch_file(str(file)), 1.0, 0.0)
            shown = [np.asarray(Image.open(one).convert("RGB"), np.float32) / 255 for one in sorted(pictures.glob("*.png"))]  # fmt: skip
            latents = model.model.process_latent_in(vae.encode(torch.from_numpy(np.stack(shown)))).float()
            text = clip.encode_from_tokens(clip.tokenize(CAPTION)).float().expand(len(latents), -1, -1)
            comfy.model_management.load_models_gpu([model], force_full_load=True)
            sampling, losses = model.model.model_sampling, []
            for number, share in enumerate((0.05, 0.2, 0.35, 0.5, 0.7, 0.9)):
                noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(number))
                sigma = torch.tensor([float(sampling.percent_to_sigma(share))] * len(latents))
                noised = latents + noise * sigma.view(-1, 1, 1, 1)
                clean = model.model.apply_model(noised, sigma, c_crossattn=text)
                losses.append(float((((noised - clean) / sigma.view(-1, 1, 1, 1) - noise) ** 2).mean()))
            found[name] = statistics.fmean(losses)
    print("found", json.dumps(found))


def inside(arguments: list[str]) -> None:
    """What a process of ComfyUI's Python does; its folder is the working directory."""
    what, base, checkpoint, steps, side = arguments[0], Path(arguments[1]), arguments[2], *map(int, arguments[3:5])
    sys.argv = ["main.py", "--cpu", "--base-directory", str(base)]
    sys.path.insert(0, str(Path.cwd()))
    import comfy.options

    comfy.options.enable_args_parsing()
    import torch

    torch.set_num_threads(1)
    if what in (OURS, THEIRS):
        asyncio.run(execute(prompt_of(what, checkpoint, steps, side)))
        return
    theirs = next((base / "output").glob(f"{THEIRS}*.safetensors"))
    files = {NONE: None, THEIRS: theirs, OURS: base / "models" / "loras" / f"{OURS}.safetensors"}
    judge(base / "models" / "checkpoints" / checkpoint, base / "input" / "pictures", files)


def main() -> None:
    """Train with both, judge, and print the line."""
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--checkpoint", type=Path)
    options = parser.parse_args()
    sys.path.insert(0, str(REPOSITORY / "tests" / "e2e"))
    from comfy import find_comfyui, python_of
    from small_sd import write_small

    comfyui = find_comfyui()
    if comfyui is None:
        print("fine-tuning in ComfyUI: skipped, because there is no ComfyUI at COMFYUI_PATH or ~/comfy/ComfyUI")
        return
    with tempfile.TemporaryDirectory() as place:
        base = Path(place)
        (base / "models" / "checkpoints").mkdir(parents=True)
        file = base / "models" / "checkpoints" / "base.safetensors"
        if options.checkpoint:
            file.symlink_to(options.checkpoint.resolve())
        else:
            write_small(file)
        draw_pictures(base / "input" / "pictures", options.side)
        found = {}
        for what in (THEIRS, OURS, "judge"):
            command = [python_of(comfyui), str(Path(__file__).resolve()), "--inside", what, place, file.name]
            command += [str(options.steps), str(options.side)]
            done = subprocess.run(command, cwd=comfyui, capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})  # fmt: skip
            lines = [line for line in done.stdout.splitlines() if line.startswith("found ")]
            if not lines:
                sys.exit(f"{what} failed:\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}")
            found[what] = json.loads(lines[-1].removeprefix("found "))
    ours, theirs, loss = found[OURS], found[THEIRS], found["judge"]
    print(
        f"fine-tuning in ComfyUI: a step takes {ours['seconds'] / theirs['seconds']:.2f} × that of its own Train LoRA ({ours['seconds']:.2f} s of the "
        f"processor against {theirs['seconds']:.2f} s), {ours['bytes'] / theirs['bytes']:.2f} × its memory ({ours['bytes'] / 2**20:.0f} MiB against "
        f"{theirs['bytes'] / 2**20:.0f} MiB); after {options.steps} steps the loss of {loss[NONE]:.3f} is {loss[OURS]:.3f}, with its own {loss[THEIRS]:.3f}"
    )


if __name__ == "__main__":
    main()
