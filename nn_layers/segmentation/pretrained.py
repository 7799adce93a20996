"""Are trained weights within reach? Asked before a library tries for half a minute."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from ..errors import InputError

PATIENCE = 5.0  # seconds
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def unavailable(name: str, error: Exception) -> InputError:
    """The sentence for weights that could not be fetched."""
    return InputError(
        f"the weights of {name} could not be fetched ({type(error).__name__}); connect this machine to the hub once, or switch "
        f"pretrained off to start from random weights."
    )


def no_weights(name: str) -> InputError:
    """The sentence for an encoder that nobody has published weights of."""
    return InputError(f"there are no trained weights of {name}; choose another encoder, or switch pretrained off.")


def check_hub(name: str, repository: str, revision: str | None = None) -> None:
    """Return at once if the repository's weights are in the local cache, else ask the hub whether it has them.

    Raises:
        InputError: Neither; `name` says of what.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache

    if any(isinstance(try_to_load_from_cache(repository, file, revision=revision), str) for file in HUB_FILES):
        return
    try:
        HfApi().model_info(repository, revision=revision, timeout=PATIENCE)
    except Exception as error:  # the hub's client raises a dozen different ones
        raise unavailable(name, error) from error


def check_url(name: str, url: str) -> None:
    """The same for a file that torch.hub downloads and keeps."""
    from urllib.request import Request, urlopen

    import torch

    if Path(torch.hub.get_dir(), "checkpoints", Path(urlsplit(url).path).name).is_file():
        return
    try:
        urlopen(Request(url, method="HEAD"), timeout=PATIENCE).close()
    except OSError as error:
        raise unavailable(name, error) from error


def check_timm(model: str) -> None:
    """The same for a model of timm."""
    import timm

    config = timm.get_pretrained_cfg(model)
    if config is None or not config.has_weights:
        raise no_weights(model)
    if config.hf_hub_id:
        check_hub(model, config.hf_hub_id)
    elif config.url:
        check_url(model, config.url)
