// For ZSTD_createCCtx_advanced, which Debian's library exports.
#define ZSTD_STATIC_LINKING_ONLY
#include "czstd.h"

#include <stdlib.h>
#include <zdict.h>
#include <zstd.h>
#include <zstd_errors.h>

static int64_t result(size_t value) { return ZSTD_isError(value) ? -(int64_t)ZSTD_getErrorCode(value) : (int64_t)value; }

// zstd gives its tables back after 128 inputs that needed less than a third of them, and takes larger ones for the next large
// input: what it gave back is kept for it.
typedef struct {
    size_t bytes;
    // What follows is aligned as malloc would.
    _Alignas(max_align_t) char memory[];
} block;

struct cz_compressor {
    ZSTD_CCtx *context;
    block *kept;
};

static void *take(void *opaque, size_t bytes) {
    cz_compressor *self = opaque;
    block *found = self->kept;
    self->kept = NULL;
    if (found && found->bytes >= bytes) return found->memory;
    free(found);
    if (bytes > SIZE_MAX / 2) return NULL;
    // Tables' sizes depend on the input's: the next may be a little larger.
    if (bytes >= 64 << 10) bytes = (bytes + (64 << 10) - 1) & ~(size_t)((64 << 10) - 1);
    found = malloc(sizeof(block) + bytes);
    if (!found) return NULL;
    found->bytes = bytes;
    return found->memory;
}

static void give_back(void *opaque, void *memory) {
    cz_compressor *self = opaque;
    if (!memory) return;
    block *given = (block *)((char *)memory - offsetof(block, memory));
    if (self->kept && self->kept->bytes >= given->bytes) {
        free(given);
        return;
    }
    free(self->kept);
    self->kept = given;
}

cz_compressor *cz_compressor_new(int level, int window) {
    if (level < ZSTD_minCLevel() || level > ZSTD_maxCLevel()) return NULL;
    cz_compressor *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    self->context = ZSTD_createCCtx_advanced((ZSTD_customMem){take, give_back, self});
    if (!self->context || ZSTD_isError(ZSTD_CCtx_setParameter(self->context, ZSTD_c_compressionLevel, level)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(self->context, ZSTD_c_windowLog, window))) {
        cz_compressor_free(self);
        return NULL;
    }
    return self;
}

void cz_compressor_free(cz_compressor *self) {
    if (!self) return;
    ZSTD_freeCCtx(self->context);
    free(self->kept);
    free(self);
}

cz_dictionary *cz_dictionary_new(const void *bytes, size_t count, int level) {
    if (!cz_dictionary_id(bytes, count)) return NULL;
    return (cz_dictionary *)ZSTD_createCDict(bytes, count, level);
}

void cz_dictionary_free(cz_dictionary *dictionary) { ZSTD_freeCDict((ZSTD_CDict *)dictionary); }

uint32_t cz_dictionary_id(const void *bytes, size_t count) { return ZSTD_getDictID_fromDict(bytes, count); }

int64_t cz_compress(cz_compressor *compressor, const cz_dictionary *dictionary, void *to, size_t room, const void *from,
                    size_t count) {
    ZSTD_CCtx *context = compressor->context;
    size_t code = ZSTD_CCtx_refCDict(context, (const ZSTD_CDict *)dictionary);
    if (ZSTD_isError(code)) return result(code);
    return result(ZSTD_compress2(context, to, room, from, count));
}

size_t cz_bound(size_t count) { return ZSTD_compressBound(count); }
int cz_level_min(void) { return ZSTD_minCLevel(); }
int cz_level_max(void) { return ZSTD_maxCLevel(); }
const char *cz_error_text(int64_t code) { return ZSTD_getErrorString((ZSTD_ErrorCode)(code < 0 ? -code : code)); }

int64_t cz_train(void *to, size_t room, const void *samples, const size_t *sizes, unsigned count) {
    size_t made = ZDICT_trainFromBuffer(to, room, samples, sizes, count);
    // Its error codes are those of zstd.
    return result(made);
}
