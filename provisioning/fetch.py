"""One file from the network: resumed, retried, checked, and never under its name before it is whole.

Until then it is called ``NAME.part``. A file whose checksum nobody published is continued only while the server says that it is
still the same one (its ETag, kept in ``NAME.part.etag``).
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from .remote import (
    AGENT,
    BLOCK,
    OPENER,
    PATIENT,
    Fetched,
    FetchError,
    OnBytes,
    Patience,
    Remote,
    Token,
    origin,
    sha256,
    shown,
)

try:
    import fcntl
except ImportError:  # Windows has no advisory locks; two programs at one file are found out by the checksum
    fcntl = None  # type: ignore[assignment]

REDIRECTS = (301, 302, 303, 307, 308)
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Answers that another try may better."""
LONGEST_WAIT = 300.0


class _PassingError(Exception):
    """Something that another try may better; `wait` seconds are what the server asked for, 0 if nothing."""

    def __init__(self, reason: str, status: int = 0, wait: float = 0.0):
        super().__init__(reason)
        self.status, self.wait = status, wait


class _WholeError(Exception):
    """Nothing is missing: an earlier call ended between the last byte and the check."""


def fetch(
    remote: Remote,
    target: Path,
    token: Token | None = None,
    on_bytes: OnBytes | None = None,
    patience: Patience = PATIENT,
) -> Fetched:
    """Fetch a file to `target`; what an earlier call left as ``.part`` is continued.

    The token goes to its own origin, and no further than the first redirect that leaves it.

    Args:
        on_bytes: Called with bytes had and bytes in all (0 if nobody knows), also while waiting; what it raises stops the download.

    Raises:
        FetchError: The server, the network, the disk or the file itself is at fault.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return _Download(remote, target, token, on_bytes or _silent, patience).run()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            needed = f" {_megabytes(remote.size)}" if remote.size else ""
            raise FetchError(
                f"{target.name} needs{needed or ' more'} space, but the disk of {target.parent} is full; free some space and run again.",
                "full",
            ) from error
        if isinstance(error, (ConnectionError, TimeoutError)):
            raise FetchError(
                f"{target.name} was interrupted ({error}); run again, it goes on where it stopped.", "network"
            ) from error
        reason = error.strerror or error
        raise FetchError(
            f"{target.name} could not be written to {target.parent} ({reason}); change its permissions.", "disk"
        ) from error


def _silent(done: int, total: int) -> None:
    """Nobody wants to know."""


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.0f} MB"


class _Download:
    """One call of `fetch`: what is known so far, over several tries."""

    def __init__(self, remote: Remote, target: Path, token: Token | None, on_bytes: OnBytes, patience: Patience):
        self.remote, self.target, self.token, self.on_bytes, self.patience = remote, target, token, on_bytes, patience
        self.part = target.with_name(f"{target.name}.part")
        self.etag = target.with_name(f"{target.name}.part.etag")
        self.total, self.expected = remote.size, remote.sha256.lower()

    def run(self) -> Fetched:
        failures = 0
        while True:
            before = self._had()
            try:
                self._attempt()
                break
            except _PassingError as error:
                failures = 1 if self._had() > before else failures + 1
                if failures >= self.patience.tries or error.wait > LONGEST_WAIT:
                    raise self._gave_up(error) from error
                self._sleep(max(error.wait, self.patience.pause * 2 ** (failures - 1)))
        return self._finish()

    def _had(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _attempt(self) -> None:
        """Ask for what is missing and write it to the part."""
        had = self._usable()
        if self.remote.size and had == self.remote.size and self.expected:
            return
        headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
        if had:
            headers["Range"] = f"bytes={had}-"
            if not self.expected:
                headers["If-Range"] = self.etag.read_text(encoding="utf-8")
        with contextlib.suppress(_WholeError), self._open(headers) as answer:
            had = self._start(answer, had)
            with self.part.open("ab") as out:
                self._lock(out)
                if out.tell() != had:
                    out.truncate(had)
                self._write(answer, out, had)

    def _usable(self) -> int:
        """Bytes of the part that may be continued; a part that cannot be is removed."""
        had = self._had()
        known = bool(self.expected) or self.etag.is_file()
        if had and (not known or (self.total and had > self.total)):
            self._forget()
            return 0
        return had

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.etag.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _open(self, headers: dict[str, str]) -> Iterator[Any]:
        """The answer to a GET, over redirects; the token is left behind with the first one that goes elsewhere."""
        url, home = self.remote.url, bool(self.token)
        for _ in range(10):
            if urlsplit(url).scheme not in ("https", "http"):
                raise FetchError(f"{self.target.name}: {shown(url)} is no address of the web; correct it.", "answer")
            home = home and self.token is not None and origin(url) == origin(self.token.origin)
            secret = {"Authorization": f"Bearer {self.token.value}"} if home and self.token else {}
            request = urllib.request.Request(url, headers={**headers, **secret})
            try:
                answer = OPENER.open(request, timeout=self.patience.timeout)
            except urllib.error.HTTPError as error:
                self._announced(error.headers, url)
                with error:
                    next_url = self._next(error, url)
                if next_url.startswith("http:") and url.startswith("https:"):
                    raise FetchError(
                        f"{shown(url)} leads to an address without encryption; nothing was fetched from there.",
                        "answer",
                    ) from None
                url = next_url
                continue
            except (OSError, http.client.HTTPException) as error:
                raise _PassingError(str(getattr(error, "reason", error)) or type(error).__name__) from error
            with answer:
                self._announced(answer.headers, url)
                yield answer
            return
        raise FetchError(f"{shown(self.remote.url)} leads in a circle; correct the address.", "answer")

    def _next(self, error: urllib.error.HTTPError, url: str) -> str:
        """Where a redirect leads; every other answer is an error."""
        if error.code in REDIRECTS and error.headers.get("Location"):
            return urljoin(url, error.headers["Location"])
        if error.code == 416:
            if (error.headers.get("Content-Range") or "").endswith(f"*/{self._had()}"):
                raise _WholeError
            self._forget()  # the part is not a beginning of what is there now
            raise _PassingError("the server's file is shorter than what was there", 416)
        name, place = self.target.name, shown(self.remote.url)
        if error.code in PASSING:
            raise _PassingError(f"answer {error.code}", error.code, _seconds(error.headers.get("Retry-After")))
        if error.code in (401, 403):
            raise FetchError(f"{place} does not give {name} to this request ({error.code}).", "refused", error.code)
        if error.code in (404, 410):
            raise FetchError(f"there is no {name} at {place} ({error.code}).", "missing", error.code)
        raise FetchError(f"{place} answered {error.code} {error.reason}.", "answer", error.code)

    def _announced(self, headers: Any, url: str) -> None:
        """Hugging Face tells the SHA-256 of large files in a header of its own; only the first address is believed."""
        etag = (headers.get("X-Linked-Etag") or headers.get("ETag") or "").strip('"')
        told = (
            origin(url) == origin(self.remote.url)
            and headers.get("X-Repo-Commit")
            and re.fullmatch(r"[0-9a-f]{64}", etag)
        )
        if told and self.expected and etag != self.expected:
            self._forget()
            raise FetchError(
                f"{self.target.name} at {shown(url)} is not the published one any more (its host tells another checksum); nothing was "
                f"fetched.",
                "changed",
            )
        if told:
            self.expected = etag

    def _start(self, answer: Any, had: int) -> int:
        """Look at an answer before anything is written; bytes that are kept of the part."""
        name, place = self.target.name, shown(self.remote.url)
        page = answer.headers.get_content_type() == "text/html" and self.target.suffix not in (".html", ".htm")
        if page:
            raise _page(place, name)
        if answer.status != http.client.PARTIAL_CONTENT:
            had = 0  # the server sends it from its start
        begins = re.match(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range") or "")
        if had and begins and int(begins[1]) != had:
            self._forget()
            raise _PassingError("the server sent another part than the one asked for")
        length = int(answer.headers.get("Content-Length") or 0)
        total = had + length if length else 0
        if self.remote.size and total and total != self.remote.size:
            raise self._changed(total)
        self.total = total or self.total
        if self.total and self.total - had > shutil.disk_usage(self.part.parent).free:
            raise OSError(errno.ENOSPC, "No space left on device")
        if not had:
            etag = answer.headers.get("ETag") or ""
            if etag and not etag.startswith("W/"):
                self.etag.write_text(etag, encoding="utf-8")  # before the first byte: a part never has another file's
            else:
                self.etag.unlink(missing_ok=True)
        return had

    def _write(self, answer: Any, out: IO[bytes], had: int) -> None:
        while True:
            try:
                block = answer.read1(BLOCK)
            except (OSError, http.client.HTTPException) as error:
                raise _PassingError(str(error) or type(error).__name__) from error
            if not block:
                break
            if not had and re.match(rb"\s*(<!doctype html|<html)", block[:200], re.IGNORECASE):
                self._forget()
                raise _page(shown(self.remote.url), self.target.name)
            out.write(block)
            had += len(block)
            self.on_bytes(had, self.total)
        out.flush()
        if self.total and had < self.total:
            raise _PassingError(f"the connection ended after {had:,} of {self.total:,} bytes")
        if self.remote.size and had > self.remote.size:
            raise self._changed(had)
        os.fsync(out.fileno())

    def _lock(self, out: IO[bytes]) -> None:
        """Two programs may want one file; the second says so instead of writing into the first one's part."""
        if fcntl is None:
            return
        try:
            fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FetchError(f"another program is fetching {self.target}; wait for it and run again.", "disk") from None
        except OSError:  # some network disks have no locks
            return

    def _finish(self) -> Fetched:
        """Check the part and give it its name."""
        if not self.part.exists():  # an empty file
            self.part.touch()
        found = sha256(self.part)
        if self.expected and found != self.expected:
            self._forget()
            raise FetchError(
                f"what came from {shown(self.remote.url)} is not the published {self.target.name} (wrong checksum) and was removed; run again.",
                "damaged",
            )
        self.part.replace(self.target)
        self.etag.unlink(missing_ok=True)
        return Fetched(self.target, found, "published" if self.remote.sha256 else "host" if self.expected else "")

    def _changed(self, size: int) -> FetchError:
        self._forget()
        return FetchError(
            f"{self.target.name} at {shown(self.remote.url)} has {size:,} bytes, but {self.remote.size:,} were published; it was replaced "
            f"there, and nothing was kept.",
            "changed",
        )

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.on_bytes(self._had(), self.total)
            time.sleep(min(left, 0.2))

    def _gave_up(self, error: _PassingError) -> FetchError:
        place, name = shown(self.remote.url), self.target.name
        if error.wait > LONGEST_WAIT:
            return FetchError(
                f"{place} asks to wait {error.wait:.0f} seconds before {name} is asked for again; run again then.",
                "answer",
                error.status,
            )
        if error.status:
            return FetchError(
                f"{place} cannot give {name} now ({error}, {self.patience.tries} times); run again later.",
                "answer",
                error.status,
            )
        return FetchError(
            f"{name} could not be fetched from {place} ({error}); check the network and run again, it goes on where it stopped.",
            "network",
        )


def _page(place: str, name: str) -> FetchError:
    return FetchError(f"{place} sent a web page instead of {name}; it may want a login, or the file has moved.", "page")


def _seconds(text: str | None) -> float:
    """Retry-After as seconds; a date counts as nothing."""
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return 0.0
