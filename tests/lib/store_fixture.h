/*
 * What the store's tests share: a directory of their own, real sealing under fixed keys,
 * records that can be told apart, and waiting for the writer's word.
 */
#ifndef CONTINUO_TESTS_STORE_FIXTURE_H
#define CONTINUO_TESTS_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "../../src/store/store_impl.h"

#include "continuo/clock.h"

/* ---- crypto: XChaCha20-Poly1305 as the vault does it, under a key of zeros or ones ----
 */

struct fixture_keys {
	unsigned char key[32];
};

static void fixture_seal(void *self, struct cn_view ad, struct cn_view plain,
                         struct cn_buf *b)
{
	struct fixture_keys *k = self;
	char *p = cn_buf_reserve(b, 24 + plain.n + 16);
	unsigned long long n;

	cn_random(p, 24);
	crypto_aead_xchacha20poly1305_ietf_encrypt(
	    (unsigned char *)p + 24, &n, (const unsigned char *)plain.p, plain.n,
	    (const unsigned char *)ad.p, ad.n, NULL, (unsigned char *)p, k->key);
	b->n += 24 + n;
}

static int fixture_open(void *self, struct cn_view ad, struct cn_view sealed,
                        struct cn_buf *ret, struct cn_error *reterr)
{
	struct fixture_keys *k = self;
	unsigned long long n;
	char *p;

	if (sealed.n < 40)
		return cn_fail(reterr, CN_E_DAMAGED, "too short");
	p = cn_buf_reserve(ret, sealed.n);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(
		(unsigned char *)p, &n, NULL, (const unsigned char *)sealed.p + 24,
		sealed.n - 24, (const unsigned char *)ad.p, ad.n,
		(const unsigned char *)sealed.p, k->key))
		return cn_fail(reterr, CN_E_DAMAGED, "does not verify");
	ret->n += n;
	return 0;
}

static struct cn_hash fixture_hash(void *self, const struct cn_view *views, size_t n)
{
	struct fixture_keys *k = self;
	struct cn_hash h;
	crypto_generichash_state st;

	crypto_generichash_init(&st, k->key, sizeof(k->key), sizeof(h.b));
	for (size_t i = 0; i < n; i++) {
		uint64_t len = views[i].n;

		crypto_generichash_update(&st, (const unsigned char *)&len, sizeof(len));
		crypto_generichash_update(&st, (const unsigned char *)views[i].p,
		                          views[i].n);
	}
	crypto_generichash_final(&st, h.b, sizeof(h.b));
	return h;
}

/* ---- a place of its own ---- */

struct fixture {
	char dir[64];  /* removed at the end with what lies beside it */
	char home[48]; /* its parent */
	struct fixture_keys keys;
	struct cn_store_opts opts;
	struct cn_store_rules rules;
	struct cn_store *s;
};

static inline void fixture_remove(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char name[PATH_MAX];

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		assert_in_range(snprintf(name, sizeof(name), "%s/%s", path, e->d_name), 1,
		                sizeof(name) - 1);
		if (unlink(name))
			fixture_remove(name);
	}
	if (d)
		closedir(d);
	(void)rmdir(path);
}

static inline void fixture_place(struct fixture *f, const char *under)
{
	memset(f, 0, sizeof(*f));
	cn_hash_setup();
	assert_in_range(snprintf(f->home, sizeof(f->home), "%s/cn-store-XXXXXX", under), 1,
	                sizeof(f->home) - 1);
	assert_non_null(mkdtemp(f->home));
	(void)snprintf(f->dir, sizeof(f->dir), "%s/history", f->home);
	f->opts = (struct cn_store_opts){
	    .dir = f->dir,
	    .crypt = {fixture_seal, fixture_open, fixture_hash, &f->keys},
	    .max_size = (uint64_t)1 << 30,
	    .network_fs = true, /* wherever the tests happen to run */
	};
	f->rules = cn_store__usual_rules;
	/* The machine's own disk must not decide. */
	f->rules.free_low = f->rules.free_stop = 0;
	f->rules.free_part = 0;
}

