/*
 * Requests encoded for Chat Completions backends: each rule of the mapping by one case, and
 * what must hold of every request (valid JSON, the same bytes for earlier messages).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <yyjson.h>

#include "continuo/hash.h"
#include "continuo/openai_chat.h"

#define Q(name)  ((uint64_t)1 << CN_QUIRK_##name)
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- one request, encoded ---- */

static void joined(const struct cn_slices *s, struct cn_buf *ret)
{
	for (size_t i = 0; i < s->n; i++)
		cn_buf_add_view(ret, s->v[i]);
	assert_int_equal(ret->n, s->bytes);
}

static void encode(const char *request, const struct cn_edit *edit, struct cn_buf *ret)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_caller_ids ids = {.session = {NULL, 0}};
	struct cn_error err = {0};
	struct cn_request r;
	struct cn_slices s;

	if (cn_request_read(&a, cn_view_str(request), &ids, NULL, &r, &err))
		fail_msg("%s\n%s", request, err.message);
	s = cn_openai_chat_encode_request(&a, &r, edit);
	joined(&s, ret);
	if (cn_json_check(cn_buf_view(ret), &err))
		fail_msg("%s\nbecomes\n%.*s\n%s", request, CN_VIEW_ARG(cn_buf_view(ret)),
		         err.message);
}

/* What stands at a JSON pointer; "-": nothing. */
static void expect(const char *request, const struct cn_edit *edit, const char *pointer,
                   const char *wanted)
{
	CN_AUTO(cn_buf) out = {0};
	yyjson_doc *doc;
	yyjson_val *v;
	char *text;

	encode(request, edit, &out);
	doc = yyjson_read(out.p, out.n, 0);
	assert_non_null(doc);
	v = yyjson_doc_ptr_get(doc, pointer);
	text = v ? yyjson_val_write(v, 0, NULL) : strdup("-");
	if (strcmp(text, wanted) != 0)
		fail_msg("%s\n%s\nis       %s\nexpected %s", request, pointer, text,
		         wanted);
	free(text);
	yyjson_doc_free(doc);
}

#define REQUEST(rest) "{\"model\":\"claude-x\",\"max_tokens\":100," rest "}"
#define SAYS(list)    REQUEST("\"messages\":[" list "]")
#define USER(content) "{\"role\":\"user\",\"content\":" content "}"
#define SELF(content) "{\"role\":\"assistant\",\"content\":" content "}"
#define CALL(id, input) \
	"{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"Bash\",\"input\":" input "}"
#define RESULT(id, content) \
	"{\"type\":\"tool_result\",\"tool_use_id\":\"" id "\",\"content\":" content "}"
#define TEXT(text)         "{\"type\":\"text\",\"text\":\"" text "\"}"
#define TOOL(name, schema) "{\"name\":\"" name "\",\"input_schema\":" schema "}"
#define IMAGE                                                                               \
	"{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\"," \
	"\"data\":\"iVBO\"}}"
#define IMAGE_PART \
	"{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,iVBO\"}}"

struct row {
	const char *request;
	uint64_t quirks;
	const char *pointer, *wanted;
};

static void expect_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct cn_edit edit = {.model = CN_VIEW("m"),
		                       .stream = true,
		                       .images = true,
		                       .quirks = rows[i].quirks,
		                       .session = CN_VIEW("s-1")};

		expect(rows[i].request, &edit, rows[i].pointer, rows[i].wanted);
	}
}

/* ---- messages ---- */

