"""What all tests share."""

import sys

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """What tests compute is tiny: more threads only wait for each other, most of all where others work on the same cores.

    Torch is not imported for it: modules that need none of it, such as those of provisioning, run without.
    """
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
