/*
 * The suite: what is asked of a backend, as Messages requests, and what is looked at in the
 * answers.  A new check is a row here and a function in judge*.c; a request may serve
 * several checks, so that few are paid for.
 *
 * Constant data, and how a row becomes a body.  Pure.
 */
#include "probe_impl.h"

/* ---- what is asked ---- */

#define USER(text) "{\"role\":\"user\",\"content\":\"" text "\"}"
#define ASKS(max, members, messages) \
	"{\"model\":\"probe\",\"max_tokens\":" max members ",\"messages\":[" messages "]}"
#define WEATHER                                                                            \
	",\"tools\":[{\"name\":\"get_weather\",\"description\":\"The weather report of a " \
	"city\",\"input_schema\":{\"type\":\"object\",\"properties\":{\"city\":{"          \
	"\"type\":\"string\",\"description\":\"Name of the city\"}},\"required\":["        \
	"\"city\"]}}]"
#define ASKED_PARIS                                                                    \
	USER("Get the weather report of Paris with the tool, then name its number.")   \
	",{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"toolu_" \
	"01ProbeProbeProbeProbe01\",\"name\":\"get_weather\",\"input\":{\"city\":"     \
	"\"Paris\"}}]}"
#define PARIS_SAYS(members)                                                                     \
	"{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_01ProbeProbeProbeProbe01\"," members \
	"}"
#define NO_ANSWER \
	PARIS_SAYS("\"is_error\":true,\"content\":\"Station QX-81 does not answer.\"")
#define WHICH                                                                  \
	"{\"type\":\"text\",\"text\":\"Do not call again. Which station does " \
	"not answer?\"}"
#define PICTURE(data)                                                                       \
	"{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\"," \
	"\"data\":\"" data "\"}}"
#define COLOUR "{\"type\":\"text\",\"text\":\"What colour is this picture? One word.\"}"
#define LONG                                                                           \
	ASKS("64",                                                                     \
	     ",\"system\":[{\"type\":\"text\",\"text\":\"@LONG@\",\"cache_control\":{" \
	     "\"type\":\"ephemeral\"}}]",                                              \
	     USER("Reply with the single word: pong"))
#define SUM USER("What is 17 times 23, plus 4? Give the number.")

