/*
 * `continuo status`: what a running router is doing, and what cools down and why.
 *
 * Asks the admin socket and prints; keeps nothing.  Main thread.
 */
#include "router_impl.h"

#include <inttypes.h>
#include <stdlib.h>

#include "continuo/json.h"

struct opts {
	bool reset;
};

static const struct cn_option options[] = {
    CN_OPTION(SWITCH, struct opts, reset, "reset", NULL,
              "Forgets cooldowns and breakers: those of NAME, or all"),
    {0}};

static const char *const description[] = {
    "Prints where the router listens, what it is busy with, and which backends, accounts "
    "and models rest at the moment, with the reason.  Warns of models whose answers were "
    "damaged: the prompt was cut by the server, or another model answered than was asked.  "
    "Fails when no router runs.",
    NULL};

static const struct cn_example examples[] = {
    {"status", "Shows the router of this user"},
    {"status --reset kimi", "Lets `kimi` be tried again at once"},
    {0}};

static uint64_t number_of(struct cn_json object, const char *key)
{
	uint64_t n = 0;

	(void)cn_json_u64(cn_json_get(object, key), &n); /* not there: 0 */
	return n;
}

static const char *text_of(struct cn_cli *cli, struct cn_json object, const char *key)
{
	return cn_cli__clean(cli, cn_json_text(&cli->arena, cn_json_get(object, key)));
}

static double dollars_of(struct cn_cli *cli, struct cn_json number)
{
	return number.kind == CN_JSON_NUMBER
	           ? strtod(cn_arena_dup(&cli->arena, number.raw), NULL)
	           : 0;
}

/* "2d 3h", "4m 5s", "900ms": the two largest units. */
static const char *duration(struct cn_cli *cli, uint64_t ms)
{
	static const struct {
		uint64_t ms;
		const char *unit;
	} units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}};
	size_t n = sizeof(units) / sizeof(units[0]);

	for (size_t i = 0; i + 1 < n; i++)
		if (ms >= units[i].ms)
			return cn_arena_printf(&cli->arena, "%" PRIu64 "%s %" PRIu64 "%s",
			                       ms / units[i].ms, units[i].unit,
			                       ms % units[i].ms / units[i + 1].ms,
			                       units[i + 1].unit);
	if (ms >= 1000)
		return cn_arena_printf(&cli->arena, "%.1fs", (double)ms / 1000);
	return cn_arena_printf(&cli->arena, "%" PRIu64 "ms", ms);
}

static void print_router(struct cn_cli *cli, struct cn_json s)
{
	struct cn_json store = cn_json_get(s, "store");
	const char *why = text_of(cli, store, "why");
	bool draining = cn_json_get(s, "draining").kind == CN_JSON_TRUE;
	bool locked = cn_json_get(s, "memory_locked").kind == CN_JSON_TRUE;

	cn_cli__print(cli, "router    %s, version %s, pid %" PRIu64 ", up %s%s\n",
	              text_of(cli, s, "url"), text_of(cli, s, "version"),
	              number_of(s, "pid"), duration(cli, number_of(s, "uptime_ms")),
	              draining ? ", stopping" : "");
	cn_cli__print(cli, "policy    %s (%.12s)\n", text_of(cli, s, "policy"),
	              text_of(cli, s, "policy_digest"));
	cn_cli__print(
	    cli,
	    "now       turns %" PRIu64 ", connections %" PRIu64 ", clients of run %" PRIu64
	    ", workers %" PRIu64 ", memory %" PRIu64 " %% of its limit\n",
	    number_of(s, "turns_now"), number_of(s, "connections_now"),
	    number_of(s, "runs"), number_of(s, "workers"), number_of(s, "memory_percent"));
	cn_cli__print(cli, "history   %s%s%s, %" PRIu64 " waiting\n",
	              text_of(cli, store, "state"), *why ? ": " : "", why,
	              number_of(store, "queued"));
	cn_cli__print(cli, "today     %" PRIu64 " tokens, $%.2f\n",
	              number_of(cn_json_get(s, "today"), "tokens"),
	              dollars_of(cli, cn_json_get(cn_json_get(s, "today"), "money")));
	cn_cli__print(cli, "keys      %s\n",
	              locked ? "in locked memory" : "in memory that may be swapped out");
}

