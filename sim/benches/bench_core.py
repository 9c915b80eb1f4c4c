# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of Core: a host on the bus identifies, loads, classifies, resets; memories that change are noticed."""

import random

import cocotb
from cocotb.triggers import RisingEdge

from ds2ta.gateware.registers import REGISTERS, STORES, machine_from_words
from ds2ta.gateware.stores import CHUNK, load_layout
from ds2ta.sim.build import bench_parameters
from ds2ta.sim.core_host import Host
from ds2ta.sim.stream import in_background, next_cycle, pack, reset

_BUILT_IN = bench_parameters()["built_in"]
_STREAMS = bench_parameters()["machine"]["weights"] == "stream"
_SINGLE_PORT = bench_parameters()["machine"]["banks"] == "spram"
_LARGE = bench_parameters()["large"]  # leave out what takes long and depends on no size


@cocotb.test()
async def power_up(dut):
    """The first test: what a core reads before anything was written. The machine comes back from its words."""
    bench = Host(dut)
    await reset(dut, limit=20_000_000)
    given, bus = bench_parameters(), bench.bus
    words = [await bus.read("machine", index) for index in range(REGISTERS["machine"].count)]
    assert machine_from_words(words) == bench.machine
    assert await bus.read("clock_hz") == given["clock_hz"]
    for name, register in REGISTERS.items():
        if register.reset is not None and not register.only and name not in ("command", "check_found", "scans"):
            for index in range(register.count):
                assert await bus.read(name, index) == register.reset, name
    assert await bus.fields("version") == {"major": 1, "minor": 2 if _STREAMS or _SINGLE_PORT else 1}
    built_in = len(STORES) * [0] if not _BUILT_IN else [len(bench.images[name]) for name in STORES]
    crcs = len(STORES) * [0] if not _BUILT_IN else [bench.crc(name) for name in STORES]
    await bench.good()
    for number, name in enumerate(STORES):
        assert await bus.read("store_rows", number) == bench.shapes[name].rows
        assert await bus.read("store_chunks", number) == -(-bench.shapes[name].width // 16)
        assert await bus.read("check_rows", number) == built_in[number]
        assert await bus.read("check_expected", number) == crcs[number]
        assert await bus.read("check_found", number) == crcs[number]
    assert await bus.read("sample_length") == (bench.length if _BUILT_IN else 0)
    assert await bus.read("classes") == (bench.model.network.classes if _BUILT_IN else 0)
    digest = b"".join([(await bus.read("model_digest", index)).to_bytes(4, "little") for index in range(8)])
    assert digest.hex() == given["digest"]
    status = await bus.fields("status")
    assert {name: value for name, value in status.items() if value} == {"memory_good": 1}
    for beyond in (bench.machine.max_classes, 1023):
        assert (await bus.access(REGISTERS["logits"].at(beyond)))[1] or beyond < bench.machine.max_classes
    assert (await bus.access(REGISTERS["counters"].address + 4 * bench.machine.instructions))[1]


@cocotb.test(skip=_BUILT_IN)
async def nothing_loaded(dut):
    """Without a sample_length no byte is taken, and the memories are read all the same."""
    bench = Host(dut)
    await reset(dut)
    await bench.bus.write("sample_length", 0)
    for number, name in enumerate(STORES):  # the first row of each
        await bench.put(name, 0, bench.images[name][0])
        await bench.bus.write("check_rows", 1, number)
        await bench.bus.write("check_expected", bench.crc(name, bench.images[name][:1]), number)
    await bench.good()
    bench.bytes.start([1, 2, 3])
    await bench.wait(50)
    assert not bench.bytes.cycles
    scans = await bench.bus.read("scans")
    await bench.wait(400)
    assert await bench.bus.read("scans") > scans
    assert not (await bench.bus.fields("status"))["busy"]


@cocotb.test()
async def short_length(dut):
    """With a sample_length below what the model takes, the byte beyond is not taken; a core_reset helps."""
    bench = Host(dut)
    await bench.start()
    await bench.bus.write("sample_length", bench.length - 1)
    task = bench.bytes.start(bench.sample(0))
    while len(bench.bytes.cycles) < bench.length - 1:
        await RisingEdge(dut.clk)
    await bench.wait(400)
    assert len(bench.bytes.cycles) == bench.length - 1
    status = await bench.bus.fields("status")
    assert (status["busy"], status["sample_open"], status["result_valid"]) == (1, 0, 0)
    task.cancel()
    dut.sample__valid.value = 0
    await bench.bus.write("sample_length", bench.length)
    await bench.bus.write("command", 1)
    await bench.classify(0, count=1)


@cocotb.test()
async def samples(dut):
    """Class, logits and counters of every sample, the first again at the end; bytes are counted as they come."""
    bench = Host(dut)
    await bench.start()
    for number, name in enumerate(STORES):
        assert await bench.bus.read("check_found", number) == bench.crc(name)
    for count, number in enumerate([*range(len(bench.samples)), 0], 1):
        await bench.classify(number, count=count)
    total = count + 1
    data = bench.sample(1)
    await bench.bytes.send(data[:1])
    assert await bench.bus.read("sample_bytes") == 1
    status = await bench.bus.fields("status")
    assert (status["busy"], status["sample_open"], status["result_valid"]) == (1, 1, 0)
    assert int(dut.sample_bytes.value) == 1
    assert dut.busy.value
    await bench.bytes.send(data[1:])
    status = await bench.bus.fields("status")
    assert (status["busy"], status["sample_open"], status["result_valid"]) == (1, 0, 0)
    await bench.until(busy=0)
    assert await bench.bus.read("sample_bytes") == 0
    await bench.check(1, count=total, counters=False)


@cocotb.test()
async def one_after_another(dut):
    """Two samples and a piece in one stream of bytes: a byte too many waits for the result."""
    bench = Host(dut, stall="random:0.2", seed=3)
    await bench.start()
    taken, piece, length = bench.bytes.cycles, 2, bench.length
    bench.bytes.start([*bench.sample(0), *bench.sample(1), *bench.sample(0)[:piece]])
    for count in (1, 2):
        while await bench.bus.read("result_number") < count:
            assert len(taken) <= count * length or await bench.bus.read("result_number") == count
        if count == 1:
            logits = list(bench.wanted(0).logits)
            found = [await bench.bus.read("logits", index) for index in range(len(logits))]
            assert [REGISTERS["logits"].decode(word)["logits"] for word in found] == logits
    while len(taken) < 2 * length + piece:
        await RisingEdge(dut.clk)
    status = await bench.bus.fields("status")
    assert (status["sample_open"], status["result_valid"]) == (1, 0)
    assert await bench.bus.read("sample_bytes") == piece
    logits = list(bench.wanted(1).logits)
    found = [await bench.bus.read("logits", index) for index in range(len(logits))]
    assert [REGISTERS["logits"].decode(word)["logits"] for word in found] == logits
    await bench.bytes.send(bench.sample(0)[piece:])
    await bench.until(busy=0)
    await bench.check(0, count=3, counters=False)


@cocotb.test(skip=_LARGE)
async def core_reset(dut):
    """A core_reset at any time leaves no sample and no result, but model, settings and check as they were."""
    bench = Host(dut)
    await bench.start()
    generator = random.Random(5)
    total = await bench.total(1)
    await bench.classify(0, count=1)
    cuts = [2, bench.length, total // 2, *(generator.randrange(1, total) for _ in range(6))]
    cuts += range(total + 5, total + 60, 7)  # a row of the check is cut, or none
    cuts += range(total - 20, total + 4)  # some of them in the very cycles of the result
    for cut in cuts:
        scans = await bench.bus.read("scans")
        task = bench.bytes.start(bench.sample(1))
        if not dut.busy.value:
            await RisingEdge(dut.busy)
        await bench.wait(cut)
        task.cancel()
        dut.sample__valid.value = 0
        await bench.bus.write("command", REGISTERS["command"].encode(core_reset=1))
        status = await bench.bus.fields("status")
        assert {name: value for name, value in status.items() if value} == {"memory_good": 1}
        for name in ("result_class", "result_number", "sample_bytes", "pass"):
            assert await bench.bus.read(name) == 0, name
        assert await bench.bus.read("sample_length") == bench.length
        assert await bench.bus.read("scans") >= scans > 0
        await bench.classify(0, count=1)


@cocotb.test()
async def reset_pin(dut):
    """The reset of the shell also begins the check anew; settings stay."""
    bench = Host(dut)
    await bench.start()
    await bench.bus.write("model_digest", 0x12345678, 3)
    dut.frame_good.value = 1
    await RisingEdge(dut.clk)
    dut.frame_good.value = 0
    task = bench.bytes.start(bench.sample(0))
    while await bench.bus.read("sample_bytes") < bench.length // 2:
        pass
    assert await bench.bus.read("frames_good") == 1
    task.cancel()
    dut.sample__valid.value = 0
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)
    assert (await bench.bus.fields("status"))["memory_good"] == 0
    for name in ("frames_good", "result_number", "scans", "sample_bytes"):
        assert await bench.bus.read(name) == 0
    assert await bench.bus.read("sample_length") == bench.length
    assert await bench.bus.read("model_digest", 3) == 0x12345678
    await bench.good()
    await bench.classify(0, count=1)


@cocotb.test(skip=_LARGE)
async def reset_at_the_end(dut):
    """A reset of one cycle around the last logit, which the accelerator, reset a cycle later, may still show."""
    bench = Host(dut)
    await bench.start()
    total = await bench.total(0)
    for cut in range(total - 12, total + 4):
        task = bench.bytes.start(bench.sample(0))
        await RisingEdge(dut.busy)
        await bench.wait(cut)
        task.cancel()
        dut.sample__valid.value, dut.rst.value = 0, 1
        await RisingEdge(dut.clk)
        dut.rst.value = 0
        status = await bench.bus.fields("status")
        assert not any(status[name] for name in ("busy", "sample_open", "result_valid")), cut - total
        for name in ("result_class", "result_number", "sample_bytes", "pass"):
            assert await bench.bus.read(name) == 0, (name, cut - total)
        await bench.good()
    await bench.classify(0, count=1)


@cocotb.test()
async def frames(dut):
    """Frames of a link are counted, good and bad ones apart, and cleared together."""
    bench = Host(dut)
    await reset(dut)
    for good, dropped in [(1, 0), (1, 1), (0, 1), (0, 1)]:
        dut.frame_good.value, dut.frame_dropped.value = good, dropped
        await RisingEdge(dut.clk)
        dut.frame_good.value, dut.frame_dropped.value = 0, 0
        await bench.wait(32)
    assert [await bench.bus.read(name) for name in ("frames_good", "frames_dropped")] == [2, 3]
    await bench.bus.write("command", REGISTERS["command"].encode(clear_frames=1))
    assert [await bench.bus.read(name) for name in ("frames_good", "frames_dropped")] == [0, 0]


@cocotb.test()
async def bus_at_work(dut):
    """Reading anything while a sample is worked on changes neither result nor counters; the passes go by."""
    bench = Host(dut)
    await bench.start()
    generator = random.Random(6)
    readable = [name for name, item in REGISTERS.items() if not item.only and name not in ("command", "logits")]
    for count, number in enumerate((0, 1), 1):
        bench.bytes.start(bench.sample(number))
        seen = set()
        await bench.until(busy=1)
        while (await bench.bus.fields("status"))["busy"]:
            name = generator.choice([*readable, "pass", "pass"])
            most = {"counters": 4 * bench.machine.instructions}.get(name, REGISTERS[name].count)
            word = await bench.bus.read(name, generator.randrange(most))
            if name == "pass":
                seen.add(word)
        assert len(seen) >= 3
        assert seen <= set(range(len(bench.program.instructions)))
        await bench.check(number, count=count)


@cocotb.test(skip=_LARGE)
async def between_rows(dut):
    """A sample that comes at any moment of a scan costs the scan nothing: it goes on and stays good."""
    bench = Host(dut)
    await bench.start()
    generator = random.Random(7)
    for count in range(1, 9):
        await bench.wait(generator.randrange(60))
        await bench.classify(count % 2, count=count)
        assert (await bench.bus.fields("status"))["memory_good"]
    scans = await bench.bus.read("scans")
    await bench.until(memory_error=0)
    while await bench.bus.read("scans") < scans + 2:
        pass
    await bench.good()


@cocotb.test(skip=_BUILT_IN)
async def load_refused(dut):
    """Words outside of the stores are refused one by one, and nothing changes; none is taken in mid-run."""
    bench = Host(dut)
    await bench.start()
    layout = load_layout(bench.machine)
    most = {"row": (1 << layout["row"].shape) - 1, "chunk": 255}
    errors = []

    async def watch():
        while True:
            await next_cycle
            errors.append(int(dut.load_error.value))

    in_background(dut, watch())
    for shape in bench.shapes.values():
        good = {"store": shape.number, "row": 0, "chunk": 0, "data": 0xFFFF}
        bad = [{"chunk": shape.chunks}, {"chunk": most["chunk"]}]
        bad += [{"row": row} for row in (shape.rows, most["row"]) if shape.rows <= row <= most["row"]]
        for change in bad:
            errors.clear()
            await bench.loader().send([pack(layout, good | change)])
            await bench.wait(4)
            assert sum(errors) == 1, (shape, change)
            assert (await bench.bus.fields("status"))["memory_good"], (shape, change)
    begin = len(bench.loader().cycles)
    task = bench.bytes.start(bench.sample(0))
    await bench.until(busy=1)
    edge = {"store": 0, "row": 0, "chunk": 0, "data": bench.images["weights"][0] & (1 << CHUNK) - 1}
    bench.loader().start([pack(layout, edge)])
    await task
    await bench.wait(20)
    assert len(bench.loader().cycles) == begin
    await bench.until(busy=0)
    await bench.check(0, count=1)
    assert len(bench.loader().cycles) == begin + 1


@cocotb.test(skip=_BUILT_IN)
async def changed_words(dut):
    """One bit of one word of each store, loaded against the expectation: found, told by store, the result no more
    trusted, found again by a rescan, mended by the right word. At the last row checked, too."""
    bench = Host(dut)
    await bench.start()
    generator = random.Random(8)
    count = 0
    for number, name in enumerate(STORES):
        image, shape = bench.images[name], bench.shapes[name]
        for row in {len(image) - 1, len(image) - 1 if _LARGE else generator.randrange(len(image))}:
            count += 1
            await bench.classify(0, count=count)
            value = image[row] ^ 1 << generator.randrange(shape.width)
            await bench.put(name, row, value)
            assert (await bench.bus.fields("status"))["memory_good"] == 0
            status = await bench.until(memory_error=1)
            expected = {"result_valid": 1, "memory_error": 1, "bad_stores": 1 << number}
            assert {key: found for key, found in status.items() if found} == expected
            assert dut.error.value
            wrong = [*image[:row], value, *image[row + 1 :]]
            assert await bench.bus.read("check_found", number) == bench.crc(name, wrong)
            assert await bench.bus.read("scans") == 0
            await bench.bus.write("command", REGISTERS["command"].encode(rescan=1))
            status = await bench.bus.fields("status")
            assert (status["memory_error"], status["bad_stores"], status["memory_good"]) == (0, 0, 0)
            await bench.until(memory_error=1, bad_stores=1 << number, result_trusted=0)
            await bench.put(name, row, image[row])
            await bench.good()
            await bench.until(result_valid=1, result_trusted=0)
            assert not dut.error.value


@cocotb.test(skip=_BUILT_IN or _LARGE)
async def trust(dut):
    """A result counts as trusted only if the memories were good all the time and still are."""
    bench = Host(dut)
    await bench.start()
    await bench.classify(0, count=1)
    await bench.put("program", 0, bench.images["program"][0])  # the same word, but nobody has checked it
    await bench.classify(1, count=2, trusted=0)
    await bench.good()
    await bench.classify(1, count=3)
    for number, name in enumerate(STORES):  # a setting written in mid-run
        rows = len(bench.images[name])
        bench.bytes.start(bench.sample(0))
        await bench.until(busy=1)
        await bench.bus.write("check_rows", rows, number)
        await bench.until(busy=0)
        await bench.check(0, count=4 + number, trusted=0)
        await bench.good()
    for number, name in enumerate(STORES):  # wrong expectations
        await bench.bus.write("check_expected", bench.crc(name) ^ 1 << 8 * number, number)
        await bench.until(memory_error=1, bad_stores=1 << number)
        await bench.classify(1, count=8 + number, trusted=0)
        await bench.bus.write("check_expected", bench.crc(name), number)
        await bench.good()
    for number in range(len(STORES)):  # two at once are both told
        await bench.bus.write("check_expected", 1, number)
    await bench.until(bad_stores=15)
    await bench.expect()
    await bench.good()


@cocotb.test(skip=not bench_parameters().get("upsets"))
async def upsets(dut):
    """A bit of a memory flips by itself: the next scan takes the trust away, with nothing written."""
    bench = Host(dut)
    await bench.start()
    generator = random.Random(9)
    for number, store in enumerate(STORES):
        await bench.classify(0, count=number + 1)
        row = generator.randrange(len(bench.images[store]))
        bit = 1 << generator.randrange(bench.shapes[store].width)
        if bench.shapes[store].external:
            bench.flip(row, bit)
        else:
            path, offset = bench_parameters()["upsets"][store]
            memory = dut
            for part in path.split("."):
                memory = getattr(memory, part)
            word = memory[row + offset]
            assert int(word.value) & (1 << bench.shapes[store].width) - 1 == bench.images[store][row]
            word.value = int(word.value) ^ bit
        status = await bench.until(memory_error=1)
        expected = {"result_valid": 1, "memory_error": 1, "bad_stores": 1 << number}
        assert {key: found for key, found in status.items() if found} == expected
        await bench.bus.write("command", REGISTERS["command"].encode(rescan=1))
        await bench.until(memory_error=1, bad_stores=1 << number)
        await bench.put(store, row, bench.images[store][row])
        await bench.good()


@cocotb.test(skip=not _STREAMS)
async def memory_in_mid_run(dut):
    """A bit of the external memory that is wrong for as long as a sample that uses it: its result is not trusted,
    the next one is. A word that the memory itself calls wrong: the same, and the status tells it apart."""
    bench = Host(dut)
    await bench.start()
    memory, generator, count = bench.external(), random.Random(10), 0
    words = len(bench.images["weights"]) * bench.machine.row_words
    for number in range(6):
        await bench.classify(0, count=count + 1)
        await bench.wait(generator.randrange(3 * words))
        task = bench.bytes.start(bench.sample(1))
        await RisingEdge(dut.busy)
        at = generator.randrange(bench.machine.ring_rows * bench.machine.row_words, words)
        right = memory.words[at]
        if number % 2:
            memory.fails.add(at)
        else:
            memory.words[at] ^= 1 << generator.randrange(bench.machine.memory_bits)
        await task
        await bench.until(busy=0)
        count += 2
        assert not memory.fails
        memory.words[at] = right
        status = await bench.bus.fields("status")
        assert (status["result_valid"], status["result_trusted"], status["memory_error"]) == (1, 0, 1)
        assert (status["bad_stores"], status["external_failed"]) == (1, number % 2)
        await bench.bus.write("command", REGISTERS["command"].encode(rescan=1))
        assert not (await bench.bus.fields("status"))["external_failed"]
        await bench.good()


@cocotb.test(skip=not _STREAMS)
async def memory_stalls(dut):
    """A memory that answers no more: the sample waits, the status says why; with the memory back it goes on, exact.
    A core_reset in the meantime helps as well, and a sample without any rows to read says the same."""
    bench = Host(dut)
    await bench.start()
    memory = bench.external()
    total = await bench.total(0)
    for cut in (total // 3, total // 2):
        bench.bytes.start(bench.sample(0))
        await RisingEdge(dut.busy)
        await bench.wait(cut)
        memory.dumb = True
        await bench.until(external_stalled=1)
        status = await bench.bus.fields("status")
        assert (status["busy"], status["result_valid"]) == (1, 0)
        memory.dumb = False
        if cut == total // 3:
            await bench.until(busy=0)
            await bench.check(0, count=1)
        await bench.bus.write("command", REGISTERS["command"].encode(core_reset=1))
        await bench.classify(1, count=1)
        await bench.bus.write("command", REGISTERS["command"].encode(core_reset=1, rescan=1))
        await bench.until(external_stalled=0, memory_good=1)
    await bench.bus.write("check_rows", 0, 0)
    task = bench.bytes.start(bench.sample(0))
    await bench.until(external_stalled=1)
    assert (await bench.bus.fields("status"))["busy"]
    task.cancel()
    dut.sample__valid.value = 0
    await bench.bus.write("command", REGISTERS["command"].encode(core_reset=1))
    await bench.expect()
    await bench.good()
    await bench.classify(0, count=1)


@cocotb.test(skip=not _STREAMS)
async def memory_not_ready(dut):
    """Before the memory is ready no word is taken for it, no sample is trusted."""
    bench = Host(dut)
    memory = bench.external()
    memory.ready = False
    await reset(dut)
    if not _BUILT_IN:
        await bench.bus.write("check_rows", 2, 0)
    status = await bench.until(external_stalled=1)
    assert not status["memory_good"]
    assert not memory.runs
    memory.ready = True
    await bench.start()
    await bench.classify(1, count=1)
