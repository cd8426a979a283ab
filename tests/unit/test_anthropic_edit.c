/* If this fails, a backend of the Messages format gets a request that it refuses, or one
 * that was changed where nobody asked for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "continuo/anthropic.h"

#define Q(name) ((uint64_t)1 << CN_QUIRK_##name)

/* JSON is written with ' for " here. */
static struct cn_view json(struct cn_arena *a, const char *text)
{
	struct cn_view v = cn_view_str(text);
	char *p = cn_arena_dup(a, v);

	for (size_t i = 0; i < v.n; i++)
		if (p[i] == '\'')
			p[i] = '"';
	return cn_view(p, v.n);
}

static void encode(struct cn_view body, const struct cn_edit *edit, struct cn_buf *ret)
{
	CN_AUTO(cn_arena) a = {0};
	struct cn_error err = {0};
	struct cn_request r;
	struct cn_slices s;

	if (cn_request_read(&a, body, &(struct cn_caller_ids){0}, NULL, &r, &err))
		fail_msg("%.*s: %s", CN_VIEW_ARG(body), err.message);
	s = cn_anthropic_encode_request(&a, &r, edit);
	cn_buf_clear(ret);
	for (size_t i = 0; i < s.n; i++)
		cn_buf_add_view(ret, s.v[i]);
	assert_int_equal(s.bytes, ret->n);
	if (cn_json_check(cn_buf_view(ret), &err))
		fail_msg("%s: %s", cn_buf_cstr(ret), err.message);
}

struct each {
	struct cn_edit edit;
	const char *in, *want; /* NULL: as it came */
};

/* The rest of a request, around what a case is about. */
static struct cn_view around(struct cn_arena *a, const char *part)
{
	return json(a, cn_arena_printf(a, "{'model':'m' ,'x':[ 1.0,'\\u00e9'],%s}", part));
}

/* A case that says no more than quirks is done when it was done once. */
static void check(const struct each *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct each *c = &cases[i];
		CN_AUTO(cn_arena) a = {0};
		CN_AUTO(cn_buf) got = {0}, again = {0};
		struct cn_view want = around(&a, c->want ? c->want : c->in);
		struct cn_edit edit = c->edit;

		edit.keep_stream = true;
		encode(around(&a, c->in), &edit, &got);
		if (!cn_view_eq(cn_buf_view(&got), want))
			fail_msg("case %zu:\n got %s\nwant %.*s", i, cn_buf_cstr(&got),
			         CN_VIEW_ARG(want));
		if (edit.prompt_how != CN_PROMPT_NONE || edit.append.n)
			continue;
		encode(cn_buf_view(&got), &edit, &again);
		assert_string_equal(cn_buf_cstr(&again), cn_buf_cstr(&got));
	}
}
#define CHECK(cases) check(cases, sizeof(cases) / sizeof((cases)[0]))

#define HELLO    "'messages':[{'role':'user','content':'hello'}]"
#define BILLING  "{'type':'text','text':'x-anthropic-billing-header: cc_version=2.1.9.a3f;'}"
#define IDENTITY "{'type':'text','text':'You are X.','cache_control':{'type':'ephemeral'}}"
#define LONG \
	"{'text':'Do \\u0022it\\u0022.','cache_control':{'type':'ephemeral','ttl':'1h'},'type':'text'}"
#define POLICY  "{'type':'text','text':'be\\nbrief'}"
#define PREPEND .prompt_how = CN_PROMPT_PREPEND, .prompt = {"be\nbrief", 8}
#define APPEND  .prompt_how = CN_PROMPT_APPEND, .prompt = {"be\nbrief", 8}
#define REPLACE .prompt_how = CN_PROMPT_REPLACE, .prompt = {"be\nbrief", 8}

