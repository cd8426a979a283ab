/*
 * What backends' answers mean: every row of wire/fallback-rules.md 2, 3 and 4.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "../../src/route/route_impl.h"

#define WALL UINT64_C(1795000000000) /* 2026-11-18T11:06:40Z */

/* Options of a case. */
#define OWN   1u
#define LOCAL 2u
#define ENDS  4u  /* no_retry is expected */
#define STAYS 8u  /* no_cooldown is expected */
#define CF    16u /* server: cloudflare */

struct row {
	int status;
	const char *body;
	unsigned options;
	enum cn_class class;
	enum cn_scope scope;
	enum cn_repair repair;
	uint64_t number;   /* limit, else window */
	const char *field; /* repair_field */
};

static const char *class_name(enum cn_class c)
{
	return cn_class_name(c);
}

static void check_row(const struct row *r, bool json)
{
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) body = {0};
	struct cn_answer_head head = {.status = r->status,
	                              .content_type = CN_VIEW("application/json")};
	struct cn_answer_context ctx = {
	    .own_body = r->options & OWN, .local = r->options & LOCAL, .wall_ms = WALL};
	struct cn_outcome o;

	if (r->options & CF)
		head.server = CN_VIEW("cloudflare");
	if (json) {
		cn_buf_add_str(&body, r->body);
	} else {
		cn_buf_add_str(&body, "{\"error\":{\"message\":");
		cn_json_add_string(&body, cn_view_str(r->body));
		cn_buf_add_str(&body, "}}");
	}
	o = cn_classify_answer(&a, &head, cn_buf_view(&body), &ctx);
	if (o.class != r->class || o.scope != r->scope || o.repair != r->repair ||
	    (r->number && o.limit != r->number && o.window != r->number) ||
	    (o.no_retry != NULL) != ((r->options & ENDS) != 0) ||
	    o.no_cooldown != ((r->options & STAYS) != 0) ||
	    !cn_view_eq(o.repair_field, cn_view_str(r->field)))
		fail_msg(
		    "%d %s\n  is %s scope %d repair %d limit %llu window %llu field '%.*s' "
		    "no_retry %s (%s)\n  not %s scope %d repair %d number %llu field '%s'",
		    r->status, r->body, class_name(o.class), o.scope, o.repair,
		    (unsigned long long)o.limit, (unsigned long long)o.window,
		    CN_VIEW_ARG(o.repair_field), o.no_retry ? o.no_retry : "-", o.reason,
		    class_name(r->class), r->scope, r->repair,
		    (unsigned long long)r->number, r->field ? r->field : "");
	assert_non_null(o.reason);
	assert_int_equal(o.http_status, r->status);
	assert_true(o.head_seen);
}

static void check_rows(const struct row *rows, size_t n, bool json)
{
	for (size_t i = 0; i < n; i++)
		check_row(&rows[i], json);
}

#define ROWS(rows, json) check_rows(rows, sizeof(rows) / sizeof((rows)[0]), json)

#define C(name) CN_CLASS_##name
#define S(name) CN_SCOPE_##name
#define R(name) CN_REPAIR_##name

/* ---- section 2 ---- */

static void s2_texts_of_prompts_that_do_not_fit(void **state)
{
	static const struct row rows[] = {
#define O(text, number) {400, text, 0, C(CONTEXT_OVERFLOW), S(NONE), R(NONE), number, NULL}
	    O("prompt is too long: 213462 tokens > 200000 maximum", 200000),
	    O("Input is too long for requested model.", 0),
	    O("The input token count (1200000) exceeds the maximum number of tokens allowed "
	      "(1048576).",
	      1048576),
	    O("context_length_exceeded", 0),
	    O("Your input exceeds the context window of this model.", 0),
	    O("This model's maximum context length is 131072 tokens.", 131072),
	    O("This model's maximum prompt length is 131072 but the request contains 200000",
	      131072),
	    O("Please reduce the length of the messages or completion.", 0),
	    O("request (2009 tokens) exceeds the available context size (512 tokens), try "
	      "increasing it",
	      512),
	    O("the number of tokens to keep from the initial prompt is greater than the context "
	      "length",
	      0),
	    O("invalid params, context window exceeds limit (2013)", 0),
	    O("Your request exceeded model token limit : 262144", 262144),
	    O("Prompt contains 140000 tokens, too large for model with 131072 maximum context "
	      "length",
	      131072),
	    O("input length exceeds the maximum", 0),
	    O("Range of input length should be [1, 98304]", 98304),
	    O("Input token length too long", 0),
	    O("prompt token count of 140000 exceeds the limit of 128000", 128000),
	    O("Prompt exceeds max length", 0),
	    O("model_max_prompt_tokens_exceeded", 0),
	    O("Too many input tokens", 0),
	    O("`inputs` tokens + `max_new_tokens` must be <= 32769", 32769),
	    O("Input Tokens Exceeded: Number of input tokens exceeds maximum length.", 0),
#undef O
	    {400,
	     "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
	     0, C(CONTEXT_OVERFLOW), S(NONE), R(MAX_TOKENS), 9999, NULL},
	    /* What would fit is not worth it. */
	    {400,
	     "input length and `max_tokens` exceed context limit: 199500 + 20000 > 200000",
	     0, C(CONTEXT_OVERFLOW), S(NONE), R(NONE), 200000, NULL},
	    {400,
	     "This model's maximum context length is 131072 tokens. However, you requested "
	     "131500 tokens (123308 in the messages, 8192 in the completion).",
	     0, C(CONTEXT_OVERFLOW), S(NONE), R(MAX_TOKENS), 7763, NULL},
	    {400, "total message size 3145728 exceeds limit 2097152", 0,
	     C(CONTEXT_OVERFLOW), S(BACKEND), R(NONE), 0, NULL},
	    /* The veto. */
	    {400, "Too many tokens per minute: rate limit", 0, C(RATE_LIMITED),
	     S(KEY_MODEL), R(NONE), 0, NULL},
	    {400, "input token count exceeds your quota", 0, C(QUOTA_EXHAUSTED), S(ACCOUNT),
	     R(NONE), 0, NULL},
	    {400, "maximum context length: throttled", 0, C(RATE_LIMITED), S(KEY_MODEL),
	     R(NONE), 0, NULL},
	};

	(void)state;
	ROWS(rows, false);
}

