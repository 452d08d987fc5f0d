#define _GNU_SOURCE
#include "libpipewire.h"
#include <dlfcn.h>
#include <stdio.h>

struct libpipewire pw;

bool load_library(char *error, size_t error_bytes)
{
    if (pw.init) return true;
    /* NODELETE: its threads must never run in unmapped code, whatever the interpreter does at exit. */
    void *library = dlopen("libpipewire-0.3.so.0", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
        snprintf(error, error_bytes, "%s", dlerror());
        return false;
    }
    bool complete = true;
#define RESOLVE(name)                                                                               \
    *(void **)&pw.name = dlsym(library, "pw_" #name);                                               \
    if (!pw.name) {                                                                                 \
        snprintf(error, error_bytes, "libpipewire-0.3 has no pw_" #name);                           \
        complete = false;                                                                           \
    }
    PW_SYMBOLS(RESOLVE)
    if (!complete) {
        pw.init = NULL;
        return false;
    }
    pw.init(NULL, NULL);
    return true;
}