const struct cn_probe_request cn_probe__requests[CN_PROBE_N_REQUESTS] = {
    [CN_PROBE_HELLO] = {"hello",
                        CN_ASK_USUAL,
                        ASKS("1024", "", USER("Reply with the single word: pong")),
                        {{0}}},
    [CN_PROBE_NUMBERS] = {"numbers",
                          CN_ASK_STREAM,
                          ASKS("1024", "",
                               USER("Write the numbers from 1 to 60 in digits, separated "
                                    "by commas, and nothing else.")),
                          {{0}}},
    [CN_PROBE_WHOLE] = {"whole",
                        CN_ASK_WHOLE,
                        ASKS("1024", "", USER("Reply with the single word: pong")),
                        {{0}}},
    [CN_PROBE_SYSTEM] = {"system",
                         CN_ASK_USUAL,
                         ASKS("1024",
                              ",\"system\":\"The code word is BASALT-7. Whoever asks for "
                              "the code word is told it.\"",
                              USER("What is the code word?")),
                         {{0}}},
    [CN_PROBE_LATE_SYSTEM] =
	{"late_system",
         CN_ASK_USUAL,
         ASKS("1024", "",
              USER("Hello.") ",{\"role\":\"assistant\",\"content\":\"Hello.\"}," USER(
		  "Wait a moment.") ",{\"role\":\"system\",\"content\":\"The code word is "
                                    "COBALT-9. Whoever asks for the code word is told "
                                    "it.\"},{\"role\":\"assistant\",\"content\":\"I "
                                    "wait.\"}," USER("What is the code word?")),
         {{0}}},
    [CN_PROBE_CALL] = {"call",
                       CN_ASK_WHOLE,
                       ASKS("1024", WEATHER,
                            USER("Get the weather report of Paris with the tool.")),
                       {{0}}},
    [CN_PROBE_CALL_STREAM] = {"call_stream",
                              CN_ASK_STREAM,
                              ASKS("1024", WEATHER,
                                   USER("Get the weather report of Oslo with the tool.")),
                              {{0}}},
    [CN_PROBE_PARALLEL] =
	{"parallel",
         CN_ASK_USUAL,
         ASKS("1024", WEATHER,
              USER("Get the weather reports of Paris and of Rome with the tool, both calls "
                   "at once in one answer.")),
         {{0}}},
    [CN_PROBE_FORCED] =
	{"forced",
         CN_ASK_USUAL,
         ASKS("1024",
              WEATHER ",\"tool_choice\":{\"type\":\"tool\",\"name\":\"get_weather\"}",
              USER("Hello from Lima.")),
         {{0}}},
    [CN_PROBE_RESULT] =
	{"result",
         CN_ASK_USUAL,
         ASKS("1024", WEATHER,
              ASKED_PARIS ",{\"role\":\"user\",\"content\":[" PARIS_SAYS(
		  "\"content\":\"Report number 4711: 17 degrees, light rain.\"") "]}"),
         {{0}}},
    [CN_PROBE_BAD_RESULT] = {"bad_result",
                             CN_ASK_USUAL,
                             ASKS("1024", WEATHER,
                                  ASKED_PARIS ",{\"role\":\"user\",\"content\":[" NO_ANSWER
                                              "," WHICH "]}"),
                             {{0}}},
    [CN_PROBE_STOP] = {"stop",
                       CN_ASK_USUAL,
                       ASKS("1024", ",\"stop_sequences\":[\"delta\"]",
                            USER("Write exactly this line: alpha bravo charlie delta echo "
                                 "foxtrot")),
                       {{0}}},
    [CN_PROBE_CEILING] = {"ceiling",
                          CN_ASK_USUAL,
                          ASKS("10000000", "", USER("Reply with the single word: pong")),
                          {{0}}},
    [CN_PROBE_CUT] = {"cut",
                      CN_ASK_USUAL,
                      ASKS("16", "",
                           USER("Write the numbers from 1 to 300 in digits, separated by "
                                "commas.")),
                      {{0}}},
    [CN_PROBE_PREFILL] =
	{"prefill",
         CN_ASK_USUAL,
         ASKS("256", "",
              USER("Write the words one two three four five six seven eight on one line.") ","
                                                                                           "{\"role\":\"assistant\",\"content\":\"one two three four\"}"),
         {{0}}},
    [CN_PROBE_ADAPTIVE] = {"adaptive",
                           CN_ASK_USUAL,
                           ASKS("4096", ",\"thinking\":{\"type\":\"adaptive\"}", SUM),
                           {{0}}},
    [CN_PROBE_BUDGET] = {"budget",
                         CN_ASK_USUAL,
                         ASKS("4096",
                              ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}",
                              SUM),
                         {{0}}},
    [CN_PROBE_IMAGE] = {"image",
                        CN_ASK_USUAL,
                        ASKS("1024", "",
                             "{\"role\":\"user\",\"content\":[" PICTURE("@RED@") "," COLOUR
                                                                                 "]}"),
                        {{0}}},
    [CN_PROBE_TOOL_IMAGE] = {"tool_image",
                             CN_ASK_USUAL,
                             ASKS("1024", WEATHER,
                                  ASKED_PARIS
                                  ",{\"role\":\"user\",\"content\":[" PARIS_SAYS(
				      "\"content\":[" PICTURE("@BLUE@") "]") "," COLOUR
                                                                             "]}"),
                             {{0}}},
    [CN_PROBE_COUNT] = {"count",
                        CN_ASK_COUNT,
                        "{\"model\":\"probe\",\"system\":\"@LONG@\",\"messages\":[" USER(
			    "Reply with the single word: pong") "]}",
                        {{0}}},
    [CN_PROBE_WRONG] = {"wrong",
                        CN_ASK_USUAL,
                        ASKS("1024", "", USER("Reply with the single word: pong")),
                        {{"messages", "[]"}}},
    [CN_PROBE_UNKNOWN] = {"unknown",
                          CN_ASK_USUAL,
                          ASKS("1024", "", USER("Reply with the single word: pong")),
                          {{"continuo_probe", "\"an unknown field\""}}},
    [CN_PROBE_LONG] = {"long", CN_ASK_USUAL, LONG, {{0}}},
    [CN_PROBE_LONG_AGAIN] = {"long_again", CN_ASK_USUAL, LONG, {{0}}},
};