static void s2_ceilings_of_the_answer(void **state)
{
	static const struct row rows[] = {
#define L(status, text, number)                           \
	{                                                 \
	    status,   text,                               \
	    0,        C(OUTPUT_CEILING),                  \
	    S(NONE),  (number) ? R(MAX_TOKENS) : R(NONE), \
	    (number), NULL}
	    L(400,
	      "max_tokens: 300000 > 128000, which is the maximum allowed number of output tokens "
	      "for claude",
	      128000),
	    L(400,
	      "max_tokens is too large: 300000. This model supports at most 16384 completion "
	      "tokens",
	      16384),
	    L(400, "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
	      8192),
	    L(422,
	      "`max_tokens` must be less than or equal to `8192`, the maximum value for "
	      "`max_tokens` is less than the `context_window` for this model",
	      8192),
	    L(400, "Range of max_tokens should be [1, 32768]", 32768),
	    L(400, "max_tokens is too large", 0),
	    L(400,
	      "The maximum tokens you requested exceeds the model limit of 4096. Try again with "
	      "a maximum tokens value that is lower than 4096.",
	      4096),
#undef L
	};

	(void)state;
	ROWS(rows, false);
}

static void s2_requests_that_can_be_mended(void **state)
{
	static const struct row rows[] = {
#define T(text) {400, text, OWN, C(INVALID_REQUEST), S(NONE), R(THINKING), 0, NULL}
	    T("messages.3.content.0: Invalid `signature` in `thinking` block"),
	    T("Function call is missing a thought_signature in functionCall parts"),
	    T("The `reasoning_content` in the thinking mode must be passed back to the API."),
	    T("thinking is enabled but reasoning_content is missing in assistant tool call "
	      "message at index 4"),
	    T("The encrypted_content could not be verified"),
	    T("Expected `thinking` or `redacted_thinking`, but found `tool_use`"),
#undef T
	    {429, "Invalid signature in thinking block", 0, C(INVALID_REQUEST), S(NONE),
	     R(THINKING), 0, NULL},
#define P(text) {400, text, OWN, C(INVALID_REQUEST), S(NONE), R(PREFILL), 0, NULL}
	    P("This model does not support assistant message prefill. The conversation must end "
	      "with a user message."),
	    P("Assistant response prefill is incompatible with enable_thinking."),
	    P("the assistant message in last place is incompatible with this mode"),
#undef P
#define F(status, text, name)                             \
	{                                                 \
	    status,  text,                                \
	    0,       C(INVALID_REQUEST),                  \
	    S(NONE), (name) != NULL ? R(FIELD) : R(NONE), \
	    0,       name}
	    F(400, "context_management: Extra inputs are not permitted",
	      "context_management"),
	    F(400, "Unsupported parameter: 'reasoning_effort'", "reasoning_effort"),
	    F(400, "Unsupported value: 'temperature' does not support 0.3", "temperature"),
	    F(400, "Unrecognized request argument supplied: top_k", "top_k"),
	    F(422, "unknown field `metadata`", "metadata"),
	    F(400, "property 'service_tier' is unsupported", "service_tier"),
	    F(400, "output_config.effort: Extra inputs are not permitted", "output_config"),
	    F(400, "invalid beta flag", "anthropic-beta"),
	    F(400,
	      "Unexpected value(s) `context-1m-2025-08-07` for the `anthropic-beta` header",
	      "context-1m-2025-08-07"),
	    /* Without these a request is nothing. */
	    F(400, "property 'messages.0.reasoning' is unsupported", NULL),
	    F(400, "Unsupported parameter: 'max_tokens' is not supported with this model",
	      NULL),
#undef F
#define N(status, text) {status, text, 0, C(INVALID_REQUEST), S(NONE), R(PLAIN), 0, NULL}
	    N(400, "messages.1.role: Input should be 'user' or 'assistant'"),
	    N(400, "messages: Unexpected role \"system\". Allowed roles are \"user\" or "
	           "\"assistant\"."),
	    N(422, "Failed to deserialize the JSON body into the target type: "
	           "messages[1].role: unknown variant `system`, expected `user`"),
	    N(400, "messages[3].content[0]: unknown variant `document`, expected `text`"),
	    N(400,
	      "messages.2.content.0: Input tag 'server_tool_use' found using 'type' does "
	      "not match any of the expected tags"),
	    N(400, "messages.1.output_config: Extra inputs are not permitted"),
	    N(400, "role 'system' is not allowed in messages"),
	    N(400, "System role not supported"),
	    N(400, "invalid role: system"),
	    N(400, "tools.0.custom.defer_loading: Extra inputs are not permitted"),
	    N(400, "unknown block tool_reference"),
	    N(400, "Conversation roles must alternate user/assistant/user/assistant/..."),
	    N(400, "Jinja Exception: System message must be at the beginning"),
	    N(500, "Jinja Exception: x"),
#undef N
	    /* Claude Code knows what to do then. */
	    {400, "messages.1.role: Input should be 'user' or 'assistant'", OWN | ENDS,
	     C(INVALID_REQUEST), S(NONE), R(NONE), 0, NULL},
	    /* The client drops the field and its beta itself. */
	    {400, "context_management: Extra inputs are not permitted", OWN | ENDS,
	     C(INVALID_REQUEST), S(NONE), R(NONE), 0, NULL},
	};

	(void)state;
	ROWS(rows, false);
}

