/* SPDX-License-Identifier: MIT */
/*
 * What options.c offers the server beside the public interface. Internal to framework/; start-up
 * only.
 */
#ifndef ROTA_FRAMEWORK_OPTIONS_H
#define ROTA_FRAMEWORK_OPTIONS_H

/*
 * CPUs from a list such as "0,2-3" to `cpus`. Returns how many (at least 1, at most cpus_max), or
 * -EINVAL.
 */
int rota__cpus_parse(const char *text, int *cpus, int cpus_max);

#endif /* ROTA_FRAMEWORK_OPTIONS_H */
