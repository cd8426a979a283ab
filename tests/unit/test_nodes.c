/*
 * If this fails, a conversation's messages are taken for others, a turn brings the history
 * less than it needs, or every turn pays for its whole conversation again.
 */
#include "vault_box.h"

#include "../../src/app/app_impl.h"
#include "../../src/store/store_impl.h"
#include "../lib/dice.h"

static struct box box;
static struct cn_vault *vault;

static int setup(void **state)
{
	(void)state;
	cn_hash_setup();
	box_init(&box);
	box_create(&box, NULL);
	vault = box_open(&box);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vault = cn_vault_close(vault);
	box_done(&box);
	return 0;
}

/* ---- conversations ---- */

#define MESSAGES_MAX 64

/* What was said, by number; the marker stands on the last message, as clients have it. */
struct chat {
	unsigned said[MESSAGES_MAX];
	size_t n;
	const char *system, *rest;
};

static void add_body(const struct chat *c, struct cn_buf *b)
{
	cn_buf_add_str(b, "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[");
	for (size_t i = 0; i < c->n; i++)
		cn_buf_printf(b,
		              "%s{\"role\":\"%s\",\"content\":[{\"type\":\"text\",\"text\":"
		              "\"said %u\"%s}]}",
		              i ? "," : "", i % 2 ? "assistant" : "user", c->said[i],
		              i + 1 == c->n ? ",\"cache_control\":{\"type\":\"ephemeral\"}"
		                            : "");
	cn_buf_printf(
	    b, "],\"system\":\"%s\",\"tools\":[{\"name\":\"Read\"}],\"stream\":true%s}",
	    c->system ? c->system : "be good", c->rest ? c->rest : "");
}

/* One request and what is made of it; the arena holds the request. */
struct made {
	struct cn_arena a;
	struct cn_buf body;
	struct cn_request req;
	struct cn_nodes nodes;
};

static int make_body(struct made *m, struct cn_known *k, const char *owner, bool all)
{
	struct cn_error e = {0};

	if (cn_request_read(&m->a, cn_buf_view(&m->body), &(struct cn_caller_ids){0}, NULL,
	                    &m->req, &e))
		fail_msg("%s", e.message);
	m->nodes = (struct cn_nodes){.vault = vault,
	                             .known = k,
	                             .req = &m->req,
	                             .owner = cn_view_str(owner),
	                             .all = all};
	return cn_nodes__make(&m->nodes);
}

static void make(struct made *m, struct cn_known *k, const struct chat *c,
                 const char *owner, bool all)
{
	*m = (struct made){.req = {.stream = false}};
	add_body(c, &m->body);
	assert_int_equal(0, make_body(m, k, owner, all));
}

static void made_done(struct made *m)
{
	(void)cn_batch_free(m->nodes.batch);
	cn_buf_done(&m->body);
	cn_arena_done(&m->a);
}

static size_t expected(const struct cn_batch *b, const struct cn_hash *id)
{
	size_t n = 0;

	for (const struct cn_batch_expected *e = b->expected; e; e = e->next)
		n += cn_hash_eq(&e->id, id);
	return n;
}

/* The same without any table: what the addresses really are. */
static void assert_right(const struct made *m, const struct chat *c, const char *owner)
{
	struct cn_known *fresh = cn_known__new(vault);
	const struct cn_batch_node *want, *got = m->nodes.batch->nodes;
	struct made real;
	size_t left_out;

	make(&real, fresh, c, owner, true);
	assert_int_equal(c->n + 1, real.nodes.batch->n_nodes);
	assert_null(real.nodes.batch->expected);
	assert_true(cn_hash_eq(&real.nodes.prefix, &m->nodes.prefix));
	assert_true(cn_hash_eq(&real.nodes.last, &m->nodes.last));
	assert_memory_equal(real.nodes.body.b, m->nodes.body.b, CN_DIGEST_BYTES);
	/* The prefix is first, or expected. */
	want = real.nodes.batch->nodes;
	if (got && cn_hash_eq(&got->id, &want->id))
		got = got->next;
	else
		assert_int_equal(1, expected(m->nodes.batch, &want->id));
	/* Then the end of the messages, standing on one that is expected. */
	left_out = c->n;
	for (const struct cn_batch_node *it = got; it; it = it->next)
		left_out--;
	if (left_out == 0)
		want = want->next;
	for (size_t i = 0; i < left_out; i++) {
		want = want->next;
		if (i + 1 == left_out) {
			assert_int_equal(1, expected(m->nodes.batch, &want->id));
			want = want->next;
		}
	}
	for (; got; got = got->next, want = want->next) {
		assert_true(cn_hash_eq(&want->id, &got->id));
		assert_true(cn_view_eq(want->plain, got->plain));
	}
	assert_null(want);
	made_done(&real);
	(void)cn_known__free(fresh);
}

