/*
 * `continuo sessions list|show|export`: the stored conversations.
 *
 * They open vault and history for reading, which a running router does not mind.  A
 * session is named by its id or the beginning of it.  Exports are written turn by turn, so
 * a long session needs no more memory than its longest turn.  Main thread.
 */
#include "open_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "continuo/clock.h"
#include "continuo/export.h"
#include "continuo/json.h"
#include "continuo/store.h"

/* ---- opening ---- */

struct common_opts {
	const char *owner, *history;
};

static int open_history(struct cn_cli *cli, const struct common_opts *o,
                        struct cn_data *ret, struct cn_error *reterr)
{
	struct cn_open_opts opts = {.history = o->history};
	struct cn_paths paths;
	int err = cn_cli__paths(cli, &paths, reterr);

	return err ? err : cn_cli__open_data(cli, &paths, &opts, ret, reterr);
}

/* ---- list ---- */

static const struct cn_option list_options[] = {
    CN_OPTION(TEXT, struct common_opts, owner, "owner", "NAME", "Only this owner's"),
    CN_OPTION(TEXT, struct common_opts, history, "history", "DIR",
              "Reads the history in DIR, such as one that was set aside as damaged"),
    {0}};

static const struct cn_column columns[] = {
    {"session", "SESSION", false},  {"last", "LAST TURN", false},
    {"first", "FIRST TURN", false}, {"turns", "TURNS", true},
    {"agents", "AGENTS", true},     {"owner", "OWNER", false},
    {"project", "PROJECT", false},  {"last_model", "LAST MODEL", false},
    {"title", "TITLE", false},
};

struct listing {
	struct cn_cli *cli;
	struct cn_listing l;
};

static void text_cell(struct listing *to, struct cn_view text)
{
	if (text.n)
		cn_cli__cell(to->cli, &to->l, text);
	else
		cn_cli__cell_none(to->cli, &to->l);
}

static void time_cell(struct listing *to, uint64_t wall_ms)
{
	CN_AUTO(cn_buf) b = {0};

	cn_clock_format(&b, wall_ms);
	cn_cli__cell(to->cli, &to->l, cn_buf_view(&b));
}

static bool on_line(void *self, const struct cn_session_line *l)
{
	struct listing *to = self;

	text_cell(to, l->session);
	time_cell(to, l->last_ms);
	time_cell(to, l->first_ms);
	cn_cli__cell_number(to->cli, &to->l, l->turns);
	cn_cli__cell_number(to->cli, &to->l, l->agents);
	text_cell(to, l->owner);
	text_cell(to, l->project);
	text_cell(to, l->last_model);
	text_cell(to, l->title);
	return true;
}

static int run_list(struct cn_cli *cli, struct cn_error *reterr)
{
	const struct common_opts *o = cli->opts;
	struct listing to = {
	    .cli = cli,
	    .l = {.columns = columns, .n_columns = sizeof(columns) / sizeof(columns[0])}};
	CN_AUTO(cn_data) d = {NULL, NULL};
	int err = open_history(cli, o, &d, reterr);

	/* Before the first turn there is nothing to open, and nothing wrong. */
	if (!err)
		err =
		    cn_store_sessions(d.store, cn_view_str(o->owner), on_line, &to, reterr);
	if (err && (err != CN_E_NOT_FOUND || o->history))
		return err;
	cn_cli__listing_print(cli, &to.l, "No sessions are stored.");
	return 0;
}

static const struct cn_command cmd_sessions_list = {
    .name = "list",
    .summary = "Lists the stored sessions, the newest first",
    .options = list_options,
    .opts_size = sizeof(struct common_opts),
    .run = run_list,
};

/* ---- one session, turn by turn ---- */

struct printing {
	struct cn_store *store; /* borrowed */
	struct cn_export *e;    /* owned */
	FILE *to;               /* borrowed */
	struct cn_buf b;        /* owned; one turn's text */
	struct cn_error error;  /* what stopped it; code 0: nothing */
	const char *name;       /* of the file, for errors */
};

static int on_node(void *self, struct cn_arena *a, const struct cn_hash *id,
                   struct cn_node *ret, struct cn_error *reterr)
{
	return cn_store_node(self, a, id, ret, reterr);
}

static bool on_turn(void *self, const struct cn_turn_record *t)
{
	struct printing *p = self;

	cn_buf_clear(&p->b);
	if (cn_export_turn(p->e, t, &p->b, &p->error))
		return false;
	if (p->b.n && fwrite(p->b.p, 1, p->b.n, p->to) != p->b.n)
		(void)cn_fail(&p->error, CN_E_IO, "writing %s: %s", p->name,
		              strerror(errno));
	return p->error.code == 0;
}

/* Writes session `id` to `to` in that form. */
static int print_session(struct cn_cli *cli, const struct common_opts *o,
                         enum cn_export_form form, FILE *to, const char *name,
                         struct cn_error *reterr)
{
	struct printing p = {.to = to, .name = name};
	CN_AUTO(cn_data) d = {NULL, NULL};
	int err = open_history(cli, o, &d, reterr);

