"""What is told to the person who gave the command. `nn_layers.errors` has the same for nodes, but brings torch along."""


class ProvisioningError(ValueError):
    """What cannot be done as it was asked, in one sentence: what, what was found, what to do."""


class ManifestError(ProvisioningError):
    """A manifest that cannot be followed, or a machine that it does not fit."""


class PackError(ProvisioningError):
    """A workflow that cannot be packed, or a file that must not be unpacked."""
