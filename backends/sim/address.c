/* SPDX-License-Identifier: MIT */
/*
 * Addresses as Linux compares them: what a listener takes, and whom it stands in the way of. Any
 * thread.
 */
#include <string.h>

#include "backends/sim/sim_internal.h"

/* The address without its port: what two TCP addresses are compared by. NULL for other families. */
static const void *host_of(const struct rota_address *address, size_t *bytes)
{
	if (address->any.sa_family == AF_INET) {
		*bytes = sizeof(address->v4.sin_addr);
		return &address->v4.sin_addr;
	}
	if (address->any.sa_family == AF_INET6) {
		*bytes = sizeof(address->v6.sin6_addr);
		return &address->v6.sin6_addr;
	}
	return NULL;
}

/* 0.0.0.0 or :: */
bool sim__is_any_host(const struct rota_address *address)
{
	static const struct in6_addr any_host; /* zeroes; as long as the longest */
	size_t bytes = 0;
	const void *host = host_of(address, &bytes);

	return host && !memcmp(host, &any_host, bytes);
}

static bool hosts_equal(const struct rota_address *a, const struct rota_address *b)
{
	size_t bytes = 0, other_bytes = 0;
	const void *host = host_of(a, &bytes);
	const void *other = host_of(b, &other_bytes);

	return host && other && bytes == other_bytes && !memcmp(host, other, bytes);
}

bool sim__names_equal(const struct rota_address *a, const struct rota_address *b)
{
	return a->bytes == b->bytes && !memcmp(&a->local, &b->local, a->bytes);
}

/*
 * Would a listener bound to `bound` stand in the way of another at `wanted`, or (the same question)
 * take a call to it?
 */
bool sim__addresses_meet(const struct rota_address *bound, const struct rota_address *wanted)
{
	if (bound->any.sa_family != wanted->any.sa_family)
		return false;
	if (bound->any.sa_family == AF_UNIX)
		return sim__names_equal(bound, wanted);
	return rota_address_port(bound) == rota_address_port(wanted) &&
	       (sim__is_any_host(bound) || sim__is_any_host(wanted) || hosts_equal(bound, wanted));
}

void sim__set_port(struct rota_address *address, uint16_t port)
{
	if (address->any.sa_family == AF_INET)
		address->v4.sin_port = htons(port);
	else
		address->v6.sin6_port = htons(port);
}
