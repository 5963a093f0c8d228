/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * harp.h - language models that notice when they hesitate, in one C file
 *
 * harp runs int8 transformer language models with HARP, the Hesitation-Aware Reframed Forward Pass
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
 *     the session's tokens, and so all results to come, as they were.
 *   - Files are hostile until checked. Any byte string opens or is refused, in bounded time and memory.
 *   - The same bits everywhere. Model, tokens, parameters and seed determine every logit bit, whatever the
 *     machine, instruction set, thread count, batch size or schedule. Builds that cannot keep this (-ffast-math, x87,
 *     clang's -ffp-contract=fast) are refused when compiled or, where only a run can tell, by harp_open and
 *     harp_session_open. Each thread has a floating-point mode; calls that compute on a thread that flushes tiny
 *     numbers to zero or does not round to nearest are refused with HARP_ERR_BUILD, those of your parallel function
 *     included. (Linking a program with -ffast-math can set that mode.) harp_entropy, harp_logprob and harp_top cannot
 *     say so and compute as it is.
 *   - Memory is planned. Ask for a session's need beforehand, hand the block in if you like; after
 *     harp_session_open nothing is allocated, harp_encode's working memory excepted (it is released before it returns).
 *   - No writable globals. A model is read-only and may be shared by any number of sessions and threads; a session
 *     belongs to one thread at a time.
 *
 * COMPILE-TIME SWITCHES (all optional; define them where harp_impl.c is compiled)
 *   HARP_STATIC      every function is static: a private copy inside one of your files
 *   HARP_NO_STDIO    no FILE: models come from memory, a mapping or a reader of yours
 *   HARP_NO_MMAP     files are read, never mapped
 *   HARP_NO_MALLOC   no malloc: every call needs a block or an allocator of yours
 *   HARP_NO_THREADS  no threads of harp's own: parts are run by your parallel function, or one after another
 *   HARP_NO_CLOCK    no clock: the schedule "auto" goes by counting
 *   HARP_NO_SIMD     plain C only, where others have vector instructions
 *   HARP_IMPL_FILE   "harp_impl.c", under another name if you gave it one: the file includes itself
 *
 * SHAPES are written [rows][columns], last index fastest. Tokens and positions are int32_t, sizes in bytes size_t.
 * Structures may grow between versions; harp_defaults() fills them, and source stays compatible.
 *
 * [Leviathan, Kalman, Matias 2023] Fast Inference from Transformers via Speculative Decoding. arXiv 2211.17192.
 * [Storai and Hwang 2025] HARP: Hesitation-Aware Reframing in Transformer Inference Pass. NAACL 2025, arXiv 2412.07282.
 */
#ifndef HARP_H
#define HARP_H

#include <stddef.h>
#include <stdint.h>

#define HARP_VERSION 100 /* major * 10000 + minor * 100 + patch */

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
    HARP_ERR_ARGUMENT,    /* a NULL, a value out of range, parameters not made by harp_defaults()          */
    HARP_ERR_MEMORY,      /* the allocator returned NULL, or an array or block handed in is too small      */
    HARP_ERR_IO,          /* a file could not be opened or read                                            */
    HARP_ERR_FORMAT,      /* not a .harp file or a saved session, or a damaged one                         */
    HARP_ERR_UNSUPPORTED, /* a file, an instruction set or a use that this version or machine does not run */
    HARP_ERR_CONTEXT,     /* the context is full: rewind, or open a session with a longer one              */
    HARP_ERR_CANCELLED,   /* a callback of yours asked to stop                                             */
    HARP_ERR_NUMBER,      /* the logits are not finite: a weight is NaN, or a token makes sums overflow    */
    HARP_ERR_BUILD        /* this build or thread cannot compute as defined ("the same bits everywhere")   */
} harp_status;

/* Filled by every call that takes one; on success status is HARP_OK and text is empty. Yours, plain memory. */
typedef struct harp_error {
    harp_status status;
    char text[256]; /* one English sentence, UTF-8, zero-terminated */
} harp_error;

/* A constant name for a status, "HARP_ERR_FORMAT". Never NULL. */
HARP_API const char *harp_status_name(harp_status status);

