#define _GNU_SOURCE
#include "ccurl.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ccurl_private.h"

// An answer to 1,000 messages has about 20 KB.
enum { RESPONSE_LIMIT = 1 << 20, DETAILS_LIMIT = 8192 };
enum { POLLED_MOST = 8 };
// Seconds. libcurl's own limit on the age of an idle connection is 118.
enum { CONNECTION_IDLE = 3600, KEEPALIVE_IDLE = 30, KEEPALIVE_INTERVAL = 10 };

const char *cc_version(void) { return curl_version(); }

const int cc_code_timeout = CURLE_OPERATION_TIMEDOUT;
const int cc_code_stream = CURLE_HTTP2_STREAM;
const char *cc_code_text(int code) { return curl_easy_strerror((CURLcode)code); }

static void start(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

void cc_start(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
}

int cc_append(cc_buffer *buffer, const void *bytes, size_t count, size_t limit) {
    if (count > limit || buffer->used > limit - count) return -1;
    if (buffer->used + count > buffer->room) {
        size_t room = buffer->room ? buffer->room : 1024;
        while (room < buffer->used + count) room *= 2;
        char *grown = realloc(buffer->bytes, room);
        if (!grown) return -1;
        buffer->bytes = grown;
        buffer->room = room;
    }
    if (count) memcpy(buffer->bytes + buffer->used, bytes, count);
    buffer->used += count;
    return 0;
}

struct cc_multi {
    CURLM *handle;
    int socket;
};

struct cc_request {
    CURL *easy;
    struct curl_slist *headers;
    cc_buffer response;
    cc_buffer details;
    uintptr_t tag;
    // NULL while it does not run.
    cc_multi *multi;
    cc_result result;
    char message[512];
    char error[CURL_ERROR_SIZE];
};

cc_multi *cc_multi_new(void) {
    cc_start();
    cc_multi *multi = calloc(1, sizeof *multi);
    if (!multi) return NULL;
    multi->handle = curl_multi_init();
    if (!multi->handle) {
        free(multi);
        return NULL;
    }
    curl_multi_setopt(multi->handle, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    // Unset, later requests open connections of their own.
    curl_multi_setopt(multi->handle, CURLMOPT_MAX_HOST_CONNECTIONS, 1L);
    multi->socket = -1;
    return multi;
}

void cc_multi_free(cc_multi *multi) {
    if (!multi) return;
    curl_multi_cleanup(multi->handle);
    free(multi);
}

static size_t take_body(char *bytes, size_t size, size_t count, void *context) {
    cc_request *request = context;
    return cc_append(&request->response, bytes, size * count, RESPONSE_LIMIT) == 0 ? size * count : 0;
}

static int hex(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static void decode_message(char *out, size_t room, const char *text, size_t count) {
    size_t used = 0;
    for (size_t i = 0; i < count && used + 1 < room; i++) {
        int upper, lower;
        if (text[i] == '%' && i + 2 < count && (upper = hex(text[i + 1])) >= 0 && (lower = hex(text[i + 2])) >= 0) {
            out[used++] = (char)(upper << 4 | lower);
            i += 2;
        } else {
            out[used++] = text[i];
        }
    }
    out[used] = 0;
}

// The value of a header line of that name, trimmed; NULL where it is another header.
static const char *value_of(const char *line, size_t count, const char *name, size_t *value_count) {
    size_t name_count = strlen(name);
    if (count <= name_count || line[name_count] != ':' || strncasecmp(line, name, name_count) != 0) return NULL;
    const char *from = line + name_count + 1, *to = line + count;
    while (from < to && (*from == ' ' || *from == '\t')) from++;
    while (to > from && (unsigned char)to[-1] <= ' ') to--;
    *value_count = (size_t)(to - from);
    return from;
}

// Trailers come here as further lines after the body.
static size_t take_header(char *line, size_t size, size_t count, void *context) {
    cc_request *request = context;
    size_t length = size * count, value_count;
    const char *value;
    if ((value = value_of(line, length, "grpc-status", &value_count))) {
        int status = 0;
        if (value_count == 0 || value_count > 3) status = 2;
        for (size_t i = 0; i < value_count && value_count <= 3; i++)
            status = value[i] >= '0' && value[i] <= '9' ? status * 10 + value[i] - '0' : 999;
        request->result.grpc_status = status > 16 ? 2 : status;
    } else if ((value = value_of(line, length, "grpc-message", &value_count))) {
        decode_message(request->message, sizeof request->message, value, value_count);
    } else if ((value = value_of(line, length, "grpc-status-details-bin", &value_count))) {
        request->details.used = 0;
        if (cc_append(&request->details, value, value_count, DETAILS_LIMIT) != 0 ||
            cc_append(&request->details, "", 1, DETAILS_LIMIT + 1) != 0)
            request->details.used = 0;
    }
    return length;
}

cc_request *cc_request_new(const char *ca_file, uintptr_t tag, int receive_buffer) {
    cc_start();
    cc_request *request = calloc(1, sizeof *request);
    if (!request) return NULL;
    request->easy = curl_easy_init();
    if (!request->easy) {
        free(request);
        return NULL;
    }
    request->tag = tag;
    CURL *easy = request->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)receive_buffer);
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)CONNECTION_IDLE);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_IDLE);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_INTERVAL);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
    if (ca_file) curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
    return request;
}

