/*
 * The tables of wire/fallback-rules.md 2: what texts, statuses and providers' own codes
 * mean.  Patterns are written in the language of route_impl.h.
 *
 * Owns nothing; any thread.  The order of the text rules is that page's order of
 * evaluation: billing, quota, overflow, refusal, auth, then the rest.  Wordings drift: a
 * new one is a row here and a case in tests/unit/test_classify.c, never code.
 */
#include "route_impl.h"

/* Most "the request is wrong" texts come as 400 or 422, or inside a stream. */
#define ON_WRONG   (CN_ON_400 | CN_ON_422 | CN_ON_NONE)
#define ON_REFUSED (CN_ON_400 | CN_ON_403 | CN_ON_NONE)
#define ON_MONEY   (CN_ON_400 | CN_ON_403 | CN_ON_429 | CN_ON_NONE)
#define ON_LIMIT   (CN_ON_429 | CN_ON_NONE)
#define ON_SIZE    (CN_ON_400 | CN_ON_413 | CN_ON_422 | CN_ON_NONE)

/* The words of a prompt that does not fit. */
#define OVERFLOW_WORDS                                                                   \
	"prompt is too long|input is too long|input token count*exceeds|"                \
	"input tokens count*exceeds|context_length_exceeded|exceeds the context window|" \
	"maximum context length|maximum prompt length is|"                               \
	"reduce the length of the messages|exceeds the available context size|"          \
	"exceed_context_size_error|greater than the context length|"                     \
	"context window exceeds limit|exceeded model token limit|"                       \
	"too large for model with|input length and|input length exceeds|"                \
	"range of input length|input token length too long|exceeds the limit of #|"      \
	"prompt exceeds max length|model_max_prompt_tokens_exceeded|"                    \
	"total message size*exceeds limit|too many tokens|too many input tokens|"        \
	"input tokens exceeded|number of input tokens exceeds|max_new_tokens~must be <="
/* What turns such words into a limit on time instead. */
#define VETO_WORDS "rate limit|per minute|{tpm}|quota|throttl|please wait"

#define QUOTA_WORDS "insufficient_quota|exceeded your current quota|exceeded_current_quota"

