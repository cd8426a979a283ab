/*
 * If this fails, people cannot get at their stored conversations, or get somebody else's:
 * `continuo sessions` over a real vault and a real history.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <uv.h>

#include "../../src/cli/open_impl.h"

#include "continuo/hash.h"
#include "continuo/json.h"
#include "continuo/store.h"
#include "continuo/vault.h"

static char home[64];

/* ---- a history ---- */

static void on_word(void *self, enum cn_store_word word)
{
	assert_int_equal(CN_STORE_KEPT, word);
	uv_sem_post(self);
}

static struct cn_hash hash(void *self, const struct cn_view *views, size_t n)
{
	return cn_vault_hash(self, CN_VAULT_HASH_NODE, views, n);
}

static struct cn_node say(struct cn_arena *a, struct cn_vault *v,
                          const struct cn_hash *parent, const char *role, const char *text)
{
	CN_AUTO(cn_buf) b = {0};
	struct cn_canon canon = {a, CN_VIEW("anna"), hash, v};
	struct cn_node node;

	cn_buf_add_char(&b, '{');
	cn_json_add_text(&b, "role", cn_view_str(role));
	cn_json_add_text(&b, "content", cn_view_str(text));
	cn_buf_add_char(&b, '}');
	assert_int_equal(0, cn_canon_message(&canon, cn_buf_view(&b), parent, &node, NULL));
	return node;
}

static void store_turn(struct cn_data *d, const char *session, const char *question,
                       const char *answer, uint64_t when)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_hash none = {{0}};
	struct cn_node u = say(&a, d->vault, &none, "user", question);
	struct cn_node w = say(&a, d->vault, &u.id, "assistant", answer);
	struct cn_turn_record r = {
	    .request_id = CN_VIEW("req_1"),
	    .owner = CN_VIEW("anna"),
	    .project = CN_VIEW("kitchen"),
	    .session = cn_view_str(session),
	    .caller = CN_VIEW("main"),
	    .used = CN_VIEW("kimi/k2"),
	    .ending = CN_VIEW("ok"),
	    .status = 200,
	    .started_wall_ms = when,
	    .request_node = u.id,
	    .answer_node = w.id,
	};
	struct cn_batch *b = cn_batch_new();
	uv_sem_t sem;

	assert_int_equal(0, uv_sem_init(&sem, 0));
	cn_batch_node(b, &u);
	cn_batch_node(b, &w);
	cn_batch_turn(b, &r);
	cn_store_submit(d->store, b, on_word, &sem);
	uv_sem_wait(&sem);
	uv_sem_destroy(&sem);
}

/* ---- one command, as from the shell ---- */

struct said {
	int status;
	char out[8192], err[2048];
};

static void slurp(FILE *f, char *to, size_t n)
{
	size_t got;

	rewind(f);
	got = fread(to, 1, n - 1, f);
	to[got] = '\0';
	fclose(f);
}

static struct said command(const char *const *words)
{
	struct cn_cli cli = {.root = &cn_cli__root, .out = tmpfile(), .err = tmpfile()};
	const char *argv[16] = {"continuo"};
	struct said said = {0};
	int argc = 1;

	for (; words[argc - 1]; argc++)
		argv[argc] = words[argc - 1];
	argv[argc++] = "--home";
	argv[argc++] = home;
	said.status = cn_cli__main(&cli, argc, argv);
	slurp(cli.out, said.out, sizeof(said.out));
	slurp(cli.err, said.err, sizeof(said.err));
	cn_cli_done(&cli);
	return said;
}

#define COMMAND(...) command((const char *const[]){__VA_ARGS__, NULL})

