/*
 * Conversations made by chance, encoded for Chat Completions backends and read back: what
 * strict servers demand holds, nothing that was said is lost or changes places, and what
 * was written of earlier messages stays the same when the conversation goes on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <yyjson.h>

#include "../lib/chat_rules.h"
#include "../lib/dice.h"

#include "continuo/hash.h"
#include "continuo/openai_chat.h"

#define CASES 2000

/* A conversation: what the client sends, and what a reader must find, a line each. */
struct talk {
	struct cn_buf json;  /* owned: messages, without brackets */
	struct cn_buf facts; /* owned */
	unsigned calls;      /* so far */
	unsigned words;
};

static const char *const snippets[] = {
    "plain words",      "line\\none \\\"two\\\"", "\\u00e9t\\u00e9 \\ud83d\\ude00",
    "<think>x</think>", "{\\\"json\\\":[1,2]}",   "\xc3\xa9\xe2\x80\x94\\\\",
    " spaced "};

/* A text that stands nowhere else; JSON, without quotes. */
static const char *a_text(struct talk *t, struct dice *d, char *ret, size_t n)
{
	(void)snprintf(ret, n, "%s #%u", snippets[dice_below(d, 7)], t->words++);
	return ret;
}

/* Never NULL: what is missing differs from every fact. */
static const char *string(yyjson_val *v)
{
	const char *s = yyjson_get_str(v);

	return s ? s : "(missing)";
}

/* One fact, decoded, so that ways of escaping do not differ. */
static void add_fact(struct talk *t, const char *what, const char *inside)
{
	char json[512];
	yyjson_doc *doc;

	(void)snprintf(json, sizeof(json), "\"%s\"", inside);
	doc = yyjson_read(json, strlen(json), 0);
	assert_non_null(doc);
	cn_buf_printf(&t->facts, "%s %s\n", what, string(yyjson_doc_get_root(doc)));
	yyjson_doc_free(doc);
}

static void add_user_text(struct talk *t, struct dice *d, bool first)
{
	char text[256];

	a_text(t, d, text, sizeof(text));
	cn_buf_printf(&t->json, "%s{\"type\":\"text\",\"text\":\"%s\"}", first ? "" : ",",
	              text);
	add_fact(t, "user", text);
}

/* The results of so many calls, some in another order, some with images or errors. */
static void add_results(struct talk *t, struct dice *d, unsigned n)
{
	bool backwards = dice_percent(d, 50);
	struct cn_buf found[8] = {{0}};

	for (unsigned i = 0; i < n; i++) {
		unsigned k = backwards ? n - 1 - i : i;
		bool error = dice_percent(d, 20);
		struct talk one = {.words = t->words};
		char text[256], what[64];

		a_text(&one, d, text, sizeof(text));
		t->words = one.words;
		cn_buf_printf(
		    &t->json, "%s{\"type\":\"tool_result\",\"tool_use_id\":\"call.%u\",%s",
		    i ? "," : "", t->calls - n + k, error ? "\"is_error\":true," : "");
		if (dice_percent(d, 50))
			cn_buf_printf(&t->json, "\"content\":\"%s\"}", text);
		else
			cn_buf_printf(&t->json,
			              "\"content\":[{\"type\":\"text\",\"text\":\"%s\"}]}",
			              text);
		(void)snprintf(what, sizeof(what), "result%s", error ? " Error:" : "");
		add_fact(&one, what, text);
		found[k] = one.facts;
	}
	for (unsigned i = 0; i < n; i++) {
		cn_buf_add_view(&t->facts, cn_buf_view(&found[i]));
		cn_buf_done(&found[i]);
	}
}

static void add_user(struct talk *t, struct dice *d, unsigned results)
{
	char text[256];

	cn_buf_add_str(&t->json, t->json.n ? "," : "");
	cn_buf_add_str(&t->json, "{\"role\":\"user\",\"content\":[");
	add_results(t, d, results);
	if (!results || dice_percent(d, 40))
		add_user_text(t, d, results == 0);
	if (dice_percent(d, 30))
		add_user_text(t, d, false);
	cn_buf_add_str(&t->json, "]}");
	if (!dice_percent(d, 30))
		return;
	a_text(t, d, text, sizeof(text));
	cn_buf_printf(&t->json, ",{\"role\":\"system\",\"content\":\"%s\"}", text);
	add_fact(t, "user", text);
}

