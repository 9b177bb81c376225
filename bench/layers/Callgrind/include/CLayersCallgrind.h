// Requests to callgrind, which counts instructions between them. Outside of valgrind, and where its header was missing when this was built, they do nothing.
#pragma once
#include <stdbool.h>

bool cg_is_running(void);
// From here on everything is translated and counted as soon as collecting is on. Forgets what was counted.
void cg_begin(void);
// Collecting on or off; off at the beginning (--collect-atstart=no).
void cg_toggle(void);
// Writes what was collected to a file that names `name` as its trigger.
void cg_end(const char *name);
