#define _GNU_SOURCE
#include "aead.h"
#include "multibuffer.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint16_t number;
    const char *cipher, *digest;
    size_t key_size, secret_size;
} suite_facts;

// RFC 8446, appendix B.4; the two CCM suites are OpenSSL's affair.
static const suite_facts suites[] = {
    {0x1301, "AES-128-GCM", "SHA256", 16, 32},
    {0x1302, "AES-256-GCM", "SHA384", 32, 48},
    {0x1303, "ChaCha20-Poly1305", "SHA256", 32, 32},
};

struct ct_aead {
    const suite_facts *suite;
    EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *opening, *sealing;
    EVP_KDF_CTX *derivation;
    ct_multibuffer *multibuffer;
    unsigned char iv[CT_AEAD_NONCE];
    unsigned char secret[CT_SECRET_MAX];
};

/// HKDF-Expand-Label with an empty context (RFC 8446, section 7.1).
static int expand(ct_aead *aead, const char *label, unsigned char *out, size_t size) {
    unsigned char info[64];
    size_t label_size = strlen(label);
    if (label_size > 32) return -1;
    info[0] = (unsigned char)(size >> 8);
    info[1] = (unsigned char)size;
    info[2] = (unsigned char)(6 + label_size);
    memcpy(info + 3, "tls13 ", 6);
    memcpy(info + 9, label, label_size);
    info[9 + label_size] = 0;
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)aead->suite->digest, 0),
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, aead->secret, aead->suite->secret_size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, 10 + label_size),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF_CTX_reset(aead->derivation);
    return EVP_KDF_derive(aead->derivation, out, size, parameters) == 1 ? 0 : -1;
}

static int set_keys(ct_aead *aead) {
    unsigned char key[32];
    int done = expand(aead, "key", key, aead->suite->key_size) == 0 &&
               expand(aead, "iv", aead->iv, sizeof aead->iv) == 0 &&
               EVP_DecryptInit_ex(aead->opening, aead->cipher, NULL, key, NULL) == 1 &&
               EVP_EncryptInit_ex(aead->sealing, aead->cipher, NULL, key, NULL) == 1;
    if (done && aead->multibuffer) ct_multibuffer_set_key(aead->multibuffer, key);
    OPENSSL_cleanse(key, sizeof key);
    return done ? 0 : -1;
}

/// Seals a record by OpenSSL and opens it by the other library: whether both mean the same.
static int agrees(ct_aead *aead) {
    enum { SIZE = 301 };
    static const unsigned char header[CT_RECORD_HEADER] = {23, 3, 3, 1, 61};
    unsigned char plain[SIZE], sealed[SIZE + CT_AEAD_TAG], opened[SIZE];
    for (int i = 0; i < SIZE; i++) plain[i] = (unsigned char)(i * 7);
    return ct_aead_seal(aead, UINT64_MAX - 1, header, plain, SIZE, sealed) == 1 &&
           ct_aead_open(aead, UINT64_MAX - 1, header, sealed, sizeof sealed, opened) == 1 &&
           memcmp(plain, opened, SIZE) == 0;
}

ct_aead *ct_aead_new(uint16_t number, const unsigned char *secret, size_t size, ct_engine engine) {
    const suite_facts *suite = NULL;
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
        if (suites[i].number == number && suites[i].secret_size == size) suite = &suites[i];
    ct_aead *aead = suite ? calloc(1, sizeof *aead) : NULL;
    if (!aead) return NULL;
    aead->suite = suite;
    memcpy(aead->secret, secret, size);
    EVP_KDF *hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    aead->derivation = EVP_KDF_CTX_new(hkdf);
    EVP_KDF_free(hkdf);
    aead->cipher = EVP_CIPHER_fetch(NULL, suite->cipher, NULL);
    aead->opening = EVP_CIPHER_CTX_new();
    aead->sealing = EVP_CIPHER_CTX_new();
    if (engine == CT_ENGINE_BEST && suite->number != 0x1303) aead->multibuffer = ct_multibuffer_new(suite->key_size);
    int done = aead->derivation && aead->cipher && aead->opening && aead->sealing && set_keys(aead) == 0;
    if (done && aead->multibuffer && !agrees(aead)) {
        ct_multibuffer_free(aead->multibuffer);
        aead->multibuffer = NULL;
    }
    if (done) return aead;
    ct_aead_free(aead);
    ERR_clear_error();
    return NULL;
}

