// The client that somebody in a hurry would write by hand: one connection, OpenSSL, the trade's fields taken out by the
// key order that the exchange sends, a general reader where that fails. It answers one question: how long from the
// sender's stamp (E, µs, CLOCK_REALTIME of the same machine) until a trade stands parsed in memory.
//
//   client HOST PORT CA-FILE CPU spin|park SECONDS STREAM…
//
// Prints one JSON object: count and quantiles in ns. With `jitter` for HOST it connects nowhere: it spins on the CPU for
// so many seconds and prints how long the machine took the CPU away: jitter x x CPU x SECONDS.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what) {
    fprintf(stderr, "client: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

// Log-linear, 64 buckets for each power of two: 1.6 % wide.
enum { sub_bits = 6, buckets = (40 - sub_bits + 1) << sub_bits };
static uint64_t counts[buckets];
static uint64_t total;
static int64_t maximum;

static void record_weighted(int64_t nanos, uint64_t weight) {
    uint64_t value = nanos < 0 ? 0 : (uint64_t)nanos;
    int index = (int)value;
    if (value >= 1u << sub_bits) {
        int shift = 63 - __builtin_clzll(value) - sub_bits;
        index = ((shift + 1) << sub_bits) + (int)(value >> shift) - (1 << sub_bits);
    }
    if (index >= buckets) index = buckets - 1;
    counts[index] += weight;
    total += weight;
    if (nanos > maximum) maximum = nanos;
}

static void record(int64_t nanos) { record_weighted(nanos, 1); }

static int64_t quantile(double part) {
    uint64_t wanted = (uint64_t)(part * (double)total + 0.999999), seen = 0;
    for (int index = 0; index < buckets; index++) {
        seen += counts[index];
        if (seen < wanted || seen == 0) continue;
        if (index < 1 << sub_bits) return index;
        int shift = index / (1 << sub_bits) - 1;
        return (((int64_t)(index % (1 << sub_bits) + (1 << sub_bits) + 1)) << shift) - 1;
    }
    return maximum;
}

static void report(double seconds) {
    printf("{\"count\": %llu, \"seconds\": %.3f, \"p50\": %lld, \"p99\": %lld, \"p999\": %lld, \"max\": %lld}\n",
           (unsigned long long)total, seconds, (long long)quantile(0.5), (long long)quantile(0.99),
           (long long)quantile(0.999), (long long)maximum);
}

static void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) die("the CPU cannot be used");
}

// What a trade is parsed into: integers and decimals as digits and scale.
typedef struct {
    int64_t event_time, trade_time, trade_id, price, quantity;
    uint8_t price_scale, quantity_scale, is_buyer_maker;
    char symbol[24];
} trade;

static const char *skip(const char *at, const char *text) {
    size_t count = strlen(text);
    return at && memcmp(at, text, count) == 0 ? at + count : NULL;
}

static const char *integer(const char *at, int64_t *value) {
    if (!at) return NULL;
    int64_t number = 0;
    while (*at >= '0' && *at <= '9') number = number * 10 + (*at++ - '0');
    *value = number;
    return at;
}

static const char *decimal(const char *at, int64_t *value, uint8_t *scale) {
    if (!at) return NULL;
    int64_t number = 0;
    uint8_t digits = 0, after = 0;
    for (;; at++) {
        if (*at >= '0' && *at <= '9') {
            number = number * 10 + (*at - '0');
            digits += after;
        } else if (*at == '.') {
            after = 1;
        } else {
            break;
        }
    }
    *value = number;
    *scale = digits;
    return at;
}

static int parse_fast(const char *at, trade *out) {
    at = skip(at, "{\"stream\":\"");
    if (!at) return 0;
    while (*at != '"' && *at) at++;
    at = skip(at, "\",\"data\":{\"e\":\"trade\",\"E\":");
    at = skip(integer(at, &out->event_time), ",\"s\":\"");
    if (!at) return 0;
    size_t count = 0;
    while (*at != '"' && *at && count < sizeof out->symbol - 1) out->symbol[count++] = *at++;
    out->symbol[count] = 0;
    at = skip(integer(skip(at, "\",\"t\":"), &out->trade_id), ",\"p\":\"");
    at = skip(decimal(at, &out->price, &out->price_scale), "\",\"q\":\"");
    at = skip(decimal(at, &out->quantity, &out->quantity_scale), "\",\"T\":");
    at = skip(integer(at, &out->trade_time), ",\"m\":");
    if (!at) return 0;
    out->is_buyer_maker = *at == 't';
    return 1;
}

// Any key order, no white space: enough for what it must not lose.
static int parse_slow(const char *from, const char *end, trade *out) {
    const char *at = memmem(from, (size_t)(end - from), "\"E\":", 4);
    return at && integer(at + 4, &out->event_time) != NULL;
}

static volatile int64_t sink;

static void frame(const char *from, const char *end) {
    trade one = {0};
    if (!parse_fast(from, &one) && !parse_slow(from, end, &one)) return;
    if (one.event_time < 1000000000000000LL) return;  // An answer, or times in ms.
    record(now() - one.event_time * 1000);
    sink += one.price + one.quantity + one.trade_id;
}

