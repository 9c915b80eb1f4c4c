# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A shadow of the spike banks: executes a layer program on tags instead of spikes.

Each slot of each row of a bank holds the tag of what was last written there, `(tensor, position, plane, channel
group)`; a row that is read must hold one tag in all of its slots. Of an image, a position is a word of pixels.
Every pass is executed from the fields of its instruction alone, as `docs/layer-program.md` describes them, and
every row that it reads must carry the tag that the network's equations ask for. A region placed over another that
is still needed, a wrong bank, pitch, line or plane count: each shows as a wrong tag.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from ds2ta.gateware.machine import Machine
from ds2ta.gateware.program import Instruction, Opcode
from ds2ta.hw.residual import ResidualMode
from ds2ta.network import Network

__all__ = ["Pass", "ShadowBanks", "expected_passes"]

Tag = tuple[str, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What the network asks of one pass: tensor names, and the shape `height x width` that it reads."""

    name: str
    opcode: Opcode
    reads: str = ""
    writes: str = ""
    height: int = 1
    width: int = 1
    kernel: int = 1
    planes: int = 1  # bit planes of what it reads
    inputs: int = 0
    outputs: int = 0
    joins: str = ""  # the stream tensor that its spikes join
    pools: bool = False
    planes_in: int = 1
    planes_out: int = 1


def expected_passes(network: Network) -> list[Pass]:
    """The passes in running order, from the network's description."""
    specs = {layer.name: layer for layer in network.layers()}
    found = [Pass(name="input", opcode=Opcode.INPUT, writes="input")]

    def planes_after(additions: int) -> int:
        return (1 if network.residual == "or" else 1 + additions).bit_length()

    def layer(name: str, reads: str, writes: str, planes: int, **more) -> None:
        spec = specs[name]
        found.append(
            Pass(
                name=name,
                opcode=Opcode.HEAD if name == "head" else Opcode.SYNAPSE,
                reads=reads,
                writes=writes,
                height=spec.height,
                width=spec.width,
                kernel=spec.kernel,
                planes=planes,
                inputs=spec.inputs,
                outputs=spec.outputs,
                **more,
            )
        )

    here, planes = "input", network.input.bits
    for index, conv in enumerate(network.stem):
        writes = f"stem.{index}.pool" if conv.pool else f"stem.{index}"
        layer(f"stem.{index}", here, writes, planes, pools=conv.pool)
        here, planes = writes, 1
    additions = 0

    def join(name: str, reads: str, writes: str) -> None:
        nonlocal here, additions
        before, after = planes_after(additions), planes_after(additions + 1)
        layer(name, reads, writes, 1, joins=here, planes_in=before, planes_out=after)
        here, additions = writes, additions + 1

    join("rpe", here, "embed")
    for block in range(network.depth):
        at = f"block.{block}"
        for part in ("q", "k", "v"):
            layer(f"{at}.{part}", here, f"{at}.{part}", planes_after(additions))
        found.append(Pass(name=f"{at}.attn", opcode=Opcode.ATTENTION, reads=at, writes=f"{at}.attn"))
        join(f"{at}.proj", f"{at}.attn", f"{at}.x1")
        layer(f"{at}.fc1", here, f"{at}.fc1", planes_after(additions))
        join(f"{at}.fc2", f"{at}.fc1", f"{at}.x2")
    layer("head", here, "logits", planes_after(additions))
    return found


Slot = tuple[int, int, int]  # bank, row, slot


class ShadowBanks:
    """Two banks of tags."""

    def __init__(self, network: Network, machine: Machine):
        self.network, self.machine = network, machine
        self.held: dict[Slot, Tag] = {}
        self.space = 1 << (machine.bank_rows - 1).bit_length()
        self.slots = machine.row_lanes // machine.drain_lanes

    def _read(self, bank: int, address: int, wanted: Tag, who: str, slots: Sequence[int] = ()) -> tuple[int, int]:
        """A row, or some slots of it."""
        for slot in slots or range(self.slots):
            held = self.held.get((bank, address, slot))
            assert held == wanted, (
                f"{who} reads slot {slot} of row {address} of bank {'AB'[bank]}: {held}, it needs {wanted}"
            )
        return bank, address

    def _row(self, bank: int, address: int, tag: Tag) -> Iterator[tuple[Slot, Tag]]:
        """A whole row that is written."""
        return (((bank, address, slot), tag) for slot in range(self.slots))

    def execute(self, instruction: Instruction, wanted: Pass) -> None:
        """One pass: all of its reads are checked before its writes take place."""
        assert (instruction.name, instruction.opcode) == (wanted.name, wanted.opcode)
        if wanted.opcode == Opcode.INPUT:
            read, written = set(), list(self._input(instruction))
        elif wanted.opcode == Opcode.ATTENTION:
            read, written = self._attention(instruction, wanted)
        else:
            read = set(self._gather(instruction, wanted))
            written = [] if wanted.opcode == Opcode.HEAD else list(self._walk(instruction, wanted))
        assert read.isdisjoint((bank, address) for (bank, address, _), _ in written), (
            f"{wanted.name} reads a row it writes"
        )
        assert len({at for at, _ in written}) == len(written), f"{wanted.name} writes a slot twice"
        for (bank, address, slot), tag in written:
            assert 0 <= address < self.machine.bank_rows, f"{tag} lies outside the bank, in row {address}"
            self.held[bank, address, slot] = tag

    def _banks_written(self, instruction: Instruction) -> tuple[int, ...]:
        return (0, 1) if instruction.mirror else (instruction.target_bank,)

    def _columns(self, width: int) -> int:
        """Words of a line of the input: each holds one position of frames, or T pixels of an image, beginning with
        the one in front of the line."""
        return width // self.machine.time_steps + 1 if self._packs else width

    @property
    def _packs(self) -> bool:
        return self.network.input.kind == "image" and self.machine.time_steps > 1

    def _input(self, i: Instruction) -> Iterator[tuple[Slot, Tag]]:
        """The encoder: words one after another, each with the rows of its bit planes."""
        spec = self.network.input
        self.interleave = 1
        while self.interleave < self.machine.max_channels:
            self.interleave *= 2
        rows = -(-spec.bits * self.interleave // self.machine.row_lanes)
        assert (i.height_last + 1, i.width_last + 1, i.rows_last + 1) == (spec.height, spec.width, rows)
        assert (i.frames, i.channels, i.bits) == (spec.kind == "frames", spec.channels, spec.bits)
        assert i.steps == self.network.time_steps
        for word in range(spec.height * self._columns(spec.width)):
            for row in range(rows):
                yield from self._row(i.target_bank, i.target + word * rows + row, ("input", word, 0, row))

    def _groups_of(self, wanted: Pass) -> int:
        """Rows of one bit plane of a position."""
        return 1 if wanted.reads == "input" else -(-wanted.inputs // self.machine.row_lanes)

    def _gather(self, i: Instruction, wanted: Pass) -> Iterator[tuple[int, int]]:
        """The address generator's loops on the instruction's fields; the tags on the network's geometry."""
        height, width = wanted.height, wanted.width
        if wanted.kernel == 1:
            height, width = 1, height * width
        packed = wanted.reads == "input" and self._packs
        columns = self._columns(width) if packed else width  # of the tensor
        assert (bool(i.kernel3), bool(i.pixels)) == (wanted.kernel == 3, packed)
        self._check_lines(i, wanted, height)
        assert i.width_last + 1 == -(-width // (self.machine.time_steps if packed else 1))
        assert i.height_last + 1 == -(-height // i.lines)
        assert i.positions_last + 1 == (i.width_last + 1) * (i.height_last + 1) * i.lines
        groups = self._groups_of(wanted)
        assert i.tiles_last + 1 == -(-wanted.outputs // self.machine.lanes)
        assert (i.planes_last + 1, i.groups_last + 1) == (wanted.planes, groups)
        share = self.machine.row_lanes // self.interleave if wanted.reads == "input" else 1  # planes in a row
        assert self.machine.row_lanes >> i.lane_bits == share
        for _ in range(i.tiles_last + 1):
            for y in range(i.height_last + 1):
                for x in range(i.width_last + 1):
                    for plane, ky, kx in product(
                        reversed(range(i.planes_last + 1)),
                        range(i.lines + 2 if i.kernel3 else 1),
                        range(3 if i.kernel3 else 1),
                    ):
                        if packed and kx == 2:  # is in the words of the taps before
                            continue
                        beyond = (ky == 0 and y == 0) or (ky > i.live_lines and y == i.height_last)
                        if packed:
                            beyond |= kx == 1 and x == i.width_last and i.pad_right
                        else:
                            beyond |= (kx == 0 and x == 0) or (kx == 2 and x == i.width_last and i.pad_right)
                        sy = i.lines * y + ky - (wanted.kernel == 3)
                        sx = x + kx - (wanted.kernel == 3 and not packed)
                        outside = i.kernel3 and beyond
                        assert outside == (not (0 <= sy < height and 0 <= sx < columns))
                        if outside:
                            continue
                        at = i.source + (i.lines * y + ky) * i.source_line + (x + kx) * i.source_pitch
                        # down from the highest plane's rows
                        at += (i.planes_last // share - plane // share) * i.source_plane
                        for group in range(i.groups_last + 1):
                            row = (0, plane // share) if share > 1 or wanted.reads == "input" else (plane, group)
                            yield self._read(
                                i.source_bank,
                                (at + group) % self.space,
                                (wanted.reads, sy * columns + sx, *row),
                                wanted.name,
                            )

    def _check_lines(self, i: Instruction, wanted: Pass, height: int) -> None:
        """As many output lines at once as lanes, machine and picture have, each of whole drain groups."""
        machine = self.machine
        if wanted.kernel == 1:
            assert i.lines == 1
            return
        each = -(-wanted.outputs // machine.row_lanes) * machine.row_lanes
        fits = [lines for lines in range(1, machine.max_lines + 1) if lines * each <= machine.lanes]
        assert i.lines == min(max(fits, default=1), height)

    def _walk(self, i: Instruction, wanted: Pass) -> Iterator[tuple[Slot, Tag]]:
        """The row walker and the residual unit; the tags on the geometry of the output."""
        machine = self.machine
        joined = ResidualMode[self.network.residual.upper()] if wanted.joins else ResidualMode.STORE
        mode = ResidualMode.POOL if wanted.pools else joined
        assert i.residual == mode
        banks = self._banks_written(i)
        if wanted.joins or wanted.pools:  # the residual unit has the read port that the pass itself does not need
            assert 1 - i.source_bank in banks
        if wanted.joins:
            assert (i.source_bank, i.target_bank, i.mirror) == (0, 1, False)
            assert (i.planes_in, i.planes_out) == (wanted.planes_in, wanted.planes_out)
        planes = i.planes_out if mode == ResidualMode.ADD else 1
        # a group comes when the one before it is joined, and no later
        assert i.rest == max(0, (4 if wanted.pools else planes) - machine.time_steps)
        height, width = (wanted.height, wanted.width) if wanted.kernel == 3 else (1, wanted.height * wanted.width)
        pixels = machine.time_steps if i.pixels else 1
        groups = -(-min(wanted.outputs, machine.lanes) // machine.row_lanes) * self.slots
        assert i.drain_groups == groups
        # a token's sums come when those of the token before have been given out, and no later
        assert i.spacing_last + 1 == i.lines * groups * pixels * (machine.time_steps + i.rest)
        tile_rows = machine.lanes // machine.row_lanes
        halves = 2 if wanted.pools else 1
        wide = -(-width // halves)
        seen: dict[tuple[int, Slot], set[tuple[int, int]]] = {}  # group of channels, slot -> pixels of the output
        for tile, y, x, line, j, pixel in product(
            *map(range, (i.tiles_last + 1, i.height_last + 1, i.width_last + 1, i.lines, groups, pixels))
        ):
            out_y, out_x = y * i.lines + line, x * pixels + pixel
            row, slot = divmod(j, self.slots)
            group = tile * tile_rows + row
            beyond = y == i.height_last and line >= i.live_lines
            beyond |= bool(i.pixels) and x == i.width_last and pixel > i.live_pixels_last
            beyond |= tile == i.tiles_last and row > i.live_rows_last
            assert beyond == (out_y >= height or out_x >= width or group * machine.row_lanes >= wanted.outputs)
            if beyond:
                continue
            at = i.target + tile * tile_rows + row
            at += out_y // halves * i.target_line + out_x // halves * i.target_pitch
            position = out_y // halves * wide + out_x // halves
            if wanted.pools:
                self._pool(i, seen, (out_y, out_x), (height, width), at, (group, slot))
                continue
            for plane in range(planes):
                address = (at + plane * i.plane_pitch) % self.space
                if wanted.joins and plane < i.planes_in:
                    self._read(i.target_bank, address, (wanted.joins, position, plane, group), wanted.name, [slot])
                for bank in banks:
                    yield (bank, address, slot), (wanted.writes, position, plane, group)
        for (group, place), pixels_seen in seen.items():
            # the window is the one that is named by any of its pixels: all that are there, and no others
            v, u = -(-min(pixels_seen)[0] // 2), -(-min(pixels_seen)[1] // 2)
            window = {(2 * v + dy, 2 * u + dx) for dy, dx in product((-1, 0, 1), repeat=2)}
            assert pixels_seen == {(y, x) for y, x in window if 0 <= y < height and 0 <= x < width}
            assert place[1] == (i.target + v * i.target_line + u * i.target_pitch + group) % self.space
            yield place, (wanted.writes, v * wide + u, 0, group)
        if wanted.pools:
            rows = -(-wanted.outputs // machine.row_lanes)
            assert len(seen) == len(banks) * -(-height // 2) * wide * rows * self.slots

    def _pool(
        self,
        i: Instruction,
        seen: dict[tuple[int, Slot], set[tuple[int, int]]],
        pixel: tuple[int, int],
        picture: tuple[int, int],
        at: int,
        words: tuple[int, int],
    ) -> None:
        """A pixel's words, of a group of channels and a slot, go to the windows that it belongs to."""
        (y, x), (height, width), (group, slot) = pixel, picture, words
        across, down = x % 2 == 1 and x + 1 < width, y % 2 == 1 and y + 1 < height
        pitches = {(0, 0): 0, (0, 1): i.target_pitch, (1, 0): i.target_line, (1, 1): i.plane_pitch}
        for (dy, dx), pitch in pitches.items():
            if (dy and not down) or (dx and not across):
                continue
            stores = (dy or y == 0) and (dx or x == 0)
            for bank in self._banks_written(i):
                place = group, (bank, (at + pitch) % self.space, slot)
                assert stores == (place not in seen), f"pixel {pixel} is not the first of its window"
                seen.setdefault(place, set()).add(pixel)

    def _attention(self, i: Instruction, wanted: Pass) -> tuple[set[tuple[int, int]], list[tuple[Slot, Tag]]]:
        network, lanes = self.network, self.machine.row_lanes
        assert i.positions_last + 1 == network.tokens
        assert i.heads_last + 1 == network.heads
        assert (i.head_rows_last + 1) * lanes == network.head_dim
        read: set[tuple[int, int]] = set()
        written: list[tuple[Slot, Tag]] = []
        for head in range(i.heads_last + 1):
            for token in range(i.positions_last + 1):
                for row in range(i.head_rows_last + 1):
                    group = head * (i.head_rows_last + 1) + row
                    for part, base, bank in (("q", i.source, 0), ("k", i.keys, 0), ("v", i.values, 1)):
                        tag = (f"{wanted.reads}.{part}", token, 0, group)
                        read.add(self._read(bank, base + token * i.source_pitch + group, tag, wanted.name))
                    for bank in self._banks_written(i):
                        at = i.target + token * i.source_pitch + group
                        written += self._row(bank, at, (wanted.writes, token, 0, group))
        return read, written
