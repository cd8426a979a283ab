/*
 * The load of the bench: the same request over kept connections, as fast as answers come.
 *
 *   load --port N --model NAME [--token T] [--connections N] [--seconds S | --once]
 *        [--body BYTES] [--stream]
 *
 * Prints one JSON line: how many, how fast, and how long one took.  --once asks one request
 * on each connection.  An answer counts when it is a 200 and, if a stream, has its
 * message_stop.  One loop, one thread.
 */
#include <getopt.h>
#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "continuo/buf.h"

#define READ_MAX    65536
#define PIECE       900 /* bytes of one message of the conversation */
#define SAMPLES_MAX 4000000

struct opts {
	size_t port, connections, seconds, body;
	const char *model, *token;
	bool once, stream;
};

struct client {
	uv_tcp_t tcp;
	uv_connect_t connecting;
	uv_write_t writing;
	llhttp_t parser;
	struct cn_buf request; /* owned */
	uint64_t began_ns, first_ns;
	char tail[32]; /* the last bytes of the answer's body */
	size_t n_tail;
};

static struct opts opts = {.connections = 1, .seconds = 2, .body = 2048};
static uv_loop_t loop;
static uv_timer_t limit;
static llhttp_settings_t settings;
static struct client *clients;
static size_t connected, over; /* connections made; answers of --once */
static bool ended;
static uint64_t *took_ns, *first_ns; /* SAMPLES_MAX of each */
static size_t n_samples, n_wrong;
static char input[READ_MAX];

static void end(void)
{
	ended = true;
	uv_stop(&loop);
}

/* ---- the request ---- */

/* A conversation of many short messages, as a client sends it. */
static void make_body(struct cn_buf *b)
{
	cn_buf_printf(b,
	              "{\"model\":\"%s\",\"max_tokens\":1000,\"stream\":%s,\"messages\":[",
	              opts.model, opts.stream ? "true" : "false");
	for (unsigned i = 0; i == 0 || b->n + PIECE < opts.body; i += 2) {
		size_t room = opts.body > b->n + 120 ? opts.body - b->n - 120 : 1;

		if (i)
			cn_buf_printf(
			    b, "{\"role\":\"assistant\",\"content\":\"part %u\"},", i);
		cn_buf_printf(b,
		              "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
		              "\"%u: ",
		              i);
		for (size_t n = 0; n < (room < PIECE ? room : PIECE); n += 10)
			cn_buf_add_str(b,
			               n % 200 == 190 ? "\\n\\\"line\\\" " : "some words");
		cn_buf_add_str(b, "\"}]},");
	}
	cn_buf_truncate(b, b->n - 1);
	cn_buf_add_str(b, "]}");
}

static void make_request(struct client *c, size_t number, const struct cn_buf *body)
{
	cn_buf_printf(&c->request,
	              "POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:%zu\r\n"
	              "Content-Type: application/json\r\n"
	              "x-claude-code-session-id: bench-%zu\r\nContent-Length: %zu\r\n",
	              opts.port, number, body->n);
	if (opts.token)
		cn_buf_printf(&c->request, "x-continuo-token: %s\r\n", opts.token);
	cn_buf_add_str(&c->request, "\r\n");
	cn_buf_add_view(&c->request, cn_buf_view(body));
}

/* ---- a connection ---- */

static void connect_next(void);

static void lost(const char *what)
{
	if (ended)
		return;
	fprintf(stderr, "load: %s\n", what);
	n_wrong++;
	end();
}

static void on_sent(uv_write_t *req, int status)
{
	(void)req;
	if (status < 0)
		lost("a request could not be sent");
}

static void ask(struct client *c)
{
	uv_buf_t buf = uv_buf_init(c->request.p, (unsigned)c->request.n);

	c->began_ns = uv_hrtime();
	c->first_ns = 0;
	c->n_tail = 0;
	if (uv_write(&c->writing, (uv_stream_t *)&c->tcp, &buf, 1, on_sent) < 0)
		lost("a request could not be sent");
}

static int on_body(llhttp_t *parser, const char *p, size_t n)
{
	struct client *c = parser->data;
	size_t keep = n > sizeof(c->tail) ? sizeof(c->tail) : n;
	size_t old =
	    c->n_tail + keep > sizeof(c->tail) ? sizeof(c->tail) - keep : c->n_tail;

	if (!c->first_ns)
		c->first_ns = uv_hrtime();
	memmove(c->tail, c->tail + c->n_tail - old, old);
	memcpy(c->tail + old, p + n - keep, keep);
	c->n_tail = old + keep;
	return 0;
}

