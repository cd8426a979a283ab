/*
 * The table of dialects, and what every decoder does alike: it tells events until the other
 * side has heard enough.
 *
 * Pure; a decoder is owned by whoever made it.  No dialect is known here by more than its
 * row.
 */
#include "continuo/dialect.h"

#include "continuo/anthropic.h"
#include "continuo/openai_chat.h"

#include "wire_impl.h"

static const struct cn_dialect dialects[] = {
    [CN_WIRE_ANTHROPIC] = {CN_WIRE_ANTHROPIC, "/v1/messages", cn_anthropic_encode_request,
                           &cn_wire__anthropic},
    [CN_WIRE_OPENAI_CHAT] = {CN_WIRE_OPENAI_CHAT, "/v1/chat/completions",
                             cn_openai_chat_encode_request, &cn_wire__openai_chat},
};

const struct cn_dialect *cn_dialect_of(enum cn_wire wire)
{
	cn_assert((size_t)wire < sizeof(dialects) / sizeof(dialects[0]));
	return &dialects[wire];
}

struct cn_decoder *cn_decoder_new(const struct cn_dialect *dialect,
                                  const struct cn_decode_hints *hints,
                                  cn_decode_fn on_event, void *self)
{
	struct cn_decoder *d = cn_zalloc(dialect->ops->size);

	d->ops = dialect->ops;
	if (hints)
		d->hints = *hints;
	d->on_event = on_event;
	d->self = self;
	if (d->ops->init)
		d->ops->init(d);
	return d;
}

struct cn_decoder *cn_decoder_free(struct cn_decoder *d)
{
	if (d && d->ops->done)
		d->ops->done(d);
	free(d);
	return NULL;
}

void cn_wire__tell(struct cn_decoder *d, const struct cn_event *ev)
{
	if (!d->stopped)
		d->stopped = !d->on_event(d->self, ev);
}

int cn_decoder_event(struct cn_decoder *d, struct cn_arena *a, struct cn_view name,
                     struct cn_view data, struct cn_error *reterr)
{
	return d->stopped ? 0 : d->ops->event(d, a, name, data, reterr);
}

int cn_decoder_whole(struct cn_decoder *d, struct cn_arena *a, struct cn_view body,
                     struct cn_error *reterr)
{
	return d->ops->whole(d, a, body, reterr);
}

bool cn_decoder_end(struct cn_decoder *d, struct cn_arena *a)
{
	return d->ops->end && !d->stopped && d->ops->end(d, a);
}

bool cn_decoder_cut_short(const struct cn_decoder *d)
{
	return d && d->cut_short;
}

const char *cn_decoder_wrong(const struct cn_decoder *d)
{
	return d->wrong;
}

size_t cn_decoder_held(const struct cn_decoder *d)
{
	return d && d->ops->held ? d->ops->held(d) : 0;
}
