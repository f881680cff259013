/* token.c owns the gate that a token opens: it names the target.
 * It must never tell a client why a token is not known. */
#include "gate/gate.h"

#include "base/conf.h"
#include "gate/tokens.h"

static bool token_build(struct gate *gate)
{
	const char *path = *gate->options.token_file;
	gate->own = path[0] != '\0' ? tokens_new(path) : NULL;
	return gate->own != NULL;
}

/* By what was read after it had asked. */
static enum verdict token_judge(struct tokens *tokens, struct request *request)
{
	struct err report;
	tokens_report(tokens, &report);
	log_lines(request->env->log, LEVEL_WARN, &report);
	return tokens_look_up(tokens, request, true);
}

static void token_on_read(struct tokens *tokens, void *arg)
{
	struct request *request = arg;
	request->step = NULL;
	request->decided(request, token_judge(tokens, request));
}

static enum verdict token_start(const struct gate *gate, struct request *request)
{
	if (request->penalised)
		return request_refuse(request, REASON_SOURCE_PENALTY);
	enum verdict verdict = tokens_look_up(gate->own, request, false);
	if (verdict != VERDICT_WAIT)
		return verdict;
	if (request->env->offload == NULL) {
		tokens_read(gate->own, request->env->opener[0]);
		return token_judge(gate->own, request);
	}
	request->step = tokens_wait(gate->own, request->env, token_on_read, request);
	return request->step != NULL ? request_wait(request, REASON_TOKENS_UNREADABLE)
	                             : request_refuse(request, REASON_NO_RESOURCE);
}

static void token_cancel(const struct gate *gate, struct request *request)
{
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
