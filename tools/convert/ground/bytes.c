/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * bytes.c - checksums; see bytes.h */
#include "bytes.h"

/* CRC-32 with the reflected polynomial EDB88320, four tables so that four bytes take one step. */
typedef struct cv_crc_tables {
    uint32_t t[4][256];
} cv_crc_tables;

static void cv_crc_make(cv_crc_tables *tables)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ 0xEDB88320u : c >> 1;
        tables->t[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < 4; k++)
            tables->t[k][i] = tables->t[k - 1][i] >> 8 ^ tables->t[0][tables->t[k - 1][i] & 255];
}

uint32_t cv_crc32(uint32_t crc, const void *data, size_t bytes)
{
    cv_crc_tables tables; /* made anew each time: threads would race for a global one */
    const unsigned char *p = data;
    cv_crc_make(&tables);
    crc = ~crc;
    for (; bytes >= 4; bytes -= 4, p += 4) {
        crc ^= p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        crc = tables.t[3][crc & 255] ^ tables.t[2][crc >> 8 & 255] ^ tables.t[1][crc >> 16 & 255]
              ^ tables.t[0][crc >> 24];
    }
    for (; bytes > 0; bytes--, p++) crc = crc >> 8 ^ tables.t[0][(crc ^ *p) & 255];
    return ~crc;
}
