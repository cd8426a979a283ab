/*
 * The policy language as tables: each key with its type, field, bounds, default and one
 * sentence.  Parser, printer and JSON Schema are all made from these rows, and design's
 * "All keys" is the list they are held to.
 *
 * Constant data only; no code.
 */
#include <limits.h>
#include <stddef.h>

#include "config_impl.h"

#include "continuo/log.h"
#include "continuo/message.h"

#define FIELD(type, f) .at = offsetof(struct type, f), .size = sizeof(((struct type *)0)->f)
#define LIST(type, f, n) \
	.at = offsetof(struct type, f), .count_at = offsetof(struct type, n)
#define ROWS(a) (a), sizeof(a) / sizeof *(a), false

#define SECOND (1000ULL)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define KIB    (1024ULL)
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)

/* ---- words ---- */

static const struct cn_word wires[] = {
    {"anthropic", CN_WIRE_ANTHROPIC, "Anthropic Messages"},
    {"openai-chat", CN_WIRE_OPENAI_CHAT, "OpenAI Chat Completions"},
    {NULL, 0, NULL}};

static const struct cn_word auths[] = {
    {"x-api-key", CN_AUTH_X_API_KEY, "x-api-key: KEY"},
    {"bearer", CN_AUTH_BEARER, "authorization: Bearer KEY"},
    {"api-key", CN_AUTH_API_KEY, "api-key: KEY"},
    {NULL, 0, NULL}};

static const struct cn_word rotations[] = {
    {"fill_first", CN_ROTATE_FILL_FIRST, "the first key until it is exhausted"},
    {"round_robin", CN_ROTATE_ROUND_ROBIN, "each turn the next key"},
    {"least_used", CN_ROTATE_LEAST_USED, "the key that served least"},
    {NULL, 0, NULL}};

static const struct cn_word networks[] = {
    {"public", CN_NETWORK_PUBLIC, "no private, loopback or link-local address"},
    {"private", CN_NETWORK_PRIVATE, "any address"},
    {NULL, 0, NULL}};

static const struct cn_word model_continuations[] = {
    {"instruct", CN_CONTINUE_INSTRUCT, "a user message asks to go on"},
    {"prefill", CN_CONTINUE_PREFILL, "the partial answer is the last message"},
    {"restart", CN_CONTINUE_RESTART, "a new answer in a new block"},
    {"off", CN_CONTINUE_OFF, "end with an error"},
    {NULL, 0, NULL}};

static const struct cn_word continuations[] = {
    {"auto", CN_CONTINUE_AUTO, "the model's own"},
    {"instruct", CN_CONTINUE_INSTRUCT, "a user message asks to go on"},
    {"restart", CN_CONTINUE_RESTART, "a new answer in a new block"},
    {"off", CN_CONTINUE_OFF, "end with an error"},
    {NULL, 0, NULL}};

static const struct cn_word tool_formats[] = {
#define X(name, looks) {name, 0, looks},
    CN_TOOL_FORMATS(X)
#undef X
	{NULL, 0, NULL}};

static const struct cn_word quirks[] = {
#define X(symbol, name, meaning) {name, CN_QUIRK_##symbol, meaning},
    CN_QUIRKS(X)
#undef X
	{NULL, 0, NULL}};

static const struct cn_word callers[] = {
    {"main", CN_CALLER_MAIN, "the main agent"},
    {"subagent", CN_CALLER_SUBAGENT, "a subagent"},
    {"side", CN_CALLER_SIDE, "titles, web search and the like"},
    {NULL, 0, NULL}};

static const struct cn_word efforts[] = {{"low", 0, ""},  {"medium", 0, ""},
                                         {"high", 0, ""}, {"xhigh", 0, ""},
                                         {"max", 0, ""},  {NULL, 0, NULL}};

/* `ok` and `cancelled` are no failures: fallback.on does not name them. */
static const struct cn_word classes_all[] = {
#define X(symbol, name) {name, CN_CLASS_##symbol, ""},
    CN_CLASSES(X)
#undef X
	{NULL, 0, NULL}};

static const struct cn_word tool_call_ways[] = {
    {"held", 0, "until they are whole"}, {"live", 1, "as they arrive"}, {NULL, 0, NULL}};