/* The batch's nodes, when the request is made and the store keeps it. */
static size_t turn(struct cn_known *k, const struct chat *c, const char *owner)
{
	struct made m;
	size_t n;

	make(&m, k, c, owner, false);
	assert_right(&m, c, owner);
	n = m.nodes.batch->n_nodes;
	cn_nodes__stored(&m.nodes);
	made_done(&m);
	return n;
}

static void say(struct chat *c, size_t n)
{
	for (; n; n--, c->n++)
		c->said[c->n] = (unsigned)c->n;
}

static void a_turn_brings_what_is_new_in_it(void **state)
{
	struct cn_known *k = cn_known__new(vault);
	struct chat c = {.n = 0};

	(void)state;
	say(&c, 21);
	assert_int_equal(22, turn(k, &c, "anna"));
	/* The same again, as a retry sends it. */
	assert_int_equal(0, turn(k, &c, "anna"));
	for (unsigned i = 0; i < 20; i++) {
		say(&c, 2);
		/* The answer and the next question; the last one has lost its marker. */
		assert_int_equal(3, turn(k, &c, "anna"));
	}
	/* Another instruction is another prefix, and nothing else. */
	c.system = "be brief";
	assert_int_equal(1, turn(k, &c, "anna"));
	(void)cn_known__free(k);
}

static void only_what_the_store_has_is_left_out(void **state)
{
	struct cn_known *k = cn_known__new(vault);
	struct chat c = {.n = 0};
	struct made m;

	(void)state;
	say(&c, 9);
	for (unsigned i = 0; i < 3; i++) {
		make(&m, k, &c, "anna", false);
		assert_int_equal(10, m.nodes.batch->n_nodes);
		made_done(&m); /* and was lost on its way */
	}
	(void)turn(k, &c, "anna");
	/* The store has forgotten it and says so. */
	make(&m, k, &c, "anna", true);
	assert_int_equal(10, m.nodes.batch->n_nodes);
	assert_null(m.nodes.batch->expected);
	made_done(&m);
	/* What another owner said is not known, though it is the same. */
	assert_int_equal(10, turn(k, &c, "bert"));
	(void)cn_known__free(k);
}

static void a_changed_past_is_another(void **state)
{
	struct cn_known *k = cn_known__new(vault);
	struct chat c = {.n = 0}, back;

	(void)state;
	for (unsigned i = 0; i < 15; i++) {
		say(&c, i ? 2 : 1);
		(void)turn(k, &c, "anna");
	}
	/* Going back, and on from there. */
	back = c;
	back.n = 11;
	back.said[10] = 1000;
	assert_int_equal(1, turn(k, &back, "anna"));
	/* Something early was said otherwise: all that follows is new. */
	c.said[3] = 2000;
	assert_int_equal(c.n - 3, turn(k, &c, "anna"));
	(void)cn_known__free(k);
}

static void of_many_messages_the_last_are_remembered(void **state)
{
	struct cn_known *k = cn_known__new(vault);
	struct chat c = {.n = 0};

	(void)state;
	say(&c, 60);
	assert_int_equal(61, turn(k, &c, "anna"));
	say(&c, 2);
	assert_int_equal(3, turn(k, &c, "anna"));
	assert_int_equal(0, turn(k, &c, "anna"));
	(void)cn_known__free(k);
}

