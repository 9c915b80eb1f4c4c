// SPDX-FileCopyrightText: 2026 the ds2ta authors
// SPDX-License-Identifier: BSD-2-Clause

// Runs an emitted accelerator as a plain program: commands come on stdin, answers go to stdout, the model stays
// loaded between samples. `ports.h` is generated from the component's signature by sim/rtl.py, which also documents
// the protocol. All numbers are 64-bit little endian.

#include <verilated.h>
#if VM_TRACE
#include <verilated_vcd_c.h>
#endif

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "Vtop.h"

using Word = uint64_t;

static inline const Word* put(CData& port, const Word* from) { port = *from; return from + 1; }
static inline const Word* put(SData& port, const Word* from) { port = *from; return from + 1; }
static inline const Word* put(IData& port, const Word* from) { port = *from; return from + 1; }
static inline const Word* put(QData& port, const Word* from) { port = *from; return from + 1; }
template <std::size_t N>
static inline const Word* put(VlWide<N>& port, const Word* from) {
    for (std::size_t i = 0; i < N; ++i) port[i] = from[i / 2] >> (i % 2 * 32);
    return from + (N + 1) / 2;
}
template <class T>
static inline void get(const T& port, std::vector<Word>& to) { to.push_back(port); }
template <std::size_t N>
static inline void get(const VlWide<N>& port, std::vector<Word>& to) {
    for (std::size_t i = 0; i < N; i += 2) to.push_back(port[i] | (i + 1 < N ? Word(port[i + 1]) << 32 : 0));
}

#include "ports.h"

// A memory that feeds an input stream for ever, from its first word on after each reset; see `MemoryTiming` of
// gateware/weight_feed.py, whose numbers these are.
struct Memory {
    int stream = -1;
    std::vector<Word> words;
    Word count = 0, page_words = 0, page_gap = 0, period = 1, busy = 0;
    Word at = 0, next = 0;
    bool offered = false;

    void restart() { at = next = 0, offered = false; }
    void offer(Vtop& top, Word cycle) {
        if (stream < 0) return;
        offered = !top.rst && (offered || (cycle >= next && cycle % period >= busy));
        source_put(top, stream, offered, &words[at * source_words(stream)]);
    }
    void settle(Vtop& top, Word cycle) {
        if (!offered || !source_ready(top, stream)) return;
        offered = false;
        at = (at + 1) % count;
        next = cycle + 1 + (page_words && at % page_words == 0 ? page_gap : 0);
    }
};

struct Simulation {
    VerilatedContext context;
    std::unique_ptr<Vtop> top{new Vtop{&context}};
    Memory memory;
#if VM_TRACE
    VerilatedVcdC waves;
#endif
    Word cycle = 0;
    std::vector<Word> beats[CHANNELS];

    void evaluate() {
        top->eval();
#if VM_TRACE
        if (waves.isOpen()) waves.dump(context.time());
#endif
    }
    // Inputs of this cycle are set: settle, note what is valid, and give the clock edge. `settled` runs in between.
    template <class Settled>
    void advance(Settled settled) {
        if (top->rst) memory.restart();
        memory.offer(*top, cycle);
        evaluate();
        for (int channel = 0; channel < CHANNELS; ++channel) {
            if (!channel_valid(*top, channel)) continue;
            beats[channel].push_back(cycle);
            channel_get(*top, channel, beats[channel]);
        }
        settled();
        memory.settle(*top, cycle);
        context.timeInc(5);
        top->clk = 1;
        evaluate();
        context.timeInc(5);
        top->clk = 0;
        ++cycle;
    }
    void advance() { advance([] {}); }
};

static Word read_word() {
    Word value;
    if (std::fread(&value, sizeof value, 1, stdin) != 1) std::exit(0);  // the other side has gone
    return value;
}
static void write_words(const std::vector<Word>& words) { std::fwrite(words.data(), sizeof(Word), words.size(), stdout); }

