/* SPDX-License-Identifier: MIT */
/*
 * Words for errors, and how a failed assertion ends the process. Any thread.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strerrordesc_np, strerrorname_np: thread-safe, no locale */
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rota/error.h>

static const struct {
	int code;
	const char *name;
	const char *words;
} rota_errors[] = {
	{ ROTA_EPROTOCOL, "ROTA_EPROTOCOL", "the peer broke the protocol" },
	{ ROTA_ESTACK, "ROTA_ESTACK", "no stack could be mapped for the task" },
	{ ROTA_ENOENGINE, "ROTA_ENOENGINE", "no I/O engine works here" },
	{ ROTA_ECLOSING, "ROTA_ECLOSING", "closing: nothing new is taken" },
};

static int64_t magnitude(int64_t error)
{
	if (error == INT64_MIN)
		return INT64_MAX; /* it has no opposite; neither is an error's code */
	return error < 0 ? -error : error;
}

const char *rota_strerror(int64_t error)
{
	int64_t code = magnitude(error);
	const char *words;

	for (size_t i = 0; i < ROTA_ARRAY_COUNT(rota_errors); i++)
		if (rota_errors[i].code == code)
			return rota_errors[i].words;
	words = code < ROTA_E_FIRST ? strerrordesc_np((int)code) : NULL;
	return words ? words : "unknown error";
}

const char *rota_error_name(int64_t error)
{
	int64_t code = magnitude(error);
	const char *name;

	for (size_t i = 0; i < ROTA_ARRAY_COUNT(rota_errors); i++)
		if (rota_errors[i].code == code)
			return rota_errors[i].name;
	name = code < ROTA_E_FIRST ? strerrorname_np((int)code) : NULL;
	return name ? name : "?";
}
