"""``python provisioning …`` in the package's folder, from wherever that is; see `cli`."""

import sys
from pathlib import Path

if __package__:
    from .cli import main
else:  # run as a folder: Python put this folder on its path, and the package's is wanted
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from provisioning.cli import main

if __name__ == "__main__":
    sys.exit(main())
