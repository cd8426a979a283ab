/*
 * The fast backend of the bench: canned answers, written at once, to whatever is asked.
 *
 *   upstream
 *
 * Prints {"json":PORT,…}: a message of 2 KB (json), a stream of 200 deltas in one write
 * (burst), one of 80 deltas 50 ms apart (paced), one of 2000 in one write (long); and the
 * message and the long stream in the Chat Completions format (chat_json, chat_long).  Ends
 * with its standard input.  One loop, one thread.  Bodies are read and dropped; nothing is
 * checked.
 */
#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "continuo/buf.h"

#define BURST    200
#define LONG     2000
#define PACED    80
#define PACE_MS  50
#define TEXT     2000 /* bytes of the message's text */
#define READ_MAX 65536

enum kind {
	CN_BENCH_JSON,
	CN_BENCH_BURST,
	CN_BENCH_PACED,
	CN_BENCH_LONG,
	CN_BENCH_CHAT_JSON,
	CN_BENCH_CHAT_LONG,
	CN_BENCH_KINDS
};
static const char *const names[] = {"json", "burst",     "paced",
                                    "long", "chat_json", "chat_long"};

struct door {
	uv_tcp_t tcp;
	enum kind kind;
	unsigned port;
};

struct peer {
	uv_tcp_t tcp;
	uv_timer_t pace;
	llhttp_t parser;
	enum kind kind;
	unsigned sent;   /* deltas of the paced answer */
	unsigned closed; /* handles whose close callback has run */
};

static struct cn_buf answers[CN_BENCH_KINDS], delta,
    ending; /* what is sent, made at the start */
static llhttp_settings_t settings;
static char input[READ_MAX]; /* what is read is parsed before the next read */

/* ---- the canned bytes ---- */

static void add_chunk(struct cn_buf *b, const char *text)
{
	cn_buf_printf(b, "%zx\r\n%s\r\n", strlen(text), text);
}

static void add_head(struct cn_buf *b)
{
	cn_buf_add_str(b, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
	                  "Transfer-Encoding: chunked\r\n\r\n");
}

static void add_stream_head(struct cn_buf *b)
{
	add_head(b);
	add_chunk(b, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":"
	             "{\"id\":\"msg_bench\",\"type\":\"message\",\"role\":\"assistant\","
	             "\"model\":\"bench\",\"content\":[],\"stop_reason\":null,"
	             "\"stop_sequence\":null,\"usage\":{\"input_tokens\":9,"
	             "\"output_tokens\":1}}}\n\n");
	add_chunk(b,
	          "event: content_block_start\ndata: {\"type\":\"content_block_start\","
	          "\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n");
}

static void add_text(struct cn_buf *b)
{
	for (int i = 0; i < TEXT; i++)
		cn_buf_add_char(b, "abcde fghij klmno pqrst uvwxy "[i % 30]);
}

static void add_whole(struct cn_buf *b, const struct cn_buf *body)
{
	cn_buf_printf(b,
	              "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	              "Content-Length: %zu\r\n\r\n",
	              body->n);
	cn_buf_add_view(b, cn_buf_view(body));
}

static void add_burst(struct cn_buf *b, int n)
{
	add_stream_head(b);
	for (int i = 0; i < n; i++)
		cn_buf_add_view(b, cn_buf_view(&delta));
	cn_buf_add_view(b, cn_buf_view(&ending));
}

/* The same in the other format. */
static void make_chat(void)
{
	struct cn_buf *stream = &answers[CN_BENCH_CHAT_LONG];
	CN_AUTO(cn_buf) body = {0};

	cn_buf_add_str(&body,
	               "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"model\":"
	               "\"bench\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
	               "\"assistant\",\"content\":\"");
	add_text(&body);
	cn_buf_add_str(&body,
	               "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,"
	               "\"completion_tokens\":500,\"total_tokens\":509}}");
	add_whole(&answers[CN_BENCH_CHAT_JSON], &body);
	add_head(stream);
#define CHUNK(delta, finish)                                                               \
	"data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1," \
	"\"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":{" delta                  \
	"},\"finish_reason\":" finish "}]}\n\n"
	add_chunk(stream, CHUNK("\"role\":\"assistant\",\"content\":\"\"", "null"));
	for (int i = 0; i < LONG; i++)
		add_chunk(stream, CHUNK("\"content\":\"four words or so \"", "null"));
	add_chunk(stream, CHUNK("", "\"stop\""));
#undef CHUNK
	add_chunk(stream, "data: {\"id\":\"chatcmpl-1\",\"choices\":[],\"usage\":{"
	                  "\"prompt_tokens\":9,\"completion_tokens\":2000,\"total_tokens\":"
	                  "2009}}\n\ndata: [DONE]\n\n");
	cn_buf_add_str(stream, "0\r\n\r\n");
}