/* ---- Objects and callbacks -------------------------------------------------------------------------------------- */

typedef struct harp_model harp_model;     /* a loaded model: immutable, shareable between threads        */
typedef struct harp_session harp_session; /* one timeline of tokens on a model: one thread at a time     */

/* Your callbacks are called on the thread that made the call, before it returns; only the tasks of a harp_parallel_fn
 * may run elsewhere. Inside a callback these calls may be made on the session that it is called for: harp_tokens,
 * harp_logits, harp_top, harp_statistics, harp_generate_end, and harp_save inside a harp_text_fn. All others fail with
 * HARP_ERR_ARGUMENT and change nothing; harp_session_close does nothing. Other sessions may be driven, but not a draft
 * session while it makes guesses. None may leave the thread's floats in another mode.
 *
 * Memory of the caller's. alloc returns memory aligned like malloc's, or NULL; free gets the size asked for. A model's
 * allocator also serves harp_encode: it must bear several threads if they share the model. */
typedef struct harp_allocator {
    void *(*alloc)(void *user, size_t bytes);
    void (*free)(void *user, void *block, size_t bytes);
    void *user;
} harp_allocator;

/* Reads `bytes` bytes at `offset` of a model into `into`; returns how many it read (fewer is an error). */
typedef size_t harp_read_fn(void *user, uint64_t offset, void *into, size_t bytes);

/* Calls task(argument, i) exactly once for every i in 0..n-1, in any order, on any threads, and returns when all
 * are done. n is at most harp_params.threads. */
typedef void harp_parallel_fn(void *user, void (*task)(void *argument, int i), void *argument, int n);

/* Asked between the stages of a pass, several times a layer, and while a draft session guesses for this one; non-zero
 * ends the call with HARP_ERR_CANCELLED. */
typedef int harp_cancel_fn(void *user);

/* The uncertainty of the next token, from its raw logits [vocab]; the model hesitates iff it exceeds theta. */
typedef float harp_measure_fn(void *user, const float *logits, int32_t vocab);

/* Which elements of an embedding are kept: writes 1 (keep) or 0 (drop) to keep[hidden]. `position` is the token's
 * own; `step` is the same, but in frame redraw the newest position known when the reframing was asked for; `reframing`
 * counts 0..reframings-1. Must be a pure function of its arguments, or schedules and rewinding would
 * change results. Non-zero cancels the call. */
typedef int harp_mask_fn(void *user, int32_t reframing, int32_t step, int32_t position, unsigned char *keep,
                         int32_t hidden);

/* combined[vocab] from vanilla[vocab] and the mean of the reframed logits, reframed[vocab]. */
typedef void harp_combine_fn(void *user, const float *vanilla, const float *reframed, float *combined, int32_t vocab);

/* ---- The parameters of a session -------------------------------------------------------------------------------- */

typedef enum harp_activations {
    HARP_ACT_INT8, /* activations are rounded to int8 in groups of 32 before each matrix product: fast       */
    HARP_ACT_F32   /* they stay float: only the weights are int8. Tells weight error from activation error  */
} harp_activations;

typedef enum harp_cache {
    HARP_CACHE_F16, /* keys and values rounded to IEEE half precision                                       */
    HARP_CACHE_F32,
    HARP_CACHE_INT8 /* int8 with one scale per head and position, a half                                    */
} harp_cache;

/* What the second pass sees. The paper runs without a cache; with one, a mask that changes at each step would make all
 * of it anew (frame redraw), so the masks are made a function of the position. */
typedef enum harp_frame {
    HARP_FRAME_STREAM, /* masks are keyed by position, so the reframed prefix has a KV cache of its own      */
    HARP_FRAME_REDRAW, /* the paper to the letter: new masks for the whole prefix at each hesitation         */
    HARP_FRAME_LAST    /* only the newest embedding is masked, over the vanilla cache: no second cache       */
} harp_frame;

/* When the second pass is computed. Changes cost, never results. Frame redraw is always lazy. */
typedef enum harp_schedule {
    HARP_SCHEDULE_AUTO, /* harp chooses                                                                      */
    HARP_SCHEDULE_LAZY, /* on hesitation: cost 1 + (hesitation rate) passes                                  */
    HARP_SCHEDULE_FUSED /* reframed rows ride along in every pass, which reads the weights once for all rows */
} harp_schedule;

