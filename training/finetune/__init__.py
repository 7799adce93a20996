"""Fine-tuning Stable Diffusion on one's own pictures: LoRA and DreamBooth, for ordinary checkpoints and those for inpainting."""

from .concepts import Concept, Concepts, Picture
from .loop import Step, finetune
from .parts import Parts
from .runs import FinetuneRun
from .settings import DREAMBOOTH, LORA, FinetuneSettings

__all__ = [
    "DREAMBOOTH",
    "LORA",
    "Concept",
    "Concepts",
    "FinetuneRun",
    "FinetuneSettings",
    "Parts",
    "Picture",
    "Step",
    "finetune",
]