static void messages_come_in_the_order_that_strict_servers_take(void **state)
{
	static const struct row rows[] = {
	    {SAYS(USER("\"hi\"")), 0, "",
	     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\","
	     "\"content\":\"hi\"}],\"max_tokens\":100,\"stream\":true,\"stream_options\":{"
	     "\"include_usage\":true}}"},
	    /* the system prompt: blocks joined, without the client's attribution */
	    {REQUEST(
		 "\"system\":[" TEXT("x-anthropic-billing-header: cc_version=1;") "," TEXT(
		     "A") "," TEXT("B\\n") "],\"messages\":[" USER("\"hi\"") "]"),
	     0, "/messages/0", "{\"role\":\"system\",\"content\":\"A\\n\\nB\\n\"}"},
	    {REQUEST("\"system\":\"\",\"messages\":[" USER("\"hi\"") "]"), 0,
	     "/messages/0/role", "\"user\""},
	    {REQUEST("\"system\":\"S\",\"messages\":[" USER("\"hi\"") "]"), Q(FOLD_SYSTEM),
	     "/messages", "[{\"role\":\"user\",\"content\":\"S\\n\\nhi\"}]"},
	    /* results first, in the order of their calls; then the user's texts in theirs
	     */
	    {SAYS(
		 USER("\"go\"") "," SELF("[" CALL("a", "{\"x\":1}") "," CALL("b", "{}") "]") "," USER(
		     "[" TEXT("before") "," RESULT("b", "\"2\"") "," RESULT(
			 "a", "\"1\"") "," TEXT("after") "]")),
	     0, "/messages",
	     "[{\"role\":\"user\",\"content\":\"go\"},{\"role\":\"assistant\",\"content\":null,"
	     "\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"Bash\","
	     "\"arguments\":\"{\\\"x\\\":1}\"}},{\"id\":\"b\",\"type\":\"function\",\"function\":"
	     "{\"name\":\"Bash\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":"
	     "\"a\",\"content\":\"1\"},{\"role\":\"tool\",\"tool_call_id\":\"b\",\"content\":"
	     "\"2\"},{\"role\":\"user\",\"content\":\"before\\n\\nafter\"}]"},
	    /* a system message between a call and its result does not come between them */
	    {SAYS(USER("\"go\"") "," SELF("[" CALL(
		 "a",
		 "{}") "]") ","
	                    "{\"role\":\"system\",\"content\":\"note\",\"output_config\":{}}," USER(
				"[" RESULT("a", "\"1\"") "]")),
	     0, "/messages/2",
	     "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"1\"}"},
	    {SAYS(USER("\"go\"") ",{\"role\":\"system\",\"content\":[" TEXT("note") "]}"),
	     0, "/messages",
	     "[{\"role\":\"user\",\"content\":\"go\\n\\n<system-reminder>\\nnote\\n"
	     "</system-reminder>\"}]"},
	    /* a call without a result gets one; a result without a call is text */
	    {SAYS(USER("\"go\"") "," SELF("[" CALL("a", "{}") "]") "," USER("\"on\"")), 0,
	     "/messages/2",
	     "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"Error: there was no "
	     "result.\"}"},
	    {SAYS(USER("[" RESULT("z", "\"1\"") "," TEXT("on") "]")), 0, "/messages",
	     "[{\"role\":\"user\",\"content\":\"Result of an earlier call:\\n\\n1\\n\\non\"}]"},
	    /* one assistant message, its thinking left out */
	    {SAYS(USER("\"go\"") "," SELF("[{\"type\":\"thinking\",\"thinking\":\"t\","
	                                  "\"signature\":\"\"}," TEXT("one") "," CALL(
					      "a", "{}") "," TEXT("two") "]")),
	     0, "/messages/1/content", "\"one\\n\\ntwo\""},
	    {SAYS(USER("\"go\"") "," SELF("[{\"type\":\"thinking\",\"thinking\":\"t\","
	                                  "\"signature\":\"\"}]") "," USER("\"on\"")),
	     0, "/messages", "[{\"role\":\"user\",\"content\":\"go\\n\\non\"}]"},
	    {SAYS(USER("\"go\"") "," SELF("\"one\"") "," SELF("\"two\"")), 0, "/messages/1",
	     "{\"role\":\"assistant\",\"content\":\"one\\n\\ntwo\"}"},
	    {SAYS(USER("[]")), 0, "/messages",
	     "[{\"role\":\"user\",\"content\":\"(no content)\"}]"},
	    /* what some servers want otherwise */
	    {SAYS(USER("\"go\"") "," SELF("[" CALL("a", "{}") "]") "," USER(
		 "[" RESULT("a", "[]") "]")),
	     Q(NO_NULL_CONTENT) | Q(NO_EMPTY_CONTENT), "/messages/1/content", "\"\""},
	    {SAYS(USER("\"go\"") "," SELF("[" CALL("a", "{}") "]") "," USER(
		 "[" RESULT("a", "[]") "]")),
	     Q(NO_EMPTY_CONTENT), "/messages/2/content", "\"(no output)\""},
	    {SAYS(USER("\"go\"") "," SELF("[" CALL("a", "{}") "]") "," USER(
		 "[" RESULT("a", "\"1\"") "," TEXT("on") "]")),
	     Q(NO_USER_AFTER_TOOL), "/messages/2",
	     "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"1\\non\"}"},
	    {SAYS(USER("\"go\"") "," SELF("[" CALL("a", "{}") "]") "," USER(
		 "[" RESULT("a", "\"1\"") "," IMAGE "]")),
	     Q(NO_USER_AFTER_TOOL), "/messages/3/role", "\"assistant\""},
	    /* marks of a cache, where they mean something */
	    {SAYS(USER("[{\"type\":\"text\",\"text\":\"hi\",\"cache_control\":{\"type\":"
	               "\"ephemeral\"}}]")),
	     Q(CACHE_CONTROL), "/messages/0/content",
	     "[{\"type\":\"text\",\"text\":\"hi\",\"cache_control\":{\"type\":\"ephemeral\"}}]"},
	    {SAYS(USER("[{\"type\":\"text\",\"text\":\"hi\",\"cache_control\":{\"type\":"
	               "\"ephemeral\"}}]")),
	     0, "/messages/0/content", "\"hi\""},
	};

	(void)state;
	expect_rows(rows, COUNT(rows));
}

