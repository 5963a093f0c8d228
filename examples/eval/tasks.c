/* tasks.c - prompts and metrics, those of EleutherAI's lm-evaluation-harness [Gao et al.] */
#include "eval.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const task_names[] = {"gsm8k",  "csqa", "lambada",   "mmlu_pro", "arc",
                                  "cnn_dm", "ppl",  "nexttoken", "calibrate"};

int task_is_generated(task_id task)
{
    return task == TASK_GSM8K || task == TASK_MMLU_PRO || task == TASK_CNN_DM;
}

const char *task_metric(task_id task)
{
    static const char *const names[] = {"strict match", "accuracy", "last word", "accuracy", "accuracy",
                                        "ROUGE-1",      "top-1",    "top-1",     "top-1"};
    return names[task];
}

const char *task_metric2(task_id task)
{
    return task == TASK_GSM8K ? "flexible match" : task == TASK_ARC ? "accuracy, by length" : NULL;
}

/* ---- Texts ---- */

static void put_choices(growing *l, const item *q)
{
    int32_t i;
    for (i = 0; i < q->n_choices; i++) put(l, "%c. %s\n", 'A' + (int)i, q->choices[i]);
}

static void put_question(growing *l, task_id task, const item *q)
{
    switch (task) {
    case TASK_GSM8K:
    case TASK_ARC: put(l, "Question: %s\nAnswer:", q->question); break;
    case TASK_CSQA:
        put(l, "Question: %s\n", q->question);
        put_choices(l, q);
        put(l, "Answer:");
        break;
    case TASK_MMLU_PRO:
        put(l, "Question:\n%s\nOptions:\n", q->question);
        put_choices(l, q);
        put(l, "Answer: Let's think step by step.");
        break;
    case TASK_CNN_DM: put(l, "%s\n\nTL;DR:", q->question); break;
    default: put(l, "%s", q->question);
    }
}

static void put_answer(growing *l, task_id task, const item *q)
{
    if (task == TASK_ARC) put(l, " %s\n\n", q->choices[q->right]);
    else if (task == TASK_MMLU_PRO) put(l, " The answer is (%c).\n\n", 'A' + (int)q->right);
    else if (task == TASK_LAMBADA) put(l, "%s\n\n", q->answer);
    else put(l, " %s\n\n", q->answer);
}

char *make_shots(task_id task, const items *list, int32_t shots)
{
    growing l = {NULL, 0, 0, 0};
    int32_t i;
    put(&l, "%s", "");
    if (task == TASK_MMLU_PRO)
        put(&l, "The following are multiple choice questions (with answers). Think step by step and then finish your "
                "answer "
                "with \"the answer is (X)\" where X is the correct letter choice.\n\n");
    for (i = 0; i < shots && (size_t)i < list->n; i++) {
        put_question(&l, task, &list->list[i]);
        put_answer(&l, task, &list->list[i]);
    }
    if (!l.failed) return l.at;
    free(l.at);
    return NULL;
}

/* ---- Metrics ---- */

/* A number in canonical form: no blanks, commas, dollars; no final point. */
static void canonical(const char *from, size_t bytes, char out[64])
{
    size_t n = 0;
    for (; bytes > 0 && n < 63; from++, bytes--)
        if (!strchr(", $\t\n", *from)) out[n++] = *from;
    while (n > 0 && out[n - 1] == '.') n--;
    out[n] = 0;
}

/* What stands behind the first "#### " with a number, the harness's -?[0-9.,]+ */
static int strict_answer(const char *text, char out[64])
{
    const char *at;
    for (at = strstr(text, "#### "); at; at = strstr(at, "#### ")) {
        size_t sign, n;
        at += 5, sign = *at == '-', n = strspn(at + sign, "0123456789.,");
        if (n == 0) continue;
        canonical(at, sign + n, out);
        return 1;
    }
    return 0;
}

/* The last number, the harness's (-?[$0-9.,]{2,})|(-?[0-9]+) */
static int flexible_answer(const char *text, char out[64])
{
    const char *p = text;
    int found = 0;
    while (*p) {
        size_t sign = *p == '-', n = strspn(p + sign, "$0123456789.,");
        if (n >= 2 || (n == 1 && isdigit((unsigned char)p[sign]))) {
            canonical(p, sign + n, out);
            found = 1, p += sign + n;
        } else {
            p++;
        }
    }
    return found;
}

/* The harness's answer is \(?([A-J])\)? where it first matches: chains of thought say "the answer is" often. */
static int32_t letter_answer(const char *text)
{
    const char *at;
    for (at = strstr(text, "answer is "); at; at = strstr(at, "answer is ")) {
        at += 10;
        if (at[*at == '('] >= 'A' && at[*at == '('] <= 'J') return at[*at == '('] - 'A';
    }
    return -1;
}

static size_t next_word(const char **p)
{
    const char *start;
    while (**p && !isalnum((unsigned char)**p)) (*p)++;
    for (start = *p; isalnum((unsigned char)**p);) (*p)++;
    return (size_t)(*p - start);
}

