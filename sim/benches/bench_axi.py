# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bench of AxiAccelerator: a shipped model through AXI alone. Register errors, loading, samples and results under
stalls on all channels, TLAST in wrong places, resets at bad moments, corrupted stores, and the document's example.
With `model` a file's instead, one sample.

The stores survive resets, so that one load serves all tests of a run.
"""

import cocotb
import numpy as np
from cocotbext.axi import AxiResp

from ds2ta.files import model_path
from ds2ta.gateware.compiler import compile_model
from ds2ta.gateware.machine import Machine
from ds2ta.gateware.registers import IDENTITY, REGISTERS, Access, machine_words
from ds2ta.gateware.stores import store_shapes
from ds2ta.golden import slow
from ds2ta.modelfile import load_model, model_digest
from ds2ta.sim.axi_example import DOCUMENT, block, transactions
from ds2ta.sim.axi_host import BASE, AxiHost, store_words
from ds2ta.sim.build import bench_parameters

MODEL = load_model(bench_parameters().get("model", model_path("digits-tiny")))
GOOD = {"valid": 1, "trusted": 1, "early": 0, "late": 0, "cut": 0, "reserved": 0}
STREAMS = bench_parameters()["machine"]["weights"] == "stream"
BAD = {"class_index": 0, "valid": 0, "trusted": 0, "early": 0, "late": 0, "cut": 0, "reserved": 0}
_loaded = False


def _machine() -> Machine:
    return Machine(**bench_parameters()["machine"])


async def _host(dut, *, stall: float = 0.0, model: bool = True) -> AxiHost:
    """A host after reset, its model in the stores and checked."""
    global _loaded
    host = AxiHost(dut, MODEL, _machine(), stall=stall)
    await host.start()
    if model:
        await (host.configure() if _loaded else host.load())
        _loaded = True
        await host.wait_for("memory_good")
    return host


async def _good_sample(host: AxiHost, number: int) -> None:
    """One sample, its answer on the stream and in the registers, equal to the slow integer model."""
    logits = slow.run(MODEL, MODEL.samples[number])["logits"]
    await host.send(host.packet(number))
    result = await host.result()
    assert result.logits == logits.tolist()
    assert result.closing == {**GOOD, "class_index": int(np.argmax(logits))}
    await _result_registers(host, number)


async def _result_registers(host: AxiHost, number: int) -> None:
    logits = slow.run(MODEL, MODEL.samples[number])["logits"]
    read = [REGISTERS["logits"].decode(await host.read("logits", k))["logits"] for k in range(len(logits))]
    assert read == logits.tolist()
    assert await host.read("result_class") == int(np.argmax(logits))
    status = await host.fields("status")
    assert (status["result_valid"], status["result_trusted"], status["busy"], status["sample_open"]) == (1, 1, 0, 0)


async def _digest(host: AxiHost) -> None:
    words = [await host.read("model_digest", k) for k in range(8)]
    assert b"".join(word.to_bytes(4, "little") for word in words).hex() == model_digest(MODEL)


@cocotb.test()
async def registers(dut):
    """Every register that is always there answers as its access says; addresses and strobes in every order."""
    host = await _host(dut, stall=0.3, model=False)
    machine = _machine()
    assert await host.read("id") == IDENTITY
    assert await host.read("clock_hz") == bench_parameters()["clock_hz"]
    assert [await host.read("machine", k) for k in range(64)] == machine_words(machine)
    lengths = {"logits": machine.max_classes, "counters": 4 * machine.instructions}
    for register in REGISTERS.values():
        if register.only not in ("", "AXI") or (register.name == "external_base" and not STREAMS):
            assert await host.read_at(register.address) == (0, AxiResp.SLVERR)
            continue
        address = register.at(lengths.get(register.name, register.count) - 1)
        value, response = await host.read_at(address)
        assert (response == AxiResp.OKAY) == (register.access is not Access.WO), register.name
        assert response in (AxiResp.OKAY, AxiResp.SLVERR)
        if register.access is Access.WO:
            assert value == 0
        if register.access is Access.RO:
            assert await host.write_at(address, 0x5A5A5A5A) == AxiResp.SLVERR, register.name
            if register.name != "scans":  # empty stores agree all the time
                assert await host.read_at(address) == (value, AxiResp.OKAY), register.name
    if STREAMS:  # no memory yet, so nothing is read
        assert [await host.read("external_base", k) for k in range(2)] == [0xFFFFFFFF] * 2
        assert not dut.m_axi_arvalid.value
    for address in (0x026, 0x02F, 0x0FF, 0x7FF, 0xC00, 0x3FFF, REGISTERS["logits"].at(machine.max_classes)):
        assert await host.read_at(address) == (0, AxiResp.SLVERR), hex(address)
        assert await host.write_at(address, 1) == AxiResp.SLVERR, hex(address)


@cocotb.test()
async def strobes_and_orders(dut):
    """Partial writes change nothing and say so, empty ones change nothing; narrow reads find their bytes; address
    before data, data before address, answers accepted late."""
    host = await _host(dut, model=False)
    place = 4 * REGISTERS["model_digest"].at(3)
    for order in ("aw", "w", "b", "r", None):
        if order is not None:
            host.channels[order].pause = True
        word = bytes([0x11, 0x22, 0x33, len(order or "") + 0x44])
        writing = cocotb.start_soon(host.write_bytes(place, word))
        await host.cycles(12)
        assert writing.done() == (order in (None, "r"))
        if order is not None:
            host.channels[order].pause = False
        assert await writing == AxiResp.OKAY
        for first, count in ((1, 1), (0, 3), (2, 2), (3, 1)):
            assert await host.write_bytes(place + first, b"\xee" * count) == AxiResp.SLVERR
            assert (await host.registers.read(place + first, count)).data == word[first : first + count]
        # no strobe at all: cocotbext-axi never does that by itself
        channels = host.registers.write_if
        address, data = channels.aw_channel._transaction_obj(), channels.w_channel._transaction_obj()
        address.awaddr, data.wdata, data.wstrb = place, 0xFFFFFFFF, 0
        await channels.aw_channel.send(address)
        await channels.w_channel.send(data)
        assert int((await channels.b_channel.recv()).bresp) == AxiResp.OKAY
        assert (await host.registers.read(place, 4)).data == word


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.5])
async def samples(dut, stall):
    """Real samples back to back; registers are read while they run; digest, counters, events and interrupt."""
    host = await _host(dut, stall=stall)
    await _digest(host)
    assert not dut.irq.value
    await host.write("event_enable", REGISTERS["events"].encode(result=1))
    count = bench_parameters()["samples"]
    for number in range(count):
        await host.send(host.packet(number))
    for number in range(count):
        sending = cocotb.start_soon(host.result())
        busy = 0
        while not sending.done():
            busy += (await host.fields("status"))["busy"]
            await host.cycles(100)
        assert busy > 3, "the registers must answer while a sample is worked on"
        logits = slow.run(MODEL, MODEL.samples[number])["logits"]
        result = await sending
        assert result.logits == logits.tolist()
        assert result.closing == {**GOOD, "class_index": int(np.argmax(logits))}
    await _result_registers(host, count - 1)
    assert await host.read("result_number") == count
    assert await host.read("frames_good") == count
    assert await host.read("frames_dropped") == 0
    assert dut.irq.value
    assert await host.read("events") == REGISTERS["events"].encode(result=1)
    await host.write("events", REGISTERS["events"].encode(tlast_early=1, memory_error=1))
    assert dut.irq.value, "only bits written as 1 are cleared"
    await host.write("event_enable", 0)
    assert not dut.irq.value
    await host.write("event_enable", 15)
    assert dut.irq.value
    await host.write("events", REGISTERS["events"].encode(result=1))
    assert not dut.irq.value


@cocotb.test(skip="model" not in bench_parameters())
async def waiting_sample(dut):
    """A sample under stalls, of a model whose weights are more than its machine takes in at once."""
    host = await _host(dut, stall=0.2)
    await _good_sample(host, 0)
    passes = len(compile_model(MODEL, host.machine).instructions)
    waits = [await host.read("counters", 4 * number + 3) for number in range(passes)]
    assert sum(waits) > 0


@cocotb.test()
async def wrong_tlast(dut):
    """A packet of any other length is dropped whole, told, answered, and forgotten: the next one is right."""
    host = await _host(dut, stall=0.2)
    packet = host.packet(1)
    length = len(packet)
    await host.write("event_enable", REGISTERS["events"].encode(tlast_early=1, tlast_late=1))
    dropped = 0
    for count, kind in [
        (1, "early"),
        (2, "early"),
        (length // 2, "early"),
        (length - 1, "early"),
        (length + 1, "late"),
        (length + 5, "late"),
        (3 * length, "late"),
    ]:
        await host.send((packet * 3)[:count])
        result = await host.result()
        assert (result.logits, result.closing) == ([], {**BAD, kind: 1}), count
        dropped += 1
        assert dut.irq.value
        assert await host.read("events") == REGISTERS["events"].encode(**{f"tlast_{kind}": 1})
        await host.write("events", 15)
        assert not dut.irq.value
        assert await host.read("sample_bytes") == 0
        assert not (await host.fields("status"))["busy"]
        if count in (1, length - 1, 3 * length):
            await _good_sample(host, 2)
            await host.write("events", 15)
    # two bad ones and a good one in one go
    for one in (packet[:3], packet + packet[:1], packet):
        await host.send(one)
    kinds = [(await host.result()).closing for _ in range(3)]
    assert [(kind["early"], kind["late"], kind["valid"]) for kind in kinds] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert (await host.read("frames_good"), await host.read("frames_dropped")) == (4, dropped + 2)
    await host.command(clear_frames=1)
    assert (await host.read("frames_good"), await host.read("frames_dropped")) == (0, 0)
    # without a model there is no right place for TLAST
    await host.write("sample_length", 0)
    await host.send(packet)
    assert (await host.result()).closing == {**BAD, "late": 1}


@cocotb.test()
async def core_reset(dut):
    """The host's reset of the core, in the sample, in the work on it, and in the answer: the packet is closed as
    cut, TLAST included, and the next one is right."""
    host = await _host(dut)
    packet = host.packet(0)
    # in the sample: the source still has most of it, and has to get rid of it
    host.samples.set_pause_generator(index % 8 != 0 for index in range(1 << 20))
    await host.send(packet)
    await host.cycles(100)
    assert 0 < await host.read("sample_bytes") < len(packet)
    assert (await host.fields("status"))["sample_open"]
    await host.command(core_reset=1)
    assert (await host.result()).closing == {**BAD, "cut": 1}
    host.samples.clear_pause_generator()
    host.samples.pause = False
    await _good_sample(host, 3)
    # in the work: no logit yet
    await host.send(packet)
    await host.cycles(2000)
    await host.command(core_reset=1)
    result = await host.result()
    assert (result.logits, result.closing) == ([], {**BAD, "cut": 1})
    await _good_sample(host, 4)
    # in the answer: the sink takes nothing, so that the core is stuck with the second logit
    host.results.pause = True
    await host.send(packet)
    while not dut.m_axis_tvalid.value:
        await host.cycles(50)
    await host.cycles(500)
    await host.command(core_reset=1)
    host.results.pause = False
    result = await host.result()
    assert result.closing == {**BAD, "cut": 1}
    assert len(result.logits) == 1
    await _good_sample(host, 5)
    # with nothing to lose, nothing is lost
    await host.command(core_reset=1)
    await _good_sample(host, 6)


@cocotb.test()
async def reset(dut):
    """aresetn in the middle of a load, of a sample, of the work, and of a held answer: nothing is under way, stores
    and settings are as before, all channels work."""
    host = await _host(dut)
    packet = host.packet(1)
    for wait in (0, 40, 90, 3000, 40_000):
        host.results.pause = wait == 40_000
        if wait == 0:
            await host.seek("weights", row=1, chunk=0)
            await host.write("event_enable", 15)
        else:
            await host.send(packet)
            await host.cycles(wait)
        if host.results.pause:
            assert dut.m_axis_tvalid.value
        await host.reset()
        host.samples.clear()
        host.results.clear()
        host.results.pause = False
        for name in ("s_axil_bvalid", "s_axil_rvalid", "m_axis_tvalid", "irq"):
            assert not getattr(dut, name).value, name
        for name in ("load_address", "events", "event_enable", "result_number", "frames_good", "frames_dropped"):
            assert await host.read(name) == 0, name
        status = await host.fields("status")
        assert (status["busy"], status["sample_open"], status["result_valid"], status["result_trusted"]) == (0,) * 4
        await host.wait_for("memory_good")
        await _good_sample(host, 7)


@cocotb.test()
async def corrupted_store(dut):
    """A word that is not the model's: memory_error, the store's bit, event, interrupt, and an answer not trusted;
    the right word again, and all is well."""
    host = await _host(dut)
    await host.write("event_enable", REGISTERS["events"].encode(memory_error=1))
    for store, words in store_words(MODEL, host.machine).items():
        number = store_shapes(host.machine)[store].number
        await host.seek(store)
        await host.write("load_data", words[0] ^ 0x0001)
        assert not (await host.fields("status"))["memory_good"]
        await host.wait_for("memory_error")
        status = await host.fields("status")
        assert (status["bad_stores"], status["memory_good"]) == (1 << number, 0)
        assert dut.irq.value
        assert await host.read("events") == REGISTERS["events"].encode(memory_error=1)
        if store == "weights":
            await host.send(host.packet(0))
            result = await host.result()
            assert (result.closing["valid"], result.closing["trusted"]) == (1, 0)
            await host.write("events", REGISTERS["events"].encode(result=1))
        await host.write("events", REGISTERS["events"].encode(memory_error=1))
        assert not dut.irq.value, "an event is the rise of the error, not its presence"
        await host.seek(store)
        await host.write("load_data", words[0])
        await host.wait_for("memory_good")
        assert (await host.fields("status"))["memory_error"] == 0
    await _good_sample(host, 1)


@cocotb.test()
async def refused_loads(dut):
    """Words outside of a store, words too wide, words while a sample is there: SLVERR, and nothing has moved."""
    host = await _host(dut)
    load_data = REGISTERS["load_data"].address
    for number in range(4):
        rows, columns = await host.read("store_rows", number), await host.read("store_chunks", number)
        for row, chunk in ((rows, 0), (0, columns), (rows - 1, columns), ((1 << 22) - 1, 0), (0, 255)):
            await host.write("load_address", REGISTERS["load_address"].encode(store=number, row=row, chunk=chunk))
            before = await host.read("load_address")
            assert await host.write_at(load_data, 1) == AxiResp.SLVERR
            assert await host.read("load_address") == before
    words = store_words(MODEL, host.machine)
    await host.seek("program")
    assert await host.write_at(load_data, 1 << 16 | words["program"][0]) == AxiResp.SLVERR
    assert (await host.fields("status"))["memory_good"], "nothing was written, so nothing is checked anew"
    # the end of a store is passed with its last word
    rows, columns = await host.read("store_rows", 1), await host.read("store_chunks", 1)
    await host.seek("program", row=rows - 1, chunk=0)
    for word in words["program"][-columns:]:
        await host.write("load_data", word)
    assert await host.fields("load_address") == {"store": 1, "row": rows, "chunk": 0}
    await host.wait_for("memory_good")
    # while a sample is worked on, and while only its first bytes are there
    store = next(iter(words))
    await host.seek(store)
    host.samples.send_nowait(host.packet(1))
    await host.cycles(300)
    assert await host.write_at(load_data, words[store][0] ^ 1) == AxiResp.SLVERR
    await host.result()
    host.samples.set_pause_generator(index >= 30 for index in range(1 << 20))
    host.samples.send_nowait(host.packet(1))
    await host.cycles(300)
    assert (await host.fields("status"))["sample_open"]
    assert await host.write_at(load_data, words[store][0] ^ 1) == AxiResp.SLVERR
    host.samples.clear_pause_generator()
    host.samples.pause = False
    await host.result()
    number = store_shapes(host.machine)[store].number
    assert await host.fields("load_address") == {"store": number, "row": 0, "chunk": 0}
    await _good_sample(host, 0)


@cocotb.test(skip=_machine().tables != "rom")
async def built_in(dut):
    """A model in ROM answers without being loaded, before and after a reset, and cannot be changed."""
    host = await _host(dut, model=False)
    for number in range(2):
        assert await host.read("sample_length") == len(host.packet(0))
        assert await host.read("classes") == MODEL.network.classes
        await host.wait_for("memory_good")
        await _good_sample(host, number)
        for name in ("load_address", "load_data"):
            assert await host.read_at(REGISTERS[name].address) == (0, AxiResp.SLVERR)
            assert await host.write_at(REGISTERS[name].address, 0) == AxiResp.SLVERR
        await host.reset()
    await _digest(host)


@cocotb.test(skip=STREAMS)  # its machine is another one
async def documented_example(dut):
    """Every line of the example in docs/axi.md, on the real thing."""
    host = await _host(dut, model=False)
    left = {name: list(words) for name, words in store_words(MODEL, host.machine).items()}
    numbers = {shape.number: name for name, shape in store_shapes(host.machine).items()}
    load_data = REGISTERS["load_data"].address
    store, sent, taken = "", bytearray(), None
    for transaction in transactions(block(DOCUMENT.read_text())):
        address = transaction.words[0] // 4
        if transaction.kind == "write":
            assert await host.write_at(address, transaction.words[1]) == AxiResp.OKAY, transaction
            if address == load_data:
                assert left[store].pop(0) == transaction.words[1], transaction
            elif address == REGISTERS["load_address"].address:
                store = numbers[REGISTERS["load_address"].decode(transaction.words[1])["store"]]
        elif transaction.kind == "rest":
            assert (transaction.store, transaction.words[0]) == (store, len(left[store]))
            await host.stream_words(left.pop(store))
        elif transaction.kind == "until":
            await host.until(address, transaction.words[1])
        elif transaction.kind == "read":
            assert await host.read_at(address) == (transaction.words[1], AxiResp.OKAY), transaction
        elif transaction.kind == "s_axis":
            sent += bytes(transaction.words)
            if transaction.last:
                await host.send(sent)
        else:
            taken = taken or await host.words()
            assert taken.pop(0) == transaction.words[0], transaction
            assert transaction.last == (not taken), transaction
    assert not left
    assert not taken


@cocotb.test(skip=not STREAMS)
async def moved_memory(dut):
    """`external_base`: what is refused; both words hold at once; each byte of the weights is read, and no other."""
    host = await _host(dut)
    base, size = REGISTERS["external_base"], len(host.image())
    for bad in (1, 2, 4, host.machine.memory_bits // 16):
        assert await host.write_at(base.at(0), 0x8000_0000 + bad) == AxiResp.SLVERR
    assert [await host.read("external_base", k) for k in range(2)] == [BASE & 0xFFFF_FFFF, BASE >> 32]
    monitor = host.monitor

    async def read(at: int) -> set[int]:
        """Bytes that are read by a check and by a sample, less those where the weights lie."""
        monitor.bursts.clear()
        await host.command(rescan=1)
        await host.wait_for("memory_good")
        await _good_sample(host, 1)
        width = host.machine.memory_bits // 8
        read = {one.address + n * width for one in monitor.bursts for n in range(one.beats)}
        assert read >= set(range(at, at + size, width))
        return read - set(range(at, at + size, width))

    assert not await read(BASE)
    other = 0x7_0000_0000
    await host.write("external_base", other & 0xFFFF_FFFF, 0)  # alone: nothing happens
    assert not await read(BASE)
    await host.send(host.packet(2))
    await host.cycles(1000)
    for index in range(2):
        assert await host.write_at(base.at(index), 0) == AxiResp.SLVERR, "while a sample is worked on"
    assert (await host.result()).closing["trusted"]
    host.ram.write(BASE, bytes(size))
    await host.place(other)
    assert not (await host.fields("status"))["memory_good"]
    await host.wait_for("memory_good")
    assert not await read(other)
    await host.write("external_base", BASE & 0xFFFF_FFFF, 0)
    await host.write("external_base", BASE >> 32, 1)
    await host.wait_for("memory_error")
    status = await host.fields("status")
    assert (status["bad_stores"], status["external_failed"], status["external_stalled"]) == (1, 0, 0)
    assert monitor.most > 1


@cocotb.test(skip=not STREAMS)
async def memory_errors(dut):
    """Words that are answered with SLVERR, or that changed: while nothing is worked on, and in a sample. The result
    is not trusted, the status says why; with the memory well again, a rescan, and all is well."""
    host = await _host(dut)
    width = host.machine.memory_bits // 8
    await host.write("event_enable", REGISTERS["events"].encode(memory_error=1))

    async def told(failed: int) -> None:
        status = await host.fields("status")
        assert (status["memory_error"], status["memory_good"], status["bad_stores"]) == (1, 0, 1)
        assert (status["external_failed"], status["external_stalled"]) == (failed, 0)
        assert dut.irq.value
        host.ram.bad.clear()
        host.ram.write(BASE, host.image())
        await host.command(rescan=1)
        await host.write("events", 15)
        await host.wait_for("memory_good")
        assert not (await host.fields("status"))["external_failed"]
        await _good_sample(host, 3)
        await host.write("events", 15)

    last = len(host.image()) - width
    for at in (0, last // 2 // width * width, last):
        host.ram.bad.add(BASE + at)
        await host.wait_for("memory_error")
        await host.send(host.packet(0))
        closing = (await host.result()).closing
        assert (closing["valid"], closing["trusted"]) == (1, 0)
        await told(1)
        host.ram.write(BASE + at, bytes([host.image()[at] ^ 0x10]))
        await host.wait_for("memory_error")
        await told(0)
    for failed in (0, 1):  # in the sample alone
        await host.send(host.packet(4))
        while not dut.s_axis_tlast.value:
            await host.cycles(1)
        if failed:
            host.ram.bad.add(BASE + last)
        else:
            host.ram.write(BASE + last, bytes(x ^ 0xFF for x in host.image()[-width:]))
        result = await host.result()
        assert (result.closing["valid"], result.closing["trusted"]) == (1, 0)
        await told(failed)


@cocotb.test(skip=not STREAMS)
async def silent_memory(dut):
    """No burst is taken: the sample waits, the status says so, a core_reset closes the packet; then all is well."""
    host = await _host(dut)
    await host.send(host.packet(5))
    while not dut.s_axis_tlast.value:
        await host.cycles(1)
    host.ram.ar_channel.pause = True
    await host.wait_for("external_stalled")
    status = await host.fields("status")
    assert (status["busy"], status["result_valid"]) == (1, 0)
    await host.command(core_reset=1)
    assert (await host.result()).closing == {**BAD, "cut": 1}
    host.ram.ar_channel.pause = False
    await host.command(rescan=1)
    await host.wait_for("memory_good")
    assert not (await host.fields("status"))["external_stalled"]
    await _good_sample(host, 5)
