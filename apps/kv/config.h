/* SPDX-License-Identifier: MIT */
/*
 * The configuration: a file in the syntax of redis.conf, then the command line, which is the same
 * with "--" before each name. CONFIG SET changes a copy. Application layer of rota-kv.
 *
 * The one idea: nothing is silently ignored that would have changed what the server does. A
 * directive is used, or asks for nothing that is missing here, or is an error that names its place
 * and says what to do.
 */
#ifndef KV_CONFIG_H
#define KV_CONFIG_H

#include <stdio.h>

#include <rota/server.h>

struct kv_config {
	struct rota_server_options server;
	uint32_t databases;
	uint32_t maxclients;
	uint32_t idle_timeout_s;    /* timeout; 0: none */
	uint32_t keepalive_s;       /* tcp-keepalive; 0: none */
	uint64_t bulk_bytes_max;    /* proto-max-bulk-len */
	uint64_t request_bytes_max; /* client-query-buffer-limit */
	uint64_t output_bytes_max;  /* of normal clients; 0: unlimited */
	const char *password;       /* requirepass; "": none */
	bool is_protected;          /* protected-mode */
	bool wants_help;            /* --help: print and stop */
	bool wants_version;         /* --version: print and stop */
	/* private */
	bool binds_are_from_file_;
	/* owned: every value given, as the options point into them */
	struct kv_config_text *texts_;
	const char **values_; /* owned: the text of each directive, by its index */
};

#define KV_CONFIG_ERROR_BYTES 512

/*
 * The defaults. `engines` as for rota_server_options_init. Returns 0 or -ENOMEM. kv_config_fini
 * releases what it owns.
 */
ROTA_MUST_USE int kv_config_init(struct kv_config *config,
				 const struct rota_backend_ops *const *engines);
void kv_config_fini(struct kv_config *config);

/*
 * Take one directive with its values. Returns 0, or -EINVAL or -ENOMEM with the reason and what to
 * do in `error`.
 */
ROTA_MUST_USE int kv_config_set(struct kv_config *config, const char *name, char *const values[],
				unsigned count, char error[KV_CONFIG_ERROR_BYTES]);

/* Read a file; `name` is its name in errors, which then name the line too. As kv_config_set. */
ROTA_MUST_USE int kv_config_read(struct kv_config *config, FILE *file, const char *name,
				 char error[KV_CONFIG_ERROR_BYTES]);

/* The command line, with the file it names first, if any. As kv_config_set. */
ROTA_MUST_USE int kv_config_arguments(struct kv_config *config, int argc, char *const argv[],
				      char error[KV_CONFIG_ERROR_BYTES]);

/*
 * Split a line as redis.conf has it into words: quotes, escapes. The words are written into `line`
 * itself. Returns how many (0 for an empty line or a comment), or -EINVAL when quotes do not match.
 */
#define KV_CONFIG_WORDS_MAX 64
ROTA_MUST_USE int kv_config_split(char *line, char *words[KV_CONFIG_WORDS_MAX]);

/* "64", "1k" (1000), "1kb" (1024), "10mb", "2gb". Returns whether it is one. */
bool kv_config_parse_bytes(const char *text, uint64_t *out);

/* ---- while the server runs: CONFIG SET and CONFIG GET ---- */

/*
 * Make `copy` the same; kv_config_fini releases what it owns. `config` must live longer. Returns 0
 * or -ENOMEM.
 */
ROTA_MUST_USE int kv_config_copy(struct kv_config *copy, const struct kv_config *config);

/*
 * Change directive `index` in the configuration of a server that runs. What needs a restart can
 * only be set to what it is. As kv_config_set, with the words of Redis in `error`.
 */
ROTA_MUST_USE int kv_config_change(struct kv_config *config, unsigned index, const char *value,
				   char error[KV_CONFIG_ERROR_BYTES]);

/* Directive `index` and its text, or NULL behind the last one. */
const char *kv_config_directive(const struct kv_config *config, unsigned index, const char **value);

#endif /* KV_CONFIG_H */
