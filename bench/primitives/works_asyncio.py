#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The works of bench/primitives in asyncio; arguments and what is printed as primitives.c says."""
import asyncio
import os
import random
import resource
import sys
import threading
import time

BATCH = 100
MANY, SOME = 100_000, 5000
MILLION = 1_000_000
HOUR_S = 3600
RUN_NS = 150_000_000


class Run:
    """As struct primitive_run."""

    def __init__(self, clock):
        self.clock, self.start, self.operations, self.figure = clock, None, 0, 0.0

    def begin(self):
        self.operations, self.start = 0, self.clock()

    def end(self, operations):
        self.figure = (self.clock() - self.start) / operations
        self.operations = operations

    def next(self, operations):
        """True while another batch is to be run; the first one warms up."""
        if self.start is None:
            self.start = -1
        elif self.start < 0:
            self.begin()
        else:
            self.operations += operations
        if self.start < 0 or self.clock() - self.start < RUN_NS:
            return True
        self.end(self.operations)
        return False


def resident_bytes():
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * resource.getpagesize()


# ---- tasks ----

async def yield_for_ever():
    while True:
        await asyncio.sleep(0)


async def yield_between_two(run):
    other = asyncio.create_task(yield_for_ever())
    while run.next(2 * BATCH):
        for _ in range(BATCH):
            await asyncio.sleep(0)
    other.cancel()


async def do_nothing():
    pass


async def spawn_and_join(run):
    while run.next(BATCH):
        for _ in range(BATCH):
            await asyncio.create_task(do_nothing())


# ---- for each other ----

async def lock_and_unlock(run):
    lock = asyncio.Lock()
    while run.next(BATCH):
        for _ in range(BATCH):
            await lock.acquire()
            lock.release()


async def receive_all(queue):
    while await queue.get() is not None:
        pass


async def send_one_by_one(run):
    queue = asyncio.Queue(1)
    receiver = asyncio.create_task(receive_all(queue))
    while run.next(BATCH):
        for number in range(BATCH):
            await queue.put(number)
    await queue.put(None)
    await receiver


# ---- time ----

def never_called():
    pass


async def arm_among_many(run):
    loop = asyncio.get_running_loop()
    for _ in range(MANY):
        loop.call_later(60 + random.random() * 60, never_called)
    while run.next(BATCH):
        for number in range(BATCH):
            loop.call_later(30 + number / 1000, never_called).cancel()
        await asyncio.sleep(0)      # the loop drops what was cancelled


async def open_and_close(run):
    while run.next(BATCH):
        for _ in range(BATCH):
            async with asyncio.timeout(30):
                pass
        await asyncio.sleep(0)


# ---- another thread ----

def wake_again_and_again(run, loop, is_over):
    woken = threading.Semaphore(0)
    while run.next(BATCH):
        for _ in range(BATCH):
            loop.call_soon_threadsafe(woken.release)
            woken.acquire()
    loop.call_soon_threadsafe(is_over.set)


async def be_woken(run):
    is_over = asyncio.Event()
    thread = threading.Thread(target=wake_again_and_again,
                              args=(run, asyncio.get_running_loop(), is_over))
    thread.start()
    await is_over.wait()
    thread.join()


# ---- very many ----

async def spawn_sleepers(count):
    sleepers = [asyncio.create_task(asyncio.sleep(HOUR_S)) for _ in range(count)]
    await asyncio.sleep(0)
    return sleepers


async def cancel_sleepers(run, count):
    sleepers = await spawn_sleepers(count)
    run.begin()
    for one in sleepers:
        one.cancel()
    await asyncio.gather(*sleepers, return_exceptions=True)
    run.end(count)


async def cancel_some(run):
    await cancel_sleepers(run, SOME)


async def cancel_many(run):
    await cancel_sleepers(run, MANY)


async def suspend_a_million(run):
    before = resident_bytes()
    sleepers = await spawn_sleepers(MILLION)
    run.figure, run.operations = (resident_bytes() - before) / len(sleepers), len(sleepers)


WORKS = {'yield': yield_between_two, 'spawn': spawn_and_join, 'lock': lock_and_unlock,
         'message': send_one_by_one, 'timer': arm_among_many, 'deadline': open_and_close,
         'wake': be_woken, 'cancel-some': cancel_some, 'cancel-many': cancel_many,
         'memory': suspend_a_million}


def main():
    if len(sys.argv) < 2:
        print('\n'.join(WORKS))
        return
    run = Run(time.monotonic_ns if sys.argv[1] == 'wake' else time.process_time_ns)

    async def work():
        await WORKS[sys.argv[1]](run)
        print(f'{run.figure:.3f} {run.operations}', flush=True)
        os._exit(0)     # a million tasks need not be cancelled one by one

    asyncio.run(work())


if __name__ == '__main__':
    main()
