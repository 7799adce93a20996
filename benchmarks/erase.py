"""Removing three small objects from a 3840 × 2160 picture against running the same network on the whole picture.

The network is LaMa with random weights; ``--width 64`` is its true width (minutes and about 10 GB for the whole picture), the
default is an eighth of it, which leaves both ratios to the same code. Each way runs in a process of its own.
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


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """A picture and the mask of three objects in it."""
    image, mask = torch.rand(1, HEIGHT, WIDTH, 3), torch.zeros(1, HEIGHT, WIDTH)
    for top, left in OBJECTS:
        mask[:, top : top + SIZE, left : left + SIZE] = 1
    return image, mask


def measure(width: int, whole: bool) -> tuple[float, float]:
    """Seconds, and MB of memory at the peak beyond those of picture and network."""
    from spandrel.architectures.LaMa.__arch.LaMa import FFCResNetGenerator

    torch.manual_seed(0)
    generator = FFCResNetGenerator(4, 3, ngf=width).eval()
    fill = LaMa(lambda picture, hole: generator(picture * (1 - hole), hole), limit=0)
    image, mask = scene()
    erase(image[:, :64, :64], mask[:, :64, :64] + 1, fill)  # warm up
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    settings = EraseSettings(trigger=max(HEIGHT, WIDTH)) if whole else EraseSettings()
    result = erase(image, mask, fill, settings)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kept = result.changed == 0
    assert torch.equal(result.images[kept], image[kept])
    return seconds, (peak - before) / 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=8, help="channels of the first layer; 64 is LaMa's own")
    parser.add_argument("--measure", choices=["whole", "holes"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.width, options.measure == "whole")))
        sys.exit()
    command = [sys.executable, __file__, "--width", str(options.width), "--measure"]
    (fast, small), (slow, large) = (
        json.loads(subprocess.run([*command, way], capture_output=True, text=True, check=True).stdout)
        for way in ("holes", "whole")
    )
    named = "LaMa" if options.width == 64 else f"LaMa at width {options.width} of 64"
    print(
        f"erase, {named}: three objects of {SIZE}² in 3840 × 2160 take 1/{slow / fast:.1f} of the time of the whole picture (at most 1/6; "
        f"{fast:.1f} s and {slow:.1f} s) and 1/{large / small:.1f} of its memory (at most 1/4; {small:.0f} MB and {large:.0f} MB)"
    )
