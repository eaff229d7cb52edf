#ifndef CCURL_SESSION_H
#define CCURL_SESSION_H

#include <stdint.h>

#include "ccurl_fetch.h"

/// Requests one after the other, on connections that are kept in between. For one thread at a time.
typedef struct cc_session cc_session;

/// NULL where memory is short.
cc_session *cc_session_new(void);
void cc_session_free(cc_session *session);

/// One GET over HTTP/1.1 or HTTP/2, blocking. `ca_file` NULL: the system's trust store. `verify` 0: neither certificate
/// nor name. `proxy` NULL: what the environment says; "": none. `proxy_authorization`: the value of
/// Proxy-Authorization, for the proxy's eyes alone; NULL: none. At most 4 MiB of body and 64 KiB of headers are taken.
/// Returns the CURLcode.
int cc_session_get(cc_session *session, const char *url, int64_t timeout_ms, const char *ca_file, int verify,
                   const char *proxy, const char *proxy_authorization, cc_response *response);

#endif
