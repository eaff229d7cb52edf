// What client.c (handshake, sending, reading by OpenSSL) and direct.c (reading of records by ourselves) share.
#ifndef CT_CLIENT_PRIVATE_H
#define CT_CLIENT_PRIVATE_H

#include "ctls_client.h"
#include "records.h"
#include "sessions.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>

struct ct_client_context {
    SSL_CTX *ssl;
    BIO_METHOD *method;
    ct_sessions *sessions;
    int is_direct;
    ct_engine engine;
};

struct ct_client {
    SSL *ssl;
    ct_client_context *context;
    // Names the peer in the session cache; empty: its sessions are not kept.
    char peer[CT_SESSION_PEER_SIZE];
    int fd;
    int socket_error;
    int64_t received_nanos;
    uint64_t receive_calls;
    // The latest receive call left room: the socket was empty then.
    int is_drained;
    ct_receive receive;
    void *source;
    uint64_t source_name;
    // NULL: OpenSSL reads all. Else ciphertext is received there, and OpenSSL is fed from it.
    ct_records *records;
    // The server's first traffic secret, between the handshake's end and the switch.
    unsigned char secret[CT_SECRET_MAX];
    size_t secret_size;
    int is_direct;
    // OpenSSL works on the notice, of which it has taken so many bytes.
    int is_handing;
    size_t handed;
    // After the end: what every further read returns.
    int is_over;
    int64_t verdict;
    char error[256];
};

/// Bytes, 0 at the end, or -errno; also counts and stamps.
int64_t ct_receive_more(ct_client *client, void *bytes, size_t count);
/// The same for BIO_read.
int ct_bio_receive(ct_client *client, BIO *bio, void *bytes, int count);
/// CT_…, with a text, for OpenSSL's `result`.
int64_t ct_failure(ct_client *client, int result);

/// The key-log callback: keeps the server's first traffic secret.
void ct_direct_note_secret(const SSL *ssl, const char *line);
/// What OpenSSL reads while records are ours; BIO_read's conventions.
int ct_direct_feed(ct_client *client, BIO *bio, char *bytes, int count);
/// After the handshake: takes the records over, or leaves them to OpenSSL where they are not of TLS 1.3 or of a suite
/// that is not known here.
void ct_direct_begin(ct_client *client);
int64_t ct_direct_read(ct_client *client, void *bytes, size_t count);

#endif
