#include "czstd.h"

#include <zdict.h>
#include <zstd.h>
#include <zstd_errors.h>

static int64_t result(size_t value) { return ZSTD_isError(value) ? -(int64_t)ZSTD_getErrorCode(value) : (int64_t)value; }

cz_compressor *cz_compressor_new(int level, int window) {
    if (level < ZSTD_minCLevel() || level > ZSTD_maxCLevel()) return NULL;
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (!context) return NULL;
    if (ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window))) {
        ZSTD_freeCCtx(context);
        return NULL;
    }
    return (cz_compressor *)context;
}

void cz_compressor_free(cz_compressor *compressor) { ZSTD_freeCCtx((ZSTD_CCtx *)compressor); }

cz_dictionary *cz_dictionary_new(const void *bytes, size_t count, int level) {
    if (!cz_dictionary_id(bytes, count)) return NULL;
    return (cz_dictionary *)ZSTD_createCDict(bytes, count, level);
}

void cz_dictionary_free(cz_dictionary *dictionary) { ZSTD_freeCDict((ZSTD_CDict *)dictionary); }

uint32_t cz_dictionary_id(const void *bytes, size_t count) { return ZSTD_getDictID_fromDict(bytes, count); }

int64_t cz_compress(cz_compressor *compressor, const cz_dictionary *dictionary, void *to, size_t room, const void *from,
                    size_t count) {
    ZSTD_CCtx *context = (ZSTD_CCtx *)compressor;
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
