/* SPDX-License-Identifier: MIT */
/*
 * What engines share: creation, the option walk, and the defaults for slots that on Linux look
 * alike. Knows no engine.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4's flags, SOCK_NONBLOCK */
#endif
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <rota/backend.h>
#include <rota/buffer.h>
#include <rota/error.h>
#include <rota/memory.h>

#include "framework/memory_internal.h"
#include "framework/system.h"

/* One in each connection and in many frames: what needs more room lends it. */
_Static_assert(sizeof(void *) != 8 || sizeof(struct rota_op) == 56, "operations have grown");

/* ---- life ---- */

bool rota_backend_ops_are_complete(const struct rota_backend_ops *ops)
{
	return ops->name && ops->stats_offset >= sizeof(struct rota_backend) &&
	       ops->state_bytes >= ops->stats_offset + sizeof(struct rota_backend_stats) &&
	       ops->probe && ops->list_features && ops->open && ops->close && ops->submit &&
	       ops->cancel && ops->buffer_return && ops->poll && ops->wake && ops->pollable &&
	       ops->prepare && ops->listen && ops->try_accept && ops->discard && ops->shutdown &&
	       ops->address && ops->now && ops->wall_ns && ops->random && ops->drive && ops->stats;
}

int rota_backend_create(const struct rota_backend_ops *ops,
			const struct rota_backend_config *config, struct rota_backend **out)
{
	struct rota_backend *backend;
	int status;

	ROTA_ASSERT(rota_backend_ops_are_complete(ops));
	backend = rota__calloc_isolated(ops->state_bytes);
	if (!backend)
		return -ENOMEM;
	backend->ops = ops;
	backend->features = ops->features;
	status = ops->open(backend, config);
	if (status < 0) {
		rota__free_isolated(backend);
		return status;
	}
	*out = backend;
	return 0;
}

void rota_backend_destroy(struct rota_backend *backend)
{
	if (!backend)
		return;
	backend->ops->close(backend);
	rota__free_isolated(backend);
}

bool rota_backend_option_next(const char **cursor, struct rota_view *key, struct rota_view *value)
{
	const char *start = *cursor;
	size_t bytes, key_bytes;

	if (!start || !*start)
		return false;
	bytes = strcspn(start, ",");
	key_bytes = strcspn(start, ",=");
	*key = rota_view_of(start, key_bytes);
	*value = key_bytes < bytes ? rota_view_of(start + key_bytes + 1, bytes - key_bytes - 1)
				   : rota_view_of("", 0);
	*cursor = start[bytes] ? start + bytes + 1 : start + bytes;
	return true;
}

/* ---- defaults: clocks, randomness ---- */

int rota_backend_default_pollable(struct rota_backend *self)
{
	(void)self;
	return -ENOTSUP;
}

int rota_backend_default_prepare(struct rota_backend *self)
{
	(void)self;
	return 1;
}

int rota_backend_default_list_features(const struct rota_backend_config *config,
				       struct rota_backend_feature *out, unsigned max)
{
	(void)config;
	(void)out;
	(void)max;
	return 0;
}

rota_ns rota_backend_default_now(struct rota_backend *self)
{
	(void)self;
	return rota__clock_ns(CLOCK_MONOTONIC);
}

int64_t rota_backend_default_wall_ns(struct rota_backend *self)
{
	(void)self;
	return rota__clock_ns(CLOCK_REALTIME);
}

void rota_backend_default_random(struct rota_backend *self, void *out, size_t bytes)
{
	char *at = out;

	(void)self;
	while (bytes) {
		ssize_t got = getrandom(at, bytes, 0);

		if (got < 0 && errno == EINTR)
			continue;
		/*
		 * ENOSYS (before Linux 3.17) or a forbidding filter: nothing here may go on with a
		 * guessable key.
		 */
		ROTA_ASSERT(got > 0);
		at += got;
		bytes -= (size_t)got;
	}
}

/* ---- defaults: sockets ---- */

/*
 * A Unix socket file that nobody listens on is left over from a crash: refuse to replace a live
 * one.
 */
static int remove_stale_socket(const struct rota_address *address)
{
	struct stat status;
	int probe, error;

	if (lstat(address->local.sun_path, &status) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(status.st_mode))
		return -EEXIST;
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe < 0)
		return -errno;
	error = connect(probe, &address->any, address->bytes) < 0 ? errno : 0;
	close(probe);
	if (error != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(address->local.sun_path) < 0 ? -errno : 0;
}

static int set_flag(int fd, int level, int option)
{
	int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on)) < 0 ? -errno : 0;
}

static int bind_tcp(int fd, const struct rota_listen_options *options)
{
	int status = set_flag(fd, SOL_SOCKET, SO_REUSEADDR);

	if (status == 0 && options->address.any.sa_family == AF_INET6)
		status = set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	/*
	 * Inherited by every accepted socket: replies are gathered here, Nagle's algorithm could
	 * only delay them.
	 */
	if (status == 0)
		status = set_flag(fd, IPPROTO_TCP, TCP_NODELAY);
	if (status == 0 && options->reuse_port)
		status = set_flag(fd, SOL_SOCKET, SO_REUSEPORT);
	if (status == 0 && bind(fd, &options->address.any, options->address.bytes) < 0)
		status = -errno;
	return status;
}

static int bind_local(int fd, const struct rota_listen_options *options)
{
	int status = remove_stale_socket(&options->address);

	if (status == 0 && bind(fd, &options->address.any, options->address.bytes) < 0)
		status = -errno;
	if (status == 0 && options->unix_mode &&
	    chmod(options->address.local.sun_path, (mode_t)options->unix_mode) < 0)
		status = -errno;
	return status;
}

int rota_backend_default_listen(struct rota_backend *self,
				const struct rota_listen_options *options)
{
	int family = options->address.any.sa_family;
	int fd, status;

	(void)self;
	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	status = family == AF_UNIX ? bind_local(fd, options) : bind_tcp(fd, options);
	if (status == 0 && listen(fd, options->backlog) < 0)
		status = -errno;
	if (status < 0) {
		close(fd);
		return status;
	}
	return fd;
}

bool rota_backend_accept_goes_on(int error)
{
	switch (error) {
	case ECONNABORTED: /* reset before it was accepted */
	case EPROTO:       /* the same, as other stacks say it */
	case EPERM:        /* a firewall rule */
	case ENETDOWN:     /* pending network errors, which Linux passes on through accept */
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
	case ENOPROTOOPT:
	case EINTR:
		return true;
	default:
		return false;
	}
}

int rota_backend_default_try_accept(struct rota_backend *self, int fd)
{
	int accepted;

	(void)self;
	do
		accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (accepted < 0 && rota_backend_accept_goes_on(errno));
	return accepted < 0 ? -errno : accepted;
}

void rota_backend_default_discard(struct rota_backend *self, int fd)
{
	(void)self;
	close(fd);
}

int rota_backend_default_shutdown(struct rota_backend *self, int fd, int how)
{
	const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
	int failed = how == ROTA_SHUT_RESET
			     ? setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once))
			     : shutdown(fd, how);

	(void)self;
	return failed ? -errno : 0;
}

int rota_backend_default_address(struct rota_backend *self, int fd, bool peer,
				 struct rota_address *out)
{
	struct rota_address address = { .bytes = sizeof(address.local) };
	int failed = peer ? getpeername(fd, &address.any, &address.bytes)
			  : getsockname(fd, &address.any, &address.bytes);

	(void)self;
	if (failed)
		return -errno;
	*out = address;
	return 0;
}
