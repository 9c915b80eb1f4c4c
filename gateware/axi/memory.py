# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""An external memory behind an AXI4 read master: runs of words become bursts, several of them under way."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ds2ta.errors import FitError
from ds2ta.hw.payloads import check_power_of_two, check_range, memory_port

__all__ = [
    "BURST",
    "MASTER_BITS",
    "OUTSTANDING",
    "AxiMemory",
    "address_layout",
    "data_layout",
    "join_master",
    "master_ports",
]

#: Widths of the data of a master.
MASTER_BITS = (64, 128)
#: Words of a burst, bursts under way: 184 cycles of latency cost nothing.
BURST, OUTSTANDING = 64, 4
_LENGTH = 8  # bits of ARLEN


def address_layout(byte_address_bits: int) -> data.StructLayout:
    """Payload of AXI's AR channel, as far as it changes: ARADDR and ARLEN."""
    return data.StructLayout({"address": byte_address_bits, "length": _LENGTH})


def data_layout(memory_bits: int) -> data.StructLayout:
    """Payload of AXI's R channel."""
    return data.StructLayout({"data": memory_bits, "resp": 2, "last": 1})


def master_ports(memory_bits: int, byte_address_bits: int) -> dict[str, wiring.Member]:
    """Port -> direction and width of a master that reads only, by AXI's names."""
    return {
        "m_axi_arid": Out(1),
        "m_axi_araddr": Out(byte_address_bits),
        "m_axi_arlen": Out(_LENGTH),
        "m_axi_arsize": Out(3),
        "m_axi_arburst": Out(2),
        "m_axi_arlock": Out(1),
        "m_axi_arcache": Out(4),
        "m_axi_arprot": Out(3),
        "m_axi_arqos": Out(4),
        "m_axi_arvalid": Out(1),
        "m_axi_arready": In(1),
        "m_axi_rid": In(1),
        "m_axi_rdata": In(memory_bits),
        "m_axi_rresp": In(2),
        "m_axi_rlast": In(1),
        "m_axi_rvalid": In(1),
        "m_axi_rready": Out(1),
    }


