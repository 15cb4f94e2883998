/* SPDX-License-Identifier: MIT */
/*
 * All of rota, in layer order.
 */
#ifndef ROTA_H
#define ROTA_H

#include <rota/base.h>
#include <rota/error.h>
#include <rota/memory.h>
#include <rota/time.h>
#include <rota/log.h>
#include <rota/buffer.h>
#include <rota/address.h>
#include <rota/timer.h>
#include <rota/future.h>
#include <rota/scope.h>
#include <rota/task.h>
#include <rota/group.h>
#include <rota/generator.h>
#include <rota/local.h>
#include <rota/backend.h>
#include <rota/recorder.h>
#include <rota/reactor.h>
#include <rota/mailbox.h>
#include <rota/offload.h>
#include <rota/file.h>
#include <rota/sync.h>
#include <rota/channel.h>
#include <rota/jobs.h>
#include <rota/pace.h>
#include <rota/protocol.h>
#include <rota/net.h>
#include <rota/process.h>
#include <rota/signal.h>
#include <rota/server.h>

#endif /* ROTA_H */
