/* SPDX-License-Identifier: MIT */
/*
 * Directives: what each means, from the table in directives.def. Application layer of rota-kv;
 * one thread at a time. config_file.c reads files and command lines.
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

#include "apps/kv/number.h"
#include "apps/kv/store/store.h"

enum kind { LIVE, USED, FIXED, IGNORED, NEVER };

struct directive {
	const char *name;
	const char *value; /* the default, with the other harmless ones of FIXED behind its NUL */
	const char *hint;
	uint16_t values_bytes; /* all that `value` points to */
	enum kind kind;
};

#define KV_DIRECTIVE(name_, kind_, value_, hint_)                                                  \
	{ .name = name_,                                                                           \
	  .value = value_,                                                                         \
	  .hint = hint_,                                                                           \
	  .values_bytes = sizeof(value_),                                                          \
	  .kind = kind_ },

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
		.keepalive_s = 300,
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
	char *at;

	for (unsigned i = 0; i < count; i++)
		bytes += strlen(values[i]) + 1;
	text = rota_alloc(sizeof(*text) + bytes);
	if (!text)
		return NULL;
	at = text->text;
	for (unsigned i = 0; i < count; i++) {
		if (i)
			*at++ = ' ';
		at = stpcpy(at, values[i]);
	}
	*at = '\0';
	text->next = config->texts_;
	config->texts_ = text;
	return text->text;
}

