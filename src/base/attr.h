/* attr.h names the compiler attributes that the contracts of the other headers use. */
#pragma once

#define must_check               __attribute__((__warn_unused_result__))
#define printf_like(text, first) __attribute__((__format__(__printf__, text, first)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
