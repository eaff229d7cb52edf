// A Pub/Sub publisher service that counts messages and keeps nothing: HTTP/2 over TLS (nghttp2, OpenSSL, epoll), one thread.
// Publish by gRPC and by REST; any other gRPC call is answered with an empty message.
//
//     sink CERTIFICATE KEY [MS]  prints the port, serves until SIGTERM, then prints what it counted; MS: answers come so much later
//
// Build: cc -O2 -o sink sink.c -lnghttp2 -lssl -lcrypto
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW = 16 << 20, READ = 65536, ID = 17 };

typedef struct {
    int32_t id;
    int is_publish, is_rest;
    uint8_t *body;
    size_t used, room;
    uint8_t *answer;
    size_t answer_size, answer_at;
} stream;

typedef struct {
    int fd;
    SSL *ssl;
    nghttp2_session *session;
    const uint8_t *out;
    size_t out_left;
} connection;

// An answer that is to come later; all wait equally long, so the first in is the first out.
typedef struct waiting {
    connection *c;
    int32_t id;
    int64_t due;
    struct waiting *next;
} waiting;

static uint64_t messages, requests, body_bytes, billed_bytes, connections;
static waiting *first_waiting, **last_waiting = &first_waiting;
static int64_t delay;
static volatile sig_atomic_t stopped;
static int poller;

static void stop(int number) {
    (void)number;
    stopped = 1;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static size_t varint(const uint8_t *bytes, size_t count, uint64_t *value) {
    *value = 0;
    for (size_t i = 0; i < count && i < 10; i++) {
        *value |= (uint64_t)(bytes[i] & 0x7F) << (7 * i);
        if (bytes[i] < 0x80) return i + 1;
    }
    return 0;
}

// Fields of number 2 in a PublishRequest.
static size_t count_messages(const uint8_t *bytes, size_t count) {
    size_t found = 0, at = 0;
    while (at < count) {
        uint64_t tag, size;
        size_t used = varint(bytes + at, count - at, &tag);
        if (!used || (tag & 7) != 2) return 0;
        at += used;
        used = varint(bytes + at, count - at, &size);
        if (!used || size > count - at - used) return 0;
        at += used + size;
        found += tag >> 3 == 2;
    }
    return found;
}

// The next field, which must be of bytes; 0 at the end or where it cannot be read.
static int next_field(const uint8_t **at, const uint8_t *end, uint64_t *number, const uint8_t **content, size_t *size) {
    uint64_t tag, length;
    size_t used = varint(*at, (size_t)(end - *at), &tag);
    if (!used || (tag & 7) != 2) return 0;
    *at += used;
    used = varint(*at, (size_t)(end - *at), &length);
    if (!used || length > (uint64_t)(end - *at) - used) return 0;
    *number = tag >> 3;
    *content = *at + used;
    *size = (size_t)length;
    *at = *content + length;
    return 1;
}

// What Pub/Sub bills a PublishRequest as (https://cloud.google.com/pubsub/pricing): of each message the data, the keys and values of
// the attributes, the ordering key, 20 bytes of time and 16 of id; of each request at least 1,000 bytes.
static uint64_t bill(const uint8_t *bytes, size_t count) {
    const uint8_t *at = bytes, *end = bytes + count, *message, *field, *part;
    size_t message_size, size, part_size;
    uint64_t number, sum = 0;
    while (next_field(&at, end, &number, &message, &message_size)) {
        if (number != 2) continue;
        sum += 36;
        const uint8_t *inner = message, *stop = message + message_size;
        while (next_field(&inner, stop, &number, &field, &size)) {
            const uint8_t *entry = field;
            if (number != 2) sum += size;
            else
                while (next_field(&entry, field + size, &number, &part, &part_size)) sum += part_size;
        }
    }
    return sum < 1000 ? 1000 : sum;
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static size_t count_rest(const uint8_t *bytes, size_t count) {
    size_t found = 0;
    const uint8_t *at = bytes, *end = bytes + count;
    while ((at = memmem(at, (size_t)(end - at), "\"data\":", 7))) {
        found++;
        at += 7;
    }
    return found;
}

static ssize_t read_answer(nghttp2_session *session, int32_t id, uint8_t *out, size_t room, uint32_t *flags,
                           nghttp2_data_source *source, void *context) {
    (void)context;
    stream *s = source->ptr;
    size_t count = s->answer_size - s->answer_at < room ? s->answer_size - s->answer_at : room;
    memcpy(out, s->answer + s->answer_at, count);
    s->answer_at += count;
    if (s->answer_at == s->answer_size) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (!s->is_rest) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            nghttp2_nv trailer = {(uint8_t *)"grpc-status", (uint8_t *)"0", 11, 1, NGHTTP2_NV_FLAG_NONE};
            nghttp2_submit_trailer(session, id, &trailer, 1);
        }
    }
    return (ssize_t)count;
}