/* ---- what is looked at ---- */

#define CHECK(name, request, also, need, judge, sent, text)                              \
	{                                                                                \
		name, CN_PROBE_##request, also, CN_NEED_##need, cn_probe__judge_##judge, \
		    sent, text                                                           \
	}

const struct cn_probe_check cn_probe__checks[] = {
    CHECK("answer", HELLO, -1, ALWAYS, answer, "a question",
          "A plain question is answered"),
    CHECK("system", SYSTEM, -1, ALWAYS, system, "a code word in the system prompt",
          "The system prompt reaches the model"),
    CHECK("late_system", LATE_SYSTEM, -1, NEVER, late_system,
          "a code word in a system message inside the conversation",
          "System messages inside the conversation are taken"),
    CHECK("tool_call", CALL, -1, TOOLS, call, "a tool, and a reason to call it",
          "A tool call comes whole, with an id and the right arguments"),
    CHECK("tool_stream", CALL_STREAM, -1, STREAM, call_stream, "the same, as a stream",
          "The same in a stream"),
    CHECK("parallel", PARALLEL, -1, NEVER, parallel, "a reason for two calls at once",
          "Two calls come in one answer"),
    CHECK("tool_choice", FORCED, -1, NEVER, forced, "tool_choice for one tool",
          "A forced tool is called"),
    CHECK("tool_result", RESULT, -1, TOOLS, result, "a call and its result",
          "The result of a call is read"),
    CHECK("tool_error", BAD_RESULT, -1, TOOLS, bad_result,
          "a result with is_error, and text behind it",
          "A failed result and the text behind it are read"),
    CHECK("stop", STOP, -1, NEVER, stop, "stop_sequences [delta]",
          "A stop sequence ends the answer and is named"),
    CHECK("stream", NUMBERS, -1, STREAM, frames, "60 numbers, as a stream",
          "A stream has all its events, in pieces of a sensible size"),
    CHECK("whole", WHOLE, -1, NEVER, whole, "a question, not as a stream",
          "An answer comes in one piece where none is streamed"),
    CHECK("ceiling", CEILING, -1, NEVER, ceiling, "max_tokens 10000000",
          "What becomes of more max_tokens than any model writes"),
    CHECK("max_tokens", CUT, -1, NEVER, cut, "300 numbers with max_tokens 16",
          "An answer ends at max_tokens and says so"),
    CHECK("prefill", PREFILL, -1, PREFILL, prefill, "the beginning of the answer",
          "An answer that was begun is gone on with"),
    CHECK("thinking", ADAPTIVE, CN_PROBE_BUDGET, THINKING, adaptive, "thinking: adaptive",
          "Adaptive thinking is taken, and thinking comes back"),
    CHECK("thinking_budget", BUDGET, CN_PROBE_ADAPTIVE, NEVER, budget,
          "thinking: enabled, 1024 tokens", "A thinking budget is taken"),
    CHECK("image", IMAGE, -1, IMAGES, image, "a red picture", "Pictures are seen"),
    CHECK("tool_image", TOOL_IMAGE, -1, NEVER, tool_image,
          "a blue picture in the result of a call", "Pictures in results are seen"),
    CHECK("usage", LONG, CN_PROBE_NUMBERS, NEVER, usage, "a prompt of known length",
          "Token counts are there and plausible"),
    CHECK("count_tokens", COUNT, -1, NEVER, count, "count_tokens of that prompt",
          "Tokens can be counted beforehand"),
    CHECK("error", WRONG, -1, NEVER, wrong, "a request without messages",
          "A wrong request is refused with a status and a message"),
    CHECK("unknown_field", UNKNOWN, -1, NEVER, unknown, "a member that nobody knows",
          "Unknown members do no harm"),
    CHECK("model_name", HELLO, -1, NEVER, name, "the model's id",
          "The model that was asked for answers"),
    CHECK("cache", LONG_AGAIN, CN_PROBE_LONG, NEVER, cache, "the same long prompt again",
          "A repeated prompt comes out of a cache"),
    CHECK("speed", NUMBERS, -1, NEVER, speed, "60 numbers, as a stream",
          "Time to the first text, and tokens a second"),
};
const size_t cn_probe__n_checks = sizeof(cn_probe__checks) / sizeof(cn_probe__checks[0]);

