// The best C that we could write for these layouts: each stream's frames are compared with the layout that they have had for years, and
// nothing else is tried. Sixteen digits are read at once, the decimal point squeezed out, with AVX-512; no checks that the collector's
// decoder makes beyond the frame's own text (repeats, ids, room), no fallback.
#include <immintrin.h>
#include <stdlib.h>
#include <stdio.h>

#include "digits.h"
#include "events.h"

enum { prefix_max = 80, middle_max = 48 };
typedef struct {
    _Alignas(64) char prefix[prefix_max];
    char middle[middle_max], second[middle_max];
    uint64_t prefix_mask, middle_mask, second_mask;
    uint32_t instrument;
    uint8_t kind, variant, prefix_length, middle_length, second_length;
} layout;

typedef struct {
    layout *layouts;
    uint32_t *buckets;
    size_t mask;
    int shift;
} decoder;

static inline size_t place(const decoder *self, const char *frame) {
    const char *name = frame + 11;
    const uint64_t mixed = rv_word(name) * 0x9E3779B97F4A7C15u ^ rv_word(name + 8) * 0xC2B2AE3D27D4EB4Fu ^ rv_word(name + 16) * 0xFF51AFD7ED558CCDu;
    return ((mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9u) >> self->shift;
}

static uint64_t ones(size_t count) { return count >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << count) - 1; }

static void add(decoder *self, size_t index, const char *symbol, uint32_t instrument, uint8_t kind) {
    static const char *const formats[3][3] = {
        {"{\"stream\":\"%s@trade\",\"data\":{\"e\":\"trade\",\"E\":", ",\"s\":\"%s\",\"t\":", ""},
        {"{\"stream\":\"%s@kline_1m\",\"data\":{\"e\":\"kline\",\"E\":", ",\"s\":\"%s\",\"k\":{\"t\":", ",\"s\":\"%s\",\"i\":\"1m\",\"f\":"},
        {"{\"stream\":\"%s@ticker\",\"data\":{\"e\":\"24hrTicker\",\"E\":", ",\"s\":\"%s\",\"p\":\"", ""}};
    static const uint8_t kinds[3] = {rv_trade, rv_kline, rv_ticker};
    layout *made = self->layouts + index;
    char lower[64] = {0}, text[256];
    for (int i = 0; symbol[i] && i < 63; i++) lower[i] = symbol[i] >= 'A' && symbol[i] <= 'Z' ? symbol[i] + 32 : symbol[i];
    made->instrument = instrument;
    made->kind = kinds[kind];
    made->variant = kinds[kind] == rv_kline;
    made->prefix_length = (uint8_t)snprintf(text, sizeof text, formats[kind][0], lower);
    if (made->prefix_length > prefix_max) abort();
    memcpy(made->prefix, text, made->prefix_length);
    made->middle_length = (uint8_t)snprintf(text, sizeof text, formats[kind][1], symbol);
    memcpy(made->middle, text, made->middle_length);
    made->second_length = formats[kind][2][0] ? (uint8_t)snprintf(text, sizeof text, formats[kind][2], symbol) : 0;
    memcpy(made->second, text, made->second_length);
    made->prefix_mask = ones(made->prefix_length > 64 ? made->prefix_length - 64 : 0);
    made->middle_mask = ones(made->middle_length);
    made->second_mask = ones(made->second_length);
    size_t at = place(self, made->prefix);
    while (self->buckets[at]) at = (at + 1) & self->mask;
    self->buckets[at] = (uint32_t)index + 1;
}

void *rv_speculating_make(const char *const *symbols, size_t count) {
    decoder *self = calloc(1, sizeof *self);
    int bits = 6;
    while ((size_t)1 << bits < count * 12) bits++;
    self->shift = 64 - bits;
    self->mask = ((size_t)1 << bits) - 1;
    self->buckets = calloc((size_t)1 << bits, sizeof(uint32_t));
    self->layouts = aligned_alloc(64, count * 3 * sizeof(layout));
    memset(self->layouts, 0, count * 3 * sizeof(layout));
    for (size_t i = 0; i < count; i++)
        for (uint8_t kind = 0; kind < 3; kind++) add(self, i * 3 + kind, symbols[i], (uint32_t)i + 1, kind);
    return self;
}

// Whether 64 and `mask` more bytes are the layout's; the shortest prefix has 50, so the first 64 are compared as far as it goes.
static inline int is_prefix(const char *frame, const layout *wanted) {
    const __mmask64 head = wanted->prefix_length >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << wanted->prefix_length) - 1;
    const __mmask64 first = _mm512_mask_cmpneq_epu8_mask(head, _mm512_loadu_si512(frame), _mm512_load_si512(wanted->prefix));
    const __mmask16 last = _mm_mask_cmpneq_epu8_mask(
        (__mmask16)wanted->prefix_mask, _mm_loadu_si128((const void *)(frame + 64)), _mm_load_si128((const void *)(wanted->prefix + 64)));
    return !(first | last);
}