	if (err)
		return err;
	p.store = d.store;
	p.e = cn_export_new(form, on_node, d.store);
	err = cn_store_turns(d.store, cn_view_str(o->owner), cn_view_str(cli->args[0]),
	                     on_turn, &p, reterr);
	if (!err && p.error.code) {
		err = p.error.code;
		*reterr = p.error;
	}
	p.e = cn_export_free(p.e);
	cn_buf_done(&p.b);
	return err;
}

/* ---- show ---- */

static const struct cn_option show_options[] = {
    CN_OPTION(TEXT, struct common_opts, owner, "owner", "NAME", "Whose session it is"),
    CN_OPTION(TEXT, struct common_opts, history, "history", "DIR",
              "Reads the history in DIR, such as one that was set aside as damaged"),
    {0}};

static const char *const show_description[] = {
    "Prints who said what, which model answered, which attempts failed and why, and how "
    "long it took.  The beginning of the id is enough when no other session begins so.  "
    "Long tool results are cut; `sessions export` has them whole.  With --json it prints "
    "the lines of `sessions export`.",
    NULL};

static int run_show(struct cn_cli *cli, struct cn_error *reterr)
{
	return print_session(cli, cli->opts,
	                     cli->common.json ? CN_EXPORT_JSONL : CN_EXPORT_TRANSCRIPT,
	                     cli->out, "standard output", reterr);
}

static const struct cn_command cmd_sessions_show = {
    .name = "show",
    .summary = "Prints a session for reading",
    .description = show_description,
    .options = show_options,
    .opts_size = sizeof(struct common_opts),
    .arguments = "ID",
    .args_min = 1,
    .args_max = 1,
    .run = run_show,
};

/* ---- export ---- */

struct export_opts {
	struct common_opts common;
	const char *format, *output;
};

static const struct cn_option export_options[] = {
    CN_OPTION(WORD, struct export_opts, format, "format", "jsonl|markdown",
              "What to write; jsonl when not given"),
    CN_OPTION(TEXT, struct export_opts, output, "output", "FILE",
              "Writes to FILE, which must not exist yet, instead of standard output"),
    CN_OPTION(TEXT, struct export_opts, common.owner, "owner", "NAME",
              "Whose session it is"),
    CN_OPTION(TEXT, struct export_opts, common.history, "history", "DIR",
              "Reads the history in DIR, such as one that was set aside as damaged"),
    {0}};

static const char *const export_description[] = {
    "Writes a whole session: every message of the main thread and of each subagent once, "
    "the answers with the model that gave them, and for each turn its attempts, usage and "
    "timings.",
    "As jsonl each line is an object with a \"type\": session, prefix (system and tools), "
    "message, note or turn.",
    NULL};

static const struct cn_example export_examples[] = {
    {"sessions export 3f2a --output session.jsonl", "Keeps a session as JSON lines"},
    {"sessions export 3f2a --format markdown | less", "Reads all of it"},
    {0}};

static int export_to_file(struct cn_cli *cli, enum cn_export_form form,
                          struct cn_error *reterr)
{
	const struct export_opts *o = cli->opts;
	int fd =
	    open(o->output, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	int err;

	if (!f) {
		int code = errno == EEXIST ? CN_E_EXISTS : CN_E_IO;

		err =
		    cn_fail(reterr, code, "cannot make %s: %s", o->output, strerror(errno));
		if (fd >= 0)
			(void)close(fd);
		return err;
	}
	err = print_session(cli, &o->common, form, f, o->output, reterr);
	if (fclose(f) && !err)
		err =
		    cn_fail(reterr, CN_E_IO, "writing %s: %s", o->output, strerror(errno));
	if (err)
		(void)unlink(o->output); /* half an export looks like a whole one */
	return err;
}

static int run_export(struct cn_cli *cli, struct cn_error *reterr)
{
	const struct export_opts *o = cli->opts;
	enum cn_export_form form = o->format && strcmp(o->format, "markdown") == 0
	                               ? CN_EXPORT_MARKDOWN
	                               : CN_EXPORT_JSONL;

	if (o->output)
		return export_to_file(cli, form, reterr);
	return print_session(cli, &o->common, form, cli->out, "standard output", reterr);
}

static const struct cn_command cmd_sessions_export = {
    .name = "export",
    .summary = "Writes a session as JSON lines or Markdown",
    .description = export_description,
    .options = export_options,
    .opts_size = sizeof(struct export_opts),
    .arguments = "ID",
    .args_min = 1,
    .args_max = 1,
    .examples = export_examples,
    .run = run_export,
};

static const struct cn_command *const sessions_commands[] = {
    &cmd_sessions_list, &cmd_sessions_show, &cmd_sessions_export, NULL};

const struct cn_command cn_cmd_sessions = {
    .name = "sessions",
    .summary = "Lists, shows and exports the stored conversations",
    .commands = sessions_commands,
};
