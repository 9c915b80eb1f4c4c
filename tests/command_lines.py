# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Command lines of everything that needs more than the base package, and how to run many in one process."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["NEEDED", "run_lines"]

#: A line of every such command; the extras that bring it, the smallest; the mistake in the line that ends it where
#: it would take minutes ("" for none).
NEEDED = {
    "run digits-tiny digits --backend golden": ("train", ""),
    "run digits-tiny digits --backend rtl": ("sim", ""),
    "run digits-tiny digits --device nowhere": ("host", "nowhere"),
    "run digits-tiny nowhere.png --backend slow": ("photos", "nowhere.png"),
    "diff digits-tiny digits --left golden --right slow": ("train", ""),
    "diff digits-tiny digits --left golden": ("sim,train", ""),
    "plan digits-tiny --board ulx3s_25f": ("fpga", ""),
    "build --board nowhere": ("fpga", "nowhere"),
    "flash --board nowhere": ("fpga", "nowhere"),
    "bench --out /dev/null/bench.json": ("sim,synth,train", "/dev/null"),
    "bench --only accuracy --out /dev/null/bench.json": ("train", "/dev/null"),
    "bench --only cycles --out /dev/null/bench.json": ("sim", "/dev/null"),
    "bench --only area --out /dev/null/bench.json": ("synth", "/dev/null"),
    "boot-image digits-tiny --out image.bin --board nowhere": ("fpga", "nowhere"),
    "board --virtual --baud 1": ("host,sim", "Divisor must be"),
    "demo --images 65": ("host,sim", "1..64"),
    "train digits-tiny --device nowhere": ("train", "--device nowhere"),
    "quantize nowhere.safetensors out.safetensors": ("train", "nowhere.safetensors"),
    "teach nowhere out": ("train", "nowhere"),
    "import nowhere.pth out.safetensors": ("train", "nowhere.pth"),
    "export-nir nowhere.safetensors out.nir": ("nir", "nowhere.safetensors"),
    "bench-training --preset nowhere": ("compare", "nowhere"),
    "sparsity digits-tiny --samples 2": ("train", ""),
    "sparsity digits-tiny --samples 2 --rtl 1": ("sim,train", ""),
    "plot digits-tiny --out figures": ("plot,train", ""),
    "verify digits-tiny --samples 1": ("sim,train", ""),
}

_SCRIPT = """
import contextlib, io, json, sys
lines, hidden = json.load(sys.stdin)

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Without, sys.meta_path)
from ds2ta.commands.main import main
found = {}
for line in lines:
    sys.argv[1:] = line.split()
    with contextlib.redirect_stderr(io.StringIO()) as told, contextlib.redirect_stdout(io.StringIO()) as shown:
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
    found[line] = [code, shown.getvalue(), told.getvalue()]
print(json.dumps(found))
"""


def run_lines(
    python: Path | str,
    lines: Iterable[str],
    folder: Path,
    *,
    hidden: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
) -> dict[str, tuple[int, str, str]]:
    """Line -> exit code, output and error output, of command lines that run one after another in `folder`, in a
    process that does not see the top-level modules `hidden`."""
    done = subprocess.run(
        [str(python), "-c", _SCRIPT],
        cwd=folder,
        env=environment,
        input=json.dumps([list(lines), list(hidden)]),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {line: tuple(found) for line, found in json.loads(done.stdout).items()}
