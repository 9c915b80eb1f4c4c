# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A Spikformer that was trained elsewhere, from its checkpoint to a float state of this project: what `ds2ta
import` does, without its command line."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ds2ta.errors import DataError, ModelFileError, NetworkError
from ds2ta.golden.data.sets import DataSet, load_data, reads_files
from ds2ta.golden.training.checkpoint import Checkpoint, save_checkpoint
from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.golden.training.importsettings import (
    ASKED,
    Asked,
    Settings,
    missing,
    preset_of,
    preset_of_chain,
    read_settings,
)
from ds2ta.golden.training.recipe import Preset
from ds2ta.golden.training.run import accuracy
from ds2ta.golden.training.spikformer import MARK, Shape, import_spikformer, read_shape
from ds2ta.golden.training.statefile import WeightSet, choose, read_sets

__all__ = ["Found", "Imported", "import_file", "import_graph", "is_graph", "look"]

#: What the graph of a NIR file leaves open, of what a Spikformer's checkpoint does.
GRAPH_ASKED = ("data", "bits", "time_steps", "normalization")


@dataclass(frozen=True)
class Found:
    """What a checkpoint and the settings say together."""

    path: Path
    weights: WeightSet
    sets: tuple[WeightSet, ...]
    shape: Shape
    settings: Settings
    missing: tuple[Asked, ...]

    def rows(self) -> list[tuple[str, str, str]]:
        """(what, value, where from) of everything that is known."""
        shape, pooled = self.shape, self.settings.pools or ()
        read = {
            "weights": self.weights.name,
            "input channels": shape.channels,
            "input": self.settings.kind or ("event frames" if shape.channels == 2 else "image"),
            "convolutions": ", ".join(f"{n} pool" if i in pooled else str(n) for i, n in enumerate(shape.stem)),
            "embed_dim": shape.embed_dim,
            "blocks": shape.depth,
            "hidden_dim": f"{shape.hidden_dim}, MLP ratio {shape.hidden_dim / shape.embed_dim:g}",
            "classes": shape.classes,
        }
        rows = [(what, str(value), "the checkpoint") for what, value in read.items()]
        for asked in ASKED:
            value = self.settings.value(asked.key)
            if value is not None:
                text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
                rows.append((".".join(asked.key), text or "none", "the settings"))
        if self.settings.epsilon is None:
            rows.append(("epsilon", "1e-05", "torch's own, of batch norm"))
        return rows

    def notes(self) -> list[str]:
        """What a user should know of the rest of the file, and of what cannot be the same."""
        found = [
            f"the {'moving average' if other.averaged else 'other weights'} {other.name!r} not taken; "
            f"--weights '{other.name}' takes it"
            for other in self.sets
            if other is not self.weights
        ]
        if self.weights.others:
            found.append(f"{len(self.weights.others)} tensors beside the network, first {self.weights.others[0]}")
        if self.settings.normalization.mean is not None and any(self.settings.normalization.mean):
            found.append(
                "normalization.mean is not 0: the border of the first layer differs, where padding is black here "
                "and the mean there"
            )
        return found


@dataclass(frozen=True)
class Imported:
    """What was written, and the accuracy in percent where it was measured."""

    state: Path
    net: Path
    accuracy: float | None


def look(
    path: str | os.PathLike,
    *,
    weights: str | None = None,
    settings: str | os.PathLike | None = None,
    options: Mapping[str, Any] | None = None,
) -> Found:
    """Read a checkpoint and the settings, each checked. `weights` names one of the sets in the file."""
    stated = read_settings(settings, options or {})
    sets = read_sets(path, MARK)
    chosen = choose(sets, weights, path)
    try:
        shape = read_shape(chosen.tensors)
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from None
    return Found(Path(path), chosen, tuple(sets), shape, stated, tuple(missing(stated)))


def import_file(found: Found, state: str | os.PathLike, *, folder: str | os.PathLike | None = None) -> Imported:
    """Write `state`, the end of a float phase, for `ds2ta quantize` and for `ds2ta train NET.yaml --origin`, and
    the network file NET.yaml beside it. With the data set at hand (`folder`, or one that needs none) its accuracy
    on the held-out samples is measured; the file is written first."""
    if found.missing:
        told = "; ".join(asked.told for asked in found.missing)
        raise NetworkError(f"{found.path}: does not say {told}")
    preset, values = preset_of(found.settings, found.shape, found.path.name)

    def make() -> FloatNetwork:
        return import_spikformer(found.weights.tensors, network=preset.network, config=preset.config, **values)

    return _written(make, preset, state, folder)


def is_graph(path: str | os.PathLike) -> bool:
    """Whether a file is one of HDF5, as those of NIR are."""
    try:
        with open(path, "rb") as file:
            return file.read(8) == b"\x89HDF\r\n\x1a\n"
    except OSError:
        return False


def import_graph(
    path: str | os.PathLike,
    state: str | os.PathLike,
    *,
    dt: float | None,
    settings: str | os.PathLike | None = None,
    options: Mapping[str, Any] | None = None,
    folder: str | os.PathLike | None = None,
) -> Imported:
    """The same from a NIR file, whose graph must be a chain; `dt` is the length of a time step in seconds."""
    from ds2ta.golden.training.nirfile import fill, read_chain, read_graph  # nir is an extra

    stated = read_settings(settings, options or {})
    asked = [asked.told for asked in missing(stated) if asked.key[0] in GRAPH_ASKED]
    asked += [] if dt else ["dt (--dt): seconds of a time step, 1e-4 in files of ds2ta and snnTorch"]
    if asked or dt is None:
        raise NetworkError(f"{path}: does not say {'; '.join(asked)}")
    try:
        chain = read_chain(read_graph(path), dt)
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from None
    preset, values = preset_of_chain(stated, chain.size, chain.stem_sizes, chain.pools, chain.leak_shift, path)
    config = preset.config.model_copy(update={"firing_threshold": chain.theta / 2**chain.leak_shift})
    preset = Preset(preset.network, config)

    def make() -> FloatNetwork:
        return fill(chain, network=preset.network, config=config, **values)

    return _written(make, preset, state, folder)


def _written(
    make: Callable[[], FloatNetwork], preset: Preset, state: str | os.PathLike, folder: str | os.PathLike | None
) -> Imported:
    """Both files, with the accuracy where the data set is at hand."""
    state = Path(state)
    net = state.with_suffix(".yaml")
    if net == state:
        raise NetworkError(f"{state}: the network file has that name; end the state's in .safetensors")
    data = None
    if folder is not None or not reads_files(preset.config.data):
        data = load_data(preset.config.data, folder)
        _fits(data, preset)
    network = make()
    progress: dict = {"epochs": preset.config.epochs_float, "seconds": 0.0, "float_accuracy": None}
    checkpoint = Checkpoint(network, progress)
    save_checkpoint(checkpoint, state)
    _write_net(net, preset)
    if data is not None:
        progress["float_accuracy"] = accuracy(network, data.test_samples, data.test_labels)
        save_checkpoint(checkpoint, state)
    return Imported(state, net, progress["float_accuracy"])


def _fits(data: DataSet, preset: Preset) -> None:
    theirs, ours = data.input, preset.network.input
    for name in ("kind", "channels", "height", "width"):
        if getattr(theirs, name) != getattr(ours, name):
            raise DataError(
                f"data set {data.name} has {name} {getattr(theirs, name)}, the network {getattr(ours, name)}"
            )
    if theirs.bits > ours.bits:
        raise DataError(f"data set {data.name} has {theirs.bits} bits, the network {ours.bits}; give --bits more")
    if data.classes > preset.network.classes:
        raise DataError(f"data set {data.name} has {data.classes} classes, the network {preset.network.classes}")


def _write_net(path: Path, preset: Preset) -> None:
    """The network and its recipe as `ds2ta train NET.yaml` reads them."""
    recipe = preset.config.model_dump(mode="json", exclude_none=True)
    data = recipe.pop("data")
    values = {"data": data, "network": preset.network.model_dump(mode="json"), "recipe": recipe}
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(yaml.safe_dump(values, sort_keys=False, default_flow_style=None))
        partial.replace(path)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        partial.unlink(missing_ok=True)