static const struct cn_word reports[] = {{"requested", 0, "the model asked for"},
                                         {"answered", 1, "the model that answered"},
                                         {NULL, 0, NULL}};
static const struct cn_word tls_ways[] = {{"terminated", 1, "a proxy in front does TLS"},
                                          {NULL, 0, NULL}};
static const struct cn_word thens[] = {
    {"warn", CN_BUDGET_WARN, "say so"},
    {"degrade", CN_BUDGET_DEGRADE, "go on further down the chain"},
    {"stop", CN_BUDGET_STOP, "refuse"},
    {NULL, 0, NULL}};
static const struct cn_word logs[] = {
    {"text", 0, "for people"}, {"json", 1, "for programs"}, {NULL, 0, NULL}};
static const struct cn_word log_levels[] = {{"error", CN_LOG_ERROR, ""},
                                            {"warning", CN_LOG_WARNING, ""},
                                            {"info", CN_LOG_INFO, ""},
                                            {"debug", CN_LOG_DEBUG, ""},
                                            {NULL, 0, NULL}};

/* ---- backends ---- */

static const struct cn_row backend_rows[] = {
    {"preset", &cn_type_text, FIELD(cn_backend, preset), .max = CN_CONFIG_NAME_MAX,
     .text = "An entry of the catalogue or of presets, from which all else here has its "
             "default."},
    {"wire", &cn_type_word, FIELD(cn_backend, wire), .words = wires,
     .normal = "the preset's", .text = "The format that the backend speaks."},
    {"url", &cn_type_url, FIELD(cn_backend, url), .normal = "the preset's",
     .text = "Its base URL, with or without /v1 at the end."},
    {"headers", &cn_type_headers, LIST(cn_backend, headers, n_headers),
     .normal = "the preset's",
     .text = "Fixed header fields for every request; no secrets."},
    {"quirks", &cn_type_set, FIELD(cn_backend, quirks), .words = quirks,
     .normal = "the preset's", .text = "How it deviates from the format."},
    {"key", &cn_type_keys, LIST(cn_backend, keys, n_keys), .normal = "none",
     .text = "Whose key it gets: client (the client's own), none, vault:NAME, or a list to "
             "rotate."},
    {"rotate", &cn_type_word, FIELD(cn_backend, rotate), .words = rotations,
     .normal = "fill_first", .text = "Which of several keys comes first."},
    {"network", &cn_type_word, FIELD(cn_backend, network), .words = networks,
     .normal = "private where the URL names a private address, else public",
     .text = "Which addresses its name may resolve to."},
    {"plaintext", &cn_type_bool, FIELD(cn_backend, plaintext), .normal = "false",
     .text = "Allows http to another machine, without a key."},
    {"proxy", &cn_type_proxy, .normal = "none",
     .text = "none, env (the usual variables) or the URL of a proxy."},
};
const struct cn_table cn_config__backend_table = {"a backend", ROWS(backend_rows)};

/* ---- models ---- */

static const struct cn_row price_rows[] = {
    {"input", &cn_type_money, FIELD(cn_price, input), .required = true,
     .text = "US dollars per million input tokens."},
    {"output", &cn_type_money, FIELD(cn_price, output), .required = true,
     .text = "US dollars per million output tokens."},
    {"cache_read", &cn_type_money, FIELD(cn_price, cache_read), .normal = "0",
     .text = "US dollars per million tokens read from a prompt cache."},
    {"cache_write", &cn_type_money, FIELD(cn_price, cache_write), .normal = "0",
     .text = "US dollars per million tokens written to a prompt cache."},
    {"date", &cn_type_date, FIELD(cn_price, date),
     .text = "The day on which these prices were looked up."},
};
static const struct cn_table price_table = {"a price", ROWS(price_rows)};