static void prompts_go_with_the_clients(void **state)
{
	static const char *const no_system[] = {"system"};
	static const struct each cases[] = {
	    /* blocks */
	    {{PREPEND},
	     "'system':[ " BILLING ", " IDENTITY "," LONG " ]," HELLO,
	     "'system':[" BILLING "," POLICY "," IDENTITY "," LONG "]," HELLO},
	    {{APPEND},
	     "'system':[" BILLING "," IDENTITY "," LONG "]," HELLO,
	     "'system':[" BILLING "," IDENTITY "," LONG "," POLICY "]," HELLO},
	    {{REPLACE},
	     "'system':[" BILLING "," IDENTITY "," LONG "]," HELLO,
	     "'system':[" BILLING ",{'type':'text','text':'be\\nbrief','cache_control':"
	     "{'type':'ephemeral','ttl':'1h'}}]," HELLO},
	    {{REPLACE, .quirks = Q(NO_ATTRIBUTION) | Q(NO_CACHE_CONTROL)},
	     "'system':[" BILLING "," IDENTITY "," LONG "]," HELLO,
	     "'system':[" POLICY "]," HELLO},
	    {{PREPEND, .quirks = Q(NO_ATTRIBUTION)},
	     "'system':[" BILLING "," IDENTITY "]," HELLO,
	     "'system':[" POLICY "," IDENTITY "]," HELLO},
	    {{PREPEND, .quirks = Q(NO_CACHE_CONTROL)},
	     "'system':[" BILLING "," LONG "]," HELLO,
	     "'system':[" BILLING "," POLICY
	     ",{'text':'Do \\u0022it\\u0022.','type':'text'}]," HELLO},
	    /* only the attribution; none; a string; empty; absent; null */
	    {{PREPEND},
	     "'system':[" BILLING "]," HELLO,
	     "'system':[" BILLING "," POLICY "]," HELLO},
	    {{REPLACE}, "'system':[]," HELLO, "'system':[" POLICY "]," HELLO},
	    {{PREPEND},
	     "'system':'You \\u0041re'," HELLO,
	     "'system':[" POLICY ",{'type':'text','text':'You \\u0041re'}]," HELLO},
	    {{APPEND},
	     "'system':'You \\u0041re'," HELLO,
	     "'system':[{'type':'text','text':'You \\u0041re'}," POLICY "]," HELLO},
	    {{REPLACE}, "'system':'You are'," HELLO, "'system':[" POLICY "]," HELLO},
	    {{APPEND}, "'system':''," HELLO, "'system':[" POLICY "]," HELLO},
	    {{PREPEND}, HELLO, HELLO ",'system':[" POLICY "]"},
	    {{APPEND}, "'system':null," HELLO, "'system':[" POLICY "]," HELLO},
	    /* where the policy says that none is sent, none is */
	    {{APPEND, .drop = no_system, .n_drop = 1}, "'system':'x'," HELLO, HELLO},
	    {{APPEND, .drop = no_system, .n_drop = 1}, HELLO, HELLO},
	};

	(void)state;
	CHECK(cases);
}

static void attribution_is_anthropics(void **state)
{
	static const struct each cases[] = {
	    {{.quirks = 0}, "'system':[" BILLING "," LONG " ]," HELLO, NULL},
	    {{.quirks = Q(NO_ATTRIBUTION)},
	     "'system':[ " BILLING " , " IDENTITY "," LONG " ]," HELLO,
	     "'system':[" IDENTITY "," LONG "]," HELLO},
	    {{.quirks = Q(NO_ATTRIBUTION)}, "'system':[" BILLING "]," HELLO, HELLO},
	    {{.quirks = Q(NO_ATTRIBUTION)}, "'system':[ " LONG " ]," HELLO, NULL},
	    {{.quirks = Q(NO_ATTRIBUTION)}, "'system':'a'," HELLO, NULL},
	    {{.quirks = Q(NO_ATTRIBUTION)}, HELLO, NULL},
	};

	(void)state;
	CHECK(cases);
}

#define RED(text) \
	"{'type':'text','text':'<system-reminder>\\n" text "\\n</system-reminder>'}"

