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

static void token_log_report(struct tokens *tokens, struct log *log)
{
	struct err report;
	tokens_report(tokens, &report);
	log_lines(log, LEVEL_WARN, &report);
}

static enum verdict token_verdict(struct request *request, enum token_result result, const struct token_answer *answer)
{
	switch (result) {
	case TOKEN_FOUND:
		request->target = answer->target;
		return VERDICT_PASS;
	case TOKEN_UNREADABLE:
		request->detail = strdup(answer->detail);
		return request_refuse(request, REASON_TOKENS_UNREADABLE);
	case TOKEN_MISSING:
		return request_refuse(request, REASON_TOKEN_MISSING);
	default:
		return request_refuse(request, REASON_UNKNOWN_TOKEN);
	}
}

/* By what was read after it had asked. */
static enum verdict token_judge(struct tokens *tokens, struct request *request)
{
	struct token_answer answer;
	token_log_report(tokens, request->env->log);
	enum token_result result = tokens_look_up(tokens, request->head->query, true, &answer);
	return token_verdict(request, result, &answer);
}

static void token_on_read(struct tokens *tokens, void *arg)
{
	struct request *request = arg;
	request->step = NULL;
	request->decided(request, token_judge(tokens, request));
}

static enum verdict token_wait(struct tokens *tokens, struct request *request)
{
	if (request->env->offload == NULL) {
		tokens_read(tokens, request->env->opener[0]);
		return token_judge(tokens, request);
	}
	request->step = tokens_wait(tokens, request->env, token_on_read, request);
	return request->step != NULL ? request_wait(request, REASON_TOKENS_UNREADABLE)
	                             : request_refuse(request, REASON_NO_RESOURCE);
}

static enum verdict token_start(const struct gate *gate, struct request *request)
{
	if (request->penalised)
		return request_refuse(request, REASON_SOURCE_PENALTY);
	struct token_answer answer;
	enum token_result result = tokens_look_up(gate->own, request->head->query, false, &answer);
	return result == TOKEN_STALE ? token_wait(gate->own, request) : token_verdict(request, result, &answer);
}

static void token_cancel(const struct gate *gate, struct request *request)
{
	(void)gate;
	tokens_cancel(request->step);
	request->step = NULL;
}

static void token_check(const struct gate *gate, struct opener *opener, const void *section, struct err *warnings)
{
	struct err report;
	struct span line;

	tokens_read(gate->own, opener);
	tokens_report(gate->own, &report);
	for (struct span rest = { report.text, report.len }; rest.n > 0 && span_next(&rest, '\n', &line); report.count--)
		conf_complain_option(section, gate->options.token_file, warnings, "%.*s", (int)line.n, line.p);
	warnings->count += report.count; /* those that it had no room for */
}

static void token_free(struct gate *gate)
{
	tokens_free(gate->own);
}

const struct gate_ops gate_token = {
	.build = token_build, .start = token_start, .cancel = token_cancel, .check = token_check, .free = token_free
};
