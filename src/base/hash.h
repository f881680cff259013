/* A number for bytes, to tell states apart that nobody makes on purpose (FNV-1a); no defence against an attacker. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define HASH_START UINT64_C(0xcbf29ce484222325)
#define HASH_PRIME UINT64_C(0x100000001b3)

static inline uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * HASH_PRIME;
	return hash;
}

static inline uint64_t hash_number(uint64_t hash, uint64_t number)
{
	for (unsigned shift = 0; shift < 64; shift += 8)
		hash = (hash ^ (number >> shift & 0xff)) * HASH_PRIME;
	return hash;
}

/* Of all that changes when a file is edited or replaced by another, whatever dates it was given. */
static inline uint64_t hash_file(uint64_t hash, const struct stat *st)
{
	const uint64_t parts[] = {
		(uint64_t)st->st_ino,          (uint64_t)st->st_size,        (uint64_t)st->st_mtim.tv_sec,
		(uint64_t)st->st_mtim.tv_nsec, (uint64_t)st->st_ctim.tv_sec, (uint64_t)st->st_ctim.tv_nsec,
	};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		hash = hash_number(hash, parts[i]);
	return hash;
}
