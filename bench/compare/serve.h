/* SPDX-License-Identifier: MIT */
/* `rota-compare serve`: our servers, on an engine with options. Layer: bench/compare. */
#ifndef BENCH_COMPARE_SERVE_H
#define BENCH_COMPARE_SERVE_H

/*
 * rota-compare serve echo|sink|source|kv [OPTION]…: serve until standard input ends, or SIGTERM.
 * Says "ready PORT" when it accepts, and answers "stats" (bench/compare/control.h). Returns the
 * exit status.
 */
int serve_main(int argc, char **argv);

#endif /* BENCH_COMPARE_SERVE_H */
