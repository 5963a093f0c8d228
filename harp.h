/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * harp.h - language models that notice when they hesitate, in one C file
 *
 * harp runs transformer language models, int8 or four bits, with HARP, the Hesitation-Aware Reframed Forward Pass
 * [Storai and Hwang 2025], and needs nothing but libc and libm. Two files make the library: this header is the
 * manual, harp_impl.c is the book. Compile harp_impl.c beside your code, or, in ONE of your C files, write
 * `#define HARP_IMPLEMENTATION` before `#include "harp.h"` and compile nothing else. A whole program:
 *
 *     #include <stdio.h>
 *     #include "harp.h"
 *
 *     static int show(void *user, const char *text, size_t bytes, const harp_step *step)
 *     {
 *         (void)user, (void)step;
 *         return fwrite(text, 1, bytes, stdout) != bytes || fflush(stdout) != 0; // non-zero stops the generation
 *     }
 *     int main(int argc, char **argv)
 *     {
 *         harp_model *model = NULL;
 *         harp_session *session = NULL;
 *         harp_params params = harp_defaults();                    // HARP on, the paper's settings
 *         harp_error err;
 *         if (argc < 3) return 2;
 *         if (harp_open(&model, argv[1], &err) || harp_session_open(&session, model, &params, &err)
 *             || harp_generate(session, argv[2], 200, show, NULL, &err))
 *             fprintf(stderr, "%s\n", err.text);
 *         harp_session_close(session);
 *         harp_close(model);
 *         return err.status != HARP_OK;
 *     }
 *
 *     cc -O2 -pthread hello.c harp_impl.c -lm && ./a.out demo.harp "Once upon a time"
 *
 * No flags are needed for the machine's instruction sets: the library asks the processor. On Windows it includes the
 * small form of windows.h; if a file with HARP_IMPLEMENTATION needs all of it, include that first.
 *
 * HARP IN FOUR LINES
 *   1. The usual ("vanilla") pass gives the logits of the next token.
 *   2. If the Shannon entropy of their distribution exceeds theta (1 bit), the model hesitates.
 *   3. A second pass sees the same tokens reframed: a share delta (0.2) of the input embeddings' elements is zero.
 *   4. The logits become beta * vanilla + (1 - beta) * reframed, beta = 0.5; then the usual sampling.
 *
 * WHAT YOU CAN RELY ON
 *   - Errors are values. No call exits, aborts, asserts on input or prints. Every call that can fail returns a
 *     harp_status and, if you pass a harp_error, a sentence that says what was wrong and where. A failed call leaves
 *     the session's tokens, and so all later results, as they were.
 *   - Files are not trusted. Any byte string opens or is refused, in bounded time and memory.
 *   - The same bits everywhere. Model, tokens, parameters and seed determine every logit bit, whatever the
 *     machine, instruction set, thread count, batch size or schedule. Builds that cannot keep this (-ffast-math, x87,
 *     clang's -ffp-contract=fast) are refused when compiled or, where only a run can tell, by harp_open and
 *     harp_session_open. Each thread has a floating-point mode. On a thread that flushes tiny numbers to zero or does
 *     not round to nearest, calls that compute fail with HARP_ERR_BUILD; so they do if such a thread runs a task of
 *     your parallel function. (Linking a program with -ffast-math can set that mode.) harp_entropy, harp_logprob and
 *     harp_top cannot report it: they compute in the mode that they find.
 *   - Memory is planned. harp_session_memory tells what a session needs, and you may provide the block. After
 *     harp_session_open nothing is allocated except the working memory of harp_encode, which frees it before it
 *     returns.
 *   - No writable globals. A model is read-only and may be shared by any number of sessions and threads; a session
 *     belongs to one thread at a time.
 *
 * COMPILE-TIME SWITCHES (all optional; define them where harp_impl.c is compiled)
 *   HARP_STATIC      every function is static: a private copy inside one of your files
 *   HARP_NO_STDIO    no FILE: models come from memory, a mapping or a reader of yours
 *   HARP_NO_MMAP     files are read, never mapped
 *   HARP_NO_MALLOC   no malloc: every call needs a block or an allocator of yours
 *   HARP_NO_THREADS  no threads of harp's own: your parallel function runs the parts, or they run one after another
 *   HARP_NO_CLOCK    no clock: the schedule "auto" assumes what a pass costs instead of measuring it
 *   HARP_NO_SHARING  no engines and no forks (tier 4), no inputs_fn: saves 4 KB of code
 *   HARP_NO_SIMD     no vector instructions: plain C
 *   HARP_NO_SPECIAL_LAYERS
 *                    no mixtures of experts, attention sinks or gates, short convolutions or gated delta nets, no
 *                    layers of several sizes, that share keys or have inputs of their own (Gemma 4): such models are
 *                    refused. HARP_NO_EXPERTS, its first name, does the same
 *   HARP_NO_4BIT     no weights of four bits: smaller code, and files that have them are refused
 *   HARP_IMPL_FILE   the name of harp_impl.c, if you renamed it: the file includes itself
 *
 * SHAPES are written [rows][columns], last index fastest. Tokens and positions are int32_t, sizes in bytes size_t.
 * Structures may grow in a new minor version. Get them from harp_defaults() and its like, and your source stays
 * compatible; a program that was compiled with another version's header is refused (harp_stamp).
 *
 * [Leviathan, Kalman, Matias 2023] Fast Inference from Transformers via Speculative Decoding. arXiv 2211.17192.
 * [Storai and Hwang 2025] HARP: Hesitation-Aware Reframing in Transformer Inference Pass. NAACL 2025, arXiv 2412.07282.
 */
#ifndef HARP_H
#define HARP_H

#include <stddef.h>
#include <stdint.h>

/* The version of this header. Versions that differ in the patch alone have the same declarations. */
#define HARP_VERSION_MAJOR 0
#define HARP_VERSION_MINOR 1
#define HARP_VERSION_PATCH 0
#define HARP_VERSION_TEXT "0.1.0"
#define HARP_VERSION (HARP_VERSION_MAJOR * 10000 + HARP_VERSION_MINOR * 100 + HARP_VERSION_PATCH)

#if defined(HARP_STATIC) && (defined(__GNUC__) || defined(__clang__))
#define HARP_API static __attribute__((unused)) /* nobody calls all of them */
#elif defined(HARP_STATIC)
#define HARP_API static
#else
#define HARP_API extern
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Failing ---------------------------------------------------------------------------------------------------- */

typedef enum harp_status {
    HARP_OK = 0,
    HARP_ERR_ARGUMENT,    /* a NULL, a value out of range, a structure of another harp.h (harp_stamp)      */
    HARP_ERR_MEMORY,      /* the allocator returned NULL, or an array or block of yours is too small       */
    HARP_ERR_IO,          /* a file could not be opened or read                                            */
    HARP_ERR_FORMAT,      /* not a .harp file or a saved session, or a damaged one                         */
    HARP_ERR_UNSUPPORTED, /* a file, an instruction set or a use that this version or machine does not run */
    HARP_ERR_CONTEXT,     /* the context is full: rewind, or open a session with a longer one              */
    HARP_ERR_CANCELLED,   /* a callback of yours asked to stop                                             */
    HARP_ERR_NUMBER,      /* the logits are not finite: a weight is NaN, or a token makes sums overflow    */
    HARP_ERR_BUILD,       /* this build or thread cannot compute as defined ("the same bits everywhere")   */
    HARP_ERR_CHOICE       /* no token may be chosen: biases or the adjust_fn forbid all of them            */
} harp_status;

/* Filled in by every call that takes one, which may be NULL; on success status is HARP_OK and text is empty. Plain
 * memory of yours. */
typedef struct harp_error {
    harp_status status;
    char text[256]; /* one English sentence, UTF-8, zero-terminated */
} harp_error;

/* A constant name for a status, "HARP_ERR_FORMAT". Never NULL. */
HARP_API const char *harp_status_name(harp_status status);

/* The version of the compiled library, which may not be that of this header: its text ("0.1.0", a constant string), and
 * in *number, which may be NULL, what HARP_VERSION was. */
HARP_API const char *harp_version(int32_t *number);

/* The first field of harp_params and harp_source: the HARP_VERSION and the size with which YOUR program was compiled,
 * set by harp_defaults() and harp_source_defaults(). If the major or minor version or the size is not the library's, or
 * the structure was never initialised, calls fail with HARP_ERR_ARGUMENT and read nothing else of it. */
typedef struct harp_stamp {
    uint32_t version; /* 0x48000000 + HARP_VERSION */
    uint32_t bytes;
} harp_stamp;

/* ---- Objects and callbacks -------------------------------------------------------------------------------------- */

typedef struct harp_model harp_model;     /* a loaded model: immutable, shareable between threads        */
typedef struct harp_session harp_session; /* one timeline of tokens on a model: one thread at a time     */
typedef struct harp_engine harp_engine;   /* computes for several sessions: tier 4                       */

/* Callbacks run on the thread that made the call, before it returns; only the tasks of a harp_parallel_fn may run
 * elsewhere. Inside a callback you may make these calls on the session that it is called for: harp_tokens, harp_logits,
 * harp_hidden, harp_top, harp_statistics, harp_session_info, harp_generate_end, and harp_save inside a harp_text_fn.
 * All others fail with HARP_ERR_ARGUMENT and change nothing, harp_session_open with it as the parent among them;
 * harp_session_close does nothing. Any call may be made on other sessions, but not on a draft session while it drafts.
 * A callback must leave the thread's floating-point mode as it was. */

/* Your own memory functions. alloc returns memory aligned like malloc's, or NULL; free is given the size that was asked
 * for. A model's allocator also serves harp_encode: if several threads share the model, it must be safe to call from
 * all of them. */
typedef struct harp_allocator {
    void *(*alloc)(void *user, size_t bytes);
    void (*free)(void *user, void *block, size_t bytes);
    void *user;
} harp_allocator;

/* Reads `bytes` bytes at `offset` of a model's file into `into`; returns how many it read. Fewer is an error. */
typedef size_t harp_read_fn(void *user, uint64_t offset, void *into, size_t bytes);

/* Must call task(argument, i) exactly once for every i in 0..n-1, in any order, on any threads, and return when all
 * are done. n is at most harp_params.threads. */
typedef void harp_parallel_fn(void *user, void (*task)(void *argument, int i), void *argument, int n);

/* Called between the stages of a pass, several times per layer, and while a draft session drafts for this one.
 * Non-zero ends the call with HARP_ERR_CANCELLED. */
typedef int harp_cancel_fn(void *user);

/* The uncertainty of the next token, from its raw logits [vocab]; the model hesitates iff it exceeds theta. */
typedef float harp_measure_fn(void *user, const float *logits, int32_t vocab);

/* Which elements of an embedding are kept: writes 1 (keep) or 0 (drop) to keep[hidden]. `position` is that of the
 * embedding's token. `step` is the same, except in frame redraw: there it is the newest position at the time of the
 * reframing. `reframing` is 0..reframings-1. Must be a pure function of its arguments, or results would depend on the
 * schedule and on rewinding. Non-zero ends the call with HARP_ERR_CANCELLED. */
typedef int harp_mask_fn(void *user, int32_t reframing, int32_t step, int32_t position, unsigned char *keep,
                         int32_t hidden);

/* Writes combined[vocab], made of vanilla[vocab] and of reframed[vocab], the mean of the reframed logits. */
typedef void harp_combine_fn(void *user, const float *vanilla, const float *reframed, float *combined, int32_t vocab);

/* What may come next, for answers in a given form (a grammar, a list of labels) or of a given kind. Called exactly once
 * for each token that a step chooses, drafted ones included, with the tokens before it, tokens[n], and the combined
 * logits[vocab]. Writes to add[vocab], which is zero before: it is added to the logits after the biases, to the vanilla
 * ones as well, for step->vanilla_token; -INFINITY or a NaN forbids a token. An answer can only end if an end token is
 * allowed. Must be a pure function of its arguments, or results would depend on rewinding and on drafts. If it forbids
 * all tokens, the step fails with HARP_ERR_CHOICE; non-zero ends the call with HARP_ERR_CANCELLED. After either the
 * session's tokens are as they were, and the next step asks again.
 *
 * The same without a callback, if you choose the token yourself: harp_next; choose from harp_logits(session,
 * HARP_COMBINED); harp_rewind by the token that harp_next chose; harp_feed yours. */
typedef int harp_adjust_fn(void *user, const int32_t *tokens, int32_t n, const float *logits, float *add,
                           int32_t vocab);

/* What a matrix is about to be multiplied with. */
typedef struct harp_inputs {
    int32_t layer;      /* from 0; of the output matrix the number of layers                                 */
    int32_t expert;     /* of a mixture; -1: the matrix belongs to none                                      */
    const char *matrix; /* "qkv", "attn_out", "gate_up", "down", ...: the tensor's name without its layer    */
    const float *x;     /* input c of row r is x[r * stride + c], valid during the call, not to be changed   */
    size_t stride;
    int32_t rows, cols; /* rows: tokens of all sessions in the pass, prompts' and reframed ones, too         */
} harp_inputs;

/* Called by the thread that computes, once for each product of a pass, before inputs are rounded: for calibration, and
 * for looking into a model. With a shared engine it is the engine's; what sessions on it have here is ignored. */
typedef void harp_inputs_fn(void *user, const harp_inputs *inputs);

/* ---- The parameters of a session -------------------------------------------------------------------------------- */

typedef enum harp_activations {
    HARP_ACT_INT8, /* activations are rounded to int8 in groups of 32 before each matrix product: fast       */
    HARP_ACT_F32   /* they stay float: slow; separates the error of int8 weights from that of activations   */
} harp_activations;

typedef enum harp_cache {
    HARP_CACHE_F16, /* keys and values rounded to IEEE half precision                                       */
    HARP_CACHE_F32, /* as they were computed                                                                */
    HARP_CACHE_INT8 /* int8, with a scale in half precision for each head and position                      */
} harp_cache;

/* What the second pass sees. The paper draws new masks for the whole text at each hesitation, so nothing of the second
 * pass can be cached (frame redraw). Frame stream makes the masks a function of the position, so that it can. */
typedef enum harp_frame {
    HARP_FRAME_STREAM, /* a mask for each position; the reframed text has a key-value cache of its own       */
    HARP_FRAME_REDRAW, /* as the paper does it: new masks for the whole text at each hesitation              */
    HARP_FRAME_LAST    /* only the newest embedding is masked; the pass reads the vanilla cache              */
} harp_frame;

/* When the second pass is computed. It changes the cost, never the results. Frame redraw is always lazy. */
typedef enum harp_schedule {
    HARP_SCHEDULE_AUTO, /* the cheaper one, by the times measured so far; fused in a step of several sessions, */
                        /* where lazy costs less if the model is small and seldom hesitates                  */
    HARP_SCHEDULE_LAZY, /* at each hesitation: costs 1 + (rate of hesitation) passes per token               */
    HARP_SCHEDULE_FUSED /* reframed rows are part of every pass, which reads the weights once for all rows   */
} harp_schedule;

/* The measure of uncertainty that is compared with theta, p the softmax of the raw logits. */
typedef enum harp_measure {
    HARP_MEASURE_ENTROPY,    /* Shannon entropy, - sum p log2 p, in bits (the paper)                         */
    HARP_MEASURE_MAXPROB,    /* 1 - max p                                                                    */
    HARP_MEASURE_MARGIN,     /* 1 - (largest p - second largest p)                                           */
    HARP_MEASURE_VARENTROPY, /* sum p (log2 p + H)^2, in bits squared                                        */
    HARP_MEASURE_CALLER      /* harp_params.measure_fn                                                       */
} harp_measure;

/* When a drafted token is kept: see tier 5. */
typedef enum harp_draft_rule {
    HARP_DRAFT_EXACT,    /* if it would have been chosen anyway: drafting changes the cost, never the results */
    HARP_DRAFT_LEVIATHAN /* with probability min(1, p / q): same distribution, other draws, more is kept      */
} harp_draft_rule;

#define HARP_FROM_PROMPT (-1) /* reframe_from: the length of the first harp_feed or harp_generate prompt     */

typedef struct harp_bias {
    int32_t token;
    float add; /* added to the combined logit; -INFINITY forbids the token. If all tokens are forbidden, steps fail */
               /* with HARP_ERR_CHOICE. The list is read at each step; you may change its numbers in between. */
} harp_bias;

/* Always start from harp_defaults(). Pointers must stay valid as long as the session. */
typedef struct harp_params {
    harp_stamp stamp; /* set by harp_defaults()                                                              */

    /* Size. These determine the session's memory, together with harp, frame, reframings, reframe_from, threads, the
     * stop texts and the parameters of the other decoders. */
    int32_t context;    /* most positions; 0: as many as the model was made for, at most 4096     [0]        */
    int32_t batch;      /* most rows in one pass over the weights, 1..4096                        [64]       */
    int32_t logit_rows; /* 1..4096 positions whose logits harp_score, harp_score_harp compute at once [1]    */
    harp_activations activations; /*                                                         [HARP_ACT_INT8] */
    harp_cache cache;             /*                                                        [HARP_CACHE_F16] */
    int hidden;         /* 1: harp_hidden has the hidden state of the newest position             [0]        */
    int32_t seats;      /* for harp_engine_open: sessions that it advances at once, 1..256        [8]        */

    /* HARP (paper, section 3). */
    int harp;             /* 0: the plain model                                                   [1]        */
    float theta;          /* hesitates iff uncertainty > theta; bits for entropy                  [1.0]      */
    float delta;          /* share of embedding elements dropped, 0..1                            [0.2]      */
    float beta;           /* weight of the VANILLA logits, 0..1                                   [0.5]      */
    int rescale;          /* 1: kept elements are multiplied by 1/(1-delta)                       [0]        */
    int32_t reframings;   /* reframed passes whose logits are averaged, 1..64                     [1]        */
    harp_frame frame;     /*                                                             [HARP_FRAME_STREAM] */
    int32_t reframe_from; /* positions before it are never masked; or HARP_FROM_PROMPT            [0]        */
    harp_schedule schedule; /*                                                          [HARP_SCHEDULE_AUTO] */
    harp_measure measure;   /*                                                        [HARP_MEASURE_ENTROPY] */
    harp_measure_fn *measure_fn; /* for HARP_MEASURE_CALLER                                       [NULL]     */
    harp_mask_fn *mask_fn;       /* your masks, instead of random ones                            [NULL]     */
    harp_combine_fn *combine_fn; /* your rule, instead of beta * vanilla + (1 - beta) * reframed  [NULL]     */
    void *harp_user;             /* passed to these three                                         [NULL]     */

    /* Choosing a token, in this order: bias, adjust_fn, repetition penalty, top-k, top-p, min-p, temperature. */
    float temperature;    /* 0: the most probable token, always                                   [0.8]      */
    int32_t top_k;        /* keep the k most probable; 0: all                                     [40]       */
    float top_p;          /* keep the fewest whose probabilities reach p; 1: all                  [0.95]     */
    float min_p;          /* keep those with at least min_p times the largest probability; 0: all [0.05]     */
    float repeat_penalty; /* divides positive, multiplies negative logits of recent tokens; 1: off [1.0]     */
    int32_t repeat_last;  /* how many tokens are recent                                           [64]       */
    const harp_bias *bias; /*                                                                     [NULL]     */
    int32_t n_bias;
    harp_adjust_fn *adjust_fn; /* not in harp_beam, harp_score, harp_score_harp; a session with it needs     */
    void *adjust_user;         /* 4 * vocab bytes more                                            [NULL]     */
    uint64_t seed;   /* of the masks and of sampling                                              [0]        */
    uint32_t sample; /* gives other draws with the same seed and the same masks: answer 0, 1, ... [0]        */

    /* Other decoders. All but lookup determine the session's memory. */
    int32_t beams;       /* beams of harp_beam, up to 64; 0: no beam search                       [0]        */
    int32_t beam_length; /* most tokens of a beam                                                 [256]      */
    int32_t drafts;      /* most drafted tokens verified in one pass, up to 64; 0: no drafting    [0]        */
    int32_t lookup;      /* drafts are what followed the last `lookup` (1..16) or fewer tokens earlier [3]   */
    harp_session *draft; /* a session of a smaller model that drafts instead, opened with harp = 0 [NULL]    */
    harp_draft_rule draft_rule; /*                                                        [HARP_DRAFT_EXACT] */

    /* Many conversations: tier 4. They determine the session's memory, too. */
    harp_engine *engine;  /* what computes for this session; NULL: it has an engine of its own    [NULL]     */
    harp_session *parent; /* the session begins as a copy, a fork, of this one, with its first    [NULL]     */
    int32_t parent_at;    /* so many tokens                                                       [0]        */

    /* Ending a generation (harp_generate). */
    const char *const *stop; /* texts that end it, also across tokens; they are not shown         [NULL]     */
    int32_t n_stop;
    int ignore_end; /* 1: the model's end tokens do not end it                                    [0]        */

    /* Resources. */
    const char *isa;            /* the instruction set, one that harp_isa names; NULL: the best   [NULL]     */
    int threads;                /* parts that work is split into, 1..256; 1: the calling thread alone. In a  */
                                /* child of fork, the calling thread does all work of its parent's sessions [1] */
    harp_parallel_fn *parallel; /* runs those parts; NULL: the session starts threads of its own. A build    */
                                /* without atomic instructions runs them one after another        [NULL]     */
    void *parallel_user;
    harp_cancel_fn *cancel; /*                                                                    [NULL]     */
    void *cancel_user;
    harp_inputs_fn *inputs_fn; /* sees the inputs of all matrices                                 [NULL]     */
    void *inputs_user;
    void *memory;             /* your block of harp_session_memory() bytes or more, any alignment, in use    */
    size_t memory_bytes;      /* until the session is closed; NULL: the allocator is asked once   [NULL]     */
    harp_allocator allocator; /* its functions are NULL: malloc and free                                     */
} harp_params;

/* Writes the defaults above to *params, of `bytes` bytes, for a program that was compiled with this HARP_VERSION: what
 * harp_defaults() does, and what a program in another language calls. Nothing is written beyond `bytes`. */
HARP_API void harp_set_defaults(harp_params *params, size_t bytes, int32_t version);

static inline harp_params harp_defaults(void)
{
    harp_params params;
    harp_set_defaults(&params, sizeof params, HARP_VERSION);
    return params;
}

/* HARP's settings that the model's file recommends (harp-eval --task tune finds them, harp-convert --recommend writes
 * them): harp, frame, reframe_from, reframings, theta, delta, beta and rescale. Puts them over those of *params and
 * returns 1; what the file does not name becomes the paper's. Returns 0 if the file recommends nothing, and -1 if one
 * of its values is none that a session takes, a pointer is NULL, or *params is of another harp.h; then *params stays as
 * it was. */
HARP_API int harp_recommend(const harp_model *model, harp_params *params);

/* The defaults for this model: harp_defaults(), the paper's, with what its file recommends over them. */
static inline harp_params harp_defaults_for(const harp_model *model)
{
    harp_params params = harp_defaults();
    (void)harp_recommend(model, &params);
    return params;
}

/* The instruction sets that both this build and this machine have, best first, by index from 0: "amx", "avx512",
 * "avxvnni", "avx2", "ssse3", "sse2"; "i8mm", "dotprod", "neon"; "simd128"; and always "c", plain C, as the last. NULL
 * beyond the last. All of them give the same bits. Constant strings. On Linux this call asks the system for the
 * registers of "amx", if the processor has them. */
HARP_API const char *harp_isa(int index);

/* ---- TIER 1: five calls are enough for most programs ------------------------------------------------------------ */

/* What happened at one generated token. Filled in by the library. */
typedef struct harp_step {
    int32_t token;         /* the token chosen                                                               */
    int32_t position;      /* its position: the number of tokens before it                                   */
    int32_t end;           /* 1: it is one of the model's end tokens                                         */
    int32_t hesitated;     /* 1: uncertainty > theta                                                         */
    int32_t reframed;      /* how many reframed logits were blended in; 0: the vanilla logits were used       */
    int32_t vanilla_token; /* what the same draw would have chosen from the vanilla logits                   */
    float entropy;         /* of the vanilla distribution, bits                                              */
    float uncertainty;     /* the chosen measure; equal to entropy by default                                */
    float logprob;         /* natural logarithm of the token's probability, combined logits, temperature 1   */
    int32_t passes;        /* passes over the weights that this step took                                    */
    int32_t rows;          /* rows computed in them                                                          */
} harp_step;

/* Called exactly once for each generated token, with the text that it completes: whole UTF-8 characters, not
 * zero-terminated, valid during the call. bytes may be 0: for an end token, or one that completes no character. Inside
 * it harp_tokens, harp_logits, harp_hidden, harp_top and harp_statistics tell of that step. Non-zero ends the
 * generation without an error. */
typedef int harp_text_fn(void *user, const char *text, size_t bytes, const harp_step *step);

/* Opens a .harp file: maps it if the platform can, otherwise reads it into memory. Checks everything but the weights'
 * checksums, which harp_verify checks. path is UTF-8, on Windows too, and names a regular file: pipes and devices are
 * refused. *model is NULL on failure.
 *
 * While a mapped file is open (harp_info.mapped), Windows lets no program write to it. Elsewhere other programs can. If
 * one overwrites the file, the weights change and so do the results, but nothing worse happens: everything else was
 * copied (the head, a few megabytes at most). If one cuts the file short, the system ends your program with SIGBUS. So
 * replace a model by renaming a new file over it; if you cannot rule the rest out, open it with harp_source.copy. */
HARP_API harp_status harp_open(harp_model **model, const char *path, harp_error *err);

/* Opens a session; harp_session_close ends it. The model must outlive it. *session is NULL on failure. */
HARP_API harp_status harp_session_open(harp_session **session, const harp_model *model, const harp_params *params,
                                       harp_error *err);

/* Appends the prompt (UTF-8, zero-terminated) to the session's tokens, then generates at most max_tokens tokens: until
 * an end token, a stop text, a full context, or a non-zero answer of on_text, which may be NULL. An empty session
 * begins with the begin token if the model wants one; a prompt of NULL or "" appends nothing else. With max_tokens 0
 * the prompt is appended and nothing is generated. Control tokens in the prompt are plain text: for those use
 * harp_encode and harp_feed, and then a prompt of NULL.
 *
 * After an error or a cancelled step the session keeps the tokens of the steps before, and you can call again. With a
 * prompt of NULL or "", and no other call that changed the tokens, the text continues: what on_text was not shown yet
 * comes first. That is the beginning of a character whose other bytes are still to come and, after an error or an
 * answer of on_text, what may be the beginning of a stop text. */
HARP_API harp_status harp_generate(harp_session *session, const char *prompt, int32_t max_tokens,
                                   harp_text_fn *on_text, void *user, harp_error *err);

/* Why the last harp_generate ended, and what the session's tokens are then. Unless something else is said, it returned
 * HARP_OK, and the tokens are the old ones, the prompt's, and those generated. */
typedef enum harp_end {
    HARP_END_NONE,      /* there was no harp_generate since the session was opened or restored               */
    HARP_END_TOKEN,     /* the model chose an end token, which is the session's last token                   */
    HARP_END_STOP,      /* a stop text is complete: its tokens are in the session, on_text was not shown it  */
    HARP_END_CALLBACK,  /* on_text returned non-zero; the token that it was told of is the last              */
    HARP_END_CONTEXT,   /* the context is full: rewind before you go on                                      */
    HARP_END_LENGTH,    /* max_tokens tokens were generated                                                  */
    HARP_END_CANCELLED, /* it returned HARP_ERR_CANCELLED, ...                                               */
    HARP_END_ERROR      /* ... or another error: the tokens of complete steps are there, and the prompt's    */
} harp_end;

/* Of several reasons the first in this order. If the prompt could not be computed, nothing was appended. A call with a
 * negative max_tokens, or on a model without tokenizer, does not count. */
HARP_API harp_end harp_generate_end(const harp_session *session);

HARP_API void harp_session_close(harp_session *session); /* NULL is allowed                                 */
HARP_API void harp_close(harp_model *model);             /* NULL is allowed; close the model's sessions first */

/* ---- TIER 2: drive it yourself ---------------------------------------------------------------------------------- */

/* Appends n tokens. All but the last are computed now, the last by the next harp_next.
 *
 * After HARP_ERR_CANCELLED or another error the tokens are as before, but what whole passes (of params.batch tokens)
 * had computed is kept for now: if the next tokens that you append with harp_feed, harp_queue, harp_pause or
 * harp_generate begin with the same ones, they are not computed again. Any other call discards it.
 *
 * Models with longrope (Phi-3) rotate keys in another way once there are more tokens than metadata rope_original. The
 * first call or step on the other side of that border, in either direction, recomputes the whole session. */
HARP_API harp_status harp_feed(harp_session *session, const int32_t *tokens, int32_t n, harp_error *err);

/* One step: computes what is pending, applies HARP, chooses a token, appends it, and fills in *step, which may be NULL.
 * HARP_ERR_CONTEXT if the context is full. */
HARP_API harp_status harp_next(harp_session *session, harp_step *step, harp_error *err);

/* harp_next in slices, for hosts that must not block: returns after about `budget` multiply-adds with *done = 0, and
 * continues when it is called again. With *done = 1 the step is complete and *step is filled in. The result has the
 * bits of a whole step. A slice computes at least 16 rows of one matrix; embeddings, the measure and the choice are not
 * cut, a draft session's passes are.
 *
 * Between slices, harp_next completes the step and harp_save saves the state before it. Any other call that changes the
 * session abandons the step, and so does an error; what whole passes computed of the session's tokens is kept. Your
 * measure and mask functions may be called again in each slice. */
HARP_API harp_status harp_step_some(harp_session *session, int64_t budget, int *done, harp_step *step, harp_error *err);

/* Appends tokens like harp_feed, but computes nothing: the next step does, in slices if that is harp_step_some. */
HARP_API harp_status harp_queue(harp_session *session, const int32_t *tokens, int32_t n, harp_error *err);

/* Removes all tokens from `position` on; those before it stay computed. */
HARP_API harp_status harp_rewind(harp_session *session, int32_t position, harp_error *err);

/* The tokens of the session, [*n]; valid until the next call on it. */
HARP_API const int32_t *harp_tokens(const harp_session *session, int32_t *n);

typedef enum harp_which {
    HARP_COMBINED, /* what the token was chosen from, before bias and sampling: blended, or the vanilla ones  */
    HARP_VANILLA,  /* those of the usual pass                                                                 */
    HARP_REFRAMED  /* the mean of the reframed ones                                                           */
} harp_which;

/* Logits [vocab] of the last harp_next. The session's memory, valid until the next call on it. NULL if there are none:
 * no step yet, or the tokens changed since, or, for HARP_REFRAMED, the step did not reframe. */
HARP_API const float *harp_logits(const harp_session *session, harp_which which);

/* The hidden state of the newest computed position, [hidden] floats: the output of the model's last norm, which the
 * output matrix turns into the logits HARP_VANILLA. Use it as an embedding of the text up to there, or as the input of
 * a probe. After harp_next it is that of the position before the token just appended; inside a callback of harp_score
 * and harp_score_harp, that of the callback's position. Needs harp_params.hidden = 1. The session's memory, valid until
 * the next call on it. NULL if there is none: opened without it, no step yet, or the tokens changed since. */
HARP_API const float *harp_hidden(const harp_session *session);

typedef struct harp_choice {
    int32_t token;
    float probability;
} harp_choice;

/* The n most probable tokens of the last step, best first, into top[n]; returns how many there are, 0 if there are no
 * such logits. Linear in the vocabulary for small n. */
HARP_API int32_t harp_top(const harp_session *session, harp_which which, harp_choice *top, int32_t n);

/* Called for each position of harp_score: logits [vocab] of the token that follows `position`; valid during the call.
 * Non-zero ends the call with HARP_ERR_CANCELLED. */
typedef int harp_score_fn(void *user, int32_t position, const float *logits);

/* Appends n tokens like harp_feed, computes all of them, and calls on_logits with the vanilla logits of each, in order.
 * With longrope all positions are rotated as the final number of tokens wants it. */
HARP_API harp_status harp_score(harp_session *session, const int32_t *tokens, int32_t n, harp_score_fn *on_logits,
                                void *user, harp_error *err);

/* Called for each position of harp_score_harp, with what harp_next would have computed there. step->token is the most
 * probable token of combined [vocab], step->vanilla_token that of vanilla [vocab], step->logprob that of step->token;
 * passes and rows are 0. combined equals vanilla where nothing was blended. Valid during the call. Non-zero ends the
 * call with HARP_ERR_CANCELLED. */
typedef int harp_score_harp_fn(void *user, const harp_step *step, const float *vanilla, const float *combined);

/* Appends n tokens and calls on_step with the logits of each, HARP applied: the bits of harp_feed and harp_next,
 * however the text is divided into calls. Computes logit_rows positions at a time; in frame redraw the reframings of
 * one. */
HARP_API harp_status harp_score_harp(harp_session *session, const int32_t *tokens, int32_t n,
                                     harp_score_harp_fn *on_step, void *user, harp_error *err);

/* Shannon entropy in bits of softmax(logits[n]), computed as the library does; NaN if the logits are not finite. */
HARP_API float harp_entropy(const float *logits, int32_t n);

/* Natural logarithm of the probability of `token` under softmax(logits[n]). */
HARP_API float harp_logprob(const float *logits, int32_t n, int32_t token);

/* Changes parameters of an open session. Those that determine memory must stay as they were: context, batch,
 * logit_rows, activations, cache, hidden, frame, reframings, threads, memory, allocator, those of the other decoders,
 * and whether there are a parallel function and an adjust_fn. reframe_from and the stop texts may change as long as
 * they need no more memory than at opening: no earlier block of 16 positions, no longer text. HARP can be switched on
 * if the session was opened with it. If the masks change, the reframed text is computed anew. */
HARP_API harp_status harp_tune(harp_session *session, const harp_params *params, harp_error *err);

/* Counts since the session was opened; harp_restore brings those of the saved session. */
typedef struct harp_stats {
    int64_t steps;       /* tokens generated                                                                  */
    int64_t hesitations; /* of them, those with uncertainty > theta ...                                       */
    int64_t changed;     /* ... and those where the vanilla logits would have chosen another token            */
    int64_t passes;      /* passes over the weights, prompts included                                         */
    int64_t rows;        /* rows computed in them: vanilla ones ...                                           */
    int64_t reframed_rows; /* ... and reframed ones                                                           */
    int64_t drafted;     /* tokens drafted and verified ...                                                   */
    int64_t accepted;    /* ... and kept                                                                      */
} harp_stats;

/* All counts are 0 if session is NULL. */
HARP_API harp_stats harp_statistics(const harp_session *session);

/* What a session is: the parameters that harp_session_open has decided on, its memory, and how far it has come. */
typedef struct harp_facts {
    const char *isa;      /* the instruction set in use, as harp_isa names it; a constant string              */
    int32_t context;      /* most positions                                                                   */
    int32_t batch;        /* most rows in one pass                                                            */
    int32_t threads;      /* parts that work is split into                                                    */
    int32_t beam_length;  /* most tokens of a beam                                                            */
    int32_t reframe_from; /* positions before it are never masked; with HARP_FROM_PROMPT, 0 until there is a prompt */
    int32_t pending;      /* tokens still to be computed: asked in a harp_cancel_fn, or between slices, it tells */
                          /* how far a long prompt is. After harp_feed 1: the step computes the newest        */
    size_t memory;        /* bytes of the session's block, those of a draft session not counted ...           */
    size_t cache_memory;  /* ... and of them, for keys and values                                             */
} harp_facts;

/* All fields are 0 and NULL if session is NULL. */
HARP_API harp_facts harp_session_info(const harp_session *session);

/* Text to tokens. flags is a sum of the values below. Writes at most `capacity` ids to tokens (NULL if it is 0) and the
 * number needed to *n. HARP_ERR_MEMORY if that is more than capacity, HARP_ERR_UNSUPPORTED if the model has no
 * tokenizer. Bytes that are not UTF-8 survive. Takes working memory from the model's allocator and frees it before it
 * returns: about 24 bytes per byte of the longest word (SentencePiece models: of the text), and as much again per byte
 * of the text where the tokenizer puts it into Unicode's form NFC. */
#define HARP_ENCODE_BOS 1u      /* put the begin token first, if the model wants one                          */
#define HARP_ENCODE_SPECIAL 2u  /* names of control tokens in the text ("<|end|>") become those tokens        */
#define HARP_ENCODE_CONTINUE 4u /* the text continues another: no space is put before it                      */
HARP_API harp_status harp_encode(const harp_model *model, const char *text, size_t bytes, unsigned flags,
                                 int32_t *tokens, size_t capacity, size_t *n, harp_error *err);

/* The same for a text of several authors, such as a conversation: what the program wrote may name control tokens, what
 * a person typed may not. The parts follow one another in text; spans [n_spans] tells the length of each, and by
 * HARP_ENCODE_SPECIAL in its flags whether names of control tokens become those tokens. The whole is encoded as one
 * text: words form across the borders of spans. flags: HARP_ENCODE_BOS, HARP_ENCODE_CONTINUE. */
typedef struct harp_span {
    size_t bytes;
    unsigned flags;
} harp_span;

HARP_API harp_status harp_encode_spans(const harp_model *model, const char *text, const harp_span *spans,
                                       size_t n_spans, unsigned flags, int32_t *tokens, size_t capacity, size_t *n,
                                       harp_error *err);

/* CONVERSATIONS. A model that was trained to converse expects messages in a format of its own, with texts and control
 * tokens around them. The model file holds the format as a table of roles (metadata chat.*: harp_impl.c, [CH14]), and
 * harp_render writes a conversation by it. Hand the result to harp_encode_spans, with its flags. */

typedef enum harp_role {
    HARP_ROLE_SYSTEM,   /* instructions: at most one message, the first                                       */
    HARP_ROLE_USER,     /* user and assistant take turns; the user begins                                     */
    HARP_ROLE_ASSISTANT /* the model                                                                          */
} harp_role;

typedef struct harp_message {
    harp_role role;
    const char *text; /* any bytes, UTF-8 as a rule; NULL if bytes is 0                                       */
    size_t bytes;
} harp_message;

/* You set the two arrays and their capacities (NULL and 0 to ask what is needed); harp_render sets the rest. Plain
 * memory. */
typedef struct harp_rendering {
    char *text;           /* [capacity] bytes; not zero-terminated                                            */
    size_t capacity;
    harp_span *spans;     /* [span_capacity]: the format's texts, which may name control tokens, and the messages, */
    size_t span_capacity; /* which may not; 2 * n_messages + 1 always suffice                                 */
    size_t bytes;         /* bytes of the text                                                                */
    size_t n_spans;       /* number of spans; their lengths add up to `bytes`                                 */
    unsigned flags;       /* HARP_ENCODE_BOS if the format begins with the begin token, otherwise 0           */
} harp_rendering;

#define HARP_RENDER_ANSWER 1u   /* end with the opening of the assistant's answer; the last message is a user's */
#define HARP_RENDER_THINKING 2u /* keep the thinking in former answers; without it, it is left out if the format says */
                                /* so, as the model was trained. If the last message is an answer, it is kept whole */

/* Writes the text of a conversation. flags is a sum of the values above. An empty system message counts as none. No
 * message's text becomes a control token, whatever it looks like. Allocates nothing and writes to nothing but *out and
 * its arrays: any number of threads may call it with one model. Takes time linear in the texts.
 *
 * HARP_ERR_MEMORY: a capacity is too small; bytes and n_spans say what is needed. HARP_ERR_ARGUMENT: the roles are out
 * of order. HARP_ERR_UNSUPPORTED: the model has no conversation format, or its format has no system message.
 * HARP_ERR_FORMAT: the model's table is invalid. */
HARP_API harp_status harp_render(const harp_model *model, const harp_message *messages, size_t n_messages,
                                 unsigned flags, harp_rendering *out, harp_error *err);

/* Tokens to text, one at a time, whole characters only. Plain memory, which you may copy; begin with
 * harp_decoder_start. The model must outlive it. */
typedef struct harp_decoder {
    const harp_model *model;
    unsigned flags;
    int32_t held; /* bytes of an incomplete character */
    int32_t started;
    unsigned char hold[8];
} harp_decoder;

#define HARP_DECODE_SPECIAL 1u  /* control tokens become their names; otherwise they become nothing          */
#define HARP_DECODE_CONTINUE 2u /* the text continues another: a first space is kept                         */
HARP_API void harp_decoder_start(harp_decoder *decoder, const harp_model *model, unsigned flags);

/* Adds a token; writes the characters that it completes to out and their length in bytes to *bytes. out needs room for
 * harp_info.longest_token + 8 bytes. Bytes that are not UTF-8 become U+FFFD. Token -1 ends the text: an incomplete
 * character becomes U+FFFD. */
HARP_API harp_status harp_decode(harp_decoder *decoder, int32_t token, char *out, size_t capacity, size_t *bytes,
                                 harp_error *err);

/* ---- TIER 3: embedding ------------------------------------------------------------------------------------------ */

/* Where a model comes from: exactly one of path, data, read.
 *
 * A mapped file costs no memory of its own, opens at once, and is shared by all who map it. With `copy` the weights lie
 * where the allocator puts them, and the file can change or go afterwards. Decoding reads all of them for each token.
 * If the system's cache holds the file in scattered pages of 4 KiB, as after days of use, that can be slower than from
 * large pages; harp-bench --pages aged|fresh|large tells whether it is on your machine. On Linux an allocator gets
 * large pages with
 *     block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
 *     madvise(block, bytes, MADV_HUGEPAGE);
 * at the price of as much memory as the file has bytes, and of copying it once. */
typedef struct harp_source {
    harp_stamp stamp;    /* set by harp_source_defaults()                                                      */
    const char *path;    /* a file (not with HARP_NO_STDIO and HARP_NO_MMAP together)                         */
    const void *data;    /* an image kept alive by you, of `bytes` bytes, any alignment; read in place        */
    harp_read_fn *read;  /* a reader of `bytes` bytes, called during harp_open_source alone                   */
    void *read_user;
    uint64_t bytes;
    void *memory;        /* a block of harp_source_memory() bytes for the model's own tables, or NULL          */
    size_t memory_bytes;
    harp_allocator allocator; /* for the tables, an image that is read, and harp_encode; NULLs: malloc        */
    int copy;            /* 1: the file at path is read into memory of the allocator, not mapped              */
} harp_source;

/* What harp_set_defaults and harp_defaults do, for harp_source: all fields but the stamp are 0 and NULL. */
HARP_API void harp_set_source_defaults(harp_source *source, size_t bytes, int32_t version);

static inline harp_source harp_source_defaults(void)
{
    harp_source source;
    harp_set_source_defaults(&source, sizeof source, HARP_VERSION);
    return source;
}

/* Opens a model as harp_open does, from any source. *model is NULL on failure. */
HARP_API harp_status harp_open_source(harp_model **model, const harp_source *source, harp_error *err);

/* Bytes of harp_source.memory that a model with this number of layers needs, the image itself not counted. 0 if no
 * model can have so many. */
HARP_API size_t harp_source_memory(int32_t layers);

/* Writes to *bytes how much memory a session with these parameters needs. Fails as harp_session_open would. */
HARP_API harp_status harp_session_memory(const harp_model *model, const harp_params *params, size_t *bytes,
                                         harp_error *err);

/* Copies the session's state (tokens, caches, counts) to out, of `capacity` bytes, and writes the size needed to
 * *bytes. out may be NULL to ask for the size. The image holds nothing of tokens that were rewound, drafted or taken
 * back. Of text that harp_generate has not shown yet it holds an incomplete character, not what may begin a stop
 * text. */
HARP_API harp_status harp_save(const harp_session *session, void *out, size_t capacity, size_t *bytes, harp_error *err);

/* Makes the session what the saved one was: it continues bit for bit. Needs the same model, context, cache,
 * activations, frame, reframings and reframe_from, harp on or off at opening as there (and, if there is a draft
 * session, one like the saved session's), and a machine of the same byte order. If seed, delta or rescale differ,
 * the reframed text is computed anew; a mask_fn must be the same. The image is not trusted: it is checked in full
 * before the session changes. */
HARP_API harp_status harp_restore(harp_session *session, const void *image, size_t bytes, harp_error *err);

/* Reads the whole model and checks what harp_open does not: every checksum, and that every scale and norm weight is
 * finite. Takes seconds for gigabytes. */
HARP_API harp_status harp_verify(const harp_model *model, harp_error *err);

/* What a model is. Strings are zero-terminated and valid as long as the model. */
typedef struct harp_info {
    const char *architecture; /* "llama", ...: a name for people; the metadata says what a layer computes     */
    int32_t vocab, hidden, layers, heads, kv_heads, head_dim, ffn; /* sizes, in numbers of elements           */
    int32_t context;          /* most positions that it was made for                                          */
    int32_t window;           /* positions in the sliding window of some layers or all; 0: none               */
    int32_t experts;          /* that the feed-forward of some layers or all is a mixture of; 0: none         */
    int32_t experts_used;     /* of them, for one token                                                       */
    int32_t tied;             /* 1: the output matrix is the embedding matrix                                 */
    int32_t tokenizer;        /* 0: none, token ids only; 1: SentencePiece BPE; 2: byte-level BPE             */
    int32_t bos;              /* begin token; -1: none                                                        */
    int32_t n_end;            /* number of end tokens ...                                                     */
    int32_t end[16];          /* ... and their ids                                                            */
    int32_t longest_token;    /* bytes of the longest token's text                                            */
    int64_t parameters;       /* number of weights                                                            */
    int64_t active;           /* of them, those that one token uses: without its other experts                */
    int64_t four_bit;         /* how many of them are stored in four bits; the others in eight or as floats   */
    int64_t bytes;            /* size of the image                                                            */
    int32_t mapped;           /* 1: the image is a mapping of the file                                        */
} harp_info;

/* All fields are 0 and NULL if model is NULL. */
HARP_API harp_info harp_model_info(const harp_model *model);

/* The text of a token, and its length in *bytes, which may be NULL. Any byte is possible, and it is not
 * zero-terminated. A control token's text is its name. Valid as long as the model. NULL if there is none. */
HARP_API const char *harp_token_text(const harp_model *model, int32_t token, size_t *bytes);

typedef enum harp_meta_type {
    HARP_META_INTEGER = 1,
    HARP_META_REAL = 2,
    HARP_META_TEXT = 3,
    HARP_META_BYTES = 4
} harp_meta_type;

typedef struct harp_meta {
    const char *key; /* zero-terminated */
    harp_meta_type type;
    int64_t integer;
    double real;
    const char *data; /* a text (zero-terminated) or bytes */
    size_t bytes;     /* the text's zero not counted       */
} harp_meta;

/* Metadata by index from 0, or by key: returns 1 and fills in *meta, or 0 if there is none. harp_impl.c, [CH10], lists
 * the keys. Strings and bytes are valid as long as the model. Takes time linear in the entries, at most 4096. */
HARP_API int harp_meta_at(const harp_model *model, int32_t index, harp_meta *meta);
HARP_API int harp_meta_find(const harp_model *model, const char *key, harp_meta *meta);

/* ---- TIER 4: many conversations ---------------------------------------------------------------------------------
 *
 * A pass reads all weights, however many tokens it computes, and that is most of its time: one pass for eight
 * conversations takes 1.4 to 1.6 times as long as one for one (1.1 billion weights: examples/bench/README.md). An
 * ENGINE is what computes: threads, scratch memory, logits. Sessions that are opened with harp_params.engine share it,
 * and harp_together advances several of them in one pass. A session gets the same bits alone and in any company.
 * Without an engine a session has its own, and nothing changes.
 *
 * The engine and its sessions belong to one thread at a time. In callbacks of a call on one of them, the calls that are
 * allowed on that session (see above) are allowed on all, harp_save also on those that are not at work, and no others;
 * no session is opened on it. What harp_logits, harp_hidden and harp_top tell of a session's last step lasts until
 * `seats` other sessions have made steps.
 *
 * A session that is opened with harp_params.parent is a FORK: it begins with the parent's first parent_at tokens,
 * and shares what is computed of them, so its own memory is that of the positions after them. It has the parent's
 * model, cache and activations. Both then go on independently, on the same engine or on others, but as long as they
 * share, only one thread at a time may open, close or rewind any of them. The reframed text is shared, too, if the
 * fork's masks are the parent's (frame stream; the same seed, delta, rescale, mask_fn, harp_user and reframe_from):
 * use `sample`, not seed, for different answers. The parent cannot be rewound, tuned to other masks or restored so
 * that shared positions would change, nor can the fork: HARP_ERR_ARGUMENT. If the parent is closed first, its memory
 * is freed with its last fork; a block of yours stays in use until then. A fork is saved with all that it shares, as
 * a whole session; neither a fork nor its parent can be restored. Models with longrope: no context may exceed
 * rope_original. */

/* Opens an engine. These parameters matter: batch, activations, hidden, isa, threads and parallel, which its sessions
 * have from it; seats; memory and allocator, for itself; context, logit_rows, harp, reframings, beams and drafts, which
 * say what its sessions may have at most. The model must outlive it. *engine is NULL on failure. */
HARP_API harp_status harp_engine_open(harp_engine **engine, const harp_model *model, const harp_params *params,
                                      harp_error *err);

/* Bytes that the engine needs. Fails as harp_engine_open would. */
HARP_API harp_status harp_engine_memory(const harp_model *model, const harp_params *params, size_t *bytes,
                                        harp_error *err);

/* NULL is allowed. HARP_ERR_ARGUMENT as long as sessions are open on it: close them first. */
HARP_API harp_status harp_engine_close(harp_engine *engine, harp_error *err);

/* One session's part in a step of several. You set `session`; harp_together sets the rest. */
typedef struct harp_member {
    harp_session *session;
    int done;         /* 1: its step is complete, and described in `step`                                     */
    int32_t pending;  /* tokens still to be computed before it can be: those of a prompt                      */
    harp_step step;
    harp_error error; /* why the session made no step; the others are not touched by it                       */
} harp_member;

/* One step of n sessions of one engine, at most its `seats`, all their rows in common passes. A session whose tokens
 * are computed gets its next one, as by harp_next. A session with a prompt to compute (harp_queue) joins with as many
 * of its rows as fill the passes of the others: it is not done then, and goes on when it is next a member. So a long
 * prompt does not stop the others; it holds a pass up to `batch` rows long. If all have prompts, one pass is made.
 *
 * With a budget above 0 the call returns after about so many multiply-adds, perhaps with nobody done (harp_step_some);
 * call it again, with the same members or others. Each session's cancel and other callbacks are its own, and so are its
 * errors, in the member. Returns HARP_OK even then; otherwise nothing was done: HARP_ERR_ARGUMENT for a NULL, a session
 * named twice or of another engine, or n out of range, HARP_ERR_BUILD for the thread's floating-point mode. */
HARP_API harp_status harp_together(harp_member *members, int32_t n, int64_t budget, harp_error *err);

/* ---- TIER 5: other decoders -------------------------------------------------------------------------------------
 *
 * DRAFTING lets one pass compute several tokens: some are drafted, the pass computes them all as rows, and the model
 * keeps those that it would have chosen itself. Set drafts (4 to 10 is useful) and use harp_next and harp_generate as
 * before. If HARP is on, its combined logits decide.
 *
 * Drafts come from the text (lookup: what followed when the last tokens occurred before) or from a second session on a
 * small model with the same vocabulary (draft). This session feeds, rewinds and steps that one: do not use it during
 * this one's calls. The draft session's context may be shorter, its calls may fail, and as a fork or a parent it may
 * not be able to go back: then there are fewer drafts, and the step succeeds. The number of drafts adapts to how many
 * were kept.
 *
 * With HARP_DRAFT_EXACT the tokens are those without drafting, bit for bit, also when sampling. With
 * HARP_DRAFT_LEVIATHAN [Leviathan, Kalman, Matias 2023] they have the same distribution but are drawn otherwise: the
 * tokens before, the seeds and the draft session determine them, not the calls that led there. */

/* BEAM SEARCH as in the paper's published code: `beams` sequences grow by their top_k best tokens each, scored by
 * sum / ((min_length + tokens) / (min_length + 1))^alpha, where sum is 1 plus the tokens' log-probabilities. It is a
 * method of the plain model: it needs harp = 0. */
typedef struct harp_beam_options {
    int32_t max_tokens; /* at most params.beam_length; fewer if the context ends                   [256]     */
    int32_t top_k;      /* continuations considered for each beam, 1..64                           [5]       */
    float alpha;        /* -8..8                                                                   [1.2]     */
    float min_length;   /* -0.99 or more                                                           [5]       */
    const int32_t *end; /* [n_end] tokens that finish a beam; NULL: the model's end tokens         [NULL]    */
    int32_t n_end;
    int32_t pad;        /* one more such token, as in the paper's code; -1: none                   [-1]      */
} harp_beam_options;

HARP_API harp_beam_options harp_beam_defaults(void);

/* Searches on from the session's tokens and appends the best beam, its end token included; writes its score to *score,
 * which may be NULL. One pass computes all beams; they share what was computed before. */
HARP_API harp_status harp_beam(harp_session *session, const harp_beam_options *options, float *score, harp_error *err);

/* PAUSE: appends `token` `count` times, as harp_feed would: positions for the model to compute in before it answers. It
 * helps models that were trained so. */
HARP_API harp_status harp_pause(harp_session *session, int32_t token, int32_t count, harp_error *err);

#ifdef __cplusplus
}
#endif
#endif /* HARP_H */

/* Outside the guard on purpose: an earlier plain include must not disable the implementation. */
#if defined(HARP_IMPLEMENTATION) && !defined(HARP_IMPL_INCLUDED)
#include "harp_impl.c"
#endif
