/* SPDX-License-Identifier: MIT */
/*
 * Directives: what each means, from the table in directives.def. Application layer of rota-kv;
 * start-up only. config_file.c reads files and command lines.
 */
#include "apps/kv/config.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rota/address.h>
#include <rota/error.h>
#include <rota/memory.h>

#include "apps/kv/store/store.h"

enum kind { USED, FIXED, IGNORED, NEVER };

struct directive {
	const char *name;
	const char *value;
	const char *hint;
	enum kind kind;
};

#define KV_DIRECTIVE(name_, kind_, value_, hint_)                                                  \
	{ .name = name_, .value = value_, .hint = hint_, .kind = kind_ },

static const struct directive directives[] = {
#include "apps/kv/directives.def"
};

#undef KV_DIRECTIVE

#define DIRECTIVES_COUNT ROTA_ARRAY_COUNT(directives)

/* A value that was given, kept because options point into it. */
struct kv_config_text {
	struct kv_config_text *next;
	char text[];
};

static int set_used(struct kv_config *config, const char *name, const char *value, char *error);
static int set_binds(struct kv_config *config, char *const values[], unsigned count, char *error);

int kv_config_init(struct kv_config *config, const struct rota_backend_ops *const *engines)
{
	*config = (struct kv_config){
		.databases = KV_DATABASES_DEFAULT,
		.maxclients = 10000,
		.bulk_bytes_max = KV_VALUE_BYTES_MAX,
		.request_bytes_max = UINT64_C(1) << 30,
		.password = "",
		.is_protected = true,
	};
	rota_server_options_init(&config->server, engines);
	config->values_ = rota_calloc(DIRECTIVES_COUNT, sizeof(config->values_[0]));
	if (!config->values_)
		return -ENOMEM;
	for (size_t i = 0; i < DIRECTIVES_COUNT; i++)
		config->values_[i] = directives[i].value;
	return 0;
}

void kv_config_fini(struct kv_config *config)
{
	struct kv_config_text *text;

	while ((text = config->texts_)) {
		config->texts_ = text->next;
		rota_free(text);
	}
	rota_free(config->values_);
	config->values_ = NULL;
}

const char *kv_config_directive(const struct kv_config *config, unsigned index, const char **value)
{
	/* What can never be set is no setting. */
	static const char never[] = "";

	if (index >= DIRECTIVES_COUNT)
		return NULL;
	*value = config->values_[index];
	return directives[index].kind == NEVER ? never : directives[index].name;
}

/* The values in one text, with spaces between: kept in config->texts_. NULL: no memory. */
static const char *keep(struct kv_config *config, char *const values[], unsigned count)
{
	struct kv_config_text *text;
	size_t bytes = 1;

	for (unsigned i = 0; i < count; i++)
		bytes += strlen(values[i]) + 1;
	text = rota_alloc(sizeof(*text) + bytes);
	if (!text)
		return NULL;
	text->text[0] = '\0';
	for (unsigned i = 0; i < count; i++) {
		strcat(text->text, i ? " " : "");
		strcat(text->text, values[i]);
	}
	text->next = config->texts_;
	config->texts_ = text;
	return text->text;
}

static int refuse(char *error, const char *name, const char *value, const char *hint)
{
	snprintf(error, KV_CONFIG_ERROR_BYTES, "%.64s %.64s: %s", name, value, hint);
	return -EINVAL;
}

/* The options that all of rota's programs have. */
static int set_common(struct kv_config *config, const char *name, const char *value, char *error)
{
	char text[ROTA_BACKEND_TEXT_BYTES];
	int status = rota_server_option(&config->server, name, value, text);

	if (status == 1)
		return 0;
	if (status < 0)
		snprintf(error, KV_CONFIG_ERROR_BYTES, "%.*s", KV_CONFIG_ERROR_BYTES - 1, text);
	else
		snprintf(error, KV_CONFIG_ERROR_BYTES,
			 "%.64s: no such option; take it out (rota-kv --help lists what there is)",
			 name);
	return -EINVAL;
}

int kv_config_set(struct kv_config *config, const char *name, char *const values[], unsigned count,
		  char error[KV_CONFIG_ERROR_BYTES])
{
	const struct directive *directive = NULL;
	const char *value;
	int status = 0;
	size_t at;

	for (at = 0; at < DIRECTIVES_COUNT && !directive; at++)
		if (!strcasecmp(directives[at].name, name))
			directive = &directives[at];
	if (!count)
		return refuse(error, name, "", "it needs a value");
	value = keep(config, values, count);
	if (!value)
		return refuse(error, name, "", "no memory to keep it");
	if (!directive)
		return set_common(config, name, value, error);
	if (directive->kind == NEVER)
		return refuse(error, name, value, directive->hint);
	if (directive->kind == FIXED && strcasecmp(value, directive->value) != 0)
		return refuse(error, name, value, directive->hint);
	if (directive->kind == USED)
		status = strcmp(directive->name, "bind") != 0
				 ? set_used(config, directive->name, value, error)
				 : set_binds(config, values, count, error);
	if (status == 0)
		config->values_[at - 1] = value;
	return status;
}

/* ---- those that are used ---- */

