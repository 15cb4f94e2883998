/* SPDX-License-Identifier: MIT */
/*
 * The page: file, template, and what is not about a workload.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rota/base.h>

#include "bench/compare/html.h"
#include "bench/compare/page.h"

/* page_template.S: bench/compare/page.html */
extern const char page_template[];

/* ---- the head ---- */

static void put_title(FILE *to, const json_t *result)
{
	const json_t *machine = json_object_get(result, "machine");

	html_format(to, "epoll or io_uring? Linux %s", result_text(machine, "kernel"));
}

/* "AMD EPYC, 2 cores, KVM, Linux 6.18.44": what a reader must know before anything else. */
static void put_summary(FILE *to, const json_t *result)
{
	const json_t *machine = json_object_get(result, "machine");
	const json_t *cpu = json_object_get(machine, "cpu");
	const json_t *virtualisation = json_object_get(machine, "virtualisation");
	const char *hypervisor = result_text(virtualisation, "hypervisor");
	const char *container = result_text(virtualisation, "container");
	double threads;

	html_text(to, *result_text(cpu, "model") ? result_text(cpu, "model") : "unknown processor");
	if (result_number(cpu, "threads", &threads))
		fprintf(to, ", %.0f processor%s", threads, threads == 1 ? "" : "s");
	if (*hypervisor && strcmp(hypervisor, "none") != 0)
		html_format(to, ", virtual (%s)", hypervisor);
	if (*container && strcmp(container, "none") != 0)
		html_format(to, ", in a container (%s)", container);
	html_format(to, ", Linux %s", result_text(machine, "kernel"));
}

static void put_date(FILE *to, const json_t *result)
{
	const char *date = result_text(json_object_get(result, "made"), "date");

	fputs("<time>", to);
	html_format(to, "%.*s", (int)strcspn(date, "T"), date);
	fputs("</time>", to);
}

/* ---- the verdict ---- */

static bool is_workload(const json_t *result, const char *text, size_t length)
{
	char family[FAMILY_BYTES];
	const json_t *point;
	size_t i;

	json_array_foreach (json_object_get(result, "points"), i, point) {
		point_family(point, family);
		if (strlen(family) == length && !strncmp(family, text, length))
			return true;
	}
	return false;
}

/* A sentence that begins with a workload and a colon stands under its name. */
static void put_verdict(FILE *to, const json_t *result)
{
	const json_t *sentence;
	bool in_list = false;
	size_t i;

	json_array_foreach (json_object_get(result, "verdict"), i, sentence) {
		const char *text = json_string_value(sentence);
		const char *colon = text ? strstr(text, ": ") : NULL;
		bool named = colon && is_workload(result, text, (size_t)(colon - text));

		if (!text)
			continue;
		if (named != in_list)
			fputs(named ? "<dl>\n" : "</dl>\n", to);
		in_list = named;
		if (named) {
			fputs("<dt>", to);
			html_format(to, "%.*s", (int)(colon - text), text);
			fputs("</dt><dd>", to);
			html_text(to, colon + 1);
			fputs("</dd>\n", to);
		} else {
			fputs("<p class=\"lead\">", to);
			html_text(to, text);
			fputs("</p>\n", to);
		}
	}
	if (in_list)
		fputs("</dl>\n", to);
}

/* ---- the machine ---- */

static void put_value(FILE *to, const json_t *value)
{
	if (json_is_string(value))
		html_text(to, json_string_value(value));
	else if (json_is_integer(value))
		fprintf(to, "%lld", (long long)json_integer_value(value));
	else if (json_is_boolean(value))
		fputs(json_is_true(value) ? "on" : "off", to);
	else
		fputs("<span class=\"unknown\">unknown</span>", to);
}

static void put_bytes(FILE *to, const json_t *value)
{
	if (json_is_integer(value))
		html_bytes(to, (double)json_integer_value(value));
	else
		put_value(to, value);
}

static void put_limit(FILE *to, const json_t *limit, void (*put)(FILE *to, const json_t *value))
{
	const json_t *soft = json_object_get(limit, "soft"), *hard = json_object_get(limit, "hard");

	put(to, soft);
	if (soft && hard && !json_equal(soft, hard)) {
		fputs(", at most ", to);
		put(to, hard);
	}
}

static void put_row(FILE *to, const char *name, const json_t *value)
{
	fputs("<div><dt>", to);
	html_text(to, name);
	fputs("</dt><dd>", to);
	put_value(to, value);
	fputs("</dd></div>\n", to);
}

static void put_processor_rows(FILE *to, const json_t *cpu)
{
	put_row(to, "Processor", json_object_get(cpu, "model"));
	put_row(to, "Cores", json_object_get(cpu, "cores"));
	put_row(to, "Sockets", json_object_get(cpu, "sockets"));
	put_row(to, "Processors", json_object_get(cpu, "threads"));
	put_row(to, "Usable by us", json_object_get(cpu, "usable"));
	put_row(to, "SMT", json_object_get(cpu, "smt"));
	put_row(to, "Frequency governor", json_object_get(cpu, "governor"));
}

