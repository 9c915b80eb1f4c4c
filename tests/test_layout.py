# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The house: one stem for each block in every folder, imports that point one way and in no circle, short functions,
pinned tools."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1]
PARTS = ("hw", "gateware", "golden", "sim", "fpga")
LONGEST = 80  # lines of a function in HARDWARE, its docstring not counted
HARDWARE = ("hw", "gateware", "fpga")

# what a file of a folder may import, of the project and of the outside
ALLOWED = {
    "hw": {"core", "hw"},
    "gateware": {"core", "hw", "gateware"},
    "golden": {"core", "golden"},
    "fpga": {"core", "hw", "gateware", "fpga"},
    "sim": {"core", "hw", "gateware", "golden", "fpga", "sim"},
    "core": {"core"},
    "records": {"core", "hw", "gateware", "golden", "fpga", "sim", "records"},
    "commands": {"core", "commands"},
}
FORBIDDEN = {
    "hw": {"torch", "sklearn", "cocotb", "pyosys"},
    "gateware": {"torch", "sklearn", "cocotb"},
    "fpga": {"torch", "sklearn", "cocotb"},
    "golden": {"amaranth", "cocotb", "pyosys"},
    "sim": set(),
    "core": {"torch", "sklearn", "amaranth", "cocotb", "pyosys"},
    "records": set(),
    "commands": {"torch", "sklearn", "amaranth", "cocotb", "pyosys"},
}
INNER = ("commands", "records")  # folders inside of ds2ta/ that are parts of their own
LAZY = ("commands",)  # folders whose modules may import anything inside of a function
ENTRY = "__main__"  # `python -m ds2ta` is one of the commands, wherever its file must lie

#: The golden twin of each block: the functions of `golden/slow.py` that its bench takes expected values from.
TWINS = {
    "attention": {"scores", "denoise", "attend", "lif"},
    "av": {"attend", "lif"},
    "denoiser": {"denoise"},
    "engine": {"synapse"},
    "head": {"head", "synapse"},
    "lif": {"lif", "leak"},
    "nsad_table": {"denoise"},
    "residual": {"residual", "max_pool"},
    "score": {"scores"},
    "tasa": {"tasa"},
}
#: Blocks that compute nothing, but move and keep what others compute; and what is right in their benches.
MOVERS = {
    "bank": "an array in Python for each slot",
    "cobs": "the package cobs",
    "encoder": "the layout of rows, sim/spike_rows.py",
    "gather": "the loops of a convolution, written out",
    "lists": "lists of Python",
    "memory_reader": "the words of a list, and zlib",
    "packer": "the layout of words, sim/spike_rows.py",
    "pairs": "the order of the attention's loops, written out",
    "parameters": "the rows of the store, counted out",
    "ring": "a list of rows, and the cycles in which words were taken",
    "row_reader": "the rows of the bank, the pixels of a line",
    "sdram": "a model of the chip, sim/sdram_chip.py",
    "spi_flash": "the bytes of a chip, sim/flash_chip.h",
    "store": "an array in Python",
    "uart": "the bits of a frame, written out",
    "walker": "the loops of the addresses, written out",
    "zero_skip": "the spike words that are not zero, in order",
}
#: Each equation of `golden/slow.py` and the part of `golden/integer.py`, the fast model, that is the same.
FAST = {
    "attend": "IntegerNetwork._attend",
    "convolve": "_synapse",
    "denoise": "IntegerNetwork._attend",
    "encode": "IntegerNetwork._chunk",
    "head": "IntegerNetwork._chunk",
    "leak": "_lif",
    "lif": "_lif",
    "max_pool": "_pool",
    "residual": "IntegerNetwork._residual",
    "scores": "IntegerNetwork._attend",
    "synapse": "_synapse",
    "tasa": "_tasa",
}
#: Of the slow model, what is no block of its own: `gather` and `engine` together convolve; the rest serves `run`.
COMPOSED = {"check_sample", "convolve", "encode", "run"}


def sources(folder: str) -> list[Path]:
    return sorted((TOP / folder).rglob("*.py"))


