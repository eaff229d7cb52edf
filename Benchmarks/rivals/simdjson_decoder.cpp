// simdjson On-Demand with the typed extraction of every field: what a good C++ engineer would write today. Keys are asked for in the order
// in which the exchange sends them, strings are taken raw (no unescaping), decimals are read eight digits at a time.
#include <simdjson.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "digits.h"
#include "events.h"

using namespace simdjson;

namespace {

// Symbols by their first sixteen bytes (none is longer), open addressing.
class Symbols {
  public:
    Symbols(const char *const *names, size_t count) {
        while (slots_.size() < count * 4 || slots_.size() < 64) slots_.resize(slots_.empty() ? 64 : slots_.size() * 2);
        for (size_t i = 0; i < count; i++) {
            Entry entry = key(names[i], strlen(names[i]));
            entry.instrument = uint32_t(i + 1);
            size_t at = place(entry);
            while (slots_[at].instrument) at = (at + 1) & (slots_.size() - 1);
            slots_[at] = entry;
        }
    }
    uint32_t find(const char *name, size_t length) const {
        const Entry wanted = key(name, length);
        for (size_t at = place(wanted); slots_[at].instrument; at = (at + 1) & (slots_.size() - 1))
            if (slots_[at].first == wanted.first && slots_[at].second == wanted.second) return slots_[at].instrument;
        return 0;
    }