static void content_is_said_as_far_as_the_format_can(void **state)
{
	static const struct row rows[] = {
	    {SAYS(USER("[" TEXT("see") "," IMAGE "]")), 0, "/messages/0/content",
	     "[{\"type\":\"text\",\"text\":\"see\"}," IMAGE_PART "]"},
	    {SAYS(USER("[{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":"
	               "\"https://a.example/b.png\"}}]")),
	     0, "/messages/0/content/0/image_url/url", "\"https://a.example/b.png\""},
	    {SAYS(USER(
		 "[{\"type\":\"image\",\"source\":{\"type\":\"file\",\"file_id\":\"f\"}}]")),
	     0, "/messages/0/content", "\"(an image was left out: it is kept elsewhere)\""},
	    /* images of a result follow it, where they cannot stand in it */
	    {SAYS(USER("\"go\"") "," SELF("[" CALL("a", "{}") "]") "," USER(
		 "[" RESULT("a", "[" TEXT("shot") "," IMAGE "]") "]")),
	     0, "/messages/2/content", "\"shot\\n[image 1 of call a follows]\""},
	    {SAYS(USER("\"go\"") "," SELF("[" CALL("a", "{}") "]") "," USER(
		 "[" RESULT("a", "[" TEXT("shot") "," IMAGE "]") "]")),
	     0, "/messages/3/content",
	     "[{\"type\":\"text\",\"text\":\"[image 1 of call a]\"}," IMAGE_PART "]"},
	    {SAYS(USER("\"go\"") "," SELF("[" CALL("a", "{}") "]") "," USER(
		 "[" RESULT("a", "[" TEXT("shot") "," IMAGE "]") "]")),
	     Q(TOOL_IMAGES), "/messages/2/content",
	     "[{\"type\":\"text\",\"text\":\"shot\"}," IMAGE_PART "]"},
	    {SAYS(USER("\"go\"") "," SELF("[" CALL("a", "{}") "]") "," USER(
		 "[{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"is_error\":true,"
		 "\"content\":\"no such file\"}]")),
	     0, "/messages/2/content", "\"Error: no such file\""},
	    {SAYS(USER("\"go\"") "," SELF("[" CALL("a", "{}") "]") "," USER(
		 "[{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"is_error\":true}]")),
	     0, "/messages/2/content", "\"Error.\""},
	    {SAYS(USER("\"go\"") "," SELF("[" CALL("a", "{}") "]") "," USER(
		 "[" RESULT("a", "{\"k\":\"v\"}") "]")),
	     0, "/messages/2/content", "\"{\\\"k\\\":\\\"v\\\"}\""},
	    {SAYS(USER(
		 "[{\"type\":\"document\",\"title\":\"T\",\"source\":{\"type\":\"text\","
		 "\"media_type\":\"text/plain\",\"data\":\"D\"}}]")),
	     0, "/messages/0/content", "\"Document: T\\n\\nD\""},
	    {SAYS(USER(
		 "[{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"media_type\":"
		 "\"application/pdf\",\"data\":\"JVBE\"}}]")),
	     Q(FILES), "/messages/0/content",
	     "[{\"type\":\"file\",\"file\":{\"filename\":\"document.pdf\",\"file_data\":"
	     "\"data:application/pdf;base64,JVBE\"}}]"},
	    {SAYS(USER(
		 "[{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"media_type\":"
		 "\"application/pdf\",\"data\":\"JVBE\"}}]")),
	     0, "/messages/0/content",
	     "\"(a document was left out: this model cannot read it)\""},
	    {SAYS(USER("[{\"type\":\"search_result\",\"title\":\"T\",\"source\":\"S\","
	               "\"content\":[" TEXT("C") "]}]")),
	     0, "/messages/0/content", "\"Search result: T\\n\\nSource: S\\n\\nC\""},
	    {SAYS(USER("[{\"type\":\"container_upload\",\"file_id\":\"f\"}]")), 0,
	     "/messages/0/content", "\"(a block of type container_upload was left out)\""},
	};

	(void)state;
	expect_rows(rows, COUNT(rows));
}

/* ---- tools ---- */