static void answer(nghttp2_session *session, stream *s) {
    size_t count = 0;
    if (s->is_rest) count = count_rest(s->body, s->used);
    else if (s->is_publish && s->used >= 5) count = count_messages(s->body + 5, s->used - 5);
    s->answer = malloc(64 + count * (ID + 4));
    char *out = (char *)s->answer;
    if (s->is_rest) {
        out += sprintf(out, "{\"messageIds\":[");
        for (size_t i = 0; i < count; i++) out += sprintf(out, "%s\"%017llu\"", i ? "," : "", (unsigned long long)(messages + i));
        out += sprintf(out, "]}");
    } else {
        uint32_t size = htonl((uint32_t)(count * (ID + 2)));
        *out++ = 0;
        memcpy(out, &size, 4);
        out += 4;
        for (size_t i = 0; i < count; i++) {
            *out++ = 0x0A;
            *out++ = ID;
            uint64_t digits = messages + i;
            for (int at = ID - 1; at >= 0; at--, digits /= 10) out[at] = (char)('0' + digits % 10);
            out += ID;
        }
    }
    s->answer_size = (size_t)(out - (char *)s->answer);
    messages += count;
    requests++;
    body_bytes += s->used;
    if (s->is_publish && s->used >= 5) billed_bytes += bill(s->body + 5, s->used - 5);
    nghttp2_nv head[] = {
        {(uint8_t *)":status", (uint8_t *)"200", 7, 3, NGHTTP2_NV_FLAG_NONE},
        {(uint8_t *)"content-type", (uint8_t *)(s->is_rest ? "application/json" : "application/grpc"), 12, 16, NGHTTP2_NV_FLAG_NONE},
    };
    nghttp2_data_provider provider = {.source.ptr = s, .read_callback = read_answer};
    nghttp2_submit_response(session, s->id, head, 2, &provider);
}

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    (void)context;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    stream *s = calloc(1, sizeof *s);
    s->id = frame->hd.stream_id;
    nghttp2_session_set_stream_user_data(session, s->id, s);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_size, const uint8_t *value,
                     size_t value_size, uint8_t flags, void *context) {
    (void)flags, (void)context;
    stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (s && name_size == 5 && memcmp(name, ":path", 5) == 0) {
        s->is_publish = value_size > 8 && memcmp(value + value_size - 8, "/Publish", 8) == 0;
        s->is_rest = value_size > 8 && memcmp(value + value_size - 8, ":publish", 8) == 0;
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t count, void *context) {
    (void)flags, (void)context;
    stream *s = nghttp2_session_get_stream_user_data(session, id);
    if (!s) return 0;
    if (s->used + count > s->room) {
        s->room = (s->used + count) * 2;
        s->body = realloc(s->body, s->room);
    }
    memcpy(s->body + s->used, data, count);
    s->used += count;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
    stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!s || s->answer) return 0;
    if (!delay) {
        answer(session, s);
        return 0;
    }
    waiting *w = calloc(1, sizeof *w);
    *w = (waiting){.c = context, .id = frame->hd.stream_id, .due = now() + delay};
    *last_waiting = w;
    last_waiting = &w->next;
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *context) {
    (void)code, (void)context;
    stream *s = nghttp2_session_get_stream_user_data(session, id);
    if (s) {
        free(s->body);
        free(s->answer);
        free(s);
    }
    return 0;
}

