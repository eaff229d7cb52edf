// What receiving over TLS 1.3 costs: OpenSSL's SSL_read beside records that are opened directly. See `run`.
#define _GNU_SOURCE
#include <ckernel.h>
#include <ctls.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FRAME = 195, ROOM = 65536, ROUNDS_MAX = 99 };

typedef struct {
    const char *name;
    int frames, records;
} shape;

typedef struct {
    const char *name;
    int is_direct, by_openssl;
} reader;

static const shape shapes[] = {
    {"one frame a record", 1, 60000}, {"4 frames a record", 4, 30000}, {"80 frames a record", 80, 3000}};
static const reader readers[] = {{"openssl", 0, 0}, {"direct, EVP", 1, 1}, {"direct", 1, 0}};
static const char *const suites[] = {
    "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"};
enum { SHAPES = 3, READERS = 3, SUITES = 3 };

static char directory[] = "/tmp/records-XXXXXX";

static void die(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

typedef struct {
    ct_server *server;
    int fd;
    unsigned char *bytes;
    size_t count;
} sending;

static void *send_all(void *of) {
    sending *s = of;
    ck_pin_thread(1);
    for (size_t at = 0; at < s->count;) {
        int64_t sent = ck_send(s->fd, s->bytes + at, s->count - at < 262144 ? s->count - at : 262144);
        if (sent > 0) {
            at += (size_t)sent;
            continue;
        }
        struct pollfd wait = {s->fd, POLLOUT, 0};
        poll(&wait, 1, 1000);
    }
    return NULL;
}

typedef struct {
    double wall, cpu, calls;
} cost;

/// One connection; the records are sealed before the clock starts. Nanoseconds a record.
static cost run(ct_server_context *servers, ct_client_context *clients, const shape *shape, char *text,
                size_t text_size) {
    ck_address address;
    if (ck_resolve("127.0.0.1", 0, &address, 1) != 1) die("no loopback");
    int listener = ck_listen(&address, 1);
    if (ck_resolve("127.0.0.1", ck_local_port(listener), &address, 1) != 1) die("no loopback");
    int near = ck_connect(&address, NULL), far = -1;
    while (far < 0) far = ck_accept(listener);
    ct_server *server = ct_server_new(servers, far);
    ct_client *client = ct_client_new(clients, near, "localhost", ROOM);
    for (int near_done = 0, far_done = 0, turns = 0; !near_done || !far_done; turns++) {
        if (!near_done) near_done = ct_client_handshake(client) == 0;
        if (!far_done) far_done = ct_server_handshake(server) == 0;
        ct_server_flush(server);
        if (turns > 1000000) die(ct_client_error(client));
    }
    uint8_t secret[48];
    uint16_t suite;
    size_t secret_size = ct_server_secret(server, secret, &suite);
    ct_forge *forge = ct_forge_new(suite, secret, secret_size);
    size_t content = (size_t)shape->frames * FRAME;
    size_t sealed = content + CT_FORGE_OVERHEAD;
    sending s = {server, far, malloc(sealed * (size_t)shape->records), 0};
    unsigned char *plain = malloc(content);
    for (size_t i = 0; i < content; i++) plain[i] = (unsigned char)('a' + i % 23);
    for (int i = 0; i < shape->records; i++)
        s.count += ct_forge_record(forge, 23, plain, content, 0, s.bytes + s.count);
    ct_client_describe(client, text, text_size);

    static unsigned char room[ROOM];
    uint64_t expected = (uint64_t)content * (uint64_t)shape->records, got = 0, sum = 0;
    pthread_t thread;
    pthread_create(&thread, NULL, send_all, &s);
    uint64_t calls = ct_client_receive_calls(client);
    int64_t wall = ck_monotonic_nanos(), cpu = ck_thread_cpu_nanos();
    while (got < expected) {
        int64_t count = ct_client_read(client, room, sizeof room);
        if (count > 0) {
            sum += room[count - 1];
            got += (uint64_t)count;
        } else if (count == CT_WANT_READ) {
            struct pollfd wait = {near, POLLIN, 0};
            poll(&wait, 1, 1000);
        } else {
            die(ct_client_error(client));
        }
    }
    cost result = {(double)(ck_monotonic_nanos() - wall), (double)(ck_thread_cpu_nanos() - cpu),
                   (double)(ct_client_receive_calls(client) - calls)};
    if (sum == 0) die("nothing was read");
    result.wall /= shape->records, result.cpu /= shape->records, result.calls /= shape->records;
    pthread_join(thread, NULL);
    ct_forge_free(forge);
    ct_client_free(client);
    ct_server_free(server);
    ck_close(near), ck_close(far), ck_close(listener);
    free(s.bytes), free(plain);
    return result;
}

static int compare(const void *a, const void *b) {
    double difference = *(const double *)a - *(const double *)b;
    return (difference > 0) - (difference < 0);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[count / 2];
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 9;
    if (rounds < 1 || rounds > ROUNDS_MAX) die("usage: records [ROUNDS]");
    char error[256];
    const char *names[] = {"localhost"};
    if (!mkdtemp(directory) || ct_certificate_write(directory, names, 1, 0, error, sizeof error))
        die("no certificates");
    char authority[64], certificate[64], key[64];
    snprintf(authority, sizeof authority, "%s/ca.pem", directory);
    snprintf(certificate, sizeof certificate, "%s/server.pem", directory);
    snprintf(key, sizeof key, "%s/server-key.pem", directory);
    ck_pin_thread(0);
    printf("One connection on loopback; the sender on CPU 1 sends sealed records, the reader on CPU 0 reads with room\n"
           "for 64 KiB and polls where nothing is there. Medians of %d interleaved rounds; CPU: the reader's thread,\n"
           "kernel included. A frame: %d bytes.\n",
           rounds, FRAME);
    for (int u = 0; u < SUITES; u++) {
        ct_server_context *servers = ct_server_context_new(certificate, key, error, sizeof error);
        if (!servers || ct_server_context_set_suites(servers, suites[u])) die(error);
        ct_server_context_set_tickets(servers, 0);
        ct_server_context_tell_secrets(servers);
        for (int h = 0; h < SHAPES; h++) {
            static double wall[READERS][ROUNDS_MAX], cpu[READERS][ROUNDS_MAX], calls[READERS];
            char names_of[READERS][128];
            for (int round = 0; round < rounds; round++) {
                for (int r = 0; r < READERS; r++) {
                    ct_client_context *clients = ct_client_context_new(authority, 1, 13, error, sizeof error);
                    if (!clients) die(error);
                    ct_client_context_set_direct(clients, readers[r].is_direct, readers[r].by_openssl);
                    cost c = run(servers, clients, &shapes[h], names_of[r], sizeof names_of[r]);
                    wall[r][round] = c.wall, cpu[r][round] = c.cpu, calls[r] = c.calls;
                    ct_client_context_free(clients);
                }
            }
            printf("\n%s, %s\n", suites[u], shapes[h].name);
            double base = 0;
            for (int r = 0; r < READERS; r++) {
                double w = median(wall[r], rounds), c = median(cpu[r], rounds);
                if (r == 0) base = c;
                const char *by = strstr(names_of[r], " direct");
                printf("  %-22s %10.0f records/s %11.0f frames/s %8.0f CPU ns/record   x%.2f   %.3f receives/record\n",
                       by ? by + 1 : readers[r].name, 1e9 / w, 1e9 / w * shapes[h].frames, c, base / c, calls[r]);
            }
        }
        ct_server_context_free(servers);
    }
    const char *files[] = {authority, certificate, key};
    for (int i = 0; i < 3; i++) unlink(files[i]);
    rmdir(directory);
    return 0;
}
