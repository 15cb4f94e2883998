/* SPDX-License-Identifier: MIT */
/*
 * Choosing an engine at run time: the one asked for, or the first that works. Any thread. Knows the
 * contract only; which engines there are, the program says.
 */
#include <stdio.h>
#include <string.h>

#include <rota/error.h>
#include <rota/server.h>

static const struct rota_backend_ops *find(const struct rota_backend_ops *const *engines,
					   const char *name, size_t name_bytes)
{
	for (; *engines; engines++)
		if (strlen((*engines)->name) == name_bytes &&
		    !memcmp((*engines)->name, name, name_bytes))
			return *engines;
	return NULL;
}

static int choose_named(const struct rota_backend_ops *const *engines, const char *asked,
			struct rota_engine_choice *out)
{
	struct rota_backend_config config = { .options = "" };
	size_t name_bytes = strcspn(asked, ":");
	char text[ROTA_BACKEND_TEXT_BYTES];
	int status;

	out->engine = find(engines, asked, name_bytes);
	if (!out->engine) {
		size_t used = (size_t)snprintf(out->report, sizeof(out->report),
					       "no backend \"%.*s\"; there are: auto",
					       (int)rota_min_size(name_bytes, 40), asked);

		for (; *engines; engines++)
			used += (size_t)snprintf(out->report + used, sizeof(out->report) - used,
						 ", %s", (*engines)->name);
		return -EINVAL;
	}
	if (asked[name_bytes] == ':')
		config.options = asked + name_bytes + 1;
	out->options = config.options;
	status = out->engine->probe(&config, text);
	snprintf(out->report, sizeof(out->report), "%s: %.940s%s", out->engine->name, text,
		 status < 0 && status != -EINVAL ? "; or use --backend auto" : "");
	if (status < 0)
		return status == -EINVAL ? -EINVAL : -ROTA_ENOENGINE;
	return 0;
}

int rota_engine_choose(const struct rota_backend_ops *const *engines, const char *asked,
		       struct rota_engine_choice *out)
{
	struct rota_backend_config config = { .options = "" };
	char text[ROTA_BACKEND_TEXT_BYTES];
	size_t used = 0;

	if (asked && strcmp(asked, "auto") != 0)
		return choose_named(engines, asked, out);
	out->options = "";
	/* Those passed over come behind the one chosen, so gather them at the end of the line. */
	char passed_over[ROTA_BACKEND_TEXT_BYTES] = "";

	for (; *engines; engines++) {
		out->engine = *engines;
		if (out->engine->features & ROTA_BACKEND_SIMULATED)
			continue; /* only by name */
		if (out->engine->probe(&config, text) == 0) {
			snprintf(out->report, sizeof(out->report), "%s: %.480s%.480s",
				 out->engine->name, text, passed_over);
			return 0;
		}
		used += (size_t)snprintf(passed_over + used, sizeof(passed_over) - used,
					 "; not %s: %.200s", out->engine->name, text);
		used = rota_min_size(used, sizeof(passed_over) - 1);
	}
	snprintf(out->report, sizeof(out->report), "no I/O engine works here%.900s", passed_over);
	return -ROTA_ENOENGINE;
}
