// What the benchmarks' stand-ins for Pub/Sub share (nghttp2): requests put together from streams, fields of protobuf messages, and
// answers with message ids.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WINDOW = 16 << 20, ID = 17 };

typedef struct {
    const uint8_t *at;
    size_t size;
} span;

// A request and its answer.
typedef struct {
    int32_t id;
    int is_publish, is_rest;
    uint8_t *body;
    size_t used, room;
    uint8_t *answer;
    size_t answer_size, answer_at;
} stream;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

// MARK: protobuf

static size_t varint(const uint8_t *bytes, size_t count, uint64_t *value) {
    *value = 0;
    for (size_t i = 0; i < count && i < 10; i++) {
        *value |= (uint64_t)(bytes[i] & 0x7F) << (7 * i);
        if (bytes[i] < 0x80) return i + 1;
    }
    return 0;
}

// The next field; only those with a length are expected. 0: the end, -1: malformed.
static int next_field(span *rest, uint64_t *number, span *value) {
    if (rest->size == 0) return 0;
    uint64_t tag, size;
    size_t used = varint(rest->at, rest->size, &tag);
    if (!used || (tag & 7) != 2) return -1;
    size_t more = varint(rest->at + used, rest->size - used, &size);
    if (!more || size > rest->size - used - more) return -1;
    *number = tag >> 3;
    *value = (span){rest->at + used + more, size};
    rest->at += used + more + size;
    rest->size -= used + more + size;
    return 1;
}

// The message of a gRPC request.
static span message_of(const stream *s) { return s->used < 5 ? (span){0} : (span){s->body + 5, s->used - 5}; }

// MARK: answers

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

static void submit_answer(nghttp2_session *session, stream *s) {
    nghttp2_nv head[] = {
        {(uint8_t *)":status", (uint8_t *)"200", 7, 3, NGHTTP2_NV_FLAG_NONE},
        {(uint8_t *)"content-type", (uint8_t *)(s->is_rest ? "application/json" : "application/grpc"), 12, 16, NGHTTP2_NV_FLAG_NONE},
    };
    nghttp2_data_provider provider = {.source.ptr = s, .read_callback = read_answer};
    nghttp2_submit_response(session, s->id, head, 2, &provider);
}

// A PublishResponse with `count` ids from `first` on, as gRPC frames it.
static void answer_ids(nghttp2_session *session, stream *s, uint64_t first, size_t count) {
    s->answer_size = 5 + count * (ID + 2);
    s->answer = malloc(s->answer_size);
    uint8_t *out = s->answer;
    uint32_t size = htonl((uint32_t)(count * (ID + 2)));
    *out++ = 0;
    memcpy(out, &size, 4);
    out += 4;
    for (size_t i = 0; i < count; i++) {
        *out++ = 0x0A;
        *out++ = ID;
        uint64_t digits = first + i;
        for (int at = ID - 1; at >= 0; at--, digits /= 10) out[at] = (uint8_t)('0' + digits % 10);
        out += ID;
    }
    submit_answer(session, s);
}

// MARK: streams

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

// The request that a frame completes; NULL where it completes none, or its answer is there already.
static stream *completed(nghttp2_session *session, const nghttp2_frame *frame) {
    if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return NULL;
    stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    return s && !s->answer ? s : NULL;
}

// MARK: connections

static nghttp2_session_callbacks *make_callbacks(nghttp2_on_frame_recv_callback on_frame) {
    nghttp2_session_callbacks *callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    return callbacks;
}

static nghttp2_session *make_session(const nghttp2_session_callbacks *callbacks, void *context) {
    nghttp2_session *session;
    nghttp2_option *options;
    nghttp2_option_new(&options);
    // libcurl 7.88.1 resets each finished stream.
    nghttp2_option_set_stream_reset_rate_limit(options, 1u << 30, 1u << 30);
    nghttp2_session_server_new2(&session, callbacks, context, options);
    nghttp2_option_del(options);
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 100}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW}};
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 2);
    nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, WINDOW);
    return session;
}

// A connection that waits at a listener; -1: none.
static int accept_one(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
    if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

// A listener on loopback; `port` 0: any, which is told there.
static int listen_on(int *port) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)*port)};
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 128) ||
        getsockname(listener, (struct sockaddr *)&address, &size))
        fail("listen");
    *port = ntohs(address.sin_port);
    return listener;
}