static void s2_requests_that_are_wrong(void **state)
{
	static const struct row rows[] = {
#define W(status, text, options) \
	{status, text, options, C(INVALID_REQUEST), S(NONE), R(NONE), 0, NULL}
	    W(400, "`tool_use` ids were found without `tool_result` blocks", 0),
	    W(400, "`tool_use` ids were found without `tool_result` blocks", OWN | ENDS),
	    W(400, "messages with role 'tool' must follow tool_calls: tool_call_id", 0),
	    W(400, "Schema is too complex for compilation.", OWN | ENDS),
	    W(400, "invalid_function_parameters", 0),
	    W(400, "something nobody has seen yet", 0),
	    W(400, "something nobody has seen yet", OWN | ENDS),
	    W(422, "something else", 0),
	    W(404, "thread_not_found", ENDS),
	    W(400, "claude_code_version_too_old", OWN | ENDS),
	    W(435, "no", 0),
#undef W
	    {400, "tool_use_failed", 0, C(MALFORMED_STREAM), S(MODEL), R(NONE), 0, NULL},
	    {400, "Failed to parse tool call", 0, C(MALFORMED_STREAM), S(MODEL), R(NONE), 0,
	     NULL},
	};

	(void)state;
	ROWS(rows, false);
}

static void s2_money_and_plans(void **state)
{
	static const struct row rows[] = {
#define B(status, text) {status, text, 0, C(BILLING), S(ACCOUNT), R(NONE), 0, NULL}
	    B(400, "Your credit balance is too low to access the Anthropic API"),
	    B(400, "Arrearage"),
	    B(400, "a problem with billing"),
	    B(400, "payment overdue"),
	    B(402, "Insufficient Balance"),
	    B(402, ""),
	    B(429, "Insufficient balance or no resource package"),
	    B(429, "billing_hard_limit_reached"),
	    B(412, "account suspended"),
#undef B
#define Q(status, text) {status, text, 0, C(QUOTA_EXHAUSTED), S(ACCOUNT), R(NONE), 0, NULL}
	    Q(400, "You have reached your specified API usage limits."),
	    Q(400, "enforced spend limit"),
	    Q(400, "ServiceQuotaExceededException"),
	    Q(402, "quota_exceeded"),
	    Q(403, "You've reached your usage limit for this billing cycle"),
	    Q(403, "quota used up"),
	    Q(429, "insufficient_quota"),
	    Q(429,
	      "You exceeded your current quota, please check your plan and billing details."),
	    Q(429, "exceeded_current_quota_error"),
	    Q(429, "You've reached your usage limit for this period"),
	    Q(429, "limit of 50 requests per day"),
	    Q(429, "weekly limit: week"),
	    Q(429, "Rate limit exceeded: limit_rpd: free-models-per-day"),
	    Q(429, "your limit for this month"),
	    Q(429, "5-hour limit reached"),
	    Q(429, "limit: 5 hour window"),
	    Q(429, "GenerateRequestsPerDayPerProjectPerModel"),
	    Q(429, "Too many tokens per day, please wait before trying again."),
	    Q(429, "Throttling.AllocationQuota"),
	    Q(429, "contract_spend_limit_reached"),
	    Q(429, "enforced_spend_limit_reached"),
#undef Q
	};

	(void)state;
	ROWS(rows, false);
}

static void s2_keys_refusals_and_models(void **state)
{
	static const struct row rows[] = {
#define A(status, text, scope) {status, text, 0, C(AUTH), S(scope), R(NONE), 0, NULL}
	    A(400, "organization_on_hold", KEY),
	    A(400, "This organization has been disabled", KEY),
	    A(400, "API_KEY_INVALID", KEY),
	    A(400, "API key not valid. Please pass a valid API key.", KEY),
	    A(400, "claude_code_key_creator_not_member", KEY),
	    /* Whatever a 401 says. */
	    A(401, "token expired", KEY),
	    A(401, "prompt is too long: 5 tokens > 4 maximum", KEY),
	    A(401, "billing: insufficient_quota, model not found", KEY),
	    A(401, "", KEY),
	    A(403, "not allowed", KEY_MODEL),
	    A(403, "unsupported_country_region_territory", BACKEND),
	    A(434, "", KEY),
#undef A
#define X(status, text) {status, text, 0, C(CONTENT_REFUSAL), S(NONE), R(NONE), 0, NULL}
	    X(400, "content_filter"),
	    X(400, "content_policy_violation"),
	    X(400, "data_inspection_failed"),
	    X(400, "The request was rejected because it was considered high risk"),
	    X(400, "input new_sensitive"),
	    X(403, "moderation: your input was flagged"),
	    X(403, "SAFETY_CHECK_TYPE_BIO"),
	    X(400, "ResponsibleAIPolicyViolation"),
	    X(400, "Output blocked by content filtering policy"),
#undef X
#define M(status, text) {status, text, 0, C(NOT_FOUND_MODEL), S(MODEL), R(NONE), 0, NULL}
	    M(404, "model 'x' not found"),
	    M(404, "The model `gpt-9` does not exist or you do not have access to it."),
	    M(400, "The requested model is not supported"),
	    M(400, "Unknown model: x"),
	    M(400, "The provided model identifier is invalid."),
	    M(404, "DeploymentNotFound"),
	    M(404, "No endpoints found for x/y."),
	    M(400, "openai/gpt-x is not a valid model ID"),
	    M(404, "This model version has reached the end of its life."),
	    M(410, "gone"),
#undef M
	    {404, "no such path", 0, C(MISCONFIGURED), S(BACKEND), R(NONE), 0, NULL},
	    /* A field named for safety, and an id that is case-sensitive. */
	    {400, "Unknown parameter: 'safety_identifier'.", 0, C(INVALID_REQUEST), S(NONE),
	     R(FIELD), 0, "safety_identifier"},
	    {400, "names are case-sensitive", 0, C(INVALID_REQUEST), S(NONE), R(NONE), 0,
	     NULL},
	};

	(void)state;
	ROWS(rows, false);
}

