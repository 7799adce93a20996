"""Masks: merging, refining, taking apart, measuring, and what they are exchanged as.

A mask is float32 [batch, height, width] in 0..1, on any device; no function changes what it is handed.
"""

from .batches import checked_images, checked_masks, colours, fit_masks, paired
from .difference import difference_mask
from .edges import blurred, grown, shrunk, smoothed
from .labels import label_map, masks_of_labels
from .merge import OPERATIONS, merge_masks
from .objects import MaskObject, fill_holes, find_objects, keep_objects, split_masks
from .refine import Refinement, refine_masks
from .statistics import MaskStatistics, mask_statistics

__all__ = [
    "OPERATIONS",
    "MaskObject",
    "MaskStatistics",
    "Refinement",
    "blurred",
    "checked_images",
    "checked_masks",
    "colours",
    "difference_mask",
    "fill_holes",
    "find_objects",
    "fit_masks",
    "grown",
    "keep_objects",
    "label_map",
    "mask_statistics",
    "masks_of_labels",
    "merge_masks",
    "paired",
    "refine_masks",
    "shrunk",
    "smoothed",
    "split_masks",
]
