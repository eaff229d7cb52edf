#include "secrets.h"

#include <string.h>

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void ct_secret_note(const char *line, unsigned char secret[CT_SECRET_MAX], size_t *size) {
    static const char label[] = "SERVER_TRAFFIC_SECRET_0 ";
    if (strncmp(line, label, sizeof label - 1) != 0) return;
    const char *digits = strrchr(line, ' ') + 1;
    size_t count = strlen(digits) / 2;
    if (count > CT_SECRET_MAX) return;
    for (size_t i = 0; i < count; i++) {
        int high = hex_digit(digits[2 * i]), low = hex_digit(digits[2 * i + 1]);
        if (high < 0 || low < 0) return;
        secret[i] = (unsigned char)(high << 4 | low);
    }
    *size = count;
}