static void s2_statuses(void **state)
{
	static const struct row rows[] = {
#define D(status, text, class, scope) \
	{status, text, 0, C(class), S(scope), R(NONE), 0, NULL}
	    D(301, "moved", MISCONFIGURED, BACKEND),
	    D(307, "", MISCONFIGURED, BACKEND),
	    D(405, "", MISCONFIGURED, BACKEND),
	    D(408, "", TIMEOUT_FIRST_BYTE, MODEL),
	    D(409, "", SERVER_ERROR, MODEL),
	    D(413, "request_too_large", CONTEXT_OVERFLOW, BACKEND),
	    D(413, "", CONTEXT_OVERFLOW, NONE),
	    D(413,
	      "Request too large for model `x` on tokens per minute (TPM): Limit 6000, "
	      "Requested 9000",
	      CONTEXT_OVERFLOW, KEY_MODEL),
	    D(429,
	      "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested "
	      "45000.",
	      CONTEXT_OVERFLOW, KEY_MODEL),
	    D(429,
	      "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested "
	      "25000.",
	      RATE_LIMITED, KEY_MODEL),
	    D(424, "", SERVER_ERROR, MODEL),
	    D(425, "", SERVER_ERROR, MODEL),
	    D(429, "slow down", RATE_LIMITED, KEY_MODEL),
	    D(429, "", RATE_LIMITED, KEY_MODEL),
	    D(429, "Too many tokens, please wait before trying again.", RATE_LIMITED,
	      KEY_MODEL),
	    D(429, "overloaded", OVERLOADED, MODEL),
	    D(429, "engine_overloaded_error", OVERLOADED, MODEL),
	    D(429, "experiencing high demand", OVERLOADED, MODEL),
	    D(429, "the model is busy", OVERLOADED, MODEL),
	    D(429, "ModelNotReadyException", OVERLOADED, MODEL),
	    D(498, "", OVERLOADED, MODEL),
	    D(499, "", SERVER_ERROR, MODEL),
	    D(500, "Internal", SERVER_ERROR, MODEL),
	    D(500, "Overloaded", OVERLOADED, MODEL),
	    D(500, "no capacity", OVERLOADED, MODEL),
	    D(500, "prompt is larger than n_ctx", CONTEXT_OVERFLOW, NONE),
	    D(500, "KV cache is full", CONTEXT_OVERFLOW, NONE),
	    D(500, "input exceeds the context size", CONTEXT_OVERFLOW, NONE),
	    D(500, "context deadline exceeded", SERVER_ERROR, MODEL),
	    D(502, "", SERVER_ERROR, MODEL),
	    D(503, "rate limit reached", RATE_LIMITED, KEY_MODEL),
	    D(503, "too many requests", RATE_LIMITED, KEY_MODEL),
	    D(503, "quota", RATE_LIMITED, KEY_MODEL),
	    D(503, "unavailable", OVERLOADED, MODEL),
	    D(504, "", TIMEOUT_FIRST_BYTE, MODEL),
	    D(520, "", SERVER_ERROR, MODEL),
	    D(524, "", SERVER_ERROR, MODEL),
	    D(527, "", SERVER_ERROR, MODEL),
	    D(529, "Overloaded", OVERLOADED, MODEL),
	    D(529, "compaction_unavailable", OVERLOADED, MODEL),
	    D(530, "", SERVER_ERROR, MODEL),
	    D(599, "", SERVER_ERROR, MODEL),
#undef D
	    {503, "Loading model", LOCAL | STAYS, C(OVERLOADED), S(MODEL), R(NONE), 0,
	     NULL},
	    {503, "Loading model", STAYS, C(OVERLOADED), S(MODEL), R(NONE), 0, NULL},
	};

	(void)state;
	ROWS(rows, false);
}

static void s2_pages_and_content_networks(void **state)
{
	static const struct row rows[] = {
#define H(status, text, options, class, scope) \
	{status, text, options, C(class), S(scope), R(NONE), 0, NULL}
	    H(403, "<html>Access denied</html>", 0, OVERLOADED, MODEL),
	    H(403, "<!DOCTYPE html><title>Just a moment...</title>", 0, AUTH, BACKEND),
	    H(403, " <html>please solve this captcha</html>", 0, AUTH, BACKEND),
	    H(429, "<html></html>", 0, OVERLOADED, MODEL),
	    H(503, "<html></html>", 0, OVERLOADED, MODEL),
	    H(503, "error code: 1015", CF, OVERLOADED, MODEL),
	    H(429, "error code: 1015", CF, OVERLOADED, MODEL),
	    H(520, "<html></html>", 0, SERVER_ERROR, MODEL),
	    H(524, "error code: 524", CF, SERVER_ERROR, MODEL),
	    H(530, "<html></html>", 0, SERVER_ERROR, MODEL),
	    H(502, "<html></html>", 0, SERVER_ERROR, MODEL),
	    H(413, "<html>413 Request Entity Too Large</html>", 0, CONTEXT_OVERFLOW,
	      BACKEND),
	    H(401, "<html></html>", 0, AUTH, KEY),
	    H(404, "<html></html>", 0, MISCONFIGURED, BACKEND),
	    /* JSON from behind such a network is the backend's own. */
	    H(429, "{\"error\":{\"message\":\"slow down\"}}", CF, RATE_LIMITED, KEY_MODEL),
	    H(200, "<html>Welcome</html>", 0, MALFORMED_STREAM, MODEL),
#undef H
	};

	(void)state;
	ROWS(rows, true);
}

