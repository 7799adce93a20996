"""Files: found through links, and written so that a crash, a full disk or a Cancel never leaves half of one behind."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` if the block succeeds, remove it if it does not.

    Raises:
        InputError: The disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path} could not be written: {_reason(error)}") from error
    except Exception as error:  # safetensors reports a full disk with an exception of its own
        if "No space left" in str(error):
            raise InputError(f"{path} could not be written: {_reason(OSError(errno.ENOSPC, ''))}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def files_below(folder: Path) -> list[Path]:
    """Every file in `folder` and below, sorted. Links to other folders are followed, as ComfyUI does for models, each folder once.

    A folder that is not there has none.
    """
    found, seen = [], {Path(folder).resolve()}
    for name, folders, files in os.walk(folder, followlinks=True):
        place = Path(name)
        new = {(place / below).resolve(): below for below in sorted(folders, reverse=True)}  # of two, the first by name
        folders[:] = [below for real, below in new.items() if real not in seen]
        seen |= new.keys()
        found += [place / file for file in files]
    return sorted(file for file in found if file.is_file())


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk is full; free some space and run again, nothing half-written was kept."
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return "the folder does not allow it; choose another one or change its permissions."
    return f"{error.strerror or error}; check the path and run again."