/* The measure of uncertainty that is compared with theta, p the softmax of the raw logits. */
typedef enum harp_measure {
    HARP_MEASURE_ENTROPY,    /* Shannon entropy, - sum p log2 p, in bits (the paper)                         */
    HARP_MEASURE_MAXPROB,    /* 1 - max p                                                                    */
    HARP_MEASURE_MARGIN,     /* 1 - (largest p - second largest p)                                           */
    HARP_MEASURE_VARENTROPY, /* sum p (log2 p + H)^2, in bits squared                                        */
    HARP_MEASURE_CALLER      /* harp_params.measure_fn                                                       */
} harp_measure;

/* When a drafted token is kept. */
typedef enum harp_draft_rule {
    HARP_DRAFT_EXACT,    /* if it is what would have been chosen anyway: drafting changes cost, never results */
    HARP_DRAFT_LEVIATHAN /* with probability min(1, p / q): the same distribution, other draws, more is kept  */
} harp_draft_rule;

#define HARP_FROM_PROMPT (-1) /* reframe_from: the length of the first harp_feed or harp_generate prompt     */

typedef struct harp_bias {
    int32_t token;
    float add; /* added to the combined logit; -INFINITY forbids the token. Where all are forbidden, steps fail with */
               /* HARP_ERR_ARGUMENT. The list is read at each step, and you may change its numbers in between. */
} harp_bias;

/* Always start from harp_defaults(). Pointers must stay valid as long as the session. */
typedef struct harp_params {
    uint32_t stamp; /* set by harp_defaults(): catches memory that was never initialised                     */

    /* Size. These determine the session's memory, with harp, frame, reframings, reframe_from, threads, the stop texts
     * and the other decoders' parameters. */
    int32_t context;    /* most positions held; 0: the model's own, at most 4096                  [0]        */
    int32_t batch;      /* most rows in one pass over the weights, 1..4096                        [64]       */
    int32_t logit_rows; /* positions whose logits harp_score and harp_score_harp compute at once  [1]        */
    harp_activations activations; /*                                                         [HARP_ACT_INT8] */
    harp_cache cache;             /*                                                        [HARP_CACHE_F16] */

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
    harp_mask_fn *mask_fn;       /* masks of yours in place of Philox                             [NULL]     */
    harp_combine_fn *combine_fn; /* a rule of yours in place of the beta blend                    [NULL]     */
    void *harp_user;             /* handed to the three                                           [NULL]     */

    /* Choosing a token, in this order: bias, repetition penalty, top-k, top-p, min-p, temperature. */
    float temperature;    /* 0: the most probable token, always                                   [0.8]      */
    int32_t top_k;        /* keep the k most probable; 0: all                                     [40]       */
    float top_p;          /* keep the fewest whose probabilities reach p; 1: all                  [0.95]     */
    float min_p;          /* keep those with at least min_p times the best one's; 0: all          [0.05]     */
    float repeat_penalty; /* divides positive, multiplies negative logits of recent tokens; 1: off [1.0]     */
    int32_t repeat_last;  /* how many recent tokens count                                         [64]       */
    const harp_bias *bias; /*                                                                     [NULL]     */
    int32_t n_bias;
    uint64_t seed; /* of masks and of sampling; every value is as good as any                     [0]        */

    /* Other decoders. All but lookup determine the session's memory. */
    int32_t beams;       /* beams of harp_beam, up to 64; 0: no beam search                       [0]        */
    int32_t beam_length; /* most tokens of a beam                                                 [256]      */
    int32_t drafts;      /* most drafted tokens verified in one pass, up to 64; 0: no drafting    [0]        */
    int32_t lookup;      /* drafts are what followed the same `lookup` (1..16) or fewer tokens before [3]    */
    harp_session *draft; /* a session of a smaller model, harp = 0, that drafts instead; yours    [NULL]     */
    harp_draft_rule draft_rule; /*                                                        [HARP_DRAFT_EXACT] */

    /* Ending a generation (harp_generate). */
    const char *const *stop; /* texts that end it, also across tokens; they are not part of the output [NULL] */
    int32_t n_stop;
    int ignore_end; /* 1: the model's end tokens do not end it                                    [0]        */

    /* Resources. */
    const char *isa;            /* the instruction set, one that harp_isa names; NULL: the best   [NULL]     */
    int threads;                /* parts work is split into, 1..256; 1: the calling thread alone. A child of fork */
                                /* has no threads of its parent's sessions: the calling thread does it all    [1] */
    harp_parallel_fn *parallel; /* runs those parts (a build without atomic instructions runs them one after another */
                                /* itself); NULL: threads of the session's own                    [NULL]     */
    void *parallel_user;
    harp_cancel_fn *cancel; /*                                                                    [NULL]     */
    void *cancel_user;
    void *memory;             /* a block of at least harp_session_memory() bytes, any alignment; yours until   */
    size_t memory_bytes;      /* the session is closed. NULL: the allocator is asked once         [NULL]     */
    harp_allocator allocator; /* NULLs: malloc and free                                                      */
} harp_params;

