/* SPDX-License-Identifier: MIT */
/*
 * What liburing 2.3's header does not know yet. Part of the uring engine, included by uring.h
 * alone.
 *
 * The one idea: everything named here is ONLY A CONSTANT of the kernel's interface, or the layout
 * of an argument whose newer fields the older header calls padding, so it may be defined where the
 * header is older. Whether the running kernel understands it is the probe's question, never this
 * file's. What would need code in the library as well is left to the library: NO_SQARRAY it sets by
 * itself since it can (before 2.5 it would have written its index array over the ring's head).
 */
#ifndef ROTA_BACKENDS_URING_COMPAT_H
#define ROTA_BACKENDS_URING_COMPAT_H

#include <liburing.h>

/* io_uring_enter: the timeout is absolute (Linux 6.12). */
#ifndef IORING_ENTER_ABS_TIMER
#define IORING_ENTER_ABS_TIMER (1U << 5)
#endif

/* io_uring_enter: waiting is not accounted as waiting for I/O (Linux 6.15). */
#ifndef IORING_ENTER_NO_IOWAIT
#define IORING_ENTER_NO_IOWAIT (1U << 7)
#endif

/* The ring knows io_uring_getevents_arg.min_wait_usec (Linux 6.12). */
#ifndef IORING_FEAT_MIN_TIMEOUT
#define IORING_FEAT_MIN_TIMEOUT (1U << 15)
#endif

/* The ring knows IORING_ENTER_NO_IOWAIT (Linux 6.15). */
#ifndef IORING_FEAT_NO_IOWAIT
#define IORING_FEAT_NO_IOWAIT (1U << 17)
#endif

/* A receive may fill several buffers of the ring at once (Linux 6.10). */
#ifndef IORING_RECVSEND_BUNDLE
#define IORING_RECVSEND_BUNDLE (1U << 4)
#endif

/* The ring knows IORING_RECVSEND_BUNDLE (Linux 6.10). */
#ifndef IORING_FEAT_RECVSEND_BUNDLE
#define IORING_FEAT_RECVSEND_BUNDLE (1U << 14)
#endif

/* The kernel goes on to fill this buffer, which is part of an incremental ring (Linux 6.12). */
#ifndef IORING_CQE_F_BUF_MORE
#define IORING_CQE_F_BUF_MORE (1U << 4)
#endif

/* Flag of a buffer ring: its buffers are filled bit by bit (Linux 6.12); else as below. */
#define URING_BUFFER_RING_INCREMENTAL 2

/* Busy polling of network cards (Linux 6.9). */
#define URING_REGISTER_NAPI 27
#define URING_UNREGISTER_NAPI 28

/* The request ftruncate(2) makes (Linux 6.9): an enumerator in newer headers, so not asked for. */
#define URING_OPCODE_FTRUNCATE 55

/*
 * Argument of IORING_ENTER_EXT_ARG; `min_wait_us` (Linux 6.12) is padding in struct
 * io_uring_getevents_arg of 2.3.
 */
struct uring_enter_argument {
	uint64_t signal_mask;
	uint32_t signal_mask_bytes;
	uint32_t min_wait_us;
	uint64_t timeout; /* address of a struct __kernel_timespec, or 0 */
};

/* Argument of IORING_REGISTER_PBUF_RING; `flags` (Linux 6.4) is padding in 2.3's. */
struct uring_buffer_registration {
	uint64_t ring_address;
	uint32_t entries;
	uint16_t group;
	uint16_t flags;
	uint64_t reserved[3];
};

_Static_assert(sizeof(struct uring_buffer_registration) == sizeof(struct io_uring_buf_reg),
	       "laid out as the kernel reads it");

/* Argument of URING_REGISTER_NAPI. */
struct uring_napi {
	uint32_t busy_poll_us;
	uint8_t prefer_busy_poll;
	uint8_t reserved[11];
};

_Static_assert(sizeof(struct uring_enter_argument) == sizeof(struct io_uring_getevents_arg),
	       "laid out as the kernel reads it");

/* The size of the kernel's signal sets, which is not that of sigset_t. */
#define URING_SIGNAL_SET_BYTES 8

/*
 * Memory the kernel wrote behind Valgrind's back (it cannot know which bytes a receive filled). The
 * only place that says so. Whether Memcheck is there is asked once, because each request to it is a
 * dozen instructions that do nothing elsewhere.
 */
#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define uring__kernel_wrote(data, bytes) ((void)VALGRIND_MAKE_MEM_DEFINED(data, bytes))

static inline bool uring__under_memcheck(void)
{
	char byte = 0, bits;

	return VALGRIND_GET_VBITS(&byte, &bits, 1) != 0;
}
#endif
#endif
#ifndef uring__kernel_wrote
#define uring__kernel_wrote(data, bytes) ((void)(data), (void)(bytes))

static inline bool uring__under_memcheck(void)
{
	return false;
}
#endif

#endif /* ROTA_BACKENDS_URING_COMPAT_H */