static int choose(SSL *ssl, const unsigned char **out, unsigned char *size, const unsigned char *in, unsigned int count, void *context) {
    (void)ssl, (void)context;
    for (unsigned at = 0; at + 1 <= count; at += in[at] + 1u) {
        if (in[at] == 2 && at + 3 <= count && memcmp(in + at + 1, "h2", 2) == 0) {
            *out = in + at + 1;
            *size = 2;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void drop(connection *c) {
    for (waiting *w = first_waiting; w; w = w->next)
        if (w->c == c) w->c = NULL;
    epoll_ctl(poller, EPOLL_CTL_DEL, c->fd, NULL);
    nghttp2_session_del(c->session);
    SSL_free(c->ssl);
    close(c->fd);
    free(c);
}

// 0: may go on; -1: it is over.
static int send_all(connection *c) {
    for (;;) {
        if (c->out_left == 0) {
            ssize_t count = nghttp2_session_mem_send(c->session, &c->out);
            if (count < 0) return -1;
            if (count == 0) break;
            c->out_left = (size_t)count;
        }
        int count = SSL_write(c->ssl, c->out, (int)c->out_left);
        if (count <= 0) {
            int error = SSL_get_error(c->ssl, count);
            return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
        }
        c->out += count;
        c->out_left -= (size_t)count;
    }
    return nghttp2_session_want_read(c->session) || nghttp2_session_want_write(c->session) ? 0 : -1;
}

static int serve(connection *c) {
    static uint8_t buffer[READ];
    for (;;) {
        int count = SSL_read(c->ssl, buffer, sizeof buffer);
        if (count > 0) {
            if (nghttp2_session_mem_recv(c->session, buffer, (size_t)count) < 0) return -1;
        } else {
            int error = SSL_get_error(c->ssl, count);
            if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return -1;
            break;
        }
    }
    return send_all(c);
}

// Answers what is due. Milliseconds until the next is; a second where none waits.
static int answer_due(void) {
    int64_t time = now();
    while (first_waiting && first_waiting->due <= time) {
        waiting *w = first_waiting;
        first_waiting = w->next;
        if (!first_waiting) last_waiting = &first_waiting;
        connection *c = w->c;
        stream *s = c ? nghttp2_session_get_stream_user_data(c->session, w->id) : NULL;
        free(w);
        if (!s) continue;
        answer(c->session, s);
        if (send_all(c) != 0) drop(c);
    }
    return first_waiting ? (int)((first_waiting->due - time + 999999) / 1000000) : 1000;
}

static void welcome(int listener, SSL_CTX *tls, nghttp2_session_callbacks *callbacks) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connection *c = calloc(1, sizeof *c);
    c->fd = fd;
    c->ssl = SSL_new(tls);
    SSL_set_fd(c->ssl, fd);
    SSL_set_accept_state(c->ssl);
    nghttp2_option *options;
    nghttp2_option_new(&options);
    // libcurl 7.88.1 resets each finished stream.
    nghttp2_option_set_stream_reset_rate_limit(options, 1u << 30, 1u << 30);
    nghttp2_session_server_new2(&c->session, callbacks, c, options);
    nghttp2_option_del(options);
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 100}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW}};
    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 2);
    nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, WINDOW);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    connections++;
}

int main(int count, char **arguments) {
    if (count != 3 && count != 4) {
        fprintf(stderr, "usage: sink CERTIFICATE KEY [MILLISECONDS]\n");
        return 64;
    }
    delay = count == 4 ? atoi(arguments[3]) * 1000000LL : 0;
    signal(SIGPIPE, SIG_IGN);
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_alpn_select_cb(tls, choose, NULL);
    if (SSL_CTX_use_certificate_chain_file(tls, arguments[1]) != 1 || SSL_CTX_use_PrivateKey_file(tls, arguments[2], SSL_FILETYPE_PEM) != 1)
        fail("certificate");
    nghttp2_session_callbacks *callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 128) || getsockname(listener, (struct sockaddr *)&address, &size))
        fail("listen");
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    while (!stopped) {
        struct epoll_event events[64];
        int ready = epoll_wait(poller, events, 64, answer_due());
        for (int i = 0; i < ready; i++) {
            if (!events[i].data.ptr) welcome(listener, tls, callbacks);
            else if (serve(events[i].data.ptr) != 0) drop(events[i].data.ptr);
        }
    }
    printf("{\"messages\":%llu,\"requests\":%llu,\"bytes\":%llu,\"billed\":%llu,\"connections\":%llu}\n", (unsigned long long)messages,
           (unsigned long long)requests, (unsigned long long)body_bytes, (unsigned long long)billed_bytes, (unsigned long long)connections);
    return 0;
}
