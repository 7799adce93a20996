"""What stands behind the menu files: types of wires, widgets, what several nodes do alike."""
