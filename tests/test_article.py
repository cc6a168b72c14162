"""The cases of the article that the project started from, each under its own name."""

import math

import numpy as np
import pytest
from arrays import integers
from oracles import oracle
from tolerance import assert_right

import gconv


def test_case_1_one_group_is_the_full_sum_over_input_channels(isa, dtype, rng):
    x, weight = integers(rng, (2, 6, 9, 11), dtype), integers(rng, (4, 6, 3, 3), dtype)
    want = sum(gconv.conv2d(x[:, [channel]], weight[:, [channel]]) for channel in range(x.shape[1]))
    got = gconv.conv2d(x, weight, groups=1)
    np.testing.assert_array_equal(got, want)
    assert_right(got, x, weight)


@pytest.mark.parametrize("groups", [k for k in range(2, 13) if math.gcd(12, 24) % k == 0])
def test_case_2_groups_are_convolutions_side_by_side(isa, dtype, rng, groups):
    x = integers(rng, (2, 12, 9, 11), dtype)
    weight = integers(rng, (24, 12 // groups, 3, 3), dtype)
    halves = zip(np.split(x, groups, axis=1), np.split(weight, groups), strict=True)
    want = np.concatenate([gconv.conv2d(one, its, padding=1) for one, its in halves], axis=1)
    got = gconv.conv2d(x, weight, padding=1, groups=groups)
    np.testing.assert_array_equal(got, want)
    assert_right(got, x, weight, padding=1, groups=groups)


def test_case_3_three_channels_each_with_its_own_three_filters(isa, dtype, rng):
    x, weight = integers(rng, (1, 3, 64, 64), dtype), integers(rng, (9, 1, 3, 3), dtype)
    got = gconv.conv2d(x, weight, padding=1, groups=3)
    assert got.shape == (1, 9, 64, 64)
    signal = oracle("scipy.signal")
    for o in range(9):
        want = signal.correlate2d(x[0, o // 3], weight[o, 0], mode="same")
        np.testing.assert_array_equal(got[0, o], want, err_msg=f"output channel {o}")


@pytest.mark.parametrize(("channels", "filters"), [(12, 18), (8, 8), (7, 5), (1, 6), (16, 40)])
def test_case_4_every_divisor_of_both_counts_is_a_group_count_and_nothing_else(
    dtype, rng, channels, filters
):
    x = integers(rng, (1, channels, 4), dtype)
    for groups in range(1, 2 * max(channels, filters)):
        weight = integers(rng, (filters, max(1, channels // groups), 3), dtype)
        if math.gcd(channels, filters) % groups == 0:
            assert gconv.conv1d(x, weight, groups=groups).shape == (1, filters, 2)
        else:
            with pytest.raises(ValueError, match=f"groups={groups} must divide"):
                gconv.conv1d(x, weight, groups=groups)


def test_case_5_ten_kernels_on_each_of_three_channels(isa, dtype, rng):
    image, kernels = integers(rng, (3, 30, 41), dtype), integers(rng, (10, 3, 3), dtype)
    weight = np.tile(kernels[:, None], (3, 1, 1, 1))
    got = gconv.conv2d(image, weight, groups=3)
    assert got.shape == (30, 28, 39)
    bank = gconv.filter_bank(image, kernels)
    assert bank.shape == (3, 10, 28, 39)
    signal = oracle("scipy.signal")
    for channel in range(3):
        for kernel in range(10):
            want = signal.correlate2d(image[channel], kernels[kernel], mode="valid")
            np.testing.assert_array_equal(got[10 * channel + kernel], want)
            np.testing.assert_array_equal(bank[channel, kernel], want)


def test_case_6_a_matrix_product_of_unfolded_windows_and_the_reshaped_weight(isa, dtype, rng):
    groups, x, weight = 2, integers(rng, (2, 6, 8, 10), dtype), integers(rng, (4, 3, 3, 2), dtype)
    got = gconv.conv2d(x, weight, groups=groups)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 2), axis=(2, 3))
    for group in range(groups):
        # (N, 3, H, W, 3, 2) -> (N, H, W, one row of 18 numbers for each output pixel)
        rows = windows[:, 3 * group : 3 * group + 3].transpose(0, 2, 3, 1, 4, 5)
        rows = rows.reshape(*rows.shape[:3], -1)
        want = rows @ weight[2 * group : 2 * group + 2].reshape(2, -1).T
        np.testing.assert_array_equal(
            got[:, 2 * group : 2 * group + 2], want.transpose(0, 3, 1, 2), err_msg=f"{group=}"
        )


def test_case_7_one_grouped_call_equals_a_loop_over_the_channels(isa, dtype, rng):
    x, weight = integers(rng, (5, 20, 21), dtype), integers(rng, (20, 1, 3, 3), dtype)
    got = gconv.conv2d(x, weight, groups=5)
    loop = [gconv.conv2d(x[[c]], weight[4 * c : 4 * c + 4]) for c in range(5)]
    np.testing.assert_array_equal(got, np.concatenate(loop))
    assert_right(got[None], x[None], weight, groups=5)