static void print_cooldowns(struct cn_cli *cli, struct cn_json s)
{
	static const struct cn_column columns[] = {{"scope", "WHAT", false},
	                                           {"name", "NAME", false},
	                                           {"because", "BECAUSE", false},
	                                           {"ready_in", "READY IN", false},
	                                           {"times", "TIMES", true}};
	struct cn_listing l = {.columns = columns,
	                       .n_columns = sizeof(columns) / sizeof(columns[0])};

	for (struct cn_json_iter it = cn_json_iter(cn_json_get(s, "cooldowns"));
	     cn_json_next(&it);) {
		bool breaker = cn_json_get(it.value, "breaker").kind == CN_JSON_TRUE;
		const char *because = text_of(cli, it.value, "because");
		const char *reason = text_of(cli, it.value, "reason");

		cn_cli__cell(cli, &l, cn_view_str(text_of(cli, it.value, "scope")));
		cn_cli__cell(cli, &l, cn_view_str(text_of(cli, it.value, "name")));
		if (breaker)
			reason = "breaker open";
		if (*reason && strcmp(reason, because) != 0)
			because = cn_arena_printf(&cli->arena, "%s (%s)", because, reason);
		cn_cli__cell(cli, &l, cn_view_str(because));
		cn_cli__cell(
		    cli, &l,
		    cn_view_str(duration(cli, number_of(it.value, "ready_in_ms"))));
		cn_cli__cell_number(cli, &l, number_of(it.value, "times"));
	}
	cn_cli__print(cli, "\n");
	cn_cli__listing_print(cli, &l, "Nothing cools down.");
}

/* Nothing is said where there is nothing to warn of. */
static void print_warnings(struct cn_cli *cli, struct cn_json s)
{
	static const struct cn_column columns[] = {{"name", "MODEL", false},
	                                           {"what", "WARNING", false},
	                                           {"last", "LAST", false},
	                                           {"times", "TIMES", true}};
	struct cn_listing l = {.columns = columns,
	                       .n_columns = sizeof(columns) / sizeof(columns[0])};
	bool any = false;

	for (struct cn_json_iter it = cn_json_iter(cn_json_get(s, "warnings"));
	     cn_json_next(&it);) {
		any = true;
		cn_cli__cell(cli, &l, cn_view_str(text_of(cli, it.value, "name")));
		cn_cli__cell(cli, &l,
		             cn_view_str(cn_arena_printf(
				 &cli->arena, "%s: %s", text_of(cli, it.value, "reason"),
				 text_of(cli, it.value, "detail"))));
		cn_cli__cell(cli, &l,
		             cn_view_str(cn_arena_printf(
				 &cli->arena, "%s ago",
				 duration(cli, number_of(it.value, "last_ms_ago")))));
		cn_cli__cell_number(cli, &l, number_of(it.value, "times"));
	}
	if (!any)
		return;
	cn_cli__print(cli, "\n");
	cn_cli__listing_print(cli, &l, "");
}

static void print_counters(struct cn_cli *cli, struct cn_json s)
{
	bool titled = false;

	for (struct cn_json_iter it = cn_json_iter(cn_json_get(s, "counters"));
	     cn_json_next(&it);) {
		uint64_t n = 0;

		if (!cn_json_u64(it.value, &n) || !n)
			continue;
		cn_cli__print(cli, titled ? ", " : "\nsince the start: ");
		titled = true;
		cn_cli__print(cli, "%s %" PRIu64, cn_cli__clean(cli, it.key), n);
	}
	if (titled)
		cn_cli__print(cli, "\n");
}

static int reset(struct cn_cli *cli, const char *socket, struct cn_error *reterr)
{
	CN_AUTO(cn_buf) request = {0};
	CN_AUTO(cn_admin_answer) answer = {0};
	int failed;

	cn_buf_add_char(&request, '{');
	if (cli->n_args)
		cn_json_add_text(&request, "name", cn_view_str(cli->args[0]));
	cn_buf_add_char(&request, '}');
	failed = cn_cli__admin_call(socket, "POST", "/api/reset", cn_buf_view(&request),
	                            &answer, reterr);
	if (!failed && answer.status != 200)
		failed = cn_cli__admin_refused(CN_E_FAIL, &answer, reterr);
	return failed;
}

static int run(struct cn_cli *cli, struct cn_error *reterr)
{
	const struct opts *o = cli->opts;
	CN_AUTO(cn_admin_answer) answer = {0};
	struct cn_paths p;
	struct cn_json json;
	int failed;

	if (cli->n_args && !o->reset)
		return cn_fail(reterr, CN_E_USAGE, "a NAME goes with --reset");
	failed = cn_cli__paths(cli, &p, reterr);
	if (!failed && o->reset)
		failed = reset(cli, p.admin_socket, reterr);
	if (!failed)
		failed = cn_cli__admin_call(p.admin_socket, "GET", "/api/status",
		                            (struct cn_view){0}, &answer, reterr);
	if (!failed && answer.status != 200)
		failed = cn_cli__admin_refused(CN_E_FAIL, &answer, reterr);
	if (failed)
		return failed;
	if (cli->common.json) {
		cn_cli__print(cli, "%.*s\n", CN_VIEW_ARG(cn_buf_view(&answer.body)));
		return 0;
	}
	json = cn_json_root(cn_buf_view(&answer.body));
	print_router(cli, json);
	print_cooldowns(cli, json);
	print_warnings(cli, json);
	print_counters(cli, json);
	return 0;
}

const struct cn_command cn_cmd_status = {
    .name = "status",
    .summary = "Shows what the router is doing and what cools down",
    .description = description,
    .options = options,
    .opts_size = sizeof(struct opts),
    .arguments = "[NAME]",
    .args_max = 1,
    .examples = examples,
    .run = run,
};
