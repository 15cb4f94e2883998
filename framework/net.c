/* SPDX-License-Identifier: MIT */
/*
 * The reactor's hooks for the network, before there is one.
 */
#include "framework/reactor_internal.h"

void rota__net_flush(struct rota_reactor *reactor)
{
	(void)reactor;
}
void rota__net_stop(struct rota_reactor *reactor)
{
	(void)reactor;
}
bool rota__net_has_work(const struct rota_reactor *reactor)
{
	(void)reactor;
	return false;
}
bool rota__net_is_idle(const struct rota_reactor *reactor)
{
	(void)reactor;
	return true;
}
void rota__net_destroy(struct rota_reactor *reactor)
{
	(void)reactor;
}
