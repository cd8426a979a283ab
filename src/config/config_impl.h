/*
 * Private to src/config: the tree that a YAML file becomes, the collector of mistakes, and
 * the tables that describe the policy language.  One row of a table reads a key into the
 * policy, prints it back and describes it in the JSON Schema, so the three cannot differ.
 */
#ifndef CONTINUO_CONFIG_IMPL_H
#define CONTINUO_CONFIG_IMPL_H

#include <yyjson.h>

#include "continuo/config.h"

/* design/security.md 7, "policy file" */
#define CN_CONFIG_MAX_BYTES    ((size_t)1024 * 1024)
#define CN_CONFIG_MAX_DEPTH    32
#define CN_CONFIG_MAX_NODES    10000
#define CN_CONFIG_MAX_INCLUDES 16
#define CN_CONFIG_NAME_MAX     60
/* Beyond so many the rest is only counted: nobody reads them, and searching for a
 * suggestion costs time. */
#define CN_CONFIG_MAX_MISTAKES 200

/* ---- the tree ---- */

struct cn_config_file {
	const char *name;    /* in arena: as messages call it */
	struct cn_view text; /* in arena */
	unsigned index;      /* order of reading */
};

enum cn_node_kind {
	CN_NODE_SCALAR,
	CN_NODE_LIST,
	CN_NODE_MAP
};

/* All of it in the arena of the load. */
struct cn_node {
	enum cn_node_kind kind;
	bool plain;          /* a scalar without quotes */
	bool bad;            /* a mistake about it stands already: readers pass over it */
	bool twice;          /* its key stood in the map before */
	struct cn_view text; /* of a scalar, NUL-terminated, ${NAME} filled in */
	struct cn_view name; /* its key in a map, NUL-terminated */
	const struct cn_config_file *file;
	unsigned line, column, name_line, name_column; /* from 1 */
	/* Bytes of the file: a scalar with its quotes; of containers only a flow one has an
	 * end. */
	size_t from, end;
	bool flow;                           /* a container in brackets */
	struct cn_node *first, *last, *next; /* children in order; sibling */
	size_t n;                            /* children */
};

/* ---- one load ---- */

struct cn_mistake {
	struct cn_error error;
	unsigned file, at; /* for sorting: file, order of finding */
	struct cn_mistake *next;
};

/* A preset: a backend without name and keys, and what is known of its models. */
struct cn_config_preset {
	const char *name, *title;
	struct cn_backend backend;
	const struct cn_node *models; /* globs of ids → model keys; NULL: none */
	/* Whose backend was copied before its own keys were read, and whose models apply
	 * before its own; NULL: nobody's. */
	const struct cn_config_preset *like;
};

struct cn_load {
	const struct cn_config_opts *opts; /* borrowed; NULL for the catalogue */
	struct cn_arena arena;             /* owns trees and mistakes */
	struct cn_policy *policy;          /* owned until given away */
	struct cn_config_file **files;     /* in arena */
	size_t n_files;
	const char *dir; /* in arena: real path of the policy's directory */
	bool holes; /* a section could not be read: names that it may hold are not missed */
	bool fatal; /* a file could not be read as YAML: no use in looking further */
	struct cn_mistake *mistakes, *last_mistake;
	size_t n_mistakes, n_kept;
	struct cn_config_preset *presets; /* in arena: the policy's own */
	size_t n_presets;
};

/* ---- mistake.c ---- */

void cn_config__mistake(struct cn_load *l, const struct cn_node *at, const char *fmt, ...)
    CN_PRINTF(3, 4);
/* The same, at the key under which the node stands. */
void cn_config__mistake_key(struct cn_load *l, const struct cn_node *at, const char *fmt,
                            ...) CN_PRINTF(3, 4);
void cn_config__mistake_at(struct cn_load *l, const struct cn_config_file *f, unsigned line,
                           unsigned column, const char *fmt, ...) CN_PRINTF(5, 6);
/* Hands the mistakes out in order; CN_E_CONFIG when there are any. */
int cn_config__report(struct cn_load *l, struct cn_error *reterr) CN_MUST_CHECK;

/* The nearest of the names that were offered. */
struct cn_suggest {
	struct cn_view word;
	const char *best;  /* borrowed; NULL: none is near */
	unsigned distance; /* of best */
};
void cn_config__offer(struct cn_suggest *s, const char *name);
/* "did you mean 'best'?", or otherwise when nothing is near.  In the load's arena. */
const char *cn_config__hint(struct cn_load *l, const struct cn_suggest *s,
                            const char *otherwise);
