"""Where ComfyUI and its Python are on the machines that people rent or build."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import ManifestError


@dataclass(frozen=True)
class Profile:
    """A kind of machine: places to look for ComfyUI, and for its Python (below the folder that was found, * is any name; or absolute)."""

    comfyui: tuple[str, ...]
    python: tuple[str, ...]


OWN = (".venv/bin/python", "venv/bin/python")
PROFILES = {
    "vast": Profile(
        ("{workspace}/ComfyUI", "/workspace/ComfyUI", "/opt/workspace-internal/ComfyUI"), ("/venv/main/bin/python", *OWN)
    ),
    "runpod": Profile(
        ("{workspace}/runpod-slim/ComfyUI", "{workspace}/ComfyUI", "{workspace}/madapps/ComfyUI"),
        (".venv-*/bin/python", *OWN, "/opt/venv/bin/python"),  # .venv-cu128 in newer images
    ),
    "docker": Profile(("/opt/ComfyUI",), ("/opt/venv/bin/python",)),
    "local": Profile((".",), OWN),
}  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """ComfyUI's folder, the Python it runs with, and the folder of its models, which may lie on another disk."""

    comfyui: Path
    python: str
    profile: str = "local"

    def path(self, to: str) -> Path:
        """Where a file of the manifest goes."""
        return self.comfyui / to

    @property
    def custom_nodes(self) -> Path:
        """Where packages of nodes are."""
        return self.comfyui / "custom_nodes"


def machine(profile: str, comfyui: str = "", python: str = "", environment: Mapping[str, str] = os.environ) -> Machine:
    """This machine, as a profile describes it.

    Args:
        comfyui: ComfyUI's folder, "" to look for it: first in ``COMFYUI_PATH``, then where the profile says.
        python: The Python it runs with, "" to look for it.

    Raises:
        ManifestError: There is no ComfyUI.
    """
    known = PROFILES[profile]
    workspace = environment.get("WORKSPACE") or "/workspace"
    given = comfyui or environment.get("COMFYUI_PATH", "")
    places = [given] if given else [place.format(workspace=workspace) for place in known.comfyui]
    found = next((Path(place) for place in places if Path(place).is_dir()), None)
    if found is None:
        raise ManifestError(
            f"there is no folder {' or '.join(places)}; name ComfyUI's folder with --comfyui or in COMFYUI_PATH."
        )
    found = found.resolve()
    pythons = [python] if python else [path for place in known.python for path in _files(found, place)]
    return Machine(found, str(next(iter(pythons), sys.executable)), profile)


def _files(comfyui: Path, place: str) -> list[Path]:
    """The files of a place: an absolute path, or a pattern below ComfyUI's folder."""
    if Path(place).is_absolute():
        return [Path(place)] if Path(place).is_file() else []
    return sorted(
        path for path in comfyui.glob(place) if path.is_file()
    )  # links of a copied environment may lead nowhere
