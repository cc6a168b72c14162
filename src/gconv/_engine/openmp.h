/* The OpenMP runtime that runs the threads. No module is linked with one: two runtimes in a process
   have two pools, whose threads take the CPUs from each other. So when gconv is imported, it looks
   for one that others have loaded, and otherwise loads one itself: the system's, or the copy in the
   wheel. Both have the name that PyTorch asks for, should it be imported later.

   There are two kinds: GCC's, and LLVM's (Intel's and Microsoft's libomp140 are that as well). They
   differ in how a parallel region begins. */
#ifndef GCONV_OPENMP_H
#define GCONV_OPENMP_H

#if defined(_OPENMP) && defined(__clang__)
#error "gconv: Clang compiles it without -fopenmp; the OpenMP runtime is found at import"
#endif

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "system.h"

/* ---- a runtime, and what stands in where there is none ---- */

typedef struct {
    void (*parallel)(void (*work)(void *), void *shared, unsigned threads, unsigned flags);
    int (*thread_num)(void);
    int (*num_threads)(void);
    int (*max_threads)(void);
    int (*num_procs)(void);
    int (*level)(void);
    void (*barrier)(void);
    int (*pause)(int kind); /* NULL: a child that is forked begins anew by itself */
    const char *file;       /* "": none */
    const char *origin;     /* in words */
} Runtime;

static void parallel_on_one(void (*work)(void *), void *shared, unsigned threads, unsigned flags) {
    (void)threads, (void)flags;
    work(shared);
}
static void passes(void) {}
static int returns_0(void) { return 0; }
static int returns_1(void) { return 1; }

#define NO_RUNTIME \
    {parallel_on_one, returns_0, returns_1, returns_1, returns_1, returns_0, passes, NULL, "", "none"}

static Runtime runtime = NO_RUNTIME; /* read-only after the import */

/* ---- LLVM's regions: the entry points that Clang calls ---- */

typedef struct {
    int32_t reserved, flags, more[2];
    const char *source;
} LlvmLocation;

static struct {
    int32_t (*thread)(LlvmLocation *);
    void (*push_num_threads)(LlvmLocation *, int32_t thread, int32_t threads);
    void (*fork_call)(LlvmLocation *, int32_t arguments, void (*region)(int32_t *, int32_t *), ...);
} llvm;

static void llvm_region(int32_t *thread, int32_t *bound, void (*work)(void *), void *shared) {
    (void)thread, (void)bound;
    work(shared);
}

static void llvm_parallel(void (*work)(void *), void *shared, unsigned threads, unsigned flags) {
    enum { BY_CLANG = 2 };
    static LlvmLocation here = {.flags = BY_CLANG, .source = ";gconv;parallel;0;0;;"};
    (void)flags;
    llvm.push_num_threads(&here, llvm.thread(&here), (int32_t)threads);
    llvm.fork_call(&here, 2, (void (*)(int32_t *, int32_t *))llvm_region, work, shared);
}

/* ---- which one ---- */

#define FIND(pointer, name) ((*(void **)&(pointer) = find_symbol(library, name)) != NULL)

#if defined(_OPENMP) && !defined(__clang__)
#define PRANGE_REACHES_RUNTIME 1 /* see "loops" */
#define FIND_BARRIER FIND(taken->barrier, "GOMP_barrier") /* LLVM's has it for GCC's code, too */
#else
#define PRANGE_REACHES_RUNTIME 0
#define FIND_BARRIER 1
#endif

/* Whether regions can begin, and in children that are forked as well: LLVM's begins anew there by
   itself, GCC's if it is paused before, which it can be since GCC 9. */
static int take_regions(void *library, Runtime *taken) {
    taken->pause = NULL;
    taken->parallel = llvm_parallel;
    if (FIND(llvm.fork_call, "__kmpc_fork_call"))
        return FIND(llvm.push_num_threads, "__kmpc_push_num_threads") &&
               FIND(llvm.thread, "__kmpc_global_thread_num");
    return FIND(taken->parallel, "GOMP_parallel") && FIND(taken->pause, "omp_pause_resource_all");
}

/* Takes a library that has all that is called, and closes any other: whether it was taken. */
static int take(void *library, const char *origin, Runtime *taken) {
    if (library == NULL) return 0;
    taken->barrier = passes;
    if (!(take_regions(library, taken) && FIND_BARRIER && FIND(taken->thread_num, "omp_get_thread_num") &&
          FIND(taken->num_threads, "omp_get_num_threads") &&
          FIND(taken->max_threads, "omp_get_max_threads") &&
          FIND(taken->num_procs, "omp_get_num_procs") && FIND(taken->level, "omp_get_level"))) {
        close_library(library);
        return 0;
    }
    taken->file = file_of(*(void **)&taken->max_threads);
    if (*taken->file == 0) taken->file = "unknown file";
    taken->origin = origin;
    return 1;
}

#undef FIND
#undef FIND_BARRIER

static int take_file(const char *file, const char *origin, Runtime *taken) {
    return take(open_library(file), origin, taken);
}

/* ---- the system's ---- */

