# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The model of the flash against its data sheets, pin by pin: what it gives, and what it refuses."""

import pytest

from ds2ta.errors import FitError
from ds2ta.sim.flash_chip import FlashChip

SIZE = 1 << 12
CONTENT = bytes(index * 37 % 251 for index in range(SIZE))
HALF = 20.0  # ns of half a clock
READ, FAST, RELEASE, SLEEP = 0x03, 0x0B, 0xAB, 0xB9
LONG = 6_000.0  # ns; longer than the release takes


class Wires:
    """Somebody at the pins, in steps of `half` ns."""

    def __init__(self, *, sleeps: bool = False, delay_ns: float = 8.0, half: float = HALF):
        self.chip = FlashChip(SIZE, sleeps=sleeps, delay_ns=delay_ns)
        self.chip.put(0, CONTENT)
        self.now, self.half, self.level = 1000.0, half, 1

    def drive(self, length: float, selected: int, clock: int, data: int) -> int:
        self.level = self.chip.step(self.now, self.now + length, selected=selected, clock=clock, data=data)
        self.now += length
        return self.level

    def command(self, sent: bytes, answer: int = 0, *, rest: float = 2 * HALF, begin: float = HALF) -> bytes:
        """Bytes out, then bytes in, each bit taken as the clock falls; CS high for `rest` behind it."""
        self.drive(begin, 1, 0, 0)
        bits = [byte >> index & 1 for byte in sent for index in range(7, -1, -1)] + [0] * 8 * answer
        found = []
        for bit in bits:
            found.append(self.drive(self.half, 1, 0, bit))
            self.drive(self.half, 1, 1, bit)
        found.append(self.drive(self.half, 1, 0, 0))
        self.drive(rest, 0, 0, 0)
        # the bit behind rise k shows itself before rise k + 1
        given = found[8 * len(sent) : 8 * (len(sent) + answer)]
        return bytes(int("".join(map(str, given[at : at + 8])), 2) for at in range(0, len(given), 8))


def ask(command: int, address: int, dummies: int = 0) -> bytes:
    return bytes([command, *address.to_bytes(3, "big"), *[0x5A] * dummies])


@pytest.mark.parametrize("address", [0, 1, 0x123, SIZE - 3, SIZE + 5, 0xFFFFFE])
@pytest.mark.parametrize(("command", "dummies"), [(READ, 0), (FAST, 1)])
def test_reads_go_on_over_the_end(command, dummies, address):
    wires = Wires()
    expected = bytes(CONTENT[(address + index) % SIZE] for index in range(9))
    for _ in range(2):
        assert wires.command(ask(command, address, dummies), 9) == expected
    assert wires.chip.violations == ""


def test_the_dummy_byte_is_no_answer():
    """Without it the first byte of 0B is none of the chip's."""
    assert Wires().command(ask(FAST, 4), 3) == b"\xff" + CONTENT[4:6]


def test_power_down_and_release():
    wires = Wires(sleeps=True)
    assert wires.chip.asleep
    wires.command(bytes([RELEASE]), rest=LONG)
    assert not wires.chip.asleep
    assert wires.command(ask(READ, 7), 2) == CONTENT[7:9]
    wires.command(bytes([SLEEP]), rest=LONG)
    assert wires.chip.asleep
    assert wires.command(bytes([RELEASE, 0, 0, 0]), 2, rest=LONG) == b"\x17\x17"  # with its ID, until CS rises
    assert wires.command(ask(READ, 7), 2) == CONTENT[7:9]
    assert wires.chip.violations == ""


def test_a_byte_more_is_no_power_down():
    wires = Wires()
    wires.command(bytes([SLEEP, 0]))
    assert not wires.chip.asleep


REFUSED = {
    "a command in power-down": ({"sleeps": True}, READ, HALF),
    "an unknown command": ({}, 0x02, HALF),
    "clock rises too soon behind CS": ({"half": 1.9}, READ, 1.0),
    "clock too fast": ({"half": 9.0}, READ, HALF),
}


@pytest.mark.parametrize("why", REFUSED)
def test_refusals(why):
    """Nothing is answered, it is on record, and the next good command is understood."""
    options, command, begin = REFUSED[why]
    wires = Wires(**options)
    assert wires.command(ask(command, 7), 2, begin=begin) == b"\xff\xff"
    assert why in wires.chip.violations
    wires.half = HALF
    wires.command(bytes([RELEASE]), rest=LONG)
    assert wires.command(ask(READ, 7), 2) == CONTENT[7:9]


def test_a_command_too_soon_behind_the_release():
    wires = Wires(sleeps=True)
    wires.command(bytes([RELEASE]), rest=4_000.0)
    assert wires.command(ask(READ, 7), 2) == b"\xff\xff"
    assert wires.chip.violations == "a command too soon behind the release"


def test_fast_reads_are_faster():
    wires = Wires(half=4.0, delay_ns=3.0)
    assert wires.command(ask(FAST, 7, 1), 2, begin=HALF) == CONTENT[7:9]
    assert wires.chip.violations == ""
    wires.half = 3.7
    assert wires.command(ask(FAST, 7, 1), 2, begin=HALF) == b"\xff\xff"
    assert wires.chip.violations == "clock too fast"


def test_chip_select_must_rest():
    wires = Wires()
    wires.command(ask(READ, 7), 1, rest=9.0)
    assert wires.command(ask(READ, 7), 1) == b"\xff"
    assert wires.chip.violations == "CS high for too short"


def test_data_that_changes_with_the_clock():
    wires = Wires()
    wires.drive(HALF, 1, 0, 0)
    wires.drive(HALF, 1, 1, 1)
    assert wires.chip.violations == "data in changes as the clock rises"


def test_clock_must_be_low_as_cs_falls():
    wires = Wires()
    wires.drive(HALF, 0, 1, 0)
    wires.drive(HALF, 1, 0, 0)
    assert wires.chip.violations == "clock high as CS falls"


def test_its_output_is_late():
    """As late as it was told, seen at the first bit of a byte with bit 7 set."""
    address = next(at for at in range(SIZE) if CONTENT[at] < 128)
    wires = Wires(delay_ns=15.0)
    wires.drive(HALF, 1, 0, 0)
    for byte in ask(READ, address):
        for index in range(7, -1, -1):
            wires.drive(HALF, 1, 0, byte >> index & 1)
            wires.drive(HALF, 1, 1, byte >> index & 1)
    assert wires.drive(14.9, 1, 0, 0) == 1
    assert wires.drive(0.2, 1, 0, 0) == 0


def test_contents_stay_within():
    chip = FlashChip(SIZE)
    chip.put(SIZE - 2, b"ab")
    for address, content in ((SIZE - 1, b"ab"), (-1, b"a")):
        with pytest.raises(FitError, match="are not within its 4096"):
            chip.put(address, content)
