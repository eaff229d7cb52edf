// A Pub/Sub publisher service that goes away and comes back as it is told, and checks what it is given: gRPC over cleartext HTTP/2
// (nghttp2, epoll), one thread.
//
//     service            prints its port, then obeys lines on standard input:
//       away             closes the listener and all connections, in the middle of whatever they carry
//       stall            goes on reading, but answers nothing more
//       back             listens again on the same port, and answers
//       report FILE      writes what it has seen to FILE as JSON, then prints {"reported":true}
//
// Every 100 ms in which something came it prints a line: new events, events again, bytes, and how old the events were when they came.
//
// For each message: the same batch_id again must be the same message byte for byte; of each topic and run the sequences must follow each
// other without a hole. Answers are given when the message was checked.
//
// Build: cc -O2 -o service service.c -lnghttp2
#define _GNU_SOURCE
#include "../pubsub/server.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <time.h>

enum { READ = 1 << 18, FAULTS = 20, CONNECTIONS = 256 };

typedef struct {
    int fd;
    nghttp2_session *session;
    const uint8_t *out;
    size_t out_left;
} connection;

// A process of the collector: digests of its batches by their number, 0: not received.
typedef struct {
    uint64_t id, *digests;
    size_t room;
    uint64_t last;
} run;

// What of a topic came from one run.
typedef struct {
    uint64_t key, next;
} line;

static run runs[4096];
static size_t run_count;
static line *lines;
static size_t line_room, line_count;
static uint64_t events, repeated_events, messages, requests, body_bytes, connections, altered, disordered, malformed;
static char faults[FAULTS][256];
static size_t fault_count;
static connection *open_connections[CONNECTIONS];
static int poller, listener = -1, port, stalled;
// Of the current 100 ms.
static uint64_t new_events, again_events, new_bytes, new_requests, new_messages;
static int64_t oldest = -1, newest = -1, told_at;

