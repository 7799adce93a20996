"""Erasing what a mask covers: LaMa, or a fill that needs no model."""
