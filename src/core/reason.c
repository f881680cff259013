/* reason.c owns the table of reasons and the translation of what lower layers report into one of them.
 * It must never act on a reason. */
#include "core/reason.h"

const struct reason_row reason_row[REASON_COUNT] = {
	[REASON_NONE] = { "none", "", 0, 0, LEVEL_DEBUG, 0 },
#define REASON(name, label, http, ws_code, level, flags, text) \
	[REASON_##name] = { label, text, http, ws_code, level, flags },
#include "core/reason.def"
#undef REASON
};

enum reason reason_from_http(int status)
{
	switch (status) {
	case 405:
		return REASON_METHOD_NOT_ALLOWED;
	case 413:
		return REASON_BODY;
	case 414:
		return REASON_TARGET_TOO_LONG;
	case 426:
		return REASON_UPGRADE_REQUIRED;
	case 431:
		return REASON_HEAD_TOO_LARGE;
	case 505:
		return REASON_HTTP_VERSION;
	default:
		return REASON_BAD_REQUEST;
	}
}

enum reason reason_from_ws(uint16_t close_code)
{
	switch (close_code) {
	case 1003:
		return REASON_MESSAGE_REFUSED;
	case 1007:
		return REASON_BAD_UTF8;
	case 1009:
		return REASON_MESSAGE_TOO_BIG;
	default:
		return REASON_PROTOCOL_ERROR;
	}
}

enum reason reason_from_dial(enum dial_result result)
{
	switch (result) {
	case DIAL_TIMED_OUT:
		return REASON_BACKEND_TIMEOUT;
	case DIAL_NOT_FOUND:
		return REASON_BACKEND_NOT_FOUND;
	case DIAL_NO_RESOURCE:
		return REASON_NO_RESOURCE;
	default:
		return REASON_BACKEND_REFUSED;
	}
}