HARP_API harp_params harp_defaults(void);

/* The instruction sets that this build and this machine have, best first, by index from 0: "amx", "avx512", "avxvnni",
 * "avx2", "sse2"; "i8mm", "dotprod", "neon"; "simd128"; and always "c", plain C, as the last. NULL beyond it. All of
 * them give the same bits. Constant strings. "amx": on Linux the process asks the system for the registers here. */
HARP_API const char *harp_isa(int index);

/* ---- TIER 1: five calls are enough for most programs ------------------------------------------------------------ */

/* What happened at one generated token (the telemetry of HARP). */
typedef struct harp_step {
    int32_t token;         /* the token chosen                                                               */
    int32_t position;      /* its position: the number of tokens before it                                   */
    int32_t end;           /* 1: it is one of the model's end tokens                                         */
    int32_t hesitated;     /* 1: uncertainty > theta                                                         */
    int32_t reframed;      /* how many reframed logits were blended in; 0: the vanilla ones stand             */
    int32_t vanilla_token; /* what the same draw would have chosen from the vanilla logits                   */
    float entropy;         /* of the vanilla distribution, bits                                              */
    float uncertainty;     /* the chosen measure; equal to entropy by default                                */
    float logprob;         /* natural logarithm of the token's probability, combined logits, temperature 1   */
    int32_t passes;        /* passes over the weights that this step took                                    */
    int32_t rows;          /* rows computed in them                                                          */
} harp_step;

/* Called with text as it is generated: whole UTF-8 characters, not zero-terminated, valid during the call. bytes may
 * be 0 (a token that completes no character, or an end token). Called exactly once for each generated token; inside it
 * harp_tokens, harp_logits, harp_top and harp_statistics speak of that step. Non-zero ends the generation, without
 * error. */
typedef int harp_text_fn(void *user, const char *text, size_t bytes, const harp_step *step);

/* Opens a .harp file: maps it where the platform can, otherwise reads it into memory. Checks everything but the
 * weights' checksums (harp_verify does that). path is UTF-8, on Windows too, and names a regular file: pipes and
 * devices are refused. *model is NULL on failure.
 *
 * While a mapped file is open (harp_info.mapped), Windows lets nobody write to it. Elsewhere other programs can: if one
 * overwrites it, the weights and with them the results change, but nothing worse happens, for all else was copied (the
 * head, a few megabytes at most). If one cuts it short, the system ends your program with SIGBUS. Replace a model by
 * renaming a new file over it, which disturbs nobody; or open it with harp_source.copy. */
HARP_API harp_status harp_open(harp_model **model, const char *path, harp_error *err);

/* Opens a session. The model must outlive it. *session is NULL on failure. */
HARP_API harp_status harp_session_open(harp_session **session, const harp_model *model, const harp_params *params,
                                       harp_error *err);

