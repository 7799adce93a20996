"""Fine-tuning tiny models of the real classes: it learns, it goes on where it was, and it refuses in a sentence."""

import shutil
import sys
from collections import namedtuple
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))
import tiny_models as tiny
from visionsmith.nn_layers import InputError
from visionsmith.training.checkpoint import read_state
from visionsmith.training.finetune import DREAMBOOTH, LORA, FinetuneRun, finetune, keeper, kohya, output, runs, samples
from visionsmith.training.finetune import loop as loop_module
from visionsmith.training.finetune.settings import folder_name, run_key

NO_PRIOR = {"prior_weight": 0.0, "as_folder": False, "sample_every": 0}


def train(kind, concepts, settings, folder, tmp_path):
    """The loss of each step."""
    steps = finetune(tiny.parts(kind, tmp_path / "words"), concepts, settings, folder, "q")
    return [float(step.loss) for step in steps if step.stage == "train"]


@pytest.mark.parametrize("kind", ["SD 1", "SD 1 inpainting", "SDXL"])
@pytest.mark.parametrize(("preset", "rate"), [(LORA, 1e-2), (DREAMBOOTH, 2e-3)], ids=["lora", "dreambooth"])
def test_three_pictures_are_learned(kind, preset, rate, tmp_path):
    concepts = tiny.concepts(tmp_path / "pictures", masks="inpainting" in kind)
    settings = tiny.quick(preset, steps=80, learning_rate=rate, timesteps="content", save_every=1000, **NO_PRIOR)
    losses = train(kind, concepts, settings, tmp_path / "run", tmp_path)

    assert sum(losses[-8:]) / 8 < 0.3 * losses[0]
    run = FinetuneRun.load(tmp_path / "run")
    assert (run.state, run.step, len(run.curve)) == ("done", 80, 80)
    assert (run.folder / "curves.png").is_file()
    assert len((run.folder / "metrics.csv").read_text().splitlines()) == 81


def test_velocities_min_snr_and_more_than_one_batch_a_step(tmp_path):
    parts = tiny.parts("SD 1", tmp_path / "words", "v_prediction")
    settings = tiny.quick(steps=3, batch_size=2, accumulate=2, min_snr=5.0, checkpointing=True, train_text=True, **NO_PRIOR)  # fmt: skip
    list(finetune(parts, tiny.concepts(tmp_path / "p"), settings, tmp_path / "run", "q"))
    state = load_file(FinetuneRun.load(tmp_path / "run").checkpoint())
    texts = [key for key in state if key.startswith("lora_te_text_model_encoder_layers_0_self_attn_q_proj")]

    assert len(texts) == 3
    assert any(tensor.any() for key, tensor in state.items() if key.startswith("lora_te_") and "up" in key)
    assert all(tensor.any() for key, tensor in state.items() if key.startswith("lora_unet_") and "up" in key)


@pytest.mark.parametrize(
    ("kind", "preset"), [("SD 1 inpainting", LORA), ("SD 1", DREAMBOOTH)], ids=["lora, masks by chance", "dreambooth"]
)
def test_killed_or_stopped_and_gone_on_with_is_the_same_bit_for_bit(kind, preset, tmp_path):
    concepts = tiny.concepts(tmp_path / "p", dropout=0.3)
    settings = tiny.quick(preset, steps=5, batch_size=2, learning_rate=1e-3, save_every=2, warmup=3, **NO_PRIOR)
    train(kind, concepts, settings, tmp_path / "whole", tmp_path)
    wanted = load_file(FinetuneRun.load(tmp_path / "whole").checkpoint())

    steps = finetune(tiny.parts(kind, tmp_path / "words"), concepts, settings, tmp_path / "stopped", "q")
    with closing(steps):
        for step in steps:
            if step.stage == "train" and step.step == 2:  # what is on disk now is what kill -9 would leave
                shutil.copytree(tmp_path / "stopped", tmp_path / "killed")
            if step.stage == "train" and step.step == 3:
                break
    assert read_state(tmp_path / "stopped" / "last.safetensors")["step"] == 3
    for name, left in (("stopped", 2), ("killed", 3)):
        losses = train(kind, concepts, replace(settings, cache=False), tmp_path / name, tmp_path)
        found = load_file(FinetuneRun.load(tmp_path / name).checkpoint())
        assert len(losses) == left
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    longer = replace(settings, steps=6, keep=1)
    assert len(train(kind, concepts, longer, tmp_path / "whole", tmp_path)) == 1
    assert list(output.checkpoints(tmp_path / "whole")) == [6]


