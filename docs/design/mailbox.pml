/*
 * The mailbox of a reactor (framework/mailbox.c) and the end of driving several
 * (framework/drive.c), for spin: is a wake-up ever lost, is there more than one per sleep, and may
 * the receiver close its engine while a sender still holds it?
 *
 * Memory is x86's: what a process stores waits in its own buffer, first in first out, until a
 * drain process writes it to memory, at any time later; loads see memory; a locked instruction
 * waits until the own buffer is empty. Only is_sleeping is ever stored plainly, by its owner, who
 * never reads it; so forwarding from the own buffer isn't needed. On weaker machines the code
 * relies on sequentially consistent operations being in one order; here that is what the fences
 * stand for.
 *
 * tests/models.sh runs, with spin -a, gcc and ./pan:
 *
 *	holds: -DMAIL                   senders and one receiver
 *	fails: -DMAIL -DNO_FENCE        it looks into its inbox before its store has left the buffer
 *	fails: -DMAIL -DPLAIN_PUSH      a sender looks at is_sleeping before its push has left
 *	fails: -DMAIL -DNO_LOOK         the receiver sleeps without having looked again
 *	fails: -DMAIL -DNO_EXCHANGE     a sender wakes on what it loaded: two wake for one sleep
 *	fails: -DMAIL -DNO_COUNT        the receiver does not wait for senders before it closes
 *	holds: -DMAIL -DOUTSIDE         a foreign loop waits in the receiver's place
 *	fails: -DMAIL -DOUTSIDE -DNO_FENCE
 *	fails: -DMAIL -DOUTSIDE -DNO_LOOK
 *	fails: -DMAIL -DOUTSIDE -DMARK_STAYS    it closes, and somebody posts who finds it sleeping
 *	fails: -DMAIL -DOUTSIDE -DPLAIN_UNMARK  it closes, and its store is still in the buffer
 *	holds: -DDRIVE                  reactors that stop together
 *	fails: -DDRIVE -DNO_NUDGE       the last one to stop tells nobody
 *	fails: -DDRIVE -DWAIT_ANYHOW    a turn that took the nudge goes on to wait
 *
 * Everybody does a bounded number of rounds, so a lost wake-up is an invalid end state: the
 * receiver asleep when all others are done.
 */

#ifdef MAIL
#define RECEIVERS 1
#define SENDERS 2
#define ROUNDS 2
#else
#define RECEIVERS 3
#endif

/* Of each receiver. */
typedef mailbox {
	byte inbox;       /* messages in it; changed by locked instructions only */
	bool is_sleeping; /* in memory */
	bool event;       /* what wake() leaves for the engine: wakes merge */
	byte senders;     /* threads inside push_chain */
	bool is_closed;   /* ghost: the engine is gone */
	byte wakes        /* ghost: for this sleep */
};
mailbox box[RECEIVERS];

/* Stores of is_sleeping on their way to memory. */
chan stores[RECEIVERS] = [3] of { bit };

proctype drain_stores(byte me)
{
	bit value;

end:	do
	:: atomic {
		stores[me]?value;
		box[me].is_sleeping = value;
		box[me].wakes = (value -> 0 : box[me].wakes)
	   }
	od
}

#define fence(me) empty(stores[me])

#ifdef PLAIN_PUSH
chan pushes[SENDERS] = [1] of { bit };

proctype drain_pushes(byte me)
{
end:	do
	:: atomic { pushes[me]?1; box[0].inbox++ }
	od
}
#endif

/* push_chain. */
inline push(me, to)
{
	box[to].senders++;
#ifdef PLAIN_PUSH
	pushes[me]!1;
#else
	box[to].inbox++;
#endif
	if
	:: box[to].is_sleeping ->
		atomic {
#ifdef NO_EXCHANGE
			old = 1;
#else
			old = box[to].is_sleeping;
			box[to].is_sleeping = 0;
#endif
			box[to].wakes = box[to].wakes + old;
			assert(box[to].wakes <= 1)
		};
		if
		:: old ->
			assert(!box[to].is_closed);
			box[to].event = true
		:: else
		fi
	:: else
	fi;
#ifndef OUTSIDE
	assert(!box[to].is_closed);
#endif
	atomic { box[to].senders--; old = 0 }
}