static void tools_become_functions(void **state)
{
	static const struct row rows[] = {
	    {REQUEST("\"messages\":[" USER(
		 "\"hi\"") "],\"tools\":[{\"name\":\"Bash\","
	                   "\"description\":\"d\",\"input_schema\":{\"$schema\":\"x\",\"type\":"
	                   "\"object\",\"properties\":{\"$schema\":{\"type\":\"string\"}}}},"
	                   "{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}]"),
	     0, "/tools",
	     "[{\"type\":\"function\",\"function\":{\"name\":\"Bash\",\"description\":\"d\","
	     "\"parameters\":{\"type\":\"object\",\"properties\":{\"$schema\":{\"type\":"
	     "\"string\"}}}}}]"},
	    {REQUEST("\"messages\":[" USER("\"hi\"") "],\"tools\":[" TOOL("a", "{}") "]"),
	     0, "/tools/0/function/parameters", "{\"type\":\"object\",\"properties\":{}}"},
	    {REQUEST("\"messages\":[" USER("\"hi\"") "],\"tools\":[" TOOL("a", "{}") "]"),
	     Q(SCHEMA_SUBSET), "/tools/0/function", "{\"name\":\"a\"}"},
	    /* deferred ones, when the conversation has named them */
	    {REQUEST("\"messages\":[" USER(
		 "\"hi\"") "],\"tools\":[{\"name\":\"a\","
	                   "\"input_schema\":{},\"defer_loading\":true}]"),
	     0, "/tools", "-"},
	    {REQUEST("\"messages\":[" USER("\"hi\"") "," SELF("[" CALL("i", "{}") "]") "," USER(
		 "[" RESULT(
		     "i",
		     "[{\"type\":\"tool_reference\",\"tool_name\":\"a\"}]") "]") "],\"tools\":[{\"name\":\"a\",\"input_schema\":{},\"defer_loading\":true}]"),
	     0, "/tools/0/function/name", "\"a\""},
	    {REQUEST(
		 "\"messages\":[" USER("\"hi\"") "," SELF("[" CALL("i", "{}") "]") "," USER(
		     "[" RESULT(
			 "i",
			 "[{\"type\":\"tool_reference\",\"tool_name\":\"a\"}]") "]") "]"),
	     0, "/messages/2/content", "\"The tool a can be called from now on.\""},
#define CHOICE(choice)                                                \
	REQUEST("\"messages\":[" USER("\"hi\"") "],\"tools\":[" TOOL( \
	    "a", "{}") "],\"thinking\":{\"type\":\"adaptive\"},\"tool_choice\":" choice)
	    {CHOICE("{\"type\":\"auto\"}"), 0, "/tool_choice", "\"auto\""},
	    {CHOICE("{\"type\":\"any\"}"), 0, "/tool_choice", "\"required\""},
	    {CHOICE("{\"type\":\"none\"}"), 0, "/tool_choice", "\"none\""},
	    {CHOICE("{\"type\":\"none\"}"), Q(AUTO_TOOL_CHOICE), "/tools", "-"},
	    {CHOICE("{\"type\":\"tool\",\"name\":\"a\"}"), 0, "/tool_choice",
	     "{\"type\":\"function\",\"function\":{\"name\":\"a\"}}"},
	    {CHOICE("{\"type\":\"tool\",\"name\":\"a\"}"), Q(STRING_TOOL_CHOICE),
	     "/tool_choice", "\"required\""},
	    {CHOICE("{\"type\":\"any\"}"), Q(AUTO_TOOL_CHOICE), "/tool_choice", "\"auto\""},
	    {CHOICE("{\"type\":\"any\"}"), Q(FREE_CHOICE_THINKING), "/tool_choice",
	     "\"auto\""},
	    {CHOICE("{\"type\":\"any\"}"), Q(NO_TOOL_CHOICE), "/tool_choice", "-"},
	    {CHOICE("{\"type\":\"auto\",\"disable_parallel_tool_use\":true}"), 0,
	     "/parallel_tool_calls", "false"},
	    {CHOICE("{\"type\":\"auto\",\"disable_parallel_tool_use\":true}"),
	     Q(NO_PARALLEL_SWITCH), "/parallel_tool_calls", "-"},
	    {CHOICE("{\"type\":\"auto\"}"), Q(PARALLEL_BY_REQUEST), "/parallel_tool_calls",
	     "true"},
#undef CHOICE
	};

	(void)state;
	expect_rows(rows, COUNT(rows));
}

static void schemas_are_cleaned(void **state)
{
#define SCHEMA(schema) \
	REQUEST("\"messages\":[" USER("\"hi\"") "],\"tools\":[" TOOL("a", schema) "]")
#define AT        "/tools/0/function/parameters/properties/p"
#define P(schema) SCHEMA("{\"type\":\"object\",\"properties\":{\"p\":" schema "}}")
	static const struct row rows[] = {
	    {P("{\"type\":\"string\",\"examples\":[1],\"format\":\"uri\"}"), 0, AT,
	     "{\"type\":\"string\",\"format\":\"uri\"}"},
	    {P("{\"type\":\"object\",\"properties\":{\"examples\":{\"type\":\"array\",\"items\":"
	       "{\"type\":\"string\",\"$comment\":\"c\"}}}}"),
	     0, AT,
	     "{\"type\":\"object\",\"properties\":{\"examples\":{\"type\":\"array\",\"items\":"
	     "{\"type\":\"string\"}}}}"},
	    {P("{\"type\":[\"string\",\"null\"],\"format\":\"uri\"}"), Q(SCHEMA_SUBSET), AT,
	     "{\"type\":\"string\",\"nullable\":true}"},
	    {P("{\"const\":\"x\"}"), Q(SCHEMA_SUBSET), AT, "{\"enum\":[\"x\"]}"},
	    {P("{\"type\":\"integer\",\"enum\":[1,2],\"exclusiveMinimum\":0}"),
	     Q(SCHEMA_SUBSET), AT, "{\"type\":\"integer\"}"},
	    {P("{\"type\":\"string\",\"anyOf\":[{\"enum\":[\"a\"]},{\"type\":\"string\"}]}"),
	     Q(SCHEMA_SUBSET), AT,
	     "{\"anyOf\":[{\"enum\":[\"a\"]},{\"type\":\"string\"}]}"},
	    {SCHEMA("{\"type\":\"object\",\"properties\":{\"p\":{\"$ref\":\"#/$defs/d\"}},"
	            "\"$defs\":{\"d\":{\"type\":\"string\"}}}"),
	     Q(SCHEMA_SUBSET), AT, "{\"type\":\"string\"}"},
	    {P("{\"type\":\"string\",\"anyOf\":[{\"minLength\":1},{\"type\":\"null\"}]}"),
	     Q(SCHEMA_BARE_ANYOF), AT,
	     "{\"anyOf\":[{\"type\":\"string\",\"minLength\":1},{\"type\":\"null\"}]}"},
	    {P("{\"type\":\"array\",\"items\":[{\"type\":\"string\"}]}"),
	     Q(SCHEMA_BARE_ANYOF), AT,
	     "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"string\"}]}"},
	    {P("{\"type\":\"object\",\"additionalProperties\":false}"), Q(SCHEMA_OPEN), AT,
	     "{\"type\":\"object\"}"},
	    {P("{\"type\":\"string\",\"pattern\":\"^a\",\"maxLength\":5000,\"minLength\":2}"),
	     Q(SCHEMA_GRAMMAR), AT, "{\"type\":\"string\",\"minLength\":2}"},
	};
#undef P
#undef AT

	(void)state;
	expect_rows(rows, COUNT(rows));
}

