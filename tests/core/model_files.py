# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Good and bad model files for the tests: written by the program in docs/model-file.md, not by ours."""

import re
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from safetensors.numpy import save_file

from ds2ta.errors import Ds2taError, ModelFileError, NetworkError
from ds2ta.model import IntegerModel
from ds2ta.modelfile import load_model

PAGE = Path(__file__).parents[2] / "docs" / "model-file.md"


def examples(most: int) -> settings:
    """Each example overwrites the same file in the test's folder, which is what the health check doubts."""
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=most, deadline=None, suppress_health_check=checks)


def documented() -> dict:
    """The names that the Python block of docs/model-file.md defines: an independent writer of the format."""
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    names = {"__name__": "documented"}
    exec(compile(block, str(PAGE), "exec"), names)
    return names


DOCUMENTED = documented()


def parts() -> list:
    """network, layers, attention, tensors, provenance of the documented example, free to change."""
    return list(DOCUMENTED["example"]())


def write(path: Path, changed: list) -> Path:
    DOCUMENTED["write_model"](path, *changed)
    return path


def refused(path: Path) -> str:
    """The one line with which `path` is refused."""
    with pytest.raises(Ds2taError) as caught:
        load_model(path)
    message = str(caught.value)
    assert type(caught.value) in (ModelFileError, NetworkError)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < 400 + len(str(path))
    return message.removeprefix(f"{path}: ")


def hashes(tensors: dict) -> dict[str, str]:
    heads = {name: f"{name}|{value.dtype.name}|{list(value.shape)}|".encode() for name, value in tensors.items()}
    return {name: DOCUMENTED["sha256"](heads[name] + value.tobytes()) for name, value in tensors.items()}


def set_metadata(path: Path, **changed: str) -> Path:
    """Replace metadata texts of a good file and put the digests right again."""
    network, layers, attention, tensors, provenance = parts()
    canonical, sha256 = DOCUMENTED["canonical"], DOCUMENTED["sha256"]
    texts = {"format": "ds2ta-integer", "version": "1", "network": canonical(network), "layers": canonical(layers)}
    texts |= {
        "attention": canonical(attention),
        "provenance": canonical(provenance),
        "tensors": canonical(hashes(tensors)),
    }
    texts |= changed
    save_file(tensors, path, metadata=texts | {"digest": sha256(canonical(texts).encode())})
    return path


def raw(header: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + body


def same(first: IntegerModel, second: IntegerModel) -> bool:
    assert first.network == second.network
    assert first.attention_threshold == second.attention_threshold
    assert first.provenance == second.provenance
    assert np.array_equal(first.samples, second.samples)
    assert np.array_equal(first.labels, second.labels)
    assert all(np.array_equal(a, b) for a, b in zip(first.denoisers, second.denoisers, strict=True))
    assert list(first.synapses) == list(second.synapses)
    for a, b in zip(first.synapses.values(), second.synapses.values(), strict=True):
        assert (a.spec, a.bits, a.tau, a.window) == (b.spec, b.bits, b.tau, b.window)
        assert np.array_equal(a.weight, b.weight)
        assert np.array_equal(a.bias, b.bias)
        assert a.threshold is b.threshold is None or np.array_equal(a.threshold, b.threshold)
    return True
