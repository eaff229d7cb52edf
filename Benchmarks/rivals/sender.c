// Sends ready-made frames to one client after the other, as fast as each takes them. All frames of a client are made, and for
// TLS encrypted, before the first goes, so that the sender's work is a copy into the socket.
//   sender --frames FILE --count N --streams N [--certificate PEM --key PEM --records shared|single] [--cpu N]
// FILE: frames as `hand_client --save` writes them. They are repeated until there are N, each time with ids and times that go on.
// Prints {"port":P}, then waits for clients until it is ended.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { record_bytes = 16384, send_bytes = 1 << 18, symbol_limit = 1024 };

static void fail(const char *what) {
    fprintf(stderr, "sender: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

// --- Frames

// A number inside of a frame that grows with each repetition.
struct field {
    uint16_t offset, digits;
    int64_t value, step;
};

struct frame {
    const char *bytes;
    uint16_t length;
    struct field fields[3];
    int symbol;
};

static struct frame *frames;
static size_t frame_count;
static int64_t trades[symbol_limit];
static char names[symbol_limit][24];

static int symbol_index(const char *name, size_t length) {
    for (int i = 0; i < symbol_limit; i++) {
        if (!names[i][0]) memcpy(names[i], name, length);
        if (strlen(names[i]) == length && !memcmp(names[i], name, length)) return i;
    }
    fail("too many symbols");
    return -1;
}

static void find(struct frame *frame, int place, const char *key, int64_t step) {
    const char *at = memmem(frame->bytes, frame->length, key, strlen(key));
    if (!at) fail("a frame lacks a key that all have");
    at += strlen(key);
    char *end;
    struct field *field = &frame->fields[place];
    field->value = strtoll(at, &end, 10);
    field->offset = (uint16_t)(at - frame->bytes);
    field->digits = (uint16_t)(end - at);
    field->step = step;
}

static void load(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(path);
    fseek(file, 0, SEEK_END);
    const size_t size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(size + 1);
    if (!bytes || fread(bytes, 1, size, file) != size) fail(path);
    bytes[size] = 0;
    fclose(file);
    frames = calloc(size / 16 + 1, sizeof *frames);
    int64_t first = INT64_MAX, last = 0;
    for (size_t at = 0; at + 4 < size;) {
        uint32_t length;
        memcpy(&length, bytes + at, 4);
        struct frame *frame = &frames[frame_count++];
        if (length > UINT16_MAX || at + 4 + length > size) fail("the file with the frames is cut off");
        *frame = (struct frame){.bytes = bytes + at + 4, .length = (uint16_t)length, .symbol = -1};
        find(frame, 0, "\"E\":", 0);
        if (frame->fields[0].value < first) first = frame->fields[0].value;
        if (frame->fields[0].value > last) last = frame->fields[0].value;
        const char *name = memmem(frame->bytes, length, "{\"stream\":\"", 11), *type = memmem(frame->bytes, length, "@trade\"", 7);
        if (name && type) {
            frame->symbol = symbol_index(name + 11, (size_t)(type - name) - 11);
            trades[frame->symbol]++;
            find(frame, 1, "\"t\":", 0);
            find(frame, 2, "\"T\":", 0);
        }
        at += 4 + length;
    }
    if (!frame_count) fail("no frames in the file");
    for (size_t i = 0; i < frame_count; i++) {
        frames[i].fields[0].step = frames[i].fields[2].step = last - first + 1;
        if (frames[i].symbol >= 0) frames[i].fields[1].step = trades[frames[i].symbol];
    }
}

// The frame with its WebSocket header; the number of bytes.
static size_t write_frame(char *to, const struct frame *frame, int64_t round) {
    size_t header = 2;
    to[0] = (char)0x81;
    if (frame->length < 126) {
        to[1] = (char)frame->length;
    } else {
        to[1] = 126;
        to[2] = (char)(frame->length >> 8);
        to[3] = (char)frame->length;
        header = 4;
    }
    memcpy(to + header, frame->bytes, frame->length);
    for (int i = 0; i < 3; i++) {
        const struct field *field = &frame->fields[i];
        if (!field->digits) continue;
        int64_t value = field->value + round * field->step;
        for (int digit = field->digits - 1; digit >= 0; digit--, value /= 10) to[header + field->offset + digit] = (char)('0' + value % 10);
        if (value) fail("ids have become longer: a smaller --count");
    }
    return header + frame->length;
}

// --- One client

static int client;
static SSL *ssl;

static void put(const char *bytes, size_t count) {
    while (count) {
        const ssize_t done = ssl ? SSL_write(ssl, bytes, (int)count) : send(client, bytes, count, MSG_NOSIGNAL);
        if (done <= 0) fail("cannot answer a client");
        bytes += done, count -= (size_t)done;
    }
}

static size_t get(char *to, size_t room) {
    const ssize_t count = ssl ? SSL_read(ssl, to, (int)room) : recv(client, to, room, 0);
    if (count <= 0) fail("a client ended before it had subscribed");
    return (size_t)count;
}

static void upgrade(void) {
    char request[8192], answer[256], accept[64];
    size_t filled = 0;
    do {
        if (filled == sizeof request - 1) fail("a request that is too long");
        filled += get(request + filled, 1);
        request[filled] = 0;
    } while (!strstr(request, "\r\n\r\n"));
    char *key = strcasestr(request, "\r\nSec-WebSocket-Key:");
    if (!key) fail("a request without a key");
    key += 20;
    key += strspn(key, " ");
    char joined[128];
    snprintf(joined, sizeof joined, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (int)strcspn(key, "\r"), key);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length;
    if (EVP_Digest(joined, strlen(joined), digest, &length, EVP_sha1(), NULL) != 1) fail("no SHA-1");
    EVP_EncodeBlock((unsigned char *)accept, digest, (int)length);
    const int count = snprintf(answer, sizeof answer,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
    put(answer, (size_t)count);
}

// Until so many streams were asked for.
static void subscribe(int streams) {
    static char request[1 << 16];
    for (int asked = 0; asked < streams;) {
        size_t filled = 0, header, length;
        do {
            filled += get(request + filled, 1);
            length = filled > 1 ? (size_t)request[1] & 0x7F : 0;
            header = length == 126 ? 8 : 6;
            if (filled >= 4 && length == 126) length = (size_t)(unsigned char)request[2] << 8 | (unsigned char)request[3];
            if (length == 127 || header + length >= sizeof request) fail("a request that is too long");
        } while (filled < header || filled < header + length);
        const char *mask = request + header - 4;
        char *text = request + header;
        for (size_t i = 0; i < length; i++) text[i] ^= mask[i & 3];
        text[length] = 0;
        for (const char *at = text; (at = strchr(at, '@')); at++) asked++;
        const char *id = strstr(text, "\"id\":");
        char answer[64];
        const int count = snprintf(answer + 2, sizeof answer - 2, "{\"result\":null,\"id\":%ld}", id ? atol(id + 5) : 0);
        answer[0] = (char)0x81, answer[1] = (char)count;
        put(answer, (size_t)count + 2);
    }
}

static char *ready;
static size_t ready_room, ready_bytes;

// What was written goes into `ready`.
static void collect(BIO *memory) {
    char *bytes;
    const size_t count = (size_t)BIO_get_mem_data(memory, &bytes);
    if (ready_bytes + count > ready_room) fail("no room for so many frames");
    memcpy(ready + ready_bytes, bytes, count);
    ready_bytes += count;
    BIO_reset(memory);
}

static void make_ready(size_t count, int single) {
    static char plain[record_bytes + UINT16_MAX + 8];
    size_t filled = 0;
    BIO *memory = NULL;
    ready_bytes = 0;
    if (ssl) {
        memory = BIO_new(BIO_s_mem());
        SSL_set0_wbio(ssl, memory);
    }
    for (size_t i = 0; i < count; i++) {
        const size_t length = write_frame(plain + filled, &frames[i % frame_count], (int64_t)(i / frame_count));
        filled += length;
        const int is_last = i + 1 == count;
        if (!ssl) {
            if (ready_bytes + filled > ready_room) fail("no room for so many frames");
            memcpy(ready + ready_bytes, plain, filled);
            ready_bytes += filled, filled = 0;
            continue;
        }
        // As many whole frames as a record takes.
        if (!single && filled <= record_bytes && !is_last) continue;
        const size_t now = single || filled <= record_bytes ? filled : filled - length;
        if (SSL_write(ssl, plain, (int)now) != (int)now) fail("cannot encrypt");
        collect(memory);
        memmove(plain, plain + now, filled - now);
        filled -= now;
    }
}

static SSL_CTX *context(const char *certificate, const char *key) {
    SSL_CTX *made = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION);
    if (SSL_CTX_use_certificate_chain_file(made, certificate) != 1 || SSL_CTX_use_PrivateKey_file(made, key, SSL_FILETYPE_PEM) != 1)
        fail("the certificate or its key cannot be read");
    return made;
}

int main(int count, char **words) {
    const char *path = NULL, *certificate = NULL, *key = NULL;
    size_t wanted = 0;
    int streams = 1, single = 0, cpu = -1;
    for (int i = 1; i + 1 < count; i += 2) {
        const char *name = words[i], *value = words[i + 1];
        if (!strcmp(name, "--frames")) path = value;
        else if (!strcmp(name, "--count")) wanted = strtoul(value, NULL, 10);
        else if (!strcmp(name, "--streams")) streams = atoi(value);
        else if (!strcmp(name, "--certificate")) certificate = value;
        else if (!strcmp(name, "--key")) key = value;
        else if (!strcmp(name, "--records")) single = !strcmp(value, "single");
        else if (!strcmp(name, "--cpu")) cpu = atoi(value);
        else fail("an unknown option");
    }
    if (!path || !wanted) fail("--frames and --count are needed");
    signal(SIGPIPE, SIG_IGN);
    load(path);
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (cpu >= 0 && sched_setaffinity(0, sizeof set, &set)) fail("cannot be pinned");
    size_t bytes = 0;
    for (size_t i = 0; i < frame_count; i++) bytes += frames[i].length + 4 + (certificate && single ? 22 : 1);
    ready_room = (bytes / frame_count + 1) * wanted + (1 << 20);
    ready = mmap(NULL, ready_room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ready == MAP_FAILED) fail("no memory for so many frames");
    // In pages of 4 KiB the sender's own copies are what limits.
    madvise(ready, ready_room, MADV_HUGEPAGE);
    SSL_CTX *tls = certificate && key ? context(certificate, key) : NULL;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4) ||
        getsockname(listener, (struct sockaddr *)&address, &length))
        fail("cannot listen");
    printf("{\"port\":%d}\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0) fail("cannot accept");
        const int on = 1;
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (tls) {
            ssl = SSL_new(tls);
            SSL_set_fd(ssl, client);
            if (SSL_accept(ssl) != 1) fail("the TLS handshake failed");
        }
        upgrade();
        subscribe(streams);
        make_ready(wanted, single);
        size_t at = 0;
        while (at < ready_bytes) {
            const size_t now = ready_bytes - at < send_bytes ? ready_bytes - at : send_bytes;
            const ssize_t sent = send(client, ready + at, now, MSG_NOSIGNAL);
            if (sent <= 0) break; // It has what it wanted.
            at += (size_t)sent;
        }
        if (at == ready_bytes) fprintf(stderr, "sender: all %zu frames are gone before the client had enough\n", wanted);
        if (ssl) SSL_free(ssl);
        ssl = NULL;
        close(client);
    }
}
