/* system.h for Linux, macOS and their like. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#ifdef __APPLE__
#include <mach-o/dyld.h>
#else
#include <link.h>
#endif

/* Nanoseconds since some moment. */
static inline int64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* ---- memory of a thread ---- */

typedef pthread_key_t ThreadKey;

/* Memory that begins with a page; NULL where there is none. */
static inline char *allocate_pages(size_t bytes) {
    void *pages = NULL;
    return posix_memalign(&pages, PAGE, bytes) == 0 ? pages : NULL;
}

static inline void free_pages(void *pages) { free(pages); }

/* A key for memory that is freed when its thread ends; not 0: the system refused. */
static inline int make_thread_key(ThreadKey *key) { return pthread_key_create(key, free_pages); }

/* These pages, instead of those before, are freed when the calling thread ends. */
static inline void free_with_thread(ThreadKey key, void *pages) {
    pthread_setspecific(key, pages);
}

/* ---- forks ---- */

/* Calls `before` in the process that forks and `in_child` in the new one, whoever forks, C code as
   well; not 0: the system refused. */
static inline int watch_system_forks(void (*before)(void), void (*in_child)(void)) {
    return pthread_atfork(before, NULL, in_child);
}

/* ---- libraries ---- */

static inline void *open_library(const char *file) { return dlopen(file, RTLD_NOW | RTLD_LOCAL); }

/* The same, only if the process has it already. */
static inline void *open_loaded_library(const char *file) {
    return dlopen(file, RTLD_NOLOAD | RTLD_NOW | RTLD_LOCAL);
}

static inline void close_library(void *library) { dlclose(library); }

static inline void *find_symbol(void *library, const char *name) { return dlsym(library, name); }

/* The file of the library that holds this code or data, as long as it is loaded; "": unknown. */
static inline const char *file_of(void *address) {
    Dl_info info;
    return dladdr(address, &info) != 0 && info.dli_fname != NULL ? info.dli_fname : "";
}

/* A file without its folders. */
static inline const char *base_name(const char *file) {
    const char *name = file;
    for (; *file; ++file)
        if (*file == '/') name = file + 1;
    return name;
}

#ifdef __APPLE__
static inline void visit_libraries(library_visitor visit, void *to) {
    for (uint32_t i = 0; i < _dyld_image_count(); ++i)
        if (_dyld_get_image_name(i) != NULL) visit(to, _dyld_get_image_name(i));
}
#else
typedef struct {
    library_visitor visit;
    void *to;
} Visit;

static inline int visit_library(struct dl_phdr_info *info, size_t size, void *data) {
    const Visit *each = data;
    (void)size;
    if (info->dlpi_name != NULL) each->visit(each->to, info->dlpi_name);
    return 0;
}

static inline void visit_libraries(library_visitor visit, void *to) {
    Visit each = {visit, to};
    dl_iterate_phdr(visit_library, &each);
}
#endif
