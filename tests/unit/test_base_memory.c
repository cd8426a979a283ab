/*
 * Buffers, arenas, lists and charges: when this fails, memory is lost, shared or counted
 * wrongly.  Run it under AddressSanitizer, or it shows half of that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "continuo/arena.h"
#include "continuo/charge.h"
#include "continuo/list.h"

static void buffer_grows_and_keeps_its_bytes(void **state)
{
	(void)state;
	CN_AUTO(cn_buf) b = {0};
	for (unsigned i = 0; i < 5000; i++)
		cn_buf_printf(&b, "%u,", i);
	cn_buf_add_str(&b, "end");
	cn_buf_add(&b, NULL, 0);
	struct cn_view rest = cn_buf_view(&b), piece;
	for (uint64_t i = 0; i < 5000; i++) {
		uint64_t value;
		assert_true(cn_view_split(&rest, ',', &piece));
		assert_true(cn_view_u64(piece, &value));
		assert_int_equal(value, i);
	}
	assert_true(cn_view_is(rest, "end"));
}

static void buffer_consumes_and_truncates(void **state)
{
	(void)state;
	CN_AUTO(cn_buf) b = {0};
	cn_buf_add_str(&b, "0123456789");
	cn_buf_consume(&b, 3);
	cn_buf_truncate(&b, 4);
	cn_buf_truncate(&b, 400);
	assert_string_equal(cn_buf_cstr(&b), "3456");
	assert_int_equal(b.n, 4); /* the NUL is not counted */
	cn_buf_consume(&b, 100);
	assert_int_equal(b.n, 0);
	cn_buf_consume(&b, 1);
	assert_string_equal(cn_buf_cstr(&b), "");
}

static void detached_bytes_belong_to_the_caller(void **state)
{
	(void)state;
	struct cn_buf b = {0};
	size_t n = 99;
	CN_AUTOFREE char *empty = cn_buf_detach(&b, &n);
	assert_string_equal(empty, "");
	assert_int_equal(n, 0);

	cn_buf_add(&b, "a\0b", 3);
	CN_AUTOFREE char *p = cn_buf_detach(&b, &n);
	assert_int_equal(n, 3);
	assert_memory_equal(p, "a\0b", 4);
	assert_null(b.p);
	assert_int_equal(b.n + b.cap, 0);
}

static void arena_pieces_are_aligned_and_apart(void **state)
{
	(void)state;
	CN_AUTO(cn_arena) a = {0};
	unsigned char *pieces[400];
	size_t sizes[400];
	for (size_t i = 0; i < 400; i++) { /* sizes around every border, and large ones */
		sizes[i] = i % 50 == 49 ? i * 1000 : i;
		pieces[i] = cn_arena_alloc(&a, sizes[i]);
		assert_non_null(pieces[i]);
		assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
		memset(pieces[i], (int)(i % 251), sizes[i]);
	}
	for (size_t i = 0; i < 400; i++)
		for (size_t k = 0; k < sizes[i]; k++)
			assert_int_equal(pieces[i][k], i % 251);
	size_t least = 0;
	for (size_t i = 0; i < 400; i++)
		least += sizes[i];
	assert_true(a.used >= least && a.used <= least + 400 * _Alignof(max_align_t));
}

static void arena_copies_are_terminated(void **state)
{
	(void)state;
	CN_AUTO(cn_arena) a = {0};
	assert_string_equal(cn_arena_dup(&a, cn_view("abcdef", 3)), "abc");
	assert_string_equal(cn_arena_dup(&a, (struct cn_view){NULL, 0}), "");
	assert_string_equal(cn_arena_printf(&a, "%s-%d", "x", 42), "x-42");
	struct cn_view v = cn_arena_view(&a, CN_VIEW("hello"));
	assert_true(cn_view_is(v, "hello"));
	const char *zero = cn_arena_zalloc(&a, 1000);
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(zero[i], 0);
	cn_arena_done(&a);
	assert_null(a.chunks);
	assert_int_equal(a.used, 0);
}

struct item {
	int value;
	struct cn_list link;
};

static int sum(struct cn_list *head)
{
	int total = 0;
	CN_LIST_EACH(it, head)
	total = total * 10 + cn_container_of(it, struct item, link)->value;
	return total;
}

static void arena_arrays_grow_and_keep_their_elements(void **state)
{
	CN_AUTO(cn_arena) a = {0};
	size_t *v = NULL, cap = 0;

	(void)state;
	for (size_t n = 0; n < 1000; n++) {
		v = cn_arena_more(&a, v, n, &cap, sizeof(*v));
		assert_true(cap > n);
		v[n] = n;
	}
	for (size_t n = 0; n < 1000; n++)
		assert_int_equal(v[n], n);
}

static void list_survives_removal_while_visiting(void **state)
{
	(void)state;
	struct cn_list head;
	struct item items[4] = {{1, {0}}, {2, {0}}, {3, {0}}, {4, {0}}};
	cn_list_init(&head);
	assert_true(cn_list_empty(&head));
	for (size_t i = 0; i < 4; i++)
		cn_list_append(&head, &items[i].link);
	assert_int_equal(sum(&head), 1234);
	CN_LIST_EACH(it, &head)
	if (cn_container_of(it, struct item, link)->value % 2 == 0)
		cn_list_remove(it);
	assert_int_equal(sum(&head), 13);
	cn_list_remove(&items[1].link); /* twice is harmless */
	assert_true(cn_list_empty(&items[1].link));
	cn_list_remove(&items[0].link);
	cn_list_remove(&items[2].link);
	assert_true(cn_list_empty(&head));
}

static void charge_stops_at_its_limit(void **state)
{
	(void)state;
	struct cn_charge c = {.limit = 1000};
	assert_true(cn_charge_take(&c, 750));
	assert_int_equal(cn_charge_percent(&c), 75);
	assert_false(cn_charge_take(&c, 251));
	assert_false(cn_charge_take(&c, SIZE_MAX));  /* must not wrap around */
	assert_int_equal(cn_charge_percent(&c), 75); /* a refusal charges nothing */
	assert_true(cn_charge_take(&c, 250));
	assert_false(cn_charge_take(&c, 1));
	cn_charge_release(&c, 1000);
	assert_int_equal(cn_charge_percent(&c), 0);

	struct cn_charge huge = {.limit = SIZE_MAX};
	assert_true(cn_charge_take(&huge, SIZE_MAX / 2));
	assert_in_range(cn_charge_percent(&huge), 49, 50);
	cn_charge_release(&huge, SIZE_MAX / 2);

	struct cn_charge none = {.limit = 0};
	assert_false(cn_charge_take(&none, 1));
	assert_int_equal(cn_charge_percent(&none), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(buffer_grows_and_keeps_its_bytes),
	    cmocka_unit_test(buffer_consumes_and_truncates),
	    cmocka_unit_test(detached_bytes_belong_to_the_caller),
	    cmocka_unit_test(arena_pieces_are_aligned_and_apart),
	    cmocka_unit_test(arena_copies_are_terminated),
	    cmocka_unit_test(arena_arrays_grow_and_keep_their_elements),
	    cmocka_unit_test(list_survives_removal_while_visiting),
	    cmocka_unit_test(charge_stops_at_its_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
