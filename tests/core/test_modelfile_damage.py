# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Damaged and foreign files are refused with one line of the project's own errors, and never run."""

import contextlib
import json
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_files import Writer, examples, raw, refused
from safetensors.numpy import save_file

from ds2ta.errors import Ds2taError, ModelFileError
from ds2ta.modelfile import load_model, model_digest


@pytest.fixture
def example(tmp_path: Path, writer: Writer) -> Path:
    return writer.write(tmp_path / "example.safetensors", writer.parts())


def test_every_flipped_bit_is_refused(example: Path, tmp_path: Path):
    data = example.read_bytes()
    path = tmp_path / "flipped"
    path.write_bytes(data)
    with path.open("r+b", buffering=0) as file:
        for bit in range(8 * len(data)):
            place, mask = bit >> 3, 1 << (bit & 7)
            file.seek(place)
            file.write(bytes([data[place] ^ mask]))
            try:
                load_model(path)
            except Ds2taError:
                pass
            else:
                pytest.fail(f"bit {bit & 7} of byte {place} of {len(data)} flipped: accepted")
            file.seek(place)
            file.write(data[place : place + 1])
    assert path.read_bytes() == data


def test_every_truncation_and_any_extension_is_refused(example: Path, tmp_path: Path):
    data, path = example.read_bytes(), tmp_path / "cut"
    for length in [*range(0, 80), *range(80, len(data), 64), len(data) - 1]:
        path.write_bytes(data[:length])
        refused(path)
    for extra in (b"\0", b" " * 8, data):
        path.write_bytes(data + extra)
        refused(path)


@examples(300)
@given(st.data())
def test_arbitrary_edits_raise_only_our_errors(tmp_path: Path, writer: Writer, data: st.DataObject):
    """Splices, repeats and random bytes: either the very same model comes back, or an error of the project."""
    path = writer.write(tmp_path / "edited", writer.parts())
    about, digest = load_model(path).about, model_digest(load_model(path))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        width = data.draw(st.integers(0, 40))
        content[at : at + width] = data.draw(st.binary(max_size=40))
    path.write_bytes(content)
    with contextlib.suppress(Ds2taError):
        assert model_digest(load_model(path)) == digest
        assert load_model(path).about == about


@examples(100)
@given(st.binary(max_size=200))
def test_noise_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "noise"
    path.write_bytes(content)
    refused(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 8,
        raw(b"{}", length=2**63),
        raw(b"{}", length=2**64 - 1),
        raw(b"{}", length=10**8 + 1),
        raw(b"[" * 50_000 + b"]" * 50_000),
        raw(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
        raw(b'{"\xff\xfe": 1}'),
        raw(b'{"__metadata__": 3}'),
        raw(b'{"__metadata__": {"format": 3}}'),
        raw(b'{"__metadata__": {"format": "ds2ta-integer", "version": "1"}}'),
        raw(b'{"a": {"dtype": "I8", "shape": [-1], "data_offsets": [0, 1]}}', b"\0"),
        raw(b'{"a": {"dtype": "I8", "shape": [1e30], "data_offsets": [0, 1]}}', b"\0"),
        raw(b'{"a": {"dtype": "I8", "shape": [4294967296, 4294967296, 2], "data_offsets": [0, 1]}}', b"\0"),
        raw(b'{"a": {"dtype": "I64", "shape": [1], "data_offsets": [0, 7]}}', b"\0" * 7),
        raw(b'{"a": {"dtype": "I8", "shape": [2], "data_offsets": [4, 2]}}', b"\0" * 4),
        raw(b'{"a": {"dtype": "I8", "shape": [1], "data_offsets": [18446744073709551615, 0]}}', b"\0"),
        raw(b"NaN"),
        b"PK\x03\x04" + b"\0" * 64,
        b"\x93NUMPY\x01\0v\0{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }",
        b'{"network": {}}',
    ],
)
def test_foreign_bytes_are_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "foreign"
    path.write_bytes(content)
    refused(path)


def test_a_pickle_is_refused_and_never_run(tmp_path: Path):
    touched = tmp_path / "touched"

    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(touched),)

    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps(Payload()))
    refused(path)
    assert not touched.exists()


@pytest.mark.parametrize(
    "dtype", ["BF16", "F8_E4M3", "F8_E5M2", "F16", "F32", "F64", "BOOL", "U64", "C64", "F4", "X"]
)
def test_other_tensor_types_are_refused(example: Path, tmp_path: Path, dtype: str):
    data = example.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    header["head.bias"]["dtype"] = dtype  # 24 bytes
    sizes = {"BF16": 2, "F16": 2, "F32": 4, "F64": 8, "U64": 8, "C64": 8}
    header["head.bias"]["shape"] = [24 // sizes.get(dtype, 1)]
    path = tmp_path / "typed"
    path.write_bytes(raw(json.dumps(header).encode(), data[8 + length :]))
    refused(path)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (None, "format"),
        ({"format": "pt"}, "format"),
        ({"format": "ds2ta-integer"}, "version"),
        ({"format": "ds2ta-integer", "version": "3"}, "version '3', this program reads 1 and 2"),
        ({"format": "ds2ta-integer", "version": "01"}, "version '01'"),
        ({"format": "ds2ta-integer", "version": "1"}, "network is missing"),
        ({"format": "ds2ta-integer", "version": "2"}, "network is missing"),
    ],
)
def test_foreign_safetensors_are_refused(tmp_path: Path, metadata: dict | None, words: str):
    save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "f", metadata=metadata)
    assert words in refused(tmp_path / "f")


@pytest.mark.parametrize("name", ["missing", "a/b/c", "x" * 5000, "nul\0byte", "."])
def test_a_path_without_a_file_is_refused(tmp_path: Path, name: str):
    with pytest.raises(ModelFileError):
        load_model(tmp_path / name)
