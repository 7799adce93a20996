"""Segmentation: datasets of pictures with masks, training on windows, testing and using a network on pictures of any size."""
