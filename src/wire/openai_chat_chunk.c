/*
 * The objects that an answer of Chat Completions is made of, each read in one look: a
 * stream has thousands of them, and a look for each member would cost more than all else.
 * Pure.
 */
#include "openai_chat_impl.h"

struct place {
	struct cn_view name;
	size_t at; /* of a cn_json in the structure */
};
#define PLACE(type, member)                                                   \
	{                                                                     \
		{#member, sizeof(#member) - 1}, offsetof(struct type, member) \
	}

/* Fills the places whose names the object has; of several the last one counts. */
static void read_members(struct cn_json object, const struct place *places, size_t n,
                         void *ret)
{
	for (struct cn_json_iter it = cn_json_iter(object); cn_json_next(&it);)
		for (size_t i = 0; i < n; i++)
			if (cn_wire__says(it.key, places[i].name)) {
				memcpy((char *)ret + places[i].at, &it.value,
				       sizeof(it.value));
				break;
			}
}

struct cn_chat_chunk cn_chat__chunk(struct cn_json root)
{
	static const struct place places[] = {
	    PLACE(cn_chat_chunk, choices), PLACE(cn_chat_chunk, id),
	    PLACE(cn_chat_chunk, object),  PLACE(cn_chat_chunk, model),
	    PLACE(cn_chat_chunk, usage),   PLACE(cn_chat_chunk, error),
	    PLACE(cn_chat_chunk, x_groq)};
	struct cn_chat_chunk c = {.id = {.kind = CN_JSON_NONE}};

	read_members(root, places, sizeof(places) / sizeof(places[0]), &c);
	return c;
}

struct cn_chat_choice cn_chat__choice(struct cn_json v)
{
	static const struct place places[] = {PLACE(cn_chat_choice, delta),
	                                      PLACE(cn_chat_choice, index),
	                                      PLACE(cn_chat_choice, finish_reason),
	                                      PLACE(cn_chat_choice, message),
	                                      PLACE(cn_chat_choice, usage),
	                                      PLACE(cn_chat_choice, native_finish_reason),
	                                      PLACE(cn_chat_choice, stop_reason),
	                                      PLACE(cn_chat_choice, matched_stop),
	                                      PLACE(cn_chat_choice, error)};
	struct cn_chat_choice c = {.index = {.kind = CN_JSON_NONE}};

	read_members(v, places, sizeof(places) / sizeof(places[0]), &c);
	return c;
}

struct cn_chat_delta cn_chat__delta(struct cn_json v)
{
	static const struct place places[] = {
	    PLACE(cn_chat_delta, content),           PLACE(cn_chat_delta, tool_calls),
	    PLACE(cn_chat_delta, reasoning_content), PLACE(cn_chat_delta, reasoning),
	    PLACE(cn_chat_delta, reasoning_details), PLACE(cn_chat_delta, refusal),
	    PLACE(cn_chat_delta, function_call)};
	struct cn_chat_delta d = {.content = {.kind = CN_JSON_NONE}};

	read_members(v, places, sizeof(places) / sizeof(places[0]), &d);
	return d;
}