static void s2_errors_inside_a_200(void **state)
{
	static const struct row rows[] = {
#define E(text, class, scope) {200, text, 0, C(class), S(scope), R(NONE), 0, NULL}
	    E("{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}",
	      OVERLOADED, MODEL),
	    E("{\"error\":{\"code\":429,\"message\":\"Provider returned error\"}}",
	      RATE_LIMITED, KEY_MODEL),
	    E("{\"error\":{\"code\":502,\"message\":\"Provider returned error\"}}",
	      SERVER_ERROR, MODEL),
	    E("{\"choices\":[{\"error\":{\"code\":503,\"message\":\"down\"}}]}", OVERLOADED,
	      MODEL),
	    E("{\"error\":\"something broke\"}", SERVER_ERROR, MODEL),
	    E("{\"code\":500,\"success\":false,\"msg\":\"404 NOT_FOUND\"}", SERVER_ERROR,
	      MODEL),
	    E("{\"base_resp\":{\"status_code\":1008,\"status_msg\":\"insufficient balance\"}}",
	      BILLING, ACCOUNT),
	    E("{\"base_resp\":{\"status_code\":1002,\"status_msg\":\"rate limit\"}}",
	      RATE_LIMITED, KEY_MODEL),
	    E("{\"base_resp\":{\"status_code\":1027,\"status_msg\":\"output\"}}",
	      CONTENT_REFUSAL, NONE),
	    E("{\"base_resp\":{\"status_code\":2056,\"status_msg\":\"usage limit\"}}",
	      QUOTA_EXHAUSTED, ACCOUNT),
	    E("{\"base_resp\":{\"status_code\":2013,\"status_msg\":\"invalid params, context "
	      "window exceeds limit\"}}",
	      CONTEXT_OVERFLOW, NONE),
	    E("{\"base_resp\":{\"status_code\":2013,\"status_msg\":\"invalid params\"}}",
	      INVALID_REQUEST, NONE),
	    E("{\"error\":{\"code\":\"1261\",\"message\":\"Prompt exceeds max length\"}}",
	      CONTEXT_OVERFLOW, NONE),
	    E("{\"error\":{\"code\":\"1305\",\"message\":\"busy\"}}", RATE_LIMITED,
	      KEY_MODEL),
	    E("", TRUNCATED_STREAM, MODEL),
	    E("{\"hello\":1}", MALFORMED_STREAM, MODEL),
#undef E
	};

	(void)state;
	ROWS(rows, true);
}

static void s2_codes_of_providers(void **state)
{
	static const struct {
		const char *code;
		enum cn_class class;
	} rows[] = {
	    {"1000", C(AUTH)},
	    {"1113", C(BILLING)},
	    {"1211", C(NOT_FOUND_MODEL)},
	    {"1261", C(CONTEXT_OVERFLOW)},
	    {"1301", C(CONTENT_REFUSAL)},
	    {"1302", C(RATE_LIMITED)},
	    {"1304", C(QUOTA_EXHAUSTED)},
	    {"1308", C(QUOTA_EXHAUSTED)},
	    {"1309", C(QUOTA_EXHAUSTED)},
	    {"1310", C(QUOTA_EXHAUSTED)},
	    {"1311", C(QUOTA_EXHAUSTED)},
	    {"1312", C(OVERLOADED)},
	    {"1313", C(RATE_LIMITED)},
	    {"1214", C(INVALID_REQUEST)},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CN_AUTO(cn_arena) a = {0};
		struct cn_answer_head head = {.status = 429};
		struct cn_answer_context ctx = {.wall_ms = WALL};
		char *body = cn_arena_printf(
		    &a, "{\"error\":{\"code\":\"%s\",\"message\":\"x\"}}", rows[i].code);
		struct cn_outcome o =
		    cn_classify_answer(&a, &head, cn_view_str(body), &ctx);

		if (o.class != rows[i].class)
			fail_msg("%s is %s, not %s", rows[i].code, class_name(o.class),
			         class_name(rows[i].class));
	}
	/* At the top level another provider's 1300 is a rate limit. */
	static const struct row other[] = {
	    {401, "{\"error\":{\"code\":\"1113\",\"message\":\"no balance\"}}", 0, C(AUTH),
	     S(KEY), R(NONE), 0, NULL},
	    {429,
	     "{\"object\":\"error\",\"message\":\"Rate limit "
	     "exceeded\",\"type\":\"rate_limited\",\"code\":\"1300\"}",
	     0, C(RATE_LIMITED), S(KEY_MODEL), R(NONE), 0, NULL},
	    {429,
	     "{\"type\":\"error\",\"error\":{\"type\":\"x\",\"message\":\"no (1008)\"}}", 0,
	     C(BILLING), S(ACCOUNT), R(NONE), 0, NULL},
	};
	ROWS(other, true);
}

