/* An intrusive, circular, doubly linked list. A node lives inside the object it links and is in one list at most; the
 * list never owns its members. A zeroed node is in no list. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list_node {
	struct list_node *next, *prev;
};

struct list {
	struct list_node head;
	size_t count;
};

#define list_entry(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list *list)
{
	list->head.next = list->head.prev = &list->head;
	list->count = 0;
}

static inline bool list_empty(const struct list *list)
{
	return list->count == 0;
}

static inline void list_append(struct list *list, struct list_node *node)
{
	node->next = &list->head;
	node->prev = list->head.prev;
	list->head.prev->next = node;
	list->head.prev = node;
	list->count++;
}

/* The node must be in this very list. */
static inline void list_remove(struct list *list, struct list_node *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->next = node->prev = NULL;
	list->count--;
}

static inline struct list_node *list_first(const struct list *list)
{
	return list_empty(list) ? NULL : list->head.next;
}

/* Removes and returns the first node; NULL when the list is empty. */
static inline struct list_node *list_take(struct list *list)
{
	struct list_node *node = list_first(list);
	if (node != NULL)
		list_remove(list, node);
	return node;
}

/* The body may remove the current node, and no other. */
#define list_each(list, node, after)                                                                                             \
	for (struct list_node *node = (list)->head.next, *after = node->next; node != &(list)->head;                             \
	     node = after, after = node->next)
