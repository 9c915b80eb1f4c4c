// SPDX-FileCopyrightText: 2026 the ds2ta authors
// SPDX-License-Identifier: BSD-2-Clause

// A serial flash of 128 Mbit or less at its pins, in SPI mode 0, written from the data sheets of W25Q128JV and
// IS25LP128: read (03), fast read (0B, a dummy byte), deep power-down (B9), its release (AB, alone or with the device
// ID). Times are the slower of both chips. What a chip would not promise to understand is a violation, and is not
// understood. All times are in picoseconds.

#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

struct FlashChip {
    static constexpr uint64_t NS = 1000;
    static constexpr uint64_t RELEASE = 5000 * NS;     // tRES1: until a command is understood
    static constexpr uint64_t DESELECTED = 10 * NS;    // tSHSL1: CS high between two commands
    static constexpr uint64_t SELECT = 5 * NS;         // tSLCH: CS low before the clock rises
    static constexpr uint64_t DATA = 2 * NS;           // tDVCH: data in before the clock rises
    static constexpr uint64_t READ_PERIOD = 20 * NS;   // fR: 50 MHz for 03
    static constexpr uint64_t PERIOD = 7519;           // fC: 133 MHz for all others

    std::vector<uint8_t> bytes;
    uint64_t output_delay;  // tCLQV and the way of clock and data through board and pads
    bool asleep;            // in deep power-down, as an iCE40 leaves its flash behind configuration
    std::string violations;

    FlashChip(std::size_t size, uint64_t delay, bool sleeps) : bytes(size, 0xFF), output_delay(delay), asleep(sleeps) {}

    void put(std::size_t address, const uint8_t* from, std::size_t count) { std::memcpy(&bytes[address], from, count); }

    // The pins as they are from `now` on, at least until `next`: the level of the data output at `next`. An output
    // that nobody drives is 1.
    bool step(uint64_t now, uint64_t next, bool selected, bool clock, bool data) {
        if (data != data_) data_ = data, data_at_ = now;
        if (selected && !selected_) select(now);
        if (!selected && selected_) deselect(now);
        if (selected && clock && !clock_) rise(now);
        if (selected && !clock && clock_) fall(now);
        selected_ = selected, clock_ = clock;
        if (next >= output_at_) output_ = coming_;
        return output_;
    }

  private:
    bool selected_ = false, clock_ = false, data_ = false, output_ = true, coming_ = true;
    uint64_t data_at_ = 0, selected_at_ = 0, deselected_at_ = 0, rose_at_ = 0, awake_at_ = 0, output_at_ = 0;
    bool deaf_ = false;
    unsigned bits_ = 0;  // taken since CS fell
    uint64_t taken_ = 0;
    std::size_t address_ = 0;
    unsigned given_ = 0;

    void refuse(const char* why) {
        deaf_ = true;
        if (violations.find(why) == std::string::npos) violations += std::string(violations.empty() ? "" : "; ") + why;
    }
    void drive(uint64_t now, bool level) { coming_ = level, output_at_ = now + output_delay; }

    void select(uint64_t now) {
        deaf_ = false;
        bits_ = given_ = 0;
        taken_ = 0;
        selected_at_ = now;
        if (deselected_at_ && now - deselected_at_ < DESELECTED) refuse("CS high for too short");
        if (clock_) refuse("clock high as CS falls");
    }
    void deselect(uint64_t now) {
        if (!deaf_ && command() == 0xB9 && bits_ == 8) asleep = true;
        if (!deaf_ && command() == 0xAB) {
            if (asleep) awake_at_ = now + RELEASE;
            asleep = false;
        }
        deselected_at_ = now;
        drive(now, true);
    }
    unsigned command() const { return bits_ < 8 ? 0 : unsigned(taken_ >> (bits_ < 40 ? bits_ - 8 : 32)) & 0xFF; }

    void rise(uint64_t now) {
        if (now - data_at_ < DATA) refuse("data in changes as the clock rises");
        if (!bits_ && now - selected_at_ < SELECT) refuse("clock rises too soon behind CS");
        const uint64_t period = now - rose_at_;
        if (bits_ && period < (bits_ >= 8 && command() == 0x03 ? READ_PERIOD : PERIOD)) refuse("clock too fast");
        rose_at_ = now;
        if (deaf_) return;
        if (bits_ < 40) taken_ = taken_ << 1 | data_, ++bits_;
        if (bits_ != 8) return;
        switch (command()) {
            case 0xAB: break;
            case 0x03: case 0x0B: case 0xB9:
                if (asleep) refuse("a command in power-down");
                else if (now < awake_at_) refuse("a command too soon behind the release");
                break;
            default: refuse("an unknown command");
        }
    }
    void fall(uint64_t now) {
        const unsigned head = command() == 0x0B ? 40 : 32;  // bits before the first that is given
        if (deaf_ || bits_ < head || command() == 0xB9) return;
        if (command() == 0xAB) return drive(now, 0x17 >> (7 - given_++ % 8) & 1);
        if (!given_) address_ = (taken_ >> (head - 32) & 0xFFFFFF) % bytes.size();
        drive(now, bytes[address_] >> (7 - given_ % 8) & 1);
        if (++given_ % 8 == 0) address_ = (address_ + 1) % bytes.size();
    }
};
