#include "ctls_forge.h"
#include "aead.h"

#include <stdlib.h>
#include <string.h>

struct ct_forge {
    ct_aead *aead;
    uint64_t sequence;
};

ct_forge *ct_forge_new(uint16_t suite, const uint8_t *secret, size_t size) {
    ct_forge *forge = calloc(1, sizeof *forge);
    if (forge && (forge->aead = ct_aead_new(suite, secret, size, CT_ENGINE_EVP))) return forge;
    free(forge);
    return NULL;
}

void ct_forge_free(ct_forge *forge) {
    if (!forge) return;
    ct_aead_free(forge->aead);
    free(forge);
}

size_t ct_forge_record(ct_forge *forge, uint8_t type, const void *content, size_t count, size_t padding,
                       uint8_t *record) {
    size_t inner = count + 1 + padding;
    size_t size = inner + CT_AEAD_TAG;
    if (size > UINT16_MAX) return 0;
    const uint8_t header[CT_RECORD_HEADER] = {23, 3, 3, (uint8_t)(size >> 8), (uint8_t)size};
    memcpy(record, header, sizeof header);
    if (count > 0) memcpy(record + CT_RECORD_HEADER, content, count);
    record[CT_RECORD_HEADER + count] = type;
    memset(record + CT_RECORD_HEADER + count + 1, 0, padding);
    uint8_t *sealed = record + CT_RECORD_HEADER;
    return ct_aead_seal(forge->aead, forge->sequence++, header, sealed, inner, sealed) ? CT_RECORD_HEADER + size : 0;
}

void ct_forge_rewind(ct_forge *forge) { forge->sequence = 0; }

int ct_forge_renew(ct_forge *forge) {
    forge->sequence = 0;
    return ct_aead_renew(forge->aead);
}
