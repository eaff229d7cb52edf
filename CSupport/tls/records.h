#ifndef CT_RECORDS_H
#define CT_RECORDS_H

#include "aead.h"

/// Received records of TLS 1.3: application data are opened straight into the reader's memory. Everything else is
/// handed to OpenSSL, which reads a stream of its own in which the application data are left out: such a record is
/// opened, sealed again with the same key under the number that OpenSSL expects next, and shown to OpenSSL alone. It
/// never leaves the process, so that no nonce is used twice for what others see. OpenSSL thus judges tickets, key
/// updates, alerts and faults, answers them, and its state stays in step.
typedef struct ct_records ct_records;

typedef enum {
    /// No whole record is there: more ciphertext is needed.
    CT_RECORDS_NEED,
    /// There are more bytes than the reader had room for.
    CT_RECORDS_FULL,
    /// A record is there that OpenSSL must see: ct_records_notice.
    CT_RECORDS_NOTICE,
    /// The connection cannot go on, and OpenSSL has no part in it: ct_records_failure.
    CT_RECORDS_FAILED,
} ct_records_state;

/// A record for OpenSSL. `must_fail`: the peer broke the protocol, and OpenSSL must come to that, too; the text says
/// how.
typedef struct {
    const unsigned char *bytes;
    size_t count;
    const char *must_fail;
} ct_notice;

enum { CT_RECORD_PLAIN_MAX = 16384, CT_RECORD_SEALED_MAX = 16384 + 256 };

/// `capacity`: bytes of ciphertext that wait at most; at least one record's. NULL where memory is short.
ct_records *ct_records_new(size_t capacity);
void ct_records_free(ct_records *records);

/// Where ciphertext is to be received to, and how much of it; then how much it became.
unsigned char *ct_records_room(ct_records *records, size_t *room);
void ct_records_received(ct_records *records, size_t count);

/// Before the switch: received bytes that OpenSSL is to read, never beyond the end of a record where `single`.
size_t ct_records_feed(ct_records *records, void *bytes, size_t count, int single);
/// Bytes of ciphertext that wait.
size_t ct_records_held(const ct_records *records);
/// Whether OpenSSL was fed whole records only.
int ct_records_is_between(const ct_records *records);
/// The switch: `aead`, which belongs to the records from now on, opens the next record as number 0.
void ct_records_begin(ct_records *records, ct_aead *aead);

/// hot: opens as many records of application data as are there and fit into `room` bytes; `*got` bytes were written.
ct_records_state ct_records_open(ct_records *records, unsigned char *bytes, size_t room, size_t *got);
ct_notice ct_records_notice(const ct_records *records);
/// OpenSSL has accepted the notice. Takes a new key where that was a key update. 0, or -1: see ct_records_failure.
int ct_records_accepted(ct_records *records);
const char *ct_records_failure(const ct_records *records);
/// Whether ct_records_open has something to do before more ciphertext comes.
int ct_records_is_ready(const ct_records *records);

/// How much may be sealed with one key of AES-GCM: 2^24.5 full records (RFC 8446, section 5.5), counted in bytes, since
/// what wears a key out is the number of its blocks. `ask`: from here on the peer is to be asked for a new key; `most`:
/// the connection fails. 0: the defaults.
void ct_records_limit(ct_records *records, uint64_t ask, uint64_t most);
/// Whether the peer is to be asked for a new key; then that it was, which counts until there is one.
int ct_records_wants_key(const ct_records *records);
void ct_records_asked(ct_records *records);
/// Keys so far, the first one included.
uint64_t ct_records_keys(const ct_records *records);
const char *ct_records_engine(const ct_records *records);

#endif
