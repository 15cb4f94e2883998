/*
 * The protocols of apps/kv/store that threads meet in, for spin: parking on a shard (shard.c),
 * the gate (gate.c), and memory that is freed only when every reactor has left its pass (reclaim
 * in gate.c).
 *
 * Memory is x86's: what a process stores waits in its own buffer (sb) until a drain process
 * writes it out, at any time later; loads see memory; a locked instruction or a sequentially
 * consistent store first empties the buffer. (Forwarding from the own buffer isn't needed: nobody
 * here reads what it alone writes.)
 *
 * One model per run; each has a mutation, so that the model is known to see what it is there for.
 * tests/models.sh runs, with spin -a, gcc and ./pan:
 *
 *	holds: -DSHARD
 *	fails: -DSHARD -DBROKEN
 *	holds: -DGATE
 *	fails: -DGATE -DBROKEN
 *	fails: -DGATE -DBROKEN_FINISH
 *	holds: -DRECLAIM
 *	fails: -DRECLAIM -DBROKEN
 *
 * Every process does a bounded number of rounds. A lost wake-up is then an invalid end state:
 * somebody still asleep when all others are done.
 */

#ifdef SHARD
/* ---- parking on a shard: lock, park, release and wake, withdraw ---- */

#define N 3
#ifndef ROUNDS
#define ROUNDS 2
#endif

/* The lot's one word. It is changed by locked instructions only, so it needs no buffer. */
bool taken;
byte waiting; /* set of processes, a bit for each; the list's order doesn't matter here */

byte woken[N]; /* wake-ups not yet consumed */
byte parked;   /* ghost: processes queued and neither woken nor withdrawn */
byte inside;   /* ghost: processes in the critical section */

#define BIT(i) (1 << (i))

/* Wake everybody in `list`, one after the other, as kv_lot_wake does after the release. */
inline wake_all(list)
{
	w = 0;
	do
	:: w < N ->
		if
		:: list & BIT(w) ->
			atomic {
				assert(woken[w] == 0);
				assert(parked & BIT(w));
				parked = parked & ~BIT(w);
				woken[w]++
			}
		:: else
		fi;
		w++
	:: else -> break
	od;
	w = 0
}

proctype session(byte me)
{
	byte round = 0, list = 0, w = 0;
	bool found;

	do
	:: round == ROUNDS -> break
	:: else ->
retry:
		/* kv_lot_try, or after the spin kv_lot_park: it succeeds only while it is taken. */
#ifdef BROKEN
		if
		:: atomic { !taken -> taken = true }
		:: taken -> /* look, then queue */
			atomic { waiting = waiting | BIT(me); parked = parked | BIT(me) };
			goto asleep
		fi;
#else
		if
		:: atomic { !taken -> taken = true }
		:: atomic { taken -> waiting = waiting | BIT(me); parked = parked | BIT(me) };
			goto asleep
		fi;
#endif
		inside++;
		assert(inside == 1);
		inside--;
		/* Release: one exchange takes lock and list. */
		atomic { assert(taken); taken = false; list = waiting; waiting = 0 };
		wake_all(list);
		list = 0;
		round++;
		goto next;
asleep:
		if
		:: true -> skip /* stay */
		:: true ->
			/* kv_parking_cancel: take the list, not the lock; others go back. */
			found = false;
			atomic { list = waiting; waiting = 0 };
			atomic {
				found = (list & BIT(me)) != 0;
				if
				:: found ->
					list = list & ~BIT(me);
					parked = parked & ~BIT(me)
				:: else
				fi
			};
			if
			:: atomic { list && taken -> waiting = waiting | list; list = 0 }
			:: atomic { list && !taken -> skip }; wake_all(list)
			:: !list -> skip
			fi;
			list = 0;
			if
			:: found -> found = false; round++; goto next /* withdrawn */
			:: else
			fi
		fi;
		atomic { woken[me] > 0 -> woken[me]-- };
		goto retry;
next:
		skip
	od;
	assert(woken[me] == 0)
}

