/*
 * What a backend is sent, over what, and what stays of it.  If this fails, a request leaves
 * wrongly, or a credential goes where it must not.
 */
#include <signal.h>
#include <sys/wait.h>

#include "upstream_client.h"

#define R                        \
	{                        \
		REQUEST, NULL, 0 \
	}
#define S(text)               \
	{                     \
		SEND, text, 0 \
	}
#define E                    \
	{                    \
		END, NULL, 0 \
	}
#define Z                        \
	{                        \
		SILENCE, NULL, 0 \
	}

/* ---- head and body ---- */

static int put_key(void *self,
                   void (*put)(void *to, struct cn_view name, struct cn_view value),
                   void *to, struct cn_error *reterr)
{
	(void)reterr;
	put(to, CN_VIEW("x-api-key"), cn_view_str(self));
	return 0;
}

static int put_nothing(void *self,
                       void (*put)(void *to, struct cn_view name, struct cn_view value),
                       void *to, struct cn_error *reterr)
{
	(void)self;
	(void)put;
	(void)to;
	return cn_fail(reterr, CN_E_DENIED, "not for this origin");
}

static void the_request_is_written_anew(void **state)
{
	static const struct step steps[] = {R, S(HELLO), Z};
	static const struct cn_upstream_field fields[] = {
	    {{"anthropic-beta", 14}, {"a,b", 3}},
	    {{"x-empty", 7}, {"", 0}},
	    {{"x-evil", 6}, {"a\r\nx-forged: 1", 14}},
	    {{"x forged", 8}, {"1", 1}},
	    {{"x:forged", 8}, {"1", 1}},
	    {{"Transfer-Encoding", 17}, {"chunked", 7}},
	    {{"content-length", 14}, {"1", 1}},
	    {{"host", 4}, {"forged", 6}},
	};
	struct cn_view slices[] = {CN_VIEW("{\"mod"), CN_VIEW(""), CN_VIEW("el\":\"m\"}"),
	                           CN_VIEW("")};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	char expected[512], key[] = "k-1";
	struct ear e = {0};

	(void)state;
	c->opts.query = CN_VIEW("beta=true");
	c->opts.body = (struct cn_slices){slices, 4, 13};
	c->opts.fields = fields;
	c->opts.n_fields = sizeof(fields) / sizeof(fields[0]);
	c->opts.credential = put_key;
	c->opts.credential_self = key;
	client_run(c, &e);
	(void)snprintf(expected, sizeof(expected),
	               "POST /v1/messages?beta=true HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
	               "content-type: application/json\r\naccept: text/event-stream\r\n"
	               "accept-encoding: identity\r\nanthropic-beta: a,b\r\nx-empty:\r\n"
	               "x-api-key: k-1\r\nContent-Length: 13\r\n\r\n",
	               s->port);
	assert_string_equal(cn_buf_cstr(&s->head), expected);
	assert_string_equal(cn_buf_cstr(&s->body), "{\"model\":\"m\"}");
	client_free(c);
	server_free(s);
	ear_done(&e);
}

static void a_credential_that_is_refused_starts_nothing(void **state)
{
	static const struct step steps[] = {R, S(HELLO), Z};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	struct cn_attempt *at = NULL;
	struct cn_error err = {0};

	(void)state;
	c->opts.credential = put_nothing;
	assert_int_equal(cn_attempt_start(c->up, &c->opts, &at, &err), CN_E_DENIED);
	assert_string_equal(err.message, "not for this origin");
	assert_null(at);
	client_free(c);
	assert_int_equal(server_connections(s), 0);
	server_free(s);
}

#define SLICES 64
#define EACH   131071

static void a_body_of_8_mib_arrives_as_it_is(void **state)
{
	static const struct step steps[] = {R, S(HELLO), Z};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	struct cn_view slices[SLICES];
	char *bytes = cn_alloc(EACH);
	struct ear e = {0};

	(void)state;
	for (size_t i = 0; i < EACH; i++)
		bytes[i] = (char)('a' + i % 23);
	for (size_t i = 0; i < SLICES; i++)
		slices[i] = cn_view(bytes, EACH);
	c->opts.body = (struct cn_slices){slices, SLICES, (size_t)SLICES * EACH};
	client_run(c, &e);
	assert_string_equal(cn_class_name(e.outcome.class), "ok");
	assert_int_equal(s->body.n, (size_t)SLICES * EACH);
	for (size_t i = 0; i < SLICES; i++)
		assert_memory_equal(s->body.p + i * EACH, bytes, EACH);
	free(bytes);
	client_free(c);
	server_free(s);
	ear_done(&e);
}

