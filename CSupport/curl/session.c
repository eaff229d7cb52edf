#include "ccurl_session.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ccurl_private.h"

enum { BODY_LIMIT = 4 << 20, HEADER_LIMIT = 1 << 16 };

struct cc_session {
    CURL *easy;
};

cc_session *cc_session_new(void) {
    cc_start();
    cc_session *session = calloc(1, sizeof *session);
    if (session && !(session->easy = curl_easy_init())) {
        free(session);
        return NULL;
    }
    return session;
}

void cc_session_free(cc_session *session) {
    if (!session) return;
    curl_easy_cleanup(session->easy);
    free(session);
}

static size_t take_body(char *bytes, size_t size, size_t count, void *context) {
    return cc_append(context, bytes, size * count, BODY_LIMIT) == 0 ? size * count : 0;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *context) {
    return cc_append(context, bytes, size * count, HEADER_LIMIT) == 0 ? size * count : 0;
}

int cc_session_get(cc_session *session, const char *url, int64_t timeout_ms, const char *ca_file, int verify,
                   const char *proxy, const char *proxy_authorization, cc_response *response) {
    memset(response, 0, sizeof *response);
    CURL *easy = session->easy;
    char error[CURL_ERROR_SIZE] = "";
    cc_buffer taken = {0}, lines = {0};
    // Options go, connections stay.
    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &taken);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &lines);
    if (proxy) curl_easy_setopt(easy, CURLOPT_PROXY, proxy);
    struct curl_slist *proxy_headers = NULL;
    if (proxy_authorization) {
        char line[2048];
        int length = snprintf(line, sizeof line, "Proxy-Authorization: %s", proxy_authorization);
        if (length > 0 && (size_t)length < sizeof line) proxy_headers = curl_slist_append(NULL, line);
        curl_easy_setopt(easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
        curl_easy_setopt(easy, CURLOPT_PROXYHEADER, proxy_headers);
    }
    if (ca_file) curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
    if (!verify) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    CURLcode code = curl_easy_perform(easy);
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    response->status = (int)status;
    response->body = (uint8_t *)taken.bytes;
    response->body_size = taken.used;
    if (cc_append(&lines, "", 1, HEADER_LIMIT + 1) == 0) response->headers = lines.bytes;
    else free(lines.bytes);
    snprintf(response->error, sizeof response->error, "%s", error[0] ? error : curl_easy_strerror(code));
    response->curl_code = (int)code;
    // Nothing of this call's stack is kept.
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
    curl_easy_setopt(easy, CURLOPT_PROXYHEADER, NULL);
    curl_slist_free_all(proxy_headers);
    return (int)code;
}