/* Each definition names the next one twice: followed to the end that is 2^40. */
static void references_do_not_explode(void **state)
{
	struct cn_edit edit = {.model = CN_VIEW("m"), .quirks = Q(SCHEMA_SUBSET)};
	CN_AUTO(cn_buf) b = {0};
	CN_AUTO(cn_buf) out = {0};

	(void)state;
	cn_buf_add_str(
	    &b,
	    "{\"model\":\"x\",\"messages\":[" USER(
		"\"hi\"") "],\"tools\":[{"
			  "\"name\":\"a\",\"input_schema\":{\"type\":\"object\",\"properties\":{"
			  "\"p\":{\"$ref\":\"#/$defs/d0\"}},\"$defs\":{");
	for (int i = 0; i < 40; i++)
		cn_buf_printf(&b,
		              "\"d%d\":{\"properties\":{\"a\":{\"$ref\":\"#/$defs/d%d\"},"
		              "\"b\":{\"$ref\":\"#/$defs/d%d\"}}},",
		              i, i + 1, i + 1);
	cn_buf_add_str(&b, "\"d40\":{\"$ref\":\"#/$defs/d0\"}}}}]}");
	encode(cn_buf_cstr(&b), &edit, &out);
	assert_true(out.n < 16 * b.n);
}

static void names_and_ids_fit_and_are_the_same_each_time(void **state)
{
#define LONG "mcp__a_server_with_a_long_name__and_a_tool_with_a_name_that_is_longer"
	static const struct row rows[] = {
	    {REQUEST("\"messages\":[" USER("\"hi\"") "," SELF(
		 "[{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"" LONG
		 "\",\"input\":{}}]") "],\"tools\":[" TOOL(LONG, "{}") "]"),
	     0, "/messages/1/tool_calls/0/function/name",
	     "\"mcp__a_server_with_a_long_name__and_a_tool_with_a_name__387640f0\""},
	    {REQUEST("\"messages\":[" USER("\"hi\"") "],\"tools\":[" TOOL(LONG, "{}") "]"),
	     0, "/tools/0/function/name",
	     "\"mcp__a_server_with_a_long_name__and_a_tool_with_a_name__387640f0\""},
	    {REQUEST("\"messages\":[" USER("\"hi\"") "],\"tools\":[" TOOL("a b", "{}") "]"),
	     0, "/tools/0/function/name", "\"a_b_f9a0e871\""},
	};
#undef LONG
	static const char with_id[] = SAYS(USER("\"hi\"") "," SELF(
	    "[" CALL("%s", "{}") "]") "," USER("[" RESULT("%s", "\"1\"") "]"));
	static const char *const ids[] = {"toolu_01AbCdEfGhIjKlMnOpQrStUv",
	                                  "functions.Bash:0", "123456789",
	                                  "call_0123456789012345678901234567890123456789"};

	(void)state;
	expect_rows(rows, COUNT(rows));
	for (size_t i = 0; i < COUNT(ids); i++) {
		for (unsigned nine = 0; nine < 2; nine++) {
			struct cn_edit edit = {.model = CN_VIEW("m"),
			                       .quirks = nine ? Q(NINE_CHARACTER_IDS) : 0};
			CN_AUTO(cn_buf) out = {0};
			char request[1024];
			yyjson_doc *doc;
			const char *asked, *answered;

			(void)snprintf(request, sizeof(request), with_id, ids[i], ids[i]);
			encode(request, &edit, &out);
			doc = yyjson_read(out.p, out.n, 0);
			asked = yyjson_get_str(
			    yyjson_doc_ptr_get(doc, "/messages/1/tool_calls/0/id"));
			answered = yyjson_get_str(
			    yyjson_doc_ptr_get(doc, "/messages/2/tool_call_id"));
			assert_string_equal(asked, answered);
			assert_true(nine ? strlen(asked) == 9 : strlen(asked) <= 40);
			if (strlen(ids[i]) == 9 || (!nine && i == 0))
				assert_string_equal(asked, ids[i]);
			assert_int_equal(strspn(asked,
			                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"
			                        "KLMNOPQRSTUVWXYZ0123456789_-"),
			                 strlen(asked));
			yyjson_doc_free(doc);
		}
	}
}

/* ---- the rest of the request ---- */

