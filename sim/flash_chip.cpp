// SPDX-FileCopyrightText: 2026 the ds2ta authors
// SPDX-License-Identifier: BSD-2-Clause

// The chip of flash_chip.h for Python: see sim/flash_chip.py.

#include "flash_chip.h"

extern "C" {
FlashChip* flash_new(uint64_t size, uint64_t delay, int asleep) { return new FlashChip(size, delay, asleep); }
void flash_free(FlashChip* chip) { delete chip; }
void flash_put(FlashChip* chip, uint64_t address, const uint8_t* from, uint64_t count) {
    chip->put(address, from, count);
}
int flash_step(FlashChip* chip, uint64_t now, uint64_t next, int selected, int clock, int data) {
    return chip->step(now, next, selected, clock, data);
}
int flash_asleep(const FlashChip* chip) { return chip->asleep; }
const char* flash_violations(const FlashChip* chip) { return chip->violations.c_str(); }
}