void cc_request_free(cc_request *request) {
    if (!request) return;
    if (request->multi) curl_multi_remove_handle(request->multi->handle, request->easy);
    curl_easy_cleanup(request->easy);
    curl_slist_free_all(request->headers);
    free(request->response.bytes);
    free(request->details.bytes);
    free(request);
}

int cc_request_set_url(cc_request *request, const char *url) {
    return curl_easy_setopt(request->easy, CURLOPT_URL, url) == CURLE_OK ? 0 : -1;
}

int cc_request_set_headers(cc_request *request, const char *const *lines, int count) {
    struct curl_slist *list = NULL;
    for (int i = 0; i < count; i++) {
        struct curl_slist *longer = curl_slist_append(list, lines[i]);
        if (!longer) {
            curl_slist_free_all(list);
            return -1;
        }
        list = longer;
    }
    curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER, list);
    curl_slist_free_all(request->headers);
    request->headers = list;
    return 0;
}

int cc_request_start(cc_multi *multi, cc_request *request, const void *body, size_t count, int64_t timeout_ms, int way,
                     int fresh) {
    request->response.used = 0;
    request->details.used = 0;
    request->message[0] = 0;
    request->error[0] = 0;
    request->result = (cc_result){.grpc_status = -1};
    CURL *easy = request->easy;
    long version = way == CC_TLS               ? (long)CURL_HTTP_VERSION_2TLS
                   : way == CC_CLEARTEXT_FIRST ? (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE
                                               : (long)CURL_HTTP_VERSION_2_0;
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, version);
    // A proxy of the environment is for TLS; cleartext goes to an emulator near by.
    curl_easy_setopt(easy, CURLOPT_PROXY, way == CC_TLS ? NULL : "");
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long)(fresh != 0));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)count);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    CURLMcode code = curl_multi_add_handle(multi->handle, easy);
    request->multi = code == CURLM_OK ? multi : NULL;
    return (int)code;
}

int64_t cc_request_uploaded(const cc_request *request) {
    curl_off_t count = 0;
    curl_easy_getinfo(request->easy, CURLINFO_SIZE_UPLOAD_T, &count);
    return (int64_t)count;
}

int64_t cc_request_moved(const cc_request *request) {
    curl_off_t count = 0;
    curl_easy_getinfo(request->easy, CURLINFO_SIZE_DOWNLOAD_T, &count);
    return cc_request_uploaded(request) + (int64_t)count;
}

const cc_result *cc_request_result(const cc_request *request) { return &request->result; }

int cc_multi_perform(cc_multi *multi) {
    int running;
    return (int)curl_multi_perform(multi->handle, &running);
}

intptr_t cc_multi_next_done(cc_multi *multi) {
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(multi->handle, &left))) {
        if (message->msg != CURLMSG_DONE) continue;
        CURL *easy = message->easy_handle;
        // The message is gone once the handle is removed.
        int code = (int)message->data.result;
        char *private = NULL;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
        cc_request *request = (cc_request *)private;
        long status = 0, version = 0, connections = 0;
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
        curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connections);
        curl_socket_t socket = CURL_SOCKET_BAD;
        curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &socket);
        multi->socket = code == CURLE_OK && socket != CURL_SOCKET_BAD ? (int)socket : -1;
        curl_multi_remove_handle(multi->handle, easy);
        request->multi = NULL;
        cc_result *result = &request->result;
        result->curl_code = code;
        result->http_status = (int)status;
        result->http_version = version == CURL_HTTP_VERSION_2_0 ? 2 : version == CURL_HTTP_VERSION_NONE ? 0 : 1;
        result->new_connections = (int)connections;
        result->grpc_message = request->message;
        result->status_details = request->details.used ? request->details.bytes : "";
        result->error = request->error;
        result->response = (const uint8_t *)request->response.bytes;
        result->response_size = request->response.used;
        return (intptr_t)request->tag;
    }
    return -1;
}

int cc_multi_socket(const cc_multi *multi) { return multi->socket; }

int cc_multi_poll(cc_multi *multi, const int *fds, int count, int timeout_ms, int *woken) {
    struct curl_waitfd extra[POLLED_MOST];
    if (count > POLLED_MOST) count = POLLED_MOST;
    for (int i = 0; i < count; i++) extra[i] = (struct curl_waitfd){.fd = fds[i], .events = CURL_WAIT_POLLIN};
    int ready = 0;
    curl_multi_poll(multi->handle, extra, (unsigned)count, timeout_ms, &ready);
    *woken = count > 0 && extra[0].revents != 0;
    return ready;
}

int64_t cc_multi_timeout(cc_multi *multi) {
    long timeout = -1;
    curl_multi_timeout(multi->handle, &timeout);
    return timeout;
}
