/* SPDX-License-Identifier: MIT */
/*
 * What the flight recorders of a process held (<rota/recorder.h>), taken from a process or a core
 * file, or read from what a process has written of itself. Nothing in it is trusted.
 */
#ifndef ROTA_APPS_ROTA_RECORDING_H
#define ROTA_APPS_ROTA_RECORDING_H

#include <stdio.h>

#include <rota/recorder.h>

#include "apps/rota/target.h"

/* As ROTA_REACTORS_MAX; what claims more is damaged. */
#define RECORDED_MAX 256

/* One reactor's. */
struct recorded {
	uint32_t slot;
	uint32_t index;
	bool is_simulated;
	uint64_t count;
	uint64_t *words; /* the oldest first; owned */
	struct rota_record_label labels[ROTA_RECORD_LABELS];
};

struct recording {
	uint32_t pid;
	uint32_t signal;
	int64_t now; /* the monotonic clock; 0: not known */
	char name[32];
	struct recorded *reactors[RECORDED_MAX]; /* owned */
	unsigned reactors_count;
};

/*
 * Both fill `out`, to be dropped also after a failure. Return 0, or negative errno and in `why` a
 * sentence.
 */
int recording_take(struct recording *out, struct target *target, char why[TARGET_WHY_BYTES]);
int recording_read(struct recording *out, const char *path, char why[TARGET_WHY_BYTES]);

void recording_drop(struct recording *recording);

/* Write it as a trace in Chrome's JSON format to `out`. 0, or -ENOMEM. */

int recording_trace(const struct recording *recording, FILE *out);

/* `rota record` and `rota trace`: a main() each, without the program's name. */
int record_main(int argc, char **argv);
int trace_main(int argc, char **argv);

#endif /* ROTA_APPS_ROTA_RECORDING_H */