static int64_t now_nanos(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

#define FAULT(...)                                                                     \
    do {                                                                               \
        if (fault_count < FAULTS) snprintf(faults[fault_count++], 256, __VA_ARGS__);   \
    } while (0)

static uint64_t digest(span s, uint64_t h) {
    h ^= s.size * 0x9E3779B97F4A7C15u;
    while (s.size >= 8) {
        uint64_t word;
        memcpy(&word, s.at, 8);
        h = (h ^ word) * 0xD6E8FEB86659FD93u;
        h ^= h >> 32;
        s.at += 8;
        s.size -= 8;
    }
    for (; s.size; s.size--, s.at++) h = (h ^ *s.at) * 0x100000001B3u;
    h ^= h >> 29;
    return h ? h : 1;
}

static int is(span s, const char *text) { return s.size == strlen(text) && memcmp(s.at, text, s.size) == 0; }

static uint64_t decimal(span s) {
    uint64_t value = 0;
    for (size_t i = 0; i < s.size; i++) value = value * 10 + (uint64_t)(s.at[i] - '0');
    return value;
}

static run *run_of(uint64_t id) {
    for (size_t i = run_count; i-- > 0;)
        if (runs[i].id == id) return &runs[i];
    if (run_count == sizeof runs / sizeof *runs) {
        fprintf(stderr, "too many runs\n");
        exit(1);
    }
    runs[run_count].id = id;
    return &runs[run_count++];
}

static line *line_of(uint64_t key) {
    if (line_count * 2 >= line_room) {
        size_t old_room = line_room;
        line *old = lines;
        line_room = line_room ? line_room * 2 : 4096;
        lines = calloc(line_room, sizeof *lines);
        for (size_t i = 0; i < old_room; i++) {
            if (!old[i].key) continue;
            size_t at = old[i].key & (line_room - 1);
            while (lines[at].key) at = (at + 1) & (line_room - 1);
            lines[at] = old[i];
        }
        free(old);
    }
    size_t at = key & (line_room - 1);
    while (lines[at].key && lines[at].key != key) at = (at + 1) & (line_room - 1);
    if (!lines[at].key) {
        lines[at] = (line){key, 1};
        line_count++;
    }
    return &lines[at];
}

static int take_message(span topic, span message, int64_t now) {
    uint64_t number, first = 0, last = 0, count = 0, event_time = 0;
    span rest = message, value, batch = {0};
    int state;
    while ((state = next_field(&rest, &number, &value)) > 0) {
        if (number != 2) continue;
        span entry = value, key = {0}, text = {0}, part;
        uint64_t field;
        while (next_field(&entry, &field, &part) > 0) *(field == 1 ? &key : &text) = part;
        if (is(key, "batch_id")) batch = text;
        else if (is(key, "count")) count = decimal(text);
        else if (is(key, "first_sequence")) first = decimal(text);
        else if (is(key, "last_sequence")) last = decimal(text);
        else if (is(key, "last_event_time")) event_time = decimal(text);
    }
    if (state < 0 || batch.size < 18 || batch.at[16] != '-' || !count || !first || last < first) return -1;
    uint64_t id = 0;
    for (size_t i = 0; i < 16; i++) {
        uint8_t c = batch.at[i];
        id = id << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    uint64_t batch_number = decimal((span){batch.at + 17, batch.size - 17});
    run *r = run_of(id);
    if (batch_number >= r->room) {
        size_t room = r->room ? r->room : 1024;
        while (room <= batch_number) room *= 2;
        r->digests = realloc(r->digests, room * sizeof *r->digests);
        memset(r->digests + r->room, 0, (room - r->room) * sizeof *r->digests);
        r->room = room;
    }
    if (batch_number > r->last) r->last = batch_number;
    uint64_t mark = digest(message, 1);
    messages++;
    new_messages++;
    if (r->digests[batch_number]) {
        if (r->digests[batch_number] != mark) {
            altered++;
            FAULT("batch %.*s came again with other contents", (int)batch.size, batch.at);
        }
        repeated_events += count;
        again_events += count;
        return 0;
    }
    r->digests[batch_number] = mark;
    line *l = line_of(digest(topic, id));
    if (first != l->next) {
        disordered++;
        FAULT("%.*s: batch %.*s begins with sequence %llu, not %llu", (int)topic.size, topic.at, (int)batch.size, batch.at,
              (unsigned long long)first, (unsigned long long)l->next);
    }
    l->next = last + 1;
    events += count;
    new_events += count;
    int64_t age = now - (int64_t)event_time;
    if (oldest < 0 || age > oldest) oldest = age;
    if (newest < 0 || age < newest) newest = age;
    return 0;
}

// Returns how many messages there were; -1 where something is malformed.
static int take_request(span body) {
    span rest = body, topic = {0}, value;
    uint64_t number;
    int count = 0, state;
    int64_t now = now_nanos();
    while ((state = next_field(&rest, &number, &value)) > 0) {
        if (number == 1) topic = value;
        if (number != 2) continue;
        if (take_message(topic, value, now) < 0) return -1;
        count++;
    }
    requests++;
    new_requests++;
    body_bytes += body.size;
    new_bytes += body.size;
    return state < 0 ? -1 : count;
}

static void answer(nghttp2_session *session, stream *s) {
    int count = 0;
    if (s->is_publish && s->used >= 5) count = take_request(message_of(s));
    if (count < 0) {
        malformed++;
        FAULT("a request is malformed");
        count = 0;
    }
    if (stalled) return;
    answer_ids(session, s, messages, (size_t)count);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context) {
    (void)context;
    stream *s = completed(session, frame);
    if (s) answer(session, s);
    return 0;
}

static void drop(int index) {
    connection *c = open_connections[index];
    open_connections[index] = NULL;
    // RST rather than FIN, as when a machine is gone.
    struct linger linger = {1, 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    nghttp2_session_del(c->session);
    close(c->fd);
    free(c);
}

// 0: may go on; -1: it is over.
static int serve(connection *c) {
    static uint8_t buffer[READ];
    for (;;) {
        ssize_t count = read(c->fd, buffer, sizeof buffer);
        if (count > 0) {
            if (nghttp2_session_mem_recv(c->session, buffer, (size_t)count) < 0) return -1;
        } else if (count == 0) {
            return -1;
        } else {
            if (errno != EAGAIN) return -1;
            break;
        }
    }
    for (;;) {
        if (c->out_left == 0) {
            ssize_t count = nghttp2_session_mem_send(c->session, &c->out);
            if (count < 0) return -1;
            if (count == 0) break;
            c->out_left = (size_t)count;
        }
        ssize_t count = write(c->fd, c->out, c->out_left);
        if (count < 0) return errno == EAGAIN ? 0 : -1;
        c->out += count;
        c->out_left -= (size_t)count;
    }
    return nghttp2_session_want_read(c->session) || nghttp2_session_want_write(c->session) ? 0 : -1;
}

static void welcome(nghttp2_session_callbacks *callbacks) {
    int fd = accept_one(listener);
    if (fd < 0) return;
    int index = 0;
    while (index < CONNECTIONS && open_connections[index]) index++;
    if (index == CONNECTIONS) {
        close(fd);
        return;
    }
    connection *c = calloc(1, sizeof *c);
    c->fd = fd;
    c->session = make_session(callbacks, c);
    open_connections[index] = c;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u64 = (uint64_t)index};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    connections++;
}

static void start_listening(void) {
    if (listener >= 0) return;
    listener = listen_on(&port);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = CONNECTIONS};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
}

static void go_away(void) {
    if (listener >= 0) close(listener);
    listener = -1;
    for (int i = 0; i < CONNECTIONS; i++)
        if (open_connections[i]) drop(i);
}

static void report(const char *path) {
    FILE *file = fopen(path, "w");
    if (!file) fail(path);
    fprintf(file,
            "{\"events\":%llu,\"repeatedEvents\":%llu,\"messages\":%llu,\"requests\":%llu,\"bytes\":%llu,\"connections\":%llu,"
            "\"altered\":%llu,\"disordered\":%llu,\"malformed\":%llu,\"faults\":[",
            (unsigned long long)events, (unsigned long long)repeated_events, (unsigned long long)messages, (unsigned long long)requests,
            (unsigned long long)body_bytes, (unsigned long long)connections, (unsigned long long)altered, (unsigned long long)disordered,
            (unsigned long long)malformed);
    for (size_t i = 0; i < fault_count; i++) fprintf(file, "%s\"%s\"", i ? "," : "", faults[i]);
    // Of each run the numbers of the batches that came, as ranges.
    fprintf(file, "],\"runs\":{");
    for (size_t i = 0; i < run_count; i++) {
        fprintf(file, "%s\"%016llx\":[", i ? "," : "", (unsigned long long)runs[i].id);
        int is_first = 1;
        for (uint64_t n = 0; n <= runs[i].last; n++) {
            if (!runs[i].digests[n]) continue;
            uint64_t to = n;
            while (to < runs[i].last && runs[i].digests[to + 1]) to++;
            fprintf(file, "%s[%llu,%llu]", is_first ? "" : ",", (unsigned long long)n, (unsigned long long)to);
            is_first = 0;
            n = to;
        }
        fprintf(file, "]");
    }
    fprintf(file, "}}\n");
    fclose(file);
    printf("{\"reported\":true}\n");
    fflush(stdout);
}

static void tell(int64_t now) {
    if (now - told_at < 100000000) return;
    told_at = now;
    if (!new_requests) return;
    printf("{\"time\":%lld,\"events\":%llu,\"again\":%llu,\"messages\":%llu,\"requests\":%llu,\"bytes\":%llu,\"oldest\":%lld,\"newest\":%lld}\n",
           (long long)now, (unsigned long long)new_events, (unsigned long long)again_events, (unsigned long long)new_messages,
           (unsigned long long)new_requests, (unsigned long long)new_bytes, (long long)oldest, (long long)newest);
    fflush(stdout);
    new_events = again_events = new_bytes = new_requests = new_messages = 0;
    oldest = newest = -1;
}

// False at the end of the input.
static int obey(void) {
    static char text[4096];
    static size_t used;
    ssize_t count = read(0, text + used, sizeof text - 1 - used);
    if (count <= 0) return 0;
    used += (size_t)count;
    char *end;
    while ((end = memchr(text, '\n', used))) {
        *end = 0;
        if (strcmp(text, "away") == 0) go_away();
        else if (strcmp(text, "stall") == 0) stalled = 1;
        else if (strcmp(text, "back") == 0) {
            // What was left without an answer is asked for again on new connections.
            if (stalled) go_away();
            stalled = 0;
            start_listening();
        } else if (strncmp(text, "report ", 7) == 0) report(text + 7);
        else fprintf(stderr, "unknown command: %s\n", text);
        used -= (size_t)(end + 1 - text);
        memmove(text, end + 1, used);
    }
    return 1;
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    nghttp2_session_callbacks *callbacks = make_callbacks(on_frame);
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = CONNECTIONS + 1};
    epoll_ctl(poller, EPOLL_CTL_ADD, 0, &event);
    start_listening();
    printf("%d\n", port);
    fflush(stdout);
    for (;;) {
        struct epoll_event found[64];
        int ready = epoll_wait(poller, found, 64, 100);
        for (int i = 0; i < ready; i++) {
            uint64_t which = found[i].data.u64;
            if (which == CONNECTIONS) welcome(callbacks);
            else if (which == CONNECTIONS + 1) {
                if (!obey()) return 0;
            } else if (open_connections[which] && serve(open_connections[which]) != 0) drop((int)which);
        }
        tell(now_nanos());
    }
}