/* How many calls it made. */
static unsigned add_assistant(struct talk *t, struct dice *d)
{
	unsigned n = (unsigned)dice_below(d, 4), calls = 0;
	struct cn_buf facts = {0};
	char text[256];

	cn_buf_add_str(&t->json,
	               ",{\"role\":\"assistant\",\"content\":["
	               "{\"type\":\"thinking\",\"thinking\":\"secret\",\"signature\":"
	               "\"\"}");
	for (unsigned i = 0; i < n || i == 0; i++) {
		if (dice_percent(d, 50)) {
			a_text(t, d, text, sizeof(text));
			cn_buf_printf(&t->json, ",{\"type\":\"text\",\"text\":\"%s\"}",
			              text);
			add_fact(t, "assistant", text);
			continue;
		}
		a_text(t, d, text, sizeof(text));
		cn_buf_printf(&t->json,
		              ",{\"type\":\"tool_use\",\"id\":\"call.%u\",\"name\":\"T%u\","
		              "\"input\":{\"x\": \"%s\"}}",
		              t->calls, t->calls % 3, text);
		cn_buf_printf(&facts, "call T%u ", t->calls % 3);
		t->calls++;
		calls++;
		{
			struct talk one = {0};

			add_fact(&one, "with", text);
			cn_buf_add_view(&facts, cn_buf_view(&one.facts));
			cn_buf_done(&one.facts);
		}
	}
	/* Calls stand behind all texts of their message. */
	cn_buf_add_view(&t->facts, cn_buf_view(&facts));
	cn_buf_done(&facts);
	cn_buf_add_str(&t->json, "]}");
	return calls;
}

/* ---- encoded, and read back ---- */

static void encode(const struct talk *t, uint64_t quirks, struct cn_buf *ret)
{
	struct cn_edit edit = {.model = CN_VIEW("m"), .images = true, .quirks = quirks};
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) body = {0};
	struct cn_request r;
	struct cn_slices s;
	char bad[200];

	cn_buf_printf(&body, "{\"model\":\"x\",\"max_tokens\":9,\"messages\":[%.*s]}",
	              CN_VIEW_ARG(cn_buf_view(&t->json)));
	assert_int_equal(cn_request_read(&a, cn_buf_view(&body), &(struct cn_caller_ids){0},
	                                 NULL, &r, NULL),
	                 0);
	s = cn_openai_chat_encode_request(&a, &r, &edit);
	for (size_t i = 0; i < s.n; i++)
		cn_buf_add_view(ret, s.v[i]);
	if (chat_rules_breach(cn_buf_view(ret), quirks, bad, sizeof(bad)))
		fail_msg("%s\n%s\n%.*s", bad, cn_buf_cstr(&body),
		         CN_VIEW_ARG(cn_buf_view(ret)));
}

/* The texts of a content, as lines; they were marked with " #N" each. */
static void read_texts(struct cn_buf *facts, const char *what, const char *text)
{
	const char *p = text, *end;

	while ((end = strstr(p, " #"))) {
		end += 2;
		while (*end >= '0' && *end <= '9')
			end++;
		while (p < end && *p == '\n')
			p++;
		if (strncmp(p, "<system-reminder>\n", 18) == 0)
			p += 18;
		cn_buf_printf(facts, "%s %.*s\n", what, (int)(end - p), p);
		p = end;
		if (strncmp(p, "\n</system-reminder>", 19) == 0)
			p += 19;
	}
}

static void read_content(struct cn_buf *facts, const char *what, yyjson_val *content)
{
	size_t i, max;
	yyjson_val *part;

	if (yyjson_is_str(content))
		read_texts(facts, what, string(content));
	yyjson_arr_foreach(content, i, max, part) if (yyjson_is_obj(part))
	    read_texts(facts, what, string(yyjson_obj_get(part, "text")));
}

static void read_message(struct cn_buf *facts, yyjson_val *m)
{
	const char *role = string(yyjson_obj_get(m, "role"));
	size_t i, max;
	yyjson_val *call;

	read_content(facts, strcmp(role, "tool") == 0 ? "result" : role,
	             yyjson_obj_get(m, "content"));
	yyjson_arr_foreach(yyjson_obj_get(m, "tool_calls"), i, max, call)
	{
		const char *arguments = string(yyjson_ptr_get(call, "/function/arguments"));
		yyjson_doc *doc = yyjson_read(arguments, strlen(arguments), 0);

		cn_buf_printf(facts, "call %s with %s\n",
		              string(yyjson_ptr_get(call, "/function/name")),
		              string(yyjson_doc_ptr_get(doc, "/x")));
		yyjson_doc_free(doc);
	}
}

static void read_back(const struct cn_buf *body, struct cn_buf *facts)
{
	yyjson_doc *doc = yyjson_read(body->p, body->n, 0);
	size_t i, max;
	yyjson_val *m;

	yyjson_arr_foreach(yyjson_doc_ptr_get(doc, "/messages"), i, max, m)
	    read_message(facts, m);
	yyjson_doc_free(doc);
}

