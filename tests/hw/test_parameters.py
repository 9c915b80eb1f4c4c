# amaranth: UnusedElaboratable=no
"""Drives the cocotb bench of ParameterFetch over lane counts and widths."""

import pytest

from ds2ta.hw.parameters import ParameterFetch
from ds2ta.sim.build import run_bench

SHAPE = {"lanes": 2, "current_width": 12, "param_width": 10, "address_width": 6, "count_width": 4}


@pytest.mark.parametrize(
    "change",
    [{}, {"lanes": 1, "param_width": 20, "address_width": 4, "count_width": 3}, {"lanes": 8, "current_width": 5}],
    ids=["R2", "R1-full-store", "R8"],
)
def test_bench(change):
    shape = {**SHAPE, **change}
    run_bench(ParameterFetch(**shape), module="ds2ta.sim.test_parameters", parameters=shape)
