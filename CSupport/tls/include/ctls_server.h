// The server's side of TLS, for the replayer and for tests.
#ifndef CTLS_SERVER_H
#define CTLS_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "ctls_client.h"

typedef struct ct_server_context ct_server_context;
typedef struct ct_server ct_server;

/// TLS 1.2 and 1.3 with the chain in `certificate_file` and the key in `key_file` (both PEM). NULL with a text in
/// `error` on failure.
ct_server_context *ct_server_context_new(const char *certificate_file, const char *key_file, char *error,
                                         size_t error_size);
void ct_server_context_free(ct_server_context *context);
/// The newest version of TLS that is spoken: 12 or 13, for 1.2 and 1.3.
void ct_server_context_set_maximum(ct_server_context *context, int version);
/// The cipher suites of TLS 1.3 that are agreed to, as OpenSSL writes them. 0, or CT_FAILED.
int ct_server_context_set_suites(ct_server_context *context, const char *suites);
/// The tickets that a client of TLS 1.3 is given after the handshake; 2 unless it is set.
void ct_server_context_set_tickets(ct_server_context *context, int count);
/// Later sessions tell their traffic secret: for tests and measurements, never for what is to be kept secret.
void ct_server_context_tell_secrets(ct_server_context *context);

/// A session on an accepted non-blocking socket, which stays the caller's. NULL where memory is short.
ct_server *ct_server_new(ct_server_context *context, int fd);
void ct_server_free(ct_server *server);

/// 0 when the handshake is done, CT_WANT_READ, or CT_FAILED. Call ct_server_flush afterwards in every case.
int ct_server_handshake(ct_server *server);
/// Plaintext bytes, 0 at the peer's close_notify or end of stream, CT_WANT_READ, or CT_FAILED.
int64_t ct_server_read(ct_server *server, void *bytes, size_t count);
/// Encrypts all of `bytes` into memory, as one record up to 16 KiB and as several above that; nothing is sent.
/// 0, or CT_FAILED.
int ct_server_write(ct_server *server, const void *bytes, size_t count);
/// Encrypts every frame in turn as a record of its own: `bytes` holds whole unmasked WebSocket frames, back to back.
/// 0, or CT_FAILED.
int ct_server_write_frames(ct_server *server, const void *bytes, size_t count);
/// Encrypts close_notify.
void ct_server_shutdown(ct_server *server);
/// Encrypts a fatal alert (bad_record_mac), as if the peer had sent a forged record; the session is over. 0, or
/// CT_FAILED where the handshake is not done.
int ct_server_alert(ct_server *server);
/// Another ticket, with the next write. 0, or CT_FAILED.
int ct_server_ticket(ct_server *server);
/// A new key for what is sent from now on; `asks`: the client is to take a new one, too. 0, or CT_FAILED.
int ct_server_update_key(ct_server *server, int asks);
/// Zeros behind each record's content, up to a multiple of so many bytes; 0: none.
void ct_server_pad(ct_server *server, size_t block);
/// Adds bytes as they are to what is to be sent. 0, or CT_FAILED.
int ct_server_write_raw(ct_server *server, const void *bytes, size_t count);
/// The number of the cipher suite, and the secret that the server seals with at first (48 bytes at most): its size, or
/// 0 where secrets are not told.
size_t ct_server_secret(const ct_server *server, uint8_t secret[48], uint16_t *suite);
/// Sends what was encrypted: bytes that are left, or CT_FAILED.
int64_t ct_server_flush(ct_server *server);
/// At most `most` of them.
int64_t ct_server_flush_some(ct_server *server, size_t most);
/// Encrypted bytes that wait to be sent.
size_t ct_server_unsent(const ct_server *server);
/// Why the last call was CT_FAILED. Valid until the next call.
const char *ct_server_error(const ct_server *server);

/// Makes a certificate authority and a server certificate signed by it (EC P-256), and writes ca.pem, server.pem and
/// server-key.pem (mode 0600) into `directory`, which exists. `names`: host names and IP addresses that the server
/// certificate is for. The authority's key is forgotten. `expired`: valid from ten days ago until yesterday.
/// 0, or CT_FAILED with a text in `error`.
int ct_certificate_write(const char *directory, const char *const *names, int name_count, int expired, char *error,
                         size_t error_size);

#endif
