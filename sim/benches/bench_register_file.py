# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of RegisterFile: every address read and written; events, logits, checker and bus at the same time."""

import random

import cocotb
from cocotb.triggers import RisingEdge, Timer

from ds2ta.gateware.register_file import COUNT_BITS, EVENTS
from ds2ta.gateware.registers import REGISTERS, Access
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.bus import Bus
from ds2ta.sim.stream import PERIOD, in_background, next_cycle, reset

ADDRESSES = 1 << 14
LIVE = {"status": 0xA5C, "result_class": 1, "sample_bytes": 0x2B, "pass": 1}


_words: dict[int, int] = {}  # what the memory should hold; it outlives the resets between tests


class _Bench:
    """The register file with its inputs at rest, and a model of its memory."""

    def __init__(self, dut):
        self.dut, self.given, self.bus = dut, bench_parameters(), Bus(dut)
        self.words = _words
        if not self.words:
            init = {int(address): word for address, word in self.given["init"].items()}
            self.words |= {
                register.at(index): init.get(register.at(index), 0)
                for register in REGISTERS.values()
                if not register.only and register.address < 0x80
                for index in range(register.count)
            }
            self.words |= {REGISTERS["logits"].at(index): 0 for index in range(self.given["classes"])}
        self.words |= {REGISTERS[name].address: 0 for name in EVENTS}  # the reset that follows clears them
        for name, value in LIVE.items():
            getattr(dut, "pass_index" if name == "pass" else name).value = value
            self.words[REGISTERS[name].address] = value
        for port in ("events", "clear_scans", "fetch", "fetch_expected", "fetch_store", "abandon", "found"):
            getattr(dut, port).value = 0
        for port in ("enable", "index", "logit"):
            getattr(dut, f"keep__{port}").value = 0
        in_background(dut, self._counter_store())

    async def _counter_store(self):
        """The accelerator's counter memory: word a holds a recognizable number."""
        while True:
            await next_cycle
            self.dut.counter_data.value = self.counter(int(self.dut.counter_address.value))

    def counter(self, address: int) -> int:
        return (address * 0x9E3779B1 + 5) % (1 << self.given["counter_width"])

    def names(self, address: int) -> str | None:
        """The register at an address of this file."""
        for name, register in REGISTERS.items():
            count = {"logits": self.given["classes"], "counters": self.given["counters"]}.get(name, register.count)
            if not register.only and register.address <= address < register.address + count:
                return name
        return None

    async def keep(self, index: int, logit: int) -> None:
        self.dut.keep__enable.value = 1
        self.dut.keep__index.value = index
        self.dut.keep__logit.value = logit % (1 << self.given["logit_width"])
        await RisingEdge(self.dut.clk)
        self.dut.keep__enable.value = 0
        self.words[REGISTERS["logits"].at(index)] = logit % (1 << 32)

    async def check_all(self, addresses=range(0xC00)) -> None:
        """Every word is what it should be."""
        for address in addresses:
            name = self.names(address)
            if name is None or REGISTERS[name].access is Access.WO:
                continue
            expected = self.words.get(address)
            if name == "counters":
                expected = self.counter(address - REGISTERS["counters"].address)
            found, failed = await self.bus.access(address)
            assert not failed
            assert found == expected, f"{name} at {address:#x}: {found:#x}, not {expected:#x}"

    async def events(self, bits: int) -> None:
        """One cycle of events."""
        self.dut.events.value = bits
        await RisingEdge(self.dut.clk)
        self.dut.events.value = 0

    async def wait(self, cycles: int) -> None:
        for _ in range(cycles):
            await RisingEdge(self.dut.clk)


def _logit(generator: random.Random) -> int:
    half = 1 << bench_parameters()["logit_width"] - 1
    return generator.choice([-half, half - 1, -1, 0, generator.randrange(-half, half)])


@cocotb.test()
async def power_up(dut):
    """What was built in is there; counters are 0; sample_length is a register as well as a word."""
    bench = _Bench(dut)
    await reset(dut)
    assert int(dut.sample_length.value) == bench.words[REGISTERS["sample_length"].address]
    await bench.check_all()