  private:
    struct Entry {
        uint64_t first = 0, second = 0;
        uint32_t instrument = 0;
    };
    std::vector<Entry> slots_;
    static Entry key(const char *name, size_t length) {
        Entry entry;
        if (length > 16) return entry;
        memcpy(&entry.first, name, length < 8 ? length : 8);
        if (length > 8) memcpy(&entry.second, name + 8, length - 8);
        return entry;
    }
    size_t place(const Entry &entry) const {
        return ((entry.first ^ entry.second * 0xC2B2AE3D27D4EB4Full) * 0x9E3779B97F4A7C15ull >> 32) & (slots_.size() - 1);
    }
};

struct Decoder {
    ondemand::parser parser;
    Symbols symbols;
    explicit Decoder(Symbols known) : symbols(std::move(known)) {}
};

bool integer(ondemand::object &object, const char *key, size_t length, int64_t &value) {
    return !object.find_field(std::string_view(key, length)).get_int64().get(value);
}
bool time_of(ondemand::object &object, const char *key, size_t length, int64_t &value) {
    if (!integer(object, key, length, value)) return false;
    value *= 1000000;
    return true;
}
bool decimal(ondemand::object &object, const char *key, size_t length, rv_decimal &value) {
    ondemand::raw_json_string raw;
    if (object.find_field(std::string_view(key, length)).get_raw_json_string().get(raw)) return false;
    return rv_read_decimal(raw.raw(), &value) != nullptr;
}
bool boolean(ondemand::object &object, const char *key, size_t length, uint8_t &value) {
    bool read;
    if (object.find_field(std::string_view(key, length)).get_bool().get(read)) return false;
    value = read;
    return true;
}
#define KEY(text) text, sizeof(text) - 1

bool instrument(const Decoder &decoder, ondemand::object &object, uint32_t &value) {
    ondemand::raw_json_string raw;
    if (object.find_field("s").get_raw_json_string().get(raw)) return false;
    const char *end = static_cast<const char *>(memchr(raw.raw(), '"', 32));
    value = end ? decoder.symbols.find(raw.raw(), end - raw.raw()) : 0;
    return value != 0;
}

bool read_trade(const Decoder &decoder, ondemand::object &data, rv_trade_event &event) {
    uint8_t ignored;
    event.execution[0] = event.execution[1] = event.execution[2] = 0;
    return time_of(data, KEY("E"), event.header.event_time) && instrument(decoder, data, event.header.instrument) &&
        integer(data, KEY("t"), event.trade_id) && decimal(data, KEY("p"), event.price) && decimal(data, KEY("q"), event.quantity) &&
        time_of(data, KEY("T"), event.trade_time) && boolean(data, KEY("m"), event.aggressor) && boolean(data, KEY("M"), ignored);
}

bool read_kline(const Decoder &decoder, ondemand::object &data, rv_kline_event &event) {
    ondemand::object bar;
    std::string_view interval;
    if (!time_of(data, KEY("E"), event.header.event_time) || !instrument(decoder, data, event.header.instrument) ||
        data.find_field("k").get_object().get(bar) || !time_of(bar, KEY("t"), event.open_time) || !time_of(bar, KEY("T"), event.close_time) ||
        bar.find_field("i").get_string().get(interval) || interval != "1m")
        return false;
    event.header.variant = 1;
    return integer(bar, KEY("f"), event.first_trade_id) && integer(bar, KEY("L"), event.last_trade_id) && decimal(bar, KEY("o"), event.open) &&
        decimal(bar, KEY("c"), event.close) && decimal(bar, KEY("h"), event.high) && decimal(bar, KEY("l"), event.low) &&
        decimal(bar, KEY("v"), event.volume) && integer(bar, KEY("n"), event.trade_count) && boolean(bar, KEY("x"), event.is_closed) &&
        decimal(bar, KEY("q"), event.quote_volume) && decimal(bar, KEY("V"), event.taker_buy_volume) &&
        decimal(bar, KEY("Q"), event.taker_buy_quote_volume);
}

bool read_ticker(const Decoder &decoder, ondemand::object &data, rv_ticker_event &event) {
    return time_of(data, KEY("E"), event.header.event_time) && instrument(decoder, data, event.header.instrument) &&
        decimal(data, KEY("p"), event.change) && decimal(data, KEY("P"), event.change_percent) && decimal(data, KEY("w"), event.weighted_average) &&
        decimal(data, KEY("x"), event.previous_close) && decimal(data, KEY("c"), event.last) && decimal(data, KEY("Q"), event.last_quantity) &&
        decimal(data, KEY("b"), event.bid) && decimal(data, KEY("B"), event.bid_quantity) && decimal(data, KEY("a"), event.ask) &&
        decimal(data, KEY("A"), event.ask_quantity) && decimal(data, KEY("o"), event.open) && decimal(data, KEY("h"), event.high) &&
        decimal(data, KEY("l"), event.low) && decimal(data, KEY("v"), event.volume) && decimal(data, KEY("q"), event.quote_volume) &&
        time_of(data, KEY("O"), event.open_time) && time_of(data, KEY("C"), event.close_time) && integer(data, KEY("F"), event.first_trade_id) &&
        integer(data, KEY("L"), event.last_trade_id) && integer(data, KEY("n"), event.trade_count);
}

// Bytes of the frame's event; 0 where it cannot be read.
size_t decode_frame(Decoder &decoder, const char *frame, size_t length, int64_t received, uint8_t *out) {
    ondemand::document document;
    ondemand::object root, data;
    std::string_view stream;
    padded_string_view text(frame, length, length + SIMDJSON_PADDING);
    if (decoder.parser.iterate(text).get(document) || document.get_object().get(root) ||
        root.find_field("stream").get_string().get(stream) || root.find_field("data").get_object().get(data))
        return 0;
    const size_t at = stream.find('@');
    if (at == stream.npos || at + 2 >= stream.size()) return 0;
    rv_header header = {0, 0, 0, 0, RV_ABSENT, received};
    *reinterpret_cast<rv_header *>(out) = header;
    switch (stream[at + 1]) {
        case 't': {
            if (stream[at + 2] == 'r') {
                auto event = reinterpret_cast<rv_trade_event *>(out);
                event->header.kind = rv_trade;
                return read_trade(decoder, data, *event) ? sizeof *event : 0;
            }
            auto event = reinterpret_cast<rv_ticker_event *>(out);
            event->header.kind = rv_ticker;
            return read_ticker(decoder, data, *event) ? sizeof *event : 0;
        }
        case 'k': {
            auto event = reinterpret_cast<rv_kline_event *>(out);
            event->header.kind = rv_kline;
            return read_kline(decoder, data, *event) ? sizeof *event : 0;
        }
        default: return 0;
    }
}

} // namespace

void *rv_simdjson_make(const char *const *symbols, size_t count) {
    auto decoder = new Decoder(Symbols(symbols, count));
    if (decoder->parser.allocate(1 << 20)) return nullptr;
    return decoder;
}

size_t rv_simdjson_decode(void *self, const uint8_t *base, const rv_slice *slices, size_t count, int64_t received, uint8_t *out) {
    Decoder &decoder = *static_cast<Decoder *>(self);
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t size =
            decode_frame(decoder, reinterpret_cast<const char *>(base) + slices[i].offset, slices[i].length & 0x7FFFFFFF, received, out + bytes);
        if (!size) return 0;
        bytes += size;
    }
    return bytes;
}

const char *rv_simdjson_name(void) {
    static const std::string name = "simdjson " + std::to_string(SIMDJSON_VERSION_MAJOR) + "." + std::to_string(SIMDJSON_VERSION_MINOR) + "." +
        std::to_string(SIMDJSON_VERSION_REVISION) + " On-Demand, " + get_active_implementation()->name() + ", tuned";
    return name.c_str();
}