/* The first two are of a policy's model alone, the last of policies, not of presets. */
static const struct cn_row model_rows[] = {
    {"backend", &cn_type_backend_ref, .required = true,
     .text = "The backend that serves it."},
    {"id", &cn_type_id, FIELD(cn_model, id), .max = 200, .required = true,
     .text = "Its id there, or client: whatever the client asked for."},
    {"quirks", &cn_type_more, FIELD(cn_model, quirks), .words = quirks,
     .normal = "none but its backend's and the catalogue's",
     .text = "How it deviates from the format, besides what is known already."},
    {"drop_fields", &cn_type_fields, LIST(cn_model, drop_fields, n_drop_fields),
     .normal = "none but its preset's",
     .text = "More members of the request that it is never sent."},
    {"add_fields", &cn_type_add_fields, LIST(cn_model, add_fields, n_add_fields),
     .normal = "none but its preset's",
     .text = "More members that its requests get, in place of the client's of that name."},
    {"context", &cn_type_tokens, FIELD(cn_model, context), .min = 1, .max = 100000000,
     .normal = "the catalogue's, else learned", .text = "Its context window."},
    {"max_output", &cn_type_tokens, FIELD(cn_model, max_output), .min = 1, .max = 100000000,
     .normal = "the catalogue's, else learned",
     .text = "The most that it writes in one answer."},
    {"continuation", &cn_type_word, FIELD(cn_model, continuation),
     .words = model_continuations, .normal = "the catalogue's, else instruct",
     .text = "How it goes on with an answer that broke off."},
    {"thinking", &cn_type_bool, FIELD(cn_model, thinking),
     .normal = "the catalogue's, else true on anthropic", .text = "Whether it can think."},
    {"images", &cn_type_bool, FIELD(cn_model, images),
     .normal = "the catalogue's, else true on anthropic",
     .text = "Whether it takes images."},
    {"server_tools", &cn_type_bool, FIELD(cn_model, server_tools),
     .normal = "the catalogue's, else true on anthropic",
     .text = "Whether its provider runs tools itself (web search, code execution)."},
    {"tools", &cn_type_tools, FIELD(cn_model, tools), .max = 10000,
     .normal = "the catalogue's, else true",
     .text = "Whether it takes tools, or the most that it takes."},
    {"max_body", &cn_type_size, FIELD(cn_model, max_body), .min = 1, .max = GIB,
     .normal = "the catalogue's, else none", .text = "The largest request that it takes."},
    {"stream", &cn_type_stream, FIELD(cn_model, stream),
     .normal = "the catalogue's, else always",
     .text = "When to ask it for a stream; what the client asks for is its own matter.  A "
             "whole answer may take ten times first_byte_timeout."},
    {"tool_format", &cn_type_word_text, FIELD(cn_model, tool_format), .words = tool_formats,
     .normal = "the catalogue's, else none",
     .text = "The family whose tool calls arrive as text."},
    {"smooth", &cn_type_bool, FIELD(cn_model, smooth), .normal = "false",
     .text =
         "Tells text that arrives in large pieces in small ones, at most a second later."},
    {"price", &cn_type_price, FIELD(cn_model, price), .table = &price_table,
     .normal = "the catalogue's", .text = "What it costs, in US dollars."},
    {"prompt", &cn_type_prompt, FIELD(cn_model, prompt),
     .text = "A file that goes before, after or in place of the client's system prompt, "
             "where the route has none."},
};
enum {
	CN_MODEL_ROWS = sizeof model_rows / sizeof *model_rows
};
const struct cn_table cn_config__model_table = {"a model", ROWS(model_rows)};
const struct cn_table cn_config__override_table = {"a model's keys", model_rows + 1,
                                                   CN_MODEL_ROWS - 1, true};
const struct cn_table cn_config__preset_model_table = {"a preset's model", model_rows + 2,
                                                       CN_MODEL_ROWS - 3, true};

/* ---- presets ---- */