init
{
	atomic { run session(0); run session(1); run session(2) }
}
#endif

#ifdef GATE
/* ---- the gate: two reactors pass, two closers close, run, open, or give up ---- */

#define R 2
#define C 2
#define P (R + C)
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef CLOSINGS
#define CLOSINGS 1
#endif

#define TAKEN 1
#define DRAINING 2
#define EXCLUSIVE 4
#define BIT(i) (1 << (i))

byte flags;     /* the word's low bits … */
byte waiting;   /* … and its list; both change in locked instructions only */
byte passing[R]; /* low bit of each reactor's `passes`: written through its buffer */
byte owner;     /* process number + 1; written through the closer's buffer */
byte woken[P];
bool alone;     /* ghost: somebody runs alone */
byte running;   /* ghost: reactors inside, from kv_gate_enter's return to kv_gate_leave's call */

#define OWNER 9
chan sb[P] = [3] of { byte, byte };

#define drained(i) (len(sb[i]) == 0)

proctype drain(byte who)
{
	byte what, value;
endless:
	do
	:: atomic {
		sb[who]?what, value;
		if
		:: what == OWNER -> owner = value
		:: else -> passing[what] = value
		fi;
		what = 0;
		value = 0
	   }
	od
}

inline everybody_out(result)
{
	s = 0;
	result = true;
	do
	:: s == R -> break
	:: s < R && passing[s] -> result = false; break
	:: s < R && !passing[s] -> s++
	od;
	s = 0
}

inline wake_all(list)
{
	s = 0;
	do
	:: s == P -> break
	:: s < P ->
		if
		:: list & BIT(s) -> atomic { assert(woken[s] == 0); woken[s]++ }
		:: else
		fi;
		s++
	od;
	s = 0
}

/* finish_closing; `me` has emptied its buffer by a locked instruction when it gets the say. */
inline finish_closing()
{
	do
	:: !(flags & DRAINING) -> break
	:: atomic { (flags & DRAINING) && drained(me) -> flags = flags & ~DRAINING };
		everybody_out(out);
		if
		:: out ->
			o = owner - 1;
			atomic { drained(me) -> flags = flags | EXCLUSIVE };
			atomic { assert(woken[o] == 0); woken[o]++ };
			o = 0;
			break
		:: else ->
			atomic { drained(me) -> flags = flags | DRAINING };
#ifndef BROKEN_FINISH
			everybody_out(out);
#endif
			if
			:: out -> skip
			:: else -> break
			fi
		fi
	od;
	out = false
}

inline store_passing(value)
{
	sb[me]!me, value;
#ifndef BROKEN
	drained(me) /* sequentially consistent: xchg */
#endif
}

inline step_out()
{
	store_passing(0);
	if
	:: flags & DRAINING -> finish_closing()
	:: else
	fi
}

proctype reactor(byte me)
{
	byte round = 0, s = 0, o = 0;
	bool out = false;

	do
	:: round == ROUNDS -> break
	:: else ->
enter:
		store_passing(1);
		if
		:: !(flags & TAKEN) -> skip
		:: else ->
			step_out();
			if
			:: atomic { (flags & TAKEN) && drained(me) -> waiting = waiting | BIT(me) };
				/* Withdrawing it is as for a shard: model SHARD. */
				atomic { woken[me] > 0 -> woken[me]-- };
				goto enter
			:: !(flags & TAKEN) -> goto enter
			fi
		fi;
		running++;
		assert(!alone);
		running--;
		step_out();
		round++
	od;
	assert(woken[me] == 0)
}

/* kv_gate_open, and the end of kv_gate_cancel: forget the owner, then one exchange. */
inline open_gate()
{
	sb[me]!OWNER, 0;
	atomic { drained(me) -> assert(flags & TAKEN); flags = 0; list = waiting; waiting = 0 };
	wake_all(list);
	list = 0
}