static void put_machine(FILE *to, const json_t *result)
{
	const json_t *machine = json_object_get(result, "machine");
	const json_t *virtualisation = json_object_get(machine, "virtualisation");
	const json_t *limits = json_object_get(machine, "limits");
	const json_t *build = json_object_get(machine, "build");

	put_row(to, "Kernel", json_object_get(machine, "kernel"));
	put_row(to, "Architecture", json_object_get(machine, "architecture"));
	put_row(to, "System", json_object_get(machine, "system"));
	put_processor_rows(to, json_object_get(machine, "cpu"));
	fputs("<div><dt>Memory</dt><dd>", to);
	put_bytes(to, json_object_get(machine, "memory_bytes"));
	fputs("</dd></div>\n", to);
	put_row(to, "Hypervisor", json_object_get(virtualisation, "hypervisor"));
	put_row(to, "Container", json_object_get(virtualisation, "container"));
	fputs("<div><dt>Open files</dt><dd>", to);
	put_limit(to, json_object_get(limits, "open_files"), put_value);
	fputs("</dd></div>\n<div><dt>Locked memory</dt><dd>", to);
	put_limit(to, json_object_get(limits, "locked_memory_bytes"), put_bytes);
	fputs("</dd></div>\n", to);
	put_row(to, "C library", json_object_get(build, "libc"));
	put_row(to, "liburing", json_object_get(build, "liburing"));
	put_row(to, "Compiler", json_object_get(build, "compiler"));
	put_row(to, "Flags", json_object_get(build, "flags"));
}

static void put_pairs(FILE *to, const json_t *object)
{
	const char *key;
	json_t *value;

	fputs("<dl class=\"facts\">\n", to);
	/* jansson's iterator takes a pointer it does not write through */
	json_object_foreach ((json_t *)(uintptr_t)object, key, value)
		put_row(to, key, value);
	fputs("</dl>\n", to);
}

static void put_more_of_machine(FILE *to, const json_t *result)
{
	const json_t *machine = json_object_get(result, "machine");
	const json_t *mitigations = json_object_get(machine, "mitigations");
	const char *key;
	unsigned active = 0, open = 0;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)mitigations, key, value) {
		const char *text = json_string_value(value);

		active += text && !strncmp(text, "Mitigation", 10);
		open += text && !strncmp(text, "Vulnerable", 10);
	}
	fprintf(to, "<details><summary>Mitigations: %zu known, %u active, %u open</summary>\n",
		json_object_size(mitigations), active, open);
	put_pairs(to, mitigations);
	fputs("</details>\n<details><summary>Kernel settings</summary>\n", to);
	put_pairs(to, json_object_get(machine, "sysctls"));
	fputs("</details>\n", to);
}

/* ---- engines ---- */

static void put_feature(FILE *to, const json_t *feature)
{
	bool on = json_is_true(json_object_get(feature, "on"));

	fprintf(to, "<tr><th scope=\"row\">");
	html_text(to, result_text(feature, "name"));
	fprintf(to, "</th><td data-label=\"State\"><span class=\"%s\">%s</span></td>",
		on ? "on" : "off", on ? "on" : "off");
	fputs("<td data-label=\"Since Linux\">", to);
	html_text(to, result_text(feature, "kernel"));
	fputs("</td><td data-label=\"Why off\">", to);
	html_text(to, on ? "" : result_text(feature, "why"));
	fputs("</td></tr>\n", to);
}

static void put_engines(FILE *to, const json_t *result)
{
	const json_t *engine, *feature;
	size_t i, j;

	json_array_foreach (json_object_get(result, "engines"), i, engine) {
		const json_t *features = json_object_get(engine, "features");
		const char *name = result_text(engine, "name");

		fputs("<h3>", to);
		html_text(to, strcmp(name, "uring") ? name : "io_uring");
		fputs("</h3>\n<p>", to);
		if (!json_is_true(json_object_get(engine, "usable")))
			html_format(to, "Cannot be used here: %s.", result_text(engine, "why_not"));
		else if (!json_array_size(features))
			fputs("Works here, and needs nothing that kernels lack.", to);
		else
			fputs("Works here. Each feature was tried, not inferred from a version:",
			      to);
		fputs("</p>\n", to);
		if (!json_array_size(features))
			continue;
		fputs("<table class=\"states\"><thead><tr><th scope=\"col\">Feature</th><th "
		      "scope=\"col\">State</th><th scope=\"col\">Since Linux</th><th "
		      "scope=\"col\">Why off</th></tr></thead>\n<tbody>",
		      to);
		json_array_foreach (features, j, feature)
			put_feature(to, feature);
		fputs("</tbody></table>\n", to);
	}
}

