/*
 * What the files of cli/ share: commands and options as tables, one parser over them, and
 * where things are.  `--help`, the man page and the completions are printed from the same
 * rows.  No other folder includes this file.
 *
 * A new command is one file with one row:
 *
 *	struct opts {
 *		const char *preset;
 *		bool force;
 *	};
 *	static const struct cn_option options[] = {
 *	    CN_OPTION(TEXT, struct opts, preset, "preset", "NAME", "Takes its origins"),
 *	    CN_OPTION(SWITCH, struct opts, force, "force", NULL, "Overwrites what is
 *there"), CN_OPTIONS_END}; static int run(struct cn_cli *cli, struct cn_error *reterr)
 *	{
 *		const struct opts *o = cli->opts;
 *		…
 *	}
 *	const struct cn_command cn_cmd_thing = {.name = "thing", …};
 *
 * declared at the end of this header and named in commands.c and meson.build.
 */
#ifndef CONTINUO_CLI_IMPL_H
#define CONTINUO_CLI_IMPL_H

#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "continuo/arena.h"

/* ---- tables ---- */

enum cn_option_kind {
	CN_OPT_SWITCH, /* bool at `at`; takes no value */
	CN_OPT_TEXT,   /* const char * */
	CN_OPT_WORD,   /* const char *; arg lists what is allowed: "text|json" */
	CN_OPT_NUMBER, /* uint64_t */
	CN_OPT_LIST,   /* struct cn_words; each use adds one */
};

struct cn_words {
	const char **v; /* in arena */
	size_t n;
};

struct cn_option {
	const char *name; /* without the dashes */
	const char *arg;  /* what stands for the value in help: "FILE"; NULL: a switch */
	const char *help; /* one sentence, no final stop */
	size_t at;        /* offset in the command's options struct */
	enum cn_option_kind kind;
	char letter; /* the short form; 0: none */
	bool hidden; /* not in help */
};

/* A row of a table of options, which {0} ends. */
#define CN_OPTION(kind, type, member, name, arg, help)                                 \
	{                                                                              \
		(name), (arg), (help), offsetof(type, member), CN_OPT_##kind, 0, false \
	}

struct cn_example {
	const char *command; /* without "continuo" */
	const char *text;    /* what it does, one sentence, no final stop */
};

struct cn_cli;

struct cn_command {
	const char *name;
	const char *summary;             /* one sentence, no final stop */
	const char *const *description;  /* paragraphs, ends with NULL; NULL: none */
	const struct cn_option *options; /* NULL: only the common ones */
	size_t opts_size;                /* of the struct that options[].at lead into */
	const void *defaults;            /* opts_size bytes to start from; NULL: zeroes */
	const struct cn_command *const *commands; /* ends with NULL; NULL: none */
	const char *arguments;                    /* "NAME [FILE]"; NULL: none */
	unsigned args_min, args_max;              /* CN_ARGS_ANY: no limit */
	const struct cn_example *examples;        /* ends with {0}; NULL: none */
	/*
	 * Returns 0 (the exit status is then cli->exit_status, 0 unless set) or a CN_E_*
	 * with *reterr filled; an empty message there means that all has been said.
	 */
	int (*run)(struct cn_cli *cli, struct cn_error *reterr);
	bool hidden;            /* not in help */
	bool starts_client;     /* runs a program of the user's choice */
	bool stops_at_argument; /* options behind the first argument are not ours */
};
#define CN_ARGS_ANY 1000000u
#define CN_DEPTH    4 /* "continuo" and three words below it */

/* ---- one invocation ---- */

/* Where things are (design/product.md); absolute, in arena. */
struct cn_paths {
	const char *policy;
	const char *vault, *vault_key;
	const char *history; /* directory */
	const char *admin_socket;
	const char *config_dir, *data_dir, *runtime_dir;
};

struct cn_common {
	const char *home, *policy, *log, *log_level; /* as given; NULL: not */
	bool json, help;
};

struct cn_cli {
	struct cn_arena arena;         /* owns what commands want to keep until the end */
	const struct cn_command *root; /* set by main, or a test's own tables */
	FILE *out, *err; /* borrowed: standard output and error, or a test's */
	const struct cn_command *path[CN_DEPTH]; /* "continuo", "vault", "set" */
	unsigned depth;                          /* used of path */
	struct cn_common common;
	void *opts;        /* in arena: the command's own struct, filled */
	const char **args; /* in arena; borrowed strings */
	size_t n_args;
	int exit_status;   /* see cn_command.run */
	mode_t umask;      /* the user's own, for cn_cli__before_exec() */
	rlim_t core_limit; /* likewise */
};