/* Appends prompt (UTF-8; a begin token first where the model wants one and the session is empty; NULL or "": nothing
 * is appended but that), then generates at most max_tokens tokens, until an end token, a stop text, a full context or
 * a non-zero answer of on_text (which may be NULL). Control tokens in the prompt's text are plain text here. After an
 * error or a cancelled step the session keeps the tokens of the steps before, and can go on: with a prompt of NULL or
 * "", if no other call has changed the tokens, the text goes on, too, where it was. What on_text has not been shown yet
 * comes first: the beginning of a character whose other bytes are in tokens to come, and, after an error or an answer
 * of on_text, what may begin a stop text. */
HARP_API harp_status harp_generate(harp_session *session, const char *prompt, int32_t max_tokens,
                                   harp_text_fn *on_text, void *user, harp_error *err);

typedef enum harp_end {
    HARP_END_NONE,      /* there was no harp_generate since the session was opened or restored               */
    HARP_END_TOKEN,     /* the model chose an end token                                                      */
    HARP_END_STOP,      /* a stop text is complete                                                           */
    HARP_END_CALLBACK,  /* on_text answered so                                                               */
    HARP_END_CONTEXT,   /* the context is full                                                               */
    HARP_END_LENGTH,    /* max_tokens tokens were generated                                                  */
    HARP_END_CANCELLED, /* harp_generate returned HARP_ERR_CANCELLED                                         */
    HARP_END_ERROR      /* it returned another error                                                         */
} harp_end;

/* Why the last harp_generate ended; of several reasons the first in this order. */
HARP_API harp_end harp_generate_end(const harp_session *session);

HARP_API void harp_session_close(harp_session *session); /* NULL is fine */
HARP_API void harp_close(harp_model *model);             /* NULL is fine; after its sessions */

/* ---- TIER 2: drive it yourself ---------------------------------------------------------------------------------- */

/* Appends n tokens. All but the last are computed now, the last by the next harp_next. After HARP_ERR_CANCELLED or
 * another error the tokens are as before, but what whole passes (of params.batch tokens) had computed is kept: if the
 * next tokens that you append by harp_feed, harp_queue, harp_pause or harp_generate begin with the same ones, the work
 * goes on from there; any other call forgets it. Models with longrope (Phi-3) turn every position anew when the tokens
 * outgrow the original context (metadata rope_original): the call or step after that, either way, computes the whole
 * session once more. */
HARP_API harp_status harp_feed(harp_session *session, const int32_t *tokens, int32_t n, harp_error *err);

/* One step: computes what is pending, applies HARP, chooses a token and appends it. step may be NULL. */
HARP_API harp_status harp_next(harp_session *session, harp_step *step, harp_error *err);

/* harp_next in slices, for watchdogs and metered hosts: returns after about `budget` multiply-adds, with *done = 0,
 * and goes on when it is called again; with *done = 1 the step is complete and *step is filled in. Slices give the
 * bits of a whole step. A slice computes at least 16 rows of one matrix; embeddings, the measure and the choice are
 * not cut. A draft session's passes are cut, too. In between, harp_next finishes the step, harp_save saves the state
 * before it, and every other call on the session that changes it, or an error, abandons it: what whole passes have
 * computed of the session's tokens stays. Caller's measures and masks may be asked again in each slice. */
HARP_API harp_status harp_step_some(harp_session *session, int64_t budget, int *done, harp_step *step, harp_error *err);

/* Appends tokens like harp_feed, but computes nothing now: the next step does, in slices if it comes in slices. */
HARP_API harp_status harp_queue(harp_session *session, const int32_t *tokens, int32_t n, harp_error *err);

/* Forgets every token from `position` on; what is before it stays computed. */
HARP_API harp_status harp_rewind(harp_session *session, int32_t position, harp_error *err);

/* The tokens of the session, [*n]; valid until the next call on it. */
HARP_API const int32_t *harp_tokens(const harp_session *session, int32_t *n);

typedef enum harp_which { HARP_COMBINED, HARP_VANILLA, HARP_REFRAMED } harp_which;

/* Logits [vocab] of the last harp_next: what the token was chosen from, before bias and sampling. Valid until the
 * next call on the session. NULL if there are none: no step yet, or, for HARP_REFRAMED, none was needed. */
HARP_API const float *harp_logits(const harp_session *session, harp_which which);

typedef struct harp_choice {
    int32_t token;
    float probability;
} harp_choice;