static void s2_shapes_of_bodies(void **state)
{
	static const struct row rows[] = {
#define E(text, field)                                                                    \
	{400, text, 0, C(INVALID_REQUEST), S(NONE), (field) != NULL ? R(FIELD) : R(NONE), \
	 0,   field}
	    E("{\"error\":{\"message\":\"no\",\"code\":\"unsupported_parameter\",\"param\":"
	      "\"top_k\"}}",
	      "top_k"),
	    E("{\"detail\":[{\"loc\":[\"body\",\"thinking\",\"type\"],\"msg\":\"Extra inputs are "
	      "not permitted\",\"type\":\"extra_forbidden\"}]}",
	      "thinking"),
	    E("{\"error\":\"text\"}", NULL),
	    E("{\"errors\":[{\"message\":\"unknown field `metadata`\"}]}", "metadata"),
	    E("null", NULL),
	    E("[]", NULL),
	    E("{", NULL),
	    E("{\"error\":{\"message\":{\"a\":1}}}", NULL),
#undef E
	    {400,
	     "[{\"error\":{\"code\":400,\"message\":\"The input token count (5) exceeds the "
	     "maximum number of tokens allowed (4096)\",\"status\":\"INVALID_ARGUMENT\"}}]",
	     0, C(CONTEXT_OVERFLOW), S(NONE), R(NONE), 4096, NULL},
	    {400, "{\"detail\":\"prompt is too long: 9000 tokens > 8000 maximum\"}", 0,
	     C(CONTEXT_OVERFLOW), S(NONE), R(NONE), 8000, NULL},
	    {400, "{\"Message\":\"Input is too long for requested model.\"}", 0,
	     C(CONTEXT_OVERFLOW), S(NONE), R(NONE), 0, NULL},
	    {400,
	     "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
	     "\"x\",\"details\":{\"error_code\":\"organization_on_hold\"}}}",
	     0, C(AUTH), S(KEY), R(NONE), 0, NULL},
	    {400,
	     "{\"error\":{\"code\":400,\"message\":\"Provider returned error\",\"metadata\":{"
	     "\"raw\":\"{\\\"error\\\":{\\\"message\\\":\\\"prompt is too long: 9000 tokens > "
	     "8000 maximum\\\"}}\"}}}",
	     0, C(CONTEXT_OVERFLOW), S(NONE), R(NONE), 8000, NULL},
	    {403,
	     "{\"error\":{\"code\":403,\"message\":\"no\",\"metadata\":{\"flagged_input\":\"x\"}}"
	     "}",
	     0, C(CONTENT_REFUSAL), S(NONE), R(NONE), 0, NULL},
	    {429,
	     "[{\"error\":{\"code\":429,\"message\":\"Resource has been "
	     "exhausted\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[{\"violations\":[{"
	     "\"quotaId\":\"GenerateRequestsPerDayPerProject\"}]}]}}]",
	     0, C(QUOTA_EXHAUSTED), S(ACCOUNT), R(NONE), 0, NULL},
	    /* No JSON: the first bytes are looked at. */
	    {400, "prompt is too long: 9000 tokens > 8000 maximum", 0, C(CONTEXT_OVERFLOW),
	     S(NONE), R(NONE), 8000, NULL},
	};

	(void)state;
	ROWS(rows, true);
}

/* ---- how long to wait ---- */

struct wait_row {
	int status;
	struct cn_answer_head head;
	const char *body;
	uint64_t ms;
};

static void waits_are_read_from_headers_and_texts(void **state)
{
#define HD(...)             \
	{                   \
		__VA_ARGS__ \
	}
	const struct wait_row rows[] = {
	    {429, HD(.retry_after = CN_VIEW("12")), "", 12000},
	    {429, HD(.retry_after = CN_VIEW("1.5")), "", 1500},
	    {529, HD(.retry_after = CN_VIEW("7")), "", 7000},
	    {429, HD(.retry_after = CN_VIEW("12"), .retry_after_ms = CN_VIEW("250")), "",
	     250},
	    {429, HD(.retry_after_ms = CN_VIEW("120000")), "", 120000},
	    {429, HD(.retry_after = CN_VIEW("Wed, 18 Nov 2026 11:07:40 GMT")), "", 60000},
	    /* A time that is over, nothing, and nonsense. */
	    {429, HD(.retry_after = CN_VIEW("Wed, 18 Nov 2026 11:00:00 GMT")), "", 0},
	    {429, HD(.retry_after = CN_VIEW("0")), "", 0},
	    {429, HD(.retry_after = CN_VIEW("-5")), "", 0},
	    {429, HD(.retry_after = CN_VIEW("soon")), "", 0},
	    {429, HD(.retry_after = CN_VIEW("99999999999999999999999")), "", 86400000},
	    {429, HD(.retry_after = CN_VIEW("172800")), "", 86400000},
	    {429, HD(.ratelimit_reset = CN_VIEW("6m0s")), "", 360000},
	    {429, HD(.ratelimit_reset = CN_VIEW("120ms")), "", 120},
	    {429, HD(.ratelimit_reset = CN_VIEW("2h3m4.5s")), "", 7384500},
	    {429, HD(.ratelimit_reset = CN_VIEW("1795000030")), "", 30000},
	    {429, HD(.ratelimit_reset = CN_VIEW("1795000030000")), "", 30000},
	    {429, HD(.ratelimit_reset = CN_VIEW("2026-11-18T11:06:50Z")), "", 10000},
	    {429, HD(.ratelimit_reset = CN_VIEW("45")), "", 45000},
	    {429,
	     HD(.unified_status = CN_VIEW("rejected"),
	        .unified_reset = CN_VIEW("1795003600"), .retry_after = CN_VIEW("5")),
	     "", 3600000},
	    {429, HD(0), "Please try again in 18.642s. Visit", 18642},
	    {429, HD(0), "try again in 12s", 12000},
	    {429, HD(0), "Please try again in 6m0s.", 360000},
	    {429, HD(0), "please try again after 20 seconds", 20000},
	    {429, HD(0), "Please retry in 34.5 seconds", 34500},
	    {429, HD(0), "limit of the week: resets at 2026-11-18T12:06:40Z", 3600000},
	    {429, HD(0), "usage limit, will reset at 2026-11-18 12:06:40 UTC", 3600000},
	    {429, HD(0), "usage limit, will reset at 2026-11-18 13:06:40+01:00", 3600000},
	    {429, HD(0), "usage limit resets at 1795000600.", 600000},
	    {400, HD(0),
	     "You have reached your specified API usage limits. You will regain access on "
	     "2026-11-19 at 00:00 UTC.",
	     46400000},
	    {429, HD(0),
	     "{\"error\":{\"code\":\"1308\",\"message\":\"resets at 2026-11-18 "
	     "20:06:40\"}}",
	     3600000},
	    {429, HD(0),
	     "{\"error\":{\"code\":429,\"message\":\"x\",\"details\":[{"
	     "\"retryDelay\": \"34s\"}]}}",
	     34000},
	    {429, HD(0), "no word about it in 2026", 0},
	};
#undef HD

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CN_AUTO(cn_arena) a = {0};
		struct cn_answer_head head = rows[i].head;
		struct cn_answer_context ctx = {.wall_ms = WALL};
		struct cn_outcome o;

		head.status = rows[i].status;
		o = cn_classify_answer(&a, &head, cn_view_str(rows[i].body), &ctx);
		if (o.retry_after_ms != rows[i].ms)
			fail_msg("row %zu %s: %llu, not %llu (%s)", i, rows[i].body,
			         (unsigned long long)o.retry_after_ms,
			         (unsigned long long)rows[i].ms, class_name(o.class));
	}
}

