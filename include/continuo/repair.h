/*
 * Tool calls that do not check, made right where the repair is certain
 * (wire/provider-quirks.md 4).  What is not certain stays broken: a required value that is
 * missing, another name than one of the request's, a call that was cut.
 */
#ifndef CONTINUO_REPAIR_H
#define CONTINUO_REPAIR_H

#include "continuo/arena.h"
#include "continuo/json.h"

/*
 * Whether the call checks (schema.h) as it is or once it is repaired; *name and *input are
 * then what to deliver (borrowed as they were, or in the arena).  may_close: it is known
 * not to have been cut, so that missing closing brackets may be added.
 */
bool cn_repair_call(struct cn_arena *a, struct cn_json tools, bool may_close,
                    struct cn_view *name, struct cn_view *input);

/*
 * The JSON value that was meant by what is none; *ret is in the arena.  false where that is
 * not certain.
 */
bool cn_repair_json(struct cn_arena *a, struct cn_view text, bool may_close,
                    struct cn_view *ret);

#endif
