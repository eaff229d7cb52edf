#define _GNU_SOURCE
#include "records.h"

#include <stdlib.h>
#include <string.h>

enum { ALERT = 21, HANDSHAKE = 22, APPLICATION_DATA = 23 };
enum { KEY_UPDATE = 24 };
// OpenSSL's own limit: so many empty records in a row say nothing but cost time.
enum { EMPTY_MAX = 32 };
// Blocks that a record takes besides its content: header, lengths, mask of the tag.
enum { RECORD_OVERHEAD = 48 };

// 2^24 and 2^24.5 times 2^14 bytes: between the two the peer has 100 GB to answer in.
static const uint64_t ASK_DEFAULT = UINT64_C(1) << 38;
static const uint64_t MOST_DEFAULT = UINT64_C(388736063996);

/// Where the messages of the handshake protocol begin and end, across records (RFC 8446, section 5.1).
typedef struct {
    unsigned char header[4];
    unsigned have;
    size_t left;
    int key_updates;
} message_walk;

struct ct_records {
    ct_aead *aead;
    uint64_t sequence;
    // OpenSSL's number of the next record that it reads.
    uint64_t counterpart;
    uint64_t used, ask, most, keys;
    int has_asked;
    unsigned empties;
    message_walk walk;
    // Ciphertext waits in [start, end).
    unsigned char *sealed;
    size_t start, end, capacity;
    // How far OpenSSL was fed into the current record.
    size_t fed;
    unsigned char fed_header[CT_RECORD_HEADER];
    // Plaintext that the reader had no room for waits in [aside_start, aside_end) of `aside`; or else the notice is
    // there.
    size_t aside_start, aside_end;
    size_t notice_size;
    const char *must_fail;
    const char *failure;
    unsigned char aside[CT_RECORD_HEADER + CT_RECORD_SEALED_MAX];
};

ct_records *ct_records_new(size_t capacity) {
    // What is set aside is rare: those pages stay untouched.
    ct_records *records = malloc(sizeof *records);
    if (!records) return NULL;
    memset(records, 0, offsetof(ct_records, aside));
    if (capacity < CT_RECORD_HEADER + CT_RECORD_SEALED_MAX) capacity = CT_RECORD_HEADER + CT_RECORD_SEALED_MAX;
    records->capacity = capacity;
    records->sealed = malloc(capacity);
    ct_records_limit(records, 0, 0);
    if (records->sealed) return records;
    free(records);
    return NULL;
}

void ct_records_free(ct_records *records) {
    if (!records) return;
    ct_aead_free(records->aead);
    free(records->sealed);
    free(records);
}

unsigned char *ct_records_room(ct_records *records, size_t *room) {
    size_t held = records->end - records->start;
    if (records->start > 0) {
        // At most the beginning of a record, where this is called when nothing else is left.
        memmove(records->sealed, records->sealed + records->start, held);
        records->start = 0;
        records->end = held;
    }
    *room = records->capacity - held;
    return records->sealed + held;
}

void ct_records_received(ct_records *records, size_t count) { records->end += count; }

// MARK: OpenSSL reads

static size_t record_size(const unsigned char header[CT_RECORD_HEADER]) { return (size_t)header[3] << 8 | header[4]; }

size_t ct_records_feed(ct_records *records, void *bytes, size_t count, int single) {
    size_t held = records->end - records->start;
    if (count > held) count = held;
    const unsigned char *from = records->sealed + records->start;
    if (single) {
        size_t fed = records->fed;
        size_t left = fed < CT_RECORD_HEADER ? CT_RECORD_HEADER - fed
                                             : CT_RECORD_HEADER + record_size(records->fed_header) - fed;
        if (count > left) count = left;
        if (fed < CT_RECORD_HEADER) memcpy(records->fed_header + fed, from, count);
        records->fed += count;
        if (records->fed >= CT_RECORD_HEADER &&
            records->fed == CT_RECORD_HEADER + record_size(records->fed_header))
            records->fed = 0;
    }
    memcpy(bytes, from, count);
    records->start += count;
    return count;
}

size_t ct_records_held(const ct_records *records) { return records->end - records->start; }

int ct_records_is_between(const ct_records *records) { return records->fed == 0; }

void ct_records_begin(ct_records *records, ct_aead *aead) {
    records->aead = aead;
    records->keys = 1;
}

