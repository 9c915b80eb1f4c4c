# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Emitted Verilog is plain, the same everywhere, accepted by every tool, and means what its source means."""

import os
import random
import re
import subprocess
import sys

import pytest
from amaranth.hdl import Array, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from verilog_tools import assert_plain, icarus_accepts, needs_icarus, verilator_accepts, yosys_accepts

from ds2ta.gateware.verilog import WAIVERS, emit, port_widths, snake
from ds2ta.sim.rtl import Rtl
from ds2ta.sim.verilator import ToolError

BEAT = data.StructLayout({"pair": data.ArrayLayout(signed(5), 2), "select": 3, "last": 1})


class Mixer(wiring.Component):
    """Every construct that could be printed badly: a switch (parallel multiplexer), signed arithmetic, shifts, an
    array, a memory with contents, an FSM, fields, and names that Verilog reserves."""

    def __init__(self, depth=16):
        self._depth = depth
        super().__init__({"i": In(stream.Signature(BEAT)), "o": Out(stream.Signature(12)), "turn": In(2)})

    def elaborate(self, platform):
        m = Module()
        table, always = Signal(signed(12)), Signal(4, init=5)
        m.submodules.memory = memory = Memory(shape=7, depth=self._depth, init=[3 * i for i in range(self._depth)])
        read, write = memory.read_port(), memory.write_port()
        lanes = Array(Signal(6, name=f"lane_{i}", init=i) for i in range(4))
        left, right = self.i.payload.pair
        m.d.comb += [
            read.addr.eq(always),
            write.addr.eq(always + 1),
            write.data.eq(table),
            write.en.eq(self.i.valid & self.i.payload.last),
            self.i.ready.eq(self.o.ready | ~self.o.valid),
        ]
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid)
            with m.If(self.i.valid):
                with m.Switch(self.i.payload.select):
                    with m.Case(0):
                        m.d.sync += table.eq(left + right)
                    with m.Case(1, 2):
                        m.d.sync += table.eq((left - right) >> 1)
                    with m.Case(3):
                        m.d.sync += table.eq(left << self.turn)
                    with m.Case("1-0"):
                        m.d.sync += table.eq(read.data * right)
                    with m.Default():
                        m.d.sync += table.eq(-table)
                m.d.sync += [lanes[self.turn].eq(always ^ left), always.eq(always + 1)]
        with m.FSM():
            with m.State("BEGIN"), m.If(self.i.payload.last & self.i.valid):
                m.next = "END"
            with m.State("END"):
                m.d.comb += self.o.payload[11].eq(1)
                m.next = "BEGIN"
        m.d.comb += self.o.payload[:11].eq(Array(lanes)[self.turn] + table)
        return m


