"""SAM 3's weights from Hugging Face, when somebody asks for them: they are given only to those who accepted Meta's licence.

An interrupted download leaves its part beside it and goes on from there; the final name appears when the file is whole and its
checksum, which Hugging Face tells, is right.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ...nn_layers.errors import InputError
from ...provisioning.fetch import fetch
from ...provisioning.remote import FetchError, Remote, Token
from ...provisioning.tokens import HUGGING_FACE
from ..weights import PATIENCE

REPOSITORY = "facebook/sam3"
WEIGHTS = "sam3.pt"
WORDS = ("vocab.json", "merges.txt")  # the table that turns words into tokens: 2 MB
PAGE = f"https://huggingface.co/{REPOSITORY}"
LICENCE = "SAM License (gated: accept it on the page first), 3.5 GB"


def download(
    folder: Path,
    token: str | None = None,
    on_bytes: Callable[[int, int], None] | None = None,
    endpoint: str | None = None,
) -> Path:
    """Fetch `sam3.pt` and the table of its words into a folder.

    Args:
        folder: Where they go.
        token: A Hugging Face token; without one, the environment's ``HF_TOKEN`` or the one of ``hf auth login``.
        on_bytes: Called with bytes done and bytes in all; may raise to stop.
        endpoint: Another server.

    Raises:
        InputError: No token, a token without access, the disk is full, the connection broke, or the file arrived damaged.
    """
    from huggingface_hub import get_token

    token = token or os.environ.get("HF_TOKEN") or get_token()
    if not token:
        raise InputError(
            f"SAM 3 is given only to people who accepted its licence: accept it on {PAGE}, then set HF_TOKEN to a token from "
            f"huggingface.co/settings/tokens and run again, or put {WEIGHTS} into {folder}."
        )
    base = endpoint or HUGGING_FACE.base()
    for name in (*WORDS, WEIGHTS):
        if not (folder / name).exists():
            remote, told = Remote(f"{base}/{REPOSITORY}/resolve/main/{name}"), on_bytes if name == WEIGHTS else None
            try:
                fetch(remote, folder / name, Token(token, base), told, PATIENCE)
            except FetchError as error:
                raise InputError(reason(error, name, folder)) from error
    return folder / WEIGHTS


def reason(error: FetchError, name: str, folder: Path) -> str:
    """Why a download failed and what to do, in one sentence."""
    if error.kind == "full":
        free = shutil.disk_usage(folder).free / 1e9
        return f"the disk of {folder} is full ({free:.1f} GB left of the 3.4 that {name} needs); free some and run again, it goes on where it stopped."
    if error.status == 401:
        return f"Hugging Face does not know the token in HF_TOKEN (401); make a new one on {HUGGING_FACE.settings} that may read {REPOSITORY}."
    if error.status == 403:
        return f"the token in HF_TOKEN has no access to {REPOSITORY} (403); accept the licence on {PAGE} with the same account and run again."
    if error.status == 404:
        return f"{REPOSITORY} has no file called {name} (404); get it from {PAGE} by hand and put it into {folder}."
    return f"{str(error).rstrip('.')}, or put {name} there by hand."