static inline const struct cn_command *cn_cli__command(const struct cn_cli *cli)
{
	return cli->path[cli->depth - 1];
}

/* Starts from {0}. */
void cn_cli_done(struct cn_cli *cli);

/* parse.c: fills cli from argv.  On failure *reterr says what is wrong with which word. */
int cn_cli__parse(struct cn_cli *cli, int argc, const char *const *argv,
                  struct cn_error *reterr) CN_MUST_CHECK;
/* run.c: parse, then help, version or the command; prints errors.  Gives the exit status.
 */
int cn_cli__main(struct cn_cli *cli, int argc, const char *const *argv);

/* ---- process.c ---- */

/* First statements of main (design/security.md 3). */
void cn_cli__harden(struct cn_cli *cli);
/* Once the command is known: what must not be passed on to a client of the user's. */
void cn_cli__harden_command(const struct cn_command *command);
/* In a child, before it executes the user's program: umask, SIGPIPE and core limit as the
 * user had them.  Async-signal-safe. */
void cn_cli__before_exec(const struct cn_cli *cli);

/* ---- paths.c ---- */

/* By --home, CONTINUO_HOME or XDG; --policy goes before all.  Touches no file. */
int cn_cli__paths(struct cn_cli *cli, struct cn_paths *ret,
                  struct cn_error *reterr) CN_MUST_CHECK;
/* Makes the directory, and those above it that are missing, 0700. */
int cn_cli__make_dir(const char *dir, struct cn_error *reterr) CN_MUST_CHECK;
/* The same for the directory that file is in. */
int cn_cli__make_dir_of(const char *file, struct cn_error *reterr) CN_MUST_CHECK;

/* ---- output.c ---- */

/* To standard output. */
void cn_cli__print(struct cn_cli *cli, const char *fmt, ...) CN_PRINTF(2, 3);
/* "continuo: …" and a line end, to standard error: for people, never for scripts. */
void cn_cli__note(struct cn_cli *cli, const char *fmt, ...) CN_PRINTF(2, 3);
/* Text of foreign origin for a terminal: control bytes replaced.  In arena. */
const char *cn_cli__clean(struct cn_cli *cli, struct cn_view text);
/* "policy.yaml:12:7: …" or "continuo vault set: …", to standard error. */
void cn_cli__print_error(struct cn_cli *cli, const struct cn_error *err);
/* Paragraph wrapped to 80 columns with that indent; the first line's is already there. */
void cn_cli__wrap(FILE *f, const char *text, unsigned indent);

/* A list that prints as an aligned table, or with --json as an array of objects. */
struct cn_column {
	const char *key;   /* in JSON */
	const char *title; /* in the table */
	bool number;       /* right-aligned; a number in JSON */
};
struct cn_listing {
	const struct cn_column *columns; /* borrowed */
	size_t n_columns;
	const char **cells; /* in arena; NULL: nothing there (JSON null) */
	size_t n_cells, cap;
};
void cn_cli__cell(struct cn_cli *cli, struct cn_listing *l, struct cn_view text);
void cn_cli__cell_number(struct cn_cli *cli, struct cn_listing *l, uint64_t n);
void cn_cli__cell_none(struct cn_cli *cli, struct cn_listing *l);
/* empty: what to say instead of an empty table; NULL: the titles alone. */
void cn_cli__listing_print(struct cn_cli *cli, const struct cn_listing *l,
                           const char *empty);

/* ---- help.c, man.c, completion.c ---- */

void cn_cli__help(const struct cn_cli *cli, FILE *f);
void cn_cli__man(FILE *f, const struct cn_command *root);
/* shell: bash, zsh or fish. */
void cn_cli__completion(FILE *f, const struct cn_command *root, const char *shell);

/* ---- table.c, commands.c ---- */

struct cn_note {
	const char *name, *text;
};

extern const struct cn_command cn_cli__root;
extern const struct cn_option cn_cli__common_options[];   /* into struct cn_common */
extern const struct cn_command *const cn_cli__commands[]; /* ends with NULL */
extern const struct cn_note cn_cli__exit_statuses[], cn_cli__environment[],
    cn_cli__files[]; /* end with {0} */

extern const struct cn_command cn_cmd_help, cn_cmd_run, cn_cmd_serve, cn_cmd_env,
    cn_cmd_demo, cn_cmd_status, cn_cmd_sessions, cn_cmd_token, cn_cmd_vault, cn_cmd_policy,
    cn_cmd_probe;

#endif