static int on_answer(llhttp_t *parser)
{
	struct client *c = parser->data;
	struct cn_view tail = cn_view(c->tail, c->n_tail);
	bool whole =
	    !opts.stream || cn_view_find(tail, CN_VIEW("\"message_stop\""), 0) != SIZE_MAX;

	if (parser->status_code != 200 || !whole) {
		if (n_wrong++ == 0)
			fprintf(stderr, "load: status %d, ends with '%.*s'\n",
			        parser->status_code, CN_VIEW_ARG(tail));
	} else if (n_samples < SAMPLES_MAX) {
		took_ns[n_samples] = uv_hrtime() - c->began_ns;
		first_ns[n_samples++] = c->first_ns - c->began_ns;
	}
	if (!opts.once)
		ask(c);
	else if (++over == opts.connections)
		end();
	return 0;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)handle;
	(void)suggested;
	*buf = uv_buf_init(input, sizeof(input));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct client *c = stream->data;

	if (n < 0)
		lost("a connection was closed");
	else if (n > 0 && llhttp_execute(&c->parser, buf->base, (size_t)n) != HPE_OK)
		lost("an answer that is no HTTP");
}

static void on_connected(uv_connect_t *req, int status)
{
	struct client *c = req->data;

	if (status < 0) {
		lost("no connection");
		return;
	}
	uv_tcp_nodelay(&c->tcp, 1);
	uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
	ask(c);
	if (++connected < opts.connections)
		connect_next();
}

/* One after the other: a thousand at once would overflow the listener's queue. */
static void connect_next(void)
{
	struct client *c = &clients[connected];
	struct sockaddr_in addr;

	uv_ip4_addr("127.0.0.1", (int)opts.port, &addr);
	uv_tcp_init(&loop, &c->tcp);
	c->tcp.data = c->connecting.data = c;
	llhttp_init(&c->parser, HTTP_RESPONSE, &settings);
	c->parser.data = c;
	if (uv_tcp_connect(&c->connecting, &c->tcp, (struct sockaddr *)&addr, on_connected))
		lost("no connection");
}

/* ---- the program ---- */

static void on_limit(uv_timer_t *timer)
{
	(void)timer;
	end();
}

static int order(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double percentile_us(uint64_t *v, unsigned percent)
{
	size_t at;

	if (n_samples == 0)
		return 0;
	qsort(v, n_samples, sizeof(*v), order);
	at = (n_samples - 1) * percent / 100;
	return (double)v[at] / 1000;
}

static bool read_opts(int argc, char **argv)
{
	static const struct option names[] = {{"port", required_argument, NULL, 0},
	                                      {"connections", required_argument, NULL, 1},
	                                      {"seconds", required_argument, NULL, 2},
	                                      {"body", required_argument, NULL, 3},
	                                      {"model", required_argument, NULL, 4},
	                                      {"token", required_argument, NULL, 5},
	                                      {"once", no_argument, NULL, 6},
	                                      {"stream", no_argument, NULL, 7},
	                                      {0}};
	size_t *const numbers[] = {&opts.port, &opts.connections, &opts.seconds,
	                           &opts.body};
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (option >= 0 && option < 4)
			*numbers[option] = strtoul(optarg, NULL, 10);
		else if (option < 6)
			*(option == 4 ? &opts.model : &opts.token) = optarg;
		else if (option < 8)
			*(option == 6 ? &opts.once : &opts.stream) = true;
		else
			return false;
	}
	return opts.port && opts.model && opts.connections;
}

int main(int argc, char **argv)
{
	CN_AUTO(cn_buf) body = {0};
	uint64_t began;
	double seconds;

	if (!read_opts(argc, argv)) {
		fprintf(stderr, "load: --port and --model are needed\n");
		return 2;
	}
	llhttp_settings_init(&settings);
	settings.on_body = on_body;
	settings.on_message_complete = on_answer;
	took_ns = cn_zalloc(SAMPLES_MAX * sizeof(*took_ns));
	first_ns = cn_zalloc(SAMPLES_MAX * sizeof(*first_ns));
	clients = cn_zalloc(opts.connections * sizeof(*clients));
	make_body(&body);
	for (size_t i = 0; i < opts.connections; i++)
		make_request(&clients[i], i, &body);
	uv_loop_init(&loop);
	uv_timer_init(&loop, &limit);
	uv_timer_start(&limit, on_limit, (opts.once ? 60 : opts.seconds) * 1000ULL, 0);
	began = uv_hrtime();
	connect_next();
	uv_run(&loop, UV_RUN_DEFAULT);
	seconds = (double)(uv_hrtime() - began) / 1e9;
	printf("{\"requests\":%zu,\"wrong\":%zu,\"seconds\":%.3f,\"per_second\":%.1f,"
	       "\"p50_us\":%.1f,\"p99_us\":%.1f,\"first_p50_us\":%.1f}\n",
	       n_samples, n_wrong, seconds, (double)n_samples / seconds,
	       percentile_us(took_ns, 50), percentile_us(took_ns, 99),
	       percentile_us(first_ns, 50));
	return n_wrong || (opts.once && over < opts.connections);
}
