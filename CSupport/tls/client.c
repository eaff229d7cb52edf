#define _GNU_SOURCE
#include "client_private.h"

#include <arpa/inet.h>
#include <ckernel.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t ct_receive_more(ct_client *client, void *bytes, size_t count) {
    client->receive_calls++;
    if (client->receive)
        return client->receive(client->source, client->source_name, bytes, count, &client->received_nanos);
    int64_t got = ck_receive(client->fd, bytes, count, &client->received_nanos);
    client->is_drained = got >= 0 && (size_t)got < count;
    return got;
}

int ct_bio_receive(ct_client *client, BIO *bio, void *bytes, int count) {
    int64_t got = ct_receive_more(client, bytes, (size_t)count);
    if (got >= 0) {
        if (got == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
        return (int)got;
    }
    if (got == -EAGAIN) BIO_set_retry_read(bio);
    else client->socket_error = (int)-got;
    return -1;
}

// A BIO of our own instead of BIO_s_socket: recvmsg brings the kernel's receive time along, ciphertext may come from
// elsewhere than the socket, and MSG_NOSIGNAL spares the process a SIGPIPE.
static int bio_read(BIO *bio, char *bytes, int count) {
    ct_client *client = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    return client->records ? ct_direct_feed(client, bio, bytes, count) : ct_bio_receive(client, bio, bytes, count);
}

static int bio_write(BIO *bio, const char *bytes, int count) {
    ct_client *client = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    int64_t sent = ck_send(client->fd, bytes, (size_t)count);
    if (sent >= 0) return (int)sent;
    if (sent == -EAGAIN) BIO_set_retry_write(bio);
    else client->socket_error = (int)-sent;
    return -1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer) {
    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_FLUSH) return 1;
    if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    return 0;
}

static void describe_failure(char *text, size_t size, const char *what) {
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    snprintf(text, size, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
    ERR_clear_error();
}

// The server has sent a session. A copy is kept: OpenSSL marks the original as bad when the connection breaks.
static int keep_session(SSL *ssl, SSL_SESSION *session) {
    const ct_client *client = SSL_get_app_data(ssl);
    if (client && client->peer[0]) ct_sessions_put(client->context->sessions, client->peer, SSL_SESSION_dup(session));
    return 0;
}

ct_client_context *ct_client_context_new(const char *ca_file, int verify, int minimum, char *error, size_t error_size) {
    ERR_clear_error();
    ct_client_context *context = calloc(1, sizeof *context);
    if (!context) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    context->ssl = SSL_CTX_new(TLS_client_method());
    context->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR, "socket");
    context->sessions = ct_sessions_new();
    if (!context->ssl || !context->method || !context->sessions) {
        describe_failure(error, error_size, "OpenSSL did not start");
        ct_client_context_free(context);
        return NULL;
    }
    BIO_meth_set_read(context->method, bio_read);
    BIO_meth_set_write(context->method, bio_write);
    BIO_meth_set_ctrl(context->method, bio_control);
    SSL_CTX_set_min_proto_version(context->ssl, minimum >= 13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_session_cache_mode(context->ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context->ssl, keep_session);
    SSL_CTX_set_mode(context->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context->ssl, 1);
    SSL_CTX_set_options(context->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    if (verify) {
        SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER, NULL);
        int loaded = ca_file ? SSL_CTX_load_verify_locations(context->ssl, ca_file, NULL)
                             : SSL_CTX_set_default_verify_paths(context->ssl);
        if (loaded != 1) {
            describe_failure(error, error_size, "no certificate could be read");
            ct_client_context_free(context);
            return NULL;
        }
    }
    return context;
}

void ct_client_context_set_direct(ct_client_context *context, int is_direct, int by_openssl) {
    context->is_direct = is_direct;
    context->engine = by_openssl ? CT_ENGINE_EVP : CT_ENGINE_BEST;
    SSL_CTX_set_keylog_callback(context->ssl, is_direct ? ct_direct_note_secret : NULL);
}

void ct_client_context_free(ct_client_context *context) {
    if (!context) return;
    SSL_CTX_free(context->ssl);
    BIO_meth_free(context->method);
    ct_sessions_free(context->sessions);
    free(context);
}

static int name_peer(SSL *ssl, const char *host) {
    unsigned char address[16];
    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, host) && SSL_set_tlsext_host_name(ssl, host);
}

ct_client *ct_client_new(ct_client_context *context, int fd, const char *host, size_t read_buffer) {
    ERR_clear_error();
    ct_client *client = calloc(1, sizeof *client);
    if (!client) return NULL;
    client->fd = fd;
    client->context = context;
    client->ssl = SSL_new(context->ssl);
    client->records = context->is_direct ? ct_records_new(read_buffer) : NULL;
    BIO *bio = BIO_new(context->method);
    if (!client->ssl || !bio || (context->is_direct && !client->records) || !name_peer(client->ssl, host)) {
        BIO_free(bio);
        ct_client_free(client);
        return NULL;
    }
    BIO_set_data(bio, client);
    BIO_set_init(bio, 1);
    SSL_set_bio(client->ssl, bio, bio);
    SSL_set_default_read_buffer_len(client->ssl, read_buffer);
    SSL_set_connect_state(client->ssl);
    SSL_set_app_data(client->ssl, client);
    return client;
}

