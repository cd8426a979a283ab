/*
 * The command line: words to a command, its options struct and its arguments, by the
 * tables alone.  What it makes is in cli->arena; runs once, on the main thread.
 *
 * Prints nothing and touches no file, so that tests can run it in-process.  The rules:
 * "--name VALUE", "--name=VALUE", "-x VALUE", "-xVALUE"; "--" ends the options; options may
 * stand before and behind arguments and commands; the last use counts.
 */
#include "cli_impl.h"

struct parser {
	struct cn_cli *cli;
	const char *const *argv;
	int argc, at;       /* at: the next word */
	bool options_ended; /* by "--", or by an argument where options stop there */
	struct cn_error *reterr;
};

/* Where an option's value goes: a row, and the struct that its offset leads into. */
struct target {
	const struct cn_option *option;
	char *base;
};

static void descend(struct cn_cli *cli, const struct cn_command *c)
{
	cn_assert(cli->depth < CN_DEPTH);
	cli->path[cli->depth++] = c;
	cli->opts = cn_arena_zalloc(&cli->arena, c->opts_size);
	if (c->defaults)
		memcpy(cli->opts, c->defaults, c->opts_size);
}

/* ---- the nearest name, for misspelt ones ---- */

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

#define NAME_MAX_BYTES 32

/* Edits (one letter in, out or other; two neighbours swapped) from a to b, or more than 3.
 */
static unsigned distance(struct cn_view a, struct cn_view b)
{
	unsigned rows[3][NAME_MAX_BYTES + 1];
	if (a.n > NAME_MAX_BYTES || b.n > NAME_MAX_BYTES)
		return 99;
	for (unsigned k = 0; k <= b.n; k++)
		rows[0][k] = k;
	for (unsigned i = 1; i <= a.n; i++) {
		unsigned *now = rows[i % 3], *up = rows[(i + 2) % 3],
			 *up2 = rows[(i + 1) % 3];
		now[0] = i;
		for (unsigned k = 1; k <= b.n; k++) {
			bool same = a.p[i - 1] == b.p[k - 1];
			now[k] = least(least(up[k], now[k - 1]) + 1, up[k - 1] + !same);
			if (i > 1 && k > 1 && a.p[i - 1] == b.p[k - 2] &&
			    a.p[i - 2] == b.p[k - 1])
				now[k] = least(now[k], up2[k - 2] + 1);
		}
	}
	return rows[a.n % 3][b.n];
}

/* The best so far; a name must be nearer than half of what was written. */
struct nearest {
	struct cn_view word;
	const char *name;
	unsigned edits;
};

static void consider(struct nearest *n, const char *name)
{
	unsigned edits = distance(n->word, cn_view_str(name));
	if (edits <= 3 && edits < (n->word.n + 1) / 2 && (!n->name || edits < n->edits)) {
		n->name = name;
		n->edits = edits;
	}
}

static const struct cn_option *next_option(const struct cn_option *o)
{
	return o && o->name ? o : NULL;
}

static int unknown_option(struct parser *p, const char *dashes, struct cn_view name)
{
	struct nearest near = {.word = name};
	const struct cn_option *o = cn_cli__command(p->cli)->options;
	for (; next_option(o); o++)
		if (!o->hidden)
			consider(&near, o->name);
	for (o = cn_cli__common_options; next_option(o); o++)
		consider(&near, o->name);
	if (near.name && strcmp(dashes, "--") == 0)
		return cn_fail(p->reterr, CN_E_USAGE,
		               "unknown option --%.*s; did you mean --%s?",
		               CN_VIEW_ARG(name), near.name);
	return cn_fail(p->reterr, CN_E_USAGE, "unknown option %s%.*s", dashes,
	               CN_VIEW_ARG(name));
}

static int unknown_command(struct parser *p, const char *word)
{
	struct nearest near = {.word = cn_view_str(word)};
	const struct cn_command *const *c = cn_cli__command(p->cli)->commands;
	for (; *c; c++)
		if (!(*c)->hidden)
			consider(&near, (*c)->name);
	if (near.name)
		return cn_fail(p->reterr, CN_E_USAGE,
		               "unknown command %s; did you mean %s?", word, near.name);
	return cn_fail(p->reterr, CN_E_USAGE, "unknown command %s", word);
}

/* ---- options ---- */

static const struct cn_option *in_table(const struct cn_option *o, struct cn_view name,
                                        char letter)
{
	for (; next_option(o); o++)
		if (letter ? o->letter == letter : cn_view_is(name, o->name))
			return o;
	return NULL;
}

static bool find_option(struct parser *p, struct cn_view name, char letter,
                        struct target *ret)
{
	struct cn_cli *cli = p->cli;
	const struct cn_option *own = in_table(cn_cli__command(cli)->options, name, letter);
	if (own) {
		*ret = (struct target){own, cli->opts};
		return true;
	}
	const struct cn_option *common = in_table(cn_cli__common_options, name, letter);
	*ret = (struct target){common, (char *)&cli->common};
	return common != NULL;
}

