# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""On-chip memories: the stores of weights, parameters and tables, and memories that blocks write themselves.

Both promise that no cycle reads and writes one address, so no memory needs logic that mimics what happens then.
Amaranth's RTLIL asks for that logic (30 to 50 LUTs for each memory); `without_collision_logic` takes the request
out of RTLIL on its way to synthesis. In emitted Verilog the attribute `no_rw_check` of the memory says the same.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

from amaranth.hdl import Array, Cat, ClockSignal, Const, Instance, Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ds2ta.errors import FitError
from ds2ta.hw.payloads import MemoryWrite, check_range

__all__ = [
    "KINDS",
    "DualPortMemory",
    "Store",
    "column_bits",
    "memory_attributes",
    "single_port_rams",
    "single_port_rams_of",
    "without_collision_logic",
]

KINDS = ("rom", "ram", "spram")

_NO_CHECK = {"no_rw_check": 1}  # for tools that read the emitted Verilog
_LUT_ROWS = 512
# a block RAM of ECP5 with two ports, without parity: 1024 rows of 16 bits, or twice the rows of half the bits, ...
_BLOCK_ROWS, _BLOCK_BITS = 1024, 16
_PARITY_BITS = 18  # of a row of 1024, or, in two halves, of two rows of 2048
_LUT_BANK_ROWS = 128  # a remainder of so many rows or fewer is not worth its block RAMs
_SPRAM_WORDS = 1 << 14
_SPRAM_BITS = 16


def memory_attributes(*, depth: int, fast: bool) -> dict[str, Any]:
    """Attributes of a memory that is never read where it is written. `fast` asks for LUT memory, which only ECP5
    has and whose output is a plain register, unless the memory is too deep for it to be small or fast."""
    return _NO_CHECK | ({"ram_style": "distributed"} if fast and depth <= _LUT_ROWS else {})


