# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The accelerator: one time-multiplexed engine that runs a layer program, built only from the blocks of `hw/`.

    sample -> encoder -.                                     .-> head -> result
                       v                                     |
      banks A, B -> reader -> zero skip -> engine -> drain --+-> TASA -> LIF -> packer -> walker -> residual -.
        ^   ^                                                                                                 |
        |   `-- attention (scores, denoiser, A x V) ----------------------------------------------------------+
        `-----------------------------------------------------------------------------------------------------'

Bank A holds the activations of the layer at hand, bank B the residual stream and V; the patch splitter goes to and
fro between them. The compiler keeps to three rules that make every port conflict-free: a pass that joins words with
old ones, or pools, reads one bank and joins in the other; attention reads Q and K in bank A and V in bank B; no
pass reads a row that it writes.
"""

from types import SimpleNamespace

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from ds2ta.gateware.blocks import blocks
from ds2ta.gateware.compiler import Program
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.program import Opcode
from ds2ta.gateware.sequencer import COUNTERS, Sequencer
from ds2ta.gateware.stores import CHUNK, load_layout, scan_signature, store_shapes
from ds2ta.hw.head import logit_layout
from ds2ta.hw.parameters import parameter_layout
from ds2ta.hw.payloads import RowWrite, memory_layout, row_layout
from ds2ta.hw.residual import ResidualMode
from ds2ta.hw.slices import skid_buffer

__all__ = ["Accelerator"]


class _Pass:
    """The pass at work, as the sequencer has decoded it."""

    def __init__(self, sequencer: Sequencer):
        self.instruction = now = sequencer.instruction
        self.starts = {code: sequencer.start & (now.opcode == code) for code in Opcode}
        # The opcode steers wide paths, so it stands in registers; it is right from the cycle after `start`.
        self.runs = {code: Signal(name=f"runs_{code.name.lower()}") for code in Opcode}
        # the pass reads rows through the gather; in bank B
        self.gathers, self.from_b = Signal(), Signal(name="from_b")

    def decode(self, m: Module) -> None:
        """Takes what the instruction says into the registers."""
        opcode = self.instruction.opcode
        m.d.sync += [signal.eq(opcode == code) for code, signal in self.runs.items()]
        reads = (Opcode.SYNAPSE, Opcode.HEAD)
        m.d.sync += [
            self.gathers.eq(Cat(opcode == code for code in reads).any()),
            self.from_b.eq(Cat(opcode == code for code in reads).any() & self.instruction.source_bank),
        ]


class _Rows:
    """Rows on their way into the banks, from whatever the pass makes them with: in the cycle before the write (with
    a single port: in that cycle too) in `next`, in that of the write in `now`, where `banks` has a bit for each."""

    def __init__(self, machine: Machine, address_width: int):
        shape = {"row_lanes": machine.row_lanes, "time_steps": machine.time_steps, "slots": machine.slots}
        write = RowWrite(**shape, address_width=address_width)
        self.next, self.now = (write.create(path=(name,)) for name in ("next", "now"))
        self.banks = Signal(2)


class Accelerator(wiring.Component):
    """A machine that runs any model compiled for it.

    With ROM stores `program` gives their contents; RAM stores are filled through `load` while `busy` is low (the
    contents survive between samples). A sample is a stream of bytes (position-major, channel, time step; see
    `InputEncoder`); its answer is a stream of logits whose last beat carries the class.

    Members
    -------
    load: store words, only where a store can be loaded; ready while `busy` is low. Words go first: a sample starts
      after the last one, once it stands in its store.
    sample: {value}: sample bytes. The first byte starts the program and is consumed by its first pass.
    result: {logit, index, class_index, last}.
    busy: a sample is being worked on.
    pass_index: the pass at work.
    counter_address, counter_data: the counters of each pass of the last sample, as the sequencer addresses them
      (one cycle of latency); complete three cycles after `busy` falls, four where weights are a stream.
    weights (where they are a stream): words of `hw.payloads.memory_layout`, the rows of the weight store in their
      order, sample after sample; what comes between samples is kept for the next.
    weights_restart: what came and was not used is forgotten; only while `busy` is low.
    weights_freed: rows that may come in the next cycle or later, beside those there was room for.
    scan: reads the stores back, for a check of the memories; see `scan_signature`.
    trace_X, trace_X_* (only with `trace`): what the passes produce, shown in every cycle with trace_X_valid, for
      benches and `ds2ta diff`; each with trace_X_pass:
      row: a row, its address, and the slots that are written, before its residual joins, or a pool: of its window's
        four pixels it is that in an odd column (bit 0 of `odd`) and line (bit 1);
      write: the same as written; valid bit 0 is bank A, bit 1 is bank B;
      score: T scores of the next (head, query, key);
      entry: a denoised score that is kept, with its step and key, in the order of the scores;
      collision: a bank is read and written at the same row in one cycle, which never happens;
      overrun: words come to a residual unit that is not ready, or sums to a shadow that is not empty, which
        never happens.
    """

    def __init__(self, machine: Machine, program: Program | None = None, *, trace: bool = False):
        self.machine, self.program, self._trace = machine, program, trace
        row = row_layout(machine.row_lanes, machine.time_steps)
        self._address_width = address_width = ceil_log2(machine.bank_rows)
        members = {
            "sample": In(stream.Signature(data.StructLayout({"value": 8}))),
            "result": Out(stream.Signature(logit_layout(machine.logit_width, machine.max_classes))),
            "busy": Out(1),
            "pass_index": Out(range(machine.instructions)),
            "counter_address": In(range(machine.instructions * COUNTERS)),
            "counter_data": Out(machine.counter_width),
            "scan": Out(scan_signature(machine)),
        }
        if trace:
            members |= {
                "trace_row": Out(row),
                "trace_row_address": Out(address_width),
                "trace_row_slots": Out(machine.slots),
                "trace_row_odd": Out(2),
                "trace_row_valid": Out(1),
                "trace_write": Out(row),
                "trace_write_address": Out(address_width),
                "trace_write_slots": Out(machine.slots),
                "trace_write_valid": Out(2),
                "trace_score": Out(data.ArrayLayout(bits_for(machine.max_head_dim), machine.time_steps)),
                "trace_score_valid": Out(1),
                "trace_entry_step": Out(range(max(2, machine.time_steps))),  # Verilog has no ports of no bits
                "trace_entry_key": Out(range(max(2, machine.max_tokens))),
                "trace_entry": Out(machine.denoiser_bits),
                "trace_entry_valid": Out(1),
                "trace_collision_valid": Out(1),
                "trace_overrun_valid": Out(1),
                **{f"trace_{kind}_pass": Out(range(machine.instructions)) for kind in _TRACES},
            }
        if machine.streams:
            members["weights"] = In(stream.Signature(memory_layout(machine.memory_bits)))
            members |= {"weights_restart": In(1), "weights_freed": Out(range(machine.ring_rows + 1))}
        if any(shape.inside for shape in store_shapes(machine).values()):
            members["load"] = In(stream.Signature(load_layout(machine)))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        part = SimpleNamespace(**blocks(self.machine, self.program))
        for name, component in vars(part).items():
            m.submodules[name] = component
        work = _Pass(part.sequencer)
        work.decode(m)
        loads = Signal()  # a word is offered, or on its way into its store
        self._sequence(m, part, work, loads)
        self._configure(m, part, work.instruction, work.runs)
        self._connect_streams(m, part, work.runs)
        self._read_stores(m, part, work)
        if self.machine.streams:
            self._stream_weights(m, part, work)
        self._read_banks(m, part, work)
        rows = _Rows(self.machine, self._address_width)
        self._collect_rows(m, part, work.runs, rows)
        self._write_banks(m, part, work, rows)
        if "load" in self.signature.members:
            self._load_stores(m, part, loads)
        if self._trace:
            self._show_traces(m, part, work.runs, rows)
        return m

    def _sequence(self, m: Module, part: SimpleNamespace, work: _Pass, loads: Signal) -> None:
        """The sequencer: its program and counters, when a pass is done, who starts with it."""
        sequencer, counters, runs, starts = part.sequencer, part.counter_store, work.runs, work.starts
        m.d.comb += [
            sequencer.go.eq(self.sample.valid & ~loads),
            self.busy.eq(sequencer.busy),
            self.pass_index.eq(sequencer.index),
            sequencer.word.eq(part.program_store.data),
            sequencer.useful.eq(part.engine.useful | part.attention.entries),
            sequencer.row.eq(part.zero_skip.rows),
            counters.write.enable.eq(sequencer.count_enable),
            counters.write.address.eq(sequencer.count_address),
            counters.write.data.eq(sequencer.count_data),
            counters.read_enable.eq(1),
            counters.read_address.eq(self.counter_address),
            self.counter_data.eq(counters.read_data),
        ]
        with m.If(runs[Opcode.INPUT]):
            m.d.comb += sequencer.done.eq(part.encoder.done)
        with m.Elif(runs[Opcode.ATTENTION]):
            m.d.comb += sequencer.done.eq(part.attention.done)
        with m.Elif(runs[Opcode.HEAD]):
            m.d.comb += sequencer.done.eq(~part.head.busy)
        with m.Else():
            placed = part.walker.done & ~part.walker.o.valid
            m.d.comb += sequencer.done.eq(placed & ~part.residual.busy)
        m.d.comb += [
            part.encoder.start.eq(starts[Opcode.INPUT]),
            part.gather.start.eq(starts[Opcode.SYNAPSE] | starts[Opcode.HEAD]),
            part.walker.start.eq(starts[Opcode.SYNAPSE]),
            part.attention.start.eq(starts[Opcode.ATTENTION]),
            part.head.start.eq(starts[Opcode.HEAD]),
            part.parameters.start.eq(sequencer.start),
        ]

    def _configure(self, m: Module, part: SimpleNamespace, now: data.View, runs: dict[Opcode, Signal]) -> None:
        """Configuration of the blocks by the instruction."""
        encoder, attention, residual, walker = part.encoder, part.attention, part.residual, part.walker
        banded = _BAND_FIELDS if self.machine.bands else ()
        m.d.comb += [getattr(part.gather, name).eq(now[name]) for name in (*_GATHER_FIELDS, *banded)]
        # These are used after the cycle of `start` only. Where wires are long, each block has registers of its own.
        late = [
            part.reader.pixels.eq(now.pixels),
            part.zero_skip.lane_bits.eq(now.lane_bits),
            part.engine.groups.eq(now.drain_groups),
            part.engine.lines.eq(now.lines),
            part.engine.pixels.eq(now.pixels),
            part.engine.rest.eq(now.rest),
            part.engine.spacing_last.eq(now.spacing_last),
            part.engine.waits.eq(runs[Opcode.HEAD]),
            part.tasa.tau.eq(now.tau),
            part.tasa.window.eq(now.window),
            part.packer.time_mask.eq(Cat(now.steps > step for step in range(self.machine.time_steps))),
            walker.position_pitch.eq(now.target_pitch),
            walker.line_pitch.eq(now.target_line),
            *(getattr(walker, name).eq(now[name]) for name in (*_WALKER_FIELDS, *banded)),
            walker.tile_pitch.eq(self.machine.lanes // self.machine.row_lanes),
            walker.pool.eq(now.residual == ResidualMode.POOL),
            residual.mode.eq(now.residual),
            residual.position_pitch.eq(now.target_pitch),
            residual.line_pitch.eq(now.target_line),
            residual.planes_in.eq(now.planes_in),
            residual.planes_out.eq(now.planes_out),
            residual.plane_pitch.eq(now.plane_pitch),
        ]
        if self.machine.registered:
            m.d.sync += late
        else:
            m.d.comb += late
        m.d.comb += [
            part.parameters.base.eq(now.parameters),
            part.parameters.visits_last.eq(now.positions_last),
            walker.base.eq(now.target),
            encoder.frames.eq(now.frames),
            encoder.bits.eq(now.bits),
            encoder.base.eq(now.target),
            encoder.width_last.eq(now.width_last),
            encoder.height_last.eq(now.height_last),
            encoder.rows_last.eq(now.rows_last),
            attention.q_base.eq(now.source),
            attention.k_base.eq(now.keys),
            attention.v_base.eq(now.values),
            attention.o_base.eq(now.target),
            attention.groups.eq(now.source_pitch),
            attention.table_base.eq(now.table),
            attention.threshold.eq(now.threshold),
        ]
        # counts are used after the cycle of `start` only, and so the additions may take it
        m.d.sync += [
            encoder.channels_last.eq(now.channels - 1),
            encoder.steps_last.eq(Mux(now.frames, now.steps - 1, self.machine.time_steps - 1)),
            part.head.positions.eq(now.positions_last + 1),
            part.head.classes.eq(now.classes_last + 1),
            attention.tokens.eq(now.positions_last + 1),
            attention.heads.eq(now.heads_last + 1),
            attention.head_rows.eq(now.head_rows_last + 1),
            attention.head_dim.eq((now.head_rows_last + 1) * self.machine.row_lanes),
        ]

    def _connect_streams(self, m: Module, part: SimpleNamespace, runs: dict[Opcode, Signal]) -> None:
        """The way of the data from block to block.

        Words never wait at the residual unit: most are written in one cycle, and an addition, or a pool, takes no
        more cycles than the drain takes to the next group (`rest` sees to it). So nothing behind the engine ever
        waits, and no ready runs back through it; `trace_overrun` would tell."""
        wiring.connect(m, wiring.flipped(self.sample), part.encoder.i)
        # a long pipeline parts the counters of the gather from all that may hold them up
        scanned = skid_buffer(m, part.gather.o) if self.machine.registered else part.gather.o
        wiring.connect(m, scanned, part.reader.i)
        _join(m, part.zero_skip.o, part.engine.i)
        _join(m, part.tasa.o, part.parameters.i)
        _join(m, part.parameters.o, part.lif.i)
        _join(m, part.lif.o, part.packer.i)
        _join(m, part.reader.o, part.zero_skip.i)
        _fork(m, runs[Opcode.HEAD], part.engine.o, part.head.i, part.tasa.i)
        # only the head ever says no, and only in its own pass
        m.d.comb += part.engine.o.ready.eq(part.head.i.ready)
        m.d.comb += [
            part.walker.i.valid.eq(part.packer.o.valid),
            part.walker.i.payload.eq(part.packer.o.payload),
            part.residual.i.valid.eq(part.walker.o.valid),
            part.residual.i.payload.eq(part.walker.o.payload),
            *(stream.ready.eq(1) for stream in (part.packer.o, part.walker.o, part.attention.o)),
        ]
        wiring.connect(m, part.head.o, wiring.flipped(self.result))

    def _read_stores(self, m: Module, part: SimpleNamespace, work: _Pass) -> None:
        """Read ports of the stores: for the blocks while a sample is worked on, for the scan otherwise."""
        engine, attention, parameters, sequencer = part.engine, part.attention, part.parameters, part.sequencer
        layout = parameter_layout(lanes=self.machine.drain_lanes, param_width=self.machine.param_width)
        unpacked = layout(part.parameter_store.data)
        scans = self._scan(m, part)
        if self.machine.streams:
            m.d.comb += [
                part.weight_store.enable.eq(engine.weight_enable[0]),
                part.weight_store.address.eq(engine.weight_address[0]),
            ]
        else:
            m.d.comb += [
                part.weight_store.enable.eq(engine.weight_enable[0] | scans["weights"]),
                part.weight_store.address.eq(Mux(sequencer.busy, engine.weight_address[0], self.scan.row)),
            ]
        m.d.comb += [
            part.program_store.enable.eq(sequencer.fetch | scans["program"]),
            part.program_store.address.eq(Mux(scans["program"], self.scan.row, sequencer.fetch_address)),
            attention.scan.eq(scans["denoiser"]),
            attention.scan_entry.eq(self.scan.row),
            engine.weight_data[0].eq(part.weight_store.data),
            part.parameter_store.enable.eq(1),
            part.parameter_store.address.eq(
                Mux(
                    sequencer.busy,
                    Mux(
                        work.runs[Opcode.HEAD],
                        work.instruction.parameters + part.head.bias_group,
                        parameters.read_address,
                    ),
                    self.scan.row,
                )
            ),
            parameters.read_data.eq(part.parameter_store.data),
            # a register on the way is made up for by the steps of a group, unless there is one only
            part.head.bias.eq(parameters.stored.bias if self.machine.time_steps > 1 else unpacked.bias),
        ]
        if self.machine.events == 2:
            second = part.weight_store.second
            m.d.comb += [
                second.enable.eq(engine.weight_enable[1]),
                second.address.eq(engine.weight_address[1]),
                engine.weight_data[1].eq(second.data),
            ]

    def _scan(self, m: Module, part: SimpleNamespace) -> dict[str, Signal]:
        """What the scan shows, for a check of the memories. The answer: it reads that store in this cycle."""
        shapes = {name: shape for name, shape in store_shapes(self.machine).items() if not shape.external}
        scans = {name: Signal(name=f"scans_{name}") for name in shapes}
        stored = {
            "weights": part.engine.stored,
            "program": self._shown(m, part.program_store.data),
            "parameters": part.parameters.stored.as_value(),
            "denoiser": part.attention.stored,
        }
        scanned = Const(0)
        for name, shape in shapes.items():
            chunk = stored[name].word_select(self.scan.chunk[: bits_for(shape.chunks - 1)], CHUNK)
            m.d.comb += scans[name].eq(self.scan.enable & ~part.sequencer.busy & (self.scan.store == shape.number))
            held = Signal(name=f"scanned_{name}")
            m.d.sync += held.eq(scans[name])
            scanned = scanned | (chunk & held.replicate(CHUNK))
        m.d.sync += self.scan.data.eq(scanned)
        return scans

    def _stream_weights(self, m: Module, part: SimpleNamespace, work: _Pass) -> None:
        """The ring of weights: tiles that the gather claims, and that are free when the flush behind their last
        event has come to the engine, by which that event is issued."""
        ring, gather, engine = part.weight_store, part.gather, part.engine
        wiring.connect(m, wiring.flipped(self.weights), ring.i)
        m.d.comb += [
            ring.restart.eq(self.weights_restart),
            ring.tile_rows.eq(work.instruction.tile_rows),
            ring.claims.eq(gather.claims),
            gather.granted.eq(ring.granted),
            ring.frees.eq(engine.i.valid & engine.i.ready & engine.i.payload.flush),
            self.weights_freed.eq(Mux(ring.frees, ring.tile_rows, 0)),
            part.sequencer.waits.eq(gather.waits),
        ]
        if self.machine.events == 2:
            m.d.comb += engine.holds.eq(ring.holds)

    def _read_banks(self, m: Module, part: SimpleNamespace, work: _Pass) -> None:
        """Read ports of the banks. A: the reader, or Q and K; B: the reader, or V; what the residual unit joins
        lies in the bank that the reader does not read."""
        reader, attention, residual = part.reader, part.attention, part.residual
        bank_a, bank_b, slots = part.bank_a, part.bank_b, self.machine.slots
        if self.machine.single_port:
            m.d.comb += attention.qk_data.eq(reader.read_data)
            self._hold_row(m, part, work)
        else:
            m.d.comb += [
                reader.read_data.eq(Mux(work.from_b, bank_b.read_data, bank_a.read_data)),
                attention.qk_data.eq(bank_a.read_data),
            ]
        m.d.comb += [
            attention.v_data.eq(bank_b.read_data),
            residual.read_data.eq(Mux(work.from_b, bank_a.read_data, bank_b.read_data)),
        ]
        with m.If(work.from_b):
            m.d.comb += [
                bank_a.read_enable.eq(residual.read_enable),
                bank_a.read_address.eq(residual.read_address),
            ]
        with m.Else():
            m.d.comb += [
                bank_a.read_enable.eq(Mux(work.gathers, reader.read_enable, attention.qk_enable).replicate(slots)),
                bank_a.read_address.eq(Mux(work.gathers, reader.read_address, attention.qk_address)),
            ]
        with m.If(work.from_b):
            m.d.comb += [
                bank_b.read_enable.eq(reader.read_enable.replicate(slots)),
                bank_b.read_address.eq(reader.read_address),
            ]
        with m.Elif(work.runs[Opcode.ATTENTION]):
            m.d.comb += [
                bank_b.read_enable.eq(attention.v_enable.replicate(slots)),
                bank_b.read_address.eq(attention.v_address),
            ]
        with m.Else():
            m.d.comb += [
                bank_b.read_enable.eq(residual.read_enable),
                bank_b.read_address.eq(residual.read_address),
            ]

    def _hold_row(self, m: Module, part: SimpleNamespace, work: _Pass) -> None:
        """With a single port: what is written does not wait, so what is read does; and a write leaves the bank's
        output open, so a register keeps the row that was read."""
        reader, attention = part.reader, part.attention
        row = Mux(work.from_b, part.bank_b.read_data, part.bank_a.read_data)
        fresh, held = Signal(name="row_fresh"), Signal(len(row), name="row_held", reset_less=True)
        m.d.comb += [
            reader.holds.eq(Mux(work.from_b, part.bank_b.write.enable, part.bank_a.write.enable)),
            attention.qk_holds.eq(part.bank_a.write.enable),
            reader.read_data.as_value().eq(Mux(fresh, row, held)),
        ]
        m.d.sync += [fresh.eq(reader.read_enable | attention.qk_enable), held.eq(reader.read_data.as_value())]

    def _collect_rows(self, m: Module, part: SimpleNamespace, runs: dict[Opcode, Signal], rows: _Rows) -> None:
        """Rows that the pass makes: attended ones as they come, words through the residual unit."""
        encoder, residual, attended = part.encoder, part.residual, part.attention.o
        m.d.comb += rows.next.slots.eq(
            Mux(runs[Opcode.SYNAPSE], residual.write.slots, ~Const(0, self.machine.slots))
        )
        row = rows.next.row
        with m.If(runs[Opcode.INPUT]):
            m.d.comb += [
                row.eq(encoder.write.data),
                rows.next.address.eq(encoder.write.address),
                rows.next.enable.eq(encoder.write.enable),
            ]
        with m.Elif(runs[Opcode.SYNAPSE]):
            m.d.comb += [
                row.eq(residual.write.row),
                rows.next.address.eq(residual.write.address),
                rows.next.enable.eq(residual.write.enable),
            ]
        with m.Else():
            m.d.comb += [
                row.eq(attended.payload.row),
                rows.next.address.eq(attended.payload.address),
                rows.next.enable.eq(attended.valid),
            ]

    def _write_banks(self, m: Module, part: SimpleNamespace, work: _Pass, rows: _Rows) -> None:
        """Write ports of the banks, one cycle late: no pass reads what it writes, and the next begins later than
        that. With a single port at once: the residual unit reads and writes in turns."""
        now = work.instruction
        written = [getattr(rows.now, name).eq(getattr(rows.next, name)) for name in ("row", "address", "slots")]
        for number, bank in enumerate((part.bank_a, part.bank_b)):
            m.d.comb += [
                bank.write.enable.eq(rows.banks[number]),
                *(getattr(bank.write, name).eq(getattr(rows.now, name)) for name in ("row", "address", "slots")),
            ]
            written.append(
                rows.banks[number].eq(
                    rows.next.enable & part.sequencer.busy & ((now.target_bank == number) | now.mirror)
                )
            )
        if self.machine.single_port:
            m.d.comb += written
        else:
            m.d.sync += written

    def _load_stores(self, m: Module, part: SimpleNamespace, loads: Signal) -> None:
        """Words that are loaded, to their stores."""
        entry, arrived = Signal.like(self.load.payload), Signal()
        m.d.comb += self.load.ready.eq(~part.sequencer.busy)
        word = [entry.eq(self.load.payload), arrived.eq(self.load.valid & self.load.ready)]
        if self.machine.registered:  # the way into every block RAM
            m.d.sync += word
        else:
            m.d.comb += word
        m.d.comb += loads.eq(self.load.valid | arrived)
        blocks_of = {
            "weights": part.weight_store,
            "program": part.program_store,
            "parameters": part.parameter_store,
            "denoiser": part.attention,
        }
        shapes = store_shapes(self.machine)
        for name, target in blocks_of.items():
            if not shapes[name].inside:
                continue
            m.d.comb += [
                target.load.enable.eq(arrived & (entry.store == shapes[name].number)),
                target.load.address.eq(entry.row),
                target.load.chunk.eq(entry.chunk),
                target.load.data.eq(entry.data),
            ]

    def _show_traces(self, m: Module, part: SimpleNamespace, runs: dict[Opcode, Signal], rows: _Rows) -> None:
        """What the passes produce, for benches."""
        attention, placed, joins = part.attention, part.walker.o, runs[Opcode.SYNAPSE]
        attended = attention.o
        words = placed.payload.words.as_value().replicate(self.machine.slots)
        m.d.comb += [
            self.trace_row.eq(Mux(joins, words, rows.next.row)),
            self.trace_row_address.eq(Mux(joins, placed.payload.address, rows.next.address)),
            self.trace_row_odd.eq(Mux(joins, part.walker.trace_odd, 0)),
            self.trace_row_slots.eq(Mux(joins, placed.payload.slot, ~Const(0, self.machine.slots))),
            self.trace_row_valid.eq(Mux(joins, placed.valid, attended.valid)),
            self.trace_write.eq(rows.now.row),
            self.trace_write_valid.eq(rows.banks),
            self.trace_write_address.eq(rows.now.address),
            self.trace_write_slots.eq(rows.now.slots),
            self.trace_score.eq(attention.trace_score.score),
            self.trace_score_valid.eq(attention.trace_score.valid),
            self.trace_entry.eq(attention.trace_entry.value),
            self.trace_entry_step.eq(attention.trace_entry.t),
            self.trace_entry_key.eq(attention.trace_entry.j),
            self.trace_entry_valid.eq(attention.trace_entry.valid),
            self.trace_collision_valid.eq(part.bank_a.collision | part.bank_b.collision),
            self.trace_overrun_valid.eq((part.residual.i.valid & ~part.residual.i.ready) | part.engine.overrun),
            *(getattr(self, f"trace_{kind}_pass").eq(part.sequencer.index) for kind in _TRACES),
        ]

    def _shown(self, m, row):
        """A row of a store for the scan, as weights and parameters have it: long pipelines put it in a register."""
        if not self.machine.registered:
            return row
        shown = Signal.like(row, reset_less=True)
        m.d.sync += shown.eq(row)
        return shown


_WRITE_FIELDS = ("row", "address", "slots", "enable")
_WALKER_FIELDS = (
    "width_last",
    "height_last",
    "tiles_last",
    "lines",
    "live_lines",
    "live_pixels_last",
    "live_rows_last",
    "pixels",
)
_BAND_FIELDS = ("above", "below")
_TRACES = ("row", "write", "score", "entry", "collision", "overrun")
_GATHER_FIELDS = (
    "source",
    "source_pitch",
    "source_line",
    "source_plane",
    "kernel3",
    "pixels",
    "pad_right",
    "lines",
    "live_lines",
    "width_last",
    "height_last",
    "tiles_last",
    "planes_last",
    "groups_last",
    "lane_bits",
    "weights",
    "tap_weights",
)


def _copy(target, source):
    """Fields of equal name, from a payload that may have more of them."""
    return [target[name].eq(source[name]) for name in target.shape().members]


def _join(m, source, target):
    m.d.comb += [target.valid.eq(source.valid), source.ready.eq(target.ready)]
    m.d.comb += _copy(target.payload, source.payload)


def _fork(m, choose, source, chosen, other):
    """One stream to one of two blocks."""
    m.d.comb += [
        chosen.valid.eq(source.valid & choose),
        other.valid.eq(source.valid & ~choose),
        source.ready.eq(Mux(choose, chosen.ready, other.ready)),
        *_copy(chosen.payload, source.payload),
        *_copy(other.payload, source.payload),
    ]
