/*
 * The lines of framework/line.c and the select of framework/channel.c, for spin: tasks of several
 * reactors wait for units that others hand over, are cancelled meanwhile, and wait in two lines at
 * once. Is a unit ever lost or given twice, does anybody wait beside a free unit, may a waiter's
 * frame go while a message in it is under way?
 *
 * Memory is x86's: what a process stores waits in its own buffer, first in first out, until a drain
 * process writes it to memory, at any time later; a locked instruction waits until the own buffer
 * is empty. A line's lock is taken with an exchange and given back with a plain store, so what was
 * changed under it leaves the buffer before the lock is seen free. Buffered here are the number of
 * free units and the lock; standing in a line is changed under the lock as well. On weaker machines
 * the code relies on acquire and release, which keep the same two stores in order.
 *
 * tests/models.sh runs, with spin -a, gcc and ./pan:
 *
 *	holds: -DLINE                   a semaphore: waiters, one may be cancelled; who releases
 *	fails: -DLINE -DUNLOCK_FIRST    the lock is given back before what it protects
 *	fails: -DLINE -DCANCEL_ANYHOW   a cancel ends the wait of who has been granted a unit
 *	fails: -DLINE -DLEAVE_EARLY     who was granted one leaves before the message has come
 *	holds: -DSELECT                 a task in two lines, two who have something for it, a cancel
 *	fails: -DSELECT -DNO_CLAIM      who hands over looks at the token and sets it, in two steps
 *	fails: -DSELECT -DNO_CANCEL_CLAIM  a cancel does not claim the token
 */

#ifdef LINE

#define WAITERS 3
#define UNITS 2 /* one from each of so many others */

#define OUTSIDE 0
#define IN_LINE 1
#define GRANTED 2

bool lock_word = false; /* in memory */
byte free_units = 0;    /* in memory */
byte state[WAITERS];
chan line = [WAITERS] of { byte };
chan message[WAITERS] = [1] of { bit }; /* in the waiter's frame, to its reactor */
bool gone[WAITERS];                     /* ghost: the frame is no more */
byte got = 0;                           /* ghost: units that waiters have */

#define LOCK 0
#define FREE 1
chan stores[WAITERS + UNITS] = [4] of { bit, byte };

proctype drain_stores(byte me)
{
	bit what;
	byte value;

end:	do
	:: atomic {
		stores[me]?what, value;
		if
		:: what == LOCK -> lock_word = value
		:: else -> free_units = value
		fi
	   }
	od
}

inline take_lock(me)
{
	atomic { empty(stores[me]) && !lock_word -> lock_word = true }
}

/* With `units` free from now on. */
inline give_lock(me, units)
{
#ifdef UNLOCK_FIRST
	stores[me]!LOCK, 0;
	stores[me]!FREE, units
#else
	stores[me]!FREE, units;
	stores[me]!LOCK, 0
#endif
}

proctype waiter(byte me)
{
	byte units;
	bool was_there;

	take_lock(me);
	units = free_units;
	if
	:: units > 0 && empty(line) ->
		units--;
		got++;
		give_lock(me, units);
		goto done
	:: else ->
		line!me;
		state[me] = IN_LINE;
		give_lock(me, units)
	fi;
	/* Asleep until the message comes; the first one may be cancelled instead. */
end:	if
	:: message[me]?1 -> got++
	:: me == 0 ->
		take_lock(me);
		was_there = (state[me] == IN_LINE);
		if
		:: was_there -> line??eval(me); state[me] = OUTSIDE
		:: else
		fi;
		units = free_units;
		give_lock(me, units);
#ifdef CANCEL_ANYHOW
		if
		:: !was_there -> message[me]?1
		:: else
		fi
#else
		if
		:: was_there
		:: else ->
#ifndef LEAVE_EARLY
			message[me]?1;
#endif
			got++
		fi
#endif
	fi;
done:	gone[me] = true
}

proctype releaser(byte me)
{
	byte units, who;

	take_lock(me);
	units = free_units + 1;
	do
	:: units > 0 && nempty(line) ->
		line?who;
		state[who] = GRANTED;
		units--;
		message[who]!1
	:: else -> break
	od;
	give_lock(me, units)
}

/* When nothing moves any more. */
proctype watcher()
{
	byte i = 0;

	timeout;
	assert(got + free_units == UNITS);
	assert(empty(line) || free_units == 0);
	do
	:: i < WAITERS -> assert(empty(message[i]) || !gone[i]); i++
	:: else -> break
	od
}

init
{
	byte i = 0;

	atomic {
		do
		:: i < WAITERS -> run waiter(i); run drain_stores(i); i++
		:: i >= WAITERS && i < WAITERS + UNITS ->
			run releaser(i);
			run drain_stores(i);
			i++
		:: else -> break
		od;
		run watcher()
	}
}

#endif

#ifdef SELECT

#define LINES 2
#define NOBODY 0 /* the token: else who has claimed it */
#define CANCEL 9

byte token = NOBODY;
bool lock_word[LINES];
bool is_in_line[LINES] = true; /* the one task that selects: it joined with both locked */
chan message = [2] of { byte }; /* to its reactor: which line handed it something */
byte handed = 0, kept = 0;      /* ghost: what the two had */
byte woken = 0;                 /* ghost: times its future was completed */

#define take_lock(i) atomic { !lock_word[i] -> lock_word[i] = true }

proctype hander(byte i)
{
	bool is_mine = false;

	take_lock(i);
	if
	:: is_in_line[i] ->
		is_in_line[i] = false;
#ifdef NO_CLAIM
		if
		:: token == NOBODY -> is_mine = true; token = i + 1
		:: else
		fi
#else
		atomic {
			if
			:: token == NOBODY -> token = i + 1; is_mine = true
			:: else
			fi
		}
#endif
	:: else
	fi;
	if
	:: is_mine -> handed++; message!i
	:: else -> kept++
	fi;
	lock_word[i] = false
}

proctype selecting()
{
	byte from = CANCEL;

	if
	:: message?from
	:: true -> /* a cancel comes */
#ifdef NO_CANCEL_CLAIM
		skip
#else
		atomic {
			if
			:: token == NOBODY -> token = CANCEL
			:: else
			fi
		};
		if
		:: token == CANCEL
		:: else -> message?from
		fi
#endif
	fi;
	woken++;
	take_lock(0);
	is_in_line[0] = false;
	lock_word[0] = false;
	take_lock(1);
	is_in_line[1] = false;
	lock_word[1] = false;
	/* What was handed to it is what it says it got. */
	assert(from == CANCEL || token == from + 1)
}

proctype watcher()
{
	timeout;
	assert(handed + kept == LINES);
	assert(handed <= 1);
	assert(handed == 1 || token == CANCEL);
	assert(woken == 1);
	assert(empty(message)) /* nothing is written to a frame that is gone */
}

init
{
	atomic { run hander(0); run hander(1); run selecting(); run watcher() }
}

#endif
