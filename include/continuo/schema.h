/*
 * Whether a held tool call may be delivered: its input is a JSON object, its name is a tool
 * of the request, and the schema's required properties are there (design/continuity.md).
 */
#ifndef CONTINUO_SCHEMA_H
#define CONTINUO_SCHEMA_H

#include "continuo/json.h"

/*
 * tools: the request's tools array (kind NONE: no tool is known, every call fails).  input:
 * the call's whole JSON text; "" counts as {}.  CN_E_INVALID with what is wrong ("tool
 * 'Reed' is not one of the request", "input of Read lacks file_path").
 */
int cn_schema_check_call(struct cn_json tools, struct cn_view name, struct cn_view input,
                         struct cn_error *reterr) CN_MUST_CHECK;

#endif
