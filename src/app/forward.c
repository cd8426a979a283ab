/*
 * A client's request head made into a backend's: which fields travel, and the credential.
 *
 * Nothing of the client's framing survives, and nothing that names us or carries a
 * credential goes along by itself (design/security.md 4 and 6).  Runs on the turn's worker.
 */
#include "app_impl.h"

#include "continuo/clock.h"

/* Fields that never travel: framing, hops, credentials, browsers, and what we say
 * ourselves. */
static const char *const CN_STAYS[] = {
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "anthropic-beta", /* filtered per backend, below */
    "api-key",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "origin",
    "proxy-authorization",
    "proxy-connection",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-api-key",
    "x-real-ip",
};

static bool stays(struct cn_view name)
{
	if (cn_view_starts(name, CN_VIEW("x-continuo-")) ||
	    cn_view_starts(name, CN_VIEW("x-forwarded-")) ||
	    cn_view_starts(name, CN_VIEW("sec-")))
		return true;
	for (size_t i = 0; i < sizeof(CN_STAYS) / sizeof(CN_STAYS[0]); i++)
		if (cn_view_is(name, CN_STAYS[i]))
			return true;
	return false;
}

/* Named by the client's own Connection field: meant for us, and no further. */
static bool is_hop(const struct cn_head *head, struct cn_view name)
{
	for (size_t i = 0; i < head->n_fields; i++) {
		struct cn_view rest = head->fields[i].value, option;

		if (!cn_view_is(head->fields[i].name, "connection"))
			continue;
		while (cn_view_split(&rest, ',', &option))
			if (cn_view_eq_nocase(cn_view_trim(option), name))
				return true;
	}
	return false;
}

static struct cn_view bearer(struct cn_view authorization)
{
	if (authorization.n > 7 &&
	    cn_view_eq_nocase(cn_view_cut(authorization, 7), CN_VIEW("Bearer ")))
		return cn_view_trim(cn_view_from(authorization, 7));
	return (struct cn_view){NULL, 0};
}

static bool is_ours(struct cn_view text)
{
	return cn_view_starts(text, CN_VIEW("ct_"));
}

struct cn_view cn_forward__token(const struct cn_head *head)
{
	struct cn_view v = cn_head_get(head, "x-continuo-token");

	if (v.n)
		return v;
	v = bearer(cn_head_get(head, "authorization"));
	if (is_ours(v))
		return v;
	v = cn_head_get(head, "x-api-key");
	return is_ours(v) ? v : (struct cn_view){NULL, 0};
}

static struct cn_view join_betas(struct cn_arena *a, const struct cn_head *head)
{
	CN_AUTO(cn_buf) b = {0};

	for (size_t i = 0; i < head->n_fields; i++) {
		if (!cn_view_is(head->fields[i].name, "anthropic-beta"))
			continue;
		if (b.n)
			cn_buf_add_str(&b, ",");
		cn_buf_add_view(&b, head->fields[i].value);
	}
	return cn_arena_view(a, cn_buf_view(&b));
}

void cn_forward__read(struct cn_arena *a, const struct cn_head *head, struct cn_view token,
                      struct cn_forward *ret)
{
	struct cn_view authorization = cn_head_get(head, "authorization");
	struct cn_view api_key = cn_head_get(head, "x-api-key");
	uint64_t seconds;

	*ret = (struct cn_forward){.query = cn_arena_view(a, head->query)};
	ret->fields = cn_arena_zalloc(a, (head->n_fields + 1) * sizeof(*ret->fields));
	for (size_t i = 0; i < head->n_fields; i++) {
		const struct cn_field *f = &head->fields[i];

		if (stays(f->name) || is_hop(head, f->name))
			continue;
		ret->fields[ret->n_fields++] = (struct cn_upstream_field){
		    cn_arena_view(a, f->name), cn_arena_view(a, f->value)};
	}
	if (bearer(authorization).n && !cn_view_eq(bearer(authorization), token) &&
	    !is_ours(bearer(authorization)))
		ret->authorization = cn_arena_view(a, authorization);
	if (api_key.n && !cn_view_eq(api_key, token) && !is_ours(api_key))
		ret->api_key = cn_arena_view(a, api_key);
	ret->betas = join_betas(a, head);
	if (cn_view_u64(cn_head_get(head, "x-stainless-timeout"), &seconds) &&
	    seconds < 86400)
		ret->timeout_ms = seconds * 1000;
}

/* Whether one beta value goes to this backend. */
static bool keeps_beta(const struct cn_backend *b, struct cn_view beta, struct cn_view drop)
{
	if (b->drop_betas || beta.n == 0 || (drop.n && cn_view_eq(beta, drop)))
		return false;
	if (b->n_keep_betas == 0)
		return true;
	for (size_t i = 0; i < b->n_keep_betas; i++)
		if (cn_view_is(beta, b->keep_betas[i]))
			return true;
	return false;
}

