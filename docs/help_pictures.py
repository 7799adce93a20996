"""Makes the picture at the top of every help page: what the node makes of an example, or the node on the canvas with its wires and shapes.

    python docs/help_pictures.py                    all of them; needs ComfyUI and Chromium
    python docs/help_pictures.py VisionsmithConv …  only these
    python docs/help_pictures.py --check            say what is missing, and fail if anything is

A page that does not show its picture yet gets a line that does, below its first paragraph.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))  # the two files beside this one, wherever it is called from

PAGES = Path(__file__).resolve().parents[1] / "web" / "docs"
IMAGES = PAGES / "images"
WIDTH, HEIGHT, LARGEST = 512, 640, 40_000  # pixels, bytes


def save(picture: Image.Image, file: Path) -> None:
    """As JPEG, as wide and as good as fits into 40 kB."""
    picture.thumbnail((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    for quality in range(88, 30, -6):
        stream = io.BytesIO()
        picture.convert("RGB").save(stream, "JPEG", quality=quality, optimize=True)
        if stream.tell() <= LARGEST:
            break
    file.write_bytes(stream.getvalue())


def refer(node_id: str, alt: str) -> None:
    """Show the picture on the node's page."""
    page = PAGES / f"{node_id}.md"
    text, line = page.read_text(encoding="utf-8"), f"![{alt}](images/{node_id}.jpg)"
    new = re.sub(rf"!\[[^\]]*\]\(images/{node_id}\.jpg\)", lambda _: line, text)
    if line not in new:
        title, first, rest = text.split("\n\n", 2)
        new = f"{title}\n\n{first}\n\n{line}\n\n{rest}"
    if new != text:
        page.write_text(new, encoding="utf-8")


def pictures(node_ids: list[str]) -> Iterator[tuple[str, Image.Image, str]]:
    """(node id, its picture, what it shows)."""
    from help_canvas import photographs
    from help_results import RESULTS, results

    shown = {node_id.removeprefix("Visionsmith"): _title(node_id) for node_id in node_ids}
    for name, picture in results(list(shown)):
        yield f"Visionsmith{name}", picture, f"What {shown[name]} makes of an example"
    rest = [node_id for node_id in node_ids if node_id.removeprefix("Visionsmith") not in RESULTS]
    if rest:
        for node_id, picture in photographs(rest):
            yield node_id, picture, f"{shown[node_id.removeprefix('Visionsmith')]} on the canvas"


def _title(node_id: str) -> str:
    return (PAGES / f"{node_id}.md").read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def missing() -> list[str]:
    """Pages that do not show their picture, and pictures without a file, a page or in the wrong size; each in words."""
    found = []
    for page in sorted(PAGES.glob("*.md")):
        file = IMAGES / f"{page.stem}.jpg"
        if f"(images/{file.name})" not in page.read_text(encoding="utf-8"):
            found.append(f"{page.name} does not show images/{file.name}")
        if not file.is_file():
            found.append(f"no file images/{file.name}")
        elif file.stat().st_size > LARGEST:
            found.append(f"images/{file.name} is larger than {LARGEST:,} bytes")
    nodes = {page.stem for page in PAGES.glob("*.md")}
    found += [f"no page for images/{file.name}" for file in IMAGES.glob("Visionsmith*.jpg") if file.stem not in nodes]
    return found


def main(arguments: list[str]) -> int:
    """The exit code: 1 where `--check` finds something."""
    if arguments == ["--check"]:
        found = missing()
        print("\n".join(found) or "every page shows its picture")
        return bool(found)
    IMAGES.mkdir(exist_ok=True)
    for node_id, picture, alt in pictures(arguments or sorted(page.stem for page in PAGES.glob("*.md"))):
        save(picture, IMAGES / f"{node_id}.jpg")
        refer(node_id, alt)
        print(node_id, picture.size, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
