"""Pretrained backbones: any model of timm as one layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from . import modules
from .errors import InputError
from .recipe import Recipe, Shape, show


@dataclass(frozen=True)
class Backbone:
    """A timm model without its classifier; gives pooled features, or the feature map of one `level` (-1: the last)."""

    model: str = "resnet18"
    pretrained: bool = False
    output: Literal["pooled", "map"] = "pooled"
    level: int = -1
    freeze: Literal["none", "all", "stages"] = "none"
    freeze_stages: int = 1

    def recipe(self, shape: Shape) -> Recipe:
        if len(shape) != 3:
            raise InputError(
                f"a backbone wants a picture, channels × height × width, but {show(shape)} came in; wire an Input of kind image."
            )
        self.check_name()
        stages = {"none": 0, "all": -1, "stages": self.freeze_stages}[self.freeze]
        options = {
            "pretrained": self.pretrained,
            "level": None if self.output == "pooled" else self.level,
            "freeze_stages": stages,
        }
        defaults = {"pretrained": False, "level": None, "freeze_stages": 0}
        changed = {key: value for key, value in options.items() if value != defaults[key]}
        return Recipe(modules.Backbone, (self.model, shape[0], shape[1:]), changed)

    def check_name(self) -> None:
        """Refuse a name that timm does not know, naming the nearest ones."""
        import difflib

        import timm

        if timm.is_model(self.model.split(".")[0]):
            return
        near = difflib.get_close_matches(self.model, timm.list_models(), 3) or timm.list_models("resnet*")[:3]
        raise InputError(f"timm has no model called {self.model!r}; did you mean {', '.join(near)}?")


def download_notice(layer: Backbone, parameters: int) -> str:
    """What fetching the trained weights means: which model, how large, under which licence."""
    import timm

    config = timm.get_pretrained_cfg(layer.model)
    licence = (config and config.license) or "not stated; read the model's card before you use it"
    return f"Fetching the trained weights of {layer.model}: about {parameters * 4 / 2**20:.0f} MiB, licence {licence}."