static int same_word(const char *a, const char *b, size_t n)
{
    for (; n > 0; a++, b++, n--)
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) return 0;
    return 1;
}

static int32_t count_word(const char *text, const char *word, size_t bytes, const char *until)
{
    int32_t n = 0;
    size_t length;
    while ((length = next_word(&text)) > 0 && (!until || text - length < until))
        n += length == bytes && same_word(text - length, word, bytes);
    return n;
}

static int32_t count_words(const char *text)
{
    int32_t n = 0;
    while (next_word(&text) > 0) n++;
    return n;
}

/* Each word counts in both texts as often as in the one that has it less often. Quadratic; texts are short. */
double rouge_1(const char *answer, const char *reference)
{
    const char *p = answer;
    int32_t common = 0, a = count_words(answer), r = count_words(reference);
    size_t n;
    while ((n = next_word(&p)) > 0)
        if (count_word(answer, p - n, n, p - n) < count_word(reference, p - n, n, NULL)) common++;
    return a + r > 0 ? 2.0 * common / (double)(a + r) : 0.0;
}

/* ---- Items ---- */

/* The tokens by which the whole is longer than the context alone. */
static int keep_target(const bench *b, const tokens *whole, size_t from, tokens *t)
{
    if (whole->n <= from)
        return complain("item %ld: an answer has no tokens of its own; take it out of the data", (long)b->asked);
    t->n = whole->n - from;
    t->list = malloc(t->n * sizeof *t->list);
    if (!t->list) return complain("there is not enough memory for the tokens");
    memcpy(t->list, whole->list + from, t->n * sizeof *t->list);
    return 0;
}

/* Tokens of context and target. */
static int split_tokens(const bench *b, const char *context, const char *target, tokens *c, tokens *t)
{
    tokens whole = {NULL, 0, 0};
    growing l = {NULL, 0, 0, 0};
    int status;
    put(&l, "%s%s", context, target);
    status = l.failed ? complain("there is not enough memory for a text") : 0;
    if (status == 0) status = encode(b, context, strlen(context), HARP_ENCODE_BOS, c);
    if (status == 0) status = encode(b, l.at, l.bytes, HARP_ENCODE_BOS, &whole);
    if (status == 0) status = keep_target(b, &whole, c->n, t);
    free(l.at), free(whole.list);
    return status;
}

static int run_lambada(bench *b, method *m, const item *q, const char *prompt, outcome *o)
{
    tokens c = {NULL, 0, 0}, t = {NULL, 0, 0};
    double logprob = 0;
    int greedy = 0, status = split_tokens(b, prompt, q->answer, &c, &t);
    if (status == 0) status = score_target(b, m, &c, &t, 0, &logprob, &greedy, o);
    o->right = greedy, o->nll = -logprob, o->tokens = 1; /* the harness's perplexity is one of words */
    free(c.list), free(t.list);
    return status;
}

/* The choice whose text (arc) or letter (csqa) is most probable; the second metric divides by its length in bytes. */
static int run_choices(bench *b, method *m, const item *q, const char *prompt, outcome *o)
{
    double best = -1e300, best_by_length = -1e300, right = 0;
    int32_t i, choice = 0, by_length = 0;
    int status = 0;
    for (i = 0; i < q->n_choices && status == 0; i++) {
        tokens c = {NULL, 0, 0}, t = {NULL, 0, 0};
        growing l = {NULL, 0, 0, 0};
        double logprob = 0, scaled;
        int greedy;
        if (b->task == TASK_CSQA) put(&l, " %c", 'A' + (int)i);
        else put(&l, " %s", q->choices[i]);
        status = l.failed ? complain("there is not enough memory for a text") : split_tokens(b, prompt, l.at, &c, &t);
        if (status == 0) status = score_target(b, m, &c, &t, i > 0, &logprob, &greedy, o);
        scaled = logprob / (double)(b->task == TASK_ARC ? strlen(q->choices[i]) : 1);
        if (logprob > best) best = logprob, choice = i;
        if (scaled > best_by_length) best_by_length = scaled, by_length = i;
        if (i == q->right) right = logprob;
        free(c.list), free(t.list), free(l.at);
    }
    o->right = choice == q->right, o->right2 = by_length == q->right, o->nll = -right, o->tokens = 1;
    return status;
}

static void judge_text(task_id task, const item *q, const char *text, outcome *o)
{
    char is[64], want[64];
    if (task == TASK_GSM8K) {
        if (!strict_answer(q->answer, want)) want[0] = 0;
        o->right = strict_answer(text, is) && strcmp(is, want) == 0;
        o->right2 = flexible_answer(text, is) && strcmp(is, want) == 0;
    } else if (task == TASK_MMLU_PRO) {
        o->right = letter_answer(text) == q->right;
    } else {
        o->right = rouge_1(text, q->answer);
    }
}