static bool in_words(const char *words, const char *value)
{
	struct cn_view rest = cn_view_str(words), word;
	while (cn_view_split(&rest, '|', &word))
		if (cn_view_is(word, value))
			return true;
	return false;
}

static void add_word(struct cn_arena *a, struct cn_words *words, const char *value)
{
	/* Quadratic, for the few words that a command line holds. */
	const char **v = cn_arena_alloc(a, (words->n + 1) * sizeof(*v));
	for (size_t i = 0; i < words->n; i++)
		v[i] = words->v[i];
	v[words->n++] = value;
	words->v = v;
}

static int store(struct parser *p, const struct target *t, const char *value)
{
	const struct cn_option *o = t->option;
	void *at = t->base + o->at;
	switch (o->kind) {
	case CN_OPT_SWITCH:
		*(bool *)at = true;
		return 0;
	case CN_OPT_WORD:
		if (!in_words(o->arg, value))
			return cn_fail(p->reterr, CN_E_USAGE,
			               "--%s %s: the value must be one of %s", o->name,
			               value, o->arg);
		*(const char **)at = value;
		return 0;
	case CN_OPT_TEXT:
		*(const char **)at = value;
		return 0;
	case CN_OPT_NUMBER:
		if (!cn_view_u64(cn_view_str(value), at))
			return cn_fail(p->reterr, CN_E_USAGE,
			               "--%s %s: the value must be a whole number", o->name,
			               value);
		return 0;
	case CN_OPT_LIST:
		add_word(&p->cli->arena, at, value);
		return 0;
	}
	return 0;
}

/* value: what stood in the same word; NULL: the next word is it, if it takes one. */
static int take_option(struct parser *p, const struct target *t, const char *value)
{
	const struct cn_option *o = t->option;
	if (!o->arg && value)
		return cn_fail(p->reterr, CN_E_USAGE, "--%s takes no value", o->name);
	if (o->arg && !value) {
		if (p->at == p->argc)
			return cn_fail(p->reterr, CN_E_USAGE, "--%s needs a value: %s",
			               o->name, o->arg);
		value = p->argv[p->at++];
	}
	return store(p, t, value);
}

static int parse_long(struct parser *p, const char *word)
{
	struct target t;
	const char *equals = strchr(word, '=');
	struct cn_view name =
	    cn_view(word, equals ? (size_t)(equals - word) : strlen(word));
	if (!find_option(p, name, 0, &t))
		return unknown_option(p, "--", name);
	return take_option(p, &t, equals ? equals + 1 : NULL);
}

static int parse_short(struct parser *p, const char *word)
{
	struct target t;
	if (!find_option(p, CN_VIEW(""), word[0], &t))
		return unknown_option(p, "-", cn_view_str(word));
	return take_option(p, &t, word[1] ? word + 1 : NULL);
}

/* ---- words ---- */

static int parse_word(struct parser *p, const char *word)
{
	struct cn_cli *cli = p->cli;
	const struct cn_command *here = cn_cli__command(cli);
	if (here->commands) {
		for (const struct cn_command *const *c = here->commands; *c; c++)
			if (strcmp((*c)->name, word) == 0) {
				descend(cli, *c);
				return 0;
			}
		return unknown_command(p, word);
	}
	if (cli->n_args == here->args_max)
		return cn_fail(p->reterr, CN_E_USAGE, "unexpected argument %s", word);
	cli->args[cli->n_args++] = word;
	if (here->stops_at_argument)
		p->options_ended = true;
	return 0;
}

static int check_complete(struct parser *p)
{
	const struct cn_command *here = cn_cli__command(p->cli);
	if (p->cli->common.help)
		return 0;
	if (!here->run)
		return cn_fail(p->reterr, CN_E_USAGE, "no command given");
	if (p->cli->n_args < here->args_min)
		return cn_fail(p->reterr, CN_E_USAGE, "missing argument: %s",
		               here->arguments);
	return 0;
}

int cn_cli__parse(struct cn_cli *cli, int argc, const char *const *argv,
                  struct cn_error *reterr)
{
	struct parser p = {
	    .cli = cli, .argv = argv, .argc = argc, .at = 1, .reterr = reterr};
	cli->args = cn_arena_zalloc(&cli->arena, (size_t)(argc + 1) * sizeof(*cli->args));
	descend(cli, cli->root);
	while (p.at < argc) {
		const char *word = argv[p.at++];
		int failed;
		if (p.options_ended || word[0] != '-' || word[1] == '\0') {
			failed = parse_word(&p, word);
		} else if (strcmp(word, "--") == 0) {
			p.options_ended = true;
			failed = 0;
		} else if (word[1] == '-') {
			failed = parse_long(&p, word + 2);
		} else {
			failed = parse_short(&p, word + 1);
		}
		if (failed)
			return failed;
	}
	return check_complete(&p);
}

void cn_cli_done(struct cn_cli *cli)
{
	cn_arena_done(&cli->arena);
}
