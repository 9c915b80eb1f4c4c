// SPDX-FileCopyrightText: 2026 the ds2ta authors
// SPDX-License-Identifier: BSD-2-Clause

// The SDR SDRAM of a virtual board: words, and a refusal of what the chip does not allow. `sdram_chip.py` is the model
// for benches; this one is for millions of cycles. Included where SDRAM_ROW_BITS, SDRAM_COLUMN_BITS, SDRAM_EXTRA
// (cycles on the way back, at the pads) and the least times SDRAM_RP, SDRAM_RCD, SDRAM_RAS, SDRAM_RC, SDRAM_RFC,
// SDRAM_WR, SDRAM_REFRESH (average), in cycles, are defined.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

struct SdramChip {
    static const uint64_t NEVER = 1ull << 62;
    struct Bank {
        long row = -1;
        uint64_t opened = 0, closed = 0, written = 0;
    };
    Bank banks[4];
    std::vector<uint16_t> words = std::vector<uint16_t>(std::size_t{1} << (2 + SDRAM_ROW_BITS + SDRAM_COLUMN_BITS));
    uint64_t now = 1 << 20, busy = 0, refreshes = 0, set = NEVER;  // set: cycle of the mode register
    unsigned cas = 0;
    uint32_t way[16] = {};  // words on their way, by cycle; bit 16: there is one

    static std::size_t place(unsigned bank, unsigned long row, unsigned long column) {
        return ((bank << SDRAM_ROW_BITS | row) << SDRAM_COLUMN_BITS) | column;
    }
    void refuse(const char* what) const {
        std::fprintf(stderr, "SDRAM, cycle %llu: %s\n", (unsigned long long)(now - (1 << 20)), what);
        std::exit(3);
    }
    void least(uint64_t since, uint64_t cycles, const char* what) const {
        if (now - since < cycles) refuse(what);
    }
    void close(Bank& bank) {
        if (bank.row < 0) return;
        least(bank.opened, SDRAM_RAS, "a row is closed before tRAS");
        least(bank.written, SDRAM_WR, "a row is closed before tWR");
        bank.row = -1;
        bank.closed = now;
    }
    void idle() const {
        for (const Bank& bank : banks) {
            if (bank.row >= 0) refuse("a row is open where none may be");
            least(bank.closed, SDRAM_RP, "tRP");
        }
    }

    // A clock edge with these pins; what the lines show until the next one.
    uint16_t clocked(unsigned command, unsigned bank, unsigned address, unsigned mask, unsigned out, bool drive) {
        ++now;
        if (command != 7 && now < busy) refuse("a command while it is busy");
        Bank& here = banks[bank];
        uint32_t& mine = way[now % 16];
        if (mine >> 16 && drive) refuse("the lines are driven from both sides");
        switch (command) {
            case 0:
                idle();
                cas = address >> 4 & 7;
                if ((cas != 2 && cas != 3) || address & 15) refuse("a mode that it does not know");
                set = now;
                refreshes = 0;
                busy = now + 2;
                break;
            case 1:
                idle();
                ++refreshes;
                busy = now + SDRAM_RFC;
                break;
            case 2:
                if (address >> 10 & 1)
                    for (Bank& one : banks) close(one);
                else
                    close(here);
                break;
            case 3:
                if (here.row >= 0) refuse("a row is opened beside an open one");
                least(here.closed, SDRAM_RP, "tRP");
                least(here.opened, SDRAM_RC, "tRC");
                here.row = address & ((1 << SDRAM_ROW_BITS) - 1);
                here.opened = now;
                break;
            case 4:
            case 5: {
                if (here.row < 0 || !cas) refuse("a column without a row");
                least(here.opened, SDRAM_RCD, "tRCD");
                const std::size_t at = place(bank, here.row, address & ((1 << SDRAM_COLUMN_BITS) - 1));
                if (command == 5) {
                    if (mask) refuse("a read of masked bytes");
                    way[(now + cas - 1 + SDRAM_EXTRA) % 16] = 1u << 16 | words[at];
                } else {
                    if (!drive || mask) refuse("a write of nothing, or of masked bytes");
                    words[at] = out;
                    here.written = now;
                }
                break;
            }
            case 7: break;
            default: refuse("a command that it does not know");
        }
        if (set != NEVER && (now - set) / SDRAM_REFRESH > refreshes + 2) refuse("a refresh is late");
        uint32_t& shown = way[now % 16];
        const uint16_t word = shown >> 16 ? shown : 0xDEAD;
        shown = 0;
        return word;
    }
};
