#define _GNU_SOURCE
#include "client_private.h"
#include "multibuffer.h"
#include "secrets.h"

#include <ckernel.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

// Receives and records for OpenSSL, without any data, after which a read comes back.
enum { TURNS_MAX = 64 };

// MARK: Taking over

void ct_direct_note_secret(const SSL *ssl, const char *line) {
    ct_client *client = SSL_get_app_data(ssl);
    if (client && client->records) ct_secret_note(line, client->secret, &client->secret_size);
}

const char *ct_direct_engine(void) { return ct_multibuffer_is_there() ? "IPsec-MB" : "EVP"; }

void ct_direct_begin(ct_client *client) {
    if (!client->records || client->is_direct) return;
    ct_aead *aead = NULL;
    // OpenSSL was fed record by record: whatever came after the server's Finished is still ours.
    if (client->secret_size > 0 && SSL_version(client->ssl) == TLS1_3_VERSION &&
        ct_records_is_between(client->records) && !SSL_has_pending(client->ssl))
        aead = ct_aead_new(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(client->ssl)), client->secret,
                           client->secret_size, client->context->engine);
    OPENSSL_cleanse(client->secret, sizeof client->secret);
    client->secret_size = 0;
    if (!aead) return;
    ct_records_begin(client->records, aead);
    client->is_direct = 1;
    // It reads next to nothing from now on.
    SSL_free_buffers(client->ssl);
}

// MARK: What OpenSSL reads

int ct_direct_feed(ct_client *client, BIO *bio, char *bytes, int count) {
    if (client->is_direct) {
        ct_notice notice = ct_records_notice(client->records);
        size_t left = client->is_handing ? notice.count - client->handed : 0;
        if (left == 0) {
            BIO_set_retry_read(bio);
            return -1;
        }
        if ((size_t)count < left) left = (size_t)count;
        memcpy(bytes, notice.bytes + client->handed, left);
        client->handed += left;
        return (int)left;
    }
    // Record by record during the handshake; if OpenSSL goes on after it, it has all that is left, and then the socket.
    int single = !SSL_is_init_finished(client->ssl);
    size_t fed = ct_records_feed(client->records, bytes, (size_t)count, single);
    if (fed > 0) return (int)fed;
    if (!single) {
        ct_records_free(client->records);
        client->records = NULL;
        return ct_bio_receive(client, bio, bytes, count);
    }
    size_t room;
    unsigned char *to = ct_records_room(client->records, &room);
    int got = ct_bio_receive(client, bio, to, (int)room);
    if (got <= 0) return got;
    ct_records_received(client->records, (size_t)got);
    return (int)ct_records_feed(client->records, bytes, (size_t)count, single);
}

// MARK: Reading

static int64_t end(ct_client *client, int64_t verdict) {
    client->is_over = 1;
    client->verdict = verdict;
    return verdict;
}

static int64_t fail(ct_client *client, const char *why) {
    snprintf(client->error, sizeof client->error, "TLS: %s", why);
    return end(client, CT_FAILED);
}

/// Lets OpenSSL work on the notice. CT_WANT_READ: it is done, and reading goes on.
static int64_t hand_over(ct_client *client) {
    if (!client->is_handing) {
        client->is_handing = 1;
        client->handed = 0;
    }
    ERR_clear_error();
    char byte;
    size_t got = 0;
    int result = SSL_read_ex(client->ssl, &byte, 1, &got);
    const char *must_fail = ct_records_notice(client->records).must_fail;
    if (result == 1) return fail(client, must_fail ? must_fail : "OpenSSL read data where there are none");
    int64_t verdict = ct_failure(client, result);
    if (verdict == CT_WANT_WRITE) return verdict;
    client->is_handing = 0;
    if (verdict == CT_WANT_READ) {
        if (must_fail) return fail(client, must_fail);
        if (ct_records_accepted(client->records) < 0) return fail(client, ct_records_failure(client->records));
        SSL_free_buffers(client->ssl);
        return verdict;
    }
    if (must_fail) {
        if (verdict == 0) return fail(client, must_fail);
        // OpenSSL's alert is on its way; its reason speaks of what it was shown.
        char reason[sizeof client->error];
        snprintf(reason, sizeof reason, "%s", client->error);
        snprintf(client->error, sizeof client->error, "%.160s (%.80s)", reason, must_fail);
    }
    return end(client, verdict);
}

/// Asks for a new key well before this one is worn out; tried again with the next read where an earlier write is not
/// done.
static void ask_for_key(ct_client *client) {
    ERR_clear_error();
    if (SSL_key_update(client->ssl, SSL_KEY_UPDATE_REQUESTED) == 1) {
        ct_records_asked(client->records);
        // What the socket does not take now goes out with the next write.
        SSL_do_handshake(client->ssl);
    }
    ERR_clear_error();
}

static int64_t receive(ct_client *client) {
    size_t room;
    unsigned char *to = ct_records_room(client->records, &room);
    int64_t got = ct_receive_more(client, to, room);
    if (got > 0) {
        ct_records_received(client->records, (size_t)got);
        return got;
    }
    if (got == -EAGAIN) return CT_WANT_READ;
    if (got == 0) snprintf(client->error, sizeof client->error, "connection ended without TLS close");
    else ck_error_text((int)-got, client->error, sizeof client->error);
    return end(client, CT_FAILED);
}

int64_t ct_direct_read(ct_client *client, void *bytes, size_t count) {
    // A peer that sends nothing but tickets must not keep the thread from its other connections.
    for (int turns = 0; !client->is_over; turns++) {
        if (turns == TURNS_MAX) return CT_WANT_READ;
        size_t got = 0;
        ct_records_state state = CT_RECORDS_NOTICE;
        if (!client->is_handing) {
            state = ct_records_open(client->records, bytes, count, &got);
            if (ct_records_wants_key(client->records)) ask_for_key(client);
            if (got > 0) return (int64_t)got;
        }
        int64_t result = CT_WANT_READ;
        switch (state) {
        case CT_RECORDS_NEED:
            result = receive(client);
            if (result <= 0) return result;
            break;
        case CT_RECORDS_NOTICE:
            result = hand_over(client);
            if (result != CT_WANT_READ) return result;
            break;
        case CT_RECORDS_FULL: return CT_WANT_READ;
        case CT_RECORDS_FAILED: return fail(client, ct_records_failure(client->records));
        }
    }
    return client->verdict;
}