static const struct cn_row preset_rows[] = {
    {"title", &cn_type_text, FIELD(cn_config_preset, title), .max = 80,
     .text = "What people call the provider."},
    {"like", &cn_type_preset_ref, .max = CN_CONFIG_NAME_MAX,
     .text = "A preset that stands before it: what is not said here is as there."},
    {"wire", &cn_type_word, FIELD(cn_config_preset, backend.wire), .words = wires,
     .normal = "anthropic", .text = "The format that it speaks."},
    {"url", &cn_type_url, FIELD(cn_config_preset, backend.url),
     .text = "Its base URL; without one the backend has to name it."},
    {"auth", &cn_type_word, FIELD(cn_config_preset, backend.auth), .words = auths,
     .normal = "x-api-key", .text = "How a key is written into the request."},
    {"headers", &cn_type_headers,
     LIST(cn_config_preset, backend.headers, backend.n_headers),
     .text = "Fixed header fields for every request; no secrets."},
    {"quirks", &cn_type_more, FIELD(cn_config_preset, backend.quirks), .words = quirks,
     .text = "How it deviates from the format."},
    {"drop_fields", &cn_type_fields,
     LIST(cn_config_preset, backend.drop_fields, backend.n_drop_fields),
     .text = "Members of the request that are never sent there."},
    {"add_fields", &cn_type_add_fields,
     LIST(cn_config_preset, backend.add_fields, backend.n_add_fields),
     .text = "Members that every request gets, in place of the client's of that name."},
    {"keep_betas", &cn_type_fields,
     LIST(cn_config_preset, backend.keep_betas, backend.n_keep_betas), .normal = "all",
     .text = "The values of anthropic-beta that it knows."},
    {"drop_betas", &cn_type_bool, FIELD(cn_config_preset, backend.drop_betas),
     .normal = "false", .text = "Sends no anthropic-beta at all."},
    {"checks_signatures", &cn_type_bool, FIELD(cn_config_preset, backend.checks_signatures),
     .normal = "false", .text = "Refuses thinking blocks that it did not sign."},
    {"count_tokens", &cn_type_bool, FIELD(cn_config_preset, backend.count_tokens),
     .normal = "false", .text = "Has /v1/messages/count_tokens."},
    {"models", &cn_type_preset_models, .table = &cn_config__preset_model_table,
     .text = "What is known of its models, by id or glob; all that match apply, in order."},
};
const struct cn_table cn_config__preset_table = {"a preset", ROWS(preset_rows)};

/* ---- fallback, chains, routes ---- */

static const struct cn_row fallback_rows[] = {
    {"on", &cn_type_set, FIELD(cn_fallback, on), .words = classes_all + 2,
     .normal = "all but content_refusal, loop and damaged",
     .text = "The classes of failure for which another candidate is tried."},
    {"connect_timeout", &cn_type_time, FIELD(cn_fallback, connect_timeout_ms), .min = 1,
     .max = HOUR, .normal = "10s", .text = "For DNS, TCP and TLS."},
    {"first_byte_timeout", &cn_type_time, FIELD(cn_fallback, first_byte_timeout_ms),
     .min = 1, .max = HOUR, .normal = "30s", .text = "Until the first event but pings."},
    {"idle_timeout", &cn_type_time, FIELD(cn_fallback, idle_timeout_ms), .min = 1,
     .max = HOUR, .normal = "60s", .text = "The longest silence inside an answer."},
    {"progress_timeout", &cn_type_time, FIELD(cn_fallback, progress_timeout_ms), .min = 1,
     .max = 6 * HOUR, .normal = "5 x idle_timeout",
     .text = "The longest time with nothing but pings."},
    {"attempt_timeout", &cn_type_time, FIELD(cn_fallback, attempt_timeout_ms), .min = 1,
     .max = DAY, .normal = "30m", .text = "For one attempt as a whole."},
    {"hold_thinking", &cn_type_time, FIELD(cn_fallback, hold_thinking_ms), .max = HOUR,
     .normal = "20s", .text = "How long thinking is held back before it is passed on."},
    {"hold_ping_after", &cn_type_time, FIELD(cn_fallback, hold_ping_after_ms), .min = 1,
     .max = HOUR, .normal = "by the client",
     .text = "When a stream is opened early, so that the client does not give up."},
    {"max_wait", &cn_type_time, FIELD(cn_fallback, max_wait_ms), .max = 30 * DAY,
     .also = "forever", .also_value = CN_FOREVER, .normal = "60s",
     .text = "How long to wait for a candidate when all are cooling down."},
    {"orphan_grace", &cn_type_time, FIELD(cn_fallback, orphan_grace_ms), .max = HOUR,
     .normal = "30s", .text = "How long an answer is drained after its client is gone."},
    {"failback", &cn_type_failback, FIELD(cn_fallback, failback), .min = SECOND,
     .max = 30 * DAY, .normal = "next_turn",
     .text = "When a thread goes back to the preferred model."},
    {"continuation", &cn_type_word, FIELD(cn_fallback, continuation),
     .words = continuations, .normal = "auto",
     .text = "How another model goes on with an answer that broke off."},
    {"tool_calls", &cn_type_word, FIELD(cn_fallback, tool_calls_live),
     .words = tool_call_ways, .normal = "held",
     .text = "Whether tool calls reach the client whole or as they arrive."},
    {"report_model", &cn_type_word, FIELD(cn_fallback, report_answered), .words = reports,
     .normal = "requested", .text = "Which model message.model names."},
    {"loop_limit", &cn_type_count, FIELD(cn_fallback, loop_limit), .min = 1, .max = 1000,
     .normal = "8", .text = "How often the same call in a row is no loop yet."},
    {"hedge_after", &cn_type_time, FIELD(cn_fallback, hedge_after_ms), .min = 1,
     .max = HOUR, .also = "off", .also_value = CN_FOREVER, .normal = "off",
     .text = "When a second attempt is started beside a slow one."},
};
const struct cn_table cn_config__fallback_table = {"fallback", ROWS(fallback_rows)};

