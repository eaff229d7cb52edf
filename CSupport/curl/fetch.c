#include "ccurl_fetch.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ccurl_private.h"

enum { BODY_LIMIT = 1 << 20, HEADER_LIMIT = 1 << 16 };

static size_t take_body(char *bytes, size_t size, size_t count, void *context) {
    return cc_append(context, bytes, size * count, BODY_LIMIT) == 0 ? size * count : 0;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *context) {
    return cc_append(context, bytes, size * count, HEADER_LIMIT) == 0 ? size * count : 0;
}

int cc_fetch(const char *method, const char *url, const char *const *headers, int header_count, const void *body,
             size_t count, int64_t timeout_ms, int use_proxy, const char *ca_file, cc_response *response) {
    memset(response, 0, sizeof *response);
    cc_start();
    CURL *easy = curl_easy_init();
    struct curl_slist *list = NULL;
    int short_of_memory = !easy;
    for (int i = 0; i < header_count && !short_of_memory; i++) {
        struct curl_slist *longer = curl_slist_append(list, headers[i]);
        if (longer) list = longer;
        else short_of_memory = 1;
    }
    CURLcode code = CURLE_OUT_OF_MEMORY;
    if (!short_of_memory) {
        char error[CURL_ERROR_SIZE] = "";
        cc_buffer taken = {0}, lines = {0};
        curl_easy_setopt(easy, CURLOPT_URL, url);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, list);
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, &taken);
        curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
        curl_easy_setopt(easy, CURLOPT_HEADERDATA, &lines);
        if (!use_proxy) curl_easy_setopt(easy, CURLOPT_PROXY, "");
        if (ca_file) curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
        if (body) {
            curl_easy_setopt(easy, CURLOPT_POST, 1L);
            curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)count);
            curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
        }
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
        code = curl_easy_perform(easy);
        long status = 0;
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        response->status = (int)status;
        response->body = (uint8_t *)taken.bytes;
        response->body_size = taken.used;
        if (cc_append(&lines, "", 1, HEADER_LIMIT + 1) == 0) response->headers = lines.bytes;
        else free(lines.bytes);
        snprintf(response->error, sizeof response->error, "%s", error[0] ? error : curl_easy_strerror(code));
    } else {
        snprintf(response->error, sizeof response->error, "out of memory");
    }
    if (easy) curl_easy_cleanup(easy);
    curl_slist_free_all(list);
    response->curl_code = (int)code;
    return (int)code;
}

void cc_response_free(cc_response *response) {
    free(response->body);
    free(response->headers);
    memset(response, 0, sizeof *response);
}