static inline void fixture_up(struct fixture *f)
{
	struct cn_error e = {0};

	if (cn_store__open(&f->opts, &f->rules, &f->s, &e))
		fail_msg("opening: %s", e.message);
}

static inline void fixture_down(struct fixture *f)
{
	f->s = cn_store_close(f->s);
}

static inline void fixture_end(struct fixture *f)
{
	fixture_down(f);
	fixture_remove(f->home);
}

/* How many names in the home begin with "history.damaged-". */
static inline size_t fixture_set_aside(const struct fixture *f)
{
	DIR *d = opendir(f->home);
	struct dirent *e;
	size_t n = 0;

	while (d && (e = readdir(d)))
		n += strncmp(e->d_name, "history.damaged-", 16) == 0;
	if (d)
		closedir(d);
	return n;
}

/* ---- the writer's word ---- */

struct word {
	uv_sem_t sem;
	atomic_uint ok, failed, incomplete;
};

static inline void on_word(void *self, enum cn_store_word word)
{
	struct word *w = self;

	switch (word) {
	case CN_STORE_KEPT:
		atomic_fetch_add(&w->ok, 1);
		break;
	case CN_STORE_LOST:
		atomic_fetch_add(&w->failed, 1);
		break;
	case CN_STORE_INCOMPLETE:
		atomic_fetch_add(&w->incomplete, 1);
		break;
	}
	uv_sem_post(&w->sem);
}

static inline void word_init(struct word *w)
{
	assert_int_equal(0, uv_sem_init(&w->sem, 0));
	atomic_store(&w->ok, 0);
	atomic_store(&w->failed, 0);
	atomic_store(&w->incomplete, 0);
}

static inline enum cn_store_word submit_for_word(struct cn_store *s, struct cn_batch *b)
{
	struct word w;

	word_init(&w);
	cn_store_submit(s, b, on_word, &w);
	uv_sem_wait(&w.sem);
	uv_sem_destroy(&w.sem);
	return atomic_load(&w.ok)           ? CN_STORE_KEPT
	       : atomic_load(&w.incomplete) ? CN_STORE_INCOMPLETE
	                                    : CN_STORE_LOST;
}

static inline bool submit_and_wait(struct cn_store *s, struct cn_batch *b)
{
	return submit_for_word(s, b) == CN_STORE_KEPT;
}

/* Waits for a state; the writer reaches it by itself. */
static inline void await_state(struct cn_store *s, enum cn_store_state want)
{
	uint64_t until = cn_clock_ms() + 20000;

	while (cn_store_state(s) != want) {
		if (cn_clock_ms() > until)
			fail_msg("state %d, not %d: %s", cn_store_state(s), want,
			         cn_store_why(s));
		uv_sleep(1);
	}
}

/* ---- conversations ---- */

/* A conversation grows by a user's message and an answer with each turn. */
struct talk {
	const char *owner, *session, *agent;
	struct cn_hash last; /* of the chain */
	struct cn_hash prefix;
	unsigned turns;
	size_t filler; /* bytes of incompressible text in each message */
};

static inline struct cn_node talk_node(struct fixture_keys *keys, const char *owner,
                                       const struct cn_hash *parent, const char *text,
                                       struct cn_buf *text_out)
{
	struct cn_node node = {.parent = *parent};
	struct cn_view views[3] = {cn_view_str(owner),
	                           cn_view((const char *)parent->b, CN_HASH_BYTES)};

	cn_buf_clear(text_out);
	cn_buf_add_str(text_out, text);
	views[2] = cn_buf_view(text_out);
	node.id = fixture_hash(keys, views, 3);
	node.canonical = cn_buf_view(text_out);
	return node;
}

static inline void talk_say(struct talk *t, struct fixture_keys *keys, const char *role,
                            struct cn_batch *b)
{
	CN_AUTO(cn_buf) text = {0};
	CN_AUTO(cn_buf) copy = {0};
	struct cn_node node;