static const struct cn_rule rules[] = {
    /* billing */
    {ON_MONEY,
     "credit balance is too low|arrearage|overdue|insufficient_balance|"
     "no resource package|billing_hard_limit|billing_not_active|"
     "insufficient credit|out of credits|billing_error",
     NULL, CN_CLASS_BILLING, CN_SCOPE_ACCOUNT, CN_REPAIR_NONE, 0, "no money"},
    {ON_LIMIT, "{balance}", "load_balanc", CN_CLASS_BILLING, CN_SCOPE_ACCOUNT,
     CN_REPAIR_NONE, 0, "no money"},
    {ON_MONEY, "{billing}", QUOTA_WORDS "|billing cycle|usage_limit", CN_CLASS_BILLING,
     CN_SCOPE_ACCOUNT, CN_REPAIR_NONE, 0, "payment problem"},
    /* quota */
    {CN_ON_402 | CN_ON_403 | CN_ON_NONE, "quota_exceeded", NULL, CN_CLASS_QUOTA_EXHAUSTED,
     CN_SCOPE_ACCOUNT, CN_REPAIR_NONE, 0, "plan limit"},
    {CN_ON_403, "usage_limit|quota", NULL, CN_CLASS_QUOTA_EXHAUSTED, CN_SCOPE_ACCOUNT,
     CN_REPAIR_NONE, 0, "plan limit"},
    {CN_ON_400 | CN_ON_NONE,
     "specified api usage limits|spend_limit|servicequotaexceeded|" QUOTA_WORDS, NULL,
     CN_CLASS_QUOTA_EXHAUSTED, CN_SCOPE_ACCOUNT, CN_REPAIR_NONE, 0, "spend limit"},
    {ON_LIMIT,
     QUOTA_WORDS
     "|usage_limit|limit&{day}|limit&{days}|limit&daily|limit&{rpd}|limit&{tpd}|"
     "limit&{week}|limit&weekly|limit&{month}|limit&monthly|limit&{5_hour|"
     "perday|per_day|too many tokens per day|allocationquota|"
     "spend_limit_reached|spend_limit",
     NULL, CN_CLASS_QUOTA_EXHAUSTED, CN_SCOPE_ACCOUNT, CN_REPAIR_NONE, 0, "plan limit"},
    /* overflow */
    {CN_ON_413 | CN_ON_429, "request too large*{tpm}", NULL, CN_CLASS_CONTEXT_OVERFLOW,
     CN_SCOPE_KEY_MODEL, CN_REPAIR_NONE, CN_DO_TPM,
     "more tokens than this key may send in a minute"},
    {CN_ON_413, "{tpm}", NULL, CN_CLASS_CONTEXT_OVERFLOW, CN_SCOPE_KEY_MODEL,
     CN_REPAIR_NONE, 0, "more tokens than this key may send in a minute"},
    {CN_ON_413, "request_too_large|maximum allowed number of bytes|total message size",
     NULL, CN_CLASS_CONTEXT_OVERFLOW, CN_SCOPE_BACKEND, CN_REPAIR_NONE, 0,
     "body too large"},
    {ON_WRONG, "total message size*exceeds limit", NULL, CN_CLASS_CONTEXT_OVERFLOW,
     CN_SCOPE_BACKEND, CN_REPAIR_NONE, 0, "body too large"},
    {ON_SIZE, OVERFLOW_WORDS, NULL, CN_CLASS_CONTEXT_OVERFLOW, CN_SCOPE_NONE,
     CN_REPAIR_NONE, CN_DO_VETO, "prompt too long"},
    /* refusal; a field may be named for safety, and ids may be case-sensitive */
    {ON_REFUSED,
     "content_filter|content_policy|data_inspection_failed|high risk|{sensitive}|"
     "{moderation}|{flagged}|flagged_input|{safety}|safety_check|responsibleaipolicy|"
     "output blocked by|new_sensitive|prohibited_content",
     "case_sensitive|extra inputs|unknown parameter|unsupported parameter",
     CN_CLASS_CONTENT_REFUSAL, CN_SCOPE_NONE, CN_REPAIR_NONE, 0, "content refused"},
    /* auth */
    {CN_ON_400 | CN_ON_NONE,
     "organization_on_hold|organization has been disabled|api_key_invalid|"
     "api key not valid|claude_code_key_creator_not_member|incorrect_api_key|"
     "invalid_api_key|authentication_error|unauthenticated",
     NULL, CN_CLASS_AUTH, CN_SCOPE_KEY, CN_REPAIR_NONE, 0, "the key was refused"},
    {CN_ON_HTML | CN_ON_403, "just a moment|captcha|cf_challenge|attention required", NULL,
     CN_CLASS_AUTH, CN_SCOPE_BACKEND, CN_REPAIR_NONE, 0, "a page that asks for a person"},
    {CN_ON_403,
     "unsupported_country|country, region|not available in your region|"
     "not available in your country|location is not supported",
     NULL, CN_CLASS_AUTH, CN_SCOPE_BACKEND, CN_REPAIR_NONE, 0, "region not served"},
    /* a ceiling on max_tokens */
    {ON_WRONG,
     "max_tokens&maximum allowed|max_tokens&must be less|max_tokens&must be <|"
     "max_tokens&at most|max_tokens&valid range|range of max_tokens|max_tokens&too large|"
     "max_tokens&should be [|max_completion_tokens&at most|max_output_tokens&at most|"
     "maxoutputtokens&less than|maximum tokens you requested exceeds|"
     "max_tokens~exceeds the model|max_tokens&less than or equal to",
     NULL, CN_CLASS_OUTPUT_CEILING, CN_SCOPE_NONE, CN_REPAIR_MAX_TOKENS, 0,
     "max_tokens above the ceiling"},
    /* reasoning that the backend will not have, or misses */
    {ON_WRONG | CN_ON_429,
     "invalid ?signature? in|thought_signature|thought signature|"
     "reasoning_content&must be passed|reasoning_content&missing|encrypted_content|"
     "expected ?thinking? or ?redacted_thinking?|blocks in the latest assistant message cannot be",
     NULL, CN_CLASS_INVALID_REQUEST, CN_SCOPE_NONE, CN_REPAIR_THINKING, 0,
     "thinking of another model"},
    {CN_ON_429, "signature&thinking", NULL, CN_CLASS_INVALID_REQUEST, CN_SCOPE_NONE,
     CN_REPAIR_THINKING, 0, "thinking of another model"},
    {ON_WRONG,
     "prefill|must end with a user message|assistant message*incompatible with|"
     "last message must be*user",
     NULL, CN_CLASS_INVALID_REQUEST, CN_SCOPE_NONE, CN_REPAIR_PREFILL, 0,
     "no continuation of an assistant message"},
    {ON_WRONG | CN_ON_404, "claude_code_version_too_old|thread_not_found", NULL,
     CN_CLASS_INVALID_REQUEST, CN_SCOPE_NONE, CN_REPAIR_NONE, CN_DO_END,
     "only the client can do something about it"},
    {ON_WRONG, "tool_use_failed|failed_generation|failed to parse tool call", NULL,
     CN_CLASS_MALFORMED_STREAM, CN_SCOPE_MODEL, CN_REPAIR_NONE, 0,
     "the model wrote a broken tool call"},
    /* an unknown model; before the fields, which also are "not supported" */
    {ON_WRONG | CN_ON_404,
     "model_not_found|model_not_supported|invalid_model|unknown model|invalid model|"
     "model identifier is invalid|not a valid model|deploymentnotfound|no endpoints found|"
     "{model}~not found|{model}~not exist|{model}~is not supported when|"
     "requested model is not supported|supported api model names|model id~isn't supported|"
     "end of its life|model use case details|no models loaded|model unloaded|"
     "{models/~not found|on-demand throughput|{model}~is not available|"
     "{model}~has been deprecated|not_found_error&model:",
     NULL, CN_CLASS_NOT_FOUND_MODEL, CN_SCOPE_MODEL, CN_REPAIR_NONE, 0, "unknown model"},
    /* a 404 is either this or a wrong URL */
    {CN_ON_404,
     "model&not_found|model&not exist|model&not supported|model&invalid|model&unknown",
     "invalid url|unknown request url|no route", CN_CLASS_NOT_FOUND_MODEL, CN_SCOPE_MODEL,
     CN_REPAIR_NONE, 0, "unknown model"},
    /* what came into the format later than the backend */
    {ON_WRONG,
     "messages*role: input should be|unexpected role|messages*unknown variant|"
     "messages*input tag*does not match|messages*output_config: extra inputs|"
     "role~{system}~not|{system}_role~not|invalid role~{system}|{defer_loading}|"
     "{tool_reference}|roles must alternate|{system} message must be at|jinja exception",
     NULL, CN_CLASS_INVALID_REQUEST, CN_SCOPE_NONE, CN_REPAIR_PLAIN,
     CN_DO_END_OWN | CN_DO_NO_REPAIR,
     "a part of the format that this backend does not know"},
    {ON_WRONG,
     "extra inputs are not permitted|unsupported parameter|unsupported_parameter|"
     "unsupported value|unsupported_value|unrecognized request argument|unknown field|"
     "unknown parameter|is not supported|property*is unsupported|invalid beta|"
     "unexpected value*anthropic-beta|extra_forbidden",
     NULL, CN_CLASS_INVALID_REQUEST, CN_SCOPE_NONE, CN_REPAIR_FIELD,
     CN_DO_END_OWN | CN_DO_NO_REPAIR, "a field that this backend does not take"},
    {ON_WRONG,
     "tool_use? ids were found without|tool_call_id|schema|"
     "invalid_function_parameters|tool call result does not follow",
     NULL, CN_CLASS_INVALID_REQUEST, CN_SCOPE_NONE, CN_REPAIR_NONE, CN_DO_END_OWN,
     "the conversation is not in the order that this backend wants"},
    /* a busy provider under another status */
    {ON_LIMIT, "overloaded|high demand|model is busy|modelnotready|model is not ready",
     NULL, CN_CLASS_OVERLOADED, CN_SCOPE_MODEL, CN_REPAIR_NONE, 0, "no capacity"},
    {CN_ON_NONE, "rate_limit|too many requests|throttl|resource_exhausted|rate limit", NULL,
     CN_CLASS_RATE_LIMITED, CN_SCOPE_KEY_MODEL, CN_REPAIR_NONE, 0, "rate limit"},
    {CN_ON_500,
     "context size|context length|context window|n_ctx|kv cache|exceed_context|"
     "out of context|context is full|context_shift|" OVERFLOW_WORDS,
     "context deadline|context cancel|" VETO_WORDS, CN_CLASS_CONTEXT_OVERFLOW,
     CN_SCOPE_NONE, CN_REPAIR_NONE, 0, "prompt too long"},
    {CN_ON_500, "jinja", NULL, CN_CLASS_INVALID_REQUEST, CN_SCOPE_NONE, CN_REPAIR_PLAIN, 0,
     "the chat template does not take the conversation"},
    {CN_ON_500, "overloaded|{capacity}", NULL, CN_CLASS_OVERLOADED, CN_SCOPE_MODEL,
     CN_REPAIR_NONE, 0, "no capacity"},
    {CN_ON_503, "loading model", NULL, CN_CLASS_OVERLOADED, CN_SCOPE_MODEL, CN_REPAIR_NONE,
     CN_DO_LOADING, "the model is being loaded"},
    {CN_ON_503, "rate_limit|too many requests|throttl|quota", NULL, CN_CLASS_RATE_LIMITED,
     CN_SCOPE_KEY_MODEL, CN_REPAIR_NONE, 0, "rate limit"},
    {CN_ON_HTML_413, "", NULL, CN_CLASS_CONTEXT_OVERFLOW, CN_SCOPE_BACKEND, CN_REPAIR_NONE,
     0, "body too large"},
};

