"""The contact sheet: the original, then a row for each channel and a column for each kernel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gconv._cli.kernels import Bank
from gconv._cli.matplotlib_data import matplotlib_data

# Pixels of the sheet. A README shows it at two fifths of its size, titles at 10 pixels.
CELL_WIDTH = 156
CELL_HEIGHT_LEAST, CELL_HEIGHT_MOST = 76, 208  # least: room for the row's label
GAP = 8
MARGIN = 28
LABEL_WIDTH = 44
TEXT = 24  # points of a title
LINE_HEIGHT = 28
HEADER_HEIGHT = 48
ICON = 49  # seven pixels for each tap of the named kernels
COLUMNS_HEIGHT = 2 * LINE_HEIGHT + 6 + ICON + GAP  # a title of two lines, an icon
BAND_GAP = 32
COLUMNS = 10  # of a band; more kernels than these go on in a further band below

BACKGROUND = "#ffffff"
INK = "#1f2328"
FAINT = "#59636e"
FRAME = "#d0d7de"
ROWS = {
    1: (("grey", "#59636e"),),
    3: (("red", "#cf222e"), ("green", "#1a7f37"), ("blue", "#0969da")),
}

Box = tuple[int, int, int, int]  # left, upper, right, lower


@dataclass(frozen=True)
class Layout:
    """Where everything stands on a sheet.

    Attributes
    ----------
    channels, kernels : int
        Rows of a band; panels of a row, all bands taken together.
    picture, response : (int, int)
        Width and height of the picture, and of one response.
    """

    channels: int
    kernels: int
    picture: tuple[int, int]
    response: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the sheet."""
        right = self.cell(0, min(self.kernels, COLUMNS) - 1)[2]
        lower = self.cell(self.channels - 1, self.kernels - 1)[3]
        return right + MARGIN, lower + MARGIN

    @property
    def original(self) -> Box:
        """The picture itself: as high as all the rows of the first band together."""
        width, height = _fit(self.picture, (4 * CELL_WIDTH, self._rows_height))
        left = MARGIN + max(0, CELL_WIDTH - width) // 2  # room for its title
        upper = MARGIN + HEADER_HEIGHT + COLUMNS_HEIGHT + (self._rows_height - height) // 2
        return left, upper, left + width, upper + height

    def cell(self, channel: int, kernel: int) -> Box:
        """Return the room for one response."""
        band, column = divmod(kernel, COLUMNS)
        left = max(self.original[2], MARGIN + CELL_WIDTH) + LABEL_WIDTH
        left += column * (CELL_WIDTH + GAP)
        upper = MARGIN + HEADER_HEIGHT + COLUMNS_HEIGHT + channel * (self._cell_height + GAP)
        upper += band * (self._rows_height + BAND_GAP + COLUMNS_HEIGHT)
        return left, upper, left + CELL_WIDTH, upper + self._cell_height

    def panel(self, channel: int, kernel: int) -> Box:
        """Return the box that one response fills, in the middle of its cell."""
        left, upper, right, lower = self.cell(channel, kernel)
        width, height = _fit(self.response, (right - left, lower - upper))
        left += (right - left - width) // 2
        upper += (lower - upper - height) // 2
        return left, upper, left + width, upper + height

    @property
    def _cell_height(self) -> int:
        width, height = self.response
        return min(max(round(CELL_WIDTH * height / width), CELL_HEIGHT_LEAST), CELL_HEIGHT_MOST)

    @property
    def _rows_height(self) -> int:
        return self.channels * (self._cell_height + GAP) - GAP