	cn_buf_printf(&text, "{\"content\":[{\"text\":\"%s %s says %u ", t->session,
	              t->agent ? t->agent : "", t->turns);
	for (size_t i = 0; i < t->filler / 48; i++) {
		unsigned char noise[24];

		randombytes_buf(noise, sizeof(noise));
		cn_hex(&text, noise, sizeof(noise));
	}
	cn_buf_printf(&text, "\",\"type\":\"text\"}],\"role\":\"%s\"}", role);
	node = talk_node(keys, t->owner, &t->last, cn_buf_cstr(&text), &copy);
	cn_batch_node(b, &node);
	t->last = node.id;
}

static inline void talk_prefix(struct talk *t, struct fixture_keys *keys,
                               struct cn_batch *b)
{
	CN_AUTO(cn_buf) text = {0};
	struct cn_node p =
	    talk_node(keys, t->owner, &(struct cn_hash){{0}}, "{\"tools\":[]}", &text);

	cn_batch_node(b, &p);
	t->prefix = p.id;
}

/* The next question and answer, and the turn; started_ms is its Unix time. */
static inline void talk_go_on(struct talk *t, struct fixture_keys *keys, struct cn_batch *b,
                              uint64_t started_ms)
{
	struct cn_turn_record r = {0};
	char id[40];

	(void)snprintf(id, sizeof(id), "req_%u", t->turns);
	talk_say(t, keys, "user", b);
	r.request_node = t->last;
	talk_say(t, keys, "assistant", b);
	r.answer_node = t->last;
	r.prefix_node = t->prefix;
	r.request_id = cn_view_str(id);
	r.owner = cn_view_str(t->owner);
	r.project = CN_VIEW("project");
	r.session = cn_view_str(t->session);
	r.agent = cn_view_str(t->agent ? t->agent : "");
	r.caller = cn_view_str(t->agent ? "subagent" : "main");
	r.used = CN_VIEW("kimi/k2");
	r.ending = CN_VIEW("ok");
	r.started_wall_ms = started_ms;
	r.status = 200;
	cn_batch_turn(b, &r);
	t->turns++;
}

/* One turn as a batch, without what was said before it. */
static inline struct cn_batch *talk_turn(struct talk *t, struct fixture_keys *keys,
                                         uint64_t started_ms)
{
	struct cn_batch *b = cn_batch_new();

	talk_prefix(t, keys, b);
	talk_go_on(t, keys, b, started_ms);
	return b;
}

/* ---- what is there ---- */

struct seen {
	struct cn_store *s;
	size_t turns, whole; /* whole: its messages are all there */
	uint64_t last_ms;
	bool in_order;
};

static inline bool on_seen_turn(void *self, const struct cn_turn_record *t)
{
	struct seen *seen = self;
	CN_AUTO(cn_arena) a = {0};
	struct cn_node *nodes, prefix;
	size_t n;

	seen->turns++;
	seen->in_order = seen->in_order && t->started_wall_ms >= seen->last_ms;
	seen->last_ms = t->started_wall_ms;
	seen->whole +=
	    cn_store_messages(seen->s, &a, &t->answer_node, &nodes, &n, NULL) == 0 &&
	    n >= 2 && cn_hash_eq(&nodes[n - 2].id, &t->request_node) &&
	    cn_store_node(seen->s, &a, &t->prefix_node, &prefix, NULL) == 0;
	return true;
}

static inline struct seen look(struct cn_store *s, const char *owner, const char *session)
{
	struct seen seen = {.s = s, .in_order = true};
	struct cn_error e = {0};
	int err = cn_store_turns(s, cn_view_str(owner), cn_view_str(session), on_seen_turn,
	                         &seen, &e);

	if (err && err != CN_E_NOT_FOUND)
		fail_msg("turns: %s", e.message);
	return seen;
}

static inline size_t entries(struct cn_store *s, enum cn_store_db db)
{
	struct cn_store_reader r;
	MDB_stat stat;

	assert_int_equal(0, cn_store__read_begin(s, &r, NULL));
	assert_int_equal(0, mdb_stat(r.txn, s->dbi[db], &stat));
	cn_store__read_end(&r);
	return stat.ms_entries;
}

#endif