/* Everything of the shorter one's messages but their closing bracket. */
static void check_prefix(const struct cn_buf *shorter, const struct cn_buf *longer)
{
	struct cn_view end = CN_VIEW("],\"max_");
	size_t n = cn_view_find(cn_buf_view(shorter), end, 0);

	assert_true(n != SIZE_MAX);
	if (!cn_view_starts(cn_buf_view(longer), cn_view_cut(cn_buf_view(shorter), n)))
		fail_msg("earlier messages changed:\n%.*s\n%.*s",
		         CN_VIEW_ARG(cn_buf_view(shorter)),
		         CN_VIEW_ARG(cn_buf_view(longer)));
}

static void run(uint64_t seed)
{
	/* Those that put a user's text into another message are held to the rules alone. */
	uint64_t moves = cn_quirk_bit(CN_QUIRK_NO_USER_AFTER_TOOL);
	struct dice d = {seed};
	uint64_t quirks = dice_percent(&d, 50) ? 0 : dice_next(&d);
	unsigned turns = 1 + (unsigned)dice_below(&d, 5), calls = 0;
	struct talk t = {0};
	CN_AUTO(cn_buf) before = {0};
	CN_AUTO(cn_buf) facts = {0};

	for (unsigned i = 0; i < turns; i++) {
		CN_AUTO(cn_buf) now = {0};

		if (i)
			calls = add_assistant(&t, &d);
		add_user(&t, &d, calls);
		encode(&t, quirks, &now);
		if (before.n)
			check_prefix(&before, &now);
		cn_buf_clear(&before);
		cn_buf_add_view(&before, cn_buf_view(&now));
	}
	read_back(&before, &facts);
	if (!(quirks & moves) && strcmp(cn_buf_cstr(&facts), cn_buf_cstr(&t.facts)) != 0)
		fail_msg("seed %llu:\n%s\nbecame\n%s\n%.*s", (unsigned long long)seed,
		         t.facts.p, facts.p, CN_VIEW_ARG(cn_buf_view(&before)));
	cn_buf_done(&t.json);
	cn_buf_done(&t.facts);
}

static void conversations_are_said_whole_and_in_order(void **state)
{
	const char *more = getenv("CONTINUO_CASES");
	uint64_t cases = more ? strtoull(more, NULL, 10) : CASES;

	(void)state;
	for (uint64_t seed = 1; seed <= cases; seed++)
		run(seed);
}

/* The rules themselves: each is broken once. */
static void the_rules_are_rules(void **state)
{
#define TALK(list) "{\"model\":\"m\",\"messages\":[" list "]}"
#define USER       "{\"role\":\"user\",\"content\":\"u\"}"
#define CALLS                                                                              \
	"{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"a\",\"type\":" \
	"\"function\",\"function\":{\"name\":\"n\",\"arguments\":\"{}\"}}]}"
#define ANSWER(id) "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":\"\"}"
	static const struct {
		const char *body;
		uint64_t quirks;
		const char *breach;
	} cases[] = {
	    {TALK(USER), 0, NULL},
	    {TALK(USER "," CALLS "," ANSWER("a")), 0, NULL},
	    {TALK(USER "," CALLS), 0, "a call without a result"},
	    {TALK(USER "," CALLS "," USER), 0, "a call without a result"},
	    {TALK(USER "," CALLS "," ANSWER("b")), 0, "a result out of order: b"},
	    {TALK(USER "," USER), 0, "two user messages in a row"},
	    {TALK(CALLS "," ANSWER("a")), 0, "an assistant message before any of the user"},
	    {TALK(USER ",{\"role\":\"system\",\"content\":\"s\"}"), 0,
	     "a system message where none may be"},
	    {TALK(USER "," CALLS "," ANSWER("a")), UINT64_MAX, "null as content"},
	    {TALK(""), 0, "no messages"},
	    {"{\"model\":\"m\",\"system\":\"s\",\"messages\":[" USER "]}", 0,
	     "an unknown member: system"},
	    {"{\"model\":\"m\",\"max_tokens\":1,\"max_completion_tokens\":1,\"messages\":[" USER
	     "]}",
	     0, "two limits"},
	    {"{\"model\":\"m\",\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"],\"messages\":[" USER
	     "]}",
	     0, "stop"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[200];
		const char *got = chat_rules_breach(cn_view_str(cases[i].body),
		                                    cases[i].quirks, text, sizeof(text));

		if (!cases[i].breach != !got || (got && strcmp(got, cases[i].breach) != 0))
			fail_msg("%s: %s", cases[i].body, got ? got : "nothing");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(conversations_are_said_whole_and_in_order),
	    cmocka_unit_test(the_rules_are_rules),
	};

	cn_hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
