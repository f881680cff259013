/* subprotocol.c owns the gate that agrees to a subprotocol, and may ask for one.
 * It must never agree to what was not offered. */
#include "gate/gate.h"

static enum verdict subprotocol_start(const struct gate *gate, struct request *request)
{
	request->subprotocol = upgrade_subprotocol(request->head, gate->options.subprotocol);
	if (request->subprotocol.p == NULL && *gate->options.require_subprotocol)
		return request_refuse(request, REASON_SUBPROTOCOL_REQUIRED);
	return VERDICT_PASS;
}

const struct gate_ops gate_subprotocol = { .start = subprotocol_start };