static void limits_stops_and_thinking_are_said_by_what_the_model_has(void **state)
{
#define WITH(rest) REQUEST("\"messages\":[" USER("\"hi\"") "]," rest)
#define THINK(effort)                                                                      \
	WITH(                                                                              \
	    "\"thinking\":{\"type\":\"adaptive\"},\"output_config\":{\"effort\":\"" effort \
	    "\"}")
#define BUDGET(n) WITH("\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":" n "}")
#define PLAIN     SAYS(USER("\"hi\""))
	static const struct row rows[] = {
	    {PLAIN, Q(MAX_COMPLETION_TOKENS), "/max_completion_tokens", "100"},
	    {PLAIN, Q(MAX_COMPLETION_TOKENS), "/max_tokens", "-"},
	    {PLAIN, Q(NO_STREAM_OPTIONS), "/stream_options", "-"},
	    {PLAIN, Q(PROMPT_CACHE_KEY), "/prompt_cache_key", "\"s-1\""},
	    {WITH("\"stop_sequences\":[\"a\",\"b\",\"c\",\"d\",\"e\"]"), 0, "/stop",
	     "[\"a\",\"b\",\"c\",\"d\"]"},
	    {WITH("\"stop_sequences\":[\"a\",\"b\"]"), Q(ONE_STOP), "/stop", "[\"a\"]"},
	    {WITH("\"stop_sequences\":[\"a\",\"b\"]"), Q(NO_STOP), "/stop", "-"},
	    {WITH("\"temperature\":0.5,\"top_p\":1,\"top_k\":3,\"metadata\":{}"), 0,
	     "/top_k", "-"},
	    {WITH("\"temperature\":0.5,\"top_p\":1,\"top_k\":3"), Q(TOP_K), "/top_k", "3"},
	    {WITH("\"temperature\":0.5"), 0, "/temperature", "0.5"},
	    {WITH(
		 "\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{\"type\":"
		 "\"object\"}}}"),
	     0, "/response_format",
	     "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\",\"schema\":{"
	     "\"type\":\"object\"}}}"},
	    {WITH(
		 "\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{\"type\":"
		 "\"object\"}}}"),
	     Q(JSON_OBJECT_ONLY), "/messages/0/content",
	     "\"Answer with nothing but one JSON object that is valid under this JSON Schema: "
	     "{\\\"type\\\":\\\"object\\\"}\""},
	    /* thinking */
	    {THINK("xhigh"), 0, "/reasoning_effort", "-"},
	    {THINK("xhigh"), Q(EFFORT), "/reasoning_effort", "\"high\""},
	    {THINK("xhigh"), Q(EFFORT) | Q(EFFORT_XHIGH), "/reasoning_effort", "\"xhigh\""},
	    {THINK("medium"), Q(EFFORT) | Q(EFFORT_NO_MEDIUM), "/reasoning_effort",
	     "\"high\""},
	    {THINK("max"), Q(EFFORT) | Q(EFFORT_NO_MEDIUM), "/reasoning_effort", "\"max\""},
	    {BUDGET("1024"), Q(EFFORT), "/reasoning_effort", "\"low\""},
	    {BUDGET("8192"), Q(EFFORT), "/reasoning_effort", "\"medium\""},
	    {BUDGET("9000"), Q(EFFORT), "/reasoning_effort", "\"high\""},
	    {PLAIN, Q(EFFORT), "/reasoning_effort", "-"},
	    {PLAIN, Q(EFFORT) | Q(EFFORT_NONE), "/reasoning_effort", "\"none\""},
	    {WITH("\"tools\":[" TOOL("a", "{}") "],\"thinking\":{\"type\":\"adaptive\"}"),
	     Q(EFFORT) | Q(EFFORT_NONE_WITH_TOOLS), "/reasoning_effort", "\"none\""},
	    {THINK("low"), Q(THINKING_TYPE), "/thinking", "{\"type\":\"enabled\"}"},
	    {PLAIN, Q(THINKING_TYPE), "/thinking", "{\"type\":\"disabled\"}"},
	    {PLAIN, Q(THINKING_TYPE) | Q(ALWAYS_THINKS), "/thinking", "-"},
	    {BUDGET("2000"), Q(ENABLE_THINKING), "/thinking_budget", "2000"},
	    {PLAIN, Q(ENABLE_THINKING), "/enable_thinking", "false"},
	    {THINK("max"), Q(REASONING_OBJECT), "/reasoning", "{\"effort\":\"high\"}"},
	    {BUDGET("2000"), Q(REASONING_OBJECT), "/reasoning", "{\"max_tokens\":2000}"},
	    {PLAIN, Q(REASONING_OBJECT), "/reasoning", "{\"enabled\":false}"},
	    {THINK("low"), Q(TEMPLATE_THINKING), "/chat_template_kwargs",
	     "{\"enable_thinking\":true}"},
	};

	(void)state;
	expect_rows(rows, COUNT(rows));
}

static bool drop_none(void *self, const struct cn_thought *thought)
{
	(void)self;
	(void)thought;
	return false;
}

static bool drop_all(void *self, const struct cn_thought *thought)
{
	(void)self;
	(void)thought;
	return true;
}

