# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The compiler: an integer model becomes a layer program and the contents of the stores of one machine.

Nothing about a network is written in RTL: whatever a model needs is in what this file returns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import lcm

from amaranth.utils import ceil_log2

from ds2ta.errors import FitError
from ds2ta.gateware.images import StoreImages
from ds2ta.gateware.layout import Allocator, Region
from ds2ta.gateware.machine import RING_STEP, Machine, highest, machine_from_dict
from ds2ta.gateware.needs import cure, needs, refuse, refuse_lacks, refuse_what_none_has
from ds2ta.gateware.program import Instruction, Opcode, program_words
from ds2ta.hw.residual import Residual, ResidualMode
from ds2ta.model import IntegerModel
from ds2ta.network import LayerSpec

__all__ = ["Program", "compile_model", "fit"]

_COUNTS = ("width_last", "height_last", "tiles_last", "rows_last", "groups_last", "positions_last")
# addresses and distances that stand modulo the address space
_WRAPPING = ("source", "source_line", "source_plane", "target_line", "plane_pitch")
_HEAD_SPACING = 8  # the head says itself when it is done with a token; the engine sees that this much later
_MEMORY_BITS = 16
_RING_BLOCK = 512  # rows of a block RAM, where it is widest
_FOREVER = 10**9  # a pass behind all others
ADDRESS_A, ADDRESS_B = 0, 1  # bank A: activations of the layer at hand; bank B: residual stream and V; stem: both


@dataclass(frozen=True)
class Program:
    """Everything that a machine needs to run a model. Images are lists of rows, packed as the stores hold them."""

    instructions: tuple[Instruction, ...]
    regions: dict[str, Region]  # of every tensor that lies in a bank, by its name
    program_image: list[int]
    weight_image: list[int]
    parameter_image: list[int]
    denoiser_image: list[int]
    bank_rows: int  # rows that the banks need


@dataclass(frozen=True)
class _Band:
    """Lines `first` to below `end` of what a layer makes, and of its source those that come with them."""

    first: int
    end: int
    source_first: int
    source_end: int

    @property
    def passes(self) -> int:
        """The layer's, and where lines come, that of the input."""
        return 1 + (self.source_end > self.source_first)


