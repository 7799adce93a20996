"""What a machine gets: `manifest.toml` read into dataclasses, with every mistake in it told in one sentence.

A manifest may come from a stranger's address, so it can name places below ComfyUI's folders only, and never where a token goes.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import ManifestError

VERSION = 1
PACKAGE = Path(__file__).resolve().parents[1]
"""The package's folder; `from` in a manifest is relative to it."""
DEFAULT = PACKAGE / "provisioning" / "manifest.toml"
ROOTS = ("models/", "input/", "user/default/workflows/")
"""Where files may be put, below ComfyUI's folder."""
OWN = "own"
"""The commit of a node package that the manifest came with: whatever is there."""
SPARE_NAMES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}


@dataclass(frozen=True)
class File:
    """A file of the manifest.

    Attributes:
        name: What `visionsmith models get` calls it.
        group: What `--only` calls it and its like.
        to: Where it goes below ComfyUI's folder, with "/".
        url: Where it comes from, or "".
        source: A path in this package instead (`from` in the manifest).
        size: Bytes, 0 where nobody published them.
        sha256: In hexadecimal, "" where nobody published it.
        licence: As its publisher calls it.
        gated: Given only to those who accepted its licence on `page`.
        page: Where to read about it.
        optional: Fetched only when its name or group is asked for.
    """

    name: str
    group: str
    to: str
    url: str = ""
    source: str = ""
    size: int = 0
    sha256: str = ""
    licence: str = ""
    gated: bool = False
    page: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Nodes:
    """A package of nodes for ComfyUI, at one commit."""

    name: str
    url: str
    commit: str
    extras: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """Everything a machine gets."""

    files: tuple[File, ...] = ()
    nodes: tuple[Nodes, ...] = ()
    apt: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()

    @property
    def groups(self) -> tuple[str, ...]:
        """What `--only` knows: the groups of files, and the three kinds of software."""
        return tuple(dict.fromkeys(["apt", "nodes", "pip", *(file.group for file in self.files)]))

    def chosen(self, names: tuple[str, ...] = (), groups: tuple[str, ...] = ()) -> tuple[File, ...]:
        """The files that names or groups ask for; without either, all that are not optional.

        Raises:
            ManifestError: A name or group that is not there.
        """
        known = {file.name for file in self.files}
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, [*known, *self.groups], cutoff=0.5)
                hint = f"did you mean {' or '.join(near)}" if near else "`visionsmith models list` shows what it has"
                raise ManifestError(f"the manifest has no file or group called {name}; {hint}.")
        for group in groups:
            if group not in self.groups:
                raise ManifestError(
                    f"the manifest has no group called {group}; choose one of {', '.join(self.groups)}."
                )
        if not names and not groups:
            return tuple(file for file in self.files if not file.optional)
        return tuple(file for file in self.files if file.name in names or file.group in groups)


def parse(text: str, where: str) -> Manifest:
    """A manifest from its text.

    Args:
        where: What errors call it.

    Raises:
        ManifestError: No TOML, another version, an unknown or missing field, or a place outside of ComfyUI's folders.
    """
    toml = toml_reader()
    try:
        data = toml.loads(text)
    except (toml.TOMLDecodeError, RecursionError) as error:
        raise ManifestError(f"{where} is no TOML ({error}); correct it.") from None
    if data.get("version") != VERSION:
        raise ManifestError(
            f"{where} has version {data.get('version')!r}, but this Visionsmith reads {VERSION}; update one of them."
        )
    unknown = set(data) - {"version", "apt", "pip", "nodes", "files"}
    if unknown:
        raise ManifestError(f"{where} has an unknown entry {sorted(unknown)[0]}; remove it.")
    files = [
        one
        for number, entry in enumerate(_tables(data, "files", where), 1)
        for one in _file(entry, f"{where}, file {number}")
    ]
    for kind in ("name", "to"):
        values = [getattr(file, kind).casefold() for file in files]
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice:
            raise ManifestError(f"{where} has two files with the same {kind} {twice}; rename one.")
    nodes = [_nodes(entry, f"{where}, nodes {number}") for number, entry in enumerate(_tables(data, "nodes", where), 1)]
    return Manifest(tuple(files), tuple(nodes), _requirements(data, "apt", where), _requirements(data, "pip", where))