def column_bits(width: int, rows: int) -> int:
    """Bits of the columns that a memory with a port to read and one to write whole words is cut into: as many as an
    ECP5's block RAM has at its depth, so that no bit is chosen among block RAMs; or all, where this would take over
    an eighth more of them."""
    shapes = [(-(-_PARITY_BITS * _BLOCK_ROWS // deep), deep) for deep in (1024, 2048)]
    shapes += [(_BLOCK_BITS * _BLOCK_ROWS // deep, deep) for deep in (4096, 8192, 16384)]
    if rows <= _BLOCK_ROWS:
        return width
    fewest = min(-(-width // wide) * -(-rows // deep) for wide, deep in shapes)
    wide = next((wide for wide, deep in shapes if deep >= rows), 1)
    return wide if 8 * -(-width // wide) * -(-rows // shapes[-1][1]) <= 9 * fewest else width


def without_collision_logic(rtlil_text: str) -> str:
    """RTLIL whose memory read ports leave the result of a read-during-write open (`COLLISION_X_MASK` all ones).

    For synthesis only. Sound because no word of the project that is read while it is written is used: the users of
    `Store` and `DualPortMemory` never collide, and `hw/lists.py` and `hw/pairs.py`, which have memories of their
    own, see to it themselves."""
    mask = r"(parameter \\COLLISION_X_MASK (\d+)')0+$"
    return re.sub(mask, lambda at: at[1] + "1" * int(at[2]), rtlil_text, flags=re.MULTILINE)


def single_port_rams_of(depth: int, width: int) -> int:
    """Single-port RAMs in a memory of so many rows and bits."""
    return -(-width // _SPRAM_BITS) * -(-depth // _SPRAM_WORDS)


def single_port_rams(
    m: Module,
    *,
    depth: int,
    address: Value,
    reads: Value,
    writes: Value,
    selects: Sequence[Value],
    masks: Sequence[Value],
    words: Sequence[Value],
) -> Value:
    """A row of single-port RAMs of an iCE40 UP5K, 16384 x 16 bits each, stacked for the depth: what they show a
    cycle after `reads`, until they are read or written again. In a cycle with `writes` those of a row that are
    `selects` take the nibbles in `masks` of `words`; those that are not keep what they show."""
    at = Signal(range(max(2, depth)), name="address")
    m.d.comb += at.eq(address)
    layer = at[14:]
    shown = Signal.like(layer, name="shown")  # the layer whose words the outputs hold
    with m.If(reads):
        m.d.sync += shown.eq(layer)
    rows = []
    for stack in range(-(-depth // _SPRAM_WORDS)):
        row = []
        for column, (select, mask, written) in enumerate(zip(selects, masks, words, strict=True)):
            word = Signal(_SPRAM_BITS, name=f"word_{stack}_{column}")
            row.append(word)
            m.submodules[f"spram_{stack}_{column}"] = Instance(
                "SB_SPRAM256KA",
                i_CLOCK=ClockSignal(),
                i_ADDRESS=Const(0, 14) | at[:14],
                i_DATAIN=written,
                i_MASKWREN=mask,
                i_WREN=writes,
                i_CHIPSELECT=(layer == stack) & select,
                i_STANDBY=Const(0),
                i_SLEEP=Const(0),
                i_POWEROFF=Const(1),  # active low
                o_DATAOUT=word,
            )
        rows.append(Cat(row))
    return Array(rows)[shown]


@dataclass(frozen=True)
class _Ask:
    """What is asked of one of a store's memories: a row, whether in this cycle, whether that is one of its own."""

    address: Value
    enable: Value
    here: Value

    def registered(self, m: Module, name: str) -> "_Ask":
        """A cycle later. The address of another memory's row is not taken: else synthesis would make one register
        of those of all memories."""
        at, asks = Signal(len(self.address), name=f"at_{name}", reset_less=True), Signal(name=f"asks_{name}")
        m.d.sync += asks.eq(self.enable)
        with m.If(self.here):
            m.d.sync += at.eq(self.address)
        return _Ask(at, asks, Const(1))


@dataclass(frozen=True)
class _Part:
    """The `number`-th part of a store: `rows` rows from `first` on, at most 2**`bits`, which divides `first`."""

    number: int
    first: int
    rows: int
    bits: int

    def holds(self, address: Value) -> Value:
        """An address is of one of its rows."""
        high = address[self.bits :]
        return high == self.first >> self.bits if len(high) else Const(1)


def _parts(depth: int) -> list[_Part]:
    """Parts of a store, each as deep as a block RAM, of one shape or another, the deepest first; they take as many
    block RAMs as parts of the shallowest shape would. Only the last is not full; a small remainder lies in LUTs."""
    shallow, small = divmod(depth, _BLOCK_ROWS)
    if not shallow or small > _LUT_BANK_ROWS:
        shallow, small = shallow + 1, 0
    found: list[_Part] = []
    first = 0
    for bits in range(ceil_log2(_BLOCK_BITS), -1, -1):
        size = _BLOCK_ROWS << bits
        while (shallow * _BLOCK_ROWS - first) >= size:
            found.append(_Part(len(found), first, min(size, depth - first), ceil_log2(size)))
            first += size
    if small:
        found.append(_Part(len(found), first, small, ceil_log2(_BLOCK_ROWS)))
    return found


class Store(wiring.Component):
    """A memory with one read port, or two: `data` is `mem[address]` of the last cycle with `enable`.

    Kinds: `rom` holds `init`; `ram` is block RAM that is also filled through the load port (and may start with
    `init`); `spram` is the single-port RAM of an iCE40 UP5K, 16384 x 16 bits each, side by side for the width and
    stacked for the depth, which starts undefined.

    Latency: 1 cycle, or 2: then no bit is chosen among block RAMs on its way to a register, since the rows lie in
    `_parts`, each cut into columns as narrow as a block RAM of its depth, registers stand behind each part, and
    behind those the choice among the parts; or 3: each part also has registers in front, for its addresses and what
    is loaded, so that no wire leads to all of a large store; `spram` has 1.
    Throughput: one read each cycle.
    With a latency of 1, `data` holds while `enable` is 0; a `spram` load makes it undefined until the next read. A
    load writes chunk `chunk` (bits `chunk * chunk_bits` and up) of row `load.address`; `data` of a read in the same
    cycle is undefined (loading happens before a run). An address of `depth` or more reads an undefined value. With
    two `ports` loading shares the address of the second, so that a block RAM of two ports does; `spram` has one.

    Parameters: `width` (any; padded inside to whole chunks), `depth` (any, at least 1), `kind`, `init` (integers,
    one for each row from 0, the rest 0), `chunk_bits`, `fast` (a small ram in LUT memory, see `memory_attributes`),
    `ports`, `latency`.

    Members: `address`, `enable`, `data`; with two ports `second` {address, enable, data}; except for a rom `load`
    {enable, address, chunk, data: chunk_bits}.
    """

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        kind: str,
        init: Sequence[int] = (),
        chunk_bits: int = _SPRAM_BITS,
        fast: bool = False,
        ports: int = 1,
        latency: int = 1,
    ):
        check_range("Store latency", latency, 1, 1 if kind == "spram" else 3)
        check_range("Store ports", ports, 1, 1 if kind == "spram" else 2)
        check_range("Store width", width, 1, 1 << 14)
        check_range("Store depth", depth, 1, 1 << 22)
        check_range("Chunk bits", chunk_bits, 1, 1 << 14)
        if kind not in KINDS:
            raise FitError(f"Store kind must be one of {', '.join(KINDS)}, not {kind!r}")
        if kind == "spram" and chunk_bits != _SPRAM_BITS:
            raise FitError(f"Chunk bits must be {_SPRAM_BITS} for kind 'spram', not {chunk_bits!r}")
        if kind == "spram" and len(init):
            raise FitError(
                f"Store init must be empty for kind 'spram', which cannot be initialized, not {len(init)} rows"
            )
        if len(init) > depth:
            raise FitError(f"Store init must be at most {depth} rows, not {len(init)!r}")
        for row, value in enumerate(init):
            if not 0 <= value < 1 << width:
                raise FitError(f"Store init row {row} must be in 0..2**{width}-1, not {value!r}")
        self._depth, self._kind, self._init = depth, kind, [int(value) for value in init]
        self._attributes = memory_attributes(depth=depth, fast=fast) if kind == "ram" else {}
        self._ports, self._latency = ports, latency
        self._chunk_bits, self._chunks = chunk_bits, -(-width // chunk_bits)
        address = range(max(2, depth))  # no port without a bit
        read = {"address": In(address), "enable": In(1), "data": Out(width)}
        members = dict(read)
        if ports == 2:
            members["second"] = Out(wiring.Signature(read))
        if kind != "rom":
            load = {
                "enable": Out(1),
                "address": Out(address),
                "chunk": Out(range(max(2, self._chunks))),
                "data": Out(chunk_bits),
            }
            members["load"] = In(wiring.Signature(load))
        super().__init__(members)

    def elaborate(self, platform) -> Module:
        m = Module()
        if self._kind == "spram":
            self._elaborate_spram(m)
            return m
        reads = (self, self.second) if self._ports == 2 else (self,)
        if self._latency == 1:
            whole = _Part(0, 0, self._depth, len(self.address))
            shows = self._part(m, reads, whole)
            m.d.comb += [port.data.eq(data) for port, data in zip(reads, shows, strict=True)]
            return m
        parts = _parts(self._depth)
        banks = [self._part(m, reads, part) for part in parts]
        for index, port in enumerate(reads):
            shown = [Signal.like(port.data, name=f"shown_{index}_{part.number}", reset_less=True) for part in parts]
            number = Signal(range(max(2, len(parts))), name=f"number_{index}", reset_less=True)
            chosen = Signal.like(number, name=f"chosen_{index}", reset_less=True)
            asked: Value = Const(0)
            for part in parts[1:]:
                asked = Mux(part.holds(port.address), part.number, asked)
            if self._latency == 3:
                held = Signal.like(number, name=f"asked_{index}", reset_less=True)
                m.d.sync += held.eq(asked)
                asked = held
            m.d.sync += [number.eq(asked), chosen.eq(number)]
            m.d.sync += [register.eq(bank[index]) for register, bank in zip(shown, banks, strict=True)]
            m.d.comb += port.data.eq(Array(shown)[chosen])
        return m

    def _part(self, m: Module, reads: Sequence[Any], part: "_Part") -> list[Value]:
        """The memories of a part of the rows: what their read ports show."""
        loads, shares = self._kind == "ram", self._kind == "ram" and self._ports == 2
        asks = [_Ask(port.address[: part.bits], port.enable, part.holds(port.address)) for port in reads]
        if loads:
            load = self.load
            here = part.holds(load.address)
            word, writes = load.data, (load.enable & here) << load.chunk
            goes_to = load.address[: part.bits]
            if shares:
                shared = Signal(part.bits, name=f"shared_{part.number}")
                m.d.comb += shared.eq(Mux(load.enable, load.address, self.second.address))
                asks[1] = _Ask(shared, asks[1].enable, Mux(load.enable, here, asks[1].here))
        if self._latency == 3:
            asks = [ask.registered(m, f"{index}_{part.number}") for index, ask in enumerate(asks)]
            if loads:
                held = [
                    Signal(self._chunks, name=f"writes_{part.number}"),
                    Signal.like(word, reset_less=True),
                ]
                m.d.sync += [held[0].eq(writes), held[1].eq(word)]
                writes, word = held
                if not shares:
                    goes_to = _Ask(goes_to, load.enable, here).registered(m, f"load_{part.number}").address
        shows: list[list[Value]] = [[] for _ in reads]
        columns = self._columns(part)
        for column, memory in enumerate(columns):
            name = f"memory_{part.number}_{column}" if len(columns) > 1 else f"memory_{part.number}"
            m.submodules[name if self._latency > 1 else "memory"] = memory
            ports = [memory.read_port() for _ in reads]
            for port, ask, show in zip(ports, asks, shows, strict=True):
                m.d.comb += [port.addr.eq(ask.address), port.en.eq(ask.enable)]
                show.append(port.data)
            if not loads:
                continue
            if len(columns) == 1:
                write, row, enables = (
                    memory.write_port(granularity=self._chunk_bits),
                    word.replicate(self._chunks),
                    writes,
                )
            else:
                write = memory.write_port()
                chunk, offset = divmod(column * len(write.data), self._chunk_bits)
                row, enables = word[offset : offset + len(write.data)], writes[chunk]
            m.d.comb += [
                write.addr.eq(asks[1].address if shares else goes_to),
                write.data.eq(row),
                write.en.eq(enables),
            ]
        return [Cat(show) if len(columns) > 1 else show[0] for show in shows]

    def _columns(self, part: "_Part") -> list[Memory]:
        """A part of the rows, in one memory, or cut, the least significant bits first."""
        width = len(self.data) if self._kind == "rom" else self._chunks * self._chunk_bits
        bits = width
        if self._latency > 1 and part.rows > _BLOCK_ROWS:
            # a column is loaded whole, so it lies in one chunk
            bits = gcd(_BLOCK_BITS * _BLOCK_ROWS >> part.bits, self._chunk_bits)
        # a ROM is logic where small
        fast = self._latency > 1 and part.rows <= _LUT_BANK_ROWS and self._kind == "ram"
        attributes = memory_attributes(depth=part.rows, fast=True) if fast else self._attributes
        rows = self._init[part.first : part.first + part.rows]
        return [
            Memory(
                shape=unsigned(min(bits, width - low)),
                depth=part.rows,
                init=[row >> low & (1 << bits) - 1 for row in rows],
                attrs=attributes,
            )
            for low in range(0, width, bits)
        ]

    def _elaborate_spram(self, m: Module) -> None:
        load = self.load
        m.d.comb += self.data.eq(
            single_port_rams(
                m,
                depth=self._depth,
                address=Mux(load.enable, load.address, self.address),
                reads=self.enable,
                writes=load.enable,
                selects=[Mux(load.enable, load.chunk == chunk, self.enable) for chunk in range(self._chunks)],
                masks=[Const(15, 4)] * self._chunks,
                words=[load.data] * self._chunks,
            )
        )


class DualPortMemory(wiring.Component):
    """A memory with one read port and one write port: the banks of spikes, queues, buffers, totals, counters.

    Latency: read 1 cycle, `read_data` holds while `read_enable` is 0; a write is readable one cycle later.
    Throughput: one read and one write each cycle, of different addresses: `collision` tells (combinationally) that
    the user broke this. Leave it open in hardware, check it in simulation. Content at power-up: zero.

    Parameters: `width` of a word, `depth` in words, `block`: block RAM even where registers look cheaper; `fast`:
    LUT memory, see `memory_attributes`.

    Members: `read_address`, `read_enable`, `read_data`; `write` {address, data, enable}; `collision`.
    """

    def __init__(self, *, width: int, depth: int, block: bool = False, fast: bool = False):
        check_range("Memory width", width, 1, 1 << 12)
        check_range("Memory depth", depth, 1, 1 << 22)
        self._depth = depth
        self._attributes = memory_attributes(depth=depth, fast=fast)
        if block and not fast:
            self._attributes = self._attributes | {"ram_style": "block"}
        address = Shape.cast(range(max(2, depth)))
        super().__init__(
            {
                "read_address": In(address),
                "read_enable": In(1),
                "read_data": Out(width),
                "write": In(MemoryWrite(unsigned(width), address.width)),
                "collision": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        memory: Memory = Memory(shape=self.read_data.shape(), depth=self._depth, init=[], attrs=self._attributes)
        m.submodules.memory = memory
        read, write = memory.read_port(), memory.write_port()
        m.d.comb += [
            read.addr.eq(self.read_address),
            read.en.eq(self.read_enable),
            self.read_data.eq(read.data),
            write.addr.eq(self.write.address),
            write.data.eq(self.write.data),
            write.en.eq(self.write.enable),
            self.collision.eq(self.read_enable & self.write.enable & (self.read_address == self.write.address)),
        ]
        return m
