/* The words by which a row of a .def file says more than a name, a type, a default and a help text:
 *
 *     OPT(index, texts, "index.html", NEEDS(root), "files that answer ...")
 *     OPT(backlog, number, "1024", BETWEEN(1, 65535) RESTART, "maximum number of ...")
 *
 * Who builds a struct conf_option of a row puts them last. base/conf.h tells what each means. */
#pragma once

#include "base/conf.h"

#define PLAIN              /* nothing more to say */
#define RESTART            .restart = true,
#define AT_MOST(high)      .most = (high), /* bounds of a number, of a size in bytes, of a duration in ms */
#define BETWEEN(low, high) .least = (low), .most = (high),
#define NOT_ZERO           .least = 1, .most = UINT64_MAX,
#define NEEDS(what)        .needs = needs_##what, /* a conf_needs of the file that has the table */
#define CHECK(what)        .check = check_##what, /* a function of that file, too */
#define REQUIRED(such)     .example = (such),
#define LEADS(to, such)    .leads = LEADS_##to, .example = (such),
#define NAMES(what)        .file = FILE_##what, /* files: of which kind */

/* A row, as a struct conf_option; owner is the struct that has the field. */
#define CONF_ROW(owner, id, kind, text, words, ...)                                                                              \
	{ .name = #id, .type = &conf_##kind, .offset = offsetof(struct owner, id), .def = text, .help = words, __VA_ARGS__ },
