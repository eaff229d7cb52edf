// CSupport/digits as CPUs without SSE2 have it, for the tests to compare: see portable_digits.c.
#pragma once
#include <stdint.h>

typedef struct {
    uint64_t value;
    uint32_t length, scale;
} pd_number;

pd_number pd_integer(const uint8_t *at);
pd_number pd_fixed(const uint8_t *at, uint32_t length);
pd_number pd_decimal(const uint8_t *at);
uint64_t pd_survey(const uint8_t *at);
pd_number pd_surveyed_integer(const uint8_t *at, uint64_t others);
pd_number pd_surveyed_decimal(const uint8_t *at, uint64_t others);
