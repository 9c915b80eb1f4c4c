# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Proved for all time: what AXI demands of a subordinate and of a stream's source, whatever the other side does, in
whatever order it does it, and however slow the register bus is. Resets may come at any moment."""

from functools import reduce
from operator import or_

import pytest
from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Fragment, Module, Signal, Value
from prove import offers, planted, prove, transfers

from ds2ta.gateware.axi.lite import AxiLiteBridge
from ds2ta.gateware.axi.registers import AxiRegisters
from ds2ta.gateware.axi.stream import PacketStreams
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.registers import REGISTERS

STREAMS = {"logit_width": 3, "max_classes": 2, "count_width": 4}


class _Bridge(Elaboratable):
    """`bus.done` comes for a request only; nothing else is assumed."""

    def __init__(self, block):
        self.block = block
        self.word = Signal(36, name="peek_word")  # data and strobes of the write at hand
        self.peek = {"dut.w_kept": self.word}

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self.block
        m.d.comb += Assume(dut.bus.request | ~dut.bus.done)
        for name in ("b", "r"):
            offers(m, getattr(dut, name), name)
        # each transaction is held or answered: none is lost, none is answered twice, none is answered unasked
        for name, answer in (("aw", dut.b), ("w", dut.b), ("ar", dut.r)):
            channel, count = getattr(dut, name), Signal(2, name=f"{name}_count")
            m.d.sync += count.eq(count + transfers(channel) - transfers(answer))
            m.d.comb += Assert(count == (~channel.ready).as_unsigned() + answer.valid)
        # an access is asked for until it ends, unchanged; writes only with every strobe
        asks = Signal()
        access = [getattr(dut.bus, name) for name in ("write", "address", "write_data")]
        before = [Signal.like(value, name=f"access_{index}") for index, value in enumerate(access)]
        m.d.sync += [asks.eq(dut.bus.request & ~dut.bus.done)]
        m.d.sync += [old.eq(new) for old, new in zip(before, access, strict=True)]
        with m.If(asks):
            m.d.comb += Assert(dut.bus.request)
            m.d.comb += [Assert(old == new) for old, new in zip(before[:2], access[:2], strict=True)]
            with m.If(dut.bus.write):
                m.d.comb += Assert(before[2] == access[2])
        with m.If(dut.bus.request & dut.bus.write):
            m.d.comb += [Assert(self.word[32:].all()), Assert(~(dut.aw.ready | dut.w.ready | dut.b.valid))]
        with m.If(dut.bus.request & ~dut.bus.write):
            m.d.comb += Assert(~(dut.ar.ready | dut.r.valid))
        return m


def _bridge_inputs(dut):
    return [
        *(Value.cast(getattr(dut, name).payload) for name in ("aw", "w", "ar")),
        *(getattr(dut, name).valid for name in ("aw", "w", "ar")),
        dut.b.ready,
        dut.r.ready,
        dut.bus.done,
        dut.bus.error,
        dut.bus.read_data,
    ]


def test_bridge(tmp_path):
    dut = AxiLiteBridge()
    assert prove(tmp_path, _Bridge(dut), _bridge_inputs(dut)) == "proved"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("can_write.eq(aw_full & w_full & ~self.b.valid)", "can_write.eq(aw_full & w_full)"),
        ("can_read.eq(ar_full & ~self.r.valid)", "can_read.eq(ar_full)"),
        ("can_write.eq(aw_full & w_full & ~self.b.valid)", "can_write.eq(aw_full & ~self.b.valid)"),
        ("can_write & word.strb.all()", "can_write & word.strb.any()"),
        ("m.d.comb += channel.ready.eq(~full)", "m.d.comb += channel.ready.eq(1)"),
        ("with m.If(self.b.ready):", "with m.If(1):"),
        ("with m.If(self.r.ready):", "with m.If(1):"),
    ],
)
def test_a_planted_bug_in_the_bridge_is_refuted(old, new, tmp_path):
    dut = planted(AxiLiteBridge, old, new)()
    assert prove(tmp_path, _Bridge(dut), _bridge_inputs(dut)) == "refuted"


class _Turns(Elaboratable):
    """While a transaction could go, at most one of the other kind goes before it."""

    def __init__(self, block):
        self.block = block

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self.block
        m.d.comb += Assume(dut.bus.request | ~dut.bus.done)
        write_waits = ~dut.aw.ready & ~dut.w.ready & ~dut.b.valid
        read_waits = ~dut.ar.ready & ~dut.r.valid
        write_ends, read_ends = Signal(), Signal()  # the first cycle of an answer
        before = Signal(2)
        m.d.sync += before.eq(Cat(dut.b.valid & ~dut.b.ready, dut.r.valid & ~dut.r.ready))
        m.d.comb += [write_ends.eq(dut.b.valid & ~before[0]), read_ends.eq(dut.r.valid & ~before[1])]
        # an answer that is new in the first cycle of waiting was for an access before it
        for name, waits, other, at_work in (
            ("write", write_waits, read_ends, dut.bus.request & ~dut.bus.write),
            ("read", read_waits, write_ends, dut.bus.request & dut.bus.write),
        ):
            passed, waited = Signal(2, name=f"{name}_passed"), Signal(name=f"{name}_waited")
            now = Signal(2, name=f"{name}_now")
            m.d.comb += now.eq(passed + (waited & other))
            m.d.sync += waited.eq(waits)
            with m.If(waits):
                m.d.sync += passed.eq(now)
                m.d.comb += Assert(now <= 1)
                with m.If(now == 1):
                    m.d.comb += Assert(~at_work)
            with m.Else():
                m.d.sync += passed.eq(0)
        return m


def test_writes_and_reads_take_turns(tmp_path):
    dut = AxiLiteBridge()
    assert prove(tmp_path, _Turns(dut), _bridge_inputs(dut)) == "proved"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "can_write.eq(aw_full & w_full & ~self.b.valid)",
            "can_write.eq(aw_full & w_full & ~self.b.valid & ~self.r.valid)",
        ),
        ("can_read.eq(ar_full & ~self.r.valid)", "can_read.eq(ar_full & ~self.r.valid & ~self.b.valid & ~aw_full)"),
    ],
)
def test_a_planted_favourite_is_refuted(old, new, tmp_path):
    dut = planted(AxiLiteBridge, old, new)()
    assert prove(tmp_path, _Turns(dut), _bridge_inputs(dut), steps=12) == "refuted"


class _Registers(Elaboratable):
    """The bus keeps its contract; the sink of `load` and the events are free."""

    def __init__(self, block):
        self.block = block
        self.events, self.enabled = Signal(4, name="peek_events"), Signal(4, name="peek_enabled")
        self.peek = {"dut.events": self.events, "dut.enabled": self.enabled}

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self.block
        bus = dut.bus
        # one access at a time, unchanged while it lasts
        lasts = Signal()
        access = [bus.write, bus.address, bus.write_data]
        before = [Signal.like(value, name=f"access_{index}") for index, value in enumerate(access)]
        m.d.sync += [lasts.eq((lasts | bus.enable) & ~bus.done)]
        m.d.sync += [old.eq(new) for old, new in zip(before, access, strict=True)]
        m.d.comb += Assume(~(lasts & bus.enable))
        with m.If(lasts):
            m.d.comb += [Assume(old == new) for old, new in zip(before, access, strict=True)]
        # it ends once, and if it takes longer, then because of `load`
        m.d.comb += Assert(~bus.done | lasts)
        with m.If(lasts):
            m.d.comb += Assert(bus.done | dut.load.valid)
        m.d.comb += Assert(~dut.load.valid | (lasts & ~bus.done))
        offers(m, dut.load, "load")
        # an event is never lost, and stays until it is cleared by name
        happens, stays = Signal(4), Signal(4)
        rose = Signal()
        clears = bus.enable & bus.write & (bus.address == REGISTERS["events"].address)
        m.d.sync += [
            rose.eq(dut.memory_error),
            happens.eq(Cat(dut.answered, dut.was_early, dut.was_late, dut.memory_error & ~rose)),
            stays.eq(self.events & ~(bus.write_data[:4] & clears.replicate(4))),
        ]
        m.d.comb += [
            Assert(self.events == happens | stays),
            Assert(dut.irq == (self.events & self.enabled).any()),
        ]
        return m


def _register_inputs(dut):
    return [
        dut.bus.enable,
        dut.bus.write,
        dut.bus.address,
        dut.bus.write_data,
        dut.load.ready,
        dut.refuse,
        dut.answered,
        dut.was_early,
        dut.was_late,
        dut.memory_error,
    ]


def test_registers(tmp_path):
    dut = AxiRegisters(Machine(weights="ram"))
    assert prove(tmp_path, _Registers(dut), _register_inputs(dut)) == "proved"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("events.eq(events & ~clear | new.as_value())", "events.eq((events | new.as_value()) & ~clear)"),
        ("self.memory_error & ~before", "self.memory_error"),
        ("self.bus.done.eq(0),\n", "self.bus.done.eq(1),\n"),
        ("self.load.valid.eq(0),\n                self.bus.done.eq(1),", "self.load.valid.eq(0),"),
    ],
)
def test_a_planted_bug_in_the_registers_is_refuted(old, new, tmp_path):
    dut = planted(AxiRegisters, old, new)(Machine(weights="ram"))
    assert prove(tmp_path, _Registers(dut), _register_inputs(dut), steps=12) == "refuted"


class _Packets(Elaboratable):
    """The core and the bus are free, but for `bus.done`, which comes for a request only."""

    def __init__(self, block):
        self.block = block
        self.beat, self.ended = Signal(9, name="peek_beat"), Signal(name="peek_ended")
        self.peek = {"dut.beat": self.beat, "dut.ended": self.ended}

    def elaborate(self, platform):
        m = Module()
        dut = self.block
        m.submodules.dut = inside = Fragment.get(dut, platform)
        machine = inside.generated["fsm"]
        state = {name: machine.state == code for name, code in machine.encoding.items()}
        m.d.comb += Assume(dut.bus.request | ~dut.bus.done)
        offers(m, dut.o, "o")

        # packets that came, less packets that left: TLAST waits for its turn, or is owed an answer, or that waits
        count = Signal(3)
        closes = dut.o.payload.last
        m.d.sync += count.eq(count + (transfers(dut.i) & dut.i.payload.last) - (transfers(dut.o) & closes))
        waits, answers = Signal(), Signal()
        held = Signal()
        owed = state["RESULT"] | state["WAIT"] | state["STATUS"] | state["CLOSE"]
        m.d.comb += [
            held.eq(~dut.i.ready & self.beat[-1]),
            waits.eq(owed | (state["ABORT"] | state["DROP"]) & self.ended),
            answers.eq(dut.o.valid & closes),
            Assert(count == held + waits + answers),
            Assert(reduce(or_, state.values())),
        ]
        with m.If(state["LENGTH"] | state["BYTE"]):
            m.d.comb += Assert(~self.ended)

        # a sample goes to the core, and its answer comes, while loading is refused
        with m.If(dut.sample.valid | dut.result.ready):
            m.d.comb += Assert(dut.engaged)
        # the only register that is written is the one that resets the core
        with m.If(dut.bus.request & dut.bus.write):
            m.d.comb += [
                Assert(dut.bus.address == REGISTERS["command"].address),
                Assert(dut.bus.write_data == REGISTERS["command"].encode(core_reset=1)),
            ]
        return m


def _packet_inputs(dut):
    return [
        Value.cast(dut.i.payload),
        dut.i.valid,
        dut.o.ready,
        dut.sample.ready,
        Value.cast(dut.result.payload),
        dut.result.valid,
        dut.busy,
        dut.cut,
        dut.bus.done,
        dut.bus.error,
        dut.bus.read_data,
    ]


def test_packets(tmp_path):
    dut = PacketStreams(**STREAMS)
    assert prove(tmp_path, _Packets(dut), _packet_inputs(dut)) == "proved"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.i.ready.eq(~now.full)", "self.i.ready.eq(1)"),
        ("with m.If(self.o.ready):", "with m.If(1):"),
        ("self.result.ready.eq(~self.o.valid)", "self.result.ready.eq(1)"),
        ('m.State("CLOSE"), m.If(~self.o.valid)', 'm.State("CLOSE"), m.If(1)'),
        ("now.ended.eq(now.beat.last),\n", "now.ended.eq(0),\n"),
        ("[now.full.eq(0), now.ended.eq(now.beat.last)]", "[now.full.eq(0), now.ended.eq(1)]"),
    ],
)
def test_a_planted_bug_in_the_packets_is_refuted(old, new, tmp_path):
    dut = planted(PacketStreams, old, new)(**STREAMS)
    assert prove(tmp_path, _Packets(dut), _packet_inputs(dut), steps=12) == "refuted"
