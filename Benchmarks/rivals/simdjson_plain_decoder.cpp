// simdjson On-Demand as its documentation shows it: fields are looked up by operator[], whatever their order, strings come as
// std::string_view, integers by get_int64(). The library has no exact decimals, so their digits are read by std::from_chars.
#include <simdjson.h>

#include <charconv>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "events.h"

using namespace simdjson;

namespace {

struct Decoder {
    ondemand::parser parser;
    std::vector<std::string> names;
    std::unordered_map<std::string_view, uint32_t> instruments;
};

// Exceptions say what is wrong, as in the library's examples.
int64_t time_of(simdjson_result<ondemand::value> value) { return int64_t(value) * 1000000; }

rv_decimal decimal_of(simdjson_result<ondemand::value> value) {
    std::string_view text = value;
    const bool is_negative = !text.empty() && text.front() == '-';
    if (is_negative) text.remove_prefix(1);
    const char *const end = text.data() + text.size();
    uint64_t whole = 0;
    auto read = std::from_chars(text.data(), end, whole);
    if (read.ec != std::errc()) throw simdjson_error(NUMBER_ERROR);
    unsigned __int128 magnitude = whole;
    uint64_t scale = 0;
    if (read.ptr != end) {
        if (*read.ptr != '.') throw simdjson_error(NUMBER_ERROR);
        const char *const first = read.ptr + 1;
        uint64_t fraction = 0;
        read = std::from_chars(first, end, fraction);
        if (read.ec != std::errc() || read.ptr != end) throw simdjson_error(NUMBER_ERROR);
        scale = uint64_t(end - first);
        for (uint64_t i = 0; i < scale; i++) magnitude *= 10;
        magnitude += fraction;
    }
    if (scale > 19 || magnitude >> 112) throw simdjson_error(NUMBER_OUT_OF_RANGE);
    return {uint64_t(magnitude), uint64_t(magnitude >> 64) | scale << 48 | uint64_t(1) << 56 | uint64_t(is_negative) << 57};
}

uint32_t instrument_of(const Decoder &decoder, simdjson_result<ondemand::value> value) {
    const auto found = decoder.instruments.find(std::string_view(value));
    if (found == decoder.instruments.end()) throw simdjson_error(NO_SUCH_FIELD);
    return found->second;
}

size_t read_trade(const Decoder &decoder, ondemand::object data, int64_t received, uint8_t *out) {
    auto &event = *reinterpret_cast<rv_trade_event *>(out);
    event.header = {rv_trade, 0, 0, 0, time_of(data["E"]), received};
    event.header.instrument = instrument_of(decoder, data["s"]);
    event.trade_id = data["t"];
    event.price = decimal_of(data["p"]);
    event.quantity = decimal_of(data["q"]);
    event.trade_time = time_of(data["T"]);
    event.aggressor = bool(data["m"]);
    event.execution[0] = event.execution[1] = event.execution[2] = 0;
    return sizeof event;
}

size_t read_kline(const Decoder &decoder, ondemand::object data, int64_t received, uint8_t *out) {
    auto &event = *reinterpret_cast<rv_kline_event *>(out);
    event.header = {rv_kline, 1, 0, 0, time_of(data["E"]), received};
    event.header.instrument = instrument_of(decoder, data["s"]);
    ondemand::object bar = data["k"];
    event.open_time = time_of(bar["t"]);
    event.close_time = time_of(bar["T"]);
    if (std::string_view(bar["i"]) != "1m") throw simdjson_error(INCORRECT_TYPE);
    event.first_trade_id = bar["f"];
    event.last_trade_id = bar["L"];
    event.open = decimal_of(bar["o"]);
    event.close = decimal_of(bar["c"]);
    event.high = decimal_of(bar["h"]);
    event.low = decimal_of(bar["l"]);
    event.volume = decimal_of(bar["v"]);
    event.trade_count = bar["n"];
    event.is_closed = bool(bar["x"]);
    event.quote_volume = decimal_of(bar["q"]);
    event.taker_buy_volume = decimal_of(bar["V"]);
    event.taker_buy_quote_volume = decimal_of(bar["Q"]);
    return sizeof event;
}

size_t read_ticker(const Decoder &decoder, ondemand::object data, int64_t received, uint8_t *out) {
    auto &event = *reinterpret_cast<rv_ticker_event *>(out);
    event.header = {rv_ticker, 0, 0, 0, time_of(data["E"]), received};
    event.header.instrument = instrument_of(decoder, data["s"]);
    event.change = decimal_of(data["p"]);
    event.change_percent = decimal_of(data["P"]);
    event.weighted_average = decimal_of(data["w"]);
    event.previous_close = decimal_of(data["x"]);
    event.last = decimal_of(data["c"]);
    event.last_quantity = decimal_of(data["Q"]);
    event.bid = decimal_of(data["b"]);
    event.bid_quantity = decimal_of(data["B"]);
    event.ask = decimal_of(data["a"]);
    event.ask_quantity = decimal_of(data["A"]);
    event.open = decimal_of(data["o"]);
    event.high = decimal_of(data["h"]);
    event.low = decimal_of(data["l"]);
    event.volume = decimal_of(data["v"]);
    event.quote_volume = decimal_of(data["q"]);
    event.open_time = time_of(data["O"]);
    event.close_time = time_of(data["C"]);
    event.first_trade_id = data["F"];
    event.last_trade_id = data["L"];
    event.trade_count = data["n"];
    return sizeof event;
}

size_t decode_frame(Decoder &decoder, const char *frame, size_t length, int64_t received, uint8_t *out) {
    ondemand::document document = decoder.parser.iterate(frame, length, length + SIMDJSON_PADDING);
    const std::string_view stream = document["stream"];
    ondemand::object data = document["data"];
    const std::string_view kind = stream.substr(stream.find('@') + 1);
    if (kind == "trade") return read_trade(decoder, data, received, out);
    if (kind == "ticker") return read_ticker(decoder, data, received, out);
    if (kind == "kline_1m") return read_kline(decoder, data, received, out);
    return 0;
}

} // namespace

void *rv_plain_make(const char *const *symbols, size_t count) {
    auto decoder = new Decoder;
    decoder->names.assign(symbols, symbols + count);
    for (size_t i = 0; i < count; i++) decoder->instruments[decoder->names[i]] = uint32_t(i + 1);
    if (decoder->parser.allocate(1 << 20)) return nullptr;
    return decoder;
}

size_t rv_plain_decode(void *self, const uint8_t *base, const rv_slice *slices, size_t count, int64_t received, uint8_t *out) {
    Decoder &decoder = *static_cast<Decoder *>(self);
    size_t bytes = 0;
    try {
        for (size_t i = 0; i < count; i++) {
            const size_t size =
                decode_frame(decoder, reinterpret_cast<const char *>(base) + slices[i].offset, slices[i].length & 0x7FFFFFFF, received, out + bytes);
            if (!size) return 0;
            bytes += size;
        }
    } catch (const simdjson_error &) { return 0; }
    return bytes;
}

const char *rv_plain_name(void) {
    static const std::string name = "simdjson " + std::to_string(SIMDJSON_VERSION_MAJOR) + "." + std::to_string(SIMDJSON_VERSION_MINOR) + "." +
        std::to_string(SIMDJSON_VERSION_REVISION) + " On-Demand, " + get_active_implementation()->name() + ", as documented";
    return name.c_str();
}