static void system_messages_become_reminders(void **state)
{
	static const struct each cases[] = {
	    {{.quirks = Q(NO_SYSTEM_MESSAGES)},
	     "'messages':[ {'role':'user', 'content':'q'},{'role':'assistant','content':'a'} ]",
	     NULL},
	    /* behind the user's own words, whatever the order of the members */
	    {{.quirks = Q(NO_SYSTEM_MESSAGES)},
	     "'messages':[{'role':'user','content':'q\\n'}, {'content':'s\\u0021','output_config':{"
	     "'effort':'low'},'role':'system'},{'role':'assistant','content':'a'}]",
	     "'messages':[{'role':'user','content':[{'type':'text','text':'q\\n'}," RED(
		 "s\\u0021") "]},{'role':'assistant','content':'a'}]"},
	    {{.quirks = Q(NO_SYSTEM_MESSAGES)},
	     "'messages':[{'content':[ {'type':'tool_result','tool_use_id':'t'} , {'type':'text',"
	     "'text':'x'} ],'role':'user'},{'role':'system','content':[{'type':'text','text':'s',"
	     "'cache_control':{'type':'ephemeral'}},{'type':'text','text':''},{'type':'text','text':"
	     "'<system-reminder>t</system-reminder>'}]}]",
	     "'messages':[{'role':'user','content':[{'type':'tool_result','tool_use_id':'t'} , {"
	     "'type':'text','text':'x'},{'type':'text','text':'<system-reminder>\\ns\\n"
	     "</system-reminder>','cache_control':{'type':'ephemeral'}},{'type':'text','text':"
	     "'<system-reminder>t</system-reminder>'}]}]"},
	    /* before them, but not before the results of calls */
	    {{.quirks = Q(NO_SYSTEM_MESSAGES)},
	     "'messages':[{'role':'system','content':'s'},{'role':'user','content':'q'}]",
	     "'messages':[{'role':'user','content':[" RED(
		 "s") ",{'type':'text','text':'q'}]}]"},
	    {{.quirks = Q(NO_SYSTEM_MESSAGES)},
	     "'messages':[{'role':'system','content':'s'},{'role':'system','content':'t'},{'role':"
	     "'user','content':[{'type':'tool_result'}]},{'role':'system','content':'u'}]",
	     "'messages':[{'role':'user','content':[{'type':'tool_result'}," RED(
		 "s") "," RED("t") "," RED("u") "]}]"},
	    /* alone, and between messages of the user */
	    {{.quirks = Q(NO_SYSTEM_MESSAGES)},
	     "'messages':[{'role':'assistant','content':'a'},{'role':'system','content':'s'}]",
	     "'messages':[{'role':'assistant','content':'a'},{'role':'user','content':[" RED(
		 "s") "]}]"},
	    {{.quirks = Q(NO_SYSTEM_MESSAGES)},
	     "'messages':[{'role':'user','content':'q'},{'role':'system','content':'s'},{'role':"
	     "'user','content':[{'type':'text','text':'r'}]},{'role':'user','content':''}]",
	     "'messages':[{'role':'user','content':[{'type':'text','text':'q'}," RED(
		 "s") ",{'type':'text','text':'r'}]}]"},
	    /* empty: refused wherever it stands */
	    {{.quirks = Q(NO_SYSTEM_MESSAGES)},
	     "'messages':[{'role':'user','content':'q'},{'role':'assistant','content':'a'},{'role':"
	     "'system','content':''}]",
	     "'messages':[{'role':'user','content':'q'},{'role':'assistant','content':'a'}]"},
	    /* what is no text */
	    {{.quirks = Q(NO_SYSTEM_MESSAGES)},
	     "'messages':[{'role':'user','content':'q'},{'role':'system','content':[{'type':"
	     "'tool_addition','name':'n'}]}]",
	     "'messages':[{'role':'user','content':[{'type':'text','text':'q'}," RED(
		 "[tool_addition]\\nn") "]}]"},
	    {{.quirks = Q(NO_EFFORT)},
	     "'output_config':{'effort':'low'},'messages':[{'role':'system','output_config':{'effort'"
	     ":'low'},'content':'s'}]",
	     "'messages':[{'role':'system','content':'s'}]"},
	    {{.quirks = Q(NO_EFFORT), .effort = {"high", 4}},
	     "'output_config':{'effort':'low', 'format':{}}," HELLO,
	     "'output_config':{'format':{}}," HELLO},
	};

	(void)state;
	CHECK(cases);
}

static bool drop_all(void *self, const struct cn_thought *thought)
{
	(void)self;
	(void)thought;
	return true;
}

