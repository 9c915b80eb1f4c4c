# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A shadow of the spike banks: executes a layer program on tags instead of spikes.

Each row of a bank holds the tag of what was last written there, `(tensor, position, plane, channel group)`. Every
pass is executed from the fields of its instruction alone, as `docs/layer-program.md` describes them, and every row
that it reads must carry the tag that the network's equations ask for. A region placed over another that is still
needed, a wrong bank, pitch, line or plane count: each shows as a wrong tag.
"""

from collections.abc import Iterator
from dataclasses import dataclass

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
    stride: int = 1
    planes: int = 1  # bit planes of what it reads
    inputs: int = 0
    outputs: int = 0
    joins: str = ""  # the stream tensor that its spikes join
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
        name = f"stem.{index}"
        layer(name, here, name, planes)
        here, planes = name, 1
        if conv.pool:
            here = f"{name}.pool"
            found.append(
                Pass(
                    name=here,
                    opcode=Opcode.POOL,
                    reads=name,
                    writes=here,
                    height=specs[name].height,
                    width=specs[name].width,
                    kernel=3,
                    stride=2,
                    inputs=conv.channels,
                    outputs=conv.channels,
                )
            )
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


class ShadowBanks:
    """Two banks of tags."""

    def __init__(self, network: Network, machine: Machine):
        self.network, self.machine = network, machine
        self.banks: tuple[dict[int, Tag], dict[int, Tag]] = ({}, {})
        self.space = 1 << (machine.bank_rows - 1).bit_length()

    def _read(self, bank: int, address: int, wanted: Tag, who: str) -> tuple[int, int]:
        held = self.banks[bank].get(address)
        assert held == wanted, f"{who} reads row {address} of bank {'AB'[bank]}: {held}, it needs {wanted}"
        return bank, address

    def _write(self, bank: int, address: int, tag: Tag) -> None:
        assert 0 <= address < self.machine.bank_rows, f"{tag} lies outside the bank, in row {address}"
        self.banks[bank][address] = tag

    def execute(self, instruction: Instruction, wanted: Pass) -> None:
        """One pass: all of its reads are checked before its writes take place."""
        assert (instruction.name, instruction.opcode) == (wanted.name, wanted.opcode)
        if wanted.opcode == Opcode.INPUT:
            read, written = set(), dict(self._input(instruction))
        elif wanted.opcode == Opcode.ATTENTION:
            read, written = self._attention(instruction, wanted)
        else:
            read = set(self._gather(instruction, wanted))
            written = {} if wanted.opcode == Opcode.HEAD else dict(self._walk(instruction, wanted))
        assert read.isdisjoint(written), f"{wanted.name} writes a row that it reads"
        for (bank, address), tag in written.items():
            self._write(bank, address, tag)

    def _banks_written(self, instruction: Instruction) -> tuple[int, ...]:
        return (0, 1) if instruction.mirror else (instruction.target_bank,)

    def _input(self, instruction: Instruction) -> Iterator[tuple[tuple[int, int], Tag]]:
        """The encoder: positions one after another, each with the rows of its bit planes."""
        spec = self.network.input
        channels = 1
        while channels < spec.channels:
            channels *= 2
        self.interleave = channels
        rows = -(-spec.bits * channels // self.machine.row_lanes)
        assert instruction.positions_last + 1 == spec.height * spec.width
        for position in range(spec.height * spec.width):
            for row in range(rows):
                yield (
                    (instruction.target_bank, instruction.target + position * rows + row),
                    ("input", position, 0, row),
                )

    def _rows_of_tap(self, wanted: Pass) -> list[tuple[int, int]]:
        """(plane, group) in reading order."""
        lanes = self.machine.row_lanes
        if wanted.reads == "input":
            return [(0, row) for row in range(-(-wanted.planes * self.interleave // lanes))]
        groups = -(-wanted.inputs // lanes)
        if wanted.inputs > self.machine.lanes:  # whole tiles of their producer
            groups = -(-wanted.inputs // self.machine.lanes) * (self.machine.lanes // lanes)
        return [(plane, group) for plane in range(wanted.planes) for group in range(groups)]

    def _gather(self, i: Instruction, wanted: Pass) -> Iterator[tuple[int, int]]:
        """The address generator's loops on the instruction's fields; the tags on the network's geometry."""
        pool = wanted.opcode == Opcode.POOL
        height, width = wanted.height, wanted.width
        if wanted.kernel == 1:
            height, width = 1, height * width
        stride = 2 if i.stride2 else 1
        assert (bool(i.kernel3), stride) == (wanted.kernel == 3, wanted.stride)
        assert i.width_last + 1 == -(-width // stride)
        assert i.height_last + 1 == -(-height // stride)
        assert (i.positions_last + 1) == (i.width_last + 1) * (i.height_last + 1)
        taps = self._rows_of_tap(wanted)
        if pool:
            assert i.tiles_last + 1 == len(taps)
        else:
            assert i.tiles_last + 1 == -(-wanted.outputs // self.machine.lanes)
            assert i.rows_last + 1 == len(taps)
        for tile in range(i.tiles_last + 1):
            for y in range(i.height_last + 1):
                for x in range(i.width_last + 1):
                    for ky in range(3 if i.kernel3 else 1):
                        for kx in range(3 if i.kernel3 else 1):
                            outside = i.kernel3 and (
                                (ky == 0 and y == 0)
                                or (kx == 0 and x == 0)
                                or (ky == 2 and y == i.height_last and i.pad_bottom)
                                or (kx == 2 and x == i.width_last and i.pad_right)
                            )
                            sy = stride * y + ky - (wanted.kernel == 3)
                            sx = stride * x + kx - (wanted.kernel == 3)
                            assert outside == (not (0 <= sy < height and 0 <= sx < width))
                            if outside:
                                continue
                            at = i.source + (stride * y + ky) * i.source_line + (stride * x + kx) * i.source_pitch
                            for row in range(i.rows_last + 1):
                                plane, group = taps[tile] if pool else taps[row]
                                yield self._read(
                                    i.source_bank,
                                    (at + row + tile * pool) % self.space,
                                    (wanted.reads, sy * width + sx, plane, group),
                                    wanted.name,
                                )

    def _walk(self, i: Instruction, wanted: Pass) -> Iterator[tuple[tuple[int, int], Tag]]:
        """The row walker and the residual unit."""
        machine = self.machine
        rows = 1 if wanted.opcode == Opcode.POOL else -(-i.drain_groups * machine.drain_lanes // machine.row_lanes)
        tile_groups = 1 if wanted.opcode == Opcode.POOL else machine.lanes // machine.row_lanes
        mode = ResidualMode.STORE if not wanted.joins else ResidualMode[self.network.residual.upper()]
        assert i.residual == mode
        if wanted.joins:  # the residual unit has the read port of bank B, so the pass itself reads bank A
            assert (i.source_bank, i.target_bank, i.mirror) == (0, 1, False)
            assert (i.planes_in, i.planes_out) == (wanted.planes_in, wanted.planes_out)
        for tile in range(i.tiles_last + 1):
            for position in range(i.positions_last + 1):
                for row in range(rows):
                    at = (i.target + position * i.target_pitch + tile * i.tile_pitch + row) % self.space
                    group = tile * tile_groups + row
                    for plane in range(i.planes_out if mode == ResidualMode.ADD else 1):
                        address = (at + plane * i.plane_pitch) % self.space
                        if wanted.joins and plane < i.planes_in:
                            self._read(i.target_bank, address, (wanted.joins, position, plane, group), wanted.name)
                        for bank in self._banks_written(i):
                            yield (bank, address), (wanted.writes, position, plane, group)

    def _attention(self, i: Instruction, wanted: Pass) -> tuple[set[tuple[int, int]], dict[tuple[int, int], Tag]]:
        network, lanes = self.network, self.machine.row_lanes
        assert i.positions_last + 1 == network.tokens
        assert i.heads_last + 1 == network.heads
        assert (i.head_rows_last + 1) * lanes == network.head_dim
        read, written = set(), {}
        for head in range(i.heads_last + 1):
            for token in range(i.positions_last + 1):
                for row in range(i.head_rows_last + 1):
                    group = head * (i.head_rows_last + 1) + row
                    for part, base, bank in (("q", i.source, 0), ("k", i.keys, 0), ("v", i.values, 1)):
                        tag = (f"{wanted.reads}.{part}", token, 0, group)
                        read.add(self._read(bank, base + token * i.source_pitch + group, tag, wanted.name))
                    for bank in self._banks_written(i):
                        written[bank, i.target + token * i.source_pitch + group] = (wanted.writes, token, 0, group)
        return read, written
