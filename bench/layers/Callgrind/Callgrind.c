#include "CLayersCallgrind.h"
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>

bool cg_is_running(void) { return RUNNING_ON_VALGRIND; }
void cg_begin(void) { CALLGRIND_ZERO_STATS; CALLGRIND_START_INSTRUMENTATION; }
void cg_toggle(void) { CALLGRIND_TOGGLE_COLLECT; }
void cg_end(const char *name) { CALLGRIND_STOP_INSTRUMENTATION; CALLGRIND_DUMP_STATS_AT(name); }
#else
bool cg_is_running(void) { return false; }
void cg_begin(void) {}
void cg_toggle(void) {}
void cg_end(const char *name) { (void)name; }
#endif
