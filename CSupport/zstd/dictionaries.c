// The dictionaries of config/dictionaries, which are also given to consumers: what is embedded and what they have are
// the same bytes. Made by Benchmarks/dictionaries/run --train; see Sources/Batching/Batching.docc/Dictionaries.md.
#include "czstd.h"

#include <string.h>

// An extension before C23; the package is built with Swift's own clang, which has it.
#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char trade[] = {
#embed "../../config/dictionaries/trade.zdict"
};
static const unsigned char aggTrade[] = {
#embed "../../config/dictionaries/aggTrade.zdict"
};
static const unsigned char kline[] = {
#embed "../../config/dictionaries/kline.zdict"
};
static const unsigned char ticker[] = {
#embed "../../config/dictionaries/ticker.zdict"
};
static const unsigned char miniTicker[] = {
#embed "../../config/dictionaries/miniTicker.zdict"
};
static const unsigned char bookTicker[] = {
#embed "../../config/dictionaries/bookTicker.zdict"
};
static const unsigned char averagePrice[] = {
#embed "../../config/dictionaries/averagePrice.zdict"
};
static const unsigned char markPrice[] = {
#embed "../../config/dictionaries/markPrice.zdict"
};

static const struct {
    const char *type;
    const void *bytes;
    size_t count;
} all[] = {
    {"trade", trade, sizeof trade},
    {"aggTrade", aggTrade, sizeof aggTrade},
    {"kline", kline, sizeof kline},
    {"ticker", ticker, sizeof ticker},
    {"miniTicker", miniTicker, sizeof miniTicker},
    {"bookTicker", bookTicker, sizeof bookTicker},
    {"averagePrice", averagePrice, sizeof averagePrice},
    {"markPrice", markPrice, sizeof markPrice},
};

const void *cz_embedded_dictionary(const char *type, size_t *count) {
    for (size_t index = 0; index < sizeof all / sizeof *all; index++) {
        if (strcmp(all[index].type, type) != 0) continue;
        *count = all[index].count;
        return all[index].bytes;
    }
    return NULL;
}
