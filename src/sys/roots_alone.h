/* Whether a name can be trusted by root: who may change a directory on the way decides where the name leads. */
#pragma once

#include <stdbool.h>

/* Whether nobody but root can change where the file of this absolute path is: each directory down to it, and each that a link
 * leads through, on the way or as the file itself, belongs to root and can be written by nobody else, or is sticky and holds but
 * the next directory. The file itself may be missing, or anybody's. */
bool roots_alone(const char *path);
