/* The part of the sandbox that seccomp does; sandbox.c alone asks for it. */
#pragma once

#include "sys/sandbox.h"

/* Leaves all threads the calls on the list, and writing and openat2(2) as struct sandbox_options says. Returns how many
 * calls that is, 0 in a build without libseccomp, -1 with a complaint. */
must_check int sandbox_restrict_calls(enum sandbox_role role, int write_flags, const struct open_how *how, size_t hows,
                                      struct err *err);

/* The call as a person knows it, such as "getsid (124)". */
void sandbox_name_call(int number, char name[static SANDBOX_CALL_MAX]);