/* Words of overflow in a text about limits on time. */
static const struct cn_rule *vetoed(const struct cn_rule *r, struct cn_view text)
{
	static const struct cn_rule quota = {.class = CN_CLASS_QUOTA_EXHAUSTED,
	                                     .scope = CN_SCOPE_ACCOUNT,
	                                     .reason = "plan limit"};
	static const struct cn_rule rate = {.class = CN_CLASS_RATE_LIMITED,
	                                    .scope = CN_SCOPE_KEY_MODEL,
	                                    .reason = "rate limit"};

	if (!(r->todo & CN_DO_VETO) || !cn_pattern__match(VETO_WORDS, text, NULL))
		return r;
	return cn_pattern__match("quota", text, NULL) ? &quota : &rate;
}

const struct cn_rule *cn_rule__find(unsigned on, struct cn_view text)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct cn_rule *r = &rules[i];

		if ((r->on & on) && cn_pattern__match(r->pattern, text, NULL) &&
		    !(r->unless && cn_pattern__match(r->unless, text, NULL)) &&
		    (!(r->todo & CN_DO_TPM) || cn_hint__over_limit(text)))
			return vetoed(r, text);
	}
	return NULL;
}

/* ---- status ---- */

struct status_rule {
	int from, to;
	struct cn_rule rule;
};

