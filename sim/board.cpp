// SPDX-FileCopyrightText: 2026 the ds2ta authors
// SPDX-License-Identifier: BSD-2-Clause

// A board whose UART is a pseudo-terminal: the Verilated board top, its pins, and a clock that stands still while
// nothing moves.
//
//     board CLOCK_HZ [LINK [FLASH ADDRESS SIZE]]
//
// The name of the terminal is the first line on stdout; LINK, unless it is empty, becomes a symbolic link to it. A
// board that loads a model at power-up has a flash of SIZE bytes, in power-down, erased but for the file FLASH from
// ADDRESS on. Bits have the length that
// the *host's* baud rate gives them in cycles of the board's clock, in both directions, as if a USB adapter stood in
// between: a wrong rate is as wrong here as on a desk. Lines on stdin are commands: `flip SCOPE NAME WORD BIT` turns
// over one bit of a published memory (`flipped` or `missing` is the answer); `fill FILE` and `turn WORD BITS` change the
// SDRAM of a board that has one (`sdram_board.hpp` stands in front of this text then). The program ends, and removes its link,
// on SIGINT, SIGTERM, or the end of stdin, which is also the end of the process that started it.

#include <asm/termbits.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <verilated.h>
#include <verilated_syms.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "Vtop.h"
#include "flash_chip.h"

static const uint64_t LOOK = 256;             // cycles between two looks at the terminal
static const uint64_t REST = 1 << 18;         // cycles without a bit on the line, and without work, until it sleeps
static const uint64_t PADS = 25000;           // ps from the falling clock of the flash to its data, back in the FPGA
static const uint64_t SECOND = 1000000000000; // ps
static const uint64_t REST_BUSY = 1 << 23;    // the same while the core is busy: it may wait for the host for ever

static volatile sig_atomic_t stopped = 0;
static void stop(int) { stopped = 1; }

static int fail(const std::string& what) {
    std::fprintf(stderr, "%s\n", what.c_str());
    return 1;
}

// The terminal: bytes of the host, and its baud rate.
struct Terminal {
    int master = -1, slave = -1;
    std::string name;

    bool open() {
        char text[128];
        master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
        if (master < 0 || grantpt(master) || unlockpt(master) || ptsname_r(master, text, sizeof text)) return false;
        name = text;
        slave = ::open(text, O_RDWR | O_NOCTTY);  // kept open: else reads fail whenever no host has it open
        struct termios2 raw;
        if (slave < 0 || ioctl(slave, TCGETS2, &raw)) return false;
        raw.c_iflag = raw.c_oflag = raw.c_lflag = 0;
        raw.c_cflag = (raw.c_cflag & ~(CSIZE | PARENB)) | CS8 | CREAD | CLOCAL;
        return !ioctl(slave, TCSETS2, &raw);
    }
    uint64_t baud() const {
        struct termios2 now;
        return ioctl(master, TCGETS2, &now) || !now.c_ospeed ? 1 : now.c_ospeed;
    }
    void read(std::deque<uint8_t>& to) const {
        uint8_t bytes[512];
        const ssize_t count = ::read(master, bytes, sizeof bytes);
        if (count > 0) to.insert(to.end(), bytes, bytes + count);
    }
    void write(uint8_t byte) const {
        if (::write(master, &byte, 1) < 0) return;  // nobody reads and the buffer is full: lost, as on a cable
    }
};

// Cycles of the edges of one frame of 8N1, counted from its first.
struct BitTimer {
    uint64_t clock, baud = clock, start = 0;

    uint64_t edge(uint64_t halves) const { return start + (halves * clock + baud) / (2 * baud); }
};

// The host's transmitter: drives the pin `rx` of the board.
struct Sender {
    BitTimer timer;
    std::deque<uint8_t> queue;
    unsigned frame = 0, bit = 0;  // bits that are left to begin, start and stop included; the number of the next
    bool level = true;

