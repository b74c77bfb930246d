"""The drawings of the page "How it works", for light and dark pages: python docs/assets/draw.py

tests/test_pages.py compares the files with what this draws.
"""

from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
CELL = 26


class Theme(NamedTuple):
    """Colours of a drawing."""

    text: str
    faint: str  # lines, and what is not known yet
    known: str
    accent: str
    other: str
    on: str  # text on accent


THEMES = {
    "light": Theme("#1f2328", "#9aa4b2", "#dbe4ee", "#c2410c", "#2563eb", "#ffffff"),
    "dark": Theme("#e6e9ef", "#6b7688", "#3a4658", "#fb923c", "#7cacf8", "#14171c"),
}


class Drawing:
    """Shapes of a picture of one theme."""

    def __init__(self, width: int, height: int, what: str, theme: Theme) -> None:
        self.theme = theme
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
            f'font-family="system-ui, sans-serif" font-size="14" fill="{theme.text}">',
            f"<title>{what}</title>",
        ]

    def box(self, x: float, y: float, w: float, h: float, fill: str = "none", line: str = "", width: float = 1) -> None:
        """A rectangle."""
        line = line or self.theme.faint
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" fill="{fill}" stroke="{line}" '
            f'stroke-width="{width:g}"/>'
        )

    def text(self, x: float, y: float, text: str, fill: str = "", anchor: str = "start", size: int = 14) -> None:
        """A line of text."""
        fill = fill or self.theme.text
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" fill="{fill}" text-anchor="{anchor}" font-size="{size}">{text}</text>'
        )

    def arrow(self, x0: float, y0: float, x1: float, y1: float, colour: str = "") -> None:
        """A straight arrow, along one of the axes."""
        colour = colour or self.theme.text
        right, down = (x1 > x0) - (x1 < x0), (y1 > y0) - (y1 < y0)
        back = (x1 - 8 * right, y1 - 8 * down)
        side = (4 * down, 4 * right)
        self.parts.append(
            f'<path d="M{x0:g} {y0:g}L{back[0]:g} {back[1]:g}" stroke="{colour}" stroke-width="1.5" fill="none"/>'
            f'<path d="M{x1:g} {y1:g}L{back[0] + side[0]:g} {back[1] + side[1]:g}L{back[0] - side[0]:g} '
            f'{back[1] - side[1]:g}Z" fill="{colour}"/>'
        )

    def end(self) -> str:
        """The file's text."""
        return "\n".join([*self.parts, "</svg>"]) + "\n"


# Offsets (dy, dx) of the neighbours that the default models use, FORMAT.md section 9.2.
OWN = (
    (0, -1), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, -2), (-2, -1), (-2, 1), (-2, 2), (-2, -2), (0, -3), (-3, 0),
    (-3, 1), (-1, -3), (-3, -1), (-2, 3), (-2, -3), (-3, 2), (0, -4), (-3, -2), (-1, 0),
)  # fmt: skip
OTHER = ((0, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1), (0, -2), (-1, 0))


def wavefront(theme: Theme) -> str:
    """Which pixels are coded together, and what one of them sees."""
    across, down, at = 13, 8, (4, 6)
    drawing = Drawing(790, 300, "Wavefronts of a tile, and the neighbours of one pixel", theme)
    front = at[1] + 2 * at[0]
    for left, title in ((20, "the plane that is coded"), (420, "a reference plane: known as a whole")):
        drawing.text(left, 22, title)
        for y in range(down):
            for x in range(across):
                u, offset = x + 2 * y, (y - at[0], x - at[1])
                reference = left > 100
                fill = theme.known if reference or u < front else "none"
                fill = theme.accent if u == front and not reference else fill
                seen = offset in (OTHER if reference else OWN)
                px, py = left + CELL * x, 34 + CELL * y
                drawing.box(px, py, CELL, CELL, theme.other if seen else fill)
                if not reference:
                    ink = theme.on if seen or u == front else theme.text if u < front else theme.faint
                    drawing.text(px + CELL / 2, py + 17.5, str(u), ink, "middle", 11)
        px, py = left + CELL * at[1], 34 + CELL * at[0]
        drawing.box(px + 1, py + 1, CELL - 2, CELL - 2, "none", theme.text, 3)
    y = 34 + CELL * down + 22
    for x, fill, text in (
        (20, theme.known, "known"),
        (110, theme.accent, "the wavefront that is coded now"),
        (370, "none", "not known yet"),
        (500, theme.other, "what the framed pixel is predicted from"),
    ):
        drawing.box(x, y, 14, 14, fill)
        drawing.text(x + 21, y + 12, text, size=13)
    return drawing.end()


