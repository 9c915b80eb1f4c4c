# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Plant bugs and demand that tests find them: `make break`, or `python tests/mutation.py [--jobs N] [WORD ...]`.

Every `mutants_*.py` below `tests/` holds a list MUTANTS of dicts: `file`, the text `old` that stands in it exactly
once, its replacement `new`, the pytest node `test` that must then fail, and optionally `why`. Work happens in
copies of the tree; the tree itself is never touched. First each named test must pass on an unchanged copy, so that
a failure is the mutant's doing. Words select the mutants that mention one of them.
"""

import argparse
import ast
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = ["Mutant", "load", "main", "run"]

Mutant = Mapping[str, str]
_TOP = Path(__file__).resolve().parents[1]
_PARTS = ("hw", "gateware", "golden", "sim", "fpga")  # top-level folders that are packages inside ds2ta
_SKIP = shutil.ignore_patterns(".*", "build", "__pycache__", "*.egg-info")
_FAILED = 1  # pytest: tests ran and failed; any other code means that they did not run


def load(top: Path = _TOP) -> list[Mutant]:
    """All mutants of a tree. Their files are data: they are read, not imported."""
    found: list[Mutant] = []
    for file in sorted((top / "tests").rglob("mutants_*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Assign) and node.targets[0].id == "MUTANTS":
                found += ast.literal_eval(node.value)
    return found


def stale(mutant: Mutant, top: Path = _TOP) -> str | None:
    """Why a mutant cannot be planted, or None."""
    if missing := {"file", "old", "new", "test"} - set(mutant):
        return f"{mutant.get('file')}: a mutant lacks {', '.join(sorted(missing))}"
    source, test = top / mutant["file"], top / mutant["test"].partition("::")[0]
    if not source.is_file() or not test.is_file():
        return f"{mutant['file']}: no such file, or no {mutant['test']}"
    count = source.read_text().count(mutant["old"])
    return None if count == 1 else f"{mutant['file']}: {mutant['old']!r} stands there {count} times, not once"


def _copy(top: Path, to: Path) -> Path:
    """A copy of the tree in which `import ds2ta` finds the copy, whatever is installed."""
    shutil.copytree(top, to, ignore=_SKIP)
    for part in _PARTS:
        if (to / part).is_dir() and (to / "ds2ta").is_dir():
            (to / "ds2ta" / part).symlink_to(to / part)
    return to


def _pytest(copy: Path, top: Path, tests: Sequence[str], limit: float) -> tuple[int, str]:
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.setdefault("CCACHE_DIR", str(top / "build" / "ccache"))
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    try:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return -1, f"no end within {limit:.0f} s"
    lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or ["no output"]
    return done.returncode, lines[-1]


def run(
    mutants: Sequence[Mutant], top: Path = _TOP, *, jobs: int = 1, limit: float = 1200
) -> list[tuple[str, str]]:
    """Verdict and remark for each mutant: `killed`, `SURVIVED`, `STALE` (cannot be planted), `BROKEN` (its test
    does not pass on the unchanged tree, or does not run on the changed one)."""
    with tempfile.TemporaryDirectory(prefix="ds2ta-break-") as folder:
        copies: queue.Queue[Path] = queue.Queue()
        for job in range(jobs):
            copies.put(_copy(top, Path(folder) / str(job)))

        def borrowed(task, *arguments):
            copy = copies.get()
            try:
                return task(copy, *arguments)
            finally:
                copies.put(copy)

        def healthy(copy: Path, test: str) -> str | None:
            code, last = _pytest(copy, top, [test], limit)
            return last if code else None

        def attempt(copy: Path, mutant: Mutant) -> tuple[str, str]:
            if reason := stale(mutant, top):
                return "STALE", reason
            if sick[mutant["test"]]:
                return "BROKEN", f"without the mutant: {sick[mutant['test']]}"
            target = copy / mutant["file"]
            original = target.read_text()
            target.write_text(original.replace(mutant["old"], mutant["new"]))
            try:
                code, last = _pytest(copy, top, [mutant["test"]], limit)
            finally:
                target.write_text(original)
            return {_FAILED: "killed", 0: "SURVIVED"}.get(code, "BROKEN"), last

        with ThreadPoolExecutor(jobs) as pool:
            tests = sorted({mutant["test"] for mutant in mutants if not stale(mutant, top)})
            sick = dict(zip(tests, pool.map(lambda test: borrowed(healthy, test), tests), strict=True))
            verdicts = []
            for mutant, verdict in zip(mutants, pool.map(lambda one: borrowed(attempt, one), mutants), strict=True):
                print(f"{verdict[0]:9}{mutant.get('file')}: {mutant.get('why', mutant.get('new'))}", flush=True)
                verdicts.append(verdict)
    return verdicts


def main(arguments: Iterable[str] | None = None) -> int:
    """Command line: print one line for each mutant and a summary; 1 unless every mutant was killed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", help="only mutants that mention one of these")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args(arguments)
    mutants = [
        mutant
        for mutant in load()
        if not options.words or any(word in " ".join(map(str, mutant.values())) for word in options.words)
    ]
    if not mutants:
        print("no mutant is selected", file=sys.stderr)
        return 1
    start = time.monotonic()
    verdicts = run(mutants, jobs=options.jobs)
    for mutant, (verdict, remark) in zip(mutants, verdicts, strict=True):
        if verdict != "killed":
            print(f"{verdict}: {mutant.get('file')}: {mutant.get('old')!r} -> {mutant.get('new')!r} ({remark})")
    killed = sum(verdict == "killed" for verdict, _ in verdicts)
    print(f"{killed} of {len(mutants)} mutants killed in {time.monotonic() - start:.0f} s")
    return 0 if killed == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