/* The n most probable tokens of the last step, best first, into top[n]; returns how many there are. */
HARP_API int32_t harp_top(const harp_session *session, harp_which which, harp_choice *top, int32_t n);

/* Called for each position of harp_score: logits [vocab] of the token that follows `position`; valid during the call.
 * Non-zero ends the call with HARP_ERR_CANCELLED. */
typedef int harp_score_fn(void *user, int32_t position, const float *logits);

/* Appends n tokens like harp_feed, computes all, and hands the vanilla logits of each to on_logits, in order. With
 * longrope all positions are turned for the number of tokens that there are in the end. */
HARP_API harp_status harp_score(harp_session *session, const int32_t *tokens, int32_t n, harp_score_fn *on_logits,
                                void *user, harp_error *err);

/* Called for each position of harp_score_harp: what harp_next would have met there. step->token is the most probable
 * token of combined [vocab], step->vanilla_token that of vanilla [vocab], step->logprob that of step->token; passes and
 * rows are 0. combined is vanilla where nothing was blended. Non-zero ends the call with HARP_ERR_CANCELLED. */
typedef int harp_score_harp_fn(void *user, const harp_step *step, const float *vanilla, const float *combined);

/* Appends n tokens and hands over the logits of each with HARP applied, those of harp_feed and harp_next to the bit,
 * however the text is cut into calls, computed for logit_rows positions at a time (frame redraw: its reframings one
 * position at a time). */
HARP_API harp_status harp_score_harp(harp_session *session, const int32_t *tokens, int32_t n,
                                     harp_score_harp_fn *on_step, void *user, harp_error *err);

/* Shannon entropy in bits of softmax(logits[n]), computed as the library does; NaN if the logits are not finite. */
HARP_API float harp_entropy(const float *logits, int32_t n);

/* Natural logarithm of the probability of `token` under softmax(logits[n]). */
HARP_API float harp_logprob(const float *logits, int32_t n, int32_t token);

/* Changes parameters of an open session. Those that determine memory must be as they were: context, batch,
 * logit_rows, activations, cache, frame, reframings, threads, memory, allocator, those of the other decoders; nor may a
 * parallel function come or go. reframe_from and the stop texts may become anything that needs no more memory than at
 * opening: no earlier block of 16 positions, no longer text. Switching HARP on needs a session that was opened with it
 * on. If a change alters the masks, the reframed streams start anew. */
HARP_API harp_status harp_tune(harp_session *session, const harp_params *params, harp_error *err);

typedef struct harp_stats {
    int64_t steps;       /* tokens generated                                                                  */
    int64_t hesitations; /* of them, with uncertainty > theta                                                 */
    int64_t changed;     /* of them, where HARP chose another token than the vanilla logits would have        */
    int64_t passes;      /* passes over the weights, prompts included                                         */
    int64_t rows;        /* rows computed in them: vanilla ones ...                                            */
    int64_t reframed_rows; /* ... and reframed ones                                                            */
    int64_t drafted;     /* tokens drafted and verified ...                                                    */
    int64_t accepted;    /* ... and kept                                                                       */
} harp_stats;

HARP_API harp_stats harp_statistics(const harp_session *session);

/* Text to tokens. flags is a sum of the values below. Writes at most `capacity` ids to tokens (may be NULL if 0) and
 * the number needed to *n; HARP_ERR_MEMORY if that is more. Needs working memory of about 24 bytes per byte of the
 * longest word (SentencePiece models: of the text) from the model's allocator, and as much again per byte of the text
 * where the tokenizer puts it into Unicode's form NFC. Bytes that are not UTF-8 survive. */
#define HARP_ENCODE_BOS 1u     /* put the begin token first, if the model wants one                          */
#define HARP_ENCODE_SPECIAL 2u /* "<|end|>" and its like in the text become control tokens; else none does   */
#define HARP_ENCODE_CONTINUE 4u /* the text continues another: no space is put before it                     */
HARP_API harp_status harp_encode(const harp_model *model, const char *text, size_t bytes, unsigned flags,
                                 int32_t *tokens, size_t capacity, size_t *n, harp_error *err);

