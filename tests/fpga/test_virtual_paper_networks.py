# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The virtual ULX3S-85F with the paper's own networks: weights put into its SDRAM, all else through the pins."""

import itertools

import pytest
from paper_networks import NETWORKS, code_of, paper_model

from ds2ta.fpga.boards import find_board
from ds2ta.fpga.frames import Request
from ds2ta.fpga.host import Board
from ds2ta.fpga.loading import check_settings, digest_words, load_payloads, store_contents
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machines import MACHINES
from ds2ta.gateware.stores import memory_image
from ds2ta.golden import slow
from ds2ta.modelfile import model_digest
from ds2ta.sim.virtual import VirtualBoard

CLOCK_HZ, BAUD = 24_000_000, 6_000_000  # the highest rate: four cycles a bit
ULX3S = find_board("ulx3s_85f")


BOARD = [f"fpga/{name}.py" for name in ("top", "link", "link_parts", "frames", "loading", "host")]


@pytest.mark.long(on=lambda: code_of("hw/*.py", "gateware/*.py", "sim/virtual.py", *BOARD))
@pytest.mark.parametrize("name", NETWORKS)
def test_a_sample(name, tmp_path):
    """The memory check finds the weights good; the sample's logits are right and trusted; it waited for weights."""
    model = paper_model(name)
    fitted = fit(model, **MACHINES[name])
    (tmp_path / "image").write_bytes(memory_image(*fitted))
    weights, *others = store_contents(*fitted)
    with VirtualBoard(fitted[0], clock_hz=CLOCK_HZ, baud=BAUD, memory=ULX3S.sdram) as virtual:
        virtual.fill(tmp_path / "image")
        with Board.open(virtual.device, baud=BAUD, timeout=120) as board:
            for payload in itertools.chain(*map(load_payloads, others)):
                board.ask(Request.LOAD, payload, "loading")
            for key, values in check_settings([weights, *others]).items():
                board.write(key, values)
            board.write("model_digest", digest_words(model_digest(model)))
            assert board.load(model) is False, "it held the model"
            (result,) = board.infer(model.samples)
    assert result.logits == tuple(slow.run(model, model.samples[0])["logits"].tolist())
    assert result.trusted
    assert sum(one.waits for one in result.counters) > 0
