"""The types that travel on Visionsmith's wires; everything else on a wire is ComfyUI's own type."""

from comfy_api.latest import io

Tensor = io.Custom("VISIONSMITH_TENSOR")
NetworkWire = io.Custom("VISIONSMITH_NETWORK")
DatasetWire = io.Custom("VISIONSMITH_DATASET")
LossWire = io.Custom("VISIONSMITH_LOSS")
OptimizerWire = io.Custom("VISIONSMITH_OPTIMIZER")
TransformWire = io.Custom("VISIONSMITH_TRANSFORM")
RunWire = io.Custom("VISIONSMITH_RUN")
ReportWire = io.Custom("VISIONSMITH_REPORT")
