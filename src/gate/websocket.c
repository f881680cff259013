/* websocket.c owns the gate that asks whether an upgrade is a WebSocket handshake as RFC 6455 has it.
 * It must never judge who asks. */
#include "gate/gate.h"

#include <string.h>

static enum verdict websocket_start(const struct gate *gate, struct request *request)
{
	struct span key;
	int status = upgrade_check(request->head, &key);
	if (status == 400 && !http_list_has(request->head, "Connection", SPAN("Upgrade")))
		return request_refuse(request, REASON_CONNECTION_DROPPED);
	if (status != 0)
		return request_refuse(request, reason_from_http(status));
	memcpy(request->key_text, key.p, sizeof(request->key_text));
	request->key = (struct span){ request->key_text, sizeof(request->key_text) };
	return VERDICT_PASS;
}

const struct gate_ops gate_websocket = { .start = websocket_start };