static void a_full_table_costs_time_only(void **state)
{
	struct cn_known *k = cn_known__new(vault);
	struct chat c = {.n = 0};
	struct dice d = {1};

	(void)state;
	say(&c, 11);
	(void)turn(k, &c, "anna");
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t mark[2] = {dice_next(&d), dice_next(&d)};
		struct cn_digest of;

		memcpy(of.b, mark, sizeof(of.b));
		cn_known__note(k, &of, &(struct cn_hash){{1}});
	}
	assert_int_equal(12, turn(k, &c, "anna"));
	assert_int_equal(0, turn(k, &c, "anna"));
	(void)cn_known__free(k);
}

static void whatever_happens_the_addresses_are_right(void **state)
{
	static const char *const systems[] = {"be good", "be brief", ""};

	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct cn_known *k = cn_known__new(vault);
		struct chat chats[3] = {{.n = 0}};
		struct dice d = {seed};

		for (unsigned i = 0; i < 150; i++) {
			struct chat *c = &chats[dice_below(&d, 3)];
			struct made m;

			if (c->n + 2 > MESSAGES_MAX || dice_percent(&d, 5))
				c->n = dice_below(&d, c->n);
			if (c->n && dice_percent(&d, 10))
				c->said[dice_below(&d, c->n)] = (unsigned)dice_next(&d);
			if (dice_percent(&d, 10))
				chats[0] = *c; /* a fork */
			if (dice_percent(&d, 10))
				c->system = systems[dice_below(&d, 3)];
			say(c, 1 + dice_below(&d, 2));
			make(&m, k, c, dice_percent(&d, 80) ? "anna" : "bert", false);
			assert_right(&m, c,
			             cn_view_is(m.nodes.owner, "anna") ? "anna" : "bert");
			if (dice_percent(&d, 80))
				cn_nodes__stored(&m.nodes);
			made_done(&m);
		}
		(void)cn_known__free(k);
	}
}

static void equal_requests_have_equal_hashes(void **state)
{
	struct cn_known *k = cn_known__new(vault), *again = cn_known__new(vault);
	struct chat c = {.n = 0}, others[4];
	struct made one, other;

	(void)state;
	say(&c, 5);
	for (size_t i = 0; i < 4; i++)
		others[i] = c;
	others[0].n = 4;
	others[1].said[2] = 99;
	others[2].system = "be brief";
	others[3].rest = ",\"temperature\":1";
	make(&one, k, &c, "anna", false);
	/* Another start of the program, with the same vault. */
	make(&other, again, &c, "anna", false);
	assert_memory_equal(one.nodes.body.b, other.nodes.body.b, CN_DIGEST_BYTES);
	made_done(&other);
	for (size_t i = 0; i < 4; i++) {
		make(&other, k, &others[i], "anna", false);
		assert_memory_not_equal(one.nodes.body.b, other.nodes.body.b,
		                        CN_DIGEST_BYTES);
		made_done(&other);
	}
	made_done(&one);
	(void)cn_known__free(k);
	(void)cn_known__free(again);
}

static void what_is_no_message_is_not_kept(void **state)
{
	static const char *const cases[] = {
	    "{\"model\":\"m\",\"messages\":[1]}",
	    "{\"model\":\"m\",\"messages\":[{},[]]}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cn_known *k = cn_known__new(vault);
		struct made m = {.req = {.stream = false}};

		cn_buf_add_str(&m.body, cases[i]);
		assert_int_not_equal(0, make_body(&m, k, "anna", false));
		assert_null(m.nodes.batch);
		made_done(&m);
		(void)cn_known__free(k);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_turn_brings_what_is_new_in_it),
	    cmocka_unit_test(only_what_the_store_has_is_left_out),
	    cmocka_unit_test(a_changed_past_is_another),
	    cmocka_unit_test(of_many_messages_the_last_are_remembered),
	    cmocka_unit_test(a_full_table_costs_time_only),
	    cmocka_unit_test(whatever_happens_the_addresses_are_right),
	    cmocka_unit_test(equal_requests_have_equal_hashes),
	    cmocka_unit_test(what_is_no_message_is_not_kept),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
