/* SPDX-License-Identifier: MIT */
/*
 * The functions of all commands, as commands.def names them; each family has a file beside this
 * one. Application layer of rota-kv; see kv_run_fn for the contract they share.
 */
#ifndef KV_COMMANDS_H
#define KV_COMMANDS_H

struct kv_call;

int kv_run_append(struct kv_call *call);
int kv_run_auth(struct kv_call *call);
int kv_run_client_getname(struct kv_call *call);
int kv_run_client_id(struct kv_call *call);
int kv_run_client_info(struct kv_call *call);
int kv_run_client_kill(struct kv_call *call);
int kv_run_client_list(struct kv_call *call);
int kv_run_client_setinfo(struct kv_call *call);
int kv_run_client_setname(struct kv_call *call);
int kv_run_command(struct kv_call *call);
int kv_run_command_count(struct kv_call *call);
int kv_run_command_docs(struct kv_call *call);
int kv_run_command_getkeys(struct kv_call *call);
int kv_run_command_info(struct kv_call *call);
int kv_run_command_list(struct kv_call *call);
int kv_run_config_get(struct kv_call *call);
int kv_run_config_resetstat(struct kv_call *call);
int kv_run_config_set(struct kv_call *call);
int kv_run_copy(struct kv_call *call);
int kv_run_dbsize(struct kv_call *call);
int kv_run_decr(struct kv_call *call);
int kv_run_decrby(struct kv_call *call);
int kv_run_del(struct kv_call *call);
int kv_run_echo(struct kv_call *call);
int kv_run_exists(struct kv_call *call);
int kv_run_expire(struct kv_call *call);
int kv_run_expireat(struct kv_call *call);
int kv_run_expiretime(struct kv_call *call);
int kv_run_flushall(struct kv_call *call);
int kv_run_flushdb(struct kv_call *call);
int kv_run_function_flush(struct kv_call *call);
int kv_run_get(struct kv_call *call);
int kv_run_getdel(struct kv_call *call);
int kv_run_getex(struct kv_call *call);
int kv_run_getrange(struct kv_call *call);
int kv_run_getset(struct kv_call *call);
int kv_run_hello(struct kv_call *call);
int kv_run_help(struct kv_call *call);
int kv_run_incr(struct kv_call *call);
int kv_run_incrby(struct kv_call *call);
int kv_run_incrbyfloat(struct kv_call *call);
int kv_run_info(struct kv_call *call);
int kv_run_keys(struct kv_call *call);
int kv_run_mget(struct kv_call *call);
int kv_run_memory_usage(struct kv_call *call);
int kv_run_mset(struct kv_call *call);
int kv_run_msetnx(struct kv_call *call);
int kv_run_persist(struct kv_call *call);
int kv_run_pexpire(struct kv_call *call);
int kv_run_pexpireat(struct kv_call *call);
int kv_run_pexpiretime(struct kv_call *call);
int kv_run_ping(struct kv_call *call);
int kv_run_psetex(struct kv_call *call);
int kv_run_pttl(struct kv_call *call);
int kv_run_quit(struct kv_call *call);
int kv_run_randomkey(struct kv_call *call);
int kv_run_rename(struct kv_call *call);
int kv_run_renamenx(struct kv_call *call);
int kv_run_reset(struct kv_call *call);
int kv_run_scan(struct kv_call *call);
int kv_run_select(struct kv_call *call);
int kv_run_set(struct kv_call *call);
int kv_run_setex(struct kv_call *call);
int kv_run_setnx(struct kv_call *call);
int kv_run_setrange(struct kv_call *call);
int kv_run_shutdown(struct kv_call *call);
int kv_run_strlen(struct kv_call *call);
int kv_run_time(struct kv_call *call);
int kv_run_ttl(struct kv_call *call);
int kv_run_type(struct kv_call *call);

#endif /* KV_COMMANDS_H */
