# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Unbounded proofs by temporal induction with yosys' own SAT solver, nothing else to install.

A harness is an `Elaboratable` with `Assert` and `Assume` around a block; its free inputs are ports, so a reset may
come at any time. `planted` builds a block from its source with one text replaced: the twin that must be refuted.
"""

import inspect
import re
import subprocess
import sys
import types
from collections.abc import Sequence

from amaranth.back import rtlil
from amaranth.hdl import Assert, Elaboratable, Fragment, Module, Signal, Value
from amaranth.lib import stream

__all__ = ["offers", "planted", "prove", "transfers"]

_RUN = "import sys; from pyosys import libyosys; libyosys.run_pass('script proof.ys')"
_SCRIPT = """
read_rtlil design.il
hierarchy -check -top top
proc
flatten
{peeks}
prep -top top
async2sync
chformal -lower
dffunmap
opt -full
sat -prove-asserts -set-assumes -tempinduct -maxsteps {steps} top
"""


def prove(folder, harness: Elaboratable, ports: Sequence[Signal], *, steps: int = 8) -> str:
    """`proved`, `refuted` (a run from the initial state breaks an assertion) or `open` (neither within `steps`).

    `ports` are the free inputs. An attribute `peek` of the harness, filled when it is elaborated, names registers
    inside submodules by their path (`dut.voltage_0`) and the signals of the harness that are to show their values.
    `folder` receives the design and the log."""
    design = Fragment.get(harness, None)
    peek = getattr(harness, "peek", {})
    text = rtlil.convert(design, name="top", ports=[*ports, *peek.values()], emit_src=False)
    peeks = "\n".join(
        f"delete -input w:{signal.name}\nconnect -set {signal.name} \\{path}" for path, signal in peek.items()
    )
    (folder / "design.il").write_text(text)
    (folder / "proof.ys").write_text(_SCRIPT.format(peeks=peeks, steps=steps))
    done = subprocess.run([sys.executable, "-c", _RUN], cwd=folder, capture_output=True, text=True, timeout=300)
    (folder / "log").write_text(done.stdout + done.stderr)
    if "Induction step proven: SUCCESS!" in done.stdout:
        return "proved"
    if "model found for base case: FAIL!" in done.stdout:
        return "refuted"
    assert "Reached maximum number of time steps" in done.stdout, (done.stdout + done.stderr)[-3000:]
    return "open"


def offers(m: Module, channel: stream.Interface, name: str) -> None:
    """Assert: VALID, once high, stays until READY, and what it offers stays with it."""
    waits = Signal(name=f"{name}_waits")
    offered = Signal.like(Value.cast(channel.payload), name=f"{name}_offered", reset_less=True)
    m.d.sync += [waits.eq(channel.valid & ~channel.ready), offered.eq(channel.payload)]
    with m.If(waits):
        m.d.comb += [Assert(channel.valid), Assert(Value.cast(channel.payload) == offered)]


def transfers(channel: stream.Interface) -> Value:
    """A payload passes in this cycle."""
    return channel.valid & channel.ready


def planted(block: type, old: str, new: str) -> type:
    """The class `block` from a copy of its module in which the only occurrence of `old` is replaced."""
    source = inspect.getsource(inspect.getmodule(block))
    assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times in the module of {block.__name__}"
    module = types.ModuleType(re.sub(r"\W", "_", f"{block.__name__}_planted"))
    exec(compile(source.replace(old, new), module.__name__, "exec"), module.__dict__)
    return getattr(module, block.__name__)
