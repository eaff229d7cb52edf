#ifndef CTLS_CLIENT_H
#define CTLS_CLIENT_H

#include <stddef.h>
#include <stdint.h>

enum { CT_WANT_READ = -1, CT_WANT_WRITE = -2, CT_FAILED = -3 };

typedef struct ct_client_context ct_client_context;
typedef struct ct_client ct_client;

/// TLS from version `minimum` (12 or 13, for 1.2 and 1.3) to 1.3. `ca_file` NULL: the system's trust store
/// (SSL_CERT_FILE is obeyed), else that file alone. NULL with a text in `error` on failure.
ct_client_context *ct_client_context_new(const char *ca_file, int verify, int minimum, char *error, size_t error_size);
/// Later sessions open the records of TLS 1.3 themselves where `is_direct`, with the fastest implementation that this
/// machine has, or by OpenSSL's EVP where `by_openssl`; else, and always with TLS 1.2, SSL_read does it.
void ct_client_context_set_direct(ct_client_context *context, int is_direct, int by_openssl);
void ct_client_context_free(ct_client_context *context);

/// A session on a connected or connecting non-blocking socket, which stays the caller's. `host` is sent as SNI and
/// checked against the certificate (an IP literal is checked as such, and no SNI is sent). `read_buffer`: bytes of
/// ciphertext that one receive call may bring.
ct_client *ct_client_new(ct_client_context *context, int fd, const char *host, size_t read_buffer);
/// Ciphertext is taken by `receive` instead of from the socket: bytes, 0 at the end, or -errno; `*nanos` becomes their
/// receive time. `source` must live as long as the session is read.
typedef int64_t (*ct_receive)(void *source, uint64_t name, void *bytes, size_t count, int64_t *nanos);
void ct_client_receive_from(ct_client *client, ct_receive receive, void *source, uint64_t name);
void ct_client_free(ct_client *client);
/// Before the handshake: tries to resume a session that an earlier client of this context had with `peer` (a name and a
/// port), and keeps the server's new ones for later clients. A ticket of TLS 1.3 is used once (RFC 8446, C.4). A server
/// that no longer knows the session shakes hands in full.
void ct_client_resume(ct_client *client, const char *peer);
/// Whether the handshake resumed a session.
int ct_client_is_resumed(const ct_client *client);

/// 0 when the handshake is done.
int ct_client_handshake(ct_client *client);
/// Plaintext bytes, 0 at the peer's close_notify or end of stream, or CT_….
int64_t ct_client_read(ct_client *client, void *bytes, size_t count);
int64_t ct_client_write(ct_client *client, const void *bytes, size_t count);
/// Sends close_notify, without waiting for the peer's.
void ct_client_shutdown(ct_client *client);
/// What opens AES-GCM's records directly on this machine: "IPsec-MB", where that library is there and can use this CPU,
/// or "EVP".
const char *ct_direct_engine(void);
/// Whether whole records that were already received wait to be read: epoll will not say so.
int ct_client_has_pending(const ct_client *client);
/// Whether the socket was empty after the latest receive call, and nothing is left of what it brought: to ask again would only
/// cost the call. The kernel announces what comes after it.
int ct_client_is_drained(const ct_client *client);
/// The kernel's receive time of the last ciphertext that was taken from the socket, ns since the epoch.
int64_t ct_client_received_nanos(const ct_client *client);
/// Receive calls so far.
uint64_t ct_client_receive_calls(const ct_client *client);
/// Why the last call was CT_FAILED; a certificate's fault is named. Valid until the next call.
const char *ct_client_error(const ct_client *client);
/// For records that are opened directly: bytes under one key after which the server is asked for a new one, and after
/// which reading fails. 0: RFC 8446's limit for AES-GCM (section 5.5), the server being asked well before it.
void ct_client_limit_keys(ct_client *client, uint64_t ask, uint64_t most);
/// The server's keys so far where records are opened directly; else 0.
uint64_t ct_client_read_keys(const ct_client *client);
/// "TLSv1.3 TLS_AES_256_GCM_SHA384"; behind it " direct by IPsec-MB" or " direct by EVP" where that is so, and " resumed"
/// where that is.
int ct_client_describe(const ct_client *client, char *text, size_t size);

/// The Sec-WebSocket-Accept of a Sec-WebSocket-Key (RFC 6455, section 4.2.2), 28 characters and a NUL; empty where
/// OpenSSL has no SHA-1.
void ct_websocket_accept(const char *key, char accept[29]);

#endif
