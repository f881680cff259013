/* gate.c owns the list of all gates there are, and the order in which those of a route judge.
 * It must never know what one of them asks. */
#include "gate/gate.h"

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

void gates_check(const struct gates *gates, const void *section, struct err *warnings)
{
	for (size_t i = 0; i < gates->count; i++)
		if (gates->item[i].ops->check != NULL)
			gates->item[i].ops->check(&gates->item[i], section, warnings);
}

enum reason gates_judge(const struct gates *gates, struct request *request)
{
	enum reason reason = REASON_NONE;
	for (size_t i = 0; i < gates->count && reason == REASON_NONE; i++)
		reason = gates->item[i].ops->judge(&gates->item[i], request);
	return reason;
}