    bool active(uint64_t cycle) const { return !queue.empty() || bit || cycle < timer.edge(20); }
    void advance(uint64_t cycle, const Terminal& terminal) {
        if (!bit && !queue.empty() && cycle >= timer.edge(20)) {
            frame = 1u << 9 | unsigned(queue.front()) << 1;
            queue.pop_front();
            timer.baud = terminal.baud();
            timer.start = cycle;
            bit = 10;
        }
        if (bit && cycle >= timer.edge(2 * (10 - bit))) {
            level = frame & 1;
            frame >>= 1;
            --bit;
        }
    }
};

// The host's receiver: samples the pin `tx` of the board in the middle of its bits.
struct Receiver {
    BitTimer timer;
    unsigned shift = 0, bit = 0;  // samples that are left to take

    void advance(uint64_t cycle, bool level, const Terminal& terminal) {
        if (!bit) {
            if (level) return;
            timer.baud = terminal.baud();
            timer.start = cycle;
            shift = 0;
            bit = 10;
        }
        if (cycle < timer.edge(2 * (10 - bit) + 1)) return;
        shift = shift >> 1 | unsigned(level) << 9;
        if (--bit == 9 && level) bit = 0;                               // a spike, no start bit
        else if (!bit && shift >> 9 & 1) terminal.write(shift >> 1);    // without its stop bit a byte is lost
    }
};

#ifdef SDRAM_ROW_BITS
#define PIN(name) top->sdram___05F##name  // Verilator's spelling of sdram__
static SdramChip chip;

// `fill FILE`: the words of a file, little endian, from word 0 on; `turn WORD BITS`: some bits of a word turn over.
static const char* change(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    if (command == "turn") {
        unsigned long word = 0, bits = 0;
        words >> word >> bits;
        if (!words || word >= chip.words.size()) return "missing";
        chip.words[word] ^= bits;
        return "turned";
    }
    std::string name;
    std::getline(words >> std::ws, name);
    std::FILE* file = std::fopen(name.c_str(), "rb");
    if (!file) return "missing";
    const std::size_t count = std::fread(chip.words.data(), 2, chip.words.size(), file);
    const bool whole = count && std::fgetc(file) == EOF;
    std::fclose(file);
    return whole ? "filled" : "missing";
}
#endif

// The flash at its pins: from an edge of the clock to the next one. Whether the board has been at it. A board that has
// no flash has no such pins, either, and gets the second function, to which 0 is less of a fit.
template <class Top>
auto connect(Top& top, FlashChip& flash, uint64_t now, uint64_t next, int) -> decltype(top.flash_cipo, bool()) {
    const bool selected = top.flash_cs;
    top.flash_cipo = flash.step(now, next, selected, top.flash_sck, top.flash_copi);
    return selected;
}
template <class Top>
bool connect(Top&, FlashChip&, uint64_t, uint64_t, long) { return false; }

static const char* flip(const VerilatedContext& context, const std::string& line) {
    std::istringstream words(line);
    std::string command, scope_name, name;
    unsigned long word = 0, bit = 0;
    words >> command >> scope_name >> name >> word >> bit;
    const VerilatedScope* scope = context.scopeFind(scope_name.c_str());
    const VerilatedVar* memory = scope ? scope->varFind(name.c_str()) : nullptr;
    if (!words || command != "flip" || !memory || memory->udims() != 1) return "missing";
    const unsigned long size = memory->totalSize() / memory->elements(1);
    if (word >= (unsigned long)memory->elements(1) || bit >= 8 * size) return "missing";
    static_cast<uint8_t*>(memory->datap())[word * size + bit / 8] ^= 1 << bit % 8;
    return "flipped";
}