proctype closer(byte me)
{
	byte round = 0, s = 0, o = 0, list = 0;
	bool out = false;

	do
	:: round == CLOSINGS -> break
	:: else ->
close:
		if
		:: atomic { flags == 0 && waiting == 0 && drained(me) -> flags = TAKEN }
		:: atomic { (flags & TAKEN) && drained(me) -> waiting = waiting | BIT(me) };
			atomic { woken[me] > 0 -> woken[me]-- };
			goto close
		fi;
		sb[me]!OWNER, me + 1;
		everybody_out(out);
		if
		:: out ->
			atomic { drained(me) -> flags = flags | EXCLUSIVE }
		:: else ->
			atomic { drained(me) -> flags = flags | DRAINING };
			everybody_out(out);
			if
			:: out -> finish_closing()
			:: else
			fi;
			if
			:: true -> skip /* stay, and rely on being woken */
			:: true ->
				/* kv_gate_cancel: while nobody has the say; else it is woken */
				if
				:: atomic {
					(flags & DRAINING) && drained(me) && owner == me + 1 ->
					flags = flags & ~DRAINING
				   };
					open_gate();
					round++;
					goto next
				:: atomic { !(flags & DRAINING) || owner != me + 1 -> skip }
				fi
			fi;
			atomic { woken[me] > 0 -> woken[me]-- };
			assert(flags & EXCLUSIVE)
		fi;
		alone = true;
		assert(running == 0);
		alone = false;
		open_gate();
		round++;
next:
		out = false
	od;
	assert(woken[me] == 0)
}

init
{
	atomic {
		run drain(0); run drain(1); run drain(2); run drain(3);
		run reactor(0); run reactor(1);
		run closer(2); run closer(3)
	}
}
#endif

#ifdef RECLAIM
/* ---- memory that a prefetch may still read: replaced, retired, freed ---- */

#define READERS 2
#ifndef ROUNDS
#define ROUNDS 3
#endif
#define VERSIONS 3

byte passes[READERS]; /* modulo 8; odd inside */
byte directory;       /* version that table->directory points to */
bool freed[VERSIONS];

#define DIRECTORY 9
chan sb[READERS + 1] = [2] of { byte, byte };
#define drained(i) (len(sb[i]) == 0)

proctype drain(byte who)
{
	byte what, value;
endless:
	do
	:: atomic {
		sb[who]?what, value;
		if
		:: what == DIRECTORY -> directory = value
		:: else -> passes[what] = value
		fi;
		what = 0;
		value = 0
	   }
	od
}

proctype reader(byte me)
{
	byte round = 0, mine = 0, seen;

	do
	:: round == ROUNDS -> break
	:: else ->
		mine++;
		sb[me]!me, mine;
#ifndef BROKEN
		drained(me);
#endif
		seen = directory;
		assert(!freed[seen]);
		assert(!freed[seen]); /* still, a moment later */
		seen = 0;
		mine++;
		sb[me]!me, mine;
		drained(me);
		round++
	od
}

proctype writer(byte me)
{
	byte version = 0, i, snapshot[READERS];

	do
	:: version == VERSIONS - 1 -> break
	:: else ->
		sb[me]!DIRECTORY, version + 1;
		drained(me);
		/* reclaim: the snapshot … */
		i = 0;
		do
		:: i < READERS -> snapshot[i] = passes[i]; i++
		:: else -> break
		od;
		/* … and later, until nobody is in the pass it was in (one look per own pass). */
		i = 0;
		do
		:: i < READERS ->
			(passes[i] % 2 == 0 || passes[i] != snapshot[i]);
			i++
		:: else -> break
		od;
		freed[version] = true;
		version++
	od
}

init
{
	atomic {
		run drain(0); run drain(1); run drain(2);
		run reader(0); run reader(1); run writer(2)
	}
}
#endif