def blocks() -> list[str]:
    """Stems of the files in hw/ that define a component."""
    found = []
    for path in sources("hw"):
        bases = [
            ast.unparse(base)
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.ClassDef)
            for base in node.bases
        ]
        if "wiring.Component" in bases:
            found.append(path.stem)
    return found


def tracked() -> list[Path]:
    """Text files of the project: those of git, or all outside of ignored folders where there is no git."""
    if shutil.which("git") and (TOP / ".git").exists():
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True).stdout.split("\n")
        paths = [TOP / name for name in names if name]
    else:
        skipped = {"build", "__pycache__"}
        paths = [
            path
            for path in TOP.rglob("*")
            if not skipped & set(path.parts)
            and not any(part.startswith(".") for part in path.relative_to(TOP).parts)
        ]
    return [path for path in paths if path.is_file() and path.suffix != ".safetensors"]


def modules() -> dict[str, Path]:
    """Every module of the package by its name."""
    found = {}
    for folder in ("ds2ta", *PARTS):
        for path in sources(folder):
            parts = path.relative_to(TOP).with_suffix("").parts
            parts = parts if parts[0] == "ds2ta" else ("ds2ta", *parts)
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(path: Path) -> list[tuple[str, bool]]:
    """Imported modules of a file, each with whether that happens when the file itself is imported: neither inside
    of a function nor for types alone. A name that is imported counts as a module where it may be one: `from
    ds2ta.golden import slow` is an import of `ds2ta.golden.slow`."""
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(outer, ast.If) and ast.unparse(outer.test) == "TYPE_CHECKING")
        for node in ast.walk(outer)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) not in inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import in line {node.lineno}; the house names its modules"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names] if module.startswith("ds2ta") else [module]
            found += [(name, id(node) not in inside) for name in names]
    return found


def circles() -> list[list[str]]:
    """Groups of modules that import each other, by whatever way: at the top, inside of a function, or for types."""
    known = modules()
    reads: dict[str, set[str]] = {}
    for name, path in known.items():
        wanted = [module for module, _ in imports(path)]
        # the longest beginning of what is imported that is a module: the rest is a name in it
        wanted = [module if module in known else module.rpartition(".")[0] for module in wanted]
        reads[name] = {module for module in wanted if module in known and module != name}

    def reached(start: str) -> set[str]:
        found, left = set(), [start]
        while left:
            left += (new := reads[left.pop()] - found)
            found |= new
        return found

    reach = {name: reached(name) for name in known}
    groups = {frozenset(other for other in reach[name] if name in reach[other]) for name in known}
    return sorted(sorted(group) for group in groups if group)


def part_of(module: str) -> str | None:
    """The folder that a project module lies in; None for other people's modules."""
    first, _, rest = module.partition(".")
    if first != "ds2ta":
        return first if first in ("tests", *PARTS) else None
    return rest.split(".")[0] if rest.split(".")[0] in (*PARTS, *INNER) else "core"


def violations(path: Path, folder: str) -> list[str]:
    found = []
    for module, eager in imports(path):
        part, outside = part_of(module), module.partition(".")[0]
        lazy = folder in LAZY and not eager
        if not lazy and (outside in FORBIDDEN[folder] or (part is not None and part not in ALLOWED[folder])):
            found.append(f"{path.relative_to(TOP)} imports {module}")
    return found


def test_there_are_blocks():
    assert {"engine", "tasa", "lif", "score", "denoiser", "av", "residual", "head", "store"} <= set(blocks())


@pytest.mark.parametrize("stem", blocks())
def test_one_stem_in_every_folder(stem):
    assert (TOP / "sim" / "benches" / f"bench_{stem}.py").is_file()
    assert (TOP / "tests" / "hw" / f"test_{stem}.py").is_file()
    assert f"ds2ta.sim.benches.bench_{stem}" in (TOP / "tests" / "hw" / f"test_{stem}.py").read_text()


