# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Proved for all time: what AXI demands of a master that reads, whatever run it is asked for and whatever the
memory answers, lawful or not. Resets may come at any moment."""

import pytest
from amaranth.hdl import Assert, Assume, Elaboratable, Fragment, Module, Mux, Signal, Value
from prove import offers, planted, prove, transfers

from ds2ta.gateware.axi.memory import AxiMemory

SIZES = {"byte_address_bits": 32, "address_bits": 20, "outstanding": 2, "quiet": 2}
CASES = [
    {"memory_bits": 64, "burst": 256},
    {"memory_bits": 128, "burst": 256},
    {"memory_bits": 128, "burst": 16},
    {"memory_bits": 64, "burst": 2},
]
_PAGE = 4096


class _Reads(Elaboratable):
    """Runs have words; nothing else is assumed."""

    def __init__(self, block: AxiMemory, burst: int):
        self.block, self.burst = block, burst
        word = len(block.ar.payload.address) - (block.memory_bits // 8 - 1).bit_length()
        self.at, self.size = Signal(word, name="peek_at"), Signal(range(burst + 1), name="peek_size")
        self.left = Signal(len(block.memory.run.payload.words), name="peek_left")
        self.final, self.last_offered = Signal(name="peek_final"), Signal(name="peek_offered")
        self.level, self.put, self.take = (
            Signal(2, name="peek_level"),
            Signal(name="peek_put"),
            Signal(name="peek_take"),
        )
        self.owed = [Signal(9, name=f"peek_owed_{n}") for n in range(2)]
        self.peek = {
            "dut.at": self.at,
            "dut.size": self.size,
            "dut.left": self.left,
            "dut.final": self.final,
            "dut.offers_final": self.last_offered,
            "dut.owed_level": self.level,
            "dut.owed_put": self.put,
            "dut.owed_take": self.take,
            "dut.owed_0": self.owed[0],
            "dut.owed_1": self.owed[1],
        }

    def elaborate(self, platform):
        m = Module()
        dut = self.block
        m.submodules.dut = inside = Fragment.get(dut, platform)
        machine = inside.generated["fsm"]
        state = {name: machine.state == code for name, code in machine.encoding.items()}
        run, word, ar = dut.memory.run, dut.memory.word, dut.ar
        m.d.comb += Assume(run.payload.words.any())

        offers(m, ar, "ar")
        unit = dut.memory_bits // 8
        with m.If(ar.valid):
            begins = ar.payload.address[:12]
            m.d.comb += [
                Assert(ar.payload.address % unit == 0),
                Assert(ar.payload.length < self.burst),
                Assert(begins + (ar.payload.length + 1) * unit <= _PAGE),
            ]
        # what the next burst will be
        with m.If(state["ASK"]):
            place = self.at[: (self.burst - 1).bit_length()]
            m.d.comb += [
                Assert(self.size.any()),
                Assert(place + self.size <= self.burst),
                Assert(self.size <= self.left),
                Assert(self.final == (self.size == self.left)),
            ]
        with m.Elif(state["SIZE"]):
            m.d.comb += Assert(self.left.any())

        # no more under way than there is room to note
        m.d.comb += [
            Assert(self.level + ar.valid <= 2),
            Assert((self.put ^ self.take) == self.level[0]),
            Assert(state["REST"] | state["SIZE"] | state["ASK"]),
        ]
        # each run that is taken ends once: it is being asked for, or its last burst is offered, or owed
        runs, finals = Signal(3, name="runs"), Signal(2)
        first = self.level.any() & Mux(self.take, self.owed[1][-1], self.owed[0][-1])
        second = (self.level == 2) & Mux(self.take, self.owed[0][-1], self.owed[1][-1])
        m.d.comb += finals.eq(first + second)
        m.d.sync += runs.eq(runs + transfers(run) - (word.valid & word.payload.last))
        m.d.comb += Assert(runs == (~state["REST"] & 1) + (ar.valid & self.last_offered) + finals)
        # a word that nobody knows to be wrong is a beat of the cycle before, answered OKAY
        came, beat = Signal(), Signal.like(Value.cast(dut.r.payload))
        m.d.sync += [came.eq(transfers(dut.r)), beat.eq(dut.r.payload)]
        with m.If(word.valid & ~dut.memory.failed):
            m.d.comb += [Assert(came), Assert(word.payload.word == beat[: dut.memory_bits])]
            m.d.comb += Assert(~beat[dut.memory_bits :][:2].any())
            with m.If(word.payload.last):
                m.d.comb += Assert(beat[-1])
        return m


def _inputs(dut):
    return [
        Value.cast(dut.memory.run.payload),
        dut.memory.run.valid,
        dut.memory.word.ready,
        dut.base,
        dut.ar.ready,
        Value.cast(dut.r.payload),
        dut.r.valid,
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "{memory_bits} bits, {burst}".format(**case))
def test_reads(case, tmp_path):
    dut = AxiMemory(**SIZES, **case)
    assert prove(tmp_path, _Reads(dut, case["burst"]), _inputs(dut)) == "proved"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self._burst - (at[:bits] if bits else 0)", "self._burst"),
        ("final.eq(left <= room)", "final.eq(left < room)"),
        ("Mux(broken, ~ar.valid, ~ar.valid | ar.ready)", "1"),
        ("owed.level + ar.valid < self._outstanding", "owed.level < self._outstanding"),
        ("with m.If(ar.ready):", "with m.If(1):"),
        ("owed.new.final.eq(final)", "owed.new.final.eq(0)"),
        ("owed.leaves.eq(memory.word.valid & ends)", "owed.leaves.eq(memory.word.valid & beat.last)"),
        ("(broken | beat.resp.any())", "beat.resp.any()"),
        ("broken | beat.resp.any()", "broken | beat.resp[0]"),
        ("(beat.last != ends)", "(beat.last & ~ends)"),
    ],
)
def test_a_planted_bug_in_the_reads_is_refuted(old, new, tmp_path):
    case = {"memory_bits": 128, "burst": 256}
    dut = planted(AxiMemory, old, new)(**SIZES, **case)
    assert prove(tmp_path, _Reads(dut, case["burst"]), _inputs(dut), steps=16) == "refuted"
