/* replay.c owns a main() that hands stored inputs to a fuzz target once, with any compiler and without a fuzzer.
 * It must never choose inputs itself: what is found is found by libFuzzer, whose main() stands here when LIBFUZZER is defined. */
#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#ifndef LIBFUZZER

#define INPUT_MAX (1024 * 1024)

static size_t replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *input = malloc(INPUT_MAX);

	if (file == NULL || input == NULL) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
	size_t len = fread(input, 1, INPUT_MAX, file);
	fclose(file);
	uint8_t *exact = exact_copy(input, len);
	free(input);
	printf("%s\n", path); /* the last line before a crash names its input */
	fflush(stdout);
	LLVMFuzzerTestOneInput(exact, len);
	free(exact);
	return 1;
}

static int not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static size_t replay_path(const char *path)
{
	struct dirent **entries;
	struct stat st;
	size_t done = 0;

	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		return replay_file(path);
	int count = scandir(path, &entries, not_hidden, alphasort);
	if (count < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
	for (int i = 0; i < count; i++) {
		char inner[4096];
		snprintf(inner, sizeof(inner), "%s/%s", path, entries[i]->d_name);
		done += replay_path(inner);
		free(entries[i]);
	}
	free(entries);
	return done;
}

/* Without arguments: the corpus of the target this program is named after. */
int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/'), *source = getenv("srcdir");
	char corpus[4096];
	size_t done = 0;

	snprintf(corpus, sizeof(corpus), "%s/tests/fuzz/corpus/%s", source != NULL ? source : ".",
	         slash != NULL ? slash + 1 : argv[0]);
	if (argc < 2)
		done = replay_path(corpus);
	for (int i = 1; i < argc; i++)
		done += replay_path(argv[i]);
	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	printf("%zu inputs replayed\n", done);
	return done > 0 ? 0 : 1;
}

#endif
