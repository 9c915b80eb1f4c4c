# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The driver on a board: python virtual_board.py [DEVICE]

Without a device, such as /dev/ttyUSB1, it makes one: the top module of an iCE40 board, simulated from its two pins
on, behind a pseudo-terminal. The driver cannot tell.
"""

import contextlib
import sys

from ds2ta.files import model_path
from ds2ta.fpga.host import Board
from ds2ta.fpga.top import DEFAULT_BAUD
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machines import ICE40, MACHINES
from ds2ta.golden import slow
from ds2ta.modelfile import load_model
from ds2ta.sim.virtual import VirtualBoard

model = load_model(model_path("digits-tiny"))

with contextlib.ExitStack() as stack:
    if len(sys.argv) > 1:
        device = sys.argv[1]
    else:
        machine, _ = fit(model, **MACHINES["digits-tiny"] | ICE40 | {"tables": "ram"})
        device = stack.enter_context(VirtualBoard(machine, model, clock_hz=24_000_000, baud=DEFAULT_BAUD)).device
    board = stack.enter_context(Board.open(device))

    about = board.identify()
    print(f"{device}: {about.machine.lanes} x {about.machine.time_steps} lanes at {about.clock_hz / 1e6:g} MHz")
    board.load(model)  # weights, program and tables; returns when the board has checked its memories
    results = board.infer(model.samples[:3])

for number, result in enumerate(results):
    wanted = slow.run(model, model.samples[number])["logits"]
    equal = result.logits == tuple(wanted.tolist())
    longest = max(result.counters, key=lambda own: own.cycles)
    print(
        f"sample {number}: class {result.class_index}, label {model.labels[number]}, {result.cycles} cycles, most "
        f"in {longest.name}; memories {'good' if result.trusted else 'IN DOUBT'}; logits "
        f"{'equal golden' if equal else 'DIFFER from golden'}"
    )
    if not (equal and result.trusted):
        sys.exit(1)
