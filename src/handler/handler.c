/* handler.c owns the list of all handlers there are.
 * It must never know what one of them answers. */
#include "handler/handler.h"

static const struct handler_ops *const all[] = {
#define HANDLER(name) &handler_##name,
#define OPT(...)
#include "handler/handler.def"
#undef OPT
};

int handler_open(struct handler **handler, const struct handler_options *options, struct err *err)
{
	*handler = NULL;
	for (size_t i = 0; i < ARRAY_LEN(all) && *handler == NULL; i++)
		if (all[i]->open(handler, options, err) != 0)
			return -1;
	return 0;
}
