/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * kinds.c - see kinds.h */
#include "kinds.h"
#include "bytes.h"

#include <string.h>

#define SAVE_AS_SAFETENSORS \
    "save the model as safetensors (transformers: save_pretrained) and give the folder that holds it and config.json"
#define WEB_PAGE \
    "a web page: the download went wrong; perhaps the site wants a login, or its licence to be accepted"
#define UNPACK "a compressed file: unpack it first"
#define OLD_GGML "a GGML file from before GGUF: take the GGUF file of the same model"

static const struct {
    size_t at, bytes;
    const char *magic;
    cv_kind kind;
    const char *what;
} magics[] = {
    {0, 8, "\x89HARP\r\n\x1A", CV_KIND_HARP,
     "a .harp file already: verify it with  harp-convert --check FILE  or run it with  harp run -m FILE"},
    {0, 4, "GGUF", CV_KIND_GGUF, "a GGUF file: convert it with  harp-convert FILE.gguf OUT.harp"},
    {0, 23, "version https://git-lfs", CV_KIND_OTHER,
     "a Git LFS pointer, which stands for the file: fetch the file itself with  git lfs pull"},
    {0, 4, "PK\3\4", CV_KIND_OTHER, "a zip archive, as PyTorch's .pt, .pth and .bin files are: " SAVE_AS_SAFETENSORS},
    {0, 8, "\x89HDF\r\n\x1A\n", CV_KIND_OTHER, "an HDF5 file, as Keras writes them: " SAVE_AS_SAFETENSORS},
    {4, 4, "TFL3", CV_KIND_OTHER, "a TensorFlow Lite file: take the Hugging Face folder of the same model"},
    {0, 4, "lmgg", CV_KIND_OTHER, OLD_GGML},
    {0, 4, "fmgg", CV_KIND_OTHER, OLD_GGML},
    {0, 4, "tjgg", CV_KIND_OTHER, OLD_GGML},
    {0, 9, "<!DOCTYPE", CV_KIND_OTHER, WEB_PAGE},
    {0, 9, "<!doctype", CV_KIND_OTHER, WEB_PAGE},
    {0, 5, "<html", CV_KIND_OTHER, WEB_PAGE},
    {0, 5, "<?xml", CV_KIND_OTHER, "an XML document, not a model"},
    {0, 3, "\x1F\x8B\x08", CV_KIND_OTHER, UNPACK},
    {0, 4, "\x28\xB5\x2F\xFD", CV_KIND_OTHER, UNPACK},
    {0, 6, "\xFD" "7zXZ", CV_KIND_OTHER, UNPACK}, /* and a zero */
    {0, 3, "BZh", CV_KIND_OTHER, UNPACK},
    {0, 6, "7z\xBC\xAF\x27\x1C", CV_KIND_OTHER, UNPACK},
    {0, 8, "\x89PNG\r\n\x1A\n", CV_KIND_OTHER, "a PNG image, not a model"},
    {0, 3, "\xFF\xD8\xFF", CV_KIND_OTHER, "a JPEG image, not a model"},
    {0, 5, "%PDF-", CV_KIND_OTHER, "a PDF document, not a model"},
    {12, 5, "<unk>", CV_KIND_TOKENIZER,
     "a tokenizer of llama2.c, not a model: give it with  --tokenizer FILE, or add  --vocab-only"}};

/* A length of 64 bits, and then JSON. */
static int is_safetensors(const unsigned char *p, size_t n)
{
    return n >= 10 && cv_u64(p) <= 1u << 27 && p[8] == '{' && (p[9] == '"' || p[9] == '}' || p[9] == ' ');
}

/* Protocol 2 and up, and then the code of an operation: none is below a space but those that close what is open. */
static int is_pickle(const unsigned char *p, size_t n)
{
    return n >= 4 && p[0] == 0x80 && p[1] >= 2 && p[1] <= 5 && p[2] >= ' ';
}

static int is_printable(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((p[i] < ' ' && p[i] != '\n' && p[i] != '\r' && p[i] != '\t') || p[i] == 0x7F) return 0;
    return n > 0;
}

/* Protobuf: the version of the representation, then the name of the program that wrote it. */
static int is_onnx(const unsigned char *p, size_t n)
{
    return n >= 4 && p[0] == 0x08 && p[1] >= 1 && p[1] <= 32 && p[2] == 0x12 && p[3] > 0 && p[3] < 128
           && n >= 4u + p[3] && is_printable(p + 4, p[3]);
}

/* Protobuf: a first piece, whose text comes first and is a control token. */
static int is_sentencepiece(const unsigned char *p, size_t n)
{
    return n >= 5 && p[0] == '\n' && p[1] < 128 && p[2] == '\n' && p[3] + 2 <= p[1] && p[4] == '<';
}

static int is_json(const unsigned char *p, size_t n)
{
    size_t i = 0, white;
    while (i < n && strchr(" \t\r\n", p[i]) && p[i]) i++;
    if (i == n || (p[i] != '{' && p[i] != '[')) return 0;
    for (white = i + 1; white < n && strchr(" \t\r\n", p[white]) && p[white];) white++;
    return white == n || strchr("\"}]{[0123456789-", p[white]) != NULL;
}

/* What has no magic number. */
static const struct {
    int (*is)(const unsigned char *p, size_t n);
    cv_kind kind;
    const char *what;
} shapes[] = {{is_safetensors, CV_KIND_SAFETENSORS,
               "a .safetensors file: give the folder that holds it and config.json"},
              {is_pickle, CV_KIND_OTHER,
               "a Python pickle, as PyTorch's older .pt and .bin files are: " SAVE_AS_SAFETENSORS},
              {is_onnx, CV_KIND_OTHER, "an ONNX file: take the Hugging Face folder of the same model"},
              {is_sentencepiece, CV_KIND_TOKENIZER,
               "a SentencePiece tokenizer, not a model: give it with  --tokenizer FILE, or add  --vocab-only"},
              {is_json, CV_KIND_JSON,
               "JSON text, not a model: give the folder that holds config.json and the weights; if it is a tokenizer, "
               "add  --vocab-only"},
              {is_printable, CV_KIND_TEXT,
               "a text file, not a model; if it is a tokenizer, give it with  --tokenizer FILE"}};

static int passes(cv_kind kind, cv_kind wanted)
{
    int is_read_closely = kind == CV_KIND_JSON || kind == CV_KIND_TEXT || kind == CV_KIND_TOKENIZER;
    return kind == wanted || (is_read_closely && (wanted == CV_KIND_JSON || wanted == CV_KIND_TOKENIZER));
}

int cv_refuse_other_kinds(const char *path, const void *head, size_t bytes, cv_kind wanted, cv_error *err)
{
    const unsigned char *p = head;
    cv_kind kind = CV_KIND_UNKNOWN;
    const char *what = NULL;
    if (bytes > CV_KIND_BYTES) bytes = CV_KIND_BYTES;
    for (size_t i = 0; !what && i < sizeof magics / sizeof *magics; i++)
        if (bytes >= magics[i].at + magics[i].bytes && memcmp(p + magics[i].at, magics[i].magic, magics[i].bytes) == 0)
            kind = magics[i].kind, what = magics[i].what;
    for (size_t i = 0; !what && i < sizeof shapes / sizeof *shapes; i++)
        if (shapes[i].is(p, bytes)) kind = shapes[i].kind, what = shapes[i].what;
    return !what || passes(kind, wanted) ? 0 : cv_fail(err, "%.200s: this is %s", path, what);
}