/* What of the messages goes for other reasons does not come between. */
static void edits_of_messages_go_together(void **state)
{
	static const struct each cases[] = {
	    {{.quirks = Q(NO_SYSTEM_MESSAGES), .drop_thinking = drop_all},
	     "'messages':[{'role':'assistant','content':[{'type':'thinking'}]},{'role':'user',"
	     "'content':'q'},{'role':'assistant','content':[{'type':'thinking'}]},{'role':'system',"
	     "'content':'s'},{'role':'assistant','content':[{'type':'thinking'}]},{'role':'assistant',"
	     "'content':[{'type':'thinking'},{'type':'text','text':'a'}]},{'role':'assistant',"
	     "'content':[{'type':'thinking'}]}]",
	     "'messages':[{'role':'user','content':[{'type':'text','text':'q'}," RED(
		 "s") "]},{'role':'assistant','content':[{'type':'text','text':'a'}]}]"},
	    {{.drop_thinking = drop_all, .append = {"{\"role\":\"user\"}", 15}},
	     "'messages':[{'role':'assistant','content':[{'type':'thinking'}]}]",
	     "'messages':[{'role':'user'}]"},
	    {{.quirks = Q(NO_SYSTEM_MESSAGES), .append = {"{\"role\":\"assistant\"}", 20}},
	     "'messages':[{'role':'user','content':'q'},{'role':'system','content':'s'} ]",
	     "'messages':[{'role':'user','content':[{'type':'text','text':'q'}," RED(
		 "s") "]} ,{'role':'assistant'}]"},
	    {{.quirks = Q(NO_SYSTEM_MESSAGES) | Q(NO_CACHE_CONTROL) | Q(PLAIN_BLOCKS)},
	     "'cache_control':{},'messages':[{'role':'user','content':[{'cache_control':{},'type':"
	     "'container_upload','file_id':'f'},{'type':'text','text':'q','cache_control':{}}]},{"
	     "'role':'system','content':[{'type':'text','text':'s','cache_control':{}}]},{'role':"
	     "'assistant','content':[{'type':'redacted_thinking','data':'d'},{'type':'tool_use','id':"
	     "'t','input':{'cache_control':{}},'cache_control':{}}]}]",
	     "'messages':[{'role':'user','content':[{'type':'text','text':'[container_upload]\\n"
	     "(its content cannot be shown here)'},{'type':'text','text':'q'}," RED(
		 "s") "]},{'role':"
	              "'assistant','content':[{'type':'tool_use','id':'t','input':{'cache_control':{}}}]}]"},
	};

	(void)state;
	CHECK(cases);
}

static void a_system_prompt_is_folded(void **state)
{
	static const struct each cases[] = {
	    {{.quirks = Q(FOLD_SYSTEM)},
	     "'system':[" BILLING "," LONG "]," HELLO,
	     "'messages':[{'role':'user','content':[" BILLING "," LONG
	     ",{'type':'text','text':'hello'}]}]"},
	    {{.quirks = Q(FOLD_SYSTEM) | Q(NO_ATTRIBUTION) | Q(NO_SYSTEM_MESSAGES)},
	     "'system':[" BILLING "," LONG
	     "],'messages':[{'role':'user','content':'q'},{'role':"
	     "'system','content':'s'},{'role':'assistant','content':'a'},{'role':'user','content':"
	     "'r'}]",
	     "'messages':[{'role':'user','content':[" LONG
	     ",{'type':'text','text':'q'}," RED(
		 "s") "]},{'role':'assistant','content':'a'},{'role':'user','content':'r'}]"},
	    {{.quirks = Q(FOLD_SYSTEM), APPEND},
	     "'system':'x'," HELLO,
	     "'messages':[{'role':'user','content':[{'type':'text','text':'x'}," POLICY
	     ",{'type':'text','text':'hello'}]}]"},
	    {{.quirks = Q(FOLD_SYSTEM)}, "'system':''," HELLO, HELLO},
	    {{.quirks = Q(FOLD_SYSTEM)}, HELLO, NULL},
	    /* nobody to tell it; results before it */
	    {{.quirks = Q(FOLD_SYSTEM)},
	     "'system':'x','messages':[{'role':'assistant','content':'a'}]",
	     "'messages':[{'role':'user','content':[{'type':'text','text':'x'}]},{'role':'assistant',"
	     "'content':'a'}]"},
	    {{.quirks = Q(FOLD_SYSTEM)},
	     "'system':'x','messages':[{'role':'user','content':[{'type':'tool_result'}]}]",
	     "'messages':[{'role':'user','content':[{'type':'tool_result'},{'type':'text','text':'x'}"
	     "]}]"},
	};

	(void)state;
	CHECK(cases);
}

#define TOOLS                                                                                  \
	"'tools':[{'name':'A','defer_loading':false,'input_schema':{'defer_loading':true}}, {" \
	"'defer_loading':true,'name':'B'},{'name':'C','defer_loading':true} ]"

