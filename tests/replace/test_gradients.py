"""Training under ComfyUI's inference mode."""

from dataclasses import dataclass
from typing import Any

import torch
from visionsmith.replace import gradients, ordinary


def test_a_module_built_and_trained_inside_the_block_learns():
    with torch.inference_mode():
        pictures = torch.rand(4, 3)
        with gradients():
            model = torch.nn.Linear(3, 1)
            model(ordinary(pictures)).sum().backward()
        assert torch.is_inference_mode_enabled()
        assert torch.rand(1).is_inference()
    assert model.weight.grad.abs().sum() > 0


def test_a_module_made_under_inference_mode_is_copied_with_its_buffers():
    with torch.inference_mode():
        model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
        trained = ordinary(model)
        with gradients():
            trained(torch.rand(4, 3)).sum().backward()
            torch.optim.SGD(trained.parameters(), 0.1).step()
    assert trained is not model
    assert model[1].num_batches_tracked == 0
    assert trained[1].num_batches_tracked == 1


@dataclass(frozen=True)
class Holder:
    content: Any
    name: str = "x"


def test_containers_are_copied_only_where_something_changes():
    with torch.inference_mode():
        inside = torch.ones(2)
    plain = {"a": [torch.ones(1), (2, "b")], "c": Holder(None)}
    mixed = {"a": [inside], "c": Holder((inside, 1))}

    assert ordinary(plain) is plain
    assert not ordinary(mixed)["a"][0].is_inference()
    assert not ordinary(mixed)["c"].content[0].is_inference()
    assert mixed["a"][0] is inside


def test_another_thread_stays_in_inference_mode():
    import threading

    seen = []
    with torch.inference_mode(), gradients():

        def other():
            with torch.inference_mode():
                seen.append(torch.rand(1).is_inference())

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen == [True]