static struct cn_view filter_betas(struct cn_arena *a, struct cn_view all,
                                   const struct cn_backend *b, struct cn_view drop)
{
	CN_AUTO(cn_buf) kept = {0};
	struct cn_view rest = all, piece;

	/* Nothing to leave out: as the client wrote it, so that the field stays
	 * byte-stable. */
	if (!b->drop_betas && b->n_keep_betas == 0 && drop.n == 0)
		return all;
	while (cn_view_split(&rest, ',', &piece)) {
		piece = cn_view_trim(piece);
		if (!keeps_beta(b, piece, drop))
			continue;
		if (kept.n)
			cn_buf_add_char(&kept, ',');
		cn_buf_add_view(&kept, piece);
	}
	return cn_arena_view(a, cn_buf_view(&kept));
}

struct cn_view cn_forward__query(const struct cn_forward *f, const struct cn_backend *b)
{
	return b->wire == CN_WIRE_ANTHROPIC ? f->query : (struct cn_view){NULL, 0};
}

/* Whether a field of the client means anything to a backend of that format. */
static bool travels(struct cn_view name, enum cn_wire wire)
{
	return wire == CN_WIRE_ANTHROPIC || cn_view_is(name, "user-agent");
}

void cn_forward__fields(struct cn_arena *a, const struct cn_forward *f,
                        const struct cn_backend *b, struct cn_view drop_beta,
                        struct cn_upstream_field **ret, size_t *retn)
{
	struct cn_view betas = filter_betas(a, f->betas, b, drop_beta);
	struct cn_upstream_field *v =
	    cn_arena_zalloc(a, (f->n_fields + b->n_headers + 2) * sizeof(*v));
	bool has_version = b->wire != CN_WIRE_ANTHROPIC;
	size_t n = 0;

	for (size_t i = 0; i < f->n_fields; i++) {
		bool replaced = !travels(f->fields[i].name, b->wire);

		for (size_t j = 0; j < b->n_headers; j++)
			replaced |= cn_view_eq_nocase(f->fields[i].name,
			                              cn_view_str(b->headers[j].name));
		if (replaced)
			continue;
		has_version |= cn_view_is(f->fields[i].name, "anthropic-version");
		v[n++] = f->fields[i];
	}
	for (size_t j = 0; j < b->n_headers; j++) {
		has_version |= cn_view_eq_nocase(cn_view_str(b->headers[j].name),
		                                 CN_VIEW("anthropic-version"));
		v[n++] = (struct cn_upstream_field){cn_view_str(b->headers[j].name),
		                                    cn_view_str(b->headers[j].value)};
	}
	if (!has_version)
		v[n++] = (struct cn_upstream_field){CN_VIEW("anthropic-version"),
		                                    CN_VIEW("2023-06-01")};
	if (betas.n && b->wire == CN_WIRE_ANTHROPIC)
		v[n++] = (struct cn_upstream_field){CN_VIEW("anthropic-beta"), betas};
	*ret = v;
	*retn = n;
}

/* ---- the credential ---- */

struct put_secret {
	enum cn_auth auth;
	void (*put)(void *to, struct cn_view name, struct cn_view value);
	void *to;
};

static void on_secret(void *self, struct cn_view secret)
{
	const struct put_secret *ps = self;

	cn_upstream_put_key(ps->auth, secret, ps->put, ps->to);
}

int cn_forward__credential(void *self,
                           void (*put)(void *to, struct cn_view name, struct cn_view value),
                           void *to, struct cn_error *reterr)
{
	struct cn_credential *c = self;
	struct put_secret ps = {c->backend->auth, put, to};

	switch (c->key->kind) {
	case CN_KEY_NONE:
		return 0;
	case CN_KEY_CLIENT:
		/* Exactly one: two at once have been refused; the API itself prefers
		 * x-api-key. */
		if (c->forward->api_key.n)
			put(to, CN_VIEW("x-api-key"), c->forward->api_key);
		else if (c->forward->authorization.n)
			put(to, CN_VIEW("authorization"), c->forward->authorization);
		else
			return cn_fail(
			    reterr, CN_E_DENIED,
			    "the client sent no credential of its own for backend %s",
			    c->backend->name);
		return 0;
	case CN_KEY_VAULT:
		return cn_vault_borrow(c->vault, c->key->name, c->backend->origin,
		                       on_secret, &ps, reterr);
	}
	return cn_fail(reterr, CN_E_FAIL, "unknown kind of key");
}