static void deferred_tools_are_there_or_not(void **state)
{
	static const struct each cases[] = {
	    {{.quirks = 0}, TOOLS "," HELLO, NULL},
	    {{.quirks = Q(NO_DEFERRED_TOOLS)},
	     TOOLS "," HELLO,
	     "'tools':[{'name':'A','input_schema':{'defer_loading':true}} ]," HELLO},
	    {{.quirks = Q(NO_DEFERRED_TOOLS)},
	     TOOLS
	     ",'messages':[{'role':'user','content':[{'type':'tool_result','tool_use_id':'t',"
	     "'content':[{'type':'tool_reference','tool_name':'\\u0042'},{'type':'text','text':"
	     "'x'}]}]}]",
	     "'tools':[{'name':'A','input_schema':{'defer_loading':true}}, {'name':'B'} ],'messages':"
	     "[{'role':'user','content':[{'type':'tool_result','tool_use_id':'t','content':[{'type':"
	     "'text','text':'The tool \\u0042 can be called now.'},{'type':'text','text':'x'}]}]}]"},
	    /* called before, or to be called now */
	    {{.quirks = Q(NO_DEFERRED_TOOLS)},
	     TOOLS
	     ",'tool_choice':{'type':'tool','name':'C'},'messages':[{'role':'assistant',"
	     "'content':[{'type':'tool_use','name':'B','input':{}}]}]",
	     "'tools':[{'name':'A','input_schema':{'defer_loading':true}}, {'name':'B'},{'name':'C'} "
	     "],'tool_choice':{'type':'tool','name':'C'},'messages':[{'role':'assistant','content':[{"
	     "'type':'tool_use','name':'B','input':{}}]}]"},
	    {{.quirks = Q(NO_DEFERRED_TOOLS)},
	     "'tools':[{'name':'B','defer_loading':true}],'tool_choice':{'type':'auto'}," HELLO,
	     HELLO},
	    {{.quirks = Q(NO_CACHE_CONTROL)},
	     "'tools':[{'name':'B','cache_control':{},'input_schema':{'cache_control':1}}]," HELLO,
	     "'tools':[{'name':'B','input_schema':{'cache_control':1}}]," HELLO},
	};

	(void)state;
	CHECK(cases);
}

#define ANY  "'tools':[{}],'tool_choice':{'type':'any','disable_parallel_tool_use':true},"
#define ONE  "'tools':[{}],'tool_choice':{'name':'A', 'type':'tool'},"
#define NONE "'tools':[{}],'tool_choice':{'type':'none'},"

static void the_choice_is_the_models(void **state)
{
	static const struct each cases[] = {
	    {{.quirks = Q(AUTO_TOOL_CHOICE)},
	     ANY HELLO,
	     "'tools':[{}],'tool_choice':{'type':'auto','disable_parallel_tool_use':true}," HELLO},
	    {{.quirks = Q(AUTO_TOOL_CHOICE)},
	     ONE HELLO,
	     "'tools':[{}],'tool_choice':{'type':'auto'}," HELLO},
	    {{.quirks = Q(AUTO_TOOL_CHOICE)}, NONE HELLO, HELLO},
	    {{.quirks = Q(AUTO_TOOL_CHOICE)},
	     "'tool_choice':{'type':'auto' }," HELLO,
	     NULL},
	    {{.quirks = Q(NO_TOOL_CHOICE)}, ANY HELLO, "'tools':[{}]," HELLO},
	    {{.quirks = Q(NO_TOOL_CHOICE)}, NONE HELLO, HELLO},
	    {{.quirks = Q(FREE_CHOICE_THINKING)},
	     "'thinking':{'type':'disabled'}," ANY HELLO,
	     NULL},
	    {{.quirks = Q(FREE_CHOICE_THINKING)},
	     "'thinking':{'type':'adaptive'}," ONE HELLO,
	     "'thinking':{'type':'adaptive'},'tools':[{}],'tool_choice':{'type':'auto'}," HELLO},
	    {{.quirks = Q(FREE_CHOICE_THINKING)}, NONE HELLO, NULL},
	};

	(void)state;
	CHECK(cases);
}

#define BLIND(more)                                                             \
	"{'type':'text','text':'(an image was left out: this model cannot see " \
	"images)'" more "}"

