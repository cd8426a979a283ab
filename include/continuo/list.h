/*
 * Intrusive doubly linked lists.  A head and a node are the same struct; an unlinked node
 * points to itself, so removal is safe twice.
 */
#ifndef CONTINUO_LIST_H
#define CONTINUO_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct cn_list {
	struct cn_list *next, *prev; /* borrowed: neighbours, or itself when alone */
};

static inline void cn_list_init(struct cn_list *l)
{
	l->next = l->prev = l;
}

static inline bool cn_list_empty(const struct cn_list *l)
{
	return l->next == l;
}

/* Puts node at the end of head's list. */
static inline void cn_list_append(struct cn_list *head, struct cn_list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

static inline void cn_list_remove(struct cn_list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	cn_list_init(node);
}

/* The struct of the given type whose member is the node. */
#define cn_container_of(node, type, member) \
	((type *)(void *)((char *)(node)-offsetof(type, member)))

/* Visits every node; the node being visited may be removed.  A name being declared cannot
 * stand in parentheses. */
/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define CN_LIST_EACH(it, head)                                                       \
	for (struct cn_list *it = (head)->next, *it##_next = it->next; it != (head); \
	     it = it##_next, it##_next = it->next)
/* NOLINTEND(bugprone-macro-parentheses) */

#endif