size_t cn_probe_n_checks(void)
{
	return cn_probe__n_checks;
}

const char *cn_probe_check_name(size_t i)
{
	return i < cn_probe__n_checks ? cn_probe__checks[i].name : NULL;
}

const char *cn_probe_check_text(size_t i)
{
	return i < cn_probe__n_checks ? cn_probe__checks[i].text : NULL;
}

size_t cn_probe_n_requests(void)
{
	return CN_PROBE_N_REQUESTS;
}

size_t cn_probe_request(const char *name)
{
	for (size_t i = 0; i < CN_PROBE_N_REQUESTS; i++)
		if (strcmp(cn_probe__requests[i].name, name) == 0)
			return i;
	return SIZE_MAX;
}

/* ---- which of it ---- */

bool cn_probe__wanted(const struct cn_probe_check *c, const char *const *only, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(only[i], c->name) == 0)
			return true;
	return n == 0;
}

static bool has_tools(const struct cn_probe_request *q)
{
	return strstr(q->body, "\"tools\"") != NULL;
}

bool cn_probe__asks(size_t request, const struct cn_model *m, const char *const *only,
                    size_t n)
{
	const struct cn_probe_request *q = &cn_probe__requests[request];

	if (q->mode == CN_ASK_COUNT && m->backend->wire != CN_WIRE_ANTHROPIC)
		return false;
	if (has_tools(q) && m->tools == 0)
		return false;
	for (size_t i = 0; i < cn_probe__n_checks; i++) {
		const struct cn_probe_check *c = &cn_probe__checks[i];

		if (cn_probe__wanted(c, only, n) &&
		    (c->request == request || c->also == (int)request))
			return true;
	}
	return false;
}

bool cn_probe__needs(const struct cn_probe_check *c, const struct cn_model *m)
{
	bool streams = m->stream != CN_STREAM_NEVER;

	switch (c->need) {
	case CN_NEED_NEVER:
		return false;
	case CN_NEED_ALWAYS:
		return true;
	case CN_NEED_TOOLS:
		return m->tools > 0;
	case CN_NEED_STREAM:
		return streams && (m->tools > 0 || c->request == CN_PROBE_NUMBERS);
	case CN_NEED_IMAGES:
		return m->images;
	case CN_NEED_THINKING:
		return m->thinking;
	case CN_NEED_PREFILL:
		return m->continuation == CN_CONTINUE_PREFILL;
	}
	return false;
}

/* ---- a row's body ---- */

/* About two thousand tokens that no other prompt begins with. */
static void add_long(struct cn_buf *b)
{
	for (unsigned i = 1; i <= 120; i++)
		cn_buf_printf(
		    b,
		    "Line %u of the ledger: the ferry to island %u carried %u crates "
		    "of apples and left on time. ",
		    i, i * 7 % 31, i * 13 % 97);
}

struct cn_view cn_probe__body(struct cn_arena *a, const struct cn_probe_request *q)
{
	struct cn_view rest = cn_view_str(q->body), piece;
	CN_AUTO(cn_buf) b = {0};

	while (cn_view_split(&rest, '@', &piece)) {
		if (cn_view_is(piece, "RED"))
			cn_probe__picture(&b, 0xe00000);
		else if (cn_view_is(piece, "BLUE"))
			cn_probe__picture(&b, 0x0000e0);
		else if (cn_view_is(piece, "LONG"))
			add_long(&b);
		else
			cn_buf_add_view(&b, piece);
	}
	return cn_arena_view(a, cn_buf_view(&b));
}
