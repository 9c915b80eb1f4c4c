# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The bench runner finds what it should find: first of all its own failures."""

from pathlib import Path

import pytest
from amaranth.hdl import Module, Shape, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ds2ta.gateware.verilog import emit
from ds2ta.sim.build import BenchError, build_bench, run_bench
from ds2ta.sim.stream import pack, unpack

BENCH = str(Path(__file__).with_name("bench_build.py"))


class AddConstant(wiring.Component):
    """o = i + constant, one register; `fault` plants a bug."""

    def __init__(self, constant, fault=None):
        self._constant, self._fault = constant, fault
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(9))})

    def elaborate(self, platform):
        m = Module()
        free = self.o.ready | ~self.o.valid
        m.d.comb += self.i.ready.eq(1 if self._fault == "loses" else free)
        # "changes": a waiting value is overwritten by the next one that is offered
        with m.If(free | (self.i.valid if self._fault == "changes" else 0)):
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload + self._constant)]
        return m


def bench(component, case, **parameters):
    return run_bench(component, module=BENCH, testcase=case, parameters={"constant": 5, **parameters})


STALLS = ["never", "random:0.5", "bursts"]


@pytest.mark.parametrize("sink", STALLS)
@pytest.mark.parametrize("source", STALLS)
def test_passes(source, sink):
    stalls = {} if source == sink == "never" else {"source": source, "sink": sink}
    assert "PASS=1" in bench(AddConstant(5), "adds", **stalls)


def test_same_seed_same_run():
    logs = [bench(AddConstant(5), "adds", source="random:0.3", sink="bursts") for _ in range(2)]
    ends = [[line.split()[0] for line in log.splitlines() if "adds passed" in line] for log in logs]
    assert len(ends[0]) == 1
    assert ends[0] == ends[1]


@pytest.mark.parametrize(
    ("component", "parameters", "message"),
    [
        (AddConstant(6), {}, "AssertionError"),
        (AddConstant(5, "loses"), {"sink": "bursts", "source": "never"}, "stream o"),
        (AddConstant(5, "changes"), {"sink": "bursts", "source": "never"}, "changed while not ready"),
    ],
    ids=["wrong", "loses", "changes"],
)
def test_a_broken_component_is_caught(component, parameters, message):
    with pytest.raises(BenchError, match=r"adds(.|\n)*" + message):
        bench(component, "adds", **parameters)


def test_a_hang_is_named():
    with pytest.raises(BenchError, match=r"stream o: 300 of 301 payloads, then none for 100 cycles"):
        bench(AddConstant(5), "waits_for_too_much")


def test_the_watchdog_bites():
    with pytest.raises(BenchError, match=r"watchdog: no end within 2000 cycles; stream i: \d+ transfers"):
        bench(AddConstant(5), "never_ends")


def test_a_bench_without_tests_fails():
    with pytest.raises(BenchError, match="no test ran"):
        bench(AddConstant(5), "no_such_test")


def test_a_simulator_is_built_once():
    text = emit(AddConstant(5))
    simulator = build_bench(text, "add_constant")
    before = simulator.stat().st_mtime_ns
    assert build_bench(text, "add_constant") == simulator
    assert simulator.stat().st_mtime_ns == before
    assert build_bench(emit(AddConstant(7)), "add_constant") != simulator


def test_only_ports_are_published():
    folder = build_bench(emit(AddConstant(5)), "add_constant").parent
    published = (folder / "ports.vlt").read_text().splitlines()[1:]
    names = {line.split('-var "')[1].rstrip('"') for line in published}
    assert names == {"clk", "rst"} | {f"{s}__{part}" for s in "io" for part in ("valid", "ready", "payload")}


LAYOUT = data.StructLayout(
    {"low": unsigned(3), "pair": data.ArrayLayout(signed(5), 2), "inner": data.StructLayout({"flag": 1, "x": 4})}
)


@pytest.mark.parametrize("low", [0, 7])
@pytest.mark.parametrize("pair", [[-16, 15], [0, -1]])
def test_pack_is_the_inverse_of_unpack(low, pair):
    value = {"low": low, "pair": pair, "inner": {"flag": 1, "x": 9}}
    bits = pack(LAYOUT, value)
    assert unpack(LAYOUT, bits) == value
    assert bits == LAYOUT.const(value).as_value().value  # Amaranth's own packing
    assert 0 <= bits < 1 << Shape.cast(LAYOUT).width


@pytest.mark.parametrize(
    ("layout", "value"),
    [(unsigned(3), 8), (unsigned(3), -1), (signed(3), 4), (signed(3), -5), (data.ArrayLayout(1, 3), [0, 1])],
)
def test_pack_refuses_what_does_not_fit(layout, value):
    with pytest.raises(ValueError, match=r"fit|elements"):
        pack(layout, value)
    with pytest.raises(KeyError):
        pack(LAYOUT, {"unknown": 1})