// MARK: Records that OpenSSL must see

/// The record as it came: OpenSSL's judgement of its header is asked for.
static void show_header(ct_records *records, const unsigned char *record, size_t count, const char *why) {
    memcpy(records->aside, record, count);
    records->notice_size = count;
    records->must_fail = why;
}

/// A record that is no one's, instead of one that was tampered with: that might be an earlier one under its own number.
static void show_forged(ct_records *records) {
    enum { SIZE = 32 };
    static const unsigned char header[CT_RECORD_HEADER] = {APPLICATION_DATA, 3, 3, 0, SIZE};
    memcpy(records->aside, header, sizeof header);
    memset(records->aside + sizeof header, 0, SIZE);
    records->notice_size = sizeof header + SIZE;
    records->must_fail = "a record that is not authentic";
}

/// An opened record, sealed again for OpenSSL.
static void show_sealed(ct_records *records, const unsigned char *header, const unsigned char *plain, size_t size,
                        const char *why) {
    unsigned char copy[CT_RECORD_HEADER];
    memcpy(copy, header, sizeof copy);
    if (!ct_aead_seal(records->aead, records->counterpart, copy, plain, size, records->aside + CT_RECORD_HEADER)) {
        records->failure = "OpenSSL could not seal a record";
        return;
    }
    memcpy(records->aside, copy, sizeof copy);
    records->counterpart++;
    records->notice_size = CT_RECORD_HEADER + size + CT_AEAD_TAG;
    records->must_fail = why;
}

/// Follows the messages of a record; counts the key updates that end in it.
static void walk(message_walk *walk, const unsigned char *bytes, size_t count) {
    while (count > 0) {
        if (walk->have < sizeof walk->header) {
            walk->header[walk->have++] = *bytes++;
            count--;
            if (walk->have < sizeof walk->header) continue;
            walk->left = (size_t)walk->header[1] << 16 | (size_t)walk->header[2] << 8 | walk->header[3];
        } else {
            size_t part = count < walk->left ? count : walk->left;
            walk->left -= part;
            bytes += part;
            count -= part;
        }
        if (walk->left == 0) {
            walk->have = 0;
            if (walk->header[0] == KEY_UPDATE) walk->key_updates++;
        }
    }
}

ct_notice ct_records_notice(const ct_records *records) {
    return (ct_notice){records->aside, records->notice_size, records->must_fail};
}

int ct_records_accepted(ct_records *records) {
    records->notice_size = 0;
    if (records->walk.key_updates == 0) return 0;
    records->walk.key_updates = 0;
    // OpenSSL takes one update only, at the end of a record; it has begun to count anew as well.
    if (ct_aead_renew(records->aead) < 0) {
        records->failure = "OpenSSL could not derive the next key";
        return -1;
    }
    records->sequence = records->counterpart = records->used = 0;
    records->has_asked = 0;
    records->keys++;
    return 0;
}

const char *ct_records_failure(const ct_records *records) { return records->failure; }

// MARK: Application data

/// What is wrong with a header; NULL: nothing. All protected records look like application data of TLS 1.2
/// (RFC 8446, section 5.2).
static const char *header_fault(const unsigned char header[CT_RECORD_HEADER]) {
    size_t size = record_size(header);
    if (header[0] != APPLICATION_DATA) return "a record that is not protected";
    if (header[1] != 3 || header[2] != 3) return "a record of an unknown version";
    if (size > CT_RECORD_SEALED_MAX) return "a record that is too long";
    return size > CT_AEAD_TAG ? NULL : "a record that is too short";
}

/// An opened record that is not just application data.
static void judge(ct_records *records, const unsigned char *header, unsigned char *plain, size_t inner,
                  unsigned char type, size_t content) {
    const char *why = NULL;
    int in_message = records->walk.have > 0;
    if (type == HANDSHAKE) {
        walk(&records->walk, plain, content);
        if (content == 0) why = "an empty record of the handshake protocol";
    } else if (type == APPLICATION_DATA) {
        why = in_message ? "application data within a message of the handshake protocol"
                         : "a record with too much in it";
        if (content == 0 && !in_message) {
            // OpenSSL would count only those that it sees: this one becomes a record of no type.
            memset(plain, 0, inner);
            why = "too many empty records";
        }
    } else if (type != ALERT) {
        why = "a record of an unknown type";
    }
    if (content > CT_RECORD_PLAIN_MAX) why = "a record with too much in it";
    show_sealed(records, header, plain, inner, why);
}