@cocotb.test()
async def every_address(dut):
    """All addresses: reads fail where the map has nothing to read, writes where it has nothing to write, and failed
    writes change nothing."""
    bench = _Bench(dut)
    await reset(dut)
    generator = random.Random(1)
    for index in range(bench.given["classes"]):
        await bench.keep(index, _logit(generator))
    await bench.wait(40)
    edges = [1 << bit for bit in range(14)] + [0xC00 + step for step in range(4)]
    sample = [*range(0x140), *generator.sample(range(0x140, ADDRESSES), 1500), *edges]
    for name, count in (("logits", "classes"), ("counters", "counters")):
        sample += [REGISTERS[name].address + bench.given[count] + step for step in (-1, 0)]
    for address in sample:
        found = bench.names(address)
        _, failed = await bench.bus.access(address)
        assert failed == (found is None or REGISTERS[found].access is Access.WO), f"read of {address:#x}"
        assert bench.bus.cycles == 4
        if found is None or REGISTERS[found].access is Access.RO:
            _, failed = await bench.bus.access(address, generator.getrandbits(32))
            assert failed, f"write of {address:#x}"
            assert bench.bus.cycles == 4
    await bench.check_all()


@cocotb.test()
async def writes(dut):
    """Whatever can be written holds what was written, alone."""
    bench = _Bench(dut)
    await reset(dut)
    generator = random.Random(2)
    for index in range(bench.given["classes"]):
        await bench.keep(index, _logit(generator))
    limits = {"sample_length": bench.given["count_width"], "check_rows": bench.given["row_width"]}
    for name in ("sample_length", "classes", "check_rows", "check_expected", "model_digest"):
        for index in range(REGISTERS[name].count):
            width = limits.get(name, 32)
            for word in (0, (1 << width) - 1, generator.getrandbits(width)):
                changes: list = []
                task = in_background(dut, _pulses(dut, changes))
                await bench.bus.write(name, word, index)
                await bench.wait(3)
                task.cancel()
                assert len(changes) == (name in ("check_rows", "check_expected")), name
                bench.words[REGISTERS[name].at(index)] = word
                if name == "sample_length":
                    assert int(dut.sample_length.value) == word
            for bit in range(width, 32):
                _, failed = await bench.bus.access(REGISTERS[name].at(index), 1 << bit)
                assert failed, f"{name} took bit {bit}"
    await bench.check_all()
    await reset(dut, clock=False)
    assert int(dut.sample_length.value) == bench.words[REGISTERS["sample_length"].address]
    await bench.check_all()


async def _pulses(dut, found: list) -> None:
    while True:
        await next_cycle
        if dut.changed.value:
            found.append(1)


@cocotb.test()
async def commands(dut):
    """Each bit of `command` is one pulse, in the cycle of `done`."""
    bench = _Bench(dut)
    await reset(dut)
    seen = []

    async def watch():
        while True:
            await next_cycle
            if value := int(dut.command.value):
                seen.append(value)

    in_background(dut, watch())
    for word in (1, 2, 4, 7, 0xFFFF_FFF8, 0xFFFF_FFFD):
        await bench.bus.write("command", word)
        await bench.wait(30)
    assert seen == [1, 2, 4, 7, 5]


@cocotb.test()
async def counting(dut):
    """Events are counted, all kinds at once, while the bus reads; each clear clears its own."""
    bench = _Bench(dut)
    await reset(dut)
    generator = random.Random(3)
    counts = dict.fromkeys(EVENTS, 0)
    for _ in range(60):
        bits = generator.getrandbits(len(EVENTS))
        await bench.events(bits)
        for bit, name in enumerate(EVENTS):
            counts[name] = counts[name] + (bits >> bit & 1)
        await bench.wait(generator.randrange(3))
        name = generator.choice(EVENTS)
        assert await bench.bus.read(name) == counts[name]
        await bench.wait(30)
    clears = {"result_number": 1, "scans": None, "frames_good": 2, "frames_dropped": 2}
    for cleared in ({"result_number"}, {"scans"}, {"frames_good", "frames_dropped"}):
        await bench.events(15)
        await bench.wait(40)
        (command,) = {clears[name] for name in cleared}
        before = {name: await bench.bus.read(name) for name in EVENTS}
        assert all(before.values())
        if command is None:
            dut.clear_scans.value = 1
            await RisingEdge(dut.clk)
            dut.clear_scans.value = 0
        else:
            await bench.bus.write("command", command)
        await bench.wait(2)
        for name in EVENTS:
            assert await bench.bus.read(name) == (0 if name in cleared else before[name]), (name, cleared)
    # a clear takes an event with it that is not yet counted, not one that comes later
    await bench.events(3)  # the other one is counted first
    dut.clear_scans.value = 1
    await RisingEdge(dut.clk)
    dut.clear_scans.value = 0
    assert await bench.bus.read("scans") == 0
    await bench.events(2)
    assert await bench.bus.read("scans") == 1