static inline int take_text(const char **at, const char *wanted, uint64_t mask, int length) {
    const __m512i expected = _mm512_maskz_loadu_epi8(mask, wanted);
    const int same = !_mm512_mask_cmpneq_epu8_mask(mask, _mm512_loadu_si512(*at), expected);
    *at += length;
    return same;
}

static const layout *find(const decoder *self, const char *frame) {
    for (size_t at = place(self, frame); self->buckets[at]; at = (at + 1) & self->mask) {
        const layout *found = self->layouts + self->buckets[at] - 1;
        if (__builtin_expect(is_prefix(frame, found), 1)) return found;
    }
    return NULL;
}

// Sixteen values of 0...9 as a number.
static inline uint64_t sixteen(__m128i digits) {
    const __m128i pairs = _mm_maddubs_epi16(digits, _mm_set1_epi16(0x010A));
    const __m128i fours = _mm_madd_epi16(pairs, _mm_set1_epi32(0x00010064));
    const __m128i eights = _mm_madd_epi16(_mm_packus_epi32(fours, fours), _mm_set1_epi32(0x00012710));
    const uint64_t both = (uint64_t)_mm_cvtsi128_si64(eights);
    return (both & 0xFFFFFFFF) * 100000000 + (both >> 32);
}

static inline __m128i load_digits(const char *at) { return _mm_sub_epi8(_mm_loadu_si128((const void *)at), _mm_set1_epi8('0')); }
static inline __m128i iota(void) { return _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }

static inline int take_integer(const char **at, int64_t *value) {
    const __m128i digits = load_digits(*at);
    const uint32_t others = _mm_cmpgt_epu8_mask(digits, _mm_set1_epi8(9)) | 0x10000;
    const int count = __builtin_ctz(others);
    if (__builtin_expect((unsigned)(count - 1) >= 15, 0)) {
        char *last;
        *value = strtoll(*at, &last, 10);
        const int any = last != *at;
        *at = last;
        return any;
    }
    *value = (int64_t)sixteen(_mm_shuffle_epi8(digits, _mm_add_epi8(iota(), _mm_set1_epi8((char)(count - 16)))));
    *at += count;
    return 1;
}

// Thirteen digits of milliseconds.
static inline int take_time(const char **at, int64_t *nanos) {
    const __m128i digits = load_digits(*at);
    const uint32_t others = _mm_cmpgt_epu8_mask(digits, _mm_set1_epi8(9));
    *nanos = (int64_t)sixteen(_mm_bslli_si128(digits, 3)) * 1000000;
    *at += 13;
    return !(others & 0x1FFF);
}

static inline int take_decimal(const char **at, rv_decimal *value) {
    const __m128i digits = load_digits(*at);
    const uint32_t others = _mm_cmpgt_epu8_mask(digits, _mm_set1_epi8(9));
    const uint32_t behind = others & (others - 1);
    const int point = __builtin_ctz(others | 0x10000), end = __builtin_ctz(behind | 0x10000);
    if (__builtin_expect(end >= 16 || point == 0 || (*at)[point] != '.' || (*at)[end] != '"', 0)) {
        const char *last = rv_read_decimal(*at, value);
        if (last) *at = last;
        return last != NULL;
    }
    // Byte i comes from i - (16 - end), one less before the point.
    const __m128i index = _mm_add_epi8(iota(), _mm_set1_epi8((char)(end - 16)));
    const __mmask16 before = _mm_cmple_epi8_mask(index, _mm_set1_epi8((char)point));
    value->low = sixteen(_mm_shuffle_epi8(digits, _mm_mask_sub_epi8(index, before, index, _mm_set1_epi8(1))));
    value->high = (uint64_t)(end - point - 1) << 48 | (uint64_t)1 << 56;
    *at += end;
    return end - point > 1;
}

static inline int take_bool(const char **at, uint8_t *value) {
    const uint64_t word = rv_word(*at), is_true = word >> 4 & 1, select = 0 - is_true;
    const uint64_t expected = 0x65736C6166u ^ ((0x65736C6166u ^ 0x65757274u) & select), mask = 0xFFFFFFFFFFu ^ (0xFF00000000u & select);
    *at += 5 - is_true;
    *value = (uint8_t)is_true;
    return !((word ^ expected) & mask);
}

#define TAKE(text) \
    ({ \
        const int same = !memcmp(at, text, sizeof(text) - 1); \
        at += sizeof(text) - 1; \
        same; \
    })
#define INTEGER(field) take_integer(&at, &event->field)
#define TIME(field) take_time(&at, &event->field)
#define DECIMAL(field) take_decimal(&at, &event->field)
#define MIDDLE take_text(&at, stream->middle, stream->middle_mask, stream->middle_length)
#define SECOND take_text(&at, stream->second, stream->second_mask, stream->second_length)

