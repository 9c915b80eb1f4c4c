# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Which extra of the package brings what is missing: read from the metadata that it was installed with.

The base package writes Verilog and runs models with NumPy; training, simulation, synthesis and boards are extras of
`pyproject.toml`. A command that cannot go on says which of them to install.
"""

import importlib.util
import itertools
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

from ds2ta.errors import Ds2taError

__all__ = [
    "MissingPackageError",
    "extras",
    "has",
    "missing_message",
    "package_folder",
    "require",
    "requirement",
    "smallest",
    "version",
]

_PROJECT = "ds2ta"
#: Modules that go by another name than the requirement which brings them.
_BROUGHT_BY = {
    "cocotb-tools": "cocotb",
    "cocotbext": "cocotbext-axi",
    "find-libpython": "cocotb",
    "pil": "pillow",
    "serial": "pyserial",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


class MissingPackageError(Ds2taError):
    """A package is missing that belongs to an extra."""


def version() -> str:
    """Of the installed package."""
    return metadata.version(_PROJECT)


def require(*modules: str) -> None:
    """Raise `MissingPackageError`, which names what to install, unless all top-level `modules` can be imported."""
    if missing := [module for module in modules if not has(module)]:
        raise MissingPackageError(missing_message(missing))


def package_folder(module: str) -> Path:
    """Where an installed top-level module lies. Raises `MissingPackageError` for one that is not."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise MissingPackageError(missing_message([module]))
    return Path(spec.origin).parent


def has(module: str) -> bool:
    """Whether a top-level module is installed."""
    return importlib.util.find_spec(module) is not None


def missing_message(modules: Iterable[str]) -> str:
    """One line: what is missing, and the command that brings it."""
    wanted = sorted({requirement(module) for module in modules})
    chosen = smallest(wanted, extras())
    target = f"'{_PROJECT}[{','.join(chosen)}]'" if chosen else _PROJECT  # what is in no extra, the base brings
    verb, it = ("is", "it") if len(wanted) == 1 else ("are", "them")
    return f"{', '.join(wanted)} {verb} not installed; pip install {target} brings {it}"


def smallest(wanted: Iterable[str], brought: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The extras that bring all of `wanted` and the least beside it; none where not even all of them do."""
    choices = []
    for count in range(1, len(brought) + 1):
        for names in itertools.combinations(sorted(brought), count):
            together = frozenset().union(*(brought[name] for name in names))
            if together.issuperset(wanted):
                choices.append((len(together), count, names))
    return min(choices, default=(0, 0, ()))[2]


@cache
def extras() -> Mapping[str, frozenset[str]]:
    """Extra -> names of the requirements that it brings, those of the extras inside of it too."""
    direct: dict[str, set[str]] = {}
    inner: dict[str, set[str]] = {}
    for line in metadata.requires(_PROJECT) or ():
        if not (found := re.match(r"([\w.-]+)(?:\[([\w,-]+)\])?[^;]*;\s*extra\s*==\s*[\"']([\w-]+)[\"']", line)):
            continue
        name, parts, extra = found.groups()
        direct.setdefault(extra, set()), inner.setdefault(extra, set())
        if name == _PROJECT:
            inner[extra] |= set(parts.split(","))
        else:
            direct[extra].add(_plain(name))

    def brought(extra: str) -> frozenset[str]:
        return frozenset(direct[extra]).union(*map(brought, inner[extra]))

    return {extra: brought(extra) for extra in direct}


def requirement(module: str) -> str:
    """Name of the requirement, as the index spells it, that brings a module."""
    name = _plain(module.partition(".")[0])
    return _BROUGHT_BY.get(name, name)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
