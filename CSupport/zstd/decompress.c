#include "czstd.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

// A frame's head up to the end of the dictionary id (RFC 8878, section 3.1.1.1): magic number, descriptor, window,
// id. The size of the content follows and does not matter here.
enum { head_max = 10 };

struct cz_decompressor {
    ZSTD_DCtx *context;
    ZSTD_DDict **dictionaries;
    size_t dictionary_count;
    uint8_t head[head_max];
    // Bytes of the head that are collected, as long as it is not complete.
    size_t head_count;
    // Its head was given to zstd, its end was not.
    int is_inside;
    uint32_t missing;
};

cz_decompressor *cz_decompressor_new(void) {
    cz_decompressor *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    made->context = ZSTD_createDCtx();
    if (made->context) return made;
    free(made);
    return NULL;
}

void cz_decompressor_free(cz_decompressor *decompressor) {
    if (!decompressor) return;
    ZSTD_freeDCtx(decompressor->context);
    for (size_t index = 0; index < decompressor->dictionary_count; index++)
        ZSTD_freeDDict(decompressor->dictionaries[index]);
    free(decompressor->dictionaries);
    free(decompressor);
}

int cz_decompressor_add(cz_decompressor *decompressor, const void *bytes, size_t count) {
    if (!cz_dictionary_id(bytes, count)) return -1;
    size_t room = (decompressor->dictionary_count + 1) * sizeof *decompressor->dictionaries;
    ZSTD_DDict **list = realloc(decompressor->dictionaries, room);
    if (!list) return -1;
    decompressor->dictionaries = list;
    list[decompressor->dictionary_count] = ZSTD_createDDict(bytes, count);
    if (!list[decompressor->dictionary_count]) return -1;
    decompressor->dictionary_count++;
    return 0;
}

uint32_t cz_decompressor_missing(const cz_decompressor *decompressor) { return decompressor->missing; }

void cz_decompressor_reset(cz_decompressor *decompressor) {
    ZSTD_DCtx_reset(decompressor->context, ZSTD_reset_session_only);
    decompressor->head_count = 0;
    decompressor->is_inside = 0;
}

// Bytes that the id takes; 0 in frames of another kind (skippable ones), which have none.
static size_t id_size(const uint8_t head[5]) {
    static const uint8_t sizes[] = {0, 1, 2, 4};
    uint32_t magic = head[0] | head[1] << 8 | head[2] << 16 | (uint32_t)head[3] << 24;
    return magic == ZSTD_MAGICNUMBER ? sizes[head[4] & 3] : 0;
}

// Bytes of the head up to the id's end, as far as they tell; the first five tell all of them.
static size_t head_needed(const uint8_t *head, size_t count) {
    if (count < 5) return 5;
    size_t id = id_size(head);
    return id == 0 ? 5 : 5 + (head[4] & 0x20 ? 0 : 1) + id;
}

static uint32_t head_id(const uint8_t *head, size_t count) {
    uint32_t id = 0;
    for (size_t index = count; index > count - id_size(head); index--) id = id << 8 | head[index - 1];
    return id;
}

// Takes the dictionary of the frame whose head is complete. 0, or -1 where it is not known.
static int choose(cz_decompressor *decompressor) {
    uint32_t id = head_id(decompressor->head, decompressor->head_count);
    decompressor->missing = 0;
    const ZSTD_DDict *found = NULL;
    for (size_t index = 0; id && index < decompressor->dictionary_count; index++)
        if (ZSTD_getDictID_fromDDict(decompressor->dictionaries[index]) == id) found = decompressor->dictionaries[index];
    if (id && !found) {
        decompressor->missing = id;
        return -1;
    }
    ZSTD_DCtx_reset(decompressor->context, ZSTD_reset_session_only);
    ZSTD_DCtx_refDDict(decompressor->context, found);
    return 0;
}

static int64_t step(cz_decompressor *decompressor, ZSTD_outBuffer *out, ZSTD_inBuffer *in) {
    size_t left = ZSTD_decompressStream(decompressor->context, out, in);
    if (ZSTD_isError(left)) return -(int64_t)ZSTD_getErrorCode(left);
    if (left == 0) decompressor->is_inside = 0;
    return (int64_t)left;
}

int64_t cz_decompress(cz_decompressor *decompressor, void *to, size_t room, size_t *to_used, const void *from,
                      size_t count, size_t *from_used) {
    ZSTD_outBuffer out = {to, room, *to_used};
    ZSTD_inBuffer in = {from, count, *from_used};
    int64_t left = 1;
    if (!decompressor->is_inside) {
        size_t needed = head_needed(decompressor->head, decompressor->head_count);
        while (decompressor->head_count < needed && in.pos < in.size) {
            decompressor->head[decompressor->head_count++] = ((const uint8_t *)from)[in.pos++];
            needed = head_needed(decompressor->head, decompressor->head_count);
        }
        *from_used = in.pos;
        if (decompressor->head_count < needed) return 1;
        if (choose(decompressor) < 0) return -(int64_t)ZSTD_error_dictionary_wrong;
        ZSTD_inBuffer head = {decompressor->head, decompressor->head_count, 0};
        decompressor->head_count = 0;
        decompressor->is_inside = 1;
        left = step(decompressor, &out, &head);
        // A head holds no content, so zstd takes all of it, and no frame ends with it.
    }
    if (left > 0 && decompressor->is_inside) left = step(decompressor, &out, &in);
    *to_used = out.pos;
    *from_used = in.pos;
    return left;
}