def toml_reader() -> Any:
    """Python 3.10 has no tomllib, but the pip beside it has one."""
    for name in ("tomllib", "tomli", "pip._vendor.tomli"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    raise ManifestError("this Python cannot read TOML; use Python 3.11 or newer, or install tomli.")


def read(path: Path) -> Manifest:
    """A manifest from a file.

    Raises:
        ManifestError: It cannot be read, or see `parse`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ManifestError(f"{path} cannot be read ({error}); give the path or address of a manifest.") from None
    return parse(text, path.name)


def _tables(data: dict[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    entries = data.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ManifestError(f"{where}: {key} must be tables, written [[{key}]]; correct it.")
    return entries


def _requirements(data: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    """Names for apt or pip: nothing that they could take for an option or an address."""
    values = data.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ManifestError(f"{where}: {key} must be a list of names; correct it.")
    for value in values:
        if not re.fullmatch(r"[A-Za-z0-9][\w.+\-\[\],<>=!~;'\" ]*", value):
            raise ManifestError(f"{where}: {key} has {value!r}, which is no package's name; correct it.")
    return tuple(values)


def _typed(entry: dict[str, Any], kind: type[File] | type[Nodes], where: str) -> dict[str, Any]:
    """The fields of a table, each of the type that its dataclass says."""
    allowed = {("from" if field.name == "source" else field.name): field for field in fields(kind)}
    types = {"str": str, "int": int, "bool": bool, "tuple[str, ...]": list}
    for key, value in entry.items():
        if key not in allowed:
            raise ManifestError(f"{where} has an unknown entry {key}; remove it.")
        wanted = types[str(allowed[key].type)]
        if type(value) is not wanted:
            raise ManifestError(f"{where}: {key} is {value!r}, but must be of type {wanted.__name__}; correct it.")
    for key in ("name", "group", "to") if kind is File else ("name", "url", "commit"):
        if not entry.get(key):
            raise ManifestError(f"{where} has no {key}; add one.")
    return {allowed[key].name: value for key, value in entry.items()}


def _file(entry: dict[str, Any], where: str) -> list[File]:
    """The files of a table: one, or with `*` in `from` every one that fits."""
    file = File(**_typed(entry, File, where))
    where = f"{where} ({file.name})"
    if bool(file.url) == bool(file.source):
        raise ManifestError(f"{where} must have either url or from; correct it.")
    if file.url and urlsplit(file.url).scheme not in ("https", "http"):
        raise ManifestError(f"{where}: {file.url} is no address of the web; correct it.")
    if file.sha256 and not re.fullmatch(r"[0-9a-f]{64}", file.sha256):
        raise ManifestError(f"{where}: sha256 must be 64 hexadecimal digits; correct it or leave it out.")
    if file.size < 0:
        raise ManifestError(f"{where}: size is {file.size}; give bytes, or leave it out.")
    if file.source and not is_safe(file.source.replace("*", "x")):
        raise ManifestError(f"{where}: {file.source!r} is no path inside this package; correct it.")
    if "*" not in file.source:
        return [replace(file, to=place(file.to, where))]
    found = sorted(path for path in PACKAGE.glob(file.source) if path.is_file())
    return [
        File(path.stem, file.group, place(f"{file.to.rstrip('/')}/{path.name}", where), source=path.relative_to(PACKAGE).as_posix(),
             licence=file.licence, optional=file.optional)
        for path in found
    ]  # fmt: skip


def _nodes(entry: dict[str, Any], where: str) -> Nodes:
    values = _typed(entry, Nodes, where)
    nodes = Nodes(**{**values, "extras": tuple(values.get("extras", ()))})
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", nodes.name) or nodes.name.casefold() in SPARE_NAMES:
        raise ManifestError(f"{where}: {nodes.name!r} is no name for a folder; correct it.")
    if urlsplit(nodes.url).scheme not in ("https", "file"):
        raise ManifestError(f"{where}: {nodes.url} is no https address; correct it.")
    if nodes.commit != OWN and not re.fullmatch(r"[0-9a-f]{40}", nodes.commit):
        raise ManifestError(
            f"{where}: commit must be 40 hexadecimal digits, so that it always means the same; correct it."
        )
    return nodes


def place(to: str, where: str, roots: tuple[str, ...] = ROOTS) -> str:
    """A path below one of ComfyUI's folders, as it was written.

    Raises:
        ManifestError: It is absolute, has "..", or lies elsewhere.
    """
    if not to.startswith(roots) or not is_safe(to):
        raise ManifestError(f"{where}: {to!r} is no place below {', '.join(roots)}; correct it.")
    return to


def is_safe(path: str) -> bool:
    """Whether a path with "/" is relative, leads nowhere else, and means the same on every system."""
    parts = path.split("/")
    return not re.search(r'[\\:*?"<>|\x00-\x1f\x7f]', path) and all(
        part and not part.endswith((".", " ")) and part.split(".")[0].casefold() not in SPARE_NAMES for part in parts
    )
