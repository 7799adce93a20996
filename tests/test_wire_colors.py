"""The colours of our wires stand out and can be told apart, from each other and from ComfyUI's, by people with any colour vision."""

import re
from itertools import combinations

import numpy as np
import pytest

from .test_help import REPOSITORY, SCHEMAS, help_tables

TEXT = (REPOSITORY / "web" / "wires.mjs").read_text(encoding="utf-8")
WIRES = {
    name: {"dark": dark, "light": light}
    for name, dark, light in re.findall(r'(VISIONSMITH_\w+): \{ dark: "(#\w{6})", light: "(#\w{6})" \}', TEXT)
}
COMFYUI = {  # the palettes "dark" and "light" of its front end, and what it paints other types with
    "dark": "#FFD500 #A8DADC #ad7452 #FFA931 #6EE7B7 #64B5F6 #FF9CF9 #81C784 #B39DDB #C2FFAE #FF6E6E #66FFFF #ECB4B4 #CDFFCD #DCC274 #999999",
    "light": "#FFA726 #5C6BC0 #8D6E63 #EF5350 #66BB6A #42A5F5 #AB47BC #9CCC65 #7E57C2 #D4E157 #FF7043 #66FFFF #ECB4B4 #CDFFCD #DCC274 #999999",
}
GROUND = {"dark": "#353535", "light": "#d9d9d9"}
"""The lightest that a dark theme, the darkest that the light theme draws sockets on."""
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
BLINDNESS = {  # Machado et al. 2009, severity 1.0, on linear RGB
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def linear(color):
    """Linear RGB of "#rrggbb"."""
    c = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(first, second):
    """WCAG 2's ratio."""
    low, high = sorted(float(linear(color) @ XYZ[1]) for color in (first, second))
    return (high + 0.05) / (low + 0.05)


def seen(color, blindness=None):
    """CIE Lab as somebody sees it."""
    rgb = linear(color)
    if blindness:
        rgb = np.clip(np.array(BLINDNESS[blindness]) @ rgb, 0, 1)
    x, y, z = XYZ @ rgb / (0.95047, 1, 1.08883)
    fx, fy, fz = (np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def difference(first, second, blindness=None):
    """CIEDE2000 (Sharma et al. 2005), all weights 1."""
    (l1, a1, b1), (l2, a2, b2) = seen(first, blindness), seen(second, blindness)
    mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * np.sqrt(mean**7 / (mean**7 + 25.0**7))
    c1, c2 = np.hypot(a1 * stretch, b1), np.hypot(a2 * stretch, b2)
    h1, h2 = (np.degrees(np.arctan2(b, a * stretch)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = (h2 - h1 + 180) % 360 - 180
    hue = (h1 + turn / 2) % 360
    c, lightness = (c1 + c2) / 2, (l1 + l2) / 2
    t = 1 - 0.17 * _cos(hue - 30) + 0.24 * _cos(2 * hue) + 0.32 * _cos(3 * hue + 6) - 0.2 * _cos(4 * hue - 63)
    dl = (l2 - l1) / (1 + 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2))
    dc = (c2 - c1) / (1 + 0.045 * c)
    dh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * c * t)
    rotation = -2 * np.sqrt(c**7 / (c**7 + 25.0**7)) * np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2))))
    return float(np.sqrt(dl**2 + dc**2 + dh**2 + rotation * dc * dh))


def _cos(degrees):
    return np.cos(np.radians(degrees))


def test_the_measure_is_ciede2000():
    assert difference("#000000", "#ffffff") == pytest.approx(100, abs=0.01)
    assert difference("#ff0000", "#00ff00") == pytest.approx(86.61, abs=0.05)  # Lindbloom's calculator
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_every_wire_of_ours_has_a_colour():
    types = {wire for schema in SCHEMAS.values() for wire in wires_of(schema) if wire.startswith("VISIONSMITH_")}

    assert types <= set(WIRES), "choose a colour in web/wires.mjs"


def wires_of(schema):
    """Types of the sockets of a node, also of those inside choices and of growing ones."""
    stack = [*schema.inputs, *schema.outputs]
    while stack:
        entry = stack.pop()
        match entry:
            case help_tables.io.DynamicCombo.Input():
                stack += [inner for option in entry.options for inner in option.inputs]
            case help_tables.io.Autogrow.Input():
                stack.append(entry.template.input)
            case _:
                yield from entry.get_io_type().split(",")


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_they_stand_out_and_can_be_told_apart(theme):
    ours = {name: colors[theme] for name, colors in WIRES.items()}
    for name, color in ours.items():
        assert contrast(color, GROUND[theme]) >= 3, name  # WCAG 2.2, 1.4.11: graphical objects
        for other in COMFYUI[theme].split():
            assert difference(color, other) >= 9, (name, other)
    for first, second in combinations(ours, 2):
        assert difference(ours[first], ours[second]) >= 10, (first, second)
        for blindness in BLINDNESS:
            assert difference(ours[first], ours[second], blindness) >= 7, (first, second, blindness)


def test_every_node_is_found_by_other_words():
    for node_id, schema in SCHEMAS.items():
        aliases = {alias.casefold() for alias in schema.search_aliases or []} - {schema.display_name.casefold()}
        assert len(aliases) >= 2, f"{node_id}: what else would somebody search for?"