static void unknown_blocks_become_text(void **state)
{
	static const struct each cases[] = {
	    {{.quirks = Q(NO_DOCUMENTS)},
	     "'messages':[{'role':'user','content':[{'type':'document','source':{'type':'text',"
	     "'media_type':'text/plain','data':'one\\ntwo'},'title':'T','cache_control':{}},{'type':"
	     "'tool_result','content':[{'type':'search_result','source':'https://x','title':'U',"
	     "'content':[{'type':'text','text':'v'}]}]},{'type':'tool_result','content':{'type':"
	     "'document'}}]}]",
	     "'messages':[{'role':'user','content':[{'type':'text','text':'[document]\\none\\ntwo\\nT'"
	     ",'cache_control':{}},{'type':'tool_result','content':[{'type':'text','text':"
	     "'[search_result]\\nhttps://x\\nU\\nv'}]},{'type':'tool_result','content':{'type':"
	     "'document'}}]}]"},
	    {{.quirks = Q(NO_DOCUMENTS), .images = true},
	     "'messages':[{'role':'user','content':[{'type':'document','title':'T','source':{'type':"
	     "'base64','media_type':'application/pdf','data':'JVBERi0='}},{'type':'image','source':{"
	     "'type':'base64','data':'x'}}]}]",
	     "'messages':[{'role':'user','content':[{'type':'text','text':'[document]\\nT\\n(its "
	     "content cannot be shown here)'},{'type':'image','source':{'type':'base64','data':'x'}}"
	     "]}]"},
	    {{.quirks = Q(PLAIN_BLOCKS)},
	     "'messages':[{'role':'assistant','content':[{'type':'server_tool_use','id':'srvtoolu_1',"
	     "'name':'web_search','input':{'query':'q'}},{'type':'web_search_tool_result',"
	     "'tool_use_id':'srvtoolu_1','content':[{'type':'web_search_result','url':'u','title':'t',"
	     "'encrypted_content':'e'}]},{'type':'text','text':'a'}]},{'role':'user','content':[{"
	     "'type':'document'},7,'x']}]",
	     "'messages':[{'role':'assistant','content':[{'type':'text','text':'[server_tool_use]\\n"
	     "web_search\\nq'},{'type':'text','text':'[web_search_tool_result]\\nu\\nt'},{'type':"
	     "'text','text':'a'}]},{'role':'user','content':[{'type':'document'},7,'x']}]"},
	    {{.quirks = 0},
	     "'messages':[{'role':'user','content':[{'type':'image','cache_control':{}},{'type':"
	     "'tool_result','content':[{'type':'text','text':'x'},{'type':'image'}]}]},{'role':"
	     "'assistant','content':[{'type':'tool_use','input':{'type':'image'}}]}]",
	     "'messages':[{'role':'user','content':[" BLIND(
		 ",'cache_control':{}") ",{'type':"
	                                "'tool_result','content':[{'type':'text','text':'x'}," BLIND(
					    "") "]}]},{'role':"
	                                        "'assistant','content':[{'type':'tool_use','input':{'type':'image'}}]}]"},
	    /* thinking of another alone: there is nothing left of the answer */
	    {{.quirks = Q(PLAIN_BLOCKS)},
	     "'messages':[{'role':'user','content':'q'},{'role':'assistant','content':[{'type':"
	     "'redacted_thinking','data':'x'}]}]",
	     "'messages':[{'role':'user','content':'q'}]"},
	};

	(void)state;
	CHECK(cases);
}

static void thinking_has_a_budget(void **state)
{
	static const struct each cases[] = {
	    {{.quirks = Q(NO_ADAPTIVE_THINKING)},
	     "'thinking':{'type':'adaptive','display':'omitted'},'max_tokens':128000," HELLO,
	     "'thinking':{'type':'enabled','budget_tokens':16384},'max_tokens':128000," HELLO},
	    {{.quirks = Q(NO_ADAPTIVE_THINKING)},
	     "'thinking':{'type':'adaptive'},'output_config':{'effort':'medium'}," HELLO,
	     "'thinking':{'type':'enabled','budget_tokens':8192},'output_config':{'effort':"
	     "'medium'}," HELLO},
	    {{.quirks = Q(NO_ADAPTIVE_THINKING) | Q(NO_EFFORT), .effort = {"max", 3}},
	     "'thinking':{'type':'adaptive'},'output_config':{'effort':'low'},'max_tokens':9000," HELLO,
	     "'thinking':{'type':'enabled','budget_tokens':4500},'max_tokens':9000," HELLO},
	    {{.quirks = Q(NO_ADAPTIVE_THINKING)},
	     "'thinking':{'type':'adaptive'},'max_tokens':2047," HELLO,
	     "'thinking':{'type':'disabled'},'max_tokens':2047," HELLO},
	    {{.quirks = Q(NO_ADAPTIVE_THINKING)},
	     "'thinking':{'type':'between_tools'}," HELLO,
	     "'thinking':{'type':'disabled'}," HELLO},
	    {{.quirks = Q(NO_ADAPTIVE_THINKING)},
	     "'thinking':{'type':'enabled','budget_tokens':7}," HELLO,
	     NULL},
	    {{.quirks = Q(NO_THINKING_BUDGET)},
	     "'thinking':{'type':'enabled','budget_tokens':2000}," HELLO,
	     "'thinking':{'type':'adaptive'}," HELLO},
	    {{.quirks = Q(NO_THINKING_BUDGET)},
	     "'thinking':{'type':'adaptive','display':'omitted'}," HELLO,
	     NULL},
	    {{.quirks = Q(NO_THINKING_BUDGET) | Q(NO_ADAPTIVE_THINKING)},
	     "'thinking':{'type':'enabled','budget_tokens':2000}," HELLO,
	     "'thinking':{'type':'disabled'}," HELLO},
	    {{.quirks = Q(ALWAYS_THINKS)}, "'thinking':{'type':'disabled'}," HELLO, HELLO},
	    {{.quirks = Q(ALWAYS_THINKS) | Q(NO_ADAPTIVE_THINKING)},
	     "'thinking':{'type':'adaptive'},'max_tokens':9," HELLO,
	     "'max_tokens':9," HELLO},
	    {{.quirks = 0}, "'thinking':{'type':'disabled'}," HELLO, NULL},
	};

	(void)state;
	CHECK(cases);
}

