#include "ctls_signing.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>

struct ct_signing_key {
    EVP_PKEY *key;
};

// PEM_read_bio_PrivateKey asks on the terminal otherwise.
static int no_passphrase(char *buffer, int size, int writing, void *context) {
    (void)buffer;
    (void)size;
    (void)writing;
    (void)context;
    return -1;
}

ct_signing_key *ct_signing_key_new(const void *pem, size_t count, char *error, size_t error_size) {
    ERR_clear_error();
    BIO *bio = count > 0 && count <= INT_MAX ? BIO_new_mem_buf(pem, (int)count) : NULL;
    EVP_PKEY *parsed = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    ct_signing_key *key = parsed ? OPENSSL_zalloc(sizeof *key) : NULL;
    if (!parsed) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        snprintf(error, error_size, "no private key in PEM form%s%s", reason ? ": " : "", reason ? reason : "");
    } else if (!key || EVP_PKEY_get_base_id(parsed) != EVP_PKEY_RSA) {
        snprintf(error, error_size, key ? "the private key is no RSA key" : "out of memory");
        EVP_PKEY_free(parsed);
        OPENSSL_free(key);
        key = NULL;
    } else {
        key->key = parsed;
    }
    ERR_clear_error();
    return key;
}

void ct_signing_key_free(ct_signing_key *key) {
    if (!key) return;
    EVP_PKEY_free(key->key);
    OPENSSL_free(key);
}

size_t ct_signing_key_size(const ct_signing_key *key) { return (size_t)EVP_PKEY_get_size(key->key); }

int64_t ct_sign_sha256(const ct_signing_key *key, const void *bytes, size_t count, uint8_t *signature, size_t room) {
    ERR_clear_error();
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t size = room;
    int done = context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key->key) == 1 &&
               EVP_DigestSign(context, signature, &size, bytes, count) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return done ? (int64_t)size : -1;
}