static void a_rejected_window_is_a_quota_whatever_the_text_says(void **state)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_answer_head head = {.status = 429, .unified_status = CN_VIEW("rejected")};
	struct cn_answer_context ctx = {.wall_ms = WALL};
	struct cn_outcome o;

	(void)state;
	o = cn_classify_answer(&a, &head,
	                       CN_VIEW("{\"error\":{\"message\":\"slow down\"}}"), &ctx);
	assert_int_equal(o.class, C(QUOTA_EXHAUSTED));
	head = (struct cn_answer_head){.status = 402, .retry_after = CN_VIEW("3")};
	o = cn_classify_answer(&a, &head,
	                       CN_VIEW("{\"error\":{\"message\":\"in flight\"}}"), &ctx);
	assert_int_equal(o.class, C(RATE_LIMITED));
	assert_int_equal(o.retry_after_ms, 3000);
}

static void a_local_model_that_loads_is_looked_at_again(void **state)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_answer_head head = {.status = 503, .retry_after = CN_VIEW("60")};
	struct cn_answer_context ctx = {.wall_ms = WALL, .local = true};
	const struct cn_view body =
	    CN_VIEW("{\"error\":{\"code\":503,\"message\":\"Loading model\","
	            "\"type\":\"unavailable_error\"}}");

	(void)state;
	assert_int_equal(cn_classify_answer(&a, &head, body, &ctx).retry_after_ms, 2000);
	ctx.local = false;
	assert_int_equal(cn_classify_answer(&a, &head, body, &ctx).retry_after_ms, 0);
}

static void the_error_body_is_kept_up_to_its_limit(void **state)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_answer_head head = {.status = 400,
	                              .content_type = CN_VIEW("text/plain"),
	                              .request_id = CN_VIEW("req_1")};
	struct cn_answer_context ctx = {.wall_ms = WALL};
	char *big = cn_arena_alloc(&a, 70000);
	struct cn_outcome o;

	(void)state;
	memset(big, 'x', 70000);
	o = cn_classify_answer(&a, &head, cn_view(big, 70000), &ctx);
	assert_int_equal(o.body.n, 65536);
	assert_true(cn_view_is(o.content_type, "text/plain"));
	assert_true(cn_view_is(o.upstream_request, "req_1"));
	o = cn_classify_answer(
	    &a, &head, CN_VIEW("{\"error\":{\"message\":\"a \\u0041\",\"type\":\"t\"}}"),
	    &ctx);
	assert_true(cn_view_is(o.message, "a A"));
}

/* ---- section 3 ---- */

