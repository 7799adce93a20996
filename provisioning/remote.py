"""What is known of a file on the network, the secret that opens it, and why it did not come."""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

AGENT = "visionsmith"
BLOCK = 1 << 20
OnBytes = Callable[[int, int], None]
Kind = Literal["refused", "missing", "answer", "network", "damaged", "changed", "page", "full", "disk"]


class FetchError(Exception):
    """Why a file did not come, in one sentence.

    Attributes:
        kind: "refused" (401, 403), "missing" (404, 410), "answer" (another answer), "network", "damaged" (wrong checksum), "changed"
            (wrong size), "page" (HTML instead of the file), "full" or "disk".
        status: The server's answer, 0 if it gave none.
    """

    def __init__(self, sentence: str, kind: Kind, status: int = 0):
        super().__init__(sentence)
        self.kind, self.status = kind, status


@dataclass(frozen=True)
class Remote:
    """What is known about a file before it is fetched: bytes, or 0; SHA-256 in hexadecimal, or ""."""

    url: str
    size: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class Token:
    """A secret and the one origin ("https://host") that may see it."""

    value: str
    origin: str

    def __repr__(self) -> str:
        return f"Token(for {self.origin})"  # the value is for no log


@dataclass(frozen=True)
class Patience:
    """Seconds without a byte, tries in a row that bring nothing, and seconds before the second one (doubled for each that follows)."""

    timeout: float = 30.0
    tries: int = 5
    pause: float = 1.0


PATIENT = Patience()


@dataclass(frozen=True)
class Fetched:
    """A file that came, and what its SHA-256 was compared with: "published", "host" (the server told it), or "" for nothing."""

    path: Path
    sha256: str
    checked: Literal["published", "host", ""]


def origin(url: str) -> str:
    """Scheme, host and port of an address."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def shown(url: str) -> str:
    """An address as it may be printed: without its query and user name, where keys are written."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def sha256(path: Path) -> str:
    """The SHA-256 checksum of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib would carry every header along to the next host; `fetch` follows by hand."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


OPENER = urllib.request.build_opener(_NoRedirect)
