// A Pub/Sub publisher service that counts messages and keeps nothing: HTTP/2 over TLS (nghttp2, OpenSSL, epoll), one thread.
// Publish by gRPC and by REST; any other gRPC call is answered with an empty message.
//
//     sink CERTIFICATE KEY [MS]  prints the port, serves until SIGTERM, then prints what it counted; MS: answers come so much later
//
// Build: cc -O2 -o sink sink.c -lnghttp2 -lssl -lcrypto
#define _GNU_SOURCE
#include "../pubsub/server.h"

#include <openssl/ssl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <time.h>

enum { READ = 65536 };

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

// What Pub/Sub bills a PublishRequest as (https://cloud.google.com/pubsub/pricing): of each message the data, the keys and values of
// the attributes, the ordering key, 20 bytes of time and 16 of id; of each request at least 1,000 bytes.
static uint64_t bill(span request) {
    span message, field, part;
    uint64_t number, sum = 0;
    while (next_field(&request, &number, &message) > 0) {
        if (number != 2) continue;
        sum += 36;
        while (next_field(&message, &number, &field) > 0) {
            if (number != 2) sum += field.size;
            else
                while (next_field(&field, &number, &part) > 0) sum += part.size;
        }
    }
    return sum < 1000 ? 1000 : sum;
}

// Fields of number 2 in a PublishRequest; 0 where it is malformed.
static size_t count_messages(span request) {
    size_t found = 0;
    span field;
    uint64_t number;
    int state;
    while ((state = next_field(&request, &number, &field)) > 0) found += number == 2;
    return state < 0 ? 0 : found;
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

static void answer(nghttp2_session *session, stream *s) {
    size_t count = s->is_rest ? count_rest(s->body, s->used) : s->is_publish ? count_messages(message_of(s)) : 0;
    if (s->is_rest) {
        s->answer = malloc(64 + count * (ID + 4));
        char *out = (char *)s->answer;
        out += sprintf(out, "{\"messageIds\":[");
        for (size_t i = 0; i < count; i++) out += sprintf(out, "%s\"%017llu\"", i ? "," : "", (unsigned long long)(messages + i));
        out += sprintf(out, "]}");
        s->answer_size = (size_t)(out - (char *)s->answer);
        submit_answer(session, s);
    } else {
        answer_ids(session, s, messages, count);
    }
    messages += count;
    requests++;
    body_bytes += s->used;
    if (s->is_publish && s->used >= 5) billed_bytes += bill(message_of(s));
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    stream *s = completed(session, frame);
    if (!s) return 0;
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
    int fd = accept_one(listener);
    if (fd < 0) return;
    connection *c = calloc(1, sizeof *c);
    c->fd = fd;
    c->ssl = SSL_new(tls);
    SSL_set_fd(c->ssl, fd);
    SSL_set_accept_state(c->ssl);
    c->session = make_session(callbacks, c);
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
    nghttp2_session_callbacks *callbacks = make_callbacks(on_frame);
    int port = 0, listener = listen_on(&port);
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    printf("%d\n", port);
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