static size_t take_aside(ct_records *records, unsigned char *bytes, size_t room) {
    size_t count = records->aside_end - records->aside_start;
    if (count > room) count = room;
    if (count == 0) return 0;
    memcpy(bytes, records->aside + records->aside_start, count);
    records->aside_start += count;
    return count;
}

/// hot: whether `content` bytes of application data are all that there is to this record.
static inline int is_ordinary(ct_records *records, unsigned char type, size_t content) {
    if (type != APPLICATION_DATA || content > CT_RECORD_PLAIN_MAX || records->walk.have > 0) return 0;
    if (content > 0) {
        records->empties = 0;
        return 1;
    }
    return ++records->empties <= EMPTY_MAX;
}

ct_records_state ct_records_open(ct_records *records, unsigned char *bytes, size_t room, size_t *got) {
    size_t written = take_aside(records, bytes, room);
    ct_records_state state;
    for (;;) {
        if (records->aside_start < records->aside_end) {
            state = CT_RECORDS_FULL;
            break;
        }
        if (records->notice_size > 0 || records->failure) {
            state = records->failure ? CT_RECORDS_FAILED : CT_RECORDS_NOTICE;
            break;
        }
        size_t held = records->end - records->start;
        state = CT_RECORDS_NEED;
        if (held < CT_RECORD_HEADER) break;
        const unsigned char *header = records->sealed + records->start;
        size_t size = record_size(header);
        const char *fault = header_fault(header);
        if (fault && (size > CT_RECORD_SEALED_MAX || held >= CT_RECORD_HEADER + size)) {
            if (size > CT_RECORD_SEALED_MAX) size = 0;
            show_header(records, header, CT_RECORD_HEADER + size, fault);
            continue;
        }
        if (held < CT_RECORD_HEADER + size) break;
        size_t inner = size - CT_AEAD_TAG;
        unsigned char *plain = bytes + written;
        if (room - written < inner) {
            state = CT_RECORDS_FULL;
            if (written > 0) break;
            plain = records->aside + CT_RECORD_HEADER;
        }
        if (records->used > records->most) {
            records->failure = "the server gave no new key although this one has sealed 2^24.5 full records";
            continue;
        }
        if (!ct_aead_open(records->aead, records->sequence, header, header + CT_RECORD_HEADER, size, plain)) {
            show_forged(records);
            continue;
        }
        records->sequence++;
        records->used += size + RECORD_OVERHEAD;
        records->start += CT_RECORD_HEADER + size;
        // The type is behind the content, and padding of zeros behind that (RFC 8446, section 5.4).
        size_t content = inner;
        while (content > 0 && plain[content - 1] == 0) content--;
        unsigned char type = content > 0 ? plain[--content] : 0;
        if (!is_ordinary(records, type, content)) {
            judge(records, header, plain, inner, type, content);
        } else if (plain == bytes + written) {
            written += content;
        } else {
            records->aside_start = CT_RECORD_HEADER;
            records->aside_end = CT_RECORD_HEADER + content;
            written += take_aside(records, bytes, room);
        }
    }
    *got = written;
    return state;
}

int ct_records_is_ready(const ct_records *records) {
    if (records->aside_start < records->aside_end || records->notice_size > 0) return 1;
    size_t held = records->end - records->start;
    if (held < CT_RECORD_HEADER) return 0;
    size_t size = record_size(records->sealed + records->start);
    return size > CT_RECORD_SEALED_MAX || held >= CT_RECORD_HEADER + size;
}

// MARK: Limits

void ct_records_limit(ct_records *records, uint64_t ask, uint64_t most) {
    records->ask = ask ? ask : ASK_DEFAULT;
    records->most = most ? most : MOST_DEFAULT;
}

int ct_records_wants_key(const ct_records *records) { return records->used >= records->ask && !records->has_asked; }
void ct_records_asked(ct_records *records) { records->has_asked = 1; }
uint64_t ct_records_keys(const ct_records *records) { return records->keys; }
const char *ct_records_engine(const ct_records *records) { return ct_aead_engine(records->aead); }
