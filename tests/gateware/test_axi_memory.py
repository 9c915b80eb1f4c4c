# amaranth: UnusedElaboratable=no
# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Drives the bench of AxiMemory over widths and sizes of bursts, and checks its parameter limits."""

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ds2ta.errors import FitError
from ds2ta.gateware.axi.memory import AxiMemory, join_master, master_ports
from ds2ta.hw.payloads import memory_port
from ds2ta.sim.build import run_bench

CASES = {
    "64 bits": {"memory_bits": 64, "byte_address_bits": 32, "address_bits": 12, "burst": 16, "outstanding": 4},
    "128 bits": {"memory_bits": 128, "byte_address_bits": 64, "address_bits": 12, "burst": 64, "outstanding": 4},
    "longest": {"memory_bits": 128, "byte_address_bits": 40, "address_bits": 12, "burst": 256, "outstanding": 2},
    "64 bits, longest": {
        "memory_bits": 64,
        "byte_address_bits": 64,
        "address_bits": 12,
        "burst": 256,
        "outstanding": 1,
    },
    "shortest": {"memory_bits": 64, "byte_address_bits": 32, "address_bits": 12, "burst": 1, "outstanding": 16},
}
SMALL = CASES["64 bits"]


class Named(wiring.Component):
    """The block with AXI's names, as the shell has it."""

    def __init__(self, **parameters: int):
        self._block = AxiMemory(**parameters)
        memory_bits, byte_address_bits = parameters["memory_bits"], parameters["byte_address_bits"]
        super().__init__(
            {
                "memory": In(memory_port(memory_bits, parameters["address_bits"])),
                "base": In(byte_address_bits),
                **master_ports(memory_bits, byte_address_bits),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.block = block = self._block
        wiring.connect(m, wiring.flipped(self.memory), block.memory)
        m.d.comb += block.base.eq(self.base)
        join_master(m, block, self)
        return m


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_bench(case):
    parameters = {**case, "quiet": 7}
    fast = case["burst"] > 1 and case["outstanding"] > 1
    run_bench(
        Named(**parameters), module="ds2ta.sim.benches.bench_axi_memory", parameters={**parameters, "fast": fast}
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"memory_bits": 32}, "Memory bits of an AXI master must be 64 or 128, not 32"),
        ({"memory_bits": 256}, "Memory bits of an AXI master must be 64 or 128, not 256"),
        ({"byte_address_bits": 31}, "Byte address bits must be an integer from 32 to 64, not 31"),
        ({"byte_address_bits": 65}, "Byte address bits must be an integer from 32 to 64, not 65"),
        ({"address_bits": 0}, "Address bits must be an integer from 1 to 32, not 0"),
        (
            {"address_bits": 30},
            "words of 64 bits with numbers of 30 bits need byte addresses of 33 bits; the bus has 32",
        ),
        ({"burst": 512}, "Burst must be a power of two from 1 to 256, not 512"),
        ({"burst": 24}, "Burst must be a power of two from 1 to 256, not 24"),
        ({"outstanding": 32}, "Outstanding must be a power of two from 1 to 16, not 32"),
        ({"quiet": 0}, "Quiet must be an integer from 1 to 24, not 0"),
        ({"quiet": 25}, "Quiet must be an integer from 1 to 24, not 25"),
    ],
)
def test_limits(changes, message):
    with pytest.raises(FitError, match=message):
        AxiMemory(**{**SMALL, **changes})


def test_the_limits_are_accepted():
    AxiMemory(memory_bits=64, byte_address_bits=32, address_bits=29, burst=256, outstanding=16, quiet=24)
    AxiMemory(memory_bits=128, byte_address_bits=64, address_bits=32, burst=1, outstanding=1, quiet=1)
