/* Shares of a call's work items: each thread has one, and takes from those of others when its own
   is done. So what a thread that began late, or has the slower core, has not taken yet waits for
   nobody. Which thread computes an item changes no bit of it. */
#ifndef GCONV_SHARES_H
#define GCONV_SHARES_H

#include <stddef.h>

/* A share is taken in three pieces where nobody else takes from it: a half and two quarters. */
#define SMALLEST_PART 4

typedef struct {
    ptrdiff_t next; /* the first item that nobody has taken; beyond the end once all are */
    ptrdiff_t end;
    ptrdiff_t least; /* items of the smallest piece */
} Share;

/* The items from begin to end; as one piece where they cost more apart. */
static inline Share make_share(ptrdiff_t begin, ptrdiff_t end, int as_one) {
    ptrdiff_t least = as_one ? end - begin : (end - begin) / SMALLEST_PART;
    Share share = {begin, end, least > 0 ? least : 1};
    return share;
}

/* Takes half of what is left of a share, or a piece: the items from *first up to *last. 0: nothing
   is left. */
static inline int take_items(Share *share, ptrdiff_t *first, ptrdiff_t *last) {
    ptrdiff_t left = share->end - __atomic_load_n(&share->next, __ATOMIC_RELAXED);
    ptrdiff_t piece = left / 2 > share->least ? left / 2 : share->least;
    if (left <= 0) return 0;
    *first = __atomic_fetch_add(&share->next, piece, __ATOMIC_RELAXED);
    *last = *first + piece < share->end ? *first + piece : share->end;
    return *first < share->end;
}

#endif
