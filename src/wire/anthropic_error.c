/*
 * Error bodies in the form the client understands, and reading the type and message of one
 * (wire/anthropic-messages.md 8).  What an error means is route/'s business.
 *
 * Pure; owns nothing; any thread.
 */
#include "continuo/anthropic.h"

#include "wire_impl.h"

void cn_anthropic_error_body(struct cn_buf *b, struct cn_view type, struct cn_view message,
                             struct cn_view request_id)
{
	cn_buf_add_char(b, '{');
	cn_json_add_text(b, "type", CN_VIEW("error"));
	cn_json_add_key(b, "error");
	cn_buf_add_char(b, '{');
	cn_json_add_text(b, "type", type);
	cn_json_add_text(b, "message", message);
	cn_buf_add_char(b, '}');
	cn_json_add_text(b, "request_id", request_id);
	cn_buf_add_char(b, '}');
}

const char *cn_anthropic_error_type(int status)
{
	switch (status) {
	case 401:
		return "authentication_error";
	case 402:
		return "billing_error";
	case 403:
		return "permission_error";
	case 404:
		return "not_found_error";
	case 409:
		return "conflict_error";
	case 413:
		return "request_too_large";
	case 429:
		return "rate_limit_error";
	case 504:
		return "timeout_error";
	case 529:
		return "overloaded_error";
	default:
		return status >= 500 ? "api_error" : "invalid_request_error";
	}
}

bool cn_anthropic_error_read(struct cn_arena *a, struct cn_view body,
                             struct cn_view *rettype, struct cn_view *retmessage)
{
	struct cn_json error;

	if (cn_json_check(body, NULL))
		return false;
	error = cn_json_get(cn_json_root(body), "error");
	if (error.kind != CN_JSON_OBJECT)
		return false;
	*rettype = cn_json_text(a, cn_json_get(error, "type"));
	*retmessage = cn_json_text(a, cn_json_get(error, "message"));
	return true;
}