bool kv_config_parse_bytes(const char *text, uint64_t *out)
{
	static const struct {
		const char *suffix;
		uint64_t bytes;
	} units[] = {
		{ "", 1 },           { "b", 1 },
		{ "k", 1000 },       { "kb", 1024 },
		{ "m", 1000000 },    { "mb", UINT64_C(1) << 20 },
		{ "g", 1000000000 }, { "gb", UINT64_C(1) << 30 },
	};
	unsigned long number;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtoul(text, &end, 10);
	for (size_t i = 0; i < ROTA_ARRAY_COUNT(units) && !errno; i++)
		if (!strcasecmp(end, units[i].suffix))
			return !__builtin_mul_overflow(number, units[i].bytes, out);
	return false;
}

static int set_number(const char *name, const char *value, uint64_t least, uint64_t most,
		      uint64_t *out, char *error)
{
	char hint[96];
	uint64_t number;

	if (kv_config_parse_bytes(value, &number) && number >= least && number <= most) {
		*out = number;
		return 0;
	}
	snprintf(hint, sizeof(hint), "give a number from %llu to %llu", (unsigned long long)least,
		 (unsigned long long)most);
	return refuse(error, name, value, hint);
}

static int set_number32(const char *name, const char *value, uint32_t least, uint32_t most,
			uint32_t *out, char *error)
{
	uint64_t number;
	int status = set_number(name, value, least, most, &number, error);

	if (status == 0)
		*out = (uint32_t)number;
	return status;
}

/*
 * "normal HARD SOFT SECONDS", perhaps several classes; only the hard limit of `normal` means
 * something.
 */
static int set_output_limit(struct kv_config *config, const char *value, char *error)
{
	static const char hint[] = "give: normal HARD 0 0 (a hard limit in bytes, no soft one)";
	char class[16], hard[32], soft[32], seconds[32];
	uint64_t bytes, soft_bytes;
	int used;

	for (const char *at = value; *at; at += used) {
		if (sscanf(at, "%15s %31s %31s %31s%n", class, hard, soft, seconds, &used) != 4 ||
		    !kv_config_parse_bytes(hard, &bytes) ||
		    !kv_config_parse_bytes(soft, &soft_bytes))
			return refuse(error, "client-output-buffer-limit", value, hint);
		if (strcasecmp(class, "normal") != 0)
			continue; /* there are no clients of other classes */
		if (soft_bytes)
			return refuse(error, "client-output-buffer-limit", value, hint);
		config->output_bytes_max = bytes;
	}
	return 0;
}

static int set_mode(struct kv_config *config, const char *value, char *error)
{
	char *end;
	unsigned long mode = strtoul(value, &end, 8);

	if (*end || end == value || mode > 0777)
		return refuse(error, "unixsocketperm", value, "give permission bits such as 700");
	config->server.unix_mode = (uint32_t)mode;
	return 0;
}

static int set_yes_no(const char *name, const char *value, bool *out, char *error)
{
	if (strcasecmp(value, "yes") != 0 && strcasecmp(value, "no") != 0)
		return refuse(error, name, value, "say yes or no");
	*out = !strcasecmp(value, "yes");
	return 0;
}

static int set_used(struct kv_config *config, const char *name, const char *value, char *error)
{
	if (!strcmp(name, "port"))
		return set_common(config, "port", value, error);
	if (!strcmp(name, "unixsocket"))
		return *value ? set_common(config, "unix", value, error) : 0;
	if (!strcmp(name, "unixsocketperm"))
		return set_mode(config, value, error);
	if (!strcmp(name, "databases"))
		return set_number32(name, value, 1, KV_DATABASES_MAX, &config->databases, error);
	if (!strcmp(name, "maxclients"))
		return set_number32(name, value, 1, UINT32_MAX, &config->maxclients, error);
	if (!strcmp(name, "timeout"))
		return set_number32(name, value, 0, INT32_MAX, &config->idle_timeout_s, error);
	if (!strcmp(name, "proto-max-bulk-len"))
		return set_number(name, value, 1 << 20, KV_VALUE_BYTES_MAX, &config->bulk_bytes_max,
				  error);
	if (!strcmp(name, "client-query-buffer-limit"))
		return set_number(name, value, 1 << 20, UINT64_C(1) << 40,
				  &config->request_bytes_max, error);
	if (!strcmp(name, "client-output-buffer-limit"))
		return set_output_limit(config, value, error);
	if (!strcmp(name, "protected-mode"))
		return set_yes_no(name, value, &config->is_protected, error);
	ROTA_ASSERT(!strcmp(name, "requirepass"));
	config->password = value;
	return 0;
}

/* ---- bind ---- */

/* Whether this machine has an address, for those marked optional by a '-' before them. */
static bool is_available(const char *text)
{
	struct rota_address address;
	int fd;
	bool is;

	if (rota_address_parse(&address, text, 0) < 0)
		return false;
	fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	is = bind(fd, &address.any, address.bytes) == 0;
	close(fd);
	return is;
}

/* Several addresses; those marked optional are left out when this machine doesn't have them. */
static int set_binds(struct kv_config *config, char *const values[], unsigned count, char *error)
{
	int status = 0;

	for (unsigned i = 0; i < count && status == 0; i++) {
		bool is_optional = *values[i] == '-';
		const char *word = keep(config, &values[i], 1);

		if (!word)
			return refuse(error, "bind", values[i], "no memory to keep it");
		word += is_optional;
		if (!strcmp(word, "::*"))
			word = "::";
		if (!is_optional || is_available(word))
			status = set_common(config, "bind", word, error);
	}
	return status;
}