/* ---- how it was made ---- */

static void put_variants(FILE *to, const json_t *result)
{
	const json_t *variant;
	size_t i;

	json_array_foreach (json_object_get(result, "variants"), i, variant) {
		fputs("<tr><th scope=\"row\">", to);
		html_text(to, result_text(variant, "name"));
		fputs("</th><td data-label=\"What it is\">", to);
		html_text(to, variant_is_guest(variant) ? "another server"
							: result_text(variant, "about"));
		fputs("</td><td data-label=\"How it was run\"><code>", to);
		if (variant_is_guest(variant))
			html_text(to, result_text(variant, "command"));
		else
			html_format(to, "--backend %s%s%s", result_text(variant, "engine"),
				    *result_text(variant, "options") ? ":" : "",
				    result_text(variant, "options"));
		fputs("</code></td></tr>\n", to);
	}
}

static void put_made(FILE *to, const json_t *result)
{
	const json_t *made = json_object_get(result, "made");
	const json_t *calls = json_object_get(result, "calls");
	double confidence;

	put_row(to, "Command", json_object_get(made, "command"));
	put_row(to, "Made", json_object_get(made, "date"));
	put_row(to, "Version", json_object_get(made, "version"));
	put_row(to, "Seed", json_object_get(made, "seed"));
	put_row(to, "Load client", json_object_get(made, "load_engine"));
	fputs("<div><dt>A round</dt><dd>", to);
	html_format(to, "%g s", json_number_value(json_object_get(made, "round_seconds")));
	fputs("</dd></div>\n<div><dt>In all</dt><dd>", to);
	html_format(to, "%g s", json_number_value(json_object_get(made, "seconds")));
	fputs("</dd></div>\n<div><dt>Confidence</dt><dd>", to);
	if (result_number(made, "confidence", &confidence))
		fprintf(to, "%g %%", confidence * 100);
	fputs("</dd></div>\n", to);
	put_row(to, "Comparisons", json_object_get(calls, "comparisons"));
	put_row(to, "Called different", json_object_get(calls, "different"));
	put_row(to, "Would be alone", json_object_get(calls, "different_alone"));
}

/* For a script element: no "<" in it, which JSON can say otherwise. */
static void put_json(FILE *to, const char *json)
{
	for (; *json; json++) {
		if (*json == '<')
			fputs("\\u003c", to);
		else
			putc(*json, to);
	}
}

/* ---- the file ---- */

static const struct mark {
	const char *name;
	void (*put)(FILE *to, const json_t *result); /* NULL: the result itself */
} marks[] = {
	{ "date", put_date },
	{ "engines", put_engines },
	{ "json", NULL },
	{ "links", page_put_links },
	{ "machine", put_machine },
	{ "made", put_made },
	{ "more-of-machine", put_more_of_machine },
	{ "overview", page_put_overview },
	{ "summary", put_summary },
	{ "title", put_title },
	{ "variants", put_variants },
	{ "verdict", put_verdict },
	{ "workloads", page_put_workloads },
};

static const struct mark *find_mark(const char *name, size_t length)
{
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(marks); i++)
		if (strlen(marks[i].name) == length && !strncmp(marks[i].name, name, length))
			return &marks[i];
	return NULL;
}

static void fill_template(FILE *to, const json_t *result, const char *json)
{
	const char *at = page_template, *open;

	while ((open = strstr(at, "{{")) != NULL) {
		const char *name = open + 2;
		size_t length = strcspn(name, "}");
		const struct mark *mark = find_mark(name, length);

		ROTA_ASSERT(mark);
		fwrite(at, 1, (size_t)(open - at), to);
		if (mark->put)
			mark->put(to, result);
		else
			put_json(to, json);
		at = name + length + 2;
	}
	fputs(at, to);
}

static int write_file(const json_t *result, const char *json, const char *path)
{
	FILE *to = fopen(path, "we");
	int status = 0;

	if (!to)
		return -errno;
	fill_template(to, result, json);
	if (fflush(to) != 0)
		status = -errno;
	else if (ferror(to))
		status = -EIO;
	if (fclose(to) != 0 && status == 0)
		status = -errno;
	return status;
}

int page_write(const json_t *result, const char *path)
{
	char *json = json_dumps(result, JSON_COMPACT | JSON_ENSURE_ASCII);
	char *partial = NULL;
	int status = -ENOMEM;

	if (!json || asprintf(&partial, "%s.partial", path) < 0)
		goto free_json;
	status = write_file(result, json, partial);
	if (status == 0 && rename(partial, path) < 0)
		status = -errno;
	if (status < 0)
		unlink(partial);
	free(partial);
free_json:
	free(json);
	return status;
}
