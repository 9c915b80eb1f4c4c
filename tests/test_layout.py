"""The house: one stem for each block in every folder, imports that point one way, short functions, pinned
tools."""

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


def imports(path: Path) -> list[tuple[str, bool]]:
    """Imported modules of a file, each with whether the import stands at the top level."""
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) not in inside) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "ds2ta" else [module]
            found += [(name, id(node) not in inside) for name in names]
    return found


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
    assert {"engine", "tasa", "lif", "score", "nsad", "av", "residual", "pool", "head", "store"} <= set(blocks())


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
    file.write_text("def late():\n    import ds2ta.sim.rtl\n")
    assert violations(file, "commands") == []
    file.write_text("import ds2ta.sim.rtl\n")
    assert violations(file, "commands") != []


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
    """`make lint`, as a test."""
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."], cwd=TOP, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:]