class Machine(wiring.Component):
    """Two equal mixers, a different one, and a library FIFO, in a row."""

    def __init__(self):
        super().__init__({"i": In(stream.Signature(BEAT)), "o": Out(stream.Signature(12)), "level": Out(3)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.first = first = Mixer()
        m.submodules.second = second = Mixer()
        m.submodules.third = third = Mixer(depth=8)
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=12, depth=4)
        wiring.connect(m, wiring.flipped(self.i), first.i)
        for source, sink in ((first, second), (second, third)):
            m.d.comb += [
                sink.i.valid.eq(source.o.valid),
                sink.i.payload.eq(source.o.payload),
                source.o.ready.eq(sink.i.ready),
            ]
        wiring.connect(m, third.o, fifo.w_stream)
        wiring.connect(m, wiring.flipped(self.o), fifo.r_stream)
        m.d.comb += [self.level.eq(fifo.level), second.turn.eq(2)]
        return m


class Comparator(wiring.Component):
    """No clock at all."""

    def __init__(self):
        super().__init__({"a": In(4), "b": In(4), "less": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.less.eq(self.a < self.b)
        return m


class Reacher(wiring.Component):
    """Reads a register inside of a block: must be refused, because no port carries it."""

    def __init__(self):
        super().__init__({"peek": Out(4)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = inner = Secretive()
        m.d.comb += self.peek.eq(inner.secret)
        return m


class Secretive(wiring.Component):
    def __init__(self):
        self.secret = Signal(4)
        super().__init__({"shown": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.secret.eq(self.secret + 1)
        m.d.comb += self.shown.eq(self.secret[3])
        return m


COMPONENTS = [Mixer, Machine, Comparator]


@pytest.fixture(params=COMPONENTS)
def component(request):
    return request.param


def test_plain(component):
    assert_plain(emit(component()))


def test_ports_are_the_signature():
    widths = port_widths(emit(Mixer()), "mixer")
    streams = ["i__payload", "i__valid", "i__ready", "o__payload", "o__valid", "o__ready"]
    assert list(widths) == ["clk", "rst", *streams, "turn"]
    assert widths["i__payload"] == ("input", 14)
    assert widths["i__ready"] == ("output", 1)
    assert list(port_widths(emit(Comparator()), "comparator")) == ["a", "b", "less"]


def test_blocks_are_modules():
    text = emit(Machine(), "top")
    assert re.findall(r"^module (\w+)", text, re.M) == ["top", "top_mixer_first", "top_mixer_third"]
    instances = re.findall(r"^  top_mixer_(\w+ \w+) \($", text, re.M)
    assert instances == ["first first", "first second", "third third"]


def test_a_block_has_no_secret_wires():
    with pytest.raises(ValueError, match="secret is used inside secretive and inside reacher but is no port"):
        emit(Reacher())


@pytest.mark.parametrize("name", ["Top", "1st", "a b", "module", "logic", "_x"])
def test_bad_module_names(name):
    component = Comparator()
    with pytest.raises(ValueError, match="module name must be a lower case Verilog identifier, not "):
        emit(component, name)
    emit(component)


@pytest.mark.parametrize("name", ["Mixer", "HTTPServer2Go"])
def test_snake(name):
    assert snake(type(name, (), {})()) == {"Mixer": "mixer", "HTTPServer2Go": "http_server2_go"}[name]


EMIT = """
import sys
sys.path.insert(0, sys.argv[1])
from test_verilog import Machine, emit
sys.stdout.write(emit(Machine()))
"""


def test_same_text_everywhere(tmp_path):
    """Other hash seeds, another folder, another process."""
    text = emit(Machine())
    for seed in ("0", "1", "77"):
        command = [sys.executable, "-W", "ignore", "-c", EMIT, os.path.dirname(__file__)]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == text


def test_verilator_has_no_other_warning(component, tmp_path):
    verilator_accepts(emit(component()), tmp_path)


def test_every_waiver_is_needed_and_explained(tmp_path):
    text = emit(Machine())
    for rule, reason in WAIVERS.items():
        assert len(reason.split()) > 5
        with pytest.raises(ToolError, match=rule):
            verilator_accepts(text, tmp_path, waived=[other for other in WAIVERS if other != rule])


@needs_icarus
def test_icarus_accepts(component, tmp_path):
    icarus_accepts(emit(component()), tmp_path)


def test_yosys_accepts(component, tmp_path):
    yosys_accepts(emit(component()), tmp_path)


@pytest.mark.parametrize(
    "bad",
    [
        "assign y = \\a.b ;",
        "assign y = _00_;",
        "assign y = 1'hx;",
        "always @* y = a;",
        "always @(negedge clk) y <= a;",
        "function f; input a; f = a; endfunction",
    ],
)
def test_the_rules_bite(bad):
    with pytest.raises(AssertionError):
        assert_plain(emit(Comparator()).replace("endmodule", f"  {bad}\nendmodule"))


@pytest.mark.parametrize("seed", range(3))
def test_means_what_amaranth_means(seed):
    """The Amaranth simulator runs the source, Verilator the emitted text: the same outputs in every cycle."""
    generator = random.Random(seed)
    cycles = [(generator.getrandbits(14), generator.random() < 0.8, generator.random() < 0.7) for _ in range(400)]
    expected = []
    source = Machine()

    async def drive(ctx):
        for payload, valid, ready in cycles:
            ctx.set(source.i.payload.as_value(), payload)
            ctx.set(source.i.valid, valid)
            ctx.set(source.o.ready, ready)
            outputs = (source.i.ready, source.o.valid, source.o.payload, source.level)
            expected.append(tuple(ctx.get(output) for output in outputs))
            await ctx.tick()

    simulator = Simulator(source)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    found = []
    with Rtl(Plain(), name="plain") as rtl:
        for payload, valid, ready in cycles:
            rtl.set("i_payload", payload)
            rtl.set("i_valid", valid)
            rtl.set("o_ready", ready)
            found.append(tuple(rtl.get(port) for port in ("i_ready", "o_valid", "o_payload", "level")))
            rtl.advance()
    assert found == expected
    assert len({payload for _, valid, payload, _ in found if valid}) > 40


class Plain(wiring.Component):
    """A `Machine` whose streams are ordinary ports, to be driven cycle by cycle."""

    def __init__(self):
        super().__init__(
            {
                "i_payload": In(14),
                "i_valid": In(1),
                "i_ready": Out(1),
                "o_payload": Out(12),
                "o_valid": Out(1),
                "o_ready": In(1),
                "level": Out(3),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.machine = machine = Machine()
        m.d.comb += [
            machine.i.payload.as_value().eq(self.i_payload),
            machine.i.valid.eq(self.i_valid),
            self.i_ready.eq(machine.i.ready),
            self.o_payload.eq(machine.o.payload),
            self.o_valid.eq(machine.o.valid),
            machine.o.ready.eq(self.o_ready),
            self.level.eq(machine.level),
        ]
        return m
