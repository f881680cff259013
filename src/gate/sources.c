/* sources.c owns the table of sources: finding one, making room for one, and the arithmetic of its limits.
 * It must never grow, nor look at more than the two buckets that a source can be in. */
#include "gate/sources.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define WAYS      16UL /* places in a bucket; of two buckets the emptier one is taken, so few are full before all are */
#define TICK_MS   125  /* of penalties: 31 bits of it last eight years */
#define WINDOW_MS 10000
#define WINDOWS   256
#define COUNT_MAX 4095

/* A free place is all zero. */
struct source {
	uint64_t key;
	uint64_t until : 31;  /* the tick its penalty is over */
	uint64_t refused : 1; /* its penalty is enforced until then */
	uint64_t sessions : 12;
	uint64_t window : 8; /* the last ten seconds it came in, modulo WINDOWS: 43 minutes later they would be taken for now */
	uint64_t begun : 12; /* connections in that window */
};

_Static_assert(sizeof(struct source) == 16, "a million sources take 16 MiB");

struct bucket {
	struct source source[WAYS];
};

struct sources {
	pthread_mutex_t lock;
	uint64_t secret[2]; /* so that nobody can choose sources that fall into one bucket */
	uint64_t mask;
	struct bucket bucket[];
};

struct sources *sources_new(size_t places)
{
	size_t buckets = 1;
	while (buckets * WAYS < places)
		buckets *= 2;
	struct sources *s = calloc(1, sizeof(*s) + buckets * sizeof(s->bucket[0]));
	if (s == NULL || getrandom(s->secret, sizeof(s->secret), 0) != sizeof(s->secret)) {
		free(s);
		return NULL;
	}
	s->mask = buckets - 1;
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

void sources_free(struct sources *s)
{
	if (s != NULL)
		pthread_mutex_destroy(&s->lock);
	free(s);
}

static uint64_t cut(uint64_t value, unsigned width, unsigned bits)
{
	if (bits >= width)
		return value;
	return bits == 0 ? 0 : value >> (width - bits) << (width - bits);
}

static uint64_t big_endian(const uint8_t *bytes, size_t n)
{
	uint64_t value = 0;
	for (size_t i = 0; i < n; i++)
		value = value << 8 | bytes[i];
	return value;
}

/* IPv4 stands in a part of the IPv6 space that nobody has. */
static uint64_t ipv4_key(uint64_t address, unsigned bits)
{
	return UINT64_C(0xffff) << 32 | cut(address, 32, bits);
}

/* Two networks are not one owner's: the one whose addresses stand for IPv4 (RFC 6052), and that of the link, where each
 * address is a source and stands in a part of the space that is nobody else's. */
uint64_t source_key(const struct peer *peer, unsigned ipv4_bits, unsigned ipv6_bits)
{
	static const uint8_t translated[12] = { 0x00, 0x64, 0xff, 0x9b };
	const uint8_t *address = peer->sa.in6.sin6_addr.s6_addr;
	if (peer->sa.any.sa_family == AF_INET)
		return ipv4_key(ntohl(peer->sa.in.sin_addr.s_addr), ipv4_bits);
	if (peer->sa.any.sa_family != AF_INET6)
		return 0;
	if (memcmp(address, translated, sizeof(translated)) == 0)
		return ipv4_key(big_endian(address + 12, 4), ipv4_bits);
	if (address[0] == 0xfe && (address[1] & 0xc0) == 0x80)
		return UINT64_C(0xfe) << 56 | big_endian(address + 9, 7);
	uint64_t network = cut(big_endian(address, 8), 64, ipv6_bits);
	return network != 0 ? network : 1;
}

uint64_t source_hash(uint64_t key, uint64_t secret)
{
	uint64_t x = key ^ secret;
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	return x ^ x >> 32;
}

/* One of the two buckets that the source can be in. */
static struct bucket *bucket_of(struct sources *s, uint64_t key, int which)
{
	return &s->bucket[source_hash(key, s->secret[which]) & s->mask];
}

static struct source *sources_find(struct sources *s, uint64_t key)
{
	for (int which = 0; which < 2; which++) {
		struct bucket *bucket = bucket_of(s, key, which);
		for (size_t i = 0; i < WAYS; i++)
			if (bucket->source[i].key == key)
				return &bucket->source[i];
	}
	return NULL;
}

static unsigned window_of(uint64_t now)
{
	return (unsigned)(now / WINDOW_MS % WINDOWS);
}

/* In ticks. */
static uint64_t penalty_left(const struct source *source, uint64_t now)
{
	return source->until > now / TICK_MS ? source->until - now / TICK_MS : 0;
}

/* How much would be lost if the place were taken; 0: it is free. */
static uint64_t worth(const struct source *source, uint64_t now)
{
	if (source->key == 0)
		return 0;
	if (source->sessions > 0)
		return UINT64_MAX;
	return 1 + penalty_left(source, now) * COUNT_MAX + (source->window == window_of(now) ? source->begun : 0);
}

static unsigned free_places(const struct bucket *bucket)
{
	unsigned n = 0;
	for (size_t i = 0; i < WAYS; i++)
		n += bucket->source[i].key == 0;
	return n;
}

/* The source's place; if it has none, the first of those that are worth least, from the emptier bucket on. NULL: each belongs to a
 * source with sessions. */
static struct source *sources_get(struct sources *s, uint64_t key, uint64_t now)
{
	struct source *place = sources_find(s, key);
	if (place != NULL)
		return place;
	struct bucket *bucket[2] = { bucket_of(s, key, 0), bucket_of(s, key, 1) };
	size_t emptier = free_places(bucket[1]) > free_places(bucket[0]);
	uint64_t least = UINT64_MAX;
	for (size_t i = 0; i < 2 * WAYS; i++) {
		struct source *source = &bucket[(i / WAYS) ^ emptier]->source[i % WAYS];
		if (worth(source, now) < least) {
			least = worth(source, now);
			place = source;
		}
	}
	if (place != NULL)
		*place = (struct source){ .key = key };
	return place;
}

static bool is_refused(struct source *source, uint64_t now)
{
	if (source->refused && source->until <= now / TICK_MS)
		source->refused = 0;
	return source->refused;
}

/* Counts also what is refused here: who does not slow down stays refused. */
static bool is_too_fast(struct source *source, const struct source_limits *limits, uint64_t now)
{
	if (limits->rate == 0)
		return false;
	if (source->window != window_of(now)) {
		source->window = window_of(now) & (WINDOWS - 1);
		source->begun = 0;
	}
	if (source->begun < COUNT_MAX)
		source->begun++;
	return source->begun > limits->rate * (WINDOW_MS / 1000);
}

static enum reason source_judge(struct source *source, const struct source_limits *limits, uint64_t now, bool *counted)
{
	if (limits->penalty_max > 0 && is_refused(source, now))
		return REASON_SOURCE_PENALTY;
	if (is_too_fast(source, limits, now))
		return REASON_SOURCE_RATE;
	if (limits->sessions == 0)
		return REASON_NONE;
	if (source->sessions >= limits->sessions || source->sessions == COUNT_MAX)
		return REASON_SOURCE_SESSIONS;
	source->sessions++;
	*counted = true;
	return REASON_NONE;
}

enum reason sources_enter(struct sources *s, uint64_t key, const struct source_limits *limits, uint64_t now, bool *counted)
{
	bool counting = limits->sessions > 0 || limits->rate > 0;
	enum reason reason = REASON_NONE;
	*counted = false;
	pthread_mutex_lock(&s->lock);
	struct source *source = counting ? sources_get(s, key, now) : sources_find(s, key);
	if (source != NULL)
		reason = source_judge(source, limits, now, counted);
	pthread_mutex_unlock(&s->lock);
	return reason;
}

void sources_leave(struct sources *s, uint64_t key)
{
	pthread_mutex_lock(&s->lock);
	struct source *source = sources_find(s, key);
	if (source != NULL && source->sessions > 0)
		source->sessions--;
	pthread_mutex_unlock(&s->lock);
}

bool sources_refuses(struct sources *s, uint64_t key, const struct source_limits *limits, uint64_t now)
{
	if (limits->penalty_max == 0)
		return false;
	pthread_mutex_lock(&s->lock);
	struct source *source = sources_find(s, key);
	bool refused = source != NULL && is_refused(source, now);
	pthread_mutex_unlock(&s->lock);
	return refused;
}

uint64_t sources_punish(struct sources *s, uint64_t key, uint64_t ms, const struct source_limits *limits, uint64_t now)
{
	uint64_t most = limits->penalty_max / TICK_MS, refused = 0;
	if (ms == 0 || limits->penalty_max == 0)
		return 0;
	pthread_mutex_lock(&s->lock);
	struct source *source = sources_get(s, key, now);
	if (source != NULL) {
		bool was_refused = is_refused(source, now);
		uint64_t left = penalty_left(source, now) + (ms + TICK_MS - 1) / TICK_MS;
		if (left > most)
			left = most;
		source->until = (now / TICK_MS + left) & 0x7fffffff;
		if (left * TICK_MS >= limits->penalty_min)
			source->refused = 1;
		if (source->refused && !was_refused)
			refused = left * TICK_MS;
	}
	pthread_mutex_unlock(&s->lock);
	return refused;
}