#define STATUS(from, to, class, scope, todo, reason)                                       \
	{                                                                                  \
		from, to,                                                                  \
		{                                                                          \
			0, NULL, NULL, CN_CLASS_##class, CN_SCOPE_##scope, CN_REPAIR_NONE, \
			    todo, reason                                                   \
		}                                                                          \
	}

static const struct status_rule statuses[] = {
    STATUS(0, 199, SERVER_ERROR, MODEL, 0, "an error without a status"),
    STATUS(200, 299, MALFORMED_STREAM, MODEL, 0, "an answer that is none"),
    STATUS(300, 399, MISCONFIGURED, BACKEND, 0, "a redirect, never followed"),
    STATUS(400, 400, INVALID_REQUEST, NONE, CN_DO_END_OWN, "the request was refused"),
    STATUS(401, 401, AUTH, KEY, 0, "the key was refused"),
    STATUS(402, 402, BILLING, ACCOUNT, 0, "payment required"),
    STATUS(403, 403, AUTH, KEY_MODEL, 0, "not allowed with this key"),
    STATUS(404, 404, MISCONFIGURED, BACKEND, 0, "nothing at this URL"),
    STATUS(405, 405, MISCONFIGURED, BACKEND, 0, "nothing at this URL"),
    STATUS(408, 408, TIMEOUT_FIRST_BYTE, MODEL, 0, "the backend waited too long"),
    STATUS(409, 409, SERVER_ERROR, MODEL, 0, "conflict"),
    STATUS(410, 410, NOT_FOUND_MODEL, MODEL, 0, "gone"),
    STATUS(412, 412, BILLING, ACCOUNT, 0, "the account is suspended"),
    STATUS(413, 413, CONTEXT_OVERFLOW, NONE, 0, "prompt too long"),
    STATUS(424, 425, SERVER_ERROR, MODEL, 0, "the model failed"),
    STATUS(429, 429, RATE_LIMITED, KEY_MODEL, 0, "rate limit"),
    STATUS(434, 434, AUTH, KEY, 0, "the key was refused"),
    STATUS(498, 498, OVERLOADED, MODEL, 0, "no capacity"),
    STATUS(499, 499, SERVER_ERROR, MODEL, 0, "cut off upstream"),
    STATUS(406, 499, INVALID_REQUEST, NONE, CN_DO_END_OWN, "the request was refused"),
    STATUS(503, 503, OVERLOADED, MODEL, 0, "not available now"),
    STATUS(504, 504, TIMEOUT_FIRST_BYTE, MODEL, 0, "the backend's own gateway gave up"),
    STATUS(529, 529, OVERLOADED, MODEL, 0, "overloaded"),
    STATUS(500, 1000, SERVER_ERROR, MODEL, 0, "the backend failed"),
};