/* What a message may show of text: cut at 60 bytes. */
#define CN_SHOW(v) (int)((v).n < 60 ? (v).n : 60), ((v).p ? (v).p : "")

/* ---- text.c ---- */

/* Whether a file's bytes may go to the YAML parser; else a fatal mistake. */
bool cn_config__clean(struct cn_load *l, struct cn_config_file *f);
/* Puts ${NAME} of the environment into text; marks the node and reports what is wrong. */
void cn_config__expand(struct cn_load *l, struct cn_node *n);
bool cn_config__looks_secret(struct cn_view text);
bool cn_config__is_utf8(struct cn_view text);

/* ---- tree.c ---- */

/* NULL after a fatal mistake or for an empty file. */
struct cn_node *cn_config__parse(struct cn_load *l, struct cn_config_file *f);
/* The child of that name, or NULL. */
struct cn_node *cn_config__find(const struct cn_node *map, const char *name);

/* ---- files.c ---- */

/* The policy file with its includes as one tree; NULL when there is none. */
struct cn_node *cn_config__read_all(struct cn_load *l);
/* Reads one file below the policy's directory (prompts); false: a mistake at n says why. */
bool cn_config__read_below(struct cn_load *l, const struct cn_node *n,
                           struct cn_view *rettext);

/* ---- units.c ---- */

bool cn_config__time(struct cn_view v, uint64_t *retms);
bool cn_config__size(struct cn_view v, uint64_t *ret);
bool cn_config__tokens(struct cn_view v, uint64_t *ret);
/* Text of a value in the largest unit that holds it exactly; in the arena. */
const char *cn_config__time_text(struct cn_arena *a, uint64_t ms);
const char *cn_config__size_text(struct cn_arena *a, uint64_t bytes);
const char *cn_config__tokens_text(struct cn_arena *a, uint64_t n);

/* ---- origin.c ---- */

enum cn_host_kind {
	CN_HOST_PUBLIC,
	CN_HOST_PRIVATE, /* an address of a private or link-local range */
	CN_HOST_LOOPBACK
};
enum cn_host_kind cn_config__host_kind(struct cn_view host);
/* Of an origin as cn_config_origin() makes it. */
struct cn_view cn_config__origin_host(const char *origin);

/* ---- the tables ---- */

struct cn_row;
/* What the values of a key look like. */
struct cn_type {
	void (*read)(struct cn_load *l, const struct cn_node *n, const struct cn_row *row,
	             void *base);
	/* The value as it would be written; NULL when it is not set.  Strings are borrowed
	 * from the policy or copied into the document. */
	yyjson_mut_val *(*give)(yyjson_mut_doc *d, const struct cn_row *row,
	                        const void *base);
	yyjson_mut_val *(*describe)(yyjson_mut_doc *d, const struct cn_row *row);
};

struct cn_word {
	const char *word; /* NULL ends the list */
	uint64_t value;
	const char *text;
};

struct cn_table {
	const char *title; /* "a backend" */
	const struct cn_row *rows;
	size_t n;
	bool partial; /* laid over something whole: nothing in it is required */
};

struct cn_row {
	const char *key;
	const struct cn_type *type;
	size_t at, size;   /* the field in its struct */
	size_t count_at;   /* of its length, for lists */
	uint64_t min, max; /* bounds; of text: its length */
	const char *also;  /* a word allowed besides, which stands for … */
	uint64_t also_value;
	const struct cn_word *words;
	const struct cn_table *table; /* of a section or of the entries of a map */
	bool required;
	const char *normal; /* the default, as a person would say it; NULL: none */
	const char *text;   /* what it is for: one sentence */
};

extern const struct cn_table cn_config__policy_table, cn_config__backend_table,
    cn_config__model_table, cn_config__override_table, cn_config__preset_table,
    cn_config__preset_model_table, cn_config__chain_table, cn_config__route_table,
    cn_config__fallback_table;

/* Reads every key of map by its row; unknown and missing ones are mistakes. */
void cn_config__read(struct cn_load *l, const struct cn_node *map, const struct cn_table *t,
                     void *base);
/* Reads one key of map, if it is there. */
void cn_config__read_key(struct cn_load *l, const struct cn_node *map,
                         const struct cn_table *t, const char *key, void *base);
