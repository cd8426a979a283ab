/*
 * The language in which a scripted backend is told what to do with its requests, one step
 * each. A table of words; pure.
 */
#include "continuo/demo.h"

static const struct {
	enum cn_step_kind kind;
	const char *word;
} CN_WORDS[] = {
#define X(symbol, word, text) {CN_STEP_##symbol, word},
    CN_STEPS(X)
#undef X
};

const char *cn_step_word(enum cn_step_kind kind)
{
	return CN_WORDS[kind].word;
}

static bool next_word(struct cn_view *rest, struct cn_view *ret)
{
	while (cn_view_split(rest, ' ', ret))
		if (ret->n)
			return true;
	return false;
}

static const char *const CN_WAY_WORDS[] = {
#define X(symbol, word, text) [CN_WAY_##symbol] = (word),
    CN_WAYS(X)
#undef X
};

static const char *const CN_CALL_WORDS[] = {
#define X(symbol, word, text) [CN_CALLS_##symbol] = (word),
    CN_CALL_FORMS(X)
#undef X
};

static const char *const CN_REASONING_WORDS[] = {
#define X(symbol, word, text) [CN_REASONING_##symbol] = (word),
    CN_REASONINGS(X)
#undef X
};

#define N_WORDS(words) (sizeof(words) / sizeof((words)[0]))

/* The place of value in the words; n when it has none. */
static size_t place_of(struct cn_view value, const char *const *words, size_t n)
{
	size_t i = 0;

	while (i < n && !cn_view_is(value, words[i]))
		i++;
	return i;
}

/* way=, calls= and reasoning=. */
static bool read_choice(struct cn_step *s, struct cn_view key, struct cn_view value)
{
	size_t way = place_of(value, CN_WAY_WORDS, N_WORDS(CN_WAY_WORDS));
	size_t calls = place_of(value, CN_CALL_WORDS, N_WORDS(CN_CALL_WORDS));
	size_t reasoning = place_of(value, CN_REASONING_WORDS, N_WORDS(CN_REASONING_WORDS));

	if (cn_view_is(key, "way") && way < N_WORDS(CN_WAY_WORDS))
		s->way = (enum cn_way)way;
	else if (cn_view_is(key, "calls") && calls < N_WORDS(CN_CALL_WORDS))
		s->calls = (enum cn_call_form)calls;
	else if (cn_view_is(key, "reasoning") && reasoning < N_WORDS(CN_REASONING_WORDS))
		s->reasoning = (enum cn_reasoning)reasoning;
	else
		return false;
	return true;
}

/* key=value; the last key of a step, message= or body=, takes the rest of it. */
static bool read_pair(struct cn_step *s, struct cn_view word, struct cn_view *rest)
{
	struct cn_view value = word, key, *text;

	if (!cn_view_split(&value, '=', &key) || !value.p)
		return false;
	if (cn_view_is(key, "retry-after"))
		return cn_view_u64(value, &s->retry_after);
	if (cn_view_is(key, "events"))
		return cn_view_u64(value, &s->events) && s->events > 0;
	if (cn_view_is(key, "field")) {
		s->field = value;
		return cn_view_find(value, CN_VIEW(":"), 0) != SIZE_MAX;
	}
	if (cn_view_is(key, "type")) {
		s->type = value;
		return true;
	}
	if (read_choice(s, key, value))
		return true;
	text = cn_view_is(key, "message") ? &s->message
	       : cn_view_is(key, "body")  ? &s->body
	                                  : NULL;
	if (!text)
		return false;
	*text = rest->p ? cn_view(value.p, (size_t)(rest->p + rest->n - value.p)) : value;
	*rest = (struct cn_view){NULL, 0};
	return true;
}

/* A word that says how a step is done. */
static bool read_manner(struct cn_step *s, struct cn_view word)
{
	bool thinking = cn_view_is(word, "thinking"), wait = cn_view_is(word, "wait");

	s->thinking |= thinking;
	s->wait |= wait;
	return thinking || wait;
}

/* `always`, or `N*` glued to the step's word. */
static bool read_times(struct cn_step *s, struct cn_view *word, struct cn_view *rest)
{
	struct cn_view after = *word, count;

	s->times = 1;
	if (cn_view_is(*word, "always")) {
		s->times = UINT64_MAX;
		return next_word(rest, word);
	}
	if (!cn_view_split(&after, '*', &count) || !after.p)
		return true;
	*word = after;
	return cn_view_u64(count, &s->times) && s->times > 0;
}

static bool read_step(struct cn_view text, struct cn_step *s)
{
	struct cn_view rest = text, word;
	bool found = false;

	*s = (struct cn_step){0};
	if (!next_word(&rest, &word) || !read_times(s, &word, &rest))
		return false;
	s->held = cn_view_is(word, "hold");
	if (s->held && !next_word(&rest, &word))
		return false;
	for (size_t i = 0; i < sizeof(CN_WORDS) / sizeof(CN_WORDS[0]) && !found; i++) {
		found = cn_view_is(word, CN_WORDS[i].word);
		s->kind = CN_WORDS[i].kind;
	}
	while (found && next_word(&rest, &word)) {
		if (read_pair(s, word, &rest) || cn_view_u64(word, &s->n) ||
		    read_manner(s, word))
			continue;
		found = s->kind == CN_STEP_FILE && s->path.n == 0;
		s->path = word;
	}
	if (s->kind == CN_STEP_DUPLICATE || s->kind == CN_STEP_LOSE)
		found &= s->events > 0;
	return found;
}

int cn_script_parse(struct cn_arena *a, struct cn_view text, struct cn_step **ret,
                    size_t *retn, struct cn_error *reterr)
{
	struct cn_view lines = text, line, step;
	size_t n = 0, cap = 1;

	for (size_t i = 0; i < text.n; i++)
		cap += text.p[i] == ';' || text.p[i] == '\n';
	*ret = cn_arena_zalloc(a, cap * sizeof(struct cn_step));
	while (cn_view_split(&lines, '\n', &line)) {
		while (cn_view_split(&line, ';', &step)) {
			step = cn_view_trim(step);
			if (step.n == 0)
				continue;
			if (!read_step(step, &(*ret)[n++]))
				return cn_fail(reterr, CN_E_INVALID, "not a step: '%.*s'",
				               CN_VIEW_ARG(step));
		}
	}
	*retn = n;
	return 0;
}