def test_a_loss_that_is_no_number_leaves_the_last_good_state(tmp_path, monkeypatch):
    honest, calls = loop_module.batch_loss, []

    def sometimes(*given):
        calls.append(1)
        return honest(*given) * (float("nan") if len(calls) == 4 else 1)

    monkeypatch.setattr(loop_module, "batch_loss", sometimes)
    settings = tiny.quick(steps=6, save_every=2, **NO_PRIOR)
    with pytest.raises(InputError, match="the loss became infinite or no number at step 4; lower learning_rate"):
        train("SD 1", tiny.concepts(tmp_path / "p"), settings, tmp_path / "run", tmp_path)

    assert FinetuneRun.load(tmp_path / "run").step == 2
    assert len(train("SD 1", tiny.concepts(tmp_path / "p"), settings, tmp_path / "run", tmp_path)) == 4


def test_a_loss_between_two_looks_is_never_saved(tmp_path, monkeypatch):
    """On a GPU the loss is looked at now and then only, and always before a save."""
    honest, calls = loop_module.batch_loss, []

    def sometimes(*given):
        calls.append(1)
        return honest(*given) * (float("nan") if len(calls) == 4 else 1)

    monkeypatch.setattr(loop_module, "batch_loss", sometimes)
    monkeypatch.setattr(loop_module, "_looks_every", lambda device: 1000)
    concepts, settings = tiny.concepts(tmp_path / "p"), tiny.quick(steps=9, save_every=3, **NO_PRIOR)
    with pytest.raises(InputError, match="the loss became infinite or no number at step 6"):
        train("SD 1", concepts, settings, tmp_path / "run", tmp_path)
    assert [FinetuneRun.load(tmp_path / "run").step, *output.checkpoints(tmp_path / "run")] == [3, 3]

    calls.clear()
    with closing(finetune(tiny.parts("SD 1", tmp_path / "words"), concepts, settings, tmp_path / "run", "q")) as steps:
        while next(steps).step < 8:  # Cancel when the weights are spoiled, and nobody has looked
            pass
    assert [FinetuneRun.load(tmp_path / "run").step, *output.checkpoints(tmp_path / "run")] == [6, 3, 6]


GIB = 2**30
USAGE = namedtuple("usage", "free")


def test_no_space_to_begin(tmp_path, monkeypatch):
    monkeypatch.setattr(output.shutil, "disk_usage", lambda place: USAGE(2**20))
    with pytest.raises(InputError, match=r"has 1 MiB left, but the next file takes .* MiB; free some space"):
        train("SD 1", tiny.concepts(tmp_path / "p"), tiny.quick(**NO_PRIOR), tmp_path / "run", tmp_path)
    assert not (tmp_path / "run" / "last.safetensors").exists()