const struct cn_row *cn_config__row(const struct cn_table *t, struct cn_view key);
/* A scalar that may be used; else a mistake "…; write WANTED". */
bool cn_config__scalar(struct cn_load *l, const struct cn_node *n, const char *wanted);
bool cn_config__is_name(struct cn_view v);
/* The name of a member of a request, or of a beta. */
bool cn_config__is_token(struct cn_view v);
/* "route-N": the name of a list that stands in a route. */
bool cn_config__is_inline(const char *chain);
void cn_config__store(const struct cn_row *row, void *base, uint64_t v);
uint64_t cn_config__fetch(const struct cn_row *row, const void *base);
/* A text field: a copy in the policy's arena, and what is there. */
void cn_config__keep(struct cn_load *l, const struct cn_row *row, void *base,
                     struct cn_view v);
const char *cn_config__kept(const struct cn_row *row, const void *base);

/* types.c */
extern const struct cn_type cn_type_bool, cn_type_tristate, cn_type_count, cn_type_tokens,
    cn_type_size, cn_type_time, cn_type_money, cn_type_word, cn_type_word_text,
    cn_type_text, cn_type_section;
/* lists.c, pairs.c, members.c */
extern const struct cn_type cn_type_globs, cn_type_set, cn_type_more, cn_type_hosts,
    cn_type_origins, cn_type_listen, cn_type_fields, cn_type_headers, cn_type_header_globs,
    cn_type_env, cn_type_add_fields;
/* doors.c, forms.c */
extern const struct cn_type cn_type_url, cn_type_collector, cn_type_proxy, cn_type_keys,
    cn_type_id, cn_type_stream, cn_type_tools, cn_type_prompt, cn_type_date, cn_type_price,
    cn_type_budget, cn_type_failback, cn_type_clock, cn_type_path;
/* entries.c: read by check.c, which follows the references */
extern const struct cn_type cn_type_include, cn_type_presets, cn_type_backends,
    cn_type_models, cn_type_preset_models, cn_type_chains, cn_type_routes, cn_type_use,
    cn_type_members, cn_type_overrides, cn_type_inherited, cn_type_backend_ref,
    cn_type_preset_ref;

/* ---- print.c, jsonschema.c ---- */

/* The members of base that are set; with parent: those that differ from it. */
yyjson_mut_val *cn_config__give(yyjson_mut_doc *d, const struct cn_table *t,
                                const void *base, const void *parent);
yyjson_mut_val *cn_config__describe(yyjson_mut_doc *d, const struct cn_table *t);
yyjson_mut_val *cn_config__give_text(yyjson_mut_doc *d, const struct cn_row *row,
                                     const void *base);
/* A copy of s in the document (which may outlive it). */
yyjson_mut_val *cn_config__str(yyjson_mut_doc *d, const char *s);
/* {"type":"string","pattern":…} */
yyjson_mut_val *cn_config__pattern(yyjson_mut_doc *d, const char *pattern);
/* {"anyOf":[a,b]} */
yyjson_mut_val *cn_config__either(yyjson_mut_doc *d, yyjson_mut_val *a, yyjson_mut_val *b);
/* {"type":"array","items":item}, at least min of them */
yyjson_mut_val *cn_config__array(yyjson_mut_doc *d, yyjson_mut_val *item, uint64_t min);
yyjson_mut_val *cn_config__ref(yyjson_mut_doc *d, const char *definition);

/* ---- check.c, presets.c, routes.c, catalogue.c ---- */

/* Fills the policy from the tree. */
void cn_config__build(struct cn_load *l, const struct cn_node *root);
/* chains and routes may be NULL. */
void cn_config__build_routes(struct cn_load *l, const struct cn_node *chains,
                             const struct cn_node *routes);
/* Reads the entries of `presets` into the load's. */
void cn_config__presets(struct cn_load *l, const struct cn_node *map);
/* An entry's name in the policy's arena; a wrong one is a mistake. */
const char *cn_config__entry_name(struct cn_load *l, const struct cn_node *n);
/* The one that n (may be NULL) names; otherwise: what to do where no name is near. */
const struct cn_config_preset *
cn_config__preset_of(struct cn_load *l, const struct cn_node *n, const char *otherwise);
/* Reads into m what is known of it: every entry that matches its id, in order. */
void cn_config__apply_preset(struct cn_load *l, const struct cn_config_preset *preset,
                             struct cn_model *m);
/* The policy's own, else one of the catalogue; NULL: none. */
const struct cn_config_preset *cn_config__preset(struct cn_load *l, struct cn_view name);
const struct cn_config_preset *cn_config__catalogue(size_t *retn);

#endif