/* The same for a text of several authors, such as a conversation: the template's parts may hold control tokens, what a
 * person typed may not. The parts stand in text one after the other; spans [n_spans] says how long each is, and
 * HARP_ENCODE_SPECIAL in its flags that control tokens are looked for in it. All of it is encoded as one text, so words
 * form across the borders as they would in a single string. flags: HARP_ENCODE_BOS, HARP_ENCODE_CONTINUE. */
typedef struct harp_span {
    size_t bytes;
    unsigned flags;
} harp_span;

HARP_API harp_status harp_encode_spans(const harp_model *model, const char *text, const harp_span *spans,
                                       size_t n_spans, unsigned flags, int32_t *tokens, size_t capacity, size_t *n,
                                       harp_error *err);

/* Tokens to text, one at a time, whole characters only. Plain memory; start with harp_decoder_start. */
typedef struct harp_decoder {
    const harp_model *model;
    unsigned flags;
    int32_t held; /* bytes of an unfinished character */
    int32_t started;
    unsigned char hold[8];
} harp_decoder;

#define HARP_DECODE_SPECIAL 1u  /* control tokens appear as their text; otherwise they are silent            */
#define HARP_DECODE_CONTINUE 2u /* the text continues another: a first space is kept                         */
HARP_API void harp_decoder_start(harp_decoder *decoder, const harp_model *model, unsigned flags);

/* Adds a token; writes the characters it completes to out and their length to *bytes. out needs room for
 * harp_info.longest_token + 8 bytes. Bytes that can never be UTF-8 come out as U+FFFD, as usual. token -1 ends
 * the text: what is held comes out. */
HARP_API harp_status harp_decode(harp_decoder *decoder, int32_t token, char *out, size_t capacity, size_t *bytes,
                                 harp_error *err);

/* ---- TIER 3: embedding ------------------------------------------------------------------------------------------ */

/* Where a model comes from: exactly one of path, data, read.
 *
 * A mapped file costs no memory of its own, opens at once, and is shared by all who map it. With `copy` the weights lie
 * where the allocator puts them, and the file can change or go afterwards. Decoding reads all of them for each token; if
 * the system's cache holds the file in scattered pages of 4 KiB, as after days of use, it is slower than from large
 * pages (x0.8 to x0.95; harp-bench --pages aged|fresh|large measures it). On Linux an allocator gets such pages with
 *     block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
 *     madvise(block, bytes, MADV_HUGEPAGE);
 * at the price of as much memory as the file has bytes, and of reading it once (0.5 s a GB from the cache). */
typedef struct harp_source {
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

HARP_API harp_source harp_source_defaults(void);
HARP_API harp_status harp_open_source(harp_model **model, const harp_source *source, harp_error *err);

/* Bytes of harp_source.memory that a model of so many layers needs (the image itself not counted). */
HARP_API size_t harp_source_memory(int32_t layers);

/* Bytes that a session needs; fails as harp_session_open would. */
HARP_API harp_status harp_session_memory(const harp_model *model, const harp_params *params, size_t *bytes,
                                         harp_error *err);

/* Copies the session's state (tokens, caches, counts) into out[capacity] and the size needed to *bytes; out may be NULL
 * to ask. harp_restore continues bit for bit, on a session of the same model, context, cache, frame and reframings (and
 * with a draft session like the first one's, if there is one); the image is checked in full before the session changes.
 * It holds nothing of tokens that were rewound, guessed or taken back. Of the text that harp_generate has not shown yet
 * it holds an unfinished character, not what may begin a stop text. Images travel between machines of the same byte
 * order. */
HARP_API harp_status harp_save(const harp_session *session, void *out, size_t capacity, size_t *bytes, harp_error *err);
HARP_API harp_status harp_restore(harp_session *session, const void *image, size_t bytes, harp_error *err);

/* Reads the whole model: every checksum, every scale and norm weight finite. Seconds for gigabytes. */
HARP_API harp_status harp_verify(const harp_model *model, harp_error *err);

/* What a model is. Strings live as long as the model and are zero-terminated. */
typedef struct harp_info {
    const char *architecture; /* "llama", ...: a name; what a layer computes is in the metadata               */
    int32_t vocab, hidden, layers, heads, kv_heads, head_dim, ffn;
    int32_t context;          /* positions that it was made for                                               */
    int32_t window;           /* sliding window (of some layers or all), 0: none                              */
    int32_t tied;             /* 1: the output matrix is the embedding matrix                                 */
    int32_t tokenizer;        /* 0: none, token ids only; 1: SentencePiece BPE; 2: byte-level BPE             */
    int32_t bos;              /* begin token, -1: none                                                        */
    int32_t n_end;            /* end tokens ...                                                                */
    int32_t end[16];          /* ... and their ids                                                             */
    int32_t longest_token;    /* bytes of text                                                                */
    int64_t parameters;
    int64_t bytes;            /* of the image                                                                 */
    int32_t mapped;           /* 1: the image is a mapping of the file                                        */
} harp_info;

HARP_API harp_info harp_model_info(const harp_model *model);

/* The text of a token, its bytes in *bytes (any byte is possible, and no zero follows); valid as long as the model.
 * NULL if there is none. A special token's is its name. */
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
    const char *data; /* text (zero-terminated) or bytes */
    size_t bytes;
} harp_meta;

