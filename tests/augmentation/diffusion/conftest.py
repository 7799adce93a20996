"""Models for the tests of this folder, each loaded once."""

import pytest

pytest.importorskip("diffusers", reason="needs the extra diffusion")

from visionsmith.augmentation.diffusion.load import load_model, model_of
from visionsmith.imaging.stable_diffusion import StableDiffusion

from .tiny import cracked, random_pipeline, trained


@pytest.fixture(scope="session")
def tiny():
    """tiny-sd, trained on crack, scratch, rust, peeling and plain."""
    folder = trained()
    if folder is None:
        pytest.skip("no models/tiny-sd in VISIONSMITH_SHARED or in a folder `shared` beside the repository")
    return load_model(folder)


@pytest.fixture(scope="session")
def first():
    """SD 1.x with random weights."""
    return model_of(StableDiffusion("random", random_pipeline()), "random")


@pytest.fixture(scope="session")
def xl():
    """SDXL with random weights."""
    return model_of(StableDiffusion("random xl", random_pipeline(xl=True)), "random xl")


@pytest.fixture(scope="session")
def crack():
    """A picture [32, 32, 3] and its mask."""
    return cracked()
