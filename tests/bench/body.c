/*
 * What the bytes of a request cost before it is dispatched: checking and reading it, the
 * estimate, and its translation for a backend of another format.  usage: body [ROUNDS].  No
 * verdict: it prints the best of the rounds, because everything else is the machine's.
 *
 * The bodies are made the way Claude Code's are (wire/claude-code-client.md 3): a long
 * system text, a dozen tools, then calls, results full of source text and signed thinking.
 */
#include <stdio.h>
#include <stdlib.h>

#include "continuo/clock.h"
#include "continuo/estimate.h"
#include "continuo/openai_chat.h"

#define SOURCE                                                                                       \
	"   12\\tstatic int read_\\\"part\\\"(struct part *p, const char *name)\\n"                  \
	"   13\\t{\\n   14\\t\\tif (!p->name || strcmp(p->name, name) != 0)\\n"                      \
	"   15\\t\\t\\treturn -1; /* not ours \\u2014 or not yet */\\n   16\\t\\treturn p->at++;\\n" \
	"   17\\t}\\n"
#define PROSE                                                                              \
	"The change is in the reader: it looks at the name before it takes the part, and " \
	"says so \xe2\x80\x94 see `read_part()`.\\n\\nNothing else depends on the order. "

static void add_times(struct cn_buf *b, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		cn_buf_add_str(b, text);
}

static void add_tool(struct cn_buf *b, int i)
{
	cn_buf_printf(b, "%s{\"name\":\"Tool%d\",\"description\":\"", i ? "," : "", i);
	add_times(b, PROSE, 9);
	cn_buf_add_str(b, "\",\"input_schema\":{\"type\":\"object\",\"properties\":{");
	for (int k = 0; k < 6; k++)
		cn_buf_printf(
		    b, "%s\"field_%d\":{\"type\":\"string\",\"description\":\"" PROSE "\"}",
		    k ? "," : "", k);
	cn_buf_add_str(b, "},\"required\":[\"field_0\"],\"additionalProperties\":false}}");
}

/* One call and its result, some 3 KB. */
static void add_step(struct cn_buf *b, unsigned i)
{
	cn_buf_add_str(
	    b,
	    ",{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"" PROSE
	    "\",\"signature\":\"");
	add_times(b, "EqoBCkgIARABGAIiQL9xk2Vf0Jt7mGgNc4WzqUo3", 8);
	cn_buf_printf(
	    b,
	    "\"},{\"type\":\"text\",\"text\":\"" PROSE
	    "\"},{\"type\":\"tool_use\",\"id\":\"toolu_%u\",\"name\":\"Read\",\"input\":"
	    "{\"file_path\":\"/src/part_%u.c\",\"limit\":40,\"all\":false}}]},"
	    "{\"role\":\"user\",\"content\":[{\"tool_use_id\":\"toolu_%u\",\"type\":"
	    "\"tool_result\",\"content\":\"",
	    i, i, i);
	add_times(b, SOURCE, 8);
	cn_buf_add_str(b, "\"}]}");
}

static void make(struct cn_buf *b, size_t size)
{
	cn_buf_add_str(
	    b,
	    "{\"model\":\"claude-opus-5-5\",\"messages\":[{\"role\":\"user\",\"content\":"
	    "[{\"type\":\"text\",\"text\":\"" PROSE "\"}]}");
	/* The fixed part is 36 KB of which a small request has none. */
	for (unsigned i = 0; b->n + (size > 50000 ? 36000 : 200) < size; i++)
		add_step(b, i);
	cn_buf_add_char(b, ']');
	if (size > 50000) {
		cn_buf_add_str(b, ",\"system\":[{\"type\":\"text\",\"text\":\"");
		add_times(b, PROSE, 40);
		cn_buf_add_str(
		    b, "\",\"cache_control\":{\"type\":\"ephemeral\"}}],\"tools\":[");
		for (int i = 0; i < 12; i++)
			add_tool(b, i);
		cn_buf_add_char(b, ']');
	}
	cn_buf_add_str(
	    b,
	    ",\"metadata\":{\"user_id\":\"{\\\"session_id\\\":\\\"s\\\"}\"},\"max_tokens\":"
	    "128000,\"thinking\":{\"type\":\"adaptive\"},\"stream\":true}");
}

enum cost {
	COST_READ,
	COST_WEIGHED,
	COST_TRANSLATED
};

static uint64_t read_once(struct cn_view body, enum cost cost)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_estimate estimate = {0};
	struct cn_request_ear ear = cn_estimate_ear(&estimate);
	struct cn_error err = {0};
	struct cn_request r;

	if (cn_request_read(&a, body, &(struct cn_caller_ids){0},
	                    cost == COST_READ ? NULL : &ear, &r, &err)) {
		fprintf(stderr, "%s\n", err.message);
		exit(1);
	}
	if (cost == COST_TRANSLATED)
		(void)cn_openai_chat_encode_request(
		    &a, &r, &(struct cn_edit){.images = true, .stream = true});
	return cost == COST_READ ? 0 : cn_estimate_tokens(&estimate, &r);
}

/* The best of the rounds, in microseconds for one body. */
static double best(struct cn_view body, unsigned rounds, enum cost cost,
                   uint64_t *rettokens)
{
	/* Small bodies are read many times between two looks at the clock. */
	size_t times = 1 + 1000000 / body.n;
	uint64_t us = UINT64_MAX;

	for (unsigned i = 0; i < rounds; i++) {
		uint64_t from = cn_clock_us(), took;

		for (size_t k = 0; k < times; k++)
			*rettokens = read_once(body, cost);
		took = cn_clock_us() - from;
		us = took < us ? took : us;
	}
	return (double)us / (double)times;
}

static void bench(size_t size, unsigned rounds)
{
	CN_AUTO(cn_buf) body = {0};
	double read_us, both_us, all_us;
	uint64_t tokens;

	make(&body, size);
	read_us = best(cn_buf_view(&body), rounds, COST_READ, &tokens);
	both_us = best(cn_buf_view(&body), rounds, COST_WEIGHED, &tokens);
	all_us = best(cn_buf_view(&body), rounds, COST_TRANSLATED, &tokens);
	printf("%8zu bytes: read %7.1f us, read and weighed %7.1f us, %5.0f MB/s; "
	       "translated %7.1f us more (%llu tokens)\n",
	       body.n, read_us, both_us, (double)body.n / both_us, all_us - both_us,
	       (unsigned long long)tokens);
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 200;

	cn_hash_setup();
	bench(2048, rounds);
	bench((size_t)100 << 10, rounds);
	bench((size_t)1 << 20, rounds);
	return 0;
}
