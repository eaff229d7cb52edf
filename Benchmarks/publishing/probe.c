// What one can reach by hand: Publish over libcurl, gRPC or REST, K requests in flight on one thread, nothing kept, nothing retried.
//
//     probe grpc|rest ENDPOINT TOPIC MESSAGES BYTES IN_FLIGHT SECONDS RATE [ATTRIBUTES [AUTHORITY]]
//
// TOPIC: projects/P/topics/T. MESSAGES of BYTES in a request. RATE: requests a second, 0 for as many as go. ATTRIBUTES: a file with
// what follows the data in each message, encoded; "" for none. Prints a line of JSON.
// Build: cc -O2 -o probe probe.c -lcurl
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    CURL *easy;
    uint8_t *body;
    int status, used;
    double begun;
} request;

static int is_grpc, messages, bytes;
static const char *topic;
static uint8_t attributes[4096], *payload;
static size_t attribute_bytes;

static double now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static uint8_t *varint(uint8_t *out, size_t value) {
    for (; value >= 0x80; value >>= 7) *out++ = (uint8_t)(value | 0x80);
    *out++ = (uint8_t)value;
    return out;
}

static size_t varint_size(size_t value) {
    size_t size = 1;
    while (value >>= 7) size++;
    return size;
}

static uint8_t *base64(uint8_t *out, const uint8_t *in, size_t count) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (; count >= 3; count -= 3, in += 3) {
        uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        for (int shift = 18; shift >= 0; shift -= 6) *out++ = (uint8_t)digits[bits >> shift & 63];
    }
    if (count) {
        uint32_t bits = (uint32_t)in[0] << 16 | (count == 2 ? (uint32_t)in[1] << 8 : 0);
        *out++ = (uint8_t)digits[bits >> 18];
        *out++ = (uint8_t)digits[bits >> 12 & 63];
        *out++ = count == 2 ? (uint8_t)digits[bits >> 6 & 63] : '=';
        *out++ = '=';
    }
    return out;
}

static size_t write_grpc(uint8_t *body) {
    uint8_t *out = body + 5;
    *out++ = 0x0A;
    out = varint(out, strlen(topic));
    memcpy(out, topic, strlen(topic));
    out += strlen(topic);
    for (int i = 0; i < messages; i++) {
        *out++ = 0x12;
        out = varint(out, 1 + varint_size((size_t)bytes) + (size_t)bytes + attribute_bytes);
        *out++ = 0x0A;
        out = varint(out, (size_t)bytes);
        memcpy(out, payload, (size_t)bytes);
        out += bytes;
        memcpy(out, attributes, attribute_bytes);
        out += attribute_bytes;
    }
    uint32_t size = htonl((uint32_t)(out - body - 5));
    body[0] = 0;
    memcpy(body + 1, &size, 4);
    return (size_t)(out - body);
}

static size_t write_rest(uint8_t *body) {
    uint8_t *out = (uint8_t *)stpcpy((char *)body, "{\"messages\":[");
    for (int i = 0; i < messages; i++) {
        out = (uint8_t *)stpcpy((char *)out, i ? ",{\"data\":\"" : "{\"data\":\"");
        out = base64(out, payload, (size_t)bytes);
        out = (uint8_t *)stpcpy((char *)out, "\"");
        memcpy(out, attributes, attribute_bytes);
        out += attribute_bytes;
        *out++ = '}';
    }
    return (size_t)((uint8_t *)stpcpy((char *)out, "]}") - body);
}

static size_t take_body(char *data, size_t size, size_t count, void *context) {
    (void)data, (void)context;
    return size * count;
}

static size_t take_header(char *line, size_t size, size_t count, void *context) {
    request *r = context;
    if (size * count > 13 && strncasecmp(line, "grpc-status:", 12) == 0) r->status = atoi(line + 12);
    return size * count;
}

