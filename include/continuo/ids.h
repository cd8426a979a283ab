/* Ids that the client sees.  It merges messages of one id and loops on a repeated tool id.
 */
#ifndef CONTINUO_IDS_H
#define CONTINUO_IDS_H

#include "continuo/arena.h"

struct cn_view cn_id_message(struct cn_arena *a); /* msg_ + 24 random characters */
struct cn_view cn_id_request(struct cn_arena *a); /* req_ + 24 */
/* An id that takes the place of a backend's own: CN_ID_TOOL_OURS + 22. */
#define CN_ID_TOOL_OURS "toolu_cn"
struct cn_view cn_id_tool(struct cn_arena *a);
/*
 * Whether a backend's tool id may go to the client as it is: ^[A-Za-z0-9_-]+$, and it does
 * not stand in the request's messages as a string already.
 */
bool cn_id_tool_usable(struct cn_view id, struct cn_view messages_raw);

#endif
