"""The contact sheet of one page of a stack, drawn from its responses as they were written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gconv._cli.contact_sheet import Layout, draw_sheet
from gconv._cli.kernels import Bank
from gconv._cli.messages import printable
from gconv._cli.outputs import whole_file
from gconv._cli.stack.output import Output
from gconv._cli.stack.source import Source, has_scale
from gconv._cli.thumbnails import Thumbnails


def draw_page(
    source: Source, output: Output, bank: Bank, page: int, path: Path, *, force: bool
) -> None:
    """Draw the contact sheet of a page, whose chunks are all finished.

    Pages of three channels are shown in colour, of others the first channel. Samples that have
    no scale of their own, such as floating point ones, are shown on the page's range.
    """
    form = output.form
    channels = 3 if form.channels == 3 else 1
    count = output.kernels[0]
    size = form.width, form.height
    response = output.size[1], output.size[0]
    layout = Layout(channels, count, size, response)
    original = Thumbnails(channels, size, _of(layout.original))
    responses = Thumbnails(channels * count, response, _of(layout.panel(0, 0)))
    reader = source.reader(form.where(page), (1,) * len(form.pages))
    least, greatest = np.inf, -np.inf
    for band in range(output.bands):
        first, last = output.band(band)
        below = form.height if last == output.size[0] else last
        x = _finite(reader.read(first, below)[0, :channels])
        least, greatest = min(least, float(x.min())), max(greatest, float(x.max()))
        original.add(x)
        y = _finite(output.read(page, band)[:channels])
        responses.add(y.reshape(channels * count, *y.shape[2:]))
    picture = original.reduced()
    panels = responses.reduced().reshape(channels, count, *responses.reduced().shape[1:])
    if not has_scale(np.dtype(form.dtype)):
        # Everything here is linear, so the scale may come after the filters: black becomes 0,
        # of which kernel m makes black times the sum of its taps.
        scale = (greatest - least) or 1.0
        sums = bank.kernels.sum(axis=(1, 2), dtype=np.float64)[:, np.newaxis, np.newaxis]
        picture = ((picture - least) / scale).astype(np.float32)
        panels = ((panels - least * sums) / scale).astype(np.float32)
    name = f"{source.path.name}, {form.label(page)}"
    sheet = draw_sheet(printable(name), layout, picture, panels, bank, calls=output.bands)
    with whole_file(path, force=force) as file:
        sheet.save(file, format="PNG")


def _of(box: tuple[int, int, int, int]) -> tuple[int, int]:
    """Return width and height of a box."""
    return box[2] - box[0], box[3] - box[1]


def _finite(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return planes with zeros for what cannot be drawn."""
    return np.nan_to_num(planes, nan=0.0, posinf=0.0, neginf=0.0)
