/*
 * The flight recorder's ring (framework/recorder.h), for spin: a reactor writes records into it all
 * the time, and a reader, in another thread or another process, copies it meanwhile. Is every
 * record that the reader keeps the one that it takes it for?
 *
 * What the writer stores waits in its own buffer, room for ROOM stores, until a drain process
 * writes it to memory, at any time later. With -DTSO, as on x86, first in, first out. Else any
 * store may overtake others but for what the code relies on: two stores to one place stay in order,
 * and a head, which is stored with release, waits for all that was stored before it. Then records
 * show up to ROOM places before the head that announces them; DISTRUST stands for
 * ROTA_RECORDS_DISTRUSTED, and must be as long.
 *
 * The reader loads in order but the records among themselves, which is how memcpy and the kernel's
 * copy from another process may do it.
 *
 * tests/models.sh runs, with spin -a, gcc and ./pan:
 *
 *	holds: -DTSO -DDISTRUST=1        on x86 the one that is being written is enough
 *	fails: -DTSO -DDISTRUST=0        and it has to be
 *	holds: -DDISTRUST=3              elsewhere as many as the buffer has room for
 *	fails: -DDISTRUST=2              and no fewer
 *	fails: -DDISTRUST=3 -DNO_RELEASE  the head may be seen before the record
 *	fails: -DDISTRUST=3 -DEARLY_LOOK  the reader takes the second head before it has copied
 *	fails: -DDISTRUST=3 -DHEAD_FIRST  the writer announces a record before it is stored
 */

#define KEPT 4 /* records, in a ring */
#define ROOM 3
#define RECORDS 9 /* written in all: twice round */
#define NOTHING 255

byte words[KEPT] = NOTHING; /* in memory: the number of the record that is there */
byte head = 0;              /* in memory: records written */

/* The writer's buffer, the oldest store first: a record's number, or a new head. */
bool is_head[ROOM];
byte number[ROOM];
byte stores = 0;

inline store(head_or_not, what)
{
	atomic {
		stores < ROOM ->
		is_head[stores] = head_or_not;
		number[stores] = what;
		stores++
	}
}

/* Whether store i may go to memory before all that are older. */
inline look_whether_it_may_go(i)
{
	may_go = true;
	older = 0;
	do
	:: older < i ->
		if
#ifdef TSO
		:: true -> may_go = false
#else
		:: is_head[i] && is_head[older] -> may_go = false
#ifndef NO_RELEASE
		:: is_head[i] && !is_head[older] -> may_go = false
#endif
		:: !is_head[i] && !is_head[older] && number[i] % KEPT == number[older] % KEPT ->
			may_go = false
		:: else
#endif
		fi;
		older++
	:: else -> break
	od
}

proctype drain_stores()
{
	byte i, older;
	bool may_go;

end:	do
	:: atomic {
		stores > 0 ->
		i = 0;
		do
		:: i + 1 < stores -> i++
		:: break
		od;
		look_whether_it_may_go(i);
		if
		:: may_go ->
			if
			:: is_head[i] -> head = number[i]
			:: else -> words[number[i] % KEPT] = number[i]
			fi;
			stores--;
			do
			:: i < stores ->
				is_head[i] = is_head[i + 1];
				number[i] = number[i + 1];
				i++
			:: else -> break
			od;
			is_head[stores] = false;
			number[stores] = 0
		:: else
		fi;
		i = 0;
		older = 0;
		may_go = false
	   }
	od
}

proctype writer()
{
	byte record = 0;

	do
	:: record < RECORDS ->
#ifdef HEAD_FIRST
		store(true, record + 1);
		store(false, record);
#else
		store(false, record);
		store(true, record + 1);
#endif
		record++
	:: else -> break
	od
}

/* rota__recorder_copy, at any time. */
proctype reader()
{
	byte copied[KEPT];
	bool is_copied[KEPT];
	byte end, start, after, count, drop = 0, i = 0;

	end = head;
	count = (end < KEPT -> end : KEPT);
	start = end - count;
#ifdef EARLY_LOOK
	after = head;
#endif
	do
	:: i < count ->
		/* One that has not been copied yet: any. */
		if
		:: !is_copied[0] -> drop = 0
		:: count > 1 && !is_copied[1] -> drop = 1
		:: count > 2 && !is_copied[2] -> drop = 2
		:: count > 3 && !is_copied[3] -> drop = 3
		fi;
		atomic {
			copied[drop] = words[(start + drop) % KEPT];
			is_copied[drop] = true;
			i++
		}
	:: else -> break
	od;
#ifndef EARLY_LOOK
	after = head;
#endif
	drop = (after + DISTRUST > start + KEPT -> after + DISTRUST - start - KEPT : 0);
	do
	:: drop < count ->
		assert(copied[drop] == start + drop);
		drop++
	:: else -> break
	od
}

init
{
	atomic {
		run writer();
		run drain_stores();
		run reader()
	}
}
