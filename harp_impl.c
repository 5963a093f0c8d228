/* SPDX-License-Identifier: MIT OR Unlicense
 *
 * harp_impl.c - the whole of harp, to be read from top to bottom
 *
 * This file turns a .harp file and some tokens into the next token, and notices when the model hesitates. It is
 * written to be read: each chapter leans only on the chapters above it, plain C comes first and defines what is
 * correct, and a comment says why where the code cannot. The manual for users is harp.h; this is the book.
 *
 * CONTENTS (search for the tag)
 *   [CH01] Ground            what the compiler and the platform must give us
 *   [CH02] Failing           statuses and sentences
 *   [CH03] Memory            one block, carved twice: once to count, once for real
 *   [CH04] Chance            Philox4x32-10: random numbers as a pure function of a counter
 *   [CH05] Mathematics       log2, sine and cosine, half precision: ours, because libm differs between machines
 *   [CH06] Sixteen lanes     the small vocabulary in which every kernel is written
 *   [CH07] Kernels           exp, norms, int8 products, attention, distributions, over that vocabulary
 *   [CH08] Instruction sets  the sixteen lanes in the registers of x86, ARM and WebAssembly
 *   [CH09] The file          how a .harp file lies in memory: its head, its tensors
 *   [CH10] The model         what the file says of it: its sizes, and what each layer computes
 *   [CH11] Its weights       each tensor goes to its place; opening, closing, verifying
 *   [CH12] Vocabularies      a tokenizer's tables, checked once
 *   [CH13] Text and tokens   encoding and decoding
 *   [CH14] Conversations     a conversation as text, as the model expects it
 *   [CH15] Many hands        a pool of threads that costs microseconds, or the caller's
 *   [CH16] Engines           engines compute, sessions remember: what they are, and the parameters
 *   [CH17] Their memory      laid out and opened: seats, key-value streams, forks
 *   [CH18] The layers        products of all rows, norms, attention, feed-forward: the stages
 *   [CH19] Special layers    convolutions, gated delta nets, mixtures of experts, inputs of their own
 *   [CH20] The pass          forward(rows): one function for prompts, decoding and reframed streams
 *   [CH21] Choosing          from logits to a token
 *   [CH22] HARP              hesitation, reframing, the blend: the method of the paper
 *   [CH23] Other decoders    drafting and its verification, beam search
 *   [CH24] Driving           feed, pause, next, together, rewind, score, tune, generate
 *   [CH25] Keeping           a session saved and restored
 *
 * THE CANONICAL ORDER. The same model, tokens and parameters give the same bits everywhere. Floating-point
 * addition is not associative, so the order of every sum is part of the definition, and these rules fix it:
 *   R1  An output (a row of a matrix product, the score of a position, a dimension of a mixed value) is one lane of a
 *       vector. Its terms are added one after another, in order. Lanes never mix, so their number does not matter.
 *   R2  int8 products are added exactly, in int32, within a group of 32 inputs; the integer is converted to float (it
 *       is below 2^24, so exactly), multiplied by weight scale * activation scale, and added in group order. Products
 *       with float activations are added in order within such a group, too, and their sum is multiplied by the weight
 *       scale (1 for float weights).
 *   R3  A sum along a vector itself (norms, softmax, entropy) runs in 16 interleaved partial sums, element i in partial
 *       sum i mod 16, which are then added in one fixed tree: 8 apart, 4, 2, 1. Over ranked candidates a sum runs in
 *       the order of their ranks, over reframings in their own.
 *   R4  Multiply and add round separately. Division and square root are IEEE. exp, tanh, erf, log2, sin and cos are
 *       those below. Rounding to an integer is to nearest, ties to even.
 *   R5  Work is split over threads by outputs (matrix rows, heads, batch rows), never across a sum.
 *
 * What the platform or the compiler decides (#if) stands in [CH01], [CH08] and [CH15] alone; [CH07] asks what its
 * instruction set has.
 *
 * SHAPES are written [rows][columns], last index fastest. "Row" alone means one token of one stream in a pass.
 * Everything private begins with hp_ or HP_, for this file may be included into one of yours.
 *
 * LIBRARY CALLS, all of them: memcpy, memmove, memset, memcmp, strlen, strcmp, strncmp, sqrtf, fabsf; malloc and free
 * unless HARP_NO_MALLOC; stat, fopen, fread, fseek, ftell, fclose unless HARP_NO_STDIO; open, fstat, mmap, mprotect,
 * munmap, close unless HARP_NO_MMAP, and on Windows CreateFileW, GetFileType, GetFileSizeEx, CreateFileMappingW,
 * MapViewOfFile, UnmapViewOfFile, CloseHandle, MultiByteToWideChar, _wfopen in their place; threads, locks, conditions
 * of POSIX, sched_yield and getpid, on Windows threads, locks and semaphores, unless HARP_NO_THREADS; gettimeofday or
 * QueryPerformanceCounter unless HARP_NO_CLOCK; the system call arch_prctl on Linux where the processor has AMX, and
 * getauxval on Linux for ARM, unless HARP_NO_SIMD.
 */

/* The compiler reads this file once as a whole, and [CH07] again for each instruction set of [CH08]. */
#ifndef HARP_IMPL_INCLUDED
#define HARP_IMPL_INCLUDED
#define HP_FIRST_READING
#define HP_READ_KERNELS
#ifndef HARP_IMPL_FILE
#define HARP_IMPL_FILE "harp_impl.c"
#endif

#ifdef __cplusplus
#error "harp_impl.c is C99: compile it as C; harp.h can be included from C++"
#endif

#include "harp.h"

/* ================================================================================================================
 * [CH01] Ground
 *
 * What the rest of the file may take for granted. Floating point is the delicate part: rule R4 needs float arithmetic
 * that rounds after every operation and never fuses a product into a sum. What the preprocessor can see is refused
 * here; hp_arithmetic_is_sound(), called by harp_open, asks the running machine. Where a compiler evaluates float
 * expressions in double (FLT_EVAL_METHOD 1, as on s390x), an assignment rounds; so float arithmetic is written with one
 * operation to a statement throughout, and rounding a double's +, -, *, / or square root to float gives the same bits.
 * ============================================================================================================== */

#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#if defined(__FAST_MATH__) || defined(_M_FP_FAST)
#error "harp needs IEEE arithmetic to give the same bits everywhere: compile harp_impl.c without -ffast-math"
#endif
#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 1 && FLT_EVAL_METHOD != 16 /* 16: as 0, with 16-bit floats besides */
#error "harp needs float arithmetic in float precision (on 32-bit x86: -msse2 -mfpmath=sse)"
#endif
#if CHAR_BIT != 8 || FLT_RADIX != 2 || FLT_MANT_DIG != 24 || DBL_MANT_DIG != 53
#error "harp needs 8-bit bytes and IEEE float and double"
#endif

/* Which compiler this is. clang claims to be gcc, too, except where it claims to be Microsoft's (clang-cl); and Apple
 * counts its versions of clang otherwise: 13 has what LLVM 12 has, and 16 what LLVM 17 has. */
#if defined(__apple_build_version__)
#define HP_CLANG (__clang_major__ >= 16 ? 17 : __clang_major__ >= 13 ? 12 : 8)
#elif defined(__clang__)
#define HP_CLANG __clang_major__
#else
#define HP_CLANG 0
#endif
#if defined(__GNUC__) && !defined(__clang__)
#define HP_GCC __GNUC__
#else
#define HP_GCC 0
#endif

/* Products and sums must not be fused in this file (rule R4). The end of the file gives the setting back that it found,
 * for the code of yours that may follow. clang: what float_control pushes includes the setting; machines for which it
 * lacks this pragma get the command line's setting back. */
#if (HP_CLANG >= 12 && (defined(__x86_64__) || defined(__i386__))) || (HP_CLANG >= 16 && defined(__aarch64__))
#define HP_FLOAT_CONTROL 1
#else
#define HP_FLOAT_CONTROL 0
#endif
#if HP_FLOAT_CONTROL
#pragma float_control(push)
#endif
#if HP_CLANG
#pragma STDC FP_CONTRACT OFF
#elif HP_GCC
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

#ifndef HARP_NO_MALLOC
#include <stdlib.h>
#endif
#ifndef HARP_NO_STDIO
#include <stdio.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#define HP_POSIX 1
#else
#define HP_POSIX 0
#endif
#if HP_POSIX && !defined(HARP_NO_CLOCK)
#include <sys/time.h>
#endif
#if HP_POSIX && (HP_CLANG || HP_GCC) && !defined(HARP_NO_THREADS) \
    && !(defined(__EMSCRIPTEN__) && !defined(__EMSCRIPTEN_PTHREADS__))
#define HP_POSIX_THREADS 1
#include <pthread.h>
#include <sched.h>
#include <unistd.h>
#else
#define HP_POSIX_THREADS 0
#endif
#if defined(_WIN32) && !defined(HARP_NO_THREADS)
#define HP_WIN32_THREADS 1
#else
#define HP_WIN32_THREADS 0
#endif
#define HP_THREADS (HP_POSIX_THREADS || HP_WIN32_THREADS)
#if defined(_WIN32) /* its small form; who wants all of it includes it before this file */
#pragma push_macro("WIN32_LEAN_AND_MEAN")
#pragma push_macro("NOMINMAX")
#undef WIN32_LEAN_AND_MEAN
#undef NOMINMAX
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#pragma pop_macro("NOMINMAX")
#pragma pop_macro("WIN32_LEAN_AND_MEAN")
#elif HP_POSIX && !(defined(HARP_NO_MMAP) && defined(HARP_NO_STDIO))
#include <sys/stat.h>
#ifndef HARP_NO_MMAP
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#endif
#endif

/* What a build leaves out (harp.h has the list): constants, so that compilers drop the code that they exclude. */
#ifdef HARP_NO_SHARING
#define HP_SHARING 0
#else
#define HP_SHARING 1
#endif
#ifdef HARP_NO_4BIT
#define HP_NIBBLES 0
#else
#define HP_NIBBLES 1
#endif
#if defined(HARP_NO_SPECIAL_LAYERS) || defined(HARP_NO_EXPERTS) /* its first name */
#define HP_SPECIAL 0
#define HP_SPECIAL_WORDS ""
#else
#define HP_SPECIAL 1
#define HP_SPECIAL_WORDS " clamped"
#endif

/* Kernels profit from inlining even where the compiler's own judgement says no, and from loops over their few rows
 * being unrolled, for only then do the rows stay in registers. Under gcc's -Os, where size counts, the judgement
 * stands: the plain C kernels are a third as large. HP_PREFETCH asks for the line at p into the cache of a level, 1 the
 * nearest; HP_KEEP_ORDER lets the compiler move no access to memory past it. */
#define HP_PRAGMA(text) _Pragma(#text)
#define HP_STRING_(text) #text
#define HP_STRING(text) HP_STRING_(text)
#if HP_CLANG
#define HP_INLINE static inline __attribute__((always_inline, unused))
#define HP_UNROLL HP_PRAGMA(clang loop unroll(full))
#define HP_PREFETCH(p, level) __builtin_prefetch(p, 0, 4 - (level))
#define HP_KEEP_ORDER() __asm__ volatile("" ::: "memory")
#define HP_TARGET_BEGIN(set) HP_PRAGMA(clang attribute push(__attribute__((target(set))), apply_to = function))
#define HP_TARGET_END HP_PRAGMA(clang attribute pop)
#elif HP_GCC
#if defined(__OPTIMIZE_SIZE__)
#define HP_INLINE static inline
#else
#define HP_INLINE static inline __attribute__((always_inline))
#endif
#if defined(__OPTIMIZE_SIZE__) || HP_GCC < 8
#define HP_UNROLL
#else
#define HP_UNROLL HP_PRAGMA(GCC unroll 16)
#endif
#define HP_PREFETCH(p, level) __builtin_prefetch(p, 0, 4 - (level))
#define HP_KEEP_ORDER() __asm__ volatile("" ::: "memory")
#define HP_TARGET_BEGIN(set) HP_PRAGMA(GCC push_options) HP_PRAGMA(GCC target(set))
#define HP_TARGET_END HP_PRAGMA(GCC pop_options)
#else
#define HP_INLINE static inline
#define HP_UNROLL
#define HP_PREFETCH(p, level) ((void)(p))
#define HP_KEEP_ORDER() ((void)0)
#define HP_TARGET_BEGIN(set)
#define HP_TARGET_END
#endif

/* Which instruction sets can be compiled [CH08]. HP_WIDE_X86 is off for gcc on Windows, which does not align wide
 * registers on the stack (its bug 54412): SSSE3 is then the best there. */
#if !defined(HARP_NO_SIMD) && ((defined(__x86_64__) && (HP_CLANG || HP_GCC)) || defined(_M_X64)) && !defined(_M_ARM64EC)
#define HP_X86 1
#else
#define HP_X86 0
#endif
#if HP_X86 && !(defined(_WIN32) && HP_GCC)
#define HP_WIDE_X86 1
#else
#define HP_WIDE_X86 0
#endif
#if HP_WIDE_X86 && (HP_CLANG >= 12 || HP_GCC >= 11)
#define HP_VNNI_X86 1
#else
#define HP_VNNI_X86 0
#endif
#if HP_VNNI_X86 && defined(__linux__) && !defined(__ILP32__)
#define HP_AMX 1
#else
#define HP_AMX 0
#endif
#if !defined(HARP_NO_SIMD) && defined(__aarch64__) && (HP_CLANG || HP_GCC) && !defined(__AARCH64EB__)
#define HP_NEON 1
#else
#define HP_NEON 0
#endif

/* 64-bit ARM: products of bytes, where a pragma or the command line (-mcpu=native) allows their instructions. gcc makes
 * a function part of another only if that has the instructions of both, also those that the command line added. A
 * target with "arch=" replaces the command line's, so it serves plain ARMv8-A, and "+" adds to one that has the
 * products. */
#if HP_CLANG
#define HP_TARGET_DOTPROD "dotprod"
#define HP_TARGET_I8MM "dotprod,i8mm"
#elif defined(__ARM_FEATURE_DOTPROD)
#define HP_TARGET_DOTPROD "+dotprod"
#define HP_TARGET_I8MM "+dotprod+i8mm"
#else
#define HP_TARGET_DOTPROD "arch=armv8.2-a+dotprod"
#define HP_TARGET_I8MM "arch=armv8.2-a+dotprod+i8mm"
#endif
#if defined(__ARM_FEATURE_CRYPTO) || defined(__ARM_FEATURE_AES) || defined(__ARM_FEATURE_SHA2) \
    || defined(__ARM_FEATURE_SVE) || defined(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC) || defined(__ARM_FEATURE_COMPLEX)
#define HP_PLAIN_ARM 0
#else
#define HP_PLAIN_ARM 1
#endif
#if HP_NEON && (defined(__ARM_FEATURE_DOTPROD) || ((defined(__linux__) || defined(__APPLE__)) \
    && (HP_CLANG >= 16 || (HP_GCC >= 8 && HP_PLAIN_ARM))))
#define HP_NEON_DOTPROD 1
#else
#define HP_NEON_DOTPROD 0
#endif
#if HP_NEON_DOTPROD && (defined(__ARM_FEATURE_MATMUL_INT8) || HP_CLANG >= 16 || HP_GCC >= 10)
#define HP_NEON_I8MM 1
#else
#define HP_NEON_I8MM 0
#endif
#if !defined(HARP_NO_SIMD) && defined(__wasm_simd128__)
#define HP_WASM 1
#else
#define HP_WASM 0
#endif
#if HP_X86
#include <immintrin.h>
#if HP_CLANG && defined(_MSC_VER) /* clang-cl before LLVM 19 leaves these out unless a flag asks for the set */
#include <smmintrin.h>
#include <avxintrin.h>
#include <avx2intrin.h>
#include <f16cintrin.h>
#include <avx512fintrin.h>
#include <avx512bwintrin.h>
#include <avx512vlintrin.h>
#include <avx512vlbwintrin.h>
#include <avx512vnniintrin.h>
#include <avxvnniintrin.h>
#elif defined(_MSC_VER)
#include <intrin.h>
#endif
#elif HP_NEON
#include <arm_neon.h>
#if HP_NEON_DOTPROD && defined(__linux__)
#include <sys/auxv.h>
#endif
#elif HP_WASM
#include <wasm_simd128.h>
#endif

/* Asks the running machine what no macro tells about this thread: is rounding to nearest even, are tiny numbers kept,
 * as operands and as results. Each thread has a mode of its own, and other code may have changed it. These are a few
 * additions, for every part of a split piece of work asks ([CH18]); volatile keeps the compiler from answering for the
 * machine. */
static int hp_thread_is_sound(void)
{
    volatile float one = 1.0f, half_ulp = 5.9604645e-8f, tiny = 1e-40f; /* half_ulp: 2^-24 */
    float even = one + half_ulp, ulp = half_ulp + half_ulp, odd = one + ulp, up = odd + half_ulp, two_ulps = ulp + ulp;
    float denormal = tiny + tiny; /* "small" is a macro of Windows' headers */
    return denormal > 0.0f && even == 1.0f && up - 1.0f == two_ulps;
}

/* The same, and: does the compiler keep a product and a sum apart? Each instruction set is asked besides ([CH08]). */
static int hp_arithmetic_is_sound(void)
{
    volatile float a = 1.0f + 1.0f / 4096.0f, c = -(1.0f + 1.0f / 2048.0f), tiny = 1.5e-38f, tenth = 0.1f;
    float x = a, product = x * x, sum = product + c; /* 2^-24 if fused */
    float denormal = tiny * tenth;
    return sum == 0.0f && denormal > 0.0f && hp_thread_is_sound();
}

/* Little-endian loads, one byte at a time: right on every machine, and a single load where compilers see it. */
static uint16_t hp_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (uint32_t)p[1] << 8);
}

static uint32_t hp_u32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t hp_u64(const uint8_t *p)
{
    return hp_u32(p) | (uint64_t)hp_u32(p + 4) << 32;
}

/* The bits of a float and back: the only way around the type system that C99 defines. */
HP_INLINE uint32_t hp_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

HP_INLINE float hp_float(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static float hp_f32(const uint8_t *p)
{
    return hp_float(hp_u32(p));
}

static int hp_is_finite(float x)
{
    return x - x == 0.0f; /* NaN and Inf give NaN */
}

/* Sizes come from files and callers: every product and sum of them is checked. Return 0 on overflow. */
static int hp_mul_size(size_t a, size_t b, size_t *product)
{
    if (b != 0 && a > SIZE_MAX / b) return 0;
    *product = a * b;
    return 1;
}

static int hp_add_size(size_t a, size_t b, size_t *sum)
{
    if (a > SIZE_MAX - b) return 0;
    *sum = a + b;
    return 1;
}

/* n rounded up to a multiple of m; callers bound n well below the overflow. */
static int32_t hp_round_up(int32_t n, int32_t m)
{
    return (n + m - 1) / m * m;
}

static int32_t hp_min(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t hp_max(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* ---- Memory, files and the clock, as the platform has them ----
 *
 * A file is mapped where that can be done: processes that run the same model share its pages. Otherwise it is read
 * through stdio. What a build leaves out, or a platform lacks, stands here as a function that says so; the chapters
 * below call all of them and need not know.
 *
 * What a file says about itself is checked once, so nobody may change it afterwards. Windows lets nobody write to the
 * file while it is open, and so it stays open. Elsewhere hp_freeze_pages makes the pages that matter this process's
 * own.
 *
 * Only regular files are opened: a named pipe would let us wait for a writer for ever. */

static void *hp_libc_alloc(void *user, size_t bytes)
{
    (void)user, (void)bytes;
#ifdef HARP_NO_MALLOC
    return NULL;
#else
    return malloc(bytes);
#endif
}

static void hp_libc_free(void *user, void *block, size_t bytes)
{
    (void)user, (void)block, (void)bytes;
#ifndef HARP_NO_MALLOC
    free(block);
#endif
}

typedef enum hp_file_answer {
    HP_FILE_FINE,
    HP_FILE_NO_FILES,  /* this build or platform has none                             */
    HP_FILE_MISSING,   /* cannot be opened                                            */
    HP_FILE_IRREGULAR, /* a folder, a device, a pipe                                  */
    HP_FILE_UNMAPPABLE /* there, but not to be mapped: reading it may work            */
} hp_file_answer;

#if defined(_WIN32) && !(defined(HARP_NO_MMAP) && defined(HARP_NO_STDIO))
/* Windows wants paths in UTF-16; ours are UTF-8 everywhere, whatever the locale. 0: not UTF-8, or too long. */
enum { HP_PATH_UNITS = 2048 };

static int hp_wide_path(const char *path, wchar_t *wide)
{
    return MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, HP_PATH_UNITS);
}
#endif

typedef struct hp_mapping {
    const void *image;
    uint64_t bytes;
    void *file; /* Windows: what is still open */
} hp_mapping;

#if defined(HARP_NO_MMAP) || !(defined(_WIN32) || HP_POSIX)
static hp_file_answer hp_map(hp_mapping *m, const char *path)
{
    (void)m, (void)path;
    return HP_FILE_UNMAPPABLE;
}

static void hp_unmap(const hp_mapping *m)
{
    (void)m;
}
#elif defined(_WIN32)
static hp_file_answer hp_map(hp_mapping *m, const char *path)
{
    wchar_t wide[HP_PATH_UNITS];
    LARGE_INTEGER size;
    HANDLE file, mapping = NULL;
    int regular;
    size.QuadPart = 0;
    if (!hp_wide_path(path, wide)) return HP_FILE_MISSING;
    file = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    if (file == INVALID_HANDLE_VALUE) return HP_FILE_MISSING;
    regular = GetFileType(file) == FILE_TYPE_DISK;
    if (regular && GetFileSizeEx(file, &size) && (uint64_t)size.QuadPart <= SIZE_MAX)
        mapping = CreateFileMappingW(file, NULL, PAGE_READONLY, 0, 0, NULL);
    m->image = mapping ? MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0) : NULL;
    m->bytes = (uint64_t)size.QuadPart, m->file = file;
    if (mapping) CloseHandle(mapping); /* the view keeps it alive */
    if (m->image) return HP_FILE_FINE;
    CloseHandle(file);
    return regular ? HP_FILE_UNMAPPABLE : HP_FILE_IRREGULAR;
}

static void hp_unmap(const hp_mapping *m)
{
    UnmapViewOfFile((void *)(uintptr_t)m->image);
    CloseHandle(m->file);
}
#else
static hp_file_answer hp_map(hp_mapping *m, const char *path)
{
    hp_file_answer answer = HP_FILE_UNMAPPABLE;
    struct stat st;
    void *p;
    int file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (file < 0) return HP_FILE_MISSING;
    if (fstat(file, &st) != 0 || !S_ISREG(st.st_mode)) {
        answer = HP_FILE_IRREGULAR;
    } else if (st.st_size > 0 && (uint64_t)st.st_size <= SIZE_MAX) {
        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, file, 0);
        if (p != MAP_FAILED) m->image = p, m->bytes = (uint64_t)st.st_size, answer = HP_FILE_FINE;
    }
    close(file);
    return answer;
}

static void hp_unmap(const hp_mapping *m)
{
    munmap((void *)(uintptr_t)m->image, (size_t)m->bytes);
}
#endif

/* Makes the first bytes of a private mapping this process's own, as they are now: the system copies a page for whoever
 * writes to it, be it the byte that is there already. 4096: no system's pages are smaller. 0: no memory for that. */
static int hp_freeze_pages(const hp_mapping *m, size_t bytes)
{
#if HP_POSIX && !defined(_WIN32) && !defined(HARP_NO_MMAP)
    volatile uint8_t *p = (volatile uint8_t *)(uintptr_t)m->image;
    size_t i;
    if (mprotect((void *)(uintptr_t)m->image, bytes, PROT_READ | PROT_WRITE) != 0) return 0;
    for (i = 0; i < bytes; i += 4096) p[i] = p[i];
    return mprotect((void *)(uintptr_t)m->image, bytes, PROT_READ) == 0;
#else
    (void)m, (void)bytes;
    return 1;
#endif
}

#if defined(HARP_NO_STDIO)
static hp_file_answer hp_file_open(const char *path, void **file, uint64_t *bytes)
{
    (void)path, (void)file, (void)bytes;
    return HP_FILE_NO_FILES;
}

static size_t hp_file_read(void *file, uint64_t offset, void *into, size_t bytes)
{
    (void)file, (void)offset, (void)into, (void)bytes;
    return 0;
}

static void hp_file_close(void *file)
{
    (void)file;
}
#else
static FILE *hp_fopen(const char *path)
{
#if defined(_WIN32)
    wchar_t wide[HP_PATH_UNITS];
    return hp_wide_path(path, wide) ? _wfopen(wide, L"rb") : NULL;
#else
    return fopen(path, "rb");
#endif
}

/* Is it something else than a regular file? Where the system does not tell, opening it is tried. */
static int hp_is_irregular(const char *path)
{
#if HP_POSIX
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
#else
    (void)path;
    return 0;
#endif
}

static hp_file_answer hp_file_open(const char *path, void **file, uint64_t *bytes)
{
    FILE *f;
    long end;
    if (hp_is_irregular(path)) return HP_FILE_IRREGULAR;
    f = hp_fopen(path);
    if (!f) return HP_FILE_MISSING;
    end = fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
    if (end < 0 || end == LONG_MAX) { /* a folder, on some systems; or beyond what stdio can tell here */
        fclose(f);
        return HP_FILE_IRREGULAR;
    }
    *file = f, *bytes = (uint64_t)end;
    return HP_FILE_FINE;
}

static size_t hp_file_read(void *file, uint64_t offset, void *into, size_t bytes)
{
    return fseek((FILE *)file, (long)offset, SEEK_SET) == 0 ? fread(into, 1, bytes, (FILE *)file) : 0;
}

static void hp_file_close(void *file)
{
    fclose((FILE *)file);
}
#endif

/* Seconds since some moment, to compare what passes cost; 0 where there is no clock. */
static double hp_seconds(void)
{
#if defined(HARP_NO_CLOCK)
    return 0.0;
#elif HP_POSIX
    struct timeval now;
    gettimeofday(&now, NULL);
    return (double)now.tv_sec + 1e-6 * (double)now.tv_usec;
#elif defined(_WIN32)
    LARGE_INTEGER now, rate;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&rate);
    return (double)now.QuadPart / (double)rate.QuadPart;
#else
    return 0.0;
#endif
}

/* ================================================================================================================
 * [CH02] Failing
 *
 * Every failure is a status and a sentence in memory of the caller's. The formatter below knows %s (a string) and
 * %d (an int64_t): enough for sentences, and it pulls in no stdio on a device that has none.
 * ============================================================================================================== */

#include <stdarg.h>

HARP_API const char *harp_status_name(harp_status status)
{
    static const char names[][24] = {
        "HARP_OK",          "HARP_ERR_ARGUMENT",    "HARP_ERR_MEMORY",  "HARP_ERR_IO",
        "HARP_ERR_FORMAT",  "HARP_ERR_UNSUPPORTED", "HARP_ERR_CONTEXT", "HARP_ERR_CANCELLED",
        "HARP_ERR_NUMBER",  "HARP_ERR_BUILD",       "HARP_ERR_CHOICE"};
    size_t i = (size_t)status;
    return i < sizeof names / sizeof names[0] ? names[i] : "HARP_ERR_UNKNOWN";
}

typedef struct hp_text { /* a bounded string under construction, always zero-terminated */
    char *out;
    size_t used, capacity;
} hp_text;

static void hp_put(hp_text *t, char c)
{
    if (t->used + 1 < t->capacity) t->out[t->used++] = c;
    t->out[t->used] = 0;
}

/* Names come from files: what a terminal would take for a command is not passed on, U+0080..U+009F neither. */
static void hp_put_string(hp_text *t, const char *s)
{
    for (; *s; s++) {
        int high = (uint8_t)s[0] == 0xC2 && (uint8_t)s[1] >= 0x80 && (uint8_t)s[1] < 0xA0;
        hp_put(t, high || (uint8_t)*s < 0x20 || *s == 0x7F ? '?' : *s);
        s += high;
    }
}

/* u becomes u / 10; returns the rest. In pieces of 16 bits: a small machine divides 32 bits, but not 64. */
static uint32_t hp_cut_digit(uint64_t *u)
{
    uint64_t quotient = 0;
    uint32_t rest = 0;
    int shift;
    for (shift = 48; shift >= 0; shift -= 16) {
        uint32_t piece = rest << 16 | (uint32_t)(*u >> shift & 0xFFFFu);
        quotient = quotient << 16 | piece / 10;
        rest = piece % 10;
    }
    *u = quotient;
    return rest;
}

static void hp_put_integer(hp_text *t, int64_t value)
{
    char digits[20];
    int n = 0;
    uint64_t u = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    if (value < 0) hp_put(t, '-');
    do digits[n++] = (char)('0' + hp_cut_digit(&u));
    while (u != 0);
    while (n > 0) hp_put(t, digits[--n]);
}

static harp_status hp_fail(harp_error *err, harp_status status, const char *format, ...)
{
    hp_text t;
    va_list args;
    if (!err) return status;
    t.out = err->text, t.used = 0, t.capacity = sizeof err->text;
    err->status = status;
    va_start(args, format);
    for (; *format; format++) {
        if (format[0] == '%' && format[1] == 's') hp_put_string(&t, va_arg(args, const char *)), format++;
        else if (format[0] == '%' && format[1] == 'd') hp_put_integer(&t, va_arg(args, int64_t)), format++;
        else hp_put(&t, *format);
    }
    va_end(args);
    return status;
}

static harp_status hp_ok(harp_error *err)
{
    if (err) err->status = HARP_OK, err->text[0] = 0;
    return HARP_OK;
}

/* ---- Versions ---- */

enum { HP_STAMPED = 0x48000000, HP_STAMPS = 0x1000000 /* 'H', then a HARP_VERSION */ };

HARP_API const char *harp_version(int32_t *number)
{
    if (number) *number = HARP_VERSION;
    return HARP_VERSION_TEXT;
}

/* Zeroes a structure that is as large as its program says, and stamps it. Is it the structure of this harp.h? */
static int hp_stamp(void *structure, size_t bytes, int32_t version, size_t own_bytes)
{
    harp_stamp stamp;
    if (!structure || bytes < sizeof stamp) return 0;
    stamp.version = HP_STAMPED + (uint32_t)version, stamp.bytes = (uint32_t)bytes;
    memset(structure, 0, bytes);
    memcpy(structure, &stamp, sizeof stamp);
    return bytes == own_bytes;
}

static harp_status hp_check_stamp(const harp_stamp *stamp, const char *name, size_t own_bytes, harp_error *err)
{
    uint32_t version = stamp->version - HP_STAMPED;
    if (version >= HP_STAMPS) return hp_fail(err, HARP_ERR_ARGUMENT, "this harp_%s was not set by its defaults", name);
    if (version / 100 == HARP_VERSION / 100 && stamp->bytes == own_bytes) return HARP_OK;
    return hp_fail(err, HARP_ERR_ARGUMENT, "this harp_%s of %d bytes has HARP_VERSION %d, the library "
                   HARP_VERSION_TEXT ": compile both with one harp.h", name, (int64_t)stamp->bytes, (int64_t)version);
}

/* ================================================================================================================
 * [CH03] Memory
 *
 * A session is one block. The function that lays it out runs twice: first over an arena without memory, which only
 * counts, then over the block. Size and layout come from the same lines and cannot differ. Every piece is aligned to
 * 64 bytes, a cache line and the widest vector.
 * ============================================================================================================== */

enum { HP_ALIGN = 64 };

typedef struct hp_arena {
    uint8_t *base; /* NULL: count only */
    size_t used;
    int overflow;  /* a size did not fit size_t */
} hp_arena;

/* count * size bytes; NULL while counting. */
static void *hp_carve(hp_arena *a, size_t count, size_t size)
{
    size_t bytes = 0, start = a->used;
    if (!hp_mul_size(count, size, &bytes) || !hp_add_size(bytes, HP_ALIGN - 1, &bytes)
        || !hp_add_size(start, bytes / HP_ALIGN * HP_ALIGN, &a->used)) {
        a->overflow = 1;
        return NULL;
    }
    return a->base ? a->base + start : NULL;
}

/* rows * stride elements of `size` bytes. */
static void *hp_carve_rows(hp_arena *a, size_t rows, size_t stride, size_t size)
{
    size_t row_bytes = 0;
    if (!hp_mul_size(stride, size, &row_bytes)) a->overflow = 1;
    return hp_carve(a, rows, row_bytes);
}

/* The first aligned address in a block of any alignment. */
static uint8_t *hp_aligned(void *block)
{
    uintptr_t p = (uintptr_t)block;
    return (uint8_t *)block + (HP_ALIGN - p % HP_ALIGN) % HP_ALIGN;
}

static harp_allocator hp_allocator_or_libc(harp_allocator a)
{
    if (!a.alloc || !a.free) a.alloc = hp_libc_alloc, a.free = hp_libc_free;
    return a;
}

/* ================================================================================================================
 * [CH04] Chance
 *
 * Philox4x32-10 [Salmon, Moraes, Dror, Shaw: Parallel random numbers, as easy as 1, 2, 3; SC11]: ten rounds of
 * multiplication turn a counter of four words, under a key of two, into four random words. No state: the value at a
 * counter does not depend on which values were asked for before. So the mask of a position is the same whatever the
 * schedule, and sampling does not shift when HARP is switched on.
 *
 *   masks      counter = (dimension / 4, position, reframing, 0)         frames stream and last; word dimension % 4
 *              counter = (dimension / 4, position, reframing, 1 + step)  frame redraw; step = newest position
 *   sampling   counter = (sample, position, use, 2^31)        use: 0 the token, 1 is a draft kept, 2 what replaces it
 * ============================================================================================================== */

typedef struct hp_random {
    uint32_t word[4];
} hp_random;

static const uint32_t hp_sampling_domain = 0x80000000u;

static hp_random hp_philox(uint64_t seed, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3)
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    hp_random r;
    int round;
    for (round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ key0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ key1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        key0 += 0x9E3779B9u; /* the golden ratio */
        key1 += 0xBB67AE85u; /* sqrt(3) - 1 */
    }
    r.word[0] = c0, r.word[1] = c1, r.word[2] = c2, r.word[3] = c3;
    return r;
}

/* A uniform number in [0, 1) for the choice of the token at a position: 24 bits, exact in a float. */
static float hp_uniform(uint64_t seed, uint32_t sample, int32_t position, uint32_t use)
{
    hp_random r = hp_philox(seed, sample, (uint32_t)position, use, hp_sampling_domain);
    return (float)(r.word[0] >> 8) * (1.0f / 16777216.0f);
}

/* ================================================================================================================
 * [CH05] Mathematics
 *
 * libm's functions differ in the last bit between machines, so ours are written out in +, -, *, / alone (rule R4).
 * These run a few times per row, in double; exp, which runs for every element, is a kernel (next chapters).
 * ============================================================================================================== */

/* log2(x) for finite x > 0, to about 1e-15. x = m * 2^e with m near 1; ln m = 2 atanh((m - 1) / (m + 1)) converges
 * fast there: t^2 < 0.03, so eleven terms reach 1e-17. */
static double hp_log2(double x)
{
    double m = x, t, t2, series = 0.0;
    int e = 0, k;
    while (m >= 18446744073709551616.0) m *= 1.0 / 18446744073709551616.0, e += 64;
    while (m < 1.0 / 18446744073709551616.0) m *= 18446744073709551616.0, e -= 64;
    while (m > 1.4142135623730951) m *= 0.5, e++;
    while (m < 0.7071067811865476) m *= 2.0, e--;
    t = (m - 1.0) / (m + 1.0);
    t2 = t * t;
    for (k = 10; k >= 0; k--) series = series * t2 + 1.0 / (2 * k + 1);
    return (double)e + 2.0 * t * series * 1.4426950408889634;
}

static const double hp_ln2 = 0.6931471805599453;

/* Sine and cosine of an angle up to about 2^51 in size, by reduction to [-pi/4, pi/4] and Taylor series. pi/2 is held
 * in three parts of which the first two have few enough bits that their products with n are exact up to n = 2^20. */
static void hp_sine_cosine(double angle, float *sine, float *cosine)
{
    double turns = angle * 0.6366197723675814;
    int64_t n = (int64_t)(turns + (turns < 0 ? -0.5 : 0.5));
    double r = ((angle - (double)n * 1.57079632673412561417e+00) - (double)n * 6.07710050630396597660e-11)
               - (double)n * 2.02226624879595063154e-21;
    double r2 = r * r, s = 0.0, c = 0.0;
    int k;
    for (k = 8; k >= 1; k--) s = (1.0 + s) * -r2 / (double)(2 * k * (2 * k + 1));
    for (k = 8; k >= 1; k--) c = (1.0 + c) * -r2 / (double)(2 * k * (2 * k - 1));
    s = r * (1.0 + s), c = 1.0 + c;
    switch ((int)((uint64_t)n & 3u)) {
    case 0: *sine = (float)s, *cosine = (float)c; break;
    case 1: *sine = (float)c, *cosine = (float)-s; break;
    case 2: *sine = (float)-s, *cosine = (float)-c; break;
    default: *sine = (float)-c, *cosine = (float)s; break;
    }
}

/* IEEE half precision: 1 sign, 5 exponent, 10 fraction bits. Below the smallest normal it counts in steps of 2^-24. */
HP_INLINE float hp_half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, fraction = h & 1023u;
    if (exponent == 0) return hp_float(sign | hp_bits((float)fraction * (1.0f / 16777216.0f)));
    if (exponent == 31) return hp_float(sign | 0x7F800000u | fraction << 13);
    return hp_float(sign | (exponent + 112u) << 23 | fraction << 13);
}

/* To nearest, ties to even; too large becomes infinite. Adding a power of two whose last bit is the half's last bit
 * lets the float adder do the rounding. */
static uint16_t hp_float_to_half(float x)
{
    uint32_t u = hp_bits(x), sign = u >> 16 & 0x8000u, size = u & 0x7FFFFFFFu, exponent;
    if (size > 0x7F800000u) return 0x7E00u; /* NaN, whose sign would be the compiler's choice */
    if (size >= 0x477FF000u) return (uint16_t)(sign | 0x7C00u); /* 65520 and more */
    if (size < 0x38800000u)                                     /* below 2^-14: count steps of 2^-24 */
        return (uint16_t)(sign | (hp_bits(hp_float(size) + 0.5f) - 0x3F000000u));
    exponent = (size >> 23) - 112u;
    size = (size & 0x7FFFFFu) + 0xFFFu + (size >> 13 & 1u); /* the carry may reach the exponent: that is right */
    return (uint16_t)(sign | ((exponent << 10) + (size >> 13)));
}

/* ================================================================================================================
 * [CH06] Sixteen lanes
 *
 * Every kernel is written once, over the few operations below: a vector of sixteen floats (hp_vf) or sixteen int32
 * (hp_vi). Plain C, here, defines what they mean; an instruction SET joins by defining the same names with its own
 * instructions, as one register of 512 bits, two of 256 or four of 128 ([CH08]). Sixteen is the widest, so the rest
 * fits. By rule R1 a lane is an output: lanes meet only in hp_vf_sum and hp_vf_top.
 *
 * Every set needs names of its own. So what a set has is a macro that appends the set's name: hp_vf_add is hp_vf_add_c
 * while HP_SET is c, and hp_vf_add_avx2 when the kernels are read again with HP_SET avx2. A function of which one set
 * has another's, because their lanes are the same, has the other's name in both: HP_LANES_OF is that set, HP_FEW_OF for
 * products of few rows.
 * ============================================================================================================== */

#define HP_GLUE_(a, b) a##b
#define HP_GLUE(a, b) HP_GLUE_(a, b)
#define HP_OF_SET(name) HP_GLUE(name##_, HP_SET)
#define HP_OF_LANES(name) HP_GLUE(name##_, HP_LANES_OF)
#define HP_OF_FEW(name) HP_GLUE(name##_, HP_FEW_OF)
#define HP_SET c

#define hp_vf HP_OF_SET(hp_vf)
#define hp_vi HP_OF_SET(hp_vi)
#define hp_vw HP_OF_SET(hp_vw)
#define hp_vf_set HP_OF_SET(hp_vf_set)
#define hp_vf_load HP_OF_SET(hp_vf_load)
#define hp_vf_store HP_OF_SET(hp_vf_store)
#define hp_vf_load_file HP_OF_SET(hp_vf_load_file)
#define hp_vf_load_half HP_OF_SET(hp_vf_load_half)
#define hp_vf_add HP_OF_SET(hp_vf_add)
#define hp_vf_sub HP_OF_SET(hp_vf_sub)
#define hp_vf_mul HP_OF_SET(hp_vf_mul)
#define hp_vf_div HP_OF_SET(hp_vf_div)
#define hp_vf_max HP_OF_SET(hp_vf_max)
#define hp_vf_min HP_OF_SET(hp_vf_min)
#define hp_vf_from_vi HP_OF_SET(hp_vf_from_vi)
#define hp_vf_of_bits HP_OF_SET(hp_vf_of_bits)
#define hp_vi_of_bits HP_OF_SET(hp_vi_of_bits)
#define hp_vi_set HP_OF_SET(hp_vi_set)
#define hp_vi_add HP_OF_SET(hp_vi_add)
#define hp_vi_sub HP_OF_SET(hp_vi_sub)
#define hp_vi_shift_left HP_OF_SET(hp_vi_shift_left)
#define hp_vi_shift_right HP_OF_SET(hp_vi_shift_right)
#define hp_vi_store HP_OF_SET(hp_vi_store)
#define hp_vi_load_file HP_OF_SET(hp_vi_load_file)
#define hp_vi_load_bytes HP_OF_SET(hp_vi_load_bytes)
#define hp_vw_load HP_OF_SET(hp_vw_load)
#define hp_vt HP_OF_SET(hp_vt)
#define hp_vt_load HP_OF_SET(hp_vt_load)
#define hp_vw_expand HP_OF_SET(hp_vw_expand)
#define hp_expand_bytes HP_OF_SET(hp_expand_bytes)
#define hp_vi_dot4 HP_OF_SET(hp_vi_dot4)
#define hp_vf_abs HP_OF_SET(hp_vf_abs)
#define hp_vf_load_first HP_OF_SET(hp_vf_load_first)
#define hp_vf_first HP_OF_SET(hp_vf_first)
#define hp_vf_sum HP_OF_SET(hp_vf_sum)
#define hp_vf_top HP_OF_SET(hp_vf_top)
#define hp_vf_round HP_OF_SET(hp_vf_round)
#define hp_vf_two_to HP_OF_SET(hp_vf_two_to)
#define hp_vi_store_bytes HP_OF_SET(hp_vi_store_bytes)
#define hp_vi_sum HP_OF_SET(hp_vi_sum)
#define hp_block_dots HP_OF_SET(hp_block_dots)
#define hp_vf_times HP_OF_SET(hp_vf_times)
#define hp_vf_polynomial HP_OF_SET(hp_vf_polynomial)
#define hp_vf_clamp HP_OF_SET(hp_vf_clamp)
#define hp_vf_exp HP_OF_LANES(hp_vf_exp)
#define hp_vf_exp_inlined HP_OF_SET(hp_vf_exp_inlined)
#define hp_rmsnorm HP_OF_LANES(hp_rmsnorm)
#define hp_add_to HP_OF_LANES(hp_add_to)
#define hp_rope HP_OF_LANES(hp_rope)
#define hp_quantize HP_OF_SET(hp_quantize)
#define hp_tiles_int8 HP_OF_SET(hp_tiles_int8)
#define hp_tiles_rows HP_OF_SET(hp_tiles_rows)
#define hp_tile_weights HP_OF_LANES(hp_tile_weights)
#define hp_tile_scale HP_OF_LANES(hp_tile_scale)
#define hp_tile_f32 HP_OF_LANES(hp_tile_f32)
#define hp_tile_few HP_OF_FEW(hp_tile_few)
#define hp_matmul_few HP_OF_FEW(hp_matmul_few)
#define hp_tile_rows HP_OF_SET(hp_tile_rows)
#define hp_tile_expanded HP_OF_SET(hp_tile_expanded)
#define hp_matmul HP_OF_SET(hp_matmul)
#define hp_load_elements HP_OF_LANES(hp_load_elements)
#define hp_unpack_rows HP_OF_LANES(hp_unpack_rows)
#define hp_unpack HP_OF_LANES(hp_unpack)
#define hp_weigh HP_OF_LANES(hp_weigh)
#define hp_weighted_sums HP_OF_LANES(hp_weighted_sums)
#define hp_softmax_weights HP_OF_LANES(hp_softmax_weights)
#define hp_measure_spread HP_OF_LANES(hp_measure_spread)
#define hp_layernorm HP_OF_LANES(hp_layernorm)
#define hp_scale HP_OF_LANES(hp_scale)
#define hp_inverse_root HP_OF_LANES(hp_inverse_root)
#define hp_add_bias HP_OF_LANES(hp_add_bias)
#define hp_vf_tanh HP_OF_LANES(hp_vf_tanh)
#define hp_soft_cap HP_OF_LANES(hp_soft_cap)
#define hp_vf_gated HP_OF_LANES(hp_vf_gated)
#define hp_vf_clamped HP_OF_LANES(hp_vf_clamped)
#define hp_vf_sigmoid HP_OF_LANES(hp_vf_sigmoid)
#define hp_vf_gelu_erf HP_OF_LANES(hp_vf_gelu_erf)
#define hp_activate HP_OF_LANES(hp_activate)
#define hp_update_state HP_OF_LANES(hp_update_state)
#define hp_kernels_of_set HP_OF_SET(hp_kernels)

enum { HP_LANES = 16 };

typedef struct hp_vf {
    float lane[HP_LANES];
} hp_vf;

typedef struct hp_vi {
    int32_t lane[HP_LANES];
} hp_vi;

typedef struct hp_vw { /* four int8 weights of each lane */
    int8_t byte[4 * HP_LANES];
} hp_vw;

#define HP_EACH_LANE for (i = 0; i < HP_LANES; i++)

HP_INLINE hp_vf hp_vf_set(float x) /* x in every lane */
{
    hp_vf v;
    int i;
    HP_EACH_LANE v.lane[i] = x;
    return v;
}

HP_INLINE hp_vf hp_vf_load(const float *p)
{
    hp_vf v;
    memcpy(v.lane, p, sizeof v.lane);
    return v;
}

HP_INLINE void hp_vf_store(float *p, hp_vf v)
{
    memcpy(p, v.lane, sizeof v.lane);
}

HP_INLINE hp_vf hp_vf_load_file(const uint8_t *p) /* sixteen little-endian floats */
{
    hp_vf v;
    int i;
    HP_EACH_LANE v.lane[i] = hp_f32(p + 4 * i);
    return v;
}

HP_INLINE hp_vf hp_vf_load_half(const uint8_t *p) /* sixteen little-endian halves */
{
    hp_vf v;
    int i;
    HP_EACH_LANE v.lane[i] = hp_half_to_float(hp_u16(p + 2 * i));
    return v;
}

HP_INLINE hp_vf hp_vf_add(hp_vf a, hp_vf b)
{
    int i;
    HP_EACH_LANE a.lane[i] = a.lane[i] + b.lane[i];
    return a;
}

HP_INLINE hp_vf hp_vf_sub(hp_vf a, hp_vf b)
{
    int i;
    HP_EACH_LANE a.lane[i] = a.lane[i] - b.lane[i];
    return a;
}

HP_INLINE hp_vf hp_vf_mul(hp_vf a, hp_vf b)
{
    int i;
    HP_EACH_LANE a.lane[i] = a.lane[i] * b.lane[i];
    return a;
}

HP_INLINE hp_vf hp_vf_div(hp_vf a, hp_vf b)
{
    int i;
    HP_EACH_LANE a.lane[i] = a.lane[i] / b.lane[i];
    return a;
}

HP_INLINE hp_vf hp_vf_max(hp_vf a, hp_vf b) /* a > b ? a : b, so a NaN in a yields b */
{
    int i;
    HP_EACH_LANE a.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i];
    return a;
}

HP_INLINE hp_vf hp_vf_min(hp_vf a, hp_vf b) /* a < b ? a : b */
{
    int i;
    HP_EACH_LANE a.lane[i] = a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i];
    return a;
}

HP_INLINE hp_vf hp_vf_from_vi(hp_vi a) /* the nearest floats */
{
    hp_vf v;
    int i;
    HP_EACH_LANE v.lane[i] = (float)a.lane[i];
    return v;
}

HP_INLINE hp_vf hp_vf_of_bits(hp_vi a)
{
    hp_vf v;
    memcpy(&v, &a, sizeof v);
    return v;
}

HP_INLINE hp_vi hp_vi_of_bits(hp_vf a)
{
    hp_vi v;
    memcpy(&v, &a, sizeof v);
    return v;
}

HP_INLINE hp_vi hp_vi_set(int32_t x)
{
    hp_vi v;
    int i;
    HP_EACH_LANE v.lane[i] = x;
    return v;
}

/* Integer operations wrap around, as in two's complement. */
HP_INLINE hp_vi hp_vi_add(hp_vi a, hp_vi b)
{
    int i;
    HP_EACH_LANE a.lane[i] = (int32_t)((uint32_t)a.lane[i] + (uint32_t)b.lane[i]);
    return a;
}

HP_INLINE hp_vi hp_vi_sub(hp_vi a, hp_vi b)
{
    int i;
    HP_EACH_LANE a.lane[i] = (int32_t)((uint32_t)a.lane[i] - (uint32_t)b.lane[i]);
    return a;
}

HP_INLINE hp_vi hp_vi_shift_left(hp_vi a, int n)
{
    int i;
    HP_EACH_LANE a.lane[i] = (int32_t)((uint32_t)a.lane[i] << n);
    return a;
}

HP_INLINE hp_vi hp_vi_shift_right(hp_vi a, int n) /* copies of the sign come in from the left */
{
    int i;
    HP_EACH_LANE a.lane[i] = a.lane[i] < 0 ? ~(~a.lane[i] >> n) : a.lane[i] >> n;
    return a;
}

HP_INLINE void hp_vi_store(int32_t *p, hp_vi v)
{
    memcpy(p, v.lane, sizeof v.lane);
}

HP_INLINE hp_vi hp_vi_load_file(const uint8_t *p) /* sixteen little-endian int32 */
{
    hp_vi v;
    int i;
    HP_EACH_LANE v.lane[i] = (int32_t)hp_u32(p + 4 * i);
    return v;
}

HP_INLINE hp_vi hp_vi_load_bytes(const uint8_t *p) /* sixteen int8 */
{
    hp_vi v;
    int i;
    HP_EACH_LANE v.lane[i] = (int8_t)p[i];
    return v;
}

/* The weights of a dot4, made ready once for all the rows that are multiplied with them. */
HP_INLINE hp_vw hp_vw_load(const uint8_t *p)
{
    hp_vw w;
    memcpy(w.byte, p, sizeof w.byte);
    return w;
}

/* a + (four weights of each lane) . (the same four activations x for all lanes). Some sets take the weights as unsigned
 * w + HP_DOT_OFFSET; there a sum must begin at -HP_DOT_OFFSET times the sum of the activations. */
#define HP_DOT_OFFSET 0
HP_INLINE hp_vi hp_vi_dot4(hp_vi a, hp_vw w, const int8_t *x)
{
    const int8_t *b = w.byte;
    int i;
    HP_EACH_LANE a.lane[i] += b[4 * i] * x[0] + b[4 * i + 1] * x[1] + b[4 * i + 2] * x[2] + b[4 * i + 3] * x[3];
    return a;
}

/* At most so many rows at once are multiplied with a tile's weights: as many as have their sums in registers. Where a
 * set has registers, or an instruction (HP_BLOCK_DOTS), for HP_BLOCK_ROWS, a divisor of HP_INPUT_BLOCK, whole blocks of
 * as many come first. */
#define HP_ROWS_AT_ONCE 2

/* How many registers sixteen lanes take; in plain C, none. */
#define HP_REGISTERS 0

/* The same for weights of four bits, in sets with an instruction that looks up sixteen bytes in a table of sixteen:
 * there nibbles become int8 in registers. 0: the set has none. For more rows than these, so many groups at a time
 * become int8 in memory, once for all rows. */
#define HP_NIBBLE_ROWS 0
#define HP_EXPANDED_GROUPS 2

/* ---- What kernels are given, whatever the set ---- */

enum { HP_GROUP = 32, HP_TILE_GROUP_BYTES = HP_LANES * HP_GROUP, HP_NIBBLE_GROUP_BYTES = HP_TILE_GROUP_BYTES / 2,
       HP_TABLE_BYTES = 64 };

/* Weights, keys and values come from memory once a pass. The processor's own prefetching stops at the end of each page
 * of 4 KiB, so kernels ask ahead: HP_CACHE_AHEAD bytes for keys and values, and for weights as the WAY of reading says.
 * Addresses beyond the end do no harm.
 *
 * A core whose first cache can await many lines reads fastest from front to back. One whose first cache awaits few does
 * better to ask for lines in the second, which is farther away, and in several PLACES at once. And where a file lies in
 * scattered pages of 4 KiB, as in a system's cache that has aged, each page costs a walk through the page tables, and
 * walks of several places overlap. GB/s of one thread, with 1, 2 and 4 rows of a model of 1.1 billion weights:
 *                                                    Zen 5            Zen 4            Zen 4, scattered
 *     one place, 8 KB ahead, into the first cache    34.5 33.5 32.6   21.4 21.2 19.2   15.3 14.3 13.5
 *     one place, nothing asked for                                    20.3 18.6 20.3   14.5 13.7 14.1
 *     four places, 1 KB ahead each, into the second  27.7 25.8 25.8   21.4 20.9 21.5   20.3 19.6 18.4
 *     the same, 512 bytes ahead                                       21.8 21.0 20.3   20.1 19.3 17.2
 * (Four places ahead into the first, two places, eight, or the four far from each other were no better on the Zen 4.) A
 * Xeon (Emerald Rapids) likes four places, too: 1.04 to 1.14 times as fast as one, with one row. No table knows the
 * next processor, nor how the file came into memory, so a session tries the ways ([CH18]). Each gives the same bits. */
typedef struct hp_way {
    int places;
    size_t ahead; /* bytes; 0 asks for what is read just now, which costs nothing */
} hp_way;

enum { HP_WAYS = 4, HP_PLACES = 4, HP_NEAR = 32 /* tiles that the places lie within */, HP_CACHE_AHEAD = 4096 };
static const hp_way hp_ways[HP_WAYS] = {{1, 8192}, {1, 0}, {HP_PLACES, 512}, {HP_PLACES, 1024}};
/* Many rows are multiplied in the first way. With one row 512 bytes were 1.04 to 1.06 times as fast as 1 KB. */

/* Asks for the line at p. Lines are asked for at the pace of a tile as a whole, scales and weights, 544 bytes a group:
 * at the pace of the weights alone, as many bytes of each tile as it has scales came unasked, and a model of 135
 * million weights took 1.24 times as long. And in rising order, which HP_KEEP_ORDER keeps, or the processor's own
 * prefetching is led astray (1.15 times as long). Both on the Zen 5. */
HP_INLINE void hp_ask(const uint8_t *p, int places)
{
    if (places > 1) HP_PREFETCH(p, 2);
    else HP_PREFETCH(p, 1);
    HP_KEEP_ORDER();
}

/* A weight matrix [rows][cols] in the file's tiles of 16 rows (drawn in [CH09]). Float weights serve to measure what
 * int8 costs; they are multiplied with float activations whatever the session asked for. */
typedef struct hp_matrix {
    const uint8_t *tiles;
    const uint8_t *table; /* NULL: the weights are int8; else nibbles that stand for these, or floats */
    int32_t rows, cols, groups, n_tiles;
    size_t scale_bytes, tile_bytes; /* scale_bytes is 0 for floats */
} hp_matrix;

HP_INLINE int hp_has_floats(const hp_matrix *m)
{
    return m->table && (!HP_NIBBLES || m->scale_bytes == 0);
}

HP_INLINE int hp_has_nibbles(const hp_matrix *m)
{
    return HP_NIBBLES && m->table && m->scale_bytes > 0;
}

#define HP_ASK_NOT SIZE_MAX

/* The activations of a pass, ready for a product: as float, or rounded to int8 in groups of 32. Rounded rows lie in
 * blocks of sixteen, fewer in the last, and within a block all rows' first groups come first, then their second groups,
 * and so on: what is multiplied with the same weights is found side by side. */
typedef struct hp_operand {
    const float *x;        /* [rows][stride]                                                                       */
    const int8_t *q;       /* [blocks][groups][rows of the block][32], or NULL                                     */
    const float *scales;   /* [blocks][groups][rows of the block]                                                  */
    const int32_t *starts; /* the same: where the sum of a group's products starts (sets with a HP_DOT_OFFSET)     */
    size_t stride, rows;
    size_t skip, left;     /* groups that each row has before and after those that are multiplied; usually 0       */
} hp_operand;

/* The weight of input c in a lane of a tile of nibbles. */
HP_INLINE int8_t hp_nibble_weight(const uint8_t *table, const uint8_t *w, size_t c, size_t lane)
{
    uint8_t two = w[c / 8 * 4 * HP_LANES + 4 * lane + c % 4];
    return (int8_t)table[c / 4 % 2 ? two >> 4 : two & 15];
}

enum { HP_INPUT_BLOCK = 16 };

/* With so few rows memory sets the pace, not arithmetic: where a set takes many at once, these. */
#define HP_FEW_ROWS (HP_ROWS_AT_ONCE > 4 ? HP_ROWS_AT_ONCE : 4)

static size_t hp_rows_in_block(size_t row, size_t rows) /* in the block of inputs that `row` belongs to */
{
    size_t left = rows - row / HP_INPUT_BLOCK * HP_INPUT_BLOCK;
    return left < HP_INPUT_BLOCK ? left : HP_INPUT_BLOCK;
}

/* Where a row's first group is; the others follow hp_rows_in_block groups apart. */
static size_t hp_first_group(size_t row, size_t groups)
{
    return row / HP_INPUT_BLOCK * HP_INPUT_BLOCK * groups + row % HP_INPUT_BLOCK;
}

/* A block of cached keys or values: rows x cols elements of the cache's type, int8 with scales per row or column. */
typedef struct hp_packed {
    const uint8_t *elements; /* [rows][cols] */
    const uint8_t *row_scales, *col_scales; /* halves, as in the file */
    harp_cache type;
    int32_t cols;
} hp_packed;

static size_t hp_cache_element_bytes(harp_cache cache)
{
    return cache == HARP_CACHE_F32 ? 4 : cache == HARP_CACHE_F16 ? 2 : 1;
}

/* Either half of attention: out[q][c] += sum over k = first..last, in order, of a[q][k] * b[k][c]. For scores a is
 * queries, k their dimension, a column a position; for mixing a is the weights of positions k, a column a dimension of
 * the values. */
typedef struct hp_weighing {
    float *out;     /* [queries][out_stride], the columns padded to a multiple of 16 */
    const float *a; /* [queries][a_stride]                                           */
    hp_packed b;
    size_t out_stride, a_stride;
    int32_t queries, first, last;
} hp_weighing;

/* What a distribution p = softmax(x[n]) is like, from sums over e = exp(d), d = x - max: with Z = sum e,
 * ln p = d - ln Z, so every measure of uncertainty follows from a few sums and one logarithm. */
typedef struct hp_spread {
    float top, total;         /* max x; Z                                                                         */
    float mean, mean_squares; /* sum e d / Z; sum e d^2 / Z                                                       */
} hp_spread;

typedef enum hp_activation { HP_SILU, HP_GELU_TANH, HP_GELU_ERF, HP_CLAMPED, HP_SIGMOID } hp_activation;

/* What a token does to the state [rows][cols] of a gated delta net, and what it reads from it: for each column
 *     s = decay s;  s += k beta (v - k . s);  out = q . s
 * cols is a multiple of 16; without a query nothing is read. */
typedef struct hp_update {
    float *state, *out;      /* [rows][cols], [cols]  */
    const float *q, *k, *v;  /* [rows], [rows], [cols] */
    float decay, beta;
    int32_t rows, cols;
} hp_update;

/* The kernels of a set. */
typedef struct hp_kernels {
    const char *name;
    int few_rows; /* HP_FEW_ROWS of the set */
    void (*rmsnorm)(float *y, const float *x, const uint8_t *weight, int32_t n, float eps);
    void (*add_to)(float *x, const float *y, int32_t n);
    void (*rope)(float *head, const float *turn, int32_t dims);
    void (*quantize)(int8_t *q, float *scales, int32_t *starts, const float *x, int32_t groups, size_t apart);
    void (*matmul)(const hp_matrix *m, int32_t first, int32_t last, const hp_operand *in, const hp_way *way,
                   float *const *out);
    void (*weighted_sums)(const hp_weighing *w);
    float (*softmax_weights)(float *x, int32_t first, int32_t last, float scale);
    hp_spread (*measure_spread)(const float *x, int32_t n);
    void (*layernorm)(float *y, const float *x, const uint8_t *weight, const uint8_t *bias, int32_t n, float eps);
    void (*add_bias)(float *x, const uint8_t *bias, int32_t n);
    void (*soft_cap)(float *x, int32_t n, float scale, float cap);
    void (*activate)(float *y, const float *gate, const float *up, int32_t n, hp_activation f);
    void (*update)(const hp_update *u); /* NULL: left out */
} hp_kernels;

#endif /* what the compiler reads once, up to here */
#ifdef HP_READ_KERNELS

/* ================================================================================================================
 * [CH07] Kernels
 *
 * The arithmetic of a transformer over the sixteen lanes. Vectors that belong to the session are padded with zeros to
 * a multiple of 16 or 32, so that many loops need no end case; zeros add nothing to any sum. What comes from outside
 * (logits of the caller's), a head, or a row with neighbours may have any length.
 *
 * This chapter is read once for each set, and asks only what its set has defined. A set whose lanes are those of
 * another gets that one's functions, but for products of int8 ([CH08] says which: HP_LANES_OF, HP_FEW_OF).
 * ============================================================================================================== */

#ifndef HP_LANES_OF
#define HP_LANES_OF HP_SET
#define HP_MAKE_LANES
#endif
#ifndef HP_FEW_OF
#define HP_FEW_OF HP_SET
#define HP_MAKE_FEW
#endif

/* ---- Operations made of others ---- */

HP_INLINE hp_vf hp_vf_abs(hp_vf a)
{
    return hp_vf_max(a, hp_vf_sub(hp_vf_set(0.0f), a));
}

HP_INLINE hp_vf hp_vf_load_first(const float *p, int32_t n) /* p[0..n-1], zeros after: the end of a vector */
{
    float x[HP_LANES] = {0};
    if (n >= HP_LANES) return hp_vf_load(p);
    memcpy(x, p, (size_t)n * sizeof(float));
    return hp_vf_load(x);
}

HP_INLINE hp_vf hp_vf_first(hp_vf a, int32_t n) /* lanes n and above become zero */
{
    float x[HP_LANES];
    if (n >= HP_LANES) return a;
    hp_vf_store(x, a);
    return hp_vf_load_first(x, n);
}

HP_INLINE float hp_vf_sum(hp_vf a) /* the fixed tree of rule R3 */
{
    float x[HP_LANES];
    int i, half;
    hp_vf_store(x, a);
    for (half = HP_LANES / 2; half > 0; half /= 2)
        for (i = 0; i < half; i++) x[i] = x[i] + x[i + half];
    return x[0];
}

#if HP_REGISTERS != 1 /* a set of one register has instructions for these two */
HP_INLINE float hp_vf_top(hp_vf a) /* the largest lane; the same tree, for the sake of NaNs */
{
    float x[HP_LANES];
    int i, half;
    hp_vf_store(x, a);
    for (half = HP_LANES / 2; half > 0; half /= 2)
        for (i = 0; i < half; i++) x[i] = x[i] > x[i + half] ? x[i] : x[i + half];
    return x[0];
}

HP_INLINE void hp_vi_store_bytes(int8_t *p, hp_vi a) /* the low byte of each lane */
{
    int32_t x[HP_LANES];
    int i;
    hp_vi_store(x, a);
    for (i = 0; i < HP_LANES; i++) p[i] = (int8_t)x[i];
}
#endif

#if HP_NIBBLE_ROWS == 0 /* other sets have instructions for these */
typedef struct hp_vt { /* what the sixteen nibbles stand for, ready for looking up */
    const uint8_t *value;
} hp_vt;

HP_INLINE hp_vt hp_vt_load(const uint8_t *p)
{
    hp_vt t;
    t.value = p;
    return t;
}

/* 64 bytes of nibbles -> 128 of int8, as other files have them: low nibbles are the weights of four inputs, high ones
 * those of the next four. */
HP_INLINE void hp_expand_bytes(uint8_t *to, const uint8_t *p, hp_vt t)
{
    int i;
    for (i = 0; i < 4 * HP_LANES; i++) to[i] = t.value[p[i] & 15], to[4 * HP_LANES + i] = t.value[p[i] >> 4];
}

HP_INLINE void hp_vw_expand(hp_vw pair[2], const uint8_t *p, hp_vt t) /* the same, ready for hp_vi_dot4 */
{
    uint8_t bytes[8 * HP_LANES];
    hp_expand_bytes(bytes, p, t);
    pair[0] = hp_vw_load(bytes), pair[1] = hp_vw_load(bytes + 4 * HP_LANES);
}
#endif

HP_INLINE int32_t hp_vi_sum(hp_vi a)
{
    int32_t x[HP_LANES], sum = 0;
    int i;
    hp_vi_store(x, a);
    for (i = 0; i < HP_LANES; i++) sum += x[i];
    return sum;
}

/* To the nearest integer, ties to even, for |x| < 2^22: adding 1.5 * 2^23 leaves no bits for a fraction, and the low
 * bits of the sum are the integer. Bit operations alone follow, so that NaN gives some integer and no undefined one. */
HP_INLINE hp_vi hp_vf_round(hp_vf a)
{
    return hp_vi_sub(hp_vi_of_bits(hp_vf_add(a, hp_vf_set(12582912.0f))), hp_vi_set(0x4B400000));
}

HP_INLINE hp_vf hp_vf_two_to(hp_vi n) /* 2^n for n in -126..127: an exponent field */
{
    return hp_vf_of_bits(hp_vi_shift_left(hp_vi_add(n, hp_vi_set(127)), 23));
}

HP_INLINE hp_vf hp_vf_times(hp_vf x, float factor)
{
    return hp_vf_mul(x, hp_vf_set(factor));
}

/* c[0] x^(n - 1) + ... + c[n - 1], by Horner's rule. */
HP_INLINE hp_vf hp_vf_polynomial(hp_vf x, const float *c, int n)
{
    hp_vf p = hp_vf_set(c[0]);
    int i;
    HP_UNROLL for (i = 1; i < n; i++) p = hp_vf_add(hp_vf_mul(p, x), hp_vf_set(c[i]));
    return p;
}

/* x held to least..most; a NaN stays one, which is why the bounds come first (hp_vf_max). */
HP_INLINE hp_vf hp_vf_clamp(hp_vf x, float least, float most)
{
    return hp_vf_min(hp_vf_set(most), hp_vf_max(hp_vf_set(least), x));
}

/* exp(x), error below 2 ulp. x = n ln2 + r with |r| < 0.35, exp(x) = 2^n exp(r), and exp(r) by its Taylor series. ln2
 * comes in two parts, the first short enough that n * part is exact. x is first clamped to [-87, 88], where the result
 * is a normal number: what underflows is 1.6e-38 instead of 0, which no sum of ours can notice. */
HP_INLINE hp_vf hp_vf_exp_inlined(hp_vf x)
{
    static const float inverse_factorial[] = {1.0f / 5040.0f, 1.0f / 720.0f, 1.0f / 120.0f, 1.0f / 24.0f,
                                              1.0f / 6.0f,    0.5f,          1.0f,          1.0f};
    hp_vf n, r;
    hp_vi k;
    x = hp_vf_clamp(x, -87.0f, 88.0f);
    k = hp_vf_round(hp_vf_times(x, 1.44269504f));
    n = hp_vf_from_vi(k);
    r = hp_vf_sub(x, hp_vf_times(n, 0.693359375f));
    r = hp_vf_sub(r, hp_vf_times(n, -2.12194440e-4f));
    return hp_vf_mul(hp_vf_polynomial(r, inverse_factorial, 8), hp_vf_two_to(k));
}

#ifdef HP_MAKE_LANES

/* A call passes vectors through memory and keeps the processor from overlapping one exp with the next: too slow for
 * attention's weights, of which there are many, and good enough elsewhere, where inlining makes compilers slow. */
static hp_vf hp_vf_exp(hp_vf x)
{
    return hp_vf_exp_inlined(x);
}

/* ---- Norms, activations, rotation ---- */

/* y[n] = x[n] * scale * weight[n], + bias[n] if there is one: how norms end. y may be x, neither need be padded; weight
 * and bias are little-endian in the file, of exactly n floats. */
static void hp_scale(float *y, const float *x, float scale, const uint8_t *weight, const uint8_t *bias, int32_t n)
{
    int32_t i;
    for (i = 0; i + HP_LANES <= n; i += HP_LANES) {
        hp_vf v = hp_vf_mul(hp_vf_times(hp_vf_load(x + i), scale), hp_vf_load_file(weight + 4 * (size_t)i));
        hp_vf_store(y + i, bias ? hp_vf_add(v, hp_vf_load_file(bias + 4 * (size_t)i)) : v);
    }
    for (; i < n; i++) {
        float v = x[i] * scale;
        v = v * hp_f32(weight + 4 * (size_t)i);
        y[i] = bias ? v + hp_f32(bias + 4 * (size_t)i) : v;
    }
}

static float hp_inverse_root(hp_vf squares, int32_t n, float eps) /* 1 / sqrt(their mean + eps) */
{
    float mean = hp_vf_sum(squares) / (float)n, root;
    mean = mean + eps;
    root = sqrtf(mean);
    return 1.0f / root;
}

/* y[n] = x[n] / rms(x) * weight[n], rms(x) = sqrt(mean of squares + eps) [Zhang and Sennrich 2019]. */
static void hp_rmsnorm(float *y, const float *x, const uint8_t *weight, int32_t n, float eps)
{
    hp_vf squares = hp_vf_set(0.0f);
    int32_t i;
    for (i = 0; i < n; i += HP_LANES) {
        hp_vf v = hp_vf_load_first(x + i, n - i);
        squares = hp_vf_add(squares, hp_vf_mul(v, v));
    }
    hp_scale(y, x, hp_inverse_root(squares, n, eps), weight, NULL, n);
}

/* x[n] += y[n], padded. */
static void hp_add_to(float *x, const float *y, int32_t n)
{
    int32_t i;
    for (i = 0; i < n; i += HP_LANES) hp_vf_store(x + i, hp_vf_add(hp_vf_load(x + i), hp_vf_load(y + i)));
}

/* Rotates the first `dims` elements of a head by its position's angles: element i pairs with i + dims/2, as in Hugging
 * Face files [Su et al. 2021, RoFormer]. turn holds dims/2 cosines, then dims/2 sines. */
static void hp_rope(float *head, const float *turn, int32_t dims)
{
    int32_t half = dims / 2, i;
    for (i = 0; i + HP_LANES <= half; i += HP_LANES) {
        hp_vf a = hp_vf_load(head + i), b = hp_vf_load(head + i + half);
        hp_vf cosine = hp_vf_load(turn + i), sine = hp_vf_load(turn + i + half);
        hp_vf_store(head + i, hp_vf_sub(hp_vf_mul(a, cosine), hp_vf_mul(b, sine)));
        hp_vf_store(head + i + half, hp_vf_add(hp_vf_mul(b, cosine), hp_vf_mul(a, sine)));
    }
    for (; i < half; i++) {
        float a = head[i], b = head[i + half], cosine = turn[i], sine = turn[i + half];
        float ac = a * cosine, bs = b * sine, bc = b * cosine, as = a * sine;
        head[i] = ac - bs;
        head[i + half] = bc + as;
    }
}

/* ---- Attention ---- */

/* n (at most 16) elements of a cache as floats, zeros after. Floats are in the machine's byte order, halves are
 * little-endian. */
HP_INLINE hp_vf hp_load_elements(harp_cache type, const uint8_t *p, int32_t n)
{
    float end[HP_LANES] = {0};
    if (n < HP_LANES) {
        memcpy(end, p, (size_t)n * hp_cache_element_bytes(type));
        p = (const uint8_t *)end;
    }
    if (type == HARP_CACHE_F16) return hp_vf_load_half(p);
    if (type == HARP_CACHE_INT8) return hp_vf_from_vi(hp_vi_load_bytes(p));
    return hp_vf_load((const float *)(const void *)p);
}

/* Rows k.. of a block as floats, sixteen columns of each, of which the cache has `width`. */
HP_INLINE void hp_unpack_rows(const hp_packed *b, harp_cache type, int32_t k, int32_t rows, int32_t column,
                              int32_t width, hp_vf *to)
{
    size_t element = hp_cache_element_bytes(type), row = (size_t)b->cols * element;
    const uint8_t *from = b->elements + (size_t)k * row + (size_t)column * element;
    hp_vf scale = hp_vf_set(1.0f);
    int32_t i;
    if (type == HARP_CACHE_INT8 && b->col_scales) scale = hp_vf_load_half(b->col_scales + 2 * column);
    for (i = 0; i < rows; i++, from += row) {
        HP_PREFETCH(from + HP_CACHE_AHEAD, 1);
        to[i] = hp_load_elements(type, from, width);
        if (type != HARP_CACHE_INT8) continue;
        if (b->row_scales) scale = hp_vf_set(hp_half_to_float(hp_u16(b->row_scales + 2 * (k + i))));
        to[i] = hp_vf_mul(to[i], scale);
    }
}

/* The type is a constant in each call but that for the last columns of a head size that is no multiple of 16: a loop
 * that asks for it at every element takes longer than the sums. */
static void hp_unpack(const hp_packed *b, int32_t k, int32_t rows, int32_t column, hp_vf *to)
{
    int32_t width = hp_min(b->cols - column, HP_LANES);
    if (width < HP_LANES) hp_unpack_rows(b, b->type, k, rows, column, width, to);
    else if (b->type == HARP_CACHE_F16) hp_unpack_rows(b, HARP_CACHE_F16, k, rows, column, HP_LANES, to);
    else if (b->type == HARP_CACHE_INT8) hp_unpack_rows(b, HARP_CACHE_INT8, k, rows, column, HP_LANES, to);
    else hp_unpack_rows(b, HARP_CACHE_F32, k, rows, column, HP_LANES, to);
}

/* out[n][16] += a[n][rows] . b[rows][16]: each load of b serves all the queries. */
HP_INLINE void hp_weigh(const hp_vf *b, int32_t rows, const float *a, size_t a_stride, int n, float *out,
                        size_t out_stride)
{
    hp_vf sum[8];
    int32_t k;
    int i;
    HP_UNROLL for (i = 0; i < n; i++) sum[i] = hp_vf_load(out + (size_t)i * out_stride);
    for (k = 0; k < rows; k++) {
        HP_UNROLL for (i = 0; i < n; i++)
            sum[i] = hp_vf_add(sum[i], hp_vf_mul(hp_vf_set(a[(size_t)i * a_stride + (size_t)k]), b[k]));
    }
    HP_UNROLL for (i = 0; i < n; i++) hp_vf_store(out + (size_t)i * out_stride, sum[i]);
}

/* In squares of 16 x 16, unpacked once for all the queries. The number of queries at once is a constant in each call,
 * so that the sums stay in registers: eight where there are 32 wide ones. */
static void hp_weighted_sums(const hp_weighing *w)
{
    hp_vf b[HP_LANES];
    int32_t c, k, q, n, rows;
    for (c = 0; c < w->b.cols; c += HP_LANES)
        for (k = w->first; k <= w->last; k += rows) {
            rows = hp_min(w->last - k + 1, HP_LANES);
            hp_unpack(&w->b, k, rows, c, b);
            for (q = 0; q < w->queries; q += n) {
                const float *a = w->a + (size_t)q * w->a_stride + k;
                float *out = w->out + (size_t)q * w->out_stride + c;
                n = w->queries - q >= 8 ? (HP_ROWS_AT_ONCE >= 8 ? 8 : 4) : hp_min(w->queries - q, 4);
                if (n == 8) hp_weigh(b, rows, a, w->a_stride, 8, out, w->out_stride);
                else if (n == 4) hp_weigh(b, rows, a, w->a_stride, 4, out, w->out_stride);
                else if (n == 3) hp_weigh(b, rows, a, w->a_stride, 3, out, w->out_stride);
                else if (n == 2) hp_weigh(b, rows, a, w->a_stride, 2, out, w->out_stride);
                else hp_weigh(b, rows, a, w->a_stride, 1, out, w->out_stride);
            }
        }
}

/* x[first..last] = exp(x * scale - max), and returns their sum, NaN if one of them is. x is a whole number of blocks of
 * 16; what lies outside first..last becomes zero, so that element i always falls into partial sum i mod 16. */
static float hp_softmax_weights(float *x, int32_t first, int32_t last, float scale)
{
    int32_t begin = first / HP_LANES * HP_LANES, end = last / HP_LANES * HP_LANES + HP_LANES, i;
    hp_vf sum = hp_vf_set(0.0f), top;
    for (i = begin; i < first; i++) x[i] = x[first];
    for (i = last + 1; i < end; i++) x[i] = x[first];
    for (i = begin; i < end; i += HP_LANES) hp_vf_store(x + i, hp_vf_times(hp_vf_load(x + i), scale));
    top = hp_vf_set(x[first]);
    for (i = begin; i < end; i += HP_LANES) top = hp_vf_max(top, hp_vf_load(x + i));
    top = hp_vf_set(hp_vf_top(top));
    for (i = begin; i < end; i += HP_LANES) hp_vf_store(x + i, hp_vf_exp_inlined(hp_vf_sub(hp_vf_load(x + i), top)));
    for (i = begin; i < first; i++) x[i] = 0.0f;
    for (i = last + 1; i < end; i++) x[i] = 0.0f;
    for (i = begin; i < end; i += HP_LANES) sum = hp_vf_add(sum, hp_vf_load(x + i));
    return hp_vf_sum(sum);
}

/* ---- Distributions ---- */

static hp_spread hp_measure_spread(const float *x, int32_t n)
{
    hp_spread s;
    hp_vf top = hp_vf_set(x[0]), z = hp_vf_set(0.0f), first = z, second = z;
    int32_t i;
    for (i = 0; i + HP_LANES <= n; i += HP_LANES) top = hp_vf_max(top, hp_vf_load(x + i));
    s.top = hp_vf_top(top);
    for (; i < n; i++) s.top = x[i] > s.top ? x[i] : s.top;
    for (i = 0; i < n; i += HP_LANES) { /* d ends at -87 as hp_vf_exp does, for 0 times -infinity is no number */
        int32_t m = hp_min(n - i, HP_LANES);
        hp_vf d = hp_vf_max(hp_vf_sub(hp_vf_load_first(x + i, m), hp_vf_set(s.top)), hp_vf_set(-87.0f));
        hp_vf e = hp_vf_first(hp_vf_exp(d), m), ed = hp_vf_mul(e, d);
        z = hp_vf_add(z, e);
        first = hp_vf_add(first, ed);
        second = hp_vf_add(second, hp_vf_mul(ed, d));
    }
    s.total = hp_vf_sum(z);
    s.mean = hp_vf_sum(first) / s.total;
    s.mean_squares = hp_vf_sum(second) / s.total;
    return s;
}

/* ---- What families other than Llama ask for ---- */

/* y[n] = (x - mean) / sqrt(variance + eps) * weight, + bias if there is one [Ba, Kiros and Hinton 2016]. y, which may
 * be x, and x are padded; the padding must not count as elements that lie a mean away from the mean. */
static void hp_layernorm(float *y, const float *x, const uint8_t *weight, const uint8_t *bias, int32_t n, float eps)
{
    hp_vf sum = hp_vf_set(0.0f), squares = sum, mean;
    int32_t i;
    for (i = 0; i < n; i += HP_LANES) sum = hp_vf_add(sum, hp_vf_load(x + i));
    mean = hp_vf_set(hp_vf_sum(sum) / (float)n);
    for (i = 0; i < n; i += HP_LANES) {
        hp_vf d = hp_vf_first(hp_vf_sub(hp_vf_load(x + i), mean), n - i);
        squares = hp_vf_add(squares, hp_vf_mul(d, d));
        hp_vf_store(y + i, d);
    }
    hp_scale(y, y, hp_inverse_root(squares, n, eps), weight, bias, n);
}

/* x[n] += bias[n], little-endian in the file; neither is padded. */
static void hp_add_bias(float *x, const uint8_t *bias, int32_t n)
{
    int32_t i;
    for (i = 0; i + HP_LANES <= n; i += HP_LANES)
        hp_vf_store(x + i, hp_vf_add(hp_vf_load(x + i), hp_vf_load_file(bias + 4 * (size_t)i)));
    for (; i < n; i++) x[i] = x[i] + hp_f32(bias + 4 * (size_t)i);
}

/* tanh(x), relative error below 3e-7, small x included: of t = x / 8, |x| <= 9, by the ratio of polynomials that the
 * continued fraction t / (1 + t^2 / (3 + t^2 / (5 + ...))) gives [Lambert 1768], then three times
 * tanh(2 t) = 2 tanh(t) / (1 + tanh(t)^2). */
static hp_vf hp_vf_tanh(hp_vf x)
{
    static const float above[] = {1.0f, 105.0f, 945.0f}, below[] = {15.0f, 420.0f, 945.0f};
    hp_vf one = hp_vf_set(1.0f), t = hp_vf_clamp(x, -9.0f, 9.0f), t2;
    int i;
    t = hp_vf_times(t, 0.125f);
    t2 = hp_vf_mul(t, t);
    t = hp_vf_div(hp_vf_mul(t, hp_vf_polynomial(t2, above, 3)), hp_vf_polynomial(t2, below, 3));
    for (i = 0; i < 3; i++) t = hp_vf_div(hp_vf_add(t, t), hp_vf_add(one, hp_vf_mul(t, t)));
    return t;
}

/* x[n] = cap tanh(x scale / cap), n rounded up to a multiple of 16: keeps numbers within +-cap, and small ones as they
 * are [Gemma 2]. */
static void hp_soft_cap(float *x, int32_t n, float scale, float cap)
{
    int32_t i;
    for (i = 0; i < n; i += HP_LANES) {
        hp_vf v = hp_vf_div(hp_vf_times(hp_vf_load(x + i), scale), hp_vf_set(cap));
        hp_vf_store(x + i, hp_vf_times(hp_vf_tanh(v), cap));
    }
}

/* x / (1 + exp(u)) is SiLU where u = -x, and GELU by tanh where u = -2 sqrt(2 / pi) (x + 0.044715 x^3) [Hendrycks and
 * Gimpel 2016]: (1 + tanh(v)) / 2 is 1 / (1 + exp(-2 v)), which keeps its precision where tanh(v) comes near to -1. */
HP_INLINE hp_vf hp_vf_gated(hp_vf x, int gelu)
{
    hp_vf u = hp_vf_sub(hp_vf_set(0.0f), x);
    if (gelu) {
        hp_vf cube = hp_vf_times(hp_vf_mul(hp_vf_mul(x, x), x), 0.044715f);
        u = hp_vf_times(hp_vf_add(x, cube), -1.59576912f);
    }
    return hp_vf_div(x, hp_vf_add(hp_vf_set(1.0f), hp_vf_exp(u)));
}

/* x Phi(x), Phi the normal distribution. With c = Phi(-|x|) = erfc(z) / 2, z = |x| / sqrt(2), it is max(x, 0) - |x| c:
 * no case to tell apart, nothing cancels. erfc(z) exp(z^2) is t times a polynomial in t = 1 / (1 + 0.4 z), found by
 * interpolation at nine Chebyshev nodes of z = 0..9.5; its relative error there is below 9e-8. */
static hp_vf hp_vf_gelu_erf(hp_vf x)
{
    static const float half_erfc[] = {0.0186919171f, -0.060917332f, 0.0232669556f, 0.0649441998f, 0.025739362f,
                                      0.102565578f,  0.0994830264f, 0.113420544f,  0.112805766f};
    hp_vf size = hp_vf_abs(x), z = hp_vf_times(size, 0.707106781f), one = hp_vf_set(1.0f);
    hp_vf t = hp_vf_div(one, hp_vf_add(one, hp_vf_times(z, 0.4f)));
    hp_vf c = hp_vf_polynomial(t, half_erfc, 9);
    c = hp_vf_mul(hp_vf_mul(c, t), hp_vf_exp(hp_vf_sub(hp_vf_set(0.0f), hp_vf_mul(z, z))));
    return hp_vf_sub(hp_vf_max(x, hp_vf_set(0.0f)), hp_vf_mul(size, c));
}

/* gpt-oss: g / (1 + exp(-1.702 g)) (u + 1), g at most 7, u within +-7. */
HP_INLINE hp_vf hp_vf_clamped(hp_vf gate, hp_vf up)
{
    hp_vf g = hp_vf_min(hp_vf_set(7.0f), gate), one = hp_vf_set(1.0f), u = hp_vf_clamp(up, -7.0f, 7.0f);
    g = hp_vf_div(g, hp_vf_add(one, hp_vf_exp(hp_vf_times(g, -1.702f))));
    return hp_vf_mul(g, hp_vf_add(u, one));
}

HP_INLINE hp_vf hp_vf_sigmoid(hp_vf x)
{
    hp_vf one = hp_vf_set(1.0f);
    return hp_vf_div(one, hp_vf_add(one, hp_vf_exp(hp_vf_sub(hp_vf_set(0.0f), x))));
}

/* y[n] = f(gate[n]) * up[n], or f(gate[n]) alone if up is NULL. y is padded; gate and up need not be. */
static void hp_activate(float *y, const float *gate, const float *up, int32_t n, hp_activation f)
{
    int32_t i;
    for (i = 0; i < n; i += HP_LANES) {
        int32_t m = hp_min(n - i, HP_LANES);
        hp_vf g = hp_vf_load_first(gate + i, m);
        if (HP_SPECIAL && f == HP_CLAMPED) {
            hp_vf_store(y + i, hp_vf_clamped(g, hp_vf_load_first(up + i, m)));
            continue;
        }
        if (HP_SPECIAL && f == HP_SIGMOID) {
            hp_vf_store(y + i, hp_vf_mul(hp_vf_sigmoid(g), hp_vf_load_first(up + i, m)));
            continue;
        }
        g = f == HP_GELU_ERF ? hp_vf_gelu_erf(g) : hp_vf_gated(g, f == HP_GELU_TANH);
        if (up) g = hp_vf_mul(g, hp_vf_load_first(up + i, m));
        hp_vf_store(y + i, g);
    }
}

/* Sixteen columns at a time, which stay in the nearest cache from the first loop over them to the second. */
static void hp_update_state(const hp_update *u)
{
    hp_vf decay = hp_vf_set(u->decay), beta = hp_vf_set(u->beta);
    int32_t c, i;
    for (c = 0; c < u->cols; c += HP_LANES) {
        hp_vf known = hp_vf_set(0.0f), out = known, change;
        float *state = u->state + c;
        for (i = 0; i < u->rows; i++, state += u->cols) {
            hp_vf x = hp_vf_mul(hp_vf_load(state), decay);
            hp_vf_store(state, x);
            known = hp_vf_add(known, hp_vf_times(x, u->k[i]));
        }
        change = hp_vf_mul(beta, hp_vf_sub(hp_vf_load(u->v + c), known));
        for (i = 0, state = u->state + c; i < u->rows; i++, state += u->cols) {
            hp_vf x = hp_vf_add(hp_vf_load(state), hp_vf_times(change, u->k[i]));
            hp_vf_store(state, x);
            if (u->q) out = hp_vf_add(out, hp_vf_times(x, u->q[i]));
        }
        if (u->q) hp_vf_store(u->out + c, out);
    }
}

/* ---- Products with float activations ---- */

/* The sixteen weights of input c, and what they are to be scaled with in the end (floats: 1, which changes nothing). */
HP_INLINE hp_vf hp_tile_weights(const hp_matrix *m, const uint8_t *w, int32_t c)
{
    hp_vi four;
    if (hp_has_floats(m)) return hp_vf_load_file(w + 4 * HP_LANES * (size_t)c);
    if (hp_has_nibbles(m)) {
        float x[HP_LANES];
        int i;
        for (i = 0; i < HP_LANES; i++) x[i] = (float)hp_nibble_weight(m->table, w, (size_t)c, (size_t)i);
        return hp_vf_load(x);
    }
    four = hp_vi_load_file(w + 4 * HP_LANES * (size_t)(c / 4)); /* four inputs of each lane: byte c % 4 is wanted */
    return hp_vf_from_vi(hp_vi_shift_right(hp_vi_shift_left(four, 24 - c % 4 * 8), 24));
}

HP_INLINE hp_vf hp_tile_scale(const hp_matrix *m, const uint8_t *tile, int32_t group)
{
    return hp_has_floats(m) ? hp_vf_set(1.0f) : hp_vf_load_half(tile + 2 * HP_LANES * (size_t)group);
}

/* A tile times one row of float activations: within a group weight * x is summed in input order, then scaled. */
static void hp_tile_f32(const hp_matrix *m, int32_t index, const float *x, float *out)
{
    const uint8_t *tile = m->tiles + (size_t)index * m->tile_bytes, *w = tile + m->scale_bytes;
    hp_vf total = hp_vf_set(0.0f);
    int32_t g, c;
    for (g = 0; g < m->groups; g++) {
        hp_vf sum = hp_vf_set(0.0f);
        for (c = g * HP_GROUP; c < (g + 1) * HP_GROUP; c++)
            sum = hp_vf_add(sum, hp_vf_times(hp_tile_weights(m, w, c), x[c]));
        total = hp_vf_add(total, hp_vf_mul(sum, hp_tile_scale(m, tile, g)));
    }
    hp_vf_store(out + (size_t)index * HP_LANES, total);
}

#endif /* HP_MAKE_LANES */

/* ---- Products of int8 ---- */

/* Rounds x[groups * 32] to int8 in groups, the results `apart` groups from one another (hp_operand): scale = largest
 * size / 127, q = round(x * (127 / largest size)) in [-127, 127]. A group of zeros, or of numbers below 1e-30, becomes
 * zeros with scale 0. int8 has no NaN and no infinity: if one is among the numbers, the first scale becomes NaN, and so
 * do all products of the row. The scaled numbers, at most 127 in size, are added up to see it. */
static void hp_quantize(int8_t *q, float *scales, int32_t *starts, const float *x, int32_t groups, size_t apart)
{
    hp_vf seen = hp_vf_set(0.0f);
    float *first = scales;
    int32_t g;
    for (g = 0; g < groups; g++, x += HP_GROUP, q += HP_GROUP * apart, scales += apart, starts += apart) {
        hp_vf a = hp_vf_load(x), b = hp_vf_load(x + HP_LANES);
        float top = hp_vf_top(hp_vf_max(hp_vf_abs(a), hp_vf_abs(b)));
        float inverse = top > 1e-30f ? 127.0f / top : 0.0f; /* of infinity: 0, and infinity times 0 is NaN */
        hp_vi sums;
        *scales = top > 1e-30f ? top / 127.0f : 0.0f;
        a = hp_vf_times(a, inverse), b = hp_vf_times(b, inverse);
        seen = hp_vf_add(seen, hp_vf_add(a, b));
        hp_vi_store_bytes(q, hp_vf_round(a));
        hp_vi_store_bytes(q + HP_LANES, hp_vf_round(b));
        sums = hp_vi_add(hp_vi_load_bytes((const uint8_t *)q), hp_vi_load_bytes((const uint8_t *)q + HP_LANES));
        *starts = HP_DOT_OFFSET ? -HP_DOT_OFFSET * hp_vi_sum(sums) : 0;
    }
    if (!hp_is_finite(hp_vf_sum(seen))) *first = hp_float(0x7FC00000u);
}

/* A set with an instruction for several rows at once takes such blocks first: sum[r] = w[32][16] . x[r][32] for the r
 * below what it returns. The group after this one, if there is one (`more`), follows at once in w and in x, and its
 * product may be begun early; `first` says that nothing was begun. */
#ifndef HP_BLOCK_ROWS
#define HP_BLOCK_ROWS HP_ROWS_AT_ONCE
#endif
#ifndef HP_BLOCK_DOTS
#define HP_BLOCK_DOTS(sum, w, x, rows, first, more) 0
#endif
#ifndef HP_BLOCKS_BEGIN
#define HP_BLOCKS_BEGIN()
#define HP_BLOCKS_END()
#endif

/* Tiles times rows, int8: sixteen of each row's outputs from each tile (rule R2). The weights are loaded once for all
 * the rows, which are in one block of inputs; the tiles, one for each place, lie `apart` tiles from one another, and
 * what lies `ahead` bytes behind the weights at hand is asked for, unless that is HP_ASK_NOT. Where inputs are skipped,
 * the sums go on from those that are in `out`. Numeric contract: weights in [-128, 127], activations in [-127, 127], so
 * a group's sum is below 2^20 in size. Nibbles are expanded in registers. */
HP_INLINE void hp_tiles_int8(const hp_matrix *m, int32_t first, int32_t apart, int tiles, int nibbles, size_t ahead,
                             const hp_operand *in, size_t row, int rows, float *const *out)
{
    size_t groups = (size_t)m->groups, next = hp_rows_in_block(row, in->rows), g, skip = HP_NIBBLES ? in->skip : 0;
    size_t at = hp_first_group(row, skip + groups + (HP_NIBBLES ? in->left : 0)) + skip * next;
    size_t scale_bytes = m->scale_bytes, distance = (size_t)apart * m->tile_bytes;
    size_t group_bytes = nibbles ? HP_NIBBLE_GROUP_BYTES : HP_TILE_GROUP_BYTES;
    const uint8_t *first_tile = m->tiles + (size_t)first * m->tile_bytes;
    const int8_t *x = in->q + HP_GROUP * at;
    const float *scales = in->scales + at;
    const int32_t *starts = in->starts + at;
    int asks = row == 0 && (!HP_NIBBLES || ahead != HP_ASK_NOT); /* later rows find the tile in a cache */
    hp_vf total[HP_PLACES][HP_BLOCK_ROWS];
    hp_vt table = hp_vt_load(nibbles ? m->table : first_tile); /* of int8 nothing is looked up */
    int t, r, j, done;
    for (t = 0; t < tiles; t++) {
        size_t output = (size_t)(first + t * apart) * HP_LANES;
        HP_UNROLL for (r = 0; r < rows; r++)
            total[t][r] = skip > 0 ? hp_vf_load(out[row + (size_t)r] + output) : hp_vf_set(0.0f);
    }
    for (g = 0; g < groups; g++, x += HP_GROUP * next, scales += next, starts += next)
        for (t = 0; t < tiles; t++) {
            const uint8_t *tile = first_tile + (size_t)t * distance;
            const uint8_t *w = tile + scale_bytes + group_bytes * g;
            const uint8_t *next_lines = w + 2 * HP_LANES * g + (HP_NIBBLES && !asks ? 0 : ahead);
            hp_vf scale = hp_vf_load_half(tile + 2 * HP_LANES * g);
            hp_vi sum[HP_BLOCK_ROWS];
            hp_vw weights[2];
            HP_UNROLL for (r = 0; r < rows; r++) sum[r] = hp_vi_set(HP_DOT_OFFSET ? starts[r] : 0);
            done = nibbles ? 0 : HP_BLOCK_DOTS(sum, w, x, rows, g == 0, g + 1 < groups);
            HP_UNROLL for (j = 0; j < HP_GROUP / 4; j++) {
                size_t line = (size_t)(nibbles ? j / 2 : j) * 4 * HP_LANES;
                int k = nibbles ? j % 2 : 0;
                if (!nibbles) weights[0] = hp_vw_load(w + line);
                else if (j % 2 == 0) hp_vw_expand(weights, w + line, table);
                if (asks && (!nibbles || j % 2 == 0)) hp_ask(next_lines + line, tiles);
                HP_UNROLL for (r = done; r < rows; r++)
                    sum[r] = hp_vi_dot4(sum[r], weights[k], x + HP_GROUP * r + 4 * j);
            }
            if (asks) hp_ask(next_lines + group_bytes, tiles);
            HP_UNROLL for (r = 0; r < rows; r++)
                total[t][r] = hp_vf_add(total[t][r], hp_vf_mul(hp_vf_from_vi(sum[r]), hp_vf_times(scale, scales[r])));
        }
    for (t = 0; t < tiles; t++) {
        HP_UNROLL for (r = 0; r < rows; r++)
            hp_vf_store(out[row + (size_t)r] + (size_t)(first + t * apart) * HP_LANES, total[t][r]);
    }
}

/* The same for 1 to `most` rows, HP_ROWS_AT_ONCE or fewer. The number is a constant in each call, so that the sums of
 * all rows stay in registers; `most` is one, too, so that no more kernels are made than it says. */
#define HP_IF_ROWS(n) \
    if (n <= most && rows == n) \
        hp_tiles_int8(m, first, apart, tiles, nibbles, ahead, in, row, n <= HP_ROWS_AT_ONCE ? n : 1, out)
HP_INLINE void hp_tiles_rows(const hp_matrix *m, int32_t first, int32_t apart, int tiles, int nibbles, size_t ahead,
                             const hp_operand *in, size_t row, int rows, int most, float *const *out)
{
    HP_IF_ROWS(1);
    else HP_IF_ROWS(2);
    else HP_IF_ROWS(3);
    else HP_IF_ROWS(4);
    else HP_IF_ROWS(5);
    else HP_IF_ROWS(6);
    else HP_IF_ROWS(7);
    else HP_IF_ROWS(8);
}
#undef HP_IF_ROWS

#ifdef HP_MAKE_FEW
/* One tile times n rows, at most HP_ROWS_AT_ONCE. */
static void hp_tile_few(const hp_matrix *m, int32_t tile, size_t ahead, const hp_operand *in, int32_t row, int32_t n,
                        float *const *out)
{
    hp_tiles_rows(m, tile, 0, 1, 0, ahead, in, (size_t)row, n, HP_ROWS_AT_ONCE, out);
}
#endif

/* One tile times all rows, with HP_BLOCK_ROWS or fewer of them at a time. */
static void hp_tile_rows(const hp_matrix *m, int32_t tile, size_t ahead, const hp_operand *in, float *const *out)
{
    int32_t rows = (int32_t)in->rows, row, n;
    for (row = 0; row < rows; row += n) {
        n = rows - row >= HP_BLOCK_ROWS ? HP_BLOCK_ROWS : hp_min(rows - row, HP_ROWS_AT_ONCE);
        if (!in->q) hp_tile_f32(m, tile, in->x + (size_t)row * in->stride, out[row]), n = 1;
        else if (n > HP_ROWS_AT_ONCE) hp_tiles_int8(m, tile, 0, 1, 0, ahead, in, (size_t)row, HP_BLOCK_ROWS, out);
        else hp_tile_few(m, tile, ahead, in, row, n, out);
    }
}

/* The same for nibbles and many rows, which share what is expanded once: some groups at a time become int8, in memory
 * that stays in the nearest cache and that every tile of `part` is. */
static void hp_tile_expanded(const hp_matrix *m, int32_t tile, size_t ahead, const hp_operand *in, float *const *out)
{
    uint8_t int8[HP_EXPANDED_GROUPS * (2 * HP_LANES + HP_TILE_GROUP_BYTES)];
    const uint8_t *scales = m->tiles + (size_t)tile * m->tile_bytes, *w = scales + m->scale_bytes;
    hp_vt table = hp_vt_load(m->table);
    hp_operand some = *in;
    hp_matrix part = *m;
    int32_t left, i;
    part.tiles = int8, part.tile_bytes = 0, part.table = NULL;
    for (left = m->groups; left > 0; left -= part.groups, some.skip += (size_t)part.groups) {
        part.groups = hp_min(left, HP_EXPANDED_GROUPS), some.left = (size_t)(left - part.groups);
        part.scale_bytes = (size_t)part.groups * 2 * HP_LANES;
        memcpy(int8, scales, part.scale_bytes), scales += part.scale_bytes;
        for (i = 0; i < part.groups * (HP_NIBBLE_GROUP_BYTES / 64); i++, w += 64) {
            hp_ask(w + ahead, 1);
            hp_expand_bytes(int8 + part.scale_bytes + 128 * (size_t)i, w, table);
        }
        hp_tile_rows(&part, tile, HP_ASK_NOT, &some, out);
    }
}

#ifdef HP_MAKE_FEW
/* Few rows, for which memory sets the pace: tiles may be read in several places, if there are registers for it, and
 * nibbles are expanded in registers, if there is an instruction. */
static void hp_matmul_few(const hp_matrix *m, int32_t first, int32_t last, const hp_operand *in, const hp_way *way,
                          float *const *out)
{
    int32_t rows = (int32_t)in->rows, t = first, apart, i;
    int several = HP_ROWS_AT_ONCE >= HP_FEW_ROWS && way->places > 1, nibbles = hp_has_nibbles(m);
    while (several && last - t >= HP_PLACES) {
        apart = hp_min(last - t, HP_NEAR) / HP_PLACES;
        for (i = t; i < t + apart; i++)
            if (nibbles) hp_tiles_rows(m, i, apart, HP_PLACES, 1, way->ahead, in, 0, rows, HP_FEW_ROWS, out);
            else hp_tiles_rows(m, i, apart, HP_PLACES, 0, way->ahead, in, 0, rows, HP_FEW_ROWS, out);
        t += HP_PLACES * apart;
    }
    for (; t < last; t++) {
        if (!nibbles) hp_tile_few(m, t, way->ahead, in, 0, rows, out);
        else if (HP_NIBBLE_ROWS) hp_tiles_rows(m, t, 0, 1, 1, way->ahead, in, 0, rows, HP_NIBBLE_ROWS, out);
        else hp_tile_expanded(m, t, way->ahead, in, out);
    }
}
#endif

/* out[r][] = inputs[r][cols] . matrix[][cols]^T for each row r, for the tiles first..last-1. A tile is read from
 * memory once and stays in the nearest caches while all rows of the pass are multiplied with it. */
static void hp_matmul(const hp_matrix *m, int32_t first, int32_t last, const hp_operand *in, const hp_way *way,
                      float *const *out)
{
    int32_t t;
    if (in->q && in->rows <= HP_ROWS_AT_ONCE) {
        hp_matmul_few(m, first, last, in, way, out);
        return;
    }
    HP_BLOCKS_BEGIN();
    for (t = first; t < last; t++)
        if (in->q && hp_has_nibbles(m)) hp_tile_expanded(m, t, way->ahead, in, out);
        else hp_tile_rows(m, t, way->ahead, in, out);
    HP_BLOCKS_END();
}

static const hp_kernels hp_kernels_of_set = {
    HP_STRING(HP_SET), HP_FEW_ROWS, hp_rmsnorm, hp_add_to, hp_rope, hp_quantize, hp_matmul, hp_weighted_sums,
    hp_softmax_weights, hp_measure_spread, hp_layernorm, hp_add_bias, hp_soft_cap, hp_activate,
    HP_SPECIAL ? hp_update_state : NULL,
};

#undef HP_READ_KERNELS
#undef HP_SET
#undef HP_LANES_OF
#undef HP_MAKE_LANES
#undef HP_FEW_OF
#undef HP_MAKE_FEW
#undef HP_REGISTERS
#undef HP_FLOATS
#undef HP_INTEGERS
#undef HP_MM
#undef HP_SI
#undef HP_FOUR_TIMES
#undef HP_OF_BYTES
#undef HP_AND
#undef HP_XOR
#undef HP_LOW_NIBBLES
#undef HP_HIGH_NIBBLES
#undef HP_LOAD_FLOATS
#undef HP_LOAD_INTEGERS
#undef HP_LOAD_WEIGHTS
#undef HP_LOAD_HALVES
#undef HP_LOAD_BYTES
#undef HP_STORE_INTEGERS
#undef HP_SHIFT_LEFT
#undef HP_SHIFT_RIGHT
#undef HP_MAX
#undef HP_MIN
#undef HP_LOAD_HALF_REGISTER
#undef HP_LOAD_QUARTER_REGISTER
#undef HP_DPBUSD
#undef HP_NEON_DOT
#undef HP_DOT_OFFSET
#undef HP_ROWS_AT_ONCE
#undef HP_BLOCK_ROWS
#undef HP_BLOCK_DOTS
#undef HP_BLOCKS_BEGIN
#undef HP_BLOCKS_END
#undef HP_NIBBLE_ROWS
#undef HP_EXPANDED_GROUPS
#endif

/* ================================================================================================================
 * [CH08] Instruction sets
 *
 * The lanes again, in registers. Each set below defines the vocabulary of [CH06], mostly one instruction to a line,
 * and has [CH07] read again under its name. A pragma lets the compiler use the set's instructions there and nowhere
 * else, so that no compiler flag is needed and one binary serves all machines of a family; hp_find_kernels asks the
 * processor which sets it has. Sets with the same lanes share what does not multiply int8, which makes the code of all
 * of them a third smaller. What no set may do is round otherwise than plain C: that is why products and sums stay apart
 * (rule R4), although most of these machines could fuse them.
 *
 * The heart is dot4. Its exact definition suits the machines differently:
 *   AVX-512 VNNI, AVX-VNNI   one instruction, unsigned times signed: the weights become w + 128 (their sign bit is
 *                            flipped), and a sum begins at -128 * (sum of the activations) to make up for it
 *   AMX                      one instruction, signed, for a whole group of 16 rows; as AVX-512 VNNI for fewer rows
 *   AVX2, SSSE3              unsigned times signed too, but with pairs added in 16 bits, which w + 128 would overflow:
 *                            |w| times (x with the sign of w): at most 128 * 127 * 2 = 32512 < 32767
 *   SSE2, WebAssembly        bytes are widened to 16 bits, products added in pairs to 32
 *   NEON                     one instruction, signed, where there are dot products, with i8mm for two rows at once;
 *                            else products in 16 bits, at most 128 * 127 * 2 for a pair, added to 32
 * ============================================================================================================== */

#define HP_EACH_REGISTER HP_UNROLL for (i = 0; i < HP_REGISTERS; i++)

/* Of these a set's table is made: `op`, mostly one instruction, for each register, of two vectors, of one, of a number,
 * from `count` numbers of type `of` in memory, to sixteen there, or of a vector and a distance. */
#define HP_IN_REGISTERS(name, type, op)                                                                               \
    HP_INLINE type name(type a, type b)                                                                               \
    {                                                                                                                 \
        int i;                                                                                                        \
        HP_EACH_REGISTER a.r[i] = op(a.r[i], b.r[i]);                                                                 \
        return a;                                                                                                     \
    }

#define HP_FROM_REGISTERS(name, to, from, op)                                                                         \
    HP_INLINE to name(from a)                                                                                         \
    {                                                                                                                 \
        to v;                                                                                                         \
        int i;                                                                                                        \
        HP_EACH_REGISTER v.r[i] = op(a.r[i]);                                                                         \
        return v;                                                                                                     \
    }

#define HP_TO_REGISTERS(name, type, of, op)                                                                           \
    HP_INLINE type name(of x)                                                                                         \
    {                                                                                                                 \
        type v;                                                                                                       \
        int i;                                                                                                        \
        HP_EACH_REGISTER v.r[i] = op(x);                                                                              \
        return v;                                                                                                     \
    }

#define HP_LOAD_REGISTERS(name, type, of, count, op)                                                                  \
    HP_INLINE type name(const of *p)                                                                                  \
    {                                                                                                                 \
        type v;                                                                                                       \
        int i;                                                                                                        \
        HP_EACH_REGISTER v.r[i] = op(p + i * count / HP_REGISTERS);                                                   \
        return v;                                                                                                     \
    }

#define HP_STORE_REGISTERS(name, type, of, op)                                                                        \
    HP_INLINE void name(of *p, type v)                                                                                \
    {                                                                                                                 \
        int i;                                                                                                        \
        HP_EACH_REGISTER op(p + i * HP_LANES / HP_REGISTERS, v.r[i]);                                                 \
    }

#define HP_SHIFT_REGISTERS(name, op)                                                                                  \
    HP_INLINE hp_vi name(hp_vi a, int n)                                                                              \
    {                                                                                                                 \
        int i;                                                                                                        \
        HP_EACH_REGISTER a.r[i] = op(a.r[i], n);                                                                      \
        return a;                                                                                                     \
    }

/* ---- What the x86 sets share: they differ in the width of a register, which is in the names of intrinsics ---- */

#ifdef HP_READ_X86_LANES
#undef HP_READ_X86_LANES

#if HP_REGISTERS == 1
#define HP_FLOATS __m512
#define HP_INTEGERS __m512i
#define HP_MM(op) HP_GLUE(_mm512, op)
#define HP_SI si512
#define HP_FOUR_TIMES _mm512_broadcast_i32x4
#define HP_LOAD_HALF_REGISTER(p) _mm256_loadu_si256((const void *)(p))
#define HP_LOAD_QUARTER_REGISTER(p) _mm_loadu_si128((const void *)(p))
#elif HP_REGISTERS == 2
#define HP_FLOATS __m256
#define HP_INTEGERS __m256i
#define HP_MM(op) HP_GLUE(_mm256, op)
#define HP_SI si256
#define HP_FOUR_TIMES _mm256_broadcastsi128_si256
#define HP_LOAD_HALF_REGISTER(p) _mm_loadu_si128((const void *)(p))
#define HP_LOAD_QUARTER_REGISTER(p) _mm_loadl_epi64((const void *)(p))
#else
#define HP_FLOATS __m128
#define HP_INTEGERS __m128i
#define HP_MM(op) HP_GLUE(_mm, op)
#define HP_SI si128
#define HP_FOUR_TIMES(x) x
#endif

typedef struct hp_vf {
    HP_FLOATS r[HP_REGISTERS];
} hp_vf;

typedef struct hp_vi {
    HP_INTEGERS r[HP_REGISTERS];
} hp_vi;

HP_IN_REGISTERS(hp_vf_add, hp_vf, HP_MM(_add_ps))
HP_IN_REGISTERS(hp_vf_sub, hp_vf, HP_MM(_sub_ps))
HP_IN_REGISTERS(hp_vf_mul, hp_vf, HP_MM(_mul_ps))
HP_IN_REGISTERS(hp_vf_div, hp_vf, HP_MM(_div_ps))
HP_IN_REGISTERS(hp_vf_max, hp_vf, HP_MM(_max_ps)) /* a > b ? a : b, as the plain one */
HP_IN_REGISTERS(hp_vf_min, hp_vf, HP_MM(_min_ps))
HP_IN_REGISTERS(hp_vi_add, hp_vi, HP_MM(_add_epi32))
HP_IN_REGISTERS(hp_vi_sub, hp_vi, HP_MM(_sub_epi32))

#define HP_LOAD_FLOATS(p) HP_MM(_loadu_ps)((const void *)(p))
#define HP_LOAD_INTEGERS(p) HP_MM(HP_GLUE(_loadu_, HP_SI))((const void *)(p))
#define HP_STORE_INTEGERS(p, v) HP_MM(HP_GLUE(_storeu_, HP_SI))((void *)(p), v)
#define HP_SHIFT_LEFT(a, n) HP_MM(_sll_epi32)(a, _mm_cvtsi32_si128(n))
#define HP_SHIFT_RIGHT(a, n) HP_MM(_sra_epi32)(a, _mm_cvtsi32_si128(n))
HP_TO_REGISTERS(hp_vf_set, hp_vf, float, HP_MM(_set1_ps))
HP_TO_REGISTERS(hp_vi_set, hp_vi, int32_t, HP_MM(_set1_epi32))
HP_LOAD_REGISTERS(hp_vf_load, hp_vf, float, 16, HP_LOAD_FLOATS)
HP_LOAD_REGISTERS(hp_vf_load_file, hp_vf, uint8_t, 64, HP_LOAD_FLOATS) /* little-endian machines; may be unaligned */
HP_LOAD_REGISTERS(hp_vi_load_file, hp_vi, uint8_t, 64, HP_LOAD_INTEGERS)
HP_STORE_REGISTERS(hp_vf_store, hp_vf, float, HP_MM(_storeu_ps))
HP_STORE_REGISTERS(hp_vi_store, hp_vi, int32_t, HP_STORE_INTEGERS)
HP_FROM_REGISTERS(hp_vf_from_vi, hp_vf, hp_vi, HP_MM(_cvtepi32_ps))
HP_FROM_REGISTERS(hp_vf_of_bits, hp_vf, hp_vi, HP_MM(HP_GLUE(HP_GLUE(_cast, HP_SI), _ps)))
HP_FROM_REGISTERS(hp_vi_of_bits, hp_vi, hp_vf, HP_MM(HP_GLUE(_castps_, HP_SI)))
HP_SHIFT_REGISTERS(hp_vi_shift_left, HP_SHIFT_LEFT)
HP_SHIFT_REGISTERS(hp_vi_shift_right, HP_SHIFT_RIGHT)

#if HP_REGISTERS < 4 /* from AVX2 on there are instructions that convert while they load */
#define HP_LOAD_HALVES(p) HP_MM(_cvtph_ps)(HP_LOAD_HALF_REGISTER(p))
#define HP_LOAD_BYTES(p) HP_MM(_cvtepi8_epi32)(HP_LOAD_QUARTER_REGISTER(p))
HP_LOAD_REGISTERS(hp_vf_load_half, hp_vf, uint8_t, 32, HP_LOAD_HALVES)
HP_LOAD_REGISTERS(hp_vi_load_bytes, hp_vi, uint8_t, 16, HP_LOAD_BYTES)
#endif

#if HP_REGISTERS == 4 /* before that it takes several */
HP_INLINE hp_vf hp_vf_load_half(const uint8_t *p) /* a half's bits, shifted to a float's place, are off by 2^112 */
{
    hp_vf v;
    int i;
    HP_EACH_REGISTER {
        __m128i h = _mm_unpacklo_epi16(_mm_loadl_epi64((const void *)(p + 8 * i)), _mm_setzero_si128());
        __m128i sign = _mm_slli_epi32(_mm_and_si128(h, _mm_set1_epi32(0x8000)), 16);
        __m128i size = _mm_slli_epi32(_mm_and_si128(h, _mm_set1_epi32(0x7FFF)), 13), top = _mm_set1_epi32(0x7F800000);
        __m128i special = _mm_cmpgt_epi32(size, _mm_set1_epi32(0x0F7FFFFF)); /* infinite or NaN: keeps its fraction */
        __m128 x = _mm_mul_ps(_mm_castsi128_ps(size), _mm_castsi128_ps(_mm_set1_epi32(0x77800000)));
        x = _mm_or_ps(x, _mm_castsi128_ps(_mm_and_si128(special, _mm_or_si128(size, top))));
        v.r[i] = _mm_or_ps(x, _mm_castsi128_ps(sign));
    }
    return v;
}

HP_INLINE hp_vi hp_vi_load_bytes(const uint8_t *p)
{
    hp_vi v;
    int i;
    HP_EACH_REGISTER {
        __m128i b = _mm_cvtsi32_si128(hp_four_bytes(p + 4 * i)), twice = _mm_unpacklo_epi8(b, b);
        v.r[i] = _mm_srai_epi32(_mm_unpacklo_epi16(twice, twice), 24);
    }
    return v;
}
#endif

#if HP_REGISTERS == 1 /* what [CH07] does with the help of memory */
HP_INLINE float hp_vf_top(hp_vf a)
{
    __m512 x = _mm512_max_ps(a.r[0], _mm512_shuffle_f32x4(a.r[0], a.r[0], 0x4E)); /* 8 apart, 4, 2, 1 */
    x = _mm512_max_ps(x, _mm512_shuffle_f32x4(x, x, 0xB1));
    x = _mm512_max_ps(x, _mm512_permute_ps(x, 0x4E));
    x = _mm512_max_ps(x, _mm512_permute_ps(x, 0xB1));
    return _mm512_cvtss_f32(x);
}

HP_INLINE void hp_vi_store_bytes(int8_t *p, hp_vi a)
{
    _mm_storeu_si128((void *)p, _mm512_cvtepi32_epi8(a.r[0]));
}
#endif

#if HP_NIBBLE_ROWS
typedef struct hp_vt { /* in each 128 bits; the values as hp_vi_dot4 takes them */
    HP_INTEGERS r;
} hp_vt;

#define HP_OF_BYTES(x) HP_MM(_set1_epi8)((char)(x))
#define HP_AND HP_MM(HP_GLUE(_and_, HP_SI))
#define HP_XOR HP_MM(HP_GLUE(_xor_, HP_SI))
#define HP_LOW_NIBBLES(two, t) HP_MM(_shuffle_epi8)(t.r, HP_AND(two, HP_OF_BYTES(15)))
#define HP_HIGH_NIBBLES(two, t) HP_LOW_NIBBLES(HP_MM(_srli_epi16)(two, 4), t)
HP_INLINE hp_vt hp_vt_load(const uint8_t *p)
{
    hp_vt t;
    t.r = HP_XOR(HP_FOUR_TIMES(_mm_loadu_si128((const void *)p)), HP_OF_BYTES(HP_DOT_OFFSET));
    return t;
}

HP_INLINE void hp_expand_bytes(uint8_t *to, const uint8_t *p, hp_vt t)
{
    hp_vi two = hp_vi_load_file(p);
    int i;
    HP_EACH_REGISTER {
        uint8_t *at = to + i * 64 / HP_REGISTERS;
        HP_STORE_INTEGERS(at, HP_XOR(HP_LOW_NIBBLES(two.r[i], t), HP_OF_BYTES(HP_DOT_OFFSET)));
        HP_STORE_INTEGERS(at + 64, HP_XOR(HP_HIGH_NIBBLES(two.r[i], t), HP_OF_BYTES(HP_DOT_OFFSET)));
    }
}
#endif

#if HP_DOT_OFFSET /* the sets with VNNI */
typedef struct hp_vw { /* w + 128, unsigned */
    HP_INTEGERS r[HP_REGISTERS];
} hp_vw;

HP_INLINE void hp_vw_expand(hp_vw pair[2], const uint8_t *p, hp_vt t)
{
    hp_vi two = hp_vi_load_file(p);
    int i;
    HP_EACH_REGISTER pair[0].r[i] = HP_LOW_NIBBLES(two.r[i], t), pair[1].r[i] = HP_HIGH_NIBBLES(two.r[i], t);
}

HP_INLINE hp_vw hp_vw_load(const uint8_t *p)
{
    hp_vi v = hp_vi_load_file(p);
    hp_vw w;
    int i;
    HP_EACH_REGISTER w.r[i] = HP_MM(HP_GLUE(_xor_, HP_SI))(v.r[i], HP_MM(_set1_epi8)((char)-128));
    return w;
}

HP_INLINE hp_vi hp_vi_dot4(hp_vi a, hp_vw w, const int8_t *x)
{
    int i;
    HP_EACH_REGISTER a.r[i] = HP_MM(HP_DPBUSD)(a.r[i], w.r[i], HP_MM(_set1_epi32)(hp_four_bytes(x)));
    return a;
}
#elif HP_NIBBLE_ROWS /* the sets that add pairs of bytes */
typedef struct hp_vw { /* the weights, and their sizes */
    HP_INTEGERS w[HP_REGISTERS], size[HP_REGISTERS];
} hp_vw;

HP_INLINE hp_vw hp_vw_load(const uint8_t *p)
{
    hp_vi v = hp_vi_load_file(p);
    hp_vw w;
    int i;
    HP_EACH_REGISTER w.w[i] = v.r[i], w.size[i] = HP_MM(_abs_epi8)(v.r[i]);
    return w;
}

HP_INLINE void hp_vw_expand(hp_vw pair[2], const uint8_t *p, hp_vt t)
{
    hp_vi two = hp_vi_load_file(p);
    int i;
    HP_EACH_REGISTER {
        pair[0].w[i] = HP_LOW_NIBBLES(two.r[i], t), pair[0].size[i] = HP_MM(_abs_epi8)(pair[0].w[i]);
        pair[1].w[i] = HP_HIGH_NIBBLES(two.r[i], t), pair[1].size[i] = HP_MM(_abs_epi8)(pair[1].w[i]);
    }
}

HP_INLINE hp_vi hp_vi_dot4(hp_vi a, hp_vw w, const int8_t *x)
{
    HP_INTEGERS four = HP_MM(_set1_epi32)(hp_four_bytes(x)), ones = HP_MM(_set1_epi16)(1);
    int i;
    HP_EACH_REGISTER {
        HP_INTEGERS pairs = HP_MM(_maddubs_epi16)(w.size[i], HP_MM(_sign_epi8)(four, w.w[i]));
        a.r[i] = HP_MM(_add_epi32)(a.r[i], HP_MM(_madd_epi16)(pairs, ones));
    }
    return a;
}
#endif
#endif

/* ---- What the sets of 64-bit ARM share ---- */

#ifdef HP_READ_NEON_LANES
#undef HP_READ_NEON_LANES

typedef struct hp_vf {
    float32x4_t r[HP_REGISTERS];
} hp_vf;

typedef struct hp_vi {
    int32x4_t r[HP_REGISTERS];
} hp_vi;

typedef struct hp_vw {
    int8x16_t r[HP_REGISTERS];
} hp_vw;

HP_IN_REGISTERS(hp_vf_add, hp_vf, vaddq_f32)
HP_IN_REGISTERS(hp_vf_sub, hp_vf, vsubq_f32)
HP_IN_REGISTERS(hp_vf_mul, hp_vf, vmulq_f32)
HP_IN_REGISTERS(hp_vf_div, hp_vf, vdivq_f32)
HP_IN_REGISTERS(hp_vi_add, hp_vi, vaddq_s32)
HP_IN_REGISTERS(hp_vi_sub, hp_vi, vsubq_s32)

#define HP_MAX(a, b) vbslq_f32(vcgtq_f32(a, b), a, b) /* vmaxq would let a NaN win */
#define HP_MIN(a, b) vbslq_f32(vcltq_f32(a, b), a, b)
#define HP_LOAD_FLOATS(p) vreinterpretq_f32_u8(vld1q_u8(p))
#define HP_LOAD_INTEGERS(p) vreinterpretq_s32_u8(vld1q_u8(p))
#define HP_LOAD_WEIGHTS(p) vreinterpretq_s8_u8(vld1q_u8(p))
#define HP_LOAD_HALVES(p) vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)))
#define HP_SHIFT_LEFT(a, n) vshlq_s32(a, vdupq_n_s32(n))
#define HP_SHIFT_RIGHT(a, n) vshlq_s32(a, vdupq_n_s32(-(n)))
HP_IN_REGISTERS(hp_vf_max, hp_vf, HP_MAX)
HP_IN_REGISTERS(hp_vf_min, hp_vf, HP_MIN)
HP_TO_REGISTERS(hp_vf_set, hp_vf, float, vdupq_n_f32)
HP_TO_REGISTERS(hp_vi_set, hp_vi, int32_t, vdupq_n_s32)
HP_LOAD_REGISTERS(hp_vf_load, hp_vf, float, 16, vld1q_f32)
HP_LOAD_REGISTERS(hp_vf_load_file, hp_vf, uint8_t, 64, HP_LOAD_FLOATS)
HP_LOAD_REGISTERS(hp_vi_load_file, hp_vi, uint8_t, 64, HP_LOAD_INTEGERS)
HP_LOAD_REGISTERS(hp_vw_load, hp_vw, uint8_t, 64, HP_LOAD_WEIGHTS)
HP_LOAD_REGISTERS(hp_vf_load_half, hp_vf, uint8_t, 32, HP_LOAD_HALVES)
HP_STORE_REGISTERS(hp_vf_store, hp_vf, float, vst1q_f32)
HP_STORE_REGISTERS(hp_vi_store, hp_vi, int32_t, vst1q_s32)
HP_FROM_REGISTERS(hp_vf_from_vi, hp_vf, hp_vi, vcvtq_f32_s32)
HP_FROM_REGISTERS(hp_vf_of_bits, hp_vf, hp_vi, vreinterpretq_f32_s32)
HP_FROM_REGISTERS(hp_vi_of_bits, hp_vi, hp_vf, vreinterpretq_s32_f32)
HP_SHIFT_REGISTERS(hp_vi_shift_left, HP_SHIFT_LEFT)
HP_SHIFT_REGISTERS(hp_vi_shift_right, HP_SHIFT_RIGHT)

HP_INLINE hp_vi hp_vi_load_bytes(const uint8_t *p)
{
    int8x16_t b = vreinterpretq_s8_u8(vld1q_u8(p));
    int16x8_t low = vmovl_s8(vget_low_s8(b)), high = vmovl_s8(vget_high_s8(b));
    hp_vi v;
    v.r[0] = vmovl_s16(vget_low_s16(low)), v.r[1] = vmovl_s16(vget_high_s16(low));
    v.r[2] = vmovl_s16(vget_low_s16(high)), v.r[3] = vmovl_s16(vget_high_s16(high));
    return v;
}

typedef struct hp_vt {
    int8x16_t r;
} hp_vt;

HP_INLINE hp_vt hp_vt_load(const uint8_t *p)
{
    hp_vt t;
    t.r = HP_LOAD_WEIGHTS(p);
    return t;
}

HP_INLINE void hp_vw_expand(hp_vw pair[2], const uint8_t *p, hp_vt t)
{
    int i;
    HP_EACH_REGISTER {
        uint8x16_t two = vld1q_u8(p + 16 * i);
        pair[0].r[i] = vqtbl1q_s8(t.r, vandq_u8(two, vdupq_n_u8(15)));
        pair[1].r[i] = vqtbl1q_s8(t.r, vshrq_n_u8(two, 4));
    }
}

HP_INLINE void hp_expand_bytes(uint8_t *to, const uint8_t *p, hp_vt t)
{
    hp_vw pair[2];
    int i;
    hp_vw_expand(pair, p, t);
    HP_EACH_REGISTER {
        vst1q_u8(to + 16 * i, vreinterpretq_u8_s8(pair[0].r[i]));
        vst1q_u8(to + 64 + 16 * i, vreinterpretq_u8_s8(pair[1].r[i]));
    }
}

HP_INLINE hp_vi hp_vi_dot4(hp_vi a, hp_vw w, const int8_t *x)
{
    int8x16_t four = vreinterpretq_s8_s32(vdupq_n_s32(hp_four_bytes(x)));
    int i;
    HP_EACH_REGISTER a.r[i] = HP_NEON_DOT(a.r[i], w.r[i], four);
    return a;
}
#endif

#ifdef HP_FIRST_READING
#undef HP_FIRST_READING

HP_INLINE int32_t hp_four_bytes(const void *p)
{
    int32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

#if HP_X86

/* ---- SSE2: four registers of four lanes. Every 64-bit x86 has it ---- */

#define HP_SET sse2
#define HP_REGISTERS 4
#define HP_DOT_OFFSET 0
#define HP_ROWS_AT_ONCE 2
#define HP_NIBBLE_ROWS 0
#define HP_EXPANDED_GROUPS 12
#define HP_READ_X86_LANES
#include HARP_IMPL_FILE

typedef struct hp_vw { /* as 16-bit integers: the first and the third weight of each lane, the second and the fourth */
    __m128i even[4], odd[4];
} hp_vw;

HP_INLINE hp_vw hp_vw_load(const uint8_t *p)
{
    hp_vw w;
    int i;
    HP_EACH_REGISTER {
        __m128i b = _mm_loadu_si128((const void *)(p + 16 * i));
        w.even[i] = _mm_srai_epi16(_mm_slli_epi16(b, 8), 8), w.odd[i] = _mm_srai_epi16(b, 8);
    }
    return w;
}

HP_INLINE hp_vi hp_vi_dot4(hp_vi a, hp_vw w, const int8_t *x)
{
    __m128i four = _mm_set1_epi32(hp_four_bytes(x));
    __m128i even = _mm_srai_epi16(_mm_slli_epi16(four, 8), 8), odd = _mm_srai_epi16(four, 8);
    int i;
    HP_EACH_REGISTER {
        __m128i sums = _mm_add_epi32(_mm_madd_epi16(w.even[i], even), _mm_madd_epi16(w.odd[i], odd));
        a.r[i] = _mm_add_epi32(a.r[i], sums);
    }
    return a;
}

#define HP_READ_KERNELS
#include HARP_IMPL_FILE

/* ---- SSSE3: the same with lookups of bytes and products of pairs of them. Intel since 2006, AMD since 2011 ---- */

HP_TARGET_BEGIN("ssse3")
#define HP_SET ssse3
#define HP_LANES_OF sse2
#define HP_REGISTERS 4
#define HP_DOT_OFFSET 0
#define HP_ROWS_AT_ONCE 2
#define HP_NIBBLE_ROWS 2
#define HP_EXPANDED_GROUPS 12
#define HP_READ_X86_LANES
#include HARP_IMPL_FILE
#define HP_READ_KERNELS
#include HARP_IMPL_FILE
HP_TARGET_END

#if HP_WIDE_X86

/* ---- AVX2: two registers of eight lanes. x86 since 2013 ---- */

HP_TARGET_BEGIN("avx2,f16c")
#define HP_SET avx2
#define HP_REGISTERS 2
#define HP_DOT_OFFSET 0
#define HP_ROWS_AT_ONCE 4
#define HP_NIBBLE_ROWS 4
#define HP_EXPANDED_GROUPS 12
#define HP_READ_X86_LANES
#include HARP_IMPL_FILE

#define HP_READ_KERNELS
#include HARP_IMPL_FILE
HP_TARGET_END

#if HP_VNNI_X86

/* ---- AVX-VNNI: AVX2 with dot products. Intel since 2021, AMD since 2024 ---- */

HP_TARGET_BEGIN("avx2,f16c,avxvnni")
#define HP_SET avxvnni
#define HP_LANES_OF avx2
#define HP_REGISTERS 2
#define HP_DPBUSD _dpbusd_avx_epi32
#define HP_DOT_OFFSET 128
#define HP_ROWS_AT_ONCE 4
#define HP_NIBBLE_ROWS 4
#define HP_EXPANDED_GROUPS 12
#define HP_READ_X86_LANES
#include HARP_IMPL_FILE
#define HP_READ_KERNELS
#include HARP_IMPL_FILE
HP_TARGET_END

/* ---- AVX-512 with VNNI: one register. Intel servers since 2019, AMD since 2022 ---- */

HP_TARGET_BEGIN("avx2,f16c,avx512f,avx512bw,avx512vl,avx512vnni")
#define HP_SET avx512
#define HP_REGISTERS 1
#define HP_DPBUSD _dpbusd_epi32
#define HP_DOT_OFFSET 128
#define HP_ROWS_AT_ONCE 8
#define HP_NIBBLE_ROWS 8
#define HP_EXPANDED_GROUPS 12
#define HP_BLOCK_ROWS 16
#define HP_READ_X86_LANES
#include HARP_IMPL_FILE
#define HP_READ_KERNELS
#include HARP_IMPL_FILE
HP_TARGET_END

#if HP_AMX

/* ---- AMX: AVX-512 with registers that hold matrices ("tiles"), 16 rows of up to 64 bytes. Intel servers since 2023.
 * One instruction multiplies 16 rows of 32 activations with 32 inputs of 16 outputs; the weights of a group lie in the
 * file as it wants them. It takes some fifty cycles, so the next group's product is begun before the floats of this one
 * are added up ---- */

HP_TARGET_BEGIN("avx2,f16c,avx512f,avx512bw,avx512vl,avx512vnni,amx-tile,amx-int8")
#define HP_SET amx
#define HP_LANES_OF avx512
#define HP_FEW_OF avx512
#define HP_REGISTERS 1
#define HP_DPBUSD _dpbusd_epi32
#define HP_DOT_OFFSET 128
#define HP_ROWS_AT_ONCE 8
#define HP_NIBBLE_ROWS 8
#define HP_EXPANDED_GROUPS 12
#define HP_BLOCK_ROWS 16
#define HP_READ_X86_LANES
#include HARP_IMPL_FILE

/* The tiles used: 0 sums [16][16], 1 weights [32 / 4][16][4], 2 activations [16][32]. From byte 16 on stand the bytes
 * of a row of each, from byte 48 on the rows; byte 0 is the palette that all such processors have. */
static const uint8_t hp_amx_shapes[64] = {[0] = 1,
                                          [16] = 4 * HP_LANES, [18] = 4 * HP_LANES, [20] = HP_GROUP,
                                          [48] = HP_BLOCK_ROWS, [49] = HP_GROUP / 4, [50] = HP_BLOCK_ROWS};

HP_INLINE void hp_amx_begin(void) /* each thread has tiles of its own, and other code may want them otherwise */
{
    _tile_loadconfig(hp_amx_shapes);
}

HP_INLINE void hp_amx_multiply(const uint8_t *w, const int8_t *x)
{
    _tile_zero(0);
    _tile_loadd(1, w, 4 * HP_LANES);
    _tile_loadd(2, x, HP_GROUP);
    _tile_dpbssd(0, 2, 1);
}

HP_INLINE int hp_block_dots(hp_vi *sum, const uint8_t *w, const int8_t *x, int rows, int first, int more)
{
    __m512i product[HP_BLOCK_ROWS];
    int r;
    if (rows < HP_BLOCK_ROWS) return 0;
    if (first) hp_amx_multiply(w, x);
    _tile_stored(0, product, 4 * HP_LANES);
    if (more) hp_amx_multiply(w + HP_TILE_GROUP_BYTES, x + HP_BLOCK_ROWS * HP_GROUP);
    HP_UNROLL for (r = 0; r < HP_BLOCK_ROWS; r++) sum[r].r[0] = product[r];
    return HP_BLOCK_ROWS;
}

#define HP_BLOCK_DOTS hp_block_dots
#define HP_BLOCKS_BEGIN hp_amx_begin
#define HP_BLOCKS_END _tile_release
#define HP_READ_KERNELS
#include HARP_IMPL_FILE
HP_TARGET_END

#endif /* HP_AMX */
#endif /* HP_VNNI_X86 */
#endif /* HP_WIDE_X86 */
#endif /* HP_X86 */

/* ---- NEON: four registers of four lanes. Every 64-bit ARM has it ---- */

#if HP_NEON

HP_INLINE int32x4_t hp_neon_dot(int32x4_t a, int8x16_t w, int8x16_t x)
{
    int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(x)), high = vmull_s8(vget_high_s8(w), vget_high_s8(x));
    return vpadalq_s16(a, vpaddq_s16(low, high));
}

#define HP_SET neon
#define HP_REGISTERS 4
#define HP_NEON_DOT hp_neon_dot
#define HP_DOT_OFFSET 0
#define HP_ROWS_AT_ONCE 4
#define HP_NIBBLE_ROWS 4
#define HP_EXPANDED_GROUPS 12
#define HP_READ_NEON_LANES
#include HARP_IMPL_FILE
#define HP_READ_KERNELS
#include HARP_IMPL_FILE

#if HP_NEON_DOTPROD
HP_TARGET_BEGIN(HP_TARGET_DOTPROD)
#define HP_SET dotprod
#define HP_LANES_OF neon
#define HP_REGISTERS 4
#define HP_NEON_DOT vdotq_s32
#define HP_DOT_OFFSET 0
#define HP_ROWS_AT_ONCE 4
#define HP_NIBBLE_ROWS 4
#define HP_EXPANDED_GROUPS 12
#define HP_READ_NEON_LANES
#include HARP_IMPL_FILE
#define HP_READ_KERNELS
#include HARP_IMPL_FILE
HP_TARGET_END

/* One instruction of i8mm multiplies two rows with two outputs, eight inputs each: twice the work of a dotprod. What
 * it adds to holds [row 0: two outputs][row 1: the same two], so pairs of outputs are sorted into rows in the end. */
#if HP_NEON_I8MM
HP_TARGET_BEGIN(HP_TARGET_I8MM)
#define HP_SET i8mm
#define HP_LANES_OF neon
#define HP_REGISTERS 4
#define HP_NEON_DOT vdotq_s32
#define HP_DOT_OFFSET 0
#define HP_ROWS_AT_ONCE 4
#define HP_NIBBLE_ROWS 4
#define HP_EXPANDED_GROUPS 12
#define HP_READ_NEON_LANES
#include HARP_IMPL_FILE

HP_INLINE int hp_block_dots(hp_vi *sum, const uint8_t *w, const int8_t *x, int rows)
{
    int32x4_t low[HP_ROWS_AT_ONCE / 2][HP_REGISTERS], high[HP_ROWS_AT_ONCE / 2][HP_REGISTERS];
    int i, j, pair, pairs = rows / 2;
    HP_UNROLL for (pair = 0; pair < pairs; pair++) {
        HP_EACH_REGISTER low[pair][i] = high[pair][i] = vdupq_n_s32(0);
    }
    HP_UNROLL for (j = 0; j < HP_GROUP; j += 8) {
        HP_EACH_REGISTER {
            int32x4_t a = vreinterpretq_s32_u8(vld1q_u8(w + HP_LANES * j + 16 * i));
            int32x4_t b = vreinterpretq_s32_u8(vld1q_u8(w + HP_LANES * (j + 4) + 16 * i));
            int8x16_t first = vreinterpretq_s8_s32(vzip1q_s32(a, b)), second = vreinterpretq_s8_s32(vzip2q_s32(a, b));
            HP_UNROLL for (pair = 0; pair < pairs; pair++) {
                const int8_t *row = x + HP_GROUP * 2 * pair + j;
                int8x16_t two = vcombine_s8(vld1_s8(row), vld1_s8(row + HP_GROUP));
                low[pair][i] = vmmlaq_s32(low[pair][i], two, first);
                high[pair][i] = vmmlaq_s32(high[pair][i], two, second);
            }
        }
    }
    HP_UNROLL for (pair = 0; pair < pairs; pair++) {
        HP_EACH_REGISTER {
            int64x2_t one = vreinterpretq_s64_s32(low[pair][i]), other = vreinterpretq_s64_s32(high[pair][i]);
            sum[2 * pair].r[i] = vreinterpretq_s32_s64(vzip1q_s64(one, other));
            sum[2 * pair + 1].r[i] = vreinterpretq_s32_s64(vzip2q_s64(one, other));
        }
    }
    return 2 * pairs;
}

#define HP_BLOCK_DOTS(sum, w, x, rows, first, more) hp_block_dots(sum, w, x, rows)
#define HP_READ_KERNELS
#include HARP_IMPL_FILE
HP_TARGET_END
#endif /* HP_NEON_I8MM */
#endif /* HP_NEON_DOTPROD */
#endif /* HP_NEON */

/* ---- WebAssembly with SIMD128: four registers of four lanes ---- */

#if HP_WASM
#define HP_SET simd128
#define HP_REGISTERS 4
#define HP_DOT_OFFSET 0
#define HP_ROWS_AT_ONCE 4
#define HP_NIBBLE_ROWS 4
#define HP_EXPANDED_GROUPS 12

typedef struct hp_vf {
    v128_t r[HP_REGISTERS];
} hp_vf;

typedef struct hp_vi {
    v128_t r[HP_REGISTERS];
} hp_vi;

typedef struct hp_vw { /* as in SSE2 */
    v128_t even[HP_REGISTERS], odd[HP_REGISTERS];
} hp_vw;

HP_IN_REGISTERS(hp_vf_add, hp_vf, wasm_f32x4_add)
HP_IN_REGISTERS(hp_vf_sub, hp_vf, wasm_f32x4_sub)
HP_IN_REGISTERS(hp_vf_mul, hp_vf, wasm_f32x4_mul)
HP_IN_REGISTERS(hp_vf_div, hp_vf, wasm_f32x4_div)
HP_IN_REGISTERS(hp_vi_add, hp_vi, wasm_i32x4_add)
HP_IN_REGISTERS(hp_vi_sub, hp_vi, wasm_i32x4_sub)

#define HP_MAX(a, b) wasm_f32x4_pmax(b, a) /* pmax(x, y) is x < y ? y : x */
#define HP_MIN(a, b) wasm_f32x4_pmin(b, a) /* pmin(x, y) is y < x ? y : x */
#define HP_SAME(a) a
#define HP_SHIFT_LEFT(a, n) wasm_i32x4_shl(a, (uint32_t)(n))
#define HP_SHIFT_RIGHT(a, n) wasm_i32x4_shr(a, (uint32_t)(n))
HP_IN_REGISTERS(hp_vf_max, hp_vf, HP_MAX)
HP_IN_REGISTERS(hp_vf_min, hp_vf, HP_MIN)
HP_TO_REGISTERS(hp_vf_set, hp_vf, float, wasm_f32x4_splat)
HP_TO_REGISTERS(hp_vi_set, hp_vi, int32_t, wasm_i32x4_splat)
HP_LOAD_REGISTERS(hp_vf_load, hp_vf, float, 16, wasm_v128_load)
HP_LOAD_REGISTERS(hp_vf_load_file, hp_vf, uint8_t, 64, wasm_v128_load)
HP_LOAD_REGISTERS(hp_vi_load_file, hp_vi, uint8_t, 64, wasm_v128_load)
HP_STORE_REGISTERS(hp_vf_store, hp_vf, float, wasm_v128_store)
HP_STORE_REGISTERS(hp_vi_store, hp_vi, int32_t, wasm_v128_store)
HP_FROM_REGISTERS(hp_vf_from_vi, hp_vf, hp_vi, wasm_f32x4_convert_i32x4)
HP_FROM_REGISTERS(hp_vf_of_bits, hp_vf, hp_vi, HP_SAME)
HP_FROM_REGISTERS(hp_vi_of_bits, hp_vi, hp_vf, HP_SAME)
HP_SHIFT_REGISTERS(hp_vi_shift_left, HP_SHIFT_LEFT)
HP_SHIFT_REGISTERS(hp_vi_shift_right, HP_SHIFT_RIGHT)

HP_INLINE hp_vf hp_vf_load_half(const uint8_t *p) /* as in SSE2 */
{
    hp_vf v;
    int i;
    HP_EACH_REGISTER {
        v128_t h = wasm_u32x4_load16x4(p + 8 * i);
        v128_t sign = wasm_i32x4_shl(wasm_v128_and(h, wasm_i32x4_splat(0x8000)), 16);
        v128_t size = wasm_i32x4_shl(wasm_v128_and(h, wasm_i32x4_splat(0x7FFF)), 13);
        v128_t special = wasm_i32x4_gt(size, wasm_i32x4_splat(0x0F7FFFFF));
        v128_t x = wasm_f32x4_mul(size, wasm_i32x4_splat(0x77800000));
        x = wasm_v128_or(x, wasm_v128_and(special, wasm_v128_or(size, wasm_i32x4_splat(0x7F800000))));
        v.r[i] = wasm_v128_or(x, sign);
    }
    return v;
}

HP_INLINE hp_vi hp_vi_load_bytes(const uint8_t *p)
{
    hp_vi v;
    v128_t low = wasm_i16x8_load8x8(p), high = wasm_i16x8_load8x8(p + 8);
    v.r[0] = wasm_i32x4_extend_low_i16x8(low), v.r[1] = wasm_i32x4_extend_high_i16x8(low);
    v.r[2] = wasm_i32x4_extend_low_i16x8(high), v.r[3] = wasm_i32x4_extend_high_i16x8(high);
    return v;
}

HP_INLINE hp_vw hp_vw_load(const uint8_t *p)
{
    hp_vw w;
    int i;
    HP_EACH_REGISTER {
        v128_t b = wasm_v128_load(p + 16 * i);
        w.even[i] = wasm_i16x8_shr(wasm_i16x8_shl(b, 8), 8), w.odd[i] = wasm_i16x8_shr(b, 8);
    }
    return w;
}

typedef struct hp_vt {
    v128_t r;
} hp_vt;

HP_INLINE hp_vt hp_vt_load(const uint8_t *p)
{
    hp_vt t;
    t.r = wasm_v128_load(p);
    return t;
}

#define HP_LOW_NIBBLES(two, t) wasm_i8x16_swizzle(t.r, wasm_v128_and(two, wasm_i8x16_splat(15)))
#define HP_HIGH_NIBBLES(two, t) wasm_i8x16_swizzle(t.r, wasm_u8x16_shr(two, 4))
HP_INLINE void hp_expand_bytes(uint8_t *to, const uint8_t *p, hp_vt t)
{
    int i;
    HP_EACH_REGISTER {
        v128_t two = wasm_v128_load(p + 16 * i);
        wasm_v128_store(to + 16 * i, HP_LOW_NIBBLES(two, t));
        wasm_v128_store(to + 64 + 16 * i, HP_HIGH_NIBBLES(two, t));
    }
}

HP_INLINE void hp_vw_expand(hp_vw pair[2], const uint8_t *p, hp_vt t)
{
    int i;
    HP_EACH_REGISTER {
        v128_t two = wasm_v128_load(p + 16 * i), low = HP_LOW_NIBBLES(two, t), high = HP_HIGH_NIBBLES(two, t);
        pair[0].even[i] = wasm_i16x8_shr(wasm_i16x8_shl(low, 8), 8), pair[0].odd[i] = wasm_i16x8_shr(low, 8);
        pair[1].even[i] = wasm_i16x8_shr(wasm_i16x8_shl(high, 8), 8), pair[1].odd[i] = wasm_i16x8_shr(high, 8);
    }
}

HP_INLINE hp_vi hp_vi_dot4(hp_vi a, hp_vw w, const int8_t *x)
{
    v128_t four = wasm_i32x4_splat(hp_four_bytes(x));
    v128_t even = wasm_i16x8_shr(wasm_i16x8_shl(four, 8), 8), odd = wasm_i16x8_shr(four, 8);
    int i;
    HP_EACH_REGISTER {
        v128_t sums = wasm_i32x4_add(wasm_i32x4_dot_i16x8(w.even[i], even), wasm_i32x4_dot_i16x8(w.odd[i], odd));
        a.r[i] = wasm_i32x4_add(a.r[i], sums);
    }
    return a;
}

#define HP_READ_KERNELS
#include HARP_IMPL_FILE
#endif

#define HP_SET c /* from here on a kernel's bare name is plain C's: for functions that know no session */
#define HP_LANES_OF c

/* ---- Which of them this machine has ---- */

#if HP_NEON_DOTPROD
static int hp_has_dotprod(void)
{
#if defined(__linux__)
    return getauxval(AT_HWCAP) >> 20 & 1; /* HWCAP_ASIMDDP */
#elif defined(__ARM_FEATURE_DOTPROD) || defined(__ENVIRONMENT_MAC_OS_X_VERSION_MIN_REQUIRED__)
    return 1; /* every 64-bit ARM Mac has it; telephones only since 2019 */
#else
    return 0;
#endif
}
#endif

#if HP_NEON_I8MM
static int hp_has_i8mm(void)
{
#if defined(__linux__)
    return getauxval(AT_HWCAP2) >> 13 & 1; /* HWCAP2_I8MM */
#elif defined(__ARM_FEATURE_MATMUL_INT8)
    return 1;
#else
    return 0;
#endif
}
#endif

#if HP_X86
static void hp_cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
#if HP_CLANG || HP_GCC
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "0"(leaf), "2"(sub));
#else
    __cpuidex((int *)r, (int)leaf, (int)sub);
#endif
}

enum { HP_HAS_AVX2 = 1, HP_HAS_AVXVNNI = 2, HP_HAS_AVX512 = 4, HP_HAS_AMX = 8, HP_HAS_SSSE3 = 16 };

#if HP_WIDE_X86
/* Which register files the operating system saves: bits 1 and 2 for AVX, 5 to 7 for AVX-512. */
static uint32_t hp_saved_registers(void)
{
#if HP_CLANG || HP_GCC
    uint32_t a, d;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a;
#else
    return (uint32_t)_xgetbv(0);
#endif
}

#if HP_AMX
/* Linux gives a process the registers of tiles (8 KiB a thread) when it asks: arch_prctl(ARCH_REQ_XCOMP_PERM,
 * XFEATURE_XTILEDATA), 0 if granted. By hand, as strict C99 has no name for it. */
static int hp_may_use_amx(void)
{
    long result = 158;
    __asm__ volatile("syscall" : "+a"(result) : "D"(0x1023), "S"(18) : "rcx", "r11", "memory");
    return result == 0;
}
#endif

static int hp_wide_features(void)
{
    uint32_t r[4], saved = hp_saved_registers(), avx512 = 1u << 16 | 1u << 30 | 1u << 31; /* F, BW, VL */
    int has = 0;
    hp_cpuid(7, 0, r);
    if ((saved & 6) == 6 && (r[1] >> 5 & 1)) has = HP_HAS_AVX2;
    if (has && (saved & 0xE0) == 0xE0 && (r[1] & avx512) == avx512 && (r[2] >> 11 & 1)) has |= HP_HAS_AVX512;
#if HP_AMX
    if ((has & HP_HAS_AVX512) && (saved & 0x60000) == 0x60000 && (r[3] >> 24 & 3) == 3 && hp_may_use_amx())
        has |= HP_HAS_AMX; /* AMX-TILE, AMX-INT8 */
#endif
    if (!has || r[0] < 1) return has;
    hp_cpuid(7, 1, r);
    return r[0] >> 4 & 1 ? has | HP_HAS_AVXVNNI : has;
}
#endif

static int hp_x86_features(void)
{
    uint32_t r[4];
    int has = 0, may_be_wide;
    hp_cpuid(0, 0, r);
    may_be_wide = r[0] >= 7;
    hp_cpuid(1, 0, r);
    if (r[2] >> 9 & 1) has = HP_HAS_SSSE3;
    may_be_wide &= (int)(r[2] >> 27 & r[2] >> 29 & 1); /* OSXSAVE, F16C */
#if HP_WIDE_X86
    if (may_be_wide) has |= hp_wide_features();
#endif
    return has;
}
#endif

/* Does the code of this set keep products and sums apart (rule R4)? Plain C may and a set may not: clang's
 * -ffp-contract=fast fuses them wherever the set has an instruction for it, whatever a pragma says (sets that share
 * functions have the same instructions for floats). Turning (x, x) by
 * cosine x and sine x gives x x - x x, which is 0 unless one of the two products was not rounded. The twenty pairs are
 * a vector and single numbers. */
static int hp_set_is_sound(const hp_kernels *k)
{
    enum { PAIRS = HP_LANES + 4 };
    volatile float x = 1.0f + 1.0f / 4096.0f;
    float head[2 * PAIRS], turn[2 * PAIRS];
    int i, sound = 1;
    for (i = 0; i < 2 * PAIRS; i++) head[i] = turn[i] = x;
    k->rope(head, turn, 2 * PAIRS);
    for (i = 0; i < PAIRS; i++) sound &= head[i] == 0.0f;
    return sound;
}

/* The index-th set, best first, NULL after the last: those that were compiled and that this machine runs. */
static const hp_kernels *hp_kernels_at(int index)
{
    const hp_kernels *sets[8];
    int n = 0;
#if HP_X86
    int has = hp_x86_features();
#endif
#if HP_WIDE_X86
#if HP_VNNI_X86
#if HP_AMX
    if (has & HP_HAS_AMX) sets[n++] = &hp_kernels_amx;
#endif
    if (has & HP_HAS_AVX512) sets[n++] = &hp_kernels_avx512;
    if (has & HP_HAS_AVXVNNI) sets[n++] = &hp_kernels_avxvnni;
#endif
    if (has & HP_HAS_AVX2) sets[n++] = &hp_kernels_avx2;
#endif
#if HP_X86
    if (has & HP_HAS_SSSE3) sets[n++] = &hp_kernels_ssse3;
    sets[n++] = &hp_kernels_sse2;
#endif
#if HP_NEON_I8MM
    if (hp_has_i8mm()) sets[n++] = &hp_kernels_i8mm;
#endif
#if HP_NEON_DOTPROD
    if (hp_has_dotprod()) sets[n++] = &hp_kernels_dotprod;
#endif
#if HP_NEON
    sets[n++] = &hp_kernels_neon;
#endif
#if HP_WASM
    sets[n++] = &hp_kernels_simd128;
#endif
    sets[n++] = &hp_kernels_c;
    return index >= 0 && index < n ? sets[index] : NULL;
}

HARP_API const char *harp_isa(int index)
{
    const hp_kernels *k = hp_kernels_at(index);
    return k ? k->name : NULL;
}

/* The set of this name, NULL for the best; NULL if this machine or build has none of that name. */
static const hp_kernels *hp_find_kernels(const char *name)
{
    const hp_kernels *k;
    int i;
    for (i = 0; (k = hp_kernels_at(i)) != NULL; i++)
        if (!name || strcmp(k->name, name) == 0) return k;
    return NULL;
}

static harp_status hp_refuse_thread(harp_error *err)
{
    return hp_fail(err, HARP_ERR_BUILD, "a thread that computes flushes tiny floats to zero or does not round to "
                                        "nearest even: set its floating-point mode back to the default");
}

/* The same, for a session: refused where this thread or the set's code would give other bits. */
static harp_status hp_choose_kernels(const char *name, const hp_kernels **kernels, harp_error *err)
{
    if (!hp_thread_is_sound()) return hp_refuse_thread(err);
    *kernels = hp_find_kernels(name);
    if (!*kernels)
        return hp_fail(err, HARP_ERR_UNSUPPORTED, "this machine or build has no instruction set %s", name);
    if (!hp_set_is_sound(*kernels))
        return hp_fail(err, HARP_ERR_BUILD, "this build fuses products into sums in its code for %s, so its results "
                                            "have other bits: compile harp_impl.c with -ffp-contract=off",
                       (*kernels)->name);
    return HARP_OK;
}

/* ================================================================================================================
 * [CH09] The file
 *
 * A .harp file is read in place: nothing is unpacked, repacked or copied at load, so opening costs the same for one
 * megabyte or eight gigabytes, and a device can leave the file in flash. All integers are little-endian, all offsets
 * count from the first byte. This is the whole format; version 2 differs from version 1 in that it has nibble matrices:
 *
 *   offset            +----------------------------------------------------------------------------------------+
 *        0   u8[8]    | 0x89 'H' 'A' 'R' 'P' 0x0D 0x0A 0x1A: survives no text-mode transfer                    |
 *        8   u32      | version: 2 if there is a nibble matrix, 1 if there is none                             |
 *       12   u32      | CRC-32 (as in zip and PNG) of bytes 0..data_offset-1, this field taken as zero         |
 *       16   u64      | file_bytes: exact size of the file                                                     |
 *       24   u64      | meta_offset: 64                                                                        |
 *       32   u32      | n_meta: number of metadata entries, at most 4096                                       |
 *       36   u32      | n_tensors                                                                              |
 *       40   u64      | meta_bytes: size of all metadata entries                                               |
 *       48   u64      | table_offset: a multiple of 8, not before the metadata's end                           |
 *       56   u64      | data_offset: a multiple of 64, not before the tensor table's end, at most 2^28         |
 *                     +----------------------------------------------------------------------------------------+
 *   metadata entry, each at a multiple of 8:
 *        0   u32      | type: 1 integer (i64), 2 real (f64), 3 text (UTF-8), 4 bytes                           |
 *        4   u32      | key_bytes, 1..63, its zero not counted                                                 |
 *        8   u64      | value_bytes: 8 for numbers; a text's zero not counted                                  |
 *       16            | key (a-z 0-9 _ .), a zero, zeros up to a multiple of 8                                 |
 *                     | value, for a text a zero, zeros up to a multiple of 8                                  |
 *   tensor record, 96 bytes:
 *        0   u8[48]   | name, zero-terminated, zeros after                                                     |
 *       48   u32      | type: 1 = f32 vector (rows = 1), 2 = int8 matrix, 3 = f32 matrix, 4 = nibble matrix    |
 *       52   u32      | CRC-32 of its bytes                                                                    |
 *       56   u64 u64  | rows, cols: output and input dimension                                                 |
 *       72   u64 u64  | offset (a multiple of 64, in table order, no overlap), bytes                           |
 *       88   u64      | 0                                                                                      |
 *
 * An int8 matrix is a run of TILES of 16 rows; rows that are missing at the end are zeros, and so are columns up to the
 * next multiple of 32 (a GROUP). A tile with G groups is
 *
 *      scales   G x 16 IEEE halves, zeros up to a multiple of 64 bytes      scale(r, g) is half g * 16 + r % 16
 *      weights  G x 512 int8                                                weight(r, c) is byte
 *               (c / 32) * 512 + (c % 32) / 4 * 64 + (r % 16) * 4 + c % 4, and means weight * scale(r, c / 32)
 *
 * so that 64 consecutive bytes hold four inputs of each of 16 rows: a load feeds one lane per row ([CH06]). A tile of
 * an f32 matrix is G x 32 x 16 floats, weight(r, c) is float c * 16 + r % 16.
 *
 * A nibble matrix has weights of four bits. It begins with a TABLE, 16 int8 and 48 zeros; its tiles follow:
 *
 *      scales   as above; a scale may be negative
 *      weights  G x 256 bytes: weight(r, c) is in byte (c / 32) * 256 + (c % 32) / 8 * 64 + (r % 16) * 4 + c % 4, in
 *               its low four bits if c % 8 < 4, else in its high four; n there means table[n] * scale(r, c / 32)
 *
 * so that a load holds eight inputs of each of 16 rows, which a shuffle of the table's bytes turns into two loads of an
 * int8 matrix. What rows or columns are missing may be any nibble: their scales are zeros, or their inputs are. Layers
 * may have nibble matrices; embeddings and the output have int8 or floats. The table makes the format hold others: with
 * -8 .. 7 GGUF's Q4_0, with its sixteen values IQ4_NL, with twice its values, integers up to 12, MXFP4.
 *
 * The reader below trusts nothing. It checks the whole head once, in time linear in its size; after harp_open the rest
 * of the file need not check again. For that the head of a mapped file is first made this process's own: another
 * program that writes to the file can change weights, that is numbers, but nothing that says where something is.
 * ============================================================================================================== */

enum { HP_HEADER_BYTES = 64, HP_RECORD_BYTES = 96, HP_MAX_LAYERS = 1024, HP_MAX_HEAD_DIM = 1024 };
enum { HP_MAX_META = 4096, HP_MAX_HEAD_BYTES = 1 << 28 };
enum { HP_TENSOR_F32 = 1, HP_TENSOR_INT8 = 2, HP_TENSOR_F32_MATRIX = 3, HP_TENSOR_NIBBLES = 4 };

enum { HP_NEWEST_VERSION = HP_NIBBLES ? 2 : 1 }; /* of the file */

static const uint8_t hp_magic[8] = {0x89, 'H', 'A', 'R', 'P', 0x0D, 0x0A, 0x1A};

typedef struct hp_file { /* an image of a .harp file in memory */
    const uint8_t *image;
    uint64_t bytes;
    int mapped;         /* 1: the image is `mapping`            */
    int is_ours;        /* 1: it lies in the allocator's memory */
    hp_mapping mapping;
    harp_allocator allocator;
    int32_t n_meta, n_tensors;
    uint64_t table_offset, data_offset;
} hp_file;

/* ---- Where the image comes from ---- */

/* Fills an image of `bytes` bytes from a reader. The size is the source's own word, not the header's: a small file
 * cannot ask for much memory. */
static harp_status hp_read_image(hp_file *f, harp_read_fn *read, void *user, uint64_t bytes, harp_error *err)
{
    uint8_t *p;
    if (bytes < HP_HEADER_BYTES || bytes > SIZE_MAX)
        return hp_fail(err, HARP_ERR_FORMAT, "this is not a .harp file: it has %d bytes", (int64_t)bytes);
    p = (uint8_t *)f->allocator.alloc(f->allocator.user, (size_t)bytes);
    if (!p) return hp_fail(err, HARP_ERR_MEMORY, "no memory for a model of %d bytes", (int64_t)bytes);
    f->image = p, f->bytes = bytes, f->is_ours = 1;
    if (read(user, 0, p, (size_t)bytes) != bytes) return hp_fail(err, HARP_ERR_IO, "the model could not be read whole");
    return HARP_OK;
}

static harp_status hp_refuse_file(hp_file_answer answer, const char *path, harp_error *err)
{
    if (answer == HP_FILE_NO_FILES)
        return hp_fail(err, HARP_ERR_ARGUMENT, "this build cannot map or read %s: give it memory or a reader", path);
    if (answer == HP_FILE_IRREGULAR) return hp_fail(err, HARP_ERR_IO, "%s is not a regular file", path);
    return hp_fail(err, HARP_ERR_IO, "cannot open %s", path);
}

static size_t hp_mapping_read(void *mapping, uint64_t offset, void *into, size_t bytes)
{
    memcpy(into, (const uint8_t *)((const hp_mapping *)mapping)->image + offset, bytes);
    return bytes;
}

static harp_status hp_get_file(hp_file *f, const char *path, int copy, harp_error *err)
{
    void *file = NULL;
    uint64_t bytes = 0;
    hp_file_answer answer = hp_map(&f->mapping, path);
    harp_status status;
    if (answer == HP_FILE_FINE && copy) {
        status = hp_read_image(f, hp_mapping_read, &f->mapping, f->mapping.bytes, err);
        hp_unmap(&f->mapping);
        return status;
    }
    if (answer == HP_FILE_FINE) {
        f->image = (const uint8_t *)f->mapping.image, f->bytes = f->mapping.bytes, f->mapped = 1;
        return HARP_OK;
    }
    if (answer == HP_FILE_UNMAPPABLE) answer = hp_file_open(path, &file, &bytes);
    if (answer != HP_FILE_FINE) return hp_refuse_file(answer, path, err);
    status = hp_read_image(f, hp_file_read, file, bytes, err);
    hp_file_close(file);
    return status;
}

static harp_status hp_get_image(hp_file *f, const harp_source *source, harp_error *err)
{
    if (source->data) {
        if (source->bytes > SIZE_MAX) return hp_fail(err, HARP_ERR_ARGUMENT, "the image is larger than memory");
        f->image = (const uint8_t *)source->data, f->bytes = source->bytes;
        return HARP_OK;
    }
    if (source->read) return hp_read_image(f, source->read, source->read_user, source->bytes, err);
    return hp_get_file(f, source->path, source->copy, err);
}

static void hp_release_image(hp_file *f)
{
    if (f->mapped) hp_unmap(&f->mapping);
    if (f->is_ours) f->allocator.free(f->allocator.user, (void *)(uintptr_t)f->image, (size_t)f->bytes);
}

/* ---- The head ---- */

/* CRC-32 as in zip and PNG. Four bits at a time: a table of 16 fits any device and is read at a glance. Long data goes
 * by eight such tables, made of it, of which table k says what four bits become with 4 k more behind them: then the
 * eight steps of a word need not wait for one another. */
static uint32_t hp_crc32(uint32_t crc, const uint8_t *data, size_t bytes)
{
    static const uint32_t nibble[16] = {0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u,
                                        0x4DB26158u, 0x5005713Cu, 0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu,
                                        0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu};
    uint32_t t[8][16];
    size_t i, k;
    crc = ~crc;
    if (bytes >= 1024) {
        memcpy(t[0], nibble, sizeof nibble);
        for (k = 1; k < 8; k++)
            for (i = 0; i < 16; i++) t[k][i] = t[k - 1][i] >> 4 ^ nibble[t[k - 1][i] & 15];
        for (; bytes >= 4; data += 4, bytes -= 4) {
            crc ^= hp_u32(data);
            crc = t[7][crc & 15] ^ t[6][crc >> 4 & 15] ^ t[5][crc >> 8 & 15] ^ t[4][crc >> 12 & 15]
                  ^ t[3][crc >> 16 & 15] ^ t[2][crc >> 20 & 15] ^ t[1][crc >> 24 & 15] ^ t[0][crc >> 28];
        }
    }
    for (i = 0; i < bytes; i++) {
        crc ^= data[i];
        crc = crc >> 4 ^ nibble[crc & 15];
        crc = crc >> 4 ^ nibble[crc & 15];
    }
    return ~crc;
}

static uint64_t hp_round_up_8(uint64_t n) /* callers bound n by the file's size first */
{
    return (n + 7) & ~(uint64_t)7;
}

/* The first bytes of the image stay as they are now, whoever writes to the file: what is checked must not change. */
static harp_status hp_freeze(const hp_file *f, uint64_t bytes, harp_error *err)
{
    if (!f->mapped || hp_freeze_pages(&f->mapping, (size_t)bytes)) return HARP_OK;
    return hp_fail(err, HARP_ERR_MEMORY, "no memory for the head of the file, %d bytes", (int64_t)bytes);
}

static harp_status hp_check_header(hp_file *f, harp_error *err)
{
    static const uint8_t zero[4] = {0, 0, 0, 0};
    const uint8_t *h = f->image;
    uint64_t meta_bytes, meta_end, table_end;
    uint32_t crc;
    if (f->bytes >= HP_HEADER_BYTES && hp_freeze(f, HP_HEADER_BYTES, err)) return HARP_ERR_MEMORY;
    if (f->bytes < HP_HEADER_BYTES || memcmp(h, hp_magic, sizeof hp_magic) != 0)
        return hp_fail(err, HARP_ERR_FORMAT, "this is not a .harp file: harp-convert makes one");
    if (hp_u32(h + 8) < 1 || hp_u32(h + 8) > HP_NEWEST_VERSION)
        return hp_fail(err, HARP_ERR_UNSUPPORTED,
                       HP_NIBBLES ? "this .harp file has version %d; this build reads versions 1 and 2"
                                  : "this .harp file has version %d; this build reads version 1",
                       (int64_t)hp_u32(h + 8));
    if (hp_u64(h + 16) != f->bytes)
        return hp_fail(err, HARP_ERR_FORMAT, "the file has %d bytes but says it has %d: cut off, or damaged",
                       (int64_t)f->bytes, (int64_t)hp_u64(h + 16));
    meta_bytes = hp_u64(h + 40), f->table_offset = hp_u64(h + 48), f->data_offset = hp_u64(h + 56);
    meta_end = HP_HEADER_BYTES + meta_bytes;
    table_end = f->table_offset + (uint64_t)hp_u32(h + 36) * HP_RECORD_BYTES;
    if (hp_u64(h + 24) != HP_HEADER_BYTES || meta_bytes > f->bytes || f->table_offset > f->bytes
        || f->table_offset < meta_end || f->table_offset % 8 != 0 || f->data_offset < table_end
        || f->data_offset > f->bytes || f->data_offset % 64 != 0)
        return hp_fail(err, HARP_ERR_FORMAT, "the offsets in the header contradict each other");
    if (hp_u32(h + 32) > HP_MAX_META || f->data_offset > HP_MAX_HEAD_BYTES)
        return hp_fail(err, HARP_ERR_FORMAT, "the head has %d bytes and %d metadata entries; allowed are %d and %d",
                       (int64_t)f->data_offset, (int64_t)hp_u32(h + 32), (int64_t)HP_MAX_HEAD_BYTES,
                       (int64_t)HP_MAX_META);
    if (hp_freeze(f, f->data_offset, err)) return HARP_ERR_MEMORY;
    crc = hp_crc32(hp_crc32(0, h, 12), zero, 4);
    if (hp_crc32(crc, h + 16, (size_t)f->data_offset - 16) != hp_u32(h + 12))
        return hp_fail(err, HARP_ERR_FORMAT, "the checksum of the file's head is wrong: the file is damaged");
    f->n_meta = (int32_t)hp_u32(h + 32);
    f->n_tensors = (int32_t)hp_u32(h + 36);
    return HARP_OK;
}

/* Reads the entry at *offset and moves *offset past it; 0 if it does not fit before `end` or is malformed. */
static int hp_read_meta(const hp_file *f, uint64_t *offset, uint64_t end, harp_meta *meta)
{
    const uint8_t *p = f->image + *offset;
    uint64_t key_bytes, value_bytes, value_at, used, bits;
    if (end - *offset < 16) return 0;
    key_bytes = hp_u32(p + 4), value_bytes = hp_u64(p + 8);
    if (key_bytes < 1 || key_bytes > 63 || value_bytes > end - *offset) return 0;
    value_at = 16 + hp_round_up_8(key_bytes + 1);
    memset(meta, 0, sizeof *meta);
    meta->type = (harp_meta_type)hp_u32(p);
    used = value_at + hp_round_up_8(value_bytes + (meta->type == HARP_META_TEXT));
    if (used > end - *offset || p[16 + key_bytes] != 0 || strlen((const char *)p + 16) != key_bytes) return 0;
    meta->key = (const char *)p + 16, meta->data = (const char *)p + value_at, meta->bytes = (size_t)value_bytes;
    *offset += used;
    if (meta->type == HARP_META_TEXT) return p[value_at + value_bytes] == 0;
    if (meta->type == HARP_META_BYTES) return 1;
    if (value_bytes != 8) return 0;
    bits = hp_u64(p + value_at);
    if (meta->type == HARP_META_REAL) memcpy(&meta->real, &bits, sizeof bits);
    else meta->integer = (int64_t)bits, meta->real = (double)meta->integer;
    return meta->type == HARP_META_INTEGER || meta->type == HARP_META_REAL;
}

static harp_status hp_check_metadata(const hp_file *f, harp_error *err)
{
    uint64_t offset = HP_HEADER_BYTES, end = HP_HEADER_BYTES + hp_u64(f->image + 40);
    harp_meta meta;
    int32_t i;
    for (i = 0; i < f->n_meta; i++) {
        int64_t at = (int64_t)offset;
        if (!hp_read_meta(f, &offset, end, &meta))
            return hp_fail(err, HARP_ERR_FORMAT, "metadata entry %d, at offset %d, is malformed", (int64_t)i, at);
    }
    return HARP_OK;
}

/* ---- Tensors ---- */

typedef struct hp_tensor {
    const char *name;
    uint32_t type, crc;
    uint64_t rows, cols, offset, bytes;
} hp_tensor;

static hp_tensor hp_tensor_at(const hp_file *f, int32_t index)
{
    const uint8_t *p = f->image + f->table_offset + (uint64_t)index * HP_RECORD_BYTES;
    hp_tensor t;
    t.name = (const char *)p, t.type = hp_u32(p + 48), t.crc = hp_u32(p + 52), t.rows = hp_u64(p + 56);
    t.cols = hp_u64(p + 64), t.offset = hp_u64(p + 72), t.bytes = hp_u64(p + 80);
    return t;
}

static int hp_is_nibbles(uint32_t type)
{
    return HP_NIBBLES && type == HP_TENSOR_NIBBLES;
}

/* How many bytes the scales of a tile, and a whole tile, have in a matrix of this type with so many groups. */
static uint64_t hp_scale_bytes(uint32_t type, uint64_t groups)
{
    return type == HP_TENSOR_F32_MATRIX ? 0 : (2 * HP_LANES * groups + 63) / 64 * 64;
}

static uint64_t hp_tile_bytes(uint32_t type, uint64_t groups)
{
    uint32_t group = type == HP_TENSOR_F32_MATRIX ? 4 * HP_TILE_GROUP_BYTES
                     : hp_is_nibbles(type) ? HP_NIBBLE_GROUP_BYTES : HP_TILE_GROUP_BYTES;
    return hp_scale_bytes(type, groups) + groups * group;
}

/* The bytes that a tensor of this type and shape has; 0 for a type or shape we do not know. Dimensions are bounded
 * first, so that no product overflows. */
static uint64_t hp_tensor_bytes(uint32_t type, uint64_t rows, uint64_t cols)
{
    uint64_t groups, tiles;
    if (rows < 1 || cols < 1 || rows > 1u << 28 || cols > 1u << 28) return 0;
    if (type == HP_TENSOR_F32) return rows == 1 ? cols * 4 : 0;
    if (type != HP_TENSOR_INT8 && type != HP_TENSOR_F32_MATRIX && !hp_is_nibbles(type)) return 0;
    groups = (cols + HP_GROUP - 1) / HP_GROUP, tiles = (rows + HP_LANES - 1) / HP_LANES;
    return tiles * hp_tile_bytes(type, groups) + (hp_is_nibbles(type) ? HP_TABLE_BYTES : 0);
}

static harp_status hp_check_tensors(const hp_file *f, harp_error *err)
{
    uint32_t newest = hp_u32(f->image + 8) > 1 ? HP_TENSOR_NIBBLES : HP_TENSOR_F32_MATRIX;
    uint64_t free_from = f->data_offset;
    int32_t i;
    for (i = 0; i < f->n_tensors; i++) {
        hp_tensor t = hp_tensor_at(f, i);
        if (t.name[0] == 0 || t.name[47] != 0)
            return hp_fail(err, HARP_ERR_FORMAT, "tensor %d has no valid name", (int64_t)i);
        if ((HP_NIBBLES && t.type > newest) || t.bytes == 0 || t.bytes != hp_tensor_bytes(t.type, t.rows, t.cols))
            return hp_fail(err, HARP_ERR_FORMAT, "tensor %s: type %d, shape %d x %d and size %d do not fit together",
                           t.name, (int64_t)t.type, (int64_t)t.rows, (int64_t)t.cols, (int64_t)t.bytes);
        if (t.offset % 64 != 0 || t.offset < free_from || t.offset > f->bytes || t.bytes > f->bytes - t.offset)
            return hp_fail(err, HARP_ERR_FORMAT, "tensor %s lies outside its place in the file (offset %d, %d bytes)",
                           t.name, (int64_t)t.offset, (int64_t)t.bytes);
        free_from = t.offset + t.bytes;
    }
    return HARP_OK;
}

/* ================================================================================================================
 * [CH10] The model
 *
 * What the metadata of a file say of its model. Tables lead them into harp_model; a value that is out of range, or that
 * contradicts another, is refused.
 *
 * Metadata of the model: architecture (text, a name for people: nothing depends on it); vocab, hidden, layers, heads,
 * kv_heads, head_dim, ffn, context, window (0: none), rope_dims (0: none are turned), tied (integers); norm_eps (real);
 * bos_token (integer) and end_tokens (bytes: u32 ids), if any; name, source, licence, converter (texts), if any.
 * tokenizer.* and chat.* are in [CH12] and [CH14]. Unknown keys are ignored.
 *
 * recommend.harp (integer): 0, HARP does not help this model; 1, it does, with these: recommend.frame (text: stream,
 * redraw, last), .reframe_from, .reframings, .rescale (integers), .theta, .delta, .beta (reals); what is absent is as
 * in the paper. recommend.evidence (text) says how that was found out. If a value is out of range, none of them counts.
 *
 * The following say what a layer computes; a key that is absent means what stands first, a value that is not listed is
 * refused:
 *
 *      norm            text     rms | layer: RMSNorm, or LayerNorm
 *      norm_place      text     before | after | around: attention and feed-forward have a norm before them,
 *                               x += f(norm(x)), after them, x += norm(f(x)), or both
 *      residual        text     sequential | parallel | parallel_shared: the feed-forward reads what attention has
 *                               been added to, or both read the same x, each through its norm or through one
 *      activation      text     silu | gelu_tanh | gelu_erf | clamped: g sigmoid(1.702 g) (u + 1) of gate and up, g at
 *                               most 7, u within +-7; ffn_kind gated
 *      ffn_kind        text     gated | plain: down(f(gate x) * (up x)), or down(f(up x))
 *      qk_norm         text     none | head | all: queries and keys are normed (RMSNorm, before they are turned),
 *                               each head by itself or all heads as one vector
 *      attention_scale real     1 / sqrt(head_dim): factor of the scores
 *      attention_growth, attention_step   real, integer  none: where both are there, the factor of the scores of a
 *                               query at a position is multiplied by 1 + growth * ln(1 + floor(position / step))
 *      attention_cap   real     none: scores become cap * tanh(score / cap)
 *      logit_cap       real     none: so do logits
 *      embedding_scale real     1: factor of the token embedding, not of the position embedding
 *      rope_scale      real     1: factor of the cosines and sines, not of rope_local's
 *      rope_original   integer  none: sequences of more tokens than that are turned by rope_long
 *      window_layers   bytes    one for each layer, 1: the window holds there, 0: it does not; absent: it holds in all
 *      local_layers    bytes    one for each layer, 1: rope_local turns it; absent: none
 *      experts         integer  none: the feed-forward is a mixture of so many experts ...
 *      expert_layers   bytes    ... in the layers that have a 1 here; absent: in all
 *      experts_used    integer  1: so many of them, at most 64, compute for a token
 *      expert_ffn      integer  ffn: inner size of one
 *      local_head_dim  integer  head_dim: of the layers that rope_local turns, which it then turns whole; times heads
 *                               a multiple of 32
 *      shared_layers   bytes    one for each layer, 1: it attends to the keys and values of the last layer before it
 *                               that has its own, the same window and the same rope; absent: none
 *      narrow_ffn      integer  ffn: inner size of the feed-forward ...
 *      narrow_layers   bytes    ... in the layers that have a 1 here; absent: in none
 *      layer_inputs    integer  none: numbers that each layer has of a token, a multiple of 16; ffn_kind gated
 *      layer_input_scale real   1: factor of layer_embedding
 *      conv_layers     bytes    one for each layer, 1: a gated short convolution stands where attention does in the
 *                               others; absent: in none. Then heads head_dim is hidden
 *      conv_taps       integer  positions that it sees, its own included, 2 to 16; of a delta net's, too
 *      delta_layers    bytes    one for each layer, 1: a gated delta net stands where attention does in the others;
 *                               absent: in none. Then heads head_dim is a multiple of 32
 *      delta_heads, delta_key_heads    integers, of delta nets: heads of values, and heads of queries and keys, each of
 *                               which serves as many of the former, one after another
 *      delta_key_dim, delta_value_dim  integers: the sizes of a head, multiples of 16; delta_heads delta_value_dim is
 *                               one of 32
 *      shared_ffn      integer  none: inner size of one more expert of a mixture, to which all tokens go
 *      routing         text     chosen | all: an expert's weight is its share of the softmax over those that were
 *                               chosen, or over all
 * ============================================================================================================== */

typedef struct hp_norm_of { /* the vectors of a norm */
    const uint8_t *weight, *bias; /* bias: NULL if there is none */
} hp_norm_of;

typedef struct hp_rare { /* what few layers have: builds without special layers have none of it */
    hp_matrix attn_gate, delta_gates, shared_gate_up, shared_down;
    const uint8_t *delta_log_rate, *delta_bias, *delta_norm; /* the last is not NULL: a delta net */
    int32_t deltas_before; /* layers before it that are delta nets */
} hp_rare;

typedef struct hp_layer { /* one transformer block, all pointers into the image; NULL: the model has no such thing */
    hp_norm_of attn_norm, ffn_norm, attn_post_norm, ffn_post_norm, layer_post_norm;
    hp_matrix qkv, attn_out, gate_up, down, layer_input, layer_gate, layer_out;
    hp_matrix router; /* tiles NULL: there are no experts; otherwise gate_up and down are theirs, under each other */
    const uint8_t *qkv_bias, *attn_out_bias, *gate_up_bias, *down_bias, *router_bias;
    const uint8_t *q_norm, *k_norm, *v_norm, *sinks, *layer_scale;
    const uint8_t *conv; /* not NULL: a convolution in the place of attention, or that of a delta net */
    hp_rare *rare;
    int32_t window; /* keys that a position sees, itself included; 0: all */
    int32_t local;  /* 1: turned by rope_local */
    int32_t head_dim;
    int32_t stored; /* elements of a key, and of a value, in the cache; 0: it has none of its own ... */
    int32_t lender; /* ... and attends to this layer's; otherwise that is itself */
    int32_t units, before; /* what it stores, and what the layers before it do, in units of the model */
} hp_layer;

/* What a layer computes, as the metadata has it: all that the pass knows about an architecture. */
enum { HP_NORM_RMS, HP_NORM_LAYER };
enum { HP_BEFORE, HP_AFTER, HP_AROUND };
enum { HP_SEQUENTIAL, HP_PARALLEL, HP_PARALLEL_SHARED };
enum { HP_GATED, HP_PLAIN };
enum { HP_QK_NONE, HP_QK_HEAD, HP_QK_ALL };
enum { HP_ROUTED_CHOSEN, HP_ROUTED_ALL };
enum { HP_MAX_LAYER_STAGES = HP_SPECIAL ? 24 : 12, HP_MAX_EXPERTS = 4096, HP_MAX_USED = 64 };

typedef struct hp_recipe {
    int32_t norm, norm_place, residual, activation, ffn_kind, qk_norm; /* as above, and hp_activation */
    float attention_scale, attention_cap, logit_cap;                   /* caps: 0 for none            */
    float embedding_scale, rope_scale, attention_growth;
    int32_t attention_step;                      /* INT32_MAX: the factor of the scores does not grow */
    int32_t rope_original;                       /* longer sequences are turned by rope_long; INT32_MAX: none */
    const uint8_t *window_layers, *local_layers; /* [layers] of 0 or 1, or NULL */
    int32_t expert_ffn, routing, has_sinks, conv_taps;
    int32_t local_head_dim, narrow_ffn, layer_inputs, has_scales;
    int32_t delta_heads, delta_key_heads, delta_key_dim, delta_value_dim, has_gates, shared_ffn;
    float layer_input_scale;
    const uint8_t *expert_layers, *conv_layers, *shared_layers, *narrow_layers, *delta_layers;
} hp_recipe;

/* A tokenizer as it stands in the file: every pointer leads into the image and is checked by hp_tokenizer_open. */
typedef struct hp_tokenizer {
    int32_t kind;           /* 0 none, HP_SENTENCEPIECE, HP_BYTE_LEVEL                                        */
    int32_t n;              /* tokens; equal to the model's vocab                                             */
    int32_t longest;        /* most bytes that one token can put out                                          */
    int32_t n_sorted, n_added, n_merges;
    int32_t unknown;        /* token for what no token covers, or -1                                          */
    int32_t add_bos;        /* a text begins with the begin token                                             */
    int32_t spaces;         /* HP_SPACE_* bits                                                                */
    int32_t unknown_whole;  /* SentencePiece: unknown is for 1 a character, 2 a run of them; 0: for a byte    */
    int32_t ignore_merges;  /* a word that is a token as a whole is not taken apart                           */
    int32_t contractions;   /* byte level: 0 none, 1 's 't 're 've 'm 'll 'd, 2 in any case                   */
    int32_t any_lead;       /* byte level: a word may begin with any sign, not only with a space              */
    int32_t number_lead;    /* byte level: a number may begin with a space                                    */
    int32_t number_digits;  /* byte level: most digits in a piece, 0 any                                      */
    int32_t lone_digits;    /* byte level: each digit is a piece, cut out before all else                     */
    int32_t sign_newlines;  /* byte level: signs take the newlines that follow                                */
    int32_t newline_runs;   /* byte level: white space is cut after its last newline                          */
    const uint8_t *offsets; /* u32 [n + 1]        token i is text[offsets[i]] up to text[offsets[i + 1]]      */
    const uint8_t *text;    /* u8  [offsets[n]]                                                               */
    const uint8_t *types;   /* u8  [n]            HP_TOKEN_*                                                  */
    const uint8_t *sorted;  /* u32 [n_sorted]     normal tokens by text                                       */
    const uint8_t *bytes;   /* u32 [256]          the token of each byte, or HP_NO_TOKEN                      */
    const uint8_t *first;   /* u32 [n + 1]        token i is the left part of merges first[i] to first[i + 1] */
    const uint8_t *merges;  /* u32 [n_merges][3]  right part, rank, result; by right part                     */
    const uint8_t *added;   /* u32 [n_added][2]   token, HP_ADDED_* bits; by text                             */
    int32_t n_items, n_sets, n_ranges;
    const uint8_t *items;   /* u32 [n_items][4]   kind with HP_ITEM_* bits, set, least, most                  */
    const uint8_t *sets;    /* u32 [n_sets + 1]   set i is ranges[sets[i]] up to ranges[sets[i + 1]]          */
    const uint8_t *ranges;  /* u32 [n_ranges][2]  first and last character                                    */
    int32_t n_decompose, n_compose, n_marks;
    const uint8_t *decompose; /* u32 [n_decompose][5] character, up to four that it is made of; by character  */
    const uint8_t *compose;   /* u32 [n_compose][3]   first, second, what they make; by first and second      */
    const uint8_t *marks;     /* u32 [n_marks][3]     first, last, their combining class; ascending           */
} hp_tokenizer;

/* Kinds of layers: bits. */
enum { HP_IS_MIXTURE = 1, HP_IS_CONVOLUTION = 2, HP_IS_BORROWER = 4, HP_IS_DELTA = 8, HP_KINDS = HP_SPECIAL ? 16 : 1 };

typedef void hp_stage(harp_engine *e, const hp_layer *layer);

struct harp_model {
    hp_file file;
    harp_info info;
    int32_t vocab; /* = info.vocab */
    float norm_eps;
    hp_recipe recipe;
    hp_stage *stages[HP_KINDS][HP_MAX_LAYER_STAGES]; /* what a layer of each kind does, in order ([CH20]); then NULL */
    int32_t rope_dims, local_dims; /* local_dims: turned by rope_local */
    int32_t unit, units; /* of elements stored by a layer, for each is a multiple of it; of all layers */
    int32_t deltas, gates; /* layers that are delta nets; gates that go with a unit, see [CH17]        */
    hp_tokenizer tokenizer;
    hp_matrix embedding, output;
    hp_matrix position_embedding, layer_embedding;             /* tiles NULL: none                         */
    const uint8_t *layer_input_norm;
    const uint8_t *rope_frequencies, *rope_long, *rope_local; /* NULL: none                               */
    const uint8_t *output_bias;                               /* NULL: none                               */
    hp_norm_of final_norm;
    hp_layer *layers;
    void *block; /* what holds this structure; block_bytes 0: the caller's */
    size_t block_bytes;
};

HARP_API int harp_meta_at(const harp_model *m, int32_t index, harp_meta *meta)
{
    uint64_t offset = HP_HEADER_BYTES;
    int32_t i;
    if (!m || !meta || index < 0 || index >= m->file.n_meta) return 0;
    for (i = 0; i <= index; i++) (void)hp_read_meta(&m->file, &offset, m->file.table_offset, meta); /* as checked */
    return 1;
}

HARP_API int harp_meta_find(const harp_model *m, const char *key, harp_meta *meta)
{
    uint64_t offset = HP_HEADER_BYTES;
    int32_t i;
    if (!m || !key || !meta) return 0;
    for (i = 0; i < m->file.n_meta; i++) {
        (void)hp_read_meta(&m->file, &offset, m->file.table_offset, meta); /* checked at open, and so never fails */
        if (strcmp(meta->key, key) == 0) return 1; /* NOLINT: so meta->key is always set */
    }
    return 0;
}

/* ---- What the metadata say ----
 *
 * A table says which keys there are, what each may hold, and where in the model that goes. */

enum {
    HP_NEEDED,    /* an integer whose key must be there; all others may be absent, and leave the model as it is */
    HP_INTEGER,
    HP_FACTOR,    /* a real                                                                                     */
    HP_WORD,      /* a text out of a list; the model gets its place in the list, from 0                         */
    HP_LAYER_BITS /* a byte for each layer, 0 or 1                                                              */
};

typedef struct hp_fact {
    const char *key;
    uint8_t kind;         /* HP_NEEDED and so on                                              */
    int8_t least;         /* of an integer                                                    */
    uint16_t place;       /* in the model: of an int32_t, float or pointer                    */
    uint16_t limit;       /* place of an integer read before that is added to most; 0: none   */
    int32_t most;
    const char *words;    /* that a text may be                                               */
} hp_fact;

#define HP_IN(field) .place = offsetof(harp_model, field)
#define HP_UP_TO(field) .limit = offsetof(harp_model, field)

static const hp_fact hp_model_facts[] = {
    {"vocab", HP_NEEDED, HP_IN(info.vocab), .least = 1, .most = 1 << 24},
    {"hidden", HP_NEEDED, HP_IN(info.hidden), .least = 1, .most = 1 << 18},
    {"layers", HP_NEEDED, HP_IN(info.layers), .least = 1, .most = HP_MAX_LAYERS},
    {"heads", HP_NEEDED, HP_IN(info.heads), .least = 1, .most = 4096},
    {"kv_heads", HP_NEEDED, HP_IN(info.kv_heads), .least = 1, .most = 4096},
    {"head_dim", HP_NEEDED, HP_IN(info.head_dim), .least = 2, .most = HP_MAX_HEAD_DIM},
    {"ffn", HP_NEEDED, HP_IN(info.ffn), .least = 1, .most = 1 << 20},
    {"context", HP_NEEDED, HP_IN(info.context), .least = 1, .most = 1 << 28},
    {"window", HP_NEEDED, HP_IN(info.window), .least = 0, .most = 1 << 28},
    {"tied", HP_NEEDED, HP_IN(info.tied), .least = 0, .most = 1},
    {"rope_dims", HP_NEEDED, HP_IN(rope_dims), .least = 0, HP_UP_TO(info.head_dim)},
    {"bos_token", HP_INTEGER, HP_IN(info.bos), .least = 0, .most = -1, HP_UP_TO(info.vocab)},
    {"norm", HP_WORD, HP_IN(recipe.norm), .words = "rms layer"},
    {"norm_place", HP_WORD, HP_IN(recipe.norm_place), .words = "before after around"},
    {"residual", HP_WORD, HP_IN(recipe.residual), .words = "sequential parallel parallel_shared"},
    {"activation", HP_WORD, HP_IN(recipe.activation), .words = "silu gelu_tanh gelu_erf" HP_SPECIAL_WORDS},
    {"ffn_kind", HP_WORD, HP_IN(recipe.ffn_kind), .words = "gated plain"},
    {"qk_norm", HP_WORD, HP_IN(recipe.qk_norm), .words = "none head all"},
    {"attention_scale", HP_FACTOR, HP_IN(recipe.attention_scale)},
    {"attention_growth", HP_FACTOR, HP_IN(recipe.attention_growth)},
    {"attention_step", HP_INTEGER, HP_IN(recipe.attention_step), .least = 1, HP_UP_TO(info.context)},
    {"attention_cap", HP_FACTOR, HP_IN(recipe.attention_cap)},
    {"logit_cap", HP_FACTOR, HP_IN(recipe.logit_cap)},
    {"embedding_scale", HP_FACTOR, HP_IN(recipe.embedding_scale)},
    {"rope_scale", HP_FACTOR, HP_IN(recipe.rope_scale)},
    {"window_layers", HP_LAYER_BITS, HP_IN(recipe.window_layers)},
    {"local_layers", HP_LAYER_BITS, HP_IN(recipe.local_layers)},
    {"rope_original", HP_INTEGER, HP_IN(recipe.rope_original), .least = 1, HP_UP_TO(info.context)},
};

static const hp_fact hp_special_facts[] = {
    {"experts", HP_INTEGER, HP_IN(info.experts), .least = 1, .most = HP_MAX_EXPERTS},
    {"experts_used", HP_INTEGER, HP_IN(info.experts_used), .least = 1, HP_UP_TO(info.experts)},
    {"expert_ffn", HP_INTEGER, HP_IN(recipe.expert_ffn), .least = 1, .most = 1 << 20},
    {"routing", HP_WORD, HP_IN(recipe.routing), .words = "chosen all"},
    {"expert_layers", HP_LAYER_BITS, HP_IN(recipe.expert_layers)},
    {"conv_layers", HP_LAYER_BITS, HP_IN(recipe.conv_layers)},
    {"conv_taps", HP_INTEGER, HP_IN(recipe.conv_taps), .least = 2, .most = 16},
    {"local_head_dim", HP_INTEGER, HP_IN(recipe.local_head_dim), .least = 2, HP_UP_TO(info.head_dim)},
    {"shared_layers", HP_LAYER_BITS, HP_IN(recipe.shared_layers)},
    {"narrow_ffn", HP_INTEGER, HP_IN(recipe.narrow_ffn), .least = 1, HP_UP_TO(info.ffn)},
    {"narrow_layers", HP_LAYER_BITS, HP_IN(recipe.narrow_layers)},
    {"layer_inputs", HP_INTEGER, HP_IN(recipe.layer_inputs), .least = HP_LANES, .most = 1 << 14},
    {"layer_input_scale", HP_FACTOR, HP_IN(recipe.layer_input_scale)},
    {"delta_layers", HP_LAYER_BITS, HP_IN(recipe.delta_layers)},
    {"delta_heads", HP_INTEGER, HP_IN(recipe.delta_heads), .least = 1, .most = 4096},
    {"delta_key_heads", HP_INTEGER, HP_IN(recipe.delta_key_heads), .least = 1, HP_UP_TO(recipe.delta_heads)},
    {"delta_key_dim", HP_INTEGER, HP_IN(recipe.delta_key_dim), .least = HP_LANES, .most = HP_MAX_HEAD_DIM},
    {"delta_value_dim", HP_INTEGER, HP_IN(recipe.delta_value_dim), .least = HP_LANES, .most = HP_MAX_HEAD_DIM},
    {"shared_ffn", HP_INTEGER, HP_IN(recipe.shared_ffn), .least = 1, .most = 1 << 20},
};

static harp_status hp_take_integer(harp_model *m, const hp_fact *f, const harp_meta *meta, void *to, harp_error *err)
{
    int64_t most = f->most;
    if (f->limit) most += *(const int32_t *)(const void *)((const char *)m + f->limit);
    if (meta->type != HARP_META_INTEGER) return hp_fail(err, HARP_ERR_FORMAT, "%s must be an integer", f->key);
    if (meta->integer < f->least || meta->integer > most)
        return hp_fail(err, HARP_ERR_FORMAT, "%s is %d; it must be between %d and %d", f->key, meta->integer,
                       (int64_t)f->least, most);
    *(int32_t *)to = (int32_t)meta->integer;
    return HARP_OK;
}

static harp_status hp_take_factor(const hp_fact *f, const harp_meta *meta, void *to, harp_error *err)
{
    if (meta->type != HARP_META_REAL || !(meta->real >= 1e-6 && meta->real <= 1e6))
        return hp_fail(err, HARP_ERR_FORMAT, "%s must be a real between 1e-6 and 1e6", f->key);
    *(float *)to = (float)meta->real;
    return HARP_OK;
}

static harp_status hp_take_word(const hp_fact *f, const harp_meta *meta, void *to, harp_error *err)
{
    const char *word = f->words;
    size_t length;
    int32_t i;
    if (meta->type != HARP_META_TEXT) return hp_fail(err, HARP_ERR_FORMAT, "%s must be a text", f->key);
    for (i = 0; *word; i++, word += length + (word[length] == ' ')) {
        for (length = 0; word[length] && word[length] != ' ';) length++;
        if (length != meta->bytes || memcmp(word, meta->data, length) != 0) continue;
        *(int32_t *)to = i;
        return HARP_OK;
    }
    return hp_fail(err, HARP_ERR_UNSUPPORTED, "%s is %s, which this version does not know", f->key, meta->data);
}

static harp_status hp_take_layer_bits(const harp_model *m, const hp_fact *f, const harp_meta *meta, void *to,
                                      harp_error *err)
{
    const uint8_t *bits = (const uint8_t *)meta->data;
    int32_t i;
    if (meta->type != HARP_META_BYTES || meta->bytes != (size_t)m->info.layers)
        return hp_fail(err, HARP_ERR_FORMAT, "%s must be bytes, one for each of %d layers", f->key,
                       (int64_t)m->info.layers);
    for (i = 0; i < m->info.layers; i++)
        if (bits[i] > 1) return hp_fail(err, HARP_ERR_FORMAT, "%s of layer %d is neither 0 nor 1", f->key, (int64_t)i);
    *(const uint8_t **)to = bits;
    return HARP_OK;
}

static harp_status hp_take_fact(harp_model *m, const hp_fact *f, harp_error *err)
{
    void *to = (char *)m + f->place;
    harp_meta meta;
    if (!harp_meta_find(m, f->key, &meta)) {
        if (f->kind != HP_NEEDED) return HARP_OK;
        return hp_fail(err, HARP_ERR_FORMAT, "the integer %s is missing from the file", f->key);
    }
    switch (f->kind) {
    case HP_FACTOR: return hp_take_factor(f, &meta, to, err);
    case HP_WORD: return hp_take_word(f, &meta, to, err);
    case HP_LAYER_BITS: return hp_take_layer_bits(m, f, &meta, to, err);
    default: return hp_take_integer(m, f, &meta, to, err);
    }
}

static harp_status hp_take_facts(harp_model *m, const hp_fact *facts, size_t n, harp_error *err)
{
    harp_status status = HARP_OK;
    size_t i;
    for (i = 0; i < n && status == HARP_OK; i++) status = hp_take_fact(m, &facts[i], err);
    return status;
}

/* ---- What the model is ---- */

/* The rows of gate_up for an inner size. */
static int32_t hp_inner_rows(const harp_model *m, int32_t ffn)
{
    return m->recipe.ffn_kind == HP_GATED ? 2 * ffn : ffn;
}

static harp_status hp_read_ends(harp_model *m, harp_error *err)
{
    harp_meta meta;
    int32_t i;
    if (!harp_meta_find(m, "end_tokens", &meta)) return HARP_OK;
    if (meta.type != HARP_META_BYTES || meta.bytes % 4 != 0 || meta.bytes / 4 > sizeof m->info.end / sizeof(int32_t))
        return hp_fail(err, HARP_ERR_FORMAT, "end_tokens must be at most 16 ids of four bytes");
    m->info.n_end = (int32_t)(meta.bytes / 4);
    for (i = 0; i < m->info.n_end; i++) {
        uint32_t id = hp_u32((const uint8_t *)meta.data + 4 * (size_t)i);
        if (id >= (uint32_t)m->info.vocab)
            return hp_fail(err, HARP_ERR_FORMAT, "end token %d is not in the vocabulary", (int64_t)id);
        m->info.end[i] = (int32_t)id;
    }
    return HARP_OK;
}

/* Facts that are fine by themselves may contradict each other. */
static harp_status hp_check_facts(const harp_model *m, harp_error *err)
{
    const harp_info *f = &m->info;
    const hp_recipe *r = &m->recipe;
    if (f->layers > m->file.n_tensors / 4) /* before memory is asked for: a layer has more than four tensors */
        return hp_fail(err, HARP_ERR_FORMAT, "%d layers cannot be made of %d tensors", (int64_t)f->layers,
                       (int64_t)m->file.n_tensors);
    if (f->heads % f->kv_heads != 0 || m->rope_dims % 2 != 0)
        return hp_fail(err, HARP_ERR_FORMAT, "%d heads cannot share %d key-value heads, or rope_dims %d is odd",
                       (int64_t)f->heads, (int64_t)f->kv_heads, (int64_t)m->rope_dims);
    if (m->rope_dims == 0 && (r->rope_original != INT32_MAX || r->local_layers))
        return hp_fail(err, HARP_ERR_FORMAT, "rope_dims is 0, but rope_original or local_layers is there");
    if (HP_SPECIAL && r->activation == HP_CLAMPED && r->ffn_kind != HP_GATED)
        return hp_fail(err, HARP_ERR_UNSUPPORTED, "the activation is clamped, which goes with ffn_kind gated");
    if (r->residual != HP_SEQUENTIAL && r->norm_place != HP_BEFORE)
        return hp_fail(err, HARP_ERR_UNSUPPORTED, "a parallel residual goes with norms before its parts alone");
    return HARP_OK;
}

/* Layers that differ from one another in their sizes, and what they have of a token for themselves. */
static harp_status hp_check_layers(harp_model *m, harp_error *err)
{
    const harp_info *f = &m->info;
    hp_recipe *r = &m->recipe;
    if (r->layer_input_scale <= 0.0f) r->layer_input_scale = 1.0f;
    m->local_dims = m->rope_dims;
    if (r->local_head_dim == 0) r->local_head_dim = f->head_dim;
    else if (!r->local_layers || r->local_head_dim % 2 || f->heads * r->local_head_dim % HP_GROUP)
        return hp_fail(err, HARP_ERR_UNSUPPORTED, "local_head_dim goes with local_layers, is even, and a multiple of 32"
                       " with all heads");
    else m->local_dims = r->local_head_dim;
    if ((r->narrow_layers != NULL) != (r->narrow_ffn > 0))
        return hp_fail(err, HARP_ERR_FORMAT, "one of narrow_layers and narrow_ffn is missing");
    if (r->layer_inputs % HP_LANES || (r->layer_inputs > 0 && r->ffn_kind != HP_GATED))
        return hp_fail(err, HARP_ERR_UNSUPPORTED, "layer_inputs is a multiple of 16 and goes with ffn_kind gated");
    return HARP_OK;
}

/* Inputs of a delta net's convolution: queries, keys and values. */
static int32_t hp_delta_inputs(const hp_recipe *r)
{
    return 2 * r->delta_key_heads * r->delta_key_dim + r->delta_heads * r->delta_value_dim;
}

/* Layers in which a convolution or a delta net stands in the place of attention. */
static harp_status hp_check_convolutions(const harp_model *m, harp_error *err)
{
    const harp_info *f = &m->info;
    const hp_recipe *r = &m->recipe;
    int deltas = r->delta_layers != NULL;
    int32_t i;
    if ((r->conv_layers || deltas) != (r->conv_taps > 0))
        return hp_fail(err, HARP_ERR_FORMAT, "one of conv_layers or delta_layers and conv_taps is missing");
    if (deltas != (r->delta_heads > 0) || deltas != (r->delta_key_heads > 0) || deltas != (r->delta_key_dim > 0)
        || deltas != (r->delta_value_dim > 0))
        return hp_fail(err, HARP_ERR_FORMAT, "some of delta_layers, delta_heads, delta_key_heads, delta_key_dim and "
                                             "delta_value_dim are there, and others missing");
    if (r->conv_layers && (f->heads * f->head_dim != f->hidden || f->hidden % (2 * f->kv_heads)
                           || r->residual != HP_SEQUENTIAL))
        return hp_fail(err, HARP_ERR_UNSUPPORTED, "convolutions go with heads that make up hidden, which twice the "
                       "key-value heads divide, and with a sequential residual");
    if (!deltas) return HARP_OK;
    if (r->delta_heads % r->delta_key_heads || r->delta_key_dim % HP_LANES || r->delta_value_dim % HP_LANES
        || r->delta_heads * r->delta_value_dim % HP_GROUP || f->heads * f->head_dim % HP_GROUP
        || hp_delta_inputs(r) % (2 * f->kv_heads) || r->residual != HP_SEQUENTIAL
        || r->delta_heads > (1 << 28) / (r->delta_key_dim * r->delta_value_dim))
        return hp_fail(err, HARP_ERR_UNSUPPORTED, "delta nets of %d heads of [%d][%d], %d of keys: sizes are "
                       "multiples of 16, with all heads of 32, and at most 2^28; key heads divide heads, and twice the "
                       "key-value heads all inputs; the residual is sequential", (int64_t)r->delta_heads,
                       (int64_t)r->delta_key_dim, (int64_t)r->delta_value_dim, (int64_t)r->delta_key_heads);
    for (i = 0; i < f->layers; i++)
        if (r->conv_layers && r->conv_layers[i] && r->delta_layers[i])
            return hp_fail(err, HARP_ERR_FORMAT, "layer %d is in conv_layers and in delta_layers", (int64_t)i);
    return HARP_OK;
}

static harp_status hp_check_experts(harp_model *m, harp_error *err)
{
    harp_info *f = &m->info;
    hp_recipe *r = &m->recipe;
    if (f->experts == 0 && (f->experts_used || r->expert_ffn || r->expert_layers || r->shared_ffn))
        return hp_fail(err, HARP_ERR_FORMAT, "the file tells of experts, but not how many there are");
    if (f->experts == 0) return HARP_OK;
    if (f->experts_used == 0) f->experts_used = 1;
    if (r->expert_ffn == 0) r->expert_ffn = f->ffn;
    if (f->experts_used > HP_MAX_USED || f->hidden % HP_LANES || hp_inner_rows(m, r->expert_ffn) % HP_LANES
        || hp_max(f->hidden, hp_inner_rows(m, r->expert_ffn)) > (1 << 28) / f->experts)
        return hp_fail(err, HARP_ERR_UNSUPPORTED, "%d experts of [%d][%d], %d used: at most 64 may be, and sizes must "
                       "be multiples of 16, rows in all at most 2^28", (int64_t)f->experts, (int64_t)f->hidden,
                       (int64_t)r->expert_ffn, (int64_t)f->experts_used);
    if (r->residual != HP_SEQUENTIAL)
        return hp_fail(err, HARP_ERR_UNSUPPORTED, "a mixture of experts goes with a sequential residual alone");
    return HARP_OK;
}

/* A build without special layers ignores these keys, and refuses the file because its tensors do not fit. */
static harp_status hp_read_special(harp_model *m, harp_error *err)
{
    harp_status status = hp_take_facts(m, hp_special_facts, sizeof hp_special_facts / sizeof hp_special_facts[0], err);
    if (status || (status = hp_check_layers(m, err)) != HARP_OK || (status = hp_check_convolutions(m, err)) != HARP_OK)
        return status;
    return hp_check_experts(m, err);
}

static harp_status hp_read_architecture(harp_model *m, harp_error *err)
{
    harp_meta meta;
    harp_status status;
    if (!harp_meta_find(m, "architecture", &meta) || meta.type != HARP_META_TEXT)
        return hp_fail(err, HARP_ERR_FORMAT, "the text architecture is missing from the file");
    m->info.architecture = meta.data;
    if (!harp_meta_find(m, "norm_eps", &meta) || meta.type != HARP_META_REAL || !(meta.real >= 0.0 && meta.real < 1.0))
        return hp_fail(err, HARP_ERR_FORMAT, "the real norm_eps is missing from the file, or not in 0..1");
    m->norm_eps = (float)meta.real;
    m->info.bos = -1, m->recipe.rope_original = m->recipe.attention_step = INT32_MAX;
    m->recipe.embedding_scale = m->recipe.rope_scale = 1.0f;
    status = hp_take_facts(m, hp_model_facts, sizeof hp_model_facts / sizeof hp_model_facts[0], err);
    if (status || (HP_SPECIAL && (status = hp_read_special(m, err)) != HARP_OK)
        || (status = hp_read_ends(m, err)) != HARP_OK || (status = hp_check_facts(m, err)) != HARP_OK)
        return status;
    if (m->recipe.attention_scale <= 0.0f) m->recipe.attention_scale = 1.0f / sqrtf((float)m->info.head_dim);
    m->vocab = m->info.vocab;
    return HARP_OK;
}

/* ---- What the file recommends ---- */

enum { HP_MAX_REFRAMINGS = 64 }; /* of harp_params */

/* A number of the file within bounds; *to stays if the key is absent. 0: it is none that counts. */
static int hp_advised(const harp_model *m, const char *key, harp_meta_type type, double least, double most, double *to)
{
    harp_meta meta;
    if (!harp_meta_find(m, key, &meta)) return 1;
    *to = meta.real; /* of an integer, too; a NaN is in no range */
    return meta.type == type && meta.real >= least && meta.real <= most;
}

static int hp_advised_frame(const harp_model *m, harp_frame *to)
{
    static const char names[3][8] = {"stream", "redraw", "last"}; /* in the order of harp_frame */
    harp_meta meta;
    int i = 0;
    if (!harp_meta_find(m, "recommend.frame", &meta)) return 1;
    if (meta.type != HARP_META_TEXT) return 0;
    while (i < 3 && strcmp(names[i], meta.data) != 0) i++;
    *to = (harp_frame)i;
    return i < 3;
}

HARP_API int harp_recommend(const harp_model *m, harp_params *p)
{
    const harp_params paper = harp_defaults();
    double on = -1.0, from = paper.reframe_from, k = paper.reframings, rescale = paper.rescale;
    double theta = (double)paper.theta, delta = (double)paper.delta, beta = (double)paper.beta;
    harp_frame frame = paper.frame;
    if (!m || !p || hp_check_stamp(&p->stamp, "params", sizeof *p, NULL)) return -1;
    if (!hp_advised(m, "recommend.harp", HARP_META_INTEGER, 0.0, 1.0, &on)
        || !hp_advised(m, "recommend.reframe_from", HARP_META_INTEGER, HARP_FROM_PROMPT, 1 << 28, &from)
        || !hp_advised(m, "recommend.reframings", HARP_META_INTEGER, 1.0, HP_MAX_REFRAMINGS, &k)
        || !hp_advised(m, "recommend.rescale", HARP_META_INTEGER, 0.0, 1.0, &rescale)
        || !hp_advised(m, "recommend.theta", HARP_META_REAL, -1e30, 1e30, &theta)
        || !hp_advised(m, "recommend.delta", HARP_META_REAL, 0.0, 1.0, &delta)
        || !hp_advised(m, "recommend.beta", HARP_META_REAL, 0.0, 1.0, &beta) || !hp_advised_frame(m, &frame))
        return -1;
    if (on < 0.0) return 0;
    p->harp = (int)on, p->rescale = (int)rescale, p->frame = frame;
    p->reframe_from = (int32_t)from, p->reframings = (int32_t)k;
    p->theta = (float)theta, p->delta = (float)delta, p->beta = (float)beta;
    return 1;
}

/* ================================================================================================================
 * [CH11] Its weights
 *
 * The weights stay where they are, in the image. The model gets pointers to them, once it is certain that the tensors
 * are those that its metadata call for. After that the model is complete and never changes.
 *
 * Tensors, in this order; what stands at the right in [] is a condition, ? means that the tensor may be there or not:
 *
 *      embedding [vocab][hidden]
 *      position_embedding [context][hidden] ?
 *      rope_frequencies (f32, rope_dims / 2: radians per position, any scaling applied)  [rope_dims > 0]
 *      rope_long, rope_local (f32, the same)             [rope_original, local_layers are there; rope_local:
 *                                                        local_head_dim / 2]
 *      layer_embedding [vocab][layers layer_inputs], layer_input_norm (f32)    [layer_inputs]
 *      for every layer L from 0:
 *          L.attn_norm (f32), L.attn_norm_bias (f32) ?   [norm_place before or around; any bias of a norm: norm layer]
 *          L.qkv [(heads + 2 kv_heads) head_dim][hidden] rows: all queries, all keys, all values; queries alone, and no
 *                                                        k_norm, v_norm, where keys and values are another layer's
 *          L.qkv_bias (f32) ?
 *          L.attn_gate [heads head_dim][hidden] ?        its sigmoid is a factor of what goes into attn_out
 *          L.q_norm, L.k_norm (f32)                      [qk_norm head: head_dim; all: heads, kv_heads times that]
 *          L.v_norm (f32, head_dim) ?                    so are values, each head by itself  [qk_norm head or all]
 *          L.sinks (f32, heads) ?                        a score more for each head, of a value that is zero
 *          L.attn_out [hidden][heads head_dim]
 *          L.attn_out_bias (f32) ?
 *          or, if it is a convolution,
 *          L.qkv [3 hidden][hidden]                      rows: all B, all C, all X
 *          L.conv (f32, conv_taps hidden)                of the oldest position first; C conv(B X) goes into
 *          L.attn_out [hidden][hidden]
 *          or, if it is a delta net, with D = delta_heads, V = D delta_value_dim, K = delta_key_heads delta_key_dim,
 *          L.qkv [2 K + V][hidden]                       rows: all queries, all keys, all values
 *          L.attn_gate [V][hidden]                       its SiLU is a factor of what goes into attn_out
 *          L.delta_gates [2 D][hidden]                   rows: all b, all a, see [CH19]
 *          L.conv (f32, conv_taps (2 K + V))             of queries, keys and values, the oldest position first
 *          L.delta_log_rate, L.delta_bias (f32, D)       for the decay
 *          L.delta_norm (f32, delta_value_dim)           of what each head puts out
 *          L.attn_out [hidden][V]
 *          L.attn_post_norm (f32), L.attn_post_norm_bias (f32) ?  [norm_place after or around]
 *          L.ffn_norm (f32), L.ffn_norm_bias (f32) ?     [as attn_norm, and residual not parallel_shared]
 *          L.gate_up [2 ffn][hidden]                     rows: all gates, all ups; ffn_kind plain: [ffn][hidden], ups
 *          L.gate_up_bias (f32) ?
 *          L.down [hidden][ffn]
 *          L.down_bias (f32) ?
 *          or, if the layer is a mixture,
 *          L.router [experts][hidden], L.router_bias (f32) ?    with shared_ffn one row more: the sigmoid of what that
 *                                                        gives is the weight of the expert to which all go
 *          L.gate_up [experts 2 expert_ffn][hidden]      one expert after another, each with the rows as above, and
 *          L.gate_up_bias (f32) ?                        beginning a tile: their numbers are multiples of 16
 *          L.down [experts hidden][expert_ffn]
 *          L.down_bias (f32) ?
 *          L.shared_gate_up [2 shared_ffn][hidden], L.shared_down [hidden][shared_ffn]    [shared_ffn]
 *          L.ffn_post_norm (f32), L.ffn_post_norm_bias (f32) ?    [as attn_post_norm]
 *          L.layer_input, L.layer_gate [layer_inputs][hidden], L.layer_out [hidden][layer_inputs]    [layer_inputs]
 *          L.layer_post_norm (f32), L.layer_post_norm_bias (f32) ?    [layer_inputs]
 *          L.layer_scale (f32, 1) ?                      what it hands on is multiplied with that
 *      final_norm (f32), final_norm_bias (f32) ?
 *      output [vocab][hidden]                            [tied is 0]
 *      output_bias (f32) ?
 *
 * A tensor that has no place in this list is refused: its file means something that this reader does not compute.
 * ============================================================================================================== */

/* Writes "layer.part" (or "part", for layer -1) to name[48]. */
static void hp_tensor_name(char *name, int32_t layer, const char *part)
{
    hp_text t;
    t.out = name, t.used = 0, t.capacity = 48;
    if (layer >= 0) hp_put_integer(&t, layer), hp_put(&t, '.');
    hp_put_string(&t, part);
}

/* What the search for tensors carries along: tensors come in the order in which they are asked for, so the next one is
 * the one that is wanted, or what is wanted is not there. The first failure stays. */
typedef struct hp_binder {
    const harp_model *m;
    harp_error *err;
    harp_status status;
    int32_t next;
} hp_binder;

/* Is the next tensor called that? How tensors that need not be there are found. */
static int hp_is_next(const hp_binder *b, int32_t layer, const char *part)
{
    char name[48];
    hp_tensor_name(name, layer, part);
    return b->status == HARP_OK && b->next < b->m->file.n_tensors
           && strcmp(hp_tensor_at(&b->m->file, b->next).name, name) == 0;
}

/* The tensor of this name and shape; on failure one without bytes. */
static hp_tensor hp_bind(hp_binder *b, int32_t layer, const char *part, int is_vector, int32_t rows, int32_t cols)
{
    char name[48];
    hp_tensor t, none = {0};
    if (b->status) return none;
    hp_tensor_name(name, layer, part);
    if (!hp_is_next(b, layer, part)) {
        b->status = hp_fail(b->err, HARP_ERR_FORMAT, "tensor %s is missing or misplaced", name);
        return none;
    }
    t = hp_tensor_at(&b->m->file, b->next++);
    if (t.rows != (uint64_t)rows || t.cols != (uint64_t)cols)
        b->status = hp_fail(b->err, HARP_ERR_FORMAT, "tensor %s is %d x %d; the model needs %d x %d", name,
                            (int64_t)t.rows, (int64_t)t.cols, (int64_t)rows, (int64_t)cols);
    else if ((t.type == HP_TENSOR_F32) != is_vector)
        b->status = hp_fail(b->err, HARP_ERR_FORMAT, "tensor %s has the wrong type", name);
    return b->status ? none : t;
}

static const uint8_t *hp_bind_vector(hp_binder *b, int32_t layer, const char *part, int32_t n)
{
    return b->m->file.image + hp_bind(b, layer, part, 1, 1, n).offset;
}

/* A vector that may be there: NULL if it is not. */
static const uint8_t *hp_bind_optional(hp_binder *b, int32_t layer, const char *part, int32_t n)
{
    return hp_is_next(b, layer, part) ? hp_bind_vector(b, layer, part, n) : NULL;
}

static hp_norm_of hp_bind_norm(hp_binder *b, int32_t layer, const char *weight, const char *bias)
{
    hp_norm_of norm;
    norm.weight = hp_bind_vector(b, layer, weight, b->m->info.hidden), norm.bias = NULL;
    if (b->m->recipe.norm == HP_NORM_LAYER) norm.bias = hp_bind_optional(b, layer, bias, b->m->info.hidden);
    return norm;
}

static hp_matrix hp_bind_matrix(hp_binder *b, int32_t layer, const char *part, int32_t rows, int32_t cols)
{
    hp_tensor t = hp_bind(b, layer, part, 0, rows, cols);
    int has_nibbles = hp_is_nibbles(t.type);
    hp_matrix w;
    w.tiles = b->m->file.image + t.offset;
    w.table = t.type == HP_TENSOR_F32_MATRIX || has_nibbles ? w.tiles : NULL; /* of floats nothing is looked up */
    w.rows = rows, w.cols = cols;
    w.groups = hp_round_up(cols, HP_GROUP) / HP_GROUP, w.n_tiles = hp_round_up(rows, HP_LANES) / HP_LANES;
    w.scale_bytes = (size_t)hp_scale_bytes(t.type, (uint64_t)w.groups);
    w.tile_bytes = (size_t)hp_tile_bytes(t.type, (uint64_t)w.groups);
    if (!has_nibbles) return w;
    w.tiles += HP_TABLE_BYTES;
    if (layer < 0) /* rows of embeddings are looked up, and the output decides */
        b->status = hp_fail(b->err, HARP_ERR_FORMAT, "tensor %s has weights of four bits; only layers may", part);
    return w;
}

static void hp_bind_convolution(hp_binder *b, int32_t i, hp_layer *w)
{
    int32_t hidden = b->m->info.hidden;
    w->qkv = hp_bind_matrix(b, i, "qkv", 3 * hidden, hidden);
    w->conv = hp_bind_vector(b, i, "conv", b->m->recipe.conv_taps * hidden);
    w->attn_out = hp_bind_matrix(b, i, "attn_out", hidden, hidden);
    w->stored = hidden / (2 * b->m->info.kv_heads);
}

static void hp_bind_delta(hp_binder *b, int32_t i, hp_layer *w)
{
    const hp_recipe *r = &b->m->recipe;
    int32_t hidden = b->m->info.hidden, inputs = hp_delta_inputs(r), values = r->delta_heads * r->delta_value_dim;
    w->qkv = hp_bind_matrix(b, i, "qkv", inputs, hidden);
    w->rare->attn_gate = hp_bind_matrix(b, i, "attn_gate", values, hidden);
    w->rare->delta_gates = hp_bind_matrix(b, i, "delta_gates", 2 * r->delta_heads, hidden);
    w->conv = hp_bind_vector(b, i, "conv", r->conv_taps * inputs);
    w->rare->delta_log_rate = hp_bind_vector(b, i, "delta_log_rate", r->delta_heads);
    w->rare->delta_bias = hp_bind_vector(b, i, "delta_bias", r->delta_heads);
    w->rare->delta_norm = hp_bind_vector(b, i, "delta_norm", r->delta_value_dim);
    w->attn_out = hp_bind_matrix(b, i, "attn_out", hidden, values);
    w->stored = inputs / (2 * b->m->info.kv_heads);
}

/* The layer before that shares its keys and values with this one. */
static int32_t hp_find_lender(hp_binder *b, int32_t i, const hp_layer *w)
{
    int32_t j;
    for (j = i - 1; j >= 0; j--) {
        const hp_layer *l = &b->m->layers[j];
        if (!l->conv && l->stored > 0 && l->window == w->window && l->local == w->local) return j;
    }
    if (b->status == HARP_OK)
        b->status = hp_fail(b->err, HARP_ERR_FORMAT, "no layer before layer %d has keys and values for it", (int64_t)i);
    return i;
}

static void hp_bind_heads(hp_binder *b, int32_t i, hp_layer *w)
{
    const harp_info *f = &b->m->info;
    const hp_recipe *r = &b->m->recipe;
    int32_t dim = HP_SPECIAL && w->local ? r->local_head_dim : f->head_dim, queries = f->heads * dim, keys;
    int borrows = HP_SPECIAL && r->shared_layers && r->shared_layers[i];
    keys = borrows ? 0 : f->kv_heads * dim;
    if (HP_SPECIAL) w->head_dim = dim, w->stored = borrows ? 0 : dim;
    if (borrows) w->lender = hp_find_lender(b, i, w);
    w->qkv = hp_bind_matrix(b, i, "qkv", queries + 2 * keys, f->hidden);
    w->qkv_bias = hp_bind_optional(b, i, "qkv_bias", queries + 2 * keys);
    if (HP_SPECIAL && hp_is_next(b, i, "attn_gate"))
        w->rare->attn_gate = hp_bind_matrix(b, i, "attn_gate", queries, f->hidden);
    if (r->qk_norm != HP_QK_NONE) {
        w->q_norm = hp_bind_vector(b, i, "q_norm", r->qk_norm == HP_QK_ALL ? queries : dim);
        if (!borrows) w->k_norm = hp_bind_vector(b, i, "k_norm", r->qk_norm == HP_QK_ALL ? keys : dim);
        if (HP_SPECIAL && !borrows) w->v_norm = hp_bind_optional(b, i, "v_norm", dim);
    }
    if (HP_SPECIAL) w->sinks = hp_bind_optional(b, i, "sinks", f->heads);
    w->attn_out = hp_bind_matrix(b, i, "attn_out", f->hidden, queries);
    w->attn_out_bias = hp_bind_optional(b, i, "attn_out_bias", f->hidden);
}

static void hp_bind_attention(hp_binder *b, int32_t i, hp_layer *w)
{
    const harp_info *f = &b->m->info;
    const hp_recipe *r = &b->m->recipe;
    w->window = !r->window_layers || r->window_layers[i] ? f->window : 0;
    w->local = r->local_layers && r->local_layers[i];
    w->lender = i;
    if (r->norm_place != HP_AFTER) w->attn_norm = hp_bind_norm(b, i, "attn_norm", "attn_norm_bias");
    if (HP_SPECIAL && r->conv_layers && r->conv_layers[i]) hp_bind_convolution(b, i, w);
    else if (HP_SPECIAL && r->delta_layers && r->delta_layers[i]) hp_bind_delta(b, i, w);
    else hp_bind_heads(b, i, w);
    if (r->norm_place != HP_BEFORE) w->attn_post_norm = hp_bind_norm(b, i, "attn_post_norm", "attn_post_norm_bias");
}

static void hp_bind_experts(hp_binder *b, int32_t i, hp_layer *w)
{
    const harp_info *f = &b->m->info;
    int32_t ffn = b->m->recipe.expert_ffn, inner = f->experts * hp_inner_rows(b->m, ffn);
    int32_t shared = b->m->recipe.shared_ffn, routed = f->experts + (shared > 0);
    w->router = hp_bind_matrix(b, i, "router", routed, f->hidden);
    w->router_bias = hp_bind_optional(b, i, "router_bias", routed);
    w->gate_up = hp_bind_matrix(b, i, "gate_up", inner, f->hidden);
    w->gate_up_bias = hp_bind_optional(b, i, "gate_up_bias", inner);
    w->down = hp_bind_matrix(b, i, "down", f->experts * f->hidden, ffn);
    w->down_bias = hp_bind_optional(b, i, "down_bias", f->experts * f->hidden);
    if (shared == 0) return;
    w->rare->shared_gate_up = hp_bind_matrix(b, i, "shared_gate_up", hp_inner_rows(b->m, shared), f->hidden);
    w->rare->shared_down = hp_bind_matrix(b, i, "shared_down", f->hidden, shared);
}

static void hp_bind_ffn(hp_binder *b, int32_t i, hp_layer *w)
{
    const harp_info *f = &b->m->info;
    const hp_recipe *r = &b->m->recipe;
    int32_t ffn = HP_SPECIAL && r->narrow_layers && r->narrow_layers[i] ? r->narrow_ffn : f->ffn;
    int32_t inner = hp_inner_rows(b->m, ffn);
    if (r->norm_place != HP_AFTER && r->residual != HP_PARALLEL_SHARED)
        w->ffn_norm = hp_bind_norm(b, i, "ffn_norm", "ffn_norm_bias");
    if (HP_SPECIAL && f->experts > 0 && (!r->expert_layers || r->expert_layers[i])) {
        hp_bind_experts(b, i, w);
    } else {
        w->gate_up = hp_bind_matrix(b, i, "gate_up", inner, f->hidden);
        w->gate_up_bias = hp_bind_optional(b, i, "gate_up_bias", inner);
        w->down = hp_bind_matrix(b, i, "down", f->hidden, ffn);
        w->down_bias = hp_bind_optional(b, i, "down_bias", f->hidden);
    }
    if (r->norm_place != HP_BEFORE) w->ffn_post_norm = hp_bind_norm(b, i, "ffn_post_norm", "ffn_post_norm_bias");
}

/* What a layer has of a token for itself, and its scale. */
static void hp_bind_layer_inputs(hp_binder *b, int32_t i, hp_layer *w)
{
    int32_t hidden = b->m->info.hidden, n = b->m->recipe.layer_inputs;
    if (n > 0) {
        w->layer_input = hp_bind_matrix(b, i, "layer_input", n, hidden);
        w->layer_gate = hp_bind_matrix(b, i, "layer_gate", n, hidden);
        w->layer_out = hp_bind_matrix(b, i, "layer_out", hidden, n);
        w->layer_post_norm = hp_bind_norm(b, i, "layer_post_norm", "layer_post_norm_bias");
    }
    w->layer_scale = hp_bind_optional(b, i, "layer_scale", 1);
}

/* A table of rope frequencies. With 2^28 positions: angles stay below 2^34, fit for reduction. */
static const uint8_t *hp_bind_rope(hp_binder *b, const char *name, int32_t dims)
{
    const uint8_t *table = hp_bind_vector(b, -1, name, dims / 2);
    int32_t i;
    for (i = 0; b->status == HARP_OK && i < dims / 2; i++) {
        float f = hp_f32(table + 4 * (size_t)i);
        if (!(f >= -64.0f && f <= 64.0f))
            b->status = hp_fail(b->err, HARP_ERR_FORMAT, "element %d of %s is out of range", (int64_t)i, name);
    }
    return table;
}

static void hp_bind_positions(harp_model *m, hp_binder *b)
{
    if (hp_is_next(b, -1, "position_embedding"))
        m->position_embedding = hp_bind_matrix(b, -1, "position_embedding", m->info.context, m->info.hidden);
    if (m->rope_dims > 0) m->rope_frequencies = hp_bind_rope(b, "rope_frequencies", m->rope_dims);
    if (m->recipe.rope_original != INT32_MAX) m->rope_long = hp_bind_rope(b, "rope_long", m->rope_dims);
    if (m->recipe.local_layers)
        m->rope_local = hp_bind_rope(b, "rope_local", HP_SPECIAL ? m->local_dims : m->rope_dims);
    if (!HP_SPECIAL || m->recipe.layer_inputs == 0) return;
    m->layer_embedding = hp_bind_matrix(b, -1, "layer_embedding", m->vocab, m->info.layers * m->recipe.layer_inputs);
    m->layer_input_norm = hp_bind_vector(b, -1, "layer_input_norm", m->recipe.layer_inputs);
}

/* The largest unit of which all layers store a multiple [Euclid]. A delta net's gates, two for each of its heads, go
 * with the units of its key-value heads. */
static void hp_count_units(harp_model *m)
{
    int32_t i, n, rest;
    for (i = 0; i < m->info.layers; i++)
        for (n = m->layers[i].stored; n > 0; n = rest) rest = m->unit % n, m->unit = n;
    for (i = 0; i < m->info.layers; i++) {
        hp_layer *w = &m->layers[i];
        w->before = m->units, w->units = w->stored / m->unit;
        m->units += w->units;
        w->rare->deltas_before = m->deltas;
        if (!w->rare->delta_norm) continue;
        n = w->units * m->info.kv_heads;
        m->deltas++, m->gates = 2 * ((m->recipe.delta_heads + n - 1) / n);
    }
}

/* All layers, and then what few of them have. */
static size_t hp_layers_bytes(int32_t layers)
{
    return (size_t)layers * (sizeof(hp_layer) + (HP_SPECIAL ? sizeof(hp_rare) : 0));
}

static harp_status hp_bind_tensors(harp_model *m, harp_error *err)
{
    hp_binder b;
    int32_t i;
    b.m = m, b.err = err, b.status = HARP_OK, b.next = 0;
    m->embedding = hp_bind_matrix(&b, -1, "embedding", m->vocab, m->info.hidden);
    hp_bind_positions(m, &b);
    memset(m->layers, 0, hp_layers_bytes(m->info.layers));
    for (i = 0; HP_SPECIAL && i < m->info.layers; i++)
        m->layers[i].rare = (hp_rare *)(void *)(m->layers + m->info.layers) + i;
    for (i = 0; i < m->info.layers && b.status == HARP_OK; i++) {
        hp_bind_attention(&b, i, &m->layers[i]);
        hp_bind_ffn(&b, i, &m->layers[i]);
        if (HP_SPECIAL) hp_bind_layer_inputs(&b, i, &m->layers[i]);
        if (HP_SPECIAL && m->layers[i].sinks) m->recipe.has_sinks = 1;
        if (HP_SPECIAL && m->layers[i].rare->attn_gate.tiles) m->recipe.has_gates = 1;
        if (HP_SPECIAL && m->layers[i].layer_scale) m->recipe.has_scales = 1;
    }
    if (HP_SPECIAL && b.status == HARP_OK) hp_count_units(m);
    m->final_norm = hp_bind_norm(&b, -1, "final_norm", "final_norm_bias");
    m->output = m->info.tied ? m->embedding : hp_bind_matrix(&b, -1, "output", m->vocab, m->info.hidden);
    m->output_bias = hp_bind_optional(&b, -1, "output_bias", m->vocab);
    if (b.status == HARP_OK && b.next < m->file.n_tensors)
        b.status = hp_fail(err, HARP_ERR_UNSUPPORTED, "tensor %s has no place in a model of this description",
                           hp_tensor_at(&m->file, b.next).name);
    return b.status;
}

/* ---- Opening and closing ---- */

/* Weights of this type, 0: of all; tables of rope are none. */
static int64_t hp_count_parameters(const harp_model *m, uint32_t type)
{
    int64_t n = 0;
    int32_t i;
    for (i = 0; i < m->file.n_tensors; i++) {
        hp_tensor t = hp_tensor_at(&m->file, i);
        if (strncmp(t.name, "rope_", 5) != 0 && (!type || t.type == type)) n += (int64_t)(t.rows * t.cols);
    }
    return n;
}

static int64_t hp_count_active(const harp_model *m)
{
    int64_t n = m->info.parameters;
    int32_t i, idle = m->info.experts - m->info.experts_used;
    for (i = 0; HP_SPECIAL && i < m->info.layers; i++) {
        const hp_layer *w = &m->layers[i];
        int64_t all = (int64_t)w->gate_up.rows * w->gate_up.cols + (int64_t)w->down.rows * w->down.cols;
        if (w->router.tiles) n -= (int64_t)((double)all / m->info.experts) * idle; /* no division of 64 bits */
    }
    return n;
}

static harp_status hp_tokenizer_open(harp_model *m, harp_error *err);
static void hp_choose_stages(harp_model *m);

/* What must be known before the model gets its memory: all but the tensors' places and the tokenizer. */
static harp_status hp_read_head(harp_model *m, harp_error *err)
{
    harp_status status;
    if ((status = hp_check_header(&m->file, err)) != HARP_OK || (status = hp_check_metadata(&m->file, err)) != HARP_OK
        || (status = hp_check_tensors(&m->file, err)) != HARP_OK || (status = hp_read_architecture(m, err)) != HARP_OK)
        return status;
    m->info.bytes = (int64_t)m->file.bytes, m->info.mapped = m->file.mapped;
    m->info.parameters = hp_count_parameters(m, 0);
    if (HP_NIBBLES) m->info.four_bit = hp_count_parameters(m, HP_TENSOR_NIBBLES);
    return HARP_OK;
}

/* ---- Opening and closing ---- */

HARP_API void harp_set_source_defaults(harp_source *source, size_t bytes, int32_t version)
{
    hp_stamp(source, bytes, version, sizeof *source);
}

HARP_API size_t harp_source_memory(int32_t layers)
{
    if (layers < 1 || layers > HP_MAX_LAYERS) return 0;
    return HP_ALIGN + sizeof(harp_model) + hp_layers_bytes(layers);
}

/* The head is read into a model on the stack; once the number of layers is known, the real one gets its memory. */
static harp_status hp_place_model(harp_model **out, harp_model *head, const harp_source *source, harp_error *err)
{
    size_t bytes = harp_source_memory(head->info.layers);
    void *block = source->memory;
    harp_model *m;
    if (block && source->memory_bytes < bytes)
        return hp_fail(err, HARP_ERR_MEMORY, "the model's tables need %d bytes; the block has %d", (int64_t)bytes,
                       (int64_t)source->memory_bytes);
    if (!block) block = head->file.allocator.alloc(head->file.allocator.user, bytes);
    if (!block) return hp_fail(err, HARP_ERR_MEMORY, "no memory for the model's tables, %d bytes", (int64_t)bytes);
    m = (harp_model *)(void *)hp_aligned(block);
    *m = *head;
    m->layers = (hp_layer *)(void *)(m + 1);
    m->block = block, m->block_bytes = source->memory ? 0 : bytes;
    *out = m;
    return HARP_OK;
}

HARP_API void harp_close(harp_model *model)
{
    if (!model) return;
    hp_release_image(&model->file);
    if (model->block_bytes) model->file.allocator.free(model->file.allocator.user, model->block, model->block_bytes);
}

HARP_API harp_status harp_open_source(harp_model **model, const harp_source *source, harp_error *err)
{
    harp_model head, *m = NULL;
    harp_status status;
    if (!model) return hp_fail(err, HARP_ERR_ARGUMENT, "model must not be NULL");
    *model = NULL;
    if (source && hp_check_stamp(&source->stamp, "source", sizeof *source, err)) return HARP_ERR_ARGUMENT;
    if (!source || (source->path != NULL) + (source->data != NULL) + (source->read != NULL) != 1)
        return hp_fail(err, HARP_ERR_ARGUMENT, "a model needs exactly one of path, data and read");
    if (!hp_arithmetic_is_sound())
        return hp_fail(err, HARP_ERR_BUILD, "this build or thread fuses, flushes or rounds floats in another way than "
                                            "harp defines: check -ffp-contract, -ffast-math and the rounding mode");
    memset(&head, 0, sizeof head);
    head.file.allocator = hp_allocator_or_libc(source->allocator);
    if ((status = hp_get_image(&head.file, source, err)) != HARP_OK || (status = hp_read_head(&head, err)) != HARP_OK
        || (status = hp_place_model(&m, &head, source, err)) != HARP_OK) {
        hp_release_image(&head.file);
        return status;
    }
    if ((status = hp_bind_tensors(m, err)) != HARP_OK || (status = hp_tokenizer_open(m, err)) != HARP_OK) {
        harp_close(m);
        return status;
    }
    m->info.tokenizer = m->tokenizer.kind, m->info.longest_token = m->tokenizer.longest;
    m->info.active = hp_count_active(m);
    hp_choose_stages(m);
    *model = m;
    return hp_ok(err);
}

HARP_API harp_status harp_open(harp_model **model, const char *path, harp_error *err)
{
    harp_source source = harp_source_defaults();
    source.path = path;
    return harp_open_source(model, &source, err);
}

HARP_API harp_info harp_model_info(const harp_model *model)
{
    harp_info none;
    if (model) return model->info;
    memset(&none, 0, sizeof none);
    return none;
}

/* ---- Verifying ---- */

static int hp_floats_are_finite(const uint8_t *p, uint64_t n)
{
    for (; n > 0; n--, p += 4)
        if (!hp_is_finite(hp_f32(p))) return 0;
    return 1;
}

static int hp_numbers_are_finite(const hp_tensor *t, const uint8_t *p)
{
    uint64_t groups = (t->cols + HP_GROUP - 1) / HP_GROUP, i, tile;
    if (t->type != HP_TENSOR_INT8 && !hp_is_nibbles(t->type)) return hp_floats_are_finite(p, t->bytes / 4);
    if (hp_is_nibbles(t->type)) p += HP_TABLE_BYTES;
    for (tile = 0; tile < (t->rows + HP_LANES - 1) / HP_LANES; tile++, p += (size_t)hp_tile_bytes(t->type, groups))
        for (i = 0; i < groups * HP_LANES; i++)
            if ((hp_u16(p + 2 * i) & 0x7C00u) == 0x7C00u) return 0;
    return 1;
}

/* What follows the table of a nibble matrix is kept for later versions. */
static int hp_table_is_whole(const hp_tensor *t, const uint8_t *p)
{
    int32_t i = HP_LANES;
    if (!hp_is_nibbles(t->type)) return 1;
    while (i < HP_TABLE_BYTES && p[i] == 0) i++;
    return i == HP_TABLE_BYTES;
}

HARP_API harp_status harp_verify(const harp_model *m, harp_error *err)
{
    int32_t i;
    if (!m) return hp_fail(err, HARP_ERR_ARGUMENT, "model must not be NULL");
    for (i = 0; i < m->file.n_tensors; i++) {
        hp_tensor t = hp_tensor_at(&m->file, i);
        const uint8_t *p = m->file.image + t.offset;
        if (hp_crc32(0, p, (size_t)t.bytes) != t.crc)
            return hp_fail(err, HARP_ERR_FORMAT, "the checksum of tensor %s is wrong: the file is damaged", t.name);
        if (!hp_numbers_are_finite(&t, p))
            return hp_fail(err, HARP_ERR_FORMAT, "tensor %s holds a NaN or an infinity", t.name);
        if (!hp_table_is_whole(&t, p))
            return hp_fail(err, HARP_ERR_FORMAT, "tensor %s: zeros must follow its table of sixteen values", t.name);
    }
    return hp_ok(err);
}

/* ================================================================================================================
 * [CH12] Vocabularies
 *
 * A model reads token ids, not text. The next chapter owns the way from one to the other and back; this one has what it
 * needs for that, the vocabulary, and checks it.
 *
 * The vocabulary is read in place. The converter has undone what other formats do to it (GPT-2's printable alphabet,
 * U+2581 for a space, <0x0A> for a byte), so a token's text is the bytes it stands for, and decoding is copying. All
 * is checked once, in linear time, by hp_tokenizer_open; what comes after trusts it. Metadata, values little-endian:
 *
 *   tokenizer.kind           integer  1 or 2; without it the model has no tokenizer and the others are ignored
 *   tokenizer.offsets        u32 [n + 1], n = vocab: token i is bytes offsets[i] up to offsets[i + 1] of ...
 *   tokenizer.text           u8: the texts of all tokens, each at most 4096 bytes
 *   tokenizer.types          u8 [n]: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
 *   tokenizer.sorted         u32: normal tokens in the order of their bytes, no text twice
 *   tokenizer.bytes          u32 [256]: the token that stands for each byte alone, not of type 2 or 3; 0xFFFFFFFF if
 *                            none does
 *   tokenizer.merge_first    u32 [n + 1]: token i is the left part of merges merge_first[i] up to merge_first[i + 1]
 *   tokenizer.merges         u32 [][3]: right part, rank, result; those of one left part by right part, none twice. A
 *                            merge whose result has type 2 or 3 is ignored: typed text is no control token
 *   tokenizer.added          u32 [][2]: tokens that are found in raw text, by their bytes, none twice: id, and the sum
 *                            of 1 takes the white space before it, 2 takes that after it. Types 2 to 4; 1..512 bytes
 *   tokenizer.unknown        integer, optional: the token for bytes that have none; without it, and if it has type 3,
 *                            they are left out
 *   tokenizer.add_bos        integer: 1 if a text begins with the begin token
 *   tokenizer.spaces         integer, kind 1, the sum of: 1 a space is put before the text; 2 also after each added
 *                            token; 4 but not where there is one; 8 decoding drops the first space
 *   tokenizer.unknown_whole  integer, kind 1: 1 if a character of whose bytes one has no token becomes one unknown
 *                            token, 2 if a run of such characters does; 0: each such byte
 *   tokenizer.ignore_merges  integer: 1 if a word that is a normal token is that token, whatever the merges say
 *   tokenizer.contractions .any_lead .number_lead .number_digits .lone_digits .sign_newlines .newline_runs
 *                            integers, kind 2: the rules for words, see "words by rules" below
 *   tokenizer.words          u32 [][4], kind 2, optional: words that those rules cannot say, see "words by a program":
 *                            items, each its kind, set, least, most
 *   tokenizer.set_first      u32 [sets + 1]: set i is ranges set_first[i] up to set_first[i + 1] of ...
 *   tokenizer.sets           u32 [][2]: first and last character, those of a set ascending
 *   tokenizer.decompose      u32 [][5], kind 2, optional: a text is put into Unicode's form NFC, see "form NFC"; a
 *                            character, up to four that it is made of; by character
 *   tokenizer.compose        u32 [][3], by the first two: two characters, and what they make
 *   tokenizer.marks          u32 [][3], ascending: first and last character, their combining class
 *
 * An integer that is absent is 0, tokenizer.unknown -1.
 * ============================================================================================================== */

enum { HP_SENTENCEPIECE = 1, HP_BYTE_LEVEL = 2, HP_LONGEST_TOKEN = 4096, HP_LONGEST_ADDED = 512 };
enum { HP_TOKEN_NORMAL = 1, HP_TOKEN_UNKNOWN, HP_TOKEN_CONTROL, HP_TOKEN_USER, HP_TOKEN_UNUSED, HP_TOKEN_BYTE };
enum { HP_SPACE_FIRST = 1, HP_SPACE_EACH = 2, HP_SPACE_UNLESS = 4, HP_SPACE_STRIP = 8 };
enum { HP_ADDED_LSTRIP = 1, HP_ADDED_RSTRIP = 2 };

enum { HP_ITEM_SET, HP_ITEM_CONTRACTION, HP_ITEM_NOT_BEFORE, HP_ITEM_AT_END, HP_ITEM_KIND = 15,
       HP_ITEM_ALTERNATIVE = 16, HP_ITEM_STAGE = 32, HP_ITEM_KEEPS = 64 };
enum { HP_MAX_WORD_STAGES = 8, HP_MAX_IN_ALTERNATIVE = 8, HP_MAX_ITEMS = 1024, HP_PATIENCE = 256 };

#define HP_NO_TOKEN 0xFFFFFFFFu /* also: no neighbour, no rank */
#define HP_NO_CHARACTER 0x110000u /* a byte that is no part of a character; that byte may be added */

static uint32_t hp_u32_at(const uint8_t *table, size_t i)
{
    return hp_u32(table + 4 * i);
}

/* In a table of u32, `width` to a row, by the first column: the last row whose first is not above x, or NULL. */
static const uint8_t *hp_row_below(const uint8_t *table, size_t rows, size_t width, uint32_t x)
{
    size_t low = 0, high = rows;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (hp_u32_at(table, middle * width) <= x) low = middle + 1;
        else high = middle;
    }
    return low ? table + 4 * (low - 1) * width : NULL;
}

static const uint8_t *hp_token(const hp_tokenizer *t, uint32_t id, size_t *bytes)
{
    uint32_t begin = hp_u32_at(t->offsets, id);
    *bytes = hp_u32_at(t->offsets, id + 1) - begin;
    return t->text + begin;
}

/* The order of `sorted` and `added`: by bytes, a beginning before what it begins. */
static int hp_compare_text(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes)
{
    size_t both = a_bytes < b_bytes ? a_bytes : b_bytes;
    int order = both ? memcmp(a, b, both) : 0;
    return order ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

/* The normal token with this text, or HP_NO_TOKEN. */
static uint32_t hp_find_token(const hp_tokenizer *t, const uint8_t *text, size_t bytes)
{
    int32_t low = 0, high = t->n_sorted;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        uint32_t id = hp_u32_at(t->sorted, (size_t)middle);
        size_t n;
        const uint8_t *other = hp_token(t, id, &n);
        int order = hp_compare_text(text, bytes, other, n);
        if (order == 0) return id;
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return HP_NO_TOKEN;
}

/* Is this a token that no text becomes unless the caller asks for such tokens? */
static int hp_is_special(const hp_tokenizer *t, uint32_t id)
{
    return t->types[id] == HP_TOKEN_CONTROL || t->types[id] == HP_TOKEN_UNKNOWN;
}

/* The rank of joining two tokens, or HP_NO_TOKEN; *result is what they become. Some vocabularies list merges that make
 * a special token of its name; those do not count. */
static uint32_t hp_find_merge(const hp_tokenizer *t, uint32_t left, uint32_t right, uint32_t *result)
{
    uint32_t first = hp_u32_at(t->first, left), end = hp_u32_at(t->first, left + 1);
    const uint8_t *merge = hp_row_below(t->merges + 12 * (size_t)first, end - first, 3, right);
    if (!merge || hp_u32(merge) != right || hp_is_special(t, hp_u32_at(merge, 2))) return HP_NO_TOKEN;
    *result = hp_u32_at(merge, 2);
    return hp_u32_at(merge, 1);
}

/* ---- Characters ---- */

/* Can these n bytes be UTF-8? 1: they are one character; 0: they begin one; -1: no. */
static int hp_utf8_state(const uint8_t *p, size_t n)
{
    uint8_t lead = p[0];
    size_t need = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0, i;
    if (n > need) return -1;
    for (i = 1; i < n; i++)
        if ((p[i] & 0xC0) != 0x80) return -1;
    if (n > 1 && lead == 0xE0 && p[1] < 0xA0) return -1; /* would fit fewer bytes */
    if (n > 1 && lead == 0xED && p[1] > 0x9F) return -1; /* surrogates            */
    if (n > 1 && lead == 0xF0 && p[1] < 0x90) return -1; /* would fit fewer bytes */
    if (n > 1 && lead == 0xF4 && p[1] > 0x8F) return -1; /* above U+10FFFF        */
    return n == need;
}

/* The character at p: its length, and its number in *c. A byte that begins none is a character by itself, with a
 * number that no character has. */
static size_t hp_character(const uint8_t *p, size_t bytes, uint32_t *c)
{
    static const uint8_t mask[5] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    size_t n, i;
    int state = 0;
    for (n = 0; n < bytes && state == 0;) state = hp_utf8_state(p, ++n);
    if (state != 1) {
        *c = HP_NO_CHARACTER;
        return 1;
    }
    *c = p[0] & mask[n];
    for (i = 1; i < n; i++) *c = *c << 6 | (p[i] & 0x3Fu);
    return n;
}

/* What the rules for words distinguish: \p{L}, \p{N}, \s and the rest. An entry of the table is first << 2 | class,
 * where first is the first character of a run of one class. */
enum { HP_SIGN, HP_LETTER, HP_NUMBER, HP_WHITE };

/* Made by tools/convert/tokenizer/unicode_classes.py from Unicode 14.0.0. */
static const uint32_t hp_classes[1534] = {
    0, 0x27, 0x38, 0x83, 0x84, 0xC2, 0xE8, 0x105, 0x16C, 0x185, 0x1EC, 0x217, 0x218, 0x283, 0x284, 0x2A9, 0x2AC,
    0x2CA, 0x2D0, 0x2D5, 0x2D8, 0x2E6, 0x2E9, 0x2EC, 0x2F2, 0x2FC, 0x301, 0x35C, 0x361, 0x3DC, 0x3E1, 0xB08, 0xB19,
    0xB48, 0xB81, 0xB94, 0xBB1, 0xBB4, 0xBB9, 0xBBC, 0xDC1, 0xDD4, 0xDD9, 0xDE0, 0xDE9, 0xDF8, 0xDFD, 0xE00, 0xE19,
    0xE1C, 0xE21, 0xE2C, 0xE31, 0xE34, 0xE39, 0xE88, 0xE8D, 0xFD8, 0xFDD, 0x1208, 0x1229, 0x14C0, 0x14C5, 0x155C,
    0x1565, 0x1568, 0x1581, 0x1624, 0x1741, 0x17AC, 0x17BD, 0x17CC, 0x1881, 0x192C, 0x1982, 0x19A8, 0x19B9, 0x19C0,
    0x19C5, 0x1B50, 0x1B55, 0x1B58, 0x1B95, 0x1B9C, 0x1BB9, 0x1BC2, 0x1BE9, 0x1BF4, 0x1BFD, 0x1C00, 0x1C41, 0x1C44,
    0x1C49, 0x1CC0, 0x1D35, 0x1E98, 0x1EC5, 0x1EC8, 0x1F02, 0x1F29, 0x1FAC, 0x1FD1, 0x1FD8, 0x1FE9, 0x1FEC, 0x2001,
    0x2058, 0x2069, 0x206C, 0x2091, 0x2094, 0x20A1, 0x20A4, 0x2101, 0x2164, 0x2181, 0x21AC, 0x21C1, 0x2220, 0x2225,
    0x223C, 0x2281, 0x2328, 0x2411, 0x24E8, 0x24F5, 0x24F8, 0x2541, 0x2544, 0x2561, 0x2588, 0x259A, 0x25C0, 0x25C5,
    0x2604, 0x2615, 0x2634, 0x263D, 0x2644, 0x264D, 0x26A4, 0x26A9, 0x26C4, 0x26C9, 0x26CC, 0x26D9, 0x26E8, 0x26F5,
    0x26F8, 0x2739, 0x273C, 0x2771, 0x2778, 0x277D, 0x2788, 0x279A, 0x27C1, 0x27C8, 0x27D2, 0x27E8, 0x27F1, 0x27F4,
    0x2815, 0x282C, 0x283D, 0x2844, 0x284D, 0x28A4, 0x28A9, 0x28C4, 0x28C9, 0x28D0, 0x28D5, 0x28DC, 0x28E1, 0x28E8,
    0x2965, 0x2974, 0x2979, 0x297C, 0x299A, 0x29C0, 0x29C9, 0x29D4, 0x2A15, 0x2A38, 0x2A3D, 0x2A48, 0x2A4D, 0x2AA4,
    0x2AA9, 0x2AC4, 0x2AC9, 0x2AD0, 0x2AD5, 0x2AE8, 0x2AF5, 0x2AF8, 0x2B41, 0x2B44, 0x2B81, 0x2B88, 0x2B9A, 0x2BC0,
    0x2BE5, 0x2BE8, 0x2C15, 0x2C34, 0x2C3D, 0x2C44, 0x2C4D, 0x2CA4, 0x2CA9, 0x2CC4, 0x2CC9, 0x2CD0, 0x2CD5, 0x2CE8,
    0x2CF5, 0x2CF8, 0x2D71, 0x2D78, 0x2D7D, 0x2D88, 0x2D9A, 0x2DC0, 0x2DC5, 0x2DCA, 0x2DE0, 0x2E0D, 0x2E10, 0x2E15,
    0x2E2C, 0x2E39, 0x2E44, 0x2E49, 0x2E58, 0x2E65, 0x2E6C, 0x2E71, 0x2E74, 0x2E79, 0x2E80, 0x2E8D, 0x2E94, 0x2EA1,
    0x2EAC, 0x2EB9, 0x2EE8, 0x2F41, 0x2F44, 0x2F9A, 0x2FCC, 0x3015, 0x3034, 0x3039, 0x3044, 0x3049, 0x30A4, 0x30A9,
    0x30E8, 0x30F5, 0x30F8, 0x3161, 0x316C, 0x3175, 0x3178, 0x3181, 0x3188, 0x319A, 0x31C0, 0x31E2, 0x31FC, 0x3201,
    0x3204, 0x3215, 0x3234, 0x3239, 0x3244, 0x3249, 0x32A4, 0x32A9, 0x32D0, 0x32D5, 0x32E8, 0x32F5, 0x32F8, 0x3375,
    0x337C, 0x3381, 0x3388, 0x339A, 0x33C0, 0x33C5, 0x33CC, 0x3411, 0x3434, 0x3439, 0x3444, 0x3449, 0x34EC, 0x34F5,
    0x34F8, 0x3539, 0x353C, 0x3551, 0x355C, 0x3562, 0x357D, 0x3588, 0x359A, 0x35E4, 0x35E9, 0x3600, 0x3615, 0x365C,
    0x3669, 0x36C8, 0x36CD, 0x36F0, 0x36F5, 0x36F8, 0x3701, 0x371C, 0x379A, 0x37C0, 0x3805, 0x38C4, 0x38C9, 0x38D0,
    0x3901, 0x391C, 0x3942, 0x3968, 0x3A05, 0x3A0C, 0x3A11, 0x3A14, 0x3A19, 0x3A2C, 0x3A31, 0x3A90, 0x3A95, 0x3A98,
    0x3A9D, 0x3AC4, 0x3AC9, 0x3AD0, 0x3AF5, 0x3AF8, 0x3B01, 0x3B14, 0x3B19, 0x3B1C, 0x3B42, 0x3B68, 0x3B71, 0x3B80,
    0x3C01, 0x3C04, 0x3C82, 0x3CD0, 0x3D01, 0x3D20, 0x3D25, 0x3DB4, 0x3E21, 0x3E34, 0x4001, 0x40AC, 0x40FD, 0x4102,
    0x4128, 0x4141, 0x4158, 0x4169, 0x4178, 0x4185, 0x4188, 0x4195, 0x419C, 0x41B9, 0x41C4, 0x41D5, 0x4208, 0x4239,
    0x423C, 0x4242, 0x4268, 0x4281, 0x4318, 0x431D, 0x4320, 0x4335, 0x4338, 0x4341, 0x43EC, 0x43F1, 0x4924, 0x4929,
    0x4938, 0x4941, 0x495C, 0x4961, 0x4964, 0x4969, 0x4978, 0x4981, 0x4A24, 0x4A29, 0x4A38, 0x4A41, 0x4AC4, 0x4AC9,
    0x4AD8, 0x4AE1, 0x4AFC, 0x4B01, 0x4B04, 0x4B09, 0x4B18, 0x4B21, 0x4B5C, 0x4B61, 0x4C44, 0x4C49, 0x4C58, 0x4C61,
    0x4D6C, 0x4DA6, 0x4DF4, 0x4E01, 0x4E40, 0x4E81, 0x4FD8, 0x4FE1, 0x4FF8, 0x5005, 0x59B4, 0x59BD, 0x5A03, 0x5A05,
    0x5A6C, 0x5A81, 0x5BAC, 0x5BBA, 0x5BC5, 0x5BE4, 0x5C01, 0x5C48, 0x5C7D, 0x5CC8, 0x5D01, 0x5D48, 0x5D81, 0x5DB4,
    0x5DB9, 0x5DC4, 0x5E01, 0x5ED0, 0x5F5D, 0x5F60, 0x5F71, 0x5F74, 0x5F82, 0x5FA8, 0x5FC2, 0x5FE8, 0x6042, 0x6068,
    0x6081, 0x61E4, 0x6201, 0x6214, 0x621D, 0x62A4, 0x62A9, 0x62AC, 0x62C1, 0x63D8, 0x6401, 0x647C, 0x651A, 0x6541,
    0x65B8, 0x65C1, 0x65D4, 0x6601, 0x66B0, 0x66C1, 0x6728, 0x6742, 0x676C, 0x6801, 0x685C, 0x6881, 0x6954, 0x6A02,
    0x6A28, 0x6A42, 0x6A68, 0x6A9D, 0x6AA0, 0x6C15, 0x6CD0, 0x6D15, 0x6D34, 0x6D42, 0x6D68, 0x6E0D, 0x6E84, 0x6EB9,
    0x6EC2, 0x6EE9, 0x6F98, 0x7001, 0x7090, 0x7102, 0x7128, 0x7135, 0x7142, 0x7169, 0x71F8, 0x7201, 0x7224, 0x7241,
    0x72EC, 0x72F5, 0x7300, 0x73A5, 0x73B4, 0x73B9, 0x73D0, 0x73D5, 0x73DC, 0x73E9, 0x73EC, 0x7401, 0x7700, 0x7801,
    0x7C58, 0x7C61, 0x7C78, 0x7C81, 0x7D18, 0x7D21, 0x7D38, 0x7D41, 0x7D60, 0x7D65, 0x7D68, 0x7D6D, 0x7D70, 0x7D75,
    0x7D78, 0x7D7D, 0x7DF8, 0x7E01, 0x7ED4, 0x7ED9, 0x7EF4, 0x7EF9, 0x7EFC, 0x7F09, 0x7F14, 0x7F19, 0x7F34, 0x7F41,
    0x7F50, 0x7F59, 0x7F70, 0x7F81, 0x7FB4, 0x7FC9, 0x7FD4, 0x7FD9, 0x7FF4, 0x8003, 0x802C, 0x80A3, 0x80A8, 0x80BF,
    0x80C0, 0x817F, 0x8180, 0x81C2, 0x81C5, 0x81C8, 0x81D2, 0x81E8, 0x81FD, 0x8202, 0x8228, 0x8241, 0x8274, 0x8409,
    0x840C, 0x841D, 0x8420, 0x8429, 0x8450, 0x8455, 0x8458, 0x8465, 0x8478, 0x8491, 0x8494, 0x8499, 0x849C, 0x84A1,
    0x84A4, 0x84A9, 0x84B8, 0x84BD, 0x84E8, 0x84F1, 0x8500, 0x8515, 0x8528, 0x8539, 0x853C, 0x8542, 0x860D, 0x8616,
    0x8628, 0x9182, 0x9270, 0x93AA, 0x9400, 0x9DDA, 0x9E50, 0xB001, 0xB394, 0xB3AD, 0xB3BC, 0xB3C9, 0xB3D0, 0xB3F6,
    0xB3F8, 0xB401, 0xB498, 0xB49D, 0xB4A0, 0xB4B5, 0xB4B8, 0xB4C1, 0xB5A0, 0xB5BD, 0xB5C0, 0xB601, 0xB65C, 0xB681,
    0xB69C, 0xB6A1, 0xB6BC, 0xB6C1, 0xB6DC, 0xB6E1, 0xB6FC, 0xB701, 0xB71C, 0xB721, 0xB73C, 0xB741, 0xB75C, 0xB761,
    0xB77C, 0xB8BD, 0xB8C0, 0xC003, 0xC004, 0xC015, 0xC01E, 0xC020, 0xC086, 0xC0A8, 0xC0C5, 0xC0D8, 0xC0E2, 0xC0ED,
    0xC0F4, 0xC105, 0xC25C, 0xC275, 0xC280, 0xC285, 0xC3EC, 0xC3F1, 0xC400, 0xC415, 0xC4C0, 0xC4C5, 0xC63C, 0xC64A,
    0xC658, 0xC681, 0xC700, 0xC7C1, 0xC800, 0xC882, 0xC8A8, 0xC922, 0xC940, 0xC946, 0xC980, 0xCA02, 0xCA28, 0xCAC6,
    0xCB00, 0xD001, 0x13700, 0x13801, 0x29234, 0x29341, 0x293F8, 0x29401, 0x29834, 0x29841, 0x29882, 0x298A9, 0x298B0,
    0x29901, 0x299BC, 0x299FD, 0x29A78, 0x29A81, 0x29B9A, 0x29BC0, 0x29C5D, 0x29C80, 0x29C89, 0x29E24, 0x29E2D,
    0x29F2C, 0x29F41, 0x29F48, 0x29F4D, 0x29F50, 0x29F55, 0x29F68, 0x29FC9, 0x2A008, 0x2A00D, 0x2A018, 0x2A01D,
    0x2A02C, 0x2A031, 0x2A08C, 0x2A0C2, 0x2A0D8, 0x2A101, 0x2A1D0, 0x2A209, 0x2A2D0, 0x2A342, 0x2A368, 0x2A3C9,
    0x2A3E0, 0x2A3ED, 0x2A3F0, 0x2A3F5, 0x2A3FC, 0x2A402, 0x2A429, 0x2A498, 0x2A4C1, 0x2A51C, 0x2A581, 0x2A5F4,
    0x2A611, 0x2A6CC, 0x2A73D, 0x2A742, 0x2A768, 0x2A781, 0x2A794, 0x2A799, 0x2A7C2, 0x2A7E9, 0x2A7FC, 0x2A801,
    0x2A8A4, 0x2A901, 0x2A90C, 0x2A911, 0x2A930, 0x2A942, 0x2A968, 0x2A981, 0x2A9DC, 0x2A9E9, 0x2A9EC, 0x2A9F9,
    0x2AAC0, 0x2AAC5, 0x2AAC8, 0x2AAD5, 0x2AADC, 0x2AAE5, 0x2AAF8, 0x2AB01, 0x2AB04, 0x2AB09, 0x2AB0C, 0x2AB6D,
    0x2AB78, 0x2AB81, 0x2ABAC, 0x2ABC9, 0x2ABD4, 0x2AC05, 0x2AC1C, 0x2AC25, 0x2AC3C, 0x2AC45, 0x2AC5C, 0x2AC81,
    0x2AC9C, 0x2ACA1, 0x2ACBC, 0x2ACC1, 0x2AD6C, 0x2AD71, 0x2ADA8, 0x2ADC1, 0x2AF8C, 0x2AFC2, 0x2AFE8, 0x2B001,
    0x35E90, 0x35EC1, 0x35F1C, 0x35F2D, 0x35FF0, 0x3E401, 0x3E9B8, 0x3E9C1, 0x3EB68, 0x3EC01, 0x3EC1C, 0x3EC4D,
    0x3EC60, 0x3EC75, 0x3EC78, 0x3EC7D, 0x3ECA4, 0x3ECA9, 0x3ECDC, 0x3ECE1, 0x3ECF4, 0x3ECF9, 0x3ECFC, 0x3ED01,
    0x3ED08, 0x3ED0D, 0x3ED14, 0x3ED19, 0x3EEC8, 0x3EF4D, 0x3F4F8, 0x3F541, 0x3F640, 0x3F649, 0x3F720, 0x3F7C1,
    0x3F7F0, 0x3F9C1, 0x3F9D4, 0x3F9D9, 0x3FBF4, 0x3FC42, 0x3FC68, 0x3FC85, 0x3FCEC, 0x3FD05, 0x3FD6C, 0x3FD99,
    0x3FEFC, 0x3FF09, 0x3FF20, 0x3FF29, 0x3FF40, 0x3FF49, 0x3FF60, 0x3FF69, 0x3FF74, 0x40001, 0x40030, 0x40035,
    0x4009C, 0x400A1, 0x400EC, 0x400F1, 0x400F8, 0x400FD, 0x40138, 0x40141, 0x40178, 0x40201, 0x403EC, 0x4041E,
    0x404D0, 0x40502, 0x405E4, 0x4062A, 0x40630, 0x40A01, 0x40A74, 0x40A81, 0x40B44, 0x40B86, 0x40BF0, 0x40C01,
    0x40C82, 0x40C90, 0x40CB5, 0x40D06, 0x40D09, 0x40D2A, 0x40D2C, 0x40D41, 0x40DD8, 0x40E01, 0x40E78, 0x40E81,
    0x40F10, 0x40F21, 0x40F40, 0x40F46, 0x40F58, 0x41001, 0x41278, 0x41282, 0x412A8, 0x412C1, 0x41350, 0x41361,
    0x413F0, 0x41401, 0x414A0, 0x414C1, 0x41590, 0x415C1, 0x415EC, 0x415F1, 0x4162C, 0x41631, 0x4164C, 0x41651,
    0x41658, 0x4165D, 0x41688, 0x4168D, 0x416C8, 0x416CD, 0x416E8, 0x416ED, 0x416F4, 0x41801, 0x41CDC, 0x41D01,
    0x41D58, 0x41D81, 0x41DA0, 0x41E01, 0x41E18, 0x41E1D, 0x41EC4, 0x41EC9, 0x41EEC, 0x42001, 0x42018, 0x42021,
    0x42024, 0x42029, 0x420D8, 0x420DD, 0x420E4, 0x420F1, 0x420F4, 0x420FD, 0x42158, 0x42162, 0x42181, 0x421DC,
    0x421E6, 0x42201, 0x4227C, 0x4229E, 0x422C0, 0x42381, 0x423CC, 0x423D1, 0x423D8, 0x423EE, 0x42401, 0x4245A,
    0x42470, 0x42481, 0x424E8, 0x42601, 0x426E0, 0x426F2, 0x426F9, 0x42702, 0x42740, 0x4274A, 0x42801, 0x42804,
    0x42841, 0x42850, 0x42855, 0x42860, 0x42865, 0x428D8, 0x42902, 0x42924, 0x42981, 0x429F6, 0x429FC, 0x42A01,
    0x42A76, 0x42A80, 0x42B01, 0x42B20, 0x42B25, 0x42B94, 0x42BAE, 0x42BC0, 0x42C01, 0x42CD8, 0x42D01, 0x42D58,
    0x42D62, 0x42D81, 0x42DCC, 0x42DE2, 0x42E01, 0x42E48, 0x42EA6, 0x42EC0, 0x43001, 0x43124, 0x43201, 0x432CC,
    0x43301, 0x433CC, 0x433EA, 0x43401, 0x43490, 0x434C2, 0x434E8, 0x43982, 0x439FC, 0x43A01, 0x43AA8, 0x43AC1,
    0x43AC8, 0x43C01, 0x43C76, 0x43C9D, 0x43CA0, 0x43CC1, 0x43D18, 0x43D46, 0x43D54, 0x43DC1, 0x43E08, 0x43EC1,
    0x43F16, 0x43F30, 0x43F81, 0x43FDC, 0x4400D, 0x440E0, 0x4414A, 0x441C0, 0x441C5, 0x441CC, 0x441D5, 0x441D8,
    0x4420D, 0x442C0, 0x44341, 0x443A4, 0x443C2, 0x443E8, 0x4440D, 0x4449C, 0x444DA, 0x44500, 0x44511, 0x44514,
    0x4451D, 0x44520, 0x44541, 0x445CC, 0x445D9, 0x445DC, 0x4460D, 0x446CC, 0x44705, 0x44714, 0x44742, 0x44769,
    0x4476C, 0x44771, 0x44774, 0x44786, 0x447D4, 0x44801, 0x44848, 0x4484D, 0x448B0, 0x44A01, 0x44A1C, 0x44A21,
    0x44A24, 0x44A29, 0x44A38, 0x44A3D, 0x44A78, 0x44A7D, 0x44AA4, 0x44AC1, 0x44B7C, 0x44BC2, 0x44BE8, 0x44C15,
    0x44C34, 0x44C3D, 0x44C44, 0x44C4D, 0x44CA4, 0x44CA9, 0x44CC4, 0x44CC9, 0x44CD0, 0x44CD5, 0x44CE8, 0x44CF5,
    0x44CF8, 0x44D41, 0x44D44, 0x44D75, 0x44D88, 0x45001, 0x450D4, 0x4511D, 0x4512C, 0x45142, 0x45168, 0x4517D,
    0x45188, 0x45201, 0x452C0, 0x45311, 0x45318, 0x4531D, 0x45320, 0x45342, 0x45368, 0x45601, 0x456BC, 0x45761,
    0x45770, 0x45801, 0x458C0, 0x45911, 0x45914, 0x45942, 0x45968, 0x45A01, 0x45AAC, 0x45AE1, 0x45AE4, 0x45B02,
    0x45B28, 0x45C01, 0x45C6C, 0x45CC2, 0x45CF0, 0x45D01, 0x45D1C, 0x46001, 0x460B0, 0x46281, 0x46382, 0x463CC,
    0x463FD, 0x4641C, 0x46425, 0x46428, 0x46431, 0x46450, 0x46455, 0x4645C, 0x46461, 0x464C0, 0x464FD, 0x46500,
    0x46505, 0x46508, 0x46542, 0x46568, 0x46681, 0x466A0, 0x466A9, 0x46744, 0x46785, 0x46788, 0x4678D, 0x46790,
    0x46801, 0x46804, 0x4682D, 0x468CC, 0x468E9, 0x468EC, 0x46941, 0x46944, 0x46971, 0x46A28, 0x46A75, 0x46A78,
    0x46AC1, 0x46BE4, 0x47001, 0x47024, 0x47029, 0x470BC, 0x47101, 0x47104, 0x47142, 0x471B4, 0x471C9, 0x47240,
    0x47401, 0x4741C, 0x47421, 0x47428, 0x4742D, 0x474C4, 0x47519, 0x4751C, 0x47542, 0x47568, 0x47581, 0x47598,
    0x4759D, 0x475A4, 0x475A9, 0x47628, 0x47661, 0x47664, 0x47682, 0x476A8, 0x47B81, 0x47BCC, 0x47EC1, 0x47EC4,
    0x47F02, 0x47F54, 0x48001, 0x48E68, 0x49002, 0x491BC, 0x49201, 0x49510, 0x4BE41, 0x4BFC4, 0x4C001, 0x4D0BC,
    0x51001, 0x5191C, 0x5A001, 0x5A8E4, 0x5A901, 0x5A97C, 0x5A982, 0x5A9A8, 0x5A9C1, 0x5AAFC, 0x5AB02, 0x5AB28,
    0x5AB41, 0x5ABB8, 0x5AC01, 0x5ACC0, 0x5AD01, 0x5AD10, 0x5AD42, 0x5AD68, 0x5AD6E, 0x5AD88, 0x5AD8D, 0x5ADE0,
    0x5ADF5, 0x5AE40, 0x5B901, 0x5BA02, 0x5BA5C, 0x5BC01, 0x5BD2C, 0x5BD41, 0x5BD44, 0x5BE4D, 0x5BE80, 0x5BF81,
    0x5BF88, 0x5BF8D, 0x5BF90, 0x5C001, 0x61FE0, 0x62001, 0x63358, 0x63401, 0x63424, 0x6BFC1, 0x6BFD0, 0x6BFD5,
    0x6BFF0, 0x6BFF5, 0x6BFFC, 0x6C001, 0x6C48C, 0x6C541, 0x6C54C, 0x6C591, 0x6C5A0, 0x6C5C1, 0x6CBF0, 0x6F001,
    0x6F1AC, 0x6F1C1, 0x6F1F4, 0x6F201, 0x6F224, 0x6F241, 0x6F268, 0x74B82, 0x74BD0, 0x74D82, 0x74DE4, 0x75001,
    0x75154, 0x75159, 0x75274, 0x75279, 0x75280, 0x75289, 0x7528C, 0x75295, 0x7529C, 0x752A5, 0x752B4, 0x752B9,
    0x752E8, 0x752ED, 0x752F0, 0x752F5, 0x75310, 0x75315, 0x75418, 0x7541D, 0x7542C, 0x75435, 0x75454, 0x75459,
    0x75474, 0x75479, 0x754E8, 0x754ED, 0x754FC, 0x75501, 0x75514, 0x75519, 0x7551C, 0x75529, 0x75544, 0x75549,
    0x75A98, 0x75AA1, 0x75B04, 0x75B09, 0x75B6C, 0x75B71, 0x75BEC, 0x75BF1, 0x75C54, 0x75C59, 0x75CD4, 0x75CD9,
    0x75D3C, 0x75D41, 0x75DBC, 0x75DC1, 0x75E24, 0x75E29, 0x75EA4, 0x75EA9, 0x75F0C, 0x75F11, 0x75F30, 0x75F3A,
    0x76000, 0x77C01, 0x77C7C, 0x78401, 0x784B4, 0x784DD, 0x784F8, 0x78502, 0x78528, 0x78539, 0x7853C, 0x78A41,
    0x78AB8, 0x78B01, 0x78BB0, 0x78BC2, 0x78BE8, 0x79F81, 0x79F9C, 0x79FA1, 0x79FB0, 0x79FB5, 0x79FBC, 0x79FC1,
    0x79FFC, 0x7A001, 0x7A314, 0x7A31E, 0x7A340, 0x7A401, 0x7A510, 0x7A52D, 0x7A530, 0x7A542, 0x7A568, 0x7B1C6,
    0x7B2B0, 0x7B2B6, 0x7B2C0, 0x7B2C6, 0x7B2D4, 0x7B406, 0x7B4B8, 0x7B4BE, 0x7B4F8, 0x7B801, 0x7B810, 0x7B815,
    0x7B880, 0x7B885, 0x7B88C, 0x7B891, 0x7B894, 0x7B89D, 0x7B8A0, 0x7B8A5, 0x7B8CC, 0x7B8D1, 0x7B8E0, 0x7B8E5,
    0x7B8E8, 0x7B8ED, 0x7B8F0, 0x7B909, 0x7B90C, 0x7B91D, 0x7B920, 0x7B925, 0x7B928, 0x7B92D, 0x7B930, 0x7B935,
    0x7B940, 0x7B945, 0x7B94C, 0x7B951, 0x7B954, 0x7B95D, 0x7B960, 0x7B965, 0x7B968, 0x7B96D, 0x7B970, 0x7B975,
    0x7B978, 0x7B97D, 0x7B980, 0x7B985, 0x7B98C, 0x7B991, 0x7B994, 0x7B99D, 0x7B9AC, 0x7B9B1, 0x7B9CC, 0x7B9D1,
    0x7B9E0, 0x7B9E5, 0x7B9F4, 0x7B9F9, 0x7B9FC, 0x7BA01, 0x7BA28, 0x7BA2D, 0x7BA70, 0x7BA85, 0x7BA90, 0x7BA95,
    0x7BAA8, 0x7BAAD, 0x7BAF0, 0x7C402, 0x7C434, 0x7EFC2, 0x7EFE8, 0x80001, 0xA9B80, 0xA9C01, 0xADCE4, 0xADD01,
    0xAE078, 0xAE081, 0xB3A88, 0xB3AC1, 0xBAF84, 0xBE001, 0xBE878, 0xC0001, 0xC4D2C
};

static int hp_class_of(uint32_t c)
{
    size_t low = 0, high = sizeof hp_classes / sizeof hp_classes[0]; /* the answer is in [low, high) */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (hp_classes[middle] >> 2 <= c) low = middle;
        else high = middle;
    }
    return (int)(hp_classes[low] & 3);
}

static int hp_class_at(const uint8_t *p, const uint8_t *end, size_t *length)
{
    uint32_t c;
    *length = 0;
    if (p >= end) return -1;
    *length = hp_character(p, (size_t)(end - p), &c);
    return hp_class_of(c);
}

/* The end of the run of characters of one class that begins at p; at most `most` of them, 0 for any number. */
static const uint8_t *hp_run_end(const uint8_t *p, const uint8_t *end, int class, int32_t most)
{
    size_t length;
    int32_t count = 0;
    while ((most == 0 || count < most) && hp_class_at(p, end, &length) == class) p += length, count++;
    return p;
}

/* ---- Opening: the only code that meets tables not yet checked ---- */

static harp_status hp_bad_table(const char *key, harp_error *err)
{
    return hp_fail(err, HARP_ERR_FORMAT, "the table %s of the tokenizer is damaged or missing", key);
}

/* A table of entries of `unit` bytes; *count holds how many there must be, or -1 and then gets how many there are. */
static harp_status hp_open_table(const harp_model *m, const char *key, size_t unit, int32_t *count,
                                 const uint8_t **table, harp_error *err)
{
    harp_meta meta;
    if (!harp_meta_find(m, key, &meta) || meta.type != HARP_META_BYTES || meta.bytes % unit != 0
        || meta.bytes / unit > 0x3FFFFFFFu || (*count >= 0 && meta.bytes / unit != (size_t)*count))
        return hp_bad_table(key, err);
    *count = (int32_t)(meta.bytes / unit);
    *table = (const uint8_t *)meta.data;
    return HARP_OK;
}

static harp_status hp_open_tables(hp_tokenizer *t, const harp_model *m, int32_t *text_bytes, harp_error *err)
{
    int32_t n_offsets = t->n + 1, n_types = t->n, n_first = t->n + 1, n_bytes = 256;
    *text_bytes = t->n_sorted = t->n_merges = t->n_added = -1;
    if (hp_open_table(m, "tokenizer.offsets", 4, &n_offsets, &t->offsets, err)
        || hp_open_table(m, "tokenizer.text", 1, text_bytes, &t->text, err)
        || hp_open_table(m, "tokenizer.types", 1, &n_types, &t->types, err)
        || hp_open_table(m, "tokenizer.sorted", 4, &t->n_sorted, &t->sorted, err)
        || hp_open_table(m, "tokenizer.bytes", 4, &n_bytes, &t->bytes, err)
        || hp_open_table(m, "tokenizer.merge_first", 4, &n_first, &t->first, err)
        || hp_open_table(m, "tokenizer.merges", 12, &t->n_merges, &t->merges, err)
        || hp_open_table(m, "tokenizer.added", 8, &t->n_added, &t->added, err))
        return HARP_ERR_FORMAT;
    return HARP_OK;
}

/* The most bytes a text can put out: bytes that are no UTF-8 become U+FFFD, three bytes each. */
static size_t hp_shown_bytes(const uint8_t *p, size_t bytes)
{
    size_t shown = 0, length;
    uint32_t c;
    for (; bytes > 0; p += length, bytes -= length) {
        length = hp_character(p, bytes, &c);
        shown += c >= HP_NO_CHARACTER ? 3 : length;
    }
    return shown;
}

/* Also finds the longest token. */
static harp_status hp_check_texts(hp_tokenizer *t, int32_t text_bytes, harp_error *err)
{
    uint32_t before = hp_u32(t->offsets), i;
    if (before != 0 || hp_u32_at(t->offsets, (size_t)t->n) != (uint32_t)text_bytes)
        return hp_bad_table("tokenizer.offsets", err);
    for (i = 0; i < (uint32_t)t->n; i++) {
        uint32_t after = hp_u32_at(t->offsets, (size_t)i + 1);
        size_t shown;
        if (after < before || after - before > HP_LONGEST_TOKEN || after > (uint32_t)text_bytes)
            return hp_bad_table("tokenizer.offsets", err);
        if (t->types[i] < HP_TOKEN_NORMAL || t->types[i] > HP_TOKEN_BYTE) return hp_bad_table("tokenizer.types", err);
        shown = hp_shown_bytes(t->text + before, after - before);
        if (shown > (size_t)t->longest) t->longest = (int32_t)shown;
        before = after;
    }
    return HARP_OK;
}

/* Tokens in the order of their texts, none twice, of the types in the mask; entries are `stride` bytes apart. */
static int hp_is_sorted(const hp_tokenizer *t, const uint8_t *table, int32_t count, size_t stride, unsigned types)
{
    const uint8_t *text = NULL, *next;
    size_t bytes = 0, next_bytes;
    int32_t i;
    for (i = 0; i < count; i++, text = next, bytes = next_bytes) {
        uint32_t id = hp_u32(table + (size_t)i * stride);
        if (id >= (uint32_t)t->n || !(types >> t->types[id] & 1u)) return 0;
        next = hp_token(t, id, &next_bytes);
        if (i > 0 && hp_compare_text(text, bytes, next, next_bytes) >= 0) return 0;
    }
    return 1;
}

/* Also drops an unknown token that is a control token: text must not become it. */
static harp_status hp_check_lists(hp_tokenizer *t, harp_error *err)
{
    const unsigned found = 1u << HP_TOKEN_UNKNOWN | 1u << HP_TOKEN_CONTROL | 1u << HP_TOKEN_USER;
    int32_t i;
    size_t bytes;
    if (t->unknown >= 0 && t->types[t->unknown] == HP_TOKEN_CONTROL) t->unknown = -1;
    if (!hp_is_sorted(t, t->sorted, t->n_sorted, 4, 1u << HP_TOKEN_NORMAL))
        return hp_bad_table("tokenizer.sorted", err);
    if (!hp_is_sorted(t, t->added, t->n_added, 8, found)) return hp_bad_table("tokenizer.added", err);
    for (i = 0; i < t->n_added; i++) {
        (void)hp_token(t, hp_u32_at(t->added, 2 * (size_t)i), &bytes);
        if (bytes < 1 || bytes > HP_LONGEST_ADDED || hp_u32_at(t->added, 2 * (size_t)i + 1) > 3)
            return hp_bad_table("tokenizer.added", err);
    }
    for (i = 0; i < 256; i++) {
        uint32_t id = hp_u32_at(t->bytes, (size_t)i);
        if (id == HP_NO_TOKEN) continue;
        if (id >= (uint32_t)t->n || hp_token(t, id, &bytes)[0] != i || bytes != 1 || hp_is_special(t, id))
            return hp_bad_table("tokenizer.bytes", err);
    }
    return HARP_OK;
}

/* A merge must join its parts' texts. So whatever is merged, the text stays what it was. */
static int hp_merge_is_sound(const hp_tokenizer *t, uint32_t left, const uint8_t *merge)
{
    uint32_t right = hp_u32(merge), result = hp_u32(merge + 8);
    const uint8_t *a, *b, *both;
    size_t a_bytes, b_bytes, both_bytes;
    if (right >= (uint32_t)t->n || result >= (uint32_t)t->n || hp_u32(merge + 4) == HP_NO_TOKEN) return 0;
    a = hp_token(t, left, &a_bytes), b = hp_token(t, right, &b_bytes), both = hp_token(t, result, &both_bytes);
    return a_bytes > 0 && b_bytes > 0 && both_bytes == a_bytes + b_bytes && memcmp(both, a, a_bytes) == 0
           && memcmp(both + a_bytes, b, b_bytes) == 0;
}

static harp_status hp_check_merges(const hp_tokenizer *t, harp_error *err)
{
    uint32_t left, i = 0, end;
    if (hp_u32(t->first) != 0 || hp_u32_at(t->first, (size_t)t->n) != (uint32_t)t->n_merges)
        return hp_bad_table("tokenizer.merge_first", err);
    for (left = 0; left < (uint32_t)t->n; left++) {
        const uint8_t *before = NULL;
        end = hp_u32_at(t->first, (size_t)left + 1);
        if (end < i || end > (uint32_t)t->n_merges) return hp_bad_table("tokenizer.merge_first", err);
        for (; i < end; i++) {
            const uint8_t *merge = t->merges + 12 * (size_t)i;
            if ((before && hp_u32(before) >= hp_u32(merge)) || !hp_merge_is_sound(t, left, merge))
                return hp_bad_table("tokenizer.merges", err);
            before = merge;
        }
    }
    return HARP_OK;
}

/* The tables that few tokenizers have: all of a group, or none. */
static harp_status hp_open_more_tables(hp_tokenizer *t, const harp_model *m, harp_error *err)
{
    harp_meta meta;
    int32_t n_sets = -1;
    t->n_items = t->n_ranges = t->n_decompose = t->n_compose = t->n_marks = -1;
    if (harp_meta_find(m, "tokenizer.words", &meta)) {
        if (hp_open_table(m, "tokenizer.words", 16, &t->n_items, &t->items, err)
            || hp_open_table(m, "tokenizer.set_first", 4, &n_sets, &t->sets, err)
            || hp_open_table(m, "tokenizer.sets", 8, &t->n_ranges, &t->ranges, err))
            return HARP_ERR_FORMAT;
        t->n_sets = n_sets - 1;
    }
    if (harp_meta_find(m, "tokenizer.decompose", &meta)
        && (hp_open_table(m, "tokenizer.decompose", 20, &t->n_decompose, &t->decompose, err)
            || hp_open_table(m, "tokenizer.compose", 12, &t->n_compose, &t->compose, err)
            || hp_open_table(m, "tokenizer.marks", 12, &t->n_marks, &t->marks, err)))
        return HARP_ERR_FORMAT;
    return HARP_OK;
}

/* Rows of u32, every value at most the last character, in the order of the first column. */
static int hp_is_ascending(const uint8_t *table, int32_t rows, int32_t width)
{
    int32_t i, k;
    for (i = 0; i < rows; i++) {
        const uint8_t *row = table + (size_t)i * (size_t)width * 4;
        if (i > 0 && hp_u32(row - 4 * width) > hp_u32(row)) return 0;
        for (k = 0; k < width; k++)
            if (hp_u32_at(row, (size_t)k) >= HP_NO_CHARACTER) return 0;
    }
    return 1;
}

static int hp_item_is_sound(const hp_tokenizer *t, const uint8_t *item, int32_t place)
{
    uint32_t kind = hp_u32(item) & HP_ITEM_KIND, least = hp_u32(item + 8), most = hp_u32(item + 12);
    if (hp_u32(item) > 127 || kind > HP_ITEM_AT_END || place >= HP_MAX_IN_ALTERNATIVE) return 0;
    if ((kind == HP_ITEM_SET || kind == HP_ITEM_NOT_BEFORE) && hp_u32(item + 4) >= (uint32_t)t->n_sets) return 0;
    return least <= 1u << 20 && most <= 1u << 20 && (most == 0 || least <= most);
}

static harp_status hp_check_words(const hp_tokenizer *t, harp_error *err)
{
    int32_t i, place = 0, stages = 0;
    if (t->n_items < 0) return HARP_OK;
    if (t->n_sets < 0 || t->n_items == 0 || t->n_items > HP_MAX_ITEMS || !(hp_u32(t->items) & HP_ITEM_STAGE))
        return hp_bad_table("tokenizer.words", err);
    for (i = 0; i < t->n_items; i++) {
        const uint8_t *item = t->items + 16 * (size_t)i;
        uint32_t flags = hp_u32(item);
        stages += (flags & HP_ITEM_STAGE) != 0;
        if (flags & HP_ITEM_ALTERNATIVE) place = 0;
        else if (flags & HP_ITEM_STAGE) return hp_bad_table("tokenizer.words", err);
        if (stages > HP_MAX_WORD_STAGES || !hp_item_is_sound(t, item, place++))
            return hp_bad_table("tokenizer.words", err);
    }
    for (i = 0; i <= t->n_sets; i++) {
        uint32_t first = hp_u32_at(t->sets, (size_t)i), before = i ? hp_u32_at(t->sets, (size_t)i - 1) : 0;
        if (first < before || first > (uint32_t)t->n_ranges) return hp_bad_table("tokenizer.set_first", err);
    }
    for (i = 0; i < t->n_ranges; i++) {
        uint32_t first = hp_u32_at(t->ranges, 2 * (size_t)i), last = hp_u32_at(t->ranges, 2 * (size_t)i + 1);
        if (first > last || last > HP_NO_CHARACTER) return hp_bad_table("tokenizer.sets", err);
    }
    return HARP_OK;
}

static harp_status hp_check_normalization(const hp_tokenizer *t, harp_error *err)
{
    int32_t i;
    if (t->n_decompose < 0) return HARP_OK;
    if (!hp_is_ascending(t->decompose, t->n_decompose, 5)) return hp_bad_table("tokenizer.decompose", err);
    if (!hp_is_ascending(t->compose, t->n_compose, 3)) return hp_bad_table("tokenizer.compose", err);
    if (!hp_is_ascending(t->marks, t->n_marks, 3)) return hp_bad_table("tokenizer.marks", err);
    for (i = 0; i < t->n_marks; i++)
        if (hp_u32_at(t->marks, 3 * (size_t)i + 2) > 255) return hp_bad_table("tokenizer.marks", err);
    return HARP_OK;
}

static const hp_fact hp_tokenizer_facts[] = {
    {"tokenizer.unknown", HP_INTEGER, HP_IN(tokenizer.unknown), .least = -1, .most = -1, HP_UP_TO(info.vocab)},
    {"tokenizer.add_bos", HP_INTEGER, HP_IN(tokenizer.add_bos), .most = 1},
    {"tokenizer.spaces", HP_INTEGER, HP_IN(tokenizer.spaces), .most = 15},
    {"tokenizer.unknown_whole", HP_INTEGER, HP_IN(tokenizer.unknown_whole), .most = 2},
    {"tokenizer.ignore_merges", HP_INTEGER, HP_IN(tokenizer.ignore_merges), .most = 1},
    {"tokenizer.contractions", HP_INTEGER, HP_IN(tokenizer.contractions), .most = 2},
    {"tokenizer.any_lead", HP_INTEGER, HP_IN(tokenizer.any_lead), .most = 1},
    {"tokenizer.number_lead", HP_INTEGER, HP_IN(tokenizer.number_lead), .most = 1},
    {"tokenizer.number_digits", HP_INTEGER, HP_IN(tokenizer.number_digits), .most = 1 << 20},
    {"tokenizer.lone_digits", HP_INTEGER, HP_IN(tokenizer.lone_digits), .most = 1},
    {"tokenizer.sign_newlines", HP_INTEGER, HP_IN(tokenizer.sign_newlines), .most = 1},
    {"tokenizer.newline_runs", HP_INTEGER, HP_IN(tokenizer.newline_runs), .most = 1},
};

static harp_status hp_tokenizer_open(harp_model *m, harp_error *err)
{
    hp_tokenizer *t = &m->tokenizer;
    int32_t text_bytes;
    harp_meta meta;
    harp_status status;
    memset(t, 0, sizeof *t);
    if (!harp_meta_find(m, "tokenizer.kind", &meta)) return HARP_OK;
    if (meta.type != HARP_META_INTEGER) return hp_bad_table("tokenizer.kind", err);
    if (meta.integer != HP_SENTENCEPIECE && meta.integer != HP_BYTE_LEVEL)
        return hp_fail(err, HARP_ERR_UNSUPPORTED, "tokenizers of kind %d are not known to this version", meta.integer);
    t->kind = (int32_t)meta.integer, t->n = m->vocab, t->unknown = -1;
    status = hp_take_facts(m, hp_tokenizer_facts, sizeof hp_tokenizer_facts / sizeof hp_tokenizer_facts[0], err);
    if (status || (status = hp_open_tables(t, m, &text_bytes, err)) != HARP_OK
        || (status = hp_check_texts(t, text_bytes, err)) != HARP_OK || (status = hp_check_lists(t, err)) != HARP_OK
        || (status = hp_check_merges(t, err)) != HARP_OK || (status = hp_open_more_tables(t, m, err)) != HARP_OK
        || (status = hp_check_words(t, err)) != HARP_OK || (status = hp_check_normalization(t, err)) != HARP_OK)
        return status;
    return HARP_OK;
}

/* ================================================================================================================
 * [CH13] Text and tokens
 *
 * From text to tokens and back, for the two families in use, which differ less than their names say:
 *
 *   kind 1, SentencePiece BPE (Llama 2, Mistral, Phi-3): the text is one long word, its symbols are characters; a
 *   character that is no token becomes the tokens of its bytes.
 *   kind 2, byte-level BPE (GPT-2, SmolLM2, Llama 3): the text is cut into words first, by rules about letters, numbers
 *   and white space; the symbols of a word are bytes.
 *
 * Then both do the same: of all neighbouring symbols that a MERGE allows to join, the pair with the lowest rank joins,
 * the leftmost of equals, until none is left (hp_join). A tournament over the pairs finds each winner in log n steps,
 * so a word of n symbols costs n log n: a mebibyte of one letter is no trap.
 * ============================================================================================================== */

/* ---- Encoding: state ----
 *
 * One word at a time becomes a row of symbols, linked in both directions, so that joining two is a matter of links. The
 * rank of a symbol is that of joining it with its right neighbour. winner[] is a tournament: node k of 1..n-1 names the
 * symbol with the lowest rank among those of its children 2k and 2k + 1; nodes n..2n-1 are the symbols themselves. */

typedef struct hp_symbol {
    uint32_t id, rank, before, after; /* before, after: HP_NO_TOKEN at the ends */
    uint32_t winner;                  /* of node k, in symbol k                 */
} hp_symbol;

typedef struct hp_room {
    void *block;
    size_t bytes;
} hp_room;

typedef struct hp_encoder {
    const harp_model *m;
    const hp_tokenizer *t;
    const uint8_t *text, *end;
    unsigned flags;
    int32_t *tokens; /* [capacity] the result; n counts on when it is full */
    size_t capacity, n;
    const harp_span *spans; /* [n_spans] what is left of them; span_end: where the first ends */
    size_t n_spans;
    const uint8_t *span_end;
    uint8_t starts[32]; /* bit set: bytes with which an added token begins */
    hp_room normal, word; /* the segment in form NFC, where the tokenizer wants it, and as much scratch; the symbols */
    uint32_t n_symbols;
    hp_symbol *symbol; /* [n_symbols] = word.block */
    harp_error *err;
} hp_encoder;

static void hp_free_room(const hp_encoder *e, hp_room *r)
{
    if (r->block) e->m->file.allocator.free(e->m->file.allocator.user, r->block, r->bytes);
    r->block = NULL, r->bytes = 0;
}

/* Room for n things of `size` bytes. The old block goes first: its contents are done with, and a device's allocator may
 * only know how to start over. Growing to twice the size keeps the number of requests small. */
static harp_status hp_make_room(const hp_encoder *e, hp_room *r, size_t n, size_t size)
{
    size_t bytes, twice = r->bytes * 2;
    if (n > INT32_MAX || !hp_mul_size(n, size, &bytes))
        return hp_fail(e->err, HARP_ERR_MEMORY, "no memory to encode %d characters", (int64_t)n);
    if (bytes <= r->bytes) return HARP_OK;
    hp_free_room(e, r);
    if (bytes < twice) bytes = twice;
    r->block = e->m->file.allocator.alloc(e->m->file.allocator.user, bytes);
    if (!r->block) return hp_fail(e->err, HARP_ERR_MEMORY, "no memory to encode %d characters", (int64_t)n);
    r->bytes = bytes;
    return HARP_OK;
}

static harp_status hp_begin_word(hp_encoder *e, size_t n)
{
    harp_status status = hp_make_room(e, &e->word, n, sizeof *e->symbol);
    e->symbol = (hp_symbol *)e->word.block, e->n_symbols = 0;
    return status;
}

static void hp_put_token(hp_encoder *e, uint32_t id)
{
    if (e->n < e->capacity) e->tokens[e->n] = (int32_t)id;
    e->n++;
}

static void hp_add_symbol(hp_encoder *e, uint32_t id)
{
    e->symbol[e->n_symbols++].id = id;
}

/* A byte without a token becomes the unknown token; where there is none (-1, which is HP_NO_TOKEN) it is left out, as
 * when the model was trained: SmolLM2 has no token for some control characters. */
static void hp_add_byte(hp_encoder *e, uint8_t byte)
{
    uint32_t id = hp_u32_at(e->t->bytes, byte);
    if (id == HP_NO_TOKEN) id = (uint32_t)e->t->unknown;
    if (id != HP_NO_TOKEN) hp_add_symbol(e, id);
}

/* ---- Encoding: joining symbols ---- */

static uint32_t hp_contestant(const hp_encoder *e, uint32_t node)
{
    return node < e->n_symbols ? e->symbol[node].winner : node - e->n_symbols;
}

static uint32_t hp_contest(const hp_encoder *e, uint32_t node)
{
    uint32_t a = hp_contestant(e, 2 * node), b = hp_contestant(e, 2 * node + 1);
    if (e->symbol[a].rank != e->symbol[b].rank) return e->symbol[a].rank < e->symbol[b].rank ? a : b;
    return a < b ? a : b;
}

/* The rank of symbol i has changed: its contests are held again. Where another keeps winning, nothing changes above. */
static void hp_replay(hp_encoder *e, uint32_t i)
{
    uint32_t node;
    for (node = (i + e->n_symbols) / 2; node > 0; node /= 2) {
        uint32_t winner = hp_contest(e, node);
        if (winner == e->symbol[node].winner && winner != i) return;
        e->symbol[node].winner = winner;
    }
}

static void hp_rank_symbol(hp_encoder *e, uint32_t i)
{
    hp_symbol *s = &e->symbol[i];
    uint32_t result;
    s->rank = s->after == HP_NO_TOKEN ? HP_NO_TOKEN : hp_find_merge(e->t, s->id, e->symbol[s->after].id, &result);
}

static void hp_link_symbols(hp_encoder *e)
{
    uint32_t i, n = e->n_symbols;
    for (i = 0; i < n; i++) {
        e->symbol[i].before = i > 0 ? i - 1 : HP_NO_TOKEN;
        e->symbol[i].after = i + 1 < n ? i + 1 : HP_NO_TOKEN;
    }
    for (i = 0; i < n; i++) hp_rank_symbol(e, i);
    for (i = n; i-- > 1;) e->symbol[i].winner = hp_contest(e, i);
}

/* Symbol i swallows its right neighbour: its rank says that there is one, and a merge for the two. Three ranks change:
 * its own, the neighbour's and that of the one before. */
static void hp_join_pair(hp_encoder *e, uint32_t i)
{
    hp_symbol *s = &e->symbol[i], *gone = &e->symbol[s->after];
    uint32_t right = s->after;
    hp_find_merge(e->t, s->id, gone->id, &s->id);
    s->after = gone->after;
    if (s->after != HP_NO_TOKEN) e->symbol[s->after].before = i;
    gone->rank = HP_NO_TOKEN;
    hp_replay(e, right);
    hp_rank_symbol(e, i);
    hp_replay(e, i);
    if (s->before == HP_NO_TOKEN) return;
    hp_rank_symbol(e, s->before);
    hp_replay(e, s->before);
}

/* Joins what can be joined and puts out the rest. */
static void hp_join(hp_encoder *e)
{
    uint32_t i;
    if (e->n_symbols == 0) return;
    hp_link_symbols(e);
    while (e->n_symbols > 1 && e->symbol[e->symbol[1].winner].rank != HP_NO_TOKEN) hp_join_pair(e, e->symbol[1].winner);
    for (i = 0; i != HP_NO_TOKEN; i = e->symbol[i].after) hp_put_token(e, e->symbol[i].id);
}

/* ---- Encoding, kind 1: the text is one word ---- */

/* Length of a space at p < end, 0 if there is none. U+2581 is how SentencePiece writes a space, so it is one. */
static size_t hp_space_at(const uint8_t *p, const uint8_t *end)
{
    if (p[0] == ' ') return 1;
    return end - p >= 3 && p[0] == 0xE2 && p[1] == 0x96 && p[2] == 0x81 ? 3 : 0;
}

static int hp_wants_space(const hp_encoder *e, const uint8_t *p, const uint8_t *end)
{
    int bit = p > e->text ? HP_SPACE_EACH : e->flags & HARP_ENCODE_CONTINUE ? 0 : HP_SPACE_FIRST;
    return (e->t->spaces & bit) && !((e->t->spaces & HP_SPACE_UNLESS) && hp_space_at(p, end));
}

static int hp_has_byte_tokens(const hp_tokenizer *t, const uint8_t *p, size_t length)
{
    size_t i;
    for (i = 0; i < length; i++)
        if (hp_u32_at(t->bytes, p[i]) == HP_NO_TOKEN) return 0;
    return 1;
}

/* The unknown token for a whole character; it may stand for the characters before, too. */
static void hp_add_unknown(hp_encoder *e)
{
    uint32_t id = (uint32_t)e->t->unknown;
    int goes_on = e->t->unknown_whole == 2 && e->n_symbols > 0 && e->symbol[e->n_symbols - 1].id == id;
    if (id != HP_NO_TOKEN && !goes_on) hp_add_symbol(e, id);
}

static void hp_add_character(hp_encoder *e, const uint8_t *p, size_t length)
{
    uint32_t id = hp_find_token(e->t, p, length);
    size_t i;
    if (id != HP_NO_TOKEN) hp_add_symbol(e, id);
    else if (e->t->unknown_whole && !hp_has_byte_tokens(e->t, p, length)) hp_add_unknown(e);
    else for (i = 0; i < length; i++) hp_add_byte(e, p[i]);
}

static harp_status hp_encode_sentence(hp_encoder *e, const uint8_t *p, const uint8_t *end)
{
    static const uint8_t space[1] = {' '};
    uint32_t c;
    size_t length;
    harp_status status = hp_begin_word(e, (size_t)(end - p) + 1);
    if (status) return status;
    if (hp_wants_space(e, p, end)) hp_add_character(e, space, 1);
    for (; p < end; p += length) {
        length = hp_space_at(p, end);
        if (length > 0) hp_add_character(e, space, 1);
        else hp_add_character(e, p, length = hp_character(p, (size_t)(end - p), &c));
    }
    hp_join(e);
    return HARP_OK;
}

/* ---- Encoding, kind 2: words by rules ----
 *
 * The words are those of a regular expression, one of a family whose members differ in a few places. GPT-2's is
 *
 *      's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *
 * and Llama 3's
 *
 *      (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*
 *      |\s*[\r\n]+|\s+(?!\S)|\s+
 *
 * What a tokenizer chooses:
 *
 *      contractions   1: the first alternatives of GPT-2, 2: of Llama 3; 0: none
 *      any_lead       [^\r\n\p{L}\p{N}]? before letters, not only a space
 *      number_lead    " ?" before \p{N}
 *      number_digits  k: \p{N}{1,k}; 0: \p{N}+
 *      sign_newlines  [\r\n]* behind signs
 *      newline_runs   the alternative \s*[\r\n]+
 *      lone_digits    \p{N} is cut out before all else
 */

/* Under (?i) the s also matches U+017F, the long s; no other letter of these has such a relative. */
static const uint8_t *hp_match_contraction(int32_t contractions, const uint8_t *p, const uint8_t *end)
{
    static const char *const tails[] = {"s", "t", "re", "ve", "m", "ll", "d"};
    uint8_t fold = contractions == 2 ? 0x20 : 0;
    size_t i, k;
    if (contractions == 0 || end - p < 2 || p[0] != '\'') return NULL;
    for (i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        size_t n = strlen(tails[i]);
        if ((size_t)(end - p) <= n) continue;
        for (k = 0; k < n && (p[k + 1] | fold) == (uint8_t)tails[i][k];) k++; /* only letters become letters */
        if (k == n) return p + 1 + n;
    }
    return fold && end - p > 2 && p[1] == 0xC5 && p[2] == 0xBF ? p + 3 : NULL;
}

/* One character that leads, if it does, then one or more of a class. */
static const uint8_t *hp_match_run(const uint8_t *p, const uint8_t *end, int leads, int class, int32_t most)
{
    size_t length;
    const uint8_t *q;
    if (leads) hp_class_at(p, end, &length), p += length;
    q = hp_run_end(p, end, class, most);
    return q > p ? q : NULL;
}

/* White space, the last three alternatives: up to its last newline, if the rules say so; else all but the character
 * that leads the next word, if one follows and this is not all there is. */
static const uint8_t *hp_match_white(const hp_tokenizer *t, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *q = p, *last = p, *newline = NULL;
    size_t length;
    for (; hp_class_at(q, end, &length) == HP_WHITE; q += length) {
        if (*q == '\r' || *q == '\n') newline = q + 1;
        last = q;
    }
    if (t->newline_runs && newline) return newline;
    return q == end || last == p ? q : last;
}

static const uint8_t *hp_word_end(const hp_tokenizer *t, const uint8_t *p, const uint8_t *end)
{
    size_t length;
    int class = hp_class_at(p, end, &length), space = *p == ' ';
    int sign = (class == HP_SIGN || class == HP_WHITE) && *p != '\r' && *p != '\n';
    const uint8_t *q = hp_match_contraction(t->contractions, p, end);
    if (!q) q = hp_match_run(p, end, t->any_lead ? sign : space, HP_LETTER, 0);
    if (!q) q = hp_match_run(p, end, t->number_lead && space, HP_NUMBER, t->number_digits);
    if (q) return q;
    q = hp_match_run(p, end, space, HP_SIGN, 0);
    if (!q) return hp_match_white(t, p, end);
    while (t->sign_newlines && q < end && (*q == '\r' || *q == '\n')) q++;
    return q;
}

/* With lone_digits, each digit is a text of its own, and so is what stands between two: ends[1] is where that at p
 * ends, ends[0] the text's end. */
static const uint8_t *hp_rule_word(const hp_tokenizer *t, const uint8_t **ends, const uint8_t *p)
{
    size_t length;
    const uint8_t *q = t->lone_digits ? p : ends[0];
    if (ends[1] <= p) {
        if (q == p && hp_class_at(p, ends[0], &length) == HP_NUMBER) q = p + length;
        else while (q < ends[0] && hp_class_at(q, ends[0], &length) != HP_NUMBER) q += length;
        ends[1] = q;
    }
    return hp_word_end(t, p, ends[1]);
}

/* ---- Encoding, kind 2: words by a program ----
 *
 * Other tokenizers cut text by other patterns, some by several, one after the other: each is a STAGE, which cuts the
 * pieces that the stage before has left into matches and what lies between them. A stage is a list of ALTERNATIVES, of
 * which the first that matches counts; an alternative is a run of ITEMS:
 *
 *   kind 0   characters of a set, as many as there are, `least` up to `most` of them (0: any number)
 *   kind 1   a contraction in any case, if there is one: 's 't 're 've 'm 'll 'd
 *   kind 2   nothing, but no character of a set may follow
 *   kind 3   nothing, at the end of the piece
 *
 * 16 added to the kind begins an alternative, 32 a stage; with 64 an item gives back nothing. As in the regular
 * expressions that the converter made this from, an item that cannot match makes the ones before it give back
 * characters, the nearest first, one by one (a contraction is kept). A stage begins with an alternative; there are at
 * most 8 stages, 8 items in an alternative, 1024 in all.
 *
 * PATIENCE is for all the steps of the search in a text, HP_PATIENCE for each byte: an item tried, a character matched
 * or given back. Programs that people wrote take at most some tens for a character; where a hostile one has used it up,
 * what is left of the text is one word. */

static uint32_t hp_item(const hp_tokenizer *t, int32_t item, int32_t field)
{
    return hp_u32_at(t->items, 4 * (size_t)item + (size_t)field);
}

static int hp_is_in_set(const hp_tokenizer *t, uint32_t set, uint32_t c)
{
    uint32_t first = hp_u32_at(t->sets, set), end = hp_u32_at(t->sets, (size_t)set + 1);
    const uint8_t *range = hp_row_below(t->ranges + 8 * (size_t)first, end - first, 2, c);
    return range && c <= hp_u32_at(range, 1);
}

/* Item i at p, greedily: the end of the match, or NULL; *count is how many characters it could give back. */
static const uint8_t *hp_match_item(const hp_tokenizer *t, int32_t i, const uint8_t *p, const uint8_t *end,
                                    uint32_t *count, size_t *patience)
{
    uint32_t kind = hp_item(t, i, 0), set = hp_item(t, i, 1), least = hp_item(t, i, 2), most = hp_item(t, i, 3);
    uint32_t n = 0, c;
    const uint8_t *q;
    size_t length;
    *count = 0;
    if (*patience == 0) return NULL;
    --*patience;
    switch (kind & HP_ITEM_KIND) {
    case HP_ITEM_CONTRACTION: return (q = hp_match_contraction(2, p, end)) != NULL ? q : p;
    case HP_ITEM_AT_END: return p == end ? p : NULL;
    case HP_ITEM_NOT_BEFORE:
        if (p < end) hp_character(p, (size_t)(end - p), &c);
        return p < end && hp_is_in_set(t, set, c) ? NULL : p;
    default: break;
    }
    for (; p < end && (most == 0 || n < most) && *patience > 0; p += length, n++, --*patience) {
        length = hp_character(p, (size_t)(end - p), &c);
        if (!hp_is_in_set(t, set, c)) break;
    }
    if (n >= least && !(kind & HP_ITEM_KEEPS)) *count = n - least;
    return n >= least ? p : NULL;
}

/* The beginning of the character that ends before p. */
static const uint8_t *hp_step_back(const uint8_t *begin, const uint8_t *p)
{
    uint32_t c;
    size_t n;
    for (n = 4; n > 1; n--)
        if ((size_t)(p - begin) >= n && hp_character(p - n, n, &c) == n) return p - n;
    return p - 1;
}

/* The alternative that begins with item `first`, at p: the end of the match, or NULL. at[k] is where its item k
 * begins. */
static const uint8_t *hp_match_items(const hp_tokenizer *t, int32_t first, const uint8_t *p, const uint8_t *end,
                                     size_t *patience)
{
    const uint8_t *at[HP_MAX_IN_ALTERNATIVE + 1];
    uint32_t spare[HP_MAX_IN_ALTERNATIVE];
    int32_t k = 0;
    at[0] = p;
    for (;;) {
        const uint8_t *q = hp_match_item(t, first + k, at[k], end, &spare[k], patience);
        while (!q && k > 0) {
            k--;
            if (spare[k] == 0) continue;
            if (*patience == 0) return NULL;
            --*patience, spare[k]--;
            q = hp_step_back(at[k], at[k + 1]);
        }
        if (!q) return NULL;
        at[++k] = q;
        if (first + k == t->n_items || hp_item(t, first + k, 0) & HP_ITEM_ALTERNATIVE) return q;
    }
}

/* The first alternative of the stage that begins with item i; an empty match is none. */
static const uint8_t *hp_match_stage(const hp_tokenizer *t, int32_t i, const uint8_t *p, const uint8_t *end,
                                     size_t *patience)
{
    int32_t first = i;
    for (; i < t->n_items && *patience > 0 && (i == first || !(hp_item(t, i, 0) & HP_ITEM_STAGE)); i++) {
        const uint8_t *q = hp_item(t, i, 0) & HP_ITEM_ALTERNATIVE ? hp_match_items(t, i, p, end, patience) : NULL;
        if (q && q > p) return q;
    }
    return NULL;
}

/* The end of the piece at p: of a match, or of what lies before the next one. */
static const uint8_t *hp_piece_end(const hp_tokenizer *t, int32_t stage, const uint8_t *p, const uint8_t *end,
                                   size_t *patience)
{
    const uint8_t *q = hp_match_stage(t, stage, p, end, patience);
    uint32_t c;
    if (q) return q;
    do p += hp_character(p, (size_t)(end - p), &c);
    while (p < end && !hp_match_stage(t, stage, p, end, patience));
    return p;
}

/* The end of the word at p. ends[s] is where the piece of stage s ends that holds p, ends[0] the text's end. */
static const uint8_t *hp_program_word(const hp_tokenizer *t, const uint8_t **ends, const uint8_t *p, size_t *patience)
{
    int32_t i, s = 0;
    for (i = 0; i < t->n_items; i++) {
        if (!(hp_item(t, i, 0) & HP_ITEM_STAGE)) continue;
        s++;
        if (ends[s] <= p) ends[s] = hp_piece_end(t, i, p, ends[s - 1], patience);
    }
    return ends[s];
}

static harp_status hp_encode_word(hp_encoder *e, const uint8_t *p, const uint8_t *end)
{
    uint32_t whole = e->t->ignore_merges ? hp_find_token(e->t, p, (size_t)(end - p)) : HP_NO_TOKEN;
    harp_status status;
    if (whole != HP_NO_TOKEN) {
        hp_put_token(e, whole);
        return HARP_OK;
    }
    status = hp_begin_word(e, (size_t)(end - p));
    if (status) return status;
    while (p < end) hp_add_byte(e, *p++);
    hp_join(e);
    return HARP_OK;
}

static harp_status hp_encode_words(hp_encoder *e, const uint8_t *p, const uint8_t *end)
{
    size_t patience = (size_t)(end - p) < SIZE_MAX / HP_PATIENCE ? HP_PATIENCE * (size_t)(end - p) : SIZE_MAX;
    const uint8_t *ends[HP_MAX_WORD_STAGES + 1], *word_end;
    harp_status status = HARP_OK;
    int32_t s;
    for (s = 0; s <= HP_MAX_WORD_STAGES; s++) ends[s] = s ? p : end;
    for (; status == HARP_OK && p < end; p = word_end) {
        word_end = e->t->n_items > 0 ? hp_program_word(e->t, ends, p, &patience) : hp_rule_word(e->t, ends, p);
        status = hp_encode_word(e, p, word_end);
    }
    return status;
}

/* ---- Encoding, kind 2: form NFC ----
 *
 * Unicode has two ways to write an accented letter: as one character, or as the letter and a combining mark. Some
 * tokenizers were trained on the first, form NFC [Unicode Standard Annex 15]: characters are taken apart as far as
 * they go, the marks behind each letter sorted by their class, and then letter and mark put together again where that
 * is possible. The tables stand in the file; Hangul syllables go by arithmetic. A byte that is no character stays. */

static uint32_t hp_combining_class(const hp_tokenizer *t, uint32_t c)
{
    const uint8_t *row = hp_row_below(t->marks, (size_t)t->n_marks, 3, c);
    return row && c <= hp_u32_at(row, 1) ? hp_u32_at(row, 2) : 0;
}

/* What c is made of, into parts [4]; returns how many. */
static size_t hp_decompose(const hp_tokenizer *t, uint32_t c, uint32_t *parts)
{
    const uint8_t *row;
    size_t n = 0;
    if (c >= 0xAC00 && c < 0xAC00 + 11172) { /* 19 leading consonants, 21 vowels, 28 ends, the first of them none */
        uint32_t syllable = c - 0xAC00;
        parts[0] = 0x1100 + syllable / 588, parts[1] = 0x1161 + syllable % 588 / 28, parts[2] = 0x11A7 + syllable % 28;
        return syllable % 28 ? 3 : 2;
    }
    row = hp_row_below(t->decompose, (size_t)t->n_decompose, 5, c);
    if (row && hp_u32(row) == c)
        while (n < 4 && hp_u32_at(row, n + 1)) parts[n] = hp_u32_at(row, n + 1), n++;
    if (n == 0) parts[n++] = c;
    return n;
}

/* What two characters make together, or 0. */
static uint32_t hp_compose(const hp_tokenizer *t, uint32_t a, uint32_t b)
{
    int32_t low = 0, high = t->n_compose;
    if (a >= 0x1100 && a < 0x1100 + 19 && b >= 0x1161 && b < 0x1161 + 21)
        return 0xAC00 + (a - 0x1100) * 588 + (b - 0x1161) * 28;
    if (a >= 0xAC00 && a < 0xAC00 + 11172 && (a - 0xAC00) % 28 == 0 && b > 0x11A7 && b < 0x11A7 + 28)
        return a + (b - 0x11A7);
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        const uint8_t *row = t->compose + 12 * (size_t)middle;
        uint32_t first = hp_u32(row), second = hp_u32(row + 4);
        if (first == a && second == b) return hp_u32(row + 8);
        if (first < a || (first == a && second < b)) low = middle + 1;
        else high = middle;
    }
    return 0;
}

/* Sorts marks by class, equals staying in order; linear, however long the run. */
static void hp_sort_marks(const hp_tokenizer *t, uint32_t *c, uint32_t *spare, size_t n)
{
    uint32_t first[257];
    size_t i;
    memset(first, 0, sizeof first);
    for (i = 0; i < n; i++) first[hp_combining_class(t, c[i]) + 1]++;
    for (i = 1; i < 257; i++) first[i] += first[i - 1];
    for (i = 0; i < n; i++) spare[first[hp_combining_class(t, c[i])]++] = c[i];
    memcpy(c, spare, n * sizeof *c);
}

static void hp_order_marks(const hp_tokenizer *t, uint32_t *c, uint32_t *spare, size_t n)
{
    size_t i, begin;
    for (i = 0; i < n; i++) {
        begin = i;
        while (i < n && hp_combining_class(t, c[i])) i++;
        if (i - begin > 1) hp_sort_marks(t, c + begin, spare, i - begin);
    }
}

/* Puts together what can be, in place; returns how many characters are left. A mark joins the last letter unless one
 * of its own class or above stands between. */
static size_t hp_join_marks(const hp_tokenizer *t, uint32_t *c, size_t n)
{
    size_t i, kept = 0, letter = n; /* n: none yet */
    uint32_t above = 0;             /* class of the last mark that was kept behind the letter */
    for (i = 0; i < n; i++) {
        uint32_t class = hp_combining_class(t, c[i]), both = 0;
        if (letter < n && (kept == letter + 1 || above < class)) both = hp_compose(t, c[letter], c[i]);
        if (both) {
            c[letter] = both;
            continue;
        }
        if (class == 0) letter = kept;
        above = class;
        c[kept++] = c[i];
    }
    return kept;
}

static size_t hp_put_utf8(uint8_t *out, uint32_t c)
{
    size_t n = c < 0x80 || c >= HP_NO_CHARACTER ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4, i;
    static const uint8_t lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (i = n; i-- > 1; c >>= 6) out[i] = (uint8_t)(0x80 | (c & 0x3F));
    out[0] = (uint8_t)(lead[n] | c);
    return n;
}

/* Below U+0300 nothing changes: the first byte of what follows is 0xCC or more. */
static int hp_is_normal(const hp_tokenizer *t, const uint8_t *p, const uint8_t *end)
{
    if (t->n_decompose < 0) return 1;
    while (p < end && *p < 0xCC) p++;
    return p == end;
}

/* What the characters of a text are made of, into out[], or just counted if that is NULL. */
static size_t hp_take_apart(const hp_tokenizer *t, const uint8_t *p, const uint8_t *end, uint32_t *out)
{
    uint32_t c, parts[4];
    size_t n = 0, length, n_parts;
    for (; p < end; p += length, n += n_parts) {
        length = hp_character(p, (size_t)(end - p), &c);
        if (c == HP_NO_CHARACTER) c += *p;
        n_parts = hp_decompose(t, c, parts);
        if (out) memcpy(out + n, parts, n_parts * sizeof *parts);
    }
    return n;
}

/* Replaces the text *p .. *end by its form NFC, where the tokenizer wants it. */
static harp_status hp_normalize(hp_encoder *e, const uint8_t **p, const uint8_t **end)
{
    uint32_t *c, *spare;
    uint8_t *out;
    size_t n, i;
    harp_status status;
    if (hp_is_normal(e->t, *p, *end)) return HARP_OK;
    n = hp_take_apart(e->t, *p, *end, NULL);
    status = hp_make_room(e, &e->normal, n, 2 * sizeof *c);
    if (status) return status;
    c = (uint32_t *)e->normal.block, spare = c + n, out = (uint8_t *)spare;
    hp_take_apart(e->t, *p, *end, c);
    hp_order_marks(e->t, c, spare, n);
    n = hp_join_marks(e->t, c, n);
    for (i = 0, *p = out; i < n; i++) out += hp_put_utf8(out, c[i]);
    *end = out;
    return HARP_OK;
}

/* ---- Encoding: added tokens in raw text ---- */

/* Control tokens only where the span says so, and only within it: what a person typed must not complete what a template
 * began. */
static int hp_is_sought(const hp_encoder *e, int32_t added, const uint8_t *p, size_t bytes)
{
    uint32_t id = hp_u32_at(e->t->added, 2 * (size_t)added);
    return e->t->types[id] == HP_TOKEN_USER
           || (e->spans->flags & HARP_ENCODE_SPECIAL && bytes <= (size_t)(e->span_end - p));
}

static void hp_note_starts(hp_encoder *e)
{
    int32_t i;
    size_t bytes;
    for (i = 0; i < e->t->n_added; i++) {
        uint8_t first = hp_token(e->t, hp_u32_at(e->t->added, 2 * (size_t)i), &bytes)[0];
        e->starts[first >> 3] = (uint8_t)(e->starts[first >> 3] | 1u << (first & 7));
    }
}

/* Makes the span that holds p the first one. */
static void hp_find_span(hp_encoder *e, const uint8_t *p)
{
    while (e->n_spans > 1 && p >= e->span_end) {
        e->spans++, e->n_spans--;
        e->span_end += e->spans->bytes;
    }
}

/* The first of added tokens low..high-1 whose byte `depth` is c or more. All of them are longer than depth. */
static int32_t hp_added_bound(const hp_tokenizer *t, int32_t low, int32_t high, size_t depth, unsigned c)
{
    size_t bytes;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (hp_token(t, hp_u32_at(t->added, 2 * (size_t)middle), &bytes)[depth] >= c) high = middle;
        else low = middle + 1;
    }
    return low;
}

/* Added tokens low..high-1 begin with the first `depth` bytes at p. How far is the text as the first and the last of
 * them, and so as all? No farther than before the end of the first, which may be what is sought. */
static size_t hp_shared_depth(const hp_encoder *e, int32_t low, int32_t high, const uint8_t *p, size_t depth)
{
    const hp_tokenizer *t = e->t;
    size_t bytes, last_bytes, left = (size_t)(e->end - p);
    const uint8_t *first = hp_token(t, hp_u32_at(t->added, 2 * (size_t)low), &bytes);
    const uint8_t *last = hp_token(t, hp_u32_at(t->added, 2 * (size_t)high - 2), &last_bytes);
    while (depth + 1 < bytes && depth + 1 < left && first[depth] == p[depth] && last[depth] == p[depth]) depth++;
    return depth;
}

/* The longest added token at p, or -1: the range of those that begin like the text shrinks byte by byte. */
static int32_t hp_added_at(const hp_encoder *e, const uint8_t *p)
{
    const hp_tokenizer *t = e->t;
    int32_t low = 0, high = t->n_added, best = -1;
    size_t depth, bytes;
    if (!(e->starts[*p >> 3] >> (*p & 7) & 1)) return -1;
    for (depth = 0; low < high && p + depth < e->end; depth++) {
        depth = hp_shared_depth(e, low, high, p, depth);
        low = hp_added_bound(t, low, high, depth, p[depth]);
        high = hp_added_bound(t, low, high, depth, p[depth] + 1u);
        if (low == high) break;
        (void)hp_token(t, hp_u32_at(t->added, 2 * (size_t)low), &bytes);
        if (bytes > depth + 1) continue;
        if (hp_is_sought(e, low, p, bytes)) best = low;
        low++; /* it ends here: those that follow are longer */
    }
    return best;
}

static harp_status hp_encode_segment(hp_encoder *e, const uint8_t *p, const uint8_t *end)
{
    harp_status status;
    if (p == end) return HARP_OK;
    if (e->t->kind == HP_SENTENCEPIECE) return hp_encode_sentence(e, p, end);
    status = hp_normalize(e, &p, &end);
    if (status) return status;
    return hp_encode_words(e, p, end);
}

static const uint8_t *hp_without_white_end(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *kept = p;
    size_t length;
    while (p < end) {
        int class = hp_class_at(p, end, &length);
        p += length;
        if (class != HP_WHITE) kept = p;
    }
    return kept;
}

static harp_status hp_encode_text(hp_encoder *e)
{
    const uint8_t *segment = e->text, *p = e->text;
    harp_status status = HARP_OK;
    size_t bytes;
    while (status == HARP_OK && p < e->end) {
        int32_t added;
        uint32_t id, flags;
        hp_find_span(e, p);
        added = hp_added_at(e, p);
        if (added < 0) {
            p++;
            continue;
        }
        id = hp_u32_at(e->t->added, 2 * (size_t)added), flags = hp_u32_at(e->t->added, 2 * (size_t)added + 1);
        status = hp_encode_segment(e, segment, flags & HP_ADDED_LSTRIP ? hp_without_white_end(segment, p) : p);
        hp_put_token(e, id);
        (void)hp_token(e->t, id, &bytes);
        p += bytes;
        if (flags & HP_ADDED_RSTRIP) p = hp_run_end(p, e->end, HP_WHITE, 0);
        segment = p;
    }
    return status == HARP_OK ? hp_encode_segment(e, segment, e->end) : status;
}

static harp_status hp_no_tokenizer(harp_error *err)
{
    return hp_fail(err, HARP_ERR_UNSUPPORTED, "this model has no tokenizer: it takes token ids only");
}

/* 0 if the spans are longer than any text can be. */
static int hp_sum_spans(const harp_span *spans, size_t n_spans, size_t *bytes)
{
    size_t i;
    *bytes = 0;
    for (i = 0; i < n_spans; i++)
        if (!hp_add_size(*bytes, spans[i].bytes, bytes)) return 0;
    return *bytes <= 0x7FFFFFF0u;
}

HARP_API harp_status harp_encode_spans(const harp_model *model, const char *text, const harp_span *spans,
                                       size_t n_spans, unsigned flags, int32_t *tokens, size_t capacity, size_t *n,
                                       harp_error *err)
{
    static const uint8_t nothing[1] = {0};
    static const harp_span no_span = {0, 0};
    hp_encoder e;
    size_t bytes;
    harp_status status;
    if (n) *n = 0;
    if (!model || !n || (!spans && n_spans) || (!tokens && capacity))
        return hp_fail(err, HARP_ERR_ARGUMENT, "model, n, spans and tokens must not be NULL");
    if (model->tokenizer.kind == 0) return hp_no_tokenizer(err);
    if (!hp_sum_spans(spans, n_spans, &bytes))
        return hp_fail(err, HARP_ERR_ARGUMENT, "a text of 2 GiB or more is encoded in parts");
    if (!text && bytes) return hp_fail(err, HARP_ERR_ARGUMENT, "text must not be NULL");
    memset(&e, 0, sizeof e);
    e.m = model, e.t = &model->tokenizer, e.flags = flags, e.err = err;
    e.text = bytes ? (const uint8_t *)text : nothing, e.end = e.text + bytes;
    e.spans = n_spans ? spans : &no_span, e.n_spans = n_spans, e.span_end = e.text + e.spans->bytes;
    e.tokens = tokens, e.capacity = capacity;
    hp_note_starts(&e);
    if ((flags & HARP_ENCODE_BOS) && e.t->add_bos && model->info.bos >= 0) hp_put_token(&e, (uint32_t)model->info.bos);
    status = hp_encode_text(&e);
    hp_free_room(&e, &e.word);
    hp_free_room(&e, &e.normal);
    if (status) return status;
    *n = e.n;
    if (e.n > capacity)
        return hp_fail(err, HARP_ERR_MEMORY, "the text has %d tokens, there is room for %d", (int64_t)e.n,
                       (int64_t)capacity);
    return hp_ok(err);
}

HARP_API harp_status harp_encode(const harp_model *model, const char *text, size_t bytes, unsigned flags,
                                 int32_t *tokens, size_t capacity, size_t *n, harp_error *err)
{
    harp_span all;
    all.bytes = bytes, all.flags = flags;
    return harp_encode_spans(model, text, &all, 1, flags, tokens, capacity, n, err);
}

/* ---- Decoding ---- */

HARP_API const char *harp_token_text(const harp_model *model, int32_t token, size_t *bytes)
{
    size_t n = 0;
    const uint8_t *text = NULL;
    if (model && model->tokenizer.kind && token >= 0 && token < model->tokenizer.n) {
        text = hp_token(&model->tokenizer, (uint32_t)token, &n);
        if (model->tokenizer.types[token] == HP_TOKEN_UNUSED && n == 0) text = NULL;
    }
    if (bytes) *bytes = n;
    return (const char *)text;
}

HARP_API void harp_decoder_start(harp_decoder *decoder, const harp_model *model, unsigned flags)
{
    if (!decoder) return;
    memset(decoder, 0, sizeof *decoder);
    decoder->model = model, decoder->flags = flags;
}

static size_t hp_put_replacement(char *out, size_t at)
{
    memcpy(out + at, "\xEF\xBF\xBD", 3);
    return at + 3;
}

/* One more byte of text. What is held always begins a character, so it is at most three bytes; where the next byte does
 * not continue it, one U+FFFD stands for all that was held. Returns the new length of out. */
static size_t hp_decode_byte(harp_decoder *d, uint8_t byte, char *out, size_t at)
{
    int state;
    d->hold[d->held] = byte;
    state = hp_utf8_state(d->hold, (size_t)d->held + 1);
    if (state < 0 && d->held > 0) {
        at = hp_put_replacement(out, at);
        d->hold[0] = byte, d->held = 0;
        state = hp_utf8_state(d->hold, 1);
    }
    d->held++;
    if (state == 0) return at;
    if (state < 0) at = hp_put_replacement(out, at);
    else memcpy(out + at, d->hold, (size_t)d->held), at += (size_t)d->held;
    d->held = 0;
    return at;
}

/* What a token puts out: nothing if it is silent, and not the space that encoding put before the text. */
static const uint8_t *hp_spoken(harp_decoder *d, uint32_t token, size_t *n)
{
    const hp_tokenizer *t = &d->model->tokenizer;
    const uint8_t *text = hp_token(t, token, n);
    int silent = t->types[token] == HP_TOKEN_UNUSED
                 || (hp_is_special(t, token) && !(d->flags & HARP_DECODE_SPECIAL));
    if (silent) *n = 0;
    if (*n == 0 || d->started) return text;
    d->started = 1;
    if ((t->spaces & HP_SPACE_STRIP) && !(d->flags & HARP_DECODE_CONTINUE) && text[0] == ' ') text++, --*n;
    return text;
}

HARP_API harp_status harp_decode(harp_decoder *decoder, int32_t token, char *out, size_t capacity, size_t *bytes,
                                 harp_error *err)
{
    const uint8_t *text;
    size_t n, i, at = 0;
    if (bytes) *bytes = 0;
    if (!decoder || !decoder->model || !out || !bytes || decoder->held < 0 || decoder->held > 3)
        return hp_fail(err, HARP_ERR_ARGUMENT, "decoder, out and bytes must not be NULL; use harp_decoder_start");
    if (decoder->model->tokenizer.kind == 0) return hp_no_tokenizer(err);
    if (token < -1 || token >= decoder->model->tokenizer.n)
        return hp_fail(err, HARP_ERR_ARGUMENT, "token %d is not in the vocabulary of %d", (int64_t)token,
                       (int64_t)decoder->model->tokenizer.n);
    if (capacity < 8 || (token >= 0 && capacity - 8 < (size_t)decoder->model->tokenizer.longest))
        return hp_fail(err, HARP_ERR_MEMORY, "decoding a token needs room for %d bytes",
                       (int64_t)decoder->model->tokenizer.longest + 8);
    if (token < 0) {
        if (decoder->held > 0) at = hp_put_replacement(out, at);
        decoder->held = 0;
    } else {
        text = hp_spoken(decoder, (uint32_t)token, &n);
        for (i = 0; i < n; i++) at = hp_decode_byte(decoder, text[i], out, at);
    }
    *bytes = at;
    return hp_ok(err);
}

/* ================================================================================================================
 * [CH14] Conversations
 *
 * How a model expects a conversation to be written is a table of texts and integers, which the converter
 * derives from the chat template (tools/convert/chat/roles.c). A text that is absent is empty, unless said otherwise:
 *
 *   chat.start               begins the conversation, after the begin token
 *   chat.system.before       stand around the system message. If `before` is absent, the model has no system role
 *   chat.system.after
 *   chat.system.absent       stands in place of before, message and after if there is no system message
 *   chat.user.before         stand around a user's message
 *   chat.user.after
 *   chat.user.first          if present, even if empty: replaces chat.user.before of the first user's message
 *   chat.assistant.before    stand around an assistant's message
 *   chat.assistant.after
 *   chat.assistant.prompt    if present, even if empty: replaces chat.assistant.before where the model is to answer
 *   chat.thinking.end        1..64 bytes ("</think>"): all up to the last such text in an assistant's message is
 *                            thinking, and left out of messages before the last. Absent: nothing is left out
 *   chat.marks               not used here: texts, one per line; a message with one of them is changed by the chat
 *                            template in a way that this table does not tell
 *   chat.bos                 integer: 1 if the begin token comes first, 0 if not. Absent: as harp_encode does
 *   chat.system.last         integer: 1 if the system message does not come first, but inside the last user's message,
 *                            between chat.user.before and the message
 *   chat.system.trim         integers: white space is removed from the beginning of the message (1), from its end (2)
 *   chat.user.trim           or both (3)
 *   chat.assistant.trim      the same, or newlines alone from the beginning (4, with the end 6)
 *   chat.user.first.trim     replaces chat.user.trim for a user's message that directly follows a system message or
 *                            chat.system.absent. Absent: chat.user.trim holds there, too
 *   chat.thinking.trim       integer: 1 if newlines that follow the thinking are left out with it
 *
 * A conversation is an optional system message, then messages of user and assistant in turn. It is written as
 *
 *   start
 *   system message, unless system.last:  system.before, message, system.after; without one: system.absent
 *   user's message:                      user.before (the first: user.first), message, user.after
 *   the last of them, if system.last:    user.before, system.before, system message, system.after, message, user.after
 *   assistant's message:                 assistant.before, message, assistant.after
 *   where the model is to answer:        assistant.prompt, or if that is absent assistant.before
 *
 * An empty system message counts as none. The table's texts name control tokens; messages never do. Where two texts
 * meet they are joined before they become tokens.
 * ============================================================================================================== */

enum { HP_START, HP_SYSTEM_BEFORE, HP_SYSTEM_AFTER, HP_SYSTEM_ABSENT, HP_USER_BEFORE, HP_USER_AFTER, HP_USER_FIRST,
       HP_ASSISTANT_BEFORE, HP_ASSISTANT_AFTER, HP_ASSISTANT_PROMPT, HP_THINKING_END, HP_CHAT_TEXTS };
enum { HP_BOS, HP_SYSTEM_LAST, HP_SYSTEM_TRIM, HP_USER_TRIM, HP_ASSISTANT_TRIM, HP_FIRST_TRIM, HP_THINKING_TRIM,
       HP_CHAT_INTEGERS };
enum { HP_TRIM_LEFT = 1, HP_TRIM_RIGHT = 2, HP_TRIM_NEWLINES = 4, HP_LONGEST_MARK = 64 };

typedef struct hp_piece { /* of a text */
    const char *data;     /* NULL: there is none */
    size_t bytes;
} hp_piece;

typedef struct hp_chat { /* the table */
    hp_piece text[HP_CHAT_TEXTS];
    int32_t integer[HP_CHAT_INTEGERS];
} hp_chat;

static harp_status hp_read_chat_texts(const harp_model *m, hp_chat *c, harp_error *err)
{
    static const char keys[HP_CHAT_TEXTS][24] = {
        "chat.start",           "chat.system.before",    "chat.system.after", "chat.system.absent",
        "chat.user.before",     "chat.user.after",       "chat.user.first",   "chat.assistant.before",
        "chat.assistant.after", "chat.assistant.prompt", "chat.thinking.end"};
    harp_meta meta;
    int i;
    for (i = 0; i < HP_CHAT_TEXTS; i++) {
        c->text[i].data = NULL, c->text[i].bytes = 0;
        if (!harp_meta_find(m, keys[i], &meta)) continue;
        if (meta.type != HARP_META_TEXT)
            return hp_fail(err, HARP_ERR_FORMAT, "metadata %s is not a text", keys[i]);
        c->text[i].data = meta.data, c->text[i].bytes = meta.bytes;
    }
    if (c->text[HP_THINKING_END].data && (c->text[HP_THINKING_END].bytes == 0
                                          || c->text[HP_THINKING_END].bytes > HP_LONGEST_MARK))
        return hp_fail(err, HARP_ERR_FORMAT, "metadata %s has %d bytes; 1 to %d are allowed", keys[HP_THINKING_END],
                       (int64_t)c->text[HP_THINKING_END].bytes, (int64_t)HP_LONGEST_MARK);
    return HARP_OK;
}

static harp_status hp_read_chat_integers(const harp_model *m, hp_chat *c, harp_error *err)
{
    static const struct {
        char key[24];
        int32_t absent, most;
    } keys[HP_CHAT_INTEGERS] = {{"chat.bos", 1, 1},         {"chat.system.last", 0, 1},
                                {"chat.system.trim", 0, 3}, {"chat.user.trim", 0, 3},
                                {"chat.assistant.trim", 0, 6}, {"chat.user.first.trim", -1, 3},
                                {"chat.thinking.trim", 0, 1}};
    harp_meta meta;
    int i;
    for (i = 0; i < HP_CHAT_INTEGERS; i++) {
        c->integer[i] = keys[i].absent;
        if (!harp_meta_find(m, keys[i].key, &meta)) continue;
        if (meta.type != HARP_META_INTEGER || meta.integer < 0 || meta.integer > keys[i].most)
            return hp_fail(err, HARP_ERR_FORMAT, "metadata %s is not an integer from 0 to %d", keys[i].key,
                           (int64_t)keys[i].most);
        c->integer[i] = (int32_t)meta.integer;
    }
    if (c->integer[HP_FIRST_TRIM] < 0) c->integer[HP_FIRST_TRIM] = c->integer[HP_USER_TRIM];
    return HARP_OK;
}

static harp_status hp_read_chat(const harp_model *m, hp_chat *c, harp_error *err)
{
    harp_status status = hp_read_chat_texts(m, c, err);
    if (status == HARP_OK) status = hp_read_chat_integers(m, c, err);
    if (status) return status;
    if (c->text[HP_USER_BEFORE].data || c->text[HP_USER_AFTER].data || c->text[HP_ASSISTANT_BEFORE].data)
        return HARP_OK;
    return hp_fail(err, HARP_ERR_UNSUPPORTED, "this model has no conversation format (metadata chat.*)");
}

/* The order of roles for which the table is defined; how many messages are the system's, in *n_system. */
static harp_status hp_check_messages(const harp_message *messages, size_t n, unsigned flags, size_t *n_system,
                                     harp_error *err)
{
    size_t i;
    *n_system = messages[0].role == HARP_ROLE_SYSTEM;
    for (i = 0; i < n; i++) {
        if (messages[i].bytes > 0 && !messages[i].text)
            return hp_fail(err, HARP_ERR_ARGUMENT, "the text of message %d is NULL", (int64_t)i);
        if (i >= *n_system && messages[i].role != ((i - *n_system) % 2 ? HARP_ROLE_ASSISTANT : HARP_ROLE_USER))
            return hp_fail(err, HARP_ERR_ARGUMENT, "message %d is not the %s's: after a system message, user and "
                           "assistant take turns, and the user begins", (int64_t)i,
                           (i - *n_system) % 2 ? "assistant" : "user");
    }
    if (n == *n_system) return hp_fail(err, HARP_ERR_ARGUMENT, "a conversation needs a user's message");
    if (flags & HARP_RENDER_ANSWER && messages[n - 1].role != HARP_ROLE_USER)
        return hp_fail(err, HARP_ERR_ARGUMENT, "an answer follows a user's message, and the last is the assistant's");
    return HARP_OK;
}

/* A conversation being written. What has no room is only counted. */
typedef struct hp_scribe {
    const hp_chat *chat;
    harp_rendering *out;
    unsigned flags;      /* HARP_RENDER_* */
    unsigned span_flags; /* of the last span */
    size_t span_bytes;   /* its length */
    int overflow;        /* the text is longer than a size_t can say */
} hp_scribe;

/* Neighbours of one kind share a span. */
static void hp_write(hp_scribe *w, hp_piece p, unsigned span_flags)
{
    harp_rendering *out = w->out;
    size_t bytes;
    if (p.bytes == 0) return;
    if (!hp_add_size(out->bytes, p.bytes, &bytes)) {
        w->overflow = 1;
        return;
    }
    if (bytes <= out->capacity) memcpy(out->text + out->bytes, p.data, p.bytes);
    out->bytes = bytes;
    if (out->n_spans == 0 || span_flags != w->span_flags) out->n_spans++, w->span_bytes = 0;
    w->span_flags = span_flags, w->span_bytes += p.bytes;
    if (out->n_spans > out->span_capacity) return;
    out->spans[out->n_spans - 1].bytes = w->span_bytes, out->spans[out->n_spans - 1].flags = span_flags;
}

static void hp_write_format(hp_scribe *w, int text)
{
    hp_write(w, w->chat->text[text], HARP_ENCODE_SPECIAL);
}

static int hp_is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void hp_write_trimmed(hp_scribe *w, hp_piece p, int32_t trim)
{
    while (trim & HP_TRIM_LEFT && p.bytes > 0 && hp_is_blank(p.data[0])) p.data++, p.bytes--;
    while (trim & HP_TRIM_NEWLINES && p.bytes > 0 && p.data[0] == '\n') p.data++, p.bytes--;
    while (trim & HP_TRIM_RIGHT && p.bytes > 0 && hp_is_blank(p.data[p.bytes - 1])) p.bytes--;
    hp_write(w, p, 0);
}

static hp_piece hp_piece_of(const harp_message *message)
{
    hp_piece p;
    p.data = message->text, p.bytes = message->text ? message->bytes : 0;
    return p;
}

/* An answer without its thinking. */
static hp_piece hp_without_thinking(const hp_chat *c, hp_piece p)
{
    hp_piece end = c->text[HP_THINKING_END];
    size_t at;
    if (!end.data || !p.data || p.bytes < end.bytes) return p;
    for (at = p.bytes; at >= end.bytes; at--)
        if (memcmp(p.data + at - end.bytes, end.data, end.bytes) == 0) break;
    if (at < end.bytes) return p;
    p.data += at, p.bytes -= at;
    while (c->integer[HP_THINKING_TRIM] && p.bytes > 0 && p.data[0] == '\n') p.data++, p.bytes--;
    return p;
}

static void hp_write_system(hp_scribe *w, const harp_message *system)
{
    hp_write_format(w, HP_SYSTEM_BEFORE);
    hp_write_trimmed(w, hp_piece_of(system), w->chat->integer[HP_SYSTEM_TRIM]);
    hp_write_format(w, HP_SYSTEM_AFTER);
}

static void hp_write_user(hp_scribe *w, const harp_message *message, const harp_message *system, int is_first,
                          int is_last)
{
    const hp_chat *c = w->chat;
    int holds_system = system && c->integer[HP_SYSTEM_LAST] && is_last;
    int follows = holds_system
                  || (is_first && (system ? !c->integer[HP_SYSTEM_LAST] : c->text[HP_SYSTEM_ABSENT].data != NULL));
    hp_write_format(w, is_first && c->text[HP_USER_FIRST].data ? HP_USER_FIRST : HP_USER_BEFORE);
    if (holds_system) hp_write_system(w, system);
    hp_write_trimmed(w, hp_piece_of(message), c->integer[follows ? HP_FIRST_TRIM : HP_USER_TRIM]);
    hp_write_format(w, HP_USER_AFTER);
}

static void hp_write_assistant(hp_scribe *w, const harp_message *message, int is_last)
{
    hp_piece text = hp_piece_of(message);
    if (!is_last && !(w->flags & HARP_RENDER_THINKING)) text = hp_without_thinking(w->chat, text);
    hp_write_format(w, HP_ASSISTANT_BEFORE);
    hp_write_trimmed(w, text, w->chat->integer[HP_ASSISTANT_TRIM]);
    hp_write_format(w, HP_ASSISTANT_AFTER);
}

/* n messages of user and assistant. */
static void hp_write_conversation(hp_scribe *w, const harp_message *system, const harp_message *messages, size_t n)
{
    size_t i;
    hp_write_format(w, HP_START);
    if (!system) hp_write_format(w, HP_SYSTEM_ABSENT);
    else if (!w->chat->integer[HP_SYSTEM_LAST]) hp_write_system(w, system);
    for (i = 0; i < n; i++)
        if (messages[i].role == HARP_ROLE_USER) hp_write_user(w, &messages[i], system, i == 0, i + 2 >= n);
        else hp_write_assistant(w, &messages[i], i + 1 == n);
    if (w->flags & HARP_RENDER_ANSWER)
        hp_write_format(w, w->chat->text[HP_ASSISTANT_PROMPT].data ? HP_ASSISTANT_PROMPT : HP_ASSISTANT_BEFORE);
}

HARP_API harp_status harp_render(const harp_model *model, const harp_message *messages, size_t n_messages,
                                 unsigned flags, harp_rendering *out, harp_error *err)
{
    hp_chat chat;
    hp_scribe w;
    const harp_message *system;
    size_t n_system = 0;
    harp_status status;
    if (!model || !out || (!messages && n_messages) || (!out->text && out->capacity)
        || (!out->spans && out->span_capacity))
        return hp_fail(err, HARP_ERR_ARGUMENT, "model, out, messages, and arrays with a capacity must not be NULL");
    out->bytes = out->n_spans = 0, out->flags = 0;
    if (n_messages == 0) return hp_fail(err, HARP_ERR_ARGUMENT, "a conversation needs a user's message");
    if ((status = hp_read_chat(model, &chat, err)) != HARP_OK
        || (status = hp_check_messages(messages, n_messages, flags, &n_system, err)) != HARP_OK)
        return status;
    system = n_system && messages[0].bytes > 0 ? messages : NULL;
    if (system && !chat.text[HP_SYSTEM_BEFORE].data)
        return hp_fail(err, HARP_ERR_UNSUPPORTED, "this model's conversation format has no system message: put its "
                                                  "text before the user's first");
    memset(&w, 0, sizeof w);
    w.chat = &chat, w.out = out, w.flags = flags;
    hp_write_conversation(&w, system, messages + n_system, n_messages - n_system);
    out->flags = chat.integer[HP_BOS] ? HARP_ENCODE_BOS : 0;
    if (w.overflow) return hp_fail(err, HARP_ERR_MEMORY, "the text is larger than memory");
    if (out->bytes > out->capacity || out->n_spans > out->span_capacity)
        return hp_fail(err, HARP_ERR_MEMORY, "the conversation has %d bytes in %d spans; there is room for %d and %d",
                       (int64_t)out->bytes, (int64_t)out->n_spans, (int64_t)out->capacity,
                       (int64_t)out->span_capacity);
    return hp_ok(err);
}

/* ================================================================================================================
 * [CH15] Many hands
 *
 * A pass is a few hundred short pieces of work, each split by outputs (rule R5) and finished before the next begins. A
 * piece of a small model lasts microseconds, so the threads that help must answer within less: a worker that has
 * nothing to do first watches for work (spins) for some tens of microseconds, as long as the gaps between pieces last,
 * and only then sleeps until it is woken. The caller's parallel-for takes the pool's place if there is one, and
 * HARP_NO_THREADS leaves all of this out: the parts are then done one after another, with the same result.
 * ============================================================================================================== */

#if HP_POSIX_THREADS
typedef pthread_t hp_thread;
typedef pthread_mutex_t hp_lock;
typedef pthread_cond_t hp_signal;
typedef void *hp_thread_result;
#define HP_THREAD_CALL
#define hp_lock_make(l) pthread_mutex_init(l, NULL)
#define hp_lock_take(l) pthread_mutex_lock(l)
#define hp_lock_give(l) pthread_mutex_unlock(l)
#define hp_lock_destroy(l) pthread_mutex_destroy(l)
#define hp_signal_make(s) pthread_cond_init(s, NULL)
#define hp_signal_wait(s, l, round) pthread_cond_wait(s, l)
#define hp_signal_all(s, n, round) pthread_cond_broadcast(s)
#define hp_signal_destroy(s) pthread_cond_destroy(s)
#define hp_thread_start(t, work, argument) (pthread_create(t, NULL, work, argument) == 0)
#define hp_thread_join(t) pthread_join(t, NULL)
#define hp_thread_yield() sched_yield()
#elif HP_WIN32_THREADS
typedef HANDLE hp_thread;
typedef CRITICAL_SECTION hp_lock;
/* Semaphores, as headers hide condition variables from programs that are to run on Windows XP; one for each value of
 * the round, for a worker that has done its part must not take the turn of one that sleeps. */
typedef struct hp_signal {
    HANDLE of_round[2];
} hp_signal;
typedef DWORD hp_thread_result;
#define HP_THREAD_CALL WINAPI
#define hp_lock_make(l) InitializeCriticalSection(l)
#define hp_lock_take(l) EnterCriticalSection(l)
#define hp_lock_give(l) LeaveCriticalSection(l)
#define hp_lock_destroy(l) DeleteCriticalSection(l)
#define hp_semaphore_make() CreateSemaphoreW(NULL, 0, LONG_MAX, NULL)
#define hp_signal_make(s) ((s)->of_round[0] = hp_semaphore_make(), (s)->of_round[1] = hp_semaphore_make())
#define hp_signal_wait(s, l, round) \
    (LeaveCriticalSection(l), WaitForSingleObject((s)->of_round[round], INFINITE), EnterCriticalSection(l))
#define hp_signal_all(s, n, round) ReleaseSemaphore((s)->of_round[round], n, NULL)
#define hp_signal_destroy(s) (CloseHandle((s)->of_round[0]), CloseHandle((s)->of_round[1]))
#define hp_thread_start(t, work, argument) ((*(t) = CreateThread(NULL, 0, work, argument, 0, NULL)) != NULL)
#define hp_thread_join(t) (WaitForSingleObject(t, INFINITE), CloseHandle(t))
#define hp_thread_yield() SwitchToThread()
#endif

/* Numbers that threads watch without a lock. */
#if (HP_CLANG || HP_GCC) && (HP_THREADS || __GCC_ATOMIC_LONG_LOCK_FREE == 2) /* else a call to libatomic: Cortex-M0 */
#define HP_ATOMICS 1
#define hp_watch(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define hp_publish(p, x) __atomic_store_n(p, x, __ATOMIC_RELEASE)
#define hp_count_down(p) __atomic_sub_fetch(p, 1, __ATOMIC_ACQ_REL)
#define hp_take(p, n) __atomic_fetch_add(p, n, __ATOMIC_RELAXED)
#elif HP_WIN32_THREADS
#define HP_ATOMICS 1
#define hp_watch(p) InterlockedCompareExchange(p, 0, 0)
#define hp_publish(p, x) InterlockedExchange(p, x)
#define hp_count_down(p) InterlockedDecrement(p)
#define hp_take(p, n) InterlockedExchangeAdd(p, n)
#else
#define HP_ATOMICS 0 /* parts are then run one after another, whatever the caller offers */
#define hp_take(p, n) (*(p) += (n), *(p) - (n))
#endif

#if HP_THREADS

#if HP_X86
#define HP_PAUSE() _mm_pause()
#elif HP_NEON
#define HP_PAUSE() __asm__ volatile("yield")
#else
#define HP_PAUSE() ((void)0)
#endif

enum { HP_SPINS = 2000 }; /* some tens of microseconds */

typedef struct hp_worker {
    struct hp_pool *pool;
    hp_thread thread;
    int index;
} hp_worker;

typedef struct hp_pool {
    void (*task)(void *argument, int i); /* the work: written before round is published, at rest until left is 0 */
    void *argument;
    long round;   /* 0 or 1: changes with every piece of work, which each worker waits for                            */
    long left;    /* parts of this round that workers have not finished */
    long asleep;  /* workers that wait for the signal; written under the lock */
    long ending;
    hp_lock lock;
    hp_signal work_there;
    int n_workers;
    hp_worker *workers; /* [n_workers]; worker i does part i + 1, the caller part 0 */
} hp_pool;

/* Waits until the pool's round is not `seen` any more: watching at first, then asleep. */
static void hp_await_round(hp_pool *p, long seen)
{
    int spins;
    for (spins = 0; spins < HP_SPINS; spins++) {
        if (hp_watch(&p->round) != seen) return;
        HP_PAUSE();
    }
    hp_lock_take(&p->lock);
    p->asleep++;
    while (hp_watch(&p->round) == seen) hp_signal_wait(&p->work_there, &p->lock, !seen);
    p->asleep--;
    hp_lock_give(&p->lock);
}

static hp_thread_result HP_THREAD_CALL hp_work_for_pool(void *argument)
{
    hp_worker *w = (hp_worker *)argument;
    hp_pool *p = w->pool;
    long seen;
    for (seen = 0;; seen = !seen) {
        hp_await_round(p, seen);
        if (p->ending) return 0;
        p->task(p->argument, w->index);
        hp_count_down(&p->left);
    }
}

/* Starts a round, and wakes whom it finds asleep. A worker falls asleep under the lock, after a last look at the round:
 * so it is either seen here or has seen the round. */
static void hp_begin_round(hp_pool *p)
{
    hp_publish(&p->left, (long)p->n_workers);
    hp_lock_take(&p->lock);
    hp_publish(&p->round, !p->round);
    if (p->asleep > 0) hp_signal_all(&p->work_there, p->asleep, p->round);
    hp_lock_give(&p->lock);
}

/* The caller waits by watching: its own part was as long as theirs. After a while it lets the system run somebody else,
 * for a worker may be waiting for this very core. */
static void hp_pool_run(hp_pool *p, void (*task)(void *argument, int i), void *argument)
{
    int spins;
    p->task = task, p->argument = argument;
    hp_begin_round(p);
    task(argument, 0);
    for (spins = 0; hp_watch(&p->left) > 0; spins = hp_min(spins + 1, HP_SPINS)) {
        if (spins < HP_SPINS) HP_PAUSE();
        else hp_thread_yield();
    }
}

static void hp_pool_end(hp_pool *p)
{
    int i;
    p->ending = 1;
    hp_begin_round(p);
    for (i = 0; i < p->n_workers; i++) hp_thread_join(p->workers[i].thread);
    hp_signal_destroy(&p->work_there);
    hp_lock_destroy(&p->lock);
    p->n_workers = 0;
}

/* Starts n - 1 workers. Returns 0 if the system refuses one of them. */
static int hp_pool_begin(hp_pool *p, hp_worker *workers, int n)
{
    memset(p, 0, sizeof *p);
    p->workers = workers;
    hp_lock_make(&p->lock);
    hp_signal_make(&p->work_there);
    while (p->n_workers < n - 1) {
        hp_worker *w = &workers[p->n_workers];
        w->pool = p, w->index = p->n_workers + 1;
        if (!hp_thread_start(&w->thread, hp_work_for_pool, w)) {
            hp_pool_end(p);
            return 0;
        }
        p->n_workers++;
    }
    return 1;
}

#else

typedef struct hp_worker {
    int none;
} hp_worker;

typedef struct hp_pool {
    int n_workers;
} hp_pool;

static void hp_pool_run(hp_pool *p, void (*task)(void *argument, int i), void *argument)
{
    (void)p;
    task(argument, 0);
}

static void hp_pool_end(hp_pool *p)
{
    p->n_workers = 0;
}

static int hp_pool_begin(hp_pool *p, hp_worker *workers, int n)
{
    (void)workers, (void)n;
    p->n_workers = 0;
    return 1;
}
#endif

/* The process that runs this, to tell a child of fork from its parent. */
static long hp_process(void)
{
#if HP_POSIX_THREADS
    return (long)getpid();
#else
    return 0;
#endif
}

/* ================================================================================================================
 * [CH16] Engines
 *
 * An ENGINE computes: it has the threads, the scratch of a pass, and the logits that passes gave. A SESSION remembers:
 * it has the tokens, their keys and values, and how the next token is chosen. Many sessions may share an engine; a
 * session that was given none has its own. Each is one block of memory, carved once (hp_lay_out_engine,
 * hp_lay_out_session); a session's own engine lies in the session's block.
 *
 * Logits are large (half a megabyte for a vocabulary of 128,256), and wanted for a moment: so an engine has SEATS for
 * as many sessions as it advances at once. A session takes one when it makes a step and has it until another session
 * needs it (hp_take_seat).
 *
 * Keys and values are kept in STREAMS. Stream 0 is the vanilla one; streams 1..K hold the reframed keys and values of
 * HARP; behind them are those of beams ([CH23]) and, in frame last, those in which harp_score_harp reframes many
 * positions at once.
 *
 * A stream is cut into BLOCKS of 16 positions. In a block the keys are stored dimension by dimension, [head_dim][16],
 * so that one load brings one dimension of 16 positions, a lane each; the values are stored [16][head_dim], since there
 * the dimensions are the outputs (rule R1 both times).
 *
 *      keys    [layers][kv_heads][blocks] of [head_dim][16]        element: float, half or int8
 *      values  [layers][kv_heads][blocks] of [16][head_dim]        int8: a half's scale per position, [..][blocks][16]
 *
 * A convolution's inputs are cut into as many keys and values. A gated delta net has its own there, and beside them its
 * gates, floats in any cache. Of these inputs, in the order of positions, its STATE is a pure function; a stream holds
 * the running one and some copies, and makes what it lacks anew from the inputs ([CH19]).
 *
 * A stream may BEGIN at a base: earlier positions are those of the stream below it and are read there, block by block.
 * If the base falls inside a block, that block is copied first, so that every block has one owner. Below a reframed
 * stream, or a beam's, is the vanilla one: base = 0 is the paper; base = length of the prompt reframes only what was
 * generated, and is where beams begin; base = the newest position is frame "last", whose stream is a single block.
 * Below the streams of a FORK, a session that began as a copy of another, are those of its parent.
 * ============================================================================================================== */

enum { HP_BLOCK = HP_LANES, HP_SCALES_BYTES = 2 * HP_BLOCK /* of a block */, HP_RUN = 4 };
enum { HP_MAX_THREADS = 256 };

enum { HP_KEYS, HP_VALUES, HP_KEY_SCALES, HP_VALUE_SCALES, HP_GATES, HP_PARTS = HP_SPECIAL ? 5 : 4 };
/* scales: cache int8; gates: models with delta nets */

typedef struct hp_stream {
    uint8_t *part[HP_PARTS];          /* [layers][kv_heads][blocks][hp_part_bytes]                                */
    int32_t blocks;                   /* capacity                                                                 */
    int32_t base;                     /* first position of its own                                                */
    int32_t length;                   /* positions below it are computed; 0: nothing is, base means nothing        */
    int32_t reached;                  /* positions below it were computed by the step that is under way            */
    const struct hp_stream *below;    /* where positions before the base are; NULL: there are none                 */
    float *states;                    /* [delta nets][delta_heads][slots][delta_key_dim][delta_value_dim]          */
    int32_t *held;                    /* [delta nets][delta_heads][slots], positions before it are in that state   */
    int32_t shared;                   /* a fork's: positions before it are the parent's for good, so base >= it    */
    int32_t slots;                    /* of each: the running one, a mark, copies; in a fork what it began with    */
} hp_stream;

enum { HP_MARK = 1, HP_COPIES }; /* which of the slots; the mark is made after the first of several rows of a pass */

/* One token to be computed in a pass. */
typedef struct hp_row {
    harp_session *session;
    hp_stream *stream;
    int32_t token, position;
    int32_t reframing;  /* whose mask falls on its embedding, -1: none           */
    uint32_t mask_step; /* fourth counter word of that mask                      */
    int32_t slot;       /* of the engine, where its logits go; -1: none are wanted */
} hp_row;

/* A sequence that beam search considers. */
typedef struct hp_beam {
    int32_t parent, token; /* the beam that it continues, and with what; -1: it is finished and goes on as it is */
    int32_t length;        /* its tokens                                                                         */
    int32_t finished;
    float sum, score; /* 1 + its tokens' log-probabilities; the sum with the length penalty */
} hp_beam;

enum { HP_MAX_BEAMS = 64, HP_MAX_BEAM_TOP = 64, HP_MAX_DRAFTS = 64, HP_MAX_LOOKUP = 16 };

typedef void hp_work(harp_engine *e, int part, int32_t first, int32_t last);

/* What the parts of a split piece of work need to know; written by the calling thread before the split. */
typedef struct hp_job {
    hp_work *work;
    int32_t first, count;    /* outputs, which the parts take share by share      */
    long taken;              /* shares                                            */
    long unsound;            /* parts on threads that compute otherwise           */
    const hp_matrix *matrix; /* a product: places[row][] = inputs . matrix^T      */
    hp_operand inputs;
    const hp_way *way;       /* of reading its weights                            */
    const float *source;     /* rows to be normed, and where they go              */
    float *normed;
    const hp_norm_of *norm;
    int32_t layer;           /* whose keys are stored or attended to              */
    int32_t ffn;             /* inner size of what is activated                   */
    const hp_matrix *expert_of; /* the experts' matrix, and what of it is one expert's */
    hp_matrix expert;
} hp_job;

/* What the schedule auto has learned: seconds, moving averages, 0 if not measured yet. */
typedef struct hp_costs {
    double plain, second, fused; /* a vanilla pass; the reframed one after it; both in one   */
    float rate;                  /* share of the last steps that hesitated, of so many:      */
    int32_t steps;
    int32_t no_plain, no_fused;  /* steps since the one and the other was last measured      */
} hp_costs;

/* Which way of reading the weights is the fastest ([CH06], [CH18]). */
typedef struct hp_reading {
    double spent[HP_WAYS]; /* seconds in the products of a layer, for each way that was tried */
    int32_t votes[HP_WAYS], best, tried, on_trial;
    uint32_t passes;
} hp_reading;

/* Where a pass stands, for it may be computed in slices ([CH20]). */
typedef struct hp_pass {
    int64_t budget;               /* multiply-adds that this slice may still take    */
    int32_t under_way;
    int32_t layer, stage, item;   /* what comes next; item: of a stage that was cut  */
    int32_t n_rows;               /* all of them; the last product has fewer         */
    int32_t expert;               /* that computes for the visitors                  */
} hp_pass;

/* Where a step stands, which may take several passes and slices. */
typedef struct hp_progress {
    int32_t resuming;             /* a step is under way                             */
    int32_t redrawn;              /* frame redraw: reframings that it has done       */
    int32_t drafting;             /* it still waits for guesses                      */
    int32_t decided, fused;       /* whether reframed rows ride along: said once     */
} hp_progress;

/* Where the logits of a session are. */
typedef struct hp_seat {
    harp_session *session; /* NULL: free */
    uint32_t asked;        /* when it was last asked for: the count then */
} hp_seat;

typedef struct hp_choice { /* an expert of a row's */
    int32_t expert;
    float weight;
} hp_choice;

struct harp_engine {
    const harp_model *model;
    const hp_kernels *kernels;
    int32_t context, batch; /* most positions of a session, most rows of a pass */
    harp_activations activations;
    int threads;
    harp_parallel_fn *parallel;
    void *parallel_user;
    harp_inputs_fn *inputs_fn;
    void *inputs_user;

    hp_row *rows; /* [batch], the pass being put together */
    float **places; /* [batch], where the rows of a product go */
    int32_t *runs; /* [batch + 1], starts of runs of rows that share a stream, at most HP_RUN long */
    int32_t n_rows, n_runs;
    unsigned char *keep; /* [hidden], a mask of the caller's */

    float *x, *normed, *qkv, *heads, *gate_up, *inner, *change, *turn; /* [batch][...], see hp_lay_out_scratch */
    float *embedded;          /* [batch][...], the embeddings, for the layers' own inputs; NULL: there are none */
    float *routed, *gathered; /* [batch][...], logits of a router; rows that go to an expert, or come from it */
    hp_choice *choices;       /* [batch][experts_used] */
    int32_t *visitors;        /* [batch], rows that go to the expert at hand */
    int32_t n_visitors;
    int8_t *q;        /* [batch][widest] */
    float *q_scales;  /* [batch][widest / 32] */
    int32_t *q_starts; /* [batch][widest / 32] */
    float *attention; /* [threads][attention_floats] */
    size_t attention_floats;
    size_t hidden_stride, qkv_stride, heads_stride, gate_up_stride, inner_stride, turn_stride, logits_stride;

    hp_seat *seats; /* [n_seats] */
    int32_t n_seats, slots, positions; /* slots: logits of a seat; positions: how many may have theirs at once */
    uint32_t asked;   /* for seats, so far */
    float *logits;    /* [n_seats][slots + 1][logits_stride]: those of passes, and the combined ones     */
    float *hidden;    /* [n_seats][slots + 1][hidden_stride]: what the last norm gave for them; or NULL */
    float *adjusted;  /* [logits_stride], the sampler's */
    float *added;     /* [vocab], by adjust_fn; NULL: there is none */
    int32_t *ranking; /* [vocab], the sampler's */
    harp_step *judged; /* [positions], harp_score_harp's */

    hp_job job;
    hp_pass pass;
    harp_member *members; /* [n_members], of harp_together while it gathers their rows; NULL: one session is driven */
    int32_t n_members;
    hp_pool *pool;        /* if the caller has no parallel-for */
    hp_worker *workers;   /* [threads - 1] */
    hp_reading reading;
    int busy;             /* a public call on one of its sessions is under way               */
    int32_t n_sessions;   /* open on it                                                      */
    long process;         /* that the pool's threads belong to                               */
    harp_allocator allocator;
    void *block;          /* NULL: it lies in its only session's */
    size_t block_bytes;   /* 0: the block is the caller's        */
};

struct harp_session {
    const harp_model *model;
    harp_engine *engine;
    harp_params params; /* resolved: no zero stands for a default any more */
    int32_t *tokens;    /* [context] */
    int32_t n_tokens, from; /* from: params.reframe_from, resolved */
    hp_stream *streams; /* [n_streams]; stream 0 may reach beyond n_tokens, see hp_append */
    int32_t n_streams, all_streams; /* vanilla and reframed ones; with those of beams and of frame last */
    int is_long;                    /* what the streams hold was turned by rope_long, see hp_follow_turn */
    harp_session *parent, *child, *sibling; /* of a fork; the first of its own forks; the parent's next one */

    uint32_t mask_step; /* fourth counter word of the masks of rows pushed now */
    int32_t in_pass;    /* its rows in the engine's pass */
    int32_t share;      /* those of the last pass of several sessions */
    int32_t member;     /* which of the engine's members it is */
    int32_t first_slot; /* of its seat, -1: it has none. Counted from there, the newest step's logits are in         */
                        /* vanilla_slot and, K of them, in reframed_slot, reframed_slot + slot_gap, ...              */
    int32_t slots, positions; /* what of the engine's it needs */
    int32_t vanilla_slot, reframed_slot, slot_gap;
    int has_step, has_reframed, is_combined;
    int is_scoring; /* a callback of harp_score or harp_score_harp is told of the position in vanilla_slot */

    int32_t first_ahead, n_ahead; /* positions that a pass with drafts has computed, from slot 0 on; 0: none */
    int ahead_reframed;           /* by the reframed streams as well */
    int32_t n_guesses, n_drafts;  /* tokens[n_tokens...] that are guesses, and how many of them the pass computes */
    int32_t draft_goal, n_cut;    /* how many to guess next; candidates of the last draw */
    float *guessed;               /* [drafts + 1][vocab], the probabilities that the guesses were drawn with */
    harp_session *client;         /* whose step this session drafts for at the moment: may cancel it, too */

    hp_beam *beams, *next_beams; /* [beams] */
    int32_t *beam_tokens, *next_tokens; /* [beams][beam_length] each */
    int32_t *beam_streams, *next_streams; /* [beams] */

    char *held; /* [held_capacity], text of harp_generate that may begin a stop text */
    size_t held_bytes, held_capacity;
    harp_decoder decoder; /* of harp_generate, perhaps with an unfinished character            */
    int32_t told;         /* the n_tokens that both belong to; with another they are void (-1) */
    harp_end end;

    hp_progress progress;
    hp_costs costs;
    harp_stats stats;
    int32_t step_passes, step_rows;
    int busy;           /* HP_RESTING or HP_AT_WORK while a public call is under way */
    int closed;         /* by its owner; its forks still need its keys and values    */
    void *block;
    size_t block_bytes; /* 0: the block is the caller's          */
    size_t memory;      /* what the session needs, and so what it takes of the block */
};

enum { HP_IDLE, HP_RESTING, HP_AT_WORK }; /* resting: a step is complete, and on_text is told of it */

HARP_API void harp_set_defaults(harp_params *p, size_t bytes, int32_t version)
{
    if (!hp_stamp(p, bytes, version, sizeof *p)) return; /* another harp.h's: harp_session_open refuses them */
    p->batch = 64, p->logit_rows = 1, p->activations = HARP_ACT_INT8, p->cache = HARP_CACHE_F16;
    p->harp = 1, p->theta = 1.0f, p->delta = 0.2f, p->beta = 0.5f, p->reframings = 1;
    p->frame = HARP_FRAME_STREAM, p->schedule = HARP_SCHEDULE_AUTO, p->measure = HARP_MEASURE_ENTROPY;
    p->temperature = 0.8f, p->top_k = 40, p->top_p = 0.95f, p->min_p = 0.05f, p->repeat_penalty = 1.0f;
    p->repeat_last = 64, p->beam_length = 256, p->lookup = 3, p->threads = 1, p->seats = 8;
}

/* ---- Who shares: nobody, where HARP_NO_SHARING says so ---- */

/* The engine that the caller gave; without one the session has its own. */
static harp_engine *hp_shared_engine(const harp_params *p) { return HP_SHARING ? p->engine : NULL; }

/* Whose fork the session is to be, or is; and the newest of its own forks. */
static harp_session *hp_parent_in(const harp_params *p) { return HP_SHARING ? p->parent : NULL; }
static harp_session *hp_parent_of(const harp_session *s) { return HP_SHARING ? s->parent : NULL; }
static harp_session *hp_first_fork(const harp_session *s) { return HP_SHARING ? s->child : NULL; }

/* The members of the step that the engine makes, if they are several. */
static harp_member *hp_company(const harp_engine *e) { return HP_SHARING ? e->members : NULL; }

/* ---- Checking the parameters ---- */

static harp_status hp_expect_range(int is_within, const char *name, harp_error *err)
{
    return is_within ? HARP_OK : hp_fail(err, HARP_ERR_ARGUMENT, "parameter %s is out of range", name);
}

static harp_status hp_check_integer(const char *name, int32_t value, int32_t least, int32_t most, harp_error *err)
{
    return hp_expect_range(value >= least && value <= most, name, err);
}

static harp_status hp_check_float(const char *name, float value, float least, float most, harp_error *err)
{
    return hp_expect_range(value >= least && value <= most, name, err); /* a NaN is in no range */
}

/* Where a parameter is in harp_params, and its bounds: tables, which are smaller than code that asks one after another.
 * An enumeration is as large as the compiler makes it: one byte on some machines. */
typedef struct hp_integer_range {
    char name[16];
    uint16_t at;
    uint8_t bytes;
    int8_t least;
    int32_t most;
} hp_integer_range;

typedef struct hp_float_range {
    char name[16];
    size_t at;
    float least, most;
} hp_float_range;

#define HP_RANGE(name) #name, offsetof(harp_params, name)
#define HP_INTEGER_RANGE(name) HP_RANGE(name), sizeof(((harp_params *)0)->name)

static const hp_integer_range hp_integer_ranges[] = {
    {HP_INTEGER_RANGE(context), 0, 1 << 28},
    {HP_INTEGER_RANGE(batch), 1, 4096},
    {HP_INTEGER_RANGE(logit_rows), 1, 4096},
    {HP_INTEGER_RANGE(seats), 1, 256},
    {HP_INTEGER_RANGE(activations), HARP_ACT_INT8, HARP_ACT_F32},
    {HP_INTEGER_RANGE(cache), HARP_CACHE_F16, HARP_CACHE_INT8},
    {HP_INTEGER_RANGE(reframings), 1, HP_MAX_REFRAMINGS},
    {HP_INTEGER_RANGE(frame), HARP_FRAME_STREAM, HARP_FRAME_LAST},
    {HP_INTEGER_RANGE(reframe_from), HARP_FROM_PROMPT, 1 << 28},
    {HP_INTEGER_RANGE(schedule), HARP_SCHEDULE_AUTO, HARP_SCHEDULE_FUSED},
    {HP_INTEGER_RANGE(measure), HARP_MEASURE_ENTROPY, HARP_MEASURE_CALLER},
    {HP_INTEGER_RANGE(top_k), 0, INT32_MAX},
    {HP_INTEGER_RANGE(repeat_last), 0, 4096},
    {HP_INTEGER_RANGE(beams), 0, HP_MAX_BEAMS},
    {HP_INTEGER_RANGE(beam_length), 1, 1 << 28},
    {HP_INTEGER_RANGE(drafts), 0, HP_MAX_DRAFTS},
    {HP_INTEGER_RANGE(lookup), 1, HP_MAX_LOOKUP},
    {HP_INTEGER_RANGE(draft_rule), HARP_DRAFT_EXACT, HARP_DRAFT_LEVIATHAN},
    {HP_INTEGER_RANGE(threads), 1, HP_MAX_THREADS},
    {HP_INTEGER_RANGE(n_bias), 0, INT32_MAX},
    {HP_INTEGER_RANGE(n_stop), 0, 1024},
};

static const hp_float_range hp_float_ranges[] = {
    {HP_RANGE(theta), -1e30f, 1e30f},     {HP_RANGE(delta), 0.0f, 1.0f}, {HP_RANGE(beta), 0.0f, 1.0f},
    {HP_RANGE(temperature), 0.0f, 1e6f},  {HP_RANGE(top_p), 0.0f, 1.0f}, {HP_RANGE(min_p), 0.0f, 1.0f},
    {HP_RANGE(repeat_penalty), 1e-6f, 1e6f},
};

static harp_status hp_check_ranges(const harp_params *p, harp_error *err)
{
    size_t i;
    for (i = 0; i < sizeof hp_integer_ranges / sizeof hp_integer_ranges[0]; i++) {
        const hp_integer_range *r = &hp_integer_ranges[i];
        const uint8_t *field = (const uint8_t *)p + r->at;
        int32_t value = *field;
        if (r->bytes == sizeof value) memcpy(&value, field, sizeof value);
        if (hp_check_integer(r->name, value, r->least, r->most, err)) return HARP_ERR_ARGUMENT;
    }
    for (i = 0; i < sizeof hp_float_ranges / sizeof hp_float_ranges[0]; i++) {
        const hp_float_range *r = &hp_float_ranges[i];
        float value;
        memcpy(&value, (const uint8_t *)p + r->at, sizeof value);
        if (hp_check_float(r->name, value, r->least, r->most, err)) return HARP_ERR_ARGUMENT;
    }
    return HARP_OK;
}

static harp_status hp_check_biases(const harp_model *m, const harp_params *p, harp_error *err)
{
    int32_t i;
    for (i = 0; i < p->n_bias; i++)
        if (p->bias[i].token < 0 || p->bias[i].token >= m->vocab || !(p->bias[i].add <= FLT_MAX))
            return hp_fail(err, HARP_ERR_ARGUMENT, "bias %d names no token, or adds no number", (int64_t)i);
    return HARP_OK;
}

static harp_status hp_check_param_lists(const harp_model *m, const harp_params *p, harp_error *err)
{
    int32_t i;
    if ((p->n_bias && !p->bias) || (p->n_stop && !p->stop) || (p->measure == HARP_MEASURE_CALLER && !p->measure_fn))
        return hp_fail(err, HARP_ERR_ARGUMENT, "a list or function that the parameters announce is NULL");
    if (hp_check_biases(m, p, err)) return HARP_ERR_ARGUMENT;
    for (i = 0; i < p->n_stop; i++)
        if (!p->stop[i] || !p->stop[i][0] || strlen(p->stop[i]) > 4096)
            return hp_fail(err, HARP_ERR_ARGUMENT, "stop text %d is NULL, empty or too long", (int64_t)i);
    return HARP_OK;
}

/* The rule that judges a draft must know what it was drawn from: HARP would blend the logits only after that. */
static harp_status hp_check_draft(const harp_model *m, const harp_params *p, harp_error *err)
{
    const harp_session *d = p->draft;
    if (!d || p->drafts == 0) return HARP_OK;
    if (d->model->vocab != m->vocab)
        return hp_fail(err, HARP_ERR_ARGUMENT, "the draft model has %d tokens, this one %d: not the same vocabulary",
                       (int64_t)d->model->vocab, (int64_t)m->vocab);
    if (d->params.harp || d->params.drafts)
        return hp_fail(err, HARP_ERR_ARGUMENT, "a draft session is plain: harp = 0, drafts = 0");
    return HARP_OK;
}

/* How many positions have their logits computed at once, and how many logits that makes. */
static int32_t hp_positions_at_once(const harp_params *p)
{
    return hp_max(p->logit_rows, 1 + p->drafts);
}

static int32_t hp_slots_of(const harp_params *p)
{
    return hp_max(hp_positions_at_once(p) * (p->harp ? 1 + p->reframings : 1), p->beams);
}

static harp_status hp_refuse_sharing(harp_error *err)
{
    return hp_fail(err, HARP_ERR_UNSUPPORTED, "left out: HARP_NO_SHARING");
}

/* What an engine decides for its sessions. */
static harp_status hp_follow_engine(const harp_model *m, harp_params *p, harp_error *err)
{
    const harp_engine *e = p->engine;
    if (e->model != m) return hp_fail(err, HARP_ERR_ARGUMENT, "the engine is of another model");
    if (p->drafts > 0 && p->draft && p->draft->engine == e)
        return hp_fail(err, HARP_ERR_ARGUMENT, "a draft session needs another engine than the one it drafts for");
    if (p->context > e->context)
        return hp_fail(err, HARP_ERR_ARGUMENT, "a context of %d is asked for; the engine was opened for %d",
                       (int64_t)p->context, (int64_t)e->context);
    if (hp_positions_at_once(p) > e->positions || hp_slots_of(p) > e->slots)
        return hp_fail(err, HARP_ERR_ARGUMENT,
                       "the session needs %d logits at once; the engine was opened for %d: open it with as large "
                       "logit_rows, drafts, reframings and beams",
                       (int64_t)hp_slots_of(p), (int64_t)e->slots);
    p->batch = e->batch, p->activations = e->activations, p->hidden = e->hidden != NULL;
    p->threads = e->threads, p->parallel = e->parallel, p->parallel_user = e->parallel_user;
    return HARP_OK;
}

/* Is the session so long that rope_long turns it? The answer holds for all its positions: see hp_follow_turn. */
static int hp_is_long(const harp_model *m, int32_t n_tokens)
{
    return n_tokens > m->recipe.rope_original;
}

/* Is a call under way on the session, or on another of its engine? A callback of that call asks. */
static int hp_is_at_work(const harp_session *s)
{
    return s->busy || (HP_SHARING && s->engine->busy);
}

static harp_status hp_refuse_at_work(harp_error *err)
{
    return hp_fail(err, HARP_ERR_ARGUMENT,
                   "the session is in use by the call that this callback belongs to: make this call after it");
}

/* Keys that are turned anew when the text gets longer than rope_original cannot be shared. */
static harp_status hp_check_parent(const harp_model *m, const harp_params *p, harp_error *err)
{
    const harp_session *parent = p->parent;
    if (hp_is_at_work(parent)) return hp_refuse_at_work(err);
    if (parent->model != m || parent->params.cache != p->cache || parent->params.activations != p->activations)
        return hp_fail(err, HARP_ERR_ARGUMENT, "a fork has its parent's model, cache and activations");
    if (p->parent_at < 1 || p->parent_at > parent->n_tokens || p->parent_at > p->context)
        return hp_fail(err, HARP_ERR_ARGUMENT, "a fork cannot begin with %d tokens: its parent has %d, its context %d",
                       (int64_t)p->parent_at, (int64_t)parent->n_tokens, (int64_t)p->context);
    if (hp_is_long(m, hp_max(p->context, parent->params.context)))
        return hp_fail(err, HARP_ERR_UNSUPPORTED,
                       "beyond %d tokens this model turns all keys anew: forks and their parents need a context no "
                       "longer than that",
                       (int64_t)m->recipe.rope_original);
    return HARP_OK;
}

/* Checks the parameters and replaces what stands for a default. */
static harp_status hp_resolve_params(const harp_model *m, const harp_params *given, harp_params *p, harp_error *err)
{
    if (!m || !given) return hp_fail(err, HARP_ERR_ARGUMENT, "model and params must not be NULL");
    if (hp_check_stamp(&given->stamp, "params", sizeof *given, err)) return HARP_ERR_ARGUMENT;
    *p = *given;
    if (hp_check_ranges(p, err) || hp_check_param_lists(m, p, err)) return HARP_ERR_ARGUMENT;
    if (p->context == 0) p->context = hp_min(m->info.context, 4096);
    if (p->context > m->info.context)
        return hp_fail(err, HARP_ERR_ARGUMENT, "a context of %d is asked for; the model was made for %d",
                       (int64_t)p->context, (int64_t)m->info.context);
    p->allocator = hp_allocator_or_libc(p->allocator);
    p->beam_length = hp_min(p->beam_length, p->context);
    if (hp_check_draft(m, p, err)) return HARP_ERR_ARGUMENT;
    if (!HP_SHARING && (p->engine || p->parent || p->inputs_fn)) return hp_refuse_sharing(err);
    return hp_shared_engine(p) ? hp_follow_engine(m, p, err) : HARP_OK;
}

/* ================================================================================================================
 * [CH17] Their memory
 *
 * What an engine and a session need is known when they are opened, so each is one block, carved once to count and once
 * for real. A session's keys and values lie in blocks of 16 positions, which its streams and its forks share.
 * ============================================================================================================== */

/* ---- Laying out the memory ---- */

static int32_t hp_blocks(int32_t positions)
{
    return (positions + HP_BLOCK - 1) / HP_BLOCK;
}

/* Elements of a key, and of a value, that a layer keeps for a position and a key-value head. */
static int32_t hp_stored(const harp_model *m, int32_t layer)
{
    return HP_SPECIAL ? m->layers[layer].stored : m->info.head_dim;
}

/* A block of a layer has as many units as the layer stores; of scales it needs the first alone. */
static size_t hp_units(const harp_model *m, int32_t layer)
{
    return HP_SPECIAL ? (size_t)m->layers[layer].units : 1;
}

/* Bytes of one unit of a block; 0: this cache has no such part. */
static size_t hp_part_bytes(const harp_session *s, int part)
{
    harp_cache cache = s->params.cache;
    int32_t unit = HP_SPECIAL ? s->model->unit : s->model->info.head_dim;
    if (HP_SPECIAL && part == HP_GATES) return HP_BLOCK * (size_t)s->model->gates * sizeof(float);
    if (part >= HP_KEY_SCALES) return cache == HARP_CACHE_INT8 ? HP_SCALES_BYTES : 0;
    return HP_BLOCK * (size_t)unit * hp_cache_element_bytes(cache);
}

/* Units that 16 positions take up in all layers and heads. */
static size_t hp_all_units(const harp_model *m)
{
    return (size_t)(HP_SPECIAL ? m->units : m->info.layers) * (size_t)m->info.kv_heads;
}

/* Of a reframed stream: the blocks before reframe_from are the vanilla stream's. */
static int32_t hp_reframed_blocks(const harp_params *p)
{
    int32_t all = hp_blocks(p->context);
    return p->frame == HARP_FRAME_LAST ? 1 : all - hp_min(hp_max(p->reframe_from, 0) / HP_BLOCK, all - 1);
}

/* Would these parameters put other masks on the session's tokens? */
static int hp_masks_differ(const harp_params *a, const harp_params *b)
{
    return a->delta != b->delta || a->seed != b->seed || a->rescale != b->rescale || a->mask_fn != b->mask_fn
           || a->harp_user != b->harp_user || a->reframe_from != b->reframe_from;
}

/* How many positions of stream r a fork shares with its parent: not the newest, which may be computed once more for its
 * logits. */
static int32_t hp_shared_with_parent(const harp_params *p, int32_t r)
{
    const harp_session *parent = hp_parent_in(p);
    int32_t shared;
    if (!parent || r >= parent->n_streams) return 0;
    if (r > 0 && (p->frame != HARP_FRAME_STREAM || parent->params.frame != HARP_FRAME_STREAM
                  || hp_masks_differ(p, &parent->params)))
        return 0;
    shared = hp_min(parent->streams[r].length, p->parent_at - 1);
    return r > 0 && shared <= parent->from ? 0 : shared; /* before that nothing is reframed */
}

/* The states of a stream, all slots. */
static size_t hp_count_states(const harp_model *m, const hp_stream *t)
{
    return (size_t)m->deltas * (size_t)m->recipe.delta_heads * (size_t)t->slots;
}

static size_t hp_state_floats(const harp_model *m)
{
    return (size_t)m->recipe.delta_key_dim * (size_t)m->recipe.delta_value_dim;
}

/* A state is copied at every so-many-th position: so often that copies take as much memory as what they are made of
 * does in halves, and a whole number of blocks. With 32 heads of [128][128], 16 of keys, that is 128. Counted for one
 * head of keys, in lanes, so that it needs no 64 bits. */
static int32_t hp_copy_every(const harp_model *m)
{
    const hp_recipe *r = &m->recipe;
    int32_t heads = r->delta_heads / r->delta_key_heads; /* of values */
    int32_t keys = r->delta_key_dim / HP_LANES, values = r->delta_value_dim / HP_LANES;
    int32_t states = 2 * heads * keys * values, inputs = 2 * keys + heads * values;
    return hp_round_up(hp_max(states * HP_LANES / inputs, 1), HP_BLOCK);
}

/* Streams that last have room for a mark and for copies, and those of forks for what they begin with; those of beams
 * and of frames redraw and last run through. */
static void hp_lay_out_states(const harp_session *s, hp_stream *t, int32_t r, int32_t shared, hp_arena *a)
{
    const harp_model *m = s->model;
    int32_t every = hp_copy_every(m);
    int lasts = r == 0 || (r < s->n_streams && s->params.frame == HARP_FRAME_STREAM);
    size_t heads = (size_t)m->deltas * (size_t)m->recipe.delta_heads, n = 0;
    t->slots = 1;
    if (lasts) t->slots = HP_COPIES + hp_min((s->params.context - 1) / every, t->blocks * HP_BLOCK / every + 1);
    if (shared > 0) t->slots++;
    if (!hp_mul_size(heads, (size_t)t->slots, &n)) a->overflow = 1;
    t->held = hp_carve(a, n, sizeof *t->held);
    t->states = hp_carve_rows(a, n, hp_state_floats(m), sizeof *t->states);
    if (t->held) memset(t->held, 0, n * sizeof *t->held);
}

static void hp_lay_out_streams(harp_session *s, hp_arena *a)
{
    const harp_params *p = &s->params;
    size_t units = hp_all_units(s->model);
    int32_t r, all = hp_blocks(p->context);
    int32_t first_last = s->n_streams + p->beams; /* the first of frame last's extra ones */
    for (r = 0; r < s->all_streams; r++) {
        hp_stream none = {0}, *t = s->streams ? &s->streams[r] : &none;
        int32_t shared = r < s->n_streams ? hp_shared_with_parent(p, r) : 0;
        size_t blocks = 0;
        int part;
        t->below = r == 0 ? NULL : s->streams;
        t->blocks = r == 0 ? all : hp_reframed_blocks(p);
        if (r >= s->n_streams && r < first_last) t->blocks = hp_min(hp_blocks(p->beam_length) + 1, all);
        if (shared > 0) t->blocks = all - hp_min(shared / HP_BLOCK, all - 1);
        if (!hp_mul_size(units, (size_t)t->blocks, &blocks)) a->overflow = 1;
        for (part = 0; part < HP_PARTS; part++) t->part[part] = hp_carve(a, blocks, hp_part_bytes(s, part));
        if (HP_SPECIAL && s->model->deltas > 0) hp_lay_out_states(s, t, r, shared, a);
    }
}

static size_t hp_max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static int32_t hp_longest_run(const harp_engine *e)
{
    return hp_min(HP_RUN, e->batch);
}

/* From one row of n numbers to the next. Products read whole groups of 32 and write whole tiles of 16. Rows a power of
 * two apart would fall into the same few places of the caches, where the results of a tile, one line of each row, drive
 * one another out: hence an odd number of lines (2 to 5 % of a product of 256 rows, on a Xeon). */
static size_t hp_stride(int32_t n)
{
    return (size_t)hp_round_up(n, HP_GROUP) + HP_LANES;
}

/* n numbers of four bytes for each row of a pass. */
static void *hp_carve_batch(const harp_engine *e, hp_arena *a, size_t n)
{
    return hp_carve_rows(a, (size_t)e->batch, n, 4);
}

/* With the expert to which all rows go, if there is one: the last. */
static int32_t hp_all_experts(const harp_model *m)
{
    return m->info.experts + (m->recipe.shared_ffn > 0);
}

/* How many of them a row goes to. */
static int32_t hp_experts_used(const harp_model *m)
{
    return m->info.experts_used + (m->recipe.shared_ffn > 0);
}

static size_t hp_routed_stride(const harp_engine *e)
{
    return hp_stride(hp_all_experts(e->model));
}

static void hp_lay_out_experts(harp_engine *e, hp_arena *a)
{
    e->routed = hp_carve_batch(e, a, hp_routed_stride(e));
    e->gathered = hp_carve_batch(e, a, e->hidden_stride);
    e->choices = hp_carve_rows(a, (size_t)e->batch, (size_t)hp_experts_used(e->model), sizeof(hp_choice));
    e->visitors = hp_carve_batch(e, a, 1);
}

/* Scores of a query: of all positions, and of the sink behind them. */
static size_t hp_span(const harp_engine *e)
{
    return (size_t)hp_blocks(e->context) * HP_BLOCK + (HP_SPECIAL && e->model->recipe.has_sinks ? HP_BLOCK : 0);
}

static void hp_lay_out_scratch(harp_engine *e, hp_arena *a)
{
    const harp_info *f = &e->model->info;
    size_t group = (size_t)(f->heads / f->kv_heads);
    const hp_recipe *r = &e->model->recipe;
    int32_t ffn = HP_SPECIAL ? hp_max(hp_max(f->ffn, r->shared_ffn), hp_max(r->expert_ffn, r->layer_inputs)) : f->ffn;
    int32_t heads = hp_max(f->heads * f->head_dim, HP_SPECIAL ? r->delta_heads * r->delta_value_dim : 0);
    size_t widest = (size_t)hp_round_up(hp_max(hp_max(f->hidden, heads), ffn), HP_GROUP);
    size_t head_floats = (size_t)hp_round_up(f->head_dim, HP_LANES), query_floats;
    e->hidden_stride = hp_stride(f->hidden);
    e->heads_stride = hp_stride(heads);
    e->qkv_stride = hp_stride((f->heads + 2 * f->kv_heads) * f->head_dim);
    if (HP_SPECIAL && r->conv_layers) e->qkv_stride = hp_stride(3 * f->hidden);
    if (HP_SPECIAL && r->delta_layers) e->qkv_stride = hp_max_size(e->qkv_stride, hp_stride(hp_delta_inputs(r)));
    e->gate_up_stride = hp_stride(hp_inner_rows(e->model, ffn));
    if (HP_SPECIAL && r->has_gates) e->gate_up_stride = hp_max_size(e->gate_up_stride, e->heads_stride);
    e->inner_stride = hp_stride(ffn);
    e->turn_stride = (size_t)(e->model->rope_local ? 2 : 1) * (size_t)e->model->rope_dims;
    if (HP_SPECIAL) e->turn_stride += (size_t)e->model->local_dims;
    e->x = hp_carve_batch(e, a, e->hidden_stride);
    e->normed = hp_carve_batch(e, a, e->hidden_stride);
    e->change = hp_carve_batch(e, a, e->hidden_stride);
    e->qkv = hp_carve_batch(e, a, e->qkv_stride);
    e->heads = hp_carve_batch(e, a, e->heads_stride);
    e->gate_up = hp_carve_batch(e, a, e->gate_up_stride);
    e->inner = hp_carve_batch(e, a, e->inner_stride);
    e->turn = hp_carve_batch(e, a, e->turn_stride);
    if (HP_SPECIAL && r->layer_inputs > 0) e->embedded = hp_carve_batch(e, a, e->hidden_stride);
    if (HP_SPECIAL && f->experts > 0) hp_lay_out_experts(e, a);
    e->q_scales = hp_carve_batch(e, a, widest / HP_GROUP);
    e->q_starts = hp_carve_batch(e, a, widest / HP_GROUP);
    e->q = hp_carve(a, (size_t)e->batch, widest);
    /* for each query of a run: its scores, its mixed values, its sum */
    query_floats = hp_span(e) + head_floats + 1;
    if (!hp_mul_size((size_t)hp_longest_run(e) * group, query_floats, &e->attention_floats)) a->overflow = 1;
    if (HP_SPECIAL) /* a key and a value of a delta net */
        e->attention_floats = hp_max_size(e->attention_floats, (size_t)(r->delta_key_dim + r->delta_value_dim));
    e->attention = hp_carve_rows(a, (size_t)e->threads, e->attention_floats, sizeof(float));
}

/* What an engine for sessions with these parameters has. The fields that say how much of it come first. */
static void hp_lay_out_engine(harp_engine *e, const harp_params *p, hp_arena *a)
{
    size_t vocab = (size_t)e->model->vocab, batch = (size_t)p->batch, slots;
    e->context = p->context, e->batch = p->batch, e->threads = p->threads, e->activations = p->activations;
    e->parallel = p->parallel, e->parallel_user = p->parallel_user;
    e->inputs_fn = p->inputs_fn, e->inputs_user = p->inputs_user;
    e->positions = hp_positions_at_once(p), e->slots = hp_slots_of(p);
    e->logits_stride = (size_t)hp_round_up(e->model->vocab, HP_LANES);
    slots = (size_t)e->n_seats * (size_t)(e->slots + 1);
    e->rows = hp_carve(a, batch, sizeof(hp_row));
    e->places = hp_carve(a, batch, sizeof *e->places);
    e->runs = hp_carve(a, batch + 1, sizeof(int32_t));
    e->keep = hp_carve(a, (size_t)e->model->info.hidden, 1);
    e->pool = hp_carve(a, 1, sizeof(hp_pool));
    e->workers = hp_carve(a, (size_t)p->threads - 1, sizeof(hp_worker));
    e->seats = hp_carve(a, (size_t)e->n_seats, sizeof(hp_seat));
    e->adjusted = hp_carve(a, e->logits_stride, sizeof(float));
    e->added = e->allocator.alloc || p->adjust_fn ? hp_carve(a, vocab, sizeof(float)) : NULL;
    e->ranking = hp_carve(a, vocab, sizeof(int32_t));
    e->judged = hp_carve(a, (size_t)e->positions, sizeof(harp_step));
    e->logits = hp_carve_rows(a, slots, e->logits_stride, sizeof(float));
    hp_lay_out_scratch(e, a);
    e->hidden = p->hidden ? hp_carve_rows(a, slots, e->hidden_stride, sizeof(float)) : NULL;
}

/* What the other decoders need. */
static void hp_lay_out_decoders(harp_session *s, hp_arena *a)
{
    const harp_params *p = &s->params;
    size_t beams = (size_t)p->beams, length = (size_t)p->beam_length;
    int guessed = p->draft && p->draft_rule == HARP_DRAFT_LEVIATHAN;
    s->guessed = hp_carve(a, guessed ? (size_t)p->drafts + 1 : 0, (size_t)s->model->vocab * sizeof(float));
    s->beams = hp_carve(a, beams, sizeof(hp_beam));
    s->next_beams = hp_carve(a, beams, sizeof(hp_beam));
    s->beam_tokens = hp_carve(a, beams, length * sizeof(int32_t));
    s->next_tokens = hp_carve(a, beams, length * sizeof(int32_t));
    s->beam_streams = hp_carve(a, beams, sizeof(int32_t));
    s->next_streams = hp_carve(a, beams, sizeof(int32_t));
}

/* Held text: what may begin a stop text, and what a token and the end of the text add to it. */
static size_t hp_held_capacity(const harp_model *m, const harp_params *p)
{
    size_t longest = 0;
    int32_t i;
    for (i = 0; i < p->n_stop; i++)
        if (strlen(p->stop[i]) > longest) longest = strlen(p->stop[i]);
    return longest + 2 * (size_t)m->tokenizer.longest + 32;
}

static void hp_lay_out_session(harp_session *s, hp_arena *a)
{
    const harp_params *p = &s->params;
    s->n_streams = !p->harp ? 1 : p->frame == HARP_FRAME_REDRAW ? 2 : 1 + p->reframings;
    s->positions = hp_positions_at_once(p), s->slots = hp_slots_of(p);
    s->all_streams = s->n_streams + p->beams;
    if (p->harp && p->frame == HARP_FRAME_LAST) s->all_streams += (s->positions - 1) * p->reframings;
    s->held_capacity = hp_held_capacity(s->model, p);
    s->streams = hp_carve(a, (size_t)s->all_streams, sizeof(hp_stream));
    s->tokens = hp_carve(a, (size_t)p->context, sizeof(int32_t));
    s->held = hp_carve(a, s->held_capacity, 1);
    hp_lay_out_decoders(s, a);
    if (a->base) memset(a->base, 0, a->used); /* padding must be zero; the streams, which follow, need not be */
    hp_lay_out_streams(s, a);
}

/* ---- Opening and closing ---- */

/* A session, and an engine: its own, if it was not given one. */
typedef struct hp_plan {
    harp_session session;
    harp_engine engine;
    size_t bytes;
} hp_plan;

/* The size of a block, with room to align. */
static harp_status hp_block_size(const hp_arena *a, size_t *bytes, harp_error *err)
{
    if (!a->overflow && hp_add_size(a->used, HP_ALIGN, bytes)) return HARP_OK;
    return hp_fail(err, HARP_ERR_MEMORY, "this needs more memory than there can be");
}

/* Carves what is planned: the session, its engine if it has its own, and what they consist of. */
static void hp_lay_out(hp_plan *plan, hp_arena *a)
{
    harp_session *s = hp_carve(a, 1, sizeof *s);
    harp_engine *e = hp_shared_engine(&plan->session.params);
    if (!e) e = hp_carve(a, 1, sizeof *e), hp_lay_out_engine(&plan->engine, &plan->session.params, a);
    hp_lay_out_session(&plan->session, a);
    if (!a->base) return;
    if (!hp_shared_engine(&plan->session.params)) *e = plan->engine;
    plan->session.engine = e;
    *s = plan->session;
}

static harp_status hp_plan_session(const harp_model *m, const harp_params *params, hp_plan *plan, harp_error *err)
{
    hp_arena a = {0};
    harp_status status;
    memset(plan, 0, sizeof *plan);
    plan->session.model = plan->engine.model = m, plan->engine.n_seats = 1;
    if ((status = hp_resolve_params(m, params, &plan->session.params, err)) != HARP_OK) return status;
    if (hp_shared_engine(params) && params->engine->busy) return hp_refuse_at_work(err);
    if (hp_parent_in(&plan->session.params) && (status = hp_check_parent(m, &plan->session.params, err)) != HARP_OK)
        return status;
    if ((status = hp_choose_kernels(plan->session.params.isa, &plan->engine.kernels, err)) != HARP_OK) return status;
    hp_lay_out(plan, &a);
    return hp_block_size(&a, &plan->bytes, err);
}

HARP_API harp_status harp_session_memory(const harp_model *model, const harp_params *params, size_t *bytes,
                                         harp_error *err)
{
    hp_plan plan;
    harp_status status;
    if (!bytes) return hp_fail(err, HARP_ERR_ARGUMENT, "bytes must not be NULL");
    status = hp_plan_session(model, params, &plan, err);
    *bytes = plan.bytes;
    return status ? status : hp_ok(err);
}

/* A child of fork has none of the pool's threads, so it does all parts itself. */
static void hp_forget_threads(harp_engine *e)
{
    if (HP_POSIX_THREADS && e->process != hp_process()) e->pool->n_workers = 0;
}

/* A public call that changes the session begins with it and ends with hp_leave: what a callback of that call asks of
 * the same session, or of another of its engine, is refused. */
static harp_status hp_enter(harp_session *s, harp_error *err)
{
    harp_engine *e;
    if (!s) return hp_fail(err, HARP_ERR_ARGUMENT, "session must not be NULL");
    e = s->engine;
    if (hp_is_at_work(s)) return hp_refuse_at_work(err);
    hp_forget_threads(e);
    s->busy = HP_AT_WORK, e->busy = 1;
    return HARP_OK;
}

static harp_status hp_leave(harp_session *s, harp_status status)
{
    s->busy = HP_IDLE, s->engine->busy = 0;
    return status;
}

/* Can another token follow? */
static harp_status hp_check_ready(const harp_session *s, harp_error *err)
{
    if (s->n_tokens == 0) return hp_fail(err, HARP_ERR_ARGUMENT, "there is no token to go on from: feed some first");
    if (s->n_tokens == s->params.context)
        return hp_fail(err, HARP_ERR_CONTEXT, "the context of %d positions is full", (int64_t)s->params.context);
    return HARP_OK;
}

/* The block for something: yours, if it is large enough, or the allocator's. */
static harp_status hp_get_block(const harp_params *p, harp_allocator allocator, size_t bytes, void **block,
                                harp_error *err)
{
    *block = p->memory;
    if (p->memory && p->memory_bytes < bytes)
        return hp_fail(err, HARP_ERR_MEMORY, "%d bytes are needed; the block has %d", (int64_t)bytes,
                       (int64_t)p->memory_bytes);
    if (!p->memory) *block = allocator.alloc(allocator.user, bytes);
    return *block ? HARP_OK : hp_fail(err, HARP_ERR_MEMORY, "no memory for %d bytes", (int64_t)bytes);
}

static void hp_end_engine(harp_engine *e)
{
    hp_forget_threads(e);
    if (e->pool->n_workers > 0) hp_pool_end(e->pool);
    if (e->block_bytes) e->allocator.free(e->allocator.user, e->block, e->block_bytes);
}

static harp_status hp_begin_engine(harp_engine *e, harp_error *err)
{
    e->pass.budget = INT64_MAX;
    e->pool->n_workers = 0, e->process = hp_process();
    if (e->threads > 1 && !e->parallel && !hp_pool_begin(e->pool, e->workers, e->threads))
        return hp_fail(err, HARP_ERR_MEMORY, "the system refuses %d threads", (int64_t)e->threads);
    return HARP_OK;
}

/* Takes a session's rows out of the pass that is being put together; one that is under way is given up. */
static void hp_leave_pass(harp_session *s)
{
    harp_engine *e = s->engine;
    int32_t i, n = 0, all = e->pass.under_way ? e->pass.n_rows : e->n_rows;
    if (s->in_pass == 0) return;
    for (i = 0; HP_SHARING && i < all; i++) {
        if (e->pass.under_way) e->rows[i].session->in_pass = 0;
        else if (e->rows[i].session != s) e->rows[n++] = e->rows[i];
    }
    e->n_rows = n;
    s->in_pass = e->pass.under_way = e->pass.item = 0;
}

/* Gives up the session's memory, and that of its parent, if only this fork was left to need it. */
static void hp_end_session(harp_session *s)
{
    harp_session *parent = hp_parent_of(s), **link;
    harp_engine *e = s->engine;
    int was_last;
    hp_leave_pass(s);
    if (HP_SHARING && s->first_slot >= 0) e->seats[s->first_slot / (e->slots + 1)].session = NULL;
    e->n_sessions--; /* of an engine of its own it is the last */
    if (parent) {
        for (link = &parent->child; *link != s;) link = &(*link)->sibling;
        *link = s->sibling;
    }
    was_last = parent && parent->closed && !parent->child; /* asked before a function of the caller's frees */
    if (!hp_shared_engine(&s->params)) hp_end_engine(e);
    if (s->block_bytes) s->params.allocator.free(s->params.allocator.user, s->block, s->block_bytes);
    if (was_last) hp_end_session(parent);
}

HARP_API void harp_session_close(harp_session *s)
{
    if (hp_enter(s, NULL)) return; /* NULL, or a callback closes what it was called for */
    hp_leave(s, HARP_OK);
    hp_leave_pass(s); /* now: its last fork may be closed while the engine is at work for another session */
    s->closed = 1;
    if (!hp_first_fork(s)) hp_end_session(s);
}

static void hp_begin_fork(harp_session *s);

HARP_API harp_status harp_session_open(harp_session **session, const harp_model *model, const harp_params *params,
                                       harp_error *err)
{
    hp_plan plan;
    harp_session *s;
    harp_status status;
    hp_arena a = {0};
    void *block;
    if (!session) return hp_fail(err, HARP_ERR_ARGUMENT, "session must not be NULL");
    *session = NULL;
    if ((status = hp_plan_session(model, params, &plan, err)) != HARP_OK) return status;
    if (hp_parent_in(params)) params->parent->busy = HP_AT_WORK; /* alloc must not change what the layout depends on */
    status = hp_get_block(params, plan.session.params.allocator, plan.bytes, &block, err);
    if (hp_parent_in(params)) params->parent->busy = HP_IDLE;
    if (status) return status;
    a.base = hp_aligned(block), s = (harp_session *)(void *)a.base;
    hp_lay_out(&plan, &a);
    s->block = block, s->block_bytes = params->memory ? 0 : plan.bytes, s->memory = plan.bytes;
    s->from = hp_max(s->params.reframe_from, 0), s->draft_goal = s->params.drafts;
    s->told = -1, s->first_slot = HP_SHARING ? -1 : 0;
    s->engine->n_sessions++;
    status = hp_shared_engine(params) ? HARP_OK : hp_begin_engine(s->engine, err);
    if (status) {
        hp_end_session(s);
        return status;
    }
    hp_begin_fork(s);
    *session = s;
    return hp_ok(err);
}

static harp_status hp_plan_engine(const harp_model *m, const harp_params *params, harp_params *p, harp_engine *e,
                                  size_t *bytes, harp_error *err)
{
    harp_params alone;
    hp_arena a = {0};
    harp_status status;
    memset(e, 0, sizeof *e), memset(p, 0, sizeof *p);
    if (!params) return hp_fail(err, HARP_ERR_ARGUMENT, "params must not be NULL");
    if (hp_check_stamp(&params->stamp, "params", sizeof *params, err)) return HARP_ERR_ARGUMENT;
    alone = *params, alone.engine = NULL, alone.parent = NULL;
    if ((status = hp_resolve_params(m, &alone, p, err)) != HARP_OK) return status;
    if ((status = hp_choose_kernels(p->isa, &e->kernels, err)) != HARP_OK) return status;
    e->model = m, e->n_seats = p->seats, e->allocator = p->allocator;
    hp_carve(&a, 1, sizeof *e);
    hp_lay_out_engine(e, p, &a);
    return hp_block_size(&a, bytes, err);
}

HARP_API harp_status harp_engine_memory(const harp_model *model, const harp_params *params, size_t *bytes,
                                        harp_error *err)
{
    harp_engine plan;
    harp_params p;
    harp_status status;
    if (!HP_SHARING) return hp_refuse_sharing(err);
    if (!bytes) return hp_fail(err, HARP_ERR_ARGUMENT, "bytes must not be NULL");
    status = hp_plan_engine(model, params, &p, &plan, bytes, err);
    return status ? status : hp_ok(err);
}

HARP_API harp_status harp_engine_open(harp_engine **engine, const harp_model *model, const harp_params *params,
                                      harp_error *err)
{
    harp_engine plan, *e;
    harp_params p;
    harp_status status;
    hp_arena a = {0};
    size_t bytes = 0;
    void *block;
    if (!HP_SHARING) return hp_refuse_sharing(err);
    if (!engine) return hp_fail(err, HARP_ERR_ARGUMENT, "engine must not be NULL");
    *engine = NULL;
    if ((status = hp_plan_engine(model, params, &p, &plan, &bytes, err)) != HARP_OK) return status;
    if ((status = hp_get_block(params, plan.allocator, bytes, &block, err)) != HARP_OK) return status;
    a.base = hp_aligned(block), e = hp_carve(&a, 1, sizeof *e);
    hp_lay_out_engine(&plan, &p, &a);
    memset(a.base, 0, a.used); /* padding must be zero */
    *e = plan;
    e->block = block, e->block_bytes = params->memory ? 0 : bytes;
    if ((status = hp_begin_engine(e, err)) != HARP_OK) {
        hp_end_engine(e);
        return status;
    }
    *engine = e;
    return hp_ok(err);
}

HARP_API harp_status harp_engine_close(harp_engine *e, harp_error *err)
{
    if (HP_SHARING && e && e->n_sessions > 0)
        return hp_fail(err, HARP_ERR_ARGUMENT, "%d sessions are open on this engine: close them first",
                       (int64_t)e->n_sessions);
    if (HP_SHARING && e) hp_end_engine(e);
    return hp_ok(err);
}

/* ---- Keys and values in their blocks ---- */

/* How many units of its stream are before a block of positions. */
static size_t hp_place(const harp_session *s, const hp_stream *t, int32_t layer, int32_t kv_head, int32_t block)
{
    const harp_model *m = s->model;
    size_t n = hp_units(m, layer), before = (size_t)(HP_SPECIAL ? m->layers[layer].before : layer);
    size_t head = before * (size_t)m->info.kv_heads + (size_t)kv_head * n;
    return head * (size_t)t->blocks + (size_t)(block - t->base / HP_BLOCK) * n;
}

/* A part of the block at a place. */
static uint8_t *hp_part(const harp_session *s, const hp_stream *t, int part, size_t place)
{
    return t->part[part] + place * hp_part_bytes(s, part);
}

static void hp_store_half(uint8_t *p, uint16_t h)
{
    p[0] = (uint8_t)h, p[1] = (uint8_t)(h >> 8);
}

/* As int8 with a scale, which is rounded to half first; a tiny one may lose so much that values must be held to 127.
 * The scale is NaN if one of them is no finite number. */
static void hp_store_int8(uint8_t *p, size_t step, const float *x, int32_t n, uint8_t *scale_at)
{
    float top = 0.0f, scale, inverse, nothing = 0.0f;
    uint16_t half;
    int32_t i;
    for (i = 0; i < n; i++) {
        float zero = x[i] * 0.0f; /* or NaN */
        nothing = nothing + zero;
        top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    }
    scale = top / 127.0f;
    half = hp_float_to_half(nothing == 0.0f ? scale < 65504.0f ? scale : 65504.0f : nothing);
    hp_store_half(scale_at, half);
    scale = hp_half_to_float(half);
    inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    for (i = 0; i < n; i++) {
        hp_vf scaled = hp_vf_set(x[i] * inverse);
        scaled = hp_vf_min(hp_vf_max(scaled, hp_vf_set(-127.0f)), hp_vf_set(127.0f));
        p[step * (size_t)i] = (uint8_t)hp_vf_round(scaled).lane[0];
    }
}

/* Stores n floats, `step` elements apart, as the cache's type. Halves are little-endian, as in the file. */
static void hp_store_elements(harp_cache cache, uint8_t *p, size_t step, const float *x, int32_t n, uint8_t *scale_at)
{
    int32_t i;
    for (i = 0; i < n && cache == HARP_CACHE_F32; i++) {
        float one = x[i] == x[i] ? x[i] : hp_float(0x7FC00000u); /* any NaN, as in hp_float_to_half */
        memcpy(p + 4 * step * (size_t)i, &one, 4);
    }
    for (i = 0; i < n && cache == HARP_CACHE_F16; i++) hp_store_half(p + 2 * step * (size_t)i, hp_float_to_half(x[i]));
    if (cache == HARP_CACHE_INT8) hp_store_int8(p, step, x, n, scale_at);
}

/* Zeroes a block when its first position comes: what lies behind the last position of a stream is read and saved with
 * the block, and must not be what the memory held before. */
static void hp_clear_block(const harp_session *s, hp_stream *t, size_t place, size_t units)
{
    int part;
    for (part = 0; part < HP_PARTS; part++) memset(hp_part(s, t, part, place), 0, units * hp_part_bytes(s, part));
}

static void hp_store_key_value(harp_session *s, hp_stream *t, int32_t layer, int32_t kv_head, int32_t position,
                               const float *key, const float *value)
{
    int32_t dim = hp_stored(s->model, layer);
    size_t b = hp_place(s, t, layer, kv_head, position / HP_BLOCK), lane = (size_t)(position % HP_BLOCK);
    size_t element = hp_cache_element_bytes(s->params.cache);
    uint8_t *keys = hp_part(s, t, HP_KEYS, b), *values = hp_part(s, t, HP_VALUES, b);
    uint8_t *ks = NULL, *vs = NULL;
    if (s->params.cache == HARP_CACHE_INT8)
        ks = hp_part(s, t, HP_KEY_SCALES, b) + 2 * lane, vs = hp_part(s, t, HP_VALUE_SCALES, b) + 2 * lane;
    if (lane == 0) hp_clear_block(s, t, b, hp_units(s->model, layer));
    hp_store_elements(s->params.cache, keys + lane * element, HP_BLOCK, key, dim, ks);
    hp_store_elements(s->params.cache, values + lane * (size_t)dim * element, 1, value, dim, vs);
}

/* The keys of a block are [head_dim][16], a scale for each position, which is a column; the values [16][head_dim]. */
static hp_packed hp_packed_keys(const harp_session *s, const hp_stream *t, size_t block)
{
    hp_packed p;
    p.elements = hp_part(s, t, HP_KEYS, block), p.type = s->params.cache;
    p.cols = HP_BLOCK;
    p.row_scales = NULL, p.col_scales = p.type == HARP_CACHE_INT8 ? hp_part(s, t, HP_KEY_SCALES, block) : NULL;
    return p;
}

static hp_packed hp_packed_values(const harp_session *s, const hp_stream *t, size_t block, int32_t dim)
{
    hp_packed p;
    p.elements = hp_part(s, t, HP_VALUES, block), p.type = s->params.cache;
    p.cols = dim;
    p.row_scales = p.type == HARP_CACHE_INT8 ? hp_part(s, t, HP_VALUE_SCALES, block) : NULL, p.col_scales = NULL;
    return p;
}

/* Copies n blocks of every layer and head, from block `first` on, from one stream to another. */
static void hp_copy_blocks(const harp_session *s, hp_stream *to, const hp_stream *from, int32_t first, size_t n)
{
    int32_t layer, head, part;
    for (layer = 0; layer < s->model->info.layers; layer++)
        for (head = 0; head < s->model->info.kv_heads; head++)
            for (part = 0; part < HP_PARTS; part++)
                memcpy(hp_part(s, to, part, hp_place(s, to, layer, head, first)),
                       hp_part(s, from, part, hp_place(s, from, layer, head, first)),
                       n * hp_units(s->model, layer) * hp_part_bytes(s, part));
}

/* Whose block of positions this is: the stream's own, or, before its base, that of a stream below it. */
static const hp_stream *hp_owner(const hp_stream *t, int32_t block)
{
    while (block < t->base / HP_BLOCK) t = t->below;
    return t;
}

/* ---- States of gated delta nets ---- */

static void hp_forget_states(const harp_session *s, hp_stream *t)
{
    if (HP_SPECIAL && t->held) memset(t->held, 0, hp_count_states(s->model, t) * sizeof *t->held);
}

/* Which of a stream's states is the first of a head. */
static size_t hp_first_state(const harp_model *m, const hp_stream *t, const hp_layer *w, int32_t head)
{
    return ((size_t)w->rare->deltas_before * (size_t)m->recipe.delta_heads + (size_t)head) * (size_t)t->slots;
}

static float *hp_state_at(const harp_model *m, const hp_stream *t, size_t index)
{
    return t->states + index * hp_state_floats(m);
}

/* The furthest state of a head that holds at most `most` positions, so many: *held; NULL and 0 if there is none. Before
 * its base a stream's are those of the one below it, but not of another session's, which may be at work elsewhere. */
static const float *hp_find_state(const harp_model *m, const hp_stream *t, const hp_layer *w, int32_t head,
                                  int32_t most, int32_t *held)
{
    const float *best = NULL;
    int32_t i;
    for (*held = 0;; most = hp_min(most, t->base), t = t->below) {
        size_t first = hp_first_state(m, t, w, head);
        for (i = 0; i < t->slots; i++) {
            int32_t n = t->held[first + (size_t)i];
            if (n <= most && n > *held) *held = n, best = hp_state_at(m, t, first + (size_t)i);
        }
        if (!t->below || t->shared > 0) return best;
    }
}

/* What a fork's stream begins with, in its last slot: the parent's furthest states before what they share ends. */
static void hp_fork_states(const harp_model *m, hp_stream *t, const hp_stream *parent)
{
    int32_t layer, head, held;
    for (layer = 0; HP_SPECIAL && t->held && layer < m->info.layers; layer++)
        for (head = 0; m->layers[layer].rare->delta_norm && head < m->recipe.delta_heads; head++) {
            size_t own = hp_first_state(m, t, &m->layers[layer], head) + (size_t)t->slots - 1;
            const float *state = hp_find_state(m, parent, &m->layers[layer], head, t->shared, &held);
            if (state) memcpy(hp_state_at(m, t, own), state, hp_state_floats(m) * sizeof *state);
            t->held[own] = held;
        }
}

/* All states of a stream, to one that has as many slots. */
static void hp_copy_states(const harp_model *m, hp_stream *to, const hp_stream *from)
{
    size_t n = hp_count_states(m, from);
    if (!HP_SPECIAL || !from->held) return;
    memcpy(to->held, from->held, n * sizeof *to->held);
    memcpy(to->states, from->states, n * hp_state_floats(m) * sizeof *to->states);
}

/* ---- Beginning a stream ---- */

/* Begins a stream at `base`, on top of another: what lies before it in its first block is copied. */
static void hp_begin_above(harp_session *s, hp_stream *t, const hp_stream *below, int32_t base)
{
    t->base = t->length = base, t->below = below;
    hp_forget_states(s, t);
    if (base % HP_BLOCK != 0) hp_copy_blocks(s, t, hp_owner(below, base / HP_BLOCK), base / HP_BLOCK, 1);
}

static void hp_begin_stream(harp_session *s, hp_stream *t, int32_t base)
{
    hp_begin_above(s, t, &s->streams[0], base);
}

/* A fork begins as a copy of its parent up to position parent_at, and its streams on top of its parent's. */
static void hp_begin_fork(harp_session *s)
{
    harp_session *parent = hp_parent_in(&s->params);
    int32_t r;
    if (!parent) return;
    s->parent = parent, s->sibling = parent->child, parent->child = s;
    s->n_tokens = s->params.parent_at;
    memcpy(s->tokens, parent->tokens, (size_t)s->n_tokens * sizeof *s->tokens);
    if (s->params.reframe_from < 0) s->from = parent->from;
    for (r = 0; r < s->n_streams; r++) {
        hp_stream *t = &s->streams[r];
        t->shared = hp_shared_with_parent(&s->params, r);
        if (t->shared == 0) continue;
        hp_begin_above(s, t, &parent->streams[r], t->shared);
        hp_fork_states(s->model, t, &parent->streams[r]);
    }
}

/* How many tokens the session must keep: what a fork shares, or it as a fork, and the newest behind that. */
static int32_t hp_least_length(const harp_session *s)
{
    int32_t most = hp_parent_of(s) ? s->streams[0].shared : 0, r;
    const harp_session *fork;
    for (fork = hp_first_fork(s); fork; fork = fork->sibling)
        for (r = 0; r < fork->n_streams; r++) most = hp_max(most, fork->streams[r].shared);
    return most > 0 ? most + 1 : 0;
}

/* ================================================================================================================
 * [CH18] The layers
 *
 * What a pass computes of its rows before their logits:
 *
 *   P1  embed       x = embedding of the token, with its mask if it is reframed
 *   P2  each layer  x += attention(norm(x)); x += ffn(norm(x)), or a relative of it: a list of stages
 *
 * A stage does its items (tiles of a matrix, heads) for all rows, so that each weight is loaded once for all of them,
 * and is called again where a slice's budget ended. A row's result does not depend on its companions: each row's sums
 * are its own (rules R1 to R3).
 * ============================================================================================================== */

/* ---- Splitting work (rule R5: by outputs, so that the number of parts changes nothing) ---- */

/* A part takes shares of the work until none is left: a thread that lost its core for a while does fewer. Half of what
 * is left makes one share for each thread, then half of the rest, and so on: the last are single outputs, so that all
 * threads end at nearly the same time. */
static void hp_do_part(void *engine, int part)
{
    harp_engine *e = (harp_engine *)engine;
    hp_job *j = &e->job;
    if (!hp_thread_is_sound()) hp_take(&j->unsound, 1); /* the pass fails in the end */
    for (;;) {
        int32_t share = (int32_t)hp_take(&j->taken, 1), threads = e->threads;
        int32_t left = j->count >> share / threads, half = left - left / 2, size = (half + threads - 1) / threads;
        int32_t first = hp_min(share % threads * size, half), last = hp_min(first + size, half);
        if (left == 0) return;
        j->work(e, part, j->first + j->count - left + first, j->first + j->count - left + last);
    }
}

static void hp_split_range(harp_engine *e, hp_work *work, int32_t first, int32_t count)
{
    hp_job *j = &e->job;
    j->work = work, j->first = first, j->count = count, j->taken = 0;
    if (count == 1 || e->threads == 1)
        work(e, 0, first, first + count);
    else if (HP_ATOMICS && e->parallel)
        e->parallel(e->parallel_user, hp_do_part, e, e->threads);
    else if (e->pool->n_workers > 0)
        hp_pool_run(e->pool, hp_do_part, e);
    else
        hp_do_part(e, 0); /* one part takes all shares */
}

static void hp_split(harp_engine *e, hp_work *work, int32_t count)
{
    hp_split_range(e, work, 0, count);
}

static void hp_spend(harp_engine *e, int64_t cost)
{
    int64_t *budget = &e->pass.budget;
    if (*budget > 0 && *budget != INT64_MAX) *budget -= cost; /* INT64_MAX: no limit */
}

/* n * cost, or INT64_MAX where that might not fit. A division of 64 bits would tell, but small machines have none. */
static int64_t hp_cost_of(int32_t n, int64_t cost)
{
    return n * ((cost >> 32) + 1) <= INT32_MAX ? n * cost : INT64_MAX;
}

/* Does as many of `count` items, of `cost` multiply-adds each, as the budget allows, but at least one: 1 if all
 * are done, 0 if the stage is to be called again. Halving comes near enough. */
static int hp_split_some(harp_engine *e, hp_work *work, int32_t count, int64_t cost)
{
    hp_pass *p = &e->pass;
    int32_t first = p->item, n = count - first;
    while (n > 1 && hp_cost_of(n, cost) > p->budget) n -= n / 2;
    hp_split_range(e, work, first, n);
    hp_spend(e, hp_cost_of(n, cost));
    p->item = first + n < count ? first + n : 0;
    return p->item == 0;
}

/* ---- Norms, rounding and products of all rows ---- */

static void hp_work_norm(harp_engine *e, int part, int32_t first, int32_t last)
{
    const hp_norm_of *norm = e->job.norm;
    int32_t n = e->model->info.hidden;
    (void)part;
    for (; first < last; first++) {
        const float *x = e->job.source + (size_t)first * e->hidden_stride;
        float *y = e->job.normed + (size_t)first * e->hidden_stride;
        if (e->model->recipe.norm == HP_NORM_RMS) e->kernels->rmsnorm(y, x, norm->weight, n, e->model->norm_eps);
        else e->kernels->layernorm(y, x, norm->weight, norm->bias, n, e->model->norm_eps);
    }
}

/* to[rows][hidden] = norm(from[rows][hidden]); from and to may be the same. */
static void hp_norm(harp_engine *e, const hp_norm_of *norm, const float *from, float *to)
{
    e->job.norm = norm, e->job.source = from, e->job.normed = to;
    hp_split(e, hp_work_norm, e->n_rows);
}

/* Groups first..last-1 of every row: rows of a block of inputs ([CH06]) lie side by side, and threads must not write to
 * the same lines. */
static void hp_work_round(harp_engine *e, int part, int32_t first, int32_t last)
{
    const hp_operand *in = &e->job.inputs;
    size_t row;
    (void)part;
    for (row = 0; row < in->rows; row++) {
        size_t apart = hp_rows_in_block(row, in->rows);
        size_t at = hp_first_group(row, (size_t)e->job.matrix->groups) + (size_t)first * apart;
        e->kernels->quantize(e->q + HP_GROUP * at, e->q_scales + at, e->q_starts + at,
                             in->x + row * in->stride + (size_t)first * HP_GROUP, last - first, apart);
    }
}

static void hp_work_product(harp_engine *e, int part, int32_t first, int32_t last)
{
    (void)part;
    e->kernels->matmul(e->job.matrix, first, last, &e->job.inputs, e->job.way, e->places);
}

/* Votes decide which way of reading the weights is the fastest here: in a pass on trial the layers take turns with the
 * ways, and after each round the fastest gets a vote, so that what else the machine does at a moment spoils one vote of
 * many. Older votes fade. */
enum { HP_FIRST_TRIALS = 4, HP_TRIAL_EVERY = 64, HP_MAX_VOTES = 32 };

static void hp_begin_reading(harp_engine *e)
{
    hp_reading *r = &e->reading;
    r->on_trial = 0;
    if (e->n_rows > e->kernels->few_rows) return;
    r->on_trial = r->passes < HP_FIRST_TRIALS || r->passes % HP_TRIAL_EVERY == 0;
    r->passes++;
}

static int hp_way_to_read(const harp_engine *e)
{
    if (e->n_rows > e->kernels->few_rows) return 0;
    return e->reading.on_trial ? e->reading.tried : e->reading.best;
}

static void hp_end_trial(harp_engine *e) /* after each layer */
{
    hp_reading *r = &e->reading;
    int32_t fastest = 0, i;
    if (!r->on_trial) return;
    r->on_trial = e->pass.layer < e->model->info.layers; /* logits are no trial */
    r->tried = (r->tried + 1) % HP_WAYS;
    if (r->tried != 0) return;
    for (i = 1; i < HP_WAYS; i++)
        if (r->spent[i] < r->spent[fastest]) fastest = i;
    memset(r->spent, 0, sizeof r->spent);
    if (++r->votes[fastest] > r->votes[r->best]) r->best = fastest;
    if (r->votes[fastest] < HP_MAX_VOTES) return;
    for (i = 0; i < HP_WAYS; i++) r->votes[i] /= 2;
}

/* Some tiles of a product; returns as hp_split_some does. */
static int hp_multiply(harp_engine *e, int32_t tiles, int64_t cost)
{
    hp_reading *r = &e->reading;
    int way = hp_way_to_read(e), done;
    double begin = r->on_trial ? hp_seconds() : 0.0;
    e->job.way = &hp_ways[way];
    done = hp_split_some(e, hp_work_product, tiles, cost);
    if (r->on_trial) r->spent[way] += hp_seconds() - begin;
    return done;
}

enum { HP_WORTH_SPLITTING = 256 }; /* groups to round: fewer are rounded sooner than a second thread begins */

static const char *hp_matrix_name(const hp_layer *w, const hp_matrix *matrix)
{
    const struct {
        const char *name;
        const hp_matrix *matrix;
    } all[] = {{"qkv", &w->qkv},
               {"attn_out", &w->attn_out},
               {"gate_up", &w->gate_up},
               {"down", &w->down},
               {"router", &w->router},
               {"layer_input", &w->layer_input},
               {"layer_gate", &w->layer_gate},
               {"layer_out", &w->layer_out},
               {"attn_gate", HP_SPECIAL ? &w->rare->attn_gate : NULL},
               {"delta_gates", HP_SPECIAL ? &w->rare->delta_gates : NULL},
               {"shared_gate_up", HP_SPECIAL ? &w->rare->shared_gate_up : NULL},
               {"shared_down", HP_SPECIAL ? &w->rare->shared_down : NULL}};
    size_t i;
    for (i = 0; i + 1 < sizeof all / sizeof all[0] && all[i].matrix != matrix; i++) continue;
    return all[i].name;
}

/* Tells the caller what a matrix is about to be multiplied with. An expert's is a part of the layer's. */
static void hp_show_inputs(harp_engine *e, const hp_matrix *matrix, const float *x, size_t stride, int32_t rows)
{
    int is_expert = HP_SPECIAL && matrix == &e->job.expert;
    harp_inputs in;
    in.layer = e->pass.layer, in.expert = is_expert ? e->pass.expert : -1, in.matrix = "output";
    if (in.layer < e->model->info.layers)
        in.matrix = hp_matrix_name(&e->model->layers[in.layer], is_expert ? e->job.expert_of : matrix);
    in.x = x, in.stride = stride, in.rows = rows, in.cols = matrix->cols;
    e->inputs_fn(e->inputs_user, &in);
}

/* places[rows][] = x[rows][x_stride] . matrix^T + bias, if there is one: the activations are rounded once per row, then
 * the tiles are split. 0: the slice ended before the product did. */
static int hp_product_to_places(harp_engine *e, int32_t rows, const hp_matrix *matrix, const uint8_t *bias,
                                const float *x, size_t x_stride)
{
    hp_job *j = &e->job;
    int32_t i, groups = matrix->groups;
    memset(&j->inputs, 0, sizeof j->inputs);
    j->inputs.x = x, j->inputs.stride = x_stride, j->inputs.rows = (size_t)rows;
    j->matrix = matrix;
    if (HP_SHARING && e->inputs_fn && e->pass.item == 0) hp_show_inputs(e, matrix, x, x_stride, rows);
    if (e->activations != HARP_ACT_F32 && !hp_has_floats(matrix)) {
        if (e->pass.item == 0 && (int64_t)rows * groups < HP_WORTH_SPLITTING) hp_work_round(e, 0, 0, groups);
        else if (e->pass.item == 0) hp_split(e, hp_work_round, groups);
        j->inputs.q = e->q, j->inputs.scales = e->q_scales, j->inputs.starts = e->q_starts;
    }
    if (!hp_multiply(e, matrix->n_tiles, (int64_t)rows * HP_LANES * HP_GROUP * groups)) return 0;
    for (i = 0; bias && i < rows; i++) e->kernels->add_bias(e->places[i], bias, matrix->rows);
    return 1;
}

static int hp_product_of(harp_engine *e, int32_t rows, const hp_matrix *matrix, const uint8_t *bias, const float *x,
                         size_t x_stride, float *out, size_t out_stride)
{
    int32_t i;
    for (i = 0; i < rows; i++) e->places[i] = out + (size_t)i * out_stride;
    return hp_product_to_places(e, rows, matrix, bias, x, x_stride);
}

static int hp_product(harp_engine *e, const hp_matrix *matrix, const uint8_t *bias, const float *x, size_t x_stride,
                      float *out, size_t out_stride)
{
    return hp_product_of(e, e->n_rows, matrix, bias, x, x_stride, out, out_stride);
}

/* x += norm(change), if there is one: how a block's result joins the residual stream. */
static void hp_join_change(harp_engine *e, const hp_norm_of *norm)
{
    int32_t i;
    if (norm->weight) hp_norm(e, norm, e->change, e->change);
    for (i = 0; i < e->n_rows; i++)
        e->kernels->add_to(e->x + (size_t)i * e->hidden_stride,
                           e->change + (size_t)i * e->hidden_stride, e->model->info.hidden);
}

static void hp_product_onto_x(harp_engine *e, const hp_matrix *matrix, const uint8_t *bias, const hp_norm_of *norm,
                              const float *inputs, size_t stride)
{
    if (hp_product(e, matrix, bias, inputs, stride, e->change, e->hidden_stride)) hp_join_change(e, norm);
}

/* ---- P1: embeddings and their masks ---- */

/* Columns first..last-1 of row `row` of a matrix as floats: how an embedding is looked up. */
static void hp_matrix_columns(const hp_matrix *m, int32_t row, int32_t first, int32_t last, float *x)
{
    const uint8_t *tile = m->tiles + (size_t)(row / HP_LANES) * m->tile_bytes;
    const int8_t *w = (const int8_t *)(tile + m->scale_bytes);
    size_t lane = (size_t)(row % HP_LANES);
    int32_t c;
    for (c = first; c < last && hp_has_floats(m); c++) *x++ = hp_f32(tile + 4 * ((size_t)c * HP_LANES + lane));
    for (; c < last; c++) {
        size_t g = (size_t)c / HP_GROUP, in_group = (size_t)c % HP_GROUP;
        float scale = hp_half_to_float(hp_u16(tile + 2 * (g * HP_LANES + lane)));
        *x++ = (float)w[g * HP_TILE_GROUP_BYTES + in_group / 4 * 64 + lane * 4 + in_group % 4] * scale;
    }
}

static void hp_matrix_row(const hp_matrix *m, int32_t row, float *x)
{
    hp_matrix_columns(m, row, 0, m->cols, x);
}

/* Multiplies x[hidden] with the mask of (reframing, position): element d falls iff word d % 4 of the Philox block d / 4
 * is below delta * 2^32 (the paper, section 3.2; its published code drops without rescaling). */
static void hp_apply_philox_mask(const harp_params *p, const hp_row *row, float *x, int32_t hidden, float kept)
{
    uint64_t limit = (uint64_t)((double)p->delta * 4294967296.0);
    int32_t d;
    for (d = 0; d < hidden; d += 4) {
        hp_random r = hp_philox(p->seed, (uint32_t)d / 4, (uint32_t)row->position, (uint32_t)row->reframing,
                                row->mask_step);
        int32_t k, n = hp_min(4, hidden - d);
        for (k = 0; k < n; k++) x[d + k] = r.word[k] < limit ? 0.0f : x[d + k] * kept;
    }
}

static harp_status hp_apply_mask(harp_engine *e, const hp_row *row, float *x, harp_error *err)
{
    const harp_params *p = &row->session->params;
    float kept = 1.0f, left = 1.0f - p->delta;
    int32_t d, hidden = e->model->info.hidden;
    int32_t step = p->frame == HARP_FRAME_REDRAW ? (int32_t)(row->mask_step - 1) : row->position;
    if (p->rescale && left > 0.0f) kept = 1.0f / left;
    if (!p->mask_fn) {
        hp_apply_philox_mask(p, row, x, hidden, kept);
        return HARP_OK;
    }
    if (p->mask_fn(p->harp_user, row->reframing, step, row->position, e->keep, hidden))
        return hp_fail(err, HARP_ERR_CANCELLED, "the mask of position %d was refused by the caller's mask source",
                       (int64_t)row->position);
    for (d = 0; d < hidden; d++) x[d] = e->keep[d] ? x[d] * kept : 0.0f;
    return HARP_OK;
}

/* Cosines, then sines, of the angles position * frequency; the product is rounded to float, as Hugging Face does. */
static void hp_set_turn(const harp_model *m, const uint8_t *frequencies, int32_t position, float *turn)
{
    int is_local = frequencies == m->rope_local;
    float scale = is_local ? 1.0f : m->recipe.rope_scale;
    int32_t i, half = (HP_SPECIAL && is_local ? m->local_dims : m->rope_dims) / 2;
    for (i = 0; i < half; i++) {
        float angle = (float)position * hp_f32(frequencies + 4 * (size_t)i);
        if (!(fabsf(angle) < 17179869184.0f)) angle = 0.0f; /* the file has been changed since hp_bind_rope saw it */
        hp_sine_cosine((double)angle, &turn[half + i], &turn[i]);
        turn[i] = turn[i] * scale;
        turn[half + i] = turn[half + i] * scale;
    }
}

/* What is masked is the token's own embedding: what is left of it is scaled, and the position's added. */
static void hp_finish_embedding(harp_engine *e, const hp_row *row, float *x)
{
    float *embedding = e->normed; /* free until the first norm */
    float scale = e->model->recipe.embedding_scale;
    int32_t d;
    for (d = 0; d < e->model->info.hidden; d++) x[d] = x[d] * scale;
    if (!e->model->position_embedding.tiles) return;
    hp_matrix_row(&e->model->position_embedding, row->position, embedding);
    e->kernels->add_to(x, embedding, e->model->info.hidden);
}

/* The residual stream begins here, and its padding, which norms and products read with it, at zero: a row before may
 * have left a NaN there, for what a NaN or an infinity is multiplied with, padding of zeros too, becomes NaN. */
static harp_status hp_embed_row(harp_engine *e, int32_t i, harp_error *err)
{
    const harp_model *m = e->model;
    const hp_row *row = &e->rows[i];
    const uint8_t *frequencies = hp_is_long(m, row->session->n_tokens) ? m->rope_long : m->rope_frequencies;
    float *x = e->x + (size_t)i * e->hidden_stride, *turn = e->turn + (size_t)i * e->turn_stride;
    int32_t hidden = m->info.hidden;
    hp_matrix_row(&m->embedding, row->token, x);
    memset(x + hidden, 0, (size_t)(hp_round_up(hidden, HP_GROUP) - hidden) * sizeof *x);
    if (row->reframing >= 0 && hp_apply_mask(e, row, x, err)) return HARP_ERR_CANCELLED;
    hp_finish_embedding(e, row, x);
    if (HP_SPECIAL && e->embedded) memcpy(e->embedded + (size_t)i * e->hidden_stride, x, e->hidden_stride * sizeof *x);
    if (m->rope_frequencies) hp_set_turn(m, frequencies, row->position, turn);
    if (m->rope_local) hp_set_turn(m, m->rope_local, row->position, turn + m->rope_dims);
    return HARP_OK;
}

/* Where a session's failure is told: in a step of several each has its own. */
static harp_error *hp_error_of(const harp_engine *e, const harp_session *s, harp_error *err)
{
    return hp_company(e) ? &e->members[s->member].error : err;
}

/* A row whose mask is refused leaves the pass, with the others of its session. */
static harp_status hp_embed(harp_engine *e, harp_error *err)
{
    int32_t i = 0;
    while (i < e->n_rows) {
        harp_session *s = e->rows[i].session;
        harp_status status = hp_embed_row(e, i, hp_error_of(e, s, err));
        i++;
        if (status == HARP_OK) continue;
        hp_leave_pass(s);
        if (!hp_company(e)) return status;
        i = 0; /* rows have moved */
    }
    return HARP_OK;
}

/* ---- P2: the stages of a layer ---- */

static void hp_stage_attention_norm(harp_engine *e, const hp_layer *w)
{
    hp_norm(e, &w->attn_norm, e->x, e->normed);
}

/* What attention and feed-forward read: the normed rows, or those themselves if norms come after. */
static const float *hp_branch_input(const harp_engine *e)
{
    return e->model->recipe.norm_place == HP_AFTER ? e->x : e->normed;
}

static void hp_stage_qkv(harp_engine *e, const hp_layer *w)
{
    hp_product(e, &w->qkv, w->qkv_bias, hp_branch_input(e), e->hidden_stride, e->qkv, e->qkv_stride);
}

/* The size of a head in a layer, and how many heads have keys and values there. */
static int32_t hp_head_dim(const harp_engine *e, const hp_layer *w)
{
    return HP_SPECIAL ? w->head_dim : e->model->info.head_dim;
}

static int32_t hp_own_heads(const harp_engine *e, const hp_layer *w)
{
    return HP_SPECIAL && w->stored == 0 ? 0 : e->model->info.kv_heads;
}

/* Each head by itself, or all heads as one vector; values each by itself. */
static void hp_stage_qk_norm(harp_engine *e, const hp_layer *w)
{
    int whole = e->model->recipe.qk_norm == HP_QK_ALL;
    int32_t dim = hp_head_dim(e, w), queries = e->model->info.heads * dim, keys = hp_own_heads(e, w) * dim;
    int32_t values = queries + keys, end = values + (HP_SPECIAL && w->v_norm ? keys : 0), i, at, width;
    for (i = 0; i < e->n_rows; i++) {
        float *qkv = e->qkv + (size_t)i * e->qkv_stride;
        for (at = 0; at < end; at += width) {
            const uint8_t *weight = at < queries ? w->q_norm : at < values ? w->k_norm : w->v_norm;
            width = !whole || at >= values ? dim : at < queries ? queries : keys;
            e->kernels->rmsnorm(qkv + at, qkv + at, weight, width, e->model->norm_eps);
        }
    }
}

static void hp_stage_rope(harp_engine *e, const hp_layer *w)
{
    const harp_model *m = e->model;
    int32_t i, h, dims = HP_SPECIAL && w->local ? m->local_dims : m->rope_dims;
    for (i = 0; i < e->n_rows; i++) {
        float *qkv = e->qkv + (size_t)i * e->qkv_stride;
        const float *turn = e->turn + (size_t)i * e->turn_stride + (w->local ? m->rope_dims : 0);
        for (h = 0; h < m->info.heads + hp_own_heads(e, w); h++)
            e->kernels->rope(qkv + h * hp_head_dim(e, w), turn, dims);
    }
}

/* Split by key-value heads, for rows share blocks. */
static void hp_work_store(harp_engine *e, int part, int32_t first, int32_t last)
{
    const harp_info *f = &e->model->info;
    int32_t i, h, dim = hp_head_dim(e, &e->model->layers[e->job.layer]);
    (void)part;
    for (h = first; h < last; h++)
        for (i = 0; i < e->n_rows; i++) {
            const float *keys = e->qkv + (size_t)i * e->qkv_stride + f->heads * dim;
            const float *values = keys + f->kv_heads * dim;
            hp_store_key_value(e->rows[i].session, e->rows[i].stream, e->job.layer, h, e->rows[i].position,
                               keys + h * dim, values + h * dim);
        }
}

/* Stores the new keys and values before any row attends, so that rows of one pass see one another as they would have in
 * passes of their own. */
static void hp_stage_store(harp_engine *e, const hp_layer *w)
{
    e->job.layer = (int32_t)(w - e->model->layers);
    hp_split(e, hp_work_store, e->model->info.kv_heads);
}

/* A run is a few rows of one stream at consecutive positions. With the query heads that share a key-value head they
 * make up the QUERIES of one attention task, for which each block of keys and values is fetched from memory once. */
typedef struct hp_task {
    int32_t first_row, n_rows, kv_head;
    int32_t layer, dim;                    /* whose keys and values they are, and their size     */
    int32_t group;                         /* query heads per key-value head                     */
    int32_t window;                        /* of the layer; 0: none                              */
    int32_t first_block, last_block;       /* that any of its rows sees                          */
    float *scores, *mixed, *totals;        /* scratch: [queries][span] [queries][head] [queries] */
    size_t span, head;
} hp_task;

/* The first position that a row sees: window keys, itself included. */
static int32_t hp_first_seen(const hp_task *t, const hp_row *row)
{
    return t->window ? hp_max(0, row->position - t->window + 1) : 0;
}

static hp_task hp_make_task(harp_engine *e, int part, int32_t item)
{
    const harp_info *f = &e->model->info;
    int32_t run = item / f->kv_heads;
    const hp_layer *w = &e->model->layers[e->job.layer];
    const hp_row *last;
    size_t queries;
    hp_task t;
    t.kv_head = item % f->kv_heads, t.layer = HP_SPECIAL ? w->lender : e->job.layer, t.dim = hp_head_dim(e, w);
    t.group = f->heads / f->kv_heads, t.window = w->window;
    t.first_row = e->runs[run], t.n_rows = e->runs[run + 1] - t.first_row;
    last = &e->rows[t.first_row + t.n_rows - 1];
    t.first_block = hp_first_seen(&t, &e->rows[t.first_row]) / HP_BLOCK, t.last_block = last->position / HP_BLOCK;
    t.head = (size_t)hp_round_up(f->head_dim, HP_LANES), t.span = hp_span(e);
    queries = (size_t)hp_longest_run(e) * (size_t)t.group;
    t.scores = e->attention + (size_t)part * e->attention_floats, t.mixed = t.scores + queries * t.span;
    t.totals = t.mixed + queries * t.head;
    return t;
}

/* Where the scores of a row's first query in a block are; those of its other queries follow at t->span. */
static float *hp_scores_in_block(const hp_task *t, int32_t row, int32_t block)
{
    return t->scores + (size_t)(row * t->group) * t->span + (size_t)(block - t->first_block) * HP_BLOCK;
}

/* The queries of all rows one after another, [queries][head], in the place of what will be mixed for them. */
static void hp_gather_queries(harp_engine *e, const hp_task *t)
{
    int32_t dim = t->dim, i, h;
    for (i = 0; i < t->n_rows; i++) {
        const float *q = e->qkv + (size_t)(t->first_row + i) * e->qkv_stride + t->kv_head * t->group * dim;
        for (h = 0; h < t->group; h++)
            memcpy(t->mixed + (size_t)(i * t->group + h) * t->head, q + h * dim, (size_t)dim * sizeof(float));
    }
}

/* The scores of a block; also for the few rows that do not see all of it. */
static void hp_score_block(harp_engine *e, const hp_task *t, int32_t block)
{
    hp_weighing w = {0};
    const hp_row *row = &e->rows[t->first_row];
    const hp_stream *owner = hp_owner(row->stream, block);
    size_t place = hp_place(row->session, owner, t->layer, t->kv_head, block);
    int32_t i;
    w.out = hp_scores_in_block(t, 0, block), w.out_stride = t->span, w.a = t->mixed, w.a_stride = t->head;
    w.b = hp_packed_keys(row->session, owner, place);
    w.queries = t->n_rows * t->group, w.last = t->dim - 1;
    for (i = 0; i < w.queries; i++) memset(w.out + (size_t)i * t->span, 0, HP_BLOCK * sizeof(float));
    e->kernels->weighted_sums(&w);
}

/* The factor of the scores of a query at a position: it may grow with the number of keys that the query sees. */
static float hp_score_factor(const hp_recipe *r, int32_t position)
{
    float growth;
    if (position < r->attention_step) return r->attention_scale;
    growth = r->attention_growth * (float)hp_log2((double)(1 + position / r->attention_step));
    growth = growth * 0.69314718f; /* ln 2 */
    growth = 1.0f + growth;
    return r->attention_scale * growth;
}

static void hp_weigh_positions(harp_engine *e, const hp_task *t)
{
    const uint8_t *sinks = HP_SPECIAL ? e->model->layers[e->job.layer].sinks : NULL;
    float cap = e->model->recipe.attention_cap;
    int32_t i, h, origin = t->first_block * HP_BLOCK;
    for (i = 0; i < t->n_rows; i++) {
        const hp_row *row = &e->rows[t->first_row + i];
        float scale = hp_score_factor(&e->model->recipe, row->position);
        int32_t first = hp_first_seen(t, row) - origin, last = row->position - origin;
        int32_t begin = first / HP_BLOCK * HP_BLOCK;
        for (h = 0; h < t->group; h++) {
            size_t query = (size_t)(i * t->group + h);
            float *scores = t->scores + query * t->span, factor = cap > 0.0f ? 1.0f : scale;
            if (cap > 0.0f) e->kernels->soft_cap(scores + begin, last + 1 - begin, scale, cap);
            if (sinks) scores[last + 1] = hp_f32(sinks + 4 * (size_t)(t->kv_head * t->group + h)) / factor;
            t->totals[query] = e->kernels->softmax_weights(scores, first, sinks ? last + 1 : last, factor);
            memset(t->mixed + query * t->head, 0, t->head * sizeof(float));
        }
    }
}

/* Most blocks are seen whole by all rows, and all queries are mixed together; at the ends of what is seen each row has
 * bounds of its own. */
static void hp_mix_block(harp_engine *e, const hp_task *t, int32_t block)
{
    hp_weighing w = {0};
    int32_t i, begin = block * HP_BLOCK, rows;
    const hp_row *first = &e->rows[t->first_row];
    const hp_stream *owner = hp_owner(first->stream, block);
    size_t place = hp_place(first->session, owner, t->layer, t->kv_head, block);
    w.out_stride = t->head, w.a_stride = t->span, w.b = hp_packed_values(first->session, owner, place, t->dim);
    for (i = 0; i < t->n_rows; i += rows) {
        const hp_row *row = &e->rows[t->first_row + i], *last = &e->rows[t->first_row + t->n_rows - 1];
        int whole = row->position >= begin + HP_BLOCK - 1 && hp_first_seen(t, last) <= begin;
        rows = whole ? t->n_rows - i : 1;
        w.out = t->mixed + (size_t)(i * t->group) * t->head, w.a = hp_scores_in_block(t, i, block);
        w.queries = rows * t->group;
        w.first = hp_max(hp_first_seen(t, row) - begin, 0), w.last = hp_min(row->position - begin, HP_BLOCK - 1);
        if (w.first <= w.last) e->kernels->weighted_sums(&w);
    }
}

static void hp_deliver_heads(harp_engine *e, const hp_task *t)
{
    int32_t dim = t->dim, i, h, d;
    for (i = 0; i < t->n_rows; i++)
        for (h = 0; h < t->group; h++) {
            size_t query = (size_t)(i * t->group + h);
            float share = 1.0f / t->totals[query];
            float *out = e->heads + (size_t)(t->first_row + i) * e->heads_stride
                         + (size_t)((t->kv_head * t->group + h) * dim);
            for (d = 0; d < dim; d++) out[d] = t->mixed[query * t->head + (size_t)d] * share;
        }
}

/* softmax(q k / sqrt(head_dim)) v [Vaswani et al. 2017], heads sharing keys and values in groups [Ainslie et al.
 * 2023, GQA], block by block. */
static void hp_work_attention(harp_engine *e, int part, int32_t first, int32_t last)
{
    for (; first < last; first++) {
        hp_task t = hp_make_task(e, part, first);
        int32_t block;
        hp_gather_queries(e, &t);
        for (block = t.first_block; block <= t.last_block; block++) hp_score_block(e, &t, block);
        hp_weigh_positions(e, &t);
        for (block = t.first_block; block <= t.last_block; block++) hp_mix_block(e, &t, block);
        hp_deliver_heads(e, &t);
    }
}

static void hp_stage_attention(harp_engine *e, const hp_layer *w)
{
    const harp_info *f = &e->model->info;
    int64_t queries = (int64_t)hp_longest_run(e) * (f->heads / f->kv_heads);
    int32_t seen = 0, i;
    for (i = 0; i < e->n_rows; i++) seen = hp_max(seen, e->rows[i].position + 1);
    e->job.layer = (int32_t)(w - e->model->layers);
    hp_split_some(e, hp_work_attention, e->n_runs * f->kv_heads, 2 * queries * hp_head_dim(e, w) * seen);
}

/* What attention or a delta net puts out may have a gate for each number, of the same rows that it read itself. */
static void hp_stage_attention_gate(harp_engine *e, const hp_layer *w)
{
    if (w->rare->attn_gate.tiles)
        hp_product(e, &w->rare->attn_gate, NULL, hp_branch_input(e), e->hidden_stride, e->gate_up, e->gate_up_stride);
}

static void hp_work_gate_attention(harp_engine *e, int part, int32_t first, int32_t last)
{
    (void)part;
    for (; first < last; first++) {
        float *heads = e->heads + (size_t)first * e->heads_stride;
        const float *gate = e->gate_up + (size_t)first * e->gate_up_stride;
        e->kernels->activate(heads, gate, heads, e->model->layers[e->job.layer].rare->attn_gate.rows, HP_SIGMOID);
    }
}

static void hp_stage_gate_attention(harp_engine *e, const hp_layer *w)
{
    e->job.layer = (int32_t)(w - e->model->layers);
    if (w->rare->attn_gate.tiles) hp_split(e, hp_work_gate_attention, e->n_rows);
}

static void hp_stage_attention_out(harp_engine *e, const hp_layer *w)
{
    hp_product_onto_x(e, &w->attn_out, w->attn_out_bias, &w->attn_post_norm, e->heads, e->heads_stride);
}

static void hp_stage_ffn_norm(harp_engine *e, const hp_layer *w)
{
    hp_norm(e, &w->ffn_norm, e->x, e->normed);
}

static void hp_stage_gate_up(harp_engine *e, const hp_layer *w)
{
    hp_product(e, &w->gate_up, w->gate_up_bias, hp_branch_input(e), e->hidden_stride, e->gate_up, e->gate_up_stride);
}

static void hp_work_activate(harp_engine *e, int part, int32_t first, int32_t last)
{
    const hp_recipe *r = &e->model->recipe;
    int32_t ffn = e->job.ffn;
    (void)part;
    for (; first < last; first++) {
        const float *gate = e->gate_up + (size_t)first * e->gate_up_stride;
        float *inner = e->inner + (size_t)first * e->inner_stride;
        if (HP_SPECIAL) memset(inner + ffn, 0, (size_t)(hp_round_up(ffn, HP_GROUP) - ffn) * sizeof *inner);
        if (r->ffn_kind == HP_PLAIN) e->kernels->activate(inner, gate, NULL, ffn, (hp_activation)r->activation);
        else e->kernels->activate(inner, gate, gate + ffn, ffn, (hp_activation)r->activation);
    }
}

static void hp_stage_activate(harp_engine *e, const hp_layer *w)
{
    (void)w;
    e->job.ffn = w->down.cols;
    hp_split(e, hp_work_activate, e->n_rows);
}

static void hp_stage_down(harp_engine *e, const hp_layer *w)
{
    hp_product_onto_x(e, &w->down, w->down_bias, &w->ffn_post_norm, e->inner, e->inner_stride);
}

/* ================================================================================================================
 * [CH19] Special layers
 *
 * What few families have, in the place of attention or of the feed-forward, or beside them, with the stages it needs.
 * HARP_NO_SPECIAL_LAYERS leaves this chapter out.
 * ================================================================================================================ */

/* ---- Gated short convolutions [LFM2, Liquid AI 2025]
 *
 * Of a row's three vectors B, C and X, B X is what a convolution sees of a few positions, each dimension by itself, and
 * C what its result is multiplied with. B X of earlier positions is read from where attention has keys and values, as
 * the cache rounds it, so that rewinding, forks, reframed streams and batches need nothing of their own. ---- */

static void hp_work_store_inputs(harp_engine *e, int part, int32_t first, int32_t last)
{
    int32_t width = e->model->layers[e->job.layer].stored, i, h;
    (void)part;
    for (h = first; h < last; h++)
        for (i = 0; i < e->n_rows; i++) {
            const float *inputs = e->qkv + (size_t)i * e->qkv_stride + 2 * h * width;
            hp_store_key_value(e->rows[i].session, e->rows[i].stream, e->job.layer, h, e->rows[i].position, inputs,
                               inputs + width);
        }
}

static void hp_stage_store_inputs(harp_engine *e, const hp_layer *w)
{
    int32_t hidden = e->model->info.hidden, i, d;
    for (i = 0; i < e->n_rows; i++) {
        float *b = e->qkv + (size_t)i * e->qkv_stride;
        for (d = 0; d < hidden; d++) b[d] = b[d] * b[2 * hidden + d];
    }
    e->job.layer = (int32_t)(w - e->model->layers);
    hp_split(e, hp_work_store_inputs, e->model->info.kv_heads);
}

static float hp_load_element(harp_cache type, const uint8_t *p, const uint8_t *scale)
{
    float x;
    if (type == HARP_CACHE_F16) return hp_half_to_float(hp_u16(p));
    if (type == HARP_CACHE_INT8) return (float)(int8_t)*p * hp_half_to_float(hp_u16(scale));
    memcpy(&x, p, sizeof x);
    return x;
}

/* y[n] += inputs first..first + n - 1 of a position, as the cache has them, times their weights for that position. */
static void hp_add_inputs(const harp_session *s, const hp_stream *t, int32_t layer, int32_t position,
                          const uint8_t *weights, int32_t first, int32_t n, float *y)
{
    int32_t width = s->model->layers[layer].stored, block = position / HP_BLOCK, end = first + n, d;
    size_t lane = (size_t)(position % HP_BLOCK), element = hp_cache_element_bytes(s->params.cache);
    t = hp_owner(t, block), weights += 4 * (size_t)first;
    while (first < end) {
        int part = first / width % 2 ? HP_VALUES : HP_KEYS;
        size_t index = hp_place(s, t, layer, first / width / 2, block), d_first = (size_t)(first % width);
        size_t step = element * (part == HP_KEYS ? HP_BLOCK : 1), begin = part == HP_KEYS ? 1 : (size_t)width;
        const uint8_t *p = hp_part(s, t, part, index) + element * lane * begin + d_first * step;
        const uint8_t *scale = s->params.cache == HARP_CACHE_INT8
                                   ? hp_part(s, t, part + HP_KEY_SCALES - HP_KEYS, index) + 2 * lane : NULL;
        for (d = (int32_t)d_first; d < width && first < end; d++, first++, p += step, weights += 4) {
            float add = hp_load_element(s->params.cache, p, scale) * hp_f32(weights);
            *y = *y + add, y++;
        }
    }
}

static void hp_work_convolution(harp_engine *e, int part, int32_t first, int32_t last)
{
    int32_t layer = e->job.layer, hidden = e->model->info.hidden, taps = e->model->recipe.conv_taps, k, d;
    const uint8_t *weights = e->model->layers[layer].conv, *own = weights + 4 * (size_t)hidden * (size_t)(taps - 1);
    (void)part;
    for (; first < last; first++) {
        const hp_row *row = &e->rows[first];
        const float *inputs = e->qkv + (size_t)first * e->qkv_stride;
        float *y = e->heads + (size_t)first * e->heads_stride;
        memset(y, 0, (size_t)hidden * sizeof *y);
        for (k = hp_max(0, taps - 1 - row->position); k < taps - 1; k++)
            hp_add_inputs(row->session, row->stream, layer, row->position - (taps - 1) + k,
                          weights + 4 * (size_t)hidden * (size_t)k, 0, hidden, y);
        for (d = 0; d < hidden; d++) {
            float add = inputs[d] * hp_f32(own + 4 * (size_t)d), sum = y[d] + add;
            y[d] = sum * inputs[hidden + d];
        }
    }
}

static void hp_stage_convolution(harp_engine *e, const hp_layer *w)
{
    e->job.layer = (int32_t)(w - e->model->layers);
    hp_split(e, hp_work_convolution, e->n_rows);
}

/* ---- Gated delta nets [Yang, Kautz, Hatamizadeh 2024; Qwen3-Next, Alibaba 2025]
 *
 * Each head has a state, a matrix that says which value goes with a key. A token has it forget a little, and corrects
 * what it says of the token's key: see hp_update. Queries, keys and values come from a short convolution with a SiLU
 * behind it; queries and keys then get length 1, and queries are divided by the root of it as those of attention.
 *
 *      beta = sigmoid(b)     decay = exp(g),  g = -exp(log_rate) ln(1 + exp(a + bias))
 *
 * A state cannot go back, and sessions do. So the cache has what the convolution reads, beta and g for each position, a
 * row computes with those as the cache rounds them, its own included, and the state of a position is the same whenever
 * it is made of them. The running state goes on where a row stands next to it; otherwise it begins at the furthest copy
 * before the row, and reads the inputs from there: no product, about as much work as attention to as many positions.
 * What a state held beyond a row is forgotten when that row comes, for the row's inputs have been stored anew. ---- */

static float hp_exp(float x)
{
    return hp_vf_exp(hp_vf_set(x)).lane[0];
}

/* ln(1 + exp(x)) */
static float hp_soft_plus(float x)
{
    float rest = hp_exp(-fabsf(x)), sum;
    if (x != x) return x;
    sum = (float)(hp_log2(1.0 + (double)rest) * hp_ln2);
    return x > 0.0f ? x + sum : sum;
}

static float hp_sigmoid(float x)
{
    float rest = 1.0f + hp_exp(-x);
    return 1.0f / rest;
}

/* Heads whose gates go with a key-value head, and where those of a head are: beta, then g. */
static int32_t hp_gate_heads(const harp_model *m, const hp_layer *w)
{
    return w->units * m->gates / 2;
}

static uint8_t *hp_gates_at(const harp_session *s, const hp_stream *t, const hp_layer *w, int32_t head,
                            int32_t position)
{
    const harp_model *m = s->model;
    int32_t heads = hp_gate_heads(m, w), row = position % HP_BLOCK * heads + head % heads;
    size_t place = hp_place(s, t, (int32_t)(w - m->layers), head / heads, position / HP_BLOCK);
    return hp_part(s, t, HP_GATES, place) + 2 * sizeof(float) * (size_t)row;
}

/* Of a row, those that go with a key-value head. Of `heads` the row has all b, then all a. */
static void hp_store_gates(const hp_row *row, const hp_layer *w, int32_t kv_head, const float *gates)
{
    const harp_model *m = row->session->model;
    int32_t n = hp_gate_heads(m, w), heads = m->recipe.delta_heads, h = kv_head * n;
    for (; h < hp_min(kv_head * n + n, heads); h++) {
        float both[2], rate = hp_exp(hp_f32(w->rare->delta_log_rate + 4 * (size_t)h));
        float a = gates[heads + h] + hp_f32(w->rare->delta_bias + 4 * (size_t)h);
        uint8_t *to = hp_gates_at(row->session, row->stream, w, h, row->position);
        both[0] = hp_sigmoid(gates[h]), both[1] = -rate * hp_soft_plus(a);
        hp_store_elements(HARP_CACHE_F32, to, 1, both, 2, NULL);
    }
}

static void hp_work_store_delta(harp_engine *e, int part, int32_t first, int32_t last)
{
    int32_t h, i;
    hp_work_store_inputs(e, part, first, last);
    for (h = first; h < last; h++)
        for (i = 0; i < e->n_rows; i++)
            hp_store_gates(&e->rows[i], &e->model->layers[e->job.layer], h, e->heads + (size_t)i * e->heads_stride);
}

static void hp_stage_store_delta(harp_engine *e, const hp_layer *w)
{
    const float *x = hp_branch_input(e);
    if (!hp_product(e, &w->rare->delta_gates, NULL, x, e->hidden_stride, e->heads, e->heads_stride)) return;
    e->job.layer = (int32_t)(w - e->model->layers);
    hp_split(e, hp_work_store_delta, e->model->info.kv_heads);
}

/* y[n] = SiLU of the convolution of inputs first..first + n - 1 at a position. */
static void hp_convolve(harp_engine *e, const hp_row *row, const hp_layer *w, int32_t position, int32_t first,
                        int32_t n, float *y)
{
    int32_t taps = e->model->recipe.conv_taps, inputs = hp_delta_inputs(&e->model->recipe), k;
    memset(y, 0, (size_t)n * sizeof *y);
    for (k = hp_max(0, taps - 1 - position); k < taps; k++)
        hp_add_inputs(row->session, row->stream, (int32_t)(w - e->model->layers), position - (taps - 1) + k,
                      w->conv + 4 * (size_t)inputs * (size_t)k, first, n, y);
    e->kernels->activate(y, y, NULL, n, HP_SILU);
}

/* x[n] / |x| * factor */
static void hp_set_length(float *x, int32_t n, float factor)
{
    hp_vf squares = hp_vf_set(0.0f);
    float length, scale;
    int32_t i;
    for (i = 0; i < n; i += HP_LANES) squares = hp_vf_add(squares, hp_vf_mul(hp_vf_load(x + i), hp_vf_load(x + i)));
    length = hp_vf_sum(squares) + 1e-6f;
    scale = factor / sqrtf(length);
    for (i = 0; i < n; i++) x[i] = x[i] * scale;
}

/* Queries, keys and values of the rows, in the place of what they are made of. */
static void hp_work_delta_inputs(harp_engine *e, int part, int32_t first, int32_t last)
{
    const hp_recipe *r = &e->model->recipe;
    int32_t dim = r->delta_key_dim, h;
    float root = sqrtf((float)dim);
    (void)part;
    for (; first < last; first++) {
        const hp_row *row = &e->rows[first];
        float *qkv = e->qkv + (size_t)first * e->qkv_stride;
        hp_convolve(e, row, &e->model->layers[e->job.layer], row->position, 0, hp_delta_inputs(r), qkv);
        for (h = 0; h < 2 * r->delta_key_heads; h++)
            hp_set_length(qkv + h * dim, dim, h < r->delta_key_heads ? 1.0f / root : 1.0f);
    }
}

static void hp_stage_delta_inputs(harp_engine *e, const hp_layer *w)
{
    e->job.layer = (int32_t)(w - e->model->layers);
    hp_split(e, hp_work_delta_inputs, e->n_rows);
}

/* Keeps a head's running state in another slot. */
static void hp_keep_state(const harp_model *m, hp_stream *t, size_t first, int32_t slot)
{
    memcpy(hp_state_at(m, t, first + (size_t)slot), hp_state_at(m, t, first), hp_state_floats(m) * sizeof(float));
    t->held[first + (size_t)slot] = t->held[first];
}

/* The running state of a head takes in its next position; copies are made at their places. */
static void hp_take_in(harp_engine *e, const hp_row *row, const hp_layer *w, int32_t head, hp_update *u)
{
    const harp_model *m = e->model;
    hp_stream *t = row->stream;
    size_t first = hp_first_state(m, t, w, head);
    int32_t *held = &t->held[first], every = hp_copy_every(m), slot;
    float gates[2];
    memcpy(gates, hp_gates_at(row->session, hp_owner(t, *held / HP_BLOCK), w, head, *held), sizeof gates);
    u->beta = gates[0], u->decay = hp_exp(gates[1]);
    u->state = hp_state_at(m, t, first), u->rows = m->recipe.delta_key_dim, u->cols = m->recipe.delta_value_dim;
    e->kernels->update(u);
    ++*held;
    slot = HP_COPIES - 1 + *held / every - t->base / every;
    if (*held % every == 0 && slot >= HP_COPIES && slot < t->slots - (t->shared > 0)) hp_keep_state(m, t, first, slot);
}

/* Brings the running state of a head to a row's position. */
static void hp_reach_row(harp_engine *e, const hp_row *row, const hp_layer *w, int32_t head, float *scratch)
{
    const hp_recipe *r = &e->model->recipe;
    hp_stream *t = row->stream;
    size_t first = hp_first_state(e->model, t, w, head);
    int32_t *held = &t->held[first], keys = r->delta_key_heads * r->delta_key_dim, i, n;
    int32_t key = keys + head / (r->delta_heads / r->delta_key_heads) * r->delta_key_dim;
    const float *state;
    hp_update u = {0};
    if (*held == row->position && *held > 0) return;
    for (i = 0; i < t->slots; i++)
        if (held[i] > row->position) held[i] = 0;
    state = hp_find_state(e->model, t, w, head, row->position, &n);
    if (n == 0) memset(hp_state_at(e->model, t, first), 0, hp_state_floats(e->model) * sizeof(float));
    else if (n > *held) memcpy(hp_state_at(e->model, t, first), state, hp_state_floats(e->model) * sizeof(float));
    u.k = scratch, u.v = scratch + r->delta_key_dim;
    for (*held = n; *held < row->position;) {
        hp_convolve(e, row, w, *held, key, r->delta_key_dim, scratch);
        hp_set_length(scratch, r->delta_key_dim, 1.0f);
        hp_convolve(e, row, w, *held, 2 * keys + head * r->delta_value_dim, r->delta_value_dim,
                    scratch + r->delta_key_dim);
        hp_take_in(e, row, w, head, &u);
    }
}

/* Split by heads, of which each takes the rows in their order. If several of a stream come, all but the first may be
 * guesses, and the state after that one is marked. */
static void hp_work_states(harp_engine *e, int part, int32_t first, int32_t last)
{
    const hp_recipe *r = &e->model->recipe;
    const hp_layer *w = &e->model->layers[e->job.layer];
    float *scratch = e->attention + (size_t)part * e->attention_floats;
    int32_t h, i, keys = r->delta_key_heads * r->delta_key_dim;
    for (h = first; h < last; h++)
        for (i = 0; i < e->n_rows; i++) {
            const hp_row *row = &e->rows[i];
            hp_update u = {0};
            u.q = e->qkv + (size_t)i * e->qkv_stride + h / (r->delta_heads / r->delta_key_heads) * r->delta_key_dim;
            u.k = u.q + keys, u.v = e->qkv + (size_t)i * e->qkv_stride + 2 * keys + h * r->delta_value_dim;
            u.out = e->heads + (size_t)i * e->heads_stride + h * r->delta_value_dim;
            hp_reach_row(e, row, w, h, scratch);
            hp_take_in(e, row, w, h, &u);
            if (row->stream->slots > HP_MARK && (i == 0 || e->rows[i - 1].stream != row->stream)
                && i + 1 < e->n_rows && e->rows[i + 1].stream == row->stream)
                hp_keep_state(e->model, row->stream, hp_first_state(e->model, row->stream, w, h), HP_MARK);
        }
}

/* Positions that a head's states take in. */
static int64_t hp_count_taken(const harp_engine *e, const hp_layer *w, int32_t head)
{
    int64_t n = 0;
    int32_t i, held;
    for (i = 0; i < e->n_rows; i++) {
        const hp_row *row = &e->rows[i];
        if (i > 0 && e->rows[i - 1].stream == row->stream) held = row->position;
        else hp_find_state(e->model, row->stream, w, head, row->position, &held);
        n += row->position + 1 - held;
    }
    return n;
}

static void hp_stage_states(harp_engine *e, const hp_layer *w)
{
    int64_t taken = hp_count_taken(e, w, e->pass.item);
    e->job.layer = (int32_t)(w - e->model->layers);
    hp_split_some(e, hp_work_states, e->model->recipe.delta_heads, 3 * taken * (int64_t)hp_state_floats(e->model));
}

/* norm(out) SiLU(gate), each head by itself */
static void hp_work_gate_states(harp_engine *e, int part, int32_t first, int32_t last)
{
    const harp_model *m = e->model;
    int32_t dim = m->recipe.delta_value_dim, n = m->recipe.delta_heads * dim, d;
    (void)part;
    for (; first < last; first++) {
        float *heads = e->heads + (size_t)first * e->heads_stride;
        for (d = 0; d < n; d += dim)
            e->kernels->rmsnorm(heads + d, heads + d, m->layers[e->job.layer].rare->delta_norm, dim, m->norm_eps);
        e->kernels->activate(heads, e->gate_up + (size_t)first * e->gate_up_stride, heads, n, HP_SILU);
    }
}

static void hp_stage_gate_states(harp_engine *e, const hp_layer *w)
{
    e->job.layer = (int32_t)(w - e->model->layers);
    hp_split(e, hp_work_gate_states, e->n_rows);
}

/* ---- Mixtures of experts [Shazeer et al. 2017]
 *
 * A router gives each row a few experts, feed-forwards of which each has weights of its own. The stages after the
 * router's come again for one expert after another, in the order of their numbers: rows that chose the same one go
 * through it together, and one that no row chose is not read. So a row adds up what its experts say in the order of
 * their numbers, whatever its companions chose. There may be one more, to which all rows go, with a weight of its own
 * [Qwen3-Next]: it comes last. ---- */

/* The experts of a row: those with the largest logits, of equal ones the first. Weights come from a softmax over the
 * chosen ones, in the order of their ranks, or over all. */
static void hp_choose_experts(harp_engine *e, float *logits, hp_choice *chosen)
{
    int32_t experts = e->model->info.experts, used = e->model->info.experts_used, i, k;
    int all = e->model->recipe.routing == HP_ROUTED_ALL;
    float of_chosen[HP_MAX_USED], *weights = all ? logits : of_chosen, total;
    for (k = 0; k < used; k++) {
        int32_t best = -1;
        for (i = 0; i < experts; i++) {
            int32_t taken = 0;
            while (taken < k && chosen[taken].expert != i) taken++;
            if (taken == k && (best < 0 || logits[i] > logits[best])) best = i;
        }
        chosen[k].expert = best, of_chosen[k] = logits[best];
    }
    total = e->kernels->softmax_weights(weights, 0, (all ? experts : used) - 1, 1.0f);
    for (k = 0; k < used; k++) chosen[k].weight = weights[all ? chosen[k].expert : k] / total;
}

static void hp_work_route(harp_engine *e, int part, int32_t first, int32_t last)
{
    const harp_info *f = &e->model->info;
    (void)part;
    for (; first < last; first++) {
        float *logits = e->routed + (size_t)first * hp_routed_stride(e);
        hp_choice *chosen = e->choices + (size_t)first * (size_t)hp_experts_used(e->model), *shared;
        if (e->model->recipe.shared_ffn > 0) {
            shared = &chosen[f->experts_used];
            shared->expert = f->experts, shared->weight = hp_sigmoid(logits[f->experts]);
        }
        hp_choose_experts(e, logits, chosen);
        memset(e->change + (size_t)first * e->hidden_stride, 0, e->hidden_stride * sizeof(float));
    }
}

/* Where a row chose an expert, or NULL. */
static const hp_choice *hp_find_choice(const harp_engine *e, int32_t row, int32_t expert)
{
    size_t used = (size_t)hp_experts_used(e->model);
    const hp_choice *c = e->choices + (size_t)row * used, *end;
    for (end = c + used; c < end; c++)
        if (c->expert == expert) return c;
    return NULL;
}

/* Finds the first expert from that number on that some row chose, and those rows; 0: there is none. */
static int hp_seek_expert(harp_engine *e, int32_t expert)
{
    int32_t i;
    for (e->n_visitors = 0; expert < hp_all_experts(e->model) && e->n_visitors == 0; expert++) {
        e->pass.expert = expert;
        for (i = 0; i < e->n_rows; i++)
            if (hp_find_choice(e, i, expert)) e->visitors[e->n_visitors++] = i;
    }
    return e->n_visitors > 0;
}

static void hp_stage_route(harp_engine *e, const hp_layer *w)
{
    const float *x = hp_branch_input(e);
    if (!hp_product(e, &w->router, w->router_bias, x, e->hidden_stride, e->routed, hp_routed_stride(e))) return;
    hp_split(e, hp_work_route, e->n_rows);
    hp_seek_expert(e, 0);
}

static int hp_is_shared(const harp_engine *e)
{
    return e->pass.expert == e->model->info.experts;
}

/* out[visitors] = x[visitors] . the expert's part of a matrix^T, + that of the biases if there are any; or . the matrix
 * of the expert to which all go. */
static int hp_expert_product(harp_engine *e, const hp_matrix *all, const uint8_t *biases, const hp_matrix *shared,
                             const float *x, size_t x_stride, float *out, size_t out_stride)
{
    hp_matrix *own = &e->job.expert;
    if (hp_is_shared(e)) return hp_product_of(e, e->n_visitors, shared, NULL, x, x_stride, out, out_stride);
    *own = *all, e->job.expert_of = all;
    own->rows = all->rows / e->model->info.experts, own->n_tiles = own->rows / HP_LANES;
    own->tiles += (size_t)e->pass.expert * (size_t)own->n_tiles * own->tile_bytes;
    if (biases) biases += 4 * (size_t)e->pass.expert * (size_t)own->rows;
    return hp_product_of(e, e->n_visitors, own, biases, x, x_stride, out, out_stride);
}

static void hp_stage_expert_gate_up(harp_engine *e, const hp_layer *w)
{
    const float *x = hp_branch_input(e);
    size_t stride = e->hidden_stride;
    int32_t i;
    for (i = 0; i < e->n_visitors && e->pass.item == 0; i++)
        memcpy(e->gathered + (size_t)i * stride, x + (size_t)e->visitors[i] * stride, stride * sizeof(float));
    hp_expert_product(e, &w->gate_up, w->gate_up_bias, &w->rare->shared_gate_up, e->gathered, stride, e->gate_up,
                      e->gate_up_stride);
}

static void hp_stage_expert_activate(harp_engine *e, const hp_layer *w)
{
    (void)w;
    e->job.ffn = hp_is_shared(e) ? e->model->recipe.shared_ffn : e->model->recipe.expert_ffn;
    hp_split(e, hp_work_activate, e->n_visitors);
}

enum { HP_EXPERT_STAGES = 3 }; /* gate_up, activate, down: gone through once for each expert that was chosen */

/* Adds what the expert says to the rows that asked it. If there is another expert, its stages come next. */
static void hp_stage_expert_down(harp_engine *e, const hp_layer *w)
{
    size_t stride = e->hidden_stride;
    int32_t i, d;
    if (!hp_expert_product(e, &w->down, w->down_bias, &w->rare->shared_down, e->inner, e->inner_stride, e->gathered,
                           stride))
        return;
    for (i = 0; i < e->n_visitors; i++) {
        const float *said = e->gathered + (size_t)i * stride;
        float *change = e->change + (size_t)e->visitors[i] * stride;
        float weight = hp_find_choice(e, e->visitors[i], e->pass.expert)->weight;
        for (d = 0; d < e->model->info.hidden; d++) {
            float add = said[d] * weight;
            change[d] = change[d] + add;
        }
    }
    if (hp_seek_expert(e, e->pass.expert + 1)) e->pass.stage -= HP_EXPERT_STAGES;
    else hp_join_change(e, &w->ffn_post_norm);
}

/* ---- What a layer has of a token for itself [Gemma 3n and 4, Google 2025 and 2026]
 *
 * Numbers from an embedding of the layer's own and from the embedding that the stream began with, a reframed row's with
 * its mask. The layer's result gates them and gets them added. They go through gate_up and inner as a feed-forward
 * does: they are its ups. ---- */

/* The product with hidden numbers is divided by the root of hidden before its norm: that is one of its epsilon. */
static void hp_work_layer_input(harp_engine *e, int part, int32_t first, int32_t last)
{
    const harp_model *m = e->model;
    int32_t n = m->recipe.layer_inputs, at = e->job.layer * n, d;
    float eps = m->norm_eps * (float)m->info.hidden;
    (void)part;
    for (; first < last; first++) {
        float *own = e->inner + (size_t)first * e->inner_stride;
        float *input = e->gate_up + (size_t)first * e->gate_up_stride + n;
        hp_matrix_columns(&m->layer_embedding, e->rows[first].token, at, at + n, own);
        e->kernels->rmsnorm(input, input, m->layer_input_norm, n, eps);
        for (d = 0; d < n; d++) {
            float add = own[d] * m->recipe.layer_input_scale;
            input[d] = input[d] + add;
        }
    }
}

static void hp_stage_layer_input(harp_engine *e, const hp_layer *w)
{
    float *ups = e->gate_up + e->model->recipe.layer_inputs;
    if (!hp_product(e, &w->layer_input, NULL, e->embedded, e->hidden_stride, ups, e->gate_up_stride)) return;
    e->job.layer = (int32_t)(w - e->model->layers);
    hp_split(e, hp_work_layer_input, e->n_rows);
}

static void hp_stage_layer_gate(harp_engine *e, const hp_layer *w)
{
    if (!hp_product(e, &w->layer_gate, NULL, e->x, e->hidden_stride, e->gate_up, e->gate_up_stride)) return;
    e->job.ffn = w->layer_gate.rows;
    hp_split(e, hp_work_activate, e->n_rows);
}

static void hp_stage_layer_out(harp_engine *e, const hp_layer *w)
{
    hp_product_onto_x(e, &w->layer_out, NULL, &w->layer_post_norm, e->inner, e->inner_stride);
}

static void hp_stage_layer_scale(harp_engine *e, const hp_layer *w)
{
    float scale = w->layer_scale ? hp_f32(w->layer_scale) : 1.0f;
    int32_t i, d;
    for (i = 0; i < e->n_rows; i++) {
        float *x = e->x + (size_t)i * e->hidden_stride;
        for (d = 0; d < e->model->info.hidden; d++) x[d] = x[d] * scale;
    }
}

/* ================================================================================================================
 * [CH20] The pass
 *
 * forward(rows): everything that computes goes through here. A row is a token at a position of a stream; prompts are
 * many rows of stream 0, decoding is one row, and HARP's second opinion is one more row of another stream, which may
 * ride in the same pass, where it shares every load of a weight.
 *
 * A pass can be cut into SLICES, for hosts that must not be kept waiting: stages that cost much do as many of their
 * items (tiles of a matrix, heads) as the slice's budget allows and are called again. What a step has computed so far
 * it finds again: the pass under way goes on, then the step's own program runs anew and skips what is there.
 *
 *   P1  embed       [CH18]
 *   P2  each layer  [CH18], [CH19]
 *   P3  logits      of the rows that want them: norm(x) . output^T
 * ============================================================================================================== */

/* ---- P2: the order of the stages ---- */

/* The stages of a layer in their order; what a model lacks is not in its list. Llama's [Touvron et al. 2023] is
 *     attention_norm qkv rope store attention attention_out   ffn_norm gate_up activate down
 * If attention and feed-forward are parallel, the latter's norm must see x before attention has been added to it. */
static void hp_choose_stages_of(harp_model *m, int kind)
{
    const hp_recipe *r = &m->recipe;
    int before = r->norm_place != HP_AFTER, mixture = kind & HP_IS_MIXTURE, conv = kind & HP_IS_CONVOLUTION;
    int delta = kind & HP_IS_DELTA, attends = !conv && !delta, gated = HP_SPECIAL && r->has_gates;
    int inputs = HP_SPECIAL && r->layer_inputs > 0;
    const struct {
        int wanted;
        hp_stage *stage;
    } all[] = {{before, hp_stage_attention_norm},
               {1, hp_stage_qkv},
               {gated, HP_SPECIAL ? hp_stage_attention_gate : NULL},
               {attends && r->qk_norm != HP_QK_NONE, hp_stage_qk_norm},
               {attends && m->rope_dims > 0, hp_stage_rope},
               {attends && !(kind & HP_IS_BORROWER), hp_stage_store},
               {attends, hp_stage_attention},
               {attends && gated, HP_SPECIAL ? hp_stage_gate_attention : NULL},
               {conv, HP_SPECIAL ? hp_stage_store_inputs : NULL},
               {conv, HP_SPECIAL ? hp_stage_convolution : NULL},
               {delta, HP_SPECIAL ? hp_stage_store_delta : NULL},
               {delta, HP_SPECIAL ? hp_stage_delta_inputs : NULL},
               {delta, HP_SPECIAL ? hp_stage_states : NULL},
               {delta, HP_SPECIAL ? hp_stage_gate_states : NULL},
               {r->residual == HP_PARALLEL, hp_stage_ffn_norm},
               {1, hp_stage_attention_out},
               {before && r->residual == HP_SEQUENTIAL, hp_stage_ffn_norm},
               {!mixture, hp_stage_gate_up},
               {!mixture, hp_stage_activate},
               {!mixture, hp_stage_down},
               {mixture, HP_SPECIAL ? hp_stage_route : NULL},
               {mixture, HP_SPECIAL ? hp_stage_expert_gate_up : NULL},
               {mixture, HP_SPECIAL ? hp_stage_expert_activate : NULL},
               {mixture, HP_SPECIAL ? hp_stage_expert_down : NULL},
               {inputs, HP_SPECIAL ? hp_stage_layer_input : NULL},
               {inputs, HP_SPECIAL ? hp_stage_layer_gate : NULL},
               {inputs, HP_SPECIAL ? hp_stage_layer_out : NULL},
               {r->has_scales, HP_SPECIAL ? hp_stage_layer_scale : NULL}};
    size_t i, n = 0;
    for (i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].wanted) m->stages[kind][n++] = all[i].stage;
}

static void hp_choose_stages(harp_model *m)
{
    int kind;
    for (kind = 0; kind < HP_KINDS; kind++) hp_choose_stages_of(m, kind);
}

/* ---- P3: logits ---- */

/* The rows that want logits move to the front of the scratch, and their slots are where the last product goes. */
static void hp_pick_rows(harp_engine *e)
{
    size_t stride = e->hidden_stride;
    int32_t i, n = 0;
    for (i = 0; i < e->n_rows; i++) {
        if (e->rows[i].slot < 0) continue;
        e->places[n] = e->logits + (size_t)e->rows[i].slot * e->logits_stride;
        memmove(e->x + (size_t)n++ * stride, e->x + (size_t)i * stride, stride * sizeof(float));
    }
    e->n_rows = n;
    hp_norm(e, &e->model->final_norm, e->x, e->normed);
    for (i = n = 0; i < e->pass.n_rows && e->hidden; i++)
        if (e->rows[i].slot >= 0)
            memcpy(e->hidden + (size_t)e->rows[i].slot * stride, e->normed + (size_t)n++ * stride,
                   stride * sizeof(float));
}

static void hp_compute_logits(harp_engine *e)
{
    const harp_model *m = e->model;
    int32_t i, n = e->n_rows;
    if (n == 0 || !hp_product_to_places(e, n, &m->output, m->output_bias, e->normed, e->hidden_stride)) return;
    for (i = 0; i < n && m->recipe.logit_cap > 0.0f; i++)
        e->kernels->soft_cap(e->places[i], m->vocab, 1.0f, m->recipe.logit_cap);
}

/* ---- The pass itself ---- */

static void hp_find_runs(harp_engine *e)
{
    int32_t i;
    e->n_runs = 0;
    for (i = 0; i < e->n_rows; i++)
        if (i == 0 || i - e->runs[e->n_runs - 1] == HP_RUN || e->rows[i].stream != e->rows[i - 1].stream)
            e->runs[e->n_runs++] = i;
    e->runs[e->n_runs] = e->n_rows;
}

/* Statuses that no caller sees: the slice ended, nothing failed; the session that this one drafts for was cancelled. */
#define HP_PAUSED ((harp_status)100)
#define HP_CLIENT_CANCELLED ((harp_status)101)

static harp_status hp_begin_pass(harp_engine *e, harp_error *err)
{
    hp_pass *p = &e->pass;
    if (hp_embed(e, err)) return HARP_ERR_CANCELLED;
    hp_find_runs(e);
    hp_begin_reading(e);
    p->under_way = 1, p->layer = p->stage = p->item = 0, p->n_rows = e->n_rows;
    hp_spend(e, (int64_t)e->n_rows * e->model->info.hidden);
    return HARP_OK;
}

static int hp_kind_of(const hp_layer *w)
{
    return (w->router.tiles ? HP_IS_MIXTURE : 0) | (w->rare->delta_norm ? HP_IS_DELTA : w->conv ? HP_IS_CONVOLUTION : 0)
           | (w->stored == 0 ? HP_IS_BORROWER : 0);
}

/* Does what comes next in the pass: a stage, or a part of one. After the layers there are two more: P3. */
static void hp_do_stage(harp_engine *e)
{
    hp_pass *p = &e->pass;
    const harp_model *m = e->model;
    int in_layer = p->layer < m->info.layers;
    const hp_layer *w = &m->layers[in_layer ? p->layer : 0];
    hp_stage *const *stages = m->stages[HP_SPECIAL ? hp_kind_of(w) : 0];
    if (in_layer) stages[p->stage](e, w);
    else if (p->stage == 0) hp_pick_rows(e);
    else hp_compute_logits(e);
    if (p->item > 0 || (++p->stage, in_layer ? stages[p->stage] != NULL : p->stage < 2)) return;
    p->stage = 0, p->layer++;
    hp_end_trial(e);
}

static int hp_is_cancelled(const harp_session *s)
{
    return s->params.cancel && s->params.cancel(s->params.cancel_user);
}

/* Asks those whose call this is, one session or the members of a step of several, whether to go on. A member that is
 * cancelled has failed; the others go on. */
static harp_status hp_ask_cancel(harp_engine *e, harp_session *s, harp_error *err)
{
    harp_member *m = hp_company(e);
    if (s && s->client && hp_is_cancelled(s->client)) return HP_CLIENT_CANCELLED;
    if (s && hp_is_cancelled(s)) return hp_fail(err, HARP_ERR_CANCELLED, "cancelled by the caller");
    for (; m && m < e->members + e->n_members; m++)
        if (!m->done && m->error.status == HARP_OK && hp_is_cancelled(m->session))
            hp_fail(&m->error, HARP_ERR_CANCELLED, "cancelled by the caller");
    return HARP_OK;
}

static harp_status hp_forward(harp_engine *e, harp_session *s, harp_error *err)
{
    hp_pass *p = &e->pass;
    while (p->layer <= e->model->info.layers) {
        harp_status status = hp_ask_cancel(e, s, err);
        if (status) return status;
        if (p->budget <= 0) return HP_PAUSED;
        e->job.unsound = !hp_thread_is_sound();
        if (!e->job.unsound) hp_do_stage(e);
        if (!e->job.unsound) continue;
        hp_leave_pass(e->rows[0].session); /* whoever's it is, what it has computed is wrong */
        return hp_refuse_thread(err);
    }
    return HARP_OK;
}

/* ---- Putting passes together ---- */

/* The rows of the pass are computed, for as long as the steps of their sessions last. */
static void hp_note_rows(harp_engine *e)
{
    int32_t i;
    for (i = 0; i < e->pass.n_rows; i++) {
        const hp_row *row = &e->rows[i];
        harp_session *s = row->session;
        row->stream->reached = row->position + 1;
        if (s->in_pass > 0) s->stats.passes++, s->step_passes++, s->step_rows += s->in_pass;
        s->in_pass = 0;
        if (row->reframing >= 0) s->stats.reframed_rows++;
        else s->stats.rows++;
    }
}

/* Computes the rows gathered so far, or goes on with the pass under way. `s` is whose call this is, NULL for a step of
 * several. */
static harp_status hp_compute_pass(harp_engine *e, harp_session *s, harp_error *err)
{
    hp_pass *p = &e->pass;
    harp_status status = HARP_OK;
    if (!p->under_way) status = hp_begin_pass(e, err);
    if (status == HARP_OK && p->n_rows > 0) status = hp_forward(e, s, err);
    if (status) return status;
    hp_note_rows(e);
    e->n_rows = p->under_way = p->item = 0;
    return HARP_OK;
}

/* Has what was pushed computed, and before it the pass that another call has left under way. A member of a step of
 * several waits instead until all have pushed theirs. */
static harp_status hp_flush(harp_session *s, harp_error *err)
{
    harp_engine *e = s->engine;
    harp_status status;
    if (hp_company(e)) return s->in_pass > 0 ? HP_PAUSED : HARP_OK;
    if (e->n_rows == 0 && !e->pass.under_way) return HARP_OK;
    status = hp_compute_pass(e, s, err);
    if (status && status != HP_PAUSED) hp_leave_pass(s);
    return status;
}

/* Adds a row; a full pass is computed first. Rows of a stream come in the order of their positions. */
static harp_status hp_push(harp_session *s, int32_t position, int32_t stream, int32_t reframing, int32_t slot,
                           harp_error *err)
{
    harp_engine *e = s->engine;
    hp_row *row;
    if (e->n_rows == e->batch || e->pass.under_way) {
        harp_status status = hp_company(e) ? HP_PAUSED : hp_flush(s, err);
        if (status) return status;
    }
    row = &e->rows[e->n_rows++], s->in_pass++;
    row->session = s, row->stream = &s->streams[stream];
    row->token = s->tokens[position], row->position = position;
    row->reframing = reframing, row->mask_step = s->mask_step;
    row->slot = slot < 0 ? -1 : s->first_slot + slot;
    return HARP_OK;
}

/* Pushes what stream r lacks up to and including `upto`. The logits of the last `wanted` positions go to slots `slot`,
 * slot + 1, ...; they are recomputed if necessary, unless an earlier slice of this step has done so. */
static harp_status hp_push_stream(harp_session *s, int32_t r, int32_t reframing, int32_t upto, int32_t wanted,
                                  int32_t slot, harp_error *err)
{
    harp_status status = HARP_OK;
    int32_t i, first_wanted = upto + 1 - wanted;
    i = hp_max(hp_min(s->streams[r].length, first_wanted), s->streams[r].reached);
    for (; i <= upto && status == HARP_OK; i++)
        status = hp_push(s, i, r, reframing, i < first_wanted ? -1 : slot + i - first_wanted, err);
    return status;
}

/* Nothing is under way any more: a step has come to its end, or what follows is not its continuation. What whole passes
 * have computed of the session's tokens stays; in frames redraw and last the reframed streams begin anew anyway. */
static void hp_drop_slices(harp_session *s)
{
    int32_t r, lasting = s->params.frame == HARP_FRAME_STREAM ? s->n_streams : 1;
    for (r = 0; r < s->all_streams; r++) {
        hp_stream *t = &s->streams[r];
        if (r < lasting) t->length = hp_max(t->length, hp_min(t->reached, s->n_tokens));
        t->reached = 0;
    }
    hp_leave_pass(s);
    memset(&s->progress, 0, sizeof s->progress);
}

/* Shortens what is computed to `length` positions, after hp_drop_slices if a step may be under way: for that looks at
 * the bases. A reframed stream that loses its base begins anew. */
static void hp_truncate(harp_session *s, int32_t length)
{
    int32_t r;
    for (r = 0; r < s->n_streams; r++) {
        hp_stream *t = &s->streams[r];
        t->length = hp_min(t->length, length);
        if (r > 0 && t->length <= t->base && t->base > t->shared) t->length = t->base = 0;
    }
}

/* Abandons a pass that was being put together when something failed; a pause is no failure. A stream that was begun for
 * it has nothing yet. */
static harp_status hp_abandon(harp_session *s, harp_status status)
{
    if (status == HP_PAUSED) return status;
    hp_drop_slices(s);
    hp_truncate(s, INT32_MAX);
    return status;
}

/* Brings the vanilla stream up to `upto`, without logits. */
static harp_status hp_compute_vanilla(harp_session *s, int32_t upto, harp_error *err)
{
    harp_status status = hp_push_stream(s, 0, -1, upto, 0, -1, err);
    if (status == HARP_OK) status = hp_flush(s, err);
    if (status) return hp_abandon(s, status);
    s->streams[0].length = hp_max(s->streams[0].length, upto + 1);
    return HARP_OK;
}

/* ---- Seats: whose logits the engine holds ---- */

/* What was guessed, and a step under way. */
static void hp_forget_drafts(harp_session *s)
{
    s->n_guesses = s->n_drafts = s->n_ahead = 0;
    hp_drop_slices(s);
}

/* Gives the session a seat, if it has none: a free one, or that of the session that asked least recently. Who loses its
 * seat loses the logits of its newest step, and begins a step anew that was under way. */
static void hp_take_seat(harp_session *s)
{
    harp_engine *e = s->engine;
    hp_seat *seat = e->seats;
    int32_t i;
    if (!HP_SHARING) return; /* there is one seat, and it is this session's */
    if (s->first_slot >= 0) seat += s->first_slot / (e->slots + 1);
    for (i = 0; i < e->n_seats && s->first_slot < 0; i++)
        if (!e->seats[i].session || (seat->session && e->asked - e->seats[i].asked > e->asked - seat->asked))
            seat = &e->seats[i];
    seat->asked = e->asked++;
    if (seat->session == s) return;
    if (seat->session) {
        hp_forget_drafts(seat->session);
        seat->session->has_step = 0, seat->session->first_slot = -1;
    }
    seat->session = s;
    s->first_slot = (int32_t)(seat - e->seats) * (e->slots + 1);
}

/* ================================================================================================================
 * [CH21] Choosing
 *
 * From logits to a token, in this order: bias, the caller's adjustment, repetition penalty, top-k, top-p, min-p,
 * temperature. The candidates come off a heap, best first, so that only as many are ordered as the cuts keep. The draw
 * is a pure function of seed and position ([CH04]); ties go to the smaller id.
 * ============================================================================================================== */

/* ---- Distributions ---- */

/* Logits that a softmax can be taken of: no NaN, no +Inf, and something above -Inf. */
static int hp_logits_are_sound(const float *x, int32_t n)
{
    int32_t i, bad = 0, some = 0;
    for (i = 0; i < n; i++) bad |= !(x[i] <= FLT_MAX), some |= x[i] >= -FLT_MAX;
    return !bad && some;
}

static float hp_entropy_bits(hp_spread s)
{
    return (float)(hp_log2((double)s.total) - (double)s.mean / hp_ln2);
}

HARP_API float harp_entropy(const float *logits, int32_t n)
{
    if (!logits || n < 1 || !hp_logits_are_sound(logits, n)) return hp_float(0x7FC00000u);
    return hp_entropy_bits(hp_measure_spread(logits, n));
}

/* ln p of an outcome with this logit */
static float hp_logprob(hp_spread s, float logit)
{
    return (float)((double)logit - (double)s.top - hp_log2((double)s.total) * hp_ln2);
}

HARP_API float harp_logprob(const float *logits, int32_t n, int32_t token)
{
    if (!logits || n < 1 || token < 0 || token >= n || !hp_logits_are_sound(logits, n)) return hp_float(0x7FC00000u);
    return hp_logprob(hp_measure_spread(logits, n), logits[token]);
}

/* ---- Candidates ---- */

static int32_t hp_argmax(const float *x, int32_t n)
{
    int32_t i, best = 0;
    for (i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

/* Biases, what adjust_fn adds, and the penalty of [Keskar et al. 2019] once for each distinct token among the last
 * ones. */
static void hp_adjust_logits(harp_session *s, const float *logits)
{
    const harp_params *p = &s->params;
    float *adjusted = s->engine->adjusted;
    const float *added = s->engine->added;
    int32_t i, j, first = hp_max(0, s->n_tokens - p->repeat_last);
    memcpy(adjusted, logits, (size_t)s->model->vocab * sizeof(float));
    for (i = 0; i < p->n_bias; i++) {
        float *l = &adjusted[p->bias[i].token], add = p->bias[i].add;
        *l = add >= -FLT_MAX ? *l + add : -HUGE_VALF; /* forbidden, even if others have made it infinite */
    }
    for (i = 0; p->adjust_fn && i < s->model->vocab; i++)
        adjusted[i] = added[i] >= -FLT_MAX ? adjusted[i] + added[i] : -HUGE_VALF; /* a NaN forbids, too */
    for (i = first; i < s->n_tokens && p->repeat_penalty != 1.0f; i++) {
        float *l = &adjusted[s->tokens[i]];
        for (j = first; j < i && s->tokens[j] != s->tokens[i]; j++) {}
        if (j == i) *l = *l > 0.0f ? *l / p->repeat_penalty : *l * p->repeat_penalty;
    }
}

/* The heap: n token ids, a parent ranks before its children. */
static int hp_ranks_before(const float *x, int32_t a, int32_t b)
{
    return x[a] > x[b] || (x[a] == x[b] && a < b);
}

static void hp_sift_down(int32_t *heap, int32_t n, const float *x, int32_t i)
{
    int32_t token = heap[i], child;
    for (; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && hp_ranks_before(x, heap[child + 1], heap[child])) child++;
        if (hp_ranks_before(x, token, heap[child])) break;
        heap[i] = heap[child];
    }
    heap[i] = token;
}

static void hp_make_heap(int32_t *heap, int32_t n, const float *x)
{
    int32_t i;
    for (i = n / 2 - 1; i >= 0; i--) hp_sift_down(heap, n, x, i);
}

/* Takes the best off a heap of n; it ends up behind the rest, at heap[n - 1]. */
static int32_t hp_pop_heap(int32_t *heap, int32_t n, const float *x)
{
    int32_t best = heap[0];
    heap[0] = heap[n - 1], heap[n - 1] = best;
    hp_sift_down(heap, n - 1, x, 0);
    return best;
}

/* A heap that has the `wanted` best of x[vocab] in it, at the end of ranking[vocab]; returns its size. Vocabularies are
 * large and few tokens are wanted, so most are left out: x is dealt out to strips, and so many strips as tokens are
 * wanted have something as large as the bound. */
static int32_t hp_rank(int32_t *ranking, const float *x, int32_t vocab, int32_t wanted)
{
    enum { STRIPS = 256 };
    float strip[STRIPS], bound = -HUGE_VALF;
    int32_t i, n = 0;
    if (wanted < STRIPS / 2 && vocab > 2 * STRIPS) {
        for (i = 0; i < STRIPS; i++) strip[i] = x[i], ranking[i] = i;
        for (; i < vocab; i++) strip[i % STRIPS] = x[i] > strip[i % STRIPS] ? x[i] : strip[i % STRIPS];
        hp_make_heap(ranking, STRIPS, strip);
        for (i = 0; i < wanted; i++) bound = strip[hp_pop_heap(ranking, STRIPS - i, strip)];
    }
    for (i = vocab - 1; i >= 0; i--)
        if (!(x[i] < bound)) ranking[vocab - ++n] = i;
    hp_make_heap(ranking + vocab - n, n, x);
    return n;
}

/* Orders the candidates that survive the cuts: the j-th best is ranking[vocab - 1 - j]. Returns how many: 0 if the best
 * logit is not finite, for biases may forbid every token, and a bias or the penalty make a large logit infinite. */
static int32_t hp_cut_candidates(harp_session *s)
{
    const harp_params *p = &s->params;
    const float *x = s->engine->adjusted;
    int32_t vocab = s->model->vocab, limit = p->top_k > 0 ? hp_min(p->top_k, vocab) : vocab, n;
    int32_t heaped = hp_rank(s->engine->ranking, x, vocab, limit), *heap = s->engine->ranking + vocab - heaped;
    float top = x[heap[0]], total = 0.0f, reached = 0.0f;
    if (!(fabsf(top) <= FLT_MAX)) return 0;
    if (p->top_k == 0) total = s->engine->kernels->measure_spread(x, vocab).total;
    else for (n = 0; n < limit; n++) total = total + hp_exp(x[hp_pop_heap(heap, heaped - n, x)] - top);
    for (n = 0; n < limit; n++) {
        int32_t token = p->top_k > 0 ? s->engine->ranking[vocab - 1 - n] : hp_pop_heap(heap, heaped - n, x);
        float weight = hp_exp(x[token] - top), share = weight / total;
        if (n > 0 && (reached >= p->top_p || weight < p->min_p || !(x[token] >= -FLT_MAX))) break;
        reached = reached + share;
    }
    return n;
}

/* exp(logit / temperature) of the i-th best candidate, relative to the best one's. */
static float hp_weight(const harp_session *s, int32_t i)
{
    const int32_t *best = &s->engine->ranking[s->model->vocab - 1];
    const float *adjusted = s->engine->adjusted;
    float distance = adjusted[*(best - i)] - adjusted[*best], scaled = distance / s->params.temperature;
    return hp_exp(scaled);
}

/* Draws among the first n candidates with probability proportional to exp(logit / temperature). */
static int32_t hp_draw(const harp_session *s, int32_t n)
{
    int32_t vocab = s->model->vocab, i;
    float total = 0.0f, sum = 0.0f, aim;
    for (i = 0; i < n; i++) total = total + hp_weight(s, i);
    aim = hp_uniform(s->params.seed, s->params.sample, s->n_tokens, 0) * total;
    for (i = 0; i < n - 1; i++) {
        sum = sum + hp_weight(s, i);
        if (aim < sum) break;
    }
    return s->engine->ranking[vocab - 1 - i];
}

/* The token chosen; -1 if none is left to choose. */
static int32_t hp_choose(harp_session *s, const float *logits)
{
    hp_adjust_logits(s, logits);
    if (s->params.temperature == 0.0f) {
        int32_t best = hp_argmax(s->engine->adjusted, s->model->vocab);
        return fabsf(s->engine->adjusted[best]) <= FLT_MAX ? best : -1;
    }
    s->n_cut = hp_cut_candidates(s);
    return s->n_cut > 0 ? hp_draw(s, s->n_cut) : -1;
}

/* ================================================================================================================
 * [CH22] HARP
 *
 * The method of [Storai and Hwang 2025], one step with newest position n:
 *
 *   H1  vanilla pass: logits l of position n
 *   H2  uncertainty u of softmax(l): Shannon entropy in bits, or another measure
 *   H3  u <= theta: l stands
 *   H4  otherwise reframe: embeddings of the prefix with a share delta of their elements dropped, for each of K masks
 *   H5  reframed pass: logits of position n, averaged over the K reframings: l'
 *   H6  beta * l + (1 - beta) * l'
 *
 * The paper redraws the masks at each hesitating step, which voids every cached key and value (frame redraw). Frame
 * stream keys the masks by position instead: at any one step the masks over the prefix have the same distribution,
 * independent Bernoulli per element; only the correlation between steps differs. The reframed prefix then only grows,
 * so it has a stream of its own, which is brought up to date when its opinion is asked for (lazy) or along with every
 * vanilla row (fused). Frame last masks the newest embedding alone.
 *
 * Cost of a lazy step: 1 pass, and with probability (hesitation rate) another, of K rows for each position not yet
 * seen by the reframed streams. Of a fused step: one pass of 1 + K rows.
 * ============================================================================================================== */

static float *hp_slot(const harp_session *s, int32_t slot)
{
    int32_t first = HP_SHARING ? s->first_slot : 0;
    return s->engine->logits + (size_t)(first + slot) * s->engine->logits_stride;
}

static float *hp_combined(const harp_session *s) /* behind those of passes */
{
    return hp_slot(s, s->engine->slots);
}

/* H2 */
static float hp_second_largest(const float *x, int32_t n, int32_t best)
{
    float second = -FLT_MAX;
    int32_t i;
    for (i = 0; i < n; i++)
        if (i != best && x[i] > second) second = x[i];
    return second;
}

static float hp_uncertainty(const harp_session *s, const float *logits, hp_spread spread)
{
    int32_t vocab = s->model->vocab;
    float most = 1.0f / spread.total, second, square, variance;
    switch (s->params.measure) {
    case HARP_MEASURE_MAXPROB: return 1.0f - most;
    case HARP_MEASURE_MARGIN:
        second = hp_second_largest(logits, vocab, hp_argmax(logits, vocab)) - spread.top;
        second = hp_exp(second) * most;
        second = most - second;
        return 1.0f - second;
    case HARP_MEASURE_VARENTROPY: /* the variance of log2 p; ln p = d - ln Z, and a constant has no variance */
        square = spread.mean * spread.mean;
        variance = spread.mean_squares - square;
        return (float)((double)variance / (hp_ln2 * hp_ln2));
    case HARP_MEASURE_CALLER: return s->params.measure_fn(s->params.harp_user, logits, vocab);
    default: return hp_entropy_bits(spread); /* HARP_MEASURE_ENTROPY */
    }
}

/* H4, H5: how many reframings have something to say at position n, that is, mask at least one position up to n */
static int32_t hp_active_reframings(const harp_session *s, int32_t n)
{
    if (!s->params.harp) return 0;
    return s->params.frame == HARP_FRAME_LAST || n >= s->from ? s->params.reframings : 0;
}

/* Pushes what the reframed streams 1..k need to have logits for position n and, if tokens are drafted, those after it:
 * `wanted` positions a stream, stream after stream, from reframed_slot on. */
static harp_status hp_push_reframed(harp_session *s, int32_t k, int32_t n, int32_t wanted, harp_error *err)
{
    harp_status status = HARP_OK;
    int32_t r;
    for (r = 1; r <= k && status == HARP_OK; r++) {
        hp_stream *t = &s->streams[r];
        if (s->params.frame == HARP_FRAME_LAST) hp_begin_stream(s, t, n);
        else if (t->length == 0 && t->reached == 0) hp_begin_stream(s, t, s->from);
        status = hp_push_stream(s, r, r - 1, n + wanted - 1, wanted, s->reframed_slot + (r - 1) * s->slot_gap, err);
    }
    return status;
}

static void hp_set_reframed_lengths(harp_session *s, int32_t k, int32_t n)
{
    int32_t r;
    for (r = 1; r <= k; r++) s->streams[r].length = hp_max(s->streams[r].length, n + 1);
}

/* Frame redraw: the whole prefix anew for each reframing, one after another through the one scratch stream. */
static harp_status hp_redraw(harp_session *s, int32_t k, int32_t n, harp_error *err)
{
    hp_stream *t = &s->streams[1];
    harp_status status = HARP_OK;
    int32_t *r = &s->progress.redrawn;
    s->mask_step = 1 + (uint32_t)n;
    while (*r < k && status == HARP_OK) {
        if (t->reached == 0) hp_begin_stream(s, t, s->from);
        status = hp_push_stream(s, 1, *r, n, 1, s->reframed_slot + *r * s->slot_gap, err);
        if (status == HARP_OK) status = hp_flush(s, err);
        if (status == HARP_OK) ++*r, t->reached = 0;
    }
    if (status == HARP_OK) *r = 0;
    s->mask_step = 0;
    t->length = 0;
    if (status != HP_PAUSED) t->base = 0; /* a pause goes on from there */
    return status;
}

static harp_status hp_compute_reframed(harp_session *s, int32_t k, int32_t n, harp_error *err)
{
    harp_status status;
    if (s->params.frame == HARP_FRAME_REDRAW) {
        status = hp_redraw(s, k, n, err);
    } else {
        status = hp_push_reframed(s, k, n, 1, err);
        if (status == HARP_OK) status = hp_flush(s, err);
        if (status == HARP_OK) hp_set_reframed_lengths(s, k, n);
    }
    return status ? hp_abandon(s, status) : HARP_OK;
}

/* Averages the logits of the step's k reframings into the first one's slot. */
static void hp_average_reframed(harp_session *s, int32_t k)
{
    float *mean = hp_slot(s, s->reframed_slot);
    int32_t r, i;
    for (r = 1; r < k; r++)
        s->engine->kernels->add_to(mean, hp_slot(s, s->reframed_slot + r * s->slot_gap), s->model->vocab);
    for (i = 0; i < s->model->vocab && k > 1; i++) mean[i] = mean[i] / (float)k;
}

/* H6 */
static void hp_combine(harp_session *s)
{
    const float *vanilla = hp_slot(s, s->vanilla_slot), *reframed = hp_slot(s, s->reframed_slot);
    float beta = s->params.beta, rest = 1.0f - beta;
    int32_t i;
    if (s->params.combine_fn) {
        s->params.combine_fn(s->params.harp_user, vanilla, reframed, hp_combined(s), s->model->vocab);
        return;
    }
    for (i = 0; i < s->model->vocab; i++) {
        float a = beta * vanilla[i], b = rest * reframed[i];
        hp_combined(s)[i] = a + b;
    }
}

/* ---- The schedule: when H5 is computed changes what it costs, never what it gives ---- */

enum { HP_PROBE_EVERY = 128, HP_MAX_LAG = 16, HP_RATE_OVER = 64 };

/* How many positions before n the reframed streams have not seen. */
static int32_t hp_reframed_lag(const harp_session *s, int32_t n)
{
    if (s->params.frame != HARP_FRAME_STREAM) return 0;
    return n - hp_max(s->streams[s->n_streams - 1].length, s->from);
}

/* Fused costs one pass of 1 + k rows at every step, lazy one of a row and, at the rate of hesitation, a second, which
 * also makes up for what the reframed streams missed. Reading the weights dominates all of them where there are vector
 * instructions, so that fused mostly wins; but measured times decide. What is not measured yet (or never, without a
 * clock) is assumed: a row that rides along costs a tenth of a pass. Costs change with the depth of the context, so the
 * schedule not in use is tried now and then: lazy for one step; fused where nothing is to be made up for, which is so
 * after a hesitation. */
static int hp_is_fused_cheaper(const harp_session *s, int32_t k, int32_t lag)
{
    const hp_costs *c = &s->costs;
    double plain = c->plain > 0.0 ? c->plain : 1.0;
    double fused = c->fused > 0.0 && c->plain > 0.0 ? c->fused : plain * (1.0 + 0.1 * (double)k);
    double second = c->second > 0.0 && c->plain > 0.0 ? c->second : plain;
    if (fused < plain + (double)c->rate * second) return c->no_plain < HP_PROBE_EVERY;
    return c->no_fused >= HP_PROBE_EVERY && lag == 0;
}

/* Whether the reframed rows ride along with the vanilla row of position n; in company they do. A stream far behind (a
 * prompt that it has not seen) is left behind until the first hesitation, which may never come. */
static int hp_is_fused(const harp_session *s, int32_t n, int32_t k)
{
    int32_t lag = hp_reframed_lag(s, n);
    if (k == 0 || s->params.frame == HARP_FRAME_REDRAW || s->params.schedule == HARP_SCHEDULE_LAZY) return 0;
    if (s->params.schedule == HARP_SCHEDULE_FUSED) return 1;
    return lag <= HP_MAX_LAG && (hp_company(s->engine) || hp_is_fused_cheaper(s, k, lag));
}

static void hp_learn(double *average, double seconds)
{
    if (*average <= 0.0) *average = seconds;
    else if (seconds > 2.0 * *average) *average *= 1.125; /* somebody else had the processor: believe it only slowly */
    else *average += 0.125 * (seconds - *average);
}

/* A step's pass or passes took this long. `newest` is 0 if the first computed more than the newest position: that tells
 * nothing. */
static void hp_learn_costs(harp_session *s, int fused, double newest, double second, int hesitated)
{
    hp_costs *c = &s->costs;
    int32_t *measured = fused ? &c->no_fused : &c->no_plain;
    c->no_plain = hp_min(c->no_plain + 1, HP_PROBE_EVERY), c->no_fused = hp_min(c->no_fused + 1, HP_PROBE_EVERY);
    if (newest > 0.0) hp_learn(fused ? &c->fused : &c->plain, newest), *measured = 0;
    if (second > 0.0) hp_learn(&c->second, second);
    c->steps = hp_min(c->steps + 1, HP_RATE_OVER);
    c->rate += ((hesitated ? 1.0f : 0.0f) - c->rate) / (float)c->steps;
}

/* ---- The step ---- */

/* Computes position n and, in the same pass, the drafted tokens after it ([CH23]). */
static harp_status hp_compute_newest(harp_session *s, int32_t n, int32_t ride, harp_error *err)
{
    int32_t wanted = 1 + s->n_drafts;
    harp_status status = n > 0 ? hp_compute_vanilla(s, n - 1, err) : HARP_OK;
    s->n_ahead = 0, s->reframed_slot = s->slot_gap = wanted;
    if (status == HARP_OK) status = hp_push_stream(s, 0, -1, n + s->n_drafts, wanted, 0, err);
    if (status == HARP_OK) status = hp_push_reframed(s, ride, n, wanted, err);
    if (status == HARP_OK) status = hp_flush(s, err);
    if (status) return hp_abandon(s, status);
    s->first_ahead = n, s->n_ahead = wanted, s->ahead_reframed = ride > 0;
    return HARP_OK;
}

/* H1 for the newest position: its logits are there already if a pass with drafts came this far. The lengths of the
 * streams follow what has been chosen: what was computed for guesses lies beyond them. */
static harp_status hp_reach_newest(harp_session *s, int32_t n, int32_t k, harp_error *err)
{
    hp_progress *p = &s->progress;
    if (!p->decided) p->fused = hp_is_fused(s, n, k) && (s->params.frame != HARP_FRAME_LAST || s->n_drafts == 0);
    p->decided = 1; /* where the logits go depends on it, and a later slice may be one in company */
    if (n < s->first_ahead || n - s->first_ahead >= s->n_ahead) {
        harp_status status = hp_compute_newest(s, n, p->fused ? k : 0, err);
        if (status) return status;
    }
    s->vanilla_slot = n - s->first_ahead;
    s->reframed_slot = s->n_ahead, s->slot_gap = 1; /* lazy ones go behind the vanilla ones */
    if (s->ahead_reframed) s->reframed_slot += s->vanilla_slot, s->slot_gap = s->n_ahead;
    s->streams[0].length = hp_max(s->streams[0].length, n + 1);
    if (s->ahead_reframed) hp_set_reframed_lengths(s, k, n);
    return HARP_OK;
}

/* H5, H6: blends the reframings' logits, which are there. */
static harp_status hp_blend(harp_session *s, int32_t k, int32_t n, harp_step *step, harp_error *err)
{
    hp_average_reframed(s, k);
    hp_combine(s);
    if (!hp_logits_are_sound(hp_combined(s), s->model->vocab))
        return hp_fail(err, HARP_ERR_NUMBER, "the combined logits of position %d are not finite", (int64_t)n);
    step->reframed = k;
    return HARP_OK;
}

/* H2: fills in what the vanilla logits say. */
static harp_status hp_measure_hesitation(const harp_session *s, const float *logits, int32_t n, harp_step *step,
                                         harp_error *err)
{
    hp_spread spread;
    if (!hp_logits_are_sound(logits, s->model->vocab))
        return hp_fail(err, HARP_ERR_NUMBER, "the logits of position %d are not finite: the model is damaged",
                       (int64_t)n);
    spread = s->engine->kernels->measure_spread(logits, s->model->vocab);
    step->entropy = hp_entropy_bits(spread);
    step->uncertainty = hp_uncertainty(s, logits, spread);
    step->hesitated = s->params.harp && step->uncertainty > s->params.theta;
    return HARP_OK;
}

/* The logits that a token is to be chosen from, H1 to H6, and the telemetry that does not depend on the choice. */
static harp_status hp_combined_logits(harp_session *s, const float **logits, harp_step *step, harp_error *err)
{
    int32_t n = s->n_tokens - 1, k = hp_active_reframings(s, n);
    int newest_alone = s->streams[0].length == n && s->params.drafts == 0;
    int in_one_slice = !s->progress.resuming && !hp_company(s->engine);
    int32_t lag = hp_reframed_lag(s, n);
    double begin = hp_seconds(), middle, end;
    harp_status status = hp_reach_newest(s, n, k, err); /* H1 */
    if (status) return status;
    *logits = hp_slot(s, s->vanilla_slot);
    if ((status = hp_measure_hesitation(s, *logits, n, step, err)) != HARP_OK) return status; /* H2 */
    middle = end = hp_seconds();
    if (step->hesitated && k > 0 && !s->ahead_reframed) { /* H3, H4, H5 */
        status = hp_compute_reframed(s, k, n, err);
        end = hp_seconds();
    }
    if (in_one_slice && status == HARP_OK)
        hp_learn_costs(s, s->ahead_reframed, newest_alone && !(s->ahead_reframed && lag > 0) ? middle - begin : 0.0,
                       end - middle, step->hesitated);
    if (status || !step->hesitated || k == 0) return status;
    if ((status = hp_blend(s, k, n, step, err)) != HARP_OK) return status; /* H6 */
    *logits = hp_combined(s);
    return HARP_OK;
}

/* ---- Many positions of a given text ----
 *
 * Two passes for each batch of positions: the vanilla rows, then the reframed rows, of whose logits only those are
 * computed that a hesitating position asks for. With m positions, H of which hesitate, the logits of reframing r (from
 * 0) for the j-th of them are in slot m + r H + j. */

/* Frame last: each hesitating position has a stream of one block; that of the first is streams[r] as always. */
static int32_t hp_last_stream(const harp_session *s, int32_t r, int32_t j)
{
    return j == 0 ? r : s->n_streams + s->params.beams + (j - 1) * s->params.reframings + r - 1;
}

/* Does position first + i want reframed logits? */
static int hp_wants_reframing(const harp_session *s, int32_t first, int32_t i)
{
    return s->engine->judged[i].hesitated && hp_active_reframings(s, first + i) > 0;
}

static harp_status hp_push_hesitating(harp_session *s, int32_t r, int32_t first, int32_t m, int32_t slot,
                                      harp_error *err)
{
    harp_status status = HARP_OK;
    int32_t i, j = 0, last = -1;
    for (i = 0; i < m; i++)
        if (hp_wants_reframing(s, first, i)) last = i;
    if (s->params.frame == HARP_FRAME_LAST) {
        for (i = 0; i <= last && status == HARP_OK; i++) {
            int32_t stream = hp_last_stream(s, r, j);
            if (!hp_wants_reframing(s, first, i)) continue;
            hp_begin_stream(s, &s->streams[stream], first + i);
            status = hp_push(s, first + i, stream, r - 1, slot + j++, err);
        }
        return status;
    }
    if (s->streams[r].length == 0) hp_begin_stream(s, &s->streams[r], s->from);
    for (i = s->streams[r].length; i <= first + last && status == HARP_OK; i++) {
        int wanted = i >= first && hp_wants_reframing(s, first, i - first);
        status = hp_push(s, i, r, r - 1, wanted ? slot + j++ : -1, err);
    }
    return status;
}

/* The reframed logits of the hesitating positions among first..first + m - 1. Frame redraw waits for its turn. */
static harp_status hp_reframe_batch(harp_session *s, int32_t first, int32_t m, harp_error *err)
{
    harp_status status = HARP_OK;
    int32_t i, r, last = -1, hesitating = 0;
    for (i = 0; i < m; i++)
        if (hp_wants_reframing(s, first, i)) hesitating++, last = first + i;
    s->reframed_slot = m, s->slot_gap = s->params.frame == HARP_FRAME_REDRAW ? 1 : hesitating;
    if (hesitating == 0 || s->params.frame == HARP_FRAME_REDRAW) return HARP_OK;
    for (r = 1; r <= s->params.reframings && status == HARP_OK; r++)
        status = hp_push_hesitating(s, r, first, m, m + (r - 1) * hesitating, err);
    if (status == HARP_OK) status = hp_flush(s, err);
    if (status) return hp_abandon(s, status);
    hp_set_reframed_lengths(s, s->params.frame == HARP_FRAME_LAST ? 0 : s->params.reframings, last);
    return HARP_OK;
}

/* Blends where position first + i hesitated, fills in its step and hands it over. */
static harp_status hp_deliver_judged(harp_session *s, int32_t first, int32_t i, harp_score_harp_fn *on_step, void *user,
                                     harp_error *err)
{
    const float *vanilla = hp_slot(s, i), *logits = vanilla;
    harp_step *step = &s->engine->judged[i];
    harp_status status = HARP_OK;
    int32_t k = s->params.reframings, vocab = s->model->vocab;
    int cancelled;
    s->vanilla_slot = i;
    if (hp_wants_reframing(s, first, i)) {
        if (s->params.frame == HARP_FRAME_REDRAW) status = hp_compute_reframed(s, k, first + i, err);
        if (status == HARP_OK) status = hp_blend(s, k, first + i, step, err);
        if (status) return status;
        logits = hp_combined(s);
        if (s->params.frame != HARP_FRAME_REDRAW) s->reframed_slot++;
    }
    step->position = first + i + 1;
    step->vanilla_token = hp_argmax(vanilla, vocab), step->token = hp_argmax(logits, vocab);
    step->logprob = hp_logprob(s->engine->kernels->measure_spread(logits, vocab), logits[step->token]);
    s->is_scoring = 1;
    cancelled = on_step(user, step, vanilla, logits);
    s->is_scoring = 0;
    return cancelled ? hp_fail(err, HARP_ERR_CANCELLED, "cancelled by the caller") : HARP_OK;
}

static harp_status hp_judge_batch(harp_session *s, int32_t first, int32_t m, harp_score_harp_fn *on_step, void *user,
                                  harp_error *err)
{
    harp_status status = HARP_OK, delivered;
    int32_t i, n = 0; /* positions whose logits are sound: they are delivered, however large the batch */
    memset(s->engine->judged, 0, (size_t)m * sizeof *s->engine->judged);
    while (n < m && status == HARP_OK)
        if ((status = hp_measure_hesitation(s, hp_slot(s, n), first + n, &s->engine->judged[n], err)) == HARP_OK) n++;
    delivered = hp_reframe_batch(s, first, n, err);
    for (i = 0; i < n && delivered == HARP_OK; i++) delivered = hp_deliver_judged(s, first, i, on_step, user, err);
    return delivered ? delivered : status;
}

/* ================================================================================================================
 * [CH23] Other decoders
 *
 * Ways to choose rows. DRAFTING [Leviathan, Kalman, Matias 2023] guesses the next tokens, puts all of them into one
 * pass and keeps as many as the model would have chosen:
 *
 *      tokens    ... t(n) | g(n+1) g(n+2) g(n+3)      the guesses stand behind the session's tokens
 *      rows          n      n+1    n+2    n+3         one pass: logits of n, n+1, n+2, n+3 in slots 0, 1, 2, 3
 *
 * The next calls of harp_next find their logits computed (hp_reach_newest), as long as each token chosen is the one
 * that had been guessed. A refused guess costs nothing to undo: what was computed for it lies beyond its stream's
 * length. HARP sees positions, not passes, so it judges guesses like anything else.
 *
 * BEAM SEARCH keeps several sequences. Each is a stream whose base is the length of the prompt, so that all of them
 * share what is before it; a step is one pass with a row for each.
 * ============================================================================================================== */

/* ---- Drafting: where guesses come from ---- */

/* A draft session is driven as any other ([CH24]); it has none of its own (hp_check_draft sees to it). */
static void hp_append(harp_session *s, const int32_t *tokens, int32_t n);
static harp_status hp_rewind(harp_session *s, int32_t position, harp_error *err);
static harp_status hp_make_step(harp_session *s, harp_step *step, harp_error *err);

/* With longrope [Ding et al. 2024] the length of a sequence decides which table turns all its positions. So crossing
 * rope_original, either way, voids every cached key, and from the second layer on every value, too: the streams start
 * anew and are computed from the tokens. A session is thus a function of its tokens alone, not of the way in which they
 * came. To be called before anything is computed; a call that only changes the number of tokens costs nothing. */
static void hp_follow_turn(harp_session *s)
{
    int is_long = hp_is_long(s->model, s->n_tokens);
    if (is_long == s->is_long) return;
    hp_forget_drafts(s);
    hp_truncate(s, 0);
    s->is_long = is_long;
}

/* Prompt lookup: the longest end of the text, of `lookup` tokens at most, that stood earlier in it, at its latest
 * place: what followed there, at the position returned, is the guess. -1: it never stood there. */
static int32_t hp_find_earlier(const harp_session *s)
{
    int32_t n = s->n_tokens, length, start;
    for (length = hp_min(s->params.lookup, n - 1); length >= 1; length--)
        for (start = n - length - 1; start >= 0; start--)
            if (memcmp(s->tokens + start, s->tokens + n - length, (size_t)length * sizeof(int32_t)) == 0)
                return start + length;
    return -1;
}

/* The copy may run on into itself, as in a text that repeats one word. */
static int32_t hp_look_up(harp_session *s, int32_t most)
{
    int32_t from = hp_find_earlier(s), i;
    for (i = 0; i < most && from >= 0; i++) s->tokens[s->n_tokens + i] = s->tokens[from + i];
    return from >= 0 ? most : 0;
}

/* The distribution that the draft session drew its last token from, probabilities [vocab]. */
static void hp_note_guess(const harp_session *d, int32_t token, float *q)
{
    int32_t vocab = d->model->vocab, i;
    float total = 0.0f;
    memset(q, 0, (size_t)vocab * sizeof *q);
    if (d->params.temperature == 0.0f) {
        q[token] = 1.0f;
        return;
    }
    for (i = 0; i < d->n_cut; i++) total = total + hp_weight(d, i);
    for (i = 0; i < d->n_cut; i++) q[d->engine->ranking[vocab - 1 - i]] = hp_weight(d, i) / total;
}

/* The draft session goes back to what it has in common with this one and its guesses so far, and reads on. As a fork,
 * or with forks of its own, it may not be able to go back. */
static harp_status hp_follow(harp_session *d, const int32_t *tokens, int32_t n)
{
    int32_t common = 0;
    while (common < d->n_tokens && common < n && d->tokens[common] == tokens[common]) common++;
    if (common < d->n_tokens && hp_rewind(d, common, NULL)) return HARP_ERR_ARGUMENT;
    if (common < n) hp_append(d, tokens + common, n - common);
    return HARP_OK;
}

/* Has the draft session make steps until there are `most` guesses. They take their share of this step's slice, and
 * both sessions' cancel is asked. Whatever else ends them, its context or a failure, ends the guessing alone. */
static harp_status hp_ask_draft(harp_session *s, int32_t most, harp_error *err)
{
    harp_session *d = s->params.draft;
    harp_status status = HARP_OK;
    if (d->busy || d->engine->busy) return HARP_OK; /* a callback of its own has led here */
    if (s->engine->pass.budget <= 0) return HP_PAUSED; /* it may be half-way with the guesses of another member */
    hp_forget_threads(d->engine);
    d->busy = HP_AT_WORK, d->engine->busy = 1, d->client = s, d->engine->pass.budget = s->engine->pass.budget;
    while (s->n_guesses < most && s->n_tokens + s->n_guesses < d->params.context) {
        harp_step step = {0};
        if ((status = hp_follow(d, s->tokens, s->n_tokens + s->n_guesses)) != HARP_OK
            || (status = hp_make_step(d, &step, NULL)) != HARP_OK)
            break;
        s->tokens[s->n_tokens + s->n_guesses] = step.token;
        if (s->params.draft_rule == HARP_DRAFT_LEVIATHAN)
            hp_note_guess(d, step.token, s->guessed + (size_t)s->n_guesses * (size_t)s->model->vocab);
        s->n_guesses++;
    }
    s->engine->pass.budget = d->engine->pass.budget, d->engine->pass.budget = INT64_MAX;
    d->busy = HP_IDLE, d->engine->busy = 0, d->client = NULL;
    if (status == HP_CLIENT_CANCELLED) return hp_fail(err, HARP_ERR_CANCELLED, "cancelled by the caller");
    return status == HP_PAUSED ? status : HARP_OK;
}

/* Whether guesses have a say in what is chosen. */
static int hp_guesses_count(const harp_session *s)
{
    return s->params.drafts > 0 && s->params.draft_rule == HARP_DRAFT_LEVIATHAN && s->params.temperature > 0.0f;
}

/* Guesses what follows, unless an earlier pass already covers the newest position. Where guesses count, the position
 * behind those that the pass computes needs one as well: see hp_guess. */
static harp_status hp_draft(harp_session *s, harp_error *err)
{
    int32_t n = s->n_tokens - 1, room = s->params.context - s->n_tokens, most = hp_min(s->draft_goal, room);
    harp_status status = HARP_OK;
    if (!s->progress.drafting) {
        if (s->params.drafts == 0 || (n >= s->first_ahead && n - s->first_ahead < s->n_ahead)) return HARP_OK;
        hp_forget_drafts(s);
    }
    if (s->params.draft) status = hp_ask_draft(s, hp_min(most + hp_guesses_count(s), room), err);
    else s->n_guesses = hp_look_up(s, most);
    s->progress.drafting = status == HP_PAUSED;
    if (status) return status;
    s->n_drafts = hp_min(s->n_guesses, most);
    s->stats.drafted += s->n_drafts;
    return HARP_OK;
}

/* ---- Drafting: which guesses are kept ---- */

/* The guess that counts in the choice of the next token, -1 if there is none, and what it was drawn with in *q, NULL if
 * it was no draw. It is a function of the tokens alone: where a pass with drafts began and how many it had, which
 * depends on all that came before, must not decide what is chosen after a rewind or in a restored session. */
static int32_t hp_guess(const harp_session *s, const float **q)
{
    int32_t from;
    *q = NULL;
    if (!hp_guesses_count(s)) return -1;
    if (s->params.draft) {
        *q = s->guessed + (size_t)(s->n_tokens - 1 - s->first_ahead) * (size_t)s->model->vocab;
        return s->n_guesses > 0 ? s->tokens[s->n_tokens] : -1;
    }
    from = hp_find_earlier(s);
    return from < 0 ? -1 : s->tokens[from];
}

/* How much more probable the i-th best candidate is here than where the guess came from; 0 if it is not. `total` is the
 * sum of all weights; q is NULL where the guess was no draw: then its probability there was 1. */
static float hp_excess(const harp_session *s, int32_t i, float total, int32_t guess, const float *q)
{
    int32_t token = s->engine->ranking[s->model->vocab - 1 - i];
    float p = hp_weight(s, i) / total, there = q ? q[token] : token == guess ? 1.0f : 0.0f;
    return p > there ? p - there : 0.0f;
}

/* The rule of [Leviathan et al. 2023], section 2.3: with p the probability of the guess here and q the one that it was
 * drawn with, keep it with probability min(1, p / q); else draw from max(0, p - q). The outcome has distribution p. */
static int32_t hp_keep_or_replace(harp_session *s, const float *logits, int32_t guess, const float *q)
{
    int32_t vocab = s->model->vocab, i;
    float total = 0.0f, p = 0.0f, q_guess = q ? q[guess] : 1.0f, rest = 0.0f, sum = 0.0f, aim;
    hp_adjust_logits(s, logits);
    s->n_cut = hp_cut_candidates(s);
    if (s->n_cut == 0) return -1;
    for (i = 0; i < s->n_cut; i++) total = total + hp_weight(s, i);
    for (i = 0; i < s->n_cut; i++)
        if (s->engine->ranking[vocab - 1 - i] == guess) p = hp_weight(s, i) / total;
    aim = hp_uniform(s->params.seed, s->params.sample, s->n_tokens, 1) * q_guess;
    if (aim < p) return guess;
    for (i = 0; i < s->n_cut; i++) rest = rest + hp_excess(s, i, total, guess, q);
    aim = hp_uniform(s->params.seed, s->params.sample, s->n_tokens, 2) * rest;
    for (i = 0; i < s->n_cut - 1; i++) {
        sum = sum + hp_excess(s, i, total, guess, q);
        if (aim < sum) break;
    }
    return s->engine->ranking[vocab - 1 - i];
}

static int32_t hp_choose_next(harp_session *s, const float *logits)
{
    const float *q;
    int32_t guess = hp_guess(s, &q);
    return guess < 0 ? hp_choose(s, logits) : hp_keep_or_replace(s, logits, guess, q);
}

/* Compares the guess with the token chosen. Guesses get longer while all are kept and short where one was refused: a
 * pass that computes refused rows costs more than one without. */
static void hp_settle_draft(harp_session *s, int32_t token)
{
    s->n_guesses = hp_max(s->n_guesses - 1, 0);
    if (s->n_drafts == 0) return;
    if (token != s->tokens[s->n_tokens]) {
        s->draft_goal = hp_min(s->n_tokens - s->first_ahead, s->params.drafts); /* one more than were kept */
        hp_forget_drafts(s);
        return;
    }
    s->stats.accepted++;
    if (--s->n_drafts == 0) s->draft_goal = hp_min(2 * s->draft_goal, s->params.drafts);
}

/* ---- Beam search ---- */

/* x^y for x > 0 and a result of moderate size: 2^(y log2 x), the whole part of the exponent by doubling, the rest by
 * the series of exp, of which 18 terms reach 1e-17 there. */
static double hp_power(double x, double y)
{
    double exponent = y * hp_log2(x), whole = (double)(int32_t)exponent, t = (exponent - whole) * hp_ln2;
    double term = 1.0, sum = 1.0;
    int32_t i, n = (int32_t)exponent;
    for (i = 1; i < 24; i++) {
        term = term * t / (double)i;
        sum = sum + term;
    }
    for (; n > 0; n--) sum = sum * 2.0;
    for (; n < 0; n++) sum = sum * 0.5;
    return sum;
}

HARP_API harp_beam_options harp_beam_defaults(void)
{
    harp_beam_options o;
    memset(&o, 0, sizeof o);
    o.max_tokens = 256, o.top_k = 5, o.alpha = 1.2f, o.min_length = 5.0f, o.pad = -1;
    return o;
}

static harp_status hp_check_beam(const harp_session *s, const harp_beam_options *o, harp_error *err)
{
    harp_status status;
    if (!o || (o->n_end > 0 && !o->end))
        return hp_fail(err, HARP_ERR_ARGUMENT, "options or the list of end tokens is NULL");
    if (s->params.beams < 1) return hp_fail(err, HARP_ERR_ARGUMENT, "the session was opened without beams");
    if (s->params.harp)
        return hp_fail(err, HARP_ERR_UNSUPPORTED,
                       "beam search is a method of the plain model, as in the paper's code: it needs harp = 0");
    if (s->params.adjust_fn)
        return hp_fail(err, HARP_ERR_UNSUPPORTED, "beam search looks many tokens ahead and does not ask adjust_fn");
    if (s->params.beams > s->model->vocab)
        return hp_fail(err, HARP_ERR_ARGUMENT, "there are more beams than tokens to begin them with");
    if ((status = hp_check_ready(s, err)) != HARP_OK) return status;
    if (hp_check_integer("max_tokens", o->max_tokens, 1, s->params.beam_length, err)
        || hp_check_integer("top_k", o->top_k, 1, HP_MAX_BEAM_TOP, err)
        || hp_check_float("alpha", o->alpha, -8.0f, 8.0f, err)
        || hp_check_float("min_length", o->min_length, -0.99f, 1e6f, err))
        return HARP_ERR_ARGUMENT;
    if (hp_is_long(s->model, s->n_tokens + hp_min(o->max_tokens, s->params.context - s->n_tokens) - 1)
        != hp_is_long(s->model, s->n_tokens)) /* beams share the keys of the tokens before them */
        return hp_fail(err, HARP_ERR_UNSUPPORTED, "beams cannot cross %d tokens, where this model turns all keys anew",
                       (int64_t)s->model->recipe.rope_original);
    return HARP_OK;
}

static int hp_is_among(const int32_t *tokens, int32_t n, int32_t token)
{
    int32_t i;
    for (i = 0; i < n; i++)
        if (tokens[i] == token) return 1;
    return 0;
}

static int hp_ends_beam(const harp_session *s, const harp_beam_options *o, int32_t token)
{
    const harp_info *f = &s->model->info;
    return token == o->pad || hp_is_among(o->end ? o->end : f->end, o->end ? o->n_end : f->n_end, token);
}

static float hp_beam_score(const harp_beam_options *o, float sum, int32_t length)
{
    double least = (double)o->min_length;
    float penalty = (float)hp_power((least + (double)length) / (least + 1.0), (double)o->alpha);
    return sum / penalty;
}

/* Keeps the best of what is offered, equal ones in the order of their coming; *n of them so far. */
static void hp_offer_beam(harp_session *s, int32_t *n, hp_beam candidate)
{
    hp_beam *best = s->next_beams;
    int32_t i = *n;
    if (i == s->params.beams && !(candidate.score > best[i - 1].score)) return;
    if (i < s->params.beams) (*n)++;
    else i--;
    for (; i > 0 && candidate.score > best[i - 1].score; i--) best[i] = best[i - 1];
    best[i] = candidate;
}

/* Offers the `top` best continuations of a beam by the logits in `slot`. `counted` is the length that the penalty sees:
 * the paper's code leaves the newest token out, the first one excepted. */
static harp_status hp_extend_beam(harp_session *s, const harp_beam_options *o, int32_t parent, int32_t slot,
                                  int32_t top, int32_t *n, harp_error *err)
{
    const hp_beam *from = &s->beams[parent];
    const float *logits = hp_slot(s, slot);
    int32_t vocab = s->model->vocab, i, counted = hp_max(from->length, 1), heaped;
    hp_spread spread;
    if (!hp_logits_are_sound(logits, vocab))
        return hp_fail(err, HARP_ERR_NUMBER, "the logits of beam %d are not finite: the model is damaged",
                       (int64_t)parent);
    spread = s->engine->kernels->measure_spread(logits, vocab);
    top = hp_min(top, vocab), heaped = hp_rank(s->engine->ranking, logits, vocab, top);
    for (i = 0; i < top; i++) {
        hp_beam c;
        c.parent = parent, c.token = hp_pop_heap(s->engine->ranking + vocab - heaped, heaped - i, logits);
        c.length = from->length + 1;
        c.sum = from->sum + hp_logprob(spread, logits[c.token]);
        c.score = hp_beam_score(o, c.sum, counted);
        c.finished = from->length > 0 && hp_ends_beam(s, o, c.token); /* the first token never ends a beam */
        hp_offer_beam(s, n, c);
    }
    return HARP_OK;
}

/* The keys and values of beam stream `from`, as far as they were generated, also become those of `to`. */
static void hp_copy_beam(harp_session *s, int32_t to, int32_t from)
{
    hp_stream *a = &s->streams[s->n_streams + to], *b = &s->streams[s->n_streams + from];
    int32_t first = b->base / HP_BLOCK;
    a->base = b->base, a->length = b->length;
    hp_copy_blocks(s, a, b, first, (size_t)(hp_blocks(b->length) - first));
    hp_copy_states(s->model, a, b);
}

/* Which of the next beams continues `parent` first; -1: none does. */
static int32_t hp_first_child(const harp_session *s, int32_t parent)
{
    int32_t i;
    for (i = 0; i < s->params.beams; i++)
        if (s->next_beams[i].parent == parent) return i;
    return -1;
}

/* A parent's stream goes to its first child; other children get a copy, in the stream of a parent without any. */
static void hp_fork_streams(harp_session *s)
{
    int32_t i, unclaimed = 0;
    for (i = 0; i < s->params.beams; i++) {
        int32_t parent = s->next_beams[i].parent;
        if (hp_first_child(s, parent) == i) {
            s->next_streams[i] = s->beam_streams[parent];
            continue;
        }
        while (hp_first_child(s, unclaimed) >= 0) unclaimed++;
        s->next_streams[i] = s->beam_streams[unclaimed++];
        if (!s->next_beams[i].finished) hp_copy_beam(s, s->next_streams[i], s->beam_streams[parent]);
    }
}

/* The best candidates become the beams. */
static void hp_adopt_beams(harp_session *s)
{
    size_t row = (size_t)s->params.beam_length;
    int32_t i, *swap;
    hp_fork_streams(s);
    for (i = 0; i < s->params.beams; i++) {
        hp_beam *b = &s->next_beams[i];
        int32_t *tokens = s->next_tokens + (size_t)i * row, before = b->token < 0 ? b->length : b->length - 1;
        memcpy(tokens, s->beam_tokens + (size_t)b->parent * row, (size_t)before * sizeof *tokens);
        if (b->token >= 0) tokens[before] = b->token;
        s->beams[i] = *b;
        if (b->token >= 0 || b->parent >= i) continue;
        /* As in the paper's code, where the state of a finished beam that falls in rank is read after that of its old
         * rank was written: it takes over that score, and is lost if the beam there goes on. */
        s->beams[i].score = s->beams[b->parent].finished ? s->beams[b->parent].score : -FLT_MAX;
    }
    swap = s->beam_tokens, s->beam_tokens = s->next_tokens, s->next_tokens = swap;
    swap = s->beam_streams, s->beam_streams = s->next_streams, s->next_streams = swap;
}

/* The first tokens of all beams come from one distribution. Their streams begin where the session's tokens end. */
static harp_status hp_begin_beams(harp_session *s, const harp_beam_options *o, harp_error *err)
{
    int32_t i, n = 0;
    harp_status status;
    hp_forget_drafts(s);
    hp_truncate(s, s->n_tokens);
    hp_follow_turn(s);
    hp_take_seat(s);
    status = hp_reach_newest(s, s->n_tokens - 1, 0, err);
    memset(s->beams, 0, (size_t)s->params.beams * sizeof *s->beams);
    s->beams[0].sum = 1.0f; /* the paper's code begins there, not at 0 */
    if (status == HARP_OK) status = hp_extend_beam(s, o, 0, s->vanilla_slot, s->params.beams, &n, err);
    for (i = 0; i < s->params.beams && status == HARP_OK; i++) {
        hp_begin_stream(s, &s->streams[s->n_streams + i], s->n_tokens);
        s->beam_streams[i] = i;
    }
    if (status == HARP_OK) hp_adopt_beams(s);
    return status;
}

/* One token more for every beam that is not finished: a pass with a row for each. */
static harp_status hp_advance_beams(harp_session *s, const harp_beam_options *o, harp_error *err)
{
    int32_t i, n = 0, slot = 0;
    harp_status status = HARP_OK;
    for (i = 0; i < s->params.beams && status == HARP_OK; i++) {
        const hp_beam *b = &s->beams[i];
        int32_t stream = s->n_streams + s->beam_streams[i], position = s->n_tokens + b->length - 1;
        if (b->finished) continue;
        status = hp_push(s, position, stream, -1, slot++, err);
        if (status) break;
        s->engine->rows[s->engine->n_rows - 1].token = b->token, s->streams[stream].length = position + 1;
    }
    if (status == HARP_OK) status = hp_flush(s, err);
    if (status) return hp_abandon(s, status);
    for (i = 0, slot = 0; i < s->params.beams && status == HARP_OK; i++) {
        hp_beam done = s->beams[i];
        if (!done.finished) {
            status = hp_extend_beam(s, o, i, slot++, o->top_k, &n, err);
            continue;
        }
        done.parent = i, done.token = -1;
        hp_offer_beam(s, &n, done); /* its score is frozen */
    }
    if (status == HARP_OK) hp_adopt_beams(s);
    return status;
}

static int hp_all_finished(const harp_session *s)
{
    int32_t i;
    for (i = 0; i < s->params.beams; i++)
        if (!s->beams[i].finished) return 0;
    return 1;
}

static harp_status hp_beam_search(harp_session *s, const harp_beam_options *options, float *score, harp_error *err)
{
    int32_t i, most, n;
    harp_status status = hp_check_beam(s, options, err);
    if (status) return status;
    most = hp_min(options->max_tokens, s->params.context - s->n_tokens);
    s->has_step = 0;
    status = hp_begin_beams(s, options, err);
    for (i = 1; i < most && status == HARP_OK && !hp_all_finished(s); i++) status = hp_advance_beams(s, options, err);
    hp_forget_drafts(s);
    if (status) return status;
    n = s->beams[0].length;
    memcpy(s->tokens + s->n_tokens, s->beam_tokens, (size_t)n * sizeof *s->tokens);
    s->n_tokens += n;
    s->stats.steps += n;
    if (score) *score = s->beams[0].score;
    return hp_ok(err);
}

HARP_API harp_status harp_beam(harp_session *s, const harp_beam_options *options, float *score, harp_error *err)
{
    harp_status status = hp_enter(s, err);
    return status ? status : hp_leave(s, hp_beam_search(s, options, score, err));
}

/* ================================================================================================================
 * [CH24] Driving
 *
 * The public calls on a session. What they promise is in harp.h; how they keep "a failed call leaves the tokens as they
 * were" is simple: what a call appended it takes back when something fails. What whole passes had computed of it stays
 * in stream 0, beyond the session's tokens, for the next call to find if it appends the same ones (hp_keep_same); what
 * a failed pass left lies beyond every length, where nothing reads.
 * ============================================================================================================== */

/* ---- Feeding and stepping ---- */

static void hp_forget_reframed(harp_session *s)
{
    int32_t r;
    for (r = 1; r < s->n_streams; r++) s->streams[r].length = s->streams[r].base = 0;
}

static harp_status hp_check_room(const harp_session *s, int32_t n, harp_error *err)
{
    if (n <= s->params.context - s->n_tokens) return HARP_OK;
    return hp_fail(err, HARP_ERR_CONTEXT, "%d tokens do not fit: %d of %d positions are taken", (int64_t)n,
                   (int64_t)s->n_tokens, (int64_t)s->params.context);
}

static harp_status hp_check_tokens(const harp_session *s, const int32_t *tokens, int32_t n, harp_error *err)
{
    int32_t i;
    if (n < 0 || (n > 0 && !tokens))
        return hp_fail(err, HARP_ERR_ARGUMENT, "tokens are NULL, or n is negative");
    if (hp_check_room(s, n, err)) return HARP_ERR_CONTEXT;
    for (i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= s->model->vocab)
            return hp_fail(err, HARP_ERR_ARGUMENT, "token %d is %d; the vocabulary has %d", (int64_t)i,
                           (int64_t)tokens[i], (int64_t)s->model->vocab);
    return HARP_OK;
}

/* A call that failed may have computed positions beyond the tokens: what it appended, which still stands there. As far
 * as these tokens are the same, that is good, and the rest is forgotten. Whatever else writes there forgets it all. */
static void hp_keep_same(harp_session *s, const int32_t *tokens, int32_t n)
{
    int32_t i, at = s->n_tokens;
    for (i = 0; i < n && at + i < s->streams[0].length; i++)
        if (s->tokens[at + i] != tokens[i]) hp_truncate(s, at + i);
}

static void hp_append(harp_session *s, const int32_t *tokens, int32_t n)
{
    if (s->n_tokens == 0) s->from = s->params.reframe_from == HARP_FROM_PROMPT ? n : s->params.reframe_from;
    hp_forget_drafts(s);
    hp_keep_same(s, tokens, n);
    memmove(s->tokens + s->n_tokens, tokens, (size_t)n * sizeof(int32_t));
    s->n_tokens += n;
    s->has_step = 0, s->told = -1;
}

static harp_status hp_feed(harp_session *s, const int32_t *tokens, int32_t n, harp_error *err)
{
    harp_status status = hp_check_tokens(s, tokens, n, err);
    int32_t from, told;
    if (status) return status;
    if (n == 0) return hp_ok(err);
    from = s->from, told = s->told;
    hp_append(s, tokens, n);
    hp_follow_turn(s);
    if (s->n_tokens > 1) status = hp_compute_vanilla(s, s->n_tokens - 2, err);
    if (status) {
        s->n_tokens -= n, s->from = from, s->told = told;
        return status;
    }
    return hp_ok(err);
}

HARP_API harp_status harp_feed(harp_session *s, const int32_t *tokens, int32_t n, harp_error *err)
{
    harp_status status = hp_enter(s, err);
    return status ? status : hp_leave(s, hp_feed(s, tokens, n, err));
}

HARP_API harp_status harp_queue(harp_session *s, const int32_t *tokens, int32_t n, harp_error *err)
{
    harp_status status = hp_enter(s, err);
    if (status) return status;
    status = hp_check_tokens(s, tokens, n, err);
    if (status) return hp_leave(s, status);
    if (n > 0) hp_append(s, tokens, n);
    return hp_leave(s, hp_ok(err));
}

static harp_status hp_pause(harp_session *s, int32_t token, int32_t count, harp_error *err)
{
    int32_t i;
    harp_status status = hp_check_tokens(s, &token, hp_min(count, 1), err);
    if (status == HARP_OK) status = hp_check_room(s, count, err);
    if (status) return status;
    hp_forget_drafts(s); /* the guesses stand where these tokens go */
    for (i = 0; i < count; i++) {
        if (s->tokens[s->n_tokens + i] != token) hp_truncate(s, s->n_tokens + i);
        s->tokens[s->n_tokens + i] = token;
    }
    return hp_feed(s, s->tokens + s->n_tokens, count, err);
}

HARP_API harp_status harp_pause(harp_session *s, int32_t token, int32_t count, harp_error *err)
{
    harp_status status = hp_enter(s, err);
    return status ? status : hp_leave(s, hp_pause(s, token, count, err));
}

/* Asks adjust_fn what it adds to the logits of the next token, whichever way they are chosen from. */
static harp_status hp_ask_adjustment(harp_session *s, const float *logits, harp_error *err)
{
    int32_t vocab = s->model->vocab;
    if (!s->params.adjust_fn) return HARP_OK;
    memset(s->engine->added, 0, (size_t)vocab * sizeof *s->engine->added);
    if (!s->params.adjust_fn(s->params.adjust_user, s->tokens, s->n_tokens, logits, s->engine->added, vocab))
        return HARP_OK;
    return hp_fail(err, HARP_ERR_CANCELLED, "cancelled by adjust_fn");
}

/* The biases are the caller's memory, and may have changed since they were last looked at. */
static harp_status hp_choose_tokens(harp_session *s, const float *logits, harp_step *now, harp_error *err)
{
    if (hp_check_biases(s->model, &s->params, err)) return HARP_ERR_ARGUMENT;
    if (hp_ask_adjustment(s, logits, err)) return HARP_ERR_CANCELLED;
    now->vanilla_token = now->reframed ? hp_choose_next(s, hp_slot(s, s->vanilla_slot)) : 0;
    now->token = hp_choose_next(s, logits); /* last: a session that drafts for another is asked what it drew from */
    if (now->token < 0 || now->vanilla_token < 0)
        return hp_fail(err, HARP_ERR_CHOICE, "there is no token to choose at position %d: the biases or adjust_fn "
                                             "forbid all, or make a logit infinite",
                       (int64_t)s->n_tokens);
    if (!now->reframed) now->vanilla_token = now->token;
    return HARP_OK;
}

/* The token that the step chooses, and what from; or HP_PAUSED. */
static harp_status hp_go_on(harp_session *s, const float **logits, harp_step *now, harp_error *err)
{
    hp_progress *p = &s->progress;
    harp_status status = HARP_OK;
    if (!hp_thread_is_sound()) {
        status = hp_refuse_thread(err);
    } else if (!p->resuming) {
        hp_drop_slices(s);
        hp_truncate(s, s->n_tokens);
        hp_follow_turn(s);
        hp_take_seat(s);
        s->has_step = s->step_passes = s->step_rows = 0;
        status = hp_draft(s, err);
    } else {
        status = p->drafting ? hp_draft(s, err) : hp_flush(s, err);
    }
    if (status == HARP_OK) status = hp_combined_logits(s, logits, now, err);
    if (status == HARP_OK) status = hp_choose_tokens(s, *logits, now, err);
    p->resuming = status == HP_PAUSED;
    if (status && !p->resuming) hp_forget_drafts(s);
    return status;
}

/* Appends the token chosen. */
static void hp_finish_step(harp_session *s, const float *logits, harp_step *now)
{
    now->position = s->n_tokens;
    now->end = hp_is_among(s->model->info.end, s->model->info.n_end, now->token);
    now->logprob = hp_logprob(s->engine->kernels->measure_spread(logits, s->model->vocab), logits[now->token]);
    now->passes = s->step_passes, now->rows = s->step_rows;
    s->stats.steps++, s->stats.hesitations += now->hesitated, s->stats.changed += now->token != now->vanilla_token;
    hp_settle_draft(s, now->token);
    hp_drop_slices(s);
    s->tokens[s->n_tokens++] = now->token;
    s->has_step = 1, s->has_reframed = s->is_combined = now->reframed > 0;
}

/* A step, or as much of it as the pass's budget allows: then HP_PAUSED. */
static harp_status hp_make_step(harp_session *s, harp_step *step, harp_error *err)
{
    harp_step now;
    const float *logits = NULL;
    harp_status status;
    if ((status = hp_check_ready(s, err)) != HARP_OK) return status;
    memset(&now, 0, sizeof now);
    status = hp_go_on(s, &logits, &now, err);
    if (status) return status;
    hp_finish_step(s, logits, &now);
    if (step) *step = now;
    return hp_ok(err);
}

HARP_API harp_status harp_step_some(harp_session *s, int64_t budget, int *done, harp_step *step, harp_error *err)
{
    harp_status status;
    if (!done) return hp_fail(err, HARP_ERR_ARGUMENT, "done must not be NULL");
    *done = 0;
    status = hp_enter(s, err);
    if (status) return status;
    s->engine->pass.budget = budget > 0 ? budget : 1;
    status = hp_make_step(s, step, err);
    s->engine->pass.budget = INT64_MAX; /* all other calls are whole */
    *done = status == HARP_OK;
    return hp_leave(s, status == HP_PAUSED ? hp_ok(err) : status);
}

HARP_API harp_status harp_next(harp_session *s, harp_step *step, harp_error *err)
{
    harp_status status = hp_enter(s, err);
    return status ? status : hp_leave(s, hp_make_step(s, step, err));
}

/* ---- Several sessions in one pass ----
 *
 * Each member runs the program of its step until that waits for a pass (hp_flush); when all have pushed their rows, the
 * pass is computed, and the programs run anew and find what they waited for, as after a slice. */

static int hp_is_open(const harp_member *m)
{
    return !m->done && m->error.status == HARP_OK;
}

static int32_t hp_pending(const harp_session *s)
{
    return hp_max(s->n_tokens - hp_max(s->streams[0].length, s->streams[0].reached), 0);
}

/* Runs the open members' programs: first those of which little is to be computed, and, when these have pushed their
 * rows, those that have much to catch up with, a prompt or its reframed text. Returns whether somebody waits. */
static int hp_gather(harp_engine *e, int is_late)
{
    harp_member *m, *end = e->members + e->n_members;
    int waits = 0;
    for (m = e->members; m < end; m++) {
        if (!is_late) m->pending = hp_max(hp_pending(m->session), m->session->share);
        if (!hp_is_open(m) || (m->pending > HP_BLOCK) != is_late) continue;
        m->done = hp_make_step(m->session, &m->step, &m->error) == HARP_OK;
        m->session->share = m->session->in_pass;
        waits |= hp_is_open(m);
    }
    return waits;
}

/* A member's step has failed in a pass, not in its own program. */
static void hp_abandon_member(harp_member *m)
{
    if (m->done || m->error.status == HARP_OK) return;
    hp_forget_drafts(m->session);
    hp_truncate(m->session, INT32_MAX);
}

/* Makes passes until all members of which little is to be computed have their tokens. If those that have much to catch
 * up with (hp_gather) found no room in these passes, one more pass is theirs. */
static void hp_advance_members(harp_engine *e)
{
    harp_member *m;
    harp_status status = HARP_OK;
    harp_error err;
    int32_t first_rows;
    int had_room = 0, is_first = 1;
    memset(&err, 0, sizeof err);
    for (; status == HARP_OK; is_first = 0) {
        if (!e->pass.under_way) {
            int waits = hp_gather(e, 0);
            if (!waits && had_room && !is_first) return;
            first_rows = e->n_rows;
            had_room |= !hp_gather(e, 1) || e->n_rows > first_rows;
            if (e->n_rows == 0) return;
        }
        status = hp_compute_pass(e, NULL, &err);
        for (m = e->members; m < e->members + e->n_members; m++) {
            if (status && status != HP_PAUSED && hp_is_open(m)) m->error = err; /* the thread's mode */
            hp_abandon_member(m);
        }
    }
}

/* Marks the members as in use; if one of them cannot be a member, none. */
static harp_status hp_enter_members(harp_member *members, int32_t n, harp_error *err)
{
    harp_status status = hp_enter(members[0].session, err);
    int32_t i, k;
    if (status) return status;
    for (i = 1; i < n; i++) {
        harp_session *s = members[i].session;
        if (!s || s->engine != members[0].session->engine || s->busy) break;
        s->busy = HP_AT_WORK;
    }
    if (i == n) return HARP_OK;
    for (k = 0; k < i; k++) hp_leave(members[k].session, HARP_OK);
    return hp_fail(err, HARP_ERR_ARGUMENT,
                   "member %d is NULL, named twice, in use, or of another engine than the first", (int64_t)i);
}

/* Each of them has a seat, and none takes another's. */
static void hp_take_seats(harp_engine *e)
{
    int32_t i;
    for (i = 0; i < e->n_members; i++)
        if (e->members[i].session->first_slot >= 0) hp_take_seat(e->members[i].session);
    for (i = 0; i < e->n_members; i++) hp_take_seat(e->members[i].session);
}

HARP_API harp_status harp_together(harp_member *members, int32_t n, int64_t budget, harp_error *err)
{
    harp_engine *e;
    harp_status status;
    int32_t i;
    if (!HP_SHARING) return hp_refuse_sharing(err);
    if (!members || n < 1) return hp_fail(err, HARP_ERR_ARGUMENT, "there must be a member");
    if ((status = hp_enter_members(members, n, err)) != HARP_OK) return status;
    e = members[0].session->engine;
    if (n > e->n_seats)
        status = hp_fail(err, HARP_ERR_ARGUMENT, "there are %d members; the engine was opened with %d seats",
                         (int64_t)n, (int64_t)e->n_seats);
    else if (!hp_thread_is_sound())
        status = hp_refuse_thread(err);
    if (status == HARP_OK) {
        e->members = members, e->n_members = n, e->pass.budget = budget > 0 ? budget : INT64_MAX;
        for (i = 0; i < n; i++) members[i].done = 0, members[i].session->member = i, hp_ok(&members[i].error);
        hp_take_seats(e);
        hp_advance_members(e);
        for (i = 0; i < n; i++) members[i].pending = members[i].done ? 0 : hp_pending(members[i].session);
        e->members = NULL, e->pass.budget = INT64_MAX;
    }
    for (i = 0; i < n; i++) hp_leave(members[i].session, HARP_OK);
    return status ? status : hp_ok(err);
}

/* ---- Rewinding, and what a session shows ---- */

static harp_status hp_rewind(harp_session *s, int32_t position, harp_error *err)
{
    if (position < 0 || position > s->n_tokens)
        return hp_fail(err, HARP_ERR_ARGUMENT, "there is no position %d to rewind to", (int64_t)position);
    if (position < hp_least_length(s))
        return hp_fail(err, HARP_ERR_ARGUMENT, "%d tokens must stay, for a fork and its parent share them",
                       (int64_t)hp_least_length(s));
    hp_forget_drafts(s);
    hp_truncate(s, position);
    if (position < s->n_tokens) s->told = -1;
    s->n_tokens = position, s->has_step = 0;
    if (position == 0) s->from = hp_max(s->params.reframe_from, 0);
    return hp_ok(err);
}

HARP_API harp_status harp_rewind(harp_session *s, int32_t position, harp_error *err)
{
    harp_status status = hp_enter(s, err);
    return status ? status : hp_leave(s, hp_rewind(s, position, err));
}

HARP_API const int32_t *harp_tokens(const harp_session *s, int32_t *n)
{
    if (n) *n = s ? s->n_tokens : 0;
    return s ? s->tokens : NULL;
}

HARP_API const float *harp_logits(const harp_session *s, harp_which which)
{
    if (!s || !s->has_step) return NULL;
    switch (which) {
    case HARP_COMBINED: return s->is_combined ? hp_combined(s) : hp_slot(s, s->vanilla_slot);
    case HARP_VANILLA: return hp_slot(s, s->vanilla_slot);
    case HARP_REFRAMED: return s->has_reframed ? hp_slot(s, s->reframed_slot) : NULL;
    }
    return NULL;
}

HARP_API const float *harp_hidden(const harp_session *s)
{
    if (!s || !s->engine->hidden || (!s->has_step && !s->is_scoring)) return NULL;
    return s->engine->hidden + (size_t)(s->first_slot + s->vanilla_slot) * s->engine->hidden_stride;
}

HARP_API int32_t harp_top(const harp_session *s, harp_which which, harp_choice *top, int32_t n)
{
    const float *logits = harp_logits(s, which);
    int32_t i, k, have = 0;
    hp_spread spread;
    if (!logits || !top || n < 1) return 0;
    spread = s->engine->kernels->measure_spread(logits, s->model->vocab);
    for (i = 0; i < s->model->vocab; i++) { /* insertion into a short list that is almost never reached */
        if (have == n && !(logits[i] > logits[top[n - 1].token])) continue;
        if (have < n) have++;
        for (k = have - 1; k > 0 && logits[i] > logits[top[k - 1].token]; k--) top[k] = top[k - 1];
        top[k].token = i;
    }
    for (k = 0; k < have; k++) {
        float distance = logits[top[k].token] - spread.top;
        top[k].probability = hp_exp(distance) / spread.total;
    }
    return have;
}

/* ---- Scoring a given text ---- */

/* Hands over the logits of n positions, which are in slots 0..n-1. */
static harp_status hp_deliver_scores(harp_session *s, int32_t first, int32_t n, harp_score_fn *on_logits, void *user,
                                     harp_error *err)
{
    int32_t i;
    int cancelled;
    for (i = 0; i < n; i++) {
        if (!hp_logits_are_sound(hp_slot(s, i), s->model->vocab))
            return hp_fail(err, HARP_ERR_NUMBER, "the logits of position %d are not finite", (int64_t)(first + i));
        s->vanilla_slot = i, s->is_scoring = 1;
        cancelled = on_logits(user, first + i, hp_slot(s, i));
        s->is_scoring = 0;
        if (cancelled) return hp_fail(err, HARP_ERR_CANCELLED, "cancelled by the caller");
    }
    return HARP_OK;
}

/* Hands over the logits of the session's positions from `first` on to the one of the two that is not NULL. */
static harp_status hp_score_from(harp_session *s, int32_t first, harp_score_fn *on_logits, harp_score_harp_fn *on_step,
                                 void *user, harp_error *err)
{
    harp_status status = HARP_OK;
    int32_t i, m, most = on_step ? s->positions : hp_min(s->slots, s->engine->batch); /* positions at a time */
    hp_follow_turn(s);
    hp_take_seat(s);
    if (first > 0) status = hp_compute_vanilla(s, first - 1, err);
    for (i = first; i < s->n_tokens && status == HARP_OK; i += m) {
        m = hp_min(most, s->n_tokens - i);
        status = hp_push_stream(s, 0, -1, i + m - 1, m, 0, err);
        if (status == HARP_OK) status = hp_flush(s, err);
        if (status) break;
        s->streams[0].length = i + m;
        if (on_step) status = hp_judge_batch(s, i, m, on_step, user, err);
        else status = hp_deliver_scores(s, i, m, on_logits, user, err);
    }
    return status ? hp_abandon(s, status) : HARP_OK;
}

/* Appends tokens and has their logits handed over. What harp_next would have met at a position, it would have met with
 * the tokens up to there: so, with HARP, a text that crosses rope_original is scored in two parts. */
static harp_status hp_score(harp_session *s, const int32_t *tokens, int32_t n, harp_score_fn *on_logits,
                            harp_score_harp_fn *on_step, void *user, harp_error *err)
{
    harp_status status = hp_check_tokens(s, tokens, n, err);
    int32_t begin, from, told, i, all, original = s->model->recipe.rope_original;
    if (status) return status;
    if (!on_logits && !on_step) return hp_fail(err, HARP_ERR_ARGUMENT, "the callback must not be NULL");
    if (n == 0) return hp_ok(err);
    begin = s->n_tokens, all = begin + n, from = s->from, told = s->told;
    hp_forget_drafts(s);
    hp_truncate(s, begin);
    hp_append(s, tokens, n);
    for (i = begin; i < all && status == HARP_OK; i = s->n_tokens) {
        s->n_tokens = on_step && i < original ? hp_min(all, original) : all;
        status = hp_score_from(s, i, on_logits, on_step, user, err);
    }
    if (status == HARP_OK) return hp_ok(err);
    hp_truncate(s, begin);
    s->n_tokens = begin, s->from = from, s->told = told;
    return status;
}

HARP_API harp_status harp_score(harp_session *s, const int32_t *tokens, int32_t n, harp_score_fn *on_logits, void *user,
                                harp_error *err)
{
    harp_status status = hp_enter(s, err);
    return status ? status : hp_leave(s, hp_score(s, tokens, n, on_logits, NULL, user, err));
}

HARP_API harp_status harp_score_harp(harp_session *s, const int32_t *tokens, int32_t n, harp_score_harp_fn *on_step,
                                     void *user, harp_error *err)
{
    harp_status status = hp_enter(s, err);
    return status ? status : hp_leave(s, hp_score(s, tokens, n, NULL, on_step, user, err));
}

HARP_API harp_stats harp_statistics(const harp_session *s)
{
    harp_stats none;
    if (s) return s->stats;
    memset(&none, 0, sizeof none);
    return none;
}

HARP_API harp_facts harp_session_info(const harp_session *s)
{
    harp_facts f;
    int32_t r, part;
    memset(&f, 0, sizeof f);
    if (!s) return f;
    f.isa = s->engine->kernels->name, f.threads = s->params.threads;
    f.context = s->params.context, f.batch = s->params.batch;
    f.beam_length = s->params.beam_length, f.reframe_from = s->from, f.pending = hp_pending(s), f.memory = s->memory;
    for (r = 0; r < s->all_streams; r++)
        for (part = 0; part < HP_PARTS; part++)
            f.cache_memory += (size_t)s->streams[r].blocks * hp_all_units(s->model) * hp_part_bytes(s, part);
    return f;
}

/* ---- Changing parameters ---- */

static int hp_same_memory(const harp_params *a, const harp_params *b)
{
    return a->context == b->context && a->batch == b->batch && a->logit_rows == b->logit_rows
           && a->activations == b->activations && a->cache == b->cache && !a->hidden == !b->hidden
           && a->frame == b->frame && a->reframings == b->reframings && a->threads == b->threads
           && a->memory == b->memory && a->memory_bytes == b->memory_bytes && a->allocator.alloc == b->allocator.alloc
           && a->allocator.free == b->allocator.free && a->allocator.user == b->allocator.user && a->beams == b->beams
           && a->beam_length == b->beam_length && a->drafts == b->drafts && a->draft == b->draft
           && a->draft_rule == b->draft_rule && a->engine == b->engine && a->parent == b->parent
           && a->parent_at == b->parent_at && !a->parallel == !b->parallel && !a->adjust_fn == !b->adjust_fn;
}

/* Whether what these parameters need has room in the memory that the session was opened with. */
static int hp_fits_memory(const harp_session *s, const harp_params *p)
{
    if (hp_held_capacity(s->model, p) > s->held_capacity) return 0;
    if (!p->harp) return 1;
    return s->n_streams > 1 && (s->streams[1].shared > 0 || s->streams[1].blocks >= hp_reframed_blocks(p));
}

/* Whether the session's reframed text is also that of a fork or of its parent. */
static int hp_shares_reframed(const harp_session *s)
{
    const harp_session *fork;
    for (fork = hp_first_fork(s); fork; fork = fork->sibling)
        if (fork->n_streams > 1 && fork->streams[1].shared > 0) return 1;
    return hp_parent_of(s) && s->n_streams > 1 && s->streams[1].shared > 0;
}

static harp_status hp_tune(harp_session *s, const harp_params *params, harp_error *err)
{
    harp_params next;
    const harp_params *old;
    const hp_kernels *kernels;
    harp_status status;
    status = hp_resolve_params(s->model, params, &next, err);
    if (status) return status;
    old = &s->params;
    if (!hp_same_memory(old, &next) || !hp_fits_memory(s, &next))
        return hp_fail(err, HARP_ERR_ARGUMENT, "a parameter that determines memory or threads cannot change");
    if (hp_masks_differ(old, &next) && hp_shares_reframed(s))
        return hp_fail(err, HARP_ERR_ARGUMENT,
                       "the masks cannot change: a fork and its parent share the reframed text");
    if ((status = hp_choose_kernels(next.isa, &kernels, err)) != HARP_OK) return status;
    hp_forget_drafts(s); /* first, for it keeps what a step in slices has computed so far, by the old masks */
    if (hp_masks_differ(old, &next)) hp_forget_reframed(s);
    if (next.reframe_from != old->reframe_from) s->from = next.reframe_from < 0 ? s->n_tokens : next.reframe_from;
    s->params = next;
    if (next.engine) return hp_ok(err);
    s->engine->kernels = kernels, s->engine->inputs_fn = next.inputs_fn, s->engine->inputs_user = next.inputs_user;
    s->engine->parallel = next.parallel, s->engine->parallel_user = next.parallel_user;
    return hp_ok(err);
}

HARP_API harp_status harp_tune(harp_session *s, const harp_params *params, harp_error *err)
{
    harp_status status = hp_enter(s, err);
    return status ? status : hp_leave(s, hp_tune(s, params, err));
}

/* ---- Generating text ---- */

/* The text of the tokens to come continues what is there, a begin token alone excepted. */
static void hp_begin_text(harp_session *s)
{
    harp_decoder_start(&s->decoder, s->model, s->n_tokens > 1 ? HARP_DECODE_CONTINUE : 0);
    s->held_bytes = 0, s->told = s->n_tokens;
}

/* How much of the held text may be shown: all but the longest end of it that begins a stop text. If a stop text is
 * there whole, *found is set and what stands before it may be shown. */
static size_t hp_showable(const harp_session *s, int *found)
{
    size_t at, n = s->held_bytes;
    int32_t i;
    *found = 0;
    for (at = 0; at < n; at++)
        for (i = 0; i < s->params.n_stop; i++) {
            const char *stop = s->params.stop[i];
            size_t length = strlen(stop), have = n - at < length ? n - at : length;
            if (memcmp(s->held + at, stop, have) != 0) continue;
            *found = have == length;
            return at;
        }
    return n;
}

/* Shows what can be shown of the held text and keeps the rest. `end` is why this is the last token, if it is: then all
 * of it is shown. Returns why generation ends now, if it does. */
static harp_end hp_show(harp_session *s, harp_end end, const harp_step *step, harp_text_fn *on_text, void *user)
{
    int found, stopped;
    size_t n = hp_showable(s, &found);
    if (end && !found) n = s->held_bytes;
    s->busy = HP_RESTING;
    stopped = on_text && on_text(user, s->held, n, step);
    s->busy = HP_AT_WORK;
    s->held_bytes -= n;
    memmove(s->held, s->held + n, s->held_bytes);
    if (found) s->told = -1; /* what comes after a stop text is another text */
    if (end == HARP_END_TOKEN) return end;
    return found ? HARP_END_STOP : stopped ? HARP_END_CALLBACK : end;
}

static harp_status hp_feed_text(harp_session *s, const char *prompt, harp_error *err)
{
    unsigned flags = s->n_tokens == 0 ? HARP_ENCODE_BOS : HARP_ENCODE_CONTINUE;
    int32_t *tokens = s->tokens + s->n_tokens, before;
    size_t n = 0, room = (size_t)(s->params.context - s->n_tokens), i = 0;
    harp_status status;
    hp_forget_drafts(s); /* the guesses stand where the prompt's tokens go */
    memcpy(s->engine->attention, tokens, room * sizeof *tokens); /* what a failed call appended: see hp_keep_same */
    status = harp_encode(s->model, prompt, strlen(prompt), flags, tokens, room, &n, err);
    for (; i < room; i++) {
        memcpy(&before, s->engine->attention + i, sizeof before);
        if (tokens[i] != before) break;
    }
    hp_truncate(s, s->n_tokens + (int32_t)i);
    if (status && n > room)
        return hp_fail(err, HARP_ERR_CONTEXT, "the prompt has %d tokens; the context has room for %d", (int64_t)n,
                       (int64_t)room);
    if (status) return status;
    return hp_feed(s, s->tokens + s->n_tokens, (int32_t)n, err);
}

/* Adds a token's text to what is held; token -1 ends the text. */
static harp_status hp_hold(harp_session *s, int32_t token, harp_error *err)
{
    size_t bytes = 0;
    harp_status status = harp_decode(&s->decoder, token, s->held + s->held_bytes, s->held_capacity - s->held_bytes,
                                     &bytes, err);
    s->held_bytes += bytes, s->told = s->n_tokens;
    return status;
}

/* A token, and its text. *end is why it was the last one; HARP_END_NONE if it was not. */
static harp_status hp_generate_token(harp_session *s, int is_last, harp_text_fn *on_text, void *user, harp_end *end,
                                     harp_error *err)
{
    harp_step step;
    harp_status status = hp_make_step(s, &step, err);
    if (status == HARP_OK) status = hp_hold(s, step.token, err);
    if (status) return status;
    *end = step.end && !s->params.ignore_end ? HARP_END_TOKEN
           : s->n_tokens == s->params.context ? HARP_END_CONTEXT
           : is_last ? HARP_END_LENGTH : HARP_END_NONE;
    if (*end == HARP_END_TOKEN || *end == HARP_END_CONTEXT) status = hp_hold(s, -1, err); /* no byte can follow */
    if (status == HARP_OK) *end = hp_show(s, *end, &step, on_text, user);
    return status;
}

static harp_status hp_generate(harp_session *s, const char *prompt, int32_t max_tokens, harp_text_fn *on_text,
                               void *user, harp_error *err)
{
    harp_status status;
    int32_t i;
    if (max_tokens < 0) return hp_fail(err, HARP_ERR_ARGUMENT, "max_tokens is negative");
    if (s->model->info.tokenizer == 0)
        return hp_fail(err, HARP_ERR_UNSUPPORTED, "this model has no tokenizer: use harp_feed and harp_next");
    status = hp_feed_text(s, prompt ? prompt : "", err);
    if (s->told != s->n_tokens) hp_begin_text(s);
    s->end = s->n_tokens == s->params.context ? HARP_END_CONTEXT : max_tokens == 0 ? HARP_END_LENGTH : HARP_END_NONE;
    for (i = 0; s->end == HARP_END_NONE && status == HARP_OK; i++)
        status = hp_generate_token(s, i + 1 == max_tokens, on_text, user, &s->end, err);
    if (status) s->end = status == HARP_ERR_CANCELLED ? HARP_END_CANCELLED : HARP_END_ERROR;
    return status ? status : hp_ok(err);
}

HARP_API harp_status harp_generate(harp_session *s, const char *prompt, int32_t max_tokens, harp_text_fn *on_text,
                                   void *user, harp_error *err)
{
    harp_status status = hp_enter(s, err);
    return status ? status : hp_leave(s, hp_generate(s, prompt, max_tokens, on_text, user, err));
}

HARP_API harp_end harp_generate_end(const harp_session *s)
{
    return s ? s->end : HARP_END_NONE;
}

/* ================================================================================================================
 * [CH25] Keeping
 *
 * An image is a run of pieces: the state's head, the streams' bounds, the tokens, the blocks in use, and a CRC-32 of it
 * all. One function walks the pieces; it runs to count, to write, and to read.
 * ============================================================================================================== */

typedef struct hp_saved_head {
    uint32_t magic, order; /* "HPS2" and 1, in the byte order of the machine that saved */
    uint32_t model_crc, context, cache, frame, reframings, harp, reframe_from, activations;
    int32_t n_tokens, from;
    uint64_t seed;         /* with these the reframed text was masked: under others it is computed anew */
    float delta;
    int32_t rescale, by_caller;
    uint8_t n_unfinished, unfinished[3]; /* bytes of a character, of which harp_generate has shown nothing yet */
    harp_stats stats;
} hp_saved_head;

typedef struct hp_walk {
    uint8_t *image; /* NULL: count only */
    size_t used;
    int reading;
} hp_walk;

static void hp_visit(hp_walk *w, void *piece, size_t bytes)
{
    if (w->image && w->reading) memcpy(piece, w->image + w->used, bytes);
    else if (w->image) memcpy(w->image + w->used, piece, bytes);
    w->used += bytes; /* the sum is at most the session's own size and a little: no overflow */
}

/* Where a stream begins that is saved: a fork's where its parent's does, for what they share is saved with it. */
static int32_t hp_saved_base(const harp_session *s, int32_t r)
{
    const hp_stream *t = &s->streams[r];
    for (; hp_parent_of(s) && t->below == &s->parent->streams[r]; s = s->parent) t = t->below;
    return t->base;
}

/* How far it is saved: not what a failed call has left behind the tokens, and nothing if it was turned for another
 * number of them. A stream that has begun and holds nothing is as good as none. */
static int32_t hp_saved_length(const harp_session *s, int32_t r)
{
    int32_t length = s->is_long == hp_is_long(s->model, s->n_tokens) ? hp_min(s->streams[r].length, s->n_tokens) : 0;
    return length > hp_saved_base(s, r) ? length : 0;
}

/* Zeroes in a block of an image what lies behind the last position of its stream: keys and values of tokens that were
 * rewound, or guessed, or taken back. Position p of keys and scales is element p of each row, of values and gates a
 * row. */
static void hp_clear_behind(const harp_session *s, int32_t layer, uint8_t *block, int part, size_t used)
{
    size_t dim = (size_t)hp_stored(s->model, layer), element = hp_cache_element_bytes(s->params.cache), rows = 1, i;
    if (part == HP_KEYS) rows = dim;
    else if (part == HP_VALUES) element *= dim;
    else if (HP_SPECIAL && part == HP_GATES) element = hp_units(s->model, layer) * hp_part_bytes(s, part) / HP_BLOCK;
    else element = HP_SCALES_BYTES / HP_BLOCK;
    for (i = 0; i < rows; i++) memset(block + (i * HP_BLOCK + used) * element, 0, (HP_BLOCK - used) * element);
}

static void hp_visit_stream(harp_session *s, int32_t r, hp_walk *w)
{
    int32_t first = hp_saved_base(s, r) / HP_BLOCK, length = hp_saved_length(s, r), layer, head, part, block;
    size_t used = (size_t)(length % HP_BLOCK);
    for (layer = 0; layer < s->model->info.layers; layer++)
        for (head = 0; head < s->model->info.kv_heads; head++)
            for (part = 0; part < HP_PARTS && length > 0; part++) {
                size_t bytes = hp_units(s->model, layer) * hp_part_bytes(s, part);
                for (block = first; block < hp_blocks(length); block++) {
                    const hp_stream *t = hp_owner(&s->streams[r], block);
                    hp_visit(w, hp_part(s, t, part, hp_place(s, t, layer, head, block)), bytes);
                }
                if (w->image && !w->reading && used > 0 && bytes > 0)
                    hp_clear_behind(s, layer, w->image + w->used - bytes, part, used);
            }
}

static void hp_visit_bounds(harp_session *s, hp_walk *w)
{
    int32_t r;
    for (r = 0; r < s->n_streams; r++) {
        int32_t length = hp_saved_length(s, r), base = length > 0 ? hp_saved_base(s, r) : 0;
        hp_visit(w, &base, sizeof base);
        hp_visit(w, &length, sizeof length);
        if (w->reading) s->streams[r].base = base, s->streams[r].length = length;
    }
}

static void hp_visit_contents(harp_session *s, hp_walk *w)
{
    int32_t r;
    hp_visit(w, s->tokens, (size_t)s->n_tokens * sizeof(int32_t));
    for (r = 0; r < s->n_streams; r++) hp_visit_stream(s, r, w);
}

static hp_saved_head hp_describe(const harp_session *s)
{
    hp_saved_head h;
    memset(&h, 0, sizeof h);
    h.magic = 0x32535048u, h.order = 1, h.model_crc = hp_u32(s->model->file.image + 12);
    h.context = (uint32_t)s->params.context, h.cache = (uint32_t)s->params.cache;
    h.frame = (uint32_t)s->params.frame, h.reframings = (uint32_t)s->params.reframings, h.harp = s->n_streams > 1;
    h.reframe_from = (uint32_t)s->params.reframe_from, h.activations = (uint32_t)s->params.activations;
    h.seed = s->params.seed, h.delta = s->params.delta, h.rescale = s->params.rescale;
    h.by_caller = s->params.mask_fn != NULL;
    h.n_tokens = s->n_tokens, h.from = s->from, h.stats = s->stats;
    if (s->told == s->n_tokens) h.n_unfinished = (uint8_t)s->decoder.held;
    memcpy(h.unfinished, s->decoder.hold, h.n_unfinished);
    return h;
}

HARP_API harp_status harp_save(const harp_session *session, void *out, size_t capacity, size_t *bytes, harp_error *err)
{
    harp_session *s = (harp_session *)(uintptr_t)session; /* the walk can also read images; here it changes nothing */
    hp_saved_head head;
    hp_walk w = {0};
    uint32_t crc;
    int pass;
    if (!session || !bytes) return hp_fail(err, HARP_ERR_ARGUMENT, "session and bytes must not be NULL");
    if (session->busy == HP_AT_WORK)
        return hp_fail(err, HARP_ERR_ARGUMENT, "the session is at work: save it in on_text, or after the call");
    head = hp_describe(session);
    for (pass = 0;; pass++) {
        hp_visit(&w, &head, sizeof head);
        hp_visit_bounds(s, &w);
        hp_visit_contents(s, &w);
        *bytes = w.used + sizeof crc;
        if (pass == 1 || !out) break;
        if (capacity < *bytes)
            return hp_fail(err, HARP_ERR_MEMORY, "the state has %d bytes; there is room for %d", (int64_t)*bytes,
                           (int64_t)capacity);
        w.image = (uint8_t *)out, w.used = 0;
    }
    if (out) {
        crc = hp_crc32(0, (const uint8_t *)out, w.used);
        hp_visit(&w, &crc, sizeof crc);
    }
    return hp_ok(err);
}

/* The bounds that an image claims, for a session that has so many tokens. */
static int hp_bounds_are_sound(const harp_session *s, const hp_stream *bounds, int32_t n_tokens, int32_t from)
{
    int32_t r;
    for (r = 0; r < s->n_streams; r++) {
        const hp_stream *b = &bounds[r];
        if (b->base < 0 || b->length < 0 || b->length > n_tokens) return 0;
        if (r == 0 ? b->base != 0 : b->length == 0 ? b->base != 0 : b->base >= b->length) return 0;
        if (r > 0 && b->length > 0 && s->params.frame == HARP_FRAME_STREAM && b->base != from) return 0;
        if (b->length > 0 && hp_blocks(b->length) - b->base / HP_BLOCK > s->streams[r].blocks) return 0;
        if (r > 0 && b->base > bounds[0].length) return 0;
        if (r > 0 && s->params.frame == HARP_FRAME_STREAM && b->length > b[-1].length) return 0;
    }
    return 1;
}

/* reframe_from, unless that is the length of a prompt; see hp_append. */
static int hp_from_is_sound(const harp_session *s, int32_t from)
{
    if (s->params.reframe_from >= 0) return from == s->params.reframe_from;
    return from >= 0 && from <= s->params.context;
}

/* Counts that can go on counting. */
static int hp_stats_are_sound(const harp_stats *t)
{
    const int64_t counts[] = {t->steps,         t->hesitations, t->changed, t->passes, t->rows,
                              t->reframed_rows, t->drafted,     t->accepted};
    size_t i;
    for (i = 0; i < sizeof counts / sizeof counts[0]; i++)
        if (counts[i] < 0 || counts[i] > INT64_MAX / 2) return 0;
    return 1;
}

static int hp_tokens_are_sound(const harp_session *s, const uint8_t *tokens, int32_t n)
{
    int32_t i, token;
    for (i = 0; i < n; i++) {
        memcpy(&token, tokens + 4 * (size_t)i, sizeof token);
        if (token < 0 || token >= s->model->vocab) return 0;
    }
    return 1;
}

/* At most three bytes that begin a character. */
static int hp_unfinished_is_sound(const hp_saved_head *h)
{
    return h->n_unfinished == 0 || (h->n_unfinished <= 3 && hp_utf8_state(h->unfinished, h->n_unfinished) == 0);
}

/* Reads head and bounds of an image into the trial session, whose streams are a copy; checks everything. */
static harp_status hp_check_image(harp_session *trial, const uint8_t *image, size_t bytes, harp_error *err)
{
    hp_saved_head head, own = hp_describe(trial);
    hp_walk w = {0};
    uint32_t crc;
    if (bytes < sizeof head + (size_t)trial->n_streams * 8 + sizeof crc)
        return hp_fail(err, HARP_ERR_FORMAT, "this is not a saved session: it has %d bytes", (int64_t)bytes);
    memcpy(&crc, image + bytes - sizeof crc, sizeof crc);
    if (crc != hp_crc32(0, image, bytes - sizeof crc))
        return hp_fail(err, HARP_ERR_FORMAT, "the saved session is damaged, or from a machine of another byte order");
    w.image = (uint8_t *)(uintptr_t)image, w.reading = 1;
    hp_visit(&w, &head, sizeof head);
    if (memcmp(&head, &own, offsetof(hp_saved_head, n_tokens)) != 0)
        return hp_fail(err, HARP_ERR_FORMAT,
                       "the saved session is of another model, context, cache, activations, frame or reframings");
    hp_visit_bounds(trial, &w);
    if (head.n_tokens < 0 || head.n_tokens > trial->params.context || !hp_from_is_sound(trial, head.from)
        || !hp_stats_are_sound(&head.stats) || !hp_unfinished_is_sound(&head)
        || !hp_bounds_are_sound(trial, trial->streams, head.n_tokens, head.from))
        return hp_fail(err, HARP_ERR_FORMAT, "the saved session's bounds contradict each other");
    trial->n_tokens = head.n_tokens, trial->from = head.from, trial->stats = head.stats;
    trial->is_long = hp_is_long(trial->model, head.n_tokens);
    w.image = NULL;
    hp_visit_contents(trial, &w);
    if (w.used + sizeof crc != bytes
        || !hp_tokens_are_sound(trial, image + sizeof head + (size_t)trial->n_streams * 8, head.n_tokens))
        return hp_fail(err, HARP_ERR_FORMAT, "the saved session's size or tokens are wrong");
    return HARP_OK;
}

/* Was the reframed text masked otherwise than this session masks? Functions of the caller's are taken for the same. */
static int hp_was_masked_otherwise(const hp_saved_head *h, const harp_params *p)
{
    return h->seed != p->seed || h->delta != p->delta || h->rescale != p->rescale
           || h->by_caller != (p->mask_fn != NULL);
}

static harp_status hp_restore(harp_session *s, const void *image, size_t bytes, harp_error *err)
{
    hp_stream streams[1 + HP_MAX_REFRAMINGS];
    hp_saved_head head;
    harp_session trial;
    harp_status status;
    hp_walk w = {0};
    int32_t r;
    if (!image) return hp_fail(err, HARP_ERR_ARGUMENT, "image must not be NULL");
    if (hp_parent_of(s) || hp_first_fork(s))
        return hp_fail(err, HARP_ERR_ARGUMENT, "a fork, or a session that has forks, cannot become another");
    trial = *s, trial.streams = streams;
    memcpy(streams, s->streams, (size_t)s->n_streams * sizeof *streams);
    status = hp_check_image(&trial, (const uint8_t *)image, bytes, err);
    if (status) return status;
    hp_forget_drafts(s);
    for (r = 0; r < s->n_streams; r++) {
        s->streams[r].base = streams[r].base, s->streams[r].length = streams[r].length;
        hp_forget_states(s, &s->streams[r]);
    }
    s->n_tokens = trial.n_tokens, s->from = trial.from, s->stats = trial.stats, s->is_long = trial.is_long;
    s->has_step = 0, s->end = HARP_END_NONE;
    w.image = (uint8_t *)(uintptr_t)image, w.reading = 1;
    hp_visit(&w, &head, sizeof head);
    hp_begin_text(s);
    s->decoder.held = head.n_unfinished;
    memcpy(s->decoder.hold, head.unfinished, head.n_unfinished);
    w.used += (size_t)s->n_streams * 8;
    hp_visit_contents(s, &w);
    if (hp_was_masked_otherwise(&head, &s->params)) hp_forget_reframed(s);
    return hp_ok(err);
}

HARP_API harp_status harp_restore(harp_session *s, const void *image, size_t bytes, harp_error *err)
{
    harp_status status = hp_enter(s, err);
    return status ? status : hp_leave(s, hp_restore(s, image, bytes, err));
}

/* ================================================================================================================
 * The end. You may have included this file: what it changed in the compiler's settings is changed back, and its macros
 * are gone.
 * ============================================================================================================== */

#if HP_FLOAT_CONTROL
#pragma float_control(pop)
#elif HP_CLANG
#pragma STDC FP_CONTRACT DEFAULT
#elif HP_GCC
#pragma GCC pop_options
#elif defined(_M_FP_CONTRACT) || (defined(_MSC_VER) && _MSC_VER < 1930 && !defined(_M_FP_STRICT))
#pragma fp_contract(on) /* MSVC cannot push this setting: back to its flags', which was on by default before 2022 */
#endif

/* [CH01] */
#undef HP_CLANG
#undef HP_GCC
#undef HP_FLOAT_CONTROL
#undef HP_POSIX
#undef HP_POSIX_THREADS
#undef HP_WIN32_THREADS
#undef HP_THREADS
#undef HP_SHARING
#undef HP_NIBBLES
#undef HP_SPECIAL
#undef HP_SPECIAL_WORDS
#undef HP_PRAGMA
#undef HP_STRING_
#undef HP_STRING
#undef HP_INLINE
#undef HP_UNROLL
#undef HP_PREFETCH
#undef HP_KEEP_ORDER
#undef HP_TARGET_BEGIN
#undef HP_TARGET_END
#undef HP_X86
#undef HP_WIDE_X86
#undef HP_VNNI_X86
#undef HP_AMX
#undef HP_NEON
#undef HP_TARGET_DOTPROD
#undef HP_TARGET_I8MM
#undef HP_PLAIN_ARM
#undef HP_NEON_DOTPROD
#undef HP_NEON_I8MM
#undef HP_WASM
/* [CH06] */
#undef HP_GLUE_
#undef HP_GLUE
#undef HP_OF_SET
#undef HP_OF_LANES
#undef HP_OF_FEW
#undef HP_SET
#undef HP_LANES_OF
#undef hp_vf
#undef hp_vi
#undef hp_vw
#undef hp_vf_set
#undef hp_vf_load
#undef hp_vf_store
#undef hp_vf_load_file
#undef hp_vf_load_half
#undef hp_vf_add
#undef hp_vf_sub
#undef hp_vf_mul
#undef hp_vf_div
#undef hp_vf_max
#undef hp_vf_min
#undef hp_vf_from_vi
#undef hp_vf_of_bits
#undef hp_vi_of_bits
#undef hp_vi_set
#undef hp_vi_add
#undef hp_vi_sub
#undef hp_vi_shift_left
#undef hp_vi_shift_right
#undef hp_vi_store
#undef hp_vi_load_file
#undef hp_vi_load_bytes
#undef hp_vw_load
#undef hp_vt
#undef hp_vt_load
#undef hp_vw_expand
#undef hp_expand_bytes
#undef hp_vi_dot4
#undef hp_vf_abs
#undef hp_vf_clamp
#undef hp_vf_load_first
#undef hp_vf_first
#undef hp_vf_sum
#undef hp_vf_top
#undef hp_vf_round
#undef hp_vf_two_to
#undef hp_vi_store_bytes
#undef hp_vi_sum
#undef hp_block_dots
#undef hp_vf_times
#undef hp_vf_polynomial
#undef hp_vf_exp
#undef hp_vf_exp_inlined
#undef hp_rmsnorm
#undef hp_add_to
#undef hp_rope
#undef hp_quantize
#undef hp_tiles_int8
#undef hp_tiles_rows
#undef hp_tile_weights
#undef hp_tile_scale
#undef hp_tile_f32
#undef hp_tile_few
#undef hp_matmul_few
#undef hp_tile_rows
#undef hp_tile_expanded
#undef hp_matmul
#undef hp_load_elements
#undef hp_unpack_rows
#undef hp_unpack
#undef hp_weigh
#undef hp_weighted_sums
#undef hp_softmax_weights
#undef hp_measure_spread
#undef hp_layernorm
#undef hp_scale
#undef hp_inverse_root
#undef hp_add_bias
#undef hp_vf_tanh
#undef hp_soft_cap
#undef hp_vf_gated
#undef hp_vf_clamped
#undef hp_vf_sigmoid
#undef hp_vf_gelu_erf
#undef hp_activate
#undef hp_update_state
#undef hp_kernels_of_set
#undef HP_EACH_LANE
/* [CH08] */
#undef HP_EACH_REGISTER
#undef HP_IN_REGISTERS
#undef HP_FROM_REGISTERS
#undef HP_TO_REGISTERS
#undef HP_LOAD_REGISTERS
#undef HP_STORE_REGISTERS
#undef HP_SHIFT_REGISTERS
#undef HP_SAME
#undef HP_ASK_NOT
#undef HP_FEW_ROWS
/* [CH10] */
#undef HP_IN
#undef HP_UP_TO
/* [CH12] */
#undef HP_NO_TOKEN
#undef HP_NO_CHARACTER
/* [CH15] */
#undef HP_THREAD_CALL
#undef hp_lock_make
#undef hp_lock_take
#undef hp_lock_give
#undef hp_lock_destroy
#undef hp_semaphore_make
#undef hp_signal_make
#undef hp_signal_wait
#undef hp_signal_all
#undef hp_signal_destroy
#undef hp_thread_start
#undef hp_thread_join
#undef hp_thread_yield
#undef HP_ATOMICS
#undef hp_watch
#undef hp_publish
#undef hp_count_down
#undef hp_take
#undef HP_PAUSE
/* [CH16] */
#undef HP_RANGE
#undef HP_INTEGER_RANGE
/* [CH20] */
#undef HP_PAUSED
#undef HP_CLIENT_CANCELLED

/*
 * harp is yours under either of two licences; choose the one you like.
 *
 * MIT License. Copyright (c) 2026 the harp authors.
 *
 * Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
 * documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
 * rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
 * persons to whom the Software is furnished to do so, subject to the following conditions: The above copyright notice
 * and this permission notice shall be included in all copies or substantial portions of the Software. THE SOFTWARE IS
 * PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
 * MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT
 * HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE,
 * ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
 *
 * Unlicense (https://unlicense.org). This is free and unencumbered software released into the public domain. Anyone is
 * free to copy, modify, publish, use, compile, sell, or distribute this software, either in source code form or as a
 * compiled binary, for any purpose, commercial or non-commercial, and by any means. In jurisdictions that recognize
 * copyright laws, the author or authors of this software dedicate any and all copyright interest in the software to the
 * public domain. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, AS ABOVE.
 */
#endif /* HARP_IMPL_INCLUDED */
