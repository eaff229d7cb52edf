#define CDG_PORTABLE
#include "portable_digits.h"
#include <cdigits.h>

static pd_number made(cdg_number number) {
    const pd_number same = {number.value, number.length, number.scale};
    return same;
}

pd_number pd_integer(const uint8_t *at) { return made(cdg_integer(at)); }
pd_number pd_fixed(const uint8_t *at, uint32_t length) { return made(cdg_fixed(at, length)); }
pd_number pd_decimal(const uint8_t *at) { return made(cdg_decimal(at)); }
uint64_t pd_survey(const uint8_t *at) { return cdg_survey(at); }
pd_number pd_surveyed_integer(const uint8_t *at, uint64_t others) {
    return made(cdg_surveyed_integer(at, others));
}
pd_number pd_surveyed_decimal(const uint8_t *at, uint64_t others) {
    return made(cdg_surveyed_decimal(at, others));
}
