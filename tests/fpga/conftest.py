# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Fixtures of the host link: the shipped tiny network, the iCEBreaker's machine for it, a board in plain Python."""

import pytest
from fake_board import FakeBoard

from ds2ta.files import ROOT
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.machines import ICE40, MACHINES
from ds2ta.modelfile import load_model, model_digest


@pytest.fixture(scope="session")
def tiny():
    return load_model(ROOT / "models" / "digits-tiny.safetensors")


@pytest.fixture(scope="session")
def machine(tiny):
    return fit(tiny, **MACHINES["digits-tiny"] | ICE40 | {"tables": "ram"})[0]


@pytest.fixture
def fake(tiny, machine):
    return FakeBoard(machine, {model_digest(tiny): tiny})
