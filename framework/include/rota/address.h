/* SPDX-License-Identifier: MIT */
/*
 * Socket addresses: IPv4, IPv6 and Unix, as one value. Any thread, allocates nothing, resolves no
 * names.
 */
#ifndef ROTA_ADDRESS_H
#define ROTA_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <rota/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rota_address {
	socklen_t bytes; /* of the member in use */
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_un local;
	};
};

/* Room for any text rota_address_format writes, with its NUL. */
#define ROTA_ADDRESS_TEXT_BYTES 128

/*
 * An address from `host` ("127.0.0.1", "::1", "*" for every IPv4 interface) and `port`. Numeric
 * only: nothing is looked up.
 * Returns 0, or -EINVAL when `host` is no address (out untouched).
 */
ROTA_API ROTA_MUST_USE int rota_address_parse(struct rota_address *out, const char *host,
					      uint16_t port);

/*
 * The address of a Unix socket. Returns 0, or -ENAMETOOLONG when `path` does not fit (107 bytes).
 */
ROTA_API ROTA_MUST_USE int rota_address_local(struct rota_address *out, const char *path);

/* The port, or 0 for a Unix socket. */
ROTA_API uint16_t rota_address_port(const struct rota_address *address);

/* "127.0.0.1:6379", "[::1]:6379" or "/run/x.sock" into `text`; returns `text`. */
ROTA_API const char *rota_address_format(const struct rota_address *address,
					 char text[ROTA_ADDRESS_TEXT_BYTES]);

#ifdef __cplusplus
}
#endif

#endif /* ROTA_ADDRESS_H */
