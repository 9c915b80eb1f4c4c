# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Weights out of the files that training scripts write: `.pth` of torch.save, or `.safetensors`.

Nothing that a file holds is run: of objects beside the weights, only plain ones are built (numbers of numpy, paths,
the arguments of a command line). A file often holds several sets of weights, below keys such as `state_dict` or
`model_ema`, under prefixes such as `module.` or `model.`: each is a `WeightSet` with a name, and `choose` takes
one.
"""

import argparse
import collections
import os
import pathlib
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ds2ta.errors import ModelFileError

__all__ = ["WeightSet", "check_tensor", "choose", "read_sets", "weight_sets"]

_DEPTH = 4  # dictionaries inside of dictionaries that are looked into
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
#: Words of a key or a prefix that mark a moving average of the weights.
_AVERAGED = ("ema", "shadow", "average", "averaged", "swa")


def _path(*parts: str) -> pathlib.PurePath:
    return pathlib.PurePosixPath(*parts)


def _plain_objects() -> list:
    """What torch may build beside tensors: objects of data alone. Paths become pure ones, whatever system they are
    from."""
    paths = [
        (_path, f"{module}.{kind}")
        for module in ("pathlib", "pathlib._local")
        for kind in ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
    ]
    scalar, rebuild = np.float64(0).__reduce__()[0], np.zeros(1).__reduce__()[0]
    numbers = [
        (function, f"{module}.multiarray.{name}")
        for module in ("numpy.core", "numpy._core")
        for function, name in ((scalar, "scalar"), (rebuild, "_reconstruct"))
    ]
    kinds = [type(np.dtype(kind)) for kind in "?bBhHiIlLqQefdFDSU"]
    plain = [argparse.Namespace, types.SimpleNamespace, collections.defaultdict, dict, list, set, tuple, str]
    return [*plain, int, float, bool, complex, *paths, *numbers, np.dtype, np.ndarray, *kinds]


@dataclass(frozen=True)
class WeightSet:
    """One set of weights of a file: `name` says where it stands, `tensors` have that prefix no more, `others` are
    the names of tensors beside it, in the same dictionary."""

    name: str
    tensors: Mapping[str, torch.Tensor]
    others: tuple[str, ...] = field(default=())

    @property
    def averaged(self) -> bool:
        """Whether it is a moving average (EMA) of the weights, by its name."""
        words = self.name.lower().replace(".", "_").replace(":", "_").replace(" ", "_").split("_")
        return any(word in _AVERAGED for word in words)


def _load(path: Path) -> object:
    """Whatever the file holds. `ModelFileError`, one line with the mend, for all that cannot be read."""
    if path.is_dir():
        raise ModelFileError(f"{path}: is a folder; name the checkpoint in it")
    try:
        with open(path, "rb") as file:
            start = file.read(64)
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such file") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from None
    if not start:
        raise ModelFileError(f"{path}: is empty")
    if start.startswith(b"version https://git-lfs"):
        raise ModelFileError(f"{path}: is a pointer of Git LFS, not the file itself; `git lfs pull` brings that")
    if start[8:9] == b"{":
        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise ModelFileError(f"{path}: not a readable safetensors file ({error})") from None
    try:
        with torch.serialization.safe_globals(_plain_objects()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the unpickler may raise, it means one thing
        raise ModelFileError(f"{path}: {_reason(path, error)}") from None


def _reason(path: Path, error: Exception) -> str:
    """What kept torch from reading a file, in a few words: its own text advises to read it unsafely."""
    try:
        with torch.serialization.safe_globals(_plain_objects()):
            odd = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:
        odd = []
    if odd:
        return (
            f"holds an object of the class {odd[0]}, and building it could run any program; save the weights "
            "alone, torch.save(network.state_dict(), PATH)"
        )
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return f"not a file of tensors that torch.save wrote ({first:.80})"


def _dictionaries(found: object, at: str = "", depth: int = 0) -> Iterator[tuple[str, Mapping]]:
    """Every dictionary that has tensors in it, with the keys that lead there."""
    if not isinstance(found, Mapping) or depth > _DEPTH:
        return
    if any(isinstance(value, torch.Tensor) for value in found.values()):
        yield at, found
    for key, value in found.items():
        yield from _dictionaries(value, f"{at}.{key}" if at else str(key), depth + 1)


def weight_sets(found: object, mark: str) -> list[WeightSet]:
    """The sets of weights in what a file holds: one wherever a tensor's name ends with `mark`, which a network has
    once. What stands before it is the prefix."""
    sets = []
    for at, tensors in _dictionaries(found):
        names = [str(name) for name, value in tensors.items() if isinstance(value, torch.Tensor)]
        prefixes = [name.removesuffix(mark) for name in names if name == mark or name.endswith(f".{mark}")]
        # `model.` in front of `model.ema.`: a set does not hold the sets below it
        for prefix in prefixes:
            below = [other for other in prefixes if other != prefix and other.startswith(prefix)]
            own = {
                name.removeprefix(prefix): tensors[name]
                for name in names
                if name.startswith(prefix) and not any(name.startswith(other) for other in below)
            }
            beside = [name for name in names if not any(name.startswith(other) for other in prefixes)]
            name = ": ".join(part for part in (at, prefix.rstrip(".")) if part) or "the file itself"
            sets.append(WeightSet(name, own, tuple(beside)))
    return sets


def read_sets(path: str | os.PathLike, mark: str) -> list[WeightSet]:
    """The sets of weights of a file, at least one; `mark` as for `weight_sets`."""
    path = Path(path)
    found = _load(path)
    if isinstance(found, torch.nn.Module) or not isinstance(found, Mapping):
        raise ModelFileError(f"{path}: holds no state dict; write one by torch.save(network.state_dict(), PATH)")
    sets = weight_sets(found, mark)
    if not sets:
        tensors = [name for _, held in _dictionaries(found) for name, v in held.items() if torch.is_tensor(v)]
        if not tensors:
            raise ModelFileError(
                f"{path}: holds no state dict; write one by torch.save(network.state_dict(), PATH)"
            )
        raise ModelFileError(
            f"{path}: none of its {len(tensors)} tensors is named {mark}, with or without a prefix: it is not of a "
            f"Spikformer; the first is {tensors[0]!r:.60}"
        )
    return sets


def choose(sets: list[WeightSet], wanted: str | None, where: str | os.PathLike) -> WeightSet:
    """The set of that name, `ema` for the moving average; without a name the only one that is no average."""
    names = ", ".join(repr(found.name) for found in sets)
    if wanted is None:
        fitting = [found for found in sets if not found.averaged]
        rule = "--weights must name one of them"
        if not fitting:
            rule = "it is a moving average alone; --weights ema takes it"
    else:
        fitting = [found for found in sets if found.name == wanted]
        if wanted == "ema" and not fitting:
            fitting = [found for found in sets if found.averaged]
        rule = f"--weights {wanted} names {len(fitting)} of them"
    if len(fitting) != 1:
        raise ModelFileError(f"{where}: holds the weights {names}; {rule}")
    return fitting[0]


def check_tensor(name: str, value: torch.Tensor) -> None:
    """Raise `ModelFileError` unless the tensor is there with finite real numbers in it, none of a variance below
    0."""
    if value.layout != torch.strided or value.device.type == "meta":
        kind = "has no values (it is on the meta device)" if value.device.type == "meta" else "is sparse"
        raise ModelFileError(f"tensor {name} {kind}; it must be a dense tensor with values")
    if value.dtype not in _FLOATS:
        kinds = ", ".join(str(kind).removeprefix("torch.") for kind in _FLOATS)
        raise ModelFileError(
            f"tensor {name} is {str(value.dtype).removeprefix('torch.')}, it must be one of {kinds}"
        )
    wide = value.detach().double()
    if not bool(torch.isfinite(wide).all()):
        place = torch.nonzero(~torch.isfinite(wide))[0].tolist()
        raise ModelFileError(f"tensor {name}: value {float(wide[tuple(place)])} at {place}, it must be finite")
    if name.endswith("running_var") and float(wide.min()) < 0:
        raise ModelFileError(
            f"tensor {name}: value {float(wide.min()):g} at [{int(wide.argmin())}], a variance must be >= 0"
        )
