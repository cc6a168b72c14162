/* The OpenMP runtime that runs the threads. No module is linked with one: two runtimes in a process
   have two pools, whose threads take the CPUs from each other. So when gconv is imported, it looks
   for one that others have loaded, and otherwise loads one itself: the system's, or the copy in the
   wheel. Both have the name that PyTorch asks for, should it be imported later.

   What is called has the same names and types in GCC's runtime and in LLVM's (Intel's is that as
   well), which has them for programs that GCC has compiled. */
#ifndef GCONV_OPENMP_H
#define GCONV_OPENMP_H

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

/* ---- a runtime, and what stands in where there is none ---- */

typedef struct {
    void (*parallel)(void (*work)(void *), void *shared, unsigned threads, unsigned flags);
    int (*thread_num)(void);
    int (*num_threads)(void);
    int (*max_threads)(void);
    int (*num_procs)(void);
    int (*level)(void);
    int (*pause)(int kind); /* NULL: a child that is forked begins anew by itself */
    const char *file;       /* "": none */
    const char *origin;     /* in words */
} Runtime;

static void parallel_on_one(void (*work)(void *), void *shared, unsigned threads, unsigned flags) {
    (void)threads, (void)flags;
    work(shared);
}
static int returns_0(void) { return 0; }
static int returns_1(void) { return 1; }

static const Runtime NO_RUNTIME = {
    parallel_on_one, returns_0, returns_1, returns_1, returns_1, returns_0, NULL, "", "none found",
};
static Runtime runtime; /* read-only after the import */

/* Takes a library that has all that is called, and closes any other: whether it was taken. */
static int take(void *library, const char *origin, Runtime *taken) {
    Dl_info info;
    if (library == NULL) return 0;
#define FIND(field, name) (*(void **)&taken->field = dlsym(library, name)) != NULL
    /* GCC's has the pause since GCC 9. Without it, children that are forked could not compute. */
    if (!(FIND(parallel, "GOMP_parallel") && FIND(thread_num, "omp_get_thread_num") &&
          FIND(num_threads, "omp_get_num_threads") && FIND(max_threads, "omp_get_max_threads") &&
          FIND(num_procs, "omp_get_num_procs") && FIND(level, "omp_get_level") &&
          FIND(pause, "omp_pause_resource_all"))) {
        dlclose(library);
        return 0;
    }
#undef FIND
    /* LLVM's begins anew in a child by itself, and calls it a failure to be paused before its first
       use. */
    if (dlsym(library, "__kmpc_fork_call") != NULL) taken->pause = NULL;
    /* The name lives as long as the library, which stays. */
    int named = dladdr(*(void **)&taken->parallel, &info) != 0 && info.dli_fname != NULL;
    taken->file = named ? info.dli_fname : "unknown file";
    taken->origin = origin;
    return 1;
}

static int take_file(const char *file, const char *origin, Runtime *taken) {
    return take(dlopen(file, RTLD_NOW | RTLD_LOCAL), origin, taken);
}

/* ---- the system's ---- */

#ifdef __APPLE__
#define BUNDLED_FILE "libomp.dylib"
static const char *const SYSTEM_FILES[] = { /* and where Homebrew puts it */
    BUNDLED_FILE, "/opt/homebrew/opt/libomp/lib/libomp.dylib",
    "/usr/local/opt/libomp/lib/libomp.dylib",
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

static void note_if_openmp(Loaded *loaded, const char *file) {
    const char *slash = file == NULL ? NULL : strrchr(file, '/');
    const char *name = slash == NULL ? "" : slash + 1;
    if (strncmp(name, "libgomp", 7) != 0 && strncmp(name, "libomp", 6) != 0 &&
        strncmp(name, "libiomp", 7) != 0)
        return;
    if (loaded->count < MOST_LOADED && (loaded->file[loaded->count] = strdup(file)) != NULL)
        ++loaded->count;
}

#ifdef __APPLE__
#include <mach-o/dyld.h>
static void list_loaded(Loaded *loaded) {
    for (uint32_t i = 0; i < _dyld_image_count(); ++i)
        note_if_openmp(loaded, _dyld_get_image_name(i));
}
#else
#include <link.h>
static int note_library(struct dl_phdr_info *info, size_t size, void *loaded) {
    (void)size;
    note_if_openmp(loaded, info->dlpi_name);
    return 0;
}
static void list_loaded(Loaded *loaded) { dl_iterate_phdr(note_library, loaded); }
#endif

/* The first that was loaded, of those under their own names before the private copies of wheels
   (libgomp-e985bcbb.so.1.0.0): libraries that are loaded later find the former by their names. */
static int take_loaded(Runtime *taken) {
    Loaded loaded = {.count = 0};
    int found = 0;
    list_loaded(&loaded);
    for (int private = 0; private < 2; ++private)
        for (int i = 0; i < loaded.count && !found; ++i)
            if ((strchr(strrchr(loaded.file[i], '/'), '-') != NULL) == private)
                found = take(dlopen(loaded.file[i], RTLD_NOLOAD | RTLD_NOW | RTLD_LOCAL),
                             "loaded by another library", taken);
    for (int i = 0; i < loaded.count; ++i) free(loaded.file[i]);
    return found;
}

/* ---- the choice ---- */

/* `forced`: "system", "bundled" or a file; "": none is. `bundled`: the file of the wheel's copy,
   which may not exist. 0 where what is forced cannot be loaded. */
static int choose_runtime(const char *forced, const char *bundled) {
    const char *const copy = "the copy in gconv's wheel";
    Runtime found;
    int is_found;
    if (*forced == 0)
        is_found = take_loaded(&found) || take_system(&found) || take_file(bundled, copy, &found);
    else if (strcmp(forced, "system") == 0) is_found = take_system(&found);
    else if (strcmp(forced, "bundled") == 0) is_found = take_file(bundled, copy, &found);
    else is_found = take_file(forced, "by name", &found);
    runtime = is_found ? found : NO_RUNTIME;
    return is_found || *forced == 0;
}

/* ---- what is asked of it ---- */

/* Before a fork: GCC's runtime would wait in the child for threads that are not there, for ever.
   0 where the child can use it. */
static int pause_runtime(void) {
    enum { SOFT = 1 };
    return runtime.pause != NULL && runtime.pause(SOFT) != 0;
}

typedef void (*part_function)(void *arguments, ptrdiff_t part, int thread);

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
