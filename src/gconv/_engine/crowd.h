/* Crowds: more threads want to run than there are CPUs, and a call that uses several of them waits
   for the one that gets no CPU. One thread waits for no other, and leaves the others their CPUs.

   Calls at once: where several threads of the program call, each call gets its part of the CPUs.

   Other libraries' threads: OpenBLAS's workers spin for some 26 ms after a matrix product of
   NumPy's, those of an OpenMP runtime for some milliseconds after a loop. Where one of them has
   the CPU, a thread of a call begins when the scheduler next looks, which is milliseconds later.
   So calls on several threads are timed. One thread would have taken about as long as the
   threads computed altogether; what a call takes beyond that is lost. Where calls have lost so
   much that it is no accident, calls use one thread for a pause. Then several are tried again: two
   late calls end that trial, and the next pause is twice as long. The crowd is over when calls have
   gained as much as they had lost. On many CPUs, late calls may still be faster than on one thread:
   then they lose nothing, and nothing changes.

   Times are nanoseconds of a monotonic clock. Fields are atomic, but not all of them together: two
   calls that end at once may count as one. */
#ifndef GCONV_CROWD_H
#define GCONV_CROWD_H

#include <stdatomic.h>
#include <stdint.h>

#define MILLISECONDS INT64_C(1000000)

/* Measured on Linux with two CPUs, NumPy's products and calls in turn: calls begin 1.5 to 8 ms
   late, mostly the 4 ms between two ticks of the scheduler. After a rest, it takes 0.15 ms to wake
   a thread, which is no crowd. */
#define LATE (1 * MILLISECONDS)
/* However late, a single call proves no more than that. */
#define MOST_LOST (4 * MILLISECONDS)
/* More than four late calls lose: another process's burst delays two or three in a row. */
#define PATIENCE (4 * MOST_LOST)
/* Late calls so far apart have nothing to do with each other. */
#define FORGOTTEN_AFTER (1000 * MILLISECONDS)
/* Short, as the crowd may be over: another process's threads spin for a few milliseconds. In a crowd
   that stays, pauses soon are as long as OpenBLAS's workers spin, and longer. */
#define FIRST_PAUSE (10 * MILLISECONDS)
/* A trial costs some 15 ms in a crowd, the delay of the others included: 1 % of this. */
#define LONGEST_PAUSE (1600 * MILLISECONDS)

typedef struct {
    _Atomic int calls;       /* at this moment, of those that may use several threads */
    _Atomic int64_t lost;    /* by late calls; calls that gain by their threads work it off */
    _Atomic int64_t lost_at; /* when the last late call ended, or the trial began */
    _Atomic int64_t pause;   /* how long the last pause was; 0: no crowd */
    _Atomic int64_t until;   /* when it ends; 0: it has ended */
    _Atomic int64_t seen;    /* the number of pauses */
} Crowd;

#define READ(field) atomic_load_explicit(&crowd->field, memory_order_relaxed)
#define WRITE(field, value) atomic_store_explicit(&crowd->field, value, memory_order_relaxed)
#define ADD(field, value) atomic_fetch_add_explicit(&crowd->field, value, memory_order_relaxed)

/* A call begins that may use so many threads, at least 2: how many it should use. */
static int begin_call(Crowd *crowd, int threads, int cpus, int64_t now) {
    int calls = ADD(calls, 1) + 1;
    int64_t until = READ(until);
    if (calls > 1 && threads > cpus / calls) threads = cpus > calls ? cpus / calls : 1;
    if (until == 0) return threads;
    if (now < until) return 1;
    /* A trial's first call is often late without a crowd: threads have gone to sleep, and the
       scheduler may wake them on the caller's CPU (1 of 6 times on that machine). */
    WRITE(lost, PATIENCE - MOST_LOST);
    WRITE(lost_at, now);
    WRITE(until, 0);
    return threads;
}

/* That call ends; on several threads, these computed for so long altogether. */
static void end_call(Crowd *crowd, int threads, int64_t begin, int64_t end, int64_t computed) {
    int64_t beyond = end - begin - computed, lost = READ(lost), pause = READ(pause);
    ADD(calls, -1);
    if (threads == 1 || READ(until) != 0) return;
    if (end - READ(lost_at) > FORGOTTEN_AFTER || lost + beyond < 0) lost = 0;
    else if (beyond < 0) lost += beyond;
    if (lost == 0 && pause != 0) WRITE(pause, pause = 0);
    if (beyond > LATE) {
        lost += beyond < MOST_LOST ? beyond : MOST_LOST;
        WRITE(lost_at, end);
    }
    if (lost != READ(lost)) WRITE(lost, lost);
    if (lost <= PATIENCE) return;
    pause = pause == 0 ? FIRST_PAUSE : pause < LONGEST_PAUSE / 2 ? 2 * pause : LONGEST_PAUSE;
    WRITE(pause, pause);
    WRITE(seen, READ(seen) + 1);
    WRITE(until, end + pause);
}

#undef READ
#undef WRITE
#undef ADD

#endif