static char buffer[1 << 20];
static size_t filled;

static void unframe(void) {
    size_t at = 0;
    while (filled - at >= 2) {
        const uint8_t *head = (const uint8_t *)buffer + at;
        size_t header = 2, length = head[1] & 127;
        if (length == 126) {
            if (filled - at < 4) break;
            length = (size_t)head[2] << 8 | head[3];
            header = 4;
        } else if (length == 127) {
            die("a frame of more than 64 KiB");
        }
        if (filled - at < header + length) break;
        if ((head[0] & 15) == 1) frame(buffer + at + header, buffer + at + header + length);
        at += header + length;
    }
    if (at == 0) return;
    filled -= at;
    memmove(buffer, buffer + at, filled);
}

static int dial(const char *host, const char *port) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(host, port, &hints, &found) != 0) die("no such host");
    for (struct addrinfo *one = found; one; one = one->ai_next) {
        int fd = socket(one->ai_family, SOCK_STREAM, 0);
        if (fd >= 0 && connect(fd, one->ai_addr, one->ai_addrlen) == 0) {
            int on = 1;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            freeaddrinfo(found);
            return fd;
        }
        if (fd >= 0) close(fd);
    }
    die("nobody listens there");
    return -1;
}

static void upgrade(SSL *ssl, const char *host, char **streams, int count) {
    static char text[1 << 16];
    int used = snprintf(text, sizeof text, "GET /stream?streams=");
    for (int index = 0; index < count; index++)
        used += snprintf(text + used, sizeof text - (size_t)used, "%s%s", index ? "/" : "", streams[index]);
    used += snprintf(text + used, sizeof text - (size_t)used,
                     "&timeUnit=MICROSECOND HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                     host);
    if (SSL_write(ssl, text, used) != used) die("the request could not be sent");
    for (;;) {
        int got = SSL_read(ssl, buffer + filled, (int)(sizeof buffer - filled));
        if (got <= 0) die("no answer to the upgrade");
        filled += (size_t)got;
        char *end = memmem(buffer, filled, "\r\n\r\n", 4);
        if (!end) continue;
        if (memcmp(buffer, "HTTP/1.1 101", 12) != 0) die("the upgrade was refused");
        size_t head = (size_t)(end + 4 - buffer);
        filled -= head;
        memmove(buffer, buffer + head, filled);
        return;
    }
}

// How long something that arrives at a random moment waits because the machine has taken the CPU away: of a gap of d ns
// between two looks at the clock, which so many in d arrivals fall into, anything up to d.
static void jitter(double seconds) {
    int64_t begin = now(), end = begin + (int64_t)(seconds * 1e9), before = begin;
    while (before < end) {
        int64_t after = now(), gap = after - before;
        // Two looks that follow each other at once.
        int slices = gap < 1000 ? 1 : 32;
        for (int slice = 0; slice < slices && gap > 0; slice++)
            record_weighted(gap < 1000 ? 0 : gap * (2 * slice + 1) / (2 * slices), (uint64_t)(gap / slices));
        before = after;
    }
    report(seconds);
}

int main(int count, char **words) {
    if (count < 7) die("usage: client HOST PORT CA-FILE CPU spin|park SECONDS STREAM…");
    pin(atoi(words[4]));
    double seconds = atof(words[6]);
    if (strcmp(words[1], "jitter") == 0) {
        jitter(seconds);
        return 0;
    }
    int parks = strcmp(words[5], "park") == 0;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context || SSL_CTX_load_verify_locations(context, words[3], NULL) != 1) die("no certificate authority");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_read_ahead(context, 1);
    SSL *ssl = SSL_new(context);
    SSL_set_default_read_buffer_len(ssl, 1 << 16);
    SSL_set_tlsext_host_name(ssl, words[1]);
    SSL_set1_host(ssl, words[1]);
    int fd = dial(words[1], words[2]);
    SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) != 1) die("the handshake failed");
    upgrade(ssl, words[1], words + 7, count - 7);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    // The first second is for caches, page tables and the sender's own start.
    int64_t begin = now(), warm = begin + 1000000000, end = warm + (int64_t)(seconds * 1e9);
    int is_warm = 0;
    for (;;) {
        int got = SSL_read(ssl, buffer + filled, (int)(sizeof buffer - filled));
        if (got > 0) {
            filled += (size_t)got;
            unframe();
            if (SSL_has_pending(ssl)) continue;
        } else if (SSL_get_error(ssl, got) != SSL_ERROR_WANT_READ) {
            die("the connection ended");
        }
        int64_t time = now();
        if (!is_warm && time >= warm) {
            memset(counts, 0, sizeof counts);
            total = 0;
            maximum = 0;
            is_warm = 1;
        }
        if (time >= end) break;
        if (parks && got <= 0) epoll_wait(epoll, &event, 1, 100);
    }
    report(seconds);
    return 0;
}
