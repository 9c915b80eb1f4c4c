# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Contents of memories: the RTLIL is Amaranth's, the Verilog is short, and every word of both is what was asked
for: in simulation, as yosys reads the Verilog, and in a mapped netlist."""

import random
import re
import subprocess
import sys

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from verilog_tools import assert_plain, icarus_accepts, needs_icarus, verilator_accepts, yosys_accepts

from ds2ta.gateware.memories import by_rows
from ds2ta.gateware.verilog import emit
from ds2ta.hw.store import DualPortMemory, Store
from ds2ta.sim.gates import Gates
from ds2ta.sim.rtl import Rtl


def _holes(width: int, depth: int) -> list[int]:
    """Words of every kind with zeros between them, the last of them not zero."""
    generator = random.Random(width)
    words = [generator.choice([0, generator.getrandbits(width)]) for _ in range(depth)]
    return [*words[:-1], 1 << width - 1]


STORES = {
    "holes": {"width": 20, "depth": 70, "kind": "rom", "init": [0, 0, *_holes(20, 28)]},
    "full": {"width": 20, "depth": 70, "kind": "rom", "init": _holes(20, 70)},
    "few zeros": {"width": 20, "depth": 40, "kind": "rom", "init": _holes(20, 25)},
    "one word": {"width": 7, "depth": 40, "kind": "rom", "init": [5]},
    "last word alone": {"width": 7, "depth": 40, "kind": "rom", "init": [0] * 39 + [1]},
    "one bit": {"width": 1, "depth": 40, "kind": "rom", "init": [0, 1, 0, 1]},
    "empty rom": {"width": 12, "depth": 40, "kind": "rom"},
    "empty ram": {"width": 32, "depth": 5000, "kind": "ram"},
    "filled ram": {"width": 32, "depth": 300, "kind": "ram", "init": _holes(32, 9)},
    "one row": {"width": 3, "depth": 1, "kind": "rom", "init": [6]},
}


def words_of(shape: dict) -> list[int]:
    init = shape.get("init", [])
    return [*init, *[0] * (shape["depth"] - len(init))]


def read(rtl: Rtl, depth: int) -> list[int]:
    """All words of a store."""
    rtl.set("enable", 1)
    found = []
    for address in range(depth):
        rtl.set("address", address)
        rtl.advance()
        found.append(rtl.get("data"))
    return found


@pytest.fixture(params=STORES)
def shape(request):
    return STORES[request.param]


def test_rtlil_is_that_of_amaranth(shape):
    plain = rtlil.convert(Store(**shape), emit_src=False)
    with by_rows():
        assert rtlil.convert(Store(**shape), emit_src=False) == plain
    assert rtlil.convert(Store(**shape), emit_src=False) == plain, "what was put in Amaranth's place is still there"


def test_read_in_simulation(shape):
    with Rtl(Store(**shape), name="store") as rtl:
        assert read(rtl, shape["depth"]) == words_of(shape)


def test_memory_is_zero_at_power_up():
    with Rtl(DualPortMemory(width=9, depth=5000), name="bank") as rtl:
        rtl.set("read_enable", 1)
        for address in range(5000):
            rtl.set("read_address", address)
            rtl.advance()
            assert rtl.get("read_data") == 0


def contents(text: str, folder, top: str = "store") -> dict[str, list[str]]:
    """Bits of each memory as yosys reads the Verilog, rows from 0: undefined ones are x."""
    (folder / "design.v").write_text(text)
    script = f"read_verilog design.v; hierarchy -top {top}; proc; memory_collect; write_rtlil collected.il"
    run = "import sys; from pyosys import libyosys; [libyosys.run_pass(line) for line in sys.argv[1].split('; ')]"
    done = subprocess.run([sys.executable, "-c", run, script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]
    found = {}
    for cell in re.findall(r"^  cell \$mem_v2 .*?^  end$", (folder / "collected.il").read_text(), re.M | re.S):
        bits = re.search(r"parameter \\INIT (?:\d+')?(\S+)$", cell, re.M)[1]
        width, size = (
            int(re.search(rf"parameter (?:signed )?\\{key} (\d+)", cell)[1]) for key in ("WIDTH", "SIZE")
        )
        bits = bits if len(bits) > 1 else bits * width * size
        rows = [bits[at : at + width] for at in range(0, len(bits), width)][::-1]
        assert len(rows) == size
        found[re.search(r'parameter \\MEMID "\\+(\S+)"', cell)[1]] = rows
    return found


def test_yosys_reads_every_word(shape, tmp_path):
    (rows,) = contents(emit(Store(**shape), "store"), tmp_path).values()
    assert [int(row, 2) for row in rows] == words_of(shape)


def test_tools_accept(shape, tmp_path):
    text = emit(Store(**shape), "store")
    assert_plain(text)
    verilator_accepts(text, tmp_path)
    yosys_accepts(text, tmp_path)


def test_each_word_is_set_once(shape):
    """Initial blocks run in any order, so loops and contents must not meet."""
    text = emit(Store(**shape), "store")
    rows = [int(row) for row in re.findall(r"^    memory\[(\d+)\] = ", text, re.M)]
    for begin, end in re.findall(r"zeroed_row = (\d+); zeroed_row < (\d+);", text):
        rows += range(int(begin), int(end))
    assert sorted(rows) == list(range(shape["depth"]))


@needs_icarus
def test_icarus_accepts(shape, tmp_path):
    icarus_accepts(emit(Store(**shape), "store"), tmp_path)


@pytest.mark.parametrize("family", ["ice40", "ecp5"])
def test_netlist_holds_every_word(family):
    """Block RAM of a mapped netlist, read row by row in simulation."""
    shape = {"width": 16, "depth": 256, "kind": "rom", "init": [0, 0, *_holes(16, 120)]}
    with Gates(Store(**shape), family, name="store") as gates:
        assert gates.netlist.area.block_rams == 1
        assert read(gates, shape["depth"]) == words_of(shape)


class Pair(wiring.Component):
    """Two memories in one module, which differ in nothing but their depth, and one that has contents."""

    def __init__(self):
        super().__init__({"address": In(7), "first": Out(4), "second": Out(4), "third": Out(4)})

    def elaborate(self, platform):
        m = Module()
        for name, depth, init in (("first", 100, []), ("second", 128, []), ("third", 90, [0, 0, 3])):
            m.submodules[name] = memory = Memory(shape=unsigned(4), depth=depth, init=init)
            read = memory.read_port()
            m.d.comb += [read.addr.eq(self.address), getattr(self, name).eq(read.data)]
        return m


def test_memories_of_one_module(tmp_path):
    text = emit(Pair(), "pair")
    assert_plain(text)
    verilator_accepts(text, tmp_path)
    found = contents(text, tmp_path, "pair")
    lengths = {name: [int(row, 2) for row in rows] for name, rows in found.items()}
    assert sorted(lengths.values(), key=len) == [[0, 0, 3, *[0] * 87], [0] * 100, [0] * 128]


def test_a_large_memory_is_a_short_text():
    """And is emitted in seconds, not minutes: yosys sees one row of it."""
    text = emit(Store(width=512, depth=100_000, kind="ram"), "store")
    assert len(text) < 10_000
    assert "memory [99999:0];" in text
    turns = [int(end) - int(begin) for begin, end in re.findall(r"zeroed_row = (\d+); zeroed_row < (\d+);", text)]
    assert sum(turns) == 100_000
    assert max(turns) == 4096, "synthesizers refuse loops of more turns: Quartus ends at 5000"
