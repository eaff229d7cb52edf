#ifndef CT_SESSIONS_H
#define CT_SESSIONS_H

#include <openssl/ssl.h>

/// Sessions that clients of one context may resume, by peer; threads share it.
typedef struct ct_sessions ct_sessions;

/// A peer's name with its NUL: a DNS name has at most 253 bytes, a port 5.
enum { CT_SESSION_PEER_SIZE = 264 };

ct_sessions *ct_sessions_new(void);
void ct_sessions_free(ct_sessions *sessions);
/// Keeps `session`, which belongs to the cache from now on (NULL: nothing). The oldest one gives way.
void ct_sessions_put(ct_sessions *sessions, const char *peer, SSL_SESSION *session);
/// The peer's newest session that has not expired, the caller's to free, or NULL. One of TLS 1.3 leaves the cache.
SSL_SESSION *ct_sessions_take(ct_sessions *sessions, const char *peer);

#endif
