/* gate.c owns the list of all gates there are, the order in which those of a route judge, and the copy of a head whose bytes are
 * about to be overwritten. It must never know what a gate asks. */
#include "gate/gate.h"

#include <stdlib.h>
#include <string.h>

static const struct gate_ops *const all[GATES_MAX] = {
#define GATE(name) &gate_##name,
#define OPT(...)
#include "gate/gate.def"
#undef OPT
};

void gates_build(struct gates *gates, const struct gate_options *options)
{
	gates->count = 0;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct gate *gate = &gates->item[gates->count];
		*gate = (struct gate){ .ops = all[i], .options = *options };
		if (gate->ops->build == NULL || gate->ops->build(gate))
			gates->count++;
	}
}

void gates_clear(struct gates *gates)
{
	for (size_t i = 0; i < gates->count; i++)
		if (gates->item[i].ops->free != NULL)
			gates->item[i].ops->free(&gates->item[i]);
	gates->count = 0;
}

void gates_check(const struct gates *gates, struct opener *opener, const void *section, struct err *warnings)
{
	for (size_t i = 0; i < gates->count; i++)
		if (gates->item[i].ops->check != NULL)
			gates->item[i].ops->check(&gates->item[i], opener, section, warnings);
}

enum verdict gates_go_on(const struct gates *gates, struct request *request, enum verdict verdict)
{
	while (verdict == VERDICT_PASS && request->gate < gates->count) {
		const struct gate *gate = &gates->item[request->gate++];
		verdict = gate->ops->start(gate, request);
	}
	request->waits = verdict == VERDICT_WAIT;
	return verdict;
}

enum verdict gates_start(const struct gates *gates, struct request *request)
{
	request->gate = 0;
	return gates_go_on(gates, request, VERDICT_PASS);
}

void gates_cancel(const struct gates *gates, struct request *request)
{
	const struct gate *gate = &gates->item[request->gate - request->waits];
	if (request->waits)
		gate->ops->cancel(gate, request);
	request->waits = false;
	free(request->detail);
	request->detail = NULL;
}

size_t request_own(struct request *request)
{
	const struct http_head *head = request->head;
	size_t size = sizeof(*head) + head->text.n;
	struct http_head *own = malloc(size);
	if (own == NULL)
		return 0;
	memcpy(own + 1, head->text.p, head->text.n);
	(void)http_parse_head(own, (char *)(own + 1), head->text.n); /* as it was parsed before */
	own->keep_alive = head->keep_alive;
	own->fault = head->fault;
	request->head = request->own = own;
	return size;
}

size_t request_disown(struct request *request)
{
	size_t size = request->own != NULL ? sizeof(*request->own) + request->own->text.n : 0;
	free(request->own);
	request->head = request->own = NULL;
	return size;
}
