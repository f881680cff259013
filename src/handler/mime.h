/* The media type of a file, by its suffix. */
#pragma once

/* A value for Content-Type, charset included for text; application/octet-stream for a suffix that is not known. */
const char *mime_type(const char *path);
