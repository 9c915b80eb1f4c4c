# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Good and bad model files for the tests: written by the program in docs/model-file.md, and by the one that stood
there for version 1, not by ours."""

import re
import struct
from pathlib import Path

import numpy as np
import pytest
import version_one
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


class Writer:
    """An independent writer of one version of the format."""

    def __init__(self, version: int, names: dict):
        self.version, self._names = version, names
        self.canonical, self.sha256 = names["canonical"], names["sha256"]
        self.packed = names.get("packed")  # none in version 1

    def parts(self) -> list:
        """network, layers, attention, tensors, provenance, in version 2 about: of its example, free to change."""
        return list(self._names["example"]())

    def write(self, path: Path, changed: list) -> Path:
        self._names["write_model"](path, *changed)
        return path

    def hashes(self, tensors: dict) -> dict[str, str]:
        heads = {
            name: f"{name}|{value.dtype.name}|{list(value.shape)}|".encode() for name, value in tensors.items()
        }
        return {name: self.sha256(heads[name] + value.tobytes()) for name, value in tensors.items()}

    def texts(self) -> dict[str, str]:
        """The example's metadata, without the digests of all."""
        network, layers, attention, tensors, provenance, *about = self.parts()
        texts = {
            "network": network,
            "layers": layers,
            "attention": attention,
            "provenance": provenance,
            "tensors": self.hashes(tensors),
        }
        if self.version > 1:
            texts |= {"neurons": {"leak": {}, "reset": "hard"}, "about": about[0]}
        plain = {"format": "ds2ta-integer", "version": str(self.version)}
        return plain | {key: self.canonical(value) for key, value in texts.items()}

    def stored(self) -> dict[str, np.ndarray]:
        """The example's tensors as they lie in the file."""
        _, layers, _, tensors, *_ = self.parts()
        if self.version > 1:
            weights = [name for name in tensors if name.endswith(".weight")]
            bits = {name: layers[name.removesuffix(".weight")]["bits"] for name in weights}
            tensors |= {name: self.packed(tensors[name], bits[name]) for name in weights}
        return tensors

    def set_metadata(self, path: Path, stored: dict | None = None, **changed: str) -> Path:
        """The example with other metadata texts, or other stored tensors, and digests that are right again."""
        texts = self.texts()
        whole = texts.get("neurons")
        texts |= changed
        if self.version == 1:
            texts["digest"] = self.sha256(self.canonical(texts).encode())
        else:
            later = ["about"] + (["neurons"] if texts["neurons"] == whole else [])
            identity = {key: text for key, text in texts.items() if key not in later} | {"version": "1"}
            texts["digest"] = self.sha256(self.canonical(identity).encode())
            texts["check"] = self.sha256(self.canonical(texts).encode())
        save_file(self.stored() | (stored or {}), path, metadata=texts)
        return path


WRITERS = {1: Writer(1, vars(version_one)), 2: Writer(2, documented())}
NEWEST = WRITERS[max(WRITERS)]


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


def raw(header: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + body


def same(first: IntegerModel, second: IntegerModel) -> bool:
    assert first.network == second.network
    assert first.attention_threshold == second.attention_threshold
    assert first.provenance == second.provenance
    assert first.leaks == second.leaks
    assert first.about == second.about
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