/* Metadata by index, or by key: 1 if there, 0 if not. Licence, source, chat template: see harp_impl.c, the format.
 * Either looks at one entry after another, of which there are at most 4096. */
HARP_API int harp_meta_at(const harp_model *model, int32_t index, harp_meta *meta);
HARP_API int harp_meta_find(const harp_model *model, const char *key, harp_meta *meta);

/* ---- TIER 4: other decoders -------------------------------------------------------------------------------------
 *
 * DRAFTING lets one pass compute several tokens: some are guessed, all guesses ride in the same pass as rows, and as
 * many are kept as the model agrees with. Set drafts (4 to 10) and go on using harp_next and harp_generate; HARP, if
 * on, judges the guesses with its combined logits. Guesses come from the text itself (lookup: what followed when the
 * last tokens stood there before) or from a second session on a small model with the same vocabulary (draft), which
 * this session feeds, rewinds and steps; do not touch it meanwhile. Its context may be shorter, and it may fail: then
 * there are fewer guesses, and no step fails for it. With HARP_DRAFT_EXACT the tokens are those of no drafting, bit for
 * bit, also when sampling. With HARP_DRAFT_LEVIATHAN [Leviathan, Kalman, Matias 2023] they are drawn from the same
 * distribution with other draws, which the tokens before, the seeds and the draft session determine: not the calls by
 * which the session came there. How many are guessed adapts to how many were kept. */

/* BEAM SEARCH as in the paper's published code: `beams` sequences grow by their top_k best tokens each, scored by
 * sum / ((min_length + tokens) / (min_length + 1))^alpha. It is a method of the plain model, so it needs harp = 0. */
typedef struct harp_beam_options {
    int32_t max_tokens; /* at most params.beam_length; fewer if the context ends                   [256]     */
    int32_t top_k;      /* continuations considered for each beam, 1..64                           [5]       */
    float alpha;        /*                                                                         [1.2]     */
    float min_length;   /* above -1                                                                [5]       */
    const int32_t *end; /* tokens that finish a beam; NULL: the model's                            [NULL]    */
    int32_t n_end;
    int32_t pad;        /* one more such token, as in the paper's code; -1: none                   [-1]      */
} harp_beam_options;

HARP_API harp_beam_options harp_beam_defaults(void);

/* Searches from the session's tokens on and appends the best beam, its end token included. All beams ride in one
 * pass; they share what was computed before them. *score (may be NULL) becomes the beam's. */
HARP_API harp_status harp_beam(harp_session *session, const harp_beam_options *options, float *score, harp_error *err);

/* PAUSE: appends `count` times `token`, which gives the model positions to compute in before it answers. The same as
 * feeding them; a model profits if it was trained with them, or by luck. */
HARP_API harp_status harp_pause(harp_session *session, int32_t token, int32_t count, harp_error *err);

#ifdef __cplusplus
}
#endif
#endif /* HARP_H */

/* Outside the guard on purpose: an earlier plain include must not disable the implementation. */
#if defined(HARP_IMPLEMENTATION) && !defined(HARP_IMPL_INCLUDED)
#include "harp_impl.c"
#endif