/* ---- secrets ---- */

/* Larger mappings are the sanitizer's own, not of anybody's data. */
#define MAPPING_MAX (1ul << 32)
#define PIECE       ((size_t)1 << 20)

/* How often the bytes stand between two addresses; piece is where we look at them. */
static unsigned count_between(FILE *mem, unsigned long from, unsigned long to, char *piece,
                              struct cn_view what)
{
	unsigned found = 0;

	for (unsigned long at = from; at < to; at += PIECE - what.n) {
		size_t want = to - at < PIECE ? to - at : PIECE, got = 0;
		const char *p = piece, *hit;

		if (fseek(mem, (long)at, SEEK_SET) == 0)
			got = fread(piece, 1, want, mem);
		while ((hit = memmem(p, got - (size_t)(p - piece), what.p, what.n))) {
			found++;
			p = hit + 1;
		}
		explicit_bzero(piece, got);
		if (got < PIECE)
			break;
	}
	return found;
}

/* How often the bytes stand in what this process can write to. */
static unsigned count_in_memory(struct cn_view what)
{
	FILE *maps = fopen("/proc/self/maps", "r"), *mem = fopen("/proc/self/mem", "r");
	unsigned long from, to;
	unsigned found = 0;
	char line[512], mode[8], *piece = malloc(PIECE);

	assert_true(maps && mem && piece);
	/* What stdio buffers would be found again. */
	setvbuf(mem, NULL, _IONBF, 0);
	while (fgets(line, sizeof(line), maps))
		/* NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers */
		if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) == 3 && mode[1] == 'w' &&
		    to - from < MAPPING_MAX)
			found += count_between(mem, from, to, piece, what);
	free(piece);
	(void)fclose(maps);
	(void)fclose(mem);
	return found;
}

/* The key is made when it is asked for and forgotten at once. */
static int put_canary(void *self,
                      void (*put)(void *to, struct cn_view name, struct cn_view value),
                      void *to, struct cn_error *reterr)
{
	char key[64];

	(void)self;
	(void)reterr;
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (char)('A' + (i * 7 + 3) % 26);
	put(to, CN_VIEW("authorization"), cn_view(key, sizeof(key)));
	explicit_bzero(key, sizeof(key));
	return 0;
}

static void no_credential_stays_in_memory(void **state)
{
	static const struct step steps[] = {R, S(HELLO), {AGAIN, NULL, 0}};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	char key[64];

	(void)state;
	c->opts.credential = put_canary;
	for (int i = 0; i < 3; i++) {
		struct ear e = {0};

		client_run(c, &e);
		assert_string_equal(cn_class_name(e.outcome.class), "ok");
		ear_done(&e);
	}
	client_settle(c);
	pthread_mutex_lock(&s->lock);
	assert_true(cn_view_find(cn_buf_view(&s->head), CN_VIEW("authorization: D"), 0) !=
	            SIZE_MAX);
	explicit_bzero(s->head.p, s->head.cap);
	cn_buf_done(&s->head);
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (char)('A' + (i * 7 + 3) % 26);
	/* This one, and no other, although handles and the connection are kept. */
	assert_int_equal(count_in_memory(cn_view(key, sizeof(key))), 1);
	client_free(c);
	server_free(s);
}

/* ---- TLS and proxies ---- */

static void tls_to_a_plain_server_fails_before_anything_is_sent(void **state)
{
	static const struct step steps[] = {S("HTTP/1.1 400 Bad Request\r\n\r\n"), Z};
	struct server *s = server_new(steps);
	struct client *c = client_new(s->port);
	struct ear e = {0};

	(void)state;
	(void)snprintf(c->url, sizeof(c->url), "https://127.0.0.1:%u", s->port);
	client_run(c, &e);
	assert_string_equal(cn_class_name(e.outcome.class), "timeout_connect");
	assert_string_equal(e.outcome.reason, "TLS failed");
	assert_false(e.outcome.head_seen);
	client_free(c);
	server_free(s);
	ear_done(&e);
}

