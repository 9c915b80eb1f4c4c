# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The Verilog of the shipped machines, whole and block by block, under the same rules as every small design."""

import functools
from pathlib import Path

import pytest
from verilog_tools import assert_plain, icarus_accepts, needs_icarus, verilator_accepts, yosys_accepts

from ds2ta.gateware.accelerator import Accelerator
from ds2ta.gateware.blocks import blocks
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machines import MACHINES
from ds2ta.gateware.verilog import emit
from ds2ta.modelfile import load_model

MODELS = Path(__file__).resolve().parents[2] / "models"
VARIANTS = {
    "digits-tiny": {},
    "digits-tiny-spram": {"weights": "spram", "tables": "ram"},
    "digits-small": {},
}


@functools.cache
def machine(variant):
    name = next(name for name in MACHINES if variant.startswith(name))
    model = load_model(MODELS / f"{name}.safetensors")
    return fit(model, **{**MACHINES[name], **VARIANTS[variant]})


@functools.cache
def text(variant):
    return emit(Accelerator(*machine(variant)))


@pytest.fixture(params=VARIANTS)
def verilog(request):
    return text(request.param)


def test_plain(verilog):
    assert_plain(verilog)


def test_verilator(verilog, tmp_path):
    verilator_accepts(verilog, tmp_path)


@needs_icarus
def test_icarus(verilog, tmp_path):
    icarus_accepts(verilog, tmp_path)


def test_yosys(verilog, tmp_path):
    yosys_accepts(verilog, tmp_path)


def test_same_text_again():
    variant = "digits-tiny"
    assert emit(Accelerator(*machine(variant))) == text(variant)


@pytest.mark.parametrize("variant", ["digits-tiny-spram", "digits-small"])
def test_every_block_alone(variant, tmp_path):
    texts = [emit(component) for component in blocks(*machine(variant)).values()]
    assert len(texts) > 10
    for verilog in texts:
        assert_plain(verilog)
        verilator_accepts(verilog, tmp_path)