@pytest.mark.parametrize("preset", [LORA, DREAMBOOTH], ids=["lora", "dreambooth"])
@pytest.mark.parametrize("step", [2, 4], ids=["midway", "last"])
def test_no_space_for_the_next_checkpoint_loses_no_step(preset, step, tmp_path, monkeypatch):
    """The state still fits, the files for ComfyUI do not: it is told, and the same training goes on from this very step."""
    concepts = tiny.concepts(tmp_path / "p")
    settings = tiny.quick(preset, steps=4, save_every=2, **{**NO_PRIOR, "as_folder": True})
    train("SD 1", concepts, settings, tmp_path / "whole", tmp_path)
    honest = keeper.write_checkpoint

    def full(*given):
        if given[-1] == step:
            monkeypatch.setattr(output.shutil, "disk_usage", lambda place: USAGE(2**20))
        try:
            return honest(*given)
        finally:
            monkeypatch.setattr(output.shutil, "disk_usage", lambda place: USAGE(GIB))

    monkeypatch.setattr(keeper, "write_checkpoint", full)
    with pytest.raises(
        InputError, match=r"the next file takes .* MiB; free some space and run again, it goes on where it was"
    ):
        train("SD 1", concepts, settings, tmp_path / "run", tmp_path)
    assert FinetuneRun.load(tmp_path / "run").step == step
    assert list(output.checkpoints(tmp_path / "run")) == [2][: step // 2 - 1]

    monkeypatch.setattr(keeper, "write_checkpoint", honest)
    assert len(train("SD 1", concepts, settings, tmp_path / "run", tmp_path)) == 4 - step
    [found, wanted] = (load_file(FinetuneRun.load(tmp_path / name).checkpoint()) for name in ("run", "whole"))
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    key = run_key("fingerprint of SD 1", concepts, settings)
    assert runs.is_finished(tmp_path / "run", key, settings)
    if preset is DREAMBOOTH:
        shutil.rmtree(tmp_path / "run" / "diffusers")
        assert not runs.is_finished(tmp_path / "run", key, settings)


def test_a_disk_that_fills_up_while_a_folder_is_written_leaves_the_old_one(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    with pytest.raises(InputError, match=r"model could not be written .*; free some space"), output.whole_folder(tmp_path / "model") as place:  # fmt: skip
        (place / "half").touch()
        raise OSError(28, "No space left on device")
    assert [file.name for file in tmp_path.rglob("*")] == ["model", "old"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rank": 64}, r"rank is 64, but layer down_blocks.0.attentions.0.proj_in has only 32 inputs or outputs"),
        ({"conv_rank": 65}, r"conv_rank is 65, but layer .* has only \d+ inputs or outputs; choose at most"),
        ({"rank": 0, "conv_rank": 0}, "rank and conv_rank are both 0, so nothing is trained"),
        ({"blocks": ("middle",)}, "blocks has 'middle'; choose from down, mid, up"),
        ({"learning_rate": 0.0}, "learning_rate is 0; choose one above 0 and below 1"),
        ({"optimizer": "Lion"}, "optimizer is 'Lion'; choose one of AdamW 8-bit, AdamW"),
        ({"steps": 0}, "steps is 0; choose at least 1"),
        ({"device": "cuda"}, "device is cuda, which torch does not find on this machine"),
        ({"prior_weight": 1.0}, "prior_weight is above 0, but no concept has a class prompt"),
    ],
)
def test_settings_that_cannot_train(changes, told, tmp_path):
    if changes.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    settings = tiny.quick(**{**NO_PRIOR, **changes})
    with pytest.raises(InputError, match=told):
        train("SD 1", tiny.concepts(tmp_path / "p"), settings, tmp_path / "run", tmp_path)


def test_another_kind_of_unet_is_refused(tmp_path):
    parts = tiny.parts("SD 1", tmp_path / "words")
    parts.unet.register_to_config(in_channels=8)
    with pytest.raises(InputError, match="was made for something else"):
        next(finetune(parts, tiny.concepts(tmp_path / "p"), tiny.quick(), tmp_path / "run", "q"))


def test_dreambooth_of_two_concepts_with_class_pictures_and_samples(tmp_path):
    from visionsmith.training.finetune.folders import Row, read_concepts

    had = tiny.draw(tmp_path / "nails", 1)
    rows = [
        Row("bent nail", tiny.draw(tmp_path / "bent"), "a nail", had),
        Row("rusty nail", tiny.draw(tmp_path / "rusty"), "a nail"),
    ]
    concepts = read_concepts("nails", rows, resolution=16)
    settings = tiny.quick(
        DREAMBOOTH, steps=2, batch_size=2, class_pictures=2, sample_steps=2, sample_every=1, save_every=2, prompts=("bent nail", "a nail")
    )  # fmt: skip
    parts = tiny.parts("SD 1 inpainting", tmp_path / "words")
    steps = list(finetune(parts, concepts, settings, tmp_path / "run", "nails"))
    run = FinetuneRun.load(tmp_path / "run")

    assert len(list((tmp_path / "run/classes/a-nail").glob("*.png"))) == 2
    assert [len(step.samples) for step in steps if step.stage == "sample"] == [2, 2, 2]
    assert list(samples.rounds(run.folder)) == [0, 1, 2]
    assert run.sheet().width > 512
    assert (run.folder / "diffusers" / "model_index.json").is_file()
    assert "Each batch holds every concept, so all pictures are cut to squares." in run.settings["warnings"]

    from visionsmith.imaging import weights
    from visionsmith.imaging.stable_diffusion import load_stable_diffusion

    (run.folder / "checkpoints" / "vocab.json").write_text((tmp_path / "words/vocab.json").read_text())
    (run.folder / "checkpoints" / "merges.txt").write_text("#version: 0.2\n")
    for place in (run.checkpoint(), run.folder / "diffusers"):
        with torch.no_grad():
            model = load_stable_diffusion(place)
        weights.forget("stable-diffusion")
        assert model.channels == 9
        assert all(torch.equal(a, b) for a, b in zip(model.pipeline.unet.state_dict().values(), parts.unet.state_dict().values(), strict=True))  # fmt: skip

    with pytest.raises(InputError, match="batch_size is 1, but there are 2 concepts"):
        next(finetune(parts, concepts, replace(settings, batch_size=1), tmp_path / "run", "nails"))


def test_runs_are_listed_promoted_and_pruned(tmp_path):
    concepts, root = tiny.concepts(tmp_path / "p"), tmp_path / "finetune"
    settings = tiny.quick(steps=3, save_every=1, optimizer="AdamW 8-bit", **NO_PRIOR)
    key = run_key("fingerprint of SD 1", concepts, settings)
    folder = root / folder_name("my scratch", key)
    train("SD 1", concepts, settings, folder, tmp_path)
    [run] = runs.list_runs(root)

    assert run.folder.name == f"my-scratch-{key}"
    assert runs.is_finished(folder, key, settings)
    assert not runs.is_finished(folder, key, replace(settings, steps=4))
    assert "bitsandbytes is not installed or needs a GPU" in run.summary()
    assert f"| {run.folder.name} | lora | SD 1 | 3/3 |" in runs.table([run])

    first = runs.promote(run, tmp_path / "loras", "scratch", step=2)
    assert first == tmp_path / "loras" / "scratch.safetensors" == runs.promote(run, tmp_path / "loras", "scratch")
    with safe_open(first, "pt") as file:
        header = file.metadata()
    ours = kohya.header_of(first)
    assert header["modelspec.trigger_phrase"] == ours["trigger"] == "q"
    assert (ours["base"], ours["dataset"], ours["steps"]) == ("SD 1", concepts.fingerprint, 3)
    assert ours["settings"]["rank"] == 4

    other = replace(run, settings={**run.settings, "key": "another"})
    assert runs.promote(other, tmp_path / "loras", "scratch").name == "scratch-another.safetensors"
    with pytest.raises(InputError, match="has no checkpoint of step 9; choose from 1, 2, 3"):
        run.checkpoint(9)
    assert [file.stem[-1] for file in output.prune(folder, 1)] == ["1", "2"]
    with pytest.raises(InputError, match="has no sample pictures"):
        run.sheet()
    (folder / "last.safetensors").write_bytes(b"torn")
    (root / "other").mkdir()
    (root / "other" / "settings.json").write_text("{")
    [run] = runs.list_runs(root)
    assert run.state == "damaged" and "| lora | SD 1 | 0/3 | – | 1 |" in runs.table([run])
    with pytest.raises(InputError, match="holds no fine-tuning"):
        FinetuneRun.load(tmp_path)


def test_lora_in_the_file_is_what_was_trained(tmp_path):
    """Added to the untouched weights as ComfyUI does, up · down · alpha / rank, it gives the trained UNet's output."""
    parts = tiny.parts("SD 1", tmp_path / "words")
    settings = tiny.quick(steps=3, learning_rate=1e-2, alpha=2.0, **NO_PRIOR)
    list(finetune(parts, tiny.concepts(tmp_path / "p"), settings, tmp_path / "run", "q"))
    state = load_file(FinetuneRun.load(tmp_path / "run").checkpoint())
    plain = tiny.parts("SD 1", tmp_path / "words").unet
    names = {"lora_unet_" + name.replace(".", "_"): module for name, module in plain.named_modules()}
    given = torch.randn(1, 4, 8, 8), torch.tensor([300]), torch.randn(1, 77, 64)
    with torch.no_grad():
        before = plain(*given).sample
        for key in (key.removesuffix(".alpha") for key in state if key.endswith(".alpha")):
            down, up = state[f"{key}.lora_down.weight"], state[f"{key}.lora_up.weight"]
            change = up.flatten(1) @ down.flatten(1) * state[f"{key}.alpha"] / down.shape[0]
            names[key].weight += change.view_as(names[key].weight)
        trained = parts.unet.eval()(*given).sample
        torch.testing.assert_close(plain(*given).sample, trained, atol=1e-4, rtol=1e-4)

    assert (trained - before).abs().max() > 1e-2