static inline __attribute__((always_inline)) int take_trade(const char *at, const char *end, const layout *stream, rv_trade_event *event) {
    uint8_t ignored;
    event->execution[0] = event->execution[1] = event->execution[2] = 0;
    return TIME(header.event_time) && MIDDLE && INTEGER(trade_id) && TAKE(",\"p\":\"") && DECIMAL(price) && TAKE("\",\"q\":\"") && DECIMAL(quantity) &&
        TAKE("\",\"T\":") && TIME(trade_time) && TAKE(",\"m\":") && take_bool(&at, &event->aggressor) && TAKE(",\"M\":") && take_bool(&at, &ignored) &&
        TAKE("}}") && at == end;
}

static int take_kline(const char *at, const char *end, const layout *stream, rv_kline_event *event) {
    if (!(TIME(header.event_time) && MIDDLE && TIME(open_time) && TAKE(",\"T\":") && TIME(close_time) && SECOND && INTEGER(first_trade_id) &&
          TAKE(",\"L\":") && INTEGER(last_trade_id) && TAKE(",\"o\":\"") && DECIMAL(open) && TAKE("\",\"c\":\"") && DECIMAL(close) &&
          TAKE("\",\"h\":\"") && DECIMAL(high) && TAKE("\",\"l\":\"") && DECIMAL(low) && TAKE("\",\"v\":\"") && DECIMAL(volume) && TAKE("\",\"n\":") &&
          INTEGER(trade_count) && TAKE(",\"x\":") && take_bool(&at, &event->is_closed) && TAKE(",\"q\":\"") && DECIMAL(quote_volume) &&
          TAKE("\",\"V\":\"") && DECIMAL(taker_buy_volume) && TAKE("\",\"Q\":\"") && DECIMAL(taker_buy_quote_volume) && TAKE("\",\"B\":\"")))
        return 0;
    const char *quote = memchr(at, '"', (size_t)(end - at));
    at = quote ? quote : end;
    return TAKE("\"}}}") && at == end;
}

static int take_ticker(const char *at, const char *end, const layout *stream, rv_ticker_event *event) {
    return TIME(header.event_time) && MIDDLE && DECIMAL(change) && TAKE("\",\"P\":\"") && DECIMAL(change_percent) && TAKE("\",\"w\":\"") &&
        DECIMAL(weighted_average) && TAKE("\",\"x\":\"") && DECIMAL(previous_close) && TAKE("\",\"c\":\"") && DECIMAL(last) && TAKE("\",\"Q\":\"") &&
        DECIMAL(last_quantity) && TAKE("\",\"b\":\"") && DECIMAL(bid) && TAKE("\",\"B\":\"") && DECIMAL(bid_quantity) && TAKE("\",\"a\":\"") &&
        DECIMAL(ask) && TAKE("\",\"A\":\"") && DECIMAL(ask_quantity) && TAKE("\",\"o\":\"") && DECIMAL(open) && TAKE("\",\"h\":\"") && DECIMAL(high) &&
        TAKE("\",\"l\":\"") && DECIMAL(low) && TAKE("\",\"v\":\"") && DECIMAL(volume) && TAKE("\",\"q\":\"") && DECIMAL(quote_volume) &&
        TAKE("\",\"O\":") && TIME(open_time) && TAKE(",\"C\":") && TIME(close_time) && TAKE(",\"F\":") && INTEGER(first_trade_id) && TAKE(",\"L\":") &&
        INTEGER(last_trade_id) && TAKE(",\"n\":") && INTEGER(trade_count) && TAKE("}}") && at == end;
}

size_t rv_speculating_decode(void *context, const uint8_t *base, const rv_slice *slices, size_t count, int64_t received, uint8_t *out) {
    const decoder *self = context;
    const uint8_t *first = out;
    for (size_t i = 0; i < count; i++) {
        const char *frame = (const char *)base + slices[i].offset, *end = frame + (slices[i].length & 0x7FFFFFFF);
        const layout *stream = find(self, frame);
        if (__builtin_expect(!stream, 0)) return 0;
        const char *at = frame + stream->prefix_length;
        const rv_header header = {stream->kind, stream->variant, 0, stream->instrument, RV_ABSENT, received};
        *(rv_header *)out = header;
        switch (stream->kind) {
            case rv_trade:
                if (!take_trade(at, end, stream, (rv_trade_event *)out)) return 0;
                out += sizeof(rv_trade_event);
                break;
            case rv_kline:
                if (!take_kline(at, end, stream, (rv_kline_event *)out)) return 0;
                out += sizeof(rv_kline_event);
                break;
            default:
                if (!take_ticker(at, end, stream, (rv_ticker_event *)out)) return 0;
                out += sizeof(rv_ticker_event);
        }
    }
    return (size_t)(out - first);
}

const char *rv_speculating_name(void) { return "C that speculates on key order, AVX-512"; }

size_t rv_copy(const uint8_t *base, const rv_slice *slices, size_t count, uint8_t *out) {
    const uint8_t *first = out;
    for (size_t i = 0; i < count; i++) {
        const size_t length = slices[i].length & 0x7FFFFFFF;
        memcpy(out, base + slices[i].offset, length);
        out += length;
    }
    return (size_t)(out - first);
}
