/* gate.c owns the list of all gates there are, and the order in which those of a route judge.
 * It must never know what one of them asks. */
#include "gate/gate.h"

#include <stdlib.h>

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
