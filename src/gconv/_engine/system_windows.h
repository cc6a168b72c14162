/* system.h for Windows 10 and later. Names of files are UTF-8 here, as Python has them. */
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>

#include <malloc.h>
#include <psapi.h>

/* Nanoseconds since some moment. */
static inline int64_t clock_ns(void) {
    LARGE_INTEGER now, second;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&second);
    /* In two parts: the product of all ticks and 10^9 would overflow within 15 minutes. */
    return now.QuadPart / second.QuadPart * INT64_C(1000000000) +
           now.QuadPart % second.QuadPart * INT64_C(1000000000) / second.QuadPart;
}

/* ---- memory of a thread ---- */

typedef DWORD ThreadKey; /* of fiber-local storage: the one kind that calls back when threads end */

/* Memory that begins with a page; NULL where there is none. */
static inline char *allocate_pages(size_t bytes) { return _aligned_malloc(bytes, PAGE); }

static inline void free_pages(void *pages) { _aligned_free(pages); }

static void WINAPI free_pages_of_thread(void *pages) { free_pages(pages); }

/* A key for memory that is freed when its thread ends; not 0: the system refused. */
static inline int make_thread_key(ThreadKey *key) {
    *key = FlsAlloc(free_pages_of_thread);
    return *key == FLS_OUT_OF_INDEXES;
}

/* These pages, instead of those before, are freed when the calling thread ends. */
static inline void free_with_thread(ThreadKey key, void *pages) { FlsSetValue(key, pages); }

/* ---- forks ---- */

/* Windows has none. */
static inline int watch_system_forks(void (*before)(void), void (*in_child)(void)) {
    (void)before, (void)in_child;
    return 0;
}

/* ---- libraries ---- */

enum { LONGEST_PATH = 32768 }; /* of Windows */

static inline HMODULE by_wide_name(const char *file, HMODULE (*open)(const wchar_t *name)) {
    wchar_t *name = malloc(LONGEST_PATH * sizeof *name);
    HMODULE library = NULL;
    if (name != NULL && MultiByteToWideChar(CP_UTF8, 0, file, -1, name, LONGEST_PATH) > 0)
        library = open(name);
    free(name);
    return library;
}

static inline HMODULE load_library(const wchar_t *name) {
    /* What a whole path names finds what it needs in its own folder. */
    return LoadLibraryExW(name, NULL, LOAD_LIBRARY_SEARCH_DEFAULT_DIRS |
                          (wcschr(name, L'\\') != NULL ? LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR : 0));
}

static inline HMODULE loaded_library(const wchar_t *name) {
    HMODULE library = NULL;
    return GetModuleHandleExW(0, name, &library) ? library : NULL;
}

static inline void *open_library(const char *file) { return by_wide_name(file, load_library); }

/* The same, only if the process has it already. */
static inline void *open_loaded_library(const char *file) {
    return by_wide_name(file, loaded_library);
}

static inline void close_library(void *library) { FreeLibrary(library); }

static inline void *find_symbol(void *library, const char *name) {
    return (void *)GetProcAddress(library, name);
}

/* A library's file, in memory of the caller's; NULL: unknown. */
static inline char *file_of_library(HMODULE library) {
    wchar_t *name = malloc(LONGEST_PATH * sizeof *name);
    char *file = malloc(3 * LONGEST_PATH);
    DWORD length = 0;
    if (name != NULL && file != NULL) length = GetModuleFileNameW(library, name, LONGEST_PATH);
    if (length == 0 || length >= LONGEST_PATH ||
        WideCharToMultiByte(CP_UTF8, 0, name, -1, file, 3 * LONGEST_PATH, NULL, NULL) == 0) {
        free(file);
        file = NULL;
    }
    free(name);
    return file;
}

/* The file of the library that holds this code or data, for as long as the process lives; "":
   unknown. */
static inline const char *file_of(void *address) {
    HMODULE library;
    const char *file = NULL;
    if (GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS |
                           GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT, address, &library))
        file = file_of_library(library);
    return file != NULL ? file : "";
}

/* A file without its folders. */
static inline const char *base_name(const char *file) {
    const char *name = file;
    for (; *file; ++file)
        if (*file == '\\' || *file == '/') name = file + 1;
    return name;
}

static inline void visit_libraries(library_visitor visit, void *to) {
    DWORD bytes = 0, room;
    HMODULE *libraries;
    if (!K32EnumProcessModules(GetCurrentProcess(), NULL, 0, &bytes)) return;
    room = bytes;
    libraries = malloc(room);
    if (libraries != NULL &&
        K32EnumProcessModules(GetCurrentProcess(), libraries, room, &bytes))
        for (DWORD i = 0; i < (bytes < room ? bytes : room) / sizeof *libraries; ++i) {
            char *file = file_of_library(libraries[i]);
            if (file != NULL) visit(to, file);
            free(file);
        }
    free(libraries);
}