static const struct cn_row chain_rows[] = {
    {"models", &cn_type_members, .required = true, .text = "The models, in order."},
    {"fallback", &cn_type_inherited, .table = &cn_config__fallback_table,
     .text = "What differs from the policy's fallback."},
};
const struct cn_table cn_config__chain_table = {"a chain", ROWS(chain_rows)};

static const struct cn_row when_rows[] = {
    {"model", &cn_type_globs, LIST(cn_when, models, n_models), .max = 200,
     .text = "Globs, one of which the requested model matches."},
    {"owner", &cn_type_globs, LIST(cn_when, owners, n_owners), .max = 200,
     .text = "Globs, one of which the owner of the client's token matches."},
    {"context_over", &cn_type_tokens, FIELD(cn_when, context_over), .min = 1,
     .max = 100000000, .text = "The request is estimated at more tokens."},
    {"context_under", &cn_type_tokens, FIELD(cn_when, context_under), .min = 1,
     .max = 100000000, .text = "The request is estimated at fewer tokens."},
    {"thinking", &cn_type_tristate, FIELD(cn_when, thinking),
     .text = "Whether thinking is asked for."},
    {"images", &cn_type_tristate, FIELD(cn_when, images),
     .text = "Whether there are images in it."},
    {"tools", &cn_type_tristate, FIELD(cn_when, tools),
     .text = "Whether tools are declared."},
    {"caller", &cn_type_word, FIELD(cn_when, caller), .words = callers,
     .text = "Who asks: the main agent, a subagent or a side request."},
    {"header", &cn_type_header_globs, LIST(cn_when, headers, n_headers),
     .text = "Globs for the values of request headers."},
    {"time", &cn_type_clock, FIELD(cn_when, from_minute), .text = "Local time of day."},
};
static const struct cn_table when_table = {"when", ROWS(when_rows)};

static const struct cn_row route_rows[] = {
    {"when", &cn_type_section, FIELD(cn_route, when), .table = &when_table,
     .normal = "every request", .text = "What must hold of a request, all of it."},
    {"use", &cn_type_use, .required = true, .text = "A chain, or a list of models."},
    {"fallback", &cn_type_inherited, .table = &cn_config__fallback_table,
     .text = "What differs from the chain's fallback."},
    {"prompt", &cn_type_prompt, FIELD(cn_route, prompt),
     .text = "A file that goes before, after or in place of the client's system prompt, "
             "whatever the model's own is."},
    {"max_tokens", &cn_type_tokens, FIELD(cn_route, max_tokens), .min = 1, .max = 100000000,
     .text = "In place of the client's max_tokens."},
    {"effort", &cn_type_word_text, FIELD(cn_route, effort), .words = efforts,
     .text = "In place of the client's effort."},
    {"models", &cn_type_overrides, .table = &cn_config__override_table,
     .text = "Keys of the chain's models that differ on this route."},
};
const struct cn_table cn_config__route_table = {"a route", ROWS(route_rows)};

