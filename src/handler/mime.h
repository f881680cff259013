/* The media type of a file, by its suffix. */
#ifndef HANDLER_MIME_H
#define HANDLER_MIME_H

/* A value for Content-Type, charset included for text; application/octet-stream for a suffix that is not known. */
const char *mime_type(const char *path);

#endif
