"""SAM 3: find things by words, example boxes, points or a rough mask, and follow them through a video."""

from .engine import Engine, Found
from .model import Sam3, load
from .prompts import Box, Point, boxes_of, points_of
from .segment import segment
from .video import track

__all__ = ["Box", "Engine", "Found", "Point", "Sam3", "boxes_of", "load", "points_of", "segment", "track"]
