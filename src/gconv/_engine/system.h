/* What the modules ask of the operating system: a clock, memory that ends with a thread, a word
   before forks, and the libraries of the process. Both files have the same functions. */
#ifndef GCONV_SYSTEM_H
#define GCONV_SYSTEM_H

#include <stddef.h>
#include <stdint.h>

enum { PAGE = 4096 };

/* Is shown the file of a library of this process; `to` is the caller's. */
typedef void (*library_visitor)(void *to, const char *file);

#ifdef _WIN32
#include "system_windows.h"
#else
#include "system_posix.h"
#endif

#endif