static void s3_transport(void **state)
{
	static const struct {
		enum cn_transport what;
		bool head, delta, reused;
		enum cn_class class;
		enum cn_scope scope;
		bool free_retry, billed, stays;
	} rows[] = {
	    {CN_TP_RESOLVE, 0, 0, 0, C(TIMEOUT_CONNECT), S(BACKEND), 0, 0, 0},
	    {CN_TP_REFUSED, 0, 0, 0, C(TIMEOUT_CONNECT), S(BACKEND), 0, 0, 0},
	    {CN_TP_CONNECT_TIMEOUT, 0, 0, 0, C(TIMEOUT_CONNECT), S(BACKEND), 0, 0, 0},
	    {CN_TP_TLS, 0, 0, 0, C(TIMEOUT_CONNECT), S(BACKEND), 0, 0, 0},
	    {CN_TP_CERTIFICATE, 0, 0, 0, C(MISCONFIGURED), S(BACKEND), 0, 0, 0},
	    {CN_TP_FIRST_BYTE_TIMEOUT, 0, 0, 0, C(TIMEOUT_FIRST_BYTE), S(MODEL), 0, 1, 0},
	    {CN_TP_IDLE_TIMEOUT, 1, 1, 0, C(TIMEOUT_IDLE), S(MODEL), 0, 1, 0},
	    {CN_TP_PROGRESS_TIMEOUT, 1, 0, 0, C(TIMEOUT_IDLE), S(MODEL), 0, 1, 0},
	    {CN_TP_ATTEMPT_TIMEOUT, 1, 1, 0, C(TIMEOUT_IDLE), S(MODEL), 0, 1, 0},
	    {CN_TP_ATTEMPT_TIMEOUT, 0, 0, 0, C(TIMEOUT_FIRST_BYTE), S(MODEL), 0, 1, 0},
	    {CN_TP_RESET, 0, 0, 1, C(SERVER_ERROR), S(MODEL), 1, 0, 1},
	    {CN_TP_RESET, 0, 0, 0, C(SERVER_ERROR), S(MODEL), 0, 1, 0},
	    {CN_TP_RESET, 1, 1, 1, C(TRUNCATED_STREAM), S(MODEL), 0, 1, 0},
	    {CN_TP_PARTIAL, 1, 1, 0, C(TRUNCATED_STREAM), S(MODEL), 0, 1, 0},
	    {CN_TP_PARTIAL, 0, 0, 0, C(SERVER_ERROR), S(MODEL), 0, 1, 0},
	    {CN_TP_NO_END, 1, 1, 0, C(TRUNCATED_STREAM), S(MODEL), 0, 1, 0},
	    {CN_TP_EMPTY, 1, 0, 0, C(TRUNCATED_STREAM), S(MODEL), 0, 1, 0},
	    {CN_TP_OUR_LIMIT, 1, 0, 0, C(MALFORMED_STREAM), S(MODEL), 0, 1, 0},
	    {CN_TP_MALFORMED, 1, 0, 0, C(MALFORMED_STREAM), S(MODEL), 0, 1, 0},
	    {CN_TP_ENCODED, 1, 0, 0, C(MISCONFIGURED), S(BACKEND), 0, 1, 0},
	    {CN_TP_FORBIDDEN_ADDRESS, 0, 0, 0, C(MISCONFIGURED), S(BACKEND), 0, 0, 0},
	    {CN_TP_SLEEP, 1, 1, 0, C(TRUNCATED_STREAM), S(NONE), 0, 1, 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cn_outcome o = cn_classify_transport(rows[i].what, rows[i].head,
		                                            rows[i].delta, rows[i].reused);

		if (o.class != rows[i].class || o.scope != rows[i].scope ||
		    o.free_retry != rows[i].free_retry ||
		    o.perhaps_billed != rows[i].billed || o.no_cooldown != rows[i].stays)
			fail_msg("row %zu: %s scope %d free %d billed %d stays %d, not %s",
			         i, class_name(o.class), o.scope, o.free_retry,
			         o.perhaps_billed, o.no_cooldown,
			         class_name(rows[i].class));
		assert_non_null(o.reason);
		assert_int_equal(o.head_seen, rows[i].head);
		assert_int_equal(o.delta_seen, rows[i].delta);
	}
}

/* ---- section 4 ---- */

static void s4_error_events(void **state)
{
	static const struct {
		const char *type, *message;
		enum cn_class class;
	} rows[] = {
	    {"overloaded_error", "Overloaded", C(OVERLOADED)},
	    {"rate_limit_error", "slow down", C(RATE_LIMITED)},
	    {"api_error", "Internal server error", C(SERVER_ERROR)},
	    {"timeout_error", "Request timed out", C(SERVER_ERROR)},
	    {"never_heard_of", "what?", C(SERVER_ERROR)},
	    {"", "", C(SERVER_ERROR)},
	    {"invalid_request_error", "prompt is too long: 9000 tokens > 8000 maximum",
	     C(CONTEXT_OVERFLOW)},
	    {"invalid_request_error", "whatever", C(INVALID_REQUEST)},
	    {"authentication_error", "invalid x-api-key", C(AUTH)},
	    {"permission_error", "no", C(AUTH)},
	    {"billing_error", "no", C(BILLING)},
	    {"request_too_large", "no", C(CONTEXT_OVERFLOW)},
	    {"502", "Provider returned error", C(SERVER_ERROR)},
	    {"429", "slow down", C(RATE_LIMITED)},
	    {"400", "prompt is too long: 1200000 tokens > 1000000 maximum",
	     C(CONTEXT_OVERFLOW)},
	    {"insufficient_quota", "You exceeded your current quota", C(QUOTA_EXHAUSTED)},
	    {"rate_limit_exceeded", "x", C(RATE_LIMITED)},
	    {"server_error", "x", C(SERVER_ERROR)},
	    {"error", "Too many requests", C(RATE_LIMITED)},
	    {"error", "tool_use_failed", C(MALFORMED_STREAM)},
	    {"throttlingException", "Too many requests", C(RATE_LIMITED)},
	    {"modelStreamErrorException", "x", C(SERVER_ERROR)},
	    {"modelTimeoutException", "x", C(SERVER_ERROR)},
	    {"serviceUnavailableException", "x", C(OVERLOADED)},
	    {"validationException", "Input is too long for requested model",
	     C(CONTEXT_OVERFLOW)},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CN_AUTO(cn_arena) a = {0};
		struct cn_answer_context ctx = {.wall_ms = WALL};
		struct cn_outcome o = cn_classify_event(&a, cn_view_str(rows[i].type),
		                                        cn_view_str(rows[i].message), &ctx);

		if (o.class != rows[i].class)
			fail_msg("%s '%s' is %s, not %s", rows[i].type, rows[i].message,
			         class_name(o.class), class_name(rows[i].class));
		assert_non_null(o.reason);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(s2_texts_of_prompts_that_do_not_fit),
	    cmocka_unit_test(s2_ceilings_of_the_answer),
	    cmocka_unit_test(s2_requests_that_can_be_mended),
	    cmocka_unit_test(s2_requests_that_are_wrong),
	    cmocka_unit_test(s2_money_and_plans),
	    cmocka_unit_test(s2_keys_refusals_and_models),
	    cmocka_unit_test(s2_statuses),
	    cmocka_unit_test(s2_pages_and_content_networks),
	    cmocka_unit_test(s2_errors_inside_a_200),
	    cmocka_unit_test(s2_codes_of_providers),
	    cmocka_unit_test(s2_shapes_of_bodies),
	    cmocka_unit_test(waits_are_read_from_headers_and_texts),
	    cmocka_unit_test(a_rejected_window_is_a_quota_whatever_the_text_says),
	    cmocka_unit_test(a_local_model_that_loads_is_looked_at_again),
	    cmocka_unit_test(the_error_body_is_kept_up_to_its_limit),
	    cmocka_unit_test(s3_transport),
	    cmocka_unit_test(s4_error_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
