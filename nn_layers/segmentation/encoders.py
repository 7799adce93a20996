"""Names of encoders: what to suggest for an architecture, and whether a name is known to its library."""

from __future__ import annotations

import difflib
from functools import lru_cache

from ..errors import InputError
from .architectures import ARCHITECTURES
from .from_smp import TIMM
from .plan import Architecture, library


def find_architecture(name: str) -> Architecture:
    """The row of `ARCHITECTURES` called `name`, or an `InputError` that names the nearest ones."""
    if found := ARCHITECTURES.get(name):
        return found
    near = difflib.get_close_matches(name.lower().strip(), ARCHITECTURES, 3, cutoff=0.5) or list(ARCHITECTURES)[:3]
    raise InputError(
        f"there is no architecture called {name!r}; did you mean {', '.join(near)}? All {len(ARCHITECTURES)} are in docs/architectures.md."
    )


def encoders_for(architecture: str, everything: bool = False) -> tuple[str, ...]:
    """Names to offer as encoder of `architecture`: a short list, the smallest first; () where there is none to choose.

    Args:
        everything: Add every name that the library knows, whether or not this architecture can use all of them.
            Imports that library; the short list imports nothing.
    """
    found = find_architecture(architecture)
    if not everything or found.family in ("listed", "none"):
        return found.encoders
    return tuple(dict.fromkeys((*found.encoders, *known_names(found.family))))


@lru_cache
def known_names(family: str) -> tuple[str, ...]:
    """Every encoder name of a family; see `Architecture.family`."""
    import timm

    if family == "smp":
        own = library("segmentation_models_pytorch").encoders.get_encoder_names()
        return (*own, *(TIMM + name for name in timm.list_models()))
    if family == "vit":
        return tuple(timm.list_models(["*vit*", "*deit*", "*eva*", "*dino*"], module="vision_transformer"))
    return tuple(timm.list_models())


def check_encoder(architecture: str, encoder: str) -> str:
    """The encoder's name as the library of `architecture` writes it; "" means the first suggestion.

    A timm model is accepted with and without the prefix "tu-" everywhere. Nothing is built: a model that exists but does not fit
    (say, one without dilation) is refused when its shape is inferred.

    Raises:
        InputError: An unknown name, or one of another family.
    """
    found = find_architecture(architecture)
    if not found.takes_encoder:
        return ""
    encoder = encoder.strip() or found.encoders[0]
    if found.family == "listed":
        if encoder in found.encoders:
            return encoder
        raise InputError(
            f"{architecture} has no encoder called {encoder!r}; choose one of {', '.join(found.encoders)}."
        )
    if name := _known(found.family, encoder):
        return name
    bare = encoder.removeprefix(TIMM).split(".")[0]
    names = [name for name in encoders_for(architecture, everything=True) if not name.startswith(TIMM)]
    near = difflib.get_close_matches(bare, names, 3) or list(found.encoders[:3])
    raise InputError(f"{architecture} has no encoder called {encoder!r}; did you mean {', '.join(near)}?")


def _known(family: str, encoder: str) -> str:
    """`encoder` as the library writes it, or "" if there is none of that name."""
    import timm

    if family == "smp" and encoder in library("segmentation_models_pytorch").encoders.encoders:
        return encoder
    bare = encoder.removeprefix(TIMM)
    if not timm.is_model(bare.split(".")[0]):
        return ""
    if "." in bare and bare not in timm.list_pretrained():
        return ""
    return TIMM + bare if family == "smp" else bare


def download_notice(architecture: str, encoder: str, parameters: int) -> str:
    """What fetching an encoder's trained weights means: which, how large at most (`parameters` of the whole network), under which licence."""
    import timm

    found, name = find_architecture(architecture), check_encoder(architecture, encoder)
    licence = "not stated; read the model's card before you use it"
    if name.startswith(TIMM) or found.family in ("timm", "vit"):
        config = timm.get_pretrained_cfg(name.removeprefix(TIMM))
        licence = (config and config.license) or licence
    elif found.family == "smp":
        settings = library("segmentation_models_pytorch").encoders.encoders[name]["pretrained_settings"] or {}
        repository = settings.get("imagenet", {}).get("repo_id")
        licence = f"as https://huggingface.co/{repository} says" if repository else licence
    size = parameters * 4 / 2**20
    return f"Fetching the trained weights of {name or architecture}: at most {size:.0f} MiB, licence {licence}."
