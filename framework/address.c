/* SPDX-License-Identifier: MIT */
/*
 * Socket addresses as values. Any thread.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <rota/address.h>
#include <rota/error.h>

int rota_address_parse(struct rota_address *out, const char *host, uint16_t port)
{
	struct rota_address address = { 0 };

	if (!strcmp(host, "*"))
		host = "0.0.0.0";
	if (inet_pton(AF_INET, host, &address.v4.sin_addr) == 1) {
		address.v4.sin_family = AF_INET;
		address.v4.sin_port = htons(port);
		address.bytes = sizeof(address.v4);
	} else if (inet_pton(AF_INET6, host, &address.v6.sin6_addr) == 1) {
		address.v6.sin6_family = AF_INET6;
		address.v6.sin6_port = htons(port);
		address.bytes = sizeof(address.v6);
	} else {
		return -EINVAL;
	}
	*out = address;
	return 0;
}

int rota_address_local(struct rota_address *out, const char *path)
{
	struct rota_address address = { 0 };
	size_t path_bytes = strlen(path);

	if (path_bytes >= sizeof(address.local.sun_path))
		return -ENAMETOOLONG;
	address.local.sun_family = AF_UNIX;
	memcpy(address.local.sun_path, path, path_bytes);
	address.bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_bytes + 1);
	*out = address;
	return 0;
}

uint16_t rota_address_port(const struct rota_address *address)
{
	if (address->any.sa_family == AF_INET)
		return ntohs(address->v4.sin_port);
	if (address->any.sa_family == AF_INET6)
		return ntohs(address->v6.sin6_port);
	return 0;
}

const char *rota_address_format(const struct rota_address *address,
				char text[ROTA_ADDRESS_TEXT_BYTES])
{
	char host[INET6_ADDRSTRLEN] = "?";
	unsigned port = rota_address_port(address);

	switch (address->any.sa_family) {
	case AF_INET:
		inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof(host));
		snprintf(text, ROTA_ADDRESS_TEXT_BYTES, "%s:%u", host, port);
		break;
	case AF_INET6:
		inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof(host));
		snprintf(text, ROTA_ADDRESS_TEXT_BYTES, "[%s]:%u", host, port);
		break;
	case AF_UNIX:
		/* The client's end of a Unix socket has no path. */
		snprintf(text, ROTA_ADDRESS_TEXT_BYTES, "%s",
			 address->local.sun_path[0] ? address->local.sun_path : "unix");
		break;
	default:
		snprintf(text, ROTA_ADDRESS_TEXT_BYTES, "?");
	}
	return text;
}