/* poll_engine: sleep if nothing has come; a deadline may end a few of the sleeps. */
inline poll(me)
{
	stores[me]!1;
#ifndef NO_FENCE
	fence(me);
#endif
	if
#ifndef NO_LOOK
	:: box[me].inbox > 0 -> box[me].event = false
#endif
	:: else ->
		if
		:: box[me].event -> box[me].event = false
		:: deadlines > 0 -> deadlines--
		fi
	fi;
	stores[me]!0
}

/*
 * rota_reactor_run_once: a look, then the exchange; a turn that took something does not wait.
 */
inline turn(me)
{
	if
	:: box[me].inbox > 0 ->
		atomic { fence(me) -> got = got + box[me].inbox; box[me].inbox = 0 }
#ifdef WAIT_ANYHOW
		poll(me)
#endif
	:: else -> poll(me)
	fi
}

#ifdef OUTSIDE
/*
 * A turn that does not wait: the mark goes, a look and the exchange, and then the engine hands out
 * whatever events there are, also those of messages not taken yet.
 */
inline turn_without_wait(me)
{
	stores[me]!0;
	if
	:: box[me].inbox > 0 ->
		atomic { fence(me) -> got = got + box[me].inbox; box[me].inbox = 0 }
	:: else
	fi;
	box[me].event = false
}

/* rota_reactor_prepare; the foreign loop may ask again without a turn. */
inline prepare(me)
{
	stores[me]!1;
#ifndef NO_FENCE
	fence(me);
#endif
	may_wait = true;
	if
#ifndef NO_LOOK
	:: box[me].inbox > 0 -> stores[me]!0; may_wait = false
#endif
	:: else
	fi
}

/* rota__mailbox_wait_for_senders begins with it. */
inline unmark(me)
{
#ifdef MARK_STAYS
	skip
#else
#ifdef PLAIN_UNMARK
	stores[me]!0
#else
	atomic { fence(me) -> box[me].is_sleeping = 0 }
#endif
#endif
}
#endif

#ifdef MAIL

proctype sender(byte me)
{
	byte round;
	bit old;

	for (round : 1 .. ROUNDS) {
		push(me, 0)
	}
}

proctype receiver()
{
	byte got;
	byte deadlines = 2;

#ifdef OUTSIDE
	bool may_wait;

	do
	:: turn_without_wait(0);
again:	   prepare(0);
	   if
	   :: got == SENDERS * ROUNDS -> break
	   :: got > 0 -> break /* the program ends early, with messages nobody takes */
	   :: got < SENDERS * ROUNDS && may_wait ->
		if
		:: box[0].event
		:: deadlines > 0 -> deadlines--
		:: deadlines > 0 -> deadlines--; goto again
		fi
	   :: !may_wait
	   fi
	od;
	unmark(0);
#else
	do
	:: got == SENDERS * ROUNDS -> break
	:: else -> turn(0)
	od;
#endif
#ifndef NO_COUNT
	box[0].senders == 0;
#endif
	box[0].is_closed = true
}

init {
	byte i;

	atomic {
		run drain_stores(0);
		run receiver();
		for (i : 0 .. SENDERS - 1) {
#ifdef PLAIN_PUSH
			run drain_pushes(i);
#endif
			run sender(i)
		}
	}
}

#endif

#ifdef DRIVE

/* Reactors that have not stopped; changed by locked instructions only. */
byte running = RECEIVERS;
byte turning = RECEIVERS;

/* drive(): stop, turn until all have stopped, close when all have left. */
proctype reactor(byte me)
{
	byte got, deadlines, i;
	bit old, is_last;

	atomic { fence(me) -> running--; is_last = (running == 0) };
#ifndef NO_NUDGE
	if
	:: is_last ->
		for (i : 0 .. RECEIVERS - 1) {
			push(me, i)
		}
	:: else
	fi;
#endif
	do
	:: running == 0 -> break
	:: else -> turn(me)
	od;
	atomic { fence(me) -> turning-- };
	turning == 0;
	box[me].senders == 0;
	box[me].is_closed = true
}

init {
	byte i;

	atomic {
		for (i : 0 .. RECEIVERS - 1) {
			run drain_stores(i);
			run reactor(i)
		}
	}
}

#endif