/* Only its own issuer gets thinking back, in the member that it reads. */
static void thinking_goes_back_to_whom_it_came_from(void **state)
{
#define THOUGHT(signature) \
	"{\"type\":\"thinking\",\"thinking\":\"why\",\"signature\":\"" signature "\"}"
#define HISTORY(blocks)                                                            \
	SAYS(USER("\"go\"") "," SELF("[" blocks "," CALL("a", "{}") "]") "," USER( \
	    "[" RESULT("a", "\"1\"") "]"))
#define BACK "/messages/1/"
	static const struct {
		struct row row;
		bool foreign;
	} cases[] = {
	    {{HISTORY(THOUGHT("")), Q(REASONING_CONTENT_BACK), BACK "reasoning_content",
	      "\"why\""},
	     false},
	    {{HISTORY(THOUGHT("")), Q(REASONING_CONTENT_BACK), BACK "reasoning_content",
	      "-"},
	     true},
	    {{HISTORY(THOUGHT("")), Q(REASONING_CONTENT_BACK) | Q(REASONING_DEMANDED),
	      BACK "reasoning_content", "\" \""},
	     true},
	    {{HISTORY(THOUGHT("")), Q(REASONING_BACK), BACK "reasoning", "\"why\""}, false},
	    {{HISTORY(THOUGHT("")), Q(REASONING_DETAILS_BACK), BACK "reasoning_details",
	      "[{\"type\":\"reasoning.text\",\"text\":\"why\"}]"},
	     false},
	    {{HISTORY(THOUGHT(
		  "{\\\"type\\\":\\\"reasoning.text\\\",\\\"signature\\\":\\\"s\\\"}")),
	      Q(REASONING_DETAILS_BACK), BACK "reasoning_details",
	      "[{\"type\":\"reasoning.text\",\"signature\":\"s\",\"text\":\"why\"}]"},
	     false},
	    {{HISTORY("{\"type\":\"redacted_thinking\",\"data\":\"{\\\"type\\\":"
	              "\\\"reasoning.encrypted\\\",\\\"data\\\":\\\"d\\\"}\"}"),
	      Q(REASONING_DETAILS_BACK), BACK "reasoning_details",
	      "[{\"type\":\"reasoning.encrypted\",\"data\":\"d\"}]"},
	     false},
	    {{HISTORY("{\"type\":\"redacted_thinking\",\"data\":\"{\\\"extra_content\\\":"
	              "{\\\"google\\\":{\\\"thought_signature\\\":\\\"s\\\"}}}\"}"),
	      Q(CALL_SIGNATURES),
	      BACK "tool_calls/0/extra_content/google/thought_signature", "\"s\""},
	     false},
	    {{HISTORY("{\"type\":\"redacted_thinking\",\"data\":\"{\\\"extra_content\\\":"
	              "{\\\"google\\\":{\\\"thought_signature\\\":\\\"s\\\"}}}\"}"),
	      Q(CALL_SIGNATURES),
	      BACK "tool_calls/0/extra_content/google/thought_signature",
	      "\"skip_thought_signature_validator\""},
	     true},
	    {{HISTORY("{\"type\":\"redacted_thinking\",\"data\":\"EnCrYpTeD\"}"),
	      Q(REASONING_DETAILS_BACK), BACK "reasoning_details", "-"},
	     false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct cn_edit edit = {.model = CN_VIEW("m"),
		                       .quirks = cases[i].row.quirks,
		                       .drop_thinking =
		                           cases[i].foreign ? drop_all : drop_none};

		expect(cases[i].row.request, &edit, cases[i].row.pointer,
		       cases[i].row.wanted);
	}
}

static bool own_id(void *self, struct cn_view id, struct cn_view *ret)
{
	(void)self;
	*ret = CN_VIEW("functions.Bash:0");
	return cn_view_is(id, "toolu_cnABC");
}

/* How often a member stands in the request: a second one is refused by some. */
static size_t times(const char *request, const struct cn_edit *edit, const char *member)
{
	CN_AUTO(cn_buf) out = {0};
	yyjson_doc *doc;
	yyjson_val *key, *v;
	size_t i, max, n = 0;

	encode(request, edit, &out);
	doc = yyjson_read(out.p, out.n, 0);
	assert_non_null(doc);
	yyjson_obj_foreach(yyjson_doc_get_root(doc), i, max, key, v) n +=
	    yyjson_equals_str(key, member);
	yyjson_doc_free(doc);
	return n;
}

static void what_the_policy_adds_stands_once(void **state)
{
	static const struct cn_edit_member add[] = {
	    {"temperature", "0.6"},
	    {"reasoning_effort", "\"high\""},
	    {"thinking", "{\"type\":\"enabled\",\"clear_thinking\":false}"},
	    {"enable_thinking", "true"},
	    {"chat_template_kwargs", "{\"thinking\":true}"},
	    {"reasoning", "{\"exclude\":true}"},
	    {"parallel_tool_calls", "true"},
	    {"prompt_cache_key", "\"k\""},
	    {"response_format", "{\"type\":\"text\"}"},
	};
	static const char request[] = REQUEST(
	    "\"temperature\":1,\"thinking\":{\"type\":\"adaptive\"},"
	    "\"output_config\":{\"effort\":\"low\",\"format\":{\"type\":"
	    "\"json_schema\",\"schema\":{}}},\"tool_choice\":{\"type\":\"auto\","
	    "\"disable_parallel_tool_use\":true},"
	    "\"tools\":[" TOOL("Bash", "{\"type\":\"object\"}") "],"
								"\"messages\":[" USER(
								    "\"hi\"") "]");
	struct cn_edit edit = {.model = CN_VIEW("m"),
	                       .session = CN_VIEW("s"),
	                       .quirks = Q(EFFORT) | Q(THINKING_TYPE) | Q(ENABLE_THINKING) |
	                                 Q(TEMPLATE_THINKING) | Q(REASONING_OBJECT) |
	                                 Q(PROMPT_CACHE_KEY)};

	(void)state;
	for (size_t i = 0; i < COUNT(add); i++)
		assert_int_equal(times(request, &edit, add[i].name), 1);
	edit.add = add;
	edit.n_add = COUNT(add);
	for (size_t i = 0; i < COUNT(add); i++) {
		char pointer[64];
		assert_int_equal(times(request, &edit, add[i].name), 1);
		(void)snprintf(pointer, sizeof pointer, "/%s", add[i].name);
		expect(request, &edit, pointer, add[i].value);
	}
}

static void the_edit_is_obeyed(void **state)
{
	static const char *const drop[] = {"temperature"};
	static const struct cn_edit_member add[] = {{"tool_stream", "true"},
	                                            {"transforms", "[]"}};
	struct cn_edit edit = {.model = CN_VIEW("m"), .max_tokens = 7};

	(void)state;
	expect(PLAIN, &edit, "/max_tokens", "7");
	expect(PLAIN, &edit, "/stream", "false");
	edit.drop = drop;
	edit.n_drop = 1;
	expect(WITH("\"temperature\":0.5"), &edit, "/temperature", "-");
	edit.add = add;
	edit.n_add = 2;
	expect(PLAIN, &edit, "/transforms", "[]");
	edit.effort = CN_VIEW("low");
	edit.quirks = Q(EFFORT);
	expect(THINK("high"), &edit, "/reasoning_effort", "\"low\"");
	edit.call_id = own_id;
	expect(SAYS(USER("\"go\"") "," SELF("[" CALL("toolu_cnABC", "{}") "]")), &edit,
	       "/messages/1/tool_calls/0/id", "\"functions.Bash:0\"");
	edit.images = false;
	expect(SAYS(USER("[" IMAGE "]")), &edit, "/messages/0/content",
	       "\"(an image was left out: this model cannot see images)\"");
	edit.prompt_how = CN_PROMPT_PREPEND;
	edit.prompt = CN_VIEW("be \"brief\"");
	expect(REQUEST("\"system\":\"S\",\"messages\":[" USER("\"hi\"") "]"), &edit,
	       "/messages/0/content", "\"be \\\"brief\\\"\\n\\nS\"");
	edit.prompt_how = CN_PROMPT_APPEND;
	expect(REQUEST("\"system\":\"S\",\"messages\":[" USER("\"hi\"") "]"), &edit,
	       "/messages/0/content", "\"S\\n\\nbe \\\"brief\\\"\"");
	edit.prompt_how = CN_PROMPT_REPLACE;
	expect(REQUEST("\"system\":\"S\",\"messages\":[" USER("\"hi\"") "]"), &edit,
	       "/messages/0/content", "\"be \\\"brief\\\"\"");
}

static void an_answer_is_gone_on_with(void **state)
{
	struct cn_edit edit = {.model = CN_VIEW("m"),
	                       .prefill = true,
	                       .append = CN_VIEW(SELF("[" TEXT("Once upon") "]"))};

	(void)state;
	expect(PLAIN, &edit, "/messages/1",
	       "{\"role\":\"assistant\",\"content\":\"Once upon\"}");
	edit.quirks = Q(PREFIX_FLAG);
	expect(PLAIN, &edit, "/messages/1/prefix", "true");
	edit.quirks = Q(PARTIAL_FLAG);
	expect(PLAIN, &edit, "/messages/1/partial", "true");
	edit.quirks = Q(CONTINUE_FLAG);
	expect(PLAIN, &edit, "/add_generation_prompt", "false");
	expect(PLAIN, &edit, "/continue_final_message", "true");
	edit.prefill = false;
	edit.append = CN_VIEW(SELF("[" TEXT("Once upon") "]") "," USER("\"go on\""));
	expect(PLAIN, &edit, "/continue_final_message", "-");
	expect(PLAIN, &edit, "/messages/2", "{\"role\":\"user\",\"content\":\"go on\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(messages_come_in_the_order_that_strict_servers_take),
	    cmocka_unit_test(content_is_said_as_far_as_the_format_can),
	    cmocka_unit_test(tools_become_functions),
	    cmocka_unit_test(schemas_are_cleaned),
	    cmocka_unit_test(references_do_not_explode),
	    cmocka_unit_test(names_and_ids_fit_and_are_the_same_each_time),
	    cmocka_unit_test(limits_stops_and_thinking_are_said_by_what_the_model_has),
	    cmocka_unit_test(thinking_goes_back_to_whom_it_came_from),
	    cmocka_unit_test(the_edit_is_obeyed),
	    cmocka_unit_test(what_the_policy_adds_stands_once),
	    cmocka_unit_test(an_answer_is_gone_on_with),
	};

	cn_hash_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
