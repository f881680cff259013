/* mime.c owns the table of suffixes and the media types that browsers insist on.
 * It must never look into a file. */
#include "handler/mime.h"

#include "base/attr.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

const char *mime_type(const char *path)
{
	static const struct {
		const char *suffix, *type;
	} types[] = {
		{ "html", "text/html; charset=utf-8" },
		{ "htm", "text/html; charset=utf-8" },
		{ "js", "text/javascript; charset=utf-8" },
		{ "mjs", "text/javascript; charset=utf-8" },
		{ "css", "text/css; charset=utf-8" },
		{ "txt", "text/plain; charset=utf-8" },
		{ "md", "text/markdown; charset=utf-8" },
		{ "csv", "text/csv; charset=utf-8" },
		{ "json", "application/json" },
		{ "map", "application/json" },
		{ "webmanifest", "application/manifest+json" },
		{ "wasm", "application/wasm" },
		{ "xml", "application/xml" },
		{ "xhtml", "application/xhtml+xml" },
		{ "pdf", "application/pdf" },
		{ "gz", "application/gzip" },
		{ "zip", "application/zip" },
		{ "svg", "image/svg+xml" },
		{ "png", "image/png" },
		{ "jpg", "image/jpeg" },
		{ "jpeg", "image/jpeg" },
		{ "gif", "image/gif" },
		{ "webp", "image/webp" },
		{ "avif", "image/avif" },
		{ "bmp", "image/bmp" },
		{ "ico", "image/vnd.microsoft.icon" },
		{ "cur", "image/vnd.microsoft.icon" },
		{ "woff", "font/woff" },
		{ "woff2", "font/woff2" },
		{ "ttf", "font/ttf" },
		{ "otf", "font/otf" },
		{ "mp3", "audio/mpeg" },
		{ "oga", "audio/ogg" },
		{ "ogg", "audio/ogg" },
		{ "wav", "audio/wav" },
		{ "mp4", "video/mp4" },
		{ "webm", "video/webm" },
		{ "ogv", "video/ogg" },
	};
	const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
	if (dot != NULL && (slash == NULL || dot > slash))
		for (size_t i = 0; i < ARRAY_LEN(types); i++)
			if (strcasecmp(dot + 1, types[i].suffix) == 0)
				return types[i].type;
	return "application/octet-stream";
}
