// What the socket clients share: options, the request for the streams, the count that is printed.
#pragma once
#include <sched.h>
#include <sys/resource.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "events.h"

struct Options {
    std::string port, authority, parse = "none", save;
    std::vector<std::string> symbols;
    double warm = 0.5, seconds = 2;
    long frames = 0;
    int cpu = -1;

    Options(int count, char **words) {
        for (int i = 1; i + 1 < count; i += 2) {
            const std::string name = words[i], value = words[i + 1];
            if (name == "--port") port = value;
            else if (name == "--authority") authority = value; // PEM; without it: no TLS
            else if (name == "--parse") parse = value;         // none | simdjson | simdjson-tuned | speculating
            else if (name == "--symbols") read_symbols(value); // a file, one a line
            else if (name == "--warm") warm = std::stod(value);
            else if (name == "--seconds") seconds = std::stod(value);
            else if (name == "--save") save = value; // write --frames frames there, each behind its length (4 bytes), and end
            else if (name == "--frames") frames = std::stol(value);
            else if (name == "--cpu") cpu = std::stoi(value);
            else throw std::runtime_error("unknown option " + name);
        }
        if (port.empty() || symbols.empty()) throw std::runtime_error("--port and --symbols are needed");
        if (cpu < 0) return;
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        if (sched_setaffinity(0, sizeof set, &set)) throw std::runtime_error("cannot be pinned to CPU " + std::to_string(cpu));
    }

    void read_symbols(const std::string &path) {
        std::ifstream file(path);
        for (std::string line; std::getline(file, line);)
            if (!line.empty()) symbols.push_back(line);
    }

    // Trades, klines of a minute and tickers of every symbol.
    std::string subscription() const {
        std::string text = "{\"method\":\"SUBSCRIBE\",\"params\":[";
        for (const auto &symbol : symbols) {
            std::string lower = symbol;
            for (auto &letter : lower) letter = char(tolower(letter));
            for (const char *kind : {"trade", "kline_1m", "ticker"}) {
                if (text.back() != '[') text += ',';
                text += '"' + lower + '@' + kind + '"';
            }
        }
        return text + "],\"id\":1}";
    }
};

// The decoder that was asked for, and where its events go, to be written over again and again.
class Parser {
  public:
    explicit Parser(const Options &options) : out_(8 << 20) {
        std::vector<const char *> names;
        for (const auto &symbol : options.symbols) names.push_back(symbol.c_str());
        if (options.parse == "simdjson") {
            self_ = rv_plain_make(names.data(), names.size());
            decode_ = rv_plain_decode;
        } else if (options.parse == "simdjson-tuned") {
            self_ = rv_simdjson_make(names.data(), names.size());
            decode_ = rv_simdjson_decode;
        } else if (options.parse == "speculating") {
            self_ = rv_speculating_make(names.data(), names.size());
            decode_ = rv_speculating_decode;
        } else if (options.parse != "none") {
            throw std::runtime_error("--parse is none, simdjson, simdjson-tuned or speculating");
        }
    }
    void take(const uint8_t *base, const rv_slice *slices, size_t count) {
        timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        if (decode_ && !decode_(self_, base, slices, count, now.tv_sec * 1000000000l + now.tv_nsec, out_.data()))
            throw std::runtime_error("a frame could not be read");
    }

  private:
    void *self_ = nullptr;
    rv_decode *decode_ = nullptr;
    std::vector<uint8_t> out_;
};

// Counts frames between two moments, and the CPU that the process took meanwhile.
class Count {
  public:
    explicit Count(const Options &options) : warm_(options.warm), seconds_(options.seconds) {}
    // True where the time is over; the result is then printed.
    bool add(size_t frames, size_t bytes) {
        const double time = now();
        if (!begin_) begin_ = time;
        if (!from_) {
            if (time - begin_ < warm_) return false;
            from_ = time;
            cpu_ = cpu();
            return false;
        }
        frames_ += frames;
        bytes_ += bytes;
        if (time - from_ < seconds_) return false;
        const double span = time - from_;
        printf("{\"frames\":%zu,\"seconds\":%.6f,\"framesPerSecond\":%.0f,\"bytesPerFrame\":%.1f,\"cpuNanosPerFrame\":%.1f}\n", frames_, span,
            double(frames_) / span, double(bytes_) / double(frames_), (cpu() - cpu_) * 1e9 / double(frames_));
        fflush(stdout);
        return true;
    }

  private:
    static double now() {
        timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        return double(time.tv_sec) + double(time.tv_nsec) * 1e-9;
    }
    static double cpu() {
        timespec time;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
        return double(time.tv_sec) + double(time.tv_nsec) * 1e-9;
    }
    const double warm_, seconds_;
    double begin_ = 0, from_ = 0, cpu_ = 0;
    size_t frames_ = 0, bytes_ = 0;
};
