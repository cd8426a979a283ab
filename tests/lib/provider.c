/*
 * The scripted provider as a program, for tests in other languages.
 *
 *   provider [--log FILE] [--quirks NAME=WORD,WORD…]… NAME=SCRIPT…
 *
 * Prints {"ports":{"NAME":PORT,…}} when it listens.  Then takes lines on standard input:
 * `script NAME STEPS` (another script from the next request on), `go NAME` (an answer that
 * waits goes on) and `quit`; ends with its input.  Each is answered by a line, {} or
 * {"error":TEXT}, so that who waits for it knows that the next request meets it.  Each
 * request is appended to the log as one JSON line; a Chat Completions request that breaks a
 * rule of that format, or of a server with those quirks, has it there as `breach`.  One
 * loop, one thread.
 */
#include "continuo/demo.h"

#include "chat_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "continuo/hash.h"
#include "continuo/json.h"

#define CN_QUIRKY_MAX 128

struct program {
	uv_loop_t loop;
	uv_pipe_t input;
	struct cn_provider *provider;
	struct cn_buf line;
	FILE *log;
	struct cn_view breach; /* of the request at hand; borrowed from its peer */
	struct {
		struct cn_view backend; /* borrowed from the arguments */
		uint64_t quirks;
	} quirky[CN_QUIRKY_MAX];
	size_t n_quirky;
	bool over;
};

static uint64_t quirks_of(const struct program *p, const char *backend)
{
	for (size_t i = 0; i < p->n_quirky; i++)
		if (cn_view_is(p->quirky[i].backend, backend))
			return p->quirky[i].quirks;
	return 0;
}

/* NAME=WORD,WORD; false when one is no quirk. */
static bool add_quirks(struct program *p, const char *arg)
{
	static const char *const words[] = {
#define X(symbol, name, meaning) [CN_QUIRK_##symbol] = (name),
	    CN_QUIRKS(X)
#undef X
	};
	struct cn_view rest = cn_view_str(arg), word;

	if (p->n_quirky == CN_QUIRKY_MAX ||
	    !cn_view_split(&rest, '=', &p->quirky[p->n_quirky].backend))
		return false;
	while (cn_view_split(&rest, ',', &word)) {
		size_t i = 0, n = sizeof(words) / sizeof(words[0]);

		while (i < n && !cn_view_is(cn_view_trim(word), words[i]))
			i++;
		if (i == n)
			return false;
		p->quirky[p->n_quirky].quirks |= cn_quirk_bit((enum cn_quirk)i);
	}
	p->n_quirky++;
	return true;
}

static bool find_breach(void *self, const char *backend, struct cn_view head,
                        struct cn_view body, char *ret, size_t n)
{
	struct program *p = self;
	struct cn_view first = head;
	const char *found = NULL;

	(void)cn_view_split(&head, '\r', &first);
	if (cn_view_find(first, CN_VIEW("/chat/completions"), 0) != SIZE_MAX)
		found = chat_rules_breach(body, quirks_of(p, backend), ret, n);
	p->breach = found ? cn_view_str(found) : (struct cn_view){NULL, 0};
	return found;
}

static void on_request(void *self, const char *backend, size_t n, const char *step,
                       struct cn_view head, struct cn_view body)
{
	struct program *p = self;
	CN_AUTO(cn_buf) b = {0};

	if (!p->log)
		return;
	cn_buf_add_char(&b, '{');
	cn_json_add_text(&b, "backend", cn_view_str(backend));
	cn_json_add_u64(&b, "n", n);
	cn_json_add_text(&b, "step", cn_view_str(step));
	if (p->breach.n)
		cn_json_add_text(&b, "breach", p->breach);
	cn_json_add_text(&b, "head", head);
	cn_json_add_text(&b, "body", body);
	cn_buf_add_str(&b, "}\n");
	fwrite(b.p, 1, b.n, p->log);
	fflush(p->log);
}

