/* SPDX-License-Identifier: MIT */
/*
 * The stacks of tasks that run: from the registers of the thread they run on, by the call frame
 * information in the target's files, because what runs may be in any library's code, which keeps no
 * frame pointers. elfutils does the work; it is given memory and three registers.
 */
#include <elfutils/libdwfl.h>

#include "apps/rota/places.h"

/* Numbers of registers in call frame information, by machine. */
#if defined(__aarch64__) /* tidy: allow conditional, registers are the machine's */
enum { REGISTER_FP = 29, REGISTER_SP = 31 };
#else
enum { REGISTER_FP = 6, REGISTER_SP = 7 };
#endif

struct unwind {
	struct target *target;
	const struct target_thread *thread;
	uint64_t *pcs;
	unsigned count, max;
};

static pid_t next_thread(Dwfl *dwfl, void *arg, void **thread_arg)
{
	const struct unwind *unwind = arg;

	(void)dwfl;
	if (*thread_arg)
		return 0;
	*thread_arg = arg;
	return unwind->thread->tid;
}

static bool read_memory(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *out, void *arg)
{
	struct unwind *unwind = arg;

	(void)dwfl;
	return target_read(unwind->target, address, out, sizeof(*out));
}

static bool set_registers(Dwfl_Thread *thread, void *arg)
{
	const struct unwind *unwind = arg;
	Dwarf_Word fp = unwind->thread->fp, sp = unwind->thread->sp;

	dwfl_thread_state_register_pc(thread, unwind->thread->pc);
	return dwfl_thread_state_registers(thread, REGISTER_FP, 1, &fp) &&
	       dwfl_thread_state_registers(thread, REGISTER_SP, 1, &sp);
}

static const Dwfl_Thread_Callbacks callbacks = {
	.next_thread = next_thread,
	.memory_read = read_memory,
	.set_initial_registers = set_registers,
};

static int take_frame(Dwfl_Frame *frame, void *arg)
{
	struct unwind *unwind = arg;
	bool is_activation;
	Dwarf_Addr pc;

	if (unwind->count == unwind->max || !dwfl_frame_pc(frame, &pc, &is_activation))
		return DWARF_CB_ABORT;
	/* All are taken for return addresses later. */
	unwind->pcs[unwind->count++] = pc + is_activation;
	return DWARF_CB_OK;
}

unsigned stack_unwind(struct target *target, const struct target_thread *thread, uint64_t pcs[],
		      unsigned max)
{
	struct unwind unwind = { target, thread, pcs, 0, max };
	Dwfl *dwfl = places_open_dwfl(target);

	/* A Dwfl of its own: one can be attached to one set of registers, once. */
	if (dwfl && dwfl_attach_state(dwfl, NULL, thread->tid, &callbacks, &unwind))
		dwfl_getthread_frames(dwfl, thread->tid, take_frame, &unwind);
	if (dwfl)
		dwfl_end(dwfl);
	target_faulted(target);
	if (!unwind.count && max)
		pcs[unwind.count++] = thread->pc + 1;
	return unwind.count;
}
