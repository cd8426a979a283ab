/*
 * The head of a backend's answer: its fields, within limits, and the few that the
 * classifier reads.
 *
 * Runs inside libcurl's callback, so it only reads, tells the owner of the whole head, and
 * marks.  It does not judge the status.
 */
#include "upstream_impl.h"

#include <string.h>

#include "continuo/clock.h"

/* "6m0s", "20ms", "1.5s" or bare seconds, to tell the longer from the shorter; else 0. */
static double duration_ms(struct cn_view v)
{
	double total = 0;

	while (v.n) {
		double n = 0, scale = 0, unit = 1000;

		for (; v.n && ((v.p[0] >= '0' && v.p[0] <= '9') || v.p[0] == '.');
		     v = cn_view_from(v, 1)) {
			if (v.p[0] == '.') {
				scale = 1;
				continue;
			}
			n = n * 10 + (v.p[0] - '0');
			scale *= 10;
		}
		if (scale > 1)
			n /= scale;
		if (cn_view_starts(v, CN_VIEW("ms")))
			unit = 1;
		else if (cn_view_starts(v, CN_VIEW("m")))
			unit = 60000;
		else if (cn_view_starts(v, CN_VIEW("h")))
			unit = 3600000;
		else if (cn_view_starts(v, CN_VIEW("d")))
			unit = 86400000;
		else if (v.n && v.p[0] != 's')
			return 0;
		total += n * unit;
		v = cn_view_from(v, unit < 2 ? 2 : 1);
	}
	return total;
}

static void keep_known(struct cn_answer_head *h, struct cn_view name, struct cn_view value)
{
	static const struct {
		const char *name;
		size_t offset;
	} known[] = {
	    {"content-type", offsetof(struct cn_answer_head, content_type)},
	    {"server", offsetof(struct cn_answer_head, server)},
	    {"cf-ray", offsetof(struct cn_answer_head, cf_ray)},
	    {"retry-after", offsetof(struct cn_answer_head, retry_after)},
	    {"retry-after-ms", offsetof(struct cn_answer_head, retry_after_ms)},
	    {"anthropic-ratelimit-unified-status",
	     offsetof(struct cn_answer_head, unified_status)},
	    {"anthropic-ratelimit-unified-reset",
	     offsetof(struct cn_answer_head, unified_reset)},
	    {"x-should-retry", offsetof(struct cn_answer_head, should_retry)},
	    {"request-id", offsetof(struct cn_answer_head, request_id)},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (cn_view_is(name, known[i].name))
			memcpy((char *)h + known[i].offset, &value, sizeof(value));
	if (cn_view_is(name, "x-request-id") && !h->request_id.n)
		h->request_id = value;
	/* Requests and tokens have a limit each: both must have come back. */
	if ((cn_view_is(name, "x-ratelimit-reset-requests") ||
	     cn_view_is(name, "x-ratelimit-reset-tokens")) &&
	    (!h->ratelimit_reset.n || duration_ms(value) > duration_ms(h->ratelimit_reset)))
		h->ratelimit_reset = value;
	/* Nothing is decompressed, and one coding is enough to make it unreadable. */
	if ((cn_view_is(name, "content-encoding") && value.n &&
	     !cn_view_eq_nocase(value, CN_VIEW("identity"))) ||
	    (cn_view_is(name, "transfer-encoding") &&
	     !cn_view_eq_nocase(value, CN_VIEW("chunked")) &&
	     !cn_view_eq_nocase(value, CN_VIEW("identity"))))
		h->content_encoding = value;
}

static struct cn_view lower(struct cn_arena *a, struct cn_view name)
{
	char *p = cn_arena_dup(a, name);

	for (size_t i = 0; i < name.n; i++)
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] = (char)(p[i] | 0x20);
	return cn_view(p, name.n);
}

static void too_large(struct cn_attempt *at)
{
	(void)cn_attempt__fail(at, CN_TP_OUR_LIMIT, "the response head is too large");
}

static void on_field(struct cn_attempt *at, struct cn_view line)
{
	struct cn_view value = line, name;
	struct cn_upstream_field *f;

	if (at->n_fields == CN_HEAD_FIELDS) {
		too_large(at);
		return;
	}
	if (!cn_view_split(&value, ':', &name) || !value.p || !name.n)
		return;
	if (at->n_fields == at->room_fields) {
		size_t room = at->room_fields ? at->room_fields * 2 : 32;

		f = cn_arena_alloc(&at->arena, room * sizeof(*f));
		if (at->n_fields)
			memcpy(f, at->fields, at->n_fields * sizeof(*f));
		at->fields = f;
		at->room_fields = room;
	}
	f = &at->fields[at->n_fields++];
	f->name = lower(&at->arena, name);
	f->value = cn_arena_view(&at->arena, cn_view_trim(value));
	keep_known(&at->answer, f->name, f->value);
}

static void on_status_line(struct cn_attempt *at, struct cn_view line)
{
	size_t space = cn_view_find(line, CN_VIEW(" "), 0);
	uint64_t status = 0;

	if (space != SIZE_MAX)
		(void)cn_view_u64(cn_view_cut(cn_view_from(line, space + 1), 3), &status);
	at->answer = (struct cn_answer_head){.status = (int)status};
	at->n_fields = 0;
	at->in_head = true;
}

/*
 * curl keeps its 64 KiB of send buffer until the transfer's end, which for a stream is
 * minutes away.  Setting its size frees it; the next transfer gets a new one.  Only when
 * all of the body has left, so that nothing in it is still needed.
 */
static void drop_send_buffer(struct cn_attempt *at)
{
	curl_off_t sent = 0;

	curl_easy_getinfo(at->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	if (sent >= 0 && (size_t)sent == at->opts.body.bytes)
		curl_easy_setopt(at->easy, CURLOPT_UPLOAD_BUFFERSIZE, 65536L);
}

/* The empty line: the head is whole. */
static void on_whole(struct cn_attempt *at)
{
	struct cn_field_list list = {at->fields, at->n_fields};

	at->in_head = false;
	if (at->answer.status < 200)
		return; /* 100 Continue and its kin: the real one follows */
	at->head_done = true;
	drop_send_buffer(at);
	at->head_ms = at->byte_ms = cn_clock_ms();
	if (at->answer.content_encoding.n) {
		(void)cn_attempt__fail(at, CN_TP_ENCODED, NULL);
		return;
	}
	if (at->answer.status >= 300)
		cn_deadline__arm(at);
	if (at->opts.owner.on_head)
		at->opts.owner.on_head(at->opts.owner.self, &list);
}

size_t cn_head__on_line(char *p, size_t size, size_t n, void *self)
{
	struct cn_attempt *at = self;
	struct cn_view line = cn_view(p, size * n);

	if (!cn_attempt__reads(at))
		return 0;
	at->head_bytes += line.n;
	/* Trailers count, and are passed over. */
	if (at->head_bytes > CN_HEAD_MAX)
		too_large(at);
	while (line.n && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	if (at->head_done || at->ending)
		; /* nothing more to learn */
	else if (!at->in_head)
		on_status_line(at, line);
	else if (line.n == 0)
		on_whole(at);
	else
		on_field(at, line);
	return cn_attempt__reads(at) && cn_answer__charge(at) ? size * n : 0;
}