/* A TLS server with a certificate of its own making; 0: there is no tool for one. */
static pid_t start_tls(const char *dir, unsigned port)
{
	char command[1024];
	pid_t pid;

	(void)snprintf(
	    command, sizeof(command),
	    "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost "
	    "-keyout %s/key -out %s/cert >/dev/null 2>&1",
	    dir, dir);
	if (system(command) != 0) /* NOLINT(cert-env33-c): a tool of the test */
		return 0;
	(void)snprintf(command, sizeof(command),
	               "exec openssl s_server -quiet -accept %u -key %s/key -cert %s/cert "
	               ">/dev/null 2>&1 </dev/null",
	               port, dir, dir);
	pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static unsigned free_port(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
	                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &n), 0);
	close(fd);
	return ntohs(sin.sin_port);
}

static void a_certificate_that_nobody_signed_is_refused(void **state)
{
	char dir[] = "/tmp/continuo-test-XXXXXX", path[64];
	unsigned port = free_port();
	pid_t pid;
	struct ear e = {0};
	struct client *c;

	(void)state;
	assert_non_null(mkdtemp(dir));
	pid = start_tls(dir, port);
	c = client_new(port);
	(void)snprintf(c->url, sizeof(c->url), "https://localhost:%u", port);
	/* Until it listens, it refuses. */
	while (pid && e.outcome.class != CN_CLASS_MISCONFIGURED) {
		ear_done(&e);
		e = (struct ear){0};
		client_run(c, &e);
		assert_false(e.outcome.head_seen);
		if (strcmp(e.outcome.reason, "connection refused") != 0)
			break;
	}
	if (pid) {
		assert_string_equal(e.outcome.reason, "the certificate does not verify");
		assert_int_equal(e.n_heads, 0);
		kill(pid, SIGTERM);
		waitpid(pid, NULL, 0);
	}
	client_free(c);
	ear_done(&e);
	(void)snprintf(path, sizeof(path), "%s/key", dir);
	unlink(path);
	(void)snprintf(path, sizeof(path), "%s/cert", dir);
	unlink(path);
	rmdir(dir);
	if (!pid)
		skip();
}

/* The proxy's own head is no answer, and it sees no field of ours. */
static void a_proxy_is_asked_and_not_believed(void **state)
{
	static const struct {
		struct step steps[4];
		const char *class, *reason;
	} cases[] = {
	    {{R, S("HTTP/1.1 200 Connection established\r\n\r\n"), S("not TLS at all\r\n"),
	      E},
	     "timeout_connect",
	     "TLS failed"},
	    {{R, S("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"), E},
	     "timeout_connect",
	     "connection refused"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct server *s = server_new(cases[i].steps);
		struct client *c = client_new(1);
		char proxy[64], key[] = "k-1";
		struct ear e = {0};

		(void)snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", s->port);
		(void)snprintf(c->url, sizeof(c->url), "https://backend.invalid");
		c->backend.network = CN_NETWORK_PUBLIC;
		c->backend.proxy = CN_PROXY_URL;
		c->backend.proxy_url = proxy;
		c->opts.credential = put_key;
		c->opts.credential_self = key;
		client_run(c, &e);
		assert_string_equal(cn_class_name(e.outcome.class), cases[i].class);
		assert_string_equal(e.outcome.reason, cases[i].reason);
		assert_int_equal(e.n_heads, 0);
		assert_false(e.outcome.head_seen);
		client_free(c);
		assert_true(cn_view_starts(cn_buf_view(&s->head),
		                           CN_VIEW("CONNECT backend.invalid:443 ")));
		assert_true(cn_view_find(cn_buf_view(&s->head), CN_VIEW("k-1"), 0) ==
		            SIZE_MAX);
		server_free(s);
		ear_done(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_request_is_written_anew),
	    cmocka_unit_test(a_credential_that_is_refused_starts_nothing),
	    cmocka_unit_test(a_body_of_8_mib_arrives_as_it_is),
	    cmocka_unit_test(no_credential_stays_in_memory),
	    cmocka_unit_test(tls_to_a_plain_server_fails_before_anything_is_sent),
	    cmocka_unit_test(a_certificate_that_nobody_signed_is_refused),
	    cmocka_unit_test(a_proxy_is_asked_and_not_believed),
	};
	struct cn_error err;
	int failed;

	if (cn_upstream_setup(&err))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	cn_upstream_teardown();
	return failed;
}
