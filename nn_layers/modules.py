"""Modules that torch.nn has no class for.

Each class stands alone: `export_python` copies the source of those a network uses into the file it writes, so nothing here may
lean on anything but torch (and timm, for `Backbone`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Merge(nn.Module):
    """Join tensors: element by element (with broadcasting), by concatenation along `dim`, or by matrix product."""

    def __init__(self, operation: str, dim: int = 1):
        super().__init__()
        self.operation, self.dim = operation, dim

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        if self.operation == "concat":
            return torch.cat((first, *others), self.dim)
        result = first
        for other in others:
            if self.operation in ("add", "mean"):
                result = result + other
            elif self.operation == "subtract":
                result = result - other
            elif self.operation == "multiply":
                result = result * other
            elif self.operation == "divide":
                result = result / other
            elif self.operation == "max":
                result = torch.maximum(result, other)
            else:
                result = result @ other
        return result / (1 + len(others)) if self.operation == "mean" else result


class Reshape(nn.Module):
    """[batch, ...] → [batch, *shape]; one entry of `shape` may be -1."""

    def __init__(self, *shape: int):
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], *self.shape)


class Permute(nn.Module):
    """Reorder the dimensions behind the batch; `dims` counts them from 0."""

    def __init__(self, *dims: int):
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, *(dim + 1 for dim in self.dims)).contiguous()


class Squeeze(nn.Module):
    """Drop the dimension `dim` (the batch is dimension 0) of size 1."""

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze(self.dim)


class Unsqueeze(nn.Module):
    """Insert a dimension of size 1 at `dim` (the batch is dimension 0)."""

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return x.unsqueeze(self.dim)


class GlobalPool(nn.Module):
    """[batch, channels, ...] → [batch, channels], or with `keep` [batch, channels, 1, ...]; by "average" or "max"."""

    def __init__(self, how: str, keep: bool = False):
        super().__init__()
        self.how, self.keep = how, keep

    def forward(self, x: Tensor) -> Tensor:
        dims = tuple(range(2, x.dim()))
        return x.mean(dims, keepdim=self.keep) if self.how == "average" else x.amax(dims, keepdim=self.keep)


class Attention(nn.Module):
    """Multi-head scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762), self or cross.

    Takes [batch, length, features], or a feature map [batch, features, height, width] whose positions become the sequence; the result
    has the shape of `query`.
    """

    def __init__(
        self,
        features: int,
        heads: int,
        context_features: int = 0,
        dropout: float = 0.0,
        bias: bool = True,
        causal: bool = False,
    ):
        super().__init__()
        context_features = context_features or features
        self.heads, self.dropout, self.causal = heads, dropout, causal
        self.to_query = nn.Linear(features, features, bias=bias)
        self.to_key = nn.Linear(context_features, features, bias=bias)
        self.to_value = nn.Linear(context_features, features, bias=bias)
        self.to_out = nn.Linear(features, features, bias=bias)

    def forward(self, query: Tensor, context: Tensor | None = None) -> Tensor:
        context = query if context is None else context
        x, y = (t.flatten(2).transpose(1, 2) if t.dim() == 4 else t for t in (query, context))
        q, k, v = (
            t.unflatten(2, (self.heads, -1)).transpose(1, 2)  # [batch, heads, length, features / heads]
            for t in (self.to_query(x), self.to_key(y), self.to_value(y))
        )
        dropout = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=self.causal)
        out = self.to_out(out.transpose(1, 2).flatten(2))
        return out.transpose(1, 2).reshape(query.shape) if query.dim() == 4 else out


class PositionEmbedding(nn.Module):
    """Add one learned vector per position to [batch, length, features] (Gehring et al. 2017, arXiv:1705.03122)."""

    def __init__(self, length: int, features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(length, features))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight


class Recurrent(nn.Module):
    """RNN, LSTM or GRU over [batch, length, features]; gives every step, or the last one (both directions' last) only."""

    def __init__(
        self,
        cell: str,
        features: int,
        hidden: int,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        last_only: bool = False,
    ):
        super().__init__()
        cells = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
        self.cell = cells[cell](
            features, hidden, layers, batch_first=True, bidirectional=bidirectional, dropout=dropout
        )
        self.last_only = last_only

    def forward(self, x: Tensor) -> Tensor:
        steps, _ = self.cell(x)
        if not self.last_only:
            return steps
        if not self.cell.bidirectional:
            return steps[:, -1]
        hidden = self.cell.hidden_size  # the backward direction ends at step 0
        return torch.cat((steps[:, -1, :hidden], steps[:, 0, hidden:]), 1)


class Frozen(nn.Module):
    """A module whose weights and running statistics never change, whatever `train()` says."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Frozen:
        return super().train(False)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.layer(*inputs)


class Backbone(nn.Module):
    """A timm model as a feature extractor.

    Args:
        model: timm's name of the model, such as ``resnet18``.
        in_channels: Channels of the incoming picture; pretrained first layers are adapted by timm.
        image_size: Height and width of the incoming picture, for models that fix it (vision transformers).
        pretrained: Fetch trained weights (downloads from the hub the first time).
        level: ``None`` gives pooled features [batch, features]; a number gives the feature map of that stage, -1 the last.
        freeze_stages: How many stages, the stem being the first, keep their weights and statistics; -1 freezes all.
    """

    def __init__(
        self,
        model: str,
        in_channels: int = 3,
        image_size: tuple[int, int] | None = None,
        pretrained: bool = False,
        level: int | None = None,
        freeze_stages: int = 0,
    ):
        super().__init__()
        import timm

        options = {"pretrained": pretrained, "in_chans": in_channels, "num_classes": 0}
        try:
            self.body = timm.create_model(model, img_size=image_size, **options)
        except TypeError:  # convolutional models take any size and have no such argument
            self.body = timm.create_model(model, **options)
        self.level, self.frozen = level, []
        if freeze_stages:
            self.frozen = self._freeze(freeze_stages)

    def _freeze(self, stages: int) -> list[nn.Module]:
        from timm.models import group_parameters

        if stages < 0:
            self.body.requires_grad_(False)
            return [self.body.eval()]
        groups = group_parameters(self.body, self.body.group_matcher(coarse=True))
        names = {name for group, members in sorted(groups.items())[:stages] for name in members}
        for name, parameter in self.body.named_parameters():
            if name in names:
                parameter.requires_grad_(False)
        return [
            module.eval()
            for module in self.body.modules()
            if not list(module.children())
            and (own := list(module.parameters()))
            and not any(parameter.requires_grad for parameter in own)
        ]

    def train(self, mode: bool = True) -> Backbone:
        super().train(mode)
        for module in self.frozen:  # a frozen BatchNorm must not move its running statistics
            module.train(False)
        return self

    def forward(self, x: Tensor) -> Tensor:
        if self.level is None:
            return self.body(x)
        return self.body.forward_intermediates(x, indices=[self.level], intermediates_only=True)[0]