class _Compiler:
    """Made without a plan of the banks it emits a program without images, which shows what the banks must hold."""

    def __init__(self, model: IntegerModel, machine: Machine, plan: Sequence[int] | None = None):
        self.model, self.network, self.machine = model, model.network, machine
        self.instructions: list[Instruction] = []
        self.regions: dict[str, Region] = {}
        self.images = StoreImages(machine) if plan else None
        self.allocator = Allocator(plan)
        self._placed: dict[str, dict[str, int]] = {}  # layer -> where its weights and parameters are

    # sizes

    def groups(self, channels: int) -> int:
        """Rows of one plane of a position."""
        return -(-channels // self.machine.row_lanes)

    def input_region(self) -> Region:
        spec, lanes = self.network.input, self.machine.row_lanes
        interleave = self.machine.interleave
        rows = -(-spec.bits * interleave // lanes)
        return Region(
            name="input",
            banks=(ADDRESS_A,),
            base=0,
            positions=spec.height * spec.width,
            channels=spec.channels,
            planes=spec.bits,
            groups=rows,
            pitch=rows,
            interleave=interleave,
            pixels=self.machine.time_steps if spec.kind == "image" and self.machine.time_steps > 1 else 0,
            width=spec.width,
        )

    def lines(self, spec: LayerSpec) -> int:
        """Output lines that a layer computes at once: those that its outputs leave lanes for."""
        if spec.kernel != 3:
            return 1
        each = self.groups(spec.outputs) * self.machine.row_lanes
        return max(1, min(self.machine.lanes // each, self.machine.max_lines, spec.height))

    def bands(self) -> list[_Band]:
        """The first layer's lines, band by band: all at once where bank A holds the input. Else bank A's rows are a
        ring that the input goes through, and a band is as many lines as it takes that they, with one more on each
        side, are there together; all of about one height."""
        network, machine, source = self.network, self.machine, self.input_region()
        spec, rows = self.model.synapses["stem.0"].spec, self.machine.bank_a_rows
        height = network.input.height
        if not rows or source.rows <= rows:
            return [_Band(0, height, 0, height)]
        if len(network.stem) == 1:
            raise FitError(
                f"model {network.name}: its only layer of the patch splitter writes both banks, so its input, of "
                f"{source.rows} rows, comes whole; the machine's bank_a_rows is {rows}"
                + cure(machine, {"bank_a_rows": 0})
            )
        line = (source.line_words if source.pixels else source.width) * source.pitch
        # pools have windows of two lines, and lines at once belong together
        unit = lcm(self.lines(spec), 2 if network.stem[0].pool else 1)
        if not machine.bands:
            raise FitError(
                f"model {network.name}: its input has {source.rows} rows and comes in bands, for which "
                f"bank_a_rows, {rows}, must be a power of two"
                + cure(machine, {"bank_a_rows": 1 << rows.bit_length()})
            )
        room = (rows // line - 2) // unit * unit
        if room < 1:
            need = 1 << ceil_log2((unit + 2) * line)
            raise FitError(
                f"model {network.name}: a band of its input has {unit + 2} lines of {line} rows, the machine's "
                f"bank_a_rows is {rows}" + cure(machine, {"bank_a_rows": need})
            )
        number = -(-height // room)
        even = -(-height // number)
        each = -(-even // unit) * unit
        found, there = [], 0
        for first in range(0, height, each):
            end = min(first + each, height)
            found.append(_Band(first, end, there, min(end + 1, height)))
            there = found[-1].source_end
        return found

    # passes

    def emit(self, **fields) -> None:
        spec = self.network.input
        self.instructions.append(
            Instruction(
                frames=spec.kind == "frames",
                channels=spec.channels,
                bits=spec.bits,
                steps=self.network.time_steps,
                **fields,
            )
        )

    def synapse(
        self,
        name: str,
        source: Region,
        planes: int,
        target: Region | None,
        *,
        residual: ResidualMode = ResidualMode.STORE,
        planes_in: int = 1,
        planes_out: int = 1,
        band: _Band | None = None,
    ) -> None:
        """One synaptic layer. `planes`: bit planes of the source that may be non-zero by now. With POOL `target` is
        the pooled tensor. `band`: of its lines, these."""
        machine, layer = self.machine, self.model.synapses[name]
        spec = layer.spec
        kernel3 = spec.kernel == 3
        width, height = (spec.width, spec.height) if kernel3 else (spec.width * spec.height, 1)
        whole, first = height, band.first if band else 0
        height = band.end - first if band else height
        lines, pixels = self.lines(spec), source.pixels or 1
        columns, visits = -(-width // pixels), -(-height // lines)  # commits in a line, lines of commits
        tiles = -(-spec.outputs // machine.lanes)
        outputs = min(spec.outputs, machine.lanes)
        if target is None:
            drain_groups = -(-outputs // machine.drain_lanes)
        else:  # whole rows, so that no slot keeps what was there
            drain_groups = -(-outputs // machine.row_lanes) * machine.slots
        rest = max(0, Residual.period_of(residual, planes_in, planes_out, machine.single_port) - machine.time_steps)
        drained = lines * drain_groups * (machine.time_steps if pixels > 1 else 1) * (machine.time_steps + rest)
        last_rows = self.groups(spec.outputs) - (tiles - 1) * (machine.lanes // machine.row_lanes)
        reading = self.reading(source, width, planes, kernel3)
        tap_weights = reading["tap_weights"]
        taps = 3 * (lines + 2) if kernel3 else 1
        self.emit(
            name=name,
            reads=source.name,
            writes=target.name if target else "logits",
            opcode=Opcode.HEAD if target is None else Opcode.SYNAPSE,
            first_line=first,
            lines=lines,
            live_lines=height - (visits - 1) * lines,
            above=first > 0,
            below=first + height < whole,
            live_pixels_last=width - (columns - 1) * pixels - 1,
            live_rows_last=last_rows - 1 if target else 0,
            width_last=columns - 1,
            height_last=visits - 1,
            tiles_last=tiles - 1,
            tile_rows=taps * tap_weights if machine.streams else 0,
            tau=layer.tau,
            window=layer.window,
            drain_groups=drain_groups,
            rest=rest,
            spacing_last=(drained if target else _HEAD_SPACING) - 1,
            positions_last=columns * visits * lines - 1,
            residual=residual,
            planes_in=planes_in,
            planes_out=planes_out,
            classes_last=self.network.classes - 1,
            **self.stored(name, tap_weights, lines, drain_groups),
            **{**reading, "source": reading["source"] + first * reading["source_line"]},
            **(self.writing(target, width, first, pools=residual == ResidualMode.POOL) if target else {}),
        )

    def stored(self, name: str, tap_weights: int, lines: int, drain_groups: int) -> dict[str, int]:
        """Where a layer's weights and neuron parameters are: stored once, but weights that are a stream, which come
        in the order of their use, with each of its passes."""
        if not self.images:
            return {"weights": 0, "parameters": 0}
        layer, images = self.model.synapses[name], self.images
        if name not in self._placed:
            parameters = images.parameters(layer, drain_groups)
            self._placed[name] = {"weights": images.weights(layer, tap_weights, lines), "parameters": parameters}
        elif self.machine.streams:
            self._placed[name]["weights"] = images.weights(layer, tap_weights, lines)
        return dict(self._placed[name])

    def reading(self, source: Region, width: int, planes: int, kernel3: bool) -> dict[str, int]:
        """The fields that say how a layer of lines of `width` positions reads its source."""
        line = (source.line_words if source.pixels else width) * source.pitch
        before = 0 if source.pixels else source.pitch  # from tap 0 of a line to the position
        row_lanes = self.machine.row_lanes
        if source.interleave:
            groups, channels, lanes = 1, source.interleave, source.interleave
            if self.machine.streams:  # a tile of whole rows of channels: no padding between layers
                channels = row_lanes
            top = (planes - 1) // (row_lanes // lanes)  # row of the highest bit plane
        else:
            groups, channels, lanes = source.groups, source.groups * row_lanes, row_lanes
            top = (planes - 1) * source.plane_pitch
        return {
            "source": source.base + top - (line + before if kernel3 else 0),
            "source_bank": source.banks[0],
            "source_pitch": source.pitch,
            "source_line": line,
            "source_plane": -1 if source.interleave else -source.plane_pitch,
            "kernel3": kernel3,
            "pixels": bool(source.pixels),
            "pad_right": width % source.pixels != 0 if source.pixels else True,
            "planes_last": planes - 1,
            "groups_last": groups - 1,
            "lane_bits": ceil_log2(lanes),
            "tap_weights": channels,
        }

    def writing(self, target: Region, width: int, first: int, *, pools: bool) -> dict[str, int]:
        """The fields that say where a layer of lines of `width` positions writes, from line `first` on."""
        line = ((width + 1) // 2 if pools else width) * target.pitch
        return {
            "target": target.base + (first // 2 if pools else first) * line,
            "target_bank": target.banks[-1],
            "mirror": len(target.banks) > 1,
            "target_pitch": target.pitch,
            "target_line": line,
            "plane_pitch": line + target.pitch if pools else target.plane_pitch,
        }

    def region(self, name: str, positions: int, channels: int, birth: int, death: int, bank: int) -> Region:
        """A tensor of spikes."""
        groups = self.groups(channels)
        base = self.allocator.place((bank,), positions * groups, birth, death)
        return self.keep(
            Region(
                name=name,
                banks=(bank,),
                base=base,
                positions=positions,
                channels=channels,
                planes=1,
                groups=groups,
                pitch=groups,
            )
        )

    def keep(self, region: Region) -> Region:
        """Lists a tensor under its name."""
        self.regions[region.name] = region
        return region

    def place_stream(self) -> Region:
        """The residual stream: x0 in the same rows of both banks, as rpe reads a copy of x0 and adds to x; its
        higher planes behind it in bank B from rpe on."""
        network = self.network
        planes, groups = self.planes(1 + 2 * network.depth), self.groups(network.embed_dim)
        plane = network.tokens * groups
        stream = Region(
            name="embed",
            banks=(ADDRESS_A, ADDRESS_B),
            base=0,
            positions=network.tokens,
            channels=network.embed_dim,
            planes=planes,
            groups=groups,
            pitch=groups,
            plane_pitch=plane,
        )
        self.allocator.place((ADDRESS_A,), plane, self.rpe - 1, self.rpe, base=0)
        self.allocator.place((ADDRESS_B,), plane, self.rpe - 1, _FOREVER, base=0)
        if planes > 1:
            self.allocator.place((ADDRESS_B,), (planes - 1) * plane, self.rpe, _FOREVER, base=plane)
        return stream

    @property
    def rpe(self) -> int:
        """Number of the pass rpe, which reads x0: behind the input and the stem."""
        return self.first_passes + len(self.network.stem) - 1

    @property
    def first_passes(self) -> int:
        """Passes of the input and of the first layer."""
        return sum(band.passes for band in self.bands())

    def planes(self, additions: int) -> int:
        """Bit planes of the residual stream after that many additions."""
        return self.network.residual_limit(additions).bit_length()

    def place_input(self) -> Region:
        """The input; where it comes in bands, all of bank A is the ring that it goes through."""
        here = self.input_region()
        rows = here.rows if len(self.bands()) == 1 else self.machine.bank_a_rows
        base = self.allocator.place((ADDRESS_A,), rows, 0, self.first_passes - 1)
        return self.keep(replace(here, base=base))

    def encode(self, here: Region, band: _Band) -> None:
        """The pass that encodes the sample, or those lines of it that come with a band."""
        width, first, lines = self.network.input.width, band.source_first, band.source_end - band.source_first
        line = (here.line_words if here.pixels else width) * here.pitch
        self.emit(
            name="input",
            writes="input",
            opcode=Opcode.INPUT,
            first_line=first,
            target=(here.base + first * line) % self.machine.rows_of(ADDRESS_A),
            target_bank=ADDRESS_A,
            width_last=width - 1,
            height_last=lines - 1,
            rows_last=here.pitch - 1,
            positions_last=width * lines - 1,
        )

    def stem(self, here: Region, stream: Region) -> Region:
        """The input and the convolutions of the patch embedding, pooled on their way into the bank that they do not
        read; the last of them writes x0 to both banks."""
        network = self.network
        height, width, bits = network.input.height, network.input.width, network.input.bits
        bands = self.bands()
        for index, conv in enumerate(network.stem):
            name, mode = f"stem.{index}", ResidualMode.STORE
            if conv.pool:
                name, mode = f"stem.{index}.pool", ResidualMode.POOL
                height, width = (height + 1) // 2, (width + 1) // 2
            turn = self.first_passes - 1 + index  # of the layer's last pass
            if index == len(network.stem) - 1:
                target = self.keep(replace(stream, name=name, planes=1))
            else:
                other = ADDRESS_B if here.banks[0] == ADDRESS_A else ADDRESS_A
                born = turn if index else 0
                target = self.region(name, height * width, conv.channels, born, turn + 1, other)
            for band in bands if index == 0 else [None]:
                if band and band.passes > 1:
                    self.encode(here, band)
                self.synapse(f"stem.{index}", here, bits, target, residual=mode, band=band)
            here, bits = target, 1
        return here

    def join(self, name: str, source: Region, stream: Region, after: int, result: str) -> Region:
        """A layer whose spikes join the residual stream; `after` counts the additions so far."""
        before, beyond = self.planes(after), self.planes(after + 1)
        target = replace(stream, banks=(ADDRESS_B,), name=result, planes=beyond)
        self.synapse(
            name,
            source,
            1,
            target,
            residual=ResidualMode.ADD if self.network.residual == "add" else ResidualMode.OR,
            planes_in=before,
            planes_out=beyond,
        )
        return self.keep(target)

    def block(self, number: int, x: Region, stream: Region) -> Region:
        """One encoder block: attention and its projection, then the MLP."""
        network, at = self.network, f"block.{number}"
        turn = len(self.instructions)
        q, k, v = (
            self.region(f"{at}.{part}", network.tokens, network.embed_dim, turn, turn + 3, bank)
            for part, bank in (("q", ADDRESS_A), ("k", ADDRESS_A), ("v", ADDRESS_B))
        )
        for target in (q, k, v):
            self.synapse(target.name, x, x.planes, target)
        y = self.region(f"{at}.attn", network.tokens, network.embed_dim, turn + 3, turn + 4, ADDRESS_A)
        self.emit(
            name=f"{at}.attn",
            reads=at,
            writes=f"{at}.attn",
            opcode=Opcode.ATTENTION,
            source=q.base,
            source_bank=ADDRESS_A,
            keys=k.base,
            values=v.base,
            source_pitch=q.pitch,
            target=y.base,
            target_bank=ADDRESS_A,
            positions_last=network.tokens - 1,
            heads_last=network.heads - 1,
            head_rows_last=network.head_dim // self.machine.row_lanes - 1,
            table=number * network.heads * network.head_dim,
            threshold=self.model.attention_threshold[number],
        )
        x = self.join(f"{at}.proj", y, stream, 1 + 2 * number, f"{at}.x1")
        turn = len(self.instructions)
        hidden = self.region(f"{at}.fc1", network.tokens, network.hidden_dim, turn, turn + 1, ADDRESS_A)
        self.synapse(f"{at}.fc1", x, x.planes, hidden)
        return self.join(f"{at}.fc2", hidden, stream, 2 + 2 * number, f"{at}.x2")

    def run(self) -> None:
        """All passes of the network, in order."""
        stream = self.place_stream()
        here = self.stem(self.place_input(), stream)
        assert len(self.instructions) == self.rpe
        x = self.join("rpe", here, stream, 0, "embed")
        for number in range(self.network.depth):
            x = self.block(number, x, stream)
        self.synapse("head", x, x.planes, None)
        self.instructions[-1] = replace(self.instructions[-1], final=True)

    # results

    @property
    def stores(self) -> StoreImages:
        """The images of a compiler that has a plan."""
        assert self.images is not None
        return self.images

    @property
    def bank_rows(self) -> int:
        """Rows that the banks need: a tensor of one position may be no longer than its pitch, which is a number of
        the program too."""
        return max(self.allocator.rows(), *(region.pitch + 1 for region in self.regions.values()))

    def depths(self) -> dict[str, int]:
        """What the program needs of each store, and the largest of its counts, by the machine's names."""
        return {
            "weight_rows": len(self.stores.weight_image),
            "parameter_rows": len(self.stores.parameter_image),
            "instructions": len(self.instructions),
            "max_lines": max(item.lines for item in self.instructions),
            "ring_rows": self.largest_tile if self.machine.streams else 0,
            "max_count": max(getattr(item, name) + 1 for item in self.instructions for name in _COUNTS),
        }

    @property
    def largest_tile(self) -> int:
        """The least rows of a ring of weights."""
        tile = max(item.tile_rows for item in self.instructions)
        return -(-tile // RING_STEP) * RING_STEP

    @property
    def ring_rows(self) -> int:
        """Rows of a ring that holds the largest tile: whole block RAMs of them where it takes several."""
        tile = self.largest_tile
        return min(1 << ceil_log2(tile), -(-tile // _RING_BLOCK) * _RING_BLOCK)

    def refuse_unless_held(self, machine: Machine) -> None:
        """Raise `FitError` where the machine's banks or stores are too small."""
        depths = {"bank_rows": self.bank_rows, **self.depths()}
        if machine.bank_a_rows:
            rows = self.allocator.rows(ADDRESS_A)
            depths["bank_a_rows"] = 1 << ceil_log2(rows) if len(self.bands()) > 1 else rows
        refuse_what_none_has(self.model, depths)
        lacks = {key: need for key, need in depths.items() if need > getattr(machine, key)}
        if "bank_rows" in lacks:
            largest = max(self.regions.values(), key=lambda region: region.rows)
            raise FitError(
                f"model {self.network.name}: its tensors need {self.bank_rows} rows in a spike bank, the machine's "
                f"bank_rows is {machine.bank_rows} (largest: {largest.name}, {largest.rows} rows)"
                + cure(machine, lacks)
            )
        refuse_lacks(self.model, machine, lacks)

    def program(self, machine: Machine) -> Program:
        """The program for `machine`, which is the compiler's but for the depths of banks and stores."""
        self.refuse_unless_held(machine)
        space = 1 << ceil_log2(machine.bank_rows)
        instructions = [
            replace(item, **{name: getattr(item, name) % space for name in _WRAPPING}) for item in self.instructions
        ]
        if machine.streams:  # rows wander through the ring
            instructions = [replace(item, weights=item.weights % machine.ring_rows) for item in instructions]
        return Program(
            instructions=tuple(instructions),
            regions=self.regions,
            program_image=program_words(instructions, machine),
            weight_image=self.stores.weight_image,
            parameter_image=self.stores.parameter_image,
            denoiser_image=[int(value) for table in self.model.denoisers for value in table.reshape(-1)] or [0],
            bank_rows=self.bank_rows,
        )


def _compiled(model: IntegerModel, machine: Machine) -> _Compiler:
    """All passes, with the tensors where they take the fewest rows."""
    sketch = _Compiler(model, machine)
    sketch.run()
    compiler = _Compiler(model, machine, sketch.allocator.plan(machine.bank_a_rows))
    compiler.run()
    return compiler


def compile_model(model: IntegerModel, machine: Machine) -> Program:
    """Program and store images of `model` on `machine`. Raises `FitError` naming what does not fit, the need and
    the limit."""
    refuse(model, machine)
    return _compiled(model, machine).program(machine)


def fit(model: IntegerModel, **choices) -> tuple[Machine, Program]:
    """The smallest machine with the given choices (`lanes`, `row_lanes`, `weights`, ...) that holds `model`, and
    the model's program for it. Raises `FitError` like `compile_model`, and for choices that are out of range."""
    asked = {
        **needs(model, choices.get("time_steps")),
        "leak_shift": model.network.leak_shift,
        "samples": "images" if model.network.input.kind == "image" else "any",
    }
    # a head that is not whole rows is refused as such, not as a number of the machine
    sizes = ("bank_rows", "weight_rows", "parameter_rows", "instructions", "max_count", "max_head_dim")
    large = {key: highest(key) for key in sizes}
    if choices.get("weights") == "stream":
        large |= {"ring_rows": highest("ring_rows"), "memory_bits": _MEMORY_BITS}
        asked["memory_bits"] = _MEMORY_BITS
    refuse_what_none_has(model, needs(model, choices.get("time_steps")))
    roomy = machine_from_dict({**asked, **large, **choices})
    refuse(model, roomy)
    if "max_lines" not in choices:
        most = min(highest("max_lines"), roomy.lanes // roomy.row_lanes)
        roomy = roomy.model_copy(update={"max_lines": most})
    compiler = _compiled(model, roomy)
    compiler.refuse_unless_held(roomy)
    depths = compiler.depths()
    # a bank A of its own size is the smaller one
    rows = max(4, compiler.bank_rows, roomy.bank_a_rows)
    tight = {**depths, "bank_rows": rows, "max_count": max(4, depths["max_count"])}
    if roomy.streams:
        tight["ring_rows"] = compiler.ring_rows
    machine = machine_from_dict({**asked, **tight, **choices})
    return machine, compiler.program(machine)
