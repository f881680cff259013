/* refusal_text.c owns the words of a refusal.
 * It must never decide one. */
#include "session/refusal_text.h"

#include <stdio.h>

#define WORDS_MAX 512

size_t refusal_text(char buf[REFUSAL_MAX], enum reason reason, const char *meant, const struct http_stamp *stamp, bool head_only)
{
	const struct reason_row *row = &reason_row[reason];
	char words[WORDS_MAX];
	struct http_answer answer;

	http_answer_start(&answer, buf, REFUSAL_MAX, row->http, stamp);
	if (reason == REASON_SERVER_OPTIONS)
		http_answer_text(&answer, "Allow", SPAN("GET, HEAD"));
	int n = meant == NULL ? 0 : snprintf(words, sizeof(words), "%s; did you mean %s?", row->text, meant);
	bool fits = n > 0 && (size_t)n < sizeof(words);
	http_answer_words(&answer, span_of(fits ? words : row->text), false, head_only);
	return answer.len;
}
