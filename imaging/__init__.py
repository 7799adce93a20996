"""Pictures before and after a network: masks, finding things, erasing them, repainting, backgrounds and captions."""
