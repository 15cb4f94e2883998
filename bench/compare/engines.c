/* SPDX-License-Identifier: MIT */
/*
 * The engines' self-tests as JSON.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rota/error.h>

#include "backends/backends.h"
#include "bench/compare/engines.h"

#define FEATURES_MAX 64
#define OPTIONS_BYTES 64

static json_t *say_why_off(const struct rota_backend_feature *feature, bool usable)
{
	if (feature->unwanted)
		return json_string(feature->unwanted);
	if (feature->error == -EINVAL)
		return json_sprintf("the kernel does not know it, Linux %u.%u does",
				    feature->kernel_major, feature->kernel_minor);
	if (feature->error)
		return json_sprintf("%s (%s)", rota_strerror(feature->error),
				    rota_error_name(feature->error));
	return usable ? NULL : json_string("the engine cannot work here");
}

static json_t *describe_feature(const struct rota_backend_feature *feature, bool usable)
{
	json_t *why = say_why_off(feature, usable);

	return json_pack("{s:s, s:b, s:o, s:o, s:b, s:b}", "name", feature->name, "on", !why, "why",
			 why ? why : json_null(), "kernel",
			 json_sprintf("%u.%u", feature->kernel_major, feature->kernel_minor),
			 "works", feature->error == 0, "required", feature->is_required);
}

static json_t *describe_features(const struct rota_backend_ops *engine,
				 const struct rota_backend_config *config, bool usable)
{
	struct rota_backend_feature features[FEATURES_MAX];
	int count = engine->list_features(config, features, FEATURES_MAX);
	json_t *array = json_array();

	for (int i = 0; i < count; i++)
		json_array_append_new(array, describe_feature(&features[i], usable));
	return array;
}

static json_t *describe_engine(const struct rota_backend_ops *engine, const char *options)
{
	struct rota_backend_config config = { .options = options };
	char text[ROTA_BACKEND_TEXT_BYTES] = "";
	bool usable = engine->probe(&config, text) == 0;

	return json_pack("{s:s, s:b, s:s?, s:s?, s:o}", "name", engine->name, "usable", usable,
			 "why_not", usable ? NULL : text, "says", usable ? text : NULL, "features",
			 describe_features(engine, &config, usable));
}

json_t *engines_describe_as(const char *kernel)
{
	json_t *array = json_array();
	char options[OPTIONS_BYTES] = "";

	if (kernel)
		snprintf(options, sizeof(options), "pretend-kernel=%s", kernel);
	for (const struct rota_backend_ops *const *at = rota_backends; *at; at++) {
		bool pretends = *at == &rota_backend_uring;

		if (!((*at)->features & ROTA_BACKEND_SIMULATED))
			json_array_append_new(array, describe_engine(*at, pretends ? options : ""));
	}
	return array;
}

json_t *engines_describe(void)
{
	return engines_describe_as(NULL);
}