static void assert_says(const char *text, const char *want)
{
	if (!strstr(text, want))
		fail_msg("want \"%s\" in:\n%s", want, text);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int set_up(void **state)
{
	struct cn_cli cli = {.out = stdout, .err = stderr};
	struct cn_open_opts opts = {.write = true};
	struct cn_paths paths;
	struct cn_data d;
	struct cn_error e = {0};

	(void)state;
	strcpy(home, "/tmp/cn-sessions-XXXXXX");
	if (!mkdtemp(home))
		return -1;
	cn_hash_setup();
	umask(077);
	cli.common.home = home;
	if (cn_cli__paths(&cli, &paths, &e) ||
	    cn_cli__open_data(&cli, &paths, &opts, &d, &e)) {
		print_error("%s\n", e.message);
		return -1;
	}
	store_turn(&d, "3f2a-1", "bake a cake", "with plums", 1795232797000);
	store_turn(&d, "3f2b-2", "wash up", "no", 1795232798000);
	cn_data_done(&d);
	cn_cli_done(&cli);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return nftw(home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- what is said ---- */

static void list_names_sessions_newest_first(void **state)
{
	struct said table = COMMAND("sessions", "list"), none, json;

	(void)state;
	assert_int_equal(0, table.status);
	assert_says(table.out, "bake a cake");
	assert_true(strstr(table.out, "3f2b-2") < strstr(table.out, "3f2a-1"));
	json = COMMAND("sessions", "list", "--json", "--owner", "anna");
	assert_int_equal(0, cn_json_check(cn_view_str(json.out), NULL));
	assert_says(json.out, "\"project\":\"kitchen\"");
	none = COMMAND("sessions", "list", "--owner", "bert");
	assert_int_equal(0, none.status);
	assert_null(strstr(none.out, "3f2"));
}

static void show_prints_the_conversation(void **state)
{
	struct said said = COMMAND("sessions", "show", "3f2a");

	(void)state;
	assert_int_equal(0, said.status);
	assert_says(said.out, "2026-11-21 03:46:37 user\n    bake a cake\n");
	assert_says(said.out, "assistant kimi/k2");
	assert_says(said.out, "with plums");
	said = COMMAND("sessions", "show", "3f2a", "--json");
	assert_says(said.out, "\"role\":\"assistant\"");
}

static void what_is_not_one_session_is_an_error(void **state)
{
	static const struct {
		const char *id, *owner, *error;
	} cases[] = {{"3f2", "anna", "several sessions begin with 3f2"},
	             {"9", "anna", "there is no session 9"},
	             {"3f2a", "bert", "there is no session 3f2a"}};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct said said =
		    COMMAND("sessions", "show", cases[i].id, "--owner", cases[i].owner);

		assert_int_equal(1, said.status);
		assert_says(said.err, cases[i].error);
		assert_string_equal("", said.out);
	}
}

static void export_writes_a_new_file_or_none(void **state)
{
	char file[96];
	struct said said;
	struct stat st;

	(void)state;
	(void)snprintf(file, sizeof(file), "%s/out.jsonl", home);
	said = COMMAND("sessions", "export", "nothing", "--output", file);
	assert_int_equal(1, said.status);
	assert_int_equal(-1, stat(file, &st));
	said = COMMAND("sessions", "export", "3f2a", "--output", file);
	assert_int_equal(0, said.status);
	assert_string_equal("", said.out);
	assert_int_equal(0, stat(file, &st));
	assert_int_equal(0600, st.st_mode & 07777);
	said = COMMAND("sessions", "export", "3f2a", "--output", file);
	assert_int_equal(1, said.status);
	said = COMMAND("sessions", "export", "3f2a", "--format", "markdown");
	assert_says(said.out, "# Session 3f2a-1\n");
	said = COMMAND("sessions", "export", "3f2a");
	assert_says(said.out, "{\"type\":\"session\",");
	assert_says(said.out, "{\"type\":\"turn\",");
}

static void an_empty_home_has_no_sessions(void **state)
{
	char kept[sizeof(home)];
	struct said said;

	(void)state;
	strcpy(kept, home);
	strcpy(home, "/tmp/cn-nothing-here");
	said = COMMAND("sessions", "list");
	assert_int_equal(0, said.status);
	assert_says(said.out, "No sessions are stored.");
	said = COMMAND("sessions", "show", "3f2a");
	assert_int_equal(1, said.status);
	strcpy(home, kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(list_names_sessions_newest_first),
	    cmocka_unit_test(show_prints_the_conversation),
	    cmocka_unit_test(what_is_not_one_session_is_an_error),
	    cmocka_unit_test(export_writes_a_new_file_or_none),
	    cmocka_unit_test(an_empty_home_has_no_sessions),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