static int begin_generated(bench *b, ask *a, const char *prompt)
{
    static const char *const stops[] = {"Question:", "</s>", "<|im_end|>", NULL}, *const paragraph[] = {"\n\n", NULL};
    tokens c = {NULL, 0, 0};
    int status = encode(b, prompt, strlen(prompt), HARP_ENCODE_BOS, &c);
    a->stops = b->task == TASK_CNN_DM ? paragraph : stops;
    if (status == 0) status = replies_begin(b, a, &c);
    free(c.list);
    return status;
}

static int begin_question(bench *b, ask *a)
{
    growing l = {NULL, 0, 0, 0};
    int status;
    a->o.trials = 1, b->asked = a->q->number;
    put(&l, "%s", b->shots_text ? b->shots_text : "");
    put_question(&l, b->task, a->q);
    if (l.failed) status = complain("there is not enough memory for a prompt");
    else if (task_is_generated(b->task)) status = begin_generated(b, a, l.at);
    else status = (b->task == TASK_LAMBADA ? run_lambada : run_choices)(b, a->m, a->q, l.at, &a->o);
    free(l.at);
    return status;
}

/* ---- Texts: windows of the same length; the first quarter of each is context, the rest is scored ---- */

static int32_t context_part(const bench *b)
{
    return b->window / 4;
}

size_t count_windows(const bench *b)
{
    size_t stride = (size_t)(b->window - context_part(b));
    return b->text.n > (size_t)context_part(b) + 1 ? (b->text.n - (size_t)context_part(b) - 2) / stride + 1 : 0;
}

typedef struct window {
    bench *b;
    const int32_t *target;
    outcome *o;
} window;

static int on_position(void *user, const harp_step *step, const float *vanilla, const float *combined)
{
    window *w = user;
    outcome *o = w->o;
    int right = step->token == *w->target, vanilla_right = step->vanilla_token == *w->target;
    double nll = -(double)harp_logprob(combined, w->b->info.vocab, *w->target);
    int doubtful = step->entropy > w->b->theta;
    (void)vanilla;
    o->trials += 1, o->right += right, o->nll += nll, o->tokens += 1;
    o->doubtful += doubtful, o->doubtful_right += doubtful && right, o->doubtful_nll += doubtful ? nll : 0.0;
    o->won += right && !vanilla_right, o->lost += vanilla_right && !right;
    o->steps += 1, o->hesitated += step->hesitated, o->changed += step->token != step->vanilla_token;
    if (w->b->entropies && w->b->n_entropies < w->b->text.n)
        w->b->entropies[w->b->n_entropies++] = (double)step->entropy;
    w->target++;
    return !(fabs(nll) < 1e30 && fabs((double)step->entropy) < 1e3); /* NaN, or infinite: there is no going on */
}

static int run_window(bench *b, method *m, size_t index, outcome *o)
{
    size_t part = (size_t)context_part(b), begin = index * ((size_t)b->window - part), left = b->text.n - begin - 1;
    size_t n = left < (size_t)b->window ? left : (size_t)b->window; /* positions; each foretells the next token */
    harp_stats was = harp_statistics(m->session), now;
    double start = host_seconds();
    harp_error err;
    window w;
    w.b = b, w.target = b->text.list + begin + part + 1, w.o = o;
    if (harp_rewind(m->session, 0, &err) || harp_feed(m->session, b->text.list + begin, (int32_t)part, &err)
        || harp_score_harp(m->session, b->text.list + begin + part, (int32_t)(n - part), on_position, &w, &err))
        return complain("window %lu: %s", (unsigned long)index,
                        err.status == HARP_ERR_CANCELLED ? "a likelihood is not finite; check the model with "
                                                           "harp-convert --check"
                                                         : err.text);
    now = harp_statistics(m->session);
    o->seconds = host_seconds() - start;
    o->passes = (double)(now.passes - was.passes);
    o->rows = (double)(now.rows + now.reframed_rows - was.rows - was.reframed_rows);
    return 0;
}

int ask_begin(bench *b, ask *a)
{
    return a->q ? begin_question(b, a) : run_window(b, a->m, a->index, &a->o);
}

/* What can be counted in an answer. */
static void find_key(task_id task, const char *text, char key[VOTE_KEY])
{
    int32_t letter;
    key[0] = 0;
    if (task == TASK_GSM8K && !strict_answer(text, key)) key[0] = 0;
    if (task == TASK_MMLU_PRO && (letter = letter_answer(text)) >= 0) key[0] = (char)('A' + letter), key[1] = 0;
}

static int32_t choose_reply(const bench *b, ask *a)
{
    vote list[MOST_VOTES];
    int32_t i, votes, best;
    for (i = 0; i < a->n; i++) {
        find_key(b->task, a->replies[i].text.at, a->replies[i].vote.key);
        list[i] = a->replies[i].vote;
    }
    best = vote_choose(list, a->n, a->m->rule, &votes);
    if (a->m->id >= METHOD_VOTE) a->o.answers = a->n, a->o.votes = votes;
    return best;
}

void ask_end(const bench *b, ask *a)
{
    if (a->n > 0) judge_text(b->task, a->q, a->replies[choose_reply(b, a)].text.at, &a->o);
    replies_free(a);
}
