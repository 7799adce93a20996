"""Removing three small objects from a 3840 × 2160 picture against running the same network on the whole picture.

The network is LaMa at its true width with random weights; the whole picture takes about two minutes of one core, and 9 GB. Where that
is too much, ``--part 3`` runs a third of its width and height and takes time and memory nine times: convolutions grow with the number
of pixels, and Fourier transforms a little faster, so this is rather too little. Each way runs in a process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import torch
from visionsmith.imaging.erase import EraseSettings, LaMa, erase

HEIGHT, WIDTH = 2160, 3840
OBJECTS = ((300, 400), (1500, 900), (900, 3000))  # top left corners, pixels
SIZE = 96


def scene(part: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture and the mask of three objects in it, or of its upper left part one."""
    image, mask = torch.rand(1, HEIGHT // part, WIDTH // part, 3), torch.zeros(1, HEIGHT // part, WIDTH // part)
    for top, left in OBJECTS:
        mask[:, top : top + SIZE, left : left + SIZE] = 1
    return image, mask


def measure(width: int, whole: bool, part: int) -> tuple[float, float]:
    """Seconds, and MB of memory at the peak beyond those of picture and network; of the whole picture, if a part of it was run."""
    part = part if whole else 1
    from spandrel.architectures.LaMa.__arch.LaMa import FFCResNetGenerator

    torch.manual_seed(0)
    generator = FFCResNetGenerator(4, 3, ngf=width).eval()
    fill = LaMa(lambda picture, hole: generator(picture * (1 - hole), hole), limit=0)
    image, mask = scene(part)
    erase(image[:, :64, :64], mask[:, :64, :64] + 1, fill)  # warm up
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    settings = EraseSettings(trigger=max(HEIGHT, WIDTH)) if whole else EraseSettings()
    result = erase(image, mask, fill, settings)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kept = result.changed == 0
    assert torch.equal(result.images[kept], image[kept])
    return seconds * part**2, (peak - before) / 1024 * part**2


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=64, help="channels of the first layer; 64 is LaMa's own")
    parser.add_argument("--part", type=int, default=1, help="3: a third of each side instead of the whole picture")
    parser.add_argument("--measure", choices=["whole", "holes"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.width, options.measure == "whole", options.part)))
        sys.exit()
    command = [sys.executable, __file__, "--width", str(options.width), "--part", str(options.part), "--measure"]
    (fast, small), (slow, large) = (
        json.loads(subprocess.run([*command, way], capture_output=True, text=True, check=True).stdout)
        for way in ("holes", "whole")
    )
    named = "LaMa" if options.width == 64 else f"LaMa at width {options.width} of 64"
    how = "" if options.part == 1 else f", {options.part**2} times that of a part"
    print(
        f"erase, {named}: three objects of {SIZE}² in 3840 × 2160 take 1/{slow / fast:.1f} of the time of the whole picture (at most 1/6; "
        f"{fast:.1f} s and {slow:.0f} s{how}) and 1/{large / small:.1f} of its memory (at most 1/4; {small:.0f} MB and {large:.0f} MB)"
    )
