/* token.c owns the gate that a token opens: it names the target.
 * It must never tell a client why a token is not known. */
#include "gate/gate.h"

#include "base/conf.h"
#include "gate/tokens.h"

#include <string.h>

static bool token_build(struct gate *gate)
{
	const char *path = *gate->options.token_file;
	gate->own = path[0] != '\0' ? tokens_new(path) : NULL;
	return gate->own != NULL;
}

static enum verdict token_start(const struct gate *gate, struct request *request)
{
	if (request->penalised)
		return request_refuse(request, REASON_SOURCE_PENALTY);
	struct token_answer answer;
	enum token_result result = tokens_look_up(gate->own, request->head->query, &answer);
	log_lines(request->log, LEVEL_WARN, &answer.report);
	switch (result) {
	case TOKEN_FOUND:
		request->target = answer.target;
		return VERDICT_PASS;
	case TOKEN_UNREADABLE:
		request->detail = strdup(answer.detail);
		return request_refuse(request, REASON_TOKENS_UNREADABLE);
	case TOKEN_MISSING:
		return request_refuse(request, REASON_TOKEN_MISSING);
	default:
		return request_refuse(request, REASON_UNKNOWN_TOKEN);
	}
}

static void token_check(const struct gate *gate, const void *section, struct err *warnings)
{
	struct err report;
	struct span line;

	err_init(&report);
	tokens_check(gate->own, &report);
	for (struct span rest = { report.text, report.len }; rest.n > 0 && span_next(&rest, '\n', &line); report.count--)
		conf_complain_option(section, gate->options.token_file, warnings, "%.*s", (int)line.n, line.p);
	warnings->count += report.count; /* those that it had no room for */
}

static void token_free(struct gate *gate)
{
	tokens_free(gate->own);
}

const struct gate_ops gate_token = { .build = token_build, .start = token_start, .check = token_check, .free = token_free };
