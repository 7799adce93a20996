"""Drawings made to keep the server busy, as strangers could send them; each is allowed by every widget or beyond it."""


def node(type, /, **inputs):
    return {"class_type": f"Visionsmith{type}", "inputs": {key.replace("__", "."): v for key, v in inputs.items()}}


def picture(channels=3, side=224):
    return node("Input", kind="image", kind__channels=channels, kind__height=side, kind__width=side)


def sequence(length, features):
    return node("Input", kind="sequence", kind__length=length, kind__features=features)


def conv(source, channels=64, **more):
    settings = {"kernel_size": 3, "stride": 1, "padding": "same", "dilation": 1, "groups": 1, "bias": True}
    settings |= {"transposed": False, "padding_mode": "zeros", "out_channels": channels}
    return node("Conv", tensor=[source, 0], **settings | more)


def recurrent(source, hidden, layers=64):
    return node("Recurrent", tensor=[source, 0], type="LSTM", hidden_size=hidden, layers=layers, bidirectional=True, dropout=0.0, last_only=False)  # fmt: skip


def attention(source, heads=1):
    return node("Attention", tensor=[source, 0], heads=heads, dropout=0.0, causal=True, bias=True)


def backbone(source, model):
    return node("Backbone", tensor=[source, 0], model=model, pretrained=False, output="pooled", freeze="none")


def repeats(count, times=1000):
    """Repeats of what repeats: more layers than a network may have."""
    nodes = {"1": picture(4), "2": conv("1", 4)}
    for index in range(3, 3 + count):
        nodes[str(index)] = node("Repeat", start=["1", 0], end=[str(index - 1), 0], times=times)
    return nodes


HEAVY = {
    "recurrent layers": {"0": sequence(60_000, 64), **{str(i): recurrent("0", 100 + i) for i in range(1, 2000)}},
    "kernels": {"0": picture(4096, 400), **{str(i): conv("0", 65_536, kernel_size=1024, dilation=i) for i in range(1, 2000)}},
    "attention": {"0": picture(4096, 400), **{str(i): attention("0", 1 + i % 256) for i in range(1, 2000)}},
    "repeats": repeats(1000),
    "long repeats": {"1": picture(4), "2": conv("1", 4), **{str(i): node("Repeat", start=["1", 0], end=["2", 0], times=1000 - i % 900) for i in range(3, 2000)}},
    "unknown backbones": {"0": picture(), **{str(i): backbone("0", f"efficientnet_resnext_b{i}_patch") for i in range(1, 2000)}},
    "wide merges": {"0": picture(4096, 400), **{str(i): node("Merge", operation="concat", operation__dim=0, **{f"tensors__tensor{j}": ["0", 0] for j in range(32)}) for i in range(1, 500)}},
    "many sizes": {"0": picture(), **{str(i): node("View", tensor=["0", 0], type="reshape", type__sizes=", ".join("1" * 300)) for i in range(1, 1500)}},
}  # fmt: skip
"""Name → prompt; what each layer says does not matter, only that the server lives on."""
SLOW_BACKBONES = ("efficientnet_l2", "maxvit_xlarge_tf_512", "swinv2_cr_giant_224")