def bitsback(theme: Theme) -> str:
    """The length of the message while an image is coded with a latent variable."""
    drawing = Drawing(790, 268, "Bits-back coding: the message becomes shorter, then longer", theme)
    left, high, step = 210, 30, 50
    rows = (
        ("the message so far", 200, 0, "", ""),
        ("pop z from q(z | x)", 140, 60, "taken back: -log q(z | x)", "away"),
        ("push x with p(x | z)", 140, 180, "added: -log p(x | z)", "more"),
        ("push z with p(z)", 320, 80, "added: -log p(z)", "more"),
    )
    for i, (what, stands, changes, note, kind) in enumerate(rows):
        y = 16 + step * i
        drawing.text(20, y + 20, f"{i}." if i else "", theme.faint)
        drawing.text(42, y + 20, what)
        drawing.box(left, y, stands, high, theme.known)
        if kind == "away":
            drawing.box(left + stands, y, changes, high, "none", theme.other, 2)
            drawing.text(left + stands + changes + 10, y + 20, note, theme.other)
        elif kind:
            drawing.box(left + stands, y, changes, high, theme.accent)
            drawing.text(left + stands + changes + 10, y + 20, note, theme.accent)
    y = 16 + step * 4
    drawing.text(42, y + 20, "what the image cost")
    drawing.box(left + 200, y, 200, high, theme.accent)
    drawing.parts.append(
        f'<path d="M{left + 200} 10V{y + high + 6}" stroke="{theme.text}" stroke-dasharray="4 4" fill="none"/>'
    )
    return drawing.end()


def message(theme: Theme) -> str:
    """Lanes with heads, and the tail that they share."""
    drawing = Drawing(790, 236, "The message: lanes with heads of 32 bits, one tail of bytes", theme)
    drawing.text(20, 24, "symbols of a block, one lane after the other")
    for i in range(12):
        x = 20 + 62 * i
        drawing.box(x, 36, 54, 28, theme.accent if i % 4 == 0 else theme.known)
        drawing.text(x + 27, 55, f"s{i}", theme.on if i % 4 == 0 else theme.text, "middle")
    drawing.arrow(47, 66, 47, 98, theme.accent)
    drawing.text(60, 88, "push: head = (head // freq) 2^16 + head mod freq + start", size=13)
    for lane in range(4):
        x = 20 + 190 * lane
        drawing.box(x, 102, 178, 32, "none", theme.accent if lane == 0 else theme.faint, 2 if lane == 0 else 1)
        drawing.text(x + 89, 123, f"head of lane {lane}, 32 bits", theme.text, "middle", 13)
    drawing.arrow(47, 136, 47, 168, theme.accent)
    drawing.text(60, 158, "a head that would overflow gives its lowest byte to the tail", size=13)
    for i in range(24):
        drawing.box(20 + 31 * i, 172, 27, 28, theme.known if i < 19 else "none")
    drawing.text(20, 224, "the tail: one stack of bytes for all lanes", size=13)
    drawing.text(20 + 31 * 19, 224, "its end", size=13)
    return drawing.end()


def chunk(theme: Theme) -> str:
    """The way of a chunk."""
    drawing = Drawing(790, 262, "From a chunk to a frame: every route is tried, the smallest counts", theme)
    drawing.box(20, 108, 110, 44, theme.known)
    drawing.text(75, 135, "array chunk", anchor="middle")
    routes = (
        ("planes", "numbers 0 .. m, least squares and a network"),
        ("JPEG", "coefficients of the file that it was"),
        ("model", "latents or flows, if such a model is named"),
        ("stored", "Zstandard, a constant, or plain bytes"),
    )
    spine, merge = 160, 620
    drawing.parts.append(f'<path d="M130 130H{spine}M{spine} 38V224" stroke="{theme.text}" stroke-width="1.5"/>')
    drawing.parts.append(f'<path d="M{merge} 38V224" stroke="{theme.text}" stroke-width="1.5"/>')
    for i, (name, how) in enumerate(routes):
        y = 16 + 62 * i
        drawing.arrow(spine, y + 22, 190, y + 22)
        drawing.box(190, y, 400, 44, "none", theme.accent if i == 0 else theme.faint, 1.5)
        drawing.text(204, y + 27, name, theme.accent if i == 0 else theme.text)
        drawing.text(274, y + 27, how, size=13)
        drawing.parts.append(f'<path d="M590 {y + 22}H{merge}" stroke="{theme.text}" stroke-width="1.5"/>')
    drawing.arrow(merge, 130, 650, 130)
    drawing.box(650, 108, 120, 44, theme.known)
    drawing.text(710, 127, "frame of the", anchor="middle", size=13)
    drawing.text(710, 144, "smallest", anchor="middle", size=13)
    return drawing.end()


def drawings() -> dict[str, str]:
    """Every file's name and text."""
    return {
        f"{draw.__name__}-{name}.svg": draw(theme)
        for draw in (chunk, wavefront, bitsback, message)
        for name, theme in THEMES.items()
    }


if __name__ == "__main__":
    for name, text in drawings().items():
        (HERE / name).write_text(text, encoding="utf-8")
