# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of Gather: every beat of a layer against the convolution equation, written here as plain nested loops.

A layer reads `x[c](y + ky - 1, x + kx - 1)` for its taps; where a row of that tensor lies in a bank,
and which weight row belongs to it, is what the layouts of `docs/layer-program.md` say. A layer of several `lines`
at once reads for each of its positions the source lines that any of its output lines has a tap in. Of a packed
layer (`pixels`), width counts words of outputs; with `neighbour`, a line of the source has one more. A band of a
layer is `height` lines of it, with some lines of the picture `above` and `below` them.
"""

import random

import cocotb
from cocotb.triggers import RisingEdge

from ds2ta.hw.gather import gather_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import StreamSink, cycle, in_background, next_cycle, reset

_TILES_WAIT = bool(bench_parameters().get("tiles_wait"))
_BANDS = bool(bench_parameters().get("bands"))
_RING = bench_parameters().get("ring_rows", 0)
CONV = {
    "kernel": 3,
    "planes": 1,
    "groups": 1,
    "tiles": 1,
    "interleave": 0,
    "lines": 1,
    "pixels": False,
    "neighbour": False,
    "above": 0,
    "below": 0,
}
LINEAR = {**CONV, "kernel": 1}
IMAGE = {**CONV, "pixels": True, "interleave": 4, "planes": 8}
FULL = {**IMAGE, "neighbour": True}
DIRECTED = [
    {**CONV, "height": 1, "width": 1},
    {**CONV, "height": 3, "width": 3},
    {**CONV, "height": 2, "width": 4, "groups": 2, "tiles": 3},
    {**CONV, "height": 3, "width": 2, "planes": 2, "groups": 3, "tiles": 2},
    {**CONV, "height": 1, "width": 5, "planes": 3},
    {**CONV, "height": 4, "width": 1, "tiles": 2},
    {**CONV, "height": 3, "width": 3, "interleave": 1, "planes": 8, "tiles": 2},
    {**CONV, "height": 2, "width": 3, "interleave": 4, "planes": 8},
    {**CONV, "height": 2, "width": 2, "interleave": 2, "planes": 1},
    {**LINEAR, "height": 1, "width": 1},
    {**LINEAR, "height": 1, "width": 7, "planes": 3, "groups": 2, "tiles": 3},
    {**LINEAR, "height": 1, "width": 4, "groups": 4},
    # lines at once: whole heights, heights that leave any number of lines over, fewer lines than at once
    *({**CONV, "height": height, "width": 2, "lines": lines} for height in range(1, 8) for lines in (2, 3)),
    {**CONV, "height": 5, "width": 1, "lines": 2, "planes": 2, "groups": 2, "tiles": 2},
    {**CONV, "height": 9, "width": 3, "lines": 4, "interleave": 2, "planes": 8},
    # words of pixels
    {**IMAGE, "height": 1, "width": 1},
    {**IMAGE, "height": 3, "width": 3},
    {**IMAGE, "height": 2, "width": 4, "planes": 1, "tiles": 2},
    {**FULL, "height": 1, "width": 1},
    {**FULL, "height": 3, "width": 3},
    {**FULL, "height": 2, "width": 4, "planes": 1, "tiles": 2},
    {**IMAGE, "height": 4, "width": 2, "interleave": 1, "tiles": 2},
    {**IMAGE, "height": 3, "width": 1, "interleave": 2, "planes": 5},
    # words of pixels, and lines at once
    *({**IMAGE, "height": height, "width": 2, "lines": 3, "tiles": 2} for height in range(1, 8)),
    {**IMAGE, "height": 8, "width": 1, "lines": 4, "interleave": 2},
    {**IMAGE, "height": 5, "width": 3, "lines": 2, "interleave": 1, "planes": 1},
    # bands: at the top, at the bottom, between; of one line, of as many as are computed at once
    *(
        {**kind, "height": height, "width": 2, "above": above, "below": below, "lines": lines, "tiles": tiles}
        for kind in ({**CONV, "groups": 2, "planes": 2}, {**CONV, "interleave": 2, "planes": 8}, IMAGE, FULL)
        for above, below in ((0, 1), (3, 1), (2, 0))
        for height, lines, tiles in ((1, 1, 1), (4, 1, 2), (4, 2, 1), (2, 2, 2))
    ),
    {**CONV, "height": 5, "width": 2, "above": 4, "lines": 2},
]


def _held(layer: dict) -> bool:
    """The gather of this bench can walk the layer."""
    p = bench_parameters()
    whole = not layer["above"] and not layer["below"]
    return layer["lines"] <= p["max_lines"] and layer["interleave"] <= p["row_lanes"] and (whole or _BANDS)


def _place(generator: random.Random) -> tuple[int, int, int, int]:
    """First row of a tensor and of its weights, rows unused behind a position, rows from plane to plane."""
    p = bench_parameters()
    weights = (
        generator.randrange(0, _RING, p["row_lanes"]) if _RING else generator.randrange(1 << p["weight_width"])
    )
    rows = 1 << p["address_width"]
    return generator.randrange(rows), weights, generator.choice([0, 0, 1, 5]), generator.randrange(rows)


def _tap_weights(layer: dict) -> int:
    """Weight rows of a tap: around a ring those of the input are whole rows too."""
    g = bench_parameters()["row_lanes"]
    return layer["groups"] * g if _RING or not layer["interleave"] else layer["interleave"]


def _configuration(layer: dict, base: int, weights: int, slack: int, plane_pitch: int) -> dict:
    """The ports for a layer whose tensor begins at row `base`, `slack` unused rows behind each position, bit planes
    `plane_pitch` rows apart."""
    g = bench_parameters()["row_lanes"]
    rows = layer["groups"]
    channels, lane_bits = layer["groups"], g.bit_length() - 1
    if layer["interleave"]:
        rows = max(1, -(-layer["planes"] * layer["interleave"] // g))
        channels, lane_bits = 1, layer["interleave"].bit_length() - 1
    pitch = rows + slack
    height, width, lines = layer["height"], layer["width"], layer["lines"]
    out_height = -(-height // lines)
    line = (width + layer["neighbour"]) * pitch
    before = 0 if layer["pixels"] else pitch
    top = (layer["planes"] - 1) * plane_pitch
    if layer["interleave"]:
        top, plane_pitch = (layer["planes"] - 1) // (g // layer["interleave"]), 1
    return {
        "source": base + top + layer["above"] * line - (line + before if layer["kernel"] == 3 else 0),
        "source_pitch": pitch,
        "source_line": line,
        "source_plane": -plane_pitch,
        "kernel3": layer["kernel"] == 3,
        "pixels": layer["pixels"],
        "pad_right": not layer["neighbour"] if layer["pixels"] else True,
        "lines": lines,
        "live_lines": height - (out_height - 1) * lines,
        **({"above": layer["above"] > 0, "below": layer["below"] > 0} if _BANDS else {}),
        "width_last": width - 1,
        "height_last": out_height - 1,
        "tiles_last": layer["tiles"] - 1,
        "planes_last": layer["planes"] - 1,
        "groups_last": channels - 1,
        "lane_bits": lane_bits,
        "weights": weights,
        "tap_weights": _tap_weights(layer),
    }


def _expected(layer: dict, base: int, weights: int, slack: int, plane_pitch: int) -> list[dict]:
    """The beats, from the equation."""
    p = bench_parameters()
    g = p["row_lanes"]
    planes, groups, interleave = layer["planes"], layer["groups"], layer["interleave"]
    if interleave:
        # the planes of all channels side by side: row r begins with plane r * g / interleave
        share = g // interleave
        rows = {plane: [(plane // share, plane % share, 0)] for plane in range(planes)}
        pitch = -(-planes // share) + slack
    else:
        rows = {
            plane: [(plane * plane_pitch + group, 0, group) for group in range(groups)] for plane in range(planes)
        }
        pitch = groups + slack
    inputs = _tap_weights(layer)
    space, weight_space = 1 << p["address_width"], _RING or 1 << p["weight_width"]
    above = layer["above"]
    picture = above + layer["height"] + layer["below"]
    height, width, kernel, lines = (layer[key] for key in ("height", "width", "kernel", "lines"))
    high = lines + 2 if kernel == 3 else 1  # source lines of a position

    def beat(sy: int, sx: int, plane: int, row: tuple, tile: int, ky: int, kx: int) -> dict:
        """The beat that reads a row of a position."""
        if not (0 <= sy < picture and 0 <= sx < width):
            return {"pad": 1}
        at = base + (sy * (width + layer["neighbour"]) + sx) * pitch
        number, part, group = row
        weight = weights + (tile * high * kernel + ky * kernel + kx) * inputs + group * g
        places = {"address": (at + number) % space, "weight": weight % weight_space}
        return {"pad": 0, **places, "plane": plane, "part": part}

    def taps(tile: int, y: int, x: int, plane: int, ky: int, kx: int) -> list[dict]:
        """The beats of a tap: one for each group, or one that reads nothing."""
        sy = above + lines * y + ky - (kernel == 3)
        if layer["pixels"]:  # the word, its right neighbour or what stands in its place, nothing
            one = beat(sy, x, plane, rows[plane][0], tile, ky, kx)
            if not one["pad"] and kx:
                edge = x == width - 1 and not layer["neighbour"]
                one |= {"edge": edge, "address": (one["address"] + pitch) % space}
                if kx == 2 or edge:
                    del one["address"]
            return [{**one, "kx": kx}]
        sx = x + kx - (kernel == 3)
        inside = 0 <= sy < picture and 0 <= sx < width
        some = rows[plane] if inside else rows[plane][:1]
        return [{**beat(sy, sx, plane, row, tile, ky, kx), "kx": kx} for row in some]

    beats = []
    for tile in range(layer["tiles"]):
        for y in range(-(-height // lines)):
            for x in range(width):
                position = [
                    [one for ky in range(high) for kx in range(kernel) for one in taps(tile, y, x, plane, ky, kx)]
                    for plane in reversed(range(planes))
                ]
                for number, plane_beats in enumerate(position):
                    for at, one in enumerate(plane_beats):
                        ends = at == len(plane_beats) - 1
                        first = number == at == 0
                        last = ends and number == len(position) - 1
                        beats.append({**one, "plane_last": ends, "first": first, "last": last, "end": 0})
        beats[-1]["end"] = int(_TILES_WAIT)
    beats[-1]["end"] = 1
    return beats


def _compare(found: list[dict], expected: list[dict], layer: dict) -> None:
    for number, (beat, wanted) in enumerate(zip(found, expected, strict=True)):
        seen = {name: beat[name] for name in wanted}  # address and weight of a padding tap mean nothing
        assert seen == wanted, f"{layer}: beat {number} is {seen}, not {wanted}"


def _random_layer(generator: random.Random) -> dict:
    shape = {"height": generator.randint(1, 5), "width": generator.randint(1, 5)}
    kind = generator.choice(["conv", "linear", "input", "image"])
    groups, tiles = generator.randint(1, 3), generator.randint(1, 3)
    lines = generator.randint(1, bench_parameters()["max_lines"])
    if kind == "linear":
        return {**LINEAR, **shape, "height": 1, "groups": groups, "tiles": tiles, "planes": generator.randint(1, 4)}
    shape |= {"tiles": tiles, "lines": lines}
    if _BANDS:
        shape |= {"above": generator.randint(0, 2), "below": generator.randint(0, 1)}
        if shape["below"]:  # all but a picture's last lines are whole
            shape["height"] *= lines
    if kind == "conv":
        return {**CONV, **shape, "groups": groups, "planes": generator.randint(1, 3)}
    interleave = generator.choice([1, 2, 4])
    return {
        **(CONV if kind == "input" else generator.choice([IMAGE, FULL])),
        **shape,
        "interleave": interleave,
        "planes": generator.randint(1, 8),
    }


async def _begin(dut, configuration: dict) -> int:
    """Pulse start; returns the cycle of the pulse."""
    for name, value in configuration.items():
        port = getattr(dut, name)
        port.value = int(value) % (1 << len(port))
    dut.start.value = 1
    await RisingEdge(dut.clk)
    dut.start.value = 0
    return cycle()


def _sink(dut, stall: str) -> StreamSink:
    p = bench_parameters()
    widths = {key: p[key] for key in ("address_width", "weight_width", "plane_width")}
    return StreamSink(dut, "o", gather_layout(**widths), stall=stall, seed=p["row_lanes"])


@cocotb.test(skip=_TILES_WAIT)
@cocotb.parametrize(stall=["never", "random:0.3", "random:0.7", "bursts"])
async def addresses(dut, stall):
    """Directed and random layers one after another, the next started in the first idle cycle. Without stalls the
    first beat comes one cycle after start and a beat in every cycle from then on."""
    p = bench_parameters()
    generator = random.Random(f"{stall}{p}")
    sink = _sink(dut, stall)
    await reset(dut)
    layers = [layer for layer in DIRECTED if _held(layer)]
    layers += filter(_held, (_random_layer(generator) for _ in range(40)))
    begins, lengths, found = [], [], []
    for layer in layers:
        place = _place(generator)
        expected = _expected(layer, *place)
        begins.append(await _begin(dut, _configuration(layer, *place)))
        lengths.append(len(expected))
        if stall == "never":
            for _ in expected:
                await RisingEdge(dut.clk)
            assert cycle() == begins[-1] + len(expected)
            found.append((layer, expected))
        else:
            _compare(await sink.take(len(expected)), expected, layer)
    await RisingEdge(dut.clk)
    for layer, expected in found:
        _compare(await sink.take(len(expected)), expected, layer)
    if stall == "never":
        at = [begin + 1 + beat for begin, length in zip(begins, lengths, strict=True) for beat in range(length)]
        assert sink.cycles == at


class _Grants:
    """Answers claims after a while, at the earliest in the next cycle; notes when, and the cycles with `waits`."""

    def __init__(self, dut, generator: random.Random, longest: int):
        self.cycles: list[int] = []
        self.waits: list[int] = []
        dut.granted.value = 0
        in_background(dut, self._answer(dut, generator, longest))

    async def _answer(self, dut, generator: random.Random, longest: int) -> None:
        left, granted = 0, False
        while True:
            await next_cycle
            if dut.waits.value:
                self.waits.append(cycle())
            claims = bool(dut.claims.value)
            assert claims or not granted, "a claim is withdrawn"
            if granted:
                self.cycles.append(cycle())
            elif claims:
                left = left - 1 if left else generator.choice([0, 0, generator.randint(0, longest)])
            granted = not granted and claims and left == 0
            dut.granted.value = granted


@cocotb.test(skip=not _TILES_WAIT)
@cocotb.parametrize(stall=["never", "random:0.3", "bursts"], longest=[0, 60])
async def tiles(dut, stall, longest):
    """No beat of a tile before its grant; without stalls all beats as soon as they may come, and `waits` in the
    cycles in which one could have come."""
    p = bench_parameters()
    generator = random.Random(f"{stall}{longest}{p}")
    sink, grants = _sink(dut, stall), _Grants(dut, generator, longest)
    await reset(dut)
    layers = [layer for layer in DIRECTED if _held(layer)]
    layers += filter(_held, (_random_layer(generator) for _ in range(30)))
    for layer in layers:
        place = _place(generator)
        expected = _expected(layer, *place)
        grants.cycles.clear()
        grants.waits.clear()
        sink.cycles.clear()
        before = await _begin(dut, _configuration(layer, *place))
        _compare(await sink.take(len(expected)), expected, layer)
        each = len(expected) // layer["tiles"]
        assert len(grants.cycles) == layer["tiles"]
        for tile, granted in enumerate(grants.cycles):
            beats = sink.cycles[tile * each :][:each]
            assert beats[0] > granted
            waited = list(range(before + 1, granted + 1))
            assert [at for at in grants.waits if before < at <= beats[0]] == waited
            if stall == "never":
                first = max(before, granted) + 1
                assert beats == list(range(first, first + each)), f"{layer}: tile {tile}"
            before = beats[-1]
        assert not dut.claims.value


@cocotb.test(skip=_TILES_WAIT)
async def rests(dut):
    """No beat before the first start, none after the end, whatever the configuration does meanwhile; a reset in
    the middle of a layer ends it."""
    sink = _sink(dut, "never")
    await reset(dut)
    for _ in range(4):
        await RisingEdge(dut.clk)
    assert not sink.received
    layer = {**CONV, "height": 2, "width": 2}
    await _begin(dut, _configuration(layer, 3, 5, 0, 0))
    for value in range(50):
        await RisingEdge(dut.clk)
        if value > 36:
            dut.source.value, dut.kernel3.value = value % 32, value & 1
    _compare(await sink.take(36), _expected(layer, 3, 5, 0, 0), layer)
    assert not sink.received
    await _begin(dut, _configuration(layer, 7, 1, 0, 0))
    for _ in range(5):
        await RisingEdge(dut.clk)
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)
    sink.received.clear()
    for _ in range(5):
        await RisingEdge(dut.clk)
    assert not sink.received
    await _begin(dut, _configuration(layer, 9, 2, 1, 0))
    _compare(await sink.take(36), _expected(layer, 9, 2, 1, 0), layer)
