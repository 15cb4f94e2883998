/* SPDX-License-Identifier: MIT */
/*
 * The probe's self-tests, one for each feature. Part of the uring engine; any thread.
 *
 * The one idea: a test uses its feature as the engine does, on a ring that is for tests only, and
 * looks at what came of it.
 */
#ifndef ROTA_BACKENDS_URING_TRIALS_H
#define ROTA_BACKENDS_URING_TRIALS_H

#include "backends/uring/uring.h"

#define TRIAL_TIMEOUT_S 1
#define TRIAL_MEMORY_BYTES 65536 /* ring entries and two buffers; a page of any port of ours */
#define TRIAL_BUFFER_BYTES 64
#define TRIAL_BUFFERS_AT (TRIAL_MEMORY_BYTES / 2)

/* The kernel has the feature, but not as it must be: bytes would be lost or mixed up. */
#define TRIAL_FLAWED (-EILSEQ)

struct trial {
	const struct uring_options *options;
	struct io_uring ring;
	void *memory;                    /* of the buffer rings under test */
	int errors[URING_FEATURE_COUNT]; /* what each test returned */
	bool only_wanted;                /* do not try what the options leave off */
};

/*
 * A test returns 0 when the feature works, otherwise negative errno; -EINVAL stands for a kernel
 * that does not know it.
 */
int uring__try_buffer_ring(struct trial *trial);
int uring__try_multishot_accept(struct trial *trial);
int uring__try_multishot_receive(struct trial *trial);
int uring__try_registered_ring(struct trial *trial);
int uring__try_absolute_timers(struct trial *trial);
int uring__try_no_iowait(struct trial *trial);
int uring__try_min_wait(struct trial *trial);
int uring__try_truncate(struct trial *trial);
int uring__try_incremental(struct trial *trial);
int uring__try_bundles(struct trial *trial);
int uring__try_direct(struct trial *trial);
int uring__try_zero_copy(struct trial *trial);
int uring__try_send_skip(struct trial *trial);
int uring__try_napi(struct trial *trial);

/* For tests. */

/*
 * Submit what was prepared and take one completion. Returns 0 or negative errno, -ETIME when none
 * came.
 */
int uring__trial_run(struct trial *trial, int32_t *result, uint32_t *flags);
/*
 * A buffer ring of two in the trial's memory, as group 0, with flags such as
 * URING_BUFFER_RING_INCREMENTAL.
 */
int uring__trial_buffers(struct trial *trial, uint16_t flags);
/* Its first buffer; the second is right behind it. */
char *uring__trial_data(const struct trial *trial);
/* Prepare a receive into it. */
struct io_uring_sqe *uring__trial_receive(struct trial *trial, int fd, uint16_t flags);
/* A connected pair of Unix sockets. Returns 0 or negative errno. */
int uring__trial_pair(int sockets[2]);

#endif /* ROTA_BACKENDS_URING_TRIALS_H */
