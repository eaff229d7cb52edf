#include "czstd.h"

#include <zstd.h>
#include <zstd_errors.h>


cz_compressor *cz_compressor_new(int level) {
    if (level < ZSTD_minCLevel() || level > ZSTD_maxCLevel()) return NULL;
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (!context) return NULL;
    if (ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level))) {
        ZSTD_freeCCtx(context);
        return NULL;
    }
    return (cz_compressor *)context;
}

void cz_compressor_free(cz_compressor *compressor) { ZSTD_freeCCtx((ZSTD_CCtx *)compressor); }

static int64_t result(size_t value) { return ZSTD_isError(value) ? -(int64_t)ZSTD_getErrorCode(value) : (int64_t)value; }

int64_t cz_compress(cz_compressor *compressor, void *to, size_t room, const void *from, size_t count) {
    return result(ZSTD_compress2((ZSTD_CCtx *)compressor, to, room, from, count));
}

size_t cz_bound(size_t count) { return ZSTD_compressBound(count); }
int cz_level_min(void) { return ZSTD_minCLevel(); }
int cz_level_max(void) { return ZSTD_maxCLevel(); }
const char *cz_error_text(int64_t code) { return ZSTD_getErrorString((ZSTD_ErrorCode)(code < 0 ? -code : code)); }

cz_decompressor *cz_decompressor_new(void) { return (cz_decompressor *)ZSTD_createDCtx(); }
void cz_decompressor_free(cz_decompressor *decompressor) { ZSTD_freeDCtx((ZSTD_DCtx *)decompressor); }

void cz_decompressor_reset(cz_decompressor *decompressor) {
    ZSTD_DCtx_reset((ZSTD_DCtx *)decompressor, ZSTD_reset_session_only);
}

int64_t cz_decompress(cz_decompressor *decompressor, void *to, size_t room, size_t *to_used, const void *from,
                      size_t count, size_t *from_used) {
    ZSTD_outBuffer out = {to, room, *to_used};
    ZSTD_inBuffer in = {from, count, *from_used};
    size_t left = ZSTD_decompressStream((ZSTD_DCtx *)decompressor, &out, &in);
    *to_used = out.pos;
    *from_used = in.pos;
    return result(left);
}