/* ---- the policy ---- */

static const struct cn_row client_rows[] = {
    {"model", &cn_type_text, FIELD(cn_policy, client_model), .max = 200,
     .text = "ANTHROPIC_MODEL for clients that have none."},
    {"env", &cn_type_env, LIST(cn_policy, client_env, n_client_env),
     .text = "Variables for clients that have them unset."},
};
static const struct cn_table client_table = {"client", ROWS(client_rows)};

static const struct cn_row history_rows[] = {
    {"enabled", &cn_type_bool, FIELD(cn_policy, history), .normal = "true",
     .text = "Whether conversations are stored."},
    {"retention", &cn_type_time, FIELD(cn_policy, retention_ms), .min = MINUTE,
     .max = 36500 * DAY, .normal = "30d", .text = "How long."},
    {"max_size", &cn_type_size, FIELD(cn_policy, history_max_size), .min = 16 * MIB,
     .max = 16384 * GIB, .normal = "10GiB", .text = "How much, at most."},
    {"network_fs", &cn_type_bool, FIELD(cn_policy, history_network_fs), .normal = "false",
     .text = "Allows a network file system for it."},
};
static const struct cn_table history_table = {"history", ROWS(history_rows)};

/* design/security.md 7 */
static const struct cn_row limits_rows[] = {
    {"connections", &cn_type_count, FIELD(cn_limits, connections), .min = 1, .max = 65536,
     .normal = "512", .text = "Client connections in all."},
    {"connections_per_token", &cn_type_count, FIELD(cn_limits, connections_per_token),
     .min = 1, .max = 65536, .normal = "64", .text = "Client connections of one token."},
    {"turns", &cn_type_count, FIELD(cn_limits, turns), .min = 1, .max = 32768,
     .normal = "128", .text = "Turns in flight in all."},
    {"turns_per_token", &cn_type_count, FIELD(cn_limits, turns_per_token), .min = 1,
     .max = 32768, .normal = "32", .text = "Turns in flight of one token."},
    {"request_body", &cn_type_size, FIELD(cn_limits, request_body), .min = MIB,
     .max = 256 * MIB, .normal = "40MiB", .text = "The largest request."},
    {"memory_limit", &cn_type_size, FIELD(cn_limits, memory_limit), .min = 64 * MIB,
     .max = 1024 * GIB, .normal = "1GiB", .text = "The router's own memory."},
    {"drain", &cn_type_time, FIELD(cn_limits, drain_ms), .max = 30 * MINUTE,
     .normal = "120s", .text = "How long turns may end after SIGTERM."},
};
static const struct cn_table limits_table = {"limits", ROWS(limits_rows)};

static const struct cn_row budget_rows[] = {
    {"money", &cn_type_money, FIELD(cn_budget, money), .normal = "none",
     .text = "US dollars."},
    {"tokens", &cn_type_tokens, FIELD(cn_budget, tokens), .min = 1, .normal = "none",
     .text = "Tokens, in and out."},
    {"then", &cn_type_word, FIELD(cn_budget, then), .words = thens, .normal = "warn",
     .text =
         "What happens when it is used up: warn only says so; degrade leaves the first "
         "model of the chain out, at twice the budget the second too, but never the last; "
         "stop refuses requests."},
};
static const struct cn_table budget_table = {"a budget", ROWS(budget_rows)};

static const struct cn_row budgets_rows[] = {
    {"session", &cn_type_budget, FIELD(cn_policy, budget_session), .table = &budget_table,
     .text = "For one session, from its beginning."},
    {"token", &cn_type_budget, FIELD(cn_policy, budget_token), .table = &budget_table,
     .text =
         "For one client token and day, where `token add` gave it no limit of its own."},
    {"day", &cn_type_budget, FIELD(cn_policy, budget_day), .table = &budget_table,
     .text = "For one day in all."},
};
static const struct cn_table budgets_table = {"budgets", ROWS(budgets_rows)};