void ct_client_resume(ct_client *client, const char *peer) {
    if (strlen(peer) >= sizeof client->peer) return;
    snprintf(client->peer, sizeof client->peer, "%s", peer);
    SSL_SESSION *session = ct_sessions_take(client->context->sessions, peer);
    if (!session) return;
    SSL_set_session(client->ssl, session);
    SSL_SESSION_free(session);
    ERR_clear_error();
}

int ct_client_is_resumed(const ct_client *client) { return SSL_session_reused(client->ssl); }

void ct_client_receive_from(ct_client *client, ct_receive receive, void *source, uint64_t name) {
    client->receive = receive;
    client->source = source;
    client->source_name = name;
}

void ct_client_free(ct_client *client) {
    if (!client) return;
    SSL_free(client->ssl);
    ct_records_free(client->records);
    OPENSSL_cleanse(client->secret, sizeof client->secret);
    free(client);
}

int64_t ct_failure(ct_client *client, int result) {
    switch (SSL_get_error(client->ssl, result)) {
    case SSL_ERROR_WANT_READ: return CT_WANT_READ;
    case SSL_ERROR_WANT_WRITE: return CT_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN: return 0;
    default: break;
    }
    long verified = SSL_get_verify_result(client->ssl);
    unsigned long code = ERR_peek_last_error();
    if (client->socket_error != 0) {
        ck_error_text(client->socket_error, client->error, sizeof client->error);
    } else if (verified != X509_V_OK && SSL_in_init(client->ssl)) {
        snprintf(client->error, sizeof client->error, "certificate refused: %s", X509_verify_cert_error_string(verified));
    } else if (code != 0 && ERR_GET_REASON(code) != SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        describe_failure(client->error, sizeof client->error, "TLS");
    } else {
        snprintf(client->error, sizeof client->error, "connection ended without TLS close");
    }
    ERR_clear_error();
    return CT_FAILED;
}

int ct_client_handshake(ct_client *client) {
    ERR_clear_error();
    int result = SSL_do_handshake(client->ssl);
    if (result == 1) {
        ct_direct_begin(client);
        return 0;
    }
    int64_t why = ct_failure(client, result);
    if (why != 0) return (int)why;
    snprintf(client->error, sizeof client->error, "peer closed during the handshake");
    return CT_FAILED;
}

int64_t ct_client_read(ct_client *client, void *bytes, size_t count) {
    if (client->is_direct) return ct_direct_read(client, bytes, count);
    size_t got = 0;
    int result = SSL_read_ex(client->ssl, bytes, count, &got);
    return result == 1 ? (int64_t)got : ct_failure(client, result);
}

int64_t ct_client_write(ct_client *client, const void *bytes, size_t count) {
    ERR_clear_error();
    size_t sent = 0;
    int result = SSL_write_ex(client->ssl, bytes, count, &sent);
    return result == 1 ? (int64_t)sent : ct_failure(client, result);
}

void ct_client_shutdown(ct_client *client) {
    ERR_clear_error();
    if (!SSL_in_init(client->ssl)) SSL_shutdown(client->ssl);
    ERR_clear_error();
}

int ct_client_has_pending(const ct_client *client) {
    if (client->is_direct) return !client->is_over && ct_records_is_ready(client->records);
    return SSL_has_pending(client->ssl) || (client->records && ct_records_held(client->records) > 0);
}

int ct_client_is_drained(const ct_client *client) { return client->is_drained && !ct_client_has_pending(client); }

void ct_client_limit_keys(ct_client *client, uint64_t ask, uint64_t most) {
    if (client->records) ct_records_limit(client->records, ask, most);
}

uint64_t ct_client_read_keys(const ct_client *client) {
    return client->is_direct ? ct_records_keys(client->records) : 0;
}
int64_t ct_client_received_nanos(const ct_client *client) { return client->received_nanos; }
uint64_t ct_client_receive_calls(const ct_client *client) { return client->receive_calls; }
const char *ct_client_error(const ct_client *client) { return client->error; }

int ct_client_describe(const ct_client *client, char *text, size_t size) {
    return snprintf(text, size, "%s %s%s%s%s", SSL_get_version(client->ssl), SSL_get_cipher_name(client->ssl),
                    client->is_direct ? " direct by " : "",
                    client->is_direct ? ct_records_engine(client->records) : "",
                    SSL_session_reused(client->ssl) ? " resumed" : "");
}

void ct_websocket_accept(const char *key, char accept[29]) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    accept[0] = 0;
    if (context && EVP_DigestInit_ex(context, EVP_sha1(), NULL) && EVP_DigestUpdate(context, key, strlen(key)) &&
        EVP_DigestUpdate(context, guid, sizeof guid - 1) && EVP_DigestFinal_ex(context, digest, &size) && size == 20)
        EVP_EncodeBlock((unsigned char *)accept, digest, 20);
    EVP_MD_CTX_free(context);
}