def draw_sheet(
    name: str,
    layout: Layout,
    original: NDArray[np.float32],
    responses: NDArray[np.float32],
    bank: Bank,
    *,
    calls: int = 1,
) -> Image.Image:
    """Draw the contact sheet of one picture.

    Parameters
    ----------
    name : str
        What to call the picture.
    layout : Layout
        Where everything stands; its boxes have the sizes of the thumbnails.
    original : ndarray of float32, shape (C, height, width)
        The picture's thumbnail, on a scale from 0 to 1; C is 1 or 3.
    responses : ndarray of float32, shape (C, M, height, width)
        Thumbnails of what the bank made of it.
    bank : Bank
        The M kernels.
    calls : int, default 1
        In how many calls it was made.

    Returns
    -------
    PIL.Image.Image
        The sheet, in RGB.
    """
    channels, kernels = responses.shape[:2]
    sheet = Image.new("RGB", layout.size, BACKGROUND)
    draw = ImageDraw.Draw(sheet)

    _write_header(draw, layout, name, bank, "one call" if calls == 1 else f"{calls} calls")
    box = layout.original
    planes = [_to_grey(plane) for plane in original]
    _paste_framed(sheet, Image.merge("RGB", planes * (3 // channels)), box)
    title = (MARGIN, box[1], max(box[2], MARGIN + CELL_WIDTH), box[3])
    _write_title(draw, "original", title, above=GAP)

    for kernel in range(kernels):
        top = layout.cell(0, kernel)
        _write_title(draw, bank.names[kernel], top, above=ICON + 2 * GAP)
        _draw_kernel(sheet, bank.kernels[kernel], top)
        tone = _on_own_scale if bank.keeps_brightness(kernel) else _symmetric
        for channel in range(channels):
            tones = tone(responses[channel, kernel], bank.kernels[kernel])
            _paste_framed(sheet, _to_grey(tones), layout.panel(channel, kernel))

    for first in range(0, kernels, COLUMNS):
        for channel, (label, colour) in enumerate(ROWS[channels]):
            _write_row_label(sheet, label, colour, layout.cell(channel, first))
    return sheet


def _symmetric(response: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Map zero to mid grey, plus and minus the 99th percentile of the magnitude to 1 and 0."""
    # A flat picture answers with rounding errors: those are not worth showing.
    rounding = 1e-6 * np.abs(kernel).sum()
    scale = max(np.percentile(np.abs(response), 99), rounding) or 1.0
    return 0.5 + 0.5 * (response / np.float32(scale))


def _on_own_scale(
    response: NDArray[np.float32], kernel: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Leave the picture's scale as it is; taps that add up to more than one are divided by it."""
    return response / np.float32(max(1.0, kernel.sum()))


def _to_grey(tones: NDArray[np.float32]) -> Image.Image:
    """Turn tones from 0 to 1 into an 8-bit picture, cutting off what is outside."""
    return Image.fromarray(np.rint(np.clip(tones, 0, 1) * 255).astype(np.uint8))


def _paste_framed(sheet: Image.Image, picture: Image.Image, box: Box) -> None:
    """Paste a picture, with a hairline around it that keeps white apart from the paper."""
    left, upper, right, lower = box
    ImageDraw.Draw(sheet).rectangle((left - 1, upper - 1, right, lower), outline=FRAME)
    sheet.paste(picture, box)


def _draw_kernel(sheet: Image.Image, kernel: NDArray[np.float32], cell: Box) -> None:
    """Draw the kernel's taps over its column: grey is zero, white the greatest."""
    height, width = kernel.shape
    width, height = _fit((width, height), (ICON, ICON))
    left = (cell[0] + cell[2] - width) // 2
    upper = cell[1] - GAP - height
    scale = np.float32(2 * np.abs(kernel).max() or 1)
    method = Image.Resampling.NEAREST if width > kernel.shape[1] else Image.Resampling.LANCZOS
    taps = Image.fromarray(0.5 + kernel / scale).resize((width, height), method)
    _paste_framed(sheet, _to_grey(np.asarray(taps)), (left, upper, left + width, upper + height))


def _write_header(
    draw: ImageDraw.ImageDraw, layout: Layout, name: str, bank: Bank, calls: str
) -> None:
    """Write the picture's name and what was done to it, as much of it as there is room for."""
    right = layout.size[0] - MARGIN
    bold, plain = _font(TEXT + 3, "Bold"), _font(TEXT)
    _, height, width = bank.kernels.shape
    y = MARGIN + LINE_HEIGHT // 2
    name = _shorten(name, bold, right - MARGIN)
    draw.text((MARGIN, y), name, INK, bold, anchor="lm")
    left = MARGIN + bold.getlength(name) + 28
    done = (
        f"channels = groups = {layout.channels}  ·  "
        f"kernels = {layout.kernels} of {height} × {width}  ·  "
        f"output channels = {layout.channels * layout.kernels}  ·  {calls}"
    )
    if left + plain.getlength(done) <= right:
        draw.text((left, y), done, FAINT, plain, anchor="lm")


def _write_title(draw: ImageDraw.ImageDraw, title: str, box: Box, *, above: int) -> None:
    """Write a title, in two lines at most, centred and so many pixels above a box."""
    font = _font(TEXT)
    width = box[2] - box[0] + GAP
    lines = [""]
    for word in title.split():
        longer = f"{lines[-1]} {word}".strip()
        if len(lines) == 2 or font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    middle = (box[0] + box[2]) // 2
    for number, line in enumerate(reversed(lines)):
        y = box[1] - above - number * LINE_HEIGHT
        draw.text((middle, y), _shorten(line, font, width), INK, font, anchor="md")


def _write_row_label(sheet: Image.Image, label: str, colour: str, cell: Box) -> None:
    """Write a label that reads upwards to the left of a row."""
    font = _font(TEXT)
    mask = Image.new("L", (cell[3] - cell[1], LINE_HEIGHT), 0)
    ImageDraw.Draw(mask).text((mask.width // 2, LINE_HEIGHT // 2), label, 255, font, anchor="mm")
    mask = mask.rotate(90, expand=True)
    sheet.paste(colour, (cell[0] - GAP - LINE_HEIGHT, cell[1]), mask)


def _shorten(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """Return the text, cut with an ellipsis where it is wider than that."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def _fit(size: tuple[int, int], room: tuple[int, int]) -> tuple[int, int]:
    """Return the largest size of the same proportions that fits, at least one pixel each way."""
    scale = min(room[0] / size[0], room[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@cache
def _font(size: int, style: str = "") -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which Matplotlib brings along, so that sheets look alike everywhere."""
    file = f"DejaVuSans{style and '-' + style}.ttf"
    path = matplotlib_data("fonts", "ttf", file)
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