static const struct cn_row tokens_rows[] = {
    {"requests_per_minute", &cn_type_count, FIELD(cn_policy, requests_per_minute), .min = 1,
     .max = 1000000, .normal = "none",
     .text = "For tokens that were given no limit of their own."},
};
static const struct cn_table tokens_table = {"tokens", ROWS(tokens_rows)};

static const struct cn_row vault_rows[] = {
    {"key_file", &cn_type_path, FIELD(cn_policy, vault_key_file), .max = 4000,
     .normal = "the usual place", .text = "The file whose 32 bytes open the vault."},
    {"require_mlock", &cn_type_bool, FIELD(cn_policy, require_mlock), .normal = "false",
     .text = "Refuses to start when secrets could be swapped to disk."},
};
static const struct cn_table vault_table = {"vault", ROWS(vault_rows)};

static const struct cn_row observability_rows[] = {
    {"log", &cn_type_word, FIELD(cn_policy, log_json), .words = logs, .normal = "text",
     .text = "The form of the log."},
    {"log_level", &cn_type_word, FIELD(cn_policy, log_level), .words = log_levels,
     .normal = "info", .text = "The least important lines that are written."},
    {"otlp", &cn_type_collector, FIELD(cn_policy, otlp),
     .text = "The URL of an OTLP/HTTP collector."},
};
static const struct cn_table observability_table = {"observability",
                                                    ROWS(observability_rows)};

static const struct cn_row policy_rows[] = {
    {"include", &cn_type_include, .max = CN_CONFIG_MAX_INCLUDES,
     .text = "More files, below this file's directory."},
    {"listen", &cn_type_listen, LIST(cn_policy, listen, n_listen),
     .normal = "127.0.0.1:4141", .text = "Where clients connect: HOST:PORT or unix:PATH."},
    {"names", &cn_type_hosts, LIST(cn_policy, names, n_names), .max = 255,
     .text = "More host names that are ours."},
    {"tls", &cn_type_word, FIELD(cn_policy, tls_terminated), .words = tls_ways,
     .text = "Says that a proxy in front does TLS; needed to listen beyond this machine."},
    {"workers", &cn_type_count, FIELD(cn_policy, workers), .min = 1, .max = 1024,
     .normal = "cores, at most 4", .text = "Threads that serve turns."},
    {"client_key_origins", &cn_type_origins,
     LIST(cn_policy, client_key_origins, n_client_key_origins),
     .normal = "https://api.anthropic.com",
     .text = "More origins to which the client's own credential may go."},
    {"client", &cn_type_section, .table = &client_table,
     .text = "What clients are told by run and env."},
    {"presets", &cn_type_presets, .table = &cn_config__preset_table,
     .text = "Providers of one's own, in the catalogue's form."},
    {"backends", &cn_type_backends, .required = true, .table = &cn_config__backend_table,
     .text = "Endpoints and their keys."},
    {"models", &cn_type_models, .required = true, .table = &cn_config__model_table,
     .text = "Models on backends."},
    {"chains", &cn_type_chains, .table = &cn_config__chain_table,
     .text = "Models in the order in which they are tried."},
    {"routes", &cn_type_routes, .required = true, .table = &cn_config__route_table,
     .text = "Which requests use which chain; the first that matches wins."},
    {"fallback", &cn_type_section, FIELD(cn_policy, fallback),
     .table = &cn_config__fallback_table, .text = "When and how another model takes over."},
    {"history", &cn_type_section, .table = &history_table,
     .text = "The stored conversations."},
    {"limits", &cn_type_section, FIELD(cn_policy, limits), .table = &limits_table,
     .text = "How much the router takes on."},
    {"budgets", &cn_type_section, .table = &budgets_table,
     .text = "How much may be spent."},
    {"tokens", &cn_type_section, .table = &tokens_table, .text = "Client tokens."},
    {"vault", &cn_type_section, .table = &vault_table, .text = "The key vault."},
    {"observability", &cn_type_section, .table = &observability_table,
     .text = "Log and telemetry."},
};
const struct cn_table cn_config__policy_table = {"the policy", ROWS(policy_rows)};
