/* A gate judges who may pass to a route's target, and may name that target. The gates of a route are a chain, in the order of
 * gate.def; the first that refuses ends it, and one that has to wait holds it up. A gate is a file gate/NAME.c, which has a struct
 * gate_ops gate_NAME, and its rows in gate.def. Immutable but for what a gate guards itself: any thread may judge. */
#pragma once

#include "base/conf_types.h"
#include "base/err.h"
#include "gate/reason.h"
#include "gate/request.h"

#include <stddef.h>

/* What a [route] says to its gates: pointers to its fields. */
struct gate_options {
#define OPT(name, type, ...) CONF_##type const *name;
#include "gate/gate.def"
#undef OPT
};

struct gate {
	const struct gate_ops *ops;
	struct gate_options options;
	void *own; /* what build() made */
};

struct gate_ops {
	/* Whether by its options the route has this gate. NULL: every route has it, and there is nothing to make. */
	bool (*build)(struct gate *gate);
	/* Judges, and notes in the request what it found. VERDICT_WAIT: it will call request->decided() later, once, from the event loop of
	 * this thread; until then the head is the request's own. */
	enum verdict (*start)(const struct gate *gate, struct request *request);
	void (*cancel)(const struct gate *gate,
	               struct request *request); /* of one that waits: it decides nothing. NULL: it never waits */
	/* Reads the files it will need, by the opener, and complains of what is wrong with them at the section's option. NULL: it
	 * has none. */
	void (*check)(const struct gate *gate, struct opener *opener, const void *section, struct err *warnings);
	void (*free)(struct gate *gate); /* NULL: build() made nothing */
};

#define OPT(...)
#define GATE(name) extern const struct gate_ops gate_##name;
#include "gate/gate.def"
enum {
#define GATE(name) GATE_NUMBER_##name,
#include "gate/gate.def"
	GATES_MAX
};
#undef OPT

/* The gates of one route. */
struct gates {
	struct gate item[GATES_MAX];
	size_t count;
};

/* What the options point to must outlive the gates. */
void gates_build(struct gates *gates, const struct gate_options *options);
void gates_clear(struct gates *gates);
void gates_check(const struct gates *gates, struct opener *opener, const void *section, struct err *warnings);

/* Asks the gates, from the first. The head's spans need to be valid for this call alone, unless it returns VERDICT_WAIT. */
enum verdict gates_start(const struct gates *gates, struct request *request);

/* The gate that was waited for has decided: the others are asked if it lets pass. */
enum verdict gates_go_on(const struct gates *gates, struct request *request, enum verdict verdict);

/* Nobody waits for their verdict any more, whether one does or not. A detail that was not taken is freed. */
void gates_cancel(const struct gates *gates, struct request *request);
