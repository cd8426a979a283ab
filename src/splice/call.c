/*
 * Held tool calls: whether one may be given, as it is or repaired.
 *
 * A call given live is what it is; of one that is held only what checks is ever given.
 * Pure; changes the block.
 */
#include "splice_impl.h"

#include "continuo/repair.h"
#include "continuo/schema.h"

/* The body replaced by what was meant. */
static bool replace_input(struct cn_splice *s, struct cn_block *block, struct cn_view input)
{
	size_t had = block->body.n;

	if (!cn_charge_take(s->opts.charge, input.n))
		return false;
	cn_buf_clear(&block->body);
	cn_buf_add_view(&block->body, input);
	cn_charge_release(s->opts.charge, had);
	s->charged += input.n;
	s->charged -= had;
	return true;
}

/* The start says the name too. */
static bool rename_call(struct cn_splice *s, struct cn_block *block, struct cn_view name)
{
	CN_AUTO(cn_buf) start = {0};

	cn_buf_add_str(&start, "{\"type\":\"tool_use\"");
	cn_json_add_text(&start, "id", block->id);
	cn_json_add_text(&start, "name", name);
	cn_buf_add_str(&start, ",\"input\":{}}");
	return cn_splice__keep(s, name, &block->name) &&
	       cn_splice__keep(s, cn_buf_view(&start), &block->start);
}

bool cn_splice__call_checks(struct cn_splice *s, struct cn_block *block, bool may_close)
{
	struct cn_view name = block->name, input = cn_buf_view(&block->body);
	CN_AUTO(cn_arena) a = {0};

	if (block->given)
		return cn_schema_check_call(s->opts.tools, name, input, NULL) == 0;
	if (!cn_repair_call(&a, s->opts.tools, may_close, &name, &input))
		return false;
	if (!cn_view_eq(name, block->name) && !rename_call(s, block, name))
		return false;
	return cn_view_eq(input, cn_buf_view(&block->body)) ||
	       replace_input(s, block, input);
}
