"""Memory of a test on a large picture, in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[3] / "benchmarks" / "large_picture.py"


@pytest.mark.timeout(900)
@pytest.mark.slow  # looks at 17 million pixels through 484 windows
def test_a_picture_of_4096_pixels_needs_little_memory():
    done = subprocess.run([sys.executable, BENCHMARK, "small"], capture_output=True, text=True, check=True)
    used = float(re.search(r"takes ([\d.]+) GB", done.stdout)[1])
    assert 0.05 < used < 1.5, done.stdout
