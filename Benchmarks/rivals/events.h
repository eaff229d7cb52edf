// The collector's events as C structs: what every decoder here fills, so that answers can be compared field by field and all of them
// write as many bytes. See Sources/MarketData/Events.swift, whose layout this is; `compare` checks that it still is.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { rv_trade = 0, rv_kline = 2, rv_ticker = 3 };
#define RV_ABSENT INT64_MIN

// Exact: the digits without point and sign in `low` and the low 48 bits of `high`; bits 48-55 fraction digits, 56 present, 57 negative.
typedef struct {
    uint64_t low, high;
} rv_decimal;

typedef struct {
    uint8_t kind, variant;
    uint16_t flags;
    uint32_t instrument;
    int64_t event_time, received_time; // ns since the epoch
} rv_header;

typedef struct {
    rv_header header;
    int64_t trade_id, trade_time;
    rv_decimal price, quantity;
    uint64_t execution[3];
    uint8_t aggressor; // 1: the taker sold
} rv_trade_event;

typedef struct {
    rv_header header;
    int64_t open_time, close_time, first_trade_id, last_trade_id, trade_count;
    rv_decimal open, high, low, close, volume, quote_volume, taker_buy_volume, taker_buy_quote_volume;
    uint8_t is_closed;
} rv_kline_event;

typedef struct {
    rv_header header;
    int64_t open_time, close_time, trade_count, first_trade_id, last_trade_id;
    rv_decimal open, high, low, last, last_quantity, previous_close, change, change_percent, weighted_average, bid, bid_quantity, ask,
        ask_quantity, volume, quote_volume;
} rv_ticker_event;

// Where a frame lies behind `base`; 64 readable bytes follow it. Bit 31 of the length: a binary message.
typedef struct {
    uint32_t offset, length;
} rv_slice;

// Decodes `count` frames and writes their events one behind the other, each at a multiple of 8. Returns the events' bytes, or 0 where a frame
// could not be read. `symbols` of `make` are upper case; symbol i is instrument i + 1.
typedef size_t rv_decode(void *decoder, const uint8_t *base, const rv_slice *slices, size_t count, int64_t received_time, uint8_t *out);

void *rv_simdjson_make(const char *const *symbols, size_t count);
rv_decode rv_simdjson_decode;
const char *rv_simdjson_name(void); // with its version and the instruction set it has chosen

void *rv_plain_make(const char *const *symbols, size_t count);
rv_decode rv_plain_decode;
const char *rv_plain_name(void);

void *rv_speculating_make(const char *const *symbols, size_t count);
rv_decode rv_speculating_decode;
const char *rv_speculating_name(void);

// Copies the frames' bytes: what reading each of them once and writing it costs.
size_t rv_copy(const uint8_t *base, const rv_slice *slices, size_t count, uint8_t *out);

#ifdef __cplusplus
}
static_assert(sizeof(rv_trade_event) == 104 && offsetof(rv_trade_event, aggressor) == 96);
static_assert(sizeof(rv_kline_event) == 200 && offsetof(rv_kline_event, is_closed) == 192);
static_assert(sizeof(rv_ticker_event) == 304);
#endif
