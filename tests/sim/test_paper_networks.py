# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The paper's own networks on the machines that an ECP5-85F with an SDRAM holds: random weights that are alive, one
sample, every layer, every kept score, every counter, waits for the memory included."""

import pytest
from paper_networks import NETWORKS, code_of, paper_model

from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machines import MACHINES
from ds2ta.sim.verify import verify


@pytest.mark.long(on=lambda: code_of("hw/*.py", "gateware/*.py"))
@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_and_cycle(name):
    model = paper_model(name)
    machine, program = fit(model, **MACHINES[name])
    (seen,) = verify(model, machine, program, model.samples)
    assert seen.difference is None
    assert machine.streams
    assert sum(item.waits for item in seen.result.passes) > 0
    bands = [item for item in program.instructions if item.name == "stem.0"]
    assert len(bands) == (5 if name == "vit-2-256" else 1)
