/*
 * Content blocks of the client as parts of a Chat Completions message, and parts written:
 * as one string where they are nothing but text, since many servers take nothing else.
 *
 * Pure; parts and their pieces stand in the encoder's arena or borrow from the body.
 */
#include "openai_chat_encode_impl.h"

struct cn_view cn_chat__escaped(struct cn_arena *a, struct cn_view text)
{
	CN_AUTO(cn_buf) b = {0};
	struct cn_view quoted;

	cn_json_add_string(&b, text);
	quoted = cn_arena_view(a, cn_buf_view(&b));
	return cn_view(quoted.p + 1, quoted.n - 2);
}

/* ---- blocks, read ---- */

/* Where a member of that name is kept; NULL: it means nothing to us. */
static struct cn_json *place_of(struct cn_chat_block *b, struct cn_view key)
{
#define MEMBER(name)                            \
	if (cn_wire__says(key, CN_VIEW(#name))) \
		return &b->name;
	MEMBER(type)
	MEMBER(text)
	MEMBER(content)
	MEMBER(tool_use_id)
	MEMBER(id)
	MEMBER(name)
	MEMBER(input)
	MEMBER(thinking)
	MEMBER(signature)
	MEMBER(cache_control)
	MEMBER(is_error)
	MEMBER(source)
	MEMBER(title)
	MEMBER(data)
	MEMBER(tool_name)
	MEMBER(citations)
#undef MEMBER
	return NULL;
}

void cn_chat__read_block(struct cn_json block, struct cn_chat_block *ret)
{
	*ret = (struct cn_chat_block){.whole = block};
	for (struct cn_json_iter it = cn_json_iter(block); cn_json_next(&it);) {
		struct cn_json *at = place_of(ret, it.key);

		if (at)
			*at = it.value;
	}
}

/* ---- parts ---- */

static struct cn_chat_part *add_part(struct cn_chat_encoder *e, struct cn_chat_parts *to)
{
	to->v = cn_arena_more(e->arena, to->v, to->n, &to->cap, sizeof(*to->v));
	to->v[to->n] = (struct cn_chat_part){.text = true};
	return &to->v[to->n++];
}

struct cn_chat_part *cn_chat__put_text(struct cn_chat_encoder *e, struct cn_chat_parts *to,
                                       struct cn_view inside)
{
	struct cn_chat_part *part = add_part(e, to);

	part->pieces[0] = inside;
	return part;
}

/* A short text of ours around one of the client's; all are insides of strings. */
static void add_around(struct cn_chat_encoder *e, struct cn_chat_parts *to,
                       const char *before, struct cn_view inside, const char *behind)
{
	struct cn_chat_part *part = add_part(e, to);

	part->pieces[0] = cn_view_str(before);
	part->pieces[1] = inside;
	part->pieces[2] = cn_view_str(behind);
}

static void add_note(struct cn_chat_encoder *e, struct cn_chat_parts *to, const char *note)
{
	cn_chat__put_text(e, to, cn_view_str(note));
}

static void add_image(struct cn_chat_encoder *e, struct cn_chat_parts *to,
                      const struct cn_chat_block *b)
{
	struct cn_json type = cn_json_get(b->source, "type");
	struct cn_json url = cn_json_get(b->source, "url");
	struct cn_json data = cn_json_get(b->source, "data");
	struct cn_chat_part *part;

	if (!e->edit->images) {
		add_note(e, to, "(an image was left out: this model cannot see images)");
		return;
	}
	if (cn_json_is(type, "url") && url.kind == CN_JSON_STRING) {
		part = add_part(e, to);
		part->pieces[1] = cn_wire__inside(url);
	} else if (cn_json_is(type, "base64") && data.kind == CN_JSON_STRING) {
		part = add_part(e, to);
		part->pieces[1] = cn_wire__inside(cn_json_get(b->source, "media_type"));
		part->pieces[2] = CN_VIEW(";base64,");
		part->pieces[3] = cn_wire__inside(data);
	} else {
		add_note(e, to, "(an image was left out: it is kept elsewhere)");
		return;
	}
	part->text = false;
	part->pieces[0] =
	    part->pieces[2].n
		? CN_VIEW("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:")
		: CN_VIEW("{\"type\":\"image_url\",\"image_url\":{\"url\":\"");
	part->pieces[4] = CN_VIEW("\"}}");
}

static void add_file(struct cn_chat_encoder *e, struct cn_chat_parts *to,
                     const struct cn_chat_block *b)
{
	struct cn_view name = cn_wire__inside(b->title);
	struct cn_chat_part *part = add_part(e, to);

	part->text = false;
	part->pieces[0] = CN_VIEW("{\"type\":\"file\",\"file\":{\"filename\":\"");
	part->pieces[1] = name.n ? name : CN_VIEW("document.pdf");
	part->pieces[2] = CN_VIEW("\",\"file_data\":\"data:application/pdf;base64,");
	part->pieces[3] = cn_wire__inside(cn_json_get(b->source, "data"));
	part->pieces[4] = CN_VIEW("\"}}");
}

static void add_document(struct cn_chat_encoder *e, struct cn_chat_parts *to,
                         const struct cn_chat_block *b)
{
	struct cn_json type = cn_json_get(b->source, "type");
	struct cn_view title = cn_wire__inside(b->title);

	if (cn_json_is(type, "base64") && cn_chat_quirk(e, CN_QUIRK_FILES)) {
		add_file(e, to, b);
		return;
	}
	if (!cn_json_is(type, "text") && !cn_json_is(type, "content")) {
		add_note(e, to, "(a document was left out: this model cannot read it)");
		return;
	}
	if (title.n)
		add_around(e, to, "Document: ", title, "");
	if (cn_json_is(type, "text"))
		cn_chat__put_text(e, to, cn_wire__inside(cn_json_get(b->source, "data")));
	else
		cn_chat__put_content(e, to, cn_json_get(b->source, "content"));
}

static void add_search_result(struct cn_chat_encoder *e, struct cn_chat_parts *to,
                              const struct cn_chat_block *b)
{
	add_around(e, to, "Search result: ", cn_wire__inside(b->title), "");
	add_around(e, to, "Source: ", cn_wire__inside(b->source), "");
	cn_chat__put_content(e, to, b->content);
}

/* What the client gave to a tool that is deferred: from now on it may be called. */
static void add_reference(struct cn_chat_encoder *e, struct cn_chat_parts *to,
                          const struct cn_chat_block *b)
{
	struct cn_view name = cn_json_text(e->arena, b->tool_name);

	e->named =
	    cn_arena_more(e->arena, e->named, e->n_named, &e->named_cap, sizeof(*e->named));
	e->named[e->n_named++] = name;
	name = cn_chat__short_name(e->arena, name);
	add_around(e, to, "The tool ", cn_chat__escaped(e->arena, name),
	           " can be called from now on.");
}

void cn_chat__put_block(struct cn_chat_encoder *e, struct cn_chat_parts *to,
                        const struct cn_chat_block *b)
{
	struct cn_json type = b->type;

	if (b->whole.kind == CN_JSON_STRING) {
		cn_chat__put_text(e, to, cn_wire__inside(b->whole));
	} else if (cn_wire__is(type, CN_VIEW("text"))) {
		cn_chat__put_text(e, to, cn_wire__inside(b->text))->cache_control =
		    b->cache_control.raw;
	} else if (cn_wire__is(type, CN_VIEW("image"))) {
		add_image(e, to, b);
	} else if (cn_wire__is(type, CN_VIEW("document"))) {
		add_document(e, to, b);
	} else if (cn_wire__is(type, CN_VIEW("search_result"))) {
		add_search_result(e, to, b);
	} else if (cn_wire__is(type, CN_VIEW("tool_reference"))) {
		add_reference(e, to, b);
	} else {
		add_around(e, to, "(a block of type ", cn_wire__inside(type),
		           " was left out)");
	}
}

void cn_chat__put_content(struct cn_chat_encoder *e, struct cn_chat_parts *to,
                          struct cn_json content)
{
	struct cn_chat_block b;

	if (content.kind == CN_JSON_STRING) {
		cn_chat__put_text(e, to, cn_wire__inside(content));
	} else if (content.kind == CN_JSON_ARRAY) {
		for (struct cn_json_iter it = cn_json_iter(content); cn_json_next(&it);) {
			cn_chat__read_block(it.value, &b);
			cn_chat__put_block(e, to, &b);
		}
	} else if (content.kind != CN_JSON_NONE && content.kind != CN_JSON_NULL) {
		/* An object where text belongs: as the text that it is. */
		cn_chat__put_text(e, to, cn_chat__escaped(e->arena, content.raw));
	}
}

/* ---- written ---- */

static bool is_empty(const struct cn_chat_part *p)
{
	for (size_t i = 0; i < CN_CHAT_PIECES; i++)
		if (p->pieces[i].n)
			return false;
	return true;
}

static void write_pieces(struct cn_chat_encoder *e, const struct cn_chat_part *p)
{
	for (size_t i = 0; i < CN_CHAT_PIECES; i++)
		if (p->pieces[i].n)
			cn_chat_out__add(e, p->pieces[i]);
}

/* Texts that keep marks of a cache stay apart: the mark is of one of them. */
static bool is_string(const struct cn_chat_encoder *e, const struct cn_chat_parts *list,
                      size_t *n_texts)
{
	for (size_t i = 0; list && i < list->n; i++) {
		if (!list->v[i].text)
			return false;
		*n_texts += !is_empty(&list->v[i]);
		if (cn_chat_quirk(e, CN_QUIRK_CACHE_CONTROL) &&
		    (*n_texts > 1 || list->v[i].cache_control.n))
			return false;
	}
	return true;
}

static void write_string(struct cn_chat_encoder *e, const struct cn_chat_parts *list,
                         const char *join, bool *begun)
{
	for (size_t i = 0; list && i < list->n; i++) {
		if (is_empty(&list->v[i]))
			continue;
		if (*begun)
			cn_chat_out__str(e, join);
		*begun = true;
		write_pieces(e, &list->v[i]);
	}
}

static void write_array(struct cn_chat_encoder *e, const struct cn_chat_parts *list,
                        bool *begun)
{
	for (size_t i = 0; list && i < list->n; i++) {
		const struct cn_chat_part *p = &list->v[i];

		/* Empty texts are refused by some and mean nothing to anyone. */
		if (is_empty(p))
			continue;
		if (*begun)
			cn_chat_out__str(e, ",");
		*begun = true;
		if (!p->text) {
			write_pieces(e, p);
			continue;
		}
		cn_chat_out__str(e, "{\"type\":\"text\",\"text\":\"");
		write_pieces(e, p);
		cn_chat_out__str(e, "\"");
		if (p->cache_control.n && cn_chat_quirk(e, CN_QUIRK_CACHE_CONTROL)) {
			cn_chat_out__str(e, ",\"cache_control\":");
			cn_chat_out__add(e, p->cache_control);
		}
		cn_chat_out__str(e, "}");
	}
}

void cn_chat__write_content(struct cn_chat_encoder *e, const struct cn_chat_parts *first,
                            const struct cn_chat_parts *second, const char *join)
{
	size_t n_texts = 0;
	bool begun = false;

	cn_chat_out__key(e, "content");
	if (is_string(e, first, &n_texts) && is_string(e, second, &n_texts)) {
		cn_chat_out__str(e, "\"");
		write_string(e, first, join, &begun);
		write_string(e, second, join, &begun);
		cn_chat_out__str(e, "\"");
		return;
	}
	cn_chat_out__str(e, "[");
	write_array(e, first, &begun);
	write_array(e, second, &begun);
	cn_chat_out__str(e, "]");
}
