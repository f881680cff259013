/* own_names.c owns the question which host names mean this machine.
 * It must never ask the network: an answer from there is what is not to be trusted. */
#include "sys/own_names.h"

#include "base/file.h"
#include "proto/ip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLANKS    " \t\r\n"
#define NAME_ROOM 256

static bool list_has(const struct str_list *names, struct span name)
{
	for (size_t i = 0; i < names->count; i++)
		if (span_eq_nocase(span_of(names->item[i]), name))
			return true;
	return false;
}

static void list_add(struct str_list *names, const char *name)
{
	if (name[0] != '\0' && !list_has(names, span_of(name)))
		str_list_add(names, span_of(name));
}

/* ADDRESS NAME NAME ... # comment */
static void take_hosts_line(struct str_list *names, char *line)
{
	struct str_list found = { NULL, 0 };
	char *rest = line;
	bool ours = false;

	line[strcspn(line, "#")] = '\0';
	if (strtok_r(line, BLANKS, &rest) != NULL) {
		for (char *name; (name = strtok_r(NULL, BLANKS, &rest)) != NULL;) {
			ours = ours || list_has(names, span_of(name));
			str_list_add(&found, span_of(name));
		}
	}
	for (size_t i = 0; ours && i < found.count; i++)
		list_add(names, found.item[i]);
	str_list_clear(&found);
}

static void take_hosts_file(struct str_list *names, struct opener *opener)
{
	int fd = opener != NULL ? opener->open(opener, OWN_NAMES_FILE) : file_opener.open(&file_opener, OWN_NAMES_FILE);
	FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
	char *line = NULL;
	size_t room = 0;

	if (file == NULL)
		return;
	while (getline(&line, &room, file) > 0)
		take_hosts_line(names, line);
	free(line);
	fclose(file);
}

void own_names_list(struct str_list *names, struct opener *opener)
{
	char full[NAME_ROOM] = "", local[NAME_ROOM + sizeof(".local")];

	if (gethostname(full, sizeof(full) - 1) != 0 || full[0] == '\0')
		return;
	int label = (int)strcspn(full, ".");
	list_add(names, full);
	snprintf(local, sizeof(local), "%.*s", label, full);
	list_add(names, local);
	take_hosts_file(names, opener);
	snprintf(local, sizeof(local), "%.*s.local", label, full);
	list_add(names, local);
}

bool own_names_has(const struct str_list *names, struct span host)
{
	return ip_is_number(host) || uri_is_localhost(host) || list_has(names, host);
}