int main(int count, char** arguments) {
    if (count < 2 || count > 6 || count == 4 || count == 5)
        return fail("usage: board CLOCK_HZ [LINK [FLASH ADDRESS SIZE]]");
    const uint64_t clock = std::strtoull(arguments[1], nullptr, 10);
    const uint64_t size = count > 5 ? std::strtoull(arguments[5], nullptr, 10) : 1;
    FlashChip flash(size, PADS, true);
    if (count > 5) {
        std::ifstream file(arguments[3], std::ios::binary);
        const std::vector<char> image{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
        const uint64_t address = std::strtoull(arguments[4], nullptr, 10);
        if (!file) return fail(std::string(arguments[3]) + ": cannot be read");
        if (address > size || image.size() > size - address)
            return fail(std::string(arguments[3]) + ": does not fit into the flash");
        flash.put(address, reinterpret_cast<const uint8_t*>(image.data()), image.size());
    }
    struct sigaction action = {};
    action.sa_handler = stop;  // no SA_RESTART: a sleeping poll ends
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    sigaction(SIGHUP, &action, nullptr);

    Terminal terminal;
    if (!terminal.open()) return fail(std::string("no pseudo-terminal: ") + std::strerror(errno));
    const std::string link = count > 2 ? arguments[2] : "";
    if (!link.empty()) {
        struct stat found;
        if (!lstat(link.c_str(), &found)) {
            if (!S_ISLNK(found.st_mode)) return fail(link + ": exists and is no symbolic link");
            unlink(link.c_str());
        }
        if (symlink(terminal.name.c_str(), link.c_str()))
            return fail(link + ": cannot be made: " + std::strerror(errno));
    }
    std::printf("%s\n", terminal.name.c_str());
    std::fflush(stdout);

    VerilatedContext context;
    context.randReset(0);
    const std::unique_ptr<Vtop> top{new Vtop{&context}};
    Sender sender{{clock}};
    Receiver receiver{{clock}};
    uint64_t cycle = 0, moved = 0;
    std::string commands;
    top->rx = 1;
    top->rst = 1;

    pollfd sources[] = {{terminal.master, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    while (!stopped) {
        if (!(cycle % LOOK)) {
            const bool resting = cycle - moved > (top->busy ? REST_BUSY : REST);
            if (poll(sources, 2, resting ? -1 : 0) > 0) {
                if (sources[0].revents & POLLIN && sender.queue.size() < 512) terminal.read(sender.queue);
                if (sources[1].revents) {
                    char text[256];
                    const ssize_t length = read(STDIN_FILENO, text, sizeof text);
                    if (length <= 0) break;
                    commands.append(text, length);
                    for (std::size_t end; (end = commands.find('\n')) != std::string::npos; commands.erase(0, end + 1)) {
                        const std::string line = commands.substr(0, end);
                        const char* answer = line[0] == 'f' && line[1] == 'l' ? flip(context, line) : nullptr;
#ifdef SDRAM_ROW_BITS
                        if (!answer) answer = change(line);
#endif
                        std::printf("%s\n", answer ? answer : "missing");
                        std::fflush(stdout);
                    }
                    moved = cycle;
                }
            }
        }
        sender.advance(cycle, terminal);
        if (sender.active(cycle)) moved = cycle;
        top->rx = sender.level;
#ifdef SDRAM_ROW_BITS
        const uint16_t back = PIN(cke) ? chip.clocked(PIN(command), PIN(bank), PIN(address), PIN(mask), PIN(out), PIN(drive)) : 0;
#endif
        top->clk = 1;
        top->eval();
#ifdef SDRAM_ROW_BITS
        PIN(back) = back;
#endif
        receiver.advance(cycle, top->tx, terminal);
        if (!top->tx) moved = cycle;
        if (connect(*top, flash, cycle * (SECOND / clock), (cycle + 1) * (SECOND / clock), 0)) moved = cycle;
        top->clk = 0;
        top->eval();
        if (++cycle == 4) top->rst = 0;
    }
    char target[256];
    const ssize_t length = link.empty() ? -1 : readlink(link.c_str(), target, sizeof target);
    if (length > 0 && terminal.name == std::string(target, length)) unlink(link.c_str());  // else it is another's by now
    return 0;
}
