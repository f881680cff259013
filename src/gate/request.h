/* What gates judge, and what they find: an upgrade that was asked for on one of a listener's connections. */
#pragma once

#include "base/log.h"
#include "net/addr.h"
#include "proto/http.h"
#include "proto/upgrade.h"

#include <stdbool.h>

struct request {
	struct http_head *head; /* while the gates judge, as its spans are */
	bool tls;               /* how the client reached us */
	bool penalised;         /* its source is refused for now: it may not guess anything */
	struct log *log;        /* for what a gate finds wrong with files of its own */

	bool browser;           /* it has an Origin */
	struct span key;        /* Sec-WebSocket-Key, in key_text; absent until it is known to be good */
	char key_text[UPGRADE_KEY_LEN];
	struct span subprotocol; /* that is agreed to; one of the route's, or absent */
	struct address target;  /* that a gate named, the receiver's to address_clear(); its text is NULL: the route's */
	char *detail;           /* what is wrong underneath, for the log, the receiver's to free; or NULL */
};