@pytest.mark.parametrize("stem", blocks())
def test_every_block_is_documented(stem):
    pages = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]
    assert any(f"hw/{stem}.py" in page.read_text() for page in pages), f"no page names hw/{stem}.py"
    for node in ast.parse((TOP / "hw" / f"{stem}.py").read_text()).body:
        if isinstance(node, ast.ClassDef) and "wiring.Component" in map(ast.unparse, node.bases):
            contract = ast.get_docstring(node) or ""
            for word in ("atency", "hroughput"):
                assert word in contract, f"{stem}.{node.name}: its docstring states no l{word}".replace(
                    "lhr", "thr"
                )


def functions_of(path: Path) -> set[str]:
    """Functions of a file, methods with their class."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return found


def slow_functions_used(path: Path) -> set[str]:
    """Functions of `golden/slow.py` that a file calls."""
    tree, found, module = ast.parse(path.read_text()), set(), "ds2ta.golden.slow"
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == module:
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "slow":
            found.add(node.attr)
    return found


@pytest.mark.parametrize("stem", blocks())
def test_every_block_has_its_golden_twin(stem):
    """The bench of a block with arithmetic asks the slow model what is right, and of it those equations alone."""
    assert (stem in TWINS) != (stem in MOVERS), f"hw/{stem}.py: say in TWINS or MOVERS what its golden twin is"
    used = slow_functions_used(TOP / "sim" / "benches" / f"bench_{stem}.py")
    assert used == TWINS.get(stem, set()), f"bench_{stem}.py takes expected values from {sorted(used)}"
    assert used <= functions_of(TOP / "golden" / "slow.py")


def test_every_equation_has_a_block_and_a_fast_twin():
    equations = {name for name in functions_of(TOP / "golden" / "slow.py") if not name.startswith("_")}
    assert equations == set().union(COMPOSED, *TWINS.values())
    assert equations - {"check_sample", "run"} == set(FAST)
    assert set(FAST.values()) <= functions_of(TOP / "golden" / "integer.py")
    assert set(TWINS) | set(MOVERS) == set(blocks())


@pytest.mark.parametrize("folder", ALLOWED)
def test_imports_point_one_way(folder):
    if folder == "core":
        paths = [path for path in sorted((TOP / "ds2ta").glob("*.py")) if path.stem != ENTRY]
    else:
        paths = sources(f"ds2ta/{folder}" if folder in INNER else folder)
    assert [found for path in paths for found in violations(path, folder)] == []


def test_the_import_check_bites(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "TOP", tmp_path)
    file = tmp_path / "module.py"
    for line, folder, bad in [
        ("import torch", "hw", True),
        ("from ds2ta.golden.slow import run", "gateware", True),
        ("from ds2ta import sim", "fpga", True),
        ("def late():\n    from ds2ta.hw import lif", "golden", True),
        ("import tests.mutation", "sim", True),
        ("from ds2ta.hw.lif import LifArray", "gateware", False),
        ("from ds2ta.network import Network", "hw", False),
        ("def late():\n    import amaranth", "core", True),
    ]:
        file.write_text(line + "\n")
        assert bool(violations(file, folder)) is bad, line
    for before in ("def late():", "if TYPE_CHECKING:"):
        file.write_text(f"{before}\n    import ds2ta.sim.rtl\n")
        assert violations(file, "commands") == []
    file.write_text("import ds2ta.sim.rtl\n")
    assert violations(file, "commands") != []


@pytest.mark.parametrize("folder", [folder for folder in ALLOWED if folder != "commands"])
@pytest.mark.parametrize(
    "line",
    [
        "from ds2ta.commands import main",
        "import ds2ta.commands.main",
        "from ds2ta import commands",
        "def late():\n    from ds2ta.commands.main import app",
        "if TYPE_CHECKING:\n    from ds2ta.commands.main import app",
    ],
)
def test_nothing_may_import_the_commands(folder, line, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "TOP", tmp_path)
    file = tmp_path / "module.py"
    file.write_text(line + "\n")
    assert violations(file, folder) != []


def test_no_module_imports_itself_by_way_of_others():
    assert circles() == []


@pytest.mark.parametrize(
    "line",
    [
        "from ds2ta.golden.first import thing",
        "from ds2ta.golden import first",
        "import ds2ta.golden.first",
        "def late():\n    from ds2ta.golden import first",
        "class Late:\n    async def late(self):\n        import ds2ta.golden.first",
        "if TYPE_CHECKING:\n    from ds2ta.golden.first import Thing",
    ],
)
def test_the_check_for_circles_bites(line, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "TOP", tmp_path)
    (tmp_path / "golden").mkdir()
    (tmp_path / "ds2ta").mkdir()
    (tmp_path / "golden" / "first.py").write_text("from ds2ta.middle import other\n")
    (tmp_path / "ds2ta" / "middle.py").write_text("def late():\n    from ds2ta.golden import last\n")
    (tmp_path / "golden" / "last.py").write_text("import numpy\n")
    assert circles() == []
    (tmp_path / "golden" / "last.py").write_text(line + "\n")
    assert circles() == [["ds2ta.golden.first", "ds2ta.golden.last", "ds2ta.middle"]]


def test_every_module_says_what_it_is():
    for folder in ("ds2ta", *PARTS, "tests"):
        for path in sources(folder):
            tree = ast.parse(path.read_text())
            assert not tree.body or ast.get_docstring(tree), f"{path.relative_to(TOP)} has no docstring"


def long_functions(path: Path) -> list[str]:
    """Functions of more than LONGEST lines for which no line right above `def` gives a reason."""
    text = path.read_text()
    lines, found = text.splitlines(), []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            length = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node) is not None:
                length -= first.end_lineno - first.lineno + 1
            reason = re.match(rf" *# longer than {LONGEST} lines: \w", lines[node.lineno - 2])
            if length > LONGEST and (node.lineno == 1 or not reason):
                found.append(f"{path.relative_to(TOP)}: {node.name} has {length} lines")
    return found


def test_functions_of_the_hardware_are_short():
    assert [long for folder in HARDWARE for path in sources(folder) for long in long_functions(path)] == []


def test_the_check_of_lengths_bites(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "TOP", tmp_path)
    file = tmp_path / "module.py"
    statements = "    x = 1\n" * (LONGEST - 1)
    doc = '    """A docstring\n    of two lines."""\n'
    reason = f"# longer than {LONGEST} lines: a table\n"
    for text, bad in [
        (f"def short():\n{statements}", False),
        (f"def short():\n{doc}{statements}", False),
        (f"def long():\n{doc}{statements}    x = 2\n", True),
        (f"class Some:\n  @property\n  async def long(self):\n{statements}    x = 2\n", True),
        (f"{reason}def long():\n{statements}    x = 2\n", False),
        (f"{reason}\ndef long():\n{statements}    x = 2\n", True),
        (f"# longer than {LONGEST} lines:\ndef long():\n{statements}    x = 2\n", True),
    ]:
        file.write_text(text)
        assert bool(long_functions(file)) is bad, text


def test_dependencies_are_pinned_and_explained():
    text = (TOP / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in [name for group in groups for name in group]:
        if requirement.startswith("ds2ta["):
            continue
        assert re.fullmatch(r"[A-Za-z0-9-]+==[0-9][0-9a-z.]*", requirement), f"{requirement} is not pinned"
        reason = re.search(rf'^  "{re.escape(requirement)}", *# (.+)$', text, re.M)
        assert len((reason[1] if reason else "").split()) >= 2, f"{requirement}: no reason beside it"


def test_no_trace_of_a_workplace():
    """No paths of somebody's machine, no notes to self."""
    words = [r"(?<![\w.$}])/" + folder + r"/" for folder in ("work", "tmp", "home", "root")]
    words += [r"\.\./" + "shared", r"\." + r"library\b", "TO" + "DO", "FIX" + "ME", r"\bXX" + r"X\b"]
    pattern = re.compile("|".join(words))
    found = {}
    for path in tracked():
        if hits := pattern.findall(path.read_text(errors="ignore")):
            found[str(path.relative_to(TOP))] = hits
    assert found == {}


def test_style():
    """`make lint`, as a test; types are left to it."""
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."], cwd=TOP, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:]
