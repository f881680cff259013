/* request.c owns the copy of a head whose bytes are about to be overwritten.
 * It must never judge. */
#include "gate/request.h"

#include <stdlib.h>
#include <string.h>

static size_t size_of(const struct http_head *head)
{
	return sizeof(*head) + head->text.n;
}

size_t request_own(struct request *request)
{
	const struct http_head *head = request->head;
	struct http_head *own = malloc(size_of(head));

	if (own == NULL)
		return 0;
	*own = *head;
	memcpy(own + 1, head->text.p, head->text.n);
	http_head_move(own, (char *)(own + 1));
	request->head = request->own = own;
	return size_of(own);
}

size_t request_disown(struct request *request)
{
	size_t size = request->own != NULL ? size_of(request->own) : 0;

	free(request->own);
	request->head = request->own = NULL;
	return size;
}
