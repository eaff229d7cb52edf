#ifndef CCURL_FETCH_H
#define CCURL_FETCH_H

#include <stddef.h>
#include <stdint.h>

/// An answer to cc_fetch; to be freed with cc_response_free.
typedef struct {
    /// CURLcode; 0 is CURLE_OK.
    int curl_code;
    int status;
    char error[256];
    uint8_t *body;
    size_t body_size;
    /// All header lines as they came, NUL-terminated; NULL where there are none.
    char *headers;
} cc_response;

/// One request over HTTP/1.1 or HTTP/2, blocking. `use_proxy` 0: none, whatever the environment says. `body` NULL:
/// none. At most 1 MiB of body and 64 KiB of headers are taken. Returns the CURLcode.
int cc_fetch(const char *method, const char *url, const char *const *headers, int header_count, const void *body,
             size_t count, int64_t timeout_ms, int use_proxy, const char *ca_file, cc_response *response);
void cc_response_free(cc_response *response);

#endif
