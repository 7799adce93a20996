"""Editing real pictures with Stable Diffusion: inversion, Prompt-to-Prompt, and edits that follow a reference."""
