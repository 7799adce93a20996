"""More defects from few: pasted, drawn by a procedure, or edited by a diffusion model, each with its mask and its class."""
