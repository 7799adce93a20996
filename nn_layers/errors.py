"""The one exception that speaks to the person at the canvas."""


class InputError(ValueError):
    """Bad input, told in one sentence: which input, what was found, what to do about it."""
