# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Tensors to rows and back, against the layout's definition written as plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2ta.gateware.layout import Region, rows_from_tensor, tensor_from_rows


@st.composite
def regions(draw, images: bool = True) -> tuple[Region, int, int, np.ndarray]:
    """A region, row lanes, machine steps and a tensor for it, of fewer steps at times, of one where it is an image
    in words of pixels."""
    lanes = draw(st.sampled_from([4, 8, 16, 32]))
    machine_steps = draw(st.integers(1, 16))
    steps = draw(st.integers(1, machine_steps))
    positions, width, pixels = draw(st.integers(1, 6)), 0, 0
    if draw(st.booleans()):
        channels, planes = draw(st.integers(1, 4)), draw(st.integers(1, 8))
        interleave = {1: 1, 2: 2, 3: 4, 4: 4}[channels]
        groups = -(-planes * interleave // lanes)
        pitch = groups
        if images and draw(st.booleans()):
            width, pixels, steps = draw(st.integers(1, 40)), machine_steps, 1
            positions *= width
    else:
        channels, planes, interleave = draw(st.integers(1, 70)), draw(st.integers(1, 3)), 0
        groups = -(-channels // lanes) + draw(st.integers(0, 2))
        pitch = groups + draw(st.integers(0, 3))
    region = Region(
        name="x",
        banks=(0,),
        base=draw(st.integers(0, 100)),
        positions=positions,
        channels=channels,
        planes=planes,
        groups=groups,
        pitch=pitch,
        plane_pitch=0 if interleave else positions * pitch + draw(st.integers(0, 3)),
        interleave=interleave,
        pixels=pixels,
        width=width,
    )
    generator = np.random.default_rng(draw(st.integers(0, 999)))
    return region, lanes, machine_steps, generator.integers(0, 1 << planes, (steps, positions, channels))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(regions())
def test_bits_lie_where_the_layout_says(case):
    """Bit `lane T + t` of a row; planes outside groups; input planes side by side; T pixels of a line of an image
    in a word, the first of them in front of the line, and a new word with each line."""
    region, lanes, machine_steps, tensor = case
    rows = rows_from_tensor(region, tensor, lanes, machine_steps)
    expected: dict[int, int] = {}
    for (t, position, channel), value in np.ndenumerate(tensor):
        word, bit_of = position, t
        if region.pixels:
            y, x = position // region.width, position % region.width
            words_of_a_line = (1 + region.width + machine_steps - 1) // machine_steps
            word, bit_of = y * words_of_a_line + (x + 1) // machine_steps, (x + 1) % machine_steps
        for plane in range(region.planes):
            if region.interleave:
                in_a_row = lanes // region.interleave
                row = region.base + word * region.pitch + plane // in_a_row
                lane = plane % in_a_row * region.interleave + channel
            else:
                row = region.base + position * region.pitch + plane * region.plane_pitch + channel // lanes
                lane = channel % lanes
            bit = int(value) >> plane & 1
            expected[row] = expected.get(row, 0) | bit << (lane * machine_steps + bit_of)
    assert rows == expected
    assert all(region.base <= row < region.base + region.rows for row in rows)
    assert all(word >> lanes * machine_steps == 0 for word in rows.values())


@settings(max_examples=150, deadline=None, derandomize=True)
@given(regions(images=False))
def test_round_trip(case):
    region, lanes, machine_steps, tensor = case
    rows = rows_from_tensor(region, tensor, lanes, machine_steps)
    found = tensor_from_rows(region, rows, lanes, machine_steps, tensor.shape[0])
    np.testing.assert_array_equal(found, tensor)
    empty = tensor_from_rows(region, {}, lanes, machine_steps, tensor.shape[0])
    assert empty.shape == tensor.shape
    assert not empty.any()


def _region(**change) -> Region:
    plain = {"positions": 6, "channels": 5, "planes": 2, "groups": 2, "pitch": 4}
    return Region(name="x", banks=(0,), base=0, **{**plain, **change})


def test_images_are_position_major():
    """[T, C, H, W] and its [T, N, C] form, n = y W + x, give the same rows."""
    image = np.random.default_rng(1).integers(0, 4, (3, 5, 2, 3))
    tokens = np.stack([[image[t, :, n // 3, n % 3] for n in range(6)] for t in range(3)])
    assert rows_from_tensor(_region(), image, 4, 3) == rows_from_tensor(_region(), tokens, 4, 3)


@pytest.mark.parametrize(
    ("shape", "top"), [((2, 6, 4), 3), ((2, 5, 5), 3), ((2, 6, 5), 4), ((2, 4, 2, 3), 3)], ids=str
)
def test_foreign_tensor(shape, top):
    with pytest.raises(ValueError, match=r"^x: tensor \(2, .*\) of \d is not of this region$"):
        rows_from_tensor(_region(), np.full(shape, top), 4, 4)