const struct cn_rule *cn_rule__status(int status)
{
	size_t i = 0;

	while (status < statuses[i].from || status > statuses[i].to) {
		if (++i == sizeof(statuses) / sizeof(statuses[0]))
			return &statuses[0].rule;
	}
	return &statuses[i].rule;
}

/* ---- providers' own codes (wire/provider-quirks.md 2) ---- */

#define CODE(from, to, class, scope, reason) STATUS(from, to, class, scope, 0, reason)

/* Strings of four digits in error.code. */
static const struct status_rule error_codes[] = {
    CODE(1000, 1004, AUTH, KEY, "the key was refused"),
    CODE(1110, 1112, AUTH, ACCOUNT, "the account is locked"),
    CODE(1113, 1113, BILLING, ACCOUNT, "no money"),
    CODE(1121, 1121, AUTH, ACCOUNT, "the account is locked"),
    CODE(1211, 1211, NOT_FOUND_MODEL, MODEL, "unknown model"),
    CODE(1220, 1220, AUTH, KEY_MODEL, "not allowed with this key"),
    CODE(1230, 1230, SERVER_ERROR, MODEL, "the backend failed"),
    CODE(1234, 1234, SERVER_ERROR, MODEL, "the backend failed"),
    CODE(1261, 1261, CONTEXT_OVERFLOW, NONE, "prompt too long"),
    CODE(1300, 1301, CONTENT_REFUSAL, NONE, "content refused"),
    CODE(1302, 1303, RATE_LIMITED, KEY_MODEL, "rate limit"),
    CODE(1304, 1304, QUOTA_EXHAUSTED, ACCOUNT, "daily limit"),
    CODE(1305, 1305, RATE_LIMITED, KEY_MODEL, "rate limit"),
    CODE(1308, 1311, QUOTA_EXHAUSTED, ACCOUNT, "plan limit"),
    CODE(1312, 1312, OVERLOADED, MODEL, "model busy"),
    CODE(1313, 1313, RATE_LIMITED, KEY_MODEL, "fair use"),
};