int main(int count, char **a) {
    if (count < 9) return 64;
    is_grpc = strcmp(a[1], "grpc") == 0;
    const char *endpoint = a[2];
    topic = a[3];
    messages = atoi(a[4]);
    bytes = atoi(a[5]);
    int flight = atoi(a[6]);
    double seconds = atof(a[7]), rate = atof(a[8]);
    if (count > 9 && a[9][0]) {
        FILE *file = fopen(a[9], "rb");
        if (!file) return 66;
        attribute_bytes = fread(attributes, 1, sizeof attributes, file);
        fclose(file);
    }
    int is_secure = strncmp(endpoint, "https", 5) == 0;
    payload = malloc((size_t)bytes);
    memset(payload, 'x', (size_t)bytes);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    CURLM *multi = curl_multi_init();
    curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, is_grpc || is_secure ? 1L : (long)flight);
    char url[1024];
    if (is_grpc) snprintf(url, sizeof url, "%s/google.pubsub.v1.Publisher/Publish", endpoint);
    else snprintf(url, sizeof url, "%s/v1/%s:publish", endpoint, topic);
    struct curl_slist *headers = NULL;
    const char *lines[] = {"content-type: application/grpc", "te: trailers", "grpc-timeout: 30S", "user-agent: probe", "accept:", "expect:",
                           "authorization: Bearer token-1"};
    if (is_grpc)
        for (int i = 0; i < 7; i++) headers = curl_slist_append(headers, lines[i]);
    else {
        headers = curl_slist_append(headers, "content-type: application/json");
        headers = curl_slist_append(headers, "expect:");
    }
    request *requests = calloc((size_t)flight, sizeof *requests);
    request **idle = calloc((size_t)flight, sizeof *idle);
    int idle_count = 0, is_first = 1, running = 0, out = 0;
    for (int i = 0; i < flight; i++) {
        request *r = &requests[i];
        r->easy = curl_easy_init();
        r->body = malloc(4096 + (size_t)messages * ((size_t)bytes * 2 + 64 + attribute_bytes));
        curl_easy_setopt(r->easy, CURLOPT_URL, url);
        curl_easy_setopt(r->easy, CURLOPT_PRIVATE, r);
        curl_easy_setopt(r->easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(r->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(r->easy, CURLOPT_BUFFERSIZE, 131072L);
        curl_easy_setopt(r->easy, CURLOPT_PIPEWAIT, 1L);
        curl_easy_setopt(r->easy, CURLOPT_TIMEOUT_MS, 32000L);
        curl_easy_setopt(r->easy, CURLOPT_PROXY, "");
        curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, take_body);
        curl_easy_setopt(r->easy, CURLOPT_HEADERFUNCTION, take_header);
        curl_easy_setopt(r->easy, CURLOPT_HEADERDATA, r);
        if (count > 10) curl_easy_setopt(r->easy, CURLOPT_CAINFO, a[10]);
        idle[idle_count++] = r;
    }
    double begun = now(CLOCK_MONOTONIC), end = begun + seconds, processor = now(CLOCK_PROCESS_CPUTIME_ID);
    unsigned long done = 0, failed = 0, started = 0;
    while (now(CLOCK_MONOTONIC) < end || out > 0) {
        double time = now(CLOCK_MONOTONIC);
        // The first request opens the connection for the others.
        while (idle_count > 0 && time < end && (!is_first || out == 0) && (rate == 0 || (double)started < (time - begun) * rate)) {
            request *r = idle[--idle_count];
            size_t size = is_grpc ? write_grpc(r->body) : write_rest(r->body);
            long version = !is_grpc && !is_secure ? (long)CURL_HTTP_VERSION_1_1
                           : is_secure            ? (long)CURL_HTTP_VERSION_2TLS
                           : is_first             ? (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE
                                                  : (long)CURL_HTTP_VERSION_2_0;
            curl_easy_setopt(r->easy, CURLOPT_HTTP_VERSION, version);
            curl_easy_setopt(r->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
            curl_easy_setopt(r->easy, CURLOPT_POSTFIELDS, r->body);
            r->status = is_grpc ? -1 : 0;
            curl_multi_add_handle(multi, r->easy);
            out++, started++;
        }
        curl_multi_perform(multi, &running);
        int left;
        CURLMsg *message;
        while ((message = curl_multi_info_read(multi, &left))) {
            request *r;
            long status = 0;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&r);
            curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
            int is_good = message->data.result == CURLE_OK && status == 200 && r->status <= 0;
            if (is_good) done++;
            else failed++;
            curl_multi_remove_handle(multi, r->easy);
            idle[idle_count++] = r;
            out--, is_first = 0;
        }
        if (running > 0 || rate > 0) curl_multi_poll(multi, NULL, 0, 1, NULL);
    }
    double span = now(CLOCK_MONOTONIC) - begun, used = now(CLOCK_PROCESS_CPUTIME_ID) - processor, sent = (double)done * messages;
    printf("{\"requests\":%lu,\"failed\":%lu,\"messagesPerSecond\":%.0f,\"microsecondsPerMessage\":%.4f,\"microsecondsPerRequest\":%.2f}\n", done,
           failed, sent / span, used * 1e6 / (sent > 0 ? sent : 1), used * 1e6 / (done ? (double)done : 1));
    return 0;
}