static void members_are_added(void **state)
{
	static const struct cn_edit_member add[] = {{"metadata", "{\"a\":1}"}, {"z", "[]"}};
	static const struct each cases[] = {
	    {{.add = add, .n_add = 2},
	     "'metadata':{'b':2}," HELLO,
	     HELLO ",'metadata':{'a':1},'z':[]"},
	};

	(void)state;
	CHECK(cases);
}

/* ---- from turn to turn ---- */

/* What a session looks like; the last but one may be the end of a request as well. */
static const char *const session[] = {
    "{'role':'user','content':[{'type':'text','text':'task','cache_control':{'type':'ephemeral'"
    "}}]}",
    "{'role':'system','content':'where you are','output_config':{'effort':'medium'}}",
    "{'role':'assistant','content':[{'type':'thinking','thinking':'','signature':'s'},{'type':"
    "'tool_use','id':'t1','name':'ToolSearch','input':{}}]}",
    "{'role':'user','content':[{'type':'tool_result','tool_use_id':'t1','content':[{'type':"
    "'tool_reference','tool_name':'B'}]}]}",
    "{'role':'assistant','content':[{'type':'tool_use','id':'t2','name':'B','input':{}},{'type':"
    "'tool_use','id':'t3','name':'A','input':{}}]}",
    "{'role':'user','content':[{'type':'tool_result','tool_use_id':'t2','content':'x'},{'type':"
    "'tool_result','tool_use_id':'t3','content':[{'type':'document','source':{'type':'url','url'"
    ":'u'}}]},{'type':'text','text':'and'}]}",
    "{'role':'system','content':[{'type':'text','text':'a file changed'}]}",
    "{'role':'assistant','content':[{'type':'redacted_thinking','data':'d'}]}",
    "{'role':'user','content':'go on'}",
    "{'role':'assistant','content':'done'}",
    "{'role':'user','content':'more'}",
    "{'role':'system','content':'later'}",
    "{'role':'assistant','content':'done again'}",
    "{'role':'user','content':'enough'}",
};
#define CN_N_SESSION (sizeof(session) / sizeof(session[0]))

/* Requests end with what the user or the system says before the next answer. */
static bool ends_a_request(size_t n)
{
	return !strstr(session[n - 1], "assistant") &&
	       (n == CN_N_SESSION || strstr(session[n], "assistant"));
}

/* Of no two messages in a row one role, and none but the two. */
static void check_roles(struct cn_json messages)
{
	bool user = true;

	for (struct cn_json_iter it = cn_json_iter(messages); cn_json_next(&it);
	     user = !user)
		if (!cn_json_is(cn_json_get(it.value, "role"), user ? "user" : "assistant"))
			fail_msg("message %zu of %.*s", it.index,
			         CN_VIEW_ARG(messages.raw));
}

/*
 * The messages of the first n as the backend gets them, without the closing brackets: where
 * an answer is left out, what is said next goes into the message before it.
 */
