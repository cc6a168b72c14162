"""The contact sheet shows the original and every response, each in its place and on its scale."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import gconv
from gconv._cli.contact_sheet import CELL_WIDTH, Layout, draw_sheet
from gconv._cli.kernels import Bank, named_bank
from gconv._cli.thumbnails import Thumbnails

NAMES = [
    "identity",
    "Gaussian",
    "sharpen",
    "emboss",
    "Sobel x",
    "Sobel y",
    "Laplacian",
    "Laplacian of Gaussian",
    "Gabor 45°",
    "Gabor 135°",
]


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def drawn(name, picture, bank):
    """Draw a sheet of a whole picture; return its layout and the sheet."""
    responses = gconv.filter_bank(picture, bank.kernels)
    channels, kernels, height, width = responses.shape
    size = (picture.shape[2], picture.shape[1])
    layout = Layout(channels, kernels, size, (width, height))
    original = shrunk(picture, layout.original)
    thumbnails = shrunk(responses.reshape(-1, height, width), layout.panel(0, 0))
    thumbnails = thumbnails.reshape(channels, kernels, *thumbnails.shape[1:])
    return layout, draw_sheet(name, layout, original, thumbnails, bank)


def shrunk(planes, box):
    """Bring planes to the size of a box."""
    thumbnails = Thumbnails(
        len(planes), (planes.shape[2], planes.shape[1]), (box[2] - box[0], box[3] - box[1])
    )
    thumbnails.add(planes)
    return thumbnails.reduced()


def on_sheet(picture, bank):
    """Draw a sheet; return its layout and what it shows, (H, W, 3)."""
    layout, sheet = drawn("a picture", picture, bank)
    assert sheet.mode == "RGB"
    assert sheet.size == layout.size
    return layout, np.asarray(sheet)


def cut(sheet, box):
    left, upper, right, lower = box
    return sheet[upper:lower, left:right]


class TestNamedKernels:
    def test_there_are_ten_of_one_size_in_the_order_of_the_columns(self):
        bank = named_bank()
        assert list(bank.names) == NAMES
        assert bank.kernels.shape == (10, 7, 7)
        assert bank.kernels.dtype == np.float32

    def test_their_taps_sum_to_one_or_to_zero(self):
        sums = named_bank().kernels.sum(axis=(1, 2), dtype=np.float64)
        np.testing.assert_allclose(sums, [1] * 4 + [0] * 6, atol=1e-6)

    def test_they_say_which_keep_brightness(self):
        bank = named_bank()
        assert [bank.keeps_brightness(m) for m in range(10)] == [True] * 4 + [False] * 6

    def test_a_negative_sum_keeps_no_brightness(self):
        bank = Bank(-np.ones((1, 3, 3), np.float32), ("negative",))
        assert not bank.keeps_brightness(0)

    def test_sobel_is_positive_towards_the_right_and_downwards(self):
        kernels = dict(zip(NAMES, named_bank().kernels, strict=True))
        ramp = np.broadcast_to(np.arange(7, dtype=np.float32), (7, 7))
        assert np.sum(kernels["Sobel x"] * ramp) > 0
        assert np.sum(kernels["Sobel y"] * ramp) == 0
        assert np.sum(kernels["Sobel y"] * ramp.T) > 0

    def test_laplacian_of_gaussian_has_the_laplacian_s_sign(self):
        kernels = dict(zip(NAMES, named_bank().kernels, strict=True))
        y, x = np.mgrid[-3:4, -3:4]
        bowl = x**2 + y**2
        assert np.sum(kernels["Laplacian"] * bowl) > 0
        assert np.sum(kernels["Laplacian of Gaussian"] * bowl) > 0

    def test_a_gabor_kernel_answers_to_waves_along_its_angle(self):
        kernels = dict(zip(NAMES, named_bank().kernels, strict=True))
        y, x = np.mgrid[-3:4, -3:4]
        for degrees, other in ((45, 135), (135, 45)):
            angle = np.deg2rad(degrees)
            wave = np.cos(2 * np.pi / 4 * (x * np.cos(angle) - y * np.sin(angle)))
            along = np.sum(kernels[f"Gabor {degrees}°"] * wave)
            across = np.sum(kernels[f"Gabor {other}°"] * wave)
            assert along > 5 * abs(across)


class TestLayout:
    @pytest.mark.parametrize(
        ("channels", "kernels", "picture", "kernel"),
        [
            (3, 10, (600, 512), 7),  # landscape
            (3, 10, (512, 600), 7),  # portrait
            (1, 10, (512, 600), 7),
            (3, 1, (20, 20), 3),
            (3, 23, (64, 48), 5),  # three bands
            (3, 10, (4000, 40), 7),
            (3, 10, (40, 4000), 7),
            (1, 10, (7, 7), 7),
        ],
    )
    def test_every_panel_has_its_own_place(self, channels, kernels, picture, kernel):
        response = (picture[0] - kernel + 1, picture[1] - kernel + 1)
        layout = Layout(channels, kernels, picture, response)
        panels = [layout.panel(c, m) for c in range(channels) for m in range(kernels)]
        boxes = [layout.original, *panels]
        assert len(set(boxes)) == channels * kernels + 1
        for number, (left, upper, right, lower) in enumerate(boxes):
            assert 0 <= left < right <= layout.size[0]
            assert 0 <= upper < lower <= layout.size[1]
            assert not any(overlap(boxes[number], other) for other in boxes[:number])
        assert all(layout.original[2] < panel[0] for panel in panels)

    def test_a_row_for_each_channel_and_a_column_for_each_kernel(self):
        layout = Layout(3, 10, (512, 600), (506, 594))
        lefts = {tuple(layout.panel(c, m)[0] for m in range(10)) for c in range(3)}
        uppers = {tuple(layout.panel(c, m)[1] for c in range(3)) for m in range(10)}
        assert len(lefts) == len(uppers) == 1
        assert list(*lefts) == sorted(set(*lefts))
        assert list(*uppers) == sorted(set(*uppers))


class TestWhatIsShown:
    # So large that each response fills its panel pixel by pixel.
    picture = np.random.default_rng(0).random((3, 126, CELL_WIDTH + 6), dtype=np.float32)

    def test_identity_reproduces_each_channel(self):
        layout, sheet = on_sheet(self.picture, named_bank())
        for channel in range(3):
            expected = np.rint(self.picture[channel, 3:-3, 3:-3] * 255)
            shown = cut(sheet, layout.panel(channel, 0))
            for colour in range(3):  # as grey
                np.testing.assert_array_equal(shown[..., colour], expected)

    def test_kernels_that_keep_brightness_stand_on_the_picture_s_scale(self):
        bank = named_bank()
        layout, sheet = on_sheet(self.picture, bank)
        responses = gconv.filter_bank(self.picture, bank.kernels)
        for kernel in range(4):
            expected = np.rint(np.clip(responses[1, kernel], 0, 1) * 255)
            np.testing.assert_array_equal(cut(sheet, layout.panel(1, kernel))[..., 0], expected)

    def test_zero_sum_kernels_are_symmetric_about_grey_up_to_the_99th_percentile(self):
        bank = named_bank()
        layout, sheet = on_sheet(self.picture, bank)
        responses = gconv.filter_bank(self.picture, bank.kernels)
        for kernel in range(4, 10):
            response = responses[2, kernel]
            limit = np.percentile(np.abs(response), 99)
            expected = 127.5 + 127.5 * np.clip(response / limit, -1, 1)
            shown = cut(sheet, layout.panel(2, kernel))[..., 0]
            np.testing.assert_allclose(shown, expected, atol=0.51)

    def test_a_larger_sum_is_divided_by_itself(self):
        bank = Bank(np.ones((1, 7, 7), np.float32), ("box",))
        mean = Bank(bank.kernels / np.float32(49), ("mean",))
        np.testing.assert_allclose(
            on_sheet(self.picture, bank)[1].astype(int),
            on_sheet(self.picture, Bank(mean.kernels, bank.names))[1].astype(int),
            atol=1,
        )

    def test_a_flat_picture_is_flat_everywhere(self):
        bank = named_bank()
        layout, sheet = on_sheet(np.full((3, 40, 40), 0.7, np.float32), bank)
        for kernel in range(10):
            shown = cut(sheet, layout.panel(1, kernel)).astype(int)
            grey = 178 if bank.keeps_brightness(kernel) else 128
            assert abs(shown - grey).max() <= (2 if kernel < 4 else 20)

    def test_the_original_is_in_colour_and_upright(self):
        picture = np.zeros((3, 60, 90), np.float32)
        picture[0, :30] = 1  # red above, blue below
        picture[2, 30:] = 1
        layout, sheet = on_sheet(picture, named_bank())
        shown = cut(sheet, layout.original)
        middle = shown.shape[1] // 2
        assert tuple(shown[2, middle]) == (255, 0, 0)
        assert tuple(shown[-3, middle]) == (0, 0, 255)
        assert shown.shape[1] / shown.shape[0] == pytest.approx(90 / 60, rel=0.02)

    def test_the_original_of_a_grey_picture_is_grey(self):
        layout, sheet = on_sheet(self.picture[:1], named_bank())
        shown = cut(sheet, layout.original)
        assert np.ptp(shown.astype(int), axis=2).max() == 0

    def test_a_tiny_picture_shows_its_pixels(self):
        picture = np.random.default_rng(1).random((3, 8, 9), dtype=np.float32)
        layout, sheet = on_sheet(picture, named_bank())
        shown = cut(sheet, layout.panel(0, 0))[..., 0]
        assert set(np.unique(shown)) == set(np.rint(picture[0, 3:5, 3:6] * 255).ravel())

    def test_every_column_is_titled_by_ink_above_it(self):
        layout, sheet = on_sheet(self.picture, named_bank())
        for kernel in range(10):
            left, upper, right, _ = layout.cell(0, kernel)
            title = sheet[upper - 130 : upper - 66, left:right]
            assert (title < 100).any(), NAMES[kernel]

    def test_names_of_any_length_fit(self):
        bank = Bank(named_bank().kernels[:1], ("a kernel " + "with a very long name " * 9,))
        _, sheet = drawn("p" * 500, self.picture, bank)
        margin = np.asarray(sheet)[:, -20:]
        assert (margin == 255).all()

    def test_the_same_picture_has_the_same_sheet(self):
        first, second = (on_sheet(self.picture, named_bank())[1] for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_a_large_picture_is_shown_small(self):
        picture = np.asarray(Image.effect_noise((700, 500), 50), np.float32)[
            np.newaxis
        ] / np.float32(255)
        layout, _ = on_sheet(picture, named_bank())
        assert layout.panel(0, 0)[2] - layout.panel(0, 0)[0] == CELL_WIDTH