static void make_answers(void)
{
	CN_AUTO(cn_buf) body = {0};

	cn_buf_add_str(&body, "{\"id\":\"msg_bench\",\"type\":\"message\",\"role\":"
	                      "\"assistant\",\"model\":\"bench\",\"content\":[{\"type\":"
	                      "\"text\",\"text\":\"");
	add_text(&body);
	cn_buf_add_str(&body, "\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,"
	                      "\"usage\":{\"input_tokens\":9,\"output_tokens\":500}}");
	add_whole(&answers[CN_BENCH_JSON], &body);
	add_chunk(&delta, "event: content_block_delta\ndata: {\"type\":"
	                  "\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
	                  "\"text_delta\",\"text\":\"four words or so \"}}\n\n");
	add_chunk(&ending, "event: content_block_stop\ndata: {\"type\":"
	                   "\"content_block_stop\",\"index\":0}\n\n");
	add_chunk(&ending,
	          "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":"
	          "{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},"
	          "\"usage\":{\"output_tokens\":200}}\n\n");
	add_chunk(&ending, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
	cn_buf_add_str(&ending, "0\r\n\r\n");
	add_burst(&answers[CN_BENCH_BURST], BURST);
	add_burst(&answers[CN_BENCH_LONG], LONG);
	add_stream_head(&answers[CN_BENCH_PACED]);
	make_chat();
}

/* ---- a connection ---- */

static void on_closed(uv_handle_t *handle)
{
	struct peer *peer = handle->data;

	if (++peer->closed == 2)
		free(peer);
}

static void peer_close(struct peer *peer)
{
	if (uv_is_closing((uv_handle_t *)&peer->tcp))
		return;
	uv_close((uv_handle_t *)&peer->tcp, on_closed);
	uv_close((uv_handle_t *)&peer->pace, on_closed);
}

static void on_written(uv_write_t *req, int status)
{
	(void)status; /* a reader that went away is seen by the read */
	free(req);
}

static void peer_send(struct peer *peer, const struct cn_buf *bytes)
{
	uv_write_t *req = cn_zalloc(sizeof(*req));
	uv_buf_t buf = uv_buf_init(bytes->p, (unsigned)bytes->n);

	if (uv_write(req, (uv_stream_t *)&peer->tcp, &buf, 1, on_written) == 0)
		return;
	free(req);
	peer_close(peer);
}

static void on_pace(uv_timer_t *timer)
{
	struct peer *peer = timer->data;

	if (peer->sent++ < PACED) {
		peer_send(peer, &delta);
		return;
	}
	uv_timer_stop(timer);
	peer_send(peer, &ending);
}

static int on_request(llhttp_t *parser)
{
	struct peer *peer = parser->data;

	peer_send(peer, &answers[peer->kind]);
	if (peer->kind != CN_BENCH_PACED || uv_is_closing((uv_handle_t *)&peer->pace))
		return 0;
	peer->sent = 0;
	uv_timer_start(&peer->pace, on_pace, PACE_MS, PACE_MS);
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
	struct peer *peer = stream->data;

	if (n < 0 ||
	    (n > 0 && llhttp_execute(&peer->parser, buf->base, (size_t)n) != HPE_OK))
		peer_close(peer);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct door *door = listener->data;
	struct peer *peer;

	if (status < 0)
		return;
	peer = cn_zalloc(sizeof(*peer));
	peer->kind = door->kind;
	uv_tcp_init(listener->loop, &peer->tcp);
	uv_timer_init(listener->loop, &peer->pace);
	peer->tcp.data = peer->pace.data = peer;
	llhttp_init(&peer->parser, HTTP_REQUEST, &settings);
	peer->parser.data = peer;
	if (uv_accept(listener, (uv_stream_t *)&peer->tcp) ||
	    uv_read_start((uv_stream_t *)&peer->tcp, on_alloc, on_read))
		peer_close(peer);
	else
		uv_tcp_nodelay(&peer->tcp, 1);
}

/* ---- the program ---- */

static int door_open(uv_loop_t *loop, struct door *door, enum kind kind)
{
	struct sockaddr_in addr;
	int n = sizeof(addr);

	door->kind = kind;
	uv_tcp_init(loop, &door->tcp);
	door->tcp.data = door;
	uv_ip4_addr("127.0.0.1", 0, &addr);
	if (uv_tcp_bind(&door->tcp, (struct sockaddr *)&addr, 0) ||
	    uv_listen((uv_stream_t *)&door->tcp, 4096, on_connection) ||
	    uv_tcp_getsockname(&door->tcp, (struct sockaddr *)&addr, &n))
		return 1;
	door->port = ntohs(addr.sin_port);
	return 0;
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	(void)buf;
	if (n < 0)
		uv_stop(stream->loop);
}

int main(void)
{
	struct door doors[CN_BENCH_KINDS];
	uv_loop_t loop;
	uv_pipe_t stdin_pipe;

	llhttp_settings_init(&settings);
	settings.on_message_complete = on_request;
	make_answers();
	uv_loop_init(&loop);
	for (int i = 0; i < CN_BENCH_KINDS; i++)
		if (door_open(&loop, &doors[i], (enum kind)i)) {
			fprintf(stderr, "upstream: cannot listen\n");
			return 1;
		}
	uv_pipe_init(&loop, &stdin_pipe, 0);
	uv_pipe_open(&stdin_pipe, STDIN_FILENO);
	uv_read_start((uv_stream_t *)&stdin_pipe, on_alloc, on_input);
	for (int i = 0; i < CN_BENCH_KINDS; i++)
		printf("%s\"%s\":%u", i ? "," : "{", names[i], doors[i].port);
	printf("}\n");
	fflush(stdout);
	uv_run(&loop, UV_RUN_DEFAULT);
	return 0; /* the kernel closes what is left */
}