static void end(struct program *p)
{
	if (p->over)
		return;
	p->over = true;
	cn_provider_close(p->provider);
	uv_close((uv_handle_t *)&p->input, NULL);
}

static void reply(int failed, const struct cn_error *err)
{
	CN_AUTO(cn_buf) b = {0};

	cn_buf_add_char(&b, '{');
	if (failed)
		cn_json_add_text(&b, "error", cn_view_str(err->message));
	cn_buf_add_str(&b, "}\n");
	fwrite(b.p, 1, b.n, stdout);
	fflush(stdout);
}

static void on_command(struct program *p, struct cn_view line)
{
	struct cn_view rest = line, verb, word;
	struct cn_error err = {0};

	if (!cn_view_split(&rest, ' ', &verb))
		return;
	if (cn_view_is(verb, "quit")) {
		end(p);
		return;
	}
	if (!cn_view_split(&rest, ' ', &word))
		word = CN_VIEW("");
	CN_AUTOFREE char *name = cn_view_dup(word);

	if (cn_view_is(verb, "script"))
		reply(cn_provider_script(p->provider, name, rest, &err), &err);
	else if (cn_view_is(verb, "go"))
		reply(cn_provider_go(p->provider, name, &err), &err);
	else
		reply(
		    cn_fail(&err, CN_E_INVALID, "no such command: %.*s", CN_VIEW_ARG(line)),
		    &err);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct program *p = handle->data;

	*buf = uv_buf_init(cn_buf_reserve(&p->line, suggested), (unsigned)suggested);
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct program *p = stream->data;
	size_t at;

	(void)buf;
	if (n < 0) {
		end(p);
		return;
	}
	p->line.n += (size_t)n;
	while (!p->over &&
	       (at = cn_view_find(cn_buf_view(&p->line), CN_VIEW("\n"), 0)) != SIZE_MAX) {
		on_command(p, cn_view_cut(cn_buf_view(&p->line), at));
		cn_buf_consume(&p->line, at + 1);
	}
}

/* NAME=SCRIPT as a backend; its port goes into ports. */
static int add(struct program *p, const char *arg, struct cn_buf *ports)
{
	struct cn_view script = cn_view_str(arg), name;
	struct cn_error err;
	unsigned port;

	(void)cn_view_split(&script, '=', &name);
	CN_AUTOFREE char *text = cn_view_dup(name);

	if (cn_provider_add(p->provider, text, script, &port, &err)) {
		fprintf(stderr, "provider: %s\n", err.message);
		return 1;
	}
	cn_json_add_u64(ports, text, port);
	return 0;
}

int main(int argc, char **argv)
{
	struct program p = {0};
	struct cn_provider_opts opts = {
	    .loop = &p.loop, .on_request = on_request, .breach = find_breach, .self = &p};
	CN_AUTO(cn_buf) ports = {0};

	cn_hash_setup();
	uv_loop_init(&p.loop);
	p.provider = cn_provider_new(&opts);
	cn_buf_add_str(&ports, "{\"ports\":{");
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--log") == 0 && i + 1 < argc)
			p.log = fopen(argv[++i], "a");
		else if (strcmp(argv[i], "--quirks") == 0 && i + 1 < argc &&
		         add_quirks(&p, argv[i + 1]))
			i++;
		else if (add(&p, argv[i], &ports))
			return 1;
	}
	cn_buf_add_str(&ports, "}}\n");
	uv_pipe_init(&p.loop, &p.input, 0);
	p.input.data = &p;
	uv_pipe_open(&p.input, STDIN_FILENO);
	uv_read_start((uv_stream_t *)&p.input, on_alloc, on_input);
	fwrite(ports.p, 1, ports.n, stdout);
	fflush(stdout);
	uv_run(&p.loop, UV_RUN_DEFAULT);
	uv_loop_close(&p.loop);
	cn_buf_done(&p.line);
	if (p.log)
		fclose(p.log);
	return 0;
}
