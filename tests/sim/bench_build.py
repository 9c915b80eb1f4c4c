"""Cocotb side of test_build.py: the blocks are defined in that file."""

import cocotb
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.stream import StreamSink, StreamSource, reset


@cocotb.test()
async def passes(dut):
    """Everything sent arrives, plus the constant, under the stalls of the driver."""
    given = bench_parameters()
    values = [(index * 37 + 11) % 200 for index in range(300)]
    source = StreamSource(dut, "i", stall=given["source"], seed=3)
    sink = StreamSink(dut, "o", stall=given["sink"], seed=4)
    await reset(dut)
    source.start(values)
    assert await sink.take(len(values)) == [value + given["constant"] for value in values]
    if given["source"] == given["sink"] == "never":
        assert source.cycles[-1] - source.cycles[0] == len(values) - 1
        assert sink.cycles[0] - source.cycles[0] == 1
