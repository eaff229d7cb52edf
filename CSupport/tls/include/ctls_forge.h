// Records as a server of TLS 1.3 might send them, good and bad: for tests, fuzzing and measurements.
#ifndef CTLS_FORGE_H
#define CTLS_FORGE_H

#include <stddef.h>
#include <stdint.h>

typedef struct ct_forge ct_forge;

/// Bytes that a record takes besides content and padding: header, type, tag.
enum { CT_FORGE_OVERHEAD = 22 };

/// `suite`: 0x1301 to 0x1303; `secret`: the traffic secret, 32 or 48 bytes as the suite wants it. The next record has
/// number 0. NULL where they do not fit or memory is short.
ct_forge *ct_forge_new(uint16_t suite, const uint8_t *secret, size_t size);
void ct_forge_free(ct_forge *forge);
/// A sealed record into `record`, which has room for `count` + `padding` + CT_FORGE_OVERHEAD bytes. Bytes written, or
/// 0.
size_t ct_forge_record(ct_forge *forge, uint8_t type, const void *content, size_t count, size_t padding,
                       uint8_t *record);
/// What follows is sealed with the same key, from number 0 on.
void ct_forge_rewind(ct_forge *forge);
/// What follows is sealed with the next key, from number 0 on. 0, or -1.
int ct_forge_renew(ct_forge *forge);

#endif