#ifdef __APPLE__
#define BUNDLED_FILE "libomp.dylib"
static const char *const SYSTEM_FILES[] = { /* and where Homebrew puts it */
    BUNDLED_FILE, "/opt/homebrew/opt/libomp/lib/libomp.dylib",
    "/usr/local/opt/libomp/lib/libomp.dylib",
};
#elif defined(_WIN32)
#define BUNDLED_FILE "libomp.dll"
static const char *const SYSTEM_FILES[] = { /* LLVM's, Microsoft's and Intel's build of one source */
    BUNDLED_FILE, "libomp140.x86_64.dll", "libiomp5md.dll",
};
#else
#define BUNDLED_FILE "libgomp.so.1"
static const char *const SYSTEM_FILES[] = {BUNDLED_FILE};
#endif

static int take_system(Runtime *taken) {
    for (size_t i = 0; i < sizeof SYSTEM_FILES / sizeof *SYSTEM_FILES; ++i)
        if (take_file(SYSTEM_FILES[i], "the system's", taken)) return 1;
    return 0;
}

/* ---- what others have loaded ---- */

enum { MOST_LOADED = 16 };

typedef struct {
    char *file[MOST_LOADED];
    int count;
} Loaded;

static void note_if_openmp(void *to, const char *file) {
    Loaded *loaded = to;
    const char *name = base_name(file);
    if (strncmp(name, "libgomp", 7) != 0 && strncmp(name, "libomp", 6) != 0 &&
        strncmp(name, "libiomp", 7) != 0)
        return;
    if (loaded->count < MOST_LOADED &&
        (loaded->file[loaded->count] = malloc(strlen(file) + 1)) != NULL)
        strcpy(loaded->file[loaded->count++], file);
}

/* The first that was loaded, of those under their own names before the private copies of wheels
   (libgomp-e985bcbb.so.1.0.0): libraries that are loaded later find the former by their names. */
static int take_loaded(Runtime *taken) {
    Loaded loaded = {.count = 0};
    int found = 0;
    visit_libraries(note_if_openmp, &loaded);
    for (int private = 0; private < 2; ++private)
        for (int i = 0; i < loaded.count && !found; ++i)
            if ((strchr(base_name(loaded.file[i]), '-') != NULL) == private)
                found = take(open_loaded_library(loaded.file[i]), "loaded by another library",
                             taken);
    for (int i = 0; i < loaded.count; ++i) free(loaded.file[i]);
    return found;
}

/* ---- the choice ---- */

/* `forced`: "system", "bundled" or a file; "": none is. `bundled`: the file of the wheel's copy,
   which may not exist. 0 where what is forced cannot be loaded. */
static int choose_runtime(const char *forced, const char *bundled) {
    const char *const copy = "the copy in gconv's wheel";
    Runtime found = NO_RUNTIME;
    int is_found;
    if (*forced == 0)
        is_found = take_loaded(&found) || take_system(&found) || take_file(bundled, copy, &found);
    else if (strcmp(forced, "system") == 0) is_found = take_system(&found);
    else if (strcmp(forced, "bundled") == 0) is_found = take_file(bundled, copy, &found);
    else is_found = take_file(forced, "by name", &found);
    if (is_found) runtime = found;
    return is_found || *forced == 0;
}

/* ---- what is asked of it ---- */

/* Before a fork: GCC's runtime would wait in the child for threads that are not there, for ever.
   0 where the child can use it. */
static int pause_runtime(void) {
    enum { SOFT = 1 };
    return runtime.pause != NULL && runtime.pause(SOFT) != 0;
}

/* ---- loops ---- */

typedef void (*part_function)(void *arguments, ptrdiff_t part, int thread);

#if PRANGE_REACHES_RUNTIME

/* GCC's code for a prange calls these by their names, and finds them here, in its own module. */
#pragma GCC visibility push(hidden)
void GOMP_parallel(void (*work)(void *), void *shared, unsigned threads, unsigned flags) {
    runtime.parallel(work, shared, threads, flags);
}
void GOMP_barrier(void) { runtime.barrier(); }
int omp_get_thread_num(void) { return runtime.thread_num(); }
int omp_get_num_threads(void) { return runtime.num_threads(); }
int omp_get_max_threads(void) { return runtime.max_threads(); }
#pragma GCC visibility pop

static int64_t share_parts(part_function compute, void *arguments, ptrdiff_t parts, int threads) {
    (void)compute, (void)arguments, (void)parts, (void)threads;
    return 0; /* prange does it */
}

#else

/* What Clang's code for a prange calls has a variable number of arguments, which cannot be passed
   on: what the loop would do, by hand. */
#define omp_get_thread_num runtime.thread_num

typedef struct {
    part_function compute;
    void *arguments;
    ptrdiff_t parts;
    _Atomic int64_t computed; /* nanoseconds, of all threads together */
} Work;

static void compute_share(void *shared) {
    Work *work = shared;
    int64_t begin = clock_ns();
    ptrdiff_t thread = runtime.thread_num(), threads = runtime.num_threads();
    ptrdiff_t end = work->parts * (thread + 1) / threads;
    for (ptrdiff_t part = work->parts * thread / threads; part < end; ++part)
        work->compute(work->arguments, part, (int)thread);
    atomic_fetch_add_explicit(&work->computed, clock_ns() - begin, memory_order_relaxed);
}

/* Computes all parts, consecutive ones on a thread: how long the threads computed altogether. The
   runtime may start fewer threads. */
static int64_t share_parts(part_function compute, void *arguments, ptrdiff_t parts, int threads) {
    Work work = {compute, arguments, parts, 0};
    runtime.parallel(compute_share, &work, (unsigned)threads, 0);
    return atomic_load_explicit(&work.computed, memory_order_relaxed);
}

#endif

#endif
