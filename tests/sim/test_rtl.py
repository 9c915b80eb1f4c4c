# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The C++ harness: wide ports, streams under back-pressure, trace channels, waves, and errors instead of hangs."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.sim.rtl import Rtl, RtlError

BEAT = data.StructLayout({"value": 90, "last": 1})
VALUES = [(0x1234567_89ABCDEF_01234567 >> 5) ^ (index << 61) for index in range(10)]


class Wide(wiring.Component):
    """o = i + offset after one cycle, accepting every other cycle at most; traces what it accepts."""

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(BEAT)),
                "o": Out(stream.Signature(BEAT)),
                "offset": In(88),
                "negated": Out(88),
                "trace_beat": Out(90),
                "trace_beat_number": Out(40),
                "trace_beat_valid": Out(2),
            }
        )

    def elaborate(self, platform):
        m = Module()
        number = Signal(40, init=1 << 39)
        take = self.i.valid & self.i.ready
        m.d.comb += [
            self.i.ready.eq(~self.o.valid),
            self.negated.eq(~self.offset),
            self.trace_beat.eq(self.i.payload.value),
            self.trace_beat_number.eq(number),
            self.trace_beat_valid.eq(take << 1),
        ]
        m.d.sync += self.o.valid.eq(take)
        with m.If(take):
            m.d.sync += [
                number.eq(number + 1),
                self.o.payload.value.eq(self.i.payload.value + self.offset),
                self.o.payload.last.eq(self.i.payload.last),
            ]
        return m


def beats(last):
    return [value | ((index == last) << 90) for index, value in enumerate(VALUES)]


def test_streams_ports_and_traces():
    with Rtl(Wide()) as rtl:
        offset = (1 << 87) + 12345
        rtl.set("offset", offset)
        assert rtl.get("negated") == ~offset & (1 << 88) - 1
        start = rtl.cycle
        rtl.send("i", beats(last=9))
        rtl.run("o")
        seen = rtl.collect()
    outputs = seen["o"].values["o__payload"]
    mask = (1 << 90) - 1
    assert [bits & mask for bits in outputs] == [(value + offset) & mask for value in VALUES]
    assert [bits >> 90 for bits in outputs] == [0] * 9 + [1]
    assert seen["o"].cycle.tolist() == [start + 1 + 2 * index for index in range(10)]
    traced = seen["trace_beat"]
    assert traced.values["trace_beat"] == VALUES
    assert traced.values["trace_beat_number"] == [(1 << 39) + index for index in range(10)]
    assert traced.values["trace_beat_valid"] == [2] * 10
    assert traced.cycle.tolist() == [start + 2 * index for index in range(10)]


def test_collect_forgets_and_run_remembers():
    with Rtl(Wide()) as rtl:
        rtl.send("i", beats(last=9))
        rtl.advance(20)
        cycle = rtl.cycle
        rtl.run("o")  # the last beat has been seen already
        assert rtl.cycle == cycle
        assert len(rtl.collect()["o"]) == 10
        assert {len(beats) for beats in rtl.collect().values()} == {0}
        with pytest.raises(RtlError, match="stream o: no last beat within 50 cycles"):
            rtl.run("o", limit=50)
        assert rtl.cycle == cycle + 50


def test_reset_and_reuse():
    with Rtl(Wide()) as rtl:
        rtl.send("i", beats(last=3))
        rtl.reset()
        rtl.collect()
        rtl.send("i", beats(last=9)[-1:])
        rtl.run("o")
        assert rtl.collect()["trace_beat"].values["trace_beat_number"] == [1 << 39]


def test_a_stuck_stream_is_named():
    class Stuck(wiring.Component):
        def __init__(self):
            super().__init__({"i": In(stream.Signature(8)), "o": Out(1)})

        def elaborate(self, platform):
            m = Module()
            m.d.sync += self.i.ready.eq(0)
            return m

    with Rtl(Stuck()) as rtl, pytest.raises(RtlError, match="stream i: 0 of 3 beats accepted in 40 cycles"):
        rtl.send("i", [1, 2, 3], limit=40)


def test_an_ended_simulator_is_an_error():
    rtl = Rtl(Wide())
    rtl.close()
    with pytest.raises((RtlError, ValueError)):
        rtl.advance()


def test_waves(tmp_path):
    file = tmp_path / "run.vcd"
    with Rtl(Wide(), waves=file) as rtl:
        rtl.advance(7)
    text = file.read_text()
    assert "$enddefinitions" in text
    assert "i__payload" in text
    assert text.count("\n#") >= 2 * 7