static void sent(size_t n, const struct cn_edit *edit, struct cn_buf *ret)
{
	CN_AUTO(cn_arena) a = {0};
	CN_AUTO(cn_buf) body = {0}, got = {0};
	struct cn_json messages;

	cn_buf_add_str(&body, "{'model':'m','messages':[");
	for (size_t i = 0; i < n; i++)
		cn_buf_printf(&body, "%s%s", i ? "," : "", session[i]);
	cn_buf_add_str(&body, "],'system':[" BILLING "," LONG "]," TOOLS "}");
	encode(json(&a, cn_buf_cstr(&body)), edit, &got);
	messages = cn_json_get(cn_json_root(cn_buf_view(&got)), "messages");
	if (edit->quirks & Q(NO_SYSTEM_MESSAGES) && !(edit->quirks & Q(PLAIN_BLOCKS)))
		check_roles(messages);
	cn_buf_clear(ret);
	cn_buf_add_view(ret, messages.raw);
	while (ret->n && strchr("]}", ret->p[ret->n - 1]))
		ret->n--;
}

/* A prompt cache lives on what was sent before being sent again, whatever was made of it.
 */
static void what_was_sent_is_sent_again(void **state)
{
	static const enum cn_quirk quirks[] = {
	    CN_QUIRK_NO_ATTRIBUTION,     CN_QUIRK_FOLD_SYSTEM,
	    CN_QUIRK_NO_SYSTEM_MESSAGES, CN_QUIRK_NO_DOCUMENTS,
	    CN_QUIRK_NO_DEFERRED_TOOLS,  CN_QUIRK_PLAIN_BLOCKS,
	    CN_QUIRK_NO_CACHE_CONTROL,   CN_QUIRK_NO_EFFORT,
	};
	size_t n_quirks = sizeof(quirks) / sizeof(quirks[0]);

	(void)state;
	for (size_t set = 0; set < (size_t)1 << n_quirks; set++) {
		CN_AUTO(cn_buf) before = {0}, now = {0};
		struct cn_edit edit = {APPEND, .keep_stream = true};

		for (size_t i = 0; i < n_quirks; i++)
			if (set >> i & 1)
				edit.quirks |= cn_quirk_bit(quirks[i]);
		for (size_t n = 1; n <= CN_N_SESSION; n++) {
			if (!ends_a_request(n))
				continue;
			sent(n, &edit, &now);
			if (!cn_view_starts(cn_buf_view(&now), cn_buf_view(&before)))
				fail_msg("set %zx, %zu messages:\nbefore %s\nnow    %s",
				         set, n, cn_buf_cstr(&before), cn_buf_cstr(&now));
			cn_buf_clear(&before);
			cn_buf_add_view(&before, cn_buf_view(&now));
		}
	}
}

/* The client's marker moves on, and what it leaves behind becomes a string. */
static void a_marker_that_moved_on_changes_nothing(void **state)
{
	static const char *const forms[] = {
	    "{'role':'system','content':[{'type':'text','text':'s','cache_control':{'type':"
	    "'ephemeral'}}]}",
	    "{'role':'system','content':[{'type':'text','text':'s'}]}",
	    "{'role':'system','content':'s'}",
	};
	struct cn_edit edit = {.quirks = Q(NO_SYSTEM_MESSAGES) | Q(NO_CACHE_CONTROL),
	                       .keep_stream = true};
	CN_AUTO(cn_buf) first = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		CN_AUTO(cn_arena) a = {0};
		CN_AUTO(cn_buf) got = {0};

		encode(json(&a, cn_arena_printf(&a,
		                                "{'model':'m','messages':[{'role':'user',"
		                                "'content':'q'},%s]}",
		                                forms[i])),
		       &edit, i ? &got : &first);
		if (i)
			assert_string_equal(cn_buf_cstr(&got), cn_buf_cstr(&first));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(prompts_go_with_the_clients),
	    cmocka_unit_test(attribution_is_anthropics),
	    cmocka_unit_test(system_messages_become_reminders),
	    cmocka_unit_test(edits_of_messages_go_together),
	    cmocka_unit_test(a_system_prompt_is_folded),
	    cmocka_unit_test(deferred_tools_are_there_or_not),
	    cmocka_unit_test(the_choice_is_the_models),
	    cmocka_unit_test(unknown_blocks_become_text),
	    cmocka_unit_test(thinking_has_a_budget),
	    cmocka_unit_test(members_are_added),
	    cmocka_unit_test(what_was_sent_is_sent_again),
	    cmocka_unit_test(a_marker_that_moved_on_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