def join_master(m: Module, memory: "AxiMemory", top: wiring.Component) -> None:
    """Ports `m_axi_*` of `top` to the channels of `memory`. One ID, so data come in order; INCR; whole words;
    normal memory, bufferable, not cached; unprivileged, secure data."""
    ar, r = memory.ar, memory.r
    m.d.comb += [
        top.m_axi_araddr.eq(ar.payload.address),
        top.m_axi_arlen.eq(ar.payload.length),
        top.m_axi_arsize.eq(exact_log2(memory.memory_bits // 8)),
        top.m_axi_arburst.eq(0b01),
        top.m_axi_arcache.eq(0b0011),
        top.m_axi_arvalid.eq(ar.valid),
        ar.ready.eq(top.m_axi_arready),
        r.payload.data.eq(top.m_axi_rdata),
        r.payload.resp.eq(top.m_axi_rresp),
        r.payload.last.eq(top.m_axi_rlast),
        r.valid.eq(top.m_axi_rvalid),
        top.m_axi_rready.eq(r.ready),
    ]


class AxiMemory(wiring.Component):
    """Serves runs of words by AXI4 read bursts. Word 0 of the memory lies at byte address `base`, others behind.

    A burst ends with its run, or with an address that is a multiple of `burst` words: none is longer than `burst`,
    and since those are a page of 4 KiB or a part of it, none crosses one. Up to `outstanding` bursts are under way,
    those of the next run too. Every burst is taken to its end, a beat in each cycle.

    An answer that is not OKAY (SLVERR, DECERR, or EXOKAY, which nobody asked for) makes its word `failed`; the run
    goes on. RLAST on any beat but the last of a burst, no RLAST on that, or a beat of no burst breaks the protocol:
    from there on no beat can be told from another. The word is `failed`, and so are all others of the runs that
    were taken before, which end at once, a word each cycle, with any data. Beats that still come are dropped; the
    next run is taken when there were none for 2**`quiet` cycles. So it is after a reset, which may have left bursts
    under way. A memory that does not answer, or answers without end, is waited for: the user counts the cycles.

    A `base` that is no multiple of a word, or lies so high that a memory of 2**`address_bits` words would pass the
    end of the address space, is refused: `memory.ready` is low, and no run is taken.

    Latency: ARVALID 3 cycles after a run was taken; a word in the cycle after its beat, its `failed` with it.
    Throughput: a word each cycle while bursts are under way; a burst is asked for in 2 cycles, a run in one more.
    No path leads from an input to an output.

    Parameters: `memory_bits` (64 or 128) of a word and of the bus; `address_bits` of a word's number;
    `byte_address_bits` (32 to 64) of the bus; `burst` (words, a power of two) and `outstanding` (a power of two) as
    above: `burst` x (`outstanding` - 1) - 8 cycles of the memory's latency cost nothing; `quiet`.

    Members: `memory`: `memory_port`; `base`: used when a run is taken; `ar`, `r`: the two channels.
    """

    def __init__(
        self,
        *,
        memory_bits: int,
        address_bits: int,
        byte_address_bits: int = 64,
        burst: int = BURST,
        outstanding: int = OUTSTANDING,
        quiet: int = 12,
    ):
        if memory_bits not in MASTER_BITS:
            raise FitError(f"Memory bits of an AXI master must be 64 or 128, not {memory_bits!r}")
        check_range("Address bits", address_bits, 1, 32)
        check_range("Byte address bits", byte_address_bits, 32, 64)
        check_power_of_two("Burst", burst, 1, 1 << _LENGTH)
        check_power_of_two("Outstanding", outstanding, 1, 16)
        check_range("Quiet", quiet, 1, 24)
        self.memory_bits, self._burst, self._outstanding, self._quiet = memory_bits, burst, outstanding, quiet
        self._unit = exact_log2(memory_bits // 8)
        self._span = address_bits + self._unit  # bits of a byte's number in the memory
        if self._span > byte_address_bits:
            raise FitError(
                f"Address bits: words of {memory_bits} bits with numbers of {address_bits} bits need byte "
                f"addresses of {self._span} bits; the bus has {byte_address_bits}"
            )
        super().__init__(
            {
                "memory": In(memory_port(memory_bits, address_bits)),
                "base": In(byte_address_bits),
                "ar": Out(stream.Signature(address_layout(byte_address_bits))),
                "r": In(stream.Signature(data_layout(memory_bits))),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        broken = Signal(init=1)  # a beat was not what AXI promises, or may not be, as after a reset
        owed = _Owed(self._outstanding)
        asks = Signal()  # a run is not yet asked for to its end
        self._ask(m, asks, broken, owed)
        self._land(m, asks, broken, owed)
        owed.elaborate(m)
        return m

    def _ask(self, m: Module, asks: Signal, broken: Signal, owed: "_Owed") -> None:
        """One burst after another. Once `broken`, they are noted, but not asked for."""
        run, ar = self.memory.run, self.ar
        bits = exact_log2(self._burst)
        base = Signal.like(self.base)
        fits = Signal()
        at = Signal(len(self.base) - self._unit)  # word at which the next burst begins
        left = Signal.like(run.payload.words)
        size, room = (Signal(range(self._burst + 1), name=name) for name in ("size", "room"))
        final = Signal()  # the next burst is the last of its run
        offers_final = Signal()  # the burst on `ar` is the last of its run
        m.d.sync += base.eq(self.base)
        m.d.comb += [
            fits.eq(~Cat(base[self._span :], 1).all() | ~base[: self._span].any()),
            self.memory.ready.eq(self.r.ready & fits & ~base[: self._unit].any()),
            room.eq(self._burst - (at[:bits] if bits else 0)),
            owed.enters.eq(ar.valid & ar.ready),
            owed.new.length.eq(ar.payload.length),
            owed.new.final.eq(offers_final),
        ]
        with m.If(ar.ready):
            m.d.sync += ar.valid.eq(0)
        with m.FSM():
            with m.State("REST"):
                m.d.comb += run.ready.eq(self.memory.ready & ~broken)
                m.d.sync += [at.eq(base[self._unit :] + run.payload.address), left.eq(run.payload.words)]
                with m.If(run.valid & run.ready):
                    m.next = "SIZE"
            with m.State("SIZE"):
                m.d.comb += asks.eq(1)
                m.d.sync += [final.eq(left <= room), size.eq(Mux(left <= room, left, room))]
                m.next = "ASK"
            with m.State("ASK"):
                goes = Signal()
                m.d.comb += asks.eq(1)
                with m.If(owed.level + ar.valid < self._outstanding):
                    m.d.comb += goes.eq(Mux(broken, ~ar.valid, ~ar.valid | ar.ready))
                with m.If(goes & broken):
                    m.d.comb += [owed.enters.eq(1), owed.new.length.eq(size - 1), owed.new.final.eq(final)]
                with m.Elif(goes):
                    m.d.sync += [
                        ar.valid.eq(1),
                        ar.payload.address.eq(Cat(Const(0, self._unit), at)),
                        ar.payload.length.eq(size - 1),
                        offers_final.eq(final),
                    ]
                with m.If(goes):
                    # where the run goes on, a multiple of `burst` is reached
                    m.d.sync += [left.eq(left - size), at.eq(Cat(Const(0, bits), at[bits:] + 1))]
                    m.next = "SIZE"
                    with m.If(final):
                        m.next = "REST"

    def _land(self, m: Module, asks: Signal, broken: Signal, owed: "_Owed") -> None:
        """Beats, a cycle after they came; once `broken`, a word each cycle for what is owed."""
        memory, r = self.memory, self.r
        came = Signal()
        beat = Signal.like(r.payload)
        number = Signal(_LENGTH)  # of the next beat in its burst
        ends, violates = (Signal(name=name) for name in ("ends", "violates"))
        m.d.sync += [r.ready.eq(1), came.eq(r.valid & r.ready), beat.eq(r.payload)]
        m.d.comb += [
            ends.eq(number == owed.first.length),
            violates.eq(came & ~broken & (~owed.some | (beat.last != ends))),
            memory.word.valid.eq(owed.some & (came | broken)),
            memory.word.payload.word.eq(beat.data),
            memory.word.payload.last.eq(ends & owed.first.final),
            memory.failed.eq(violates | (memory.word.valid & (broken | beat.resp.any()))),
            owed.leaves.eq(memory.word.valid & ends),
        ]
        with m.If(memory.word.valid):
            m.d.sync += number.eq(Mux(ends, 0, number + 1))
        silence = Signal(self._quiet)
        m.d.sync += silence.eq(Mux(broken & ~came, silence + ~silence.all(), 0))
        with m.If(violates):
            m.d.sync += broken.eq(1)
        with m.Elif(silence.all() & ~came & ~owed.some & ~self.ar.valid & ~asks):
            m.d.sync += broken.eq(0)


class _Owed:
    """The bursts whose beats are to come, in order. One that enters is there in the next cycle."""

    def __init__(self, depth: int):
        layout = data.StructLayout({"length": _LENGTH, "final": 1})
        self._bursts = [Signal(layout, name=f"owed_{n}", reset_less=True) for n in range(depth)]
        self._put, self._take = Signal(range(depth), name="owed_put"), Signal(range(depth), name="owed_take")
        self.level, self.some = Signal(range(depth + 1), name="owed_level"), Signal(name="owed_some")
        self.enters, self.leaves = Signal(name="owed_enters"), Signal(name="owed_leaves")
        self.new, self.first = Signal(layout, name="owed_new"), Signal(layout, name="owed_first")

    def elaborate(self, m: Module) -> None:
        m.d.comb += [self.some.eq(self.level.any()), self.first.eq(Array(self._bursts)[self._take])]
        m.d.sync += [
            self.level.eq(self.level + self.enters - self.leaves),
            self._put.eq(self._put + self.enters),
            self._take.eq(self._take + self.leaves),
        ]
        with m.If(self.enters):
            m.d.sync += Array(self._bursts)[self._put].eq(self.new)
