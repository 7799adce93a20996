"""SAM 3's weights from Hugging Face, when somebody asks for them: they are given only to those who accepted Meta's licence.

An interrupted download leaves its part in a hidden file beside it and goes on from there; the final name appears when the file is
whole and its checksum is right.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from ...nn_layers.errors import InputError
from ..weights import sha256

REPOSITORY = "facebook/sam3"
WEIGHTS = "sam3.pt"
WORDS = ("vocab.json", "merges.txt")  # the table that turns words into tokens: 2 MB
PAGE = f"https://huggingface.co/{REPOSITORY}"
LICENCE = "SAM License (gated: accept it on the page first), 3.4 GB"


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
    name = ""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*WORDS, WEIGHTS):
            if not (folder / name).exists():
                _fetch(name, folder, token, on_bytes if name == WEIGHTS else None, endpoint)
    except InputError:
        raise
    except Exception as error:
        raise InputError(reason(error, name, folder)) from error
    return folder / WEIGHTS


def _fetch(
    name: str, folder: Path, token: str, on_bytes: Callable[[int, int], None] | None, endpoint: str | None
) -> None:
    """One file: its part goes on where it stopped, is checked and gets its name.

    huggingface_hub's own download begins again after an interruption, so only its connection is used.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(REPOSITORY, name, endpoint=endpoint)
    about = get_hf_file_metadata(url, token=token, endpoint=endpoint)
    headers = build_hf_headers(token=token)
    source = url if about.xet_file_data else about.location
    if urlparse(source).netloc != urlparse(url).netloc:
        headers.pop(
            "authorization", None
        )  # the token is for Hugging Face alone, not for the server that holds the bytes
    part = folder / f".{name}.{about.etag}.part"  # a changed file has another etag
    with part.open("ab") as file:
        there = file.tell()
        if about.size and there > about.size:
            file.truncate(there := 0)
        if about.size and about.size - there > shutil.disk_usage(folder).free:
            raise OSError(errno.ENOSPC, "No space left on device")
        if there != about.size:
            http_get(
                source,
                file,
                resume_size=there,
                headers=headers,
                expected_size=about.size,
                tqdm_class=_bar(on_bytes or _silent),
            )
    _check(part, about.etag or "", name)
    part.replace(folder / name)


def _check(part: Path, etag: str, name: str) -> None:
    """Large files are named by the SHA-256 of their content; a part that is something else goes."""
    if not re.fullmatch(r"[0-9a-f]{64}", etag):
        return
    found = sha256(part)
    if found != etag:
        part.unlink()
        raise InputError(
            f"{name} arrived damaged (SHA-256 {found[:12]}… instead of {etag[:12]}…); nothing was kept, run again."
        )


def reason(error: Exception, name: str, folder: Path) -> str:
    """Why a download failed and what to do, in one sentence."""
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    status = getattr(getattr(error, "response", None), "status_code", None)
    causes = [one for one in (error, error.__cause__, error.__context__) if one is not None]
    if any(getattr(one, "errno", None) == errno.ENOSPC or "No space left" in str(one) for one in causes):
        free = shutil.disk_usage(folder).free / 1e9
        return f"the disk of {folder} is full ({free:.1f} GB left of the 3.4 that {name} needs); free some and run again, it goes on where it stopped."
    if status == 401:
        return f"Hugging Face does not know the token in HF_TOKEN (401); make a new one on huggingface.co/settings/tokens that may read {REPOSITORY}."
    if status == 403:
        return f"the token in HF_TOKEN has no access to {REPOSITORY} (403); accept the licence on {PAGE} with the same account and run again."
    if status == 404 or (isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError)):
        return f"{REPOSITORY} has no file called {name} (404); get it from {PAGE} by hand and put it into {folder}."
    if isinstance(error, PermissionError):
        return f"{folder} does not allow writing; change its permissions or put {WEIGHTS} there by hand."
    said = str(error).split("\n")[0].rstrip(".")
    return f"the download of {name} was interrupted ({type(error).__name__}: {said}); run again, it goes on where it stopped."


def _silent(done: int, total: int) -> None:
    """For files too small to tell about."""


def _bar(on_bytes: Callable[[int, int], None]) -> Any:
    """A progress bar for huggingface_hub that only tells numbers."""
    from tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any):
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": True})
            self.done, self.all = kwargs.get("initial", 0), kwargs.get("total") or 0

        def update(self, n: float | None = 1) -> None:
            self.done += int(n or 0)
            on_bytes(self.done, max(self.all, self.done))

    return Bar
