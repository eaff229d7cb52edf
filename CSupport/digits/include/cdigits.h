// Decimal digits sixteen at a time. Everything is in line and without a branch on how many digits there are: which of them come cannot be
// predicted from one frame to the next. SSE2, which every x86-64 has; other CPUs, and CDG_PORTABLE, take eight digits in a register.
//
// All functions read up to 32 bytes from `at` on, cdg_survey 64, and some up to 16 before it: both must be mapped. No byte but the digits has
// any effect.
#pragma once
#include <stdint.h>
#include <string.h>

// A number as it was found. `length` is 0 where it is written in another way than these functions read.
typedef struct {
    uint64_t value;
    uint32_t length; // bytes, as written
    uint32_t scale;  // digits behind the point
} cdg_number;

static const uint64_t cdg_powers[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

// From byte n on: 16 - n zeros, then n ones.
static const uint8_t cdg_masks[32] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

#define CDG_IN_LINE static inline __attribute__((always_inline))

CDG_IN_LINE uint64_t cdg_word(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    return word;
}

// The value of eight bytes of 0...9, the first of the highest weight: pairs, then fours, then eight in parallel.
CDG_IN_LINE uint64_t cdg_eight(uint64_t digits) {
    const uint64_t mask = 0x000000FF000000FF;
    digits = digits * 10 + (digits >> 8);
    return ((digits & mask) * 0x000F424000000064 + (digits >> 16 & mask) * 0x0000271000000001) >> 32;
}

// The value of the first `count` (1...8) bytes, which are digits.
CDG_IN_LINE uint64_t cdg_first(const uint8_t *at, uint32_t count) {
    return cdg_eight((cdg_word(at) ^ 0x3030303030303030) << (8 - count) * 8);
}

#if defined(__SSE2__) && !defined(CDG_PORTABLE)
#include <emmintrin.h>

CDG_IN_LINE __m128i cdg_bytes(const uint8_t *at) { return _mm_loadu_si128((const __m128i *)at); }
CDG_IN_LINE __m128i cdg_load(const uint8_t *at) { return _mm_sub_epi8(cdg_bytes(at), _mm_set1_epi8('0')); }

// A bit for each of sixteen bytes that is no digit.
CDG_IN_LINE uint32_t cdg_others(const uint8_t *at) {
    // 0 to 9 become the ten lowest of the signed bytes.
    const __m128i bytes = _mm_add_epi8(cdg_bytes(at), _mm_set1_epi8(0x80 - '0'));
    return (uint32_t)_mm_movemask_epi8(_mm_cmpgt_epi8(bytes, _mm_set1_epi8(-0x80 + 9)));
}

CDG_IN_LINE __m128i cdg_mask(uint32_t count) { return _mm_loadu_si128((const __m128i *)(cdg_masks + count)); }

// The value of sixteen bytes of 0...9.
CDG_IN_LINE uint64_t cdg_sixteen(__m128i digits) {
    // In sixteen bits, times 2561: ten times the low byte plus the high one, in the high byte.
    const __m128i pairs = _mm_srli_epi16(_mm_mullo_epi16(digits, _mm_set1_epi16(2561)), 8);
    const __m128i fours = _mm_madd_epi16(pairs, _mm_set1_epi32(100 | 1 << 16));
    const __m128i eights = _mm_madd_epi16(_mm_packs_epi32(fours, fours), _mm_set1_epi32(10000 | 1 << 16));
    const uint64_t both = (uint64_t)_mm_cvtsi128_si64(eights);
    return (both & 0xFFFFFFFF) * 100000000 + (both >> 32);
}

// The value of the `count` (0...16) bytes before `end`, which are digits.
CDG_IN_LINE uint64_t cdg_last(const uint8_t *end, uint32_t count) {
    return cdg_sixteen(_mm_and_si128(cdg_load(end - 16), cdg_mask(count)));
}

// The value of the `count` (2...16) digits before `end` with a point before the last `scale` of them.
CDG_IN_LINE uint64_t cdg_pointed(const uint8_t *end, uint32_t count, uint32_t scale) {
    // What stands before the point is loaded one byte further on, so that the point falls out.
    const __m128i is_behind = cdg_mask(scale);
    const __m128i behind = _mm_and_si128(is_behind, cdg_bytes(end - 16)), before = _mm_andnot_si128(is_behind, cdg_bytes(end - 17));
    const __m128i digits = _mm_sub_epi8(_mm_or_si128(behind, before), _mm_set1_epi8('0'));
    return cdg_sixteen(_mm_and_si128(digits, cdg_mask(count)));
}
#else
CDG_IN_LINE uint32_t cdg_others(const uint8_t *at) {
    uint32_t bits = 0;
    for (uint32_t index = 0; index < 16; index++) bits |= (uint32_t)((uint8_t)(at[index] - '0') > 9) << index;
    return bits;
}

CDG_IN_LINE uint64_t cdg_last(const uint8_t *end, uint32_t count) {
    if (count <= 8) return count ? cdg_first(end - count, count) : 0;
    return cdg_first(end - count, count - 8) * 100000000 + cdg_first(end - 8, 8);
}

CDG_IN_LINE uint64_t cdg_pointed(const uint8_t *end, uint32_t count, uint32_t scale) {
    uint64_t value = cdg_last(end - scale - 1, count - scale);
    for (uint32_t index = 0; index < scale; index++) value *= 10;
    return value + cdg_last(end, scale);
}
#endif

// A bit for each of 64 bytes that is no digit. The numbers among them are then found by it, without waiting for the bytes of one before the
// next is looked for.
CDG_IN_LINE uint64_t cdg_survey(const uint8_t *at) {
    return cdg_others(at) | (uint64_t)cdg_others(at + 16) << 16 | (uint64_t)cdg_others(at + 32) << 32 | (uint64_t)cdg_others(at + 48) << 48;
}

static const cdg_number cdg_none = {0, 0, 0};
// What stands for the end of a number that none is known of: behind all that are read here.
static const uint64_t cdg_unknown = 1ull << 63;

// As cdg_integer, where `others` has a bit for each byte from `at` on that is known to be no digit.
CDG_IN_LINE cdg_number cdg_surveyed_integer(const uint8_t *at, uint64_t others) {
    const uint32_t count = (uint32_t)__builtin_ctzll(others | cdg_unknown);
    if (!__builtin_expect((count - 1 < 15) & ((count == 1) | (*at != '0')), 1)) return cdg_none;
    const cdg_number number = {cdg_last(at + count, count), count, 0};
    return number;
}

// A decimal of at most 16 digits without leading zeros, with digits before the point and behind it, whatever follows; see
// cdg_surveyed_integer.
CDG_IN_LINE cdg_number cdg_surveyed_decimal(const uint8_t *at, uint64_t others) {
    const uint64_t behind = others & (others - 1);
    const uint32_t point = (uint32_t)__builtin_ctzll(others | cdg_unknown), end = (uint32_t)__builtin_ctzll(behind | cdg_unknown);
    const uint32_t scale = end - point - 1;
    // Within 17 bytes there is a bit for the point too, and it lies before the end.
    if (!__builtin_expect(end <= 17 && point && scale && at[point] == '.' && (point == 1 || *at != '0'), 1)) return cdg_none;
    const cdg_number number = {cdg_pointed(at + end, end - 1, scale), end, scale};
    return number;
}

// An integer of 1 to 15 digits without leading zeros, whatever follows.
CDG_IN_LINE cdg_number cdg_integer(const uint8_t *at) {
    const uint32_t count = (uint32_t)__builtin_ctz(cdg_others(at) | 0x10000);
    const uint32_t is_usual = (count - 1 < 15) & ((count == 1) | (*at != '0'));
    const cdg_number number = {cdg_last(at + count, count), is_usual ? count : 0, 0};
    return number;
}

// `length` (1...16) digits, the first not zero.
CDG_IN_LINE cdg_number cdg_fixed(const uint8_t *at, uint32_t length) {
    const uint32_t others = cdg_others(at) & ((1u << length) - 1);
    const cdg_number number = {cdg_last(at + length, length), others == 0 && *at != '0' ? length : 0, 0};
    return number;
}

// A decimal with 1 to 11 digits before the point, without leading zeros, and 1 to 8 behind it, whatever follows.
CDG_IN_LINE cdg_number cdg_decimal(const uint8_t *at) {
    const uint32_t others = cdg_others(at) | cdg_others(at + 16) << 16;
    const uint32_t behind = others & (others - 1);
    const uint32_t point = (uint32_t)__builtin_ctz(others | 1u << 31), end = (uint32_t)__builtin_ctz(behind | 1u << 31);
    const uint32_t scale = end - point - 1;
    const uint32_t is_usual = (point - 1 < 11) & (scale - 1 < 8) & (at[point] == '.') & ((point == 1) | (*at != '0'));
    if (!__builtin_expect(is_usual, 1)) return cdg_none;
    const cdg_number number = {
        cdg_last(at + point, point) * cdg_powers[scale] + cdg_first(at + point + 1, scale), end, scale};
    return number;
}
