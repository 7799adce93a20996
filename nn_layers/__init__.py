"""A network as a drawing: symbolic tensors, the layer catalogue, the built network, its file format and its exports."""

from .backbone import Backbone
from .errors import InputError
from .layers import ACTIVATIONS, NORMALIZATIONS, Activation, Conv, Dropout, Linear, Normalization, Pooling, Upsample
from .network import INITIALIZERS, Network, Prepare, build, build_network
from .segmentation import ARCHITECTURES, Architecture, SegmentationModel, encoders_for
from .sequence import Attention, Embedding, Recurrent
from .shaping import OPERATIONS, VIEWS, Merge, View
from .spec import KINDS, NetworkSpec, embed, trace
from .storage import load_network, network_from_dict, network_to_dict, save_network, save_weights
from .tensor import Input, SymbolicTensor, apply, input_tensor, repeat

__all__ = [
    "ACTIVATIONS",
    "ARCHITECTURES",
    "INITIALIZERS",
    "KINDS",
    "NORMALIZATIONS",
    "OPERATIONS",
    "VIEWS",
    "Activation",
    "Architecture",
    "Attention",
    "Backbone",
    "Conv",
    "Dropout",
    "Embedding",
    "Input",
    "InputError",
    "Linear",
    "Merge",
    "Network",
    "NetworkSpec",
    "Normalization",
    "Pooling",
    "Prepare",
    "Recurrent",
    "SegmentationModel",
    "SymbolicTensor",
    "Upsample",
    "View",
    "apply",
    "build",
    "build_network",
    "embed",
    "encoders_for",
    "input_tensor",
    "load_network",
    "network_from_dict",
    "network_to_dict",
    "repeat",
    "save_network",
    "save_weights",
    "trace",
]
