/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * check.c - see check.h
 *
 * The library reads the file as every program will; after that its head may be trusted, and the table of tensors, which
 * the library does not show, is read from it here. */
#include "check.h"
#include "file/writer.h"
#include "ground/bytes.h"
#include "ground/kinds.h"
#include "ground/show.h"

#include "../../harp.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void cv_print_loss(const char *name, int bits, uint64_t rows, uint64_t cols, double largest, double rms,
                   double weight_rms)
{
    char snr[32] = "exact";
    if (rms > 0.0) snprintf(snr, sizeof snr, "%.1f dB", 20.0 * log10(weight_rms / rms));
    show_line(stdout, "%-24s %8.0f x %-8.0f %d bits  largest error %-11.4g rms %-11.4g SNR %s", name, (double)rows,
              (double)cols, bits, largest, rms, snr);
}

static void print_tensors(const harp_model *model, const unsigned char *table, uint32_t n)
{
    harp_meta losses = {0};
    int known = harp_meta_find(model, CV_LOSSES_KEY, &losses) && losses.type == HARP_META_BYTES
                && losses.bytes == (size_t)n * CV_LOSSES_EACH;
    for (uint32_t i = 0; i < n; i++) {
        const unsigned char *record = table + (size_t)i * CV_RECORD_BYTES;
        const unsigned char *loss = known ? (const unsigned char *)losses.data + (size_t)i * CV_LOSSES_EACH : NULL;
        const char *name = (const char *)record;
        uint64_t rows = cv_u64(record + 56), cols = cv_u64(record + 64);
        uint32_t type = cv_u32(record + 48);
        if (type != CV_Q8 && type != CV_NIBBLES)
            show_line(stdout, "%-24s %8.0f x %-8.0f float", name, (double)rows, (double)cols);
        else if (!known)
            show_line(stdout, "%-24s %8.0f x %-8.0f %d bits", name, (double)rows, (double)cols, type == CV_Q8 ? 8 : 4);
        else
            cv_print_loss(name, type == CV_Q8 ? 8 : 4, rows, cols, (double)cv_f32(loss), (double)cv_f32(loss + 4),
                          (double)cv_f32(loss + 8));
    }
}

static int print_table(const harp_model *model, const cv_file *file, cv_error *err)
{
    unsigned char header[CV_HEADER_BYTES], *table = NULL;
    int failed = cv_file_read(file, 0, header, sizeof header, err);
    uint32_t n = failed ? 0 : cv_u32(header + 36);
    if (!failed) table = cv_alloc(n, CV_RECORD_BYTES, err);
    if (!failed && table)
        failed = cv_file_read(file, cv_u64(header + 48), table, (size_t)n * CV_RECORD_BYTES, err);
    if (!failed && table) print_tensors(model, table, n);
    free(table);
    return failed || !table ? -1 : 0;
}

/* What the library refused may be another kind of file. */
static int refuse(const cv_file *file, const harp_error *why, cv_error *err)
{
    unsigned char head[CV_KIND_BYTES];
    size_t n = file->bytes < sizeof head ? (size_t)file->bytes : sizeof head;
    if (cv_file_read(file, 0, head, n, err) < 0
        || cv_refuse_other_kinds(file->path, head, n, CV_KIND_HARP, err) < 0)
        return -1;
    return cv_fail(err, "%.200s: %.256s", file->path, why->text);
}

static int check_file(const cv_file *file, cv_error *err)
{
    static const char *const tokenizers[] = {"none", "SentencePiece BPE", "byte-level BPE"};
    harp_model *model = NULL;
    harp_error why;
    if (harp_open(&model, file->path, &why) || harp_verify(model, &why)) {
        harp_close(model);
        return refuse(file, &why, err);
    }
    harp_info info = harp_model_info(model);
    int failed = print_table(model, file, err);
    if (!failed)
        show_line(stdout, "%s: whole; %s, %.0f weights (%.0f of them in 4 bits) in %.0f bytes, context %d, "
                  "tokenizer: %s", file->path, info.architecture, (double)info.parameters, (double)info.four_bit,
                  (double)info.bytes, (int)info.context, tokenizers[info.tokenizer]);
    harp_close(model);
    return failed;
}

/* A machine without memory or addresses for the file says nothing against it: it may have been made for another one. */
int cv_check_result(const char *name, cv_error *err)
{
    harp_model *model = NULL;
    harp_error why;
    harp_status status = harp_open(&model, name, &why);
    harp_close(model);
    if (status != HARP_ERR_FORMAT && status != HARP_ERR_UNSUPPORTED) return 0;
    return cv_fail(err, "the result is not kept, for it could not be opened (%.256s); is the input damaged? If "
                        "not, please report it with this message", why.text);
}

/* The library would wait for a pipe; opening here refuses it. */
int cv_check(const char *path, cv_error *err)
{
    cv_file file;
    if (cv_file_open(&file, path, err) < 0) return -1;
    int failed = check_file(&file, err);
    cv_file_close(&file);
    return failed;
}
