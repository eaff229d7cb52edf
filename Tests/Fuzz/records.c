// Any stream of records of a server whose key is known, good ones and bad ones, read in pieces of any size. Checked:
// what is read is what was sealed, in order and without a gap; what OpenSSL would be shown opens with the key and the
// number that it would use, or must fail; after that nothing is read. See run-records.
#include <aead.h>
#include <ctls_forge.h>
#include <records.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_MAX = 1 << 18, HANDSHAKE = 22, ALERT = 21, DATA = 23 };

static uint8_t stream[STREAM_MAX], expected[STREAM_MAX];

typedef struct {
    const uint8_t *at;
    size_t left;
} input;

static void check(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static unsigned take(input *in) {
    if (in->left == 0) return 0;
    in->left--;
    return *in->at++;
}

static size_t take_bytes(input *in, uint8_t *to, size_t count) {
    if (count > in->left) count = in->left;
    memcpy(to, in->at, count);
    in->at += count;
    in->left -= count;
    return count;
}

typedef struct {
    ct_forge *forge;
    // Whether its key is no longer the first.
    int is_renewed;
    size_t count, data, latest;
    // Whether all of it must be read.
    int is_good;
} sending;

static void seal(sending *s, uint8_t type, const uint8_t *content, size_t count, size_t padding) {
    if (s->count + count + padding + CT_FORGE_OVERHEAD > STREAM_MAX) return;
    s->latest = s->count;
    s->count += ct_forge_record(s->forge, type, content, count, padding, stream + s->count);
}

/// One thing that a server might send, or that might happen on the way.
static void send_step(sending *s, input *in) {
    static uint8_t content[20000];
    unsigned step = take(in), count = take(in) | (take(in) & 0x7F) << 8;
    switch (step % 16) {
    case 0: case 1: case 2: case 3: case 4: {
        size_t size = step % 16 == 0 ? count % 17000 : count % 300;
        if (s->data + size > STREAM_MAX || s->count + size + 300 > STREAM_MAX) return;
        for (size_t i = 0; i < size; i++) content[i] = (uint8_t)(s->data * 31 + i);
        seal(s, DATA, content, size, step >> 4);
        memcpy(expected + s->data, content, size);
        s->data += size;
        if (size > CT_RECORD_PLAIN_MAX || size == 0) s->is_good = s->is_good && size == 0 && step >> 4 == 0 ? -1 : 0;
        break;
    }
    case 5: case 6: seal(s, HANDSHAKE, content, take_bytes(in, content, count % 200), step >> 4), s->is_good = 0; break;
    case 7: {
        const uint8_t update[] = {24, 0, 0, 1, (uint8_t)(count & 1)};
        seal(s, HANDSHAKE, update, sizeof update, step >> 4);
        ct_forge_renew(s->forge);
        s->is_renewed = 1;
        break;
    }
    case 8: seal(s, ALERT, content, take_bytes(in, content, count % 4), step >> 4), s->is_good = 0; break;
    case 9: {
        uint8_t type = (uint8_t)take(in);
        // A record of type 0 has the type that its content ends with: the zero is padding.
        seal(s, type == DATA || type == 0 ? 24 : type, content, take_bytes(in, content, count % 50), step >> 4);
        s->is_good = 0;
        break;
    }
    case 10:
        if (s->count + 400 < STREAM_MAX) s->count += take_bytes(in, stream + s->count, count % 400);
        s->is_good = 0;
        break;
    case 11:
        if (s->count > 0) stream[count % s->count] ^= (uint8_t)(1 << (step >> 4) % 8);
        s->is_good = 0;
        break;
    case 12: {
        size_t size = s->count - s->latest;
        if (s->count + size > STREAM_MAX) return;
        memcpy(stream + s->count, stream + s->latest, size);
        s->latest = s->count;
        s->count += size;
        if (size > 0) s->is_good = 0;
        break;
    }
    case 13: s->count = s->latest, s->is_good = 0; break;
    case 14: ct_forge_renew(s->forge), s->is_renewed = 1, s->is_good = 0; break;
    default: seal(s, 0, content, 0, count % 100), s->is_good = 0; break;
    }
}

/// In OpenSSL's place: opens what it is shown. Whether it would go on; counts key updates as the records do, but by
/// whole messages.
typedef struct {
    ct_aead *aead;
    int is_renewed;
    uint64_t sequence;
    uint8_t message[1 << 18];
    size_t held;
} judge_state;

static int judge(judge_state *j, ct_notice notice) {
    static uint8_t plain[CT_RECORD_SEALED_MAX];
    check(notice.count >= CT_RECORD_HEADER, "size of a notice");
    check(notice.count <= CT_RECORD_HEADER + CT_RECORD_SEALED_MAX, "size of a notice");
    size_t size = (size_t)notice.bytes[3] << 8 | notice.bytes[4];
    int opens = notice.bytes[0] == DATA && size > CT_AEAD_TAG && size + CT_RECORD_HEADER == notice.count &&
                ct_aead_open(j->aead, j->sequence, notice.bytes, notice.bytes + CT_RECORD_HEADER, size, plain);
    if (notice.must_fail) return 0;
    check(opens, "a record that OpenSSL could not open");
    j->sequence++;
    size_t content = size - CT_AEAD_TAG;
    while (content > 0 && plain[content - 1] == 0) content--;
    check(content > 0, "a record without a type was not refused");
    uint8_t type = plain[--content];
    check(type == HANDSHAKE || type == ALERT, "a record of this type is not OpenSSL's");
    if (type == ALERT) return content == 2 && plain[0] == 1 && plain[1] == 90 && j->held == 0;
    check(content > 0, "an empty record of the handshake was not refused");
    if (j->held + content > sizeof j->message) return 0;
    memcpy(j->message + j->held, plain, content);
    j->held += content;
    size_t at = 0;
    int updates = 0;
    while (j->held - at >= 4) {
        size_t whole = 4 + ((size_t)j->message[at + 1] << 16 | (size_t)j->message[at + 2] << 8 | j->message[at + 3]);
        if (j->held - at < whole) break;
        updates += j->message[at] == 24;
        at += whole;
        // OpenSSL wants a record to end where a key does.
        if (updates > 0 && at < j->held) return 0;
    }
    memmove(j->message, j->message + at, j->held - at);
    j->held -= at;
    if (updates == 0) return 1;
    check(ct_aead_renew(j->aead) == 0, "renewing");
    j->is_renewed = 1;
    j->sequence = 0;
    return 1;
}

/// Reads the stream. Whether it was read to its end.
static int receive(ct_records *records, sending *s, judge_state *j, input whole) {
    input in = whole;
    size_t given = 0, read = 0;
    for (;;) {
        // What the input does not say is read at once: byte by byte it would take longer than all that the input says.
        size_t most = in.left > 0 ? take(&in) : 255, room = most < 200 ? 1 + most * 7 : 65536, got = 0;
        // Exactly so much memory, so that a byte too much is noticed.
        uint8_t *bytes = malloc(room);
        ct_records_state state = ct_records_open(records, bytes, room, &got);
        check(got <= room && got <= s->data - read, "more was read than was sealed");
        check(memcmp(bytes, expected + read, got) == 0, "what was read is not what was sealed");
        free(bytes);
        read += got;
        if (state == CT_RECORDS_FULL) check(got > 0 && ct_records_is_ready(records), "no progress");
        if (state == CT_RECORDS_FAILED) return 0;
        if (state == CT_RECORDS_NOTICE) {
            check(ct_records_is_ready(records), "a notice that nobody would look for");
            if (!judge(j, ct_records_notice(records))) return 0;
            check(ct_records_accepted(records) == 0, "accepting");
        }
        if (state != CT_RECORDS_NEED) continue;
        check(!ct_records_is_ready(records), "a record was overlooked");
        if (given == s->count) break;
        unsigned char *to = ct_records_room(records, &room);
        check(room > 0, "no room for a record");
        size_t part = most < 128 ? 1 + most * 11 : s->count;
        if (part > room) part = room;
        if (part > s->count - given) part = s->count - given;
        memcpy(to, stream + given, part);
        ct_records_received(records, part);
        given += part;
    }
    return read == s->data;
}

/// The server's and the judge's ends with a suite's first key. They are kept as long as nobody renews it, since most of a run's
/// time would go into OpenSSL's making of keys.
static struct {
    ct_forge *forge;
    ct_aead *judge;
} kept[3];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t secret[48] = {1, 2, 3};
    static judge_state j;
    input in = {data, size};
    unsigned how = take(&in);
    unsigned which = how % 3;
    uint16_t suite = (uint16_t)(0x1301 + which);
    size_t secret_size = suite == 0x1302 ? 48 : 32;
    if (!kept[which].forge) kept[which].forge = ct_forge_new(suite, secret, secret_size);
    if (!kept[which].judge) kept[which].judge = ct_aead_new(suite, secret, secret_size, CT_ENGINE_EVP);
    ct_forge_rewind(kept[which].forge);
    sending s = {kept[which].forge, 0, 0, 0, 0, 1};
    for (int steps = 0; steps < 100 && in.left > 2; steps++) {
        int before = s.is_good;
        send_step(&s, &in);
        // A single empty record is fine; a row of them is judged elsewhere.
        if (s.is_good < 0) s.is_good = before > 0 && steps < 32;
    }
    ct_records *records = ct_records_new(how & 64 ? 65536 : 1);
    ct_records_begin(records, ct_aead_new(suite, secret, secret_size, how & 32 ? CT_ENGINE_BEST : CT_ENGINE_EVP));
    j.aead = kept[which].judge;
    j.is_renewed = 0;
    j.sequence = j.held = 0;
    int is_whole = receive(records, &s, &j, (input){data, size});
    check(is_whole || !s.is_good, "good records were not read to their end");
    ct_records_free(records);
    if (j.is_renewed) ct_aead_free(j.aead), kept[which].judge = NULL;
    if (s.is_renewed) ct_forge_free(s.forge), kept[which].forge = NULL;
    return 0;
}
