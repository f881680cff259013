/* reason.c owns the table of reasons and the translation of what lower layers report into one of them.
 * It must never act on a reason. */
#include "gate/reason.h"

const struct reason_row reason_row[REASON_COUNT] = {
	[REASON_NONE] = { "none", "", 0, 0, LEVEL_DEBUG, 0 },
#define REASON(name, label, http, ws_code, level, flags, text, cure)                                                             \
	[REASON_##name] = { label, text, http, ws_code, level, flags },
#include "gate/reason.def"
#undef REASON
};

enum reason reason_from_http(int status)
{
	for (int reason = REASON_NONE + 1; reason < REASON_COUNT; reason++)
		if (reason_row[reason].http == status)
			return (enum reason)reason;
	return REASON_BAD_REQUEST;
}

enum reason reason_from_ws(uint16_t close_code)
{
	for (int reason = REASON_NONE + 1; reason < REASON_COUNT; reason++)
		if (reason_row[reason].ws_code == close_code)
			return (enum reason)reason;
	return REASON_PROTOCOL_ERROR;
}

enum reason reason_from_dial(enum dial_result result)
{
	if (result == DIAL_TIMED_OUT)
		return REASON_BACKEND_TIMEOUT;
	if (result == DIAL_NOT_FOUND)
		return REASON_BACKEND_NOT_FOUND;
	return result == DIAL_NO_RESOURCE ? REASON_NO_RESOURCE : REASON_BACKEND_REFUSED;
}