/* Of base_resp.status_code, or in brackets at the end of a message. */
static const struct status_rule base_codes[] = {
    CODE(1000, 1000, SERVER_ERROR, MODEL, "the backend failed"),
    CODE(1001, 1001, TIMEOUT_FIRST_BYTE, MODEL, "the backend waited too long"),
    CODE(1002, 1002, RATE_LIMITED, KEY_MODEL, "rate limit"),
    CODE(1004, 1004, AUTH, KEY, "the key was refused"),
    CODE(1008, 1008, BILLING, ACCOUNT, "no money"),
    CODE(1024, 1024, SERVER_ERROR, MODEL, "the backend failed"),
    CODE(1026, 1027, CONTENT_REFUSAL, NONE, "content refused"),
    CODE(1033, 1033, SERVER_ERROR, MODEL, "the backend failed"),
    CODE(1039, 1039, RATE_LIMITED, KEY_MODEL, "rate limit"),
    CODE(1041, 1041, RATE_LIMITED, KEY_MODEL, "too many connections"),
    CODE(2045, 2045, RATE_LIMITED, KEY_MODEL, "the rate grew too fast"),
    CODE(2049, 2049, AUTH, KEY, "the key was refused"),
    CODE(2056, 2056, QUOTA_EXHAUSTED, ACCOUNT, "plan limit"),
};

static const struct cn_rule *find_code(const struct status_rule *t, size_t n, uint64_t code)
{
	for (size_t i = 0; i < n; i++) {
		if (code >= (uint64_t)t[i].from && code <= (uint64_t)t[i].to)
			return &t[i].rule;
	}
	return NULL;
}

const struct cn_rule *cn_rule__code(uint64_t code, bool base_resp)
{
	if (base_resp)
		return find_code(base_codes, sizeof(base_codes) / sizeof(base_codes[0]),
		                 code);
	return find_code(error_codes, sizeof(error_codes) / sizeof(error_codes[0]), code);
}

int cn_rule__code_status(uint64_t code, bool base_resp)
{
	if (base_resp)
		return code == 2013 ? 400 : 0;
	return code >= 1210 && code <= 1215 ? 400 : 0;
}

/* ---- error types of streams ---- */

int cn_rule__type_status(struct cn_view type)
{
	static const struct {
		const char *type;
		int status;
	} types[] = {
	    {"invalid_request_error", 400},
	    {"authentication_error", 401},
	    {"billing_error", 402},
	    {"permission_error", 403},
	    {"not_found_error", 404},
	    {"conflict_error", 409},
	    {"request_too_large", 413},
	    {"rate_limit_error", 429},
	    {"rate_limit_exceeded", 429},
	    {"insufficient_quota", 429},
	    /* A timeout told inside a stream is a failure like any other of the backend. */
	    {"api_error", 500},
	    {"timeout_error", 500},
	    {"server_error", 500},
	    {"overloaded_error", 529},
	    {"engine_overloaded_error", 529},
	    {"unavailable_error", 503},
	    {"validationException", 400},
	    {"ValidationException", 400},
	    {"accessDeniedException", 403},
	    {"AccessDeniedException", 403},
	    {"resourceNotFoundException", 404},
	    {"ResourceNotFoundException", 404},
	    {"throttlingException", 429},
	    {"ThrottlingException", 429},
	    {"modelStreamErrorException", 424},
	    {"modelTimeoutException", 500},
	    {"internalServerException", 500},
	    {"serviceUnavailableException", 503},
	    {"ServiceUnavailableException", 503},
	};
	uint64_t number;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (cn_view_is(type, types[i].type))
			return types[i].status;
	}
	if (cn_view_u64(type, &number) && number >= 300 && number < 600)
		return (int)number;
	return 0;
}