@cocotb.test()
async def long_counts(dut):
    """The carry goes through to the last bit, and then the count begins anew."""
    bench = _Bench(dut)
    await reset(dut, limit=3_000_000)
    last = bench.given["counted"]
    for number in range(1, last + 1):
        await bench.events(4)
        await Timer(6 * PERIOD, unit="ns")
        if number & number - 1 == 0 or number >= min(last, 1 << COUNT_BITS):
            assert await bench.bus.read("frames_good") == number % (1 << COUNT_BITS)


@cocotb.test()
async def all_at_once(dut):
    """Logits in every cycle or some, events, the checker's requests and the bus: nobody loses anything."""
    bench = _Bench(dut)
    await reset(dut)
    generator = random.Random(4)
    for index in range(bench.given["classes"]):
        await bench.keep(index, _logit(generator))
    for store in range(4):
        for name, width in (("check_rows", bench.given["row_width"]), ("check_expected", 32)):
            word = generator.getrandbits(width)
            await bench.bus.write(name, word, store)
            bench.words[REGISTERS[name].at(store)] = word
    running = True

    async def logits():
        while running:
            for _ in range(generator.randrange(12)):
                await bench.keep(generator.randrange(bench.given["classes"]), _logit(generator))
            await bench.wait(generator.randrange(20))

    async def events():
        while running:
            bits = generator.getrandbits(len(EVENTS))
            await bench.events(bits)
            for bit, name in enumerate(EVENTS):
                bench.words[REGISTERS[name].address] += bits >> bit & 1
            await bench.wait(generator.randrange(40, 60))

    fetches = []

    async def checker():
        while running:
            await bench.wait(generator.randrange(10))
            store, expected = generator.randrange(4), generator.randrange(2)
            dut.fetch.value, dut.fetch_store.value, dut.fetch_expected.value = 1, store, expected
            found = generator.getrandbits(32)
            dut.found.value = found
            gone = False
            for _ in range(200):
                gone = generator.random() < 0.1
                dut.abandon.value = gone
                await RisingEdge(dut.clk)
                if gone:
                    assert not dut.fetched.value
                    break
                if dut.fetched.value:
                    name = "check_expected" if expected else "check_rows"
                    assert int(dut.word.value) == bench.words[REGISTERS[name].at(store)]
                    if expected:
                        bench.words[REGISTERS["check_found"].at(store)] = found
                    fetches.append(store)
                    break
            else:
                raise AssertionError("the checker starves")
            dut.abandon.value = 0
            dut.fetch.value = 0

    tasks = [cocotb.start_soon(task()) for task in (logits, events, checker)]
    for _ in range(1500):
        name = generator.choice(["model_digest", "classes", "machine", "id", "store_rows"])
        index = generator.randrange(REGISTERS[name].count)
        address = REGISTERS[name].at(index)
        if REGISTERS[name].access is Access.RW and generator.random() < 0.5:
            bench.words[address] = generator.getrandbits(32)
            await bench.bus.write(name, bench.words[address], index)
        else:
            assert await bench.bus.read(name, index) == bench.words[address]
        assert 4 <= bench.bus.cycles <= 80
    running = False
    for task in tasks:
        await task
    await bench.wait(60)
    assert len(fetches) > 200
    assert set(fetches) == {0, 1, 2, 3}
    await bench.check_all()