void ct_aead_free(ct_aead *aead) {
    if (!aead) return;
    EVP_CIPHER_CTX_free(aead->opening);
    EVP_CIPHER_CTX_free(aead->sealing);
    EVP_CIPHER_free(aead->cipher);
    EVP_KDF_CTX_free(aead->derivation);
    ct_multibuffer_free(aead->multibuffer);
    OPENSSL_cleanse(aead, sizeof *aead);
    free(aead);
}

int ct_aead_renew(ct_aead *aead) {
    unsigned char next[CT_SECRET_MAX];
    int done = expand(aead, "traffic upd", next, aead->suite->secret_size) == 0;
    if (done) memcpy(aead->secret, next, aead->suite->secret_size);
    OPENSSL_cleanse(next, sizeof next);
    if (done && set_keys(aead) == 0) return 0;
    ERR_clear_error();
    return -1;
}

/// The IV with the record's number in its last eight bytes (RFC 8446, section 5.3).
static inline void make_nonce(const ct_aead *aead, uint64_t sequence, unsigned char nonce[CT_AEAD_NONCE]) {
    memcpy(nonce, aead->iv, CT_AEAD_NONCE);
    uint64_t tail;
    memcpy(&tail, nonce + 4, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    tail ^= __builtin_bswap64(sequence);
#else
    tail ^= sequence;
#endif
    memcpy(nonce + 4, &tail, 8);
}

static int open_by_openssl(ct_aead *aead, const unsigned char *nonce, const unsigned char *header,
                           const unsigned char *sealed, size_t size, unsigned char *plain) {
    // IV and tag in one call: each costs a walk through the provider.
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, (void *)(sealed + size), CT_AEAD_TAG),
        OSSL_PARAM_construct_end(),
    };
    int count;
    unsigned char none[16];
    if (EVP_DecryptInit_ex2(aead->opening, NULL, NULL, nonce, parameters) == 1 &&
        EVP_DecryptUpdate(aead->opening, NULL, &count, header, CT_RECORD_HEADER) == 1 &&
        EVP_DecryptUpdate(aead->opening, plain, &count, sealed, (int)size) == 1 &&
        EVP_DecryptFinal_ex(aead->opening, none, &count) == 1)
        return 1;
    ERR_clear_error();
    return 0;
}

int ct_aead_open(ct_aead *aead, uint64_t sequence, const unsigned char header[CT_RECORD_HEADER],
                 const unsigned char *sealed, size_t size, unsigned char *plain) {
    unsigned char nonce[CT_AEAD_NONCE];
    make_nonce(aead, sequence, nonce);
    size -= CT_AEAD_TAG;
    if (!aead->multibuffer) return open_by_openssl(aead, nonce, header, sealed, size, plain);
    unsigned char tag[CT_AEAD_TAG];
    ct_multibuffer_open(aead->multibuffer, nonce, header, CT_RECORD_HEADER, sealed, size, plain, tag);
    return CRYPTO_memcmp(tag, sealed + size, CT_AEAD_TAG) == 0;
}

int ct_aead_seal(ct_aead *aead, uint64_t sequence, const unsigned char header[CT_RECORD_HEADER],
                 const unsigned char *plain, size_t size, unsigned char *sealed) {
    unsigned char nonce[CT_AEAD_NONCE];
    make_nonce(aead, sequence, nonce);
    int count;
    unsigned char none[16];
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, sealed + size, CT_AEAD_TAG),
        OSSL_PARAM_construct_end(),
    };
    if (EVP_EncryptInit_ex(aead->sealing, NULL, NULL, NULL, nonce) == 1 &&
        EVP_EncryptUpdate(aead->sealing, NULL, &count, header, CT_RECORD_HEADER) == 1 &&
        EVP_EncryptUpdate(aead->sealing, sealed, &count, plain, (int)size) == 1 &&
        EVP_EncryptFinal_ex(aead->sealing, none, &count) == 1 &&
        EVP_CIPHER_CTX_get_params(aead->sealing, parameters) == 1)
        return 1;
    ERR_clear_error();
    return 0;
}

const char *ct_aead_engine(const ct_aead *aead) { return aead->multibuffer ? "IPsec-MB" : "EVP"; }
