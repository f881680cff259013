/* Reads INI text into a configuration.
 *
 *     [kind]            a single section        [kind name]       one of a repeatable kind; names are unique in a kind
 *     key = value       Lists are repeated keys or commas; the first value given replaces the default's.
 *         and more      An indented line goes on with the value above: a blank joins them, and in a list a comma.
 *     key = "value"     kept as it stands between the quotes, with ';' and '#'; for a list it is one item
 *     ; comment         also # at the start of a line, and ; after a blank behind a value
 *
 * inih tells options, values and continued lines apart. All complaints of one pass are gathered, each as `FILE:LINE:
 * [route vnc] unknown option "prot"; did you mean "port"?`: unknown section or option, scalar given twice, bad value,
 * missing or needless section name, text outside a section, an indented line without an option above it or that looks
 * like an option itself, line over CONF_LINE_MAX that is no comment, unreadable file. The line is the one where the
 * option begins. inih names only the first line it can't read, tells nothing of a section without options, and Debian's
 * cuts section names at 49 characters and lines at 199 bytes in silence: so sections and the length of lines are looked
 * at before it sees them. */
#pragma once

#include "base/conf.h"
#include "base/err.h"

struct opener;

#define CONF_LINE_MAX 198
#define CONF_NAME_MAX 40 /* of a section */
#define CONF_FILE_MAX (1 << 20)

/* Each returns -1 when it complained; reading goes on all the same, so that one pass tells everything. For text, name
 * stands where the name of a file would. opener: as in file_open_to_read(). */
int conf_read_file(struct conf *conf, const char *path, struct opener *opener, struct err *err);
int conf_read_text(struct conf *conf, const char *name, const char *text, struct err *err);
