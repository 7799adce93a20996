"""Formulas of the documentation as pictures inside the page: drawn by matplotlib while the site is built, so that a
reader's browser loads no script and no font for them.
"""

from __future__ import annotations

import html
import re
from functools import cache

from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import MathTextParser
from matplotlib.path import Path
from matplotlib.textpath import TextPath

SIZE = 18.0
"""Units of the drawing for one em."""
FONT = FontProperties(size=SIZE, math_fontfamily="stix")
MARKED = re.compile(r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL)
LETTERS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C", Path.CLOSEPOLY: "Z"}


def with_formulas(page: str) -> str:
    """HTML whose formulas, as the Markdown extension arithmatex marks them, are drawn.

    Raises:
        ValueError: A formula that matplotlib cannot read; the message shows where.
    """

    def drawn(found: re.Match[str]) -> str:
        tex = " ".join(html.unescape(found["tex"]).split())
        inside = svg(tex.replace(r"\frac", r"\dfrac") if found["tag"] == "div" else tex)
        return f'<{found["tag"]} class="formula">{inside}</{found["tag"]}>'

    return MARKED.sub(drawn, page)


@cache
def svg(tex: str) -> str:
    """A formula as an ``<svg>`` that is as large as the text around it, stands on its line and has its color.

    Args:
        tex: TeX without dollars, as far as matplotlib's mathtext knows it. It is also what a screen reader is told.
    """
    text = f"${tex}$"
    width, height, depth, _, _ = MathTextParser("path").parse(text, 72, FONT)
    outline = TextPath((0, 0), text, prop=FONT, size=SIZE)
    steps = (
        LETTERS[code] + " ".join(f"{-value if odd % 2 else value:.4g}" for odd, value in enumerate(points))
        for points, code in outline.iter_segments(simplify=False)
    )
    steps = (step[0] if step[0] == "Z" else step for step in steps)
    room = 0.5  # strokes on the edge are not cut
    box = f"{-room:g} {-(height - depth) - room:.4g} {width + 2 * room:.4g} {height + 2 * room:.4g}"
    return (
        f'<svg role="img" aria-label="{html.escape(tex)}" viewBox="{box}" fill="currentColor" style="width:'
        f"{(width + 2 * room) / SIZE:.3f}em;height:{(height + 2 * room) / SIZE:.3f}em;"
        f'vertical-align:{-(depth + room) / SIZE:.3f}em"><path d="{"".join(steps)}"/></svg>'
    )
