/* subprotocol.c owns the gate that agrees to a subprotocol, and may ask for one.
 * It must never agree to what was not offered. */
#include "gate/gate.h"

static enum reason subprotocol_judge(const struct gate *gate, struct request *request)
{
	request->subprotocol = upgrade_subprotocol(request->head, gate->options.subprotocol);
	return request->subprotocol.p == NULL && *gate->options.require_subprotocol ? REASON_SUBPROTOCOL_REQUIRED : REASON_NONE;
}

const struct gate_ops gate_subprotocol = { .judge = subprotocol_judge };
