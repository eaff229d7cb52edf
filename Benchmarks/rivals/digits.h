// Numbers as C reads them, eight digits at a time in a register.
#pragma once
#include <string.h>

#include "events.h"

static const uint64_t rv_powers[20] = {
    1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000, 100000000000, 1000000000000, 10000000000000,
    100000000000000, 1000000000000000, 10000000000000000, 100000000000000000, 1000000000000000000, 10000000000000000000u};

static inline uint64_t rv_word(const char *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    return word;
}

// How many of eight bytes, xor-ed with '0', are digits before the first that is none.
static inline int rv_digit_count(uint64_t word) {
    const uint64_t others = ((word + 0x7676767676767676u) | word) & 0x8080808080808080u;
    return others ? __builtin_ctzll(others) >> 3 : 8;
}

// The value of eight bytes of 0...9.
static inline uint64_t rv_eight(uint64_t digits) {
    digits = digits * 10 + (digits >> 8);
    return ((digits & 0x000000FF000000FFu) * 0x000F424000000064u + (digits >> 16 & 0x000000FF000000FFu) * 0x0000271000000001u) >> 32;
}

// A run of digits of any length up to 33: adds them to `value` and moves `at` behind them.
static inline int rv_digits(const char **at, unsigned __int128 *value) {
    int total = 0;
    for (;;) {
        const uint64_t word = rv_word(*at) ^ 0x3030303030303030u;
        const int count = rv_digit_count(word);
        if (count) *value = *value * rv_powers[count] + rv_eight(word << (8 - count) * 8);
        *at += count;
        total += count;
        if (count < 8) return total;
    }
}

static inline rv_decimal rv_decimal_of(unsigned __int128 magnitude, int scale, int is_negative) {
    rv_decimal value = {
        (uint64_t)magnitude,
        (uint64_t)(magnitude >> 64) | (uint64_t)scale << 48 | (uint64_t)1 << 56 | (uint64_t)is_negative << 57};
    return value;
}

// A decimal within a string, from behind its opening quote. Returns the closing quote; NULL where it is none.
static inline const char *rv_read_decimal(const char *at, rv_decimal *value) {
    const int is_negative = *at == '-';
    at += is_negative;
    const uint64_t whole = rv_word(at) ^ 0x3030303030303030u;
    const int whole_count = rv_digit_count(whole);
    const char *fraction_at = at + whole_count + 1;
    const uint64_t fraction = rv_word(fraction_at) ^ 0x3030303030303030u;
    const int fraction_count = rv_digit_count(fraction);
    // Up to seven digits before the point and eight behind it: nearly all prices and quantities.
    if (__builtin_expect(
            whole_count > 0 && whole_count < 8 && at[whole_count] == '.' && fraction_count > 0 && fraction_at[fraction_count] == '"', 1)) {
        const uint64_t high = rv_eight(whole << (8 - whole_count) * 8), low = rv_eight(fraction << (8 - fraction_count) * 8);
        value->low = high * rv_powers[fraction_count] + low;
        value->high = (uint64_t)fraction_count << 48 | (uint64_t)1 << 56 | (uint64_t)is_negative << 57;
        return fraction_at + fraction_count;
    }
    unsigned __int128 magnitude = 0;
    if (!rv_digits(&at, &magnitude)) return NULL;
    int scale = 0;
    if (*at == '.') {
        at++;
        if (!(scale = rv_digits(&at, &magnitude))) return NULL;
    }
    *value = rv_decimal_of(magnitude, scale, is_negative);
    return *at == '"' ? at : NULL;
}