static int refuse(char *error, const char *hint)
{
	snprintf(error, KV_CONFIG_ERROR_BYTES, "%s", hint);
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

static const struct directive *find_directive(const char *name)
{
	for (size_t i = 0; i < DIRECTIVES_COUNT; i++)
		if (!strcasecmp(directives[i].name, name))
			return &directives[i];
	return NULL;
}

/* Whether `value` is one of a fixed directive's harmless values. */
static bool is_harmless(const struct directive *directive, const char *value)
{
	const char *end = directive->value + directive->values_bytes;

	for (const char *at = directive->value; at < end; at += strlen(at) + 1)
		if (!strcasecmp(at, value))
			return true;
	return false;
}

/* One directive of the table. `value` is all `values` in one text, kept. */
static int set_directive(struct kv_config *config, const struct directive *directive,
			 const char *value, char *const values[], unsigned count, char *error)
{
	int status = 0;

	if (directive->kind == NEVER ||
	    (directive->kind == FIXED && !is_harmless(directive, value)))
		return refuse(error, directive->hint);
	if (directive->kind == USED || directive->kind == LIVE)
		status = strcmp(directive->name, "bind") != 0
				 ? set_used(config, directive->name, value, error)
				 : set_binds(config, values, count, error);
	if (status == 0)
		config->values_[directive - directives] = value;
	return status;
}

int kv_config_set(struct kv_config *config, const char *name, char *const values[], unsigned count,
		  char error[KV_CONFIG_ERROR_BYTES])
{
	const char *value = count ? keep(config, values, count) : NULL;
	char reason[KV_CONFIG_ERROR_BYTES];
	int status = -EINVAL;

	if (!count) {
		refuse(reason, "it needs a value");
	} else if (!value) {
		refuse(reason, "no memory to keep it");
	} else {
		const struct directive *directive = find_directive(name);

		if (!directive)
			return set_common(config, name, value, error);
		status = set_directive(config, directive, value, values, count, reason);
	}
	if (status < 0)
		snprintf(error, KV_CONFIG_ERROR_BYTES, "%.64s %.64s: %.340s", name,
			 value ? value : "", reason);
	return status;
}

/* ---- while the server runs ---- */

int kv_config_copy(struct kv_config *copy, const struct kv_config *config)
{
	*copy = *config;
	copy->texts_ = NULL;
	copy->values_ = rota_calloc(DIRECTIVES_COUNT, sizeof(copy->values_[0]));
	if (!copy->values_)
		return -ENOMEM;
	for (size_t i = 0; i < DIRECTIVES_COUNT; i++) {
		char *value = (char *)(uintptr_t)config->values_[i];

		/* The defaults are constants; what was given may go with `config`. */
		copy->values_[i] = value == directives[i].value ? value : keep(copy, &value, 1);
		if (!copy->values_[i]) {
			kv_config_fini(copy);
			return -ENOMEM;
		}
		if (!strcmp(directives[i].name, "requirepass"))
			copy->password = copy->values_[i];
	}
	return 0;
}

/* Whether nothing differs that a running server cannot change. */
static bool serves_alike(const struct kv_config *a, const struct kv_config *b)
{
	return a->server.port == b->server.port && a->server.unix_mode == b->server.unix_mode &&
	       a->databases == b->databases && a->bulk_bytes_max == b->bulk_bytes_max &&
	       a->request_bytes_max == b->request_bytes_max &&
	       a->output_bytes_max == b->output_bytes_max;
}

int kv_config_change(struct kv_config *config, unsigned index, const char *value,
		     char error[KV_CONFIG_ERROR_BYTES])
{
	static const char immutable[] = "can't set immutable config";
	const struct directive *directive = &directives[index];
	char *words[] = { (char *)(uintptr_t)value };
	struct kv_config before = *config;
	const char *kept;
	int status;

	if (!strcmp(value, config->values_[index]))
		return 0;
	/* Addresses are compared as they are written: they cannot be taken back from a listener. */
	if (!strcmp(directive->name, "bind") || !strcmp(directive->name, "unixsocket"))
		return refuse(error, immutable);
	kept = keep(config, words, 1);
	if (!kept)
		return -ENOMEM;
	status = set_directive(config, directive, kept, words, 1, error);
	if (directive->kind == FIXED && status < 0)
		return refuse(error, immutable);
	if (status == 0 && !serves_alike(&before, config))
		return refuse(error, immutable);
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

static int refuse_range(uint64_t least, uint64_t most, char *error)
{
	snprintf(error, KV_CONFIG_ERROR_BYTES, "argument must be between %llu and %llu inclusive",
		 (unsigned long long)least, (unsigned long long)most);
	return -EINVAL;
}

static int set_bytes(const char *value, uint64_t least, uint64_t most, uint64_t *out, char *error)
{
	uint64_t bytes;

	if (!kv_config_parse_bytes(value, &bytes))
		return refuse(error, "argument must be a memory value");
	if (bytes < least || bytes > most)
		return refuse_range(least, most, error);
	*out = bytes;
	return 0;
}

static int set_number(const char *value, uint32_t least, uint32_t most, uint32_t *out, char *error)
{
	int64_t number;

	if (!kv_parse_integer(rota_view_of_string(value), &number))
		return refuse(error, "argument couldn't be parsed into an integer");
	if (number < (int64_t)least || number > (int64_t)most)
		return refuse_range(least, most, error);
	*out = (uint32_t)number;
	return 0;
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
			return refuse(error, hint);
		if (strcasecmp(class, "normal") != 0)
			continue; /* there are no clients of other classes */
		if (soft_bytes)
			return refuse(error, hint);
		config->output_bytes_max = bytes;
	}
	return 0;
}

static int set_mode(struct kv_config *config, const char *value, char *error)
{
	char *end;
	unsigned long mode = strtoul(value, &end, 8);

	if (*end || end == value || mode > 0777)
		return refuse(error, "give permission bits such as 700");
	config->server.unix_mode = (uint32_t)mode;
	return 0;
}

static int set_yes_no(const char *value, bool *out, char *error)
{
	if (strcasecmp(value, "yes") != 0 && strcasecmp(value, "no") != 0)
		return refuse(error, "argument must be 'yes' or 'no'");
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
		return set_number(value, 1, KV_DATABASES_MAX, &config->databases, error);
	if (!strcmp(name, "maxclients"))
		return set_number(value, 1, UINT32_MAX, &config->maxclients, error);
	if (!strcmp(name, "timeout"))
		return set_number(value, 0, INT32_MAX, &config->idle_timeout_s, error);
	if (!strcmp(name, "tcp-keepalive"))
		return set_number(value, 0, INT32_MAX, &config->keepalive_s, error);
	if (!strcmp(name, "proto-max-bulk-len"))
		return set_bytes(value, 1 << 20, KV_VALUE_BYTES_MAX, &config->bulk_bytes_max,
				 error);
	if (!strcmp(name, "client-query-buffer-limit"))
		return set_bytes(value, 1 << 20, UINT64_C(1) << 40, &config->request_bytes_max,
				 error);
	if (!strcmp(name, "client-output-buffer-limit"))
		return set_output_limit(config, value, error);
	if (!strcmp(name, "protected-mode"))
		return set_yes_no(value, &config->is_protected, error);
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
			return refuse(error, "no memory to keep it");
		word += is_optional;
		if (!strcmp(word, "::*"))
			word = "::";
		if (!is_optional || is_available(word))
			status = set_common(config, "bind", word, error);
	}
	return status;
}
