/* SPDX-License-Identifier: MIT */
/* Which sanitizer a test is built for. Layer: tests. Any thread. */
#ifndef T_SANITIZER_H
#define T_SANITIZER_H

#include <stdbool.h>

/* The thread sanitizer. What runs on one thread, as all of the simulator does, has no races. */
bool t_is_thread_sanitized(void);

#endif /* T_SANITIZER_H */
