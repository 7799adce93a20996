"""The secrets of the environment, each with the one host it belongs to.

A manifest cannot say where a token goes: that is written here and, for mirrors and tests, in ``HF_ENDPOINT`` and ``CIVITAI_ENDPOINT``.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .remote import AGENT, OPENER, Token, origin


@dataclass(frozen=True)
class Host:
    """A host that gives some files only to those it knows.

    Attributes:
        variable: The environment variable of its token.
        endpoint: The environment variable that names another server.
        check: A path that answers 200 to a good token.
        settings: Where a person makes a token.
    """

    name: str
    variable: str
    endpoint: str
    address: str
    check: str
    settings: str

    def base(self, environment: Mapping[str, str] = os.environ) -> str:
        """Its address, or that of its mirror."""
        return environment.get(self.endpoint, "").rstrip("/") or self.address

    def token(self, environment: Mapping[str, str] = os.environ) -> Token | None:
        """Its token, if the environment has one."""
        value = environment.get(self.variable, "").strip()
        return Token(value, self.base(environment)) if value else None


HUGGING_FACE = Host(
    "Hugging Face", "HF_TOKEN", "HF_ENDPOINT", "https://huggingface.co", "/api/whoami-v2", "https://huggingface.co/settings/tokens"
)  # fmt: skip
CIVITAI = Host(
    "Civitai", "CIVITAI_TOKEN", "CIVITAI_ENDPOINT", "https://civitai.com", "/api/v1/models?hidden=1&limit=1", "https://civitai.com/user/account"
)  # fmt: skip
HOSTS = (HUGGING_FACE, CIVITAI)
SECRETS = tuple(host.variable for host in HOSTS)


def host_of(url: str) -> Host | None:
    """The host with tokens that an address belongs to."""
    return next((host for host in HOSTS if origin(host.base()) == origin(url)), None)


def located(url: str) -> str:
    """An address of a host, at its mirror if the environment names one."""
    host = next((host for host in HOSTS if url.startswith(f"{host.address}/")), None)
    return host.base() + url.removeprefix(host.address) if host else url


@dataclass(frozen=True)
class Checked:
    """What a host says of its token.

    Attributes:
        state: "none" (there is no token), "good", "unknown" (the host does not know it) or "not checked" (the host did not answer).
        account: Whose it is, where the host tells.
        gated: Whether it may read gated files, as far as the host tells; only fine-grained tokens can lack that.
    """

    host: Host
    state: str
    account: str = ""
    gated: bool = True

    def __str__(self) -> str:
        of = f" of {self.account}" if self.account else ""
        match self.state:
            case "none":
                return f"{self.host.variable} is not set"
            case "good":
                return f"{self.host.variable} is a good token{of}" + (
                    "" if self.gated else ", but may not read gated files"
                )
            case "unknown":
                return f"{self.host.variable} is not known to {self.host.name}; make a new one on {self.host.settings}"
        return f"{self.host.variable} could not be checked: {self.host.name} did not answer"


def check(host: Host, timeout: float = 15.0) -> Checked:
    """Ask a host whether it knows the token of the environment."""
    token = host.token()
    if token is None:
        return Checked(host, "none")
    headers = {"Authorization": f"Bearer {token.value}", "User-Agent": AGENT, "Accept": "application/json"}
    try:
        with OPENER.open(urllib.request.Request(host.base() + host.check, headers=headers), timeout=timeout) as answer:
            data = json.loads(answer.read(1 << 20))
    except urllib.error.HTTPError as error:
        error.close()
        return Checked(host, "unknown" if error.code in (401, 403) else "not checked")
    except (OSError, ValueError):
        return Checked(host, "not checked")
    if not isinstance(data, dict):
        data = {}
    return Checked(host, "good", str(data.get("name") or "") if host is HUGGING_FACE else "", _reads_gated(data))


def _reads_gated(data: Any) -> bool:
    """Whether a token of Hugging Face may read gated files: only fine-grained ones may be without that."""
    try:
        access = data["auth"]["accessToken"]
        if access["role"] != "fineGrained":
            return True
        scoped = access["fineGrained"]
        everywhere = scoped.get("canReadGatedRepos", True)
        return bool(
            everywhere or any("repo.content.read" in one.get("permissions", ()) for one in scoped.get("scoped", ()))
        )
    except (KeyError, TypeError, AttributeError):
        return True  # it does not tell; the download will
