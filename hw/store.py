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
    "memory_attributes",
    "single_port_rams",
    "single_port_rams_of",
    "without_collision_logic",
]

KINDS = ("rom", "ram", "spram")

_NO_CHECK = {"no_rw_check": 1}  # for tools that read the emitted Verilog
_LUT_ROWS = 512
_BLOCK_ROWS = 1024  # of 16 bits or more, in a block RAM of ECP5 with two ports
_LUT_BANK_ROWS = 128  # a remainder of so many rows or fewer is not worth its block RAMs
_SPRAM_WORDS = 1 << 14
_SPRAM_BITS = 16


def memory_attributes(*, depth: int, fast: bool) -> dict[str, Any]:
    """Attributes of a memory that is never read where it is written. `fast` asks for LUT memory, which only ECP5
    has and whose output is a plain register, unless the memory is too deep for it to be small or fast."""
    return _NO_CHECK | ({"ram_style": "distributed"} if fast and depth <= _LUT_ROWS else {})


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


class Store(wiring.Component):
    """A memory with one read port, or two: `data` is `mem[address]` of the last cycle with `enable`.

    Kinds: `rom` holds `init`; `ram` is block RAM that is also filled through the load port (and may start with
    `init`); `spram` is the single-port RAM of an iCE40 UP5K, 16384 x 16 bits each, side by side for the width and
    stacked for the depth, which starts undefined.

    Latency: 1 cycle, or 2: then the rows lie in memories of one block RAM's depth, a register stands behind each of
    them, and the choice among those, and a small remainder in LUTs; or 3: each of those memories also has registers
    in front, for its addresses and what is loaded, so that no wire leads to all of a large store; `spram` has 1.
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
        rows = _BLOCK_ROWS if self._latency > 1 else self._depth
        banks = [
            self._bank(m, reads, number, min(rows, self._depth - rows * number))
            for number in range(-(-self._depth // rows))
        ]
        if self._latency == 1:
            m.d.comb += [port.data.eq(data) for port, data in zip(reads, banks[0], strict=True)]
            return m
        for index, port in enumerate(reads):
            shown = [
                Signal.like(port.data, name=f"shown_{index}_{number}", reset_less=True)
                for number in range(len(banks))
            ]
            number = Signal(range(max(2, len(banks))), name=f"number_{index}", reset_less=True)
            chosen = Signal.like(number, name=f"chosen_{index}", reset_less=True)
            asked: Value = port.address // rows
            if self._latency == 3:
                asked = Signal.like(number, name=f"asked_{index}", reset_less=True)
                m.d.sync += asked.eq(port.address // rows)
            m.d.sync += [number.eq(asked), chosen.eq(number)]
            m.d.sync += [register.eq(bank[index]) for register, bank in zip(shown, banks, strict=True)]
            m.d.comb += port.data.eq(Array(shown)[chosen])
        return m

    def _bank(self, m: Module, reads: Sequence[Any], number: int, rows: int) -> list[Value]:
        """A memory of `rows` rows, from the `number`-th such number of them on: what its read ports show."""
        width = len(self.data) if self._kind == "rom" else self._chunks * self._chunk_bits
        parted = self._latency > 1
        first = number * _BLOCK_ROWS if parted else 0
        memory: Memory = Memory(
            shape=unsigned(width),
            depth=rows,
            init=self._init[first : first + rows],
            attrs=memory_attributes(depth=rows, fast=True)
            if parted and rows <= _LUT_BANK_ROWS and self._kind == "ram"  # a ROM is logic where small
            else self._attributes,
        )
        m.submodules[f"memory_{number}" if number else "memory"] = memory
        bits = ceil_log2(_BLOCK_ROWS) if parted else len(self.address)
        loads, shares = self._kind == "ram", self._kind == "ram" and self._ports == 2
        # address, enable, whether it is this memory's: of each read port, and of loading
        asks = [
            _Ask(port.address[:bits], port.enable, port.address // _BLOCK_ROWS == number if parted else Const(1))
            for port in reads
        ]
        if loads:
            load = self.load
            here = load.address // _BLOCK_ROWS == number if parted else Const(1)
            word, writes = load.data, (load.enable & here) << load.chunk
            goes_to = load.address[:bits]
            if shares:
                shared = Signal(bits, name=f"shared_{number}")
                m.d.comb += shared.eq(Mux(load.enable, load.address, self.second.address))
                asks[1] = _Ask(shared, asks[1].enable, Mux(load.enable, here, asks[1].here))
        if self._latency == 3:
            asks = [ask.registered(m, f"{index}_{number}") for index, ask in enumerate(asks)]
            if loads:
                held = [Signal(self._chunks, name=f"writes_{number}"), Signal.like(word, reset_less=True)]
                m.d.sync += [held[0].eq(writes), held[1].eq(word)]
                writes, word = held
                if not shares:
                    goes_to = _Ask(goes_to, load.enable, here).registered(m, f"load_{number}").address
        ports = [memory.read_port() for _ in reads]
        for port, ask in zip(ports, asks, strict=True):
            m.d.comb += [port.addr.eq(ask.address), port.en.eq(ask.enable)]
        if loads:
            write, row = memory.write_port(granularity=self._chunk_bits), word.replicate(self._chunks)
            m.d.comb += [
                write.addr.eq(asks[1].address if shares else goes_to),
                write.data.eq(row),
                write.en.eq(writes),
            ]
        return [port.data for port in ports]

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
