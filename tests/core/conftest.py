# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Tests of model files run with an independent writer of each version."""

import pytest
from model_files import WRITERS, Writer


@pytest.fixture(params=WRITERS, ids=lambda version: f"version {version}")
def writer(request: pytest.FixtureRequest) -> Writer:
    return WRITERS[request.param]