int main(int count, char** arguments) {
    Simulation simulation;
    Vtop& top = *simulation.top;
    simulation.context.randReset(0);
#if VM_TRACE
    if (count > 1) {
        simulation.context.traceEverOn(true);
        top.trace(&simulation.waves, 99);
        simulation.waves.open(arguments[1]);
        if (!simulation.waves.isOpen()) return 3;
    }
#else
    (void)count, (void)arguments;
#endif
    outputs_ready(top);
    std::vector<Word> words;
    for (;;) {
        words.clear();
        switch (read_word()) {
            case 0: {  // reset: n cycles -> present cycle
                Word cycles = read_word();
                top.rst = 1;
                while (cycles--) simulation.advance();
                top.rst = 0;
                break;
            }
            case 1: {  // send: stream, beats, limit in cycles, payloads -> accepted beats
                const int stream = read_word();
                const Word beats = read_word(), limit = simulation.cycle + read_word();
                words.resize(beats * source_words(stream));
                if (std::fread(words.data(), sizeof(Word), words.size(), stdin) != words.size()) return 1;
                Word sent = 0;
                while (sent < beats && simulation.cycle < limit) {
                    source_put(top, stream, true, &words[sent * source_words(stream)]);
                    simulation.advance([&] { sent += source_ready(top, stream); });
                }
                const std::vector<Word> idle(source_words(stream));
                source_put(top, stream, false, idle.data());
                words.assign(1, sent);
                break;
            }
            case 2: {  // run: channel, length of its beats, word and bit in one, limit in cycles -> bit was seen
                const std::vector<Word>& shown = simulation.beats[read_word()];
                const Word length = read_word(), word = read_word(), bit = read_word();
                const Word limit = simulation.cycle + read_word();
                bool seen = false;
                for (Word at = 0;; at += length) {
                    while (at == shown.size() && simulation.cycle < limit) simulation.advance();
                    if (at == shown.size() || (seen = shown[at + word] >> bit & 1)) break;
                }
                words.assign(1, seen);
                break;
            }
            case 3: {  // set: input, value
                const int input = read_word();
                words.resize(input_words(input));
                for (Word& word : words) word = read_word();
                input_put(top, input, words.data());
                words.clear();
                break;
            }
            case 4: {  // get: output -> its value
                top.eval();
                output_get(top, read_word(), words);
                break;
            }
            case 5: {  // advance: n cycles
                for (Word cycles = read_word(); cycles--;) simulation.advance();
                break;
            }
            case 6: {  // collect: for each channel the number of words, then the words; forgets them
                for (std::vector<Word>& shown : simulation.beats) {
                    words.push_back(shown.size());
                    words.insert(words.end(), shown.begin(), shown.end());
                    shown.clear();
                }
                break;
            }
            case 7: {  // offer: stream, payload; it stays valid, taken or not, until the stream's next `send`
                const int stream = read_word();
                words.resize(source_words(stream));
                for (Word& word : words) word = read_word();
                source_put(top, stream, true, words.data());
                words.clear();
                break;
            }
            case 8: {  // feed: stream, number of payloads, a memory's timing, payloads
                Memory& memory = simulation.memory;
                memory = Memory{};
                memory.stream = read_word(), memory.count = read_word();
                for (Word* number : {&memory.page_words, &memory.page_gap, &memory.period, &memory.busy})
                    *number = read_word();
                memory.words.resize(memory.count * source_words(memory.stream));
                const std::size_t size = memory.words.size();
                if (std::fread(memory.words.data(), sizeof(Word), size, stdin) != size) return 1;
                memory.next = simulation.cycle;
                break;
            }
            default:
                return 2;
        }
        words.insert(words.begin(), simulation.cycle);
        words.insert(words.begin(), words.size());
        write_words(words);
        std::fflush(stdout);
#if VM_TRACE
        if (simulation.waves.isOpen()) simulation.waves.flush();
#endif
    }
}
