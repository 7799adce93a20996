"""What a person does in the label editor, and what then should be on the disk."""

import re

import numpy as np
from PIL import Image

from .browser import eventually, show_all

FOLDER = "plates"
WIDTH, HEIGHT = 320, 240
NAMES = ("plate-1.png", "plate-2.png", "plate-3.jpg", "turned.jpg")
CLASSES = "surface, scratch, spot"


def plate(number):
    """Brushed metal with a scratch and a spot, drawn by a program."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    picture = (
        128 + random.normal(0, 6, (HEIGHT, 1)) + random.normal(0, 3, (HEIGHT, WIDTH)) + 18 * np.sin(x / 150 + number)
    )
    along = (x - 90) * 0.94 + (y - 70) * 0.34
    across = np.abs((y - 70) * 0.94 - (x - 90) * 0.34 + 4 * np.sin(along / 30))
    picture += 75 * np.exp(-((across / 1.3) ** 2)) * ((along > 0) & (along < 140))
    spot = np.hypot((x - 215) / 1.3, y - 165)
    picture -= 62 / (1 + np.exp((spot - 17 - 3 * np.sin(5 * np.arctan2(y - 165, x - 215))) / 1.2))
    return Image.fromarray(np.repeat(picture.clip(0, 255).astype(np.uint8)[..., None], 3, 2))


def furnish(root):
    """Four pictures without masks; the last one is turned by its EXIF entry."""
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True, exist_ok=True)
        for file in (root / kind).iterdir():
            file.unlink()
    for number, name in enumerate(NAMES):
        exif = Image.Exif()
        if name.startswith("turned"):
            exif[0x0112] = 6
        plate(number).save(root / "images" / name, exif=exif)
    return root


def open_node(page):
    """The node on the canvas, and all of it in view."""
    node = {
        "id": 1, "type": "VisionsmithLabelPictures", "pos": [0, 0], "size": [380, 520], "inputs": [], "properties": {}, "flags": {}, "mode": 0,
        "outputs": [{"name": "dataset", "type": "VISIONSMITH_DATASET", "links": [1]}],
        "widgets_values": [FOLDER, CLASSES, "skip", "", "", "auto", "color", 0.0, 0.0, 0, "fixed"],
    }  # fmt: skip
    statistics = {"id": 2, "type": "VisionsmithDatasetStatistics", "pos": [460, 0], "size": [380, 520], "inputs": [{"name": "dataset", "type": "VISIONSMITH_DATASET", "link": 1}], "outputs": [], "properties": {}, "flags": {}, "mode": 0}  # fmt: skip
    data = {"last_node_id": 2, "last_link_id": 1, "nodes": [node, statistics], "links": [[1, 1, 0, 2, 0, "VISIONSMITH_DATASET"]], "groups": [], "version": 0.4}  # fmt: skip
    page.evaluate("async data => await app.loadGraphData(data, true, true, crypto.randomUUID())", data)
    page.wait_for_timeout(300)
    show_all(page)


def press_button(page):
    """Press the node's button as a person would."""
    if page.renderer == "vue":
        page.get_by_role("button", name="Label pictures").click()
    else:
        x, y = page.evaluate("""() => { const node = app.graph.getNodeById(1), widget = node.widgets.find(w => w.name === 'label_pictures');
            const { scale, offset } = app.canvas.ds, box = app.canvas.canvas.getBoundingClientRect();
            return [box.x + (node.pos[0] + node.size[0] / 2 + offset[0]) * scale, box.y + (node.pos[1] + widget.last_y + 10 + offset[1]) * scale] }""")  # fmt: skip
        page.mouse.click(x, y)


def open_editor(page):
    if page.locator(".visionsmith-labels").count():  # an earlier try left it
        page.evaluate("document.querySelector('.visionsmith-labels').close()")
    open_node(page)
    eventually(page, lambda: page.evaluate("app.graph.getNodeById(1)?.widgets.at(-1).label === 'Label pictures'"), "the button is there")  # fmt: skip
    press_button(page)
    settled(page)
    page.keyboard.press("b")
    page.keyboard.press("1")


def state(page):
    """What the line at the bottom says: its kind and its words."""
    return tuple(
        page.evaluate("""() => { const line = document.querySelector('.visionsmith-label-state');
            return line ? [line.dataset.kind ?? '', line.innerText] : ['closed', ''] }""")
    )  # in one look: the editor may close between two


def settled(page, kind=r"new|saved|changed|problem"):
    eventually(page, lambda: re.fullmatch(kind, state(page)[0] or ""), f"the editor says {kind}, not {state(page)}")


def title(page):
    return page.locator(".visionsmith-label-title").inner_text()


def at(page, x, y):
    """Where a place of the picture is on the screen."""
    box = page.locator(".visionsmith-label-picture").bounding_box()
    width = page.evaluate("document.querySelector('.visionsmith-label-picture').width")
    return box["x"] + x * box["width"] / width, box["y"] + y * box["width"] / width


def stroke(page, start, end, button="left"):
    """Draw along a row or a column, from the centre of a pixel to that of another."""
    page.mouse.move(*at(page, start[0] + 0.5, start[1] + 0.5))
    page.mouse.down(button=button)
    page.mouse.move(*at(page, end[0] + 0.5, end[1] + 0.5), steps=5)
    page.mouse.up(button=button)


def brush(mask, start, end, diameter, label):
    """The same by asking every pixel; the diameter is odd, the stroke straight along a row or a column."""
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    near_x = np.clip(x, *sorted((start[0], end[0])))
    near_y = np.clip(y, *sorted((start[1], end[1])))
    mask[4 * ((x - near_x) ** 2 + (y - near_y) ** 2) <= diameter**2] = label


def size(page, wanted):
    """Change the brush by its keys."""
    shown = lambda: int(page.locator(".visionsmith-label-slider output").first.inner_text().split()[0])  # noqa: E731
    for _ in range(60):
        if shown() == wanted:
            return
        page.keyboard.press("]" if shown() < wanted else "[")
    raise AssertionError(f"the brush never has {wanted} pixels")


def saved(folder, name):
    with Image.open(folder / "masks" / f"{name}.png") as picture:
        assert (picture.format, picture.mode) == ("PNG", "P")
        return np.asarray(picture)


def blank(width=WIDTH, height=HEIGHT):
    return np.zeros((height, width), np.uint8)


def grey(file):
    """The values of any mask file."""
    with Image.open(file) as picture:
        return np.asarray(picture)


def closed(page):
    """Wait until the editor is gone."""
    eventually(page, lambda: page.locator(".visionsmith-labels").count() == 0, "the editor is closed")
