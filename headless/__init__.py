"""Runs a workflow in API format with no ComfyUI installed: the `visionsmith` command."""
