# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The core that every shell wraps: accelerator, check of its memories, register file, result memory.

bus <----> register file <-- logits, events -- accelerator <== load, sample
                ^                                  ^
                '-- settings, CRC -- checker -- scan
"""

from collections.abc import Mapping

from amaranth.hdl import (
    Array,
    Cat,
    ClockDomain,
    ClockSignal,
    Const,
    DomainRenamer,
    Module,
    Mux,
    ResetSignal,
    Signal,
    Value,
)
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from ds2ta.errors import FitError
from ds2ta.gateware.accelerator import Accelerator
from ds2ta.gateware.checker import StoreChecker
from ds2ta.gateware.compiler import Program
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.program import Opcode
from ds2ta.gateware.register_file import RegisterFile, bus_signature
from ds2ta.gateware.registers import IDENTITY, REGISTERS, STORES, VERSION, machine_words
from ds2ta.gateware.sequencer import COUNTERS
from ds2ta.gateware.stores import (
    CHUNK,
    load_layout,
    store_images,
    store_shapes,
)
from ds2ta.hw.head import logit_layout
from ds2ta.hw.memory_reader import MemoryReader
from ds2ta.hw.payloads import memory_port, memory_write_layout
from ds2ta.network import MAX_SIDE

__all__ = ["Core", "count_width", "sample_length"]

_DIGEST_BYTES = 32


def count_width(machine: Machine) -> int:
    """Bits of the registers `sample_length`, `sample_bytes` and `check_rows`."""
    steps = machine.time_steps if machine.samples == "any" else 1
    # where an input comes in bands, no loop counts all of its positions
    positions = MAX_SIDE * MAX_SIDE if machine.bands else machine.max_count
    most = positions * machine.max_channels * steps
    return bits_for(max(most, *(shape.rows for shape in store_shapes(machine).values())))


def sample_length(program: Program) -> int:
    """Bytes of one sample of the compiled model, of all its bands."""
    passes = [item for item in program.instructions if item.opcode == Opcode.INPUT]
    return sum((item.positions_last + 1) * item.channels * (item.steps if item.frames else 1) for item in passes)


def _contents(machine: Machine, program: Program | None, clock_hz: int, digest: bytes) -> Mapping[int, int]:
    """What the register file holds at power-up."""
    shapes = store_shapes(machine)
    minor = VERSION[1] if machine.streams or machine.single_port or machine.bank_a_rows else 1
    words: dict[str, list[int]] = {
        "id": [IDENTITY],
        "version": [REGISTERS["version"].encode(major=VERSION[0], minor=minor)],
        "clock_hz": [clock_hz],
        "store_rows": [shapes[name].rows for name in STORES],
        "store_chunks": [shapes[name].chunks for name in STORES],
        "model_digest": [int.from_bytes(digest[at : at + 4], "little") for at in range(0, len(digest), 4)],
        "machine": machine_words(machine),
    }
    if program is not None:
        if machine.tables == "rom":  # the program itself is built in
            words["sample_length"] = [sample_length(program)]
            words["classes"] = [program.instructions[-1].classes_last + 1]
        built_in = {name: [] if shapes[name].inside else image for name, image in store_images(program).items()}
        if machine.streams and machine.tables != "rom":  # weights of no model yet
            built_in["weights"] = []
        words["check_rows"] = [len(built_in[name]) for name in STORES]
        words["check_expected"] = [shapes[name].crc(built_in[name]) for name in STORES]
    return {REGISTERS[name].at(index): word for name, some in words.items() for index, word in enumerate(some)}


class _Reset:
    """A core_reset on its way: the accelerator lets the checker finish its row before it resets."""

    def __init__(self):
        # one is asked for; what is known of the sample is void
        self.resets, self.forget = Signal(), Signal(name="forget")
        # the accelerator's reset, and the cycle in which it outlasts the shell's own
        self.resetting, self.recovers = (
            Signal(init=1, reset_less=True),
            Signal(name="recovers", init=1, reset_less=True),
        )


class _Sample:
    """The sample at hand, and what is known of its result."""

    def __init__(self, core: "Core", result_class: Value):
        # all bytes are taken; none is taken; the first is
        self.full, self.shut, self.starts = Signal(init=1), Signal(), Signal(name="starts")
        self.taken = Signal.like(core.sample_bytes)
        self.waits = Signal()  # a byte, for the accelerator
        self.old = Signal()  # the ring holds weights of old contents
        # a logit comes; it is the last
        self.came, self.ends = Signal(), Signal(name="ends")
        self.valid, self.trusted, self.winner = Signal(), Signal(), Signal.like(result_class, name="winner")


class Core(wiring.Component):
    """An accelerator that anything with a bus can use; `docs/registers.md` tells what the bus shows.

    The memories are checked whenever nothing else wants them. Loading, and the first byte of a sample, wait for the
    row that is being read (at most 5 cycles for each chunk of it, and a few more).

    Parameters: `machine`; `program` for its ROM stores; `clock_hz` (what `clock_hz` reads); `digest`: SHA-256 of
    the built-in model, or nothing; `result_stream`: the shell takes the logits as a stream too; `trace`: pass on
    the accelerator's trace ports.

    Members
    -------
    bus: `register_file.bus_signature`; `done` 4 cycles after `enable`, or some more.
    memory (where weights are a stream): `hw.payloads.memory_port`, from word 0 on; memory_write (where its
      words have 16 bits): stream of `hw.payloads.memory_write_layout`, weights that are loaded, none while a sample
      is worked on. memory_moved: pulse, the memory is another one.
    load (where a store is loadable): `stores.load_layout`; a word every 2 cycles, none while a sample is open or
      worked on. load_error: pulse, the word taken in the cycle before is outside of the loadable stores and had no
      effect.
    sample: {value}. Bytes wait while `sample_bytes` is `sample_length`, so until the result of their predecessors
      is complete. sample_bytes, sample_length: the registers, for shells that check them; sample_full: they are
      equal (a change of `sample_length` shows one cycle later).
    frame_good, frame_dropped: pulses from a link, counted in the registers of their names; the next of its kind 32
      cycles later or more.
    result (with `result_stream`): `hw.head.logit_layout`; its `ready` holds the accelerator.
    busy: a sample is open or worked on. error: a store disagreed with its CRC.
    """

    def __init__(
        self,
        machine: Machine,
        program: Program | None = None,
        *,
        clock_hz: int,
        digest: bytes = b"",
        result_stream: bool = False,
        trace: bool = False,
    ):
        if type(clock_hz) is not int or not 0 < clock_hz < 1 << 32:
            raise FitError(f"Clock frequency must be a whole number of Hz below 2**32, not {clock_hz!r}")
        if len(digest) not in (0, _DIGEST_BYTES):
            raise FitError(f"Digest must have {_DIGEST_BYTES} bytes or none, not {len(digest)}")
        if machine.logit_width > 32:
            raise FitError(
                f"machine: logit_width: {machine.logit_width} must be at most 32, the width of a register"
            )
        self.machine = machine
        self._shapes = store_shapes(machine)
        self._accelerator = Accelerator(machine, program, trace=trace)
        self._checker = StoreChecker(machine)
        self._file = RegisterFile(
            classes=machine.max_classes,
            counters=COUNTERS * machine.instructions,
            logit_width=machine.logit_width,
            counter_width=machine.counter_width,
            count_width=count_width(machine),
            row_width=bits_for(max(shape.rows for shape in self._shapes.values())),
            init=_contents(machine, program, clock_hz, digest),
        )
        ports = self._accelerator.signature.members
        members = {
            "bus": In(bus_signature()),
            "sample": In(stream.Signature(data.StructLayout({"value": 8}))),
            "sample_bytes": Out(count_width(machine)),
            "sample_length": Out(count_width(machine)),
            "sample_full": Out(1),
            "frame_good": In(1),
            "frame_dropped": In(1),
            "busy": Out(1),
            "error": Out(1),
            **{name: member for name, member in ports.items() if name.startswith("trace_")},
        }
        if machine.streams:
            bits, address_bits = machine.memory_bits, machine.memory_address_bits
            self._reader = MemoryReader(
                memory_bits=bits,
                address_bits=address_bits,
                row_words=machine.row_words,
                ring_rows=machine.ring_rows,
            )
            members |= {"memory": Out(memory_port(bits, address_bits)), "memory_moved": In(1)}
            if bits == CHUNK:
                members["memory_write"] = Out(stream.Signature(memory_write_layout(address_bits)))
        if any(shape.loadable for shape in self._shapes.values()):
            members |= {"load": In(stream.Signature(load_layout(machine))), "load_error": Out(1)}
        if result_stream:
            members["result"] = Out(stream.Signature(logit_layout(machine.logit_width, machine.max_classes)))
        self._traces = [name for name in ports if name.startswith("trace_")]
        super().__init__(members)

    def elaborate(self, platform) -> Module:
        m = Module()
        accelerator, checker = self._accelerator, self._checker
        m.submodules.checker, m.submodules.file = checker, self._file
        reset, now = _Reset(), _Sample(self, self._file.result_class)
        self._reset(m, reset)
        m.d.comb += [getattr(self, name).eq(getattr(accelerator, name)) for name in self._traces]

        settled, restart = Signal(), Signal()  # the stores are free; their contents change
        m.d.comb += settled.eq(checker.quiet & ~accelerator.busy & ~reset.recovers)
        word_waits = self._load(m, settled, restart) if "load" in self.signature.members else Const(0)
        self._take(m, reset, now, word_waits)
        self._keep_result(m, reset, now)

        changed = restart | self._file.changed | self._file.command[2]
        if self.machine.streams:
            changed = changed | self.memory_moved
        # the check reads unless a byte or a word waits
        m.d.comb += [
            checker.idle.eq(~accelerator.busy & ~now.waits & ~word_waits & ~reset.resets & ~reset.recovers),
            checker.restart.eq(changed),
            checker.fetched.eq(self._file.fetched),
            checker.word.eq(self._file.word),
            self.error.eq(checker.bad.any()),
        ]
        if self.machine.streams:
            self._read_memory(m, reset, now)
        wiring.connect(m, checker.scan, accelerator.scan)
        wiring.connect(m, wiring.flipped(self.bus), self._file.bus)
        self._show(m, now)
        return m

    def _reset(self, m: Module, reset: _Reset) -> None:
        """The accelerator's reset is its own, its clock is not. Thousands of registers hang on it, so it comes from
        one that nothing else hangs on. In the cycle in which it outlasts the shell's own, no stream moves, and the
        result that the accelerator still shows is forgotten."""
        checker, command = self._checker, self._file.command
        m.d.sync += reset.resets.eq(command[0] | (reset.resets & ~checker.quiet))
        m.domains.core = ClockDomain(local=True)
        m.submodules.accelerator = DomainRenamer("core")(self._accelerator)
        m.d.comb += [
            ClockSignal("core").eq(ClockSignal()),
            ResetSignal("core").eq(reset.resetting),
            reset.forget.eq(command[0] | reset.resets | reset.recovers),
        ]
        m.d.sync += [
            reset.resetting.eq(ResetSignal() | (reset.resets & checker.quiet)),
            reset.recovers.eq(ResetSignal() | reset.resets),
        ]

    def _read_memory(self, m: Module, reset: _Reset, now: _Sample) -> None:
        """Weights from the memory outside. Other contents empty the ring before the next sample; a sample that is
        worked on reads to its end, and has no trusted result. A reset of the accelerator empties the ring too."""
        accelerator, checker = self._accelerator, self._checker
        m.submodules.reader = reader = self._reader
        wiring.connect(m, reader.memory, wiring.flipped(self.memory))
        wiring.connect(m, reader.o, accelerator.weights)
        pending, begins = Signal(init=1), Signal()
        m.d.comb += [begins.eq(pending & ~accelerator.busy), now.old.eq(checker.restart | pending)]
        m.d.sync += pending.eq(checker.restart | (pending & accelerator.busy))
        m.d.comb += [
            reader.rows.eq(Mux(checker.known, checker.rows, 0)),
            reader.expected.eq(checker.expected),
            reader.freed.eq(accelerator.weights_freed),
            reader.restart.eq(begins),
            reader.resync.eq(reset.resetting),
            reader.idle.eq(~accelerator.busy),
            reader.starved.eq(accelerator.busy & checker.known & ~checker.rows.any()),
            accelerator.weights_restart.eq(begins),
            checker.checked.eq(reader.checked & ~pending),
            checker.done.eq(reader.done & ~pending),
            checker.differs.eq(reader.differs),
            checker.failed.eq(reader.failed),
            checker.stored.eq(reader.found),
        ]

    def _take(self, m: Module, reset: _Reset, now: _Sample, word_waits: Value) -> None:
        """Bytes of a sample to the accelerator; its first starts the program."""
        accelerator, length = self._accelerator, self._file.sample_length
        free = self._checker.quiet & ~word_waits
        if self.machine.streams:
            free = free & ~now.old
        m.d.comb += [
            now.shut.eq(now.full | reset.forget),
            now.waits.eq(self.sample.valid & ~now.shut),
            accelerator.sample.valid.eq(now.waits & (accelerator.busy | free)),
            accelerator.sample.payload.eq(self.sample.payload),
            self.sample.ready.eq(accelerator.sample.ready & ~now.shut),
            now.starts.eq(accelerator.sample.valid & ~accelerator.busy),
            self.sample_bytes.eq(now.taken),
            self.sample_length.eq(length),
            self.sample_full.eq(now.full),
            self.busy.eq(accelerator.busy),
        ]
        m.d.sync += now.full.eq(now.taken == length)
        with m.If(self.sample.valid & self.sample.ready):
            m.d.sync += [now.taken.eq(now.taken + 1), now.full.eq(now.taken + 1 == length)]

    def _keep_result(self, m: Module, reset: _Reset, now: _Sample) -> None:
        """The sample's result, whether the memories were right all the time, and the way for the next sample."""
        accelerator, result = self._accelerator, self._accelerator.result
        m.d.comb += result.ready.eq(1)
        if "result" in self.signature.members:
            wiring.connect(m, result, wiring.flipped(self.result))
        m.d.comb += [
            now.came.eq(result.valid & result.ready),
            now.ends.eq(now.came & result.payload.last & ~reset.forget),
        ]
        with m.If(now.starts):
            m.d.sync += [now.valid.eq(0), now.trusted.eq(1)]
        with m.Elif(~self._checker.good & (accelerator.busy | self.error)):
            m.d.sync += now.trusted.eq(0)
        with m.If(now.ends):
            m.d.sync += [now.valid.eq(1), now.winner.eq(result.payload.class_index)]
        with m.If(now.ends | reset.forget):
            m.d.sync += [now.taken.eq(0), now.full.eq(~self._file.sample_length.any())]
        with m.If(reset.forget):
            m.d.sync += [now.valid.eq(0), now.winner.eq(0)]

    def _show(self, m: Module, now: _Sample) -> None:
        """What the registers show, keep and count."""
        accelerator, checker, file = self._accelerator, self._checker, self._file
        payload = accelerator.result.payload
        status = {
            "busy": accelerator.busy,
            "sample_open": now.taken.any() & ~now.full,
            "result_valid": now.valid,
            # a memory outside may turn out to be wrong at any time
            "result_trusted": now.valid & now.trusted & ~self.error
            if self.machine.streams
            else now.valid & now.trusted,
            "memory_good": checker.good,
            "memory_error": self.error,
            "bad_stores": checker.bad,
        }
        if self.machine.streams:
            status |= {"external_stalled": self._reader.stalled, "external_failed": checker.wrong}
        for field in REGISTERS["status"].fields:
            if field.name in status:
                m.d.comb += file.status[field.low :][: field.width].eq(status[field.name])
        m.d.comb += [
            file.result_class.eq(now.winner),
            file.sample_bytes.eq(now.taken),
            file.pass_index.eq(accelerator.pass_index),
            accelerator.counter_address.eq(file.counter_address),
            file.counter_data.eq(accelerator.counter_data),
            file.keep.enable.eq(now.came),
            file.keep.index.eq(payload.index),
            file.keep.logit.eq(payload.logit),
            file.events.eq(Cat(now.ends, checker.agreed, self.frame_good, self.frame_dropped)),
            file.clear_scans.eq(checker.restart),
            file.fetch.eq(checker.fetch),
            file.fetch_expected.eq(checker.fetch_expected),
            file.fetch_store.eq(checker.fetch_store),
            file.found.eq(checker.found),
            file.abandon.eq(checker.restart),
        ]

    def _load(self, m: Module, settled: Signal, restart: Signal) -> Value:
        """One cycle looks whether the word fits its store, the next, or a later one, hands it over."""
        accelerator, word = self._accelerator, self.load.payload
        shapes = list(self._shapes.values())
        rows = Array(shape.rows if shape.loadable else 0 for shape in shapes)
        chunks = Array(shape.chunks for shape in self._shapes.values())
        seen, fits, passes = Signal(), Signal(), Signal()
        goes, held = seen & settled, passes & fits
        if "memory_write" in self.signature.members:
            write, at = self.memory_write, Signal.like(self.memory_write.payload.address)
            inside = word.store != shapes[0].number
            goes, held = goes & (inside | ~fits | write.ready), held & inside
            m.d.sync += at.eq(word.row * shapes[0].chunks + word.chunk)
            m.d.comb += [
                write.valid.eq(self.load.valid & seen & settled & fits & ~inside),
                write.payload.address.eq(at),
                write.payload.word.eq(word.data),
            ]
        m.d.comb += [
            self.load.ready.eq(goes),
            passes.eq(self.load.valid & self.load.ready),
        ]
        if "load" in accelerator.signature.members:
            m.d.comb += [accelerator.load.valid.eq(held), accelerator.load.payload.eq(word)]
        m.d.sync += [
            restart.eq(passes & fits),  # a cycle late, before any sample can end
            seen.eq(self.load.valid & ~passes),
            fits.eq((word.row < rows[word.store]) & (word.chunk < chunks[word.store])),
            self.load_error.eq(passes & ~fits),
        ]
        return self.load.valid
