// libcurl without variadic calls. curl.c: many gRPC requests at a time on one thread; fetch.c: one plain request.
#ifndef CCURL_H
#define CCURL_H

#include <stddef.h>
#include <stdint.h>

#include "ccurl_fetch.h"
#include "ccurl_session.h"

/// "libcurl/7.88.1 …"
const char *cc_version(void);

typedef struct cc_multi cc_multi;
typedef struct cc_request cc_request;

/// How a request finds its connection. libcurl 7.88.1 fails the second prior-knowledge request on a kept cleartext
/// connection (curl issue 10634), hence three ways.
enum {
    /// TLS with ALPN.
    CC_TLS = 0,
    /// The first request on a cleartext connection.
    CC_CLEARTEXT_FIRST = 1,
    /// Later ones, on the connection that the first made.
    CC_CLEARTEXT_NEXT = 2,
};

/// What is known when a request is done. Pointers are valid until the request is started again or freed.
typedef struct {
    /// CURLcode; 0 is CURLE_OK.
    int curl_code;
    /// 0 where no answer came.
    int http_status;
    /// 2 for HTTP/2; 0 unknown.
    int http_version;
    /// -1 where no grpc-status came.
    int grpc_status;
    /// Connections that had to be made for it.
    int new_connections;
    /// Percent-decoded, "" where absent.
    const char *grpc_message;
    /// Base64 of google.rpc.Status, "" where absent.
    const char *status_details;
    /// libcurl's own words, "" where absent.
    const char *error;
    const uint8_t *response;
    size_t response_size;
} cc_result;

/// A connection and the requests on it. NULL where memory is short.
cc_multi *cc_multi_new(void);
/// All requests must have been freed before.
void cc_multi_free(cc_multi *multi);

/// `ca_file` NULL: libcurl's own trust store. `tag` comes back from cc_multi_next_done. `receive_buffer`: bytes; libcurl
/// 7.88.1 loses trailers of answers that are larger. NULL where memory is short.
cc_request *cc_request_new(const char *ca_file, uintptr_t tag, int receive_buffer);
/// Ends it where it runs.
void cc_request_free(cc_request *request);
/// Kept until changed. 0, or -1 where memory is short.
int cc_request_set_url(cc_request *request, const char *url);
/// Replaces all header lines ("name: value"). 0, or -1 where memory is short.
int cc_request_set_headers(cc_request *request, const char *const *lines, int count);
/// POSTs `count` bytes, which must stay until the request is done. 0, or a CURLMcode.
int cc_request_start(cc_multi *multi, cc_request *request, const void *body, size_t count, int64_t timeout_ms, int way,
                     int fresh);
/// Bytes of the body that have left.
int64_t cc_request_uploaded(const cc_request *request);
/// Bytes of the body that have left and of the answer that have come: whether it gets on.
int64_t cc_request_moved(const cc_request *request);
const cc_result *cc_request_result(const cc_request *request);

/// Moves all requests on. 0, or a CURLMcode.
int cc_multi_perform(cc_multi *multi);
/// The tag of a request that is done, or -1.
intptr_t cc_multi_next_done(cc_multi *multi);
/// The socket of the connection as of the last request that was done; -1: none is known.
int cc_multi_socket(const cc_multi *multi);
/// Waits for the requests' sockets or for any of `fds`, of which the first is the caller's own. At most 8 are looked at.
/// Returns how many are ready; `*woken`: the first of `fds` is.
int cc_multi_poll(cc_multi *multi, const int *fds, int count, int timeout_ms, int *woken);
/// Until libcurl wants to be called, whatever the sockets say, ms; -1: it does not.
int64_t cc_multi_timeout(cc_multi *multi);

// CURLcodes that the publisher tells apart.
extern const int cc_code_timeout;
extern const int cc_code_stream;
const char *cc_code_text(int code);

#endif
